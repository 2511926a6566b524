"""The drawing of a timeline, against drawings made by hand. Forward on the left, undo on the right."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from coordinator.cli.timeline import draw, written_length, written_offset
from coordinator.client.model import (
    EventType,
    OperatorAction,
    OperatorVerb,
    Saga,
    SagaStatus,
    Step,
    StepKind,
    StepStatus,
    TimelineEntry,
)

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WIDTH = 78


def at(
    ms: int,
    type: EventType,
    step: str = "",
    *,
    attempt: int = 0,
    code: str = "",
    message: str = "",
    retry_ms: int | None = None,
    by: OperatorAction | None = None,
) -> TimelineEntry:
    """A record so many milliseconds after the start, its next attempt *retry_ms* after that."""
    time = START + timedelta(milliseconds=ms)
    retry_time = None if retry_ms is None else time + timedelta(milliseconds=retry_ms)
    return TimelineEntry(0, time, type, step, attempt, code, message, retry_time, 1, by)


def a_saga(status: SagaStatus, timeline: Sequence[TimelineEntry], **fields: object) -> Saga:
    born = Saga("s-1", "Trip", "", "", "r-1", status, "", START, timeline[-1].time, None, len(timeline))
    numbered = tuple(replace(entry, seq=seq) for seq, entry in enumerate(timeline, 1))
    return replace(born, timeline=numbered, **fields)  # type: ignore[arg-type]


def drawn(saga: Saga, width: int = WIDTH) -> str:
    return "\n" + "\n".join(draw(saga, width=width)) + "\n"


STARTED = at(0, EventType.SAGA_STARTED)
BOOKED = (
    at(1, EventType.STEP_BEGUN, "book"),
    at(9, EventType.STEP_SUCCEEDED, "book", attempt=1),
)


def test_a_saga_that_succeeds_stands_on_the_left() -> None:
    saga = a_saga(
        SagaStatus.COMPLETED,
        [
            STARTED,
            *BOOKED,
            at(9, EventType.STEP_BEGUN, "pay"),
            at(1209, EventType.STEP_SUCCEEDED, "pay", attempt=1),
        ],
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.009s  book succeeded (8 ms)
+1.209s  pay succeeded (1.2 s)
+1.209s  ── COMPLETED ───────────────────────────────────────────────────────
"""
    )


