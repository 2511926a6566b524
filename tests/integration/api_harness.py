"""A coordinator behind its real gRPC server, put together as bootstrap does it: the engine is the real one,
the journal is in memory, and the participants answer what a test scripts."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from coordinator.adapters.aside import InThreads
from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.clock import SystemChance, SystemClock
from coordinator.adapters.definition_text import read_with_places
from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.adapters.no_tracing import NoTracing
from coordinator.api.interceptor import Ended
from coordinator.api.orders import orders_door
from coordinator.api.server import ApiServer
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.outcomes import Answer, NoProof, Refused, Succeeded, Unproved
from coordinator.engine.definitions import Definitions
from coordinator.engine.dispatcher import Dispatcher
from coordinator.engine.driver import Tools
from coordinator.engine.feed import Feed
from coordinator.engine.operations import Operations
from coordinator.engine.pool import Pool
from coordinator.engine.sagas import Sagas
from coordinator.ports.journal import Piece, Request
from coordinator.ports.participants import Call, Description, ExecuteCall, Probe, Reach, Told
from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc

if TYPE_CHECKING:
    from saga.orders.v1.orders_pb2_grpc import OrderPlacementServiceAsyncStub
    from saga.v1.coordinator_pb2_grpc import CoordinatorServiceAsyncStub

SYNC_S = 0.003
TOKEN = "tok-canary-7f3a91"

_RETRY = {"maxAttempts": 2, "initialBackoff": "1ms", "maxBackoff": "1ms"}
DEFINITIONS = [
    {
        "sagaName": "PlaceOrder",
        "version": "3",
        "steps": [
            {
                "service": "Orders",
                "transaction": "createOrder",
                "compensation": "cancelOrder",
                "input": ["order_id", "user_id", "items"],
            },
            {
                "service": "Stock",
                "transaction": "reserveStock",
                "compensation": "releaseStock",
                "input": ["items"],
            },
            {
                "service": "Payments",
                "transaction": "charge",
                "compensation": "refund",
                "input": ["payment_info"],
                "retry": _RETRY,
            },
        ],
    },
    {
        "sagaName": "Trip",
        "ttl": "1h",
        "steps": [
            {"service": "Hotel", "transaction": "bookRoom", "compensation": "cancelRoom"},
            {"service": "Rail", "transaction": "bookSeat", "compensation": None, "retry": _RETRY},
        ],
    },
    {
        "sagaName": "NeedsColour",
        "steps": [{"service": "Paint", "transaction": "mix", "compensation": None, "input": ["colour"]}],
    },
]

REFUSED = Refused("DECLINED", "the bank says no")
UNREACHABLE = NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "nobody there")
TIMED_OUT = NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")


class ScriptedParticipants:
    """Answers each transaction and compensation by name: succeeded, unless a test says otherwise."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Call]] = []
        self._scripts: dict[str, list[Answer]] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._seen = asyncio.Event()

    def answer(self, name: str, *answers: Answer) -> None:
        """Give *answers* in turn, the last one for good."""
        self._scripts[name] = list(answers)

    def hold(self, name: str) -> None:
        """Leave calls of *name* without an answer until `release`."""
        self._gates[name] = asyncio.Event()

    def release(self, name: str) -> None:
        self._gates.pop(name).set()

    def names(self) -> list[str]:
        """What was called, in order."""
        return [name for name, _ in self.calls]

    async def called(self, name: str, times: int = 1) -> None:
        """Wait until *name* was called that often."""
        while self.names().count(name) < times:
            self._seen.clear()
            await self._seen.wait()

    async def probe(self, service: str) -> Probe:
        return Probe(f"dns:///{service.lower()}:50061", Reach.SERVING)

    async def describe(self, service: str) -> Description:
        return Description(Told.UNIMPLEMENTED)

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        name = call.transaction if isinstance(call, ExecuteCall) else call.compensation or "nothing"
        self.calls.append((name, call))
        self._seen.set()
        if (gate := self._gates.get(name)) is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await gate.wait()
            except TimeoutError:
                return TIMED_OUT
        script = self._scripts.get(name, [])
        if not script:
            return Succeeded("{}")
        return script.pop(0) if len(script) > 1 else script[0]


