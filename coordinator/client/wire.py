"""Between the client's values and the protos. A value that cannot be sent is refused here, with its field
and without its content."""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import money_pb2

from coordinator.client import checks
from coordinator.client.model import (
    ActionEffect,
    ActionResult,
    Definition,
    DefinitionSource,
    DefinitionState,
    EventType,
    ExportedRecord,
    ExportedSaga,
    Finding,
    Item,
    JournalFault,
    Money,
    OperatorAction,
    OperatorVerb,
    Order,
    OrderStatus,
    Participant,
    ParticipantState,
    Payment,
    PlannedCall,
    PlannedUndo,
    PossibleAction,
    RegisteredDefinition,
    RegistrationOutcome,
    Saga,
    SagaStatus,
    Standing,
    StandingReason,
    Started,
    Step,
    StepKind,
    StepStatus,
    TimelineEntry,
    UndoPlan,
    VerifyProgress,
    Watched,
)
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2, operator_pb2, types_pb2

_CANNOT_BE_SENT: Final = "is a value of another type, a text that is not UTF-8, or a number too large"
PAGE_SIZE: Final = 200
DEFINITIONS_PAGE_SIZE: Final = 100
# AIP-131 and AIP-132 promise it of Get and List; exports and our streams only read, too.
_READING: Final = ("Get", "List", "Watch", "Export", "Backup", "Verify")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Value = TypeVar("_Value")
_Enum = TypeVar("_Enum", bound=StrEnum)


def new_id() -> str:
    """An id that nobody else makes."""
    return str(uuid.uuid4())


def order_request(
    order_id: str, user_id: str, items: Iterable[Item], payment: Payment
) -> orders_pb2.PlaceOrderRequest:
    """The order, as it is sent."""
    checks.is_a(Iterable, "items", items)
    checks.is_a(Payment, "payment_info", payment)
    amount = payment.amount
    checks.is_a(Money, "payment_info.amount", amount)
    return request_of(
        orders_pb2.PlaceOrderRequest,
        order_id=order_id,
        user_id=user_id,
        items=[_order_item(f"items[{index}]", item) for index, item in enumerate(items)],
        payment_info=_made(
            "payment_info",
            orders_pb2.PaymentInfo,
            method=payment.method,
            token=payment.token,
            amount=_made(
                "payment_info.amount",
                money_pb2.Money,
                currency_code=amount.currency_code,
                units=amount.units,
                nanos=amount.nanos,
            ),
        ),
    )


def start_request(
    saga_name: str,
    content: Mapping[str, object] | str,
    *,
    request_id: str | None,
    version: str | None,
    wait_s: float,
) -> coordinator_pb2.StartSagaRequest:
    """What to start. Without a request id of the caller's it gets one, so that a repeated call joins."""
    return request_of(
        coordinator_pb2.StartSagaRequest,
        saga_name=saga_name,
        definition_version=version or "",
        request_id=new_id() if request_id is None else request_id,
        input_json=_input_json(content),
        wait=duration(checks.wait_s(wait_s)),
    )


def register_request(
    text: str, *, is_yaml: bool, validate_only: bool
) -> coordinator_pb2.RegisterDefinitionRequest:
    """What to register."""
    kind = coordinator_pb2.RegisterDefinitionRequest
    if is_yaml:
        return request_of(kind, definition_yaml=text, validate_only=validate_only)
    return request_of(kind, definition_json=text, validate_only=validate_only)


def retire_request(
    name: str, version: str, *, if_no_open_sagas: bool
) -> coordinator_pb2.RetireDefinitionRequest:
    """What to retire."""
    return request_of(
        coordinator_pb2.RetireDefinitionRequest,
        saga_name=name,
        definition_version=version,
        if_no_open_sagas=if_no_open_sagas,
    )


def definitions_request(
    saga_name: str | None, page_token: str, *, all_states: bool
) -> coordinator_pb2.ListDefinitionsRequest:
    """Which page of which definitions to list."""
    return request_of(
        coordinator_pb2.ListDefinitionsRequest,
        page_size=DEFINITIONS_PAGE_SIZE,
        page_token=page_token,
        saga_name=saga_name or "",
        all_states=all_states,
    )


def request_of(kind: Callable[..., _Value], **fields: Any) -> _Value:
    """A request of these fields."""
    return _made("", kind, **fields)


