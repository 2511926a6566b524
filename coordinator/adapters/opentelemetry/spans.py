"""Follows sagas (the port `Tracing`): a short span for each thing that happens, all under the saga's trace.

The parent of them all is a span that ends once the saga is durable; its context lies in the journal, so that
whoever drives the saga after a restart goes on with the same trace. No span is held open longer than a call
lasts. Nobody's words enter: names, codes, numbers.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext

from coordinator.adapters.opentelemetry.attempt import AttemptSpan, add_consequences
from coordinator.adapters.opentelemetry.drafts import Attributes, Draft
from coordinator.adapters.opentelemetry.handled import handled, handled_span
from coordinator.adapters.opentelemetry.ids import ChosenIds, span_context
from coordinator.adapters.opentelemetry.notebook import Note
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
from coordinator.domain.saga import Saga
from coordinator.domain.saga import Status as SagaStatus
from coordinator.domain.summary import SagaSummary
from coordinator.domain.trace import TraceContext, recorded_trace, unsampled
from coordinator.ports.participants import Call
from coordinator.ports.tracing import Attempt

PLACES_MAX: Final = 1_024


class SagaSpans:
    """Keeps the port `Tracing`."""

    def __init__(
        self,
        provider: TracerProvider,
        ids: ChosenIds,
        targets: Mapping[str, str],
        note: Callable[[Note], None],
    ) -> None:
        """*ids* are those that *provider* gives out; *targets* says where each service is; *note* gets all
        that happens, each a span."""
        self._bounds = Bounds(provider.sampler)
        self._ids = ids
        self._servers = {service: _server(target) for service, target in targets.items()}
        self._note = note
        self._places: dict[str, SpanContext] = {}
        """Those of sagas that are recorded, by their text: each step asks for its saga's."""

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
        span_id = self._ids.generate_span_id()
        trace = str(TraceContext(f"{trace_id:032x}", f"{span_id:016x}", sampled))
        if sampled:
            self._remember(trace, span_context(trace_id, span_id))
        return trace

    def unrecorded(self, trace: str) -> str:
        return unsampled(trace)

    def started(self, saga: Saga) -> None:
        place = self._recorded(saga.trace)
        if place is None:
            return
        call = handled_span()
        call.set_attribute("saga.id", saga.id)
        self._note(partial(self._started, saga, place, call.get_span_context(), time.time_ns()))

    def concerns(self, trace: str) -> None:
        context = self._recorded(trace)
        if context is None:
            return
        call = handled_span()
        if not call.is_recording():
            return
        if call.get_span_context().trace_id != context.trace_id:
            call.add_link(context)

    def attempt(self, saga: Saga, call: Call) -> Attempt | None:
        place = self._recorded(saga.trace)
        if place is None:
            return None
        server = self._servers.get(call.service, {})
        return AttemptSpan(saga, call, place, self._ids.generate_span_id, server, self._note)

    def happened(self, saga: Saga, event: Event) -> None:
        place = self._recorded(saga.trace)
        if place is not None:
            self._note(partial(self._happened, saga, event, place, time.time_ns()))

    def rested(self, summary: SagaSummary) -> None:
        place = self._recorded(summary.trace)
        if place is not None:
            self._note(partial(self._rested, summary, place, time.time_ns()))

    def _recorded(self, trace: str) -> SpanContext | None:
        """The place that *trace* names, if its trace is recorded: by what was said when it began, and by the
        sampler of this process."""
        place = self._places.get(trace)
        if place is not None:
            return place
        context = recorded_trace(trace)
        if context is None:
            return None
        trace_id = int(context.trace_id, 16)
        if not self._bounds.take(trace_id, context):
            return None
        place = span_context(trace_id, int(context.span_id, 16))
        self._remember(trace, place)
        return place

    def _remember(self, trace: str, place: SpanContext) -> None:
        if len(self._places) >= PLACES_MAX:
            self._places.clear()
        self._places[trace] = place

    def _started(self, saga: Saga, place: SpanContext, caller: SpanContext, at_ns: int) -> Draft:
        # Told with the start of the saga, whose end nobody could wait for: the span is its becoming durable.
        draft = Draft(
            f"saga {saga.definition.name}",
            place,
            caller if caller.is_valid else None,
            _about(saga.id, saga.definition.name),
            started_ns=_nanoseconds(saga.started_at),
        )
        draft.end(at_ns)
        return draft

    def _happened(self, saga: Saga, event: Event, place: SpanContext, at_ns: int) -> Draft:
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
            case ExpressionFailed(step=of, place=failed):
                what = "expression failed"
                attributes["saga.code"] = failed
                attributes |= {"saga.step": of} if of is not None else {}
            case _:
                what = type(event).__name__
        draft = self._moment(f"saga {saga.definition.name} {what}", place, attributes, at_ns)
        if isinstance(event, DeadlinePassed):
            draft.add_event("saga.deadline", at_ns=at_ns)
        if isinstance(event, ExpressionFailed):
            draft.fail()
        add_consequences(draft, event, saga, at_ns)
        return draft

    def _rested(self, summary: SagaSummary, place: SpanContext, at_ns: int) -> Draft:
        attributes = _about(summary.id, summary.saga_name)
        attributes["saga.status"] = summary.status.value
        attributes["saga.forced"] = summary.forced
        draft = self._moment(f"saga {summary.saga_name} ended", place, attributes, at_ns)
        if summary.needs_person:
            draft.add_event("saga.dead_letter", at_ns=at_ns)
        if summary.status is not SagaStatus.COMPLETED:
            draft.fail()
        return draft

    def _moment(self, name: str, saga: SpanContext, attributes: Attributes, at_ns: int) -> Draft:
        """A span under that of *saga* which lasts no time."""
        context = span_context(saga.trace_id, self._ids.generate_span_id())
        draft = Draft(name, context, saga, attributes, started_ns=at_ns)
        draft.end(at_ns)
        return draft


def _about(saga_id: str, saga_name: str) -> Attributes:
    return {"saga.id": saga_id, "saga.name": saga_name}


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
