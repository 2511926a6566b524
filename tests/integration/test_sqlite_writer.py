"""The SQLite journal's writer: groups, the order of commit and answer, failing for good, closing."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from coordinator.adapters.event_codec import RECORD_TYPES, SEVERAL
from coordinator.adapters.sqlite import SqliteJournal, disk, writer
from coordinator.adapters.sqlite.connection import WAL_BYTES_MAX, Connection
from coordinator.domain.errors import JournalUnavailable, Overloaded, RequestIdTaken
from coordinator.domain.events import CancelRequested, SagaResumed
from coordinator.domain.ids import SagaId
from coordinator.ports.journal import Quarantine, SagaFilter
from tests.contract.sagas import Told, a_definition, a_saga, completed, reserved

MANY = 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    async with await SqliteJournal.open(path, disk_free_min_bytes=0) as opened:
        yield opened


def writing(journal: SqliteJournal) -> Connection:
    assert isinstance(journal._writer._db, Connection)
    return journal._writer._db


async def started(journal: SqliteJournal, count: int) -> list[Told]:
    sagas = [a_saga(f"{number:03}") for number in range(count)]
    await asyncio.gather(*(saga.start(journal) for saga in sagas))
    return sagas


async def watch_statements(journal: SqliteJournal) -> list[str]:
    seen: list[str] = []
    await writing(journal).run(lambda db: db.set_trace_callback(seen.append))
    return seen


def disk_error(sentence: str = "disk I/O error") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(sentence)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


class Gate:
    """Holds the writer in front of COMMIT until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.statements: list[str] = []
        self._opened = threading.Event()

    async def stand_in(self, journal: SqliteJournal) -> None:
        await writing(journal).run(lambda db: db.set_trace_callback(self._stop))

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 10)

    def open(self) -> None:
        self._opened.set()

    def _stop(self, statement: str) -> None:
        self.statements.append(statement)
        if statement == "COMMIT":
            self.reached.set()
            assert self._opened.wait(10)


