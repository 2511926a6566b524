"""What comes to a saga from outside, and what becomes of it: the two halves of a test that plays it again.

Times are seconds since its start. What follows from all that by itself is no part of a course.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from coordinator.domain.events import Event, StepCompensated
from coordinator.domain.saga import Saga
from coordinator.domain.step_status import step_status
from coordinator.domain.summary import error_message

Way: TypeAlias = Literal["do", "undo"]
Said: TypeAlias = Literal[
    "SUCCEEDED",
    "REFUSED",
    "PENDING",
    "FAULTED",
    "UNKNOWN",
    "PERMANENT",
    "BROKEN_CONTRACT",
    "KEY_REUSED",
    "BARRED",
]
"""The four answers of a participant, and what it is where there is none of them: as in `Cause`."""


@dataclass(frozen=True)
class Happening:
    """Something that comes to a saga, so many seconds after its start. What comes at the same time comes at
    once: the saga goes on behind all of it."""

    at_s: float


@dataclass(frozen=True)
class Answered(Happening):
    """A call is over: the one that is under way for doing or undoing *step*."""

    way: Way
    step: str
    said: Said
    output: str = "null"
    """Of a step that was done, JSON."""
    code: str = ""
    message: str = ""
    again_s: float | None = None
    """How long until it is asked again; None where it is not."""


@dataclass(frozen=True)
class Cancelled(Happening):
    """A client cancels it."""

    reason: str = ""


@dataclass(frozen=True)
class Acted(Happening):
    """A person does something to it, or to one of its steps."""

    verb: str
    step: str | None = None
    output: str | None = None
    """Of a step that is vouched for, JSON."""
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Stopped(Happening):
    """Its coordinator stops: it begins nothing more, and takes the answers that still come."""


@dataclass(frozen=True)
class Started(Happening):
    """A coordinator starts in the place of the one before; calls that are still under way are lost."""


@dataclass(frozen=True)
class End:
    """What became of a saga."""

    status: str
    steps: dict[str, str]
    """The status of each."""
    undone: list[str] = field(default_factory=list)
    """The steps whose undo succeeded, in that order."""
    error_message: str = ""
    flags: list[str] = field(default_factory=list)
    forced: bool = False
    overdue: bool = False
    output: str | None = None
    """What its definition shapes, JSON; None also where the definition calls something sensitive."""


def end_of(saga: Saga, events: Sequence[Event]) -> End:
    """What became of *saga*, whose history is *events*."""
    return End(
        status=saga.status.value,
        steps={step.name: step_status(step).value for step in saga.steps},
        undone=[event.step for event in events if isinstance(event, StepCompensated)],
        error_message=error_message(saga),
        flags=list(saga.flags),
        forced=saga.forced,
        overdue=saga.is_overdue,
        # What is left of a saga's data tells nothing of an output that the whole of it has made.
        output=None if saga.definition.sensitive else saga.output,
    )
