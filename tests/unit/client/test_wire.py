"""What a client shows is all that the protos have, under the same names, and nothing is mixed up."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.type import money_pb2

from coordinator.client import model, wire
from coordinator.client.errors import InvalidRequest
from coordinator.client.model import Item, Money, Payment, SagaStatus
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2, operator_pb2, types_pb2

TOKEN = "tok-canary-1d5f"
PAYMENT = Payment("card", TOKEN, Money("EUR", 42, 500_000_000))

SEEN: list[tuple[Any, type, Any]] = [
    (types_pb2.Saga, model.Saga, wire.to_saga),
    (types_pb2.TimelineEntry, model.TimelineEntry, wire.to_entry),
    (orders_pb2.PlaceOrderResponse, model.Order, wire.to_order),
    (coordinator_pb2.StartSagaResponse, model.Started, lambda m: wire.to_started(m, has_own_id=True)),
    (coordinator_pb2.WatchSagaResponse, model.Watched, wire.to_watched),
    (coordinator_pb2.Definition, model.Definition, wire.to_definition),
    (coordinator_pb2.RegisterDefinitionResponse, model.RegisteredDefinition, wire.to_registered),
    (operator_pb2.PossibleAction, model.PossibleAction, wire.to_possible_action),
    (operator_pb2.ActionResult, model.ActionResult, lambda m: wire.to_action_result(m, has_own_id=True)),
    (operator_pb2.Participant, model.Participant, wire.to_participant),
    (operator_pb2.ExportSagaResponse, model.ExportedSaga, wire.to_exported),
    (operator_pb2.VerifyJournalResponse, model.VerifyProgress, wire.to_progress),
]
WORDS: list[tuple[Any, type[StrEnum], str]] = [
    (types_pb2.SagaStatus, model.SagaStatus, "SAGA_STATUS_"),
    (types_pb2.StepStatus, model.StepStatus, "STEP_STATUS_"),
    (types_pb2.StepKind, model.StepKind, "STEP_KIND_"),
    (types_pb2.StandingReason, model.StandingReason, "STANDING_REASON_"),
    (types_pb2.EventType, model.EventType, "EVENT_TYPE_"),
    (coordinator_pb2.DefinitionSource, model.DefinitionSource, "DEFINITION_SOURCE_"),
    (coordinator_pb2.DefinitionState, model.DefinitionState, "DEFINITION_STATE_"),
    (coordinator_pb2.RegistrationOutcome, model.RegistrationOutcome, "REGISTRATION_OUTCOME_"),
    (types_pb2.OperatorVerb, model.OperatorVerb, "OPERATOR_VERB_"),
    (orders_pb2.OrderStatus, model.OrderStatus, "ORDER_STATUS_"),
    (operator_pb2.ParticipantState, model.ParticipantState, "PARTICIPANT_STATE_"),
]


class Full:
    """Messages whose every field is set, and no two fields alike."""

    def __init__(self) -> None:
        self._number = 0

    def message(self, kind: Any) -> Any:
        made = kind()
        if kind.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
            made.seconds, made.nanos = 1_700_000_000 + self._next(), 1_000 * self._next()
            return made
        for field in kind.DESCRIPTOR.fields:
            value = self._value(field)
            if field.is_repeated:
                getattr(made, field.name).extend([value, self._value(field)])
            elif field.message_type is not None:
                getattr(made, field.name).CopyFrom(value)
            else:
                setattr(made, field.name, value)
        return made

    def _value(self, field: FieldDescriptor) -> Any:
        if field.message_type is not None:
            return self.message(GetMessageClass(field.message_type))
        if field.enum_type is not None:
            values = field.enum_type.values
            return values[1 + self._next() % (len(values) - 1)].number
        if field.type == FieldDescriptor.TYPE_BOOL:
            return True
        return self._next() if field.cpp_type != FieldDescriptor.CPPTYPE_STRING else f"text {self._next()}"

    def _next(self) -> int:
        self._number += 1
        return self._number


def plain(message: Any) -> Any:
    """What a message says, by its descriptor alone."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        return datetime.fromtimestamp(message.seconds, UTC) + timedelta(microseconds=message.nanos / 1000)
    said = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            said[field.name] = tuple(plain_value(field, each) for each in value)
        elif field.message_type is operator_pb2.ParticipantOffer.DESCRIPTOR:
            said.update(plain(value))  # a client has no message for it
        else:
            said[field.name] = plain_value(field, value)
    return said


