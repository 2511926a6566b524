"""The judge is judged on graphs with a pivot: sound trips pass, and what is planted in one is caught.

As in test_invariants.py, a change names all the invariants that it breaks.
"""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from tests.checker import made
from tests.checker.check import check
from tests.checker.evidence import Evidence, LedgerRow
from tests.checker.laws.flow import request_hash
from tests.checker.made import (
    EPOCH_NS,
    SECOND_NS,
    Change,
    act,
    asked,
    both,
    call,
    read,
    record,
    record_order,
    row,
    row_again,
)
from tests.checker.made_trips import HOUR_NS, defined, rule, trips

GIVEN = {
    "saga-done": '{"lounge":{"seats":2},"name":"Ada"}',
    "saga-plain": '{"name":"Ada"}',
    "saga-declined": '{"lounge":null,"name":"Ada"}',
    "saga-cut-short": '{"name":"Ada"}',
}
ANSWERS = {"flight": '{"seat":"1A"}', "hotel": '{"price":2,"room":"7"}', "upgrade": '{"price":3}', "pay": "1"}
SENT = {
    ("saga-done", "flight", "E"): '{"lounge":{"seats":2},"name":"Ada","outputs":{}}',
    ("saga-done", "hotel", "E"): '{"lounge":{"seats":2},"name":"Ada","outputs":{}}',
    ("saga-done", "upgrade", "E"): '{"lounge":{"seats":2},"name":"Ada","outputs":{"flight":{"seat":"1A"}}}',
    ("saga-done", "pay", "E"): '{"payer":"Ada","prices":[2,3]}',
    ("saga-done", "ticket", "E"): '{"outputs":{"flight":{"seat":"1A"},"upgrade":{"price":3}}}',
    ("saga-plain", "flight", "E"): '{"name":"Ada","outputs":{}}',
    ("saga-plain", "hotel", "E"): '{"name":"Ada","outputs":{}}',
    ("saga-plain", "pay", "E"): '{"payer":"Ada","prices":[2,0]}',
    ("saga-plain", "ticket", "E"): '{"outputs":{"flight":{"seat":"1A"}}}',
    ("saga-declined", "flight", "E"): '{"lounge":null,"name":"Ada","outputs":{}}',
    ("saga-declined", "flight", "C"): '{"lounge":null,"name":"Ada","outputs":{}}',
    ("saga-declined", "hotel", "E"): '{"lounge":null,"name":"Ada","outputs":{}}',
    ("saga-declined", "hotel", "C"): '{"fee":0,"room":"7"}',
    ("saga-declined", "upgrade", "E"): '{"lounge":null,"name":"Ada","outputs":{"flight":{"seat":"1A"}}}',
    ("saga-declined", "upgrade", "C"): '{"lounge":null,"name":"Ada","outputs":{"flight":{"seat":"1A"}}}',
    ("saga-declined", "pay", "E"): '{"payer":"Ada","prices":[2,3]}',
    ("saga-cut-short", "flight", "E"): '{"name":"Ada","outputs":{}}',
    ("saga-cut-short", "hotel", "E"): '{"name":"Ada","outputs":{}}',
    ("saga-cut-short", "hotel", "C"): '{"fee":0,"room":"any"}',
}
OUTPUTS = {
    "done": '{"of":"Ada","price":3,"seat":"1A"}',
    "plain": '{"of":"Ada","price":0,"seat":"1A"}',
}
CONDITIONS = 3
"""So many of those sagas came to the condition of the upgrade."""


def with_flow(run: Evidence) -> Evidence:
    """The same trips, where it is known of some what they were given and what was answered."""

    def told(one: LedgerRow) -> LedgerRow:
        sent = SENT.get((one.saga_id, one.step, one.operation))
        if sent is None:
            return one
        result = hashlib.sha256(ANSWERS.get(one.step, "").encode()).hexdigest()
        return replace(one, request_hash=request_hash(one, sent), result_hash=result)

    outputs = {(saga_id, step): text for saga_id in GIVEN for step, text in ANSWERS.items()}
    run = both(*(read(saga, 3, output=output) for saga, output in OUTPUTS.items()))(run)
    return replace(run, ledger=tuple(map(told, run.ledger)), inputs=GIVEN, outputs=outputs)


def arrives_with(saga: str, call_of: tuple[str, str, str], other: tuple[str, str, str]) -> Change:
    """A call arrives together with another one of its saga; each by step, operation and outcome."""

    def change(run: Evidence) -> Evidence:
        (arrived_ns,) = (
            one.arrived_ns
            for one in run.ledger
            if (one.saga_id, one.step, one.operation, one.outcome) == (f"saga-{saga}", *other)
        )
        return row(saga, *call_of, arrived_ns=arrived_ns)(run)

    return change


