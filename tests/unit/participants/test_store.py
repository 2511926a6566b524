"""The writer thread: group commit, and what a failure takes with it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from asyncio import CancelledError
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from participants.database import COMMIT, ROLLBACK
from participants.errors import Unavailable
from participants.store import GROUP_MAX, Store
from tests.unit.participants.kit import open_till


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(open_till(tmp_path))
    yield opened
    await opened.close()


def put(db: sqlite3.Connection) -> int:
    return db.execute("INSERT INTO till VALUES ('s', 'pay', 1)").rowcount


def explode(db: sqlite3.Connection) -> int:
    put(db)
    raise RuntimeError("no")


def end_the_transaction(db: sqlite3.Connection) -> int:
    db.execute("CREATE TABLE once (one INTEGER PRIMARY KEY)")
    return db.execute("INSERT OR ROLLBACK INTO once VALUES (1), (1)").rowcount


def release_the_savepoint(db: sqlite3.Connection) -> int:
    put(db)
    db.execute("RELEASE job")
    return 1


def count(db: sqlite3.Connection) -> int:
    found: int = db.execute("SELECT count(*) FROM till").fetchone()[0]
    return found


class Gate:
    """Work that holds the writer until it is opened, so that what follows becomes one group."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def work(self, db: sqlite3.Connection) -> None:
        assert self.opened.wait(10)


async def test_waiting_calls_share_one_commit(store: Store) -> None:
    gate = Gate()
    held = store.submit(gate.work)
    await asyncio.sleep(0.05)
    waiting = [store.submit(put) for _ in range(100)]
    before = store.commits
    gate.opened.set()
    assert await asyncio.gather(*waiting) == [1] * 100
    await held
    assert store.commits == before + 2
    assert await store.read(count) == 100


async def test_more_than_one_commit_should_hold_is_shared_among_several(store: Store) -> None:
    gate = Gate()
    held = store.submit(gate.work)
    await asyncio.sleep(0.05)
    waiting = [store.submit(put) for _ in range(GROUP_MAX + 1)]
    before = store.commits
    gate.opened.set()
    await asyncio.gather(held, *waiting)
    assert store.commits == before + 3
    assert await store.read(count) == GROUP_MAX + 1


async def test_nothing_is_answered_before_its_commit(store: Store) -> None:
    first, second = Gate(), Gate()
    leading = store.submit(first.work)
    await asyncio.sleep(0.05)
    done, held = store.submit(put), store.submit(second.work)
    first.opened.set()
    await asyncio.sleep(0.05)
    assert not done.done()
    assert await store.read(count) == 0
    second.opened.set()
    await asyncio.gather(leading, done, held)
    assert await store.read(count) == 1


