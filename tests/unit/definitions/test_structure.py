"""How steps hang together: what they depend on, where the pivot may stand, and what follows from that."""

import json
import random
import time
from collections.abc import Sequence
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from coordinator.domain.definition import (
    PARALLEL_DEFAULT,
    STEPS_MAX,
    RetryPolicy,
    SagaDefinition,
    StepKind,
    parse_definition,
)
from coordinator.domain.errors import InvalidDefinition, Violation
from coordinator.domain.ids import StepName
from tests.unit.machine.definitions import any_definition
from tests.unit.machine.tale import define, pivot, retriable, step

Written = dict[str, Any]


def written(name: str, *depends_on: str, **others: object) -> Written:
    """A step as it is written, with all that it depends on; none where none is named."""
    entry = {"service": "Shop", "transaction": name, "compensation": None, "dependsOn": list(depends_on)}
    return {**entry, **others}


def next_in_row(name: str, **others: object) -> Written:
    return {"service": "Shop", "transaction": name, "compensation": None, **others}


PIVOT: Final = {"kind": "pivot"}
RETRIABLE: Final = {"kind": "retriable"}


def parsed(*steps: Written, **others: object) -> SagaDefinition:
    return parse_definition(json.dumps({"sagaName": "Trip", "steps": steps, **others}), source="trip.json")


def faults(*steps: Written, **others: object) -> tuple[Violation, ...]:
    with pytest.raises(InvalidDefinition) as caught:
        parsed(*steps, **others)
    return caught.value.violations


def names(of: SagaDefinition, name: str) -> list[str]:
    return [before.name for before in of.ancestors(StepName(name))]


# What a step depends on


def test_a_step_depends_on_the_one_before_it_unless_it_says_otherwise() -> None:
    row = parsed(next_in_row("a"), next_in_row("b"), next_in_row("c"))
    assert row.graph.order == (0, 1, 2)
    assert (names(row, "a"), names(row, "b"), names(row, "c")) == ([], ["a"], ["a", "b"])
    beside = parsed(next_in_row("a"), written("b"), next_in_row("c"))
    assert (names(beside, "b"), names(beside, "c")) == ([], ["b"])


def test_steps_stand_in_any_order() -> None:
    turned = parsed(written("c", "b"), written("b", "a"), written("a"))
    assert names(turned, "c") == ["b", "a"], "in the order of the file"
    assert turned.graph.order == (2, 1, 0)
    assert turned.positions == {"c": 0, "b": 1, "a": 2}


def test_so_many_steps_are_at_work_at_the_same_time_as_it_says_or_ten() -> None:
    assert parsed(next_in_row("a")).parallel_max == PARALLEL_DEFAULT == 10
    assert parsed(next_in_row("a"), maxParallel=3).parallel_max == 3


def test_it_has_conditions_if_any_of_its_steps_has_one() -> None:
    assert not parsed(next_in_row("a"), next_in_row("b")).has_conditions
    assert parsed(next_in_row("a"), next_in_row("b", when="true")).has_conditions


def test_an_entry_of_input_may_take_the_output_of_all_that_the_step_depends_on_and_of_no_other() -> None:
    steps = [written("a"), written("b", "a"), written("c"), written("d", "b", input=["outputs.a"])]
    assert parsed(*steps).step(StepName("d")).input == ("outputs.a",)
    (fault,) = faults(*steps[:3], written("d", "b", input=["outputs.c"]))
    assert fault.path == "$.steps[3].input[0]"
    assert fault.sentence == ("expected 'outputs.' and the name of an earlier step (a, b), found 'outputs.c'")


def test_where_it_cannot_be_known_which_steps_come_before_no_output_is_said_to_be_missing() -> None:
    def paths(*steps: Written) -> list[str]:
        return [fault.path for fault in faults(*steps)]

    wants, nameless = {"input": ["outputs.x"]}, next_in_row("!")
    assert paths(written("a", "nowhere"), written("b", "a", **wants)) == ["$.steps[0].dependsOn[0]"]
    assert paths(written("a", "nowhere"), next_in_row("b", **wants)) == ["$.steps[0].dependsOn[0]"]
    assert paths(next_in_row("a"), nameless, next_in_row("c", **wants)) == ["$.steps[1].transaction"]
    assert paths(next_in_row("a"), next_in_row("b", **wants), nameless) == [
        "$.steps[1].input[0]",
        "$.steps[2].transaction",
    ]


def test_the_services_that_there_are_are_told_in_order() -> None:
    text = json.dumps({"sagaName": "Trip", "steps": [next_in_row("a")]})
    with pytest.raises(InvalidDefinition, match=r"expected a service of SAGA_SERVICES \(Air, Hotel, Rail\)"):
        parse_definition(text, source="trip.json", services=["Hotel", "Rail", "Air"])


