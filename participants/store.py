"""The one thread that writes a service's file, and its group commit.

It knows no sagas: work goes in, and its result comes out only after the COMMIT that holds it has been
synced.  There is no timer: what arrives while one group is being synced is the next group.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from participants import ledger
from participants.database import COMMIT, ROLLBACK, Connection, Database, open_readonly
from participants.errors import Unavailable

GROUP_MAX = 256
# A full disk may have room again, a lock goes, and a wrong statement of business code is its own fault.
PASSING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_ERROR)
Result = TypeVar("Result")
Work: TypeAlias = Callable[[sqlite3.Connection], Result]
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Job:
    """One piece of work, the future its caller waits on, and what came of it."""

    work: Work[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        # A caller that left has cancelled its future; what it asked for is done all the same.
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Store:
    """A service's file at work.  Made within the event loop that its callers run on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closing = False
        self._reader = ThreadPoolExecutor(1, thread_name_prefix=f"read-{database.path.stem}")
        self._read_only: sqlite3.Connection | None = None
        self._writer = threading.Thread(target=self._write, name=f"write-{database.path.stem}", daemon=True)
        self.commits = 0
        # Set once the file can no longer be trusted to keep what is written: the host stops then.
        self.failed: asyncio.Future[str] = self._loop.create_future()
        self._writer.start()

    def submit(self, work: Work[Result]) -> asyncio.Future[Result]:
        """Queue *work*, to run on the writer thread under a savepoint of its own.

        The future ends after the commit: with what *work* returned, with what it raised (then
        nothing of it was kept), or with Unavailable (then nothing is proved).
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        if self._closing or self.failed.done():
            future.set_exception(Unavailable("The service is not taking calls."))
        else:
            self._jobs.put(Job(work, future))
        return future

    async def read(self, work: Work[Result]) -> Result:
        """Run *work* on the read-only connection: it sees what is committed and delays no writer."""
        return await self._loop.run_in_executor(self._reader, self._read, work)

    async def close(self) -> None:
        """Finish what is queued, then let go of the file."""
        if self._closing:
            return
        self._closing = True
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        # Settled futures wake their callers in the loop's next turn; none is to find the loop gone.
        await asyncio.sleep(0)
        await self._loop.run_in_executor(self._reader, self._close_reader)
        self._reader.shutdown()
        self._database.close()
        self.failed.cancel()

    def _read(self, work: Work[Result]) -> Result:
        if self._read_only is None:
            self._read_only = open_readonly(self._database.path)
        return work(self._read_only)

    def _close_reader(self) -> None:
        if self._read_only is not None:
            self._read_only.close()

    def _write(self) -> None:
        """The writer thread: one group after the other, until None comes."""
        while (group := self._next_group()) is not None:
            try:
                self._commit(group)
            except BaseException as error:
                self._give_up(group, error)
            self._wake(group)

    def _next_group(self) -> list[Job] | None:
        job = self._jobs.get()
        if job is None:
            return None
        group = [job]
        while len(group) < GROUP_MAX:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                # The end comes after this group: what was queued before it is still done.
                self._jobs.put(None)
                break
            group.append(job)
        return group

    def _commit(self, group: list[Job]) -> None:
        db = self._database.connection
        db.execute("BEGIN IMMEDIATE")
        before = ledger.newest_seq(db)
        for job in group:
            self._run(db, job)
        ledger.stamp(db, before, time.monotonic_ns())
        db.execute(COMMIT)
        self.commits += 1

    def _run(self, db: Connection, job: Job) -> None:
        """One job: its failure takes its own changes back and leaves the rest of the group alone."""
        db.execute("SAVEPOINT job")
        try:
            job.result = db.lend(job.work)
            db.execute("RELEASE job")
        except BaseException as error:
            job.error = _as_exception(error)
            # This raises where the transaction is gone: on a full disk SQLite ends it by itself, and
            # business code can by an OR ROLLBACK.  The group is lost then, or the rest of it would be
            # committed row by row.
            db.execute("ROLLBACK TO job")
            db.execute("RELEASE job")

    def _give_up(self, group: list[Job], error: BaseException) -> None:
        db = self._database.connection
        try:
            if db.in_transaction:
                db.execute(ROLLBACK)
        except sqlite3.Error as second:
            error = second
        kind = getattr(error, "sqlite_errorname", type(error).__name__)
        log.error("a group of calls was not committed", extra={"error": kind})
        for job in group:
            job.error = Unavailable("The service could not write to its file; ask again.")
        if _is_lasting(error):
            self._loop.call_soon_threadsafe(self._fail, f"{self._database.path}: {error}")

    def _fail(self, why: str) -> None:
        if not self.failed.done():
            self.failed.set_result(why)

    def _wake(self, group: list[Job]) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle_all, group)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return


def _settle_all(group: list[Job]) -> None:
    for job in group:
        job.settle()


def _as_exception(error: BaseException) -> Exception:
    """What a future can hand on.  It takes no StopIteration, and a SystemExit or a cancellation of business
    code would end whoever waits for it."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(type(error).__name__).with_traceback(error.__traceback__)


def _is_lasting(error: BaseException) -> bool:
    """After a failed write or sync nobody knows what the file holds; what passes is listed."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in PASSING
