"""A start while it is being written: what is known of it, when it is told, and what ends it."""

import asyncio
import logging
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.adapters.no_tracing import NoTracing
from coordinator.domain.errors import Draining, JournalDamaged, JournalUnavailable, SagaNotFound
from coordinator.domain.ids import SagaId
from coordinator.domain.saga import Saga, Status
from coordinator.ports.deferred import Deferred
from coordinator.ports.journal import Request
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, JournalAround, define, settled

HANDLED = ContextVar("handled", default="")
"""Which call is being handled."""


class Deferring(JournalAround):
    """Its starts are over when the test says so, and told at once, as those of SQLite are."""

    def __init__(self, inner: MemoryJournal, *, in_a_task: bool = False) -> None:
        super().__init__(inner)
        self._in_a_task = in_a_task
        self._starts: list[tuple[tuple[object, ...], Deferred[Request]]] = []

    @property
    def saga_id(self) -> SagaId:
        """The one that is being started."""
        ((args, _),) = self._starts
        request = args[0]
        assert isinstance(request, Request)
        return request.saga_id

    def start(self, *args):  # type: ignore[no-untyped-def]
        holder: Deferred[Request] = Deferred()
        self._starts.append((args, holder))
        return self._awaited(holder) if self._in_a_task else holder

    async def write(self) -> None:
        """Let what is being started be durable, and be told of it."""
        starts, self._starts = self._starts, []
        for args, holder in starts:
            holder.settle(await self.inner.start(*args))  # type: ignore[arg-type]

    async def _awaited(self, holder: Deferred[Request]) -> Request:
        return await holder


def a_house(*, in_a_task: bool = False, tracing: NoTracing | None = None) -> tuple[House, Deferring]:
    store = MemoryJournal()
    journal = Deferring(store, in_a_task=in_a_task)
    return House(define("a"), store=store, journal=journal, tracing=tracing), journal


async def test_a_saga_is_driven_from_the_moment_in_which_its_start_is_durable() -> None:
    house, journal = a_house()
    async with house:
        starting = asyncio.ensure_future(house.accept())
        await settled()
        saga_id = journal.saga_id
        assert house.pool.driving(saga_id) is None
        await journal.write()
        assert house.pool.driving(saga_id) is not None
        assert (await starting).summary.id == saga_id
        assert (await house.end(saga_id)).status is Status.COMPLETED


async def test_a_saga_and_its_first_step_begin_at_one_moment() -> None:
    async with House(define("a")) as house:
        clock, reads = house.clock.now, iter(range(1_000_000))
        house.clock.now = lambda: clock() + next(reads)  # type: ignore[method-assign]
        born, begun, *_ = await house.history(await house.start())
        assert born.at == begun.at


async def test_what_is_not_known_to_be_durable_is_not_shown() -> None:
    house, journal = a_house()
    async with house:
        starting = asyncio.ensure_future(house.accept())
        await settled()
        saga_id = journal.saga_id
        assert house.pool.live(saga_id) is None
        with pytest.raises(SagaNotFound):
            await house.sagas.wait(saga_id, timeout_s=20)
        await journal.write()
        await house.end((await starting).summary.id)


class Begins(NoTracing):
    """Every saga has a trace, or nothing would be told of it."""

    def begin(self) -> str:
        return f"00-{'a' * 32}-{'b' * 16}-01"


async def test_a_start_is_told_to_tracing_in_the_context_of_its_call() -> None:
    class Listens(Begins):
        told: list[tuple[str, str]]

        def started(self, saga: Saga) -> None:
            self.told.append((saga.id, HANDLED.get()))

    async def call() -> SagaId:
        HANDLED.set("the call")
        return (await house.accept()).summary.id

    tracing = Listens()
    tracing.told = []
    house, journal = a_house(tracing=tracing)
    async with house:
        starting = asyncio.create_task(call(), context=copy_context())
        await settled()
        assert tracing.told == []
        await journal.write()
        saga_id = await starting
        assert tracing.told == [(saga_id, "the call")]
        await house.end(saga_id)


class BrokenTracing(Begins):
    def started(self, saga: Saga) -> None:
        raise RuntimeError("a bug")


class BrokenTelemetry(NoTelemetry):
    def saga_started(self, saga_name: str) -> None:
        raise RuntimeError("a bug")


