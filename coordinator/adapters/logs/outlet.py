"""Gives lines to a stream, and waits for nobody who reads it.

A pipe or a socket that nobody empties stops whoever writes to it for as long as that lasts: the event loop,
and with it every saga, every health check and the end of the process. So what finds no room is kept for
later; what would be too much to keep is lost, and counted. A terminal does not tell how much room it has: one
that takes nothing at all is waited for.
"""

import os
import select
import stat
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, TextIO

from coordinator.adapters.clock import stopwatch_s

KEPT_CHARS_MAX: Final = 1 << 20

# A pipe that says that it has room takes this much without a wait.
_AT_ONCE_BYTES: Final = select.PIPE_BUF
_CHAR_BYTES_MAX: Final = 4


class Outlet:
    """The way out for lines that end with a newline. Nothing is raised for a stream that fails."""

    def __init__(self, stream: TextIO, lost: Callable[[int], str]) -> None:
        """*lost* makes the line that says how many were lost."""
        self._stream = stream
        self._lost_line = lost
        self._room = _room_of(stream)
        self._kept: deque[str] = deque()
        self._kept_chars = 0
        self._lost = 0

    @property
    def keeps(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._kept)

    def write(self, lines: Iterable[str], *, patience_s: float = 0.0) -> None:
        """Write what is kept, and *lines* after it, as far as room for them is found within *patience_s*."""
        for line in lines:
            self._keep(line)
        until_s = stopwatch_s() + patience_s if patience_s else 0.0
        while self._kept and self._has_room(until_s):
            piece = self._piece()
            # A stream that is closed, or whose disk is full, leaves nobody to be told.
            with suppress(Exception):
                self._stream.write(piece)
                self._stream.flush()
            if self._lost and not self._kept:
                lost, self._lost = self._lost, 0
                self._keep(self._lost_line(lost))

    def _keep(self, line: str) -> None:
        # Once one is lost, so are those after it until that can be told: what is written is in its order.
        if self._lost or (self._kept and self._kept_chars + len(line) > KEPT_CHARS_MAX):
            self._lost += 1
        else:
            self._kept.append(line)
            self._kept_chars += len(line)

    def _has_room(self, until_s: float) -> bool:
        if self._room is None:
            return True
        left_s = max(until_s - stopwatch_s(), 0.0) if until_s else 0.0
        return bool(self._room.poll(left_s * 1000))

    def _piece(self) -> str:
        """As much of what is kept as is written at once."""
        pieces: list[str] = []
        left = _AT_ONCE_BYTES
        while self._kept:
            line = self._kept.popleft()
            char_bytes = 1 if line.isascii() else _CHAR_BYTES_MAX
            if self._room is None or len(line) * char_bytes <= left:
                left -= len(line) * char_bytes
                pieces.append(line)
            elif pieces:
                self._kept.appendleft(line)
                break
            else:
                fitting = left // char_bytes
                pieces.append(line[:fitting])
                self._kept.appendleft(line[fitting:])
                break
        piece = "".join(pieces)
        self._kept_chars -= len(piece)
        return piece


def _room_of(stream: TextIO) -> "select.poll | None":
    """What tells whether *stream* has room; none for a file, or memory, which always has."""
    try:
        number = stream.fileno()
        if stat.S_ISREG(os.fstat(number).st_mode):
            return None
    except (OSError, ValueError):
        return None
    room = select.poll()
    room.register(number, select.POLLOUT)
    return room
