"""Stands around every call of ours: is it time, how did it end, who is still running.

Errors become statuses here and nowhere else. Only a method's name, its code and its duration are logged:
never a request, and of an error that nobody raised on purpose neither its text, since that may quote one.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode, aio

from coordinator.api.errors import NotReady, row_of, to_status
from coordinator.domain.errors import (
    InvalidRequest,
    JournalCorrupt,
    JournalDamaged,
    Overloaded,
    SagaError,
    Violation,
)

OURS: Final = "/saga."
OPERATORS: Final = "/saga.v1.OperatorService/"
_FRAMES_LOGGED_MAX: Final = 5
# What a caller did wrong is usual; these say something about us or about our load.
_UNUSUAL: Final = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAVAILABLE,
    }
)

_log = logging.getLogger(__name__)

Ended: TypeAlias = Callable[[StatusCode, str], None]
"""Is told of a call before its answer leaves: its code, and the saga concerned if any."""

_Context = aio.ServicerContext[Any, Any]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Behaviour: TypeAlias = Callable[[Any, aio.ServicerContext[Any, Any]], Awaitable[Any]]


@runtime_checkable
class _HasOneForEntries(Protocol):
    def for_entries(self) -> aio.ServerInterceptor:
        """What does for entries of streams as it does for calls."""
        ...


def of_entries(around: aio.ServerInterceptor) -> aio.ServerInterceptor:
    """What stands around an entry where *around* stands around a call."""
    return around.for_entries() if isinstance(around, _HasOneForEntries) else around


class CallInterceptor(aio.ServerInterceptor):
    """Gate, error table, access log and registry of running calls, for the services of this project."""

    def __init__(
        self,
        follower: Callable[[], Ended | None] = lambda: None,
        *,
        calls_open_max: int,
        had_no_room: Callable[[str], None] = lambda method: None,
    ) -> None:
        """*follower* says of the call that begins who follows it; None for nobody. Beyond *calls_open_max*
        callers are refused, and *had_no_room* is told of what method; operators never are, since they come
        where there is too much of something."""
        self._follower = follower
        self._calls_open_max = calls_open_max
        self._had_no_room = had_no_room
        self._calls_open = 0
        self.is_open = False
        """Whether sagas may be asked for; until then every call is answered UNAVAILABLE."""
        self._running: set[asyncio.Task[Any]] = set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(OURS):
            return handler
        return self._surrounded(method, handler, needs_place=not method.startswith(OPERATORS))

    def for_entries(self) -> aio.ServerInterceptor:
        """Stands around entries of streams as this does around calls. They need no place among those: their
        stream has one, and they have room of their own."""
        return _EntryInterceptor(self)

    def _surrounded(
        self, method: str, handler: "grpc.RpcMethodHandler[Any, Any]", *, needs_place: bool
    ) -> _Handler:
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream, needs_place),
                _reader(handler.request_deserializer),
                handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(method, handler.stream_stream, needs_place),
                _reader(handler.request_deserializer),
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._around(method, handler.unary_unary, needs_place),
            _reader(handler.request_deserializer),
            handler.response_serializer,
        )

    async def settled(self, timeout_s: float) -> None:
        """Wait until no call of ours runs: the server's own stop does not wait for those that it aborts."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    def _stream(self, method: str, behaviour: Any, needs_place: bool) -> _Behaviour:
        async def send_all(request: Any, context: _Context) -> None:
            # Written from here, not yielded on: when the client leaves, one cancellation unwinds it all.
            messages: AsyncGenerator[Any, None] = behaviour(request, context)
            async with aclosing(messages):
                async for message in messages:
                    try:
                        await context.write(message)
                    except Exception as error:
                        if not _has_left(error):
                            raise
                        raise asyncio.CancelledError from None

        return self._around(method, send_all, needs_place)

    def _around(self, method: str, behaviour: Any, needs_place: bool) -> _Behaviour:
        async def run(request: Any, context: _Context) -> Any:
            loop = asyncio.get_running_loop()
            began_at, code, reason = loop.time(), StatusCode.OK, ""
            saga_id, ended = "", self._follower()
            has_place = False
            task = asyncio.current_task()
            if task is not None:
                self._running.add(task)
            try:
                try:
                    self._check_gate()
                    if needs_place:
                        self._check_room(method)
                        self._calls_open += 1
                        has_place = True
                    check_readable(request)
                    answer = await behaviour(request, context)
                    if ended is not None:
                        saga_id = _saga_id(answer)
                    return answer
                except Exception as error:
                    if ended is not None:
                        saga_id = _saga_id(error)
                    code, reason, *_ = row_of(error)[1:]
                    if code is StatusCode.INTERNAL:
                        _log_fault(method, error)
                    status = to_status(error)
                await context.abort_with_status(status)
            except asyncio.CancelledError:
                code = StatusCode.CANCELLED
                raise
            finally:
                if has_place:
                    self._calls_open -= 1
                if task is not None:
                    self._running.discard(task)
                if ended is not None:
                    ended(code, _saga_id(request) or saga_id)
                level = logging.INFO if code in _UNUSUAL else logging.DEBUG
                if _log.isEnabledFor(level):
                    duration_ms = round((loop.time() - began_at) * 1000, 3)
                    told = {"method": method, "code": code.name, "reason": reason, "duration_ms": duration_ms}
                    _log.log(level, "call ended", extra=told)

        return run

    def _check_gate(self) -> None:
        if not self.is_open:
            raise NotReady(
                "the coordinator is starting and first takes up the sagas of its journal; nothing was "
                "written, ask again"
            )

    def _check_room(self, method: str) -> None:
        if self._calls_open >= self._calls_open_max:
            self._had_no_room(method)
            raise Overloaded(
                f"{self._calls_open_max} calls are open, which is this coordinator's limit; nothing was "
                "written, try again later"
            )


