"""What conditions and mappings come to in a saga: decided once, journaled before anything is sent; and what
comes of one that fails. Expressions here are plain paths: what CEL makes of others is tested where CEL is.
"""

import json
from typing import Any, Final

import pytest

from coordinator.domain.commands import Compensate, Invoke
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import IllegalTransition
from coordinator.domain.events import (
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    StepBegun,
    StepOmitted,
    UndoBegun,
    Verb,
)
from coordinator.domain.ids import ActionId, FencingToken, StepName
from coordinator.domain.outcomes import NoProof, Succeeded, Unproved
from coordinator.domain.saga import (
    CALL_BYTES_MAX,
    SHAPED_BYTES_MAX,
    AbortKind,
    Heading,
    Status,
    StepOutcome,
    UndoOutcome,
)
from coordinator.domain.summary import DeadLetterCause, Signature
from coordinator.engine.dispatcher import call_for
from coordinator.ports.participants import CompensateCall
from tests.unit.machine.tale import BORN_AT, DONE, REFUSAL, Tale, define, follows, pivot, retriable, step

INPUT: Final = '{"n":1,"no":false,"who":{"name":"Ada"},"yes":true}'
BOOKED: Final = Succeeded('{"ref":"r-1"}')
MISSING: Final = {"x": "input.missing"}
"""What fails."""


def tale_of(*steps: Any, **others: Any) -> Tale:
    return Tale(define(*steps, **others), INPUT)


def acted(verb: Verb, name: str | None = None, output: str | None = None) -> OperatorActed:
    named = None if name is None else StepName(name)
    return OperatorActed(BORN_AT, verb, ActionId(f"{verb} {name}"), "ada", "why", named, output)


def sent(tale: Tale, name: str | None = None) -> str:
    """What goes out with what is to be done about the step of that name."""
    return call_for(tale.saga, tale.call(name), FencingToken(1), "").input


# What is sent


def test_what_a_mapping_yields_is_journaled_when_the_step_begins_and_is_what_every_attempt_sends() -> None:
    mapping = {"to": "input.who.name", "of": ["outputs.a.ref", None, 7], "all": {"n": "input.n"}}
    tale = tale_of("a", step("b", input=mapping)).begins().is_answered(BOOKED).begins()
    text = '{"all":{"n":1},"of":["r-1",null,7],"to":"Ada"}'
    assert tale.history[-1] == StepBegun(BORN_AT, StepName("b"), text)
    assert tale.step("b").input == sent(tale) == text
    assert sent(tale.is_resumed()) == text


def test_where_there_is_no_mapping_nothing_is_journaled_and_all_that_came_before_is_sent() -> None:
    steps = ("a", step("b", depends_on=["a"]), step("c", depends_on=["a"]), step("d", depends_on=["b"]))
    tale = tale_of(*steps).passes("a", "b", "c").begins("d")
    assert tale.history[-1] == StepBegun(BORN_AT, StepName("d"))
    assert json.loads(sent(tale)) == {**json.loads(INPUT), "outputs": {"a": "a", "b": "b"}}, "and not c's"


def test_an_empty_mapping_sends_an_empty_object() -> None:
    assert sent(tale_of(step("a", input={})).begins()) == "{}"


def test_the_default_output_stands_for_that_of_a_step_that_was_omitted_and_of_no_other() -> None:
    def told(condition: str) -> str:
        a = step("a", when=condition, default_output={"ref": None})
        tale = tale_of(a, step("b", input={"ref": "outputs.a.ref"})).settles()
        if tale.at_hand == ["a"]:
            tale.begins().is_answered(BOOKED)
        return sent(tale.begins())

    assert told("input.no") == '{"ref":null}'
    assert told("input.yes") == '{"ref":"r-1"}'


def test_the_default_output_stands_for_that_of_a_step_that_was_skipped_by_hand() -> None:
    definition = define(step("a", default_output={"ref": 0}), step("b", input={"ref": "outputs.a.ref"}))
    skipped = Tale(definition, INPUT).happens(acted(Verb.SKIP, "a"))
    assert sent(skipped.begins()) == '{"ref":0}'
    vouched = Tale(definition, INPUT).happens(acted(Verb.COMPLETE, "a", '{"ref":9}'))
    assert sent(vouched.begins()) == '{"ref":9}'


def test_a_condition_sees_what_came_before() -> None:
    tale = tale_of("a", step("b", when="outputs.a.wanted"), step("c", when="outputs.a.wanted"))
    tale.begins().is_answered(Succeeded('{"wanted":false}')).settles()
    assert [type(event) for event in tale.history[-2:]] == [StepOmitted, StepOmitted]
    assert tale.status is Status.COMPLETED


