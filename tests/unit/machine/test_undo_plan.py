"""What is told of an undo beforehand is what comes; and what would be left is told, with why."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from coordinator.api.convert import to_undo_plan
from coordinator.domain.definition import StepKind
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.events import (
    OperatorActed,
    PivotBegun,
    StepBegun,
    StepSucceeded,
    Verb,
)
from coordinator.domain.ids import ActionId, StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Effort
from coordinator.domain.saga import StepState
from coordinator.domain.shown import shown_plan as shown
from coordinator.domain.shown import undo_plan as planning
from coordinator.domain.shown.masking import Masking
from coordinator.domain.shown.shown_plan import ShownPlan, shown_plan
from coordinator.domain.shown.undo_plan import Stays, UndoPlan, undo_plan
from coordinator.domain.values import replace
from saga.v1 import types_pb2
from tests.unit.machine.tale import DONE, FAULT, REFUSAL, Tale, define, step


def evaluate(source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
    """Knows one expression, and fails for all others."""
    if source == "1 + 1":
        return 2
    raise NotEvaluated("it fails")


def plan(tale: Tale) -> UndoPlan:
    return undo_plan(tale.saga, evaluate)


def order(tale: Tale) -> list[str]:
    return [undo.step for undo in plan(tale).undos]


def stays(tale: Tale) -> dict[str, Stays]:
    return dict(plan(tale).stays)


def side_by_side() -> Tale:
    """`a` and `b` go side by side, `c` follows both, `d` only `a`; all are done but `d`, which is begun."""
    tale = Tale(
        define("a", step("b", depends_on=[]), step("c", depends_on=["a", "b"]), step("d", depends_on=["a"]))
    )
    for name in ("a", "b", "c", "d"):
        tale.happens(StepBegun(tale.now, StepName(name)))
        if name != "d":
            tale.happens(StepSucceeded(tale.now, StepName(name), 1, f'"{name}"'))
    return tale


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_planned_is_what_happens(begun: bool) -> None:
    tale = Tale(define("a", step("b", undo=None), "c", "d")).does("1", "2", "3")
    if begun:
        tale.begins()
    planned = plan(tale)
    keys = [undo.key for undo in planned.undos]
    receipts = {undo.step: undo.receipt for undo in planned.undos}
    inputs = [undo.input for undo in planned.undos]
    assert stays(tale) == {"b": Stays.NO_COMPENSATION}
    tale.is_cancelled()
    happened = list[str]()
    while tale.next is not None:
        name, key = tale.next.step, tale.next.key
        assert [undo.key for undo in plan(tale).undos] == keys[len(happened) :], "it stays the plan"
        happened.append(key)
        tale.begins()
        assert tale.undo(name).receipt == receipts.pop(name)
        tale.is_answered(DONE)
    assert (happened, receipts) == (keys, {})
    assert inputs[-2:] == ['{"n":1,"outputs":{"a":1,"b":2}}', '{"n":1,"outputs":{}}']


def test_a_plan_is_made_of_undos_that_the_machine_has_begun_and_of_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled()
    monkeypatch.setattr(planning, "play", lambda saga, _: (saga, [tale.call()]))
    with pytest.raises(ValueError, match="saga-1: the undo of 'a' is planned and was never begun"):
        plan(tale)


def test_an_undo_waits_for_the_last_of_those_that_come_before_it() -> None:
    waits = {undo.step: undo.after for undo in plan(side_by_side()).undos}
    assert waits == {"d": (), "c": (), "b": ("c",), "a": ("c", "d")}
    assert order(side_by_side()).index("a") == 3


def test_of_those_that_wait_for_each_other_in_turn_an_undo_waits_for_the_nearest() -> None:
    waits = {undo.step: undo.after for undo in plan(Tale(define(*"abcd")).does("1", "2", "3")).undos}
    assert waits == {"c": (), "b": ("c",), "a": ("b",)}


def test_a_step_that_is_undone_already_is_waited_for_no_more() -> None:
    tale = side_by_side().is_cancelled()
    (of_d,) = (c for c in tale.decision.commands if c.step == "d")
    tale.happens(OperatorActed(tale.now, Verb.COMPLETE, ActionId("x"), "ada", "", of_d.step))
    assert {undo.step: undo.after for undo in plan(tale).undos} == {"c": (), "b": ("c",), "a": ("c",)}


def test_a_step_of_which_no_answer_is_known_has_no_receipt() -> None:
    tale = Tale(define("a", "b")).does("1").begins()
    assert {undo.step: undo.receipt for undo in plan(tale).undos} == {"a": "1", "b": None}


def test_a_step_that_cannot_be_undone_is_barred_and_its_effect_may_stay() -> None:
    tale = Tale(define("a", step("b", undo=None))).does("1").begins()
    assert [(undo.step, undo.compensation) for undo in plan(tale).undos] == [("b", None), ("a", "undo_a")]
    assert stays(tale) == {"b": Stays.NO_COMPENSATION}


def test_a_step_that_a_person_skipped_and_that_is_only_barred_may_stay_as_well() -> None:
    tale = Tale(define(step("a", undo=None), "b")).begins()
    tale.happens(OperatorActed(tale.now, Verb.SKIP, ActionId("x"), "ada", "", StepName("a")))
    assert (order(tale), stays(tale)) == (["a"], {"a": Stays.NO_COMPENSATION})
    tale.is_cancelled()
    assert tale.undoes_what_is_left() == ["a"]
    assert stays(tale) == {"a": Stays.NO_COMPENSATION}


def test_what_a_person_says_is_undone_does_not_stay_though_no_compensation_is_named() -> None:
    tale = Tale(define(step("a", undo=None), "b")).begins().is_cancelled()
    tale.happens(OperatorActed(tale.now, Verb.COMPLETE, ActionId("x"), "ada", "", StepName("a")))
    assert (order(tale), stays(tale)) == ([], {})


def test_what_was_never_begun_or_was_refused_at_once_is_no_part_of_a_plan() -> None:
    tale = Tale(define("a", "b", "c")).does("1").fails(REFUSAL)
    assert (order(tale), stays(tale)) == (["a"], {})
    assert plan(Tale(define("a"))) == UndoPlan((), ())


def with_pivot() -> Tale:
    return Tale(define("a", step("b", kind=StepKind.PIVOT), step("c", kind=StepKind.RETRIABLE))).does("1")


def test_past_the_pivot_nothing_is_undone_unless_the_pivot_does_not_come_about() -> None:
    tale = with_pivot()
    assert (order(tale), stays(tale)) == (["a"], {})
    tale.happens(PivotBegun(tale.now, StepName("b")))
    assert (order(tale), stays(tale)) == ([], {"a": Stays.PAST_PIVOT, "b": Stays.PAST_PIVOT})
    tale.is_answered(REFUSAL)
    assert (order(tale), stays(tale)) == (["a"], {})


def test_a_step_past_the_pivot_that_was_refused_stays_only_if_it_was_asked_before() -> None:
    at_once = with_pivot().does("2").fails(REFUSAL)
    assert stays(at_once) == {"a": Stays.PAST_PIVOT, "b": Stays.PAST_PIVOT}
    later = with_pivot().does("2").fails(FAULT).is_answered(REFUSAL)
    assert stays(later) == dict.fromkeys("abc", Stays.PAST_PIVOT)


def test_nothing_of_a_saga_that_has_completed_is_undone() -> None:
    tale = Tale(define("a", "b")).does("1", "2")
    assert (order(tale), stays(tale)) == ([], {"a": Stays.PAST_PIVOT, "b": Stays.PAST_PIVOT})


def test_an_undo_that_failed_for_good_stays_and_so_does_what_waits_behind_it() -> None:
    tale = Tale(define("a", "b", "c")).does("1", "2").fails(REFUSAL).fails(REFUSAL)
    assert (order(tale), stays(tale)) == ([], {"a": Stays.BLOCKED, "b": Stays.UNDO_FAILED})


def test_what_a_person_left_in_place_or_ended_stays() -> None:
    tale = Tale(define("a", "b", "c")).does("1", "2").is_cancelled()
    tale.happens(OperatorActed(tale.now, Verb.SKIP, ActionId("x"), "ada", "", StepName("b")))
    assert (order(tale), stays(tale)) == (["a"], {"b": Stays.BY_HAND})
    tale.happens(OperatorActed(tale.now, Verb.TERMINATE, ActionId("y"), "ada", ""))
    assert (order(tale), stays(tale)) == ([], {"a": Stays.BY_HAND, "b": Stays.BY_HAND})


def test_an_undo_whose_input_cannot_be_made_is_told_beforehand() -> None:
    tale = Tale(define("a", step("b", compensation_input={"x": "1 / 0"}), "c")).does("1", "2")
    assert (order(tale), stays(tale)) == ([], {"a": Stays.BLOCKED, "b": Stays.EXPRESSION})
    tale = Tale(define("a", step("b", compensation_input={"x": "1 + 1"}), "c")).does("1", "2")
    assert plan(tale).undos[0].input == '{"x":2}'


def of_sizes(*sizes: int) -> Tale:
    """A saga whose undos are given about as many bytes, in the order in which they would run."""
    steps = [
        step(f"s{n}", depends_on=[], input=("n",), compensation_input={"x": "1 + 1", "o": f"outputs.s{n}"})
        for n, _ in enumerate(sizes)
    ]
    tale = Tale(define(*steps, "end"))
    for n, size in enumerate(reversed(sizes)):
        name = StepName(f"s{n}")
        tale.happens(StepBegun(tale.now, name))
        tale.happens(StepSucceeded(tale.now, name, 1, json.dumps("x" * size)))
    return tale


def given(tale: Tale, **asked: Any) -> list[tuple[bool, bool, bool]]:
    undos = shown_plan(tale.saga, evaluate, **asked).undos
    return [(undo.given != shown.Given(), bool(undo.given.input), bool(undo.given.receipt)) for undo in undos]


def test_inputs_are_shown_only_when_they_are_asked_for_and_their_names_always() -> None:
    tale = of_sizes(3)
    (undo,) = shown_plan(tale.saga, evaluate, with_inputs=False).undos
    assert (undo.given, undo.receipt_known) == (shown.Given(("o", "x")), True)
    (undo,) = shown_plan(tale.saga, evaluate, with_inputs=True).undos
    assert undo.given == shown.Given(("o", "x"), '{"o":"xxx","x":2}', '"xxx"')


def test_a_plan_shows_no_more_than_may_be_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "SHOWN_BYTES_MAX", 1_000)
    whole = shown_plan(of_sizes(100, 100, 100).saga, evaluate, with_inputs=True)
    assert not whole.shortened
    tale = of_sizes(100, 900, 100)
    assert shown_plan(tale.saga, evaluate, with_inputs=True).shortened
    assert given(tale, with_inputs=True) == [(True, True, True), (False, False, False), (False, False, False)]
    assert given(tale, with_inputs=False) == [(True, False, False)] * 3


def test_what_just_fits_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, nothing = (True, True, True), (False, False, False)
    of_one = len("ox" + '{"o":"xxx","x":2}' + '"xxx"')
    monkeypatch.setattr(shown, "SHOWN_BYTES_MAX", 2 * of_one)
    assert given(of_sizes(3, 3), with_inputs=True) == [whole, whole]
    assert not shown_plan(of_sizes(3, 3).saga, evaluate, with_inputs=True).shortened
    assert given(of_sizes(3, 3, 3), with_inputs=True) == [whole, whole, nothing]
    assert shown_plan(of_sizes(3, 3, 3).saga, evaluate, with_inputs=True).shortened
    monkeypatch.setattr(shown, "SHOWN_BYTES_MAX", 2 * of_one - 1)
    assert given(of_sizes(3, 3), with_inputs=True) == [whole, nothing]
    monkeypatch.setattr(shown, "SHOWN_BYTES_MAX", 2 * len("ox"))
    assert not shown_plan(of_sizes(3, 3).saga, evaluate, with_inputs=False).shortened
    assert shown_plan(of_sizes(3, 3, 3).saga, evaluate, with_inputs=False).shortened


def test_a_receipt_that_nobody_knows_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    tale = Tale(define(step("a", input=("n",)), "b")).begins()
    monkeypatch.setattr(shown, "SHOWN_BYTES_MAX", len("n" + '{"n":1}'))
    (undo,) = shown_plan(tale.saga, evaluate, with_inputs=True).undos
    assert undo.given == shown.Given(("n",), '{"n":1}', None)


def test_what_does_not_fit_is_not_even_made(monkeypatch: pytest.MonkeyPatch) -> None:
    tale, made = of_sizes(100, 900, 100, 100), list[str]()

    def masked(_: Masking, step: StepState, text: str) -> str:
        made.append(step.name)
        return text

    monkeypatch.setattr(shown, "SHOWN_BYTES_MAX", 1_000)
    monkeypatch.setattr(Masking, "undo_input", masked)
    shown_plan(tale.saga, evaluate, with_inputs=True)
    assert made == ["s3", "s2"]


def test_a_planned_undo_is_told_and_compared_without_the_saga_that_it_reads() -> None:
    (undo,) = plan(Tale(define("a", "b")).does("1")).undos
    assert "saga=" not in repr(undo), "there is all that it was given and that its steps answered"
    assert replace(undo, saga=Tale(define("a")).saga) == undo


def test_each_reason_why_an_effect_stays_is_one_of_the_api() -> None:
    told = to_undo_plan(ShownPlan((), tuple((StepName("a"), why) for why in Stays), shortened=False))
    _, *reasons = types_pb2.StandingReason.values()
    assert [standing.reason for standing in told.stays] == reasons


def test_a_retried_undo_is_planned_under_its_key() -> None:
    tale = Tale(define("a", "b")).does("1").fails(REFUSAL).fails(REFUSAL)
    tale.happens(OperatorActed(tale.now, Verb.RETRY, ActionId("x"), "ada", "", StepName("a")))
    assert [undo.key for undo in plan(tale).undos] == ["saga-1/a/compensate/2"]
