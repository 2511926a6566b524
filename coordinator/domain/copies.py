"""Copies of frozen dataclasses with some fields changed, and what is worked out of one once.

A saga is replaced at every event, so these are what the coordinator does most often. They do what
`dataclasses.replace` and `functools.cached_property` do, at a small part of their price: those go through
every field in turn, and take a lock that nobody needs here.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

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
        # Found there from now on, before this is asked.
        value = instance.__dict__[self._name] = self._work(instance)
        return value


class _Shape(NamedTuple):
    fields: frozenset[str]
    remembered: tuple[str, ...]


_SHAPES: dict[type, _Shape] = {}


def _shape(kind: type) -> _Shape:
    if hasattr(kind, "__post_init__") or "__slots__" in vars(kind):
        raise TypeError(f"{kind.__name__} has slots or a __post_init__, which a copy made here would not run")
    names = (
        name for base in kind.__mro__ for name, value in vars(base).items() if isinstance(value, remembered)
    )
    shape = _SHAPES[kind] = _Shape(frozenset(field.name for field in fields(kind)), tuple(names))
    return shape


if TYPE_CHECKING:
    # The type checker knows this one, and holds the changes to the fields' types.
    from dataclasses import replace as replace
else:

    def replace(value: _Owner, /, **changes: Any) -> _Owner:
        """*value* with the fields in *changes* changed."""
        kind = type(value)
        shape = _SHAPES.get(kind) or _shape(kind)
        if not changes.keys() <= shape.fields:
            raise TypeError(
                f"{kind.__name__} has no field {', '.join(sorted(changes.keys() - shape.fields))}"
            )
        copy = object.__new__(kind)
        content = copy.__dict__
        content.update(value.__dict__)
        if len(content) > len(shape.fields):
            for name in shape.remembered:
                content.pop(name, None)
        content.update(changes)
        return copy
