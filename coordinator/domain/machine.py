"""The saga state machine: pure, synchronous, total.

Every rule about what a saga may do next is in this file. It reads no clock, no socket, no row:
the engine hands it one event, makes that event durable, and only then acts on the commands.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

from coordinator.domain.by_hand import acted, resumed
from coordinator.domain.commands import Command, Compensate, Invoke
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import IllegalTransition, SagaEnded
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    DeadlinePassed,
    Event,
    OperatorActed,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoPending,
    UndoRefused,
)
from coordinator.domain.ids import compensate_key, execute_key
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

_CONTRADICTIONS = frozenset({Cause.BROKEN_CONTRACT, Cause.KEY_REUSED, Cause.BARRED})

ForwardAnswer = StepSucceeded | StepRefused | StepPending | StepFaulted
UndoAnswer = StepCompensated | UndoRefused | UndoPending | UndoFaulted


@dataclass(frozen=True, slots=True)
class Decision:
    """A saga as it stands, and the work now outstanding."""

    saga: Saga
    commands: tuple[Command, ...]


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
        steps=tuple(StepState(step) for step in definition.steps),
        trace=started.trace,
    )
    return Decision(saga, outstanding(saga))


def decide(saga: Saga, event: Event) -> Decision:
    """Fold *event* into *saga* and name the work now outstanding.

    Raises:
        IllegalTransition: *event* cannot happen to *saga* as it stands.
    """
    after = evolve(saga, event)
    return Decision(after, outstanding(after))


def resume(definition: SagaDefinition, history: Iterable[Event]) -> Decision:
    """Rebuild a saga from its journal. Recovery is no special path: it is `decide`, replayed."""
    events = iter(history)
    born = next(events, None)
    if not isinstance(born, SagaStarted):
        raise IllegalTransition(f"a history begins with SagaStarted, not with {type(born).__name__}")
    now = reduce(evolve, events, start(definition, born).saga)
    return Decision(now, outstanding(now))


def outstanding(saga: Saga) -> tuple[Command, ...]:
    """What is to be done next, by what the saga has come to."""
    if saga.termination is not None:
        return ()
    if saga.heading is Heading.FORWARD:
        step = saga.current
        if step is None:
            return ()
        return (Invoke(step.name, execute_key(saga.id, step.name), step.due_at),)
    step = saga.undoing
    if step is None:
        return ()
    undo = step.undo or Undo(step.output, budget_from=saga.updated_at)
    return (Compensate(step.name, compensate_key(saga.id, step.name, undo.round), undo.due_at),)


def evolve(saga: Saga, event: Event) -> Saga:
    """Fold *event* into *saga*.

    Raises:
        IllegalTransition: *event* cannot happen to *saga* as it stands.
    """
    after = _folded(saga, event)
    return replace(after, updated_at=event.at)


def _folded(saga: Saga, event: Event) -> Saga:
    match event:
        case SagaStarted():
            raise IllegalTransition(f"saga {saga.id} is started already")
        case SagaResumed(at=at):
            return resumed(saga, at)
        case CancelRequested(reason=reason):
            if saga.status is not Status.RUNNING:
                raise SagaEnded(f"saga {saga.id} is {saga.status} and cannot be cancelled any more")
            return replace(saga, abort=Abort(AbortKind.CANCELLED, event.at, message=reason))
        case DeadlinePassed(at=at):
            if saga.status is not Status.RUNNING:
                raise IllegalTransition(f"saga {saga.id} is {saga.status}: its deadline is no concern")
            if saga.deadline_at is None or at < saga.deadline_at:
                raise IllegalTransition(f"saga {saga.id}: its deadline has not come at {at}")
            return replace(saga, abort=Abort(AbortKind.DEADLINE, at))
        case StepBegun():
            return _begun(saga, event)
        case StepSucceeded() | StepRefused() | StepPending() | StepFaulted():
            return _answered(saga, event)
        case UndoBegun():
            return _undo_begun(saga, event)
        case OperatorActed():
            return acted(saga, event)
        case _:
            return _undo_answered(saga, event)


def _begun(saga: Saga, event: StepBegun) -> Saga:
    step = saga.current
    if saga.status is not Status.RUNNING or step is None or step.name != event.step or step.begun:
        raise IllegalTransition(f"saga {saga.id} is {saga.status}: {event.step!r} cannot begin now")
    if _too_late(saga, event.at):
        raise IllegalTransition(f"saga {saga.id}: {event.step!r} cannot begin after the deadline")
    return saga.with_step(replace(step, begun=True))


def _answered(saga: Saga, event: ForwardAnswer) -> Saga:
    """An answer to an Execute: it drives a saga going forward, and is only folded in once it turned back."""
    step = _known(saga, event)
    if saga.termination is not None or not step.begun or step.outcome is not None:
        raise IllegalTransition(f"saga {saga.id}: {event.step!r} has no Execute to answer")
    forward = saga.heading is Heading.FORWARD
    if forward and _too_late(saga, event.at):
        raise IllegalTransition(f"saga {saga.id}: an answer after the deadline proves nothing")
    match event:
        case StepSucceeded(output=output):
            changed = replace(step, outcome=StepOutcome.SUCCEEDED, output=output, due_at=None)
            return saga.with_step(changed)
        case StepRefused(code=code, message=message):
            after = saga.with_step(replace(step, outcome=StepOutcome.REFUSED, due_at=None))
            return _turned_back(after, Abort(AbortKind.REFUSED, event.at, step.name, code, message))
        case StepPending(ask_at=ask_at):
            return saga.with_step(replace(step, pendings=step.pendings + 1, due_at=ask_at))
        case StepFaulted(retry_at=retry_at, code=code, message=message):
            given_up = forward and retry_at is None
            changed = replace(
                step,
                failures=step.failures + 1,
                due_at=retry_at,
                outcome=StepOutcome.GIVEN_UP if given_up else None,
            )
            after = _flagged(saga.with_step(changed), event)
            if not given_up:
                return after
            return _turned_back(after, Abort(AbortKind.GIVEN_UP, event.at, step.name, code, message))


def _undo_begun(saga: Saga, event: UndoBegun) -> Saga:
    step = saga.undoing
    if saga.heading is Heading.FORWARD or step is None or step.name != event.step or step.undo:
        raise IllegalTransition(f"saga {saga.id} is {saga.status}: no undo of {event.step!r} begins now")
    if event.receipt != step.output:
        raise IllegalTransition(f"saga {saga.id}: the receipt of {event.step!r} is not its output")
    return saga.with_step(replace(step, undo=Undo(event.receipt, budget_from=event.at)))


def _undo_answered(saga: Saga, event: UndoAnswer) -> Saga:
    step = _known(saga, event)
    undo = step.undo
    if saga.termination is not None or undo is None or undo.outcome is not None:
        raise IllegalTransition(f"saga {saga.id}: {event.step!r} has no Compensate to answer")
    match event:
        case StepCompensated():
            undo = replace(undo, outcome=UndoOutcome.COMPENSATED, due_at=None)
        case UndoRefused():
            failures = undo.failures + 1
            undo = replace(undo, failures=failures, refused=True, outcome=UndoOutcome.FAILED, due_at=None)
        case UndoPending(at=at, ask_at=ask_at):
            # Waiting for a participant that has taken the work on spends no budget; asking it does.
            spent_from = undo.budget_from + ask_at - at
            undo = replace(undo, pendings=undo.pendings + 1, due_at=ask_at, budget_from=spent_from)
        case UndoFaulted(retry_at=retry_at):
            outcome = UndoOutcome.FAILED if retry_at is None else None
            undo = replace(undo, failures=undo.failures + 1, due_at=retry_at, outcome=outcome)
    after = saga.with_step(replace(step, undo=undo))
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


def _too_late(saga: Saga, at: float) -> bool:
    return saga.deadline_at is not None and at >= saga.deadline_at
