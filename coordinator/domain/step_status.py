"""Where one step of a saga stands, in one word: what became of its undo, or else of itself."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from coordinator.domain.saga import StepOutcome, StepState, UndoOutcome


class StepStatus(StrEnum):
    """As people and programs are told of it."""

    NOT_BEGUN = "NOT_BEGUN"
    BEGUN = "BEGUN"
    SUCCEEDED = "SUCCEEDED"
    REFUSED = "REFUSED"
    GIVEN_UP = "GIVEN_UP"
    SKIPPED = "SKIPPED"
    OMITTED = "OMITTED"
    FAILED = "FAILED"
    UNDOING = "UNDOING"
    COMPENSATED = "COMPENSATED"
    UNDO_FAILED = "UNDO_FAILED"
    UNDO_SKIPPED = "UNDO_SKIPPED"


_UNDOS: Final[Mapping[UndoOutcome | None, StepStatus]] = {
    None: StepStatus.UNDOING,
    UndoOutcome.COMPENSATED: StepStatus.COMPENSATED,
    UndoOutcome.FAILED: StepStatus.UNDO_FAILED,
    UndoOutcome.SKIPPED: StepStatus.UNDO_SKIPPED,
}
_OUTCOMES: Final[Mapping[StepOutcome, StepStatus]] = {
    outcome: StepStatus[outcome.name] for outcome in StepOutcome
}


def step_status(step: StepState) -> StepStatus:
    """The word for *step*."""
    if step.undo is not None:
        return _UNDOS[step.undo.outcome]
    if step.outcome is not None:
        return _OUTCOMES[step.outcome]
    return StepStatus.BEGUN if step.begun else StepStatus.NOT_BEGUN
