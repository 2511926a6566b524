"""A mapping yields JSON in its own form; a path passes a value on as it is."""

from collections import UserDict
from collections.abc import Mapping
from typing import NoReturn

import pytest

from coordinator.domain import jsontext
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.jsontext import DEPTH_MAX, JsonValue
from coordinator.domain.language.expressions import (
    EFFORT_MAX,
    EXPRESSION_CHARS_MAX,
    MAPPING_DEPTH_MAX,
    MAPPING_EXPRESSIONS_MAX,
    YIELD_BYTES_MAX,
    Effort,
    Scope,
    expressions_in,
    holds,
    mapping_faults,
    shape,
)

SCOPE = Scope({"amount": 10**30, "items": [{"sku": "A"}], "secret": "s3cret"}, {"reserve": {"id": "R-1"}})


def told(source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
    """Stands for the evaluator: tells what it was asked."""
    return {"source": source, "given": dict(variables)}


def refusing(source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
    raise NotEvaluated(f"{source} is refused")


def nobody(source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
    raise AssertionError(f"{source} was given to the evaluator")


def nested(levels: int, innermost: JsonValue) -> JsonValue:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


def test_a_mapping_keeps_its_form_and_its_constants() -> None:
    mapping: JsonValue = {"b": [1, None, "input.amount", {"id": "outputs.reserve.id"}], "a": True, "c": 1.5}
    assert shape(mapping, SCOPE, nobody, place="input") == (
        '{"a":true,"b":[1,null,1000000000000000000000000000000,{"id":"R-1"}],"c":1.5}'
    )


def test_a_path_passes_whole_values_on_without_the_evaluator() -> None:
    assert shape({"i": "input.items", "o": "outputs.reserve"}, SCOPE, nobody, place="input") == (
        '{"i":[{"sku":"A"}],"o":{"id":"R-1"}}'
    )


def test_an_expression_is_given_only_what_it_names() -> None:
    text = shape({"x": "input.items + input.missing + outputs.reserve.id"}, SCOPE, told, place="input")
    assert text == (
        '{"x":{"given":{"input":{"items":[{"sku":"A"}]},"outputs.reserve":{"id":"R-1"}},'
        '"source":"input.items + input.missing + outputs.reserve.id"}}'
    )
    assert "s3cret" in shape({"x": "size(input)"}, SCOPE, told, place="input")


def test_of_what_it_names_an_expression_is_given_only_what_it_reads() -> None:
    entries: JsonValue = [1, {"a": 2}]
    fields: dict[str, JsonValue] = {"order": {"kind": "x", "items": [0]}, "list": entries, "text": "s3cret"}
    scope = Scope(fields, {"a": {"price": {"net": 10}, "trace": 10**30}, "b": [10**30]})

    def given(source: str) -> JsonValue:
        variables = jsontext.loads(shape(source, scope, told, place="input"))
        assert isinstance(variables, dict)
        return variables["given"]

    assert given("input.order.kind == 'x' && outputs.a.price.net > 5") == {
        "input": {"order": {"kind": "x"}},
        "outputs.a": {"price": {"net": 10}},
    }
    assert given("has(outputs.a.trace) && !has(outputs.a.other.field)") == {
        "input": {},
        "outputs.a": {"trace": None},
    }
    # What is no object has no fields, and its entries fail no expression.
    assert given("input.list.a + input.text.a + outputs.b.c + 1") == {
        "input": {"list": [], "text": None},
        "outputs.b": [],
    }
    assert given("input.list[1].a + 1") == {"input": {"list": entries}}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("input.missing", 'input has no field "missing"'),
        ("input.items[0].price", 'input.items[0] has no field "price"'),
        ("input.items[1]", "input.items has no entry 1; its first is 0"),
        ("input.items.sku", "expected input.items to be an object, found a list"),
        ("input.secret[0]", "expected input.secret to be a list, found a text"),
        ("outputs.reserve.id.x", "expected outputs.reserve.id to be an object, found a text"),
        ("outputs.ship.id", "no output of step ship is known"),
        ("outputs.ship.id + 1", "no output of step ship is known"),
        ("1 + 1", "1 + 1 is refused"),
    ],
)
def test_what_fails_is_told_by_its_place_and_without_data(source: str, sentence: str) -> None:
    with pytest.raises(NotEvaluated) as raised:
        shape({"a": 1, "list": [0, {"x y": source}]}, SCOPE, refusing, place="input")
    assert raised.value.place == 'input.list[1]["x y"]'
    assert raised.value.sentence == sentence


@pytest.mark.parametrize(
    ("value", "sort"),
    [
        (None, "null"), (False, "true or false"), (0, "a number"), (1.5, "a number"), ("s3cret", "a text"),
        (["s3cret"], "a list"), ({"s3cret": 1}, "an object"),
    ],
)  # fmt: skip
def test_of_a_value_that_does_not_fit_only_its_sort_is_told(value: JsonValue, sort: str) -> None:
    path = "input.x[0]" if isinstance(value, dict) else "input.x.y"
    with pytest.raises(NotEvaluated, match=f", found {sort}$"):
        shape(path, Scope({"x": value}, {}), nobody, place="input")


def test_of_two_failures_the_first_by_the_order_of_keys_is_told() -> None:
    mappings: list[JsonValue] = [{"b": "input.b", "a": "input.a"}, {"a": "input.a", "b": "input.b"}]
    for mapping in mappings:
        with pytest.raises(NotEvaluated, match=r'^input\.a: input has no field "a"$'):
            shape(mapping, SCOPE, nobody, place="input")


def test_many_names_of_one_large_value_are_refused_before_they_are_written() -> None:
    scope = Scope({"large": "x" * (1 << 19)}, {})
    asked = 0

    def counting(source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
        nonlocal asked
        asked += 1
        return variables["input"]

    with pytest.raises(NotEvaluated) as raised:
        shape({str(n): "size(input.large)" for n in range(100)}, scope, counting, place="output")
    assert (raised.value.place, asked) == ("output", 3)
    assert str(YIELD_BYTES_MAX) in raised.value.sentence


def test_a_mapping_may_yield_as_much_as_a_saga_may_hold() -> None:
    largest = "x" * (YIELD_BYTES_MAX - 2)
    assert len(shape("input.x", Scope({"x": largest}, {}), nobody, place="input")) == YIELD_BYTES_MAX
    with pytest.raises(NotEvaluated, match="larger than"):
        shape("input.x", Scope({"x": largest + "x"}, {}), nobody, place="input")


def test_effort_may_be_spent_to_the_last_step() -> None:
    effort = Effort()
    assert effort.take(EFFORT_MAX - 1)
    assert not effort.take(2)
    assert effort.take(1)
    assert not effort.take(1)


def test_an_output_is_read_once_however_often_it_is_named() -> None:
    read: list[str] = []

    class Outputs(UserDict[str, JsonValue]):
        def __getitem__(self, step: str) -> JsonValue:
            read.append(step)
            return self.data[step]

    scope = Scope({}, Outputs({"a": {"id": 1}, "b": 2}))
    text = shape({"x": "outputs.a.id", "y": ["outputs.a", "size(outputs.a)"]}, scope, told, place="input")
    assert '"x":1' in text
    assert read == ["a"]


def test_the_input_is_neither_copied_nor_changed_however_often_it_is_named() -> None:
    class Once(dict[str, JsonValue]):
        def keys(self) -> NoReturn:
            raise AssertionError("the input was copied")

        __iter__ = keys

    given = list[JsonValue]()

    def evaluate(source: str, variables: Mapping[str, JsonValue], effort: Effort) -> JsonValue:
        given.append(variables["input"])
        return 1

    fields = Once({"a": {"b": [1]}, "c": 2})
    mapping: JsonValue = ["input.a.b", "size(input)", "input.a", "input.a.b[0]"]
    assert shape(mapping, Scope(fields, {}), evaluate, place="input") == '[[1],1,{"b":[1]},1]'
    assert all(one is fields for one in given)
    assert dict(fields.items()) == {"a": {"b": [1]}, "c": 2}


def test_what_is_nested_too_deep_once_it_stands_in_the_mapping_is_refused() -> None:
    scope = Scope({"deep": nested(DEPTH_MAX - 2, None)}, {})
    assert shape({"a": ["input.deep"]}, scope, nobody, place="input")
    with pytest.raises(
        NotEvaluated, match=r"^input: what the mapping yields is nested deeper than 64 levels$"
    ):
        shape({"a": [["input.deep"]]}, scope, nobody, place="input")


def test_a_condition_is_true_or_false_and_nothing_else() -> None:
    scope = Scope({"yes": True, "no": False, "one": 1}, {})
    assert holds("input.yes", scope, nobody, place="when")
    assert not holds("input.no", scope, nobody, place="when")
    with pytest.raises(NotEvaluated, match=r"^when: expected true or false, found a number$"):
        holds("input.one", scope, nobody, place="when")
    with pytest.raises(NotEvaluated, match=r"^when: 1 > 2 is refused$"):
        holds("1 > 2", scope, refusing, place="when")


def test_expressions_are_found_in_the_order_of_the_canonical_text() -> None:
    mapping: JsonValue = {"b": "1", "a": [2, "3", {"c": "4"}], "d": None}
    assert list(expressions_in(mapping, ("input",))) == [
        (("input", "a", 1), "3"),
        (("input", "a", 2, "c"), "4"),
        (("input", "b"), "1"),
    ]


@pytest.mark.parametrize(
    ("mapping", "loc", "rule", "sentence"),
    [
        (
            {"a": "x" * (EXPRESSION_CHARS_MAX + 1)},
            ("input", "a"),
            "expression-too-large",
            "expected an expression of at most 500 characters, found one of 501",
        ),
        (
            {"a": [" \n"]},
            ("input", "a", 0),
            "expression-syntax",
            "expected an expression, found ' \\n'; an empty text is \"''\"",
        ),
        (
            {str(n): "1" for n in range(MAPPING_EXPRESSIONS_MAX + 5)},
            ("input",),
            "expression-too-large",
            "expected at most 200 expressions in one mapping, found more",
        ),
        (
            {"a": nested(MAPPING_DEPTH_MAX, 1)},
            ("input",),
            "expression-too-large",
            "expected a mapping of at most 16 levels, found a deeper one",
        ),
    ],
)
def test_a_mapping_that_is_too_large_or_holds_no_expression_is_told_once(
    mapping: JsonValue, loc: tuple[str | int, ...], rule: str, sentence: str
) -> None:
    faults = list(mapping_faults(mapping, ("input",)))
    assert [(fault.loc, fault.rule, fault.sentence) for fault in faults] == [(loc, rule, sentence)]


def test_a_mapping_at_its_limits_is_right() -> None:
    most: JsonValue = {str(n): "x" * EXPRESSION_CHARS_MAX for n in range(MAPPING_EXPRESSIONS_MAX)}
    assert not list(mapping_faults(most))
    assert not list(mapping_faults(nested(MAPPING_DEPTH_MAX, "1")))
