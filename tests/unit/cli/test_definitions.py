"""`saga definitions register`: what it prints of what the linter found."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from coordinator.cli.app import run
from coordinator.client import RegisteredDefinition, wire
from saga.v1 import coordinator_pb2 as pb


class OneWithManyFindings:
    """A coordinator's answer, whatever is registered."""

    def __init__(self, address: str, *, timeout_s: float) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def register_definition(self, text: str, *, is_yaml: bool, validate_only: bool) -> RegisteredDefinition:
        found = pb.Finding(
            rule="dead-branch", path="$.steps[0].when", line=2, column=5, sentence="So", cure="Do"
        )
        return wire.to_registered(
            pb.RegisterDefinitionResponse(
                definition=pb.Definition(saga_name="Trip"),
                outcome=pb.REGISTRATION_OUTCOME_CREATED,
                findings=[found],
                findings_left_out=899,
            )
        )


def test_findings_that_are_not_told_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coordinator.cli.commands.definitions.BlockingClient", OneWithManyFindings)
    (file := tmp_path / "trip.json").write_text("{}")
    assert run(["definitions", "register", str(file)]) == 0
    assert capsys.readouterr() == (
        f"{file}:2:5  dead-branch  $.steps[0].when  So.  Cure: Do\nand 899 more; saga lint shows all\n",
        "Trip is registered\n",
    )


def test_a_file_that_is_not_there_is_named_as_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "nofile.yaml")
    assert run(["definitions", "register", missing]) == 2
    assert capsys.readouterr().err == f"FILE: '{missing}' can not be read: No such file or directory\n"
