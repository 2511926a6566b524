"""Calls of one method that share a stream, which costs a fraction of as many calls by themselves.

No timer gathers them: the write under way is the window, and what is asked for meanwhile leaves together.
What the stream brings no answer to may have happened, so it is asked for again under the same id.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import status_pb2

from coordinator.client import tracing, wire
from coordinator.client.failures import status_of
from coordinator.client.patience import STREAM_AGAIN_S, retry_pauses_s
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2

# Far below what any coordinator takes as one message. A request that is larger travels by itself.
BATCH_BYTES_MAX: Final = 1 << 20
# As coordinators take in one message.
BATCH_MAX: Final = 10_000
# What comes with a request in a batch: number, timeout and traceparent. So no batch has too many requests.
_ABOUT_BYTES: Final = 105

_UNAVAILABLE: Final = grpc.StatusCode.UNAVAILABLE.value[0]
_EXPIRED: Final[Message] = status_pb2.Status(code=grpc.StatusCode.DEADLINE_EXCEEDED.value[0])


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of stream, by the names of its messages' fields."""

    batch: Callable[[], Any]
    entries: str
    request: str
    answers: str
    answer: str


ORDERS: Final = Kind(orders_pb2.PlaceOrdersRequest, "orders", "order", "orders", "order")
STARTS: Final = Kind(coordinator_pb2.StartSagasRequest, "starts", "start", "sagas", "saga")


class _Entry:
    """A call that waits for its answer; its number is 0 until it is sent."""

    __slots__ = ("answer", "ends_at", "number", "request", "size_bytes", "traceparent")

    def __init__(
        self,
        request: Message,
        traceparent: str,
        ends_at: float,
        answer: "asyncio.Future[Message | None]",
    ) -> None:
        self.request = request
        self.traceparent = traceparent
        self.ends_at = ends_at
        self.answer = answer
        self.number = 0
        self.size_bytes = request.ByteSize() + _ABOUT_BYTES

    def settle(self, answer: Message | None) -> None:
        """Wake the caller, if there is one still."""
        if not self.answer.done():
            self.answer.set_result(answer)


class Stream:
    """Opened when it is first needed and again after it broke. Two tasks of its own write and read, until
    `close`."""

    def __init__(self, kind: Kind, method: Callable[[], Any]) -> None:
        self._kind = kind
        self._method = method
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Entry] = deque()
        self._sent: dict[int, _Entry] = {}
        self._left: list[int] = []
        self._news = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        # Numbers go on where a stream breaks, so that none ever means two entries.
        self._number = 0
        self._rests_until = 0.0

    async def answer(self, request: Message, *, timeout_s: float, traceparent: str) -> Message | None:
        """The answer to *request*, or the `google.rpc.Status` that stands in its place. None: it is to be
        asked for by a call of its own, because there is no such stream at that address, or none came.

        Asks again where a call by itself would be repeated by gRPC.
        """
        ends_at = self._loop.time() + timeout_s
        answer = await self._asked(request, ends_at, traceparent)
        if is_unavailable(answer):
            for pause_s in retry_pauses_s():
                await asyncio.sleep(min(pause_s, max(ends_at - self._loop.time(), 0.0)))
                answer = await self._asked(request, ends_at, traceparent)
                if not is_unavailable(answer):
                    break
        return answer

    async def close(self) -> None:
        """End it for good; who still waits gets None."""
        self._rests_until = math.inf
        if (running := self._running) is not None:
            running.cancel()
            await asyncio.wait([running])
            # A task that was not yet begun never runs at all.
            self._ended(None)

    async def _asked(self, request: Message, ends_at: float, traceparent: str) -> Message | None:
        now = self._loop.time()
        if now >= ends_at:
            return _EXPIRED
        entry = _Entry(request, traceparent, ends_at, self._loop.create_future())
        if now < self._rests_until or entry.size_bytes > BATCH_BYTES_MAX:
            return None
        self._queue.append(entry)
        if self._running is None:
            # In a context of its own: it is part of nobody's trace.
            self._running = self._loop.create_task(self._run(), context=Context())
        self._news.set()
        timer = self._loop.call_at(ends_at, entry.settle, _EXPIRED)
        try:
            return await entry.answer
        finally:
            timer.cancel()
            if self._sent.pop(entry.number, None) is not None:
                # Sent and not answered, but nobody waits any more.
                self._left.append(entry.number)
                self._news.set()

    async def _run(self) -> None:
        """One stream, until it ends; then each caller who waits is told how."""
        end: Message | None = None
        try:
            await self._carry()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                end = status_of(error)
            elif error.code() is not grpc.StatusCode.CANCELLED:
                self._rest()
        finally:
            self._ended(end)

    async def _carry(self) -> None:
        with tracing.stream():
            call = self._method()
        writing = self._loop.create_task(self._write(call))
        try:
            async for message in call:
                if not isinstance(message, Message):
                    break  # gRPC's way to say that it could not be read
                self._settle(getattr(message, self._kind.answers))
        finally:
            call.cancel()
            writing.cancel()
            await asyncio.wait([writing])
        self._rest()

    def _rest(self) -> None:
        """What is at that address does not carry calls, or not these."""
        self._rests_until = max(self._rests_until, self._loop.time() + STREAM_AGAIN_S)

    def _ended(self, end: Message | None) -> None:
        waiting = [*self._sent.values(), *self._queue]
        self._sent.clear()
        self._queue.clear()
        self._left.clear()
        self._running = None
        for entry in waiting:
            entry.settle(end)

    async def _write(self, call: Any) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while (batch := self._batch()) is not None:
                    await call.write(batch)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # it has ended, and whoever reads is told how

    def _batch(self) -> Any:
        """What is to leave now, as much as fits; None for nothing."""
        kind = self._kind
        batch: Any = kind.batch()
        entries, now = getattr(batch, kind.entries), self._loop.time()
        bytes_left = BATCH_BYTES_MAX
        while self._queue:
            entry = self._queue[0]
            if entry.answer.done():  # its caller has left, or its time is over: it takes no room
                self._queue.popleft()
                continue
            bytes_left -= entry.size_bytes
            if bytes_left < 0:
                break
            self._queue.popleft()
            self._number += 1
            entry.number = self._number
            self._sent[entry.number] = entry
            entries.add(
                number=entry.number,
                timeout=wire.duration(max(entry.ends_at - now, 0.0)),
                traceparent=entry.traceparent,
                **{kind.request: entry.request},
            )
        batch.left.extend(self._left[:BATCH_MAX])
        del self._left[:BATCH_MAX]
        return batch if entries or batch.left else None

    def _settle(self, answers: Iterable[Any]) -> None:
        for one in answers:
            entry = self._sent.pop(one.number, None)
            if entry is not None:
                which = one.WhichOneof("answer")
                entry.settle(getattr(one, which) if which else None)


def is_unavailable(answer: Message | None) -> bool:
    """Whether gRPC would repeat a call that ends so."""
    return isinstance(answer, status_pb2.Status) and answer.code == _UNAVAILABLE
