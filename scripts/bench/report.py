"""What was measured, as a table for people and as JSON for programs: medians of all rounds, and spreads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from scripts.bench.figures import spread
from scripts.bench.floor_load import Floor
from scripts.bench.floors import limit
from scripts.bench.rows import Figures, Row, Section


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a section."""

    figure: str
    title: str
    digits: int = 0
    shows_spread: bool = False

    def text(self, values: Sequence[float]) -> str:
        if not values:
            return "-"
        shown = f"{median(values):,.{self.digits}f}"
        return f"{shown} ±{100 * spread(values):2.0f}%" if self.shows_spread and len(values) > 1 else shown


OF_FLOOR: Final = "of_floor_percent"
COLUMNS: Final[Mapping[Section, Sequence[Column]]] = {
    Section.FLOORS: (
        Column("per_s", "a second", 0, shows_spread=True),
        Column("p50_ms", "p50 ms", 1, shows_spread=True),
        Column("p99_ms", "p99 ms", 1, shows_spread=True),
        Column("cpu_ms", "CPU ms", 3, shows_spread=True),
    ),
    Section.ORDERS: (
        Column("sagas_per_s", "sagas/s", 0, shows_spread=True),
        Column("p50_ms", "p50 ms", 1, shows_spread=True),
        Column("p99_ms", "p99 ms", 1, shows_spread=True),
        Column("cpu_ms", "CPU ms", 2, shows_spread=True),
        Column("cpu_client_ms", "client", 2),
        Column("cpu_coordinator_ms", "coord.", 2),
        Column("cpu_participants_ms", "partic.", 2),
        Column("memory_mib", "MiB"),
        Column("written_kb", "KB", 1),
        Column(OF_FLOOR, "floor%"),
    ),
    Section.RECOVERY: (
        Column("ready_s", "ready s", 2, shows_spread=True),
        Column("ended_s", "ended s", 2, shows_spread=True),
        Column("answered_s", "answered s", 2, shows_spread=True),
    ),
    Section.STARTS: (
        Column("ready_s", "ready s", 2, shows_spread=True),
        Column("memory_mib", "MiB"),
    ),
}
LEGEND: Final = """\
Each figure is the median of all rounds, and ± half their range. CPU is that of one saga, in all processes and
in each; MiB the most memory that the coordinator held; KB what it wrote to disk for a saga; floor% how near
its sagas/s come to those that the narrowest of its hops would allow if there were nothing else to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of each row, a value for each round."""

    rows: Sequence[Row]
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, row: Row, figures: Figures) -> None:
        """What a round came to."""
        of_row = self.values.setdefault(row.name, {})
        for figure, value in figures.items():
            of_row.setdefault(figure, []).append(value)

    def measured(self, section: Section) -> Sequence[Row]:
        """The rows of *section* that were measured, in their order."""
        return [row for row in self.rows if row.section is section and row.name in self.values]

    def figures(self, row: Row) -> dict[str, list[float]]:
        """All values of *row*, and how near it comes to its floor where that was measured."""
        of_row = self.values[row.name]
        best = None if row.cell is None else limit(row.cell, self._rates())
        if best is None:
            return of_row
        return {**of_row, OF_FLOOR: [100 * rate / best for rate in of_row["sagas_per_s"]]}

    def table(self) -> str:
        """All sections of which something was measured."""
        parts = ["\n".join(self._section(section)) for section in Section if self.measured(section)]
        return "\n\n".join([*parts, LEGEND])

    def as_json(self) -> dict[str, Any]:
        """The same, with the value of every round."""
        rows = [row for section in Section for row in self.measured(section)]
        return {
            "rows": [
                {
                    "section": row.section.value,
                    "name": row.name,
                    "figures": {
                        figure: {"median": median(values), "spread": spread(values), "values": values}
                        for figure, values in self.figures(row).items()
                    },
                }
                for row in rows
            ],
        }

    def _rates(self) -> dict[tuple[Floor, int], float]:
        floors = self.measured(Section.FLOORS)
        return {row.floor: median(self.values[row.name]["per_s"]) for row in floors if row.floor is not None}

    def _section(self, section: Section) -> Iterator[str]:
        columns = COLUMNS[section]
        lines = [[section.value, *(column.title for column in columns)]]
        for row in self.measured(section):
            figures = self.figures(row)
            lines.append([row.name, *(column.text(figures.get(column.figure, ())) for column in columns)])
        return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *figures in lines:
        cells = (text.rjust(width) for text, width in zip(figures, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *cells])
