"""Reads of what is durable, on a connection that cannot write. Short, indexed, never in the writer's way.

A list stops at a time limit; the reads of recovery do not, because nothing can be done without them.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

from coordinator.adapters.clock import stopwatch_s
from coordinator.adapters.event_codec import RECORD_TYPES, UnreadableEvent, count_events, decode_all
from coordinator.adapters.sqlite.connection import Database
from coordinator.adapters.sqlite.registrations import REGISTRATION_COLUMNS, registration_of
from coordinator.adapters.sqlite.rows import (
    CHAIN_START,
    DIGEST_BYTES,
    MOMENT_MIN,
    OLD_DIGEST_BYTES,
    SAGAS,
    SUMMARY_COLUMNS,
    Parameters,
    chained,
    number_of,
    set_aside,
    signature_of,
    spelt_out,
    summary_of,
)
from coordinator.adapters.sqlite.words import Words, packed, text_of, unpacked
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
SEARCH_LIMIT_S: Final = 0.2
"""For how long all records are searched for those of a saga that are not found otherwise."""
SEARCHES_LIMIT_S: Final = 5.0
"""For how long that is done in all: where very many sagas are damaged, others wait for each of them."""
VERIFIED_AT_ONCE: Final = 50
"""So many rows are verified before others get a turn: half a millisecond, as a saga needs many turns."""
_STEPS_BETWEEN_LOOKS: Final = 1_000
"""Virtual machine steps of SQLite between two looks at the time, some ten microseconds."""

_HEAD: Final = f"SELECT number, seq, digest, coalesce(newest, 0) FROM {SAGAS} WHERE id = ?"  # noqa: S608  # our own names
_RECORD: Final = "number, back, seq, token, at, type, payload, digest"
# From the newest to the first. What is no number, as in a damaged row, would lead back to where it stands.
_CHAIN: Final = (
    f"WITH RECURSIVE chain AS (SELECT {_RECORD} FROM records WHERE number = ?2 AND saga = ?1 UNION ALL"  # noqa: S608  # as above
    f" SELECT {', '.join(f'records.{name}' for name in _RECORD.split(', '))} FROM chain JOIN records"
    " ON records.number = chain.number - chain.back"
    " WHERE typeof(chain.back) = 'integer' AND chain.back > 0 AND saga = ?1)"
    " SELECT seq, token, at, type, payload, digest FROM chain ORDER BY number"
)
_ALL_RECORDS: Final = (
    "SELECT seq, token, at, type, payload, digest FROM records WHERE saga = ? ORDER BY number"
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
# The index holds them group by group, so that nothing is sorted.
SIGNATURES: Final = """
    SELECT saga_name, signature, count(*)
    FROM sagas INDEXED BY sagas_by_signature WHERE needs_person = 1 GROUP BY signature, saga_name
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
        self, db: Database, words: Words, broken: Callable[[Exception], None], limit_s: float = READ_LIMIT_S
    ) -> None:
        self._db = db
        self._words = words
        self._broken = broken
        self._limit_s = limit_s
        self._searched_s = 0.0

    async def history(self, saga_id: SagaId) -> Sequence[Record]:
        try:
            head, rows = await self._read(partial(_chain_of, saga_id=saga_id))
        except JournalDamaged as error:
            raise JournalCorrupt(saga_id, 0, f"the database page that holds it: {error.__cause__}") from None
        if head is None:
            raise SagaNotFound(saga_id)
        number, seq, digest, _ = head
        try:
            return await self._verified(saga_id, rows, seq, digest)
        except JournalCorrupt:
            if self._searched_s > SEARCHES_LIMIT_S:
                raise
            # Where one of them is lost nothing leads to those before it. Most journals are soon searched for
            # them, and what is wrong can be told.
            begun_s = stopwatch_s()
            with suppress(Overloaded, JournalDamaged):
                rows = await self._read(_limited(partial(_search, number=number), SEARCH_LIMIT_S))
            self._searched_s += stopwatch_s() - begun_s
            return await self._verified(saga_id, rows, seq, digest)

    async def definition(self, digest: Digest) -> str | None:
        """What stands under *digest*, or else what is registered with it: many sagas hang on one of them."""
        is_known = False
        for place, key in ((_DEFINITION, self._words.known(digest)), (_REGISTERED_AS, digest)):
            try:
                row = await self._first(place, key)
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
        return {(self._words.text(name) or "", version): sagas for name, version, sagas in rows}

    async def open_sagas(self) -> Sequence[OpenSaga]:
        sagas, count = await self._read(_open_sagas)
        if len(sagas) != count:
            raise JournalDamaged(f"one index has {len(sagas)} open sagas, another one {count}")
        return sagas

    async def requested(self, front_door: str, request_id: RequestId) -> Request | None:
        found = await self._read(partial(_requested, key=(self._words.known(front_door), request_id)))
        return None if found is None else Request(front_door, request_id, *found)

    async def find(self, saga_id: SagaId) -> SagaSummary | None:
        rows = await self._read(lambda db: _summary_rows(db, _SAGA, (packed(saga_id),)))
        if not rows:
            return None
        *row, id_there = rows[0]
        if (found := unpacked(id_there)) != saga_id:
            other = found.encode(errors="replace").decode() if found else "none"
            raise JournalCorrupt(saga_id, 0, f"the saga's row, or the index of ids: it is that of {other}")
        try:
            return summary_of(spelt_out(row, self._words))
        except ValueError as error:
            raise JournalCorrupt(saga_id, 0, f"the saga's row: {error}") from None

    async def page(self, condition: SagaFilter, *, after: Cursor | None, limit: int) -> Sequence[SagaSummary]:
        sql, values = page_query(condition, after, limit, self._words.known)
        rows = await self._read(_limited(lambda db: _summary_rows(db, sql, values), self._limit_s))
        return [_listed(row, self._words) for row in rows]

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
            signatures=tuple(self._alike(groups)[:SIGNATURES_MAX]),
        )

    async def close(self) -> None:
        await self._db.close()

    def _alike(self, groups: Sequence[Sequence[Any]]) -> Sequence[Alike]:
        """The *groups* of SIGNATURES, in the order that `Census` has."""
        alike = []
        for name, text, sagas in groups:
            # A damaged row still counts as a dead letter, and the others are counted whole.
            with suppress(ValueError):
                signature = signature_of(text if isinstance(text, str) else "")
                alike.append(Alike(self._words.text(name) or "", signature, sagas))
        return sorted(alike, key=lambda one: (-one.sagas, one.saga_name, one.signature.step or ""))

    async def _verified(
        self,
        saga_id: SagaId,
        rows: Sequence[Sequence[Any]],
        seq_newest: int | None,
        digest_newest: bytes | None,
    ) -> Sequence[Record]:
        """The records in *rows*, the newest of which is to have that number and that digest."""
        digest = CHAIN_START
        records: list[Record] = []
        for read, (seq, token, at, type_number, payload, kept) in enumerate(rows):
            if read and read % VERIFIED_AT_ONCE == 0:  # others get a turn
                await asyncio.sleep(0)
            number = len(records) + 1
            if (type(seq), type(token), type(at), type(payload)) != _KINDS:
                raise JournalCorrupt(saga_id, number, "it has a value of a kind that is never written")
            type_name = _TYPE_NAMES.get(type_number)
            if type_name is None:
                raise JournalCorrupt(saga_id, seq, f"its type {type_number} is unknown to this version")
            is_old = isinstance(kept, bytes) and len(kept) == OLD_DIGEST_BYTES
            length = OLD_DIGEST_BYTES if is_old else DIGEST_BYTES
            digest = chained(digest, saga_id, seq, token, (at, type_name, payload), length)
            if digest != kept:
                # Behind one that is missing no digest matches.
                events_there = count_events(type_name, payload)
                if events_there is not None and seq - events_there >= number:
                    raise JournalCorrupt(saga_id, number, f"it is missing, or record {seq} was changed")
                raise JournalCorrupt(saga_id, seq, "its digest does not match")
            try:
                events = decode_all(type_name, payload, at, saga_id, self._words)
            except UnreadableEvent as error:
                raise JournalCorrupt(saga_id, seq, str(error)) from None
            records += [Record(place, token, event) for place, event in enumerate(events, start=number)]
        if (len(records), digest) != (seq_newest, digest_newest):
            raise JournalCorrupt(
                saga_id,
                seq_newest or 0,
                f"it is not the newest of the {len(records)} records that are there",
            )
        return records

    async def _first(self, sql: str, *values: str | int) -> Sequence[Any] | None:
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


