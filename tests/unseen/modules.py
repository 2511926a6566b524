"""Python as it is written: modules, and what their names stand for. What is looked at is never imported."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = Function | ast.Lambda | ast.Module


class Found(NamedTuple):
    """A line of a module, the rule that is broken there, and how."""

    line: int
    rule: str
    sentence: str


@dataclass
class Module:
    """One module. `name` is the one by which others import it."""

    name: str
    tree: ast.Module
    nodes: Sequence[ast.AST]
    """All of it, what is outside before what is inside."""
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    """Each name that an import binds here, and the whole name of what it stands for."""
    bound: set[str] = field(default_factory=set)
    """Every name that something else binds, anywhere in the module."""

    @classmethod
    def of(cls, name: str, source: str) -> "Module":
        tree = ast.parse(source)
        module = cls(name, tree, list(ast.walk(tree)))
        for node in module.nodes:
            for child in ast.iter_child_nodes(node):
                module.parents[child] = node
            module._note_names(node)
        return module

    def whole_name(self, node: ast.AST) -> str | None:
        """What *node* names, if it was imported: `asyncio.wait`, where `wait` was imported from `asyncio`."""
        match node:
            case ast.Name(id=name):
                return self.imported.get(name)
            case ast.Attribute(value=value, attr=attr):
                above = self.whole_name(value)
                return None if above is None else f"{above}.{attr}"
        return None

    def builtin(self, node: ast.AST) -> str | None:
        """The name that *node* is, if nothing in this module binds that: then it is Python's own."""
        if isinstance(node, ast.Name) and node.id not in self.bound and node.id not in self.imported:
            return node.id
        return None

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """All that *node* is part of, from the inside out."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def scope(self, node: ast.AST) -> Scope:
        """The function that *node* is in, or the module."""
        return next(each for each in self.above(node) if isinstance(each, Scope))

    def class_of(self, function: Function) -> ast.ClassDef | None:
        """The class whose method *function* is."""
        parent = self.parents.get(function)
        return parent if isinstance(parent, ast.ClassDef) else None

    def uses(self, name: str, near: ast.AST) -> Sequence[ast.Name]:
        """Where *name* is used in the function that *near* is in."""
        names = (node for node in ast.walk(self.scope(near)) if isinstance(node, ast.Name))
        return [node for node in names if node.id == name and isinstance(node.ctx, ast.Load)]

    def _note_names(self, node: ast.AST) -> None:
        match node:
            case ast.Import(names=names):
                for each in names:
                    top = each.name.partition(".")[0]
                    self.imported[each.asname or top] = each.name if each.asname else top
            case ast.ImportFrom(module=str(origin), names=names):
                for each in names:
                    self.imported[each.asname or each.name] = f"{origin}.{each.name}"
            case ast.Name(id=bound, ctx=ast.Store()) | ast.arg(arg=bound):
                self.bound.add(bound)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.bound.add(node.name)


def modules_in(root: Path, *places: str) -> dict[str, Module]:
    """Every module of *places*, which are folders and files in *root*, by its path there."""
    found: dict[str, Module] = {}
    for place in places:
        paths = [root / place] if place.endswith(".py") else sorted((root / place).rglob("*.py"))
        for path in (path.relative_to(root) for path in paths):
            parts = path.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[str(path)] = Module.of(name, (root / path).read_text("utf-8"))
    return found
