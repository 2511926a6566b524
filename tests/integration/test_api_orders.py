"""PlaceOrder over a real socket: answered when it is decided, joined when it is repeated, refused whole."""

import asyncio
import json
import logging
import time
from typing import Any

import grpc.aio
import pytest
from grpc import StatusCode

from coordinator.api.requests import ORDER_FIELDS, order_input
from coordinator.domain.ids import RequestId
from coordinator.domain.language.documents import Format
from coordinator.domain.outcomes import NoProof, Refused, Unproved
from coordinator.engine import sagas as engine_sagas
from coordinator.ports.participants import ExecuteCall
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import types_pb2
from tests.integration.api_harness import (
    REFUSED,
    TOKEN,
    UNREACHABLE,
    another_server,
    coordinator,
    hear_everything,
    order,
    payment,
    read_refusal,
    refusal,
)


async def test_an_order_whose_every_step_succeeds_is_a_success() -> None:
    async with coordinator() as c:
        answer = await c.orders.PlaceOrder(order())
        saga = await c.get(answer.saga_id)
    assert answer.order_id == "o-1"
    assert answer.status == orders_pb2.SUCCESS
    assert answer.saga_status == types_pb2.SAGA_STATUS_COMPLETED
    assert answer.error_message == ""
    assert saga.request_id == "o-1"
    assert c.participants.names() == ["createOrder", "reserveStock", "charge"]


async def test_a_step_is_sent_the_order_as_json_with_its_integers() -> None:
    async with coordinator() as c:
        await c.orders.PlaceOrder(order())
    sent = {name: json.loads(call.input) for name, call in c.participants.calls}
    assert sent["createOrder"] == {
        "order_id": "o-1",
        "user_id": "u-1",
        "items": [{"item_id": "sku-1", "quantity": 2}],
    }
    assert sent["charge"]["payment_info"]["amount"] == {
        "currency_code": "EUR",
        "units": 42,
        "nanos": 500_000_000,
    }
    assert sent["charge"]["payment_info"]["token"] == TOKEN


async def test_a_refused_order_is_undone_in_reverse_and_failed() -> None:
    async with coordinator() as c:
        c.participants.answer("charge", REFUSED)
        answer = await c.orders.PlaceOrder(order())
    assert answer.status == orders_pb2.FAILED
    assert answer.saga_status == types_pb2.SAGA_STATUS_COMPENSATED
    assert "DECLINED: the bank says no" in answer.error_message
    assert c.participants.names()[3:] == ["releaseStock", "cancelOrder"]


async def test_an_order_that_is_set_aside_while_going_forward_is_undecided_and_never_called_failed() -> None:
    async with coordinator() as c:
        c.participants.answer("charge", NoProof(Unproved.STALE_TOKEN, "STALE_TOKEN", "a newer one"))
        refused = await refusal(c.orders.PlaceOrder(order()))
    assert refused.code is StatusCode.DEADLINE_EXCEEDED
    assert refused.metadata["status"] == "DEAD_LETTERED"
    assert "until a person has looked at it" in refused.message


async def test_an_order_whose_undo_needs_a_person_is_failed_and_says_so() -> None:
    async with coordinator() as c:
        c.participants.answer("charge", REFUSED)
        c.participants.answer("releaseStock", Refused("LOST", "no such reservation"))
        answer = await c.orders.PlaceOrder(order())
    assert answer.status == orders_pb2.FAILED
    assert answer.saga_status == types_pb2.SAGA_STATUS_DEAD_LETTERED
    assert "needs a person" in answer.error_message


async def test_the_same_order_again_gets_the_same_answer_and_moves_nothing() -> None:
    async with coordinator() as c:
        c.participants.answer("charge", REFUSED)
        first = await c.orders.PlaceOrder(order())
        calls = len(c.participants.calls)
        second = await c.orders.PlaceOrder(order())
    assert second == first
    assert len(c.participants.calls) == calls


async def test_twenty_equal_orders_at_once_are_one_saga_with_one_answer() -> None:
    async with coordinator() as c:
        answers = await asyncio.gather(*(c.orders.PlaceOrder(order()) for _ in range(20)))
        sagas = await c.saga_count()
    assert {answer.SerializeToString(deterministic=True) for answer in answers} == {
        answers[0].SerializeToString(deterministic=True)
    }
    assert sagas == 1
    assert c.participants.names() == ["createOrder", "reserveStock", "charge"]


