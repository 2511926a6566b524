"""What a file is written in is told by its name; through the API, by the caller."""

from pathlib import Path
from typing import Final

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_files import DefinitionFiles
from coordinator.adapters.definition_text import definition_document, format_of, read_definition
from coordinator.domain.errors import InvalidDefinition
from coordinator.domain.language.documents import Format
from coordinator.domain.language.sentences import INVALID

CHECK: Final = CelExpressions().check
IN_YAML: Final = "sagaName: {}\nsteps:\n- {{service: Hotel, transaction: book, compensation: null}}\n"
IN_JSON: Final = (
    '{{"sagaName": "{}", "steps": [{{"service": "Hotel", "transaction": "book", "compensation": null}}]}}'
)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("trip.json", Format.JSON),
        ("trip.yaml", Format.YAML),
        ("trip.yml", Format.YAML),
        ("trip.yaml.json", Format.JSON),
        ("trip", Format.JSON),
        ("trip.txt", Format.JSON),
    ],
)
def test_a_file_is_written_as_the_end_of_its_name_says(name: str, written: Format) -> None:
    assert format_of(Path("definitions") / name) is written


def test_a_folder_holds_both_and_the_schema_is_no_definition(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(IN_JSON.format("InJson"))
    (tmp_path / "b.yaml").write_text(IN_YAML.format("InYaml"))
    (tmp_path / "c.yml").write_text(IN_YAML.format("InYml"))
    (tmp_path / "d.json").write_text(IN_YAML.format("Mistaken"))
    (tmp_path / "e.yaml").write_text(IN_YAML.format("1st"))
    (tmp_path / "schema.json").write_text("{}")
    files = DefinitionFiles.load(tmp_path, ["Hotel"], CHECK)
    assert [definition.name for definition in files.all()] == ["InJson", "InYaml", "InYml"]
    assert [str(refused).split(": ")[:3] for refused in files.refused] == [
        ["d.json is not a saga definition and is not loaded:\n  line 1, column 1", "$", "is not JSON"],
        [
            "e.yaml is not a saga definition and is not loaded:\n  line 1, column 1",
            "$.sagaName",
            "expected the name of a saga",
        ],
    ]


def test_a_text_is_read_as_the_caller_says() -> None:
    in_json = read_definition(IN_JSON.format("Trip"), Format.JSON, source="trip", services=None, check=CHECK)
    assert (
        read_definition(IN_YAML.format("Trip"), Format.YAML, source="trip", services=None, check=CHECK).digest
        == in_json.digest
    )
    with pytest.raises(InvalidDefinition) as refused:
        read_definition(IN_YAML.format("Trip"), Format.JSON, source="trip", services=None, check=CHECK)
    assert [(fault.rule, fault.line, fault.column) for fault in refused.value.violations] == [(INVALID, 1, 1)]


def test_a_document_tells_places_to_whoever_finds_something_in_it() -> None:
    document = definition_document(IN_YAML.format("Trip"), Format.YAML, source="trip.yaml")
    assert document.places.position(("steps", 0, "transaction")) == (3, 20)
    assert document.places.position(("steps", 0, "timeout")) == (3, 3)
    assert document.places.position(()) == (1, 1)
