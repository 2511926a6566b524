"""What the library says went wrong, in our words.

Its texts of compilation are about the definition; those of evaluation may quote a saga's data. So each is
known by its beginning, and of what it quotes only types go into a sentence, and keys that the source holds.
"""

import re
from collections.abc import Iterator
from typing import Final

from coordinator.adapters.cel.language import FUNCTIONS
from coordinator.domain.language.expression_reading import (
    INPUT,
    OUTPUTS,
    TokenKind,
    position,
    reading,
    text_of,
)
from coordinator.domain.language.expressions import SYNTAX, TOO_LARGE, TYPE, Wrong
from coordinator.domain.language.sentences import found, listed

_NOT_READ: Final = "expected an expression in CEL"
_FAILED: Final = "it can not be evaluated over what it is given"
_DEEP: Final = "expected an expression whose parts stand in each other less deep (about 30 levels)"


def compile_faults(source: str, text: str) -> Iterator[Wrong]:
    """What *text*, the library's report on *source*, says; without what only follows from another fault."""
    if "recursion" in text:
        yield Wrong(1, 1, TOO_LARGE, _DEEP)
        return
    told: set[tuple[int, int]] = set()
    for line, column, message in _REPORTED.findall(text):
        place = int(line), int(column)
        if "*error*" in message or place in told or place[0] < 1:
            continue
        told.add(place)
        rule, sentence = _compile_sentence(source, message)
        yield Wrong(*place, rule, sentence)
        if message.startswith("Syntax error"):
            return  # behind it the grammar is lost
    if not told:
        yield Wrong(1, 1, SYNTAX, _NOT_READ)


def failure_sentence(source: str, text: str) -> str:
    """What *text*, the library's error of an evaluation, says."""
    message = _CODE.sub("", text)
    if (missing := _MISSING.match(message)) is not None:
        return "a field that it reads is missing" + _shown_key(source, missing[1])
    if (mismatch := _MISMATCH.match(message)) is not None:
        return _mismatch_sentence(mismatch[1])
    return next((sentence for start, sentence in _FAILURES if message.startswith(start)), _FAILED)


def no_list(source: str, macro: int) -> Wrong:
    """For a `map` or `filter` (the place of its token) that goes through what is known to be no list."""
    token = reading(source).tokens[macro]
    sentence = f"expected a list for {token.text} to go through, found something else; {_NO_ORDER}"
    return Wrong(*position(source, token.start), TYPE, sentence)


def in_words(type_name: str) -> str:
    """A type as CEL writes it in expressions."""
    lower = type_name.lower().replace("<", "(").replace(">", ")")
    return re.sub(r"t%\d+|\*error\*", "dyn", lower)


def _compile_sentence(source: str, message: str) -> tuple[str, str]:
    if (match := _UNDECLARED.match(message)) is not None:
        return SYNTAX, _undeclared_sentence(source, match[1])
    if (match := _NO_OVERLOAD.match(message)) is not None:
        return TYPE, _types_sentence(match[1], in_words(match[2].strip("()")).split(", "), match[2])
    if (match := _NO_FIELDS.match(message)) is not None:
        return TYPE, f"expected an object whose field is read, found {in_words(match[1])}"
    if (match := _NO_RANGE.match(message)) is not None:
        return TYPE, f"expected a list or an object to go through, found {in_words(match[1])}"
    if (match := _OTHER_TYPE.match(message)) is not None:
        return TYPE, f"expected {in_words(match[1])}, found {in_words(match[2])}"
    if (match := _UNEXPECTED.search(message)) is not None:
        what = "the end" if match[1] == "<EOF>" else found(match[1])
        return SYNTAX, f"{_NOT_READ}; {what} is not expected here"
    if (match := _UNSUPPORTED.match(message)) is not None:
        return SYNTAX, f"{found(match[1])} is not known here"
    return SYNTAX, next((text for start, text in _COMPILE_FAULTS if start in message), _NOT_READ)


def _undeclared_sentence(source: str, name: str) -> str:
    if name in FUNCTIONS:
        return f"expected other arguments of {name}, or another number of them"
    if name == source.strip():
        return f"expected an expression, found {found(name)}; a constant text is written in quotes: '{name}'"
    expected = f"expected `{INPUT}`, `{OUTPUTS}.<step>` or a name that a comprehension gives"
    return f"{expected}, found {found(name)}"


def _mismatch_sentence(what: str) -> str:
    if what == "<iter_range>":
        return "expected a list or an object to go through, found neither"
    if what in ("<jump_condition>", "_&&_", "_||_", "!_", "@not_strictly_false"):
        return "a condition in it is neither true nor false"
    called = _CALLED.fullmatch(what)
    if called is None:
        return f"{_sign(what)} does not take what it is given" if what in _SIGNS else _FAILED
    receiver, name, arguments = called.groups(default="")
    types = [_TYPES.get(part, "") for part in [receiver, *arguments.split(", ")] if part]
    if "" in types or not (name in _SIGNS or name.isidentifier()):
        return _FAILED
    if name == "_+_" and types[-1] == "list" != types[0]:
        return f"map and filter go through a list, and '+' joins two: found {types[0]}; {_NO_ORDER}"
    return _types_sentence(name, types, "")


