"""A saga's journal as the lines of a story, and whether they are the ones that a story tells.

Every event is one line. Attempts are counted as if no coordinator had ever died, so that a line says the
same in a run that was cut: each restart has to have cost one attempt more.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    PivotBegun,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepOmitted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoPending,
    UndoRefused,
)
from coordinator.domain.language.durations import format_duration
from coordinator.domain.machine import evolve, start
from coordinator.domain.saga import Saga

RESUMED: Final = "saga resumed"

Way = Literal["do", "undo"]

Answered = (
    StepSucceeded
    | StepRefused
    | StepPending
    | StepFaulted
    | StepCompensated
    | UndoRefused
    | UndoPending
    | UndoFaulted
)
"""The events that an answer of a participant amounts to."""


@dataclass(frozen=True, slots=True)
class Line:
    """What happened, and how long after the saga's start; None in a story that does not say when."""

    text: str
    at_s: float | None = None

    def __str__(self) -> str:
        return self.text if self.at_s is None else f"+{written_s(self.at_s)} {self.text}"


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What happens in several lanes at a time: each in its order, and all are over before it goes on."""

    lanes: tuple[tuple[Line, ...], ...]


Timeline = tuple[Line | SideBySide, ...]


def lines_of(timeline: Timeline) -> Iterator[Line]:
    """Every line, those of lanes one lane after the other."""
    for item in timeline:
        if isinstance(item, Line):
            yield item
        else:
            for lane in item.lanes:
                yield from lane


def output_unsaid(step: str) -> str:
    """What a step answers where a story does not say."""
    return json.dumps(f"{step} done")


def written_s(seconds: float) -> str:
    """A length of time, to the millisecond."""
    milliseconds = round(seconds * 1000)
    return format_duration(milliseconds / 1000) if milliseconds else "0s"


def told(definition: SagaDefinition, history: Sequence[Event]) -> list[Line]:
    """The lines of a journal."""
    lines: list[Line] = []
    lost: Counter[tuple[str, Way]] = Counter()
    saga: Saga | None = None
    for event in history:
        if isinstance(event, SagaStarted):
            saga = start(definition, event).saga
        else:
            assert saga is not None
            before, saga = saga, evolve(saga, event)
            if isinstance(event, SagaResumed):
                lost.update(_lost(before, saga))
        lines.append(Line(_text(event, lost), event.at - saga.started_at))
    return lines


def answers(event: Answered) -> tuple[Way, str]:
    """Which call *event* is the answer to."""
    forward = isinstance(event, StepSucceeded | StepRefused | StepPending | StepFaulted)
    return "do" if forward else "undo", event.step


def first_difference(expected: Timeline, lines: Sequence[Line], *, whole: bool = True) -> str | None:
    """Where *lines* are not what is *expected*, in words; None where they are.

    Not *whole*: where they cannot be its beginning.
    """
    places = {_Place(0)}
    places = set(_opened(expected, places))
    for number, line in enumerate(lines, start=1):
        after = {place for before in places for place in _passed(expected, before, line)}
        if not after:
            possible = sorted({str(wanted) for place in places for wanted in _next(expected, place)})
            return f"line {number} is {str(line)!r}, and not {_either(possible)}"
        places = set(_opened(expected, after))
    if whole and not any(place.item == len(expected) for place in places):
        possible = sorted({str(wanted) for place in places for wanted in _next(expected, place)})
        return f"it ends after line {len(lines)}, and not with {_either(possible)}"
    return None


def without(expected: Timeline, text: str) -> Timeline:
    """*expected* without all lines of that *text*, and without a word on when anything happens."""

    def kept(lines: Iterable[Line]) -> tuple[Line, ...]:
        return tuple(Line(line.text) for line in lines if line.text != text)

    items: list[Line | SideBySide] = []
    for item in expected:
        if isinstance(item, Line):
            items.extend(kept([item]))
        else:
            items.append(SideBySide(tuple(map(kept, item.lanes))))
    return tuple(items)


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a timeline: the item that comes next, and how far each of its lanes has gone."""

    item: int
    lanes: tuple[int, ...] = ()


