"""What a stranger types first: the demo, `make run`, and the README's grpcurl lines. Real processes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cluster import ROOT

AN_ORDER = {
    "order_id": "o-1",
    "user_id": "u-1",
    "items": [{"item_id": "sku-1", "quantity": 2}],
    "payment_info": {"method": "card", "token": "tok-1", "amount": {"currency_code": "EUR", "units": "42"}},
}
PLACE_ORDER = "saga.orders.v1.OrderPlacementService/PlaceOrder"
GRPCURL = shutil.which("grpcurl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def processes_over(folder: Path) -> list[str]:
    """The command lines of processes that work on files in *folder*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and process.name != str(os.getpid()):
            found.append(words.replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


def test_the_demo_tells_its_stories_adds_up_and_leaves_nothing_behind(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "scripts.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert re.findall(r"^\d+\. (.*)$", said.stdout, re.MULTILINE) == [
        "placed",
        "out of stock",
        "card refused",
        "shipping hangs",
        "coordinator killed",
        "undo fails",
        "joined",
        "trip booked",
        "trip sold out",
        "adds up",
    ]
    assert "Everything adds up." in said.stdout
    assert said.stderr == ""
    assert processes_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


class Run:
    """`make run`, serving on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.run", "--listen", "127.0.0.1:0", "--data", str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[2].rstrip(";")

    def grpcurl(self, method: str, request: object = None) -> subprocess.CompletedProcess[str]:
        assert GRPCURL is not None, "grpcurl comes with the developer's environment"
        data = [] if request is None else ["-d", json.dumps(request)]
        return subprocess.run(
            [GRPCURL, "-plaintext", *data, self.address, *method.split()],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def place(self, **changed: object) -> dict[str, object]:
        answer: dict[str, object] = json.loads(self.grpcurl(PLACE_ORDER, {**AN_ORDER, **changed}).stdout)
        return answer


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    running = Run(tmp_path)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)
        code = running.process.wait(30)
        if running.process.stdout is not None:
            running.process.stdout.close()
        assert code == 0
        assert processes_over(tmp_path) == []


def test_grpcurl_places_an_order_once_however_often_it_asks(run: Run) -> None:
    first = run.place()
    assert first["status"] == "SUCCESS"
    assert run.place() == first
    broke = run.place(order_id="o-2", user_id="u-broke")
    assert broke["status"] == "FAILED"
    assert "INSUFFICIENT_FUNDS" in str(broke["error_message"])
    got = json.loads(run.grpcurl("saga.v1.CoordinatorService/GetSaga", {"saga_id": broke["saga_id"]}).stdout)
    undone = [e["step"] for e in got["saga"]["timeline"] if e["type"] == "EVENT_TYPE_STEP_COMPENSATED"]
    assert undone == ["reserveInventory", "createOrder"]


def test_grpcurl_needs_no_proto_files(run: Run) -> None:
    listed = run.grpcurl("list").stdout.split()
    assert {
        "saga.orders.v1.OrderPlacementService",
        "saga.v1.CoordinatorService",
        "grpc.health.v1.Health",
    } <= set(listed)
    described = run.grpcurl("describe")
    assert described.returncode == 0, described.stderr
    assert "rpc PlaceOrder" in described.stdout
    assert json.loads(run.grpcurl("grpc.health.v1.Health/Check").stdout) == {"status": "SERVING"}


def test_the_order_placement_definition_runs_by_name(run: Run) -> None:
    request = {
        "saga_name": "OrderPlacementSaga",
        "request_id": "r-1",
        "input_json": json.dumps(
            {
                **AN_ORDER,
                "payment_info": {
                    "method": "card",
                    "token": "t",
                    "amount": {"currency_code": "EUR", "units": 42},
                },
            }
        ),
        "wait": "20s",
    }
    answer = json.loads(run.grpcurl("saga.v1.CoordinatorService/StartSaga", request).stdout)
    assert answer["saga"]["status"] == "SAGA_STATUS_COMPLETED"
