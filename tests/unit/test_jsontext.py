"""The strict loader: what comes in is safe to journal, to send and to compare."""

import json
import time
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson
from coordinator.domain.jsontext import JsonValue

SECRET: Final = "tok-4111111111111111"

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)

REFUSED: Final[dict[str, tuple[str | bytes, str]]] = {
    "empty": ("", "$: is empty; expected JSON"),
    "white space": ("\t\n ", "$: is empty; expected JSON"),
    "a word": ("yes", "$: is not JSON: a value is expected at line 1, column 1"),
    "key without quotes": (
        "{a: 1}",
        "$: is not JSON: a key in double quotes is expected at line 1, column 2",
    ),
    "no colon": ('{"a" 1}', "$: is not JSON: ':' is expected at line 1, column 6"),
    "no comma": (
        '{"a": [1\n2]}',
        "$: is not JSON: ',' or a closing bracket is expected at line 2, column 1",
    ),
    "not closed": ('["a', "$: is not JSON: a string is not closed that starts at line 1, column 2"),
    "another value": (
        "{}\n{}",
        "$: is not JSON: only one value is expected, and another follows at line 2, column 1",
    ),
    "raw control character": (
        '"\t"',
        "$: is not JSON: a string holds a control character that is not escaped at line 1, column 2",
    ),
    "unknown escape": (
        '"\\x"',
        "$: is not JSON: a string holds an escape that JSON does not know at line 1, column 2",
    ),
    "half an escape": (
        '"\\u12"',
        "$: is not JSON: a string holds a \\u that four hexadecimal digits do not follow at line 1, column 3",
    ),
    "NaN": ('{"a": [1, NaN]}', "$.a[1]: is NaN, which is no number in JSON"),
    "NaN behind what is right": (
        '{"a": [1, 2.5, null, true, "x", {}], "b": NaN}',
        "$.b: is NaN, which is no number in JSON",
    ),
    "NaN in what is not JSON": ("[NaN, }", "$: is not JSON: a value is expected at line 1, column 7"),
    "Infinity": ("[Infinity]", "$[0]: is Infinity, which is no number in JSON"),
    "-Infinity": ("-Infinity", "$: is -Infinity, which is no number in JSON"),
    "overflow": ('{"a":1e400}', "$.a: is a number that is too large: the largest is about 1.8e308"),
    "overflow below zero": ("[-1e400]", "$[0]: is a number that is too large: the largest is about 1.8e308"),
    "1,001 digits": ("[-" + "1" * 1001 + "]", "$[0]: is a whole number of more than 1000 digits"),
    "5,000 digits": ("1" * 5000, "$: is a whole number of more than 1000 digits"),
    "a very long fraction": ("0." + "1" * 1000, "$: is a number of more than 1000 characters"),
    "duplicate key": ('{"a": {"b": 1, "b": 1}}', "$.a.b: stands twice in the same object"),
    "duplicate by escape": ('{"a": 1, "\\u0061": 1}', "$.a: stands twice in the same object"),
    "lone surrogate": ('["\\ud800"]', "$[0]: holds half a character (a lone surrogate)"),
    "lone low surrogate": ('["\\uDFFF!"]', "$[0]: holds half a character (a lone surrogate)"),
    "lone surrogate in a key": (
        '{"\\ud800": 1}',
        '$["\\ud800"]: has a key that holds half a character (a lone surrogate)',
    ),
    "raw lone surrogate": ('"\ud800"', "$: holds half a character (a lone surrogate) at character 1"),
    "NUL": ('{"a": ["\\u0000"]}', "$.a[0]: holds a NUL character"),
    "NUL in a key": ('{"a\\u0000": 1}', '$["a\\u0000"]: has a key that holds a NUL character'),
    "raw NUL": ('"\0"', "$: holds a NUL character at character 1"),
    "not UTF-8": (b'"\xff"', "$: is not UTF-8: byte 1 can not be read"),
    "byte order mark": (
        b"\xef\xbb\xbf{}",
        "$: starts with a byte order mark; expected UTF-8 without one",
    ),
    "byte order mark in text": (
        "\ufeff{}",
        "$: starts with a byte order mark; expected UTF-8 without one",
    ),
    "65 levels": ("[" * 65 + "]" * 65, "$: is nested deeper than 64 levels"),
    "100,000 levels": ("[" * 100_000, "$: is nested deeper than 64 levels"),
    "100,000 levels of objects": ('{"a":' * 100_000, "$: is nested deeper than 64 levels"),
    "too many values": ("[" + "1," * 100_000 + "1]", "$: holds more than 100000 values"),
    "too many lists": ("[" + "[]," * 100_000 + "[]]", "$: holds more than 100000 values"),
    "too large": (" " * (1 << 20) + "1", "$: is larger than 1048576 bytes"),
    "too large in bytes": ('"' + "é" * (1 << 19) + '"', "$: is larger than 1048576 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_strict_json_is_refused_with_its_path(name: str) -> None:
    text, expected = REFUSED[name]
    with pytest.raises(InvalidJson) as refusal:
        jsontext.loads(text)
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        (" [1, 1.5, true, false, null] \n", [1, 1.5, True, False, None]),
        (b'{"a": "\xc3\xa9"}', {"a": "é"}),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\u0000 \\\\ud800"', "\\u0000 \\ud800"),
        ("12345678901234567890123456789", 12345678901234567890123456789),
        ("-" + "9" * 1000, -(10**1000) + 1),
        ("-0", 0),
        ("1e-400", 0.0),
        ('"[[[{{{\\"[[["', '[[[{{{"[[['),
        ('{"a": 1, "A": 2}', {"a": 1, "A": 2}),
    ],
)
def test_strict_json_is_read_as_it_stands(text: str | bytes, value: JsonValue) -> None:
    read = jsontext.loads(text)
    assert read == value
    assert type(read) is type(value)


