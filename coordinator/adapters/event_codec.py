"""Events as the journal keeps them on disk: a type name, and a payload in compact JSON.

The names in the table below are the disk format, whatever the classes come to be called. Any change of an
event's shape is a new FORMAT_VERSION, since older releases refuse what they do not know; a field that is
added with a default lets this release read what they wrote.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from operator import attrgetter
from types import UnionType
from typing import Any, Final, NewType, Union, get_args, get_origin, get_type_hints

import orjson

from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    PivotBegun,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepOmitted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoPending,
    UndoRefused,
)

FORMAT_VERSION: Final = 4
"""A journal keeps the newest version that wrote it; a newer one is refused when it is opened."""

EVENT_TYPES: Final[Mapping[str, type[Event]]] = {
    "SagaStarted": SagaStarted,
    "SagaResumed": SagaResumed,
    "CancelRequested": CancelRequested,
    "DeadlinePassed": DeadlinePassed,
    "StepBegun": StepBegun,
    "PivotBegun": PivotBegun,
    "StepOmitted": StepOmitted,
    "ExpressionFailed": ExpressionFailed,
    "OutputShaped": OutputShaped,
    "StepSucceeded": StepSucceeded,
    "StepRefused": StepRefused,
    "StepPending": StepPending,
    "StepFaulted": StepFaulted,
    "UndoBegun": UndoBegun,
    "StepCompensated": StepCompensated,
    "UndoRefused": UndoRefused,
    "UndoPending": UndoPending,
    "UndoFaulted": UndoFaulted,
    "OperatorActed": OperatorActed,
}


class UnreadableEvent(ValueError):
    """A type name and payload are no event that this version knows; the text says what is wrong."""


def encode(event: Event) -> tuple[str, str]:
    """The type name and the payload of *event*.

    Raises:
        ValueError: a value can not be kept: a float that is no number, text that is not Unicode.
    """
    shape = _SHAPES[type(event)]
    values: dict[str, Any] = dict(zip(shape.fields, shape.read(event), strict=True))
    for name in shape.floats:
        # orjson writes NaN and infinity as null, which would come back as "none given".
        if values[name] is not None and not math.isfinite(values[name]):
            raise ValueError(f"{shape.type_name}.{name} is {values[name]}, which is no moment")
    for name, default in shape.defaults:
        if values[name] == default:
            del values[name]
    try:
        return shape.type_name, orjson.dumps(values).decode()
    except TypeError as error:
        raise ValueError(f"{shape.type_name} can not be kept: {error}") from None


def decode(type_name: str, payload: str) -> Event:
    """The event that `encode` wrote.

    Raises:
        UnreadableEvent: the type, a field or a value is none that this version knows; named.
    """
    event_type = EVENT_TYPES.get(type_name)
    if event_type is None:
        raise UnreadableEvent(f"event type {type_name!r} is unknown to this version")
    shape = _SHAPES[event_type]
    try:
        values = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise UnreadableEvent(f"the payload of {type_name} is not JSON") from None
    if not isinstance(values, dict):
        raise UnreadableEvent(f"the payload of {type_name} is not a JSON object")
    return shape.make(**_read_fields(shape, values))


def _read_fields(shape: "_Shape", values: dict[str, object]) -> dict[str, object]:
    if not values.keys() <= shape.fields.keys():
        unknown = ", ".join(sorted(values.keys() - shape.fields.keys()))
        raise UnreadableEvent(f"{shape.type_name} has a field that this version does not know: {unknown}")
    if not shape.required <= values.keys():
        missing = ", ".join(sorted(shape.required - values.keys()))
        raise UnreadableEvent(f"{shape.type_name} lacks its field {missing}")
    try:
        return {name: shape.fields[name](value) for name, value in values.items()}
    except (TypeError, ValueError):
        wrong = ", ".join(name for name, value in values.items() if not _fits(shape, name, value))
        raise UnreadableEvent(f"{shape.type_name} has a value of the wrong kind in {wrong}") from None


def _fits(shape: "_Shape", name: str, value: object) -> bool:
    try:
        shape.fields[name](value)
    except (TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is known of one event class, read from it once."""

    type_name: str
    make: Callable[..., Event]
    fields: Mapping[str, Callable[[object], object]]
    """For each field, what checks and restores its value."""
    read: Callable[[Event], tuple[object, ...]]
    """The values of `fields`, in that order."""
    defaults: tuple[tuple[str, object], ...]
    """What is not written where a field is just that: it is read back so."""
    floats: tuple[str, ...]
    required: frozenset[str]


def _shape(type_name: str, event_type: type[Event]) -> _Shape:
    hints = get_type_hints(event_type)
    names = [field.name for field in fields(event_type)]
    read = attrgetter(*names)
    return _Shape(
        type_name,
        make=event_type,
        fields={name: _restorer(hints[name]) for name in names},
        # Of a single name it makes no tuple.
        read=read if len(names) > 1 else lambda event: (read(event),),
        defaults=tuple((f.name, f.default) for f in fields(event_type) if f.default is not MISSING),
        floats=tuple(name for name, hint in hints.items() if float in (hint, *get_args(hint))),
        required=frozenset(f.name for f in fields(event_type) if f.default is MISSING),
    )


def _restorer(hint: object) -> Callable[[object], object]:
    """What restores a value of the type *hint*; only the few kinds that events are made of."""
    # A NewType or None is the older kind of union until Python 3.14.
    # `str | None` is the one; `StepName | None`, of a new type, is the other.
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        (some,) = (_restorer(arm) for arm in get_args(hint) if arm is not type(None))
        return lambda value: None if value is None else some(value)
    if isinstance(hint, NewType):
        return _restorer(hint.__supertype__)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    return _KINDS[hint]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _moment(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


_KINDS: Final[Mapping[object, Callable[[object], object]]] = {
    str: _text,
    int: _number,
    float: _moment,
}
_SHAPES: Final = {event_type: _shape(type_name, event_type) for type_name, event_type in EVENT_TYPES.items()}
