"""Participants over gRPC. Whatever a participant or the network does becomes an answer, never an exception.

gRPC's own retries are off, so that attempts can be counted. Answers arrive as bytes and are parsed
here, because a malformed one is an outcome of the saga and not an error of a library.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson
from coordinator.domain.inputs import OUTPUT_DEPTH_MAX
from coordinator.domain.outcomes import (
    Answer,
    Faulted,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
    status_kind,
)
from coordinator.ports.participants import Call, ExecuteCall, Probe, Reach
from saga.v1 import participant_pb2 as pb

PROBE_TIMEOUT_S: Final = 2.0
_METHODS: Final = "/saga.v1.ParticipantService/"
_ERROR_DOMAIN: Final = "saga.v1"
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_TRACEPARENT: Final = "traceparent"
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_MESSAGE_CHARS_MAX: Final = 500
# gRPC enforces the deadline; this is for a call that it would never end, such as one stuck in a resolver.
_WATCHDOG_S: Final = 1.0

_Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
_Response = pb.ExecuteResponse | pb.CompensateResponse


class GrpcParticipants:
    """One channel for each service that the settings name."""

    def __init__(self, services: Mapping[str, str], *, message_bytes_max: int) -> None:
        options = [
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", message_bytes_max),
            ("grpc.max_send_message_length", -1),
            # A participant that comes back is found again soon; gRPC's default lets it wait two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # Servers tolerate a ping every five minutes by default: more often and they hang up.
            ("grpc.keepalive_time_ms", 300_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        ]
        self._targets = dict(services)
        self._channels = {
            service: grpc.aio.insecure_channel(target, options=options)
            for service, target in services.items()
        }
        self._execute = self._methods("Execute")
        self._compensate = self._methods("Compensate")

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        """Send *call* once, and say what came of it."""
        methods = self._execute if isinstance(call, ExecuteCall) else self._compensate
        if call.service not in methods:
            sentence = f"no address is set for {call.service} (SAGA_SERVICES)"
            return NoProof(Unproved.TRANSIENT, "UNAVAILABLE", sentence)
        request = _request(call).SerializeToString()
        metadata = ((_TRACEPARENT, call.trace),) if call.trace else None
        try:
            async with asyncio.timeout(timeout_s + _WATCHDOG_S):
                raw: object = await methods[call.service](request, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return _no_proof(error)
        except TimeoutError:
            return NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")
        # A call that ends OK without any message yields gRPC's end-of-stream mark in place of bytes.
        if not isinstance(raw, bytes):
            return _broken("the call ended OK without an answer")
        return _answer(call, raw)

    async def probe(self, service: str) -> Probe:
        """As the port says, by the standard health check."""
        channel = self._channels.get(service)
        if channel is None:
            return Probe("", Reach.UNKNOWN_ADDRESS, "no address is set for it (SAGA_SERVICES)")
        target = self._targets[service]
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know the blocking channel only
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S + _WATCHDOG_S):
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return Probe(target, Reach.SERVING)
            return Probe(target, Reach.UNREACHABLE, _message(error.details() or error.code().name))
        except TimeoutError:
            return Probe(target, Reach.UNREACHABLE, "no answer in time")
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return Probe(target, Reach.SERVING)
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return Probe(target, Reach.NOT_SERVING, f"its health service says {status}")

    def _methods(self, name: str) -> dict[str, _Method]:
        return {service: channel.unary_unary(_METHODS + name) for service, channel in self._channels.items()}

    async def close(self) -> None:
        """Close every channel; calls still under way end as cancelled."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))


def _request(call: Call) -> pb.ExecuteRequest | pb.CompensateRequest:
    if isinstance(call, ExecuteCall):
        return pb.ExecuteRequest(
            idempotency_key=call.key,
            saga_id=call.saga_id,
            saga_name=call.saga_name,
            service=call.service,
            step=call.step,
            transaction=call.transaction,
            attempt=call.attempt,
            fencing_token=call.token,
            input_json=call.input,
        )
    return pb.CompensateRequest(
        idempotency_key=call.key,
        saga_id=call.saga_id,
        saga_name=call.saga_name,
        service=call.service,
        step=call.step,
        compensation=call.compensation or "",
        attempt=call.attempt,
        fencing_token=call.token,
        input_json=call.input,
        execute_output_json=call.receipt,
    )


def _answer(call: Call, raw: bytes) -> Answer:
    kind = pb.ExecuteResponse if isinstance(call, ExecuteCall) else pb.CompensateResponse
    try:
        response: _Response = kind.FromString(raw)
    except DecodeError:
        return _broken("the answer is no message of this protocol")
    if response.idempotency_key != call.key:
        return _broken("the answer echoes another idempotency key")
    match response.WhichOneof("outcome"):
        case "succeeded":
            return _succeeded(response.succeeded.output_json)
        case "refused":
            refused = response.refused
            return Refused(_code(refused.code), _message(refused.message))
        case "pending":
            pending = response.pending
            return Pending(_seconds(pending, "ask_again_after", pending.ask_again_after))
        case "faulted":
            faulted = response.faulted
            hint_s = _seconds(faulted, "retry_after", faulted.retry_after)
            return Faulted(_code(faulted.code), _message(faulted.message), hint_s)
        case _:
            return _broken("the answer holds no outcome that is known here")


def _succeeded(output_json: str) -> Answer:
    if not output_json:
        return Succeeded("null")
    try:
        output = jsontext.loads(output_json, depth_max=OUTPUT_DEPTH_MAX)
        return Succeeded(jsontext.canonical(output))
    except InvalidJson as error:
        # Not where: the path is made of the output's own keys, which may be secret.
        return _broken(f"the output is not the JSON that is taken here: it {error.violation.sentence}")


def _seconds(message: pb.Pending | pb.Faulted, field: str, duration: Duration) -> float | None:
    if not message.HasField(field):  # type: ignore[arg-type]
        return None
    return duration.seconds + duration.nanos / 1e9


def _no_proof(error: grpc.aio.AioRpcError) -> NoProof:
    status, details = error.code().name, error.details() or ""
    # gRPC gives an answer beyond the receive limit the status of an overload, but it will not pass.
    if status == "RESOURCE_EXHAUSTED" and "Received message larger than max" in details:
        return _broken("the answer is larger than SAGA_MESSAGE_BYTES_MAX")
    reason = _reason(error)
    # The words of a status are nobody's that we know: a stack may put a payload into them. Those beside a
    # reason of our protocol are the participant's, as in a refusal.
    return NoProof(status_kind(status, reason), reason or status, _message(details) if reason else "")


def _reason(error: grpc.aio.AioRpcError) -> str | None:
    """The ErrorInfo reason of our protocol, if the status carries one."""
    for key, value in error.trailing_metadata() or ():
        if key != _STATUS_DETAILS or not isinstance(value, bytes):
            continue
        try:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == _ERROR_DOMAIN:
                    return _code(info.reason)
        except DecodeError:
            return None
    return None


def _broken(sentence: str) -> NoProof:
    return NoProof(Unproved.BROKEN_CONTRACT, "BROKEN_CONTRACT", sentence)


def _code(code: str) -> str:
    return code if _CODE.fullmatch(code) else "UNSPECIFIED"


def _message(message: str) -> str:
    """What a participant says, fit for a journal, a terminal and a page."""
    printable = "".join(c if c.isprintable() else " " for c in message[:_MESSAGE_CHARS_MAX])
    return printable.strip()
