"""What is changed in a module, and how a change is called."""

from textwrap import dedent
from types import CodeType, FunctionType
from typing import Any

import pytest

from scripts.mutants import Module, enum_members
from scripts.mutate import explains_nothing, read_explained


def changes(statement: str, *, inside: str = "def f({}):\n    {}") -> set[str]:
    """What *statement*, in the only function of its module, is changed to."""
    module = Module("m", inside.format("a=None, b=None", statement), "m.py", {"Colour": ["RED", "BLUE"]})
    for mutant in module.mutants():
        module.compiled(mutant)
    return {mutant.after for mutant in module.mutants()}


def run(code: CodeType, variables: dict[str, Any]) -> dict[str, Any]:
    FunctionType(code, variables)()
    return variables


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a is b", {"x = a is not b"}),
        ("x = a and b", {"x = a", "x = b"}),
        ("x = not a", {"x = a"}),
        ("x = a - b", {"x = a + b"}),
        ("x = a | b", {"x = a", "x = b"}),
        ("x = 7", {"x = 8"}),
        ("x = True", {"x = False"}),
        ("x = 'text'", {"x = ''"}),
        ("x = ''", {"x = 'mutant'"}),
        ("x = f'text {a}'", {"x = ''"}),
        ("x = f'{a:>5}'", {"x = ''"}),
        ("x = Colour.RED", {"x = Colour.BLUE"}),
        ("x = Colour.mixed", set()),
        ("x = a if b else None", {"x = a if not b else None"}),
        ("x = [a, b]", {"x = [a]", "x = [b]"}),
        ("x = {a: b}", {"x = {}"}),
        ("x = f(a, k=b)", {"x = f(a)"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = sorted(a)", {"x = a"}),
        ("x = a.strip()", {"x = a"}),
        ("x = a[b:]", {"x = a[:]"}),
        ("x = [y for y in a if y]", {"x = [y for y in a if not y]", "x = [y for y in a if True]"}),
        ("x: int | None = a", set()),
        ("x: TypeAlias = tuple[a, b] | Callable[[a], b]", set()),
        ("x = list[a | b]()", set()),
        ("f(a)", {"pass"}),
        ("a.x = b", {"pass"}),
        ("a += b", {"a -= b", "pass"}),
        ("raise a", {"pass"}),
        ("return a", {"return None"}),
        ("return None", set()),
        ("'a docstring'", set()),
        ("if a: raise b", {"if not a:", "pass"}),
        ("for x in a: x = b", {"for x in ():"}),
    ],
)
def test_a_statement_goes_wrong_in_each_way_that_a_hand_may_slip(statement: str, expected: set[str]) -> None:
    assert changes(statement) == expected


def test_of_a_match_each_case_guard_and_alternative_may_be_missing() -> None:
    source = """
        def f(a, b):
            match a:
                case int() | str() if b:
                    a = b
                case Point(x=1, y=y):
                    a = y
        """
    changed = {mutant.after for mutant in Module("m", dedent(source), "m.py", {}).mutants()}
    assert {text for text in changed if "…" not in text} >= {
        "match a: case Point(x=1, y=y): ...",
        "match a: case int() | str() if b: ...",
    }
    assert any("case int() if b" in text for text in changed)
    assert any("if not b" in text for text in changed)
    assert any("if True" in text for text in changed)
    assert any("Point(y=y)" in text for text in changed)
    assert not any("Point(x=1)" in text for text in changed), "what a pattern names is needed"


def test_what_only_the_type_checker_sees_stays() -> None:
    source = """
        def f(a):
            match a:
                case int():
                    a = 1
                case _:
                    assert_never(a)
        """
    assert {mutant.after for mutant in Module("m", dedent(source), "m.py", {}).mutants()} == {
        "match a: case _: ...",
        "a = 2",
    }


