"""What an expression's text says without being evaluated: its tokens, what it names, whether it is a path.

The grammar is CEL's (cel-spec, doc/langdef.md); whether a text keeps to it, and what it yields, is not known
here. Where a reading is not certain, more is named than is used: what is not named is not there to be used.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum, auto
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from coordinator.domain.values import frozen

INPUT: Final = "input"
OUTPUTS: Final = "outputs"
READINGS_KEPT: Final = 512
"""Of the expressions that are in use; each takes up to 100 KiB."""

Taken: TypeAlias = "dict[str, Taken] | None"
"""What is read of a value: whether it has these fields, and of each what is said here. None: all of it."""


class TokenKind(StrEnum):
    """What a token is to CEL's grammar."""

    NAME = auto()
    QUOTED = auto()
    """A name in backticks: a field whose name is no identifier."""
    TEXT = auto()
    NUMBER = auto()
    SIGN = auto()


class Token(NamedTuple):
    """One word or sign of an expression; `start` is the place of its first character."""

    kind: TokenKind
    text: str
    start: int

    @property
    def name(self) -> str | None:
        """The name that it is, if it is one."""
        match self.kind:
            case TokenKind.NAME:
                return self.text
            case TokenKind.QUOTED:
                return self.text[1:-1]
            case _:
                return None

    @property
    def ends_value(self) -> bool:
        """Whether a value can end here, so that a '.' behind it selects, and a '[' takes an entry."""
        if self.kind is TokenKind.SIGN:
            return self.text in (")", "]", "}")
        return self.text != "in"


class Mention(NamedTuple):
    """A name that stands in an expression, and where."""

    name: str
    start: int


@frozen
class Path:
    """An expression that only says where a value stands. `step` is None where that is in the saga's input."""

    step: str | None
    keys: tuple[str | int, ...]


@frozen
class Reading:
    """What an expression names, and what it takes of that."""

    tokens: tuple[Token, ...]
    taken: Mapping[str, Taken]
    """Of `input`, and of `outputs.<step>` for each step."""
    steps: tuple[Mention, ...]
    """Each step whose output is named, where that is done first."""
    outputs_alone: int | None
    """Where `outputs` stands without a step, if it does: that is no value."""
    path: Path | None

    @property
    def fields(self) -> frozenset[str] | None:
        """The fields of the input that are named; None where the whole input is."""
        taken = self.taken[INPUT]
        return None if taken is None else frozenset(taken)


@lru_cache(maxsize=READINGS_KEPT)
def reading(source: str) -> Reading:
    """Read *source*, whether it is right or wrong."""
    tokens = tuple(_tokens(source))
    taken: dict[str, Taken] = {INPUT: {}}
    steps: dict[str, int] = {}
    outputs_alone = None
    for index in _variables(tokens):
        keys, end = _selected(tokens, index + 1)
        if tokens[index].text == INPUT:
            variable = INPUT
        elif keys and tokens[index + 1].text == ".":
            step, *keys = keys
            variable = f"{OUTPUTS}.{step}"
            steps.setdefault(step, tokens[index].start)
        else:
            if outputs_alone is None:
                outputs_alone = tokens[index].start
            continue
        is_whole = not keys or not _is_asked_for(tokens, index, end)
        _take(taken, [variable, *keys], None if is_whole else {})
    return Reading(
        tokens,
        taken,
        tuple(Mention(name, start) for name, start in steps.items()),
        outputs_alone,
        _path(tokens),
    )


def position(source: str, start: int) -> tuple[int, int]:
    """The line and the column of the character at *start*, both from 1."""
    before = source[:start]
    return before.count("\n") + 1, start - (before.rfind("\n") + 1) + 1


def text_of(literal: str) -> str | None:
    """The text that a literal stands for, if that can be read off without knowing escapes."""
    quoted = literal.lstrip("rRbB")
    prefix = literal[: len(literal) - len(quoted)].lower()
    quotes = 3 if quoted.startswith(("'''", '"""')) else 1
    inside = quoted[quotes:-quotes]
    # CEL reads the end of a line as "\n", however it is written.
    if "b" in prefix or "\r" in inside or ("\\" in inside and "r" not in prefix):
        return None
    return inside


