"""What the example participants log: allowed fields, a trace as two of them, nothing that moves a cursor."""

import json
import logging

import pytest

from participants.logs import JsonLines, Readable

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def a_record(message: str = "a call failed", **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("participants", logging.ERROR, "x.py", 1, message, None, None)
    record.created = 1_700_000_000.25
    record.__dict__.update(extra)
    return record


def test_a_json_line_has_allowed_fields_alone_and_a_trace_as_two_of_them() -> None:
    record = a_record(service="Till", token="tok-canary", trace=f"00-{TRACE_ID}-{SPAN_ID}-01")
    assert json.loads(JsonLines().format(record)) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "ERROR",
        "message": "a call failed",
        "service": "Till",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
    }


@pytest.mark.parametrize(
    "trace", ["", "x", f"01-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-01\n", None]
)
def test_what_is_no_traceparent_becomes_nothing(trace: object) -> None:
    assert json.loads(JsonLines().format(a_record(trace=trace))).keys() == {"time", "level", "message"}


def test_on_a_terminal_it_is_one_line_with_the_fields_behind_the_message() -> None:
    record = a_record("failed\r\n\x1b[2J", service="Till", error="x\x9b1A\u202e", token="tok-canary")
    assert Readable(in_colour=False).format(record) == (
        r"22:13:20.250Z ERROR    failed\r\n\x1b[2J service=Till error=x\x9b1A\u202e"
    )
    assert Readable(in_colour=True).format(a_record()) == (
        "\x1b[2m22:13:20.250Z\x1b[0m \x1b[31mERROR   \x1b[0m a call failed"
    )
