"""Turns what the APIs answered into evidence: plain values, enum names without their prefixes."""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from saga.v1 import coordinator_pb2, ledger_pb2, types_pb2
from tests.checker.evidence import (
    ActionRead,
    Definition,
    LedgerRow,
    SagaRead,
    StepRead,
    StepRule,
    TimelineRead,
)

PARALLEL_DEFAULT: Final = 10
GIVEN_UP_DEFAULT: Final = {"maxAttempts": 5, "budget": None}
"""The retry policy of a compensatable step, as far as it is judged where a definition does not say it."""
LASTING_DEFAULT: Final = {"maxAttempts": None, "maxBackoff": "60s", "budget": "24h"}
"""That of a pivot or a retriable step."""
_OPERATIONS: Final = {ledger_pb2.OPERATION_EXECUTE: "E", ledger_pb2.OPERATION_COMPENSATE: "C"}
_UNITS_NS: Final = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
    "d": 86_400 * 1_000_000_000,
}


def _names(values: Iterable[tuple[str, int]], prefix: str) -> dict[int, str]:
    """The names of an enum's *values*, without what all of them begin with."""
    return {number: name.removeprefix(prefix) for name, number in values}


_SAGA_STATUSES: Final = _names(types_pb2.SagaStatus.items(), "SAGA_STATUS_")
_STEP_STATUSES: Final = _names(types_pb2.StepStatus.items(), "STEP_STATUS_")
_EVENT_TYPES: Final = _names(types_pb2.EventType.items(), "EVENT_TYPE_")
_VERBS: Final = _names(types_pb2.OperatorVerb.items(), "OPERATOR_VERB_")
_OUTCOMES: Final = _names(ledger_pb2.LedgerOutcome.items(), "LEDGER_OUTCOME_")


def ledger_rows(messages: Iterable[ledger_pb2.LedgerEntry]) -> tuple[LedgerRow, ...]:
    """The rows of participants' ledgers, of as many services as there are."""
    return tuple(map(_ledger_row, messages))


def saga_read(message: types_pb2.Saga, read_at: int) -> SagaRead:
    """GetSaga's answer, in the round of reading number *read_at*."""
    return SagaRead(
        read_at=read_at,
        saga_id=message.saga_id,
        saga_name=message.saga_name,
        definition_digest=message.definition_digest,
        request_id=message.request_id,
        status=_SAGA_STATUSES[message.status],
        error_message=message.error_message,
        created_ns=_ns(message.create_time),
        expires_ns=_ns(message.expire_time) if message.HasField("expire_time") else None,
        seq=message.seq,
        steps=tuple(map(_step, message.steps)),
        timeline=tuple(map(_entry, message.timeline)),
        flags=tuple(message.flags),
        needs_person=message.needs_person,
        forced=message.forced,
        overdue=message.overdue,
        output=message.output_json,
    )


def definition_of(message: coordinator_pb2.Definition) -> Definition:
    """GetDefinition's answer. Its JSON is read here again, and not with the coordinator's own reader."""
    document = json.loads(message.definition_json)
    ttl = document.get("ttl")
    return Definition(
        name=document["sagaName"],
        digest=message.digest,
        ttl_ns=None if ttl is None else duration_ns(ttl),
        steps=tuple(map(_rule, document["steps"])),
        parallel_max=document.get("maxParallel", PARALLEL_DEFAULT),
        output=document.get("output"),
    )


def duration_ns(text: str) -> int:
    """A written duration ("500ms", "2s", "1.5m"), in nanoseconds."""
    written = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if written is None:
        raise ValueError(f"{text!r} is no duration")
    return round(float(written[1]) * _UNITS_NS[written[2]])


def _ledger_row(message: ledger_pb2.LedgerEntry) -> LedgerRow:
    return LedgerRow(
        service=message.service,
        local_seq=message.local_seq,
        saga_id=message.saga_id,
        step=message.step,
        operation=_OPERATIONS[message.operation],
        transaction=message.transaction,
        key=message.idempotency_key,
        outcome=_OUTCOMES[message.outcome].lower(),
        request_hash=message.request_hash,
        result_hash=message.result_hash,
        token=message.fencing_token,
        arrived_ns=message.arrived_ns,
        committed_ns=message.committed_ns,
    )


def _step(message: types_pb2.Step) -> StepRead:
    return StepRead(
        name=message.name,
        service=message.service,
        transaction=message.transaction,
        compensation=message.compensation if message.HasField("compensation") else None,
        status=_STEP_STATUSES[message.status],
        attempts=message.attempts,
        undo_attempts=message.undo_attempts,
        by_hand=message.by_hand,
    )


def _entry(message: types_pb2.TimelineEntry) -> TimelineRead:
    return TimelineRead(
        seq=message.seq,
        time_ns=_ns(message.time),
        type=_EVENT_TYPES[message.type],
        step=message.step,
        attempt=message.attempt,
        code=message.code,
        retry_ns=_ns(message.retry_time) if message.HasField("retry_time") else None,
        token=message.fencing_token,
        action=_action(message.operator_action) if message.HasField("operator_action") else None,
    )


def _action(message: types_pb2.OperatorAction) -> ActionRead:
    return ActionRead(
        verb=_VERBS[message.verb],
        action_id=message.action_id,
        actor=message.actor,
        reason=message.reason,
    )


def _rule(step: dict[str, Any]) -> StepRule:
    kind = step.get("kind", "compensatable")
    inputs, depends_on = step.get("input"), step.get("dependsOn")
    retry = {**(GIVEN_UP_DEFAULT if kind == "compensatable" else LASTING_DEFAULT), **step.get("retry", {})}
    undo_retry = step.get("compensationRetry", {})
    return StepRule(
        name=step.get("name") or step["transaction"],
        service=step["service"],
        transaction=step["transaction"],
        compensation=step.get("compensation"),
        attempts_max=retry["maxAttempts"],
        kind=kind,
        depends_on=None if depends_on is None else tuple(depends_on),
        when=step.get("when"),
        continues_on_failure=step.get("onCompensationFailure") == "continue",
        inputs=frozenset(inputs) if isinstance(inputs, list) else None,
        shape=inputs if isinstance(inputs, dict) else None,
        undo_shape=step.get("compensationInput"),
        default_output=json.dumps(step["defaultOutput"]) if "defaultOutput" in step else None,
        wait_ns_max=_length_ns(retry.get("maxBackoff")),
        budget_ns=_length_ns(retry["budget"]),
        undo_wait_ns_max=_length_ns(undo_retry.get("maxBackoff")),
        undo_budget_ns=_length_ns(undo_retry.get("budget")),
    )


def _length_ns(written: str | None) -> int | None:
    return None if written is None else duration_ns(written)


def _ns(timestamp: Timestamp) -> int:
    return timestamp.seconds * 1_000_000_000 + timestamp.nanos
