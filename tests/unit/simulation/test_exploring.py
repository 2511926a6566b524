"""What an exploration plays and finds, for sagas that are small enough to be counted by hand."""

import re
from collections.abc import Mapping
from typing import Final

import pytest

from coordinator.domain.definition import SagaDefinition, StepDefinition
from coordinator.domain.events import Verb
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.worst_case import longest_stretch
from coordinator.domain.saga import AbortKind, Status
from coordinator.domain.shown.undo_plan import Stays
from coordinator.domain.summary import DeadLetterCause
from coordinator.simulation import exploring
from coordinator.simulation.answers import SLOW, Way, forward_ways, undo_ways
from coordinator.simulation.exploring import Explored, explore
from coordinator.simulation.findings import Findings, Situation
from coordinator.simulation.laws import broken_laws
from coordinator.simulation.made_up import Data
from coordinator.simulation.rehearsal import NeverRests, Rehearsal, Rehearsed
from coordinator.simulation.runs import Run
from tests.unit.simulation.definitions import EVALUATE, a_saga, a_step

NOTHING: Final = Data({}, {})
FORWARD_WAYS: Final = 12
UNDO_WAYS: Final = 11


def explored(definition: SagaDefinition, data: Data = NOTHING, *, runs_max: int | None = None) -> Explored:
    found = explore(definition, [data], runs_max=runs_max)
    assert found.findings.broken_shown == []
    return found


def situations(found: Explored) -> Mapping[tuple[str, bool, DeadLetterCause], Situation]:
    return {(one.step, one.is_undo, one.cause): one for one in found.findings.needs_person}


