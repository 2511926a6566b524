"""What a command prints. Data goes to stdout in the form that was asked for; all else goes to stderr.

JSON is for programs and stays as it is: the client's fields in snake_case, times by RFC 3339 in UTC, enums
by their short names, what is unknown as null. A table is for people, plain unless it meets a terminal.
"""

import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from coordinator.cli.text import one_line

PLAIN_WIDTH: Final = 100
_GAP: Final = "  "
_COLOURS: Final = {
    "COMPLETED": "green",
    "SERVING": "green",
    "COMPENSATED": "yellow",
    "COMPENSATING": "yellow",
    "RUNNING": "cyan",
    "DEAD_LETTERED": "bold red",
    "TERMINATED": "magenta",
    "UNREACHABLE": "red",
    "UNKNOWN_ADDRESS": "red",
    "NOT_SERVING": "red",
}


class ReaderGone(Exception):
    """Whoever reads stdout has had enough, and there would have been more. (typer has an end of its own for a
    BrokenPipeError.)"""


class Nowhere(io.TextIOBase):
    """stdout, where the shell has closed it: what is printed would be lost, and nobody told."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "stdout is closed, and what was to be printed is lost")


class Form(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Column(NamedTuple):
    """One column of a table: its heading, and the field that it shows."""

    heading: str
    field: str
    is_whole: bool = False
    """Whether it is shown on any terminal, however narrow; such columns come first."""


def put(line: str) -> None:
    """Print a line, or lines, of data. If nobody reads it, the command ends as if somebody did."""
    try:
        print(line)
    except BrokenPipeError:
        throw_away()


def put_now(line: str) -> None:
    """Print a line of data at once: who reads it through a pipe is waiting.

    Raises:
        ReaderGone: nobody reads it, so that what is still to come need not be waited for.
    """
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise ReaderGone from None


def throw_away() -> None:
    """Print no more: what is left in the buffer would fail again at exit, with a traceback."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_many(values: Iterable[object], columns: Sequence[Column], form: Form) -> int:
    """Print *values*, and say how many there were. Lines of JSON are printed as they come."""
    if form is Form.JSONL:
        return sum(1 for value in values if print_line(value))
    data = [as_data(value) for value in values]
    if form is Form.JSON:
        put(json.dumps(data, ensure_ascii=False, indent=2))
    else:
        _print_table([as_cells(row, columns) for row in data], columns)
    return len(data)


def print_line(value: object) -> bool:
    """Print *value* as one line of JSON, at once."""
    put_now(_json_line(value))
    return True


def print_one(value: object, form: Form) -> None:
    """Print *value* as JSON."""
    if form is Form.JSONL:
        put(_json_line(value))
    else:
        put(json.dumps(as_data(value), ensure_ascii=False, indent=2))


def tell(sentence: str) -> None:
    """Say something that is no data."""
    print(one_line(sentence), file=sys.stderr, flush=True)


def as_data(value: object) -> object:
    """A value of the client as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: as_data(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): as_data(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(part) for part in value]
    return value


def as_cells(row: object, columns: Sequence[Column]) -> list[str]:
    """What a table shows of a value: no fractions of a second, lists with commas, yes for true."""
    assert isinstance(row, dict)
    return [_cell(row[column.field]) for column in columns]


def width() -> int:
    """How many characters a line has."""
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if sys.stdout.isatty() else PLAIN_WIDTH


def is_coloured() -> bool:
    """Whether stdout takes colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _json_line(value: object) -> str:
    return json.dumps(as_data(value), ensure_ascii=False, separators=(",", ":"))


def _cell(value: object) -> str:
    match value:
        case None | False:
            return ""
        case True:
            return "yes"
        case list():
            return ", ".join(_cell(part) for part in value)
        case str() if value.endswith("Z") and value[10:11] == "T":
            return value[:19].replace("T", " ")
        case _:
            return one_line(str(value))


def _print_table(rows: Sequence[Sequence[str]], columns: Sequence[Column]) -> None:
    lines = [[column.heading for column in columns], *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    padded = [
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    if sys.stdout.isatty():
        chars = width()
        whole = len(
            _GAP.join(" " * size for size, column in zip(widths, columns, strict=True) if column.is_whole)
        )
        padded = [_cut(line, chars, whole) for line in padded]
    if is_coloured():
        _print_coloured(padded)
    else:
        put("\n".join(padded))


def _cut(line: str, chars: int, whole: int) -> str:
    if len(line) <= chars:
        return line
    return line[: chars - 1] + "…" if whole < chars else line[:whole].rstrip()


def _print_coloured(lines: Sequence[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for number, line in enumerate(lines):
        text = Text(line, style="" if number else "bold")
        for word, style in _COLOURS.items():
            text.highlight_regex(rf"(?<!\S){word}(?!\S)", style)
        console.print(text)