class _EntryInterceptor(aio.ServerInterceptor):
    """What `CallInterceptor.for_entries` gives."""

    def __init__(self, calls: CallInterceptor) -> None:
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return self._calls._surrounded(handler_call_details.method, handler, needs_place=False)


def _has_left(error: Exception) -> bool:
    """Whether *error* is that of a write to a caller who just left: gRPC keeps its class to itself."""
    return type(error).__name__ == "ExecuteBatchError"


def _saga_id(message: object) -> str:
    """The saga that a request, an answer or an error names; "" for none."""
    named: object = getattr(message, "saga_id", "") or getattr(getattr(message, "saga", None), "saga_id", "")
    return named if isinstance(named, str) else ""


class _Unreadable:
    """Stands for a request that is not a message of its method."""


_UNREADABLE: Final = _Unreadable()


def _reader(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Like *deserialize*, but for bytes that are no such message: gRPC itself would answer UNKNOWN, which
    says nothing about whether a saga was started."""

    def read(data: bytes) -> Any:
        try:
            return data if deserialize is None else deserialize(data)
        except DecodeError:
            return _UNREADABLE

    return read


def check_readable(request: object) -> None:
    """Look whether a message came.

    Raises:
        InvalidRequest: bytes came that are none of its method's.
    """
    if isinstance(request, _Unreadable):
        sentence = "is not a message of this method: broken, nested too deep, or text that is not UTF-8"
        raise InvalidRequest([Violation("request", sentence)])


def _log_fault(method: str, error: Exception) -> None:
    """Where it happened and what sort it is; its text only if it is one of ours."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED_MAX:]
    what = (
        "a call met damage: %s; put back a copy of the journal"
        if isinstance(error, JournalCorrupt | JournalDamaged)
        else "a call failed by a fault of ours: %s"
    )
    _log.error(
        what,
        error if isinstance(error, SagaError) else type(error).__name__,
        extra={
            "method": method,
            "at": [f"{frame.name} ({Path(frame.filename).name}:{frame.lineno})" for frame in frames],
        },
    )
