"""The server's side of a call: a span by opentelemetry-instrumentation-grpc, within the caller's trace.

The library reads what the caller sent through the process's one propagator, so that is ours: of a stranger's
headers it takes a `traceparent` that is one, and nothing else.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

from grpc import HandlerCallDetails, StatusCode, aio
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, TraceFlags, set_span_in_context
from opentelemetry.trace import StatusCode as SpanStatus

from coordinator.adapters.opentelemetry.ids import written
from coordinator.domain.trace import parse_trace

# Of a server's answers those that say something about the server, by the RPC semantic conventions.
_SERVER_FAULTS: Final = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
# W3C Baggage, 3.2: at most 64 members are to be kept, and 8192 bytes.
_BAGGAGE_BYTES_MAX: Final = 8192
_BAGGAGE_MEMBERS_MAX: Final = 64
_SAGA_ID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
_MEMBER: Final = re.compile(rf"[ \t]*{_TOKEN}[ \t]*=[ \t]*{_VALUE}[ \t]*(?:;[\x20-\x2b\x2d-\x7e]*)?")


class CallerContext(TextMapPropagator):
    """Takes a caller's `traceparent` and hands none on: what we call gets that of its saga.

    `tracestate` and baggage may hold anything, so they end here.
    """

    def __init__(self, ignored: Callable[[str], None]) -> None:
        """*ignored* is told the name of a header that breaks its rules."""
        self._ignored = ignored

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        context = Context() if context is None else context
        baggage = getter.get(carrier, "baggage")
        if baggage and not (_is_text(baggage) and _is_baggage(",".join(baggage))):
            self._ignored("baggage")
        given = getter.get(carrier, "traceparent")
        if not given:
            return context
        # Of several headers gRPC hands out one.
        caller = parse_trace(given[0]) if _is_text(given) else None
        if caller is None:
            self._ignored("traceparent")
            return context
        flags = TraceFlags(TraceFlags.SAMPLED if caller.sampled else TraceFlags.DEFAULT)
        parent = SpanContext(int(caller.trace_id, 16), int(caller.span_id, 16), True, flags)
        return set_span_in_context(NonRecordingSpan(parent), context)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Nothing is handed on."""

    @property
    def fields(self) -> set[str]:
        return {"traceparent", "baggage"}


def server_interceptor(provider: TracerProvider, methods: Collection[str]) -> aio.ServerInterceptor:
    """A span for each call of *methods*. Streams should not be among them: they last as long as their reader
    likes, and no span is held open for hours."""

    def is_followed(call: HandlerCallDetails) -> bool:
        return call.method in methods

    interceptor: aio.ServerInterceptor = aio_server_interceptor(provider, is_followed)  # type: ignore[no-untyped-call]
    return interceptor


def call_ended(code: StatusCode, saga_id: str) -> None:
    """Tell the span of the call that is being handled how it ended. The library does not know that of a call
    that ends with a status of details, nor of one whose caller has left."""
    span = trace.get_current_span()
    if not span.is_recording():
        return
    span.set_attribute("rpc.response.status_code", code.name)
    # A request may name anything, of any length.
    if _SAGA_ID.fullmatch(saga_id):
        span.set_attribute("saga.id", saga_id)
    if code in _SERVER_FAULTS:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(SpanStatus.ERROR))


def current_trace() -> str:
    """The `traceparent` of the call that is being handled; "" where none is."""
    context = trace.get_current_span().get_span_context()
    return written(context) if context.is_valid else ""


def _is_text(values: Sequence[object]) -> bool:
    """gRPC hands out as bytes what is no ASCII."""
    return all(isinstance(value, str) for value in values)


def _is_baggage(text: str) -> bool:
    members = text.split(",")
    return (
        len(text) <= _BAGGAGE_BYTES_MAX
        and len(members) <= _BAGGAGE_MEMBERS_MAX
        and all(_MEMBER.fullmatch(member) for member in members)
    )