def test_an_undo_gets_what_its_execute_got_unless_it_has_a_mapping_of_its_own() -> None:
    mapping, own = {"n": "input.n"}, {"ref": "outputs.a.ref", "to": "input.who.name"}
    for others, text in (
        ({"input": mapping}, '{"n":1}'),
        ({"input": mapping, "compensation_input": own}, '{"ref":"r-1","to":"Ada"}'),
        ({"input": ("n",), "compensation_input": own}, '{"ref":"r-1","to":"Ada"}'),
        ({"input": ("n",)}, '{"n":1}'),
    ):
        tale = tale_of(step("a", **others), "b").begins().is_answered(BOOKED).is_cancelled().begins()
        assert isinstance(tale.call(), Compensate)
        assert sent(tale) == text
        journaled = text if "compensation_input" in others else None
        assert tale.history[-1] == UndoBegun(BORN_AT, StepName("a"), BOOKED.output, journaled)
        assert sent(tale.is_resumed()) == text


def test_an_undo_of_which_no_output_is_known_sees_the_default() -> None:
    own = {"ref": "outputs.a.ref"}
    tale = tale_of(step("a", default_output={"ref": None}, compensation_input=own), "b").begins()
    assert sent(tale.is_cancelled().begins()) == '{"ref":null}'


def test_what_an_undo_is_given_stays_though_the_output_comes_later() -> None:
    own = {"ref": "outputs.a.ref"}
    tale = tale_of(step("a", default_output={"ref": None}, compensation_input=own), "b").begins()
    execute = tale.call()
    tale.is_cancelled().begins().is_answered(BOOKED, call=execute)
    assert (tale.undo("a").receipt, sent(tale)) == (None, '{"ref":null}')


def test_the_undo_of_a_step_that_was_never_begun_gets_what_its_execute_would_have_got() -> None:
    """A person vouched for it, so it counts as begun."""
    tale = tale_of(step("a", input={"n": "input.n"}), "b").happens(acted(Verb.COMPLETE, "a", '"done"'))
    tale.is_cancelled().begins()
    assert (sent(tale), tale.undo("a").receipt) == ('{"n":1}', '"done"')


def test_an_undo_without_a_mapping_of_its_own_gets_what_its_execute_got_and_nothing_is_journaled_twice() -> (
    None
):
    mapped = step("a", input={"n": "input.n"})
    tale = tale_of(mapped, "b").passes("a").is_cancelled().begins()
    assert tale.history[-1] == UndoBegun(BORN_AT, StepName("a"), '"a"', None)
    assert sent(tale) == '{"n":1}'
    own = step("a", input={"n": "input.n"}, compensation_input={"of": "outputs.a"})
    tale = tale_of(own, "b").passes("a").is_cancelled().begins()
    assert tale.history[-1] == UndoBegun(BORN_AT, StepName("a"), '"a"', '{"of":"a"}')
    assert sent(tale) == '{"of":"a"}'


def test_it_is_told_where_the_input_of_an_undo_could_not_be_made() -> None:
    for own, place in (
        (step("a", input=MISSING), "input"),
        (step("a", compensation_input=MISSING), "compensationInput"),
    ):
        tale = tale_of(own, "b").happens(acted(Verb.COMPLETE, "a")).is_cancelled().begins()
        assert tale.undo("a").unsendable == f'{place}.x: input has no field "missing"'


def test_an_undo_is_sent_if_what_it_is_given_and_the_receipt_fit_into_one_call_together() -> None:
    def why_not(size: int) -> str:
        tale = tale_of(step("a", compensation_input={"o": "outputs.a"}), "b").begins()
        tale.is_answered(Succeeded(json.dumps("x" * (size - 2)))).is_cancelled().begins()
        return tale.undo("a").unsendable

    half = (CALL_BYTES_MAX - len('{"o":}')) // 2
    assert why_not(half) == ""
    assert why_not(half + 1) == "compensationInput: this and the step's output take more than 1835008 bytes"


def test_what_was_skipped_by_hand_has_no_output_to_send() -> None:
    tale = tale_of("a", "b").happens(acted(Verb.SKIP, "a")).begins()
    assert json.loads(sent(tale)) == {**json.loads(INPUT), "outputs": {}}


# The saga's output


