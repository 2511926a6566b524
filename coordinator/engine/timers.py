"""A saga's own time, and waiting for a moment of a clock, which may be days away.

The event loop's timers are monotonic and stand still while a machine is suspended, so a long wait is
cut into slices and the clock is read again after each.
"""

import asyncio
from typing import Final

from coordinator.ports.clock import Clock

RECHECK_S: Final = 30.0


class SagaClock:
    """Keeps the port `Clock` for one saga, also over a restart: its time never goes back.

    The machine's clock may have been set back between two processes. What the saga's newest record says was
    now is then ahead of it, and the saga goes on from there at the usual pace: nothing of its timeline comes
    before what came before it, no deadline moves away and no wait gets longer. It is held back by the saga,
    not for the whole process, since one record with a time far ahead would bring all deadlines on at once.
    """

    def __init__(self, clock: Clock, updated_at: float, *, since: float | None = None) -> None:
        """*updated_at* is the time of its newest record, *since* the moment of *clock* at which it was taken
        up with that; None: now."""
        self._clock = clock
        self._updated_at = updated_at
        self._behind_s = max(updated_at - (clock.now() if since is None else since), 0.0)

    def now(self) -> float:
        # A sum may be rounded to just before the moment that it is to begin with.
        now = self._clock.now() + self._behind_s
        return now if now > self._updated_at else self._updated_at


def slice_s(remaining_s: float) -> float:
    """How long to sleep before looking at the clock again, in seconds; 0 once none remain."""
    if remaining_s <= 0:
        return 0.0
    return remaining_s if remaining_s < RECHECK_S else RECHECK_S


async def sleep_until(clock: Clock, moment: float) -> None:
    """Return when *clock* has reached *moment*."""
    while True:
        sleep_s = slice_s(moment - clock.now())
        if sleep_s == 0:
            return
        await asyncio.sleep(sleep_s)
