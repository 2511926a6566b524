"""Turns a participant's answer into the event that it amounts to for this saga: retry, give up, settle.

Pure: the moment and the draw for the jitter come in as arguments and go into the event.
"""

import math

from coordinator.domain.commands import Command, Invoke
from coordinator.domain.events import (
    Event,
    StepCompensated,
    StepFaulted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoFaulted,
    UndoPending,
    UndoRefused,
)
from coordinator.domain.outcomes import (
    Answer,
    Direction,
    Faulted,
    Meaning,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
    cause,
    meaning,
)
from coordinator.domain.retry import ask_again_s, backoff_s
from coordinator.domain.saga import Heading, Saga, StepState, Undo


def verdict(saga: Saga, command: Command, answer: Answer, *, at: float, draw: float) -> Event | None:
    """The event that *answer* to *command* amounts to, at the moment *at*.

    *draw* is uniform in [0, 1), for the jitter. None: the answer is no outcome, and this coordinator
    must stop driving the saga, because a newer one does.
    """
    step = saga.steps[command.place]
    if isinstance(command, Invoke):
        return _forward(saga, step, answer, at, draw)
    return _undo(step, answer, at, draw)


def _forward(saga: Saga, step: StepState, answer: Answer, at: float, draw: float) -> Event | None:
    attempt = step.attempt
    if isinstance(answer, Succeeded):
        # Of all answers this one alone is the same whatever the saga has come to, if we can keep it.
        sentence = saga.output_fault(step, answer.output)
        if sentence is None:
            return StepSucceeded(at, step.name, attempt, answer.output)
        answer = NoProof(Unproved.BROKEN_CONTRACT, "OUTPUT_TOO_LARGE", sentence)
    elif isinstance(answer, Refused) and not saga.is_decided and saga.is_late(at):
        # A reply that comes too late is unknown: it does not save the step its undo.
        answer = NoProof(Unproved.TRANSIENT, "TOO_LATE", "the refusal came after the deadline")
    match meaning(answer, Direction.FORWARD, decided=saga.is_decided), answer:
        case Meaning.REFUSED, Refused(code, message):
            return StepRefused(at, step.name, attempt, code, message)
        case Meaning.ASK_AGAIN, Pending(ask_again_after_s):
            return StepPending(at, step.name, attempt, at + ask_again_s(ask_again_after_s, step.pendings))
        case (Meaning.RETRY | Meaning.GIVE_UP) as means, (Faulted() | NoProof()) as failure:
            # Once the saga has turned back, a failed Execute is not tried again: it is undone.
            again = means is Meaning.RETRY and saga.heading is Heading.FORWARD
            retry_at = _retry_at(step, failure, at, draw) if again else None
            return StepFaulted(
                at, step.name, attempt, cause(failure), failure.code, failure.message, retry_at
            )
        case _:
            return None


def _retry_at(step: StepState, failure: Faulted | NoProof, at: float, draw: float) -> float | None:
    policy = step.definition.retry
    if policy.max_attempts is not None and step.failures + 1 >= policy.max_attempts:
        return None
    spent_at = math.inf if policy.budget_s is None else step.budget_from + policy.budget_s
    if at >= spent_at:
        return None
    retry_at = at + backoff_s(
        initial_s=policy.initial_backoff_s,
        multiplier=policy.multiplier,
        max_s=policy.max_backoff_s,
        failures=step.failures + 1,
        draw=draw,
        hint_s=_hint_s(failure),
    )
    # The last attempt comes when the budget ends, however long the wait before it should have been.
    return min(retry_at, spent_at)


def _undo(step: StepState, answer: Answer, at: float, draw: float) -> Event | None:
    undo = step.undo
    if undo is None:
        raise ValueError(f"step {step.name!r}: an undo that was never begun has no answer")
    attempt = undo.attempt
    if isinstance(answer, Succeeded):
        return StepCompensated(at, step.name, attempt)
    match meaning(answer, Direction.UNDO), answer:
        case Meaning.REFUSED, Refused(code, message):
            return UndoRefused(at, step.name, attempt, code, message)
        case Meaning.ASK_AGAIN, Pending(ask_again_after_s):
            return UndoPending(at, step.name, attempt, at + ask_again_s(ask_again_after_s, undo.pendings))
        case Meaning.RETRY, (Faulted() | NoProof()) as failure:
            retry_at = _undo_retry_at(step, undo, failure, at, draw)
            return UndoFaulted(
                at, step.name, attempt, cause(failure), failure.code, failure.message, retry_at
            )
        case _:
            return None


def _undo_retry_at(
    step: StepState, undo: Undo, failure: Faulted | NoProof, at: float, draw: float
) -> float | None:
    policy = step.definition.compensation_retry
    spent_at = undo.budget_from + policy.budget_s
    if at >= spent_at:
        return None
    retry_at = at + backoff_s(
        initial_s=policy.initial_backoff_s,
        multiplier=policy.multiplier,
        max_s=policy.max_backoff_s,
        failures=undo.failures + 1,
        draw=draw,
        hint_s=_hint_s(failure),
    )
    return min(retry_at, spent_at)


def _hint_s(answer: Faulted | NoProof) -> float | None:
    return answer.retry_after_s if isinstance(answer, Faulted) else None
