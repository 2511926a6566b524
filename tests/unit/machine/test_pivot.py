"""The pivot and what comes after it: what turns a saga back, what does not, and when a person is needed."""

from collections.abc import Callable
from typing import Final

import pytest

from coordinator.domain.commands import Invoke
from coordinator.domain.errors import IllegalTransition, SagaEnded
from coordinator.domain.events import (
    Cause,
    DeadlinePassed,
    OperatorActed,
    PivotBegun,
    StepBegun,
    StepFaulted,
    StepOmitted,
    Verb,
)
from coordinator.domain.ids import ActionId, IdempotencyKey, StepName
from coordinator.domain.outcomes import Answer, NoProof, Unproved
from coordinator.domain.saga import AbortKind, Heading, Status, StepOutcome
from coordinator.domain.summary import DeadLetterCause, Signature
from tests.unit.machine.tale import (
    BORN_AT,
    DONE,
    FAULT,
    PENDING,
    PERMANENT,
    REFUSAL,
    SILENCE,
    Tale,
    define,
    pivot,
    retriable,
)

TTL_S: Final = 50.0
BUDGET_S: Final = 100.0
A, B, C = StepName("a"), StepName("b"), StepName("c")


def broken(kind: Unproved) -> NoProof:
    return NoProof(kind, kind.name, "")


def before_pivot() -> Tale:
    """`b` is the pivot, and has not begun."""
    return Tale(define("a", pivot("b", budget_s=BUDGET_S), retriable("c"), ttl_s=TTL_S)).passes("a")


def at_pivot() -> Tale:
    return before_pivot().begins()


def past_pivot(**others: float) -> Tale:
    """`a` is the pivot and has passed; `b` and, behind it, `d` stand beside `c`."""
    steps = (
        pivot("a"),
        retriable("b", depends_on=["a"], **others),
        retriable("c", depends_on=["a"]),
        retriable("d", depends_on=["b"]),
    )
    return Tale(define(*steps, ttl_s=TTL_S)).passes("a")


def acted(verb: Verb, name: str | None = None, *, at: float = BORN_AT) -> OperatorActed:
    named = None if name is None else StepName(name)
    return OperatorActed(at, verb, ActionId(f"{verb} {name} {at}"), "ada", "why", named)


# Before the pivot has begun all is as without one


def test_before_its_pivot_a_saga_is_cancelled_and_undone() -> None:
    tale = before_pivot().is_cancelled()
    assert not tale.saga.is_decided
    assert tale.undoes_what_is_left() == ["a"]
    assert tale.status is Status.COMPENSATED


def test_before_its_pivot_the_deadline_turns_a_saga_back() -> None:
    tale = before_pivot().runs_out_of_time()
    assert tale.saga.abort is not None
    assert tale.saga.abort.kind is AbortKind.DEADLINE
    assert not tale.saga.is_overdue
    assert tale.undoes_what_is_left() == ["a"]


def test_a_pivot_does_not_begin_after_the_deadline() -> None:
    with pytest.raises(IllegalTransition, match="cannot begin after the deadline"):
        before_pivot().waits(TTL_S).begins()


def test_a_restart_before_the_pivot_decides_nothing() -> None:
    tale = before_pivot().is_resumed()
    assert (tale.saga.is_decided, tale.step("b").attempt) == (False, 1)
    assert tale.is_cancelled().undoes_what_is_left() == ["a"]


def test_a_step_before_the_pivot_is_refused_and_given_up_as_ever() -> None:
    for answer in (REFUSAL, PERMANENT):
        tale = Tale(define("a", "b", pivot("c"))).passes("a").fails(answer)
        assert tale.saga.heading is Heading.BACKWARD


def test_that_the_pivot_begins_is_told_by_an_event_of_its_own_and_no_other_step_begins_by_it() -> None:
    tale = before_pivot()
    with pytest.raises(IllegalTransition, match="'b' is pivot"):
        tale.happens(StepBegun(tale.now, B))
    tale.happens(PivotBegun(tale.now, B)).passes("b")
    with pytest.raises(IllegalTransition, match="'c' is retriable"):
        tale.happens(PivotBegun(tale.now, C))
    new = Tale(define("a", pivot("b")))
    with pytest.raises(IllegalTransition, match="'a' is compensatable"):
        new.happens(PivotBegun(new.now, A))


