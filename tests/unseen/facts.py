"""What is known of a package: of its variables, attributes, results and parameters, and of what is annotated.

Where it is not known whose attribute or method is asked for, any of that name will do: so more is taken for a
set than is one, but never less.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import Final

from tests.unseen.kinds import AWAITED, MANY, MAPPING, ROW, SET, Kind, any_of, cut, merged
from tests.unseen.modules import Function, Module, Scope

_Fact = tuple[object, ...]


class Facts:
    """Of *modules*, which know each other."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self._known: dict[_Fact, Kind] = {}
        self._modules = {module.name: module for module in modules}
        self._classes: dict[str, tuple[Module, ast.ClassDef]] = {}
        self._aliases: dict[str, tuple[Module, ast.expr]] = {}
        self._annotated: dict[ast.AST | None, Kind | None] = {}
        self._functions = set[str]()
        self.has_grown = False
        """Whether anything was learned since somebody said that it was not."""
        for module in modules:
            for node in module.nodes:
                match node:
                    case ast.ClassDef(name=name):
                        self._classes[f"{module.name}.{name}"] = module, node
                    case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                        self._functions.add(name)
            for statement in module.tree.body:
                match statement:
                    case (
                        ast.Assign(targets=[ast.Name(id=name)], value=value)
                        | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                    ) if _may_be_a_type(value):
                        self._aliases[f"{module.name}.{name}"] = module, value

    # What is learned.

    def learn_name(self, scope: Scope, name: str, kind: Kind | None) -> None:
        self._learn((scope, name), kind)

    def learn_attribute(self, owner: str | None, name: str, kind: Kind | None) -> None:
        self._learn(("attribute", owner, name), kind)
        if kind is not None and kind.holds_sets:
            self._learn(("attribute", None, name), kind)

    def learn_result(self, owner: str, name: str, kind: Kind | None, *, is_method: bool) -> None:
        self._learn(("result", owner, name), kind)
        if is_method and kind is not None and kind.holds_sets:
            self._learn(("result", None, name), kind)

    def learn_given(self, function: str, place: int | str, kind: Kind | None) -> None:
        """What some call gives to any function of this name."""
        self._learn(("given", function, place), kind)

    def _learn(self, fact: _Fact, kind: Kind | None) -> None:
        known = self._known.get(fact)
        new = cut(merged(known, kind))
        if new is not None and new != known:
            self._known[fact] = new
            self.has_grown = True

    # What is known.

    def name(self, module: Module, node: ast.Name) -> Kind | None:
        for scope in module.above(node):
            if isinstance(scope, Scope) and (kind := self._known.get((scope, node.id))) is not None:
                return kind
        return self.imported(module.whole_name(node))

    def imported(self, whole_name: str | None) -> Kind | None:
        origin, _, name = (whole_name or "").rpartition(".")
        return self._known.get((self._modules[origin].tree, name)) if origin in self._modules else None

    def attribute(self, owner: Kind | None, name: str) -> Kind | None:
        return self._of_class("attribute", owner, name)

    def method(self, owner: Kind | None, name: str) -> Kind | None:
        """What a method returns."""
        return self._of_class("result", owner, name)

    def function(self, whole_name: str) -> Kind | None:
        """What a function returns."""
        origin, _, name = whole_name.rpartition(".")
        return self._known.get(("result", origin, name))

    def given(self, function: Function, place: int, name: str) -> Kind | None:
        by_place = self._known.get(("given", function.name, place))
        return merged(by_place, self._known.get(("given", function.name, name)))

    def class_named(self, module: Module, node: ast.AST) -> str | None:
        """The whole name of the class that *node* names, if it is of this package."""
        name = module.whole_name(node) or (f"{module.name}.{node.id}" if isinstance(node, ast.Name) else "")
        return name if name in self._classes else None

    def fields(self, owner: str) -> Sequence[str]:
        """What a class is made of, in the order in which it is given."""
        annotated = (each for each in self._classes[owner][1].body if isinstance(each, ast.AnnAssign))
        return [each.target.id for each in annotated if isinstance(each.target, ast.Name)]

    def has_code_of(self, module: Module, called: ast.expr) -> bool:
        """Whether what *called* does, or its like, stands in this package."""
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        return name in self._functions or self.class_named(module, called) is not None

    def _of_class(self, fact: str, owner: Kind | None, name: str) -> Kind | None:
        for each in self._lineage(owner):
            if (kind := self._known.get((fact, each, name))) is not None:
                return kind
        return self._known.get((fact, None, name))

    def _lineage(self, owner: Kind | None) -> Iterator[str]:
        """The class that *owner* is, and those that it is made of."""
        names = [] if owner is None else [owner.what]
        for name in names:
            if name in self._classes:
                yield name
                module, written = self._classes[name]
                names += filter(None, (self.class_named(module, base) for base in written.bases))

    # What is annotated.

    def annotated(self, module: Module, node: ast.AST | None) -> Kind | None:
        """What is annotated as *node*."""
        if node not in self._annotated:
            self._annotated[node] = self._read_annotation(module, node, 0)
        return self._annotated[node]

    def _read_annotation(self, module: Module, node: ast.AST | None, depth: int) -> Kind | None:
        if depth > _DEPTH_MAX:
            return None
        deeper = depth + 1
        match node:
            case ast.Constant(value=str(text)):
                return self._read_annotation(module, ast.parse(text, mode="eval").body, deeper)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return any_of(self._read_annotation(module, each, deeper) for each in (left, right))
            case ast.Subscript(value=value, slice=key):
                parts = key.elts if isinstance(key, ast.Tuple) else [key]
                kinds = tuple(self._read_annotation(module, each, deeper) for each in parts)
                return _composed(_last_name(value), parts, kinds) or self._read_annotation(
                    module, value, deeper
                )
            case ast.Name() | ast.Attribute():
                name = module.whole_name(node) or f"{module.name}.{ast.unparse(node)}"
                if name in self._aliases:
                    return self._read_annotation(*self._aliases[name], deeper)
                if name in self._classes:
                    return Kind(name)
                return Kind(SET) if _last_name(node) in _SETS else None
        return None


