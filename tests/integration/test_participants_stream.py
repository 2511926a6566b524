"""Many calls on one stream over a real socket: each fares as if it had come alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import status_pb2
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from participants import streams
from participants.base import Offer
from participants.calls import Call, Reply, Succeeded
from participants.hosting import Hosted, Performer, open_hosted
from participants.register import register
from participants.server import serving
from participants.servicer import ParticipantServicer
from participants.status import DETAILS_KEY
from saga.v1 import participant_pb2 as pb
from saga.v1 import participant_pb2_grpc as rpc
from tests.recorded_spans import Recorded, attributes, parent, recording
from tests.unit.participants.kit import SERVICE, Client, TillService, a_client, a_till, until
from tests.unit.participants.test_tracing import tracing_till

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
OTHER_TRACE = f"00-{'c' * 32}-{'d' * 16}-01"
EXECUTE = "saga.v1.ParticipantService/Execute"


@pytest.fixture
def till() -> TillService:
    return TillService()


@pytest_asyncio.fixture
async def client(tmp_path: Path, till: TillService) -> AsyncIterator[Client]:
    async with a_till(tmp_path, till) as connected:
        yield connected


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as found:
        yield found


def an_execute(saga: str = "saga-1", step: str = "pay", **more: Any) -> pb.ExecuteRequest:
    given = {
        "idempotency_key": f"{saga}/{step}/E",
        "saga_id": saga,
        "saga_name": "TestSaga",
        "service": SERVICE,
        "step": step,
        "transaction": "put",
        "input_json": '{"amount": 5}',
        **more,
    }
    return pb.ExecuteRequest(**given)


def a_compensate(saga: str = "saga-1", step: str = "pay", **more: Any) -> pb.CompensateRequest:
    given = {
        "idempotency_key": f"{saga}/{step}/C",
        "saga_id": saga,
        "saga_name": "TestSaga",
        "service": SERVICE,
        "step": step,
        "compensation": "take",
        "input_json": '{"amount": 5}',
        **more,
    }
    return pb.CompensateRequest(**given)


def numbered(
    number: int,
    request: pb.ExecuteRequest | pb.CompensateRequest,
    *,
    timeout_s: float | None = 10.0,
    trace: str = "",
) -> pb.NumberedCall:
    call = pb.NumberedCall(number=number, traceparent=trace)
    if timeout_s is not None:
        call.timeout.FromNanoseconds(round(timeout_s * 1_000_000_000))
    if isinstance(request, pb.ExecuteRequest):
        call.execute.CopyFrom(request)
    else:
        call.compensate.CopyFrom(request)
    return call


class Talk:
    """A stream as its caller has it."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.numbers: list[int] = []
        self.answers: dict[int, pb.NumberedAnswer] = {}

    async def send(self, *calls: pb.NumberedCall, cancelled: tuple[int, ...] = ()) -> None:
        await self._call.write(pb.PerformRequest(calls=calls, cancelled=cancelled))

    async def greet(self, *, sampled_by_caller: bool) -> None:
        await self._call.write(pb.PerformRequest(sampled_by_caller=sampled_by_caller))

    async def hear(self, *numbers: int) -> list[str]:
        """Read until the calls of *numbers* are answered: each answer in a word."""
        async with asyncio.timeout(10):
            while not set(numbers) <= set(self.answers):
                response = await self._call.read()
                assert response is not grpc.aio.EOF, await self.ended()
                self._note(response)
        return [told(self.answers[number]) for number in numbers]

    def _note(self, response: pb.PerformResponse) -> None:
        for answer in response.answers:
            assert answer.number not in self.answers
            self.numbers.append(answer.number)
            self.answers[answer.number] = answer

    async def close(self) -> None:
        await self._call.done_writing()

    def leave(self) -> None:
        self._call.cancel()

    async def ended(self) -> status_pb2.Status:
        """Read to the end: the status with which the stream ended."""
        try:
            async with asyncio.timeout(10):
                while (response := await self._call.read()) is not grpc.aio.EOF:
                    self._note(response)
        except grpc.aio.AioRpcError:
            pass
        return await a_status(self._call)


