"""What would be undone if a saga turned back now, in lines for people.

Pure: a saga as `get` shows it in, lines out.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from coordinator.cli.text import one_line
from coordinator.client.model import (
    PlannedUndo,
    Saga,
    SagaStatus,
    Standing,
    StandingReason,
    StepKind,
    StepStatus,
    UndoPlan,
)

_WHY: Final = {
    StandingReason.NO_COMPENSATION: "nothing undoes it",
    StandingReason.UNDO_FAILED: "its undo failed for good",
    StandingReason.BLOCKED: "its undo waits behind one that failed",
    StandingReason.BY_HAND: "left in place by hand",
    StandingReason.EXPRESSION: "the input of its undo cannot be made",
}
FIELDS_SHOWN_MAX: Final = 8
_UNSETTLED: Final = frozenset({StepStatus.BEGUN, StepStatus.FAILED})


def undo_lines(saga: Saga, *, with_inputs: bool = False) -> Iterator[str]:
    """The undo plan of *saga*: one line where nothing can be undone, and none where it has no plan."""
    plan = saga.undo_plan
    if plan is None:
        return
    stays = _stays(plan.stays)
    if not plan.undos:
        yield "; ".join(part for part in (one_line(_why_nothing(saga, plan)), stays) if part)
        return
    is_under_way = saga.status is SagaStatus.COMPENSATING
    yield "what is still to be undone" if is_under_way else "if it turned back now"
    before: PlannedUndo | None = None
    for number, undo in enumerate(plan.undos, 1):
        line = f"{number}. {_call(undo, plan)}, undoing {undo.step}{_after(undo, before)}"
        yield "  " + one_line(line)
        if with_inputs:
            yield from _payloads(undo)
        before = undo
    if stays:
        yield f"  {stays}"
    if plan.shortened and with_inputs:
        yield "  what is not shown here is too much to be shown at once"


def _call(undo: PlannedUndo, plan: UndoPlan) -> str:
    if undo.compensation is None:
        return f"{undo.service}.(bars a late call)"
    fields = list(undo.input_fields[:FIELDS_SHOWN_MAX])
    if len(undo.input_fields) > FIELDS_SHOWN_MAX or (plan.shortened and not fields):
        fields.append("…")
    return f"{undo.service}.{undo.compensation}({', '.join(fields)})"


def _after(undo: PlannedUndo, before: PlannedUndo | None) -> str:
    """What it waits for, where that is not just the one before it in the list."""
    if before is None or undo.after == (before.step,):
        return ""
    return f", after {', '.join(undo.after)}" if undo.after else ", at once"


def _payloads(undo: PlannedUndo) -> Iterator[str]:
    if undo.input_json:
        yield f"     input    {one_line(undo.input_json)}"
    if undo.receipt_json:
        yield f"     receipt  {one_line(undo.receipt_json)}"
    elif not undo.receipt_known:
        yield "     receipt  none: no answer of the step is known"


def _why_nothing(saga: Saga, plan: UndoPlan) -> str:
    match saga.status:
        case SagaStatus.COMPLETED:
            return "nothing can be undone any more: the saga has completed"
        case SagaStatus.COMPENSATED:
            return "nothing is left to be undone"
        case SagaStatus.TERMINATED:
            return "nothing is undone any more: the saga was ended by hand"
    if any(standing.reason is StandingReason.PAST_PIVOT for standing in plan.stays):
        return f"nothing is undone past the pivot{_unless(saga)}"
    if saga.status is SagaStatus.RUNNING:
        return "if it turned back now, nothing would have to be undone"
    return "nothing more is undone until a person acts"


def _unless(saga: Saga) -> str:
    """A pivot that is in doubt may still not come about."""
    doubtful = [s.name for s in saga.steps if s.kind is StepKind.PIVOT and s.status in _UNSETTLED]
    return f", unless {doubtful[0]} does not come about" if doubtful else ""


def _stays(stays: Sequence[Standing]) -> str:
    """What would be left, by why; but for what goes without saying, since nothing is undone at all."""
    told = [standing for standing in stays if standing.reason is not StandingReason.PAST_PIVOT]
    reasons = dict.fromkeys(standing.reason for standing in told)
    groups = (
        f"{', '.join(s.step for s in told if s.reason is reason)} ({_WHY.get(reason, 'unknown')})"
        for reason in reasons
    )
    text = "; ".join(groups)
    return one_line(f"stays: {text}") if text else ""
