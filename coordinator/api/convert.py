"""Between the domain's values and the protos. Of what a saga was given or answered, nothing is shown here but
its own result, and what a `ShownPlan` holds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Final, TypeVar

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.domain.definition import StepKind
from coordinator.domain.errors import InvalidJson
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    PivotBegun,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepOmitted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoPending,
    UndoRefused,
    Verb,
)
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue, canonical, child
from coordinator.domain.language.graph import places
from coordinator.domain.saga import Saga, Status
from coordinator.domain.shown.shown_plan import ShownPlan, ShownUndo
from coordinator.domain.step_status import StepStatus, step_status
from coordinator.domain.summary import SagaSummary
from coordinator.domain.trace import parse_trace
from coordinator.engine.sagas import SagaView
from coordinator.ports.journal import Record
from saga.v1 import operator_pb2, types_pb2

EXACT_INTEGERS_BELOW: Final = 2**53
"""From here on a double no longer tells neighbouring integers apart."""

_EVENT_TYPES: Final[Mapping[type[Event], types_pb2.EventType.ValueType]] = {
    SagaStarted: types_pb2.EVENT_TYPE_SAGA_STARTED,
    SagaResumed: types_pb2.EVENT_TYPE_SAGA_RESUMED,
    CancelRequested: types_pb2.EVENT_TYPE_CANCEL_REQUESTED,
    DeadlinePassed: types_pb2.EVENT_TYPE_DEADLINE_PASSED,
    StepBegun: types_pb2.EVENT_TYPE_STEP_BEGUN,
    StepSucceeded: types_pb2.EVENT_TYPE_STEP_SUCCEEDED,
    StepRefused: types_pb2.EVENT_TYPE_STEP_REFUSED,
    StepPending: types_pb2.EVENT_TYPE_STEP_PENDING,
    StepFaulted: types_pb2.EVENT_TYPE_STEP_FAULTED,
    UndoBegun: types_pb2.EVENT_TYPE_UNDO_BEGUN,
    StepCompensated: types_pb2.EVENT_TYPE_STEP_COMPENSATED,
    UndoRefused: types_pb2.EVENT_TYPE_UNDO_REFUSED,
    UndoPending: types_pb2.EVENT_TYPE_UNDO_PENDING,
    UndoFaulted: types_pb2.EVENT_TYPE_UNDO_FAULTED,
    OperatorActed: types_pb2.EVENT_TYPE_OPERATOR_ACTED,
    PivotBegun: types_pb2.EVENT_TYPE_PIVOT_BEGUN,
    StepOmitted: types_pb2.EVENT_TYPE_STEP_OMITTED,
    ExpressionFailed: types_pb2.EVENT_TYPE_EXPRESSION_FAILED,
    OutputShaped: types_pb2.EVENT_TYPE_OUTPUT_SHAPED,
}

_STATUSES: Final[Mapping[Status, types_pb2.SagaStatus.ValueType]] = {
    status: types_pb2.SagaStatus.Value(f"SAGA_STATUS_{status}") for status in Status
}
_STEP_STATUSES: Final[Mapping[StepStatus, types_pb2.StepStatus.ValueType]] = {
    status: types_pb2.StepStatus.Value(f"STEP_STATUS_{status}") for status in StepStatus
}
_STEP_KINDS: Final[Mapping[StepKind, types_pb2.StepKind.ValueType]] = {
    kind: types_pb2.StepKind.Value(f"STEP_KIND_{kind.name}") for kind in StepKind
}
_Row = TypeVar("_Row", bound=Message)

TIMELINE_FIRST_BYTES_MAX: Final = 128 << 10
TIMELINE_NEWEST_BYTES_MAX: Final = 384 << 10
"""The rest of a saga, its output above all, is to fit into a message beside them."""
PAGE_BYTES_MAX: Final = 1 << 20
_NO_ATTEMPTS: Final = (OperatorActed, StepOmitted, ExpressionFailed)
"""The events of a step that no call of it led to."""
_UNDO_EVENTS: Final = (UndoBegun, StepCompensated, UndoRefused, UndoPending, UndoFaulted)


def saga_status(status: Status) -> types_pb2.SagaStatus.ValueType:
    """A saga's status on the wire."""
    return _STATUSES[status]


def operator_verb(verb: Verb) -> types_pb2.OperatorVerb.ValueType:
    """A verb on the wire."""
    return types_pb2.OperatorVerb.Value(f"OPERATOR_VERB_{verb}")


