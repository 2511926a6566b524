"""Whether an operator may act, what that would lead to, and what else could be done instead.

An action is judged against what its operator has seen: who acts twice under one id acts once, and who acts
on a saga that has moved since is told so and has changed nothing. To stop a saga as a whole nothing need be
seen: a busy one would have moved each time.
"""

from dataclasses import replace
from typing import Final

from coordinator.domain.commands import Command
from coordinator.domain.definition import StepKind
from coordinator.domain.errors import (
    ActionIdTaken,
    IllegalTransition,
    InvalidRequest,
    SagaEnded,
    SagaMoved,
    Violation,
)
from coordinator.domain.events import (
    OperatorActed,
    Verb,
)
from coordinator.domain.ids import ActionId, StepName
from coordinator.domain.language.expressions import Evaluate
from coordinator.domain.machine import decide
from coordinator.domain.play import play
from coordinator.domain.saga import (
    Heading,
    Saga,
    Status,
    StepOutcome,
    StepState,
    UndoOutcome,
)
from coordinator.domain.summary import SagaSummary
from coordinator.domain.values import frozen

STEPS_AT_ISSUE_MAX: Final = 20
AS_IT_STANDS: Final = 0
"""Seen by whoever wants a saga stopped whatever it has done by then; records are numbered from 1."""
STOPPING: Final = frozenset({Verb.CANCEL, Verb.TERMINATE})
"""What is done to a saga as a whole, and may be wanted of it as it stands."""


@frozen
class Action:
    """What an operator wants. `seq_seen` is the number of the newest record that they have seen; AS_IT_STANDS
    where the verb is one of STOPPING and they want it whatever that is.

    `output` is canonical JSON text, for a COMPLETE; None where none was given.
    """

    id: ActionId
    actor: str
    reason: str
    seq_seen: int
    verb: Verb
    step: StepName | None = None
    output: str | None = None


@frozen
class Effect:
    """What an action leads to. `planned` is what runs from there on by itself if every call succeeds, and
    every expression over what steps will answer yields something (play.py)."""

    sentence: str
    status_after: Status
    status_in_the_end: Status
    forced: bool
    planned: tuple[Command, ...]


def action_event(
    saga: Saga, action: Action, *, seq: int, at: float, set_aside: bool = False
) -> OperatorActed | None:
    """The event that *action* amounts to for *saga*, whose newest record is number *seq*.

    None: this action was done before. *set_aside*: the saga is in quarantine.

    Raises:
        ActionIdTaken: the id acted on this saga before, in another way.
        SagaMoved: the operator has seen an older state of the saga.
        InvalidRequest: an output where none is taken, or one that is too large.
        IllegalTransition: this cannot be done to a saga that is set aside, or to one that is not.
    """
    for done in saga.actions:
        if done.action_id == action.id:
            if not _is_same(done, action):
                raise ActionIdTaken(action.id, saga.id)
            return None
    if _has_moved(action, seq):
        raise SagaMoved(saga.id, saga.status, seen=action.seq_seen, seq=seq)
    # One that is final says so first, whatever else is wrong.
    if (
        not saga.status.is_final
        and set_aside != _is_for_set_aside(action)
        and action.verb is not Verb.TERMINATE
    ):
        raise IllegalTransition(
            f"saga {saga.id} was set aside: it can only be retried as a whole, or terminated"
            if set_aside
            else f"saga {saga.id} was not set aside: say which step to retry"
        )
    output = _output(saga, action)
    return OperatorActed(at, action.verb, action.id, action.actor, action.reason, action.step, output)


