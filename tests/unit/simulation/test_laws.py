"""Each law of a rehearsed saga is seen where it is broken: what its services did is changed afterwards."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import Direction
from coordinator.domain.saga import Saga, StepOutcome, StepState
from coordinator.simulation.answers import forward_ways, undo_ways
from coordinator.simulation.laws import broken_laws
from coordinator.simulation.made_up import Data
from coordinator.simulation.rehearsal import Rehearsed, rehearse
from coordinator.simulation.runs import Run
from coordinator.simulation.world import Op, Outcome, Row
from tests.unit.simulation.definitions import a_saga, a_step

TWO = a_saga(a_step("hold"), a_step("pay"))
DECIDED = a_saga(
    a_step("hold"), a_step("pay", kind="pivot"), a_step("ship", kind="retriable", compensation=None)
)


def rehearsed(definition: SagaDefinition = TWO, refused: str = "", undo_refused: str = "") -> Rehearsed:
    run = Run(definition, Data({}, {}))
    for name, direction, ways in (
        (refused, Direction.FORWARD, forward_ways),
        (undo_refused, Direction.UNDO, undo_ways),
    ):
        if name:
            step = definition.step(StepName(name))
            way = next(way for way in ways(step) if way.words == "is refused")
            run = run.with_way(step.name, direction, way)
    return rehearse(run.rehearsal())


def row(came_of_it: Rehearsed, step: str, op: Op, outcome: Outcome = "applied") -> Row:
    return Row(came_of_it.saga.id, StepName(step), op, outcome)


def changed(saga: Saga, name: str, **how: object) -> Saga:
    step: StepState = saga.step(StepName(name))
    return saga.with_step(replace(step, **how), saga.updated_at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [(TWO,), (TWO, "pay"), (TWO, "pay", "hold"), (DECIDED,), (DECIDED, "pay"), (DECIDED, "ship")],
)
def test_no_law_is_broken_by_a_saga_as_it_is(arguments: Sequence[object]) -> None:
    assert broken_laws(rehearsed(*arguments)) == []  # type: ignore[arg-type]


def test_an_effect_comes_once_and_never_after_its_undo() -> None:
    came_of_it = rehearsed(refused="pay")
    rows = came_of_it.world.rows
    rows.append(row(came_of_it, "hold", "E"))
    assert broken_laws(came_of_it) == ["hold was done more than once", "hold was done after its undo"]
    rows[-1] = row(came_of_it, "hold", "C")
    assert "hold was undone more than once" in broken_laws(came_of_it)
    rows[:] = [row(came_of_it, "pay", "C")]
    assert "pay was undone and never done" in broken_laws(came_of_it)


def test_all_effects_stand_in_the_end_or_none() -> None:
    completed = rehearsed()
    completed.world.rows.pop()
    assert broken_laws(completed) == [
        "pay is told to have succeeded and was never done",
        "it is COMPLETED, and the effect of pay does not stand",
    ]
    compensated = rehearsed(refused="pay")
    compensated.world.rows.pop()
    assert broken_laws(compensated) == ["it is COMPENSATED, and the effect of hold stands"]


def test_the_order_is_kept_in_both_directions() -> None:
    completed = rehearsed()
    completed.world.rows.reverse()
    assert broken_laws(completed) == ["pay was done before hold"]
    compensated = rehearsed(refused="pay")
    compensated.world.rows += [row(compensated, "pay", "C", "null")]
    assert broken_laws(compensated) == ["pay was undone after hold"]


def test_nothing_is_undone_going_forward_nor_called_where_it_was_omitted() -> None:
    completed = rehearsed()
    completed.world.rows.append(row(completed, "pay", "C"))
    assert broken_laws(completed)[0] == "pay was undone in a saga that went forward"
    omitted = replace(rehearsed(), saga=changed(rehearsed().saga, "pay", outcome=StepOutcome.OMITTED))
    assert "pay was omitted and called all the same" in broken_laws(omitted)


def test_past_its_pivot_nothing_turns_it_back() -> None:
    refused = rehearsed(DECIDED, refused="pay")
    doubtful = replace(refused, saga=changed(refused.saga, "pay", outcome=StepOutcome.GIVEN_UP))
    assert "it turned back past its pivot pay, which nobody refused" in broken_laws(doubtful)
    begun = replace(refused, saga=changed(refused.saga, "ship", begun=True))
    assert "ship was begun after the pivot in vain" in broken_laws(begun)


def test_it_rests_in_the_end() -> None:
    came_of_it = rehearsed()
    going = replace(came_of_it, saga=changed(came_of_it.saga, "pay", outcome=None))
    assert broken_laws(going) == ["it is RUNNING and nothing is done about it"]
