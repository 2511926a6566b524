"""Reads the whole journal again and replays every saga, to tell what is not as it must be.

It trusts nothing of a row that the records do not say, and goes on behind whatever it finds.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import fields
from typing import Final

from coordinator.domain.errors import (
    JournalCorrupt,
    JournalDamaged,
    JournalUnavailable,
    SagaError,
    Unavailable,
)
from coordinator.domain.ids import SagaId
from coordinator.domain.saga import Saga, Status
from coordinator.domain.summary import SET_ASIDE, SagaSummary, summarize
from coordinator.domain.values import frozen
from coordinator.engine.archive import Archive
from coordinator.engine.sagas import is_content
from coordinator.ports.journal import Cursor, Journal, SagaFilter, SagaIndex, Upkeep

SAGAS_PER_PAGE: Final = 100

_log = logging.getLogger(__name__)


@frozen
class Fault:
    """What is wrong, and with which saga; None where it is the store as a whole."""

    saga_id: SagaId | None
    sentence: str


@frozen
class Verified:
    """How far it is: sagas and records read so far, faults found since the last one."""

    sagas: int
    records: int
    faults: tuple[Fault, ...]
    done: bool


async def verify(index: SagaIndex, journal: Journal, upkeep: Upkeep) -> AsyncGenerator[Verified, None]:
    """Read and replay every saga, newest first; sagas go on meanwhile. Ends with `done`.

    Raises:
        Unavailable: the journal cannot be read at all.
    """
    verifier = _Verifier(index, journal)
    list_faults: list[Fault] = []
    while not verifier.is_through:
        try:
            progress = await verifier.next_page()
        except (JournalDamaged, JournalUnavailable) as error:
            # It may be one damaged page. If it is the journal, then what follows cannot be had either.
            list_faults.append(Fault(None, f"the sagas cannot be listed to their end: {error}"))
            break
        if progress.faults or not verifier.is_through:
            yield progress
    store_faults = (Fault(None, sentence) for sentence in await upkeep.faults())
    yield Verified(verifier.sagas, verifier.records, (*list_faults, *store_faults), done=True)


class _Verifier:
    """How far it has come."""

    def __init__(self, index: SagaIndex, journal: Journal) -> None:
        self._index = index
        self._journal = journal
        self._after: Cursor | None = None
        # Of its own: definitions are read from the journal again, too.
        self._archive = Archive(index)
        self.is_through = False
        self.sagas = 0
        self.records = 0

    async def next_page(self) -> Verified:
        rows = await self._index.page(SagaFilter(), after=self._after, limit=SAGAS_PER_PAGE)
        self.is_through = not rows
        faults: list[Fault] = []
        for row in rows:
            faults += [Fault(row.id, sentence) for sentence in await self._judge(row)]
            self.sagas += 1
            self._after = Cursor(row.started_at, row.id)
        return Verified(self.sagas, self.records, tuple(faults), done=False)

    async def _judge(self, row: SagaSummary) -> Sequence[str]:
        """What is wrong with a saga."""
        found: list[str] = []
        try:
            found += await self._row_faults(row)
            records = await self._journal.history(row.id)
            self.records += len(records)
            # An open saga may have moved since its row was read: it is judged as of then.
            decision = await self._archive.replayed(records if found else records[: row.seq])
        except Unavailable:
            raise
        except SagaError as error:
            return [*found, str(error)]
        except Exception as error:
            # A bug of ours, or what the digests did not catch: the next saga is not to blame.
            _log.exception("a saga cannot be replayed", extra={"saga_id": row.id})
            return [*found, f"its records cannot be replayed: {type(error).__name__}"]
        if not found:
            found += _differences(row, summarize(decision, row.seq))
        return [*found, *await self._request_faults(decision.saga)]

    async def _row_faults(self, row: SagaSummary) -> Sequence[str]:
        """A row that cannot be read is listed as that of a saga that was set aside. By itself it tells."""
        if row.signature != SET_ASIDE:
            return []
        try:
            is_there = await self._index.find(row.id) is not None
        except JournalCorrupt as error:
            return [str(error)]
        return [] if is_there else [row.error_message]

    async def _request_faults(self, saga: Saga) -> Sequence[str]:
        """A request id that has lost its saga would start a second one, and one with other content none."""
        try:
            request = await self._index.requested(saga.front_door, saga.request_id)
        except (JournalDamaged, JournalUnavailable) as error:
            return [f"its request id cannot be looked up: {error}"]
        if request is None:
            return [
                f"its request id {saga.request_id!r} is not in the journal: a repetition starts another saga"
            ]
        if request.saga_id != saga.id:
            return [f"its request id {saga.request_id!r} belongs to saga {request.saga_id}"]
        if not is_content(request.content, saga):
            return [
                f"its request id {saga.request_id!r} has other content than its records: a repetition fails"
            ]
        return []


def _differences(row: SagaSummary, expected: SagaSummary) -> Sequence[str]:
    ignored = (
        {"status", "needs_person", "signature", "error_message", "updated_at", "due_at"}
        if _set_aside(row, expected)
        else ()
    )
    return [
        f"the saga's row says {field.name} {getattr(row, field.name)!r}, its records say "
        f"{getattr(expected, field.name)!r}"
        for field in fields(SagaSummary)
        if field.name not in ignored and getattr(row, field.name) != getattr(expected, field.name)
    ]


def _set_aside(row: SagaSummary, expected: SagaSummary) -> bool:
    """Whether the row shows a quarantine: all that one shows, and not only a status that may be damage."""
    shown = (row.status, row.needs_person, row.signature, row.due_at)
    wanted = (Status.DEAD_LETTERED, True, SET_ASIDE, None)
    return (
        shown == wanted
        and row.error_message != expected.error_message
        and row.updated_at >= expected.updated_at
    )
