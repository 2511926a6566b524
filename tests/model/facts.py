"""What the journal of one saga says, and what follows from it: written from the rules, not from the product.

Amounts of time are left out: a budget is a number of attempts, and a wait is no different from a slow
answer. What no rule looks at any more is forgotten, so that states that differ in nothing else are one.
"""

from functools import cache
from typing import NamedTuple

from tests.model.rules import Rules

OPEN, SUCCEEDED, REFUSED, GIVEN_UP, FAILED = "open", "succeeded", "refused", "given up", "failed"
"""What became of a step. REFUSED or FAILED in a saga that has not turned back: it needs a person."""
UNBEGUN, BEGUN, UNDONE = "unbegun", "begun", "undone"
"""What became of its undo; that also can be REFUSED or FAILED, and then needs a person."""
SKIPPED, BY_HAND = "skipped", "done by hand"
"""What a person decided of the one or the other."""
ASKED_AGAIN, ASKED_ANEW = "asked again", "asked again under a new key"
"""What else a person may want of one that needs them."""

RUNNING, COMPENSATING = "RUNNING", "COMPENSATING"
COMPLETED, COMPENSATED, DEAD_LETTERED = "COMPLETED", "COMPENSATED", "DEAD_LETTERED"
WORKING = (RUNNING, COMPENSATING)
FINAL = (COMPLETED, COMPENSATED)
NEEDS_PERSON = (REFUSED, FAILED)


class StepShape(NamedTuple):
    """What a definition says of one step. `parents` are the places of the steps that it depends on."""

    name: str
    parents: tuple[int, ...] = ()
    has_compensation: bool = True
    is_pivot: bool = False


Shape = tuple[StepShape, ...]
"""A definition: its steps, each behind all that it depends on."""


class Step(NamedTuple):
    """What is known of one step."""

    is_begun: bool = False
    failures: int = 0
    is_repeated: bool = False
    """Whether more than one Execute may have been sent."""
    outcome: str = OPEN
    round: int = 1
    """Of its key: only a person who asks again after a refusal begins another one."""
    undo: str = UNBEGUN
    receipt: str = ""
    """What every Compensate says of the step's output: "known" or "unknown"."""
    undo_failures: int = 0
    undo_round: int = 1

    @property
    def is_passed(self) -> bool:
        return self.outcome in (SUCCEEDED, SKIPPED, BY_HAND)

    @property
    def is_undo_open(self) -> bool:
        return self.undo in (UNBEGUN, BEGUN)

    @property
    def is_forced(self) -> bool:
        """Whether a person decided what became of it."""
        return self.outcome in (SKIPPED, BY_HAND) or self.undo in (SKIPPED, BY_HAND)


class Facts(NamedTuple):
    """All that the journal says of one saga."""

    steps: tuple[Step, ...]
    is_aborted: bool = False


class Event(NamedTuple):
    """One record of the journal. `step` is a place, -1 where it concerns the saga; `aborts`: the saga turns
    back with it."""

    what: str
    step: int = -1
    aborts: bool = False


@cache
def fold(facts: Facts, event: Event) -> Facts:
    """*facts* after *event*."""
    steps = facts.steps
    if event.what == "resumed":
        steps = tuple(map(_resumed, steps))
    elif event.step >= 0:
        by_person = event.what in (SKIPPED, BY_HAND, ASKED_AGAIN, ASKED_ANEW)
        concerns_undo = facts.is_aborted if by_person else event.what.startswith("undo")
        step = (_undo_folded if concerns_undo else _folded)(steps[event.step], event.what)
        steps = (*steps[: event.step], step, *steps[event.step + 1 :])
    return Facts(steps, facts.is_aborted or event.aborts)


def _resumed(step: Step) -> Step:
    """A new run does not know how often it was asked for."""
    may_be_repeated = step.is_begun and step.outcome == OPEN
    return step._replace(is_repeated=True) if may_be_repeated else step


def _folded(step: Step, what: str) -> Step:
    match what:
        case "begun":
            return step._replace(is_begun=True)
        case "faulted":
            return step._replace(failures=step.failures + 1, is_repeated=True)
        case "refused":
            return step._replace(is_begun=True, outcome=REFUSED, failures=0)
        case "asked again" | "asked again under a new key":
            return step._replace(outcome=OPEN, round=step.round + (what == ASKED_ANEW), is_repeated=True)
        case _:
            return step._replace(is_begun=True, outcome=what, failures=0, is_repeated=False)


