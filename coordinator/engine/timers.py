"""Waiting for a moment of the clock port, which may be days away.

The event loop's timers are monotonic and stand still while a machine is suspended, so a long wait is
cut into slices and the clock is read again after each.
"""

import asyncio
from typing import Final

from coordinator.ports.clock import Clock

RECHECK_S: Final = 30.0


def slice_s(clock: Clock, moment: float) -> float:
    """How long to sleep before looking at the clock again, in seconds; 0 once *moment* has come."""
    return min(max(moment - clock.now(), 0.0), RECHECK_S)


async def sleep_until(clock: Clock, moment: float) -> None:
    """Return when *clock* has reached *moment*."""
    while True:
        remaining_s = slice_s(clock, moment)
        if remaining_s == 0:
            return
        await asyncio.sleep(remaining_s)
