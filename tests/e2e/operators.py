"""Operators who look after sagas while the coordinator is killed: they look, act, ask again, get in each
other's way, and note all that they were told.

What they do is drawn from a seed; what they find depends on what is done to the coordinator meanwhile.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import grpc
import grpc.aio

from saga.v1 import coordinator_pb2, coordinator_pb2_grpc, operator_pb2, operator_pb2_grpc, types_pb2
from tests.checker.evidence import OperatorCall
from tests.e2e.load import CHANNEL_OPTIONS

CALL_TIMEOUT_S: Final = 20.0
COME_BACK_S: Final = 0.4
COME_BACK_MAX: Final = 50
NAMES: Final = ("Ada", "Grace", "Edsger", "Barbara")
REASONS: Final = ("the bank called", "stock was counted", "agreed with the customer")
OUTPUT: Final = '{"by_hand":true}'
INDETERMINATE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"})
OF_A_STEP: Final = ("RETRY", "SKIP", "COMPLETE", "FAIL")
PASSED: Final = (types_pb2.STEP_STATUS_SUCCEEDED, types_pb2.STEP_STATUS_SKIPPED)

# Of a saga that stands so, what can be done to it, and what cannot.
LIKINGS: Final[Mapping[int, Mapping[str, int]]] = {
    types_pb2.SAGA_STATUS_RUNNING: {
        "CANCEL": 4,
        "TERMINATE": 2,
        "COMPLETE": 3,
        "FAIL": 3,
        "SKIP": 2,
        "RETRY": 4,
    },
    types_pb2.SAGA_STATUS_COMPENSATING: {
        "FAIL": 8,
        "RETRY": 3,
        "COMPLETE": 1,
        "SKIP": 1,
        "TERMINATE": 1,
        "CANCEL": 1,
    },
    types_pb2.SAGA_STATUS_DEAD_LETTERED: {
        "RETRY": 10,
        "COMPLETE": 2,
        "SKIP": 2,
        "TERMINATE": 1,
        "FAIL": 1,
        "CANCEL": 1,
    },
}
ANYTHING: Final = dict.fromkeys((*OF_A_STEP, "CANCEL", "TERMINATE"), 1)


@dataclass(frozen=True, slots=True)
class Duties:
    """How many operators there are, and how often they do what."""

    operators: int = 5
    pause_s: float = 0.08
    dead_letters: float = 0.6
    """Look at the list of those that need a person, not at any saga."""
    ended: float = 0.04
    """Act on whatever saga there is, also on one that has ended."""
    only_ask: float = 0.08
    twice: float = 0.15
    """Send the same action twice at once."""
    rivals: float = 0.15
    """Send another action at once, having looked at the same."""
    stale: float = 0.08
    """Act on what was seen some records ago."""
    again: float = 0.1
    """Come back later with an action that was acknowledged."""
    changed: float = 0.04
    """The same, with another reason."""
    forget: float = 0.2
    """Do not come back for the answer that was lost."""
    likings: Mapping[int, Mapping[str, int]] = field(default_factory=lambda: LIKINGS)
    """What is tried on a saga of a status, and how often."""


@dataclass(slots=True)
class Watch:
    """What the operators were told."""

    calls: list[OperatorCall] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """Every error text that an operator got to read."""

    def __str__(self) -> str:
        """Actions by verb and by result."""
        results: Counter[str] = Counter()
        verbs: Counter[str] = Counter()
        for call in self.calls:
            verbs[call.verb] += 1
            results[_result(call)] += 1
        return f"{len(self.calls)} calls; {_counted(verbs)}; {_counted(results)}"


class Operators:
    """A few operators of one coordinator."""

    def __init__(self, address: str, *, seed: int, duties: Duties) -> None:
        self.watch = Watch()
        self._address = address
        self._chance = random.Random(f"operators {seed}")
        self._duties = duties
        self._numbers: Iterator[int] = itertools.count(1)
        self._acknowledged: list[OperatorCall] = []
        self._closing = asyncio.Event()

    async def run(self) -> None:
        """Work until told to stop."""
        async with grpc.aio.insecure_channel(self._address, options=CHANNEL_OPTIONS) as channel:
            self._sagas = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            self._stub = operator_pb2_grpc.OperatorServiceStub(channel)
            async with asyncio.TaskGroup() as crew:
                for number in range(self._duties.operators):
                    crew.create_task(self._keep_working(NAMES[number % len(NAMES)]))

    def stop(self) -> None:
        """Begin nothing new."""
        self._closing.set()

    async def _keep_working(self, actor: str) -> None:
        while not self._closing.is_set():
            await asyncio.sleep(self._chance.uniform(0, 2 * self._duties.pause_s))
            try:
                seen = await self._look()
            except grpc.aio.AioRpcError:
                continue  # the coordinator is gone for the moment
            if seen is not None:
                await self._act(actor, seen)

    async def _look(self) -> types_pb2.Saga | None:
        """A saga to act on, as it stands."""
        if self._chance.random() < self._duties.dead_letters:
            sagas = await self._dead_letters()
        else:
            sagas = await self._others()
        if not sagas:
            return None
        request = coordinator_pb2.GetSagaRequest(saga_id=self._chance.choice(sagas).saga_id)
        return (await self._sagas.GetSaga(request, timeout=CALL_TIMEOUT_S)).saga

    async def _dead_letters(self) -> Sequence[types_pb2.Saga]:
        request = operator_pb2.ListDeadLettersRequest(page_size=50)
        return (await self._stub.ListDeadLetters(request, timeout=CALL_TIMEOUT_S)).dead_letters

    async def _others(self) -> Sequence[types_pb2.Saga]:
        """Those that have stood still longest, as a rule: the others move on while one looks."""
        status = self._chance.choice(["RUNNING", "COMPENSATING"])
        ended = self._chance.random() < self._duties.ended
        request = coordinator_pb2.ListSagasRequest(page_size=50, filter="" if ended else f"status = {status}")
        page = await self._sagas.ListSagas(request, timeout=CALL_TIMEOUT_S)
        still = sorted(page.sagas, key=lambda saga: saga.update_time.ToNanoseconds())
        return still if ended else still[:3]

    async def _act(self, actor: str, seen: types_pb2.Saga) -> None:
        duties, action = self._duties, self._drawn(actor, seen)
        habit = self._chance.random()
        if habit < duties.only_ask:
            await self._send(replace(action, only_asked=True))
            return
        habit -= duties.only_ask
        if habit < duties.twice:
            await asyncio.gather(self._until_answered(action), self._until_answered(action))
        elif habit < duties.twice + duties.rivals:
            rival = self._drawn(self._chance.choice(NAMES), seen)
            await asyncio.gather(self._until_answered(action), self._until_answered(rival))
        elif habit < duties.twice + duties.rivals + duties.stale:
            newest_seen = self._chance.randint(1, max(1, seen.seq - 1))
            await self._until_answered(replace(action, seq_expected=newest_seen))
        elif habit < duties.twice + duties.rivals + duties.stale + duties.again and self._acknowledged:
            await self._until_answered(self._chance.choice(self._acknowledged))
        else:
            await self._until_answered(action)
            if self._chance.random() < duties.changed:
                await self._send(replace(action, reason=f"{action.reason}, I think"))

    def _drawn(self, actor: str, seen: types_pb2.Saga) -> OperatorCall:
        """An action on the saga that was seen."""
        likings = self._duties.likings.get(seen.status, ANYTHING)
        verb = self._chance.choices(list(likings), list(likings.values()))[0]
        forward = seen.status == types_pb2.SAGA_STATUS_RUNNING
        return OperatorCall(
            saga_id=seen.saga_id,
            action_id=f"action-{next(self._numbers)}",
            verb=verb,
            step=self._step(seen) if verb in OF_A_STEP else "",
            actor=actor,
            reason=self._chance.choice(REASONS),
            seq_expected=seen.seq,
            output=OUTPUT if verb == "COMPLETE" and forward else "",
            invoked_ns=0,
            replied_ns=None,
            code="NONE",
        )

    def _step(self, seen: types_pb2.Saga) -> str:
        """The step that something can be done about; now and then another one."""
        if self._chance.random() < 0.05:
            return self._chance.choice(seen.steps).name
        if seen.status == types_pb2.SAGA_STATUS_RUNNING:
            waiting = [step for step in seen.steps if step.status not in PASSED]
            return (waiting or list(seen.steps))[0].name
        troubled = (types_pb2.STEP_STATUS_UNDO_FAILED, types_pb2.STEP_STATUS_UNDOING)
        found = [step for step in seen.steps if step.status in troubled]
        return self._chance.choice(found or list(seen.steps)).name

    async def _until_answered(self, action: OperatorCall) -> None:
        """Send the same action until there is an answer, or until it is forgotten."""
        for _ in range(COME_BACK_MAX):
            call = await self._send(action)
            if call.code not in INDETERMINATE:
                if call.code == "OK":
                    self._acknowledged.append(action)
                return
            if self._chance.random() < self._duties.forget:
                return
            await asyncio.sleep(COME_BACK_S)

    async def _send(self, action: OperatorCall) -> OperatorCall:
        """Send *action* once, and note what came of it."""
        asked = replace(action, invoked_ns=time.monotonic_ns())
        try:
            result = await self._result(asked)
        except grpc.aio.AioRpcError as error:
            self.watch.told.append(f"{error.details()} {error.trailing_metadata()}")
            answered = replace(asked, code=error.code().name)
        else:
            answered = replace(asked, code="OK", repeated=result.repeated, seq=result.saga.seq)
        answered = replace(answered, replied_ns=time.monotonic_ns())
        self.watch.calls.append(answered)
        return answered

    async def _result(self, asked: OperatorCall) -> operator_pb2.ActionResult:
        saga_id, step, only = asked.saga_id, asked.step, asked.only_asked
        action = operator_pb2.Action(
            action_id=asked.action_id,
            actor=asked.actor,
            reason=asked.reason,
            expected_seq=asked.seq_expected,
        )
        stub, within_s = self._stub, CALL_TIMEOUT_S
        match asked.verb:
            case "RETRY":
                retry = operator_pb2.RetryStepRequest(
                    saga_id=saga_id, step=step, action=action, validate_only=only
                )
                return (await stub.RetryStep(retry, timeout=within_s)).result
            case "SKIP":
                skip = operator_pb2.SkipStepRequest(
                    saga_id=saga_id, step=step, action=action, validate_only=only
                )
                return (await stub.SkipStep(skip, timeout=within_s)).result
            case "COMPLETE":
                complete = operator_pb2.CompleteStepRequest(
                    saga_id=saga_id, step=step, action=action, validate_only=only, output_json=asked.output
                )
                return (await stub.CompleteStep(complete, timeout=within_s)).result
            case "FAIL":
                fail = operator_pb2.FailStepRequest(
                    saga_id=saga_id, step=step, action=action, validate_only=only
                )
                return (await stub.FailStep(fail, timeout=within_s)).result
            case "CANCEL":
                cancel = operator_pb2.OperatorServiceCancelSagaRequest(
                    saga_id=saga_id, action=action, validate_only=only
                )
                return (await stub.CancelSaga(cancel, timeout=within_s)).result
            case _:
                terminate = operator_pb2.TerminateSagaRequest(
                    saga_id=saga_id, action=action, validate_only=only
                )
                return (await stub.TerminateSaga(terminate, timeout=within_s)).result


def _result(call: OperatorCall) -> str:
    if call.code != "OK":
        return call.code
    return "only asked" if call.only_asked else "repeated" if call.repeated else "done"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
