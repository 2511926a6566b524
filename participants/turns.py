"""Calls for one saga and step take turns, so that a duplicate can be given the first one's answer."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# A duplicate that waits in vain is answered a little before its caller stops listening.
MARGIN_S = 0.1
MARGIN_SHARE = 0.2


class TurnNotReached(Exception):
    """The call before this one was not done when this one's deadline came."""


class Turns:
    """One lock per saga and step, for as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    @asynccontextmanager
    async def take(self, saga_id: str, step: str, time_left_s: float | None) -> AsyncIterator[None]:
        """Hold the turn; without a deadline the wait has none either."""
        lock = self._locks.setdefault((saga_id, step), asyncio.Lock())
        wait_s = None
        if time_left_s is not None:
            wait_s = time_left_s - min(MARGIN_S, MARGIN_SHARE * time_left_s)
        try:
            # Not wait_for: cancelled at the wrong moment, it keeps a lock that nobody can release.
            async with asyncio.timeout(wait_s):
                await lock.acquire()
        except TimeoutError:
            raise TurnNotReached from None
        try:
            yield
        finally:
            lock.release()
