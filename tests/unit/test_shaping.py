"""What a saga's mappings come to is bounded: for one call, and for all of them together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from coordinator.domain.actions import Action, action_event
from coordinator.domain.commands import Command, Compensate, Invoke
from coordinator.domain.errors import InvalidRequest
from coordinator.domain.events import Event, ExpressionFailed, StepBegun, UndoBegun, Verb
from coordinator.domain.ids import ActionId, IdempotencyKey, StepName
from coordinator.domain.saga import (
    CALL_BYTES_MAX,
    SAGA_DATA_BYTES_MAX,
    SAGA_INPUT_BYTES_MAX,
    SHAPED_BYTES_MAX,
    SHAPED_INPUTS_BYTES_MAX,
    Saga,
    StepOutcome,
    Undo,
    UndoOutcome,
)
from coordinator.domain.shaping import first_call
from tests.unit.machine.tale import BORN_AT, Tale, define, only_paths, step

ROOT: Final = Path(__file__).parents[2]
MIB: Final = 1024 * 1024
LAST: Final = StepName("last")
KEY: Final = IdempotencyKey("key")
LARGE: Final = "é" * (SHAPED_BYTES_MAX // 2)
OTHERS: Final = [step(f"s{n}") for n in range(SHAPED_INPUTS_BYTES_MAX // SHAPED_BYTES_MAX)]
SENTENCE: Final = f"what mappings yield for this saga takes more than {SHAPED_INPUTS_BYTES_MAX} bytes in all"


def with_large(inputs: Sequence[str | None], undo_inputs: Sequence[str | None]) -> Saga:
    """One whose steps but the last, and their undos, were given so much."""
    own = step("last", input={"n": "input.n"}, compensation_input={"n": "input.n"})
    saga = Tale(define(*OTHERS, own)).saga
    states = [
        replace(
            state,
            begun=True,
            input=given,
            outcome=StepOutcome.SUCCEEDED,
            undo=Undo(None, BORN_AT, input=taken, outcome=UndoOutcome.COMPENSATED),
        )
        for state, given, taken in zip(saga.steps, inputs, undo_inputs, strict=False)
    ]
    return replace(saga, steps=(*states, saga.steps[-1]))


def began(saga: Saga, command: Command) -> Event | None:
    return first_call(saga, command, only_paths, BORN_AT)


def test_the_bounds_are_those_that_users_are_told() -> None:
    language = " ".join((ROOT / "docs" / "language.md").read_text().split())
    told = "What a mapping yields may take 1 MiB; those of all steps of a saga 16 MiB together"
    assert told in language
    assert (SHAPED_BYTES_MAX, SHAPED_INPUTS_BYTES_MAX) == (MIB, 16 * MIB)
    comments = " ".join((ROOT / "protos/saga/v1/participant.proto").read_text().replace("//", "").split())
    assert "Input and outputs of one saga may take 1.5 MiB together" in comments
    assert (SAGA_INPUT_BYTES_MAX, SAGA_DATA_BYTES_MAX) == (MIB, 1.5 * MIB)


def test_of_a_step_that_is_not_there_no_output_is_known() -> None:
    tale = Tale(define(step("a", input={"of": "outputs.nowhere"}))).begins()
    assert tale.history[-1] == ExpressionFailed(
        BORN_AT, StepName("a"), "input.of", "no output of step nowhere is known"
    )


def test_what_a_sagas_steps_are_given_is_bounded_in_all() -> None:
    nothing: list[str | None] = [None] * len(OTHERS)
    full: list[str | None] = [LARGE] * len(OTHERS)
    fits: list[str | None] = [*full[:-1], "e" * (SHAPED_BYTES_MAX - len('{"n":1}'))]
    invoke = Invoke(LAST, len(OTHERS), KEY, None)
    assert isinstance(began(with_large(fits, full), invoke), StepBegun)
    assert began(with_large(full, nothing), invoke) == ExpressionFailed(BORN_AT, LAST, "input", SENTENCE)


def test_what_a_sagas_undos_are_given_is_bounded_in_all_and_apart_from_its_steps() -> None:
    nothing: list[str | None] = [None] * len(OTHERS)
    full: list[str | None] = [LARGE] * len(OTHERS)
    undo = Compensate(LAST, len(OTHERS), KEY, None)
    assert isinstance(began(with_large(full, nothing), undo), UndoBegun)
    assert began(with_large(nothing, full), undo) == ExpressionFailed(
        BORN_AT, LAST, "compensationInput", SENTENCE
    )


def test_an_output_that_a_person_gives_must_go_out_with_what_its_undo_is_given() -> None:
    tale = Tale(define(step("a", input={"n": "input.n"}), "b")).begins()
    large = replace(tale.step("a"), input="x" * SHAPED_BYTES_MAX)
    saga = tale.saga.with_step(large, tale.saga.updated_at)
    fits = '"' + "x" * (CALL_BYTES_MAX - SHAPED_BYTES_MAX - 2) + '"'
    asked = Action(ActionId("act-1"), "ada", "why", 2, Verb.COMPLETE, StepName("a"), fits)
    assert action_event(saga, asked, seq=2, at=BORN_AT) is not None
    sentence = f"output_json: this output and the step's input take more than {CALL_BYTES_MAX} bytes together"
    with pytest.raises(InvalidRequest, match=sentence):
        action_event(saga, replace(asked, output=fits[:-1] + 'x"'), seq=2, at=BORN_AT)
