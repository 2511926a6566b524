"""The moments at which a crash makes a difference, counted as they come: each of them can be the last."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from coordinator.simulation.loop import Process


class Boundary(StrEnum):
    """Between two of them, nothing that outlives the process changes."""

    UNWRITTEN = "before it is written"
    UNSYNCED = "written and not synced"
    SYNCED = "synced and not acted upon"
    UNSENT = "before the call is sent"
    UNTAKEN = "answered, and the answer not taken"


class Unsynced(StrEnum):
    """What becomes of what was written and not synced when its process is killed."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"


@dataclass(frozen=True, slots=True)
class Kill:
    """The end of a process at a boundary. `statements`: how many were carried out of what is torn."""

    unsynced: Unsynced = Unsynced.LOST
    statements: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """A boundary that a process came to. `about` says in which write or call."""

    boundary: Boundary
    about: str
    statements: int = 0
    """How many it took to write what is synced: it can be torn before each but the first of them."""

    def __str__(self) -> str:
        return f"{self.about}: {self.boundary}"


class Boundaries:
    """Counts them from 1 on, over all processes of a world, and kills at those that are named."""

    def __init__(
        self, kills: Mapping[int, Kill], killed: Callable[[Process, Kill], None], *, keep: bool = False
    ) -> None:
        """*killed* ends a process; with *keep* all that are passed are remembered in `passed`."""
        self._kills = kills
        self._killed = killed
        self.keeps: Final = keep
        self.count = 0
        self.passed: list[Passed] = []

    def spare(self) -> None:
        """Kill at none of them any more."""
        self._kills = {}

    def reach(
        self, process: Process, boundary: Boundary, about: Callable[[], str], *, statements: int = 0
    ) -> None:
        """*process* comes to *boundary*; it may be dead after this."""
        self.count += 1
        if self.keeps:
            self.passed.append(Passed(boundary, about(), statements))
        if (kill := self._kills.get(self.count)) is not None:
            self._killed(process, kill)
