"""Mappings and conditions: what a definition's expressions yield, and in which form they may stand.

A mapping is JSON whose texts are expressions; what they yield stands in their places. Who evaluates one is
passed in, so that nothing here knows the language beyond what `expression_reading` reads.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum, auto
from typing import Final, Protocol

from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson, Loc, NotEvaluated
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expression_reading import INPUT, OUTPUTS, Path, Taken, reading
from coordinator.domain.language.sentences import Fault, found
from coordinator.domain.values import frozen

EXPRESSION_CHARS_MAX: Final = 500
MAPPING_EXPRESSIONS_MAX: Final = 200
MAPPING_DEPTH_MAX: Final = 16
YIELD_BYTES_MAX: Final = 3 << 19
"""As much as a saga may hold of data in all (saga.py)."""
EFFORT_MAX: Final = 20_000_000
"""Of one mapping, or one condition, in steps of about 10 ns: everything else waits while it is evaluated."""

SYNTAX: Final = "expression-syntax"
TYPE: Final = "expression-type"
TOO_LARGE: Final = "expression-too-large"


class Wanted(StrEnum):
    """What an expression is for."""

    JSON = auto()
    """A value that a request or a result can hold."""
    CONDITION = auto()
    """True or false, as a `when` needs it."""


@frozen
class Wrong:
    """What is wrong with an expression: where in its text, counted from 1, by which rule, and a sentence."""

    line: int
    column: int
    rule: str
    sentence: str


class Effort:
    """What is left of the work that the expressions of one mapping may take together. It is counted and not
    timed, so that what is refused once is refused in every process."""

    def __init__(self) -> None:
        self._left: float = EFFORT_MAX

    def take(self, steps: float) -> bool:
        """Whether so much was left, and is taken."""
        if steps > self._left:
            return False
        self._left -= steps
        return True


Check = Callable[[str, Wanted], Sequence[Wrong]]
"""Says what is wrong with an expression before it is ever evaluated."""
Evaluate = Callable[[str, Mapping[str, JsonValue], Effort], JsonValue]
"""Evaluates an expression over the variables `input` and `outputs.<step>`; raises NotEvaluated."""


class Outputs(Protocol):
    """What each step answered that may be named and did."""

    def __getitem__(self, step: str, /) -> JsonValue:
        """The output of *step*; KeyError where none is known."""
        ...


@frozen
class Scope:
    """What expressions see: the saga's input, and the outputs of steps."""

    input: Mapping[str, JsonValue]
    outputs: Outputs