def end_unreadable(row: SagaSummary, action: Action, *, at: float) -> tuple[OperatorActed, SagaSummary]:
    """The only thing that a person can do to a saga whose records cannot be read: close its file. The event,
    and the row after it.

    Raises:
        SagaEnded, SagaMoved: as `action_event`.
        IllegalTransition: the action is another one.
    """
    if row.status.is_final:
        raise SagaEnded(f"saga {row.id} is {row.status}: nothing can be done to it any more")
    if action.verb is not Verb.TERMINATE:
        raise IllegalTransition(f"saga {row.id} cannot be read back: it can only be terminated")
    if _has_moved(action, row.seq):
        raise SagaMoved(row.id, row.status, seen=action.seq_seen, seq=row.seq)
    summary = replace(
        row,
        status=Status.TERMINATED,
        needs_person=False,
        signature=None,
        forced=True,
        error_message=f"Terminated by {action.actor} ({action.reason}). {row.error_message}".rstrip(),
        updated_at=at,
        due_at=None,
        seq=row.seq + 1,
    )
    return OperatorActed(at, action.verb, action.id, action.actor, action.reason), summary


def effect_of(saga: Saga, event: OperatorActed, evaluate: Evaluate) -> Effect:
    """What *event* leads to.

    Raises:
        IllegalTransition: *event* cannot happen to *saga*.
    """
    after = decide(saga, event).saga
    end, planned = play(after, evaluate)
    return Effect(_sentence(saga, event), after.status, end.status, after.forced, tuple(planned))


END_OF_UNREADABLE: Final = Effect(
    "The saga ends here for good and nothing more is called; what it did stands, and no record tells what.",
    Status.TERMINATED,
    Status.TERMINATED,
    forced=True,
    planned=(),
)


def possible_actions(saga: Saga, *, at: float, set_aside: bool = False) -> tuple[OperatorActed, ...]:
    """Everything that can be done to *saga* now, by step and then verb; the whole saga last."""
    if set_aside:
        wanted: list[tuple[Verb, StepName | None]] = [(Verb.RETRY, None), (Verb.TERMINATE, None)]
    else:
        by_step = (Verb.RETRY, Verb.SKIP, Verb.COMPLETE, Verb.FAIL)
        wanted = [(verb, step.name) for step in _at_issue(saga) for verb in by_step]
        if saga.status is Status.RUNNING:
            wanted.append((Verb.CANCEL, None))
        wanted.append((Verb.TERMINATE, None))
    events = [OperatorActed(at, verb, ActionId(""), "", "", step) for verb, step in wanted]
    return tuple(event for event in events if _is_legal(saga, event))


def _at_issue(saga: Saga) -> list[StepState]:
    """The steps to which anything may be possible, in the definition's order: not more than a person can look
    at, and first of all those that failed. Of the others each can be acted on by its name all the same."""
    if saga.heading is Heading.FORWARD:
        failed, others = saga.stuck, saga.reached
    else:
        unsettled = [
            s for s in saga.steps if s.undo is not None and s.undo.outcome in (None, UndoOutcome.FAILED)
        ]
        failed = tuple(step for step in unsettled if step.undo_outcome is UndoOutcome.FAILED)
        others = (*unsettled, *saga.undoable)
    shown: dict[StepName, StepState] = {}
    for step in (*failed, *others):
        if len(shown) < STEPS_AT_ISSUE_MAX:
            shown.setdefault(step.name, step)
    return [step for step in saga.steps if step.name in shown]


def _is_legal(saga: Saga, event: OperatorActed) -> bool:
    try:
        decide(saga, event)
    except IllegalTransition:
        return False
    return True


def _has_moved(action: Action, seq: int) -> bool:
    """Whether a saga whose newest record is number *seq* is not the one that *action* is wanted of."""
    if action.seq_seen == AS_IT_STANDS and action.verb in STOPPING:
        return False
    return action.seq_seen != seq


def _is_for_set_aside(action: Action) -> bool:
    return action.verb is Verb.RETRY and action.step is None


def _is_same(done: OperatorActed, action: Action) -> bool:
    """Whether *action* is the one that was *done*: all that its operator said is equal, but for what they
    had seen. No output and null are the same."""
    said = (action.verb, action.step, action.actor, action.reason, action.output or "null")
    return said == (done.verb, done.step, done.actor, done.reason, done.output or "null")


