"""What a caller gives, looked at before anything is sent: each sort of check once. A refusal names the
field and what was expected, and quotes nothing: it may be a payment's."""

from typing import Final

from coordinator.client.errors import InvalidRequest, Violation

# gRPC counts a deadline in nanoseconds of 64 bits: what lies much further off, it takes for the past.
SECONDS_MAX: Final = 1_000_000_000


def timeout_s(seconds: float) -> float:
    """*seconds*, if a call can be given so long. A NaN is no moment that ever comes.

    Raises:
        InvalidRequest: it cannot.
    """
    if _is_number(seconds) and 0 < seconds <= SECONDS_MAX:
        return seconds
    raise unsendable("timeout_s", f"expected a number of seconds above 0 and at most {SECONDS_MAX}")


def wait_s(seconds: float) -> float:
    """*seconds*, if an answer can be waited for so long; 0 is not at all.

    Raises:
        InvalidRequest: it cannot.
    """
    if _is_number(seconds) and 0 <= seconds <= SECONDS_MAX:
        return seconds
    raise unsendable("wait_s", f"expected a number of seconds from 0 to {SECONDS_MAX}")


def is_a(kind: type, field: str, value: object) -> None:
    """Look at what the types promise, where something would be asked of *value* that no other one has.

    Raises:
        InvalidRequest: it is no *kind*.
    """
    if not isinstance(value, kind):
        raise unsendable(field, f"expected {kind.__name__}, found {type(value).__name__}")


def unsendable(field: str, sentence: str) -> InvalidRequest:
    """The error of a value that is not sent."""
    return InvalidRequest(
        f"{field}: {sentence}; nothing was sent",
        code="INVALID_ARGUMENT",
        violations=[Violation(field, sentence)],
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
