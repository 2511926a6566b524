"""Cancel and deadline, while something is under way and while nothing is."""

import asyncio

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.domain.errors import SagaEnded
from coordinator.domain.events import CancelRequested, DeadlinePassed, StepBegun, StepSucceeded, UndoBegun
from coordinator.domain.outcomes import Pending
from coordinator.domain.saga import Status
from coordinator.ports.journal import SagaFilter
from coordinator.ports.participants import CompensateCall
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, JournalAround, define, settled, soon, step, until


async def test_the_undo_of_a_cancelled_saga_waits_until_the_call_under_way_has_answered() -> None:
    async with House(define("a", "b")) as house:
        held = house.services.hold("b")
        saga_id = await house.start()
        await soon(held.arrived)
        view = await house.sagas.cancel(saga_id, "changed my mind")
        assert view.summary.status is Status.COMPENSATING
        assert isinstance((await house.history(saga_id))[-1], CancelRequested)
        await asyncio.sleep(0.02)
        assert house.services.sent() == ["do a", "do b"]
        held.answer()
        row = await house.end(saga_id)
        assert house.services.sent() == ["do a", "do b", "undo b", "undo a"]
        assert row.error_message == "Cancelled (changed my mind). What was begun has been undone."


async def test_a_late_answer_is_folded_in_and_its_output_goes_with_the_undo() -> None:
    async with House(define("a", "b")) as house:
        held = house.services.hold("a")
        house.services.world.outputs["a"] = '"booked"'
        saga_id = await house.start()
        await soon(held.arrived)
        await house.sagas.cancel(saga_id, "")
        held.answer()
        await house.end(saga_id)
        undo = house.services.calls[-1]
        assert isinstance(undo, CompensateCall)
        assert undo.receipt == '"booked"'