def test_nothing_behind_the_pivot_begins_before_it_has_passed() -> None:
    tale = at_pivot().is_answered(FAULT)
    with pytest.raises(IllegalTransition, match="'c' cannot begin now"):
        tale.happens(StepBegun(tale.now, C))


# From the pivot's beginning on: what happens meanwhile, and what it then answers

MEANWHILE: Final[dict[str, Callable[[Tale], Tale]]] = {
    "nothing": lambda tale: tale,
    "the deadline": lambda tale: tale.runs_out_of_time(),
    "a restart": lambda tale: tale.is_resumed(),
    "a cancel": lambda tale: refuses_to_turn_back(tale),
}


def refuses_to_turn_back(tale: Tale) -> Tale:
    with pytest.raises(IllegalTransition, match="past its pivot") as caught:
        tale.is_cancelled()
    assert not isinstance(caught.value, SagaEnded), "it has not ended: it goes on"
    with pytest.raises(IllegalTransition, match="past its pivot"):
        tale.happens(acted(Verb.CANCEL))
    return tale


@pytest.fixture(params=MEANWHILE)
def decided(request: pytest.FixtureRequest) -> Tale:
    """A saga whose pivot has begun, and to which something has happened since."""
    tale = MEANWHILE[request.param](at_pivot())
    assert (tale.status, tale.saga.is_decided) == (Status.RUNNING, True)
    assert tale.saga.is_overdue == (request.param == "the deadline")
    assert tale.step("b").attempt == (2 if request.param == "a restart" else 1)
    return tale


def test_a_pivot_that_succeeded_is_followed_by_what_comes_after_it(decided: Tale) -> None:
    decided.is_answered(DONE)
    assert decided.at_hand == ["c"]
    assert refuses_to_turn_back(decided).passes("c").status is Status.COMPLETED


def test_a_pivot_that_is_refused_turns_the_saga_back(decided: Tale) -> None:
    lost = decided.step("b").lost
    decided.is_answered(REFUSAL)
    assert decided.saga.abort is not None
    assert (decided.saga.abort.kind, decided.saga.abort.step) == (AbortKind.REFUSED, "b")
    assert not decided.saga.is_decided
    assert decided.undoes_what_is_left() == (["b", "a"] if lost else ["a"])
    assert decided.status is Status.COMPENSATED


@pytest.mark.parametrize("before", [FAULT, SILENCE, PERMANENT], ids=repr)
def test_a_pivot_that_is_refused_after_another_attempt_is_undone_as_well(
    decided: Tale, before: Answer
) -> None:
    decided.is_answered(before).is_answered(REFUSAL)
    assert decided.undoes_what_is_left() == ["b", "a"]


@pytest.mark.parametrize(
    "answer",
    [FAULT, SILENCE, PERMANENT, *map(broken, (Unproved.BROKEN_CONTRACT, Unproved.KEY_REUSED))],
    ids=repr,
)
def test_whatever_proves_nothing_the_pivot_is_asked_again_under_its_key(
    decided: Tale, answer: Answer
) -> None:
    attempt = decided.step("b").attempt
    decided.is_answered(answer, draw=1.0)
    assert decided.decision.commands == (
        Invoke(
            B, 1, IdempotencyKey("saga-1/b/execute"), decided.now + 2.0 ** (decided.step("b").failures - 1)
        ),
    )
    assert (decided.status, decided.step("b").attempt) == (Status.RUNNING, attempt + 1)
    flagged = isinstance(answer, NoProof) and answer.kind in (Unproved.BROKEN_CONTRACT, Unproved.KEY_REUSED)
    assert bool(decided.saga.flags) == flagged


