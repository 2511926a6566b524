"""What an expression yields is JSON; where it yields nothing, the sentence tells why and quotes no data."""

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from coordinator.adapters.cel import CelExpressions, expressions
from coordinator.adapters.cel.bounds import GIVEN_BYTES_MAX, GIVEN_VALUES_MAX, Size, worst_steps
from coordinator.adapters.cel.language import Traits, traits
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Effort, Scope, holds, shape

CEL = CelExpressions()
SECRET: Final = "s3cret"
MIXED: Final = "convert one by int(…) or double(…), or write 2.0 for 2"
NO_JSON: Final = "expected a value that JSON has, found"
NO_ORDER: Final = (
    "map and filter go through a list, and '+' joins two: found map; the keys of an object have no order"
)
BY_PATH: Final = "or pass large values on by a plain path such as input.items"


def yielded(source: str, fields: dict[str, JsonValue] | None = None, **outputs: JsonValue) -> JsonValue:
    given = {f"outputs.{step}": output for step, output in outputs.items()}
    return CEL.evaluate(source, {"input": fields or {}, **given}, Effort())


def refusal(source: str, fields: dict[str, JsonValue] | None = None) -> str:
    with pytest.raises(NotEvaluated) as raised:
        yielded(source, fields)
    return raised.value.sentence


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("input.n + 1", 6),
        ("input.f * 2.0", 3.0),
        ("input.s + '!'", "é!"),
        ("input.n > 4 && !input.no", True),
        ("input.none", None),
        (
            "input.items.map(i, {'sku': i.sku, 'many': i.n > 1})",
            [{"sku": "A", "many": True}, {"sku": "B", "many": False}],
        ),
        ("input.items.filter(i, i.n > 1).map(i, i.sku)", ["A"]),
        ("input.items.map(i, i.sku).filter(s, s != 'A')", ["B"]),
        ("-input.items.map(i, i.n)[0]", -2),
        ("[input.items.map(i, i.n), [1].map(x, x)]", [[2, 1], [1]]),
        ("{'a': input.m}.a.k", "v"),
        ("size(.input.items.map(i, i.n))", 2),
        ("2 in .input.items.map(i, i.n)", True),
        ("outputs.reserve.id + string(input.n)", "R-15"),
        ("input.m.all(k, k == 'k')", True),
        ("1u", 1),
        ("input.big", 2**64 - 1),
        ("string(timestamp('2030-01-31T12:00:00Z') + duration('90m'))", "2030-01-31T13:30:00Z"),
        ("input.s.matches('^[éa]+$')", True),
        ("// of nothing\n size(input.s)", 1),
    ],
)  # fmt: skip
def test_an_expression_yields_json(source: str, value: JsonValue) -> None:
    fields: dict[str, JsonValue] = {
        "n": 5, "f": 1.5, "s": "é", "no": False, "none": None, "m": {"k": "v"}, "big": 2**64 - 1,
        "items": [{"sku": "A", "n": 2}, {"sku": "B", "n": 1}],
    }  # fmt: skip
    result = yielded(source, fields, reserve={"id": "R-1"})
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("input.m.missing + 1", "a field that it reads is missing: missing"),
        ("input.m['missing'] + 1", "a field that it reads is missing: missing"),
        ("input.m[input.s + input.s]", "a field that it reads is missing"),
        ("input.l[input.n * 100]", "an index in it is outside of its list"),
        ("input.l[input.s]", "a list in it is indexed by something else than a whole number"),
        ("input.n / 0", "it divides by zero"),
        ("input.n % 0", "it divides by zero"),
        ("input.n * 9223372036854775807", "a number in it leaves the range of 64 bits"),
        ("int(input.f * 1e300)", "a number in it leaves the range of 64 bits"),
        ("input.n.x.y + 1", "a field is read of something that is no object"),
        ("input.n[0] + 1", "an entry is taken of something that is neither a list nor an object"),
        ("int(input.s)", "a text in it is no whole number"),
        ("double(input.s)", "a text in it is no number"),
        ("bool(input.s)", "a value in it can not be converted"),
        ("string(timestamp(input.s))", "a text in it is no moment, such as 2030-01-31T12:00:00Z"),
        ("string(duration(input.s))", "a text in it is no length of time, such as 90s"),
        ("string(duration(input.long))", "a moment or a length of time in it is out of range"),
        ("{input.f: 1}", "a key of an object in it is no text"),
        ("{input.s: 1, input.s: 2}", "a key stands twice in an object that it makes"),
        ("input.n + input.f", f"'+' does not take (int, double): {MIXED}"),
        ("input.s < input.n", "'<' does not take (string, int)"),
        ("input.n.startsWith('a')", "startsWith does not take (int, string)"),
        ("input.n in input.s", "'in' does not take what it is given"),
        ("input.n ? 1 : 2", "a condition in it is neither true nor false"),
        ("input.n || false", "a condition in it is neither true nor false"),
        ("input.n.all(x, true)", "expected a list or an object to go through, found neither"),
        ("input.m.map(k, k)", NO_ORDER),
        ("input.l.all(x, input.l.all(y, y >= 0))", "it goes through more than 10000 entries in all"),
        ("[input.f, 0.0 / 0.0]", "it yields a number that JSON has not: infinite, or not a number"),
        ("input.f * 1e308 * 10.0", "it yields a number that JSON has not: infinite, or not a number"),
        ("{'a': dyn(b'x')}", f"{NO_JSON} bytes; a text is made of them by string(…)"),
        ("dyn(timestamp(0))", f"{NO_JSON} a moment; a text is made of it by string(…)"),
        ("dyn(type(input.s))", f"{NO_JSON} a type"),
        ("{input.n: 1}", "expected texts as the keys of an object, found another key; string(…) makes one"),
        ("input.s + '\\u0000'", "it yields a text that holds a NUL character"),
        ("outputs.unknown", "it can not be evaluated over what it is given"),
        ("(((", "it is no expression that is understood here"),
        ("input.huge + 1", "it reads a whole number of more than 64 bits: pass that on by a plain path"),
    ],
)  # fmt: skip
def test_what_yields_nothing_is_told_without_the_data(source: str, sentence: str) -> None:
    fields: dict[str, JsonValue] = {
        "m": {SECRET: 1}, "s": SECRET, "n": 5, "f": 1.5, "l": list(range(101)),
        "long": "99999999999h",
        **({"huge": 10**30} if "huge" in source else {}),
    }  # fmt: skip
    assert refusal(source, fields) == sentence


