"""Copies and checks of the whole journal while it is being written, on connections of their own.

They read for long, one at a time. The writer never waits for them, but its log grows until they are done:
so a copy is of bare pages, as fast as the disk, a check is in slices, and both look again and again whether
there is room left. A copy keeps its room until it is read, as slowly as its reader likes: so there is one.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from coordinator.adapters.sqlite.connection import (
    Connection,
    open_finished_copy,
    open_new_copy,
    open_reader,
    read_back,
)
from coordinator.adapters.sqlite.damage import is_damage
from coordinator.adapters.sqlite.disk import DiskGauge
from coordinator.adapters.sqlite.files import create_copy, mark_copy, remove_copy
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain import jsontext
from coordinator.domain.errors import JournalNotWhole, Overloaded, StartupFailed
from coordinator.ports.journal import Piece

_T = TypeVar("_T")

PIECE_BYTES_MAX: Final = 1 << 20
FAULTS_TOLD_MAX: Final = 100
"""More of them would tell nobody more."""
PAGES_AT_A_TIME: Final = 1_024
_STEPS_BETWEEN_LOOKS: Final = 1_000_000
"""Virtual machine steps of SQLite, some ten milliseconds: a look waits for its turn with the event loop."""


class SqliteUpkeep:
    """Keeps the port `Upkeep` for the journal that *writer* writes."""

    def __init__(self, path: Path, writer: Writer, gauge: DiskGauge) -> None:
        self._path = path
        self._writer = writer
        self._gauge = gauge
        self._turn = asyncio.Lock()
        self._watch = _Watch(gauge)
        self._copying = False
        self._closing = False

    async def backup(self) -> AsyncGenerator[Piece, None]:
        """As the port says. The copy takes its room on the journal's disk until the generator is closed."""
        if self._copying:
            raise Overloaded(
                "a copy of the journal is being taken already; wait until it is read, or stop its reader, "
                "then ask again"
            )
        self._copying = True
        # Not the answer of the call: a caller that is cancelled when the copy is just done gets none.
        made: list[BinaryIO] = []
        try:
            await self._apart(lambda db, watch: made.append(_copy(db, self._path, watch)))
            (copy,) = made
            total = os.fstat(copy.fileno()).st_size
            while data := await asyncio.to_thread(copy.read, PIECE_BYTES_MAX):
                yield Piece(data, total)
        finally:
            for copy in made:
                # It waits for a read that is still under way in its thread.
                copy.close()
            self._copying = False

    async def faults(self) -> Sequence[str]:
        """As the port says.

        Raises:
            JournalNotWhole: the files could not be read at all.
        """
        # The whole check of each table and not only the quick one: a saga that an index of open sagas lacks
        # would be forgotten by the next recovery. The quick one sees what belongs to no table.
        found = [*await self._apart(partial(_complaints, check="quick_check"))]
        for table in await self._apart(_tables):
            found += await self._apart(partial(_complaints, check=f"integrity_check('{table}')"))
            found += await self._apart(partial(_orphans, table=table))
        found += await self._apart(_damaged_definitions)
        return list(dict.fromkeys(found))[:FAULTS_TOLD_MAX]

    async def close(self) -> None:
        """Break off what is under way, and wait until its connection is closed."""
        self._closing = True
        self._watch.stop()
        async with self._turn:
            pass

    async def _apart(self, work: Callable[[sqlite3.Connection, "_Watch"], _T]) -> _T:
        """Run *work* on a connection of its own, which is closed when this ends, however it ends."""
        async with self._turn:
            self._writer.check()
            if self._closing:
                raise _Stopped
            watch = self._watch = _Watch(self._gauge)
            try:
                async with self._writer.patience():
                    db = await Connection.open(partial(open_reader, self._path))
                    try:
                        return await db.run(lambda db: work(db, watch))
                    finally:
                        # A caller that is cancelled does not wait for the work's own end.
                        watch.stop()
                        db.abandon()
            except (sqlite3.Error, OSError, StartupFailed) as error:
                raise JournalNotWhole(f"the journal {self._path} cannot be read whole: {error}") from error


class _Stopped(JournalNotWhole):
    def __init__(self) -> None:
        super().__init__("the journal is being closed: what was asked of it was broken off")


