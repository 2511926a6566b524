"""The projection of a saga: what lists and waiting callers read without replaying its journal."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, assert_never

from coordinator.domain.definition import StepKind
from coordinator.domain.events import Verb
from coordinator.domain.ids import Digest, RequestId, SagaId, StepName
from coordinator.domain.machine import Decision
from coordinator.domain.saga import Abort, AbortKind, Saga, Status, StepOutcome, StepState, Undo, UndoOutcome
from coordinator.domain.values import frozen


class DeadLetterCause(StrEnum):
    """Why a saga needs a person."""

    REFUSED = "REFUSED"
    """A participant refused to undo, or refused a step past the pivot."""
    BUDGET_SPENT = "BUDGET_SPENT"
    """An undo, or a step past the pivot, was tried in vain until its budget was spent, or until an operator
    gave it up."""
    SET_ASIDE = "SET_ASIDE"
    """It cannot be driven: its record is damaged, or driving it failed by a bug of ours."""
    EXPRESSION = "EXPRESSION"
    """An expression of its definition yielded nothing that can be sent."""


@frozen
class Signature:
    """What dead letters of one definition have in common if one thing broke them all."""

    step: StepName | None
    """Which failed for good, or whose undo did; None for a saga that was set aside."""
    cause: DeadLetterCause


SET_ASIDE: Final = Signature(None, DeadLetterCause.SET_ASIDE)


@frozen
class SagaSummary:
    """One row of a list. Times are seconds since the epoch, UTC."""

    id: SagaId
    saga_name: str
    definition_version: str | None
    definition_digest: Digest
    front_door: str
    request_id: RequestId
    status: Status
    turned_back_at: float | None
    """None while it heads forward; a saga that is set aside then is undecided."""
    needs_person: bool
    error_message: str
    started_at: float
    updated_at: float
    deadline_at: float | None
    due_at: float | None
    """When automatic work is next due; None where that is now, or where none is left."""
    seq: int
    """The number of the newest journal record that this row reflects."""
    flags: tuple[str, ...]
    forced: bool
    """Whether a person decided a part of its outcome."""
    signature: Signature | None
    """There if and only if it needs a person."""
    trace: str
    """Where it is followed, as in `SagaStarted`."""


def summarize(decision: Decision, seq: int) -> SagaSummary:
    """The row of a saga whose newest record is number *seq*."""
    saga, definition = decision.saga, decision.saga.definition
    # Of one that goes forward as defined there is nothing to say, and it is summarized at every step.
    is_plain = saga.abort is None and saga.termination is None and not saga.is_decided
    needs_person = not is_plain and saga.needs_person
    # In the order of its fields: to name so many takes twice as long as all the rest of making it.
    return SagaSummary(
        saga.id,
        definition.name,
        definition.version,
        definition.digest,
        saga.front_door,
        saga.request_id,
        saga.status,
        None if saga.abort is None else saga.abort.at,
        needs_person,
        "" if is_plain else error_message(saga),
        saga.started_at,
        saga.updated_at,
        saga.deadline_at,
        _due_at(decision),
        seq,
        saga.flags,
        saga.forced,
        _signature(saga) if needs_person else None,
        saga.trace,
    )


def error_message(saga: Saga) -> str:
    """What went wrong and what became of it, for the saga's caller; empty for one that goes as defined."""
    stuck = saga.stuck
    if saga.abort is None and saga.termination is None and not stuck:
        return _without_output(saga)
    sentences = [] if saga.abort is None else [_reason(saga, saga.abort)]
    sentences += [_stuck(saga, step) for step in stuck]
    if saga.termination is not None:
        sentences.append(f"Terminated by {saga.termination.actor} ({saga.termination.reason}).")
        sentences.append("What was begun and is not undone stands as it is.")
    elif saga.abort is not None:
        sentences.append(_undo_state(saga))
    if saga.forced:
        sentences += _decided_by_hand(saga)
    return " ".join(sentences)


def _without_output(saga: Saga) -> str:
    """Of a saga that did all that it should: what became of its output, if it should have one and has not."""
    if saga.definition.output is None or not saga.is_shaped or saga.output is not None:
        return ""
    failed = next((flag for flag in reversed(saga.flags) if flag.startswith("output")), "output")
    return f"Every step is done, but the saga's output could not be made: {failed.rstrip('.')}."


def _decided_by_hand(saga: Saga) -> Iterator[str]:
    skipped = [
        step.name
        for step in saga.steps
        if step.outcome is StepOutcome.SKIPPED and step.undo_outcome is not UndoOutcome.COMPENSATED
    ]
    if skipped:
        yield f"Skipped by hand: {', '.join(skipped)}."
    left = [step.name for step in saga.steps if step.undo_outcome is UndoOutcome.SKIPPED]
    if left:
        yield f"Left in place by hand: {', '.join(left)}."


