"""What is measured. A cell is one way of running orders; with what it came to, it is a row of the table."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STEPS: Final = 4


class Caller(StrEnum):
    """Who places the orders."""

    OURS = "ours"
    """`coordinator.client.Client`."""
    STOCK = "stock"
    """Plain grpc.aio with the generated stub, a unary call for each order."""


class Served(StrEnum):
    """Who performs the steps."""

    BATCHED = "batched"
    """No-ops that offer the stream Perform besides the unary calls."""
    UNARY = "unary"
    """No-ops that offer unary calls alone."""
    BARRIER = "barrier"
    """Our base class, with a row and the barrier's rows committed for each call."""


class Ending(StrEnum):
    """What becomes of the orders."""

    SUCCESS = "success"
    UNDONE = "undone"
    """The last step refuses, and the steps before it are undone."""


class Telemetry(StrEnum):
    """How many sagas are traced to a collector."""

    OFF = "off"
    SAMPLED = "sampled"
    """One in a hundred."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Cell:
    """One way of running orders."""

    caller: Caller = Caller.OURS
    served: Served = Served.BATCHED
    ending: Ending = Ending.SUCCESS
    concurrency: int = 64
    steps: int = STEPS
    payload_bytes: int = 0
    telemetry: Telemetry = Telemetry.OFF
    open_sagas: int = 0
    """Others that wait in the same coordinator."""
    ended_sagas: int = 0
    """Others that have ended, in the same journal."""

    @property
    def words(self) -> tuple[str, ...]:
        """What it is called, and found by."""
        words = [self.caller, self.served, self.ending, str(self.concurrency)]
        if self.steps != STEPS:
            words.append(f"steps={self.steps}")
        if self.payload_bytes:
            words.append(f"payload={self.payload_bytes // 1024}KB")
        if self.telemetry is not Telemetry.OFF:
            words.append(f"telemetry={self.telemetry}")
        if self.open_sagas:
            words.append(f"open={self.open_sagas}")
        if self.ended_sagas:
            words.append(f"ended={self.ended_sagas}")
        return tuple(words)

    @property
    def name(self) -> str:
        return " ".join(self.words)
