"""What an operator can do to a saga, cell by cell as docs/operating.md says it, and what comes after it.

The tables are read from the document: a cell without a test, or a test without a cell, does not pass.
"""

import re
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from coordinator.domain.actions import Action, Effect, action_event, effect_of, end_unreadable
from coordinator.domain.commands import Compensate, Invoke
from coordinator.domain.errors import IllegalTransition, SagaEnded
from coordinator.domain.events import OperatorActed, StepBegun, UndoBegun, Verb
from coordinator.domain.ids import ActionId, IdempotencyKey, StepName
from coordinator.domain.machine import decide
from coordinator.domain.outcomes import Answer, Succeeded
from coordinator.domain.saga import AbortKind, Status, StepOutcome, UndoOutcome
from tests.unit.machine.tale import (
    BORN_AT,
    DONE,
    FAULT,
    PENDING,
    REFUSAL,
    SILENCE,
    Tale,
    define,
    only_paths,
    pivot,
    retriable,
    step,
)

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "operating.md"

Cells = Mapping[tuple[str, str], str]
_numbers = count(1)


def action(tale: Tale, verb: Verb, name: str | None = None, output: str | None = None) -> Action:
    """An action of somebody who has seen all of *tale*."""
    return Action(
        id=ActionId(f"act-{next(_numbers)}"),
        actor="ada",
        reason="she knows",
        seq_seen=len(tale.history),
        verb=verb,
        step=None if name is None else StepName(name),
        output=output,
    )


def acts(
    tale: Tale, verb: Verb, name: str | None = None, output: str | None = None, *, set_aside: bool = False
) -> OperatorActed:
    """An operator acts, as the engine lets them; what was done."""
    event = action_event(
        tale.saga,
        action(tale, verb, name, output),
        seq=len(tale.history),
        at=tale.now,
        set_aside=set_aside,
    )
    assert event is not None
    effect = effect_of(tale.saga, event, only_paths)
    tale.happens(event)
    assert effect.status_after is tale.status, "what is told beforehand is what happens"
    assert effect.forced == tale.saga.forced
    return event


def read_table(heading: str) -> Cells:
    """The table under *heading*: what it says for each verb and situation."""
    section = DOCUMENT.read_text().split(f"\n### {heading}\n")[1].split("\n#")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*", section, re.M)
    ]
    (_, *situations), _, *body = rows
    cells = {(verb, where): cell for verb, *row in body for where, cell in zip(situations, row, strict=True)}
    assert len(cells) == len(situations) * len(body)
    return cells


def by_cell(heading: str, cells: Cells) -> list[object]:
    return [
        pytest.param(verb, where, cell, id=f"{heading}-{verb}-{where}")
        for (verb, where), cell in cells.items()
    ]


VERBS: Final = {
    "retry": Verb.RETRY,
    "retry (a step)": Verb.RETRY,
    "retry (the saga)": Verb.RETRY,
    "skip": Verb.SKIP,
    "complete": Verb.COMPLETE,
    "fail": Verb.FAIL,
    "cancel": Verb.CANCEL,
    "terminate": Verb.TERMINATE,
}
OF_THE_SAGA: Final = ("retry (the saga)", "cancel", "terminate")


def check_refusal(cell: str, tale: Tale, verb: str, name: str | None, *, set_aside: bool = False) -> None:
    before = tale.decision
    with pytest.raises(IllegalTransition) as caught:
        acts(tale, VERBS[verb], name, set_aside=set_aside)
    assert isinstance(caught.value, SagaEnded) == (cell == "ended")
    assert str(caught.value).startswith("saga saga-1"), "the sentence says of which saga"
    assert tale.decision == before


# The saga


def running() -> Tale:
    return Tale(define("a", "b", "c")).does("1").begins()


def compensating() -> Tale:
    return Tale(define("a", "b", "c")).does("1", "2").fails(REFUSAL).begins()


def dead_letter() -> Tale:
    return compensating().is_answered(REFUSAL)


def compensated() -> Tale:
    tale = compensating().is_answered(DONE)
    tale.undoes_what_is_left()
    return tale


def past_pivot() -> Tale:
    """The pivot is `a`, and `b` is one of two steps behind it."""
    return Tale(define(pivot("a"), retriable("b"), retriable("c"))).does("1").begins()


def terminated() -> Tale:
    tale = running()
    acts(tale, Verb.TERMINATE)
    return tale


SAGAS: Final[Mapping[str, Callable[[], Tale]]] = {
    "RUNNING": running,
    "RUNNING, past the pivot": past_pivot,
    "COMPENSATING": compensating,
    "COMPLETED": lambda: Tale(define("a", "b", "c")).does("1", "2", "3"),
    "COMPENSATED": compensated,
    "DEAD_LETTERED": dead_letter,
    "DEAD_LETTERED, past the pivot": lambda: past_pivot().is_answered(REFUSAL),
    "TERMINATED": terminated,
    "set aside": running,
    "set aside, unreadable": compensating,
}

SAGA_TABLE: Final = read_table("The saga")


