"""The one table from our errors to gRPC statuses, and what a status tells its reader.

A status shows the text of an error that we raised on purpose, bounded, and nothing of any other.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import Status, StatusCode
from grpc_status import rpc_status

from coordinator.domain.errors import (
    ActionIdTaken,
    CallerError,
    Conflict,
    DefinitionInUse,
    DefinitionMoved,
    DefinitionNotFound,
    Draining,
    IllegalTransition,
    InvalidDefinition,
    InvalidJson,
    InvalidRequest,
    JournalConflict,
    JournalCorrupt,
    JournalDamaged,
    JournalNotWhole,
    JournalUnavailable,
    Overloaded,
    RequestIdTaken,
    SagaEnded,
    SagaError,
    SagaMoved,
    SagaNotFound,
    Unavailable,
    VersionTaken,
    Violation,
    WaitTimedOut,
)

DOMAIN: Final = "saga.v1"

# A status travels in trailing metadata, which a peer may limit to 8 KiB in all: the message, and in base64
# the message again and the violations. Each sentence of ours is whole in the message and among few
# violations; among many, a long one is cut.
VIOLATIONS_SHOWN_MAX: Final = 16
VIOLATIONS_CHARS_MAX: Final = 3900
PATH_CHARS_MAX: Final = 80
MESSAGE_CHARS_MAX: Final = 1000
_VIOLATIONS_IN_MESSAGE_MAX: Final = 3


class NotReady(Unavailable):
    """The coordinator has not yet taken up the sagas of its journal."""


class FrontDoorClosed(Unavailable):
    """A front door leads to a saga that cannot be started: the operator's mistake, not the caller's."""


class Row(NamedTuple):
    """What an error is on the wire. `sentence` replaces a text that is meant for the operator."""

    error: type[SagaError]
    code: StatusCode
    reason: str
    sentence: str | None = None


STATUS: Final = (  # most specific first, the first match wins
    Row(SagaNotFound, StatusCode.NOT_FOUND, "SAGA_NOT_FOUND"),
    Row(DefinitionNotFound, StatusCode.NOT_FOUND, "DEFINITION_NOT_FOUND"),
    Row(RequestIdTaken, StatusCode.ALREADY_EXISTS, "REQUEST_ID_TAKEN"),
    Row(VersionTaken, StatusCode.ALREADY_EXISTS, "DEFINITION_VERSION_TAKEN"),
    Row(ActionIdTaken, StatusCode.ALREADY_EXISTS, "ACTION_ID_TAKEN"),
    Row(InvalidRequest, StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    Row(InvalidJson, StatusCode.INVALID_ARGUMENT, "INVALID_JSON"),
    Row(InvalidDefinition, StatusCode.INVALID_ARGUMENT, "INVALID_DEFINITION"),
    Row(CallerError, StatusCode.INVALID_ARGUMENT, "CALLER_ERROR"),
    Row(SagaEnded, StatusCode.FAILED_PRECONDITION, "SAGA_ENDED"),
    Row(DefinitionInUse, StatusCode.FAILED_PRECONDITION, "DEFINITION_IN_USE"),
    Row(IllegalTransition, StatusCode.FAILED_PRECONDITION, "ACTION_NOT_POSSIBLE"),
    Row(WaitTimedOut, StatusCode.DEADLINE_EXCEEDED, "SAGA_UNDECIDED"),
    Row(Overloaded, StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    Row(Draining, StatusCode.UNAVAILABLE, "DRAINING"),
    Row(NotReady, StatusCode.UNAVAILABLE, "NOT_READY"),
    Row(FrontDoorClosed, StatusCode.UNAVAILABLE, "FRONT_DOOR_CLOSED"),
    Row(JournalNotWhole, StatusCode.UNAVAILABLE, "JOURNAL_NOT_WHOLE"),
    Row(
        JournalUnavailable,
        StatusCode.UNAVAILABLE,
        "JOURNAL_UNAVAILABLE",
        "the journal failed; what was asked may or may not be durable: ask again, and a start under "
        "the same request id",
    ),
    Row(Unavailable, StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    Row(SagaMoved, StatusCode.ABORTED, "SAGA_MOVED"),
    Row(DefinitionMoved, StatusCode.ABORTED, "DEFINITION_MOVED"),
    Row(JournalConflict, StatusCode.ABORTED, "JOURNAL_CONFLICT"),
    Row(Conflict, StatusCode.ABORTED, "CONFLICT"),
    Row(JournalCorrupt, StatusCode.INTERNAL, "JOURNAL_CORRUPT"),
    Row(
        JournalDamaged,
        StatusCode.INTERNAL,
        "JOURNAL_DAMAGED",
        "the journal is damaged where this stands, and nothing was changed: asking again does not help until "
        "a copy of it is put back",
    ),
    Row(SagaError, StatusCode.INTERNAL, "INTERNAL"),
)

INTERNAL: Final = Row(
    SagaError,
    StatusCode.INTERNAL,
    "INTERNAL",
    "the coordinator failed on this call by a fault of its own, which its log tells; nothing is said "
    "about whether the call had an effect",
)


def row_of(error: Exception) -> Row:
    """The row of *error*; `INTERNAL` for one that nobody raised on purpose."""
    return next((row for row in STATUS if isinstance(error, row.error)), INTERNAL)


def to_status(error: Exception) -> Status:
    """What a call ends with that fails with *error*."""
    return rpc_status.to_status(to_proto(error))


def to_proto(error: Exception) -> status_pb2.Status:
    """What *error* is on the wire: code, sentence, ErrorInfo and field violations."""
    row = row_of(error)
    details: list[any_pb2.Any] = [_packed(_error_info(row, error))]
    violations = _violations(error)
    if violations:
        details.append(_packed(_bad_request(violations)))
    return status_pb2.Status(
        code=row.code.value[0],
        message=_bounded(row.sentence or _text(error, violations), MESSAGE_CHARS_MAX),
        details=details,
    )


def proto_of(status: Status) -> status_pb2.Status:
    """What `to_status` made a status of."""
    ((_, packed),) = status.trailing_metadata
    return status_pb2.Status.FromString(packed)


def _error_info(row: Row, error: Exception) -> error_details_pb2.ErrorInfo:
    metadata: dict[str, str] = {}
    match error:
        case WaitTimedOut(saga_id=saga_id, status=status):
            metadata = {"saga_id": saga_id, "status": str(status)}
        case SagaMoved(saga_id=saga_id, status=status, seq=seq):
            metadata = {"saga_id": saga_id, "status": str(status), "seq": str(seq)}
        case SagaNotFound(saga_id=saga_id) | JournalCorrupt(saga_id=saga_id) | ActionIdTaken(saga_id=saga_id):
            metadata = {"saga_id": saga_id}
        case RequestIdTaken(request_id=request_id):
            metadata = {"request_id": request_id}
        case VersionTaken(name=name, version=version, digest=digest):
            metadata = {"saga_name": name, "definition_version": version, "definition_digest": digest}
        case DefinitionInUse(name=name, version=version, sagas=sagas):
            metadata = {
                "saga_name": name,
                "definition_version": version or "",
                "open_sagas": str(sagas),
            }
    return error_details_pb2.ErrorInfo(reason=row.reason, domain=DOMAIN, metadata=metadata)


def _violations(error: Exception) -> Sequence[Violation]:
    match error:
        case InvalidRequest(violations=violations) | InvalidDefinition(violations=violations):
            return violations
        case InvalidJson(violation=violation):
            return [violation]
        case _:
            return []


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    shown = violations[:VIOLATIONS_SHOWN_MAX]
    chars_max = VIOLATIONS_CHARS_MAX // len(shown)
    return error_details_pb2.BadRequest(field_violations=[_field(one, chars_max) for one in shown])


def _field(violation: Violation, chars_max: int) -> error_details_pb2.BadRequest.FieldViolation:
    path = _bounded(violation.path, PATH_CHARS_MAX)
    description = _bounded(_description(violation), chars_max - len(path))
    return error_details_pb2.BadRequest.FieldViolation(field=path, description=description)


def _text(error: Exception, violations: Sequence[Violation]) -> str:
    if not violations:
        return str(error)
    shown = [
        f"{_bounded(violation.path, PATH_CHARS_MAX)}: {_description(violation)}"
        for violation in violations[:_VIOLATIONS_IN_MESSAGE_MAX]
    ]
    # Rather fewer, and these whole.
    while len(text := _joined(shown, len(violations))) > MESSAGE_CHARS_MAX and len(shown) > 1:
        shown.pop()
    return text


def _joined(shown: Sequence[str], count: int) -> str:
    rest = count - len(shown)
    return "; ".join(shown) + (f"; and {rest} more" if rest else "")


def _description(violation: Violation) -> str:
    """What is wrong; of a text that was read, with the place in it that its author looks for."""
    place = f"line {violation.line}, column {violation.column}: " if violation.line else ""
    return place + violation.sentence


def _bounded(text: str, chars_max: int) -> str:
    """Both ends of *text*: a path's end says which field, a sentence's start says what is wrong."""
    if len(text) <= chars_max:
        return text
    head = chars_max * 2 // 3
    return f"{text[:head]}…{text[head + 1 - chars_max :]}"


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
