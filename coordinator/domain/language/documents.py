"""A document from outside, read: what it says, and where in its text each part of that stands.

A person who wrote a hundred lines looks for a line, not for a path. Where something stands is only looked
for when there is a fault to place.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson, Loc
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.values import frozen


class Format(StrEnum):
    """How a document is written."""

    JSON = "json"
    YAML = "yaml"


class Position(NamedTuple):
    """A character of a text as editors count, from 1; 0 where it is not known."""

    line: int
    column: int


@dataclass(slots=True)
class Spot:
    """Where an entry begins, one of an object at its key; `below` are the entries in it."""

    offset: int
    below: dict[str | int, "Spot"] = field(default_factory=dict)


class Places:
    """Where the parts of a text's value stand; *scan* finds all of them, when the first is asked for."""

    def __init__(self, text: str, scan: Callable[[str], Spot]) -> None:
        self._text = text
        self._scan = scan

    def position(self, loc: Loc) -> Position:
        """Where *loc* stands; of what is missing, where the object stands that lacks it."""
        spot = self._root
        for part in loc:
            if part not in spot.below:
                break
            spot = spot.below[part]
        return position(self._text, spot.offset)

    @cached_property
    def _root(self) -> Spot:
        return self._scan(self._text)


@frozen
class Document:
    """What a text says, and where."""

    value: JsonValue
    places: Places


def position(text: str, offset: int) -> Position:
    """The line and the column of a character."""
    return Position(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def read_json(text: str | bytes) -> Document:
    """Read strict JSON.

    Raises:
        InvalidJson: with what jsontext.py, the judge, found first, and where.
    """
    try:
        value = jsontext.loads(text)
    except InvalidJson as error:
        if error.loc is None:
            raise
        found = Places(_decoded(text), _scan_json).position(error.loc)
        raise InvalidJson(error.path, error.sentence, line=found.line, column=found.column) from None
    return Document(value, Places(_decoded(text), _scan_json))


def _decoded(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text


def _scan_json(text: str) -> Spot:
    """Where everything stands in a text that has the form of JSON. Of a key that stands twice, the last."""
    containers: list[tuple[Spot, bool]] = []
    here: Spot | None = None
    root = Spot(0)
    for token in _TOKEN.finditer(text):
        at, first = token.start(), text[token.start()]
        if first in "]}":
            containers.pop()
            continue
        if here is None:
            here = Spot(at)
            if not containers:
                root = here
            else:
                holder, is_object = containers[-1]
                holder.below[_key(token[0]) if is_object else len(holder.below)] = here
                if is_object:
                    continue  # the next token begins its value
        if first in "[{":
            containers.append((here, first == "{"))
        here = None
    return root


def _key(token: str) -> str:
    return str(json.loads(token)) if "\\" in token else token[1:-1]


_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^\s\[\]{},:"]+', re.DOTALL)
