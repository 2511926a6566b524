"""The server itself: when it lets calls in, what it tells of itself, how it fails, binds and stops."""

import asyncio
import logging
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from coordinator.api import listener
from coordinator.api.errors import STATUS, row_of, to_status
from coordinator.api.listener import Listener
from coordinator.api.server import ApiServer
from coordinator.domain import errors
from coordinator.domain.errors import (
    JournalCorrupt,
    JournalUnavailable,
    SagaError,
    StartupFailed,
)
from coordinator.domain.ids import SagaId
from coordinator.ports.journal import Piece, Quarantine
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import operator_pb2, operator_pb2_grpc
from saga.v1.types_pb2 import SagaStatus
from tests.integration.api_harness import (
    TOKEN,
    Coordinator,
    StoreOfTwoPieces,
    coordinator,
    hear_everything,
    order,
    refusal,
)
from tests.integration.raw_call import called_by_a_name_that_is_no_text

SERVICES = [
    "",
    "saga.v1.CoordinatorService",
    "saga.v1.OperatorService",
    "saga.orders.v1.OrderPlacementService",
]
GRPCURL = shutil.which("grpcurl", path=str(Path(sys.executable).parent))
needs_grpcurl = pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not in this environment")
ORDER = (
    '{"order_id":"o-1","user_id":"u-1","items":[{"item_id":"sku-1","quantity":2}],"payment_info":'
    '{"method":"card","token":"tok-1","amount":{"currency_code":"EUR","units":"42"}}}'
)


async def health_of_all(c: Coordinator) -> set[str]:
    return {await c.health(service) for service in SERVICES}


async def test_until_recovery_is_done_health_says_so_and_no_saga_is_asked_for() -> None:
    async with coordinator(serving=False) as c:
        assert await health_of_all(c) == {"NOT_SERVING"}
        for call in (
            c.orders.PlaceOrder(order()),
            c.api.StartSaga(pb.StartSagaRequest(saga_name="Trip")),
            c.api.ListSagas(pb.ListSagasRequest()),
        ):
            refused = await refusal(call)
            assert refused.code is StatusCode.UNAVAILABLE
            assert refused.reason == "NOT_READY"
        await c.server.serving()
        assert await health_of_all(c) == {"SERVING"}
        assert (await c.orders.PlaceOrder(order())).status == orders_pb2.SUCCESS


async def test_while_draining_new_sagas_are_refused_and_joins_and_reads_go_on() -> None:
    async with coordinator() as c:
        placed = await c.orders.PlaceOrder(order())
        await c.server.draining()
        c.pool.refuse_new()
        assert await health_of_all(c) == {"NOT_SERVING"}
        refused = await refusal(c.orders.PlaceOrder(order("o-2")))
        assert refused.code is StatusCode.UNAVAILABLE
        assert refused.reason == "DRAINING"
        assert await c.orders.PlaceOrder(order()) == placed
        assert (await c.get(placed.saga_id)).request_id == "o-1"
        assert await c.saga_count() == 1


async def test_whoever_waits_when_the_coordinator_stops_is_told_that_the_saga_goes_on() -> None:
    async with coordinator() as c:
        c.participants.hold("createOrder")
        place = asyncio.ensure_future(refusal(c.orders.PlaceOrder(order())))
        start = pb.StartSagaRequest(saga_name="Trip", request_id="r-1")
        start.wait.seconds = 10
        c.participants.hold("bookRoom")
        started = asyncio.ensure_future(_awaited(c.api.StartSaga(start)))
        await c.participants.called("createOrder")
        await c.participants.called("bookRoom")
        await c.pool.park(grace_s=0)
        c.feed.close()
        refused = await place
        accepted = await started
    assert refused.code is StatusCode.UNAVAILABLE
    assert refused.reason == "DRAINING"
    assert "the saga goes on" in refused.message
    assert SagaStatus.Name(accepted.saga.status) == "SAGA_STATUS_RUNNING"


