"""Every bad day of one definition: each way in which a service may answer, and a crash at each point of that.

Explored are the run in which all goes well, each run in which one call is answered otherwise or the saga is
stopped, each of those that turn back with an undo that is answered otherwise too, and each of all these with
one kill. The engine and the journal are the real ones; time is not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.definition import SagaDefinition, StepDefinition, StepKind
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import Direction
from coordinator.domain.saga import Status
from coordinator.simulation.answers import (
    Way,
    calls_max,
    failures_max,
    forward_ways,
    pending_until,
    policy_of,
    slowest,
    undo_ways,
)
from coordinator.simulation.boundaries import Boundary, Kill, Passed
from coordinator.simulation.findings import Findings, asked_in, states
from coordinator.simulation.loop import GoesInCircles
from coordinator.simulation.made_up import Data
from coordinator.simulation.rehearsal import NeverRests, Rehearsed, rehearse
from coordinator.simulation.runs import (
    REPEATED,
    FirstCalls,
    Run,
    crash_points,
    first_calls,
    kills_at,
    steps_called,
)
from coordinator.simulation.world import ContentChanged, Reaction

EFFORT_MAX: Final = 450_000
"""Where nobody says how many runs there may be: boundaries that are passed, of about 0.15 ms each."""
EFFORT_OF_RUN: Final = 15
LONG_CALLS: Final = 100
"""Of one call. Where it is tried for so long that it is made more often, most runs let the coordinator be
away meanwhile, and in those that do not, crashes are not tried."""
SLOWEST_CALLS_MAX: Final = 15_000
"""Of a run in which each call is answered well only at its last attempt."""

_T = TypeVar("_T")


@dataclass
class Explored:
    """What was explored, and found."""

    findings: Findings
    straight: list[tuple[Run, Rehearsed]] = field(default_factory=list)
    """With each of the data, where all goes well."""
    one_answer: int = 0
    two_answers: int = 0
    slowest: int = 0
    crashes: int = 0
    crash_points: int = 0
    """At some of them a crash may leave one of two things."""
    left_out: list[str] = field(default_factory=list)
    """In sentences."""

    @property
    def runs(self) -> int:
        return len(self.straight) + self.one_answer + self.two_answers + self.slowest + self.crashes


def explore(
    definition: SagaDefinition,
    data: Sequence[Data],
    *,
    runs_max: int | None = None,
    progress: Callable[[int, int], None] = lambda played, planned: None,
) -> Explored:
    """Explore *definition* with each of *data*. *progress* is told how many runs are played, of how many."""
    return _Exploring(definition, data, runs_max, progress).explored()


@dataclass(frozen=True)
class _Played:
    run: Run
    came_of_it: Rehearsed
    crashes_from: int | None = 1
    """The first boundary that a crash is tried at; None: none is."""

    @cached_property
    def first_calls(self) -> FirstCalls:
        """Where it comes to the first call for each step."""
        return first_calls(self.came_of_it.passed)


class _Exploring:
    def __init__(
        self,
        definition: SagaDefinition,
        data: Sequence[Data],
        runs_max: int | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self._definition = definition
        self._data = data
        self._runs_max = runs_max
        self._progress = progress
        self._evaluate = CelExpressions().evaluate
        self._explored = Explored(Findings(definition, self._evaluate))
        self._effort = self._usual_effort = 0.0
        self._usual = 0
        self._played = 0

    def explored(self) -> Explored:
        explored = self._explored
        if self._runs_max is not None and self._runs_max < len(self._data):
            self._leave_out("conditions the other way")
        first = [Run(self._definition, data) for data in self._data[: self._runs_max]]
        straight = list(self._play(first))
        explored.straight = [(one.run, one.came_of_it) for one in straight]
        explored.findings.plans = [
            (run.data.words, explored.findings.plans_of(came_of_it)) for run, came_of_it in explored.straight
        ]
        if straight:
            self._at_its_slowest(straight[0])
        ones = self._one_answer(straight)
        twos = self._two_answers(ones)
        self._crashes([*straight, *ones, *twos])
        return explored

    def _one_answer(self, straight: Sequence[_Played]) -> list[_Played]:
        runs = [run for one in straight for run in self._other_answers(one)]
        # Half of what may be played is kept for what comes of these, and then half of that for crashes.
        at_most = self._room() // 2
        chosen = self._thinned(runs, _is_plain, at_most, "runs with one answer that is not the best")
        self._explored.one_answer = len(chosen)
        return list(self._play(chosen))

    def _two_answers(self, ones: Sequence[_Played]) -> list[_Played]:
        ways = {step.name: tuple(undo_ways(step)) for step in self._definition.steps}
        # There may be very many, so no more is made of those that are not played.
        possible = [
            (one, name, way)
            for one in ones
            for name in steps_called(one.came_of_it, Direction.UNDO)
            for way in ways[name]
        ]
        what = "runs with two answers that are not the best"
        taken = self._thinned(
            possible, lambda other: other[0].run.is_plain and other[2].is_plain, self._room() // 2, what
        )
        chosen = [self._answered(one, name, Direction.UNDO, way) for one, name, way in taken]
        self._explored.two_answers = len(chosen)
        played = list(self._play(chosen))
        for_crashes = _one_for_each_undo(played)
        if alike := len(played) - len(for_crashes):
            self._leave_out(
                f"crashes in {alike:,} of the runs with two answers: in another of them the same is undone, "
                "and as much is known of it"
            )
        return for_crashes

    def _crashes(self, played: Sequence[_Played]) -> None:
        crashes, repeated = list[tuple[Run, int, Passed, Kill]](), 0
        for one in played:
            if one.crashes_from is not None:
                points = crash_points(one.came_of_it, from_number=one.crashes_from)
                repeated += one.came_of_it.boundaries + 1 - one.crashes_from - len(points)
                crashes += [
                    (one.run, number, passed, kill) for number, passed in points for kill in kills_at(passed)
                ]
        if long := sum(one.crashes_from is None for one in played):
            self._leave_out(f"crashes in {long:,} runs of very many calls")
        if repeated:
            self._leave_out(
                f"crashes at {repeated:,} points in the midst of more than {REPEATED} calls alike"
            )
        taken = self._thinned(crashes, lambda crash: crash[0].is_plain, self._room(), "crashes")
        chosen = [run.killed(number, kill, passed) for run, number, passed, kill in taken]
        self._explored.crashes = len(chosen)
        at = {(run.data.words, run.words[:-1], run.kills[-1][0]) for run in chosen}
        self._explored.crash_points = len(at)
        for _ in self._play(chosen):
            pass

    # One answer
    def _other_answers(self, straight: _Played) -> Iterator[Run]:
        """All in which one thing goes otherwise than in *straight*."""
        run, came_of_it = straight.run, straight.came_of_it
        ttl_s = self._definition.ttl_s
        for name in steps_called(came_of_it, Direction.FORWARD):
            step = self._definition.step(name)
            for way in forward_ways(step):
                yield self._answered(straight, name, Direction.FORWARD, way)
            if ttl_s is not None:
                if (pending := pending_until(step, ttl_s)) is not None:
                    yield run.with_way(name, Direction.FORWARD, pending)
                for boundary, when in ((Boundary.UNSENT, "before"), (Boundary.UNTAKEN, "after")):
                    number = straight.first_calls.number(boundary, name, Direction.FORWARD)
                    if number is not None:
                        words = (
                            f"the coordinator dies {when} the call of {name} and is back after the deadline"
                        )
                        yield run.away(number, ttl_s + 1, words)
        yield from _cancels(run, came_of_it)

    def _answered(self, one: _Played, name: StepName, direction: Direction, way: Way) -> Run:
        """*one*, and what is asked of *name* is answered in *way*."""
        step = self._definition.step(name)
        answered = one.run.with_way(name, direction, way)
        budget_s = policy_of(step, direction).budget_s
        if way.is_lasting and budget_s is not None and calls_max(step, direction) > LONG_CALLS:
            number = one.first_calls.number(Boundary.UNTAKEN, name, direction)
            if number is not None:
                return answered.away(number, budget_s, "and the coordinator is away for most of that time")
        return answered

    # All at its slowest
    def _at_its_slowest(self, straight: _Played) -> None:
        """Each call answered as slowly as it may be, and well only at the last attempt."""
        asked = [self._definition.step(name) for name in steps_called(straight.came_of_it, Direction.FORWARD)]
        undone = [step for step in asked if step.kind is not StepKind.RETRIABLE]
        both = [*((step, Direction.FORWARD) for step in asked), *((step, Direction.UNDO) for step in undone)]
        if sum(failures_max(step, direction) + 1 for step, direction in both) > SLOWEST_CALLS_MAX:
            self._leave_out("what is as slow as it may be: it would take too many calls")
            return
        words = "every call faults slowly until its last attempt"
        runs = [_slow(straight.run, asked, [], words)]
        if self._definition.ttl_s is not None and self._definition.pivot is not None:
            lasting = [step for step in asked if step.kind is not StepKind.COMPENSATABLE]
            runs.append(_slow(straight.run, lasting, [], f"from the pivot on {words}"))
        if undone:
            words = f"{words}, in which {undone[-1].name} is refused"
            runs.append(_slow(straight.run, asked, undone, words, refused=undone[-1]))
        chosen = self._thinned(runs, _is_plain, self._room(), "runs that are as slow as they may be")
        self._explored.slowest = len(chosen)
        for _ in self._play(chosen):
            pass

    # Playing
    def _play(self, runs: Sequence[Run]) -> Iterator[_Played]:
        """Play *runs*, and note what comes of each; those that break a law are told and not gone on from."""
        planned = self._played + len(runs)
        for run in runs:
            try:
                came_of_it = rehearse(run.rehearsal())
            except (NeverRests, ContentChanged, GoesInCircles) as error:
                self._explored.findings.broken(run, [str(error)])
            else:
                self._explored.findings.add(run, came_of_it)
                one = _Played(run, came_of_it, self._crashes_from(run, came_of_it))
                effort = (came_of_it.boundaries + EFFORT_OF_RUN) * (1 + len(self._definition.steps) / 200)
                self._effort += effort
                if one.crashes_from is not None:
                    self._usual += 1
                    self._usual_effort += effort
                yield one
            finally:
                self._played += 1
                self._progress(self._played, planned)

    def _crashes_from(self, run: Run, came_of_it: Rehearsed) -> int | None:
        if len(came_of_it.calls) > LONG_CALLS + 4 * len(self._definition.steps):
            return None
        first = 1
        for name, direction, _ in run.ways:
            if direction is Direction.UNDO:
                # What comes before it is that of the run with one answer.
                first = first_calls(came_of_it.passed).number(Boundary.UNSENT, name, direction) or 1
        return max([first, *(number + 1 for number, _ in run.kills)])

    def _room(self) -> int:
        """How many more runs may be played."""
        if self._runs_max is not None:
            return max(0, self._runs_max - self._played)
        usual = self._usual_effort / max(1, self._usual) or EFFORT_OF_RUN
        return max(0, int((EFFORT_MAX - self._effort) / usual))

    def _leave_out(self, what: str) -> None:
        self._explored.left_out.append(what)

    def _thinned(
        self, possible: Sequence[_T], is_plain: Callable[[_T], bool], at_most: int, what: str
    ) -> Sequence[_T]:
        """*possible*, or as many of them as there is room for, evenly spread; half of them are plain ones if
        that many are there."""
        count = min(len(possible), at_most, self._room())
        if count == len(possible):
            return possible
        self._leave_out(f"{len(possible) - count:,} of {len(possible):,} {what}, evenly spread among them")
        plain = [one for one in possible if is_plain(one)]
        others = [one for one in possible if not is_plain(one)]
        plain = _spread(plain, min(len(plain), max(count // 2, count - len(others))))
        return [*plain, *_spread(others, count - len(plain))]


def _is_plain(run: Run) -> bool:
    return run.is_plain


def _spread(possible: Sequence[_T], count: int) -> list[_T]:
    """*count* of *possible*, as far from each other as may be."""
    return [possible[place * len(possible) // count] for place in range(count)]


def _slow(
    run: Run,
    asked: Sequence[StepDefinition],
    undone: Sequence[StepDefinition],
    words: str,
    *,
    refused: StepDefinition | None = None,
) -> Run:
    """*run*, with each call for *asked* and each undo of *undone* slow until its last attempt."""
    ways = []
    for step in asked:
        last = Reaction.REFUSE if step is refused else Reaction.SUCCEED
        ways.append((step.name, Direction.FORWARD, slowest(step, Direction.FORWARD, last)))
    for step in undone:
        ways.append((step.name, Direction.UNDO, slowest(step, Direction.UNDO, Reaction.SUCCEED)))
    return Run(run.definition, run.data, tuple(ways), words=(words,))


def _cancels(run: Run, straight: Rehearsed) -> Iterator[Run]:
    """*run*, cancelled by a client at each of its points."""
    for seq, saga in states(straight):
        asked = asked_in(saga)
        if asked and saga.status is Status.RUNNING and not saga.is_decided:
            yield run.cancelled(seq, f"while {', '.join(asked)} {'is' if len(asked) == 1 else 'are'} asked")


def _one_for_each_undo(played: Sequence[_Played]) -> list[_Played]:
    """One of those in which the same is undone, with the same known of it, and the same answered."""
    chosen: dict[object, _Played] = {}
    for one in played:
        undone = tuple(
            (s.name, s.undo.receipt is None) for s in one.came_of_it.saga.steps if s.undo is not None
        )
        name, _, way = one.run.ways[-1]
        chosen.setdefault((one.run.data.words, undone, name, way.words), one)
    return list(chosen.values())
