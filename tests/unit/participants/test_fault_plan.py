"""Fault plans: what is wrong in one is named by path and sentence, and what it means is exact."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import participants
from participants.calls import Operation
from participants.errors import InvalidRequest
from participants.fault_parser import parse_plan
from participants.fault_plan import STAGES, Delay, FaultPlan, Known
from participants.services import EXAMPLES
from tests.unit.participants.kit import a_compensate, an_execute

KNOWN: Known = {
    "TillService": {Operation.EXECUTE: frozenset({"put"}), Operation.COMPENSATE: frozenset({"take"})},
    "ShopService": {Operation.EXECUTE: frozenset({"sell"}), Operation.COMPENSATE: frozenset()},
}


def faults_of(text: str) -> list[str]:
    with pytest.raises(InvalidRequest) as found:
        parse_plan(text, KNOWN)
    return [str(violation) for violation in found.value.violations]


def plan(*rules: dict[str, object], **more: object) -> FaultPlan:
    return parse_plan(json.dumps({"rules": rules, **more}), KNOWN)


WRONG_TEXTS = [
    ("", "$: is not JSON, at line 1, column 1"),
    ("[]", "$: is not a JSON object"),
    ('{"seed": NaN}', "$: contains NaN or Infinity, which JSON does not know"),
    ('{"seed": 1, "seed": 2}', "$: names a key twice in one object"),
    ('{"seed": "7"}', "$.seed: must be a whole number from 0 to 9223372036854775807"),
    ('{"seed": -1}', "$.seed: must be a whole number from 0 to 9223372036854775807"),
    ('{"rule": []}', "$.rule: is not known here"),
    ('{"rules": {}}', "$.rules: must be a list of at most 1000 rules"),
    ('{"rules": [' + ",".join(["{}"] * 1001) + "]}", "$.rules: must be a list of at most 1000 rules"),
    ('{"rules": ["hang"]}', "$.rules[0]: must be an object"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG_TEXTS)
def test_a_text_that_is_no_plan_is_refused(text: str, sentence: str) -> None:
    assert faults_of(text) == [sentence]


KINDS = ", ".join(STAGES)
WRONG_RULES = [
    ({"fault": "explode"}, f"fault: must be one of {KINDS}"),
    ({"fault": None}, f"fault: must be one of {KINDS}"),
    ({"transaction": 7}, "transaction: must be a transaction's name, or * for all"),
    ({"transaction": "putt"}, "transaction: names no transaction; there are put, sell"),
    (
        {"service": "ShopService", "transaction": "put"},
        "transaction: names no transaction; there are sell",
    ),
    ({"compensation": "put"}, "compensation: names no compensation; there are take"),
    ({"service": "Till"}, "service: names no service; there are TillService, ShopService"),
    ({"service": ""}, "service: must be a service's name, or * for all"),
    ({"probability": 1.5}, "probability: must be a number from 0 to 1"),
    ({"probability": "often"}, "probability: must be a number from 0 to 1"),
    ({"times": 0}, "times: must be a whole number from 1 to 1000000000"),
    ({"times": True}, "times: must be a whole number from 1 to 1000000000"),
    ({"code": "TILL_BUSY"}, "code: is not known here"),
    ({"fault": "refused", "code": "till busy"}, "code: must be an upper-case name, as OUT_OF_STOCK"),
    ({"fault": "refused", "message": ""}, "message: must be a text that is not empty"),
    (
        {"fault": "faulted", "retry_after_ms": -1},
        "retry_after_ms: must be a number from 0 to 3.6e+06",
    ),
    ({"fault": "redeliver"}, "after_ms: must be a number from 0 to 3.6e+06"),
    ({"fault": "reply_lost", "status": 14}, "status: must be one of CANCELLED, UNKNOWN"),
    ({"fault": "status"}, "status: must be one of CANCELLED, UNKNOWN"),
    ({"fault": "status", "status": "OK"}, "status: must be one of CANCELLED, UNKNOWN"),
    ({"fault": "oversized_answer", "bytes": 10**9}, "bytes: must be a whole number from 1 to"),
    ({"fault": "latency"}, "distribution: must be one of fixed, uniform, exponential, lognormal"),
    ({"fault": "latency", "distribution": "fixed"}, "ms: must be a number from 0 to 3.6e+06"),
    (
        {"fault": "latency", "distribution": "uniform", "min_ms": 2, "max_ms": 1},
        "max_ms: must not be less than min_ms",
    ),
    (
        {"fault": "latency", "distribution": "exponential", "mean_ms": 0, "max_ms": 1},
        "mean_ms: must be a number from 0.001 to 3.6e+06",
    ),
    (
        {"fault": "latency", "distribution": "lognormal", "median_ms": 1, "max_ms": 1, "sigma": 99},
        "sigma: must be a number from 0 to 10",
    ),
    ({"when": "user_id"}, "when: must be an object"),
    ({"when": {"equals": 1}}, "when.field: must be a field's name, as user_id or items.item_id"),
    ({"when": {"field": "a"}}, "when.equals: or one_of must be there, and not both"),
    (
        {"when": {"field": "a", "equals": 1, "one_of": []}},
        "when.equals: or one_of must be there, and not both",
    ),
    ({"when": {"field": "a", "one_of": 1}}, "when.one_of: must be a list"),
    ({"when": {"field": "a", "equals": 1, "above": 1}}, "when.above: is not known here"),
]


@pytest.mark.parametrize(("wrong", "sentence"), WRONG_RULES)
def test_a_wrong_rule_is_refused_by_path(wrong: dict[str, object], sentence: str) -> None:
    rule = {"transaction": "*", "fault": "hang", **wrong}
    (told,) = faults_of(json.dumps({"rules": [rule]}))
    assert told.startswith(f"$.rules[0].{sentence}")


def test_every_fault_of_a_plan_is_told_at_once() -> None:
    text = json.dumps(
        {"sede": 7, "rules": [{"fault": "hang"}, {"transaction": "*", "fault": "hang", "x": 1}]}
    )
    assert faults_of(text) == [
        "$.rules[0].transaction: is missing, and so is compensation: say which, or * for all",
        "$.rules[1].x: is not known here",
        "$.sede: is not known here",
    ]


def test_names_are_not_checked_where_the_services_are_not_known() -> None:
    text = '{"rules": [{"service": "Any", "transaction": "thing", "fault": "hang"}]}'
    assert parse_plan(text).rules[0].transaction == "thing"


def test_every_kind_of_fault_can_be_written() -> None:
    needed: dict[str, dict[str, object]] = {
        "latency": {"distribution": "fixed", "ms": 1},
        "status": {"status": "UNAVAILABLE"},
        "redeliver": {"after_ms": 1},
    }
    made = plan(*({"transaction": "*", "fault": kind, **needed.get(kind, {})} for kind in STAGES))
    assert [rule.kind for rule in made.rules] == list(STAGES)


def test_a_rule_concerns_executes_by_transaction_and_compensates_by_compensation() -> None:
    executes, compensates, both = plan(
        {"transaction": "put", "fault": "hang"},
        {"compensation": "*", "fault": "hang"},
        {"service": "TillService", "transaction": "*", "compensation": "take", "fault": "hang"},
    ).rules
    assert executes.concerns(an_execute())
    assert not executes.concerns(a_compensate())
    assert not executes.concerns(an_execute(name="sell"))
    assert not compensates.concerns(an_execute())
    assert compensates.concerns(a_compensate(name=""))
    assert both.concerns(an_execute())
    assert both.concerns(a_compensate())
    assert not both.concerns(a_compensate(name=""))


def test_a_rule_of_another_service_concerns_nothing_here() -> None:
    (rule,) = plan({"service": "ShopService", "transaction": "*", "fault": "hang"}).rules
    assert not rule.concerns(an_execute())


@pytest.mark.parametrize(
    ("when", "given", "holds"),
    [
        ({"field": "user_id", "equals": "u-broke"}, {"user_id": "u-broke"}, True),
        ({"field": "user_id", "equals": "u-broke"}, {"user_id": "u-1"}, False),
        ({"field": "user_id", "equals": "u-broke"}, {"other": "u-broke"}, False),
        ({"field": "a.b", "equals": 1}, {"a": {"b": 1}}, True),
        ({"field": "a.b", "equals": 1}, {"a": 1}, False),
        ({"field": "items.item_id", "equals": "x"}, {"items": [{"item_id": "y"}, {"item_id": "x"}]}, True),
        ({"field": "items.item_id", "one_of": ["x", "z"]}, {"items": [{"item_id": "z"}]}, True),
        ({"field": "items.item_id", "equals": "x"}, {"items": []}, False),
        ({"field": "tags", "equals": "x"}, {"tags": ["y", "x"]}, True),
        ({"field": "flag", "equals": True}, {"flag": 1}, False),
        ({"field": "flag", "equals": 1}, {"flag": True}, False),
    ],
)
def test_a_rule_on_the_input_holds_exactly(
    when: dict[str, object], given: dict[str, object], holds: bool
) -> None:
    (rule,) = plan({"transaction": "*", "when": when, "fault": "hang"}).rules
    assert rule.concerns(an_execute(given=given)) is holds


@pytest.mark.parametrize(
    ("delay", "least_s", "middle_s"),
    [
        (Delay("fixed", 0.02, 0.02), 0.02, (0.02, 0.02)),
        (Delay("uniform", 0.01, 0.03), 0.01, (0.018, 0.022)),
        (Delay("exponential", 0.02, 0.1), 0.0, (0.012, 0.016)),
        (Delay("lognormal", 0.02, 0.1, 0.5), 0.0, (0.018, 0.022)),
    ],
)
def test_delays_follow_their_distribution_and_never_pass_their_cap(
    delay: Delay, least_s: float, middle_s: tuple[float, float]
) -> None:
    chance = random.Random(7)
    drawn = sorted(delay.draw(chance) for _ in range(5000))
    assert drawn[0] >= least_s
    assert drawn[-1] <= delay.max_s
    assert middle_s[0] <= drawn[2500] <= middle_s[1]


def test_the_example_plan_is_a_plan_for_the_example_services() -> None:
    example = Path(participants.__file__).with_name("example_faults.json").read_text()
    known = {name: {way: kind.names(way) for way in Operation} for name, kind in EXAMPLES.items()}
    made = parse_plan(example, known)
    broke = an_execute(service="PaymentService", given={"user_id": "u-broke"})
    codes = [rule.code for rule in made.rules if rule.kind == "refused" and rule.concerns(broke)]
    assert codes == ["INSUFFICIENT_FUNDS"]
