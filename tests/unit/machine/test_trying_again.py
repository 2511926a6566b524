"""When a step or its undo is tried again, and when that ends."""

import pytest

from coordinator.domain.outcomes import Answer, Faulted, NoProof, Pending, Unproved
from coordinator.domain.saga import Status
from coordinator.domain.verdicts import verdict
from tests.unit.machine.tale import DONE, FAULT, PENDING, PERMANENT, REFUSAL, SILENCE, Tale, define, step


@pytest.mark.parametrize("answer", [FAULT, SILENCE], ids=["faulted", "unknown"])
def test_a_failed_attempt_is_made_again_after_a_wait_that_doubles_up_to_the_cap(answer: Answer) -> None:
    tale = Tale(define(step("a", attempts_max=7))).begins()
    waits = []
    for _ in range(6):
        tale.is_answered(answer, draw=0.5)
        waits.append(tale.due_in_s)
        tale.waits(waits[-1] or 0.0)
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert tale.status is Status.RUNNING


def test_the_attempts_count_the_first_one() -> None:
    tale = Tale(define(step("a", attempts_max=3))).fails(FAULT).is_answered(SILENCE)
    assert tale.status is Status.RUNNING
    assert tale.step("a").attempt == 3
    tale.is_answered(FAULT)
    assert tale.saga.abort is not None


def test_with_one_attempt_a_timeout_is_a_failure() -> None:
    tale = Tale(define(step("a", attempts_max=1), "b")).fails(SILENCE)
    assert tale.undoes_what_is_left() == ["a"]


def test_a_permanent_status_is_not_tried_again_going_forward() -> None:
    tale = Tale(define(step("a", attempts_max=5))).fails(PERMANENT)
    assert tale.saga.abort is not None


@pytest.mark.parametrize("undoing", [False, True], ids=["forward", "undo"])
def test_who_is_pending_again_and_again_is_asked_less_and_less_often(undoing: bool) -> None:
    tale = Tale(define("a", "b")).does("1").begins()
    if undoing:
        tale.is_answered(REFUSAL).begins()
    waits = []
    for _ in range(8):
        tale.is_answered(Pending(0.0))
        waits.append(round(tale.due_in_s or 0.0, 3))
        tale.waits(waits[-1])
    assert waits == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]


def test_being_asked_to_wait_uses_up_no_attempt() -> None:
    tale = Tale(define(step("a", attempts_max=2))).begins()
    for _ in range(10):
        tale.is_answered(PENDING)
        assert tale.due_in_s == 5.0
        tale.waits(5)
    assert tale.step("a").attempt == 1
    tale.is_answered(FAULT).is_answered(PENDING)
    assert tale.status is Status.RUNNING
    assert tale.step("a").attempt == 2


def test_a_restart_may_cost_one_more_attempt_but_takes_none_from_the_policy() -> None:
    tale = Tale(define(step("a", attempts_max=2))).begins().is_resumed().is_resumed()
    assert tale.step("a").attempt == 3
    tale.is_answered(FAULT)
    assert tale.saga.abort is None
    tale.is_answered(FAULT)
    assert tale.saga.abort is not None


def test_a_restart_counts_for_the_step_that_may_be_under_way_and_for_no_other() -> None:
    tale = Tale(define("a", "b", "c")).does("1").begins().is_resumed()
    assert [s.lost for s in tale.saga.steps] == [0, 1, 0]


def test_a_restart_while_undoing_counts_for_the_undo_and_not_for_the_step() -> None:
    tale = Tale(define("a", "b")).begins().is_cancelled().begins().is_resumed()
    assert (tale.step("a").lost, tale.undo("a").lost) == (0, 1)
    assert tale.undo("a").attempt == 2


def test_a_restart_leaves_a_planned_retry_where_it_was() -> None:
    tale = Tale(define("a")).fails(FAULT)
    planned = tale.due_in_s
    assert tale.is_resumed().due_in_s == planned


def test_the_counters_of_each_step_and_direction_are_its_own() -> None:
    tale = Tale(define(step("a", attempts_max=2), step("b", attempts_max=2)))
    tale.fails(FAULT).is_answered(DONE)
    tale.fails(FAULT).is_answered(FAULT)
    assert tale.saga.abort is not None
    tale.begins()
    assert (tale.step("b").attempt, tale.undo("b").attempt) == (3, 1)
    tale.is_answered(FAULT, draw=1.0)
    assert tale.due_in_s == 1.0, "the first wait of the undo, whatever the step went through"


