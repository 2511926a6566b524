"""What would be undone if a saga turned back now: told by the machine itself, which plays it to the end.

Every call succeeds in that play. What really comes of it may be less, never more, and never in another order.
"""

from dataclasses import field
from enum import StrEnum

from coordinator.domain.commands import Command
from coordinator.domain.events import CancelRequested
from coordinator.domain.ids import IdempotencyKey, StepName
from coordinator.domain.language.expressions import Evaluate
from coordinator.domain.language.graph import mask, places
from coordinator.domain.machine import evolve
from coordinator.domain.play import play
from coordinator.domain.saga import Heading, Saga, Status, StepOutcome, StepState, UndoOutcome
from coordinator.domain.shaping import sent_input
from coordinator.domain.values import frozen


class Stays(StrEnum):
    """Why an effect cannot be undone."""

    NO_COMPENSATION = "NO_COMPENSATION"
    """The definition names none."""
    PAST_PIVOT = "PAST_PIVOT"
    """The saga is decided, or has completed."""
    UNDO_FAILED = "UNDO_FAILED"
    """Its undo failed for good; a person decides."""
    BLOCKED = "BLOCKED"
    """Behind it in the order of undoing is one that failed for good."""
    BY_HAND = "BY_HAND"
    """A person left it in place, or ended the saga."""
    EXPRESSION = "EXPRESSION"
    """An expression for its undo's input fails."""


@frozen
class PlannedUndo:
    """One Compensate that would be sent, or be sent again."""

    step: StepName
    service: str
    compensation: str | None
    """None: nothing is undone, only an Execute that is still on its way is barred."""
    key: IdempotencyKey
    receipt: str | None
    """What the Execute answered; None where no answer is known so far."""
    after: tuple[StepName, ...]
    """The undos that it waits for."""
    saga: Saga = field(repr=False, compare=False)
    """As it is when this undo is begun, or later."""

    @property
    def input(self) -> str:
        """What would be sent. Made when it is asked for: each of a thousand undos may get a megabyte."""
        return sent_input(self.saga, self.saga.step(self.step), undo=True)


@frozen
class UndoPlan:
    """`undos` in an order in which they may run; `stays` what would be left, in the definition's order."""

    undos: tuple[PlannedUndo, ...]
    stays: tuple[tuple[StepName, Stays], ...]


def undo_plan(saga: Saga, evaluate: Evaluate) -> UndoPlan:
    """What would happen from here on if *saga* turned back now; what is undone already is no part of it."""
    turned = _turned_back(saga)
    end, sent = play(turned, evaluate) if turned.heading is Heading.BACKWARD else (turned, [])
    planned = mask([command.place for command in sent])
    undos = tuple(_planned(end, command, planned) for command in sent)
    stays = ((step.name, _why_it_stays(end, step)) for step in end.steps)
    return UndoPlan(undos, tuple((name, why) for name, why in stays if why is not None))


def _turned_back(saga: Saga) -> Saga:
    """*saga* if it turned back now, or as it is if it cannot any more."""
    if saga.status is Status.RUNNING and not saga.is_decided:
        return evolve(saga, CancelRequested(saga.updated_at, ""))
    return saga


def _planned(end: Saga, command: Command, planned: int) -> PlannedUndo:
    step = end.steps[command.place]
    if step.undo is None:
        raise ValueError(f"saga {end.id}: the undo of {step.name!r} is planned and was never begun")
    return PlannedUndo(
        step.name,
        step.definition.service,
        step.definition.compensation,
        command.key,
        step.undo.receipt,
        _waits_for(end, step.name, planned),
        end,
    )


def _waits_for(saga: Saga, name: StepName, planned: int) -> tuple[StepName, ...]:
    """Of the undos in *planned* that come before that of *name*, the last ones."""
    graph = saga.definition.graph
    behind = graph.descendants[saga.definition.positions[name]] & planned
    nearest = behind
    for place in places(behind):
        nearest &= ~graph.descendants[place]
    return tuple(saga.steps[place].name for place in places(nearest))


def _why_it_stays(end: Saga, step: StepState) -> Stays | None:
    """Why the effect of *step*, which may exist, is there when all that can be undone is undone."""
    match step.undo_outcome:
        case UndoOutcome.COMPENSATED:
            # A bar undoes nothing, and the Execute may have come before it.
            is_by_hand = step.undo is not None and step.undo.by_hand
            is_barred = step.definition.compensation is None and not is_by_hand
            return Stays.NO_COMPENSATION if is_barred else None
        case UndoOutcome.SKIPPED:
            return Stays.BY_HAND
        case UndoOutcome.FAILED:
            is_unsendable = step.undo is not None and step.undo.unsendable
            return Stays.EXPRESSION if is_unsendable else Stays.UNDO_FAILED
    is_refused = step.refused or step.outcome is StepOutcome.REFUSED
    if not step.begun or (is_refused and not step.needs_undo):
        return None
    if end.status is Status.TERMINATED:
        return Stays.BY_HAND
    if end.abort is None:
        return Stays.PAST_PIVOT
    return Stays.BLOCKED if step.needs_undo else Stays.NO_COMPENSATION
