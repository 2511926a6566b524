"""Answers that come too late or carry too much, what waiting costs, and what calls there were."""

import pytest

from coordinator.domain.events import Cause, StepFaulted, UndoFaulted
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import Answer, Pending, Succeeded
from coordinator.domain.saga import SAGA_DATA_BYTES_MAX, Status
from tests.unit.machine.tale import DONE, FAULT, PENDING, REFUSAL, Tale, define, pivot, retriable, step


def test_a_refusal_after_the_deadline_proves_nothing_so_the_step_is_undone() -> None:
    tale = Tale(define("a", ttl_s=10)).begins()
    call = tale.next
    tale.runs_out_of_time().is_answered(REFUSAL, call=call)
    message = "the refusal came after the deadline"
    assert tale.history[-1] == StepFaulted(
        tale.now, StepName("a"), 1, Cause.UNKNOWN, "TOO_LATE", message, None
    )
    assert tale.step("a").needs_undo
    assert tale.undoes_what_is_left() == ["a"]


def test_a_fault_after_the_deadline_is_one_in_its_own_words() -> None:
    tale = Tale(define("a", ttl_s=10)).begins()
    call = tale.next
    tale.runs_out_of_time().is_answered(FAULT, call=call)
    assert tale.history[-1] == StepFaulted(
        tale.now, StepName("a"), 1, Cause.FAULTED, "BUSY", "come back later", None
    )


def test_a_refusal_after_a_cancel_proves_that_nothing_was_applied() -> None:
    tale = Tale(define("a", ttl_s=10)).begins()
    call = tale.next
    tale.is_cancelled().is_answered(REFUSAL, call=call)
    assert not tale.step("a").needs_undo
    assert tale.status is Status.COMPENSATED


def test_an_output_with_which_no_undo_could_be_sent_turns_the_saga_back_and_is_not_kept() -> None:
    half = '"' + "x" * (SAGA_DATA_BYTES_MAX // 2) + '"'
    tale = Tale(define("a", "b", "c")).does(half).begins().is_answered(Succeeded(half))
    event = tale.history[-1]
    assert isinstance(event, StepFaulted)
    assert (event.cause, event.code, event.retry_at) == (Cause.BROKEN_CONTRACT, "OUTPUT_TOO_LARGE", None)
    assert tale.step("b").output is None
    assert tale.saga.data_bytes <= SAGA_DATA_BYTES_MAX
    assert tale.undoes_what_is_left() == ["b", "a"]


def test_data_is_counted_in_bytes_not_in_characters() -> None:
    euros = '"' + "€" * (SAGA_DATA_BYTES_MAX // 3) + '"'
    tale = Tale(define("a")).begins().is_answered(Succeeded(euros))
    assert tale.saga.abort is not None


def test_an_undo_that_waits_and_fails_in_turn_spends_its_budget_in_the_end() -> None:
    tale = Tale(define(step("a", budget_s=30.0), "b")).does("1").fails(REFUSAL).begins()
    asked = 0
    while not (isinstance(tale.history[-1], UndoFaulted) and tale.history[-1].retry_at is None):
        tale.is_answered(Pending(5.0)).waits(tale.due_in_s or 0.0)
        tale.is_answered(FAULT, draw=1.0)
        asked += 1
        assert asked < 50
        if tale.next is not None:
            tale.waits(tale.due_in_s or 0.0)
    assert tale.status is Status.DEAD_LETTERED
    assert asked > 1


def test_an_undo_that_only_waits_is_asked_for_ever() -> None:
    tale = Tale(define(step("a", budget_s=30.0), "b")).does("1").fails(REFUSAL).begins()
    for _ in range(100):
        tale.is_answered(Pending(5.0)).waits(tale.due_in_s or 0.0)
    tale.is_answered(FAULT)
    assert tale.status is Status.COMPENSATING


def test_a_pivot_that_has_taken_the_work_on_spends_no_budget() -> None:
    tale = Tale(define(pivot("a", budget_s=5.0))).begins()
    for _ in range(10):
        tale.is_answered(PENDING).waits(5)
    tale.is_answered(FAULT, draw=1.0)
    assert tale.due_in_s == 1.0
    assert tale.waits(4.999).is_answered(FAULT).status is Status.RUNNING
    assert tale.waits(0.001).is_answered(FAULT).status is Status.DEAD_LETTERED, "asking it does"


@pytest.mark.parametrize("answer", [DONE, REFUSAL])
def test_what_is_settled_is_due_no_more(answer: Answer) -> None:
    forward = Tale(define("a", "b")).fails(FAULT).is_answered(answer)
    past_pivot = Tale(define(pivot("a"), retriable("b"))).does("1").fails(FAULT).is_answered(answer)
    undoing = Tale(define("a", "b")).does("1").is_cancelled().fails(FAULT).is_answered(answer)
    assert forward.step("a").due_at is None
    assert past_pivot.step("b").due_at is None
    assert undoing.undo("a").due_at is None


def test_a_refusal_for_good_was_an_attempt_in_either_direction() -> None:
    past_pivot = Tale(define(pivot("a"), retriable("b"))).does("1").fails(FAULT).is_answered(REFUSAL)
    assert past_pivot.step("b").failures == 2
    undoing = Tale(define("a", "b")).does("1").is_cancelled().fails(FAULT).is_answered(REFUSAL)
    assert undoing.undo("a").failures == 2


def test_a_late_failure_is_no_last_word_so_a_later_success_is_folded_in_for_its_output() -> None:
    tale = Tale(define(step("a", attempts_max=1), "b")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(FAULT, call=call).is_answered(Succeeded('"booked"'), call=call).begins()
    assert tale.undo("a").receipt == '"booked"'


def test_what_a_refused_step_past_the_pivot_did_stands_only_if_it_was_asked_before() -> None:
    def refused(*before: Answer) -> bool:
        tale = Tale(define(pivot("a"), retriable("b"))).does("1").begins()
        for answer in before:
            tale.is_answered(answer)
        return tale.is_answered(REFUSAL).step("b").may_stand

    assert not refused()
    assert not refused(PENDING), "it had only been taken on"
    assert refused(FAULT)
    assert refused(FAULT, FAULT)


def test_barring_a_step_takes_nothing_back_that_it_may_have_done() -> None:
    for undo, stands in ((None, True), ("undo_a", False)):
        tale = Tale(define(step("a", undo=undo), "b")).begins().is_cancelled()
        assert tale.undoes_what_is_left() == ["a"]
        assert tale.step("a").may_stand is stands


def test_the_calls_made_are_those_that_were_answered_and_those_that_a_restart_swallowed() -> None:
    tale = Tale(define("a"))
    assert tale.step("a").calls == 0
    assert tale.begins().step("a").calls == 0, "the one under way is not among them"
    assert tale.is_answered(PENDING).is_answered(FAULT, draw=1.0).step("a").calls == 2
    assert tale.is_resumed().is_resumed().step("a").calls == 2, "between two attempts no call is under way"
    assert tale.step("a").attempt == 4, "its numbers are used up all the same"
    assert tale.waits(1.0).is_resumed().step("a").calls == 3, "it is due, and may have been sent"


def test_a_restart_counts_no_undo_that_is_settled() -> None:
    tale = Tale(define("a", "b", "c")).does("1", "2").is_cancelled().begins().is_answered(DONE).is_resumed()
    assert (tale.undo("b").attempt, tale.undo("b").lost) == (1, 0)
