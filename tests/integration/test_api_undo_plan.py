"""What GetSaga tells of an undo before there is one, over a real socket, and what then happens."""

import json
from typing import Any, Final

import pytest
from google.protobuf.duration_pb2 import Duration

from coordinator.client import Client, StepKind, StepStatus
from coordinator.domain.errors import JournalCorrupt
from coordinator.domain.ids import SagaId
from coordinator.domain.outcomes import Pending, Succeeded
from coordinator.ports.participants import CompensateCall
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import types_pb2
from saga.v1.types_pb2 import SagaStatus, StandingReason
from tests.integration.api_harness import REFUSED, UNREACHABLE, Coordinator, coordinator

SECRET: Final = "tok-canary-90b1"
BIG: Final = 12345678901234567890123
INPUT: Final = {"trip": "t-1", "payment": {"token": SECRET}, "big": BIG}


def a_step(name: str, compensation: str | None = "", **more: Any) -> dict[str, Any]:
    undo = f"undo_{name}" if compensation == "" else compensation
    return {"name": name, "service": "S", "transaction": f"do_{name}", "compensation": undo, **more}


JOURNEY: Final = {
    "sagaName": "Journey",
    "sensitive": ["payment"],
    "steps": [
        a_step("hotel", dependsOn=[], input=["trip", "payment"]),
        a_step("car", dependsOn=[], when="has(input.car)", defaultOutput={"id": None}),
        a_step(
            "deposit",
            dependsOn=["hotel", "car"],
            input={"trip": "input.trip", "card": {"token": "input.payment.token"}},
            compensationInput={
                "what": "outputs.deposit.id",
                "trip": "input.trip + '!'",
                "card": {"token": "input.payment.token", "room": "outputs.hotel.room"},
            },
            defaultOutput={"id": "unknown"},
        ),
        a_step("visa", None, input=["trip"]),
        a_step("pay", kind="pivot", input=["trip"], retry={"maxAttempts": 1, "budget": "1s"}),
        a_step("mail", None, kind="retriable", input=["trip"]),
    ],
    "output": {"room": "outputs.hotel.room", "car": "outputs.car.id", "big": "input.big"},
}


async def journey(c: Coordinator, *, wait_s: int = 0, **more: Any) -> types_pb2.Saga:
    """A journey that has just been started, or that was waited for."""
    await c.api.RegisterDefinition(pb.RegisterDefinitionRequest(definition_json=json.dumps(JOURNEY)))
    c.participants.answer("do_hotel", Succeeded('{"room":"r-7"}'))
    c.participants.answer("do_deposit", Succeeded(f'{{"id":"d-1","said":"held on {SECRET}"}}'))
    text = json.dumps({**INPUT, **more})
    request = pb.StartSagaRequest(saga_name="Journey", input_json=text, wait=Duration(seconds=wait_s))
    return (await c.api.StartSaga(request)).saga


async def get(c: Coordinator, saga_id: str, **asked: bool) -> types_pb2.Saga:
    return (await c.api.GetSaga(pb.GetSagaRequest(saga_id=saga_id, **asked))).saga


def stays(saga: types_pb2.Saga) -> dict[str, str]:
    return {
        standing.step: StandingReason.Name(standing.reason).removeprefix("STANDING_REASON_")
        for standing in saga.undo_plan.stays
    }


def waits(saga: types_pb2.Saga) -> dict[str, list[str]]:
    return {undo.step: list(undo.after) for undo in saga.undo_plan.undos}


async def test_a_plan_tells_what_would_run_in_what_order_and_what_would_stay() -> None:
    async with coordinator() as c:
        c.participants.hold("do_visa")
        saga_id = (await journey(c)).saga_id
        await c.participants.called("do_visa")
        saga = await get(c, saga_id)
        assert waits(saga) == {"visa": [], "deposit": ["visa"], "hotel": ["deposit"]}
        assert (stays(saga), saga.undo_plan.shortened) == ({"visa": "NO_COMPENSATION"}, False)
        visa, deposit, hotel = saga.undo_plan.undos
        assert (visa.HasField("compensation"), visa.receipt_known) == (False, False)
        assert (hotel.service, hotel.compensation, hotel.receipt_known) == ("S", "undo_hotel", True)
        assert deposit.idempotency_key == f"{saga_id}/deposit/compensate"
        assert list(deposit.input_fields) == ["card", "trip", "what"]
        assert list(hotel.input_fields) == ["payment", "trip"]
        assert not any(undo.input_json or undo.receipt_json for undo in saga.undo_plan.undos)


