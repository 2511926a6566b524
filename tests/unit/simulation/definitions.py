"""Definitions for explorations."""

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.jsontext import JsonValue, canonical

EVALUATE = CelExpressions().evaluate


def a_step(name: str, **more: JsonValue) -> dict[str, JsonValue]:
    """A step that is tried once, and whose undo is tried for a short time."""
    return {
        "service": name.capitalize(),
        "transaction": name,
        "compensation": f"un{name}",
        "timeout": "1s",
        "retry": {"maxAttempts": 1},
        "compensationRetry": {"initialBackoff": "1s", "multiplier": 1, "maxBackoff": "1s", "budget": "3s"},
        **more,
    }


def a_saga(*steps: dict[str, JsonValue], **more: JsonValue) -> SagaDefinition:
    return parse_definition(
        canonical({"sagaName": "Any", "steps": list[JsonValue](steps), **more}), source="a test"
    )
