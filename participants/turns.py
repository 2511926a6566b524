"""Calls for one saga and step take turns, so that a duplicate can be given the first one's answer."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

# A duplicate that waits in vain is answered a little before its caller stops listening.
MARGIN_S = 0.1
MARGIN_SHARE = 0.2


class TurnNotReached(Exception):
    """The call before this one was not done when this one's deadline came."""


class Turns:
    """Who waits for whom, by saga and step, for as long as somebody holds the turn."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], deque[asyncio.Future[None]]] = {}

    def take(self, saga_id: str, step: str, time_left_s: float | None) -> Turn:
        """The turn, held while it is entered; without a deadline the wait has none either."""
        return Turn(self._queues, (saga_id, step), time_left_s)


class Turn:
    """One call's turn.  Of most calls there is no duplicate, and taking it is no more than a look."""

    __slots__ = ("_queues", "_step", "_time_left_s")

    def __init__(
        self,
        queues: dict[tuple[str, str], deque[asyncio.Future[None]]],
        step: tuple[str, str],
        time_left_s: float | None,
    ) -> None:
        self._queues = queues
        self._step = step
        self._time_left_s = time_left_s

    async def __aenter__(self) -> None:
        queue = self._queues.get(self._step)
        if queue is None:
            self._queues[self._step] = deque()
        else:
            await self._wait(queue)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on(self._queues[self._step])

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        wait_s = None
        if self._time_left_s is not None:
            wait_s = self._time_left_s - min(MARGIN_S, MARGIN_SHARE * self._time_left_s)
        reached = asyncio.get_running_loop().create_future()
        queue.append(reached)
        try:
            async with asyncio.timeout(wait_s):
                await reached
        except BaseException as error:
            # The turn may have been reached in the very moment in which the wait was given up.
            if not reached.cancelled():
                self._pass_on(queue)
            if isinstance(error, TimeoutError):
                raise TurnNotReached from None
            raise

    def _pass_on(self, queue: deque[asyncio.Future[None]]) -> None:
        while queue:
            reached = queue.popleft()
            if not reached.done():
                reached.set_result(None)
                return
        del self._queues[self._step]
