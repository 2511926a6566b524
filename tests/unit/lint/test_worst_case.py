"""How long steps take at worst, against the plainest way to count it."""

import math

from hypothesis import example, given, settings
from hypothesis import strategies as st

from coordinator.domain.definition import (
    CompensationRetryPolicy,
    RetryPolicy,
    SagaDefinition,
    StepDefinition,
    StepKind,
)
from coordinator.domain.ids import StepName
from coordinator.domain.language.worst_case import forward_s, longest_stretch, one_round


def a_step(name: str = "s", *, timeout_s: float = 10, **more: object) -> StepDefinition:
    fields = {"service": "S", "transaction": name, "compensation": None, "timeout_s": timeout_s, **more}
    return StepDefinition.model_validate(fields)


def once(name: str, seconds: float, *depends_on: str) -> StepDefinition:
    return a_step(name, timeout_s=seconds, retry=RetryPolicy(max_attempts=1), depends_on=depends_on)


def test_every_attempt_lasts_its_timeout_and_every_wait_its_cap() -> None:
    assert forward_s(a_step(retry=RetryPolicy(max_attempts=3, max_backoff_s=7))) == 3 * 10 + 2 * 7
    assert forward_s(a_step(retry=RetryPolicy(max_attempts=1, max_backoff_s=7))) == 10


def test_the_last_attempt_begins_when_the_budget_ends() -> None:
    assert forward_s(a_step(retry=RetryPolicy(max_attempts=None, budget_s=60))) == 70
    assert forward_s(a_step(retry=RetryPolicy(max_attempts=2, budget_s=60))) == 25


def test_of_a_pivot_only_the_first_attempt_counts() -> None:
    assert forward_s(a_step(kind=StepKind.PIVOT)) == 10


def test_what_comes_after_the_pivot_does_not_count() -> None:
    steps = (
        once("hold", 5),
        a_step("pay", kind=StepKind.PIVOT, timeout_s=3),
        a_step("ship", kind=StepKind.RETRIABLE, timeout_s=500),
    )
    saga = SagaDefinition(name="Any", steps=steps)
    assert [(step.name, seconds) for step, seconds in longest_stretch(saga).steps] == [
        ("hold", 5),
        ("pay", 3),
    ]


def test_the_longer_of_two_ways_counts() -> None:
    steps = (once("a", 1), once("b", 2, "a"), once("c", 30, "a"), once("d", 4, "b", "c"))
    stretch = longest_stretch(SagaDefinition(name="Any", steps=steps))
    assert [step.name for step, _ in stretch.steps] == ["a", "c", "d"]
    assert stretch.length_s == 35


def test_a_step_waits_for_room() -> None:
    steps = (once("a", 5), once("b", 3), once("c", 4))
    stretch = longest_stretch(SagaDefinition(name="Any", steps=steps, max_parallel=2))
    assert [step.name for step, _ in stretch.steps] == ["b", "c"]
    assert stretch.length_s == 7


@st.composite
def graphs(draw: st.DrawFn) -> tuple[StepDefinition, ...]:
    count = draw(st.integers(1, 8))
    names = [f"s{place}" for place in range(count)]
    return tuple(
        once(
            name,
            draw(st.integers(1, 9)),
            *(draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else ()),
        )
        for place, name in enumerate(names)
    )


@settings(max_examples=40)
@given(graphs())
def test_with_room_for_all_it_is_the_longest_path_and_with_room_for_one_the_sum(
    steps: tuple[StepDefinition, ...],
) -> None:
    ends: dict[StepName, float] = {}
    for step in steps:
        ends[step.name] = step.timeout_s + max((ends[name] for name in step.depends_on or ()), default=0)
    assert longest_stretch(SagaDefinition(name="Any", steps=steps)).length_s == max(ends.values())
    alone = longest_stretch(SagaDefinition(name="Any", steps=steps, max_parallel=1))
    assert alone.length_s == sum(step.timeout_s for step in steps)
    assert {step.name for step, _ in alone.steps} == {step.name for step in steps}


@settings(max_examples=50)
# The logarithms say 3.0000000000000004.
@example(1.0, 125.0, 5.0, 10.0)
@given(
    st.sampled_from([0.001, 0.2, 1.0, 3.0]),
    st.floats(1, 5000),
    st.sampled_from([1.0, 1.5, 2.0, 3.0, 100.0]),
    st.floats(0.001, 100),
)
def test_a_round_is_counted_as_the_waits_come(
    initial_s: float, factor: float, multiplier: float, timeout_s: float
) -> None:
    cap_s = initial_s * factor
    policy = CompensationRetryPolicy(initial_backoff_s=initial_s, max_backoff_s=cap_s, multiplier=multiplier)
    waits = [initial_s]
    while multiplier > 1 and waits[-1] < cap_s * (1 - 1e-9):
        waits.append(min(cap_s, waits[-1] * multiplier))
    one = one_round(timeout_s, policy)
    assert one.attempts == len(waits)
    assert math.isclose(one.length_s, len(waits) * timeout_s + sum(waits))
