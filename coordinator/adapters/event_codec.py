"""Events as the journal keeps them on disk: a type, and a payload in compact JSON.

A payload is a list of the event's values in the order of its fields: without `at`, which stands beside it,
and without those at the end that are as the fields' defaults say. Until format 4 it was an object of them.
Events of one write and one moment stand together since format 6: a list of them, each with the number of its
type in front of its values, under the type SEVERAL.

The table below and the order of fields are the disk format, whatever the classes come to be called. Any
change of an event's shape is a new FORMAT_VERSION, since older releases refuse what they do not know; a field
that is added as the last one, with a default, lets this release read what they wrote.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import EnumType, StrEnum
from itertools import product
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

FORMAT_VERSION: Final = 6
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
TYPE_NUMBERS: Final[Mapping[str, int]] = {name: number for number, name in enumerate(EVENT_TYPES, start=1)}
"""What stands for a type's name on disk, by the table `event_types`: its place above. New ones go last."""
SEVERAL: Final = "Several"
"""Stands in place of a type where there are several events."""
RECORD_TYPES: Final[Mapping[str, int]] = {**TYPE_NUMBERS, SEVERAL: -1}
"""All that stands in the table `event_types`."""


class UnreadableEvent(ValueError):
    """A type name and payload are no event that this version knows; the text says what is wrong."""


def encode(event: Event) -> tuple[str, str]:
    """The type name and the payload of *event*.

    Raises:
        ValueError: a value can not be kept: a float that is no number, text that is not Unicode.
    """
    shape = _SHAPES[type(event)]
    return shape.type_name, _dumped(shape.type_name, _kept(shape, event))


def encode_several(events: Sequence[Event]) -> tuple[str, str]:
    """What stands in place of a type name, and the payload of *events*, which are of one moment.

    Raises:
        ValueError: as `encode`.
    """
    kept = []
    for event in events:
        shape = _SHAPES[type(event)]
        kept.append((shape.type_number, *_kept(shape, event)))
    return SEVERAL, _dumped(SEVERAL, kept)


def _kept(shape: "_Shape", event: Event) -> tuple[Any, ...]:
    """The values of *event* that are written."""
    values = shape.read(event)
    # orjson writes NaN and infinity as null, which would come back as "none given".
    if not math.isfinite(event.at):
        raise ValueError(f"{shape.type_name}.at is {event.at}, which is no moment")
    for place in shape.moments:
        moment = values[place]
        if moment is not None and not math.isfinite(moment):
            raise ValueError(f"{shape.type_name}.{shape.names[place]} is {moment}, which is no moment")
    kept = len(values)
    for default in shape.defaults:
        if values[kept - 1] != default:
            break
        kept -= 1
    return values[:kept]


def _dumped(type_name: str, payload: object) -> str:
    try:
        return orjson.dumps(payload).decode()
    except TypeError as error:
        raise ValueError(f"{type_name} can not be kept: {error}") from None


def decode_all(type_name: str, payload: str, at: float) -> Sequence[Event]:
    """The events that `encode` or `encode_several` wrote, with the moment *at* beside them.

    Raises:
        UnreadableEvent: as `decode`.
    """
    if type_name != SEVERAL:
        return [decode(type_name, payload, at)]
    entries = _loaded(SEVERAL, payload)
    events = []
    for entry in entries if isinstance(entries, list) else ():
        is_event = isinstance(entry, list) and entry and type(entry[0]) is int
        shape = _SHAPES_BY_NUMBER.get(entry[0]) if is_event else None
        if shape is None:
            raise UnreadableEvent("one of several events is of a type that is unknown to this version")
        events.append(_made(shape, entry[1:], at))
    if not events:
        raise UnreadableEvent("where several events should be there is none")
    return events


def count_events(type_name: str, payload: str) -> int | None:
    """How many events `decode_all` would find, if that can still be told of a payload that is damaged."""
    if type_name != SEVERAL:
        return 1
    try:
        entries = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return len(entries) if isinstance(entries, list) and entries else None


