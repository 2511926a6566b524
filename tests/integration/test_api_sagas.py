"""Starting, reading and cancelling sagas of any definition, over a real socket."""

import asyncio
import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from grpc import StatusCode

from coordinator.domain.outcomes import Faulted, NoProof, Pending, Refused, Succeeded, Unproved
from coordinator.ports.participants import CompensateCall
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import types_pb2
from saga.v1.types_pb2 import EventType, SagaStatus, StepStatus
from tests.integration.api_harness import REFUSED, coordinator, files_of, order, refusal

DIGITS = "[" + "9" * 1001 + "]"


def a_trip(**changed: Any) -> pb.StartSagaRequest:
    return pb.StartSagaRequest(**{"saga_name": "Trip", **changed})


def status(saga: types_pb2.Saga) -> str:
    return SagaStatus.Name(saga.status).removeprefix("SAGA_STATUS_")


def steps(saga: types_pb2.Saga) -> dict[str, str]:
    return {s.name: StepStatus.Name(s.status).removeprefix("STEP_STATUS_") for s in saga.steps}


async def test_a_start_is_answered_when_it_is_accepted_not_when_it_has_ended() -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        answer = await c.api.StartSaga(a_trip(request_id="r-1"))
        assert not answer.joined
        assert (answer.saga.saga_name, answer.saga.request_id) == ("Trip", "r-1")
        assert status(answer.saga) == "RUNNING"
        assert steps(answer.saga) == {"bookRoom": "BEGUN", "bookSeat": "NOT_BEGUN"}
        assert len(answer.saga.definition_digest) == 64
        assert answer.saga.expire_time.seconds - answer.saga.create_time.seconds == 3600
        assert not answer.saga.timeline
        c.participants.release("bookRoom")
        saga = await c.ended(answer.saga.saga_id)
    assert status(saga) == "COMPLETED"


async def test_a_start_that_waits_is_answered_with_the_end() -> None:
    async with coordinator() as c:
        answer = await c.api.StartSaga(a_trip(wait=Duration(seconds=10)))
    assert status(answer.saga) == "COMPLETED"
    assert len(answer.saga.request_id) == 36


@pytest.mark.parametrize(
    ("wait", "wait_max_s", "timeout_s"),
    [
        (Duration(nanos=100_000_000), 20.0, None),
        (Duration(seconds=3600), 0.1, None),
        (Duration(seconds=315_576_000_000), 20.0, 0.4),
    ],
)
async def test_a_start_that_has_waited_enough_is_answered_with_the_saga_as_it_stands(
    wait: Duration, wait_max_s: float, timeout_s: float | None
) -> None:
    async with coordinator(wait_max_s=wait_max_s) as c:
        c.participants.hold("bookRoom")
        answer = await c.api.StartSaga(a_trip(wait=wait), timeout=timeout_s)
    assert status(answer.saga) == "RUNNING"


async def test_the_same_request_joins_and_other_content_or_another_name_does_not() -> None:
    async with coordinator() as c:
        first = await c.api.StartSaga(a_trip(request_id="r-1", input_json='{"a":1}'))
        again = await c.api.StartSaga(a_trip(request_id="r-1", input_json=' {"a": 1} '))
        assert again.joined
        assert again.saga.saga_id == first.saga.saga_id
        struct = Struct()
        struct.update({"a": 1})
        assert (await c.api.StartSaga(a_trip(request_id="r-1", input=struct))).joined
        for other in (
            a_trip(request_id="r-1", input_json='{"a":2}'),
            a_trip(request_id="r-1", input_json='{"a":1}', saga_name="NeedsColour"),
        ):
            refused = await refusal(c.api.StartSaga(other))
            assert refused.code is StatusCode.ALREADY_EXISTS
            assert refused.metadata == {"request_id": "r-1"}
            assert first.saga.saga_id not in refused.everything
        assert await c.saga_count() == 1


