"""What a client shows of its calls to whoever follows its process, and what the coordinator goes on with."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from unittest.mock import Mock

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from coordinator.client import BlockingClient, Broken, Client, ClientError, Closed, Operator, tracing, wire
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2, operator_pb2, types_pb2
from tests.integration.api_harness import TOKEN
from tests.integration.client_harness import both, is_shared, place
from tests.recorded_spans import Recorded, attributes, header, parent, recording

PLACE_ORDER = "saga.orders.v1.OrderPlacementService/PlaceOrder"
GET_SAGA = "saga.v1.CoordinatorService/GetSaga"
PLACED = orders_pb2.PlaceOrderResponse(
    order_id="o-1",
    status=orders_pb2.SUCCESS,
    saga_id="saga-1",
    saga_status=types_pb2.SAGA_STATUS_COMPLETED,
)
FOUND = coordinator_pb2.GetSagaResponse(saga=types_pb2.Saga(saga_id="saga-1"))
SEEN = coordinator_pb2.WatchSagaResponse(status=types_pb2.SAGA_STATUS_RUNNING)
# It is the sort of word that an id of a user, a token or a refusal would be.
CANARY = "canary-4711"
OUTSIDE = SpanContext(
    trace_id=0xA1,
    span_id=0xB2,
    is_remote=True,
    trace_flags=TraceFlags(1),
    trace_state=TraceState([("vendor", CANARY)]),
)

Answer = Callable[[int, "grpc.aio.ServicerContext[bytes, bytes]"], Any]
"""What a server says to its n-th call: a message, bytes, or None to say nothing for long."""


class Server:
    """A coordinator's stand-in, and which headers each call came with."""

    def __init__(self) -> None:
        self.address = ""
        self.headers: list[list[tuple[str, str | bytes]]] = []
        self.answer: Answer = lambda number, called: b""

    def traces(self) -> list[list[str]]:
        """Of each call every `traceparent`."""
        return [[str(v) for key, v in headers if key == "traceparent"] for headers in self.headers]

    def keys(self) -> set[str]:
        return {key for headers in self.headers for key, _ in headers}

    async def unary(self, request: bytes, called: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        self.headers.append(list(called.invocation_metadata() or ()))
        answer = self.answer(len(self.headers), called)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer is None:
            await asyncio.sleep(30)
        return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())

    async def stream(
        self, request: bytes, called: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> AsyncIterator[bytes]:
        self.headers.append(list(called.invocation_metadata() or ()))
        yield SEEN.SerializeToString()
        await asyncio.sleep(30)


class Every(grpc.GenericRpcHandler):
    def __init__(self, server: Server) -> None:
        self._server = server

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if is_shared(details):
            return None
        if str(details.method).endswith(("/WatchSaga", "/BackupJournal")):
            return grpc.unary_stream_rpc_method_handler(self._server.stream)
        return grpc.unary_unary_rpc_method_handler(self._server.unary)


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Server]:
    server = Server()
    server.answer = answer
    served = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    served.add_generic_rpc_handlers((Every(server),))
    server.address = f"127.0.0.1:{served.add_insecure_port('127.0.0.1:0')}"
    await served.start()
    try:
        yield server
    finally:
        await served.stop(None)


@asynccontextmanager
async def client_of(kind: Callable[..., Any], target: str, **options: Any) -> AsyncIterator[Any]:
    client = kind(target, **options)
    try:
        yield client
    finally:
        await client.close()


@contextmanager
def called_from(span: SpanContext) -> Iterator[None]:
    """The caller is within a span, and has baggage."""
    around = baggage.set_baggage("user", CANARY, trace.set_span_in_context(NonRecordingSpan(span)))
    token = context.attach(around)
    try:
        yield
    finally:
        context.detach(token)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as found:
        yield found


async def no(
    called: "grpc.aio.ServicerContext[bytes, bytes]", code: grpc.StatusCode, reason: str = "", **told: str
) -> None:
    """End a call as the coordinator does."""
    status = status_pb2.Status(code=code.value[0], message=f"it says {CANARY}")
    packed = AnyMessage()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="saga.v1", metadata=told))
    status.details.append(packed)
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await called.abort(code, status.message, trailing)


