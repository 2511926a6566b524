"""What an exploration found, in lines for people.

Pure: what was explored in, lines out.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from coordinator.cli.text import counted
from coordinator.domain.ids import StepName
from coordinator.domain.saga import Status
from coordinator.domain.shown.undo_plan import Stays
from coordinator.domain.summary import DeadLetterCause
from coordinator.simulation.exploring import Explored
from coordinator.simulation.findings import Point, Situation, Undo

POINTS_SHOWN_MAX: Final = 30
SITUATIONS_SHOWN_MAX: Final = 30
STEPS_SHOWN_MAX: Final = 12

_STAYS: Final = {
    Stays.NO_COMPENSATION: "nothing undoes it",
    Stays.UNDO_FAILED: "its undo failed for good",
    Stays.BLOCKED: "its undo waits behind one that failed",
    Stays.BY_HAND: "left in place by hand",
    Stays.EXPRESSION: "the input of its undo cannot be made",
}
_LAWS: Final = (
    "no effect twice or after its undo; all of them where it is COMPLETED, none where it is COMPENSATED; "
    "undone in reverse order"
)


def report(explored: Explored) -> Iterator[str]:
    """All of it."""
    yield from _explored(explored)
    yield from _ends(explored)
    yield from _worst(explored)
    for words, points in explored.findings.plans:
        yield from _plan(words, points)
    yield from _people(explored.findings.needs_person)


def _explored(explored: Explored) -> Iterator[str]:
    findings = explored.findings
    yield "explored"
    rows = (
        (len(explored.straight), "where all goes well"),
        (explored.one_answer, "where one call is answered otherwise, or the saga is stopped"),
        (explored.two_answers, "where an undo is answered otherwise, too"),
        (explored.slowest, "where answers are as slow as they may be"),
        (explored.crashes, f"with a crash in them, at {explored.crash_points:,} crash points"),
        (
            explored.runs,
            f"runs, with {findings.calls:,} calls, in {written(findings.simulated_s)} of virtual time",
        ),
    )
    width = max(len(f"{count:,}") for count, _ in rows)
    for count, words in rows:
        yield f"  {count:>{width},}  {words}"
    for sentence in explored.left_out:
        yield f"  left out: {sentence}"
    yield ""


def _ends(explored: Explored) -> Iterator[str]:
    findings = explored.findings
    yield "how they ended"
    width = max((len(f"{count:,}") for count in findings.ends.values()), default=1)
    for status in Status:
        if count := findings.ends[status]:
            person = ", needs a person" if status is Status.DEAD_LETTERED else ""
            yield f"  {count:>{width},}  {status}{person}"
    if not findings.broken_runs:
        yield f"  in all of them: {_LAWS}"
    for run, laws in findings.broken_shown:
        yield f"  BROKEN: {'; '.join(laws)}, when {run}"
    if findings.broken_runs:
        runs = counted(findings.broken_runs, "run")
        yield f"  {runs} broke a law: a mistake in saga itself, please report it"
    yield ""


def _worst(explored: Explored) -> Iterator[str]:
    findings = explored.findings
    yield "the worst case, where each wait is as long as it may be"
    if findings.most_calls is not None:
        yield f"  most calls: {findings.most_calls.calls:,}, where {findings.most_calls.run}"
    for status in (Status.COMPLETED, Status.COMPENSATED):
        if (worst := findings.longest.get(status)) is not None:
            yield f"  longest to {status}: {written(worst.lasted_s)}, where {worst.run}"
    if findings.situations:
        yield "  a person may be needed as late as that: when what was tried for so long has been in vain"
    yield "  a participant that goes on saying 'pending' is waited for without an end"
    yield ""


def _plan(words: str, points: Sequence[Point]) -> Iterator[str]:
    yield f"what would be undone if it turned back{f', where {words}' if words else ''}"
    asked = [_asked(point) for point in points[:POINTS_SHOWN_MAX]]
    width = max(map(len, asked))
    for text, point in zip(asked, points, strict=False):
        yield f"  {text:{width}}  {_undone(point)}"
    if len(points) > POINTS_SHOWN_MAX:
        yield f"  and at {len(points) - POINTS_SHOWN_MAX} more points: as JSON all are shown"
    yield ""


def _asked(point: Point) -> str:
    if not point.asked:
        return "at the end"
    return f"{_listed(point.asked)} {'is' if len(point.asked) == 1 else 'are'} asked"


def _undone(point: Point) -> str:
    parts = [_in_order(point.undos) if point.undos else _why_nothing(point)]
    told = [(step, why) for step, why in point.stays if why is not Stays.PAST_PIVOT]
    for reason in dict.fromkeys(why for _, why in told):
        parts.append(f"{_listed([step for step, why in told if why is reason])} stays ({_STAYS[reason]})")
    return "; ".join(parts)


def _why_nothing(point: Point) -> str:
    if point.pivot is not None:
        return f"nothing, unless {point.pivot} is refused"
    if any(why is Stays.PAST_PIVOT for _, why in point.stays):
        return "nothing: there is no turning back any more"
    return "nothing"


def _in_order(undos: Sequence[Undo]) -> str:
    """Each behind the one before it, unless it waits for another, or for none."""
    parts = []
    before: Undo | None = None
    for undo in undos[:STEPS_SHOWN_MAX]:
        what = undo.compensation or f"a bar for {undo.step}"
        if before is None or undo.after == (before.step,):
            parts.append(what)
        else:
            parts.append(f"{what} ({f'after {_listed(undo.after)}' if undo.after else 'at once'})")
        before = undo
    more = len(undos) - STEPS_SHOWN_MAX
    return ", ".join([*parts, f"and {more} more"] if more > 0 else parts)


def _people(situations: Sequence[Situation]) -> Iterator[str]:
    if not situations:
        yield "nothing that was explored needs a person"
        return
    yield f"what needs a person: {counted(len(situations), 'situation')}"
    for situation in situations[:SITUATIONS_SHOWN_MAX]:
        yield f"  {_what(situation)}, in {counted(situation.runs, 'run')}"
        yield f"    such as     {situation.run}"
        left = "not undone" if situation.is_undo else "not done"
        yield f"    {left:10}  {_listed(situation.standing)}"
        yield f"    actions     {_choices(situation)}"
    if len(situations) > SITUATIONS_SHOWN_MAX:
        yield f"  and {len(situations) - SITUATIONS_SHOWN_MAX} more; as JSON all are shown"


def _what(situation: Situation) -> str:
    what = f"the undo of {situation.step}" if situation.is_undo else situation.step
    match situation.cause:
        case DeadLetterCause.REFUSED:
            return f"{what} is refused"
        case DeadLetterCause.BUDGET_SPENT if situation.is_pivot:
            return f"{what}, the pivot, is in doubt: it was tried in vain"
        case DeadLetterCause.EXPRESSION:
            return f"an expression of {what} yields nothing that can be sent"
        case _:
            return f"{what} is tried in vain"


def _choices(situation: Situation) -> str:
    """What can be done, by what it comes to."""
    verbs: dict[tuple[StepName | None, Status], list[str]] = {}
    for choice in situation.choices:
        verbs.setdefault((choice.step, choice.ends), []).append(choice.verb.lower())
    parts = []
    for (step, ends), words in verbs.items():
        of_step = "" if step in (None, situation.step) else f" {step}"
        parts.append(f"{', '.join(words)}{of_step} → {ends}")
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    if len(names) <= STEPS_SHOWN_MAX:
        return ", ".join(names)
    return f"{', '.join(names[:STEPS_SHOWN_MAX])} and {len(names) - STEPS_SHOWN_MAX} more"


def written(seconds: float) -> str:
    """A length of time, in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), list[str]()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count:,} {unit}")
    return " ".join(parts[:2])
