"""The calls to participants, and how long each is waited for.

gRPC's own retries are off, so that attempts can be counted. Answers arrive as bytes, because a malformed
one is an outcome of the saga and not an error of a library: answers.py and descriptions.py read them. Calls
go on streams where a service offers them (streams.py), over a connection that is replaced where nothing is
heard on it (connections.py).
"""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from coordinator.adapters.grpc_participants.answers import (
    OUT_OF_TIME,
    broken,
    no_proof,
    to_answer,
    to_request,
    unanswered,
)
from coordinator.adapters.grpc_participants.connections import CONNECT_TIMEOUT_S, Connection, Line
from coordinator.adapters.grpc_participants.descriptions import (
    broken_description,
    to_description,
    undescribed,
)
from coordinator.adapters.grpc_participants.streams import StreamedCalls, streams_to
from coordinator.adapters.grpc_participants.words import fit_message
from coordinator.domain.outcomes import Answer, NoProof
from coordinator.domain.trace import own_trace
from coordinator.ports.deferred import Deferred
from coordinator.ports.participants import Call, Description, ExecuteCall, Probe, Reach, Told
from saga.v1 import participant_pb2 as pb

PROBE_TIMEOUT_S: Final = 2.0
_NO_ADDRESS: Final = "no address is set for it (SAGA_SERVICES)"
_TRACEPARENT: Final = "traceparent"
# gRPC enforces the deadline; this is for a call that it would never end, such as one stuck in a resolver.
_WATCHDOG_S: Final = 1.0


class GrpcParticipants:
    """A way to each service that the settings name."""

    def __init__(
        self, services: Mapping[str, str], *, message_bytes_max: int, decides_sampling: bool = False
    ) -> None:
        """*decides_sampling*: whether what is recorded in traces is decided here, so that participants record
        nothing of a call that has no trace."""
        self._decides_sampling = decides_sampling
        options = [
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", message_bytes_max),
            ("grpc.max_send_message_length", -1),
            # A participant that comes back is found again soon; gRPC's default lets it wait two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # One that comes back elsewhere, too: by default its name is asked about twice a minute at most.
            ("grpc.dns_min_time_between_resolutions_ms", 2_000),
            # Whatever its name says: how long connecting may take. A participant may be far away, or busy.
            ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
            # Servers tolerate a ping every five minutes by default: more often and they hang up.
            ("grpc.keepalive_time_ms", 300_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        ]
        self._connections = {
            service: Connection(service, target, options) for service, target in services.items()
        }
        self._streamed = {
            service: StreamedCalls(
                service,
                connection.open_stream,
                self._alone,
                doubt=connection.doubt,
                streams=streams_to(connection.target),
                decides_sampling=decides_sampling,
            )
            for service, connection in self._connections.items()
        }
        for service, connection in self._connections.items():
            connection.replaced = self._streamed[service].renew

    def perform(self, call: Call, *, timeout_s: float) -> Awaitable[Answer]:
        """Send *call* once, and say what came of it."""
        streamed = self._streamed.get(call.service)
        if streamed is not None:
            return streamed.perform(call, timeout_s)
        unsent = Deferred[Answer]()
        unsent.settle(unanswered("UNAVAILABLE", f"no address is set for {call.service} (SAGA_SERVICES)"))
        return unsent

    async def _alone(self, call: Call, timeout_s: float) -> Answer:
        """Send *call* by itself."""
        connection, loop = self._connections[call.service], asyncio.get_running_loop()
        line, sent_at = connection.line, loop.time()
        trace = call.trace or (own_trace(call.saga_id) if self._decides_sampling else "")
        answer = await _sent(line, call, timeout_s, trace)
        if not isinstance(answer, NoProof) or answer.code != OUT_OF_TIME.code:
            line.heard_at = loop.time()
        elif line.heard_at < sent_at:
            connection.doubt()
        return answer

    async def probe(self, service: str) -> Probe:
        """As the port says, by the standard health check."""
        connection = self._connections.get(service)
        if connection is None:
            return Probe("", Reach.UNKNOWN_ADDRESS, _NO_ADDRESS)
        target = connection.target
        # Its types know the blocking channel only.
        stub: Any = health_pb2_grpc.HealthStub(connection.line.channel)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S + _WATCHDOG_S):
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return Probe(target, Reach.SERVING)
            return Probe(target, Reach.UNREACHABLE, fit_message(error.details() or error.code().name))
        except TimeoutError:
            return Probe(target, Reach.UNREACHABLE, "no answer in time")
        if not isinstance(answer, health_pb2.HealthCheckResponse):
            return Probe(target, Reach.UNREACHABLE, "its health service gave no answer that can be read")
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return Probe(target, Reach.SERVING)
        # A status that is not known here is a number and has no name.
        statuses = health_pb2.HealthCheckResponse.ServingStatus
        status = statuses.Name(answer.status) if answer.status in statuses.values() else answer.status
        return Probe(target, Reach.NOT_SERVING, f"its health service says {status}")

    async def describe(self, service: str) -> Description:
        """As the port says, by its Describe."""
        connection = self._connections.get(service)
        if connection is None:
            return Description(Told.UNKNOWN_ADDRESS, _NO_ADDRESS)
        request = pb.DescribeRequest(service=service).SerializeToString()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S + _WATCHDOG_S):
                raw: object = await connection.line.describe(request, timeout=PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return undescribed(error)
        except TimeoutError:
            return Description(Told.NO_ANSWER, "no answer in time")
        if not isinstance(raw, bytes):
            return broken_description("the call ended OK without an answer")
        return to_description(service, raw)

    async def close(self) -> None:
        """Close every channel; calls still under way end as cancelled."""
        await asyncio.gather(*(streamed.close() for streamed in self._streamed.values()))
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))


async def _sent(line: Line, call: Call, timeout_s: float, trace: str) -> Answer:
    method = line.execute if isinstance(call, ExecuteCall) else line.compensate
    request = to_request(call).SerializeToString()
    metadata = ((_TRACEPARENT, trace),) if trace else None
    try:
        async with asyncio.timeout(timeout_s + _WATCHDOG_S):
            raw: object = await method(request, timeout=timeout_s, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return no_proof(error)
    except TimeoutError:
        return OUT_OF_TIME
    # A call that ends OK without any message yields gRPC's end-of-stream mark in place of bytes.
    if not isinstance(raw, bytes):
        return broken("the call ended OK without an answer")
    return to_answer(call, raw)
