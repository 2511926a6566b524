"""`saga export` with a real coordinator: what real sagas went through, a crash among it, is in tests then."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cluster import Cluster
from tests.e2e.cli_harness import ANY_ID, FATES, Shell, an_order

# It starts several processes, on cores that others load.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0", faults=FATES) as running:
        running.start()
        yield running


def test_sagas_that_rest_are_exported_as_tests_that_pass(cluster: Cluster, tmp_path: Path) -> None:
    shell = Shell(cluster.address)
    tests = tmp_path / "tests"
    tests.mkdir()

    def export(saga_id: str, name: str) -> str:
        path = tests / f"test_{name}.py"
        ran = shell.saga("export", saga_id, "--pytest", "--out", str(path))
        assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {path}\n")
        return path.read_text()

    def start(user_id: str, *options: str) -> str:
        ran = shell.saga("start", "PlaceOrder", "-i", an_order(f"o-{user_id}", user_id), *options)
        return str(ANY_ID.findall(ran.out)[0])

    dead = start("u-dead", "--wait")
    assert '"processPayment": "UNDO_FAILED"' in export(dead, "dead_letter")
    decided = ("dead-letters", "skip", dead, "processPayment", "--reason", "paid back in cash", "--yes")
    assert shell.saga(*decided).code == 0
    shell.saga("wait", dead)
    text = export(dead, "dead_letter_decided")
    assert "Acted(" in text
    assert "tok-canary-77" not in text

    slow = start("u-slow")
    ran = shell.saga("export", slow, "--pytest")
    assert (ran.code, ran.sentence) == (7, f"saga {slow} is RUNNING: it can be exported once it rests")
    assert cluster.coordinator is not None
    cluster.coordinator.kill()
    cluster.start_coordinator()
    shell = Shell(cluster.address)
    shell.saga("cancel", slow, "--reason", "a drill", "--yes")
    shell.saga("wait", slow)
    text = export(slow, "restarted")
    assert "Started(" in text
    assert 'status="COMPENSATED"' in text

    passed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        cwd=tests,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (passed.returncode, "3 passed" in passed.stdout) == (0, True), passed.stdout
