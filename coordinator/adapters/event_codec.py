"""Events as the journal keeps them on disk: a type, and a payload in compact JSON.

A payload is a list of the event's values in the order of its fields: without `at`, which stands beside it,
and without those at the end that are as the fields' defaults say. Until format 4 it was an object of them.
Events of one write and one moment stand together since format 6: a list of them, each with the number of its
type in front of its values, under the type SEVERAL. Since format 7 names and digests of definitions stand
there as numbers, and null stands for the id of the saga whose record it is. Inputs and outputs are JSON
themselves: they stand behind the list, in a line of their own and one behind the other, and their lengths in
characters in it.

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
from typing import Any, Final, NewType, Protocol, Union, get_args, get_origin, get_type_hints

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
from coordinator.domain.ids import SagaId

FORMAT_VERSION: Final = 7
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


_WORDS: Final = frozenset({"step", "saga_name", "definition_digest", "front_door"})
"""The fields whose values are said again and again."""
_TEXTS: Final = frozenset({"input", "output", "receipt"})
"""The fields whose values are JSON."""
_OWN_ID: Final = "saga_id"


class Numbered(Protocol):
    """Words that have numbers in a journal."""

    def number(self, text: str) -> int:
        """That of *text*.

        Raises:
            UnicodeEncodeError: it can not be kept.
        """
        ...

    def text(self, number: object) -> str | None:
        """What has this *number*; None: nothing has."""
        ...


class UnreadableEvent(ValueError):
    """A type name and payload are no event that this version knows; the text says what is wrong."""


def encode(event: Event, words: Numbered) -> tuple[str, str]:
    """The type name and the payload of *event*.

    Raises:
        ValueError: a value can not be kept: a float that is no number, text that is not Unicode.
    """
    shape = _SHAPES[type(event)]
    texts: list[str] = []
    try:
        return shape.type_name, _dumped(_kept(shape, event, words, texts), texts)
    except (TypeError, UnicodeEncodeError) as error:
        raise _not_kept(shape.type_name, error) from None


def encode_several(events: Sequence[Event], words: Numbered) -> tuple[str, str]:
    """What stands in place of a type name, and the payload of *events*, which are of one moment.

    Raises:
        ValueError: as `encode`.
    """
    kept = []
    texts: list[str] = []
    try:
        for event in events:
            shape = _SHAPES[type(event)]
            kept.append((shape.type_number, *_kept(shape, event, words, texts)))
        return SEVERAL, _dumped(kept, texts)
    except (TypeError, UnicodeEncodeError) as error:
        raise _not_kept(SEVERAL, error) from None


def _not_kept(type_name: str, error: Exception) -> ValueError:
    return ValueError(f"{type_name} can not be kept: {error}")


def _kept(shape: "_Shape", event: Event, words: Numbered, texts: list[str]) -> Sequence[Any]:
    """The values of *event* that are written; what stands behind them is added to *texts*."""
    values = [*shape.read(event)]
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
    for place in shape.words:
        if values[place] is not None:
            values[place] = words.number(values[place])
    for place in shape.texts:
        if (text := values[place]) is not None:
            texts.append(text)
            values[place] = len(text)
    if shape.own_id is not None:
        values[shape.own_id] = None
    return values[:kept]


def _dumped(values: object, texts: Sequence[str]) -> str:
    listed = orjson.dumps(values).decode()
    behind = "".join(texts)
    if not behind:
        return listed
    # Half characters are refused here: the store's refusal would fail more than this.
    behind.encode()
    return f"{listed}\n{behind}"


def decode_all(type_name: str, payload: str, at: float, saga_id: SagaId, words: Numbered) -> Sequence[Event]:
    """The events of the saga *saga_id* that `encode` or `encode_several` wrote, or an older release, with the
    moment *at* beside them.

    Raises:
        UnreadableEvent: as `decode`; or a number is none of *words*.
    """
    if type_name != SEVERAL:
        named, values = _shape_named(type_name), _loaded(type_name, payload)
        if not isinstance(values, list):
            return [_of_object(named, values)]
        one = _made(named, _spelt_out(named, values, saga_id, words, texts := _Texts(payload)), at)
        texts.check_end()
        return [one]
    entries, texts = _loaded(SEVERAL, payload), _Texts(payload)
    events = []
    for entry in entries if isinstance(entries, list) else ():
        is_event = isinstance(entry, list) and entry and type(entry[0]) is int
        shape = _SHAPES_BY_NUMBER.get(entry[0]) if is_event else None
        if shape is None:
            raise UnreadableEvent("one of several events is of a type that is unknown to this version")
        events.append(_made(shape, _spelt_out(shape, entry[1:], saga_id, words, texts), at))
    texts.check_end()
    if not events:
        raise UnreadableEvent("where several events should be there is none")
    return events


def count_events(type_name: str, payload: str) -> int | None:
    """How many events `decode_all` would find, if that can still be told of a payload that is damaged."""
    if type_name != SEVERAL:
        return 1
    try:
        entries = orjson.loads(payload.partition("\n")[0])
    except orjson.JSONDecodeError:
        return None
    return len(entries) if isinstance(entries, list) and entries else None


def decode(type_name: str, payload: str) -> Event:
    """The event that an older release wrote, or that was exported: an object of its fields.

    Raises:
        UnreadableEvent: the type, a field or a value is none that this version knows; named.
    """
    return _of_object(_shape_named(type_name), _loaded(type_name, payload))


def _shape_named(type_name: str) -> "_Shape":
    event_type = EVENT_TYPES.get(type_name)
    if event_type is None:
        raise UnreadableEvent(f"event type {type_name!r} is unknown to this version")
    return _SHAPES[event_type]


def _of_object(shape: "_Shape", values: object) -> Event:
    if not isinstance(values, dict):
        raise UnreadableEvent(f"the payload of {shape.type_name} is neither a list nor an object")
    return shape.make(**_read_fields(shape, values))


class _Texts:
    """What stands behind the values of a payload."""

    def __init__(self, payload: str) -> None:
        _, _, self._left = payload.partition("\n")

    def take(self, length: int) -> str:
        """The next one.

        Raises:
            UnreadableEvent: so much is not left.
        """
        if not 0 <= length <= len(self._left):
            raise UnreadableEvent("a text that should stand behind its values does not")
        text, self._left = self._left[:length], self._left[length:]
        return text

    def check_end(self) -> None:
        """Raise UnreadableEvent if more is left."""
        if self._left:
            raise UnreadableEvent("more texts stand behind its values than they name")


def _spelt_out(
    shape: "_Shape", values: list[Any], saga_id: SagaId, words: Numbered, texts: _Texts
) -> list[Any]:
    """*values* with what stands in short there."""
    there = len(values)
    for place in shape.words:
        if place < there and type(values[place]) is int:
            values[place] = words.text(values[place])
            if values[place] is None:
                raise UnreadableEvent(
                    f"{shape.type_name} has a number in {shape.names[place]} that stands for no word"
                )
    for place in shape.texts:
        if place < there and type(values[place]) is int:
            values[place] = texts.take(values[place])
    if shape.own_id is not None and shape.own_id < there and values[shape.own_id] is None:
        values[shape.own_id] = saga_id
    return values


def _loaded(type_name: str, payload: str) -> object:
    try:
        return orjson.loads(payload.partition("\n")[0])
    except orjson.JSONDecodeError:
        raise UnreadableEvent(f"the payload of {type_name} is not JSON") from None


def _made(shape: "_Shape", values: list[Any], at: float) -> Event:
    """The event that has these *values*."""
    # Of nearly all that is read, the kinds of the values alone show that it is right.
    if tuple(map(type, values)) in shape.kinds:
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
    words: tuple[int, ...]
    """Where there are words among them that have numbers."""
    texts: tuple[int, ...]
    """Where there is JSON among them."""
    own_id: int | None
    """Where the saga's own id is, if it is among them."""
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
        words=tuple(place for place, name in enumerate(names) if name in _WORDS),
        texts=tuple(place for place, name in enumerate(names) if name in _TEXTS),
        own_id=names.index(_OWN_ID) if _OWN_ID in names else None,
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