def with_output(*steps: Any, output: dict[str, Any]) -> Tale:
    return tale_of(*steps, output=output)


def test_the_output_is_made_when_the_last_step_has_passed_and_not_before() -> None:
    tale = with_output("a", "b", output={"refs": ["outputs.a", "outputs.b"], "n": "input.n"}).passes("a")
    with pytest.raises(IllegalTransition, match="its output is not to be made now"):
        tale.happens(OutputShaped(tale.now, "{}"))
    tale.passes("b")
    assert (tale.status, tale.at_hand, tale.summary.due_at) == (Status.RUNNING, [], None)
    assert tale.settles().history[-1] == OutputShaped(BORN_AT, '{"n":1,"refs":["a","b"]}')
    assert (tale.status, tale.saga.output) == (Status.COMPLETED, '{"n":1,"refs":["a","b"]}')
    with pytest.raises(IllegalTransition, match="its output is not to be made now"):
        tale.happens(OutputShaped(tale.now, "{}"))


def test_the_output_sees_the_defaults_of_steps_that_were_omitted() -> None:
    a = step("a", when="input.no", default_output={"ref": None})
    assert with_output(a, output={"ref": "outputs.a.ref"}).settles().saga.output == '{"ref":null}'


def test_an_output_that_cannot_be_made_undoes_a_saga_without_a_pivot() -> None:
    tale = with_output("a", output=MISSING).passes("a").settles()
    assert tale.saga.abort is not None
    assert (tale.saga.abort.kind, tale.saga.abort.step) == (AbortKind.EXPRESSION, None)
    assert tale.summary.error_message == (
        'An expression of the saga failed, at output.x: input has no field "missing". '
        "What was begun is being undone."
    )
    assert tale.undoes_what_is_left() == ["a"]
    assert tale.status is Status.COMPENSATED


def test_an_output_that_cannot_be_made_past_the_pivot_is_left_out_and_flagged() -> None:
    tale = with_output(pivot("a"), output=MISSING).passes("a").settles()
    assert (tale.status, tale.saga.output, tale.summary.needs_person) == (Status.COMPLETED, None, False)
    assert tale.saga.flags == ('output.x: input has no field "missing"',)
    with pytest.raises(IllegalTransition, match="its output is not to be made now"):
        tale.happens(ExpressionFailed(tale.now, None, "output", ""))


def test_an_output_that_cannot_be_made_leaves_earlier_flags_standing() -> None:
    reused = NoProof(Unproved.KEY_REUSED, "KEY_REUSED", "")
    tale = with_output(pivot("a"), output=MISSING).fails(reused).is_answered(DONE).settles()
    assert tale.saga.flags == ("a: KEY_REUSED", 'output.x: input has no field "missing"')


def test_a_saga_that_waits_for_its_output_can_still_be_cancelled_before_its_pivot() -> None:
    tale = with_output("a", output={"n": "input.n"}).passes("a").is_cancelled()
    assert follows(tale.saga, tale.now) is None
    assert tale.undoes_what_is_left() == ["a"]


def test_nothing_follows_in_a_saga_that_a_person_has_ended_while_it_waited_for_its_output() -> None:
    tale = with_output("a", output={"n": "input.n"}).passes("a").happens(acted(Verb.TERMINATE))
    assert (tale.status, follows(tale.saga, tale.now)) == (Status.TERMINATED, None)
    with pytest.raises(IllegalTransition, match="its output is not to be made now"):
        tale.happens(OutputShaped(tale.now, "{}"))


def test_a_saga_with_a_step_that_is_stuck_makes_its_output_when_a_person_has_helped_it_on() -> None:
    tale = with_output(pivot("a"), retriable("b"), output={"a": "outputs.a"}).passes("a").fails(REFUSAL)
    assert (tale.status, follows(tale.saga, tale.now)) == (Status.DEAD_LETTERED, None)
    tale.happens(acted(Verb.SKIP, "b"))
    assert tale.status is Status.RUNNING
    assert tale.settles().saga.output == '{"a":"a"}'


# An expression that fails: before the pivot


def before_pivot(**others: Any) -> Tale:
    """`b` has an expression that fails, and `c`, beside it, is under way."""
    steps = (
        "a",
        step("b", depends_on=["a"], **others),
        step("c", depends_on=["a"]),
        pivot("d", depends_on=["b", "c"]),
    )
    return tale_of(*steps).passes("a").begins("c")


