"""Whether an operator may act: by id, by what they saw, by what the saga is; and what they are told of it."""

from dataclasses import replace

import pytest

from coordinator.domain.actions import (
    END_OF_UNREADABLE,
    STEPS_AT_ISSUE_MAX,
    Action,
    Effect,
    action_event,
    effect_of,
    end_unreadable,
    possible_actions,
)
from coordinator.domain.definition import StepKind
from coordinator.domain.errors import (
    ActionIdTaken,
    IllegalTransition,
    InvalidRequest,
    SagaEnded,
    SagaMoved,
)
from coordinator.domain.events import OperatorActed, Verb
from coordinator.domain.ids import ActionId, StepName
from coordinator.domain.saga import SAGA_DATA_BYTES_MAX, Status
from tests.unit.machine.tale import FAULT, REFUSAL, Tale, define, only_paths, step

B = StepName("b")


def running() -> Tale:
    return Tale(define("a", "b", "c")).does("1").begins()


def dead_letter() -> Tale:
    return Tale(define("a", "b", "c")).does("1", "2").fails(REFUSAL).fails(REFUSAL)


def wanted(tale: Tale, verb: Verb, name: str | None = "b", *, output: str | None = None) -> Action:
    return Action(
        ActionId("act-1"), "ada", "why", len(tale.history), verb, StepName(name) if name else None, output
    )


def judged(tale: Tale, action: Action, *, set_aside: bool = False) -> OperatorActed | None:
    return action_event(tale.saga, action, seq=len(tale.history), at=tale.now, set_aside=set_aside)


def done(tale: Tale, action: Action) -> OperatorActed:
    event = judged(tale, action)
    assert event is not None
    tale.happens(event)
    return event


def test_an_action_becomes_an_event_that_tells_who_did_what_and_why() -> None:
    tale = running()
    action = wanted(tale, Verb.COMPLETE, output='{"n":1}')
    assert judged(tale, action) == OperatorActed(
        tale.now, Verb.COMPLETE, ActionId("act-1"), "ada", "why", B, '{"n":1}'
    )


def test_the_same_action_again_is_known_whatever_has_become_of_the_saga_since() -> None:
    tale = running()
    action = wanted(tale, Verb.COMPLETE, output='{"n":1}')
    done(tale, action)
    assert judged(tale, action) is None
    tale.fails(REFUSAL)
    assert judged(tale, action) is None, "it has turned back, where a COMPLETE takes no output"
    tale.undoes_what_is_left()
    assert tale.status is Status.COMPENSATED
    assert judged(tale, action) is None
    assert judged(tale, replace(action, seq_seen=1)) is None, "what was seen is no part of it"


def test_a_complete_without_an_output_is_known_again_after_the_saga_turned_back() -> None:
    tale = running()
    action = wanted(tale, Verb.COMPLETE)
    done(tale, action)
    tale.fails(REFUSAL)
    assert judged(tale, action) is None
    assert judged(tale, replace(action, output="null")) is None


@pytest.mark.parametrize(
    "other",
    [
        {"verb": Verb.SKIP},
        {"step": StepName("c")},
        {"actor": "bob"},
        {"reason": "other"},
        {"output": '{"n":2}'},
        {"output": None},
    ],
)
def test_an_action_id_acts_once_and_in_one_way(other: dict[str, object]) -> None:
    tale = running()
    action = wanted(tale, Verb.COMPLETE, output='{"n":1}')
    done(tale, action)
    with pytest.raises(ActionIdTaken, match="'act-1' was used before on saga saga-1"):
        judged(tale, replace(action, **other))  # type: ignore[arg-type]


def test_an_action_on_what_has_moved_is_refused_with_where_the_saga_is_now() -> None:
    tale = running()
    seen = wanted(tale, Verb.SKIP)
    tale.is_answered(FAULT)
    for stale in (seen, replace(seen, seq_seen=99)):
        with pytest.raises(SagaMoved) as caught:
            judged(tale, stale)
        assert (caught.value.seq, caught.value.status) == (len(tale.history), Status.RUNNING)


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.TERMINATE])
def test_a_saga_that_is_to_be_stopped_may_have_moved_since_anybody_looked(verb: Verb) -> None:
    tale = running()
    stop = replace(wanted(tale, verb, None), seq_seen=0)
    tale.is_answered(FAULT)
    done(tale, stop)
    assert judged(tale, stop) is None, "it is done once, whatever was seen"
    with pytest.raises(ActionIdTaken):
        judged(tale, replace(stop, reason="other"))
    with pytest.raises(SagaMoved):
        judged(tale, replace(stop, id=ActionId("act-2"), seq_seen=1))