@both
async def test_an_order_is_a_span_around_that_of_its_call_and_the_coordinator_goes_on_from_there(
    kind: Any, recorded: Recorded
) -> None:
    async with serving(lambda number, called: PLACED) as server, client_of(kind, server.address) as client:
        with called_from(OUTSIDE):
            await place(client)
    order, call = recorded.one("place_order"), recorded.one(PLACE_ORDER)
    assert (order.kind, parent(order)) == (SpanKind.INTERNAL, f"00-{0xA1:032x}-{0xB2:016x}-01")
    assert (call.kind, parent(call)) == (SpanKind.CLIENT, header(order))
    assert server.traces() == [[header(call)]]
    assert attributes(order) == {"saga.id": "saga-1", "saga.status": "COMPLETED"}
    assert attributes(call) == {
        "rpc.system.name": "grpc",
        "rpc.method": PLACE_ORDER,
        "server.address": "127.0.0.1",
        "server.port": int(server.address.rpartition(":")[2]),
        "rpc.response.status_code": "OK",
        "saga.id": "saga-1",
    }
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}


@both
async def test_an_order_that_is_not_recorded_is_one_trace_all_the_same(kind: Any) -> None:
    def answer(number: int, called: Any) -> Any:
        if number != 1:
            return PLACED
        return no(called, grpc.StatusCode.DEADLINE_EXCEEDED, "SAGA_UNDECIDED", status="RUNNING")

    with recording(ALWAYS_OFF) as recorded:
        async with serving(answer) as server, client_of(kind, server.address) as client:
            await place(client)
            with called_from(OUTSIDE):
                await place(client)
            assert not trace.get_current_span().get_span_context().is_valid
    (first,), (again,), (called,) = server.traces()
    assert first[:36] == again[:36] != called[:36] == f"00-{0xA1:032x}-"
    assert len({first, again, called}) == 3
    assert not any(int(carried[-2:], 16) & TraceFlags.SAMPLED for carried in (first, again, called))
    assert recorded.spans == ()


