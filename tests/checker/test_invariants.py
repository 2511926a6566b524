"""The judge is judged: a clean run passes, and each invariant is broken once and more, and is caught.

A change names all the invariants that it breaks, so that a judge who cries wolf fails as well.
"""

from dataclasses import replace

import pytest

from tests.checker import made
from tests.checker.check import LAWS, check
from tests.checker.evidence import Evidence
from tests.checker.index import Index
from tests.checker.laws.effects import i9_completed_means_all_done
from tests.checker.made import (
    EPOCH_NS,
    SECOND_NS,
    Change,
    both,
    call,
    clean_run,
    read,
    record,
    row,
    row_again,
)
from tests.checker.verdict import NotYet

NEVER_JUDGED = {"I16", "I31"}

CHANGES: dict[str, tuple[Change, set[str]]] = {
    "a saga that was OK'd is in earlier reads only": (read("resumed", 3), {"I1", "I20", "I28"}),
    "an OK names no saga and none has its request id": (
        call("order-unheard", "NONE", code="OK"),
        {"I1"},
    ),
    "one request gets replies that name two sagas": (
        call(
            "order-done", "ALREADY_EXISTS", code="OK", payload_hash="payload of order-done", saga_id="saga-x"
        ),
        {"I1", "I2"},
    ),
    "all steps of a compensated saga stand": (
        both(
            read("done", 1, status="COMPENSATED"),
            read("done", 3, status="COMPENSATED"),
            call("order-done", "OK", ended="FAILED"),
        ),
        {"I9", "I10", "I18", "I25"},
    ),
    "a read counts records that it does not show": (read("late", 3, seq=99), {"I25"}),
    "a read shows other steps than the definition has": (
        read("lenient", 3, steps=(made.shown(made.SHIP),)),
        {"I29"},
    ),
    "a saga that was OK'd is in no read": (read("lenient", 3), {"I1", "I5", "I22"}),
    "a saga that was OK'd is still running at rest": (
        read("done", 3, status="RUNNING"),
        {"I1", "I19", "I20", "I21", "I25", "I28"},
    ),
    "two replies for one request name two sagas": (
        call("order-done", "OK", saga_id="saga-resumed"),
        {"I2", "I21"},
    ),
    "a saga shows the request of another": (
        both(read("refused", 3, request_id="order-late"), read("refused", 1, request_id="order-late")),
        {"I2"},
    ),
    "other content under a known id is OK'd": (
        call("order-done", "ALREADY_EXISTS", code="OK", saga_id="saga-done"),
        {"I3"},
    ),
    "a conflict tells the first saga's id": (
        call("order-done", "ALREADY_EXISTS", saga_id="saga-done"),
        {"I3"},
    ),
    "a refused start leaves a saga": (call("order-late", "OK", code="RESOURCE_EXHAUSTED"), {"I4"}),
    "a row belongs to no saga": (
        row_again("done", "ship", "E", "applied", saga_id="x", key="x/ship/execute"),
        {"I5"},
    ),
    "a row belongs to no step": (
        row_again("done", "ship", "E", "applied", step="x", key="saga-done/x/execute"),
        {"I5"},
    ),
    "an effect is applied twice": (row_again("dead", "charge", "E", "applied"), {"I6"}),
    "an effect is undone twice": (row_again("lenient", "reserve", "C", "applied"), {"I6"}),
    "a compensation is applied to nothing": (
        row("late", "charge", "C", "null", outcome="applied"),
        {"I7", "I10"},
    ),
    "a compensation misses the effect": (row("lenient", "reserve", "C", "applied", outcome="null"), {"I7"}),
    "an effect is applied after its compensation": (
        row("cancelled", "notify", "E", "barred", outcome="applied"),
        {"I6", "I8"},
    ),
    "an effect comes after a null compensation": (
        row_again(
            "dead",
            "ship",
            "C",
            "null",
            operation="E",
            outcome="applied",
            transaction="ship",
            key="saga-dead/ship/execute",
        ),
        {"I8"},
    ),
    "a completed saga's step was not applied": (row("done", "ship", "E", "applied"), {"I9", "I17"}),
    "a completed saga's step was undone": (
        row_again(
            "done",
            "ship",
            "E",
            "applied",
            operation="C",
            transaction="recall",
            key="saga-done/ship/compensate",
        ),
        {"I9", "I10", "I11"},
    ),
    "a compensated saga's effect stands": (row("refused", "reserve", "C", "applied"), {"I10", "I17"}),
    "a step is begun after the abort": (
        made.record_order("cancelled", ("STEP_BEGUN", "notify", "CANCEL_REQUESTED", "")),
        {"I11", "I25"},
    ),
    "a completed saga was sent a compensation": (
        row_again(
            "done",
            "ship",
            "E",
            "applied",
            operation="C",
            transaction="recall",
            outcome="refused",
            key="saga-done/ship/compensate",
        ),
        {"I11"},
    ),
    "a step arrives before the one it depends on": (
        row("done", "charge", "E", "applied", arrived_ns=1),
        {"I12"},
    ),
    "a step is begun before the other's answer is journaled": (
        made.record_order("done", ("STEP_SUCCEEDED", "reserve", "STEP_BEGUN", "charge")),
        {"I12", "I25"},
    ),
    "a compensation arrives before a later one is settled": (
        row("cancelled", "reserve", "C", "applied", arrived_ns=1),
        {"I13"},
    ),
    "an undo begins before a later one is settled": (
        made.record_order("cancelled", ("STEP_COMPENSATED", "charge", "UNDO_BEGUN", "reserve")),
        {"I13", "I25"},
    ),
    "a key is another in a retry": (row("resumed", "charge", "E", "duplicate", key="other"), {"I14"}),
    "a retry carries other content": (row("resumed", "charge", "E", "duplicate", request_hash="x"), {"I15"}),
    "a participant saw other content under a key": (read("dead", 3, flags=("ship: KEY_REUSED",)), {"I15"}),
    "a step is said done and was not applied": (row("dead", "notify", "E", "applied"), {"I17"}),
    "a step was applied and the ended saga does not know": (
        both(
            row_again(
                "refused",
                "reserve",
                "E",
                "applied",
                service="Mail",
                step="notify",
                transaction="notify",
                key="saga-refused/notify/execute",
                request_hash="y",
                local_seq=99,
            ),
        ),
        {"I11", "I12", "I17"},
    ),
    "an order that failed is charged": (
        made.books(charged_nanos={"order-late": 1, "order-done": 100, "order-resumed": 100}),
        {"I18"},
    ),
    "a completed order has no pieces": (made.books(reserved_pieces={"order-done": 100}), {"I18"}),
    "the stock does not add up": (made.books(stock_adds_up=False), {"I18"}),
    "the money does not add up": (made.books(money_adds_up=False), {"I18"}),
    "a client was told another end": (call("order-dead", "OK", ended="SUCCESS"), {"I21"}),
    "a terminal status changes": (read("done", 1, status="COMPENSATED"), {"I21"}),
    "a finished saga is a dead letter": (
        both(
            read("done", 1, status="DEAD_LETTERED"),
            read("done", 3, status="DEAD_LETTERED"),
            call("order-done", "OK", ended="FAILED"),
        ),
        {"I22", "I25"},
    ),
    "a failed undo is no dead letter": (read("dead", 3, status="TERMINATED"), {"I22", "I25", "I27"}),
    "a step is begun after the deadline": (
        both(read("done", 1, expires_ns=EPOCH_NS), read("done", 3, expires_ns=EPOCH_NS)),
        {"I23"},
    ),
    "a saga turns back before its deadline": (
        read("late", 3, expires_ns=EPOCH_NS + 3600 * SECOND_NS),
        {"I23"},
    ),
    "a step is tried too often": (record("done", "STEP_SUCCEEDED", "ship", attempt=4), {"I24"}),
    "a step is tried again too soon": (
        record("refused", "STEP_FAULTED", "charge", retry_ns=EPOCH_NS + 3600 * SECOND_NS),
        {"I24"},
    ),
    "a permanent failure is tried again": (
        record("refused", "STEP_FAULTED", "charge", code="UNIMPLEMENTED"),
        {"I24"},
    ),
    "a record is missing": (record("late", "SAGA_STARTED", seq=0), {"I25"}),
    "a token goes back": (record("resumed", "SAGA_RESUMED", token=0), {"I25"}),
    "a record is older than the one before": (record("done", "STEP_BEGUN", "ship", time_ns=1), {"I25"}),
    "a step is answered that was never begun": (
        record("dead", "STEP_BEGUN", "ship", type="SAGA_RESUMED", step=""),
        {"I25"},
    ),
    "an effect comes from a coordinator that was superseded": (
        row("resumed", "notify", "E", "applied", token=1, service="Pay", local_seq=99),
        {"I26", "I29"},
    ),
    "a read goes back": (read("resumed", 2, status="COMPENSATING", seq=99), {"I28"}),
    "a record changes between reads": (
        read("resumed", 2, timeline=()),
        {"I28", "I30"},
    ),
    "a saga changes its definition": (read("resumed", 2, definition_digest="d2"), {"I29"}),
    "a saga's definition is not known": (
        both(read("late", 3, definition_digest="x")),
        {"I29"},
    ),
    "a call goes to another transaction": (row("done", "ship", "E", "applied", transaction="x"), {"I29"}),
    "a saga has no deadline, and its definition gives it one": (read("done", 3, expires_ns=None), {"I23"}),
    "a saga has another deadline than its definition gives it": (
        read("done", 3, expires_ns=EPOCH_NS + made.TTL_NS + SECOND_NS),
        {"I23"},
    ),
    "a secret is logged": (made.run_with(logs={"coordinator": "card 4111-secret"}), {"I32"}),
}