@pytest.mark.parametrize("verb", [Verb.RETRY, Verb.SKIP, Verb.COMPLETE, Verb.FAIL])
def test_nobody_acts_on_a_step_without_having_looked_at_the_saga(verb: Verb) -> None:
    tale = running()
    with pytest.raises(SagaMoved):
        judged(tale, replace(wanted(tale, verb), seq_seen=0))


def test_an_output_is_only_taken_for_a_step_going_forward() -> None:
    tale = dead_letter()
    with pytest.raises(InvalidRequest, match="output_json: expected none"):
        judged(tale, wanted(tale, Verb.COMPLETE, output="1"))
    event = judged(tale, wanted(tale, Verb.COMPLETE))
    assert event is not None
    assert event.output is None


def test_who_skips_or_fails_a_step_vouches_for_no_output() -> None:
    for verb in (Verb.SKIP, Verb.FAIL):
        event = judged(running(), wanted(running(), verb))
        assert event is not None
        assert event.output is None


def test_an_output_is_held_to_what_a_saga_may_hold() -> None:
    tale = running()
    free = SAGA_DATA_BYTES_MAX - tale.saga.data_bytes
    largest = '"' + "x" * (free - 2) + '"'
    assert judged(tale, wanted(tale, Verb.COMPLETE, output=largest)) is not None
    with pytest.raises(InvalidRequest, match="more than 1572864 bytes"):
        judged(tale, wanted(tale, Verb.COMPLETE, output=largest[:-1] + 'x"'))
    done(tale, wanted(tale, Verb.COMPLETE, output=largest))
    assert judged(tale, wanted(tale, Verb.COMPLETE, output=largest)) is None


def test_that_there_is_no_such_step_is_told_when_its_output_has_been_taken() -> None:
    tale = running()
    event = judged(tale, wanted(tale, Verb.COMPLETE, "nowhere", output="1"))
    assert event is not None
    with pytest.raises(IllegalTransition, match="has no step 'nowhere'"):
        effect_of(tale.saga, event, only_paths)


def test_a_saga_that_has_ended_says_so_whatever_else_is_wrong() -> None:
    tale = Tale(define("a", "b")).does("1").fails(REFUSAL)
    tale.undoes_what_is_left()
    for action in (
        wanted(tale, Verb.COMPLETE, output="1"),
        wanted(tale, Verb.RETRY, None),
        wanted(tale, Verb.SKIP, "nowhere"),
    ):
        for set_aside in (False, True):
            event = judged(tale, action, set_aside=set_aside)
            assert event is not None
            with pytest.raises(SagaEnded, match="is COMPENSATED: nothing can be done"):
                effect_of(tale.saga, event, only_paths)


def test_a_saga_that_was_set_aside_can_only_be_retried_as_a_whole_or_terminated() -> None:
    tale = running()
    for verb in (Verb.RETRY, Verb.SKIP, Verb.COMPLETE, Verb.FAIL):
        with pytest.raises(IllegalTransition, match="was set aside: it can only be retried as a whole"):
            judged(tale, wanted(tale, verb), set_aside=True)
    with pytest.raises(IllegalTransition, match="was set aside"):
        judged(tale, wanted(tale, Verb.CANCEL, None), set_aside=True)
    with pytest.raises(IllegalTransition, match="was not set aside: say which step to retry"):
        judged(tale, wanted(tale, Verb.RETRY, None))
    for verb in (Verb.RETRY, Verb.TERMINATE):
        assert judged(tale, wanted(tale, verb, None), set_aside=True) is not None


def test_one_that_cannot_be_read_is_closed_by_whoever_saw_its_newest_record() -> None:
    row = replace(dead_letter().summary, error_message="It cannot be read back: damaged.")
    action = wanted(dead_letter(), Verb.TERMINATE, None)
    event, after = end_unreadable(row, action, at=7.0)
    assert event == OperatorActed(7.0, Verb.TERMINATE, ActionId("act-1"), "ada", "why")
    assert (after.seq, after.updated_at, after.due_at) == (row.seq + 1, 7.0, None)
    assert after.error_message == "Terminated by ada (why). It cannot be read back: damaged."
    with pytest.raises(SagaMoved):
        end_unreadable(row, replace(action, seq_seen=row.seq - 1), at=7.0)
    assert end_unreadable(row, replace(action, seq_seen=0), at=7.0) == (event, after)
    with pytest.raises(SagaEnded, match="is TERMINATED: nothing can be done to it any more"):
        end_unreadable(after, action, at=7.0)


