"""Which step of a definition depends on which, directly or through others.

Sets of steps are bit masks, one bit for each place in the definition's list: a thousand steps cost one
machine operation a pair. Nothing here recurses, however deep the graph is.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from coordinator.domain.values import frozen


@frozen
class Graph:
    """A graph without cycles. Places are those of the steps in the definition."""

    parents: tuple[int, ...]
    """For each step, those that it depends on directly."""
    ancestors: tuple[int, ...]
    """For each step, those that it depends on, directly or through others."""
    descendants: tuple[int, ...]
    """For each step, those that depend on it, directly or through others."""
    order: tuple[int, ...]
    """Every step behind all that it depends on; otherwise as in the definition."""


def graph(depends_on: Sequence[Sequence[int]]) -> Graph | None:
    """The graph in which each step depends directly on the places given for it; None if it has a cycle."""
    order = _order(depends_on)
    if len(order) < len(depends_on):
        return None
    parents = tuple(mask(places) for places in depends_on)
    ancestors = list(parents)
    for place in order:
        for parent in depends_on[place]:
            ancestors[place] |= ancestors[parent]
    descendants = [0] * len(depends_on)
    for place in reversed(order):
        for parent in depends_on[place]:
            descendants[parent] |= descendants[place] | 1 << place
    return Graph(parents, tuple(ancestors), tuple(descendants), tuple(order))


def a_cycle(depends_on: Sequence[Sequence[int]]) -> list[int]:
    """The places of one cycle, each depending on the next and the last on the first; empty without one."""
    left = set(range(len(depends_on))).difference(_order(depends_on))
    if not left:
        return []
    # Whatever is left depends on something that is left: walking on, some place comes up again.
    place, walked = min(left), dict[int, int]()
    while place not in walked:
        walked[place] = len(walked)
        place = min(parent for parent in depends_on[place] if parent in left)
    return list(walked)[walked[place] :]


def mask(places: Sequence[int]) -> int:
    """The set of *places*."""
    bits = 0
    for place in places:
        bits |= 1 << place
    return bits


def places(bits: int) -> Iterator[int]:
    """The places in the set *bits*, in the definition's order."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _order(depends_on: Sequence[Sequence[int]]) -> list[int]:
    """A. B. Kahn, Topological sorting of large networks (1962). Leaves out what is on or behind a cycle."""
    waits_for = [len(set(parents)) for parents in depends_on]
    children: list[list[int]] = [[] for _ in depends_on]
    for place, parents in enumerate(depends_on):
        for parent in dict.fromkeys(parents):
            children[parent].append(place)
    free = [place for place, count in enumerate(waits_for) if count == 0]  # a heap, for it is sorted
    order = []
    while free:
        place = heappop(free)
        order.append(place)
        for child in children[place]:
            waits_for[child] -= 1
            if waits_for[child] == 0:
                heappush(free, child)
    return order
