"""The laws that the ledger of a simulated world must keep."""

from collections.abc import Mapping
from graphlib import TopologicalSorter

from coordinator.domain.by_hand import FAILED_BY_HAND
from coordinator.domain.definition import OnCompensationFailure, SagaDefinition, StepKind
from coordinator.domain.ids import StepName
from coordinator.domain.saga import AbortKind, Saga, Status, StepOutcome, StepState, UndoOutcome
from coordinator.simulation.world import Row, World


def judge(definition: SagaDefinition, saga: Saga, world: World) -> None:
    """The laws I6 to I13, I17 and I22 over one saga that has ended, or not yet. What a person decided is
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
    omitted = {state.name for state in saga.steps if state.outcome is StepOutcome.OMITTED}
    assert not any(row.step in omitted for row in mine), "I9: one that was omitted was called"
    _judge_turning_back(saga, mine)
    before = ancestors(definition)
    _judge_order(saga, mine, before)
    with_undo = {step.name for step in definition.steps if step.compensation is not None}
    forced = {state.name for state in saga.steps if state.is_forced}
    match saga.status:
        case Status.COMPLETED:
            names = {step.name for step in definition.steps}
            assert executed | forced == names - omitted, "I9: something is missing"
            assert not undone, "I9: something was undone"
        case Status.COMPENSATED:
            assert executed & with_undo - forced == undone - forced, f"I10: done {executed}, undone {undone}"
        case Status.DEAD_LETTERED if saga.abort is None:
            failed = {state.name for state in saga.steps if state.outcome is StepOutcome.FAILED}
            assert failed, "I22: nobody needs to look at this"
            idle = [state.name for state in saga.steps if state.outcome is None]
            assert all(before[name] & failed for name in idle), "I22: what could go on does not"
        case Status.DEAD_LETTERED:
            failed = {state.name for state in saga.steps if state.undo_outcome is UndoOutcome.FAILED}
            assert failed, "I22: nobody needs to look at this"
            halting = {name for name in failed if not _is_passed_over(saga.step(name))}
            waiting = {s.name for s in saga.steps if s.needs_undo and s.undo_outcome is None}
            blocked = {name for failure in halting for name in before[failure]}
            assert waiting <= blocked, f"I22: {waiting - blocked} could be undone"
            listed = {s.name for s in saga.left_standing}
            assert executed & with_undo - undone - forced <= listed, "I22: not listed"


def ancestors(definition: SagaDefinition) -> Mapping[StepName, frozenset[StepName]]:
    """What each step depends on, directly or through others; worked out here anew from what the definition
    says, and not by the coordinator's graph."""
    names = [step.name for step in definition.steps]
    said = {
        step.name: names[max(0, place - 1) : place] if step.depends_on is None else step.depends_on
        for place, step in enumerate(definition.steps)
    }
    found: dict[StepName, frozenset[StepName]] = {}
    for name in TopologicalSorter(said).static_order():
        found[name] = frozenset(said[name]).union(*(found[parent] for parent in said[name]))
    return found


def _judge_turning_back(saga: Saga, mine: list[Row]) -> None:
    """Nothing is undone while the saga heads forward, and past its pivot it turns back for that alone: it
    was refused, or given up by a person (I11)."""
    if saga.abort is None:
        assert not any(row.op == "C" for row in mine), "I11: something was undone going forward"
        return
    for state in saga.steps:
        if state.definition.kind is StepKind.PIVOT and (state.begun or state.is_passed):
            by_hand = saga.abort.code == FAILED_BY_HAND
            assert saga.abort.step == state.name, f"I11: turned back past its pivot by {saga.abort}"
            assert by_hand or saga.abort.kind is AbortKind.REFUSED, "I11: nobody has said no"
        if state.definition.kind is StepKind.RETRIABLE:
            assert not state.begun, f"I11: {state.name} was begun, and the saga turned back"


def _judge_order(saga: Saga, mine: list[Row], before: Mapping[StepName, frozenset[StepName]]) -> None:
    """Each step is done after all that it depends on (I12), and undone before any of it is (I13)."""
    not_done = {s.name for s in saga.steps if s.is_forced or s.outcome is StepOutcome.OMITTED}
    done = set[StepName]()
    for row in mine:
        if row.op == "E":
            assert before[row.step] - not_done <= done, (
                f"I12: {row.step} came before {before[row.step] - done}"
            )
            done |= {row.step} if row.outcome == "applied" else set()
    # One that was refused has settled, though an earlier delivery of it may still come.
    settled = {state.name for state in saga.steps if state.undo_outcome is UndoOutcome.FAILED}
    settled |= {state.name for state in saga.steps if _is_undone_out_of_turn(state)}
    undos = [row.step for row in mine if row.op == "C" and row.outcome in ("applied", "null")]
    for place, name in enumerate(undos):
        later = before[name].intersection(undos[:place]) if name not in settled else ()
        assert not set(later) - settled, f"I13: {name} was undone after {later}, in {undos}"


def _is_undone_out_of_turn(state: StepState) -> bool:
    """Whether steps before it may have been undone first: a person let them, or its definition did and a
    person had it asked again later."""
    undo = state.undo
    if undo is None:
        return False
    was_retried = _is_passed_over(state) and undo.attempts_before > 0
    return undo.by_hand or undo.outcome is UndoOutcome.SKIPPED or was_retried


def _is_passed_over(state: StepState) -> bool:
    return state.definition.on_compensation_failure is OnCompensationFailure.CONTINUE
