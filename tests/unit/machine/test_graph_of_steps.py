"""Steps side by side: which are at hand, how many at a time, and in which order they are undone."""

from typing import Any, Final

import pytest

from coordinator.domain.definition import StepDefinition
from coordinator.domain.errors import IllegalTransition
from coordinator.domain.events import OperatorActed, StepBegun, StepOmitted, UndoBegun, Verb
from coordinator.domain.ids import ActionId, StepName
from coordinator.domain.outcomes import Answer, Succeeded
from coordinator.domain.saga import AbortKind, Status, StepOutcome
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
    step,
)

NO: Final = "input.no"
YES: Final = "input.yes"
INPUT: Final = '{"no":false,"yes":true}'


def after(name: str, *depends_on: str, **others: Any) -> StepDefinition:
    return step(name, depends_on=depends_on, **others)


def diamond(**others: Any) -> Tale:
    """`b` and `c` follow `a`, and `d` both."""
    return Tale(define("a", after("b", "a"), after("c", "a"), after("d", "b", "c"), **others))


def two_branches(**others: Any) -> Tale:
    """`b` follows `a`, and `d` follows `c`, with nothing between them; `e` joins them."""
    steps = (after("a"), after("b", "a"), after("c"), after("d", "c"), after("e", "b", "d"))
    return Tale(define(*steps, **others))


# Going forward


def test_all_steps_that_wait_for_nothing_are_at_hand_and_others_when_all_they_wait_for_is_passed() -> None:
    tale = two_branches()
    assert tale.at_hand == ["a", "c"]
    assert tale.passes("c").at_hand == ["a", "d"]
    assert tale.passes("a").at_hand == ["b", "d"]
    assert tale.passes("d").at_hand == ["b"]
    assert tale.passes("b").at_hand == ["e"]
    assert tale.passes("e").status is Status.COMPLETED


def test_steps_are_at_hand_in_the_order_of_the_definition_not_in_that_of_the_graph() -> None:
    tale = Tale(define(after("d", "a"), after("c", "a"), after("a"), after("b", "a")))
    assert tale.passes("a").at_hand == ["d", "c", "b"]
    two = Tale(define(after("late", "a"), after("free"), after("a")))
    assert two.passes("a").at_hand == ["late", "free"]


def test_side_by_side_each_step_counts_its_own_attempts_and_waits_its_own_time() -> None:
    tale = diamond().passes("a").begins("b", "c")
    tale.is_answered(FAULT, of="b", draw=1.0).is_answered(PENDING, of="c")
    assert (tale.step("b").attempt, tale.step("c").attempt) == (2, 1)
    assert [command.due_at for command in tale.decision.commands] == [BORN_AT + 1, BORN_AT + 5]
    assert tale.summary.due_at == BORN_AT + 1
    tale.is_answered(DONE, of="c")
    assert tale.at_hand == ["b"], "the join waits"


def test_a_saga_with_something_to_do_now_is_due_now() -> None:
    assert diamond().passes("a").fails(FAULT, of="b").summary.due_at is None


def test_a_step_that_waits_for_another_does_not_begin() -> None:
    tale = diamond().passes("a", "b")
    for name in ("a", "d"):
        with pytest.raises(IllegalTransition, match="cannot begin now"):
            tale.happens(StepBegun(tale.now, StepName(name)))


def test_a_restart_counts_what_may_be_lost_of_each_step_that_was_begun() -> None:
    tale = diamond().passes("a").begins("b").is_resumed()
    assert [tale.step(name).lost for name in "abcd"] == [0, 1, 0, 0]


# Not more than so many at a time


def test_ten_steps_are_at_work_at_a_time_unless_it_says_otherwise() -> None:
    names = [f"s{place}" for place in range(12)]
    tale = Tale(define(*(after(name) for name in names)))
    assert tale.at_hand == names[:10]
    assert tale.passes("s4").at_hand == [*names[:4], *names[5:11]]


def test_whose_turn_it_is_is_not_worked_out_again_until_something_is_settled() -> None:
    tale = Tale(define("a", after("b"), "c"))
    at_first = tale.saga.in_turn
    assert at_first == (0, 1)
    tale.begins("b").is_answered(FAULT, of="b").begins("a")
    assert tale.saga.in_turn is at_first
    assert tale.is_answered(DONE, of="a").saga.in_turn == (1,)


def test_a_step_keeps_its_place_among_those_at_work_until_it_is_passed() -> None:
    tale = Tale(define(after("a"), after("b"), after("c"), after("d"), max_parallel=2))
    assert tale.at_hand == ["a", "b"]
    tale.begins("b")
    for answer in (FAULT, SILENCE, PENDING):
        tale.is_answered(answer, of="b")
        assert tale.at_hand == ["a", "b"]
    assert tale.is_answered(DONE, of="b").at_hand == ["a", "c"]
    assert tale.passes("a", "c").at_hand == ["d"]


