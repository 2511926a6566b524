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
    """new, begun, succeeded, refused or given up."""
    only_attempt: bool = False
    undo: str = "none"
    """none, begun, done or failed."""

    @property
    def needs_undo(self) -> bool:
        if self.undo != "none":
            return True
        if self.forward == "refused":
            return not self.only_attempt
        return self.forward in ("begun", "given up") or (self.forward == "succeeded" and self.undoable)


class Automaton:
    """One saga, as far as its timeline was fed to it."""

    def __init__(self, definition: Definition) -> None:
        self._steps = {
            rule.name: _Step(rule.compensation is not None, not rule.continues_on_failure)
            for rule in definition.steps
        }
        self._started = False
        self._turned_back = False

    @property
    def status(self) -> str:
        """Where the saga stands."""
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
            step.forward = "begun"
        elif entry.type == "UNDO_BEGUN":
            wrong = None if step is self._undoing() and step.undo == "none" else "its undo was not due"
            step.undo = "begun"
        elif entry.type in FORWARD_ANSWERS:
            wrong = None if step.forward == "begun" else "no Execute was under way"
            self._answer(step, entry)
        elif entry.type in UNDO_ANSWERS:
            wrong = None if step.undo == "begun" else "no Compensate was under way"
            if entry.type == "STEP_COMPENSATED":
                step.undo = "done"
            elif entry.type == "UNDO_REFUSED" or (entry.type == "UNDO_FAULTED" and entry.retry_ns is None):
                step.undo = "failed"
        else:
            wrong = "there is no such type of record"
        return wrong

    def _answer(self, step: _Step, entry: TimelineRead) -> None:
        if entry.type == "STEP_SUCCEEDED":
            step.forward = "succeeded"
        elif entry.type == "STEP_REFUSED":
            step.forward, step.only_attempt = "refused", entry.attempt <= 1
            self._turned_back = True
        elif entry.type == "STEP_FAULTED" and entry.retry_ns is None and not self._turned_back:
            step.forward = "given up"
            self._turned_back = True

    def _current(self) -> _Step | None:
        return next((step for step in self._steps.values() if step.forward != "succeeded"), None)

    def _undoing(self) -> _Step | None:
        for step in reversed(self._steps.values()):
            if step.needs_undo and step.undo != "done":
                if step.undo != "failed":
                    return step
                if step.halts:
                    return None
        return None
