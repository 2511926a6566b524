"""`make bench`: measures every row in rounds, prints the table, leaves the figures as JSON and plots as SVG.

Each row is measured with processes and files of its own, which are gone when it ends, also after Ctrl-C.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Final

from scripts.bench import comparing, pictures, rows
from scripts.bench.comparing import COMPARISONS, Way
from scripts.bench.report import Report
from scripts.bench.rows import Row
from scripts.cluster import ROOT, NotReady, end_by_signals

FOLDER: Final = ROOT / "var" / "bench"
ROUNDS: Final = 3
PAIRS: Final = 12


def main() -> int:
    """Do what is asked for."""
    parser = _parser()
    asked = parser.parse_args()
    table = rows.chosen(rows.quick() if asked.quick else rows.full(), asked.only.split())
    if not table:
        parser.error(f"no row has all the words {asked.only!r}")
    in_pairs = bool(asked.compare or asked.against)
    if in_pairs and (asked.quick or asked.only or asked.rounds):
        parser.error("two ways are compared in --pairs; --quick, --only and --rounds choose among rows")
    if not in_pairs and (asked.pairs or asked.at_once):
        parser.error("--pairs and --at-once belong to --compare or --against")
    end_by_signals()
    _forget_settings()
    file = asked.json or FOLDER / f"{_named(asked)}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if asked.profile:
            _profile(table, file.parent)
        elif in_pairs:
            ways = COMPARISONS[asked.compare] if asked.compare else comparing.against(asked.against.resolve())
            _compare(ways, asked.pairs or PAIRS, asked.at_once, file)
        else:
            _measure(table, asked.rounds or (1 if asked.quick else ROUNDS), file)
    except NotReady as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the main rows, once and shortly")
    parser.add_argument(
        "--only", metavar="WORDS", default="", help='only rows with all these words, as in "ours 64"'
    )
    parser.add_argument("--rounds", type=_count, help=f"how often each row is measured (default: {ROUNDS})")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help=f"where the figures go, and plots beside them (default: a file in {FOLDER})",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--profile", action="store_true", help="draw a flame graph of each row of orders")
    instead.add_argument("--compare", choices=COMPARISONS, help="measure two ways in interleaved pairs")
    instead.add_argument(
        "--against", type=Path, metavar="TREE", help="compare with the coordinator of another work tree"
    )
    parser.add_argument("--pairs", type=_count, help=f"so many (default: {PAIRS})")
    parser.add_argument(
        "--at-once",
        action="store_true",
        help="measure both of a pair side by side: ratios are closer",
    )
    return parser


def _named(asked: argparse.Namespace) -> str:
    """What its file is called: what took long is not to be written over by something else."""
    if asked.compare:
        return f"compare-{asked.compare}"
    if asked.against:
        return "against"
    return "bench" if not (asked.quick or asked.only) else "some"


def _measure(table: tuple[Row, ...], rounds: int, file: Path) -> None:
    """Round after round, so that what changes on the machine meanwhile meets all rows alike."""
    report = Report(table)
    done = 0
    for _ in range(rounds):
        for row in table:
            done += 1
            print(f"{done}/{rounds * len(table)} {row.name}", file=sys.stderr, flush=True)
            report.add(row, row.measure())
    plots = pictures.draw_plots(report, file.parent)
    _write(file, report.as_json())
    print(f"\n{report.table()}\n\nThe value of each round is in {file}.")
    for plot in plots:
        print(f"{plot}")


def _compare(ways: tuple[Way, Way], count: int, at_once: bool, file: Path) -> None:
    pairs = comparing.compare(ways, count, rows.CELL_TIMING, at_once=at_once)
    _write(file, comparing.as_json(ways, pairs))
    print(f"\n{comparing.table(ways, pairs)}\n\n{count} pairs; each is in {file}.")


def _profile(table: tuple[Row, ...], folder: Path) -> None:
    for row in table:
        if row.cell is not None:
            print(pictures.draw_profile(row.cell, rows.CELL_TIMING, folder), flush=True)


def _write(file: Path, figures: dict[str, object]) -> None:
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    file.write_text(json.dumps({"machine": machine, **figures}, indent=1) + "\n")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 on is expected")
    return int(text)


def _forget_settings() -> None:
    """What is exported in this shell is for another coordinator."""
    for name in list(os.environ):
        if name.startswith(("SAGA_", "OTEL_")):
            del os.environ[name]


if __name__ == "__main__":
    sys.exit(main())
