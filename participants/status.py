"""Errors meet gRPC here, in one table, with google.rpc details that a machine can read.

The details are built by hand from googleapis-common-protos: a participant does not need grpcio-status.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from participants.calls import Call
from participants.errors import (
    Barred,
    BusinessError,
    InvalidRequest,
    KeyReused,
    ParticipantError,
    Rejected,
    StaleToken,
    StatusInjected,
    Unavailable,
    UnknownService,
)
from participants.requests import NAME_LENGTH_MAX
from saga.v1 import participant_pb2 as pb

DOMAIN = "saga.v1"
DETAILS_KEY = "grpc-status-details-bin"
# Details travel in the call's trailers, which hold a few kilobytes in all.
VIOLATIONS_MAX = 10
TEXT_LENGTH_MAX = 200
SENTENCE_LENGTH_MAX = 1000
STATUS: tuple[tuple[type[ParticipantError], StatusCode], ...] = (
    (InvalidRequest, StatusCode.INVALID_ARGUMENT),
    (UnknownService, StatusCode.UNIMPLEMENTED),
    (KeyReused, StatusCode.ALREADY_EXISTS),
    (Barred, StatusCode.FAILED_PRECONDITION),
    (StaleToken, StatusCode.ABORTED),
    (Rejected, StatusCode.FAILED_PRECONDITION),
    (Unavailable, StatusCode.UNAVAILABLE),
    (ParticipantError, StatusCode.INTERNAL),
)
CODES = {code.value[0]: code for code in StatusCode}
Answered = TypeVar("Answered")
log = logging.getLogger(__name__)


async def answered(
    context: grpc.aio.ServicerContext[Any, Any], work: Awaitable[Answered], **about: object
) -> Answered:
    """Await *work*; an error of it ends the call with its status and is logged with *about*."""
    try:
        return await work
    except Exception as error:
        status = explain(error, **about)
    trailers = ((DETAILS_KEY, status.SerializeToString()),) if status.details else ()
    await context.abort(CODES[status.code], status.message, trailers)


def explain(error: Exception, **about: object) -> status_pb2.Status:
    """The status of a call that *error* has ended, which is logged with *about*.

    Nothing but our own sentences leaves: an unexpected error is named by its type alone.
    """
    match error:
        case StatusInjected():
            return status_pb2.Status(code=code_of(error).value[0], message=str(error))
        case BusinessError():
            log.error("the business code failed", extra={**about, "error": str(error)})
            return _detailed(error, "The service failed at this call; nothing of it was kept.")
        case Rejected():
            if not isinstance(error, InvalidRequest):
                log.info("a call was rejected", extra={**about, "reason": error.reason})
            return _detailed(error, str(error))
        case Unavailable():
            return _detailed(error, str(error))
        case _:
            log.error("a call failed", extra={**about, "error": type(error).__name__})
            return status_pb2.Status(code=code_of(error).value[0], message="The service failed at this call.")


def about(named: Call | pb.ExecuteRequest | pb.CompensateRequest, trace: str) -> dict[str, str]:
    """What is logged of a call: a stranger may send names of any length."""
    given = {"service": named.service, "saga_id": named.saga_id, "step": named.step}
    told = {name: value[:NAME_LENGTH_MAX] for name, value in given.items()}
    return {**told, "trace": trace} if trace else told


def code_of(error: Exception) -> StatusCode:
    """With which code *error* ends a call."""
    if isinstance(error, StatusInjected):
        return StatusCode[error.status]
    return next((code for kind, code in STATUS if isinstance(error, kind)), StatusCode.INTERNAL)


def _detailed(error: ParticipantError, sentence: str) -> status_pb2.Status:
    status = status_pb2.Status(code=code_of(error).value[0], message=sentence[:SENTENCE_LENGTH_MAX])
    for detail in _details(error):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _details(
    error: ParticipantError,
) -> list[error_details_pb2.ErrorInfo | error_details_pb2.BadRequest]:
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    if not isinstance(error, InvalidRequest):
        return [info]
    violations = [
        error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:TEXT_LENGTH_MAX],
            description=violation.sentence[:TEXT_LENGTH_MAX],
        )
        for violation in error.violations[:VIOLATIONS_MAX]
    ]
    return [info, error_details_pb2.BadRequest(field_violations=violations)]