def test_what_a_refusal_undoes_stands_on_the_right_of_what_was_done() -> None:
    saga = a_saga(
        SagaStatus.COMPENSATED,
        [
            STARTED,
            *BOOKED,
            at(9, EventType.STEP_BEGUN, "pay"),
            at(20, EventType.STEP_REFUSED, "pay", attempt=1, code="NO_FUNDS", message="The card is empty."),
            at(20, EventType.UNDO_BEGUN, "book"),
            at(31, EventType.STEP_COMPENSATED, "book", attempt=1),
        ],
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.009s  book succeeded (8 ms)
+0.020s  pay refused NO_FUNDS: The card i…
+0.031s                                     book undone (11 ms)
+0.031s  ── COMPENSATED ─────────────────────────────────────────────────────
"""
    )


def test_attempts_are_counted_and_waits_are_shown() -> None:
    saga = a_saga(
        SagaStatus.COMPENSATING,
        [
            STARTED,
            at(1, EventType.STEP_BEGUN, "pay"),
            at(10, EventType.STEP_PENDING, "pay", attempt=1, retry_ms=500),
            at(520, EventType.STEP_FAULTED, "pay", attempt=1, code="UNAVAILABLE", retry_ms=5000),
            at(5530, EventType.STEP_FAULTED, "pay", attempt=2, code="UNAVAILABLE"),
            at(5530, EventType.UNDO_BEGUN, "pay"),
            at(5540, EventType.UNDO_FAULTED, "pay", attempt=1, code="BUSY", retry_ms=90_000),
            at(95_600, EventType.UNDO_PENDING, "pay", attempt=2, retry_ms=120_000),
        ],
    )
    assert (
        drawn(saga)
        == """
          forward                            compensation
 +0.000s  ── started ─────────────────────────────────────────────────────────
 +0.010s  pay pending
          … 0.5 s until asked again
 +0.520s  pay failed UNAVAILABLE
          … 5.0 s until retry
 +5.530s  pay ×2 given up UNAVAILABLE
 +5.540s                                     pay undo failed BUSY
                                             … 90.0 s until retry
+95.600s                                     pay ×2 undo pending
                                             … 2 min until asked again
          ── still COMPENSATING ──────────────────────────────────────────────
"""
    )


def test_a_step_past_the_pivot_is_not_given_up_and_one_without_an_undo_is_barred() -> None:
    def a_step(name: str, kind: StepKind, compensation: str | None = None) -> Step:
        return Step(name, "Shop", name, compensation, StepStatus.FAILED, kind=kind)

    faulted, compensated = EventType.STEP_FAULTED, EventType.STEP_COMPENSATED
    saga = a_saga(
        SagaStatus.COMPENSATING,
        [
            STARTED,
            at(1, faulted, "look", attempt=5),
            at(2, faulted, "pay", attempt=9, retry_ms=100),
            at(3, faulted, "pay", attempt=10),
            at(4, faulted, "tell", attempt=7),
            at(5, EventType.UNDO_FAULTED, "pay", attempt=3),
            at(6, compensated, "look", attempt=1),
            at(7, compensated, "book", attempt=1),
        ],
        steps=(
            a_step("book", StepKind.COMPENSATABLE, "unbook"),
            a_step("look", StepKind.COMPENSATABLE),
            a_step("pay", StepKind.PIVOT),
            a_step("tell", StepKind.RETRIABLE),
        ),
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.001s  look ×5 given up
+0.002s  pay ×9 failed
         … 0.1 s until retry
+0.003s  pay ×10 failed for good
+0.004s  tell ×7 failed for good
+0.005s                                     pay ×3 given up
+0.006s                                     look barred
+0.007s                                     book undone
         ── still COMPENSATING ──────────────────────────────────────────────
"""
    )


def test_many_attempts_that_tell_the_same_are_told_once() -> None:
    again = [
        at(1000 * n, EventType.UNDO_FAULTED, "pay", attempt=n, code="BUSY", retry_ms=900)
        for n in range(1, 1001)
    ]
    saga = a_saga(SagaStatus.COMPENSATING, [STARTED, *again])
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+1.000s                                     pay undo failed BUSY
                                            … 0.9 s until retry
                                            … 998 more like it
+16m40s                                     pay ×1000 undo failed BUSY
                                            … 0.9 s until retry
         ── still COMPENSATING ──────────────────────────────────────────────
"""
    )


def test_where_the_middle_is_left_out_that_is_said_and_nothing_is_counted_across_it() -> None:
    again = [
        at(1000 * n, EventType.UNDO_FAULTED, "pay", attempt=n, code="BUSY", retry_ms=900)
        for n in range(1, 1001)
    ]
    whole = a_saga(SagaStatus.COMPENSATING, [STARTED, *again])
    cut = replace(whole, timeline=(*whole.timeline[:3], *whole.timeline[-2:]), timeline_left_out=996)
    assert (
        drawn(cut)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+1.000s                                     pay undo failed BUSY
                                            … 0.9 s until retry
+2.000s                                     pay ×2 undo failed BUSY
                                            … 0.9 s until retry
         ── 996 records are left out here, 'saga watch' tells them ──────────
+16m39s                                     pay ×999 undo failed BUSY
                                            … 0.9 s until retry
+16m40s                                     pay ×1000 undo failed BUSY
                                            … 0.9 s until retry
         ── still COMPENSATING ──────────────────────────────────────────────
"""
    )


def test_only_attempts_that_tell_the_same_are_told_once() -> None:
    resumed = [at(1000 * n, EventType.SAGA_RESUMED) for n in range(1, 6)]
    saga = a_saga(SagaStatus.RUNNING, [STARTED, *resumed])
    assert drawn(saga).count("taken up again") == 5


