"""`python -m scripts.bench.profiled FILE`: a coordinator whose stacks are looked at again and again.

When it stops, FILE has a line for each stack that was seen: its frames from the outermost on, with `;`
between them, and the CPU in microseconds. The coordinator itself knows nothing of it.
"""

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

from coordinator.bootstrap import main

EVERY_S: Final = 0.003


class Sampler:
    """A thread that looks at the others. What one has used since the last look counts for where it is now: a
    thread that waits has used nothing, whatever it waits in."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)
        self._used_ns: dict[int, int] = {}
        self.seen: Counter[str] = Counter()
        """Nanoseconds by stack."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(EVERY_S):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                # One that threading does not know is gRPC's, and may be gone by now.
                if ident in names and ident != self._thread.ident:
                    self._see(ident, ";".join([names[ident], *frames(frame)]))

    def _see(self, ident: int, stack: str) -> None:
        used_ns = time.clock_gettime_ns(time.pthread_getcpuclockid(ident))
        # An ident is given again to a later thread, which has used less than the one before it.
        before_ns = min(self._used_ns.get(ident, 0), used_ns)
        self._used_ns[ident] = used_ns
        self.seen[stack] += used_ns - before_ns


def frames(innermost: FrameType) -> list[str]:
    """The names of the functions from the outermost on."""
    names = list[str]()
    frame: FrameType | None = innermost
    while frame is not None:
        names.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return names[::-1]


def run(stacks: Path) -> int:
    sampler = Sampler()
    sampler.start()
    try:
        return main()
    finally:
        sampler.stop()
        stacks.write_text("".join(f"{stack} {used // 1000}\n" for stack, used in sampler.seen.items()))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
