"""Streams of orders and of starts against the real server: each entry is answered as a call of its own is,
and what happens to one, or to the stream, touches no other saga."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from grpc_status import rpc_status
from opentelemetry import propagate

from coordinator.adapters.opentelemetry.exporting import allowed
from coordinator.adapters.opentelemetry.server import CallerContext, SampledCalls, call_follower
from coordinator.api import streams
from coordinator.api.server import UNARY_METHODS
from coordinator.domain.outcomes import Succeeded
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2 as pb
from saga.v1.types_pb2 import SagaStatus
from tests.integration.api_harness import (
    REFUSED,
    TOKEN,
    Coordinator,
    coordinator,
    hear_everything,
    order,
    payment,
    read_refusal,
)
from tests.recorded_spans import Recorded, attributes, parent, recording

PLACE_ORDER = "/saga.orders.v1.OrderPlacementService/PlaceOrder"
CALLER = f"00-{0xA1:032x}-{0xB2:016x}-01"
OTHER = f"00-{0xC3:032x}-{0xD4:016x}-01"


class Orders:
    """A stream of orders, from its client's side."""

    def __init__(self, c: Coordinator) -> None:
        self.call: Any = c.orders.PlaceOrders()
        self.answers: dict[int, orders_pb2.PlacedOrder] = {}

    async def send(self, *orders: Any, left: tuple[int, ...] = ()) -> None:
        """Orders as (number, request) or as a whole entry, and who has left."""
        entries = [
            orders_pb2.NumberedOrder(number=one[0], order=one[1]) if isinstance(one, tuple) else one
            for one in orders
        ]
        await self.call.write(orders_pb2.PlaceOrdersRequest(orders=entries, left=left))

    async def until(self, *numbers: int) -> None:
        """Read until these are answered."""
        while not set(numbers) <= set(self.answers):
            message = await self.call.read()
            assert message is not grpc.aio.EOF, f"of {numbers} there are {set(self.answers)}"
            for one in message.orders:
                assert one.number not in self.answers, f"{one.number} is answered twice"
                self.answers[one.number] = one

    async def end(self) -> Any:
        """How the server ends it, without another answer."""
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await self.call.read()
        return read_refusal(ended.value)

    def status(self, number: int) -> str:
        return orders_pb2.OrderStatus.Name(self.answers[number].order.status)

    def code(self, number: int) -> int:
        return int(self.answers[number].status.code)


@asynccontextmanager
async def streaming(**settings: Any) -> AsyncIterator[tuple[Orders, Coordinator]]:
    async with coordinator(**settings) as c:
        orders = Orders(c)
        yield orders, c
        orders.call.cancel()


async def settled(c: Coordinator) -> None:
    """Wait until no call is under way and nobody waits for a saga."""
    async with asyncio.timeout(5):
        while c.server._interceptor._running or c.feed._listeners:
            await asyncio.sleep(0.005)


async def answer_to(c: Coordinator, request: orders_pb2.PlaceOrderRequest) -> object:
    """What the call by itself is answered: a message, or a status."""
    try:
        return await c.orders.PlaceOrder(request)
    except grpc.aio.AioRpcError as error:
        return rpc_status.from_call(cast(grpc.Call, error))


async def test_each_order_of_a_batch_has_the_answer_that_its_call_would_have_had() -> None:
    async with streaming(wait_max_s=0.3) as (orders, c):
        c.participants.answer("charge", REFUSED, Succeeded("{}"))
        requests = [
            order("failed"),
            order("good"),
            order("", items=[], payment_info=payment(method="")),
            order("good", user_id="u-other"),
            order("undecided"),
        ]
        await orders.send((1, requests[0]))
        await orders.until(1)
        await orders.send((2, requests[1]))
        await orders.until(2)
        c.participants.hold("charge")
        await orders.send(*((number, requests[number - 1]) for number in (3, 4, 5)))
        await orders.until(3, 4, 5)
        for number, request in enumerate(requests, start=1):
            streamed = orders.answers[number]
            told = await answer_to(c, request)
            assert getattr(streamed, streamed.WhichOneof("answer") or "") == told
        c.participants.release("charge")
    assert [orders.status(number) for number in (1, 2)] == ["FAILED", "SUCCESS"]
    assert [orders.code(number) for number in (3, 4, 5)] == [
        StatusCode.INVALID_ARGUMENT.value[0],
        StatusCode.ALREADY_EXISTS.value[0],
        StatusCode.DEADLINE_EXCEEDED.value[0],
    ]


