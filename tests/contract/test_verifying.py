"""Replaying a whole journal finds nothing in a sound one, whatever its sagas do meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from coordinator.domain.errors import JournalUnavailable, Overloaded
from coordinator.domain.events import SagaResumed, Verb
from coordinator.domain.ids import Digest, RequestId, SagaId
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, SagaSummary
from coordinator.engine.upkeep import SAGAS_PER_PAGE, Fault, Verified, verify
from coordinator.ports.journal import Cursor, Piece, Quarantine, Record, Request, SagaFilter, SagaIndex
from tests.contract.sagas import (
    RESERVE,
    AnyJournal,
    Told,
    a_definition,
    a_saga,
    acted,
    completed,
    dead_lettered,
    reserved,
    retried_at,
)


class Store:
    """The files of a journal, which say what they find."""

    def __init__(self, *found: str) -> None:
        self._found = found

    async def backup(self) -> AsyncGenerator[Piece, None]:
        yield Piece(b"", 0)

    async def faults(self) -> Sequence[str]:
        return self._found


async def verified(journal: AnyJournal, store: Store | None = None) -> list[Verified]:
    return [progress async for progress in verify(journal, journal, store or Store())]


async def faults(journal: AnyJournal, index: SagaIndex | None = None) -> list[Fault]:
    progress = [step async for step in verify(index or journal, journal, Store())]
    return [fault for step in progress for fault in step.faults]


@pytest.fixture
async def sagas(journal: AnyJournal) -> list[Told]:
    """One of every sort."""
    trip = a_definition("Trip")
    running, waiting, undoing = a_saga("a", 1.0), a_saga("b", 2.0, trip), a_saga("c", 3.0)
    dead, done, forced, stopped = a_saga("d", 4.0), a_saga("e", 5.0, trip), a_saga("f", 6.0), a_saga("g", 7.0)
    made = [running, waiting, undoing, dead, done, forced, stopped]
    await asyncio.gather(*(saga.start(journal) for saga in made))
    await waiting.goes_on(journal, *retried_at(1_010.0))
    await undoing.goes_on(journal, *dead_lettered()[:-1])
    await dead.goes_on(journal, *dead_lettered())
    await done.goes_on(journal, *completed())
    await forced.goes_on(journal, *dead_lettered())
    await forced.goes_on(journal, acted(Verb.SKIP, RESERVE))
    await stopped.goes_on(journal, *reserved())
    await stopped.goes_on(journal, acted(Verb.TERMINATE))
    return made


async def test_a_sound_journal_has_no_faults_and_every_saga_is_counted(
    journal: AnyJournal, sagas: list[Told]
) -> None:
    progress = await verified(journal)
    records = sum(saga.seq for saga in sagas)
    assert progress[-1] == Verified(len(sagas), records, (), done=True)
    assert not any(step.faults or step.done for step in progress[:-1])


async def test_an_empty_journal_is_done_at_once(journal: AnyJournal) -> None:
    assert await verified(journal) == [Verified(0, 0, (), done=True)]


async def test_it_tells_how_far_it_is_every_hundred_sagas(journal: AnyJournal) -> None:
    many = [a_saga(f"{number:03}", at=float(number // 7)) for number in range(2 * SAGAS_PER_PAGE + 50)]
    await asyncio.gather(*(saga.start(journal) for saga in many))
    progress = await verified(journal)
    assert [(step.sagas, step.done) for step in progress] == [
        (100, False),
        (200, False),
        (250, False),
        (250, True),
    ]


async def test_what_the_store_finds_comes_last_and_is_of_no_saga(
    journal: AnyJournal, sagas: list[Told]
) -> None:
    progress = await verified(journal, Store("page 7 is torn"))
    assert progress[-1].faults == (Fault(None, "page 7 is torn"),)


async def test_sagas_that_move_between_the_reading_of_row_and_records_are_no_faults(
    journal: AnyJournal,
) -> None:
    many = [a_saga(f"{number:03}", at=float(number)) for number in range(SAGAS_PER_PAGE + 20)]
    await asyncio.gather(*(saga.start(journal) for saga in many))
    turns = 0

    async def move() -> None:
        nonlocal turns
        turns += 1
        await a_saga(f"new-{turns}", at=5_000.0).start(journal)
        events = reserved() if turns == 1 else [SagaResumed(1_100.0)]
        await asyncio.gather(*(saga.goes_on(journal, *events) for saga in many))

    assert await faults(journal, Behind(journal, then=move)) == []
    assert turns == 3


async def test_a_saga_in_quarantine_shows_its_reason_and_that_is_no_fault(
    journal: AnyJournal, sagas: list[Told]
) -> None:
    for saga in sagas[:4]:
        await journal.quarantine(Quarantine(saga.id, "driving it failed", 1_500.0))
    assert await faults(journal) == []
    await sagas[0].goes_on(journal, acted(Verb.RETRY))
    assert await faults(journal) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"status": Status.COMPLETED}, "status <Status.COMPLETED: 'COMPLETED'>, its records say"),
        ({"status": Status.DEAD_LETTERED}, "status <Status.DEAD_LETTERED"),
        ({"due_at": 9.0}, "due_at 9.0, its records say None"),
        ({"turned_back_at": 9.0}, "turned_back_at 9.0, its records say None"),
        ({"forced": True}, "forced True, its records say False"),
        ({"needs_person": True}, "needs_person True, its records say False"),
        ({"signature": SET_ASIDE}, "signature Signature(step=None, cause=<DeadLetterCause.SET_ASIDE"),
        ({"updated_at": 9.0}, "updated_at 9.0, its records say 1.0"),
        ({"error_message": "all is lost"}, "error_message 'all is lost', its records say ''"),
        ({"saga_name": "Trip"}, "saga_name 'Trip', its records say 'Order'"),
        ({"definition_digest": Digest("x")}, "definition_digest 'x', its records say"),
        ({"flags": ("odd",)}, "flags ('odd',), its records say ()"),
    ],
    ids=str,
)
async def test_a_row_that_says_what_its_records_do_not_is_named(
    journal: AnyJournal, change: dict[str, object], sentence: str
) -> None:
    saga = a_saga("a", at=1.0)
    await saga.start(journal)
    found = await faults(journal, Behind(journal, rows={saga.id: change}))
    assert [fault.saga_id for fault in found] == [saga.id]
    assert f"the saga's row says {sentence}" in found[0].sentence


async def test_a_definition_that_is_lost_is_named_for_each_saga_that_is_pinned_to_it(
    journal: AnyJournal, sagas: list[Told]
) -> None:
    found = await faults(journal, Behind(journal, lost=sagas[1].definition.digest))
    assert {fault.saga_id for fault in found} == {sagas[1].id, sagas[4].id}
    assert all("that it is pinned to is not in the journal" in fault.sentence for fault in found)


async def test_a_request_id_that_lost_its_saga_is_named(journal: AnyJournal, sagas: list[Told]) -> None:
    found = await faults(journal, Behind(journal, forgotten=sagas[2].request_id))
    assert found == [
        Fault(
            sagas[2].id, "its request id 'request-c' is not in the journal: a repetition starts another saga"
        )
    ]


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (slice(0, 0), "its records cannot be replayed: IndexError"),
        (slice(1, None), "a history begins with SagaStarted, not with StepBegun"),
    ],
)
async def test_records_that_are_lost_are_a_fault_of_their_saga_and_of_no_other(
    journal: AnyJournal, sagas: list[Told], kept: slice, sentence: str
) -> None:
    class Lost(Behind):
        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            records = await journal.history(saga_id)
            return records[kept] if saga_id == sagas[3].id else records

    progress = [step async for step in verify(journal, Lost(journal), Store())]
    assert [fault for step in progress for fault in step.faults] == [Fault(sagas[3].id, sentence)]
    assert progress[-1].sagas == len(sagas)


async def test_what_cannot_be_read_at_this_moment_is_no_fault_of_a_saga(
    journal: AnyJournal, sagas: list[Told]
) -> None:
    class Busy(Behind):
        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            raise Overloaded("the read took too long")

    with pytest.raises(Overloaded, match="the read took too long"):
        [step async for step in verify(journal, Busy(journal), Store())]


async def test_a_journal_that_cannot_be_read_at_all_is_no_list_of_faults(journal: AnyJournal) -> None:
    class Gone(Store):
        async def faults(self) -> Sequence[str]:
            raise JournalUnavailable("the disk is gone")

    with pytest.raises(JournalUnavailable, match="the disk is gone"):
        await verified(journal, Gone())


class Behind:
    """A journal's index in which something was changed behind its back; *then* happens after each page."""

    def __init__(
        self,
        journal: AnyJournal,
        *,
        rows: dict[str, dict[str, object]] | None = None,
        lost: Digest | None = None,
        forgotten: RequestId | None = None,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._journal = journal
        self._rows = rows or {}
        self._lost = lost
        self._forgotten = forgotten
        self._then = then

    async def page(self, condition: SagaFilter, *, after: Cursor | None, limit: int) -> Sequence[SagaSummary]:
        rows = await self._journal.page(condition, after=after, limit=limit)
        if self._then is not None:
            await self._then()
        return [replace(row, **self._rows.get(row.id, {})) for row in rows]  # type: ignore[arg-type]  # any field

    async def definition(self, digest: Digest) -> str | None:
        return None if digest == self._lost else await self._journal.definition(digest)

    async def requested(self, front_door: str, request_id: RequestId) -> Request | None:
        if request_id == self._forgotten:
            return None
        return await self._journal.requested(front_door, request_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)