async def test_a_health_watch_hears_of_each_change_and_does_not_hold_up_the_stop() -> None:
    async with coordinator(serving=False) as c:
        stub: Any = health_pb2_grpc.HealthStub(c.channel)
        watch = aiter(stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[2])))
        heard = [(await anext(watch)).status]
        await c.server.serving()
        heard.append((await anext(watch)).status)
        await c.server.draining()
        heard.append((await anext(watch)).status)
        began_at = time.monotonic()
        await c.server.stop(30)
        assert time.monotonic() - began_at < 5
    assert heard == [
        health_pb2.HealthCheckResponse.NOT_SERVING,
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    ]


async def test_a_stop_lets_a_running_call_end_within_its_grace() -> None:
    async with coordinator() as c:
        c.participants.hold("charge")
        place = asyncio.ensure_future(_awaited(c.orders.PlaceOrder(order())))
        await c.participants.called("charge")
        stop = asyncio.ensure_future(c.server.stop(10))
        await asyncio.sleep(0.05)
        c.participants.release("charge")
        assert (await place).status == orders_pb2.SUCCESS
        await stop


async def test_a_stop_aborts_what_runs_longer_than_its_grace_and_leaves_no_handler_behind() -> None:
    async with coordinator() as c:
        c.participants.hold("charge")
        place = asyncio.ensure_future(refusal(c.orders.PlaceOrder(order())))
        await c.participants.called("charge")
        await c.server.stop(0.1)
        assert not c.server._interceptor._running
        assert not c.feed._listeners
        refused = await place
    assert refused.code in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)


@asynccontextmanager
async def full(
    calls_open_max: int = 3, *, start_had_no_room: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[Coordinator, list[Any]]]:
    """A coordinator with as many callers as it lets in, and their calls: each waits for its saga."""
    async with coordinator(calls_open_max=calls_open_max, start_had_no_room=start_had_no_room) as c:
        c.participants.hold("createOrder")
        placed = [c.orders.PlaceOrder(order(f"o-{n}")) for n in range(calls_open_max)]
        waiting = [asyncio.ensure_future(_awaited(call)) for call in placed]
        await c.participants.called("createOrder", times=calls_open_max)
        yield c, placed
        c.participants.release("createOrder")
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_more_open_calls_than_allowed_are_refused_at_once(caplog: pytest.LogCaptureFixture) -> None:
    hear_everything(caplog)
    starts = list[None]()
    async with full(start_had_no_room=lambda: starts.append(None)) as (c, _):
        for call in (
            c.orders.PlaceOrder(order("o-9"), timeout=2),
            c.api.StartSaga(pb.StartSagaRequest(saga_name="PlaceOrder"), timeout=2),
            c.api.ListSagas(pb.ListSagasRequest(), timeout=2),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert refused.message == (
                "3 calls are open, which is this coordinator's limit; nothing was written, try again later"
            )
        watch = c.api.WatchSaga(pb.WatchSagaRequest(saga_id="s-1"), timeout=2)
        refused = await refusal(_drained(watch))
        assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    told = [vars(record) for record in caplog.records if vars(record).get("reason") == "OVERLOADED"]
    assert sorted(one["method"].rpartition("/")[2] for one in told) == [
        "ListSagas",
        "PlaceOrder",
        "StartSaga",
        "WatchSaga",
    ]
    assert len(starts) == 2  # who reads asks for nothing that monitoring counts
    assert {one["levelname"] for one in told} == {"INFO"}
    assert c.participants.names().count("createOrder") == 3


async def test_callers_that_fill_a_coordinator_shut_out_no_operator_and_no_health_check() -> None:
    async with full() as (c, _):
        operator: Any = operator_pb2_grpc.OperatorServiceStub(c.channel)
        for _ in range(5):
            assert await c.health() == "SERVING"
            await operator.ListDeadLetters(operator_pb2.ListDeadLettersRequest(), timeout=2)


async def test_operators_take_no_place_from_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_whole(_: StoreOfTwoPieces) -> AsyncIterator[Piece]:
        yield Piece(b"journal", 7)
        await asyncio.Event().wait()

    monkeypatch.setattr(StoreOfTwoPieces, "backup", never_whole)
    async with coordinator(calls_open_max=1) as c:
        operator: Any = operator_pb2_grpc.OperatorServiceStub(c.channel)
        copy = operator.BackupJournal(operator_pb2.BackupJournalRequest())
        await copy.read()
        assert await c.saga_count() == 0
        copy.cancel()


async def test_who_was_answered_or_left_or_was_refused_leaves_a_place() -> None:
    async with full() as (c, placed):
        for _ in range(5):
            await refusal(c.orders.PlaceOrder(order("o-9"), timeout=2))
        placed[0].cancel()
        async with asyncio.timeout(5):
            while c.server._interceptor._calls_open == 3:
                await asyncio.sleep(0.005)
        assert await c.saga_count() == 3
        assert await c.saga_count() == 3
        await refusal(c.api.GetSaga(pb.GetSagaRequest(saga_id="nope")))
        assert await c.saga_count() == 3


async def test_of_many_calls_that_come_at_once_none_is_dropped() -> None:
    async with coordinator(calls_open_max=4000) as c:
        answers = await asyncio.gather(*(c.health() for _ in range(3000)))
    assert set(answers) == {"SERVING"}


@pytest.mark.parametrize(
    "listen",
    [
        "",
        "50051",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "http://127.0.0.1:1",
        "a b:1",
    ],
)
async def test_a_wrong_address_is_refused_with_one_sentence(listen: str) -> None:
    with pytest.raises(StartupFailed, match="expected host:port") as caught:
        await _server().bind(listen)
    assert "\n" not in str(caught.value)


async def test_a_port_in_use_is_refused_with_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupFailed, match="the port is in use") as caught:
            await _server().bind(f"127.0.0.1:{port}")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


