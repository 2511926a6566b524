"""The contract of participant.proto, case by case over a real socket, as a coordinator meets it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from participants.fault_plan import FaultPlan
from participants.server import serving
from participants.services import EXAMPLES
from saga.v1 import participant_pb2 as pb
from tests.unit.participants.kit import Client, Failure, TillService, a_client, a_till


@pytest.fixture
def till() -> TillService:
    return TillService()


@pytest_asyncio.fixture
async def client(tmp_path: Path, till: TillService) -> AsyncIterator[Client]:
    async with a_till(tmp_path, till) as connected:
        yield connected


def output(answer: object) -> str:
    assert isinstance(answer, pb.ExecuteResponse | pb.CompensateResponse)
    assert answer.WhichOneof("outcome") == "succeeded"
    return answer.succeeded.output_json


def outcome(answer: object) -> str | None:
    assert isinstance(answer, pb.ExecuteResponse | pb.CompensateResponse)
    return answer.WhichOneof("outcome")


def failed(answer: object) -> tuple[str, str]:
    assert isinstance(answer, Failure)
    return answer.status, answer.reason


async def test_an_execute_has_its_effect_once_and_echoes_its_key(client: Client) -> None:
    answers = [await client.execute(attempt=attempt) for attempt in (1, 2, 3)]
    assert [output(answer) for answer in answers] == ['{"put":5}'] * 3
    assert all(isinstance(a, pb.ExecuteResponse) and a.idempotency_key == "saga-1/pay/E" for a in answers)
    assert await client.ledger() == [("put", "APPLIED"), ("put", "DUPLICATE"), ("put", "DUPLICATE")]


async def test_two_hundred_deliveries_at_once_apply_once(client: Client) -> None:
    answers = await asyncio.gather(*(client.execute() for _ in range(200)))
    assert {output(answer) for answer in answers} == {'{"put":5}'}
    rows = await client.ledger()
    assert rows.count(("put", "APPLIED")) == 1
    assert rows.count(("put", "DUPLICATE")) == 199


async def test_a_refusal_carries_code_and_message_and_is_stored(client: Client, till: TillService) -> None:
    till.mood = "refuse"
    refused = await client.execute()
    till.mood = "succeed"
    assert refused == await client.execute()
    assert isinstance(refused, pb.ExecuteResponse)
    assert (refused.refused.code, refused.refused.message) == ("TILL_LOCKED", "The till is locked.")


async def test_pending_and_faulted_say_when_to_come_again(client: Client, till: TillService) -> None:
    till.mood = "pend"
    pending = await client.execute()
    till.mood = "fault"
    faulted = await client.execute()
    till.mood = "succeed"
    assert isinstance(pending, pb.ExecuteResponse)
    assert isinstance(faulted, pb.ExecuteResponse)
    assert pending.pending.ask_again_after.ToMilliseconds() == 1500
    assert faulted.faulted.retry_after.ToMilliseconds() == 250
    assert faulted.faulted.code == "TILL_BUSY"
    assert outcome(await client.execute()) == "succeeded"


async def test_a_compensation_undoes_the_effect(client: Client) -> None:
    await client.execute()
    assert output(await client.compensate(execute_output_json='{"put":5}')) == '{"taken":true}'
    assert output(await client.compensate()) == '{"taken":true}'


async def test_a_null_compensation_succeeds_and_bars_the_execute(client: Client) -> None:
    assert output(await client.compensate()) == ""
    assert failed(await client.execute()) == ("FAILED_PRECONDITION", "BARRED")
    assert await client.ledger() == [("take", "NULL"), ("put", "BARRED")]


async def test_a_nameless_compensation_bars_and_leaves_what_stands(client: Client) -> None:
    await client.execute(step="done")
    assert outcome(await client.compensate(step="done", compensation="")) == "succeeded"
    assert outcome(await client.compensate(step="never", compensation="")) == "succeeded"
    assert failed(await client.execute(step="never")) == ("FAILED_PRECONDITION", "BARRED")


async def test_a_reused_key_is_told_as_such(client: Client) -> None:
    await client.execute()
    assert failed(await client.execute(input_json='{"amount": 6}')) == ("ALREADY_EXISTS", "KEY_REUSED")
    # Byte for byte: the same content written otherwise is another input.
    assert failed(await client.execute(input_json='{"amount":5}')) == ("ALREADY_EXISTS", "KEY_REUSED")


async def test_an_older_token_is_stale(client: Client) -> None:
    await client.execute(fencing_token=7)
    assert failed(await client.compensate(fencing_token=6)) == ("ABORTED", "STALE_TOKEN")
    assert outcome(await client.compensate(fencing_token=8)) == "succeeded"


async def test_an_unknown_transaction_is_refused(client: Client) -> None:
    answer = await client.execute(transaction="nonsense")
    assert isinstance(answer, pb.ExecuteResponse)
    assert answer.refused.code == "UNKNOWN_TRANSACTION"


async def test_an_unknown_compensation_of_an_effect_is_refused(client: Client) -> None:
    await client.execute()
    answer = await client.compensate(compensation="nonsense")
    assert isinstance(answer, pb.CompensateResponse)
    assert answer.refused.code == "UNKNOWN_COMPENSATION"


async def test_an_unknown_service_is_unimplemented(client: Client) -> None:
    assert failed(await client.execute(service="Nobody")) == ("UNIMPLEMENTED", "UNKNOWN_SERVICE")
    assert failed(await client.execute(service="")) == ("UNIMPLEMENTED", "UNKNOWN_SERVICE")


TILL = pb.ServiceDescription(
    service="TillService", transactions=["put"], compensations=["take"], barrier=True
)


async def test_a_service_says_what_its_author_has_marked(client: Client) -> None:
    assert await client.describe("TillService") == pb.DescribeResponse(services=[TILL])


async def test_a_server_that_is_asked_for_no_service_describes_all_by_name(tmp_path: Path) -> None:
    participants = [EXAMPLES["PaymentService"](), EXAMPLES["OrderService"](), TillService()]
    async with (
        serving(participants, data=tmp_path, grace_s=1) as served,
        a_client(served.address) as client,
    ):
        told = await client.describe()
    assert isinstance(told, pb.DescribeResponse)
    orders, payment, till = told.services
    assert list(orders.transactions) == ["confirmOrder", "createOrder"]
    assert payment == pb.ServiceDescription(
        service="PaymentService",
        transactions=["processPayment", "reserveFunds"],
        compensations=["refundPayment", "releaseFunds"],
        barrier=True,
    )
    assert till == TILL


async def test_a_service_that_is_not_hosted_is_not_described(client: Client) -> None:
    assert failed(await client.describe("Nobody")) == ("UNIMPLEMENTED", "UNKNOWN_SERVICE")


async def test_a_duplicate_waits_for_the_first_ones_answer(client: Client) -> None:
    await client.set_faults(
        {"transaction": "put", "fault": "latency", "distribution": "fixed", "ms": 300, "times": 1}
    )
    first = asyncio.create_task(client.execute())
    await asyncio.sleep(0.1)
    assert output(await client.execute()) == '{"put":5}'
    assert first.done()
    assert await client.ledger() == [("put", "APPLIED"), ("put", "DUPLICATE")]


async def test_a_duplicate_that_waits_in_vain_is_faulted_within_its_deadline(client: Client) -> None:
    await client.set_faults({"transaction": "put", "fault": "hang", "times": 1})
    first = asyncio.create_task(client.execute(timeout_s=5))
    await asyncio.sleep(0.1)
    second = await client.execute(timeout_s=0.5)
    assert isinstance(second, pb.ExecuteResponse)
    assert second.faulted.code == "STEP_BUSY"
    third = await client.compensate(timeout_s=0.5)
    assert isinstance(third, pb.CompensateResponse)
    assert third.faulted.code == "STEP_BUSY"
    assert outcome(await client.execute(step="ship")) == "succeeded"
    first.cancel()


async def test_a_caller_that_leaves_frees_its_turn(client: Client) -> None:
    await client.set_faults({"transaction": "put", "fault": "hang", "times": 1})
    assert failed(await client.execute(timeout_s=0.2)) == ("DEADLINE_EXCEEDED", "")
    assert outcome(await client.execute(timeout_s=2)) == "succeeded"


MALFORMED = [
    ({"idempotency_key": ""}, "idempotency_key", "1 to 255"),
    ({"idempotency_key": "k" * 256}, "idempotency_key", "1 to 255"),
    ({"idempotency_key": "schlüssel"}, "idempotency_key", "ASCII"),
    ({"idempotency_key": "a\nb"}, "idempotency_key", "ASCII"),
    ({"saga": ""}, "saga_id", "empty"),
    ({"saga": "a\0b"}, "saga_id", "control"),
    ({"step": "s" * 256}, "step", "at most 255"),
    ({"transaction": ""}, "transaction", "empty"),
    ({"transaction": "a\0"}, "transaction", "control"),
    ({"fencing_token": -1}, "fencing_token", "negative"),
    ({"input_json": ""}, "input_json", "not JSON"),
    ({"input_json": "[]"}, "input_json", "not a JSON object"),
    ({"input_json": '{"a": "\\u0000"}'}, "input_json", "NUL"),
    ({"input_json": '{"a": "' + "x" * 2**21 + '"}'}, "input_json", "at most 2097152 bytes"),
    ({"input_json": '{"a": "' + "ü" * 2**20 + '"}'}, "input_json", "at most 2097152 bytes"),
]


@pytest.mark.parametrize(("wrong", "field", "sentence"), MALFORMED)
async def test_a_malformed_execute_is_refused_by_field_before_anything_is_written(
    client: Client, wrong: dict[str, Any], field: str, sentence: str
) -> None:
    answer = await client.execute(**{"idempotency_key": "k", **wrong})
    assert failed(answer) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert isinstance(answer, Failure)
    assert list(answer.violations) == [field]
    assert sentence in answer.violations[field]
    assert await client.ledger() == []


async def test_a_malformed_compensate_is_refused_by_field(client: Client) -> None:
    answer = await client.compensate(
        idempotency_key="", compensation="a\0", input_json="[", execute_output_json="nonsense"
    )
    assert isinstance(answer, Failure)
    assert sorted(answer.violations) == [
        *("compensation", "execute_output_json", "idempotency_key", "input_json")
    ]


async def test_a_request_beyond_the_wires_limit_is_turned_away(client: Client) -> None:
    answer = await client.execute(input_json='{"a": "' + "x" * 5 * 2**20 + '"}')
    assert failed(answer) == ("RESOURCE_EXHAUSTED", "")


async def test_business_code_that_fails_tells_nothing_of_the_payload(
    client: Client, till: TillService, caplog: pytest.LogCaptureFixture
) -> None:
    till.mood = "explode"
    with caplog.at_level(logging.DEBUG):
        answer = await client.execute()
    assert failed(answer) == ("INTERNAL", "BUSINESS_ERROR")
    assert isinstance(answer, Failure)
    assert "tok-canary" not in answer.sentence
    assert "tok-canary" not in caplog.text
    record = next(r for r in caplog.records if r.name == "participants.status")
    assert {"service": "TillService", "saga_id": "saga-1", "step": "pay"}.items() <= vars(record).items()
    assert vars(record)["error"].startswith("RuntimeError in kit.py:")
    till.mood = "succeed"
    assert outcome(await client.execute()) == "succeeded"


async def test_a_ledger_row_tells_all_of_its_call(client: Client) -> None:
    await client.execute(fencing_token=3)
    page = await client.page()
    assert not isinstance(page, Failure)
    (row,) = page.entries
    assert (row.local_seq, row.service, row.saga_id, row.step) == (1, "TillService", "saga-1", "pay")
    assert (row.transaction, row.idempotency_key, row.fencing_token) == ("put", "saga-1/pay/E", 3)
    assert len(row.request_hash) == len(row.result_hash) == 64
    assert 0 < row.arrived_ns < row.committed_ns


async def test_the_ledger_comes_in_pages_and_by_saga(client: Client) -> None:
    for number in range(5):
        await client.execute(f"saga-{number % 2}", f"step-{number}")
    seen, token = [], ""
    while True:
        page = await client.page(page_size=2, page_token=token)
        assert not isinstance(page, Failure)
        assert len(page.entries) <= 2
        seen += [entry.local_seq for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert seen == [1, 2, 3, 4, 5]
    assert len(await client.ledger(saga_id="saga-1")) == 2
    assert len(await client.ledger(page_size=100_000)) == 5


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": "Nobody:1"}, "page_token"),
        ({"page_token": "TillService:-1"}, "page_token"),
        ({"page_token": "TillService:" + "9" * 30}, "page_token"),
    ],
)
async def test_a_wrong_page_is_refused_by_field(client: Client, wrong: dict[str, object], field: str) -> None:
    answer = await client.page(**wrong)
    assert isinstance(answer, Failure)
    assert (answer.status, list(answer.violations)) == ("INVALID_ARGUMENT", [field])


async def test_the_ledger_of_an_unknown_service_is_unimplemented(client: Client) -> None:
    assert failed(await client.page(service="Nobody")) == ("UNIMPLEMENTED", "UNKNOWN_SERVICE")


async def test_what_is_stored_outlives_the_process(tmp_path: Path) -> None:
    async with a_till(tmp_path) as client:
        await client.execute(fencing_token=2)
        await client.compensate(step="never", fencing_token=2)
    async with a_till(tmp_path) as client:
        assert output(await client.execute(fencing_token=2)) == '{"put":5}'
        assert failed(await client.execute(step="never", fencing_token=2)) == (
            "FAILED_PRECONDITION",
            "BARRED",
        )
        assert failed(await client.execute(fencing_token=1)) == ("ABORTED", "STALE_TOKEN")


ROUND_2 = "saga-1/pay/C/2"


async def test_an_undo_that_was_refused_is_performed_once_under_the_key_of_its_next_round(
    client: Client, till: TillService
) -> None:
    await client.execute()
    till.mood = "refuse"
    for attempt in (1, 2):
        assert outcome(await client.compensate(attempt=attempt)) == "refused"
    till.mood = "succeed"
    assert output(await client.compensate(idempotency_key=ROUND_2, attempt=3)) == '{"taken":true}'
    assert len(till.undone_with) == 1
    assert failed(await client.execute()) == ("FAILED_PRECONDITION", "BARRED")


async def test_late_duplicates_of_either_round_change_nothing_and_get_the_same_answer(
    client: Client, till: TillService
) -> None:
    await client.execute()
    till.mood = "refuse"
    await client.compensate()
    till.mood = "succeed"
    await client.compensate(idempotency_key=ROUND_2)
    for key in ("saga-1/pay/C", ROUND_2, "saga-1/pay/C/3", "saga-1/pay/C", ROUND_2):
        late = await client.compensate(idempotency_key=key)
        assert output(late) == '{"taken":true}'
        assert isinstance(late, pb.CompensateResponse)
        assert late.idempotency_key == key
    assert len(till.undone_with) == 1
    rows = await client.ledger()
    assert rows.count(("take", "APPLIED")) == 1
    assert rows.count(("take", "DUPLICATE")) == 5


async def test_rounds_that_arrive_at_once_undo_once(client: Client, till: TillService) -> None:
    await client.execute()
    keys = ["saga-1/pay/C", ROUND_2, "saga-1/pay/C/3"] * 30
    answers = await asyncio.gather(*(client.compensate(idempotency_key=key) for key in keys))
    assert {output(answer) for answer in answers} == {'{"taken":true}'}
    assert len(till.undone_with) == 1
    assert (await client.ledger()).count(("take", "APPLIED")) == 1


async def test_a_later_round_of_what_was_never_seen_undoes_nothing_and_bars_the_execute(
    client: Client, till: TillService
) -> None:
    assert output(await client.compensate(idempotency_key=ROUND_2)) == ""
    assert output(await client.compensate()) == ""
    assert failed(await client.execute()) == ("FAILED_PRECONDITION", "BARRED")
    assert till.undone_with == []
    assert (await client.ledger())[0] == ("take", "NULL")


async def test_another_round_is_no_way_to_another_content(client: Client, till: TillService) -> None:
    await client.execute()
    await client.compensate()
    other = await client.compensate(idempotency_key=ROUND_2, input_json='{"amount": 6}')
    assert failed(other) == ("ALREADY_EXISTS", "KEY_REUSED")
    assert len(till.undone_with) == 1


async def test_a_round_that_was_performed_is_remembered_by_the_next_process(tmp_path: Path) -> None:
    till = TillService()
    async with a_till(tmp_path, till) as client:
        await client.execute()
        till.mood = "refuse"
        await client.compensate()
        till.mood = "succeed"
        await client.compensate(idempotency_key=ROUND_2)
    again = TillService()
    async with a_till(tmp_path, again) as client:
        assert output(await client.compensate()) == '{"taken":true}'
        assert output(await client.compensate(idempotency_key=ROUND_2)) == '{"taken":true}'
        assert failed(await client.execute()) == ("FAILED_PRECONDITION", "BARRED")
    assert again.undone_with == []


EXAMPLE_STEPS = [
    ("OrderService", "createOrder", "cancelOrder"),
    ("InventoryService", "reserveInventory", "releaseInventory"),
    ("PaymentService", "processPayment", "refundPayment"),
    ("ShippingService", "scheduleShipment", "cancelShipment"),
    ("NotificationService", "sendConfirmationEmail", "sendCancellationEmail"),
    ("FlightService", "bookFlight", "cancelFlight"),
    ("HotelService", "bookHotel", "cancelHotel"),
    ("CarService", "bookCar", "cancelCar"),
]


@pytest.mark.parametrize(("service", "transaction", "compensation"), EXAMPLE_STEPS)
async def test_each_example_service_undoes_once_whatever_the_round(
    tmp_path: Path, service: str, transaction: str, compensation: str
) -> None:
    order = {
        "order_id": "o-1",
        "user_id": "u-1",
        "items": [{"item_id": "sku-1", "quantity": 2}],
        "payment_info": {
            "method": "card",
            "token": "tok",
            "amount": {"currency_code": "EUR", "units": "42"},
        },
        "trip_id": "t-1",
        "flight_id": "flight-1",
        "hotel_id": "hotel-1",
        "nights": 3,
        "car_id": "car-1",
        "days": 2,
    }
    execute: dict[str, Any] = {
        "service": service,
        "transaction": transaction,
        "input_json": json.dumps(order),
    }
    undo: dict[str, Any] = {"service": service, "compensation": compensation, "input_json": json.dumps(order)}
    async with (
        serving([EXAMPLES[service]()], data=tmp_path, faults=FaultPlan(), grace_s=1) as served,
        a_client(served.address) as client,
    ):
        assert outcome(await client.execute(**execute)) == "succeeded"
        await client.set_faults({"compensation": compensation, "fault": "refused", "times": 1})
        assert outcome(await client.compensate(**undo)) == "refused"
        for key in (ROUND_2, "saga-1/pay/C", ROUND_2):
            assert outcome(await client.compensate(idempotency_key=key, **undo)) == "succeeded"
        assert failed(await client.execute(**execute)) == ("FAILED_PRECONDITION", "BARRED")
        rows = await client.ledger(service=service)
    assert rows.count((compensation, "APPLIED")) == 1
    assert rows.count((compensation, "DUPLICATE")) == 2
    assert rows.count((transaction, "APPLIED")) == 1