async def test_starts_are_answered_as_calls_are_and_join() -> None:
    async with coordinator() as c:
        starts: Any = c.api.StartSagas()
        request = pb.StartSagaRequest(saga_name="Trip", request_id="r-1", wait=Duration(seconds=10))
        entries = [
            pb.NumberedStart(number=2, start=request),
            pb.NumberedStart(number=5, start=pb.StartSagaRequest(saga_name="Nothing")),
            pb.NumberedStart(number=6, start=pb.StartSagaRequest(saga_name="Trip", input_json="[1")),
        ]
        answers: dict[int, pb.StartedSaga] = {}

        async def ask(*entries: pb.NumberedStart) -> None:
            await starts.write(pb.StartSagasRequest(starts=entries))
            while not {entry.number for entry in entries} <= set(answers):
                answers.update((one.number, one) for one in (await starts.read()).sagas)

        await ask(*entries)
        await ask(pb.NumberedStart(number=7, start=request))
        joined = await c.api.StartSaga(request)
        starts.cancel()
    first = answers[2].saga
    assert (SagaStatus.Name(first.saga.status), first.joined) == ("SAGA_STATUS_COMPLETED", False)
    assert [step.name for step in first.saga.steps] == ["bookRoom", "bookSeat"]
    assert answers[7].saga == joined
    assert joined.saga == first.saga
    assert [answers[number].status.code for number in (5, 6)] == [
        StatusCode.NOT_FOUND.value[0],
        StatusCode.INVALID_ARGUMENT.value[0],
    ]


async def test_an_order_that_takes_long_holds_up_no_other() -> None:
    async with streaming() as (orders, c):
        c.participants.answer("reserveStock", Succeeded("{}"), REFUSED)
        c.participants.hold("charge")
        await orders.send((1, order("slow")))
        await c.participants.called("charge")
        await orders.send((2, order("o-2")), (3, order("o-3")))
        await orders.until(2, 3)
        assert 1 not in orders.answers
        c.participants.release("charge")
        await orders.until(1)
    assert [orders.status(number) for number in (1, 2, 3)] == ["SUCCESS", "FAILED", "FAILED"]


async def test_an_order_is_waited_for_as_long_as_its_own_timeout_lasts() -> None:
    async with streaming() as (orders, c):
        c.participants.hold("charge")
        short = orders_pb2.NumberedOrder(number=1, order=order("o-1"), timeout=Duration(nanos=200_000_000))
        broken = [
            orders_pb2.NumberedOrder(number=2, order=order("o-2"), timeout=Duration(seconds=-1)),
            orders_pb2.NumberedOrder(number=3, order=order("o-3"), timeout=Duration(seconds=1, nanos=-1)),
        ]
        began_at = time.monotonic()
        await orders.send(short, *broken, (4, order("o-4")))
        await orders.until(1, 2, 3)
        assert time.monotonic() - began_at < 5
        assert 4 not in orders.answers
        c.participants.release("charge")
        await orders.until(4)
        assert await c.saga_count() == 2
    assert orders.code(1) == StatusCode.DEADLINE_EXCEEDED.value[0]
    assert {orders.code(2), orders.code(3)} == {StatusCode.INVALID_ARGUMENT.value[0]}
    assert orders.answers[2].status.message == "timeout: expected a duration of zero or more"


async def test_who_has_left_is_not_answered_and_the_order_goes_on() -> None:
    async with streaming() as (orders, c):
        c.participants.hold("charge")
        await orders.send((1, order("o-1")), (2, order("o-2")))
        await c.participants.called("charge", times=2)
        assert len(c.feed._listeners) == 2
        await orders.send(left=(1, 77))
        async with asyncio.timeout(5):
            while len(c.feed._listeners) == 2:
                await asyncio.sleep(0.005)
        c.participants.release("charge")
        await orders.until(2)
        await orders.send((3, order("o-1")))
        await orders.until(3)
        assert c.participants.names().count("charge") == 2
    assert sorted(orders.answers) == [2, 3]
    assert orders.status(3) == "SUCCESS"


