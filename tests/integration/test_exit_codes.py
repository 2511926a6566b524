"""What a process tells its supervisor about its end, where that is decided at the last moment."""

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from coordinator import bootstrap
from coordinator.adapters.sqlite.writer import Writer
from coordinator.api import listener
from coordinator.api.listener import Listener
from coordinator.settings import Settings
from tests.integration.raw_call import called_by_a_name_that_is_no_text


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


async def test_a_port_that_cannot_be_had_again_is_no_clean_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def never(_: Listener) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Listener, "_open_again", never)
    monkeypatch.setattr(listener, "REOPEN_S", 0.1)
    settings = Settings(listen="127.0.0.1:0", journal_path=str(tmp_path / "j"), definitions_dir=str(tmp_path))
    serving = asyncio.create_task(bootstrap.serve(settings))
    said = ""
    async with asyncio.timeout(30):
        while "coordinator ready" not in said:
            await asyncio.sleep(0.02)
            said += capsys.readouterr().out
        await called_by_a_name_that_is_no_text(said.split()[-1])
        assert await serving == bootstrap.EXIT_UNREACHABLE
