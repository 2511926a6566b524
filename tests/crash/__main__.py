"""Kill every shape of saga wherever it can be killed, with both cores, and tell what was found.

`python -m tests.crash` takes all of them, `python -m tests.crash WORDS` those whose names hold these words.
"""

import logging
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Final

from tests.crash.rows import Row, Violation, crash
from tests.crash.shapes import SHAPES

PROCESSES: Final = 2


def main(words: str) -> int:
    """The exit code: 1 if anything did not hold, 2 if there was nothing to be done."""
    chosen = [number for number, shape in enumerate(SHAPES) if words in shape.name]
    if not chosen:
        names = "\n  ".join(shape.name for shape in SHAPES)
        print(f"crash: no shape is called {words!r}; there are\n  {names}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    rows: list[Row] = []
    with ProcessPoolExecutor(PROCESSES, initializer=_in_silence) as pool:
        crashing = [pool.submit(_crash, number) for number in chosen]
        for done in as_completed(crashing):
            outcome = done.result()
            if not isinstance(outcome, Row):
                _stop(crashing)
                print("\n".join(outcome))
                print("crash: a violation; the rest was not looked at", file=sys.stderr)
                return 1
            rows.append(outcome)
            print(f"{outcome}: 0 violations", flush=True)
    print(_summary(rows, time.monotonic() - begun))
    return 0


def _crash(number: int) -> Row | Sequence[str]:
    """What came of a shape; the lines that tell of its first violation, if there is one."""
    try:
        return crash(SHAPES[number])
    except Violation as violation:
        return violation.lines


def _in_silence() -> None:
    """What a killed coordinator logs is no news here."""
    logging.getLogger("coordinator").setLevel(logging.CRITICAL + 1)


def _stop(crashing: Sequence[Future[Row | Sequence[str]]]) -> None:
    for future in crashing:
        future.cancel()


def _summary(rows: Sequence[Row], took_s: float) -> str:
    boundaries = sum(row.boundaries for row in rows)
    kills, pairs, runs = (sum(getattr(row, name) for row in rows) for name in ("kills", "pairs", "runs"))
    small = sum(row.pairs > 0 for row in rows)
    return (
        f"{len(rows)} shapes, {boundaries:,} boundaries: {kills:,} kills, and {pairs:,} pairs of kills "
        f"in the {small} small ones; {runs:,} runs in {took_s:.0f} s: 100 % done, 0 violations"
    )


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