def test_a_missing_key_is_not_told_where_data_only_look_like_another_error() -> None:
    for key in ("divide by zero", "Key not found in map", 'a"b', "", "x\ny"):
        assert refusal("input.m[input.k]", {"m": {}, "k": key}) == "a field that it reads is missing"


def test_what_the_library_cannot_take_is_a_refusal() -> None:
    assert refusal("input.s + 'a'", {"s": "\ud800"}) == "it can not be evaluated over what it is given"


def test_more_is_not_given_than_can_be_looked_at_in_passing() -> None:
    assert yielded("size(input.l)", {"l": [0] * (GIVEN_VALUES_MAX - 3)}) == GIVEN_VALUES_MAX - 3
    too_many: list[JsonValue] = [
        [0] * GIVEN_VALUES_MAX,
        {str(n): 0 for n in range(GIVEN_VALUES_MAX)},
        [[0] * 1200, [0] * 1200],
    ]
    for many in too_many:
        assert refusal("size(input.l)", {"l": many}) == (
            f"it reads more than 2000 values: name fewer, {BY_PATH}"
        )
    assert yielded("size(input.s)", {"s": "é" * (GIVEN_BYTES_MAX // 2 - 1)}) == GIVEN_BYTES_MAX // 2 - 1
    too_large: list[JsonValue] = [
        "é" * (GIVEN_BYTES_MAX // 2),
        "x" * GIVEN_BYTES_MAX,
        {"x" * GIVEN_BYTES_MAX: 1},
    ]
    for large in too_large:
        assert refusal("size(input.s)", {"s": large}) == (f"it reads more than 64 KiB: name less, {BY_PATH}")


@pytest.mark.parametrize(
    "source",
    [
        "input.l.map(x, input.s + 'a').size()",
        "input.l.map(x, input.l.map(y, x + y)).size()",
        "(input.l + input.l + input.l + input.l).map(x, x)",
        "input.l.all(x, input.l.all(y, input.l == input.l || input.l == input.l))",
        "input.l.all(x, !input.s.contains(input.t))",
        "input.l.all(x, !input.s.matches('a[ab]{999}c'))",
        "input.l.all(x, input.l.all(y, size(input.s) > 0))",
    ],
)
def test_what_could_take_too_long_is_not_begun(source: str) -> None:
    fields: dict[str, JsonValue] = {"l": list(range(900)), "s": "ab" * 30_000, "t": "ab" * 1_000 + "b"}
    assert refusal(source, fields) == (
        "it could take too long with so much data, alone or with the rest of its mapping: "
        f"give it shorter lists or texts, {BY_PATH}"
    )


NOTHING: Final = Traits(
    chars=10, entries=1, macros=0, nested=False, joins=(0, 0, 0), list_joins=(0, 0, 0),
    comparisons=0, operations=0, searches=0, pattern_size=0,
)  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [
        {"macros": 1},
        {"joins": (1, 0, 0)},
        {"list_joins": (1, 0, 0)},
        {"comparisons": 1},
        {"operations": 1},
        {"searches": 1},
        {"pattern_size": 1},
    ],
)
def test_each_thing_that_takes_time_counts_and_more_so_for_larger_data(more: dict[str, Any]) -> None:
    something = replace(NOTHING, **more)
    smaller, larger = Size(values=20, longest=100, entries=10), Size(values=200, longest=1000, entries=100)
    assert (
        worst_steps(NOTHING, larger) == 0 < worst_steps(something, smaller) < worst_steps(something, larger)
    )


def test_joins_count_for_more_the_further_inside_they_stand() -> None:
    size = Size(values=100, longest=10, entries=50)
    nested = replace(NOTHING, macros=2, nested=True)
    places = [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    once = [worst_steps(replace(nested, joins=joins, list_joins=joins), size) for joins in places]
    assert once == sorted(once)
    assert traits("input.a + 'b' + input.l.map(x, x + x.l.map(y, y)[0])[0]").joins == (2, 1, 0)
    assert traits("input.l.map(x, (x.l + []).map(y, y + x + [1, 2].size()))").joins == (0, 1, 2)
    assert not traits("input.l.map(x, x).map(y, y)").nested
    assert traits("input.l.map(x, x.map(y, y))").nested


def test_beside_a_text_or_a_number_that_is_written_out_no_lists_are_joined_or_compared() -> None:
    assert traits("input.a + ' ' + input.b == 'x' || 1 + input.n != input.m + 2").list_joins == (0, 0, 0)
    assert traits("input.l.map(x, x.a + input.l + ['x'] + x[0])").list_joins == (0, 3, 0)
    assert traits("input.a == 'x' || 1 != input.n || 'y' in input.l").comparisons == 1
    assert traits("input.l == [1] || ['x'] != input.l || input.l[0] == input.m").comparisons == 3


def test_what_a_pattern_repeats_a_counted_number_of_times_is_so_much_larger() -> None:
    sizes = [
        traits(f"'a'.matches('{pattern}')").pattern_size for pattern in ("abcdefgh", "a{3}b{4}", "(a{3}){4}")
    ]
    assert sizes == [10, 10 * 4, 11 * 3 * 4]


def test_a_pattern_that_is_given_is_never_tried_though_nobody_checked_the_expression() -> None:
    fields: dict[str, JsonValue] = {"s": "a", "p": "a"}
    assert refusal("input.s.matches(input.p)", fields).startswith("it could take too long")


def test_a_lack_of_memory_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> JsonValue:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(expressions, "to_json", exhausted)
    assert refusal("1 + 1") == "it takes more memory than there is"


def test_ordinary_expressions_over_ordinary_data_are_not_refused_for_their_cost() -> None:
    item: dict[str, JsonValue] = {"sku": "A-1", "name": "a thing", "n": 2, "price": 10.5}
    uuid = "123e4567-e89b-12d3-a456-426614174000"
    fields: dict[str, JsonValue] = {
        "orders": [{"city": "Rome", "items": [item] * 5} for _ in range(25)],
        "items": [item] * 150,
        "ids": [str(n) for n in range(500)],
        "uuids": [uuid] * 200,
        "note": "x" * 4_000,
    }  # fmt: skip

    def alone(source: str, field: str) -> JsonValue:
        return yielded(source, {field: fields[field]})

    assert alone(
        "input.orders.map(o, o.items.map(i, i.name + ' ' + o.city + ', ' + i.sku))[24][4]", "orders"
    ) == ("a thing Rome, A-1")
    assert alone(
        "input.items.map(i, {'label': i.sku + ' ' + i.name, 'sum': double(i.n) * i.price})[0]", "items"
    ) == {
        "label": "A-1 a thing",
        "sum": 21.0,
    }
    assert (
        alone("input.ids.filter(i, i != '' && i != '0' && i.startsWith('9')).map(i, 'id-' + i)[0]", "ids")
        == "id-9"
    )
    pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    assert alone(f"input.uuids.all(u, u.matches('{pattern}'))", "uuids") is True
    assert alone("input.note.contains('xx') && size(input.note) > 10", "note") is True


def test_some_hundred_entries_may_be_gone_through_in_one_expression_or_several() -> None:
    lines: JsonValue = [{"price": n, "quantity": 2} for n in range(500)]
    assert yielded("input.items.map(i, i.price * i.quantity)[499]", {"items": lines}) == 998
    numbers: JsonValue = list(range(300))
    chained = "size(input.l.filter(n, n % 2 == 0).map(n, n * 10))"
    assert yielded(chained, {"l": numbers}) == 150
    mapping: JsonValue = {str(n): chained for n in range(20)}
    text = shape(mapping, Scope({"l": numbers}, {}), CEL.evaluate, place="input")
    assert json.loads(text) == {str(n): 150 for n in range(20)}


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("input.s.contains(input.t) ? 0 : 1", {"s": "ab" * 16_000, "t": "ab" * 8_000 + "b"}),
        ("size(input.l)", {"l": [0] * 1_000}),
        ("[input.l, input.l].map(l, l)", {"l": [0] * 300}),
    ],
)
def test_the_expressions_of_a_mapping_may_take_so_much_together_and_are_refused_alike_each_time(
    source: str, fields: dict[str, JsonValue]
) -> None:
    places = set()
    for _ in range(2):
        assert yielded(source, fields) is not None
        with pytest.raises(NotEvaluated, match="alone or with the rest of its mapping") as raised:
            shape([source] * 200, Scope(fields, {}), CEL.evaluate, place="input")
        places.add(raised.value.place)
    assert len(places) == 1
    assert places != {"input[0]"}


def test_a_result_is_bounded_while_it_is_read() -> None:
    fields: dict[str, JsonValue] = {"l": list(range(400)), "s": "x" * 5_000}
    sentence = "it yields more than 1572864 bytes or 10000 values"
    assert refusal("input.l.map(x, input.s)", fields) == sentence
    assert refusal("input.l.map(x, input.l)", fields) == sentence
    deep: JsonValue = 1
    for _ in range(63):
        deep = [deep]
    assert yielded("[input.d][0]", {"d": deep}) == deep
    assert refusal("[[input.d]]", {"d": deep}) == "what it yields is nested deeper than 64 levels"


@pytest.mark.parametrize("beside", [10**30, list(range(GIVEN_VALUES_MAX + 1)), "x" * 70_000])
@pytest.mark.parametrize(
    "source",
    [
        "outputs.a.price > 5",
        "outputs.a['price'] > 5 && has(outputs.a.beside)",
        "input.order.kind == 'x'",
        "has(input.order.beside) ? input.order.kind == 'x' : false",
        "input.order.items.all(i, i > 0)",
    ],
)
def test_what_stands_beside_the_data_that_an_expression_reads_fails_it_never(
    source: str, beside: JsonValue
) -> None:
    order: JsonValue = {"kind": "x", "items": [1], "beside": beside}
    scope = Scope({"order": order, "beside": beside}, {"a": {"price": 10, "beside": beside}})
    assert holds(source, scope, CEL.evaluate, place="when")
