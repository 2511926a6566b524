"""What is sent of spans is what the library would send of them."""

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from coordinator.adapters.opentelemetry import otlp
from coordinator.adapters.opentelemetry.ids import span_context

NOBODY: Final = "http://127.0.0.1:1"
WHO: Final = Resource(
    {"service.name": "saga-coordinator", "host.ids": (1, 2)}, "https://example.org/of-resources"
)
SCOPES: Final = (
    InstrumentationScope("ours", schema_url="https://example.org/schemas"),
    InstrumentationScope("theirs", "1.2", attributes={"is": "old"}),
    None,
)
PLACE: Final = span_context(1, 1)
TIMES: Final = st.integers(0, 2**64 - 1)
PLACES: Final = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.just(TraceFlags(TraceFlags.SAMPLED)),
)
WORDS: Final = st.text(max_size=8)
VALUES: Final = WORDS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
PLAIN: Final = st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=4)
ATTRIBUTES: Final = PLAIN | PLAIN.map(lambda given: BoundedAttributes(2, given))
EVENTS: Final = st.builds(Event, WORDS, ATTRIBUTES, TIMES)
LINKS: Final = st.builds(Link, PLACES, ATTRIBUTES)
SPANS: Final = st.builds(
    ReadableSpan,
    WORDS,
    PLACES,
    st.none() | PLACES,
    st.just(WHO),
    ATTRIBUTES,
    st.lists(EVENTS, max_size=2),
    st.lists(LINKS, max_size=2),
    st.sampled_from(SpanKind),
    status=st.sampled_from(StatusCode).map(Status),
    start_time=TIMES,
    end_time=TIMES,
    instrumentation_scope=st.sampled_from(SCOPES),
)


@given(st.lists(SPANS, min_size=1, max_size=6))
def test_they_are_sent_as_the_library_would(spans: list[ReadableSpan]) -> None:
    assert otlp.encoded(spans) == encode_spans(spans)


def test_what_is_no_plain_value_is_sent_as_text() -> None:
    span = ReadableSpan("a span", PLACE, resource=WHO, attributes={"saga.steps": (1, 2)})
    (sent,) = otlp.encoded([span]).resource_spans[0].scope_spans[0].spans
    assert sent.attributes[0].value.string_value == "(1, 2)"


def test_the_library_asks_for_the_message_that_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Sequence[ReadableSpan]]()

    def encoded(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        asked.append(spans)
        return ExportTraceServiceRequest()

    monkeypatch.setattr(otlp, "encoded", encoded)
    exporter = otlp.SpansOverGrpc(endpoint=NOBODY, timeout=0.2)
    spans = [ReadableSpan("a span", PLACE, resource=WHO)]
    exporter.export(spans)
    exporter.shutdown()
    assert spans in asked
