"""Calls to one service on streams, which costs a fraction of as many calls, or one by one where it has none.

There is no timer for sending: what is asked for while one write is under way is the next write. A service
that does not keep up fills the window of its stream, and nobody waits for that but its own calls, each until
its own deadline. No call is sent twice here: what a broken stream leaves without an answer proves nothing,
and whoever asked decides about asking again.
"""

import asyncio
import ipaddress
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from coordinator.adapters.grpc_participants.answers import (
    OUT_OF_TIME,
    add_numbered,
    broken,
    bytes_at_most,
    no_proof,
    to_numbered_answer,
    unanswered,
)
from coordinator.adapters.grpc_participants.words import is_unexplained
from coordinator.domain.outcomes import Answer, NoProof, Unproved
from coordinator.ports.deferred import Cancellable, Deferred, when_over
from coordinator.ports.participants import Call
from saga.v1 import participant_pb2 as pb

MESSAGE_BYTES_MAX: Final = 1 << 20
"""Calls that are more than this together go in several messages: servers take 4 MiB in one by default."""
ALONE_S: Final = 60.0
"""For how long calls go one by one after a stream was not to be had, or was broken by what came on it."""
ANSWERS_AT_ONCE: Final = 256
"""So many answers of one message are taken before others get a turn."""
GREETING_S: Final = 1.0
"""How long the answer to a greeting is waited for: who is in between may keep streams to itself."""
STREAMS_OF_A_NAME: Final = 4
"""To a name that may stand for several servers: each stream stays with the one that it was opened to."""
STREAM_S: Final = 5.0
"""After so long calls go on a stream that is new, where there are several: those that were opened while one
server alone was connected are all with that one, and one that came up later has none."""

_BROKEN_DOWN: Final = ("UNKNOWN", "INTERNAL")
"""What a stream ends with whose handler broke down, perhaps by one of its calls, again and again."""
_ENDED: Final = unanswered("UNAVAILABLE", "the service ended the stream of its calls")
_Open: TypeAlias = Callable[[], "grpc.aio.StreamStreamCall[bytes, bytes]"]
_Alone: TypeAlias = Callable[[Call, float], Coroutine[Any, Any, Answer]]

_log = logging.getLogger(__name__)


def streams_to(target: str) -> int:
    """How many streams reach all servers behind *target*, as far as its text tells."""
    scheme, _, rest = target.partition(":")
    if scheme in ("ipv4", "ipv6"):
        return rest.count(",") + 1
    if scheme in ("unix", "unix-abstract"):
        return 1
    host = target.removeprefix("dns:").rpartition("/")[2].rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return 1 if host == "localhost" else STREAMS_OF_A_NAME
    return 1


class StreamedCalls:
    """The calls to one service."""

    def __init__(
        self,
        service: str,
        open_stream: _Open,
        alone: _Alone,
        *,
        doubt: Callable[[], None],
        streams: int,
        decides_sampling: bool = False,
    ) -> None:
        """*alone* sends one call by itself, and is used while there are no streams. *doubt* is told where
        nothing is heard of the service. *decides_sampling* is told to the service."""
        self._service = service
        self._open = open_stream
        self._alone = alone
        self._doubt = doubt
        self._greeting = pb.PerformRequest(sampled_by_caller=decides_sampling).SerializeToString()
        self._current: list[_Stream | None] = [None] * streams
        self._next = 0
        self._all: dict[_Stream, None] = {}
        self._alone_until = 0.0

    def perform(self, call: Call, timeout_s: float) -> Awaitable[Answer]:
        """Send *call* once. Cancelling what comes back abandons it."""
        loop = asyncio.get_running_loop()
        if self._alone_until and loop.time() < self._alone_until:
            return self._alone(call, timeout_s)
        place = self._next = (self._next + 1) % len(self._current)
        stream = self._current[place]
        if stream is not None and len(self._current) > 1 and stream.opened_at + STREAM_S < loop.time():
            self._leave(stream)
            stream = None
        if stream is None:
            stream = self._current[place] = _Stream(self._open(), self._greeting, self._ended, self._is_stuck)
            self._all[stream] = None
        return stream.send(call, timeout_s)

    def renew(self) -> None:
        """Let new calls go on streams that are new: those that are open end once they are answered."""
        for stream in self._current:
            if stream is not None:
                self._leave(stream)

    async def close(self) -> None:
        """End every stream; calls still under way end as cancelled."""
        await asyncio.gather(*(stream.close() for stream in list(self._all)))

    def _leave(self, stream: "_Stream") -> None:
        """Let new calls go on another stream; those that are on this one may still be answered."""
        if stream in self._current:
            self._current[self._current.index(stream)] = None
        stream.retire()

    def _is_stuck(self, stream: "_Stream") -> None:
        self._leave(stream)
        self._doubt()

    def _ended(self, stream: "_Stream", code: str, proof: NoProof) -> None:
        """*stream* is over: by *code*, which proves *proof* of the calls on it that are not answered."""
        self._all.pop(stream, None)
        if stream in self._current:
            self._current[self._current.index(stream)] = None
        if not stream.is_up:
            self._send_alone(stream, code)
            return
        # One that nobody waits for may have been ended by whoever is in between.
        if stream.is_waited_for and (proof.kind is not Unproved.TRANSIENT or code in _BROKEN_DOWN):
            # It tells nothing of any one call. By themselves, the one that brings it about is found out, and
            # what is refused to all is refused to each.
            self._stay_alone()
            _log.warning(
                "the stream of calls to %s broke (%s): for %g s they are sent one by one",
                self._service,
                code,
                ALONE_S,
            )
            proof = unanswered(code, "the stream of its calls broke")
        stream.tell_waiting(proof)

    def _send_alone(self, stream: "_Stream", code: str) -> None:
        """There was no stream to be had, so its calls were not sent yet."""
        if code != "UNAVAILABLE":
            self._stay_alone()
        if code == OUT_OF_TIME.code:
            self._doubt()
        for answer in stream.take_waiting():
            answer.follow(self._alone(answer.call, answer.left_s()))

    def _stay_alone(self) -> None:
        self._alone_until = asyncio.get_running_loop().time() + ALONE_S


