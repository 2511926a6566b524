"""Of what a stranger sends, a sound traceparent is taken and nothing else; what breaks rules is counted."""

import pytest
from opentelemetry.baggage import get_all
from opentelemetry.trace import get_current_span

from coordinator.adapters.opentelemetry.server import CallerContext

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SOUND = f"00-{TRACE_ID}-{SPAN_ID}-01"


def extract(**headers: object) -> tuple[str, list[str]]:
    """The trace that is gone on with, and the headers that were counted."""
    counted: list[str] = []
    context = CallerContext(counted.append).extract(headers)
    assert not get_all(context)
    span = get_current_span(context).get_span_context()
    assert not span.trace_state
    return (f"{span.trace_id:032x}" if span.is_valid else ""), counted


def test_a_sound_traceparent_is_gone_on_with() -> None:
    assert extract(traceparent=SOUND) == (TRACE_ID, [])
    assert extract(traceparent=SOUND, tracestate="a=1,b=2", baggage="user=u-1") == (TRACE_ID, [])
    assert extract() == ("", [])


@pytest.mark.parametrize(
    "traceparent",
    ["", "00", SOUND.upper(), f"{SOUND}-more", "\0" * 55, "x" * 8000, b"\xff\xfe"],
)
def test_a_traceparent_that_is_none_is_counted(traceparent: object) -> None:
    assert extract(traceparent=traceparent) == ("", ["traceparent"])


@pytest.mark.parametrize(
    "baggage",
    [
        "user=u-1",
        "a=1,b=2;property;other=3",
        " a = 1 , b = %20x ",
        "a=",
        ",".join(f"k{number}=v" for number in range(64)),
    ],
)
def test_sound_baggage_is_left_alone(baggage: str) -> None:
    assert extract(traceparent=SOUND, baggage=baggage) == (TRACE_ID, [])


@pytest.mark.parametrize(
    "baggage",
    [
        "nonsense",
        "a=1,,b=2",
        "=1",
        "a b=1",
        'a="quoted"',
        "a=\x01",
        "a=ü",
        b"a=\xff",
        "a=" + "x" * 8192,
        ",".join(f"k{number}=v" for number in range(65)),
    ],
)
def test_other_baggage_is_counted(baggage: object) -> None:
    assert extract(traceparent=SOUND, baggage=baggage) == (TRACE_ID, ["baggage"])


def test_nothing_is_handed_on() -> None:
    carrier: dict[str, str] = {}
    propagator = CallerContext(lambda header: None)
    propagator.inject(carrier, propagator.extract({"traceparent": SOUND}))
    assert carrier == {}
