"""`saga export`: what it writes where, and what it refuses to write."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from coordinator.api.convert import to_exported_record
from coordinator.cli.app import run
from coordinator.cli.commands import export
from coordinator.client import ExportedRecord, ExportedSaga
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.jsontext import JsonValue
from coordinator.simulation.course import Answered, Happening
from coordinator.simulation.replay import play
from tests.exporting.runs import the_test_in
from tests.unit.machine.tale import define, step

Printed = pytest.CaptureFixture[str]

DONE = (Answered(0.5, "do", "a", "SUCCEEDED"),)


class Scripted:
    """In the place of the client: it has one saga."""

    def __init__(self, saga: ExportedSaga) -> None:
        self._saga = saga
        self.asked: list[str] = []

    def __call__(self, address: str, *, timeout_s: float) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def export(self, saga_id: str) -> ExportedSaga:
        self.asked.append(saga_id)
        return self._saga


def exported(
    definition: SagaDefinition, given: JsonValue, course: Sequence[Happening] = DONE
) -> ExportedSaga:
    _, records = play(definition, given, course)
    told = map(to_exported_record, records)
    return ExportedSaga(
        definition.text,
        tuple(ExportedRecord(one.seq, one.fencing_token, one.type, one.content_json) for one in told),
    )


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    return serve(monkeypatch, exported(define("a"), {}))


def serve(monkeypatch: pytest.MonkeyPatch, saga: ExportedSaga) -> Scripted:
    scripted = Scripted(saga)
    monkeypatch.setattr(export, "Operator", scripted)
    return scripted


def test_without_a_file_the_test_goes_to_stdout(house: Scripted, capsys: Printed) -> None:
    assert run(["export", "s-1", "--pytest"]) == 0
    out, err = capsys.readouterr()
    the_test_in(out)()
    assert (err, out[-2:], house.asked) == ("", "D\n", ["s-1"])


def test_a_file_is_written_and_named(house: Scripted, capsys: Printed, tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    assert run(["export", "s-1", "--pytest", "--out", str(path)]) == 0
    assert capsys.readouterr() == ("", f"wrote {path}\n")
    the_test_in(path.read_text())()


def test_a_file_that_is_there_is_replaced_only_by_force(
    house: Scripted, capsys: Printed, tmp_path: Path
) -> None:
    path = tmp_path / "test_it.py"
    path.write_text("mine")
    command = ["export", "s-1", "--pytest", "--out", str(path)]
    assert run(command) == 2
    assert capsys.readouterr().err == f"{path} is there already: name another file, or give --force\n"
    assert (path.read_text(), house.asked) == ("mine", [])
    assert run([*command, "--force"]) == 0
    assert path.read_text().startswith('"""Saga saga-1 of Order')


def test_a_file_is_not_a_folder_and_is_in_one(house: Scripted, capsys: Printed, tmp_path: Path) -> None:
    assert run(["export", "s-1", "--pytest", "--out", str(tmp_path), "--force"]) == 2
    assert capsys.readouterr().err == f"{tmp_path} is a folder: name a file in it\n"
    nowhere = tmp_path / "nowhere" / "test_it.py"
    assert run(["export", "s-1", "--pytest", "--out", str(nowhere)]) == 1
    assert capsys.readouterr().err == f"{nowhere}: No such file or directory\n"


def test_it_is_to_be_said_as_what_it_is_exported(house: Scripted, capsys: Printed) -> None:
    assert run(["export", "s-1"]) == 2
    said = "say as what it is to be exported: --pytest, as a test that plays it again\n"
    assert (capsys.readouterr().err, house.asked) == (said, [])


def test_a_test_that_would_fail_is_not_written_and_what_is_left_out_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed, tmp_path: Path
) -> None:
    definition = define(step("a", when="input.card == 'debit'"), sensitive=("card",))
    saga = exported(definition, {"card": "debit"})
    first, *others = saga.records
    masked = replace(first, content_json=first.content_json.replace("debit", "***"))
    serve(monkeypatch, replace(saga, records=(masked, *others)))
    path = tmp_path / "test_it.py"
    assert run(["export", "s-1", "--pytest", "--out", str(path)]) == 1
    assert capsys.readouterr().err == (
        "saga s-1 is not exported, for the test would fail: played again it goes another way: nobody asks to "
        "do a, which is to be answered at 0.5 s; what its definition calls sensitive (card) is left out, and "
        "this may hang on it\n"
    )
    assert not path.exists()


def test_nothing_is_said_of_what_is_sensitive_where_nothing_is(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    saga = exported(define("a"), {})
    serve(monkeypatch, replace(saga, records=saga.records[:-1]))
    assert run(["export", "s-1", "--pytest"]) == 1
    assert capsys.readouterr().err == (
        "saga s-1 is not exported, for the test would fail: it has not ended: it is RUNNING\n"
    )


@pytest.mark.parametrize(
    ("definition", "kind", "why"),
    [
        (None, "StepDreamt", "event type 'StepDreamt' is unknown to this version"),
        ("{}", "SagaStarted", "the saga's definition is not a saga definition and is not loaded"),
    ],
)
def test_what_another_release_has_written_is_told_as_such(
    definition: str | None, kind: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    saga = exported(define("a"), {})
    record = replace(saga.records[0], type=kind)
    text = saga.definition_json if definition is None else definition
    serve(monkeypatch, ExportedSaga(text, (record, *saga.records[1:])))
    assert run(["export", "s-1", "--pytest"]) == 1
    assert capsys.readouterr().err.startswith(f"saga s-1 can not be read by this release: {why}")


def test_what_the_engine_logs_of_a_replay_is_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed, caplog: pytest.LogCaptureFixture
) -> None:
    refused = [
        Answered(0.5, "do", "a", "SUCCEEDED"),
        Answered(1.0, "do", "b", "REFUSED", code="NO", message="no"),
        Answered(1.5, "undo", "a", "REFUSED", code="NO", message="no"),
    ]
    saga = exported(define("a", "b"), {}, refused)
    assert "saga needs a person" in caplog.text
    caplog.clear()
    serve(monkeypatch, saga)
    assert run(["export", "s-1", "--pytest"]) == 0
    assert (capsys.readouterr().err, caplog.text) == ("", "")
