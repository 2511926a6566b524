"""What is wrong with a document, in plain sentences; pydantic's own words never reach a reader.

A field's `description` says what is expected there, and is the only place that does.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from coordinator.domain.errors import Loc
from coordinator.domain.values import frozen

TEXT_SHOWN_CHARS_MAX: Final = 40

INVALID: Final = "invalid"
"""The rule of a fault that no rule of its own is about: a key, a value, a format."""


@frozen
class Fault:
    """One thing that is wrong with a document: where, in a sentence, and by which rule."""

    loc: Loc
    sentence: str
    rule: str = INVALID


TAG: Final = "form: "
"""In front of the names of the forms that a value may have, which are no part of a path."""


@frozen
class Entries:
    """Annotates a list: what each of its entries is expected to be."""

    expected: str


def fault(sentence: str) -> PydanticCustomError:
    """For validators: a fault with a sentence of its own, instead of "expected …, found …"."""
    return PydanticCustomError(_OWN_SENTENCE, "{sentence}", {"sentence": sentence})


def sentences(
    model: type[BaseModel], error: ValidationError, *, quoting: bool = True
) -> Iterator[tuple[Loc, str]]:
    """Where *error* found something, and one sentence for it; unless *quoting*, without values."""
    for detail in error.errors(include_url=False):
        if not _follows_from_another(detail):
            detail["loc"] = tuple(part for part in detail["loc"] if not str(part).startswith(TAG))
            yield detail["loc"], _sentence(model, detail, quoting=quoting)


def found(value: object) -> str:
    """A value of a document as it may stand in a message: shortened, one line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(_shortened(value))
        case int() | float():
            digits = str(value)
            return digits if len(digits) <= TEXT_SHOWN_CHARS_MAX else f"a number of {len(digits)} digits"
        case list() | tuple():
            return f"a list of {len(value)}" if value else "an empty list"
        case _:
            return "an object"


def kind(value: object) -> str:
    """What sort of value it is, for a value that may be secret."""
    match value:
        case str():
            return "a text"
        case bool() | None:
            return found(value)
        case int() | float():
            return "a number"
        case _:
            return found(value)


def listed(names: Iterable[str], *, shown_max: int = 12, count: int | None = None) -> str:
    """Names in a sentence, not more than a reader can take in. With *count*, how many there are, no more of
    *names* are made than are shown."""
    left = iter(names)
    shown = [_shortened(name) for name in islice(left, shown_max)]
    rest = sum(1 for _ in left) if count is None else count - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "") or "none"


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN_CHARS_MAX else text[: TEXT_SHOWN_CHARS_MAX - 1] + "…"


def _follows_from_another(detail: ErrorDetails) -> bool:
    match detail["type"]:
        case "default_factory_not_called":  # the default is made from a field that is wrong itself
            return True
        case "too_short":  # pydantic counts only the entries that are right
            return bool(len(detail["input"]) >= detail["ctx"]["min_length"])
        case _:
            return False


def _sentence(model: type[BaseModel], detail: ErrorDetails, *, quoting: bool) -> str:
    if detail["type"] == _OWN_SENTENCE:
        return detail["msg"]
    if detail["type"] == "extra_forbidden":
        holder, _ = _look_up(model, detail["loc"][:-1])
        return f"is not a key that is known here; known are {listed(_keys(holder), shown_max=20)}"
    _, expected = _look_up(model, detail["loc"])
    if detail["type"] == "missing":
        return f"is missing; expected {expected}"
    return f"expected {expected}" + (f", found {found(detail['input'])}" if quoting else "")


def _look_up(model: type[BaseModel], loc: Loc) -> tuple[type[BaseModel], str]:
    """The model that *loc* leads into, and what is expected at *loc*."""
    expected, entries = "an object", ""
    for part in loc:
        if isinstance(part, int):
            expected = entries
            continue
        field = _keys(model)[part]
        expected = field.description or "another value"
        entries = next((note.expected for note in field.metadata if isinstance(note, Entries)), expected)
        model = _model_in(field.annotation) or model
    return model, expected


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _model_in(argument))), None)


_OWN_SENTENCE: Final = "own_sentence"
