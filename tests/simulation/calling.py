"""What must hold of calls as they were sent and heard: ledgers and timelines tell of that only in part."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.domain.definition import StepKind
from coordinator.domain.events import (
    Cause,
    OperatorActed,
    StepFaulted,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    Verb,
)
from coordinator.domain.ids import FencingToken, IdempotencyKey, StepName
from coordinator.domain.outcomes import Faulted, Pending, Refused
from coordinator.domain.saga import AbortKind, Saga
from coordinator.engine.sagas import SagaView
from coordinator.ports.participants import CompensateCall, ExecuteCall
from coordinator.simulation.chance import BORN_AT_S
from tests.simulation.services import Send
from tests.simulation.world import World

ROUNDING_S: Final = 1e-6
STANDSTILLS: Final = ("ClockJump", "Freeze", "Takeover")
"""Between two looks at the clock it may then be any time later."""


@dataclass(frozen=True)
class _Tale:
    """One saga as it was read last, and its calls in their order."""

    saga: Saga
    view: SagaView
    sends: Sequence[Send]
    is_steady: bool
    """Whether no clock was set, and nobody stood still."""

    def acts(self, step: StepName) -> bool:
        """Whether somebody did anything to *step*."""
        return any(action.step == step for action in self.saga.actions)

    def settles(self, step: StepName) -> bool:
        """Whether somebody did more to *step* than to have it asked for again."""
        return any(action.step == step and action.verb is not Verb.RETRY for action in self.saga.actions)


def wrong_calls(world: World) -> Iterator[str]:
    """What was wrong with the calls of a run, in sentences."""
    yield from _tokens(world)
    yield from _stops(world)
    by_saga: dict[str, list[Send]] = defaultdict(list)
    for send in world.happened.sends:
        by_saga[send.call.saga_id].append(send)
    is_steady = not any(world.happened.marks[kind] for kind in STANDSTILLS)
    for saga_id, sends in by_saga.items():
        view = world.happened.views.get(saga_id)
        if view is None or view.saga is None or saga_id in world.happened.damaged:
            continue
        tale = _Tale(view.saga, view, sends, is_steady)
        for law in _LAWS:
            for sentence in law(tale):
                name, _, what = sentence.partition(": ")
                yield f"{name}: saga {saga_id}: {what}"


def _tokens(world: World) -> Iterator[str]:
    """I26: each coordinator has a token of its own."""
    owners: dict[FencingToken, str] = {}
    for send in world.happened.sends:
        owner = owners.setdefault(send.call.token, send.by)
        if owner != send.by:
            yield f"I26: {send.by} sends {send.call.key} under token {send.call.token}, which is {owner}'s"


def _stops(world: World) -> Iterator[str]:
    """I24: whoever was told to stop sends nothing more."""
    stopped_at_s = world.happened.stopped_at_s
    if world.happened.marks["Freeze"]:
        return  # one that stands still is told later
    for send in world.happened.sends:
        if send.at_s > stopped_at_s.get(send.by, math.inf):
            yield f"I24: {send.by} sends {send.call.key} after it was told to stop"


def _timeouts(tale: _Tale) -> Iterator[str]:
    """I23: no call waits longer than its step's timeout; before the pivot none outlives the deadline."""
    for send in tale.sends:
        step = tale.saga.step(send.call.step).definition
        longest_s = step.timeout_s
        is_early = isinstance(send.call, ExecuteCall) and step.kind is StepKind.COMPENSATABLE
        if is_early and tale.is_steady and tale.saga.deadline_at is not None:
            longest_s = min(longest_s, tale.saga.deadline_at - BORN_AT_S - send.at_s + ROUNDING_S)
        if not 0 < send.timeout_s <= longest_s:
            yield f"I23: {step.name} was waited for {send.timeout_s} s, and not {longest_s}"


def _receipts(tale: _Tale) -> Iterator[str]:
    """I15: a Compensate carries what its step was known to have answered when the undo began."""
    known: dict[str, str | None] = {}
    frozen: dict[str, str | None] = {}
    for record in tale.view.records:
        match record.event:
            case StepSucceeded(step=step, output=output):
                known[step] = output
            case OperatorActed(verb=Verb.COMPLETE, step=str() as step, output=output):
                known[step] = output
            case UndoBegun(step=step):
                frozen[step] = known.get(step)
    for send in tale.sends:
        match send.call:
            case CompensateCall(step=step, receipt=receipt) if receipt != frozen.get(step):
                yield f"I15: {step} is undone with another receipt than was frozen"


