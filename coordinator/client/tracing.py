"""A call as part of its caller's trace, where the caller's process follows traces at all: nothing is imported
here that is not loaded already.

What may enter a span is named here: the method, the server, a status, the saga's id. Never a text, a payload
or an id that the caller made.
"""

import re
import sys
from asyncio import CancelledError
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from google.protobuf.message import Message

from coordinator.client import wire
from coordinator.client.errors import ClientError
from coordinator.client.model import Order, SagaStatus

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider

Metadata = tuple[tuple[str, str], ...]

_API: Final = "opentelemetry.trace"
_SCOPE: Final = "coordinator.client"
_HEADER: Final = "traceparent"
# What answers may be no coordinator: an id that is longer is none of ours.
_ID_CHARS_MAX: Final = 255
# What instrumentations look for before they do anything.
_LEAVE_IT_TO_US: Final = "suppress_instrumentation"
_ONE_SERVER: Final = re.compile(
    r"(?:dns:(?://[^/]*/)?|ipv[46]:)?(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:/,\s]+)):(?P<port>[0-9]{1,5})"
)
_SOCKET: Final = re.compile(r"unix:(?://)?(?P<path>/.+)")


class Traced:
    """Something of a client's while it lasts; this one is part of no trace, and costs nothing."""

    @property
    def metadata(self) -> Metadata | None:
        """What makes the coordinator go on with the trace."""
        return None

    @property
    def traceparent(self) -> str:
        """The same, for a call that has no headers of its own; empty for nothing."""
        metadata = self.metadata
        return metadata[0][1] if metadata else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def answered(self, answer: object) -> None:
        """The coordinator said this."""

    def ended(self, order: Order) -> None:
        """The order came to its end."""


_UNTRACED: Final = Traced()


def call(name: str, request: Message, target: str) -> Traced:
    """A call that brings one answer. gRPC's repetitions are within it: they are its own affair."""
    if sys.modules.get(_API) is None:
        return _UNTRACED
    from opentelemetry.trace import SpanKind, set_span_in_context

    method = wire.full_method(name, request)
    attributes = {"rpc.system.name": "grpc", "rpc.method": method, **_server(target)}
    span = _started(method, SpanKind.CLIENT, attributes)
    context = _alone(set_span_in_context(span))
    return _Call(span, context) if span.is_recording() else _Carried(context)


def order() -> Traced:
    """An order, however often it is asked for: one order is one trace."""
    if sys.modules.get(_API) is None:
        return _UNTRACED
    from opentelemetry.trace import SpanKind, set_span_in_context

    span = _started("place_order", SpanKind.INTERNAL, {})
    context = set_span_in_context(span)
    return _Spanned(span, context) if span.is_recording() else _Carried(context)


def stream() -> Traced:
    """The beginning of a call that brings many answers. It has no span: one is shown when it ends, and a
    stream may last for hours, or until its process is killed. What is asked for goes on with the trace."""
    if sys.modules.get(_API) is None:
        return _UNTRACED
    from opentelemetry.context import get_current

    return _Carried(_alone(get_current()))


class _Carried(Traced):
    """Within it *context* is the current one."""

    def __init__(self, context: "Context") -> None:
        self._context = context

    @property
    def metadata(self) -> Metadata | None:
        return _metadata(self._context)

    def __enter__(self) -> Self:
        from opentelemetry.context import attach

        self._token = attach(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry.context import detach

        detach(self._token)


class _Spanned(_Carried):
    """It is what a span shows, however it ends."""

    def __init__(self, span: "Span", context: "Context") -> None:
        super().__init__(context)
        self._span = span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is not None:
            self._failed(error)
        self._span.end()

    def answered(self, answer: object) -> None:
        self._concerns(wire.saga_id_in(answer))

    def ended(self, order: Order) -> None:
        self._concerns(order.saga_id, order.saga_status)

    def _concerns(self, saga_id: str, status: SagaStatus | None = None) -> None:
        if 0 < len(saga_id) <= _ID_CHARS_MAX:
            self._span.set_attribute("saga.id", saga_id)
        if status is not None:
            self._span.set_attribute("saga.status", str(status))

    def _failed(self, error: BaseException) -> None:
        """A status without a description: what an error says may quote what its caller gave."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", self._error_type(error))
        self._span.set_status(StatusCode.ERROR)
        if isinstance(error, ClientError):
            # Its saga_id may be what the caller asked about, which need not be one.
            self._concerns(error.metadata.get("saga_id", ""), error.status)

    def _error_type(self, error: BaseException) -> str:
        return _type_name(error)


class _Call(_Spanned):
    """A span of an RPC."""

    def answered(self, answer: object) -> None:
        super().answered(answer)
        self._span.set_attribute("rpc.response.status_code", "OK")

    def _error_type(self, error: BaseException) -> str:
        code = _code(error)
        if code:
            self._span.set_attribute("rpc.response.status_code", code)
        # An answer that cannot be read came with OK.
        return code if code not in ("", "OK") else _type_name(error)


def _started(name: str, kind: "SpanKind", attributes: dict[str, str | int]) -> "Span":
    from opentelemetry.trace import get_tracer_provider

    return _tracer_of(get_tracer_provider()).start_span(name, kind=kind, attributes=attributes)


@lru_cache(maxsize=1)
def _tracer_of(provider: "TracerProvider") -> "Tracer":
    """Made once: to make one is most of the price of a span that is not recorded."""
    return provider.get_tracer(_SCOPE)


def _alone(context: "Context") -> "Context":
    """*context*, with instrumentations of gRPC told to leave this call alone: theirs would be a second span
    of the same call, with texts of errors in it, and would put its own headers in place of ours."""
    from opentelemetry.context import set_value

    return set_value(_LEAVE_IT_TO_US, True, context)


def _metadata(context: "Context") -> Metadata | None:
    """Of what W3C Trace Context carries, the ids alone: tracestate may hold anything."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context)
    return ((_HEADER, carrier[_HEADER]),) if _HEADER in carrier else None


@lru_cache(maxsize=8)
def _server(target: str) -> Mapping[str, str | int]:
    """Where a target leads, if that is to one place, and else the target itself."""
    if (one := _ONE_SERVER.fullmatch(target)) is not None:
        return {"server.address": one["v6"] or one["host"], "server.port": int(one["port"])}
    socket = _SOCKET.fullmatch(target)
    return {"server.address": target if socket is None else socket["path"]}


def _code(error: BaseException) -> str:
    """The name of the gRPC status that *error* stands for; empty where there is none."""
    if isinstance(error, CancelledError):
        return "CANCELLED"
    return error.code if isinstance(error, ClientError) else ""


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