class _Watch:
    """Breaks off work in another thread when it is no longer wanted, or the disk has no more room for it."""

    def __init__(self, gauge: DiskGauge) -> None:
        self._gauge = gauge
        self._stopped = threading.Event()
        self._working: list[sqlite3.Connection] = []

    def stop(self) -> None:
        self._stopped.set()
        for db in self._working:
            # It may be closed in its thread at this moment.
            with suppress(sqlite3.ProgrammingError):
                db.interrupt()

    def look(self, more_bytes: int = 0) -> None:
        """Raise JournalNotWhole unless the work may go on, and write so many bytes."""
        if self._stopped.is_set():
            raise _Stopped
        shortage = self._gauge.shortage_for(more_bytes)
        if shortage is not None:
            raise JournalNotWhole(f"the journal cannot be read whole: {shortage}")

    @contextmanager
    def over(self, db: sqlite3.Connection) -> Iterator[None]:
        """Look while statements of *db* run, too."""
        self._working.append(db)
        db.set_progress_handler(self._is_over, _STEPS_BETWEEN_LOOKS)
        try:
            self.look()
            yield
        except sqlite3.Error:
            self.look()
            raise
        finally:
            db.set_progress_handler(None, 0)
            self._working.remove(db)

    def _is_over(self) -> bool:
        return self._stopped.is_set() or self._gauge.shortage_for(0) is not None


def _copy(db: sqlite3.Connection, journal: Path, watch: _Watch) -> BinaryIO:
    """A file without a name that holds the journal as it is at this moment; runs in the thread of *db*."""
    path = create_copy(journal)
    try:
        with closing(open_new_copy(path)) as copy:
            _copy_pages(db, copy, watch)
        mark_copy(path)
        with closing(open_finished_copy(path)) as copy:
            unsound = _complaints(copy, watch, check="quick_check")
        if unsound:
            raise JournalNotWhole(f"the journal {journal} is damaged, and so is its copy: {unsound[0]}")
        return path.open("rb")
    finally:
        # Open or not: so nothing is left of it when it is closed, even by a kill.
        remove_copy(journal)


def _copy_pages(db: sqlite3.Connection, copy: sqlite3.Connection, watch: _Watch) -> None:
    with watch.over(db):
        # Its first read fixes the moment; without this transaction a write would begin the copy anew.
        db.execute("BEGIN")
        try:
            db.execute("SELECT token FROM journal").fetchone()
            page_bytes, pages = read_back(db, "page_size"), read_back(db, "page_count")

            def look(_: int, pages_left: int, __: int) -> None:
                watch.look(pages_left * page_bytes)

            look(0, pages, pages)
            db.backup(copy, pages=PAGES_AT_A_TIME, progress=look)
        finally:
            db.execute("ROLLBACK")


def _tables(db: sqlite3.Connection, _: _Watch) -> Sequence[str]:
    return [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def _complaints(db: sqlite3.Connection, watch: _Watch, *, check: str) -> Sequence[str]:
    try:
        with watch.over(db):
            rows = db.execute(f"PRAGMA {check}").fetchall()
    except sqlite3.DatabaseError as error:
        return _only_of_damage(error)
    lines = [line.strip() for (text,) in rows for line in text.splitlines()]
    return [
        f"SQLite finds in the file: {line}" for line in lines if line != "ok" and not line.startswith("***")
    ]


def _orphans(db: sqlite3.Connection, watch: _Watch, *, table: str) -> Sequence[str]:
    try:
        with watch.over(db):
            rows = list(islice(db.execute(f"PRAGMA foreign_key_check('{table}')"), FAULTS_TOLD_MAX))
    except sqlite3.DatabaseError as error:
        return _only_of_damage(error)
    return [
        f"the table {table} has {'a row' if number is None else f'row {number}'} without the row of {parent} "
        "that it belongs to"
        for _, number, parent, _ in rows
    ]


def _damaged_definitions(db: sqlite3.Connection, watch: _Watch) -> Sequence[str]:
    """A saga is read with either, so judging sagas alone would miss the one that is damaged."""
    try:
        with watch.over(db):
            pinned = db.execute(
                "SELECT 'the journal''s definition ' || words.text, words.text, definitions.text"
                " FROM definitions LEFT JOIN words ON words.number = digest"
            )
            found = [*_with_another_text(pinned)]
            registered = db.execute("SELECT name, version, digest, text FROM registrations")
            found += _with_another_text(
                (f"the definition {name!r}{f' in version {version!r}' if version else ''}", digest, text)
                for name, version, digest, text in registered
            )
            return found
    except sqlite3.DatabaseError as error:
        return _only_of_damage(error)


def _with_another_text(definitions: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    for which, digest, text in definitions:
        if jsontext.digest(text) != digest:
            yield f"{which} is damaged (its text has another digest)"


def _only_of_damage(error: sqlite3.DatabaseError) -> Sequence[str]:
    if not is_damage(error):
        raise error
    return [f"SQLite cannot read the file to its end: {error}"]