async def test_equal_orders_that_queue_for_a_busy_participant_use_up_none_of_its_slots() -> None:
    async with coordinator(calls_per_service_max=2) as c:
        c.participants.hold("createOrder")
        busy = [asyncio.ensure_future(c.orders.PlaceOrder(order(f"busy-{n}"))) for n in range(2)]
        await c.participants.called("createOrder", times=2)
        equal = [asyncio.ensure_future(c.orders.PlaceOrder(order("equal"))) for _ in range(20)]
        while await c.saga_count() < 3:
            await asyncio.sleep(0.01)
        c.participants.release("createOrder")
        await asyncio.gather(*busy, *equal)
        later = await asyncio.gather(*(c.orders.PlaceOrder(order(f"later-{n}"), timeout=5) for n in range(4)))
    assert {answer.status for answer in later} == {orders_pb2.SUCCESS}


async def test_the_same_order_id_with_other_content_learns_nothing_of_the_first() -> None:
    async with coordinator() as c:
        first = await c.orders.PlaceOrder(order(user_id="u-secret"))
        refused = await refusal(c.orders.PlaceOrder(order(user_id="u-other")))
        sagas = await c.saga_count()
    assert refused.code is StatusCode.ALREADY_EXISTS
    assert refused.reason == "REQUEST_ID_TAKEN"
    assert refused.metadata == {"request_id": "o-1"}
    for told in ("u-secret", first.saga_id, TOKEN):
        assert told not in refused.everything
    assert sagas == 1


async def test_an_order_is_repeated_whatever_has_become_of_the_definition() -> None:
    async with coordinator() as c:
        first = await c.orders.PlaceOrder(order())
        await c.definitions.retire("PlaceOrder", "3", if_no_open_sagas=False)
        assert await c.orders.PlaceOrder(order()) == first


async def test_an_order_is_repeated_through_a_door_that_leads_elsewhere_by_now() -> None:
    async with coordinator() as c:
        first = await c.orders.PlaceOrder(order())
        async with another_server(c, place_order_saga="Trip") as orders:
            assert await orders.PlaceOrder(order()) == first
            other = await orders.PlaceOrder(order("o-2"))
        assert (await c.get(other.saga_id)).saga_name == "Trip"


async def test_a_door_whose_definition_is_missing_says_that_it_is_the_operators_fault() -> None:
    async with coordinator(place_order_saga="Gone") as c:
        refused = await refusal(c.orders.PlaceOrder(order()))
        sagas = await c.saga_count()
    assert refused.code is StatusCode.UNAVAILABLE
    assert refused.reason == "FRONT_DOOR_CLOSED"
    assert refused.message == (
        "PlaceOrder cannot be served (SAGA_PLACE_ORDER_SAGA): there is no definition 'Gone'; loaded are: "
        "NeedsColour, PlaceOrder (version 3), Trip. Register a version of Gone that takes order_id, user_id, "
        "items, payment_info; nothing was written"
    )
    assert sagas == 0


async def test_a_door_to_a_saga_that_wants_more_than_an_order_blames_no_caller() -> None:
    async with coordinator(place_order_saga="NeedsColour") as c:
        refused = await refusal(c.orders.PlaceOrder(order()))
        sagas = await c.saga_count()
    assert refused.code is StatusCode.UNAVAILABLE
    assert "$.colour: is missing" in refused.message
    assert sagas == 0


