"""A thousand orders by each client while the coordinator is restarted under them: every call ends."""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypedDict

import pytest

from coordinator.client import BlockingClient, Client, ClientError, Item, Money, Order, Payment
from scripts.cluster import Cluster, Process
from tests.checker.check import check
from tests.checker.evidence import ClientCall
from tests.e2e.aftermath import Downtimes, Gathered, lasting_port
from tests.e2e.load import CANARY, History
from tests.e2e.reader import Reader

pytestmark = pytest.mark.kill

ORDERS: Final = 1000
THREADS: Final = 8
CONCURRENCY: Final = 64
READ_BEFORE: Final = 100
"""So many sagas are read before each restart, and must be there after it."""
NANOS: Final = 1_000_000_000
FAULTS: Final = {
    "seed": 7,
    "rules": [
        {"transaction": "*", "fault": "refused", "probability": 0.01, "code": "NOT_TODAY"},
        {"transaction": "*", "fault": "reply_lost", "probability": 0.005, "status": "UNAVAILABLE"},
    ],
}


class Wanted(TypedDict):
    """One order, as both clients take it."""

    order_id: str
    user_id: str
    items: list[Item]
    payment: Payment


class Customers:
    """Two thousand orders, one half for each client, and what came of them."""

    def __init__(self, address: str) -> None:
        self.history = History()
        self.answered: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.unanswered: list[str] = []
        self._address = address

    @property
    def done(self) -> int:
        return len(self.history.calls)

    async def order_with_asyncio(self) -> None:
        """So many at once, on one client."""
        gate = asyncio.Semaphore(CONCURRENCY)
        async with Client(self._address) as client:

            async def place(order_id: str) -> None:
                async with gate:
                    invoked_ns = time.monotonic_ns()
                    try:
                        order = await client.place_order(**_order(order_id))
                    except ClientError as error:
                        self._note_error(order_id, invoked_ns, error)
                    else:
                        self._note(order_id, invoked_ns, order)

            await asyncio.gather(*(place(f"a-{number}") for number in range(ORDERS)))

    def order_with_threads(self) -> None:
        """So many threads, on one client."""
        with BlockingClient(self._address) as client, ThreadPoolExecutor(THREADS) as threads:

            def place(order_id: str) -> None:
                self.place(client.place_order, order_id)

            for _ in threads.map(place, [f"b-{number}" for number in range(ORDERS)]):
                pass

    def ask_again(self) -> None:
        """Whoever got an error comes back with the same call."""
        again, self.unanswered = self.unanswered, []
        with BlockingClient(self._address) as client:
            for order_id in again:
                self.place(client.place_order, order_id)

    def place(self, place_order: Callable[..., Order], order_id: str) -> None:
        """Place it once, in a thread, and note what came of it."""
        invoked_ns = time.monotonic_ns()
        try:
            order = place_order(**_order(order_id))
        except ClientError as error:
            self._note_error(order_id, invoked_ns, error)
        else:
            self._note(order_id, invoked_ns, order)

    def _note(self, order_id: str, invoked_ns: int, order: Order) -> None:
        self.answered[order.status] += 1
        self._call(order_id, invoked_ns, "OK", saga_id=order.saga_id, ended=order.status)

    def _note_error(self, order_id: str, invoked_ns: int, error: ClientError) -> None:
        self.errors[type(error).__name__] += 1
        self.unanswered.append(order_id)
        self.history.told.append(str(error))
        self._call(order_id, invoked_ns, error.code or "NONE")

    def _call(self, order_id: str, invoked_ns: int, code: str, **told: str) -> None:
        self.history.calls.append(
            ClientCall(
                door="orders",
                request_id=order_id,
                payload_hash=hashlib.sha256(order_id.encode()).hexdigest(),
                invoked_ns=invoked_ns,
                replied_ns=time.monotonic_ns(),
                code=code,
                **told,
            )
        )
        self.history.ordered_nanos[order_id] = NANOS
        self.history.ordered_pieces[order_id] = 1
        self.history.inputs[order_id] = _input(order_id)


def _asked_to_stop(coordinator: Process) -> None:
    assert coordinator.stop() == 0


def _killed(coordinator: Process) -> None:
    coordinator.kill()


def _order(order_id: str) -> Wanted:
    token = f"{CANARY}{order_id}"
    return {
        "order_id": order_id,
        "user_id": "u-1",
        "items": [Item("sku-1", 1)],
        "payment": Payment("card", token, Money("EUR", 1)),
    }


def _input(order_id: str) -> str:
    """What the saga of that order is given."""
    amount = {"currency_code": "EUR", "units": 1, "nanos": 0}
    return json.dumps(
        {
            "order_id": order_id,
            "user_id": "u-1",
            "items": [{"item_id": "sku-1", "quantity": 1}],
            "payment_info": {"method": "card", "token": f"{CANARY}{order_id}", "amount": amount},
        }
    )


@pytest.mark.timeout(300)
async def test_orders_of_both_clients_end_while_the_coordinator_is_restarted_twice(tmp_path: Path) -> None:
    started_s = time.monotonic()
    downtimes = Downtimes()
    listen = f"127.0.0.1:{lasting_port(random.Random())}"
    with Cluster(tmp_path, listen=listen, faults=FAULTS, settings={"SAGA_DRAIN_GRACE": "2s"}) as cluster:
        await asyncio.to_thread(cluster.start)
        customers, reader = Customers(cluster.address), Reader(cluster)
        ordering = [
            asyncio.create_task(customers.order_with_asyncio()),
            asyncio.create_task(asyncio.to_thread(customers.order_with_threads)),
        ]
        for share, ended in ((1 / 3, _asked_to_stop), (2 / 3, _killed)):
            while customers.done < share * 2 * ORDERS:
                await asyncio.sleep(0.005)
            known = [call.saga_id for call in customers.history.calls if call.saga_id]
            await reader.read(random.Random(share).sample(known, READ_BEFORE))
            assert cluster.coordinator is not None
            downtimes.down()
            await asyncio.to_thread(ended, cluster.coordinator)
            await asyncio.to_thread(cluster.start_coordinator)
            downtimes.up()
        await asyncio.gather(*ordering)
        first = dict(customers.answered), dict(customers.errors)
        assert customers.done == 2 * ORDERS
        reader.stop_faults()
        await asyncio.to_thread(customers.ask_again)
        undecided = await reader.settle()
        await reader.read(await reader.all_saga_ids())
        gathered = Gathered(cluster, reader, customers.history, None, downtimes)
        evidence, faults = await gathered.evidence(restarts=2, at_rest=undecided == 0)
    report = check(evidence)
    print(f"\n{2 * ORDERS} orders in {time.monotonic() - started_s:.0f} s, faults {faults}")
    print(f"  answers and errors: {first[0]}, {first[1]}; asked again: {dict(customers.answered)}")
    print(report)
    assert report.violations == ()
    assert not customers.unanswered
    assert customers.answered.total() == 2 * ORDERS
    assert undecided == 0