def test_one_that_cannot_be_read_and_was_closed_waits_for_nobody_and_nothing() -> None:
    row = replace(dead_letter().summary, due_at=5.0, error_message="")
    assert (row.needs_person, row.signature is None) == (True, False)
    _, after = end_unreadable(row, wanted(dead_letter(), Verb.TERMINATE, None), at=7.0)
    assert (after.needs_person, after.signature, after.due_at) == (False, None, None)
    assert after.error_message == "Terminated by ada (why)."


def test_what_comes_of_closing_one_that_cannot_be_read_is_told_in_a_sentence() -> None:
    sentence = "The saga ends here for good and nothing more is called; "
    sentence += "what it did stands, and no record tells what."
    ended = Status.TERMINATED
    assert Effect(sentence, ended, ended, forced=True, planned=()) == END_OF_UNREADABLE


# What is told beforehand


def told(tale: Tale, verb: Verb, name: str | None = "b") -> str:
    set_aside = verb is Verb.RETRY and name is None
    event = judged(tale, wanted(tale, verb, name), set_aside=set_aside)
    assert event is not None
    return effect_of(tale.saga, event, only_paths).sentence


def test_each_effect_is_told_in_a_sentence() -> None:
    waiting = running().is_answered(FAULT, draw=1.0)
    assert told(waiting, Verb.RETRY) == "do_b at b_service is asked again at once, under the same key."
    assert told(waiting, Verb.RETRY, None) == "The saga is driven on from where its journal ends."
    assert told(waiting, Verb.SKIP) == (
        "The saga goes on without do_b at b_service; if it has an effect, that stands."
    )
    assert told(waiting, Verb.COMPLETE) == (
        "The saga goes on as if do_b at b_service had succeeded with the output null."
    )
    assert effect(waiting, Verb.COMPLETE, output="1").sentence == (
        "The saga goes on as if do_b at b_service had succeeded with this output."
    )
    assert told(waiting, Verb.FAIL) == (
        "do_b at b_service is given up and the saga turns back: what was begun is undone."
    )
    assert told(waiting, Verb.CANCEL, None) == "The saga turns back: what was begun is undone."
    assert told(waiting, Verb.TERMINATE, None) == (
        "The saga ends here for good, and nothing more is called; what they did stands: a, b."
    )


def test_each_effect_past_the_pivot_is_told_in_a_sentence() -> None:
    steps = (
        step("b", kind=StepKind.PIVOT, budget_s=5.0),
        step("c", kind=StepKind.RETRIABLE),
        step("d", kind=StepKind.RETRIABLE),
    )
    in_doubt = Tale(define(*steps)).begins().waits(5.0).is_answered(FAULT)
    assert told(in_doubt, Verb.RETRY) == (
        "do_b at b_service is asked again with a new budget, under the same key."
    )
    assert told(in_doubt, Verb.FAIL) == (
        "do_b at b_service is given up and the saga turns back: what was begun is undone."
    )
    assert effect(in_doubt, Verb.COMPLETE, output="null").sentence == (
        "The saga goes on as if do_b at b_service had succeeded with the output null."
    )
    behind = Tale(define(*steps)).passes("b").begins()
    assert told(behind, Verb.FAIL, "c") == (
        "do_c at c_service is given up and needs a person; what does not depend on it goes on."
    )
    assert told(behind.is_answered(REFUSAL), Verb.RETRY, "c") == (
        "do_c at c_service is asked again with a new budget, under a new key because it was refused."
    )


def test_each_effect_on_an_undo_is_told_in_a_sentence() -> None:
    refused = dead_letter()
    assert told(refused, Verb.RETRY) == (
        "undo_b at b_service is asked again with a new budget, under a new key because it was refused."
    )
    assert told(refused, Verb.SKIP) == (
        "undo_b at b_service is not done: the effect of b stays in place for good."
    )
    assert told(refused, Verb.COMPLETE) == "undo_b at b_service counts as done."
    spent = Tale(define(step("b", budget_s=5.0), "c")).does("1").fails(REFUSAL).begins().waits(5.0)
    assert told(spent.is_answered(FAULT), Verb.RETRY) == (
        "undo_b at b_service is asked again with a new budget, under the same key."
    )
    undoing = Tale(define(step("b", undo=None), "c")).begins().is_cancelled().begins()
    assert told(undoing, Verb.FAIL) == "barring do_b at b_service is given up and needs a person."
    assert told(undoing, Verb.CANCEL, None) == "Nothing changes: the saga is turning back already."
    assert told(undoing.is_answered(FAULT, draw=1.0), Verb.RETRY) == (
        "barring do_b at b_service is asked again at once, under the same key."
    )
    unsendable = step("b", compensation_input={"x": "input.nowhere"})
    assert told(Tale(define(unsendable, "c")).does("1").fails(REFUSAL).begins(), Verb.RETRY) == (
        "The expressions of b are evaluated again; over the same data they fail again."
    )


