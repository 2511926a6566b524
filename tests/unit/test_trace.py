"""A traceparent is what W3C says it is, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from coordinator.domain.trace import TraceContext, own_trace, parse_trace, recorded_trace, trace_ids

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE_ID}-{SPAN_ID}-01", True),
        (f"00-{TRACE_ID}-{SPAN_ID}-00", False),
        (f"00-{TRACE_ID}-{SPAN_ID}-03", True),
        (f"00-{TRACE_ID}-{SPAN_ID}-fe", False),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01", True),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what-comes-later", True),
    ],
)
def test_what_is_one(text: str, sampled: bool) -> None:
    assert parse_trace(text) == TraceContext(TRACE_ID, SPAN_ID, sampled)
    assert trace_ids(text) == ((TRACE_ID, SPAN_ID) if text.startswith("00") else None)


def test_a_place_that_is_recorded_is_found_and_no_other() -> None:
    recorded, other = (TraceContext(TRACE_ID, SPAN_ID, sampled) for sampled in (True, False))
    assert recorded_trace(str(recorded)) == recorded
    assert recorded_trace(str(other)) is None
    for text in ("", "x", f"00-{TRACE_ID}-{SPAN_ID}-fe", f"00-{'0' * 32}-{SPAN_ID}-01"):
        assert recorded_trace(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"cc-{TRACE_ID}-{SPAN_ID}-01.more",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01",
        f" 00-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n",
        f"00_{TRACE_ID}_{SPAN_ID}_01",
        f"00-{TRACE_ID[:-1]}٣-{SPAN_ID}-01",
        "x" * 100_000,
    ],
)
def test_what_is_none(text: str) -> None:
    assert parse_trace(text) is None
    assert trace_ids(text) is None


def test_a_saga_that_nobody_records_has_a_place_with_its_own_digits() -> None:
    own = own_trace("01a22c09-cdc1-77ae-be74-ed919dfe833f")
    assert own == "00-01a22c09cdc177aebe74ed919dfe833f-be74ed919dfe833f-00"
    place = parse_trace(own)
    assert place is not None
    assert not place.sampled
    assert own_trace("s-1") == ""


@given(st.from_regex(r"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z"))
def test_the_library_reads_what_we_write(text: str) -> None:
    ours = parse_trace(text)
    carrier = {"traceparent": text if ours is None else str(ours)}
    theirs = get_current_span(TraceContextTextMapPropagator().extract(carrier)).get_span_context()
    assert theirs.is_valid is (ours is not None)
    if ours is not None:
        assert (theirs.trace_id, theirs.span_id) == (int(ours.trace_id, 16), int(ours.span_id, 16))
        assert theirs.trace_flags.sampled is ours.sampled
        assert parse_trace(str(ours)) == ours


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    parsed = parse_trace(text)
    assert parsed is None or parse_trace(str(parsed)) == parsed
