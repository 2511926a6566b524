"""What each step is given, and what a saga's input must have before anything is written."""

import json
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import InvalidJson
from coordinator.domain.ids import StepName
from coordinator.domain.inputs import OUTPUT_DEPTH_MAX, check_input, input_fields, step_input
from coordinator.domain.jsontext import JsonValue

INPUT: Final = '{"card":"tok-1","order":12345678901234567890123,"user":"u-1"}'
OUTPUTS: Final = {
    StepName("a"): '{"id":"A-1"}',
    StepName("b"): "null",
    StepName("c"): '[1,"x"]',
}


def a_saga(*inputs: list[str] | None) -> SagaDefinition:
    steps = []
    for name, chosen in zip("abcd", inputs, strict=False):
        step = {"service": "S", "transaction": name, "compensation": None}
        steps.append(step if chosen is None else {**step, "input": chosen})
    return parse_definition(json.dumps({"sagaName": "Trip", "steps": steps}), source="test")


def given_to(definition: SagaDefinition, name: str, saga_input: str = INPUT) -> str:
    return step_input(definition, saga_input, OUTPUTS.get, definition.positions[StepName(name)])


def test_by_default_a_step_gets_the_whole_input_and_what_earlier_steps_answered() -> None:
    definition = a_saga(None, None, None, None)
    assert given_to(definition, "c") == (
        '{"card":"tok-1","order":12345678901234567890123,"outputs":{"a":{"id":"A-1"},"b":null},"user":"u-1"}'
    )


def test_the_first_step_gets_empty_outputs() -> None:
    assert given_to(a_saga(None, None), "a") == (
        '{"card":"tok-1","order":12345678901234567890123,"outputs":{},"user":"u-1"}'
    )


def test_a_list_chooses_fields_and_leaves_all_else_out() -> None:
    definition = a_saga(["user"], ["user", "order"], [])
    assert given_to(definition, "a") == '{"user":"u-1"}'
    assert given_to(definition, "b") == '{"order":12345678901234567890123,"user":"u-1"}'
    assert given_to(definition, "c") == "{}"


def test_a_list_chooses_outputs_all_or_some() -> None:
    definition = a_saga(["outputs"], ["outputs"], ["outputs.a"], ["user", "outputs.c", "outputs.a"])
    assert given_to(definition, "a") == '{"outputs":{}}'
    assert given_to(definition, "b") == '{"outputs":{"a":{"id":"A-1"}}}'
    assert given_to(definition, "c") == '{"outputs":{"a":{"id":"A-1"}}}'
    assert given_to(definition, "d") == '{"outputs":{"a":{"id":"A-1"},"c":[1,"x"]},"user":"u-1"}'
    definition = a_saga(["user", "outputs", "card"], ["user", "outputs.a", "card"])
    assert given_to(definition, "a") == '{"card":"tok-1","outputs":{},"user":"u-1"}'
    assert given_to(definition, "b") == '{"card":"tok-1","outputs":{"a":{"id":"A-1"}},"user":"u-1"}'


def test_a_step_named_with_a_dot_can_be_chosen() -> None:
    steps: list[dict[str, object]] = [
        {"service": "S", "transaction": "t.a", "compensation": None},
        {"service": "S", "transaction": "b", "compensation": None, "input": ["outputs.t.a"]},
    ]
    definition = parse_definition(json.dumps({"sagaName": "Trip", "steps": steps}), source="test")
    outputs = {StepName("t.a"): "7"}
    assert step_input(definition, "{}", outputs.get, 1) == '{"outputs":{"t.a":7}}'


def test_what_comes_later_never_changes_the_text() -> None:
    definition = a_saga(None, ["user", "outputs"], None, None)
    for place in range(len(definition.steps)):
        before = {earlier.name: OUTPUTS[earlier.name] for earlier in definition.steps[:place]}
        text = step_input(definition, INPUT, before.get, place)
        assert text == step_input(definition, INPUT, OUTPUTS.get, place)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
FIELDS = st.dictionaries(
    st.sampled_from(["card", "order", "user", "é", "a b", "outputs.a"]),
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
)


@settings(deadline=None)
@given(FIELDS)
def test_the_text_is_canonical_whatever_the_input(fields: dict[str, JsonValue]) -> None:
    definition = a_saga(None, None, None)
    text = given_to(definition, "c", jsontext.canonical(fields))
    assert text == jsontext.canonical(jsontext.loads(text))
    assert jsontext.reload(text) == {**fields, "outputs": {"a": {"id": "A-1"}, "b": None}}


def test_an_answer_of_the_allowed_depth_keeps_a_later_input_readable() -> None:
    definition = a_saga(None, ["outputs"])
    deepest = "[" * OUTPUT_DEPTH_MAX + "]" * OUTPUT_DEPTH_MAX
    text = step_input(definition, "{}", {StepName("a"): deepest}.get, 1)
    assert jsontext.canonical(jsontext.loads(text)) == text
    deeper = step_input(definition, "{}", {StepName("a"): f"[{deepest}]"}.get, 1)
    with pytest.raises(InvalidJson, match="nested deeper than 64 levels"):
        jsontext.loads(deeper)


def test_without_an_object_as_input_no_step_is_given_anything() -> None:
    with pytest.raises(TypeError, match="object"):
        given_to(a_saga(None), "a", "[]")
    with pytest.raises(TypeError, match="a saga's input is an object"):
        input_fields("[1]")


def test_a_good_input_has_no_faults() -> None:
    assert check_input(a_saga(None), {}) == []
    assert check_input(a_saga(["user"], ["user", "outputs.a"]), {"user": None, "more": 1}) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "null"),
        (True, "true"),
        (12345, "a number"),
        (1.5, "a number"),
        ("tok-1", "a text"),
        ([], "an empty list"),
        (["tok-1"], "a list of 1"),
    ],
)
def test_an_input_is_an_object_and_is_not_quoted_where_it_is_not(value: JsonValue, found: str) -> None:
    violations = check_input(a_saga(None), value)
    assert [str(violation) for violation in violations] == [f"$: expected an object, found {found}"]


def test_the_name_outputs_is_reserved() -> None:
    violations = check_input(a_saga(None), {"outputs": {}})
    assert [str(violation) for violation in violations] == [
        "$.outputs: is a reserved name: there each step finds what earlier steps answered"
    ]


def test_each_field_that_a_step_asks_for_must_be_there() -> None:
    definition = a_saga(["user", "order"], ["user"], ["a b", "outputs"])
    violations = check_input(definition, {"order": 1})
    assert [str(violation) for violation in violations] == [
        "$.user: is missing; steps a, b need it",
        '$["a b"]: is missing; step c needs it',
    ]