@both
async def test_a_tracer_is_made_once(kind: Any, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock(wraps=recorded.provider.get_tracer)
    monkeypatch.setattr(recorded.provider, "get_tracer", made)
    async with serving(lambda number, called: PLACED) as server, client_of(kind, server.address) as client:
        for _ in range(3):
            await place(client)
    assert len(recorded.spans) == 6
    made.assert_called_once()


@both
async def test_neither_tracestate_nor_baggage_is_carried_on(kind: Any, recorded: Recorded) -> None:
    async with serving(lambda number, called: FOUND) as server, client_of(kind, server.address) as client:
        with called_from(OUTSIDE):
            await client.get("saga-1")
    assert server.keys() <= {"user-agent", "traceparent"}
    assert CANARY not in str(server.headers)


@both
async def test_an_order_that_is_asked_for_again_stays_one_trace(kind: Any, recorded: Recorded) -> None:
    def answer(number: int, called: Any) -> Any:
        if number > 1:
            return PLACED
        code = grpc.StatusCode.DEADLINE_EXCEEDED
        return no(called, code, "SAGA_UNDECIDED", saga_id="saga-1", status="RUNNING")

    async with serving(answer) as server, client_of(kind, server.address) as client:
        await place(client)
    order = recorded.one("place_order")
    first, second = [span for span in recorded.spans if span.name == PLACE_ORDER]
    assert [parent(first), parent(second)] == [header(order)] * 2
    assert server.traces() == [[header(first)], [header(second)]]
    assert first.status.status_code is StatusCode.ERROR
    shown = attributes(first)
    assert (shown["rpc.response.status_code"], shown["error.type"]) == (
        "DEADLINE_EXCEEDED",
        "DEADLINE_EXCEEDED",
    )
    assert (shown["saga.id"], shown["saga.status"]) == ("saga-1", "RUNNING")
    assert order.status.status_code is second.status.status_code is StatusCode.UNSET


@both
async def test_what_grpc_repeats_by_itself_is_within_one_span(kind: Any, recorded: Recorded) -> None:
    def answer(number: int, called: Any) -> Any:
        return FOUND if number > 2 else no(called, grpc.StatusCode.UNAVAILABLE)

    async with serving(answer) as server, client_of(kind, server.address) as client:
        await client.get("saga-1")
    assert server.traces() == [[header(recorded.one(GET_SAGA))]] * 3
    assert attributes(recorded.one(GET_SAGA))["rpc.response.status_code"] == "OK"


@both
async def test_a_refusal_is_shown_by_its_status_alone(kind: Any, recorded: Recorded) -> None:
    def answer(number: int, called: Any) -> Any:
        return no(called, grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_TAKEN", text=CANARY)

    async with serving(answer) as server, client_of(kind, server.address) as client:
        with called_from(OUTSIDE), pytest.raises(ClientError, match=CANARY):
            await place(client, f"order-{CANARY}", user_id=f"user-{CANARY}")
    call, order = recorded.one(PLACE_ORDER), recorded.one("place_order")
    assert attributes(call)["error.type"] == "ALREADY_EXISTS"
    assert attributes(order) == {"error.type": "coordinator.client.errors.Conflict"}
    for span in (call, order):
        assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    text = recorded.text().replace(f"['vendor=\\'{CANARY}\\'']", "")
    assert TOKEN not in text
    for secret in (f"order-{CANARY}", f"user-{CANARY}", f"says {CANARY}"):
        assert secret not in text


@both
async def test_an_id_that_nobody_knows_does_not_enter(kind: Any, recorded: Recorded) -> None:
    def answer(number: int, called: Any) -> Any:
        return no(called, grpc.StatusCode.NOT_FOUND, "SAGA_NOT_FOUND")

    async with serving(answer) as server, client_of(kind, server.address) as client:
        with pytest.raises(ClientError):
            await client.get(CANARY)
    assert attributes(recorded.one(GET_SAGA))["error.type"] == "NOT_FOUND"
    assert CANARY not in recorded.text()


@both
async def test_an_id_that_is_too_long_for_one_does_not_enter(kind: Any, recorded: Recorded) -> None:
    answer = coordinator_pb2.GetSagaResponse(saga=types_pb2.Saga(saga_id="x" * 256))
    async with serving(lambda number, called: answer) as server, client_of(kind, server.address) as client:
        await client.get("saga-1")
    assert "saga.id" not in attributes(recorded.one(GET_SAGA))


@both
async def test_an_address_where_nobody_is_ends_the_span(kind: Any, recorded: Recorded) -> None:
    async with client_of(kind, "127.0.0.1:1", timeout_s=0.5) as client:
        with pytest.raises(ClientError) as raised:
            await client.get("saga-1")
    call = recorded.one(GET_SAGA)
    assert call.status.status_code is StatusCode.ERROR
    assert attributes(call)["error.type"] == raised.value.code
    assert attributes(call)["rpc.response.status_code"] == raised.value.code


@both
async def test_an_answer_that_cannot_be_read_ends_the_span_as_an_error(kind: Any, recorded: Recorded) -> None:
    async with serving(lambda number, called: b"\xff") as server, client_of(kind, server.address) as client:
        with pytest.raises(Broken) as raised:
            await client.get("saga-1")
    call = recorded.one(GET_SAGA)
    assert call.status.status_code is StatusCode.ERROR
    # The blocking call of gRPC makes a status of its own of it; to the other one it came with OK.
    code = "OK" if kind is Client else "INTERNAL"
    assert attributes(call)["rpc.response.status_code"] == raised.value.code == code
    assert attributes(call)["error.type"] == (
        "INTERNAL" if code != "OK" else "coordinator.client.errors.Broken"
    )


async def test_a_cancelled_call_ends_its_spans(recorded: Recorded) -> None:
    async with serving(lambda number, called: None) as server, Client(server.address) as client:
        asking = asyncio.ensure_future(place(client))
        while not server.headers:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    call, order = recorded.one(PLACE_ORDER), recorded.one("place_order")
    assert attributes(call)["rpc.response.status_code"] == attributes(call)["error.type"] == "CANCELLED"
    assert attributes(order) == {"error.type": "asyncio.exceptions.CancelledError"}
    assert call.status.status_code is order.status.status_code is StatusCode.ERROR


async def test_a_blocking_call_under_a_client_that_is_closed_ends_its_span(recorded: Recorded) -> None:
    async with serving(lambda number, called: None) as server:
        client = BlockingClient(server.address)
        raised: list[BaseException] = []

        def ask() -> None:
            try:
                client.get("saga-1")
            except ClientError as error:
                raised.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        while not server.headers:
            await asyncio.sleep(0.01)
        client.close()
        await asyncio.to_thread(asking.join, 10)
    assert isinstance(raised[0], Closed)
    assert attributes(recorded.one(GET_SAGA))["error.type"] == "CANCELLED"


@both
async def test_a_stream_goes_on_with_its_callers_trace_and_has_no_span(kind: Any, recorded: Recorded) -> None:
    async with serving(lambda number, called: b"") as server, client_of(kind, server.address) as client:
        with called_from(OUTSIDE):
            watching = client.watch("saga-1")
            await anext(watching)
            before = trace.get_current_span().get_span_context()
            await watching.aclose()
    assert before == OUTSIDE
    assert server.traces() == [[f"00-{0xA1:032x}-{0xB2:016x}-01"]]
    assert server.keys() <= {"user-agent", "traceparent"}
    assert recorded.spans == ()


@both
async def test_with_the_api_alone_the_callers_context_is_carried_on(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    async with serving(lambda number, called: PLACED) as server, client_of(kind, server.address) as client:
        await place(client)
        with called_from(OUTSIDE):
            await place(client)
    assert server.traces() == [[], [f"00-{0xA1:032x}-{0xB2:016x}-01"]]


@both
async def test_an_instrumentation_of_grpc_adds_neither_a_second_span_nor_headers_of_its_own(
    kind: Any, recorded: Recorded
) -> None:
    instrumentors = (GrpcAioInstrumentorClient(), GrpcInstrumentorClient())  # type: ignore[no-untyped-call]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=recorded.provider)
    try:
        async with (
            serving(lambda number, called: PLACED) as server,
            client_of(kind, server.address) as client,
        ):
            with called_from(OUTSIDE):
                await place(client)
                watching = client.watch("saga-1")
                await anext(watching)
                await watching.aclose()
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
    assert [span.name for span in recorded.spans] == [PLACE_ORDER, "place_order"]
    assert server.traces() == [[header(recorded.one(PLACE_ORDER))], [f"00-{0xA1:032x}-{0xB2:016x}-01"]]
    assert server.keys() <= {"user-agent", "traceparent"}


async def test_the_callers_own_calls_beside_it_stay_instrumented(recorded: Recorded) -> None:
    """The rest of the process is not told to keep quiet: neither after a call nor while one is under way."""
    seen: list[object] = []
    async with serving(lambda number, called: FOUND) as server, Client(server.address) as client:
        asking = asyncio.create_task(client.get("saga-1"))
        await asyncio.sleep(0)
        seen.append(context.get_value("suppress_instrumentation"))
        await asking
        await client.get("saga-1")
        seen.append(context.get_value("suppress_instrumentation"))
    assert seen == [None, None]
    assert not trace.get_current_span().get_span_context().is_valid


async def test_an_operators_calls_are_shown_as_well(recorded: Recorded) -> None:
    listed = operator_pb2.ListParticipantsResponse()
    async with serving(lambda number, called: listed) as server:
        with Operator(server.address) as operator:
            await asyncio.to_thread(operator.participants)
            with suppress(ClientError):
                await asyncio.to_thread(next, operator.backup())
    (call,) = recorded.spans
    assert call.name == "saga.v1.OperatorService/ListParticipants"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("saga.local:50051", {"server.address": "saga.local", "server.port": 50051}),
        ("[::1]:50051", {"server.address": "::1", "server.port": 50051}),
        ("dns:///saga:50051", {"server.address": "saga", "server.port": 50051}),
        ("dns://10.0.0.1/saga:50051", {"server.address": "saga", "server.port": 50051}),
        ("ipv4:10.0.0.1:50051", {"server.address": "10.0.0.1", "server.port": 50051}),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", {"server.address": "ipv4:10.0.0.1:1,10.0.0.2:2"}),
        ("unix:/run/saga.sock", {"server.address": "/run/saga.sock"}),
        ("unix:///run/saga.sock", {"server.address": "/run/saga.sock"}),
    ],
)
def test_a_span_tells_where_a_target_leads(target: str, shown: dict[str, object], recorded: Recorded) -> None:
    with tracing.call("GetSaga", coordinator_pb2.GetSagaRequest(), target):
        pass
    found = attributes(recorded.one(GET_SAGA))
    assert {key: value for key, value in found.items() if key.startswith("server.")} == shown


@pytest.mark.parametrize("file", [coordinator_pb2, operator_pb2, orders_pb2])
def test_each_method_is_found_by_its_request(file: Any) -> None:
    for service in file.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            request = getattr(file, method.input_type.name)()
            assert wire.full_method(method.name, request) == f"{service.full_name}/{method.name}"