def test_a_clean_run_keeps_every_invariant() -> None:
    report = check(clean_run())
    assert not report.violations, str(report)


def test_a_clean_run_gives_every_invariant_something_to_judge() -> None:
    not_judged = {
        verdict.invariant for verdict in check(clean_run()).verdicts if isinstance(verdict.judged, NotYet)
    }
    assert not_judged == NEVER_JUDGED


@pytest.mark.parametrize("sentence", CHANGES)
def test_it_is_caught_when(sentence: str) -> None:
    change, broken = CHANGES[sentence]
    report = check(change(clean_run()))
    assert report.broken == broken, str(report)


def test_every_judged_invariant_is_broken_by_some_change() -> None:
    broken = set().union(*(invariants for _, invariants in CHANGES.values()))
    assert broken == {f"I{number}" for number in range(1, len(LAWS) + 1)} - NEVER_JUDGED


def test_a_report_names_every_invariant_in_order_and_then_what_breaks_them() -> None:
    change, _ = CHANGES["an effect is applied twice"]
    lines = str(check(change(clean_run()))).splitlines()
    assert [line.split()[0] for line in lines[: len(LAWS)]] == [f"I{n}" for n in range(1, len(LAWS) + 1)]
    assert "VIOLATED 1 of" in lines[5]
    assert lines[len(LAWS) :] == ["  I6: saga saga-dead: Execute of charge was applied 2 times"]


