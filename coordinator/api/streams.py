"""Many calls on one stream. Each of its entries is a call of the method that takes one, with all that stands
around that method: only its context is made up here, from the stream's and from what the entry says.

No timer gathers answers: those that become ready while a write is under way leave with the next one.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc import aio

from coordinator.api import requests
from coordinator.api.errors import proto_of, to_proto
from coordinator.api.interceptor import check_readable
from coordinator.domain.errors import Draining, InvalidRequest, Overloaded, Violation

ANSWERS_BYTES_MAX: Final = 1 << 20
"""Well below what any client takes as one message; an answer that is larger leaves by itself."""
FULL_STREAMS_MAX: Final = 2
"""As much as so many full streams hold may be held in all: one that is full leaves room for others."""
REFUSED_MAX: Final = 100
"""So many refused entries of one stream may wait to be told so: their sum is small, however many streams."""
ENTRIES_AT_ONCE: Final = 256
"""So many are begun before others get a turn."""
BATCH_MAX: Final = 10_000
"""So many entries may stand in one message, and so many numbers of those that nobody waits for any more."""

_TRACEPARENT: Final = "traceparent"

_Context = aio.ServicerContext[Any, Any]
_Call = Callable[[Message, Any], Awaitable[Message]]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of stream, by the names of its messages' fields."""

    method: str
    """What each entry is a call of, as it stands on the wire: logs and spans count it under that name."""
    entries: str
    request: str
    answers: type[Any]
    """The message that carries answers."""
    answers_field: str
    answer: str


class _Room:
    """For entries of all streams together. Each has a place from when it is read until its answer is written:
    one whose answer nobody takes costs memory, too."""

    def __init__(self, entries_max: int, had_no_room: Callable[[str], None]) -> None:
        self.entries_max: Final = entries_max
        self.had_no_room: Final = had_no_room
        self.taken = 0
        self.pace: Final = asyncio.Lock()
        """Held for a turn of the event loop: however many streams have much to read, each turn has little."""
        self.refusal: Final = to_proto(
            Overloaded(
                f"{entries_max} calls of streams are under way, or answered and not read, which is this "
                "coordinator's limit; nothing was written, try again later"
            )
        )


class Streams:
    """All streams that are open; each of them holds at most *entries_max* entries, as `_Room` counts them."""

    def __init__(
        self,
        around: Sequence[aio.ServerInterceptor],
        *,
        entries_max: int,
        had_no_room: Callable[[str], None] = lambda method: None,
    ) -> None:
        """*around* stand around each entry as they do around a call, the outermost first. *had_no_room* is
        told of each entry that is refused for want of room what method it is a call of."""
        self._around = around
        self._entries_max = entries_max
        self._room = _Room(FULL_STREAMS_MAX * entries_max, had_no_room)
        self._open: set[_Stream] = set()
        self._is_draining = False

    async def answers(
        self,
        kind: Kind,
        method: Callable[[Any, Any], Awaitable[Any]],
        batches: AsyncIterator[Any],
        context: Any,
    ) -> AsyncGenerator[Any, None]:
        """What answers the entries of *batches*, each by *method*.

        Raises:
            InvalidRequest: numbers do not rise, or a batch cannot be read.
            Draining: this coordinator stops; what was read is answered.
        """
        call = await self._intercepted(kind.method, method)
        stream = _Stream(kind, call, context, self._entries_max, self._room)
        if self._is_draining:
            raise _draining()
        self._open.add(stream)
        try:
            async with aclosing(stream.answers(batches)) as answers:
                async for message in answers:
                    yield message
        finally:
            self._open.discard(stream)

    def drain(self) -> None:
        """Read no more: each stream ends once what it has read is answered."""
        self._is_draining = True
        for stream in self._open:
            stream.drain()

    async def _intercepted(self, name: str, method: Callable[[Any, Any], Awaitable[Any]]) -> _Call:
        def call(request: Message, context: Any) -> Awaitable[Any]:
            # In here, so that a timeout which is none is answered as all else that is wrong with a request.
            context.start()
            return method(request, context)

        handler: _Handler = grpc.unary_unary_rpc_method_handler(call)
        details = cast(grpc.HandlerCallDetails, _Details(name, ()))
        for interceptor in reversed(self._around):
            handler = await interceptor.intercept_service(_giving(handler), details)
        return cast(_Call, cast(Any, handler).unary_unary)


