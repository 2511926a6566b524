"""Answers that come too late or carry too much, and what waiting costs an undo."""

from coordinator.domain.events import Cause, StepFaulted, UndoFaulted
from coordinator.domain.outcomes import Pending, Succeeded
from coordinator.domain.saga import SAGA_DATA_BYTES_MAX, Status
from tests.unit.machine.tale import FAULT, REFUSAL, Tale, define, step


def test_a_refusal_after_the_deadline_proves_nothing_so_the_step_is_undone() -> None:
    tale = Tale(define("a", ttl_s=10)).begins()
    call = tale.next
    tale.runs_out_of_time().is_answered(REFUSAL, call=call)
    assert tale.step("a").needs_undo
    assert tale.undoes_what_is_left() == ["a"]


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