def files_of(*texts: object) -> list[tuple[str, SagaDefinition]]:
    """Definitions, as they are read from files at a start."""
    return [
        (f"{place}.json", parse_definition(json.dumps(text), source="test"))
        for place, text in enumerate(texts)
    ]


class SlowJournal(MemoryJournal):
    """Takes a moment to make something durable, as a disk does: equal requests overtake each other."""

    async def start(self, *args: Any, **named: Any) -> Request:
        await asyncio.sleep(SYNC_S)
        return await super().start(*args, **named)

    async def append(self, *args: Any, **named: Any) -> int:
        await asyncio.sleep(SYNC_S)
        return await super().append(*args, **named)


class StoreOfTwoPieces:
    """Keeps the port `Upkeep` for a journal that has no file."""

    async def backup(self) -> AsyncGenerator[Piece, None]:
        for data in (b"journal ", b"of a test"):
            yield Piece(data, 17)

    async def faults(self) -> Sequence[str]:
        return []


@dataclass
class Coordinator:
    """One running coordinator and a client of it."""

    address: str
    server: ApiServer
    sagas: Sagas
    operations: Operations
    pool: Pool
    feed: Feed
    journal: MemoryJournal
    participants: ScriptedParticipants
    definitions: Definitions
    channel: grpc.aio.Channel

    @property
    def api(self) -> "CoordinatorServiceAsyncStub":
        return coordinator_pb2_grpc.CoordinatorServiceStub(self.channel)

    @property
    def orders(self) -> "OrderPlacementServiceAsyncStub":
        return orders_pb2_grpc.OrderPlacementServiceStub(self.channel)

    async def start(self, saga_name: str = "Trip", request_id: str = "", **input_fields: Any) -> str:
        """Start a saga and return its id at once."""
        answer = await self.api.StartSaga(
            coordinator_pb2.StartSagaRequest(
                saga_name=saga_name, request_id=request_id, input_json=json.dumps(input_fields)
            )
        )
        return answer.saga.saga_id

    async def get(self, saga_id: str) -> Any:
        answer = await self.api.GetSaga(coordinator_pb2.GetSagaRequest(saga_id=saga_id))
        return answer.saga

    async def ended(self, saga_id: str) -> Any:
        """The saga once it rests."""
        request = coordinator_pb2.WatchSagaRequest(saga_id=saga_id)
        async for _ in self.api.WatchSaga(request, timeout=10):
            pass
        return await self.get(saga_id)

    async def saga_count(self) -> int:
        answer = await self.api.ListSagas(coordinator_pb2.ListSagasRequest(page_size=1000))
        return len(answer.sagas)

    async def health(self, service: str = "") -> str:
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return name