# What is refused

NO_CYCLE: Final = "expected steps that do not wait for each other, found"
BESIDE: Final = "of a step beside the pivot, nobody could say whether it can still be undone"
WRONG: Final[dict[str, tuple[list[Written], str, str]]] = {
    "unknown step": (
        [written("a"), written("b", "a", "nowhere")],
        "$.steps[1].dependsOn[1] unknown-dependency",
        "expected the name of a step (a, b), found 'nowhere'",
    ),
    "step named twice": (
        [written("a"), written("b", "a", "a")],
        "$.steps[1].dependsOn[1] unknown-dependency",
        "expected each step once, found 'a' again",
    ),
    "step that waits for itself": (
        [written("a", "a")],
        "$.steps[0].dependsOn[0] dependency-cycle",
        "expected another step, found 'a' itself",
    ),
    "cycle of two": (
        [written("a", "b"), written("b", "a")],
        "$.steps[0].dependsOn dependency-cycle",
        f"{NO_CYCLE} a -> b -> a",
    ),
    "cycle through the step before": (
        [written("a", "c"), next_in_row("b"), next_in_row("c"), written("d")],
        "$.steps[0].dependsOn dependency-cycle",
        f"{NO_CYCLE} a -> c -> b -> a",
    ),
    "cycle behind a step that is right": (
        [written("a"), next_in_row("b"), written("c", "d"), next_in_row("d"), written("e", "a", "d")],
        "$.steps[2].dependsOn dependency-cycle",
        f"{NO_CYCLE} c -> d -> c",
    ),
    "cycle that is met at a step which names none": (
        [written("a", "c"), written("b", "c"), next_in_row("c")],
        "$.steps[2] dependency-cycle",
        f"{NO_CYCLE} c -> b -> c",
    ),
    "cycle that is told whole": (
        [written("a", "g"), *map(next_in_row, "bcdefg")],
        "$.steps[0].dependsOn dependency-cycle",
        f"{NO_CYCLE} a -> g -> f -> e -> d -> c -> b -> a",
    ),
    "cycle that is told in parts": (
        [written("a", "h"), *map(next_in_row, "bcdefgh")],
        "$.steps[0].dependsOn dependency-cycle",
        f"{NO_CYCLE} a -> h -> g -> f -> … -> c -> b -> a",
    ),
    "two steps of one name, of which nobody knows which one a circle would go through": (
        [written("a", "b"), written("b", "a"), written("c") | {"name": "a"}],
        "$.steps[2].name invalid",
        "expected a step name of its own, found 'a' as in $.steps[0]",
    ),
    "two pivots": (
        [next_in_row("a", **PIVOT), next_in_row("b", **PIVOT), next_in_row("c", **RETRIABLE)],
        "$.steps[1].kind second-pivot",
        "expected at most one pivot, found another one than a",
    ),
    "pivot with a condition": (
        [next_in_row("a", **PIVOT, when="true")],
        "$.steps[0].when pivot-with-when",
        "expected none: a pivot is the decision, and can not be omitted",
    ),
    "compensatable behind the pivot": (
        [next_in_row("a", **PIVOT), next_in_row("b"), next_in_row("c", **RETRIABLE)],
        "$.steps[1] fallible-after-pivot",
        'expected "kind": "retriable": it comes after the pivot a, so it is never undone',
    ),
    "retriable before the pivot": (
        [next_in_row("a", **RETRIABLE), next_in_row("b"), next_in_row("c", **PIVOT)],
        "$.steps[0].kind retriable-before-pivot",
        'expected "compensatable": it comes before the pivot c, and may have to be undone',
    ),
    "beside the pivot": (
        [written("a"), written("b", "a", **PIVOT), written("c", "a")],
        "$.steps[2] beside-pivot",
        f"expected a step that the pivot b depends on, or one that depends on it: {BESIDE}",
    ),
    "retriable without a pivot": (
        [next_in_row("a"), next_in_row("b", **RETRIABLE)],
        "$.steps[1].kind retriable-without-pivot",
        'expected "compensatable": there is no pivot that it could come after',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_hang_together_is_refused_by_a_rule_and_with_a_sentence(name: str) -> None:
    steps, where, sentence = WRONG[name]
    (fault,) = faults(*steps)
    assert (f"{fault.path} {fault.rule}", fault.sentence) == (where, sentence)


def test_every_fault_of_the_structure_is_told_at_once() -> None:
    found = faults(
        written("a", "a", "gone", kind="retriable"), written("b", "a", "a"), {"service": "Shop", "name": "c"}
    )
    assert [(fault.path, fault.rule) for fault in found if fault.rule != "invalid"] == [
        ("$.steps[0].dependsOn[0]", "dependency-cycle"),
        ("$.steps[0].dependsOn[1]", "unknown-dependency"),
        ("$.steps[1].dependsOn[1]", "unknown-dependency"),
    ]


@pytest.mark.parametrize("wrong", [1, None, {"step": "a"}, ["a"]])
def test_what_is_no_name_of_a_step_is_one_fault_and_hides_no_other(wrong: object) -> None:
    found = faults(written("a"), next_in_row("b", dependsOn=[wrong, "gone"]))
    assert [(fault.path, fault.rule) for fault in found] == [
        ("$.steps[1].dependsOn[0]", "invalid"),
        ("$.steps[1].dependsOn[1]", "unknown-dependency"),
    ]


@pytest.mark.parametrize("wrong", ["c", "gone"])
def test_a_wrong_dependency_hides_no_circle_elsewhere(wrong: str) -> None:
    found = faults(written("a", "b"), written("b", "a"), written("c", wrong))
    rule = "dependency-cycle" if wrong == "c" else "unknown-dependency"
    assert [(fault.path, fault.rule) for fault in found] == [
        ("$.steps[0].dependsOn", "dependency-cycle"),
        ("$.steps[2].dependsOn[0]", rule),
    ]


def test_a_step_whose_name_cannot_be_read_may_be_the_one_that_is_meant() -> None:
    found = faults(written("a", "b"), written("0", "a"))
    assert not any(fault.rule for fault in found if "dependsOn" in fault.path)


@pytest.mark.parametrize("misspelt", ["pivott", "", 1, ["pivot"], None])
def test_a_step_whose_kind_cannot_be_read_may_be_the_pivot_that_is_meant(misspelt: object) -> None:
    found = faults(next_in_row("a", kind=misspelt), next_in_row("b", **RETRIABLE))
    assert [(fault.path, fault.rule) for fault in found] == [("$.steps[0].kind", "invalid")]


def test_a_step_whose_kind_cannot_be_read_may_be_the_retriable_one_that_is_meant() -> None:
    found = faults(next_in_row("a", **PIVOT), next_in_row("b", kind="retryable"))
    assert [(fault.path, fault.rule) for fault in found] == [("$.steps[1].kind", "invalid")]


def test_a_definition_made_in_code_is_held_to_the_same_structure() -> None:
    for steps, sentence in (
        (
            (step("a", depends_on=["b"]), step("b")),
            r"\$\.steps\[0\].dependsOn expected steps that do not wait",
        ),
        ((retriable("a"),), r"\$\.steps\[0\].kind expected .* there is no pivot"),
        ((pivot("a", when="true"),), r"\$\.steps\[0\].when expected none: a pivot is the decision"),
        ((pivot("a"), step("b")), r"\$\.steps\[1\] expected .*after the pivot a"),
    ):
        with pytest.raises(ValidationError, match=sentence):
            define(*steps)


def test_a_definition_that_went_round_its_checks_has_no_graph() -> None:
    circle = (step("a", depends_on=["b"]), step("b"))
    unchecked = SagaDefinition.model_construct(name="Trip", steps=circle)
    with pytest.raises(ValueError, match="a definition without its checks has no graph"):
        _ = unchecked.graph


KINDS: Final = [StepKind.COMPENSATABLE, StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE]


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 6), st.integers(0, 2**32))
def test_one_is_taken_if_and_only_if_what_can_be_undone_the_pivot_and_what_is_repeated_follow_each_other(
    count: int, seed: int
) -> None:
    dice = random.Random(seed)
    drawn = [
        set(dice.choices(range(place), k=dice.randint(0, 3))) if place else set() for place in range(count)
    ]
    kinds = dice.choices(KINDS, k=count)
    if dice.random() < 0.6:  # or hardly one would be right
        middle = dice.randrange(count)
        kinds = [KINDS[0]] * middle + [StepKind.PIVOT] + [StepKind.RETRIABLE] * (count - middle - 1)
        drawn[middle] |= set(range(middle)) if dice.random() < 0.7 else set()
    before: list[set[int]] = []
    for parents in drawn:
        before.append(parents.union(*(before[parent] for parent in parents)))
    steps = [written(f"s{i}", *(f"s{p}" for p in drawn[i]), kind=kinds[i]) for i in range(count)]
    dice.shuffle(steps)
    if is_sound(before, kinds):
        definition = parsed(*steps)
        assert definition.pivot == next((i for i, s in enumerate(steps) if s["kind"] == "pivot"), None)
    else:
        assert faults(*steps)


