"""What breaks down: one saga goes to a person and the others go on; a lost journal stops everything."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.domain.errors import DefinitionMoved, Draining, JournalUnavailable, SagaError, Unavailable
from coordinator.domain.events import SagaStarted
from coordinator.domain.ids import Digest, SagaId, StepName
from coordinator.domain.outcomes import NoProof, Unproved
from coordinator.domain.saga import Status
from coordinator.domain.summary import summarize
from coordinator.ports.journal import Quarantine, Record, Request
from coordinator.simulation.world import Reaction
from tests.scenarios.house import PATIENCE_S, House, JournalAround, define, settled, soon, step, until
from tests.unit.machine.tale import Tale

STALE = NoProof(Unproved.STALE_TOKEN, "STALE_TOKEN", "")


@pytest.mark.parametrize("way", ["do", "undo"])
async def test_a_call_that_breaks_down_puts_its_saga_before_a_person_and_the_others_go_on(way: str) -> None:
    async with House(define("a", "b")) as house:
        if way == "undo":
            house.services.plan("b", "do", Reaction.REFUSE)
        house.services.plan("a", "do" if way == "do" else "undo", RuntimeError("a bug"))
        broken = await house.start()
        others = [await house.start() for _ in range(3)]
        row = await house.sagas.wait(broken, timeout_s=20)
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        assert "RuntimeError" in row.error_message
        assert "a bug" not in row.error_message  # it may quote a payload
        assert {(await house.end(saga_id)).status for saga_id in others} == {Status.COMPLETED}
        assert not house.pool.failed.done()


async def test_a_call_that_cannot_even_be_made_puts_its_saga_before_a_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with House(define("a", "b"), calls_max=1) as house:
        with monkeypatch.context() as broken:
            broken.setattr(house.services, "perform", _break)
            row = await house.run()
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        assert "RuntimeError" in row.error_message
        assert house.pool._open == 0
        house.check_that_all_slots_are_free()
        assert (await house.run()).status is Status.COMPLETED


async def test_what_breaks_down_over_the_end_of_a_saga_is_told_and_costs_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with House(define("a")) as house:
        with monkeypatch.context() as broken:
            broken.setattr(house.pool, "_rested", _break)
            saga_id = await house.start()
            await until(lambda: bool(told))
        assert [type(context["exception"]) for context in told] == [RuntimeError]
        assert (await house.end(saga_id)).status is Status.COMPLETED
        assert house.pool._open == 0
        assert (await house.run()).status is Status.COMPLETED


async def test_what_is_left_at_once_while_a_saga_is_set_aside_keeps_nobody_waiting() -> None:
    async with House(define("a")) as house:
        saga_id = (await house.run()).id
        setting_aside = house.pool._quarantine(saga_id, "It was broken.", house.clock)
        waiting = asyncio.ensure_future(house.pool.cancel(saga_id, "changed my mind"))
        await house.pool.abandon()
        assert setting_aside.cancelled()
        assert await asyncio.wait_for(waiting, PATIENCE_S) is False


async def test_a_saga_that_breaks_down_is_forgotten_by_nobody_and_driven_by_nobody() -> None:
    async with House(define("a")) as house:
        house.services.plan("a", "do", RuntimeError("a bug"))
        saga_id = (await house.run()).id
        assert (await house.sagas.get(saga_id)).summary.status is Status.DEAD_LETTERED
        async with house.successor() as next_house:
            assert await next_house.pool.recover() == 0
            assert (await next_house.sagas.get(saga_id)).summary.status is Status.DEAD_LETTERED


@pytest.mark.parametrize("way", ["do", "undo"])
async def test_a_saga_that_a_newer_coordinator_drives_is_left_to_it(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with House(define("a", "b")) as house:
        if way == "undo":
            house.services.plan("b", "do", Reaction.REFUSE)
        house.services.plan("a", "do" if way == "do" else "undo", STALE)
        with caplog.at_level(logging.ERROR):
            row = await house.run()
        assert row.status is Status.DEAD_LETTERED
        assert "has seen a newer fencing token" in row.error_message
        assert house.services.sent()[-1] == f"{way} a"
        assert (await house.run()).status is Status.COMPLETED


class Breaks(JournalAround):
    """Fails for good from the moment that the test says so."""

    def __init__(self, inner: JournalAround) -> None:
        super().__init__(inner)
        self.broken = False

    async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self._check()
        return await self.inner.start(*args, **kwargs)

    async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self._check()
        return await self.inner.append(*args, **kwargs)

    def _check(self) -> None:
        if self.broken:
            raise JournalUnavailable("the disk is gone")


def a_house_that_breaks(*steps: str) -> tuple[House, Breaks]:
    plain = House(define(*steps))
    journal = Breaks(JournalAround(plain.store))
    return House(define(*steps), store=plain.store, journal=journal), journal


async def test_when_the_journal_fails_the_process_is_told_and_the_saga_sends_nothing_more() -> None:
    house, journal = a_house_that_breaks("a", "b")
    async with house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        journal.broken = True
        held.answer()
        assert await asyncio.wait_for(house.pool.failed, 20) == "the disk is gone"
        await settled()
        assert house.services.sent() == ["do a"]
        assert len(await house.store.open_sagas()) == 1
        assert await house.told(saga_id) == ["SagaStarted", "StepBegun a"]


async def test_when_the_journal_fails_a_start_fails_with_it() -> None:
    house, journal = a_house_that_breaks("a")
    async with house:
        journal.broken = True
        with pytest.raises(JournalUnavailable):
            await house.start()
        assert house.pool.failed.done()
        assert house.services.calls == []


class Hangs(JournalAround):
    """Takes its time with a start, and then fails."""

    def __init__(self, inner: JournalAround) -> None:
        super().__init__(inner)
        self.arrived, self.fails = asyncio.Event(), asyncio.Event()

    async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.arrived.set()
        await self.fails.wait()
        raise JournalUnavailable("the disk is gone")


async def test_a_start_that_fails_when_its_caller_has_left_is_told_to_the_process_all_the_same() -> None:
    plain = House(define("a"))
    journal = Hangs(JournalAround(plain.store))
    async with House(define("a"), store=plain.store, journal=journal) as house:
        starting = asyncio.ensure_future(house.start())
        await soon(journal.arrived)
        starting.cancel()
        await asyncio.wait([starting])
        journal.fails.set()
        assert await asyncio.wait_for(house.pool.failed, 20) == "the disk is gone"
        await settled()
        assert house.pool._open == 0


async def test_when_the_journal_fails_whoever_cancels_is_told_to_ask_again() -> None:
    house, journal = a_house_that_breaks("a", "b")
    async with house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        journal.broken = True
        with pytest.raises(Draining):
            await house.sagas.cancel(saga_id, "")
        assert house.pool.failed.done()


async def test_after_the_first_failure_of_the_journal_each_start_is_told_its_own() -> None:
    house, journal = a_house_that_breaks("a")
    async with house:
        journal.broken = True
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match=r"^the disk is gone$"):
                await house.start()
        assert house.pool._open == 0


async def test_a_saga_that_cannot_even_be_set_aside_stops_the_coordinator_and_is_open_after_the_restart() -> (
    None
):
    class SetsNothingAside(JournalAround):
        async def quarantine(self, quarantine: Quarantine) -> None:
            raise JournalUnavailable("the disk is gone")

    store = MemoryJournal()
    async with House(define("a"), store=store, journal=SetsNothingAside(store)) as house:
        house.services.plan("a", "do", RuntimeError("a bug"))
        saga_id = await house.start()
        assert await asyncio.wait_for(house.pool.failed, PATIENCE_S) == "the disk is gone"
        assert not house.pool._setting_aside
        async with house.successor() as after:
            assert await after.pool.recover() == 1
            assert (await after.end(saga_id)).status is Status.COMPLETED


async def test_a_journal_that_cannot_be_read_at_the_start_blames_no_saga() -> None:
    class Gone(JournalAround):
        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            raise JournalUnavailable("the disk is gone")

    house = House(define("a"))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    await house.dies()
    store = house.store.reopened()
    async with house.successor(store=store, journal=Gone(store)) as next_house:
        await next_house.pool.recover()
        assert next_house.pool.failed.result() == "the disk is gone"
        row = await store.find(saga_id)
        assert row is not None
        assert (row.status, row.needs_person) == (Status.RUNNING, False)


async def test_whoever_asks_while_a_write_is_under_way_that_never_ends_is_told_to_ask_again() -> None:
    class Stuck(JournalAround):
        async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            writing.set()
            await asyncio.Event().wait()

    writing, store = asyncio.Event(), MemoryJournal()
    house = House(define("a"), store=store, journal=Stuck(store))
    saga_id = await house.start()
    await soon(writing)
    cancelling = asyncio.create_task(house.sagas.cancel(saga_id, ""))
    await settled()
    await house.pool.park(grace_s=0)
    with pytest.raises(Draining, match="is not driven here any more; ask again after the restart"):
        await cancelling


async def write_behind_its_back(house: House, saga_id: SagaId) -> None:
    """Somebody else writes the saga's next record."""
    row = house.pool._drivers[saga_id].summary
    stranger = Tale(define("a", "b")).is_cancelled().history[-1]
    await house.store.append(saga_id, [stranger], summary=replace(row, seq=row.seq + 1), seq_expected=row.seq)


