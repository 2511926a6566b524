"""An undo plan as people may see it: of what the undos are given only what is asked for and may be shown."""

from typing import Final

from coordinator.domain import jsontext
from coordinator.domain.ids import IdempotencyKey, StepName
from coordinator.domain.inputs import input_fields
from coordinator.domain.language.expressions import Evaluate
from coordinator.domain.saga import Saga
from coordinator.domain.shown.masking import Masking
from coordinator.domain.shown.undo_plan import PlannedUndo, Stays, undo_plan
from coordinator.domain.values import frozen

SHOWN_BYTES_MAX: Final = 1 << 20
"""Of all names, inputs and receipts together: each of a thousand undos may be given a megabyte."""


@frozen
class Given:
    """What an undo is given. The texts are JSON, and None where they are not asked for."""

    fields: tuple[str, ...] = ()
    input: str | None = None
    receipt: str | None = None
    """None also where no answer of the Execute is known."""


@frozen
class ShownUndo:
    """A `PlannedUndo` without its data."""

    step: StepName
    service: str
    compensation: str | None
    key: IdempotencyKey
    after: tuple[StepName, ...]
    receipt_known: bool
    given: Given


@frozen
class ShownPlan:
    """As `UndoPlan`. *shortened*: of some undos it is not told what they are given, for it is too much."""

    undos: tuple[ShownUndo, ...]
    stays: tuple[tuple[StepName, Stays], ...]
    shortened: bool


def shown_plan(saga: Saga, evaluate: Evaluate, *, with_inputs: bool) -> ShownPlan:
    """What would be undone if *saga* turned back now; with what inputs, if that is asked for."""
    plan = undo_plan(saga, evaluate)
    masking = Masking(saga, input_fields(saga.input))
    shown, bytes_left = list[ShownUndo](), SHOWN_BYTES_MAX
    for undo in plan.undos:
        given = Given()
        if bytes_left >= 0:
            given = _given(undo, masking, with_inputs=with_inputs)
            bytes_left -= _bytes(given)
        # What does not fit is not shown, nor is anything behind it: it is not even made.
        shown.append(_shown(undo, given if bytes_left >= 0 else Given()))
    return ShownPlan(tuple(shown), plan.stays, shortened=bytes_left < 0)


def _given(undo: PlannedUndo, masking: Masking, *, with_inputs: bool) -> Given:
    step = undo.saga.step(undo.step)
    fields = masking.undo_fields(step)
    if not with_inputs:
        return Given(fields)
    receipt = None if undo.receipt is None else masking.output(undo.receipt)
    return Given(fields, masking.undo_input(step, undo.input), receipt)


def _bytes(given: Given) -> int:
    texts = (*given.fields, given.input or "", given.receipt or "")
    return sum(jsontext.size_bytes(text) for text in texts)


def _shown(undo: PlannedUndo, given: Given) -> ShownUndo:
    return ShownUndo(
        undo.step,
        undo.service,
        undo.compensation,
        undo.key,
        undo.after,
        undo.receipt is not None,
        given,
    )
