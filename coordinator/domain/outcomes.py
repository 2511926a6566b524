"""The one table: what an answer, or the lack of one, means for a saga going forward or undoing.

An answer that is not one of the participant's four outcomes proves nothing: the effect may exist.
"""

from enum import Enum, auto
from typing import Final

from coordinator.domain.events import Cause
from coordinator.domain.values import frozen


@frozen
class Succeeded:
    """The effect stands, or is undone. `output` is canonical JSON text."""

    output: str


@frozen
class Refused:
    """The business says no, and nothing was applied."""

    code: str
    message: str


@frozen
class Pending:
    """Taken on, not done. `ask_again_after_s` is None where the participant leaves it to us."""

    ask_again_after_s: float | None


@frozen
class Faulted:
    """The participant could not now; it may name a delay."""

    code: str
    message: str
    retry_after_s: float | None


class Unproved(Enum):
    """The ways in which a call ends without one of the four outcomes."""

    TRANSIENT = auto()
    PERMANENT = auto()
    BROKEN_CONTRACT = auto()
    KEY_REUSED = auto()
    BARRED = auto()
    STALE_TOKEN = auto()


@frozen
class NoProof:
    """A gRPC status, no answer, or a broken one. `code` is the status or reason, for people."""

    kind: Unproved
    code: str
    message: str


Answer = Succeeded | Refused | Pending | Faulted | NoProof


class Meaning(Enum):
    """What the saga does about an answer."""

    SETTLED = auto()
    REFUSED = auto()
    ASK_AGAIN = auto()
    RETRY = auto()
    GIVE_UP = auto()
    STOP_DRIVING = auto()


class Direction(Enum):
    """Which of a step's two transactions a call is about."""

    FORWARD = auto()
    UNDO = auto()


_Kind = type[Succeeded | Refused | Pending | Faulted] | Unproved

_MEANINGS: Final[dict[_Kind, tuple[Meaning, Meaning]]] = {
    #                       forward, before pivot    undo, and forward past the pivot
    Succeeded: (Meaning.SETTLED, Meaning.SETTLED),
    Refused: (Meaning.REFUSED, Meaning.REFUSED),
    Pending: (Meaning.ASK_AGAIN, Meaning.ASK_AGAIN),
    Faulted: (Meaning.RETRY, Meaning.RETRY),
    Unproved.TRANSIENT: (Meaning.RETRY, Meaning.RETRY),
    # A credential rotated wrongly must not make a thousand dead letters: where nothing else helps, every
    # status is retried.
    Unproved.PERMANENT: (Meaning.GIVE_UP, Meaning.RETRY),
    Unproved.BROKEN_CONTRACT: (Meaning.GIVE_UP, Meaning.RETRY),
    Unproved.KEY_REUSED: (Meaning.GIVE_UP, Meaning.RETRY),
    Unproved.BARRED: (Meaning.GIVE_UP, Meaning.RETRY),
    # An older owner has no say: this is no outcome of the step.
    Unproved.STALE_TOKEN: (Meaning.STOP_DRIVING, Meaning.STOP_DRIVING),
}

_CAUSES: Final = {
    Unproved.TRANSIENT: Cause.UNKNOWN,
    Unproved.PERMANENT: Cause.PERMANENT,
    Unproved.BROKEN_CONTRACT: Cause.BROKEN_CONTRACT,
    Unproved.KEY_REUSED: Cause.KEY_REUSED,
    Unproved.BARRED: Cause.BARRED,
}

_PERMANENT_STATUSES: Final = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "DATA_LOSS",
    }
)


def meaning(answer: Answer, direction: Direction, *, decided: bool = False) -> Meaning:
    """What *answer* means for a call in *direction*; *decided*: the saga goes forward past its pivot."""
    kind = answer.kind if isinstance(answer, NoProof) else type(answer)
    turning_back_helps, lasting = _MEANINGS[kind]
    return turning_back_helps if direction is Direction.FORWARD and not decided else lasting


def cause(answer: Faulted | NoProof) -> Cause:
    """Why the attempt failed, in the journal's words."""
    return _CAUSES[answer.kind] if isinstance(answer, NoProof) else Cause.FAULTED


def status_kind(status: str, reason: str | None) -> Unproved:
    """What a gRPC *status* name, with the ErrorInfo *reason* of our protocol if any, proves: nothing,
    but it says whether asking again can help. A status we do not know may pass."""
    match reason:
        case "KEY_REUSED":
            return Unproved.KEY_REUSED
        case "BARRED":
            return Unproved.BARRED
        case "STALE_TOKEN":
            return Unproved.STALE_TOKEN
    return Unproved.PERMANENT if status in _PERMANENT_STATUSES else Unproved.TRANSIENT
