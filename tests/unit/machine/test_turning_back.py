"""Cancel, deadline and contradictions: what turns a saga back besides its participants' answers."""

import pytest

from coordinator.domain.commands import Compensate
from coordinator.domain.errors import IllegalTransition, SagaEnded
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    DeadlinePassed,
    StepBegun,
    StepFaulted,
    StepPending,
    StepRefused,
    StepSucceeded,
)
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import Answer, NoProof, Unproved
from coordinator.domain.saga import Abort, AbortKind, Heading, Status
from tests.unit.machine.tale import BORN_AT, DONE, FAULT, REFUSAL, SILENCE, Tale, define, step

A, B = StepName("a"), StepName("b")


def broken(kind: Unproved) -> NoProof:
    return NoProof(kind, kind.name, "")


def test_a_cancelled_saga_begins_no_further_step_and_undoes_those_it_has() -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled("changed my mind")
    assert isinstance(tale.next, Compensate)
    with pytest.raises(IllegalTransition, match="'b' cannot begin now"):
        tale.happens(StepBegun(tale.now, B))


def test_a_cancelled_saga_undoes_the_step_that_may_be_under_way() -> None:
    assert Tale(define("a", "b")).begins().is_cancelled().undoes_what_is_left() == ["a"]


def test_it_is_known_why_and_when_a_saga_turned_back_and_whose_words_are_told() -> None:
    cancelled = Tale(define("a")).waits(1).is_cancelled("enough").saga
    assert cancelled.abort == Abort(AbortKind.CANCELLED, BORN_AT + 1, None, "", "enough")
    out_of_time = Tale(define("a", ttl_s=10.0)).runs_out_of_time().saga
    assert out_of_time.abort == Abort(AbortKind.DEADLINE, BORN_AT + 10, None, "", "")


def test_a_saga_is_cancelled_if_that_is_why_it_turned_back() -> None:
    assert Tale(define("a", "b")).does("1").is_cancelled().saga.is_cancelled
    assert not Tale(define("a", "b")).does("1").saga.is_cancelled
    assert not Tale(define("a", "b")).does("1").fails(REFUSAL).saga.is_cancelled
    assert not Tale(define("a", ttl_s=10.0)).runs_out_of_time().saga.is_cancelled


def test_only_a_saga_that_goes_forward_can_be_cancelled() -> None:
    completed = Tale(define("a")).does("1")
    compensating = Tale(define("a", "b")).does("1").is_cancelled()
    compensated = Tale(define("a")).is_cancelled()
    dead = Tale(define("a", "b")).does("1").fails(REFUSAL).fails(REFUSAL)
    for tale in (completed, compensating, compensated, dead):
        with pytest.raises(SagaEnded, match="cannot be cancelled any more"):
            tale.is_cancelled()


def test_a_saga_is_too_late_from_the_very_moment_of_its_deadline() -> None:
    tale = Tale(define("a", "b", ttl_s=10.0)).does("1").waits(10)
    with pytest.raises(IllegalTransition, match="cannot begin after the deadline"):
        tale.begins()
    tale.runs_out_of_time()
    assert tale.saga.heading is Heading.BACKWARD
    assert tale.undoes_what_is_left() == ["a"]


def test_just_before_the_deadline_a_step_may_still_begin() -> None:
    tale = Tale(define("a", ttl_s=10.0)).waits(9.999).does("1")
    assert tale.status is Status.COMPLETED


def test_a_deadline_cannot_pass_before_it_has_come_or_where_there_is_none() -> None:
    early = Tale(define("a", ttl_s=10.0))
    with pytest.raises(IllegalTransition, match="has not come"):
        early.happens(DeadlinePassed(BORN_AT + 9.999))
    with pytest.raises(IllegalTransition, match="has not come"):
        Tale(define("a")).happens(DeadlinePassed(BORN_AT + 1e9))


def test_the_deadline_is_no_concern_of_a_saga_that_is_done_or_turning_back() -> None:
    for tale in (
        Tale(define("a", ttl_s=10.0)).does("1"),
        Tale(define("a", "b", ttl_s=10.0)).does("1").is_cancelled(),
    ):
        with pytest.raises(IllegalTransition, match="its deadline is no concern"):
            tale.runs_out_of_time()


