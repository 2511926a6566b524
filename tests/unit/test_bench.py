"""What `make bench` makes of its measurements: figures, floors, tables and pictures."""

import os
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bench import __main__ as bench
from scripts.bench import comparing, rows
from scripts.bench.cells import Caller, Cell, Ending, Served
from scripts.bench.comparing import Pair, Way
from scripts.bench.comparing import table as compared
from scripts.bench.figures import median_interval, percentile, spread
from scripts.bench.floor_load import Floor
from scripts.bench.floors import limit
from scripts.bench.readings import peak_memory_bytes, read
from scripts.bench.report import Report
from scripts.bench.rows import Row, Section
from scripts.bench.svg import chart, flame_graph, rounded_up
from scripts.cluster import ROOT, NotReady

RATES = {(Floor.UNARY, 64): 1_000.0, (Floor.STREAM, 64): 20_000.0, (Floor.JOURNAL, 64): 5_000.0}


def test_a_percentile_is_one_of_the_values_and_no_more_than_its_share_lies_behind_it() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert percentile(values, 0.50) == 100
    assert percentile(values, 0.99) == 198
    assert percentile([7.0], 0.99) == 7


def test_what_a_process_has_used_is_told_finely_and_one_that_is_gone_has_no_reading() -> None:
    before = read(os.getpid())
    until = time.process_time() + 0.002
    while time.process_time() < until:
        pass
    assert 0.002 <= (read(os.getpid()) - before).cpu_s < 0.5
    assert peak_memory_bytes(os.getpid()) > 1 << 20
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    with pytest.raises(FileNotFoundError):
        read(ended.pid)


def test_the_spread_is_half_the_range_as_a_share_of_the_median() -> None:
    assert spread([90.0, 100.0, 130.0]) == pytest.approx(0.2)
    assert spread([5.0]) == 0
    assert spread([0.0, 0.0]) == 0


@pytest.mark.parametrize(("count", "cut"), [(1, 0), (3, 0), (5, 0), (6, 0), (9, 1), (12, 2), (20, 5)])
def test_the_interval_of_a_median_leaves_out_what_the_table_of_order_statistics_does(
    count: int, cut: int
) -> None:
    values = [float(value) for value in range(count)]
    assert median_interval(values[::-1]) == (cut, count - 1 - cut)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Cell(), 5_000 / 5),  # four answers and the start are written
        (Cell(ending=Ending.UNDONE), 5_000 / 8),
        (Cell(served=Served.UNARY), 1_000 / 4),
        (Cell(served=Served.UNARY, ending=Ending.UNDONE), 1_000 / 7),
        (Cell(steps=100), 20_000 / 100 if 20_000 / 100 < 5_000 / 101 else 5_000 / 101),
        (Cell(caller=Caller.STOCK, steps=1), 1_000),
    ],
)
def test_the_narrowest_hop_bounds_a_cell(cell: Cell, expected: float) -> None:
    assert limit(cell, RATES) == expected


def test_the_floor_of_the_nearest_concurrency_counts_and_without_one_there_is_none() -> None:
    at_one = {(floor, 1): rate / 10 for (floor, _), rate in RATES.items()}
    assert limit(Cell(concurrency=4), {**RATES, **at_one}) == 100
    assert limit(Cell(concurrency=256), {**RATES, **at_one}) == 1_000
    assert limit(Cell(), {(Floor.STREAM, 64): 20_000.0}) is None