def page_query(
    condition: SagaFilter, after: Cursor | None, limit: int, number: Callable[[str], int]
) -> tuple[str, Parameters]:
    """The statement and values of one page: a stretch of one index, read backwards. Only those of one request
    id are sorted. *number* is that of a word."""
    wanted = [
        (f"{column} {comparison} ?", value)
        for column, comparison, value in (
            ("status", "=", condition.status and condition.status.value),
            ("saga_name", "=", None if condition.saga_name is None else number(condition.saga_name)),
            ("started_at", ">=", condition.started_from),
            ("started_at", "<", condition.started_before),
        )
        if value is not None
    ]
    clauses = [clause for clause, _ in wanted]
    values: list[str | int | float | bytes] = [value for _, value in wanted]
    select = _NUMBERED_SAGAS
    if condition.request_id is not None:
        select = _SAGAS_OF_REQUEST
        clauses.append("id = saga_id")
        values.insert(0, condition.request_id)
    if condition.needs_person is not None:
        # Written out, because a partial index is not used for a value that comes later.
        clauses.append("needs_person = 1" if condition.needs_person else "needs_person = 0")
    if after is not None:
        of_row = number_of(after.saga_id)
        place = "?" if of_row is not None else "(SELECT number FROM sagas WHERE id = ?)"
        if after.started_at > MOMENT_MIN:
            clauses.append(f"(started_at, number) < (?, {place})")
        else:
            # That of a row whose own is earlier still, and which must not come again.
            clauses.append(f"started_at <= ? AND number < {place}")
        values += (after.started_at, packed(after.saga_id) if of_row is None else of_row)
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


