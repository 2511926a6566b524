"""What a process has used so far, as the kernel counts it."""

import ctypes
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_LIBC: Final = ctypes.CDLL(None)
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_WRITTEN: Final = re.compile(r"^write_bytes: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """Of one process, since its start."""

    cpu_s: float
    written_bytes: int
    """What went towards a disk, whole pages."""

    def __sub__(self, earlier: Self) -> "Reading":
        return Reading(self.cpu_s - earlier.cpu_s, self.written_bytes - earlier.written_bytes)


def read(pid: int) -> Reading:
    """Raises FileNotFoundError where there is no such process."""
    written = _WRITTEN.search((Path("/proc") / str(pid) / "io").read_text())
    assert written is not None
    return Reading(cpu_s(pid), int(written[1]))


def cpu_s(pid: int) -> float:
    """The CPU of all its threads, also of those that have ended, by its own clock: /proc tells hundredths of
    a second."""
    clock = ctypes.c_int()
    if (error := _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))) != 0:
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def peak_memory_bytes(pid: int) -> int:
    """The most memory that the process has held at once."""
    peak = _PEAK.search((Path("/proc") / str(pid) / "status").read_text())
    assert peak is not None
    return int(peak[1]) * 1024