def action(actor: str, reason: str, expected_seq: int, action_id: str | None) -> operator_pb2.Action:
    """Who acts, why, and on what; under an id of its own, so that a repeated call does nothing again."""
    return request_of(
        operator_pb2.Action,
        action_id=new_id() if action_id is None else action_id,
        actor=actor,
        reason=reason,
        expected_seq=expected_seq,
    )


def named(request: Message) -> str:
    """The id that makes a start or an action happen once; empty for what can be repeated without one."""
    if only_reads(request):
        return ""
    if isinstance(request, coordinator_pb2.StartSagaRequest):
        return f"request_id {request.request_id!r}"
    taken = getattr(request, "action", None)
    return f"action_id {taken.action_id!r}" if isinstance(taken, operator_pb2.Action) else ""


def only_reads(request: Message) -> bool:
    """Whether a request changes nothing, answered or not."""
    return type(request).__name__.startswith(_READING) or getattr(request, "validate_only", False)


def full_method(name: str, request: Message) -> str:
    """The method *name* with its service, such as "saga.v1.CoordinatorService/GetSaga"."""
    for service in request.DESCRIPTOR.file.services_by_name.values():
        method = service.methods_by_name.get(name)
        if method is not None and method.input_type.full_name == request.DESCRIPTOR.full_name:
            return f"{service.full_name}/{name}"
    raise AssertionError(f"{request.DESCRIPTOR.full_name} is no request of {name}")


def saga_id_in(answer: object) -> str:
    """The saga that an answer is about; empty where it is about none, or about many."""
    about = getattr(answer, "result", answer)
    saga_id = getattr(getattr(about, "saga", about), "saga_id", "")
    return saga_id if isinstance(saga_id, str) else ""


def filter_text(
    text: str,
    *,
    status: SagaStatus | str | None,
    saga_name: str | None,
    request_id: str | None,
    needs_person: bool | None,
    created_from: datetime | None,
    created_before: datetime | None,
) -> str:
    """All conditions as one filter (AIP-160)."""
    checks.is_a(str, "filter", text)
    conditions = [text] if text.strip() else []
    if status is not None:
        conditions.append(f"status = {_quoted('status', status)}")
    if saga_name is not None:
        conditions.append(f"saga_name = {_quoted('saga_name', saga_name)}")
    if request_id is not None:
        conditions.append(f"request_id = {_quoted('request_id', request_id)}")
    if needs_person is not None:
        conditions.append(f"needs_person = {'true' if needs_person else 'false'}")
    if created_from is not None:
        conditions.append(f"create_time >= {_moment('created_from', created_from)}")
    if created_before is not None:
        conditions.append(f"create_time < {_moment('created_before', created_before)}")
    return " AND ".join(conditions)


def page_size(left: int | None) -> int:
    """How many rows to ask for, where *left* more are wanted; None: all."""
    if left is None:
        return PAGE_SIZE
    checks.is_a(int, "limit", left)
    return max(min(left, PAGE_SIZE), 0)


def to_order(answer: orders_pb2.PlaceOrderResponse) -> Order:
    return Order(
        order_id=answer.order_id,
        status=word(OrderStatus, orders_pb2.OrderStatus, "ORDER_STATUS_", answer.status),
        error_message=answer.error_message,
        saga_id=answer.saga_id,
        saga_status=to_status(answer.saga_status),
    )


def to_started(answer: coordinator_pb2.StartSagaResponse, *, has_own_id: bool) -> Started:
    """Under an id that this client made up, only a repetition of the same call can have joined."""
    return Started(to_saga(answer.saga), joined=answer.joined and has_own_id)


def to_saga(saga: types_pb2.Saga) -> Saga:
    return Saga(
        saga_id=saga.saga_id,
        saga_name=saga.saga_name,
        definition_version=saga.definition_version,
        definition_digest=saga.definition_digest,
        request_id=saga.request_id,
        status=to_status(saga.status),
        error_message=saga.error_message,
        create_time=_time(saga.create_time),
        update_time=_time(saga.update_time),
        expire_time=_time(saga.expire_time) if saga.HasField("expire_time") else None,
        seq=saga.seq,
        steps=tuple(map(_to_step, saga.steps)),
        timeline=tuple(map(to_entry, saga.timeline)),
        flags=tuple(saga.flags),
        needs_person=saga.needs_person,
        forced=saga.forced,
        trace_id=saga.trace_id,
        overdue=saga.overdue,
        output_json=saga.output_json,
        undo_plan=_to_undo_plan(saga.undo_plan) if saga.HasField("undo_plan") else None,
        timeline_left_out=saga.timeline_left_out,
    )


