"""The stream of a client whose coordinator takes nothing for a while."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.rpc import status_pb2
from grpc import StatusCode

from coordinator.api import streams
from coordinator.client import stream as client_stream
from coordinator.client.stream import STARTS, Stream
from saga.v1 import coordinator_pb2 as pb


class Held:
    """A call that writes when it is let, and has no answers."""

    def __init__(self) -> None:
        self.written: list[pb.StartSagasRequest] = []
        self.let = asyncio.Event()

    async def write(self, batch: pb.StartSagasRequest) -> None:
        self.written.append(batch)
        await self.let.wait()

    async def __aiter__(self) -> AsyncIterator[object]:
        await asyncio.Event().wait()
        yield b""

    def cancel(self) -> None:
        """Nothing to end."""


async def test_what_nobody_waits_for_any_more_keeps_no_other_from_leaving() -> None:
    call = Held()
    stream = Stream(STARTS, lambda: call)

    def start(request_id: str, size: int, timeout_s: float) -> asyncio.Task[object]:
        request = pb.StartSagaRequest(request_id=request_id, input_json="x" * size)
        return asyncio.create_task(stream.answer(request, timeout_s=timeout_s, traceparent=""))

    waiting = [start("first", 1, 20)]
    async with asyncio.timeout(10):
        while not call.written:
            await asyncio.sleep(0)
        late = [start(f"late-{number}", 100_000, 0.01) for number in range(25)]
        waiting.append(start("live", 100_000, 20))
        expired = await asyncio.gather(*late)
        call.let.set()
        while len(call.written) < 2:
            await asyncio.sleep(0.001)
    await stream.close()
    await asyncio.gather(*waiting)
    assert expired == [status_pb2.Status(code=StatusCode.DEADLINE_EXCEEDED.value[0])] * 25
    assert [[one.start.request_id for one in batch.starts] for batch in call.written] == [["first"], ["live"]]


async def test_who_has_left_is_named_by_as_many_as_one_message_may_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_stream, "BATCH_MAX", 2)
    call = Held()
    call.let.set()
    stream = Stream(STARTS, lambda: call)
    waiting = [
        asyncio.create_task(stream.answer(pb.StartSagaRequest(), timeout_s=20, traceparent=""))
        for _ in range(5)
    ]
    async with asyncio.timeout(10):
        while not call.written:
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        while len(call.written) < 4:
            await asyncio.sleep(0)
    await stream.close()
    assert [list(batch.left) for batch in call.written] == [[], [1, 2], [3, 4], [5]]


def test_nothing_leaves_in_one_message_that_a_coordinator_would_refuse() -> None:
    assert client_stream.BATCH_MAX <= streams.BATCH_MAX
    # A request may have nothing in it.
    assert client_stream.BATCH_BYTES_MAX // client_stream._ABOUT_BYTES <= streams.BATCH_MAX
