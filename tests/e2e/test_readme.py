"""The README says what is so: its definition, its settings and its participant are the real ones."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.adapters.grpc_participants import GrpcParticipants
from coordinator.domain.ids import FencingToken, SagaId, StepName, execute_key
from coordinator.domain.outcomes import Refused, Succeeded
from coordinator.ports.participants import ExecuteCall
from coordinator.settings import Settings
from scripts.cluster import ROOT, Cluster
from scripts.gen_docs import rules_table, settings_table, with_part
from tests.e2e.readme import README, blocks, example


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0") as running:
        running.start()
        yield running


def test_the_definition_shown_is_the_one_that_ships() -> None:
    (shown,) = blocks("json")
    assert shown == (ROOT / "definitions" / "order_placement.json").read_text()
    assert json.loads(shown)["sagaName"] == "OrderPlacementSaga"


def test_every_setting_is_listed_with_its_flag_and_its_default() -> None:
    listed = re.findall(r"^\| `(SAGA_[A-Z_]+)` \| `(--[a-z-]+)` \| (?:`([^`]*)`)? ?\|", README, re.MULTILINE)
    assert {variable: default for variable, _, default in listed} == Settings().describe()
    for variable, flag, _ in listed:
        assert flag == "--" + variable.removeprefix("SAGA_").lower().replace("_", "-")


def test_what_is_generated_is_fresh() -> None:
    assert with_part(README, "settings", settings_table()) == README
    language = (ROOT / "docs/language.md").read_text()
    assert with_part(language, "rules", rules_table()) == language


async def test_the_participant_shown_runs_and_books_a_seat_once(tmp_path: Path) -> None:
    script = tmp_path / "seats.py"
    script.write_text(example("class SeatService").replace("port=50070", "port=0"))
    process = subprocess.Popen(
        [sys.executable, "-u", str(script)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        with process.stdout as said:
            address = said.readline().removeprefix("serving at ").strip()
        participants = GrpcParticipants({"SeatService": address}, message_bytes_max=1 << 20)
        answers = [
            await participants.perform(a_booking(saga_id), timeout_s=10) for saga_id in ("s-1", "s-1", "s-2")
        ]
        await participants.close()
    finally:
        process.terminate()
        process.wait(20)
    assert answers == [
        Succeeded('{"seat":"14C"}'),
        Succeeded('{"seat":"14C"}'),
        Refused("SEAT_TAKEN", "Seat 14C is taken."),
    ]


def a_booking(saga_id: str) -> ExecuteCall:
    return ExecuteCall(
        key=execute_key(SagaId(saga_id), StepName("bookSeat"), 1),
        saga_id=SagaId(saga_id),
        saga_name="Trip",
        service="SeatService",
        step=StepName("bookSeat"),
        transaction="bookSeat",
        attempt=1,
        token=FencingToken(1),
        input='{"seat":"14C"}',
    )


def test_every_example_is_run() -> None:
    shown = {example("class SeatService"), example("BlockingClient"), example("Starlette(")}
    assert set(blocks("python")) == shown


def test_the_script_shown_places_an_order_and_prints_its_timeline(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(example("BlockingClient", address=cluster.address))
    first, again = [
        subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for _ in range(2)
    ]
    lines = first.stdout.splitlines()
    assert [line.rstrip() for line in lines[:3]] == [
        "o-100 SUCCESS",
        "1 SAGA_STARTED  RUNNING",
        "2 STEP_BEGUN createOrder RUNNING",
    ]
    assert lines[-1].endswith(" COMPLETED")
    assert first.stderr == ""
    assert again.stdout == first.stdout


def test_the_script_shown_says_in_a_sentence_that_nobody_is_there(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(example("BlockingClient", address="nobody..here:50051"))
    said = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 1
    assert said.stderr == (
        "the address nobody..here:50051 cannot be resolved: check the name and the port (saga unknown)\n"
    )


def test_the_service_shown_places_orders_over_http(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(example("Starlette(", address=cluster.address))
    service = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--port", "0", "shop:app"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stderr is not None
        with service.stderr as said:
            url = next(found[0] for line in said if (found := re.search(r"http://127.0.0.1:\d+", line)))
            answers = [
                put(f"{url}/orders/o-1"),
                put(f"{url}/orders/o-1"),
                put(f"{url}/orders/o-2", user_id="u-broke"),
                put(f"{url}/orders/o-1", euros=43),
                put(f"{url}/orders/o-3", items=[]),
            ]
            assert cluster.coordinator is not None
            cluster.coordinator.kill()
            cluster.start_coordinator()
            answers.append(put(f"{url}/orders/o-4"))
    finally:
        service.terminate()
        service.wait(20)
    assert [code for code, _ in answers] == [200, 200, 200, 409, 400, 200]
    assert [answer.get("status") for _, answer in answers] == [
        "SUCCESS",
        "SUCCESS",
        "FAILED",
        None,
        None,
        "SUCCESS",
    ]
    assert "INSUFFICIENT_FUNDS" in answers[2][1]["why"]
    assert answers[4][1]["error"].startswith("items: expected 1 to 1000 items, found none")


def put(url: str, **changed: object) -> tuple[int, dict[str, str]]:
    order = {"user_id": "u-1", "items": [{"item_id": "sku-1", "quantity": 1}], "token": "tok-1", "euros": 42}
    request = urllib.request.Request(url, json.dumps({**order, **changed}).encode(), method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
