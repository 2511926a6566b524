"""An input and outputs for a definition that nobody has given any: as much as its expressions read of them.

What reads a value says little of what it is, so several are tried until every expression yields something.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Final, TypeAlias

from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition, StepDefinition
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expression_reading import INPUT, OUTPUTS, Taken, TokenKind, reading, text_of
from coordinator.domain.language.expressions import Evaluate, Scope, expressions_in, holds, shape

TRIALS_MAX: Final = 2_000
"""For one expression."""
TURNED_MAX: Final = 20
"""Conditions that are looked at the other way, too."""

_Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands: `input`, or `outputs.<step>`, and the keys below it."""
_Values: TypeAlias = dict[_Place, object]
_ABSENT: Final = object()
_SORTS: Final[Sequence[JsonValue]] = (
    1,
    1.5,
    True,
    False,
    "1",
    "2026-01-01T00:00:00Z",
    "1h",
    ["a"],
    [1],
    None,
)


@dataclass(frozen=True, slots=True)
class Data:
    """What a saga is given, and what its steps answer."""

    input: JsonValue
    outputs: Mapping[StepName, JsonValue]
    made_up: tuple[str, ...] = ()
    """The places of what nobody has given, as expressions name them."""
    words: str = ""
    """How it differs from what is tried first."""

    @property
    def output_texts(self) -> dict[str, str]:
        """The outputs as canonical JSON."""
        return {str(name): jsontext.canonical(value) for name, value in self.outputs.items()}


class NothingFits(Exception):
    """No value was found that an expression yields anything for. `place` leads to the expression, `named` are
    the values that it reads and nobody has given."""

    def __init__(self, place: str, named: Sequence[str], reason: str) -> None:
        self.place = place
        self.named = tuple(named)
        self.reason = reason
        super().__init__(f"{place}: {reason}")


def made_up(
    definition: SagaDefinition,
    evaluate: Evaluate,
    given_input: JsonValue,
    given_outputs: Mapping[StepName, JsonValue],
) -> tuple[list[Data], dict[StepName, str]]:
    """What sagas of *definition* may hold, that which is tried first in front: with each condition true, and
    then, for each that hangs on what nobody has given, with that one false. Beside it the steps whose
    condition comes out in one way only, and why.

    *given_input* None: nothing of it is given.

    Raises:
        NothingFits: an expression yields nothing, whatever is tried.
    """
    return _Maker(definition, evaluate, given_input, given_outputs).data()


@dataclass(frozen=True, slots=True)
class _Expression:
    place: str
    source: str
    step: StepDefinition | None
    is_condition: bool