def test_a_plan_names_every_call_that_comes_if_all_succeed_and_where_that_ends() -> None:
    tale = dead_letter()
    event = judged(tale, wanted(tale, Verb.RETRY))
    assert event is not None
    effect = effect_of(tale.saga, event, only_paths)
    assert [command.key for command in effect.planned] == ["saga-1/b/compensate/2", "saga-1/a/compensate"]
    assert (effect.status_after, effect.status_in_the_end) == (Status.COMPENSATING, Status.COMPENSATED)
    assert not effect.forced


def test_what_can_be_done_is_listed_by_step_and_verb() -> None:
    def listed(tale: Tale, *, set_aside: bool = False) -> list[str]:
        events = possible_actions(tale.saga, at=tale.now, set_aside=set_aside)
        return [f"{event.verb} {event.step or ''}".strip() for event in events]

    assert listed(running()) == ["SKIP b", "COMPLETE b", "FAIL b", "CANCEL", "TERMINATE"]
    waiting = running().is_answered(FAULT, draw=1.0)
    assert listed(waiting) == ["RETRY b", "SKIP b", "COMPLETE b", "FAIL b", "CANCEL", "TERMINATE"]
    assert listed(waiting.waits(1.0)) == ["SKIP b", "COMPLETE b", "FAIL b", "CANCEL", "TERMINATE"]
    assert listed(dead_letter()) == ["RETRY b", "SKIP b", "COMPLETE b", "TERMINATE"]
    assert listed(running(), set_aside=True) == ["RETRY", "TERMINATE"]
    assert listed(Tale(define("a")).does("1")) == []
    steps = [step(name, on_failure="continue", depends_on=[]) for name in "abcde"]
    undoing = Tale(define(*steps, step("f", depends_on=[*"abcde"]))).passes(*"abcde").fails(REFUSAL)
    undoing.passes("a").fails(REFUSAL, of="b").begins("c").begins("d").is_answered(FAULT, of="d", draw=1.0)
    assert listed(undoing) == [
        *("RETRY b", "SKIP b", "COMPLETE b"),
        *("SKIP c", "COMPLETE c", "FAIL c"),
        *("RETRY d", "SKIP d", "COMPLETE d", "FAIL d"),
        *("SKIP e", "COMPLETE e"),
        "TERMINATE",
    ]


def test_what_could_be_done_is_nobody_s_yet() -> None:
    for event in possible_actions(running().saga, at=7.0):
        assert (event.at, event.action_id, event.actor, event.reason, event.output) == (7.0, "", "", "", None)


def test_of_very_many_steps_not_more_are_listed_than_a_person_can_look_at_and_the_failed_ones_first() -> None:
    beside = [f"s{n}" for n in range(STEPS_AT_ISSUE_MAX + 5)]
    retriables = (step(name, kind=StepKind.RETRIABLE, depends_on=["p"]) for name in beside)
    tale = Tale(define(step("p", kind=StepKind.PIVOT), *retriables, max_parallel=100)).passes("p")
    tale.fails(REFUSAL, of=beside[-1])
    listed = {event.step for event in possible_actions(tale.saga, at=tale.now)} - {None}
    assert len(listed) == 20
    assert listed == {*beside[: STEPS_AT_ISSUE_MAX - 1], beside[-1]}
    named = judged(tale, wanted(tale, Verb.SKIP, beside[-2]))
    assert named is not None
    after = effect_of(tale.saga, named, only_paths).status_after
    assert after is Status.RUNNING, "each of the others can be acted on by its name"


def effect(tale: Tale, verb: Verb, name: str | None = "b", output: str | None = None) -> Effect:
    action = replace(wanted(tale, verb, name), output=output)
    event = judged(tale, action)
    assert event is not None
    return effect_of(tale.saga, event, only_paths)


def test_what_is_told_beforehand_knows_of_the_expressions_that_will_fail() -> None:
    reads = step("b", input={"of": "outputs.a.id"})
    waiting = Tale(define("a", reads)).fails(FAULT)
    skipped = effect(waiting, Verb.SKIP, "a")
    assert [command.key for command in skipped.planned] == ["saga-1/a/compensate"]
    assert skipped.status_in_the_end is Status.COMPENSATED
    vouched = effect(waiting, Verb.COMPLETE, "a", '{"id":7}')
    assert [command.step for command in vouched.planned] == ["b"]
    assert vouched.status_in_the_end is Status.COMPLETED
    without = effect(waiting, Verb.COMPLETE, "a")
    assert "with the output null" in without.sentence
    assert without.status_in_the_end is Status.COMPENSATED


