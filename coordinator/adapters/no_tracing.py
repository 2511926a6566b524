"""Keeps the port `Tracing` where nobody follows sagas: it costs nothing, and loads nothing."""

from coordinator.domain.events import Event
from coordinator.domain.saga import Saga
from coordinator.domain.summary import SagaSummary
from coordinator.ports.participants import Call


class NoTracing:
    """Nobody is told."""

    def begin(self) -> str:
        return ""

    def unrecorded(self, trace: str) -> str:
        return ""

    def started(self, saga: Saga) -> None:
        """Nobody is told."""

    def concerns(self, trace: str) -> None:
        """Nobody is told."""

    def attempt(self, saga: Saga, call: Call) -> None:
        """Nobody is told."""

    def happened(self, saga: Saga, event: Event) -> None:
        """Nobody is told."""

    def rested(self, summary: SagaSummary) -> None:
        """Nobody is told."""
