"""Whatever an expression says and is given: it yields JSON or is refused, and the same each time."""

from typing import Final, TypeAlias

import hypothesis.strategies as st
import pytest
from cel_expr_python import cel
from hypothesis import HealthCheck, given, settings

from coordinator.adapters.cel import CelExpressions
from coordinator.domain import jsontext
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expression_reading import Path, reading
from coordinator.domain.language.expressions import EXPRESSION_CHARS_MAX, Effort, Scope, Wanted, shape

CEL = CelExpressions()
FIELDS: Final = ("a", "b", "items", "text")
OUT_OF_BOUNDS: Final = ("it reads ", "it could take too long ")
QUICKLY: Final = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Texts: TypeAlias = st.SearchStrategy[str]


def joined(*parts: object) -> Texts:
    strategies = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*strategies).map("".join)


def larger(inner: Texts) -> Texts:
    signs = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", " in "])
    macros = st.sampled_from(["map", "filter", "all", "exists", "exists_one"])
    conversions = st.sampled_from(["string", "int", "double", "uint", "bytes", "bool", "dyn", "timestamp"])
    return st.one_of(
        joined("(", inner, signs, inner, ")"),
        joined(inner, ".", macros, "(x, ", inner, ")"),
        joined(conversions, "(", inner, ")"),
        joined(st.sampled_from(["size", "type"]), "(", inner, ")"),
        joined(inner, ".", st.sampled_from(["startsWith", "endsWith", "contains"]), "(", inner, ")"),
        joined(inner, ".matches('^a.?')"),
        joined(inner, ".", names),
        joined(inner, "[", inner, "]"),
        joined("(", inner, " ? ", inner, " : ", inner, ")"),
        joined("{", inner, ": ", inner, "}"),
        joined("[", inner, ", ", inner, "]"),
        joined("has(", inner, ".", names, ")"),
        joined("!", inner),
    )


def reads(inner: Texts) -> Texts:
    """What most often yields something, over fields of fields."""
    fields = joined("input.", names, steps) | joined("outputs.step", steps)
    return st.one_of(
        fields,
        joined("has(", fields, ".", names, ")"),
        joined(fields, " ", st.sampled_from(["==", "!=", "in", "||"]), " ", inner),
        fields.map(lambda path: f"[{path}.a, has({path}.a)]"),
        fields.map(lambda path: f"[{path}.a, {path}]"),
        joined("size(", fields, ")"),
        joined(fields, ".size()"),
        joined(fields, "[", inner, "]", steps),
        joined("(has(", fields, ".", names, ") ? ", inner, " : ", inner, ")"),
        joined("[", inner, ", ", inner, "]", steps),
        joined(fields, ".map(", st.sampled_from(["x", "a"]), ", [x, ", inner, "])"),
        joined(fields, ".exists(a, a", steps, " == ", inner, ")"),
        joined("(", inner, ")", steps),
    )


names = st.sampled_from(FIELDS)
steps = st.lists(
    joined(".", names) | joined("['", names, "']") | st.sampled_from([".`b`", "[r'a']", "['\\x61']", "[0]"]),
    max_size=2,
).map("".join)
roots = joined("input.", names) | st.sampled_from(["input", "outputs.step", "x", 'input["a"]', "input.`b`"])
literals = st.sampled_from(
    [
        "1", "0", "-1", "2u", "1.5", "1e308", "9223372036854775807", "'t'", '"é"', r"r'\'", "b'x'", "true",
        "null", "[]", "{}", "// no\n 1", "'''a'''", "timestamp(0)", "duration('1h')", "'input.b'",
    ]
)  # fmt: skip
expressions = st.recursive(roots | literals, larger, max_leaves=8).filter(
    lambda source: len(source) <= EXPRESSION_CHARS_MAX
)
paths = st.lists(st.sampled_from([".a", ".b", ".items", '["text"]', "[0]", "[1]"]), max_size=4).map("".join)
pieces = st.sampled_from([*"()[]{}.,'\"`r\\/ \n+?:", "input", "outputs", "map(x", "matches(", "a"])

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=4)
within_bounds = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just("a"),
    lambda inner: st.lists(inner, max_size=2) | st.fixed_dictionaries({"a": inner, "b": inner}),
    max_leaves=12,
)


