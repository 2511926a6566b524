"""Opens the two connections of a journal, the way they must be, and checks that they are.

Each lives in a thread of its own. Work goes there whole, as one function: see `Connection.run`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar
from urllib.parse import quote

import aiosqlite

from coordinator.adapters.sqlite.files import APPLICATION_ID
from coordinator.adapters.sqlite.words import damaged
from coordinator.domain.errors import StartupFailed

_T = TypeVar("_T")

# Strict tables, and JSON functions in every build.
SQLITE_MIN: Final = (3, 38, 0)
BUSY_MS: Final = 5_000
WAL_BYTES_MAX: Final = 64 << 20
PAGE_BYTES: Final = 1024
"""Of a new journal; an older one keeps its own. Pages are written whole, and most of them change a little."""

WRITER_PRAGMAS: Final[Mapping[str, str | int]] = {
    "journal_mode": "wal",
    # FULL: each commit is synced before it returns.
    "synchronous": 2,
    "foreign_keys": 1,
    "busy_timeout": BUSY_MS,
    # SQLite's own checkpoint swallows errors, a failed sync among them; the writer's does not.
    "wal_autocheckpoint": 0,
    "journal_size_limit": WAL_BYTES_MAX,
    "cell_size_check": 1,
    "trusted_schema": 0,
    # What a statement may have to undo is kept in memory: SQLite's files for it were a fifth of all writes.
    "temp_store": 2,
}
READER_PRAGMAS: Final[Mapping[str, str | int]] = {
    "query_only": 1,
    "busy_timeout": BUSY_MS,
    "cell_size_check": 1,
    "trusted_schema": 0,
}


class Database(Protocol):
    """What the journal's reads and writes need of a connection."""

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run *work* as a whole, to its end, even if this call is cancelled."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class Connection(aiosqlite.Connection):
    """A connection in a thread of its own, which takes whole pieces of work."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        self._opened: sqlite3.Connection | None = None

        def connect() -> sqlite3.Connection:
            self._opened = connector()
            return self._opened

        super().__init__(connect, iter_chunk_size=64)

    @classmethod
    async def open(cls, connector: Callable[[], sqlite3.Connection]) -> Self:
        connection = cls(connector)
        try:
            _ = await connection
        except BaseException:
            connection.abandon()
            raise
        return connection

    def abandon(self) -> None:
        """Close it without giving way to anybody, so that no cancellation comes between."""
        self.stop()
        # Its thread is about to end, but nobody waits for it: it would outlive the loop it reports to.
        self._thread.join()

    def stop(self) -> asyncio.Future[Any] | None:
        # A connection whose opening was cancelled is open in its thread, and the base class never learns of
        # it: whoever opened it closes it, in that thread, before that ends.
        self._tx.put_nowait((None, self._close_opened))
        return super().stop()

    def _close_opened(self) -> None:
        if self._opened is not None:
            self._opened.close()

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run *work* in the connection's thread, to its end, even if this call is cancelled.

        The public verbs run one statement each. A transaction by them is a trip to the thread and back
        through a busy event loop for every statement, can be left half-way by a cancelled caller, and
        logs its parameters, which may be secret, at DEBUG. Hence the one verb below them.
        """

        def whole() -> _T:
            return work(self._conn)

        result: _T = await self._execute(whole)  # type: ignore[no-untyped-call]
        return result


def open_writer(path: Path) -> sqlite3.Connection:
    """The only connection that ever writes or checkpoints: before SQLite 3.51.3 two could lose data.

    Raises:
        StartupFailed: the database cannot be made to keep its promises here.
        sqlite3.Error: it cannot be opened.
    """
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        raise StartupFailed(
            f"the journal {path} needs SQLite {'.'.join(map(str, SQLITE_MIN))} or newer, and this Python has "
            f"{sqlite3.sqlite_version}: use a newer Python or SQLite library"
        )
    db = _connect(path, "rw")
    try:
        # Before anything is written; of what has pages already it changes nothing.
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}").close()
        _claim(db)
        _apply(db, WRITER_PRAGMAS, path)
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read.

    Raises:
        StartupFailed, sqlite3.Error: as `open_writer`.
    """
    db = _connect(path, "ro")
    try:
        _apply(db, READER_PRAGMAS, path)
        # The first read takes the shared lock that is kept from then on: while it is held, closing the
        # writer does not check the log in behind our back.
        db.execute("SELECT token FROM journal").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def open_new_copy(path: Path) -> sqlite3.Connection:
    """A connection for filling the empty file *path*: neither logged nor synced, for half a copy is none."""
    db = _connect(path, "rw")
    try:
        db.execute("PRAGMA journal_mode = off").close()
        db.execute("PRAGMA synchronous = off").close()
    except BaseException:
        db.close()
        raise
    return db


def open_finished_copy(path: Path) -> sqlite3.Connection:
    """A connection for reading a file that nobody writes any more; it makes no log beside it."""
    return _connect(path, "ro&immutable=1")


def read_back(db: sqlite3.Connection, name: str) -> Any:
    """The value that a pragma has now."""
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return value


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_MS / 1000,
        # Transactions begin and end where our code says so.
        isolation_level=None,
    )
    db.text_factory = _text
    return db


def _text(raw: bytes) -> str:
    """A text of the database. The library's own error for one that is none quotes it, and is not told from a
    store that has failed.

    Raises:
        sqlite3.DatabaseError: it is damaged; with the code that SQLite has for that.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise damaged("a text in it is not UTF-8") from None


def _claim(db: sqlite3.Connection) -> None:
    """Mark a new database as ours; that of another program was refused before it was opened."""
    if read_back(db, "application_id") != APPLICATION_ID:
        # Before there is a write-ahead log, so that the database file itself always says whose it is.
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _apply(db: sqlite3.Connection, pragmas: Mapping[str, str | int], path: Path) -> None:
    for name, value in pragmas.items():
        db.execute(f"PRAGMA {name} = {value}").close()
        # A pragma that is not understood or not possible fails without a word.
        if (found := read_back(db, name)) != value:
            raise StartupFailed(
                f"SQLite {sqlite3.sqlite_version} keeps the journal {path} with {name} {found!r} where "
                f"{value!r} is needed: move the journal to a local file system"
            )