def test_every_verb_and_every_status_has_a_cell() -> None:
    assert {verb for verb, _ in SAGA_TABLE} == set(VERBS) - {"retry"}
    assert {where for _, where in SAGA_TABLE} == set(SAGAS)
    assert set(Status) <= set(SAGAS)
    assert {VERBS[verb] for verb in VERBS} == set(Verb)


@pytest.mark.parametrize(("verb", "where", "cell"), by_cell("saga", SAGA_TABLE))
def test_what_can_be_done_to_a_saga_is_as_documented(verb: str, where: str, cell: str) -> None:
    tale = SAGAS[where]()
    set_aside = where == "set aside"
    name = None if verb in OF_THE_SAGA else "b"
    if where == "set aside, unreadable":
        check_unreadable(cell, tale, verb, name)
        return
    assert set_aside or tale.status == where.removesuffix(", past the pivot")
    before = tale.saga
    match cell.split(" → "):
        case ["no" | "ended"]:
            check_refusal(cell, tale, verb, name, set_aside=set_aside)
        case [("by step" | "past the pivot" | "by undo") as table]:
            wanted = {"by step": STEP_TABLE, "past the pivot": PIVOT_TABLE, "by undo": UNDO_TABLE}[table]
            assert verb.removesuffix(" (a step)") in {of for of, _ in wanted}
            assert (before.abort is not None, before.is_decided) == (
                table == "by undo",
                table == "past the pivot",
            )
        case ["turned back", after]:
            acts(tale, VERBS[verb])
            assert tale.saga.abort is not None
            assert tale.saga.abort.kind is AbortKind.CANCELLED
            assert (tale.status, tale.undoes_what_is_left()) == (after, ["b", "a"])
        case ["nothing changes", after]:
            commands = tale.decision.commands
            acts(tale, VERBS[verb])
            assert (tale.saga.steps, tale.saga.abort) == (before.steps, before.abort)
            assert (tale.status, tale.decision.commands) == (after, commands)
        case ["stopped", after]:
            acts(tale, VERBS[verb], set_aside=set_aside)
            assert (tale.status, tale.next, tale.saga.steps) == (after, None, before.steps)
            assert (tale.saga.forced, tale.saga.needs_person) == (True, False)
        case ["driven on", "as before"]:
            commands = tale.decision.commands
            acts(tale, VERBS[verb], set_aside=True)
            assert (tale.status, tale.decision.commands) == (before.status, commands)
            assert tale.step("b").attempt == before.step(StepName("b")).attempt + 1, "a call may be lost"
            assert not tale.saga.forced
        case _:
            raise AssertionError(f"nobody tests what {cell!r} says")


def check_unreadable(cell: str, tale: Tale, verb: str, name: str | None) -> None:
    row = tale.summary
    wanted = action(tale, VERBS[verb], name)
    if cell == "no":
        with pytest.raises(IllegalTransition, match="can only be terminated") as caught:
            end_unreadable(row, wanted, at=tale.now)
        assert not isinstance(caught.value, SagaEnded)
        return
    assert cell == "stopped → TERMINATED"
    event, after = end_unreadable(row, wanted, at=tale.now + 1)
    assert (event.verb, event.actor, event.at) == (Verb.TERMINATE, "ada", tale.now + 1)
    assert (after.status, after.forced, after.needs_person) == (Status.TERMINATED, True, False)
    assert after.seq == row.seq + 1
    assert after.error_message.startswith("Terminated by ada (she knows).")
    with pytest.raises(SagaEnded):
        end_unreadable(after, wanted, at=tale.now)


# By step: each situation is that of step b


STEPS: Final[Mapping[str, Callable[[], Tale]]] = {
    "being asked": running,
    "waiting for its next attempt": lambda: running().is_answered(FAULT, draw=1.0),
    "not begun": lambda: Tale(define("a", "b", "c")).does("1"),
    "passed": lambda: Tale(define("a", "b", "c")).does("1", "2"),
    "not reached": lambda: Tale(define("a", "b", "c")),
}

STEP_TABLE: Final = read_table("By step: a RUNNING saga")


