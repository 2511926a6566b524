"""Watching a saga over a real socket: only what is durable, each record once, until it rests."""

import asyncio
from typing import Any

import grpc.aio
import pytest
from grpc import StatusCode

from coordinator.domain.ids import SagaId
from saga.v1 import coordinator_pb2 as pb
from saga.v1.types_pb2 import EventType, SagaStatus
from tests.integration.api_harness import REFUSED, coordinator, order, read_refusal, refusal


async def watched(call: Any) -> list[pb.WatchSagaResponse]:
    return [message async for message in call]


async def test_a_watch_sends_every_record_with_the_status_it_led_to_and_ends() -> None:
    async with coordinator() as c:
        c.participants.answer("bookSeat", REFUSED)
        c.participants.hold("bookRoom")
        saga_id = await c.start()
        watch = asyncio.ensure_future(watched(c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id))))
        await asyncio.sleep(0.05)
        c.participants.release("bookRoom")
        messages = await watch
        saga = await c.get(saga_id)
    assert [message.entry for message in messages] == list(saga.timeline)
    told = [(EventType.Name(m.entry.type)[11:], SagaStatus.Name(m.status)[12:]) for m in messages]
    assert told == [
        ("SAGA_STARTED", "RUNNING"),
        ("STEP_BEGUN", "RUNNING"),
        ("STEP_SUCCEEDED", "RUNNING"),
        ("STEP_BEGUN", "RUNNING"),
        ("STEP_REFUSED", "COMPENSATING"),
        ("UNDO_BEGUN", "COMPENSATING"),
        ("STEP_COMPENSATED", "COMPENSATED"),
    ]


async def test_a_saga_that_rests_is_sent_at_once_from_where_the_client_was() -> None:
    async with coordinator() as c:
        answer = await c.orders.PlaceOrder(order())
        saga = await c.get(answer.saga_id)
        for after_seq in (0, 1, saga.seq - 1, saga.seq, saga.seq + 100):
            request = pb.WatchSagaRequest(saga_id=answer.saga_id, after_seq=after_seq)
            messages = await watched(c.api.WatchSaga(request))
            assert [m.entry for m in messages] == list(saga.timeline)[after_seq:]


async def test_a_broken_watch_goes_on_after_the_last_record_received() -> None:
    async with coordinator() as c:
        c.participants.hold("bookSeat")
        saga_id = await c.start()
        first = c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id))
        seen = [(await anext(aiter(first))).entry.seq for _ in range(1)]
        first.cancel()
        c.participants.release("bookSeat")
        rest = await watched(c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id, after_seq=seen[-1])))
        saga = await c.get(saga_id)
    assert [*seen, *(m.entry.seq for m in rest)] == list(range(1, saga.seq + 1))


async def test_what_a_watch_shows_is_durable() -> None:
    async with coordinator() as c:
        answer = await c.api.StartSaga(pb.StartSagaRequest(saga_name="Trip"))
        async for message in c.api.WatchSaga(pb.WatchSagaRequest(saga_id=answer.saga.saga_id)):
            durable = await c.journal.history(SagaId(answer.saga.saga_id))
            assert message.entry.seq <= len(durable)


async def test_many_watch_one_saga_and_each_is_told_all() -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        saga_id = await c.start()
        request = pb.WatchSagaRequest(saga_id=saga_id)
        watches = [asyncio.ensure_future(watched(c.api.WatchSaga(request))) for _ in range(20)]
        await asyncio.sleep(0.05)
        c.participants.release("bookRoom")
        seqs = [[m.entry.seq for m in await watch] for watch in watches]
    assert all(each == seqs[0] == list(range(1, len(each) + 1)) for each in seqs)


async def test_a_client_that_leaves_ends_its_watch_and_nothing_else() -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        saga_id = await c.start()
        call = c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id))
        await anext(aiter(call))
        assert saga_id in c.feed._listeners
        call.cancel()
        async with asyncio.timeout(5):
            while c.feed._listeners:
                await asyncio.sleep(0.005)
        c.participants.release("bookRoom")
        saga = await c.ended(saga_id)
    assert SagaStatus.Name(saga.status) == "SAGA_STATUS_COMPLETED"


async def test_a_watch_of_a_coordinator_that_stops_is_told_to_come_back() -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        saga_id = await c.start()
        call = c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id))
        messages = aiter(call)
        await anext(messages)
        await anext(messages)
        c.feed.close()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(messages)
    assert caught.value.code() is StatusCode.UNAVAILABLE
    assert read_refusal(caught.value).reason == "DRAINING"


async def test_a_watch_from_a_negative_record_is_refused() -> None:
    async with coordinator() as c:
        saga_id = await c.start()
        call = c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id, after_seq=-1))
        refused = await refusal(watched(call))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.fields == {"after_seq": "expected 0 or more, found -1"}
