"""An outcome that is told at once to the one who listens, whether awaited, cancelled or known before."""

import asyncio

import pytest

from coordinator.ports.deferred import Deferred, when_over

CANCELLED = 0


async def test_who_listens_is_told_in_the_moment_in_which_it_is_settled_and_once() -> None:
    told: list[int | BaseException] = []
    deferred = Deferred[int]()
    assert when_over(deferred, told.append) is deferred
    assert told == []
    deferred.settle(7)
    assert told == [7]
    deferred.settle(8)
    assert not deferred.cancel()
    assert told == [7]


async def test_of_what_is_settled_already_who_listens_is_told_behind_its_caller() -> None:
    told: list[int | BaseException] = []
    deferred = Deferred[int]()
    deferred.settle(7)
    deferred.listen(told.append)
    assert told == []
    await asyncio.sleep(0)
    assert told == [7]


async def test_who_listens_is_told_of_a_fault_and_of_a_cancel_as_of_any_outcome() -> None:
    told: list[int | BaseException] = []
    wrong = ValueError("wrong")
    for outcome in (wrong, None):
        deferred = Deferred[int]()
        deferred.listen(told.append)
        if outcome is None:
            assert deferred.cancel()
        else:
            deferred.settle(outcome)
    assert told[0] is wrong
    assert isinstance(told[1], asyncio.CancelledError)


async def test_what_goes_wrong_with_whoever_listens_is_the_loops_and_nobody_elses() -> None:
    wrong = ValueError("wrong")
    handled: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: handled.append(context))

    def fail(_: object) -> None:
        raise wrong

    deferred = Deferred[int]()
    deferred.listen(fail)
    deferred.settle(7)
    assert [context["exception"] for context in handled] == [wrong]


async def test_it_can_be_awaited() -> None:
    async def settle(deferred: Deferred[int], outcome: int | Exception) -> None:
        deferred.settle(outcome)

    for outcome in (7, ValueError("wrong")):
        deferred = Deferred[int]()
        async with asyncio.TaskGroup() as settling:
            settling.create_task(settle(deferred, outcome))
            if isinstance(outcome, int):
                assert await deferred == outcome
                assert await deferred == outcome
            else:
                with pytest.raises(ValueError, match="wrong"):
                    await deferred


async def test_whoever_awaits_it_and_is_cancelled_cancels_it() -> None:
    told: list[int | BaseException] = []

    class Noted(Deferred[int]):
        def cancel(self) -> bool:
            told.append(CANCELLED)
            return super().cancel()

    async def wait(deferred: Deferred[int]) -> int:
        return await deferred

    waiting = asyncio.create_task(wait(Noted()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert told == [CANCELLED]


async def test_a_cancel_that_comes_with_the_outcome_leaves_nobody_waiting() -> None:
    deferred = Deferred[int]()

    async def wait() -> int:
        return await deferred

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    deferred.settle(7)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_coroutine_is_listened_to_in_the_same_way() -> None:
    told: list[int | BaseException] = []

    async def work(outcome: int | Exception) -> int:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def hang() -> int:
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")

    wrong = ValueError("wrong")
    when_over(work(0), told.append)
    when_over(work(wrong), told.append)
    when_over(hang(), told.append).cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert told[:2] == [0, wrong]
    assert isinstance(told[2], asyncio.CancelledError)