async def test_what_is_under_way_is_still_answered_when_the_client_sends_no_more() -> None:
    async with streaming() as (orders, c):
        c.participants.hold("charge")
        await orders.send((1, order("o-1")), (2, order("")))
        await orders.call.done_writing()
        await orders.until(2)
        c.participants.release("charge")
        await orders.until(1)
        assert await orders.call.read() is grpc.aio.EOF
        assert await orders.call.code() is StatusCode.OK


async def test_waits_end_with_the_client_and_the_sagas_go_on() -> None:
    async with streaming() as (orders, c):
        c.participants.hold("charge")
        await orders.send((1, order("o-1")), (2, order("o-2")))
        await c.participants.called("charge", times=2)
        orders.call.cancel()
        await settled(c)
        assert not c.server._streams._open
        c.participants.release("charge")
        assert (await c.orders.PlaceOrder(order("o-1"))).status == orders_pb2.SUCCESS
        assert c.participants.names().count("charge") == 2


async def test_until_recovery_is_done_a_stream_ends_as_a_call_does() -> None:
    async with streaming(serving=False) as (orders, c):
        ended = await orders.end()
        assert (ended.code, ended.reason) == (StatusCode.UNAVAILABLE, "NOT_READY")
        await c.server.serving()
        after = Orders(c)
        await after.send((1, order()))
        await after.until(1)
        after.call.cancel()
    assert after.status(1) == "SUCCESS"


async def test_a_stream_reads_no_more_while_draining_and_ends_once_what_it_read_is_answered() -> None:
    async with streaming() as (orders, c):
        idle = Orders(c)
        await idle.send((1, order("o-0")))
        await idle.until(1)
        c.participants.hold("charge")
        await orders.send((1, order("o-1")))
        await c.participants.called("charge", times=2)
        await c.server.draining()
        ended = [await idle.end()]
        assert not orders.call.done()
        c.participants.release("charge")
        await orders.until(1)
        ended.append(await orders.end())
        ended.append(await Orders(c).end())
        began_at = time.monotonic()
        await c.server.stop(30)
        assert time.monotonic() - began_at < 5
    assert orders.status(1) == "SUCCESS"
    assert {(one.code, one.reason) for one in ended} == {(StatusCode.UNAVAILABLE, "DRAINING")}


async def test_a_stop_uses_up_no_grace_for_streams_and_answers_who_waits_as_calls_are_answered() -> None:
    async with streaming() as (orders, c):
        c.participants.hold("createOrder")
        await orders.send((1, order("o-1")))
        await c.participants.called("createOrder")
        await c.pool.park(grace_s=0)
        c.feed.close()
        began_at = time.monotonic()
        stop = asyncio.ensure_future(c.server.stop(30))
        await orders.until(1)
        await orders.end()
        await stop
        assert time.monotonic() - began_at < 5
    assert orders.code(1) == StatusCode.UNAVAILABLE.value[0]
    assert "the saga goes on" in orders.answers[1].status.message


async def test_a_stream_with_as_much_under_way_as_it_may_have_is_read_no_further() -> None:
    async with streaming(calls_open_max=3) as (orders, c):
        c.participants.hold("createOrder")
        await orders.send(*((number, order(f"o-{number}")) for number in range(1, 6)))
        await c.participants.called("createOrder", times=3)
        await asyncio.sleep(0.05)
        assert await c.saga_count() == 3
        c.participants.release("createOrder")
        await orders.until(1, 2, 3, 4, 5)
        assert await c.saga_count() == 5


async def test_orders_of_streams_that_have_no_room_are_refused_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "FULL_STREAMS_MAX", 1)
    starts = list[None]()
    async with streaming(calls_open_max=3, start_had_no_room=lambda: starts.append(None)) as (full, c):
        c.participants.hold("createOrder")
        await full.send(*((number, order(f"o-{number}")) for number in (1, 2, 3)))
        await c.participants.called("createOrder", times=3)
        late = Orders(c)
        await late.send((1, order("o-4")), (2, order("o-5")))
        await late.until(1, 2)
        assert len(starts) == 2
        c.participants.release("createOrder")
        await full.until(1, 2, 3)
        late.call.cancel()
        assert await c.saga_count() == 3
    assert {late.code(1), late.code(2)} == {StatusCode.RESOURCE_EXHAUSTED.value[0]}


