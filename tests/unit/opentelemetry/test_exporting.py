"""What may leave of a span, and what is counted and said of what does not arrive."""

import logging
import time
from collections.abc import Mapping, Sequence
from threading import Event

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from coordinator.adapters.opentelemetry.delivery import Deliveries, Delivery
from coordinator.adapters.opentelemetry.drafts import SCHEMA_URL, SCOPE, Attributes, Draft, Maker
from coordinator.adapters.opentelemetry.environment import Push, Wanted
from coordinator.adapters.opentelemetry.exporting import AllowedSpans, CountingProcessor, allowed
from coordinator.adapters.opentelemetry.ids import span_context

SECRET = "canary-7d1f"
PUSH = Push("otlp", "grpc", "collector:4317")


def a_span(attributes: Mapping[str, str | int] | None = None) -> ReadableSpan:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    span = tracer.start_span(
        "/saga.v1.CoordinatorService/GetSaga", kind=SpanKind.SERVER, attributes=attributes
    )
    span.record_exception(ValueError(SECRET))
    span.add_event("saga.backoff", {"saga.backoff_s": 0.5, "message": SECRET})
    span.set_status(Status(StatusCode.ERROR, SECRET))
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


def test_only_what_is_on_the_list_leaves() -> None:
    span = a_span(
        {
            "rpc.system": "grpc",
            "rpc.service": "saga.v1.CoordinatorService",
            "rpc.method": "GetSaga",
            "rpc.grpc.status_code": 0,
            "rpc.user_agent": SECRET,
            "rpc.response.status_code": "OK",
            "net.peer.ip": "127.0.0.1",
            "net.peer.port": "4242",
            "net.peer.name": SECRET,
            "http.request.header.authorization": SECRET,
            "saga.id": "s-1",
        }
    )
    left = allowed(span)
    assert SECRET in span.to_json()
    assert SECRET not in left.to_json()
    assert left.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "saga.v1.CoordinatorService/GetSaga",
        "rpc.response.status_code": "OK",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": 4242,
        "saga.id": "s-1",
    }
    assert left.name == "saga.v1.CoordinatorService/GetSaga"
    assert [(event.name, event.attributes) for event in left.events] == [
        ("saga.backoff", {"saga.backoff_s": 0.5})
    ]
    assert (left.status.status_code, left.status.description) == (StatusCode.ERROR, None)
    same = (
        "context",
        "parent",
        "kind",
        "start_time",
        "end_time",
        "resource",
        "instrumentation_scope",
        "links",
    )
    for name in same:
        assert getattr(left, name) == getattr(span, name), name


class Peer(SpanExporter):
    def __init__(self, result: SpanExportResult | Exception) -> None:
        self.result = result
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if isinstance(self.result, Exception):
            raise self.result
        self.spans += spans
        return self.result

    def shutdown(self) -> None:
        """Nothing is held."""


def a_delivery() -> Delivery:
    delivery = Deliveries(Wanted(PUSH)).traces
    assert delivery is not None
    return delivery


def a_maker() -> Maker:
    return Maker(Resource({"service.name": "a test"}))


def a_draft() -> Draft:
    """One that has everything a span can have, and has not ended."""
    trace_id = 0xABCD
    context, parent = span_context(trace_id, 2), span_context(trace_id, 3)
    attributes: Attributes = {"saga.id": "s-1", "saga.attempt": 1}
    links = (Link(span_context(trace_id, 4), {"saga.link": "undoes"}),)
    draft = Draft(
        "Execute a", context, parent, attributes, kind=SpanKind.CLIENT, links=links, started_ns=1_000
    )
    draft.add_event("saga.retry", {"saga.attempt": 1}, 2_000)
    draft.add_event("saga.dead_letter")
    draft.attributes["saga.outcome"] = "SUCCEEDED"
    draft.fail()
    return draft


