"""Opening a SQLite journal: the lock, the log of a killed process, files that are not what they should be.

Every refusal is one sentence, and leaves neither a lock nor a thread behind.
"""

import asyncio
import errno
import logging
import os
import re
import shutil
import socket
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coordinator.adapters.sqlite import SqliteJournal, files
from coordinator.adapters.sqlite.connection import PAGE_BYTES, READER_PRAGMAS, WRITER_PRAGMAS, read_back
from coordinator.adapters.sqlite.files import APPLICATION_ID
from coordinator.adapters.sqlite.migrations import Migration, migrate, packaged
from coordinator.adapters.sqlite.wal import look_through
from coordinator.domain.errors import JournalUnavailable, StartupFailed
from coordinator.domain.ids import SagaId
from tests.contract.sagas import a_saga, reserved
from tests.integration.appending import Appender, appender

NOBODY = 65_534


class Watched(sqlite3.Connection):
    """A connection that tells whether somebody closed it."""

    closed = False

    def close(self) -> None:
        super().close()
        self.closed = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


async def made(path: Path) -> None:
    """A journal with one saga, closed."""
    async with await SqliteJournal.open(path) as journal:
        await a_saga().start(journal)


async def ended(threads: Iterable[threading.Thread]) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


async def refusal(path: Path) -> str:
    """The sentence with which a start is refused, having left nothing behind."""
    threads = set(threading.enumerate())
    with pytest.raises(StartupFailed) as raised:
        await SqliteJournal.open(path)
    await ended(set(threading.enumerate()) - threads)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert str(path) in sentence or str(path.parent) in sentence
    return sentence


def killed(path: Path, acknowledgements: int = 50) -> Appender:
    with appender(path, sagas=4) as process:
        process.read(acknowledgements)
        process.kill()
    return process


class TestLock:
    async def test_a_second_process_is_refused_and_told_who_holds_it(self, path: Path) -> None:
        with appender(path, sagas=1) as holder:
            holder.read(1)
            sentence = await refusal(path)
            assert f"is held by process {holder.process.pid}: stop that one" in sentence
            # The holder was not disturbed.
            holder.read(20)

    async def test_so_is_a_second_journal_in_the_same_process(self, path: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            assert f"held by process {os.getpid()}" in await refusal(path)
            await a_saga().start(journal)

    async def test_another_name_of_the_same_file_does_not_help(self, path: Path) -> None:
        alias = path.with_name("alias.db")
        alias.symlink_to(path)
        async with await SqliteJournal.open(path):
            assert "is held by process" in await refusal(alias)

    async def test_it_is_let_go_on_closing_and_by_a_death(self, path: Path) -> None:
        for _ in range(2):
            await made(path.with_name("other.db"))
        killed(path)
        await made(path)

    async def test_it_is_let_go_when_an_opening_is_cancelled(self, path: Path) -> None:
        opening = asyncio.create_task(SqliteJournal.open(path))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await made(path)

    @pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21, 34])
    async def test_an_opening_that_is_cancelled_leaves_no_connection_open(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
    ) -> None:
        connected: list[Watched] = []

        def connect(
            *args: Any, real: Callable[..., sqlite3.Connection] = sqlite3.connect, **more: Any
        ) -> sqlite3.Connection:
            opened = real(*args, **more, factory=Watched)
            assert isinstance(opened, Watched)
            connected.append(opened)
            return opened

        monkeypatch.setattr(sqlite3, "connect", connect)
        threads = set(threading.enumerate())
        opening = asyncio.create_task(SqliteJournal.open(path))
        for _ in range(turns):
            await asyncio.sleep(0.001 if turns > 5 else 0)
        opening.cancel()
        (end,) = await asyncio.gather(opening, return_exceptions=True)
        if isinstance(end, SqliteJournal):
            await end.close()
        assert connected
        assert all(connection.closed for connection in connected)
        await ended(set(threading.enumerate()) - threads)

    async def test_what_it_remembers_is_its_first_line(self, path: Path) -> None:
        await made(path)
        with path.with_name("journal.db.lock").open("ab") as lock:
            lock.write(b'"closed": false}')
        path.unlink()
        async with await SqliteJournal.open(path) as journal:
            assert journal.token == 2

    async def test_what_it_remembers_may_be_unreadable(self, path: Path) -> None:
        path.with_name("journal.db.lock").write_bytes(b"\xff not what we wrote")
        await made(path)


