"""What is for one actor, in the order in which it came. One task reads it."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

_Message = TypeVar("_Message")


class Mailbox(Generic[_Message]):
    """Messages for a task that may also wait for a moment."""

    def __init__(self) -> None:
        self._messages: deque[_Message] = deque()
        self._waiting: asyncio.Future[None] | None = None
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

    async def wait(self, *, for_s: float | None) -> None:
        """Return when there is a message, or after *for_s* seconds (None: not before); perhaps earlier."""
        if self._messages:
            return
        self._waiting = asyncio.get_running_loop().create_future()
        if for_s is not None:
            self._set_alarm(for_s)
        await self._waiting

    def close(self) -> None:
        """Wake nobody any more."""
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
        if self._waiting is not None:
            if not self._waiting.done():
                self._waiting.set_result(None)
            self._waiting = None