@pytest.mark.parametrize("broken", [{"tracing": BrokenTracing()}, {"telemetry": BrokenTelemetry()}])
async def test_a_fault_in_telling_of_a_start_puts_the_saga_before_a_person_and_its_caller_is_answered(
    broken: dict[str, Any],
) -> None:
    store = MemoryJournal()
    journal = Deferring(store)
    async with House(define("a"), store=store, journal=journal, **broken) as house:
        starting = asyncio.ensure_future(house.accept())
        await settled()
        await journal.write()
        summary = await house.end((await starting).summary.id)
        assert (summary.status, summary.needs_person) == (Status.DEAD_LETTERED, True)
        assert house.services.calls == []
        await settled()
        assert house.is_idle
        assert house.pool._open == 0


async def test_a_start_that_joins_another_drives_nothing_of_its_own() -> None:
    store = MemoryJournal()
    first = House(define("a"), store=store)
    holder = await first.accept(request_id="r")
    await first.end(holder.summary.id)
    async with House(define("a"), store=store, journal=(journal := Deferring(store))) as house:
        house.dice.saga_id()  # another one than the first saga's
        joining = asyncio.ensure_future(house.accept(request_id="r"))
        await settled()
        await journal.write()
        assert house.is_idle
        assert (await joining).joined
        assert house.pool._open == 0


@pytest.mark.parametrize("in_a_task", [False, True])
async def test_a_start_that_is_abandoned_while_it_is_written_is_driven_by_nobody(in_a_task: bool) -> None:
    house, journal = a_house(in_a_task=in_a_task)
    async with house:
        starting = asyncio.ensure_future(house.accept(request_id="r"))
        await settled()
        await house.pool.abandon()
        assert house.is_idle
        assert house.pool._open == 0
        house.check_that_all_slots_are_free()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await journal.write()
        assert house.is_idle
        assert house.services.calls == []
        async with house.successor() as after:
            assert await after.pool.recover() == 1


async def test_a_start_that_is_over_when_it_is_abandoned_in_the_same_moment_is_driven_by_nobody() -> None:
    house, journal = a_house(in_a_task=True)
    async with house:
        starting = asyncio.ensure_future(house.accept())
        await settled()
        await journal.write()
        await asyncio.sleep(0)
        await house.pool.abandon()
        await asyncio.wait([starting])
        await settled()
        assert house.is_idle
        assert house.pool._open == 0


async def test_a_coordinator_that_parks_waits_for_starts_and_sends_nothing_for_them() -> None:
    house, journal = a_house()
    starting = asyncio.ensure_future(house.accept())
    await settled()
    parking = asyncio.ensure_future(house.pool.park(grace_s=20))
    await settled()
    assert not parking.done()
    with pytest.raises(Draining):
        await house.accept()
    await journal.write()
    await parking
    assert (await starting).summary.status is Status.RUNNING
    assert house.services.calls == []


async def test_a_coordinator_that_parks_leaves_starts_that_take_too_long() -> None:
    house, _ = a_house()
    starting = asyncio.ensure_future(house.accept())
    await settled()
    await house.pool.park(grace_s=0.01)
    with pytest.raises(asyncio.CancelledError):
        await starting


@pytest.mark.parametrize("error", [JournalUnavailable("the disk is gone"), RuntimeError("a bug")])
async def test_a_start_that_fails_at_once_is_told_to_its_caller(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Refuses(JournalAround):
        def start(self, *args):  # type: ignore[no-untyped-def]
            raise error

    store = MemoryJournal()
    async with House(define("a"), store=store, journal=Refuses(store)) as house:
        with caplog.at_level(logging.ERROR), pytest.raises(type(error)):
            await house.accept(request_id="r")
        is_ours = isinstance(error, RuntimeError)
        assert [r.message for r in caplog.records] == ["a saga could not be started"] * is_ours
        assert house.pool.failed.done() is not is_ours
        assert house.pool._open == 0
        assert house.is_idle


async def test_a_start_whose_caller_leaves_while_it_is_written_is_driven_all_the_same() -> None:
    house, journal = a_house()
    async with house:
        house.services.plan("a", "do", Reaction.REFUSE)
        starting = asyncio.ensure_future(house.accept())
        await settled()
        saga_id = journal.saga_id
        starting.cancel()
        await settled()
        await journal.write()
        assert (await house.end(saga_id)).status is Status.COMPENSATED


async def test_a_request_id_whose_saga_is_not_there_starts_no_second_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nobody(_: SagaId) -> None:
        return None

    async with House(define("a")) as house:
        first = await house.start(request_id="o-1")
        assert (await house.end(first)).status is Status.COMPLETED
        with monkeypatch.context() as lost:
            lost.setattr(house.store, "find", nobody)
            with pytest.raises(
                JournalDamaged, match=f"request id 'o-1' belongs to saga '{first}', and there is none"
            ):
                await house.start(request_id="o-1")
        assert await house.start(request_id="o-1") == first
        assert house.services.sent() == ["do a"]