def may_be_a_set(annotation: ast.expr | None) -> bool:
    """Whether what is annotated so is a set or not, as it pleases whoever gives it."""
    inner = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return inner is None or _last_name(inner) in _OPEN


def _composed(name: str, parts: Sequence[ast.expr], kinds: tuple[Kind | None, ...]) -> Kind | None:
    match name:
        case "tuple" | "Tuple":
            is_long = isinstance(parts[-1], ast.Constant) and parts[-1].value is Ellipsis
            return Kind(MANY, kinds[:1]) if is_long else Kind(ROW, kinds)
        case "Union":
            return any_of(kinds)
    if name in _AWAITED:
        return Kind(AWAITED, kinds[-1:])
    if name in _WRAPPERS:
        return kinds[0]
    if name in _MAPPINGS:
        return Kind(MAPPING, (kinds[0], kinds[1] if len(kinds) > 1 else None))
    if name in _SETS or name in _MANY:
        return Kind(SET if name in _SETS else MANY, kinds[:1])
    return None


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _may_be_a_type(value: ast.expr) -> bool:
    match value:
        case ast.Subscript() | ast.Name() | ast.Attribute():
            return True
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _may_be_a_type(left) or _may_be_a_type(right)
    return False


_DEPTH_MAX: Final = 8
_SETS: Final = ("set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet", "WeakSet")
_MAPPINGS: Final = (
    *("dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict", "MappingProxyType"),
    *("Counter", "WeakKeyDictionary", "WeakValueDictionary"),
)
_MANY: Final = (
    *("list", "List", "Sequence", "MutableSequence", "deque", "Iterator", "Iterable", "Collection"),
    *(
        "Reversible",
        "Generator",
        "AsyncIterator",
        "AsyncIterable",
        "AsyncGenerator",
        "KeysView",
        "ValuesView",
    ),
)
_AWAITED: Final = ("Awaitable", "Coroutine", "Future", "Task")
_WRAPPERS: Final = ("Annotated", "Final", "ClassVar", "Optional", "Required")
_OPEN: Final = ("Iterable", "Collection", "Container", "Sized", "Any", "object")
