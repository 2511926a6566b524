"""Learns what is known of a package from its annotations and values, again and again until nothing is new.

A name is of one kind throughout its function, so that what was a set once must not be anything else.
"""

import ast
from collections.abc import Sequence
from typing import Final

from tests.unseen.expressions import called, kind_of
from tests.unseen.facts import Facts, may_be_a_set
from tests.unseen.kinds import AWAITED, MANY, MAPPING, ROW, SET, Kind, entry, merged
from tests.unseen.modules import Function, Module, Scope


def learned(modules: Sequence[Module]) -> Facts:
    """What is known of *modules* together."""
    facts = Facts(modules)
    pupils = [_Pupil(facts, module) for module in modules]
    facts.has_grown = True
    while facts.has_grown:
        facts.has_grown = False
        for pupil in pupils:
            pupil.read()
    return facts


class _Pupil:
    """Learns from one module."""

    def __init__(self, facts: Facts, module: Module) -> None:
        self._facts = facts
        self._module = module
        self._lessons = [node for node in module.nodes if isinstance(node, _TEACH)]

    def read(self) -> None:
        """Learn from all of it, with what is known by now."""
        for node in self._lessons:
            match node:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._bind(target, self._kind(value))
                case ast.AnnAssign(target=target, annotation=annotation, value=value):
                    annotated = self._facts.annotated(self._module, annotation)
                    self._bind(target, merged(annotated, self._kind(value)))
                case ast.AugAssign(target=target, op=op, value=value):
                    self._bind(target, self._kind(ast.BinOp(target, op, value)))
                case ast.NamedExpr(target=target, value=value):
                    self._bind(target, self._kind(value))
                case ast.For() | ast.AsyncFor() | ast.comprehension():
                    self._bind(node.target, entry(self._kind(node.iter)))
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._read_function(node)
                case ast.Return():
                    self._read_return(node)
                case ast.Call():
                    self._read_call(node)
                case ast.Match():
                    self._read_match(node)

    def _kind(self, node: ast.AST | None) -> Kind | None:
        return kind_of(self._facts, self._module, node)

    def _bind(self, target: ast.AST, kind: Kind | None) -> None:
        """From here on it is known that *target* is of *kind*, whatever else it is."""
        match target:
            case ast.Name(id=name):
                self._bind_name(target, name, kind)
            case ast.Attribute(value=value, attr=name):
                owner = self._kind(value)
                self._facts.learn_attribute("" if owner is None else owner.what, name, kind)
            case ast.Subscript(value=value):
                held = self._kind(value)
                if held is None or held.what == MAPPING:
                    self._bind(value, Kind(MAPPING, (None, kind)))
            case ast.Starred(value=value):
                self._bind(value, Kind(MANY, (kind,)))
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                is_row = kind is not None and kind.what == ROW and len(kind.of) == len(elts)
                for place, each in enumerate(elts):
                    self._bind(each, kind.of[place] if kind is not None and is_row else entry(kind))

    def _bind_name(self, node: ast.AST, name: str, kind: Kind | None) -> None:
        holder = next(each for each in self._module.above(node) if isinstance(each, ast.ClassDef | Scope))
        if isinstance(holder, ast.ClassDef):
            self._facts.learn_attribute(self._class(holder), name, kind)
        else:
            self._facts.learn_name(holder, name, kind)

    def _class(self, written: ast.ClassDef) -> str:
        return f"{self._module.name}.{written.name}"

    def _read_function(self, function: Function) -> None:
        self._learn_result(function, self._facts.annotated(self._module, function.returns))
        owner = self._module.class_of(function)
        taken = [*function.args.posonlyargs, *function.args.args]
        if owner is not None and taken and not _is(function, "staticmethod"):
            self._facts.learn_name(function, taken.pop(0).arg, Kind(self._class(owner)))
        for place, arg in enumerate([*taken, *function.args.kwonlyargs]):
            kind = self._facts.annotated(self._module, arg.annotation)
            if may_be_a_set(arg.annotation):
                kind = merged(kind, self._facts.given(function, place, arg.arg))
            self._facts.learn_name(function, arg.arg, kind)
        if (rest := function.args.vararg) is not None:
            kind = self._facts.annotated(self._module, rest.annotation)
            self._facts.learn_name(function, rest.arg, Kind(MANY, (kind,)))
        if (rest := function.args.kwarg) is not None:
            kind = self._facts.annotated(self._module, rest.annotation)
            self._facts.learn_name(function, rest.arg, Kind(MAPPING, (None, kind)))

    def _read_return(self, node: ast.Return) -> None:
        function = self._module.scope(node)
        if node.value is not None and isinstance(function, Function) and may_be_a_set(function.returns):
            self._learn_result(function, self._kind(node.value))

    def _learn_result(self, function: Function, kind: Kind | None) -> None:
        owner = self._module.class_of(function)
        if isinstance(function, ast.AsyncFunctionDef) and not _yields(function):
            kind = Kind(AWAITED, (kind,))
        if owner is not None and _is(function, "property", "cached_property"):
            self._facts.learn_attribute(self._class(owner), function.name, kind)
        else:
            origin = self._module.name if owner is None else self._class(owner)
            self._facts.learn_result(origin, function.name, kind, is_method=owner is not None)

    def _read_call(self, call: ast.Call) -> None:
        """Who is given sets, and what is asked whether it is one."""
        func, args = called(self._module, call)
        if self._module.builtin(func) == "isinstance" and len(args) == 2 and _names_a_set(args[1]):
            self._bind(args[0], Kind(SET))
        owner = self._facts.class_named(self._module, func)
        name = "__init__" if owner is not None else getattr(func, "attr", getattr(func, "id", ""))
        places: list[tuple[int | str, ast.expr]] = [*enumerate(args)]
        places += [(keyword.arg or "", keyword.value) for keyword in call.keywords]
        for place, given in places:
            kind = self._kind(given)
            if kind is None or not kind.holds_sets:
                continue
            self._facts.learn_given(name, place, kind)
            if owner is not None:
                fields = self._facts.fields(owner)
                field = place if isinstance(place, str) else "".join(fields[place : place + 1])
                self._facts.learn_attribute(owner, field, kind)

    def _read_match(self, node: ast.Match) -> None:
        """What patterns take out of objects, and what they find to be a set."""
        for pattern in ast.walk(node):
            match pattern:
                case ast.MatchClass(cls=ast.Name(id="set" | "frozenset")):
                    self._bind(node.subject, Kind(SET))
                case ast.MatchClass(cls=cls, kwd_attrs=names, kwd_patterns=taken):
                    owner = self._facts.class_named(self._module, cls)
                    for name, each in zip(names, taken, strict=True):
                        if isinstance(each, ast.MatchAs) and each.name is not None:
                            kind = self._facts.attribute(None if owner is None else Kind(owner), name)
                            self._bind_name(each, each.name, kind)


def _is(function: Function, *decorators: str) -> bool:
    names = [getattr(each, "attr", getattr(each, "id", "")) for each in function.decorator_list]
    return any(name in decorators for name in names)


def _yields(function: Function) -> bool:
    return any(isinstance(each, ast.Yield) for each in ast.walk(function))


def _names_a_set(node: ast.expr) -> bool:
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    return "set" in names or "frozenset" in names


_TEACH: Final = (
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension),
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Return, ast.Call, ast.Match),
)
