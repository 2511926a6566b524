"""What an exploration found: how its runs ended, the worst of them, what would be undone, who is needed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from coordinator.domain.actions import effect_of, possible_actions
from coordinator.domain.definition import SagaDefinition, StepKind
from coordinator.domain.events import SagaStarted, Verb
from coordinator.domain.ids import StepName
from coordinator.domain.language.expressions import Evaluate
from coordinator.domain.machine import evolve, start
from coordinator.domain.saga import Heading, Saga, Status
from coordinator.domain.shown.undo_plan import Stays, undo_plan
from coordinator.domain.summary import DeadLetterCause
from coordinator.simulation.laws import broken_laws
from coordinator.simulation.rehearsal import Rehearsed
from coordinator.simulation.runs import Run

BROKEN_SHOWN_MAX: Final = 20
PLANS_MIN: Final = 5
PLANNED_UNDOS_MAX: Final = 10_000
"""In all plans together, about: of very large sagas not each point is told."""


@dataclass(frozen=True, slots=True)
class Worst:
    """One run, with what makes it the worst."""

    calls: int
    lasted_s: float
    status: Status
    run: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator may do, and what the saga comes to if every call succeeds then."""

    verb: Verb
    step: StepName | None
    ends: Status


@dataclass(slots=True)
class Situation:
    """One that only a person can resolve."""

    step: StepName
    is_undo: bool
    is_pivot: bool
    cause: DeadLetterCause
    run: str
    """The plainest way that leads there."""
    standing: tuple[StepName, ...]
    """What is not undone then, or, going forward, not done."""
    choices: tuple[Choice, ...]
    weight: int
    """Of that way: the less, the plainer it is."""
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Undo:
    """One undo of a plan. `after`: those that it waits for."""

    step: StepName
    service: str
    compensation: str | None
    after: tuple[StepName, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """What would be undone at one point of a run in which all goes well."""

    asked: tuple[StepName, ...]
    """The steps that are being asked there; none: at the end."""
    pivot: StepName | None
    """The pivot, if it is one of them."""
    undos: tuple[Undo, ...]
    stays: tuple[tuple[StepName, Stays], ...]


@dataclass
class Findings:
    """Of all runs so far."""

    definition: SagaDefinition
    evaluate: Evaluate
    ends: Counter[Status] = field(default_factory=Counter)
    boundaries: int = 0
    calls: int = 0
    simulated_s: float = 0.0
    most_calls: Worst | None = None
    longest: dict[Status, Worst] = field(default_factory=dict)
    """For each end the run that took the longest to it. Where the coordinator was away does not count."""
    situations: dict[object, Situation] = field(default_factory=dict)
    plans: list[tuple[str, list[Point]]] = field(default_factory=list)
    """For each of the data, by what is different in it."""
    broken_runs: int = 0
    broken_shown: list[tuple[str, Sequence[str]]] = field(default_factory=list)

    def add(self, run: Run, came_of_it: Rehearsed) -> None:
        """Note what *run* came to."""
        self.ends[came_of_it.saga.status] += 1
        self.boundaries += came_of_it.boundaries
        self.calls += len(came_of_it.calls)
        self.simulated_s += came_of_it.lasted_s
        if laws := broken_laws(came_of_it):
            self.broken(run, laws)
        if not run.away_s:
            self._weigh(run, came_of_it)
        if came_of_it.saga.needs_person:
            self._note_situation(run, came_of_it)

    def broken(self, run: Run, laws: Sequence[str]) -> None:
        """Note that *run* broke *laws*, which is a mistake of ours."""
        self.broken_runs += 1
        if len(self.broken_shown) < BROKEN_SHOWN_MAX:
            self.broken_shown.append((str(run), tuple(laws)))

    def plans_of(self, straight: Rehearsed) -> list[Point]:
        """What would be undone at each point of *straight*; where these are very many, at some of them."""
        at = [saga for _, saga in states(straight) if asked_in(saga) or not saga.status.is_open]
        count = min(len(at), max(PLANS_MIN, PLANNED_UNDOS_MAX // len(self.definition.steps)))
        return [self._point(at[(place + 1) * len(at) // count - 1]) for place in range(count)]

    def _point(self, saga: Saga) -> Point:
        asked = asked_in(saga)
        pivot = next((name for name in asked if name == self._pivot), None)
        plan = undo_plan(saga, self.evaluate)
        undos = tuple(Undo(u.step, u.service, u.compensation, u.after) for u in plan.undos)
        return Point(asked, pivot, undos, plan.stays)

    @property
    def _pivot(self) -> StepName | None:
        place = self.definition.pivot
        return None if place is None else self.definition.steps[place].name

    def _weigh(self, run: Run, came_of_it: Rehearsed) -> None:
        calls, lasted_s = len(came_of_it.calls), came_of_it.lasted_s
        one = Worst(calls, lasted_s, came_of_it.saga.status, str(run))
        if self.most_calls is None or calls > self.most_calls.calls:
            self.most_calls = one
        longest = self.longest.get(one.status)
        if longest is None or lasted_s > longest.lasted_s:
            self.longest[one.status] = one

    def _note_situation(self, run: Run, came_of_it: Rehearsed) -> None:
        saga, signature = came_of_it.saga, came_of_it.summary.signature
        assert signature is not None
        assert signature.step is not None
        is_undo = saga.heading is Heading.BACKWARD
        key = (signature, is_undo)
        known = self.situations.get(key)
        if known is None or run.weight < known.weight:
            is_pivot = saga.definition.step(signature.step).kind is StepKind.PIVOT
            self.situations[key] = Situation(
                signature.step,
                is_undo,
                is_pivot and not is_undo,
                signature.cause,
                str(run),
                _standing(saga),
                self._choices(saga),
                run.weight,
                0 if known is None else known.runs,
            )
        self.situations[key].runs += 1

    @property
    def needs_person(self) -> list[Situation]:
        """What only a person can resolve, in the definition's order, going forward first."""
        places = self.definition.positions
        return sorted(self.situations.values(), key=lambda one: (one.is_undo, places[one.step], one.cause))

    def _choices(self, saga: Saga) -> tuple[Choice, ...]:
        actions = possible_actions(saga, at=saga.updated_at)
        effects = ((event, effect_of(saga, event, self.evaluate)) for event in actions)
        return tuple(Choice(event.verb, event.step, effect.status_in_the_end) for event, effect in effects)


def states(rehearsed: Rehearsed) -> Iterator[tuple[int, Saga]]:
    """The saga at each of its points, by the number of its newest record there."""
    events = [record.event for record in rehearsed.records]
    first, *others = events
    assert isinstance(first, SagaStarted)
    saga = start(rehearsed.saga.definition, first).saga
    for seq, event in enumerate(others, 2):
        saga = evolve(saga, event)
        # What is of one moment was written at once: nobody can come between.
        if seq == len(events) or events[seq].at > event.at:
            yield seq, saga


def asked_in(saga: Saga) -> tuple[StepName, ...]:
    """The steps that *saga*, going forward, waits for."""
    return tuple(step.name for step in saga.steps if step.begun and step.outcome is None)


def _standing(saga: Saga) -> tuple[StepName, ...]:
    if saga.heading is Heading.BACKWARD:
        return tuple(step.name for step in saga.left_standing)
    return tuple(step.name for step in saga.steps if not step.is_passed)
