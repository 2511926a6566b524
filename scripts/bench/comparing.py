"""Two ways in pairs: what changes on the machine meanwhile meets both, and drops out of the ratios."""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from scripts.bench.cells import Caller, Cell, Served, Telemetry
from scripts.bench.figures import median_interval
from scripts.bench.report import aligned
from scripts.bench.rig import AS_SHIPPED, Timing, Variant, measure
from scripts.cluster import NotReady

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Way:
    """One of the two."""

    name: str
    cell: Cell
    variant: Variant = AS_SHIPPED


@dataclass(frozen=True, slots=True)
class Pair:
    """Figures that were measured one right after the other."""

    first: Figures
    second: Figures


_OURS: Final = Cell()
_OFF: Final = Way("telemetry off", _OURS)
COMPARISONS: Final[Mapping[str, tuple[Way, Way]]] = {
    # What differs here is noise, and no other comparison can tell less than that.
    "nothing": (Way("once", _OURS), Way("once more", _OURS)),
    "sampled": (_OFF, Way("1 % sampled", replace(_OURS, telemetry=Telemetry.SAMPLED))),
    "traced": (_OFF, Way("always traced", replace(_OURS, telemetry=Telemetry.ALWAYS))),
    "participants": (
        Way("unary participants", replace(_OURS, served=Served.UNARY)),
        Way("batched participants", _OURS),
    ),
    "client": (Way("stock client", replace(_OURS, caller=Caller.STOCK)), Way("our client", _OURS)),
}
_SHOWN: Final = (
    ("sagas_per_s", "sagas/s", 0),
    ("p50_ms", "p50 ms", 1),
    ("p99_ms", "p99 ms", 1),
    ("cpu_ms", "CPU ms a saga", 3),
    ("cpu_coordinator_ms", "of the coordinator", 3),
    ("written_kb", "KB written a saga", 1),
)


def against(tree: Path) -> tuple[Way, Way]:
    """The coordinator of another work tree, then that of this one.

    Raises:
        NotReady: there is no such tree, and this one would be compared with itself.
    """
    if not (tree / "coordinator" / "__main__.py").is_file():
        raise NotReady(f"{tree} is no work tree of this project: it has no coordinator/__main__.py")
    paths = f"{tree}:{tree / 'generated'}"
    # A module is looked for in the working folder first, which is this tree's, unless that is not safe.
    other = Variant({"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"})
    return Way(str(tree), _OURS, other), Way("this tree", _OURS)


def compare(ways: tuple[Way, Way], pairs: int, timing: Timing, *, at_once: bool) -> list[Pair]:
    """Measure both so often, each time in the other order; or *at_once*, side by side: then what changes on
    the machine meets both at the same moment, and a tenth of the pairs tells as much."""
    measured = list[Pair]()
    with ThreadPoolExecutor(len(ways)) as runs:
        every = runs.map if at_once else map
        for number in range(pairs):
            print(f"{number + 1}/{pairs} {ways[0].name}, {ways[1].name}", file=sys.stderr, flush=True)
            order = ways if number % 2 == 0 else ways[::-1]
            figures = list(every(lambda way: measure(way.cell, timing, way.variant), order))
            first, second = figures if number % 2 == 0 else figures[::-1]
            measured.append(Pair(first, second))
    return measured


def table(ways: tuple[Way, Way], pairs: Sequence[Pair]) -> str:
    """Medians of both, and of the ratios, with the interval that holds the true one 19 times in 20."""
    lines = [["", ways[0].name, ways[1].name, "ratio", "from", "to"]]
    for figure, title, digits in _SHOWN:
        medians = (
            median(each) for each in zip(*((p.first[figure], p.second[figure]) for p in pairs), strict=True)
        )
        ratios = [pair.second[figure] / pair.first[figure] for pair in pairs]
        low, high = median_interval(ratios)
        shown = [f"{value:,.{digits}f}" for value in medians]
        lines.append([title, *shown, *(f"{ratio:.3f}" for ratio in (median(ratios), low, high))])
    return "\n".join(aligned(lines))


def as_json(ways: tuple[Way, Way], pairs: Sequence[Pair]) -> dict[str, object]:
    """Every pair."""
    return {
        "ways": [way.name for way in ways],
        "pairs": [[dict(pair.first), dict(pair.second)] for pair in pairs],
    }
