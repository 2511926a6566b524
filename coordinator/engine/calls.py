"""What one saga has under way at its participants: slots it holds, slots it waits for, calls it has sent.

One call at a time for a step: its undo waits until its Execute has answered or was cut off. What comes back
is posted to whoever drives the saga, and never acted upon here.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

from coordinator.domain.commands import Command
from coordinator.domain.ids import IdempotencyKey, StepName
from coordinator.domain.outcomes import Answer
from coordinator.domain.saga import Saga
from coordinator.domain.values import frozen, replace
from coordinator.engine.dispatcher import Dispatcher
from coordinator.ports.deferred import Cancellable
from coordinator.ports.participants import Call
from coordinator.ports.tracing import Attempt, Tracing


@dataclass(eq=False, slots=True)
class Sent:
    """One call that was sent. It is equal to itself alone."""

    command: Command
    attempt: Attempt | None
    """None: nobody follows it."""
    answer: Cancellable = field(init=False)


@frozen
class Granted:
    """A slot of *service* was taken for *command*: to be held or handed on."""

    command: Command
    service: str


@frozen
class Answered:
    """A call is over."""

    sent: Sent
    answer: Answer


@frozen
class Broken:
    """A call ended without an answer by a fault of ours."""

    error: BaseException


News = Granted | Answered | Broken


class Calls:
    """The calls of one saga."""

    def __init__(self, dispatcher: Dispatcher, tracing: Tracing, post: Callable[[News], None]) -> None:
        self._dispatcher = dispatcher
        self._tracing = tracing
        self._post = post
        self._slots: dict[IdempotencyKey, str] = {}
        self._queued: dict[IdempotencyKey, tuple[str, Callable[[], None]]] = {}
        self._sent: dict[StepName, Sent] = {}

    @property
    def in_flight(self) -> Collection[StepName]:
        """The steps whose call was sent and is neither answered nor cut off."""
        return self._sent.keys()

    @property
    def under_way(self) -> int:
        """How many calls are sent, hold a slot or wait for one."""
        return len(self._sent) + len(self._slots) + len(self._queued)

    @property
    def has_slots(self) -> bool:
        """Whether it holds a slot that no call uses yet, or waits for one."""
        return bool(self._slots or self._queued)

    def is_startable(self, command: Command) -> bool:
        """Whether nothing is under way for it."""
        return (
            command.step not in self._sent
            and command.key not in self._slots
            and command.key not in self._queued
        )

    def has_slot(self, command: Command) -> bool:
        """Whether it can be sent."""
        return command.key in self._slots

    def take_slot(self, command: Command, service: str) -> bool:
        """Take a slot for *command*; if none is free it queues for one, and `Granted` comes later."""
        if self._dispatcher.try_slot(service):
            self._slots[command.key] = service
            return True
        granted = partial(self._post, Granted(command, service))
        self._queued[command.key] = (service, granted)
        self._dispatcher.await_slot(service, granted)
        return False

    def hold(self, granted: Granted) -> None:
        """Keep the slot that was waited for."""
        del self._queued[granted.command.key]
        self._slots[granted.command.key] = granted.service

    def hand_on(self, granted: Granted) -> None:
        """Give back the slot that was waited for: nobody is left to use it."""
        self._dispatcher.free_slot(granted.service)

    def give_back_slots(self, wanted: Collection[IdempotencyKey] = ()) -> None:
        """Give back the slots whose command is not *wanted* any more, and wait for none of them."""
        for key in [key for key in self._slots if key not in wanted]:
            self._dispatcher.free_slot(self._slots.pop(key))
        for key, (service, granted) in list(self._queued.items()):
            # One that was granted at this moment comes back all the same, and is handed on then.
            if key not in wanted and self._dispatcher.leave_queue(service, granted):
                del self._queued[key]

    def send(self, saga: Saga, command: Command, call: Call, *, timeout_s: float) -> None:
        """Send *call*; the slot that is held for *command* is the call's from here on."""
        del self._slots[command.key]
        attempt = self._tracing.attempt(saga, call) if saga.trace else None
        if attempt is not None:
            call = replace(call, trace=attempt.trace)
        sent = Sent(command, attempt)
        try:
            sent.answer = self._dispatcher.send(call, timeout_s=timeout_s, over=partial(self._over, sent))
        except BaseException:
            if attempt is not None:
                attempt.abandoned()
            raise
        self._sent[command.step] = sent

    def take(self, sent: Sent) -> bool:
        """Whether the answer has a say: not if the call was cut off while it was on its way."""
        if self._sent.get(sent.command.step) is not sent:
            return False
        del self._sent[sent.command.step]
        return True

    def cut_off(self, step: StepName) -> None:
        """Wait no longer for the call of *step*."""
        sent = self._sent.pop(step)
        sent.answer.cancel()
        if sent.attempt is not None:
            sent.attempt.abandoned()

    def leave(self) -> None:
        """Cut off all that was sent, and give back and wait for no slots any more."""
        for step in list(self._sent):
            self.cut_off(step)
        # A slot that is granted to a saga that nobody drives would be lost for good.
        self.give_back_slots()

    def _over(self, sent: Sent, answer: Answer | BaseException) -> None:
        if isinstance(answer, BaseException):
            self._post(Broken(answer))
            return
        if sent.attempt is not None:
            sent.attempt.answered(answer)
        self._post(Answered(sent, answer))