def test_bounds_hold_exactly() -> None:
    assert jsontext.loads("[" * 64 + "]" * 64) is not None
    assert jsontext.loads("[[1]]", depth_max=2) == [[1]]
    assert jsontext.loads("[1,2]", values_max=3) == [1, 2]
    assert jsontext.loads("[1,2]", bytes_max=5) == [1, 2]
    with pytest.raises(InvalidJson):
        jsontext.loads("[1,2]", depth_max=0)
    with pytest.raises(InvalidJson):
        jsontext.loads("[1,2]", values_max=2)
    with pytest.raises(InvalidJson, match="holds more than 3 values"):
        jsontext.loads("[[[1]]]", values_max=3)
    with pytest.raises(InvalidJson):
        jsontext.loads("[1,2]", bytes_max=4)


def test_a_number_of_as_many_digits_as_may_be_is_no_fault_beside_another() -> None:
    longest = "0." + "1" * (jsontext.DIGITS_MAX - 2)
    assert jsontext.loads(longest) == float(longest)
    with pytest.raises(InvalidJson, match="stands twice"):
        jsontext.loads(f'{{"a": {longest}, "b": 1, "b": 2}}')


def test_brackets_and_commas_inside_strings_count_for_nothing() -> None:
    assert jsontext.loads('{"a": "' + '[,\\"{' * 200 + '"}', depth_max=1, values_max=2)


def test_what_is_closed_again_makes_what_follows_no_less_deep() -> None:
    assert jsontext.loads("[[],[],[[]]]", depth_max=3) == [[], [], [[]]]
    with pytest.raises(InvalidJson, match="nested deeper than 3 levels"):
        jsontext.loads("[[],[],[[[]]]]", depth_max=3)


def test_the_source_stands_in_front_of_the_path() -> None:
    with pytest.raises(InvalidJson, match=r"^\$\.input_json\.a: is NaN"):
        jsontext.loads('{"a": NaN}', source="$.input_json")
    with pytest.raises(InvalidJson, match=r"^\$\.input_json: holds a NUL character"):
        jsontext.loads("\0", source="$.input_json")


def test_a_text_of_just_so_many_bytes_as_may_be_is_taken() -> None:
    assert jsontext.decode("é", bytes_max=2) == "é"
    with pytest.raises(InvalidJson, match="is larger than 2 bytes"):
        jsontext.decode("éa", bytes_max=2)


def test_a_long_or_strange_key_is_shortened_and_escaped() -> None:
    with pytest.raises(InvalidJson) as refusal:
        jsontext.loads('{"' + "k" * 10_000 + '": NaN}')
    assert refusal.value.violation.path == '$["' + "k" * 39 + '\\u2026"]'
    assert jsontext.child("$", "k" * 40) == "$." + "k" * 40
    assert jsontext.child("$", "k" * 41) == '$["' + "k" * 39 + '\\u2026"]'
    assert jsontext.shown_key("k" * 40) == '"' + "k" * 40 + '"'
    with pytest.raises(InvalidJson) as refusal:
        jsontext.loads('{"a key\\n": NaN}')
    assert refusal.value.violation.path == '$["a key\\n"]'


@pytest.mark.parametrize(
    "text",
    [
        '{"token": "%s\\ud800"}',
        '{"token": "%s\\u0000"}',
        '{"token": "%s',
        '{"token": "%s\\q"}',
        '{"token": "%s\t"}',
        '{"token": "%s", "token": 1}',
        '{"token": "%s"} "%s"',
        '{"token": "%s", "x": NaN}',
        '{"token": "%s"',
        '"%s\0"',
        '"%s\ud800"',
    ],
)
def test_no_sentence_quotes_a_value(text: str) -> None:
    with pytest.raises(InvalidJson) as refusal:
        jsontext.loads(text.replace("%s", SECRET))
    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_no_hostile_text_takes_long() -> None:
    hostile = [
        '"' + '\\"' * 500_000,
        "[[" * 40 + '"\\' * 300_000,
        "0." + "1" * 1_000_000,
        "1" * 1_000_000,
        "[" * 65 + '"' + "\\" * 1_000_000,
        '{"a":' * 200_000,
        "[]," * 300_000,
        "{" + ",".join(f'"{n}":NaN' for n in range(70_000)) + "}",
    ]
    for text in hostile:
        started = time.process_time()
        with pytest.raises(InvalidJson):
            jsontext.loads(text)
        assert time.process_time() - started < 2, text[:20]


