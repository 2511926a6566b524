"""What of a saga's history may leave in a file that people keep: what came of it can be found out again, and
nothing that its definition calls sensitive is in it."""

from collections.abc import Sequence
from dataclasses import replace

from coordinator.domain.events import (
    CancelRequested,
    Event,
    OperatorActed,
    OutputShaped,
    SagaStarted,
    StepBegun,
    StepFaulted,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoRefused,
)
from coordinator.domain.ids import RequestId
from coordinator.domain.inputs import input_fields
from coordinator.domain.saga import Saga
from coordinator.domain.shown.masking import Masking, of_its_kind


def exported(saga: Saga, history: Sequence[Event]) -> list[Event]:
    """The *history* of *saga*, with values of their kind in the place of those that may not be seen."""
    masking = Masking(saga, input_fields(saga.input), of_its_kind(saga.definition))
    return [_exported(event, masking) for event in history]


def _exported(event: Event, masking: Masking) -> Event:
    match event:
        case SagaStarted():
            request_id = RequestId(masking.words(event.request_id))
            return replace(event, input=masking.output(event.input), request_id=request_id, trace="")
        case StepBegun():
            return replace(event, input=None)  # it follows from the definition
        case UndoBegun():
            # The receipt is what its step answered, and stays that.
            return replace(event, input=None, receipt=_output(event.receipt, masking))
        case StepSucceeded() | OutputShaped():
            return replace(event, output=masking.output(event.output))
        case StepRefused() | UndoRefused() | StepFaulted() | UndoFaulted():
            return replace(event, code=masking.words(event.code), message=masking.words(event.message))
        case CancelRequested():
            return replace(event, reason=masking.words(event.reason))
        case OperatorActed():
            return replace(
                event,
                output=_output(event.output, masking),
                actor=masking.words(event.actor),
                reason=masking.words(event.reason),
            )
        case _:
            return event


def _output(text: str | None, masking: Masking) -> str | None:
    return None if text is None else masking.output(text)
