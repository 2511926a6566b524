"""What counts as a yes."""

import io
import sys

import pytest

from coordinator.cli.commands import acts


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_only_a_yes_is_one_and_the_end_of_what_is_typed_is_a_no(
    monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert acts._agreed("Cancel?") is agreed
