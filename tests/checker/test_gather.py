"""What the APIs answer becomes evidence unchanged: nothing is dropped, and nothing is made up."""

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from saga.v1 import coordinator_pb2, ledger_pb2, types_pb2
from tests.checker.evidence import ActionRead, LedgerRow, SagaRead, StepRead, StepRule, TimelineRead
from tests.checker.gather import definition_of, duration_ns, ledger_rows, saga_read

TRIP = {
    "sagaName": "Trip",
    "ttl": "30s",
    "steps": [
        {
            "name": "flight",
            "service": "Air",
            "transaction": "book",
            "compensation": "release",
            "retry": {"maxAttempts": 3, "maxBackoff": "2s"},
            "compensationRetry": {"maxBackoff": "5m", "budget": "72h"},
            "onCompensationFailure": "continue",
            "input": ["from", "to"],
        },
        {"service": "Mail", "transaction": "mail", "compensation": None},
    ],
}


def test_a_ledger_entry_becomes_a_row() -> None:
    entry = ledger_pb2.LedgerEntry(
        local_seq=7,
        service="Pay",
        saga_id="s",
        step="charge",
        operation=ledger_pb2.OPERATION_COMPENSATE,
        transaction="refund",
        idempotency_key="s/charge/compensate",
        outcome=ledger_pb2.LEDGER_OUTCOME_NULL,
        request_hash="q",
        result_hash="r",
        fencing_token=2,
        arrived_ns=10,
        committed_ns=11,
    )
    assert ledger_rows([entry]) == (
        LedgerRow(
            service="Pay",
            local_seq=7,
            saga_id="s",
            step="charge",
            operation="C",
            transaction="refund",
            key="s/charge/compensate",
            outcome="null",
            request_hash="q",
            result_hash="r",
            token=2,
            arrived_ns=10,
            committed_ns=11,
        ),
    )


def test_a_saga_becomes_a_read_with_its_steps_and_its_timeline() -> None:
    message = types_pb2.Saga(
        saga_id="s",
        saga_name="Order",
        definition_digest="d",
        request_id="r",
        status=types_pb2.SAGA_STATUS_DEAD_LETTERED,
        error_message="why",
        create_time=Timestamp(seconds=1, nanos=5),
        seq=1,
        steps=[
            types_pb2.Step(name="a", service="A", transaction="t", status=types_pb2.STEP_STATUS_UNDO_FAILED)
        ],
        timeline=[
            types_pb2.TimelineEntry(
                seq=1,
                time=Timestamp(seconds=2),
                type=types_pb2.EVENT_TYPE_STEP_FAULTED,
                step="a",
                attempt=1,
                code="UNAVAILABLE",
                retry_time=Timestamp(seconds=3),
                fencing_token=4,
            )
        ],
        flags=["a: BARRED"],
    )
    step = StepRead(
        name="a",
        service="A",
        transaction="t",
        compensation=None,
        status="UNDO_FAILED",
        attempts=0,
        undo_attempts=0,
    )
    entry = TimelineRead(
        seq=1,
        time_ns=2_000_000_000,
        type="STEP_FAULTED",
        step="a",
        attempt=1,
        code="UNAVAILABLE",
        retry_ns=3_000_000_000,
        token=4,
    )
    assert saga_read(message, 9) == SagaRead(
        read_at=9,
        saga_id="s",
        saga_name="Order",
        definition_digest="d",
        request_id="r",
        status="DEAD_LETTERED",
        error_message="why",
        created_ns=1_000_000_005,
        expires_ns=None,
        seq=1,
        steps=(step,),
        timeline=(entry,),
        flags=("a: BARRED",),
    )