def test_one_that_was_begun_goes_before_those_that_stand_before_it_in_the_definition() -> None:
    tale = Tale(define(after("a", "z"), after("b", "z"), after("c"), after("z"), max_parallel=2))
    tale.begins("c").passes("z")
    assert tale.at_hand == ["a", "c"]


def test_one_at_a_time_is_a_row_in_the_order_of_the_definition() -> None:
    tale = Tale(define(after("b"), after("c", "b"), after("a"), max_parallel=1))
    order = []
    while tale.status is Status.RUNNING:
        order += tale.at_hand
        tale.passes(*tale.at_hand)
    assert order == ["b", "c", "a"]


def test_so_many_at_a_time_may_begin_and_all_that_were_may_be_undone() -> None:
    tale = Tale(define(after("a"), after("b"), after("c"), max_parallel=1)).passes("a", "b").begins("c")
    assert sorted(tale.is_cancelled().at_hand) == ["a", "b", "c"]


# Turning back


def test_a_refusal_beside_others_undoes_all_that_was_begun() -> None:
    tale = two_branches().passes("a", "c").begins("b", "d").is_answered(REFUSAL, of="d")
    assert sorted(tale.at_hand) == ["b", "c"]
    tale.passes("c", "b")
    assert tale.at_hand == ["a"]
    assert tale.passes("a").status is Status.COMPENSATED


def test_what_was_done_is_undone_in_the_reverse_order_of_dependence_side_by_side() -> None:
    tale = Tale(define("a", after("b", "a"), after("c", "a"), after("d", "b", "c"), after("e", "d")))
    tale.passes("a", "b", "c", "d").fails(REFUSAL, of="e")
    assert tale.at_hand == ["d"]
    assert sorted(tale.passes("d").at_hand) == ["b", "c"]
    assert tale.passes("b").at_hand == ["c"], "what both wait for is not undone before both are"
    assert tale.passes("c").at_hand == ["a"]
    assert tale.passes("a").status is Status.COMPENSATED


def test_an_undo_that_waits_or_fails_for_now_holds_up_what_its_step_depends_on_and_nothing_beside() -> None:
    tale = two_branches().passes("a", "b", "c", "d").fails(REFUSAL, of="e")
    tale.begins("b")
    for answer in (FAULT, SILENCE, PENDING):
        tale.is_answered(answer, of="b")
        with pytest.raises(IllegalTransition, match="no undo of 'a' begins now"):
            tale.happens(UndoBegun(tale.now, StepName("a"), '"a"'))
    assert tale.passes("d", "c").at_hand == ["b"]


@pytest.mark.parametrize("between", ["null", "omitted", "skipped"])
def test_a_step_waits_for_an_undo_behind_one_that_needs_none(between: str) -> None:
    """`a` <- `b` <- `c`: whatever became of `b`, `a` is undone after `c`."""
    condition, undo = NO if between == "omitted" else None, None if between == "null" else ""
    steps = ("a", after("b", "a", when=condition, undo=undo), after("c", "b"), after("d", "c"))
    tale = Tale(define(*steps), INPUT).passes("a")
    match between:
        case "omitted":
            tale.settles()
        case "skipped":
            tale.happens(acted("SKIP", "b"))
        case _:
            tale.passes("b")
    tale.passes("c").fails(REFUSAL, of="d")
    assert tale.at_hand == ["c"]
    assert tale.passes("c").at_hand == ["a"]


def test_of_two_refusals_the_first_is_why_it_turned_back() -> None:
    tale = diamond().passes("a").begins("b", "c")
    of_c = tale.call("c")
    tale.is_answered(REFUSAL, of="b").is_answered(REFUSAL, call=of_c)
    assert tale.saga.abort is not None
    assert (tale.saga.abort.kind, tale.saga.abort.step) == (AbortKind.REFUSED, "b")
    assert tale.at_hand == ["a"], "neither had its effect"


@pytest.mark.parametrize(
    ("answer", "undone", "receipt"),
    [
        (Succeeded('"late"'), True, '"late"'),
        (REFUSAL, False, None),
        (FAULT, True, None),
        (SILENCE, True, None),
        (PENDING, True, None),
        (PERMANENT, True, None),
    ],
    ids=repr,
)
def test_an_answer_that_comes_after_the_abort_is_folded_in(
    answer: Answer, undone: bool, receipt: str | None
) -> None:
    tale = diamond().passes("a").begins("b", "c")
    of_c = tale.call("c")
    tale.is_answered(REFUSAL, of="b").is_answered(answer, call=of_c)
    assert tale.status is Status.COMPENSATING
    assert tale.at_hand == (["c"] if undone else ["a"])
    if undone:
        assert tale.begins("c").undo("c").receipt == receipt
        assert tale.is_answered(DONE, of="c").at_hand == ["a"]


def test_a_step_with_nothing_to_undo_bars_what_it_depends_on_from_being_undone_only_until_it_answers() -> (
    None
):
    tale = Tale(define("a", after("b", "a", undo=None), after("c", "a"))).passes("a").begins("b", "c")
    of_b = tale.call("b")
    tale.is_answered(REFUSAL, of="c")
    assert tale.at_hand == ["b"], "it is to be barred first"
    assert tale.is_answered(DONE, call=of_b).at_hand == ["a"]


