"""The services of a simulated world: barrier rules over one ledger, and the laws that a ledger must keep.

A reaction is what a service and the network between do with one delivery. The barrier stands before it:
same key, same effect, same answer; a Compensate bars its Execute for good.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from coordinator.domain.definition import OnCompensationFailure, SagaDefinition
from coordinator.domain.ids import SagaId, StepName
from coordinator.domain.outcomes import Answer, Faulted, NoProof, Pending, Refused, Succeeded, Unproved
from coordinator.domain.saga import Saga, Status, StepOutcome, StepState, UndoOutcome
from coordinator.ports.participants import Call, ExecuteCall


class Reaction(Enum):
    """What becomes of one delivery."""

    SUCCEED = auto()
    REFUSE = auto()
    PEND = auto()
    FAULT = auto()
    LOSE_THE_REQUEST = auto()
    LOSE_THE_REPLY = auto()
    DENY = auto()
    """A status that will not pass, after the effect."""
    BABBLE = auto()
    """A broken answer, after the effect."""


Op = Literal["E", "C"]
Outcome = Literal["applied", "duplicate", "null", "refused", "barred"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the ledger, in the order in which things happened everywhere."""

    saga: SagaId
    step: StepName
    op: Op
    outcome: Outcome


@dataclass(slots=True)
class World:
    """Every service, and what was done to it."""

    rows: list[Row] = field(default_factory=list)
    contents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each idempotency key was first sent with."""
    outputs: dict[str, str] = field(default_factory=dict)
    """What each step answers; `"<step> done"` where nothing is set."""
    _effects: dict[tuple[SagaId, StepName, Op], Outcome] = field(default_factory=dict)
    _undos_refused: set[str] = field(default_factory=set)
    """The keys whose refusal is stored: it is repeated for ever."""

    def deliver(self, call: Call, reaction: Reaction) -> Answer:
        """One request reaches its service, or does not; what the caller learns of it."""
        self._check_content(call)
        if reaction is Reaction.LOSE_THE_REQUEST:
            return NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "the request was lost")
        answer = (
            self._execute(call, reaction) if isinstance(call, ExecuteCall) else self._undo(call, reaction)
        )
        match reaction:
            case Reaction.LOSE_THE_REPLY:
                return NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "the reply was lost")
            case Reaction.DENY:
                return NoProof(Unproved.PERMANENT, "PERMISSION_DENIED", "not you")
            case Reaction.BABBLE:
                return NoProof(Unproved.BROKEN_CONTRACT, "BROKEN_CONTRACT", "what?")
        return answer

    def applied(self, saga: SagaId, op: Op) -> set[StepName]:
        return {row.step for row in self.rows if (row.saga, row.op, row.outcome) == (saga, op, "applied")}

    def count(self, saga: SagaId, step: StepName, op: Op, outcome: Outcome) -> int:
        return self.rows.count(Row(saga, step, op, outcome))

    def _execute(self, call: Call, reaction: Reaction) -> Answer:
        match self._effects.get((call.saga_id, call.step, "E")):
            case "applied":
                self._note(call, "E", "duplicate")
                return Succeeded(self.outputs.get(call.step, f'"{call.step} done"'))
            case "refused":
                self._note(call, "E", "refused")
                return Refused("NO", "the business says no")
        if (call.saga_id, call.step, "C") in self._effects:
            self._note(call, "E", "barred")
            return NoProof(Unproved.BARRED, "BARRED", "compensated already")
        match reaction:
            case Reaction.REFUSE:
                self._note(call, "E", "refused", keep=True)
                return Refused("NO", "the business says no")
            case Reaction.PEND:
                return Pending(0.02)
            case Reaction.FAULT:
                return Faulted("BUSY", "", None)
        self._note(call, "E", "applied", keep=True)
        return Succeeded(self.outputs.get(call.step, f'"{call.step} done"'))

    def _undo(self, call: Call, reaction: Reaction) -> Answer:
        if (call.saga_id, call.step, "C") in self._effects:
            self._note(call, "C", "duplicate")
            return Succeeded("null")
        match reaction:
            case _ if call.key in self._undos_refused:
                return Refused("TOO_LATE", "it can not be undone any more")
            case Reaction.REFUSE:
                self._undos_refused.add(call.key)
                return Refused("TOO_LATE", "it can not be undone any more")
            case Reaction.PEND:
                return Pending(0.02)
            case Reaction.FAULT:
                return Faulted("BUSY", "", None)
        effect = self._effects.get((call.saga_id, call.step, "E")) == "applied"
        named = isinstance(call, ExecuteCall) or call.compensation is not None
        self._note(call, "C", "applied" if effect and named else "null", keep=True)
        return Succeeded("null")

    def _note(self, call: Call, op: Op, outcome: Outcome, *, keep: bool = False) -> None:
        self.rows.append(Row(call.saga_id, call.step, op, outcome))
        if keep:
            self._effects[call.saga_id, call.step, op] = outcome

    def _check_content(self, call: Call) -> None:
        """Stable content (I15): all calls with one key carry the same, but for attempt and token."""
        if isinstance(call, ExecuteCall):
            content: tuple[str, ...] = (call.service, call.step, call.transaction, call.input)
        else:
            content = (call.service, call.step, call.compensation or "", call.input, call.receipt or "")
        assert self.contents.setdefault(call.key, content) == content


def judge(definition: SagaDefinition, saga: Saga, world: World) -> None:
    """The laws I6 to I10, I13 and I17 over one saga that has ended, or not yet. What a person decided is
    left out, step by step."""
    mine = [row for row in world.rows if row.saga == saga.id]
    executed, undone = world.applied(saga.id, "E"), world.applied(saga.id, "C")
    for step in definition.steps:
        for op in ("E", "C"):
            applied = [i for i, row in enumerate(mine) if row == Row(saga.id, step.name, op, "applied")]
            assert len(applied) <= 1, f"I6: {op} of {step.name} was applied {len(applied)} times"
        assert step.name not in undone or step.name in executed, (
            f"I7: {step.name} was undone before it was done"
        )
        first_undo = next((i for i, row in enumerate(mine) if row.op == "C" and row.step == step.name), None)
        if first_undo is not None:
            late = Row(saga.id, step.name, "E", "applied")
            assert late not in mine[first_undo:], f"I8: {step.name} was done after its undo"
    for state in saga.steps:
        if state.outcome is StepOutcome.SUCCEEDED and not state.by_hand:
            assert state.name in executed, f"I17: {state.name} did not happen"
        if (
            state.undo_outcome is UndoOutcome.COMPENSATED
            and state.definition.compensation is not None
            and not state.is_forced
        ):
            assert (state.name in executed) == (state.name in undone), f"I17: {state.name} still stands"
    # One that was refused has settled, though an earlier delivery of it may still come.
    failed = {state.name for state in saga.steps if state.undo_outcome is UndoOutcome.FAILED}
    out_of_turn = {state.name for state in saga.steps if _is_undone_out_of_turn(state)}
    undos = [
        row.step
        for row in mine
        if row.op == "C" and row.outcome in ("applied", "null") and row.step not in failed | out_of_turn
    ]
    order = [step.name for step in reversed(definition.steps)]
    assert undos == sorted(undos, key=order.index), f"I13: undone in the order {undos}"
    with_undo = {step.name for step in definition.steps if step.compensation is not None}
    forced = {state.name for state in saga.steps if state.is_forced}
    match saga.status:
        case Status.COMPLETED:
            assert executed | forced == {step.name for step in definition.steps}, "I9: something is missing"
            assert not undone, "I9: something was undone"
        case Status.COMPENSATED:
            assert executed & with_undo - forced == undone - forced, f"I10: done {executed}, undone {undone}"
        case Status.DEAD_LETTERED:
            assert failed, "I22: nobody needs to look at this"
            listed = {s.name for s in saga.left_standing}
            assert executed & with_undo - undone - forced <= listed, "I22: not listed"


def _is_undone_out_of_turn(state: StepState) -> bool:
    """Whether steps before it may have been undone first: a person let them, or its definition did and a
    person had it asked again later."""
    undo = state.undo
    if undo is None:
        return False
    passed_over = state.definition.on_compensation_failure is OnCompensationFailure.CONTINUE
    return undo.by_hand or undo.outcome is UndoOutcome.SKIPPED or (passed_over and undo.attempts_before > 0)
