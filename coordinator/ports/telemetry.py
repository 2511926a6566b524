"""What the engine tells whoever counts. No name of a saga, request or payload passes through here.

Called on the event loop: each verb returns at once and never raises.
"""

from typing import Protocol

from coordinator.domain.events import Verb
from coordinator.domain.outcomes import Answer, Direction
from coordinator.domain.saga import Status


class Telemetry(Protocol):
    """Counts what happens. Labels are bounded by what is configured: definitions and services."""

    def saga_started(self, saga_name: str) -> None:
        """A saga is durable. One that joins another is not counted."""
        ...

    def saga_rested(self, saga_name: str, status: Status, duration_s: float) -> None:
        """No automatic work is left, *duration_s* after the start. A dead letter that an operator revives
        rests once more."""
        ...

    def attempt_ended(self, service: str, direction: Direction, answer: Answer, duration_s: float) -> None:
        """A participant answered, or did not in time."""
        ...

    def operator_acted(self, verb: Verb) -> None:
        """An operator's action is durable."""
        ...
