"""`make bench`: measures every row in rounds, prints the table, and leaves the figures as JSON.

Each row is measured with processes and files of its own, which are gone when it ends, also after Ctrl-C.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from scripts.bench import rows
from scripts.bench.report import Report
from scripts.cluster import ROOT, NotReady

FOLDER: Final = ROOT / "var" / "bench"
ROUNDS: Final = 3


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the main rows, once and shortly")
    parser.add_argument(
        "--only", metavar="WORDS", default="", help='only rows with all these words, as in "ours 64"'
    )
    parser.add_argument("--rounds", type=int, help=f"how often each row is measured (default: {ROUNDS})")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "bench.json", help="the file of figures (default: %(default)s)"
    )
    asked = parser.parse_args()
    table = rows.chosen(rows.quick() if asked.quick else rows.full(), asked.only.split())
    if not table:
        parser.error(f"no row has all the words {asked.only!r}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    _forget_settings()
    report = Report(table)
    try:
        measure(report, asked.rounds or (1 if asked.quick else ROUNDS))
    except NotReady as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    print(f"\n{report.table()}\n\nThe value of each round is in {asked.json}.")
    return 0


def measure(report: Report, rounds: int) -> None:
    """Round after round, so that what changes on the machine meanwhile meets all rows alike."""
    total = rounds * len(report.rows)
    done = 0
    for _ in range(rounds):
        for row in report.rows:
            done += 1
            print(f"{done}/{total} {row.name}", file=sys.stderr, flush=True)
            report.add(row, row.measure())


def _forget_settings() -> None:
    """What is exported in this shell is for another coordinator."""
    for name in list(os.environ):
        if name.startswith(("SAGA_", "OTEL_")):
            del os.environ[name]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
