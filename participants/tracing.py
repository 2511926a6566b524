"""A call as part of the trace that its caller goes on with, where this process follows traces at all.

Nothing is imported here that is not loaded already.  What may enter a span is named here: ids, names,
an outcome and its code.  Never a payload, a key or a text: what a service says is for its saga alone.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
import sys
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from functools import lru_cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc
from grpc import StatusCode

from participants import status
from participants.base import Business, Output
from participants.calls import Answer, Call, Faulted, Operation, Pending, Refused, Succeeded
from participants.errors import BusinessError, Rejected, Unavailable
from participants.requests import NAME_LENGTH_MAX

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

API: Final = "opentelemetry.trace"
SCOPE: Final = "participants"
HEADER: Final = "traceparent"
# Of a trace and of a UUID alike, in hexadecimal.
ID_DIGITS: Final = 32
# As both ids of a `traceparent` can be made of them: neither may be all zeros.
DIGITS: Final = re.compile(r"[0-9a-f]{16}(?!0{16})[0-9a-f]{16}")
METHODS: Final = {
    Operation.EXECUTE: "saga.v1.ParticipantService/Execute",
    Operation.COMPENSATE: "saga.v1.ParticipantService/Compensate",
}
# The semantic conventions count these as the server's failure; of any other status the caller is the cause.
FAILURES: Final = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
OUTCOMES: Final[dict[type[Answer], str]] = {
    Succeeded: "SUCCEEDED",
    Refused: "REFUSED",
    Pending: "PENDING",
    Faulted: "FAULTED",
}
Answered = TypeVar("Answered")


class Traced:
    """One call while it is served; this one is part of no trace, and costs nothing."""

    @property
    def trace(self) -> str:
        """The span of the call, as a `traceparent`."""
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def concerns(self, call: Call) -> None:
        """The call has been understood."""

    def answered(self, answer: Answer | None) -> None:
        """What the call will be told."""

    def noting(self, work: Awaitable[Answered]) -> Awaitable[Answered]:
        """*work*, noting the reason of an error on its way to the caller."""
        return work


_UNTRACED: Final = Traced()


def served(context: grpc.aio.ServicerContext[Any, Any], operation: Operation) -> Traced:
    """The call that *context* belongs to, to be entered while it is served."""
    if sys.modules.get(API) is None:
        return _UNTRACED
    from opentelemetry.trace import get_current_span

    caller = _caller(context)
    current = get_current_span()
    if _is_of_the_same_call(current, caller):
        return _Joined(current)
    return _spanned(operation, caller, partial(_code_of_served, context))


def streamed(traceparent: str, operation: Operation, time_left_s: float | None) -> Traced:
    """A call that came on a stream with others, to be entered while it is served.  A span that somebody has
    made for the stream is not this call's: it lasts as long as all of them."""
    if sys.modules.get(API) is None:
        return _UNTRACED
    deadline_at = math.inf if time_left_s is None else time.monotonic() + time_left_s
    return _spanned(operation, _extracted({HEADER: traceparent}), partial(_code_of_streamed, deadline_at))


def unrecorded(saga_id: str) -> str:
    """A place in a trace for a call whose caller records nothing of it: as a `traceparent`, with the digits
    of its saga's id if that is a UUID, else with some that follow from it.  Empty where nothing is followed
    here."""
    if sys.modules.get(API) is None:
        return ""
    digits = saga_id.replace("-", "")
    if DIGITS.fullmatch(digits) is None:
        digits = hashlib.sha256(saga_id.encode()).hexdigest()[:ID_DIGITS]
    return f"00-{digits}-{digits[ID_DIGITS // 2 :]}-00"


def within(business: Business) -> Business:
    """*business*, to run with the context of the call that is served now, so that what it does belongs to the
    trace: the thread that it runs on has a context of its own."""
    if sys.modules.get(API) is None:
        return business
    from opentelemetry.trace import get_current_span

    if not get_current_span().get_span_context().is_valid:
        return business
    context = copy_context()

    def run(db: sqlite3.Connection, call: Call) -> Output:
        return context.run(business, db, call)

    return run


