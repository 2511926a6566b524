"""What real processes write to stderr: JSON lines into a pipe, a readable form on a terminal."""

import json
import os
import pty
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import pytest

from saga.v1 import coordinator_pb2, coordinator_pb2_grpc
from scripts.cluster import ROOT, SERVICES

TIMEOUT_S: Final = 30.0
COLOUR: Final = re.compile(r"\x1b\[[0-9;]+m")
JSON, READABLE, COLOURED = "json", "readable", "coloured"


@dataclass
class Running:
    """A process whose stderr is read here."""

    child: "subprocess.Popen[bytes]"
    stderr: int
    said: bytearray = field(default_factory=bytearray)

    def address(self) -> str:
        """Where it serves, once it does."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().split()[2].decode()

    def stop(self) -> list[str]:
        """Ask it to stop; every line that it wrote to stderr."""
        self.child.send_signal(signal.SIGTERM)
        until = time.monotonic() + TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.stderr, selectors.EVENT_READ)
            while time.monotonic() < until and selector.select(until - time.monotonic()):
                try:
                    chunk = os.read(self.stderr, 65536)
                except OSError:  # a terminal's other end is closed
                    break
                if not chunk:
                    break
                self.said += chunk
        assert self.child.wait(TIMEOUT_S) == 0
        return self.said.decode().splitlines()


@contextmanager
def running(arguments: list[str], *, on_terminal: bool, environ: Mapping[str, str]) -> Iterator[Running]:
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    child = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**inherited, "TERM": "xterm", **environ},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield Running(child, ours)
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
        os.close(ours)


def coordinator_in(folder: Path, **settings: str) -> dict[str, str]:
    return {
        "SAGA_LISTEN": "127.0.0.1:0",
        "SAGA_JOURNAL": str(folder / "journal.sqlite3"),
        "SAGA_DEFINITIONS": str(ROOT / "definitions"),
        "SAGA_SERVICES": json.dumps(dict.fromkeys(SERVICES, "127.0.0.1:1")),
        **settings,
    }


def form_of(lines: list[str]) -> str:
    """The one form that all *lines* have."""
    forms = set()
    for line in lines:
        if line.startswith("{"):
            assert {"time", "level", "message"} <= json.loads(line).keys()
            forms.add(JSON)
        else:
            assert re.match(r"\d\d:\d\d:\d\d\.\d{3}Z INFO ", COLOUR.sub("", line)), line
            forms.add(COLOURED if COLOUR.search(line) else READABLE)
    (form,) = forms
    return form


@pytest.mark.parametrize(
    ("on_terminal", "environ", "form"),
    [
        (True, {}, COLOURED),
        (True, {"NO_COLOR": "1"}, READABLE),
        (True, {"TERM": "dumb"}, READABLE),
        (True, {"SAGA_LOG_FORMAT": "json"}, JSON),
        (False, {}, JSON),
        (False, {"SAGA_LOG_FORMAT": "text"}, READABLE),
    ],
)
def test_a_coordinator_logs_in_the_form_that_is_asked_for_or_fits(
    tmp_path: Path, on_terminal: bool, environ: dict[str, str], form: str
) -> None:
    asked = coordinator_in(tmp_path, **environ)
    with running(["coordinator"], on_terminal=on_terminal, environ=asked) as process:
        process.address()
        lines = process.stop()
    assert form_of(lines) == form
    assert "settings: " in lines[0]
    assert "stopped" in lines[-1]


@pytest.mark.parametrize(
    ("on_terminal", "environ", "form"),
    [(True, {}, COLOURED), (True, {"NO_COLOR": "1"}, READABLE), (False, {}, JSON)],
)
def test_the_example_participants_log_in_the_form_that_fits(
    tmp_path: Path, on_terminal: bool, environ: dict[str, str], form: str
) -> None:
    arguments = ["participants", "all", "--data", str(tmp_path)]
    with running(arguments, on_terminal=on_terminal, environ=environ) as process:
        process.address()
        lines = process.stop()
    assert form_of(lines) == form
    assert ["started" in lines[0], "stopped" in lines[1]] == [True, True]


def test_a_coordinator_counts_calls_that_repeat_and_tells_the_count_when_it_stops(tmp_path: Path) -> None:
    asked = coordinator_in(tmp_path, SAGA_LOG_LEVEL="DEBUG")
    with running(["coordinator"], on_terminal=False, environ=asked) as process:
        with grpc.insecure_channel(process.address()) as channel:
            stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            for _ in range(300):
                stub.ListSagas(coordinator_pb2.ListSagasRequest(), timeout=5)
        lines = [json.loads(line) for line in process.stop()]
    calls = [line for line in lines if line.get("method", "").endswith("/ListSagas")]
    assert sum(line.get("repeated", 1) for line in calls) == 300
    # One at once, one when it stops; a slow machine may see the end of a window or two in between.
    assert 2 <= len(calls) <= 4
    assert "repeated" not in calls[0]
