"""A small automaton of one saga's life, written from the rules and not from the coordinator's machine.

It says which record of a timeline could not have happened there, and what status the timeline leads to.
"""

from dataclasses import dataclass

from tests.checker.evidence import Definition, TimelineRead

FORWARD_ANSWERS = frozenset({"STEP_SUCCEEDED", "STEP_REFUSED", "STEP_PENDING", "STEP_FAULTED"})
UNDO_ANSWERS = frozenset({"STEP_COMPENSATED", "UNDO_REFUSED", "UNDO_PENDING", "UNDO_FAULTED"})


@dataclass(slots=True)
class _Step:
    """What is known of one step."""

    undoable: bool
    halts: bool
    forward: str = "new"
    """new, begun, succeeded, skipped, refused or given up."""
    only_attempt: bool = False
    was_begun: bool = False
    undo: str = "none"
    """none, begun, done or failed."""
    due_ns: int | None = None
    """When it is to be asked again, while it waits for that."""

    @property
    def is_passed(self) -> bool:
        return self.forward in ("succeeded", "skipped")

    @property
    def needs_undo(self) -> bool:
        if self.undo != "none":
            return True
        if self.forward == "refused":
            return not self.only_attempt
        if self.forward == "succeeded":
            return self.undoable
        return self.was_begun


class Automaton:
    """One saga, as far as its timeline was fed to it."""

    def __init__(self, definition: Definition) -> None:
        self._steps = {
            rule.name: _Step(rule.compensation is not None, not rule.continues_on_failure)
            for rule in definition.steps
        }
        self._started = False
        self._turned_back = False
        self._terminated = False

    @property
    def status(self) -> str:
        """Where the saga stands."""
        if self._terminated:
            return "TERMINATED"
        if not self._turned_back:
            return "RUNNING" if self._current() else "COMPLETED"
        if self._undoing():
            return "COMPENSATING"
        failed = any(step.undo == "failed" for step in self._steps.values())
        return "DEAD_LETTERED" if failed else "COMPENSATED"

    def feed(self, entry: TimelineRead) -> str | None:
        """Take the next record; what is wrong with it, if anything is."""
        if entry.type == "SAGA_STARTED":
            wrong = "it starts a second time" if self._started else None
            self._started = True
            return wrong
        if not self._started:
            return "it has not started"
        if entry.type == "OPERATOR_ACTED":
            return self._act(entry)
        if (status := self.status) not in ("RUNNING", "COMPENSATING"):
            return f"it had ended: {status}"
        if entry.type == "SAGA_RESUMED":
            return None
        if entry.type in ("CANCEL_REQUESTED", "DEADLINE_PASSED"):
            wrong = "it had turned back before" if self._turned_back else None
            self._turned_back = True
            return wrong
        step = self._steps.get(entry.step)
        if step is None:
            return f"it has no step {entry.step!r}"
        return self._feed_step(step, entry)

    def _feed_step(self, step: _Step, entry: TimelineRead) -> str | None:
        if entry.type == "STEP_BEGUN":
            wrong = None if step is self._current() and step.forward == "new" else "its turn had not come"
            wrong = "it had turned back" if self._turned_back else wrong
            step.forward, step.was_begun = "begun", True
        elif entry.type == "UNDO_BEGUN":
            wrong = None if step is self._undoing() and step.undo == "none" else "its undo was not due"
            step.undo = "begun"
        elif entry.type in FORWARD_ANSWERS:
            wrong = None if step.forward == "begun" else "no Execute was under way"
            self._answer(step, entry)
        elif entry.type in UNDO_ANSWERS:
            wrong = None if step.undo == "begun" else "no Compensate was under way"
            step.due_ns = entry.retry_ns
            if entry.type == "STEP_COMPENSATED":
                step.undo = "done"
            elif entry.type == "UNDO_REFUSED" or (entry.type == "UNDO_FAULTED" and entry.retry_ns is None):
                step.undo = "failed"
        else:
            wrong = "there is no such type of record"
        return wrong

    def _act(self, entry: TimelineRead) -> str | None:
        """Take what an operator did to the whole saga, or to one step."""
        verb, status = entry.action.verb if entry.action is not None else "", self.status
        if status in ("COMPLETED", "COMPENSATED", "TERMINATED"):
            return f"it had ended: {status}"
        if verb == "TERMINATE":
            self._terminated = True
            return "it is not done to a step" if entry.step else None
        if verb == "CANCEL":
            wrong = "there was nothing left to cancel" if status == "DEAD_LETTERED" else None
            self._turned_back = True
            return "it is not done to a step" if entry.step else wrong
        if verb == "RETRY" and not entry.step:
            # That it was set aside is not among its records; but it can have been only while it was open.
            return None if status in ("RUNNING", "COMPENSATING") else f"it was {status}, and not set aside"
        step = self._steps.get(entry.step)
        if step is None:
            return f"it has no step {entry.step!r}"
        return self._act_back(step, verb, entry) if self._turned_back else self._act_on(step, verb, entry)

    def _act_on(self, step: _Step, verb: str, entry: TimelineRead) -> str | None:
        """What is done to a step of a saga that goes forward concerns the one whose turn it is."""
        wrong = None if step is self._current() else "its turn had not come, or was over"
        if verb == "RETRY":
            wrong = wrong or _not_waiting(step, entry)
        elif verb == "SKIP":
            step.forward = "skipped"
        elif verb == "COMPLETE":
            step.forward = "succeeded"
        elif verb == "FAIL":
            step.forward, self._turned_back = "given up", True
        else:
            wrong = "there is no such verb"
        step.due_ns = None
        return wrong

    def _act_back(self, step: _Step, verb: str, entry: TimelineRead) -> str | None:
        """What is done to an undo concerns one that is due, under way or failed."""
        due = step is self._undoing() or step.undo in ("begun", "failed")
        wrong = None if due else "its undo was not due, or was settled"
        if verb == "RETRY":
            wrong = wrong or (None if step.undo == "failed" else _not_waiting(step, entry))
            step.undo = "begun"
        elif verb == "FAIL":
            wrong = wrong or (None if step.undo == "begun" else "no undo of it was under way")
            step.undo = "failed"
        elif verb in ("SKIP", "COMPLETE"):
            step.undo = "done"
        else:
            wrong = "there is no such verb"
        step.due_ns = None
        return wrong

    def _answer(self, step: _Step, entry: TimelineRead) -> None:
        step.due_ns = entry.retry_ns
        if entry.type == "STEP_SUCCEEDED":
            step.forward = "succeeded"
        elif entry.type == "STEP_REFUSED":
            step.forward, step.only_attempt = "refused", entry.attempt <= 1
            self._turned_back = True
        elif entry.type == "STEP_FAULTED" and entry.retry_ns is None and not self._turned_back:
            step.forward = "given up"
            self._turned_back = True

    def _current(self) -> _Step | None:
        return next((step for step in self._steps.values() if not step.is_passed), None)

    def _undoing(self) -> _Step | None:
        for step in reversed(self._steps.values()):
            if step.needs_undo and step.undo != "done":
                if step.undo != "failed":
                    return step
                if step.halts:
                    return None
        return None


def _not_waiting(step: _Step, entry: TimelineRead) -> str | None:
    """Only a wait can be cut short."""
    waited = step.due_ns is not None and step.due_ns > entry.time_ns
    return None if waited else "it was not waiting for its next attempt"