@pytest.mark.parametrize(("verb", "where", "cell"), by_cell("step", STEP_TABLE))
def test_what_can_be_done_to_a_step_is_as_documented(verb: str, where: str, cell: str) -> None:
    tale = STEPS[where]()
    before = tale.step("b")
    match cell.split(" → "):
        case ["no"]:
            check_refusal(cell, tale, verb, "b")
            return
        case ["asked at once", after]:
            acts(tale, VERBS[verb], "b")
            assert isinstance(tale.next, Invoke)
            assert (tale.next.key, tale.next.due_at) == ("saga-1/b/execute", None)
            assert tale.step("b").attempt == before.attempt == 2
            assert tale.is_answered(Succeeded("2")).next == Invoke(
                StepName("c"), 2, key("c", "execute"), None
            )
            assert not tale.saga.forced
        case ["passed over", after]:
            acts(tale, VERBS[verb], "b")
            assert (tale.step("b").outcome, tale.step("b").output) == (StepOutcome.SKIPPED, None)
            assert tale.next == Invoke(StepName("c"), 2, key("c", "execute"), None)
            assert tale.saga.forced
        case ["vouched for", after]:
            acts(tale, VERBS[verb], "b", '{"by":"hand"}')
            assert (tale.step("b").outcome, tale.step("b").output) == (StepOutcome.SUCCEEDED, '{"by":"hand"}')
            assert tale.next == Invoke(StepName("c"), 2, key("c", "execute"), None)
            assert (tale.saga.forced, tale.step("b").by_hand) == (True, True)
        case ["given up", after]:
            acts(tale, VERBS[verb], "b")
            assert tale.saga.abort is not None
            assert (tale.saga.abort.code, tale.saga.abort.step) == ("FAILED_BY_HAND", "b")
            assert not tale.saga.forced
        case _:
            raise AssertionError(f"nobody tests what {cell!r} says")
    assert tale.status == after
    assert tale.step("b").due_at is None
    if after == "COMPENSATING":
        assert tale.undoes_what_is_left() == [*(["b"] if before.begun else []), "a"]
        assert tale.status is Status.COMPENSATED
    else:
        while tale.next is not None:
            tale.does("more")
        assert tale.status is Status.COMPLETED


def test_every_verb_and_every_situation_of_a_step_has_a_cell() -> None:
    assert {verb for verb, _ in STEP_TABLE} == {"retry", "skip", "complete", "fail"}
    assert {where for _, where in STEP_TABLE} == set(STEPS)


# Past the pivot: each situation is that of step b, which is the pivot in the first three


UNMADE: Final = {"x": "1 + 1"}
"""A mapping whose expression fails, for nobody here knows CEL."""


def at_pivot() -> Tale:
    return Tale(define("a", pivot("b", budget_s=10.0), retriable("c"))).does("1").begins()


PIVOTS: Final[Mapping[str, Callable[[], Tale]]] = {
    "pivot being asked": at_pivot,
    "pivot waiting for its next attempt": lambda: at_pivot().is_answered(FAULT, draw=1.0),
    "pivot in doubt": lambda: spends_its_budget(at_pivot()),
    "being asked": past_pivot,
    "waiting for its next attempt": lambda: past_pivot().is_answered(FAULT, draw=1.0),
    "not begun": lambda: Tale(define(pivot("a"), retriable("b"), retriable("c"))).does("1"),
    "refused": lambda: past_pivot().is_answered(REFUSAL),
    "with a spent budget": lambda: spends_its_budget(
        Tale(define(pivot("a"), retriable("b", budget_s=10.0), retriable("c"))).does("1").begins()
    ),
    "failed by an expression": lambda: (
        Tale(define(pivot("a"), retriable("b", input=UNMADE), retriable("c"))).does("1").begins()
    ),
    "passed": lambda: Tale(define(pivot("a"), retriable("b"), retriable("c"))).does("1", "2"),
    "not reached": lambda: Tale(define(pivot("a"), retriable("b"), retriable("c"))).begins(),
}

PIVOT_TABLE: Final = read_table("Past the pivot: a RUNNING or DEAD_LETTERED saga")


@pytest.mark.parametrize(("verb", "where", "cell"), by_cell("pivot", PIVOT_TABLE))
def test_what_can_be_done_past_the_pivot_is_as_documented(verb: str, where: str, cell: str) -> None:
    tale = PIVOTS[where]()
    before = tale.step("b")
    assert tale.saga.is_decided
    stuck = where in ("pivot in doubt", "refused", "with a spent budget", "failed by an expression")
    assert (tale.status is Status.DEAD_LETTERED) == tale.saga.needs_person == stuck
    match cell.split(" → "):
        case ["no"]:
            check_refusal(cell, tale, verb, "b")
            return
        case [("asked at once" | "asked under a new key" | "asked anew" | "evaluated again") as how, after]:
            acts(tale, VERBS[verb], "b")
            way = "execute/2" if how == "asked under a new key" else "execute"
            assert tale.next == Invoke(StepName("b"), 1, key("b", way), None)
            assert tale.step("b").attempt == before.attempt, "attempts are counted on"
            if how != "asked at once":
                assert (tale.step("b").failures, tale.step("b").budget_from) == (0, tale.now)
            assert (tale.status, tale.saga.forced) == (after, False)
            if how == "evaluated again":
                assert tale.begins().status is Status.DEAD_LETTERED
                return
            tale.is_answered(Succeeded("2"))
        case ["passed over", after]:
            acts(tale, VERBS[verb], "b")
            assert (tale.step("b").outcome, tale.step("b").output) == (StepOutcome.SKIPPED, None)
            assert (tale.status, tale.saga.forced) == (after, True)
        case ["vouched for", after]:
            acts(tale, VERBS[verb], "b", '{"by":"hand"}')
            assert (tale.step("b").outcome, tale.step("b").output) == (StepOutcome.SUCCEEDED, '{"by":"hand"}')
            assert (tale.status, tale.saga.forced) == (after, True)
        case ["given up", after]:
            acts(tale, VERBS[verb], "b")
            assert tale.saga.abort is not None
            assert (tale.saga.abort.code, tale.saga.abort.step) == ("FAILED_BY_HAND", "b")
            assert (tale.status, tale.saga.forced) == (after, False)
            assert tale.undoes_what_is_left() == ["b", "a"]
            assert tale.status is Status.COMPENSATED
            return
        case ["needs a person", after]:
            acts(tale, VERBS[verb], "b")
            assert tale.step("b").outcome is StepOutcome.FAILED
            assert (tale.status, tale.saga.needs_person, tale.saga.forced) == (after, True, False)
            acts(tale, Verb.RETRY, "b")
            assert tale.step("b").round == 1, "nobody refused"
            return
        case _:
            raise AssertionError(f"nobody tests what {cell!r} says")
    with pytest.raises(IllegalTransition, match="past its pivot"):
        tale.is_cancelled()
    tale.does("3")
    assert tale.status is Status.COMPLETED