async def a_status(call: Any) -> status_pb2.Status:
    """The status of a call that has ended, with its details."""
    trailers = dict(await call.trailing_metadata() or ())
    if DETAILS_KEY in trailers:
        return status_pb2.Status.FromString(trailers[DETAILS_KEY])
    return status_pb2.Status(code=(await call.code()).value[0], message=await call.details())


def told(answer: pb.NumberedAnswer) -> str:
    """An answer in a word: its outcome, or its status."""
    match answer.WhichOneof("answer"):
        case "execute":
            return answer.execute.WhichOneof("outcome") or "nothing"
        case "compensate":
            return answer.compensate.WhichOneof("outcome") or "nothing"
    return code(answer.status)


def code(status: status_pb2.Status) -> str:
    return next(code.name for code in grpc.StatusCode if code.value[0] == status.code)


def talk(client: Client) -> Talk:
    return Talk(client.calls.Perform())


def a_rule(fault: str, **more: object) -> dict[str, object]:
    return {"transaction": "put", "fault": fault, **more}


def for_amount(amount: int) -> dict[str, object]:
    return {"when": {"field": "amount", "equals": amount}}


async def test_a_slow_call_holds_up_none_of_its_batch(client: Client) -> None:
    await client.set_faults(a_rule("latency", distribution="fixed", ms=300, **for_amount(9)))
    stream = talk(client)
    slow = an_execute("slow", input_json='{"amount": 9}')
    await stream.send(
        numbered(1, slow), numbered(2, an_execute("a")), numbered(3, a_compensate("b")), numbered(7, slow)
    )
    assert await stream.hear(2, 3) == ["succeeded", "succeeded"]
    assert set(stream.numbers) == {2, 3}
    assert await stream.hear(1, 7) == ["succeeded", "succeeded"]
    answer = stream.answers[1].execute
    assert (answer.idempotency_key, answer.succeeded.output_json) == ("slow/pay/E", '{"put":9}')


async def test_a_greeting_is_answered_at_once_whatever_is_under_way(client: Client) -> None:
    await client.set_faults(a_rule("hang", **for_amount(9)))
    call = client.calls.Perform()
    await call.write(pb.PerformRequest())
    assert await call.read() == pb.PerformResponse()
    hung = an_execute(input_json='{"amount": 9}')
    await call.write(pb.PerformRequest(calls=[numbered(1, hung)]))
    for _ in range(2):
        await call.write(pb.PerformRequest())
    assert [await call.read() for _ in range(2)] == [pb.PerformResponse()] * 2
    await call.write(pb.PerformRequest(cancelled=[1]))
    await call.write(pb.PerformRequest())
    await call.done_writing()
    assert [await call.read() for _ in range(2)] == [pb.PerformResponse(), grpc.aio.EOF]


async def test_what_is_ready_together_leaves_together(client: Client) -> None:
    call = client.calls.Perform()
    await call.write(pb.PerformRequest(calls=[numbered(n, an_execute(f"s-{n}")) for n in range(1, 101)]))
    responses = 0
    answered = 0
    while answered < 100:
        response = await call.read()
        assert isinstance(response, pb.PerformResponse)
        answered += len(response.answers)
        responses += 1
    assert responses < 30


async def test_a_call_whose_time_is_over_is_told_so_alone(client: Client) -> None:
    await client.set_faults(a_rule("hang", **for_amount(9)))
    stream = talk(client)
    hung = an_execute("hung", input_json='{"amount": 9}')
    await stream.send(numbered(1, hung, timeout_s=0.1), numbered(2, an_execute()))
    assert await stream.hear(1, 2) == ["DEADLINE_EXCEEDED", "succeeded"]
    assert await client.ledger() == [("put", "APPLIED")]
    assert stream.answers[1].status.message == "Deadline Exceeded"


