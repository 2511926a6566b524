"""What to do next, imperative. A command is a value named by its key."""

from dataclasses import dataclass

from coordinator.domain.ids import IdempotencyKey, StepName


@dataclass(frozen=True, slots=True)
class Invoke:
    """Send the step's Execute, not before `due_at` (None: now)."""

    step: StepName
    key: IdempotencyKey
    due_at: float | None


@dataclass(frozen=True, slots=True)
class Compensate:
    """Send the step's Compensate, not before `due_at` (None: now)."""

    step: StepName
    key: IdempotencyKey
    due_at: float | None


Command = Invoke | Compensate