async def test_the_undo_waits_no_longer_than_the_call_under_way_may_take() -> None:
    async with House(define(step("a", timeout_s=0.05), "b")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        await house.sagas.cancel(saga_id, "")
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        assert house.services.sent() == ["do a", "undo a"]


async def test_a_saga_that_waits_for_its_next_attempt_is_cancelled_at_once() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", Pending(3_000.0))
        saga_id = await house.start()
        await until(lambda: len(house.services.calls) == 2)
        await house.sagas.cancel(saga_id, "")
        assert (await house.end(saga_id)).status is Status.COMPENSATED


async def test_a_saga_that_is_turning_back_is_cancelled_again_without_a_second_record() -> None:
    async with House(define("a", "b")) as house:
        held = house.services.hold("a", "undo")
        house.services.plan("b", "do", Reaction.REFUSE)
        saga_id = await house.start()
        await soon(held.arrived)
        views = await asyncio.gather(*(house.sagas.cancel(saga_id, "again") for _ in range(3)))
        assert {view.summary.status for view in views} == {Status.COMPENSATING}
        held.answer()
        await house.end(saga_id)
        assert not any(isinstance(event, CancelRequested) for event in await house.history(saga_id))


async def test_of_many_cancels_at_once_one_is_recorded_and_all_are_answered() -> None:
    async with House(define("a", "b")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        await asyncio.gather(*(house.sagas.cancel(saga_id, f"reason {n}") for n in range(10)))
        held.answer()
        await house.end(saga_id)
        cancels = [e for e in await house.history(saga_id) if isinstance(e, CancelRequested)]
        assert [event.reason for event in cancels] == ["reason 0"]


async def test_a_cancel_that_comes_with_the_one_that_ends_the_saga_is_told_that_it_is_cancelled() -> None:
    async with House(define("a"), calls_max=0) as house:
        saga_id = await house.start()
        views = await asyncio.gather(*(house.sagas.cancel(saga_id, "") for _ in range(2)))
        assert {view.summary.status for view in views} == {Status.COMPENSATED}, "nothing had been begun"
        assert await house.told(saga_id) == ["SagaStarted", "CancelRequested"]


async def test_a_saga_that_has_ended_cannot_be_cancelled() -> None:
    async with House(define("a")) as house:
        saga_id = (await house.run()).id
        before = await house.history(saga_id)
        with pytest.raises(SagaEnded, match="is COMPLETED and cannot be cancelled"):
            await house.sagas.cancel(saga_id, "")
        assert await house.history(saga_id) == before


async def test_a_cancel_whose_answer_was_lost_gets_it_when_asked_again_after_the_end() -> None:
    async with House(define("a", "b")) as house:
        held = house.services.hold("b")
        saga_id = await house.start()
        await soon(held.arrived)
        cancelling = house.sagas.cancel(saga_id, "changed their mind")
        held.answer()
        await cancelling
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        before = await house.history(saga_id)
        assert (await house.sagas.cancel(saga_id, "")).summary.status is Status.COMPENSATED
        assert await house.history(saga_id) == before


async def test_a_cancel_that_comes_with_the_last_answer_is_told_that_the_saga_ended() -> None:
    async with House(define("a")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        held.answer()
        for _ in range(20):
            await asyncio.sleep(0)
            driver = house.pool._drivers.get(saga_id)
            if driver is None or driver._mailbox:
                break
        with pytest.raises(SagaEnded):
            await house.sagas.cancel(saga_id, "too late")
        assert (await house.end(saga_id)).status is Status.COMPLETED


async def test_whoever_asked_for_a_cancel_and_left_has_cancelled_all_the_same() -> None:
    class Slow(JournalAround):
        async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.02)
            return await self.inner.append(*args, **kwargs)

    house = House(define("a", "b"))
    house = House(define("a", "b"), store=house.store, journal=Slow(house.store))
    async with house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        asking = asyncio.ensure_future(house.sagas.cancel(saga_id, ""))
        await settled()
        asking.cancel()
        held.answer()
        assert (await house.end(saga_id)).status is Status.COMPENSATED


class StartsSlowly(JournalAround):
    """Its starts are durable before whoever asked for them hears of it."""

    def __init__(self, inner: JournalAround) -> None:
        super().__init__(inner)
        self.durable = asyncio.Event()
        self.told = asyncio.Event()

    async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        holder = await self.inner.start(*args, **kwargs)
        self.durable.set()
        await self.told.wait()
        return holder


async def test_a_saga_can_be_cancelled_as_soon_as_it_is_durable() -> None:
    plain = House(define("a", "b"))
    journal = StartsSlowly(JournalAround(plain.store))
    async with House(define("a", "b"), store=plain.store, journal=journal) as house:
        starting = asyncio.ensure_future(house.accept(request_id="r"))
        await soon(journal.durable)
        # Somebody else can see it: the row is there.
        (seen,) = await house.sagas.page(SagaFilter(), after=None, limit=10)
        cancelling = asyncio.ensure_future(house.sagas.cancel(seen.id, "at once"))
        await settled()
        journal.told.set()
        view = await cancelling
        assert not view.summary.status.is_open or view.summary.status is Status.COMPENSATING
        await starting
        assert (await house.end(seen.id)).status is Status.COMPENSATED


async def test_a_deadline_cuts_the_call_under_way_and_turns_the_saga_back() -> None:
    async with House(define("a", "b", ttl_s=0.15)) as house:
        held = house.services.hold("b")
        saga_id = await house.start()
        await soon(held.arrived)
        deadline_at = (await house.saga(saga_id)).deadline_at
        assert deadline_at is not None
        assert all(0 < timeout_s <= 0.15 for timeout_s in house.services.timeouts_s)
        row = await house.end(saga_id)
        assert row.status is Status.COMPENSATED
        assert row.error_message.startswith("The time allowed for it ran out.")
        (passed,) = (e for e in await house.history(saga_id) if isinstance(e, DeadlinePassed))
        assert deadline_at <= passed.at < deadline_at + 1.0
        assert house.services.sent() == ["do a", "do b", "undo b", "undo a"]


async def test_the_timeout_of_a_call_is_the_smaller_of_the_step_s_and_the_time_left() -> None:
    async with House(define(step("a", timeout_s=5.0), "b", ttl_s=10.0)) as house:
        await house.run()
        short, rest = house.services.timeouts_s
        assert short == 5.0
        assert 5.0 < rest <= 10.0


async def test_a_success_that_comes_after_the_deadline_is_undone_with_its_output() -> None:
    async with House(define("a", "b", ttl_s=0.05)) as house:
        house.services.world.outputs["a"] = '"booked"'

        async def late(_: object) -> None:
            await asyncio.sleep(0.1)

        # The service answers, by a clock that is wrong, long after it was to be cut off.
        house.services.before_each = late
        saga_id = (await house.run()).id
        history = await house.history(saga_id)
        names = [type(event) for event in history]
        assert names.index(DeadlinePassed) < names.index(StepSucceeded) < names.index(UndoBegun)
        undo = house.services.calls[1]
        assert isinstance(undo, CompensateCall)
        assert undo.receipt == '"booked"'


async def test_a_deadline_that_comes_between_two_attempts_is_noticed_when_it_comes() -> None:
    async with House(define("a", "b", ttl_s=0.05)) as house:
        house.services.plan("b", "do", Pending(3_000.0))
        assert (await house.run()).status is Status.COMPENSATED
        assert house.services.sent() == ["do a", "do b", "undo b", "undo a"]


async def test_the_deadline_does_not_cut_the_undo_off() -> None:
    async with House(define("a", "b", ttl_s=0.03)) as house:
        house.services.plan("b", "do", Pending(3_000.0))
        house.services.plan("a", "undo", *[Pending(0.02)] * 4)
        assert (await house.run()).status is Status.COMPENSATED
        undo_timeouts_s = house.services.timeouts_s[3:]
        assert undo_timeouts_s == [20.0] * 5


async def test_a_saga_without_a_deadline_has_none() -> None:
    async with House(define("a")) as house:
        assert (await house.run()).deadline_at is None


async def test_a_saga_whose_time_is_over_before_its_first_step_begins_sends_nothing() -> None:
    async with House(define("a", ttl_s=0.001)) as house:
        clock = house.clock.now
        ahead = iter([0.0])
        house.clock.now = lambda: clock() + next(ahead, 1.0)  # type: ignore[method-assign]
        saga_id = await house.start()
        row = await house.end(saga_id)
        assert row.status is Status.COMPENSATED
        assert house.services.calls == []
        assert await house.told(saga_id) == ["SagaStarted", "DeadlinePassed"]


async def test_a_call_whose_time_is_over_before_its_beginning_is_durable_is_not_sent() -> None:
    class Clock:
        time = 1_000.0

        def now(self) -> float:
            return self.time

    class Slow(JournalAround):
        async def append(self, saga_id, events, *, summary, seq_expected):  # type: ignore[no-untyped-def]
            if any(isinstance(event, StepBegun) and event.step == "b" for event in events):
                clock.time += 10.0
            return await self.inner.append(saga_id, events, summary=summary, seq_expected=seq_expected)

    clock, store = Clock(), MemoryJournal()
    async with House(define("a", "b", ttl_s=10.0), store=store, journal=Slow(store), clock=clock) as house:
        row = await house.run()
        assert row.error_message.startswith("The time allowed for it ran out.")
        # `b` was begun, and that is all that a restart would know: so it is undone.
        assert house.services.sent() == ["do a", "undo b", "undo a"]
