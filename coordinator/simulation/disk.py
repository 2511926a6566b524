"""A disk that holds one journal: the journal's own SQLite code, over a database that survives its processes.

A write passes three moments: it is not written, written but not synced, synced but not acted upon. Who is
killed in the second one leaves it lost, kept or torn. A disk that is opened by another process serves the
one before no more.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from coordinator.adapters.event_codec import decode_all
from coordinator.adapters.sqlite.damage import read_words
from coordinator.adapters.sqlite.disk import DiskGauge
from coordinator.adapters.sqlite.journal import SqliteJournal, take_token
from coordinator.adapters.sqlite.reader import Reader
from coordinator.adapters.sqlite.upkeep import SqliteUpkeep
from coordinator.adapters.sqlite.words import text_of
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain.ids import FencingToken, SagaId
from coordinator.ports.journal import Record
from coordinator.simulation.boundaries import Boundaries, Boundary, Kill, Unsynced
from coordinator.simulation.databases import Databases
from coordinator.simulation.loop import Process, for_ever, pause

_T = TypeVar("_T")

PATH: Final = Path("simulated.sqlite3")
"""Names the journal in what is told; there is no such file."""


class SimulatedDisk:
    """What outlives a coordinator. *pace* draws how long each write and read takes, in seconds."""

    def __init__(self, boundaries: Boundaries, pace: Callable[[], float]) -> None:
        self._boundaries = boundaries
        self._pace = pace
        self._token = FencingToken(0)
        self._unsynced: Callable[[Any], object] | None = None
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
        words = read_words(self.database)
        writer = Writer(
            _Writing(self, process),
            PATH,
            self._token,
            words,
            shortage=lambda: self.shortage,
            log_bytes=lambda: 0,
        )
        reader = Reader(_Reading(self, process), words, writer.fail)
        gauge = DiskGauge(PATH, 0, lambda _: 1)
        return SqliteJournal(_NoLock(), writer, reader, SqliteUpkeep(PATH, writer, gauge), words)

    def records(self) -> Iterator[Record]:
        """What it holds at this moment, for whoever asks why something went on as it did."""
        words = read_words(self.database)
        rows = self.database.execute(
            "SELECT records.seq, token, event_types.name, payload, at, id FROM records"
            " JOIN sagas ON sagas.number = saga JOIN event_types ON event_types.number = type"
            " ORDER BY records.number"
        )
        for seq, token, kind, payload, at, saga_id in rows:
            for event in decode_all(kind, payload, at, SagaId(text_of(saga_id)), words):
                yield Record(seq, token, event)

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
        try:
            if kill.unsynced is Unsynced.TORN:
                work(_Counting(self.database, kill.statements))
            else:
                work(self.database)
        except _Cut:
            pass
        finally:
            if self.database.in_transaction:
                self.database.rollback()
        # Of a torn one, too: if it was more than one transaction, some of it is there.
        self.committed()

    def close(self) -> None:
        """Call it once, when nothing looks at its database any more: another disk will have that."""
        self.holder = None
        _DATABASES.give_back(self.database)

    async def _write(self, process: Process, work: Callable[[Any], _T]) -> _T:
        boundaries = self._boundaries
        boundaries.reach(process, Boundary.UNWRITTEN, _about_write)
        if process.is_dead:
            await for_ever()
        fails = self.fails()
        if fails is not None:
            if fails:
                work(self.database)
                self.committed()
            raise sqlite3.OperationalError("disk I/O error")
        self._unsynced = work
        await pause(self._pace())
        self._check(process)
        boundaries.reach(process, Boundary.UNSYNCED, _about_write)
        if process.is_dead:
            await for_ever()
        self._unsynced = None
        statements = 0
        if boundaries.keeps:
            counting = _Counting(self.database)
            result = work(counting)
            statements = counting.statements
        else:
            result = work(self.database)
        self.committed()
        boundaries.reach(process, Boundary.SYNCED, _about_write, statements=statements)
        if process.is_dead:
            await for_ever()
        return result

    def _check(self, process: Process) -> None:
        if self.holder is not process:
            raise sqlite3.OperationalError("disk I/O error: it was attached to another machine")


class _Connection:
    """One process's way to the disk."""

    def __init__(self, disk: SimulatedDisk, process: Process) -> None:
        self._disk, self._process = disk, process

    async def close(self) -> None:
        """The database outlives its connections."""


class _Writing(_Connection):
    async def run(self, work: Callable[[Any], _T]) -> _T:
        self._disk._check(self._process)
        return await self._disk._write(self._process, work)


class _Reading(_Connection):
    async def run(self, work: Callable[[Any], _T]) -> _T:
        self._disk._check(self._process)
        result = work(self._disk.database)
        await pause(self._disk._pace() / 4)
        return result


def _about_write() -> str:
    return "write"


class _Cut(Exception):
    """The power is gone."""


class _Counting:
    """Stands for a database during one write, and counts its statements: the power is cut before the one that
    follows *left* of them."""

    def __init__(self, database: sqlite3.Connection, left: int | None = None) -> None:
        self._database = database
        self._left = left
        self.statements = 0

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        self._count()
        return self._database.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        self._count()
        return self._database.executemany(sql, parameters)

    def _count(self) -> None:
        if self.statements == self._left:
            raise _Cut
        self.statements += 1


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


_DATABASES: Final = Databases(sqlite3.Connection, _lay_out)