class TestGroups:
    async def test_all_who_wait_share_one_commit(self, journal: SqliteJournal) -> None:
        sagas = await started(journal, MANY)
        seen = await watch_statements(journal)
        numbers = await asyncio.gather(*(saga.goes_on(journal, *reserved()) for saga in sagas))
        assert numbers == [3] * MANY
        assert 1 <= seen.count("COMMIT") <= 2
        assert [s for s in seen if s.startswith("BEGIN")] == ["BEGIN IMMEDIATE"] * seen.count("COMMIT")

    async def test_a_group_is_one_trip_to_the_thread(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sagas = await started(journal, MANY)
        trips = 0
        run = Connection._execute

        async def counted(self: Connection, *args: object) -> object:
            nonlocal trips
            trips += 1
            return await run(self, *args)  # type: ignore[no-untyped-call]

        monkeypatch.setattr(Connection, "_execute", counted)
        await asyncio.gather(*(saga.goes_on(journal, *reserved()) for saga in sagas))
        assert trips <= 2

    async def test_events_of_one_moment_are_one_row_and_others_are_not(
        self, journal: SqliteJournal, path: Path
    ) -> None:
        (saga,) = await started(journal, 1)
        later = SagaResumed(1_003.0), CancelRequested(1_003.0, "why")
        await saga.goes_on(journal, *reserved(1_001.0), SagaResumed(1_002.0), *later)
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT seq, at, type FROM records ORDER BY rowid").fetchall()
        several, resumed = RECORD_TYPES[SEVERAL], RECORD_TYPES["SagaResumed"]
        assert rows[1:] == [(3, 1_001.0, several), (4, 1_002.0, resumed), (6, 1_003.0, several)]
        records = await journal.history(saga.id)
        assert [record.event for record in records] == saga.events
        assert [record.seq for record in records] == [1, 2, 3, 4, 5, 6]

    async def test_of_many_starts_in_a_group_each_that_was_taken_joins(self, journal: SqliteJournal) -> None:
        known = await started(journal, MANY // 4)
        every = [a_saga(f"{number:03}") for number in range(MANY)]
        again = [Told(SagaId(f"again-{saga.id}"), saga.request_id) for saga in every]
        other = [Told(SagaId(f"other-{saga.id}"), saga.request_id, content="other") for saga in every]
        seen = await watch_statements(journal)
        starts = [saga.start(journal) for saga in (*again, *other)]
        found = await asyncio.gather(*starts, return_exceptions=True)
        assert seen.count("COMMIT") == 1
        holders = [*known, *again[len(known) :]]
        assert found[:MANY] == [saga.request for saga in holders]
        assert {type(error) for error in found[MANY:]} == {RequestIdTaken}
        assert sum("FROM requests" in one or "JOIN requests" in one for one in seen) <= 2 * MANY // 64 + 3

    async def test_a_start_is_known_to_one_behind_it_also_where_what_counts_rows_stands_between(
        self, journal: SqliteJournal
    ) -> None:
        first, again = a_saga("1"), Told(SagaId("again"), a_saga("1").request_id)
        found = await asyncio.gather(
            first.start(journal),
            journal.definitions.retire(first.definition.name, None, at=1_001.0),
            again.start(journal),
        )
        assert (found[0], found[2]) == (first.request, first.request)

    async def test_those_who_come_while_a_group_commits_are_the_next_group(
        self, journal: SqliteJournal
    ) -> None:
        first, *others = await started(journal, 20)
        gate = Gate()
        await gate.stand_in(journal)
        early = asyncio.create_task(first.goes_on(journal, *reserved()))
        await gate.wait()
        late = [asyncio.create_task(saga.goes_on(journal, *reserved())) for saga in others]
        gate.open()
        await asyncio.gather(early, *late)
        assert gate.statements.count("COMMIT") == 2

    async def test_nobody_is_answered_and_nothing_is_shown_before_the_commit(
        self, journal: SqliteJournal
    ) -> None:
        (saga,) = await started(journal, 1)
        new = a_saga("new")
        before = saga.summary
        gate = Gate()
        await gate.stand_in(journal)
        waiting = [
            asyncio.create_task(saga.goes_on(journal, *reserved())),
            asyncio.create_task(new.start(journal)),
            asyncio.create_task(journal.quarantine(Quarantine(saga.id, "damaged", 2_000.0))),
        ]
        await gate.wait()
        assert await journal.find(saga.id) == before
        assert await journal.find(new.id) is None
        assert await journal.requested(new.front_door, new.request_id) is None
        assert not any(task.done() for task in waiting)
        gate.open()
        await asyncio.gather(*waiting)
        assert await journal.find(new.id) == new.summary

    async def test_a_cancelled_caller_does_not_disturb_those_it_shares_a_group_with(
        self, journal: SqliteJournal
    ) -> None:
        sagas = await started(journal, 20)
        gate = Gate()
        await gate.stand_in(journal)
        tasks = [asyncio.create_task(saga.goes_on(journal, *reserved())) for saga in sagas]
        await gate.wait()
        for task in tasks[::2]:
            task.cancel()
        gate.open()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert ends[1::2] == [3] * 10
        assert [len(await journal.history(saga.id)) for saga in sagas] == [3] * 20


class TestFailing:
    @pytest.fixture
    async def broken(self, path: Path, journal: SqliteJournal) -> AsyncIterator[sqlite3.Connection]:
        """Another program has the database locked, and the journal does not wait for it."""
        await started(journal, 2)
        await writing(journal).run(lambda db: db.execute("PRAGMA busy_timeout = 0").close())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other

    async def test_the_first_error_fails_all_who_wait_and_tells_the_owner(
        self, journal: SqliteJournal, broken: sqlite3.Connection
    ) -> None:
        new = a_saga("new")
        ends = await asyncio.gather(
            a_saga("000").goes_on(journal, *reserved()),
            new.start(journal),
            a_saga("001").goes_on(journal, *completed()),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [JournalUnavailable] * 3
        sentence = await journal.failed
        assert "journal.db failed (database is locked)" in sentence
        assert "may or may not be durable" in sentence
        assert {str(end) for end in ends} == {sentence}

    async def test_a_disk_that_is_full_in_the_middle_of_a_group_fails_all_of_it(
        self, path: Path, journal: SqliteJournal
    ) -> None:
        (old,) = await started(journal, 1)
        await writing(journal).run(lambda db: db.execute("PRAGMA max_page_count = 1").close())
        new = [a_saga(f"new-{number}") for number in range(MANY)]
        ends = await asyncio.gather(
            old.goes_on(journal, *reserved()), *(saga.start(journal) for saga in new), return_exceptions=True
        )
        assert {type(end) for end in ends} == {JournalUnavailable}
        assert "journal.db failed (database or disk is full)" in await journal.failed
        await journal.close()
        async with await SqliteJournal.open(path) as again:
            assert [saga.saga_id for saga in await again.open_sagas()] == [old.id]
            assert len(await again.history(old.id)) == 1

    async def test_those_who_queue_behind_a_group_under_way_learn_it_too(
        self, path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 3)
        first, second = await started(journal, 2)
        gate = Gate()
        await gate.stand_in(journal)
        group = asyncio.create_task(first.goes_on(journal, *reserved()))
        await gate.wait()
        behind = asyncio.create_task(second.goes_on(journal, *reserved()))
        await asyncio.sleep(0)
        journal._writer.fail(OSError("the reader saw the disk fail"))
        gate.open()
        ends = await asyncio.gather(group, behind, return_exceptions=True)
        # The one whose commit was under way learns how it ended; nothing follows it.
        assert ends[0] == 3
        assert isinstance(ends[1], JournalUnavailable)
        await journal.close()
        assert gate.statements[-1] == "COMMIT"
        async with await SqliteJournal.open(path) as again:
            assert len(await again.history(first.id)) == 3
            assert len(await again.history(second.id)) == 1

    async def test_of_several_who_see_it_fail_the_first_says_why(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        sentences = iter(["the first error", "the second error"])

        async def fail(*_: object) -> None:
            await asyncio.sleep(0)
            raise disk_error(next(sentences))

        monkeypatch.setattr(journal._reader._db, "run", fail)
        reads = (journal.open_sagas(), journal.census(1_000.0))
        first, second = await asyncio.gather(*reads, return_exceptions=True)
        assert isinstance(first, JournalUnavailable)
        assert isinstance(second, JournalUnavailable)
        assert "failed (the first error)" in await journal.failed
        assert [record.message for record in caplog.records] == ["the journal failed"]

    async def test_when_its_event_loop_ends_those_who_wait_are_told_that_nothing_is_known(
        self, path: Path, journal: SqliteJournal
    ) -> None:
        (saga,) = await started(journal, 1)
        gate = Gate()
        await gate.stand_in(journal)
        waiting = asyncio.create_task(saga.goes_on(journal, *reserved()))
        await gate.wait()
        writing_ = journal._writer._task
        writing_.cancel()
        with pytest.raises(
            JournalUnavailable, match=r"failed \(CancelledError\): what was being written may"
        ):
            await waiting
        assert writing_.cancelled()
        gate.open()
        await journal.close()
        async with await SqliteJournal.open(path) as again:
            assert len(await again.history(saga.id)) == 3, "its commit was under way, and nothing undoes it"

    async def test_after_it_nothing_is_taken_told_or_tried_again(
        self, path: Path, journal: SqliteJournal, broken: sqlite3.Connection
    ) -> None:
        saga = a_saga("000")
        with pytest.raises(JournalUnavailable):
            await saga.goes_on(journal, *reserved())
        broken.execute("ROLLBACK")
        for call in (
            a_saga("new").start(journal),
            a_saga("001").goes_on(journal, *reserved()),
            journal.quarantine(Quarantine(saga.id, "damaged", 2_000.0)),
            journal.history(saga.id),
            journal.find(saga.id),
            journal.page(SagaFilter(), after=None, limit=1),
            journal.open_sagas(),
            journal.census(1_000.0),
            journal.requested(saga.front_door, saga.request_id),
            journal.definition(saga.definition.digest),
        ):
            with pytest.raises(JournalUnavailable):
                await call
        await journal.close()
        assert path.with_name("journal.db-wal").stat().st_size
        async with await SqliteJournal.open(path) as again:
            assert len(await again.open_sagas()) == 2
            assert len(await again.history(saga.id)) == 1

    async def test_a_read_that_meets_a_failing_disk_stops_it(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> None:
            raise disk_error()

        monkeypatch.setattr(journal._reader._db, "run", fail)
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="disk I/O error"):
                await journal.open_sagas()
        assert "disk I/O error" in await journal.failed

    async def test_a_last_check_in_that_fails_leaves_the_log_to_the_restart(
        self, path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail() -> None:
            raise disk_error()

        await started(journal, 3)
        monkeypatch.setattr(journal._writer, "check_in", fail)
        await journal.close()
        assert "disk I/O error" in await journal.failed
        assert path.with_name("journal.db-wal").stat().st_size
        async with await SqliteJournal.open(path) as again:
            assert len(await again.open_sagas()) == 3

    async def test_an_error_that_is_no_fault_of_the_disk_stops_it_as_well(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bug(*_: object) -> None:
            raise KeyError("a bug of ours")

        monkeypatch.setattr(writer, "write_group", bug)
        with pytest.raises(JournalUnavailable, match="a bug of ours"):
            await a_saga().start(journal)
        assert journal.failed.done()


class TestFullDisk:
    @pytest.fixture
    def free(self) -> list[int]:
        return [1 << 30]

    @pytest.fixture
    async def journal(
        self, path: Path, free: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[SqliteJournal]:
        monkeypatch.setattr(disk, "CHECK_EVERY_S", 0.0)
        async with await SqliteJournal.open(
            path, disk_free_min_bytes=64 << 20, disk_free_bytes=lambda _: free[0]
        ) as opened:
            yield opened

    async def test_below_the_mark_no_saga_is_started_until_there_is_room(
        self, journal: SqliteJournal, free: list[int]
    ) -> None:
        free[0] = 63 << 20
        saga = a_saga()
        with pytest.raises(Overloaded, match="has 63 MiB left, less than the 64 MiB"):
            await saga.start(journal)
        assert await journal.requested(saga.front_door, saga.request_id) is None
        assert await journal.definition(saga.definition.digest) is None
        free[0] = 64 << 20
        assert await saga.start(journal) == saga.request

    async def test_below_the_mark_no_caller_registers_and_files_are_taken_up(
        self, journal: SqliteJournal, free: list[int]
    ) -> None:
        free[0] = 63 << 20
        with pytest.raises(Overloaded, match="has 63 MiB left"):
            await journal.definitions.register(a_definition("Trip"), at=1.0)
        await journal.definitions.take_up_files([a_definition("Order")], at=1.0)
        (taken_up,) = await journal.definitions.registrations()
        assert taken_up.is_offered
        assert await journal.definitions.retire("Order", None, at=2.0) is not None

    async def test_below_the_mark_running_sagas_go_on_and_requests_join(
        self, journal: SqliteJournal, free: list[int]
    ) -> None:
        saga, other = a_saga("1"), a_saga("2")
        other.request_id = saga.request_id
        await saga.start(journal)
        free[0] = 0
        assert await saga.goes_on(journal, *completed()) == 5
        assert await other.start(journal) == saga.request
        assert not journal.failed.done()

    async def test_a_file_that_was_removed_stops_the_journal_before_it_acknowledges_what_nobody_will_find(
        self, journal: SqliteJournal, path: Path
    ) -> None:
        await a_saga("1").start(journal)
        path.unlink()
        with pytest.raises(JournalUnavailable, match="removed or replaced"):
            await a_saga("2").start(journal)
        assert journal.failed.done()

    @pytest.mark.parametrize("is_replaced", [False, True])
    async def test_so_does_its_log(self, journal: SqliteJournal, path: Path, is_replaced: bool) -> None:
        await a_saga("1").start(journal)
        log = path.with_name(path.name + "-wal")
        content = log.read_bytes()
        log.unlink()
        if is_replaced:
            log.write_bytes(content)
        with pytest.raises(JournalUnavailable, match=r"removed or replaced.*-wal"):
            await a_saga("2").start(journal)
        assert journal.failed.done()

    async def test_the_disk_is_not_asked_more_than_once_in_a_while(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, "CHECK_EVERY_S", 3_600.0)
        asked: list[Path] = []

        def free_bytes(folder: Path) -> int:
            asked.append(folder)
            return 1 << 40

        async with await SqliteJournal.open(path, disk_free_bytes=free_bytes) as journal:
            for number in range(10):
                await a_saga(str(number)).start(journal)
        assert asked == [path.parent]


class TestLog:
    @pytest.mark.parametrize("bytes_max", [WAL_BYTES_MAX, 0], ids=["small", "grown"])
    async def test_it_is_checked_in_by_the_writer_before_it_grows(
        self, path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch, bytes_max: int
    ) -> None:
        # Of each write: those that a group dirties by itself.
        monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 50 * 6)
        monkeypatch.setattr(writer, "WAL_BYTES_MAX", bytes_max)
        seen = await watch_statements(journal)
        saga = a_saga()
        await saga.start(journal)
        for _ in range(1_000):
            await saga.goes_on(journal, SagaResumed(1_001.0))
        wanted = "RESTART" if bytes_max == 0 else "PASSIVE"
        assert seen.count(f"PRAGMA wal_checkpoint({wanted})") == 20
        assert path.with_name("journal.db-wal").stat().st_size < 2 << 20
        assert len(await journal.history(saga.id)) == 1_001

    async def test_nothing_that_is_written_shows_in_the_debug_log(
        self, journal: SqliteJournal, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        saga = a_saga()
        await saga.start(journal)
        await journal.history(saga.id)
        assert "executing" in caplog.text
        assert "sku-1" not in caplog.text


class TestReading:
    async def test_the_reader_cannot_write(self, journal: SqliteJournal) -> None:
        reading = journal._reader._db
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reading.run(lambda db: db.execute("DELETE FROM requests"))

    async def test_a_list_that_takes_too_long_is_stopped_and_nothing_else_is(self, path: Path) -> None:
        async with await SqliteJournal.open(path, read_limit_s=0.0) as journal:
            (saga, *_) = await started(journal, 300)
            with pytest.raises(Overloaded, match="took longer than 0 s"):
                await journal.page(SagaFilter(), after=None, limit=300)
            with pytest.raises(Overloaded, match="took longer than 0 s"):
                await journal.census(1_000.0)
            assert len(await journal.open_sagas()) == 300
            assert await saga.goes_on(journal, *reserved()) == 3


class TestClosing:
    async def test_what_is_queued_becomes_durable_first(self, path: Path) -> None:
        journal = await SqliteJournal.open(path)
        sagas = await started(journal, 20)
        tasks = [asyncio.create_task(saga.goes_on(journal, *reserved())) for saga in sagas]
        await asyncio.sleep(0)
        await asyncio.gather(journal.close(), journal.close())
        assert await asyncio.gather(*tasks) == [3] * 20
        with pytest.raises(JournalUnavailable, match="is closed"):
            await a_saga("new").start(journal)
        async with await SqliteJournal.open(path) as again:
            assert [len(await again.history(saga.id)) for saga in sagas] == [3] * 20

    async def test_so_does_what_is_queued_behind_a_group_under_way(self, path: Path) -> None:
        journal = await SqliteJournal.open(path)
        async with closing_behind_a_group(journal) as (saga, behind):
            pass
        assert await behind == 3
        async with await SqliteJournal.open(path) as again:
            assert len(await again.history(saga.id)) == 3

    async def test_one_that_fails_meanwhile_is_closed_all_the_same(self, path: Path) -> None:
        journal = await SqliteJournal.open(path)
        async with closing_behind_a_group(journal) as (saga, behind):
            journal._writer.fail(OSError("the reader saw the disk fail"))
        with pytest.raises(JournalUnavailable, match="the reader saw the disk fail"):
            await behind
        async with await SqliteJournal.open(path) as again:
            assert len(await again.history(saga.id)) == 1

    async def test_it_leaves_one_database_one_lock_file_and_no_thread(self, path: Path) -> None:
        threads = set(threading.enumerate())
        async with await SqliteJournal.open(path) as journal:
            await started(journal, 5)
            assert path.with_name("journal.db-wal").exists()
        assert sorted(entry.name for entry in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]
        for thread in set(threading.enumerate()) - threads:
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()

    async def test_it_goes_on_when_the_one_who_closes_is_cancelled(self, path: Path) -> None:
        journal = await SqliteJournal.open(path)
        (saga,) = await started(journal, 1)
        gate = Gate()
        await gate.stand_in(journal)
        appending = asyncio.create_task(saga.goes_on(journal, *reserved()))
        await gate.wait()
        leaving = asyncio.create_task(journal.close())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gate.open()
        await journal.close()
        assert await appending == 3
        async with await SqliteJournal.open(path) as again:
            assert len(await again.history(saga.id)) == 3


@asynccontextmanager
async def closing_behind_a_group(journal: SqliteJournal) -> AsyncIterator[tuple[Told, asyncio.Task[int]]]:
    """One group is under way, a saga's records wait behind it, and behind those the journal's end. When the
    block is left, the group goes on, and the journal is closed."""
    first, second = await started(journal, 2)
    gate = Gate()
    await gate.stand_in(journal)
    group = asyncio.create_task(first.goes_on(journal, *reserved()))
    await gate.wait()
    behind = asyncio.create_task(second.goes_on(journal, *reserved()))
    await asyncio.sleep(0)
    leaving = asyncio.create_task(journal.close())
    while not journal._writer._closing:
        await asyncio.sleep(0)
    try:
        yield second, behind
    finally:
        gate.open()
        await asyncio.gather(group, leaving)
