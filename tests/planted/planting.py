"""Copies the product, plants a bug in the copy, and has somebody look for it there: a process of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.planted.bugs import Bug, Stale
from tests.planted.looking import Found

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("coordinator", "participants")
"""All else is taken from where it is."""
PATIENCE: Final = 40.0
"""So many times its share of CPU time a process may last: machines are busy."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a bug."""

    bug: Bug
    found: Found | None
    """None: it does not fit, or the process that looked for it failed or did not come back."""
    fault: str = ""
    """How it failed."""

    @property
    def is_found(self) -> bool:
        return self.found is not None and bool(self.found.sentence)


def plant_and_look(bug: Bug, cpu_s: float) -> Looked:
    """Look for *bug* for so long."""
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        folder = Path(name)
        for part in COPIED:
            # With what is compiled: what is not changed need not be compiled again.
            shutil.copytree(ROOT / part, folder / part)
        try:
            bug.plant(folder)
        except Stale as stale:
            return Looked(bug, None, str(stale))
        return _look_in(folder, bug, cpu_s)


def _look_in(folder: Path, bug: Bug, cpu_s: float) -> Looked:
    path = os.pathsep.join(map(str, (folder, ROOT, ROOT / "generated")))
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.planted.looking", bug.name, str(cpu_s)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=cpu_s * PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Looked(bug, None, "it did not come back")
    if ended.returncode != 0:
        return Looked(bug, None, ended.stderr.strip().split("\n")[-1])
    return Looked(bug, Found(**json.loads(ended.stdout.splitlines()[-1])))
