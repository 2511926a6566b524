"""Orders and starts that share a stream: each has the answer, the error and the time of a call by itself,
however the stream fares."""

import asyncio
import gc
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry import propagate
from opentelemetry.trace import SpanKind

from coordinator.adapters.opentelemetry.server import CallerContext, SampledCalls, call_follower
from coordinator.api.server import UNARY_METHODS
from coordinator.client import (
    Client,
    ClientError,
    Closed,
    InvalidRequest,
    Money,
    Order,
    OrderStatus,
    Payment,
    SagaStatus,
    TimedOut,
    Unavailable,
    Undecided,
)
from coordinator.engine.sagas import Accepted, Wanted
from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from tests.integration.api_harness import TOKEN, Coordinator, coordinator
from tests.integration.client_harness import is_shared, place
from tests.integration.listening import listens
from tests.integration.proxy import proxied
from tests.recorded_spans import header, parent, recording


class Counting(grpc.aio.ServerInterceptor):
    """Counts the calls that come; what streams carry is none."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        # An entry's details are made up for the whole stream and have no headers.
        if handler_call_details.invocation_metadata:
            self.calls[name] += 1
        return await continuation(handler_call_details)


@asynccontextmanager
async def calling(**settings: Any) -> AsyncIterator[tuple[Client, Coordinator, Counter[str]]]:
    counting = Counting()
    async with coordinator(around=[counting], **settings) as c, Client(c.address) as client:
        yield client, c, counting.calls


def alone(client: Client) -> Client:
    """*client*, each of whose calls is one by itself."""
    opened = client._open()
    opened.shared_orders._rests_until = opened.shared_starts._rests_until = math.inf
    return client


async def test_many_orders_and_starts_share_two_streams() -> None:
    async with calling() as (client, c, calls):
        orders = await asyncio.gather(*(place(client, f"o-{n % 32}") for n in range(64)))
        started = await asyncio.gather(
            *(client.start("Trip", {"n": n}, request_id=f"r-{n}", wait_s=10) for n in range(20))
        )
        charged = c.participants.names().count("charge")
    assert {order.status for order in orders} == {OrderStatus.SUCCESS}
    assert [order.order_id for order in orders] == [f"o-{n % 32}" for n in range(64)]
    assert set(Counter(order.saga_id for order in orders).values()) == {2}
    assert charged == 32
    assert [one.saga.request_id for one in started] == [f"r-{n}" for n in range(20)]
    assert {one.saga.status for one in started} == {SagaStatus.COMPLETED}
    assert calls == {"PlaceOrders": 1, "StartSagas": 1}


def told(error: ClientError) -> tuple[object, ...]:
    return (
        type(error),
        str(error),
        error.code,
        error.reason,
        error.saga_id,
        error.status,
        error.violations,
        error.metadata,
    )


async def test_every_error_is_that_of_a_call_by_itself() -> None:
    async with calling(wait_max_s=0.2, sagas_open_max=2) as (client, c, calls), Client(c.address) as other:
        alone(other)
        await place(client)
        await client.start("Trip", {}, request_id="r-1", wait_s=1)
        c.participants.hold("charge")
        with pytest.raises(Undecided):
            await place(client, "o-slow", timeout_s=0.3)
        c.participants.hold("bookRoom")
        await client.start("Trip", {}, request_id="r-slow")
        wrong = Payment("", TOKEN, Money("euro", 0))
        asked: list[Callable[[Client], Awaitable[object]]] = [
            lambda asking: place(asking, user_id="u-other"),
            lambda asking: place(asking, "o-wrong", items=[], payment=wrong),
            lambda asking: place(asking, "o-slow", timeout_s=0.3),
            lambda asking: place(asking, "o-more"),
            lambda asking: asking.start("Trip", {"other": 1}, request_id="r-1"),
            lambda asking: asking.start("Nothing", {}, request_id="r-2"),
            lambda asking: asking.start("Trip", "[", request_id="r-3"),
            lambda asking: asking.start("Trip", {}, request_id="r-4"),
        ]
        pairs = []
        for ask in asked:
            errors = []
            for asking in (client, other):
                with pytest.raises(ClientError) as caught:
                    await ask(asking)
                errors.append(told(caught.value))
                assert caught.value.__suppress_context__ or caught.value.__context__ is None
            pairs.append(errors)
        for gate in ("charge", "bookRoom"):
            c.participants.release(gate)
    for shared, by_itself in pairs:
        assert shared == by_itself
    assert len({kind for (kind, *_), _ in pairs}) == 5
    assert (calls["PlaceOrders"], calls["StartSagas"]) == (1, 1)


async def test_a_start_that_takes_long_holds_up_no_other() -> None:
    async with calling() as (client, c, _):
        c.participants.hold("bookSeat")
        slow = asyncio.ensure_future(client.start("Trip", {}, request_id="slow", wait_s=20))
        await c.participants.called("bookSeat")
        quick = await client.start("Trip", {}, request_id="quick")
        assert not slow.done()
        c.participants.release("bookSeat")
        assert (await slow).saga.status is SagaStatus.COMPLETED
    assert quick.saga.status is SagaStatus.RUNNING


async def listeners(c: Coordinator, count: int) -> None:
    async with asyncio.timeout(5):
        while len(c.feed._listeners) != count:
            await asyncio.sleep(0.005)


async def test_a_caller_without_an_answer_is_told_when_its_time_is_over_and_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def hang(wanted: Wanted) -> Accepted:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            left.set_result(str(wanted.request_id))
            raise
        raise AssertionError("its caller leaves before")

    async with calling() as (client, c, calls):
        await place(client, "o-1")
        with monkeypatch.context() as patch:
            patch.setattr(c.sagas, "start", hang)
            with pytest.raises(
                TimedOut, match=r"no answer to PlaceOrder came from \S+ within 0\.\d+ s, and wheth"
            ):
                await place(client, "o-2", timeout_s=0.1)
            async with asyncio.timeout(5):
                assert await left == "o-2"
        assert (await place(client, "o-2")).status is OrderStatus.SUCCESS
    assert calls == {"PlaceOrders": 1}


async def test_the_coordinator_knows_how_long_each_caller_waits() -> None:
    async with calling() as (client, c, calls):
        c.participants.hold("charge")
        long = asyncio.ensure_future(place(client, "o-1"))
        with pytest.raises(Undecided) as undecided:
            await place(client, "o-2", timeout_s=0.4)
        assert undecided.value.status is SagaStatus.RUNNING
        assert not long.done()
        c.participants.release("charge")
        assert (await long).status is OrderStatus.SUCCESS
    assert calls == {"PlaceOrders": 1}


async def test_a_caller_that_is_cancelled_leaves_and_the_orders_go_on() -> None:
    async with calling() as (client, c, calls):
        c.participants.hold("charge")
        leaving = asyncio.ensure_future(place(client, "o-1"))
        staying = asyncio.ensure_future(place(client, "o-2"))
        await c.participants.called("charge", times=2)
        await listeners(c, 2)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await listeners(c, 1)
        never_sent = asyncio.ensure_future(place(client, "o-3"))
        await asyncio.sleep(0)
        never_sent.cancel()
        c.participants.release("charge")
        assert (await staying).status is OrderStatus.SUCCESS
        assert (await place(client, "o-1")).status is OrderStatus.SUCCESS
        assert [saga.request_id async for saga in client.list()] == ["o-2", "o-1"]
        assert not client._open().shared_orders._sent
    assert calls == {"PlaceOrders": 1, "ListSagas": 1}


async def test_connections_that_are_cut_lose_and_double_nothing() -> None:
    chance = random.Random(7)
    async with coordinator() as c, proxied(c.address) as proxy, Client(proxy.address) as client:

        async def run(n: int) -> tuple[Order, str]:
            await asyncio.sleep(n * 0.01)
            order, started = await asyncio.gather(
                place(client, f"o-{n}"), client.start("Trip", {"n": n}, wait_s=5)
            )
            return order, started.saga.saga_id

        running = asyncio.gather(*map(run, range(60)))
        for _ in range(4):
            await asyncio.sleep(0.05 + chance.random() * 0.1)
            proxy.cut()
        done = await running
        names = Counter(c.participants.names())
        sagas = [saga.saga_id async for saga in client.list()]
    assert proxy.connections > 1
    assert {order.status for order, _ in done} == {OrderStatus.SUCCESS}
    assert [order.order_id for order, _ in done] == [f"o-{n}" for n in range(60)]
    # Each once, though many were asked for again: an order under its id, a start under the one it was given.
    assert (names["charge"], names["bookSeat"]) == (60, 60)
    assert sorted(sagas) == sorted([order.saga_id for order, _ in done] + [saga_id for _, saga_id in done])


async def test_a_coordinator_that_goes_tells_whoever_waits_what_it_would_tell_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coordinator.client.stream.retry_pauses_s", lambda: [0.01, 0.02])
    async with coordinator() as c, Client(c.address) as client:
        await place(client, "o-1")
        c.participants.hold("createOrder")
        waiting = asyncio.ensure_future(place(client, "o-2", timeout_s=1.5))
        await c.participants.called("createOrder", times=2)
        await c.server.draining()
        await c.pool.park(grace_s=0)
        with pytest.raises(Unavailable) as refused:
            await client.start("Trip", {}, request_id="r-1")
        assert not waiting.done()
        c.feed.close()
        began_at = time.monotonic()
        await c.server.stop(30)
        assert time.monotonic() - began_at < 5
        with pytest.raises(Unavailable, match="nobody answers at"):
            await waiting
    assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "DRAINING")


class Older:
    """A coordinator without streams in front of *c*, until it is made new; what is asked of it is kept."""

    def __init__(self, c: Coordinator) -> None:
        self._channel = c.channel
        self.asked: Counter[str] = Counter()
        self.times_left_s: list[float] = []
        self.is_new = False
        self.ends_after_s = 0.0
        self.ends_with: grpc.StatusCode | bytes | None = None

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        name = details.method.rpartition("/")[2]
        self.asked[name] += 1
        if is_shared(details):
            return self._stream(details.method) if self.is_new or self.ends_with is not None else None
        call: Any = self._channel.unary_unary(details.method)

        async def pass_on(request: bytes, context: Any) -> bytes:
            self.times_left_s.append(context.time_remaining())
            answer: bytes = await call(request)
            return answer

        return grpc.unary_unary_rpc_method_handler(pass_on)

    def _stream(self, method: str) -> Any:
        async def pass_on(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            if self.ends_with is not None:
                await anext(requests)
                await asyncio.sleep(self.ends_after_s)
                if isinstance(self.ends_with, bytes):
                    yield self.ends_with
                    await anext(requests)
                if self.ends_with is not grpc.StatusCode.OK:
                    await context.abort(self.ends_with, "what a proxy says")
                return
            method_there: Any = self._channel.stream_stream(method)
            async for answer in method_there(requests):
                yield answer

        return grpc.stream_stream_rpc_method_handler(pass_on)


@asynccontextmanager
async def older(c: Coordinator) -> AsyncIterator[tuple[Older, str]]:
    made = Older(c)

    class Handlers(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            return made.service(handler_call_details)

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await listens(port)
    try:
        yield made, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_an_older_coordinator_gets_calls_and_is_asked_for_a_stream_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with coordinator() as c, older(c) as (server, address), Client(address) as client:
        await asyncio.gather(*(place(client, f"o-{n}") for n in range(10)))
        await client.start("Trip", {})
        await place(client, "o-11")
        assert server.asked == {"PlaceOrders": 1, "PlaceOrder": 11, "StartSagas": 1, "StartSaga": 1}
        server.is_new = True
        monkeypatch.setattr(client._open().shared_orders, "_rests_until", 0.0)
        await asyncio.gather(*(place(client, f"o-2{n}") for n in range(10)))
        assert server.asked["PlaceOrders"] == 2
        assert server.asked["PlaceOrder"] == 11
        assert c.participants.names().count("charge") == 21


@pytest.mark.parametrize(
    ("end", "streams"),
    [
        (grpc.StatusCode.OK, 1),
        (b"\xff\xff\xff", 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 1),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.PERMISSION_DENIED, 1),
        (grpc.StatusCode.CANCELLED, 2),
    ],
)
async def test_a_stream_that_something_on_the_way_ends_is_made_up_for_by_calls(
    end: grpc.StatusCode | bytes, streams: int
) -> None:
    async with coordinator() as c, older(c) as (server, address), Client(address) as client:
        server.ends_with = end
        first = await place(client, "o-1")
        assert await place(client, "o-1") == first
        assert server.asked == {"PlaceOrders": streams, "PlaceOrder": 2}
        assert c.participants.names().count("charge") == 1


async def test_a_call_that_makes_up_for_a_stream_has_the_time_that_is_left() -> None:
    async with coordinator() as c, older(c) as (server, address), Client(address) as client:
        server.ends_with, server.ends_after_s = grpc.StatusCode.INTERNAL, 0.2
        await place(client, "o-1", timeout_s=5)
        await place(client, "o-2", timeout_s=5)
    first_s, second_s = server.times_left_s
    assert first_s < 4.9 < second_s


async def test_a_request_too_large_for_a_batch_travels_by_itself() -> None:
    async with calling() as (client, _, calls):
        text = "x" * ((1 << 20) - 200)
        fits = await client.start("Trip", {"text": text[:-200]}, request_id="r-1")
        with pytest.raises(InvalidRequest, match="input_json: is larger than 1048576 bytes"):
            await client.start("Trip", {"text": text + "x" * 300}, request_id="r-2")
    assert fits.saga.request_id == "r-1"
    assert calls == {"StartSagas": 1, "StartSaga": 1}


async def test_requests_that_are_large_together_leave_apart() -> None:
    async with calling(message_bytes_max=2 << 20) as (client, _, calls):
        text = "x" * 300_000
        started = await asyncio.gather(
            *(client.start("Trip", {"text": text}, request_id=f"r-{n}") for n in range(12))
        )
    assert [one.saga.request_id for one in started] == [f"r-{n}" for n in range(12)]
    assert calls == {"StartSagas": 1}


@pytest.mark.parametrize("reached", [True, False])
async def test_a_client_that_is_closed_tells_who_waits_and_leaves_no_task(reached: bool) -> None:
    async with calling() as (client, c, calls):
        if reached:
            await place(client, "o-0")
        c.participants.hold("charge")
        c.participants.hold("bookRoom")
        orders = [asyncio.ensure_future(place(client, f"o-{n}")) for n in (1, 2)]
        start = asyncio.ensure_future(client.start("Trip", {}, wait_s=5))
        if reached:
            await c.participants.called("charge", times=2)
        else:
            await asyncio.sleep(0)
        await client.close()
        assert not [task for task in asyncio.all_tasks() if "coro=<Stream._" in repr(task)]
        for caught in await asyncio.gather(*orders, start, return_exceptions=True):
            assert type(caught) is Closed
        with pytest.raises(Closed):
            await place(client)
        c.participants.release("charge")
        c.participants.release("bookRoom")
    assert calls == ({"PlaceOrders": 1, "StartSagas": 1} if reached else {})


async def test_a_client_that_is_closed_before_it_asks_again_opens_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Client("127.0.0.1:1") as client:
        waiting = asyncio.ensure_future(place(client))
        async with asyncio.timeout(5):
            while (
                client._open().shared_orders._number == 0 or client._open().shared_orders._running is not None
            ):
                await asyncio.sleep(0.005)
    with pytest.raises(Closed):
        await waiting
    gc.collect()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


held: ContextVar[str] = ContextVar("held", default="nothing")


async def test_a_stream_is_opened_in_the_context_of_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    async with calling() as (client, _, calls):
        shared = client._open().shared_orders
        opened, seen = shared._method, []

        def method() -> Any:
            seen.append(held.get())
            return opened()

        monkeypatch.setattr(shared, "_method", method)
        held.set("what only the first caller has")
        await place(client)
    assert seen == ["nothing"]
    assert calls == {"PlaceOrders": 1}


class Strange(orders_pb2_grpc.OrderPlacementServiceServicer):
    """Answers what nobody asked, twice, or with nothing, before it answers."""

    def __init__(self) -> None:
        self.left: list[int] = []

    async def PlaceOrder(self, request: Any, context: Any) -> orders_pb2.PlaceOrderResponse:
        return orders_pb2.PlaceOrderResponse(order_id=request.order_id, error_message="by itself")

    async def PlaceOrders(self, request_iterator: Any, context: Any) -> Any:
        async for batch in request_iterator:
            self.left += batch.left
            for entry in batch.orders:
                order = orders_pb2.PlaceOrderResponse(order_id=entry.order.order_id, error_message="streamed")
                strangers = [
                    orders_pb2.PlacedOrder(
                        number=number, order=orders_pb2.PlaceOrderResponse(order_id="strange")
                    )
                    for number in (0, -1, entry.number + 7)
                ]
                empty = [orders_pb2.PlacedOrder(number=entry.number)] * (entry.order.order_id == "empty")
                right = [orders_pb2.PlacedOrder(number=entry.number, order=order)] * 2
                yield orders_pb2.PlaceOrdersResponse(orders=[*strangers, *empty, *right])


async def test_answers_that_belong_to_nobody_are_left_aside() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    strange = Strange()
    orders_pb2_grpc.add_OrderPlacementServiceServicer_to_server(strange, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Client(f"127.0.0.1:{port}") as client:
        answers = [await place(client, order_id) for order_id in ("a", "b", "empty", "c")]
    await server.stop(None)
    assert not strange.left, "nobody has left who has an answer"
    assert [(order.order_id, order.error_message) for order in answers] == [
        ("a", "streamed"),
        ("b", "streamed"),
        ("empty", "by itself"),
        ("c", "streamed"),
    ]


def place_of(traceparent: str | None) -> str:
    """Without the flags."""
    assert traceparent is not None
    return traceparent[:-3]


async def test_each_order_goes_on_in_its_callers_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: CallerContext(lambda _: None))
    with recording() as recorded:
        headers = CallerContext(lambda _: None)
        around = [SampledCalls(recorded.provider, recorded.ids, UNARY_METHODS, headers, recorded.note)]
        async with coordinator(around=around, follower=call_follower) as c, Client(c.address) as client:
            await asyncio.gather(*(place(client, f"o-{n}") for n in range(5)))
    of_client = [span for span in recorded.spans if span.kind is SpanKind.CLIENT]
    of_server = [span for span in recorded.spans if span.kind is SpanKind.SERVER]
    assert len(of_client) == len(of_server) == 5
    assert {place_of(parent(span)) for span in of_server} == {place_of(header(span)) for span in of_client}
    assert len({span.context.trace_id for span in of_server if span.context is not None}) == 5
