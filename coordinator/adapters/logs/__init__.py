"""Logs on stderr: JSON lines, or a readable form on a terminal; what repeats is held back and counted.

Payloads, tokens and participants' texts are never passed to a logger; the allow-list of fields is the second
wall.
"""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Literal, TextIO

from coordinator.adapters.logs.forms import Render, as_json, as_text
from coordinator.adapters.logs.handler import LineHandler
from coordinator.adapters.logs.record import Record

__all__ = ["LineHandler", "configure_logs"]


def configure_logs(
    level: str,
    *,
    format: Literal["auto", "json", "text"] = "auto",
    current_trace: Callable[[], str] | None = None,
) -> None:
    """Send everything from *level* up to stderr.

    *current_trace* tells the traceparent of the call that is being handled, for records without their own.
    """
    handler = LineHandler(sys.stderr, _form(format, sys.stderr), current_trace=current_trace)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Looked up for each record, and no line has it: where it was logged.
    logging._srcfile = None
    logging.setLogRecordFactory(Record)
    # At DEBUG one logs every statement with its parameters, which are payloads; the other hands out
    # records that hold a server while it is freed, and formatting one of them ends the process.
    for library in ("aiosqlite", "grpc"):
        logging.getLogger(library).setLevel(logging.INFO)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_without_who_left)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_without_their_text)
    # It warns of every request that makes no sense: whoever reaches the port could fill the disk.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


def _without_who_left(record: logging.LogRecord) -> bool:
    """gRPC tells it as an error, with a traceback, if a caller leaves at the moment that its answer is sent.
    Whoever calls with a short deadline does that all the time, and nobody has to look at it."""
    kind = record.exc_info[0] if record.exc_info else None
    if kind is None or kind.__name__ != "ExecuteBatchError":
        return True
    record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
    # Whether its level is told was asked before, of the one that gRPC gave it.
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def _without_their_text(record: logging.LogRecord) -> bool:
    """What is no UTF-8 gRPC shows as it came: texts of participants and headers of callers, and what stood in
    memory behind texts of its own."""
    if str(record.msg).startswith("Invalid encoding on"):
        record.msg, record.args = "a text that came over gRPC is no UTF-8, and is not shown", ()
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
    return True


def _form(asked: str, stream: TextIO) -> Render:
    on_terminal = stream.isatty()
    if asked == "json" or (asked == "auto" and not on_terminal):
        return as_json
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return partial(as_text, in_colour=on_terminal and not plain)
