"""The gRPC server: what is served, from when on, and until when. It runs no saga itself.

The port is open from the first moment, so that health says NOT_SERVING while sagas are recovered and
while the coordinator drains; calls for sagas are answered UNAVAILABLE until `serving`.
"""

import asyncio
import errno
import re
import socket
from collections.abc import Callable, Sequence
from typing import Final

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coordinator.api.coordinator import STARTS, CoordinatorServicer
from coordinator.api.forgetting import ForgetsRequests
from coordinator.api.interceptor import CallInterceptor, Ended, of_entries
from coordinator.api.listener import Listener
from coordinator.api.operator import OperatorServicer
from coordinator.api.orders import ORDERS, OrderPlacementServicer, orders_door
from coordinator.api.reflection import add_reflection
from coordinator.api.streams import Streams
from coordinator.domain.errors import StartupFailed
from coordinator.engine.definitions import Definitions
from coordinator.engine.operations import Operations
from coordinator.engine.sagas import Sagas
from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc, operator_pb2, operator_pb2_grpc

_SERVICES: Final = (
    coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"],
    operator_pb2.DESCRIPTOR.services_by_name["OperatorService"],
    orders_pb2.DESCRIPTOR.services_by_name["OrderPlacementService"],
)
OUR_SERVICES: Final = tuple(service.full_name for service in _SERVICES)
UNARY_METHODS: Final = frozenset(
    f"/{service.full_name}/{method.name}"
    for service in _SERVICES
    for method in service.methods
    if not method.server_streaming
)
"""As they stand on the wire: each is answered once."""
_STARTS: Final = frozenset({STARTS.method, ORDERS.method})
CALLS_OPEN_MAX: Final = 10_000
CALLS_RESERVED: Final = 1_000
"""How many more may be open of those that look after us, however many wait for sagas: health checks,
operators, reflection. Who is refused takes one of these, too, for a moment."""
ABORTED_SETTLE_S: Final = 5.0
STREAMS_END_S: Final = 0.3
KEEPALIVE_S: Final = 60
PING_INTERVAL_MIN_S: Final = 10

