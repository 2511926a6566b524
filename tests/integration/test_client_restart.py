"""The clients while a real coordinator is killed and started again."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from coordinator.client import (
    BlockingClient,
    Client,
    EventType,
    Item,
    Money,
    OrderStatus,
    Payment,
    SagaStatus,
    Unavailable,
    Watched,
)
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from scripts.cluster import Cluster

PAYMENT = Payment("card", "tok-canary-88", Money("EUR", 42))
SLOW_SHIPMENT = {
    "rules": [
        {
            "transaction": "processPayment",
            "fault": "latency",
            "distribution": "fixed",
            "ms": 1500,
            "times": 1,
        },
        {
            "transaction": "scheduleShipment",
            "fault": "latency",
            "distribution": "fixed",
            "ms": 700,
            "times": 1,
        },
    ]
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0") as running:
        running.start()
        with grpc.insecure_channel(running.participants_address) as channel:
            plan = faults_pb2.SetFaultsRequest(faults_json=json.dumps(SLOW_SHIPMENT))
            faults_pb2_grpc.FaultServiceStub(channel).SetFaults(plan, timeout=10)
        yield running


def restart(cluster: Cluster, *, away_s: float = 0.0) -> None:
    """Kill -9, and start again at the same address. The thread that asks for it is the one that the new
    process dies with."""
    assert cluster.coordinator is not None
    cluster.coordinator.kill()
    time.sleep(away_s)
    cluster.start_coordinator()


def an_order(order_id: str) -> dict[str, Any]:
    return {"order_id": order_id, "user_id": "u-1", "items": [Item("sku-1", 1)], "payment": PAYMENT}


def check(watched: list[Watched], timeline: Any) -> None:
    """Each record once, in order, across what the kill cut."""
    entries = [entry for entry, _ in watched]
    assert tuple(entries) == timeline
    assert [entry.seq for entry in entries if entry] == list(range(1, len(entries) + 1))
    assert EventType.SAGA_RESUMED in [entry.type for entry in entries if entry]
    assert watched[-1].status is SagaStatus.COMPLETED


@pytest.mark.timeout(120)
async def test_an_order_and_its_watch_go_on_through_a_kill_on_asyncio(cluster: Cluster) -> None:
    async with Client(cluster.address) as client:
        placing = asyncio.create_task(client.place_order(**an_order("o-1")))
        async with asyncio.timeout(30):
            while not (found := [saga async for saga in client.list(request_id="o-1")]) or found[0].seq < 6:
                await asyncio.sleep(0.02)
        watched: list[Watched] = []

        async def watch() -> None:
            async for each in client.watch(found[0].saga_id):
                watched.append(each)

        watching = asyncio.create_task(watch())
        while not watched:
            await asyncio.sleep(0.02)
        # Longer than gRPC's own attempts last: the order's caller still has time.
        await asyncio.to_thread(restart, cluster, away_s=6.0)
        order = await placing
        await watching
        saga = await client.get(order.saga_id)
        again = await client.place_order(**an_order("o-1"))
    assert (order.status, order.saga_status) == (OrderStatus.SUCCESS, SagaStatus.COMPLETED)
    assert again == order
    check(watched, saga.timeline)


@pytest.mark.timeout(120)
def test_an_order_and_its_watch_go_on_through_a_kill_in_threads(cluster: Cluster) -> None:
    with BlockingClient(cluster.address) as client, ThreadPoolExecutor(2) as threads:
        placing = threads.submit(lambda: client.place_order(**an_order("o-1")))
        until = time.monotonic() + 30
        while not (found := list(client.list(request_id="o-1"))) or found[0].seq < 6:
            assert time.monotonic() < until
            time.sleep(0.02)
        watched: list[Watched] = []
        watching = threads.submit(lambda: watched.extend(client.watch(found[0].saga_id)))
        restart(cluster)
        order = placing.result()
        watching.result()
        saga = client.get(order.saga_id)
    assert (order.status, order.saga_status) == (OrderStatus.SUCCESS, SagaStatus.COMPLETED)
    check(watched, saga.timeline)


@pytest.mark.timeout(120)
def test_a_coordinator_that_stays_away_is_told_of(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.client.patience.AWAY_MAX_S", 0.5)
    with BlockingClient(cluster.address) as client:
        saga_id = client.start("PlaceOrder", _input()).saga.saga_id
        watch = client.watch(saga_id)
        assert next(watch).entry is not None
        assert cluster.coordinator is not None
        cluster.coordinator.kill()
        with pytest.raises(Unavailable, match="check the address"):
            list(watch)
        with pytest.raises(Unavailable, match=f"nobody answers at {cluster.address}"):
            client.get(saga_id)


def _input() -> dict[str, object]:
    amount = {"currency_code": "EUR", "units": 42, "nanos": 0}
    return {
        "order_id": "o-2",
        "user_id": "u-1",
        "items": [{"item_id": "sku-1", "quantity": 1}],
        "payment_info": {"method": "card", "token": "tok-canary-89", "amount": amount},
    }