def expressions_in(mapping: JsonValue, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Every expression of *mapping* and where it stands, keys in the order of the canonical text."""
    match mapping:
        case str():
            yield loc, mapping
        case list():
            for index, entry in enumerate(mapping):
                yield from expressions_in(entry, (*loc, index))
        case dict():
            for key in sorted(mapping):
                yield from expressions_in(mapping[key], (*loc, key))


def mapping_faults(mapping: JsonValue, loc: Loc = ()) -> Iterator[Fault]:
    """Where *mapping* is larger than one may be, or holds a text that can be no expression."""
    for count, (here, source) in enumerate(expressions_in(mapping, loc), 1):
        if count > MAPPING_EXPRESSIONS_MAX:
            sentence = f"expected at most {MAPPING_EXPRESSIONS_MAX} expressions in one mapping, found more"
            yield Fault(loc, sentence, TOO_LARGE)
            break
        if (fault := text_fault(source, here)) is not None:
            yield fault
    if _is_deeper(mapping, MAPPING_DEPTH_MAX):
        sentence = f"expected a mapping of at most {MAPPING_DEPTH_MAX} levels, found a deeper one"
        yield Fault(loc, sentence, TOO_LARGE)


def text_fault(source: str, loc: Loc) -> Fault | None:
    """What is wrong with *source* whatever the language: it is empty, or too long to be looked at."""
    if not source.strip():
        return Fault(loc, f"expected an expression, found {found(source)}; an empty text is \"''\"", SYNTAX)
    if len(source) > EXPRESSION_CHARS_MAX:
        expected = f"expected an expression of at most {EXPRESSION_CHARS_MAX} characters"
        return Fault(loc, f"{expected}, found one of {len(source)}", TOO_LARGE)
    return None


def shape(mapping: JsonValue, scope: Scope, evaluate: Evaluate, *, place: str) -> str:
    """The canonical JSON text of what *mapping* yields; it passes `jsontext.loads`.

    *place* is the field that holds the mapping, in front of every place in an error.

    Raises:
        NotEvaluated: with the place of the expression that yielded nothing, or too much.
    """
    text = jsontext.canonical(_Shaping(scope, evaluate, place).value(mapping, place))
    try:
        # Each value is within its bounds, but here they stand in each other.
        jsontext.loads(text, source=place, bytes_max=YIELD_BYTES_MAX)
    except InvalidJson as error:
        wrong = error.violation
        raise NotEvaluated(f"what the mapping yields {wrong.sentence}", place=wrong.path) from None
    return text


def holds(condition: str, scope: Scope, evaluate: Evaluate, *, place: str) -> bool:
    """Whether *condition* yields true.

    Raises:
        NotEvaluated: it yields nothing, or neither true nor false.
    """
    value = _value_of(condition, scope, evaluate, Effort(), place)
    if not isinstance(value, bool):
        raise NotEvaluated(f"expected true or false, found {_sort(value)}", place=place)
    return value


class _Shaping:
    """One mapping being shaped. An input of a megabyte may be named by each expression of it, so what they
    yield is counted before it is written."""

    def __init__(self, scope: Scope, evaluate: Evaluate, place: str) -> None:
        self._scope = Scope(scope.input, _ReadOnce(scope.outputs))
        self._evaluate = evaluate
        self._effort = Effort()
        self._place = place
        self._bytes_left = YIELD_BYTES_MAX

    def value(self, mapping: JsonValue, place: str) -> JsonValue:
        match mapping:
            case str():
                value = _value_of(mapping, self._scope, self._evaluate, self._effort, place)
                self._bytes_left -= len(jsontext.canonical(value).encode())
                if self._bytes_left < 0:
                    sentence = f"what the mapping yields is larger than {YIELD_BYTES_MAX} bytes"
                    raise NotEvaluated(sentence, place=self._place)
                return value
            case list():
                return [self.value(entry, jsontext.child(place, i)) for i, entry in enumerate(mapping)]
            case dict():
                # In the order of the pinned text: which of two failures is told does not hang on the file's.
                return {key: self.value(mapping[key], jsontext.child(place, key)) for key in sorted(mapping)}
            case _:
                return mapping


class _ReadOnce(dict[str, JsonValue]):
    """Outputs, each taken when it is first named: whoever keeps them may have to parse a megabyte for one."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self._outputs = outputs

    def __missing__(self, step: str) -> JsonValue:
        self[step] = value = self._outputs[step]
        return value


def _value_of(source: str, scope: Scope, evaluate: Evaluate, effort: Effort, place: str) -> JsonValue:
    read = reading(source)
    outputs: dict[str, JsonValue] = {}
    for step, _ in read.steps:
        try:
            outputs[step] = scope.outputs[step]
        except KeyError:
            raise NotEvaluated(f"no output of step {step} is known", place=place) from None
    # A path is walked here and not given to the evaluator: CEL knows integers of 64 bits only, and what it is
    # given it copies, so amounts keep all their digits and large values are passed on at no cost.
    if read.path is not None:
        return _walk(read.path, scope.input, outputs, place)
    named = {INPUT: _whole(scope.input), **{f"{OUTPUTS}.{step}": output for step, output in outputs.items()}}
    variables = {name: _part(value, read.taken[name]) for name, value in named.items()}
    try:
        return evaluate(source, variables, effort)
    except NotEvaluated as error:
        raise NotEvaluated(error.sentence, place=place) from None


def _part(value: JsonValue, taken: Taken) -> JsonValue:
    """*value* as far as it is *taken*: what is not read may be of any size, and hold any number. Where fields
    are taken of what is no object, what stands here for it fails in the same way."""
    if taken is None:
        return value
    match value:
        case dict():
            return {key: _part(value[key], below) for key, below in taken.items() if key in value}
        case list():
            return []
        case _:
            return None


def _walk(
    path: Path, fields: Mapping[str, JsonValue], outputs: Mapping[str, JsonValue], place: str
) -> JsonValue:
    value = _whole(fields) if path.step is None else outputs[path.step]
    walked = INPUT if path.step is None else f"{OUTPUTS}.{path.step}"
    for key in path.keys:
        match value, key:
            case dict(), str():
                if key not in value:
                    raise NotEvaluated(f"{walked} has no field {jsontext.shown_key(key)}", place=place)
                value = value[key]
            case list(), int():
                if key >= len(value):
                    raise NotEvaluated(f"{walked} has no entry {key}; its first is 0", place=place)
                value = value[key]
            case _:
                wanted = "an object" if isinstance(key, str) else "a list"
                raise NotEvaluated(f"expected {walked} to be {wanted}, found {_sort(value)}", place=place)
        walked = jsontext.child(walked, key)
    return value


def _whole(fields: Mapping[str, JsonValue]) -> JsonValue:
    """A saga's input as a value. It may hold a megabyte and nothing here changes it, so it is not copied."""
    return fields if isinstance(fields, dict) else dict(fields)


def _sort(value: JsonValue) -> str:
    """What sort of value it is, and nothing else: it may be secret."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _is_deeper(value: JsonValue, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    entries = value if isinstance(value, list) else value.values()
    return levels == 0 or any(_is_deeper(entry, levels - 1) for entry in entries)