@settings(deadline=None)
@given(VALUES)
def test_reading_undoes_writing(value: JsonValue) -> None:
    text = jsontext.canonical(value)
    read = jsontext.loads(text)
    assert read == value
    assert jsontext.reload(text) == value
    assert jsontext.canonical(read) == text


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_the_entries_of_a_canonical_text_are_its_parts(value: dict[str, JsonValue]) -> None:
    entries = jsontext.entries(jsontext.canonical(value))
    assert entries == {
        key: f"{jsontext.canonical(key)}:{jsontext.canonical(entry)}" for key, entry in value.items()
    }
    assert f"{{{','.join(entries.values())}}}" == jsontext.canonical(value)


@given(VALUES)
def test_how_json_is_written_does_not_change_its_canonical_text(value: JsonValue) -> None:
    other = json.dumps(value, indent=3, ensure_ascii=True)
    assert jsontext.canonical(jsontext.loads(other)) == jsontext.canonical(value)


@settings(deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40))
def test_any_text_is_read_or_refused_and_never_breaks_the_loader(text: str | bytes) -> None:
    try:
        value = jsontext.loads(text)
    except InvalidJson:
        return
    assert jsontext.loads(jsontext.canonical(value)) == value


def test_the_canonical_text_and_its_digest_never_change() -> None:
    value: JsonValue = {"b": [1, 2.5, 1e22, None, True], "a": "é\n\u2028", "B": {}, "big": 10**30}
    text = jsontext.canonical(value)
    assert text == (
        '{"B":{},"a":"é\\n\u2028","b":[1,2.5,1e+22,null,true],"big":1000000000000000000000000000000}'
    )
    assert jsontext.digest(text) == "cd9fc0ec958f6419f022d55d94ab14886727f38c1a2779720a27ee11ade7dc34"


def test_what_json_can_not_hold_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        jsontext.canonical(float("nan"))


@settings(deadline=None)
@given(VALUES)
def test_the_canonical_text_is_what_the_standard_library_writes(value: JsonValue) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert jsontext.canonical(value) == expected


@settings(deadline=None)
@given(VALUES, st.booleans(), st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_the_canonical_form_of_a_text_is_that_of_what_it_holds(
    value: JsonValue, is_sorted: bool, is_ascii: bool, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, sort_keys=is_sorted, ensure_ascii=is_ascii, separators=separators)
    assert jsontext.canonical_form(text) == jsontext.canonical(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '["\\u0000"]',
        "[1e400]",
        "[-1e400]",
        "[NaN]",
        "[Infinity]",
        '["\\ud800"]',
        "[1",
        "",
        "1" * 1_001,
        "[" * 65 + "]" * 65,
        "[" + "1," * 100_000 + "1]",
    ],
)
def test_a_text_without_a_canonical_form_is_refused_as_it_is_when_read(text: str) -> None:
    with pytest.raises(InvalidJson) as read:
        jsontext.loads(text)
    with pytest.raises(InvalidJson) as formed:
        jsontext.canonical_form(text)
    assert formed.value.violation == read.value.violation


@pytest.mark.parametrize(
    "text", ["-0", "[1.0]", "1E5", "1e16", "5e-8", "0.10", '"\\/"', '"\\u00e9"', "\n[1 ]", '{"b":1,"a":2}']
)
def test_what_can_be_written_in_several_ways_has_one_canonical_form(text: str) -> None:
    assert jsontext.canonical_form(text) == jsontext.canonical(jsontext.loads(text))


def test_the_depth_that_is_asked_for_holds_for_short_texts_too() -> None:
    assert jsontext.canonical_form("[[[]]]", depth_max=3) == "[[[]]]"
    for deeper in ("[[[]]]", '[[{"a":{}}]]', '[{"a":[{}]}]', '{"a":{"b":[[]]}}'):
        with pytest.raises(InvalidJson, match="nested deeper than 2 levels"):
            jsontext.canonical_form(deeper, depth_max=2)


@pytest.mark.parametrize(
    ("number", "text"), [(1e16, "1e+16"), (5e-8, "5e-08"), (1e22, "1e+22"), (0.5, "0.5"), (-1e-7, "-1e-07")]
)
def test_a_number_with_a_fraction_or_an_exponent_has_the_text_that_it_always_had(
    number: float, text: str
) -> None:
    assert jsontext.canonical({"n": number}) == f'{{"n":{text}}}'
    assert jsontext.canonical(number) == text