def to_timestamp(moment: float) -> Timestamp:
    """Exactly the moment, in nanoseconds: a filter made of it finds the saga that it came from."""
    timestamp = Timestamp()
    _fill_timestamp(timestamp, moment)
    return timestamp


def from_timestamp(timestamp: Timestamp) -> float:
    """Seconds since the epoch; the inverse of `to_timestamp`."""
    return timestamp.seconds + timestamp.nanos / 1e9


def to_saga(summary: SagaSummary) -> types_pb2.Saga:
    """A row of a list."""
    trace = parse_trace(summary.trace)
    return types_pb2.Saga(
        saga_id=summary.id,
        saga_name=summary.saga_name,
        definition_version=summary.definition_version or "",
        definition_digest=summary.definition_digest,
        request_id=summary.request_id,
        status=saga_status(summary.status),
        error_message=summary.error_message,
        create_time=to_timestamp(summary.started_at),
        update_time=to_timestamp(summary.updated_at),
        expire_time=None if summary.deadline_at is None else to_timestamp(summary.deadline_at),
        seq=summary.seq,
        flags=summary.flags,
        needs_person=summary.needs_person,
        forced=summary.forced,
        # One that is not recorded is not to be found.
        trace_id=trace.trace_id if trace is not None and trace.sampled else "",
    )


def to_saga_with_steps(view: SagaView) -> types_pb2.Saga:
    """A saga with its steps, as far as its records can be read."""
    saga = to_saga(view.summary)
    if view.saga is not None:
        _fill_steps(saga, view.saga, view.records)
        saga.overdue = view.saga.is_overdue
        saga.output_json = view.saga.output or ""
    return saga


def to_saga_with_timeline(view: SagaView) -> types_pb2.Saga:
    """All that is shown of a saga as it came about; of a long history its beginning and its end."""
    saga = to_saga_with_steps(view)
    records = view.records
    first = _entries_at_most(TIMELINE_FIRST_BYTES_MAX, records)
    newest = _entries_at_most(TIMELINE_NEWEST_BYTES_MAX, reversed(records[len(first) :]))
    saga.timeline.extend(first)
    saga.timeline.extend(reversed(newest))
    saga.timeline_left_out = len(records) - len(first) - len(newest)
    return saga


def _entries_at_most(bytes_max: int, records: Iterable[Record]) -> list[types_pb2.TimelineEntry]:
    """As many of the next *records* as take at most so many bytes."""
    entries = []
    for record in records:
        entry = to_entry(record)
        bytes_max -= entry.ByteSize()
        if bytes_max < 0:
            break
        entries.append(entry)
    return entries


def as_many_as_fit(rows: Iterable[_Row]) -> list[_Row]:
    """So many of *rows*, in their order, as one page can hold: one at least, if there is any."""
    shown: list[_Row] = []
    bytes_left = PAGE_BYTES_MAX
    for row in rows:
        bytes_left -= row.ByteSize()
        if shown and bytes_left < 0:
            break
        shown.append(row)
    return shown


def to_undo_plan(plan: ShownPlan) -> types_pb2.UndoPlan:
    """What would be undone."""
    return types_pb2.UndoPlan(
        undos=map(_to_planned_undo, plan.undos),
        stays=[
            types_pb2.Standing(step=step, reason=types_pb2.StandingReason.Value(f"STANDING_REASON_{why}"))
            for step, why in plan.stays
        ],
        shortened=plan.shortened,
    )


def to_entry(record: Record) -> types_pb2.TimelineEntry:
    """One record, without what the saga was given or its steps answered."""
    entry = types_pb2.TimelineEntry()
    _fill_entry(entry, record)
    return entry