def test_every_verb_and_every_situation_past_the_pivot_has_a_cell() -> None:
    assert {verb for verb, _ in PIVOT_TABLE} == {"retry", "skip", "complete", "fail"}
    assert {where for _, where in PIVOT_TABLE} == set(PIVOTS)


def test_a_saga_stays_running_while_there_is_work_beside_a_step_that_is_stuck() -> None:
    tale = Tale(define(pivot("a"), retriable("b"), retriable("c", depends_on=["a"]))).does("1")
    tale.begins("b", "c")
    acts(tale, Verb.FAIL, "b")
    assert (tale.status, tale.saga.needs_person) == (Status.RUNNING, True)
    assert tale.is_answered(DONE, of="c").status is Status.DEAD_LETTERED


def key(name: str, way: str) -> IdempotencyKey:
    return IdempotencyKey(f"saga-1/{name}/{way}")


# By undo: each situation is that of step b, with a before it still to be undone


def passed_over() -> Tale:
    tale = Tale(define("a", step("b", on_failure="continue", budget_s=10.0), "c")).does("1", "2")
    return spends_its_budget(tale.fails(REFUSAL).begins())


def spends_its_budget(tale: Tale) -> Tale:
    return tale.waits(10.0).is_answered(SILENCE)


UNDOS: Final[Mapping[str, Callable[[], Tale]]] = {
    "being asked": compensating,
    "waiting for its next attempt": lambda: compensating().is_answered(FAULT, draw=1.0),
    "about to begin": lambda: Tale(define("a", "b", "c")).does("1", "2").fails(REFUSAL),
    "failed by refusal": dead_letter,
    "failed by a spent budget": lambda: spends_its_budget(
        Tale(define("a", step("b", budget_s=10.0), "c")).does("1", "2").fails(REFUSAL).begins()
    ),
    "failed by an expression": lambda: (
        Tale(define("a", step("b", compensation_input=UNMADE), "c")).does("1", "2").fails(REFUSAL).begins()
    ),
    "failed and passed over": passed_over,
    "settled": lambda: compensating().is_answered(DONE),
    "blocked behind another": lambda: (
        Tale(define("a", "b", "c", "d")).does("1", "2", "3").fails(REFUSAL).fails(REFUSAL)
    ),
    "nothing to undo": lambda: (
        Tale(define("a", step("b", undo=None), "c")).does("1", "2").fails(REFUSAL).begins()
    ),
}

UNDO_TABLE: Final = read_table("By undo: a COMPENSATING or DEAD_LETTERED saga")


@pytest.mark.parametrize(("verb", "where", "cell"), by_cell("undo", UNDO_TABLE))
def test_what_can_be_done_to_an_undo_is_as_documented(verb: str, where: str, cell: str) -> None:
    tale = UNDOS[where]()
    before = tale.step("b")
    failed = before.undo_outcome is UndoOutcome.FAILED
    match cell.split(" → "):
        case ["no"]:
            check_refusal(cell, tale, verb, "b")
            return
        case ["asked at once" | "asked under a new key" | "asked anew" as how, after]:
            acts(tale, VERBS[verb], "b")
            assert isinstance(tale.next, Compensate)
            round_two = how == "asked under a new key"
            assert tale.next.key == key("b", "compensate/2" if round_two else "compensate")
            assert (tale.next.step, tale.next.due_at) == ("b", None)
            assert before.undo is not None
            assert tale.undo("b").attempt == before.undo.attempt, "attempts are counted on"
            assert tale.undo("b").receipt == before.undo.receipt == "2"
            if failed:
                assert (tale.undo("b").failures, tale.undo("b").budget_from) == (0, tale.now)
            assert not tale.saga.forced
            assert tale.undoes_what_is_left() == ["b", "a"]
            assert tale.status is Status.COMPENSATED
        case ["evaluated again", after]:
            acts(tale, VERBS[verb], "b")
            assert tale.next == Compensate(StepName("b"), 1, key("b", "compensate"), None)
            assert (tale.status, tale.saga.forced) == (after, False)
            assert tale.begins().status is Status.DEAD_LETTERED
            return
        case ["left in place", after]:
            acts(tale, VERBS[verb], "b")
            assert tale.status == after
            assert (tale.undo("b").outcome, tale.saga.forced) == (UndoOutcome.SKIPPED, True)
            assert tale.undoes_what_is_left() == ["a"]
            assert tale.status is Status.COMPENSATED
            assert tale.summary.error_message.endswith("Left in place by hand: b.")
            return
        case ["counted as undone", after]:
            acts(tale, VERBS[verb], "b")
            assert tale.status == after
            assert (tale.undo("b").outcome, tale.undo("b").by_hand) == (UndoOutcome.COMPENSATED, True)
            assert tale.saga.forced
            assert tale.undoes_what_is_left() == ["a"]
            assert tale.status is Status.COMPENSATED
            return
        case ["needs a person", after]:
            acts(tale, VERBS[verb], "b")
            assert (tale.undo("b").outcome, tale.saga.needs_person) == (UndoOutcome.FAILED, True)
            assert tale.status == after
            assert not tale.saga.forced
            acts(tale, Verb.RETRY, "b")
            assert tale.undo("b").round == 1, "nobody refused"
            return
        case _:
            raise AssertionError(f"nobody tests what {cell!r} says")
    assert after == "COMPENSATING"


