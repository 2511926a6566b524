"""What is wrong with an expression is told when it is loaded: where, by which rule, in our words."""

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.language.expressions import EXPRESSION_CHARS_MAX, Wanted

CEL = CelExpressions()

NO_PATTERN = "expected a regular expression as RE2 knows them, of a moderate size"
MIXED = "convert one by int(…) or double(…), or write 2.0 for 2"
NO_JSON = "expected a value that JSON has, found"
NO_LIST = "to go through, found something else; the keys of an object have no order"
CONSTANT = "it is the same for every saga, and fails:"


def faults(source: str, wanted: Wanted = Wanted.JSON) -> list[tuple[int, int, str, str]]:
    return [
        (w.line, w.column, w.rule.removeprefix("expression-"), w.sentence) for w in CEL.check(source, wanted)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "'EUR'", "input.a", "outputs.reserve.id", "input.a + outputs.b.c * 2", "1u", "[1, 'a', null]", "{}",
        "has(input.a) ? input.a : 'none'",
        "input.items.map(i, {'sku': i.sku, 'n': i.n})", "input.items.filter(i, i.n > 1).size()",
        "input.orders.all(o, o.items.exists(i, i.n == 1))", "'a' in input", "input.all(key, key != 'x')",
        "string(timestamp(input.at) + duration('1h'))", "timestamp(input.at).getFullYear()",
        'input.mail.matches("^[^@]+@[^@]+$")', r'input.code.matches(r"^\d{4}$")',
        "outputs.`reserve`.id", "input.`a-b`", "type(input.a) == int",
    ],
)  # fmt: skip
def test_a_right_expression_has_no_faults(source: str) -> None:
    assert not faults(source)


@pytest.mark.parametrize(
    ("source", "line", "column", "sentence"),
    [
        ("1 +", 1, 4, "expected an expression in CEL; the end is not expected here"),
        ("input.a = 1", 1, 9, "expected an expression in CEL; '= ' is not expected here"),
        ("input.a\n  b", 2, 3, "expected an expression in CEL; 'b' is not expected here"),
        ('{"a" 1}', 1, 6, "expected an expression in CEL; '1' is not expected here"),
        ("EUR", 1, 1, "expected an expression, found 'EUR'; a constant text is written in quotes: 'EUR'"),
        (
            "1 + inputs.a", 1, 11,
            "expected `input`, `outputs.<step>` or a name that a comprehension gives, found 'inputs.a'",
        ),
        ("input.?a", 1, 1, "'.?' is not known here"),
        ("99999999999999999999", 1, 1, "expected a whole number of 64 bits"),
        ("'\\ud800'", 1, 1, "expected an escape that CEL knows in this text"),
        ("[1].map(1, 2)", 1, 9, "expected a name in front of the comma: x in list.map(x, …)"),
        ("has(input)", 1, 5, "expected a field in has(…), as in has(input.note)"),
        ("let", 1, 1, "expected another name: this word is reserved"),
        ("dyn()", 1, 4, "expected other arguments of dyn, or another number of them"),
        ("'' + Foo{a: 1}.a", 1, 6, "messages are not known here; an object is written {'key': value}"),
        ("input.at.getHours('Europe/Berlin')", 1, 10,
            "getHours tells of UTC here, and takes no time zone: write getHours()"),
        ("[1].map(input, input)", 1, 5, "expected another name for what map goes through, found input"),
        ("matches(input.a, 'a')", 1, 1,
            'matches is written text.matches("pattern"), with the pattern as a constant'),
        ("input.a.matches(input.b)", 1, 9,
            'matches is written text.matches("pattern"), with the pattern as a constant'),
        ("input.a.matches('" + "a" * 100 + "')", 1, 9, "expected a pattern of at most 100 characters"),
        ("input.a.matches('(')", 1, 17, NO_PATTERN),
        (r"input.a.matches(r'\pL{1000}x')", 1, 17,
            NO_PATTERN),
    ],
)  # fmt: skip
def test_what_is_not_in_the_language_is_told(source: str, line: int, column: int, sentence: str) -> None:
    assert faults(source)[0] == (line, column, "syntax", sentence)


