"""One group commit: everything that waits becomes one transaction. Runs in the writer's thread.

What an entry meets in the journal is decided by reading, inside the transaction, in the order of the
queue: an entry that must not be written gets its error and nothing else, so it cannot fail the others.
The tables' keys verify it. A clash that reaches them means that the file is not what it should be: then the
group is taken once more, and all that is remembered of it is read again. Where it meets a damaged page each
entry is taken by itself: one that would only begin something is refused there, and holds up no other.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, assert_never

from coordinator.adapters.event_codec import RECORD_TYPES
from coordinator.adapters.sqlite.damage import is_damage, mend_heads, move_sum
from coordinator.adapters.sqlite.registrations import Register, Registrations, Retire, TakeUpFiles
from coordinator.adapters.sqlite.rows import (
    CHAIN_START,
    FIXED_COLUMNS,
    SAGAS,
    STANDING_COLUMNS,
    Lines,
    Parameters,
    Row,
    chained,
    signature_text,
)
from coordinator.adapters.sqlite.words import ADD_WORD, packed, text_of
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import (
    JournalConflict,
    JournalCorrupt,
    JournalDamaged,
    JournalTakenOver,
    Overloaded,
    RequestIdTaken,
    SagaError,
    SagaNotFound,
    VersionTaken,
)
from coordinator.domain.ids import Digest, FencingToken, RequestId, SagaId
from coordinator.domain.language.registration import Registered, Registration
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE
from coordinator.domain.values import frozen
from coordinator.ports.journal import Quarantine, Request

_log = logging.getLogger(__name__)


@frozen
class Append:
    """Records of a saga that exists, and its row as it stands after them."""

    saga_id: SagaId
    lines: Lines
    row: Row
    seq_expected: int
    lifts: bool
    """Whether it ends the saga's quarantine."""


@frozen
class Start:
    """A saga that may be new: whoever was first with its request id has it."""

    request: Request
    definition: SagaDefinition
    lines: Lines
    fixed: Parameters
    row: Row
    front_door: int
    """The number of that word."""
    definition_digest: int
    """As well."""


@frozen
class NewWord:
    """A word that what is queued behind it says by its number."""

    number: int
    text: str


@frozen
class MendHeads:
    """Something could not be read: if it may be for want of heads, these are put anew."""


Entry = NewWord | Start | Append | Quarantine | TakeUpFiles | Register | Retire | MendHeads
Outcome = (
    Request | Registered | Registration | Sequence[Registered | VersionTaken] | SagaError | int | bool | None
)
"""None: written, or there was nothing to retire. After an append the number of the newest record. A request:
it was taken before, with the same content. An error: refused. Whether something was mended. Else what became
of a definition, or of files."""

