"""What a process tells its supervisor about its end, where that is decided at the last moment."""

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from coordinator import bootstrap
from coordinator.adapters.sqlite.writer import Writer
from coordinator.settings import Settings


@pytest.mark.parametrize("fails", [False, True])
async def test_a_journal_that_fails_while_it_is_closed_is_no_clean_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: bool
) -> None:
    async def not_checked_in(writer: Writer) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    if fails:
        monkeypatch.setattr(Writer, "check_in", not_checked_in)
    settings = Settings(listen="127.0.0.1:0", journal_path=str(tmp_path / "j"), definitions_dir=str(tmp_path))
    serving = asyncio.create_task(bootstrap.serve(settings))
    async with asyncio.timeout(30):
        while "coordinator ready" not in capsys.readouterr().out:
            await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving == (bootstrap.EXIT_JOURNAL_FAILED if fails else bootstrap.EXIT_STOPPED)
