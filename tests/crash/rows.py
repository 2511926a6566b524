"""The enumeration: a straight run counts the boundaries, then one run dies at each, and one at each pair.

After a kill the run has other boundaries, those of the recovery among them: the second kill is taken from
the boundaries that were counted in the run with the first one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from coordinator.simulation.boundaries import Boundary, Kill, Passed, Unsynced
from coordinator.simulation.rehearsal import Rehearsed, rehearse
from tests.crash.laws import Straight, end_of, hold, told
from tests.crash.shapes import Shape

PAIRS_BOUNDARIES_MAX: Final = 21
"""The shapes with so many boundaries at most are the small ones: all pairs of kills are taken."""

Kills = Mapping[int, Kill]


@dataclass(frozen=True, slots=True)
class Row:
    """What was done to one shape."""

    name: str
    boundaries: int
    kills: int
    pairs: int

    @property
    def runs(self) -> int:
        """How often it was played; the straight run was, twice."""
        return 2 + self.kills + self.pairs

    def __str__(self) -> str:
        pairs = f", {self.pairs:,} pairs" if self.pairs else ""
        return f"{self.name}: {self.boundaries} boundaries, {self.kills:,} kills{pairs}"


class Violation(Exception):
    """A run in which something did not hold, with all that is known of it."""

    def __init__(self, shape: Shape, kills: Kills, what: BaseException, run: Rehearsed | None) -> None:
        self.lines: Sequence[str] = [
            f"{shape.name}, {_told(kills)}: {str(what) or type(what).__name__}",
            *(getattr(what, "__notes__", ()) if run is None else _told_run(run)),
        ]
        super().__init__("\n".join(self.lines))


def crash(shape: Shape, *, pairs: bool | None = None) -> Row:
    """Kill *shape* at each of its boundaries; with *pairs* also at every pair of them. None: if it is small.

    Raises:
        Violation: something did not hold.
    """
    straight = play(shape)
    passed = straight.run.passed
    kills = list(single_kills(passed, every_tear=True))
    for kill in kills:
        played(shape, straight, kill, before=passed)
    is_small = len(passed) <= PAIRS_BOUNDARIES_MAX if pairs is None else pairs
    taken = sum(_second_kills(shape, straight, kill) for kill in single_kills(passed)) if is_small else 0
    return Row(shape.name, len(passed), len(kills), taken)


def play(shape: Shape) -> Straight:
    """The straight run of *shape*, which is the same when it is played again.

    Raises:
        Violation: it ends otherwise than its shape says, or something did not hold.
    """
    run = _rehearsed(shape, {})
    again = _rehearsed(shape, {})
    try:
        assert (run.records, run.calls, run.passed) == (again.records, again.calls, again.passed), (
            "the second time it was another run"
        )
        assert run.summary.status is shape.ends, f"it ended {run.summary.status}"
        assert run.summary.error_message == shape.says, f"it said: {run.summary.error_message}"
        applied, undone = run.world.applied(run.saga.id, "E"), run.world.applied(run.saga.id, "C")
        assert applied - undone == set(shape.stands.split()), f"what stands is {applied - undone}"
        assert run.saga.output == shape.yields, f"it yielded {run.saga.output}"
        straight = Straight(run, end_of(run))
        hold(shape, straight, run)
    except AssertionError as wrong:
        raise Violation(shape, {}, wrong, run) from wrong
    return straight


def single_kills(passed: Sequence[Passed], *, behind: int = 0, every_tear: bool = False) -> Iterator[Kills]:
    """One kill at each boundary *behind* that number; where a write is not synced, one for each fate."""
    for number, at in enumerate(passed, 1):
        if number <= behind:
            continue
        if at.boundary is not Boundary.UNSYNCED:
            yield {number: Kill()}
            continue
        yield {number: Kill(Unsynced.LOST)}
        yield {number: Kill(Unsynced.KEPT)}
        statements = next(p.statements for p in passed[number:] if p.boundary is Boundary.SYNCED)
        tears = range(1, statements) if every_tear else sorted({1, statements // 2, statements - 1})
        for tear in tears:
            yield {number: Kill(Unsynced.TORN, tear)}


def played(shape: Shape, straight: Straight, kills: Kills, *, before: Sequence[Passed]) -> Rehearsed:
    """*shape* with these *kills*, each of which comes. *before*: what the run without the last one passes.

    Raises:
        Violation: something did not hold.
    """
    run = _rehearsed(shape, kills)
    try:
        assert run.killed == len(kills), f"{len(kills)} kills were meant, and {run.killed} came"
        until = max(kills)
        assert run.passed[:until] == before[:until], "until it was killed it was another run already"
        hold(shape, straight, run)
    except AssertionError as wrong:
        raise Violation(shape, kills, wrong, run) from wrong
    return run


def _second_kills(shape: Shape, straight: Straight, first: Kills) -> int:
    (at,) = first
    passed = played(shape, straight, first, before=straight.run.passed).passed
    seconds = list(single_kills(passed, behind=at))
    for second in seconds:
        played(shape, straight, {**first, **second}, before=passed)
    return len(seconds)


def _rehearsed(shape: Shape, kills: Kills) -> Rehearsed:
    try:
        return rehearse(replace(shape.rehearsal(), kills=kills))
    except Exception as error:
        raise Violation(shape, kills, error, None) from error


def _told(kills: Kills) -> str:
    if not kills:
        return "not killed"
    return "killed at " + ", ".join(
        f"boundary {number} ({kill.unsynced}{f' after {kill.statements}' if kill.statements else ''})"
        for number, kill in kills.items()
    )


def _told_run(run: Rehearsed) -> Iterator[str]:
    yield f"It ended {run.summary.status}: {run.summary.error_message}"
    yield "Boundaries:"
    yield from (f"  {number} {passed}" for number, passed in enumerate(run.passed, 1))
    yield "Records:"
    yield from (f"  {record.seq} under token {record.token}: {record.event}" for record in run.records)
    yield "Calls:"
    yield from (f"  {told(call)}" for call in run.calls)
