"""A stored saga, from its records to what replays it: what came to it from outside, and the end of it.

Nothing is exported that does not end in the same way when it is played again.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

from coordinator.domain.actions import STOPPING
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import SagaError
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    SagaStarted,
    StepCompensated,
    StepFaulted,
    StepOmitted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoFaulted,
    UndoPending,
    UndoRefused,
    Verb,
)
from coordinator.domain.machine import evolve, outstanding, resume, start
from coordinator.domain.saga import Heading, Saga, StepState
from coordinator.ports.journal import Record
from coordinator.simulation.course import (
    Acted,
    Answered,
    Cancelled,
    End,
    Happening,
    Started,
    Stopped,
    end_of,
)
from coordinator.simulation.replay import TICK_S, Strayed, replay

DIGITS: Final = 7
"""Of times: all that the journal's clock has, in this century."""


class NotExported(Exception):
    """What comes of the records when they are played again is not what they tell."""


@dataclass(frozen=True)
class Export:
    """What a test of one saga needs."""

    saga_id: str
    saga_name: str
    started_at: float
    definition: str
    """Canonical JSON, as its input."""
    input: str
    course: tuple[Happening, ...]
    end: End


def export(definition: SagaDefinition, records: Sequence[Record]) -> Export:
    """What replays the saga that is told by *records*, tried out.

    Raises:
        NotExported: it has not ended, or it ends in another way when it is played again.
        SagaError: the records contradict our rules.
    """
    events = [record.event for record in records]
    saga = resume(definition, events).saga
    if saga.status.is_open:
        raise NotExported(f"it has not ended: it is {saga.status}")
    born = events[0]
    assert isinstance(born, SagaStarted)
    course, end = course_of(definition, records), end_of(saga, events)
    if fault := _fault(definition.text, born.input, course, end):
        raise NotExported(fault)
    return Export(saga.id, definition.name, born.at, definition.text, born.input, course, end)


def _fault(definition: str, input: str, course: Sequence[Happening], end: End) -> str:
    """In what a replay is not what it should be, if so."""
    try:
        ends = replay(definition, input, course)
    except (Strayed, SagaError) as error:
        return f"played again it goes another way: {error}"
    for one in fields(End):
        found, expected = getattr(ends, one.name), getattr(end, one.name)
        if found != expected:
            return f"played again it ends in another way: its {one.name} is {found!r}, and was {expected!r}"
    return ""


def course_of(definition: SagaDefinition, records: Sequence[Record]) -> tuple[Happening, ...]:
    """What came to the saga from outside, by its *records*.

    Raises:
        NotExported: it was set aside, which no replay brings about.
    """
    born = records[0].event
    assert isinstance(born, SagaStarted)
    course = _Course(start(definition, born).saga)
    for before, record in itertools.pairwise(records):
        if record.token != before.token:
            course.coordinator_changed(record.event.at)
        course.add(record.event)
    return course.told()


@dataclass
class _Turn:
    """What comes at once."""

    at_s: float
    happenings: list[Happening] = field(default_factory=list)
    is_deadline: bool = False
    """Whether it is the turn in which the deadline passes, which keeps its own time."""


