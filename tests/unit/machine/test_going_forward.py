"""What a saga does while nothing is wrong, and how each step is begun."""

from dataclasses import replace

import pytest

from coordinator.domain.commands import Invoke
from coordinator.domain.errors import IllegalTransition
from coordinator.domain.events import StepBegun, StepSucceeded
from coordinator.domain.ids import IdempotencyKey, StepName
from coordinator.domain.machine import resume, start
from coordinator.domain.saga import Status
from tests.unit.machine.tale import DONE, FAULT, PENDING, Tale, born, define

A, B = StepName("a"), StepName("b")


def test_a_new_saga_is_running_and_its_first_step_is_due_now() -> None:
    tale = Tale(define("a", "b"))
    assert tale.status is Status.RUNNING
    assert tale.next == Invoke(A, 0, IdempotencyKey("saga-1/a/execute"), None)


def test_a_saga_is_followed_where_it_was_started() -> None:
    started = replace(born(define("a")), trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert start(define("a"), started).saga.trace == started.trace


def test_a_step_is_asked_for_only_when_the_one_before_it_has_succeeded() -> None:
    tale = Tale(define("a", "b")).begins()
    assert tale.next is not None
    assert tale.next.step == "a"
    tale.is_answered(DONE)
    assert tale.next.step == "b"


def test_when_all_steps_have_succeeded_the_saga_is_completed_and_nothing_is_left_to_do() -> None:
    tale = Tale(define("a", "b")).does("1", "2")
    assert tale.status is Status.COMPLETED
    assert tale.next is None
    assert [s.output for s in tale.saga.steps] == ["1", "2"]


def test_a_step_begins_once_however_often_it_is_sent() -> None:
    tale = Tale(define("a")).fails(FAULT)
    with pytest.raises(IllegalTransition, match="cannot begin now"):
        tale.happens(StepBegun(tale.now, A))


def test_a_step_cannot_begin_before_the_one_before_it_has_succeeded() -> None:
    tale = Tale(define("a", "b"))
    with pytest.raises(IllegalTransition, match="cannot begin now"):
        tale.happens(StepBegun(tale.now, B))


def test_a_step_that_never_began_has_nothing_to_answer() -> None:
    tale = Tale(define("a", "b"))
    with pytest.raises(IllegalTransition, match="has no Execute to answer"):
        tale.happens(StepSucceeded(tale.now, A, 1, "{}"))


def test_a_step_answers_once() -> None:
    tale = Tale(define("a", "b")).does("{}")
    with pytest.raises(IllegalTransition, match="has no Execute to answer"):
        tale.happens(StepSucceeded(tale.now, A, 1, "{}"))


def test_the_key_of_a_step_is_the_same_in_every_attempt_and_another_for_its_undo() -> None:
    tale = Tale(define("a")).begins()
    keys = [tale.next.key if tale.next else None]
    tale.is_answered(FAULT).waits(9).is_answered(PENDING)
    keys.append(tale.next.key if tale.next else None)
    tale.is_resumed()
    keys.append(tale.next.key if tale.next else None)
    assert keys == ["saga-1/a/execute"] * 3
    tale.is_cancelled()
    assert tale.next is not None
    assert tale.next.key == "saga-1/a/compensate"


def test_a_history_must_begin_with_the_start_of_its_saga() -> None:
    definition = define("a")
    for history in ([], [StepBegun(1.0, A)]):
        with pytest.raises(IllegalTransition, match="begins with SagaStarted"):
            resume(definition, history)


def test_a_saga_starts_once() -> None:
    tale = Tale(define("a"))
    with pytest.raises(IllegalTransition, match="started already"):
        tale.happens(born(tale.definition))


def test_an_event_of_a_step_that_is_not_in_the_definition_is_illegal() -> None:
    tale = Tale(define("a"))
    with pytest.raises(IllegalTransition, match="has no step 'nowhere'"):
        tale.happens(StepSucceeded(tale.now, StepName("nowhere"), 1, "{}"))