def test_an_undo_that_failed_for_good_blocks_what_its_step_depends_on_and_nothing_else() -> None:
    tale = two_branches().passes("a", "b", "c", "d").fails(REFUSAL, of="e").fails(REFUSAL, of="b")
    assert (tale.status, tale.summary.needs_person, tale.at_hand) == (Status.COMPENSATING, True, ["d"])
    assert tale.passes("d").at_hand == ["c"]
    assert tale.passes("c").status is Status.DEAD_LETTERED
    assert [state.name for state in tale.saga.left_standing] == ["b", "a"]
    assert "undo_b at b_service failed for good; behind it wait: a." in tale.summary.error_message


def test_one_that_may_be_passed_over_blocks_nothing() -> None:
    tale = Tale(define("a", after("b", "a", on_failure="continue"), after("c", "a"), after("d", "b", "c")))
    tale.passes("a", "b", "c").fails(REFUSAL, of="d").fails(REFUSAL, of="b")
    assert tale.at_hand == ["c"], "a still waits for c"
    assert tale.passes("c").at_hand == ["a"]
    assert tale.passes("a").status is Status.DEAD_LETTERED
    assert [state.name for state in tale.saga.left_standing] == ["b"]


def test_what_two_undos_block_waits_for_both() -> None:
    tale = diamond().passes("a", "b", "c").fails(REFUSAL, of="d")
    tale.fails(REFUSAL, of="b").fails(REFUSAL, of="c")
    assert (tale.status, tale.at_hand) == (Status.DEAD_LETTERED, [])
    tale.happens(acted("RETRY", "b")).passes("b")
    assert tale.status is Status.DEAD_LETTERED
    assert tale.happens(acted("SKIP", "c")).at_hand == ["a"]


def test_the_deadline_turns_back_all_branches() -> None:
    tale = two_branches(ttl_s=10.0).passes("a").begins("b", "c").runs_out_of_time()
    assert sorted(tale.at_hand) == ["b", "c"]


# Steps that are omitted


def test_a_step_whose_condition_is_false_is_omitted_and_what_depends_on_it_goes_on() -> None:
    tale = Tale(define("a", step("b", when=NO), step("c", when=YES)), INPUT).passes("a").settles()
    assert tale.step("b").outcome is StepOutcome.OMITTED
    assert tale.at_hand == ["c"]
    assert tale.passes("c").status is Status.COMPLETED
    assert not tale.saga.forced


def test_a_saga_of_which_all_is_omitted_is_completed_without_a_call() -> None:
    tale = Tale(define(step("a", when=NO), step("b", when=NO)), INPUT).settles()
    assert (tale.status, len(tale.history)) == (Status.COMPLETED, 3)


def test_a_join_goes_on_without_the_branch_that_was_omitted() -> None:
    tale = Tale(define(after("a"), after("b", when=NO), after("c", "a", "b")), INPUT).settles()
    assert tale.at_hand == ["a"]
    assert tale.passes("a").at_hand == ["c"]


def test_a_condition_is_looked_at_only_when_there_is_room_for_the_step() -> None:
    tale = Tale(define(after("a"), after("b", when=NO), max_parallel=1), INPUT).settles()
    assert tale.step("b").outcome is None
    assert tale.passes("a").settles().status is Status.COMPLETED


def test_what_was_omitted_is_never_undone() -> None:
    tale = Tale(define("a", step("b", when=NO), "c"), INPUT).passes("a").settles().fails(REFUSAL, of="c")
    assert tale.at_hand == ["a"]
    assert tale.passes("a").status is Status.COMPENSATED


def test_only_a_step_with_a_condition_that_has_not_begun_is_omitted() -> None:
    tale = Tale(define("a", step("b", when=NO)), INPUT)
    with pytest.raises(IllegalTransition, match="'a' has no condition"):
        tale.happens(StepOmitted(tale.now, StepName("a")))
    with pytest.raises(IllegalTransition, match="'b' cannot begin now"):
        tale.happens(StepOmitted(tale.now, StepName("b")))
    tale.passes("a").begins("b")
    with pytest.raises(IllegalTransition, match="'b' cannot begin now"):
        tale.happens(StepOmitted(tale.now, StepName("b")))
    tale.is_cancelled()
    with pytest.raises(IllegalTransition, match="'b' cannot begin now"):
        tale.happens(StepOmitted(tale.now, StepName("b")))


def acted(verb: str, name: str) -> OperatorActed:
    return OperatorActed(BORN_AT, Verb(verb), ActionId(f"{verb} {name}"), "ada", "why", StepName(name))


def test_a_record_is_legal_whatever_the_limit_was_when_it_was_written() -> None:
    """The limit of a definition that names none is a release's own."""
    tale = Tale(define(after("a"), after("b"), max_parallel=1)).begins("a")
    assert tale.at_hand == ["a"]
    tale.happens(StepBegun(tale.now, StepName("b")))
    assert tale.at_hand == ["a", "b"]
