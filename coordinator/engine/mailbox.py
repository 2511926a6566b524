"""What is for one actor, in the order in which it came, and when that is its turn."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from coordinator.ports.deferred import report

_Message = TypeVar("_Message")
_Turn = Callable[[], None]


class Turns:
    """Actors that have news, in the order in which it came. All of them take their turns in one turn of the
    event loop: many have news at once, and a turn of the loop for each would cost as much as what they do."""

    def __init__(self) -> None:
        """What is done in a turn is done in the context that is current now, not in that of whoever had news
        for somebody."""
        self._due: list[_Turn] = []
        self._context = copy_context()

    def add(self, turn: _Turn) -> None:
        """Let *turn* be taken soon."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._take, context=self._context)
        self._due.append(turn)

    def _take(self) -> None:
        due, self._due = self._due, []
        for turn in due:
            try:
                turn()
            except Exception as error:  # it costs no other its turn
                report(error)


class Mailbox(Generic[_Message]):
    """Messages for an actor that may also wait for a moment."""

    def __init__(self, turns: Turns, turn: _Turn) -> None:
        """*turn* is taken, among *turns*, when there is something to do."""
        self._turns = turns
        self._turn: _Turn | None = turn
        self._messages: deque[_Message] = deque()
        self._is_waiting = False
        self._alarm: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Whether there is a message."""
        return bool(self._messages)

    def put(self, message: _Message) -> None:
        """Add a message behind the others, and wake the reader."""
        self._messages.append(message)
        self._wake()

    def take(self) -> _Message | None:
        """The oldest message; None where there is none."""
        return self._messages.popleft() if self._messages else None

    def wait(self, *, for_s: float | None) -> None:
        """From here on, wake the reader once: when there is a message, or after *for_s* seconds (None: not
        before); perhaps earlier."""
        self._is_waiting = True
        if self._messages:
            self._wake()
        elif for_s is not None:
            self._set_alarm(for_s)

    def close(self) -> None:
        """Wake nobody any more."""
        self._turn = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self, for_s: float) -> None:
        loop = asyncio.get_running_loop()
        # One that is set for earlier is left as it is: who waits for a deadline is mostly answered many times
        # before it comes.
        if self._alarm is not None:
            if self._alarm.when() - loop.time() <= for_s:
                return
            self._alarm.cancel()
        self._alarm = loop.call_later(for_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        # Behind what has come at the same moment, so that both are looked at together.
        asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        if self._is_waiting and self._turn is not None:
            self._is_waiting = False
            self._turns.add(self._turn)