def gone(saga: str, kind: str, step: str = "") -> Change:
    """In place of such a record stands one that says nothing."""
    return record(saga, kind, step, type="SAGA_RESUMED", step="", action=None)


def compensated(saga: str, after: str, step: str, service: str) -> Change:
    """A step is sent a Compensate, which it refuses, right after another one was applied."""
    return row_again(
        saga,
        after,
        "E",
        "applied",
        operation="C",
        outcome="refused",
        step=step,
        service=service,
        local_seq=99,
        transaction="cancel",
        key=f"saga-{saga}/{step}/compensate",
    )


def shown_as(saga: str, step: str, status: str) -> Change:
    """In the last round of reads a step is shown otherwise."""

    def change(run: Evidence) -> Evidence:
        (found,) = (one for one in run.reads if (one.saga_id, one.read_at) == (f"saga-{saga}", 3))
        steps = tuple(replace(each, status=status) if each.name == step else each for each in found.steps)
        return read(saga, 3, steps=steps)(run)

    return change


def only(saga: str) -> Change:
    """There was no other saga."""

    def change(run: Evidence) -> Evidence:
        saga_id = f"saga-{saga}"
        return replace(
            run,
            ledger=tuple(one for one in run.ledger if one.saga_id == saga_id),
            reads=tuple(one for one in run.reads if one.saga_id == saga_id),
            calls=tuple(one for one in run.calls if one.request_id == f"order-{saga}"),
            actions=tuple(one for one in run.actions or () if one.saga_id == saga_id),
            dead_letters=frozenset({saga_id}) & (run.dead_letters or frozenset()),
        )

    return change


def expires_with(saga: str, kind: str, step: str) -> Change:
    """Its time ends at the moment of one record."""

    def change(run: Evidence) -> Evidence:
        last = next(one for one in run.reads if (one.saga_id, one.read_at) == (f"saga-{saga}", 3))
        (at_ns,) = (entry.time_ns for entry in last.timeline if (entry.type, entry.step) == (kind, step))
        return read(saga, 3, expires_ns=at_ns)(run)

    return change


def until(saga: str, kind: str, step: str, /, **shown: Any) -> Change:
    """There was no other saga, and what is known of it ends with one record, while it was under way."""

    def change(run: Evidence) -> Evidence:
        last = next(one for one in run.reads if (one.saga_id, one.read_at) == (f"saga-{saga}", 3))
        names = [(entry.type, entry.step) for entry in last.timeline]
        timeline = last.timeline[: names.index((kind, step)) + 1]
        known = replace(last, timeline=timeline, seq=len(timeline), **shown)
        return replace(
            only(saga)(run),
            ledger=(),
            reads=(known,),
            calls=(),
            actions=None,
            dead_letters=None,
            at_rest=False,
        )

    return change