async def test_a_record_that_cannot_be_written_twice_puts_the_saga_before_a_person() -> None:
    async with House(define("a", "b")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        await write_behind_its_back(house, saga_id)
        held.answer()
        row = await house.sagas.wait(saga_id, timeout_s=20)
        assert row.status is Status.DEAD_LETTERED
        assert "the journal has moved past record" in row.error_message


async def test_whoever_cancels_a_saga_that_breaks_down_over_it_is_told_to_look_at_it() -> None:
    async with House(define("a", "b")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        await write_behind_its_back(house, saga_id)
        with pytest.raises(Unavailable, match="look at the saga, then ask again") as refused:
            await house.sagas.cancel(saga_id, "")
        assert not isinstance(refused.value, Draining)


async def test_a_saga_whose_definition_is_lost_is_put_before_a_person_and_still_shown() -> None:
    house = House(define("a", "b"))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    await house.dies()
    store = house.store.reopened()
    store._kept.definitions.clear()
    async with house.successor(store=store) as next_house:
        assert await next_house.pool.recover() == 1
        row = await next_house.sagas.wait(saga_id, timeout_s=20)
        assert row.status is Status.DEAD_LETTERED
        assert "is not in the journal" in row.error_message
        view = await next_house.sagas.get(saga_id)
        assert view.summary == row
        assert view.saga is None
        assert type(view.records[0].event) is SagaStarted
        assert (await next_house.run()).status is Status.COMPLETED


class Unreadable(JournalAround):
    """Raises what the test says instead of a history."""

    error: Exception

    async def history(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        raise self.error


@pytest.mark.parametrize("error", [SagaError("damaged"), ValueError("a bug")], ids=["damaged", "a bug"])
@pytest.mark.parametrize("asleep", [False, True], ids=["due now", "due later"])
async def test_a_saga_that_cannot_be_read_back_is_put_before_a_person(error: Exception, asleep: bool) -> None:
    tale = Tale(define("a")).begins()
    async with House(define("a")) as house:
        now = house.clock.now()
        tale.history[0] = SagaStarted(
            now, SagaId("s"), "Order", tale.definition.digest, "{}", "test", tale.saga.request_id
        )
        row = summarize(tale.decision, 2)
        fields = dict(vars(row))
        fields |= {"id": SagaId("s"), "due_at": now + 0.05 if asleep else None}
        request = Request("test", row.request_id, Digest("x"), SagaId("s"))
        await house.store.start(request, tale.definition, tale.history, type(row)(**fields))
    journal = Unreadable(JournalAround(house.store))
    journal.error = error
    async with House(define("a"), store=house.store, journal=journal) as next_house:
        assert await next_house.pool.recover() == 1
        row = await next_house.sagas.wait(SagaId("s"), timeout_s=20)
        assert row.status is Status.DEAD_LETTERED
        assert "It cannot be read back" in row.error_message


async def test_a_saga_whose_input_makes_no_call_gives_its_slot_back() -> None:
    tale = Tale(define(step("a"), step("b")))
    async with House(define("a", "b"), calls_max=1) as house:
        born = tale.history[0]
        assert isinstance(born, SagaStarted)
        request = Request("test", born.request_id, Digest("x"), born.saga_id)
        bad = SagaStarted(
            born.at, born.saga_id, "Order", tale.definition.digest, "[]", "test", born.request_id
        )
        await house.store.start(request, tale.definition, [bad], summarize(tale.decision, 1))
        assert await house.pool.recover() == 1
        row = await house.sagas.wait(born.saga_id, timeout_s=20)
        assert row.status is Status.DEAD_LETTERED
        house.check_that_all_slots_are_free()


async def test_a_reader_of_a_saga_that_breaks_down_is_told_that_it_rests() -> None:
    async with House(define("a")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        seen: list[int | Status] = []

        async def read() -> None:
            async for record, status in house.sagas.watch(saga_id, 0):
                seen.append(status if record is None else record.seq)

        reading = asyncio.ensure_future(read())
        await until(lambda: len(seen) == 2)
        held._released.set_exception(RuntimeError("a bug"))
        await asyncio.wait_for(reading, 20)
        assert seen == [1, 2, Status.DEAD_LETTERED]
        assert house.services.calls[0].step == StepName("a")


async def test_a_reader_of_a_journal_that_fails_is_told_that_it_does() -> None:
    class Failing(JournalAround):
        fails = False

        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            if self.fails:
                raise JournalUnavailable("the disk is gone")
            return await super().history(saga_id)

    store = MemoryJournal()
    journal = Failing(store)
    async with House(define("a"), store=store, journal=journal) as house:
        saga_id = (await house.run()).id
        journal.fails = True
        with pytest.raises(JournalUnavailable):
            await anext(house.sagas.watch(saga_id, 0))


async def test_a_start_whose_definition_moves_on_the_way_begins_with_what_there_is_by_then() -> None:
    class Moves(JournalAround):
        """Refuses the first start, as if its definition had been retired meanwhile."""

        starts = 0

        async def start(self, *args: Any) -> Request:
            self.starts += 1
            if self.starts == 1:
                raise DefinitionMoved("Order", None)
            return await self.inner.start(*args)

    store = MemoryJournal()
    journal = Moves(store)
    async with House(define("a"), store=store, journal=journal) as house:
        assert (await house.run()).status is Status.COMPLETED
    assert journal.starts == 2


async def test_a_start_that_breaks_down_is_told_and_leaves_no_saga_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with House(define("a")) as house:
        with monkeypatch.context() as broken:
            broken.setattr(house.pool.archive, "keep", _break)
            with pytest.raises(RuntimeError):
                await house.start()
        assert [record.message for record in caplog.records] == ["a saga could not be started"]
        assert house.pool._open == 0
        assert (await house.run()).status is Status.COMPLETED


async def test_work_that_breaks_down_where_nobody_waits_for_it_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with House(define("a")) as house:
        monkeypatch.setattr(house.pool, "_look_at_sleepers", _break_later)
        await house.pool.recover()
        await settled()
        assert [record.message for record in caplog.records] == [
            "work of the engine failed: look at sleepers"
        ]


def _break(*_: object, **__: object) -> None:
    raise RuntimeError("a bug")


async def _break_later() -> None:
    raise RuntimeError("a bug")
