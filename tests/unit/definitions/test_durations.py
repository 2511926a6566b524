"""Durations: written for people, exact for the journal."""

from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coordinator.domain.language.durations import (
    LONGEST_S,
    SHORTEST_S,
    check_duration,
    format_duration,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [
        ("1ms", 0.001, "1ms"),
        ("200ms", 0.2, "200ms"),
        ("0.2s", 0.2, "200ms"),
        ("1.5s", 1.5, "1500ms"),
        ("2s", 2.0, "2s"),
        ("90s", 90.0, "90s"),
        ("60s", 60.0, "1m"),
        ("1.5m", 90.0, "90s"),
        ("10m", 600.0, "10m"),
        ("24h", 86_400.0, "24h"),
        ("7d", 604_800.0, "168h"),
        ("365d", LONGEST_S, "8760h"),
        ("0.0015s", 0.0015, "0.0015s"),
    ],
)
def test_a_duration_is_read_and_written(text: str, seconds: float, written: str) -> None:
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == written


NO_DURATIONS: Final = (
    *("", "10", "s", "10 s", "1S", "1sec", "1w", "1h30m", "1s\n", "1e3s", ".5s", "1.s", "٣s"),
    *("-1s", "+1s", "0s", "0.9ms", "366d", "inf", "nans", "9" * 400 + "s"),
)


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration from 1ms to 365d"):
        parse_duration(text)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), LONGEST_S + 1])
def test_a_number_out_of_bounds_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="a duration"):
        check_duration(seconds)


@settings(deadline=None)
@given(st.floats(SHORTEST_S, LONGEST_S))
@example(0.1 + 0.2)
@example(0.29)
def test_every_duration_survives_being_written(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