async def test_each_call_has_a_time_of_its_own(client: Client) -> None:
    await client.set_faults(a_rule("hang"))
    stream = talk(client)
    times_s = {1: None, 2: 0.3, 3: 0.1, 4: 0.2}
    await stream.send(*(numbered(n, an_execute(f"s-{n}"), timeout_s=t) for n, t in times_s.items()))
    assert await stream.hear(2, 3, 4) == ["DEADLINE_EXCEEDED"] * 3
    assert stream.numbers == [3, 4, 2]


async def test_a_call_whose_time_is_over_frees_its_turn(client: Client) -> None:
    await client.set_faults(a_rule("hang", times=1))
    stream = talk(client)
    await stream.send(numbered(1, an_execute(), timeout_s=0.2), numbered(2, an_execute()))
    assert await stream.hear(1, 2) == ["DEADLINE_EXCEEDED", "succeeded"]


async def test_a_call_that_was_answered_in_time_is_not_answered_again_when_its_time_is_over(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.set_faults(a_rule("hang", **for_amount(9)))
    stream = talk(client)
    hung = an_execute("hung", input_json='{"amount": 9}')
    await stream.send(numbered(1, an_execute(), timeout_s=0.2), numbered(2, hung, timeout_s=0.3))
    assert await stream.hear(1, 2) == ["succeeded", "DEADLINE_EXCEEDED"]
    await stream.close()
    assert code(await stream.ended()) == "OK"
    assert not caplog.records


async def test_a_call_without_a_timeout_is_waited_for(client: Client) -> None:
    await client.set_faults(a_rule("latency", distribution="fixed", ms=50))
    stream = talk(client)
    await stream.send(numbered(1, an_execute(), timeout_s=None))
    assert await stream.hear(1) == ["succeeded"]


async def test_a_cancelled_call_frees_its_turn_and_its_answer_is_not_sent(client: Client) -> None:
    await client.set_faults(a_rule("hang", times=1))
    stream = talk(client)
    await stream.send(numbered(1, an_execute()), numbered(2, an_execute()))
    await until(lambda: _has_hung(client))
    await stream.send(cancelled=(1, 77, -1))
    assert await stream.hear(2) == ["succeeded"]
    await stream.close()
    assert code(await stream.ended()) == "OK"
    assert stream.numbers == [2]


async def test_a_stream_of_which_the_last_calls_are_cancelled_ends(client: Client) -> None:
    await client.set_faults(a_rule("hang"))
    stream = talk(client)
    await stream.send(numbered(1, an_execute("a")), numbered(2, an_execute("b")))
    await until(lambda: _has_hung(client))
    await stream.send(cancelled=(2, 1))
    await stream.close()
    assert code(await stream.ended()) == "OK"


async def test_a_stream_that_its_caller_closes_ends_once_all_is_answered(client: Client) -> None:
    await client.set_faults(a_rule("latency", distribution="fixed", ms=100))
    stream = talk(client)
    await stream.send(numbered(1, an_execute()), numbered(2, an_execute("saga-2")))
    await stream.close()
    assert await stream.hear(1, 2) == ["succeeded", "succeeded"]
    assert code(await stream.ended()) == "OK"


async def test_a_caller_that_leaves_frees_the_turns_of_its_calls(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.set_faults(a_rule("hang", times=1))
    stream = talk(client)
    await stream.send(numbered(1, an_execute(), timeout_s=None))
    await until(lambda: _has_hung(client))
    stream.leave()
    assert isinstance(await client.execute(timeout_s=5), pb.ExecuteResponse)
    assert await client.ledger() == [("put", "APPLIED")]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_caller_that_leaves_amid_its_answers_is_no_failure(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for round_ in range(3):
        stream = talk(client)
        await stream.send(*(numbered(n, an_execute(f"{round_}-{n}")) for n in range(1, 201)))
        await stream.hear(1)
        stream.leave()
    # What was taken in is done all the same, as it is for a call by itself.
    await until(lambda: _has_rows(client, 600))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_server_that_ends_answers_what_is_under_way_and_does_not_wait_for_its_callers(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving([TillService()], data=tmp_path, grace_s=8))
        gate, reached = asyncio.Event(), asyncio.Event()
        _hold(served.services[0], gate, reached)
        async with a_client(served.address) as client:
            idle, busy = talk(client), talk(client)
            gate.set()
            await idle.send(numbered(1, an_execute("idle")))
            assert await idle.hear(1) == ["succeeded"]
            gate.clear()
            reached.clear()
            await busy.send(numbered(1, an_execute()))
            await reached.wait()
            asyncio.get_running_loop().call_later(0.2, gate.set)
            began = time.monotonic()
            ends = asyncio.gather(_end(idle), _end(busy))
            await stack.aclose()
            assert time.monotonic() - began < 4
            assert set(await ends) == {"OK"}
            assert told(busy.answers[1]) == "succeeded"


async def _end(stream: Talk) -> str:
    return code(await stream.ended())


def _hold(hosted: Hosted, gate: asyncio.Event, reached: asyncio.Event) -> None:
    """Let calls through to *hosted* only while *gate* is open."""
    perform = hosted.perform

    async def held(call: Call) -> Reply:
        reached.set()
        await gate.wait()
        return await perform(call)

    hosted.perform = held  # type: ignore[method-assign]


@asynccontextmanager
async def an_own_server(
    directory: Path, *interceptors: Any
) -> AsyncIterator[tuple[Client, ParticipantServicer, Hosted]]:
    """A server of the author's own, as participants.register describes it."""
    hosted = open_hosted(TillService(), directory)
    server = grpc.aio.server(interceptors=interceptors, options=[("grpc.so_reuseport", 0)])
    registered = register(server, [hosted])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with a_client(f"127.0.0.1:{port}") as client:
            yield client, registered, hosted
    finally:
        await server.stop(None)
        await hosted.close()


async def test_a_server_of_ones_own_offers_streams_and_can_end_them(tmp_path: Path) -> None:
    async with an_own_server(tmp_path) as (client, registered, _):
        stream = talk(client)
        await stream.send(numbered(1, an_execute()))
        assert await stream.hear(1) == ["succeeded"]
        registered.end_streams()
        assert code(await stream.ended()) == "OK"
        assert code(await talk(client).ended()) == "UNAVAILABLE"


async def test_what_is_wrong_with_an_entry_is_told_of_it_alone(client: Client) -> None:
    stream = talk(client)
    await stream.send(
        numbered(1, an_execute("a")),
        pb.NumberedCall(number=2),
        numbered(3, an_execute("b"), timeout_s=-0.5),
        numbered(4, an_execute("c", input_json="no JSON")),
        numbered(5, an_execute("d"), timeout_s=0),
        numbered(6, an_execute("e")),
    )
    assert await stream.hear(1, 2, 3, 4, 5, 6) == [
        "succeeded",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "succeeded",
    ]
    assert stream.answers[2].status.message == "calls.call: must be set"
    assert stream.answers[3].status.message == "calls.timeout: must not be negative"
    assert len(await client.ledger()) == 2


@pytest.mark.parametrize("number", [2, 1, 0, -1])
async def test_a_number_that_may_have_been_used_ends_the_stream(client: Client, number: int) -> None:
    stream = talk(client)
    await stream.send(numbered(2, an_execute("a")))
    await stream.hear(2)
    await stream.send(numbered(number, an_execute("b")), numbered(3, an_execute("c")))
    status = await stream.ended()
    assert code(status) == "INVALID_ARGUMENT"
    assert status.message == "calls.number: must be larger than the one before"
    assert await client.ledger() == [("put", "APPLIED")]


async def test_the_first_number_is_one(client: Client) -> None:
    stream = talk(client)
    await stream.send(numbered(0, an_execute()))
    assert code(await stream.ended()) == "INVALID_ARGUMENT"


async def test_duplicates_in_one_batch_take_turns(client: Client) -> None:
    stream = talk(client)
    await stream.send(*(numbered(n, an_execute()) for n in range(1, 51)))
    assert set(await stream.hear(*range(1, 51))) == {"succeeded"}
    assert {answer.execute.succeeded.output_json for answer in stream.answers.values()} == {'{"put":5}'}
    assert await client.ledger() == [("put", "APPLIED"), *[("put", "DUPLICATE")] * 49]


async def test_a_duplicate_that_waits_in_vain_is_faulted_within_its_time(client: Client) -> None:
    await client.set_faults(a_rule("hang", times=1))
    stream = talk(client)
    await stream.send(numbered(1, an_execute(), timeout_s=5), numbered(2, an_execute(), timeout_s=0.3))
    assert await stream.hear(2) == ["faulted"]
    assert stream.answers[2].execute.faulted.code == "STEP_BUSY"


class Stubborn:
    """A performer that goes on when it is cancelled."""

    def offer(self) -> Offer:
        return Offer(SERVICE, frozenset(), frozenset(), barrier=False)

    async def perform(self, call: Call) -> Reply:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Reply(call.idempotency_key, Succeeded(""))


class Broken:
    """A performer with a mistake in it."""

    def offer(self) -> Offer:
        return Offer(SERVICE, frozenset(), frozenset(), barrier=False)

    async def perform(self, call: Call) -> Reply:
        raise LookupError("tok-canary")


Prepare = Callable[[Client, TillService], Awaitable[object]]


async def _nothing(client: Client, till: TillService) -> None:
    return None


async def _executed(client: Client, till: TillService) -> None:
    await client.execute(fencing_token=7)


async def _compensated(client: Client, till: TillService) -> None:
    await client.compensate()


async def _exploding(client: Client, till: TillService) -> None:
    till.mood = "explode"


async def _losing(client: Client, till: TillService) -> None:
    till.mood = "end the transaction"


async def _injecting(client: Client, till: TillService) -> None:
    await client.set_faults(a_rule("status", status="RESOURCE_EXHAUSTED"))


@pytest.mark.parametrize(
    ("prepare", "request_", "expected"),
    [
        (_nothing, an_execute(input_json='{"a": NaN}', saga_id=""), "INVALID_ARGUMENT"),
        (_nothing, a_compensate(input_json="[]"), "INVALID_ARGUMENT"),
        (_nothing, an_execute(service="x" * 3000), "UNIMPLEMENTED"),
        (_executed, an_execute(fencing_token=7, input_json="{}"), "ALREADY_EXISTS"),
        (_compensated, an_execute(), "FAILED_PRECONDITION"),
        (_executed, a_compensate(fencing_token=6), "ABORTED"),
        (_exploding, an_execute(), "INTERNAL"),
        (_losing, an_execute(), "UNAVAILABLE"),
        (_injecting, an_execute(), "RESOURCE_EXHAUSTED"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_call_ends_with_the_same_status_as_alone(
    client: Client,
    till: TillService,
    prepare: Prepare,
    request_: pb.ExecuteRequest | pb.CompensateRequest,
    expected: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "participants.status")
    await prepare(client, till)
    alone = await _unary_status(client, request_)
    logged = [_logged(record) for record in caplog.records]
    caplog.clear()
    stream = talk(client)
    await stream.send(numbered(1, request_))
    assert await stream.hear(1) == [expected]
    assert stream.answers[1].status == alone
    assert [_logged(record) for record in caplog.records] == logged


@asynccontextmanager
async def a_server_of(performer: Performer) -> AsyncIterator[Client]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_ParticipantServiceServicer_to_server(ParticipantServicer({SERVICE: performer}), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with a_client(f"127.0.0.1:{port}") as client:
            yield client
    finally:
        await server.stop(None)


async def test_a_mistake_of_ours_is_told_of_as_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with a_server_of(Broken()) as client:
        alone = await _unary_status(client, an_execute())
        stream = talk(client)
        await stream.send(numbered(1, an_execute()))
        assert await stream.hear(1) == ["INTERNAL"]
        assert stream.answers[1].status == alone
    assert "tok-canary" not in str(alone)
    assert [_logged(record)["error"] for record in caplog.records] == ["LookupError"] * 2


async def test_a_call_that_goes_on_when_its_time_is_over_is_answered_once() -> None:
    async with a_server_of(Stubborn()) as client:
        stream = talk(client)
        await stream.send(
            numbered(1, an_execute(), timeout_s=0.05), numbered(2, an_execute("b"), timeout_s=0.1)
        )
        assert await stream.hear(1, 2) == ["DEADLINE_EXCEEDED"] * 2
        await stream.close()
        assert code(await stream.ended()) == "OK"


@pytest.mark.parametrize("mood", ["succeed", "refuse", "pend", "fault"])
async def test_a_call_is_answered_as_alone(client: Client, till: TillService, mood: str) -> None:
    stream = talk(client)
    await client.execute("undone")
    till.mood = mood
    execute, undone, never = an_execute(), a_compensate("undone"), a_compensate("never")
    await stream.send(numbered(1, execute), numbered(2, undone), numbered(3, never))
    await stream.hear(1, 2, 3)
    assert stream.answers[1].execute == await client.calls.Execute(execute)
    assert stream.answers[2].compensate == await client.calls.Compensate(undone)
    assert stream.answers[3].compensate == await client.calls.Compensate(never)


@pytest.mark.parametrize(
    ("fault", "word"),
    [("wrong_key", "succeeded"), ("empty_outcome", "nothing"), ("malformed_output", "succeeded")],
)
async def test_wrong_answers_are_given_on_a_stream_too(client: Client, fault: str, word: str) -> None:
    await client.set_faults(a_rule(fault))
    stream = talk(client)
    await stream.send(numbered(1, an_execute()))
    assert await stream.hear(1) == [word]
    assert stream.answers[1].execute == await client.calls.Execute(an_execute())
    assert await client.injected() == {fault: 2}


async def test_a_stream_breaks_on_demand_and_leaves_its_calls_without_an_answer(client: Client) -> None:
    broken = a_rule("stream_broken", times=2, **for_amount(5))
    await client.set_faults(a_rule("hang", **for_amount(9)), broken)
    hung = an_execute("hung", input_json='{"amount": 9}')
    stream = talk(client)
    await stream.send(numbered(1, hung), numbered(2, an_execute()))
    assert code(await stream.ended()) == "UNAVAILABLE"
    assert stream.numbers == []
    assert code(await _unary_status(client, an_execute())) == "UNAVAILABLE"
    after = talk(client)
    await after.send(numbered(1, an_execute()))
    assert await after.hear(1) == ["succeeded"]
    assert await client.ledger() == [("put", "APPLIED"), ("put", "DUPLICATE"), ("put", "DUPLICATE")]
    assert await client.injected() == {"hang": 1, "stream_broken": 2}


async def test_each_call_is_a_span_of_its_own_callers_trace(tmp_path: Path, recorded: Recorded) -> None:
    async with a_till(tmp_path) as client:
        stream = talk(client)
        await stream.send(
            numbered(1, an_execute("a", attempt=1), trace=TRACE),
            numbered(2, an_execute("b"), trace=OTHER_TRACE),
            numbered(3, an_execute("c"), trace="hello"),
            numbered(4, an_execute("d")),
            numbered(5, an_execute("e", input_json="no JSON"), trace=TRACE),
        )
        await stream.hear(1, 2, 3, 4, 5)
    spans = [span for span in recorded.spans if span.name == EXECUTE]
    by_saga = {attributes(span).get("saga.id", ""): span for span in spans}
    assert {saga: parent(span) for saga, span in by_saga.items()} == {
        "a": TRACE,
        "b": OTHER_TRACE,
        "c": None,
        "d": None,
        "": TRACE,
    }
    assert attributes(by_saga["a"]) == {
        "rpc.system.name": "grpc",
        "rpc.method": EXECUTE,
        "rpc.response.status_code": "OK",
        "saga.id": "a",
        "saga.name": "TestSaga",
        "saga.step": "pay",
        "saga.service": SERVICE,
        "saga.attempt": 1,
        "saga.outcome": "SUCCEEDED",
    }
    assert attributes(by_saga[""])["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert attributes(by_saga[""])["saga.code"] == "INVALID_REQUEST"


async def test_of_a_call_without_a_place_nothing_is_recorded_where_its_caller_decides(
    tmp_path: Path, recorded: Recorded
) -> None:
    saga, later = "01a22c09-cdc1-77ae-be74-ed919dfe833f", "01a22c09-cdc1-77ae-be74-ed919dfe8340"
    async with tracing_till(tmp_path) as (client, till):
        stream = talk(client)
        await stream.send(numbered(1, an_execute("before")))
        await stream.greet(sampled_by_caller=True)
        await stream.send(
            numbered(2, an_execute(saga)),
            numbered(3, an_execute("a", input_json="no JSON", saga_id=saga)),
            numbered(4, an_execute("b"), trace=TRACE),
        )
        # It holds for the stream, not for the message.
        await stream.greet(sampled_by_caller=False)
        await stream.send(numbered(5, an_execute(later)))
        # Of a caller that is not our coordinator, an id may be anything.
        strange = ("order-17", saga.upper(), "0" * 31 + "-1", "1" + "0" * 31, "x" * 32, "")
        for number, saga_id in enumerate(strange, start=6):
            await stream.send(numbered(number, an_execute(f"strange-{number}", saga_id=saga_id)))
        await stream.hear(1, 2, 3, 4, 5, *range(6, 6 + len(strange)))
    spans = [span for span in recorded.spans if span.name == EXECUTE]
    assert {str(attributes(span).get("saga.id")): parent(span) for span in spans} == {
        "before": None,
        "b": TRACE,
    }
    was_in = {trace_id for _, trace_id, _ in till.was_in}
    assert was_in >= {saga.replace("-", ""), later.replace("-", "")}


async def test_the_span_of_a_call_that_was_given_up_says_why(tmp_path: Path, recorded: Recorded) -> None:
    async with a_till(tmp_path) as client:
        await client.set_faults(a_rule("hang"))
        stream = talk(client)
        await stream.send(numbered(1, an_execute("late"), timeout_s=0.1), numbered(2, an_execute("left")))
        await stream.hear(1)
        await stream.send(cancelled=(2,))
        await until(lambda: _has_ended(recorded, 2))
    codes = {attributes(s)["saga.id"]: attributes(s)["rpc.response.status_code"] for s in recorded.spans}
    assert codes == {"late": "DEADLINE_EXCEEDED", "left": "CANCELLED"}


async def test_a_span_that_an_instrumentation_made_of_the_stream_is_not_that_of_its_calls(
    tmp_path: Path, recorded: Recorded
) -> None:
    interceptor = aio_server_interceptor(tracer_provider=recorded.provider)  # type: ignore[no-untyped-call]
    async with an_own_server(tmp_path, interceptor) as (client, _, _):
        stream = talk(client)
        await stream.send(numbered(1, an_execute("a")), numbered(2, an_execute("b"), trace=TRACE))
        await stream.hear(1, 2)
        await stream.close()
        await stream.ended()
    sagas = {attributes(span).get("saga.id"): parent(span) for span in recorded.spans}
    assert sagas == {"a": None, "b": TRACE, None: None}


@pytest.mark.parametrize("at_once", [True, False])
async def test_of_a_caller_that_reads_nothing_no_more_is_taken_and_nothing_is_lost(
    client: Client, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setattr(streams, "CALLS_MAX", 21)
    await client.set_faults(a_rule("oversized_answer", bytes=1_000_000, times=20))
    stream = talk(client)
    calls = [numbered(n, an_execute(f"saga-{n}"), timeout_s=None) for n in range(1, 301)]
    if at_once:
        # Most answers are in the message that goes nowhere then; one by one, most are ready.
        await stream.send(*calls[:20])
        await until(lambda: _has_rows(client, 20))
    else:
        for number, call in enumerate(calls[:20], start=1):
            await stream.send(call)
            await until(partial(_has_rows, client, number))
    writing = asyncio.create_task(_write_each(stream, calls[20:]))
    # Beside the bound, the answers that the connection holds by itself, which are a few megabytes.
    assert await _settled(client) < 30
    assert set(await stream.hear(*range(1, 301))) == {"succeeded"}
    await writing


async def _write_each(stream: Talk, calls: list[pb.NumberedCall]) -> None:
    for call in calls:
        await stream.send(call)


async def _settled(client: Client) -> int:
    """How many calls have had their effect, once there come no more."""
    before, taken = -1, 0
    while taken != before:
        await asyncio.sleep(0.1)
        before, taken = taken, len(await client.ledger())
    return taken


async def test_no_more_calls_are_under_way_than_the_bound(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CALLS_MAX", 4)
    await client.set_faults(a_rule("hang", times=10))
    stream = talk(client)
    await stream.send(*(numbered(n, an_execute(f"saga-{n}"), timeout_s=0.2) for n in range(1, 15)))
    await until(lambda: _has_hung(client))
    await stream.hear(1, 2, 3, 4)
    assert set(stream.numbers) == {1, 2, 3, 4}
    assert (await stream.hear(*range(5, 15)))[-4:] == ["succeeded"] * 4


async def test_a_call_that_is_cancelled_makes_room(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CALLS_MAX", 2)
    await client.set_faults(a_rule("hang", times=2))
    stream = talk(client)
    await stream.send(numbered(1, an_execute("a")), numbered(2, an_execute("b")))
    await until(lambda: _has_hung(client))
    await stream.send(numbered(3, an_execute("c")), cancelled=(1,))
    assert await stream.hear(3) == ["succeeded"]


async def test_answers_that_are_too_much_for_one_message_go_in_several(client: Client) -> None:
    await client.set_faults(a_rule("oversized_answer", bytes=900_000))
    stream = talk(client)
    await stream.send(*(numbered(n, an_execute(f"saga-{n}")) for n in range(1, 9)))
    assert await stream.hear(*range(1, 9)) == ["succeeded"] * 8


async def _unary_status(
    client: Client, request: pb.ExecuteRequest | pb.CompensateRequest, *, timeout_s: float = 10
) -> status_pb2.Status:
    if isinstance(request, pb.ExecuteRequest):
        return await a_status(client.calls.Execute(request, timeout=timeout_s))
    return await a_status(client.calls.Compensate(request, timeout=timeout_s))


def _logged(record: logging.LogRecord) -> dict[str, object]:
    given = record.__dict__
    names = ("service", "saga_id", "step", "reason", "error", "trace")
    return {"message": record.message, **{name: given[name] for name in names if name in given}}


async def _has_hung(client: Client) -> bool:
    return bool((await client.injected()).get("hang"))


async def _has_rows(client: Client, count: int) -> bool:
    return len(await client.ledger(page_size=10_000)) >= count


async def _has_ended(recorded: Recorded, count: int) -> bool:
    return len([span for span in recorded.spans if span.name == EXECUTE]) == count
