"""What an operator's action changes in a saga: verb by verb, for each situation it may meet.

The machine's rules for what comes of it are the same as for any other event. Nothing here looks at who
acts or at what they have seen: that is judged before an action becomes an event (actions.py).
"""

from typing import Final

from coordinator.domain.definition import StepKind
from coordinator.domain.errors import IllegalTransition, SagaEnded
from coordinator.domain.events import OperatorActed, Verb
from coordinator.domain.saga import (
    Abort,
    AbortKind,
    Heading,
    Saga,
    Status,
    StepOutcome,
    StepState,
    Undo,
    UndoOutcome,
)
from coordinator.domain.values import replace

FAILED_BY_HAND: Final = "FAILED_BY_HAND"


def acted(saga: Saga, event: OperatorActed) -> Saga:
    """*saga* after an operator's action, which it remembers.

    Raises:
        SagaEnded: nothing can be done to it any more.
        IllegalTransition: the verb cannot be done to it, or to that step, as it stands.
    """
    if saga.status.is_final:
        raise SagaEnded(f"saga {saga.id} is {saga.status}: nothing can be done to it any more")
    after = _changed(saga, event)
    return replace(after, actions=(*saga.actions, event))


def resumed(saga: Saga, at: float) -> Saga:
    """A call may have been under way for every step that is begun and unsettled: count it as lost.

    Raises:
        IllegalTransition: no automatic work is left.
    """
    if not saga.status.is_open:
        raise IllegalTransition(f"saga {saga.id} has ended: it is {saga.status}")

    def counted(step: StepState) -> StepState:
        if step.undo is not None and step.undo.outcome is None and not step.undo.unsendable:
            return replace(step, undo=replace(step.undo, lost=step.undo.lost + 1))
        if step.begun and step.outcome is None:
            waits = step.waits if _is_under_way(step, at) else step.waits + 1
            return replace(step, lost=step.lost + 1, waits=waits)
        return step

    return replace(saga, steps=tuple(map(counted, saga.steps)))


def refuse_past_pivot(saga: Saga) -> None:
    """Raise IllegalTransition if nothing turns *saga* back any more."""
    if saga.is_decided:
        raise IllegalTransition(
            f"saga {saga.id} is past its pivot: it goes on to its end and cannot be cancelled any more"
        )


def _changed(saga: Saga, event: OperatorActed) -> Saga:
    match event.verb:
        case Verb.TERMINATE:
            return replace(saga, termination=event)
        case Verb.CANCEL if saga.status is Status.RUNNING:
            refuse_past_pivot(saga)
            return replace(saga, abort=Abort(AbortKind.CANCELLED, event.at, message=event.reason))
        case Verb.CANCEL if saga.status is Status.COMPENSATING:
            return saga  # it is turning back already, which is what was wanted
        case Verb.CANCEL:
            raise IllegalTransition(f"saga {saga.id} is {saga.status}: there is nothing left to cancel")
        case Verb.RETRY if event.step is None:
            return resumed(saga, event.at)
        case _:
            step = _step(saga, event)
            if saga.heading is Heading.FORWARD:
                return _forward(saga, step, event)
            return saga.with_step(replace(step, undo=_undone(saga, step, event)), event.at)


def _step(saga: Saga, event: OperatorActed) -> StepState:
    for step in saga.steps:
        if step.name == event.step:
            return step
    there_are = ", ".join(step.name for step in saga.steps)
    raise IllegalTransition(f"saga {saga.id} has no step {event.step!r}; its steps are: {there_are}")


def _forward(saga: Saga, step: StepState, event: OperatorActed) -> Saga:
    if step.outcome is not StepOutcome.FAILED and not saga.has_reached(step):
        state = "is passed" if step.is_passed else "has not been reached"
        raise IllegalTransition(f"saga {saga.id} is {saga.status} and step {step.name!r} {state}")
    cut_off = _cut_off(step, event.at)
    match event.verb:
        case Verb.RETRY if step.outcome is StepOutcome.FAILED:
            return saga.with_step(_tried_again(step, event.at), event.at)
        case Verb.RETRY:
            if step.due_at is None or step.due_at <= event.at:
                raise IllegalTransition(
                    f"saga {saga.id}: step {step.name!r} is being asked, or will be as soon as there is room"
                )
            return saga.with_step(replace(step, due_at=None), event.at)
        case Verb.SKIP:
            return saga.with_step(replace(cut_off, outcome=StepOutcome.SKIPPED, due_at=None), event.at)
        case Verb.COMPLETE:
            # What a person vouches for has happened, whether or not a call of ours did it: so it is begun.
            done = replace(
                cut_off,
                begun=True,
                outcome=StepOutcome.SUCCEEDED,
                output=event.output,
                due_at=None,
                by_hand=True,
            )
            return saga.with_step(done, event.at)
        case _ if saga.is_decided and step.definition.kind is not StepKind.PIVOT:
            if step.outcome is StepOutcome.FAILED:
                raise IllegalTransition(f"saga {saga.id}: step {step.name!r} has failed already")
            return saga.with_step(replace(cut_off, outcome=StepOutcome.FAILED, due_at=None), event.at)
        case _:
            # Of the pivot that says: the decision did not come about.
            given_up = replace(cut_off, outcome=StepOutcome.GIVEN_UP, due_at=None)
            abort = Abort(AbortKind.GIVEN_UP, event.at, step.name, FAILED_BY_HAND, event.reason)
            return replace(saga.with_step(given_up, event.at), abort=abort)


