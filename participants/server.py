"""Hosts participants behind one gRPC server: opens their files, binds, drains, closes.

`serving` is for whoever embeds it, tests included; `python -m participants` is built on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from participants.base import Participant
from participants.errors import CannotStart
from participants.fault_plan import FaultPlan
from participants.fault_servicer import FaultServicer
from participants.faults import Faulty
from participants.hosting import Hosted, open_hosted
from participants.register import register
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from saga.v1 import ledger_pb2, participant_pb2

RECEIVE_BYTES_MAX = 4 * 1024 * 1024
CALLS_MAX = 4096
GRACE_S = 5.0
# How often it is looked whether gRPC still takes calls.
LOOK_S = 0.1
OPTIONS = (
    # Two processes on one port would each get some of the calls: the second is to fail instead.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
    # An answer that is too large is a fault that a plan can ask for; the caller's limit catches it.
    ("grpc.max_send_message_length", -1),
    # A coordinator may ping as often as it likes, also while no call is under way.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
)
PARTICIPANT_SERVICE = participant_pb2.DESCRIPTOR.services_by_name["ParticipantService"].full_name
LEDGER_SERVICE = ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name
FAULT_SERVICE = faults_pb2.DESCRIPTOR.services_by_name["FaultService"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """A server at work."""

    address: str
    services: tuple[Hosted, ...]
    ended: asyncio.Task[str]

    async def broken(self) -> str:
        """Wait until a service's file fails for good, or no calls are taken any more, which may be never;
        returns what it is and why."""
        failures = [*(service.store.failed for service in self.services), self.ended]
        done, _ = await asyncio.wait(failures, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()


@asynccontextmanager
async def serving(
    participants: Sequence[Participant],
    *,
    data: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: FaultPlan | None = None,
    grace_s: float = GRACE_S,
) -> AsyncIterator[Serving]:
    """Serve *participants* from the files in *data*; raises CannotStart with one sentence.

    Only with a fault plan, be it an empty one, can faults be set while it runs.
    On leaving, new calls are turned away, those under way get *grace_s*, streams end with the last of theirs,
    and the files are closed.
    """
    async with AsyncExitStack() as stack:
        services: list[Hosted] = []
        for participant in participants:
            hosted = open_hosted(participant, data)
            stack.push_async_callback(hosted.close)
            services.append(hosted)
        server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
        names = [PARTICIPANT_SERVICE, LEDGER_SERVICE]
        if faults is None:
            registered = register(server, services)
        else:
            names.append(FAULT_SERVICE)
            faulty = await _add_faults(stack, server, services, faults)
            registered = register(server, services, faulty=faulty)
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        bound = _bind(server, host, port)
        await server.start()
        stack.push_async_callback(server.stop, grace_s)
        stack.callback(registered.end_streams)
        for name in ("", *names, *(hosted.name for hosted in services)):
            await healthy.set(name, SERVING)
        stack.push_async_callback(healthy.enter_graceful_shutdown)
        ended = asyncio.create_task(_ended(server))
        stack.callback(ended.cancel)
        yield Serving(f"{host}:{bound}", tuple(services), ended)


async def _ended(server: grpc.aio.Server) -> str:
    """Wait until gRPC takes no calls any more: one whose method has a name that is no UTF-8 ends it."""
    why = ""
    try:
        while await server.wait_for_termination(timeout=LOOK_S):
            pass
    except Exception as error:
        why = f" ({type(error).__name__})"
    return f"gRPC takes no calls any more{why}; start the process again"


async def _add_faults(
    stack: AsyncExitStack, server: grpc.aio.Server, services: Sequence[Hosted], plan: FaultPlan
) -> dict[str, Faulty]:
    faulty = {hosted.name: Faulty(hosted) for hosted in services}
    for service in faulty.values():
        stack.push_async_callback(service.close)
        await service.set_plan(plan, restarted=True)
    faults_pb2_grpc.add_FaultServiceServicer_to_server(FaultServicer(faulty, plan), server)
    return faulty


def _bind(server: grpc.aio.Server, host: str, port: int) -> int:
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise CannotStart(f"The address {host}:{port} is taken or cannot be used.")
    return bound