async def test_one_failure_in_a_group_takes_only_itself_back(store: Store) -> None:
    gate = Gate()
    held = store.submit(gate.work)
    await asyncio.sleep(0.05)
    group = [store.submit(put), store.submit(explode), store.submit(put)]
    gate.opened.set()
    results = await asyncio.gather(*group, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [int, RuntimeError, int]
    assert await store.read(count) == 2


async def test_business_code_that_releases_its_savepoint_does_not_stop_the_service(store: Store) -> None:
    with pytest.raises(Unavailable):
        await store.submit(release_the_savepoint)
    assert await store.read(count) == 0
    assert await store.submit(put) == 1
    assert not store.failed.done()


async def test_a_group_whose_transaction_ends_early_is_lost_as_a_whole(store: Store) -> None:
    gate = Gate()
    held = store.submit(gate.work)
    await asyncio.sleep(0.05)
    group = [store.submit(put), store.submit(end_the_transaction), store.submit(put)]
    gate.opened.set()
    results = await asyncio.gather(*group, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [Unavailable] * 3
    assert await store.read(count) == 0
    assert not store.failed.done()
    assert await store.submit(put) == 1


@pytest.mark.parametrize("sql", ["COMMIT", "END", "ROLLBACK", " -- so\ncommit transaction"])
async def test_a_statement_that_would_end_the_transaction_is_refused_to_one_call_alone(
    store: Store, sql: str
) -> None:
    def ends(db: sqlite3.Connection) -> None:
        put(db)
        db.cursor().execute(sql)

    gate = Gate()
    held = store.submit(gate.work)
    await asyncio.sleep(0.05)
    group: list[asyncio.Future[Any]] = [store.submit(put), store.submit(ends), store.submit(put)]
    gate.opened.set()
    results = await asyncio.gather(*group, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [int, sqlite3.DatabaseError, int]
    assert await store.read(count) == 2


async def test_business_code_cannot_close_the_file(store: Store) -> None:
    with pytest.raises(sqlite3.ProgrammingError, match="the barrier commits"):
        await store.submit(lambda db: db.close())
    assert await store.submit(put) == 1


@pytest.mark.parametrize(
    "kind", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError]
)
async def test_whatever_business_code_raises_is_told_to_its_own_caller_and_stops_nothing(
    store: Store, kind: type[BaseException]
) -> None:
    def leave(db: sqlite3.Connection) -> None:
        put(db)
        raise kind

    gate = Gate()
    held = store.submit(gate.work)
    await asyncio.sleep(0.05)
    group: list[asyncio.Future[Any]] = [store.submit(leave), store.submit(put)]
    gate.opened.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*group, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [RuntimeError, int]
    assert str(results[0]) == kind.__name__
    assert await store.read(count) == 1
    assert not store.failed.done()


class FailingConnection:
    """One whose statements fail, each of them as often as there are errors of SQLite's for it."""

    def __init__(self, inner: sqlite3.Connection, **errorcodes: Sequence[int]) -> None:
        self._inner = inner
        statements = {"COMMIT": COMMIT, "ROLLBACK": ROLLBACK}
        self._errorcodes = {statements[word]: list(codes) for word, codes in errorcodes.items()}

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def execute(self, sql: str, *parameters: Any) -> object:
        if codes := self._errorcodes.get(sql):
            error = sqlite3.OperationalError(f"{sql} failed, and {len(codes) - 1} to come")
            error.sqlite_errorcode = codes.pop(0)
            raise error
        return self._inner.execute(sql, *parameters)


def failing(directory: Path, **errorcodes: Sequence[int]) -> Store:
    database = open_till(directory)
    broken = FailingConnection(database.connection, **errorcodes)
    object.__setattr__(database, "connection", broken)
    return Store(database)


@pytest.mark.parametrize(
    ("errorcode", "lasting"),
    [(sqlite3.SQLITE_FULL, False), (sqlite3.SQLITE_BUSY, False), (sqlite3.SQLITE_IOERR_FSYNC, True)],
)
async def test_a_failed_commit_keeps_nothing_and_tells_nobody_yes(
    tmp_path: Path, errorcode: int, lasting: bool
) -> None:
    store = failing(tmp_path, COMMIT=[errorcode])
    with pytest.raises(Unavailable):
        await store.submit(put)
    assert await store.read(count) == 0
    # A disk that was full may have room again; after a failed sync the service has to stop.
    assert store.failed.done() is lasting
    if lasting:
        assert f"{COMMIT} failed" in store.failed.result()
        with pytest.raises(Unavailable):
            await store.submit(put)
    else:
        assert await store.submit(put) == 1
    await store.close()


async def test_a_file_that_cannot_even_be_rolled_back_stops_the_service(tmp_path: Path) -> None:
    store = failing(tmp_path, COMMIT=[sqlite3.SQLITE_FULL], ROLLBACK=[sqlite3.SQLITE_IOERR_WRITE])
    with pytest.raises(Unavailable):
        await store.submit(put)
    assert f"{ROLLBACK} failed" in store.failed.result()
    await store.close()


async def test_of_several_groups_that_fail_for_good_the_first_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = failing(tmp_path, COMMIT=[sqlite3.SQLITE_IOERR_FSYNC] * 2)
    gate = Gate()
    held = store.submit(gate.work)
    await asyncio.sleep(0.05)
    queued = store.submit(put)
    gate.opened.set()
    results = await asyncio.gather(held, queued, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 2
    assert store.failed.result().endswith(f"{COMMIT} failed, and 1 to come")
    assert {record.name for record in caplog.records} == {"participants.store"}, "no callback failed"
    await store.close()


def test_what_is_queued_is_done_even_where_nobody_is_left_to_be_told(tmp_path: Path) -> None:
    database = open_till(tmp_path)

    async def leave() -> Store:
        store = Store(database)
        _ = store.submit(gate.work)
        await asyncio.sleep(0.05)
        _ = store.submit(put)
        return store

    gate = Gate()
    store = asyncio.run(leave())
    gate.opened.set()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        # It waits for the writer, and is at home on the loop that is gone.
        asyncio.run(store.close())
    assert store.commits == 2
    assert count(database.connection) == 1
    database.close()


async def test_a_caller_that_leaves_cancels_nothing(store: Store) -> None:
    gate = Gate()
    held = store.submit(gate.work)
    left = store.submit(put)
    left.cancel()
    gate.opened.set()
    await held
    assert await store.submit(count) == 1


async def test_closing_finishes_what_is_queued_and_takes_nothing_more(tmp_path: Path) -> None:
    store = Store(open_till(tmp_path))
    queued = [store.submit(put) for _ in range(10)]
    await store.close()
    assert [await done for done in queued] == [1] * 10
    with pytest.raises(Unavailable):
        await store.submit(put)
    await store.close()


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store.read(put)