def test_without_its_handler_a_try_lets_the_error_pass() -> None:
    module = Module("m", "try:\n    f()\nexcept OSError:\n    x = 1\n", "m.py", {})
    (unhandled,) = (mutant for mutant in module.mutants() if "if True" in mutant.after)

    def fails() -> None:
        raise FileNotFoundError

    run(module.compiled(), {"f": fails})
    with pytest.raises(FileNotFoundError):
        run(module.compiled(unhandled), {"f": fails})


def test_a_mutant_changes_its_own_code_and_no_other() -> None:
    module = Module("m", "x = 1\ny = 1\n", "m.py", {})
    results = []
    for mutant in (None, *module.mutants(), None):
        variables = run(module.compiled(mutant), {})
        results.append((variables["x"], variables["y"]))
    assert results == [(1, 1), (2, 1), (1, 2), (1, 1)]


def test_a_mutant_is_called_by_its_function_and_what_stands_around() -> None:
    source = """
        class C:
            limit = 3

            def f(self, a=1):
                if a:
                    return a
                if a:
                    return a
        """
    mutants = Module("m", dedent(source), "m.py", {}).mutants()
    assert [(mutant.key, mutant.is_loaded) for mutant in mutants] == [
        ("m.C: limit = 3 → limit = 4", True),
        ("m.C.f: def f(self, a=1): → def f(self, a=2):", True),
        ("m.C.f: if a: → if not a:", False),
        ("m.C.f: return a → return None", False),
        ("m.C.f: if a: → if not a: #2", False),
        ("m.C.f: return a → return None #2", False),
    ]
    assert mutants[2].lines[-1] == 6


def test_what_is_given_a_value_is_known_and_where_it_is_read() -> None:
    source = """
        LIMIT = 3
        class C:
            size: int = 3
            def f(self, a=LIMIT):
                return a < LIMIT + self.size
        """
    module = Module("m", dedent(source), "m.py", {})
    assert [set(mutant.names) for mutant in module.mutants()][:2] == [{"LIMIT"}, {"size"}]
    assert module.lines_with({"LIMIT"}) == {2, 5, 6}
    assert module.lines_with({"size", "nothing"}) == {4, 6}


def test_a_function_that_knows_its_class_is_loaded_with_it() -> None:
    source = """
        class C:
            def f(self):
                super().f()
                return 1

            def g(self):
                return 1
        """
    mutants = Module("m", dedent(source), "m.py", {}).mutants()
    assert [(mutant.function, mutant.is_loaded) for mutant in mutants] == [
        ("C.f", True),
        ("C.f", True),
        ("C.g", False),
    ]


def test_a_long_statement_is_told_where_it_changes() -> None:
    names = ", ".join("abcdefghijklmnopqrstuvwxyz")
    (mutant, *_) = Module("m", f"x = f({names}, sorted(y), {names})", "m.py", {}).mutants()
    before, after = "n, o, p, q, r, s, t, u, v, w, x, y, z, ", ", a, b, c, d, e, f, g, h, i, j, k, l, m,"
    assert mutant.key == f"m: …{before}sorted(y){after}… → …{before}y{after}…"


def test_the_members_of_an_enum_are_those_it_assigns() -> None:
    source = "class A(StrEnum):\n    '''Text.'''\n    X = auto()\n    Y = 'y'\n\nclass B:\n    Z = 1\n"
    assert enum_members(source) == {"A": ["X", "Y"]}


def test_one_sentence_may_explain_several_survivors() -> None:
    text = """
        # What is known.
        m.f: a → b
        m.f: a → c
            Both are
            the same.

        m.g: a → b
            It is slower.
        """
    assert read_explained(dedent(text)) == {
        "m.f: a → b": "Both are the same.",
        "m.f: a → c": "Both are the same.",
        "m.g: a → b": "It is slower.",
    }


def test_what_is_explained_and_no_mutant_any_more_is_found() -> None:
    mutants = Module("m", "x = 1\n", "m.py", {}).mutants()
    explained = ["m: x = 1 → x = 2", "m: y = 1 → y = 2", "m.f: a → b", "gone.f: a → b", "untried.f: a → b"]
    assert explains_nothing(explained, mutants, without={"untried"}) == explained[1:4]