def _tried_again(step: StepState, at: float) -> StepState:
    """With a new budget, and another key if the refusal is stored under this one: as `_begun_again`."""
    return replace(
        step,
        outcome=None,
        refused=False,
        unsendable="",
        round=step.round + 1 if step.refused else step.round,
        attempts_before=step.attempt - 1,
        failures=0,
        lost=0,
        budget_from=at,
    )


def _is_under_way(step: StepState, at: float) -> bool:
    """Whether an Execute may be under way: it is begun, and does not wait for its time."""
    return step.begun and (step.due_at is None or step.due_at <= at)


def _cut_off(step: StepState, at: float) -> StepState:
    """A call that may be under way has no say any more, and was made all the same. Nor is the number free of
    what waits: it was asked for under it if it is pending, and a person begins another attempt."""
    if step.outcome is not None:
        return step
    if _is_under_way(step, at):
        return replace(step, lost=step.lost + 1)
    if step.pendings:
        return replace(step, lost=step.lost + 1, waits=step.waits + 1)
    return step


def _undone(saga: Saga, step: StepState, event: OperatorActed) -> Undo:
    """The undo of *step* after the action."""
    undo = _touchable(saga, step, event)
    match event.verb, undo.outcome:
        case Verb.SKIP, _:
            return replace(undo, outcome=UndoOutcome.SKIPPED, due_at=None)
        case Verb.COMPLETE, _:
            return replace(undo, outcome=UndoOutcome.COMPENSATED, due_at=None, by_hand=True)
        case Verb.RETRY, UndoOutcome.FAILED:
            return _begun_again(undo, event.at)
        case Verb.RETRY, _ if undo.due_at is not None and undo.due_at > event.at:
            return replace(undo, due_at=None)
        case Verb.RETRY, _:
            raise IllegalTransition(
                f"saga {saga.id}: the undo of step {step.name!r} is being asked for, or will be as soon as "
                "there is room"
            )
        case _, UndoOutcome.FAILED:
            raise IllegalTransition(f"saga {saga.id}: the undo of step {step.name!r} has failed already")
        case _ if step.undo is None or step.undo.unsendable:
            raise IllegalTransition(f"saga {saga.id}: the undo of step {step.name!r} has not begun")
        case _:
            # As in `_cut_off`: no number is used twice.
            under_way = undo.due_at is None or undo.due_at <= event.at
            failures = undo.failures + 1 if under_way or undo.pendings else undo.failures
            return replace(undo, outcome=UndoOutcome.FAILED, failures=failures, due_at=None)


def _begun_again(undo: Undo, at: float) -> Undo:
    """With a new budget. A refusal may be stored under its key, so only another key can be answered anew;
    after anything else the effect may exist, and only the same key finds that out."""
    return replace(
        undo,
        outcome=None,
        refused=False,
        round=undo.round + 1 if undo.refused else undo.round,
        attempts_before=undo.attempt - 1,
        failures=0,
        lost=0,
        budget_from=at,
    )


def _touchable(saga: Saga, step: StepState, event: OperatorActed) -> Undo:
    """The undo of *step*, if something can be done about it now; one that is about to begin is new."""
    if not step.needs_undo:
        raise IllegalTransition(f"saga {saga.id} is {saga.status}: step {step.name!r} needs no undo")
    if step.undo is None:
        if not saga.may_undo(step):
            raise IllegalTransition(
                f"saga {saga.id}: the undo of step {step.name!r} waits for that of a later step"
            )
        return Undo(step.output, budget_from=event.at)
    if step.undo.outcome in (UndoOutcome.COMPENSATED, UndoOutcome.SKIPPED):
        raise IllegalTransition(f"saga {saga.id}: the undo of step {step.name!r} is settled")
    return step.undo