@pytest.mark.parametrize(
    ("others", "place", "sentence"),
    [
        ({"when": "input.missing"}, "when", 'input has no field "missing"'),
        ({"when": "input.n"}, "when", "expected true or false, found a number"),
        ({"input": MISSING}, "input.x", 'input has no field "missing"'),
        (
            {"input": {"of": [1, "outputs.a.ref"]}},
            "input.of[1]",
            "expected outputs.a to be an object, found a text",
        ),
        ({"input": {"x": "outputs.c"}}, "input.x", "no output of step c is known"),
        ({"input": {"x": "1 + 1"}}, "input.x", "this needs CEL"),
    ],
)
def test_before_the_pivot_an_expression_that_fails_turns_the_saga_back_and_says_which_and_why(
    others: dict[str, Any], place: str, sentence: str
) -> None:
    tale = before_pivot(**others)
    if "when" in others:
        tale.settles()
    else:
        tale.begins("b")
    assert tale.history[-1] == ExpressionFailed(BORN_AT, StepName("b"), place, sentence)
    assert tale.saga.abort is not None
    assert (tale.saga.abort.kind, tale.saga.abort.step) == (AbortKind.EXPRESSION, "b")
    assert tale.summary.error_message.startswith(f"An expression of step b failed, at {place}: {sentence}.")
    assert (tale.step("b").begun, tale.at_hand) == (False, ["c"]), "b was never begun"
    assert tale.passes("c").at_hand == ["a"]
    assert tale.passes("a").status is Status.COMPENSATED


def test_an_expression_sees_only_what_its_step_depends_on_though_more_is_known() -> None:
    """Else what it yields would hang on who answers first."""
    tale = tale_of(step("a", depends_on=[]), step("b", depends_on=[], input={"x": "outputs.a"})).passes("a")
    tale.begins("b")
    assert tale.history[-1] == ExpressionFailed(
        BORN_AT, StepName("b"), "input.x", "no output of step a is known"
    )


def test_the_pivots_own_expression_fails_before_anything_is_decided() -> None:
    tale = tale_of("a", pivot("b", input=MISSING)).passes("a").begins()
    assert (tale.saga.heading, tale.saga.is_decided) == (Heading.BACKWARD, False)
    assert tale.undoes_what_is_left() == ["a"]


def test_an_output_that_nobody_knows_since_its_step_was_skipped_fails_what_names_it() -> None:
    tale = tale_of("a", step("b", input={"ref": "outputs.a.ref"})).happens(acted(Verb.SKIP, "a")).begins()
    assert tale.history[-1] == ExpressionFailed(
        BORN_AT, StepName("b"), "input.ref", "no output of step a is known"
    )
    assert tale.status is Status.COMPENSATED


# Past the pivot


def past_pivot(**others: Any) -> Tale:
    """`b` has an expression that fails, and holds up `d`; `c` is beside it."""
    steps = (
        pivot("a"),
        retriable("b", depends_on=["a"], **others),
        retriable("c", depends_on=["a"]),
        retriable("d", depends_on=["b"]),
    )
    return tale_of(*steps).passes("a")


@pytest.mark.parametrize("others", [{"input": MISSING}, {"when": "input.missing"}], ids=["input", "when"])
def test_past_the_pivot_an_expression_that_fails_needs_a_person_and_what_is_beside_goes_on(
    others: dict[str, Any],
) -> None:
    tale = past_pivot(**others)
    tale = tale.settles() if "when" in others else tale.begins("b")
    assert (tale.status, tale.at_hand, tale.summary.needs_person) == (Status.RUNNING, ["c"], True)
    assert (tale.step("b").outcome, tale.step("b").begun) == (StepOutcome.FAILED, False)
    assert tale.passes("c").status is Status.DEAD_LETTERED
    assert tale.summary.signature == Signature(StepName("b"), DeadLetterCause.EXPRESSION)
    place = "when" if "when" in others else "input.x"
    assert tale.summary.error_message == (
        f'do_b at b_service needs a person: its expression failed at {place}: input has no field "missing", '
        "and past the pivot nothing is undone."
    )


def test_retried_by_hand_it_is_evaluated_again_under_the_same_key_and_number() -> None:
    tale = past_pivot(input=MISSING).begins("b").passes("c").happens(acted(Verb.RETRY, "b"))
    assert tale.call("b") == Invoke(StepName("b"), 1, tale.call("b").key, None)
    assert tale.call("b").key == "saga-1/b/execute"
    assert (tale.status, tale.step("b").attempt) == (Status.RUNNING, 1)
    assert tale.begins("b").status is Status.DEAD_LETTERED, "over the same data it fails again"


