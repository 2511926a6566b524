"""A watch through broken streams: each record once, and no waiting for what was never there."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.client.errors import (
    Broken,
    ClientError,
    Closed,
    InvalidRequest,
    NotFound,
    TimedOut,
    Unavailable,
    Undecided,
)
from coordinator.client.model import EventType, SagaStatus, TimelineEntry, Watched
from coordinator.client.patience import AWAY_MAX_S, STREAM_MAX_S, Progress, is_worth_asking_again

AWAY = Unavailable("gone", code="UNAVAILABLE")
STREAM_OVER = TimedOut("its time was over", code="DEADLINE_EXCEEDED")


def record(seq: int) -> Watched:
    entry = TimelineEntry(seq, datetime(2026, 11, 22, tzinfo=UTC), EventType.STEP_BEGUN)
    return Watched(entry, SagaStatus.RUNNING)


SET_ASIDE = Watched(None, SagaStatus.DEAD_LETTERED)


def a_watch(timeout_s: float | None = None, *, reached: bool = True) -> Progress:
    progress = Progress("s-1", 0, timeout_s=timeout_s, now=100.0)
    if reached:
        assert progress.is_news(record(1))
    return progress


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(0, 12))
def test_however_streams_break_each_record_is_shown_once_and_in_order(breaks: list[int], after: int) -> None:
    """A stream may break anywhere, and the next one may even send again what was received."""
    progress = Progress("s-1", after, timeout_s=None, now=0.0)
    seen: list[int] = []
    for sent in [*breaks, 12]:
        for seq in range(max(progress.after_seq - 1, 1), progress.after_seq + sent + 1):
            if seq <= 12 and progress.is_news(record(seq)):
                seen.append(seq)
    assert seen == list(range(after + 1, 13))


def test_a_saga_set_aside_is_told_once() -> None:
    progress = a_watch()
    assert [progress.is_news(SET_ASIDE), progress.is_news(SET_ASIDE)] == [True, False]
    assert progress.is_news(record(2))
    assert progress.is_news(SET_ASIDE)


def test_a_coordinator_that_was_never_reached_is_told_of_at_once() -> None:
    with pytest.raises(Unavailable):
        a_watch(reached=False).pause_s(AWAY, 100.0)


def test_a_coordinator_that_went_away_is_waited_for_but_not_for_ever() -> None:
    progress = a_watch()
    assert progress.pause_s(AWAY, 200.0) > 0
    assert progress.pause_s(AWAY, 200.0 + AWAY_MAX_S) > 0
    with pytest.raises(Unavailable):
        progress.pause_s(AWAY, 200.1 + AWAY_MAX_S)


def test_each_sign_of_life_begins_the_waiting_anew() -> None:
    progress = a_watch()
    progress.pause_s(AWAY, 200.0)
    progress.is_news(record(2))
    assert progress.pause_s(AWAY, 200.1 + AWAY_MAX_S) > 0
    assert progress.pause_s(STREAM_OVER, 300.0 + AWAY_MAX_S) == 0.0
    assert progress.pause_s(AWAY, 400.0 + AWAY_MAX_S) > 0


def test_a_stream_that_lasted_its_time_was_alive_though_it_said_nothing() -> None:
    progress = a_watch(reached=False)
    assert progress.pause_s(STREAM_OVER, 100.0 + STREAM_MAX_S) == 0.0
    assert progress.pause_s(AWAY, 200.0 + STREAM_MAX_S) > 0


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN"])
def test_a_stream_that_a_proxy_broke_is_taken_up_again(code: str) -> None:
    assert a_watch().pause_s(Broken("RST_STREAM", code=code), 200.0) > 0


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no saga", code="NOT_FOUND"),
        Closed("closed", code="CANCELLED"),
        Broken("damaged", code="INTERNAL", reason="JOURNAL_CORRUPT"),
        Broken("no coordinator", code="UNIMPLEMENTED"),
    ],
)
def test_a_no_is_a_no(error: ClientError) -> None:
    with pytest.raises(type(error)):
        a_watch().pause_s(error, 200.0)


def test_a_stream_lasts_no_longer_than_its_caller_waits() -> None:
    assert a_watch(30.0).stream_timeout_s(110.0) == 20.0
    assert a_watch(None).stream_timeout_s(110.0) == STREAM_MAX_S
    assert a_watch(0.1).pause_s(AWAY, 100.05) == pytest.approx(0.05)


@pytest.mark.parametrize("timeout_s", [float("nan"), float("inf"), 0, -1, 1e10, 10**400, "5", True])
def test_a_time_that_is_no_time_is_refused(timeout_s: Any) -> None:
    with pytest.raises(
        InvalidRequest, match=r"^timeout_s: expected a number of seconds above 0 and at most "
    ):
        Progress("s-1", 0, timeout_s=timeout_s, now=100.0)


def test_when_the_callers_time_is_over_it_is_told_where_the_saga_stands() -> None:
    with pytest.raises(Undecided, match="saga s-1 is still RUNNING after 30 s") as told:
        a_watch(30.0).stream_timeout_s(130.0)
    assert (told.value.saga_id, told.value.status) == ("s-1", SagaStatus.RUNNING)
    assert (told.value.code, told.value.reason) == ("DEADLINE_EXCEEDED", "SAGA_UNDECIDED")
    with pytest.raises(TimedOut, match="nothing was heard of saga s-1 within 30 s"):
        a_watch(30.0, reached=False).pause_s(STREAM_OVER, 130.0)


@pytest.mark.parametrize(
    ("error", "was_reached", "left_s", "again"),
    [
        (Undecided("still running", status=SagaStatus.RUNNING), True, 5.0, True),
        (Undecided("still running", status=SagaStatus.RUNNING), True, 0.4, False),
        (Undecided("a person decides", status=SagaStatus.DEAD_LETTERED), True, 5.0, False),
        (Unavailable("gone"), True, 5.0, True),
        (Unavailable("gone"), True, 0.4, False),
        (Unavailable("never there"), False, 5.0, False),
        (Unavailable("draining", reason="DRAINING"), True, 5.0, True),
        (Unavailable("not loaded", reason="FRONT_DOOR_CLOSED"), True, 5.0, False),
    ],
)
def test_an_order_is_asked_for_again_while_that_can_help(
    error: Undecided | Unavailable, was_reached: bool, left_s: float, again: bool
) -> None:
    assert is_worth_asking_again(error, was_reached=was_reached, left_s=left_s) is again
