"""Reads of what is durable, on a connection that cannot write. Short, indexed, never in the writer's way.

A list stops at a time limit; the reads of recovery do not, because nothing can be done without them.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from coordinator.adapters.clock import stopwatch_s
from coordinator.adapters.event_codec import RECORD_TYPES, UnreadableEvent, count_events, decode_all
from coordinator.adapters.sqlite.connection import Database
from coordinator.adapters.sqlite.registrations import REGISTRATION_COLUMNS, registration_of
from coordinator.adapters.sqlite.rows import (
    CHAIN_START,
    MOMENT_MIN,
    SAGAS,
    SUMMARY_COLUMNS,
    Parameters,
    chained,
    number_of,
    set_aside,
    signature_of,
    summary_of,
)
from coordinator.domain import jsontext
from coordinator.domain.errors import (
    JournalCorrupt,
    JournalDamaged,
    JournalUnavailable,
    Overloaded,
    SagaError,
    SagaNotFound,
)
from coordinator.domain.ids import Digest, RequestId, SagaId
from coordinator.domain.language.registration import Key, Registration
from coordinator.domain.summary import SagaSummary
from coordinator.ports.journal import (
    SIGNATURES_MAX,
    Alike,
    Census,
    Cursor,
    OpenSaga,
    Record,
    Request,
    SagaFilter,
)

_KINDS: Final = (int, int, float, str)
"""Of what the columns of a record hold."""
_TYPE_NAMES: Final = {number: name for name, number in RECORD_TYPES.items()}

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

READ_LIMIT_S: Final = 2.0
VERIFIED_AT_ONCE: Final = 50
"""So many rows are verified before others get a turn: half a millisecond, as a saga needs many turns."""
_STEPS_BETWEEN_LOOKS: Final = 1_000
"""Virtual machine steps of SQLite between two looks at the time, some ten microseconds."""

# One statement, so that both are of the same moment. A saga without records is there all the same.
_HISTORY: Final = (
    "SELECT heads.seq, heads.digest, records.seq, token, at, type, payload, records.digest"  # noqa: S608  # our own names
    f" FROM {SAGAS} LEFT JOIN records ON records.saga = sagas.number WHERE id = ? ORDER BY records.seq"
)
# With the id that stands in the row: its own columns SQLite may take from the index that led there.
_SAGA: Final = (
    f"SELECT {SUMMARY_COLUMNS},"  # noqa: S608  # as above
    " (SELECT there.id FROM sagas AS there NOT INDEXED WHERE there.number = sagas.number)"
    f" FROM {SAGAS} WHERE id = ?"
)
_NUMBERED_SAGAS: Final = f"SELECT number, {SUMMARY_COLUMNS} FROM {SAGAS}"  # noqa: S608  # as above
# One for each front door, at most. CROSS: SQLite begins with these, and not with all sagas of one status.
_SAGAS_OF_REQUEST: Final = (
    f"SELECT number, {SUMMARY_COLUMNS} FROM (SELECT saga_id FROM requests WHERE request_id = ?)"  # noqa: S608  # as above
    f" CROSS JOIN {SAGAS}"
)
# The condition is word for word the index's. One without its head is taken up, and found to be damaged.
OPEN_SAGAS: Final = """
    SELECT id, due_at, coalesce(updated_at, 0.0)
    FROM sagas INDEXED BY sagas_open LEFT JOIN heads ON heads.saga = sagas.number
    WHERE status IN ('RUNNING', 'COMPENSATING') ORDER BY due_at, id
"""
# By another index: what one of them has lost without a word, the other one still has.
OPEN_COUNT: Final = (
    "SELECT count(*) FROM sagas INDEXED BY sagas_by_status WHERE status IN ('RUNNING', 'COMPENSATING')"
)
# Each number from a partial index or the first entry of a stretch of another: what has ended costs nothing.
CENSUS: Final = """
    SELECT
        count(*) FILTER (WHERE status = 'RUNNING'),
        count(*) FILTER (WHERE status = 'COMPENSATING'),
        count(*) FILTER (WHERE due_at > ?),
        (SELECT count(*) FROM sagas INDEXED BY sagas_for_people WHERE needs_person = 1),
        (SELECT min(started_at) FROM sagas INDEXED BY sagas_by_status WHERE status = 'RUNNING'),
        (SELECT min(started_at) FROM sagas INDEXED BY sagas_by_status WHERE status = 'COMPENSATING'),
        (SELECT min(turned_back_at) FROM sagas INDEXED BY sagas_undoing WHERE status = 'COMPENSATING')
    FROM sagas INDEXED BY sagas_open LEFT JOIN heads ON heads.saga = sagas.number
    WHERE status IN ('RUNNING', 'COMPENSATING')
