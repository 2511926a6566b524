"""Logs as JSON lines on stderr. What may stand in a line beside its message is an allow-list.

Payloads, tokens and participants' texts are never passed to a logger; the allow-list is the second wall.
"""

import json
import logging
import sys
import time
from typing import Final

_FIELDS: Final = (
    "saga_id",
    "saga_name",
    "request_id",
    "step",
    "attempt",
    "status",
    "code",
    "reason",
    "verb",
    "actor",
    "method",
    "duration_ms",
    "at",
    "sagas",
    "trace_id",
)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC, RFC 3339), level, logger, message, and the fields allowed."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in _FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["traceback"] = _frames(record)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logs(level: str) -> None:
    """Send everything from *level* up to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # At DEBUG one logs every statement with its parameters, which are payloads; the other hands out
    # records that hold a server while it is freed, and formatting one of them ends the process.
    for library in ("aiosqlite", "grpc"):
        logging.getLogger(library).setLevel(logging.INFO)
    # It warns of every request that makes no sense: whoever reaches the port could fill the disk.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


def _frames(record: logging.LogRecord) -> list[str]:
    """Where it happened, without the exception's own text: that may quote a payload."""
    frames = []
    kind, _, trace = record.exc_info or (None, None, None)
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_qualname} ({code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno})")
        trace = trace.tb_next
    return [*frames, kind.__name__ if kind else ""]
