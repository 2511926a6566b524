"""What no simulation sees: time, chance, threads, files and sockets of the system, and tasks of nobody."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Final

from tests.unseen.modules import Found, Function, Module

TASK: Final = "task"
DURATION: Final = "duration"
SEEDED: Final = "random.Random"


def unseen_names(module: Module) -> Sequence[Found]:
    """Where *module* names what it must not, begins a task that nobody owns, or asks a loop for the time."""
    return sorted({(each.line, each.rule): each for each in _all_found(module)}.values())


def _all_found(module: Module) -> Iterator[Found]:
    for node in module.nodes:
        match node:
            case ast.Import(names=names):
                for each in names:
                    yield from _named(node.lineno, each.name)
            case ast.ImportFrom(module=str(origin), names=names):
                for each in names:
                    yield from _named(node.lineno, f"{origin}.{each.name}")
            case ast.Name() | ast.Attribute():
                yield from _at_name(module, node)


def _at_name(module: Module, node: ast.Name | ast.Attribute) -> Iterator[Found]:
    line, written = node.lineno, ast.unparse(node)
    name = module.whole_name(node)
    if name == SEEDED and not _is_seeded(module, node):
        yield Found(line, "random", f"{written} has no seed")
    elif name is not None:
        yield from _named(line, name)
    if (own := module.builtin(node)) in _LEAD_OUT or (own in _ADDRESSES and not _is_hashed(module, node)):
        yield Found(line, own or "", f"{written} is not the same in every run")
    if isinstance(node, ast.Attribute) and node.attr in _METHODS:
        yield Found(line, node.attr, f"{written} leads out of the simulation")
    if _begins_a_task(module, node) and (fault := _fault_of_task(module, node)) is not None:
        yield Found(line, TASK, f"{written}: {fault}")
    if _is_time_of_loop(module, node) and not _is_length(module, node):
        yield Found(line, DURATION, f"{written}: of a loop's time only differences may be used")


def _named(line: int, name: str) -> Iterator[Found]:
    if name in ("random", SEEDED):
        if name == SEEDED:
            yield Found(line, SEEDED, f"{name} is for simulations alone: chance comes from its port")
        return
    unseen = next((each for each in _UNSEEN if name == each or name.startswith(f"{each}.")), None)
    if unseen is not None or _GENERATED.fullmatch(name):
        yield Found(line, unseen or "uuid", f"{name} cannot be simulated")


def _is_seeded(module: Module, node: ast.AST) -> bool:
    """Whether chance that is named here is the same in every run: made of a seed, or only annotated."""
    match module.parents[node]:
        case ast.Call(func=func, args=[seed, *_]) if func is node:
            return not (isinstance(seed, ast.Constant) and seed.value is None)
    inside = node
    for holder in module.above(node):
        match holder:
            case ast.arg():
                return True
            case ast.AnnAssign(annotation=annotation):
                return annotation is inside
            case ast.FunctionDef(returns=returns) | ast.AsyncFunctionDef(returns=returns):
                return returns is inside
        inside = holder
    return False


def _is_hashed(module: Module, node: ast.AST) -> bool:
    scope = module.scope(node)
    return isinstance(scope, Function) and scope.name == "__hash__"


def _begins_a_task(module: Module, node: ast.Name | ast.Attribute) -> bool:
    parent = module.parents[node]
    name = module.whole_name(node)
    if name == "asyncio.Task":
        return isinstance(parent, ast.Call) and parent.func is node
    return (isinstance(node, ast.Attribute) and node.attr in _TASKS) or name in _TASKS_OF_ASYNCIO


def _fault_of_task(module: Module, node: ast.AST) -> str | None:
    """Why the task that *node* begins has no owner; None where it has one."""
    call = module.parents[node]
    if not isinstance(call, ast.Call) or call.func is not node:
        return "who keeps the tasks that are begun with it can not be seen"
    for holder in module.above(call):
        match holder:
            case ast.Expr() | ast.Attribute():
                return "nobody keeps the task"
            case ast.Lambda():
                return "whoever calls this may keep no task"
            case ast.Call() if module.whole_name(holder.func) == "asyncio.shield":
                return "nobody keeps the task if the caller leaves"
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name))
                | ast.NamedExpr(target=ast.Name(id=name))
            ):
                return None if _is_kept(module, call, name) else f"nobody awaits, ends or keeps {name}"
        if not isinstance(holder, _HOLDERS):
            return None
    return None


def _is_kept(module: Module, call: ast.AST, name: str) -> bool:
    holders = [module.parents[use] for use in module.uses(name, call)]
    return any(
        not isinstance(holder, ast.Expr) and getattr(holder, "attr", "") not in _OWN_NOTHING
        for holder in holders
    )


def _is_time_of_loop(module: Module, node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr != "time" or module.whole_name(node) is not None:
        return False
    parent, loop = module.parents[node], node.value
    is_called = isinstance(parent, ast.Call) and parent.func is node
    return is_called or (isinstance(loop, ast.Call) and module.whole_name(loop.func) in _LOOPS)


def _is_length(module: Module, node: ast.AST) -> bool:
    """Whether what is asked of a loop here only measures how long something takes."""
    call = module.parents[node]
    match module.parents[call]:
        case ast.BinOp(op=ast.Sub()):
            return isinstance(call, ast.Call)
        case ast.Assign(targets=[ast.Name(id=name)]):
            parents = [(module.parents[use], use) for use in module.uses(name, call)]
            return all(
                isinstance(op, ast.BinOp) and isinstance(op.op, ast.Sub) and op.right is use
                for op, use in parents
            )
    return False


_UNSEEN: Final = (
    *("time", "sched", "signal", "random", "secrets", "threading", "_thread", "queue", "concurrent"),
    *("datetime.datetime.now", "multiprocessing", "asyncio.to_thread", "asyncio.run_coroutine_threadsafe"),
    *("asyncio.run", "asyncio.Runner", "asyncio.new_event_loop"),
    # They hold tasks in sets: those are begun, or ended, in the order of hashes.
    *("asyncio.TaskGroup", "asyncio.as_completed"),
    *("asyncio.open_connection", "asyncio.open_unix_connection", "asyncio.start_server"),
    *("asyncio.start_unix_server", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
    *("asyncio.subprocess", "subprocess", "socket", "socketserver", "ssl", "select", "selectors"),
    *("http.client", "http.server", "urllib.request", "sqlite3", "os", "io", "tempfile", "shutil", "glob"),
    *("mmap", "fileinput", "importlib", "sys.argv", "sys.stdin"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath"),
)
_GENERATED: Final = re.compile(r"(uuid|uuid_utils)\b.*\.(uuid[14678]|getnode)")
_LEAD_OUT: Final = ("open", "input", "eval", "exec", "__import__")
_ADDRESSES: Final = ("id", "hash")
_METHODS: Final = (
    *("utcnow", "today", "run_in_executor", "set_default_executor", "call_soon_threadsafe"),
    *("create_connection", "create_server", "create_datagram_endpoint", "create_unix_connection"),
    *("create_unix_server", "getaddrinfo", "add_reader", "add_writer", "subprocess_exec", "subprocess_shell"),
    *("read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "rglob"),
)
_TASKS: Final = ("create_task", "ensure_future")
_TASKS_OF_ASYNCIO: Final = tuple(f"asyncio.{name}" for name in _TASKS)
_LOOPS: Final = ("asyncio.get_running_loop", "asyncio.get_event_loop")
_HOLDERS: Final = (
    *(ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    *(ast.IfExp, ast.BoolOp, ast.Starred, ast.keyword),
)
_OWN_NOTHING: Final = ("add_done_callback", "remove_done_callback", "set_name", "get_name")
