"""Follows sagas (the port `Tracing`): a short span for each thing that happens, all under the saga's trace.

The parent of them all is a span that ends once the saga is durable; its context lies in the journal, so that
whoever drives the saga after a restart goes on with the same trace. No span is held open longer than a call
lasts. Nobody's words enter: names, codes, numbers.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Final

from grpc import StatusCode as RpcStatus
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from coordinator.adapters.no_tracing import NoAttempt
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    OperatorActed,
    SagaResumed,
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
from coordinator.domain.saga import Saga, StepOutcome, StepState, UndoOutcome
from coordinator.domain.saga import Status as SagaStatus
from coordinator.domain.summary import SagaSummary
from coordinator.domain.trace import TraceContext, parse_trace
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.ports.tracing import Attempt

_Attributes = dict[str, AttributeValue]

TRACER: Final = "saga.coordinator"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
ABANDONED: Final = "ABANDONED"
_METHODS: Final = "saga.v1.ParticipantService/"
_RPC_STATUSES: Final = frozenset(status.name for status in RpcStatus)


class ChosenIds(RandomIdGenerator):
    """Ids by chance, but for those of a span that is about to be started: its ids follow from what it is."""

    def __init__(self) -> None:
        self.trace_id: int | None = None
        self.span_id: int | None = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.trace_id is None else self.trace_id

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.span_id is None else self.span_id


class SagaSpans:
    """Keeps the port `Tracing`."""

    def __init__(self, provider: TracerProvider, ids: ChosenIds, targets: Mapping[str, str]) -> None:
        """*ids* are those that *provider* gives out; *targets* says where each service is."""
        self._provider = provider
        self._tracer = provider.get_tracer(TRACER, schema_url=SCHEMA_URL)
        self._ids = ids
        self._servers = {service: _server(target) for service, target in targets.items()}

    def begin(self) -> str:
        handled = get_current_span().get_span_context()
        if handled.is_valid:
            trace_id, sampled = handled.trace_id, handled.trace_flags.sampled
        else:
            trace_id = self._ids.generate_trace_id()
            decision = self._provider.sampler.should_sample(None, trace_id, "saga").decision
            sampled = decision is Decision.RECORD_AND_SAMPLE
        return str(TraceContext(f"{trace_id:032x}", f"{self._ids.generate_span_id():016x}", sampled))

    def started(self, saga: Saga) -> None:
        context = _sampled(saga.trace)
        if context is None:
            return
        # Told with the start of the saga, whose end nobody could wait for: the span is its becoming durable.
        self._start(
            f"saga {saga.definition.name}",
            get_current(),
            _about(saga.id, saga.definition.name),
            trace_id=int(context.trace_id, 16),
            span_id=int(context.span_id, 16),
            start_time=_nanoseconds(saga.started_at),
        ).end()

    def concerns(self, trace: str) -> None:
        context = _sampled(trace)
        handled = get_current_span()
        if context is None or not handled.is_recording():
            return
        if handled.get_span_context().trace_id != int(context.trace_id, 16):
            handled.add_link(_span_context(context.trace_id, int(context.span_id, 16)))

    def attempt(self, saga: Saga, call: Call) -> Attempt:
        context = _sampled(saga.trace)
        if context is None:
            return NoAttempt(saga.trace)
        step = saga.step(call.step)
        direction = "Execute" if isinstance(call, ExecuteCall) else "Compensate"
        attributes: _Attributes = {
            **_about(saga.id, saga.definition.name),
            "rpc.system.name": "grpc",
            "rpc.method": _METHODS + direction,
            **self._servers.get(call.service, {}),
            "saga.step": call.step,
            "saga.service": call.service,
            "saga.attempt": call.attempt,
        }
        calls_before, span_id = _calls_before(step), None
        links: Sequence[Link] = ()
        if isinstance(call, ExecuteCall):
            span_id = _execute_span_id(context, call.key, calls_before + 1)
        else:
            calls_before = step.undo.attempt - 1 + step.undo.pendings if step.undo is not None else 0
            links = _undone(context, saga, step)
        span = self._start(
            f"{direction} {call.step}",
            _under(context),
            attributes,
            kind=SpanKind.CLIENT,
            span_id=span_id,
            links=links,
        )
        if calls_before:
            span.add_event("saga.retry", {"saga.attempt": call.attempt})
        return _AttemptSpan(span)

    def happened(self, saga: Saga, event: Event) -> None:
        context = _sampled(saga.trace)
        if context is None:
            return
        attributes = _about(saga.id, saga.definition.name)
        match event:
            case SagaResumed():
                what = "resumed"
            case CancelRequested():
                what = "cancelled"
            case DeadlinePassed():
                what = "deadline"
            case OperatorActed():
                what = f"operator {event.verb}"
                attributes |= {"saga.step": event.step} if event.step is not None else {}
            case _:
                what = type(event).__name__
        span = self._start(f"saga {saga.definition.name} {what}", _under(context), attributes)
        if isinstance(event, DeadlinePassed):
            span.add_event("saga.deadline")
        _add_consequences(span, event, saga)
        span.end()

    def rested(self, trace: str, summary: SagaSummary) -> None:
        context = _sampled(trace)
        if context is None:
            return
        attributes = _about(summary.id, summary.saga_name)
        attributes["saga.status"] = summary.status.value
        attributes["saga.forced"] = summary.forced
        span = self._start(f"saga {summary.saga_name} ended", _under(context), attributes)
        if summary.needs_person:
            span.add_event("saga.dead_letter")
        if summary.status is not SagaStatus.COMPLETED:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def _start(
        self,
        name: str,
        parent: Context,
        attributes: _Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        trace_id: int | None = None,
        span_id: int | None = None,
        start_time: int | None = None,
    ) -> Span:
        self._ids.trace_id, self._ids.span_id = trace_id, span_id
        try:
            return self._tracer.start_span(
                name, parent, kind, attributes=attributes, links=links, start_time=start_time
            )
        finally:
            self._ids.trace_id = self._ids.span_id = None


class _AttemptSpan:
    """A call to a participant. It has lasted until it was answered, and is told once that is durable."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._ended_ns: int | None = None
        context = span.get_span_context()
        self.trace = str(TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled=True))

    def answered(self, answer: Answer) -> None:
        self._ended_ns = time.time_ns()
        match answer:
            case NoProof(code=code):
                if code in _RPC_STATUSES:
                    self._span.set_attribute("rpc.response.status_code", code)
                self._fail(code)
            case Refused(code=code) | Faulted(code=code):
                self._span.set_attribute("rpc.response.status_code", "OK")
                self._fail(code)
            case _:
                self._span.set_attribute("rpc.response.status_code", "OK")

    def settled(self, event: Event, saga: Saga) -> None:
        self._span.set_attribute("saga.outcome", _outcome(event))
        code = getattr(event, "code", "")
        if code:
            self._span.set_attribute("saga.code", code)
        match event:
            case StepFaulted(at=at, retry_at=float(due_at)) | UndoFaulted(at=at, retry_at=float(due_at)):
                self._add("saga.backoff", {"saga.backoff_s": due_at - at})
            case StepPending(at=at, ask_at=due_at) | UndoPending(at=at, ask_at=due_at):
                self._add("saga.backoff", {"saga.backoff_s": due_at - at})
            case _:
                _add_consequences(self._span, event, saga, self._ended_ns)
        self._span.end(self._ended_ns)

    def abandoned(self) -> None:
        if self._span.is_recording():
            self._fail(ABANDONED)
            self._span.set_attribute("saga.outcome", ABANDONED)
            self._span.end(self._ended_ns)

    def _fail(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR))

    def _add(self, name: str, attributes: _Attributes) -> None:
        self._span.add_event(name, attributes, self._ended_ns)


