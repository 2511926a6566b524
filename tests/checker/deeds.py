"""What was decided in a saga, folded from its timeline alone: that it turned back or can no more, what failed
for good, and what people changed, whose word stands for which step."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.checker.evidence import TimelineRead

VOUCHING = frozenset({"SKIP", "COMPLETE"})
"""What settles a step without its participant: the saga's outcome then counts as forced."""

Acts = dict[str, list[TimelineRead]]


def _acts() -> Acts:
    return defaultdict(list)


@dataclass(slots=True)
class Deeds:
    """By step, the records that decided about it."""

    abort: TimelineRead | None = None
    """What turned the saga back."""
    decision: TimelineRead | None = None
    """What made its way forward final: its pivot began, or a person let it pass."""
    passed: dict[str, TimelineRead] = field(default_factory=dict)
    """Skipped or completed while the saga went forward."""
    failing: dict[str, TimelineRead] = field(default_factory=dict)
    """Past the pivot, failed for good, with nobody having decided since; with the record that failed them."""
    renewed: Acts = field(default_factory=_acts)
    """Retried after that: each time with a new budget."""
    rounds: Acts = field(default_factory=_acts)
    """Those of them that followed a refusal: each begins a new round of the key."""
    settled: dict[str, TimelineRead] = field(default_factory=dict)
    """Skipped or completed while the saga was undone."""
    undo_failed: set[str] = field(default_factory=set)
    """The steps whose compensation ever failed for good."""
    undo_failing: dict[str, TimelineRead] = field(default_factory=dict)
    """As `failing`, of compensations."""
    undo_renewed: Acts = field(default_factory=_acts)
    undo_rounds: Acts = field(default_factory=_acts)
    termination: TimelineRead | None = None

    @property
    def forced(self) -> bool:
        """Whether a person decided a part of the outcome."""
        return self.termination is not None or bool(self.passed) or bool(self.settled)


def deeds(entries: Sequence[TimelineRead], pivot: str | None = None) -> Deeds:
    """Fold a timeline; *pivot* is the declared one, if that is known: else a step that began as one is it."""
    found = Deeds()
    for entry in entries:
        if entry.type == "PIVOT_BEGUN":
            pivot = pivot or entry.step
        if entry.action is not None and entry.action.verb == "TERMINATE":
            found.termination = entry
        elif entry.type in ("UNDO_REFUSED", "UNDO_FAULTED", "STEP_COMPENSATED"):
            _undo_answered(found, entry)
        elif found.abort is None:
            _go_on(found, entry, pivot)
        else:
            _go_back(found, entry)
    return found


def _go_on(found: Deeds, entry: TimelineRead, pivot: str | None) -> None:
    verb = entry.action.verb if entry.action is not None else ""
    if _turns_back(entry, pivot, decided=found.decision is not None):
        found.abort = entry
        found.failing.pop(entry.step, None)
    elif verb in VOUCHING:
        found.passed[entry.step] = entry
        found.failing.pop(entry.step, None)
    elif verb == "RETRY":
        _renew(entry, found.failing, found.renewed, found.rounds)
    elif verb == "FAIL" or (_fails(entry) and entry.step):
        found.failing[entry.step] = entry
    passed_by_hand = verb in VOUCHING and entry.step == pivot
    if found.decision is None and (entry.type == "PIVOT_BEGUN" or passed_by_hand):
        found.decision = entry


def _go_back(found: Deeds, entry: TimelineRead) -> None:
    verb = entry.action.verb if entry.action is not None else ""
    if verb in VOUCHING:
        found.settled[entry.step] = entry
        found.undo_failing.pop(entry.step, None)
    elif verb == "RETRY":
        _renew(entry, found.undo_failing, found.undo_renewed, found.undo_rounds)
    elif verb == "FAIL" or entry.type == "EXPRESSION_FAILED":
        found.undo_failed.add(entry.step)
        found.undo_failing[entry.step] = entry


def _undo_answered(found: Deeds, entry: TimelineRead) -> None:
    if entry.type == "STEP_COMPENSATED":
        found.undo_failing.pop(entry.step, None)
    elif entry.type == "UNDO_REFUSED" or entry.retry_ns is None:
        found.undo_failed.add(entry.step)
        found.undo_failing[entry.step] = entry


def _renew(entry: TimelineRead, failing: dict[str, TimelineRead], renewed: Acts, rounds: Acts) -> None:
    if (failure := failing.pop(entry.step, None)) is not None:
        renewed[entry.step].append(entry)
        if failure.type.endswith("_REFUSED"):
            rounds[entry.step].append(entry)


def _turns_back(entry: TimelineRead, pivot: str | None, *, decided: bool) -> bool:
    """Whether a record turns a saga back that goes forward, past its pivot if it is *decided*: rightly by the
    pivot alone, for it was refused or a person gave it up."""
    if entry.type == "CANCEL_REQUESTED" or (entry.action is not None and entry.action.verb == "CANCEL"):
        return True
    if entry.type == "DEADLINE_PASSED":
        return not decided
    if entry.action is not None:
        return entry.action.verb == "FAIL" and (not decided or entry.step == pivot)
    return _fails(entry) and (not decided or (entry.type == "STEP_REFUSED" and entry.step == pivot))


def _fails(entry: TimelineRead) -> bool:
    """Whether a record ends all automatic attempts at what it is about, going forward."""
    if entry.type == "STEP_FAULTED":
        return entry.retry_ns is None
    return entry.type in ("STEP_REFUSED", "EXPRESSION_FAILED")
