"""A small automaton of one saga's life, written from the rules and not from the coordinator's machine.

It says which record of a timeline could not have happened there, and what status the timeline leads to.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.checker.deeds import VOUCHING
from tests.checker.dependence import Dependence
from tests.checker.evidence import Definition, StepRule, TimelineRead

BEGINNINGS = frozenset({"STEP_BEGUN", "PIVOT_BEGUN"})
FORWARD_ANSWERS = frozenset({"STEP_SUCCEEDED", "STEP_REFUSED", "STEP_PENDING", "STEP_FAULTED"})
UNDO_ANSWERS = frozenset({"STEP_COMPENSATED", "UNDO_REFUSED", "UNDO_PENDING", "UNDO_FAULTED"})


@dataclass(slots=True)
class _Step:
    """What is known of one step."""

    rule: StepRule
    forward: str = "new"
    """new, begun, succeeded, skipped, omitted, refused, given up or failed (past the pivot)."""
    only_attempt: bool = False
    was_begun: bool = False
    undo: str = "none"
    """none, again (asked for anew before it was ever sent), begun, done or failed."""
    undo_was_begun: bool = False
    due_ns: int | None = None
    """When it is to be asked again, while it waits for that."""

    @property
    def is_passed(self) -> bool:
        return self.forward in ("succeeded", "skipped", "omitted")

    @property
    def needs_undo(self) -> bool:
        if self.undo != "none":
            return True
        if self.forward == "refused":
            return not self.only_attempt
        if self.forward == "succeeded":
            return self.rule.compensation is not None
        return self.was_begun

    @property
    def holds_up(self) -> bool:
        """Whether what it depends on cannot be undone yet."""
        failed_and_let_go = self.undo == "failed" and self.rule.continues_on_failure
        return self.needs_undo and self.undo != "done" and not failed_and_let_go


class Automaton:
    """One saga, as far as its timeline was fed to it."""

    def __init__(self, definition: Definition, dependence: Dependence) -> None:
        self._definition, self._dependence = definition, dependence
        self._steps = {rule.name: _Step(rule) for rule in definition.steps}
        self._started = False
        self._is_decided = False
        self._is_overdue = False
        self._turned_back = False
        self._is_shaped = definition.output is None
        self._terminated = False

    @property
    def status(self) -> str:
        """Where the saga stands."""
        if self._terminated:
            return "TERMINATED"
        if self._turned_back:
            if any(step.undo == "begun" for step in self._steps.values()) or any(self._due()):
                return "COMPENSATING"
            failed = any(step.undo == "failed" for step in self._steps.values())
            return "DEAD_LETTERED" if failed else "COMPENSATED"
        if any(map(self._is_reached, self._steps.values())) or self._awaits_output():
            return "RUNNING"
        failed = any(step.forward == "failed" for step in self._steps.values())
        return "DEAD_LETTERED" if failed else "COMPLETED"

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
            return self._turn_back(entry)
        if entry.type == "OUTPUT_SHAPED" or (entry.type == "EXPRESSION_FAILED" and not entry.step):
            return self._shape(entry)
        step = self._steps.get(entry.step)
        if step is None:
            return f"it has no step {entry.step!r}"
        return self._feed_step(step, entry)

    def _turn_back(self, entry: TimelineRead) -> str | None:
        wrong = "it had turned back before" if self._turned_back else None
        if entry.type == "DEADLINE_PASSED" and self._is_decided:
            # It is noted that the saga is late, and nothing comes of it.
            wrong = wrong or ("that was known" if self._is_overdue else None)
            self._is_overdue = True
            return wrong
        if entry.type == "CANCEL_REQUESTED" and self._is_decided:
            wrong = wrong or "its pivot had begun"
        self._turned_back = True
        return wrong

    def _shape(self, entry: TimelineRead) -> str | None:
        wrong = None if self._awaits_output() else "no output was to be shaped"
        if entry.type == "EXPRESSION_FAILED" and not self._is_decided:
            self._turned_back = True
        self._is_shaped = True  # or never will be: past the pivot the saga ends without an output
        return wrong

    def _feed_step(self, step: _Step, entry: TimelineRead) -> str | None:
        wrong: str | None
        if entry.type in BEGINNINGS:
            wrong = self._begin(step, entry)
        elif entry.type == "STEP_OMITTED":
            wrong = self._not_its_turn(step) or (None if step.rule.when else "it has no condition")
            step.forward = "omitted"
        elif entry.type == "EXPRESSION_FAILED":
            wrong = self._fail_expression(step)
        elif entry.type == "UNDO_BEGUN":
            wrong = None if self._undo_is_due(step) else "its undo was not due"
            step.undo, step.undo_was_begun = "begun", True
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

    def _begin(self, step: _Step, entry: TimelineRead) -> str | None:
        # Past the pivot one that waits for its next attempt takes no other's place.
        at_work = sum(
            other.forward == "begun" and not (self._is_decided and other.due_ns is not None)
            for other in self._steps.values()
        )
        is_pivot = step.rule.kind == "pivot"
        wrong = self._not_its_turn(step)
        if wrong is None and at_work >= self._definition.parallel_max:
            wrong = "as many steps were at work as may be"
        if wrong is None and is_pivot is not (entry.type == "PIVOT_BEGUN"):
            wrong = f"it is {step.rule.kind}"
        step.forward, step.was_begun = "begun", True
        self._is_decided = self._is_decided or is_pivot
        return wrong

    def _not_its_turn(self, step: _Step) -> str | None:
        if self._turned_back:
            return "it had turned back"
        reached = step.forward == "new" and self._is_reached(step)
        return None if reached else "its turn had not come"

    def _fail_expression(self, step: _Step) -> str | None:
        if self._turned_back:
            wrong = None if self._undo_is_due(step) else "its undo was not due"
            # What a person vouched for before it began never had an input: its undo is the first to need it.
            needs_input = step.rule.shape is not None and not step.was_begun
            if step.rule.undo_shape is None and not needs_input:
                wrong = wrong or "its undo has no expression"
            step.undo = "failed"
            return wrong
        wrong = self._not_its_turn(step)
        if step.rule.when is None and step.rule.shape is None:
            wrong = wrong or "it has no expression"
        if self._is_decided:
            step.forward = "failed"
        else:
            self._turned_back = True
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
            if self._is_decided and not self._turned_back:
                wrong = wrong or "its pivot had begun"
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
        """Going forward, what is done to a step concerns one whose turn it is, or that failed."""
        failed = step.forward == "failed"
        wrong = None if failed or self._is_reached(step) else "its turn had not come, or was over"
        is_pivot = step.rule.kind == "pivot"
        if verb == "RETRY":
            wrong = wrong or (None if failed else _not_waiting(step, entry))
            step.forward = "begun" if step.was_begun else "new"
        elif verb == "SKIP":
            step.forward = "skipped"
        elif verb == "COMPLETE":
            step.forward = "succeeded"
        elif verb == "FAIL" and self._is_decided and not is_pivot:
            wrong = wrong or ("it had failed already" if failed else None)
            step.forward = "failed"
        elif verb == "FAIL":
            step.forward, self._turned_back = "given up", True
        else:
            wrong = "there is no such verb"
        self._is_decided = self._is_decided or (is_pivot and verb in VOUCHING)
        step.due_ns = None
        return wrong

    def _act_back(self, step: _Step, verb: str, entry: TimelineRead) -> str | None:
        """What is done to an undo concerns one that is due, under way or failed."""
        due = self._undo_is_due(step) or step.undo in ("begun", "failed")
        wrong = None if due else "its undo was not due, or was settled"
        if verb == "RETRY":
            wrong = wrong or (None if step.undo == "failed" else _not_waiting(step, entry))
            step.undo = "begun" if step.undo_was_begun else "again"
        elif verb == "FAIL":
            wrong = wrong or (None if step.undo in ("begun", "again") else "no undo of it was under way")
            step.undo = "failed"
        elif verb in VOUCHING:
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
            past_pivot = self._is_decided and not self._turned_back and step.rule.kind != "pivot"
            step.forward, step.only_attempt = "failed" if past_pivot else "refused", entry.attempt <= 1
            self._turned_back = self._turned_back or not past_pivot
        elif entry.type == "STEP_FAULTED" and entry.retry_ns is None and not self._turned_back:
            step.forward = "failed" if self._is_decided else "given up"
            self._turned_back = not self._is_decided

    def _is_reached(self, step: _Step) -> bool:
        """Whether it is not settled, and waits for no other step."""
        parents = self._dependence.parents[step.rule.name]
        return step.forward in ("new", "begun") and all(self._steps[name].is_passed for name in parents)

    def _awaits_output(self) -> bool:
        open_end = not self._turned_back and not self._is_shaped
        return open_end and all(step.is_passed for step in self._steps.values())

    def _due(self) -> Iterator[_Step]:
        """The steps whose undo may begin, last ones first."""
        if not self._turned_back:
            return
        holding = {name for name, step in self._steps.items() if step.holds_up}
        for name in reversed(self._dependence.order):
            step = self._steps[name]
            waits = step.undo in ("none", "again") and step.needs_undo
            if waits and self._dependence.descendants[name].isdisjoint(holding):
                yield step

    def _undo_is_due(self, step: _Step) -> bool:
        return any(due is step for due in self._due())


def _not_waiting(step: _Step, entry: TimelineRead) -> str | None:
    """Only a wait can be cut short."""
    waited = step.due_ns is not None and step.due_ns > entry.time_ns
    return None if waited else "it was not waiting for its next attempt"
