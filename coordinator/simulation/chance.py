"""Time and chance of a simulated world: both the same in every run."""

import asyncio
import random
from typing import Final

from coordinator.domain.ids import SagaId

BORN_AT_S: Final = 1_000_000_000.0
"""When every world begins, in seconds since the epoch."""


class LoopClock:
    """Keeps the port `Clock` with the time of the loop that it is asked in; a machine may be off by some.

    Set back, it goes on from where it was at the usual pace, as `SystemClock` does.
    """

    def __init__(self) -> None:
        self.off_by_s = 0.0
        self._offset_s = float("-inf")

    def now(self) -> float:
        self._offset_s = max(self._offset_s, BORN_AT_S + self.off_by_s)
        return asyncio.get_running_loop().time() + self._offset_s


class SeededChance:
    """Keeps the port `Chance`. The ids of its sagas begin with *prefix* and count up."""

    def __init__(self, seed: str, prefix: str) -> None:
        self._random: Final = random.Random(seed)
        self._prefix = prefix
        self._sagas = 0

    def draw(self) -> float:
        return self._random.random()

    def saga_id(self) -> SagaId:
        self._sagas += 1
        return SagaId(f"{self._prefix}{self._sagas}")