def test_what_an_operator_did_becomes_part_of_its_record() -> None:
    message = types_pb2.Saga(
        needs_person=True,
        forced=True,
        overdue=True,
        output_json="{}",
        steps=[types_pb2.Step(name="a", status=types_pb2.STEP_STATUS_UNDO_SKIPPED, by_hand=True)],
        timeline=[
            types_pb2.TimelineEntry(
                type=types_pb2.EVENT_TYPE_OPERATOR_ACTED,
                step="a",
                operator_action=types_pb2.OperatorAction(
                    verb=types_pb2.OPERATOR_VERB_SKIP, action_id="i", actor="Ada", reason="why"
                ),
            )
        ],
    )
    read = saga_read(message, 1)
    assert (read.needs_person, read.forced, read.overdue, read.output) == (True, True, True, "{}")
    assert [(step.status, step.by_hand) for step in read.steps] == [("UNDO_SKIPPED", True)]
    assert [(entry.type, entry.step, entry.action) for entry in read.timeline] == [
        ("OPERATOR_ACTED", "a", ActionRead(verb="SKIP", action_id="i", actor="Ada", reason="why"))
    ]


def test_a_definition_is_read_with_what_it_leaves_to_the_defaults() -> None:
    found = definition_of(coordinator_pb2.Definition(digest="d", definition_json=json.dumps(TRIP)))
    assert (found.name, found.digest, found.ttl_ns) == ("Trip", "d", 30_000_000_000)
    assert found.steps == (
        StepRule(
            name="flight",
            service="Air",
            transaction="book",
            compensation="release",
            attempts_max=3,
            continues_on_failure=True,
            inputs=frozenset({"from", "to"}),
            wait_ns_max=2_000_000_000,
            undo_wait_ns_max=300_000_000_000,
            undo_budget_ns=72 * 3_600_000_000_000,
        ),
        StepRule(name="mail", service="Mail", transaction="mail", compensation=None, attempts_max=5),
    )


def test_a_definition_is_read_with_its_graph_its_pivot_and_its_mappings() -> None:
    document = {
        "sagaName": "Trip",
        "maxParallel": 3,
        "output": {"seat": "outputs.fly.seat"},
        "steps": [
            {
                "service": "Air",
                "transaction": "fly",
                "compensation": "cancel",
                "dependsOn": [],
                "when": "has(input.air)",
                "input": {"from": "input.from"},
                "compensationInput": {"seat": "outputs.fly.seat"},
                "defaultOutput": None,
                "retry": {"maxAttempts": 4, "budget": "10s"},
            },
            {
                "service": "Bank",
                "transaction": "pay",
                "compensation": None,
                "dependsOn": ["fly"],
                "kind": "pivot",
                "retry": {"maxAttempts": None, "maxBackoff": "5s", "budget": "1h"},
            },
            {"service": "Mail", "transaction": "mail", "compensation": None, "kind": "retriable"},
        ],
    }
    found = definition_of(coordinator_pb2.Definition(digest="d", definition_json=json.dumps(document)))
    assert (found.parallel_max, found.pivot) == (3, "pay")
    assert found.output == {"seat": "outputs.fly.seat"}
    assert found.steps == (
        StepRule(
            name="fly",
            service="Air",
            transaction="fly",
            compensation="cancel",
            attempts_max=4,
            depends_on=(),
            when="has(input.air)",
            shape={"from": "input.from"},
            undo_shape={"seat": "outputs.fly.seat"},
            default_output="null",
            budget_ns=10_000_000_000,
        ),
        StepRule(
            name="pay",
            service="Bank",
            transaction="pay",
            compensation=None,
            attempts_max=None,
            kind="pivot",
            depends_on=("fly",),
            wait_ns_max=5_000_000_000,
            budget_ns=3_600_000_000_000,
        ),
        StepRule(
            name="mail",
            service="Mail",
            transaction="mail",
            compensation=None,
            attempts_max=None,
            kind="retriable",
            wait_ns_max=60_000_000_000,
            budget_ns=86_400_000_000_000,
        ),
    )


@pytest.mark.parametrize(("text", "length_ns"), [("500ms", 500_000_000), ("1.5m", 90_000_000_000)])
def test_a_written_duration_is_read(text: str, length_ns: int) -> None:
    assert duration_ns(text) == length_ns


@pytest.mark.parametrize("text", ["", "5", "s", "1m30s", "-1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration_ns(text)
