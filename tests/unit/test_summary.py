"""The row of a saga, and the sentences that its caller reads, letter by letter."""

from dataclasses import replace

import pytest

from coordinator.api.convert import to_saga
from coordinator.domain.definition import RetryPolicy
from coordinator.domain.events import Verb
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import Answer, NoProof, Refused, Unproved
from coordinator.domain.saga import Status
from coordinator.domain.summary import DeadLetterCause, Signature
from tests.contract.sagas import acted
from tests.unit.machine.tale import (
    BORN_AT,
    DONE,
    FAULT,
    PENDING,
    REFUSAL,
    SILENCE,
    Tale,
    define,
    pivot,
    retriable,
    step,
)


def message(tale: Tale) -> str:
    return tale.summary.error_message


def refused(tale: Tale) -> Tale:
    return tale.fails(REFUSAL)


WHY = "c at c_service was refused: OUT_OF_STOCK: sku-1 is sold out."


def test_a_saga_that_goes_forward_or_is_completed_has_no_error() -> None:
    tale = Tale(define("a"))
    assert message(tale) == ""
    assert message(tale.does("1")) == ""


def test_the_error_of_a_refused_saga_says_who_refused_and_what_became_of_the_undo() -> None:
    tale = refused(Tale(define("a", "b", "c")).does("1", "2"))
    assert message(tale) == f"{WHY} What was begun is being undone."
    tale.undoes_what_is_left()
    assert message(tale) == f"{WHY} What was begun has been undone."


def test_the_error_of_a_first_step_that_is_refused_says_that_nothing_was_to_be_undone() -> None:
    tale = refused(Tale(define("a")))
    assert message(tale) == (
        "a at a_service was refused: OUT_OF_STOCK: sku-1 is sold out. Nothing had to be undone."
    )


def test_the_error_of_a_step_that_was_given_up_says_what_its_last_attempt_met() -> None:
    tale = Tale(define(step("a", attempts_max=1))).fails(SILENCE)
    assert message(tale) == (
        "a at a_service was given up: DEADLINE_EXCEEDED: no answer in time. What was begun is being undone."
    )


def test_a_step_past_the_pivot_that_may_be_tried_so_often_is_said_to_have_been() -> None:
    twice = RetryPolicy(max_attempts=2, initial_backoff_s=1.0, max_backoff_s=8.0, budget_s=100.0)
    limited = retriable("b").model_copy(update={"retry": twice})
    tale = Tale(define(pivot("a"), limited)).passes("a").fails(FAULT).is_answered(FAULT)
    assert message(tale) == (
        "do_b at b_service needs a person: it was tried in vain as often as it may be, and past the pivot "
        "nothing is undone."
    )


def test_a_cancelled_saga_gives_the_reason_if_there_was_one() -> None:
    assert message(Tale(define("a")).is_cancelled()) == "Cancelled. Nothing had to be undone."
    assert message(Tale(define("a", "b")).does("1").is_cancelled("no longer wanted")) == (
        "Cancelled (no longer wanted). What was begun is being undone."
    )


def test_a_saga_that_ran_out_of_time_says_so() -> None:
    tale = Tale(define("a", ttl_s=10.0)).runs_out_of_time()
    assert message(tale) == "The time allowed for it ran out. Nothing had to be undone."


def test_a_dead_letter_names_the_undo_that_failed_and_what_waits_behind_it() -> None:
    tale = refused(refused(Tale(define("a", "b", "c")).does("1", "2")))
    assert message(tale) == (
        f"{WHY} Its undo needs a person: undo_b at b_service failed for good; behind it wait: a."
    )


def test_a_dead_letter_with_nothing_behind_it_names_the_undo_alone() -> None:
    tale = Tale(define("b", "c")).does("1").fails(REFUSAL).fails(REFUSAL)
    assert message(tale) == f"{WHY} Its undo needs a person: undo_b at b_service failed for good."


def test_an_undo_that_was_passed_over_is_named_while_the_rest_goes_on_and_after() -> None:
    tale = refused(refused(Tale(define("a", step("b", on_failure="continue"), "c")).does("1", "2")))
    sentence = f"{WHY} Its undo needs a person: undo_b at b_service failed for good."
    assert message(tale) == sentence
    tale.undoes_what_is_left()
    assert message(tale) == sentence


def test_a_bar_that_failed_is_named_by_its_step() -> None:
    tale = Tale(define(step("a", undo=None), "b")).begins().is_cancelled().fails(REFUSAL)
    assert message(tale) == ("Cancelled. Its undo needs a person: barring a at a_service failed for good.")


def test_what_participants_say_is_set_into_one_sentence() -> None:
    said: list[tuple[Answer, str]] = [
        (Refused("NO_FUNDS", "The card was declined."), "refused: NO_FUNDS: The card was declined."),
        (Refused("NO_FUNDS", ""), "refused: NO_FUNDS."),
        (Refused("", "declined"), "refused: declined."),
        (Refused("", ""), "refused."),
        (NoProof(Unproved.PERMANENT, "", ""), "given up."),
    ]
    for answer, sentence in said:
        assert message(Tale(define("a")).fails(answer)).startswith(f"a at a_service was {sentence} ")


