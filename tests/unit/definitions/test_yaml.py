"""Definitions in YAML: what JSON can say, said with less ink, and nothing that could surprise."""

import json
import re
import time
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_text import read_definition
from coordinator.adapters.yaml_text import read_yaml
from coordinator.domain import jsontext
from coordinator.domain.definition import parse_definition
from coordinator.domain.errors import InvalidDefinition, InvalidText
from coordinator.domain.jsontext import DEPTH_MAX, DIGITS_MAX, JsonValue
from coordinator.domain.language.documents import Format, read_json

CHECK: Final = CelExpressions().check
TRIP: Final = """\
# What a trip is.
sagaName: Trip
version: "1.10"
ttl: 1m
steps:
  - service: Hotel
    transaction: book
    compensation: unbook
    dependsOn: []
    when: input.nights > 0 && input.guest != 'no one'
    defaultOutput: {id: null}
  - service: Car
    transaction: rent
    compensation: null
    input: {car: input.car, currency: "'EUR'", days: 3}
    retry:
      maxAttempts: 2
      multiplier: 1.5
"""
THE_SAME: Final[dict[str, Any]] = {
    "sagaName": "Trip",
    "version": "1.10",
    "ttl": "1m",
    "steps": [
        {
            "service": "Hotel",
            "transaction": "book",
            "compensation": "unbook",
            "dependsOn": [],
            "when": "input.nights > 0 && input.guest != 'no one'",
            "defaultOutput": {"id": None},
        },
        {
            "service": "Car",
            "transaction": "rent",
            "compensation": None,
            "input": {"car": "input.car", "currency": "'EUR'", "days": 3},
            "retry": {"maxAttempts": 2, "multiplier": 1.5},
        },
    ],
}


def refusal(text: str | bytes) -> str:
    with pytest.raises(InvalidText) as refused:
        read_yaml(text)
    return str(refused.value)


def test_a_definition_in_yaml_is_the_one_in_json() -> None:
    definition = read_definition(TRIP, Format.YAML, source="trip.yaml", services=None, check=CHECK)
    assert definition.digest == parse_definition(json.dumps(THE_SAME), source="trip.json").digest


def test_json_is_yaml() -> None:
    assert read_yaml(json.dumps(THE_SAME, indent=1)).value == THE_SAME


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *((word, word) for word in ("no", "yes", "on", "Off", "y", "nO", "nil", "None", "=")),
        *((text, text) for text in ("1:30", "2026-01-01", "2026-01-01T10:00:00Z", "1.0.0", "1_000", "0b1")),
        *((f'"{text}"', text) for text in ("1", "null", "true", "", "~", "<<", ".nan")),
        ("'it''s'", "it's"),
        ("é 😀", "é 😀"),
        (r'"\u2028\x85"', "\u2028\x85"),
        ("|\n  one\n  two\n", "one\ntwo\n"),
        *((word, None) for word in ("null", "Null", "NULL", "~")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        ("0", 0),
        ("-7", -7),
        ("12345678901234567890123", 12345678901234567890123),
        ("1.50", 1.5),
        ("1e5", 100000.0),
        ("-1.5E-3", -0.0015),
        ("[]", []),
        ("{}", {}),
    ],
)
def test_a_value_is_what_it_looks_like(written: str, value: JsonValue) -> None:
    read = read_yaml(f"key: {written}").value
    assert read == {"key": value}
    assert isinstance(read, dict)
    assert type(read["key"]) is type(value)