class _Answer(Deferred[Answer]):
    """The answer to one call of a stream."""

    __slots__ = ("_followed", "call", "deadline_at", "number", "sent_at", "stream", "timeout_s")

    def __init__(self, call: Call, stream: "_Stream", number: int, sent_at: float, timeout_s: float) -> None:
        """*number* is the call's on *stream*; *sent_at* is a time of the event loop's clock."""
        super().__init__()
        self.call = call
        self.stream = stream
        self.number = number
        self.sent_at = sent_at
        self.timeout_s = timeout_s
        self.deadline_at = sent_at + timeout_s
        self._followed: Cancellable | None = None

    def cancel(self) -> bool:
        if not super().cancel():
            return False
        if self._followed is not None:
            self._followed.cancel()
        else:
            self.stream.give_up(self.number)
        return True

    def left_s(self) -> float:
        """For how long it is still waited for."""
        return max(self.deadline_at - asyncio.get_running_loop().time(), 0.0)

    def follow(self, call: Awaitable[Answer]) -> None:
        """It is what *call* yields."""
        self._followed = when_over(call, self.settle)


class _Stream:
    """One stream, from its opening to its end."""

    def __init__(
        self,
        call: "grpc.aio.StreamStreamCall[bytes, bytes]",
        greeting: bytes,
        ended: Callable[["_Stream", str, NoProof], None],
        stuck: Callable[["_Stream"], None],
    ) -> None:
        self._call = call
        self._first = greeting
        self._ended = ended
        self._stuck = stuck
        self._loop = asyncio.get_running_loop()
        self.opened_at = self._loop.time()
        self._number = 0
        self._waiting: dict[int, _Answer] = {}
        self._outgoing: dict[int, _Answer] = {}
        self._given_up: list[int] = []
        self._answered_at = 0.0
        self._retired = False
        # One for all calls: hardly one of them is ever out of time.
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf
        self._news = asyncio.Event()
        self._greeted = asyncio.Event()
        self._greeting = self._loop.call_later(GREETING_S, self._not_greeted)
        self._writing = self._loop.create_task(self._write(), name="calls of a stream")
        self._reading = self._loop.create_task(self._read(), name="answers of a stream")

    @property
    def is_up(self) -> bool:
        """Whether its other end has answered the greeting: no call was sent before."""
        return self._greeted.is_set()

    @property
    def is_waited_for(self) -> bool:
        """Whether a call on it is not answered yet."""
        return bool(self._waiting)

    def send(self, call: Call, timeout_s: float) -> _Answer:
        self._number = number = self._number + 1
        answer = _Answer(call, self, number, self._loop.time(), timeout_s)
        self._outgoing[number] = self._waiting[number] = answer
        if answer.deadline_at < self._looks_at:
            self._look_at(answer.deadline_at)
        self._news.set()
        return answer

    def retire(self) -> None:
        """Take no more calls, and end once those that wait are answered or given up."""
        self._retired = True
        self._end_if_idle()

    def take_waiting(self) -> list[_Answer]:
        """The calls without an answer, which are no more this stream's."""
        waiting, self._waiting = list(self._waiting.values()), {}
        self._look_no_more()
        return waiting

    def tell_waiting(self, answer: Answer) -> None:
        for waiting in self.take_waiting():
            waiting.settle(answer)

    async def close(self) -> None:
        self._cut()
        await asyncio.gather(self._writing, self._reading, return_exceptions=True)
        self.tell_waiting(unanswered("CANCELLED", "the coordinator stops"))

    def _not_greeted(self) -> None:
        self._cut()
        self._ended(self, OUT_OF_TIME.code, OUT_OF_TIME)

    def _cut(self) -> None:
        self._greeting.cancel()
        self._writing.cancel()
        self._reading.cancel()
        self._call.cancel()

    def _end_if_idle(self) -> None:
        if self._retired and not self._waiting:
            # Not by closing its half: whoever is stuck does not see that.
            self._cut()
            self._ended(self, _ENDED.code, _ENDED)

    def give_up(self, number: int) -> None:
        """Wait no longer for the answer to the call of that *number*."""
        self._waiting.pop(number, None)
        if self._outgoing.pop(number, None) is None:
            self._given_up.append(number)
            self._news.set()
        self._end_if_idle()

    def _look_at(self, deadline_at: float) -> None:
        """See to it that somebody looks when *deadline_at* has come, and not before."""
        self._look_no_more()
        self._timer = self._loop.call_at(deadline_at, self._end_those_out_of_time)
        self._looks_at = deadline_at

    def _look_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._looks_at = math.inf

    def _end_those_out_of_time(self) -> None:
        self._look_no_more()
        now = self._loop.time()
        late = {number: answer for number, answer in self._waiting.items() if answer.deadline_at <= now}
        for number, answer in late.items():
            del self._waiting[number]
            answer.settle(OUT_OF_TIME)
            self.give_up(number)
        if self._waiting:
            self._look_at(min(answer.deadline_at for answer in self._waiting.values()))
        newest_at = max((answer.sent_at for answer in late.values()), default=0.0)
        if self.is_up and self._answered_at < newest_at and not self._retired:
            # Nothing at all was answered meanwhile: it may be stuck, which another one need not be.
            self._stuck(self)

    async def _write(self) -> None:
        try:
            await self._call.write(self._first)
            await self._greeted.wait()
            while True:
                while not (self._outgoing or self._given_up):
                    self._news.clear()
                    await self._news.wait()
                await self._call.write(self._next_message())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # whoever reads is told why

    def _next_message(self) -> bytes:
        """All that is to be said by now, as far as one message holds it."""
        request, self._given_up = pb.PerformRequest(cancelled=self._given_up), []
        size = 0
        taken: list[int] = []
        for number, answer in self._outgoing.items():
            before = len(request.calls)
            try:
                size += bytes_at_most(answer.call)
                if before and size > MESSAGE_BYTES_MAX:
                    break
                add_numbered(request, answer.call, number, answer.timeout_s)
            except Exception as error:  # a bug of ours: it costs this call's saga, and no other
                del request.calls[before:]
                # Not at once: who is told may send the next call, and these are gone through.
                self._loop.call_soon(self._break, answer, error)
            taken.append(number)
        for number in taken:
            del self._outgoing[number]
        return request.SerializeToString()

    def _break(self, answer: _Answer, error: Exception) -> None:
        """No message can hold the call of *answer*."""
        self._waiting.pop(answer.number, None)
        answer.settle(error)
        self._end_if_idle()

    async def _read(self) -> None:
        code, proof = "OK", _ENDED
        try:
            while isinstance(raw := await self._call.read(), bytes):
                if not self.is_up:
                    self._greeting.cancel()
                    self._greeted.set()
                await self._take(raw)
        except DecodeError:
            code, proof = "INTERNAL", broken("what came on the stream is no message of this protocol")
            self._call.cancel()
        except grpc.aio.AioRpcError as error:
            if is_unexplained(error):
                code = "UNAVAILABLE"
            else:
                code, proof = error.code().name, no_proof(error)
        self._greeting.cancel()
        self._writing.cancel()
        self._ended(self, code, proof)

    async def _take(self, raw: bytes) -> None:
        answers = pb.PerformResponse.FromString(raw).answers
        if len(answers) > max(self._number, ANSWERS_AT_ONCE):
            raise DecodeError("it answers more calls than there were")
        if answers:
            self._answered_at = self._loop.time()
        for index, numbered in enumerate(answers):
            if index and index % ANSWERS_AT_ONCE == 0:
                await asyncio.sleep(0)
            # One that was given up may be answered all the same, and one that was not sent yet by mistake.
            if numbered.number in self._outgoing:
                continue
            answer = self._waiting.pop(numbered.number, None)
            if answer is None:
                continue
            try:
                outcome: Answer | Exception = to_numbered_answer(answer.call, numbered)
            except Exception as error:  # a bug of ours: it costs this call's saga, and no other
                outcome = error
            answer.settle(outcome)
        self._end_if_idle()