async def test_inputs_are_those_that_are_then_sent_but_for_what_is_sensitive() -> None:
    async with coordinator() as c:
        c.participants.answer("do_visa", Pending(60.0))
        saga_id = (await journey(c)).saga_id
        await c.participants.called("do_visa")
        saga = await get(c, saga_id, undo_inputs=True)
        told = {undo.step: (undo.input_json, undo.receipt_json) for undo in saga.undo_plan.undos}
        keys = [undo.idempotency_key for undo in saga.undo_plan.undos]
        assert SECRET not in str(saga)
        await c.api.CancelSaga(pb.CancelSagaRequest(saga_id=saga_id))
        await c.ended(saga_id)
    sent = [call for _, call in c.participants.calls if isinstance(call, CompensateCall)]
    assert [call.key for call in sent] == keys
    for call in sent:
        input_json, receipt_json = told[call.step]
        assert json.loads(input_json) == masked(json.loads(call.input))
        assert receipt_json == (
            "" if call.receipt is None else call.receipt.replace(f"held on {SECRET}", "***")
        )
    assert json.loads(sent[1].input) == {
        "what": "d-1",
        "trip": "t-1!",
        "card": {"token": SECRET, "room": "r-7"},
    }


def masked(sent: Any) -> Any:
    """What was sent, as it may be shown."""
    if isinstance(sent, dict) and "payment" in sent:
        return {**sent, "payment": "***"}
    return json.loads(json.dumps(sent).replace(SECRET, "***"))


async def test_past_the_pivot_a_plan_is_empty_and_says_what_stays() -> None:
    async with coordinator() as c:
        c.participants.hold("do_pay")
        saga_id = (await journey(c, car=1)).saga_id
        await c.participants.called("do_pay")
        saga = await get(c, saga_id, undo_inputs=True)
        assert not saga.undo_plan.undos
        past = dict.fromkeys(["hotel", "car", "deposit", "visa", "pay"], "PAST_PIVOT")
        assert stays(saga) == past
        c.participants.release("do_pay")
        saga = await c.ended(saga_id)
        assert (waits(saga), stays(saga)) == ({}, {**past, "mail": "PAST_PIVOT"})


async def test_a_saga_that_is_undone_has_nothing_left_to_be_undone() -> None:
    async with coordinator() as c:
        c.participants.answer("do_pay", REFUSED)
        saga = await get(c, (await journey(c, wait_s=10)).saga_id)
        assert saga.status == SagaStatus.SAGA_STATUS_COMPENSATED
        assert saga.HasField("undo_plan")
        assert (waits(saga), stays(saga)) == ({}, {"visa": "NO_COMPENSATION"})


async def test_an_undo_that_failed_for_good_and_what_waits_behind_it_stay() -> None:
    async with coordinator() as c:
        c.participants.answer("do_pay", REFUSED)
        c.participants.answer("undo_deposit", REFUSED)
        saga = await get(c, (await journey(c, wait_s=10)).saga_id)
        expected = {"hotel": "BLOCKED", "deposit": "UNDO_FAILED", "visa": "NO_COMPENSATION"}
        assert (waits(saga), stays(saga)) == ({}, expected)


async def test_only_get_shows_a_plan_and_none_is_shown_of_records_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def damaged(saga_id: SagaId) -> Any:
        raise JournalCorrupt(saga_id, 2, "digest")

    async with coordinator() as c:
        started = await journey(c, wait_s=10)
        assert not started.HasField("undo_plan")
        monkeypatch.setattr(c.journal, "history", damaged)
        saga = await get(c, started.saga_id)
        assert not saga.HasField("undo_plan")


async def test_a_start_that_waits_is_answered_with_the_result_and_a_client_reads_it() -> None:
    async with coordinator() as c, Client(c.address) as client:
        started = await journey(c, wait_s=10)
        assert json.loads(started.output_json) == {"room": "r-7", "car": None, "big": BIG}
        text = json.dumps(INPUT)
        saga = (await client.start("Journey", text, wait_s=10)).saga
        assert saga.output == {"room": "r-7", "car": None, "big": BIG}
        saga = await client.get(saga.saga_id)
        assert [step.kind for step in saga.steps][3:] == [
            StepKind.COMPENSATABLE,
            StepKind.PIVOT,
            StepKind.RETRIABLE,
        ]
        assert saga.steps[2].depends_on == ("hotel", "car")
        assert saga.steps[1].status is StepStatus.OMITTED


async def test_a_client_asks_for_inputs_and_sees_a_pivot_in_doubt() -> None:
    async with coordinator() as c, Client(c.address) as client:
        c.participants.answer("do_pay", UNREACHABLE)
        started = await journey(c, wait_s=10)
        saga = await client.get(started.saga_id, undo_inputs=True)
        assert (saga.status, saga.needs_person, saga.output) == ("DEAD_LETTERED", True, None)
        assert saga.steps[4].status is StepStatus.FAILED
        assert saga.undo_plan is not None
        assert {standing.reason for standing in saga.undo_plan.stays} == {"PAST_PIVOT"}
        c.participants.hold("do_visa")
        again = await client.start("Journey", json.dumps(INPUT))
        await c.participants.called("do_visa", 2)
        plan = (await client.get(again.saga.saga_id, undo_inputs=True)).undo_plan
        assert plan is not None
        assert json.loads(plan.undos[2].input_json) == {"trip": "t-1", "payment": "***"}
        plan = (await client.get(again.saga.saga_id)).undo_plan
        assert plan is not None
        assert (plan.undos[2].input_json, plan.undos[2].input_fields) == ("", ("payment", "trip"))