_TOKEN: Final = "SELECT token FROM journal"
_HEAD: Final = (
    "SELECT number, seq, digest, newest, reason, at"  # noqa: S608  # our own names
    f" FROM {SAGAS} LEFT JOIN quarantines ON quarantines.saga = number WHERE id = ?"
)
_SEQ_OF_RECORD: Final = "SELECT seq FROM records WHERE number = ? AND saga = ?"
_NEWEST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM records WHERE saga = ?"
# What has lost its row does not become another saga's.
_NEWEST_SAGA: Final = (
    "SELECT max(coalesce((SELECT max(number) FROM sagas), 0), coalesce((SELECT max(saga) FROM heads), 0),"
    " coalesce((SELECT max(rowid) FROM requests), 0))"
)
# The row that should be the last one may have another number, and heads know better.
_NEWEST_RECORD: Final = (
    "SELECT max(coalesce((SELECT max(number) FROM records), 0), coalesce((SELECT max(newest) FROM heads), 0))"
)
# CROSS: SQLite begins with those that are asked for, and finds each by its key. That comes back as it was
# asked for, and not as it stands in the row, which may be damaged.
_REQUESTS: Final = (
    "SELECT asked.column2, asked.column1, content, saga_id FROM (VALUES {rows}) AS asked CROSS JOIN requests"
    " ON request_id = asked.column1 AND front_door = asked.column2"
)
_REQUEST: Final = "SELECT ?2, ?1, content, saga_id FROM requests WHERE request_id = ?1 AND front_door = ?2"
_PUT_NEWEST_WORD: Final = "UPDATE journal SET words = ?"
_ADD_DEFINITION: Final = "INSERT INTO definitions VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
# By the number of its saga: what has lost its row does not lead to another request's.
_ADD_REQUESTS: Final = "INSERT INTO requests (rowid, front_door, request_id, content, saga_id) VALUES {rows}"
_ADD_RECORDS: Final = "INSERT INTO records VALUES {rows}"
_ADD_SAGAS: Final = (
    f"INSERT INTO sagas (number, {FIXED_COLUMNS}, {STANDING_COLUMNS})"  # noqa: S608  # our own names
    " VALUES {rows}"
)
_CHANGE_SAGAS: Final = (
    f"UPDATE sagas SET ({STANDING_COLUMNS}) = ("  # noqa: S608  # our own names
    + ", ".join(f"news.column{place}" for place in range(2, 2 + len(STANDING_COLUMNS.split(","))))
    + ") FROM (VALUES {rows}) AS news WHERE number = news.column1"
)
# One alone need not be put into a table first: that takes as long again.
_CHANGE_SAGA: Final = (
    f"UPDATE sagas SET ({STANDING_COLUMNS}) = ("  # noqa: S608  # our own names
    + ", ".join(f"?{place}" for place in range(2, 2 + len(STANDING_COLUMNS.split(","))))
    + ") WHERE number = ?1"
)
# Of most sagas nothing else changes from one write to the next, and their rows and indexes are left alone.
_PUT_HEADS: Final = (
    "INSERT INTO heads VALUES {rows}"
    " ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at, due_at = excluded.due_at,"
    " seq = excluded.seq, digest = excluded.digest, newest = excluded.newest"
)
_LIFT_QUARANTINE: Final = "DELETE FROM quarantines WHERE saga = ?"
_ADD_QUARANTINE: Final = "INSERT INTO quarantines VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_OPEN: Final = tuple(status.value for status in Status if status.is_open)
_SHOW_QUARANTINE: Final = (
    "UPDATE sagas SET status = ?, needs_person = 1, signature = ?, error_message = ? WHERE number = ?"
)
_PUT_HEAD_OF_QUARANTINED: Final = "REPLACE INTO heads VALUES (?, ?, NULL, ?, ?, ?)"


@dataclass(slots=True)
class Head:
    """A saga's number, its newest record, why it is in quarantine, if so, and what its row says besides."""

    number: int
    seq: int
    digest: bytes
    newest: int
    """What `records` has its newest record as; 0: none."""
    quarantine: Quarantine | None
    standing: Parameters | None
    """As in `Row`; None where it is not known."""
    seq_found: int = 0
    """What that record said of its own number when this was read from the file: no more than `seq`, unless
    that is damaged."""


class Heads:
    """The heads of sagas that were written, as the file has them: nobody else writes it. Those that are over
    are forgotten, and of very many open ones those that have rested longest.

    A group changes them as it goes, so all are forgotten where it does not come to be written.
    """

    KEPT_MAX: Final = 20_000

    def __init__(self) -> None:
        self._kept: dict[SagaId, Head] = {}
        self.newest_record: int | None = None
        """The number of the newest one of all, as far as it was written or is being written."""
        self.were_damaged: bool | None = None
        """Whether those in the file could not all be read, and were put anew. None: nobody has looked. That
        takes long, and a second time would help no more than the first."""

    def get(self, saga_id: SagaId) -> Head | None:
        """Its head, if that is kept."""
        return self._kept.get(saga_id)

    def keep(self, saga_id: SagaId, head: Head, *, is_open: bool) -> None:
        """What is durable of it by now."""
        self._kept.pop(saga_id, None)
        if is_open:
            self._kept[saga_id] = head
            if len(self._kept) > self.KEPT_MAX:
                del self._kept[next(iter(self._kept))]

    def forget(self) -> None:
        """Read them again."""
        self._kept.clear()


def write_group(
    db: sqlite3.Connection,
    entries: Sequence[Entry],
    token: FencingToken,
    shortage: Callable[[], str | None],
    heads: Heads,
) -> list[Outcome]:
    """Write all of *entries* that may be written, in one transaction; return when it is synced.

    *shortage* says why no new saga may be started now, if so. *heads* are those of the groups before.

    Raises:
        sqlite3.Error: it is not known what became durable. Nothing may be written after that.
        JournalTakenOver: nothing became durable, nor may be written.
    """
    _begin(db, token)
    group = _Group(db, token, shortage, heads)
    try:
        outcomes = group.take_all(entries)
    except sqlite3.IntegrityError:
        # Only now: to look for it each time would cost every group a read for each of its sagas.
        _roll_back(db, heads)
        _begin(db, token)
        group = _Group(db, token, shortage, heads, looks_for_ids=True)
        outcomes = group.take_all(entries)
    except (sqlite3.DatabaseError, _NotAmongOthers) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        _roll_back(db, heads)
        _mend_heads(db, heads)
        return [_write_alone(db, entry, token, shortage, heads) for entry in entries]
    db.execute("COMMIT")
    group.keep_heads()
    return outcomes


