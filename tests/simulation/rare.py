"""The rare states: what a run may come to, by name. A long simulation reaches each of them, or it is red.

They are found in what a run left behind: journals, ledgers, calls, and what was done to the world.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Final, TypeVar

from coordinator.domain.definition import StepKind
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
    Verb,
)
from coordinator.domain.saga import AbortKind, Saga, Status, StepOutcome, StepState, UndoOutcome
from coordinator.engine.sagas import SagaView
from coordinator.simulation.chance import BORN_AT_S
from tests.simulation.services import Row, Send
from tests.simulation.world import World

_E = TypeVar("_E", bound=Event)


@dataclass(frozen=True)
class Tale:
    """One saga, with all that is known of it."""

    view: SagaView
    saga: Saga
    rows: Sequence[Row]
    sends: Sequence[Send]
    world: World

    @cached_property
    def events(self) -> Sequence[Event]:
        return [record.event for record in self.view.records]

    @cached_property
    def kinds(self) -> frozenset[type]:
        """What kinds of events there are among its own."""
        return frozenset(chain.from_iterable(kind.__mro__ for kind in set(map(type, self.events))))

    def all(self, kind: type[_E]) -> Sequence[_E]:
        if kind not in self.kinds:
            return ()
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def aborted_by(self) -> AbortKind | None:
        return None if self.saga.abort is None else self.saga.abort.kind

    @cached_property
    def behind_abort(self) -> Sequence[Event]:
        """What is recorded behind the moment at which it turned back."""
        if self.saga.abort is None:
            return ()
        at = self.saga.abort.at
        return [event for event in self.events if event.at > at]

    @cached_property
    def _outcomes(self) -> Mapping[str, frozenset[str]]:
        return {op: frozenset(row.outcome for row in self.rows if row.op == op) for op in ("E", "C")}

    def row_outcomes(self, op: str) -> frozenset[str]:
        return self._outcomes[op]

    @cached_property
    def heard(self) -> frozenset[str]:
        """What its coordinators heard of its calls, where that proved nothing."""
        return frozenset(send.heard for send in self.sends)

    @cached_property
    def pivot(self) -> StepState | None:
        return next((s for s in self.saga.steps if s.definition.kind is StepKind.PIVOT), None)

    @property
    def ended_s(self) -> float:
        return self.events[-1].at - BORN_AT_S


def reached(world: World) -> Iterator[str]:
    """The names of the rare states that the run of *world* has come to, each once."""
    yield from (name for name, is_reached in _OF_WORLDS.items() if is_reached(world))
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in world.happened.rows:
        rows[row.saga_id].append(row)
    sends: dict[str, list[Send]] = defaultdict(list)
    for send in world.happened.sends:
        sends[send.call.saga_id].append(send)
    missing = dict(_OF_SAGAS)
    for saga_id, view in world.happened.views.items():
        if view.saga is not None:
            tale = Tale(view, view.saga, rows[saga_id], sends[saga_id], world)
            for name in [name for name, is_reached in missing.items() if is_reached(tale)]:
                del missing[name]
                yield name


def _null_compensation(tale: Tale) -> bool:
    if "null" not in tale.row_outcomes("C"):
        return False
    named = {step.name for step in tale.saga.definition.steps if step.compensation is not None}
    return any(row.op == "C" and row.outcome == "null" and row.step in named for row in tale.rows)


def _bar_without_compensation(tale: Tale) -> bool:
    if "null" not in tale.row_outcomes("C"):
        return False
    nameless = {step.name for step in tale.saga.definition.steps if step.compensation is None}
    return any(row.op == "C" and row.outcome == "null" and row.step in nameless for row in tale.rows)


def _after_end(tale: Tale, *outcomes: str) -> bool:
    if tale.saga.status.is_open:
        return False
    return any(row.outcome in outcomes and row.at_s > tale.ended_s for row in tale.rows)


def _deadline_during_undo(tale: Tale) -> bool:
    saga = tale.saga
    if saga.abort is None or saga.deadline_at is None or saga.abort.kind is AbortKind.DEADLINE:
        return False
    undone = [event.at for event in tale.all(StepCompensated)]
    return any(saga.abort.at < saga.deadline_at < at for at in undone)


def _retried_then(tale: Tale, failed: type[Event], done: type[Event]) -> bool:
    if failed not in tale.kinds or done not in tale.kinds:
        return False
    steps = {getattr(event, "step", None) for event in tale.events if isinstance(event, failed)}
    return any(isinstance(event, done) and getattr(event, "step", None) in steps for event in tale.events)


def _pivot_in_doubt_then(tale: Tale, end: type[Event]) -> bool:
    pivot = tale.pivot
    if pivot is None or StepFaulted not in tale.kinds or end not in tale.kinds:
        return False
    of_pivot = [event for event in tale.events if getattr(event, "step", None) == pivot.name]
    doubtful = any(isinstance(event, StepFaulted) for event in of_pivot)
    return doubtful and any(isinstance(event, end) for event in of_pivot)


def _resumed_at(tale: Tale, where: Callable[[Tale, Sequence[Event], Event], bool]) -> bool:
    """Whether it was taken up at a place like that."""
    return SagaResumed in tale.kinds and any(
        isinstance(event, SagaResumed) and where(tale, tale.events[:place], event)
        for place, event in enumerate(tale.events)
    )


def _crash_in_undo(tale: Tale, before: Sequence[Event], _: Event) -> bool:
    return any(isinstance(event, UndoBegun) for event in before)


def _crash_past_pivot(tale: Tale, before: Sequence[Event], _: Event) -> bool:
    return any(isinstance(event, PivotBegun) for event in before) and tale.saga.abort is None


def _crash_before_send(tale: Tale, before: Sequence[Event], resumed: Event) -> bool:
    """A step was begun, and no call for it was sent before the crash."""
    begun = {event.step for event in before if isinstance(event, StepBegun)}
    sent = {send.call.step for send in tale.sends if BORN_AT_S + send.at_s < resumed.at}
    return bool(begun - sent)


def _slept_over_restart(tale: Tale, _: Sequence[Event], resumed: Event) -> bool:
    boots = [at_s for at_s, _ in tale.world.happened.boots if BORN_AT_S + at_s <= resumed.at]
    return bool(boots) and resumed.at - BORN_AT_S - boots[-1] > 1.0 and not _clock_was_set(tale.world)


def _took_over_in_flight(tale: Tale) -> bool:
    """A call was unanswered when another coordinator took the saga over, and the first one was not dead."""
    if len({send.by for send in tale.sends}) < 2:
        return False
    killed = {name for _, name, how in tale.world.happened.ends if how == "killed"}
    return any(send.heard_at_s is None and send.by not in killed for send in tale.sends)


def _acted_in_flight(tale: Tale) -> bool:
    """A person settled a step while its call was under way."""
    for event in tale.all(OperatorActed):
        at_s = event.at - BORN_AT_S
        for send in tale.sends:
            is_under_way = send.at_s < at_s and send.heard_at_s is None
            if send.call.step == event.step and is_under_way and at_s < send.at_s + send.timeout_s:
                return True
    return False


def _side_by_side(tale: Tale, way: str) -> bool:
    if len(tale.sends) < 2:
        return False
    spans = [
        (send.at_s, send.heard_at_s, send.call.step)
        for send in tale.sends
        if send.heard_at_s is not None and f"/{way}" in send.call.key
    ]
    return any(
        one[2] != other[2] and one[0] < (other[1] or 0) and other[0] < (one[1] or 0)
        for one in spans
        for other in spans
    )


def _in_flight_at_abort(tale: Tale) -> bool:
    abort = tale.saga.abort
    if abort is None:
        return False
    at_s = abort.at - BORN_AT_S
    return any(
        send.at_s < at_s and (send.heard_at_s or at_s + 1) > at_s and send.call.step != abort.step
        for send in tale.sends
    )


def _goes_on_beside_a_failure(tale: Tale) -> bool:
    """Past the pivot one step failed for good, and another went on behind that."""
    if tale.saga.abort is not None:
        return False
    failed = [
        event.at
        for event in tale.events
        if isinstance(event, StepRefused) or (isinstance(event, StepFaulted) and event.retry_at is None)
    ]
    return bool(failed) and any(event.at > failed[0] for event in tale.all(StepSucceeded))


def _deadline_while_down(tale: Tale) -> bool:
    deadline = next(iter(tale.all(DeadlinePassed)), None)
    if deadline is None or tale.saga.deadline_at is None:
        return False
    downs = tale.world.happened.downtimes_ns
    return any(start / 1e9 < tale.saga.deadline_at < end / 1e9 for start, end in downs)


def _retry_due_while_down(tale: Tale) -> bool:
    failed: list[StepFaulted | UndoFaulted] = [*tale.all(StepFaulted), *tale.all(UndoFaulted)]
    dues = [event.retry_at for event in failed if event.retry_at]
    downs = tale.world.happened.downtimes_ns
    return any(start / 1e9 < due < end / 1e9 for due in dues for start, end in downs)


def _two_in_a_row(tale: Tale) -> bool:
    if SagaResumed not in tale.kinds:
        return False
    resumes = [place for place, event in enumerate(tale.events) if isinstance(event, SagaResumed)]
    return any(later - earlier == 1 for earlier, later in pairwise(resumes))


def _acted(verb: Verb, way: str = "") -> Callable[[Tale], bool]:
    def is_reached(tale: Tale) -> bool:
        acts = [event for event in tale.all(OperatorActed) if event.verb is verb]
        if way and acts:
            turned_at = float("inf") if tale.saga.abort is None else tale.saga.abort.at
            acts = [event for event in acts if (event.at > turned_at) is (way == "undo")]
        return bool(acts)

    return is_reached


def _aborted(kind: AbortKind, *causes: Cause) -> Callable[[Tale], bool]:
    def is_reached(tale: Tale) -> bool:
        if tale.aborted_by is not kind:
            return False
        return not causes or any(e.retry_at is None and e.cause in causes for e in tale.all(StepFaulted))

    return is_reached


def _behind_abort(kind: type[Event]) -> Callable[[Tale], bool]:
    return lambda tale: kind in tale.kinds and any(isinstance(event, kind) for event in tale.behind_abort)


def _new_round(op: str) -> Callable[[Tale], bool]:
    return lambda tale: any(row.op == op and row.key.rpartition("/")[2].isdigit() for row in tale.rows)


def _heard(code: str) -> Callable[[Tale], bool]:
    return lambda tale: code in tale.heard


def _has(kind: type[Event]) -> Callable[[Tale], bool]:
    return lambda tale: kind in tale.kinds


def _clock_was_set(world: World) -> bool:
    return world.happened.marks["ClockJump"] > 0


def _crash_in_recovery(world: World) -> bool:
    """A coordinator was killed that had not come to serve."""
    served = sum(1 for _ in world.happened.downtimes_ns)
    return len(world.happened.boots) > served and any(how == "killed" for _, _, how in world.happened.ends)


def _mark(name: str) -> Callable[[World], bool]:
    return lambda world: world.happened.marks[name] > 0


def _answered(reason: str) -> Callable[[World], bool]:
    return lambda world: world.happened.answers[reason] > 0


def _joined(world: World) -> bool:
    named: dict[str, int] = defaultdict(int)
    for call in world.happened.calls:
        named[call.request_id] += call.code == "OK"
    return any(count > 1 for count in named.values())


def _asked_again_after_no_answer(world: World) -> bool:
    """A start got no answer, and the same one was accepted later."""
    lost = {call.request_id for call in world.happened.calls if call.code == "UNAVAILABLE"}
    return any(call.code == "OK" and call.request_id in lost for call in world.happened.calls)


def _two_contents(world: World) -> bool:
    digests: dict[str, set[str]] = defaultdict(set)
    for view in world.happened.views.values():
        digests[view.summary.saga_name].add(view.summary.definition_digest)
    return any(len(found) > 1 for found in digests.values())


def _superseded(world: World) -> bool:
    return world.happened.marks["Takeover"] > 0 and any(how == "failed" for _, _, how in world.happened.ends)


def _parked(world: World) -> bool:
    return any(how == "stopped" for _, _, how in world.happened.ends)


def _dead_letter_forward(tale: Tale) -> bool:
    return tale.saga.status is Status.DEAD_LETTERED and tale.saga.abort is None


def _undo_failed(tale: Tale, kind: type[Event]) -> bool:
    if kind not in tale.kinds:
        return False
    failed = {step.name for step in tale.saga.steps if step.undo_outcome is UndoOutcome.FAILED}
    return any(isinstance(event, kind) and getattr(event, "step", None) in failed for event in tale.events)


_OF_SAGAS: Final[Mapping[str, Callable[[Tale], Any]]] = {
    # what participants see
    "null compensation seen": _null_compensation,
    "bar of a step without compensation": _bar_without_compensation,
    "late Execute barred": lambda tale: "barred" in tale.row_outcomes("E"),
    "late Execute barred after the end": lambda tale: _after_end(tale, "barred"),
    "duplicate after the end": lambda tale: _after_end(tale, "duplicate"),
    "Execute delivered twice": lambda tale: "duplicate" in tale.row_outcomes("E"),
    "Compensate delivered twice": lambda tale: "duplicate" in tale.row_outcomes("C"),
    "undo refused": lambda tale: "refused" in tale.row_outcomes("C"),
    "step busy with an earlier call": _heard("STEP_BUSY"),
    "stale token refused": _heard("STALE_TOKEN"),
    "broken answer": _heard("BROKEN_CONTRACT"),
    "no answer in time": _heard("DEADLINE_EXCEEDED"),
    # turning back
    "turned back by a refusal": _aborted(AbortKind.REFUSED),
    "turned back by spent attempts": _aborted(AbortKind.GIVEN_UP, Cause.UNKNOWN, Cause.FAULTED),
    "turned back by a permanent status": _aborted(AbortKind.GIVEN_UP, Cause.PERMANENT),
    "turned back by a broken answer": _aborted(AbortKind.GIVEN_UP, Cause.BROKEN_CONTRACT),
    "turned back by the deadline": _aborted(AbortKind.DEADLINE),
    "turned back by a cancel": _aborted(AbortKind.CANCELLED),
    "turned back by an expression": _aborted(AbortKind.EXPRESSION),
    "cancelled by a client": _has(CancelRequested),
    "success folded in after the abort": _behind_abort(StepSucceeded),
    "refusal folded in after the abort": _behind_abort(StepRefused),
    "failure folded in after the abort": _behind_abort(StepFaulted),
    "another call in flight at the abort": _in_flight_at_abort,
    "deadline during undo": _deadline_during_undo,
    "undone without an effect": lambda tale: (
        tale.saga.status is Status.COMPENSATED and "applied" not in tale.row_outcomes("E")
    ),
    # trying again
    "succeeded at a later attempt": lambda tale: _retried_then(tale, StepFaulted, StepSucceeded),
    "undone at a later attempt": lambda tale: _retried_then(tale, UndoFaulted, StepCompensated),
    "pending step": _has(StepPending),
    "pending undo": _has(UndoPending),
    "undo given up when its budget was spent": lambda tale: _undo_failed(tale, UndoFaulted),
    "undo refused for good": lambda tale: _undo_failed(tale, UndoRefused),
    # the pivot
    "pivot in doubt settled by success": lambda tale: _pivot_in_doubt_then(tale, StepSucceeded),
    "pivot in doubt settled by refusal": lambda tale: _pivot_in_doubt_then(tale, StepRefused),
    "pivot refused": lambda tale: tale.pivot is not None and tale.pivot.outcome is StepOutcome.REFUSED,
    "dead letter past the pivot": _dead_letter_forward,
    "overdue past the pivot": lambda tale: tale.saga.is_overdue,
    "others go on beside a failure past the pivot": _goes_on_beside_a_failure,
    # the language
    "step omitted": _has(StepOmitted),
    "output shaped": _has(OutputShaped),
    "expression failed in an undo": lambda tale: any(
        isinstance(event, ExpressionFailed) for event in tale.behind_abort
    ),
    "done side by side": lambda tale: _side_by_side(tale, "execute"),
    "undone side by side": lambda tale: _side_by_side(tale, "compensate"),
    # crashes
    "crash while undoing": lambda tale: _resumed_at(tale, _crash_in_undo),
    "crash past the pivot": lambda tale: _resumed_at(tale, _crash_past_pivot),
    "crash between begun and sent": lambda tale: _resumed_at(tale, _crash_before_send),
    "slept over a restart": lambda tale: _resumed_at(tale, _slept_over_restart),
    "crashed three times": lambda tale: len(tale.all(SagaResumed)) >= 3,
    "crashed twice in a row": _two_in_a_row,
    "takeover with a call in flight": _took_over_in_flight,
    "deadline passed while nobody was up": _deadline_while_down,
    "retry due while nobody was up": _retry_due_while_down,
    # people
    "retried by a person": _acted(Verb.RETRY),
    "undo retried by a person": _acted(Verb.RETRY, "undo"),
    "refused undo asked for in a new round": _new_round("C"),
    "skipped by a person": _acted(Verb.SKIP, "do"),
    "undo skipped by a person": _acted(Verb.SKIP, "undo"),
    "completed by a person": _acted(Verb.COMPLETE, "do"),
    "undo completed by a person": _acted(Verb.COMPLETE, "undo"),
    "given up by a person": _acted(Verb.FAIL),
    "terminated by a person": _acted(Verb.TERMINATE),
    "settled by a person while its call is under way": _acted_in_flight,
}

_OF_WORLDS: Final[Mapping[str, Callable[[World], Any]]] = {
    "crash in recovery": _crash_in_recovery,
    "unsynced write lost": _mark("write lost"),
    "unsynced write kept": _mark("write kept"),
    "unsynced write torn": _mark("write torn"),
    "failed write kept all the same": _mark("bad write, kept"),
    "failed write lost": _mark("bad write, lost"),
    "damaged records found at a start": lambda world: any(world.happened.damaged.values()),
    "start refused for want of disk": _mark("start refused for want of disk"),
    "start refused by the limit of open sagas": lambda world: (
        world.happened.answers["OVERLOADED"] > world.happened.marks["start refused for want of disk"]
    ),
    "start joined": _joined,
    "start lost and asked again": _asked_again_after_no_answer,
    "other content under one id refused": _answered("REQUEST_ID_TAKEN"),
    "action on what has moved refused": _answered("SAGA_MOVED"),
    "action that is not possible refused": _answered("ACTION_NOT_POSSIBLE"),
    "action on what has ended refused": _answered("SAGA_ENDED"),
    "action asked for twice": lambda world: any(action.repeated for action in world.happened.actions),
    "asked while it drains": _answered("DRAINING"),
    "caller left before the end": _answered("SAGA_UNDECIDED"),
    "parked in order": _parked,
    "superseded coordinator stops": _superseded,
    "definition edited while sagas run": _two_contents,
    "clock set": _clock_was_set,
    "service down": _mark("Outage"),
    "coordinator frozen": _mark("Freeze"),
}

NAMES: Final = (*_OF_SAGAS, *_OF_WORLDS)
