"""Mutants meet tests: a few of them here, and all by `make mutate`."""

import subprocess
import sys
from pathlib import Path

from scripts.mutants import Module
from scripts.trials import BEFORE, Survey

ROOT = Path(__file__).parents[2]


def test_a_mutant_lives_if_and_only_if_no_test_notices_it_and_fails_the_run(tmp_path: Path) -> None:
    chosen = ("retry", "language.graph", "--sample", "16", "--tests", "tests/unit/test_retry.py")
    command = [sys.executable, "-m", "scripts.mutate", "--scratch", str(tmp_path), *chosen]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    rows = {row[0]: row[1:] for row in map(str.split, run.stdout.splitlines())}
    tested, untested = rows["retry"], rows["language.graph"]
    assert tested[:4] == [tested[0], tested[0], "0", "0"], "all killed"
    assert untested[:4] == [untested[0], "0", "0", untested[0]], "all survived"
    survivors = (tmp_path / "survivors.txt").read_text().splitlines()
    assert survivors
    assert all(key.startswith("language.graph.") for key in survivors)


def test_what_runs_before_any_test_is_loaded_is_tried_by_all_that_reach_its_module() -> None:
    module = Module("words", "def key():\n    return 1\n\ndef other():\n    return 2\n", "words.py", {})
    early, late = module.mutants()[0], module.mutants()[-1]
    reached = {2: [BEFORE], 5: ["late.py::quick"], 0: ["naming.py"]}
    seconds = {"late.py::slow": 2.0, "late.py::quick": 1.0, "naming.py::test": 3.0, "far.py::test": 0.0}
    found = Survey(seconds, {"words": reached}, failed=())
    assert found.runs_at_load(early)
    assert found.tests(early, {"words": module}, anew=False) == []
    assert found.tests(early, {"words": module}, anew=True) == [
        "late.py::quick",
        "late.py::slow",
        "naming.py::test",
    ]
    assert not found.runs_at_load(late)
    assert found.tests(late, {"words": module}, anew=False) == ["late.py::quick"]