CHANGES: dict[str, tuple[Change, set[str]]] = {
    "a step that was omitted was called": (
        row_again(
            "plain",
            "flight",
            "E",
            "applied",
            step="upgrade",
            service="Lounge",
            local_seq=99,
            transaction="upgrade",
            key="saga-plain/upgrade/execute",
        ),
        {"I9", "I11", "I17", "I24"},
    ),
    "a step is left out that was not omitted": (
        gone("plain", "STEP_OMITTED", "upgrade"),
        {"I9", "I12", "I17", "I25"},
    ),
    "a step is omitted that has no condition": (both(rule("upgrade", when=None), only("plain")), {"I25"}),
    "a step is omitted before its turn": (
        record_order("plain", ("STEP_OMITTED", "upgrade", "STEP_SUCCEEDED", "flight")),
        {"I25"},
    ),
    "a step is omitted after its saga has turned back": (
        record("cut-short", "STEP_COMPENSATED", "hotel", type="STEP_OMITTED", step="upgrade"),
        {"I17", "I25"},
    ),
    "a completed saga's step past the pivot was not applied": (
        row("done", "mail", "E", "applied"),
        {"I9", "I17"},
    ),
    "a saga that only lacks its output leaves an effect standing": (
        row("unshaped", "flight", "C", "applied"),
        {"I10", "I17"},
    ),
    "a saga in doubt is undone": (compensated("doubted", "pay", "flight", "Air"), {"I11", "I24"}),
    "a saga past its pivot is undone by its journal": (
        record("doubted", "DEADLINE_PASSED", type="UNDO_BEGUN", step="hotel"),
        {"I11", "I13", "I23", "I25"},
    ),
    "a saga past its pivot is cancelled": (
        record("late", "DEADLINE_PASSED", type="CANCEL_REQUESTED"),
        {"I9", "I11", "I17", "I23", "I25", "I27"},
    ),
    "an undo is sent before the pivot is refused": (
        arrives_with("declined", ("hotel", "C", "applied"), ("upgrade", "E", "applied")),
        {"I11"},
    ),
    "an undo is sent before a person gave the pivot up": (
        asked("given-up", "FAIL pay", "OK", invoked_ns=10**15, replied_ns=None),
        {"I11"},
    ),
    "the pivot is begun after the saga has turned back": (
        record("cut-short", "STEP_COMPENSATED", "hotel", type="PIVOT_BEGUN", step="pay"),
        {"I11", "I12", "I25"},
    ),
    "a step arrives before one that it depends on, of two": (
        arrives_with("done", ("pay", "E", "applied"), ("hotel", "E", "applied")),
        {"I12"},
    ),
    "a step arrives before one that it depends on through an omitted one": (
        arrives_with("plain", ("pay", "E", "applied"), ("flight", "E", "applied")),
        {"I12"},
    ),
    "a step is begun before the one that is to be omitted": (
        record_order("plain", ("STEP_OMITTED", "upgrade", "PIVOT_BEGUN", "pay")),
        {"I12", "I25"},
    ),
    "an undo arrives before a later one is settled, through an omitted step": (
        arrives_with("declined-late", ("flight", "C", "applied"), ("pay", "C", "null")),
        {"I13"},
    ),
    "an undo begins before a later one is settled, through an omitted step": (
        record_order("declined-late", ("STEP_COMPENSATED", "pay", "UNDO_BEGUN", "flight")),
        {"I13", "I25"},
    ),
    "a refused step past the pivot is asked again under its old key": (
        row("stuck", "ticket", "E", "applied", key="saga-stuck/ticket/execute"),
        {"I14"},
    ),
    "a round past the pivot is left out": (
        row("stuck", "ticket", "E", "applied", key="saga-stuck/ticket/execute/3"),
        {"I14"},
    ),
    "a round past the pivot is begun that nobody asked for": (
        row("done", "ticket", "E", "applied", key="saga-done/ticket/execute/2"),
        {"I14"},
    ),
    "a pivot in doubt is asked again under another key": (
        row("revived", "pay", "E", "duplicate", key="saga-revived/pay/execute/2"),
        {"I14"},
    ),
    "a round past the pivot is begun before it was asked for": (
        row("stuck", "ticket", "E", "applied", arrived_ns=1),
        {"I12", "I14"},
    ),
    "a round past the pivot carries other content": (
        row("stuck", "ticket", "E", "applied", request_hash="x"),
        {"I15"},
    ),
    "a step is shown as omitted that was not": (shown_as("done", "ticket", "OMITTED"), {"I17"}),
    "a step is shown as failed that is not": (shown_as("done", "ticket", "FAILED"), {"I17"}),
    "a step that failed is not shown so": (shown_as("doubted", "pay", "BEGUN"), {"I17"}),
    "a client was told that a saga in doubt has failed": (
        call("order-doubted", "DEADLINE_EXCEEDED", code="OK", saga_id="saga-doubted", ended="FAILED"),
        {"I21"},
    ),
    "a dead letter that goes forward moves on, and nobody acted": (
        both(gone("revived", "OPERATOR_ACTED", "pay"), made.run_with(actions=None)),
        {"I17", "I21", "I22", "I24", "I25"},
    ),
    "a pivot in doubt is no dead letter": (read("doubted", 3, status="TERMINATED"), {"I22", "I25", "I27"}),
    "a pivot in doubt is not listed": (made.run_with(dead_letters=frozenset()), {"I22"}),
    "a saga is listed that a person has helped forward": (
        made.run_with(dead_letters=frozenset({"saga-doubted", "saga-stuck"})),
        {"I22"},
    ),
    "a pivot in doubt says that it needs nobody": (read("doubted", 3, needs_person=False), {"I22"}),
    "a saga is completed in spite of a step that failed": (
        both(gone("stuck", "OPERATOR_ACTED", "ticket"), made.run_with(actions=None)),
        {"I14", "I17", "I21", "I22", "I25"},
    ),
    "the pivot is begun after the deadline": (
        expires_with("late", "PIVOT_BEGUN", "pay"),
        {"I23"},
    ),
    "a step before the pivot is answered after the deadline": (
        expires_with("late", "STEP_SUCCEEDED", "upgrade"),
        {"I23"},
    ),
    "a saga is said to be late before it is, past its pivot": (
        read("late", 3, expires_ns=EPOCH_NS + 5 * HOUR_NS),
        {"I23"},
    ),
    "a saga that is late is not shown so": (read("late", 3, overdue=False), {"I23"}),
    "a saga is shown as late that is not": (read("done", 3, overdue=True), {"I23"}),
    "a saga is said to be late that has no deadline": (
        both(read("late", 1, expires_ns=None), read("late", 3, expires_ns=None)),
        {"I23"},
    ),
    "an output is shown that was not shaped": (read("unsaid", 3, output="{}"), {"I17"}),
    "an output that was shaped is not shown": (read("done", 3, output=""), {"I17"}),
    "a saga is said to be late twice": (
        record("late", "STEP_FAULTED", "ticket", type="DEADLINE_PASSED", step="", retry_ns=None),
        {"I25"},
    ),
    "a pivot is given up within its budget": (rule("pay", budget_ns=2 * HOUR_NS), {"I24"}),
    "a step past the pivot goes on beyond its budget": (rule("mail", budget_ns=SECOND_NS), {"I24"}),
    "a step past the pivot waits longer than its policy's longest wait": (
        rule("mail", wait_ns_max=SECOND_NS),
        {"I24"},
    ),
    "a step past the pivot is tried more often than it may be": (rule("pay", attempts_max=1), {"I24"}),
    "a step that can be undone goes on beyond its budget": (rule("hotel", budget_ns=SECOND_NS // 2), {"I24"}),
    "more steps are at work than may be": (defined(parallel_max=1), {"I25"}),
    "a pivot begins as any other step": (record("done", "PIVOT_BEGUN", "pay", type="STEP_BEGUN"), {"I25"}),
    "a step begins as the pivot that it is not": (
        record("done", "STEP_BEGUN", "hotel", type="PIVOT_BEGUN"),
        {"I25"},
    ),
    "a saga is completed without the output that it shall have": (
        gone("done", "OUTPUT_SHAPED"),
        {"I17", "I25"},
    ),
    "an output is shaped that nobody asked for": (defined(output=None), {"I25"}),
    "an output is shaped before all is done": (
        record_order("done", ("OUTPUT_SHAPED", "", "STEP_SUCCEEDED", "ticket")),
        {"I25"},
    ),
    "a step without an expression fails by one": (rule("mail", shape=None), {"I25"}),
    "an undo without an expression fails by one": (rule("hotel", undo_shape=None), {"I25"}),
    "an expression fails before its step's turn": (
        record_order("unasked", ("EXPRESSION_FAILED", "upgrade", "STEP_SUCCEEDED", "flight")),
        {"I25"},
    ),
    "a step past the pivot that is given up turns the saga back": (
        both(act("given-up", "FAIL", step="ticket"), asked("given-up", "FAIL pay", "OK", step="ticket")),
        {"I11", "I17", "I22", "I25"},
    ),
    "a step past the pivot is given up twice": (
        act("skipped", "SKIP", verb="FAIL"),
        {"I9", "I17", "I22", "I25", "I27"},
    ),
    "a dead letter that goes forward is cancelled": (
        act("skipped", "SKIP", verb="CANCEL", step=""),
        {"I9", "I11", "I17", "I22", "I25", "I27"},
    ),
    "a step is skipped before its turn": (
        act("let-pass", "SKIP", step="flight"),
        {"I9", "I12", "I25", "I27"},
    ),
    "a step past the pivot that was skipped is not marked as forced": (
        read("skipped", 3, forced=False),
        {"I27"},
    ),
}


FLOWS: dict[str, Change] = {
    "a pivot is given something else than its mapping yields": row(
        "done", "pay", "E", "applied", request_hash="x"
    ),
    "a default output is not used": both(rule("upgrade", default_output='{"price":1}'), only("plain")),
    "an undo is given something else than its mapping yields": row(
        "declined", "hotel", "C", "applied", request_hash="x"
    ),
    "an undo is given an output that was not known": both(
        rule("hotel", default_output='{"room":"7"}'), only("cut-short")
    ),
    "a step is called though its mapping fails": both(
        rule("pay", shape={"to": "input.nobody"}), only("done")
    ),
    "a step is omitted though its condition is true": rule("upgrade", when="has(input.name)"),
    "a step is begun though its condition is false": both(rule("upgrade", when="false"), only("done")),
    "a step is begun though its condition fails": both(rule("upgrade", when="input.nobody"), only("done")),
    "an output is shown that its mapping does not yield": read("done", 3, output=OUTPUTS["plain"]),
    "an output is shown though its mapping fails": both(defined(output={"of": "input.nobody"}), only("done")),
    "a step gets the output of one that it does not depend on": both(
        rule("upgrade", depends_on=("flight", "hotel")), only("done")
    ),
}


def test_sound_trips_keep_every_invariant() -> None:
    report = check(trips())
    assert not report.violations, str(report)


@pytest.mark.parametrize("sentence", CHANGES)
def test_it_is_caught_when(sentence: str) -> None:
    change, broken = CHANGES[sentence]
    report = check(change(trips()))
    assert report.broken == broken, str(report)


WHY: dict[str, Change] = {
    "its pivot had begun": record("late", "DEADLINE_PASSED", type="CANCEL_REQUESTED"),
    "it had failed already": act("skipped", "SKIP", verb="FAIL"),
    "that was known": record(
        "late", "STEP_FAULTED", "ticket", type="DEADLINE_PASSED", step="", retry_ns=None
    ),
    "as many steps were at work as may be": defined(parallel_max=1),
}


@pytest.mark.parametrize("sentence", WHY)
def test_of_a_record_that_cannot_be_it_is_said_why(sentence: str) -> None:
    report = check(WHY[sentence](trips()))
    assert any(sentence in str(violation) for violation in report.violations), str(report)


def test_a_running_saga_is_not_cancelled_past_its_pivot_by_hand_either() -> None:
    cancelled = act("skipped", "FAIL", verb="CANCEL", step="")
    report = check(cancelled(trips()))
    assert any("its pivot had begun" in str(violation) for violation in report.violations), str(report)


def test_the_undo_of_what_a_person_vouched_for_may_fail_by_the_input_that_was_never_made() -> None:
    without = rule("hotel", undo_shape=None, shape={"name": "input.name"})
    assert not check(both(without, only("vouched"))(trips())).violations
    assert check(both(without, only("unsent"))(trips())).broken == {"I25"}
    assert check(both(rule("hotel", undo_shape=None), only("vouched"))(trips())).broken == {"I25"}


def test_attempts_are_counted_anew_when_a_person_has_a_step_tried_again() -> None:
    counted = both(rule("pay", attempts_max=2, budget_ns=2 * HOUR_NS), only("revived"))
    assert not check(counted(trips())).violations
    report = check(both(rule("pay", attempts_max=1), only("revived"))(trips()))
    assert sum("had attempt 2 of 1" in str(violation) for violation in report.violations) == 2, str(report)


@pytest.mark.parametrize(
    ("record_of", "status", "is_sound"),
    [
        (("STEP_REFUSED", "ticket"), "RUNNING", True),
        (("STEP_REFUSED", "ticket"), "DEAD_LETTERED", False),
        (("STEP_SUCCEEDED", "mail"), "RUNNING", False),
        (("STEP_SUCCEEDED", "mail"), "DEAD_LETTERED", True),
        (("OPERATOR_ACTED", "ticket"), "RUNNING", True),
        (("STEP_SUCCEEDED", "ticket"), "RUNNING", True),
        (("STEP_SUCCEEDED", "ticket"), "COMPLETED", False),
    ],
)
def test_a_saga_with_a_failed_step_runs_on_as_long_as_anything_else_can_be_done(
    record_of: tuple[str, str], status: str, is_sound: bool
) -> None:
    report = check(until("stuck", *record_of, status=status)(trips()))
    assert ("I25" not in report.broken) is is_sound, str(report)


@pytest.mark.parametrize("sentence", FLOWS)
def test_what_a_step_was_given_is_caught_when(sentence: str) -> None:
    report = check(FLOWS[sentence](with_flow(trips())))
    assert "I16" in report.broken, str(report)


def test_what_mappings_and_conditions_yield_is_judged_where_it_can_be_told() -> None:
    report = check(with_flow(trips()))
    assert not report.violations, str(report)
    (flow,) = (verdict for verdict in report.verdicts if verdict.invariant == "I16")
    assert flow.judged == len(SENT) + len(OUTPUTS) + CONDITIONS


@pytest.mark.parametrize(("answer", "is_wrong"), [('{"seat":"1A"}', True), ("{}", False)])
def test_an_expression_that_is_said_to_fail_and_yields_something_is_caught(
    answer: str, is_wrong: bool
) -> None:
    given, told = {"saga-unshaped": '{"name":"Ada"}'}, {("saga-unshaped", "flight"): answer}
    result = hashlib.sha256(answer.encode()).hexdigest()
    answered = row("unshaped", "flight", "E", "applied", result_hash=result)
    report = check(replace(answered(trips()), inputs=given, outputs=told))
    assert any("is said to fail" in str(violation) for violation in report.violations) is is_wrong