async def test_two_coordinators_do_not_share_a_port() -> None:
    async with coordinator() as c:
        with pytest.raises(StartupFailed, match="the port is in use"):
            await _server().bind(c.address)


@pytest.mark.parametrize(
    "listen", ["host.invalid:50051", "a..b:50051", "192.0.2.1:50051", "unix:/no/such/folder/s.sock"]
)
async def test_an_address_that_cannot_be_had_is_refused_with_one_sentence(listen: str) -> None:
    with pytest.raises(StartupFailed, match="cannot listen on") as caught:
        await _server().bind(listen)
    assert "\n" not in str(caught.value)


async def test_it_listens_on_a_socket_file_too(tmp_path: Path) -> None:
    server = _server()
    address = f"unix:{tmp_path}/s.sock"
    assert await server.bind(address) == address
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop(0)


async def test_an_unforeseen_error_tells_the_client_nothing_and_the_log_where(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_everything(caplog)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"could not store {TOKEN}")

    async with coordinator() as c:
        monkeypatch.setattr(c.sagas, "start", broken)
        monkeypatch.setattr(c.sagas, "watch", broken)
        unary = await refusal(c.orders.PlaceOrder(order()))
        stream = await refusal(_drained(c.api.WatchSaga(pb.WatchSagaRequest(saga_id="s-1"))))
    for refused in (unary, stream):
        assert refused.code is StatusCode.INTERNAL
        assert refused.reason == "INTERNAL"
        assert TOKEN not in refused.everything
        assert "RuntimeError" not in refused.everything
        assert "fault of its own" in refused.message
    errors_logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors_logged] == [
        "a call failed by a fault of ours: RuntimeError"
    ] * 2
    assert "broken" in str(errors_logged[0].__dict__["at"])
    assert not [record for record in caplog.records if TOKEN in str(record.__dict__)]


