"""Which part of CEL is taken: the functions that are pure, in forms whose cost can be told.

An allow-list, so that a newer library brings no clock and no chance into sagas that are under way.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from coordinator.domain.language.expression_reading import INPUT, OUTPUTS, Token, TokenKind, position, reading
from coordinator.domain.language.expressions import SYNTAX, TOO_LARGE, Wrong
from coordinator.domain.language.sentences import found, listed

MACROS_MAX: Final = 2
PATTERN_CHARS_MAX: Final = 100

_MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
_ORDERED: Final = frozenset({"filter", "map"})
"""Those that yield a list, in the order in which they go through."""
_OF_TIME: Final = frozenset(
    {
        "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear",
        "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds",
    }
)  # fmt: skip
FUNCTIONS: Final = (
    _MACROS
    | _OF_TIME
    | {
        "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "has", "int",
        "matches", "size", "startsWith", "string", "timestamp", "type", "uint",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Traits:
    """What of an expression says how much it can make of what it is given."""

    chars: int
    entries: int
    """As many as a list that is written in it can have."""
    macros: int
    nested: bool
    """Whether one of them is inside of another."""
    joins: tuple[int, int, int]
    """How often `+` stands outside of all macros, in one, and in one inside of another."""
    list_joins: tuple[int, int, int]
    """Of those, how many may join lists."""
    comparisons: int
    """How often `==`, `!=` or `in` stands where it may go through whole lists."""
    operations: int
    """How often any of these, or a function: they may read whole texts."""
    searches: int
    """How often `contains` does."""
    pattern_size: int
    """About as many instructions as its regular expressions have."""


def traits(source: str) -> Traits:
    """Count what stands in *source*, which keeps to the language."""
    tokens = reading(source).tokens
    texts = Counter(token.text for token in tokens if token.kind in (TokenKind.NAME, TokenKind.SIGN))
    depths = list(_macro_depths(tokens))
    joins, list_joins, comparisons = Counter[int](), Counter[int](), texts["in"]
    for index, (token, depth) in enumerate(zip(tokens, depths, strict=True)):
        # Beside a text or a number that is written there, what is joined or compared is no list.
        may_be_of_lists = not any(near.kind in _LITERALS for near in _around(tokens, index))
        joins[depth] += token.text == "+"
        list_joins[depth] += token.text == "+" and may_be_of_lists
        comparisons += token.text in ("==", "!=") and may_be_of_lists
    return Traits(
        chars=len(source),
        entries=texts[","] + 1,
        macros=sum(texts[macro] for macro in _MACROS),
        nested=max(depths) > 1,
        joins=(joins[0], joins[1], joins[2]),
        list_joins=(list_joins[0], list_joins[1], list_joins[2]),
        comparisons=comparisons,
        operations=sum(texts[sign] for sign in ("==", "!=", "in", "+", "<", ">", "<=", ">=", "(")),
        searches=texts["contains"],
        pattern_size=sum(_pattern_size(token) for token, _ in _patterns(tokens)),
    )


def language_faults(source: str) -> Iterator[Wrong]:
    """Where *source* uses what is not taken here."""
    tokens = reading(source).tokens
    macros = 0
    for index, token in enumerate(tokens[:-1]):
        name, opened = token.name, tokens[index + 1].text
        if name is None or name == "in":
            continue
        if opened == "{":
            sentence = "messages are not known here; an object is written {'key': value}"
            yield _wrong(source, token, SYNTAX, sentence)
        if opened != "(":
            continue
        if token.kind is TokenKind.QUOTED or name not in FUNCTIONS:
            known = listed(sorted(FUNCTIONS), shown_max=len(FUNCTIONS))
            sentence = f"expected one of the functions {known}, found {found(name)}"
            yield _wrong(source, token, SYNTAX, sentence)
            continue
        if (wrong := _form_fault(tokens, index)) is not None:
            yield _wrong(source, token, SYNTAX, wrong)
        macros += name in _MACROS
        if name in _MACROS and macros == MACROS_MAX + 1:
            sentence = (
                f"expected at most {MACROS_MAX} of {listed(sorted(_MACROS))} in one expression, found more"
            )
            yield _wrong(source, token, TOO_LARGE, sentence)


def patterns(source: str) -> Iterator[tuple[int, str]]:
    """The literal of each regular expression of *source*, and where it stands."""
    return ((token.start, literal) for token, literal in _patterns(reading(source).tokens))


def ordered_macros(source: str) -> list[int]:
    """The places among the tokens where a list is made by going through something."""
    tokens = reading(source).tokens
    return [
        index
        for index, token in enumerate(tokens)
        if token.text in _ORDERED and [near.text for near in _around(tokens, index)] == [".", "("]
    ]


def over_lists(source: str, macros: Sequence[int]) -> str:
    """*source*, in which *macros* (`ordered_macros`) go through lists only: `x.map(` becomes `(x + []).map(`.

    The library goes through the keys of an object in an order that is another one in each process: the same
    saga would make other requests after a restart. `+ []` yields the list itself, and fails for an object.
    """
    tokens = reading(source).tokens
    inserted: list[tuple[int, str]] = []
    for index in macros:
        last = tokens[index - 2]
        inserted.append((tokens[_start_of_value(tokens, index - 2)].start, "("))
        inserted.append((last.start + len(last.text), " + [])"))
    for start, text in sorted(inserted, reverse=True):
        source = source[:start] + text + source[start:]
    return source


def _form_fault(tokens: Sequence[Token], index: int) -> str | None:
    """What is wrong with the way in which the function at *index* is called."""
    name, behind = tokens[index].text, tokens[index + 2 : index + 4]
    if name in _MACROS and [token.text for token in behind] in ([INPUT, ","], [OUTPUTS, ","]):
        return f"expected another name for what {name} goes through, found {behind[0].text}"
    if name in _OF_TIME and [token.text for token in behind[:1]] != [")"]:
        # A time zone would be looked up in files of this machine, whose path the name is.
        return f"{name} tells of UTC here, and takes no time zone: write {name}()"
    if name == "matches":
        match tokens[index - 1 : index + 4] if index else ():
            case [Token(text="."), _, _, Token(kind=TokenKind.TEXT) as pattern, Token(text=")")]:
                if len(pattern.text) > PATTERN_CHARS_MAX:
                    return f"expected a pattern of at most {PATTERN_CHARS_MAX} characters"
            case _:
                # Who writes a request does not write the pattern that is tried on it.
                return 'matches is written text.matches("pattern"), with the pattern as a constant'
    return None


def _patterns(tokens: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    for index, token in enumerate(tokens[:-2]):
        if token.text == "matches" and tokens[index + 1].text == "(":
            yield tokens[index + 2], tokens[index + 2].text


def _pattern_size(pattern: Token) -> int:
    """About how many instructions it is to RE2, which copies what is repeated a counted number of times."""
    if pattern.kind is not TokenKind.TEXT:
        return _UNKNOWN_SIZE
    literal = pattern.text
    counts = [max(1, int(most or least)) for least, most in _COUNTED.findall(literal)]
    # Only in a group can something be repeated whose parts are repeated, too.
    return len(literal) * (prod(counts) if "){" in literal else max(counts, default=1))


def _macro_depths(tokens: Sequence[Token]) -> Iterator[int]:
    """For each token, in how many macros it is."""
    opened: list[bool] = []
    for index, token in enumerate(tokens):
        yield sum(opened)
        if token.kind is TokenKind.SIGN and token.text in "([{":
            opened.append(index > 0 and tokens[index - 1].text in _MACROS)
        elif token.kind is TokenKind.SIGN and token.text in ")]}" and opened:
            opened.pop()


def _start_of_value(tokens: Sequence[Token], index: int) -> int:
    """Where the value begins that ends with the token at *index*, as `a.b[0]` begins at `a`."""
    while True:
        if tokens[index].text in _OPENED_BY and tokens[index].kind is TokenKind.SIGN:
            index = _opening(tokens, index)
            # What stands in front of it is called, or an entry of it is taken.
            if index and tokens[index].text != "{" and tokens[index - 1].ends_value:
                index -= 1
                continue
        if index and tokens[index - 1].text == ".":
            if index == 1 or not tokens[index - 2].ends_value:
                return index - 1
            index -= 2
            continue
        return index


def _opening(tokens: Sequence[Token], index: int) -> int:
    depth = 0
    while True:
        if tokens[index].kind is TokenKind.SIGN:
            depth += (tokens[index].text in ")]}") - (tokens[index].text in "([{")
        if depth == 0:
            return index
        index -= 1


def _around(tokens: Sequence[Token], index: int) -> Sequence[Token]:
    return (*tokens[max(0, index - 1) : index], *tokens[index + 1 : index + 2])


def _wrong(source: str, token: Token, rule: str, sentence: str) -> Wrong:
    return Wrong(*position(source, token.start), rule, sentence)


_LITERALS: Final = (TokenKind.TEXT, TokenKind.NUMBER)
_OPENED_BY: Final = {")": "(", "]": "[", "}": "{"}
_UNKNOWN_SIZE: Final = 1_000_000_000
_COUNTED: Final = re.compile(r"\{(\d{1,4})(?:,(\d{0,4}))?\}")
