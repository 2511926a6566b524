"""Requests from outside, checked whole before anything is done: what comes out is safe to use.

Every fault is found, not only the first, and names its field: each verb here raises them together, as one
InvalidRequest. Nothing under `payment_info` is quoted.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.type.money_pb2 import Money

from coordinator.api.convert import struct_value
from coordinator.domain import jsontext
from coordinator.domain.actions import AS_IT_STANDS, STOPPING, Action
from coordinator.domain.errors import InvalidJson, InvalidRequest, Violation
from coordinator.domain.events import Verb
from coordinator.domain.ids import REQUEST_ID_CHARS_MAX, ActionId, RequestId, SagaId, StepName
from coordinator.domain.inputs import OUTPUT_DEPTH_MAX
from coordinator.domain.jsontext import JsonValue
from coordinator.engine.sagas import Wanted
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import operator_pb2

SAGAS_DOOR: Final = "sagas"
ID_CHARS_MAX: Final = 128
NAME_CHARS_MAX: Final = 128
METHOD_CHARS_MAX: Final = 64
TOKEN_CHARS_MAX: Final = 4096
REASON_CHARS_MAX: Final = 500
ITEMS_MAX: Final = 1000
PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 1000
NANOS_MAX: Final = 999_999_999
ORDER_FIELDS: Final = ("order_id", "user_id", "items", "payment_info")
"""What the input of a saga that places an order has."""

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class Violations:
    """Collects what is wrong with one request."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def add(self, path: str, sentence: str) -> None:
        """Note one fault."""
        self._violations.append(Violation(path, sentence))

    def text(self, path: str, value: str, *, chars_max: int, chars_min: int = 1) -> None:
        """Hold a string to its length, and to characters that every store can keep."""
        if not chars_min <= len(value) <= chars_max:
            expected = f"expected {chars_min} to {chars_max} characters"
            self.add(path, f"{expected}, found {len(value) or 'none'}")
        if "\0" in value:
            self.add(path, "holds a NUL character")

    def said(self, path: str, value: str, *, chars_max: int) -> None:
        """Hold a string that people read to its length, and to saying something."""
        self.text(path, value, chars_max=chars_max)
        if value and not _harmless(value).strip():
            self.add(path, "is blank")

    def settle(self) -> None:
        """Raise InvalidRequest if anything was found."""
        if self._violations:
            raise InvalidRequest(self._violations)


def saga_id(value: str) -> SagaId:
    """A saga's id, which may be of no saga."""
    violations = Violations()
    violations.text("saga_id", value, chars_max=ID_CHARS_MAX)
    violations.settle()
    return SagaId(value)


def cancel_reason(value: str) -> str:
    """Why a saga is cancelled; may be empty."""
    violations = Violations()
    violations.text("reason", value, chars_min=0, chars_max=REASON_CHARS_MAX)
    violations.settle()
    return _harmless(value)


StepRequest: TypeAlias = (
    operator_pb2.RetryStepRequest
    | operator_pb2.SkipStepRequest
    | operator_pb2.CompleteStepRequest
    | operator_pb2.FailStepRequest
)
SagaRequest: TypeAlias = operator_pb2.OperatorServiceCancelSagaRequest | operator_pb2.TerminateSagaRequest

_VERBS: Final[Mapping[type[StepRequest | SagaRequest], Verb]] = {
    operator_pb2.RetryStepRequest: Verb.RETRY,
    operator_pb2.SkipStepRequest: Verb.SKIP,
    operator_pb2.CompleteStepRequest: Verb.COMPLETE,
    operator_pb2.FailStepRequest: Verb.FAIL,
    operator_pb2.OperatorServiceCancelSagaRequest: Verb.CANCEL,
    operator_pb2.TerminateSagaRequest: Verb.TERMINATE,
}


def wanted_action(request: StepRequest | SagaRequest) -> tuple[SagaId, Action]:
    """What an operator asks for, and of which saga."""
    violations = Violations()
    verb, asked = _VERBS[type(request)], request.action
    violations.text("saga_id", request.saga_id, chars_max=ID_CHARS_MAX)
    if not request.HasField("action"):
        violations.add("action", "is missing; expected action_id, actor, reason and expected_seq")
    else:
        violations.text("action.action_id", asked.action_id, chars_max=ID_CHARS_MAX)
        if not asked.action_id.isprintable():
            # Two ids must not become one, so nothing is replaced in them.
            violations.add("action.action_id", "holds a character that cannot be shown")
        violations.said("action.actor", asked.actor, chars_max=ID_CHARS_MAX)
        violations.said("action.reason", asked.reason, chars_max=REASON_CHARS_MAX)
        may_stand = verb in STOPPING
        if asked.expected_seq < (AS_IT_STANDS if may_stand else 1):
            also = f", or {AS_IT_STANDS} for the saga as it stands" if may_stand else ""
            expected = f"expected the seq of the saga as you have seen it, 1 or more{also}"
            violations.add("action.expected_seq", f"{expected}; found {asked.expected_seq}")
    step, output = "", None
    if not isinstance(request, SagaRequest):
        step = request.step
        # Without a step, a retry is of a saga as a whole.
        violations.text("step", step, chars_min=0 if verb is Verb.RETRY else 1, chars_max=NAME_CHARS_MAX)
    if isinstance(request, operator_pb2.CompleteStepRequest):
        output = _output(violations, request.output_json)
    violations.settle()
    return SagaId(request.saga_id), Action(
        id=ActionId(asked.action_id),
        actor=_harmless(asked.actor),
        reason=_harmless(asked.reason),
        seq_seen=asked.expected_seq,
        verb=verb,
        step=StepName(step) if step else None,
        output=output,
    )


