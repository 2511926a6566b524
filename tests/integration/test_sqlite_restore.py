"""A copy taken from a serving coordinator takes the place of its lost journal: real processes, real files."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from google.type import money_pb2

from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc, operator_pb2, operator_pb2_grpc, types_pb2
from scripts.cluster import Cluster, NotReady

ORDERS = 12
SLOW_CHARGE = {
    "rules": [{"transaction": "processPayment", "fault": "latency", "distribution": "fixed", "ms": 2000}]
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0", faults=SLOW_CHARGE) as running:
        running.start()
        yield running


def an_order(number: int) -> orders_pb2.PlaceOrderRequest:
    return orders_pb2.PlaceOrderRequest(
        order_id=f"o-{number}",
        user_id="u-1",
        items=[orders_pb2.OrderItem(item_id="sku-1", quantity=1)],
        payment_info=orders_pb2.PaymentInfo(
            method="card", token="tok-1", amount=money_pb2.Money(currency_code="EUR", units=42)
        ),
    )


def count(channel: grpc.Channel, condition: str = "") -> int:
    request = coordinator_pb2.ListSagasRequest(filter=condition, page_size=100)
    return len(coordinator_pb2_grpc.CoordinatorServiceStub(channel).ListSagas(request, timeout=10).sagas)


def test_a_coordinator_opens_it_and_its_sagas_go_on(cluster: Cluster) -> None:
    with grpc.insecure_channel(cluster.address) as channel:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        calls = [orders.PlaceOrder.future(an_order(number), timeout=30) for number in range(ORDERS)]
        while count(channel) < ORDERS:
            time.sleep(0.02)
        copy = b"".join(
            piece.data
            for piece in operator_pb2_grpc.OperatorServiceStub(channel).BackupJournal(
                operator_pb2.BackupJournalRequest(), timeout=30
            )
        )
        # Past the copy, so that the participants know more than it does.
        assert {call.result().status for call in calls} == {orders_pb2.SUCCESS}
    assert cluster.coordinator is not None
    cluster.coordinator.kill()
    cluster.journal.write_bytes(copy)
    # The log of the lost journal is still there, and would be played back over the copy.
    with pytest.raises(NotReady, match=r"is a copy .* move that log and .*-shm away"):
        cluster.start_coordinator()
    cluster.coordinator.wait(10)
    for log in cluster.journal.parent.glob(f"{cluster.journal.name}-*"):
        log.unlink()
    with closing(sqlite3.connect(f"file:{cluster.journal}?immutable=1", uri=True)) as db:
        assert db.execute("SELECT count(*) FROM sagas WHERE status = 'RUNNING'").fetchone()[0] > 0
    cluster.start_coordinator()
    with grpc.insecure_channel(cluster.address) as channel:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        calls = [orders.PlaceOrder.future(an_order(number), timeout=30) for number in range(ORDERS)]
        assert {call.result().saga_status for call in calls} == {types_pb2.SAGA_STATUS_COMPLETED}
        assert count(channel) == ORDERS
        progress = list(
            operator_pb2_grpc.OperatorServiceStub(channel).VerifyJournal(
                operator_pb2.VerifyJournalRequest(), timeout=30
            )
        )
        assert (progress[-1].done, progress[-1].sagas) == (True, ORDERS)
        assert not any(step.faults for step in progress)