def test_what_was_noted_of_a_span_is_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    delivery, peer = a_delivery(), Peer(SpanExportResult.SUCCESS)
    processor = CountingProcessor(AllowedSpans(peer, delivery, a_maker()), delivery)
    before = time.time_ns()
    one, another = a_draft(), a_draft()
    one.end(3_000)
    another.end()
    processor.keep(one)
    processor.keep(another)
    processor.shutdown()  # type: ignore[no-untyped-call]
    assert (delivery.sent, delivery.lost) == (2, 0)
    first, second = peer.spans
    assert (first.name, first.kind) == ("Execute a", SpanKind.CLIENT)
    assert first.context == span_context(0xABCD, 2)
    assert first.parent == span_context(0xABCD, 3)
    assert (first.start_time, first.end_time) == (1_000, 3_000)
    assert first.attributes == {"saga.id": "s-1", "saga.attempt": 1, "saga.outcome": "SUCCEEDED"}
    retry, dead_letter = first.events
    assert (retry.name, retry.attributes, retry.timestamp) == ("saga.retry", {"saga.attempt": 1}, 2_000)
    assert (dead_letter.name, dead_letter.attributes) == ("saga.dead_letter", {})
    assert before <= dead_letter.timestamp <= time.time_ns()
    (link,) = first.links
    assert (link.context.span_id, dict(link.attributes or {})) == (4, {"saga.link": "undoes"})
    assert first.status.status_code is StatusCode.ERROR
    assert first.resource.attributes == {"service.name": "a test"}
    assert first.instrumentation_scope is not None
    assert (first.instrumentation_scope.name, first.instrumentation_scope.schema_url) == (SCOPE, SCHEMA_URL)
    assert second.end_time is not None
    assert before <= second.end_time <= time.time_ns()


def test_how_long_a_span_waits_for_others_is_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    delivery = a_delivery()
    processor = CountingProcessor(AllowedSpans(Peer(SpanExportResult.SUCCESS), delivery, a_maker()), delivery)
    processor.shutdown()  # type: ignore[no-untyped-call]
    assert processor.delay_s == 0.02


def test_no_span_ends_before_it_begins_though_the_clock_was_set_back() -> None:
    draft = a_draft()
    draft.end(500)
    span = a_maker().made(draft)
    assert (span.start_time, span.end_time) == (1_000, 1_000)


def test_of_a_span_that_has_ended_nothing_more_is_said() -> None:
    draft = a_draft()
    draft.set_attribute("saga.code", "NO")
    draft.add_link(span_context(0xABCD, 5))
    assert draft.is_recording()
    draft.end()
    attributes, links = dict(draft.attributes), draft.links
    assert (attributes["saga.code"], len(links)) == ("NO", 2)
    draft.set_attribute("saga.id", "another")
    draft.add_link(span_context(0xABCD, 6))
    assert (draft.attributes, draft.links) == (attributes, links)
    assert not draft.is_recording()


def test_the_limits_of_the_environment_hold_for_our_spans_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "0")
    draft = a_draft()
    draft.end()
    span = a_maker().made(draft)
    assert span.attributes == {"saga.id": "s-", "saga.attempt": 1, "saga.outcome": "SU"}
    assert [event.name for event in span.events] == ["saga.dead_letter"]
    assert not span.links