async def test_a_failing_journal_is_unavailable_and_its_words_stay_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise JournalUnavailable("disk I/O error in /srv/secret/journal.db")

    async with coordinator() as c:
        monkeypatch.setattr(c.journal, "start", broken)
        refused = await refusal(c.orders.PlaceOrder(order()))
    assert refused.code is StatusCode.UNAVAILABLE
    assert refused.reason == "JOURNAL_UNAVAILABLE"
    assert "may or may not be durable" in refused.message
    assert "/srv" not in refused.everything


async def test_a_saga_whose_records_are_damaged_is_still_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with coordinator() as c:
        placed = await c.orders.PlaceOrder(order())
        saga_id = SagaId(placed.saga_id)
        await c.journal.quarantine(Quarantine(saga_id, "It cannot be read back.", 1.0))

        async def damaged(_: SagaId) -> Any:
            raise JournalCorrupt(saga_id, 2, "digest")

        monkeypatch.setattr(c.journal, "history", damaged)
        saga = await c.get(saga_id)
        watched = [each async for each in c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id))]
    assert SagaStatus.Name(saga.status) == "SAGA_STATUS_DEAD_LETTERED"
    assert saga.error_message == "It cannot be read back."
    assert not saga.steps
    assert watched == [pb.WatchSagaResponse(status=saga.status)]


def _error_classes() -> list[type[SagaError]]:
    return [
        found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, SagaError)
    ]


def test_every_error_has_a_row_and_no_row_is_hidden_by_one_before_it() -> None:
    for position, row in enumerate(STATUS):
        assert not [before.error for before in STATUS[:position] if issubclass(row.error, before.error)]
    assert len({row.reason for row in STATUS}) == len(STATUS)
    for error in _error_classes():
        assert row_of(error.__new__(error)) in STATUS


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SagaEnded("x"), StatusCode.FAILED_PRECONDITION),
        (errors.IllegalTransition("x"), StatusCode.FAILED_PRECONDITION),
        (errors.JournalConflict(SagaId("s"), 1), StatusCode.ABORTED),
        (errors.Conflict("x"), StatusCode.ABORTED),
        (errors.Overloaded("x"), StatusCode.RESOURCE_EXHAUSTED),
        (errors.Unavailable("x"), StatusCode.UNAVAILABLE),
        (errors.CallerError("x"), StatusCode.INVALID_ARGUMENT),
        (errors.InvalidJson("$", "x"), StatusCode.INVALID_ARGUMENT),
        (errors.SagaError("x"), StatusCode.INTERNAL),
        (KeyError("x"), StatusCode.INTERNAL),
    ],
)
def test_the_table_names_the_status(error: Exception, code: StatusCode) -> None:
    assert to_status(error).code is code


async def test_only_what_is_unusual_is_logged_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="coordinator.api")
    async with coordinator(wait_max_s=0.1) as c:
        await c.orders.PlaceOrder(order())
        await refusal(c.orders.PlaceOrder(order("")))
        c.participants.hold("charge")
        await refusal(c.orders.PlaceOrder(order("o-2")))
    records = [record for record in caplog.records if record.name.startswith("coordinator.api")]
    assert [(r.levelname, r.__dict__["code"], r.__dict__["reason"]) for r in records] == [
        ("DEBUG", "OK", ""),
        ("DEBUG", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ("INFO", "DEADLINE_EXCEEDED", "SAGA_UNDECIDED"),
    ]
    assert records[0].__dict__["method"] == "/saga.orders.v1.OrderPlacementService/PlaceOrder"
    assert records[2].__dict__["duration_ms"] >= 100


async def test_an_unknown_method_is_unimplemented() -> None:
    async with coordinator() as c:
        call: Any = c.channel.unary_unary("/saga.v1.CoordinatorService/Nope")
        refused = await refusal(call(b""))
    assert refused.code is StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
async def test_reflection_lists_the_services_in_both_versions(version: str) -> None:
    async def questions() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="saga.orders.v1.OrderPlacementService.PlaceOrder"
        )
        yield reflection_pb2.ServerReflectionRequest(file_containing_symbol="saga.v1.Nope")

    async with coordinator(serving=False) as c:
        ask: Any = c.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        listed, described, unknown = [answer async for answer in ask(questions())]
    assert [service.name for service in listed.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "saga.orders.v1.OrderPlacementService",
        "saga.v1.CoordinatorService",
        "saga.v1.OperatorService",
    ]
    assert described.HasField("file_descriptor_response")
    assert unknown.error_response.error_code == StatusCode.NOT_FOUND.value[0]


