"""Runs Prometheus's own promtool, whose PromQL engine is the judge of the alert rules."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

_UNPACKED: Final = Path(__file__).resolve().parents[2] / ".cache" / "promtool" / "usr" / "bin"
PROMTOOL: Final = shutil.which("promtool", path=f"{_UNPACKED}:{os.environ['PATH']}")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: run scripts/get_promtool.sh, or put it on PATH"
)


def promtool(*arguments: str | Path) -> str:
    """What it prints. Fails the test where it finds a fault."""
    assert PROMTOOL is not None
    said = subprocess.run(
        [PROMTOOL, *arguments],
        env={**os.environ, "GOGC": "400"},  # it would spend half its time on collecting garbage
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def write_yaml(path: Path, content: Mapping[str, object]) -> Path:
    """Write a file for promtool. JSON is YAML."""
    path.write_text(json.dumps(content))
    return path