def test_a_report_does_not_repeat_the_secret_that_it_found() -> None:
    change, _ = CHANGES["a secret is logged"]
    assert "4111-secret" not in str(check(change(clean_run())))


def test_an_invariant_with_nothing_to_look_at_is_not_judged() -> None:
    nothing = Evidence(ledger=(), calls=(), reads=(), definitions={}, restarts=0)
    report = check(nothing)
    assert all(isinstance(verdict.judged, NotYet) for verdict in report.verdicts), str(report)


def test_what_is_still_under_way_is_no_fault_before_the_run_came_to_rest() -> None:
    run = both(read("resumed", 3), made.run_with(at_rest=False))(clean_run())
    moving = tuple(replace(shown, read_at=3) if shown.status == "RUNNING" else shown for shown in run.reads)
    assert not {"I1", "I19", "I20"} & check(replace(run, reads=moving)).broken


def test_turning_back_late_is_judged_only_where_the_coordinator_was_never_down() -> None:
    late = record("late", "DEADLINE_PASSED", time_ns=EPOCH_NS + 40 * SECOND_NS)(clean_run())
    assert "I23" not in check(late).broken
    assert "I23" in check(replace(late, restarts=0)).broken


def test_steps_that_declare_no_undo_may_all_stand_in_a_saga_that_turned_back() -> None:
    change, _ = CHANGES["all steps of a compensated saga stand"]
    run = change(clean_run())
    without_undo = replace(
        made.ORDER, steps=tuple(replace(rule, compensation=None) for rule in made.ORDER.steps)
    )
    for definition, broken in ((made.ORDER, {"saga-done"}), (without_undo, set())):
        definitions = {**run.definitions, made.ORDER.digest: definition}
        finding = i9_completed_means_all_done(Index(replace(run, definitions=definitions)))
        about = {wrong.saga_id for wrong in finding.violations if "all its steps stand" in wrong.sentence}
        assert about == broken
