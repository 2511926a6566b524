"""What can be wrong, grouped by what the caller can do about it; servicer.py gives each its status.

A sentence here may reach a caller, a log or a terminal: it names keys and fields, never their payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

VIOLATIONS_TOLD = 5


class ParticipantError(Exception):
    """Base of every error we raise on purpose.  `reason` is its name in ErrorInfo."""

    reason = "INTERNAL"


class CannotStart(ParticipantError):
    """The service cannot be opened or served; its sentence is for whoever started it."""


class Unavailable(ParticipantError):
    """The file could not be written, or the service is closing; the same call may succeed later."""

    reason = "UNAVAILABLE"


class BusinessError(ParticipantError):
    """The business code raised what it should not: nothing was kept, and nothing is told of it."""

    reason = "BUSINESS_ERROR"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request or a fault plan: where, and a sentence."""

    field: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.field}: {self.sentence}"


class Rejected(ParticipantError):
    """The call misuses the protocol: it is no outcome of the step, and sending it again cannot help."""

    reason = "REJECTED"


class InvalidRequest(Rejected):
    """The request cannot be understood; nothing was written."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        told = "; ".join(str(violation) for violation in violations[:VIOLATIONS_TOLD])
        rest = len(violations) - VIOLATIONS_TOLD
        super().__init__(told if rest <= 0 else f"{told}; and {rest} more")


class UnknownService(Rejected):
    """The service that is meant does not live here."""

    reason = "UNKNOWN_SERVICE"


class KeyReused(Rejected):
    """The key, or the step, is known with other content."""

    reason = "KEY_REUSED"


class Barred(Rejected):
    """The Execute came after its compensation."""

    reason = "BARRED"


class StaleToken(Rejected):
    """Another coordinator run has taken the saga over."""

    reason = "STALE_TOKEN"


class StatusInjected(ParticipantError):
    """A fault plan asked for this gRPC status in place of an answer."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the fault plan injected {status}")
        self.status = status


class StreamBroken(StatusInjected):
    """A fault plan asked for the end of the stream on which the call came, whatever is unanswered on it."""