def test_a_restart_and_a_call_that_nobody_answered_are_shown() -> None:
    saga = a_saga(
        SagaStatus.RUNNING,
        [
            STARTED,
            at(1, EventType.STEP_BEGUN, "book"),
            at(3000, EventType.SAGA_RESUMED),
            at(3010, EventType.STEP_SUCCEEDED, "book", attempt=2),
            at(3010, EventType.STEP_BEGUN, "pay"),
        ],
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+3.000s  ── taken up again after a restart ──────────────────────────────────
+3.010s  book ×2 succeeded (3.0 s)
+3.010s  pay asked, no answer
         ── still RUNNING ───────────────────────────────────────────────────
"""
    )


def test_an_operators_retry_of_a_dead_letter_runs_across_both_lanes() -> None:
    retry = OperatorAction(OperatorVerb.RETRY, "a-1", "anna", "the bank is back")
    saga = a_saga(
        SagaStatus.COMPENSATED,
        [
            STARTED,
            *BOOKED,
            at(10, EventType.CANCEL_REQUESTED, message="ordered twice"),
            at(10, EventType.UNDO_BEGUN, "book"),
            at(20, EventType.UNDO_REFUSED, "book", attempt=1, code="CLOSED"),
            at(7_200_000, EventType.OPERATOR_ACTED, "book", by=retry),
            at(7_200_030, EventType.STEP_COMPENSATED, "book", attempt=2),
        ],
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.009s  book succeeded (8 ms)
+0.010s  ── cancel asked: ordered twice ─────────────────────────────────────
+0.020s                                     book undo refused CLOSED
 +2h00m  ── anna: retry book, because: the bank is back ─────────────────────
 +2h00m                                     book ×2 undone
 +2h00m  ── COMPENSATED ─────────────────────────────────────────────────────
"""
    )


def test_a_dead_letter_says_that_it_needs_a_person() -> None:
    saga = a_saga(
        SagaStatus.DEAD_LETTERED,
        [
            STARTED,
            *BOOKED,
            at(10, EventType.DEADLINE_PASSED),
            at(10, EventType.UNDO_BEGUN, "book"),
            at(20, EventType.UNDO_REFUSED, "book", attempt=1, code="CLOSED"),
        ],
        needs_person=True,
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.009s  book succeeded (8 ms)
+0.010s  ── ttl ran out ─────────────────────────────────────────────────────
+0.020s                                     book undo refused CLOSED
+0.020s  ── DEAD_LETTERED, needs a person ───────────────────────────────────
"""
    )


def test_a_terminated_saga_ends_across_both_lanes_and_is_forced() -> None:
    stop = OperatorAction(OperatorVerb.TERMINATE, "a-2", "anna", "undone by hand")
    saga = a_saga(
        SagaStatus.TERMINATED,
        [STARTED, *BOOKED, at(50, EventType.OPERATOR_ACTED, by=stop)],
        forced=True,
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.009s  book succeeded (8 ms)
+0.050s  ── anna: terminate, because: undone by hand ────────────────────────
+0.050s  ── TERMINATED, forced ──────────────────────────────────────────────
"""
    )


