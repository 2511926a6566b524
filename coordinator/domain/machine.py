"""The saga state machine: pure, synchronous, total.

Every rule about what a saga may do next is in this file. It reads no clock, no socket, no row:
the engine hands it one event, makes that event durable, and only then acts on the commands.
"""

from collections.abc import Iterable
from functools import lru_cache, reduce
from typing import assert_never

from coordinator.domain.by_hand import acted, refuse_past_pivot, resumed
from coordinator.domain.commands import Command, Compensate, Invoke
from coordinator.domain.definition import SagaDefinition, StepKind
from coordinator.domain.errors import IllegalTransition, SagaEnded
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    PivotBegun,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepOmitted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoPending,
    UndoRefused,
)
from coordinator.domain.ids import StepName, compensate_key, execute_key
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
from coordinator.domain.values import copied, frozen, remembered, replace

_CONTRADICTIONS = frozenset({Cause.BROKEN_CONTRACT, Cause.KEY_REUSED, Cause.BARRED})

ForwardAnswer = StepSucceeded | StepRefused | StepPending | StepFaulted
UndoAnswer = StepCompensated | UndoRefused | UndoPending | UndoFaulted
_RareEvent = (
    SagaStarted
    | SagaResumed
    | CancelRequested
    | DeadlinePassed
    | StepOmitted
    | ExpressionFailed
    | OutputShaped
    | OperatorActed
)
"""What does not happen to every saga at every step."""


@frozen
class Decision:
    """A saga as it stands, and the work now outstanding, which is told only when it is asked for: a replay
    never asks."""

    saga: Saga

    @remembered
    def commands(self) -> tuple[Command, ...]:
        return outstanding(self.saga)


def start(definition: SagaDefinition, started: SagaStarted) -> Decision:
    """A saga is born."""
    saga = Saga(
        id=started.saga_id,
        definition=definition,
        input=started.input,
        front_door=started.front_door,
        request_id=started.request_id,
        started_at=started.at,
        updated_at=started.at,
        deadline_at=started.deadline_at,
        steps=_unbegun(definition),
        trace=started.trace,
    )
    return Decision(copied(saga))


@lru_cache(maxsize=256)
def _unbegun(definition: SagaDefinition) -> tuple[StepState, ...]:
    """The steps of a new saga: the same objects for all of them."""
    steps = enumerate(definition.steps)
    return tuple(copied(StepState(step, step.name, place)) for place, step in steps)


def decide(saga: Saga, event: Event) -> Decision:
    """Fold *event* into *saga* and name the work now outstanding.

    Raises:
        IllegalTransition: *event* cannot happen to *saga* as it stands.
    """
    return Decision(evolve(saga, event))


def resume(definition: SagaDefinition, history: Iterable[Event]) -> Decision:
    """Rebuild a saga from its journal. Recovery is no special path: it is `decide`, replayed."""
    events = iter(history)
    born = next(events, None)
    if not isinstance(born, SagaStarted):
        raise IllegalTransition(f"a history begins with SagaStarted, not with {type(born).__name__}")
    return Decision(reduce(evolve, events, start(definition, born).saga))


def outstanding(saga: Saga) -> tuple[Command, ...]:
    """What is to be done next, by what the saga has come to."""
    if saga.termination is not None:
        return ()
    if saga.abort is None:
        return tuple(
            [
                Invoke(step.name, step.place, execute_key(saga.id, step.name, step.round), step.due_at)
                for step in saga.at_work
            ]
        )
    return tuple([_compensate(saga, step) for step in saga.undoable])


def _compensate(saga: Saga, step: StepState) -> Compensate:
    round_number, due_at = (1, None) if step.undo is None else (step.undo.round, step.undo.due_at)
    return Compensate(step.name, step.place, compensate_key(saga.id, step.name, round_number), due_at)


def begin(at: float, step: StepState, step_input: str | None = None) -> StepBegun:
    """The event that *step* begins."""
    kind = PivotBegun if step.definition.kind is StepKind.PIVOT else StepBegun
    return kind(at, step.name, step_input)


def evolve(saga: Saga, event: Event) -> Saga:
    """Fold *event* into *saga*.

    Raises:
        IllegalTransition: *event* cannot happen to *saga* as it stands.
    """
    # The most frequent first: every event of every saga passes here.
    match event:
        case StepBegun():
            return _begun(saga, event)
        case StepSucceeded() | StepRefused() | StepPending() | StepFaulted():
            return _answered(saga, event)
        case UndoBegun():
            return _undo_begun(saga, event)
        case StepCompensated() | UndoRefused() | UndoPending() | UndoFaulted():
            return _undo_answered(saga, event)
        case _:
            return replace(_happened(saga, event), updated_at=event.at)


