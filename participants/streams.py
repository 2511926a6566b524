"""Many calls on one stream: each is performed by itself, and what is ready leaves together.

There is no timer: what becomes ready while one write is under way is the next write.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from google.rpc import status_pb2
from grpc import StatusCode

from participants import tracing
from participants.calls import Call, Operation, Reply
from participants.errors import InvalidRequest, StreamBroken, Violation
from participants.requests import read_compensate, read_execute
from participants.responses import fill
from participants.status import about, explain
from participants.tracing import Traced
from saga.v1 import participant_pb2 as pb

# Of a caller that reads no answers, or asks for more than can be done, no more calls than this are taken in.
CALLS_MAX: Final = 1024
# So many numbers of calls that nobody waits for any more are gone through before others get a turn.
CANCELLED_AT_ONCE: Final = 16_384
# Answers that are more than this together go in several messages: callers take 4 MiB in one by default.
MESSAGE_BYTES_MAX: Final = 1024 * 1024
OUT_OF_TIME: Final = status_pb2.Status(
    code=StatusCode.DEADLINE_EXCEEDED.value[0], message="Deadline Exceeded"
)
Perform: TypeAlias = Callable[[Call, float | None, Traced], Awaitable[Reply]]
# What one call is told: a reply to what it asked for, or the status with which it ends.
Told: TypeAlias = tuple[Operation, Reply] | status_pb2.Status


@dataclass(slots=True)
class UnderWay:
    """A call that is still to be answered.  Whoever cancels it takes it out of the stream's."""

    task: asyncio.Task[None]
    deadline_at: float