def decode(type_name: str, payload: str, at: float | None = None) -> Event:
    """The event that `encode` wrote, or an older release, or that was exported. *at* stands beside the first
    of these; the others hold it.

    Raises:
        UnreadableEvent: the type, a field or a value is none that this version knows; named.
    """
    event_type = EVENT_TYPES.get(type_name)
    if event_type is None:
        raise UnreadableEvent(f"event type {type_name!r} is unknown to this version")
    shape, values = _SHAPES[event_type], _loaded(type_name, payload)
    if isinstance(values, list):
        return _made(shape, values, at)
    if not isinstance(values, dict):
        raise UnreadableEvent(f"the payload of {type_name} is neither a list nor an object")
    return shape.make(**_read_fields(shape, values))


def _loaded(type_name: str, payload: str) -> object:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise UnreadableEvent(f"the payload of {type_name} is not JSON") from None


def _made(shape: "_Shape", values: list[Any], at: float | None) -> Event:
    """The event that has these *values*."""
    # Of nearly all that is read, the kinds of the values alone show that it is right.
    if type(at) is float and tuple(map(type, values)) in shape.kinds:
        try:
            for place, members in shape.members:
                values[place] = members[values[place]]
            return shape.make(at, *values)
        except KeyError:
            pass  # said in full below
    if len(values) > len(shape.names):
        raise UnreadableEvent(f"{shape.type_name} has more values than this version knows fields")
    return shape.make(**_read_fields(shape, {"at": at, **dict(zip(shape.names, values, strict=False))}))


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
    type_number: int
    make: Callable[..., Event]
    fields: Mapping[str, Callable[[object], object]]
    """For each field, what checks and restores its value."""
    required: frozenset[str]
    kinds: frozenset[tuple[type, ...]]
    """Of the values that a payload may hold: each is as it was written, but for those of `members`."""
    members: tuple[tuple[int, Mapping[str, StrEnum]], ...]
    """Where there are enums among them, and what their texts stand for."""
    names: tuple[str, ...]
    """The fields whose values are written, in that order."""
    read: Callable[[Event], tuple[Any, ...]]
    """The values of `names`."""
    moments: tuple[int, ...]
    """Where there are floats among them."""
    defaults: tuple[object, ...]
    """Those of the last fields, the last one first: what is just that is not written, and is read back so."""


def _shape(type_name: str, event_type: type[Event]) -> _Shape:
    hints = get_type_hints(event_type)
    names = tuple(field.name for field in fields(event_type) if field.name != "at")
    required = frozenset(field.name for field in fields(event_type) if field.default is MISSING)
    kinds = [_kinds(hints[name]) for name in names]
    return _Shape(
        type_name,
        TYPE_NUMBERS[type_name],
        make=event_type,
        fields={field.name: _restorer(hints[field.name]) for field in fields(event_type)},
        required=required,
        kinds=frozenset(
            found
            for kept in range(len(required - {"at"}), len(names) + 1)
            for found in product(*kinds[:kept])
        ),
        members=tuple(
            (place, {member.value: member for member in hints[name]})
            for place, name in enumerate(names)
            if isinstance(hints[name], EnumType)
        ),
        names=names,
        read=_reader(names),
        moments=tuple(
            place for place, name in enumerate(names) if float in (hints[name], *get_args(hints[name]))
        ),
        defaults=tuple(f.default for f in reversed(fields(event_type)) if f.default is not MISSING),
    )


def _reader(names: tuple[str, ...]) -> Callable[[Event], tuple[Any, ...]]:
    match names:
        case ():
            return lambda _: ()
        case (name,):
            # Of a single one it makes no tuple.
            return lambda event: (getattr(event, name),)
        case _:
            return attrgetter(*names)


def _kinds(hint: object) -> tuple[type, ...]:
    """Of what JSON makes of a value of the type *hint*."""
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return tuple(kind for arm in get_args(hint) for kind in _kinds(arm))
    if isinstance(hint, NewType):
        return _kinds(hint.__supertype__)
    if isinstance(hint, EnumType):
        return (str,)
    assert isinstance(hint, type)
    return (hint,)


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
_SHAPES_BY_NUMBER: Final = {shape.type_number: shape for shape in _SHAPES.values()}