def outcome(source: str, variables: dict[str, JsonValue]) -> "JsonValue | NotEvaluated":
    try:
        return CEL.evaluate(source, variables, Effort())
    except NotEvaluated as error:
        return error


def shaped(source: str, fields: dict[str, JsonValue], output: JsonValue) -> str | NotEvaluated:
    try:
        return shape({"v": source}, Scope(fields, {"step": output}), CEL.evaluate, place="input")
    except NotEvaluated as error:
        return error


@QUICKLY
@given(expressions, objects, values)
def test_it_yields_json_or_is_refused_and_the_same_each_time(
    source: str, fields: dict[str, JsonValue], output: JsonValue
) -> None:
    CEL.check(source, Wanted.JSON)
    variables: dict[str, JsonValue] = {"input": fields, "outputs.step": output}
    first, again = outcome(source, variables), outcome(source, variables)
    if isinstance(first, NotEvaluated):
        assert first.sentence
        assert str(first) == str(again)
    else:
        text = jsontext.canonical(first)
        jsontext.loads(text)
        assert not isinstance(again, NotEvaluated)
        assert jsontext.canonical(again) == text


@given(
    expressions | st.recursive(st.just("input.a"), reads, max_leaves=4),
    st.dictionaries(names, within_bounds, min_size=1),
    within_bounds,
)
@settings(QUICKLY, max_examples=200)
def test_what_an_expression_does_not_read_makes_no_difference(
    source: str, fields: dict[str, JsonValue], output: JsonValue
) -> None:
    whole = outcome(source, {"input": fields, "outputs.step": output})
    if isinstance(whole, NotEvaluated) and whole.sentence.startswith(OUT_OF_BOUNDS):
        return  # that may be so of what it does not read
    by_name = shaped(source, fields, output)
    if not isinstance(whole, NotEvaluated):
        assert by_name == jsontext.canonical({"v": whole})
        return
    assert isinstance(by_name, NotEvaluated)
    if reading(source).path is None:
        assert by_name.sentence == whole.sentence


@QUICKLY
@given(st.sampled_from(["input", "outputs.step"]), paths, objects, values)
def test_a_path_leads_where_cel_would_go(
    root: str, keys: str, fields: dict[str, JsonValue], output: JsonValue
) -> None:
    source = root + keys
    assert isinstance(reading(source).path, Path)
    by_cel = outcome(source, {"input": fields, "outputs.step": output})
    if isinstance(by_cel, NotEvaluated) and "64 bits: pass" in by_cel.sentence:
        return  # that is what paths are for
    walked = shaped(source, fields, output)
    if isinstance(by_cel, NotEvaluated):
        assert isinstance(walked, NotEvaluated)
    else:
        assert walked == jsontext.canonical({"v": by_cel})


@QUICKLY
@given(st.text(max_size=60) | st.lists(pieces, max_size=25).map("".join))
def test_any_text_is_read_and_checked_without_an_accident(source: str) -> None:
    tokens = reading(source).tokens
    assert all(source.startswith(token.text, token.start) for token in tokens)
    for fault in CEL.check(source, Wanted.JSON):
        assert fault.line >= 1
        assert fault.column >= 1
        assert fault.sentence


@pytest.mark.parametrize("source", ["input.m.map(k, k)", "[input.m].map(m, m.filter(k, true))"])
def test_no_order_of_chance_comes_out_of_an_object(source: str) -> None:
    fields: JsonValue = {"m": {"a": 1, "b": 2}}
    with pytest.raises(NotEvaluated, match="the keys of an object have no order"):
        CEL.evaluate(source, {"input": fields}, Effort())
    by_itself = cel.NewEnv(variables={"input": cel.Type.DYN}).compile(source).eval(data={"input": fields})
    assert by_itself.type() != cel.Type.ERROR, "the library refuses it by itself: `over_lists` may go"
