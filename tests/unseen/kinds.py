"""What an expression stands for, as far as the order of a set can hang on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Final, Optional

SET: Final = "set"
MAPPING: Final = "mapping"
VIEW: Final = "view"
"""Of a mapping, in its order: but an operator makes a set of it."""
MANY: Final = "many"
ROW: Final = "row"
"""A tuple, each entry of which is of a kind of its own."""
AWAITED: Final = "awaited"
"""What is something only after it was waited for."""
MIXED: Final = "mixed"
"""Of several of these kinds, and so is what it holds."""

_DEPTH_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """`what`: one of those above, or the whole name of a class. `of`: what it holds."""

    what: str
    of: tuple[Optional["Kind"], ...] = ()

    @property
    def holds_sets(self) -> bool:
        return self.what == SET or any(each is not None and each.holds_sets for each in self.of)


def merged(one: Kind | None, other: Kind | None) -> Kind | None:
    """The kind of what is of *one* or of the other. If either is a set, its order must not decide."""
    if one is None or other is None or one == other:
        return one or other
    for kind in (one, other):
        if kind.what == SET:
            return kind
    if one.what == other.what and len(one.of) == len(other.of):
        return Kind(one.what, tuple(map(merged, one.of, other.of)))
    return Kind(MIXED, (any_of((*one.of, *other.of)),))


def any_of(kinds: Iterable[Kind | None]) -> Kind | None:
    """The kind of what may be of each of *kinds*."""
    return reduce(merged, kinds, None)


def entry(kind: Kind | None) -> Kind | None:
    """What comes out of it when it is iterated over."""
    if kind is None or not kind.of:
        return None
    return any_of(kind.of) if kind.what == ROW else kind.of[0]


def cut(kind: Kind | None, depth: int = 0) -> Kind | None:
    """*kind* without what it holds too deep inside: so that what holds itself has an end."""
    if kind is None or depth > _DEPTH_MAX:
        return None
    return Kind(kind.what, tuple(cut(each, depth + 1) for each in kind.of))
