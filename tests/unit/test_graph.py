"""Which step depends on which: against what is plain to see, and at the size that definitions may have."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from coordinator.domain.definition import STEPS_MAX
from coordinator.domain.language.graph import Graph, a_cycle, graph, mask, places

Drawn = list[list[int]]
ALL: Final = (1 << STEPS_MAX) - 1


@st.composite
def drawn(draw: st.DrawFn, *, acyclic: bool = False) -> Drawn:
    """Any graph of a few steps; an acyclic one stands in any order."""
    count = draw(st.integers(1, 9))
    if not acyclic:
        others = st.lists(st.integers(0, count - 1), max_size=3, unique=True)
        return draw(st.lists(others, min_size=count, max_size=count))
    earlier = [draw(st.lists(st.integers(0, max(0, i - 1)), max_size=4, unique=True)) for i in range(count)]
    place = draw(st.permutations(range(count)))
    depends_on: Drawn = [[] for _ in range(count)]
    for step, parents in enumerate(earlier):
        depends_on[place[step]] = [place[parent] for parent in parents if step > 0]
    return depends_on


def reachable(depends_on: Drawn, place: int) -> set[int]:
    """All that *place* depends on, found by walking."""
    found, unseen = set[int](), list(depends_on[place])
    while unseen:
        step = unseen.pop()
        if step not in found:
            found.add(step)
            unseen += depends_on[step]
    return found


def made(depends_on: Drawn) -> Graph:
    of = graph(depends_on)
    assert of is not None
    return of


@settings(deadline=None)
@given(drawn(acyclic=True))
def test_dependence_is_what_walking_finds(depends_on: Drawn) -> None:
    of = made(depends_on)
    before = [reachable(depends_on, place) for place in range(len(depends_on))]
    for place, ancestors in enumerate(before):
        assert set(places(of.parents[place])) == set(depends_on[place])
        assert set(places(of.ancestors[place])) == ancestors
        assert set(places(of.descendants[place])) == {
            other for other in range(len(before)) if place in before[other]
        }


@settings(deadline=None)
@given(drawn(acyclic=True))
def test_the_order_puts_each_step_behind_what_it_depends_on_and_else_keeps_that_of_the_file(
    depends_on: Drawn,
) -> None:
    order = made(depends_on).order
    assert sorted(order) == list(range(len(depends_on)))
    for index, place in enumerate(order):
        done = set(order[:index])
        free = [
            other for other in range(len(order)) if other not in done and done.issuperset(depends_on[other])
        ]
        assert place == min(free)


@settings(deadline=None)
@given(drawn())
def test_a_graph_has_a_cycle_if_and_only_if_one_can_be_named(depends_on: Drawn) -> None:
    has_cycle = any(place in reachable(depends_on, place) for place in range(len(depends_on)))
    cycle = a_cycle(depends_on)
    assert (graph(depends_on) is None) == has_cycle == bool(cycle)
    assert len(set(cycle)) == len(cycle)
    for place, following in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True):
        assert following in depends_on[place], "each depends on the next, and the last on the first"


@pytest.mark.parametrize(
    ("depends_on", "cycle"),
    [
        ([[0]], [0]),
        ([[1], [0]], [0, 1]),
        ([[], [3], [1], [2]], [1, 3, 2]),
        # What only leads to a cycle, or behind one, is no part of it.
        ([[1], [2], [1], [2]], [1, 2]),
        ([[], [0, 2], [1, 0], []], [1, 2]),
        # Of several the one is told that a reader of the definition comes upon first.
        ([[2, 1], [0], [0]], [0, 1]),
    ],
)
def test_a_cycle_is_named_without_what_only_leads_to_it(depends_on: Drawn, cycle: list[int]) -> None:
    assert graph(depends_on) is None
    assert a_cycle(depends_on) == cycle


def test_where_no_step_waits_for_itself_there_is_no_cycle_to_name() -> None:
    assert a_cycle([[], [0], [0, 1]]) == []


def test_a_set_of_places_is_read_back_in_their_order() -> None:
    assert list(places(mask([7, 0, 999, 7]))) == [0, 7, 999]
    assert list(places(mask([]))) == []


def chain(place: int) -> Sequence[int]:
    return [place - 1] if place else []


def backwards(place: int) -> Sequence[int]:
    return [place + 1] if place < STEPS_MAX - 1 else []


@pytest.mark.parametrize("of", [chain, backwards], ids=["in order", "the last step first"])
def test_a_chain_of_a_thousand_steps_needs_no_recursion(of: Callable[[int], Sequence[int]]) -> None:
    depends_on = [list(of(place)) for place in range(STEPS_MAX)]
    row = made(depends_on)
    first, last = row.order[0], row.order[-1]
    assert row.ancestors[last] == ALL ^ 1 << last
    assert row.descendants[first] == ALL ^ 1 << first
    assert row.ancestors[first] == row.descendants[last] == 0
    depends_on[first] = [last]
    assert graph(depends_on) is None
    assert sorted(a_cycle(depends_on)) == list(range(STEPS_MAX))


def test_a_thousand_steps_side_by_side_depend_on_nothing() -> None:
    wide = made([[] for _ in range(STEPS_MAX)])
    assert wide.order == tuple(range(STEPS_MAX))
    assert not any((*wide.parents, *wide.ancestors, *wide.descendants))


def test_a_step_may_join_a_thousand() -> None:
    joined = made([*([] for _ in range(STEPS_MAX - 1)), list(range(STEPS_MAX - 1))])
    assert joined.ancestors[-1] == ALL >> 1
    assert set(joined.descendants[:-1]) == {1 << STEPS_MAX - 1}


def test_the_densest_graph_there_may_be_is_drawn_at_once() -> None:
    depends_on = [list(range(place)) for place in range(STEPS_MAX)]
    began = time.process_time()
    dense = made(depends_on)
    took_s = time.process_time() - began
    assert dense.ancestors[-1] == ALL >> 1
    assert took_s < 3.0, "half a million dependences take a quarter of a second"
