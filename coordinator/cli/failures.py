"""What an error of the client ends a command with: a code and a sentence. Loaded only when there is one."""

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

# A request's field is known to the person who typed the command as the flag or the argument that fills it.
_TYPED: Final = {
    "action.action_id": "--action-id",
    "action.actor": "--actor",
    "action.expected_seq": "--expect",
    "action.reason": "--reason",
    "action_id": "--action-id",
    "actor": "--actor",
    "after_seq": "--after",
    "definition_json": "FILE",
    "definition_version": "--version",
    "definition_yaml": "FILE",
    "expected_seq": "--expect",
    "filter": "--filter",
    "input_json": "--input",
    "limit": "--limit",
    "name": "NAME",
    "output_json": "--step-output",
    "page_size": "--limit",
    "reason": "--reason",
    "request_id": "--request-id",
    "saga_id": "SAGA",
    "saga_name": "NAME",
    "service": "SERVICE",
    "step": "STEP",
    "timeout_s": "--timeout",
}
_IDS: Final = ("request_id", "action_id")


def exit_of(error: ClientError) -> Exit:
    """The exit code of a command that a client's error ended."""
    return next(code for kind, code in _OF_ERROR if isinstance(error, kind))


def sentence_of(error: ClientError) -> str:
    """What *error* says, in the words of the command line."""
    sentence = str(error)
    for field, what in error.violations:
        sentence = sentence.replace(f"{field}: {what}", f"{_typed(field)}: {what}", 1)
    for field in _IDS:
        sentence = sentence.replace(f"; under {field} '", f"; under {_TYPED[field]} '")
    return sentence


def _typed(field: str) -> str:
    """*field*, or the place in a JSON text that it holds, as it is typed."""
    for name, typed in _TYPED.items():
        if field == name:
            return typed
        if field.startswith((f"{name}.", f"{name}[")):
            return f"{typed} ${field.removeprefix(name)}"
    return field
