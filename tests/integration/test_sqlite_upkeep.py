"""Copies and checks of a SQLite journal while it is in use: whole, of one moment, and in nobody's way."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from coordinator.adapters.sqlite import SqliteJournal, upkeep, writer
from coordinator.adapters.sqlite.connection import open_new_copy
from coordinator.adapters.sqlite.disk import DiskGauge
from coordinator.domain.errors import JournalUnavailable, Overloaded
from coordinator.domain.events import SagaResumed
from coordinator.domain.machine import resume
from coordinator.domain.summary import summarize
from coordinator.ports.journal import Piece, SagaFilter
from saga.v1 import operator_pb2, operator_pb2_grpc
from tests.contract.sagas import ORDER, Told, a_saga, completed, reserved
from tests.integration.api_harness import coordinator, refusal

MIB = 1 << 20
Shortage = Callable[[DiskGauge, int], str | None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "house").mkdir()
    return tmp_path / "house" / "journal.db"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    async with await SqliteJournal.open(path, disk_free_min_bytes=0) as opened:
        yield opened


async def filled(journal: SqliteJournal, count: int = 20, records: int = 3) -> list[Told]:
    sagas = [a_saga(f"{number:03}", at=1_000.0 + number) for number in range(count)]
    await asyncio.gather(*(saga.start(journal) for saga in sagas))
    for _ in range(records - 1):
        await asyncio.gather(*(saga.goes_on(journal, SagaResumed(2_000.0)) for saga in sagas))
    return sagas


async def copied(journal: SqliteJournal, to: Path) -> list[Piece]:
    pieces = [piece async for piece in journal.backup()]
    to.write_bytes(b"".join(piece.data for piece in pieces))
    return pieces


async def check_whole(path: Path, acknowledged: dict[str, int]) -> int:
    """Every saga of the copy is sound, and what was *acknowledged* is in it; how many records there are."""
    async with await SqliteJournal.open(path) as journal:
        rows = await journal.page(SagaFilter(), after=None, limit=100_000)
        records = 0
        for row in rows:
            history = await journal.history(row.id)
            assert row == summarize(resume(ORDER, (record.event for record in history)), len(history))
            assert await journal.requested(row.front_door, row.request_id) is not None
            assert len(history) >= acknowledged.get(row.id, 0)
            records += len(history)
        assert acknowledged.keys() <= {row.id for row in rows}
        assert await journal.faults() == []
    return records


def left_in(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


USED = {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"}


class TestBackup:
    async def test_it_is_one_file_that_opens_as_a_journal_and_goes_on(
        self, journal: SqliteJournal, copy: Path
    ) -> None:
        sagas = await filled(journal)
        await copied(journal, copy)
        assert left_in(copy) == {"copy.db", "house"}
        await check_whole(copy, {saga.id: saga.seq for saga in sagas})
        async with await SqliteJournal.open(copy) as restored:
            assert restored.token > journal.token
            for saga in sagas:
                await saga.goes_on(restored, *completed(3_000.0))
                assert await restored.find(saga.id) == saga.summary

    async def test_it_comes_in_pieces_of_at_most_one_mebibyte_that_tell_the_whole(
        self, journal: SqliteJournal, copy: Path
    ) -> None:
        sagas = await filled(journal, count=40)
        for saga in sagas:
            for _ in range(8):
                saga.happens(SagaResumed(2_000.0))
        big = Told(a_saga("big").id, a_saga("big").request_id, front_door="x" * (3 * MIB))
        await big.start(journal)
        pieces = await copied(journal, copy)
        assert len(pieces) > 3
        assert all(0 < len(piece.data) <= MIB for piece in pieces)
        assert {piece.total_bytes for piece in pieces} == {copy.stat().st_size}

    async def test_under_load_it_lacks_nothing_that_was_acknowledged_before_it_began(
        self, journal: SqliteJournal, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        acknowledged: dict[str, int] = {}
        waits: list[int] = []

        def look(self: DiskGauge, more_bytes: int, real: Shortage = DiskGauge.shortage_for) -> str | None:
            # Commits and checkpoints come between the first pages and the next, whatever the machine does.
            if len(waits) < 20:
                waits.append(sum(list(acknowledged.values())) + 10)
                while sum(list(acknowledged.values())) < waits[-1]:
                    time.sleep(0.001)
            return real(self, more_bytes)

        monkeypatch.setattr(DiskGauge, "shortage_for", look)
        monkeypatch.setattr(upkeep, "PAGES_AT_A_TIME", 8)
        monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 50)
        loading = [asyncio.create_task(load(journal, str(n), acknowledged)) for n in range(16)]
        await until(lambda: sum(acknowledged.values()) > 1_500)
        for _ in range(3):
            before = dict(acknowledged)
            waits.clear()
            await copied(journal, copy)
            assert len(waits) > 5
            assert await check_whole(copy, before) <= sum(acknowledged.values()) + len(loading)
            for file in copy.parent.glob("copy.db*"):
                file.unlink()
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        assert not journal.failed.done()

    async def test_while_it_is_made_the_writer_waits_for_nobody_however_large_the_log(
        self, journal: SqliteJournal, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 10)
        monkeypatch.setattr(writer, "WAL_BYTES_MAX", 0)
        (saga, *_) = await filled(journal)
        statements: list[str] = []
        await journal._writer._db.run(lambda db: db.set_trace_callback(statements.append))
        async with held_in_the_middle(journal, monkeypatch) as held:
            for _ in range(30):
                await saga.goes_on(journal, SagaResumed(3_000.0))
            assert not held.making.done()
        assert await held.making
        assert "PRAGMA wal_checkpoint(PASSIVE)" in statements
        assert "PRAGMA wal_checkpoint(RESTART)" not in statements
        # Afterwards the log is cut again.
        for _ in range(20):
            await saga.goes_on(journal, SagaResumed(3_000.0))
        assert "PRAGMA wal_checkpoint(RESTART)" in statements

    async def test_it_holds_what_was_committed_when_it_began_and_nothing_of_what_came_later(
        self, journal: SqliteJournal, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sagas = await filled(journal)
        async with held_in_the_middle(journal, monkeypatch) as held:
            for saga in sagas:
                await saga.goes_on(journal, SagaResumed(3_000.0))
        copy.write_bytes(b"".join(piece.data for piece in await held.making))
        async with await SqliteJournal.open(copy) as restored:
            assert [len(await restored.history(saga.id)) for saga in sagas] == [3] * len(sagas)


class TestOneAtATime:
    async def test_while_one_is_made_another_is_refused_at_once(
        self, journal: SqliteJournal, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sagas = await filled(journal)
        async with held_in_the_middle(journal, monkeypatch) as held:
            for _ in range(2):
                await refuses_another(journal)
            assert not held.making.done()
        assert await held.making
        await copied(journal, copy)
        await check_whole(copy, {saga.id: saga.seq for saga in sagas})

    async def test_a_slow_reader_lets_no_second_one_fill_the_disk_and_holds_up_no_check(
        self, journal: SqliteJournal, copy: Path
    ) -> None:
        sagas = await filled(journal)
        async with aclosing(journal.backup()) as slow:
            await anext(slow)
            for _ in range(2):
                await refuses_another(journal)
            async with asyncio.timeout(30):
                assert await journal.faults() == []
            assert await sagas[0].goes_on(journal, SagaResumed(3_000.0)) == 4
        await copied(journal, copy)
        await check_whole(copy, {saga.id: saga.seq for saga in sagas})

    async def test_a_client_is_told_so_while_another_one_does_not_read(self, journal: SqliteJournal) -> None:
        await Told(a_saga("big").id, a_saga("big").request_id, front_door="x" * (24 * MIB)).start(journal)
        async with coordinator() as c:
            c.operations._upkeep = journal
            operator = operator_pb2_grpc.OperatorServiceStub(c.channel)
            slow = operator.BackupJournal(operator_pb2.BackupJournalRequest())
            await anext(aiter(slow))
            refused = await refusal(anext(aiter(operator.BackupJournal(operator_pb2.BackupJournalRequest()))))
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert refused.message.startswith("a copy of the journal is being taken already")
            slow.cancel()
            await until(lambda: not journal._upkeep._copying)
            again = operator.BackupJournal(operator_pb2.BackupJournalRequest())
            pieces = [piece async for piece in again]
            assert sum(len(piece.data) for piece in pieces) == pieces[-1].total_bytes

    async def test_a_client_is_told_why_there_is_none(self, path: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            await filled(journal)
        damage_page(path, "records")
        async with await SqliteJournal.open(path) as journal, coordinator() as c:
            c.operations._upkeep = journal
            operator = operator_pb2_grpc.OperatorServiceStub(c.channel)
            refused = await refusal(anext(aiter(operator.BackupJournal(operator_pb2.BackupJournalRequest()))))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "JOURNAL_NOT_WHOLE")
        assert "is damaged, and so is its copy: SQLite" in refused.message

    async def test_one_that_waits_for_a_check_is_the_one(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await filled(journal)
        async with journal._upkeep._turn:
            waiting = asyncio.create_task(anext(journal.backup()))
            await asyncio.sleep(0)
            await refuses_another(journal)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert [piece async for piece in journal.backup()]


class TestLeavingNothing:
    async def test_when_it_is_read_to_its_end(self, journal: SqliteJournal, path: Path, copy: Path) -> None:
        await filled(journal)
        await copied(journal, copy)
        assert left_in(path) == USED

    async def test_when_it_is_closed_early(self, journal: SqliteJournal, path: Path) -> None:
        await filled(journal)
        threads = set(threading.enumerate())
        async with aclosing(journal.backup()) as pieces:
            async for _ in pieces:
                # Nothing to remove even now: a kill -9 leaves nothing either.
                assert left_in(path) == USED
                break
        assert {thread for thread in threading.enumerate() if "worker" in thread.name} <= threads

    @pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21])
    async def test_when_its_reader_is_cancelled(self, journal: SqliteJournal, path: Path, turns: int) -> None:
        (saga, *_) = await filled(journal)

        async def read() -> None:
            async with aclosing(journal.backup()) as pieces:
                async for _ in pieces:
                    await asyncio.sleep(0)

        threads = set(threading.enumerate())
        reading = asyncio.create_task(read())
        for _ in range(turns):
            await asyncio.sleep(0.001 if turns > 3 else 0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert left_in(path) == USED
        assert not [t for t in set(threading.enumerate()) - threads if "connection" in t.name]
        assert await saga.goes_on(journal, *reserved(3_000.0)) == 5
        assert await journal.faults() == []
        assert [piece async for piece in journal.backup()]

    async def test_when_it_is_cancelled_in_the_middle(
        self, journal: SqliteJournal, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (saga, *_) = await filled(journal)
        async with held_in_the_middle(journal, monkeypatch) as held:
            assert left_in(path) == USED | {"journal.db.backup-under-way"}
            # The loop waits for the copy's thread from the cancellation on, so another one lets it go on.
            threading.Timer(0.2, held.go_on.set).start()
            held.making.cancel()
            await asyncio.gather(held.making, return_exceptions=True)
            assert held.making.cancelled()
            # It was not copied to its end for nobody.
            assert len(held.looks) == 2
            assert held.looks[-1] > 0
        assert left_in(path) == USED
        assert await saga.goes_on(journal, *reserved(3_000.0)) == 5

    async def test_when_the_journal_is_closed_under_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with await SqliteJournal.open(path) as journal:
            await filled(journal)
            async with held_in_the_middle(journal, monkeypatch) as held:
                closing_ = asyncio.create_task(journal.close())
                # Let go before that, it could be through with its work first.
                while not journal._upkeep._closing:
                    await asyncio.sleep(0)
            with pytest.raises(JournalUnavailable, match="being closed"):
                await held.making
            await closing_
            for use in (journal.faults(), anext(journal.backup())):
                with pytest.raises(JournalUnavailable):
                    await use
        assert left_in(path) == {"journal.db", "journal.db.lock"}

    async def test_when_the_journal_is_closed_before_it_has_its_turn(self, path: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            async with journal._upkeep._turn:
                waiting = [
                    asyncio.create_task(journal.faults()),
                    asyncio.create_task(anext(journal.backup())),
                ]
                await asyncio.sleep(0)
                closing_ = asyncio.create_task(journal.close())
                await asyncio.sleep(0)
            for use in waiting:
                with pytest.raises(JournalUnavailable, match="is being closed"):
                    await use
            await closing_
        assert left_in(path) == {"journal.db", "journal.db.lock"}

    async def test_a_half_copy_that_a_kill_left_is_removed_at_the_next_opening(self, path: Path) -> None:
        path.with_name("journal.db.backup-under-way").write_bytes(b"half")
        async with await SqliteJournal.open(path):
            assert left_in(path) == USED


class TestRoom:
    @pytest.fixture
    def free(self) -> list[int]:
        return [1 << 30]

    @pytest.fixture
    async def journal(self, path: Path, free: list[int]) -> AsyncIterator[SqliteJournal]:
        async with await SqliteJournal.open(
            path, disk_free_min_bytes=64 * MIB, disk_free_bytes=lambda _: free[0]
        ) as opened:
            yield opened

    async def test_without_it_no_copy_is_begun(
        self, journal: SqliteJournal, path: Path, free: list[int]
    ) -> None:
        (saga, *_) = await filled(journal)
        free[0] = 64 * MIB
        sentence = (
            "takes another 1 MiB, and its disk has 64 MiB left, of which 64 MiB are kept for running sagas"
        )
        with pytest.raises(JournalUnavailable, match=sentence):
            await anext(journal.backup())
        assert left_in(path) == USED
        assert await saga.goes_on(journal, *reserved(3_000.0)) == 5

    async def test_without_it_nothing_is_checked_since_the_log_grows_meanwhile(
        self, journal: SqliteJournal, free: list[int]
    ) -> None:
        await filled(journal)
        free[0] = 63 * MIB
        with pytest.raises(
            JournalUnavailable, match="whole: its disk has 63 MiB left, of which 64 MiB are kept"
        ):
            await journal.faults()
        free[0] = 64 * MIB
        assert await journal.faults() == []

    async def test_it_is_given_back_when_it_runs_out_meanwhile(
        self,
        journal: SqliteJournal,
        path: Path,
        copy: Path,
        free: list[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await filled(journal)
        async with held_in_the_middle(journal, monkeypatch) as held:
            free[0] = 64 * MIB
        with pytest.raises(JournalUnavailable, match="make room first"):
            await held.making
        assert left_in(path) == USED
        free[0] = 1 << 30
        await copied(journal, copy)
        assert not journal.failed.done()

    async def test_a_check_whose_statements_run_for_long_is_broken_off_when_it_runs_out(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await filled(journal)
        looks_that_find(monkeypatch, None, and_then="its disk is full")
        with pytest.raises(JournalUnavailable, match=r"cannot be read whole: its disk is full$"):
            await journal.faults()

    async def test_a_check_that_was_broken_off_finds_no_damage_even_if_there_is_room_again(
        self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await filled(journal)
        looks_that_find(monkeypatch, None, "its disk is full", and_then=None)
        with pytest.raises(JournalUnavailable, match=r"cannot be read whole: interrupted$"):
            await journal.faults()
        assert await journal.faults() == []
        assert not journal.failed.done()

    async def test_where_a_copy_cannot_be_made_the_journal_goes_on(
        self, journal: SqliteJournal, path: Path, copy: Path
    ) -> None:
        (saga, *_) = await filled(journal)
        in_the_way = path.with_name("journal.db.backup-under-way")
        in_the_way.mkdir()
        with pytest.raises(JournalUnavailable, match=r"cannot be read whole: .*Is a directory"):
            await anext(journal.backup())
        in_the_way.rmdir()
        assert await saga.goes_on(journal, *reserved(3_000.0)) == 5
        await copied(journal, copy)

    def test_a_copy_that_cannot_be_begun_leaves_no_connection_open(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path.write_bytes(b"no database" * 1_000)
        connected = list[sqlite3.Connection]()

        def connect(*args: Any, real: Any = sqlite3.connect, **more: Any) -> sqlite3.Connection:
            connected.append(real(*args, **more))
            return connected[-1]

        monkeypatch.setattr(sqlite3, "connect", connect)
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            open_new_copy(path)
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connected[0].execute("SELECT 1")


class TestFaults:
    async def test_a_sound_journal_has_none(self, journal: SqliteJournal) -> None:
        await filled(journal)
        assert await journal.faults() == []

    async def test_what_is_found_is_told_in_sentences(self, path: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            await filled(journal)
        damage(
            path,
            "DELETE FROM sagas WHERE id = 'saga-003'",
            "PRAGMA writable_schema = on",
            "DELETE FROM sqlite_schema WHERE name = 'sagas_by_name'",
        )
        async with await SqliteJournal.open(path) as journal:
            found = await journal.faults()
            # Its three records and its head.
            assert sum("without the row of sagas that it belongs to" in sentence for sentence in found) == 4
            assert any("never used" in sentence for sentence in found)
            assert not journal.failed.done()

    async def test_a_row_that_is_missing_in_an_index_is_one(self, path: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            await filled(journal)
        with closing(sqlite3.connect(path)) as db:
            entry = db.execute("SELECT * FROM sqlite_schema WHERE name = 'sagas_open'").fetchone()
        # While the saga ends there is no such index, as far as SQLite knows.
        damage(path, "PRAGMA writable_schema = on", "DELETE FROM sqlite_schema WHERE name = 'sagas_open'")
        damage(path, "UPDATE sagas SET status = 'COMPLETED' WHERE id = 'saga-003'")
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA writable_schema = on")
            db.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", entry)
        async with await SqliteJournal.open(path) as journal:
            assert any("sagas_open" in sentence for sentence in await journal.faults())

    async def test_a_damaged_page_is_one_and_no_copy_is_made_of_it(self, path: Path, copy: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            await filled(journal)
        damage_page(path, "records")
        async with await SqliteJournal.open(path) as journal:
            assert await journal.faults()
            with pytest.raises(JournalUnavailable, match="is damaged, and so is its copy: SQLite"):
                await copied(journal, copy)
            assert left_in(path) == USED
            assert not journal.failed.done()

    async def test_definitions_that_cannot_be_read_are_one(self, path: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            await journal.definitions.register(ORDER, at=1.0)
        damage_page(path, "registrations")
        async with await SqliteJournal.open(path) as journal:
            found = await journal.faults()
            assert found[-1].startswith("SQLite cannot read the file to its end: ")
            assert not journal.failed.done()


class TestCommits:
    async def test_each_group_is_told_with_its_entries_and_its_time(self, path: Path) -> None:
        told: list[tuple[int, float]] = []
        async with await SqliteJournal.open(path, on_commit=lambda n, s: told.append((n, s))) as journal:
            sagas = await filled(journal, count=50, records=1)
            assert sum(entries for entries, _ in told) == 50
            assert len(told) <= 3
            await sagas[0].goes_on(journal, SagaResumed(2_000.0))
            assert [entries for entries, _ in told][-1] == 1
        assert all(0.0 < duration_s < 60.0 for _, duration_s in told)

    async def test_it_is_told_on_the_event_loop(self, path: Path) -> None:
        threads: list[threading.Thread] = []
        async with await SqliteJournal.open(
            path, on_commit=lambda *_: threads.append(threading.current_thread())
        ) as journal:
            await filled(journal)
        assert set(threads) == {threading.current_thread()}


async def refuses_another(journal: SqliteJournal) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(Overloaded, match="is being taken already; wait until it is read, or stop"):
            await anext(journal.backup())


def damage(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def damage_page(path: Path, table: str) -> None:
    """Overwrite the first page of *table*."""
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def looks_that_find(monkeypatch: pytest.MonkeyPatch, *shortages: str | None, and_then: str | None) -> None:
    """Let each look for room find one of *shortages*, and look often."""
    found = iter(shortages)
    monkeypatch.setattr(upkeep, "_STEPS_BETWEEN_LOOKS", 10)
    monkeypatch.setattr(DiskGauge, "shortage_for", lambda *_: next(found, and_then))


async def load(journal: SqliteJournal, name: str, acknowledged: dict[str, int]) -> None:
    number = 0
    while True:
        number += 1
        saga = a_saga(f"{name}-{number}")
        await saga.start(journal)
        acknowledged[saga.id] = 1
        while saga.seq < 20:
            acknowledged[saga.id] = await saga.goes_on(journal, SagaResumed(1_000.0 + saga.seq))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


@dataclass
class Held:
    """A copy that stands still when its first page is copied, until it may go on."""

    making: asyncio.Task[list[Piece]]
    go_on: threading.Event
    looks: list[int]
    """The bytes that were still to be copied, at each look for room."""


@asynccontextmanager
async def held_in_the_middle(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    reached, go_on, looks = threading.Event(), threading.Event(), list[int]()

    def look(self: DiskGauge, more_bytes: int, real: Shortage = DiskGauge.shortage_for) -> str | None:
        looks.append(more_bytes)
        # The first look comes before the first page.
        if len(looks) > 1:
            reached.set()
            assert go_on.wait(20)
        return real(self, more_bytes)

    monkeypatch.setattr(upkeep, "PAGES_AT_A_TIME", 1)
    monkeypatch.setattr(DiskGauge, "shortage_for", look)

    async def make() -> list[Piece]:
        return [piece async for piece in journal.backup()]

    making = asyncio.create_task(make())
    assert await asyncio.to_thread(reached.wait, 20)
    try:
        yield Held(making, go_on, looks)
    finally:
        go_on.set()
        await asyncio.sleep(0)