def _output(violations: Violations, text: str) -> str | None:
    if not text:
        return None
    try:
        return jsontext.canonical_form(text, depth_max=OUTPUT_DEPTH_MAX)
    except InvalidJson as error:
        violations.add(f"output_json{error.violation.path.removeprefix('$')}", error.violation.sentence)
        return None


def _harmless(value: str) -> str:
    """It is shown in terminals and pages: nothing in it steers them."""
    return "".join(c if c.isprintable() else " " for c in value)


def after_seq(value: int) -> int:
    """Where a watch goes on."""
    if value < 0:
        raise InvalidRequest([Violation("after_seq", f"expected 0 or more, found {value}")])
    return value


def page_size(value: int) -> int:
    """How many rows a page shows (AIP-158)."""
    if value < 0:
        raise InvalidRequest([Violation("page_size", f"expected 0 or more, found {value}")])
    return min(value or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


def wanted_saga(request: pb.StartSagaRequest) -> Wanted:
    """What a StartSaga asks for."""
    violations = Violations()
    violations.text("saga_name", request.saga_name, chars_max=NAME_CHARS_MAX)
    violations.text("definition_version", request.definition_version, chars_min=0, chars_max=NAME_CHARS_MAX)
    violations.text("request_id", request.request_id, chars_min=0, chars_max=REQUEST_ID_CHARS_MAX)
    value: JsonValue = None
    try:
        value = _saga_input(request)
    except InvalidJson as error:
        violations.add(error.violation.path, error.violation.sentence)
    violations.settle()
    return Wanted(
        front_door=SAGAS_DOOR,
        request_id=RequestId(request.request_id) if request.request_id else None,
        saga_name=request.saga_name,
        version=request.definition_version or None,
        input=value,
        names_definition=True,
    )


def seconds(field: str, duration: Duration) -> float:
    """How long *duration* is, which is the request's *field*."""
    whole_s, nanos = duration.seconds, duration.nanos
    if whole_s < 0 or not 0 <= nanos <= NANOS_MAX:
        raise InvalidRequest([Violation(field, "expected a duration of zero or more")])
    return whole_s + nanos / 1e9


def order_input(request: orders_pb2.PlaceOrderRequest) -> JsonValue:
    """The input of the saga that places this order."""
    violations = Violations()
    # Each is read once: protobuf makes a new object of it whenever it is.
    order_id, user_id = request.order_id, request.user_id
    violations.text("order_id", order_id, chars_max=REQUEST_ID_CHARS_MAX)
    violations.text("user_id", user_id, chars_max=ID_CHARS_MAX)
    items = _items(violations, request.items)
    payment: JsonValue = None
    if request.HasField("payment_info"):
        payment = _payment(violations, request.payment_info)
    else:
        violations.add("payment_info", "is missing; expected method, token and amount")
    violations.settle()
    return {
        "order_id": order_id,
        "user_id": user_id,
        "items": items,
        "payment_info": payment,
    }


def _items(violations: Violations, ordered: Sequence[orders_pb2.OrderItem]) -> JsonValue:
    count = len(ordered)
    if not 1 <= count <= ITEMS_MAX:
        violations.add("items", f"expected 1 to {ITEMS_MAX} items, found {count or 'none'}")
    items: list[JsonValue] = []
    for index, item in enumerate(ordered if count <= ITEMS_MAX else ordered[:ITEMS_MAX]):
        item_id, quantity = item.item_id, item.quantity
        violations.text(f"items[{index}].item_id", item_id, chars_max=ID_CHARS_MAX)
        if quantity < 1:
            violations.add(f"items[{index}].quantity", f"expected 1 or more, found {quantity}")
        items.append({"item_id": item_id, "quantity": quantity})
    return items


def _payment(violations: Violations, payment: orders_pb2.PaymentInfo) -> JsonValue:
    method, token = payment.method, payment.token
    violations.text("payment_info.method", method, chars_max=METHOD_CHARS_MAX)
    violations.text("payment_info.token", token, chars_max=TOKEN_CHARS_MAX)
    amount: JsonValue = None
    if payment.HasField("amount"):
        amount = _amount(violations, payment.amount)
    else:
        violations.add("payment_info.amount", "is missing; expected currency_code, units and nanos")
    return {"method": method, "token": token, "amount": amount}


def _amount(violations: Violations, amount: Money) -> JsonValue:
    """The rules of google.type.Money, and above zero."""
    path = "payment_info.amount"
    currency_code, units, nanos = amount.currency_code, amount.units, amount.nanos
    if not _CURRENCY.fullmatch(currency_code):
        violations.add(
            f"{path}.currency_code", "expected an ISO 4217 code: three capital letters such as EUR"
        )
    if abs(nanos) > NANOS_MAX:
        violations.add(f"{path}.nanos", f"expected -{NANOS_MAX} to {NANOS_MAX}")
    elif units * nanos < 0:
        violations.add(f"{path}.nanos", "expected the same sign as units")
    elif units <= 0 and nanos <= 0:
        violations.add(path, "expected an amount above zero")
    return {"currency_code": currency_code, "units": units, "nanos": nanos}


def _saga_input(request: pb.StartSagaRequest) -> JsonValue:
    match request.WhichOneof("input_form"):
        case "input":
            # Through the same door as text, so that both forms are held to the same bounds.
            text = jsontext.canonical(struct_value(request.input, "input"))
            return jsontext.loads(text, source="input")
        case "input_json":
            return jsontext.loads(request.input_json, source="input_json")
        case _:
            return {}
