"""The wheel, in an empty environment on the oldest libraries that it allows, runs the README's example."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.cluster import ROOT, Cluster
from tests.e2e.readme import example

# What pip says where no package index can be reached, rather than that a version does not exist.
NO_INDEX = re.compile(
    r"from versions: none|NewConnectionError|ConnectTimeout|Name or service not known|ProxyError"
)


def floors() -> list[str]:
    """The base dependencies, each at the oldest version that is allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [dependency.replace(">=", "==") for dependency in project["dependencies"]]


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run, as in a shell that knows nothing of this work tree."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_shown_runs_on_the_base_install_at_its_floor(tmp_path: Path) -> None:
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    installed = run(*pip, "install", "--only-binary", ":all:", *floors(), cwd=tmp_path)
    if installed.returncode and NO_INDEX.search(installed.stderr):
        pytest.skip("no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    assert run(*pip, "install", "--no-deps", wheel, cwd=tmp_path).returncode == 0
    checked = run(*pip, "check", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout

    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0") as cluster:
        cluster.start()
        script = tmp_path / "shop.py"
        script.write_text(example("BlockingClient", address=cluster.address))
        said = run(python, "-W", "error", script, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0].split() == ["o-100", "SUCCESS"]
    assert lines[-1].endswith(" COMPLETED")
