"""The low-water mark of the disk: below it nothing new is begun, so that what runs can end."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coordinator.adapters.clock import stopwatch_s

CHECK_EVERY_S: Final = 1.0
_MIB: Final = 1 << 20


class DiskGauge:
    """Looks at most once a second."""

    def __init__(self, path: Path, min_bytes: int, free_bytes: Callable[[Path], int]) -> None:
        self._path = path
        self._min_bytes = min_bytes
        self._free_bytes = free_bytes
        self._looked_at_s = float("-inf")
        self._shortage: str | None = None

    def shortage(self) -> str | None:
        """Why nothing new may be begun now; None where there is room."""
        now_s = stopwatch_s()
        if now_s - self._looked_at_s >= CHECK_EVERY_S:
            self._looked_at_s = now_s
            free = self._free_bytes(self._path.parent)
            self._shortage = None if free >= self._min_bytes else self._sentence(free)
        return self._shortage

    def _sentence(self, free: int) -> str:
        return (
            f"the journal's disk has {free // _MIB} MiB left, less than the {self._min_bytes // _MIB} MiB "
            "that are kept for running sagas; no new saga is started until there is room"
        )


def free_bytes(folder: Path) -> int:
    """What an unprivileged process may still write to the file system of *folder*."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