def _chain_of(
    db: sqlite3.Connection, saga_id: SagaId
) -> tuple[tuple[int, int | None, bytes | None, int] | None, Sequence[Sequence[Any]]]:
    """What _HEAD says of a saga, if it is there, and its records."""
    with _one_moment(db):
        head = db.execute(_HEAD, (packed(saga_id),)).fetchone()
        if head is None:
            return None, ()
        number, _, _, newest = head
        return head, db.execute(_CHAIN, (number, newest)).fetchall()


def _search(db: sqlite3.Connection, number: int) -> Sequence[Sequence[Any]]:
    """All that there is of saga *number*; no key leads there."""
    return db.execute(_ALL_RECORDS, (number,)).fetchall()


def _open_sagas(db: sqlite3.Connection) -> tuple[Sequence[OpenSaga], int]:
    with _one_moment(db):
        (count,) = db.execute(OPEN_COUNT).fetchone()
        rows = db.execute(OPEN_SAGAS).fetchall()
    return [OpenSaga(SagaId(text_of(saga_id)), *moments) for saga_id, *moments in rows], count


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
        return row, db.execute(SIGNATURES).fetchall()


def _requested(db: sqlite3.Connection, key: tuple[int, str]) -> tuple[Digest, SagaId] | None:
    row = db.execute(_REQUEST, key).fetchone()
    if row is None:
        return None
    content, saga_id = row
    return Digest(text_of(content)), SagaId(text_of(saga_id))


@contextmanager
def _one_moment(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction, so that what is read in it is of the same moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def _listed(numbered: Sequence[Any], words: Words) -> SagaSummary:
    """A row of a list. One that cannot be read hides none of the others, nor that it is there itself."""
    number, *kept = numbered
    row = spelt_out(kept, words)
    try:
        return summary_of(row)
    except ValueError as error:
        shown = set_aside(number, row, str(error))
        _log.error("a list met damage: %s", shown.error_message, extra={"saga_id": shown.id})
        return shown
