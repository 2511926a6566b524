"""What stands in short in a journal comes back as it was said."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.adapters.sqlite.words import Words, packed, text_of, unpacked

UUID = "01a22b03-13f5-75d6-92a0-eb82074bcbfc"
SHA256 = "0123456789abcdef" * 4
AS_IT_IS = [
    "",
    "saga-1",
    UUID.upper(),
    f"{UUID} ",
    UUID.replace("-", ""),
    SHA256[:-1],
    SHA256.upper(),
    "é" * 36,
]


@given(st.text() | st.uuids().map(str) | st.binary(min_size=32, max_size=32).map(bytes.hex))
def test_every_text_comes_back(text: str) -> None:
    assert unpacked(packed(text)) == text
    assert text_of(packed(text)) == text


def test_what_spells_bytes_is_packed_as_these() -> None:
    assert packed(UUID) == bytes.fromhex(UUID.replace("-", ""))
    assert packed(SHA256) == bytes.fromhex(SHA256)


@pytest.mark.parametrize("text", AS_IT_IS)
def test_other_texts_stand_there_as_they_are(text: str) -> None:
    assert packed(text) == text


@pytest.mark.parametrize("value", [b"", b"x" * 15, b"x" * 33, 7, None, 1.5])
def test_what_is_never_written_is_damage(value: object) -> None:
    assert unpacked(value) is None
    with pytest.raises(sqlite3.DatabaseError, match="an id or a digest in it is none") as raised:
        text_of(value)
    assert raised.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT


def test_a_word_keeps_its_number_and_is_new_once() -> None:
    words = Words({"Order": 3}, 3)
    assert [words.number(text) for text in ("pay", "Order", "pay", "")] == [4, 3, 4, 5]
    assert [words.text(number) for number in (3, 4, 5, 6, None, "3")] == [
        "Order",
        "pay",
        "",
        None,
        None,
        None,
    ]
    assert words.take_new() == [(4, "pay"), (5, "")]
    assert words.take_new() == []


def test_to_ask_for_a_word_gives_it_no_number() -> None:
    words = Words({}, 0)
    assert words.known("pay") == 0
    assert words.text(0) is None
    assert words.take_new() == []


def test_half_a_character_gets_no_number() -> None:
    words = Words({}, 0)
    with pytest.raises(UnicodeEncodeError):
        words.number("a\ud800")
    assert words.take_new() == []
    assert words.number("a") == 1
