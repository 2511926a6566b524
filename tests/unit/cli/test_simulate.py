"""`saga simulate`: what it prints about a definition, and how it ends."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from coordinator.cli.app import run
from coordinator.cli.simulation import POINTS_SHOWN_MAX, report, written
from coordinator.simulation.exploring import explore
from coordinator.simulation.made_up import Data
from coordinator.simulation.rehearsal import Rehearsed
from tests.unit.simulation.definitions import a_saga, a_step

HOLD: Final = """\
sagaName: Hold
version: "3"
ttl: 10s
steps:
  - service: Shop
    transaction: hold
    compensation: release
    timeout: 1s
    retry: {maxAttempts: 1}
    compensationRetry: {initialBackoff: 1s, maxBackoff: 1s, budget: 2s}
  - service: Bank
    transaction: pay
    compensation: null
    timeout: 1s
    retry: {maxAttempts: 1}
    when: input.total > 0
    input: {total: input.total, at: outputs.hold.place}
    compensationRetry: {initialBackoff: 1s, maxBackoff: 1s, budget: 2s}
"""
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a file, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hold.yaml").write_text(HOLD)
    return "hold.yaml"


def test_it_tells_what_was_explored_and_found(
    hold: str, capsys: Printed, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(["simulate", hold, "--runs-max", "120"]) == 0
    out, err = capsys.readouterr()
    # What simulated coordinators log is no news.
    assert (err, caplog.records) == ("", [])
    assert logging.getLogger("coordinator").propagate
    heading, made_up, *lines = out.splitlines()
    assert re.fullmatch(r"Hold \(version 3\), definition [0-9a-f]{12}: 2 steps", heading)
    assert made_up == "made up: input.total, outputs.hold.place"
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "explored",
        "how they ended",
        "the worst case, where each wait is as long as it may be",
        "what would be undone if it turned back",
        "what would be undone if it turned back, where the condition of pay is not met",
        *(line for line in lines if line.startswith("what needs a person: ")),
    ]
    assert "    2  where all goes well" in lines
    assert any(re.fullmatch(r"  120  runs, with [\d,]+ calls, in .+ of virtual time", line) for line in lines)
    assert any(re.fullmatch(r"  left out: [\d,]+ of [\d,]+ crashes, evenly .*", line) for line in lines)
    assert "  hold is asked  release" in lines
    assert "  pay is asked   a bar for pay, release; pay stays (nothing undoes it)" in lines
    assert "  at the end     nothing: there is no turning back any more" in lines
    at = next(
        place for place, line in enumerate(lines) if line.startswith("  the undo of hold is tried in vain")
    )
    assert lines[at + 2 : at + 4] == [
        "    not undone  hold",
        "    actions     retry, skip, complete → COMPENSATED; terminate → TERMINATED",
    ]


def test_as_json_it_tells_all_of_it(hold: str, capsys: Printed) -> None:
    assert run(["simulate", hold, "--runs-max", "120", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["saga_name"], found["version"], found["broken_runs"]) == ("Hold", "3", 0)
    assert found["made_up"][0] == {
        "words": "",
        "input": {"total": 1},
        "outputs": {"hold": {"place": "place"}},
    }
    assert found["explored"]["runs"] == 120 == sum(found["ends"].values())
    assert found["undo_plans"][0]["points"][0] == {
        "asked": ["hold"],
        "pivot": None,
        "undos": [{"step": "hold", "service": "Shop", "compensation": "release", "after": []}],
        "stays": [],
    }
    situation = found["needs_person"][0]
    assert (situation["step"], situation["is_undo"]) == ("hold", True)
    assert situation["choices"][-1] == {"verb": "TERMINATE", "step": None, "ends": "TERMINATED"}
    assert found["longest"]["COMPLETED"]["run"].startswith("every call faults slowly")
    assert run(["simulate", hold, "--runs-max", "3", "-o", "jsonl"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["explored"]["runs"] == 3


def test_what_is_given_is_not_made_up(hold: str, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "answers.json").write_text('{"hold": {"place": "A-1"}}')
    given = ["--input", '{"total": 0}', "--outputs", "@answers.json"]
    assert run(["simulate", hold, *given, "--runs-max", "2"]) == 0
    out = capsys.readouterr().out
    assert "made up" not in out
    assert "A-1" not in out
    assert "pay is asked" not in out
    turned = "the condition the other way of pay: nothing was given or found that turns it"
    assert f"  left out: {turned}\n" in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--input", "{"], "--input $: is not JSON"),
        (["--input", "[1]"], "--input $: expected an object, found a list of 1"),
        (["--input", '{"outputs": 1}'], "--input $.outputs: is a reserved name: there each step finds what "),
        (["--input", "@absent.json"], "--input: 'absent.json' can not be read: No such file or directory"),
        (["--outputs", "1"], "--outputs $: expected an object that holds what each step answers, found a n"),
        (["--outputs", '{"h": 1}'], "--outputs $.h: expected the name of a step (hold, pay), found 'h'"),
        (["--outputs", '{"hold": NaN}'], "--outputs $"),
        (["--runs-max", "0"], "Invalid value for '--runs-max': expected greater than or equal to 1"),
    ],
)
def test_a_wrong_option_is_told_by_its_name(
    hold: str, options: list[str], sentence: str, capsys: Printed
) -> None:
    assert run(["simulate", hold, *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err[: len(sentence)]) == ("", sentence)


def test_a_field_that_is_missing_is_told(hold: str, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "ship.yaml").write_text(
        "sagaName: Ship\nsteps: [{service: S, transaction: ship, compensation: null, input: [to]}]"
    )
    assert run(["simulate", "ship.yaml", "--input", "{}"]) == 2
    assert capsys.readouterr().err == "--input $.to: is missing; step ship needs it\n"


def test_what_nothing_can_be_made_up_for_is_told(hold: str, tmp_path: Path, capsys: Printed) -> None:
    text = HOLD.replace("total: input.total", "total: 'input.items.map(i, i.price * 2)'")
    (tmp_path / "sum.yaml").write_text(text)
    assert run(["simulate", "sum.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("$.steps[1].input.total yields nothing whatever is made up for input.items (")
    assert err.endswith("): give it with --input\n")


def test_a_definition_that_is_not_loaded_is_refused_as_by_the_linter(tmp_path: Path, capsys: Printed) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"sagaName": "Pang",\n "steps": []}')
    assert run(["simulate", str(wrong)]) == 1
    simulated = capsys.readouterr()
    assert run(["lint", str(wrong)]) == 1
    assert simulated == capsys.readouterr()
    assert simulated.out.startswith(f"{wrong}:2:2  invalid  $.steps  ")


def test_what_is_no_file_is_wrong_usage(tmp_path: Path, capsys: Printed) -> None:
    for path in (tmp_path, tmp_path / "absent.json"):
        assert run(["simulate", str(path)]) == 2
        sentence = f"DEFINITION: there is no file {str(path)!r}: name one definition file\n"
        assert capsys.readouterr() == ("", sentence)


def test_where_the_server_is_not_installed_it_says_so(hold: str) -> None:
    hide = "import sys; sys.modules['cel_expr_python'] = None; from coordinator.cli import main;"
    done = subprocess.run(
        [sys.executable, "-c", f"{hide} sys.argv = ['saga', 'simulate', '{hold}']; sys.exit(main())"],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "this command needs the package cel_expr_python: run pip install 'saga-coordinator[server]'\n"
    )


def test_a_broken_law_is_our_mistake_and_no_success(
    hold: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(came_of_it: Rehearsed) -> list[str]:
        return ["hold was done more than once"]

    monkeypatch.setattr("coordinator.simulation.findings.broken_laws", broken)
    assert run(["simulate", hold, "--runs-max", "2"]) == 1
    out = capsys.readouterr().out
    assert "  BROKEN: hold was done more than once, when all goes well\n" in out
    assert "  2 runs broke a law: a mistake in saga itself, please report it\n" in out
    assert "in all of them" not in out


def test_of_a_large_definition_not_all_is_shown() -> None:
    pay = a_step("pay", kind="pivot")
    ship = a_step("ship", kind="retriable", compensation=None)
    explored = explore(
        a_saga(*(a_step(f"s{number}") for number in range(14)), pay, ship), [Data({}, {})], runs_max=1
    )
    ((words, points),) = explored.findings.plans
    explored.findings.plans = [(words, points * 2)]
    lines = list(report(explored))
    at = lines.index("what would be undone if it turned back")
    assert lines[at + 12].endswith("uns11, uns10, uns9, uns8, uns7, uns6, uns5, uns4, uns3, uns2, uns1, uns0")
    assert lines[at + 13].endswith("uns2, uns1, and 1 more")
    assert lines[at + 15 : at + 18] == [
        "  pay is asked   nothing, unless pay is refused",
        "  ship is asked  nothing: there is no turning back any more",
        "  at the end     nothing: there is no turning back any more",
    ]
    assert lines[at + POINTS_SHOWN_MAX + 1] == "  and at 4 more points: as JSON all are shown"
    assert lines[-1] == "nothing that was explored needs a person"


def test_a_length_of_time_is_told_in_its_two_largest_units() -> None:
    assert [written(seconds) for seconds in (0.0149, 59.9, 60, 3_599.6, 86_400 * 6 + 61)] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "1 h 0 min",
        "6 d 0 h",
    ]
