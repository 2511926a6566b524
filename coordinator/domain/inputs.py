"""What each step is given: the saga's input, and what earlier steps answered.

A step's input is a function of what the journal holds before the step begins, so it is the same
text however often it is computed: one idempotency key, one content.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition, StepDefinition
from coordinator.domain.errors import Violation
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.relations import OUTPUT_OF, OUTPUTS, is_output
from coordinator.domain.language.sentences import kind, listed

OUTPUT_DEPTH_MAX: Final = jsontext.DEPTH_MAX - 2
"""How deep an answer may be nested: in a later step's input it stands two levels deeper."""


def step_input(
    definition: SagaDefinition,
    saga_input: str,
    output_of: Callable[[StepName], str | None],
    place: int,
) -> str:
    """The canonical JSON text that the participant of the step in that *place* gets.

    *output_of* tells what an earlier step answered, None where that is not known; it is asked of no other.
    """
    entries = _entries(saga_input)
    names, wanted = _wanted(definition, place)
    if names is None:
        names = sorted((*entries, OUTPUTS))
    outputs = "" if wanted is None else _outputs(wanted, output_of)
    return f"{{{','.join([outputs if name == OUTPUTS else entries[name] for name in names])}}}"


def _outputs(wanted: Sequence[StepName], output_of: Callable[[StepName], str | None]) -> str:
    known = [(name, output) for name in wanted if (output := output_of(name)) is not None]
    return _entry(OUTPUTS, f"{{{','.join([_entry(name, output) for name, output in known])}}}")


def _entry(name: str, text: str) -> str:
    """The canonical text of an object's entry, of whose value *text* is that."""
    return f"{_key(name)}:{text}"


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    return jsontext.canonical(name)


def step_input_fields(
    definition: SagaDefinition, fields: Iterable[str], step: StepDefinition
) -> tuple[str, ...]:
    """The names of what `step_input` holds where the saga's input has *fields*."""
    names, _ = _wanted(definition, definition.positions[step.name])
    return tuple(sorted((*fields, OUTPUTS)) if names is None else names)


def _entries(saga_input: str) -> Mapping[str, str]:
    """The canonical text of each entry of a saga's input, by its name."""
    size = len(saga_input)
    kept = _kept_short if size <= _SHORT_CHARS_MAX else _kept_long if size <= _LONG_CHARS_MAX else _kept_huge
    return kept(saga_input)


# Each step needs them, and many sagas take turns: of those that are short all are kept, of the longest a few,
# so that none of the three holds more than some 16 MiB.
_SHORT_CHARS_MAX: Final = 1 << 13
_LONG_CHARS_MAX: Final = 1 << 17
_kept_short = lru_cache(maxsize=2_048)(jsontext.entries)
_kept_long = lru_cache(maxsize=128)(jsontext.entries)
_kept_huge = lru_cache(maxsize=16)(jsontext.entries)


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
    """What the step in that *place* gets, in order: those fields of the saga's input and `outputs`, None for
    all that there is; and the earlier steps whose outputs it gets, None for no `outputs` at all."""
    step = definition.steps[place]
    if step.input is None:
        return None, _earlier(definition, step)
    fields = [entry for entry in step.input_entries if not is_output(entry)]
    if OUTPUTS in step.input:
        return sorted([*fields, OUTPUTS]), _earlier(definition, step)
    named = [entry for entry in step.input_entries if entry.startswith(OUTPUT_OF)]
    if named:
        outputs = sorted(StepName(entry.removeprefix(OUTPUT_OF)) for entry in named)
        return sorted([*fields, OUTPUTS]), outputs
    return sorted(fields), None


def _earlier(definition: SagaDefinition, step: StepDefinition) -> Sequence[StepName]:
    return sorted(earlier.name for earlier in definition.ancestors(step.name))
