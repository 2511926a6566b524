"""A saga's timeline as a drawing: what was done on the left, what was undone on the right, by time.

Pure: a saga and a width in, lines out. What concerns the saga as a whole runs across both lanes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import groupby
from typing import Final

from coordinator.cli.text import cut
from coordinator.client.model import EventType, Saga, Step, StepKind, TimelineEntry

ALIKE_SHOWN_MAX: Final = 3
_LANE_CHARS_MIN: Final = 20
_GAP: Final = "  "


class Lane(Enum):
    """Where a row stands."""

    FORWARD = auto()
    COMPENSATION = auto()
    BOTH = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the drawing."""

    offset: timedelta | None
    """Since the saga's start; None where it says more about the line before."""
    lane: Lane
    text: str


def draw(saga: Saga, *, width: int) -> list[str]:
    """The timeline of *saga* in lines of at most *width* characters (but no lane is narrower than 20)."""
    rows = list(_rows(saga))
    offsets = ["" if row.offset is None else written_offset(row.offset) for row in rows]
    margin = max(len(offset) for offset in offsets)
    lane_chars = max(_LANE_CHARS_MIN, (width - margin - 2 * len(_GAP)) // 2)
    lines = [_GAP.join((" " * margin, "forward".ljust(lane_chars), "compensation"))]
    for offset, row in zip(offsets, rows, strict=True):
        lines.append(_GAP.join((offset.rjust(margin), _in_lanes(row, lane_chars))).rstrip())
    return lines


def written_offset(offset: timedelta) -> str:
    """How long after the start, as short as it can be read."""
    seconds = offset.total_seconds()
    if seconds < 100:
        return f"+{seconds:.3f}s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), offset.days
    if minutes < 60:
        return f"+{minutes}m{int(seconds) % 60:02d}s"
    return f"+{hours}h{minutes % 60:02d}m" if days == 0 else f"+{days}d{hours % 24:02d}h"


def written_length(length: timedelta) -> str:
    """How long something takes, in words."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def said(entry: TimelineEntry, step_of: Mapping[str, Step]) -> str:
    """What one record tells, in a line: also for those who watch. *step_of*: the saga's steps by name."""
    action = entry.operator_action
    if action is not None:
        step = f" {entry.step}" if entry.step else ""
        return f"{action.actor}: {action.verb.lower()}{step}, because: {action.reason}"
    about = ": ".join(part for part in (entry.code, entry.message) if part)
    about = f" {about}" if about else ""
    if entry.type in _OF_SAGA:
        return _OF_SAGA[entry.type] + (f":{about}" if about else "")
    if entry.type is EventType.EXPRESSION_FAILED:
        undo = " undo" if lane_of(entry) is Lane.COMPENSATION else ""
        return f"{entry.step or 'the output'}{undo} failed at{about}"
    step = f"{entry.step} ×{entry.attempt}" if entry.attempt > 1 else entry.step
    return f"{step} {_deed(entry, step_of.get(entry.step))}{about}"


def steps_by_name(saga: Saga) -> Mapping[str, Step]:
    """What `said` needs to know of a saga."""
    return {step.name: step for step in saga.steps}


def lane_of(entry: TimelineEntry) -> Lane:
    """Where a record is drawn."""
    if entry.operator_action is not None or not entry.step or entry.type is EventType.PIVOT_BEGUN:
        return Lane.BOTH
    if entry.type is EventType.EXPRESSION_FAILED and entry.code.startswith(_OF_UNDO):
        return Lane.COMPENSATION
    return Lane.COMPENSATION if entry.type in _UNDO else Lane.FORWARD


def wait_after(entry: TimelineEntry) -> str:
    """What is waited for after a record; empty where nothing is."""
    if entry.retry_time is None:
        return ""
    what = "until asked again" if entry.type in _PENDING else "until retry"
    return f"… {written_length(entry.retry_time - entry.time)} {what}"


def _deed(entry: TimelineEntry, step: Step | None) -> str:
    # A fault after which nothing follows is not one more try.
    if entry.type in _FAULTS and entry.retry_time is None:
        is_lasting = step is not None and step.kind in _LASTING and entry.type is EventType.STEP_FAULTED
        return "failed for good" if is_lasting else "given up"
    # Where there is no compensation, a late Execute was kept from having an effect, and nothing was undone.
    if entry.type is EventType.STEP_COMPENSATED and step is not None and step.compensation is None:
        return "barred"
    return _OF_STEP.get(entry.type, entry.type.lower())


def _rows(saga: Saga) -> Iterator[Row]:
    step_of = steps_by_name(saga)
    started = saga.timeline[0].time if saga.timeline else saga.create_time
    begun: dict[tuple[Lane, str], datetime] = {}
    for _, run in groupby(enumerate(saga.timeline), key=_alike):
        entries = list(run)
        first, entry = entries[0]
        if first and (missing := entry.seq - saga.timeline[first - 1].seq - 1):
            yield Row(None, Lane.BOTH, f"{missing} records are left out here, 'saga watch' tells them")
        shown = entries if len(entries) <= ALIKE_SHOWN_MAX else [entries[0], entries[-1]]
        for index, entry in shown:
            lane = lane_of(entry)
            if len(shown) < len(entries) and index == entries[-1][0]:
                yield Row(None, lane, f"… {len(entries) - len(shown)} more like it")
            text = said(entry, step_of)
            if entry.type is EventType.PIVOT_BEGUN:
                # Shown in any case: it is the decision.
                begun[Lane.FORWARD, entry.step] = entry.time
            elif entry.type in _BEGUN:
                begun[lane, entry.step] = entry.time
                # An answer tells that it was asked; a call that got none is seen by nothing else.
                if _is_answered(saga.timeline[index + 1 :], lane, entry.step):
                    continue
                text += ", no answer"
            elif (since := begun.pop((lane, entry.step), None)) is not None and entry.type in _SETTLED:
                text += f" ({written_length(entry.time - since)})"
            yield Row(entry.time - started, lane, text)
            if wait := wait_after(entry):
                yield Row(None, lane, wait)
    yield _last_row(saga, started)


def _last_row(saga: Saga, started: datetime) -> Row:
    also = (", needs a person" if saga.needs_person else "") + (", forced" if saga.forced else "")
    if saga.status.rests:
        return Row(saga.update_time - started, Lane.BOTH, saga.status + also)
    return Row(None, Lane.BOTH, f"still {saga.status}{also}")


def _alike(numbered: tuple[int, TimelineEntry]) -> object:
    """What is the same in records that tell the same again, one behind the other; anything else is like
    nothing."""
    index, entry = numbered
    repeats = entry.type in _FAULTS | _PENDING and entry.retry_time is not None
    return (entry.type, entry.step, entry.code, entry.seq - index) if repeats else index


def _is_answered(later: Sequence[TimelineEntry], lane: Lane, step: str) -> bool:
    return any(entry.step == step and lane_of(entry) == lane and entry.type not in _BEGUN for entry in later)


def _in_lanes(row: Row, lane_chars: int) -> str:
    match row.lane:
        case Lane.FORWARD:
            return cut(row.text, lane_chars)
        case Lane.COMPENSATION:
            return " " * lane_chars + _GAP + cut(row.text, lane_chars)
        case Lane.BOTH:
            across = 2 * lane_chars + len(_GAP)
            return f"── {cut(row.text, across - 4)} ".ljust(across, "─")


_FAULTS: Final = frozenset({EventType.STEP_FAULTED, EventType.UNDO_FAULTED})
_PENDING: Final = frozenset({EventType.STEP_PENDING, EventType.UNDO_PENDING})
_BEGUN: Final = frozenset({EventType.STEP_BEGUN, EventType.UNDO_BEGUN})
_SETTLED: Final = frozenset({EventType.STEP_SUCCEEDED, EventType.STEP_COMPENSATED})
_UNDO: Final = frozenset(
    {
        EventType.UNDO_BEGUN,
        EventType.STEP_COMPENSATED,
        EventType.UNDO_REFUSED,
        EventType.UNDO_PENDING,
        EventType.UNDO_FAULTED,
    }
)
_LASTING: Final = frozenset({StepKind.PIVOT, StepKind.RETRIABLE})
"""Not given up in favour of an undo: a person has to look at one that failed."""
_OF_UNDO: Final = "compensationInput"
"""The field of a definition that holds the expressions of an undo."""
_OF_SAGA: Final = {
    EventType.SAGA_STARTED: "started",
    EventType.SAGA_RESUMED: "taken up again after a restart",
    EventType.CANCEL_REQUESTED: "cancel asked",
    EventType.DEADLINE_PASSED: "ttl ran out",
    EventType.OUTPUT_SHAPED: "output made",
}
_OF_STEP: Final = {
    EventType.STEP_BEGUN: "asked",
    EventType.PIVOT_BEGUN: "asked: past here only its refusal turns back",
    EventType.STEP_OMITTED: "omitted",
    EventType.STEP_SUCCEEDED: "succeeded",
    EventType.STEP_REFUSED: "refused",
    EventType.STEP_PENDING: "pending",
    EventType.STEP_FAULTED: "failed",
    EventType.UNDO_BEGUN: "undo asked",
    EventType.STEP_COMPENSATED: "undone",
    EventType.UNDO_REFUSED: "undo refused",
    EventType.UNDO_PENDING: "undo pending",
    EventType.UNDO_FAULTED: "undo failed",
}