class TestAfterAKill:
    async def test_the_log_is_written_again_and_synced_before_sqlite_opens_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process = killed(path)
        wal = path.with_name("journal.db-wal")
        content = wal.read_bytes()[: look_through(wal).whole_until]
        # What was being written, or was written over, must not look like damage after the next crash.
        wal.write_bytes(content + content[-700:])
        heard: list[str] = []
        written = bytearray()

        def name_of(fd: int) -> str:
            return Path(os.readlink(f"/proc/self/fd/{fd}")).name

        def pwrite(fd: int, chunk: bytes, at: int, real: Callable[..., int] = os.pwrite) -> int:
            if name_of(fd) == wal.name:
                assert at == len(written)
                written.extend(chunk)
                heard.append("written")
            return real(fd, chunk, at)

        def fsync(fd: int, real: Callable[[int], None] = os.fsync) -> None:
            real(fd)
            if name_of(fd) in (wal.name, path.parent.name):
                heard.append("synced" if name_of(fd) == wal.name else "folder synced")

        def connect(*args: object, real: Callable[..., object] = sqlite3.connect, **more: object) -> object:
            heard.append("opened")
            return real(*args, **more)

        monkeypatch.setattr(files, "_CHUNK_BYTES", 100_000)
        monkeypatch.setattr(os, "pwrite", pwrite)
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(sqlite3, "connect", connect)
        async with await SqliteJournal.open(path) as journal:
            assert bytes(written) == content
            first_opened = heard.index("opened")
            before = heard[:first_opened]
            assert before == ["written"] * (len(before) - 2) + ["synced", "folder synced"]
            for saga_id, seq in process.acknowledged.items():
                assert len(await journal.history(SagaId(saga_id))) >= seq

    async def test_it_says_so(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        process = killed(path)
        await made(path)
        assert f"was not closed by process {process.process.pid}: taking up" in caplog.text

    async def test_a_log_that_cannot_be_written_stops_the_start(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed(path)
        real = os.fsync

        def fsync(fd: int) -> None:
            if os.readlink(f"/proc/self/fd/{fd}").endswith("-wal"):
                raise OSError(errno.EIO, "Input/output error")
            real(fd)

        monkeypatch.setattr(os, "fsync", fsync)
        assert "-wal cannot be made durable (Input/output error): mend the disk" in await refusal(path)

    async def test_a_clean_end_leaves_nothing_to_say(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        await made(path)
        caplog.clear()
        caplog.set_level(logging.INFO)
        async with await SqliteJournal.open(path):
            pass
        ours = [r.getMessage() for r in caplog.records if r.name.startswith("coordinator")]
        assert ours == [f"the journal {path} is open under token 2, by SQLite {sqlite3.sqlite_version}"]


class TestLoss:
    """What was lost outside of our hands is said, where it can be seen."""

    async def test_a_log_that_was_removed(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        killed(path)
        path.with_name("journal.db-wal").unlink()
        path.with_name("journal.db-shm").unlink()
        await made(path)
        assert "its write-ahead log is gone: what was not yet in the database is lost" in caplog.text

    async def test_a_log_that_was_damaged_stops_the_start_until_it_is_cut_off(self, path: Path) -> None:
        killed(path)
        wal = path.with_name("journal.db-wal")
        content = bytearray(wal.read_bytes())
        content[len(content) // 2] ^= 1
        wal.write_bytes(content)
        told = await refusal(path)
        found = re.search(rf"journal.db-wal is damaged at byte (\d+), .*truncate -s \1 {wal}", told)
        assert found is not None
        assert wal.read_bytes() == content
        os.truncate(wal, int(found[1]))
        await made(path)

    async def test_an_older_copy(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        await made(path)
        copy = path.with_name("copy.db")
        shutil.copy(path, copy)
        for _ in range(3):
            async with await SqliteJournal.open(path):
                pass
        shutil.copy(copy, path)
        async with await SqliteJournal.open(path) as journal:
            # Participants have seen 4, and would refuse what is older.
            assert journal.token == 5
        assert "holds token 1 but was opened under token 4 before: it is an older copy" in caplog.text

    async def test_a_database_that_was_removed(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        await made(path)
        path.unlink()
        async with await SqliteJournal.open(path) as journal:
            assert journal.token == 2
            assert await journal.open_sagas() == []
        assert "is gone: its lock file remembers token 1; a new journal begins" in caplog.text

    async def test_a_database_that_was_removed_beside_its_log_stops_the_start(self, path: Path) -> None:
        killed(path)
        path.unlink()
        assert "is gone but its write-ahead log journal.db-wal is still there" in await refusal(path)
        assert path.with_name("journal.db-wal").stat().st_size


class TestRefusals:
    async def test_no_such_folder(self, tmp_path: Path) -> None:
        sentence = await refusal(tmp_path / "nowhere" / "journal.db")
        assert "nowhere does not exist: create it" in sentence

    async def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        sentence = await refusal(tmp_path / "file" / "journal.db")
        assert "file does not exist: create it" in sentence

    async def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        assert "cannot be opened" in await refusal(tmp_path / ("x" * 300))

    async def test_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "journal.db").mkdir()
        assert "is a folder: name a file" in await refusal(tmp_path / "journal.db")

    async def test_a_pipe_is_not_waited_for(self, path: Path) -> None:
        os.mkfifo(path)
        assert "is not a regular file" in await refusal(path)

    async def test_a_socket(self, path: Path) -> None:
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(path))
            assert "is not a regular file" in await refusal(path)

    @pytest.mark.parametrize("content", [b"x", b"to whom it may concern\n" * 1_000, b"\x00" * 8_192])
    async def test_a_file_that_is_no_database(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        assert "is not a SQLite database: move that file away" in await refusal(path)
        assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path], "nothing of ours is left beside it"

    async def test_a_database_of_another_program_is_not_touched(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode = wal")
            db.execute("CREATE TABLE theirs (x)")
            content = path.with_name("journal.db-wal").read_bytes(), path.read_bytes()
            assert "is a database of another program: name another file" in await refusal(path)
            assert content == (path.with_name("journal.db-wal").read_bytes(), path.read_bytes())
            assert not path.with_name("journal.db.lock").exists()

    async def test_a_journal_that_another_program_writes_to(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await made(path)
        monkeypatch.setattr("coordinator.adapters.sqlite.connection.BUSY_MS", 0)
        monkeypatch.setitem(WRITER_PRAGMAS, "busy_timeout", 0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert "(database is locked): another program has it open" in await refusal(path)
        await made(path)

    async def test_a_full_disk(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(WRITER_PRAGMAS, "max_page_count", 5)
        assert "(database or disk is full): make room on its disk" in await refusal(path)

    async def test_a_disk_without_room_for_the_lock(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def pwrite(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", pwrite)
        assert "journal.db.lock cannot be locked and written (No space left" in await refusal(path)

    async def test_half_a_copy_that_cannot_be_removed(self, path: Path) -> None:
        path.with_name("journal.db.backup-under-way").mkdir()
        assert "Is a directory" in await refusal(path)

    async def test_an_old_sqlite(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
        assert "needs SQLite 3.38.0 or newer" in await refusal(path)

    async def test_a_newer_schema(self, path: Path) -> None:
        await made(path)
        newest = len(packaged())
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("INSERT INTO migrations VALUES (?, 'later.sql', 'x')", (newest + 1,))
        sentence = await refusal(path)
        assert f"a newer release (its schema is number {newest + 1}, this release knows {newest})" in sentence

    async def test_a_newer_format(self, path: Path) -> None:
        await made(path)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE journal SET format = 99")
        assert "a newer release (its format is number 99, this release knows 7)" in await refusal(path)

    async def test_an_edited_migration(self, path: Path) -> None:
        await made(path)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE migrations SET checksum = 'other' WHERE number = 1")
        assert "0001_journal.sql was edited after it was applied" in await refusal(path)

    async def test_a_reader_that_cannot_be_opened(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(READER_PRAGMAS, "query_only", 7)
        assert "with query_only 1 where 7 is needed" in await refusal(path)

    async def test_a_file_system_that_cannot_share_memory(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # SQLite answers such a wish with another journal mode, and no error.
        monkeypatch.setitem(WRITER_PRAGMAS, "journal_mode", "shared")
        sentence = await refusal(path)
        assert "with journal_mode 'delete' where 'shared' is needed" in sentence


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user without rights. Root may read and write everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class TestPermissions:
    @pytest.fixture
    def open_path(self) -> Iterator[Path]:
        """In a folder that everybody may write to."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o777)
            yield folder / "journal.db"
            folder.chmod(0o777)

    @pytest.mark.parametrize("mode", [0o000, 0o444])
    async def test_a_database_that_may_not_be_written(self, open_path: Path, mode: int) -> None:
        await made(open_path)
        open_path.chmod(mode)
        open_path.with_name("journal.db.lock").chmod(0o666)
        with as_nobody():
            sentence = await refusal(open_path)
        assert "cannot be opened for reading and writing (Permission denied): make it writable" in sentence

    async def test_a_folder_that_may_not_be_written(self, open_path: Path) -> None:
        open_path.parent.chmod(0o555)
        with as_nobody():
            sentence = await refusal(open_path)
        assert "journal.db.lock cannot be opened (Permission denied): make the folder" in sentence

    async def test_a_folder_that_may_not_be_entered(self, open_path: Path) -> None:
        open_path.parent.chmod(0o000)
        with as_nobody():
            sentence = await refusal(open_path)
        assert "cannot be opened for reading and writing (Permission denied)" in sentence

    async def test_a_folder_in_one_that_may_not_be_entered(self, open_path: Path) -> None:
        open_path.parent.chmod(0o000)
        with as_nobody():
            sentence = await refusal(open_path.parent / "data" / "journal.db")
        assert "cannot be opened for reading and writing (Permission denied)" in sentence

    async def test_the_files_are_the_owners_alone(self, path: Path) -> None:
        async with await SqliteJournal.open(path):
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        assert modes == dict.fromkeys(
            ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"), 0o600
        )


class TestSettings:
    async def test_the_pages_of_a_new_journal_are_small_and_an_older_one_keeps_its_own(
        self, path: Path
    ) -> None:
        other = path.with_name("other.db")
        with closing(sqlite3.connect(other)) as db:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for file, size in ((path, PAGE_BYTES), (other, 4_096)):
            await made(file)
            with closing(sqlite3.connect(file)) as db:
                assert read_back(db, "page_size") == size
        assert PAGE_BYTES == 1_024

    async def test_what_sqlite_was_told_is_what_it_does(self, path: Path) -> None:
        async with await SqliteJournal.open(path) as journal:
            for connection, pragmas in (
                (journal._writer._db, WRITER_PRAGMAS),
                (journal._reader._db, READER_PRAGMAS),
            ):
                for name, value in pragmas.items():
                    assert await connection.run(partial(read_back, name=name)) == value
        assert WRITER_PRAGMAS["synchronous"] == 2
        assert WRITER_PRAGMAS["journal_mode"] == "wal"

    async def test_the_file_says_whose_it_is(self, path: Path) -> None:
        await made(path)
        assert path.read_bytes()[68:72] == b"SAGA" == APPLICATION_ID.to_bytes(4)

    async def test_a_path_may_hold_what_a_uri_may_not(self, tmp_path: Path) -> None:
        path = tmp_path / "a ?b#c%20&mode=ro é"
        await made(path)
        async with await SqliteJournal.open(path) as journal:
            saga = a_saga("2")
            await saga.start(journal)
            assert await saga.goes_on(journal, *reserved()) == 3

    async def test_migrations_are_numbered_without_a_gap(self) -> None:
        assert [migration.number for migration in packaged()] == list(range(1, len(packaged()) + 1))

    async def test_a_migration_that_was_applied_is_not_applied_again(self) -> None:
        first = Migration(1, "0001_a.sql", "CREATE TABLE a (x);\nINSERT INTO a VALUES (';'),\n (2)")
        second = Migration(2, "0002_b.sql", "-- more\nCREATE TABLE b (x);\nINSERT INTO b SELECT x FROM a;")
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            for migrations in ([first], [first, second], [first, second]):
                db.execute("BEGIN IMMEDIATE")
                migrate(db, migrations, "journal")
                db.execute("COMMIT")
            assert db.execute("SELECT x FROM b").fetchall() == [(";",), (2,)]
            assert db.execute("SELECT number, name FROM migrations").fetchall() == [
                (1, "0001_a.sql"),
                (2, "0002_b.sql"),
            ]


async def test_a_journal_with_a_second_name_is_refused_since_each_name_would_have_its_own_lock(
    path: Path,
) -> None:
    await made(path)
    os.link(path, path.with_name("second.db"))
    assert "has 2 names (hard links)" in await refusal(path.with_name("second.db"))


async def test_whoever_was_passed_by_another_opening_writes_nothing_more(path: Path) -> None:
    saga, late = a_saga("1"), a_saga("2")
    async with await SqliteJournal.open(path) as first:
        await saga.start(first)
        path.with_name("journal.db.lock").unlink()
        async with await SqliteJournal.open(path) as second:
            with pytest.raises(
                JournalUnavailable, match=r"token 1, and by another process under token 2 since"
            ):
                await late.start(first)
            assert "see that its lock file stays" in await first.failed
            await saga.goes_on(second, *reserved())
            assert await second.requested(late.front_door, late.request_id) is None
            assert len(await second.history(saga.id)) == saga.summary.seq