def _happened(saga: Saga, event: _RareEvent) -> Saga:
    match event:
        case SagaStarted():
            raise IllegalTransition(f"saga {saga.id} is started already")
        case SagaResumed(at=at):
            return resumed(saga, at)
        case CancelRequested(reason=reason):
            if saga.status is not Status.RUNNING:
                raise SagaEnded(f"saga {saga.id} is {saga.status} and cannot be cancelled any more")
            refuse_past_pivot(saga)
            return replace(saga, abort=Abort(AbortKind.CANCELLED, event.at, message=reason))
        case DeadlinePassed():
            return _out_of_time(saga, event)
        case StepOmitted(step=name):
            step = _may_begin(saga, name)
            if step.definition.when is None:
                raise IllegalTransition(f"saga {saga.id}: {name!r} has no condition and cannot be omitted")
            return saga.with_step(replace(step, outcome=StepOutcome.OMITTED), event.at)
        case OutputShaped(output=output):
            if not saga.awaits_output:
                raise IllegalTransition(f"saga {saga.id} is {saga.status}: its output is not to be made now")
            return replace(saga, is_shaped=True, output=output)
        case ExpressionFailed():
            return _expression_failed(saga, event)
        case OperatorActed():
            return acted(saga, event)
        case _:
            assert_never(event)


def _out_of_time(saga: Saga, event: DeadlinePassed) -> Saga:
    if saga.status is not Status.RUNNING or saga.is_overdue:
        raise IllegalTransition(f"saga {saga.id} is {saga.status}: its deadline is no concern")
    if not saga.is_late(event.at):
        raise IllegalTransition(f"saga {saga.id}: its deadline has not come at {event.at}")
    if saga.is_decided:
        return replace(saga, is_overdue=True)
    return replace(saga, abort=Abort(AbortKind.DEADLINE, event.at))


def _begun(saga: Saga, event: StepBegun) -> Saga:
    step = _may_begin(saga, event.step)
    if saga.is_late(event.at) and not saga.is_decided:
        raise IllegalTransition(f"saga {saga.id}: {event.step!r} cannot begin after the deadline")
    if isinstance(event, PivotBegun) is not (step.definition.kind is StepKind.PIVOT):
        raise IllegalTransition(f"saga {saga.id}: {event.step!r} is {step.definition.kind}")
    return saga.with_step(replace(step, begun=True, input=event.input, budget_from=event.at), event.at)


def _may_begin(saga: Saga, name: StepName) -> StepState:
    """The step of that name, if nothing that has happened keeps it from beginning.

    How many begin at a time is a matter of `outstanding`: a record is legal in every release, whatever limit
    each of them has where the definition names none.
    """
    place = saga.definition.positions.get(name)
    if place is not None:
        step = saga.steps[place]
        if saga.has_reached(step) and not step.begun:
            return step
    raise IllegalTransition(f"saga {saga.id} is {saga.status}: {name!r} cannot begin now")


def _expression_failed(saga: Saga, event: ExpressionFailed) -> Saga:
    """Before the pivot the saga turns back; past it, and in an undo, the step needs a person. An output that
    cannot be made when nothing can be undone any more leaves the saga without one, and flagged."""
    if saga.heading is Heading.BACKWARD:
        return _undo_unsendable(saga, event)
    abort = Abort(AbortKind.EXPRESSION, event.at, event.step, event.place, event.message)
    if event.step is None:
        if not saga.awaits_output:
            raise IllegalTransition(f"saga {saga.id} is {saga.status}: its output is not to be made now")
        if saga.is_decided:
            return replace(saga, is_shaped=True, flags=(*saga.flags, _told(event)))
        return replace(saga, abort=abort)
    step = _may_begin(saga, event.step)
    if saga.is_decided:
        return saga.with_step(replace(step, outcome=StepOutcome.FAILED, unsendable=_told(event)), event.at)
    return replace(saga, abort=abort)


def _undo_unsendable(saga: Saga, event: ExpressionFailed) -> Saga:
    step = _undo_may_begin(saga, event.step)
    failed = Undo(step.output, event.at, outcome=UndoOutcome.FAILED, unsendable=_told(event))
    return saga.with_step(replace(step, undo=failed), event.at)


def _told(event: ExpressionFailed) -> str:
    return f"{event.place}: {event.message}"


def _undo_may_begin(saga: Saga, name: StepName | None) -> StepState:
    """The step of that name, if its undo is to be asked for and is not begun."""
    place = None if name is None else saga.definition.positions.get(name)
    if place is not None:
        step = saga.steps[place]
        if saga.may_undo(step) and (step.undo is None or step.undo.unsendable):
            return step
    raise IllegalTransition(f"saga {saga.id} is {saga.status}: no undo of {name!r} begins now")


