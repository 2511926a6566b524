"""Looks for what is wrong with the product that is first on the path: a copy, with a bug or without.

`python -m tests.planted.looking NAME SECONDS` prints what was found as a line of JSON; the seconds are of
CPU time.
"""

import itertools
import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.crash.rows import Violation, crash
from tests.crash.shapes import SHAPES, Shape
from tests.planted.bugs import Bug
from tests.planted.catalogue import BUGS
from tests.simulation.hunting import hunt

_SEED: Final = "seed "


@dataclass(frozen=True, slots=True)
class Found:
    """What came of looking. `sentence` is empty if nothing is wrong, as far as was looked."""

    where: str
    """A seed, a shape or a test."""
    sentence: str
    looked_at: int
    """How many seeds, shapes or tests, with this one."""
    cpu_s: float


def look_for(bug: Bug, cpu_s: float) -> Found:
    """Look where *bug* says, for so long."""
    if bug.tests:
        return by_tests(Path(__file__).parents[2] / bug.tests)
    if bug.shape:
        return _by_crashing(bug.shape, cpu_s)
    behind = (seed for seed in itertools.count(1) if seed not in bug.seeds)
    return by_simulation(itertools.chain(bug.seeds, behind), cpu_s)


def by_simulation(seeds: Iterator[int], cpu_s: float = math.inf) -> Found:
    """The first of *seeds* that shows something wrong."""
    looked_at = list[int]()

    def in_time() -> Iterator[int]:
        for seed in seeds:
            if time.process_time() > cpu_s:
                return
            looked_at.append(seed)
            yield seed

    wrong: Sequence[str] = ()
    try:
        tally = hunt(in_time(), first_only=True)
        wrong = next(iter(tally.failed.values()), ())
    except Exception as error:
        # A saga so broken that not even its judges know what to make of it.
        wrong = [f"unhandled: {type(error).__name__}: {error}"]
    where = f"{_SEED}{looked_at[-1]}" if looked_at else ""
    return Found(where, wrong[0] if wrong else "", len(looked_at), time.process_time())


@cache
def shown_without(where: str) -> str:
    """What is wrong there with the product that is first on the path, in a sentence: of one without a bug
    it has to be nothing. Of tests nothing is said, for they are run by themselves."""
    if where.startswith(_SEED):
        return by_simulation(iter([int(where.removeprefix(_SEED))])).sentence
    shape = next((shape for shape in SHAPES if shape.name == where), None)
    return "" if shape is None else _shown_by(shape)


def _by_crashing(first: str, cpu_s: float) -> Found:
    logging.getLogger("coordinator").setLevel(logging.CRITICAL + 1)
    looked_at = 0
    for shape in sorted(SHAPES, key=lambda shape: shape.name != first):
        if time.process_time() > cpu_s:
            break
        looked_at += 1
        if sentence := _shown_by(shape):
            return Found(shape.name, sentence, looked_at, time.process_time())
    return Found("", "", looked_at, time.process_time())


def _shown_by(shape: Shape) -> str:
    try:
        crash(shape, pairs=False)
    except Violation as violation:
        return violation.lines[0]
    return ""


class _FirstFailure:
    """What pytest tells of the tests that it runs."""

    def __init__(self) -> None:
        self.looked_at = 0
        self.where = ""
        self.sentence = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.looked_at += report.when == "call"
        if report.failed and not self.sentence:
            self.where = report.nodeid.rpartition("::")[2]
            crash = getattr(report.longrepr, "reprcrash", None)
            self.sentence = str(crash.message if crash is not None else report.longrepr)


def by_tests(path: Path) -> Found:
    """The first test of the file that fails. They wait more than they work, and end by themselves."""
    first = _FirstFailure()
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    # Other finders have brought in what pytest would rewrite.
    known = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    told = pytest.main([str(path), "-x", *quiet, *known], [first])
    if told not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {told!r}")
    return Found(first.where, first.sentence, first.looked_at, time.process_time())


if __name__ == "__main__":
    print(json.dumps(asdict(look_for(BUGS[sys.argv[1]], float(sys.argv[2])))))
