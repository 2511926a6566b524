"""The one task that writes. Callers queue; it takes all that is queued, commits once, wakes them all.

There is no timer: while one group is being synced, the next one gathers. The first error from the
store is the last: what it left behind is unknown, so nothing is retried and nothing more is written.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, overload

from coordinator.adapters.clock import stopwatch_s
from coordinator.adapters.sqlite.connection import WAL_BYTES_MAX, Database
from coordinator.adapters.sqlite.damage import is_damage
from coordinator.adapters.sqlite.group import (
    Append,
    Entry,
    Heads,
    MendHeads,
    NewWord,
    Outcome,
    Start,
    write_group,
)
from coordinator.adapters.sqlite.registrations import Register, Retire, TakeUpFiles
from coordinator.adapters.sqlite.words import Words
from coordinator.domain.errors import JournalTakenOver, JournalUnavailable, VersionTaken
from coordinator.domain.ids import FencingToken
from coordinator.domain.language.registration import Registered, Registration
from coordinator.ports.deferred import Deferred
from coordinator.ports.journal import Quarantine, Request

CHECKPOINT_PAGES: Final = 12_000
"""After about how many pages the log is checked into the database. Most of them are soon dirty again: with a
quarter of it a busy coordinator writes a tenth more. And where its file is large enough the log is synced in
half the time that it takes where the file grows. So it is to grow to some 6 MB and no further, also where
each order has its writes to itself."""
_PAGES_OF_A_GROUP: Final = 6
"""What a group dirties by itself."""
_ENTRIES_OF_A_PAGE: Final = 3
"""So many entries of a group dirty one more, if what they hold is small."""

_log = logging.getLogger(__name__)

_Waiter = Deferred[Any]


class Writer:
    """Owns the writing connection, its task and its queue."""

    def __init__(
        self,
        db: Database,
        path: Path,
        token: FencingToken,
        words: Words,
        *,
        shortage: Callable[[], str | None],
        log_bytes: Callable[[], int],
        on_commit: Callable[[int, float], None] | None = None,
    ) -> None:
        self._db = db
        self._path = path
        self.token: Final = token
        self._shortage = shortage
        self._log_bytes = log_bytes
        self._on_commit = on_commit
        self._queue: list[tuple[Entry, _Waiter]] = []
        self._news = asyncio.Event()
        self._heads = Heads()
        self._words = words
        self._pages_since_checkpoint = 0
        self._long_reads = 0
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self.failed: Final[asyncio.Future[str]] = self._loop.create_future()
        self._task = asyncio.create_task(self._run(), name="journal writer")

    @overload
    def write(self, entry: Start) -> Deferred[Request | None]: ...
    @overload
    def write(self, entry: Append) -> Deferred[int]: ...
    @overload
    def write(self, entry: Quarantine) -> Deferred[None]: ...
    @overload
    def write(self, entry: Register) -> Deferred[Registered]: ...
    @overload
    def write(self, entry: Retire) -> Deferred[Registration | None]: ...
    @overload
    def write(self, entry: MendHeads) -> Deferred[bool]: ...
    @overload
    def write(self, entry: TakeUpFiles) -> Deferred[Sequence[Registered | VersionTaken]]: ...

    def write(self, entry: Entry) -> Deferred[Any]:
        """Queue *entry*. What is returned ends when it is durable, with what became of it, as `Outcome` says.

        A caller that is cancelled leaves only its own wait: the entry stays in the queue.

        Raises:
            JournalUnavailable: the store failed before; whoever waits is told what the entry meets.
        """
        self.check()
        waiter: _Waiter = Deferred()
        self._queue.append((entry, waiter))
        self._news.set()
        return waiter

    def check(self) -> None:
        """Raise JournalUnavailable if the journal takes nothing any more."""
        if self.failed.done():
            raise JournalUnavailable(self.failed.result())
        if self._closing:
            raise JournalUnavailable(f"the journal {self._path} is closed")

    def fail(self, error: BaseException) -> None:
        """Take nothing any more, wake everybody who queues, and let the owner stop the process."""
        if self.failed.done():
            return
        if isinstance(error, JournalTakenOver):
            advice = "see that its lock file stays, and that one coordinator is given it"
        # A restart would come to the same place again.
        elif is_damage(error) or isinstance(error, sqlite3.IntegrityError):
            advice = "put back a copy, for it is damaged"
        else:
            advice = "a restart recovers"
        self.failed.set_result(
            f"the journal {self._path} failed ({str(error) or type(error).__name__}): what was being written "
            f"may or may not be durable, nothing more is written, and {advice}"
        )
        _log.error("the journal failed", exc_info=error)
        for _, waiter in self._queue:
            self._wake_in_vain(waiter)
        self._queue.clear()
        self._news.set()

    async def drain(self) -> None:
        """Write what is queued, take nothing more, and end the task."""
        self._closing = True
        self._news.set()
        await asyncio.wait([self._task])

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """While this lasts, others may read for long: no checkpoint waits for them."""
        self._long_reads += 1
        try:
            # One that waits already is over when the thread comes to this.
            await self._db.run(lambda _: None)
            yield
        finally:
            self._long_reads -= 1

    async def check_in(self) -> None:
        """Copy the whole log into the database and empty it. Nobody may read meanwhile."""
        await self._db.run(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def close(self) -> None:
        await self._db.close()

    async def _run(self) -> None:
        group: list[tuple[Entry, _Waiter]] = []
        try:
            while group := await self._gather():
                outcomes, duration_s = await self._db.run(self._work(group))
                for (_, waiter), outcome in zip(group, outcomes, strict=True):
                    waiter.settle(outcome)
                if self._on_commit is not None:
                    self._on_commit(len(group), duration_s)
                await self._checkpoint_when_due(_PAGES_OF_A_GROUP + len(group) // _ENTRIES_OF_A_PAGE)
        except BaseException as error:
            self.fail(error)
            for _, waiter in group:
                self._wake_in_vain(waiter)
            # A bug of ours ends here too; only the end of the loop itself goes on.
            if not isinstance(error, Exception):
                raise

    async def _gather(self) -> list[tuple[Entry, _Waiter]]:
        """Everything that is queued, at least one entry; nothing when there will be no more."""
        while not self._queue:
            if self._closing or self.failed.done():
                return []
            self._news.clear()
            await self._news.wait()
        group, self._queue = self._queue, []
        return group

    def _work(
        self, group: list[tuple[Entry, _Waiter]]
    ) -> Callable[[sqlite3.Connection], tuple[list[Outcome], float]]:
        words = [NewWord(*word) for word in self._words.take_new()]
        entries = [*words, *(entry for entry, _ in group)]

        def timed(db: sqlite3.Connection) -> tuple[list[Outcome], float]:
            # In the thread: on the loop, its other work would count as the disk's.
            begun_s = stopwatch_s()
            outcomes = write_group(db, entries, self.token, self._shortage, self._heads)
            return outcomes[len(words) :], stopwatch_s() - begun_s

        return timed

    async def _checkpoint_when_due(self, pages: int) -> None:
        # Here and not in the group's transaction: those who waited for it are awake already.
        self._pages_since_checkpoint += pages
        if self._pages_since_checkpoint >= CHECKPOINT_PAGES and not self.failed.done():
            self._pages_since_checkpoint = 0
            await self._db.run(self._checkpoint)

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        # PASSIVE waits for nobody, so readers without a gap could make the log grow for ever. A long read is
        # one that RESTART would wait for in vain, and nobody could write meanwhile.
        grown = not self._long_reads and self._log_bytes() > WAL_BYTES_MAX
        db.execute(f"PRAGMA wal_checkpoint({'RESTART' if grown else 'PASSIVE'})").fetchall()

    def _wake_in_vain(self, waiter: _Waiter) -> None:
        waiter.settle(JournalUnavailable(self.failed.result()))
