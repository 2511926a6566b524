"""What a journal says again and again has a number there: the names of sagas, of their steps and of front
doors, and the digests of definitions. And ids and digests stand in it as the bytes that they spell.

Each word stands in the file three times, in two places: one damaged page loses none of them.
"""

import re
import sqlite3
from typing import Final

ADD_WORD: Final = "INSERT INTO words VALUES (?1, ?2, ?2)"
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_UUID_BYTES: Final = 16
_SHA256_BYTES: Final = 32


class Words:
    """The words of a journal that is open, with those that it does not hold yet."""

    def __init__(self, numbers: dict[str, int], newest: int) -> None:
        """*numbers* are those that the journal holds; *newest* is the last one that it gave, though its word
        may be lost: what was said by that is not to be read as another one."""
        self._numbers = numbers
        self._newest = newest
        self._texts = {number: text for text, number in numbers.items()}
        self._new: list[tuple[int, str]] = []

    def number(self, text: str) -> int:
        """That of *text*, which gets one if it has none: what `take_new` has is written before it is said.

        Raises:
            UnicodeEncodeError: it cannot be kept.
        """
        number = self._numbers.get(text)
        if number is None:
            # Half characters are refused here, at the caller: SQLite's refusal would fail the whole group.
            text.encode()
            number = self._numbers[text] = self._newest = self._newest + 1
            self._texts[number] = text
            self._new.append((number, text))
        return number

    def known(self, text: str) -> int:
        """That of *text*; 0, which nothing has, where it has none."""
        return self._numbers.get(text, 0)

    def text(self, number: object) -> str | None:
        """What has this *number*; None: nothing has."""
        return self._texts.get(number) if isinstance(number, int) else None

    def take_new(self) -> list[tuple[int, str]]:
        """The words that got numbers since this was asked last."""
        new, self._new = self._new, []
        return new


def packed(text: str) -> str | bytes:
    """*text* as it stands in the journal: what spells a UUID or a SHA-256 takes half the room as bytes."""
    if _UUID.fullmatch(text) or _SHA256.fullmatch(text):
        return bytes.fromhex(text.replace("-", ""))
    return text


def unpacked(value: object) -> str | None:
    """The text that `packed` made *value* of; None: that is nothing that it makes."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        spelt = value.hex()
        if len(value) == _UUID_BYTES:
            return "-".join((spelt[:8], spelt[8:12], spelt[12:16], spelt[16:20], spelt[20:]))
        if len(value) == _SHA256_BYTES:
            return spelt
    return None


def text_of(value: object) -> str:
    """As `unpacked`.

    Raises:
        sqlite3.DatabaseError: it is damaged; with the code that SQLite has for that.
    """
    text = unpacked(value)
    if text is None:
        raise damaged("an id or a digest in it is none")
    return text


def damaged(sentence: str) -> sqlite3.DatabaseError:
    """What SQLite would raise if it saw what *sentence* says."""
    error = sqlite3.DatabaseError(sentence)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