def _types_sentence(name: str, types: list[str], whole: str) -> str:
    written = in_words(whole) if whole else f"({', '.join(types)})"
    sentence = f"{_sign(name)} does not take {written}"
    if {"int", "double"} <= set(types):
        return f"{sentence}: convert one by int(…) or double(…), or write 2.0 for 2"
    return sentence


def _sign(name: str) -> str:
    return f"'{_SIGNS[name]}'" if name in _SIGNS else name


def _shown_key(source: str, quoted: str) -> str:
    """The key that is missing, if it stands in the source: one that was computed may be secret."""
    key = quoted[1:-1]
    for token in reading(source).tokens:
        if key and key == (text_of(token.text) if token.kind is TokenKind.TEXT else token.name):
            return f": {listed([key])}"
    return ""


_NO_ORDER: Final = "the keys of an object have no order"
_SIGNS: Final = {
    "_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%", "-_": "-",
    "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "_==_": "==", "_!=_": "!=",
    "!_": "!", "_&&_": "&&", "_||_": "||", "@in": "in", "_[_]": "[…]", "_?_:_": "… ? … : …",
}  # fmt: skip
_TYPES: Final = {
    "int64": "int", "uint64": "uint", "double": "double", "string": "string", "bytes": "bytes",
    "bool": "bool", "null_type": "null", "list": "list", "map": "map", "type": "type",
    "google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration",
}  # fmt: skip
_FAILURES: Final = (
    ("Index error: index=", "an index in it is outside of its list"),
    ("Index error: expected integer type", "a list in it is indexed by something else than a whole number"),
    ("divide by zero", "it divides by zero"),
    ("modulus by zero", "it divides by zero"),
    ("integer overflow", _RANGE := "a number in it leaves the range of 64 bits"),
    ("unsigned integer overflow", _RANGE),
    ("integer underflow", _RANGE),
    ("unsigned integer underflow", _RANGE),
    ("double out of", _RANGE),
    ("int64 out of", _RANGE),
    ("uint64 out of", _RANGE),
    ("Applying SELECT to non-message type", "a field is read of something that is no object"),
    ("Invalid container type", "an entry is taken of something that is neither a list nor an object"),
    ("cannot convert string to int", "a text in it is no whole number"),
    ("cannot convert string to uint", "a text in it is no whole number"),
    ("cannot convert string to double", "a text in it is no number"),
    ("Type conversion error", "a value in it can not be converted"),
    ("String to Timestamp conversion failed", "a text in it is no moment, such as 2030-01-31T12:00:00Z"),
    ("String to Duration conversion failed", "a text in it is no length of time, such as 90s"),
    ("malformed UTF-8", "bytes in it are no text"),
    ("timestamp overflow", _TIME := "a moment or a length of time in it is out of range"),
    ("duration overflow", _TIME),
    ("Duration ", _TIME),
    ("Timestamp ", _TIME),
    ("Invalid map key type", _KEY := "a key of an object in it is no text"),
    ("Unsupported map key type", _KEY),
    ("duplicate key in map", "a key stands twice in an object that it makes"),
    ("Iteration budget exceeded", "it goes through more than 10000 entries in all"),
)
_COMPILE_FAULTS: Final = (
    ("invalid int literal", "expected a whole number of 64 bits"),
    ("invalid uint literal", "expected a whole number of 64 bits"),
    ("invalid double literal", "expected a number"),
    ("Invalid string literal", "expected an escape that CEL knows in this text"),
    ("Illegal escape", "expected an escape that CEL knows in this text"),
    ("variable name", "expected a name in front of the comma: x in list.map(x, …)"),
    ("has() argument", "expected a field in has(…), as in has(input.note)"),
    ("reserved identifier", "expected another name: this word is reserved"),
)
_CODE: Final = re.compile(r"[A-Z_]+: ")
_MISSING: Final = re.compile(r'Key not found in map : ("[^"]*"|.)', re.DOTALL)
_MISMATCH: Final = re.compile(r"No matching overloads found : (.*)", re.DOTALL)
_CALLED: Final = re.compile(r"(?:\(([\w.]+)\)\.)?([^\s()]+)\(((?:[\w.]+(?:, )?)*)\)")
_REPORTED: Final = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_NO_OVERLOAD: Final = re.compile(r"found no matching overload for '(\S+)' applied to '(.*)'")
_NO_FIELDS: Final = re.compile(r"expression of type '(.*)' cannot be the operand of a select")
_NO_RANGE: Final = re.compile(r"expression of type '(.*)' cannot be the range of a comprehension")
_OTHER_TYPE: Final = re.compile(r"expected type '(.*)' but found '(.*)'")
_UNEXPECTED: Final = re.compile(
    r"(?:mismatched input|extraneous input|no viable alternative at input|at:?) '(.*?)'(?: |$)"
)
_UNSUPPORTED: Final = re.compile(r"unsupported syntax '(.*)'")
