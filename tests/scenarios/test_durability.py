"""Durable before acted upon, and durable before shown."""

import asyncio
from collections.abc import Sequence

from coordinator.domain.events import Event, StepBegun, UndoBegun
from coordinator.domain.outcomes import Pending
from coordinator.domain.saga import Status
from coordinator.domain.summary import SagaSummary
from coordinator.ports.journal import Journal
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, JournalAround, define, settled, soon, step


class Slow(JournalAround):
    """Takes its time after each write, and notes what has returned."""

    def __init__(self, inner: Journal) -> None:
        super().__init__(inner)
        self.returned: set[tuple[str, str, str]] = set()
        self.seqs: dict[str, int] = {}

    async def start(self, request, definition, events, summary):  # type: ignore[no-untyped-def]
        holder = await self.inner.start(request, definition, events, summary)
        await asyncio.sleep(0.003)
        self._note(events, summary)
        return holder

    async def append(self, saga_id, events, *, summary, seq_expected):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.003)
        seq = await self.inner.append(saga_id, events, summary=summary, seq_expected=seq_expected)
        await asyncio.sleep(0.003)
        self._note(events, summary)
        return seq

    def _note(self, events: Sequence[Event], summary: SagaSummary) -> None:
        self.seqs[summary.id] = summary.seq
        for event in events:
            if isinstance(event, StepBegun | UndoBegun):
                self.returned.add((summary.id, type(event).__name__, event.step))


async def test_no_call_is_sent_before_the_write_that_holds_its_beginning_has_returned() -> None:
    definition = define(
        step("a", service="one"), step("b", service="two", undo=None), step("c", service="one"), "d"
    )
    plain = House(definition)
    journal = Slow(plain.store)
    too_early: list[Call] = []

    def check(call: Call) -> None:
        begun = "StepBegun" if isinstance(call, ExecuteCall) else "UndoBegun"
        if (call.saga_id, begun, call.step) not in journal.returned:
            too_early.append(call)

    async with House(definition, store=plain.store, journal=journal, calls_max=2) as house:
        house.services.before_each = check
        house.services.plan("a", "do", Reaction.FAULT, Reaction.LOSE_THE_REPLY, Pending(0.02))
        house.services.plan("d", "do", *[Reaction.REFUSE] * 4)
        house.services.plan("c", "undo", Reaction.LOSE_THE_REPLY)
        sagas = await asyncio.gather(*(house.start() for _ in range(8)))
        ends = [(await house.end(saga_id)).status for saga_id in sagas]
        assert ends.count(Status.COMPENSATED) == 4
        assert ends.count(Status.COMPLETED) == 4
        assert too_early == []
        assert len(journal.returned) == 8 * 4 + 4 * 2


class Gate(JournalAround):
    """Lets each append wait, before or after it is durable, until the test opens it."""

    def __init__(self, inner: Journal, *, after: bool) -> None:
        super().__init__(inner)
        self._after = after
        self.waiting = asyncio.Event()
        self.open = asyncio.Event()

    async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        if not self._after:
            await self._wait()
        seq = await self.inner.append(*args, **kwargs)
        if self._after:
            await self._wait()
        return seq

    async def _wait(self) -> None:
        self.waiting.set()
        await self.open.wait()


async def test_what_is_not_durable_is_neither_shown_nor_acted_upon() -> None:
    for after in (False, True):
        plain = House(define("a", "b"))
        journal = Gate(plain.store, after=after)
        async with House(define("a", "b"), store=plain.store, journal=journal) as house:
            saga_id = await house.start()
            waiting = asyncio.ensure_future(house.sagas.wait(saga_id, timeout_s=20))
            await soon(journal.waiting)
            await settled()
            shown = house.pool.live(saga_id)
            assert shown is not None
            assert shown.seq == 2
            assert house.services.sent() == ["do a"]
            cancelling = asyncio.ensure_future(house.sagas.cancel(saga_id, ""))
            await settled()
            assert not cancelling.done()
            assert not waiting.done()
            journal.open.set()
            await cancelling
            assert (await waiting).status is Status.COMPENSATED


async def test_the_last_answer_is_shown_to_nobody_before_it_is_durable() -> None:
    plain = House(define("a"))
    journal = Gate(plain.store, after=False)
    async with House(define("a"), store=plain.store, journal=journal) as house:
        saga_id = await house.start()
        seen: list[int] = []

        async def watch() -> None:
            async for record, _ in house.sagas.watch(saga_id, 0):
                seen.append(record.seq if record else 0)

        waiting = asyncio.ensure_future(house.sagas.wait(saga_id, timeout_s=20))
        watching = asyncio.ensure_future(watch())
        await soon(journal.waiting)
        await settled()
        assert seen == [1, 2]
        assert not waiting.done()
        assert (await house.sagas.get(saga_id)).summary.status is Status.RUNNING
        journal.open.set()
        assert (await waiting).status is Status.COMPLETED
        await watching
        assert seen == [1, 2, 3]


async def test_a_start_is_answered_only_after_its_write_has_returned() -> None:
    plain = House(define("a"))
    journal = Slow(plain.store)
    async with House(define("a"), store=plain.store, journal=journal) as house:
        accepted = await house.accept()
        assert journal.seqs[accepted.summary.id] == accepted.summary.seq == 2
        await house.end(accepted.summary.id)
