"""definitions/schema.json, as editors use it: it takes what the coordinator loads, and marks what it can."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings

from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import InvalidDefinition
from scripts.definition_schema import schema_text
from tests.unit.definitions.test_definition import FULL, SMALLEST, definitions
from tests.unit.definitions.test_wrong_definitions import (
    DEFINITION_KEYS,
    OTHER,
    RETRY_KEYS,
    STEP,
    STEP_KEYS,
    UNDO_RETRY_KEYS,
    saga,
    step,
    without,
)

DEFINITIONS: Final = Path(__file__).parents[3] / "definitions"
SCHEMA: Final[dict[str, Any]] = json.loads((DEFINITIONS / "schema.json").read_text())
SHIPPED: Final = sorted(path.name for path in DEFINITIONS.glob("*.json") if path.name != "schema.json")
EVERY_KEY: Final = {
    "$schema": "./schema.json",
    "sagaName": "Trip",
    "version": "2.1",
    "ttl": "1.5h",
    "maxParallel": 3,
    "sensitive": ["card"],
    "output": {"id": "outputs.pay.id", "all": ["input.a", 1, None, {"currency": "'EUR'"}]},
    "steps": [
        {
            **STEP,
            "dependsOn": [],
            "when": "has(input.car)",
            "defaultOutput": {"id": None},
            "input": ["order_id"],
        },
        {
            **OTHER,
            "kind": "pivot",
            "input": {"total": "input.total"},
            "compensationInput": {"id": "input.order_id"},
            "allow": ["sensitive-unnamed"],
            "retry": {"budget": "1h", "maxAttempts": None},
            "compensationRetry": {"initialBackoff": "2s", "multiplier": 1.5, "budget": "7d"},
            "onCompensationFailure": "continue",
        },
    ],
}
TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
NOTES: Final = {"$schema", "$defs", "title", "description", "default", "enumDescriptions"}
# What a keyword says of values of one type; of others it says nothing.
BOUNDS: Final[dict[str, tuple[type | tuple[type, ...], Callable[[Any, Any], object]]]] = {
    "pattern": (str, re.search),
    "minLength": (str, lambda bound, value: len(value) >= bound),
    "maxLength": (str, lambda bound, value: len(value) <= bound),
    "minItems": (list, lambda bound, value: len(value) >= bound),
    "maxItems": (list, lambda bound, value: len(value) <= bound),
    "minimum": ((int, float), lambda bound, value: value >= bound),
    "maximum": ((int, float), lambda bound, value: value <= bound),
}


def faults(schema: dict[str, Any], value: Any, path: str = "$") -> Iterator[str]:
    """Where *value* is not what *schema* says (draft 2020-12). Of a keyword unknown here, KeyError."""
    keyed: dict[str, Any] = value if isinstance(value, dict) else {}
    for keyword, said in schema.items():
        match keyword:
            case "$ref":
                yield from faults(SCHEMA["$defs"][said.removeprefix("#/$defs/")], value, path)
            case "type":
                kinds = [said] if isinstance(said, str) else said
                if not any(is_a(value, kind) for kind in kinds):
                    yield f"{path}: type"
            case "enum":
                if value not in said:
                    yield f"{path}: enum"
            case "anyOf" | "oneOf":
                right = sum(not any(faults(branch, value, path)) for branch in said)
                if not right or (keyword == "oneOf" and right > 1):
                    yield f"{path}: {keyword}"
            case "items":
                for index, entry in enumerate(value if isinstance(value, list) else ()):
                    yield from faults(said, entry, f"{path}[{index}]")
            case "required":
                for key in said if isinstance(value, dict) else ():
                    if key not in value:
                        yield f"{path}.{key}: {keyword}"
            case "properties":
                for key in said.keys() & keyed.keys():
                    yield from faults(said[key], keyed[key], f"{path}.{key}")
            case "additionalProperties":
                for key in keyed.keys() - schema.get("properties", {}).keys():
                    if said is False:
                        yield f"{path}.{key}: {keyword}"
                    else:
                        yield from faults(said, keyed[key], f"{path}.{key}")
            case _ if keyword not in NOTES:
                kind, holds = BOUNDS[keyword]
                if isinstance(value, kind) and not holds(said, value):
                    yield f"{path}: {keyword}"


def is_a(value: object, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def schemas(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """*part* and every schema in it."""
    yield part
    for keyword, said in part.items():
        below: Any = ()
        if keyword in ("properties", "$defs"):
            below = said.values()
        elif keyword in ("anyOf", "oneOf"):
            below = said
        elif keyword in ("items", "additionalProperties") and said is not False:
            below = [said]
        for schema in below:
            yield from schemas(schema)


def test_the_schema_beside_the_definitions_is_what_the_code_says() -> None:
    assert (DEFINITIONS / "schema.json").read_text() == schema_text()


def test_it_is_a_schema() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for part in schemas(SCHEMA):
        assert all(isinstance(part.get(note, ""), str) for note in ("$schema", "title", "description"))
        kinds = part.get("type", [])
        assert {kinds} if isinstance(kinds, str) else set(kinds) <= TYPES.keys()
        assert part.get("$ref", "#/$defs/step").removeprefix("#/$defs/") in SCHEMA["$defs"]
        re.compile(part.get("pattern", ""))
        assert set(part.get("required", ())) <= part.get("properties", {}).keys()
        assert len(part.get("enumDescriptions", part.get("enum", ()))) == len(part.get("enum", ()))
        if "default" in part:
            assert list(faults(part, part["default"])) == []


def test_it_speaks_of_definitions_and_not_of_our_code() -> None:
    text = (DEFINITIONS / "schema.json").read_text()
    for jargon in ("Definition", "Policy", "Kind", "LASTING", "pydantic", "_s"):
        assert f'"{jargon}' not in text
        assert f'{jargon}"' not in text
        assert f"`{jargon}`" not in text


def test_whoever_points_at_a_key_reads_what_it_means() -> None:
    for part in schemas(SCHEMA):
        for key, said in part.get("properties", {}).items():
            assert len(said["title"]) > 15, key
            assert key == "$schema" or len(said["description"]) > 8, key


def test_every_key_of_a_definition_is_in_the_schema() -> None:
    assert [*SCHEMA["properties"]][1:] == DEFINITION_KEYS.split(", ")
    assert [*SCHEMA["$defs"]["step"]["properties"]] == STEP_KEYS.split(", ")
    assert [*SCHEMA["$defs"]["retry"]["properties"]] == RETRY_KEYS.split(", ")
    assert [*SCHEMA["$defs"]["compensationRetry"]["properties"]] == UNDO_RETRY_KEYS.split(", ")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_definition_that_we_ship_satisfies_it(name: str) -> None:
    assert list(faults(SCHEMA, json.loads((DEFINITIONS / name).read_text()))) == []


@pytest.mark.parametrize("text", [SMALLEST, FULL, json.dumps(EVERY_KEY)])
def test_what_the_coordinator_loads_satisfies_it(text: str) -> None:
    parse_definition(text, source="trip.json")
    assert list(faults(SCHEMA, json.loads(text))) == []


@settings(deadline=None, max_examples=10)
@given(definitions())
def test_any_definition_satisfies_it(definition: SagaDefinition) -> None:
    assert list(faults(SCHEMA, json.loads(definition.text))) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "$: type"),
        (saga(), "$.steps: minItems"),
        (saga(STEP, sagaName="1st"), "$.sagaName: pattern"),
        (saga(STEP, version=1.0), "$.version: anyOf"),
        (saga(STEP, ttl="soon"), "$.ttl: anyOf"),
        (saga(STEP, maxParallel=0), "$.maxParallel: anyOf"),
        (saga(STEP, undo=True), "$.undo: additionalProperties"),
        (saga(STEP, output="input.a"), "$.output: anyOf"),
        ('{"sagaName": "Trip"}', "$.steps: required"),
        (without("compensation"), "$.steps[0].compensation: required"),
        (step(compensation=False), "$.steps[0].compensation: anyOf"),
        (step(timeout=10), "$.steps[0].timeout: type"),
        (step(timeout="10 s"), "$.steps[0].timeout: pattern"),
        (step(kind="final"), "$.steps[0].kind: enum"),
        (step(unless="x"), "$.steps[0].unless: additionalProperties"),
        (step(onCompensationFailure="stop"), "$.steps[0].onCompensationFailure: enum"),
        (step(retry=3), "$.steps[0].retry: type"),
        (step(retry={"multiplier": 0.5}), "$.steps[0].retry.multiplier: minimum"),
        (step(retry={"tries": 3}), "$.steps[0].retry.tries: additionalProperties"),
        (
            step(compensationRetry={"maxAttempts": 3}),
            "$.steps[0].compensationRetry.maxAttempts: additionalProperties",
        ),
        (step(dependsOn=["a step"]), "$.steps[0].dependsOn: anyOf"),
        (step(when=""), "$.steps[0].when: anyOf"),
        (step(input="order_id"), "$.steps[0].input: anyOf"),
        (step(input=[1]), "$.steps[0].input: anyOf"),
        (step(allow=["everything"]), "$.steps[0].allow: anyOf"),
    ],
)
def test_what_a_schema_can_tell_is_marked(text: str, told: str) -> None:
    assert list(faults(SCHEMA, json.loads(text))) == [told]


def test_a_definition_may_say_where_its_schema_is() -> None:
    pointing = SMALLEST.replace("{", '{"$schema": "./schema.json", ', 1)
    assert parse_definition(pointing, source="x").digest == parse_definition(SMALLEST, source="x").digest
    for wrong, path in (
        (pointing.replace('"./schema.json"', "1"), '$["$schema"]'),
        (step(**{"$schema": "./schema.json"}), '$.steps[0]["$schema"]'),
    ):
        with pytest.raises(InvalidDefinition) as refused:
            parse_definition(wrong, source="x")
        assert [fault.path for fault in refused.value.violations] == [path]