_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/\s]+):([0-9]{1,5})")
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class ApiServer:
    """Bind, start, say that we serve, say that we drain, stop: in this order, each once."""

    def __init__(
        self,
        sagas: Sagas,
        definitions: Definitions,
        operations: Operations,
        *,
        place_order_saga: str,
        wait_max_s: float,
        message_bytes_max: int,
        calls_open_max: int = CALLS_OPEN_MAX,
        around: Sequence[aio.ServerInterceptor] = (),
        follower: Callable[[], Ended | None] = lambda: None,
        start_had_no_room: Callable[[], None] = lambda: None,
    ) -> None:
        """*around* are interceptors that stand around ours; *follower* is as in `CallInterceptor`.
        *start_had_no_room* is told of each start that is refused unread, because there are too many calls."""

        def had_no_room(method: str) -> None:
            if method in _STARTS:
                start_had_no_room()

        self._interceptor = CallInterceptor(follower, calls_open_max=calls_open_max, had_no_room=had_no_room)
        # A stream may have as many entries under way as there may be calls.
        self._streams = Streams(
            [*map(of_entries, (*around, self._interceptor))],
            entries_max=calls_open_max,
            had_no_room=had_no_room,
        )
        self._health = health.aio.HealthServicer()
        coordinator = CoordinatorServicer(sagas, definitions, self._streams, wait_max_s=wait_max_s)
        operator = OperatorServicer(sagas, operations)
        door = orders_door(place_order_saga)
        orders = OrderPlacementServicer(sagas, definitions, door, self._streams, wait_max_s=wait_max_s)

        def make() -> aio.Server:
            server = aio.server(
                interceptors=[ForgetsRequests(), *around, self._interceptor],
                options=_options(message_bytes_max, calls_open_max + CALLS_RESERVED),
                maximum_concurrent_rpcs=calls_open_max + CALLS_RESERVED,
            )
            coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server(coordinator, server)
            operator_pb2_grpc.add_OperatorServiceServicer_to_server(operator, server)
            orders_pb2_grpc.add_OrderPlacementServiceServicer_to_server(orders, server)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            add_reflection(server, (*OUR_SERVICES, health.SERVICE_NAME))
            return server

        self._listener = Listener(make)
        self.failed: Final = self._listener.failed
        """Has a sentence once no calls can be taken any more: the process must stop."""

    async def bind(self, listen: str) -> str:
        """Take the address *listen* ("host:port", port 0 for any, or "unix:path"); return what was taken.

        Raises:
            StartupFailed: it is no address, or cannot be had; the sentence says why.
        """
        if listen.startswith("unix:"):
            return self._open(listen)
        match = _LISTEN.fullmatch(listen)
        if match is None or int(match[2]) > 65535:
            raise StartupFailed(
                f"cannot listen on {listen!r}: expected host:port with a port from 0 to 65535, such as "
                "127.0.0.1:50051, or unix:path"
            )
        host, port = match[1], int(match[2])
        await _check_free(listen, host.strip("[]"), port)
        return self._open(listen)

    async def start(self) -> None:
        """Answer health checks with NOT_SERVING, and everything else with UNAVAILABLE."""
        await self._say(serving=False)
        await self._listener.start()

    async def serving(self) -> None:
        """Recovery is done: let calls in, and say so."""
        self._interceptor.is_open = True
        await self._say(serving=True)

    async def draining(self) -> None:
        """Say that we are going. Calls are still let in: the engine refuses new sagas, reads go on. Streams
        that carry calls take no more, so that they end when what they have under way does."""
        self._streams.drain()
        await self._say(serving=False)

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, let those that run end for at most *grace_s*, then abort them."""
        self._streams.drain()
        stopping = asyncio.create_task(self._listener.stop(grace_s))
        await self._interceptor.settled(grace_s)
        # What is left now are streams of health checks and of reflection, which have no end of their own.
        done, _ = await asyncio.wait([stopping], timeout=min(grace_s, STREAMS_END_S))
        if not done:
            await self._listener.stop(None)
            await stopping
        await self._interceptor.settled(ABORTED_SETTLE_S)

    async def _say(self, *, serving: bool) -> None:
        status = _SERVING if serving else _NOT_SERVING
        for service in (health.OVERALL_HEALTH, *OUR_SERVICES):
            await self._health.set(service, status)

    def _open(self, address: str) -> str:
        try:
            return self._listener.open(address)
        except RuntimeError:
            raise StartupFailed(
                f"cannot listen on {address!r}: the address cannot be had; a Unix socket needs "
                "a folder that is there and that you may write to"
            ) from None


def _options(message_bytes_max: int, calls_open_max: int) -> list[tuple[str, int]]:
    return [
        # Two coordinators on one port would share its calls: the second one has to fail instead.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", message_bytes_max),
        ("grpc.max_send_message_length", message_bytes_max),
        # A caller that waits long may ping; one that is gone is found out.
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_S * 1000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_INTERVAL_MIN_S * 1000),
        # Calls that have come and that Python has not yet taken. Of more than 1,000 gRPC would by itself drop
        # some at random, with a bare CANCELLED: what comes at once may be as much as may be open.
        ("grpc.server.max_pending_requests", calls_open_max),
        ("grpc.server.max_pending_requests_hard_limit", calls_open_max),
    ]


async def _check_free(listen: str, host: str, port: int) -> None:
    """Ask for the address with a socket of our own first: it says why it cannot be had, gRPC does not."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except UnicodeError:  # raised for a name that has an empty or an overlong part
        raise StartupFailed(f"cannot listen on {listen!r}: no host can have this name") from None
    except OSError as error:
        raise StartupFailed(
            f"cannot listen on {listen!r}: {error.strerror}; choose an address of this machine"
        ) from None
    refused: list[OSError] = []
    for family, kind, _, _, address in found:
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                refused.append(error)
    if any(error.errno == errno.EADDRINUSE for error in refused):
        raise StartupFailed(
            f"cannot listen on {listen!r}: the port is in use; stop what uses it or choose another"
        )
    if refused and len(refused) == len(found):
        raise StartupFailed(
            f"cannot listen on {listen!r}: {refused[0].strerror}; choose an address of this machine, "
            "and a port that you may use"
        )