def _numbers(tale: _Tale) -> Iterator[str]:
    """I24: an attempt has its number for itself, but only what was pending is asked for under it again: to be
    pending is no attempt."""
    made: dict[tuple[IdempotencyKey, int], Send] = {}
    pending: dict[tuple[IdempotencyKey, str], int] = {}
    for send in tale.sends:
        key, attempt = send.call.key, send.call.attempt
        before = made.get((key, attempt))
        if before is not None and (before.by != send.by or not isinstance(before.answer, Pending)):
            yield f"I24: {send.by} makes attempt {attempt} of {key} after {before.by} did"
        made[key, attempt] = send
        number = pending.pop((key, send.by), attempt)
        if number != attempt and not tale.acts(send.call.step):
            yield f"I24: attempt {number} of {key} was pending, and the next is {attempt}"
        if isinstance(send.answer, Pending):
            pending[key, send.by] = attempt


def _refusals(tale: _Tale) -> Iterator[str]:
    """I24: whoever has heard a no asks nothing more under its key."""
    refused: set[tuple[str, IdempotencyKey]] = set()
    for send in tale.sends:
        if (send.by, send.call.key) in refused and not tale.settles(send.call.step):
            yield f"I24: {send.call.key} is asked again after it was refused"
        if isinstance(send.answer, Refused):
            refused.add((send.by, send.call.key))


def _flags(tale: _Tale) -> Iterator[str]:
    """I22: a service that broke the contract is told of."""
    for record in tale.view.records:
        match record.event:
            case StepFaulted(cause=Cause.BROKEN_CONTRACT) | UndoFaulted(cause=Cause.BROKEN_CONTRACT):
                if f"{record.event.step}: BROKEN_CONTRACT" not in tale.saga.flags:
                    yield f"I22: {record.event.step} broke the contract, and no flag says so"


def _bars(tale: _Tale) -> Iterator[str]:
    """I8: to undo what has no compensation only bars what may come late, and nobody refuses that."""
    for send in tale.sends:
        match send:
            case Send(call=CompensateCall(compensation=None, step=step), answer=Refused()):
                yield f"I8: {step} has nothing to be undone, and that was refused"


def _attempts(tale: _Tale) -> Iterator[str]:
    """I24: a step is given up when it has failed as often as its policy allows, and not sooner."""
    abort = tale.saga.abort
    if abort is None or abort.kind is not AbortKind.GIVEN_UP or abort.step is None or tale.acts(abort.step):
        return
    events = [record.event for record in tale.view.records]
    failed = [e for e in events if isinstance(e, StepFaulted) and e.step == abort.step and e.at <= abort.at]
    allowed = tale.saga.step(abort.step).definition.retry.max_attempts
    if failed[-1].cause in (Cause.FAULTED, Cause.UNKNOWN) and len(failed) != allowed:
        yield f"I24: {abort.step} was given up after {len(failed)} failures, and {allowed} are allowed"


def _hints(tale: _Tale) -> Iterator[str]:
    """I24: a service that says when to ask again is not asked sooner, but for a person or a spent budget."""
    due: dict[tuple[str, IdempotencyKey], float] = {}
    for send in tale.sends if tale.is_steady else ():
        step, name = tale.saga.step(send.call.step).definition, (send.by, send.call.key)
        if send.at_s < due.get(name, 0.0) - ROUNDING_S and not tale.acts(step.name):
            yield f"I24: {send.call.key} is asked at {send.at_s} s, and was to be asked at {due[name]} s"
        heard_at_s = send.heard_at_s or 0.0
        match send.answer:
            case Pending(ask_again_after_s=float(wait_s)):
                due[name] = heard_at_s + wait_s
            case Faulted(retry_after_s=float(wait_s)) if (
                isinstance(send.call, ExecuteCall) and step.retry.budget_s is None
            ):
                due[name] = heard_at_s + min(wait_s, step.retry.max_backoff_s)


_LAWS: Final[Sequence[Callable[[_Tale], Iterator[str]]]] = (
    _timeouts,
    _receipts,
    _numbers,
    _refusals,
    _attempts,
    _hints,
    _bars,
    _flags,
)
