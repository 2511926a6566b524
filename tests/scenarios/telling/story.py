"""A story: one saga, what its participants do, what else happens, and what must come of it.

stories/README.md describes how one is written down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from coordinator.domain.definition import SagaDefinition
from tests.scenarios.telling.timeline import Timeline, Way

AT_REST: Final = "at rest"
CANCEL: Final = "cancel"
DIES: Final = "dies"


@dataclass(frozen=True, slots=True)
class Planned:
    """What a participant does when it is asked: once, unless it is what it does ever after."""

    what: str
    """The first words: "succeeded", "status", …"""
    code: str = ""
    output: str | None = None
    takes_s: float = 0.0
    """After how long its effect is there, and its answer given."""
    hint_s: float | None = None
    effect: bool = False
    """Whether its effect is there, of those answers that prove nothing."""
    ever_after: bool = False
    dies_for_s: float | None = None
    """The coordinator dies for so long when the effect is there, and hears no answer."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What somebody else does as soon as the timeline has a certain line, or the saga is at rest."""

    after: str
    """A line of the timeline; `AT_REST` for when no automatic work is left."""
    what: str
    """`CANCEL`, `DIES`, or a verb of an operator."""
    reason: str = ""
    step: str | None = None
    output: str | None = None
    refused: str = ""
    """What its author is told where it cannot be."""
    away_s: float = 0.0
    """How long nobody drives the saga after the coordinator died."""


@dataclass(frozen=True, slots=True)
class AfterCrash:
    """What comes of it if the coordinator dies right after a certain write, where that is something else."""

    at: str
    """The last line of that write."""
    rest: Timeline
    """What comes behind it."""
    error: str | None = None
    """None: that of the story."""


@dataclass(frozen=True)
class Story:
    """One story, as its file tells it."""

    name: str
    title: str
    definition: SagaDefinition
    input: dict[str, Any]
    given: Mapping[tuple[Way, str], Sequence[Planned]]
    meanwhile: Sequence[Happening]
    timeline: Timeline
    ends: str
    """The status; whether it was forced, is overdue, or set aside; and of a dead letter which step failed
    for good, and why."""
    error: str
    output: str | None
    flags: Sequence[str]
    stands: frozenset[str]
    """The steps whose effect is there in the end."""
    sent: Sequence[frozenset[str]] | None
    """The calls, in order; those of one set in any. None where the story does not say."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """What calls carry, by "do a" or "undo a"."""
    after_crash: Sequence[AfterCrash] = ()