@needs_grpcurl
async def test_grpcurl_needs_no_proto_files() -> None:
    async with coordinator() as c:
        listed = await _grpcurl(c.address, "list")
        assert listed.split() == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "saga.orders.v1.OrderPlacementService",
            "saga.v1.CoordinatorService",
            "saga.v1.OperatorService",
        ]
        described = await _grpcurl(c.address, "describe")
        assert "rpc PlaceOrder ( .saga.orders.v1.PlaceOrderRequest )" in described
        assert "rpc WatchSaga" in described
        method = await _grpcurl(c.address, "describe", "saga.orders.v1.OrderPlacementService.PlaceOrder")
        assert "returns ( .saga.orders.v1.PlaceOrderResponse )" in method
        message = await _grpcurl(c.address, "describe", "saga.orders.v1.PlaceOrderRequest")
        assert ".saga.orders.v1.PaymentInfo payment_info = 4" in message
        assert "SERVING" in await _grpcurl(c.address, "grpc.health.v1.Health/Check")


@needs_grpcurl
async def test_the_order_of_the_issue_placed_twice_by_grpcurl_is_one_order() -> None:
    async with coordinator() as c:
        method = "saga.orders.v1.OrderPlacementService/PlaceOrder"
        first = await _grpcurl("-d", ORDER, c.address, method)
        again = await _grpcurl("-d", ORDER, c.address, method)
    assert '"status": "SUCCESS"' in first
    assert again == first
    assert c.participants.names() == ["createOrder", "reserveStock", "charge"]


def _server() -> ApiServer:
    nothing: Any = None
    return ApiServer(nothing, nothing, nothing, place_order_saga="x", wait_max_s=1, message_bytes_max=1000)


async def _grpcurl(*arguments: str) -> str:
    assert GRPCURL is not None
    process = await asyncio.create_subprocess_exec(
        GRPCURL,
        "-plaintext",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def _drained(call: Any) -> None:
    async for _ in call:
        pass


async def _awaited(call: Any) -> Any:
    return await call


async def test_a_method_whose_name_is_no_utf8_costs_nobody_else_a_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """gRPC reads the name where it takes calls, and that ends by it: nobody would be served any more."""
    async with coordinator() as c:
        c.participants.hold("createOrder")
        placing = asyncio.ensure_future(c.orders.PlaceOrder(order()))
        await c.participants.called("createOrder")
        for _ in range(3):
            await called_by_a_name_that_is_no_text(c.address)
            async with grpc.aio.insecure_channel(c.address) as channel:
                health: Any = health_pb2_grpc.HealthStub(channel)
                checked = await health.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)
            assert checked.status == health_pb2.HealthCheckResponse.SERVING
        c.participants.release("createOrder")
        assert (await placing).status == orders_pb2.SUCCESS
    told = [message for message in caplog.messages if "opened again" in message]
    assert told == ["gRPC takes no calls any more (UnicodeDecodeError): its port is opened again"] * 3


async def test_a_port_that_cannot_be_had_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REOPEN_S", 0.5)
    async with coordinator() as c:
        host, _, port = c.address.rpartition(":")
        # Whoever listens on a port that another one has just left keeps that one out.
        opened = Listener._open_again

        async def taken(listener: Listener) -> None:
            with socket.create_server((host, int(port)), reuse_port=False):
                await opened(listener)

        monkeypatch.setattr(Listener, "_open_again", taken)
        await called_by_a_name_that_is_no_text(c.address)
        async with asyncio.timeout(10):
            assert await c.server.failed == f"the address {c.address} could not be had again"
