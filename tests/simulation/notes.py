"""What is noted of a run while it goes: all that it is judged by, and told by."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from coordinator.engine.sagas import SagaView
from coordinator.simulation.loop import SimulatedLoop
from tests.checker.evidence import ClientCall, OperatorCall, SagaRead
from tests.simulation.services import Row, Send


@dataclass
class Happened:
    """What is noted of a run while it goes."""

    rows: list[Row] = field(default_factory=list)
    calls: list[ClientCall] = field(default_factory=list)
    actions: list[OperatorCall] = field(default_factory=list)
    reads: list[SagaRead] = field(default_factory=list)
    views: dict[str, SagaView] = field(default_factory=dict)
    """The last one of each saga."""
    sends: list[Send] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    downtimes_ns: list[tuple[int, int]] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    """What was done to the world, by kind."""
    answers: Counter[str] = field(default_factory=Counter)
    """What clients and operators were refused with, by reason."""
    damaged: dict[str, bool] = field(default_factory=dict)
    """The sagas whose records are damaged, and whether a coordinator had to take them up since."""
    dead_letters: frozenset[str] | None = None
    wrong: list[str] = field(default_factory=list)
    """What must not be, as it was seen."""
    trace: list[str] = field(default_factory=list)
    ends: list[tuple[float, str, str]] = field(default_factory=list)
    """When which coordinator ended, and how."""
    boots: list[tuple[float, str]] = field(default_factory=list)
    stopped_at_s: dict[str, float] = field(default_factory=dict)
    """When which coordinator was told to stop."""
    killed_at_s: dict[int, float] = field(default_factory=dict)
    """When it was killed at which boundary."""
    at_rest: bool = False
    simulated_s: float = 0.0
    steps: int = 0
    boundaries: int = 0

    @property
    def fingerprint(self) -> str:
        """The same for runs that went alike."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


class Notes:
    """Writes it down, with the time."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.happened = Happened()
        loop.hear = self._fault

    def line(self, line: str) -> None:
        """One more line of the trace."""
        self.happened.trace.append(f"{self._loop.time():.6f} {line}")

    def wrong(self, sentence: str) -> None:
        """Something that must not be has been seen."""
        self.line(f"WRONG {sentence}")
        self.happened.wrong.append(sentence)

    def _fault(self, fault: BaseException) -> None:
        """Nobody has caught it."""
        self.wrong(f"unhandled: {type(fault).__name__}: {fault}")


def ns(moment_s: float) -> int:
    """In nanoseconds, as evidence is."""
    return round(moment_s * 1e9)