def _opened(expected: Timeline, places: Iterable[_Place]) -> Iterator[_Place]:
    """*places*, each at the beginning of an item, or in the middle of one that is not over."""
    for place in places:
        at = place
        while at.item < len(expected):
            item = expected[at.item]
            if isinstance(item, Line):
                break
            lanes = at.lanes or (0,) * len(item.lanes)
            if any(gone < len(lane) for gone, lane in zip(lanes, item.lanes, strict=True)):
                at = replace(at, lanes=lanes)
                break
            at = _Place(at.item + 1)
        yield at


def _passed(expected: Timeline, place: _Place, line: Line) -> Iterator[_Place]:
    """Where *line* leads to from *place*."""
    if place.item == len(expected):
        return
    item = expected[place.item]
    if isinstance(item, Line):
        if _is(item, line):
            yield _Place(place.item + 1)
        return
    for number, (gone, lane) in enumerate(zip(place.lanes, item.lanes, strict=True)):
        if gone < len(lane) and _is(lane[gone], line):
            yield replace(place, lanes=(*place.lanes[:number], gone + 1, *place.lanes[number + 1 :]))


def _next(expected: Timeline, place: _Place) -> Iterator[Line]:
    """The lines that may come at *place*."""
    if place.item == len(expected):
        return
    item = expected[place.item]
    if isinstance(item, Line):
        yield item
        return
    for gone, lane in zip(place.lanes, item.lanes, strict=True):
        yield from lane[gone : gone + 1]


def _is(expected: Line, line: Line) -> bool:
    if expected.at_s is not None and line.at_s is not None and abs(expected.at_s - line.at_s) > 0.0005:
        return False
    return expected.text == line.text


def _either(possible: Sequence[str]) -> str:
    return " or ".join(map(repr, possible)) or "the end"


def _lost(before: Saga, after: Saga) -> Iterator[tuple[str, Way]]:
    """The attempts that a restart has counted as lost."""
    for old, new in zip(before.steps, after.steps, strict=True):
        if new.lost > old.lost:
            yield new.name, "do"
        if new.undo is not None and old.undo is not None and new.undo.lost > old.undo.lost:
            yield new.name, "undo"


def _text(event: Event, lost: Counter[tuple[str, Way]]) -> str:
    match event:
        case SagaStarted():
            return "saga started"
        case SagaResumed():
            return RESUMED
        case CancelRequested(reason=reason):
            return f"cancel requested: {reason}" if reason else "cancel requested"
        case DeadlinePassed():
            return "deadline passed"
        case StepBegun(step=step, input=given):
            pivot = " as the pivot" if isinstance(event, PivotBegun) else ""
            return f"{step} begun{pivot}{_with(given)}"
        case StepOmitted(step=step):
            return f"{step} omitted"
        case ExpressionFailed(step=step, place=place, message=message):
            owner = "" if step is None else f"{step}'s "
            return f"{owner}{place} failed: {message}"
        case OutputShaped():
            return "output shaped"
        case UndoBegun(step=step, receipt=receipt, input=given):
            return f"undo {step} begun{', no receipt' if receipt is None else ''}{_with(given)}"
        case OperatorActed(verb=verb, step=step, output=output):
            return f"operator {verb}{'' if step is None else f' {step}'}{_with(output)}"
        case _:
            return _answer(event, lost)


def _answer(event: Answered, lost: Counter[tuple[str, Way]]) -> str:
    way, step = answers(event)
    attempt = event.attempt - lost[step, way]
    name = step if way == "do" else f"undo {event.step}"
    at = f" at attempt {attempt}" if attempt > 1 else ""
    match event:
        case StepSucceeded(step=step, output=output):
            return f"{name} succeeded{at}{'' if output == output_unsaid(step) else _with(output)}"
        case StepCompensated(step=step):
            return f"{step} undone{at}"
        case StepRefused(code=code) | UndoRefused(code=code):
            return f"{name} refused {code}{at}"
        case StepPending(ask_at=ask_at) | UndoPending(ask_at=ask_at):
            return f"{name} pending{at}, asked again in {written_s(ask_at - event.at)}"
        case (
            StepFaulted(cause=cause, code=code, retry_at=retry_at)
            | UndoFaulted(cause=cause, code=code, retry_at=retry_at)
        ):
            why = code if cause in (Cause.FAULTED, code) else f"{cause} {code}"
            then = "for good" if retry_at is None else f"again in {written_s(retry_at - event.at)}"
            return f"{name} faulted {why}{at}, {then}"


def _with(value: str | None) -> str:
    return "" if value is None else f" with {value}"