class _Course:
    """A course as it is put together, beside the saga that it makes."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga
        self._turns: list[_Turn] = []
        self._open: _Turn | None = None
        """The last one, as long as nothing was begun behind it."""

    def add(self, event: Event) -> None:
        """One more event, of the same coordinator as the one before."""
        happening = _happening(event, self._s(event.at))
        if happening is not None:
            self._come(happening)
        else:
            self._follow(event)
        self._saga = evolve(self._saga, event)

    def coordinator_changed(self, at: float) -> None:
        """The next event, at the moment *at*, is that of a coordinator in the place of the one before."""
        # One that is killed has begun all that was to be begun, and noted it with what it follows from. One
        # that stops takes answers, and begins nothing.
        if self._open is not None and self._goes_on():
            self._stop_at(self._open)
        else:
            self._turns.append(_Turn(0.0, [Stopped(0.0)]))
        self._turns.append(_Turn(self._s(at), [Started(0.0)]))
        self._open = None

    def _stop_at(self, last: _Turn) -> None:
        """Nothing was begun behind the *last* turn, since the coordinator was about to stop: then what it
        holds need not have come at once."""
        if not last.is_deadline:
            self._turns[-1:] = [_Turn(one.at_s, [one]) for one in last.happenings]
            last = self._turns[-len(last.happenings)]
        last.happenings.insert(0, Stopped(0.0))

    def told(self) -> tuple[Happening, ...]:
        """All of it, each turn behind the one before."""
        told, before_s = list[Happening](), 0.0
        for turn in self._turns:
            at_s = round(max(turn.at_s, before_s + TICK_S), DIGITS)
            told += (replace(one, at_s=at_s) for one in turn.happenings)
            before_s = at_s
        return tuple(told)

    def _s(self, at: float) -> float:
        return at - self._saga.started_at

    def _come(self, happening: Happening) -> None:
        turn = self._open
        if turn is None or not self._is_of(turn, happening):
            self._open = turn = _Turn(happening.at_s)
            self._turns.append(turn)
        if not turn.is_deadline:
            turn.at_s = happening.at_s
        turn.happenings.append(happening)

    def _is_of(self, turn: _Turn, happening: Happening) -> bool:
        """Whether *happening* came in *turn*: else there would be time between, or something begun."""
        if isinstance(happening, Acted) and Verb(happening.verb) not in STOPPING and turn.happenings:
            return False  # who acts has seen what came before
        return happening.at_s < turn.at_s + TICK_S or self._goes_on()

    def _follow(self, event: Event) -> None:
        """*event* came by itself."""
        if isinstance(event, StepOmitted | OutputShaped) or _is_of_condition(event):
            return  # so it does also where nothing is begun
        self._open = None
        if isinstance(event, DeadlinePassed):
            # It passes by itself, a little before that was noted.
            ttl_s = self._saga.definition.ttl_s
            assert ttl_s is not None
            self._open = _Turn(ttl_s, is_deadline=True)
            self._turns.append(self._open)

    def _goes_on(self) -> bool:
        """Whether something would be begun, or found to be so, as the saga stands."""
        saga = self._saga
        steps = [saga.step(command.step) for command in outstanding(saga)]
        executing = {step.name for step in saga.steps if self._is_executing(step)}
        undoing = [step for step in steps if step.undo is not None and self._is_due(step.undo.due_at)]
        if len(executing) + len(undoing) >= saga.definition.parallel_max:
            return False
        if saga.heading is Heading.FORWARD:
            return any(not step.begun for step in steps)
        return any(step.undo is None and step.name not in executing for step in steps)

    def _is_executing(self, step: StepState) -> bool:
        return step.begun and step.outcome is None and self._is_due(step.due_at)

    def _is_due(self, due_at: float | None) -> bool:
        return due_at is None or due_at <= self._saga.updated_at


def _happening(event: Event, at_s: float) -> Happening | None:
    """What *event* tells of what came from outside; None where it follows by itself."""
    match event:
        case StepSucceeded():
            return Answered(at_s, "do", event.step, "SUCCEEDED", output=event.output)
        case StepCompensated():
            return Answered(at_s, "undo", event.step, "SUCCEEDED")
        case StepRefused():
            return Answered(at_s, "do", event.step, "REFUSED", code=event.code, message=event.message)
        case UndoRefused():
            return Answered(at_s, "undo", event.step, "REFUSED", code=event.code, message=event.message)
        case StepPending():
            return Answered(at_s, "do", event.step, "PENDING", again_s=_wait(event.at, event.ask_at))
        case UndoPending():
            return Answered(at_s, "undo", event.step, "PENDING", again_s=_wait(event.at, event.ask_at))
        case StepFaulted() | UndoFaulted():
            again_s = None if event.retry_at is None else _wait(event.at, event.retry_at)
            return Answered(
                at_s,
                "do" if isinstance(event, StepFaulted) else "undo",
                event.step,
                event.cause.value,
                code=event.code,
                message=event.message,
                again_s=again_s,
            )
        case CancelRequested():
            return Cancelled(at_s, event.reason)
        case OperatorActed(verb=Verb.RETRY, step=None):
            raise NotExported("it was set aside once, which nothing that comes to a saga brings about")
        case OperatorActed():
            return Acted(at_s, event.verb.value, event.step, event.output, event.actor, event.reason)
        case _:
            return None


def _wait(at: float, until: float) -> float:
    return round(until - at, DIGITS)


def _is_of_condition(event: Event) -> bool:
    return isinstance(event, ExpressionFailed) and (event.step is None or event.place == "when")