class _Maker:
    def __init__(
        self,
        definition: SagaDefinition,
        evaluate: Evaluate,
        given_input: JsonValue,
        given_outputs: Mapping[StepName, JsonValue],
    ) -> None:
        self._definition = definition
        self._evaluate = evaluate
        self._given_input = given_input
        self._given_outputs = given_outputs
        self._expressions = list(_expressions(definition))
        self._values: _Values = {}
        for place in _places(definition, self._expressions):
            if not self._is_given(place):
                self._values[place] = _first(place)
        self._read = {one.place: self._read_in(one.source) for one in self._expressions}
        self._scoped: tuple[_Values, Scope] | None = None

    def data(self) -> tuple[list[Data], dict[StepName, str]]:
        fitted: list[_Expression] = []
        for expression in self._expressions:
            self._fit(expression, fitted)
            fitted.append(expression)
        first = self._made(self._values)
        conditions = [expression for expression in self._expressions if expression.is_condition]
        others, one_way = [first], dict[StepName, str]()
        for number, condition in enumerate(conditions):
            assert condition.step is not None
            name = condition.step.name
            if number >= TURNED_MAX:
                one_way[name] = f"that is done for {TURNED_MAX} conditions"
                continue
            is_met = self._is_met(condition, self._values)
            other = self._turned(condition, to=not is_met)
            if other is None:
                one_way[name] = "nothing was given or found that turns it"
            else:
                words = f"the condition of {name} is {'not ' if is_met else ''}met"
                others.append(replace(self._made(other), words=words))
        return others, one_way

    def _is_given(self, place: _Place) -> bool:
        if place[0] == INPUT:
            return self._given_input is not None
        return str(place[0]).removeprefix(f"{OUTPUTS}.") in self._given_outputs

    def _made(self, values: _Values) -> Data:
        input_value = self._given_input if self._given_input is not None else _built(INPUT, values, {})
        outputs = dict(self._given_outputs)
        for step in self._definition.steps:
            variable = f"{OUTPUTS}.{step.name}"
            if step.name not in outputs and any(place[0] == variable for place in values):
                outputs[step.name] = _built(variable, values, {})
        return Data(input_value, outputs, tuple(map(_named, sorted(values, key=_named))))

    def _fit(self, expression: _Expression, fitted: Sequence[_Expression]) -> None:
        """Find values that *expression* yields something for, a condition true if it can, and those before it
        still do."""
        read = self._read[expression.place]
        shared = [one for one in fitted if any(place in read for place in self._read[one.place])]
        reason, second_best = "", None
        for values in islice(self._trials(expression, read), TRIALS_MAX):
            if any(self._failure(one, values) is not None for one in shared):
                continue
            failure = self._failure(expression, values)
            if failure is not None:
                reason = reason or failure
            elif expression.is_condition and not self._is_met(expression, values):
                second_best = second_best or values
            else:
                self._values = values
                return
        if second_best is not None:
            self._values = second_best
        elif read:
            raise NothingFits(expression.place, list(map(_named, read)), reason)
        # Where all is given it may be wrong on purpose, and what comes of that is what is to be seen.

    def _failure(self, expression: _Expression, values: _Values) -> str | None:
        """Why it yields nothing that is of use."""
        try:
            if expression.is_condition:
                holds(expression.source, self._scope(values), self._evaluate, place=expression.place)
            else:
                shape(expression.source, self._scope(values), self._evaluate, place=expression.place)
        except NotEvaluated as wrong:
            return wrong.sentence
        return None

    def _is_met(self, condition: _Expression, values: _Values) -> bool:
        try:
            return holds(condition.source, self._scope(values), self._evaluate, place=condition.place)
        except NotEvaluated:
            return False

    def _turned(self, condition: _Expression, *, to: bool) -> _Values | None:
        """Values for which *condition* comes out as *to*, and all that is evaluated then yields something."""
        read = self._read[condition.place]
        for values in islice(self._trials(condition, read, absent=True), TRIALS_MAX):
            is_turned = self._failure(condition, values) is None and self._is_met(condition, values) is to
            if is_turned and self._is_sound(values):
                return values
        return None

    def _is_sound(self, values: _Values) -> bool:
        conditions = [one for one in self._expressions if one.is_condition]
        omitted = [one.step for one in conditions if not self._is_met(one, values)]
        return all(
            self._failure(one, values) is None
            for one in self._expressions
            if one.is_condition or one.step is None or one.step not in omitted
        )

    def _scope(self, values: _Values) -> Scope:
        # One expression after the other is evaluated over the same values.
        if self._scoped is None or self._scoped[0] is not values:
            self._scoped = values, self._scope_of(self._made(values))
        return self._scoped[1]

    def _scope_of(self, data: Data) -> Scope:
        outputs: dict[str, JsonValue] = {
            str(step.name): step.default_output for step in self._definition.steps if step.has_default_output
        }
        outputs.update({str(name): output for name, output in data.outputs.items()})
        assert isinstance(data.input, dict)
        return Scope(data.input, outputs)

    def _read_in(self, source: str) -> list[_Place]:
        """The values of those made up that an expression reads."""
        named = list(_read_places(source))
        return [
            place
            for place in self._values
            if any(place[: len(one)] == one or one[: len(place)] == place for one in named)
        ]

    def _trials(
        self, expression: _Expression, read: Sequence[_Place], *, absent: bool = False
    ) -> Iterator[_Values]:
        """What is made up so far; then with nothing there, where that may be; then with all that *expression*
        reads of one sort; then with one thing of it changed; then with several."""
        yield self._values
        literals = list(_literals(expression.source))
        sorts: list[object] = [*literals, *_SORTS]
        if absent:
            for place in read:
                for length in range(2, len(place) + 1):
                    gone = [other for other in self._values if other[:length] == place[:length]]
                    yield {**self._values, **dict.fromkeys(gone, _ABSENT)}
        yield {**self._values, **{place: _first(place) for place in read}}
        for sort in sorts:
            yield {**self._values, **dict.fromkeys(read, sort)}
        for place in read:
            for sort in sorts:
                yield {**self._values, place: sort}
        for chosen in product([None, *sorts], repeat=min(len(read), 3)):
            changed = zip(read, chosen, strict=False)
            yield {**self._values, **{place: sort for place, sort in changed if sort is not None}}


