"""The README's tour is what happens: each command runs as printed, and prints what stands there."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import typer

from coordinator.cli.app import app
from scripts.tour import README, blocks, comparable, played

needs_its_tools = pytest.mark.skipif(
    not all(
        shutil.which(tool, path=f"{Path(sys.executable).parent}:/usr/bin:/bin")
        for tool in ("grpcurl", "curl")
    ),
    reason="the tour types grpcurl and curl, and one of them is not here",
)


@needs_its_tools
@pytest.mark.timeout(300)
def test_every_command_of_the_tour_prints_what_the_readme_says() -> None:
    told = README.read_text()
    for written, printed in zip(blocks(told), blocks(played(told)), strict=True):
        assert comparable(printed) == comparable(written)


def test_the_tour_shows_every_verb() -> None:
    typed = "".join(blocks(README.read_text()))
    assert [
        verb for verb in verbs(typer.main.get_command(app)) if not re.search(rf"saga {verb}\b", typed)
    ] == []


def verbs(command: object, above: str = "") -> list[str]:
    """Every verb, as it is typed."""
    if isinstance(command, typer.core.TyperGroup):
        return [verb for name, inner in command.commands.items() for verb in verbs(inner, f"{above} {name}")]
    return [above.strip()]