def test_a_late_answer_stands_where_it_came() -> None:
    saga = a_saga(
        SagaStatus.COMPENSATING,
        [
            STARTED,
            at(1, EventType.STEP_BEGUN, "book"),
            at(5, EventType.CANCEL_REQUESTED),
            at(5, EventType.UNDO_BEGUN, "book"),
            at(9, EventType.STEP_SUCCEEDED, "book", attempt=1),
        ],
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.005s  ── cancel asked ────────────────────────────────────────────────────
+0.005s                                     book undo asked, no answer
+0.009s  book succeeded (8 ms)
         ── still COMPENSATING ──────────────────────────────────────────────
"""
    )


def test_a_pivot_is_shown_as_the_point_behind_which_nothing_turns_back() -> None:
    saga = a_saga(
        SagaStatus.COMPLETED,
        [
            STARTED,
            *BOOKED,
            at(9, EventType.STEP_OMITTED, "car"),
            at(10, EventType.PIVOT_BEGUN, "pay"),
            at(30, EventType.STEP_SUCCEEDED, "pay", attempt=1),
            at(31, EventType.OUTPUT_SHAPED),
        ],
    )
    assert (
        drawn(saga)
        == """
         forward                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────
+0.009s  book succeeded (8 ms)
+0.009s  car omitted
+0.010s  ── pay asked: past here only its refusal turns back ────────────────
+0.030s  pay succeeded (20 ms)
+0.031s  ── output made ─────────────────────────────────────────────────────
+0.031s  ── COMPLETED ───────────────────────────────────────────────────────
"""
    )


def test_an_expression_that_fails_stands_where_its_value_was_to_go() -> None:
    saga = a_saga(
        SagaStatus.RUNNING,
        [
            STARTED,
            at(1, EventType.EXPRESSION_FAILED, "car", code="when", message="no days"),
            at(2, EventType.EXPRESSION_FAILED, "car", code="compensationInput.id", message="none"),
            at(3, EventType.EXPRESSION_FAILED, code="output.sum", message="no number"),
        ],
    )
    assert (
        drawn(saga, 110)
        == """
         forward                                            compensation
+0.000s  ── started ─────────────────────────────────────────────────────────────────────────────────────────
+0.001s  car failed at when: no days
+0.002s                                                     car undo failed at compensationInput.id: none
+0.003s  ── the output failed at output.sum: no number ──────────────────────────────────────────────────────
         ── still RUNNING ───────────────────────────────────────────────────────────────────────────────────
"""
    )


@pytest.mark.parametrize("width", [10, 60, 78, 100, 200])
def test_no_line_is_longer_than_the_width_unless_the_lanes_would_get_too_narrow(width: int) -> None:
    long = "x" * 300
    saga = a_saga(
        SagaStatus.RUNNING,
        [
            STARTED,
            at(1, EventType.STEP_BEGUN, long),
            at(2, EventType.STEP_FAULTED, long, attempt=1, code="UNKNOWN", message=long, retry_ms=10),
            at(3, EventType.UNDO_FAULTED, long, attempt=1, message=long),
            at(4, EventType.CANCEL_REQUESTED, message=long),
        ],
    )
    assert max(map(len, draw(saga, width=width))) <= max(width, 7 + 2 + 20 + 2 + 20)


def test_a_message_moves_no_cursor_and_breaks_no_line() -> None:
    entry = at(1, EventType.STEP_REFUSED, "pay", code="NO", message="a\n\x1b[2Jb\u202ec")
    text = drawn(a_saga(SagaStatus.RUNNING, [STARTED, entry]))
    assert "pay refused NO: a �[2Jb�c" in text


def test_an_event_that_only_newer_coordinators_know_is_drawn_all_the_same() -> None:
    text = drawn(a_saga(SagaStatus.RUNNING, [STARTED, at(1, EventType.UNSPECIFIED, "pay")]))
    assert "pay unspecified" in text


def test_a_saga_without_a_timeline_is_drawn() -> None:
    born = replace(a_saga(SagaStatus.RUNNING, [STARTED]), timeline=())
    assert draw(born, width=WIDTH)[-1].strip().startswith("── still RUNNING")


@pytest.mark.parametrize(
    ("seconds", "offset", "length"),
    [
        (0, "+0.000s", "0 ms"),
        (0.0996, "+0.100s", "100 ms"),
        (99.9, "+99.900s", "99.9 s"),
        (100, "+1m40s", "2 min"),
        (3600, "+1h00m", "60 min"),
        (86_399, "+23h59m", "24.0 h"),
        (90_000, "+1d01h", "25.0 h"),
    ],
)
def test_times_are_written_as_short_as_they_can_be_read(seconds: float, offset: str, length: str) -> None:
    assert written_offset(timedelta(seconds=seconds)) == offset
    assert written_length(timedelta(seconds=seconds)) == length
