"""Where the order of a set decides something: it differs from run to run, and nobody chose it."""

import ast
from collections.abc import Iterator, Sequence
from typing import Final

from tests.unseen.expressions import UNIONS, called, is_set
from tests.unseen.facts import Facts
from tests.unseen.modules import Found, Module

ORDER: Final = "set"


def ordered_sets(module: Module, facts: Facts) -> Sequence[Found]:
    """Where *module*, of a package of which *facts* are known, does something in the order of a set."""
    return sorted(
        {
            Found(taken.lineno, ORDER, f"the order of the set {ast.unparse(taken)} decides: {how}")
            for node in module.nodes
            for taken, how in _taken_in_order(module, facts, node)
            if is_set(facts, module, taken)
        }
    )


def _taken_in_order(module: Module, facts: Facts, node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """What *node* does something with in its order, if it has none of its own."""
    match node:
        case ast.For(iter=each) | ast.AsyncFor(iter=each):
            yield each, "it is iterated over"
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp() if not _is_free(module, node):
            for generator in node.generators:
                yield generator.iter, "it is iterated over"
        case ast.YieldFrom(value=each) | ast.AugAssign(op=ast.Add(), value=each):
            yield each, "it is iterated over"
        case ast.Starred(value=each, ctx=ast.Load()):
            if not isinstance(module.parents[node], ast.Set) and not _is_free(module, node):
                yield each, "it is unpacked"
        case ast.Assign(targets=targets, value=each):
            # One that must have a single entry has no order.
            if any(isinstance(to, ast.Tuple | ast.List) and len(to.elts) > 1 for to in targets):
                yield each, "it is unpacked"
        case ast.FormattedValue(value=each) | ast.BinOp(op=ast.Mod(), right=each):
            yield each, "it is shown"
        case ast.Call(func=ast.Attribute(value=each, attr="pop"), args=[]):
            yield each, "any of it is taken"
        case ast.Call():
            yield from _given(module, facts, node)


def _given(module: Module, facts: Facts, call: ast.Call) -> Iterator[tuple[ast.expr, str]]:
    """The arguments of *call* if it may look into them, and that is not looked at by itself."""
    func, args = called(module, call)
    name = getattr(func, "attr", "")
    if _asks_no_order(module, call) or (_is_passed_on(module, call) and _is_free(module, call)):
        return
    if name in _KEEP or (name not in _LOOK_INTO and facts.has_code_of(module, func)):
        return
    for each in (*args, *(keyword.value for keyword in call.keywords)):
        if not isinstance(each, ast.Starred):
            yield each, f"it is given to {ast.unparse(func)}"


def _is_free(module: Module, node: ast.AST) -> bool:
    """Whether whoever takes *node* asks for no order."""
    holder = module.parents[node]
    if isinstance(holder, ast.Starred | ast.keyword):
        holder = module.parents[holder]
    if not isinstance(holder, ast.Call) or holder.func is node:
        return False
    return _asks_no_order(module, holder) or (_is_passed_on(module, holder) and _is_free(module, holder))


def _asks_no_order(module: Module, call: ast.Call) -> bool:
    name = module.builtin(call.func)
    if name in _SORT:
        return all(keyword.arg != "key" for keyword in call.keywords)
    is_of_sets = isinstance(call.func, ast.Attribute) and call.func.attr in _OF_SETS
    return is_of_sets or name in _FREE or module.whole_name(call.func) in _FREE


def _is_passed_on(module: Module, call: ast.Call) -> bool:
    return module.builtin(call.func) in _PASS_ON


_FREE: Final = (
    *("len", "sum", "any", "all", "set", "frozenset", "bool", "isinstance"),
    *("asyncio.wait", "typing.cast", "copy.copy", "dataclasses.replace"),
)
_SORT: Final = ("sorted", "min", "max")
"""Where two entries have the same `key`, the one that came first is in front."""
_PASS_ON: Final = ("map", "filter", "iter", "list", "tuple")
"""Whether the order decides is up to whoever takes what they return."""
_OF_SETS: Final = (
    *("update", "issubset", "issuperset", "isdisjoint"),
    *(*UNIONS, *(f"{name}_update" for name in UNIONS)),
)
_KEEP: Final = ("append", "appendleft", "insert", "add", "put", "put_nowait", "get", "setdefault", "pop")
"""Methods that hold or return what they are given."""
_LOOK_INTO: Final = ("join", "extend", "extendleft", "fromkeys")
"""Methods of Python's that take all there is, one after the other."""