def _add_consequences(span: Span, event: Event, saga: Saga, at_ns: int | None = None) -> None:
    """That the saga turned back, or came before a person, by *event*."""
    if saga.abort is not None and saga.abort.at == event.at and _may_abort(event):
        span.add_event("saga.abort", {"saga.abort": saga.abort.kind.name}, at_ns)
    name = getattr(event, "step", None)
    undo_outcome = saga.step(name).undo_outcome if name is not None else None
    if undo_outcome is UndoOutcome.FAILED and isinstance(event, UndoRefused | UndoFaulted | OperatorActed):
        span.add_event("saga.dead_letter", {"saga.step": str(name)}, at_ns)


def _may_abort(event: Event) -> bool:
    kinds = StepRefused | StepFaulted | CancelRequested | DeadlinePassed | OperatorActed
    return isinstance(event, kinds)


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


def _about(saga_id: str, saga_name: str) -> _Attributes:
    return {"saga.id": saga_id, "saga.name": saga_name}


def _sampled(text: str) -> TraceContext | None:
    context = parse_trace(text) if text else None
    return context if context is not None and context.sampled else None


def _span_context(trace_id: str, span_id: int) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), span_id, is_remote=False, trace_flags=sampled)


def _under(context: TraceContext) -> Context:
    return set_span_in_context(
        NonRecordingSpan(_span_context(context.trace_id, int(context.span_id, 16))), Context()
    )


def _calls_before(step: StepState) -> int:
    """How many Executes of *step* were answered, or may have been lost, by now."""
    return step.failures + step.lost + step.pendings


def _undone(context: TraceContext, saga: Saga, step: StepState) -> Sequence[Link]:
    """A link to the last Execute, whose effect is undone. It can be named without having been kept."""
    answered = step.outcome in (StepOutcome.SUCCEEDED, StepOutcome.REFUSED) and not step.by_hand
    number = _calls_before(step) + answered
    if not number:
        return ()
    span_id = _execute_span_id(context, execute_key(saga.id, step.name), number)
    return (Link(_span_context(context.trace_id, span_id), {"saga.link": "undoes"}),)


def _execute_span_id(context: TraceContext, key: str, number: int) -> int:
    """The id of the span of a step's Execute number *number*: what undoes it can link to it, also after a
    restart, while the journal keeps nothing of it."""
    text = f"{context.trace_id}/{context.span_id}/{key}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1


def _server(target: str) -> _Attributes:
    """Where a gRPC target leads, as far as its text says."""
    place = target.rpartition("/")[2] if "//" in target else target
    scheme, _, rest = place.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return {"server.address": rest}
    if scheme in ("dns", "ipv4", "ipv6", "vsock", "xds"):
        place = rest
    host, _, port = place.partition(",")[0].rpartition(":")
    if not port.isdigit():
        return {"server.address": place}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def _nanoseconds(moment: float) -> int:
    return int(moment * 1_000_000_000)