"""
# The index holds them group by group, so that only the groups are sorted.
SIGNATURES: Final = """
    SELECT saga_name, signature, count(*) AS sagas
    FROM sagas INDEXED BY sagas_by_signature WHERE needs_person = 1
    GROUP BY signature, saga_name ORDER BY sagas DESC, saga_name, signature LIMIT ?
"""
_REQUEST: Final = "SELECT content, saga_id FROM requests WHERE front_door = ? AND request_id = ?"
_DEFINITION: Final = "SELECT text FROM definitions WHERE digest = ?"
_REGISTERED_AS: Final = "SELECT text FROM registrations WHERE digest = ?"
_REGISTRATIONS: Final = f"SELECT {REGISTRATION_COLUMNS} FROM registrations ORDER BY number"  # noqa: S608  # our own names
_REGISTERED: Final = "SELECT text FROM registrations WHERE name = ? AND version = ?"
_OPEN_ON: Final = (
    "SELECT saga_name, definition_version, count(*) FROM sagas INDEXED BY sagas_open"
    " WHERE status IN ('RUNNING', 'COMPENSATING') GROUP BY saga_name, definition_version"
)


class DefinitionCorrupt(JournalCorrupt):
    """The text of a definition does not match its digest: no saga that is pinned to it can go on."""

    def __init__(self, digest: Digest) -> None:
        self.saga_id = SagaId("")
        self.seq = 0
        SagaError.__init__(
            self, f"the journal's definition {digest} is damaged (its text has another digest)"
        )


class Reader:
    """Owns the reading connection. *broken* is told of an error that is no saga's alone."""

    def __init__(
        self, db: Database, broken: Callable[[Exception], None], limit_s: float = READ_LIMIT_S
    ) -> None:
        self._db = db
        self._broken = broken
        self._limit_s = limit_s

    async def history(self, saga_id: SagaId) -> Sequence[Record]:
        try:
            rows = await self._read(lambda db: db.execute(_HISTORY, (saga_id,)).fetchall())
        except JournalDamaged as error:
            raise JournalCorrupt(saga_id, 0, f"the database page that holds it: {error.__cause__}") from None
        return await _verified(saga_id, rows)

    async def definition(self, digest: Digest) -> str | None:
        """What stands under *digest*, or else what is registered with it: many sagas hang on one of them."""
        is_known = False
        for place in (_DEFINITION, _REGISTERED_AS):
            try:
                row = await self._first(place, digest)
            except JournalDamaged:
                is_known = True
                continue
            if row is not None:
                is_known = True
                if jsontext.digest(row[0]) == digest:
                    return str(row[0])
        if is_known:
            raise DefinitionCorrupt(digest)
        return None

    async def registrations(self) -> Sequence[Registration]:
        rows = await self._read(lambda db: db.execute(_REGISTRATIONS).fetchall())
        return [registration_of(row) for row in rows]

    async def registered_text(self, name: str, version: str | None) -> str | None:
        row = await self._first(_REGISTERED, name, version or "")
        return None if row is None else str(row[0])

    async def open_on_definitions(self) -> Mapping[Key, int]:
        rows = await self._read(_limited(lambda db: db.execute(_OPEN_ON).fetchall(), self._limit_s))
        return {(name, version): sagas for name, version, sagas in rows}

    async def open_sagas(self) -> Sequence[OpenSaga]:
        rows, count = await self._read(_open_rows)
        if len(rows) != count:
            raise JournalDamaged(f"one index has {len(rows)} open sagas, another one {count}")
        return [OpenSaga(*row) for row in rows]

    async def requested(self, front_door: str, request_id: RequestId) -> Request | None:
        row = await self._first(_REQUEST, front_door, request_id)
        return None if row is None else Request(front_door, request_id, *row)

    async def find(self, saga_id: SagaId) -> SagaSummary | None:
        rows = await self._read(lambda db: _summary_rows(db, _SAGA, (saga_id,)))
        if not rows:
            return None
        *row, id_there = rows[0]
        if id_there != saga_id:
            raise JournalCorrupt(saga_id, 0, f"the saga's row, or the index of ids: it is that of {id_there}")
        return _summary(row)

    async def page(self, condition: SagaFilter, *, after: Cursor | None, limit: int) -> Sequence[SagaSummary]:
        sql, values = page_query(condition, after, limit)
        rows = await self._read(_limited(lambda db: _summary_rows(db, sql, values), self._limit_s))
        return [_listed(row) for row in rows]

    async def census(self, now: float) -> Census:
        row, groups = await self._read(_limited(lambda db: _census_rows(db, now), self._limit_s))
        running, compensating, waiting, dead_letters, *oldest, oldest_undo_at = row
        return Census(
            running,
            compensating,
            waiting,
            dead_letters,
            oldest_open_at=min((moment for moment in oldest if moment is not None), default=None),
            oldest_undo_at=oldest_undo_at,
            signatures=tuple(_alike(groups)),
        )

    async def close(self) -> None:
        await self._db.close()

    async def _first(self, sql: str, *values: str) -> Sequence[Any] | None:
        row: Sequence[Any] | None = await self._read(lambda db: db.execute(sql, values).fetchone())
        return row

    async def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return await self._db.run(work)
        except sqlite3.Error as error:
            match getattr(error, "sqlite_errorcode", 0) & 0xFF:
                case sqlite3.SQLITE_INTERRUPT:
                    raise Overloaded(
                        f"the read took longer than {self._limit_s:g} s and was stopped; ask for less of it"
                    ) from None
                case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                    # One damaged page is no reason to stop the sagas that are not on it.
                    damaged = JournalDamaged(str(error))
                    _log.error("%s: put back a copy of it", damaged)
                    raise damaged from error
                case _:
                    self._broken(error)
                    raise JournalUnavailable(f"the journal could not be read: {error}") from error