def test_every_verb_and_every_situation_of_an_undo_has_a_cell() -> None:
    assert {verb for verb, _ in UNDO_TABLE} == {"retry", "skip", "complete", "fail"}
    assert {where for _, where in UNDO_TABLE} == set(UNDOS)


# What the notes under the tables say


def test_cancelling_or_failing_what_has_begun_nothing_ends_at_once() -> None:
    for verb, name in ((Verb.CANCEL, None), (Verb.FAIL, "a")):
        tale = Tale(define("a", "b"))
        acts(tale, verb, name)
        assert (tale.status, tale.next) == (Status.COMPENSATED, None)
        assert tale.summary.error_message.endswith("Nothing had to be undone.")


def test_skipping_or_completing_the_last_step_completes_the_saga_by_force() -> None:
    for verb in (Verb.SKIP, Verb.COMPLETE):
        tale = Tale(define("a", "b")).does("1").begins()
        acts(tale, verb, "b")
        assert (tale.status, tale.saga.forced, tale.summary.error_message) == (Status.COMPLETED, True, "")


def test_a_begun_step_that_was_skipped_is_undone_when_the_saga_turns_back_and_an_unbegun_one_is_not() -> None:
    begun, unbegun = running(), Tale(define("a", "b", "c")).does("1")
    for tale, undone, told in (
        (begun, ["b", "a"], "What was begun has been undone."),
        (unbegun, ["a"], "What was begun has been undone. Skipped by hand: b."),
    ):
        acts(tale, Verb.SKIP, "b")
        tale.fails(REFUSAL)
        assert tale.undoes_what_is_left() == undone
        assert tale.status is Status.COMPENSATED
        assert tale.summary.error_message.endswith(told)


def test_a_skipped_step_whose_compensation_is_null_is_barred_all_the_same() -> None:
    tale = Tale(define(step("a", undo=None), "b")).begins()
    acts(tale, Verb.SKIP, "a")
    assert tale.fails(REFUSAL).undoes_what_is_left() == ["a"]


@pytest.mark.parametrize("begun", [True, False])
def test_the_output_given_by_hand_is_the_receipt_of_the_undo(begun: bool) -> None:
    tale = running() if begun else Tale(define("a", "b", "c")).does("1")
    acts(tale, Verb.COMPLETE, "b", '{"no":7}')
    tale.fails(REFUSAL).begins()
    assert tale.undo("b").receipt == '{"no":7}'
    assert tale.undoes_what_is_left() == ["b", "a"]


def test_a_step_without_a_compensation_that_was_completed_by_hand_needs_no_undo() -> None:
    tale = Tale(define(step("a", undo=None), "b")).begins()
    acts(tale, Verb.COMPLETE, "a")
    assert tale.step("a").output == "null"
    assert tale.fails(REFUSAL).status is Status.COMPENSATED


def test_the_last_undo_that_is_settled_by_hand_ends_the_saga() -> None:
    for verb in (Verb.SKIP, Verb.COMPLETE):
        tale = Tale(define("a", "b")).does("1").fails(REFUSAL).fails(REFUSAL)
        assert tale.status is Status.DEAD_LETTERED
        acts(tale, verb, "a")
        assert (tale.status, tale.saga.needs_person) == (Status.COMPENSATED, False)


def test_a_saga_stays_a_dead_letter_while_another_undo_still_needs_a_person() -> None:
    tale = passed_over().fails(REFUSAL)
    assert len(tale.saga.left_standing) == 2
    acts(tale, Verb.SKIP, "b")
    assert (tale.status, tale.saga.needs_person) == (Status.DEAD_LETTERED, True)
    acts(tale, Verb.RETRY, "a")
    assert tale.undoes_what_is_left() == ["a"]
    assert tale.status is Status.COMPENSATED