@asynccontextmanager
async def coordinator(
    *,
    serving: bool = True,
    place_order_saga: str = "PlaceOrder",
    wait_max_s: float = 20.0,
    message_bytes_max: int = 8 << 20,
    sagas_open_max: int = 1000,
    calls_per_service_max: int = 64,
    calls_open_max: int = 1000,
    around: Sequence[grpc.aio.ServerInterceptor] = (),
    follower: Callable[[], Ended | None] = lambda: None,
    start_had_no_room: Callable[[], None] = lambda: None,
    journal: Any = None,
) -> AsyncIterator[Coordinator]:
    """A running coordinator, stopped at the end as bootstrap stops it; on *journal* if there is one."""
    journal, feed, participants = journal or SlowJournal(), Feed(), ScriptedParticipants()
    dispatcher = Dispatcher(participants, NoTelemetry(), calls_per_service_max=calls_per_service_max)
    expressions = CelExpressions()
    tools = Tools(
        journal,
        dispatcher,
        feed,
        SystemClock(),
        SystemChance(),
        NoTelemetry(),
        NoTracing(),
        expressions,
        InThreads(),
    )
    pool = Pool(tools, journal, sagas_open_max=sagas_open_max)
    read = partial(read_with_places, services=None)
    definitions = Definitions(
        journal.definitions,
        journal,
        read,
        expressions,
        SystemClock(),
        NoTelemetry(),
        InThreads(),
        orders_door(place_order_saga),
    )
    await definitions.take_up(files_of(*DEFINITIONS))
    sagas = Sagas(pool, tools, journal, definitions)
    operations = Operations(journal, journal, StoreOfTwoPieces(), participants, definitions)
    server = ApiServer(
        sagas,
        definitions,
        operations,
        place_order_saga=place_order_saga,
        wait_max_s=wait_max_s,
        message_bytes_max=message_bytes_max,
        calls_open_max=calls_open_max,
        around=around,
        follower=follower,
        start_had_no_room=start_had_no_room,
    )
    address = await server.bind("127.0.0.1:0")
    await server.start()
    if serving:
        await server.serving()
    options = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 16 << 20)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        try:
            yield Coordinator(
                address, server, sagas, operations, pool, feed, journal, participants, definitions, channel
            )
        finally:
            await pool.park(grace_s=0.0)
            feed.close()
            await server.stop(0.1)


@asynccontextmanager
async def another_server(
    c: Coordinator, *, place_order_saga: str
) -> AsyncIterator["OrderPlacementServiceAsyncStub"]:
    """The same coordinator with its front door for orders leading elsewhere, as after a restart."""
    server = ApiServer(
        c.sagas,
        c.definitions,
        c.operations,
        place_order_saga=place_order_saga,
        wait_max_s=5,
        message_bytes_max=1 << 20,
    )
    address = await server.bind("127.0.0.1:0")
    await server.start()
    await server.serving()
    async with grpc.aio.insecure_channel(address) as channel:
        yield orders_pb2_grpc.OrderPlacementServiceStub(channel)
    await server.stop(0.1)


def order(order_id: str = "o-1", **changed: Any) -> orders_pb2.PlaceOrderRequest:
    """The order of the README, with fields of the request changed."""
    fields: dict[str, Any] = {
        "order_id": order_id,
        "user_id": "u-1",
        "items": [{"item_id": "sku-1", "quantity": 2}],
        "payment_info": payment(),
    }
    return orders_pb2.PlaceOrderRequest(**{**fields, **changed})


def payment(**changed: Any) -> dict[str, Any]:
    """Payment details, with the token that must turn up nowhere."""
    amount = {"currency_code": "EUR", "units": 42, "nanos": 500_000_000}
    return {"method": "card", "token": TOKEN, "amount": amount, **changed}


def hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Keep every log record, but gRPC's own at DEBUG: one of them holds a server while it is freed, and
    whoever looks at that record later brings the process down."""
    caplog.set_level(logging.INFO, logger="grpc")
    caplog.set_level(logging.DEBUG)  # last: each call also sets what the capture itself lets through


@dataclass(frozen=True)
class Refusal:
    """How a call was refused."""

    code: StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: dict[str, str]
    everything: str


async def refusal(call: Awaitable[object]) -> Refusal:
    """The refusal of a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read_refusal(caught.value)


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """What a refused caller is told."""
    status = rpc_status.from_call(cast(grpc.Call, error))  # it reads what both kinds of call have
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status is not None else ():
        if not detail.Unpack(info):
            assert detail.Unpack(bad)
    assert status is None or info.domain == "saga.v1"
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        dict(info.metadata),
        {violation.field: violation.description for violation in bad.field_violations},
        f"{status} {error.details()} {error.trailing_metadata()}",
    )
