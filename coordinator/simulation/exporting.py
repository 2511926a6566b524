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
from coordinator.domain.ids import StepName
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

AT_ONCE_S: Final = 0.000_2
"""What a coordinator takes up in one turn has hardly another time; between two turns it writes to a disk."""
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
        """The last one, as long as nothing shows that it is over."""
        self._quiet_from = 0
        """From this turn on no call was sent, by what the records say."""
        self._due_s: dict[tuple[str, str], float] = {}
        """When each call was to be made again that was made before."""
        self._lost = set[StepName]()
        """The steps that nobody asks to be done any more, though that was begun."""

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
        saga, stopped = self._saga, Stopped(0.0)
        # One that is killed has begun all that is to be begun, and noted it with what it follows from. One
        # that stops takes answers, and begins nothing.
        quiet = self._turns[self._quiet_from :] if self._goes_on() else []
        if quiet:
            quiet[0].happenings.insert(0, stopped)
        else:
            self._turns.append(_Turn(0.0, [stopped]))
        self._turns.append(_Turn(self._s(at), [Started(0.0)]))
        self._open = None
        self._quiet_from = len(self._turns)
        if saga.heading is Heading.BACKWARD:
            self._lost |= {step.name for step in saga.steps if step.begun and step.outcome is None}

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
            turn = _Turn(happening.at_s)
            self._turns.append(turn)
        if not turn.is_deadline:
            turn.at_s = happening.at_s
        turn.happenings.append(happening)
        self._open = turn
        if isinstance(happening, Answered):
            self._note_call(happening)
        elif isinstance(happening, Acted):
            self._quiet_from = len(self._turns)  # what was to wait may be asked at once

    def _note_call(self, answered: Answered) -> None:
        """Its call was sent behind all that came before it was due."""
        call = (answered.step, answered.way)
        due_s = self._due_s.get(call, 0.0)
        while self._quiet_from < len(self._turns) - 1 and self._turns[self._quiet_from].at_s < due_s:
            self._quiet_from += 1
        if answered.again_s is not None:
            self._due_s[call] = answered.at_s + answered.again_s

    def _is_of(self, turn: _Turn, happening: Happening) -> bool:
        """Whether *happening* came in *turn*, behind which nothing was begun."""
        if isinstance(happening, Acted) and Verb(happening.verb) not in STOPPING and turn.happenings:
            return False  # who acts has seen what came before
        if (
            isinstance(happening, Answered)
            and self._due_s.get((happening.step, happening.way), 0.0) > turn.at_s
        ):
            return False
        return self._s(self._saga.updated_at) > happening.at_s - AT_ONCE_S or self._goes_on()

    def _follow(self, event: Event) -> None:
        """*event* came by itself: what was begun, or found to be so, shows that a turn was over."""
        self._open = None
        if isinstance(event, DeadlinePassed):
            # It passes by itself, a little before that was noted.
            ttl_s = self._saga.definition.ttl_s
            assert ttl_s is not None
            self._open = _Turn(ttl_s, is_deadline=True)
            self._turns.append(self._open)
        elif isinstance(event, StepOmitted | OutputShaped) or _is_of_condition(event):
            return  # also of one that is about to stop
        self._quiet_from = len(self._turns)

    def _goes_on(self) -> bool:
        """Whether something would be begun, or found to be so, as the saga stands."""
        saga = self._saga
        if saga.awaits_output:
            return True
        if saga.heading is Heading.FORWARD:
            return any(not saga.step(command.step).begun for command in outstanding(saga))
        executing = {step.name for step in saga.steps if self._is_executing(step)}
        undos = [saga.step(command.step) for command in outstanding(saga)]
        begun = [step for step in undos if step.undo is not None and not step.undo.unsendable]
        asked = [step for step in begun if step.undo is not None and self._is_due(step.undo.due_at)]
        has_room = len(executing) + len(asked) < saga.definition.parallel_max
        return has_room and any(step not in begun and step.name not in executing for step in undos)

    def _is_executing(self, step: StepState) -> bool:
        is_asked = step.begun and step.outcome is None and step.name not in self._lost
        return is_asked and self._is_due(step.due_at)

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
