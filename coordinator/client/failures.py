"""From a gRPC status to the error that a caller gets. Of gRPC's own words only what they mean is told.

A status of the coordinator carries ErrorInfo and a sentence of its own. Any other one was made on the
way: by gRPC, by a proxy, or by something at that address that is no coordinator.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from coordinator.client import wire
from coordinator.client.channel import no_target
from coordinator.client.errors import (
    Broken,
    ClientError,
    Closed,
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    Refused,
    TimedOut,
    Unavailable,
    Undecided,
    Violation,
)
from coordinator.client.model import SagaStatus

DOMAIN: Final = "saga.v1"
UNDECIDED: Final = "SAGA_UNDECIDED"
_DETAILS_KEY: Final = "grpc-status-details-bin"
_QUOTED_CHARS_MAX: Final = 1_000
_TOO_LONG_TO_SEND: Final = "SERVER: Sent message larger than max"
_CODE_NAMES: Final[Mapping[int, str]] = {code.value[0]: code.name for code in grpc.StatusCode}

_CLASSES: Final[Mapping[str, type[ClientError]]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": Conflict,
    "ABORTED": Conflict,
    "FAILED_PRECONDITION": Refused,
    "PERMISSION_DENIED": Refused,
    "UNAUTHENTICATED": Refused,
    "DEADLINE_EXCEEDED": TimedOut,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": Unavailable,
    # Nobody here cancelled it, so it broke on the way.
    "CANCELLED": Unavailable,
}

_MAYBE_DONE: Final = frozenset({TimedOut, Unavailable, Broken})

# The coordinator's sentences say what to do wherever that is more than one thing.
_ADVICE: Final[Mapping[str, str]] = {
    "SAGA_NOT_FOUND": "; check the id, or look for the saga in a list",
    "INVALID_REQUEST": "; nothing was written, send it corrected",
    "INVALID_DEFINITION": "; nothing was written, send it corrected",
}
_ADVICE_ON_READS: Final[Mapping[str, str]] = {
    **_ADVICE,
    "INVALID_REQUEST": "; send it corrected",
    "INVALID_DEFINITION": "; send it corrected",
}

# What gRPC's versions say, in small letters, and what that means; {} is the target. The first match wins.
_NOT_REACHED: Final = (
    (
        ("dns resolution failed", "errors resolving", "address lookup failed"),
        "the address {} cannot be resolved: check the name and the port",
    ),
    (
        ("http1.x server", "expected settings frame"),
        "what answers at {} does not speak gRPC: check the port, this is another service's",
    ),
    (
        ("connection refused",),
        "nobody answers at {}: check the address, and that the coordinator runs there",
    ),
    (
        ("no such file",),
        "there is no socket at {}: check the path, and that the coordinator runs there",
    ),
    (
        ("socket closed", "connection reset", "end of file", "broken pipe", "goaway"),
        "the connection to {} was closed before an answer came: ask again, and check the port if it stays so",
    ),
)

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, for the sentences about an answer that did not come."""

    target: str
    method: str
    timeout_s: float
    request: Message
    saga_id: str = ""

    @property
    def named(self) -> str:
        """The id under which it is done once, such as "request_id 'r-1'"; empty where it carries none."""
        return wire.named(self.request)

    @property
    def only_reads(self) -> bool:
        """Whether it changes nothing: then nothing is said about what it wrote."""
        return wire.only_reads(self.request)


@dataclass(slots=True)
class _Told:
    """What the coordinator told beside the status."""

    is_ours: bool = False
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


def to_error(error: grpc.RpcError, asked: Asked) -> ClientError:
    """The error of a call that ended with a status other than OK. Both kinds of call know how it ended."""
    code: grpc.StatusCode | None = error.code()
    details: str = error.details() or ""
    trailing: Iterable[Any] = error.trailing_metadata() or ()
    return failure("UNKNOWN" if code is None else code.name, details, trailing, asked)


def refused(status: status_pb2.Status, asked: Asked) -> ClientError:
    """The error of a call that ended with *status*, which came on a stream."""
    code = _CODE_NAMES.get(status.code, "UNKNOWN")
    return failure(code, status.message, ((_DETAILS_KEY, status.SerializeToString()),), asked)


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    """What a stream ended with, as it is told to each of those who wait for an answer on it."""
    code: grpc.StatusCode = error.code()
    status = _status_in(error.trailing_metadata() or ())
    return status_pb2.Status(code=code.value[0], message=error.details() or "", details=status.details)


