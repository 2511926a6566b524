"""What people are shown of a saga's steps and of its undo, against texts made by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from coordinator.cli.commands.acts import _trouble
from coordinator.cli.commands.sagas import heading
from coordinator.cli.steps import step_lines
from coordinator.cli.undo import FIELDS_SHOWN_MAX, undo_lines
from coordinator.client.model import (
    EventType,
    PlannedUndo,
    Saga,
    SagaStatus,
    Standing,
    StandingReason,
    Step,
    StepKind,
    StepStatus,
    TimelineEntry,
    UndoPlan,
)

START: Final = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
KINDS: Final = {"payment": StepKind.PIVOT, "tickets": StepKind.RETRIABLE}


def a_step(name: str, status: StepStatus, *depends_on: str) -> Step:
    kind = KINDS.get(name, StepKind.COMPENSATABLE)
    return Step(
        name, f"{name.title()}Service", f"book_{name}", None, status, depends_on=depends_on, kind=kind
    )


def a_saga(status: SagaStatus, *steps: Step, **fields: Any) -> Saga:
    born = Saga("s-1", "Trip", "", "d" * 64, "r-1", status, "", START, START, None, 7, steps=steps)
    return replace(born, **fields)


def planned(step: str, *after: str, **changed: Any) -> PlannedUndo:
    undo = PlannedUndo(
        step, "Rooms", f"cancel_{step}", after, f"s-1/{step}/compensate", ("trip_id", "outputs"), "", True, ""
    )
    return replace(undo, **changed)


def text_of_undo(
    saga: Saga,
    *undos: PlannedUndo,
    stays: dict[str, StandingReason] | None = None,
    shortened: bool = False,
    with_inputs: bool = False,
) -> str:
    standing = tuple(Standing(step, why) for step, why in (stays or {}).items())
    saga = replace(saga, undo_plan=UndoPlan(undos, standing, shortened))
    return "\n" + "\n".join(undo_lines(saga, with_inputs=with_inputs)) + "\n"


SUCCEEDED, BEGUN, NOT_BEGUN = StepStatus.SUCCEEDED, StepStatus.BEGUN, StepStatus.NOT_BEGUN
RUNNING: Final = a_saga(SagaStatus.RUNNING, a_step("hotel", SUCCEEDED))


def test_a_plain_row_of_steps_is_told_by_the_timeline_alone() -> None:
    row = [a_step("a", SUCCEEDED), a_step("b", BEGUN, "a"), a_step("c", NOT_BEGUN, "b")]
    assert list(step_lines(a_saga(SagaStatus.RUNNING, *row))) == []
    older = [replace(step, depends_on=(), kind=StepKind.UNSPECIFIED) for step in row]
    assert list(step_lines(a_saga(SagaStatus.RUNNING, *older))) == []


def test_steps_that_are_no_row_are_shown_with_what_they_come_after_and_are_to_the_decision() -> None:
    saga = a_saga(
        SagaStatus.RUNNING,
        a_step("hotel", SUCCEEDED),
        a_step("car", StepStatus.OMITTED),
        a_step("payment", StepStatus.FAILED, "hotel", "car"),
        a_step("tickets", NOT_BEGUN, "payment"),
    )
    assert (
        "\n" + "\n".join(step_lines(saga)) + "\n"
        == """
steps
  hotel    SUCCEEDED
  car      OMITTED
  payment  FAILED     pivot      after hotel, car
  tickets  NOT_BEGUN  retriable  after payment
"""
    )


@pytest.mark.parametrize(
    "telling",
    [
        [a_step("a", SUCCEEDED), a_step("b", SUCCEEDED)],
        [a_step("a", SUCCEEDED), a_step("b", SUCCEEDED, "a"), a_step("c", SUCCEEDED, "a", "b")],
        [a_step("a", SUCCEEDED), a_step("b", StepStatus.OMITTED, "a")],
        [a_step("a", SUCCEEDED), a_step("payment", SUCCEEDED, "a")],
        [a_step("a", SUCCEEDED, "b"), a_step("b", SUCCEEDED)],
    ],
)
def test_each_thing_that_makes_steps_no_row_has_them_shown(telling: list[Step]) -> None:
    assert next(step_lines(a_saga(SagaStatus.RUNNING, *telling))) == "steps"


def test_a_plan_of_a_row_is_a_numbered_list_in_its_order() -> None:
    assert (
        text_of_undo(RUNNING, planned("payment", receipt_known=False), planned("hotel", "payment"))
        == """
if it turned back now
  1. Rooms.cancel_payment(trip_id, outputs), undoing payment
  2. Rooms.cancel_hotel(trip_id, outputs), undoing hotel
"""
    )


def test_a_plan_of_a_graph_says_what_waits_for_what_and_what_stays() -> None:
    saga = replace(RUNNING, status=SagaStatus.COMPENSATING)
    stays = {
        "mail": StandingReason.NO_COMPENSATION,
        "ride": StandingReason.BY_HAND,
        "sms": StandingReason.NO_COMPENSATION,
        "bus": StandingReason.UNDO_FAILED,
        "train": StandingReason.BLOCKED,
        "boat": StandingReason.EXPRESSION,
        "ufo": StandingReason.UNSPECIFIED,
    }
    undos = (
        planned("car"),
        planned("hotel"),
        planned("mail", compensation=None),
        planned("visa", "car", "hotel", input_fields=()),
    )
    assert (
        text_of_undo(saga, *undos, stays=stays)
        == """
