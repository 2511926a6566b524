"""Runs the appender in a process of its own, and knows what it was told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
WAIT_S = 30.0


@dataclass
class Appender:
    """One such process: what it acknowledged so far, by saga, and how it ended."""

    process: subprocess.Popen[str]
    acknowledged: dict[str, int] = field(default_factory=dict)
    failure: str | None = None

    def read(self, acknowledgements: int) -> None:
        """Read until it has acknowledged so many more."""
        before = sum(self.acknowledged.values())
        while sum(self.acknowledged.values()) < before + acknowledgements:
            assert self._take(self._out.readline()), "it ended too early"

    def kill(self) -> None:
        """Kill it with -9, then read what it had told before."""
        self.end()
        self.finish()

    def end(self) -> None:
        """Kill it, and what it runs under, unless it has ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def finish(self) -> int:
        """Read to the end; its exit code."""
        while self._take(self._out.readline()):
            pass
        return self.process.wait(WAIT_S)

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _take(self, line: str) -> bool:
        # A line is one write, so that the last one is whole or absent.
        match line.split(maxsplit=1):
            case ["acknowledged", what]:
                saga_id, seq = what.split()
                self.acknowledged[saga_id] = int(seq)
            case ["failed", why]:
                self.failure = why.strip()
        return bool(line)


@contextmanager
def appender(
    journal: Path, *, sagas: int, file_bytes_max: int | None = None, under: Sequence[str] = ()
) -> Iterator[Appender]:
    """An appender to *journal*, run by the command *under*; it is gone when this ends."""
    limit = [] if file_bytes_max is None else [str(file_bytes_max)]
    command = [*under, sys.executable, "-m", "tests.integration.appender", str(journal), str(sagas), *limit]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started = Appender(process)
    with process:
        try:
            yield started
        finally:
            started.end()
