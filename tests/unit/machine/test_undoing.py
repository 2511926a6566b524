"""Which steps are undone, in which order, with what in hand, and what a failed undo leads to."""

import pytest

from coordinator.domain.commands import Compensate
from coordinator.domain.errors import IllegalTransition
from coordinator.domain.events import StepCompensated, StepSucceeded, UndoBegun
from coordinator.domain.ids import IdempotencyKey, StepName
from coordinator.domain.outcomes import Answer, Succeeded
from coordinator.domain.saga import Status
from tests.unit.machine.tale import (
    DONE,
    FAULT,
    PENDING,
    PERMANENT,
    REFUSAL,
    SILENCE,
    Tale,
    define,
    step,
)

A, B, C = StepName("a"), StepName("b"), StepName("c")


def test_a_refused_step_turns_the_saga_back_at_once_and_is_not_tried_again() -> None:
    tale = Tale(define("a", "b", "c")).does("1").fails(REFUSAL)
    assert tale.status is Status.COMPENSATING
    assert tale.next == Compensate(A, 0, IdempotencyKey("saga-1/a/compensate"), None)


def test_what_was_done_is_undone_in_reverse_order() -> None:
    tale = Tale(define("a", "b", "c", "d")).does("1", "2", "3").fails(REFUSAL)
    assert tale.undoes_what_is_left() == ["c", "b", "a"]
    assert tale.status is Status.COMPENSATED


def test_a_step_is_undone_only_when_the_one_after_it_is_settled() -> None:
    tale = Tale(define("a", "b", "c")).does("1", "2").fails(REFUSAL).begins()
    for answer in (FAULT, PENDING, SILENCE):
        tale.is_answered(answer)
        assert tale.next is not None
        assert tale.next.step == "b"
    with pytest.raises(IllegalTransition, match="no undo of 'a' begins now"):
        tale.happens(UndoBegun(tale.now, A, "1"))


def test_what_was_never_begun_is_never_compensated() -> None:
    tale = Tale(define("a", "b", "c")).does("1").is_cancelled()
    assert tale.undoes_what_is_left() == ["a"]


def test_no_undo_begins_of_what_was_never_begun_or_is_undone() -> None:
    tale = Tale(define("a", "b", "c")).does("1", "2").is_cancelled()
    with pytest.raises(IllegalTransition, match="no undo of 'c' begins now"):
        tale.happens(UndoBegun(tale.now, C, None))
    tale.begins().is_answered(DONE)
    with pytest.raises(IllegalTransition, match="no undo of 'b' begins now"):
        tale.happens(UndoBegun(tale.now, B, "2"))


def test_no_undo_begins_whose_expression_failed_before_a_person_has_it_evaluated_again() -> None:
    unsendable = step("a", compensation_input={"x": "input.nowhere"})
    tale = Tale(define(unsendable, "b")).does("1").is_cancelled().begins()
    with pytest.raises(IllegalTransition, match="no undo of 'a' begins now"):
        tale.happens(UndoBegun(tale.now, A, "1", '{"x":0}'))


def test_a_saga_that_had_begun_nothing_is_compensated_at_once() -> None:
    assert Tale(define("a")).is_cancelled().status is Status.COMPENSATED


def test_a_step_that_was_refused_on_the_only_attempt_ever_begun_is_not_compensated() -> None:
    assert Tale(define("a")).fails(REFUSAL).status is Status.COMPENSATED


@pytest.mark.parametrize("before", [FAULT, SILENCE], ids=["faulted", "unknown"])
def test_a_step_that_was_refused_after_another_attempt_is_compensated(before: Answer) -> None:
    tale = Tale(define("a")).fails(before).is_answered(REFUSAL)
    assert tale.undoes_what_is_left() == ["a"]


def test_a_step_that_was_refused_after_a_restart_is_compensated_because_a_call_may_be_lost() -> None:
    tale = Tale(define("a")).begins().is_resumed().is_answered(REFUSAL)
    assert tale.undoes_what_is_left() == ["a"]


def test_being_asked_to_wait_is_no_attempt_so_a_refusal_after_it_is_not_compensated() -> None:
    tale = Tale(define("a")).begins().is_answered(PENDING).is_answered(PENDING).is_answered(REFUSAL)
    assert tale.status is Status.COMPENSATED


def test_a_restart_after_the_refusal_does_not_bring_an_attempt_back() -> None:
    tale = Tale(define("a", "b")).does("1").fails(REFUSAL).is_resumed()
    assert tale.undoes_what_is_left() == ["a"]


@pytest.mark.parametrize("answer", [PERMANENT, SILENCE, FAULT], ids=["permanent", "unknown", "faulted"])
def test_a_step_that_was_given_up_may_have_had_its_effect_and_is_compensated(answer: Answer) -> None:
    tale = Tale(define("a", step("b", attempts_max=1))).does("1").fails(answer)
    assert tale.undoes_what_is_left() == ["b", "a"]


def test_a_step_with_nothing_to_undo_whose_outcome_is_unknown_is_still_barred() -> None:
    tale = Tale(define("a", step("b", undo=None))).does("1").begins().is_cancelled()
    assert tale.undoes_what_is_left() == ["b", "a"]


def test_a_step_with_nothing_to_undo_that_is_known_to_have_succeeded_is_left_alone() -> None:
    tale = Tale(define("a", step("b", undo=None), "c")).does("1", "2").fails(REFUSAL)
    assert tale.undoes_what_is_left() == ["a"]


def test_a_saga_of_steps_with_nothing_to_undo_is_compensated_without_a_call() -> None:
    tale = Tale(define(step("a", undo=None), "b")).does("1").fails(REFUSAL)
    assert tale.status is Status.COMPENSATED


