"""What needs more than ledgers and reads: inputs, answers, policies, downtimes, counted redeliveries."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.checker import made
from tests.checker.check import check
from tests.checker.evidence import Definition, Evidence, LedgerRow
from tests.checker.laws.flow import request_hash
from tests.checker.made import EPOCH_NS, SECOND_NS, Change, both, clean_run, record, row, row_again
from tests.checker.verdict import NotYet

GIVEN = {"saga-done": '{"b":2,"a":1}'}
ANSWERS = {("saga-done", "reserve"): '{"held":"x"}', ("saga-done", "charge"): ""}
ASKED = {
    "reserve": frozenset({"a"}),
    "charge": None,
    "notify": frozenset({"b", "outputs.charge"}),
    "ship": frozenset[str](),
}
SENT = {
    "reserve": '{"a":1}',
    "charge": '{"a":1,"b":2,"outputs":{"reserve":{"held":"x"}}}',
    "notify": '{"b":2,"outputs":{"charge":null}}',
    "ship": "{}",
}
HOUR_NS = 3600 * SECOND_NS


def with_flow(run: Evidence) -> Evidence:
    """The same run, where it is known what the completed saga was given and what was answered."""

    def told(one: LedgerRow) -> LedgerRow:
        if one.saga_id != "saga-done":
            return one
        answer = ANSWERS.get((one.saga_id, one.step))
        result = "" if answer is None else hashlib.sha256(answer.encode()).hexdigest()
        return replace(one, request_hash=request_hash(one, SENT[one.step]), result_hash=result)

    rules = tuple(replace(rule, inputs=ASKED[rule.name]) for rule in made.ORDER.steps)
    definitions = {**run.definitions, made.ORDER.digest: replace(made.ORDER, steps=rules)}
    ledger = tuple(map(told, run.ledger))
    return replace(run, ledger=ledger, definitions=definitions, inputs=GIVEN, outputs=ANSWERS)


def with_policies(**bounds: int) -> Change:
    """The same run under policies, with every redelivery and every second of downtime noted."""

    def of(definition: Definition) -> Definition:
        steps = tuple(replace(rule, **bounds) for rule in definition.steps)  # type: ignore[arg-type]
        return replace(definition, steps=steps)

    def change(run: Evidence) -> Evidence:
        definitions = {digest: of(definition) for digest, definition in run.definitions.items()}
        return replace(run, definitions=definitions, redeliveries={"Mail": 1, "Stock": 1}, downtimes_ns=())

    return change


def undo_faulted(**changes: Any) -> Change:
    """The dead letter's refused undo is one that failed."""
    return record("dead", "UNDO_REFUSED", "charge", type="UNDO_FAULTED", **changes)


POLICIES = with_policies(wait_ns_max=2 * SECOND_NS, undo_wait_ns_max=SECOND_NS, undo_budget_ns=HOUR_NS)
CHANGES: dict[str, tuple[Change, Change, set[str]]] = {
    "a step is given something else": (
        with_flow,
        row("done", "reserve", "E", "applied", request_hash="x"),
        {"I16"},
    ),
    "a step is not given what the saga was given": (
        with_flow,
        made.run_with(inputs={"saga-done": '{"a":1,"b":3}'}),
        {"I16"},
    ),
    "a call comes that nobody sent": (
        POLICIES,
        row_again("dead", "charge", "E", "applied", outcome="duplicate"),
        {"I24"},
    ),
    "a call comes more often than it was delivered again": (
        POLICIES,
        made.run_with(redeliveries={"Mail": 1}),
        {"I24"},
    ),
    "a wait is longer than the policy's longest": (
        with_policies(wait_ns_max=SECOND_NS // 2),
        both(),
        {"I24"},
    ),
    "an undo is given up within its budget": (POLICIES, undo_faulted(), {"I24"}),
    "an undo is to go on beyond its budget": (
        with_policies(undo_budget_ns=1),
        undo_faulted(retry_ns=EPOCH_NS + HOUR_NS),
        {"I22", "I24", "I25"},
    ),
    "an effect comes after a client was told the end": (
        both(),
        row("done", "ship", "E", "applied", committed_ns=HOUR_NS),
        {"I21"},
    ),
    "a step was called that is not journaled as begun": (
        both(),
        row_again(
            "late",
            "reserve",
            "E",
            "applied",
            service="Mail",
            step="notify",
            transaction="notify",
            outcome="refused",
            key="saga-late/notify/execute",
        ),
        {"I11", "I12"},
    ),
    "a step that failed is to be tried again though the saga has turned back": (
        both(),
        record("cancelled", "STEP_COMPENSATED", "notify", type="STEP_FAULTED", retry_ns=EPOCH_NS + HOUR_NS),
        {"I11", "I13", "I17", "I25"},
    ),
}


@pytest.mark.parametrize("with_more", [with_flow, POLICIES])
def test_a_clean_run_stays_clean_when_more_is_known_of_it(with_more: Change) -> None:
    report = check(with_more(clean_run()))
    assert not report.violations, str(report)


@pytest.mark.parametrize("sentence", CHANGES)
def test_it_is_caught_when(sentence: str) -> None:
    with_more, change, broken = CHANGES[sentence]
    report = check(change(with_more(clean_run())))
    assert report.broken == broken, str(report)


def test_what_a_step_was_given_is_judged_where_it_is_known() -> None:
    assert judged_flow(with_flow(clean_run())) == len(SENT)


def test_an_answer_that_no_ledger_vouches_for_is_not_believed() -> None:
    wrong = {**ANSWERS, ("saga-done", "reserve"): '{"held":"y"}'}
    assert judged_flow(replace(with_flow(clean_run()), outputs=wrong)) == len(SENT) - 1


def judged_flow(run: Evidence) -> int | NotYet:
    (flow,) = (verdict for verdict in check(run).verdicts if verdict.invariant == "I16")
    assert not flow.violations
    return flow.judged


@pytest.mark.parametrize(("down_s", "is_late"), [(0, True), (8, True), (9.5, False)])
def test_the_end_of_a_ttl_is_noticed_within_a_second_of_uptime(down_s: float, is_late: bool) -> None:
    def expires(run: Evidence) -> int:
        return next(read.expires_ns or 0 for read in run.reads if read.saga_id == "saga-late")

    at_ns = expires(clean_run()) + 10 * SECOND_NS
    late: Callable[[Evidence], Evidence] = record("late", "DEADLINE_PASSED", time_ns=at_ns)
    down = (expires(clean_run()), expires(clean_run()) + round(down_s * SECOND_NS))
    report = check(replace(late(clean_run()), downtimes_ns=(down,)))
    assert ("I23" in report.broken) is is_late
