"""What a process has used so far, as the kernel counts it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
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
    folder = Path("/proc") / str(pid)
    # The command's name stands in parentheses, and may hold anything.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    written = _WRITTEN.search((folder / "io").read_text())
    assert written is not None
    return Reading((user + system) / _TICKS_PER_S, int(written[1]))


def peak_memory_bytes(pid: int) -> int:
    """The most memory that the process has held at once."""
    peak = _PEAK.search((Path("/proc") / str(pid) / "status").read_text())
    assert peak is not None
    return int(peak[1]) * 1024
