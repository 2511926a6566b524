"""What is looked at before something new is begun: is there room to end it, and is the file still there?"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coordinator.adapters.clock import stopwatch_s
from coordinator.adapters.sqlite.files import wal_path

CHECK_EVERY_S: Final = 1.0
_MIB: Final = 1 << 20


class DiskGauge:
    """What concerns every start is looked at once a second at most."""

    def __init__(self, path: Path, min_bytes: int, free_bytes: Callable[[Path], int]) -> None:
        self._path = path
        self._min_bytes = min_bytes
        self._free_bytes = free_bytes
        self._looked_at_s = float("-inf")
        self._shortage: str | None = None
        self._file = _identity(path)
        self._log_path = wal_path(path)
        self._log: tuple[int, int] | None = None
        """Of SQLite's log, once it is there: it stays as long as the journal is open."""

    def shortage(self) -> str | None:
        """Why nothing new may be begun now; None where there is room.

        Raises:
            OSError: the journal's file or its log was removed or replaced: what is written now nobody will
                find.
        """
        now_s = stopwatch_s()
        if now_s - self._looked_at_s >= CHECK_EVERY_S:
            self._looked_at_s = now_s
            log = _identity(self._log_path)
            self._log = self._log or log
            for path, found, known in (
                (self._path, _identity(self._path), self._file),
                (self._log_path, log, self._log),
            ):
                if found != known:
                    raise FileNotFoundError(errno.ENOENT, "the file was removed or replaced", str(path))
            free = self._free_bytes(self._path.parent)
            self._shortage = None if free >= self._min_bytes else self._sentence(free)
        return self._shortage

    def shortage_for(self, more_bytes: int) -> str | None:
        """Why so many bytes may not be written beside the journal; None where there is room for them."""
        free = self._free_bytes(self._path.parent)
        if free - more_bytes >= self._min_bytes:
            return None
        needs = f"it takes another {-(-more_bytes // _MIB)} MiB, and " if more_bytes else ""
        left, kept = free // _MIB, self._min_bytes // _MIB
        return (
            f"{needs}its disk has {left} MiB left, of which {kept} MiB are kept for running sagas; "
            "make room first"
        )

    def _sentence(self, free: int) -> str:
        return (
            f"the journal's disk has {free // _MIB} MiB left, less than the {self._min_bytes // _MIB} MiB "
            "that are kept for running sagas; no new saga is started until there is room"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def free_bytes(folder: Path) -> int:
    """What an unprivileged process may still write to the file system of *folder*."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
