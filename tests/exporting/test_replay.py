"""What a course that is played leads to, and what is told of one that does not fit its saga."""

import pytest

from coordinator.domain.errors import InvalidDefinition
from coordinator.simulation.course import (
    Acted,
    Answered,
    Cancelled,
    End,
    Happening,
    Started,
    Stopped,
)
from coordinator.simulation.replay import Strayed, replay
from tests.unit.machine.tale import define

DEFINITION = define("a", "b").text


def done(at_s: float, name: str) -> Answered:
    return Answered(at_s, "do", name, "SUCCEEDED")


def test_a_definition_and_an_input_are_json_however_it_is_laid_out() -> None:
    definition = """
    {"sagaName": "Trip",
     "steps": [{"service": "S", "transaction": "book", "compensation": null,
                "when": "input.seats > 3"}]}
    """
    assert replay(definition, '\n{ "seats": 3 }\n', []) == End("COMPLETED", {"book": "OMITTED"})
    assert replay(definition, '{"seats": 4}', [done(0.5, "book")]) == End("COMPLETED", {"book": "SUCCEEDED"})
    with pytest.raises(InvalidDefinition, match="the definition is not a saga definition"):
        replay('{"sagaName": "Trip"}', "{}", [])


def test_a_test_with_another_end_in_it_fails() -> None:
    ends = replay(DEFINITION, "{}", [done(0.5, "a"), done(1.0, "b")])
    assert ends == End("COMPLETED", {"a": "SUCCEEDED", "b": "SUCCEEDED"})
    undone = replay(
        DEFINITION, "{}", [done(0.5, "a"), Cancelled(0.75), done(1.0, "b"), *undos(2.0, "b", "a")]
    )
    assert undone.undone == ["b", "a"]
    assert undone != ends


def undos(at_s: float, *names: str) -> list[Happening]:
    return [Answered(at_s + place, "undo", name, "SUCCEEDED") for place, name in enumerate(names)]


@pytest.mark.parametrize(
    ("course", "why"),
    [
        ([done(0.5, "b")], "nobody asks to do b, which is to be answered at 0.5 s"),
        (undos(0.5, "a"), "nobody asks to undo a, which is to be answered at 0.5 s"),
        ([done(0.5, "a"), done(1.0, "a")], "nobody asks to do a, which is to be answered at 1.0 s"),
        ([done(0.5, "a")], "all has come to it, and it goes on: it is RUNNING"),
        (
            [Acted(0.5, "SKIP", "b", actor="ada", reason="why not")],
            "what was done to it at 0.5 s is refused: .*has not been reached",
        ),
        (
            [done(0.5, "a"), done(1.0, "b"), Acted(1.5, "RETRY", "b", actor="ada", reason="why not")],
            "what was done to it at 1.5 s is refused: .*COMPLETED",
        ),
        (
            [done(0.5, "a"), done(1.0, "b"), Cancelled(1.5, "too late")],
            "what was done to it at 1.5 s is refused: .*COMPLETED",
        ),
        ([Stopped(0.5), done(0.5, "a")], "all has come to it, and it goes on: it is RUNNING"),
        (
            [done(0.5, "a"), Stopped(1.0), Started(2.0), *undos(3.0, "b")],
            "nobody asks to undo b, which is to be answered at 3.0 s",
        ),
        (
            [Cancelled(0.25), Stopped(0.5), Started(1.0), done(1.5, "a")],
            "nobody asks to do a, which is to be answered at 1.5 s",
        ),
    ],
)
def test_a_course_that_does_not_fit_says_where_it_does_not(course: list[Happening], why: str) -> None:
    with pytest.raises(Strayed, match=why):
        replay(DEFINITION, "{}", course)


def test_what_a_coordinator_could_not_drive_has_no_end() -> None:
    # An answer without a kind is none that any participant can give.
    broken = Answered(0.5, "do", "a", "SUCCEEDED", output=None)  # type: ignore[arg-type]
    with pytest.raises(Strayed, match="could not drive it"):
        replay(DEFINITION, "{}", [broken])


def test_an_answer_that_is_a_little_early_waits_for_its_call() -> None:
    course = [
        Answered(0.5, "do", "a", "UNKNOWN", code="UNAVAILABLE", again_s=0.25),
        done(0.625, "a"),
        done(0.625, "b"),
    ]
    with pytest.raises(Strayed, match=r"nobody asks to do b, which is to be answered at 0\.625 s"):
        replay(DEFINITION, "{}", course)  # b waits for a, and they can not come at once
    course[2] = done(0.75, "b")
    assert replay(DEFINITION, "{}", course).status == "COMPLETED"


def test_days_pass_in_no_time() -> None:
    course = [done(0.5, "a"), Cancelled(0.75), done(200_000.0, "b"), *undos(259_200.0, "b", "a")]
    assert replay(DEFINITION, "{}", course).undone == ["b", "a"]
