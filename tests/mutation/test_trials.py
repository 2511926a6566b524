"""Mutants meet tests: a few of them here, and all by `make mutate`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_mutant_lives_if_and_only_if_no_test_notices_it_and_fails_the_run(tmp_path: Path) -> None:
    chosen = ("retry", "graph", "--sample", "16", "--tests", "tests/unit/test_retry.py")
    command = [sys.executable, "-m", "scripts.mutate", "--scratch", str(tmp_path), *chosen]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    rows = {row[0]: row[1:] for row in map(str.split, run.stdout.splitlines())}
    tested, untested = rows["retry"], rows["graph"]
    assert tested[:4] == [tested[0], tested[0], "0", "0"], "all killed"
    assert untested[:4] == [untested[0], "0", "0", untested[0]], "all survived"
    survivors = (tmp_path / "survivors.txt").read_text().splitlines()
    assert {key.partition(".")[0] for key in survivors} == {"graph"}