async def test_a_registration_that_shuts_the_door_says_so_and_every_caller_is_told_what_opens_it() -> None:
    step = {"service": "Stock", "transaction": "reserveStock", "compensation": None, "input": ["nofield"]}
    newer = json.dumps({"sagaName": "PlaceOrder", "version": "4", "steps": [step]})
    async with coordinator() as c:
        await c.definitions.register(newer, Format.JSON, source="test", validate_only=False)
        shut = await refusal(c.orders.PlaceOrder(order()))
        await c.definitions.retire("PlaceOrder", "4", if_no_open_sagas=False)
        assert (await c.orders.PlaceOrder(order())).status == orders_pb2.SUCCESS
        await c.definitions.retire("PlaceOrder", "3", if_no_open_sagas=False)
        gone = await refusal(c.orders.PlaceOrder(order("o-2")))
    assert (shut.code, shut.reason) == (StatusCode.UNAVAILABLE, "FRONT_DOOR_CLOSED")
    assert shut.message == (
        "PlaceOrder cannot be served (SAGA_PLACE_ORDER_SAGA): the newest PlaceOrder (version 4) asks for "
        "more than this call has: $.nofield: is missing; step reserveStock needs it. Register a version of "
        "PlaceOrder that takes order_id, user_id, items, payment_info; nothing was written"
    )
    assert (gone.code, gone.reason) == (StatusCode.UNAVAILABLE, "FRONT_DOOR_CLOSED")
    assert "(SAGA_PLACE_ORDER_SAGA): definition 'PlaceOrder' in version '4' is retired since" in gone.message


def test_the_saga_of_an_order_is_given_what_its_door_says_that_it_has() -> None:
    given = order_input(order())
    assert isinstance(given, dict)
    assert tuple(given) == ORDER_FIELDS


async def test_an_undecided_order_is_answered_before_the_callers_deadline_and_goes_on() -> None:
    async with coordinator() as c:
        c.participants.hold("charge")
        refused = await refusal(c.orders.PlaceOrder(order(), timeout=0.6))
        assert refused.code is StatusCode.DEADLINE_EXCEEDED
        assert refused.reason == "SAGA_UNDECIDED"
        assert refused.metadata["status"] == "RUNNING"
        assert (await c.get(refused.metadata["saga_id"])).request_id == "o-1"
        c.participants.release("charge")
        again = await c.orders.PlaceOrder(order())
    assert again.status == orders_pb2.SUCCESS
    assert again.saga_id == refused.metadata["saga_id"]


@pytest.mark.parametrize("timeout_s", [None, 15])
async def test_a_patient_caller_waits_no_longer_than_our_own_limit(timeout_s: float | None) -> None:
    async with coordinator(wait_max_s=0.2) as c:
        c.participants.answer("charge", REFUSED)
        c.participants.hold("releaseStock")
        began_at = time.monotonic()
        refused = await refusal(c.orders.PlaceOrder(order(), timeout=timeout_s))
        assert time.monotonic() - began_at < 5
        assert refused.code is StatusCode.DEADLINE_EXCEEDED
        assert refused.metadata["status"] == "COMPENSATING"
        c.participants.release("releaseStock")
        assert (await c.orders.PlaceOrder(order())).status == orders_pb2.FAILED


async def test_a_caller_who_leaves_leaves_the_order_running() -> None:
    async with coordinator() as c:
        c.participants.hold("createOrder")
        call = c.orders.PlaceOrder(order())
        call_task = asyncio.ensure_future(_awaited(call))
        await c.participants.called("createOrder")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call_task
        while c.feed._listeners:  # the handler is gone
            await asyncio.sleep(0.005)
        c.participants.release("createOrder")
        page = await c.api.ListSagas(pb.ListSagasRequest(filter='request_id = "o-1"'))
        saga = await c.ended(page.sagas[0].saga_id)
    assert saga.status == types_pb2.SAGA_STATUS_COMPLETED


async def test_at_the_limit_new_orders_are_refused_at_once_and_known_ones_are_joined() -> None:
    async with coordinator(sagas_open_max=2) as c:
        c.participants.hold("charge")
        open_orders = [asyncio.ensure_future(_awaited(c.orders.PlaceOrder(order(f"o-{n}")))) for n in (1, 2)]
        await c.participants.called("charge", times=2)
        refused = await refusal(c.orders.PlaceOrder(order("o-3"), timeout=1))
        joined = asyncio.ensure_future(_awaited(c.orders.PlaceOrder(order("o-1"))))
        await asyncio.sleep(0.05)
        assert not joined.done()
        c.participants.release("charge")
        first = await open_orders[0]
        assert await joined == first
        await open_orders[1]
        assert (await c.orders.PlaceOrder(order("o-3"))).status == orders_pb2.SUCCESS
    assert refused.code is StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "OVERLOADED"
    assert "nothing was written" in refused.message


