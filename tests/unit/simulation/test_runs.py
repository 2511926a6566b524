"""One run: where crashes are tried in it, and what is said of it."""

from typing import Final

import pytest

from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.outcomes import Direction
from coordinator.simulation.answers import forward_ways
from coordinator.simulation.boundaries import Boundary, Kill, Passed, Unsynced
from coordinator.simulation.made_up import Data
from coordinator.simulation.rehearsal import Rehearsed, rehearse
from coordinator.simulation.runs import Run, crash_points, first_calls
from tests.unit.simulation.definitions import a_saga, a_step

UNREACHABLE: Final = "can not be reached until it is given up"


def unreachable(**retry: JsonValue) -> Rehearsed:
    definition = a_saga(a_step("pay", retry=retry))
    (step,) = definition.steps
    way = next(way for way in forward_ways(step) if way.words == UNREACHABLE)
    run = Run(definition, Data({}, {})).with_way(step.name, Direction.FORWARD, way)
    return rehearse(run.rehearsal())


def test_in_the_midst_of_many_calls_alike_no_crash_is_tried() -> None:
    came_of_it = unreachable(maxAttempts=10, initialBackoff="1ms", maxBackoff="1ms")
    points = crash_points(came_of_it)
    # Of ten calls and the writes behind them the fourth to the seventh.
    assert came_of_it.boundaries - len(points) == 4 * (2 + 3)
    asked = [str(passed) for _, passed in points if passed.boundary is Boundary.UNSENT]
    assert [words.split(":")[0] for words in asked] == [
        *(f"do pay, attempt {number}" for number in (1, 2, 3, 8, 9, 10)),
        "undo pay, attempt 1",
    ]
    last = crash_points(came_of_it, from_number=came_of_it.boundaries)
    assert last == [(came_of_it.boundaries, came_of_it.passed[-1])]
    firsts = first_calls(came_of_it.passed)
    assert firsts.number(Boundary.UNSENT, StepName("pay"), Direction.FORWARD) == 4
    assert firsts.number(Boundary.UNTAKEN, StepName("ship"), Direction.FORWARD) is None


def test_each_wait_is_as_long_as_it_may_be() -> None:
    came_of_it = unreachable(maxAttempts=4, initialBackoff="2s", multiplier=2, maxBackoff="5s")
    assert came_of_it.lasted_s == pytest.approx(2 + 4 + 5, rel=0.1)


def test_a_run_says_what_goes_wrong_in_it() -> None:
    definition = a_saga(a_step("pay"))
    (step,) = definition.steps
    run = Run(definition, Data({}, {}))
    assert (str(run), run.weight) == ("all goes well", 0)
    refused = run.with_way(
        step.name, Direction.FORWARD, next(way for way in forward_ways(step) if way.is_plain)
    ).cancelled(2, "while pay is asked")
    killed = refused.killed(5, Kill(Unsynced.KEPT), Passed(Boundary.UNSYNCED, "write"))
    assert str(killed) == (
        "pay is refused; it is cancelled while pay is asked; "
        "the coordinator is killed at crash point 5, write: written and not synced (kept)"
    )
    assert refused.weight < killed.weight
    other = Run(definition, Data({}, {}, words="the condition of pay is not met"))
    assert str(other) == "the condition of pay is not met"
