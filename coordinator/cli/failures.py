"""Which exit code an error of the client ends a command with. Loaded only when there is one to end."""

from typing import Final

from coordinator.cli.exits import Exit
from coordinator.client.errors import (
    Broken,
    ClientError,
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    Refused,
    TimedOut,
    Unavailable,
    Undecided,
)

# Most specific first, first match wins.
_OF_ERROR: Final[tuple[tuple[type[ClientError], Exit], ...]] = (
    (InvalidRequest, Exit.USAGE),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.REFUSED),
    (Refused, Exit.REFUSED),
    (Undecided, Exit.TIMEOUT),
    (TimedOut, Exit.TIMEOUT),
    (Overloaded, Exit.UNAVAILABLE),
    (Unavailable, Exit.UNAVAILABLE),
    (Broken, Exit.ERROR),
    (ClientError, Exit.ERROR),
)


def exit_of(error: ClientError) -> Exit:
    """The exit code of a command that a client's error ended."""
    return next(code for kind, code in _OF_ERROR if isinstance(error, kind))
