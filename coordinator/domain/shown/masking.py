"""What of a saga's data people may see: all but what its definition calls sensitive, and what may tell that.

A definition names fields of the saga's input. What was made of them, and what participants say after them, is
looked for here; where it is not certain that a value may be shown, it is not.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.inputs import step_input_fields
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expression_reading import reading
from coordinator.domain.saga import Saga, StepState
from coordinator.domain.shaping import made_for_undo, undo_mapping

MASK: Final = "***"
FOUND_CHARS_MIN: Final = 3
"""What is shorter stands in other texts by chance; as a whole value it is masked all the same."""
FOUND_MAX: Final = 200
"""Where more values than this are sensitive, every other text is taken to hold one of them."""


Veil: TypeAlias = Callable[[JsonValue], JsonValue]
"""What stands for a value that is not to be seen."""


def only_mask(value: JsonValue) -> JsonValue:
    """The same for every value: not even its kind is told."""
    return MASK


class Masking:
    """Of one saga, whose input has *fields*. *veil* makes what stands in the place of what is not shown."""

    def __init__(self, saga: Saga, fields: Mapping[str, JsonValue], veil: Veil = only_mask) -> None:
        self._veil = veil
        self._definition = saga.definition
        self._fields = fields
        names = saga.definition.sensitive or ()
        self._sensitive = frozenset(names)
        leaves = [leaf for name in names for leaf in _leaves(fields.get(name))]
        self._numbers = frozenset(leaf for leaf in leaves if not isinstance(leaf, str))
        self._texts = frozenset(
            leaf if isinstance(leaf, str) else jsontext.canonical(leaf) for leaf in leaves
        )
        self._found = frozenset(text for text in self._texts if len(text) >= FOUND_CHARS_MIN)

    def undo_fields(self, step: StepState) -> tuple[str, ...]:
        """The names of what the undo of *step*, which is begun, is given."""
        mapping = _mapping(step)
        if mapping is None:
            return step_input_fields(self._definition, self._fields, step.definition)
        return tuple(sorted(mapping)) if isinstance(mapping, dict) else ()

    def undo_input(self, step: StepState, text: str) -> str:
        """*text*, which the undo of *step* is given, as it may be shown."""
        value, mapping = jsontext.reload(text), _mapping(step)
        shown = self._answered(value) if mapping is None else self._shaped(value, mapping)
        return jsontext.canonical(shown)

    def output(self, text: str) -> str:
        """*text*, which a participant answered, as it may be shown."""
        return jsontext.canonical(self._answered(jsontext.reload(text)))

    def words(self, text: str) -> str:
        """*text*, which somebody said of the saga, as it may be shown."""
        return MASK if self._tells(text) else text

    def _shaped(self, value: JsonValue, mapping: JsonValue) -> JsonValue:
        """*value*, as far as *mapping*, which made it, vouches for it."""
        match value, mapping:
            case _, str():
                read = reading(mapping).fields
                is_hidden = read is None or read & self._sensitive
                return self._veil(value) if is_hidden else self._answered(value)
            case dict(), dict() if value.keys() == mapping.keys():
                return {key: self._shaped(value[key], mapping[key]) for key in value}
            case list(), list() if len(value) == len(mapping):
                return [self._shaped(*pair) for pair in zip(value, mapping, strict=True)]
            case _:
                return value if value == mapping else self._veil(value)

    def _answered(self, value: JsonValue) -> JsonValue:
        """*value* without what is named as something sensitive is, or tells it."""
        match value:
            case dict():
                return dict(self._entry(*pair) for pair in value.items())
            case list():
                return [self._answered(entry) for entry in value]
            case str():
                return self._veil(value) if self._tells(value) else value
            case int() | float() if not isinstance(value, bool):
                is_told = value in self._numbers or jsontext.canonical(value) in self._texts
                return self._veil(value) if is_told else value
            case _:
                return value

    def _entry(self, key: str, entry: JsonValue) -> tuple[str, JsonValue]:
        if key in self._found:
            return MASK, self._veil(entry)
        return key, self._veil(entry) if key in self._sensitive else self._answered(entry)

    def _tells(self, text: str) -> bool:
        if text in self._texts or len(self._found) > FOUND_MAX:
            return True
        return any(secret in text for secret in self._found)


def of_its_kind(definition: SagaDefinition) -> Veil:
    """A veil that keeps of a value what a saga of *definition* can be played with: its kind, and of an object
    the fields that the definition has a name for. A list keeps at most one entry."""
    names = frozenset(re.findall(r"[^\W\d]\w*", definition.text))

    def veil(value: JsonValue) -> JsonValue:
        match value:
            case dict():
                return {key: veil(entry) for key, entry in value.items() if key in names}
            case list():
                return [veil(entry) for entry in value[:1]]
            case str():
                return MASK
            case bool():
                return False
            case int():
                return 0
            case float():
                return 0.0
            case _:
                return None

    return veil


def _mapping(step: StepState) -> JsonValue:
    """What made the input of the undo of *step*; None where no mapping did."""
    return None if made_for_undo(step) is None else undo_mapping(step)[1]


def _leaves(value: JsonValue) -> Iterator[str | int | float]:
    """Each text and number of *value*."""
    match value:
        case dict():
            for entry in value.values():
                yield from _leaves(entry)
        case list():
            for entry in value:
                yield from _leaves(entry)
        case str() | int() | float() if not isinstance(value, bool):
            yield value