def is_sound(before: Sequence[set[int]], kinds: Sequence[StepKind]) -> bool:
    pivots = [place for place, kind in enumerate(kinds) if kind is StepKind.PIVOT]
    if not pivots:
        return StepKind.RETRIABLE not in kinds
    pivot, *others = pivots
    return not others and all(
        place == pivot
        or (kind is StepKind.RETRIABLE and pivot in before[place])
        or (kind is StepKind.COMPENSATABLE and place in before[pivot])
        for place, kind in enumerate(kinds)
    )


# How often a step is tried, by its kind


def test_a_pivot_and_what_comes_after_it_are_tried_for_a_day_and_others_five_times() -> None:
    before, decides, after = parsed(
        next_in_row("a"), next_in_row("b", **PIVOT), next_in_row("c", **RETRIABLE)
    ).steps
    assert before.retry == RetryPolicy(
        max_attempts=5, initial_backoff_s=0.2, multiplier=2, max_backoff_s=5, budget_s=None
    )
    lasting = RetryPolicy(
        max_attempts=None, initial_backoff_s=0.2, multiplier=2, max_backoff_s=60, budget_s=86_400
    )
    assert decides.retry == after.retry == lasting


def test_what_a_retry_policy_leaves_unsaid_is_that_of_its_kind() -> None:
    some = {"retry": {"initialBackoff": "1s"}}
    a, b = parsed(next_in_row("a", **some), next_in_row("b", **PIVOT, **some)).steps
    assert (a.retry.initial_backoff_s, a.retry.max_attempts, a.retry.budget_s) == (1, 5, None)
    assert (b.retry.initial_backoff_s, b.retry.max_attempts, b.retry.budget_s) == (1, None, 86_400)
    both = {"retry": {"maxAttempts": 3, "budget": "10s"}}
    a, b = parsed(next_in_row("a", **both), next_in_row("b", **PIVOT, **both)).steps
    assert (a.retry.max_attempts, a.retry.budget_s) == (b.retry.max_attempts, b.retry.budget_s) == (3, 10)


