"""YAML from outside, as far as it says what JSON can: the same values, under the same limits (jsontext.py).

YAML's own riches are refused, each with a sentence: aliases, of which a few lines make a bomb, tags, merge
keys, several documents. What its versions read differently is what it looks like: `no`, `1:30` and
`2026-01-01` are texts, and a number is one only where it is written as in JSON.
"""

import re
from dataclasses import dataclass, field
from typing import Final, NoReturn

import yaml

from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson, InvalidYaml, Loc
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.documents import Document, Places, Spot, position


def read_yaml(text: str | bytes) -> Document:
    """Read one YAML document.

    Raises:
        InvalidText: with the path of the first fault, and where it stands.
    """
    decoded = jsontext.decode(text)
    if (unprintable := _UNPRINTABLE.search(decoded)) is not None:
        raise _fault(decoded, unprintable.start(), "holds a control character that is not escaped")
    reader = _Reader(decoded)
    try:
        # Events, not nodes: an alias is refused before anything comes of it, and so is too deep a nesting.
        for event in yaml.parse(decoded, Loader=yaml.CSafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        raise _syntax_fault(decoded, error) from None
    return reader.document()


@dataclass(slots=True)
class _List:
    """A list that is being read."""

    loc: Loc
    spot: Spot
    value: list[JsonValue]

    def next(self) -> Loc:
        return (*self.loc, len(self.value))

    def put(self, value: JsonValue, at: int) -> Spot:
        spot = self.spot.below[len(self.value)] = Spot(at)
        self.value.append(value)
        return spot


@dataclass(slots=True)
class _Object:
    """An object that is being read. *pending* is the key whose value comes next, unless a key does."""

    loc: Loc
    spot: Spot
    value: dict[str, JsonValue]
    pending: list[str] = field(default_factory=list)

    def next(self) -> Loc:
        return (*self.loc, *self.pending)

    def put(self, value: JsonValue, at: int) -> Spot:
        key = self.pending.pop()
        self.value[key] = value
        return self.spot.below[key]


class _Reader:
    """Makes a value, and the spots of its parts, out of the parser's events."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._all = _List((), Spot(0), [])
        self._open: list[_List | _Object] = [self._all]
        self._values = 0

    def take(self, event: yaml.Event) -> None:
        at = event.start_mark.index if event.start_mark else 0
        holder = self._open[-1]
        match event:
            case yaml.DocumentStartEvent():
                self._start(event, at)
            case yaml.AliasEvent():
                self._refuse(at, "is an alias (*), and none is taken: write out what it stands for")
            case yaml.NodeEvent(anchor=str()):
                self._refuse(at, "has an anchor (&), and none is taken: there are no aliases either")
            case yaml.ScalarEvent(tag=str()) | yaml.CollectionStartEvent(tag=str()):
                self._refuse(at, "has a tag (!), and none is taken: only quotes make a text of a number")
            case yaml.ScalarEvent() if isinstance(holder, _Object) and not holder.pending:
                self._take_key(holder, event, at)
            case yaml.ScalarEvent():
                self._put(self._scalar(event, at), at)
            case yaml.CollectionStartEvent() if isinstance(holder, _Object) and not holder.pending:
                self._refuse(at, _KEY_IS_NO_TEXT)
            case yaml.MappingStartEvent():
                entries: dict[str, JsonValue] = {}
                self._open.append(_Object(holder.next(), self._put(entries, at), entries))
            case yaml.SequenceStartEvent():
                listed: list[JsonValue] = []
                self._open.append(_List(holder.next(), self._put(listed, at), listed))
            case yaml.CollectionEndEvent():
                self._open.pop()

    def document(self) -> Document:
        if not self._all.value:
            raise InvalidYaml("$", "is empty; expected YAML")
        return Document(self._all.value[0], Places(self._text, lambda _: self._all.spot.below[0]))

    def _start(self, event: yaml.DocumentStartEvent, at: int) -> None:
        if self._all.value:
            raise _fault(self._text, at, "holds several documents; expected one")
        if event.version is not None or event.tags is not None:
            raise _fault(self._text, at, "has a directive (%), and none is taken")

    def _take_key(self, holder: _Object, event: yaml.ScalarEvent, at: int) -> None:
        key, is_plain = event.value, event.implicit[0]
        if is_plain and key == "<<":
            self._refuse(at, "has a merge key (<<), and none is taken: write out what it stands for")
        if is_plain and _NO_TEXT.fullmatch(key):
            self._refuse(at, _KEY_IS_NO_TEXT)
        is_second = key in holder.value
        holder.pending.append(key)
        holder.spot.below[key] = Spot(at)
        if is_second:
            self._refuse(at, "stands twice in the same object")
        if (wrong := jsontext.string_fault(key)) is not None:
            self._refuse(at, f"has a key that {wrong}")

    def _scalar(self, event: yaml.ScalarEvent, at: int) -> JsonValue:
        text, is_plain = event.value, event.implicit[0]
        if not is_plain or not _NO_TEXT.fullmatch(text):
            if (wrong := jsontext.string_fault(text)) is not None:
                self._refuse(at, wrong)
            return text
        if not text:
            self._refuse(at, "has no value; where none is meant, write null")
        if text in _WORDS:
            return _WORDS[text]
        if not _JSON_NUMBER.fullmatch(text):
            self._refuse(at, "is a number, but not as JSON writes one, like 1.5; a text is written in quotes")
        try:
            return jsontext.loads(text)
        except InvalidJson as error:
            self._refuse(at, error.sentence)

    def _put(self, value: JsonValue, at: int) -> Spot:
        self._values += 1
        if self._values > jsontext.VALUES_MAX:
            raise InvalidYaml("$", f"holds more than {jsontext.VALUES_MAX} values")
        if isinstance(value, list | dict) and len(self._open) > jsontext.DEPTH_MAX:
            raise InvalidYaml("$", _TOO_DEEP)
        return self._open[-1].put(value, at)

    def _refuse(self, at: int, sentence: str) -> NoReturn:
        """Name the entry that is being read, at its key if it has one."""
        holder = self._open[-1]
        if isinstance(holder, _Object) and holder.pending:
            at = holder.spot.below[holder.pending[0]].offset
        raise _fault(self._text, at, sentence, holder.next()[1:])


def _fault(text: str, at: int, sentence: str, loc: Loc = ()) -> InvalidYaml:
    line, column = position(text, at)
    return InvalidYaml(jsontext.path_of(loc), sentence, line=line, column=column)


def _syntax_fault(text: str, error: yaml.MarkedYAMLError) -> InvalidYaml:
    if error.problem == "exceeded maximum nesting depth":
        return InvalidYaml("$", _TOO_DEEP)
    wrong = _SYNTAX.get(error.problem or "", "the text can not be read")
    # Of what is not closed, the end of the text says nothing; its beginning does.
    mark = error.context_mark if wrong == _NOT_CLOSED else error.problem_mark
    return _fault(text, mark.index if mark else 0, f"is not YAML: {wrong}")


_TOO_DEEP: Final = f"is nested deeper than {jsontext.DEPTH_MAX} levels"
_KEY_IS_NO_TEXT: Final = "has a key that is no text; write it in quotes"
_NOT_CLOSED: Final = "a text in quotes is not closed that starts"
# What libyaml refuses, and the ends of lines that one version of YAML knows and the next does not.
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("null", "Null", "NULL", "~"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# The core schema of YAML 1.2: what is written so, without quotes, is no text.
_NO_TEXT: Final = re.compile(
    r"|~|null|Null|NULL|true|True|TRUE|false|False|FALSE"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SYNTAX: Final = {
    "mapping values are not allowed in this context": (
        "a ':' stands where no key can be; a text with ': ' in it is written in quotes"
    ),
    "found character that cannot start any token": (
        "no value begins with this character; a text that does is written in quotes, and no tab indents"
    ),
    "did not find expected ',' or ']'": "',' or ']' is expected",
    "did not find expected ',' or '}'": "',' or '}' is expected",
    "did not find expected '-' indicator": "another '-' of the list, under the one before, is expected",
    "did not find expected key": "another key of the object, under the one before, is expected",
    "could not find expected ':'": "':' is expected after a key",
    "did not find expected node content": "a value is expected",
    "did not find expected <document start>": "only one value is expected, and another follows",
    "block sequence entries are not allowed in this context": "a '-' stands where no list can begin",
    "found unexpected end of stream": _NOT_CLOSED,
    "found unknown escape character": "a text holds an escape that YAML does not know",
    "found invalid Unicode character escape code": "a text holds an escape that is no character",
    "found a tab character where an indentation space is expected": "a tab indents, and only spaces can",
    "found a tab character that violates indentation": "a tab indents, and only spaces can",
}