@pytest.fixture
def few_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is refused, or its answer lost, and an undo is refused: with all ways it would take long."""

    def of_forward(step: StepDefinition) -> list[Way]:
        return [way for way in forward_ways(step) if way.words in ("is refused", "loses its answer once")]

    def of_undo(step: StepDefinition) -> list[Way]:
        return [way for way in undo_ways(step) if way.words == "is refused"]

    monkeypatch.setattr(exploring, "forward_ways", of_forward)
    monkeypatch.setattr(exploring, "undo_ways", of_undo)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Rehearsed]]:
    """What is played, in words, and what came of it."""
    runs: list[tuple[str, Rehearsed]] = []
    add = Findings.add

    def noted(findings: Findings, run: Run, came_of_it: Rehearsed) -> None:
        runs.append((str(run), came_of_it))
        add(findings, run, came_of_it)

    monkeypatch.setattr(Findings, "add", noted)
    return runs


def test_each_answer_is_tried_at_each_step_and_at_each_undo() -> None:
    (step,) = a_saga(a_step("pay")).steps
    assert len(list(forward_ways(step))) == FORWARD_WAYS
    assert len(list(undo_ways(step))) == UNDO_WAYS
    found = explored(a_saga(a_step("pay")), runs_max=260)
    assert (len(found.straight), found.slowest) == (1, 2)
    assert found.one_answer == FORWARD_WAYS + 1  # and it is cancelled while it is asked
    # All but a plain refusal, which leaves nothing to be undone, and one that is pending, which ends well.
    assert found.two_answers == (FORWARD_WAYS - 2 + 1) * UNDO_WAYS
    assert found.runs == sum(found.findings.ends.values()) == 260
    assert set(found.findings.ends) == {Status.COMPLETED, Status.COMPENSATED, Status.DEAD_LETTERED}
    assert set(situations(found)) == {
        ("pay", True, DeadLetterCause.REFUSED),
        ("pay", True, DeadLetterCause.BUDGET_SPENT),
    }
    of_each = [situation.runs for situation in found.findings.needs_person]
    assert min(of_each) > 1
    assert sum(of_each) == found.findings.ends[Status.DEAD_LETTERED]


@pytest.mark.usefixtures("few_ways")
def test_a_crash_is_tried_at_each_point() -> None:
    found = explored(a_saga(a_step("pay")))
    ((_, straight),) = found.straight
    assert straight.boundaries == 3 + 2 + 3  # two writes, and between them a call
    assert (found.one_answer, found.two_answers) == (3, 2)
    refused, lost, cancelled = 8, 3 + 2 + 3 + 2 + 3, 3 + 1 + 3 + 1 + 3 + 2 + 3
    from_the_undo_on = 2 + 3
    assert found.crash_points == 8 + refused + lost + cancelled + 2 * from_the_undo_on
    # What is written and not synced may be kept, or torn.
    writes = 2 + 2 + 3 + 4 + 2 * 1
    assert found.crashes == found.crash_points + writes


@pytest.mark.usefixtures("few_ways")
def test_where_the_same_is_undone_crashes_are_tried_once() -> None:
    found = explored(a_saga(a_step("hold"), a_step("pay")), runs_max=23)
    # hold is undone alone: unknown when its answer is lost, known when it is cancelled, or when pay is
    # refused; and with pay, unknown when its answer is lost, known when it is cancelled.
    assert (found.one_answer, found.two_answers) == (6, 1 + 1 + 1 + 2 + 2)
    assert found.left_out[0].startswith("crashes in 1 of the runs with two answers: ")


@pytest.mark.usefixtures("few_ways")
def test_who_is_needed_is_told_with_the_plainest_way_there_and_with_what_can_be_done() -> None:
    found = explored(a_saga(a_step("hold"), a_step("pay")), runs_max=60)
    refused = situations(found)["hold", True, DeadLetterCause.REFUSED]
    assert refused.run == "pay is refused; the undo of hold is refused"
    assert refused.standing == ("hold",)
    assert [(choice.verb, choice.step, choice.ends) for choice in refused.choices] == [
        (Verb.RETRY, "hold", Status.COMPENSATED),
        (Verb.SKIP, "hold", Status.COMPENSATED),
        (Verb.COMPLETE, "hold", Status.COMPENSATED),
        (Verb.TERMINATE, None, Status.TERMINATED),
    ]
    behind = situations(found)["pay", True, DeadLetterCause.REFUSED]
    assert behind.standing == ("pay", "hold")


@pytest.mark.usefixtures("few_ways")
def test_nobody_is_needed_where_nothing_can_be_undone() -> None:
    found = explored(a_saga(a_step("tell", compensation=None)), runs_max=3)
    assert found.findings.needs_person == []
    assert found.findings.ends[Status.DEAD_LETTERED] == 0


def test_past_its_pivot_a_saga_needs_a_person_going_forward() -> None:
    quick: JsonValue = {"initialBackoff": "1s", "multiplier": 1, "maxBackoff": "1s", "budget": "3s"}
    steps = (
        a_step("hold"),
        a_step("pay", kind="pivot", retry=quick),
        a_step("ship", kind="retriable", compensation=None, retry=quick),
    )
    found = explored(a_saga(*steps), runs_max=120)
    doubt = situations(found)["pay", False, DeadLetterCause.BUDGET_SPENT]
    assert doubt.is_pivot
    assert doubt.standing == ("pay", "ship")
    assert (Verb.FAIL, Status.COMPENSATED) in [(choice.verb, choice.ends) for choice in doubt.choices]
    refused = situations(found)["ship", False, DeadLetterCause.REFUSED]
    assert (refused.is_pivot, refused.run) == (False, "ship is refused")


def test_the_slowest_run_takes_as_long_as_the_policies_say() -> None:
    retry: JsonValue = {"maxAttempts": 3, "initialBackoff": "100ms", "multiplier": 2, "maxBackoff": "7s"}
    definition = a_saga(a_step("hold", retry=retry, timeout="10s"), a_step("pay", timeout="5s"))
    found = explored(definition, runs_max=3)
    assert found.slowest == 2
    longest = found.findings.longest[Status.COMPLETED]
    assert longest.calls == 3 + 1
    assert longest.lasted_s == pytest.approx(longest_stretch(definition).length_s, rel=2 * (1 - SLOW))
    # Forward as long, then 3 s for each undo, and the last attempt begins when these are over.
    undone = found.findings.longest[Status.COMPENSATED]
    assert undone.run == "every call faults slowly until its last attempt, in which pay is refused"
    assert undone.calls == 4 + 1  # a budget of 3 s is over when an undo of 10 s has failed
    assert undone.lasted_s == pytest.approx(44 + 5 + 10, rel=0.01)
    assert found.findings.most_calls is not None
    assert found.findings.most_calls.calls == 5


def test_what_is_tried_for_hours_is_played_to_its_end_and_not_again_and_again(
    played: list[tuple[str, Rehearsed]],
) -> None:
    patient: JsonValue = {"initialBackoff": "1s", "multiplier": 2, "maxBackoff": "60s", "budget": "2h"}
    found = explored(a_saga(a_step("hold", compensationRetry=patient), a_step("pay")), runs_max=70)
    assert situations(found)["hold", True, DeadLetterCause.BUDGET_SPENT].standing == ("hold",)
    # A second for an attempt, and 60 s between them.
    longest = found.findings.longest[Status.COMPENSATED]
    assert longest.calls == pytest.approx(2 + 7_200 / 61, abs=2)
    assert longest.lasted_s == pytest.approx(7_200, rel=0.02)
    away = [run for run, _ in played if run.endswith("and the coordinator is away for most of that time")]
    assert len(away) == 4
    # That the coordinator was away is no time that the saga took.
    assert found.findings.longest[Status.DEAD_LETTERED].lasted_s < 60
    assert found.findings.calls < longest.calls + 400


@pytest.mark.usefixtures("few_ways")
def test_a_saga_runs_out_of_time_and_is_cancelled_at_each_step(
    played: list[tuple[str, Rehearsed]],
) -> None:
    explored(a_saga(a_step("hold"), a_step("pay"), ttl="30s"), runs_max=27)
    assert [run for run, _ in played if not re.search("slowly|;|killed", run)] == [
        "all goes well",
        *(
            words
            for step in ("hold", "pay")
            for words in (
                f"{step} loses its answer once",
                f"{step} is refused",
                f"{step} is pending until the deadline has passed",
                f"the coordinator dies before the call of {step} and is back after the deadline",
                f"the coordinator dies after the call of {step} and is back after the deadline",
            )
        ),
        "it is cancelled while hold is asked",
        "it is cancelled while pay is asked",
    ]
    aborts = [came_of_it.saga.abort for run, came_of_it in played if "deadline" in run and ";" not in run]
    assert [abort.kind for abort in aborts if abort is not None] == [AbortKind.DEADLINE] * 6


@pytest.mark.usefixtures("few_ways")
def test_a_crash_comes_after_the_one_that_its_run_has_already(played: list[tuple[str, Rehearsed]]) -> None:
    explored(a_saga(a_step("pay"), ttl="3s"), runs_max=80)
    for when, boundary in (("before", 4), ("after", 5)):
        pattern = rf"the coordinator dies {when} the call of pay .* crash point (\d+),.*"
        found = [int(match[1]) for run, _ in played if (match := re.fullmatch(pattern, run))]
        assert len(found) > 3
        assert min(found) > boundary


@pytest.mark.usefixtures("few_ways")
def test_a_client_cannot_come_between_what_is_written_at_once(played: list[tuple[str, Rehearsed]]) -> None:
    explored(a_saga(a_step("hold"), a_step("tell", dependsOn=[])), runs_max=16)
    assert [run for run, _ in played if run.startswith("it is cancelled") and ";" not in run] == [
        "it is cancelled while hold, tell are asked",
        "it is cancelled while tell is asked",
    ]


def test_a_deadline_that_is_far_is_not_waited_for_by_asking_on(
    played: list[tuple[str, Rehearsed]],
) -> None:
    explored(a_saga(a_step("pay"), ttl="30d"), runs_max=34)
    assert [run for run, _ in played if "deadline" in run and ";" not in run] == [
        "the coordinator dies before the call of pay and is back after the deadline",
        "the coordinator dies after the call of pay and is back after the deadline",
    ]


def test_what_would_be_undone_is_told_for_each_point() -> None:
    steps = (
        a_step("hold"),
        a_step("tell", compensation=None, dependsOn=[]),
        a_step("pay", kind="pivot", dependsOn=["hold", "tell"]),
    )
    ((words, points),) = explored(a_saga(*steps), runs_max=1).findings.plans
    assert words == ""
    assert [(point.asked, [undo.step for undo in point.undos]) for point in points] == [
        (("hold", "tell"), ["tell", "hold"]),
        (("tell",), ["tell", "hold"]),
        (("pay",), []),
        ((), []),
    ]
    assert points[0].stays == (("tell", Stays.NO_COMPENSATION),)
    assert [undo.compensation for undo in points[0].undos] == [None, "unhold"]
    assert [point.pivot for point in points] == [None, None, "pay", None]


def test_not_more_runs_are_played_than_are_wanted() -> None:
    for runs_max in (1, 5, 30):
        found = explored(a_saga(a_step("hold"), a_step("pay")), runs_max=runs_max)
        assert found.runs == runs_max
        assert found.left_out
    told: list[tuple[int, int]] = []
    explore(a_saga(a_step("pay")), [NOTHING], runs_max=20, progress=lambda *far: told.append(far))
    assert [played for played, _ in told] == list(range(1, 21))
    assert told[-1] == (20, 20)


def test_a_large_saga_is_bounded_by_what_its_runs_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploring, "EFFORT_MAX", 1_500)
    few = explored(a_saga(*(a_step(f"s{number}") for number in range(6))))
    monkeypatch.setattr(exploring, "EFFORT_MAX", 3_000)
    more = explored(a_saga(*(a_step(f"s{number}") for number in range(6))))
    assert 10 < few.runs < more.runs < 100


@pytest.mark.usefixtures("few_ways")
def test_the_same_exploration_finds_the_same() -> None:
    first, again = (explored(a_saga(a_step("pay")), runs_max=50) for _ in range(2))
    assert again.findings.calls == first.findings.calls
    assert again.findings.ends == first.findings.ends
    assert again.findings.needs_person == first.findings.needs_person


def test_a_broken_law_is_told_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(came_of_it: Rehearsed) -> list[str]:
        laws = broken_laws(came_of_it)
        return ["it went well"] if came_of_it.saga.status is Status.COMPLETED else laws

    monkeypatch.setattr("coordinator.simulation.findings.broken_laws", broken)
    found = explore(a_saga(a_step("pay")), [NOTHING], runs_max=1)
    assert found.findings.broken_runs == 1
    assert found.findings.broken_shown == [("all goes well", ("it went well",))]


def test_a_saga_that_never_rests_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(rehearsal: Rehearsal) -> Rehearsed:
        raise NeverRests("all wait, and none of them for a moment")

    monkeypatch.setattr(exploring, "rehearse", never)
    found = explore(a_saga(a_step("pay")), [NOTHING], runs_max=1)
    assert found.runs == 0
    assert found.findings.broken_shown == [("all goes well", ("all wait, and none of them for a moment",))]


def test_findings_of_nothing_are_nothing() -> None:
    assert Findings(a_saga(a_step("pay")), EVALUATE).needs_person == []