def test_a_pivot_that_is_pending_is_asked_again_and_spends_nothing(decided: Tale) -> None:
    attempt = decided.step("b").attempt
    for _ in range(30):
        decided.is_answered(PENDING)
        assert decided.due_in_s is not None
        decided.waits(decided.due_in_s)
    assert (decided.status, decided.step("b").attempt) == (Status.RUNNING, attempt)
    assert decided.is_answered(FAULT).status is Status.RUNNING
    assert decided.is_answered(DONE).at_hand == ["c"]


def in_doubt(tale: Tale) -> Tale:
    """The pivot's budget is spent."""
    return tale.waits(BUDGET_S).is_answered(SILENCE)


def test_a_pivot_whose_budget_is_spent_is_in_doubt_and_needs_a_person(decided: Tale) -> None:
    tale = in_doubt(decided)
    assert (tale.status, tale.saga.heading, tale.at_hand) == (Status.DEAD_LETTERED, Heading.FORWARD, [])
    assert (tale.step("b").outcome, tale.saga.is_decided) == (StepOutcome.FAILED, True)
    assert tale.summary.signature == Signature(B, DeadLetterCause.BUDGET_SPENT)
    assert tale.summary.error_message == (
        "do_b at b_service is the pivot, and is in doubt: nobody knows whether it has happened. "
        "It needs a person."
    )
    assert tale.summary.turned_back_at is None


def test_the_last_attempt_comes_when_the_budget_ends() -> None:
    tale = at_pivot()
    for _ in range(6):
        tale.is_answered(FAULT, draw=1.0).waits(tale.due_in_s or 0.0)
    tale.waits(BUDGET_S - 3.0 - (tale.now - BORN_AT)).is_answered(FAULT, draw=1.0)
    assert tale.due_in_s == 3.0
    assert tale.waits(3.0).is_answered(FAULT).status is Status.DEAD_LETTERED


def test_a_pivot_with_a_limit_of_attempts_is_in_doubt_when_they_are_made() -> None:
    one = pivot("a")
    limited = one.retry.model_copy(update={"max_attempts": 2})
    tale = Tale(define(one.model_copy(update={"retry": limited}))).begins()
    assert tale.is_answered(FAULT).status is Status.RUNNING
    assert tale.is_answered(FAULT).status is Status.DEAD_LETTERED


def test_an_answer_to_a_pivot_in_doubt_has_no_say_any_more() -> None:
    tale = at_pivot()
    call = tale.call()
    with pytest.raises(IllegalTransition, match="has no Execute to answer"):
        in_doubt(tale).is_answered(DONE, call=call)


# The deadline past the pivot


def test_past_its_pivot_a_saga_is_overdue_once_and_goes_on() -> None:
    tale = at_pivot().runs_out_of_time()
    assert (tale.status, tale.saga.is_overdue, tale.saga.heading) == (Status.RUNNING, True, Heading.FORWARD)
    with pytest.raises(IllegalTransition, match="its deadline is no concern"):
        tale.happens(DeadlinePassed(tale.now))
    assert tale.is_answered(FAULT, draw=1.0).summary.due_at == tale.now + 1.0, "not that of the deadline"
    assert tale.waits(1.0).is_answered(DONE).passes("c").status is Status.COMPLETED


def test_until_then_the_deadline_is_looked_at() -> None:
    tale = at_pivot().waits(TTL_S - 1.0).is_answered(PENDING)
    assert tale.summary.due_at == BORN_AT + TTL_S
    with pytest.raises(IllegalTransition, match="has not come"):
        tale.happens(DeadlinePassed(tale.now))


def test_after_the_deadline_every_answer_past_the_pivot_counts() -> None:
    """Nobody had folded the deadline in, and it changes nothing."""
    assert at_pivot().waits(TTL_S).is_answered(DONE).at_hand == ["c"]
    refused = at_pivot().waits(TTL_S).is_answered(REFUSAL)
    assert refused.undoes_what_is_left() == ["a"], "a refusal proves that nothing was applied"
    behind = past_pivot().waits(TTL_S).begins("b").is_answered(DONE, of="b")
    assert behind.at_hand == ["c", "d"]


# Behind the pivot