def _tokens(source: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(source):
        if match.lastgroup != "blank":
            yield Token(TokenKind(str(match.lastgroup)), match[0], match.start())


def _variables(tokens: Sequence[Token]) -> Iterator[int]:
    """Where `input` or `outputs` is a variable, and not the name of something's field."""
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.NAME and token.text in (INPUT, OUTPUTS):
            selected = index > 1 and tokens[index - 1].text == "." and tokens[index - 2].ends_value
            if not selected:
                yield index


def _selector(tokens: Sequence[Token], index: int) -> tuple[str | int | None, int]:
    """The key that `.key` or `[key]` takes at *index*, and where it ends; None where none is certain."""
    match tokens[index : index + 3]:
        case [Token(text="."), Token() as selected, *others] if selected.name is not None:
            is_call = bool(others) and others[0].text == "("
            return (None, index) if is_call else (selected.name, index + 2)
        case [Token(text="["), Token(kind=TokenKind.TEXT, text=literal), Token(text="]")]:
            return text_of(literal), index + 3
        case [Token(text="["), Token(kind=TokenKind.NUMBER, text=number), Token(text="]")]:
            return (int(number), index + 3) if number.isdecimal() else (None, index)
        case _:
            return None, index


def _selected(tokens: Sequence[Token], index: int) -> tuple[list[str], int]:
    """The fields that are read at *index*, each of the one before it, as far as is certain, and their end."""
    fields = list[str]()
    while True:
        key, end = _selector(tokens, index)
        if not isinstance(key, str):
            return fields, index
        fields.append(key)
        index = end


def _is_asked_for(tokens: Sequence[Token], start: int, end: int) -> bool:
    """Whether what stands from *start* to *end* is only looked for, by has(…), whatever its size."""
    if start and tokens[start - 1].text == ".":
        start -= 1
    around = (*tokens[max(0, start - 2) : start], *tokens[end : end + 1])
    return [token.text for token in around] == ["has", "(", ")"]


def _take(taken: dict[str, Taken], keys: Sequence[str], what: Taken) -> None:
    """Add to *taken* that *what* is read at *keys*; all of a value stays all of it."""
    *above, last = keys
    for key in above:
        below = taken.setdefault(key, {})
        if below is None:
            return
        taken = below
    taken[last] = None if what is None else taken.get(last, what)


def _path(tokens: Sequence[Token]) -> Path | None:
    start = 1 if tokens and tokens[0].text == "." else 0
    if start not in _variables(tokens):
        return None
    index, keys = start + 1, list[str | int]()
    while index < len(tokens):
        key, index = _selector(tokens, index)
        if key is None:
            return None
        keys.append(key)
    if tokens[start].text == INPUT:
        return Path(None, tuple(keys))
    if not keys or not isinstance(keys[0], str) or tokens[start + 1].text != ".":
        return None
    return Path(keys[0], tuple(keys[1:]))


_TOKEN: Final = re.compile(
    r"""
      (?P<blank> [\ \t\r\n\f]+ | //[^\n]* )
    | (?P<text> [bB]? (?: [rR] (?: \"{3} .*? \"{3} | '{3} .*? '{3} | "[^"\r\n]*" | '[^'\r\n]*' )
                        | \"{3} (?: \\. | [^\\] )*? \"{3} | '{3} (?: \\. | [^\\] )*? '{3}
                        | "(?: \\. | [^"\\\r\n] )*" | '(?: \\. | [^'\\\r\n] )*' ) )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<quoted> `[A-Za-z0-9_./\- ]+` )
    | (?P<number> 0[xX][0-9a-fA-F]+[uU]?
                | (?: [0-9]+ (?: \.[0-9]+ )? | \.[0-9]+ ) (?: [eE][+-]?[0-9]+ )? [uU]? )
    | (?P<sign> [=!<>]= | && | \|\| | . )
    """,
    re.VERBOSE | re.DOTALL,
)
