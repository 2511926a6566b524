"""People act on sagas wherever these are: driven, asleep, at rest, set aside, parked or being written."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Final

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.domain.actions import Action
from coordinator.domain.errors import (
    ActionIdTaken,
    Draining,
    IllegalTransition,
    JournalCorrupt,
    JournalUnavailable,
    Overloaded,
    SagaEnded,
    SagaMoved,
    SagaNotFound,
)
from coordinator.domain.events import OperatorActed, Verb
from coordinator.domain.ids import ActionId, SagaId, StepName
from coordinator.domain.outcomes import Pending
from coordinator.domain.saga import Status
from coordinator.engine.sagas import LARGE_STEPS_MIN, Acted
from coordinator.ports.journal import Quarantine, Record
from coordinator.simulation.world import SUCCEEDS, Reaction
from tests.scenarios.house import (
    PATIENCE_S,
    House,
    JournalAround,
    Services,
    define,
    settled,
    soon,
    step,
    until,
    way_of,
)
from tests.scenarios.test_crashes import Dies
from tests.unit.machine.world import judge

LONG_S: Final = 500.0
_numbers = count(1)


async def action(
    house: House, saga_id: SagaId, verb: Verb, name: str | None = None, *, output: str | None = None
) -> Action:
    """An action of somebody who has just looked."""
    seq = (await house.sagas.get(saga_id)).summary.seq
    step_name = None if name is None else StepName(name)
    return Action(ActionId(f"act-{next(_numbers)}"), "ada", "she knows", seq, verb, step_name, output)


async def act(
    house: House, saga_id: SagaId, verb: Verb, name: str | None = None, *, output: str | None = None
) -> Acted:
    return await house.sagas.act(saga_id, await action(house, saga_id, verb, name, output=output))


async def dead_letter(house: House) -> SagaId:
    """An order whose third step was refused, and then the undo of its second."""
    house.services.plan("c", "do", Reaction.REFUSE)
    house.services.plan("b", "undo", Reaction.REFUSE)
    saga_id = await house.start()
    assert (await house.end(saga_id)).status is Status.DEAD_LETTERED
    await settled()
    return saga_id


async def actions_of(house: House, saga_id: SagaId) -> list[str]:
    events = await house.history(saga_id)
    return [f"{e.verb} {e.step or ''}".strip() for e in events if isinstance(e, OperatorActed)]


def check_that_nothing_is_left(house: House) -> None:
    """No saga is counted as open that is not."""
    assert house.pool._open == len(house.pool._drivers) + len(house.pool._sleepers)
    assert not house.pool._waking
    assert not house.pool._setting_aside


ORDER = define("a", "b", "c")


# At rest


async def test_a_retried_dead_letter_is_undone_under_a_new_key_and_ends() -> None:
    async with House(ORDER) as house:
        saga_id = await dead_letter(house)
        acted = await act(house, saga_id, Verb.RETRY, "b")
        assert acted.effect is not None
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        undos = [call.key for call in house.services.calls if way_of(call) == "undo"]
        assert undos == [f"{saga_id}/b/compensate", f"{saga_id}/b/compensate/2", f"{saga_id}/a/compensate"]
        assert [call.key for call in house.services.calls][-2:] == [c.key for c in acted.effect.planned]
        await settled()
        check_that_nothing_is_left(house)
        assert house.pool._open == 0


async def test_who_waits_for_a_revived_saga_waits_until_it_rests_again() -> None:
    async with House(ORDER) as house:
        saga_id = await dead_letter(house)
        held = house.services.hold("b", "undo")
        await act(house, saga_id, Verb.RETRY, "b")
        waiting = asyncio.ensure_future(house.sagas.wait(saga_id, timeout_s=20))
        await soon(held.arrived)
        assert not waiting.done()
        held.answer()
        assert (await waiting).status is Status.COMPENSATED


async def test_each_verb_ends_a_dead_letter_in_its_way() -> None:
    ends = {
        Verb.SKIP: (Status.COMPENSATED, True, ["undo a"]),
        Verb.COMPLETE: (Status.COMPENSATED, True, ["undo a"]),
        Verb.TERMINATE: (Status.TERMINATED, True, []),
    }
    for verb, (status, forced, sent) in ends.items():
        async with House(ORDER) as house:
            saga_id = await dead_letter(house)
            before = len(house.services.calls)
            await act(house, saga_id, verb, None if verb is Verb.TERMINATE else "b")
            row = await house.end(saga_id)
            assert (row.status, row.forced, row.needs_person) == (status, forced, False)
            assert house.services.sent()[before:] == sent
            await settled()
            check_that_nothing_is_left(house)


async def test_a_saga_that_has_ended_or_never_was_is_refused_and_wakes_nothing() -> None:
    async with House(ORDER) as house:
        saga_id = await house.start()
        assert (await house.end(saga_id)).status is Status.COMPLETED
        records = await house.history(saga_id)
        for verb, name in ((Verb.RETRY, "b"), (Verb.CANCEL, None), (Verb.TERMINATE, None)):
            with pytest.raises(SagaEnded, match="is COMPLETED"):
                await act(house, saga_id, verb, name)
        with pytest.raises(SagaNotFound):
            await house.sagas.act(SagaId("nowhere"), Action(ActionId("x"), "ada", "why", 1, Verb.TERMINATE))
        assert await house.history(saga_id) == records
        check_that_nothing_is_left(house)


async def test_of_two_actions_at_once_on_a_resting_saga_one_wins_and_the_other_is_told_that_it_moved() -> (
    None
):
    for others in ((Verb.SKIP, "b"), (Verb.TERMINATE, None), (Verb.RETRY, "b")):
        async with House(ORDER) as house:
            saga_id = await dead_letter(house)
            wanted = [await action(house, saga_id, Verb.RETRY, "b"), await action(house, saga_id, *others)]
            # Past the preview, where only the owner can tell them apart.
            done = await asyncio.gather(
                *(house.pool.act(saga_id, each) for each in wanted), return_exceptions=True
            )
            assert done[0] is True
            assert isinstance(done[1], SagaMoved)
            assert (await house.end(saga_id)).status is Status.COMPENSATED
            assert await actions_of(house, saga_id) == ["RETRY b"]
            await settled()
            check_that_nothing_is_left(house)


async def test_the_same_action_at_once_many_times_is_one_record() -> None:
    async with House(ORDER) as house:
        saga_id = await dead_letter(house)
        wanted = await action(house, saga_id, Verb.RETRY, "b")
        acted = await asyncio.gather(*(house.sagas.act(saga_id, wanted) for _ in range(20)))
        assert [each.effect is not None for each in acted].count(True) == 1
        await house.end(saga_id)
        again = await house.sagas.act(saga_id, wanted)
        assert (again.effect, again.view.summary.status) == (None, Status.COMPENSATED)
        assert await actions_of(house, saga_id) == ["RETRY b"]
        await settled()
        check_that_nothing_is_left(house)


async def test_an_action_that_was_done_before_the_saga_came_to_rest_is_not_done_again() -> None:
    async with House(ORDER) as house:
        saga_id = await dead_letter(house)
        wanted = await action(house, saga_id, Verb.SKIP, "b")
        assert await house.pool.act(saga_id, wanted)
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        await settled()
        before = await house.history(saga_id)
        assert not await house.pool.act(saga_id, wanted)
        assert await house.history(saga_id) == before
        check_that_nothing_is_left(house)


async def test_an_action_on_a_saga_that_there_is_not_wakes_nothing_at_the_owner() -> None:
    async with House(ORDER) as house:
        saga_id = await dead_letter(house)
        wanted = await action(house, saga_id, Verb.SKIP, "b")
        with pytest.raises(SagaNotFound):
            await house.pool.act(SagaId("nowhere"), wanted)
        check_that_nothing_is_left(house)


async def test_an_action_id_that_is_taken_is_told_at_once_and_at_the_owner() -> None:
    async with House(ORDER) as house:
        saga_id = await dead_letter(house)
        first = await action(house, saga_id, Verb.SKIP, "b")
        second = Action(first.id, "bob", "he knows", first.seq_seen, Verb.COMPLETE, first.step)
        done = await asyncio.gather(
            house.pool.act(saga_id, first), house.pool.act(saga_id, second), return_exceptions=True
        )
        assert done[0] is True
        assert isinstance(done[1], ActionIdTaken)
        await house.end(saga_id)
        with pytest.raises(ActionIdTaken):
            await house.sagas.act(saga_id, second)


async def test_an_operator_who_leaves_while_a_resting_saga_wakes_leaves_it_awake() -> None:
    slow = SlowAppends(MemoryJournal())
    async with House(ORDER, store=slow.store, journal=slow) as house:
        saga_id = await dead_letter(house)
        acting = asyncio.ensure_future(act(house, saga_id, Verb.RETRY, "b"))
        slow.pause_s = 0.02
        await until(lambda: bool(house.pool._waking))
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        await until(lambda: not house.pool._waking)
        assert (await house.end(saga_id)).status is Status.COMPENSATED


@pytest.mark.parametrize("rests", [True, False], ids=["at rest", "driven"])
async def test_an_action_whose_operator_left_is_counted_and_logged_all_the_same(
    rests: bool, caplog: pytest.LogCaptureFixture
) -> None:
    slow, told = SlowAppends(MemoryJournal()), CountsActions()
    async with House(ORDER, store=slow.store, journal=slow, telemetry=told) as house:
        if rests:
            saga_id = await dead_letter(house)
        else:
            held = house.services.hold("b")
            saga_id = await house.start()
            await soon(held.arrived)
        slow.pause_s = 0.02
        acting = asyncio.ensure_future(act(house, saga_id, Verb.TERMINATE))
        await until(lambda: slow.pending > 0)
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        assert told.verbs == []
        with caplog.at_level("INFO"):
            await until(lambda: house.is_idle)
        assert (await house.end(saga_id)).status is Status.TERMINATED
        assert told.verbs == [Verb.TERMINATE]
        assert [record.message for record in caplog.records].count("operator acted") == 1


class CountsActions(NoTelemetry):
    """Notes what operators did."""

    def __init__(self) -> None:
        self.verbs: list[Verb] = []

    def operator_acted(self, verb: Verb) -> None:
        self.verbs.append(verb)


# Driven


class SlowAppends(JournalAround):
    """Takes its time over each append, once it is told to."""

    def __init__(self, store: MemoryJournal) -> None:
        super().__init__(store)
        self.store = store
        self.pause_s = 0.0
        self.pending = 0

    async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        if self.pause_s:
            self.pending += 1
            await asyncio.sleep(self.pause_s)
        return await self.inner.append(*args, **kwargs)


SETTLED: Final = {
    Verb.SKIP: (Status.COMPLETED, ["do c"]),
    Verb.COMPLETE: (Status.COMPLETED, ["do c"]),
    Verb.FAIL: (Status.COMPENSATED, ["undo b", "undo a"]),
    Verb.TERMINATE: (Status.TERMINATED, []),
}
"""How a saga ends whose second step a person settles while it is asked, and what is sent from there on."""


async def check_that_the_late_answer_has_no_say(house: House, saga_id: SagaId, verb: Verb) -> None:
    status, then = SETTLED[verb]
    row = await house.sagas.wait(saga_id, timeout_s=20)
    assert row.status is status
    assert house.services.sent()[2:] == then
    assert "StepSucceeded b" not in await house.told(saga_id)
    for call in house.services.cut_off:
        house.services.world.deliver(call, SUCCEEDS)
    saga = await house.saga(saga_id)
    judge(saga.definition, saga, house.services.world)
    await settled()
    house.check_that_all_slots_are_free()
    check_that_nothing_is_left(house)


@pytest.mark.parametrize("verb", SETTLED)
async def test_a_call_in_flight_whose_step_a_person_settles_has_no_say_and_holds_no_slot(verb: Verb) -> None:
    async with House(define("a", step("b", service="one"), step("c", service="one")), calls_max=1) as house:
        held = house.services.hold("b")
        saga_id = await house.start()
        await soon(held.arrived)
        await act(house, saga_id, verb, None if verb is Verb.TERMINATE else "b")
        await soon(held.cut)
        await check_that_the_late_answer_has_no_say(house, saga_id, verb)


@pytest.mark.parametrize("verb", SETTLED)
async def test_an_answer_and_an_action_that_cross_are_taken_one_at_a_time(verb: Verb) -> None:
    acted = []
    for turns in range(12):
        async with House(ORDER) as house:
            held = house.services.hold("b")
            saga_id = await house.start()
            await soon(held.arrived)
            wanted = await action(house, saga_id, verb, None if verb is Verb.TERMINATE else "b")
            held.answer()
            for _ in range(turns):
                await asyncio.sleep(0)
            (done,) = await asyncio.gather(house.pool.act(saga_id, wanted), return_exceptions=True)
            acted.append(done is True)
            if done is True:
                await check_that_the_late_answer_has_no_say(house, saga_id, verb)
            else:
                assert isinstance(done, SagaMoved | SagaEnded)
                assert (await house.end(saga_id)).status is Status.COMPLETED
    assert acted == sorted(acted, reverse=True)
    assert set(acted) == {True, False}, "either was first once"


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE, Verb.FAIL, Verb.TERMINATE])
async def test_an_undo_in_flight_that_a_person_settles_has_no_say_any_more(verb: Verb) -> None:
    async with House(ORDER, calls_max=1) as house:
        house.services.plan("c", "do", Reaction.REFUSE)
        held = house.services.hold("b", "undo")
        saga_id = await house.start()
        await soon(held.arrived)
        await act(house, saga_id, verb, None if verb is Verb.TERMINATE else "b")
        await soon(held.cut)
        row = await house.sagas.wait(saga_id, timeout_s=20)
        ends = {Verb.FAIL: Status.DEAD_LETTERED, Verb.TERMINATE: Status.TERMINATED}
        assert row.status is ends.get(verb, Status.COMPENSATED)
        if verb is Verb.FAIL:
            await act(house, saga_id, Verb.RETRY, "b")
            assert (await house.end(saga_id)).status is Status.COMPENSATED
            undos = [call for call in house.services.calls if call.step == "b" and way_of(call) == "undo"]
            assert [(call.attempt, call.key[-10:]) for call in undos] == [
                (1, "compensate"),
                (2, "compensate"),
            ]
        await settled()
        house.check_that_all_slots_are_free()
        check_that_nothing_is_left(house)


async def test_the_output_that_a_person_gave_reaches_later_steps_and_the_undo() -> None:
    async with House(ORDER) as house:
        held = house.services.hold("b")
        house.services.plan("c", "do", Reaction.REFUSE)
        saga_id = await house.start()
        await soon(held.arrived)
        await act(house, saga_id, Verb.COMPLETE, "b", output='{"by":"hand"}')
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        by_name = dict(zip(house.services.sent(), house.services.calls, strict=True))
        assert '"b":{"by":"hand"}' in by_name["do c"].input
        assert getattr(by_name["undo b"], "receipt", None) == '{"by":"hand"}'


async def test_a_step_that_waits_is_asked_at_once_when_somebody_says_so() -> None:
    async with House(define("a", step("b", wait_s=LONG_S))) as house:
        house.services.plan("b", "do", Reaction.FAULT)
        saga_id = await house.start()
        await until_waiting(house, saga_id)
        await act(house, saga_id, Verb.RETRY, "b")
        assert (await house.end(saga_id)).status is Status.COMPLETED
        assert [call.attempt for call in house.services.calls] == [1, 1, 2]


async def until_waiting(house: House, saga_id: SagaId) -> None:
    await until(lambda: (row := house.pool.live(saga_id)) is not None and row.due_at is not None)


async def test_a_step_that_queues_for_a_slot_can_be_settled_and_leaves_the_queue() -> None:
    async with House(define(step("a", service="one")), calls_max=1) as house:
        held = house.services.hold("a")
        first = await house.start()
        await soon(held.arrived)
        second = await house.start()
        await act(house, second, Verb.SKIP, "a")
        row = await house.end(second)
        assert (row.status, row.forced) == (Status.COMPLETED, True)
        assert len(house.services.calls) == 1
        held.answer()
        assert (await house.end(first)).status is Status.COMPLETED


async def test_a_passed_over_undo_that_is_retried_while_another_runs_is_undone_beside_it() -> None:
    async with House(define("a", step("b", on_failure="continue"), "c")) as house:
        house.services.plan("c", "do", Reaction.REFUSE)
        house.services.plan("b", "undo", Reaction.REFUSE)
        held = house.services.hold("a", "undo")
        saga_id = await house.start()
        await soon(held.arrived)
        await act(house, saga_id, Verb.RETRY, "b")
        await until(lambda: house.services.sent()[-1] == "undo b")
        held.answer()
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        assert house.services.sent()[3:] == ["undo b", "undo a", "undo b"]


async def test_an_action_that_meets_an_answer_on_its_way_is_told_that_the_saga_moved() -> None:
    async with House(ORDER) as house:
        held = house.services.hold("b")
        saga_id = await house.start()
        await soon(held.arrived)
        wanted = await action(house, saga_id, Verb.FAIL, "b")
        held.answer()
        await until(lambda: "do c" in house.services.sent())
        with pytest.raises(SagaMoved):
            await house.pool.act(saga_id, wanted)
        assert (await house.end(saga_id)).status is Status.COMPLETED


async def test_an_action_at_any_moment_of_a_sagas_last_write_is_done_or_refused_and_never_lost() -> None:
    for turns in range(30):
        async with House(define("a")) as house:
            held = house.services.hold("a")
            saga_id = await house.start()
            await soon(held.arrived)
            wanted = await action(house, saga_id, Verb.TERMINATE)
            held.answer()
            for _ in range(turns):
                await asyncio.sleep(0)
            (done,) = await asyncio.gather(house.pool.act(saga_id, wanted), return_exceptions=True)
            row = await house.sagas.wait(saga_id, timeout_s=20)
            if done is True:
                assert row.status is Status.TERMINATED
            else:
                assert isinstance(done, SagaMoved | SagaEnded)
                assert row.status is Status.COMPLETED
            await settled()
            check_that_nothing_is_left(house)


async def test_an_undecided_deadline_is_folded_in_before_an_action_is_judged() -> None:
    async with House(define("a", "b", ttl_s=0.5)) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        wanted = await action(house, saga_id, Verb.COMPLETE, "a")
        await asyncio.sleep(0.51)
        (done,) = await asyncio.gather(house.pool.act(saga_id, wanted), return_exceptions=True)
        assert isinstance(done, SagaMoved | SagaEnded)
        assert (await house.end(saga_id)).status is Status.COMPENSATED


@pytest.mark.parametrize("verb", [Verb.COMPLETE, None], ids=["an action", "a cancel"])
async def test_a_refusal_tells_of_no_deadline_that_is_not_durable(verb: Verb | None) -> None:
    slow = SlowAppends(MemoryJournal())
    # The step waits for its slot: so nothing is begun, and the deadline is the saga's end.
    async with House(define("a", ttl_s=0.05), store=slow.store, journal=slow, calls_max=0) as house:
        saga_id = await house.start()
        driver = house.pool._drivers[saga_id]
        await settled()
        wanted = None if verb is None else await action(house, saga_id, verb, "a")
        slow.pause_s = 0.02
        asked = driver.cancel("enough") if wanted is None else driver.act(wanted)
        # The driver sees the request first, and then that the deadline has come.
        time.sleep(0.06)  # noqa: ASYNC251
        with pytest.raises(SagaMoved if wanted else SagaEnded):
            await asked
        assert "DeadlinePassed" in await house.told(saga_id)


# Asleep, or being parked


async def asleep(services: Services) -> tuple[House, SagaId]:
    """The next coordinator, in which a saga sleeps until its next attempt is due."""
    house = House(define("a", step("b", wait_s=LONG_S), "c"), services=services)
    services.plan("b", "do", Reaction.FAULT)
    saga_id = await house.start()
    await until_waiting(house, saga_id)
    await house.pool.park(grace_s=0)
    after = house.successor()
    await after.pool.recover()
    assert saga_id in after.pool._sleepers
    return after, saga_id


async def test_an_action_wakes_a_saga_that_sleeps() -> None:
    house, saga_id = await asleep(Services())
    async with house:
        await act(house, saga_id, Verb.SKIP, "b")
        assert (await house.end(saga_id)).status is Status.COMPLETED
        await settled()
        check_that_nothing_is_left(house)


async def test_whoever_was_woken_for_an_action_is_not_woken_again_when_it_is_due() -> None:
    house, saga_id = await asleep(Services())
    async with house:
        held = house.services.hold("c")
        await act(house, saga_id, Verb.SKIP, "b")
        await soon(held.arrived)
        before = await house.told(saga_id)
        house.pool.rouse(saga_id)  # its time has come
        await settled()
        assert await house.told(saga_id) == before
        check_that_nothing_is_left(house)
        held.answer()
        assert (await house.end(saga_id)).status is Status.COMPLETED
        await settled()
        check_that_nothing_is_left(house)


async def test_whoever_sleeps_while_the_coordinator_leaves_is_left_to_the_next_one() -> None:
    house, saga_id = await asleep(Services())
    async with house:
        house.pool.refuse_new()
        before = await house.told(saga_id)
        house.pool.rouse(saga_id)
        await settled()
        assert await house.told(saga_id) == before
        assert saga_id in house.pool._sleepers


async def test_an_action_that_is_refused_leaves_a_sleeper_to_its_driver() -> None:
    house, saga_id = await asleep(Services())
    async with house:
        wrong = await action(house, saga_id, Verb.SKIP, "a")
        with pytest.raises(IllegalTransition, match="is passed"):
            await house.pool.act(saga_id, wrong)
        check_that_nothing_is_left(house)
        assert (await house.told(saga_id))[-1] == "SagaResumed"
        await act(house, saga_id, Verb.RETRY, "b")
        assert (await house.end(saga_id)).status is Status.COMPLETED
        await settled()
        check_that_nothing_is_left(house)


async def test_an_action_that_comes_twice_at_once_to_a_sleeper_is_done_once() -> None:
    house, saga_id = await asleep(Services())
    async with house:
        wanted = await action(house, saga_id, Verb.RETRY, "b")
        other = await action(house, saga_id, Verb.FAIL, "b")
        done = await asyncio.gather(
            *(house.pool.act(saga_id, each) for each in (wanted, wanted, other)), return_exceptions=True
        )
        assert done[:2] == [True, False]
        assert isinstance(done[2], SagaMoved)
        assert (await house.end(saga_id)).status is Status.COMPLETED
        assert await actions_of(house, saga_id) == ["RETRY b"]
        await settled()
        check_that_nothing_is_left(house)


async def test_a_sleeper_that_cannot_be_read_is_set_aside_when_somebody_acts() -> None:
    plain, saga_id = await asleep(Services())
    await plain.dies()
    store = plain.store.reopened()
    journal = Damaged(store)
    async with plain.successor(store=store, journal=journal) as house:
        await house.pool.recover()
        wanted = await action(house, saga_id, Verb.SKIP, "b")
        journal.damaged.add(saga_id)
        with pytest.raises(IllegalTransition, match="can only be terminated"):
            await house.pool.act(saga_id, wanted)
        row = (await house.sagas.get(saga_id)).summary
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        await settled()
        check_that_nothing_is_left(house)


async def test_a_sleeper_that_is_set_aside_when_somebody_acts_can_be_ended_by_that_action() -> None:
    class DamagedOnce(JournalAround):
        damaged = False

        async def history(self, saga_id: SagaId):  # type: ignore[no-untyped-def]
            if self.damaged:
                self.damaged = False
                raise JournalCorrupt(saga_id, 2, "its digest does not match")
            return await self.inner.history(saga_id)

    plain, saga_id = await asleep(Services())
    await plain.dies()
    store = plain.store.reopened()
    journal = DamagedOnce(store)
    async with plain.successor(store=store, journal=journal) as house:
        await house.pool.recover()
        wanted = await action(house, saga_id, Verb.TERMINATE)
        await settled()  # each sleeper is looked at once
        journal.damaged = True
        assert await house.pool.act(saga_id, wanted)
        row = await house.sagas.wait(saga_id, timeout_s=20)
        assert (row.status, row.needs_person) == (Status.TERMINATED, False)
        assert await actions_of(house, saga_id) == ["TERMINATE"]
        await settled()
        check_that_nothing_is_left(house)


async def test_a_coordinator_that_parks_takes_no_action_and_has_written_none() -> None:
    house, saga_id = await asleep(Services())
    resting = await dead_letter_in(house)
    records = [await house.history(each) for each in (saga_id, resting)]
    wanted = [await action(house, saga_id, Verb.SKIP, "b"), await action(house, resting, Verb.SKIP, "b")]
    house.pool.refuse_new()
    for each, one in zip((saga_id, resting), wanted, strict=True):
        with pytest.raises(Draining):
            await house.sagas.act(each, one)
    await house.pool.park(grace_s=0)
    with pytest.raises(Draining):
        await house.sagas.act(resting, wanted[1])
    await settled()
    assert [await house.history(each) for each in (saga_id, resting)] == records
    async with house.successor() as after:
        await after.pool.recover()
        assert (await after.sagas.act(resting, wanted[1])).effect is not None
        assert (await after.end(resting)).status is Status.COMPENSATED


async def test_a_dead_letter_that_wakes_while_the_coordinator_parks_is_acted_on_and_sends_nothing() -> None:
    class SlowReads(JournalAround):
        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            records = await super().history(saga_id)
            reading.set()
            await go_on.wait()
            return records

    reading, go_on, store = asyncio.Event(), asyncio.Event(), MemoryJournal()
    go_on.set()
    house = House(define("a", "b", "c"), store=store, journal=SlowReads(store))
    resting = await dead_letter_in(house)
    wanted = await action(house, resting, Verb.RETRY, "b")
    sent = len(house.services.calls)
    reading.clear()
    go_on.clear()
    acting = asyncio.ensure_future(house.pool.act(resting, wanted))
    await soon(reading)
    parking = asyncio.ensure_future(house.pool.park(grace_s=20))
    await settled()
    go_on.set()
    await parking
    assert await acting
    assert len(house.services.calls) == sent
    assert house.is_idle


async def dead_letter_in(house: House) -> SagaId:
    house.services.plan("c", "do", Reaction.REFUSE)
    house.services.plan("b", "undo", Reaction.REFUSE)
    saga_id = await house.start()
    await house.end(saga_id)
    return saga_id


async def test_limits_on_new_sagas_stop_no_operator() -> None:
    async with House(ORDER, sagas_max=1) as house:
        saga_id = await dead_letter(house)
        held = house.services.hold("a")
        other = await house.start()
        await soon(held.arrived)
        await act(house, saga_id, Verb.RETRY, "b")
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        held.answer()
        assert (await house.end(other)).status is Status.COMPLETED
        await settled()
        assert house.pool._open == 0


# Set aside


class Damaged(JournalAround):
    """Cannot read some sagas back."""

    def __init__(self, store: MemoryJournal) -> None:
        super().__init__(store)
        self.store = store
        self.damaged: set[SagaId] = set()

    async def history(self, saga_id: SagaId):  # type: ignore[no-untyped-def]
        if saga_id in self.damaged:
            raise JournalCorrupt(saga_id, 2, "its digest does not match")
        return await self.inner.history(saga_id)


async def set_aside(house: House, error: Exception | None = None) -> SagaId:
    """A saga that a fault of ours stopped while its second step was asked for."""
    house.services.plan("b", "do", error or RuntimeError("a fault of ours"))
    saga_id = await house.start()
    row = await house.sagas.wait(saga_id, timeout_s=20)
    assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
    return saga_id


async def test_a_saga_that_was_set_aside_is_driven_on_once_the_cause_is_gone() -> None:
    async with House(ORDER) as house:
        saga_id = await set_aside(house)
        view, possible = await house.sagas.possible_actions(saga_id)
        assert view.set_aside
        assert [event.verb for event, _ in possible] == [Verb.RETRY, Verb.TERMINATE]
        acted = await act(house, saga_id, Verb.RETRY)
        assert acted.effect is not None
        assert (acted.effect.status_after, acted.effect.status_in_the_end) == (
            Status.RUNNING,
            Status.COMPLETED,
        )
        row = await house.end(saga_id)
        assert (row.status, row.needs_person, row.forced, row.error_message) == (
            *(Status.COMPLETED, False, False),
            "",
        )
        attempts = [call.attempt for call in house.services.calls if call.step == "b"]
        assert attempts == [1, 2], "a call may have been lost"
        await settled()
        check_that_nothing_is_left(house)


async def test_a_saga_that_still_cannot_be_driven_is_set_aside_again_with_the_new_reason() -> None:
    async with House(ORDER) as house:
        saga_id = await set_aside(house)
        first = (await house.sagas.get(saga_id)).summary.error_message
        house.services.plan("b", "do", ValueError("another fault"))
        await act(house, saga_id, Verb.RETRY)
        row = await house.sagas.wait(saga_id, timeout_s=20)
        assert row.status is Status.DEAD_LETTERED
        assert (await house.sagas.get(saga_id)).set_aside
        assert "RuntimeError" in first
        assert "ValueError" in row.error_message
        assert "RuntimeError" not in row.error_message
        await settled()
        check_that_nothing_is_left(house)


async def test_a_set_aside_saga_can_be_acted_on_after_its_deadline_has_come() -> None:
    for verb, status in ((Verb.RETRY, Status.COMPENSATED), (Verb.TERMINATE, Status.TERMINATED)):
        async with House(define("a", "b", "c", ttl_s=2.0)) as house:
            saga_id = await set_aside(house)
            await asyncio.sleep(2.01)
            acted = await act(house, saga_id, verb)
            assert acted.effect is not None
            assert acted.effect.status_in_the_end is status
            assert (await house.end(saga_id)).status is status


async def test_nobody_takes_a_saga_up_while_its_quarantine_is_being_written() -> None:
    class Slow(JournalAround):
        async def quarantine(self, quarantine: Quarantine) -> None:
            writing.set()
            await asyncio.sleep(0.02)
            await self.inner.quarantine(quarantine)

    writing = asyncio.Event()
    store = MemoryJournal()
    async with House(ORDER, store=store, journal=Slow(store)) as house:
        house.services.plan("b", "do", RuntimeError("a fault of ours"))
        saga_id = await house.start()
        await soon(writing)
        wanted = await action(house, saga_id, Verb.SKIP, "b")
        with pytest.raises(IllegalTransition, match="was set aside"):
            await house.pool.act(saga_id, wanted)
        row = await house.sagas.wait(saga_id, timeout_s=20)
        assert row.status is Status.DEAD_LETTERED
        await act(house, saga_id, Verb.RETRY)
        assert (await house.end(saga_id)).status is Status.COMPLETED
        await settled()
        check_that_nothing_is_left(house)


async def test_a_saga_that_cannot_be_read_can_only_be_terminated() -> None:
    store = MemoryJournal()
    first = House(ORDER, store=store)
    held = first.services.hold("b")
    saga_id = await first.start()
    await soon(held.arrived)
    await first.dies()
    reopened = store.reopened()
    journal = Damaged(reopened)
    journal.damaged.add(saga_id)
    async with first.successor(store=reopened, journal=journal) as house:
        await house.pool.recover()
        view, possible = await house.sagas.possible_actions(saga_id)
        assert (view.saga, view.summary.status) == (None, Status.DEAD_LETTERED)
        assert await house.sagas.undo_plan(view, with_inputs=True) is None
        assert [event.verb for event, _ in possible] == [Verb.TERMINATE]
        for verb, name in ((Verb.RETRY, None), (Verb.SKIP, "b")):
            with pytest.raises(IllegalTransition, match="can only be terminated"):
                await act(house, saga_id, verb, name)
        wanted = await action(house, saga_id, Verb.TERMINATE)
        acted = await house.sagas.act(saga_id, wanted)
        row = acted.view.summary
        assert (row.status, row.needs_person, row.forced) == (Status.TERMINATED, False, True)
        assert row.error_message.startswith("Terminated by ada (she knows). It cannot be read back")
        with pytest.raises(SagaEnded):
            await house.sagas.act(saga_id, wanted)
        assert await house.sagas.possible_actions(saga_id) == (acted.view, [])
        assert await reopened.open_sagas() == []
        journal.damaged.clear()
        assert (await house.saga(saga_id)).status is Status.TERMINATED, "also once it can be read again"
        check_that_nothing_is_left(house)


# When the journal fails, or the coordinator dies


async def test_an_action_that_the_journal_fails_on_is_not_called_done_and_stops_the_coordinator() -> None:
    class Fails(JournalAround):
        broken = False

        async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            if self.broken:
                raise JournalUnavailable("the disk is gone")
            return await self.inner.append(*args, **kwargs)

    for wakes in (True, False):
        store = MemoryJournal()
        journal = Fails(store)
        house = House(ORDER, store=store, journal=journal)
        if wakes:
            saga_id = await dead_letter(house)
        else:
            held = house.services.hold("b")
            saga_id = await house.start()
            await soon(held.arrived)
        calls = len(house.services.calls)
        journal.broken = True
        wanted = await action(house, saga_id, Verb.SKIP, "b")
        with pytest.raises((Draining, JournalUnavailable)):
            await house.sagas.act(saga_id, wanted)
        assert await house.pool.failed == "the disk is gone"
        assert len(house.services.calls) == calls, "nothing is done that is not durable"
        await house.dies()
        async with house.successor() as after:
            again = None if wakes else after.services.hold("b")
            await after.pool.recover()
            if again is not None:
                await soon(again.arrived)
            await act(after, saga_id, Verb.SKIP, "b")
            row = await after.end(saga_id)
            assert row.status is (Status.COMPENSATED if wakes else Status.COMPLETED)
            assert await actions_of(after, saga_id) == ["SKIP b"]


async def test_a_failed_write_of_the_end_of_an_unreadable_saga_stops_the_coordinator_too() -> None:
    class Fails(Damaged):
        async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            if self.damaged:
                raise JournalUnavailable("the disk is gone")
            return await self.inner.append(*args, **kwargs)

    journal = Fails(MemoryJournal())
    async with House(ORDER, store=journal.store, journal=journal) as house:
        saga_id = await set_aside(house)
        journal.damaged.add(saga_id)
        with pytest.raises(JournalUnavailable):
            await act(house, saga_id, Verb.TERMINATE)
        assert await house.pool.failed == "the disk is gone"


@pytest.mark.parametrize("durable", [True, False], ids=["written", "not written"])
@pytest.mark.parametrize("verb", [Verb.RETRY, Verb.SKIP, Verb.COMPLETE, Verb.TERMINATE])
async def test_a_death_at_any_write_around_an_action_does_nothing_twice_and_loses_nothing(
    verb: Verb, durable: bool
) -> None:
    deaths = 0
    for at in range(1, 9):
        house = House(ORDER)
        saga_id = await dead_letter(house)
        wanted = await action(house, saga_id, verb, None if verb is Verb.TERMINATE else "b")
        dying = House(
            ORDER,
            store=house.store,
            journal=(journal := Dies(house.store, at=at, durable=durable)),
            services=house.services,
            dice=house.dice,
        )
        acting = asyncio.ensure_future(dying.sagas.act(saga_id, wanted))
        await until(
            lambda acting=acting, dying=dying, journal=journal: (  # type: ignore[misc]
                journal.dead.is_set() or (acting.done() and dying.is_idle)
            )
        )
        died = journal.dead.is_set()
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        await dying.dies()
        async with dying.successor() as after:
            await after.pool.recover()
            await after.sagas.act(saga_id, wanted)  # the operator had no answer, and asks again
            row = await after.end(saga_id)
            assert row.status is (Status.TERMINATED if verb is Verb.TERMINATE else Status.COMPENSATED)
            assert row.forced == (verb is not Verb.RETRY)
            assert len(await actions_of(after, saga_id)) == 1
            for late in after.services.cut_off:
                after.services.world.deliver(late, SUCCEEDS)
            saga = await after.saga(saga_id)
            judge(saga.definition, saga, after.services.world)
            await settled()
            check_that_nothing_is_left(after)
        await house.pool.park(grace_s=0)
        if not died:
            break
        deaths += 1
    else:
        raise AssertionError("there are more writes than this")
    assert deaths == {Verb.RETRY: 3, Verb.SKIP: 2, Verb.COMPLETE: 2, Verb.TERMINATE: 1}[verb]


@pytest.mark.parametrize("durable", [True, False], ids=["written", "not written"])
@pytest.mark.parametrize("verb", SETTLED)
async def test_a_death_at_any_write_around_an_action_on_a_running_saga_loses_and_doubles_nothing(
    verb: Verb, durable: bool
) -> None:
    for at in range(1, 9):
        first = House(ORDER)
        held = [first.services.hold("b") for _ in range(3)]  # it never answers by itself
        saga_id = await first.start()
        await soon(held[0].arrived)
        await first.dies()
        store = first.store.reopened()
        journal = Dies(store, at=at, durable=durable)
        dying = first.successor(store=store, journal=journal)
        await dying.pool.recover()
        await until(lambda journal=journal, held=held: journal.dead.is_set() or held[1].arrived.is_set())  # type: ignore[misc]
        wanted = await action(dying, saga_id, verb, None if verb is Verb.TERMINATE else "b")
        acting = asyncio.ensure_future(dying.sagas.act(saga_id, wanted))
        await until(
            lambda acting=acting, dying=dying, journal=journal: (  # type: ignore[misc]
                journal.dead.is_set() or (acting.done() and dying.is_idle)
            )
        )
        died = journal.dead.is_set()
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        await dying.dies()
        async with dying.successor() as after:
            await after.pool.recover()
            await ask_again(after, saga_id, wanted)
            row = await after.sagas.wait(saga_id, timeout_s=20)
            assert row.status is SETTLED[verb][0]
            assert len(await actions_of(after, saga_id)) == 1
            for late in after.services.cut_off:
                after.services.world.deliver(late, SUCCEEDS)
            saga = await after.saga(saga_id)
            judge(saga.definition, saga, after.services.world)
            await settled()
            check_that_nothing_is_left(after)
        if not died:
            return
    raise AssertionError("there are more writes than this")


async def ask_again(house: House, saga_id: SagaId, wanted: Action) -> None:
    """What an operator does who had no answer: the same again, and once more by what they see then."""
    for _ in range(3):
        try:
            await house.sagas.act(saga_id, wanted)
        except SagaMoved as moved:
            wanted = replace(wanted, seq_seen=moved.seq)
            await settled()
        else:
            return
    raise AssertionError("it moves and moves")


async def test_a_pending_undo_that_is_retried_is_asked_at_once_and_uses_up_no_attempt() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", Reaction.REFUSE)
        house.services.plan("a", "undo", Pending(LONG_S))
        saga_id = await house.start()
        await until_waiting(house, saga_id)
        await act(house, saga_id, Verb.RETRY, "a")
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        assert [call.attempt for call in house.services.calls][-2:] == [1, 1]


async def test_a_watch_that_begins_after_a_dead_letter_sees_all_that_an_operator_led_to() -> None:
    async with House(ORDER) as house:
        saga_id = await dead_letter(house)
        seen = (await house.sagas.get(saga_id)).summary.seq
        held = house.services.hold("b", "undo")
        await act(house, saga_id, Verb.RETRY, "b")

        async def watch() -> list[tuple[int, Status]]:
            told = house.sagas.watch(saga_id, seen)
            return [(record.seq, status) async for record, status in told if record is not None]

        watching = asyncio.ensure_future(watch())
        await soon(held.arrived)
        held.answer()
        told = await watching
        assert [seq for seq, _ in told] == list(range(seen + 1, seen + 1 + len(told)))
        assert told[0][1] is Status.COMPENSATING
        assert told[-1][1] is Status.COMPENSATED


async def test_a_row_that_was_read_before_the_newest_record_makes_no_saga_seem_set_aside() -> None:
    class Late(JournalAround):
        between: "asyncio.Future[None] | None" = None

        async def history(self, saga_id: SagaId):  # type: ignore[no-untyped-def]
            if self.between is not None:
                between, self.between = self.between, None
                reading.set()
                await between
            return await self.inner.history(saga_id)

    reading = asyncio.Event()
    store = MemoryJournal()
    journal = Late(store)
    async with House(ORDER, store=store, journal=journal) as house:
        saga_id = await dead_letter(house)
        held = house.services.hold("b", "undo")
        journal.between = asyncio.get_running_loop().create_future()
        between = journal.between
        looking = asyncio.ensure_future(house.sagas.get(saga_id))
        await soon(reading)
        await act(house, saga_id, Verb.RETRY, "b")
        await soon(held.arrived)
        between.set_result(None)
        view = await looking
        assert not view.set_aside
        assert (view.summary.status, view.summary.seq) == (Status.COMPENSATING, len(view.records))
        held.answer()
        await house.end(saga_id)


async def test_a_long_plan_holds_nobody_up() -> None:
    async with House(define(*(f"s{number}" for number in range(60)))) as house:
        held = house.services.hold("s0")
        saga_id = await house.start()
        await soon(held.arrived)
        looking = asyncio.ensure_future(house.sagas.possible_actions(saga_id))
        turns = 0
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
        _, possible = await looking
        assert turns > 2 * len(possible), "each effect lets others have their turn"
        assert len(possible[0][1].planned) == 59


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE])
async def test_an_execute_that_is_still_out_is_cut_off_when_a_person_settles_its_undo(verb: Verb) -> None:
    async with House(ORDER, calls_max=1) as house:
        held = house.services.hold("b")
        saga_id = await house.start()
        await soon(held.arrived)
        await act(house, saga_id, Verb.CANCEL)
        await act(house, saga_id, verb, "b")
        await soon(held.cut)
        row = await house.end(saga_id)
        assert (row.status, row.forced) == (Status.COMPENSATED, True)
        assert house.services.sent() == ["do a", "do b", "undo a"]
        # Nothing barred it: what a person settled is theirs to look after.
        for late in house.services.cut_off:
            house.services.world.deliver(late, SUCCEEDS)
        saga = await house.saga(saga_id)
        judge(saga.definition, saga, house.services.world)


async def test_an_operator_may_cancel_while_an_execute_is_out_and_it_is_undone_once_it_answers() -> None:
    async with House(ORDER) as house:
        held = house.services.hold("b")
        saga_id = await house.start()
        await soon(held.arrived)
        await act(house, saga_id, Verb.CANCEL)
        with pytest.raises(IllegalTransition, match="has not begun"):
            await act(house, saga_id, Verb.FAIL, "b")
        held.answer()
        assert (await house.end(saga_id)).status is Status.COMPENSATED
        assert house.services.sent()[2:] == ["undo b", "undo a"]
        assert not (await house.saga(saga_id)).forced


class Unread(JournalAround):
    """Reads nothing back while it has an error to raise."""

    error: Exception | None = None

    async def history(self, saga_id: SagaId):  # type: ignore[no-untyped-def]
        if self.error is not None:
            raise self.error
        return await self.inner.history(saga_id)


@pytest.mark.parametrize(
    "error", [Overloaded("the read took too long"), JournalUnavailable("the disk is gone")], ids=str
)
async def test_what_cannot_be_read_at_this_moment_is_not_taken_for_damaged(error: Exception) -> None:
    store = MemoryJournal()
    journal = Unread(store)
    house = House(ORDER, store=store, journal=journal)
    saga_id = await dead_letter(house)
    wanted = await action(house, saga_id, Verb.TERMINATE)
    journal.error = error
    with pytest.raises(type(error)):
        await house.pool.act(saga_id, wanted)
    assert house.pool.failed.done() == isinstance(error, JournalUnavailable)
    assert await actions_of(house, saga_id) == []
    row = await store.find(saga_id)
    assert row is not None
    assert row.status is Status.DEAD_LETTERED
    await house.pool.park(grace_s=0)


async def test_an_action_that_comes_when_a_sleeper_is_just_waking_finds_one_owner() -> None:
    house, saga_id = await asleep(Services())
    async with house:
        wanted = await action(house, saga_id, Verb.RETRY, "b")
        house.pool.rouse(saga_id)  # its time has come
        with pytest.raises(SagaMoved):
            await house.pool.act(saga_id, wanted)
        check_that_nothing_is_left(house)
        await act(house, saga_id, Verb.RETRY, "b")
        assert (await house.end(saga_id)).status is Status.COMPLETED


async def test_only_coming_to_rest_is_counted_as_rest() -> None:
    class Rests(NoTelemetry):
        def saga_rested(self, saga_name: str, status: Status, duration_s: float, trace: str) -> None:
            rests.append(status)

    rests: list[Status] = []
    order = define(step("a", on_failure="continue"), step("b", on_failure="continue"), "c")
    async with House(order, telemetry=Rests()) as house:
        for name in ("a", "b"):
            house.services.plan(name, "undo", Reaction.REFUSE)
        house.services.plan("c", "do", Reaction.REFUSE)
        saga_id = (await house.run()).id
        assert rests == [Status.DEAD_LETTERED]
        # It rests before and after it: nothing came to rest.
        await act(house, saga_id, Verb.SKIP, "b")
        assert rests == [Status.DEAD_LETTERED]
        await act(house, saga_id, Verb.SKIP, "a")
        await house.end(saga_id)
        await settled()
        assert rests == [Status.DEAD_LETTERED, Status.COMPENSATED]


async def test_large_sagas_take_turns_to_be_played_and_a_small_one_waits_for_none_of_them() -> None:
    large = define(*(step(f"s{place}", service="shop") for place in range(LARGE_STEPS_MIN)), name="Large")
    async with House(large, define("a", name="Small")) as house:
        views = [await house.sagas.get((await house.run(name=name)).id) for name in ("Large", "Small")]
        async with house.sagas._playing:
            waiting = asyncio.ensure_future(house.sagas.undo_plan(views[0], with_inputs=False))
            async with asyncio.timeout(PATIENCE_S):
                assert await house.sagas.undo_plan(views[1], with_inputs=False) is not None
            assert not waiting.done()
        assert await waiting is not None