def _fill_entry(entry: types_pb2.TimelineEntry, record: Record) -> None:
    # Its parts are filled where they are: protobuf copies a message that is put into another.
    event = record.event
    entry.seq = record.seq
    _fill_timestamp(entry.time, event.at)
    entry.type = _EVENT_TYPES[type(event)]
    entry.step = getattr(event, "step", None) or ""
    entry.attempt = getattr(event, "attempt", 0)
    entry.fencing_token = record.token
    match event:
        case CancelRequested(reason=reason):
            entry.message = reason
        case StepRefused(code=code, message=message) | UndoRefused(code=code, message=message):
            entry.code, entry.message = code, message
        case ExpressionFailed(place=place, message=message):
            entry.code, entry.message = place, message
        case StepPending(ask_at=ask_at) | UndoPending(ask_at=ask_at):
            _fill_timestamp(entry.retry_time, ask_at)
        case StepFaulted() | UndoFaulted():
            entry.code, entry.message = event.code or event.cause, event.message
            if event.retry_at is not None:
                _fill_timestamp(entry.retry_time, event.retry_at)
        case OperatorActed():
            entry.message = event.reason
            entry.operator_action.CopyFrom(
                types_pb2.OperatorAction(
                    verb=operator_verb(event.verb),
                    action_id=event.action_id,
                    actor=event.actor,
                    reason=event.reason,
                )
            )


def _fill_timestamp(timestamp: Timestamp, moment: float) -> None:
    seconds = math.floor(moment)
    nanos = round((moment - seconds) * 1e9)
    timestamp.seconds = seconds + nanos // 10**9
    timestamp.nanos = nanos % 10**9


def to_exported_record(record: Record) -> operator_pb2.ExportedRecord:
    """One record with its data, which are to be such as may be seen."""
    return operator_pb2.ExportedRecord(
        seq=record.seq,
        fencing_token=record.token,
        type=type(record.event).__name__,
        content_json=canonical(asdict(record.event)),
    )


def struct_value(struct: Struct, path: str) -> JsonValue:
    """The JSON value of *struct*. Its numbers are doubles: one that is a whole number below 2^53 becomes
    an integer, since that is what its sender wrote; from 2^53 on nobody can know, and it stays a double.

    Raises:
        InvalidJson: with the path of a number that JSON does not have, or of a value that is not set.
    """
    return {key: _value(value, child(path, key)) for key, value in struct.fields.items()}


def _value(value: Value, path: str) -> JsonValue:
    match value.WhichOneof("kind"):
        case "number_value":
            return _number(value.number_value, path)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return struct_value(value.struct_value, path)
        case "list_value":
            return _list(value.list_value, path)
        case "null_value":
            return None
        case _:
            raise InvalidJson(path, "is a value of no kind; expected one, null included")


def _list(values: ListValue, path: str) -> JsonValue:
    return [_value(value, child(path, index)) for index, value in enumerate(values.values)]


def _number(number: float, path: str) -> JsonValue:
    if not math.isfinite(number):
        raise InvalidJson(path, "is not a finite number, and JSON has no other")
    if number.is_integer() and abs(number) < EXACT_INTEGERS_BELOW:
        return int(number)
    return number


def _to_planned_undo(undo: ShownUndo) -> types_pb2.PlannedUndo:
    return types_pb2.PlannedUndo(
        step=undo.step,
        service=undo.service,
        compensation=undo.compensation,
        after=undo.after,
        idempotency_key=undo.key,
        input_fields=undo.given.fields,
        input_json=undo.given.input or "",
        receipt_known=undo.receipt_known,
        receipt_json=undo.given.receipt or "",
    )


def _fill_steps(message: types_pb2.Saga, saga: Saga, records: Sequence[Record]) -> None:
    attempts: dict[StepName, int] = {}
    undo_attempts: dict[StepName, int] = {}
    for record in records:
        event = record.event
        name: StepName | None = getattr(event, "step", None)
        if name is not None and not isinstance(event, _NO_ATTEMPTS):
            # StepBegun and UndoBegun carry no number: each stands for its direction's first attempt.
            counted = undo_attempts if isinstance(event, _UNDO_EVENTS) else attempts
            counted[name] = max(counted.get(name, 0), getattr(event, "attempt", 1))
    for step, parents in zip(saga.steps, saga.definition.graph.parents, strict=True):
        shown, name, defined = message.steps.add(), step.name, step.definition
        shown.name = name
        shown.service = defined.service
        shown.transaction = defined.transaction
        if defined.compensation is not None:
            shown.compensation = defined.compensation
        shown.status = _STEP_STATUSES[step_status(step)]
        shown.attempts = max(attempts.get(name, 0), step.attempt - 1)
        shown.undo_attempts = max(
            undo_attempts.get(name, 0), 0 if step.undo is None else step.undo.attempt - 1
        )
        shown.by_hand = step.is_forced
        shown.depends_on.extend([saga.steps[parent].name for parent in places(parents)])
        shown.kind = _STEP_KINDS[defined.kind]
