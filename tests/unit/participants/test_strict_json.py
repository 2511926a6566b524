"""The one JSON loader: what the standard one lets through, and ours does not."""

from __future__ import annotations

import pytest

from participants.strict_json import DEPTH_MAX, DIGITS_MAX, BadJson, encode, parse, parse_object

REFUSED = [
    ("", "is not JSON, at line 1, column 1"),
    ("{", "is not JSON"),
    ('{"a": 1,}', "is not JSON"),
    ("[1, 2]", "is not a JSON object"),
    ('"text"', "is not a JSON object"),
    ('{"a": NaN}', "NaN or Infinity"),
    ('{"a": -Infinity}', "NaN or Infinity"),
    ('{"a": 1e999}', "too large to hold"),
    ('{"a": 1, "a": 2}', "names a key twice"),
    ('{"a": {"b": 1, "b": 1}}', "names a key twice"),
    ('{"a": "\\ud800"}', "half of a surrogate pair"),
    ('{"\\udfff": 1}', "half of a surrogate pair"),
    ('{"a": "x\\u0000y"}', "NUL"),
    ('{"a\\u0000": 1}', "NUL"),
    ('{"a": "x\0y"}', "is not JSON"),
    ('{"a": ' + "9" * 5000 + "}", "more than 1000 digits"),
    ('{"a": ' + "-" + "9" * (DIGITS_MAX + 1) + "}", "more than 1000 digits"),
    ('{"a": ' + "[" * DEPTH_MAX + "]" * DEPTH_MAX + "}", "nested more than 64 levels"),
    ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested more than 64 levels"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_a_text_that_no_store_can_hold_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadJson, match=sentence):
        parse_object(text)


def test_integers_keep_their_digits() -> None:
    assert parse('{"a": 123456789012345678901234567890}') == {"a": 123456789012345678901234567890}


def test_surrogate_pairs_are_one_character() -> None:
    assert parse('{"a": "\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


@pytest.mark.parametrize("sign", ["", "-"])
def test_the_longest_integer_that_is_allowed_passes_and_its_sign_is_no_digit(sign: str) -> None:
    digits = sign + "9" * DIGITS_MAX
    assert parse(digits) == int(digits)


@pytest.mark.parametrize("innermost", ["", "1", '"text"', "null"])
def test_the_deepest_that_is_allowed_passes_and_a_scalar_is_no_level(innermost: str) -> None:
    assert parse("[" * DEPTH_MAX + innermost + "]" * DEPTH_MAX)


@pytest.mark.parametrize("innermost", ["[]", "{}"])
def test_one_level_more_is_refused(innermost: str) -> None:
    with pytest.raises(BadJson, match="nested more than 64 levels"):
        parse("[" * DEPTH_MAX + innermost + "]" * DEPTH_MAX)


def test_what_json_cannot_say_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"a": float("nan")})
    with pytest.raises(TypeError):
        encode({"a": object()})


def test_json_is_written_compact_and_readable() -> None:
    assert encode({"a": [1, "ü"]}) == '{"a":[1,"ü"]}'