NO_TEXT_KEY: Final = "has a key that is no text; write it in quotes"
ALIAS: Final = "is an alias (*), and none is taken: write out what it stands for"
ANCHOR: Final = "has an anchor (&), and none is taken: there are no aliases either"
TAG: Final = "has a tag (!), and none is taken: only quotes make a text of a number"
NUMBER: Final = "is a number, but not as JSON writes one, like 1.5; a text is written in quotes"
NO_VALUE: Final = "has no value; where none is meant, write null"
NO_KEY_HERE: Final = "a ':' stands where no key can be; a text with ': ' in it is written in quotes"
ODD_CHARACTER: Final = (
    "no value begins with this character; a text that does is written in quotes, and no tab indents"
)
CONTROL: Final = "$: holds a control character that is not escaped"
REFUSED: Final[dict[str, tuple[str, str]]] = {
    # What YAML has and JSON has not
    "anchor": ("a: 1\nb: &x {c: 1}", f"$.b: {ANCHOR} at line 2, column 1"),
    "anchor of a list's entry": ("- 1\n- &x 2", f"$[1]: {ANCHOR} at line 2, column 3"),
    "anchor of a key": ("a:\n  &x b: 1", f"$.a: {ANCHOR} at line 2, column 3"),
    "alias": ("a: [1, *x]", f"$.a[1]: {ALIAS} at line 1, column 8"),
    "alias as a key": ("*x : 1", f"$: {ALIAS} at line 1, column 1"),
    "tag": ("a: !!str 1", f"$.a: {TAG} at line 1, column 1"),
    "tag of ours": ("a: {b: !secret x}", f"$.a.b: {TAG} at line 1, column 5"),
    "tag of an object": ("- !!python/object:os.system {}", f"$[0]: {TAG} at line 1, column 3"),
    "tag that says text": ("a: ! 1", f"$.a: {TAG} at line 1, column 1"),
    "merge key": (
        "a: {<<: {b: 1}}",
        "$.a: has a merge key (<<), and none is taken: write out what it stands for at line 1, column 5",
    ),
    "directive": ("%YAML 1.1\n---\na: 1", "$: has a directive (%), and none is taken at line 1, column 1"),
    "directive of tags": (
        "%TAG ! tag:x,2000:\n---\na: 1",
        "$: has a directive (%), and none is taken at line 1, column 1",
    ),
    "two documents": ("a: 1\n---\nb: 1", "$: holds several documents; expected one at line 2, column 1"),
    "an empty one follows": ("a: 1\n---\n", "$: holds several documents; expected one at line 2, column 1"),
    # Keys
    "number as a key": ("a:\n- 1: x", f"$.a[0]: {NO_TEXT_KEY} at line 2, column 3"),
    "null as a key": ("~: x", f"$: {NO_TEXT_KEY} at line 1, column 1"),
    "nothing as a key": ("?\n: x", f"$: {NO_TEXT_KEY} at line 1, column 2"),
    "list as a key": ("? [a]\n: b", f"$: {NO_TEXT_KEY} at line 1, column 3"),
    "object as a key": ("? {a: 1}\n: b", f"$: {NO_TEXT_KEY} at line 1, column 3"),
    "duplicate key": (
        "a: 1\nb: {c: 1,\n  'c': 2}",
        "$.b.c: stands twice in the same object at line 3, column 3",
    ),
    "NUL in a key": ('"a\\0": 1', '$["a\\u0000"]: has a key that holds a NUL character at line 1, column 1'),
    # Values
    "no value": ("a:\n  b:\n  c: 1", f"$.a.b: {NO_VALUE} at line 2, column 3"),
    "key alone": ("{a, b: 1}", f"$.a: {NO_VALUE} at line 1, column 2"),
    "no entry": ("a:\n- 1\n-\n- 3", f"$.a[1]: {NO_VALUE} at line 3, column 2"),
    "NUL": ('a: "x\\0"', "$.a: holds a NUL character at line 1, column 1"),
    "leading zero": ("a: 007", f"$.a: {NUMBER} at line 1, column 1"),
    "plus": ("a: +1", f"$.a: {NUMBER} at line 1, column 1"),
    "hexadecimal": ("a: 0x1F", f"$.a: {NUMBER} at line 1, column 1"),
    "octal": ("a: 0o17", f"$.a: {NUMBER} at line 1, column 1"),
    "no digit before the point": ("[.5]", f"$[0]: {NUMBER} at line 1, column 2"),
    "no digit behind it": ("[1, 5.]", f"$[1]: {NUMBER} at line 1, column 5"),
    "not a number": ("a: .nan", f"$.a: {NUMBER} at line 1, column 1"),
    "infinity": ("a: -.Inf", f"$.a: {NUMBER} at line 1, column 1"),
    "number too large for a double": (
        "a: 1e999",
        "$.a: is a number that is too large: the largest is about 1.8e308 at line 1, column 1",
    ),
    "number too long": (
        f"- {'9' * (DIGITS_MAX + 1)}",
        f"$[0]: is a whole number of more than {DIGITS_MAX} digits at line 1, column 3",
    ),
    # Texts that are no YAML
    "colon": (
        "when: a ? b : c: d",
        f"$: is not YAML: {NO_KEY_HERE} at line 1, column 13",
    ),
    "odd first character": (
        "a: %x",
        f"$: is not YAML: {ODD_CHARACTER} at line 1, column 4",
    ),
    "list not closed": ("a: [1,\n2", "$: is not YAML: ',' or ']' is expected at line 2, column 2"),
    "object not closed": ("a: {b: 1", "$: is not YAML: ',' or '}' is expected at line 1, column 9"),
    "entry expected": (
        "- a\nb: 1",
        "$: is not YAML: another '-' of the list, under the one before, is expected at line 2, column 1",
    ),
    "key expected": (
        "a: 1\n- b",
        "$: is not YAML: another key of the object, under the one before, is expected at line 2, column 1",
    ),
    "no colon": ("a: 1\nb\nc: 2", "$: is not YAML: ':' is expected after a key at line 3, column 1"),
    "no value in a list": ("[1,,2]", "$: is not YAML: a value is expected at line 1, column 4"),
    "another value": (
        "[1]\n[2]",
        "$: is not YAML: only one value is expected, and another follows at line 2, column 1",
    ),
    "list behind a key": (
        "a: - 1",
        "$: is not YAML: a '-' stands where no list can begin at line 1, column 4",
    ),
    "quotes not closed": (
        'a: "x\nb: 1\n',
        "$: is not YAML: a text in quotes is not closed that starts at line 1, column 4",
    ),
    "unknown escape": (
        r'a: "\q"',
        "$: is not YAML: a text holds an escape that YAML does not know at line 1, column 5",
    ),
    "lone surrogate": (
        r'a: "\uD800"',
        "$: is not YAML: a text holds an escape that is no character at line 1, column 7",
    ),
    "tab": ("a: |\n\tx", "$: is not YAML: a tab indents, and only spaces can at line 2, column 1"),
    "something rare": ("a: >2x\n b", "$: is not YAML: the text can not be read at line 1, column 6"),
    **{
        f"raw U+{ord(character):04X}": (f"a: 1\nb: 'x{character}'", f"{CONTROL} at line 2, column 6")
        for character in "\x01\x1b\x7f\x80\x85\x9f\u2028\u2029\ufffe\uffff"
    },
    # Bounds
    "empty": ("", "$: is empty; expected YAML"),
    "only a comment": ("# a: 1\n", "$: is empty; expected YAML"),
    "NUL in the text": ("a: \0", "$: holds a NUL character at character 3"),
    "byte order mark": ("\ufeffa: 1", "$: starts with a byte order mark; expected UTF-8 without one"),
    "too large": ("#" * (1 << 20) + "\na: 1", "$: is larger than 1048576 bytes"),
    "too deep": ("- " * (DEPTH_MAX + 1) + "1", f"$: is nested deeper than {DEPTH_MAX} levels"),
    "much too deep": ("[" * 100_000, f"$: is nested deeper than {DEPTH_MAX} levels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_surprise_is_refused_with_its_place(name: str) -> None:
    text, told = REFUSED[name]
    assert refusal(text) == told


def test_a_bomb_of_aliases_is_refused_before_anything_is_made_of_it() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    started = time.perf_counter()
    assert refusal("\n".join(lines)) == f"$.a0: {ANCHOR} at line 1, column 1"
    assert time.perf_counter() - started < 0.5


def test_what_is_not_utf_8_is_refused() -> None:
    assert refusal(b"a: \xff") == "$: is not UTF-8: byte 3 can not be read"


def test_as_deep_as_json_is_taken() -> None:
    deep = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert read_yaml(deep).value == jsontext.loads(deep)


def test_as_many_values_as_allowed_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "VALUES_MAX", 6)
    assert read_yaml("a: [1, {b: 2, c: 3}]").value == {"a": [1, {"b": 2, "c": 3}]}
    assert refusal("a: [1, {b: 2, c: 3, d: 4}]") == "$: holds more than 6 values"


def test_a_version_without_quotes_is_told_so() -> None:
    with pytest.raises(InvalidDefinition) as refused:
        read_definition(
            TRIP.replace('"1.10"', "1.10"), Format.YAML, source="trip.yaml", services=None, check=CHECK
        )
    (fault,) = refused.value.violations
    assert str(fault).startswith("line 3, column 1: $.version: expected a version in quotes: ")


def test_faults_stand_at_their_lines() -> None:
    text = TRIP.replace("1m", "soon").replace("    compensation: null\n", "").replace("2\n", "0\n")
    with pytest.raises(InvalidDefinition) as refused:
        read_definition(text, Format.YAML, source="trip.yaml", services=["Hotel"], check=CHECK)
    assert [(fault.line, fault.column, fault.path) for fault in refused.value.violations] == [
        (4, 1, "$.ttl"),
        (12, 5, "$.steps[1].compensation"),
        (12, 5, "$.steps[1].service"),
        (16, 7, "$.steps[1].retry.maxAttempts"),
    ]


class Dumper(yaml.SafeDumper):
    """Writes as YAML 1.1 does, but also quotes the texts that are numbers only in YAML 1.2 and in JSON."""


Dumper.add_implicit_resolver("!a-number", re.compile("[-+.0-9].*"), list("-+.0123456789"))
TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
AMBIGUOUS: Final = st.sampled_from(
    ["no", "~", "1e5", "0o7", "1:30", ".5", "<<", "=", "", " a ", "- b", "a: b", "#"]
)
VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | AMBIGUOUS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | AMBIGUOUS, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES, st.sampled_from([True, False, None]))
def test_what_is_written_as_yaml_is_read_back(value: JsonValue, flow: bool | None) -> None:
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=flow)
    assert jsontext.canonical(read_yaml(text).value) == jsontext.canonical(value)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_as_json_is_read_back(value: JsonValue) -> None:
    text = json.dumps(value, indent=2)
    assert jsontext.canonical(read_json(text).value) == jsontext.canonical(value)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("&*!:-?[]{}#'\"\n ab1", max_size=20) | st.binary(max_size=40))
def test_any_text_is_read_or_refused_and_never_breaks_the_reader(text: str | bytes) -> None:
    try:
        value = read_yaml(text).value
    except InvalidText:
        return
    assert jsontext.loads(jsontext.canonical(value)) == value