def test_of_a_dead_letter_what_was_left_in_place_is_put_before_nobody_again() -> None:
    tale = Tale(define("a", "b", "c", "d")).does("1", "2", "3").fails(REFUSAL)
    acts(tale, Verb.SKIP, "c")
    tale.fails(REFUSAL)
    assert tale.status is Status.DEAD_LETTERED
    assert [step.name for step in tale.saga.left_standing] == ["b", "a"]


def test_failing_an_undo_that_is_passed_over_lets_the_steps_before_it_be_undone() -> None:
    tale = Tale(define("a", step("b", on_failure="continue"), "c")).does("1", "2").fails(REFUSAL).begins()
    acts(tale, Verb.FAIL, "b")
    assert (tale.status, tale.saga.needs_person) == (Status.COMPENSATING, True)
    assert tale.undoes_what_is_left() == ["a"]
    assert tale.status is Status.DEAD_LETTERED


def test_a_passed_over_undo_that_was_refused_is_retried_first_and_under_a_new_key() -> None:
    tale = Tale(define("a", step("b", on_failure="continue"), "c")).does("1", "2").fails(REFUSAL)
    tale.fails(REFUSAL).begins().is_answered(PENDING)
    acts(tale, Verb.RETRY, "b")
    assert tale.next == Compensate(StepName("b"), 1, key("b", "compensate/2"), None)
    assert tale.undoes_what_is_left() == ["b", "a"]
    assert tale.status is Status.COMPENSATED


def test_each_refusal_that_is_retried_begins_a_round_and_nothing_else_does() -> None:
    tale = Tale(define(step("a", budget_s=10.0), "b")).does("1").fails(REFUSAL).begins()
    keys, numbers = [], []
    told: list[list[Answer]] = [[REFUSAL], [SILENCE, SILENCE], [FAULT, REFUSAL], [FAULT, SILENCE]]
    for answers in told:
        assert tale.next is not None
        keys.append(tale.next.key.removeprefix("saga-1/a/compensate"))
        for answer in answers:
            numbers.append(tale.undo("a").attempt)
            tale.waits(5.0).is_answered(answer)
        assert tale.status is Status.DEAD_LETTERED
        acts(tale, Verb.RETRY, "a")
    assert keys == ["", "/2", "/2", "/3"]
    assert numbers == sorted(set(numbers)), "no number is used twice"
    assert (tale.next.key if tale.next else "").endswith("/compensate/3")


def test_a_new_budget_runs_from_the_retry_and_backs_off_from_the_start() -> None:
    tale = Tale(define(step("a", budget_s=10.0), "b")).does("1").fails(REFUSAL).begins()
    spends_its_budget(tale.is_answered(FAULT).is_answered(FAULT).is_answered(FAULT)).waits(100.0)
    acts(tale, Verb.RETRY, "a")
    tale.is_answered(SILENCE, draw=1.0)
    assert tale.due_in_s == 1.0
    tale.waits(9.0).is_answered(SILENCE)
    assert tale.status is Status.COMPENSATING
    assert tale.waits(1.0).is_answered(SILENCE).status is Status.DEAD_LETTERED


def test_a_receipt_stays_what_was_frozen_though_the_output_comes_later() -> None:
    tale = Tale(define("a", "b")).begins()
    execute = tale.next
    tale.is_cancelled().begins().is_answered(Succeeded("late"), call=execute).is_answered(REFUSAL)
    assert tale.undo("a").receipt is None
    acts(tale, Verb.RETRY, "a")
    assert (tale.undo("a").receipt, tale.step("a").output) == (None, "late")


def test_an_answer_to_what_a_person_settled_is_no_event_of_the_saga() -> None:
    for verb in (Verb.SKIP, Verb.COMPLETE, Verb.FAIL, Verb.TERMINATE):
        tale = running()
        call = tale.next
        acts(tale, verb, None if verb is Verb.TERMINATE else "b")
        with pytest.raises(IllegalTransition):
            tale.is_answered(DONE, call=call)
        tale = compensating()
        call = tale.next
        acts(tale, verb, None if verb is Verb.TERMINATE else "b")
        with pytest.raises(IllegalTransition):
            tale.is_answered(DONE, call=call)


def test_an_attempt_that_was_cut_off_by_a_fail_is_counted() -> None:
    tale = compensating()
    acts(tale, Verb.FAIL, "b")
    acts(tale, Verb.RETRY, "b")
    assert (tale.undo("b").attempt, tale.undo("b").round) == (2, 1)


def test_a_fail_between_two_attempts_counts_none_that_was_not_made() -> None:
    undoing, going_on = compensating(), past_pivot()
    for tale in (undoing, going_on):
        tale.is_answered(FAULT, draw=1.0)
        acts(tale, Verb.FAIL, "b")
        acts(tale, Verb.RETRY, "b")
    assert (undoing.undo("b").attempt, going_on.step("b").attempt) == (2, 2)


