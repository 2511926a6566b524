"""What the linter says, word by word, and where each rule begins to speak."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.definition import parse_definition
from coordinator.domain.language.expression_rules import expression_faults
from coordinator.domain.language.front_door import FrontDoor
from coordinator.domain.language.graph import places
from coordinator.domain.language.lint import Finding, lint

STEP: Final = {"service": "Order", "transaction": "create", "compensation": "cancel"}
PIVOT: Final = {"service": "Bank", "transaction": "pay", "compensation": None, "kind": "pivot"}
LASTING: Final = {"service": "Mail", "transaction": "tell", "compensation": None, "kind": "retriable"}
CEL: Final = CelExpressions()


def found(*steps: dict[str, Any], **others: object) -> list[Finding]:
    text = json.dumps({"sagaName": "Any", "steps": steps, **others})
    return list(lint(parse_definition(text, source="any.json"), CEL.evaluate))


def step(name: str, **others: object) -> dict[str, Any]:
    return {"service": "Order", "transaction": name, "compensation": "cancel", **others}


SAID: Final[list[tuple[list[dict[str, Any]], dict[str, object], str, str]]] = [
    (
        [step("a"), step("b", retry={"maxAttempts": 2, "maxBackoff": "500ms"})],
        {"ttl": "90s"},
        "$.ttl ttl-too-short",
        "the worst case to the end is 90.5s (a 70s, b 20.5s), but the ttl is 90s",
    ),
    (
        [step("a"), PIVOT, LASTING],
        {"ttl": "79s"},
        "$.ttl ttl-too-short",
        "the worst case to the end of the pivot's first attempt is 80s (a 70s, pay 10s), but the ttl is 79s",
    ),
    (
        [step("a", compensation=None), step("b"), step("c"), step("d"), step("e")],
        {},
        "$.steps[0].compensation missing-undo",
        "nothing undoes a, and the saga may still turn back at b, c, d and 1 more",
    ),
    (
        [step("a", compensationRetry={"budget": "1s"})],
        {},
        "$.steps[0].compensationRetry.budget undo-budget-too-short",
        "7 attempts of 10s and the waits after them, up to 1m, take 193s at worst, but the budget is 1s",
    ),
    (
        [step("a", timeout="7h")],
        {},
        "$.steps[0] undo-budget-too-short",
        "7 attempts of 7h and the waits after them, up to 1m, take 176523s at worst, but the budget is 24h",
    ),
    (
        [{**PIVOT, "retry": {"initialBackoff": "1s", "multiplier": 1, "maxBackoff": "1s", "budget": "10s"}}],
        {},
        "$.steps[0].retry.budget lasting-budget-too-short",
        "1 attempt of 10s and the waits after them, up to 1s, take 11s at worst, but the budget is 10s",
    ),
    (
        [{**PIVOT, "timeout": "20h", "retry": {"initialBackoff": "1s"}}],
        {},
        "$.steps[0].retry lasting-budget-too-short",
        "7 attempts of 20h and the waits after them, up to 1m, take 504123s at worst, but the budget is 24h",
    ),
    (
        [{**PIVOT, "retry": {"maxAttempts": 3}}],
        {},
        "$.steps[0].retry.maxAttempts bounded-after-pivot",
        "pay is the pivot: after 3 failed attempts it would be left to a person",
    ),
    (
        [PIVOT, {**LASTING, "retry": {"maxAttempts": 3}}],
        {},
        "$.steps[1].retry.maxAttempts bounded-after-pivot",
        "tell is retriable: after 3 failed attempts it would be left to a person",
    ),
    (
        [PIVOT, {**LASTING, "compensation": "untell"}],
        {},
        "$.steps[1].compensation dead-compensation",
        "tell is retriable, and never undone",
    ),
    (
        [PIVOT, {**LASTING, "compensationInput": {"x": "1"}}],
        {},
        "$.steps[1].compensationInput dead-compensation",
        "tell is retriable, and never undone",
    ),
    (
        [step("a", compensation=None, compensationInput={"x": "1"})],
        {},
        "$.steps[0].compensationInput dead-compensation",
        "there is no compensation that it could be given to",
    ),
    (
        [step("a", compensationRetry={"maxBackoff": "2s", "budget": "10s"})],
        {},
        "$.steps[0].compensationRetry.budget undo-budget-too-short",
        "2 attempts of 10s and the waits after them, up to 2s, take 23s at worst, but the budget is 10s",
    ),
    (
        [step("a", timeout="6s", retry={"maxAttempts": 1})],
        {"ttl": "5s"},
        "$.steps[0].timeout no-timeout-room",
        "one attempt may take 6s, but the saga's ttl is 5s",
    ),
    (
        [step("a")],
        {"sensitive": ["card", "pin"]},
        "$.steps[0] sensitive-unnamed",
        "without an `input` a is given all fields, card, pin among them",
    ),
    (
        [step("a", input={"x": "size(input)"})],
        {"sensitive": ["card", "pin"]},
        "$.steps[0].input.x sensitive-unnamed",
        "it takes the whole `input`, card, pin included",
    ),
    (
        [step("a", input=["card"])],
        {"sensitive": ["card", "pin"]},
        "$.sensitive[1] unused-sensitive",
        "no step names 'pin'",
    ),
    (
        [step("a", allow=["missing-undo"])],
        {},
        "$.steps[0].allow[0] allow-unused",
        "nothing is found here by missing-undo",
    ),
    (
        [step("a", defaultOutput={})],
        {},
        "$.steps[0].defaultOutput default-output-unused",
        "no expression names the output of a",
    ),
    (
        [step("a", when="1 > 2")],
        {},
        "$.steps[0].when unreachable-step",
        "it is always false: a never runs",
    ),
    (
        [step("a", when="1 < 2")],
        {},
        "$.steps[0].when dead-branch",
        "it is always true: a is never omitted",
    ),
    (
        [step("a", input={"x": "1 > 0 ? 'yes' : 'no'"})],
        {},
        "$.steps[0].input.x dead-branch",
        "the condition '1 > 0' is always true",
    ),
    (
        [step("a", compensationInput={"x": ["outputs.a.id"]}, defaultOutput={})],
        {},
        "$.steps[0].compensationInput.x[0] default-output-lacks",
        'over the defaultOutput of a it yields nothing: outputs.a has no field "id"',
    ),
    (
        [step("a", allow=["second-pivot", "nonsense"])],
        {},
        "$.steps[0].allow[1] allow-unknown-rule",
        "there is no rule 'nonsense'",
    ),
    (
        [step("a", allow=["second-pivot", "nonsense"])],
        {},
        "$.steps[0].allow[0] allow-unused",
        "a definition that breaks second-pivot is not loaded",
    ),
]


@pytest.mark.parametrize(("steps", "others", "at", "sentence"), SAID, ids=[said[2] for said in SAID])
def test_a_finding_says_what_it_is_about(
    steps: list[dict[str, Any]], others: dict[str, object], at: str, sentence: str
) -> None:
    said = [(f"{finding.path} {finding.rule}", finding.sentence) for finding in found(*steps, **others)]
    assert (at, sentence) in said


def test_the_cure_is_that_of_the_rule() -> None:
    (finding,) = found(step("a", compensation=None), step("b"))
    assert finding.cure == 'Name its compensation, or say "allow": ["missing-undo"] where it has no effect.'


@pytest.mark.parametrize(
    ("enough", "too_little"),
    [
        ({"ttl": "70s"}, {"ttl": "69999ms"}),
        ({"ttl": "70s", "maxParallel": 1}, {"ttl": "69s", "maxParallel": 1}),
    ],
)
def test_a_ttl_as_long_as_the_worst_case_is_enough(
    enough: dict[str, object], too_little: dict[str, object]
) -> None:
    assert found(step("a"), **enough) == []
    assert [finding.rule for finding in found(step("a"), **too_little)] == ["ttl-too-short"]


@pytest.mark.parametrize("kind", ["undo", "lasting"])
def test_a_budget_as_long_as_one_round_is_enough(kind: str) -> None:
    # Waits of 1 s, 2 s and 4 s, the third at the cap, after three attempts of 10 s.
    backoff = {"initialBackoff": "1s", "multiplier": 2, "maxBackoff": "4s"}

    def rules(budget: str) -> list[str]:
        policy = {**backoff, "budget": budget}
        steps = [step("a", compensationRetry=policy)] if kind == "undo" else [{**PIVOT, "retry": policy}]
        return [finding.rule for finding in found(*steps)]

    assert rules("37s") == []
    assert rules("36999ms") == [f"{kind}-budget-too-short"]


def test_a_budget_that_attempts_do_not_reach_is_not_judged() -> None:
    retry = {"maxAttempts": 3, "budget": "1s"}
    assert [one.rule for one in found({**PIVOT, "retry": retry})] == ["bounded-after-pivot"]


def test_a_timeout_as_long_as_the_ttl_has_room() -> None:
    once = {"maxAttempts": 1}
    assert found(step("a", timeout="5s", retry=once), ttl="5s") == []
    assert [one.rule for one in found(step("a", timeout="6s", retry=once), ttl="5s")] == [
        "ttl-too-short",
        "no-timeout-room",
    ]
    # Past the pivot the deadline cuts nothing off.
    assert found({**PIVOT, "timeout": "5s"}, {**LASTING, "timeout": "1m"}, ttl="5s") == []


def test_a_finding_is_accepted_only_at_its_own_step() -> None:
    reads = step("look", compensation=None, allow=["missing-undo"])
    assert found(reads, step("b")) == []
    assert [one.path for one in found(reads, step("b", compensation=None), step("c"))] == [
        "$.steps[1].compensation"
    ]


def test_what_is_not_looked_for_is_no_reason_to_call_an_acceptance_unused() -> None:
    of_yields = ["dead-branch", "unreachable-step", "default-output-lacks"]
    allowed = ["no-barrier", "front-door", *of_yields]
    text = json.dumps({"sagaName": "Any", "steps": [step("a", allow=allowed)]})
    definition = parse_definition(text, source="any")

    def unused(*known: Any, **others: Any) -> list[str]:
        return [allowed[int(str(one.loc[-1]))] for one in lint(definition, *known, **others)]

    assert unused() == []
    assert unused(CEL.evaluate) == of_yields
    assert unused(CEL.evaluate, []) == ["no-barrier", *of_yields]
    assert unused(door=FrontDoor("PlaceOrder", "SAGA_PLACE_ORDER_SAGA", "Any", ())) == ["front-door"]


@pytest.mark.parametrize(
    ("source", "always"),
    [
        ("input.a ? 1 : 2", []),
        ("true ? 1 : 2", ["true"]),
        ("(false ? 1 : 2) + (input.a ? 3 : 4)", ["false"]),
        ("input.a ? (1 < 2 ? 3 : 4) : 5", ["1 < 2"]),
        ("input.a ? 1 : 1 > 2 ? 3 : 4", ["1 > 2"]),
        ("[input.b, true ? 1 : 2]", ["true"]),
        ("{'k': false ? 1 : 2}", ["false"]),
        ("'true ? 1 : 2'", []),
        ("input.a // true ? 1 : 2", []),
        ("input.list.filter(n, true ? n > 0 : false)", ["true"]),
        ("input.list.filter(n, n > 0 ? true : false)", []),
        ("(1 > 2) || false ? 1 : 2", ["(1 > 2) || false"]),
        ("input.a ? 1 > 2 ? 3 : 4 : 5", ["1 > 2"]),
        ("[1, 2][0] > 0 ? 1 : 2", ["[1, 2][0] > 0"]),
        ("{1: 2, 3: 4}[1] > 0 ? 1 : 2", ["{1: 2, 3: 4}[1] > 0"]),
    ],
)
def test_the_condition_of_each_branch_is_looked_at(source: str, always: list[str]) -> None:
    conditions = [one.sentence.split("'")[1] for one in found(step("a", input={"x": source}))]
    assert conditions == always


def test_fields_that_a_step_is_given_unnamed_are_not_said_to_be_unused() -> None:
    assert [one.rule for one in found(step("a"), sensitive=["card"])] == ["sensitive-unnamed"]
    whole = step("a", input={"x": "size(input)"})
    assert [one.rule for one in found(whole, sensitive=["card"])] == ["sensitive-unnamed"]


def test_what_is_called_when_is_not_for_that_a_condition() -> None:
    may_be_omitted = step("a", when="input.car", defaultOutput={"n": 1})
    assert found(may_be_omitted, step("b", input={"when": "outputs.a.n"})) == []
    assert found(may_be_omitted, output={"x": {"y": "outputs.a.n"}}) == []


def test_a_condition_passes_nothing_on() -> None:
    rules = [one.rule for one in found(step("a", input=["b"], when="size(input) > 2"), sensitive=["b"])]
    assert rules == []


@pytest.mark.parametrize(
    ("source", "default", "lacks"),
    [
        ("outputs.a.id", {}, True),
        ("outputs.a.id", None, True),
        ("outputs.a.id", {"id": 1}, False),
        ("outputs.a.ids[1]", {"ids": [1]}, True),
        ("outputs.a", {}, False),
        ("outputs.a.id + 1", {"id": "text"}, True),
        ("outputs.a.id + 1", {"id": 1}, False),
        ("has(outputs.a.id) ? outputs.a.id : 0", {}, False),
        # What else is named may be what decides.
        ("input.b ? outputs.a.id : 0", {}, False),
        ("size(input) == 0 ? outputs.a.id : 0", {}, False),
    ],
)
def test_what_an_undo_takes_is_there_also_in_the_default(source: str, default: object, lacks: bool) -> None:
    steps = found(step("a", compensationInput={"x": source}, defaultOutput=default))
    assert [one.rule for one in steps] == ["default-output-lacks"] * lacks


@pytest.mark.parametrize(
    ("when", "others", "lacks"),
    [
        ("input.car", {}, True),
        ("input.car", {"when": "input.car"}, False),
        ("input.car && input.b", {"when": "input.b && input.seat && input.car"}, False),
        ("input.car", {"when": "input.car && input.b || input.c"}, True),
        ("input.car", {"when": "input.b ? input.c : input.d && input.car"}, True),
        ("input.car", {"when": "has(outputs.a.id)"}, False),
        ("input.car", {"when": "!has(outputs.a.id)"}, True),
        ("input.car", {"compensation": None}, True),
        # What stands in brackets need not hold for the whole to hold.
        ("input.car", {"when": "!(input.b && input.car && input.c)"}, True),
        ("input.car", {"when": "![input.b && input.car && input.c][0]"}, True),
        ("input.car", {"when": "!{1: input.b && input.car && input.c}[1]"}, True),
        ("input.car", {"when": "(input.b || input.c) && input.car"}, False),
        ("input.car", {"when": "input.b[0] && input.car"}, False),
        ("input.car", {"when": "{1: input.b}[1] && input.car"}, False),
        (None, {}, False),
    ],
)
def test_a_default_stands_in_only_where_its_step_may_be_omitted_and_the_other_runs(
    when: str | None, others: dict[str, object], lacks: bool
) -> None:
    condition = {} if when is None else {"when": when}
    steps = [step("a", defaultOutput={}, **condition), step("b", input={"x": "outputs.a.id"}, **others)]
    assert [one.path for one in found(*steps)] == ["$.steps[1].input.x"] * lacks


@pytest.mark.parametrize(("paid", "lacks"), [(False, False), ("yes", True)])
def test_a_condition_is_true_or_false_also_over_a_default(paid: object, lacks: bool) -> None:
    steps = [step("a", when="input.car", defaultOutput={"paid": paid}), step("b", when="outputs.a.paid")]
    assert [one.path for one in found(*steps)] == ["$.steps[1].when"] * lacks


def test_what_no_undo_is_given_lacks_nothing() -> None:
    shaped = {"compensationInput": {"x": "outputs.tell.id"}, "defaultOutput": {}}
    assert {one.rule for one in found(PIVOT, {**LASTING, **shaped})} == {"dead-compensation"}
    assert {one.rule for one in found(PIVOT, {**LASTING, **shaped, "compensation": "untell"})} == {
        "dead-compensation"
    }
    alone = step("tell", **{**shaped, "compensation": None})
    assert {one.rule for one in found(alone)} == {"dead-compensation"}


def test_findings_come_in_the_order_of_the_steps() -> None:
    rules = [
        finding.rule
        for finding in found(
            step("a", when="true", allow=["no-such-rule"]), step("b", compensation=None), step("c"), ttl="10s"
        )
    ]
    assert rules == ["ttl-too-short", "dead-branch", "allow-unknown-rule", "missing-undo"]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("input.card", "the output is shown, and this takes what is sensitive: card"),
        ("[input['card'], input.pin]", "the output is shown, and this takes what is sensitive: card, pin"),
        ("input", "the output is shown, and this takes the whole `input`, card, pin included"),
    ],
)
def test_what_the_output_would_show_is_told(output: str, told: str) -> None:
    steps = [step("a", input=["card", "pin"])]
    document = {"sagaName": "Any", "sensitive": ["card", "pin"], "output": {"x": output}, "steps": steps}
    definition = parse_definition(json.dumps(document), source="any.json")
    (fault,) = expression_faults(definition, CEL.check)
    assert (fault.loc, fault.rule, fault.sentence) == (("output", "x"), "sensitive-in-output", told)


def test_of_the_steps_at_which_a_saga_may_turn_back_only_those_are_walked_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walked = []

    def counted(bits: int) -> Iterator[int]:
        for place in places(bits):
            walked.append(place)
            yield place

    monkeypatch.setattr("coordinator.domain.language.lint.places", counted)
    findings = found(*(step(f"s{number}", compensation=None) for number in range(100)))
    assert findings[0].sentence.endswith("turn back at s1, s2, s3 and 96 more")
    assert len(walked) == 97 * 3 + 2 + 1
