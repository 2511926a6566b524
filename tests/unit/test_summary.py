"""The row of a saga, and the sentences that its caller reads, letter by letter."""

from dataclasses import replace

import pytest

from coordinator.api.convert import to_saga
from coordinator.domain.definition import RetryPolicy
from coordinator.domain.events import ExpressionFailed, Verb
from coordinator.domain.ids import StepName
from coordinator.domain.machine import decide, start
from coordinator.domain.outcomes import Answer, NoProof, Refused, Unproved
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, DeadLetterCause, Signature, summarize
from tests.contract.sagas import acted
from tests.unit.machine.tale import (
    BORN_AT,
    DONE,
    FAULT,
    PENDING,
    REFUSAL,
    SILENCE,
    Tale,
    born,
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


def test_of_several_undos_that_failed_or_wait_each_is_named() -> None:
    tale = refused(refused(refused(turned_back())))
    assert message(tale).endswith(
        "undo_c at c_service, undo_b at b_service, undo_a at a_service failed for good."
    )
    halted = refused(refused(Tale(define("a", "b", "c", "d")).does("1", "2", "3")))
    assert message(halted).endswith("undo_c at c_service failed for good; behind it wait: b, a.")


def test_what_nothing_undoes_is_named() -> None:
    given_away = [step(name, undo=None) for name in "ab"]
    tale = refused(Tale(define(*given_away, "c")).does("1", "2"))
    assert message(tale) == f"{WHY} Nothing had to be undone. Nothing undoes a, b."


def test_what_was_decided_by_hand_is_named() -> None:
    tale = Tale(define("a", "b", "c", "d"))
    for name in "ab":
        tale.happens(acted(Verb.SKIP, StepName(name)))
    tale.does("3").is_cancelled().happens(acted(Verb.SKIP, C))
    assert message(tale).endswith("Left in place by hand: c.")
    assert "Skipped by hand: a, b." in message(tale)
    left = Tale(define("a", "b", "c")).does("1", "2").is_cancelled()
    for name in "ba":
        left.happens(acted(Verb.SKIP, StepName(name)))
    assert message(left).endswith("Left in place by hand: a, b.")


def test_a_saga_without_the_output_that_it_should_have_says_why() -> None:
    checked = pivot("output_check")
    tale = Tale(define(checked, output={"x": "input.nowhere"}))
    tale.fails(NoProof(Unproved.KEY_REUSED, "KEY_REUSED", "")).is_answered(DONE)
    assert message(tale) == "", "it is still to be made"
    tale.settles()
    assert tale.saga.flags[0] == "output_check: KEY_REUSED"
    assert message(tale) == (
        "Every step is done, but the saga's output could not be made: "
        'output.x: input has no field "nowhere".'
    )
    assert message(Tale(define("a", output={"x": "input.n"})).does("1").settles()) == ""


def test_the_words_of_an_expression_that_failed_end_with_one_full_stop() -> None:
    tale = Tale(define(pivot("a"), output={"x": "1"})).does("1")
    tale.happens(ExpressionFailed(tale.now, None, "output.x", "it takes too long."))
    assert message(tale).endswith("output.x: it takes too long.")
    tale = Tale(define("a")).happens(ExpressionFailed(BORN_AT, StepName("a"), "when", "it is no number."))
    assert message(tale).startswith("An expression of step a failed, at when: it is no number. Nothing")
    tale = Tale(define(pivot("a"), retriable("b"))).does("1")
    tale.happens(ExpressionFailed(tale.now, B, "input", "it is no text."))
    assert "its expression failed at input: it is no text, and" in message(tale)


def test_a_step_that_a_person_ended_for_good_needs_nobody_any_more() -> None:
    tale = refused(Tale(define(pivot("b"), retriable("c"))).does("1"))
    assert message(tale).startswith("do_c at c_service needs a person: it was refused,")
    tale.happens(acted(Verb.TERMINATE))
    assert message(tale).startswith("do_c at c_service failed for good: it was refused,")


def test_who_gave_a_step_up_is_named_until_it_is_tried_again() -> None:
    tale = Tale(define(pivot("b"), retriable("c", depends_on=["b"]), retriable("d", depends_on=["b"])))
    tale.does("1").begins("c", "d").happens(acted(Verb.FAIL, C)).happens(acted(Verb.FAIL, StepName("d")))
    told = "do_c at c_service needs a person: it was given up by ada (she looked at it), and past the pivot"
    assert message(tale).startswith(told)
    tale.happens(acted(Verb.SKIP, StepName("d")))
    assert message(tale).startswith(told), "another step is another matter"
    tale.happens(acted(Verb.RETRY, C)).waits(2_000.0).is_answered(FAULT, of="c")
    assert message(tale).startswith("do_c at c_service needs a person: it was tried in vain until its budget")


def test_a_budget_may_be_spent_before_a_step_was_tried_as_often_as_it_may_be() -> None:
    both = RetryPolicy(max_attempts=9, initial_backoff_s=1.0, max_backoff_s=8.0, budget_s=10.0)
    tale = Tale(define(pivot("a"), retriable("b").model_copy(update={"retry": both}))).does("1").begins()
    assert "it was tried in vain until its budget was spent" in message(tale.waits(10.0).is_answered(FAULT))


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


def test_an_output_is_due_at_once_and_not_when_the_deadline_comes() -> None:
    tale = Tale(define("a", output={"x": "input.n"}, ttl_s=9.0)).does("1")
    assert (tale.status, tale.summary.due_at) == (Status.RUNNING, None)


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


def test_the_row_says_whether_a_person_decided_and_where_the_saga_is_followed() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    decision = start(define("a", "b"), replace(born(define("a", "b")), trace=trace))
    assert (summarize(decision, 1).forced, summarize(decision, 1).trace) == (False, trace)
    assert summarize(decide(decision.saga, acted(Verb.SKIP, StepName("a"))), 2).forced


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


def test_causes_keep_their_words_for_they_stand_in_rows_that_later_releases_read() -> None:
    assert [cause.value for cause in DeadLetterCause] == [
        "REFUSED",
        "BUDGET_SPENT",
        "SET_ASIDE",
        "EXPRESSION",
    ]
    assert (SET_ASIDE.step, SET_ASIDE.cause.value) == (None, "SET_ASIDE")


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