def plain_value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    if field.enum_type is not None:
        name: str = field.enum_type.values_by_number[value].name
        prefixes = [prefix for enum, _, prefix in WORDS if enum.DESCRIPTOR is field.enum_type]
        return name.removeprefix(prefixes[0])
    return value


def shown(value: Any) -> Any:
    """What a client's value says, in the same plain form."""
    if dataclasses.is_dataclass(value):
        return {f.name: shown(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: shown(each) for name, each in value._asdict().items()}
    return tuple(map(shown, value)) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("message", "kind", "convert"), SEEN, ids=lambda p: getattr(p, "__name__", ""))
def test_a_client_sees_every_field_of_a_message(message: Any, kind: type, convert: Any) -> None:
    full = Full().message(message)
    seen = convert(full)
    assert isinstance(seen, kind)
    assert shown(seen) == plain(full)


@pytest.mark.parametrize(("enum", "words", "prefix"), WORDS, ids=lambda p: getattr(p, "__name__", ""))
def test_every_value_of_an_enum_is_a_word(enum: Any, words: type[StrEnum], prefix: str) -> None:
    assert [name.removeprefix(prefix) for name, _ in enum.items()] == list(words)


def test_what_only_a_newer_coordinator_knows_is_unspecified() -> None:
    assert wire.to_status(1000) is SagaStatus.UNSPECIFIED
    entry = wire.to_entry(types_pb2.TimelineEntry(seq=7, type=99))  # type: ignore[arg-type]
    assert (entry.seq, entry.type) == (7, model.EventType.UNSPECIFIED)


def test_what_a_message_leaves_out_is_none() -> None:
    saga = wire.to_saga(types_pb2.Saga(steps=[types_pb2.Step()], timeline=[types_pb2.TimelineEntry()]))
    assert saga.expire_time is None
    assert (saga.output, saga.undo_plan) == (None, None)
    undo = types_pb2.Saga(undo_plan=types_pb2.UndoPlan(undos=[types_pb2.PlannedUndo(receipt_known=True)]))
    assert wire.to_saga(undo).undo_plan == model.UndoPlan(
        (model.PlannedUndo("", "", None, (), "", (), "", True, ""),), (), False
    )
    assert saga.steps[0].compensation is None
    assert (saga.timeline[0].retry_time, saga.timeline[0].operator_action) == (None, None)
    assert wire.to_watched(coordinator_pb2.WatchSagaResponse(status=types_pb2.SAGA_STATUS_DEAD_LETTERED)) == (
        None,
        SagaStatus.DEAD_LETTERED,
    )


def test_a_result_is_read_to_the_last_digit_and_no_payload_is_in_what_is_printed_of_a_saga() -> None:
    undo = types_pb2.PlannedUndo(input_json=f'"{TOKEN}"', receipt_json=f'"{TOKEN}"')
    text = f'{{"total":12345678901234567890123,"room":"{TOKEN}"}}'
    saga = wire.to_saga(types_pb2.Saga(output_json=text, undo_plan=types_pb2.UndoPlan(undos=[undo])))
    assert saga.output == {"total": 12345678901234567890123, "room": TOKEN}
    assert TOKEN not in repr(saga)


