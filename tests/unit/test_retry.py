"""How long to wait, as a law over all policies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain.retry import PENDING_MAX_S, PENDING_MIN_S, ask_again_s, backoff_s

LENGTHS = st.floats(0.001, 86_400.0)
MULTIPLIERS = st.floats(1.0, 100.0)
FAILURES = st.integers(1, 100_000)
DRAWS = st.floats(0.0, 1.0, exclude_max=True)
HINTS = st.none() | st.floats()


def test_the_ceiling_grows_by_the_multiplier_and_stops_at_the_cap() -> None:
    ceilings = [
        backoff_s(initial_s=0.2, multiplier=2.0, max_s=5.0, failures=n, draw=1.0) for n in range(1, 8)
    ]
    assert ceilings == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_multiplier_of_one_is_a_constant_wait_for_good() -> None:
    for failures in (1, 64, 65, 10_000):
        assert backoff_s(initial_s=1.0, multiplier=1.0, max_s=60.0, failures=failures, draw=1.0) == 1.0


def test_after_more_failures_than_a_power_can_be_worked_out_for_the_cap_holds() -> None:
    assert backoff_s(initial_s=0.2, multiplier=2.0, max_s=5.0, failures=10_000, draw=1.0) == 5.0


@settings(deadline=None)
@given(LENGTHS, MULTIPLIERS, LENGTHS, FAILURES, DRAWS, HINTS)
def test_no_wait_is_negative_or_beyond_the_cap(
    initial_s: float, multiplier: float, max_s: float, failures: int, draw: float, hint_s: float | None
) -> None:
    wait_s = backoff_s(
        initial_s=initial_s, multiplier=multiplier, max_s=max_s, failures=failures, draw=draw, hint_s=hint_s
    )
    assert 0.0 <= wait_s <= max_s


@settings(deadline=None)
@given(LENGTHS, MULTIPLIERS, LENGTHS, FAILURES)
def test_one_failure_more_never_makes_the_ceiling_lower_nor_more_than_the_multiplier_higher(
    initial_s: float, multiplier: float, max_s: float, failures: int
) -> None:
    def ceiling_s(n: int) -> float:
        return backoff_s(initial_s=initial_s, multiplier=multiplier, max_s=max_s, failures=n, draw=1.0)

    before_s, after_s = ceiling_s(failures), ceiling_s(failures + 1)
    assert before_s <= after_s <= before_s * multiplier * (1 + 1e-9)


@settings(deadline=None)
@given(LENGTHS, MULTIPLIERS, LENGTHS, FAILURES, DRAWS, st.floats(0.0, 86_400.0))
def test_the_wish_of_the_callee_is_the_least_wait_inside_the_cap(
    initial_s: float, multiplier: float, max_s: float, failures: int, draw: float, hint_s: float
) -> None:
    wait_s = backoff_s(
        initial_s=initial_s, multiplier=multiplier, max_s=max_s, failures=failures, draw=draw, hint_s=hint_s
    )
    assert wait_s >= min(hint_s, max_s)


def test_the_jitter_is_full() -> None:
    for draw in (0.0, 0.25, 0.999):
        assert backoff_s(initial_s=4.0, multiplier=2.0, max_s=5.0, failures=1, draw=draw) == 4.0 * draw


@settings(deadline=None)
@given(HINTS)
def test_a_pending_call_is_asked_again_neither_at_once_nor_never(hint_s: float | None) -> None:
    assert PENDING_MIN_S <= ask_again_s(hint_s, 0) <= PENDING_MAX_S


def test_who_says_pending_again_and_again_is_asked_less_often_up_to_a_second() -> None:
    assert [ask_again_s(0.0, pendings) for pendings in (0, 1, 2, 5, 6, 1000)] == [
        0.02,
        0.04,
        0.08,
        0.64,
        1.0,
        1.0,
    ]
    assert ask_again_s(30.0, 1000) == 30.0