class _Stream:
    """One stream. It owns a task for each entry under way and one that reads; none outlives it."""

    def __init__(
        self, kind: Kind, call: _Call, context: _Context, entries_max: int, room_of_all: _Room
    ) -> None:
        self._kind = kind
        self._call = call
        self._context = context
        # gRPC makes them anew for whoever asks. What place in a trace each entry has it says itself.
        self._metadata = [item for item in context.invocation_metadata() or () if item[0] != _TRACEPARENT]
        self._entries_max = entries_max
        self._room_of_all = room_of_all
        self._number = 0
        self._taken = 0
        self._open: dict[int, asyncio.Task[None]] = {}
        self._ready: deque[tuple[int, str, Message]] = deque()
        self._refused: list[int] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._reading: asyncio.Task[Exception | None] | None = None

    async def answers(self, batches: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Answers as they become ready, until what was read is answered and no more is to come."""
        reading = self._reading = asyncio.create_task(self._read_all(batches))
        reading.add_done_callback(lambda _: self._news.set())
        try:
            while self._open or not reading.done():
                await self._news.wait()
                self._news.clear()
                if reading.done() and not reading.cancelled() and (wrong := reading.result()) is not None:
                    raise wrong
                while self._ready or self._refused:
                    waiting = len(self._ready)
                    batch = self._batch()
                    places = waiting - len(self._ready)
                    yield batch
                    self._give_back(places)
            if reading.cancelled():
                raise _draining()
        finally:
            tasks = (reading, *self._open.values())
            # Before anything is waited for: that may be cancelled, too.
            self._open.clear()
            self._give_back(self._taken)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def drain(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()

    async def _read_all(self, batches: AsyncIterator[Any]) -> Exception | None:
        """What is wrong with the stream, and ends it. It is not raised: a task that an error ends keeps the
        way of that, which leads to the task again, and to the batch that was read last."""
        batches = aiter(batches)
        try:
            await self._read(batches)
        except Exception as error:
            return error.with_traceback(None)
        finally:
            # gRPC's own leads to itself and to the batch that it gave last, until it is closed.
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()
        return None

    async def _read(self, batches: AsyncIterator[Any]) -> None:
        loop = asyncio.get_running_loop()
        async for batch in batches:
            check_readable(batch)
            self._check_size(batch)
            for index, entry in enumerate(getattr(batch, self._kind.entries)):
                if index and index % ENTRIES_AT_ONCE == 0:
                    async with self._room_of_all.pace:
                        await asyncio.sleep(0)
                while self._taken >= self._entries_max or len(self._refused) >= REFUSED_MAX:
                    # Whoever takes no answers gets no further: what is held here is bounded.
                    self._room.clear()
                    await self._room.wait()
                self._check_number(index, entry.number)
                if self._room_of_all.taken < self._room_of_all.entries_max:
                    self._taken += 1
                    self._room_of_all.taken += 1
                    self._open[entry.number] = loop.create_task(self._answer(entry, loop.time()))
                else:
                    self._room_of_all.had_no_room(self._kind.method)
                    self._refused.append(entry.number)
                    self._news.set()
            # Once each, however often a batch may name it.
            for number in self._open.keys() & batch.left:
                task = self._open[number]
                task.cancel()
                # One that was not yet begun never runs at all.
                task.add_done_callback(partial(self._ended, number))

    def _check_size(self, batch: Any) -> None:
        """A batch is held until its last entry has a place, and its entries may take 35 times the memory that
        they took on the wire."""
        for field in (self._kind.entries, "left"):
            found = len(getattr(batch, field))
            if found > BATCH_MAX:
                raise InvalidRequest([Violation(field, f"expected at most {BATCH_MAX}, found {found}")])

    def _check_number(self, index: int, number: int) -> None:
        if number <= self._number:
            path = f"{self._kind.entries}[{index}].number"
            raise InvalidRequest([Violation(path, f"expected more than {self._number}, found {number}")])
        self._number = number

    async def _answer(self, entry: Any, arrived_at: float) -> None:
        kind, number = self._kind, entry.number
        try:
            context = EntryContext(self._context, self._metadata, entry, arrived_at)
            answer = await self._call(getattr(entry, kind.request), context)
            self._answered(number, kind.answer, answer)
        except _Aborted as aborted:
            self._answered(number, "status", aborted.status)
        except Exception as error:
            # Of what stands around the method, since of the method itself each error has become a status.
            self._answered(number, "status", to_proto(error))
        finally:
            self._ended(number)

    def _answered(self, number: int, field: str, answer: Message) -> None:
        self._open.pop(number, None)
        self._ready.append((number, field, answer))
        self._news.set()

    def _ended(self, number: int, *_: object) -> None:
        """An answered one is no longer open: it keeps its place until its answer is written."""
        if self._open.pop(number, None) is not None:
            self._give_back(1)
            self._news.set()

    def _give_back(self, places: int) -> None:
        self._taken -= places
        self._room_of_all.taken -= places
        self._room.set()

    def _batch(self) -> Any:
        batch = self._kind.answers()
        answers, bytes_left = getattr(batch, self._kind.answers_field), ANSWERS_BYTES_MAX
        for number in self._refused:
            answers.add(number=number, status=self._room_of_all.refusal)
        self._refused.clear()
        while self._ready:
            number, field, answer = self._ready[0]
            bytes_left -= answer.ByteSize()
            if bytes_left < 0 and answers:
                break
            self._ready.popleft()
            answers.add(number=number, **{field: answer})
        return batch


def _draining() -> Draining:
    """How a stream ends that this coordinator ends."""
    return Draining(
        "the coordinator is shutting down and reads no more of this stream; ask again, and a start under the "
        "same request id"
    )


class _Aborted(Exception):
    """A call ended with a status other than OK."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__()
        self.status = status


class EntryContext:
    """What of a call's context is asked for here: by our methods, by the interceptor and by tracing."""

    __slots__ = ("_arrived_at", "_ends_at", "_entry", "_metadata", "_stream")

    def __init__(self, stream: _Context, metadata: Sequence[object], entry: Any, arrived_at: float) -> None:
        """*metadata* is the stream's, without a place in a trace."""
        self._stream = stream
        self._metadata = metadata
        self._entry = entry
        self._arrived_at = arrived_at
        self._ends_at = math.inf

    def start(self) -> None:
        """Count the entry's time.

        Raises:
            InvalidRequest: it is no time.
        """
        if self._entry.HasField("timeout"):
            self._ends_at = self._arrived_at + requests.seconds("timeout", self._entry.timeout)

    def time_remaining(self) -> float:
        return max(self._ends_at - asyncio.get_running_loop().time(), 0.0)

    def invocation_metadata(self) -> Sequence[object]:
        """The stream's, with the entry's own place in a trace."""
        if not self._entry.traceparent:
            return self._metadata
        return [*self._metadata, _Header(_TRACEPARENT, self._entry.traceparent)]

    def peer(self) -> str:
        return self._stream.peer()

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        raise _Aborted(proto_of(status))


class _Header(NamedTuple):
    key: str
    value: str


class _Details(NamedTuple):
    method: str
    invocation_metadata: tuple[object, ...]


def _giving(handler: _Handler) -> Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]]:
    async def give(_: grpc.HandlerCallDetails) -> _Handler:
        return handler

    return give
