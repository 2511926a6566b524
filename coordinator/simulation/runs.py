"""One run of an exploration: what goes otherwise than well in it, in words, and as a rehearsal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.events import Verb
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import Direction
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.simulation.answers import Way, well
from coordinator.simulation.boundaries import Boundary, Kill, Passed, Unsynced
from coordinator.simulation.made_up import Data
from coordinator.simulation.rehearsal import Act, Rehearsal, Rehearsed
from coordinator.simulation.world import Reply

LONGEST_DRAW: Final = 1 - 2.0**-53
"""Of the draws for a wait, that which makes it as long as it may be."""
REPEATED: Final = 6
"""Calls for one transaction, at most, that a crash is tried in the middle of: more of them are alike."""


@dataclass(frozen=True)
class Run:
    """A saga of *definition* that holds *data*, and what becomes of it."""

    definition: SagaDefinition
    data: Data
    ways: tuple[tuple[StepName, Direction, Way], ...] = ()
    cancel_at: int | None = None
    """It is cancelled once it has so many records."""
    kills: tuple[tuple[int, Kill], ...] = ()
    away_s: float = 0.0
    """How long no coordinator is up after each kill."""
    words: tuple[str, ...] = ()
    """What does not go well, in its order."""
    _replies: dict[tuple[StepName, Direction], Way] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        self._replies.update({(step, direction): way for step, direction, way in self.ways})

    def with_way(self, step: StepName, direction: Direction, way: Way) -> "Run":
        """This run, and *step* answered in that way."""
        name = step if direction is Direction.FORWARD else f"the undo of {step}"
        ways = (*self.ways, (step, direction, way))
        return replace(self, ways=ways, words=(*self.words, f"{name} {way.words}"))

    def cancelled(self, seq: int, where: str) -> "Run":
        """This run, and a client cancels it."""
        return replace(self, cancel_at=seq, words=(*self.words, f"it is cancelled {where}"))

    def away(self, boundary: int, seconds: float, words: str) -> "Run":
        """This run, killed at *boundary*, and nobody starts the coordinator again for so long."""
        kills = (*self.kills, (boundary, Kill()))
        away_s = max(self.away_s, seconds)
        return replace(self, kills=kills, away_s=away_s, words=(*self.words, words))

    def killed(self, number: int, kill: Kill, passed: Passed) -> "Run":
        """This run, killed at its boundary *number*."""
        fate = "" if passed.boundary is not Boundary.UNSYNCED else f" ({kill.unsynced})"
        words = f"the coordinator is killed at crash point {number}, {passed}{fate}"
        return replace(self, kills=(*self.kills, (number, kill)), words=(*self.words, words))

    @property
    def weight(self) -> int:
        """How much has to go wrong for it."""
        odd = sum(not way.is_plain for _, _, way in self.ways)
        return 2 * len(self.words) + odd + 2 * len(self.kills) + bool(self.data.words)

    @property
    def is_plain(self) -> bool:
        """Whether nothing happens in it but what everybody thinks of first."""
        return bool(self.ways) and all(way.is_plain for _, _, way in self.ways)

    def rehearsal(self) -> Rehearsal:
        """What is to happen, with each wait as long as it may be."""
        acts = []
        if self.cancel_at is not None:
            acts.append(Act(self.cancel_at, Verb.CANCEL, reason="simulated", may_come_too_late=True))
        return Rehearsal(
            definition=self.definition,
            input=self.data.input,
            script=self._reply,
            outputs=self.data.output_texts,
            kills=dict(self.kills),
            away_s=self.away_s,
            acts=acts,
            draw=LONGEST_DRAW,
            keep_boundaries=True,
        )

    def _reply(self, call: Call, number: int) -> Reply:
        way = self._replies.get((call.step, direction_of(call)))
        if way is not None:
            return way.reply(number)
        # Each step takes a little longer than those before it, or those side by side would answer at once.
        reply = well(self.definition.step(call.step))
        place = self.definition.positions[call.step]
        return replace(reply, takes_s=reply.takes_s * (1 + place / len(self.definition.steps)))

    def __str__(self) -> str:
        return "; ".join((*((self.data.words,) if self.data.words else ()), *self.words)) or "all goes well"


@dataclass(frozen=True, slots=True)
class FirstCalls:
    """The numbers of boundaries, by what comes to them."""

    _numbers: Mapping[tuple[Boundary, str], int]

    def number(self, boundary: Boundary, step: StepName, direction: Direction) -> int | None:
        """That of the first call for *step*; None where there is none."""
        way = "do" if direction is Direction.FORWARD else "undo"
        return self._numbers.get((boundary, f"{way} {step}"))


def direction_of(call: Call) -> Direction:
    """Whether *call* does or undoes."""
    return Direction.FORWARD if isinstance(call, ExecuteCall) else Direction.UNDO


def steps_called(rehearsed: Rehearsed, direction: Direction) -> list[StepName]:
    """The steps that a call was made for, in the order of their first one."""
    return list(dict.fromkeys(call.step for call in rehearsed.calls if direction_of(call) is direction))


def first_calls(passed: Sequence[Passed]) -> FirstCalls:
    """Where the first call of each step, in each direction, comes to each of its boundaries."""
    firsts: dict[tuple[Boundary, str], int] = {}
    for number, one in enumerate(passed, 1):
        firsts.setdefault((one.boundary, _call(one)), number)
    return FirstCalls(firsts)


def crash_points(rehearsed: Rehearsed, *, from_number: int = 1) -> list[tuple[int, Passed]]:
    """The boundaries at which a kill is tried: all from *from_number* on, but for those in the midst of one
    call's many repetitions."""
    sent: dict[str, list[int]] = {}
    for number, one in enumerate(rehearsed.passed, 1):
        if one.boundary is Boundary.UNSENT:
            sent.setdefault(_call(one), []).append(number)
    skipped = set[int]()
    for numbers in sent.values():
        if len(numbers) > REPEATED:
            skipped.update(range(numbers[REPEATED // 2], numbers[-(REPEATED // 2)]))
    numbered = enumerate(rehearsed.passed, 1)
    return [(number, one) for number, one in numbered if number >= from_number and number not in skipped]


def kills_at(passed: Passed) -> tuple[Kill, ...]:
    """What a crash there may leave. What is lost of a write is as before it was written, so that is not tried
    twice."""
    if passed.boundary is Boundary.UNSYNCED:
        return (Kill(Unsynced.TORN, 2), Kill(Unsynced.KEPT))
    return (Kill(),)


def _call(passed: Passed) -> str:
    """What is asked at a boundary, whichever attempt it is."""
    return passed.about.partition(", attempt ")[0]
