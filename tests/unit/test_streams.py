"""What a stream of calls does with entries and answers, without a server: what leaves together, and how much
may be under way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import grpc
import grpc.aio
import pytest

from coordinator.api import streams
from coordinator.api.orders import ORDERS
from coordinator.api.streams import Streams
from coordinator.domain.errors import InvalidRequest, Violation
from saga.orders.v1 import orders_pb2 as pb

Requests = asyncio.Queue[pb.PlaceOrdersRequest | None]


class Orders:
    """A method that answers an order when a test says so."""

    def __init__(self) -> None:
        self.asked: dict[str, asyncio.Future[pb.PlaceOrderResponse]] = {}

    async def place(self, request: pb.PlaceOrderRequest, context: object) -> pb.PlaceOrderResponse:
        self.asked[request.order_id] = answer = asyncio.get_running_loop().create_future()
        answered: pb.PlaceOrderResponse = await answer
        return answered

    def answer(self, *order_ids: str, error_message: str = "") -> None:
        for order_id in order_ids:
            self.asked[order_id].set_result(
                pb.PlaceOrderResponse(order_id=order_id, error_message=error_message)
            )


class NoContext:
    """A call without headers."""

    def invocation_metadata(self) -> tuple[()]:
        return ()


async def read_all(requests: Requests) -> AsyncIterator[pb.PlaceOrdersRequest]:
    while (request := await requests.get()) is not None:
        yield request


@asynccontextmanager
async def streaming(
    method: Callable[[Any, Any], Awaitable[Any]],
    *around: grpc.aio.ServerInterceptor,
    entries_max: int = 10,
) -> AsyncIterator[tuple[Requests, AsyncGenerator[Any, None]]]:
    async with on(Streams(around, entries_max=entries_max), method) as stream:
        yield stream


@asynccontextmanager
async def on(
    streams: Streams, method: Callable[[Any, Any], Awaitable[Any]]
) -> AsyncIterator[tuple[Requests, AsyncGenerator[Any, None]]]:
    """One of several streams."""
    requests: Requests = asyncio.Queue()
    async with aclosing(streams.answers(ORDERS, method, read_all(requests), NoContext())) as answers:
        yield requests, answers


def batch(*order_ids: str, first: int = 1, left: tuple[int, ...] = ()) -> pb.PlaceOrdersRequest:
    orders = [
        pb.NumberedOrder(number=number, order=pb.PlaceOrderRequest(order_id=order_id))
        for number, order_id in enumerate(order_ids, start=first)
    ]
    return pb.PlaceOrdersRequest(orders=orders, left=left)


async def turns() -> None:
    """Let everything happen that can without news from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


def numbers(message: pb.PlaceOrdersResponse) -> list[int]:
    return [one.number for one in message.orders]


async def test_answers_that_become_ready_during_a_write_leave_together_with_the_next() -> None:
    orders = Orders()
    async with streaming(orders.place) as (requests, answers):
        requests.put_nowait(batch("a", "b", "c", "d"))
        first = asyncio.ensure_future(anext(answers))
        await turns()
        orders.answer("b")
        assert numbers(await first) == [2]
        # Whoever asks for the next one has written the last.
        orders.answer("d")
        await turns()
        orders.answer("a", "c")
        await turns()
        assert numbers(await anext(answers)) == [4, 1, 3]


async def test_answers_that_are_large_together_leave_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ANSWERS_BYTES_MAX", 1000)
    orders = Orders()
    async with streaming(orders.place) as (requests, answers):
        requests.put_nowait(batch("a", "b", "c", "d", "e"))
        first = asyncio.ensure_future(anext(answers))
        await turns()
        orders.answer("a", error_message="x" * 3000)
        orders.answer("b", "c", error_message="x" * 400)
        orders.answer("d", "e", error_message="x" * 400)
        assert [numbers(await first), numbers(await anext(answers)), numbers(await anext(answers))] == [
            [1],
            [2, 3],
            [4, 5],
        ]


async def test_what_is_under_way_on_all_streams_together_is_bounded_and_room_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "FULL_STREAMS_MAX", 2)
    orders, house = Orders(), Streams((), entries_max=2)
    async with on(house, orders.place) as (calm, answers):
        async with (
            on(house, orders.place) as (one, one_first),
            on(house, orders.place) as (other, other_first),
        ):
            waiting = [asyncio.ensure_future(anext(each)) for each in (one_first, other_first)]
            for number, flood in enumerate((one, other)):
                flood.put_nowait(batch(f"{number}-a", f"{number}-b", f"{number}-c"))
            await turns()
            assert set(orders.asked) == {"0-a", "0-b", "1-a", "1-b"}
            calm.put_nowait(batch("x"))
            async with asyncio.timeout(5):
                (refused,) = (await anext(answers)).orders
            assert refused.status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            assert refused.status.message.startswith("4 calls of streams are under way")
            # Of one whose answer is written, of two that are left, and of those of streams that are over.
            orders.answer("0-a")
            assert numbers(await waiting[0]) == [1]
            waiting[0] = asyncio.ensure_future(anext(one_first))
            await turns()
            assert "0-c" in orders.asked
            other.put_nowait(batch(left=(1, 2)))
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        calm.put_nowait(batch("y", "z", first=2))
        placed = asyncio.ensure_future(anext(answers))
        await turns()
        assert {"y", "z"} <= set(orders.asked)
        orders.answer("y", "z")
        assert numbers(await placed) == [2, 3]
    assert house._room.taken == 0