def to_status(value: int) -> SagaStatus:
    return word(SagaStatus, types_pb2.SagaStatus, "SAGA_STATUS_", value)


def to_entry(entry: types_pb2.TimelineEntry) -> TimelineEntry:
    return TimelineEntry(
        seq=entry.seq,
        time=_time(entry.time),
        type=word(EventType, types_pb2.EventType, "EVENT_TYPE_", entry.type),
        step=entry.step,
        attempt=entry.attempt,
        code=entry.code,
        message=entry.message,
        retry_time=_time(entry.retry_time) if entry.HasField("retry_time") else None,
        fencing_token=entry.fencing_token,
        operator_action=(
            _to_operator_action(entry.operator_action) if entry.HasField("operator_action") else None
        ),
    )


def to_watched(message: coordinator_pb2.WatchSagaResponse) -> Watched:
    entry = to_entry(message.entry) if message.HasField("entry") else None
    return Watched(entry, to_status(message.status))


def to_definition(definition: coordinator_pb2.Definition) -> Definition:
    return Definition(
        saga_name=definition.saga_name,
        version=definition.version,
        digest=definition.digest,
        steps=tuple(definition.steps),
        definition_json=definition.definition_json,
        source=word(
            DefinitionSource, coordinator_pb2.DefinitionSource, "DEFINITION_SOURCE_", definition.source
        ),
        state=word(DefinitionState, coordinator_pb2.DefinitionState, "DEFINITION_STATE_", definition.state),
        newest=definition.newest,
        register_time=_time(definition.register_time) if definition.HasField("register_time") else None,
        retire_time=_time(definition.retire_time) if definition.HasField("retire_time") else None,
        first_start_time=(
            _time(definition.first_start_time) if definition.HasField("first_start_time") else None
        ),
        open_sagas=definition.open_sagas,
    )


def to_registered(answer: coordinator_pb2.RegisterDefinitionResponse) -> RegisteredDefinition:
    return RegisteredDefinition(
        definition=to_definition(answer.definition),
        outcome=word(
            RegistrationOutcome,
            coordinator_pb2.RegistrationOutcome,
            "REGISTRATION_OUTCOME_",
            answer.outcome,
        ),
        findings=tuple(
            Finding(one.rule, one.path, one.line, one.column, one.sentence, one.cure)
            for one in answer.findings
        ),
        findings_left_out=answer.findings_left_out,
    )


def to_possible_action(action: operator_pb2.PossibleAction) -> PossibleAction:
    return PossibleAction(_to_verb(action.verb), action.step, _to_effect(action.effect))


def to_action_result(result: operator_pb2.ActionResult, *, has_own_id: bool) -> ActionResult:
    """Under an id that this client made up, only a repetition of the same call can have come before."""
    return ActionResult(
        saga=to_saga(result.saga),
        effect=_to_effect(result.effect) if result.HasField("effect") else None,
        repeated=result.repeated and has_own_id,
    )


def to_participant(participant: operator_pb2.Participant) -> Participant:
    offer = participant.offer if participant.HasField("offer") else None
    return Participant(
        service=participant.service,
        target=participant.target,
        state=word(ParticipantState, operator_pb2.ParticipantState, "PARTICIPANT_STATE_", participant.state),
        message=participant.message,
        steps=tuple(participant.steps),
        transactions=offer.transactions if offer else None,
        compensations=offer.compensations if offer else None,
        barrier=offer.barrier if offer else None,
    )


def to_exported(exported: operator_pb2.ExportSagaResponse) -> ExportedSaga:
    return ExportedSaga(
        definition_json=exported.definition_json,
        records=tuple(
            ExportedRecord(record.seq, record.fencing_token, record.type, record.content_json)
            for record in exported.records
        ),
    )


def to_progress(progress: operator_pb2.VerifyJournalResponse) -> VerifyProgress:
    return VerifyProgress(
        sagas=progress.sagas,
        records=progress.records,
        faults=tuple(JournalFault(fault.saga_id, fault.sentence) for fault in progress.faults),
        done=progress.done,
    )


def _to_step(step: types_pb2.Step) -> Step:
    return Step(
        name=step.name,
        service=step.service,
        transaction=step.transaction,
        compensation=step.compensation if step.HasField("compensation") else None,
        status=word(StepStatus, types_pb2.StepStatus, "STEP_STATUS_", step.status),
        attempts=step.attempts,
        undo_attempts=step.undo_attempts,
        by_hand=step.by_hand,
        depends_on=tuple(step.depends_on),
        kind=word(StepKind, types_pb2.StepKind, "STEP_KIND_", step.kind),
    )


