"""The README says what is so: its definition, its settings and its participant are the real ones."""

import json
import re
import subprocess
import sys
from pathlib import Path

from coordinator.adapters.grpc_participants import GrpcParticipants
from coordinator.domain.ids import FencingToken, SagaId, StepName, execute_key
from coordinator.domain.outcomes import Refused, Succeeded
from coordinator.ports.participants import ExecuteCall
from coordinator.settings import Settings
from scripts.gen_docs import settings_table, with_part

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


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


async def test_the_participant_shown_runs_and_books_a_seat_once(tmp_path: Path) -> None:
    (shown,) = blocks("python")
    script = tmp_path / "seats.py"
    script.write_text(shown.replace("port=50070", "port=0"))
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
        key=execute_key(SagaId(saga_id), StepName("bookSeat")),
        saga_id=SagaId(saga_id),
        saga_name="Trip",
        service="SeatService",
        step=StepName("bookSeat"),
        transaction="bookSeat",
        attempt=1,
        token=FencingToken(1),
        input='{"seat":"14C"}',
    )
