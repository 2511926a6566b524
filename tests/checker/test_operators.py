"""What people do is judged: each law that knows of them is broken by some action, or by its traces."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.checker import made
from tests.checker.check import check
from tests.checker.evidence import ActionRead, Evidence, SagaRead, StepRule, TimelineRead
from tests.checker.index import Timeline
from tests.checker.laws.content import needs_undo
from tests.checker.laws.flow import request_hash
from tests.checker.made import (
    EPOCH_NS,
    SECOND_NS,
    Change,
    act,
    asked,
    asked_again,
    both,
    clean_run,
    read,
    record,
    row,
    row_again,
)
from tests.checker.verdict import NotYet

ROUND_2 = "saga-retried/charge/compensate/2"


def unrecorded(saga: str, verb: str, kind: str) -> Change:
    """The record of an operator's action is another: nobody acted."""

    def changed(entry: TimelineRead) -> TimelineRead:
        if entry.action is None or entry.action.verb != verb:
            return entry
        return replace(entry, type=kind, step="", action=None)

    return _reads(saga, lambda one: replace(one, timeline=tuple(map(changed, one.timeline))))


def one_more(saga: str, verb: str, step: str, action_id: str) -> Change:
    """In the last round of reads its timeline ends with an action."""

    def longer(one: SagaRead) -> SagaRead:
        if one.read_at != 3:
            return one
        newest = one.timeline[-1]
        action = ActionRead(verb=verb, action_id=action_id, actor="Ada", reason="the bank called")
        entry = replace(newest, seq=newest.seq + 1, type="OPERATOR_ACTED", step=step, action=action)
        return replace(one, seq=entry.seq, timeline=(*one.timeline, entry))

    return _reads(saga, longer)


def shown(saga: str, step: str, status: str, *, by_hand: bool) -> Change:
    """In the last round of reads a step is shown otherwise."""

    def changed(one: SagaRead) -> SagaRead:
        steps = tuple(
            replace(each, status=status, by_hand=by_hand) if each.name == step else each for each in one.steps
        )
        return replace(one, steps=steps) if one.read_at == 3 else one

    return _reads(saga, changed)


def _reads(saga: str, fold: Callable[[SagaRead], SagaRead]) -> Change:
    def change(run: Evidence) -> Evidence:
        reads = (fold(one) if one.saga_id == f"saga-{saga}" else one for one in run.reads)
        return replace(run, reads=tuple(reads))

    return change


