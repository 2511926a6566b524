"""One call to a participant, inside the limit of calls in flight that each participant has (bulkhead).

A slow participant fills its own limit and delays its own steps; it never takes another one's slots.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from coordinator.domain.commands import Command, Invoke
from coordinator.domain.ids import FencingToken
from coordinator.domain.outcomes import Answer, Direction
from coordinator.domain.saga import Saga
from coordinator.domain.shaping import sent_input
from coordinator.domain.values import frozen
from coordinator.ports.deferred import Cancellable, when_over
from coordinator.ports.participants import Call, CompensateCall, ExecuteCall, Participants
from coordinator.ports.telemetry import Telemetry

_DIRECTIONS: Final = {ExecuteCall: Direction.FORWARD, CompensateCall: Direction.UNDO}


@frozen
class Load:
    """What one service is asked to bear: slots in use, and calls that wait for one."""

    in_flight: int
    queued: int


def call_for(saga: Saga, command: Command, token: FencingToken, trace: str) -> Call:
    """The request that *command* stands for: byte for byte the same in every attempt, but for its number.
    *trace* goes with it."""
    step = saga.steps[command.place]
    definition = step.definition
    # By place: an object whose class is given names takes more than twice as long to make.
    if isinstance(command, Invoke):
        return ExecuteCall(
            command.key,
            saga.id,
            saga.definition.name,
            definition.service,
            step.name,
            definition.transaction,
            step.attempt,
            token,
            sent_input(saga, step, undo=False),
            trace,
        )
    if step.undo is None:
        raise ValueError(f"saga {saga.id}: the undo of {step.name!r} is sent before it is begun")
    return CompensateCall(
        command.key,
        saga.id,
        saga.definition.name,
        definition.service,
        step.name,
        definition.compensation,
        step.undo.attempt,
        token,
        sent_input(saga, step, undo=True),
        step.undo.receipt,
        trace,
    )


class Dispatcher:
    """Sends calls and hands out the slots for them."""

    def __init__(
        self, participants: Participants, telemetry: Telemetry, *, calls_per_service_max: int
    ) -> None:
        self._participants = participants
        self._telemetry = telemetry
        self._calls_max = calls_per_service_max
        self._in_use: dict[str, int] = {}
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def try_slot(self, service: str) -> bool:
        """Take a slot of *service* if one is free; none is while somebody waits, for it is handed on."""
        in_use = self._in_use.get(service, 0)
        if in_use >= self._calls_max:
            return False
        self._in_use[service] = in_use + 1
        return True

    def await_slot(self, service: str, granted: Callable[[], None]) -> None:
        """Queue for a slot of *service*; *granted* is called once, when it has been taken for the caller."""
        self._waiting.setdefault(service, deque()).append(granted)

    def leave_queue(self, service: str, granted: Callable[[], None]) -> bool:
        """Wait no longer. False: *granted* was called already."""
        waiting = self._waiting.get(service)
        if waiting is None or granted not in waiting:
            return False
        waiting.remove(granted)
        return True

    def free_slot(self, service: str) -> None:
        """Give a slot back, or on to whoever has waited longest."""
        if waiting := self._waiting.get(service):
            waiting.popleft()()
        else:
            self._in_use[service] -= 1

    def loads(self) -> Mapping[str, Load]:
        """The load of every service that was ever called."""
        return {
            service: Load(in_use, len(self._waiting.get(service, ())))
            for service, in_use in self._in_use.items()
        }

    def send(
        self, call: Call, *, timeout_s: float, over: Callable[[Answer | BaseException], None]
    ) -> Cancellable:
        """Start *call* in a slot that the caller has taken. When the call is over, the slot is freed and
        *over* is told the answer, or the fault of ours that there is none for.

        The caller owns what comes back; cancelling it abandons the call, and *over* is told of no outcome but
        one that was on its way already.
        """
        clock = asyncio.get_running_loop()
        sent_at = clock.time()

        def ended(answer: Answer | BaseException) -> None:
            self.free_slot(call.service)
            if isinstance(answer, asyncio.CancelledError):
                return
            over(answer)
            if isinstance(answer, BaseException):
                return
            lasted_s = clock.time() - sent_at
            direction = _DIRECTIONS[type(call)]
            self._telemetry.attempt_ended(call.service, direction, answer, lasted_s, call.trace)

        try:
            return when_over(self._participants.perform(call, timeout_s=timeout_s), ended)
        except BaseException:
            self.free_slot(call.service)
            raise
