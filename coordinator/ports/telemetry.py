"""What the engine tells whoever counts. No name of a saga, request or payload passes through here.

A *trace* (a `traceparent` of W3C Trace Context, "" where nobody follows the saga) names an example of what is
counted, and is never a label. Called on the event loop: each verb returns at once and never raises.
"""

from typing import Protocol

from coordinator.domain.events import Verb
from coordinator.domain.outcomes import Answer, Direction
from coordinator.domain.saga import Status


class Telemetry(Protocol):
    """Counts what happens. Labels are bounded, whatever is registered and whoever is called."""

    def definition_registered(self, saga_name: str) -> None:
        """Sagas of that name can be started from now on; told again, it changes nothing."""
        ...

    def saga_started(self, saga_name: str) -> None:
        """A saga is durable. One that joins another is not counted."""
        ...

    def start_refused(self, reason: str) -> None:
        """A start was not taken, by the limits (`OVERLOADED`) or by a stop (`DRAINING`). It was in order, or
        nobody looked."""
        ...

    def saga_rested(self, saga_name: str, status: Status, duration_s: float, trace: str) -> None:
        """No automatic work is left, *duration_s* after the start. A dead letter that an operator revives
        rests once more."""
        ...

    def attempt_ended(
        self, service: str, direction: Direction, answer: Answer, duration_s: float, trace: str
    ) -> None:
        """A participant answered, or did not in time."""
        ...

    def backed_off(self, service: str, direction: Direction, wait_s: float) -> None:
        """An attempt failed, and the next one comes *wait_s* later."""
        ...

    def operator_acted(self, verb: Verb) -> None:
        """An operator's action is durable."""
        ...
