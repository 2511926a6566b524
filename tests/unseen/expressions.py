"""Reads what an expression stands for off its form, and off what is known of the names in it."""

import ast
from collections.abc import Sequence
from typing import Final

from tests.unseen.facts import Facts
from tests.unseen.kinds import AWAITED, MANY, MAPPING, ROW, SET, VIEW, Kind, any_of, entry, merged
from tests.unseen.modules import Module

UNIONS: Final = ("union", "intersection", "difference", "symmetric_difference")
"""Methods that only sets have, and that make sets."""


def kind_of(facts: Facts, module: Module, node: ast.AST | None) -> Kind | None:
    """What the expression *node* of *module* stands for, as far as it is known."""
    match node:
        case ast.Set(elts=elts):
            return Kind(SET, (_any(facts, module, elts),))
        case ast.SetComp(elt=elt):
            return Kind(SET, (kind_of(facts, module, elt),))
        case ast.List(elts=elts):
            return Kind(MANY, (_any(facts, module, elts),))
        case ast.ListComp(elt=elt) | ast.GeneratorExp(elt=elt):
            return Kind(MANY, (kind_of(facts, module, elt),))
        case ast.Tuple(elts=elts):
            return Kind(ROW, tuple(kind_of(facts, module, each) for each in elts))
        case ast.Dict(keys=keys, values=values):
            return Kind(MAPPING, (_any(facts, module, keys), _any(facts, module, values)))
        case ast.DictComp(key=key, value=value):
            return Kind(MAPPING, (kind_of(facts, module, key), kind_of(facts, module, value)))
        case ast.Name():
            return facts.name(module, node)
        case ast.Attribute(value=value, attr=name):
            if (whole_name := module.whole_name(node)) is not None and facts.imported(whole_name) is not None:
                return facts.imported(whole_name)
            return facts.attribute(_owner(facts, module, value), name)
        case ast.Subscript(value=value, slice=key):
            return _item(kind_of(facts, module, value), key)
        case ast.Call():
            return _result(facts, module, node)
        case ast.NamedExpr(value=value) | ast.Starred(value=value):
            return kind_of(facts, module, value)
        case ast.Await(value=value):
            waited_for = kind_of(facts, module, value)
            return entry(waited_for) if waited_for is not None and waited_for.what == AWAITED else None
        case ast.IfExp(body=body, orelse=orelse):
            return _any(facts, module, [body, orelse])
        case ast.BoolOp(values=values):
            return _any(facts, module, values)
        case ast.BinOp(left=left, right=right):
            return _combined(kind_of(facts, module, left), kind_of(facts, module, right))
    return None


def is_set(facts: Facts, module: Module, node: ast.AST) -> bool:
    kind = kind_of(facts, module, node)
    return kind is not None and kind.what == SET


def called(module: Module, call: ast.Call) -> tuple[ast.expr, Sequence[ast.expr]]:
    """What *call* calls, sooner or later, and with what."""
    if module.whole_name(call.func) == "functools.partial" and call.args:
        return call.args[0], call.args[1:]
    return call.func, call.args


def _any(facts: Facts, module: Module, nodes: Sequence[ast.expr | None]) -> Kind | None:
    return any_of(kind_of(facts, module, node) for node in nodes)


def _owner(facts: Facts, module: Module, node: ast.expr) -> Kind | None:
    """What has the attribute or method that is asked of *node*: an object's class, or that class itself."""
    kind = kind_of(facts, module, node)
    if kind is None and (named := facts.class_named(module, node)) is not None:
        return Kind(named)
    return kind


def _combined(left: Kind | None, right: Kind | None) -> Kind | None:
    """What an operator makes of the two: of sets, a set."""
    for each in (left, right):
        if each is not None and each.what in (SET, VIEW):
            return Kind(SET, each.of)
    return merged(left, right)


def _item(held: Kind | None, key: ast.expr) -> Kind | None:
    match held, key:
        case Kind(what="mapping", of=(_, value)), _:
            return value
        case Kind(what="row", of=parts), ast.Constant(value=int(index)) if -len(parts) <= index < len(parts):
            return parts[index]
        case Kind(what="many" | "row" | "mixed"), _:
            return Kind(MANY, (entry(held),)) if isinstance(key, ast.Slice) else entry(held)
    return None


def _result(facts: Facts, module: Module, call: ast.Call) -> Kind | None:
    func, whole_name = call.func, module.whole_name(call.func) or ""
    own = module.builtin(func) or whole_name
    if own in _RESULTS:
        return _of_python(facts, module, call, _RESULTS[own])
    if isinstance(func, ast.Subscript):
        return facts.annotated(module, func)
    if (owner := facts.class_named(module, func)) is not None:
        return Kind(owner)
    if isinstance(func, ast.Attribute) and facts.function(whole_name) is None:
        return _of_method(facts, module, call, func)
    return facts.function(whole_name or f"{module.name}.{getattr(func, 'id', '')}")


def _of_python(facts: Facts, module: Module, call: ast.Call, what: str) -> Kind | None:
    kinds = [kind_of(facts, module, each) for each in call.args]
    first = kinds[0] if kinds else None
    match what:
        case "itself":
            return first
        case "entry":
            return entry(first)
        case "numbered":
            return Kind(MANY, (Kind(ROW, (None, entry(first))),))
        case "rows":
            return Kind(MANY, (Kind(ROW, tuple(map(entry, kinds))),))
        case "two sets":
            return Kind(AWAITED, (Kind(ROW, (Kind(SET), Kind(SET))),))
        case "annotated":
            return facts.annotated(module, call.args[0])
        case "made":
            makers = [each.value for each in call.keywords if each.arg == "default_factory"]
            return _result(facts, module, ast.Call(makers[0], [], [])) if makers else None
        case "mapping to what is made":
            value = _result(facts, module, ast.Call(call.args[0], [], [])) if call.args else None
            return Kind(MAPPING, (None, value))
    return Kind(what, (entry(first),))


def _of_method(facts: Facts, module: Module, call: ast.Call, method: ast.Attribute) -> Kind | None:
    name, owner = method.attr, _owner(facts, module, method.value)
    if name in UNIONS:
        return Kind(SET)
    match owner, name:
        case Kind(what="mapping", of=(_, value)), "get" | "pop" | "setdefault":
            return merged(value, _any(facts, module, call.args[1:]))
        case Kind(what="mapping", of=(_, value)), "values":
            return Kind(MANY, (value,))
        case Kind(what="mapping", of=(key, _)), "keys":
            return Kind(VIEW, (key,))
        case Kind(what="mapping", of=of), "items":
            return Kind(VIEW, (Kind(ROW, of),))
        case Kind(what="many" | "set", of=(each,)), "pop" | "popleft":
            return each
        case Kind(what="many" | "set" | "mapping"), "copy":
            return owner
    return facts.method(owner, name)


_RESULTS: Final = {
    "set": SET,
    "frozenset": SET,
    "weakref.WeakSet": SET,
    "asyncio.all_tasks": SET,
    "list": MANY,
    "tuple": MANY,
    "sorted": MANY,
    "reversed": MANY,
    "iter": MANY,
    "collections.deque": MANY,
    "next": "entry",
    "min": "entry",
    "max": "entry",
    "enumerate": "numbered",
    "zip": "rows",
    "asyncio.wait": "two sets",
    "asyncio.shield": "itself",
    "asyncio.wait_for": "itself",
    "copy.copy": "itself",
    "dataclasses.replace": "itself",
    "typing.cast": "annotated",
    "dataclasses.field": "made",
    "collections.defaultdict": "mapping to what is made",
}
"""What Python's own functions return, of what they are given."""