def _output(saga: Saga, action: Action) -> str | None:
    if action.verb is not Verb.COMPLETE or saga.status.is_final:
        return None
    if saga.heading is Heading.BACKWARD:
        if action.output is not None:
            raise _wrong_output("expected none: the saga has turned back, and an undo answers nothing")
        return None
    output = action.output or "null"
    # That there is no such step is told when the action is judged.
    if action.step is not None and action.step in saga.definition.positions:
        sentence = saga.output_fault(saga.step(action.step), output)
        if sentence is not None:
            raise _wrong_output(sentence)
    return output


def _wrong_output(sentence: str) -> InvalidRequest:
    return InvalidRequest([Violation("output_json", sentence)])


def _sentence(saga: Saga, event: OperatorActed) -> str:
    if event.step is None:
        return _sentence_of_saga(saga, event)
    step = saga.step(event.step)
    if saga.heading is Heading.FORWARD:
        return _sentence_forward(saga, step, event)
    return _sentence_undoing(step, event)


def _sentence_of_saga(saga: Saga, event: OperatorActed) -> str:
    match event.verb:
        case Verb.RETRY:
            return "The saga is driven on from where its journal ends."
        case Verb.CANCEL if saga.status is Status.COMPENSATING:
            return "Nothing changes: the saga is turning back already."
        case Verb.CANCEL:
            return "The saga turns back: what was begun is undone."
        case _:
            standing = [step.name for step in saga.steps if step.may_stand]
            left = f"; what they did stands: {', '.join(standing)}" if standing else ""
            return f"The saga ends here for good, and nothing more is called{left}."


def _sentence_forward(saga: Saga, step: StepState, event: OperatorActed) -> str:
    transaction = f"{step.definition.transaction} at {step.definition.service}"
    match event.verb:
        case Verb.RETRY if step.unsendable:
            return f"The expressions of {step.name} are evaluated again; over the same data they fail again."
        case Verb.RETRY if step.refused:
            return f"{transaction} is asked again with a new budget, under a new key because it was refused."
        case Verb.RETRY if step.outcome is StepOutcome.FAILED:
            return f"{transaction} is asked again with a new budget, under the same key."
        case Verb.RETRY:
            return f"{transaction} is asked again at once, under the same key."
        case Verb.SKIP:
            return f"The saga goes on without {transaction}; if it has an effect, that stands."
        case Verb.COMPLETE if event.output in (None, "null"):
            return f"The saga goes on as if {transaction} had succeeded with the output null."
        case Verb.COMPLETE:
            return f"The saga goes on as if {transaction} had succeeded with this output."
        case _ if saga.is_decided and step.definition.kind is not StepKind.PIVOT:
            return f"{transaction} is given up and needs a person; what does not depend on it goes on."
        case _:
            return f"{transaction} is given up and the saga turns back: what was begun is undone."


def _sentence_undoing(step: StepState, event: OperatorActed) -> str:
    name = step.definition.compensation or f"barring {step.definition.transaction}"
    undo = f"{name} at {step.definition.service}"
    match event.verb:
        case Verb.RETRY if step.undo is not None and step.undo.unsendable:
            return f"The expressions of {step.name} are evaluated again; over the same data they fail again."
        case Verb.RETRY if step.undo is not None and step.undo.refused:
            return f"{undo} is asked again with a new budget, under a new key because it was refused."
        case Verb.RETRY if step.undo is not None and step.undo.outcome is UndoOutcome.FAILED:
            return f"{undo} is asked again with a new budget, under the same key."
        case Verb.RETRY:
            return f"{undo} is asked again at once, under the same key."
        case Verb.SKIP:
            return f"{undo} is not done: the effect of {step.name} stays in place for good."
        case Verb.COMPLETE:
            return f"{undo} counts as done."
        case _:
            return f"{undo} is given up and needs a person."
