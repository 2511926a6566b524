"""Logs are JSON lines on standard error.  Only fields that are listed here are ever written."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

FIELDS = ("service", "saga_id", "step", "reason", "error", "address", "services", "sqlite")


class JsonLines(logging.Formatter):
    """One line an event, from an allow-list: no payload or token can slip in as an extra."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        given = record.__dict__
        line.update({field: given[field] for field in FIELDS if field in given})
        return json.dumps(line)


def set_up() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
