"""The one door for JSON from outside, and the one form in which we write it.

What passes `loads` is safe to journal, to send and to compare: it has bounds, keeps every digit of
its integers, and holds no NaN, duplicate key, lone surrogate or NUL. No sentence quotes a value.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from json.scanner import make_scanner
from typing import Final, NoReturn, TypeAlias

import orjson

from coordinator.domain.errors import InvalidJson, Loc
from coordinator.domain.ids import Digest

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"

BYTES_MAX: Final = 1 << 20
DEPTH_MAX: Final = 64
VALUES_MAX: Final = 100_000
DIGITS_MAX: Final = 1_000
KEY_SHOWN_CHARS_MAX: Final = 40


def loads(
    text: str | bytes,
    *,
    source: str = "$",
    bytes_max: int = BYTES_MAX,
    depth_max: int = DEPTH_MAX,
    values_max: int = VALUES_MAX,
) -> JsonValue:
    """Read strict JSON.

    *source* is the path of the whole value, in front of every path in an error.

    Raises:
        InvalidJson: with the path of the first fault, and what was expected there.
    """
    checked = decode(text, source=source, bytes_max=bytes_max)
    _check_shape(checked, source, depth_max, values_max)
    try:
        value: JsonValue = _STRICT.decode(checked)
        if _ESCAPE_TO_LOOK_AT.search(checked):
            raise _FaultFound
    except json.JSONDecodeError as error:
        raise _syntax_fault(source, error) from None
    except _FaultFound:
        return _diagnose(checked, source)
    return value


def decode(text: str | bytes, *, source: str = "$", bytes_max: int = BYTES_MAX) -> str:
    """The characters of *text*, JSON or other, when they are few enough and all of them can be kept.

    Raises:
        InvalidJson: it is too large, not UTF-8, or holds what no text may hold.
    """
    # The size comes first: nothing else is done to a text that is too large.
    if len(text) > bytes_max:
        raise InvalidJson(source, f"is larger than {bytes_max} bytes")
    try:
        if isinstance(text, bytes):
            decoded = text.decode()
        else:
            decoded = text
            if not text.isascii() and len(text.encode()) > bytes_max:
                raise InvalidJson(source, f"is larger than {bytes_max} bytes")
    except UnicodeDecodeError as error:
        raise InvalidJson(source, f"is not UTF-8: byte {error.start} can not be read") from None
    except UnicodeEncodeError as error:
        raise InvalidJson(
            source, f"holds half a character (a lone surrogate) at character {error.start}"
        ) from None
    if decoded.startswith("\ufeff"):
        raise InvalidJson(source, "starts with a byte order mark; expected UTF-8 without one")
    if "\0" in decoded:
        raise InvalidJson(source, f"holds a NUL character at character {decoded.index(chr(0))}")
    return decoded


def reload(text: str) -> JsonValue:
    """Read text that `canonical` wrote: it was checked when it came in."""
    value: JsonValue = _PLAIN.decode(text)
    return value


def entries(text: str) -> dict[str, str]:
    """The text of each entry, with its key, of an object that `canonical` wrote; by its key.

    Raises:
        TypeError: it is the text of something else.
    """
    if not text.startswith("{"):
        raise TypeError("expected the text of an object")
    found = {}
    start = 1
    while start < len(text) - 1:
        key, end = _next_value(text, start)
        _, end = _next_value(text, end + 1)
        found[key] = text[start:end]
        start = end + 1
    return found


def size_bytes(text: str) -> int:
    """How much *text* takes as UTF-8."""
    # Of what may be sixteen megabytes nothing is copied that need not be.
    return len(text) if text.isascii() else len(text.encode())


def canonical(value: JsonValue) -> str:
    """The one text of *value*: keys sorted by code point, no spaces, no escape that is not needed.

    This form is journaled, sent and digested, so it must never change.
    """
    try:
        text = orjson.dumps(value, option=_SORTED)
    except TypeError:  # such as a whole number of more than 64 bits
        return _CANONICAL.encode(value)
    # Null it writes also for what is no number.
    is_alike = text.find(b"null") < 0 and not _has_float(text)
    return text.decode() if is_alike else _CANONICAL.encode(value)


def canonical_form(text: str, *, depth_max: int = DEPTH_MAX) -> str:
    """What `canonical` makes of what `loads` reads.

    Raises:
        InvalidJson: as `loads`.
    """
    opened = text.count("[") + text.count("{")
    is_short = len(text) <= _SHORT_CHARS_MAX and opened < _OPENED_MAX and opened < depth_max
    # For a NUL, too, there is a rule that orjson does not keep.
    if is_short and "\\u0000" not in text:
        try:
            again = orjson.dumps(orjson.loads(text), option=_SORTED)
            # What comes out as it went in had no key twice, every number kept, and all in order.
            if again.decode() == text and not _has_float(again):
                return text
        except orjson.JSONDecodeError:
            pass  # what is wrong with it is told below
    return canonical(loads(text, depth_max=depth_max))


def digest(text: str) -> Digest:
    """SHA-256 of *text* in UTF-8, in hexadecimal."""
    return Digest(hashlib.sha256(text.encode()).hexdigest())


def child(path: str, key: str | int) -> str:
    """The JSON path of one entry, with the key shortened: it may be as long as the sender likes."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}"
    return f"{path}[{shown_key(key)}]"