def test_an_attempt_that_was_pending_when_it_was_given_up_keeps_its_number_for_itself() -> None:
    """Whoever runs the saga by then may be another coordinator than the one that asked under it."""
    undoing = compensating().is_answered(PENDING)
    acts(undoing, Verb.FAIL, "b")
    acts(undoing, Verb.RETRY, "b")
    assert (undoing.undo("b").attempt, undoing.undo("b").round) == (2, 1)
    tale = past_pivot().is_answered(PENDING)
    acts(tale, Verb.FAIL, "b")
    assert tale.step("b").calls == 1, "no call was under way"
    acts(tale, Verb.RETRY, "b")
    assert (tale.step("b").attempt, tale.step("b").round, tale.step("b").calls) == (2, 1, 1)


def test_a_step_waits_for_no_later_moment_than_its_retry() -> None:
    tale = running().is_answered(PENDING)
    acts(tale, Verb.RETRY, "b")
    assert tale.step("b").attempt == 1, "pending uses up no attempt"
    with pytest.raises(IllegalTransition, match="is being asked, or will be"):
        acts(tale, Verb.RETRY, "b")


def test_the_deadline_turns_back_what_a_person_had_helped_forward_and_cuts_no_retried_undo_off() -> None:
    tale = Tale(define("a", "b", "c", ttl_s=50.0)).does("1").begins()
    acts(tale, Verb.COMPLETE, "b", '"2"')
    tale.runs_out_of_time()
    assert (tale.status, tale.next) == (
        Status.COMPENSATING,
        Compensate(StepName("b"), 1, key("b", "compensate"), None),
    )
    tale.fails(REFUSAL).waits(1_000.0)
    acts(tale, Verb.RETRY, "b")
    assert tale.undoes_what_is_left() == ["b", "a"]
    assert (tale.status, tale.saga.forced) == (Status.COMPENSATED, True)


def test_an_effect_that_is_told_when_the_deadline_has_come_knows_of_it() -> None:
    for waited in (50.0, 60.0):
        tale = Tale(define("a", "b", ttl_s=50.0)).begins().waits(waited)
        effect = told_beforehand(tale, Verb.COMPLETE, "a")
        assert (effect.status_after, effect.status_in_the_end) == (Status.RUNNING, Status.COMPENSATED)
        assert [command.key for command in effect.planned] == [key("a", "compensate")]


def test_an_effect_that_is_told_of_an_overdue_saga_past_its_pivot_is_that_it_goes_on() -> None:
    tale = Tale(define(pivot("a"), retriable("b"), ttl_s=50.0)).does("1").begins().runs_out_of_time()
    assert tale.saga.is_overdue
    assert told_beforehand(tale, Verb.SKIP, "b").status_in_the_end is Status.COMPLETED


def told_beforehand(tale: Tale, verb: Verb, name: str) -> Effect:
    event = action_event(tale.saga, action(tale, verb, name), seq=len(tale.history), at=tale.now)
    assert event is not None
    return effect_of(tale.saga, event, only_paths)


def test_a_saga_is_not_driven_on_as_a_whole_when_no_work_is_left() -> None:
    with pytest.raises(IllegalTransition, match="has ended"):
        acts(dead_letter(), Verb.RETRY, set_aside=True)


def test_a_step_that_is_not_there_is_told_with_those_that_are() -> None:
    for tale in (running(), compensating(), dead_letter()):
        with pytest.raises(IllegalTransition, match="no step 'nowhere'; its steps are: a, b, c"):
            acts(tale, Verb.SKIP, "nowhere")


def test_a_terminated_saga_says_who_ended_it_and_what_stands() -> None:
    tale = running()
    acts(tale, Verb.TERMINATE)
    assert tale.summary.error_message == (
        "Terminated by ada (she knows). What was begun and is not undone stands as it is."
    )
    tale = dead_letter()
    acts(tale, Verb.TERMINATE)
    assert tale.summary.error_message == (
        "c at c_service was refused: OUT_OF_STOCK: sku-1 is sold out. Terminated by ada (she knows). "
        "What was begun and is not undone stands as it is."
    )


def test_what_a_person_left_in_place_is_not_called_undone() -> None:
    tale = dead_letter()
    acts(tale, Verb.SKIP, "b")
    tale.undoes_what_is_left()
    assert tale.summary.error_message.endswith(
        "What else was begun has been undone. Left in place by hand: b."
    )
    tale = Tale(define("a", "b")).does("1").fails(REFUSAL)
    acts(tale, Verb.SKIP, "a")
    assert tale.summary.error_message.endswith("Nothing else had to be undone. Left in place by hand: a.")


def test_a_step_that_was_given_up_by_hand_says_whose_reason_it_was() -> None:
    tale = running()
    acts(tale, Verb.FAIL, "b")
    assert tale.summary.error_message.startswith("b at b_service was given up: FAILED_BY_HAND: she knows.")


