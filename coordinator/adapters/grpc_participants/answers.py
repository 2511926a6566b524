"""Calls as they are sent, and what becomes of what comes back: a malformed answer is an outcome too."""

from typing import Final

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from coordinator.adapters.grpc_participants.words import (
    exceeds_limit,
    fit_code,
    fit_message,
    reason_in,
    reason_of,
)
from coordinator.domain import jsontext
from coordinator.domain.errors import InvalidJson
from coordinator.domain.inputs import OUTPUT_DEPTH_MAX
from coordinator.domain.jsontext import size_bytes
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
from coordinator.ports.participants import Call, CompensateCall, ExecuteCall
from saga.v1 import participant_pb2 as pb

_Response = pb.ExecuteResponse | pb.CompensateResponse
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
_NAMES_BYTES_MAX: Final = 1 << 10
"""Of all in a call but its texts: a key of up to 255 characters, names of up to 100, and numbers."""

OUT_OF_TIME: Final = NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")


def to_request(call: Call) -> pb.ExecuteRequest | pb.CompensateRequest:
    """*call* as it is sent."""
    if isinstance(call, ExecuteCall):
        return _as_execute(call, pb.ExecuteRequest())
    return _as_compensate(call, pb.CompensateRequest())


def add_numbered(request: pb.PerformRequest, call: Call, number: int, timeout_s: float) -> None:
    """Let *request* carry *call* as it is sent on a stream."""
    # All is filled where it is: protobuf copies a message that is put into another.
    numbered = request.calls.add()
    numbered.number = number
    numbered.traceparent = call.trace
    timeout, seconds = numbered.timeout, int(timeout_s)
    timeout.seconds = seconds
    timeout.nanos = int((timeout_s - seconds) * 1e9)
    if isinstance(call, ExecuteCall):
        _as_execute(call, numbered.execute)
    else:
        _as_compensate(call, numbered.compensate)


def bytes_at_most(call: Call) -> int:
    """What *call* takes on a stream, or a little more: to ask protobuf would be to write it twice."""
    size = _NAMES_BYTES_MAX + size_bytes(call.input)
    if isinstance(call, CompensateCall) and call.receipt is not None:
        size += size_bytes(call.receipt)
    return size


def _as_execute(call: ExecuteCall, request: pb.ExecuteRequest) -> pb.ExecuteRequest:
    request.idempotency_key = call.key
    request.saga_id = call.saga_id
    request.saga_name = call.saga_name
    request.service = call.service
    request.step = call.step
    request.transaction = call.transaction
    request.attempt = call.attempt
    request.fencing_token = call.token
    request.input_json = call.input
    return request


def _as_compensate(call: CompensateCall, request: pb.CompensateRequest) -> pb.CompensateRequest:
    request.idempotency_key = call.key
    request.saga_id = call.saga_id
    request.saga_name = call.saga_name
    request.service = call.service
    request.step = call.step
    request.compensation = call.compensation or ""
    request.attempt = call.attempt
    request.fencing_token = call.token
    request.input_json = call.input
    if call.receipt is not None:
        request.execute_output_json = call.receipt
    return request


def to_answer(call: Call, raw: bytes) -> Answer:
    """What *raw* answers to *call*."""
    kind = pb.ExecuteResponse if isinstance(call, ExecuteCall) else pb.CompensateResponse
    try:
        response: _Response = kind.FromString(raw)
    except DecodeError:
        return broken("the answer is no message of this protocol")
    return _told(call, response)


def to_numbered_answer(call: Call, numbered: pb.NumberedAnswer) -> Answer:
    """What *numbered* answers to *call*, which was sent on a stream."""
    if isinstance(call, ExecuteCall):
        if numbered.HasField("execute"):
            return _told(call, numbered.execute)
    elif numbered.HasField("compensate"):
        return _told(call, numbered.compensate)
    if numbered.HasField("status"):
        return _of_status(numbered.status)
    return broken("the answer is of another kind than the call")


def _told(call: Call, response: _Response) -> Answer:
    if response.idempotency_key != call.key:
        return broken("the answer echoes another idempotency key")
    match response.WhichOneof("outcome"):
        case "succeeded":
            return _succeeded(response.succeeded.output_json)
        case "refused":
            refused = response.refused
            return Refused(fit_code(refused.code), fit_message(refused.message))
        case "pending":
            pending = response.pending
            return Pending(_seconds(pending, "ask_again_after", pending.ask_again_after))
        case "faulted":
            faulted = response.faulted
            hint_s = _seconds(faulted, "retry_after", faulted.retry_after)
            return Faulted(fit_code(faulted.code), fit_message(faulted.message), hint_s)
        case _:
            return broken("the answer holds no outcome that is known here")


def no_proof(error: grpc.aio.AioRpcError) -> NoProof:
    """What a status says of a call: nothing about its effect, but whether to ask again."""
    if exceeds_limit(error):
        return broken("the answer is larger than SAGA_MESSAGE_BYTES_MAX")
    return _proof(error.code().name, reason_of(error), error.details() or "")


def unanswered(code: str, message: str) -> NoProof:
    """A call that something else kept from being answered: it may be asked again."""
    return NoProof(Unproved.TRANSIENT, code, message)


def _of_status(status: status_pb2.Status) -> NoProof:
    code = _CODES.get(status.code)
    if code is None:
        return broken("the answer holds no status that is known here")
    return _proof(code, reason_in(status), status.message)


def _proof(status: str, reason: str | None, message: str) -> NoProof:
    # The words of a status are nobody's that we know: a stack may put a payload into them. Those beside a
    # reason of our protocol are the participant's, as in a refusal.
    return NoProof(status_kind(status, reason), reason or status, fit_message(message) if reason else "")


def broken(sentence: str) -> NoProof:
    """An answer that breaks the contract, and proves nothing."""
    return NoProof(Unproved.BROKEN_CONTRACT, "BROKEN_CONTRACT", sentence)


def _succeeded(output_json: str) -> Answer:
    if not output_json:
        return Succeeded("null")
    try:
        return Succeeded(jsontext.canonical_form(output_json, depth_max=OUTPUT_DEPTH_MAX))
    except InvalidJson as error:
        # Not where: the path is made of the output's own keys, which may be secret.
        return broken(f"the output is not the JSON that is taken here: it {error.violation.sentence}")


def _seconds(message: pb.Pending | pb.Faulted, field: str, duration: Duration) -> float | None:
    if not message.HasField(field):  # type: ignore[arg-type]
        return None
    return duration.seconds + duration.nanos / 1e9
