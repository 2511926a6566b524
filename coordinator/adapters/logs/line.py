"""What may be said of a log record, as a value. Fields beside the message are an allow-list."""

import inspect
import logging
import math
import re
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Final, TypeAlias

from coordinator.domain.trace import trace_ids
from coordinator.domain.values import frozen

Value: TypeAlias = str | int | float | tuple[str, ...]

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
)
# They differ from call to call where the same thing is said.
_VARYING: Final = frozenset({"duration_ms", "at"})
_LOGGING: Final = ("logging", __package__)
# asyncio says what failed, and then shows it: callbacks with their arguments, tasks with their exceptions.
_WITHOUT_ARGUMENTS: Final = re.compile(r"[^(<\n]*")


@frozen
class Line:
    """One line of the log. It keeps nothing of the record alive: that may hold a whole call by its frames."""

    logged_at: float
    level: str
    logger: str
    message: str
    fields: Mapping[str, Value]
    place: tuple[str, str] | None = None
    """Its trace id and span id, in hexadecimal, if it belongs to a trace."""

    @property
    def kind(self) -> Hashable:
        """Equal for lines that say the same thing, in whatever trace."""
        parts: list[Hashable] = [self.level, self.logger, self.message]
        for name, value in self.fields.items():
            if name not in _VARYING:
                parts += name, value
        return tuple(parts)


def line_of(record: logging.LogRecord, current_trace: Callable[[], str] | None) -> Line:
    """The line of *record*; of one that makes no sense a line that says where it was logged. Never raises."""
    try:
        message, fields = _message(record), _fields(record)
        trace = _trace(record.__dict__.get("trace"), current_trace)
        place = trace_ids(trace) if trace else None
    except Exception as error:
        message, fields = f"what was logged at {_logged_at()} makes no line: {type(error).__name__}", {}
        place = None
    return Line(record.created, record.levelname, record.name, message, fields, place)


def _logged_at() -> str:
    """Who logs at this moment. The library would look for that at every record, and this is told of few."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_LOGGING):
        frame = frame.f_back
    return "" if frame is None else f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.name != "asyncio":
        return message
    match = _WITHOUT_ARGUMENTS.match(message)
    return match[0].strip() if match is not None else ""


def _fields(record: logging.LogRecord) -> dict[str, Value]:
    given = record.__dict__
    fields: dict[str, Value] = {}
    for name in _FIELDS:
        if name in given and (value := given[name]) is not None:
            fields[name] = value if type(value) is str else _value(value)
    if record.exc_info:
        fields["traceback"] = _frames(record)
    return fields


def _trace(own: object, current_trace: Callable[[], str] | None) -> str:
    """A record's own trace goes before that of the call in which it was logged, also one that is empty."""
    if own is None and current_trace is not None:
        with suppress(Exception):  # a line without its trace is better than none
            own = current_trace()
    return own if isinstance(own, str) else ""


def _value(value: object) -> Value:
    """*value* as it is at this moment, and as JSON can have it."""
    match value:
        case str() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return tuple(str(part) for part in value)
        case _:
            return str(value)


def _frames(record: logging.LogRecord) -> tuple[str, ...]:
    """Where it happened, without the exception's own text: that may quote a payload."""
    frames = []
    kind, _, trace = record.exc_info or (None, None, None)
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_qualname} ({PurePath(code.co_filename).name}:{trace.tb_lineno})")
        trace = trace.tb_next
    return (*frames, kind.__name__ if kind else "")