def _answered(saga: Saga, event: ForwardAnswer) -> Saga:
    """An answer to an Execute: it drives a saga going forward, and is only folded in once it turned back."""
    step = _known(saga, event)
    if saga.termination is not None or not step.begun or step.outcome is not None:
        raise IllegalTransition(f"saga {saga.id}: {event.step!r} has no Execute to answer")
    forward = saga.abort is None
    if forward and saga.is_late(event.at) and not saga.is_decided:
        raise IllegalTransition(f"saga {saga.id}: an answer after the deadline proves nothing")
    match event:
        case StepSucceeded(output=output):
            changed = replace(step, outcome=StepOutcome.SUCCEEDED, output=output, due_at=None)
            return saga.with_step(changed, event.at)
        case StepRefused() if saga.is_decided and step.definition.kind is not StepKind.PIVOT:
            failed = replace(step, failures=step.failures + 1, outcome=StepOutcome.FAILED, refused=True)
            return saga.with_step(replace(failed, due_at=None), event.at)
        case StepRefused(code=code, message=message):
            after = saga.with_step(replace(step, outcome=StepOutcome.REFUSED, due_at=None), event.at)
            return _turned_back(after, Abort(AbortKind.REFUSED, event.at, step.name, code, message))
        case StepPending(at=at, ask_at=ask_at):
            # Waiting for a participant that has taken the work on spends no budget; asking it does.
            spent_from = step.budget_from + ask_at - at
            waiting = replace(step, pendings=step.pendings + 1, due_at=ask_at, budget_from=spent_from)
            return saga.with_step(waiting, event.at)
        case StepFaulted(retry_at=retry_at, code=code, message=message):
            outcome = None
            if forward and retry_at is None:
                outcome = StepOutcome.FAILED if saga.is_decided else StepOutcome.GIVEN_UP
            changed = replace(step, failures=step.failures + 1, due_at=retry_at, outcome=outcome)
            after = _flagged(saga.with_step(changed, event.at), event)
            if outcome is not StepOutcome.GIVEN_UP:
                return after
            return _turned_back(after, Abort(AbortKind.GIVEN_UP, event.at, step.name, code, message))
        case _:
            assert_never(event)


def _undo_begun(saga: Saga, event: UndoBegun) -> Saga:
    step = _undo_may_begin(saga, event.step)
    if event.receipt != step.output:
        raise IllegalTransition(f"saga {saga.id}: the receipt of {event.step!r} is not its output")
    # One that could not be sent has never begun: a new one takes its place.
    undo = copied(Undo(event.receipt, event.at, event.input))
    return saga.with_step(replace(step, undo=undo), event.at)


def _undo_answered(saga: Saga, event: UndoAnswer) -> Saga:
    step = _known(saga, event)
    undo = step.undo
    if saga.termination is not None or undo is None or undo.outcome is not None or undo.unsendable:
        raise IllegalTransition(f"saga {saga.id}: {event.step!r} has no Compensate to answer")
    match event:
        case StepCompensated():
            undo = replace(undo, outcome=UndoOutcome.COMPENSATED, due_at=None)
        case UndoRefused():
            failures = undo.failures + 1
            undo = replace(undo, failures=failures, refused=True, outcome=UndoOutcome.FAILED, due_at=None)
        case UndoPending(at=at, ask_at=ask_at):
            spent_from = undo.budget_from + ask_at - at  # as in the other direction
            undo = replace(undo, pendings=undo.pendings + 1, due_at=ask_at, budget_from=spent_from)
        case UndoFaulted(retry_at=retry_at):
            outcome = UndoOutcome.FAILED if retry_at is None else None
            undo = replace(undo, failures=undo.failures + 1, due_at=retry_at, outcome=outcome)
        case _:
            assert_never(event)
    after = saga.with_step(replace(step, undo=undo), event.at)
    return _flagged(after, event) if isinstance(event, UndoFaulted) else after


def _known(saga: Saga, event: ForwardAnswer | UndoAnswer) -> StepState:
    try:
        return saga.step(event.step)
    except KeyError:
        raise IllegalTransition(f"saga {saga.id} has no step {event.step!r}") from None


def _turned_back(saga: Saga, abort: Abort) -> Saga:
    return saga if saga.abort is not None else replace(saga, abort=abort)


def _flagged(saga: Saga, event: StepFaulted | UndoFaulted) -> Saga:
    flag = f"{event.step}: {event.cause}"
    if event.cause not in _CONTRADICTIONS or flag in saga.flags:
        return saga
    if event.cause is Cause.BARRED and isinstance(event, StepFaulted) and saga.heading is Heading.BACKWARD:
        return saga  # with the abort journaled, an Execute may well come after its Compensate
    return replace(saga, flags=(*saga.flags, flag))
