"""The words of a participant, held to what a journal, a terminal and a page can take."""

import re
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_ERROR_DOMAIN: Final = "saga.v1"
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_MESSAGE_CHARS_MAX: Final = 500


def reason_of(error: grpc.aio.AioRpcError) -> str | None:
    """The ErrorInfo reason of our protocol, if the status carries one."""
    for key, value in error.trailing_metadata() or ():
        if key != _STATUS_DETAILS or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            return None
        if (reason := reason_in(status)) is not None:
            return reason
    return None


def reason_in(status: status_pb2.Status) -> str | None:
    """The ErrorInfo reason of our protocol, if *status* carries one."""
    try:
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == _ERROR_DOMAIN:
                return fit_code(info.reason)
    except DecodeError:
        return None
    return None


def exceeds_limit(error: grpc.aio.AioRpcError) -> bool:
    """Whether the answer was larger than the channel takes.

    gRPC gives it the status of an overload, but it will not pass.
    """
    is_overload = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return is_overload and "Received message larger than max" in (error.details() or "")


def is_unexplained(error: grpc.aio.AioRpcError) -> bool:
    """Whether a stream ended while it was written to, before its status was read.

    gRPC gives it a status of its own then, which hides the real one.
    """
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core"


def fit_code(code: str) -> str:
    """*code*, where it has the form of one; UNSPECIFIED in place of any other text."""
    return code if _CODE.fullmatch(code) else "UNSPECIFIED"


def fit_message(message: str) -> str:
    """What a participant says, fit for a journal, a terminal and a page."""
    printable = "".join(c if c.isprintable() else " " for c in message[:_MESSAGE_CHARS_MAX])
    return printable.strip()
