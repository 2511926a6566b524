"""The rows of the table, each with what measures it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

from scripts.bench.cells import Caller, Cell, Ending, Served, Telemetry
from scripts.bench.floor_load import Floor
from scripts.bench.floors import measure_floor
from scripts.bench.restarts import ENDED_BEFORE, IN_FLIGHT, measure_recovery, measure_start
from scripts.bench.rig import Timing, measure

Figures = Mapping[str, float]


class Section(StrEnum):
    """Rows that have the same figures."""

    FLOORS = "floors"
    ORDERS = "orders"
    RECOVERY = "recovery"
    STARTS = "starts"


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured once a round."""

    section: Section
    words: tuple[str, ...]
    """What it is called, and found by."""
    measure: Callable[[], Figures]
    cell: Cell | None = None
    """In ORDERS."""
    floor: tuple[Floor, int] | None = None
    """In FLOORS, with the concurrency."""

    @property
    def name(self) -> str:
        return " ".join(self.words)


CONCURRENCY: Final = (1, 16, 64, 256)
CELL_TIMING: Final = Timing(warm_up_s=1.0, window_s=4.0)
FLOOR_TIMING: Final = Timing(warm_up_s=0.5, window_s=2.0)
QUICK_TIMING: Final = Timing(warm_up_s=1.0, window_s=2.0)


def full() -> Iterator[Row]:
    """The whole table."""
    yield from (floor_row(floor, many) for floor in Floor for many in (1, 64, 256))
    yield from (order_row(cell, CELL_TIMING) for cell in cells())
    words = ("kill", f"in-flight={IN_FLIGHT}", f"ended={ENDED_BEFORE}")
    yield Row(Section.RECOVERY, words, measure_recovery)
    yield start_row(0, 0)
    yield start_row(10_000, 100_000)


def quick() -> Iterator[Row]:
    """What tells within a minute whether something has become faster."""
    yield from (floor_row(floor, 64) for floor in Floor)
    yield from (
        order_row(Cell(ending=ending, concurrency=many), QUICK_TIMING)
        for ending in Ending
        for many in (64, 256)
    )


def cells() -> Iterator[Cell]:
    """Ours over both streams first, then with one thing changed at a time."""
    ours = Cell()
    for ending in Ending:
        yield from (replace(ours, ending=ending, concurrency=many) for many in CONCURRENCY)
    stock = replace(ours, caller=Caller.STOCK)
    yield from (replace(stock, concurrency=many) for many in CONCURRENCY)
    yield replace(stock, ending=Ending.UNDONE)
    for served in (Served.UNARY, Served.BARRIER):
        yield from (replace(ours, served=served, concurrency=many) for many in (64, 256))
        yield replace(ours, served=served, ending=Ending.UNDONE)
    yield replace(stock, served=Served.UNARY)
    yield from (replace(ours, steps=steps) for steps in (5, 20, 100))
    yield from (replace(ours, payload_bytes=kilobytes << 10) for kilobytes in (1, 10, 100))
    yield from (replace(ours, telemetry=telemetry) for telemetry in (Telemetry.SAMPLED, Telemetry.ALWAYS))
    yield from (replace(ours, open_sagas=sagas) for sagas in (10_000, 100_000))
    yield replace(ours, ended_sagas=1_000_000)


def floor_row(floor: Floor, concurrency: int) -> Row:
    words = ("floor", floor.value, str(concurrency))
    measured = partial(measure_floor, floor, concurrency, FLOOR_TIMING)
    return Row(Section.FLOORS, words, measured, floor=(floor, concurrency))


def order_row(cell: Cell, timing: Timing) -> Row:
    return Row(Section.ORDERS, cell.words, partial(measure, cell, timing), cell=cell)


def start_row(open_sagas: int, ended_sagas: int) -> Row:
    words = ("start", f"open={open_sagas}", f"ended={ended_sagas}")
    return Row(Section.STARTS, words, partial(measure_start, open_sagas, ended_sagas))


def chosen(rows: Iterator[Row], words: Sequence[str]) -> tuple[Row, ...]:
    """The one of *rows* that is called just so, or else those that have all *words*, the section's name among
    them."""
    table = tuple(rows)
    exact = tuple(row for row in table if sorted(row.words) == sorted(words))
    return exact or tuple(row for row in table if set(words) <= {row.section.value, *row.words})
