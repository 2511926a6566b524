"""An event loop whose clock leaps: where all wait, it is at once as late as the first of them waits for.

So a story of a day takes as long as what is done in it, and every run of it is the same. Nothing from outside
may be waited for, nor a thread: this loop would leap over the time that it takes.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

BORN_AT_S: Final = 1_000.0
TURNS_MAX: Final = 20_000
"""Of the loop: some thirty times what the longest story takes."""


class ComesToNoEnd(Exception):
    """All wait, and none of them for a moment; or they go in circles."""


class QuickLoop(asyncio.SelectorEventLoop):
    """Its time is that of the clock of all who run in it: from `BORN_AT_S` on, without a pause."""

    def __init__(self) -> None:
        self.now_s = BORN_AT_S
        super().__init__(_Leaping(self))

    def time(self) -> float:
        return self.now_s


class _Leaping(selectors.SelectSelector):
    """Waits for no file, but moves the time of its loop on."""

    def __init__(self, loop: QuickLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise ComesToNoEnd
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise ComesToNoEnd
            self._loop.now_s += timeout
        return ready


class LoopClock:
    """Keeps the port `Clock` with the time of the loop that it is asked in."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run *work* in a loop of its own."""
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(work)
