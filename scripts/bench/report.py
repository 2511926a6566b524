"""What was measured, as a table for people and as JSON for programs: medians of all rounds, and spreads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from scripts.bench.figures import spread
from scripts.bench.rows import Figures, Row, Section


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a section."""

    figure: str
    title: str
    digits: int = 0
    shows_spread: bool = False

    def text(self, values: Sequence[float]) -> str:
        shown = f"{median(values):,.{self.digits}f}"
        return f"{shown} ±{100 * spread(values):2.0f}%" if self.shows_spread else shown


COLUMNS: Final[Mapping[Section, Sequence[Column]]] = {
    Section.ORDERS: (
        Column("sagas_per_s", "sagas/s", 0, shows_spread=True),
        Column("p50_ms", "p50 ms", 1, shows_spread=True),
        Column("p99_ms", "p99 ms", 1, shows_spread=True),
        Column("cpu_ms", "CPU ms", 2, shows_spread=True),
        Column("cpu_client_ms", "client", 2),
        Column("cpu_coordinator_ms", "coord.", 2),
        Column("cpu_participants_ms", "partic.", 2),
        Column("memory_mib", "MiB", 0),
        Column("written_kb", "KB", 1),
    ),
}
LEGEND: Final = """\
Each figure is the median of all rounds, and ± half the range of them. CPU is a saga's, of all processes and
of each; MiB is the most memory that the coordinator held; KB is what it wrote to the disk for a saga."""


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

    def table(self) -> str:
        """All sections, those that were measured."""
        parts = [self._section(section) for section in Section if self.measured(section)]
        return "\n\n".join([*parts, LEGEND])

    def as_json(self) -> dict[str, object]:
        """The same, with the value of every round."""
        return {
            "rows": [
                {
                    "section": row.section,
                    "name": row.name,
                    "figures": {
                        figure: {"median": median(values), "spread": spread(values), "values": values}
                        for figure, values in self.values[row.name].items()
                    },
                }
                for section in Section
                for row in self.measured(section)
            ],
        }

    def _section(self, section: Section) -> str:
        columns = COLUMNS[section]
        lines = [[section.value, *(column.title for column in columns)]]
        for row in self.measured(section):
            of_row = self.values[row.name]
            lines.append([row.name, *(column.text(of_row[column.figure]) for column in columns)])
        return "\n".join(aligned(lines))


def aligned(lines: Sequence[Sequence[str]]) -> Iterable[str]:
    """Names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *figures in lines:
        cells = (text.rjust(width) for text, width in zip(figures, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *cells])
