"""An exported saga as the text of a pytest file, formatted as ruff would format it."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields
from datetime import UTC, datetime
from typing import Any, Final

from coordinator.domain import jsontext
from coordinator.domain.jsontext import JsonValue
from coordinator.simulation.course import Happening
from coordinator.simulation.exporting import DIGITS, Export

WIDTH: Final = 88
"""Of a line, where it can be broken: ruff's own."""

_TEXT: Final = '''\
"""Saga {saga_id} of {saga_name} came to be {status}.

It was started at {started} UTC. What came to it then comes again here, in
virtual time, and the real engine makes the rest of it. Written by `saga export`;
what it needs is pip install 'saga-coordinator[server]' pytest.
"""

{imported}
from coordinator.simulation.replay import replay

DEFINITION = r"""
{definition}
"""

INPUT = r"""
{input}
"""

# The seconds since its start, and what came then. What has the same time came at once.
{course}

{end}


def test_saga_{name}_ends_as_it_did() -> None:
    assert replay(DEFINITION, INPUT, COURSE) == END
'''


def pytest_text(export: Export) -> str:
    """The whole file."""
    used = {type(one).__name__ for one in export.course} or {"Happening"}
    return _TEXT.format(
        saga_id=_in_docstring(export.saga_id),
        saga_name=_in_docstring(export.saga_name),
        started=f"{datetime.fromtimestamp(export.started_at, UTC):%Y-%m-%d %H:%M:%S}",
        status=export.end.status,
        imported=_import(sorted({*used, "End"})),
        definition=_json(export.definition),
        input=_json(export.input),
        course=_course(export.course),
        end="\n".join(_call("END = ", "End", _end(export), "")),
        name=re.sub(r"\W", "_", export.saga_id, flags=re.ASCII),
    )


def _import(names: Sequence[str]) -> str:
    line = f"from coordinator.simulation.course import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return "\n".join(
        ["from coordinator.simulation.course import (", *(f"    {name}," for name in names), ")"]
    )


def _course(course: Sequence[Happening]) -> str:
    if not course:
        return "COURSE: list[Happening] = []"
    rows = (line for one in course for line in _call("    ", type(one).__name__, _row(one), ","))
    return "\n".join(["COURSE = [", *rows, "]"])


def _row(one: Happening) -> Iterator[str]:
    """What stands in the brackets: what every row has by its place, and the rest by its name."""
    for field in fields(one):
        value = getattr(one, field.name)
        if field.default is MISSING:
            yield _literal(value)
        elif value != field.default:
            yield f"{field.name}={_literal(value)}"


def _end(export: Export) -> Iterator[str]:
    for field in fields(export.end):
        value = getattr(export.end, field.name)
        if value != _default(field):
            yield f"{field.name}={_literal(value)}"


def _default(field: "Field[Any]") -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _call(before: str, name: str, arguments: Iterable[str], after: str) -> list[str]:
    """A call on one line if there is room, and else with each argument on its own; the comma behind the last
    one keeps it so."""
    given = list(arguments)
    line = f"{before}{name}({', '.join(given)}){after}"
    if len(line) <= WIDTH and "\n" not in line:
        return [line]
    inner = " " * (len(before) - len(before.lstrip())) + "    "
    indented = [f"{inner}{argument}".replace("\n", f"\n{inner}") + "," for argument in given]
    return [f"{before}{name}(", *indented, f"{inner[4:]}){after}"]


def _literal(value: object) -> str:
    match value:
        case str():
            return _text(value)
        case float():
            return _number(value)
        case dict():
            return _rows("{", [f"{_text(key)}: {_literal(entry)}" for key, entry in value.items()], "}")
        case list():
            line = f"[{', '.join(map(_literal, value))}]"
            return line if len(line) <= WIDTH // 2 else _rows("[", map(_literal, value), "]")
        case _:
            return repr(value)


def _rows(opening: str, entries: Iterable[str], closing: str) -> str:
    return "\n".join([opening, *(f"    {entry}," for entry in entries), closing])


def _number(value: float) -> str:
    digits = f"{value:.{DIGITS}f}".rstrip("0")
    return f"{digits}0" if digits.endswith(".") else digits


def _text(text: str) -> str:
    """In double quotes, unless there are more of them in it than of the others."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_character(character, quote) for character in text) + quote


def _character(character: str, quote: str) -> str:
    if character in (quote, "\\"):
        return f"\\{character}"
    # What can not be seen could make a file look like another one.
    return character if character.isprintable() else repr(character)[1:-1]


def _json(text: str) -> str:
    shown = _indented(jsontext.reload(text), "")
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in shown)


def _indented(value: JsonValue, before: str, name: str = "") -> str:
    """*value*, behind its *name*, on one line if there is room, and else with each entry on its own."""
    line = name + json.dumps(value, ensure_ascii=False)
    inner = f"{before}  "
    match value:
        case dict() if len(before) + len(line) >= WIDTH:
            named = (f"{json.dumps(key, ensure_ascii=False)}: " for key in value)
            entries = [_indented(value[key], inner, name) for key, name in zip(value, named, strict=True)]
            opening, closing = "{}"
        case list() if len(before) + len(line) >= WIDTH:
            entries = [_indented(entry, inner) for entry in value]
            opening, closing = "[]"
        case _:
            return line
    separator = f",\n{inner}"
    return f"{name}{opening}\n{inner}{separator.join(entries)}\n{before}{closing}"


def _in_docstring(text: str) -> str:
    return text if re.fullmatch(r"[\w.-]+", text) else repr(text).replace("\\", "/").replace('"', "'")