what is still to be undone
  1. Rooms.cancel_car(trip_id, outputs), undoing car
  2. Rooms.cancel_hotel(trip_id, outputs), undoing hotel, at once
  3. Rooms.(bars a late call), undoing mail, at once
  4. Rooms.cancel_visa(), undoing visa, after car, hotel
  stays: mail, sms (nothing undoes it); ride (left in place by hand); bus (its undo failed for good); \
train (its undo waits behind one that failed); boat (the input of its undo cannot be made); ufo (unknown)
"""
    )


def test_inputs_are_shown_where_they_were_asked_for() -> None:
    undos = (
        planned("hotel", input_json='{"trip_id":"t\u202e-1"}', receipt_json='{"room":"***"}'),
        planned("car", "hotel", input_json="{}", receipt_known=False),
    )
    assert (
        text_of_undo(RUNNING, *undos, with_inputs=True)
        == """
if it turned back now
  1. Rooms.cancel_hotel(trip_id, outputs), undoing hotel
     input    {"trip_id":"t�-1"}
     receipt  {"room":"***"}
  2. Rooms.cancel_car(trip_id, outputs), undoing car
     input    {}
     receipt  none: no answer of the step is known
"""
    )


def test_what_is_too_much_to_be_shown_is_not_taken_for_nothing() -> None:
    left_out = planned("hotel", input_fields=())
    many = planned("car", "hotel", input_fields=tuple("abcdefghi"))
    assert len(many.input_fields) == FIELDS_SHOWN_MAX + 1
    assert (
        text_of_undo(RUNNING, left_out, many, shortened=True, with_inputs=True)
        == """
if it turned back now
  1. Rooms.cancel_hotel(…), undoing hotel
  2. Rooms.cancel_car(a, b, c, d, e, f, g, h, …), undoing car
  what is not shown here is too much to be shown at once
"""
    )


PAST: Final = StandingReason.PAST_PIVOT


@pytest.mark.parametrize(
    ("status", "stays", "line"),
    [
        (SagaStatus.RUNNING, {}, "if it turned back now, nothing would have to be undone"),
        (SagaStatus.RUNNING, {"hotel": PAST}, "nothing is undone past the pivot"),
        (SagaStatus.DEAD_LETTERED, {"hotel": PAST}, "nothing is undone past the pivot"),
        (
            SagaStatus.COMPLETED,
            {"hotel": PAST},
            "nothing can be undone any more: the saga has completed",
        ),
        (SagaStatus.COMPENSATED, {}, "nothing is left to be undone"),
        (
            SagaStatus.COMPENSATED,
            {"hotel": StandingReason.BY_HAND},
            "nothing is left to be undone; stays: hotel (left in place by hand)",
        ),
        (
            SagaStatus.TERMINATED,
            {"hotel": StandingReason.BY_HAND},
            "nothing is undone any more: the saga was ended by hand; stays: hotel (left in place by hand)",
        ),
        (
            SagaStatus.DEAD_LETTERED,
            {"hotel": StandingReason.UNDO_FAILED},
            "nothing more is undone until a person acts; stays: hotel (its undo failed for good)",
        ),
    ],
)
def test_where_nothing_can_be_undone_one_line_says_so(
    status: SagaStatus, stays: dict[str, StandingReason], line: str
) -> None:
    assert text_of_undo(replace(RUNNING, status=status), stays=stays) == f"\n{line}\n"


@pytest.mark.parametrize("doubtful", [BEGUN, StepStatus.FAILED])
def test_a_pivot_of_which_nobody_knows_may_still_turn_the_saga_back(doubtful: StepStatus) -> None:
    saga = a_saga(SagaStatus.RUNNING, a_step("hotel", SUCCEEDED), a_step("payment", doubtful, "hotel"))
    line = "nothing is undone past the pivot, unless payment does not come about"
    assert text_of_undo(saga, stays={"hotel": PAST}) == f"\n{line}\n"


def test_a_saga_without_a_plan_says_nothing_of_one() -> None:
    assert list(undo_lines(RUNNING)) == []


def test_a_saga_that_is_overdue_says_so() -> None:
    assert "status   RUNNING, forced, overdue" in heading(replace(RUNNING, overdue=True, forced=True))
    assert "status   RUNNING" in heading(RUNNING)


def test_what_failed_past_the_pivot_is_told_with_what_it_is_to_the_decision() -> None:
    entries = [
        TimelineEntry(2, START, EventType.STEP_FAULTED, "payment", 3, "UNAVAILABLE", "nobody there"),
        TimelineEntry(3, START, EventType.EXPRESSION_FAILED, "tickets", 0, "input.seat", "no such field"),
    ]
    steps = [
        a_step("hotel", SUCCEEDED),
        a_step("car", StepStatus.OMITTED),
        a_step("payment", StepStatus.FAILED),
        a_step("tickets", StepStatus.FAILED),
    ]
    assert list(_trouble(a_saga(SagaStatus.DEAD_LETTERED, *steps, timeline=tuple(entries)))) == [
        "  payment (PaymentService, pivot) FAILED: payment ×3 failed for good UNAVAILABLE: nobody there",
        "  tickets (TicketsService, retriable) FAILED: tickets failed at input.seat: no such field",
    ]