class _Followed(Traced):
    """A call that has a place in a trace."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def trace(self) -> str:
        return _header(self._span)


class _Carried(_Followed):
    """A call whose place is the current one while it is served, and which shows nothing."""

    def __enter__(self) -> Self:
        from opentelemetry.context import attach
        from opentelemetry.trace import set_span_in_context

        self._token = attach(set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry.context import detach

        detach(self._token)


class _Joined(_Followed):
    """A call whose span is another's, such as an instrumentation's: it is told what it cannot know."""

    def concerns(self, call: Call) -> None:
        self._span.set_attributes(
            {
                "saga.id": call.saga_id,
                "saga.name": call.saga_name,
                "saga.step": call.step,
                # Of all names this one may be of any length.
                "saga.service": call.service[:NAME_LENGTH_MAX],
                "saga.attempt": call.attempt,
            }
        )

    def answered(self, answer: Answer | None) -> None:
        if answer is None:
            return
        self._span.set_attribute("saga.outcome", OUTCOMES[type(answer)])
        if isinstance(answer, Refused | Faulted):
            self._span.set_attribute("saga.code", answer.code)

    async def noting(self, work: Awaitable[Answered]) -> Answered:
        try:
            return await work
        except (BusinessError, Rejected, Unavailable) as error:
            self._span.set_attribute("saga.code", error.reason)
            raise


class _Spanned(_Joined, _Carried):
    """A call with a span of ours."""

    def __init__(self, span: Span, code_of: Callable[[BaseException], StatusCode]) -> None:
        super().__init__(span)
        self._code_of = code_of

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry import trace as api

        super().__exit__(kind, error, trace)
        code = StatusCode.OK if error is None else self._code_of(error)
        self._span.set_attribute("rpc.response.status_code", code.name)
        if code in FAILURES:
            # Without a description, and without the error: both may quote what a service said.
            self._span.set_attribute("error.type", code.name)
            self._span.set_status(api.StatusCode.ERROR)
        self._span.end()


def _spanned(operation: Operation, caller: Context, code_of: Callable[[BaseException], StatusCode]) -> Traced:
    from opentelemetry.trace import SpanKind, get_tracer_provider

    method = METHODS[operation]
    attributes = {"rpc.system.name": "grpc", "rpc.method": method}
    tracer = _tracer_of(get_tracer_provider())
    span = tracer.start_span(method, context=caller, kind=SpanKind.SERVER, attributes=attributes)
    return _Spanned(span, code_of) if span.is_recording() else _Carried(span)


@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    """Made once: to make one is most of the price of a span that is not recorded."""
    return provider.get_tracer(SCOPE)


def _code_of_served(served: grpc.aio.ServicerContext[Any, Any], error: BaseException) -> StatusCode:
    if isinstance(error, CancelledError):
        # The caller is gone, or its time is: gRPC cancels for both, and tells neither.
        # Its types say that there is a time in any case; a call without a deadline has none.
        left_s: float | None = served.time_remaining()
        out_of_time = left_s is not None and left_s <= 0
        return StatusCode.DEADLINE_EXCEEDED if out_of_time else StatusCode.CANCELLED
    code: StatusCode | None = served.code()
    return StatusCode.UNKNOWN if code is None else code


def _code_of_streamed(deadline_at: float, error: BaseException) -> StatusCode:
    if isinstance(error, Exception):
        return status.code_of(error)
    out_of_time = deadline_at <= time.monotonic()
    return StatusCode.DEADLINE_EXCEEDED if out_of_time else StatusCode.CANCELLED


def _caller(context: grpc.aio.ServicerContext[Any, Any]) -> Context:
    """The span that the call's metadata names, and nothing else; empty where that is none.  What was current
    when the server was started is no caller, and tracestate may hold anything."""
    return _extracted({key: value for key, value in context.invocation_metadata() or () if key == HEADER})


def _extracted(carrier: Mapping[str, str | bytes]) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(carrier)


def _is_of_the_same_call(current: Span, caller: Context) -> bool:
    """Whether somebody has made a span for this call already: one that is recorded, serves, and has this
    call's caller.  But for the last, a span in which the server was started would be taken for it."""
    from opentelemetry.trace import SpanKind, get_current_span

    if not current.is_recording() or getattr(current, "kind", None) is not SpanKind.SERVER:
        return False
    theirs = getattr(current, "parent", None)
    ours = get_current_span(caller).get_span_context()
    if theirs is None:
        return not ours.is_valid
    return bool((theirs.trace_id, theirs.span_id) == (ours.trace_id, ours.span_id))


def _header(span: Span) -> str:
    from opentelemetry.trace import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span))
    return carrier.get(HEADER, "")