@pytest.mark.parametrize(
    "late",
    [
        StepSucceeded(BORN_AT + 10, A, 1, "{}"),
        StepRefused(BORN_AT + 10, A, 1, "NO", ""),
        StepPending(BORN_AT + 10, A, 1, BORN_AT + 11),
        StepFaulted(BORN_AT + 10, A, 1, Cause.UNKNOWN, "", "", None),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_answer_after_the_deadline_proves_nothing_until_the_saga_has_turned_back(
    late: StepSucceeded | StepRefused | StepPending | StepFaulted,
) -> None:
    tale = Tale(define("a", "b", ttl_s=10.0)).begins()
    with pytest.raises(IllegalTransition, match="after the deadline proves nothing"):
        tale.happens(late)
    tale.runs_out_of_time().happens(late)
    assert tale.saga.abort is not None
    assert tale.saga.abort.kind is AbortKind.DEADLINE


def test_a_late_success_is_undone_with_its_output() -> None:
    tale = Tale(define("a", "b", ttl_s=10.0)).begins()
    call = tale.next
    tale.runs_out_of_time().is_answered(DONE, call=call)
    assert tale.begins().undo("a").receipt == DONE.output


def test_the_deadline_does_not_cut_an_undo_off() -> None:
    tale = Tale(define("a", "b", ttl_s=10.0)).does("1").runs_out_of_time().waits(50).begins()
    tale.is_answered(SILENCE)
    assert tale.undoes_what_is_left() == ["a"]
    assert tale.status is Status.COMPENSATED


def test_why_a_saga_turned_back_stays_what_it_was_first() -> None:
    tale = Tale(define("a", "b")).does("1").begins()
    call = tale.next
    tale.is_cancelled("first").is_answered(REFUSAL, call=call)
    assert tale.saga.abort is not None
    assert tale.saga.abort.kind is AbortKind.CANCELLED


@pytest.mark.parametrize("kind", [Unproved.BROKEN_CONTRACT, Unproved.KEY_REUSED, Unproved.BARRED])
def test_a_contradiction_turns_the_saga_back_compensates_the_step_and_raises_a_flag(kind: Unproved) -> None:
    tale = Tale(define("a", "b")).does("1").fails(broken(kind))
    assert tale.saga.flags == (f"b: {kind.name}",)
    assert tale.undoes_what_is_left() == ["b", "a"]


def test_a_contradiction_during_the_undo_raises_a_flag_once_and_the_undo_goes_on() -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled().begins()
    tale.is_answered(broken(Unproved.KEY_REUSED)).is_answered(broken(Unproved.KEY_REUSED))
    assert tale.saga.flags == ("a: KEY_REUSED",)
    assert tale.status is Status.COMPENSATING


def test_each_contradiction_raises_a_flag_of_its_own_and_an_undo_that_is_barred_is_one() -> None:
    tale = Tale(define("a", "b")).does("1").fails(broken(Unproved.KEY_REUSED)).begins()
    tale.is_answered(broken(Unproved.BARRED))
    assert tale.saga.flags == ("b: KEY_REUSED", "b: BARRED")


@pytest.mark.parametrize("answer", [FAULT, SILENCE, broken(Unproved.PERMANENT)], ids=repr)
def test_what_contradicts_nothing_raises_no_flag(answer: Answer) -> None:
    tale = Tale(define(step("a", attempts_max=1), "b")).fails(answer)
    assert tale.saga.flags == ()


def test_an_execute_that_is_barred_after_the_abort_is_no_contradiction() -> None:
    tale = Tale(define("a", "b")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(broken(Unproved.BARRED), call=call)
    assert tale.saga.flags == ()
    assert tale.undoes_what_is_left() == ["a"]


def test_a_reused_key_is_a_contradiction_after_the_abort_too() -> None:
    tale = Tale(define("a", "b")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(broken(Unproved.KEY_REUSED), call=call)
    assert tale.saga.flags == ("a: KEY_REUSED",)


def test_a_restart_of_a_saga_that_has_ended_is_illegal() -> None:
    for tale in (Tale(define("a")).does("1"), Tale(define("a")).is_cancelled()):
        with pytest.raises(IllegalTransition, match="has ended"):
            tale.is_resumed()


def test_a_cancel_keeps_the_moment_and_the_words_of_whoever_asked() -> None:
    tale = Tale(define("a")).waits(3).happens(CancelRequested(BORN_AT + 3, "the customer called"))
    assert tale.saga.updated_at == BORN_AT + 3
    assert tale.summary.error_message.startswith("Cancelled (the customer called).")
