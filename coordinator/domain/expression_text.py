"""What can be read off the text of an expression without understanding all of CEL: which fields and outputs
it names, and on which conditions it branches.

Words and signs are told apart as CEL's grammar does; what they yield is not for this file to know.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

INPUT: Final = "input"
OUTPUTS: Final = "outputs"


@dataclass(frozen=True, slots=True)
class Named:
    """Which entries of `input` or of `outputs` an expression names. `whole`: it takes them all
    without naming them."""

    entries: frozenset[str]
    whole: bool

    def __contains__(self, entry: str) -> bool:
        return self.whole or entry in self.entries


def named(expression: str, variable: str) -> Named:
    """What *expression* names of *variable*."""
    tokens = [_NOTHING, *_tokens(expression), _NOTHING, _NOTHING, _NOTHING]
    entries, whole = set(), False
    for index in range(1, len(tokens) - 3):
        before, token, *behind = tokens[index - 1 : index + 4]
        if token.text != variable or before.text == ".":
            continue
        match behind:
            case [_Token("."), _Token(name, is_name=True), *_]:
                entries.add(name.strip("`"))
            case [_Token("["), _Token(literal, is_text=True), _Token("]")]:
                entries.add(_text_of(literal))
            case _:
                # Whether a key is there, and how many there are, tells nothing of what stands under one.
                whole = whole or not _is_about_keys(before, tokens[max(0, index - 2)])
    return Named(frozenset(entries), whole)


def conditions(expression: str) -> Iterator[str]:
    """The condition of each `… ? … : …`."""
    starts = [0]
    for token in _tokens(expression):
        match token.text:
            case "(" | "[" | "{":
                starts.append(token.end)
            case ")" | "]" | "}":
                if len(starts) > 1:
                    starts.pop()
            case "?":
                yield expression[starts[-1] : token.end - 1].strip()
                starts[-1] = token.end
            case "," | ":":
                starts[-1] = token.end


class _Token(NamedTuple):
    text: str
    end: int = 0
    is_name: bool = False
    is_text: bool = False


def _tokens(expression: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(expression):
        if match.lastgroup != "blank":
            yield _Token(
                match[0], match.end(), is_name=match.lastgroup == "name", is_text=match.lastgroup == "text"
            )


def _is_about_keys(before: _Token, second_before: _Token) -> bool:
    return before.text == "in" or (before.text == "(" and second_before.text == "size")


def _text_of(literal: str) -> str:
    """What a text in quotes says. Where Python does not read it as CEL does, it is no name of a field."""
    try:
        value = ast.literal_eval(literal)
    except (SyntaxError, ValueError):
        return ""
    return value if isinstance(value, str) else ""


_NOTHING: Final = _Token("")
_TOKEN: Final = re.compile(
    r"""
    (?P<blank> \s+ | //[^\n]* )
    | (?P<text> [rRbB]{0,2} (?: '{3} (?:[^\\]|\\.)*? '{3} | "{3} (?:[^\\]|\\.)*? "{3}
                              | '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" ) )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* | `[^`\n]*` )
    | (?P<number> [0-9][0-9A-Za-z_.]* )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
