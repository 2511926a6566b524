"""From the library's values to JSON. They are read entry by entry: a huge one is never copied whole."""

from math import isfinite
from typing import Final, TypeAlias

from cel_expr_python import cel

from coordinator.adapters.cel.bounds import take_reading
from coordinator.domain import jsontext
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import YIELD_BYTES_MAX, Effort

_Scalar: TypeAlias = bool | int | float | str | None

VALUES_MAX: Final = 10_000
"""In what one expression yields."""
NO_JSON: Final = {
    "BYTES": "bytes; a text is made of them by string(…)",
    "TIMESTAMP": "a moment; a text is made of it by string(…)",
    "DURATION": "a length of time; a text is made of it by string(…)",
    "TYPE": "a type",
}
"""Types of values that JSON has not, and what they are called in a sentence."""


def to_json(value: cel.Value, effort: Effort) -> JsonValue:
    """The JSON that *value* is. To read it takes *effort*.

    Raises:
        NotEvaluated: it is none, or more than may be yielded.
        EvaluationError: it is an error.
    """
    reading = _Reading()
    read = reading.json(value, jsontext.DEPTH_MAX)
    take_reading(VALUES_MAX - reading.values_left, effort)
    return read


class EvaluationError(Exception):
    """The library's own text about what went wrong. It may quote data, so it does not leave this package."""


class _Reading:
    def __init__(self) -> None:
        self._bytes_left = YIELD_BYTES_MAX
        self.values_left = VALUES_MAX

    def json(self, value: cel.Value, levels: int) -> JsonValue:
        self.values_left -= 1
        self._check()
        name = value.type().name()
        sort = name.partition("<")[0]
        match sort:
            case "LIST" | "MAP":
                if levels == 0:
                    raise NotEvaluated(f"what it yields is nested deeper than {jsontext.DEPTH_MAX} levels")
                entries = value.value()
                if sort == "LIST":
                    return [self.json(entry, levels - 1) for entry in entries]
                return {self._text(key): self.json(entries[key], levels - 1) for key in entries}
            case "STRING":
                return self._text(value.value())
            case "NULL":
                # Not read: each time the library would give away a reference to None that it does not own,
                # and the process ends when none is left.
                return None
            case "BOOL" | "INT" | "UINT":
                scalar: _Scalar = value.value()
                return scalar
            case "DOUBLE":
                number = float(value.value())
                if not isfinite(number):
                    raise NotEvaluated("it yields a number that JSON has not: infinite, or not a number")
                return number
            case "ERROR":
                raise EvaluationError(str(value.value()))
            case _:
                raise NotEvaluated(
                    f"expected a value that JSON has, found {NO_JSON.get(sort, 'another one')}"
                )

    def _text(self, text: object) -> str:
        if not isinstance(text, str):
            raise NotEvaluated(
                "expected texts as the keys of an object, found another key; string(…) makes one"
            )
        if "\0" in text:
            raise NotEvaluated("it yields a text that holds a NUL character")
        self._bytes_left -= len(text.encode())
        self._check()
        return text

    def _check(self) -> None:
        if self._bytes_left < 0 or self.values_left < 0:
            raise NotEvaluated(f"it yields more than {YIELD_BYTES_MAX} bytes or {VALUES_MAX} values")