CHANGES: dict[str, tuple[Change, set[str]]] = {
    "an acknowledged action is not recorded": (
        unrecorded("given-up", "CANCEL", "CANCEL_REQUESTED"),
        {"I27"},
    ),
    "an action is recorded twice": (one_more("dead", "CANCEL", "", "x"), {"I25", "I27"}),
    "a record names nobody": (act("vouched", "COMPLETE", actor=""), {"I27"}),
    "a record gives no reason": (act("vouched", "COMPLETE", reason=""), {"I27"}),
    "a record names another action": (act("vouched", "COMPLETE", action_id="x"), {"I27"}),
    "an action that was refused is recorded": (
        asked("given-up", "FAIL reserve", "OK", code="FAILED_PRECONDITION"),
        {"I27"},
    ),
    "an action that came too late is recorded": (
        asked("given-up", "FAIL reserve", "OK", code="ABORTED"),
        {"I27"},
    ),
    "an action that was only asked about is recorded": (
        asked("given-up", "FAIL reserve", "OK", only_asked=True),
        {"I27"},
    ),
    "the same action is said to be done a second time": (
        asked_again("retried", "RETRY charge", "OK", repeated=False),
        {"I27"},
    ),
    "an action that was done is refused when it is asked for again": (
        asked_again("retried", "RETRY charge", "OK", code="ABORTED"),
        {"I27"},
    ),
    "an action that was done is called wrong when it is asked for again": (
        asked_again("vouched", "COMPLETE charge", "OK", code="INVALID_ARGUMENT"),
        {"I27"},
    ),
    "two actions on the same sight of a saga are done": (
        asked("retried", "COMPLETE charge", "ABORTED", code="OK", seq_expected=7, seq=8),
        {"I27"},
    ),
    "an action is said to be repeated that nobody had asked for": (
        asked("vouched", "SKIP notify", "OK", repeated=True),
        {"I27"},
    ),
    "an action is done to a saga that had moved": (
        asked("vouched", "SKIP notify", "OK", seq_expected=3),
        {"I27"},
    ),
    "an action is answered before it is recorded": (asked("vouched", "SKIP notify", "OK", seq=3), {"I27"}),
    "an action is refused for a move that never came": (
        asked("retried", "COMPLETE charge", "ABORTED", seq_expected=12),
        {"I27"},
    ),
    "an action was acknowledged before one that is recorded earlier was asked for": (
        asked("given-up", "FAIL reserve", "OK", invoked_ns=10 * SECOND_NS, replied_ns=11 * SECOND_NS),
        {"I27"},
    ),
    "a forced outcome is not marked": (read("vouched", 3, forced=False), {"I18", "I27"}),
    "an outcome is marked as forced that nobody forced": (read("given-up", 3, forced=True), {"I27"}),
    "a termination is not marked": (read("stopped", 3, forced=False), {"I27"}),
    "a skipped step is shown as done": (shown("vouched", "notify", "SUCCEEDED", by_hand=True), {"I27"}),
    "a step completed by hand is shown as its participant's": (
        shown("vouched", "charge", "SUCCEEDED", by_hand=False),
        {"I27"},
    ),
    "a step is shown as left out that nobody skipped": (
        shown("done", "ship", "SKIPPED", by_hand=True),
        {"I27"},
    ),
    "a step of a forced saga was not applied, and no person had passed it": (
        row("vouched", "ship", "E", "applied"),
        {"I9", "I17"},
    ),
    "a step passed by hand was undone in a completed saga": (
        row_again(
            "vouched",
            "ship",
            "E",
            "applied",
            operation="C",
            service="Pay",
            step="charge",
            transaction="refund",
            outcome="null",
            key="saga-vouched/charge/compensate",
            local_seq=99,
        ),
        {"I11"},
    ),
    "a step passed by hand is undone though the saga completed": (
        row_again(
            "vouched",
            "ship",
            "E",
            "applied",
            operation="C",
            service="Pay",
            step="charge",
            transaction="refund",
            key="saga-vouched/charge/compensate",
            local_seq=99,
        ),
        {"I7", "I9", "I10", "I11"},
    ),
    "another step of a forced saga was left standing": (
        row("left-out", "reserve", "C", "applied"),
        {"I10", "I17"},
    ),
    "a step that was skipped is left standing when its saga turns back": (
        both(
            row("skipped", "charge", "C", "applied"),
            record("skipped", "UNDO_BEGUN", "charge", type="SAGA_RESUMED", step=""),
            record("skipped", "STEP_COMPENSATED", "charge", type="SAGA_RESUMED", step=""),
            shown("skipped", "charge", "SKIPPED", by_hand=True),
        ),
        {"I10", "I13", "I25"},
    ),
    "a round is begun that no retry of a refusal explains": (
        row("given-up", "reserve", "C", "applied", key="saga-given-up/reserve/compensate/2"),
        {"I14"},
    ),
    "a round is left out": (
        row("retried", "charge", "C", "applied", key="saga-retried/charge/compensate/3"),
        {"I14"},
    ),
    "a round is written in another way": (
        row("retried", "charge", "C", "applied", key=ROUND_2 + "x"),
        {"I14"},
    ),
    "a round is of a key going forward": (
        row("retried", "charge", "E", "applied", key="saga-retried/charge/execute/2"),
        {"I14"},
    ),
    "a refusal is asked about again under its own key": (
        row("retried", "charge", "C", "applied", key="saga-retried/charge/compensate"),
        {"I14"},
    ),
    "a round is begun before anybody asked for it": (
        row("retried", "charge", "C", "applied", arrived_ns=1),
        {"I14"},
    ),
    "a round is begun though the one before was not refused": (
        row("retried", "charge", "C", "refused", outcome="duplicate"),
        {"I14"},
    ),
    "a new round carries other content": (
        row("retried", "charge", "C", "applied", request_hash="x"),
        {"I15"},
    ),
    "an effect is undone in two rounds": (
        row("retried", "charge", "C", "refused", outcome="applied"),
        {"I6", "I10", "I14"},
    ),
    "an effect comes back after a later round": (
        row_again(
            "retried",
            "charge",
            "C",
            "applied",
            operation="E",
            transaction="charge",
            request_hash="saga-retried charge E",
            key="saga-retried/charge/execute",
        ),
        {"I6", "I8", "I10"},
    ),
    "a dead letter is left by a saga that nobody acted on": (
        unrecorded("retried", "RETRY", "SAGA_RESUMED"),
        {"I14", "I21", "I22", "I25", "I27", "I28"},
    ),
    "an ended saga is acted on": (one_more("done", "CANCEL", "", "x"), {"I21", "I25", "I27"}),
    "an effect comes after a client was told the end, and nobody had acted": (
        made.run_with(actions=()),
        {"I21", "I27"},
    ),
    "a dead letter is not in the list": (made.run_with(dead_letters=frozenset({"saga-dead"})), {"I22"}),
    "a saga is in the list that needs nobody": (
        made.run_with(dead_letters=frozenset({"saga-dead", "saga-lenient", "saga-retried"})),
        {"I22"},
    ),
    "a saga is in the list that is not known": (
        made.run_with(dead_letters=frozenset({"saga-dead", "saga-lenient", "saga-x"})),
        {"I22"},
    ),
    "a dead letter says that it needs nobody": (read("dead", 3, needs_person=False), {"I22"}),
    "a dead letter does not say what for": (read("dead", 3, error_message=""), {"I22"}),
    "a step is tried early without an operator": (
        unrecorded("vouched", "RETRY", "SAGA_STARTED"),
        {"I24", "I25", "I27"},
    ),
    "an attempt's number is used twice": (
        record("retried", "STEP_COMPENSATED", "charge", attempt=1),
        {"I24"},
    ),
    "a step is passed by hand after the deadline": (
        act("vouched", "COMPLETE", time_ns=EPOCH_NS + 3600 * SECOND_NS),
        {"I23", "I25"},
    ),
    "a step is passed by hand before its turn": (
        act("vouched", "COMPLETE", step="ship"),
        {"I9", "I12", "I17", "I25", "I27"},
    ),
    "a step is asked at once that was not waiting": (
        record("vouched", "STEP_FAULTED", "charge", retry_ns=EPOCH_NS),
        {"I25"},
    ),
    "a dead letter is cancelled": (
        act("left-out", "SKIP", verb="CANCEL", step=""),
        {"I10", "I13", "I22", "I25", "I27"},
    ),
    "an undo is given up twice": (one_more("dead", "FAIL", "charge", "x"), {"I25", "I27"}),
    "a dead letter is set going as a whole": (one_more("dead", "RETRY", "", "x"), {"I25", "I27"}),
    "a terminated saga goes on": (one_more("stopped", "CANCEL", "", "x"), {"I25", "I27"}),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_it_is_caught_when(sentence: str) -> None:
    change, broken = CHANGES[sentence]
    report = check(change(clean_run()))
    assert report.broken == broken, str(report)


@pytest.mark.parametrize(("acted", "is_broken"), [(True, False), (False, True)])
def test_a_retry_of_a_failed_undo_gives_it_a_new_budget(acted: bool, is_broken: bool) -> None:
    later_ns = EPOCH_NS + 3600 * SECOND_NS
    again = record(
        "given-up",
        "STEP_COMPENSATED",
        "reserve",
        type="UNDO_FAULTED",
        time_ns=later_ns + SECOND_NS,
        retry_ns=later_ns + 2 * SECOND_NS,
    )
    retried = both(act("given-up", "RETRY", time_ns=later_ns), again)
    run = (
        retried(clean_run()) if acted else unrecorded("given-up", "RETRY", "SAGA_RESUMED")(again(clean_run()))
    )
    steps = tuple(replace(rule, undo_budget_ns=10 * SECOND_NS) for rule in made.ORDER.steps)
    definitions = {**run.definitions, made.ORDER.digest: replace(made.ORDER, steps=steps)}
    assert ("I24" in check(replace(run, definitions=definitions)).broken) is is_broken


def test_what_an_operator_said_for_a_step_is_given_to_the_next() -> None:
    asks = {"ship": frozenset({"outputs.charge"}), "charge": frozenset[str](), "notify": frozenset[str]()}
    steps = tuple(replace(rule, inputs=asks.get(rule.name, frozenset())) for rule in made.ORDER.steps)
    run = clean_run()
    definitions = {**run.definitions, made.ORDER.digest: replace(made.ORDER, steps=steps)}
    told = replace(run, definitions=definitions, inputs={"saga-vouched": "{}"})

    def given(text: str) -> Evidence:
        rows = (
            replace(one, request_hash=request_hash(one, text if one.step == "ship" else "{}"))
            if one.saga_id == "saga-vouched"
            else one
            for one in told.ledger
        )
        return replace(told, ledger=tuple(rows))

    assert "I16" not in check(given('{"outputs":{"charge":{"paid":true}}}')).broken
    assert "I16" in check(given('{"outputs":{"charge":{"paid":false}}}')).broken


def test_without_operators_nothing_is_said_of_them() -> None:
    run = clean_run()
    quiet = (
        one for one in run.reads if not one.forced and all(entry.action is None for entry in one.timeline)
    )
    report = check(replace(run, actions=None, reads=tuple(quiet)))
    (operators,) = (verdict for verdict in report.verdicts if verdict.invariant == "I27")
    assert isinstance(operators.judged, NotYet)


@pytest.mark.parametrize(("verb", "is_needed"), [("COMPLETE", False), ("SKIP", True)])
def test_a_step_without_an_undo_is_barred_unless_a_person_vouched_for_it(verb: str, is_needed: bool) -> None:
    rule = StepRule(name="b", service="b", transaction="do_b", compensation=None, attempts_max=1)
    act = ActionRead(verb=verb, action_id="x", actor="Ada", reason="the bank called")
    begun = TimelineRead(
        seq=2, time_ns=0, type="STEP_BEGUN", step="b", attempt=1, code="", retry_ns=None, token=1
    )
    acted = replace(begun, seq=3, type="OPERATOR_ACTED", action=act)
    undo = replace(begun, seq=4, type="UNDO_BEGUN", step="a")
    assert needs_undo(rule, Timeline((begun, acted, undo)), undo) is is_needed
    assert needs_undo(replace(rule, compensation="undo_b"), Timeline((begun, acted, undo)), undo)
    assert needs_undo(rule, Timeline((begun, replace(acted, seq=5))), undo)
