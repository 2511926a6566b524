"""What was acknowledged is there: after kill -9, after a full disk, after a sync that failed."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from coordinator.adapters.sqlite import SqliteJournal
from coordinator.domain.ids import SagaId
from coordinator.ports.journal import SagaFilter
from tests.integration.appender import EXIT_FAILED
from tests.integration.appending import Appender, appender

SAGAS = 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


async def check_all_is_there(path: Path, appenders: list[Appender]) -> None:
    """Every saga that was acknowledged is there with an unbroken chain, and at most one record further."""
    async with await SqliteJournal.open(path) as journal:
        for told in appenders:
            for saga_id, seq in told.acknowledged.items():
                records = await journal.history(SagaId(saga_id))
                assert seq <= len(records) <= seq + 1
                row = await journal.find(SagaId(saga_id))
                assert row is not None
                assert row.seq == len(records)
        rows = await journal.page(SagaFilter(), after=None, limit=100_000)
        known = {saga_id for told in appenders for saga_id in told.acknowledged}
        # A start that was under way may be durable without having been told.
        assert len(known) <= len(rows) <= len(known) + SAGAS * len(appenders)


async def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    killed = []
    for acknowledgements in (1, 40, 333, 1_000, 2_500):
        with appender(path, sagas=SAGAS) as process:
            process.read(acknowledgements)
            process.kill()
        killed.append(process)
        assert process.acknowledged
    await check_all_is_there(path, killed)


async def test_a_file_that_cannot_grow_stops_the_journal_and_loses_nothing(path: Path) -> None:
    with appender(path, sagas=SAGAS, file_bytes_max=1_000_000) as process:
        assert process.finish() == EXIT_FAILED
    assert process.failure is not None
    assert re.search(r"journal\.db failed \(disk I/O error\): .* a restart recovers", process.failure)
    # It was left for the restart to mend, not checked in by the closing connection.
    assert path.with_name("journal.db-wal").stat().st_size
    await check_all_is_there(path, [process])


def run(*command: str) -> int:
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


IN_TWO_MEGABYTES = """
mount -t tmpfs -o size=2m tmpfs "$0" && { "$@"; code=$?; cp -a "$0"/. "$0".after; exit $code; }
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """Runs a command that finds two megabytes in the folder `disk`; what it leaves is in `disk.after`."""
    disk, after = tmp_path / "disk", tmp_path / "disk.after"
    disk.mkdir()
    after.mkdir()
    unshare = shutil.which("unshare")
    # In a mount namespace of its own, so that the disk goes when the command does.
    command = [unshare or "", "--mount", "--map-root-user", "sh", "-c", IN_TWO_MEGABYTES, str(disk)]
    if unshare is None or run(*command, "true"):
        pytest.skip("a small file system needs the right to make a mount namespace")
    return command


async def test_a_full_disk_stops_the_journal_and_loses_nothing(tmp_path: Path, small_disk: list[str]) -> None:
    with appender(tmp_path / "disk" / "journal.db", sagas=SAGAS, under=small_disk) as process:
        assert process.finish() == EXIT_FAILED
    assert process.failure is not None
    assert "database or disk is full" in process.failure
    assert process.acknowledged
    await check_all_is_there(tmp_path / "disk.after" / "journal.db", [process])


@pytest.fixture
def strace(tmp_path: Path) -> list[str]:
    command = shutil.which("strace")
    trace = ["-f", "-qq", "-o", str(tmp_path / "trace")]
    if command is None or run(command, *trace, "true"):
        pytest.skip("no strace, or it may not trace here")
    return [command, *trace]


async def test_a_sync_that_fails_stops_the_journal_at_once(path: Path, strace: list[str]) -> None:
    inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=60+"]
    with appender(path, sagas=SAGAS, under=[*strace, *inject]) as process:
        assert process.finish() == EXIT_FAILED
    assert process.failure is not None
    assert "disk I/O error" in process.failure
    # The first error is the last thing that the disk was asked.
    assert (path.parent / "trace").read_text().count("EIO") == 1
    await check_all_is_there(path, [process])


async def test_a_checkpoint_whose_sync_fails_stops_the_journal_and_keeps_the_log(
    path: Path, strace: list[str]
) -> None:
    async with await SqliteJournal.open(path):
        pass
    # Of the database file only: it is synced by checkpoints, the log by commits.
    inject = ["-P", str(path), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"]
    with appender(path, sagas=SAGAS, under=[*strace, *inject]) as process:
        assert process.finish() == EXIT_FAILED
    assert sum(process.acknowledged.values()) > 900
    assert (path.parent / "trace").read_text().count("EIO") == 1
    assert path.with_name("journal.db-wal").stat().st_size
    await check_all_is_there(path, [process])


async def test_nothing_is_acknowledged_before_its_sync_has_returned(path: Path, strace: list[str]) -> None:
    with appender(path, sagas=1, under=[*strace, "-e", "trace=fdatasync,write"]) as process:
        process.read(50)
        process.kill()
    calls = (path.parent / "trace").read_text().splitlines()
    heard = [
        "sync" if "fdatasync" in call and call.endswith("= 0") else "told"
        for call in calls
        if ("fdatasync" in call and call.endswith("= 0")) or "acknowledged" in call
    ]
    assert heard.count("told") >= 50
    # With one saga at a time there is one sync for each acknowledgement, and it comes first.
    assert all(before == "sync" for before, now in pairwise(heard) if now == "told")
