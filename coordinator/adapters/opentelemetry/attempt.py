"""One attempt at a step: a span that has lasted as long as the call, told once what came of it is durable."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from grpc import StatusCode as RpcStatus
from opentelemetry.trace import Link, SpanContext, SpanKind

from coordinator.adapters.opentelemetry.drafts import Attributes, Draft
from coordinator.adapters.opentelemetry.ids import execute_span_id, span_context
from coordinator.adapters.opentelemetry.notebook import Note
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
from coordinator.domain.ids import execute_key
from coordinator.domain.outcomes import Answer, Faulted, NoProof, Refused
from coordinator.domain.saga import AbortKind, Saga, StepOutcome, StepState, UndoOutcome
from coordinator.domain.trace import RECORDED
from coordinator.ports.participants import Call, ExecuteCall

ABANDONED: Final = "ABANDONED"
_METHODS: Final = "saga.v1.ParticipantService/"
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

    __slots__ = (
        "_answer",
        "_call",
        "_ended_ns",
        "_is_over",
        "_note",
        "_number",
        "_place",
        "_saga",
        "_server",
        "_span_id",
        "_started_ns",
        "trace",
    )

    def __init__(
        self,
        saga: Saga,
        call: Call,
        place: SpanContext,
        own_id: Callable[[], int],
        server: Attributes,
        note: Callable[[Note], None],
    ) -> None:
        """*saga* is how it stands before *call*, and *place* its place. *own_id* gives ids to spans that
        nobody needs to find again; *server* says where *call* goes; *note* gets what came of it."""
        step = saga.step(call.step)
        if isinstance(call, ExecuteCall):
            self._number = step.calls + 1
            span_id = execute_span_id(saga.trace, call.key, self._number)
        else:
            self._number = step.undo.attempt + step.undo.pendings if step.undo is not None else 1
            span_id = own_id()
        self.trace: Final = f"{saga.trace[:36]}{span_id:016x}{RECORDED}"
        self._saga = saga
        self._call = call
        self._place = place
        self._span_id = span_id
        self._server = server
        self._note = note
        self._answer: Answer | None = None
        self._is_over = False
        self._started_ns = time.time_ns()
        self._ended_ns: int | None = None

    def answered(self, answer: Answer) -> None:
        if self._is_over:
            return  # it was abandoned when this was on its way already
        self._ended_ns = time.time_ns()
        self._answer = answer

    def settled(self, event: Event, saga: Saga) -> None:
        self._is_over = True
        self._note(partial(self._settled, event, saga))

    def abandoned(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._ended_ns is None:
            self._ended_ns = time.time_ns()
        self._note(self._abandoned)

    def _settled(self, event: Event, saga: Saga) -> Draft:
        draft = self._draft()
        draft.attributes["saga.outcome"] = _outcome(event)
        code = getattr(event, "code", "")
        if code:
            draft.attributes["saga.code"] = code
        match event:
            case (
                StepFaulted(at=at, retry_at=float(due_at))
                | UndoFaulted(at=at, retry_at=float(due_at))
                | StepPending(at=at, ask_at=due_at)
                | UndoPending(at=at, ask_at=due_at)
            ):
                draft.add_event("saga.backoff", {"saga.backoff_s": due_at - at}, self._ended_ns)
            case _:
                add_consequences(draft, event, saga, self._ended_ns)
        draft.end(self._ended_ns)
        return draft

    def _abandoned(self) -> Draft:
        draft = self._draft()
        _fail(draft, ABANDONED)
        draft.attributes["saga.outcome"] = ABANDONED
        draft.end(self._ended_ns)
        return draft

    def _draft(self) -> Draft:
        """What is known of it without what came of it."""
        call, place = self._call, self._place
        is_execute = isinstance(call, ExecuteCall)
        direction = "Execute" if is_execute else "Compensate"
        attributes: Attributes = {
            "saga.id": self._saga.id,
            "saga.name": call.saga_name,
            "rpc.system.name": "grpc",
            "rpc.method": _METHODS + direction,
            **self._server,
            "saga.step": call.step,
            "saga.service": call.service,
            "saga.attempt": call.attempt,
        }
        draft = Draft(
            f"{direction} {call.step}",
            span_context(place.trace_id, self._span_id),
            place,
            attributes,
            kind=SpanKind.CLIENT,
            links=() if is_execute else _undone(place, self._saga, self._saga.step(call.step)),
            started_ns=self._started_ns,
        )
        if self._number > 1:
            draft.add_event("saga.retry", {"saga.attempt": call.attempt}, self._started_ns)
        match self._answer:
            case None:
                pass  # nobody answered
            case NoProof(code=code):
                if code in _RPC_STATUSES:
                    attributes["rpc.response.status_code"] = code
                _fail(draft, code)
            case Refused(code=code) | Faulted(code=code):
                attributes["rpc.response.status_code"] = "OK"
                _fail(draft, code)
            case _:
                attributes["rpc.response.status_code"] = "OK"
        return draft


def add_consequences(span: Draft, event: Event, saga: Saga, at_ns: int | None = None) -> None:
    """That the saga turned back, or came before a person, by *event*."""
    abort = saga.abort
    if abort is not None and abort.at == event.at and abort.kind in _ABORTS.get(type(event), ()):
        span.add_event("saga.abort", {"saga.abort": abort.kind.name}, at_ns)
    name = getattr(event, "step", None)
    undo_outcome = saga.step(name).undo_outcome if name is not None else None
    if undo_outcome is UndoOutcome.FAILED and isinstance(event, UndoRefused | UndoFaulted | OperatorActed):
        span.add_event("saga.dead_letter", {"saga.step": str(name)}, at_ns)


def _fail(draft: Draft, code: str) -> None:
    draft.attributes["error.type"] = code
    draft.fail()


def _undone(place: SpanContext, saga: Saga, step: StepState) -> Sequence[Link]:
    """A link to the last Execute, whose effect is undone. It can be named without having been kept."""
    answered = step.outcome in (StepOutcome.SUCCEEDED, StepOutcome.REFUSED) and not step.by_hand
    number = step.calls + answered
    if not number:
        return ()
    span_id = execute_span_id(saga.trace, execute_key(saga.id, step.name, step.round), number)
    return (Link(span_context(place.trace_id, span_id), {"saga.link": "undoes"}),)


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
