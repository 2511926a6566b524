"""The rows of the table, each with what measures it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from scripts.bench.cells import Caller, Cell, Ending, Served
from scripts.bench.rig import Timing, measure

Figures = Mapping[str, float]


class Section(StrEnum):
    """Rows that have the same figures."""

    ORDERS = "orders"


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured once a round."""

    section: Section
    words: tuple[str, ...]
    """It is found by them."""
    measure: Callable[[], Figures]
    cell: Cell | None = None
    """In ORDERS."""

    @property
    def name(self) -> str:
        return " ".join(self.words)


CONCURRENCY: Final = (1, 16, 64, 256)
TIMING: Final = Timing(warm_up_s=1.0, window_s=4.0)
QUICK: Final = Timing(warm_up_s=0.5, window_s=2.0)


def full() -> tuple[Row, ...]:
    """The whole table."""
    return tuple(order_row(cell, TIMING) for cell in cells())


def quick() -> tuple[Row, ...]:
    """What tells within a minute or so whether something has become faster."""
    chosen = (Cell(ending=ending, concurrency=many) for ending in Ending for many in (64, 256))
    return tuple(order_row(cell, QUICK) for cell in chosen)


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


def order_row(cell: Cell, timing: Timing) -> Row:
    return Row(Section.ORDERS, cell.words, lambda: measure(cell, timing), cell)


def chosen(rows: Sequence[Row], words: Sequence[str]) -> tuple[Row, ...]:
    """Those of *rows* that have all *words*, the section's name among them."""
    return tuple(row for row in rows if set(words) <= {row.section, *row.words})
