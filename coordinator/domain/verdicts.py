"""Turns a participant's answer into the event that it amounts to for this saga: retry, give up, settle.

Pure: the moment and the draw for the jitter come in as arguments and go into the event.
"""

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
    cause,
    meaning,
)
from coordinator.domain.retry import ask_again_s, backoff_s
from coordinator.domain.saga import Heading, Saga, StepState


def verdict(saga: Saga, command: Command, answer: Answer, *, at: float, draw: float) -> Event | None:
    """The event that *answer* to *command* amounts to, at the moment *at*.

    *draw* is uniform in [0, 1), for the jitter. None: the answer is no outcome, and this coordinator
    must stop driving the saga, because a newer one does.
    """
    step = saga.step(command.step)
    if isinstance(command, Invoke):
        return _forward(saga, step, answer, at, draw)
    return _undo(step, answer, at, draw)


def _forward(saga: Saga, step: StepState, answer: Answer, at: float, draw: float) -> Event | None:
    attempt = step.attempt
    match answer:
        case Succeeded(output):
            return StepSucceeded(at, step.name, attempt, output)
        case Refused(code, message):
            return StepRefused(at, step.name, attempt, code, message)
        case Pending(ask_again_after_s):
            return StepPending(at, step.name, attempt, at + ask_again_s(ask_again_after_s))
        case Faulted() | NoProof():
            means = meaning(answer, Direction.FORWARD)
            if means is Meaning.STOP_DRIVING:
                return None
            retry_at = None
            policy = step.definition.retry
            # Once the saga has turned back, a failed Execute is not tried again: it is undone.
            if (
                means is Meaning.RETRY
                and saga.heading is Heading.FORWARD
                and step.failures + 1 < policy.max_attempts
            ):
                retry_at = at + backoff_s(
                    initial_s=policy.initial_backoff_s,
                    multiplier=policy.multiplier,
                    max_s=policy.max_backoff_s,
                    failures=step.failures + 1,
                    draw=draw,
                    hint_s=_hint_s(answer),
                )
            return StepFaulted(at, step.name, attempt, cause(answer), answer.code, answer.message, retry_at)


def _undo(step: StepState, answer: Answer, at: float, draw: float) -> Event | None:
    undo = step.undo
    if undo is None:
        raise ValueError(f"step {step.name!r}: an undo that was never begun has no answer")
    match answer:
        case Succeeded():
            return StepCompensated(at, step.name, undo.attempt)
        case Refused(code, message):
            return UndoRefused(at, step.name, undo.attempt, code, message)
        case Pending(ask_again_after_s):
            return UndoPending(at, step.name, undo.attempt, at + ask_again_s(ask_again_after_s))
        case Faulted() | NoProof():
            if meaning(answer, Direction.UNDO) is Meaning.STOP_DRIVING:
                return None
            policy = step.definition.compensation_retry
            retry_at = at + backoff_s(
                initial_s=policy.initial_backoff_s,
                multiplier=policy.multiplier,
                max_s=policy.max_backoff_s,
                failures=undo.failures + 1,
                draw=draw,
                hint_s=_hint_s(answer),
            )
            spent = retry_at > undo.budget_from + policy.budget_s
            return UndoFaulted(
                at,
                step.name,
                undo.attempt,
                cause(answer),
                answer.code,
                answer.message,
                None if spent else retry_at,
            )


def _hint_s(answer: Faulted | NoProof) -> float | None:
    return answer.retry_after_s if isinstance(answer, Faulted) else None