async def test_a_flood_of_refused_orders_is_looked_up_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What others read has to wait behind whatever is being read."""
    monkeypatch.setattr(engine_sagas, "REFUSED_LOOKUPS_MAX", 3)
    looked_up: list[str] = []
    is_found = asyncio.Event()

    async def requested(front_door: str, request_id: RequestId) -> None:
        looked_up.append(request_id)
        await is_found.wait()

    async with coordinator(sagas_open_max=1) as c:
        c.participants.hold("charge")
        is_open = asyncio.ensure_future(_awaited(c.orders.PlaceOrder(order("o-0"))))
        await c.participants.called("charge")
        monkeypatch.setattr(c.journal, "requested", requested)
        flood = asyncio.gather(*(refusal(c.orders.PlaceOrder(order(f"o-{n}"))) for n in range(1, 11)))
        async with asyncio.timeout(5):
            while len(c.server._interceptor._running) < 11:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert len(looked_up) == 3
        is_found.set()
        assert {one.code for one in await flood} == {StatusCode.RESOURCE_EXHAUSTED}
        assert len(looked_up) == 10
        c.participants.release("charge")
        await is_open


LONG = "x" * (1 << 20)
TOO_LONG = "expected 1 to 128 characters, found 129"
NONE = "expected 1 to 128 characters, found none"
NUL = "holds a NUL character"
AMOUNT = "payment_info.amount"


def money(code: str = "EUR", units: int = 1, nanos: int = 0) -> dict[str, Any]:
    return {"payment_info": payment(amount={"currency_code": code, "units": units, "nanos": nanos})}


def item(item_id: str = "sku-1", quantity: int = 1) -> dict[str, Any]:
    return {"items": [{"item_id": "sku-0", "quantity": 1}, {"item_id": item_id, "quantity": quantity}]}


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"order_id": ""}, {"order_id": NONE}),
        ({"order_id": "o" * 129}, {"order_id": TOO_LONG}),
        ({"order_id": "o\0"}, {"order_id": NUL}),
        ({"order_id": LONG}, {"order_id": "expected 1 to 128 characters, found 1048576"}),
        ({"user_id": ""}, {"user_id": NONE}),
        ({"user_id": "ü" * 129}, {"user_id": TOO_LONG}),
        ({"user_id": "u\0u"}, {"user_id": NUL}),
        ({"user_id": LONG}, {"user_id": "expected 1 to 128 characters, found 1048576"}),
        ({"items": []}, {"items": "expected 1 to 1000 items, found none"}),
        (
            {"items": [{"item_id": "i", "quantity": 1}] * 1001},
            {"items": "expected 1 to 1000 items, found 1001"},
        ),
        (item(item_id=""), {"items[1].item_id": NONE}),
        (item(item_id="i" * 129), {"items[1].item_id": TOO_LONG}),
        (item(item_id="\0"), {"items[1].item_id": NUL}),
        (item(quantity=0), {"items[1].quantity": "expected 1 or more, found 0"}),
        (item(quantity=-3), {"items[1].quantity": "expected 1 or more, found -3"}),
        (
            {"payment_info": None},
            {"payment_info": "is missing; expected method, token and amount"},
        ),
        (
            {"payment_info": payment(method="")},
            {"payment_info.method": "expected 1 to 64 characters, found none"},
        ),
        (
            {"payment_info": payment(method="m" * 65)},
            {"payment_info.method": "expected 1 to 64 characters, found 65"},
        ),
        (
            {"payment_info": payment(token="")},
            {"payment_info.token": "expected 1 to 4096 characters, found none"},
        ),
        (
            {"payment_info": payment(token=TOKEN * 512)},
            {"payment_info.token": f"expected 1 to 4096 characters, found {len(TOKEN) * 512}"},
        ),
        ({"payment_info": payment(token=f"{TOKEN}\0")}, {"payment_info.token": NUL}),
        (
            {"payment_info": payment(amount=None)},
            {AMOUNT: "is missing; expected currency_code, units and nanos"},
        ),
        *[
            (
                money(code=code),
                {f"{AMOUNT}.currency_code": "expected an ISO 4217 code: three capital letters such as EUR"},
            )
            for code in ("", "eur", "EURO", "E\0R", "ÜÜÜ")
        ],
        (money(units=0), {AMOUNT: "expected an amount above zero"}),
        (money(units=-5), {AMOUNT: "expected an amount above zero"}),
        (money(units=0, nanos=-1), {AMOUNT: "expected an amount above zero"}),
        (money(nanos=-1), {f"{AMOUNT}.nanos": "expected the same sign as units"}),
        (money(units=-1, nanos=1), {f"{AMOUNT}.nanos": "expected the same sign as units"}),
        (
            money(nanos=1_000_000_000),
            {f"{AMOUNT}.nanos": "expected -999999999 to 999999999"},
        ),
    ],
)
async def test_a_wrong_order_is_refused_field_by_field_before_anything_is_written(
    changed: dict[str, Any], fields: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    hear_everything(caplog)
    async with coordinator() as c:
        refused = await refusal(c.orders.PlaceOrder(order(**changed)))
        sagas = await c.saga_count()
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.reason == "INVALID_REQUEST"
    assert refused.fields == fields
    assert sagas == 0
    assert TOKEN not in refused.everything
    assert not [record for record in caplog.records if TOKEN in str(record.__dict__)]


async def test_the_smallest_and_the_largest_order_are_taken() -> None:
    smallest = order(items=[{"item_id": "i", "quantity": 1}], **money(units=0, nanos=1))
    largest = order(
        "ö" * 128,
        user_id="u" * 128,
        items=[{"item_id": "i" * 128, "quantity": 2**31 - 1}] * 1000,
        payment_info=payment(method="m" * 64, token="t" * 4096),
    )
    async with coordinator() as c:
        for request in (smallest, largest):
            assert (await c.orders.PlaceOrder(request)).status == orders_pb2.SUCCESS


async def test_an_order_that_is_wrong_everywhere_gets_an_answer_that_fits_into_metadata() -> None:
    wrong = order("", user_id="", items=[{"item_id": "\0" * 200, "quantity": -1}] * 1000, payment_info=None)
    async with coordinator() as c:
        refused = await refusal(c.orders.PlaceOrder(wrong))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert 10 <= len(refused.fields) <= 20
    assert refused.message.startswith("order_id: expected")
    assert refused.message.endswith("and 3000 more")


async def test_what_is_no_message_is_refused_definitely_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hear_everything(caplog)
    not_utf8 = b"\x0a\x02\xff\xfe"
    broken = b"\x0a\x7fo"
    async with coordinator() as c:
        place: Any = c.channel.unary_unary("/saga.orders.v1.OrderPlacementService/PlaceOrder")
        for raw in (not_utf8, broken):
            refused = await refusal(_awaited(place(raw)))
            assert refused.code is StatusCode.INVALID_ARGUMENT
            assert refused.fields.keys() == {"request"}
        sagas = await c.saga_count()
    assert sagas == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_request_larger_than_the_limit_is_refused() -> None:
    async with coordinator(message_bytes_max=10_000) as c:
        refused = await refusal(c.orders.PlaceOrder(order("o" * 20_000)))
    assert refused.code is StatusCode.RESOURCE_EXHAUSTED


async def test_the_payment_token_turns_up_in_no_answer_and_no_log_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hear_everything(caplog)
    told: list[str] = []
    async with coordinator(wait_max_s=0.3) as c:
        c.participants.answer("charge", UNREACHABLE, UNREACHABLE, REFUSED)
        first = await c.orders.PlaceOrder(order("o-1"))
        told += [str(first), str(await c.get(first.saga_id))]
        c.participants.hold("createOrder")
        for request in (order("o-9"), order("o-1", user_id="other"), order("", user_id="")):
            try:
                await c.orders.PlaceOrder(request)
            except grpc.aio.AioRpcError as error:
                told.append(read_refusal(error).everything)
        async for watched in c.api.WatchSaga(pb.WatchSagaRequest(saga_id=first.saga_id)):
            told.append(str(watched))
        told.append(str(await c.api.ListSagas(pb.ListSagasRequest())))
    assert any(TOKEN in call.input for _, call in c.participants.calls if isinstance(call, ExecuteCall))
    assert len(told) > 10
    assert not [text for text in told if TOKEN in text]
    assert len(caplog.records) > 10
    assert not [record for record in caplog.records if TOKEN in str(record.__dict__)]


async def _awaited(call: Any) -> Any:
    return await call
