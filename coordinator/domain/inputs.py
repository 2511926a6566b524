"""What each step is given: the saga's input, and what earlier steps answered.

A step's input is a function of what the journal holds before the step begins, so it is the same
text however often it is computed: one idempotency key, one content.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition, StepDefinition
from coordinator.domain.errors import Violation
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.relations import OUTPUT_OF, OUTPUTS, is_output
from coordinator.domain.sentences import kind, listed

OUTPUT_DEPTH_MAX: Final = jsontext.DEPTH_MAX - 2
"""How deep an answer may be nested: in a later step's input it stands two levels deeper."""


def step_input(
    definition: SagaDefinition,
    saga_input: str,
    outputs: Mapping[StepName, str],
    step: StepDefinition,
) -> str:
    """The canonical JSON text that the participant of *step* gets.

    *outputs* may hold later steps and *step* itself: only what earlier steps answered is used.
    """
    texts = _texts(saga_input)
    fields, wanted = _wanted(definition, definition.positions[step.name])
    chosen = texts if fields is None else {field: texts[field] for field in fields}
    if wanted is not None:
        outputs_text = _object({name: outputs[name] for name in wanted if name in outputs})
        chosen = {**chosen, OUTPUTS: outputs_text}
    return _object(chosen)


def _object(texts: Mapping[str, str]) -> str:
    """The canonical text of an object, of whose entries these are the canonical texts."""
    return "{" + ",".join([f"{_key(name)}:{texts[name]}" for name in sorted(texts)]) + "}"


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    return jsontext.canonical(name)


def step_input_fields(
    definition: SagaDefinition, fields: Iterable[str], step: StepDefinition
) -> tuple[str, ...]:
    """The names of what `step_input` holds where the saga's input has *fields*."""
    chosen, outputs = _wanted(definition, definition.positions[step.name])
    named = fields if chosen is None else chosen
    return tuple(sorted(named if outputs is None else (*named, OUTPUTS)))


def _texts(saga_input: str) -> Mapping[str, str]:
    """The canonical text of each field of a saga's input."""
    return next(kept(saga_input) for chars_max, kept in _KEPT if len(saga_input) <= chars_max)


def _read_texts(saga_input: str) -> Mapping[str, str]:
    return {field: jsontext.canonical(value) for field, value in input_fields(saga_input).items()}


# Each step needs them, and many sagas take turns: of those that are short all are kept, of the longest a few,
# so that none of the three holds more than some 16 MiB.
_KEPT: Final = tuple(
    (chars_max, lru_cache(maxsize=many)(_read_texts))
    for chars_max, many in ((1 << 13, 2_048), (1 << 17, 128), (sys.maxsize, 16))
)


@lru_cache(maxsize=16)
def input_fields(saga_input: str) -> Mapping[str, JsonValue]:
    """What a saga's input holds. Kept for a moment: each step and each condition of it reads all of that."""
    fields = jsontext.reload(saga_input)
    if not isinstance(fields, dict):
        raise TypeError("a saga's input is an object: `check_input` was not asked before the start")
    return fields


def check_input(definition: SagaDefinition, saga_input: JsonValue) -> list[Violation]:
    """What is wrong with the input of a saga that is about to start; asked before any write."""
    if not isinstance(saga_input, dict):
        return [Violation("$", f"expected an object, found {kind(saga_input)}")]
    violations = []
    if OUTPUTS in saga_input:
        violations.append(
            Violation("$.outputs", "is a reserved name: there each step finds what earlier steps answered")
        )
    for field, steps in definition.needed_fields.items():
        if field not in saga_input:
            needed_by = f"step {steps[0]} needs it" if len(steps) == 1 else f"steps {listed(steps)} need it"
            violations.append(Violation(jsontext.child("$", field), f"is missing; {needed_by}"))
    return violations


@lru_cache(maxsize=4_096)
def _wanted(definition: SagaDefinition, place: int) -> tuple[Sequence[str] | None, Sequence[StepName] | None]:
    """What the step in that *place* gets: those fields of the saga's input, None for all of them, and the
    outputs of those earlier steps, None for no `outputs` at all."""
    step = definition.steps[place]
    fields = [entry for entry in step.input_entries if not is_output(entry)]
    if step.input is None or OUTPUTS in step.input:
        outputs = [earlier.name for earlier in definition.ancestors(step.name)]
        return None if step.input is None else fields, outputs
    named = [entry for entry in step.input_entries if entry.startswith(OUTPUT_OF)]
    return fields, [StepName(entry.removeprefix(OUTPUT_OF)) for entry in named] or None
