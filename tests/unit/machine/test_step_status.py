"""Where a step stands, in one word: what became of its undo comes before what became of itself."""

from coordinator.domain.events import OperatorActed, Verb
from coordinator.domain.ids import ActionId, StepName
from coordinator.domain.step_status import step_status
from tests.unit.machine.tale import DONE, FAULT, REFUSAL, SILENCE, Tale, define, pivot, retriable, step


def words(tale: Tale) -> list[str]:
    return [step_status(each).value for each in tale.saga.steps]


def by_hand(tale: Tale, verb: Verb, name: str) -> Tale:
    return tale.happens(OperatorActed(tale.now, verb, ActionId(f"{verb} {name}"), "ada", "", StepName(name)))


def test_a_step_that_goes_forward_stands_where_its_execute_does() -> None:
    assert words(Tale(define("a", "b", "c")).does("1").begins()) == ["SUCCEEDED", "BEGUN", "NOT_BEGUN"]
    assert words(Tale(define("a", "b")).fails(REFUSAL)) == ["REFUSED", "NOT_BEGUN"]
    assert words(by_hand(Tale(define("a", "b")).fails(FAULT), Verb.SKIP, "a")) == ["SKIPPED", "NOT_BEGUN"]
    omitted = Tale(define("a", step("b", when="input.wanted")), '{"wanted":false}').passes("a").settles()
    assert words(omitted) == ["SUCCEEDED", "OMITTED"]
    failed = Tale(define(pivot("a"), retriable("b"))).passes("a").fails(REFUSAL)
    assert words(failed) == ["SUCCEEDED", "FAILED"]
    assert words(Tale(define(step("a", attempts_max=1))).fails(SILENCE)) == ["GIVEN_UP"]


def test_a_step_whose_undo_was_begun_stands_where_that_does() -> None:
    undoing = Tale(define("a", "b", "c")).does("1", "2").is_cancelled().begins()
    assert words(undoing) == ["SUCCEEDED", "UNDOING", "NOT_BEGUN"]
    assert words(undoing.is_answered(DONE)) == ["SUCCEEDED", "COMPENSATED", "NOT_BEGUN"]
    assert words(undoing.fails(REFUSAL)) == ["UNDO_FAILED", "COMPENSATED", "NOT_BEGUN"]
    assert words(by_hand(undoing, Verb.SKIP, "a")) == ["UNDO_SKIPPED", "COMPENSATED", "NOT_BEGUN"]
