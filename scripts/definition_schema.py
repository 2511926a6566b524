"""The JSON Schema of a definition, for the editors of those who write one: they complete, explain and mark.

It is made of the model that the coordinator reads definitions with, and says what a schema can say; how
steps fit together and what expressions yield, only the coordinator knows.
"""

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.language.durations import format_duration
from coordinator.domain.language.rules import RULES, Stage


def schema_text() -> str:
    """What stands in definitions/schema.json."""
    return json.dumps(definition_schema(), indent=2, ensure_ascii=False) + "\n"


def definition_schema() -> dict[str, Any]:
    """A schema of draft 2020-12."""
    made = SagaDefinition.model_json_schema(by_alias=True, schema_generator=_Generator)
    for part in made["$defs"].values():
        # A class has a name, and says more to those who read its code.
        del part["title"]
        part["description"] = part["description"].partition("\n\n")[0]
    schema = _in_plain_words(made)
    definitions = {_NAMES[name]: part for name, part in schema.pop("$defs").items()}
    definitions["step"]["properties"]["allow"]["anyOf"][0]["items"] |= _rules_to_allow()
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **schema,
        "title": "the definition of a saga",
        "properties": {"$schema": _SCHEMA, **schema["properties"]},
        "$defs": {**definitions, **_MAPPINGS},
    }


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:
        return False  # Without a title of its own, a field would be titled after its name.

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("type") == "string" and isinstance(made.get("default"), float):
            made["default"] = format_duration(made["default"])
        return made


def _in_plain_words(part: Any) -> Any:
    """*part* without the names of classes, and with what is known of an object that is a mapping."""
    match part:
        case {"type": "object", "additionalProperties": True}:
            return {"$ref": "#/$defs/mapping"}
        case {"$ref": str(name), **others}:
            return {"$ref": f"#/$defs/{_NAMES[name.rpartition('/')[2]]}", **others}
        case dict():
            # That nothing is said by default helps nobody.
            said = {key: value for key, value in part.items() if (key, value) != ("default", None)}
            return {key: _in_plain_words(value) for key, value in said.items()}
        case list():
            return [_in_plain_words(entry) for entry in part]
        case _:
            return part


def _rules_to_allow() -> dict[str, list[str]]:
    rules = {id_: rule for id_, rule in RULES.items() if rule.stage is not Stage.LOAD}
    return {"enum": list(rules), "enumDescriptions": [rule.sentence for rule in rules.values()]}


_NAMES: Final = {
    "StepDefinition": "step",
    "StepKind": "kind",
    "RetryPolicy": "retry",
    "CompensationRetryPolicy": "compensationRetry",
    "OnCompensationFailure": "onCompensationFailure",
}
_SCHEMA: Final = {"type": "string", "title": "where an editor finds this schema; it says nothing of the saga"}
_MAPPINGS: Final = {
    "mapping": {
        "type": "object",
        "description": "an object whose texts are expressions; what they yield stands in their places",
        "additionalProperties": {"$ref": "#/$defs/mapped"},
    },
    "mapped": {
        "description": (
            'a text is an expression in CEL, like "input.total" or "outputs.book.id"; a constant text is one '
            "in quotes of its own, like \"'EUR'\"; numbers, true, false and null are what they are"
        ),
        "anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"type": "array", "items": {"$ref": "#/$defs/mapped"}},
            {"$ref": "#/$defs/mapping"},
        ],
    },
}
