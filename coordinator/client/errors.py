"""Every error a client raises, grouped by what its caller can do about it. The text is one sentence for a
person: what happened, and what to do."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coordinator.client.model import SagaStatus


class Violation(NamedTuple):
    """One thing that is wrong with a request: the field, and what was expected of it."""

    field: str
    sentence: str


class ClientError(Exception):
    """Base of all of them. What is not known is empty, or None."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        saga_id: str = "",
        status: SagaStatus | None = None,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        """The gRPC status, such as "NOT_FOUND"."""
        self.reason = reason
        """The coordinator's reason (google.rpc.ErrorInfo), such as "SAGA_NOT_FOUND"."""
        self.saga_id = saga_id
        self.status = status
        """Where the saga stood."""
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        """What else ErrorInfo carried."""


class InvalidRequest(ClientError):
    """The request is wrong, and sending it again cannot help; `violations` names each field."""


class NotFound(ClientError):
    """There is no such saga or definition."""


class Conflict(ClientError):
    """The id belongs to other content, or the saga has moved: look again, then decide again."""


class Refused(ClientError):
    """It cannot be done to a saga that stands as it does, or not by this caller."""


class Undecided(ClientError):
    """The saga goes on, or waits for a person: ask again with the same call to join it."""


class TimedOut(ClientError):
    """No answer came within the caller's time; whether a call that writes had an effect is not known."""


class Overloaded(ClientError):
    """A limit of the coordinator is reached and nothing was written: slow down, and ask again."""


class Unavailable(ClientError):
    """The coordinator could not be reached, or says that it cannot answer now; ask again later."""


class Broken(ClientError):
    """The coordinator, or what answers at its address, failed in a way that asking again hardly mends."""


class Closed(ClientError):
    """This client was closed, before the call or while it was under way; make another."""
