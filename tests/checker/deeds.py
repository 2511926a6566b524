"""What people changed in a saga, folded from its timeline alone: whose word stands for which step."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.checker.evidence import TimelineRead

VOUCHING = frozenset({"SKIP", "COMPLETE"})
"""What settles a step without its participant: the saga's outcome then counts as forced."""


@dataclass(slots=True)
class Deeds:
    """By step, the records with which operators decided about it."""

    passed: dict[str, TimelineRead] = field(default_factory=dict)
    """Skipped or completed while the saga went forward."""
    settled: dict[str, TimelineRead] = field(default_factory=dict)
    """Skipped or completed while it was undone."""
    renewed: dict[str, list[TimelineRead]] = field(default_factory=lambda: defaultdict(list))
    """Retried after their undo had failed for good: each time with a new budget."""
    rounds: dict[str, list[TimelineRead]] = field(default_factory=lambda: defaultdict(list))
    """Those of them that followed a refusal: each begins a new round of the key."""
    undo_failed: set[str] = field(default_factory=set)
    """The steps whose compensation ever failed for good."""
    undo_failing: dict[str, TimelineRead] = field(default_factory=dict)
    """Those of them about which nobody has decided since, with the record that failed them."""
    termination: TimelineRead | None = None

    @property
    def forced(self) -> bool:
        """Whether a person decided a part of the outcome."""
        return self.termination is not None or bool(self.passed) or bool(self.settled)


def deeds(entries: Sequence[TimelineRead]) -> Deeds:
    """Fold a timeline."""
    found, turned_back = Deeds(), False
    for entry in entries:
        if entry.action is not None:
            _act(found, entry, entry.action.verb, turned_back=turned_back)
        elif entry.type == "UNDO_REFUSED" or (entry.type == "UNDO_FAULTED" and entry.retry_ns is None):
            found.undo_failed.add(entry.step)
            found.undo_failing[entry.step] = entry
        elif entry.type == "STEP_COMPENSATED":
            found.undo_failing.pop(entry.step, None)
        turned_back = turned_back or turns_back(entry)
    return found


def turns_back(entry: TimelineRead) -> bool:
    """Whether a record turns a saga back that goes forward."""
    if entry.type == "STEP_FAULTED":
        return entry.retry_ns is None
    if entry.action is not None:
        return entry.action.verb in ("FAIL", "CANCEL")
    return entry.type in ("STEP_REFUSED", "CANCEL_REQUESTED", "DEADLINE_PASSED")


def _act(found: Deeds, entry: TimelineRead, verb: str, *, turned_back: bool) -> None:
    if verb == "TERMINATE":
        found.termination = entry
    elif not turned_back:
        if verb in VOUCHING:
            found.passed[entry.step] = entry
    elif verb in VOUCHING:
        found.settled[entry.step] = entry
        found.undo_failing.pop(entry.step, None)
    elif verb == "FAIL":
        found.undo_failed.add(entry.step)
        found.undo_failing[entry.step] = entry
    elif verb == "RETRY" and (failure := found.undo_failing.pop(entry.step, None)) is not None:
        found.renewed[entry.step].append(entry)
        if failure.type == "UNDO_REFUSED":
            found.rounds[entry.step].append(entry)
