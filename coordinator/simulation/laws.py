"""What must hold of every rehearsed saga, by what its services did. What is broken is a mistake of ours."""

from collections.abc import Iterator, Sequence

from coordinator.domain.ids import StepName
from coordinator.domain.language.graph import places
from coordinator.domain.saga import Saga, Status, StepOutcome, UndoOutcome
from coordinator.simulation.rehearsal import Rehearsed
from coordinator.simulation.world import Row


def broken_laws(rehearsed: Rehearsed) -> list[str]:
    """A sentence for each law that did not hold. Nobody but a client's cancel had a say in it."""
    saga = rehearsed.saga
    rows = [row for row in rehearsed.world.rows if row.saga == saga.id]
    return [
        *_effects(saga, rows),
        *_turning_back(saga, rows),
        *_order(saga, rows),
        *_end(saga, rehearsed),
    ]


def _effects(saga: Saga, rows: Sequence[Row]) -> Iterator[str]:
    for step in saga.steps:
        mine = [(row.op, row.outcome) for row in rows if row.step == step.name]
        if mine.count(("E", "applied")) > 1:
            yield f"{step.name} was done more than once"
        if mine.count(("C", "applied")) > 1:
            yield f"{step.name} was undone more than once"
        first_undo = next((place for place, (op, _) in enumerate(mine) if op == "C"), len(mine))
        if ("E", "applied") in mine[first_undo:]:
            yield f"{step.name} was done after its undo"
        if ("C", "applied") in mine and ("E", "applied") not in mine:
            yield f"{step.name} was undone and never done"
        if step.outcome is StepOutcome.OMITTED and mine:
            yield f"{step.name} was omitted and called all the same"
        if step.outcome is StepOutcome.SUCCEEDED and ("E", "applied") not in mine:
            yield f"{step.name} is told to have succeeded and was never done"


def _turning_back(saga: Saga, rows: Sequence[Row]) -> Iterator[str]:
    if saga.abort is None:
        yield from (f"{row.step} was undone in a saga that went forward" for row in rows if row.op == "C")
        return
    pivot = saga.definition.pivot
    if pivot is None:
        return
    decision = saga.steps[pivot]
    if decision.begun and decision.outcome is not StepOutcome.REFUSED:
        yield f"it turned back past its pivot {decision.name}, which nobody refused"
    after = saga.definition.graph.descendants[pivot]
    yield from (
        f"{saga.steps[place].name} was begun after the pivot in vain"
        for place in places(after)
        if saga.steps[place].begun
    )


def _order(saga: Saga, rows: Sequence[Row]) -> Iterator[str]:
    """Each step is done after all that it depends on, and undone before any of that is."""
    definition = saga.definition
    before = {
        step.name: [ancestor.name for ancestor in definition.ancestors(step.name)]
        for step in definition.steps
    }
    passed = [step.name for step in saga.steps if step.outcome is StepOutcome.OMITTED]
    undone: list[StepName] = []
    settled = [step.name for step in saga.steps if step.undo_outcome is UndoOutcome.FAILED]
    for row in rows:
        if row.op == "E":
            if row.outcome == "applied":
                early = [name for name in before[row.step] if name not in passed]
                yield from (f"{row.step} was done before {name}" for name in early)
                passed.append(row.step)
        elif row.outcome in ("applied", "null"):
            if row.step not in settled:
                late = [name for name in before[row.step] if name in undone]
                yield from (f"{row.step} was undone after {name}" for name in late)
            undone.append(row.step)


def _end(saga: Saga, rehearsed: Rehearsed) -> Iterator[str]:
    done, undone = rehearsed.world.applied(saga.id, "E"), rehearsed.world.applied(saga.id, "C")
    match saga.status:
        case Status.COMPLETED:
            for step in saga.steps:
                if step.outcome is not StepOutcome.OMITTED and (step.name not in done or step.name in undone):
                    yield f"it is COMPLETED, and the effect of {step.name} does not stand"
        case Status.COMPENSATED:
            for step in saga.steps:
                can_be = step.definition.compensation is not None
                if can_be and step.name in done and step.name not in undone:
                    yield f"it is COMPENSATED, and the effect of {step.name} stands"
        case Status.DEAD_LETTERED:
            if not saga.needs_person:
                yield "it is DEAD_LETTERED, and nobody is needed"
        case _:
            yield f"it is {saga.status} and nothing is done about it"