def test_retried_by_hand_it_may_come_to_something_once_our_fault_is_mended() -> None:
    tale = past_pivot(input=MISSING).begins("b").passes("c").happens(acted(Verb.RETRY, "b"))
    tale.happens(StepBegun(tale.now, StepName("b"), '{"x":1}'))
    assert sent(tale) == '{"x":1}'
    assert tale.passes("b", "d").status is Status.COMPLETED
    assert not tale.saga.forced


def test_what_is_sent_in_the_end_and_refused_is_stuck_for_that() -> None:
    tale = past_pivot(input=MISSING).begins("b").passes("c").happens(acted(Verb.RETRY, "b"))
    tale.happens(StepBegun(tale.now, StepName("b"), '{"x":1}')).is_answered(REFUSAL)
    assert tale.summary.signature == Signature(StepName("b"), DeadLetterCause.REFUSED)


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE])
def test_a_person_passes_it_over_or_vouches_for_it_and_the_saga_goes_on(verb: Verb) -> None:
    tale = past_pivot(input=MISSING).begins("b").passes("c").happens(acted(verb, "b"))
    assert tale.at_hand == ["d"]
    assert tale.passes("d").status is Status.COMPLETED
    assert tale.saga.forced


# In an undo


def undoing(**others: Any) -> Tale:
    """`b` follows `a`, and `c` is beside them; the undo of `b` is about to begin."""
    steps = (
        "a",
        step("b", depends_on=["a"], compensation_input={"ref": "outputs.b.ref"}, default_output={}, **others),
        step("c", depends_on=[]),
    )
    return tale_of(*steps).passes("a", "c").begins("b")


def test_in_an_undo_it_needs_a_person_and_blocks_what_its_step_depends_on_and_nothing_else() -> None:
    tale = undoing().is_cancelled().begins("b")
    place, sentence = "compensationInput.ref", 'outputs.b has no field "ref"'
    assert tale.history[-1] == ExpressionFailed(BORN_AT, StepName("b"), place, sentence)
    assert (tale.status, tale.at_hand, tale.summary.needs_person) == (Status.COMPENSATING, ["c"], True)
    assert tale.passes("c").status is Status.DEAD_LETTERED
    assert tale.summary.signature == Signature(StepName("b"), DeadLetterCause.EXPRESSION)
    assert [state.name for state in tale.saga.left_standing] == ["b", "a"]


def test_in_an_undo_that_may_be_passed_over_it_blocks_nothing() -> None:
    tale = undoing(on_failure="continue").is_cancelled().begins("b")
    assert sorted(tale.at_hand) == ["a", "c"]
    assert tale.passes("a", "c").status is Status.DEAD_LETTERED


def test_retried_by_hand_an_undo_is_evaluated_again_and_then_sent_for_the_first_time() -> None:
    tale = undoing().is_cancelled().begins("b").passes("c").happens(acted(Verb.RETRY, "b"))
    assert tale.call("b").key == "saga-1/b/compensate"
    with pytest.raises(IllegalTransition, match="has no Compensate to answer"):
        tale.is_answered(DONE, of="b")
    assert tale.begins("b").status is Status.DEAD_LETTERED, "over the same data it fails again"
    tale.happens(replaced(acted(Verb.RETRY, "b"), "again"))
    tale.happens(UndoBegun(tale.now, StepName("b"), None, '{"ref":0}'))
    assert (sent(tale, "b"), tale.undo("b").attempt) == ('{"ref":0}', 1)
    assert tale.is_answered(DONE, of="b").passes("a").status is Status.COMPENSATED
    assert not tale.saga.forced


def test_an_undo_that_is_about_to_be_evaluated_again_has_no_attempt_to_lose_or_to_give_up() -> None:
    tale = undoing().is_cancelled().begins("b").passes("c").happens(acted(Verb.RETRY, "b")).is_resumed()
    assert tale.undo("b").attempt == 1
    with pytest.raises(IllegalTransition, match="the undo of step 'b' has not begun"):
        tale.happens(acted(Verb.FAIL, "b"))


def test_an_undo_that_is_evaluated_again_takes_along_the_receipt_that_has_come_since() -> None:
    tale = undoing()
    execute = tale.call("b")
    tale.is_cancelled().begins("b").is_answered(BOOKED, call=execute)
    assert tale.undo("b").outcome is UndoOutcome.FAILED
    tale.happens(acted(Verb.RETRY, "b")).begins("b")
    assert tale.history[-1] == UndoBegun(BORN_AT, StepName("b"), BOOKED.output, '{"ref":"r-1"}')
    call = call_for(tale.saga, tale.call("b"), FencingToken(1), "")
    assert isinstance(call, CompensateCall)
    assert (call.receipt, call.input) == (BOOKED.output, '{"ref":"r-1"}')