async def test_front_doors_do_not_share_request_ids() -> None:
    async with coordinator() as c:
        await c.orders.PlaceOrder(order("same"))
        assert not (await c.api.StartSaga(a_trip(request_id="same"))).joined
        assert await c.saga_count() == 2


async def test_without_a_request_id_every_call_starts_a_saga() -> None:
    async with coordinator() as c:
        ids = {await c.start() for _ in range(3)}
    assert len(ids) == 3


async def test_json_text_keeps_every_digit_of_its_integers() -> None:
    async with coordinator() as c:
        await c.start(amount=12345678901234567890123, price=0.1)
        await c.participants.called("bookRoom")
    assert json.loads(c.participants.calls[0][1].input) == {
        "amount": 12345678901234567890123,
        "price": 0.1,
        "outputs": {},
    }


async def test_a_struct_gives_integers_where_its_doubles_are_exact() -> None:
    struct = Struct()
    struct.update({"n": 7, "f": 1.5, "big": 2.0**53, "none": None, "on": True, "l": [1, "x", {"d": -0.0}]})
    async with coordinator() as c:
        await c.api.StartSaga(a_trip(input=struct))
        await c.participants.called("bookRoom")
    sent = c.participants.calls[0][1].input
    assert json.loads(sent) == {
        "n": 7,
        "f": 1.5,
        "big": 2.0**53,
        "none": None,
        "on": True,
        "l": [1, "x", {"d": 0}],
        "outputs": {},
    }
    assert '"n":7,' in sent
    assert '"big":9007199254740992.0,' in sent


def struct_of(value: Value) -> Struct:
    return Struct(fields={"a": Value(list_value=ListValue(values=[Value(null_value=NULL_VALUE), value]))})