def page_query(condition: SagaFilter, after: Cursor | None, limit: int) -> tuple[str, Parameters]:
    """The statement and values of one page: a stretch of one index, read backwards. Only those of one request
    id are sorted."""
    wanted = [
        (f"{column} {comparison} ?", value)
        for column, comparison, value in (
            ("status", "=", condition.status and condition.status.value),
            ("saga_name", "=", condition.saga_name),
            ("started_at", ">=", condition.started_from),
            ("started_at", "<", condition.started_before),
        )
        if value is not None
    ]
    clauses = [clause for clause, _ in wanted]
    values: list[str | int | float] = [value for _, value in wanted]
    select = _NUMBERED_SAGAS
    if condition.request_id is not None:
        select = _SAGAS_OF_REQUEST
        clauses.append("id = saga_id")
        values.insert(0, condition.request_id)
    if condition.needs_person is not None:
        # Written out, because a partial index is not used for a value that comes later.
        clauses.append("needs_person = 1" if condition.needs_person else "needs_person = 0")
    if after is not None:
        number = number_of(after.saga_id)
        place = "?" if number is not None else "(SELECT number FROM sagas WHERE id = ?)"
        if after.started_at > MOMENT_MIN:
            clauses.append(f"(started_at, number) < (?, {place})")
        else:
            # That of a row whose own is earlier still, and which must not come again.
            clauses.append(f"started_at <= ? AND number < {place}")
        values += (after.started_at, after.saga_id if number is None else number)
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    return f"{select}{where} ORDER BY started_at DESC, number DESC LIMIT ?", (*values, limit)


def _limited(work: Callable[[sqlite3.Connection], _T], limit_s: float) -> Callable[[sqlite3.Connection], _T]:
    def watched(db: sqlite3.Connection) -> _T:
        until_s = stopwatch_s() + limit_s
        db.set_progress_handler(lambda: stopwatch_s() > until_s, _STEPS_BETWEEN_LOOKS)
        try:
            return work(db)
        finally:
            db.set_progress_handler(None, 0)

    return watched