def test_what_is_tried_without_end_is_refused() -> None:
    endless = {"retry": {"maxAttempts": None, "budget": None}}
    for kind in ({}, PIVOT):
        (fault,) = faults(next_in_row("a", **kind, **endless))
        assert fault.path == "$.steps[0].retry"
        assert fault.sentence.startswith("expected a number of maxAttempts or a budget")


# At the size that definitions may have


def test_a_thousand_steps_are_taken_in_a_row_turned_about_or_side_by_side() -> None:
    count = STEPS_MAX
    row = [next_in_row(f"s{i}") for i in range(count)]
    turned = [written(f"s{i}", f"s{i + 1}") for i in range(count - 1)] + [written(f"s{count - 1}")]
    beside = [written(f"s{i}") for i in range(count)]
    for steps, last, ancestors in ((row, count - 1, count - 1), (turned, 0, count - 1), (beside, 0, 0)):
        definition = parsed(*steps)
        assert definition.graph.ancestors[last].bit_count() == ancestors


def test_a_long_cycle_is_told_by_its_ends() -> None:
    steps = [written(f"s{i}", f"s{(i + 1) % STEPS_MAX}") for i in range(STEPS_MAX)]
    (fault,) = faults(*steps)
    assert fault.sentence.endswith("found s0 -> s1 -> s2 -> s3 -> … -> s998 -> s999 -> s0")


def test_the_densest_definition_is_checked_at_once() -> None:
    count = 300  # of a thousand, the names alone would take more than a definition may
    dense = [written(f"s{i}", *(f"s{j}" for j in range(i))) for i in range(count)]
    began = time.process_time()
    assert parsed(*dense).graph.ancestors[-1].bit_count() == count - 1
    assert time.process_time() - began < 5.0


# What is pinned


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 7), st.integers(0, 2**32))
def test_the_text_that_sagas_are_pinned_to_says_all_of_a_graph(size: int, seed: int) -> None:
    definition = any_definition(size, random.Random(seed))
    again = parse_definition(definition.text, source="journal")
    assert again == definition
    assert (again.text, again.graph, again.pivot) == (definition.text, definition.graph, definition.pivot)
    assert [s.has_default_output for s in again.steps] == [s.has_default_output for s in definition.steps]


def test_null_is_an_output_that_may_stand_for_one_that_is_not_known() -> None:
    known, unknown = parsed(written("a", defaultOutput=None), written("b")).steps
    assert (known.has_default_output, unknown.has_default_output) == (True, False)