def test_a_report_has_the_median_of_all_rounds_and_the_share_of_the_floor() -> None:
    report = Report((an_order_row(), *(a_floor_row(floor) for floor in Floor)))
    for row, rate in zip(report.rows[1:], RATES.values(), strict=True):
        report.add(row, {"per_s": rate, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_ms": 0.1})
    for rate in (400.0, 500.0, 550.0):
        report.add(report.rows[0], order_figures(rate))
    text = report.table()
    (line,) = (line for line in text.splitlines() if line.startswith("ours batched success 64"))
    assert line.split()[4:6] == ["500", "±15%"]
    assert line.split()[-1] == "50"
    rows_of_json = {row["name"]: row for row in report.as_json()["rows"]}
    figures = rows_of_json["ours batched success 64"]["figures"]
    assert figures["sagas_per_s"] == {"median": 500, "spread": 0.15, "values": [400, 500, 550]}
    assert figures["of_floor_percent"]["values"] == [40, 50, 55]


def test_one_round_has_no_spread_and_without_floors_there_is_no_share() -> None:
    report = Report((an_order_row(),))
    report.add(report.rows[0], order_figures(400.0))
    line = report.table().splitlines()[1]
    assert "±" not in line
    assert line.split()[-1] == "-"


def test_rows_are_found_by_all_their_words_and_one_by_its_name_alone() -> None:
    found = rows.chosen(rows.full(), ["ours", "64", "undone"])
    assert {row.name for row in found} >= {"ours batched undone 64", "ours barrier undone 64"}
    assert all({"ours", "64", "undone"} <= set(row.words) for row in found)
    (exact,) = rows.chosen(rows.full(), ["ours", "batched", "success", "64"])
    assert exact.cell == Cell()
    assert {row.section for row in rows.chosen(rows.full(), ["floors"])} == {Section.FLOORS}


def test_no_two_rows_have_one_name() -> None:
    names = [row.name for row in rows.full()]
    assert len(set(names)) == len(names)


def test_ways_are_compared_by_the_ratio_within_each_pair() -> None:
    ways = Way("before", Cell()), Way("after", replace(Cell(), steps=5))
    # The machine became four times as fast meanwhile; the second way is twice as fast all along.
    pairs = [Pair(order_figures(rate), order_figures(2 * rate)) for rate in (100.0, 200.0, 400.0)]
    line = next(line for line in compared(ways, pairs).splitlines() if line.startswith("sagas/s"))
    assert line.split() == ["sagas/s", "200", "400", "2.000", "2.000", "2.000"]


def test_a_chart_has_a_line_for_each_series_and_room_for_the_largest_value() -> None:
    picture = ElementTree.fromstring(
        chart("A <title>", "x", "y", {"a": [(1, 3.0), (16, 7.0)], "b": [(16, 9.0)]})
    )
    lines = [element.get("points", "") for element in picture.iter() if element.tag.endswith("polyline")]
    assert [len(line.split()) for line in lines] == [2, 1]
    heights = [float(point.split(",")[1]) for line in lines for point in line.split()]
    assert heights[0] > heights[1] > heights[2] >= 50
    assert "A <title>" in [element.text for element in picture.iter()]


@pytest.mark.parametrize(
    ("value", "up"), [(0.0, 1), (0.9, 1), (1.0, 1), (7.1, 10), (13, 20), (240, 250), (450, 500)]
)
def test_an_axis_ends_at_a_round_number(value: float, up: float) -> None:
    assert rounded_up(value) == pytest.approx(up)


def test_a_flame_graph_is_as_wide_as_what_was_used_and_shows_who_called() -> None:
    text = flame_graph("run", {"main;a;b": 300, "main;a": 100, "main;c<d>": 600})
    widths = {
        group[0].text: float(group[1].get("width", 0))
        for group in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}g")
    }
    assert set(widths) == {"all: 100.0 %", "main: 100.0 %", "a: 40.0 %", "b: 30.0 %", "c<d>: 60.0 %"}
    assert widths["a: 40.0 %"] == pytest.approx(0.4 * widths["all: 100.0 %"], abs=0.2)


def an_order_row() -> Row:
    return Row(Section.ORDERS, Cell().words, dict, cell=Cell())


def a_floor_row(floor: Floor) -> Row:
    return Row(Section.FLOORS, ("floor", floor.value, "64"), dict, floor=(floor, 64))


def order_figures(rate: float) -> dict[str, float]:
    cpu = {"cpu_ms": 1.0, "cpu_client_ms": 0.2, "cpu_coordinator_ms": 0.5, "cpu_participants_ms": 0.3}
    return {"sagas_per_s": rate, "p50_ms": 5.0, "p99_ms": 9.0, **cpu, "memory_mib": 80.0, "written_kb": 4.0}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--compare", "sampled", "--quick"], "--quick, --only and --rounds choose among rows"),
        (["--against", "../other", "--only", "ours"], "--quick, --only and --rounds choose among rows"),
        (["--compare", "sampled", "--rounds", "2"], "--quick, --only and --rounds choose among rows"),
        (["--pairs", "3"], "--pairs and --at-once belong to --compare or --against"),
        (["--quick", "--at-once"], "--pairs and --at-once belong to --compare or --against"),
        (["--compare", "sampled", "--profile"], "not allowed with argument"),
        (["--only", "nothing"], "no row has all the words 'nothing'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    asked: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *asked])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_tree_that_is_none_is_not_compared_with_this_one(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="is no work tree of this project"):
        comparing.against(tmp_path)
    assert comparing.against(ROOT)[0].variant.environment["PYTHONPATH"].startswith(f"{ROOT}:")
