"""The small ways in which a module can be wrong: each mutant is its code with one thing changed.

What is changed is what a slip of the hand would change: a comparison, an operand, a constant, a statement or
an argument left out, another member of an enum. Annotations, docstrings, decorators and names for types stay
as they are: at run time they do nothing, or everything.
"""

import ast
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from types import CodeType
from typing import Final, TypeVar

Members = Mapping[str, Sequence[str]]
"""The members of each enum, by the name of its class."""

CONTEXT_MAX: Final = 40
"""So many characters of what stays the same are told on each side of what changes."""

_COMPARISONS: Final[Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_FUNCTIONS: Final[Mapping[str, str]] = {
    "all": "any",
    "any": "all",
    "endswith": "startswith",
    "max": "min",
    "min": "max",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
    "startswith": "endswith",
}
_ORDERINGS: Final = frozenset({"reversed", "sorted"})
_SHAPINGS: Final = frozenset({"casefold", "lower", "lstrip", "rstrip", "strip", "upper"})
_DECLARATIONS: Final = frozenset({"NewType", "TypeVar"})
_GENERICS: Final = frozenset({"Callable", "Literal", "defaultdict", "dict", "list", "set", "tuple", "type"})
_CONDITIONS: Final = frozenset({"test", "guard", "ifs"})
_LEFT_ALONE: Final = frozenset({"annotation", "decorator_list", "format_spec", "returns"})

_T = TypeVar("_T")
_Replacement = tuple[ast.AST | None, ast.AST]
"""What takes a node's place, and the part of that node that it is about."""


@dataclass(frozen=True, eq=False)
class Mutant:
    """The module with `owner.field` set to `value`."""

    module: str
    function: str
    """Its qualified name; empty for what belongs to none."""
    is_loaded: bool
    """Whether it changes what runs when the module is loaded: the bodies of classes and default values too.
    Anything else is a function's code, which can be exchanged while the module is in use, unless it has to
    know its class (`super`)."""
    lines: tuple[int, ...]
    """Of what changes; the first line of its statement comes last."""
    names: frozenset[str]
    """What its statement gives a value."""
    before: str
    after: str
    owner: ast.AST
    field: str
    value: object

    @property
    def file(self) -> str:
        """The name of the module's file, without its folder."""
        return self.module.rpartition(".")[2]

    @property
    def key(self) -> str:
        """What it is called: the same wherever in its file the function stands."""
        place = f"{self.module}.{self.function}" if self.function else self.module
        return f"{place}: {self.before} → {self.after}"


@dataclass(frozen=True)
class _Place:
    function: str
    is_loaded: bool
    statement: ast.stmt


class Module:
    """A module's source, and its mutants."""

    def __init__(self, name: str, source: str, filename: str, members: Members) -> None:
        self.name = name
        self.filename = filename
        self._members = members
        self._tree = ast.parse(source, filename)
        self._code = compile(self._tree, filename, "exec", dont_inherit=True)
        self._lines = defaultdict[str, list[int]](list)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Name | ast.Attribute):
                self._lines[node.id if isinstance(node, ast.Name) else node.attr].append(node.lineno)

    def compiled(self, mutant: Mutant | None = None) -> CodeType:
        """Its code, or that of *mutant*."""
        if mutant is None:
            return self._code
        with _Changed(mutant.owner, mutant.field, mutant.value):
            tree = ast.fix_missing_locations(self._tree)
            return compile(tree, self.filename, "exec", dont_inherit=True)

    def lines_with(self, names: Collection[str]) -> set[int]:
        """Where one of *names* is written."""
        return {line for name in names for line in self._lines.get(name, ())}

    def mutants(self) -> list[Mutant]:
        """All of them, in the order of the text. Where two read alike, the later ones are numbered."""
        counts = dict[str, int]()
        found = list[Mutant]()
        for statement in self._tree.body:
            for mutant in self._of(self._tree, "body", statement, _Place("", True, statement)):
                count = counts[mutant.key] = counts.get(mutant.key, 0) + 1
                found.append(mutant if count == 1 else replace(mutant, after=f"{mutant.after} #{count}"))
        return found

    def _of(self, owner: ast.AST, field: str, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        """The mutants of *node*, which is *owner*'s *field* or stands in that list."""
        if field in _LEFT_ALONE or _is_left_alone(node):
            return
        if isinstance(node, ast.stmt):
            place = replace(place, statement=node)
        for new, part in _replacements(owner, field, node, place.is_loaded, self._members):
            yield _mutant(self.name, place, (owner, field, node, new), part)
        for name, value in ast.iter_fields(node):
            inside = _inside(node, name, place)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._of(node, name, child, inside)


def enum_members(source: str) -> dict[str, list[str]]:
    """The members of the enums that *source* declares."""
    members = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
            assigned = (
                target for line in node.body if isinstance(line, ast.Assign) for target in line.targets
            )
            members[node.name] = [target.id for target in assigned if isinstance(target, ast.Name)]
    return members


class _Changed:
    """Sets an attribute for a while."""

    def __init__(self, owner: object, field: str, value: object) -> None:
        self._owner, self._field, self._value = owner, field, value
        self._before = getattr(owner, field)

    def __enter__(self) -> None:
        setattr(self._owner, self._field, self._value)

    def __exit__(self, *_: object) -> None:
        setattr(self._owner, self._field, self._before)


def _mutant(
    module: str, place: _Place, change: tuple[ast.AST, str, ast.AST, ast.AST | None], part: ast.AST
) -> Mutant:
    owner, field, node, new = change
    value: object = new
    siblings = getattr(owner, field)
    if isinstance(siblings, list):
        value = [new if sibling is node else sibling for sibling in siblings]
    before = _header(place.statement)
    if new is not None and node is place.statement:
        after = _header(new)
    else:
        with _Changed(owner, field, value):
            after = _header(place.statement)
    first: int = getattr(part, "lineno", place.statement.lineno)
    last: int = getattr(part, "end_lineno", first)
    lines = (*range(first, last + 1), place.statement.lineno)
    told = _excerpts(before, after)
    return Mutant(
        module=module,
        function=place.function,
        is_loaded=place.is_loaded,
        lines=lines,
        names=_names_given(place.statement),
        before=told[0],
        after=told[1],
        owner=owner,
        field=field,
        value=value,
    )


def _names_given(statement: ast.AST) -> frozenset[str]:
    match statement:
        case ast.Assign(targets=targets) | ast.Tuple(elts=targets):
            return frozenset[str]().union(*map(_names_given, targets))
        case ast.AnnAssign(target=target):
            return _names_given(target)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return frozenset({name})
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return frozenset({name})
    return frozenset()


def _inside(node: ast.AST, field: str, place: _Place) -> _Place:
    """The place of what is in that field of *node*."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return place
    name = f"{place.function}.{node.name}".lstrip(".")
    if isinstance(node, ast.ClassDef):
        return replace(place, function=name)
    is_bound = any(isinstance(inner, ast.Name) and inner.id == "super" for inner in ast.walk(node))
    return replace(place, function=name, is_loaded=place.is_loaded and (is_bound or field != "body"))


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()):
            return True  # a docstring, or a remark behind a constant
        case ast.Call(func=ast.Name(id=name)):
            return name in _DECLARATIONS
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return True  # the type checker sees that nothing comes there
        case ast.Subscript(value=ast.Name(id=name)):
            return name in _GENERICS
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _replacements(
    owner: ast.AST, field: str, node: ast.AST, is_loaded: bool, members: Members
) -> Iterator[_Replacement]:
    """What can stand in *node*'s place."""
    if field in _CONDITIONS:
        yield from _conditions(field, node)
    match node:
        case ast.stmt():
            yield from _statements(node)
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                for other in _COMPARISONS[type(op)]:
                    yield _with(node, ops=[*ops[:index], other(), *ops[index + 1 :]]), node
        case ast.BoolOp(values=values):
            for rest, part in _without_one(values):
                yield (rest[0] if len(rest) == 1 else _with(node, values=rest)), part
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand, node
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            # As the module is loaded, it makes names for types.
            if not is_loaded:
                yield left, node
                yield right, node
        case ast.BinOp(op=op):
            if type(op) in _OPERATORS:
                yield _with(node, op=_OPERATORS[type(op)]()), node
        case ast.Constant() | ast.JoinedStr():
            if not isinstance(owner, ast.JoinedStr):
                yield from _constants(node)
        case ast.Attribute(value=ast.Name(id=name), attr=member) if member in members.get(name, ()):
            others = members[name]
            other_member = others[(others.index(member) + 1) % len(others)]
            if other_member != member:
                yield _with(node, attr=other_member), node
        case ast.Call():
            yield from _calls(node)
        case ast.Tuple(elts=elements, ctx=ast.Load()) | ast.List(elts=elements, ctx=ast.Load()):
            if not isinstance(owner, ast.Subscript):
                for rest, part in _without_one(elements):
                    yield _with(node, elts=rest), part
        case ast.Set(elts=elements) if len(elements) > 1:
            for rest, part in _without_one(elements):
                yield _with(node, elts=rest), part
        case ast.Dict(keys=keys, values=values):
            for index, part in enumerate(values):
                yield _with(node, keys=_all_but(keys, index), values=_all_but(values, index)), part
        case ast.Slice(lower=lower, upper=upper):
            if lower is not None:
                yield _with(node, lower=None), lower
            if upper is not None:
                yield _with(node, upper=None), upper
        case ast.MatchOr(patterns=patterns):
            for fewer, pattern in _without_one(patterns):
                yield (fewer[0] if len(fewer) == 1 else _with(node, patterns=fewer)), pattern
        case ast.MatchClass(kwd_attrs=names, kwd_patterns=patterns):
            for index, pattern in enumerate(patterns):
                if not isinstance(pattern, ast.MatchAs):
                    left_names, left_patterns = _all_but(names, index), _all_but(patterns, index)
                    yield _with(node, kwd_attrs=left_names, kwd_patterns=left_patterns), pattern


def _conditions(field: str, node: ast.AST) -> Iterator[_Replacement]:
    # The others have replacements of their own, which say more.
    if isinstance(node, ast.expr) and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.copy_location(ast.UnaryOp(ast.Not(), node), node), node
    if field in {"guard", "ifs"}:
        yield ast.copy_location(ast.Constant(True), node), node


def _statements(node: ast.stmt) -> Iterator[_Replacement]:
    match node:
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield _with(node, value=ast.copy_location(ast.Constant(None), value)), value
        case ast.For(iter=iterated):
            yield _with(node, iter=ast.copy_location(ast.Tuple([], ast.Load()), iterated)), iterated
        case ast.Match(cases=cases) if len(cases) > 1:
            for fewer, case in _without_one(cases):
                if not _is_left_alone(case.body[0]):
                    yield _with(node, cases=fewer), case.pattern
        case ast.Try(handlers=handlers, finalbody=finalbody):
            for rest, handler in _without_one(handlers):
                if rest or finalbody:
                    yield _with(node, handlers=rest), handler.body[0]
                else:
                    yield ast.copy_location(ast.If(ast.Constant(True), node.body, []), node), handler.body[0]
        case ast.AugAssign(op=op) if type(op) in _OPERATORS:
            yield _with(node, op=_OPERATORS[type(op)]()), node
    if _can_be_left_out(node):
        yield ast.copy_location(ast.Pass(), node), node


def _can_be_left_out(node: ast.stmt) -> bool:
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            return True
        case ast.Return(value=None):
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
    return False


def _constants(node: ast.Constant | ast.JoinedStr) -> Iterator[_Replacement]:
    value = "…" if isinstance(node, ast.JoinedStr) else node.value
    match value:
        case bool():
            yield ast.copy_location(ast.Constant(not value), node), node
        case int() | float():
            yield ast.copy_location(ast.Constant(value + 1), node), node
        case str():
            yield ast.copy_location(ast.Constant("" if value else "mutant"), node), node


def _calls(node: ast.Call) -> Iterator[_Replacement]:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            yield _with(node, keywords=_all_but(node.keywords, index)), keyword
    match node.func, node.args:
        case ast.Name(id=name), _ if name in _FUNCTIONS:
            yield _with(node, func=_with(node.func, id=_FUNCTIONS[name])), node
        case ast.Attribute(attr=name), _ if name in _FUNCTIONS:
            yield _with(node, func=_with(node.func, attr=_FUNCTIONS[name])), node
        case ast.Name(id=name), [argument, *_] if name in _ORDERINGS:
            yield argument, node
        case ast.Attribute(attr=name, value=text), _ if name in _SHAPINGS:
            yield text, node


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of *node* with other *fields*."""
    copy = type(node)(**{**dict(ast.iter_fields(node)), **fields})
    return ast.copy_location(copy, node)


def _without_one(items: Sequence[_T]) -> Iterator[tuple[list[_T], _T]]:
    for index, item in enumerate(items):
        yield _all_but(items, index), item


def _all_but(items: Sequence[_T], index: int) -> list[_T]:
    return [*items[:index], *items[index + 1 :]]


def _header(node: ast.AST) -> str:
    """The text of a statement, in one line, without the statements inside."""
    blank: list[ast.stmt] = [ast.Expr(ast.Constant(...))]
    match node:
        case ast.Match(cases=cases):
            bare = _with(node, cases=[_with(case, body=blank) for case in cases])
        case ast.Try(handlers=handlers):
            bare = _with(node, body=blank, handlers=[_with(handler, body=blank) for handler in handlers])
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            bare = _with(node, body=blank, decorator_list=[])
        case ast.If() | ast.While() | ast.For() | ast.With():
            bare = _with(node, body=blank, **({} if isinstance(node, ast.With) else {"orelse": []}))
        case _:
            bare = node
    return " ".join(ast.unparse(bare).replace(":\n    ...", ":").split())


def _excerpts(before: str, after: str) -> tuple[str, str]:
    """Where the two differ, and what stands around."""
    if before == after:
        raise ValueError(f"nothing changes in: {before}")
    start = _same(before, after)
    end = _same(before[start:][::-1], after[start:][::-1])
    return _excerpt(before, start, end), _excerpt(after, start, end)


def _same(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _excerpt(text: str, start: int, end: int) -> str:
    first, last = max(0, start - CONTEXT_MAX), min(len(text), len(text) - end + CONTEXT_MAX)
    return ("…" if first else "") + text[first:last].strip() + ("…" if last < len(text) else "")