def _write_alone(
    db: sqlite3.Connection,
    entry: Entry,
    token: FencingToken,
    shortage: Callable[[], str | None],
    heads: Heads,
) -> Outcome:
    """Write *entry*, if it may be written, in a transaction of its own.

    Raises:
        sqlite3.Error: as `write_group`; of damage only where something would be lost that was begun.
    """
    if isinstance(entry, MendHeads):
        return heads.were_damaged
    _begin(db, token)
    group = _Group(db, token, shortage, heads, looks_for_ids=True)
    try:
        (outcome,) = group.take_all([entry])
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        _roll_back(db, heads)
        if isinstance(entry, Start | Register | Retire):
            damaged = JournalDamaged(str(error))
            _log.error("%s: put back a copy of it", damaged)
            return damaged
        # What is damaged may be an old record, and nobody needs that for a new one.
        _begin(db, token)
        group = _Group(db, token, shortage, heads, reads_records=False)
        (outcome,) = group.take_all([entry])
    db.execute("COMMIT")
    group.keep_heads()
    return outcome


class _NotAmongOthers(Exception):
    """An entry is to be taken by itself."""


def _mend_heads(db: sqlite3.Connection, heads: Heads) -> None:
    if heads.were_damaged is None:
        heads.were_damaged = mend_heads(db)


def _begin(db: sqlite3.Connection, token: FencingToken) -> None:
    """The lock keeps others out, but a lock file can be removed, and not every file system has locks."""
    db.execute("BEGIN IMMEDIATE")
    (newest,) = db.execute(_TOKEN).fetchone()
    if newest != token:
        db.execute("ROLLBACK")
        raise JournalTakenOver(token, newest)


def _roll_back(db: sqlite3.Connection, heads: Heads) -> None:
    db.execute("ROLLBACK")
    heads.forget()