def test_the_wish_of_the_callee_is_kept_as_the_least_wait_inside_the_cap() -> None:
    for wish_s, waited_s in ((3.0, 3.0), (100.0, 8.0), (0.1, 0.5), (-5.0, 0.5)):
        tale = Tale(define("a")).fails(Faulted("BUSY", "", wish_s))
        undoing = Tale(define("a", "b")).does("1").is_cancelled().fails(Faulted("BUSY", "", wish_s))
        assert tale.due_in_s == undoing.due_in_s == waited_s


def test_the_wish_to_be_asked_again_is_held_inside_bounds() -> None:
    for wish_s, waited_s in ((None, 1.0), (-1.0, 0.02), (0.0, 0.02), (7.0, 7.0), (1e9, 3600.0)):
        tale = Tale(define("a")).fails(Pending(wish_s))
        assert tale.due_in_s == pytest.approx(waited_s)


STATUSES = [
    FAULT,
    SILENCE,
    PERMANENT,
    NoProof(Unproved.BROKEN_CONTRACT, "", ""),
    NoProof(Unproved.KEY_REUSED, "", ""),
    NoProof(Unproved.BARRED, "", ""),
]


@pytest.mark.parametrize("answer", STATUSES, ids=lambda a: getattr(a, "kind", a.code))
def test_an_undo_is_tried_again_whatever_status_it_meets_until_its_budget_is_spent(answer: Answer) -> None:
    tale = Tale(define(step("a", budget_s=20.0), "b")).does("1").is_cancelled().begins()
    began_at = tale.now
    waits: list[float | None] = []
    while tale.is_answered(answer, draw=1.0).next is not None and len(waits) < 20:
        waits.append(tale.due_in_s)
        tale.waits(waits[-1] or 0.0)
    assert waits == [1.0, 2.0, 4.0, 8.0, 5.0], "the last wait ends with the budget"
    assert tale.now <= began_at + 20.0
    assert tale.status is Status.DEAD_LETTERED


def test_a_retry_that_ends_exactly_with_the_budget_is_still_made() -> None:
    tale = Tale(define(step("a", budget_s=1.0), "b")).does("1").is_cancelled().begins()
    tale.is_answered(FAULT, draw=1.0)
    assert tale.due_in_s == 1.0
    assert tale.waits(1.0).is_answered(FAULT, draw=0.5).status is Status.DEAD_LETTERED


def test_the_budget_of_an_undo_runs_from_its_beginning_and_not_from_that_of_the_saga() -> None:
    tale = Tale(define(step("a", budget_s=5.0), "b")).does("1").waits(1_000).is_cancelled().waits(1_000)
    tale.begins().is_answered(FAULT, draw=1.0)
    assert tale.due_in_s == 1.0


def test_a_participant_that_has_taken_the_undo_on_spends_no_budget() -> None:
    tale = Tale(define(step("a", budget_s=5.0), "b")).does("1").is_cancelled().begins()
    for _ in range(10):
        tale.is_answered(PENDING).waits(5)
    tale.is_answered(PENDING).is_answered(FAULT, draw=1.0)
    assert tale.due_in_s == 1.0


def test_a_refused_undo_is_not_tried_again() -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled().fails(REFUSAL)
    assert tale.next is None


def test_a_newer_owner_s_token_is_no_outcome_in_either_direction() -> None:
    stale = NoProof(Unproved.STALE_TOKEN, "STALE_TOKEN", "")
    tale = Tale(define("a", "b")).begins()
    assert tale.next is not None
    assert verdict(tale.saga, tale.next, stale, at=tale.now, draw=0.5) is None
    tale.is_answered(DONE).is_cancelled().begins()
    assert verdict(tale.saga, tale.next, stale, at=tale.now, draw=0.5) is None


def test_an_undo_that_never_began_has_no_verdict() -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled()
    assert tale.next is not None
    with pytest.raises(ValueError, match="never begun"):
        verdict(tale.saga, tale.next, DONE, at=tale.now, draw=0.5)


def test_a_late_failure_after_the_abort_plans_no_retry() -> None:
    tale = Tale(define("a", "b")).begins()
    call = tale.next
    tale.is_cancelled().is_answered(FAULT, call=call)
    assert tale.step("a").due_at is None
