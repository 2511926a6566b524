"""`saga lint`: what it prints about files, and how it ends."""

import json
from pathlib import Path
from typing import Final

import pytest

from coordinator.cli.app import run
from coordinator.domain.language.rules import RULES

SOUND: Final = """\
sagaName: Ping
steps:
  - {service: Order, transaction: ping, compensation: null}
"""
HASTY: Final = """\
sagaName: Pong
steps:
  - service: Order
    transaction: pong
    compensation: unpong
    when: "true"
ttl: 10s
"""
WRONG: Final = '{"sagaName": "Pang",\n "steps": []}'
LEAVE_IT_OUT: Final = "Cure: Leave the condition out, or let it depend on `input` or `outputs`."
RAISE_THE_TTL: Final = (
    "Cure: Raise the ttl above the worst case, or lower timeouts, maxAttempts or maxBackoff."
)
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: it holds the settings' folder of definitions."""
    monkeypatch.chdir(tmp_path)
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    return definitions


def test_it_is_silent_about_sound_definitions(folder: Path, capsys: Printed) -> None:
    (folder / "ping.yaml").write_text(SOUND)
    assert run(["lint"]) == 0
    assert run(["lint", str(folder), str(folder / "ping.yaml")]) == 0
    assert capsys.readouterr() == ("", "")


def test_each_finding_is_a_line_that_an_editor_can_follow(folder: Path, capsys: Printed) -> None:
    (folder / "pong.yaml").write_text(HASTY)
    assert run(["lint", "definitions"]) == 1
    out, err = capsys.readouterr()
    at, always = "definitions/pong.yaml", "it is always true: pong is never omitted"
    worst = "the worst case to the end is 70s (pong 70s), but the ttl is 10s"
    assert (out.splitlines(), err) == (
        [
            f"{at}:6:5  dead-branch  $.steps[0].when  {always}.  {LEAVE_IT_OUT}",
            f"{at}:7:1  ttl-too-short  $.ttl  {worst}.  {RAISE_THE_TTL}",
        ],
        "",
    )


def test_a_file_that_is_not_loaded_is_told_beside_one_that_is(folder: Path, capsys: Printed) -> None:
    (folder / "a.json").write_text(WRONG)
    (folder / "b.json").write_text("{")
    (folder / "pong.yml").write_text(HASTY)
    assert run(["lint", "-o", "jsonl"]) == 1
    printed, _ = capsys.readouterr()
    found = [json.loads(line) for line in printed.splitlines()]
    assert [(one["file"], one["line"], one["column"], one["rule"]) for one in found] == [
        ("definitions/a.json", 2, 2, "invalid"),
        ("definitions/b.json", 1, 2, "invalid"),
        ("definitions/pong.yml", 6, 5, "dead-branch"),
        ("definitions/pong.yml", 7, 1, "ttl-too-short"),
    ]
    assert found[3] == {
        "file": "definitions/pong.yml",
        "line": 7,
        "column": 1,
        "rule": "ttl-too-short",
        "path": "$.ttl",
        "sentence": "the worst case to the end is 70s (pong 70s), but the ttl is 10s",
        "cure": RAISE_THE_TTL.removeprefix("Cure: "),
    }


def test_a_version_that_stands_in_two_files_is_found(folder: Path, capsys: Printed) -> None:
    (folder / "ping.yaml").write_text(SOUND)
    (folder / "pong.yaml").write_text(SOUND)
    assert run(["lint"]) == 1
    at, name = "definitions/pong.yaml:1:1", "'Ping' as in definitions/ping.yaml"
    assert capsys.readouterr().out.startswith(
        f"{at}  invalid  $.sagaName  expected a saga name of its own, or a version, found {name}."
    )


def test_what_cannot_be_read_is_told_and_ends_it(folder: Path, capsys: Printed) -> None:
    for verb in ("lint", "validate"):
        assert run([verb, "definitions", "absent.json"]) == 2
        sentence = "there is no 'absent.json': name a definition file, or a folder of them\n"
        assert capsys.readouterr() == ("", sentence)
    (folder / "gone.json").symlink_to("nowhere")
    assert run(["lint"]) == 1
    assert capsys.readouterr().out.startswith("definitions/gone.json  invalid  $  can not be read: ")
    (folder / "gone.json").unlink()
    assert run(["lint"]) == 2
    assert capsys.readouterr().err.startswith("there is no definition (*.json, *.yaml, *.yml) in definitions")


def test_the_settings_say_where_definitions_are(
    folder: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pong.yaml").write_text(HASTY)
    monkeypatch.setenv("SAGA_DEFINITIONS", str(folder / "elsewhere"))
    assert run(["lint"]) == 1
    assert capsys.readouterr().err.startswith("there is no definitions folder ")
    monkeypatch.setenv("SAGA_DEFINITIONS", "")
    assert run(["lint"]) == 2
    assert capsys.readouterr().err.startswith("SAGA_DEFINITIONS: expected ")
    # What is named is looked at, whatever the settings are.
    assert run(["lint", str(folder / "pong.yaml")]) == 1


def test_participants_are_asked_only_where_that_is_wanted(
    folder: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "ping.yaml").write_text(SOUND)
    monkeypatch.setenv("SAGA_SERVICES", '{"Order": "unix:nobody.sock"}')
    assert run(["lint"]) == 0
    assert run(["lint", "--participants"]) == 1
    monkeypatch.setenv("SAGA_SERVICES", "{}")
    assert run(["lint", "--participants"]) == 1
    silent, unknown = capsys.readouterr().out.splitlines()
    at = "definitions/ping.yaml:3:6  "
    assert silent.startswith(
        f"{at}participant-silent  $.steps[0].service  Order: it was asked in vain: UNAVAILABLE.  "
    )
    assert unknown.startswith(f"{at}unknown-service  $.steps[0].service  Order: no address is set for it ")


def test_every_rule_is_listed_with_its_cure(capsys: Printed) -> None:
    assert run(["lint", "--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(RULES)
    assert [line.strip() for line in lines[1::2]] == [f"Cure: {rule.cure}" for rule in RULES.values()]
    assert run(["lint", "--rules", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0] == {
        "rule": "invalid",
        "stage": "load",
        "sentence": "The text, a key or a value is not what a definition holds.",
        "cure": "Write what the sentence expects.",
    }
