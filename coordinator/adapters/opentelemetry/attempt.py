"""One attempt at a step: a span that has lasted as long as the call, told once what came of it is durable."""

import time
from collections.abc import Mapping
from typing import Final

from grpc import StatusCode as RpcStatus

from coordinator.adapters.opentelemetry.drafts import Draft
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    StepCompensated,
    StepFaulted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoFaulted,
    UndoPending,
    UndoRefused,
)
from coordinator.domain.outcomes import Answer, Faulted, NoProof, Refused
from coordinator.domain.saga import AbortKind, Saga, UndoOutcome

ABANDONED: Final = "ABANDONED"
_RPC_STATUSES: Final = frozenset(status.name for status in RpcStatus)
_ABORTS: Final[Mapping[type[Event], tuple[AbortKind, ...]]] = {
    StepRefused: (AbortKind.REFUSED,),
    StepFaulted: (AbortKind.GIVEN_UP,),
    CancelRequested: (AbortKind.CANCELLED,),
    DeadlinePassed: (AbortKind.DEADLINE,),
    ExpressionFailed: (AbortKind.EXPRESSION,),
    OperatorActed: (AbortKind.CANCELLED, AbortKind.GIVEN_UP),
}


class AttemptSpan:
    """A call to a participant. It has lasted until it was answered, and is told once that is durable."""

    def __init__(self, span: Draft, trace: str) -> None:
        """*trace* is the place of *span*."""
        self._span = span
        self._ended_ns: int | None = None
        self.trace = trace

    def answered(self, answer: Answer) -> None:
        if self._span.ended_ns is not None:
            return  # it was abandoned when this was on its way already, and may be on its own way by now
        self._ended_ns = time.time_ns()
        match answer:
            case NoProof(code=code):
                if code in _RPC_STATUSES:
                    self._span.attributes["rpc.response.status_code"] = code
                self._fail(code)
            case Refused(code=code) | Faulted(code=code):
                self._span.attributes["rpc.response.status_code"] = "OK"
                self._fail(code)
            case _:
                self._span.attributes["rpc.response.status_code"] = "OK"

    def settled(self, event: Event, saga: Saga) -> None:
        self._span.attributes["saga.outcome"] = _outcome(event)
        code = getattr(event, "code", "")
        if code:
            self._span.attributes["saga.code"] = code
        match event:
            case (
                StepFaulted(at=at, retry_at=float(due_at))
                | UndoFaulted(at=at, retry_at=float(due_at))
                | StepPending(at=at, ask_at=due_at)
                | UndoPending(at=at, ask_at=due_at)
            ):
                self._span.add_event("saga.backoff", {"saga.backoff_s": due_at - at}, self._ended_ns)
            case _:
                add_consequences(self._span, event, saga, self._ended_ns)
        self._span.end(self._ended_ns)

    def abandoned(self) -> None:
        if self._span.ended_ns is None:
            self._fail(ABANDONED)
            self._span.attributes["saga.outcome"] = ABANDONED
            self._span.end(self._ended_ns)

    def _fail(self, code: str) -> None:
        self._span.attributes["error.type"] = code
        self._span.fail()


def add_consequences(span: Draft, event: Event, saga: Saga, at_ns: int | None = None) -> None:
    """That the saga turned back, or came before a person, by *event*."""
    abort = saga.abort
    if abort is not None and abort.at == event.at and abort.kind in _ABORTS.get(type(event), ()):
        span.add_event("saga.abort", {"saga.abort": abort.kind.name}, at_ns)
    name = getattr(event, "step", None)
    undo_outcome = saga.step(name).undo_outcome if name is not None else None
    if undo_outcome is UndoOutcome.FAILED and isinstance(event, UndoRefused | UndoFaulted | OperatorActed):
        span.add_event("saga.dead_letter", {"saga.step": str(name)}, at_ns)


def _outcome(event: Event) -> str:
    match event:
        case StepSucceeded() | StepCompensated():
            return "SUCCEEDED"
        case StepRefused() | UndoRefused():
            return "REFUSED"
        case StepPending() | UndoPending():
            return "PENDING"
        case StepFaulted(cause=cause) | UndoFaulted(cause=cause):
            return cause.value
        case _:
            return type(event).__name__
