"""What must hold of the expressions of a definition: each is right by itself, and names only what is there by
the time it is evaluated.

The structure of the definition was checked before (relations.py).
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import Loc
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expression_reading import OUTPUTS, position, reading
from coordinator.domain.language.expressions import (
    SYNTAX,
    TOO_LARGE,
    Check,
    Wanted,
    expressions_in,
    mapping_faults,
    text_fault,
)
from coordinator.domain.language.sentences import Fault, found, listed
from coordinator.domain.values import frozen

NOT_NAMEABLE: Final = "not-nameable"

EXPRESSIONS_MAX: Final = 5_000
"""In one definition. Each is compiled when the definition is loaded, which takes about 0.3 ms."""


@frozen
class ExpressionFault:
    """What is wrong with an expression: which one, where in its own text (from 1), by which rule."""

    loc: Loc
    line: int
    column: int
    rule: str
    sentence: str

    @property
    def told(self) -> str:
        """The sentence, and where in the expression, unless that is its beginning."""
        if (self.line, self.column) == (1, 1):
            return self.sentence
        line = f"line {self.line}, " if self.line > 1 else ""
        return f"{self.sentence} (at {line}character {self.column} of the expression)"


def expression_faults(definition: SagaDefinition, check: Check) -> Iterator[ExpressionFault]:
    """Everything that is wrong with the expressions of *definition*, in the order in which they stand."""
    left = EXPRESSIONS_MAX
    for place in _places(definition):
        for fault in place.form_faults():
            yield ExpressionFault(fault.loc, 1, 1, fault.rule, fault.sentence)
        for loc, source in place.expressions():
            left -= 1
            if left < 0:
                sentence = f"expected at most {EXPRESSIONS_MAX} expressions in a definition, found more"
                yield ExpressionFault(("steps",), 1, 1, TOO_LARGE, sentence)
                return
            if text_fault(source, loc) is not None:
                continue  # told above
            of_names = list(_name_faults(definition, place, loc, source))
            yield from of_names
            # A name that CEL reads otherwise than it was meant makes faults that nobody would understand.
            if not any(fault.rule in (SYNTAX, NOT_NAMEABLE) for fault in of_names):
                for wrong in check(source, place.wanted):
                    yield ExpressionFault(loc, wrong.line, wrong.column, wrong.rule, wrong.sentence)


@frozen
class _Place:
    """A field of the definition that holds expressions. `step` is None for the saga's output."""

    loc: Loc
    value: JsonValue
    wanted: Wanted
    step: StepName | None

    @property
    def is_undo(self) -> bool:
        return self.loc[-1] == "compensationInput"

    def form_faults(self) -> Iterator[Fault]:
        if self.wanted is Wanted.JSON:
            yield from mapping_faults(self.value, self.loc)
        elif isinstance(self.value, str) and (fault := text_fault(self.value, self.loc)) is not None:
            yield fault

    def expressions(self) -> Iterator[tuple[Loc, str]]:
        return expressions_in(self.value, self.loc)


def _places(definition: SagaDefinition) -> Iterator[_Place]:
    for index, step in enumerate(definition.steps):
        here: Loc = ("steps", index)
        if step.when is not None:
            yield _Place((*here, "when"), step.when, Wanted.CONDITION, step.name)
        if step.input_shape is not None:
            yield _Place((*here, "input"), step.input_shape, Wanted.JSON, step.name)
        if step.compensation_input is not None:
            yield _Place((*here, "compensationInput"), step.compensation_input, Wanted.JSON, step.name)
    if definition.output is not None:
        yield _Place(("output",), definition.output, Wanted.JSON, None)


def _name_faults(
    definition: SagaDefinition, place: _Place, loc: Loc, source: str
) -> Iterator[ExpressionFault]:
    read = reading(source)
    if place.step is None and (sentence := _shown_sentence(definition, read.fields)) is not None:
        yield ExpressionFault(loc, 1, 1, "sensitive-in-output", sentence)
    if read.outputs_alone is not None:
        sentence = f"expected `{OUTPUTS}.<step>`, found `{OUTPUTS}` without the name of a step"
        yield ExpressionFault(loc, *position(source, read.outputs_alone), SYNTAX, sentence)
    for name, start in read.steps:
        if (wrong := _step_fault(definition, place, name)) is not None:
            rule, sentence = wrong
            yield ExpressionFault(loc, *position(source, start), rule, sentence)


def _shown_sentence(definition: SagaDefinition, fields: Collection[str] | None) -> str | None:
    """What the saga's output would show that nobody should see, where it takes *fields* of the input."""
    if fields is None and definition.sensitive:
        whole = f"the whole `input`, {listed(definition.sensitive)} included"
        return f"the output is shown, and this takes {whole}"
    named = [field for field in definition.sensitive or () if field in (fields or ())]
    return f"the output is shown, and this takes what is sensitive: {listed(named)}" if named else None


def _step_fault(definition: SagaDefinition, place: _Place, name: str) -> tuple[str, str] | None:
    """The rule, and the sentence, by which an expression at *place* may not name the step *name*."""
    named = definition.positions.get(StepName(name))
    if named is None or not is_nameable(name):
        return _unknown(definition, name)
    step, bit = definition.steps[named], 1 << named
    if place.step is not None:
        own = definition.positions[place.step]
        if named == own:
            return _own_output_fault(place, name, has_default=step.has_default_output)
        if not bit & definition.graph.ancestors[own]:
            if bit & definition.graph.descendants[own]:
                return "may-not-have-run", f"{name} runs after {place.step}, so its output is not there"
            sentence = f"{name} may not have run by then: add it to the `dependsOn` of {place.step}"
            return "may-not-have-run", sentence
    if step.when is not None and not step.has_default_output:
        sentence = f"{name} may be omitted, by its `when`: give it a `defaultOutput` that stands in then"
        return "needs-default-output", sentence
    return None


def _own_output_fault(place: _Place, name: str, *, has_default: bool) -> tuple[str, str] | None:
    if not place.is_undo:
        return "may-not-have-run", f"{name} has not run by then: its own output is not there"
    if has_default:
        return None
    sentence = (
        f"{name} may be undone without an answer of its own: give it a `defaultOutput` that stands in then"
    )
    return "undo-needs-default-output", sentence


def _unknown(definition: SagaDefinition, name: str) -> tuple[str, str]:
    # CEL ends a name at '-' and '.', so of `outputs.book-car.id` only `book` arrives here.
    meant = next(
        (
            step.name
            for step in definition.steps
            if not is_nameable(step.name) and re.match(rf"{re.escape(name)}(?![A-Za-z0-9_])", step.name)
        ),
        None,
    )
    if meant is not None:
        sentence = (
            f"expected a step whose name CEL can write, found {found(meant)}: give it a `name` of letters,"
        )
        return NOT_NAMEABLE, f"{sentence} digits and '_' that is no word of CEL"
    return (
        "unknown-step",
        f"expected the name of a step ({listed(definition.positions)}), found {found(name)}",
    )


def is_nameable(step: str) -> bool:
    """Whether an expression can name a step of that name."""
    return _IDENTIFIER.fullmatch(step) is not None and step not in _WORDS


_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Final = frozenset({"in", "true", "false", "null"})
