"""What happens to recorded sagas is noted as it is, and written up in time and in order."""

import asyncio
import time
from itertools import count

import pytest

from coordinator.adapters.opentelemetry import notebook
from coordinator.adapters.opentelemetry.attempt import AttemptSpan
from coordinator.adapters.opentelemetry.drafts import Draft
from coordinator.adapters.opentelemetry.ids import span_context
from coordinator.adapters.opentelemetry.notebook import NOTES_MAX, Note, Notebook
from coordinator.domain.events import StepSucceeded
from coordinator.domain.ids import FencingToken, StepName, execute_key
from coordinator.domain.outcomes import NoProof, Succeeded, Unproved
from coordinator.ports.participants import ExecuteCall
from tests.recorded_spans import raised
from tests.unit.machine.tale import Tale, define, step

A = StepName("a")
SAGA = Tale(define(step("a")), "{}").saga
PLACE = span_context(0xABCD, 2)


def a_note(number: int) -> Note:
    def note() -> Draft:
        draft = Draft("a", span_context(0xABCD, number), None, {})
        draft.end()
        return draft

    return note


def ids(kept: list[Draft]) -> list[int]:
    return [draft.context.span_id for draft in kept]


async def test_what_is_noted_is_written_up_by_the_dozen_and_in_order() -> None:
    kept: list[Draft] = []
    book = Notebook(kept.append, raised)
    for number in range(1, NOTES_MAX):
        book.note(a_note(number))
    assert not kept
    book.note(a_note(NOTES_MAX))
    assert ids(kept) == list(range(1, NOTES_MAX + 1))


@pytest.mark.parametrize(("held_s", "held_s_max"), [(0.01, 3600.0), (3600.0, 0.01)])
async def test_nothing_waits_long_for_others_to_come(
    held_s: float, held_s_max: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "HELD_S_MAX", held_s_max)
    kept: list[Draft] = []
    book = Notebook(kept.append, raised, held_s=held_s)
    for number in (1, 2):  # the first time is not the only one
        book.note(a_note(number))
        async with asyncio.timeout(5.0):
            while len(kept) < number:
                await asyncio.sleep(0.001)
    assert ids(kept) == [1, 2]


async def test_at_the_end_all_is_written_up_that_is_left() -> None:
    kept: list[Draft] = []
    book = Notebook(kept.append, raised)
    book.note(a_note(1))
    book.write_up()
    book.write_up()
    assert ids(kept) == [1]


async def test_a_note_that_cannot_be_written_up_costs_no_other() -> None:
    def broken() -> Draft:
        raise fault

    fault = RuntimeError("a bug")
    kept: list[Draft] = []
    spoilt: list[Exception] = []
    book = Notebook(kept.append, spoilt.append)
    for note in (a_note(1), broken, a_note(2)):
        book.note(note)
    book.write_up()
    assert ids(kept) == [1, 2]
    assert spoilt == [fault]


def an_attempt(notes: list[Note]) -> AttemptSpan:
    key = execute_key(SAGA.id, A, SAGA.step(A).round)
    call = ExecuteCall(key, SAGA.id, "Order", "a_service", A, "do", 1, FencingToken(1), "{}")
    return AttemptSpan(SAGA, call, PLACE, lambda: next(count(7)), {}, notes.append)


def test_of_a_call_that_was_abandoned_nothing_more_is_said_when_its_answer_comes() -> None:
    notes: list[Note] = []
    attempt = an_attempt(notes)
    attempt.abandoned()
    attempt.answered(NoProof(Unproved.TRANSIENT, "UNAVAILABLE", ""))
    attempt.abandoned()
    (note,) = notes
    draft = note()
    assert draft.attributes["saga.outcome"] == "ABANDONED"
    assert draft.attributes["error.type"] == "ABANDONED"
    assert "rpc.response.status_code" not in draft.attributes


def test_a_call_has_lasted_until_its_answer_whenever_that_is_written_up() -> None:
    notes: list[Note] = []
    before = time.time_ns()
    attempt = an_attempt(notes)
    begun = time.time_ns()
    attempt.answered(Succeeded("{}"))
    after = time.time_ns()
    attempt.settled(StepSucceeded(1.0, A, 1, "{}"), SAGA)
    attempt.abandoned()
    time.sleep(0.002)
    (note,) = notes
    draft = note()
    assert before <= draft.started_ns <= begun
    assert draft.ended_ns is not None
    assert begun <= draft.ended_ns <= after
    assert draft.attributes["saga.outcome"] == "SUCCEEDED"
    assert draft.parent == PLACE
