"""A disk that holds one journal: the journal's own SQLite code, over a database that survives its processes.

A write passes three moments: it is not written, written but not synced, synced but not acted upon. Who is
killed in the second one leaves it lost, kept or torn. A disk that is opened by another process serves the
one before no more.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from coordinator.adapters.sqlite.disk import DiskGauge
from coordinator.adapters.sqlite.journal import SqliteJournal, take_token
from coordinator.adapters.sqlite.reader import Reader
from coordinator.adapters.sqlite.upkeep import SqliteUpkeep
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain.ids import FencingToken
from coordinator.simulation.boundaries import Boundaries, Boundary, Kill, Unsynced
from coordinator.simulation.databases import Databases
from coordinator.simulation.loop import Process

_T = TypeVar("_T")

PATH: Final = Path("simulated.sqlite3")
"""Names the journal in what is told; there is no such file."""


class SimulatedDisk:
    """What outlives a coordinator. *pace* draws how long each write and read takes, in seconds."""

    def __init__(self, boundaries: Boundaries, pace: Callable[[], float]) -> None:
        self._boundaries = boundaries
        self._pace = pace
        self._token = FencingToken(0)
        self._unsynced: Callable[[], object] | None = None
        self.database = _DATABASES.take()
        self.holder: Process | None = None
        self.shortage: str | None = None
        """Why no saga may be started, if so: the disk is nearly full."""
        self.fails: Callable[[], bool | None] = lambda: None
        """Whether the next write fails: True after it was kept, False before; None: it does not."""
        self.committed: Callable[[], None] = lambda: None
        """Told of each write that is durable."""

    def open(self, process: Process) -> SqliteJournal:
        """The journal, held by *process* from now on. Call it as a step of that process."""
        self.holder = process
        self._token = take_token(self.database, PATH, token_before=self._token)
        writer = Writer(
            _Connection(self, process, self._write),
            PATH,
            self._token,
            shortage=lambda: self.shortage,
            log_bytes=lambda: 0,
        )
        reader = Reader(_Connection(self, process, self._read), writer.fail)
        gauge = DiskGauge(PATH, 0, lambda _: 1)
        return SqliteJournal(_NoLock(), writer, reader, SqliteUpkeep(PATH, writer, gauge))

    @property
    def is_unsynced(self) -> bool:
        """Whether something is written and not synced at this moment."""
        return self._unsynced is not None

    def cut(self, kill: Kill) -> None:
        """Whoever held it is dead: what was written and not synced is lost, kept or torn."""
        self.holder = None
        work, self._unsynced = self._unsynced, None
        if work is None or kill.unsynced is Unsynced.LOST:
            return
        self.database.statements_left = kill.statements if kill.unsynced is Unsynced.TORN else None
        try:
            work()
        except _Cut:
            pass
        finally:
            self.database.statements_left = None
            if self.database.in_transaction:
                self.database.rollback()
        # Of a torn one, too: if it was more than one transaction, some of it is there.
        self.committed()

    def close(self) -> None:
        """Call it once, when nothing looks at its database any more: another disk will have that."""
        self.holder = None
        _DATABASES.give_back(self.database)

    async def _write(self, process: Process, work: Callable[[], _T]) -> _T:
        await self._reach(process, Boundary.UNWRITTEN)
        fails = self.fails()
        if fails is not None:
            if fails:
                work()
                self.committed()
            raise sqlite3.OperationalError("disk I/O error")
        self._unsynced = work
        await asyncio.sleep(self._pace())
        self._check(process)
        await self._reach(process, Boundary.UNSYNCED)
        self._unsynced = None
        before = self.database.statements
        result = work()
        statements = self.database.statements - before
        self.committed()
        await self._reach(process, Boundary.SYNCED, statements=statements)
        return result

    async def _read(self, process: Process, work: Callable[[], _T]) -> _T:
        result = work()
        await asyncio.sleep(self._pace() / 4)
        return result

    def _check(self, process: Process) -> None:
        if self.holder is not process:
            raise sqlite3.OperationalError("disk I/O error: it was attached to another machine")

    async def _reach(self, process: Process, boundary: Boundary, *, statements: int = 0) -> None:
        self._boundaries.reach(process, boundary, lambda: "write", statements=statements)
        if process.is_dead:
            await asyncio.get_running_loop().create_future()  # for ever


class _Connection:
    """One process's way to the disk."""

    def __init__(
        self, disk: SimulatedDisk, process: Process, way: Callable[[Process, Callable[[], Any]], Any]
    ) -> None:
        self._disk, self._process, self._way = disk, process, way

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        self._disk._check(self._process)
        result: _T = await self._way(self._process, lambda: work(self._disk.database))
        return result

    async def close(self) -> None:
        """The database outlives its connections."""


class _Cut(Exception):
    """The power is gone."""


class _Database(sqlite3.Connection):
    """A database that a power cut can stop between two statements."""

    statements = 0
    """How many it was given, ever."""
    statements_left: int | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.statements += 1
        if self.statements_left is not None:
            self._spend()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        self.statements += 1
        if self.statements_left is not None:
            self._spend()
        return super().executemany(sql, parameters)

    def _spend(self) -> None:
        if not self.statements_left:
            raise _Cut
        self.statements_left -= 1


class _NoLock:
    """Whoever opens the disk holds it: that stands in the disk itself."""

    def closing(self, token: FencingToken) -> None:
        """Nothing is kept beside the database."""

    def release(self) -> None:
        """Nothing is held."""


def _lay_out(database: sqlite3.Connection) -> None:
    """A journal that nobody has opened."""
    take_token(database, PATH, token_before=FencingToken(0))
    database.execute("UPDATE journal SET token = 0")


_DATABASES: Final = Databases(_Database, _lay_out)