def _expressions(definition: SagaDefinition) -> Iterator[_Expression]:
    """In the order in which a saga comes to them, conditions first."""
    for place in definition.graph.order:
        step = definition.steps[place]
        if step.when is not None:
            yield _Expression(f"$.steps[{place}].when", step.when, step, is_condition=True)
    for place in definition.graph.order:
        step = definition.steps[place]
        for key, mapping in (("input", step.input_shape), ("compensationInput", step.compensation_input)):
            for loc, source in expressions_in(mapping, ("steps", place, key)):
                yield _Expression(jsontext.path_of(loc), source, step, is_condition=False)
    for loc, source in expressions_in(definition.output, ("output",)):
        yield _Expression(jsontext.path_of(loc), source, None, is_condition=False)


def _places(definition: SagaDefinition, expressions: Sequence[_Expression]) -> list[_Place]:
    """Every value that is read, each once; of those that stand in each other, the innermost."""
    named: dict[_Place, None] = {(INPUT, field): None for field in definition.needed_fields}
    for expression in expressions:
        named.update(dict.fromkeys(_read_places(expression.source)))
    return [
        place
        for place in named
        if not any(other != place and other[: len(place)] == place for other in named)
    ]


def _read_places(source: str) -> Iterator[_Place]:
    read = reading(source)
    if read.path is not None:
        yield (INPUT if read.path.step is None else f"{OUTPUTS}.{read.path.step}", *read.path.keys)
        return
    for variable, taken in read.taken.items():
        if taken != {}:
            yield from _leaves((variable,), taken)


def _leaves(place: _Place, taken: Taken) -> Iterator[_Place]:
    if not taken:
        yield place
        return
    for key, below in taken.items():
        yield from _leaves((*place, key), below)


def _literals(source: str) -> Iterator[JsonValue]:
    """The values that stand in an expression: what it compares with, and what is next to that."""
    for token in reading(source).tokens:
        if token.kind is TokenKind.TEXT and (text := text_of(token.text)) is not None:
            yield text
        elif token.kind is TokenKind.NUMBER and token.text.isdecimal():
            number = int(token.text[:15])
            yield from (number, number + 1, number - 1)


def _first(place: _Place) -> JsonValue:
    return next((key for key in reversed(place) if isinstance(key, str)), "")


def _built(variable: str, values: Mapping[_Place, object], empty: JsonValue) -> JsonValue:
    """What *variable* holds."""
    below = {
        place[1:]: value for place, value in values.items() if place[0] == variable and value is not _ABSENT
    }
    return _node(below) if below else empty


def _node(below: Mapping[_Place, object]) -> JsonValue:
    if () in below:
        value: JsonValue = below[()]  # type: ignore[assignment]  # of JSON, as nothing absent is among them
        return value
    keys = list(dict.fromkeys(place[0] for place in below))
    nodes = {
        key: _node({place[1:]: value for place, value in below.items() if place[0] == key}) for key in keys
    }
    if any(isinstance(key, int) for key in keys):
        length = max(key for key in keys if isinstance(key, int)) + 1
        return [nodes.get(index) for index in range(min(length, 100))]
    return {str(key): node for key, node in nodes.items()}


def _named(place: _Place) -> str:
    variable, *keys = place
    path = str(variable)
    for key in keys:
        path = jsontext.child(path, key)
    return path