@pytest.mark.parametrize(
    ("result", "sent", "lost"),
    [
        (SpanExportResult.SUCCESS, 3, 0),
        (SpanExportResult.FAILURE, 0, 3),
        (RuntimeError(SECRET), 0, 3),
    ],
)
def test_each_span_is_sent_or_lost(
    result: SpanExportResult | Exception, sent: int, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = a_delivery()
    AllowedSpans(Peer(result), delivery, a_maker()).export([a_span()] * 3)
    assert (delivery.sent, delivery.lost) == (sent, lost)
    assert SECRET not in caplog.text


class Broken(Maker):
    """Cannot make the spans that have failed."""

    def made(self, draft: Draft) -> ReadableSpan:
        if draft.has_failed:
            raise RuntimeError(SECRET)
        return super().made(draft)


def test_a_span_that_we_cannot_make_costs_no_other_and_is_not_laid_to_the_collector(
    caplog: pytest.LogCaptureFixture,
) -> None:
    delivery, peer = a_delivery(), Peer(SpanExportResult.SUCCESS)
    exporter = AllowedSpans(peer, delivery, Broken(Resource({})))
    sound = Draft("sound", span_context(1, 2), None, {})
    exporter.export([sound, a_draft(), sound])
    exporter.export([a_draft()])
    assert [span.name for span in peer.spans] == ["sound", "sound"]
    assert (delivery.sent, delivery.lost) == (2, 2)
    assert exporter.reported == exporter.handed_over == 4
    first, second = caplog.records
    assert first.getMessage() == second.getMessage() == "a span is lost by a fault of ours: RuntimeError"
    (at,) = first.__dict__["at"]
    assert at.startswith("made (test_exporting.py:")


def test_what_a_full_queue_drops_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    delivery, peer = a_delivery(), Peer(SpanExportResult.SUCCESS)
    exporter = AllowedSpans(peer, delivery, a_maker())
    processor = CountingProcessor(exporter, delivery)
    try:
        with processor._batch_processor._export_lock:  # the thread that sends stands still
            for _ in range(10):
                processor.on_end(a_span())
    finally:
        processor.shutdown()  # type: ignore[no-untyped-call]
    assert delivery.sent == len(peer.spans)
    assert delivery.sent + delivery.lost == 10
    assert delivery.lost >= 6


def test_what_is_in_a_call_that_is_left_behind_is_told_as_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stalls(Peer):
        """Takes spans, and does not say for long what has become of them."""

        def __init__(self) -> None:
            super().__init__(SpanExportResult.SUCCESS)
            self.is_asked, self.may_answer = Event(), Event()

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.is_asked.set()
            self.may_answer.wait()
            return super().export(spans)

    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    delivery, peer = a_delivery(), Stalls()
    processor = CountingProcessor(AllowedSpans(peer, delivery, a_maker()), delivery)
    try:
        processor.on_end(a_span())
        assert peer.is_asked.wait(5.0)
        processor.tell_what_is_left()
    finally:
        peer.may_answer.set()
        processor.shutdown()  # type: ignore[no-untyped-call]
    assert delivery.lost == 1
    assert "did not take in time: 1" in caplog.text


def test_one_outage_is_told_once_whatever_is_sent_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    deliveries = Deliveries(Wanted(PUSH, PUSH))
    traces, metrics = deliveries.traces, deliveries.metrics
    assert traces is not None
    assert metrics is not None
    for _ in range(3):
        traces.report(5, taken=False)
        metrics.report(100, taken=False)
    traces.dropped(1)
    assert len(caplog.records) == 1
    assert "collector:4317 does not take traces" in caplog.text
    traces.report(5, taken=True)
    metrics.report(100, taken=True)
    # One was lost since the last report: it is not over yet.
    assert len(caplog.records) == 1
    traces.report(5, taken=True)
    assert len(caplog.records) == 2
    metrics.report(100, taken=True)
    assert len(caplog.records) == 2
    assert "takes what it is sent again; lost meanwhile: 316 items" in caplog.text
    assert deliveries.counts() == {
        ("TRACES", "SENT"): 10,
        ("TRACES", "LOST"): 16,
        ("METRICS", "SENT"): 200,
        ("METRICS", "LOST"): 300,
    }
    # However soon one follows the other, both are written, and in this order: none is held back as a repeat.
    assert all(record.__dict__["is_news"] for record in caplog.records)
    # One that answers, and is too slow, is told of as well.
    traces.dropped(7)
    traces.report(1, taken=True)
    assert len(caplog.records) == 3
    assert "does not take traces fast enough" in caplog.text


def test_two_collectors_have_an_outage_each(caplog: pytest.LogCaptureFixture) -> None:
    deliveries = Deliveries(Wanted(PUSH, Push("otlp", "http/protobuf", "other:4318")))
    assert deliveries.traces is not None
    assert deliveries.metrics is not None
    deliveries.traces.report(1, taken=False)
    deliveries.metrics.report(1, taken=False)
    assert "collector:4317 does not take traces" in caplog.text
    assert "other:4318 does not take metrics" in caplog.text
