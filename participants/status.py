"""Errors meet gRPC here, in one table, with google.rpc details that a machine can read.

The details are built by hand from googleapis-common-protos: a participant does not need grpcio-status.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

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
Answered = TypeVar("Answered")
log = logging.getLogger(__name__)


async def answered(
    context: grpc.aio.ServicerContext[Any, Any], work: Awaitable[Answered], **about: object
) -> Answered:
    """Await *work*; an error of it ends the call with its status and is logged with *about*.

    Nothing but our own sentences leaves: an unexpected error is named by its type alone.
    """
    try:
        return await work
    except StatusInjected as error:
        await context.abort(StatusCode[error.status], str(error))
    except BusinessError as error:
        log.error("the business code failed", extra={**about, "error": str(error)})
        await _abort(context, error, "The service failed at this call; nothing of it was kept.")
    except Rejected as error:
        if not isinstance(error, InvalidRequest):
            log.info("a call was rejected", extra={**about, "reason": error.reason})
        await _abort(context, error, str(error))
    except Unavailable as error:
        await _abort(context, error, str(error))
    except Exception as error:
        log.error("a call failed", extra={**about, "error": type(error).__name__})
        await context.abort(StatusCode.INTERNAL, "The service failed at this call.")
    raise AssertionError("abort does not return")


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any], error: ParticipantError, sentence: str
) -> NoReturn:
    code = next(code for kind, code in STATUS if isinstance(error, kind))
    sentence = sentence[:SENTENCE_LENGTH_MAX]
    status = status_pb2.Status(code=code.value[0], message=sentence)
    for detail in _details(error):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    await context.abort(code, sentence, ((DETAILS_KEY, status.SerializeToString()),))


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