def _open_rows(db: sqlite3.Connection) -> tuple[Sequence[Any], int]:
    with _one_moment(db):
        (count,) = db.execute(OPEN_COUNT).fetchone()
        return db.execute(OPEN_SAGAS).fetchall(), count


def _summary_rows(db: sqlite3.Connection, sql: str, values: Parameters) -> Sequence[Sequence[object]]:
    """What a summary is made of. A text that is none is the fault of its row, which can be named then."""
    strict = db.text_factory
    try:
        # Python reads them quicker than any code of ours, and tells of such a text too.
        db.text_factory = str
        return db.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise  # SQLite's own
        db.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        return db.execute(sql, values).fetchall()
    finally:
        db.text_factory = strict


def _census_rows(db: sqlite3.Connection, now: float) -> tuple[Sequence[Any], Sequence[Sequence[Any]]]:
    with _one_moment(db):
        (row,) = db.execute(CENSUS, (now,)).fetchall()
        return row, db.execute(SIGNATURES, (SIGNATURES_MAX,)).fetchall()


def _alike(groups: Sequence[Sequence[Any]]) -> Iterator[Alike]:
    for saga_name, text, sagas in groups:
        # A damaged row still counts as a dead letter, and the others are counted whole.
        with suppress(ValueError):
            yield Alike(saga_name, signature_of(text or ""), sagas)


@contextmanager
def _one_moment(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction, so that what is read in it is of the same moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


async def _verified(saga_id: SagaId, rows: Sequence[Sequence[Any]]) -> Sequence[Record]:
    """The records in *rows*, which are those of `_HISTORY`."""
    if not rows:
        raise SagaNotFound(saga_id)
    newest, newest_digest, first, *_ = rows[0]
    digest = CHAIN_START
    records: list[Record] = []
    of_records = () if first is None else rows
    for read, (_, _, seq, token, at, type_number, payload, kept) in enumerate(of_records):
        if read and read % VERIFIED_AT_ONCE == 0:  # others get a turn
            await asyncio.sleep(0)
        number = len(records) + 1
        if (type(seq), type(token), type(at), type(payload)) != _KINDS:
            raise JournalCorrupt(saga_id, number, "it has a value of a kind that is never written")
        type_name = _TYPE_NAMES.get(type_number)
        if type_name is None:
            raise JournalCorrupt(saga_id, seq, f"its type {type_number} is unknown to this version")
        digest = chained(digest, saga_id, seq, token, (at, type_name, payload))
        if digest != kept:
            # Behind one that is missing no digest matches.
            events_there = count_events(type_name, payload)
            if events_there is not None and seq - events_there >= number:
                raise JournalCorrupt(saga_id, number, f"it is missing, or record {seq} was changed")
            raise JournalCorrupt(saga_id, seq, "its digest does not match")
        try:
            events = decode_all(type_name, payload, at)
        except UnreadableEvent as error:
            raise JournalCorrupt(saga_id, seq, str(error)) from None
        records += [Record(place, token, event) for place, event in enumerate(events, start=number)]
    if (len(records), digest) != (newest, newest_digest):
        raise JournalCorrupt(
            saga_id, newest or 0, f"it is not the newest of the {len(records)} records that are there"
        )
    return records


def _summary(row: Sequence[object]) -> SagaSummary:
    try:
        return summary_of(row)
    except ValueError as error:
        saga_id = str(row[0]).encode(errors="replace").decode()
        raise JournalCorrupt(SagaId(saga_id), 0, f"the saga's row: {error}") from None


def _listed(numbered: Sequence[Any]) -> SagaSummary:
    """A row of a list. One that cannot be read hides none of the others, nor that it is there itself."""
    number, *row = numbered
    try:
        return summary_of(row)
    except ValueError as error:
        shown = set_aside(number, row, str(error))
        _log.error("a list met damage: %s", shown.error_message, extra={"saga_id": shown.id})
        return shown