@pytest.mark.parametrize("turns_before", range(6))
async def test_a_stream_that_ends_leaves_no_room_taken_whatever_was_begun(turns_before: int) -> None:
    house = Streams((), entries_max=10)
    async with on(house, Orders().place) as (requests, answers):
        waiting = asyncio.ensure_future(anext(answers))
        await turns()
        requests.put_nowait(batch("a", "b"))
        for _ in range(turns_before):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert house._room.taken == 0


async def test_room_comes_back_though_waiting_for_what_was_under_way_is_cancelled_too() -> None:
    is_going = asyncio.Event()

    async def slow_to_go(request: object, context: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_going.set()
            await asyncio.Event().wait()

    house = Streams((), entries_max=10)
    async with on(house, slow_to_go) as (requests, answers):
        waiting = asyncio.ensure_future(anext(answers))
        requests.put_nowait(batch("a", "b"))
        await turns()
        assert house._room.taken == 2
        for _ in range(2):
            waiting.cancel()
            await is_going.wait()
        await asyncio.gather(waiting, return_exceptions=True)
    assert house._room.taken == 0


@pytest.mark.parametrize("is_cut", [True, False])
async def test_answers_that_nobody_takes_leave_no_room_to_other_streams(
    is_cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FULL_STREAMS_MAX", 1)
    told = list[str]()
    orders, house = Orders(), Streams((), entries_max=3, had_no_room=told.append)
    async with on(house, orders.place) as (calm, calm_answers):
        async with on(house, orders.place) as (deaf, deaf_answers):
            deaf.put_nowait(batch("a", "b", "c"))
            first = asyncio.ensure_future(anext(deaf_answers))
            await turns()
            orders.answer("a")
            assert numbers(await first) == [1]
            orders.answer("b", "c")
            await turns()
            # One is being written and two wait.
            assert house._room.taken == 3
            calm.put_nowait(batch("x"))
            (refused,) = (await anext(calm_answers)).orders
            assert refused.status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            assert told == [ORDERS.method]
            if not is_cut:
                assert numbers(await anext(deaf_answers)) == [2, 3]
                assert house._room.taken == 2
                deaf.put_nowait(None)
                with pytest.raises(StopAsyncIteration):
                    await anext(deaf_answers)
        assert house._room.taken == 0
        calm.put_nowait(batch("y", first=2))
        placed = asyncio.ensure_future(anext(calm_answers))
        await turns()
        orders.answer("y")
        assert numbers(await placed) == [2]
    assert house._room.taken == 0


async def test_who_takes_no_refusals_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FULL_STREAMS_MAX", 1)
    monkeypatch.setattr(streams, "REFUSED_MAX", 3)
    orders, house = Orders(), Streams((), entries_max=2)
    async with on(house, orders.place) as (full, full_answers), on(house, orders.place) as (deaf, answers):
        waiting = asyncio.ensure_future(anext(full_answers))
        full.put_nowait(batch("a", "b"))
        await turns()
        deaf.put_nowait(batch("c", "d", "e", "f", "g"))
        first = await anext(answers)
        assert numbers(first) == [1, 2, 3]
        await turns()
        assert numbers(await anext(answers)) == [4, 5]
        # What is refused has no place, and gives none back.
        assert house._room.taken == 2
        orders.answer("a", "b")
        assert numbers(await waiting) == [1, 2]
    assert house._room.taken == 0


async def test_however_many_streams_have_much_to_read_others_get_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "ENTRIES_AT_ONCE", 10)
    orders, house = Orders(), Streams((), entries_max=5000)
    async with (
        on(house, orders.place) as (one, one_answers),
        on(house, orders.place) as (other, other_answers),
        on(house, orders.place) as (calm, calm_answers),
    ):
        waiting = [asyncio.ensure_future(anext(each)) for each in (one_answers, other_answers)]
        placed = asyncio.ensure_future(anext(calm_answers))
        for name, flood in (("one", one), ("other", other)):
            flood.put_nowait(batch(*(f"{name}-{number}" for number in range(2000))))
        calm.put_nowait(batch("x"))
        while "x" not in orders.asked:
            await asyncio.sleep(0)
        orders.answer("x")
        assert numbers(await placed) == [1]
        assert len(orders.asked) < 200
        begun = []
        while len(orders.asked) < 4001:
            begun.append(len(orders.asked))
            await asyncio.sleep(0)
        # Together they begin no more in a turn than one of them would.
        assert max(after - before for before, after in pairwise(begun)) == 10
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert house._room.taken == 0


async def test_an_order_that_is_left_many_times_over_is_left_once() -> None:
    told: list[int] = []

    async def place(request: object, context: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            task = asyncio.current_task()
            told.append(task.cancelling() if task is not None else 0)

    async with streaming(place) as (requests, answers):
        ended = asyncio.ensure_future(anext(answers))
        requests.put_nowait(batch("a"))
        await turns()
        requests.put_nowait(batch(left=(1,) * 1000))
        requests.put_nowait(None)
        with pytest.raises(StopAsyncIteration):
            await ended
    assert told == [1]


@pytest.mark.parametrize(
    ("large", "field"), [(batch("a", "b", "c"), "orders"), (batch("a", left=(1, 1, 1)), "left")]
)
async def test_a_message_with_too_much_in_it_ends_the_stream(
    large: pb.PlaceOrdersRequest, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BATCH_MAX", 2)
    orders = Orders()
    async with streaming(orders.place) as (requests, answers):
        requests.put_nowait(large)
        with pytest.raises(InvalidRequest) as wrong:
            await anext(answers)
    assert wrong.value.violations == (Violation(field, "expected at most 2, found 3"),)
    assert not orders.asked


async def test_answers_that_nobody_takes_count_as_under_way() -> None:
    orders = Orders()
    async with streaming(orders.place, entries_max=3) as (requests, answers):
        requests.put_nowait(batch("a", "b"))
        requests.put_nowait(batch("c", "d", "e", "f", first=3))
        first = asyncio.ensure_future(anext(answers))
        await turns()
        assert set(orders.asked) == {"a", "b", "c"}
        orders.answer("a")
        assert numbers(await first) == [1]
        orders.answer("b", "c")
        await turns()
        # None took the place of the answer that is being written, nor those of the answers that wait.
        assert set(orders.asked) == {"a", "b", "c"}
        assert numbers(await anext(answers)) == [2, 3]
        await turns()
        assert set(orders.asked) == {"a", "b", "c", "d"}
        rest = asyncio.ensure_future(anext(answers))
        await turns()
        assert set(orders.asked) == {"a", "b", "c", "d", "e", "f"}
        orders.answer("d", "e", "f")
        assert numbers(await rest) == [4, 5, 6]


@pytest.mark.parametrize("begun", [True, False])
async def test_room_that_a_caller_leaves_is_given_to_the_next(begun: bool) -> None:
    orders = Orders()
    async with streaming(orders.place, entries_max=2) as (requests, answers):
        rest = asyncio.ensure_future(anext(answers))
        requests.put_nowait(batch("a", "b"))
        if begun:
            await turns()
        requests.put_nowait(batch(left=(1,)))
        requests.put_nowait(batch("c", first=3))
        await turns()
        assert ("a" in orders.asked) is begun
        orders.answer("c")
        assert numbers(await rest) == [3]
        requests.put_nowait(batch(left=(2,)))
        requests.put_nowait(None)
        with pytest.raises(StopAsyncIteration):
            await anext(answers)


async def test_no_task_outlives_its_stream() -> None:
    orders = Orders()
    before = asyncio.all_tasks()
    async with streaming(orders.place) as (requests, answers):
        requests.put_nowait(batch("a", "b"))
        first = asyncio.ensure_future(anext(answers))
        await turns()
        orders.answer("a")
        await first
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before
    assert orders.asked["b"].cancelled()


class Failing(grpc.aio.ServerInterceptor):
    """Stands around a call and has a fault of its own."""

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        async def fail(request: object, context: object) -> object:
            raise RuntimeError("canary-4711")

        assert handler_call_details.method == "/saga.orders.v1.OrderPlacementService/PlaceOrder"
        assert (await continuation(handler_call_details)).unary_unary is not None
        return grpc.unary_unary_rpc_method_handler(fail)


async def test_a_fault_around_an_entry_is_an_answer_too_and_says_nothing_of_itself() -> None:
    async with streaming(Orders().place, Failing()) as (requests, answers):
        requests.put_nowait(batch("a"))
        (answer,) = (await anext(answers)).orders
    assert (answer.number, answer.status.code) == (1, grpc.StatusCode.INTERNAL.value[0])
    assert "canary" not in str(answer)


async def test_a_client_that_sends_no_more_hears_of_no_shutdown() -> None:
    orders, requests = Orders(), Requests()
    made = Streams((), entries_max=10)
    async with aclosing(made.answers(ORDERS, orders.place, read_all(requests), NoContext())) as answers:
        requests.put_nowait(batch("a"))
        requests.put_nowait(None)
        first = asyncio.ensure_future(anext(answers))
        await turns()
        made.drain()
        orders.answer("a")
        assert numbers(await first) == [1]
        with pytest.raises(StopAsyncIteration):
            await anext(answers)
