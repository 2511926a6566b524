"""The definitions in a folder: a wrong file is refused whole, and the others keep working."""

import os
from pathlib import Path
from typing import Final

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_files import DefinitionFiles, files_at
from coordinator.domain.errors import StartupFailed
from participants.calls import Operation
from participants.services import EXAMPLES

DEFINITIONS: Final = Path(__file__).parents[3] / "definitions"
SERVICES: Final = ("Hotel", "Car")
CHECK: Final = CelExpressions().check


def write(path: Path, saga_name: str, version: str | None = None) -> None:
    shown = "null" if version is None else f'"{version}"'
    path.write_text(
        f'{{"sagaName": "{saga_name}", "version": {shown}, "steps": '
        '[{"service": "Hotel", "transaction": "book", "compensation": null}]}'
    )


def refusals(files: DefinitionFiles) -> dict[str, list[str]]:
    return {error.source: [str(fault) for fault in error.violations] for error in files.refused}


def test_the_definitions_that_we_ship_load() -> None:
    files = DefinitionFiles.load(DEFINITIONS, list(EXAMPLES), CHECK)
    assert [definition.name for definition in files.all()] == ["BookTrip", "OrderPlacementSaga", "PlaceOrder"]
    assert files.refused == ()


def test_the_example_services_offer_what_the_definitions_that_we_ship_ask_for() -> None:
    for definition in DefinitionFiles.load(DEFINITIONS, None, CHECK).all():
        for step in definition.steps:
            service = EXAMPLES[step.service]
            assert step.transaction in service.names(Operation.EXECUTE)
            assert step.compensation in {None, *service.names(Operation.COMPENSATE)}


def test_a_wrong_file_is_refused_and_the_others_keep_working(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "Trip")
    (tmp_path / "b.json").write_text('{"sagaName": "Broken", "steps": [], "when": 1}')
    write(tmp_path / "c.json", "Cruise", "2")
    files = DefinitionFiles.load(tmp_path, SERVICES, CHECK)
    assert [definition.name for definition in files.all()] == ["Cruise", "Trip"]
    assert [(source, definition.version) for source, definition in files.loaded] == [
        ("a.json", None),
        ("c.json", "2"),
    ]
    assert refusals(files) == {
        "b.json": [
            "line 1, column 24: $.steps: expected a list of 1 to 1000 steps, found an empty list",
            (
                "line 1, column 37: $.when: is not a key that is known here; known are sagaName, version, "
                "ttl, maxParallel, sensitive, output, steps"
            ),
        ]
    }


def test_one_name_may_have_many_versions_and_a_draft(tmp_path: Path) -> None:
    for place, version in enumerate(("10", "9", None)):
        write(tmp_path / f"{place}.json", "Trip", version)
    files = DefinitionFiles.load(tmp_path, SERVICES, CHECK)
    assert [definition.version for definition in files.all()] == [None, "9", "10"]
    assert files.refused == ()


def test_of_two_files_with_one_version_the_second_is_refused_and_both_are_named(tmp_path: Path) -> None:
    for name in ("e", "b", "f", "a", "d", "c"):
        write(tmp_path / f"{name}.json", "Trip", "1")
    files = DefinitionFiles.load(tmp_path, SERVICES, CHECK)
    assert [source for source, _ in files.loaded] == ["a.json"]
    assert list(refusals(files)) == ["b.json", "c.json", "d.json", "e.json", "f.json"]
    for sentences in refusals(files).values():
        assert sentences == [
            "line 1, column 22: $.version: expected a version of its own, found '1' of 'Trip' as in a.json"
        ]


def test_of_two_drafts_of_one_name_the_second_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.json", "Trip")
    assert refusals(DefinitionFiles.load(tmp_path, SERVICES, CHECK)) == {
        "b.json": [
            (
                "line 1, column 2: $.sagaName: "
                "expected a saga name of its own, or a version, found 'Trip' as in a.json"
            )
        ]
    }


def test_a_refused_file_does_not_take_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"sagaName": "Trip", "steps": []}')
    write(tmp_path / "b.json", "Trip")
    files = DefinitionFiles.load(tmp_path, SERVICES, CHECK)
    assert [source for source, _ in files.loaded] == ["b.json"]
    assert list(refusals(files)) == ["a.json"]