async def test_orders_of_a_stream_take_no_place_among_open_calls() -> None:
    async with streaming(calls_open_max=1) as (orders, c):
        for number in (1, 2, 3):
            await orders.send((number, order(f"o-{number}")))
            await orders.until(number)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await c.orders.PlaceOrder(order("o-4"))
    assert read_refusal(refused.value).reason == "OVERLOADED"  # the stream itself is an open call
    assert [orders.status(number) for number in (1, 2, 3)] == ["SUCCESS"] * 3


@pytest.mark.parametrize(
    ("numbers", "path"),
    [((1, 1), "orders[1].number"), ((2, 1), "orders[1].number"), ((0,), "orders[0].number")],
)
async def test_numbers_that_do_not_rise_end_the_stream(numbers: tuple[int, ...], path: str) -> None:
    async with streaming() as (orders, _):
        await orders.send(*((number, order(f"o-{place}")) for place, number in enumerate(numbers)))
        ended = await orders.end()
    assert ended.code is StatusCode.INVALID_ARGUMENT
    assert list(ended.fields) == [path]


async def test_what_is_no_batch_ends_the_stream_with_the_sentence_of_a_call() -> None:
    async with coordinator() as c:
        call: Any = c.channel.stream_stream(f"{PLACE_ORDER}s")()
        await call.write(b"\xff\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
    told = read_refusal(ended.value)
    assert told.code is StatusCode.INVALID_ARGUMENT
    assert list(told.fields) == ["request"]


async def test_orders_of_a_stream_are_logged_as_calls_are_and_payments_nowhere(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_everything(caplog)
    async with streaming(wait_max_s=0.1) as (orders, c):
        await orders.send((1, order()), (2, order("")))
        await orders.until(1, 2)
        c.participants.hold("charge")
        await orders.send((3, order("o-3")))
        await orders.until(3)
        c.participants.release("charge")

        def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError(f"could not store {TOKEN}")

        monkeypatch.setattr(c.sagas, "start", broken)
        await orders.send((4, order("o-4")))
        await orders.until(4)
    ended = [
        r for r in caplog.records if r.getMessage() == "call ended" and r.__dict__["method"] == PLACE_ORDER
    ]
    assert sorted((r.levelname, r.__dict__["code"], r.__dict__["reason"]) for r in ended) == [
        ("DEBUG", "INTERNAL", "INTERNAL"),
        ("DEBUG", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ("DEBUG", "OK", ""),
        ("INFO", "DEADLINE_EXCEEDED", "SAGA_UNDECIDED"),
    ]
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in faults] == ["a call failed by a fault of ours: RuntimeError"]
    assert orders.code(4) == StatusCode.INTERNAL.value[0]
    assert not [record for record in caplog.records if TOKEN in str(record.__dict__)]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: CallerContext(lambda _: None))
    with recording() as found:
        yield found


async def test_an_order_of_a_stream_has_the_span_of_a_call_under_its_own_caller(recorded: Recorded) -> None:
    headers = CallerContext(lambda _: None)
    around = [SampledCalls(recorded.provider, recorded.ids, UNARY_METHODS, headers, recorded.note)]
    async with streaming(around=around, follower=call_follower) as (orders, c):
        orders.call.cancel()
        orders.call = c.orders.PlaceOrders(metadata=(("traceparent", OTHER),))
        await c.orders.PlaceOrder(order("o-1"), metadata=(("traceparent", CALLER),))
        with pytest.raises(grpc.aio.AioRpcError):
            await c.orders.PlaceOrder(order(""))
        followed = orders_pb2.NumberedOrder(number=1, traceparent=CALLER, order=order("o-1"))
        await orders.send(followed, (2, order("")))
        await orders.until(1, 2)
        await orders.send((3, order("o-1")))
        await orders.until(3)
        orders.call.cancel()
        await settled(c)
    # As they leave.
    spans = [allowed(span) for span in recorded.spans]
    assert [span.name for span in spans] == [PLACE_ORDER.lstrip("/")] * 5
    good, bad, *streamed, alone = spans
    for of_call in (good, bad):
        (span,) = [one for one in streamed if attributes(one) == attributes(of_call)]
        assert span.kind is of_call.kind
        assert span.status.status_code is of_call.status.status_code
        assert parent(span) == parent(of_call)
    assert parent(good) == CALLER
    # Who names no caller begins a trace, whatever the stream itself came with.
    assert parent(alone) is None
