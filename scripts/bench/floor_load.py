"""`python -m scripts.bench.floor_load`: drives one floor, as `load` drives a coordinator.

What it is to do stands in its one argument, a JSON object; what it found goes to stdout.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Final

import grpc.aio

from coordinator.adapters.sqlite import SqliteJournal
from saga.orders.v1 import orders_pb2 as pb
from saga.orders.v1 import orders_pb2_grpc as rpc
from scripts.bench import histories, orders
from scripts.bench.figures import percentile
from scripts.bench.readings import cpu_s

READY: Final = "floor "


class Floor(StrEnum):
    """What is done over and over."""

    UNARY = "unary"
    """PlaceOrder by plain grpc.aio, answered at once."""
    STREAM = "stream"
    """The same in batches on one stream: whatever is asked for while the batch before is on its way."""
    JOURNAL = "journal"
    """The writes of an order's saga, one after the other: its start, then each answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do."""

    floor: Floor
    concurrency: int
    warm_up_s: float
    window_s: float
    server: int = 0
    """The process that answers; 0: there is none."""
    address: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it, in the window. The CPU is that of both processes."""

    acts: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float


class Clock:
    """How long each act took, in the order of their ends."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.is_over = False

    async def time(self, act: Awaitable[object]) -> None:
        began = time.perf_counter()
        await act
        self.took_s.append(time.perf_counter() - began)


Worker = Callable[[Clock], Awaitable[None]]
"""Acts until the clock says that it is over."""


@asynccontextmanager
async def unary(task: Task) -> AsyncIterator[Worker]:
    ids = count(1)
    async with grpc.aio.insecure_channel(task.address) as channel:
        stub = rpc.OrderPlacementServiceStub(channel)

        async def place() -> None:
            request = orders.request(f"e-{next(ids)}", 0)
            answer = await stub.PlaceOrder(request)
            assert answer.order_id == request.order_id

        async def work(clock: Clock) -> None:
            while not clock.is_over:
                await clock.time(place())

        yield work


@asynccontextmanager
async def stream(task: Task) -> AsyncIterator[Worker]:
    async with grpc.aio.insecure_channel(task.address) as channel:
        call = rpc.OrderPlacementServiceStub(channel).PlaceOrders()
        batches = Batches(call)
        tasks = [asyncio.create_task(batches.send()), asyncio.create_task(batches.receive())]

        async def work(clock: Clock) -> None:
            while not clock.is_over:
                await clock.time(batches.place())

        yield work
        call.cancel()
        for each in tasks:
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each


class Batches:
    """Orders on a stream. There is no timer: while one batch is being written, the next one gathers."""

    def __init__(
        self, call: "grpc.aio.StreamStreamCall[pb.PlaceOrdersRequest, pb.PlaceOrdersResponse]"
    ) -> None:
        self._call = call
        self._numbers = count(1)
        self._batch = pb.PlaceOrdersRequest()
        self._is_filled = asyncio.Event()
        self._asked: dict[int, asyncio.Future[pb.PlaceOrderResponse]] = {}

    async def place(self) -> None:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        order_id = f"e-{number}"
        self._batch.orders.add(number=number, order=orders.request(order_id, 0))
        self._is_filled.set()
        assert (await answer).order_id == order_id

    async def send(self) -> None:
        while True:
            await self._is_filled.wait()
            self._is_filled.clear()
            batch, self._batch = self._batch, pb.PlaceOrdersRequest()
            await self._call.write(batch)

    async def receive(self) -> None:
        async for response in self._call:
            for one in response.orders:
                self._asked.pop(one.number).set_result(one.order)


@asynccontextmanager
async def journal(task: Task) -> AsyncIterator[Worker]:
    numbers = count(1)
    definition = histories.shipped()
    first, *others = histories.completed(definition).writes
    async with await SqliteJournal.open(Path(task.folder) / "floor.sqlite3") as opened:

        async def work(clock: Clock) -> None:
            while not clock.is_over:
                request = histories.request(next(numbers))
                write = histories.renamed(first, request)
                seq = write.summary.seq
                await clock.time(opened.start(request, definition, write.events, write.summary))
                for each in others:
                    write = histories.renamed(each, request)
                    await clock.time(
                        opened.append(request.saga_id, write.events, summary=write.summary, seq_expected=seq)
                    )
                    seq = write.summary.seq

        yield work


FLOORS: Final = {Floor.UNARY: unary, Floor.STREAM: stream, Floor.JOURNAL: journal}


async def run(task: Task) -> Found:
    """Warm up, act for the window, and let that end which is under way."""
    clock = Clock()
    async with FLOORS[task.floor](task) as work, asyncio.TaskGroup() as workers:
        for _ in range(task.concurrency):
            workers.create_task(_work(work, clock))
        await asyncio.sleep(task.warm_up_s)
        before, first, began = _cpu_s(task), len(clock.took_s), time.perf_counter()
        await asyncio.sleep(task.window_s)
        after, last, seconds = _cpu_s(task), len(clock.took_s), time.perf_counter() - began
        clock.is_over = True
    took = clock.took_s[first:last]
    return Found(
        acts=len(took),
        seconds=seconds,
        p50_ms=1000 * percentile(took, 0.50),
        p99_ms=1000 * percentile(took, 0.99),
        cpu_s=after - before,
    )


async def _work(work: Worker, clock: Clock) -> None:
    await work(clock)


def _cpu_s(task: Task) -> float:
    return sum(cpu_s(pid) for pid in (os.getpid(), task.server) if pid)


def main() -> None:
    given = json.loads(sys.argv[1])
    found = asyncio.run(run(Task(**{**given, "floor": Floor(given["floor"])})))
    print(READY + json.dumps(asdict(found), separators=(",", ":")), flush=True)


if __name__ == "__main__":
    main()