def test_what_a_step_will_answer_is_not_known_so_what_reads_it_is_taken_to_go_well() -> None:
    reads = step("c", input={"of": "outputs.b.id"}, when="outputs.b.wanted")
    asked = effect(Tale(define("a", "b", reads)).fails(FAULT), Verb.RETRY, "a")
    assert [command.step for command in asked.planned] == ["a", "b", "c"]
    assert asked.status_in_the_end is Status.COMPLETED


def test_what_is_told_beforehand_leaves_out_a_step_whose_condition_does_not_hold() -> None:
    conditional = step("b", when="input.wanted")
    tale = Tale(define("a", conditional, "c"), '{"wanted":false}').fails(FAULT)
    asked = effect(tale, Verb.RETRY, "a")
    assert [command.step for command in asked.planned] == ["a", "c"]
    assert asked.status_in_the_end is Status.COMPLETED


@pytest.mark.parametrize(
    ("output", "end"), [("outputs.a.id", Status.COMPLETED), ("input.nowhere", Status.COMPENSATED)]
)
def test_an_output_made_of_what_nobody_knows_yet_is_taken_to_be_made(output: str, end: Status) -> None:
    tale = Tale(define("a", output={"id": output})).fails(FAULT)
    assert effect(tale, Verb.RETRY, "a").status_in_the_end is end


def test_an_expression_that_failed_is_said_to_be_evaluated_again_and_not_asked() -> None:
    steps = (step("a", kind=StepKind.PIVOT), step("b", kind=StepKind.RETRIABLE, input={"x": "input.nowhere"}))
    stuck = Tale(define(*steps)).passes("a").begins("b")
    again = effect(stuck, Verb.RETRY)
    assert again.sentence == "The expressions of b are evaluated again; over the same data they fail again."
    assert (again.planned, again.status_in_the_end) == ((), Status.DEAD_LETTERED)


def test_of_very_many_undos_the_failed_ones_are_listed_first_and_then_those_that_have_begun() -> None:
    beside = [f"s{n}" for n in range(STEPS_AT_ISSUE_MAX + 5)]
    steps = (step(name, depends_on=[], on_failure="continue") for name in beside)
    last = step("last", depends_on=beside)
    tale = Tale(define(*steps, last, max_parallel=100)).passes(*beside).fails(REFUSAL, of="last")
    tale.begins(*beside[:STEPS_AT_ISSUE_MAX]).fails(REFUSAL, of=beside[-1])
    listed = {event.step for event in possible_actions(tale.saga, at=tale.now)} - {None}
    assert listed == {*beside[: STEPS_AT_ISSUE_MAX - 1], beside[-1]}


def test_what_is_undone_takes_no_others_place_in_the_list() -> None:
    beside = [f"s{n}" for n in range(STEPS_AT_ISSUE_MAX + 5)]
    steps = (step(name, depends_on=[]) for name in beside)
    tale = Tale(define(*steps, step("last", depends_on=beside), max_parallel=100)).passes(*beside)
    tale.fails(REFUSAL, of="last").passes(*beside[:STEPS_AT_ISSUE_MAX])
    listed = {event.step for event in possible_actions(tale.saga, at=tale.now)} - {None}
    assert listed == set(beside[STEPS_AT_ISSUE_MAX:])


def test_vouching_for_a_step_is_told_as_without_an_output_until_one_is_given() -> None:
    tale = running()
    (complete,) = (e for e in possible_actions(tale.saga, at=tale.now) if e.verb is Verb.COMPLETE)
    assert effect_of(tale.saga, complete, only_paths).sentence == (
        "The saga goes on as if do_b at b_service had succeeded with the output null."
    )


def test_ending_a_saga_that_did_nothing_names_nothing() -> None:
    assert told(Tale(define("a")), Verb.TERMINATE, None) == (
        "The saga ends here for good, and nothing more is called."
    )


def test_ending_a_saga_names_also_what_nothing_undoes() -> None:
    tale = Tale(define(step("a", undo=None), "b")).passes("a").fails(FAULT)
    assert told(tale, Verb.TERMINATE, None) == (
        "The saga ends here for good, and nothing more is called; what they did stands: a, b."
    )