def _signature(saga: Saga) -> Signature:
    """That of the failure which comes first in the order of work: it may hold up the others."""
    if saga.stuck:
        first = saga.stuck[0]
        return Signature(first.name, _cause(first))
    last_first = (saga.steps[place] for place in reversed(saga.definition.graph.order))
    undos = ((step.name, step.undo) for step in last_first if step.undo is not None)
    step, undo = next(pair for pair in undos if pair[1].outcome is UndoOutcome.FAILED)
    return Signature(step, _cause(undo))


def _cause(failed: StepState | Undo) -> DeadLetterCause:
    if failed.unsendable:
        return DeadLetterCause.EXPRESSION
    return DeadLetterCause.REFUSED if failed.refused else DeadLetterCause.BUDGET_SPENT


def _due_at(decision: Decision) -> float | None:
    """The earliest moment at which something is to be done: a command, or the deadline of a forward saga."""
    moments = [command.due_at for command in decision.commands]
    if not moments or None in moments:
        return None
    if decision.saga.status is Status.RUNNING and not decision.saga.is_overdue:
        moments.append(decision.saga.deadline_at)
    return min(moment for moment in moments if moment is not None)


def _reason(saga: Saga, abort: Abort) -> str:
    match abort.kind:
        case AbortKind.REFUSED:
            return f"{_place(saga, abort)} was refused{_said(abort)}."
        case AbortKind.GIVEN_UP:
            return f"{_place(saga, abort)} was given up{_said(abort)}."
        case AbortKind.CANCELLED:
            return f"Cancelled ({abort.message})." if abort.message else "Cancelled."
        case AbortKind.DEADLINE:
            return "The time allowed for it ran out."
        case AbortKind.EXPRESSION:
            owner = "the saga" if abort.step is None else f"step {abort.step}"
            return f"An expression of {owner} failed, at {abort.code}: {abort.message.rstrip('.')}."
        case _:
            assert_never(abort.kind)


def _stuck(saga: Saga, step: StepState) -> str:
    place = f"{step.definition.transaction} at {step.definition.service}"
    if step.definition.kind is StepKind.PIVOT:
        doubt = f"{place} is the pivot, and is in doubt: nobody knows whether it has happened."
        return doubt if saga.termination is not None else f"{doubt} It needs a person."
    what = "failed for good" if saga.termination is not None else "needs a person"
    return f"{place} {what}: {_why_stuck(saga, step)}, and past the pivot nothing is undone."


def _why_stuck(saga: Saga, step: StepState) -> str:
    if step.unsendable:
        return f"its expression failed at {step.unsendable.rstrip('.')}"
    if step.refused:
        return "it was refused"
    newest = next((action for action in reversed(saga.actions) if action.step == step.name), None)
    if newest is not None and newest.verb is Verb.FAIL:
        return f"it was given up by {newest.actor} ({newest.reason})"
    attempts_max = step.definition.retry.max_attempts
    if attempts_max is not None and step.failures >= attempts_max:
        return "it was tried in vain as often as it may be"
    return "it was tried in vain until its budget was spent"


def _said(abort: Abort) -> str:
    message = abort.message.rstrip(".")
    code = f": {abort.code}" if abort.code else ""
    return f"{code}: {message}" if message else code


def _place(saga: Saga, abort: Abort) -> str:
    step = next(step for step in saga.steps if step.name == abort.step)
    return f"{step.name} at {step.definition.service}"


def _undo_state(saga: Saga) -> str:
    if saga.needs_person:
        standing = saga.left_standing
        failed = ", ".join(_undo_name(s) for s in standing if s.undo_outcome is UndoOutcome.FAILED)
        waiting = ", ".join(s.name for s in standing if s.undo_outcome is not UndoOutcome.FAILED)
        text = f"Its undo needs a person: {failed} failed for good"
        return f"{text}; behind it wait: {waiting}." if waiting else f"{text}."
    if saga.status is Status.COMPENSATING:
        return "What was begun is being undone."
    undone = [step.undo_outcome for step in saga.steps]
    left = UndoOutcome.SKIPPED in undone
    kept = [
        step.name for step in saga.steps if step.may_stand and step.undo_outcome is not UndoOutcome.SKIPPED
    ]
    but = f" Nothing undoes {', '.join(kept)}." if kept else ""
    if UndoOutcome.COMPENSATED in undone:
        return ("What else was begun has been undone." if left else "What was begun has been undone.") + but
    return ("Nothing else had to be undone." if left else "Nothing had to be undone.") + but


def _undo_name(step: StepState) -> str:
    return f"{step.definition.compensation or 'barring ' + step.name} at {step.definition.service}"
