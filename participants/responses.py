"""Writes replies into responses, in place: a response may be one of many in a message."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from participants.calls import Faulted, Pending, Refused, Reply, Succeeded
from saga.v1 import participant_pb2 as pb


def fill(response: pb.ExecuteResponse | pb.CompensateResponse, reply: Reply) -> None:
    """Say in *response*, which is empty, what *reply* says."""
    response.idempotency_key = reply.idempotency_key
    match reply.answer:
        case Succeeded(output_json):
            response.succeeded.output_json = output_json
        case Refused(code=code, message=message):
            response.refused.code = code
            response.refused.message = message
        case Pending(ask_again_after_s=wait_s):
            response.pending.SetInParent()
            _set(response.pending.ask_again_after, wait_s)
        case Faulted(code=code, message=message, retry_after_s=wait_s):
            response.faulted.code = code
            response.faulted.message = message
            _set(response.faulted.retry_after, wait_s)
        case None:
            # A broken contract on purpose: only a fault plan answers nothing.
            return


def _set(duration: Duration, seconds: float | None) -> None:
    if seconds is not None:
        duration.FromNanoseconds(round(seconds * 1_000_000_000))
