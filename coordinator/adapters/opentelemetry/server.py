"""The server's side of a call: a span by opentelemetry-instrumentation-grpc, within the caller's trace.

Of a hundred calls ninety-nine may not be recorded, and the library takes as much trouble over those. So it
is called in only where a call is.

The library reads what the caller sent through the process's one propagator, so that is ours: of a stranger's
headers it takes a `traceparent` that is one, and nothing else.
"""

import random
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, cast

import grpc
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
from opentelemetry.trace import Span, Status
from opentelemetry.trace import StatusCode as SpanStatus

from coordinator.adapters.opentelemetry.ids import (
    ChosenIds,
    Unrecorded,
    unrecorded,
    unrecorded_place,
    written,
)
from coordinator.adapters.opentelemetry.sampling import Bounds, under_caller
from coordinator.domain.trace import TraceContext, parse_trace

_Context = aio.ServicerContext[Any, Any]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"

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
_HEADERS: Final = frozenset({"traceparent", "baggage"})
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
        self.check(carrier, getter)
        caller = _caller(getter.get(carrier, "traceparent"))
        return context if caller is None else under_caller(caller, context)

    def check(self, carrier: CarrierT, getter: Getter[CarrierT] = default_getter) -> None:
        """Tell of headers that break their rules."""
        traceparent, baggage = getter.get(carrier, "traceparent"), getter.get(carrier, "baggage")
        if baggage and not (_is_text(baggage) and _is_baggage(",".join(map(str, baggage)))):
            self._ignored("baggage")
        if traceparent and _caller(traceparent) is None:
            self._ignored("traceparent")

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Nothing is handed on."""

    @property
    def fields(self) -> set[str]:
        return set(_HEADERS)


class SampledCalls(aio.ServerInterceptor):
    """A span for each call that is sampled; of the others it is only kept where they are in their trace."""

    def __init__(
        self, provider: TracerProvider, ids: ChosenIds, methods: Collection[str], headers: CallerContext
    ) -> None:
        """*ids* are those that *provider* gives out. *methods* answer once: a stream lasts as long as its
        reader likes, and no span is held open for hours."""
        self._bounds = Bounds(provider.sampler)
        self._ids = ids
        self._methods = methods
        self._headers = headers
        self._library: aio.ServerInterceptor = aio_server_interceptor(provider)  # type: ignore[no-untyped-call]

    async def intercept_service(
        self,
        continuation: Callable[[HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: HandlerCallDetails,
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method not in self._methods:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._answering(handler_call_details, handler),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def for_entries(self) -> aio.ServerInterceptor:
        """Does for entries of streams what this does for calls. Each has a task of its own."""
        return _SampledEntries(self)

    def _answering(self, details: HandlerCallDetails, handler: Any) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, context: _Context) -> Any:
            call, begins = self._seen(context)
            if call is None:
                return await self._recorded(details, handler, begins, request, context)
            token = unrecorded.set(call)
            try:
                return await handler.unary_unary(request, context)
            finally:
                unrecorded.reset(token)

        return answer

    def _seen(self, context: _Context) -> tuple[Unrecorded | None, int | None]:
        """The call of *context*, if nobody records it. Else the id of the trace that it begins, if it is part
        of none yet."""
        headers = {key: value for key, value in context.invocation_metadata() or () if key in _HEADERS}
        caller = _caller(default_getter.get(headers, "traceparent")) if headers else None
        trace_id = random.getrandbits(128) or 1 if caller is None else int(caller.trace_id, 16)
        if self._bounds.take(trace_id, caller):
            return None, trace_id if caller is None else None
        if headers:  # the library does so itself where it is called in
            self._headers.check(headers)
        place = "" if caller is None else unrecorded_place(trace_id, self._ids.generate_span_id())
        return Unrecorded(trace_id, place), None

    async def _recorded(
        self,
        details: HandlerCallDetails,
        handler: _Handler,
        begins: int | None,
        request: Any,
        context: _Context,
    ) -> Any:
        spanned = await self._spanned(details, handler)
        # No other trace is begun before the one of this call is.
        self._ids.trace_id = begins
        return await spanned(request, context)

    async def _spanned(self, details: HandlerCallDetails, handler: _Handler) -> Callable[..., Awaitable[Any]]:
        async def give(_: HandlerCallDetails) -> _Handler:
            return handler

        spanned: Any = await self._library.intercept_service(give, details)
        behaviour: Callable[..., Awaitable[Any]] = spanned.unary_unary
        return behaviour


class _SampledEntries(aio.ServerInterceptor):
    """What `SampledCalls.for_entries` gives."""

    def __init__(self, calls: SampledCalls) -> None:
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: HandlerCallDetails,
    ) -> _Handler:
        calls, details = self._calls, handler_call_details
        handler: Any = await continuation(details)
        if handler is None or details.method not in calls._methods:
            return cast(_Handler, handler)

        # No coroutine of its own stands around most entries, which nobody records.
        def answer(request: Any, context: _Context) -> Awaitable[Any]:
            call, begins = calls._seen(context)
            if call is None:
                return calls._recorded(details, handler, begins, request, context)
            # It ends with the entry's task.
            unrecorded.set(call)
            behaviour: Callable[..., Awaitable[Any]] = handler.unary_unary
            return behaviour(request, context)

        return grpc.unary_unary_rpc_method_handler(answer)


def call_follower() -> Callable[[StatusCode, str], None] | None:
    """Who is to be told how the call that is being handled ends; None where that is not recorded."""
    if unrecorded.get() is not None:
        return None
    span = trace.get_current_span()
    return partial(_ended, span) if span.is_recording() else None


def _ended(span: Span, code: StatusCode, saga_id: str) -> None:
    """The library does not know that of a call that ends with a status of details, nor of one whose caller
    has left."""
    span.set_attribute("rpc.response.status_code", code.name)
    # A request may name anything, of any length.
    if _SAGA_ID.fullmatch(saga_id):
        span.set_attribute("saga.id", saga_id)
    if code in _SERVER_FAULTS:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(SpanStatus.ERROR))


def current_trace() -> str:
    """The `traceparent` of the call that is being handled; "" where none is."""
    if (call := unrecorded.get()) is not None:
        return call.place()
    context = trace.get_current_span().get_span_context()
    return written(context) if context.is_valid else ""


def _caller(traceparent: Sequence[object] | None) -> TraceContext | None:
    # Of several headers gRPC hands out one.
    return parse_trace(str(traceparent[0])) if traceparent and _is_text(traceparent) else None


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
