"""What an undo plan says, held against what then runs: the same calls, in an order that it allows, and what
is left when all of them have succeeded.
"""

import random
from collections.abc import Collection, Iterator, Mapping
from functools import reduce

from coordinator.domain.commands import Command, Compensate
from coordinator.domain.definition import OnCompensationFailure
from coordinator.domain.events import CancelRequested, Event, ExpressionFailed, StepCompensated, StepSucceeded
from coordinator.domain.ids import FencingToken, StepName
from coordinator.domain.machine import evolve, outstanding
from coordinator.domain.saga import Heading, Saga, Status, StepOutcome, StepState, UndoOutcome
from coordinator.domain.shaping import first_call
from coordinator.domain.shown.undo_plan import PlannedUndo, Stays, UndoPlan, undo_plan
from coordinator.engine.dispatcher import call_for
from coordinator.ports.participants import CompensateCall
from tests.unit.machine.definitions import OUTPUT
from tests.unit.machine.tale import only_paths
from tests.unit.machine.world import ancestors


def check_plan(saga: Saga, dice: random.Random, *, late: Collection[StepName] = ()) -> UndoPlan:
    """*saga* turns back, if it can, and everything succeeds, in an order that *dice* choose; first of all the
    Executes of the steps in *late*, which are still under way."""
    plan = undo_plan(saga, only_paths)
    waiting = {undo.step: undo for undo in plan.undos}
    assert len(waiting) == len(plan.undos), "each undo is planned once"
    _check_order(plan, ancestors(saga.definition))
    end = reduce(evolve, _turning_back(saga), saga)
    fails = Stays.EXPRESSION in dict(plan.stays).values()
    if fails:
        late = ()  # what was answered late may be just what the expression lacked
    for name in late:
        end = evolve(end, StepSucceeded(end.updated_at, name, end.step(name).attempt, OUTPUT))
    # One whose effect is known now, and cannot be undone, is not barred any more.
    done = {undo.step for undo in plan.undos if not end.step(undo.step).needs_undo}
    while end.heading is Heading.BACKWARD and (commands := outstanding(end)):
        if not late and not fails:
            free = {undo.step for undo in waiting.values() if done.issuperset(undo.after)}
            assert {command.step for command in commands} == free, "what may run at the same time"
        command = dice.choice(commands)
        event = first_call(end, command, only_paths, end.updated_at)
        end = end if event is None else evolve(end, event)
        if isinstance(event, ExpressionFailed):
            assert command.step not in waiting, f"{command.step} is planned and cannot be sent"
            continue
        undo = waiting.pop(command.step)
        _check_call(end, command, undo, is_late=bool(late))
        assert done.issuperset(undo.after), f"{undo.step} did not wait for {undo.after}"
        done.add(undo.step)
        end = evolve(end, StepCompensated(end.updated_at, undo.step, 1))
    if not late:
        assert not waiting, "planned and not sent"
        _check_stays(plan, end)
    return plan


def _turning_back(saga: Saga) -> Iterator[Event]:
    if saga.status is Status.RUNNING and not saga.is_decided:
        yield CancelRequested(saga.updated_at, "")


def _check_order(plan: UndoPlan, before: Mapping[StepName, frozenset[StepName]]) -> None:
    seen = set[StepName]()
    for undo in plan.undos:
        assert seen.issuperset(undo.after), f"{undo.step} stands before {undo.after}"
        assert all(undo.step in before[later] for later in undo.after), "it waits for nothing beside it"
        for later in undo.after:
            assert not before[later].intersection(undo.after), f"{undo.step} waits for the last ones alone"
        seen.add(undo.step)


def _check_call(saga: Saga, command: Command, undo: PlannedUndo, *, is_late: bool) -> None:
    assert isinstance(command, Compensate)
    call = call_for(saga, command, FencingToken(1), "")
    assert isinstance(call, CompensateCall)
    sent = (call.step, call.service, call.compensation, call.key)
    assert sent == (undo.step, undo.service, undo.compensation, undo.key)
    if is_late:
        assert undo.receipt in (None, call.receipt), "only one that was not known may have come since"
    else:
        assert (undo.receipt, undo.input) == (call.receipt, call.input)


def _check_stays(plan: UndoPlan, end: Saga) -> None:
    before = ancestors(end.definition)
    stays = dict(plan.stays)
    may_stand = [step.name for step in end.steps if _may_stand(step)]
    assert list(stays) == may_stand, (
        f"{stays} and {[s for s in end.steps if s.name in set(stays) ^ set(may_stand)]}"
    )
    halted = {
        step.name
        for step in end.steps
        if step.undo_outcome is UndoOutcome.FAILED
        and step.definition.on_compensation_failure is OnCompensationFailure.HALT
    }
    for name, why in stays.items():
        step = end.step(name)
        match why:
            case Stays.NO_COMPENSATION:
                assert step.definition.compensation is None
            case Stays.PAST_PIVOT:
                assert end.heading is Heading.FORWARD
                assert end.is_decided or end.status is Status.COMPLETED
            case Stays.UNDO_FAILED | Stays.EXPRESSION:
                assert step.undo is not None
                assert step.undo.outcome is UndoOutcome.FAILED
                assert bool(step.undo.unsendable) == (why is Stays.EXPRESSION)
            case Stays.BLOCKED:
                assert step.undo_outcome is None
                assert any(name in before[failed] for failed in halted)
            case Stays.BY_HAND:
                assert end.status is Status.TERMINATED or step.undo_outcome is UndoOutcome.SKIPPED


def _may_stand(step: StepState) -> bool:
    """Whether its effect may be there for all that is known."""
    once = step.attempt == 1 if step.outcome is StepOutcome.REFUSED else step.refused and step.attempt == 2
    is_refused = step.outcome is StepOutcome.REFUSED or step.refused
    if not step.begun or (is_refused and once and step.undo is None):
        return False
    is_named = step.definition.compensation is not None or (step.undo is not None and step.undo.by_hand)
    return not (step.undo_outcome is UndoOutcome.COMPENSATED and is_named)
