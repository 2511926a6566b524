"""The server's side of a call: a span by opentelemetry-instrumentation-grpc, within the caller's trace.

Of a hundred calls ninety-nine may not be recorded, and the library takes as much trouble over those. So it
is called in only where a call is. Entries of streams are no calls of gRPC: their spans are ours.

The library reads what the caller sent through the process's one propagator, so that is ours: of a stranger's
headers it takes a `traceparent` that is one, and nothing else.
"""

import random
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote

import grpc
from grpc import HandlerCallDetails, StatusCode, aio
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
from opentelemetry.trace import Span, SpanKind, Status
from opentelemetry.trace import StatusCode as SpanStatus

from coordinator.adapters.opentelemetry.drafts import Attributes, Draft
from coordinator.adapters.opentelemetry.handled import handled, handled_span
from coordinator.adapters.opentelemetry.ids import ChosenIds, span_context, unrecorded_place, written
from coordinator.adapters.opentelemetry.notebook import Note
from coordinator.adapters.opentelemetry.sampling import Bounds, place_of, under_caller
from coordinator.domain.trace import TraceContext, parse_trace
from coordinator.domain.values import frozen

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
        self,
        provider: TracerProvider,
        ids: ChosenIds,
        methods: Collection[str],
        headers: CallerContext,
        note: Callable[[Note], None],
    ) -> None:
        """*ids* are those that *provider* gives out. *methods* answer once: a stream lasts as long as its
        reader likes, and no span is held open for hours. *note* gets each entry that is over."""
        self._bounds = Bounds(provider.sampler)
        self._ids = ids
        self._methods = methods
        self._headers = headers
        self._note = note
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
            seen = self._seen(context)
            if isinstance(seen, _Sampled):
                spanned = await self._spanned(details, handler)
                # No other trace is begun before the one of this call is.
                self._ids.trace_id = seen.trace_id if seen.caller is None else None
                return await spanned(request, context)
            token = handled.set(seen)
            try:
                return await handler.unary_unary(request, context)
            finally:
                handled.reset(token)

        return answer

    def _seen(self, context: _Context) -> "str | _Sampled":
        """Where the call of *context* is in its caller's trace, if nobody records it; "" if it is in none."""
        headers: dict[str, str | bytes] = {}
        for key, value in context.invocation_metadata() or ():
            if key in _HEADERS:
                headers[key] = value
        caller = _caller(default_getter.get(headers, "traceparent")) if headers else None
        trace_id = random.getrandbits(128) or 1 if caller is None else int(caller.trace_id, 16)
        if self._bounds.take(trace_id, caller):
            return _Sampled(trace_id, caller, headers)
        if headers:
            self._headers.check(headers)
        return "" if caller is None else unrecorded_place(trace_id, self._ids.generate_span_id())

    def _draft(self, method: str, context: _Context, sampled: "_Sampled") -> Draft:
        """The span of an entry, as the library's would be once it has the names of today."""
        if sampled.headers:  # of a call, the library has them checked itself
            self._headers.check(sampled.headers)
        return Draft(
            method,
            span_context(sampled.trace_id, self._ids.generate_span_id()),
            None if sampled.caller is None else place_of(sampled.caller),
            {"rpc.system.name": "grpc", "rpc.method": method, **_peer(context.peer())},
            kind=SpanKind.SERVER,
        )

    async def _spanned(self, details: HandlerCallDetails, handler: _Handler) -> Callable[..., Awaitable[Any]]:
        async def give(_: HandlerCallDetails) -> _Handler:
            return handler

        spanned: Any = await self._library.intercept_service(give, details)
        behaviour: Callable[..., Awaitable[Any]] = spanned.unary_unary
        return behaviour


@frozen
class _Sampled:
    """A call that is recorded: the id of its trace, where its caller is in that, if there is one, and those
    of its headers that are ours to read."""

    trace_id: int
    caller: TraceContext | None
    headers: dict[str, str | bytes]


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

        behaviour: Callable[..., Awaitable[Any]] = handler.unary_unary
        method = details.method.lstrip("/")

        # No coroutine of its own stands around most entries, which nobody records.
        def answer(request: Any, context: _Context) -> Awaitable[Any]:
            seen = calls._seen(context)
            if isinstance(seen, _Sampled):
                return recorded(request, context, seen)
            # It ends with the entry's task.
            handled.set(seen)
            return behaviour(request, context)

        async def recorded(request: Any, context: _Context, sampled: _Sampled) -> Any:
            draft = calls._draft(method, context, sampled)
            handled.set(draft)
            try:
                return await behaviour(request, context)
            finally:
                draft.end()
                calls._note(lambda: draft)

        return grpc.unary_unary_rpc_method_handler(answer)


def call_follower() -> Callable[[StatusCode, str], None] | None:
    """Who is to be told how the call that is being handled ends; None where that is not recorded."""
    # Most are not, and the library is not asked about those.
    if isinstance(handled.get(), str):
        return None
    span = handled_span()
    return partial(_ended, span) if span.is_recording() else None


def _ended(span: Span | Draft, code: StatusCode, saga_id: str) -> None:
    """The library does not know that of a call that ends with a status of details, nor of one whose caller
    has left."""
    span.set_attribute("rpc.response.status_code", code.name)
    # A request may name anything, of any length.
    if _SAGA_ID.fullmatch(saga_id):
        span.set_attribute("saga.id", saga_id)
    if code in _SERVER_FAULTS:
        span.set_attribute("error.type", code.name)
        if isinstance(span, Draft):
            span.fail()
        else:
            span.set_status(Status(SpanStatus.ERROR))


def current_trace() -> str:
    """The `traceparent` of the call that is being handled; "" where none is."""
    call = handled.get()
    if isinstance(call, str):
        return call
    context = handled_span().get_span_context()
    return written(context) if context.is_valid else ""


def _caller(traceparent: Sequence[object] | None) -> TraceContext | None:
    # Of several headers gRPC hands out one.
    return parse_trace(str(traceparent[0])) if traceparent and _is_text(traceparent) else None


@lru_cache
def _peer(peer: str) -> Attributes:
    """Who *peer* is, which gRPC writes as in "ipv4:127.0.0.1:57284"; nobody, behind a socket's path."""
    _, _, place = peer.partition(":")
    host, _, port = unquote(place).rpartition(":")
    if peer.startswith("unix:") or not port.isdigit():
        return {}
    return {"network.peer.address": host, "network.peer.port": int(port)}


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
