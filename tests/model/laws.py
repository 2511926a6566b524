"""What must hold in every state and of every move, by the numbers of the product's invariants.

That every saga ends (I19) is judged move by move: each that is no mishap brings it nearer to its end, and
where there is none, it has ended or needs a person. So once mishaps cease, it ends in whatever order.
"""

from typing import NamedTuple

from tests.model.facts import (
    BY_HAND,
    COMPENSATED,
    COMPLETED,
    FINAL,
    REFUSED,
    SKIPPED,
    SUCCEEDED,
    UNDONE,
    WORKING,
    Step,
    descendants,
)
from tests.model.participants import EXECUTE
from tests.model.protocol import Move, Protocol, State, What

LAWS = {
    "I6": "of a step at most one Execute and one Compensate are applied",
    "I7": "a Compensate is applied only after its Execute",
    "I8": "no Execute is applied after its Compensate",
    "I9": "COMPLETED: each step is applied once and none is undone",
    "I10": "COMPENSATED: what was applied is what was undone",
    "I11": "past the pivot nothing is undone, and nothing begins once the saga has turned back",
    "I12": "an Execute is sent after those that it depends on, whose answers are durable",
    "I13": "a Compensate is sent after those of all that depends on the step",
    "I15": "all Compensates of a step say the same",
    "I17": "what the journal says is done is done",
    "I19": "what goes on by itself comes to an end, and stops nowhere before",
    "I21": "what is final stays as it is",
    "I23": "no step begins after the deadline, and no later answer spares one its undo",
    "I26": "neither journal nor participants do anything for a run once they know a newer one",
    "I27": "what a person has decided stands",
}


class Breach(NamedTuple):
    """A law that is broken, and how."""

    law: str
    sentence: str


class Judge:
    """Judges one saga and all that concerns it."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._shape = protocol.shape
        self._names = [rule.name for rule in protocol.shape]

    def state(self, state: State) -> Breach | None:
        """The law that is broken in *state*, if one is."""
        status = self._protocol.status(state)
        for place, (step, site) in enumerate(zip(state.facts.steps, state.sites, strict=True)):
            name, times = self._names[place], (len(site.applied), len(site.undone))
            if max(times) > 1:
                return Breach("I6", f"{name} is applied {times[0]} times and undone {times[1]} times")
            if times[1] > times[0]:
                return Breach("I7", f"{name} is undone and was never applied")
            if step.outcome == SUCCEEDED and not site.applied:
                return Breach("I17", f"{name} has succeeded, says the journal, and was never applied")
            if step.undo == UNDONE and not (site.undone or site.is_barred):
                return Breach("I17", f"{name} is undone, says the journal, and is not")
            if step.is_forced:
                continue
            if status == COMPLETED and times != (1, 0):
                return Breach(
                    "I9", f"COMPLETED, and {name} is applied {times[0]} and undone {times[1]} times"
                )
            if status == COMPENSATED and times[0] != times[1] and self._shape[place].has_compensation:
                return Breach("I10", f"COMPENSATED, and {name} is still applied")
        return None

    def move(self, before: State, move: Move, after: State) -> Breach | None:
        """The law that *move* breaks, if it does."""
        if move.what is What.SENDS:
            return self._sending(before, move)
        breach = self._effects(before, move, after) or self._record(before, move, after)
        if breach is None and not move.is_mishap and not self._protocol.is_nearer(after, before):
            return Breach("I19", "this could go on for ever")
        return breach

    def rest(self, state: State) -> Breach | None:
        """The law that is broken if nothing goes on by itself in *state*."""
        status = self._protocol.status(state)
        return Breach("I19", f"{status}, and nothing goes on by itself") if status in WORKING else None

    def _effects(self, before: State, move: Move, after: State) -> Breach | None:
        if before.sites is after.sites:
            return None
        for place, (old, new) in enumerate(zip(before.sites, after.sites, strict=True)):
            if (old.applied, old.undone) == (new.applied, new.undone):
                continue
            name = self._names[place]
            if old.is_settled and old.applied != new.applied:
                return Breach("I8", f"{name} is applied after its Compensate")
            if move.request is not None and move.request.token < old.token:
                return Breach(
                    "I26", f"{name} changes for run {move.request.token}, but knows run {old.token}"
                )
            is_final = self._protocol.status(before) in FINAL
            if is_final and not before.facts.steps[place].is_forced:
                return Breach("I21", f"the saga is final, and {name} changes")
        return None

    def _sending(self, before: State, move: Move) -> Breach | None:
        steps, request = before.facts.steps, move.request
        name, rule = self._names[move.step], self._shape[move.step]
        if request is None:
            return None
        if request.operation == EXECUTE:
            for parent in rule.parents:
                if not steps[parent].is_passed:
                    return Breach("I12", f"nothing durable says that {self._names[parent]} is done")
            return None
        for other, step in zip(self._shape, steps, strict=True):
            if other.is_pivot and step.is_begun and step.outcome != REFUSED:
                return Breach("I11", f"the pivot has begun, and {name} is undone")
        for later in descendants(self._shape, move.step):
            if not self._is_harmless(later, steps[later]):
                return Breach("I13", f"{name} is undone before {self._names[later]}")
        for sent in before.sites[move.step].requests:
            is_alike = (sent.operation, sent.key) == (request.operation, request.key)
            if is_alike and sent.receipt != request.receipt:
                said = f"{sent.receipt}, then {request.receipt}"
                return Breach("I15", f"what the Compensates of {name} say of its output: {said}")
        return None

    def _is_harmless(self, place: int, step: Step) -> bool:
        """Whether nothing that can be undone is left of a step, or can still come."""
        if step.undo in (UNDONE, SKIPPED, BY_HAND) or not step.is_begun:
            return True
        if step.outcome == REFUSED:
            return not step.is_repeated
        return step.is_passed and not self._shape[place].has_compensation

    def _record(self, before: State, move: Move, after: State) -> Breach | None:
        event, old = move.event, before.facts
        if event is None or move.what in (What.STOPS, What.TRIES_ON):
            return None
        if move.token < before.token:
            return Breach(
                "I26", f"the journal takes a record from run {move.token}, but knows run {before.token}"
            )
        if self._protocol.status(before) in FINAL:
            return Breach("I21", "the saga is final, and the journal goes on")
        if event.what == "begun" and old.is_aborted:
            return Breach("I11", f"{self._names[event.step]} begins though the saga has turned back")
        is_open = before.ahead.is_late and not self._protocol.reading.is_decided(old)
        if is_open and event.what in ("begun", REFUSED):
            what = "begins" if event.what == "begun" else "is spared its undo"
            return Breach("I23", f"{self._names[event.step]} {what} after the deadline")
        if event.step >= 0 and move.what is not What.ACTS:
            step, then = old.steps[event.step], after.facts.steps[event.step]
            for decided, becomes in ((step.outcome, then.outcome), (step.undo, then.undo)):
                if decided in (SKIPPED, BY_HAND) and becomes != decided:
                    return Breach("I27", f"{self._names[event.step]}: {decided} becomes {becomes}")
        return None