@pytest.mark.parametrize(
    "source", ["now()", "input.a.random()", "__not_strictly_false__(true)", "input.a.`map`(x, x)"]
)
def test_a_function_that_is_not_known_to_be_pure_is_not_taken(source: str) -> None:
    (fault,) = faults(source)
    assert fault[2] == "syntax"
    assert fault[3].startswith("expected one of the functions all, bool, ")


@pytest.mark.parametrize(
    ("source", "column", "sentence"),
    [
        ("1 + 'a'", 3, "'+' does not take (int, string)"),
        ("1 + 2.0", 3, f"'+' does not take (int, double): {MIXED}"),
        ("'a'.startsWith(1)", 15, "startsWith does not take (string, int)"),
        ("[1][input]", 4, "'[…]' does not take (list(int), map(string, dyn))"),
        ("(1).a", 4, "expected an object whose field is read, found int"),
        ("(1).all(x, true)", 2, "expected a list or an object to go through, found int"),
        ("b'a'", 1, f"{NO_JSON} bytes; a text is made of them by string(…)"),
        ("[timestamp(0)]", 1, f"{NO_JSON} a moment; a text is made of it by string(…)"),
        (
            "{'a': duration('1s')}", 1,
            f"{NO_JSON} a length of time; a text is made of it by string(…)",
        ),
        ("type(1)", 1, f"{NO_JSON} a type"),
        (
            "[{1: 2}]", 1,
            "expected texts as the keys of an object, found list(map(int, int)); string(…) makes one",
        ),
        (
            "['b'] + {'a': 1}.map(k, k)", 18,
            f"expected a list for map {NO_LIST}",
        ),
        (
            "input.filter(k, true)", 7,
            f"expected a list for filter {NO_LIST}",
        ),
        ("1 / 0", 1, f"{CONSTANT} it divides by zero"),
        ("'a\\u0000'", 1, f"{CONSTANT} it yields a text that holds a NUL character"),
    ],
)  # fmt: skip
def test_what_can_yield_nothing_that_is_used_is_told(source: str, column: int, sentence: str) -> None:
    assert faults(source) == [(1, column, "type", sentence)]


def test_a_condition_yields_true_or_false() -> None:
    assert not faults("input.a > 1 && has(input.b)", Wanted.CONDITION)
    assert not faults("input.a", Wanted.CONDITION)
    assert faults("size(input.a)", Wanted.CONDITION) == [(1, 1, "type", "expected true or false, found int")]


@pytest.mark.parametrize("source", ["dyn('x')", "[true, 'x'][1]", "{'a': 'x', 'b': true}.a"])
def test_a_condition_that_is_the_same_text_for_every_saga_is_none(source: str) -> None:
    assert faults(source, Wanted.CONDITION) == [
        (1, 1, "type", f"{CONSTANT} expected true or false, found a text")
    ]
    assert not faults(source)
    assert not faults(source.replace("'x'", "false"), Wanted.CONDITION)


def test_two_faults_are_told_at_once_and_what_follows_from_them_is_not() -> None:
    told = faults("foo.map(x, x) + (1 + 'a')")
    assert [(column, rule) for _, column, rule, _ in told] == [(1, "syntax"), (20, "type")]


@pytest.mark.parametrize("source", ['"abc', "1 + + * 2", "(1 + 'a').b", "foo.map(x, x)"])
def test_a_fault_that_only_follows_from_another_is_not_told(source: str) -> None:
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "(" * 40 + "1" + ")" * 40,
        "1" + "+1" * 40,
        "1" * (EXPRESSION_CHARS_MAX + 1),
        "",
        "[1].map(x, [1].map(y, [1].map(z, 1)))",
    ],
)
def test_what_is_too_large_to_look_at_is_told(source: str) -> None:
    assert [rule for _, _, rule, _ in faults(source)] == ["too-large"]
