"""Keeps the ports `Journal`, `SagaIndex`, `Upkeep` and `DefinitionStore` in one SQLite file: opening,
closing, the way to each verb.

The order is the law here: lock, mend, open, migrate and take a token, then serve; drain, check in,
close, unlock.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from coordinator.adapters.event_codec import FORMAT_VERSION
from coordinator.adapters.sqlite.connection import Connection, open_reader, open_writer
from coordinator.adapters.sqlite.damage import mend_indexes, mend_old_heads, read_words, tell_old_rows
from coordinator.adapters.sqlite.definitions import SqliteDefinitions
from coordinator.adapters.sqlite.disk import DiskGauge, free_bytes
from coordinator.adapters.sqlite.files import claim, sync_folder, wal_path
from coordinator.adapters.sqlite.group import Append, MendHeads, Start
from coordinator.adapters.sqlite.migrations import migrate, packaged
from coordinator.adapters.sqlite.reader import READ_LIMIT_S, Reader
from coordinator.adapters.sqlite.rows import check_text, fixed_row, lines, summary_row
from coordinator.adapters.sqlite.upkeep import SqliteUpkeep
from coordinator.adapters.sqlite.words import Words, damaged
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import JournalDamaged, StartupFailed
from coordinator.domain.events import Event, OperatorActed
from coordinator.domain.ids import Digest, FencingToken, RequestId, SagaId
from coordinator.domain.summary import SagaSummary
from coordinator.ports.deferred import Deferred
from coordinator.ports.journal import Census, Cursor, OpenSaga, Piece, Quarantine, Record, Request, SagaFilter

DISK_FREE_MIN_BYTES: Final = 64 << 20

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Hold(Protocol):
    """The right to write the journal, for as long as it is not released."""

    def closing(self, token: FencingToken) -> None:
        """All that was written under *token* is about to be checked in."""
        ...

    def release(self) -> None:
        """Let go of it."""
        ...


class SqliteJournal:
    """A journal that this process holds from `open` to `close`."""

    def __init__(
        self, lock: Hold, writer: Writer, reader: Reader, upkeep: SqliteUpkeep, words: Words
    ) -> None:
        """Takes over what is open."""
        self._lock: Final = lock
        self._writer: Final = writer
        self._reader: Final = reader
        self._upkeep: Final = upkeep
        self._words: Final = words
        self.definitions: Final = SqliteDefinitions(writer, reader)
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        disk_free_min_bytes: int = DISK_FREE_MIN_BYTES,
        disk_free_bytes: Callable[[Path], int] = free_bytes,
        read_limit_s: float = READ_LIMIT_S,
        on_commit: Callable[[int, float], None] | None = None,
    ) -> Self:
        """Hold the journal at *path*, making it where there is none.

        Below *disk_free_min_bytes* of free disk no saga is started. *on_commit* is told of each group
        commit, on the event loop: the number of its entries, and the seconds from BEGIN to the end of COMMIT.

        Raises:
            StartupFailed: with one sentence that names the file and says what to do.
        """
        lock = claim(path)
        path = lock.database
        opened: list[Connection] = []
        try:
            writing = await Connection.open(partial(open_writer, path))
            opened.append(writing)
            token, words = await writing.run(partial(_begin, path=path, token_before=lock.before.token))
            # Not before the database holds the token, so that a lock file ahead of it always means loss.
            lock.opened(token)
            reading = await Connection.open(partial(open_reader, path))
            opened.append(reading)
        except BaseException as error:
            # A connection's thread that is not ended keeps the process alive. Nothing is awaited here: a
            # caller that is cancelled once more would leave the rest of it undone.
            for connection in opened:
                connection.abandon()
            lock.release()
            if isinstance(error, UnicodeDecodeError):
                # Of a name in the schema, the library's own: nothing of ours has read it.
                error = damaged("a text in it is not UTF-8")
            if isinstance(error, sqlite3.Error | OSError):
                raise _startup_failed(path, error) from None
            raise
        _log.info("the journal %s is open under token %d, by SQLite %s", path, token, sqlite3.sqlite_version)
        gauge = DiskGauge(path, disk_free_min_bytes, disk_free_bytes)
        writer = Writer(
            writing,
            path,
            token,
            words,
            shortage=gauge.shortage,
            log_bytes=lambda: wal_path(path).stat().st_size,
            on_commit=on_commit,
        )
        reader = Reader(reading, words, writer.fail, read_limit_s)
        return cls(lock, writer, reader, SqliteUpkeep(path, writer, gauge), words)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Make durable what is queued, and let go of the files. Goes on when the caller is cancelled."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="journal closing")
        await asyncio.shield(self._closing)

    @property
    def failed(self) -> asyncio.Future[str]:
        """Ends with a sentence when the store has failed: the process must stop, and its restart recovers."""
        return self._writer.failed

    @property
    def token(self) -> FencingToken:
        return self._writer.token

    def start(
        self,
        request: Request,
        definition: SagaDefinition,
        events: Sequence[Event],
        summary: SagaSummary,
    ) -> Deferred[Request]:
        _check_numbers(events, summary, seq_expected=0)
        check_text(request.request_id, request.content)
        words = self._words
        entry = Start(
            request,
            definition,
            lines(events, words),
            fixed_row(summary, words),
            summary_row(summary),
            words.number(request.front_door),
            words.number(definition.digest),
        )
        holder: Deferred[Request] = Deferred()
        self._writer.write(entry).listen(lambda first: holder.settle(first or request))
        return holder

    def append(
        self, saga_id: SagaId, events: Sequence[Event], *, summary: SagaSummary, seq_expected: int
    ) -> Deferred[int]:
        _check_numbers(events, summary, seq_expected)
        lifts = OperatorActed in map(type, events)
        return self._writer.write(
            Append(saga_id, lines(events, self._words), summary_row(summary), seq_expected, lifts)
        )

    async def quarantine(self, quarantine: Quarantine) -> None:
        check_text(quarantine.reason)
        await self._writer.write(quarantine)

    async def history(self, saga_id: SagaId) -> Sequence[Record]:
        self._writer.check()
        return await self._reader.history(saga_id)

    async def find(self, saga_id: SagaId) -> SagaSummary | None:
        return await self._read(lambda: self._reader.find(saga_id))

    async def page(self, condition: SagaFilter, *, after: Cursor | None, limit: int) -> Sequence[SagaSummary]:
        """As the port says.

        Raises:
            Overloaded: the list took too long and was stopped.
        """
        return await self._read(lambda: self._reader.page(condition, after=after, limit=limit))

    async def open_sagas(self) -> Sequence[OpenSaga]:
        return await self._read(lambda: self._reader.open_sagas())

    async def requested(self, front_door: str, request_id: RequestId) -> Request | None:
        self._writer.check()
        return await self._reader.requested(front_door, request_id)

    async def definition(self, digest: Digest) -> str | None:
        self._writer.check()
        return await self._reader.definition(digest)

    async def census(self, now: float) -> Census:
        return await self._read(lambda: self._reader.census(now))

    def backup(self) -> AsyncGenerator[Piece, None]:
        return self._upkeep.backup()

    async def faults(self) -> Sequence[str]:
        return await self._upkeep.faults()

    async def _read(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """What *read* yields, also where it has to do with heads that are damaged."""
        self._writer.check()
        try:
            return await read()
        except JournalDamaged:
            if not await self._writer.write(MendHeads()):
                raise
            return await read()

    async def _close(self) -> None:
        await self._upkeep.close()
        await self._writer.drain()
        try:
            if not self.failed.done():
                self._lock.closing(self.token)
                await self._writer.check_in()
        except (sqlite3.Error, OSError) as error:
            self._writer.fail(error)
        # The last connection to close checks the log in and deletes it, and tells of no error. After a
        # failure the log must stay for the restart to mend, so the last one is then the reader: it cannot.
        ends = (self._reader.close, self._writer.close)
        for end in reversed(ends) if self.failed.done() else ends:
            await end()
        self._lock.release()


def _begin(db: sqlite3.Connection, *, path: Path, token_before: FencingToken) -> tuple[FencingToken, Words]:
    token = take_token(db, path, token_before=token_before)
    mend_indexes(db)
    tell_old_rows(db)
    mend_old_heads(db)
    words = read_words(db)
    sync_folder(path)
    return token, words


def take_token(db: sqlite3.Connection, path: Path, *, token_before: FencingToken) -> FencingToken:
    """Bring the schema up to date and take the next token, in one transaction.

    *path* names the journal in what is told; *token_before* is the newest token that is known beside it.

    Raises:
        StartupFailed: a newer release wrote it.
        sqlite3.DatabaseError: it is damaged.
    """
    db.execute("BEGIN IMMEDIATE")
    migrate(db, packaged(), str(path))
    db.execute("INSERT INTO journal VALUES (1, ?, 0, 0) ON CONFLICT DO NOTHING", (FORMAT_VERSION,))
    version, kept, words = db.execute("SELECT format, token, words FROM journal").fetchone()
    if not all(isinstance(value, int) for value in (version, kept, words)):
        raise damaged("its format, its token or the number of its words is none")
    if version > FORMAT_VERSION:
        raise StartupFailed(
            f"the journal {path} was written by a newer release (its format is number {version}, this "
            f"release knows {FORMAT_VERSION}): start that release, or give this one a journal of its own"
        )
    if 0 < kept < token_before:
        _log.warning(
            "the journal %s holds token %d but was opened under token %d before: it is an older copy, "
            "or its write-ahead log was removed; what was recorded since then is lost",
            path,
            kept,
            token_before,
        )
    # Also ahead of what the lock file remembers: participants refuse a token older than one they know.
    token = FencingToken(max(kept, token_before) + 1)
    # The format as well: a release that does not know it must not open what this one is about to write.
    db.execute("UPDATE journal SET format = ?, token = ?", (FORMAT_VERSION, token))
    db.execute("COMMIT")
    return token


def _check_numbers(events: Sequence[Event], summary: SagaSummary, seq_expected: int) -> None:
    if not events or summary.seq != seq_expected + len(events):
        raise ValueError(
            f"saga {summary.id}: {len(events)} events behind {seq_expected} do not end at {summary.seq}"
        )


def _startup_failed(path: Path, error: Exception) -> StartupFailed:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_CONSTRAINT:
            advice = "it is damaged; put back a copy, or move it away to begin a new journal"
        case sqlite3.SQLITE_FULL:
            advice = "make room on its disk"
        case sqlite3.SQLITE_BUSY:
            advice = "another program has it open; close that one"
        case _:
            advice = "check its disk and its permissions"
    return StartupFailed(f"the journal {path} cannot be used ({error}): {advice}")