class Stream:
    """One stream while it is open."""

    def __init__(self, requests: AsyncIterator[pb.PerformRequest], perform: Perform) -> None:
        self._perform = perform
        self._loop = asyncio.get_running_loop()
        self._newest = 0
        self._calls: dict[int, UnderWay] = {}
        # One for all calls: hardly one of them is ever out of time.
        self._timer: asyncio.TimerHandle | None = None
        # Requests without anything in them, each of which is answered by its like.
        self._greetings = 0
        # Whether the caller decides which calls are recorded in traces.
        self._sampled_by_caller = False
        self._ready: list[tuple[int, Told]] = []
        self._broken: StreamBroken | None = None
        # Messages that are still to be sent, and how many answers are in those and in the one being sent.
        self._leaving: deque[pb.PerformResponse] = deque()
        self._leaving_count = 0
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()
        self._reading = asyncio.create_task(self._read_all(requests))
        self._reading.add_done_callback(lambda _: self._has_news.set())

    async def next(self) -> pb.PerformResponse | None:
        """What is ready by now, once the message before it is sent; None when no more calls come, by the
        caller's will or by `end`, and all are answered.

        Raises:
            InvalidRequest: A number came again, and nobody could tell which of the calls an answer is for.
            StreamBroken: A fault plan wants it so.
        """
        if not self._leaving:
            self._leaving_count = 0
            self._has_room.set()
            while not (self._ready or self._greetings):
                if self._is_done():
                    return None
                self._has_news.clear()
                await self._has_news.wait()
            if self._greetings:
                self._greetings -= 1
                return pb.PerformResponse()
            ready, self._ready = self._ready, []
            self._leaving.extend(_responses(ready))
            self._leaving_count = len(ready)
        return self._leaving.popleft()

    def end(self) -> None:
        """Take in no more calls."""
        self._reading.cancel()

    async def close(self) -> None:
        """Give up what is under way, as gRPC does with a call by itself whose caller is gone."""
        tasks = [self._reading, *(call.task for call in self._calls.values())]
        for task in tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_done(self) -> bool:
        if self._broken is not None:
            raise self._broken
        if not self._reading.done():
            return False
        if not self._reading.cancelled() and (wrong := self._reading.result()) is not None:
            raise wrong
        return not self._calls

    async def _read_all(self, requests: AsyncIterator[pb.PerformRequest]) -> Exception | None:
        """What is wrong with the stream, and ends it.  It is not raised: a task that an error ends keeps the
        way of that, which leads to the task again, and to the message that was read last."""
        requests = aiter(requests)
        try:
            await self._read(requests)
        except Exception as error:
            return error.with_traceback(None)
        finally:
            # gRPC's own leads to itself and to the message that it gave last, until it is closed.
            if isinstance(requests, AsyncGenerator):
                await requests.aclose()
        return None

    async def _read(self, requests: AsyncIterator[pb.PerformRequest]) -> None:
        async for request in requests:
            if not request.calls and not request.cancelled:
                self._greetings += 1
                self._sampled_by_caller |= request.sampled_by_caller
                self._has_news.set()
            for start in range(0, len(request.cancelled), CANCELLED_AT_ONCE):
                if start:
                    await asyncio.sleep(0)
                for number in self._calls.keys() & request.cancelled[start : start + CANCELLED_AT_ONCE]:
                    self._give_up(number)
            for numbered in request.calls:
                while len(self._calls) + len(self._ready) + self._leaving_count >= CALLS_MAX:
                    self._has_room.clear()
                    await self._has_room.wait()
                self._begin(numbered)

    def _begin(self, numbered: pb.NumberedCall) -> None:
        number = numbered.number
        if number <= self._newest:
            raise InvalidRequest([Violation("calls.number", "must be larger than the one before")])
        self._newest = number
        timeout_s = _timeout_s(numbered)
        kind = numbered.WhichOneof("call")
        if kind is None:
            self._tell(number, _wrong("calls.call", "must be set"))
        elif timeout_s is None:
            self._start(number, numbered, None)
        elif timeout_s < 0:
            self._tell(number, _wrong("calls.timeout", "must not be negative"))
        elif timeout_s == 0:
            self._tell(number, OUT_OF_TIME)
        else:
            self._start(number, numbered, timeout_s)

    def _start(self, number: int, numbered: pb.NumberedCall, timeout_s: float | None) -> None:
        operation = Operation.EXECUTE if numbered.HasField("execute") else Operation.COMPENSATE
        # Understood here: a call that takes long would keep the message with all the others in memory.
        call = _understood(numbered)
        caller = numbered.traceparent
        if not caller and self._sampled_by_caller:
            request = numbered.execute if operation is Operation.EXECUTE else numbered.compensate
            caller = tracing.unrecorded(request.saga_id)
        task = self._loop.create_task(self._serve(number, operation, call, timeout_s, caller))
        deadline_at = math.inf if timeout_s is None else self._loop.time() + timeout_s
        self._calls[number] = UnderWay(task, deadline_at)
        self._look_at(deadline_at)

    async def _serve(
        self,
        number: int,
        operation: Operation,
        call: Call | InvalidRequest,
        timeout_s: float | None,
        traceparent: str,
    ) -> None:
        told: Told
        traced = tracing.streamed(traceparent, operation, timeout_s)
        try:
            with traced:
                if isinstance(call, InvalidRequest):
                    work: Awaitable[Reply] = _fail(call)
                else:
                    work = self._perform(call, timeout_s, traced)
                told = operation, await traced.noting(work)
        except StreamBroken as broken:
            self._broken = broken
            self._has_news.set()
            return
        except Exception as error:
            # Of what was not understood, nothing is logged.
            told = explain(error, **about(call, traced.trace) if isinstance(call, Call) else {})
        if self._calls.pop(number, None) is not None:
            self._tell(number, told)

    def _look_at(self, deadline_at: float) -> None:
        """See to it that somebody looks when *deadline_at* has come, if not earlier."""
        if deadline_at == math.inf or (self._timer is not None and self._timer.when() <= deadline_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline_at, self._end_those_out_of_time)

    def _end_those_out_of_time(self) -> None:
        now = self._loop.time()
        for number in [number for number, call in self._calls.items() if call.deadline_at <= now]:
            self._give_up(number)
            self._tell(number, OUT_OF_TIME)
        self._timer = None
        self._look_at(min((call.deadline_at for call in self._calls.values()), default=math.inf))

    def _give_up(self, number: int) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            call.task.cancel()

    def _tell(self, number: int, told: Told) -> None:
        self._ready.append((number, told))
        self._has_news.set()


def _timeout_s(numbered: pb.NumberedCall) -> float | None:
    if not numbered.HasField("timeout"):
        return None
    return float(numbered.timeout.seconds + numbered.timeout.nanos / 1_000_000_000)


def _understood(numbered: pb.NumberedCall) -> Call | InvalidRequest:
    try:
        if numbered.HasField("execute"):
            return read_execute(numbered.execute)
        return read_compensate(numbered.compensate)
    except InvalidRequest as error:
        return error.with_traceback(None)


async def _fail(why: InvalidRequest) -> NoReturn:
    raise why


def _wrong(field: str, sentence: str) -> status_pb2.Status:
    return explain(InvalidRequest([Violation(field, sentence)]))


def _responses(ready: Sequence[tuple[int, Told]]) -> Iterator[pb.PerformResponse]:
    """What is ready, in one message, or in several where that would be too large for a caller."""
    response = pb.PerformResponse()
    for number, told in ready:
        answer = response.answers.add()
        answer.number = number
        if isinstance(told, status_pb2.Status):
            answer.status.CopyFrom(told)
        else:
            operation, reply = told
            fill(answer.execute if operation is Operation.EXECUTE else answer.compensate, reply)
    if len(ready) > 1 and response.ByteSize() > MESSAGE_BYTES_MAX:
        half = len(ready) // 2
        yield from _responses(ready[:half])
        yield from _responses(ready[half:])
    else:
        yield response