@pytest.mark.parametrize(
    ("changed", "field", "sentence"),
    [
        ({"saga_name": ""}, "saga_name", "expected 1 to 128 characters, found none"),
        ({"saga_name": "s" * (1 << 20)}, "saga_name", "expected 1 to 128 characters, found 1048576"),
        ({"saga_name": "s\0"}, "saga_name", "holds a NUL character"),
        ({"request_id": "r" * 129}, "request_id", "expected 0 to 128 characters, found 129"),
        ({"request_id": "\0"}, "request_id", "holds a NUL character"),
        (
            {"definition_version": "v" * 129},
            "definition_version",
            "expected 0 to 128 characters, found 129",
        ),
        ({"definition_version": "\0"}, "definition_version", "holds a NUL character"),
        ({"wait": Duration(seconds=-1)}, "wait", "expected a duration of zero or more"),
        ({"wait": Duration(nanos=-1)}, "wait", "expected a duration of zero or more"),
        ({"wait": Duration(nanos=2_000_000_000)}, "wait", "expected a duration of zero or more"),
        ({"input_json": ""}, "input_json", "is empty; expected JSON"),
        ({"input_json": "not json"}, "input_json", "is not JSON: a value is expected at line 1, column 1"),
        ({"input_json": "[1]"}, "input_json", "expected an object, found a list of 1"),
        ({"input_json": '"secret"'}, "input_json", "expected an object, found a text"),
        ({"input_json": "null"}, "input_json", "expected an object, found null"),
        ({"input_json": '{"a":NaN}'}, "input_json.a", "is NaN, which is no number in JSON"),
        ({"input_json": '{"a":-Infinity}'}, "input_json.a", "is -Infinity, which is no number in JSON"),
        ({"input_json": '{"a":1,"a":2}'}, "input_json.a", "stands twice in the same object"),
        (
            {"input_json": '{"a":"\\ud800"}'},
            "input_json.a",
            "holds half a character (a lone surrogate)",
        ),
        ({"input_json": '{"a":"\\u0000"}'}, "input_json.a", "holds a NUL character"),
        ({"input_json": '{"a":"\0"}'}, "input_json", "holds a NUL character at character 6"),
        (
            {"input_json": f'{{"a":{DIGITS}}}'},
            "input_json.a[0]",
            "is a whole number of more than 1000 digits",
        ),
        (
            {"input_json": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"},
            "input_json",
            "is nested deeper than 64 levels",
        ),
        (
            {"input_json": '{"a":[' + "1," * 100_000 + "1]}"},
            "input_json",
            "holds more than 100000 values",
        ),
        (
            {"input_json": '{"a":"' + "x" * (1 << 20) + '"}'},
            "input_json",
            "is larger than 1048576 bytes",
        ),
        (
            {"input_json": '{"outputs":{}}'},
            "input_json.outputs",
            "is a reserved name: there each step finds what earlier steps answered",
        ),
        ({"saga_name": "NeedsColour"}, "input_json.colour", "is missing; step mix needs it"),
        (
            {"saga_name": "NeedsColour", "input": Struct()},
            "input.colour",
            "is missing; step mix needs it",
        ),
        (
            {"input": struct_of(Value(number_value=float("nan")))},
            "input.a[1]",
            "is not a finite number, and JSON has no other",
        ),
        (
            {"input": struct_of(Value(number_value=float("inf")))},
            "input.a[1]",
            "is not a finite number, and JSON has no other",
        ),
        (
            {"input": struct_of(Value())},
            "input.a[1]",
            "is a value of no kind; expected one, null included",
        ),
        ({"input": struct_of(Value(string_value="\0"))}, "input.a[1]", "holds a NUL character"),
        (
            {"input": struct_of(Value(string_value="x" * (1 << 20)))},
            "input",
            "is larger than 1048576 bytes",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_wrong_start_is_refused_with_its_field_before_anything_is_written(
    changed: dict[str, Any], field: str, sentence: str
) -> None:
    async with coordinator() as c:
        refused = await refusal(c.api.StartSaga(a_trip(**changed)))
        sagas = await c.saga_count()
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.fields == {field: sentence}
    assert field in refused.message
    assert sagas == 0


async def test_a_struct_nested_too_deep_to_be_read_is_refused_definitely() -> None:
    value, struct = Value(string_value="x").SerializeToString(), b""
    for _ in range(200):
        entry = b"\x0a\x01a\x12" + _varint(len(value)) + value
        struct = b"\x0a" + _varint(len(entry)) + entry
        value = b"\x2a" + _varint(len(struct)) + struct
    request = b"\x0a\x04Trip" + b"\x22" + _varint(len(struct)) + struct
    async with coordinator() as c:
        start: Any = c.channel.unary_unary("/saga.v1.CoordinatorService/StartSaga")
        refused = await refusal(start(request))
        sagas = await c.saga_count()
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert sagas == 0


async def test_an_unknown_definition_or_version_is_not_found_and_those_there_are_are_named() -> None:
    async with coordinator() as c:
        unknown = await refusal(c.api.StartSaga(a_trip(saga_name="Nope")))
        version = await refusal(c.api.StartSaga(a_trip(saga_name="PlaceOrder", definition_version="9")))
        sagas = await c.saga_count()
    assert unknown.code is version.code is StatusCode.NOT_FOUND
    assert unknown.reason == "DEFINITION_NOT_FOUND"
    assert (
        unknown.message
        == "there is no definition 'Nope'; loaded are: NeedsColour, PlaceOrder (version 3), Trip"
    )
    assert "'PlaceOrder' in version '9'" in version.message
    assert sagas == 0


async def test_with_thousands_of_definitions_the_refusal_still_arrives() -> None:
    async with coordinator() as c:
        step = {"service": "Hotel", "transaction": "book", "compensation": None}
        many = [{"sagaName": f"Trip{'x' * 90}{n}", "steps": [step]} for n in range(2000)]
        await c.definitions.take_up(files_of(*many))
        refused = await refusal(c.api.StartSaga(a_trip(saga_name="Nope")))
    assert refused.code is StatusCode.NOT_FOUND
    assert refused.message.startswith("there is no definition 'Nope'; loaded are: ")


async def test_violations_with_the_longest_paths_still_arrive() -> None:
    deep = "{" + "".join(f'"{"é" * 40}{n}":{{' for n in range(62)) + '"a":NaN' + "}" * 63
    async with coordinator() as c:
        refused = await refusal(c.api.StartSaga(a_trip(input_json=deep)))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    (path,) = refused.fields
    assert path.startswith("input_json[")
    assert path.endswith(".a")
    assert len(path) <= 80


async def test_a_saga_is_shown_with_steps_and_timeline_and_without_payloads() -> None:
    async with coordinator() as c:
        c.participants.answer("createOrder", Succeeded('{"receipt":"canary-output"}'))
        c.participants.answer("reserveStock", Pending(0.02), Faulted("BUSY", "later", 0.01), Succeeded("{}"))
        c.participants.answer("charge", NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "nobody"), REFUSED)
        answer = await c.orders.PlaceOrder(order(user_id="canary-user"))
        saga = await c.get(answer.saga_id)
    assert status(saga) == "COMPENSATED"
    assert saga.definition_version == "3"
    assert steps(saga) == {
        "createOrder": "COMPENSATED",
        "reserveStock": "COMPENSATED",
        "charge": "COMPENSATED",  # refused, but on its second attempt: the first may have had its effect
    }
    assert [(s.attempts, s.undo_attempts) for s in saga.steps] == [(1, 1), (2, 1), (2, 1)]
    assert [s.service for s in saga.steps] == ["Orders", "Stock", "Payments"]
    assert [entry.seq for entry in saga.timeline] == list(range(1, saga.seq + 1))
    told = [(EventType.Name(e.type).removeprefix("EVENT_TYPE_"), e.step) for e in saga.timeline]
    assert told == [
        ("SAGA_STARTED", ""),
        ("STEP_BEGUN", "createOrder"),
        ("STEP_SUCCEEDED", "createOrder"),
        ("STEP_BEGUN", "reserveStock"),
        ("STEP_PENDING", "reserveStock"),
        ("STEP_FAULTED", "reserveStock"),
        ("STEP_SUCCEEDED", "reserveStock"),
        ("STEP_BEGUN", "charge"),
        ("STEP_FAULTED", "charge"),
        ("STEP_REFUSED", "charge"),
        ("UNDO_BEGUN", "charge"),
        ("STEP_COMPENSATED", "charge"),
        ("UNDO_BEGUN", "reserveStock"),
        ("STEP_COMPENSATED", "reserveStock"),
        ("UNDO_BEGUN", "createOrder"),
        ("STEP_COMPENSATED", "createOrder"),
    ]
    by_type = {EventType.Name(e.type): e for e in saga.timeline}
    assert by_type["EVENT_TYPE_STEP_PENDING"].HasField("retry_time")
    assert saga.timeline[5].code == "BUSY"
    assert saga.timeline[8].code == "UNAVAILABLE"
    assert saga.timeline[8].HasField("retry_time")
    assert by_type["EVENT_TYPE_STEP_REFUSED"].message == "the bank says no"
    assert not by_type["EVENT_TYPE_STEP_REFUSED"].HasField("retry_time")
    assert {e.fencing_token for e in saga.timeline} == {1}
    assert "canary" not in str(saga)


async def test_an_undo_that_failed_for_good_shows_where_it_stands_and_what_waits_behind_it() -> None:
    async with coordinator() as c:
        c.participants.answer("charge", REFUSED)
        c.participants.answer("releaseStock", Refused("LOST", "no such reservation"))
        answer = await c.orders.PlaceOrder(order())
        saga = await c.get(answer.saga_id)
    assert status(saga) == "DEAD_LETTERED"
    assert steps(saga) == {
        "createOrder": "SUCCEEDED",
        "reserveStock": "UNDO_FAILED",
        "charge": "REFUSED",
    }
    assert "releaseStock at Stock failed for good; behind it wait: createOrder" in saga.error_message


async def test_a_contradiction_is_flagged() -> None:
    async with coordinator() as c:
        c.participants.answer("bookRoom", NoProof(Unproved.KEY_REUSED, "KEY_REUSED", "other content"))
        saga = await c.ended(await c.start())
    assert saga.flags == ["bookRoom: KEY_REUSED"]
    assert steps(saga) == {"bookRoom": "COMPENSATED", "bookSeat": "NOT_BEGUN"}


async def test_a_step_is_shown_while_it_is_undone() -> None:
    async with coordinator() as c:
        c.participants.hold("cancelRoom")
        c.participants.answer("bookSeat", REFUSED)
        saga_id = await c.start()
        await c.participants.called("cancelRoom")
        saga = await c.get(saga_id)
        assert status(saga) == "COMPENSATING"
        assert steps(saga) == {"bookRoom": "UNDOING", "bookSeat": "REFUSED"}
        c.participants.release("cancelRoom")


@pytest.mark.parametrize("method", ["GetSaga", "CancelSaga", "WatchSaga"])
async def test_a_saga_id_is_looked_up_or_refused(method: str) -> None:
    request = getattr(pb, f"{method}Request")
    async with coordinator() as c:

        async def ask(saga_id: str) -> None:
            call = getattr(c.api, method)(request(saga_id=saga_id))
            if method == "WatchSaga":
                async for _ in call:
                    pass
            else:
                await call

        unknown = await refusal(ask("01a201bc-bafc-7258-9781-e332c6bdb3e0"))
        empty = await refusal(ask(""))
        long = await refusal(ask("x" * (1 << 20)))
        nul = await refusal(ask("a\0b"))
    assert unknown.code is StatusCode.NOT_FOUND
    assert unknown.reason == "SAGA_NOT_FOUND"
    assert unknown.metadata == {"saga_id": "01a201bc-bafc-7258-9781-e332c6bdb3e0"}
    for refused in (empty, long, nul):
        assert refused.code is StatusCode.INVALID_ARGUMENT
        assert refused.fields.keys() == {"saga_id"}


async def test_a_running_saga_is_cancelled_and_undone() -> None:
    async with coordinator() as c:
        c.participants.hold("bookSeat")
        saga_id = await c.start()
        await c.participants.called("bookSeat")
        answer = await c.api.CancelSaga(pb.CancelSagaRequest(saga_id=saga_id, reason="changed my mind"))
        assert status(answer.saga) == "COMPENSATING"
        c.participants.release("bookSeat")
        saga = await c.ended(saga_id)
    assert status(saga) == "COMPENSATED"
    assert saga.error_message.startswith("Cancelled (changed my mind).")
    assert "changed my mind" in [entry.message for entry in saga.timeline]
    assert [call.compensation for _, call in c.participants.calls if isinstance(call, CompensateCall)] == [
        "cancelRoom"
    ]


async def test_a_saga_that_waits_for_a_busy_participant_is_cancelled_and_its_place_is_free_again() -> None:
    async with coordinator(calls_per_service_max=1) as c:
        c.participants.hold("bookRoom")
        first = await c.start()
        await c.participants.called("bookRoom")
        waiting = await c.start()
        answer = await c.api.CancelSaga(pb.CancelSagaRequest(saga_id=waiting))
        assert status(answer.saga) == "COMPENSATED"
        assert steps(answer.saga) == {"bookRoom": "NOT_BEGUN", "bookSeat": "NOT_BEGUN"}
        c.participants.release("bookRoom")
        assert status(await c.ended(first)) == "COMPLETED"
        assert status(await c.ended(await c.start())) == "COMPLETED"


async def test_a_saga_that_turns_back_already_is_left_to_it() -> None:
    async with coordinator() as c:
        c.participants.answer("bookSeat", REFUSED)
        c.participants.hold("cancelRoom")
        saga_id = await c.start()
        await c.participants.called("cancelRoom")
        answer = await c.api.CancelSaga(pb.CancelSagaRequest(saga_id=saga_id, reason="too late"))
        assert status(answer.saga) == "COMPENSATING"
        c.participants.release("cancelRoom")
        saga = await c.ended(saga_id)
    assert "EVENT_TYPE_CANCEL_REQUESTED" not in [EventType.Name(e.type) for e in saga.timeline]


async def test_cancelled_by_two_at_once_it_is_cancelled_once() -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        saga_id = await c.start()
        request = pb.CancelSagaRequest(saga_id=saga_id)
        answers = await asyncio.gather(*(c.api.CancelSaga(request) for _ in range(5)))
        c.participants.release("bookRoom")
        saga = await c.ended(saga_id)
    assert {status(answer.saga) for answer in answers} == {"COMPENSATING"}
    types = [EventType.Name(e.type) for e in saga.timeline]
    assert types.count("EVENT_TYPE_CANCEL_REQUESTED") == 1


@pytest.mark.parametrize("end", ["COMPLETED", "COMPENSATED", "DEAD_LETTERED"])
async def test_a_saga_that_has_ended_can_not_be_cancelled(end: str) -> None:
    async with coordinator() as c:
        if end != "COMPLETED":
            c.participants.answer("bookSeat", REFUSED)
        if end == "DEAD_LETTERED":
            c.participants.answer("cancelRoom", REFUSED)
        saga_id = await c.start()
        before = await c.ended(saga_id)
        assert status(before) == end
        refused = await refusal(c.api.CancelSaga(pb.CancelSagaRequest(saga_id=saga_id)))
        assert await c.get(saga_id) == before
    assert refused.code is StatusCode.FAILED_PRECONDITION
    assert refused.reason == "SAGA_ENDED"
    assert end in refused.message


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [("r" * 501, "expected 0 to 500 characters, found 501"), ("\0", "holds a NUL character")],
)
async def test_a_wrong_reason_cancels_nothing(reason: str, sentence: str) -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        saga_id = await c.start()
        request = pb.CancelSagaRequest(saga_id=saga_id, reason=reason)
        refused = await refusal(c.api.CancelSaga(request))
        assert status(await c.get(saga_id)) == "RUNNING"
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.fields == {"reason": sentence}


async def test_definitions_are_listed_by_name_and_read_by_name_or_digest() -> None:
    async with coordinator() as c:
        listed = (await c.api.ListDefinitions(pb.ListDefinitionsRequest())).definitions
        assert [d.saga_name for d in listed] == ["NeedsColour", "PlaceOrder", "Trip"]
        assert list(listed[1].steps) == ["createOrder", "reserveStock", "charge"]
        assert listed[1].version == "3"
        assert not any(d.definition_json for d in listed)
        trip = (await c.api.GetDefinition(pb.GetDefinitionRequest(name="Trip"))).definition
        assert json.loads(trip.definition_json)["sagaName"] == "Trip"
        assert trip.digest == listed[2].digest
        await c.start()
        await c.definitions.retire("Trip", None, if_no_open_sagas=False)
        pinned = (await c.api.GetDefinition(pb.GetDefinitionRequest(name=trip.digest))).definition
        assert pinned.definition_json == trip.definition_json
        retired = (await c.api.GetDefinition(pb.GetDefinitionRequest(name="Trip"))).definition
        assert pb.DefinitionState.Name(retired.state) == "DEFINITION_STATE_RETIRED"
        refused = await refusal(c.api.GetDefinition(pb.GetDefinitionRequest(name="Nope")))
    assert refused.code is StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", ["", "n" * 129, "n\0"])
async def test_a_wrong_definition_name_is_refused(name: str) -> None:
    async with coordinator() as c:
        refused = await refusal(c.api.GetDefinition(pb.GetDefinitionRequest(name=name)))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.fields.keys() == {"name"}


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
