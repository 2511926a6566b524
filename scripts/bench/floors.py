"""The floors: what each hop of an order costs where nothing is done between them. No row can be faster."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from scripts.bench import floor_load
from scripts.bench.cells import Caller, Cell, Ending, Served
from scripts.bench.floor_load import Floor, Found, Task
from scripts.bench.rig import Timing
from scripts.cluster import Process

_TIMEOUT_S: Final = 60.0

Rates = Mapping[tuple[Floor, int], float]
"""How often a second, by floor and concurrency."""


def measure_floor(floor: Floor, concurrency: int, timing: Timing) -> dict[str, float]:
    """Drive *floor* once, with processes and files of its own.

    Raises:
        NotReady: a process failed.
    """
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as name:
        folder = Path(name)
        if floor is Floor.JOURNAL:
            return _driven(Task(floor, concurrency, **asdict(timing)), folder)
        echo = Process("the echo", ["scripts.bench.echo"], environment={}, log=folder / "echo.log")
        try:
            (address,) = echo.await_ready("echo ready ")
            task = Task(floor, concurrency, **asdict(timing), server=echo.pid, address=address)
            return _driven(task, folder)
        finally:
            echo.stop()


def limit(cell: Cell, rates: Rates) -> float | None:
    """How many sagas a second *cell* could run if the narrowest of its hops were all there is to it.

    None where a floor was not measured; of its concurrencies the nearest one counts.
    """
    calls = cell.steps if cell.ending is Ending.SUCCESS else 2 * cell.steps - 1
    door = Floor.STREAM if cell.caller is Caller.OURS else Floor.UNARY
    hop = Floor.STREAM if cell.served is Served.BATCHED else Floor.UNARY
    # The start is written, and then each answer.
    passes = ((door, 1), (hop, calls), (Floor.JOURNAL, calls + 1))
    limits = [rate / times for floor, times in passes if (rate := _nearest(rates, floor, cell.concurrency))]
    return min(limits) if len(limits) == len(passes) else None


def _nearest(rates: Rates, floor: Floor, concurrency: int) -> float | None:
    measured = [many for other, many in rates if other is floor]
    if not measured:
        return None
    nearest = min(measured, key=lambda many: max(many, concurrency) / min(many, concurrency))
    return rates[floor, nearest]


def _driven(task: Task, folder: Path) -> dict[str, float]:
    given = json.dumps({**asdict(task), "folder": str(folder)})
    driver = Process(
        "the floor", ["scripts.bench.floor_load", given], environment={}, log=folder / "floor.log"
    )
    try:
        words = driver.await_ready(floor_load.READY, task.warm_up_s + task.window_s + _TIMEOUT_S)
    finally:
        driver.stop()
    found = Found(**json.loads(words[0]))
    return {
        "per_s": found.acts / found.seconds,
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
        "cpu_ms": 1000 * found.cpu_s / found.acts,
    }
