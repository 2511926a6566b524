"""Where a fault stands: at the key or the entry that is meant, whatever the text looks like."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.adapters.yaml_text import read_yaml
from coordinator.domain.definition import parse_definition
from coordinator.domain.errors import InvalidDefinition, InvalidJson, Loc, Violation
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.documents import position, read_json
from tests.unit.definitions.test_wrong_definitions import SERVICES, WRONG
from tests.unit.definitions.test_yaml import VALUES

TRIP: Final = """{
  "sagaName": "Trip",
  "steps": [
    {"service": "Hotel", "transaction": "book", "compensation": null, "timeout": "soon"},
    {
      "service": "Car",
      "transaction": "rent",
      "retry": {
        "maxAttempts": 0
      },
      "input": ["car", 5]
    },
    7
  ]
}
"""


@pytest.mark.parametrize(
    ("offset", "line", "column"), [(0, 1, 1), (1, 2, 1), (2, 2, 2), (3, 2, 3), (4, 3, 1)]
)
def test_a_character_is_counted_from_the_first_line_on(offset: int, line: int, column: int) -> None:
    assert position("\nab\nc", offset) == (line, column)


def behind(text: str, line: int, column: int) -> str:
    """What begins there, counted as an editor does."""
    lines = text.split("\n")
    return "\n".join([lines[line - 1][column - 1 :], *lines[line:]])


def refusal(text: str | bytes) -> tuple[Violation, ...]:
    with pytest.raises(InvalidDefinition) as refused:
        parse_definition(text, source="trip.json", services=SERVICES)
    return refused.value.violations


def test_a_fault_stands_at_its_key_or_entry_and_a_lack_at_the_object_that_has_it() -> None:
    with pytest.raises(InvalidDefinition) as refused:
        parse_definition(TRIP, source="trip.json")
    assert [str(fault).split(": ")[:2] for fault in refused.value.violations] == [
        ["line 4, column 71", "$.steps[0].timeout"],
        ["line 5, column 5", "$.steps[1].compensation"],
        ["line 9, column 9", "$.steps[1].retry.maxAttempts"],
        ["line 11, column 24", "$.steps[1].input[1]"],
        ["line 13, column 5", "$.steps[2]"],
    ]


def test_what_is_no_json_is_placed_once() -> None:
    (fault,) = refusal('{"a": \n}')
    assert str(fault) == "line 2, column 1: $: is not JSON: a value is expected"


def test_what_is_wrong_with_a_text_as_a_whole_has_no_place() -> None:
    (fault,) = refusal("[" * 100)
    assert str(fault) == "$: is nested deeper than 64 levels"


@pytest.mark.parametrize("name", [name for name, (text, _) in WRONG.items() if len(text) < 100_000])
def test_what_stands_at_the_line_and_column_is_what_the_path_names(name: str) -> None:
    text = WRONG[name][0]
    for fault in refusal(text):
        if not fault.line or fault.sentence.startswith("is not JSON"):
            continue
        assert isinstance(text, str)
        here = behind(text, fault.line, fault.column)
        if fault.sentence.startswith("is missing"):
            assert here.startswith("{")
        elif fault.path.endswith("]"):
            value = json.loads(text)
            for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", fault.path):
                value = value[key or int(index)]
            assert json.JSONDecoder().raw_decode(here)[0] == value
        elif fault.path != "$":
            assert here.startswith(f'"{fault.path.rpartition(".")[2]}"')


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": 1,\n "b": {"c": 1, "d": {}, "c": [2]}}', 2, 25),
        ("[1,\n\n [2, NaN]]", 3, 6),
        ('{"x": [{}, {"a": "\\ud800"}]}', 1, 13),
        ('{"a\\u0000": 1}', 1, 2),
        ('["é😀", 1e999]', 1, 8),
        ('{"a":\r\n -Infinity}', 1, 2),
    ],
)
def test_what_has_only_the_form_of_json_is_refused_where_it_is_none(
    text: str, line: int, column: int
) -> None:
    for written in (text, text.encode()):
        with pytest.raises(InvalidJson) as refused:
            read_json(written)
        assert (refused.value.line, refused.value.column) == (line, column)


def entries(loc: Loc, value: JsonValue) -> Iterator[tuple[Loc, JsonValue]]:
    """Everything in *value*, with what leads to it."""
    yield loc, value
    for key, below in value.items() if isinstance(value, dict) else ():
        yield from entries((*loc, key), below)
    for index, below in enumerate(value) if isinstance(value, list) else ():
        yield from entries((*loc, index), below)


LAYOUTS: Final[list[dict[str, Any]]] = [
    {},
    {"indent": 2},
    {"indent": "\t", "separators": (" ,", " : "), "ensure_ascii": False},
    {"separators": (",", ":")},
]


@settings(deadline=None)
@given(VALUES, st.sampled_from(LAYOUTS))
def test_of_each_entry_of_a_json_text_the_key_or_the_value_begins_at_its_place(
    value: JsonValue, layout: dict[str, Any]
) -> None:
    text = json.dumps(value, **layout)
    places = read_json(text).places
    for loc, entry in entries((), value):
        here, _ = json.JSONDecoder().raw_decode(behind(text, *places.position(loc)))
        if loc and isinstance(loc[-1], str):
            assert here == loc[-1]
        else:
            assert here == entry


class Dumper(yaml.SafeDumper):
    """Writes every text in quotes, so that it ends where it ends, whatever follows."""


def in_quotes(dumper: Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


Dumper.add_representer(str, in_quotes)


def without_beginnings(text: str) -> str:
    """What stands in the lists and objects that *text* begins with."""
    return re.sub(r"^(?:[-?]\s+|[\[{]\s*)+", "", text)


def first_scalar(text: str) -> JsonValue:
    """The first text, number or word of a YAML text that may go on in any way."""
    text = without_beginnings(text)
    if text.startswith('"'):
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        return next(str(event.value) for event in events if isinstance(event, yaml.ScalarEvent))
    return read_yaml(re.split(r"[\s,\]}]", text)[0]).value


@settings(deadline=None)
@given(VALUES, st.sampled_from([True, False, None]))
def test_of_each_entry_of_a_yaml_text_the_key_or_the_value_begins_at_its_place(
    value: JsonValue, flow: bool | None
) -> None:
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=flow, sort_keys=False)
    places = read_yaml(text).places
    for loc, entry in entries((), value):
        here = behind(text, *places.position(loc))
        if loc and isinstance(loc[-1], str):
            assert first_scalar(here) == loc[-1]
            continue
        while isinstance(entry, list | dict) and entry:
            entry = entry[0] if isinstance(entry, list) else next(iter(entry))
        if isinstance(entry, list | dict):
            assert without_beginnings(here)[0] in "]}"
        else:
            assert first_scalar(here) == entry


def test_many_places_in_a_long_text_are_found_quickly() -> None:
    text = json.dumps({"steps": [{"service": "A", "transaction": "a", "n": n} for n in range(5_000)]})
    started = time.process_time()
    places = read_json(text).places
    found = [places.position(("steps", n, "n")) for n in range(4_900, 5_000)]
    assert time.process_time() - started < 1
    assert behind(text, *found[-1]) == '"n": 4999}]}'