def test_a_step_with_nothing_to_undo_that_was_refused_on_a_second_attempt_is_barred() -> None:
    tale = Tale(define(step("a", undo=None))).fails(SILENCE).is_answered(REFUSAL)
    assert tale.undoes_what_is_left() == ["a"]


def test_a_step_with_nothing_to_undo_turns_out_to_have_succeeded_and_needs_no_bar() -> None:
    tale = Tale(define(step("a", undo=None), "b")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(DONE, call=call)
    assert tale.status is Status.COMPENSATED


def test_a_late_answer_is_folded_in_for_its_output() -> None:
    tale = Tale(define("a", "b")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(Succeeded('"booked"'), call=call).begins()
    assert tale.undo("a").receipt == '"booked"'


def test_a_late_refusal_of_the_only_attempt_leaves_nothing_to_undo() -> None:
    tale = Tale(define("a", "b")).begins()
    call = tale.next
    tale.is_cancelled("enough").is_answered(REFUSAL, call=call)
    assert tale.status is Status.COMPENSATED
    assert tale.saga.abort is not None
    assert tale.saga.abort.message == "enough"


@pytest.mark.parametrize("late", [FAULT, SILENCE, PERMANENT, PENDING], ids=repr)
def test_a_late_answer_that_proves_nothing_changes_nothing_about_the_undo(late: Answer) -> None:
    tale = Tale(define("a", "b")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(late, call=call)
    assert tale.next == Compensate(A, 0, IdempotencyKey("saga-1/a/compensate"), None)
    assert tale.begins().undo("a").receipt is None


def test_a_late_success_of_the_last_step_does_not_complete_a_saga_that_turned_back() -> None:
    tale = Tale(define("a")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(DONE, call=call)
    assert tale.status is Status.COMPENSATING
    assert tale.undoes_what_is_left() == ["a"]


def test_the_receipt_is_the_output_of_the_step_and_frozen_when_its_undo_begins() -> None:
    tale = Tale(define("a", "b")).begins().is_cancelled().begins()
    tale.happens(StepSucceeded(tale.now, A, 1, '"late"'))
    assert tale.undo("a").receipt is None
    tale.is_resumed()
    assert tale.undo("a").receipt is None


def test_a_receipt_that_is_not_the_output_of_the_step_is_illegal() -> None:
    tale = Tale(define("a", "b")).does('"booked"').is_cancelled()
    for wrong in (None, '"other"'):
        with pytest.raises(IllegalTransition, match="is not its output"):
            tale.happens(UndoBegun(tale.now, A, wrong))


def test_an_undo_begins_once() -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled().begins()
    with pytest.raises(IllegalTransition, match="no undo of 'a' begins now"):
        tale.happens(UndoBegun(tale.now, A, "1"))


def test_no_undo_begins_while_the_saga_goes_forward() -> None:
    tale = Tale(define("a", "b")).does("1")
    with pytest.raises(IllegalTransition, match="no undo of 'a' begins now"):
        tale.happens(UndoBegun(tale.now, A, "1"))


def test_an_undo_that_never_began_or_is_over_has_nothing_to_answer() -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled()
    with pytest.raises(IllegalTransition, match="has no Compensate to answer"):
        tale.happens(StepCompensated(tale.now, A, 1))
    tale.undoes_what_is_left()
    with pytest.raises(IllegalTransition, match="has no Compensate to answer"):
        tale.happens(StepCompensated(tale.now, A, 1))


def test_a_refused_undo_is_final_and_halts_what_comes_after_it() -> None:
    tale = Tale(define("a", "b", "c")).does("1", "2").fails(REFUSAL).fails(REFUSAL)
    assert tale.next is None
    assert tale.status is Status.DEAD_LETTERED
    assert tale.saga.needs_person
    assert [s.name for s in tale.saga.left_standing] == ["b", "a"]


def test_a_failed_undo_that_may_be_passed_over_needs_a_person_at_once_and_the_rest_goes_on() -> None:
    tale = Tale(define("a", step("b", on_failure="continue"), "c")).does("1", "2").fails(REFUSAL)
    assert not tale.summary.needs_person
    tale.fails(REFUSAL)
    assert (tale.summary.status, tale.summary.needs_person) == (Status.COMPENSATING, True)
    assert [s.name for s in tale.saga.left_standing] == ["b"]
    assert tale.undoes_what_is_left() == ["a"]
    assert tale.status is Status.DEAD_LETTERED
    assert [s.name for s in tale.saga.left_standing] == ["b"]


def test_several_failed_undos_are_all_put_before_a_person() -> None:
    steps = [step(name, on_failure="continue") for name in "abc"]
    tale = Tale(define(*steps, "d")).does("1", "2", "3").fails(REFUSAL)
    tale.fails(REFUSAL).fails(REFUSAL).fails(REFUSAL)
    assert tale.status is Status.DEAD_LETTERED
    assert [s.name for s in tale.saga.left_standing] == ["c", "b", "a"]


def test_a_halt_after_a_pass_over_stops_the_rest() -> None:
    tale = Tale(define("a", "b", step("c", on_failure="continue"), "d")).does("1", "2", "3")
    tale.fails(REFUSAL).fails(REFUSAL)
    assert tale.next is not None
    assert tale.next.step == "b"
    tale.fails(REFUSAL)
    assert tale.status is Status.DEAD_LETTERED
    assert [s.name for s in tale.saga.left_standing] == ["c", "b", "a"]


def test_what_failed_to_be_undone_is_never_tried_again_by_itself() -> None:
    tale = Tale(define("a", "b")).does("1").fails(REFUSAL).fails(REFUSAL)
    assert tale.status is Status.DEAD_LETTERED
    with pytest.raises(IllegalTransition, match="has no Compensate to answer"):
        tale.happens(StepCompensated(tale.now, A, 1))
