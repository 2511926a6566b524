"""Opens a service's SQLite file: ours alone, with the pragmas that durability needs, and its tables.

Every fault ends in CannotStart with one sentence for whoever started the service.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from participants.errors import CannotStart

# Marks a file as ours in its header, so that a foreign database is never written to.
APPLICATION_ID = 0x53414741
BUSY_TIMEOUT_S = 5.0
# Not as anybody else writes them: a statement that was compiled before is not asked about again.
COMMIT = "COMMIT -- ours"
ROLLBACK = "ROLLBACK -- ours"
Result = TypeVar("Result")
SETTINGS = """
CREATE TABLE saga_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE saga_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
"""


class Connection(sqlite3.Connection):
    """A connection on which business code cannot end the barrier's transaction by accident."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._lent = False
        # SQLite asks when it compiles a statement, so most statements cost nothing.
        self.set_authorizer(self._allow)

    def lend(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What *work* comes to. A statement of its own that would end the transaction is refused."""
        self._lent = True
        try:
            return work(self)
        finally:
            self._lent = False

    def close(self) -> None:
        if self._lent:
            self._not_yours()
        super().close()

    def _allow(self, action: int, *_: object) -> int:
        is_theirs = self._lent and action == sqlite3.SQLITE_TRANSACTION
        return sqlite3.SQLITE_DENY if is_theirs else sqlite3.SQLITE_OK

    def _not_yours(self, *_: object) -> NoReturn:
        raise sqlite3.ProgrammingError("the barrier commits: business code neither commits nor rolls back")

    commit = _not_yours
    rollback = _not_yours
    executescript = _not_yours
    __enter__ = _not_yours


@dataclass(frozen=True, slots=True)
class Database:
    """An open file, with the lock that keeps every other process out for as long as it is open."""

    path: Path
    connection: Connection
    lock_fd: int

    def close(self) -> None:
        self.connection.close()
        os.close(self.lock_fd)


def open_database(path: Path, service: str, parts: Mapping[str, tuple[str, ...]]) -> Database:
    """Open or create *service*'s file, and bring each part's tables up to the newest script."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock_fd = _lock(path)
    except OSError as error:
        raise CannotStart(f"The data directory {path.parent} cannot be used: {error.strerror}.") from None
    connection: Connection | None = None
    try:
        connection = _connect(path, readonly=False)
        _check_ours(connection, path, service)
        _set_pragmas(connection, path)
        for part, scripts in {"settings": (SETTINGS,), **parts}.items():
            _set_up(connection, path, part, scripts)
        connection.execute(
            "INSERT OR IGNORE INTO saga_settings (name, value) VALUES ('service', ?)", (service,)
        )
        return Database(path, connection, lock_fd)
    except sqlite3.Error as error:
        _close(connection, lock_fd)
        raise CannotStart(f"{path} cannot be used as a database: {error}.") from None
    except BaseException:
        _close(connection, lock_fd)
        raise


def open_readonly(path: Path) -> Connection:
    """A second connection that can only read what is committed."""
    return _connect(path, readonly=True)


def _connect(path: Path, *, readonly: bool) -> Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        # Opened here, then used by one other thread only.
        check_same_thread=False,
        factory=Connection,
    )


def _lock(path: Path) -> int:
    """Exclude every other process: SQLite before 3.51.3 can corrupt a WAL that two may checkpoint."""
    lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        raise CannotStart(f"{path} is in use by another process.") from None
    return lock_fd


def _check_ours(db: sqlite3.Connection, path: Path, service: str) -> None:
    """Refuse a foreign, damaged or misplaced file before anything is written to it."""
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not tables:
        return
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise CannotStart(f"{path} is a database of something else; point --data at another directory.")
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise CannotStart(f"{path} is damaged; restore it from a backup.")
    owner = db.execute("SELECT value FROM saga_settings WHERE name = 'service'").fetchone()
    if owner is not None and owner[0] != service:
        raise CannotStart(f"{path} belongs to {owner[0]}, not to {service}.")


def _set_pragmas(db: sqlite3.Connection, path: Path) -> None:
    """Set what durability rests on, and read each back: SQLite ignores what it does not understand."""
    for pragma, value, expected in (
        ("application_id", APPLICATION_ID, APPLICATION_ID),
        ("journal_mode", "WAL", "wal"),
        ("synchronous", "FULL", 2),
        ("foreign_keys", "ON", 1),
    ):
        db.execute(f"PRAGMA {pragma} = {value}")
        found = db.execute(f"PRAGMA {pragma}").fetchone()[0]
        if found != expected:
            raise CannotStart(f"{path} does not take PRAGMA {pragma} = {value}: it stays {found}.")


def _set_up(db: sqlite3.Connection, path: Path, part: str, scripts: tuple[str, ...]) -> None:
    """Run the scripts of *part* that this file has not seen, each in a transaction of its own."""
    version = _version(db, part)
    if version > len(scripts):
        raise CannotStart(f"{path} was written by a newer release: its {part} tables are unknown here.")
    for number in range(version, len(scripts)):
        sqlite3.Connection.executescript(db, f"BEGIN IMMEDIATE;\n{scripts[number]}")
        done = "INSERT OR REPLACE INTO saga_schema (part, version) VALUES (?, ?)"
        db.execute(done, (part, number + 1))
        db.execute(COMMIT)


def _version(db: sqlite3.Connection, part: str) -> int:
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'saga_schema'").fetchone():
        return 0
    found = db.execute("SELECT version FROM saga_schema WHERE part = ?", (part,)).fetchone()
    return 0 if found is None else int(found[0])


def _close(connection: Connection | None, lock_fd: int) -> None:
    if connection is not None:
        connection.close()
    os.close(lock_fd)
