"""Writes records as lines, from any thread, and never raises into whoever logs.

What is said within one turn of an event loop is written at once, by its end: each write gives other threads
the interpreter, and the loop has to wait until it gets it back. A warning, and all before it, waits for
nothing; so a process that is killed loses at most what was no warning and was said in its last turn, and what
nobody had read.

While something is held back, or finds nobody who reads it (outlet.py), a thread looks now and then whose
window has ended, and whether there is room; it ends with its work. What is still held when logging is shut
down, as at the end of the process, is written then, if anybody reads it.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from coordinator.adapters.clock import stopwatch_s
from coordinator.adapters.logs.forms import Render
from coordinator.adapters.logs.line import Line, line_of
from coordinator.adapters.logs.outlet import Outlet
from coordinator.adapters.logs.repeats import Repeats

WINDOW_S: Final = 10.0
WINDOWS_MAX: Final = 1_000
WAITING_MAX: Final = 32
"""Lines of one turn. They are written when there are so many: a turn without an end tells, too."""
LAST_S: Final = 1.0
"""How long the end waits for whoever does not read."""

_LOOKS_PER_WINDOW: Final = 10
# A finalizer may log while a line is made or written, and so may what is asked for the line. Whoever logs by
# that once more gets no line: it would have no end.
_DEPTH_MAX: Final = 2


class LineHandler(logging.Handler):
    """Writes to *stream* as *render* says."""

    def __init__(
        self,
        stream: TextIO,
        render: Render,
        *,
        current_trace: Callable[[], str] | None = None,
        window_s: float = WINDOW_S,
        windows_max: int = WINDOWS_MAX,
    ) -> None:
        super().__init__()
        self._outlet = Outlet(stream, self._lost_line)
        self._render = render
        self._current_trace = current_trace
        self._repeats = Repeats(window_s=window_s, windows_max=windows_max)
        self._look_s = window_s / _LOOKS_PER_WINDOW
        self._depth = 0
        self._watch: threading.Thread | None = None
        self._ended = threading.Event()
        self._waiting: list[str] = []
        self._asked: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or hold it back. The caller has the handler's lock."""
        if self._depth == _DEPTH_MAX:
            return
        from_within = self._depth > 0
        self._depth += 1
        try:
            line = line_of(record, None if from_within else self._current_trace)
            if from_within or getattr(record, "is_news", False) or self._ended.is_set():
                # From within, the windows may be half changed; after the end, nobody looks at them. And what
                # says that things have changed must not come after what says that they changed back.
                self._append([line])
            else:
                self._append(self._repeats.take(line, stopwatch_s()))
                self._keep_watch()
            if self._waiting and (record.levelno >= logging.WARNING or not self._may_wait()):
                self._write()
        except Exception:
            pass  # nothing is raised into whoever logs
        finally:
            self._depth -= 1

    def flush(self) -> None:
        """Write what waits for the end of a turn."""
        with self._alone():
            self._write()

    def close(self) -> None:
        """Write what is held back; whatever still comes is written at once."""
        with self._alone():
            self._ended.set()
            self._append(self._repeats.flush())
            self._write(patience_s=LAST_S)
        super().close()

    @property
    def _holds(self) -> bool:
        return self._repeats.holds or self._outlet.keeps

    def _keep_watch(self) -> None:
        if self._holds and self._watch is None and not self._ended.is_set():
            watch = threading.Thread(target=self._look_until_done, name="held log lines", daemon=True)
            # Where no thread can be had, the next line tries again, and the end writes what is held.
            with suppress(RuntimeError):
                watch.start()
                self._watch = watch

    def _look_until_done(self) -> None:
        while not self._ended.wait(self._look_s):
            with self._alone():
                self._append(self._repeats.ended(stopwatch_s()))
                self._write()
                if not self._holds:
                    self._watch = None
                    return

    def _may_wait(self) -> bool:
        """Whether the lines that wait are not many, and are written by an event loop before it sleeps."""
        if self._ended.is_set():
            return False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        # A loop that ended within its turn never comes to what it was asked for.
        if self._asked is not loop:
            loop.call_soon(self._turn_ended)
            self._asked = loop
        return len(self._waiting) < WAITING_MAX

    def _turn_ended(self) -> None:
        self._asked = None
        self.flush()

    def _append(self, lines: Iterable[Line]) -> None:
        for line in lines:
            try:
                self._waiting.append(self._render(line) + "\n")
            except Exception:
                continue  # one that cannot be told costs none of the others

    def _write(self, *, patience_s: float = 0.0) -> None:
        waiting, self._waiting = self._waiting, []
        self._outlet.write(waiting, patience_s=patience_s)
        self._keep_watch()

    def _lost_line(self, lost: int) -> str:
        told = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
        record = logging.makeLogRecord({**told, "msg": "%d lines of this log were lost", "args": (lost,)})
        return self._render(line_of(record, None)) + "\n"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Under the handler's lock; whoever logs meanwhile does so from within."""
        self.acquire()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self.release()
