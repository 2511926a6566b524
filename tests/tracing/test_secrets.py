"""What callers and participants say stays with them: it is in no log, span, metric or page."""

import time
import urllib.request
import uuid

import grpc
import pytest
from google.type import money_pb2

from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc
from tests.tracing.conftest import Shop


def an_order(order_id: str, user_id: str, secret: str) -> orders_pb2.PlaceOrderRequest:
    return orders_pb2.PlaceOrderRequest(
        order_id=order_id,
        user_id=user_id,
        items=[orders_pb2.OrderItem(item_id="sku-1", quantity=1)],
        payment_info=orders_pb2.PaymentInfo(
            method=f"card-{secret}",
            token=f"token-{secret}",
            amount=money_pb2.Money(currency_code="EUR", units=42),
        ),
    )


def test_a_planted_secret_is_nowhere(shop: Shop) -> None:
    secret = f"canary-{uuid.uuid4().hex}"
    headers = (
        ("authorization", f"Bearer {secret}"),
        ("x-secret", secret),
        ("baggage", f"user={secret}"),
        ("tracestate", f"vendor={secret}"),
        ("traceparent", f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"),
    )
    bad_headers = (("baggage", f"{secret}, ,=;"), ("traceparent", f"00-{secret}-01"))
    options = [("grpc.primary_user_agent", secret)]
    with grpc.insecure_channel(shop.cluster.address, options=options) as channel:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        sagas = []

        def place(
            order_id: str, user_id: str = "u-1", *, metadata: tuple[tuple[str, str], ...] = headers
        ) -> str:
            answer = orders.PlaceOrder(an_order(order_id, user_id, secret), timeout=20, metadata=metadata)
            sagas.append(answer.saga_id)
            return str(answer.error_message)

        payment = {"service": "PaymentService", "transaction": "processPayment"}
        assert place("secret-good") == ""
        assert place("secret-bad-headers", metadata=bad_headers) == ""
        place("secret-broke", "u-broke")
        shop.set_faults({**payment, "fault": "refused", "code": "NO", "message": f"refused {secret}"})
        # The caller of the order is told: it concerns them. This also shows that the fault was real.
        assert secret in place("secret-refused")
        shop.set_faults(
            {**payment, "fault": "faulted", "code": "BUSY", "message": f"faulted {secret}", "times": 1}
        )
        place("secret-faulted")
        shop.set_faults({**payment, "fault": "status", "status": "INTERNAL", "times": 1})
        place("secret-status")
        shop.set_faults({**payment, "fault": "malformed_output", "times": 1})
        place("secret-malformed")
        shop.set_faults(
            {
                "service": "InventoryService",
                "compensation": "releaseInventory",
                "fault": "refused",
                "message": f"undo {secret}",
            }
        )
        place("secret-undo", "u-broke")
        shop.set_faults()
        wrong = an_order("secret-wrong", "", secret)
        with pytest.raises(grpc.RpcError) as refused:
            orders.PlaceOrder(wrong, timeout=20, metadata=headers)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        no_id = coordinator_pb2.GetSagaRequest(saga_id=f"{secret} and no id")
        with pytest.raises(grpc.RpcError) as refused:
            coordinator_pb2_grpc.CoordinatorServiceStub(channel).GetSaga(no_id, timeout=20)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        watched = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
        for saga_id in sagas:
            watched.GetSaga(coordinator_pb2.GetSagaRequest(saga_id=saga_id), timeout=20, metadata=headers)
    shop.collector.await_spans(
        lambda spans: all(
            any(s.name == "saga PlaceOrder ended" and s.attributes["saga.id"] == saga for s in spans)
            for saga in sagas
        ),
        "the ends of all sagas",
    )
    time.sleep(0.3)
    for name, text in everything_shown(shop).items():
        assert secret.encode() not in text, f"the secret is in {name}"
        assert text, name


def everything_shown(shop: Shop) -> dict[str, bytes]:
    """Every log, span, metric and page of all processes."""
    folder = shop.cluster.journal.parent
    shown = {path.name: path.read_bytes() for path in folder.glob("*.log")}
    assert set(shown) == {"coordinator.log", "participants.log"}
    assert b'"level":"DEBUG"' in shown["coordinator.log"]
    shown["spans"] = b"".join(shop.collector.received.raw)
    for page in ("metrics", "healthz", "readyz"):
        for accept in ("text/plain", "application/openmetrics-text"):
            url = f"http://{shop.cluster.http_address}/{page}"
            request = urllib.request.Request(url, headers={"accept": accept})
            with urllib.request.urlopen(request, timeout=10) as answer:
                shown[f"{page} as {accept}"] = answer.read()
    return shown
