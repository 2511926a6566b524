"""Keeps the port `Telemetry` where nothing is counted."""

from coordinator.domain.events import Verb
from coordinator.domain.outcomes import Answer, Direction
from coordinator.domain.saga import Status


class NoTelemetry:
    """Costs nothing."""

    def definition_registered(self, saga_name: str) -> None:
        """Nobody is told."""

    def saga_started(self, saga_name: str) -> None:
        """Nobody is told."""

    def start_refused(self, reason: str) -> None:
        """Nobody is told."""

    def saga_rested(self, saga_name: str, status: Status, duration_s: float, trace: str) -> None:
        """Nobody is told."""

    def attempt_ended(
        self, service: str, direction: Direction, answer: Answer, duration_s: float, trace: str
    ) -> None:
        """Nobody is told."""

    def backed_off(self, service: str, direction: Direction, wait_s: float) -> None:
        """Nobody is told."""

    def operator_acted(self, verb: Verb) -> None:
        """Nobody is told."""
