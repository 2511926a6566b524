"""Follows sagas (the port `Tracing`): a short span for each thing that happens, all under the saga's trace.

The parent of them all is a span that ends once the saga is durable; its context lies in the journal, so that
whoever drives the saga after a restart goes on with the same trace. No span is held open longer than a call
lasts. Nobody's words enter: names, codes, numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, SpanKind

from coordinator.adapters.no_tracing import NoAttempt
from coordinator.adapters.opentelemetry.attempt import AttemptSpan, add_consequences
from coordinator.adapters.opentelemetry.drafts import Attributes, Draft
from coordinator.adapters.opentelemetry.handled import handled, handled_span
from coordinator.adapters.opentelemetry.ids import ChosenIds, execute_span_id, span_context
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
from coordinator.domain.ids import execute_key
from coordinator.domain.saga import Saga, StepOutcome, StepState
from coordinator.domain.saga import Status as SagaStatus
from coordinator.domain.summary import SagaSummary
from coordinator.domain.trace import RECORDED, UNRECORDED, TraceContext, own_trace, recorded_trace, unsampled
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
        # A saga's place is asked for by each of its steps.
        self._recorded = lru_cache(maxsize=1_024)(self._read)

    def begin(self) -> str:
        call = handled.get()
        if isinstance(call, str):
            return call  # no two spans will have its place: there are none
        context = handled_span().get_span_context()
        if context.is_valid:
            trace_id, sampled = context.trace_id, context.trace_flags.sampled
        else:
            trace_id = self._ids.generate_trace_id()
            sampled = self._bounds.take(trace_id, None)
        return str(TraceContext(f"{trace_id:032x}", f"{self._ids.generate_span_id():016x}", sampled))

    # Each call of nearly each saga comes here.
    unfollowed = staticmethod(own_trace)

    def started(self, saga: Saga) -> None:
        if not saga.trace or (context := self._recorded(saga.trace)) is None:
            return
        call = handled_span()
        call.set_attribute("saga.id", saga.id)
        caller = call.get_span_context()
        # Told with the start of the saga, whose end nobody could wait for: the span is its becoming durable.
        self._draft(
            f"saga {saga.definition.name}",
            context,
            caller if caller.is_valid else None,
            _about(saga.id, saga.definition.name),
            started_ns=_nanoseconds(saga.started_at),
        ).end()

    def concerns(self, trace: str) -> None:
        context = self._recorded(trace)
        if context is None:
            return
        call = handled_span()
        if not call.is_recording():
            return
        if call.get_span_context().trace_id != context.trace_id:
            call.add_link(context)

    def attempt(self, saga: Saga, call: Call) -> Attempt:
        # Most are in none that is recorded, and each has many calls.
        if not saga.trace or saga.trace.endswith(UNRECORDED):
            return _UNRECORDED
        place = self._recorded(saga.trace)
        if place is None:
            return NoAttempt(unsampled(saga.trace))
        step = saga.step(call.step)
        direction = "Execute" if isinstance(call, ExecuteCall) else "Compensate"
        attributes: Attributes = {
            "saga.id": saga.id,
            "saga.name": call.saga_name,
            "rpc.system.name": "grpc",
            "rpc.method": _METHODS + direction,
            **self._servers.get(call.service, {}),
            "saga.step": call.step,
            "saga.service": call.service,
            "saga.attempt": call.attempt,
        }
        links: Sequence[Link] = ()
        if isinstance(call, ExecuteCall):
            calls_before = step.calls
            span_id = execute_span_id(saga.trace, call.key, calls_before + 1)
        else:
            calls_before = step.undo.attempt - 1 + step.undo.pendings if step.undo is not None else 0
            span_id = self._ids.generate_span_id()
            links = _undone(place, saga, step)
        span = self._draft(
            f"{direction} {call.step}",
            span_context(place.trace_id, span_id),
            place,
            attributes,
            kind=SpanKind.CLIENT,
            links=links,
        )
        if calls_before:
            span.add_event("saga.retry", {"saga.attempt": call.attempt})
        return AttemptSpan(span, f"{saga.trace[:36]}{span_id:016x}{RECORDED}")

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
        if not summary.trace or (context := self._recorded(summary.trace)) is None:
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

    def _read(self, trace: str) -> SpanContext | None:
        """The place that *trace* names, if its trace is recorded: by what was said when it began, and by the
        sampler of this process."""
        context = recorded_trace(trace)
        if context is None:
            return None
        trace_id = int(context.trace_id, 16)
        return (
            span_context(trace_id, int(context.span_id, 16)) if self._bounds.take(trace_id, context) else None
        )

    def _start(
        self,
        name: str,
        saga: SpanContext,
        attributes: Attributes,
    ) -> Draft:
        """A span under that of *saga*, which begins now."""
        context = span_context(saga.trace_id, self._ids.generate_span_id())
        return self._draft(name, context, saga, attributes)

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


def _about(saga_id: str, saga_name: str) -> Attributes:
    return {"saga.id": saga_id, "saga.name": saga_name}


def _undone(place: SpanContext, saga: Saga, step: StepState) -> Sequence[Link]:
    """A link to the last Execute, whose effect is undone. It can be named without having been kept."""
    answered = step.outcome in (StepOutcome.SUCCEEDED, StepOutcome.REFUSED) and not step.by_hand
    number = step.calls + answered
    if not number:
        return ()
    span_id = execute_span_id(saga.trace, execute_key(saga.id, step.name, step.round), number)
    return (Link(span_context(place.trace_id, span_id), {"saga.link": "undoes"}),)


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