@pytest.mark.parametrize("meanwhile", [name for name in MEANWHILE if name != "nothing"])
def test_a_retriable_step_that_is_refused_needs_a_person_and_what_is_beside_it_goes_on(
    meanwhile: str,
) -> None:
    tale = MEANWHILE[meanwhile](past_pivot().begins("b", "c")).is_answered(REFUSAL, of="b")
    assert (tale.status, tale.at_hand, tale.summary.needs_person) == (Status.RUNNING, ["c"], True)
    assert tale.step("b").outcome is StepOutcome.FAILED
    assert refuses_to_turn_back(tale).is_answered(DONE, of="c").status is Status.DEAD_LETTERED
    assert (tale.saga.heading, tale.at_hand) == (Heading.FORWARD, [])
    assert [state.name for state in tale.saga.stuck] == ["b"]
    assert tale.summary.signature == Signature(B, DeadLetterCause.REFUSED)
    assert tale.summary.error_message == (
        "do_b at b_service needs a person: it was refused, and past the pivot nothing is undone."
    )
    with pytest.raises(SagaEnded, match="cannot be cancelled any more"):
        tale.is_cancelled()


@pytest.mark.parametrize("answer", [FAULT, SILENCE, PERMANENT, broken(Unproved.BARRED)], ids=repr)
def test_a_retriable_step_is_tried_until_its_budget_is_spent(answer: Answer) -> None:
    tale = past_pivot(budget_s=20.0).passes("c").begins("b")
    for _ in range(5):
        assert tale.is_answered(answer, draw=0.0).status is Status.RUNNING
    tale.waits(20.0).is_answered(answer)
    assert (tale.status, tale.step("b").attempt) == (Status.DEAD_LETTERED, 7)
    assert tale.summary.signature == Signature(B, DeadLetterCause.BUDGET_SPENT)
    assert "it was tried in vain until its budget was spent" in tale.summary.error_message


def test_a_step_behind_the_pivot_is_never_undone_though_it_names_a_compensation() -> None:
    tale = Tale(define(pivot("a"), retriable("b", undo="undo_b"))).passes("a").fails(REFUSAL)
    assert (tale.status, tale.at_hand, tale.saga.left_standing) == (Status.DEAD_LETTERED, [], ())


def test_a_step_behind_the_pivot_may_be_omitted() -> None:
    steps = (pivot("a"), retriable("b", when="input.no"), retriable("c"))
    tale = Tale(define(*steps), '{"no":false}').passes("a").settles()
    assert tale.step("b").outcome is StepOutcome.OMITTED
    assert tale.passes("c").status is Status.COMPLETED
    with pytest.raises(IllegalTransition, match="cannot begin now"):
        tale.happens(StepOmitted(tale.now, B))


def test_two_steps_that_are_stuck_are_both_told() -> None:
    tale = past_pivot().fails(REFUSAL, of="b").fails(REFUSAL, of="c")
    assert [state.name for state in tale.saga.stuck] == ["b", "c"]
    assert tale.summary.error_message.count("needs a person") == 2
    tale.happens(acted(Verb.SKIP, "b"))
    assert tale.at_hand == ["d"]
    assert tale.passes("d").status is Status.DEAD_LETTERED
    assert tale.happens(acted(Verb.SKIP, "c")).status is Status.COMPLETED


def test_a_restart_of_a_dead_letter_is_illegal_in_either_direction() -> None:
    with pytest.raises(IllegalTransition, match="has ended"):
        in_doubt(at_pivot()).is_resumed()


# What a person does there (each cell by itself: test_by_hand.py)


def test_only_a_refusal_that_is_retried_begins_a_round_and_attempts_are_counted_on() -> None:
    tale = past_pivot(budget_s=10.0).passes("c").begins("b")
    keys, numbers = [], []
    told: list[list[Answer]] = [[REFUSAL], [SILENCE, SILENCE], [FAULT, REFUSAL], [FAULT, SILENCE]]
    for answers in told:
        keys.append(tale.call("b").key.removeprefix("saga-1/b/execute"))
        for answer in answers:
            numbers.append(tale.step("b").attempt)
            tale.waits(5.0).is_answered(answer, of="b")
        assert tale.status is Status.DEAD_LETTERED
        tale.happens(acted(Verb.RETRY, "b", at=tale.now))
    assert keys == ["", "/2", "/2", "/3"]
    assert numbers == sorted(set(numbers)), "no number is used twice"
    assert tale.call("b").key.endswith("/execute/3")
    assert tale.passes("b").at_hand == ["d"]
    assert not tale.saga.forced