def test_the_row_tells_when_work_is_next_due() -> None:
    tale = Tale(define("a", "b", ttl_s=100.0))
    assert tale.summary.due_at is None, "now"
    assert tale.begins().is_answered(FAULT, draw=1.0).summary.due_at == BORN_AT + 1
    assert tale.is_answered(PENDING).summary.due_at == BORN_AT + 5


def test_a_deadline_is_due_before_a_retry_that_comes_after_it() -> None:
    tale = Tale(define("a", "b", ttl_s=3.0)).fails(PENDING)
    assert tale.summary.due_at == BORN_AT + 3


def test_the_deadline_is_not_due_any_more_once_the_saga_turned_back() -> None:
    tale = Tale(define("a", "b", ttl_s=3.0)).does("1").is_cancelled().fails(PENDING)
    assert tale.summary.due_at == BORN_AT + 5


def test_nothing_is_due_when_a_saga_has_ended() -> None:
    for tale in (Tale(define("a", ttl_s=9.0)).does("1"), Tale(define("a")).is_cancelled()):
        assert tale.summary.due_at is None


def test_the_row_says_what_it_is_a_row_of() -> None:
    tale = Tale(define("a", ttl_s=9.0)).waits(2).begins()
    row = tale.summary
    assert (row.id, row.saga_name, row.status, row.seq) == ("saga-1", "Order", Status.RUNNING, 2)
    assert (row.definition_digest, row.definition_version) == (tale.definition.digest, None)
    assert (row.front_door, row.request_id) == ("test", "request of saga-1")
    assert (row.started_at, row.updated_at, row.deadline_at) == (BORN_AT, BORN_AT + 2, BORN_AT + 9)


def test_the_row_carries_the_flags() -> None:
    tale = Tale(define("a")).fails(NoProof(Unproved.KEY_REUSED, "KEY_REUSED", ""))
    assert tale.summary.flags == ("a: KEY_REUSED",)


B, C = StepName("b"), StepName("c")


def turned_back() -> Tale:
    """All but the last of its steps are to be undone, and no failure of an undo holds up the next one."""
    lenient = [step(name, on_failure="continue") for name in "abc"]
    return refused(Tale(define(*lenient, "d")).does("1", "2", "3"))


def signature(tale: Tale) -> tuple[str | None, str] | None:
    found = tale.summary.signature
    assert (found is not None) == tale.summary.needs_person
    return None if found is None else (found.step, found.cause.value)


def spends_its_budget(tale: Tale) -> Tale:
    return tale.begins().waits(200).is_answered(FAULT)


def test_what_needs_no_person_has_no_signature() -> None:
    tale = Tale(define("a", "b")).does("1")
    assert signature(tale) is None
    assert signature(refused(tale)) is None
    tale.undoes_what_is_left()
    assert signature(tale) is None


def test_the_signature_is_the_step_whose_undo_failed_and_why() -> None:
    tale = refused(turned_back())
    assert tale.status is Status.COMPENSATING
    assert tale.summary.signature == Signature(C, DeadLetterCause.REFUSED)
    assert signature(spends_its_budget(turned_back())) == ("c", "BUDGET_SPENT")


def test_of_several_undos_that_failed_it_is_the_one_that_was_to_come_first() -> None:
    tale = refused(spends_its_budget(turned_back()))
    assert signature(tale) == ("c", "BUDGET_SPENT")
    tale.undoes_what_is_left()
    assert (tale.status, signature(tale)) == (Status.DEAD_LETTERED, ("c", "BUDGET_SPENT"))


def test_it_is_that_of_the_next_one_once_a_person_has_settled_the_first() -> None:
    for verb in (Verb.SKIP, Verb.COMPLETE, Verb.RETRY):
        tale = spends_its_budget(refused(turned_back()))
        assert signature(tale.happens(acted(verb, C))) == ("b", "BUDGET_SPENT")


def test_an_undo_that_is_tried_again_may_fail_for_another_cause() -> None:
    tale = refused(turned_back()).happens(acted(Verb.RETRY, C))
    assert signature(tale) is None
    assert signature(tale.waits(2_000).is_answered(FAULT)) == ("c", "BUDGET_SPENT")


def test_an_undo_that_a_person_gave_up_counts_as_one_whose_budget_is_spent() -> None:
    assert signature(turned_back().begins().happens(acted(Verb.FAIL, C))) == ("c", "BUDGET_SPENT")


def test_the_signature_is_gone_once_nobody_is_needed_any_more() -> None:
    tale = refused(turned_back())
    assert signature(tale.begins().is_answered(DONE)) == ("c", "REFUSED")
    assert signature(tale.happens(acted(Verb.TERMINATE))) is None


@pytest.mark.parametrize(
    ("flags", "shown"), [("01", "4bf92f3577b34da6a3ce929d0e0e4736"), ("00", ""), (None, "")]
)
def test_a_trace_is_named_to_callers_where_it_is_recorded(flags: str | None, shown: str) -> None:
    trace = "" if flags is None else f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"
    tale = Tale(define("a"))
    assert to_saga(replace(tale.summary, trace=trace)).trace_id == shown