def test_an_order_is_sent_whole() -> None:
    sent = wire.order_request("o-1", "u-1", [Item("sku-1", 2), Item("sku-2", 1)], PAYMENT)
    assert sent == orders_pb2.PlaceOrderRequest(
        order_id="o-1",
        user_id="u-1",
        items=[
            orders_pb2.OrderItem(item_id="sku-1", quantity=2),
            orders_pb2.OrderItem(item_id="sku-2", quantity=1),
        ],
        payment_info=orders_pb2.PaymentInfo(
            method="card",
            token=TOKEN,
            amount=money_pb2.Money(currency_code="EUR", units=42, nanos=500_000_000),
        ),
    )


def test_a_payment_token_is_never_shown() -> None:
    assert TOKEN not in repr(PAYMENT)
    assert TOKEN not in f"{PAYMENT}"


@pytest.mark.parametrize(
    ("items", "payment", "field"),
    [
        ([Item("sku-1", 2**31)], PAYMENT, "items[0].quantity"),
        ([Item("sku-1", 1), Item(7, 1)], PAYMENT, "items[1].item_id"),  # type: ignore[arg-type]
        ([Item("sku-1", None)], PAYMENT, "items[0].quantity"),  # type: ignore[arg-type]
        ([{"item_id": "sku-1", "quantity": 1}], PAYMENT, "items[0]"),
        ([None], PAYMENT, "items[0]"),
        (None, PAYMENT, "items"),
        (Item("sku-1", 1), PAYMENT, "items"),
        ([Item("sku-1", 1)], None, "payment_info"),
        ([Item("sku-1", 1)], {"token": TOKEN}, "payment_info"),
        ([Item("sku-1", 1)], Payment("card", TOKEN, 42), "payment_info.amount"),  # type: ignore[arg-type]
        ([Item("sku-1", 1)], Payment("card", TOKEN, Money("EUR", 2**63)), "payment_info.amount.units"),
        ([Item("sku-1", 1)], Payment("card", f"{TOKEN}\ud800", Money("EUR", 1)), "payment_info.token"),
        ([Item("sku-1", 1)], Payment("card", 1.5, Money("EUR", 1)), "payment_info.token"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_sent_is_named_and_not_quoted(items: Any, payment: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        wire.order_request("o-1", "u-1", items, payment)
    assert [violation.field for violation in refused.value.violations] == [field]
    assert str(refused.value).startswith(f"{field}: ")
    assert TOKEN not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_number_that_no_machine_holds_is_named_where_yes_or_no_belongs() -> None:
    # Of any other number Python makes one of the two.
    with pytest.raises(InvalidRequest) as refused:
        wire.request_of(coordinator_pb2.GetSagaRequest, saga_id="s-1", undo_inputs=2**63)
    assert [violation.field for violation in refused.value.violations] == ["undo_inputs"]


@pytest.mark.parametrize("wrong", [b"o-1", 7, None, "\ud800", ["o-1"]])
def test_an_id_that_is_no_text_is_named(wrong: Any) -> None:
    """Protobuf itself takes bytes for text, and None for nothing given."""
    with pytest.raises(InvalidRequest, match=r"^order_id: is a value of another type"):
        wire.order_request(wrong, "u-1", [Item("sku-1", 1)], PAYMENT)
    for kind in (coordinator_pb2.GetSagaRequest, coordinator_pb2.WatchSagaRequest):
        with pytest.raises(InvalidRequest) as refused:
            wire.request_of(kind, saga_id=wrong)
        assert [violation.field for violation in refused.value.violations] == ["saga_id"]
    with pytest.raises(InvalidRequest, match=r"^actor: "):
        wire.action(wrong, "why", 1, None)


def started(content: Any, **changed: Any) -> coordinator_pb2.StartSagaRequest:
    options: dict[str, Any] = {"request_id": None, "version": None, "wait_s": 0.0, **changed}
    return wire.start_request("Trip", content, **options)


def test_a_mapping_is_sent_as_exact_json_and_a_text_as_it_is() -> None:
    assert json.loads(started({"n": 2**70, "city": "Genève"}).input_json) == {"n": 2**70, "city": "Genève"}
    assert started('{"n": 1.10}').input_json == '{"n": 1.10}'


def test_a_start_without_an_id_gets_one_of_its_own() -> None:
    first, second = started({}).request_id, started({}).request_id
    assert first
    assert first != second
    assert started({}, request_id="r-1").request_id == "r-1"


@pytest.mark.parametrize(
    "content",
    [{"when": datetime(2026, 1, 1, tzinfo=UTC)}, {"x": float("nan")}, {(1,): 2}, {"a": [{"b": b"c"}]}],
)
def test_an_input_that_is_no_json_is_refused_before_it_is_sent(content: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^input: cannot be written as JSON"):
        started(content)


@pytest.mark.parametrize("content", [None, 7, [], [("city", "Genève")], b"{}"])
def test_an_input_that_is_no_object_is_refused_before_it_is_sent(content: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^input: expected Mapping, found "):
        started(content)


def test_an_input_that_holds_itself_is_refused_before_it_is_sent() -> None:
    content: dict[str, object] = {}
    content["self"] = content
    with pytest.raises(InvalidRequest, match=r"^input: "):
        started(content)


@pytest.mark.parametrize(("wait_s", "sent"), [(0.0, (0, 0)), (0, (0, 0)), (1.5, (1, 500_000_000))])
def test_a_wait_is_sent_to_the_nanosecond(wait_s: float, sent: tuple[int, int]) -> None:
    wait = started({}, wait_s=wait_s).wait
    assert (wait.seconds, wait.nanos) == sent


@pytest.mark.parametrize("wait_s", [float("inf"), float("nan"), -0.5, 1e10, 10**400, "5", None, True])
def test_a_wait_without_an_end_is_refused(wait_s: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^wait_s: expected a number of seconds from 0 to 1000000000; "):
        started({}, wait_s=wait_s)


def test_a_repetition_of_ones_own_call_is_no_joining() -> None:
    joined = coordinator_pb2.StartSagaResponse(joined=True)
    assert wire.to_started(joined, has_own_id=True).joined
    assert not wire.to_started(joined, has_own_id=False).joined
    repeated = operator_pb2.ActionResult(repeated=True)
    assert wire.to_action_result(repeated, has_own_id=True).repeated
    assert not wire.to_action_result(repeated, has_own_id=False).repeated


def filtered(text: str = "", **conditions: Any) -> str:
    names = ("status", "saga_name", "request_id", "needs_person", "created_from", "created_before")
    return wire.filter_text(text, **{**dict.fromkeys(names), **conditions})


def test_conditions_become_one_filter() -> None:
    noon = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert filtered() == ""
    assert filtered("status = RUNNING", needs_person=True) == "status = RUNNING AND needs_person = true"
    assert (
        filtered(status=SagaStatus.RUNNING, request_id='o"1\\', created_from=noon, created_before=noon)
        == 'status = "RUNNING" AND request_id = "o\\"1\\\\" AND create_time >= "2026-11-22T10:00:00Z" AND '
        'create_time < "2026-11-22T10:00:00Z"'
    )


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="created_from: has no time zone"):
        filtered(created_from=datetime(2026, 11, 22))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"text": None}, "filter"),
        ({"saga_name": 7}, "saga_name"),
        ({"status": b"RUNNING"}, "status"),
        ({"request_id": b"r-1"}, "request_id"),
        ({"created_from": "2026-11-22"}, "created_from"),
        ({"created_before": 7.0}, "created_before"),
    ],
)
def test_a_condition_of_another_type_is_named(condition: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        filtered(**condition)
    assert [violation.field for violation in refused.value.violations] == [field]
    with pytest.raises(InvalidRequest, match=r"^limit: expected int, found str"):
        wire.page_size("5")  # type: ignore[arg-type]


@pytest.mark.parametrize(("left", "size"), [(None, 200), (1, 1), (200, 200), (5000, 200), (0, 0), (-3, 0)])
def test_no_more_is_asked_for_than_is_wanted(left: int | None, size: int) -> None:
    assert wire.page_size(left) == size
