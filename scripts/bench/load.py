"""`python -m scripts.bench.load`: places orders as fast as they are answered, and checks every answer.

It reads what the other processes have used itself, so that the readings and the window have the same edges.
What it is to do stands in its one argument, a JSON object; what it found goes to stdout.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

import grpc.aio

from coordinator.client import Client, OrderStatus, SagaStatus
from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.v1 import types_pb2
from scripts.bench import orders
from scripts.bench.cells import Caller, Ending
from scripts.bench.figures import percentile
from scripts.bench.readings import Reading, peak_memory_bytes, read

READY: Final = "load "
CALLER: Final = "client"
ORDER_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
Place = Callable[[str], Awaitable[tuple[str, str, str]]]
"""Places the order of that id; the id, the status and the saga's status that it is answered with."""


class WrongAnswer(Exception):
    """An order was not answered as it must be."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do."""

    address: str
    caller: Caller
    ending: Ending
    concurrency: int
    payload_bytes: int
    warm_up_s: float
    window_s: float
    pids: Mapping[str, int]
    """The other processes whose use is read, by name; its own is CALLER's."""
    prefix: str = "b"
    """Of the orders' ids."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it, in the window."""

    sagas: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: Mapping[str, float]
    written_bytes: Mapping[str, int]
    peak_bytes: Mapping[str, int]


@asynccontextmanager
async def our_client(task: Task) -> AsyncIterator[Place]:
    """Our client's way to place an order."""
    items = orders.items(task.payload_bytes)
    async with Client(task.address) as client:

        async def place(order_id: str) -> tuple[str, str, str]:
            placed = await client.place_order(
                order_id=order_id,
                user_id=orders.USER,
                items=items,
                payment=orders.PAYMENT,
                timeout_s=ORDER_TIMEOUT_S,
            )
            return placed.order_id, placed.status, placed.saga_status

        yield place


@asynccontextmanager
async def stock_client(task: Task) -> AsyncIterator[Place]:
    """What the generated stub offers."""
    status, saga_status = orders_pb2.OrderStatus.Name, types_pb2.SagaStatus.Name
    async with grpc.aio.insecure_channel(task.address) as channel:
        stub = orders_pb2_grpc.OrderPlacementServiceStub(channel)

        async def place(order_id: str) -> tuple[str, str, str]:
            request = orders.request(order_id, task.payload_bytes)
            placed = await stub.PlaceOrder(request, timeout=ORDER_TIMEOUT_S)
            ended = saga_status(placed.saga_status).removeprefix("SAGA_STATUS_")
            return placed.order_id, status(placed.status), ended

        yield place


CLIENTS: Final = {Caller.OURS: our_client, Caller.STOCK: stock_client}
EXPECTED: Final = {
    Ending.SUCCESS: (OrderStatus.SUCCESS.value, SagaStatus.COMPLETED.value),
    Ending.UNDONE: (OrderStatus.FAILED.value, SagaStatus.COMPENSATED.value),
}


class Crowd:
    """So many callers, each of whom places the next order when the one before it is answered."""

    def __init__(self, place: Place, expected: tuple[str, str], prefix: str) -> None:
        self._place = place
        self._expected = expected
        self._ids = map(f"{prefix}-{{}}".format, count(1))
        self._is_leaving = False
        self.ended: list[float] = []
        """How long each order took, in seconds, in the order of their ends."""

    async def work(self, seconds: float, orders_min: int) -> None:
        """Return after that time, but not before so many more orders have ended."""
        enough = len(self.ended) + orders_min
        await asyncio.sleep(seconds)
        async with asyncio.timeout(ORDER_TIMEOUT_S):
            while len(self.ended) < enough:
                await asyncio.sleep(_POLL_S)

    def leave(self) -> None:
        """Place no more orders."""
        self._is_leaving = True

    async def keep_ordering(self) -> None:
        """Until told to leave."""
        while not self._is_leaving:
            await self.order()

    async def order(self) -> None:
        """Place an order, and check what it is answered.

        Raises:
            WrongAnswer: it ended otherwise than it must, or is another one.
        """
        order_id = next(self._ids)
        began = time.perf_counter()
        answer = await self._place(order_id)
        self.ended.append(time.perf_counter() - began)
        if answer != (order_id, *self._expected):
            raise WrongAnswer(f"{order_id} should have ended {self._expected}, and was answered {answer}")


async def run(task: Task) -> Found:
    """Warm up, place orders for the window, and let those end that are under way. Where orders take longer,
    both last until as many of them have ended as there are callers.

    Raises:
        ExceptionGroup: of a WrongAnswer, or of what an order failed with.
    """
    pids = {CALLER: os.getpid(), **task.pids}
    async with CLIENTS[task.caller](task) as place, asyncio.TaskGroup() as callers:
        crowd = Crowd(place, EXPECTED[task.ending], task.prefix)
        for _ in range(task.concurrency):
            callers.create_task(crowd.keep_ordering())
        await crowd.work(task.warm_up_s, task.concurrency)
        before, first, began = _read_all(pids), len(crowd.ended), time.perf_counter()
        await crowd.work(task.window_s, task.concurrency)
        after, last, seconds = _read_all(pids), len(crowd.ended), time.perf_counter() - began
        crowd.leave()
    took = crowd.ended[first:last]
    used = {name: after[name] - before[name] for name in pids}
    return Found(
        sagas=last - first,
        seconds=seconds,
        p50_ms=1000 * percentile(took, 0.50),
        p99_ms=1000 * percentile(took, 0.99),
        cpu_s={name: each.cpu_s for name, each in used.items()},
        written_bytes={name: each.written_bytes for name, each in used.items()},
        peak_bytes={name: peak_memory_bytes(pid) for name, pid in pids.items()},
    )


def _read_all(pids: Mapping[str, int]) -> dict[str, Reading]:
    return {name: read(pid) for name, pid in pids.items()}


def task_of(given: dict[str, Any]) -> Task:
    """What stood in a JSON object."""
    return Task(**{**given, "caller": Caller(given["caller"]), "ending": Ending(given["ending"])})


def main() -> None:
    found = asyncio.run(run(task_of(json.loads(sys.argv[1]))))
    print(READY + json.dumps(asdict(found), separators=(",", ":")), flush=True)


if __name__ == "__main__":
    main()
