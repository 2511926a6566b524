"""What is left as SVG: throughput and latency by concurrency, and where a coordinator's time goes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from scripts.bench.cells import Cell
from scripts.bench.report import Report
from scripts.bench.rig import Timing, Variant, measure
from scripts.bench.rows import Section
from scripts.bench.svg import Points, chart, flame_graph

_PLOTS: Final = (
    ("throughput", "Sagas a second", "sagas/s", "sagas_per_s"),
    ("latency-p50", "Half of all orders took no longer", "ms", "p50_ms"),
    ("latency-p99", "99 in 100 orders took no longer", "ms", "p99_ms"),
)


def draw_plots(report: Report, folder: Path) -> list[Path]:
    """One for each figure, of rows that were measured at several concurrencies; none without such rows."""
    drawn = list[Path]()
    for name, title, unit, figure in _PLOTS:
        lines = dict(_lines(report, figure))
        if lines:
            file = folder / f"{name}.svg"
            file.write_text(chart(title, "orders at a time", unit, lines))
            drawn.append(file)
    return drawn


def draw_profile(cell: Cell, timing: Timing, folder: Path) -> Path:
    """Run *cell* with a coordinator that is looked at, and draw what was seen."""
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as seen:
        stacks = Path(seen) / "stacks"
        measure(cell, timing, Variant(command=("scripts.bench.profiled", str(stacks))))
        counted = dict(_read(stacks.read_text()))
    file = folder / f"flames-{'-'.join(cell.words)}.svg"
    file.write_text(flame_graph(f"The coordinator, {cell.name}", counted))
    return file


def _read(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        stack, _, used_us = line.rpartition(" ")
        yield stack, int(used_us)


def _lines(report: Report, figure: str) -> Iterator[tuple[str, Points]]:
    """Rows that differ in nothing but the concurrency are a line."""
    lines = dict[tuple[str, ...], list[tuple[int, float]]]()
    for row in report.measured(Section.ORDERS):
        if row.cell is not None:
            many = row.cell.concurrency
            kind = tuple(word for word in row.words if word != str(many))
            lines.setdefault(kind, []).append((many, median(report.values[row.name][figure])))
    return ((" ".join(kind), points) for kind, points in lines.items() if len(points) > 1)
