"""Follows sagas (the port `Tracing`): a short span for each thing that happens, all under the saga's trace.

The parent of them all is a span that ends once the saga is durable; its context lies in the journal, so that
whoever drives the saga after a restart goes on with the same trace. No span is held open longer than a call
lasts. Nobody's words enter: names, codes, numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, SpanKind, get_current_span

from coordinator.adapters.no_tracing import NoAttempt
from coordinator.adapters.opentelemetry.attempt import AttemptSpan, add_consequences
from coordinator.adapters.opentelemetry.drafts import Attributes, Draft
from coordinator.adapters.opentelemetry.ids import ChosenIds, execute_span_id, span_context, unrecorded
from coordinator.adapters.opentelemetry.sampling import Bounds
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    SagaResumed,
    StepOmitted,
)
from coordinator.domain.ids import SagaId, execute_key
from coordinator.domain.saga import Saga, StepOutcome, StepState
from coordinator.domain.saga import Status as SagaStatus
from coordinator.domain.summary import SagaSummary
from coordinator.domain.trace import UNRECORDED, TraceContext, own_trace, recorded_trace, unsampled
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.ports.tracing import Attempt

_UNRECORDED: Final = NoAttempt(None)
_METHODS: Final = "saga.v1.ParticipantService/"


class SagaSpans:
    """Keeps the port `Tracing`."""

    def __init__(
        self,
        provider: TracerProvider,
        ids: ChosenIds,
        targets: Mapping[str, str],
        keep: Callable[[Draft], None],
    ) -> None:
        """*ids* are those that *provider* gives out; *targets* says where each service is; *keep* gets each
        span that has ended."""
        self._bounds = Bounds(provider.sampler)
        self._ids = ids
        self._servers = {service: _server(target) for service, target in targets.items()}
        self._keep = keep

    def begin(self, saga_id: SagaId) -> str:
        if (call := unrecorded.get()) is not None:
            # No two spans will have its place: there are none.
            return call.place(self._own(saga_id))
        handled = get_current_span().get_span_context()
        if handled.is_valid:
            trace_id, sampled = handled.trace_id, handled.trace_flags.sampled
        else:
            trace_id = self._ids.generate_trace_id()
            sampled = self._bounds.take(trace_id, None)
        return str(TraceContext(f"{trace_id:032x}", f"{self._ids.generate_span_id():016x}", sampled))

    def _own(self, saga_id: SagaId) -> str:
        """Where a saga is that nobody has given a place; "" if that would be recorded."""
        own = own_trace(saga_id)
        return "" if self._bounds.take_alone(own[3:35]) else own

    def started(self, saga: Saga) -> None:
        context = self._recorded(saga.trace)
        if context is None:
            return
        handled = get_current_span()
        handled.set_attribute("saga.id", saga.id)
        caller = handled.get_span_context()
        # Told with the start of the saga, whose end nobody could wait for: the span is its becoming durable.
        self._draft(
            f"saga {saga.definition.name}",
            _place(context),
            caller if caller.is_valid else None,
            _about(saga.id, saga.definition.name),
            started_ns=_nanoseconds(saga.started_at),
        ).end()

    def concerns(self, trace: str) -> None:
        context = self._recorded(trace)
        if context is None:
            return
        handled = get_current_span()
        if not handled.is_recording():
            return
        if handled.get_span_context().trace_id != int(context.trace_id, 16):
            handled.add_link(_place(context))

    def attempt(self, saga: Saga, call: Call) -> Attempt:
        # Most are not, and each has many calls.
        if saga.trace.endswith(UNRECORDED):
            return _UNRECORDED
        context = self._recorded(saga.trace)
        if context is None:
            return NoAttempt(unsampled(saga.trace))
        step = saga.step(call.step)
        direction = "Execute" if isinstance(call, ExecuteCall) else "Compensate"
        attributes: Attributes = {
            **_about(saga.id, saga.definition.name),
            "rpc.system.name": "grpc",
            "rpc.method": _METHODS + direction,
            **self._servers.get(call.service, {}),
            "saga.step": call.step,
            "saga.service": call.service,
            "saga.attempt": call.attempt,
        }
        calls_before, span_id = step.calls, None
        links: Sequence[Link] = ()
        if isinstance(call, ExecuteCall):
            span_id = execute_span_id(context, call.key, calls_before + 1)
        else:
            calls_before = step.undo.attempt - 1 + step.undo.pendings if step.undo is not None else 0
            links = _undone(context, saga, step)
        span = self._start(
            f"{direction} {call.step}",
            context,
            attributes,
            kind=SpanKind.CLIENT,
            span_id=span_id,
            links=links,
        )
        if calls_before:
            span.add_event("saga.retry", {"saga.attempt": call.attempt})
        return AttemptSpan(span)

    def happened(self, saga: Saga, event: Event) -> None:
        context = self._recorded(saga.trace)
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
            case StepOmitted(step=step):
                what = "omitted a step"
                attributes["saga.step"] = step
            case ExpressionFailed(step=of, place=place):
                what = "expression failed"
                attributes["saga.code"] = place
                attributes |= {"saga.step": of} if of is not None else {}
            case _:
                what = type(event).__name__
        span = self._start(f"saga {saga.definition.name} {what}", context, attributes)
        if isinstance(event, DeadlinePassed):
            span.add_event("saga.deadline")
        if isinstance(event, ExpressionFailed):
            span.fail()
        add_consequences(span, event, saga)
        span.end()

    def rested(self, summary: SagaSummary) -> None:
        context = self._recorded(summary.trace)
        if context is None:
            return
        attributes = _about(summary.id, summary.saga_name)
        attributes["saga.status"] = summary.status.value
        attributes["saga.forced"] = summary.forced
        span = self._start(f"saga {summary.saga_name} ended", context, attributes)
        if summary.needs_person:
            span.add_event("saga.dead_letter")
        if summary.status is not SagaStatus.COMPLETED:
            span.fail()
        span.end()

    def _recorded(self, trace: str) -> TraceContext | None:
        """The place that *trace* names, if its trace is recorded: by what was said when it began, and by the
        sampler of this process."""
        context = recorded_trace(trace)
        if context is None or not self._bounds.take(int(context.trace_id, 16), context):
            return None
        return context

    def _start(
        self,
        name: str,
        saga: TraceContext,
        attributes: Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        span_id: int | None = None,
    ) -> Draft:
        """A span under that of *saga*, which begins now."""
        if span_id is None:
            span_id = self._ids.generate_span_id()
        context = span_context(saga.trace_id, span_id)
        return self._draft(name, context, _place(saga), attributes, kind=kind, links=links)

    def _draft(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        started_ns: int | None = None,
    ) -> Draft:
        return Draft(
            name, context, parent, attributes, self._keep, kind=kind, links=links, started_ns=started_ns
        )


def _place(context: TraceContext) -> SpanContext:
    return span_context(context.trace_id, int(context.span_id, 16))


def _about(saga_id: str, saga_name: str) -> Attributes:
    return {"saga.id": saga_id, "saga.name": saga_name}


def _undone(context: TraceContext, saga: Saga, step: StepState) -> Sequence[Link]:
    """A link to the last Execute, whose effect is undone. It can be named without having been kept."""
    answered = step.outcome in (StepOutcome.SUCCEEDED, StepOutcome.REFUSED) and not step.by_hand
    number = step.calls + answered
    if not number:
        return ()
    span_id = execute_span_id(context, execute_key(saga.id, step.name, step.round), number)
    return (Link(span_context(context.trace_id, span_id), {"saga.link": "undoes"}),)


def _server(target: str) -> Attributes:
    """Where a gRPC target leads: host and port or a socket's path if that is one place, else the target."""
    scheme, _, rest = target.partition(":")
    if scheme == "unix":
        return {"server.address": rest.removeprefix("//")}
    # "dns://asked-server/host:port": of what names a server to be asked, nothing is shown.
    place = rest.rpartition("/")[2] if scheme in ("dns", "ipv4", "ipv6") else target
    host, _, port = place.rpartition(":")
    if not port.isdigit() or "," in place or not host:
        return {"server.address": target}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def _nanoseconds(moment: float) -> int:
    return int(moment * 1_000_000_000)
