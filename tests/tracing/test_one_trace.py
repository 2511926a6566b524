"""One order is one trace, through attempts, retries, undo and restarts. Real processes, a real collector."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from coordinator.client import BlockingClient, Operator, OrderStatus, SagaStatus
from tests.tracing.collector import Span
from tests.tracing.conftest import ORDER, Shop, a_shop

COORDINATOR = "saga-coordinator"
PARTICIPANTS = "saga-participants"
SHORT_S = 3.0
"""No span of these tests may last longer: the longest call has 2 s."""


def story_of(shop: Shop, trace_id: str) -> list[Span]:
    """The spans of a trace, once its end is there, and all parents, and what each participant had to tell."""

    def is_told(spans: Sequence[Span]) -> bool:
        there = [span for span in spans if span.trace_id == trace_id]
        ids, parents = {span.span_id for span in there}, {span.parent_id for span in there}
        calls = {span.span_id for span in there if span.name.startswith(("Execute ", "Compensate "))}
        ended = any(span.name == "saga PlaceOrder ended" for span in there)
        return ended and parents <= ids | {""} and calls <= parents

    shop.collector.await_spans(is_told, f"the whole trace {trace_id}")
    return shop.collector.trace(trace_id)


def of_coordinator(spans: Sequence[Span]) -> list[str]:
    return [span.name for span in spans if span.service == COORDINATOR]


def one(spans: Sequence[Span], name: str, number: int = 0) -> Span:
    return [span for span in spans if span.name == name][number]


def check_shape(spans: Sequence[Span], saga_id: str) -> None:
    """What holds of every trace of a saga."""
    root = one(spans, "saga.orders.v1.OrderPlacementService/PlaceOrder")
    assert (root.kind, root.parent_id, root.attributes["saga.id"]) == ("SERVER", "", saga_id)
    saga = one(spans, "saga PlaceOrder")
    assert (saga.kind, saga.parent_id) == ("INTERNAL", root.span_id)
    attempts = [span for span in spans if span.kind == "CLIENT"]
    for span in spans:
        assert span.attributes["saga.id"] == saga_id, span
        assert span.duration_s < SHORT_S, span
        assert span.message == "", span
        assert all(name.startswith("saga.") for name in span.event_names), span
        if span.service == PARTICIPANTS:
            assert span.kind == "SERVER"
            assert span.parent_id in {attempt.span_id for attempt in attempts}, span
        elif span not in (root, saga):
            assert span.parent_id == saga.span_id, span
    for attempt in attempts:
        direction, _, step = attempt.name.partition(" ")
        assert attempt.attributes["saga.step"] == step
        assert attempt.attributes["saga.name"] == "PlaceOrder"
        assert attempt.attributes["rpc.system.name"] == "grpc"
        assert attempt.attributes["rpc.method"] == f"saga.v1.ParticipantService/{direction}"
        assert attempt.attributes["server.address"] == "127.0.0.1"
        assert isinstance(attempt.attributes["server.port"], int)
        assert not {"rpc.system", "rpc.service", "rpc.grpc.status_code", "net.peer.ip"} & set(
            attempt.attributes
        )
    for undo in (span for span in attempts if span.name.startswith("Compensate ")):
        step = str(undo.attributes["saga.step"])
        undone = [span for span in attempts if span.name == f"Execute {step}"][-1]
        assert undo.links == ((undone.trace_id, undone.span_id),), undo


def test_a_success(shop: Shop) -> None:
    check_success(shop)


def test_a_success_that_is_told_over_http(tmp_path: Path, impatient_definitions: Path) -> None:
    with a_shop("http/protobuf", tmp_path, impatient_definitions) as shop:
        check_success(shop)


def check_success(shop: Shop) -> None:
    with shop.client() as client:
        order = client.place_order(order_id="good", user_id="u-1", **ORDER)
        trace_id = client.get(order.saga_id).trace_id
    spans = story_of(shop, trace_id)
    check_shape(spans, order.saga_id)
    assert of_coordinator(spans) == [
        "saga.orders.v1.OrderPlacementService/PlaceOrder",
        "saga PlaceOrder",
        "Execute createOrder",
        "Execute reserveInventory",
        "Execute processPayment",
        "Execute scheduleShipment",
        "saga PlaceOrder ended",
    ]
    assert not [span for span in spans if span.is_error or span.events or span.links]
    for step in ("createOrder", "reserveInventory", "processPayment", "scheduleShipment"):
        attempt = one(spans, f"Execute {step}")
        answered = [span for span in spans if span.parent_id == attempt.span_id]
        assert [span.name for span in answered] == ["saga.v1.ParticipantService/Execute"]
        assert attempt.attributes["rpc.response.status_code"] == "OK"
        assert attempt.attributes["saga.outcome"] == answered[0].attributes["saga.outcome"] == "SUCCEEDED"
        assert attempt.attributes["saga.attempt"] == 1
    server = one(spans, "saga.orders.v1.OrderPlacementService/PlaceOrder")
    assert server.attributes["rpc.method"] == "saga.orders.v1.OrderPlacementService/PlaceOrder"
    assert server.attributes["rpc.response.status_code"] == "OK"
    assert one(spans, "saga PlaceOrder ended").attributes["saga.status"] == "COMPLETED"


def test_a_refusal_and_its_undo(shop: Shop) -> None:
    with shop.client() as client:
        order = client.place_order(order_id="broke", user_id="u-broke", **ORDER)
        trace_id = client.get(order.saga_id).trace_id
    spans = story_of(shop, trace_id)
    check_shape(spans, order.saga_id)
    assert of_coordinator(spans)[2:] == [
        "Execute createOrder",
        "Execute reserveInventory",
        "Execute processPayment",
        "Compensate reserveInventory",
        "Compensate createOrder",
        "saga PlaceOrder ended",
    ]
    refused = one(spans, "Execute processPayment")
    assert refused.is_error
    assert refused.attributes["saga.outcome"] == "REFUSED"
    assert refused.attributes["saga.code"] == refused.attributes["error.type"] == "INSUFFICIENT_FUNDS"
    assert refused.attributes["rpc.response.status_code"] == "OK"
    assert refused.events == (("saga.abort", {"saga.abort": "REFUSED"}),)
    ended = one(spans, "saga PlaceOrder ended")
    assert (ended.is_error, ended.attributes["saga.status"]) == (True, "COMPENSATED")


def test_a_timeout_and_its_retries(shop: Shop) -> None:
    shop.set_faults({"service": "ShippingService", "transaction": "scheduleShipment", "fault": "hang"})
    try:
        with shop.client() as client:
            order = client.place_order(order_id="hangs", user_id="u-1", **ORDER)
            trace_id = client.get(order.saga_id).trace_id
    finally:
        shop.set_faults()
    assert order.status is OrderStatus.FAILED
    spans = story_of(shop, trace_id)
    check_shape(spans, order.saga_id)
    first, second = (one(spans, "Execute scheduleShipment", number) for number in (0, 1))
    for attempt in (first, second):
        assert attempt.is_error
        assert attempt.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
        assert attempt.attributes["error.type"] == attempt.attributes["saga.code"] == "DEADLINE_EXCEEDED"
        assert attempt.attributes["saga.outcome"] == "UNKNOWN"
        assert attempt.duration_s >= 0.29
    assert (first.attributes["saga.attempt"], second.attributes["saga.attempt"]) == (1, 2)
    assert first.event_names == ["saga.backoff"]
    backoff_s = first.events[0][1]["saga.backoff_s"]
    assert isinstance(backoff_s, float)
    assert 0 <= backoff_s <= 0.1
    assert second.events == (
        ("saga.retry", {"saga.attempt": 2}),
        ("saga.abort", {"saga.abort": "GIVEN_UP"}),
    )
    undo = one(spans, "Compensate scheduleShipment")
    assert undo.links == ((trace_id, second.span_id),)


def test_a_dead_letter_that_an_operator_retries(shop: Shop) -> None:
    shop.set_faults({"service": "InventoryService", "compensation": "releaseInventory", "fault": "refused"})
    with shop.client() as client, Operator(shop.cluster.address) as operator:
        order = client.place_order(order_id="stuck", user_id="u-broke", **ORDER)
        saga = client.get(order.saga_id)
        assert saga.status is SagaStatus.DEAD_LETTERED
        shop.set_faults()
        operator.retry(
            order.saga_id, "reserveInventory", actor="ada", reason="counted", expected_seq=saga.seq
        )
        assert client.wait(order.saga_id).status is SagaStatus.COMPENSATED

    def is_told(spans: Sequence[Span]) -> bool:
        ends = [s for s in spans if s.trace_id == saga.trace_id and s.name == "saga PlaceOrder ended"]
        return len(ends) == 2

    shop.collector.await_spans(is_told, "two ends of one saga")
    spans = story_of(shop, saga.trace_id)
    check_shape(spans, order.saga_id)
    assert of_coordinator(spans)[5:] == [
        "Compensate reserveInventory",
        "saga PlaceOrder ended",
        "saga PlaceOrder operator RETRY",
        "Compensate reserveInventory",
        "Compensate createOrder",
        "saga PlaceOrder ended",
    ]
    failed, done = (one(spans, "Compensate reserveInventory", number) for number in (0, 1))
    assert (failed.is_error, failed.attributes["saga.outcome"]) == (True, "REFUSED")
    assert failed.events == (("saga.dead_letter", {"saga.step": "reserveInventory"}),)
    assert not done.is_error
    dead, undone = (one(spans, "saga PlaceOrder ended", number) for number in (0, 1))
    assert (dead.attributes["saga.status"], dead.event_names) == ("DEAD_LETTERED", ["saga.dead_letter"])
    assert (undone.attributes["saga.status"], undone.event_names) == ("COMPENSATED", [])
    acted = one(spans, "saga PlaceOrder operator RETRY")
    assert acted.attributes["saga.step"] == "reserveInventory"
    assert "ada" not in str(acted)
    # The operator's own call is in a trace of its own, and tells which saga it was about.
    asked = [span for span in shop.collector.of_saga(order.saga_id) if span.name.endswith("/RetryStep")]
    assert [span.trace_id == saga.trace_id for span in asked] == [False]


@pytest.mark.timeout(90)
def test_kill_9_in_the_middle(shop: Shop) -> None:
    shop.set_faults(
        {
            "service": "PaymentService",
            "transaction": "processPayment",
            "fault": "latency",
            "distribution": "fixed",
            "ms": 1500,
            "times": 1,
        }
    )
    answers = []
    with BlockingClient(shop.cluster.address) as client:
        placing = threading.Thread(
            target=lambda: answers.append(client.place_order(order_id="killed", user_id="u-1", **ORDER))
        )
        placing.start()

        def before(spans: Sequence[Span]) -> list[Span]:
            return [s for s in spans if s.name == "Execute reserveInventory" and _is_of(client, s)]

        known = shop.collector.await_spans(lambda spans: bool(before(spans)), "the spans of what came before")
        trace_id = before(known)[0].trace_id
        time.sleep(0.2)  # the payment is being asked
        assert shop.cluster.coordinator is not None
        shop.cluster.coordinator.kill()
        shop.cluster.start_coordinator()
        placing.join(30)
        (order,) = answers
        assert order.status is OrderStatus.SUCCESS
        saga = client.get(order.saga_id)
    assert saga.trace_id == trace_id
    ended = shop.collector.await_spans(
        lambda spans: any(s.trace_id == trace_id and s.name == "saga PlaceOrder ended" for s in spans),
        "the end of the saga",
    )
    spans = [span for span in ended if span.trace_id == trace_id]
    mine = of_coordinator(spans)
    assert mine[mine.index("saga PlaceOrder resumed") :] == [
        "saga PlaceOrder resumed",
        "Execute processPayment",
        "Execute scheduleShipment",
        "saga PlaceOrder ended",
    ]
    # The call that was cut by the kill left no span of the coordinator's, but its participant's names it.
    again = one(spans, "Execute processPayment")
    assert again.attributes["saga.attempt"] == 2
    assert again.event_names == ["saga.retry"]
    parents = {span.parent_id for span in spans if span.service == PARTICIPANTS}
    assert len(parents - {span.span_id for span in spans}) == 1
    saga_span = one(spans, "saga PlaceOrder")
    for span in spans:
        if span.name.startswith(("Execute ", "saga PlaceOrder ")):
            assert span.parent_id == saga_span.span_id, span


def _is_of(client: BlockingClient, span: Span) -> bool:
    return any(saga.saga_id == span.attributes["saga.id"] for saga in client.list(request_id="killed"))
