"""What to do next, imperative. A command is a value named by its key."""

from coordinator.domain.ids import IdempotencyKey, StepName
from coordinator.domain.values import frozen


@frozen
class Invoke:
    """Send the step's Execute, not before `due_at` (None: now)."""

    step: StepName
    key: IdempotencyKey
    due_at: float | None


@frozen
class Compensate:
    """Send the step's Compensate, not before `due_at` (None: now)."""

    step: StepName
    key: IdempotencyKey
    due_at: float | None


Command = Invoke | Compensate