def test_a_retried_pivot_has_a_new_budget_and_backs_off_from_the_start() -> None:
    tale = in_doubt(at_pivot().is_answered(FAULT).is_answered(FAULT)).waits(500.0)
    tale.happens(acted(Verb.RETRY, "b", at=tale.now))
    tale.is_answered(SILENCE, draw=1.0)
    assert tale.due_in_s == 1.0
    assert tale.waits(BUDGET_S - 1.0).is_answered(SILENCE).status is Status.RUNNING
    assert tale.waits(1.0).is_answered(SILENCE).status is Status.DEAD_LETTERED


def test_a_pivot_in_doubt_that_is_refused_when_it_is_asked_again_turns_the_saga_back_and_is_undone() -> None:
    tale = in_doubt(at_pivot())
    tale.happens(acted(Verb.RETRY, "b", at=tale.now)).is_answered(REFUSAL)
    assert tale.undoes_what_is_left() == ["b", "a"]


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE])
def test_a_person_who_passes_over_a_pivot_that_has_not_begun_decides_as_well(verb: Verb) -> None:
    tale = before_pivot().happens(acted(verb, "b"))
    assert tale.saga.is_decided
    assert refuses_to_turn_back(tale).runs_out_of_time().at_hand == ["c"]
    tale.fails(REFUSAL)
    assert (tale.status, tale.saga.heading) == (Status.DEAD_LETTERED, Heading.FORWARD)


def test_failing_a_pivot_that_has_not_begun_leaves_it_alone() -> None:
    tale = before_pivot().happens(acted(Verb.FAIL, "b"))
    assert tale.undoes_what_is_left() == ["a"]


def test_failing_a_pivot_in_doubt_that_names_no_compensation_bars_it_first() -> None:
    tale = Tale(define("a", pivot("b", undo=None, budget_s=BUDGET_S))).passes("a").begins()
    in_doubt(tale).happens(acted(Verb.FAIL, "b", at=tale.now))
    assert tale.undoes_what_is_left() == ["b", "a"]
    assert tale.status is Status.COMPENSATED


def test_a_dead_letter_that_a_person_ends_stops_where_it_is() -> None:
    tale = in_doubt(at_pivot()).happens(acted(Verb.TERMINATE))
    assert (tale.status, tale.at_hand, tale.summary.needs_person) == (Status.TERMINATED, [], False)
    assert tale.summary.signature is None


def test_a_retried_step_may_be_one_more_than_begin_at_a_time() -> None:
    """It was begun once, so it does not wait for room; those that have not do."""
    steps = (pivot("a"), *(retriable(name, depends_on=["a"]) for name in "bcd"))
    tale = Tale(define(*steps, max_parallel=1)).passes("a").fails(REFUSAL, of="b").begins("c")
    tale.happens(acted(Verb.RETRY, "b"))
    assert tale.at_hand == ["b", "c"]
    assert tale.passes("b").at_hand == ["c"]


def test_a_contradiction_past_the_pivot_is_flagged_and_asked_again() -> None:
    tale = at_pivot().is_answered(broken(Unproved.BARRED))
    assert tale.saga.flags == ("b: BARRED",)
    event = tale.history[-1]
    assert isinstance(event, StepFaulted)
    assert event.cause is Cause.BARRED
    assert event.retry_at is not None


def test_past_the_pivot_a_step_that_waits_takes_no_others_place() -> None:
    steps = (pivot("a"), *(retriable(name, depends_on=["a"]) for name in "bc"))
    tale = Tale(define(*steps, max_parallel=1)).passes("a").begins("b")
    assert tale.at_hand == ["b"]
    tale.is_answered(FAULT, of="b")
    assert tale.at_hand == ["b", "c"]
