"""What an expression names is read off its text, and rather too much of it than too little."""

import pytest

from coordinator.domain.language.expression_reading import Path, Taken, position, reading, text_of


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("input.a + input.b.c", {"a", "b"}),
        ('input["a b"] == input.`c-d`', {"a b", "c-d"}),
        ("input . a // input.b", {"a"}),
        ("has(input.a) ? .input.b : 'input.c'", {"a", "b"}),
        ("x in .input.a", {"a"}),
        (r'r"\" + input.a + "\" + input.b"', {"a"}),
        ('"""a"b""" + input.a', {"a"}),
        ("b'input.b' == input.a", {"a"}),
        ("other.input.a", set()),
        ("(other).input.a + other[0].input.b + {'a': 1}.input.c", set()),
        ("outputs.reserve.input", set()),
        ("1", set()),
    ],
)
def test_the_fields_of_the_input_that_stand_in_code_are_named(source: str, fields: set[str]) -> None:
    assert reading(source).fields == frozenset(fields)


@pytest.mark.parametrize(
    "source",
    [
        "input",
        "input[key]",
        "size(input)",
        "input.size()",
        '"a" in input',
        r'input["\u0061"]',
        "input.a + input",
        'input["a" + "b"]',
        '[input, "a"]',
    ],
)
def test_what_names_no_certain_field_takes_the_whole_input(source: str) -> None:
    assert reading(source).fields is None


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        ("input.a.b > input.a['c d'].`e-f`", {"input": {"a": {"b": None, "c d": {"e-f": None}}}}),
        ("outputs.s.a.b + outputs.s.c", {"input": {}, "outputs.s": {"a": {"b": None}, "c": None}}),
        ("input.a.b + input.a", {"input": {"a": None}}),
        ("input.a + input.a.b", {"input": {"a": None}}),
        ("input.a.b + size(input)", {"input": None}),
        ("outputs.s == outputs.t.a", {"input": {}, "outputs.s": None, "outputs.t": {"a": None}}),
        # Only whether it is there.
        ("has(input.a.b)", {"input": {"a": {"b": {}}}}),
        ("has(.input.a) && input.a.b", {"input": {"a": {"b": None}}}),
        ("input.a.b && has(input.a)", {"input": {"a": {"b": None}}}),
        ("has(input.a) && input.a", {"input": {"a": None}}),
        ("input.a && has(input.a)", {"input": {"a": None}}),
        ("has(outputs.s)", {"input": {}, "outputs.s": None}),
        ("has(input.a || true)", {"input": {"a": None}}),
        ("size(input.a)", {"input": {"a": None}}),
        # From where on it is not certain.
        ("input.a.b[0].c", {"input": {"a": {"b": None}}}),
        ("input.a[input.b].c", {"input": {"a": None, "b": None}}),
        (r"input.a['\x62'].c", {"input": {"a": None}}),
        ("input.a['''b\rc'''].c", {"input": {"a": None}}),
        ("input.a.size() + input.b.c.map(x, x.y)", {"input": {"a": None, "b": {"c": None}}}),
        ("(input.a).b + [input.c][0].d", {"input": {"a": None, "c": None}}),
        ("'x' in input.a && input.b.c in input.d", {"input": {"a": None, "b": {"c": None}, "d": None}}),
        ("input.a.map(a, a.b + input.c.d)", {"input": {"a": None, "c": {"d": None}}}),
    ],
)
def test_of_what_is_named_only_what_is_read_is_taken(source: str, taken: dict[str, Taken]) -> None:
    assert reading(source).taken == taken


def test_what_is_taken_is_read_off_however_deep_it_stands() -> None:
    taken = reading("input" + ".a" * 10_000 + " + 1").taken["input"]
    for _ in range(10_000):
        assert taken is not None
        taken = taken["a"]
    assert taken is None


def test_steps_are_named_once_each_with_the_place_of_the_first() -> None:
    read = reading("outputs.a.id + outputs.b + .outputs\n.a.x + input.outputs.c")
    assert read.steps == (("a", 0), ("b", 15))
    assert read.outputs_alone is None


@pytest.mark.parametrize(
    "source",
    ["1 + outputs", '1 + outputs["a"]', "1 + outputs[key]", "1 + outputs.map(x, x)", "1 + outputs + outputs"],
)
def test_outputs_without_a_step_is_told_by_its_place(source: str) -> None:
    assert reading(source).outputs_alone == 4
    assert reading(source).steps == ()


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("input", Path(None, ())),
        (" .input.a.b ", Path(None, ("a", "b"))),
        ('input["a b"][0].c // where it is', Path(None, ("a b", 0, "c"))),
        (r'input[r"a\b"]', Path(None, ("a\\b",))),
        ("outputs.reserve", Path("reserve", ())),
        ("outputs.`reserve`.items[12]", Path("reserve", ("items", 12))),
    ],
)
def test_an_expression_that_only_says_where_a_value_stands_is_a_path(source: str, path: Path) -> None:
    assert reading(source).path == path


@pytest.mark.parametrize(
    "source",
    [
        "input.a + 1", "-input.a", "(input.a)", "input.a[-1]", "input.a[0u]", "input.a[1.0]", "input.a[0x1]",
        "input.a[key]", "input.a.size()", "outputs", "other.a", "'input'", "input.a input.b", "",
        r'input["\n"]', 'input[b"a"]', 'outputs["a"]', "input.a[0)", "input.a,0]",
    ],
)  # fmt: skip
def test_all_else_is_none(source: str) -> None:
    assert reading(source).path is None


def test_a_place_is_told_by_line_and_column() -> None:
    source = "one +\n  two"
    assert [position(source, start) for start in (0, 4, 6, source.index("two"))] == [
        (1, 1), (1, 5), (2, 1), (2, 3),
    ]  # fmt: skip


def test_a_literal_is_read_unless_it_takes_knowledge_of_escapes() -> None:
    known = {"'a'": "a", '"""a"b"""': 'a"b', r"r'\d'": r"\d", r"R'\d'": r"\d", "R'''a'''": "a"}
    assert {literal: text_of(literal) for literal in known} == known
    assert [text_of(literal) for literal in (r"'\d'", "b'a'", "B'a'", r"bR'a'")] == [None] * 4
