"""Time and chance from the operating system: the only file that asks it for either."""

import random
import time
from typing import Final

import uuid_utils

from coordinator.domain.ids import SagaId


class SystemClock:
    """Keeps the port `Clock`: the system's time, held from ever going back.

    The time is the monotonic clock plus an offset that only grows. After the system's time was set
    back, this one goes on from where it was at the usual pace, so that no timer waits for the system
    to catch up; after a suspend, which stops the monotonic clock, the offset catches up at once.
    """

    def __init__(self) -> None:
        self._offset_s = float("-inf")

    def now(self) -> float:
        # The system's time is read first: a pause between the two makes the offset too small, which the
        # next call repairs; in the other order it would stay too large for good.
        system_s = time.time()
        monotonic_s = time.monotonic()
        if system_s - monotonic_s > self._offset_s:
            self._offset_s = system_s - monotonic_s
        return monotonic_s + self._offset_s


class SystemChance:
    """Keeps the port `Chance`. Draws spread retries and guard no secret."""

    def __init__(self) -> None:
        self._random: Final = random.Random()

    def draw(self) -> float:
        return self._random.random()

    def saga_id(self) -> SagaId:
        return SagaId(str(uuid_utils.uuid7()))


def stopwatch_s() -> float:
    """Seconds from an arbitrary origin, for limits within this process that no clock setting may move."""
    return time.monotonic()


def epoch_s() -> float:
    """The system's time as it is told at this moment, for log lines: nothing may be decided by it."""
    return time.time()
