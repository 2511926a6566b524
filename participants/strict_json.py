"""The one way in which JSON from outside enters: what it lets through, every store and wire can hold.

The standard parser lets NaN, duplicate keys, lone surrogates and NUL through, and overflows on depth.
"""

from __future__ import annotations

import json
import math

DEPTH_MAX = 64
DIGITS_MAX = 1000
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class BadJson(ValueError):
    """The text is not JSON that we accept; the sentence quotes nothing of it."""


def parse(text: str) -> object:
    """Parse *text*, or raise BadJson with a sentence."""
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJson(f"is not JSON, at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise BadJson(f"is nested more than {DEPTH_MAX} levels deep") from None
    if not _is_plain(text):
        _check(value, 1)
    return value


def parse_object(text: str) -> dict[str, object]:
    value = parse(text)
    if not isinstance(value, dict):
        raise BadJson("is not a JSON object")
    return value


def encode(value: object) -> str:
    """Write *value* as compact JSON text; NaN and what JSON cannot say raise."""
    return _ENCODER.encode(value)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadJson("names a key twice in one object")
    return made


def _constant(name: str) -> object:
    raise BadJson("contains NaN or Infinity, which JSON does not know")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadJson("contains a number too large to hold")
    return number


def _int(digits: str) -> int:
    if len(digits.removeprefix("-")) > DIGITS_MAX:
        raise BadJson(f"contains a number of more than {DIGITS_MAX} digits")
    return int(digits)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
)


def _is_plain(text: str) -> bool:
    """Whether *text*, which is JSON, shows at a glance that nothing in it has to be checked, as most does.

    NUL and half a surrogate pair are written as an escape or beyond ASCII; no level begins without a bracket.
    """
    return text.isascii() and "\\u" not in text and text.count("{") + text.count("[") <= DEPTH_MAX


def _check(value: object, level: int) -> None:
    """*level* is the one that *value* makes if it is a container: the outermost is the first."""
    if level > DEPTH_MAX and isinstance(value, list | dict):
        raise BadJson(f"is nested more than {DEPTH_MAX} levels deep")
    match value:
        case str():
            _check_text(value)
        case list():
            for item in value:
                _check(item, level + 1)
        case dict():
            for key, item in value.items():
                _check_text(key)
                _check(item, level + 1)
        case _:
            pass


def _check_text(text: str) -> None:
    if "\0" in text:
        raise BadJson("contains a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadJson("contains half of a surrogate pair") from None