def path_of(loc: Loc, *, source: str = "$") -> str:
    """The JSON path that leads where *loc* does."""
    path = source
    for part in loc:
        path = child(path, part)
    return path


def string_fault(text: str) -> str | None:
    """What no text may hold, if *text* holds it."""
    if "\0" in text:
        return "holds a NUL character"
    if _SURROGATE.search(text):
        return "holds half a character (a lone surrogate)"
    return None


def shown_key(key: str) -> str:
    """A key as it may stand in a message: shortened, quoted, nothing but printable ASCII."""
    short = key if len(key) <= KEY_SHOWN_CHARS_MAX else key[: KEY_SHOWN_CHARS_MAX - 1] + "…"
    return json.dumps(short)


class _FaultFound(Exception):
    """The quick reading met something that the slow one has to name."""


class _Fault:
    """Stands in a slowly read value where the fault is."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence


def _has_float(text: bytes) -> bool:
    """Whether it holds a number with a fraction or an exponent, which orjson writes in another way; perhaps
    only inside a string."""
    # To ask whether bytes are `in` others takes half as long again.
    return text.translate(_DIGITS_AND_POINTS).find(b"0.") >= 0


def _check_shape(text: str, source: str, depth_max: int, values_max: int) -> None:
    """Bound depth and count before the parser recurses or allocates.

    Every value but the outermost follows a comma or is the first of its container, so commas and
    opening brackets bound the count. Counting them with those inside strings is quick and mostly
    enough; only a text that looks too deep or too full has its strings cut out.
    """
    opened = text.count("[") + text.count("{")
    if opened <= depth_max and opened + text.count(",") < values_max:
        return
    structure = _STRING.sub("", text)
    values = structure.count(",") + 1
    depth = 0
    for bracket in _BRACKET.finditer(structure):
        if bracket[0] in "[{":
            depth += 1
            values += 1
            if depth > depth_max:
                raise InvalidJson(source, f"is nested deeper than {depth_max} levels")
        else:
            depth -= 1
        if values > values_max:
            break
    if values > values_max:
        raise InvalidJson(source, f"holds more than {values_max} values")


def _diagnose(text: str, source: str) -> JsonValue:
    """Read again, slowly, and name the first fault with its path; without one, return the value."""
    try:
        value: JsonValue = _MARKING.decode(text)
    except json.JSONDecodeError as error:
        raise _syntax_fault(source, error) from None
    for loc, sentence in _faults((), value):
        raise InvalidJson(path_of(loc, source=source), sentence, loc=loc)
    return value


def _faults(loc: Loc, value: object) -> Iterator[tuple[Loc, str]]:
    """Where a slowly read value is wrong, in the order of the text."""
    match value:
        case _Fault(sentence=sentence):
            yield loc, sentence
        case str():
            if (wrong := string_fault(value)) is not None:
                yield loc, wrong
        case list():
            for index, entry in enumerate(value):
                yield from _faults((*loc, index), entry)
        case dict():
            for key, entry in value.items():
                below = (*loc, key)
                if (wrong := string_fault(key)) is not None:
                    yield below, f"has a key that {wrong}"
                yield from _faults(below, entry)


def _syntax_fault(source: str, error: json.JSONDecodeError) -> InvalidJson:
    if not error.doc.strip():
        return InvalidJson(source, "is empty; expected JSON")
    wrong = _SYNTAX.get(error.msg, "the text can not be read")
    return InvalidJson(source, f"is not JSON: {wrong}", line=error.lineno, column=error.colno)


def _strict_object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _FaultFound
    return value


def _strict_int(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise _FaultFound
    return int(digits)


def _strict_float(digits: str) -> float:
    value = float(digits)
    if len(digits) > DIGITS_MAX or value in _INFINITE:
        raise _FaultFound
    return value


def _no_constant(_: str) -> NoReturn:
    raise _FaultFound


def _marked_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value: dict[str, object] = {}
    for key, entry in pairs:
        value[key] = _Fault("stands twice in the same object") if key in value else entry
    return value


def _marked_int(digits: str) -> int | _Fault:
    if len(digits.removeprefix("-")) > DIGITS_MAX:
        return _Fault(f"is a whole number of more than {DIGITS_MAX} digits")
    return int(digits)


def _marked_float(digits: str) -> float | _Fault:
    if len(digits) > DIGITS_MAX:
        return _Fault(f"is a number of more than {DIGITS_MAX} characters")
    if float(digits) in _INFINITE:
        return _Fault("is a number that is too large: the largest is about 1.8e308")
    return float(digits)


def _marked_constant(name: str) -> _Fault:
    return _Fault(f"is {name}, which is no number in JSON")


_INFINITE: Final = (float("inf"), float("-inf"))
_PLAIN_KEY: Final = re.compile(rf"[A-Za-z_][A-Za-z0-9_-]{{0,{KEY_SHOWN_CHARS_MAX - 1}}}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPE_TO_LOOK_AT: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
# The closing quote is optional so that no text makes the search start over: it stays linear.
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")
_SYNTAX: Final = {
    "Expecting value": "a value is expected",
    "Expecting property name enclosed in double quotes": "a key in double quotes is expected",
    "Illegal trailing comma before end of object": "a key is expected after the comma",
    "Illegal trailing comma before end of array": "a value is expected after the comma",
    "Expecting ':' delimiter": "':' is expected",
    "Expecting ',' delimiter": "',' or a closing bracket is expected",
    "Unterminated string starting at": "a string is not closed that starts",
    "Invalid control character at": "a string holds a control character that is not escaped",
    "Invalid \\escape": "a string holds an escape that JSON does not know",
    "Invalid \\uXXXX escape": "a string holds a \\u that four hexadecimal digits do not follow",
    "Extra data": "only one value is expected, and another follows",
}
# The standard library's decoder, with hooks: orjson lets duplicate keys pass and turns integers
# beyond 64 bits into doubles, so its speed would not help here.
_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_strict_object,
    parse_int=_strict_int,
    parse_float=_strict_float,
    parse_constant=_no_constant,
)
_MARKING: Final = json.JSONDecoder(
    object_pairs_hook=_marked_object,
    parse_int=_marked_int,
    parse_float=_marked_float,
    parse_constant=_marked_constant,
)
_PLAIN: Final = json.JSONDecoder()
# Reads the value that begins at an index of a text, and tells where it ends.
_next_value: Final = make_scanner(_PLAIN)  # type: ignore[arg-type]  # any decoder will do
_SORTED: Final = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
# Ten times as fast as a pattern that looks for a digit and a point or an E behind it.
_DIGITS_AND_POINTS: Final = bytes.maketrans(b"0123456789.eE", b"0000000000...")
_SHORT_CHARS_MAX: Final = 4_096
_OPENED_MAX: Final = 32
_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
