"""Any definition that could be loaded: a graph of steps, maybe with a pivot in it, conditions and mappings.
Its expressions are plain paths, and a few of them fail.
"""

import random
from collections.abc import Collection, Sequence
from typing import Any, Final

import hypothesis.strategies as st

from coordinator.domain.definition import SagaDefinition, StepDefinition, StepKind
from tests.unit.machine.tale import define, step

INPUT: Final = '{"n":1,"no":false,"yes":true}'
OUTPUT: Final = '{"no":false,"ref":"r-1","yes":true}'
"""What every step answers, if these definitions are to make use of it."""

_NAMES: Final = "abcdefg"
_DEFAULTS: Final[Sequence[dict[str, Any]]] = (
    {},
    {},
    {"default_output": {"ref": None, "yes": True, "no": False}},
    {"default_output": {"ref": 0, "yes": False, "no": True}},
    {"default_output": {}},
)


def definitions() -> st.SearchStrategy[SagaDefinition]:
    """Only their size is hypothesis's to choose: drawing all of one takes longer than running it."""
    return st.builds(any_definition, st.integers(1, len(_NAMES)), st.integers(0, 2**32).map(random.Random))


def any_definition(size: int, dice: random.Random) -> SagaDefinition:
    parents, pivot = _graph(size, dice)
    before = list[set[int]]()
    for mine in parents:
        before.append(mine.union(*(before[parent] for parent in mine)))
    may_be_omitted = [place != pivot and dice.random() < 0.3 for place in range(size)]
    defaults = [dice.choice(_DEFAULTS) for _ in range(size)]
    nameable = {place for place in range(size) if not may_be_omitted[place] or defaults[place]}

    def a_step(place: int, row: Sequence[int]) -> StepDefinition:
        is_next_in_row = parents[place] == set(row[-1:])
        others = dict(defaults[place])
        if may_be_omitted[place]:
            others["when"] = _condition(dice, before[place] & nameable)
        return step(
            _NAMES[place],
            undo=dice.choice(["", "", None]),
            attempts_max=dice.randint(1, 3),
            on_failure=dice.choice(["halt", "continue"]),
            budget_s=dice.choice([0.001, 3.0, 60.0]),
            depends_on=None
            if is_next_in_row and dice.random() < 0.5
            else [_NAMES[parent] for parent in sorted(parents[place])],
            kind=_kind(place, pivot),
            **others,
            **_mappings(dice, before[place], nameable, itself=[place] if defaults[place] else []),
        )

    order = list(range(size))
    if dice.random() < 0.5:
        dice.shuffle(order)
    return define(
        *(a_step(place, order[:index]) for index, place in enumerate(order)),
        ttl_s=dice.choice([None, 4.0, 300.0]),
        max_parallel=dice.choice([None, 1, 2, 3]),
        output=dice.choice([None, _mapping(dice, nameable)]),
    )


def _graph(size: int, dice: random.Random) -> tuple[list[set[int]], int | None]:
    """For each step those that it depends on, which are before it here; and the place of the pivot."""
    parents = [
        set(dice.choices(range(place), k=dice.randint(0, 3))) if place else set() for place in range(size)
    ]
    pivot = dice.randrange(size) if dice.random() < 0.6 else None
    if pivot is not None:
        parents[pivot] = set(range(pivot)).difference(*parents[:pivot])
        for mine in parents[pivot + 1 :]:
            if all(parent < pivot for parent in mine):
                mine.add(pivot)
    return parents, pivot


def _kind(place: int, pivot: int | None) -> StepKind:
    if pivot is None or place < pivot:
        return StepKind.COMPENSATABLE
    return StepKind.PIVOT if place == pivot else StepKind.RETRIABLE


def _condition(dice: random.Random, nameable: Collection[int]) -> str:
    if dice.random() < 0.05:
        return "input.missing"
    fields = [f"outputs.{_NAMES[other]}" for other in nameable]
    return dice.choice(["input", "input", *fields]) + dice.choice([".yes", ".yes", ".no"])


def _mappings(
    dice: random.Random, before: Collection[int], nameable: Collection[int], *, itself: Collection[int]
) -> dict[str, Any]:
    """What a step is given, and what its undo is."""
    known = [other for other in before if other in nameable]
    entries = ("n", *(f"outputs.{_NAMES[other]}" for other in before))
    return {
        "input": dice.choice([None, entries, _mapping(dice, known), _mapping(dice, known)]),
        "compensation_input": dice.choice([None, _mapping(dice, [*known, *itself])]),
    }


def _mapping(dice: random.Random, nameable: Collection[int]) -> dict[str, Any]:
    mapping = {"n": "input.n", "one": 1, "refs": [f"outputs.{_NAMES[other]}.ref" for other in nameable]}
    return {**mapping, "no": "input.missing"} if dice.random() < 0.05 else mapping