def test_every_action_is_remembered_by_its_id() -> None:
    tale = running()
    done = [acts(tale, Verb.SKIP, "b"), acts(tale, Verb.CANCEL)]
    assert tale.saga.actions == tuple(done)


def test_deciding_of_an_action_changes_one_step_at_most() -> None:
    for where, build in (*STEPS.items(), *PIVOTS.items(), *UNDOS.items()):
        tale = build()
        for verb in (Verb.RETRY, Verb.SKIP, Verb.COMPLETE, Verb.FAIL):
            event = OperatorActed(tale.now, verb, ActionId("x"), "ada", "", StepName("b"))
            try:
                after = decide(tale.saga, event).saga
            except IllegalTransition:
                continue
            changed = [new.name for old, new in zip(tale.saga.steps, after.steps, strict=True) if old != new]
            assert changed == ["b"], where


def test_the_reason_of_an_operator_who_cancels_is_told() -> None:
    tale = running()
    acts(tale, Verb.CANCEL)
    assert tale.summary.error_message.startswith("Cancelled (she knows).")


def test_what_cannot_be_done_is_told_with_the_reason() -> None:
    for tale, verb, name, sentence in (
        (dead_letter(), Verb.CANCEL, None, "is DEAD_LETTERED: there is nothing left to cancel"),
        (STEPS["passed"](), Verb.SKIP, "b", "and step 'b' is passed"),
        (STEPS["not reached"](), Verb.SKIP, "b", "and step 'b' has not been reached"),
        (UNDOS["nothing to undo"](), Verb.SKIP, "b", "step 'b' needs no undo"),
        (UNDOS["blocked behind another"](), Verb.SKIP, "b", "step 'b' waits for that of a later step"),
        (UNDOS["settled"](), Verb.RETRY, "b", "the undo of step 'b' is settled"),
    ):
        with pytest.raises(IllegalTransition, match=sentence):
            acts(tale, verb, name)


def test_an_undo_that_was_left_in_place_is_settled() -> None:
    tale = compensating()
    acts(tale, Verb.SKIP, "b")
    for verb in (Verb.RETRY, Verb.SKIP, Verb.COMPLETE, Verb.FAIL):
        with pytest.raises(IllegalTransition, match="is settled"):
            acts(tale, verb, "b")


def test_nothing_begins_any_more_in_a_saga_that_a_person_has_ended() -> None:
    for tale, begun in (
        (STEPS["not begun"](), StepBegun(BORN_AT, StepName("b"))),
        (UNDOS["about to begin"](), UndoBegun(BORN_AT, StepName("b"), "2")),
    ):
        acts(tale, Verb.TERMINATE)
        with pytest.raises(IllegalTransition, match=r" now$"):
            tale.happens(begun)


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE, Verb.FAIL])
def test_a_call_that_is_cut_off_by_hand_was_made_all_the_same(verb: Verb) -> None:
    """It has no say any more; whoever counts calls has to know of it, and of no other."""
    due = STEPS["waiting for its next attempt"]()
    due.waits(due.due_in_s or 0.0)
    for tale, cut_off in (
        (running(), 1),
        (past_pivot(), 1),
        (due, 1),
        (STEPS["waiting for its next attempt"](), 0),
        (PIVOTS["waiting for its next attempt"](), 0),
        (STEPS["not begun"](), 0),
        (PIVOTS["not begun"](), 0),
    ):
        before = tale.step("b")
        acts(tale, verb, "b")
        assert (tale.step("b").calls, tale.step("b").lost) == (before.calls + cut_off, before.lost + cut_off)


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE])
def test_of_a_step_that_is_stuck_no_call_is_cut_off(verb: Verb) -> None:
    for where in ("refused", "with a spent budget", "pivot in doubt"):
        tale = PIVOTS[where]()
        before = tale.step("b")
        acts(tale, verb, "b")
        assert tale.step("b").calls == before.calls, where


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE, Verb.FAIL])
def test_what_a_person_settles_is_due_no_more(verb: Verb) -> None:
    for tale in (STEPS["waiting for its next attempt"](), PIVOTS["waiting for its next attempt"]()):
        acts(tale, verb, "b")
        assert tale.step("b").due_at is None
    undoing = UNDOS["waiting for its next attempt"]()
    acts(undoing, verb, "b")
    assert undoing.undo("b").due_at is None


def test_an_undo_that_is_due_is_being_asked_for() -> None:
    tale = UNDOS["waiting for its next attempt"]()
    tale.waits(tale.due_in_s or 0.0)
    with pytest.raises(IllegalTransition, match="is being asked for, or will be"):
        acts(tale, Verb.RETRY, "b")
    failures = tale.undo("b").failures
    acts(tale, Verb.FAIL, "b")
    assert tale.undo("b").failures == failures + 1, "the attempt that may be under way counts"


def test_attempts_that_a_restart_swallowed_are_counted_once_when_an_undo_is_tried_again() -> None:
    tale = compensating().is_resumed().is_answered(REFUSAL)
    acts(tale, Verb.RETRY, "b")
    assert tale.undo("b").attempt == 3