def test_a_service_that_is_not_configured_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "Trip")
    assert refusals(DefinitionFiles.load(tmp_path, ["Car"], CHECK)) == {
        "a.json": [
            "line 1, column 50: $.steps[0].service: expected a service of SAGA_SERVICES (Car), found 'Hotel'"
        ]
    }
    assert refusals(DefinitionFiles.load(tmp_path, [], CHECK)) == {
        "a.json": [
            "line 1, column 50: $.steps[0].service: expected a service of SAGA_SERVICES (none), found 'Hotel'"
        ]
    }


def test_a_wrong_expression_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"sagaName": "Trip", "output": {"car": "outputs.rent.id"}, "steps": '
        '[{"service": "Hotel", "transaction": "book", "compensation": null}]}'
    )
    assert refusals(DefinitionFiles.load(tmp_path, SERVICES, CHECK)) == {
        "a.json": [
            "line 1, column 33: $.output.car: expected the name of a step (book), found 'rent'",
        ]
    }


def test_hidden_files_and_other_files_are_not_looked_at(tmp_path: Path) -> None:
    for name in (".hidden.json", ".json", ".yaml", "notes.txt", "trip.json.bak", "trip.yamlx", "schema.json"):
        (tmp_path / name).write_text("x")
    files = DefinitionFiles.load(tmp_path, SERVICES, CHECK)
    assert (files.all(), files.refused) == ((), ())


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "nowhere.json").symlink_to("gone")
    open_before = len(os.listdir("/proc/self/fd"))
    files = DefinitionFiles.load(tmp_path, SERVICES, CHECK)
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert refusals(files) == {
        "endless.json": ["$: expected a file, found a folder or a device"],
        "folder.json": ["$: can not be read: Is a directory"],
        "loop.json": ["$: can not be read: Too many levels of symbolic links"],
        "nowhere.json": ["$: can not be read: No such file or directory"],
        "pipe.json": ["$: expected a file, found a folder or a device"],
    }


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    write(tmp_path / "mounted" / "trip", "Trip")
    (tmp_path / "trip.json").symlink_to("mounted/trip")
    assert [definition.name for definition in DefinitionFiles.load(tmp_path, SERVICES, CHECK).all()] == [
        "Trip"
    ]


def test_a_file_that_is_named_beside_its_folder_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.json", "Trip")
    write(tmp_path / "b.json", "Trip")
    files = files_at([Path("a.json"), tmp_path, Path("b.json")])
    assert [file.name for file in files] == ["a.json", "b.json"]


def test_a_name_that_says_nothing_is_told_to_be_read_as_json_where_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "trip.txt").write_text("sagaName: Trip")
    write(tmp_path / "car.txt", "Car")
    (tmp_path / "ship.json").write_text("sagaName: Ship")
    files = DefinitionFiles.read(
        [tmp_path / name for name in ("trip.txt", "car.txt", "ship.json")], None, CHECK
    )
    assert [source for source, _ in files.loaded] == ["car.txt"]
    (trip,), (ship,) = refusals(files).values()
    assert trip == f"{ship}; by its name it is read as JSON, and as YAML only if that ends in .yaml or .yml"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "Trip")
    with (tmp_path / "a.json").open("a") as file:
        file.write(" " * (1 << 20))
    assert refusals(DefinitionFiles.load(tmp_path, SERVICES, CHECK)) == {
        "a.json": ["$: is larger than 1048576 bytes"]
    }


def test_a_strange_file_name_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\n\xff.json")).write_text("")
    (refused,) = DefinitionFiles.load(tmp_path, SERVICES, CHECK).refused
    assert refused.source == r"'a\n\udcff.json'"
    assert str(refused).encode()


def test_without_a_folder_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(StartupFailed) as stop:
        DefinitionFiles.load(tmp_path / "gone", SERVICES, CHECK)
    assert str(stop.value) == (
        f"the definitions folder '{tmp_path}/gone' does not exist; SAGA_DEFINITIONS names it"
    )
    (tmp_path / "file").touch()
    with pytest.raises(StartupFailed) as stop:
        DefinitionFiles.load(tmp_path / "file", SERVICES, CHECK)
    assert str(stop.value) == f"the definitions folder '{tmp_path}/file' can not be read: Not a directory"