def _to_undo_plan(plan: types_pb2.UndoPlan) -> UndoPlan:
    return UndoPlan(
        undos=tuple(map(_to_planned_undo, plan.undos)),
        stays=tuple(
            Standing(
                standing.step,
                word(StandingReason, types_pb2.StandingReason, "STANDING_REASON_", standing.reason),
            )
            for standing in plan.stays
        ),
        shortened=plan.shortened,
    )


def _to_planned_undo(undo: types_pb2.PlannedUndo) -> PlannedUndo:
    return PlannedUndo(
        step=undo.step,
        service=undo.service,
        compensation=undo.compensation if undo.HasField("compensation") else None,
        after=tuple(undo.after),
        idempotency_key=undo.idempotency_key,
        input_fields=tuple(undo.input_fields),
        input_json=undo.input_json,
        receipt_known=undo.receipt_known,
        receipt_json=undo.receipt_json,
    )


def _to_operator_action(action: types_pb2.OperatorAction) -> OperatorAction:
    return OperatorAction(_to_verb(action.verb), action.action_id, action.actor, action.reason)


def _to_effect(effect: operator_pb2.ActionEffect) -> ActionEffect:
    return ActionEffect(
        sentence=effect.sentence,
        status_after=to_status(effect.status_after),
        status_in_the_end=to_status(effect.status_in_the_end),
        forced=effect.forced,
        planned_calls=tuple(
            PlannedCall(call.step, call.service, call.transaction, call.undo, call.idempotency_key)
            for call in effect.planned_calls
        ),
    )


def _to_verb(value: int) -> OperatorVerb:
    return word(OperatorVerb, types_pb2.OperatorVerb, "OPERATOR_VERB_", value)


def word(words: type[_Enum], names: Any, prefix: str, value: int) -> _Enum:
    """The word for an enum's value; UNSPECIFIED for one that only newer servers know."""
    found: _Enum = _word(words, names, prefix, value)
    return found


@lru_cache(maxsize=1024)
def _word(words: type[StrEnum], names: Any, prefix: str, value: int) -> Any:
    """The same few of them come with every answer."""
    try:
        return words(names.Name(value).removeprefix(prefix))
    except ValueError:
        return words("UNSPECIFIED")


def _time(timestamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)


def duration(seconds: float) -> Duration:
    """So many seconds."""
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


def _order_item(field: str, item: Item) -> orders_pb2.OrderItem:
    checks.is_a(Item, field, item)
    return _made(field, orders_pb2.OrderItem, item_id=item.item_id, quantity=item.quantity)


def _input_json(value: Mapping[str, object] | str) -> str:
    if isinstance(value, str):
        return value
    checks.is_a(Mapping, "input", value)
    try:
        return json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise checks.unsendable("input", f"cannot be written as JSON: {type(error).__name__}") from None


def _quoted(field: str, text: str) -> str:
    checks.is_a(str, field, text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _moment(field: str, value: datetime) -> str:
    checks.is_a(datetime, field, value)
    if value.tzinfo is None:
        raise checks.unsendable(field, "has no time zone: give an aware datetime")
    return _quoted(field, value.astimezone(UTC).isoformat().replace("+00:00", "Z"))


def _made(field: str, kind: Callable[..., _Value], **values: Any) -> _Value:
    """A message, which is *field* of another one, or a whole request. Protobuf's own error would quote the
    value, and it may be a payment's."""
    for value in values.values():
        if _is_misread(value):
            break
    else:
        try:
            return kind(**values)
        except (TypeError, ValueError, OverflowError):
            pass
    # Only now is each looked at by itself, which takes several times as long.
    wrong = next((name for name, value in values.items() if not _fits(kind, name, value)), "")
    raise checks.unsendable(f"{field}.{wrong}".strip("."), _CANNOT_BE_SENT)


def _is_misread(value: object) -> bool:
    """Protobuf itself takes None for nothing given, and bytes for text."""
    return value is None or isinstance(value, bytes)


def _fits(kind: Callable[..., object], name: str, value: object) -> bool:
    if _is_misread(value):
        return False
    try:
        kind(**{name: value})
    except (TypeError, ValueError, OverflowError):
        return False
    return True