def failure(code: str, details: str, trailing: Iterable[Any], asked: Asked) -> ClientError:
    """The error that a status means."""
    if code == "UNKNOWN" and details.startswith("Failed to create channel"):
        return no_target(asked.target)
    told = _told(trailing)
    kind = _CLASSES.get(code, Broken)
    if told.reason == UNDECIDED:
        kind = Undecided
    elif code == "RESOURCE_EXHAUSTED" and not told.is_ours and "larger than max" in details:
        # Either side's limit, and of either side's message: of these only the request was not taken.
        kind = Broken if "CLIENT:" in details or _TOO_LONG_TO_SEND in details else InvalidRequest
    if told.is_ours and details:
        advice = _ADVICE_ON_READS if asked.only_reads else _ADVICE
        sentence = _bounded(details) + advice.get(told.reason, "")
    else:
        sentence = _sentence(kind, code, details, asked)
    if asked.named and kind in _MAYBE_DONE:
        # The client may have made the id up: then its caller has it from nowhere else.
        sentence += f"; under {asked.named} it is done once, however often it is asked for"
    return kind(
        sentence,
        code=code,
        reason=told.reason,
        saga_id=told.metadata.get("saga_id") or asked.saga_id,
        status=_status(told.metadata.get("status")),
        violations=told.violations,
        metadata=told.metadata,
    )


def closed(target: str) -> Closed:
    """The error of a call on a client that was closed before it, or while it was under way."""
    return Closed(
        f"this client of {target} is closed, and a call that was under way has no answer: make another one",
        code="CANCELLED",
    )


def elsewhere(target: str) -> Closed:
    """The error of a call from another event loop than the first one's."""
    return Closed(
        f"this client of {target} belongs to another event loop: make one in each loop, such as in each "
        "asyncio.run",
        code="CANCELLED",
    )


def answered(answer: _Answer | object, asked: Asked) -> _Answer:
    """*answer*, if it is one: in place of one that is missing or unreadable gRPC may return anything."""
    if isinstance(answer, Message):
        return cast(_Answer, answer)
    raise Broken(
        f"what answers at {asked.target} broke the contract: {asked.method} got no message that can be read",
        code="OK",
        saga_id=asked.saga_id,
    )


def _sentence(kind: type[ClientError], code: str, details: str, asked: Asked) -> str:
    """What to say of a status that no coordinator of ours made."""
    if kind is TimedOut:
        doubt = "" if asked.only_reads else ", and whether it had an effect is not known"
        return (
            f"no answer to {asked.method} came from {asked.target} within {asked.timeout_s:g} s{doubt}: "
            "ask again"
        )
    if code == "UNIMPLEMENTED":
        return (
            f"what answers at {asked.target} is no coordinator, or an older one: it does not know "
            f"{asked.method}"
        )
    if code == "UNAVAILABLE":
        heard = details.lower()
        for signs, sentence in _NOT_REACHED:
            if any(sign in heard for sign in signs):
                return sentence.format(asked.target)
        return f"the coordinator at {asked.target} cannot be reached, ask again later: {_bounded(details)}"
    if kind is Unavailable:
        return f"the call to {asked.target} was broken off on the way: ask again"
    if kind is Overloaded:
        return f"the coordinator at {asked.target} has too many calls open: slow down, and ask again"
    if kind is InvalidRequest and code == "RESOURCE_EXHAUSTED":
        written = "" if asked.only_reads else ", and nothing was written"
        return f"the request is larger than {asked.target} takes{written}: {_bounded(details)}"
    if _TOO_LONG_TO_SEND in details:
        return (
            f"the answer to {asked.method} is longer than {asked.target} may send: raise its "
            f"SAGA_MESSAGE_BYTES_MAX: {_bounded(details)}"
        )
    return f"{asked.method} at {asked.target} failed with {code}: {_bounded(details) or 'it says no more'}"


def _told(trailing: Iterable[Any]) -> _Told:
    """Read by hand, since the library that does it is one that clients need not carry."""
    told = _Told()
    try:
        for detail in _status_in(trailing).details:
            info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                told.is_ours = told.is_ours or info.domain == DOMAIN
                told.reason, told.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(request):
                told.violations += [Violation(v.field, v.description) for v in request.field_violations]
    except DecodeError:
        return _Told()
    return told


def _status_in(trailing: Iterable[Any]) -> status_pb2.Status:
    status = status_pb2.Status()
    with suppress(DecodeError):
        for key, value in trailing:
            if key == _DETAILS_KEY and isinstance(value, bytes):
                status.ParseFromString(value)
    return status


def _status(word: str | None) -> SagaStatus | None:
    if word is None:
        return None
    return SagaStatus.__members__.get(word, SagaStatus.UNSPECIFIED)


def _bounded(text: str) -> str:
    """One line, and not a long one: whatever stands at an address may have written it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _QUOTED_CHARS_MAX else f"{line[:_QUOTED_CHARS_MAX]}…"