@pytest.mark.parametrize("verb", [Verb.SKIP, Verb.COMPLETE])
def test_a_person_settles_an_undo_that_cannot_be_sent(verb: Verb) -> None:
    tale = undoing().is_cancelled().begins("b").passes("c").happens(acted(verb, "b"))
    assert tale.at_hand == ["a"]
    assert tale.passes("a").status is Status.COMPENSATED
    assert (tale.saga.forced, tale.summary.needs_person) == (True, False)


def test_an_execute_whose_undo_cannot_be_sent_may_still_answer_and_that_changes_nothing_by_itself() -> None:
    tale = undoing()
    execute = tale.call("b")
    tale.is_cancelled().begins("b").is_answered(REFUSAL, call=execute)
    assert tale.undo("b").outcome is UndoOutcome.FAILED
    assert tale.passes("c").status is Status.DEAD_LETTERED


# When it can happen at all


def test_no_expression_of_a_step_fails_that_is_not_about_to_begin() -> None:
    tale = tale_of("a", "b").begins()
    for name in ("a", "b", "nowhere"):
        with pytest.raises(IllegalTransition, match=f"'{name}' cannot begin now"):
            tale.happens(ExpressionFailed(tale.now, StepName(name), "input", ""))
    with pytest.raises(IllegalTransition, match="its output is not to be made now"):
        tale.happens(ExpressionFailed(tale.now, None, "output", ""))


def test_no_expression_of_an_undo_fails_that_is_not_about_to_begin() -> None:
    tale = tale_of("a", "b").passes("a").begins("b").is_cancelled()
    for name in (StepName("a"), StepName("nowhere"), None):
        with pytest.raises(IllegalTransition, match=f"no undo of {name!r} begins now"):
            tale.happens(ExpressionFailed(tale.now, name, "compensationInput", ""))
    tale.begins("b")
    with pytest.raises(IllegalTransition, match="no undo of 'b' begins now"):
        tale.happens(ExpressionFailed(tale.now, StepName("b"), "compensationInput", ""))


# How much it may be


def large(size: int, *steps: Any) -> Tale:
    definition: SagaDefinition = define(*steps)
    return Tale(definition, json.dumps({"x": "x" * size}, separators=(",", ":")))


def test_what_a_mapping_yields_is_held_to_a_megabyte() -> None:
    twice = step("a", input={"x": "input.x", "yy": "input.x"})
    fits, left = divmod(SHAPED_BYTES_MAX - len('{"x":"","yy":""}'), 2)
    assert left == 0
    assert large(fits, twice).begins().status is Status.RUNNING
    tale = large(fits + 1, twice).begins()
    assert tale.history[-1] == ExpressionFailed(
        BORN_AT, StepName("a"), "input", f"what it yields takes more than {SHAPED_BYTES_MAX} bytes"
    )


def test_an_output_that_could_not_go_out_with_what_its_undo_is_given_counts_as_no_answer() -> None:
    mapping = {"x": "input.x", "y": "input.x"}
    room = CALL_BYTES_MAX - len(large(500_000, step("a", input=mapping)).begins().step("a").input or "")
    for size, kept in ((room, True), (room + 1, False)):
        tale = large(500_000, step("a", input=mapping), "b").begins()
        tale.is_answered(Succeeded('"' + "y" * (size - 2) + '"'))
        assert (tale.step("a").output is not None) == kept


def test_an_undo_that_would_be_too_large_with_its_receipt_needs_a_person() -> None:
    own = {"x": "input.x", "y": "input.x"}
    tale = large(500_000, step("a", input=(), compensation_input=own), "b").begins()
    tale.is_answered(Succeeded('"' + "y" * 1_000_000 + '"')).is_cancelled().begins()
    sentence = f"this and the step's output take more than {CALL_BYTES_MAX} bytes"
    assert tale.history[-1] == ExpressionFailed(BORN_AT, StepName("a"), "compensationInput", sentence)
    assert tale.status is Status.DEAD_LETTERED


def replaced(event: OperatorActed, action_id: str) -> OperatorActed:
    return OperatorActed(
        event.at, event.verb, ActionId(action_id), event.actor, event.reason, event.step, event.output
    )