class _Group:
    """What a transaction is going to write; entries see those that were taken before them."""

    def __init__(
        self,
        db: sqlite3.Connection,
        token: FencingToken,
        shortage: Callable[[], str | None],
        kept: Heads,
        *,
        looks_for_ids: bool = False,
        reads_records: bool = True,
    ) -> None:
        self._db = db
        self._token = token
        self._shortage = shortage
        self._kept = kept
        self._looks_for_ids = looks_for_ids
        self._reads_records = reads_records
        self._heads: dict[SagaId, Head] = {}
        self._definitions: dict[int, SagaDefinition] = {}
        self._registrations = Registrations(db)
        self._words: list[Parameters] = []
        self._requests: dict[_Name, Request] = {}
        self._held: dict[_Name, Request] = {}
        """Of the request ids that entries ask for, those that are in the file."""
        self._records: list[Parameters] = []
        self._newest_saga: int | None = None
        self._moved_by = 0
        """What the heads lead to is that much further, in sum."""
        self._started: dict[SagaId, Parameters] = {}
        self._changed: dict[SagaId, Parameters] = {}
        self._advanced: dict[SagaId, Row] = {}
        self._quarantines: dict[SagaId, Quarantine] = {}
        self._lifted: dict[SagaId, None] = {}

    def take_all(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Write what may be written of *entries*; what each of them met."""
        self._look_up([entry for entry in entries if isinstance(entry, Start)])
        outcomes = [self._take(entry) for entry in entries]
        self._write()
        if self._moved_by:
            move_sum(self._db, self._moved_by)
        return outcomes

    def keep_heads(self) -> None:
        """What was written is durable."""
        for saga_id, head in self._heads.items():
            self._kept.keep(saga_id, head, is_open=head.standing is not None and head.standing[0] in _OPEN)

    def _take(self, entry: Entry) -> Outcome:
        match entry:
            case Start():
                return self._start(entry)
            case Append():
                return self._append(entry)
            case Quarantine():
                return self._quarantine(entry)
            case NewWord():
                self._words.append((entry.number, entry.text))
                return None
            case TakeUpFiles():
                return self._registrations.take_up_files(entry)
            case Register():
                # Files are taken up all the same: without them nothing could be started, nor the coordinator.
                if (sentence := self._shortage()) is not None:
                    return Overloaded(sentence)
                return self._registrations.register(entry)
            case Retire():
                # It may count rows.
                self._write()
                return self._registrations.retire(entry)
            case MendHeads():
                raise _NotAmongOthers
            case _:
                assert_never(entry)

    def _write(self) -> None:
        """Parents before children: the foreign keys are checked row by row."""
        if self._words:
            self._each(ADD_WORD, self._words)
            self._db.execute(_PUT_NEWEST_WORD, self._words[-1][:1])
        self._each(_ADD_DEFINITION, [(word, d.name, d.text) for word, d in self._definitions.items()])
        self._write_sagas()
        # After the rows, which would show a saga as if it were not in quarantine.
        self._write_quarantines()
        self._registrations.write()
        self._held |= self._requests
        for written in (
            self._words,
            self._definitions,
            self._requests,
            self._records,
            self._started,
            self._changed,
            self._advanced,
            self._quarantines,
            self._lifted,
        ):
            written.clear()

    def _write_sagas(self) -> None:
        heads, changed = self._heads, self._changed
        self._many(
            _ADD_REQUESTS,
            [
                (heads[r.saga_id].number, door, request_id, packed(r.content), packed(r.saga_id))
                for (door, request_id), r in self._requests.items()
            ],
        )
        self._many(
            _ADD_SAGAS,
            [
                (heads[saga_id].number, *fixed, *changed.pop(saga_id))
                for saga_id, fixed in self._started.items()
            ],
        )
        self._many(
            _CHANGE_SAGAS,
            [(heads[saga_id].number, *standing) for saga_id, standing in changed.items()],
            alone=_CHANGE_SAGA,
        )
        self._many(
            _PUT_HEADS,
            [
                (
                    (head := heads[saga_id]).number,
                    row.updated_at,
                    row.due_at,
                    row.seq,
                    head.digest,
                    head.newest,
                )
                for saga_id, row in self._advanced.items()
            ],
        )
        self._many(_ADD_RECORDS, self._records)

    def _write_quarantines(self) -> None:
        heads = self._heads
        # Before those that are new: a saga may have been lifted out of one and put into another.
        self._each(_LIFT_QUARANTINE, [(heads[saga_id].number,) for saga_id in self._lifted])
        new = self._quarantines.values()
        self._each(_ADD_QUARANTINE, [(heads[q.saga_id].number, q.reason, q.at) for q in new])
        set_aside = signature_text(SET_ASIDE)
        shown = [(head, head.quarantine) for head in heads.values() if head.quarantine is not None]
        self._each(
            _SHOW_QUARANTINE,
            [(Status.DEAD_LETTERED.value, set_aside, q.reason, head.number) for head, q in shown],
        )
        self._each(
            _PUT_HEAD_OF_QUARANTINED,
            [(head.number, q.at, head.seq, head.digest, head.newest) for head, q in shown],
        )

    def _each(self, statement: str, rows: Sequence[Parameters]) -> None:
        """One row a statement. Most groups have none, and are not to pay for those that have."""
        if rows:
            self._db.executemany(statement, rows)

    def _many(self, statement: str, rows: Sequence[Parameters], *, alone: str | None = None) -> list[Any]:
        """Run *statement* for many rows at once, and return what it finds: each run gives the interpreter's
        lock away, and waits to have it back. *alone*: the one for a single row, if it is another."""
        found: list[Any] = []
        at = 0
        for many in _ROWS_AT_ONCE:
            while len(rows) - at >= many:
                # No name is given to the cursor: after an error it would stay open as long as that is known.
                if many == 1:
                    row = rows[at]
                    found += self._db.execute(alone or _with_rows(statement, len(row), 1), row).fetchall()
                else:
                    batch = rows[at : at + many]
                    together = _with_rows(statement, len(batch[0]), many)
                    found += self._db.execute(together, list(chain(*batch))).fetchall()
                at += many
        return found

    def _look_up(self, starts: Sequence[Start]) -> None:
        """See who holds the request ids of *starts*."""
        doors = {start.front_door: start.request.front_door for start in starts}
        asked = [(start.request.request_id, start.front_door) for start in starts]
        for door, request_id, content, saga_id in self._many(_REQUESTS, asked, alone=_REQUEST):
            first = Request(doors[door], request_id, Digest(text_of(content)), SagaId(text_of(saga_id)))
            self._held[door, request_id] = first

    def _start(self, entry: Start) -> Outcome:
        request = entry.request
        # A request that joins is answered even when the disk is nearly full.
        name = entry.front_door, request.request_id
        first = self._requests.get(name) or self._held.get(name)
        if first is not None:
            return first if first.content == request.content else RequestIdTaken(request.request_id)
        if (sentence := self._shortage()) is not None:
            return Overloaded(sentence)
        if self._is_taken(request.saga_id):
            return JournalConflict(request.saga_id, 0)
        born_at = entry.lines[0][1][0]
        if (moved := self._registrations.start(entry.definition, born_at)) is not None:
            return moved
        self._definitions[entry.definition_digest] = entry.definition
        self._requests[name] = request
        self._started[request.saga_id] = entry.fixed
        head = self._heads[request.saga_id] = Head(self._next_saga(), 0, CHAIN_START, 0, None, None)
        self._chain(request.saga_id, head, entry.lines, entry.row)
        return None

    def _append(self, entry: Append) -> Outcome:
        head = self._head(entry.saga_id)
        if head is None or head.seq != entry.seq_expected:
            return JournalConflict(entry.saga_id, entry.seq_expected)
        if head.seq_found > head.seq:
            newest = f"the saga's row says that record {head.seq} is the newest"
            return JournalCorrupt(entry.saga_id, head.seq_found, newest)
        if entry.lifts and head.quarantine is not None:
            # Its row says what the quarantine says, whatever was written meanwhile: it is to be put anew.
            head.quarantine = head.standing = None
            self._quarantines.pop(entry.saga_id, None)
            self._lifted[entry.saga_id] = None
        self._chain(entry.saga_id, head, entry.lines, entry.row)
        return head.seq

    def _quarantine(self, quarantine: Quarantine) -> Outcome:
        head = self._head(quarantine.saga_id)
        if head is None:
            return SagaNotFound(quarantine.saga_id)
        # The first reason stays: what came after it came of it.
        if head.quarantine is None:
            head.quarantine = self._quarantines[quarantine.saga_id] = quarantine
            head.standing = None
            # What a person does to the saga is to have a number behind all its records.
            head.seq = max(head.seq, head.seq_found)
        return None

    def _chain(self, saga_id: SagaId, head: Head, lines: Lines, row: Row) -> None:
        number, seq, digest, token = head.number, head.seq, head.digest, self._token
        record = self._next_record()
        back = record - head.newest if head.newest else 0
        for events, line in lines:
            seq += events
            digest = chained(digest, saga_id, seq, token, line)
            at, type_name, payload = line
            self._records.append(
                (record, back, number, seq, token, at, RECORD_TYPES[type_name], payload, digest)
            )
            back, record = 1, record + 1
        newest = self._kept.newest_record = record - 1
        self._moved_by += newest - head.newest
        head.seq, head.digest, head.newest = seq, digest, newest
        self._advanced[saga_id] = row
        if head.standing != row.standing:
            head.standing = self._changed[saga_id] = row.standing

    def _is_taken(self, saga_id: SagaId) -> bool:
        """Whether a saga has this id. Ids are drawn at random: that one is taken is left for the tables' key
        to find out, and only then are those in the file looked at."""
        return saga_id in self._heads or (self._looks_for_ids and self._head(saga_id) is not None)

    def _next_saga(self) -> int:
        """The number of the next saga."""
        if self._newest_saga is None:
            (self._newest_saga,) = self._db.execute(_NEWEST_SAGA).fetchone()
        self._newest_saga += 1
        return self._newest_saga

    def _next_record(self) -> int:
        """The number of the next record."""
        if self._kept.newest_record is None:
            (self._kept.newest_record,) = self._db.execute(_NEWEST_RECORD).fetchone()
        newest: int = self._kept.newest_record
        return newest + 1

    def _head(self, saga_id: SagaId) -> Head | None:
        head = self._heads.get(saga_id)
        if head is None:
            head = self._kept.get(saga_id) or self._head_in_file(saga_id)
            if head is not None:
                self._heads[saga_id] = head
        return head

    def _head_in_file(self, saga_id: SagaId) -> Head | None:
        found = self._db.execute(_HEAD, (packed(saga_id),)).fetchone()
        if found is None:
            return None
        number, seq, digest, newest, reason, at = found
        quarantine = None if reason is None else Quarantine(saga_id, reason, at)
        head = Head(number, seq or 0, digest or CHAIN_START, newest or 0, quarantine, None)
        if self._reads_records:
            sql, values = (_NEWEST_SEQ, (number,)) if seq is None else (_SEQ_OF_RECORD, (newest, number))
            (head.seq_found,) = self._db.execute(sql, values).fetchone() or (0,)
        return head


_Name = tuple[int, RequestId]
"""A front door's number, and what was asked for there."""
_ROWS_AT_ONCE: Final = (64, 16, 4, 1)


@lru_cache(maxsize=32)
def _with_rows(statement: str, columns: int, many: int) -> str:
    return statement.format(rows=", ".join([f"({', '.join('?' * columns)})"] * many))
