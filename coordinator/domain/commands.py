"""What to do next, imperative. A command is a value named by its key."""

from coordinator.domain.ids import IdempotencyKey, StepName
from coordinator.domain.values import frozen


@frozen
class Invoke:
    """Send the step's Execute, not before `due_at` (None: now)."""

    step: StepName
    place: int
    """The step's, among the steps of the definition."""
    key: IdempotencyKey
    due_at: float | None


@frozen
class Compensate:
    """Send the step's Compensate, not before `due_at` (None: now)."""

    step: StepName
    place: int
    """As in `Invoke`."""
    key: IdempotencyKey
    due_at: float | None


Command = Invoke | Compensate
