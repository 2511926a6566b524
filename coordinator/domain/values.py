"""Values: dataclasses that never change, copies of them with other fields, and what is worked out once.

A saga is replaced at every event, so these are what the coordinator does most often. They do what
`dataclass(frozen=True)`, `dataclasses.replace` and `functools.cached_property` do, at a small part of their
price: those go through every field in turn, and take a lock that nobody needs here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar, dataclass_transform, overload

_Owner = TypeVar("_Owner")
_Value = TypeVar("_Value")


class remembered(Generic[_Value]):  # noqa: N801  # it stands where `property` does
    """A property that is worked out when it is first asked for. `replace` leaves it out of copies."""

    def __init__(self, work: Callable[[Any], _Value]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "remembered[_Value]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...

    def __get__(self, instance: object, owner: type) -> "remembered[_Value] | _Value":
        if instance is None:
            return self
        # Found there from now on, before this is asked. Not by way of `__dict__`: who asks for that of an
        # object makes every other look at it slower.
        value = self._work(instance)
        setattr(instance, self._name, value)
        return value


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[_Owner]) -> type[_Owner]:
    """A dataclass whose fields are set when it is made, and never again.

    The type checker holds everybody to that. At run time nothing does: what does would make a value of
    twenty fields take five times as long.
    """
    return dataclass(unsafe_hash=True)(kind)


_SIZES: dict[type, int] = {}
"""The number of fields that each class has: what else an object of it holds is remembered."""
_new = object.__new__


def copied(value: _Owner) -> _Owner:
    """*value* as a copy, to begin with where others are made of it, one of another, by `replace`.

    What CPython 3.11 knows of an object that its class has made is shared by all of them, and so it is in
    copies of it. To look at a field of such a copy takes three times as long as in one that begins here.
    """
    copy = _new(type(value))
    copy.__dict__ = dict(value.__dict__)
    return copy


def hand_on(name: str, value: object, copy: object) -> None:
    """Let *copy* remember what *value* does under *name*, if it does: it is not worked out for this."""
    content = value.__dict__
    if name in content:
        copy.__dict__[name] = content[name]


def _size(kind: type) -> int:
    if hasattr(kind, "__post_init__") or "__slots__" in vars(kind):
        raise TypeError(f"{kind.__name__} has slots or a __post_init__, which a copy made here would not run")
    size = _SIZES[kind] = len(fields(kind))
    return size


if TYPE_CHECKING:
    # The type checker knows this one, and holds the changes to the fields' types.
    from dataclasses import replace as replace
else:

    def replace(value: _Owner, /, **changes: Any) -> _Owner:
        """*value* with the fields in *changes* changed."""
        kind = type(value)
        size = _SIZES.get(kind) or _size(kind)
        content = value.__dict__.copy()
        while len(content) > size:
            content.popitem()  # what is remembered came last, when all fields were there
        content |= changes
        if len(content) > size:
            unknown = changes.keys() - {field.name for field in fields(kind)}
            raise TypeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
        copy = _new(kind)
        copy.__dict__ = content
        return copy
