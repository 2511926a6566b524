"""Calls and answers as they stand on a stream, and what a stream does where no network can be made to err."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import status_pb2

from coordinator.adapters.grpc_participants import streams
from coordinator.adapters.grpc_participants.answers import (
    add_numbered,
    bytes_at_most,
    to_answer,
    to_numbered_answer,
    to_request,
)
from coordinator.adapters.grpc_participants.streams import StreamedCalls, streams_to
from coordinator.domain.ids import FencingToken, IdempotencyKey, SagaId, StepName
from coordinator.domain.outcomes import Answer, NoProof, Pending, Succeeded, Unproved
from coordinator.ports.deferred import Deferred
from coordinator.ports.participants import Call, CompensateCall, ExecuteCall
from saga.v1 import participant_pb2 as pb

KEY = "s-1/charge/execute"
EXECUTE = ExecuteCall(
    key=IdempotencyKey(KEY),
    saga_id=SagaId("s-1"),
    saga_name="Order",
    service="Payments",
    step=StepName("charge"),
    transaction="chargeCard",
    attempt=2,
    token=FencingToken(7),
    input='{"amount":12345678901234567890}',
    trace="00-a-b-01",
)
COMPENSATE = CompensateCall(
    key=IdempotencyKey(KEY),
    saga_id=SagaId("s-1"),
    saga_name="Order",
    service="Payments",
    step=StepName("charge"),
    compensation=None,
    attempt=1,
    token=FencingToken(7),
    input="{}",
    receipt=None,
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("127.0.0.1:50061", 1),
        ("localhost:50061", 1),
        ("[::1]:50061", 1),
        ("dns:///127.0.0.1:50061", 1),
        ("dns:localhost:50061", 1),
        ("dns://8.8.8.8/10.0.0.1:50061", 1),
        ("unix:/run/payments.sock", 1),
        ("unix:///run/payments.sock", 1),
        ("unix-abstract:payments", 1),
        ("ipv4:10.0.0.1:50061", 1),
        ("ipv4:10.0.0.1:50061,10.0.0.2:50061", 2),
        ("ipv6:[::1]:50061,[::2]:50061,[::3]:50061", 3),
        ("payments:50061", streams.STREAMS_OF_A_NAME),
        ("dns:///payments.shop.svc:50061", streams.STREAMS_OF_A_NAME),
        ("dns:payments:50061", streams.STREAMS_OF_A_NAME),
        ("dns://8.8.8.8/payments:50061", streams.STREAMS_OF_A_NAME),
    ],
)
def test_there_are_as_many_streams_as_may_be_servers(target: str, expected: int) -> None:
    assert streams_to(target) == expected


def to_numbered(call: Call, number: int, timeout_s: float) -> pb.NumberedCall:
    """*call* as a request carries it."""
    request = pb.PerformRequest()
    add_numbered(request, call, number, timeout_s)
    (numbered,) = request.calls
    return numbered


@pytest.mark.parametrize("call", [EXECUTE, COMPENSATE])
def test_a_numbered_call_is_the_call_that_would_be_sent_alone(call: Call) -> None:
    numbered = to_numbered(call, 41, 2.5)
    asked = numbered.execute if isinstance(call, ExecuteCall) else numbered.compensate
    assert asked == to_request(call)
    assert numbered.WhichOneof("call") == ("execute" if isinstance(call, ExecuteCall) else "compensate")
    assert (numbered.number, numbered.traceparent) == (41, call.trace)


def test_every_field_of_an_undo_is_sent() -> None:
    call = replace(
        COMPENSATE, compensation="refund", input='{"amount":1}', receipt='{"id":1}', trace="00-a-b-01"
    )
    assert to_numbered(call, 41, 2.5) == pb.NumberedCall(
        number=41,
        timeout=Duration(seconds=2, nanos=500_000_000),
        traceparent="00-a-b-01",
        compensate=pb.CompensateRequest(
            idempotency_key=KEY,
            saga_id="s-1",
            saga_name="Order",
            service="Payments",
            step="charge",
            compensation="refund",
            attempt=1,
            fencing_token=7,
            input_json='{"amount":1}',
            execute_output_json='{"id":1}',
        ),
    )


@pytest.mark.parametrize("timeout_s", [0.0, 1e-9, 0.001, 0.5, 0.9999999999, 1.0, 59.999999999, 86_400.25])
def test_a_timeout_is_sent_as_a_length_that_may_be_sent(timeout_s: float) -> None:
    timeout = to_numbered(EXECUTE, 1, timeout_s).timeout
    assert 0 <= timeout.nanos < 1_000_000_000
    assert timeout.seconds + timeout.nanos / 1e9 == pytest.approx(timeout_s, abs=1e-8)
    assert to_numbered(EXECUTE, 1, timeout_s).HasField("timeout")


@pytest.mark.parametrize(
    "text", ["{}", f'"{"x" * 99_999}"', f'"{"€" * 99_999}"'], ids=["short", "ascii", "wide"]
)
def test_a_call_takes_no_more_than_is_said_and_hardly_less(text: str) -> None:
    name, longest = "n" * 100, IdempotencyKey("k" * 255)
    common: dict[str, Any] = {
        "key": longest,
        "saga_id": SagaId("01a22587-1e23-70a4-9767-e662ccd40108"),
        "saga_name": name,
        "service": name,
        "step": StepName(name),
        "attempt": (1 << 31) - 1,
        "token": FencingToken((1 << 63) - 1),
        "input": text,
        "trace": "t" * 55,
    }
    execute = ExecuteCall(transaction=name, **common)
    for call in (
        execute,
        CompensateCall(compensation=name, receipt=None, **common),
        CompensateCall(compensation=name, receipt=text, **common),
    ):
        size = pb.PerformRequest(calls=[to_numbered(call, (1 << 63) - 1, 86_400.25)]).ByteSize()
        assert size <= bytes_at_most(call) < size + 1_024


OUTCOMES: list[dict[str, Any]] = [
    {"succeeded": pb.Succeeded(output_json='{"b": 1, "a": 2}')},
    {"succeeded": pb.Succeeded()},
    {"succeeded": pb.Succeeded(output_json="NaN")},
    {"succeeded": pb.Succeeded(output_json="[" * 100)},
    {"refused": pb.Refused(code="NO_FUNDS", message="sorry\x00 \nno")},
    {"pending": pb.Pending()},
    {"pending": pb.Pending(ask_again_after=Duration(seconds=1, nanos=500_000_000))},
    {"faulted": pb.Faulted(code="not a code", message="m", retry_after=Duration(seconds=3))},
    {"faulted": pb.Faulted()},
    {"idempotency_key": "another", "succeeded": pb.Succeeded()},
    {"idempotency_key": "", "succeeded": pb.Succeeded()},
    {},
]


@pytest.mark.parametrize("call", [EXECUTE, COMPENSATE])
@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_an_answer_is_the_same_verdict_on_a_stream_as_it_is_alone(
    call: Call, outcome: dict[str, Any]
) -> None:
    said = {"idempotency_key": KEY, **outcome}
    if isinstance(call, ExecuteCall):
        response: pb.ExecuteResponse | pb.CompensateResponse = pb.ExecuteResponse(**said)
        numbered = pb.NumberedAnswer(number=1, execute=pb.ExecuteResponse(**said))
    else:
        response = pb.CompensateResponse(**said)
        numbered = pb.NumberedAnswer(number=1, compensate=pb.CompensateResponse(**said))
    assert to_numbered_answer(call, numbered) == to_answer(call, response.SerializeToString())


_DONE = pb.ExecuteResponse(idempotency_key=KEY, succeeded=pb.Succeeded())
_UNDONE = pb.CompensateResponse(idempotency_key=KEY, succeeded=pb.Succeeded())


@pytest.mark.parametrize(
    ("call", "numbered"),
    [
        (EXECUTE, pb.NumberedAnswer(number=1)),
        (EXECUTE, pb.NumberedAnswer(number=1, compensate=_UNDONE)),
        (COMPENSATE, pb.NumberedAnswer(number=1, execute=_DONE)),
        (EXECUTE, pb.NumberedAnswer(number=1, status=status_pb2.Status(code=0, message="m"))),
        (EXECUTE, pb.NumberedAnswer(number=1, status=status_pb2.Status(code=99, message="m"))),
        (EXECUTE, pb.NumberedAnswer(number=1, status=status_pb2.Status(code=-1))),
    ],
)
def test_what_could_not_come_alone_breaks_the_contract(call: Call, numbered: pb.NumberedAnswer) -> None:
    answer = to_numbered_answer(call, numbered)
    assert isinstance(answer, NoProof)
    assert (answer.kind, answer.code) == (Unproved.BROKEN_CONTRACT, "BROKEN_CONTRACT")


@pytest.mark.parametrize("call", [EXECUTE, COMPENSATE])
def test_a_status_on_a_stream_is_that_of_its_call(call: Call) -> None:
    numbered = pb.NumberedAnswer(number=1, status=status_pb2.Status(code=14, message="m"))
    assert to_numbered_answer(call, numbered) == NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "")


@pytest.mark.parametrize(
    ("call", "numbered"),
    [
        (EXECUTE, pb.NumberedAnswer(number=1)),
        (EXECUTE, pb.NumberedAnswer(number=1, compensate=_UNDONE)),
        (COMPENSATE, pb.NumberedAnswer(number=1, execute=_DONE)),
    ],
)
def test_an_answer_of_another_kind_is_told_apart_from_one_to_another_call(
    call: Call, numbered: pb.NumberedAnswer
) -> None:
    sentence = "the answer is of another kind than the call"
    assert to_numbered_answer(call, numbered) == NoProof(
        Unproved.BROKEN_CONTRACT, "BROKEN_CONTRACT", sentence
    )


def a_status(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


class Line:
    """A stream of gRPC that ends as a test says, once it was written to so often. What it says after the
    greeting it says when a call was sent."""

    def __init__(self, *reads: bytes | Exception, writes: int = 1) -> None:
        self._reads = list(reads)
        self._greeting = reads[0]
        self._writes = writes
        self._written = asyncio.Event()
        self._sent = asyncio.Event()

    async def write(self, message: bytes) -> None:
        self._writes -= 1
        if pb.PerformRequest.FromString(message).calls:
            self._sent.set()
        if self._writes == 0:
            self._written.set()

    async def read(self) -> bytes:
        if len(self._reads) == 1:
            await self._written.wait()
        elif self._reads[0] is not self._greeting:
            await self._sent.wait()
        read = self._reads.pop(0)
        if isinstance(read, Exception):
            raise read
        return read

    def cancel(self) -> bool:
        return True


def nothing() -> None:
    """What is done where nothing is heard of the service."""


async def alone(call: Call, timeout_s: float) -> Answer:
    """What went by itself tells that by its answer."""
    return Pending(None)


GREETED = pb.PerformResponse().SerializeToString()
ANSWERED = pb.PerformResponse(answers=[pb.NumberedAnswer(number=1, execute=_DONE)]).SerializeToString()


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (a_status(grpc.StatusCode.UNAVAILABLE, ""), Succeeded("null")),
        # gRPC's own, where it cannot go on writing and has not read the real one yet.
        (a_status(grpc.StatusCode.INTERNAL, "Internal error from Core"), Succeeded("null")),
        (a_status(grpc.StatusCode.INTERNAL, "RST_STREAM"), Pending(None)),
        (a_status(grpc.StatusCode.UNIMPLEMENTED, ""), Pending(None)),
    ],
)
async def test_only_a_server_that_was_reached_and_has_no_streams_is_not_asked_again(
    ended: Exception, expected: Answer
) -> None:
    lines = [Line(ended), Line(GREETED, ANSWERED, GREETED, writes=2)]
    calls = StreamedCalls("Payments", lambda: lines.pop(0), alone, doubt=nothing, streams=1)  # type: ignore[arg-type, return-value]
    try:
        async with asyncio.timeout(5):
            assert await calls.perform(EXECUTE, 5.0) == Pending(None)
            assert await calls.perform(EXECUTE, 5.0) == expected
    finally:
        await calls.close()


async def test_a_mistake_in_reading_an_answer_costs_its_own_call_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mistake(Exception):
        pass

    def read(call: Call, numbered: pb.NumberedAnswer) -> Answer:
        if numbered.number == 1:
            raise Mistake
        return to_numbered_answer(call, numbered)

    errors = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    monkeypatch.setattr(streams, "to_numbered_answer", read)
    both = [pb.NumberedAnswer(number=number, execute=_DONE) for number in (1, 2)]
    line = Line(GREETED, pb.PerformResponse(answers=both).SerializeToString(), GREETED, writes=3)
    calls = StreamedCalls("Payments", lambda: line, alone, doubt=nothing, streams=1)  # type: ignore[arg-type, return-value]
    first, second = calls.perform(EXECUTE, 0.02), calls.perform(EXECUTE, 5.0)
    with pytest.raises(Mistake):
        await first
    assert await second == Succeeded("null")
    await asyncio.sleep(0.03)
    # Its deadline comes to nobody any more.
    assert errors == []
    await calls.close()


async def test_a_mistake_in_writing_a_call_costs_that_call_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mistake(Exception):
        pass

    def add(request: pb.PerformRequest, call: Call, number: int, timeout_s: float) -> None:
        add_numbered(request, call, number, timeout_s)
        if number in (1, 3):
            raise Mistake

    class Written(Line):
        async def write(self, message: bytes) -> None:
            numbers.extend(numbered.number for numbered in pb.PerformRequest.FromString(message).calls)
            await super().write(message)

        def cancel(self) -> bool:
            cancelled.set()
            return True

    numbers, cancelled = list[int](), asyncio.Event()
    monkeypatch.setattr(streams, "add_numbered", add)
    answered = pb.PerformResponse(answers=[pb.NumberedAnswer(number=2, execute=_DONE)]).SerializeToString()
    line = Written(GREETED, answered, GREETED, writes=4)
    calls = StreamedCalls("Payments", lambda: line, alone, doubt=nothing, streams=1)  # type: ignore[arg-type, return-value]
    first, second = calls.perform(EXECUTE, 5.0), calls.perform(EXECUTE, 5.0)
    with pytest.raises(Mistake):
        await first
    assert await second == Succeeded("null")
    last = calls.perform(EXECUTE, 5.0)
    # The stream is left, and this was the last call that it waited for.
    calls.renew()
    assert not cancelled.is_set()
    with pytest.raises(Mistake):
        await last
    async with asyncio.timeout(5):
        await cancelled.wait()
    assert numbers == [2]
    await calls.close()


async def test_a_call_whose_text_cannot_be_sent_costs_itself_alone_and_who_made_it_may_make_more() -> None:
    class Answers(Line):
        """Once the third call is there."""

        async def write(self, message: bytes) -> None:
            numbers.extend(numbered.number for numbered in pb.PerformRequest.FromString(message).calls)
            if 3 in numbers:
                self._sent.set()

    def tell(outcome: Answer | BaseException) -> None:
        told.append(outcome)
        more.append(calls.perform(EXECUTE, 5.0))

    numbers = list[int]()
    told, more = list[Answer | BaseException](), list[Awaitable[Answer]]()
    answers = [pb.NumberedAnswer(number=number, execute=_DONE) for number in (2, 3)]
    line = Answers(GREETED, pb.PerformResponse(answers=answers).SerializeToString(), GREETED)
    calls = StreamedCalls("Payments", lambda: line, alone, doubt=nothing, streams=1)  # type: ignore[arg-type, return-value]
    half = calls.perform(replace(EXECUTE, input='"\ud800"'), 5.0)
    assert isinstance(half, Deferred)
    half.listen(tell)
    whole = calls.perform(EXECUTE, 5.0)
    async with asyncio.timeout(5):
        assert await whole == Succeeded("null")
        assert await more[0] == Succeeded("null")
    assert [type(outcome) for outcome in told] == [UnicodeEncodeError]
    assert numbers == [2, 3]
    await calls.close()