def _undo_folded(step: Step, what: str) -> Step:
    match what:
        case "undo begun":
            receipt = "known" if step.outcome in (SUCCEEDED, BY_HAND) else "unknown"
            return step._replace(undo=BEGUN, receipt=receipt)
        case "undo faulted":
            return step._replace(undo_failures=step.undo_failures + 1)
        case "asked again" | "asked again under a new key":
            return step._replace(undo=BEGUN, undo_round=step.undo_round + (what == ASKED_ANEW))
        case _:
            return step._replace(undo=what.removeprefix("undo "), undo_failures=0)


@cache
def descendants(shape: Shape, place: int) -> frozenset[int]:
    """The steps that depend on that at *place*, directly or through others."""
    found = {place}
    for later, rule in enumerate(shape):
        if found.intersection(rule.parents):
            found.add(later)
    return frozenset(found - {place})


@cache
def size(facts: Facts) -> int:
    """How much is known. Whatever is done without a person adds to it: to settle a thing says more than how
    often it has failed."""
    known = 1000 * facts.is_aborted
    for step in facts.steps:
        known += step.is_begun + step.failures + 10 * (step.outcome != OPEN)
        known += step.undo_failures + 10 * (step.undo != UNBEGUN) + 10 * (not step.is_undo_open)
    return known


class Reading:
    """What follows from the facts of a saga of one shape, by the rules."""

    def __init__(self, shape: Shape, rules: Rules) -> None:
        self._shape, self._rules = shape, rules
        self.status = cache(self._status)

    def is_decided(self, facts: Facts) -> bool:
        """Whether the saga is past its pivot."""
        pivots = (step for rule, step in zip(self._shape, facts.steps, strict=True) if rule.is_pivot)
        return not facts.is_aborted and any(step.is_begun or step.is_passed for step in pivots)

    def reached(self, facts: Facts) -> list[int]:
        """The steps that are open and wait for no other one, going forward."""
        if facts.is_aborted and self._rules.abort_begins_nothing:
            return []
        return [
            place
            for place, (rule, step) in enumerate(zip(self._shape, facts.steps, strict=True))
            if step.outcome == OPEN
            and (
                all(facts.steps[parent].is_passed for parent in rule.parents)
                or not self._rules.parents_before_step
            )
        ]

    def undoable(self, facts: Facts) -> list[int]:
        """The steps whose undo is open and waits for that of no other one."""
        if not facts.is_aborted:
            return []
        to_undo = {place for place, step in enumerate(facts.steps) if self._is_to_undo(place, step)}
        return [
            place
            for place in sorted(to_undo)
            if facts.steps[place].is_undo_open
            and (to_undo.isdisjoint(descendants(self._shape, place)) or not self._rules.later_before_undo)
        ]

    def needs_undo(self, place: int, step: Step) -> bool:
        """Whether its effect may exist and something can be done about it, if only to bar a late Execute.

        That only a step asked once is spared by its refusal matters to no law while participants store that.
        """
        if step.undo != UNBEGUN:
            return True
        if not step.is_begun or (step.outcome == REFUSED and not step.is_repeated):
            return False
        if not step.is_passed and not self._rules.unknown_is_undone:
            return False
        is_to_bar = not step.is_passed and self._rules.unknown_is_barred
        return self._shape[place].has_compensation or is_to_bar

    def _is_to_undo(self, place: int, step: Step) -> bool:
        return self.needs_undo(place, step) and (step.is_undo_open or step.undo in NEEDS_PERSON)

    def _status(self, facts: Facts) -> str:
        if facts.is_aborted:
            if self.undoable(facts):
                return COMPENSATING
            is_stuck = any(step.undo in NEEDS_PERSON for step in facts.steps)
            return DEAD_LETTERED if is_stuck else COMPENSATED
        if self.reached(facts):
            return RUNNING
        is_stuck = any(step.outcome in NEEDS_PERSON for step in facts.steps)
        return DEAD_LETTERED if is_stuck else COMPLETED
