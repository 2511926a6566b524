"""Logs are JSON lines on standard error, and readable where that is a terminal.  Only fields that are listed
here are ever written; a record's `trace`, a W3C traceparent, becomes `trace_id` and `span_id`."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime

FIELDS = ("service", "saga_id", "step", "reason", "error", "address", "services", "sqlite")
TRACEPARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}


class JsonLines(logging.Formatter):
    """One line an event, from an allow-list: no payload or token can slip in as an extra."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname,
            "message": record.getMessage(),
        }
        return json.dumps({**line, **_fields(record)})


class Readable(logging.Formatter):
    """One line an event for a person: time (UTC), level, message, and the fields as name=value."""

    def __init__(self, *, in_colour: bool) -> None:
        super().__init__()
        self._in_colour = in_colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3] + "Z"
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        parts = [
            self._coloured(time, "2"),
            self._coloured(record.levelname.ljust(8), COLOURS.get(record.levelname, "32")),
            _printable(record.getMessage()),
            self._coloured(_printable(fields), "2"),
        ]
        return " ".join(filter(None, parts))

    def _coloured(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if text and self._in_colour else text


def set_up() -> None:
    handler = logging.StreamHandler(sys.stderr)
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    handler.setFormatter(Readable(in_colour=not plain) if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_without_their_text)


def _without_their_text(record: logging.LogRecord) -> bool:
    """What is no UTF-8 gRPC shows as it came, such as a header of a caller's."""
    if str(record.msg).startswith("Invalid encoding on"):
        record.msg, record.args = "a text that came over gRPC is no UTF-8, and is not shown", ()
        record.exc_info = record.exc_text = None
    return True


def _fields(record: logging.LogRecord) -> dict[str, object]:
    given = record.__dict__
    fields = {field: given[field] for field in FIELDS if field in given}
    trace = TRACEPARENT.fullmatch(str(given.get("trace", "")))
    return {**fields, "trace_id": trace[1], "span_id": trace[2]} if trace else fields


def _printable(text: str) -> str:
    """A value that could move the cursor could also write another line than the one that was logged."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
