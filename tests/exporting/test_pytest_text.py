"""The file that is written: it is what ruff would make of it, says what it is, and passes."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.jsontext import JsonValue
from coordinator.simulation.course import Acted, Answered, Cancelled, Happening, Started, Stopped
from coordinator.simulation.exporting import export
from coordinator.simulation.pytest_text import pytest_text
from coordinator.simulation.replay import play
from tests.exporting.runs import the_test_in
from tests.unit.machine.tale import define, step

RUFF: Final = str(Path(sys.executable).parent / "ruff")
HOSTILE: Final = (
    """it's "quoted" 'twice' \\ """ + '"""' + "\u202e\u2028\x7f\ud7ff\U0001f600\U000e0001 é\n\t{braces}"
)
LONG: Final = "long " * 40


def text_of(definition: SagaDefinition, given: JsonValue, *course: Happening) -> str:
    _, records = play(definition, given, course)
    return pytest_text(export(definition, records))


def done(at_s: float, name: str, output: str = "null") -> Answered:
    return Answered(at_s, "do", name, "SUCCEEDED", output=output)


EVERYTHING: Final = text_of(
    define("a", step("b", undo=None)),
    {"n": 1},
    Stopped(0.25),
    done(0.25, "a", '{"it\'s":1}'),
    Started(1.0),
    Acted(2.0, "SKIP", "b", actor="ada", reason=HOSTILE),
)
UNDONE: Final = text_of(
    define(*(f"step_number_{number}" for number in range(9))),
    {},
    done(0.5, "step_number_0"),
    Cancelled(0.75, LONG),
    Answered(1.0, "do", "step_number_1", "FAULTED", code="BUSY", message=LONG),
    Answered(2.0, "undo", "step_number_1", "SUCCEEDED"),
    Answered(3.0, "undo", "step_number_0", "BROKEN_CONTRACT", code="?", again_s=0.5),
    Answered(4.0, "undo", "step_number_0", "SUCCEEDED"),
)
NOTHING: Final = text_of(define(step("a", when="input.no")), {"no": False})
DATA: Final = text_of(
    define("a"),
    {"text": HOSTILE, "long": [LONG, {LONG: {"deep": [[], {}, None, True, 1.5, 10**30]}}], "none": []},
    done(86_400.0, "a", '"\\u202e"'),
)
ALL: Final = {"everything": EVERYTHING, "undone": UNDONE, "nothing": NOTHING, "data": DATA}


@pytest.mark.parametrize("name", ALL)
def test_it_passes(name: str) -> None:
    the_test_in(ALL[name])()


def test_ruff_has_nothing_to_format_or_to_say(tmp_path: Path) -> None:
    for name, text in ALL.items():
        (tmp_path / f"test_{name}.py").write_text(text, encoding="utf-8")
    for width in ("88", "110"):
        formatted = [RUFF, "format", "--isolated", "--line-length", width, "--diff", str(tmp_path)]
        done = subprocess.run(formatted, capture_output=True, text=True, timeout=50)
        assert (done.returncode, done.stdout) == (0, "")
    rules = "E,F,I,W,B,PLE,RUF,UP"
    linted = [RUFF, "check", "--isolated", "--select", rules, "--ignore", "E501", str(tmp_path)]
    done = subprocess.run(linted, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ALL)
def test_nothing_in_it_is_hidden(name: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in ALL[name])


def test_it_is_what_a_person_would_have_written() -> None:
    text = text_of(
        define("a", "b", ttl_s=60.0),
        {"n": 1},
        Answered(0.25, "do", "a", "FAULTED", code="BUSY", again_s=0.5),
        done(1.0, "a"),
        Answered(1.5, "do", "b", "REFUSED", code="NO", message="no"),
        Answered(2.0, "undo", "a", "SUCCEEDED"),
    )
    assert text.startswith('"""Saga saga-1 of Order came to be COMPENSATED.\n\nIt was started at 2001-09-09 ')
    behind = text.partition("INPUT = ")[2]
    assert (
        behind
        == '''r"""
{"n": 1}
"""

# The seconds since its start, and what came then. What has the same time came at once.
COURSE = [
    Answered(0.25, "do", "a", "FAULTED", code="BUSY", again_s=0.5),
    Answered(1.0, "do", "a", "SUCCEEDED"),
    Answered(1.5, "do", "b", "REFUSED", code="NO", message="no"),
    Answered(2.0, "undo", "a", "SUCCEEDED"),
]

END = End(
    status="COMPENSATED",
    steps={
        "a": "COMPENSATED",
        "b": "REFUSED",
    },
    undone=["a"],
    error_message="b at b_service was refused: NO: no. What was begun has been undone.",
)


def test_saga_saga_1_ends_as_it_did() -> None:
    assert replay(DEFINITION, INPUT, COURSE) == END
'''
    )
