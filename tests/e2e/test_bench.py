"""`make bench` on real processes: a cell has all its figures, a wrong answer fails it, Ctrl-C ends all."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bench.cells import Caller, Cell, Ending, Served
from scripts.bench.report import COLUMNS, Report
from scripts.bench.rig import Timing, cluster_of, drive, start_coordinator
from scripts.bench.rows import Section, order_row
from scripts.cluster import ROOT, NotReady

TIMING = Timing(warm_up_s=0.1, window_s=0.3)
GONE_TIMEOUT_S = 10.0
UNDONE = Cell(caller=Caller.STOCK, ending=Ending.UNDONE, concurrency=4)


def test_a_cell_has_all_its_figures_in_the_table_and_as_json() -> None:
    row = order_row(replace(UNDONE, caller=Caller.OURS, served=Served.BARRIER), TIMING)
    report = Report((row,))
    report.add(row, row.measure())
    (told,) = report.as_json()["rows"]
    shown = {column.figure for column in COLUMNS[Section.ORDERS]} - {"of_floor_percent"}
    assert all(told["figures"][figure]["median"] > 0 for figure in shown)
    assert told["figures"]["p50_ms"]["median"] <= told["figures"]["p99_ms"]["median"]
    assert report.table().splitlines()[1].startswith("ours barrier undone 4 ")


def test_an_order_that_ends_otherwise_than_it_must_fails_the_run(tmp_path: Path) -> None:
    with cluster_of(UNDONE, tmp_path) as cluster:
        start_coordinator(cluster)
        with pytest.raises(NotReady):
            drive(cluster, replace(UNDONE, ending=Ending.SUCCESS), TIMING, tmp_path)
    assert "should have ended ('SUCCESS', 'COMPLETED')" in (tmp_path / "load.log").read_text()


def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.bench", "--quick", "--json", str(tmp_path / "bench.json")]
    bench = subprocess.Popen(
        [*command, "--only", "ours batched success 64"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        while len(started := children(bench.pid)) < 2 and bench.poll() is None:
            time.sleep(0.02)
        bench.send_signal(signal.SIGINT)
        _, told = bench.communicate(timeout=30)
    finally:
        bench.kill()
    assert bench.returncode == 130
    assert told.endswith("bench: interrupted\n")
    assert started
    # One that was being started when the signal came dies with its parent, a moment later.
    until = time.monotonic() + GONE_TIMEOUT_S
    while left := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.02)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
