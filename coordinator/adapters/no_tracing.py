"""Keeps the port `Tracing` where nobody follows sagas: it costs nothing, and loads nothing."""

from typing import Final

from coordinator.domain.events import Event
from coordinator.domain.ids import SagaId
from coordinator.domain.outcomes import Answer
from coordinator.domain.saga import Saga
from coordinator.domain.summary import SagaSummary
from coordinator.ports.participants import Call


class NoTracing:
    """Nobody is told."""

    def begin(self) -> str:
        return ""

    def unfollowed(self, saga_id: SagaId) -> str:
        return ""

    def started(self, saga: Saga) -> None:
        """Nobody is told."""

    def concerns(self, trace: str) -> None:
        """Nobody is told."""

    def attempt(self, saga: Saga, call: Call) -> "NoAttempt":
        return _NOWHERE

    def happened(self, saga: Saga, event: Event) -> None:
        """Nobody is told."""

    def rested(self, summary: SagaSummary) -> None:
        """Nobody is told."""


class NoAttempt:
    """A call that is part of no trace, or of one that is not recorded."""

    __slots__ = ("trace",)

    def __init__(self, trace: str | None) -> None:
        """*trace* is that which the participant goes on with; None: that of the saga."""
        self.trace = trace

    def answered(self, answer: Answer) -> None:
        """Nobody is told."""

    def settled(self, event: Event, saga: Saga) -> None:
        """Nobody is told."""

    def abandoned(self) -> None:
        """Nobody is told."""


_NOWHERE: Final = NoAttempt("")
