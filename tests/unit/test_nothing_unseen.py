"""What decides is seen: time, chance, threads and tasks come through ports, and no set gives an order.

So the engine runs in a simulation as it does in earnest, and the same run comes out the same every time.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.unseen.facts import Facts
from tests.unseen.learning import learned
from tests.unseen.modules import Found, Module, modules_in
from tests.unseen.names import DURATION, SEEDED, TASK, unseen_names
from tests.unseen.sets import ORDER, ordered_sets

ROOT: Final = Path(__file__).parents[2]
SEEN: Final = ("coordinator/domain", "coordinator/engine", "coordinator/ports")
SIMULATION: Final = "coordinator/simulation"
SIMULATED: Final = (
    *("coordinator/adapters/sqlite", "coordinator/adapters/cel", "coordinator/adapters/memory.py"),
    *("coordinator/adapters/event_codec.py", "coordinator/adapters/no_telemetry.py"),
    *("coordinator/adapters/no_tracing.py", "coordinator/adapters/aside.py"),
)
"""They ask the system for what they need, and run in a simulation over something else."""
ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    # Its time is the simulation's, and what it draws is drawn from a seed.
    SIMULATION: (DURATION, SEEDED),
    # SQLite in memory; the path only names it.
    f"{SIMULATION}/disk.py": ("sqlite3", "pathlib.Path"),
    f"{SIMULATION}/databases.py": ("sqlite3",),
}


ADDED: Final = Module.of(
    "coordinator.engine.added",
    """
from coordinator.domain.actions import STOPPING
from coordinator.domain.language.expression_reading import reading
from coordinator.ports.participants import Description

def added(source: str, description: Description, unknown):
    yield from description.transactions
    yield [*(reading(source).fields or ())]
    yield [name for name in unknown.compensations]
    yield from STOPPING
""",
)
"""As somebody might write it who gave no thought to order."""


@cache
def the_modules() -> Mapping[str, Module]:
    return modules_in(ROOT, *SEEN, SIMULATION, *SIMULATED)


@cache
def the_facts() -> Facts:
    return learned([*the_modules().values(), ADDED])


@cache
def unseen(path: str) -> Sequence[Found]:
    return unseen_names(the_modules()[path])


def allowed(path: str) -> list[str]:
    return [rule for place, rules in ALLOWED.items() if path.startswith(place) for rule in rules]


@pytest.mark.parametrize("package", [*SEEN, SIMULATION])
def test_nothing_comes_to_pass_that_a_simulation_would_not_see(package: str) -> None:
    found = [
        f"{path}:{each.line}: {each.sentence}"
        for path in the_modules()
        if path.startswith(package)
        for each in unseen(path)
        if each.rule not in allowed(path)
    ]
    assert not found, "\n".join(found)


def test_no_task_of_what_is_simulated_is_without_an_owner() -> None:
    found = [
        f"{path}:{each.line}: {each.sentence}"
        for path in the_modules()
        for each in unseen(path)
        if each.rule == TASK
    ]
    assert not found, "\n".join(found)


def test_nothing_is_done_in_the_order_of_a_set() -> None:
    found = [
        f"{path}:{each.line}: {each.sentence}"
        for path, module in the_modules().items()
        for each in ordered_sets(module, the_facts())
    ]
    assert not found, "\n".join(found)


def test_all_that_is_simulated_is_looked_at() -> None:
    names = [module.name for module in the_modules().values()]
    for path, module in the_modules().items():
        for imported in module.imported.values():
            is_ours = path.startswith(SIMULATION) and imported.startswith("coordinator.")
            assert not is_ours or imported.startswith(tuple(names)), f"{path} takes {imported}"


def test_what_is_allowed_is_there() -> None:
    for place, rules in ALLOWED.items():
        paths = [path for path in the_modules() if path.startswith(place)]
        assert {each.rule for path in paths for each in unseen(path)} >= {*rules}


def test_what_is_added_is_looked_at_with_what_is_known_of_all_the_rest() -> None:
    first = ADDED.tree.body[-1].lineno
    assert [each.line - first for each in ordered_sets(ADDED, the_facts())] == [1, 2, 3, 4]


UNSEEN: Final = [
    ("time", "import time"),
    ("time", "from time import monotonic as now"),
    ("time", "def f(): import time"),
    ("datetime.datetime.now", "from datetime import UTC, datetime\nat = datetime.now(UTC)"),
    ("utcnow", "import datetime as d\nclock = d.datetime.utcnow"),
    ("today", "from datetime import datetime as moment\nmoment.today()"),
    ("today", "from datetime import date\nfirst(date.today)"),
    ("today", "saga.started.today()"),
    ("random", "from random import choice"),
    ("random", "import random\nrandom.shuffle(steps)"),
    ("random", "import random\nchance = random.Random()"),
    ("random", "import random\nchance = random.Random(None)"),
    ("random", "import random\nmade = field(default_factory=random.Random)"),
    ("random", "import random\nchance = random.SystemRandom(7)"),
    (SEEDED, "import random\nchance = random.Random(7)"),
    (SEEDED, "import random\ndef f(chance: random.Random | None) -> None: ..."),
    (SEEDED, "import random\nchance: random.Random = given"),
    (SEEDED, "import random\ndef f() -> random.Random: return given"),
    ("secrets", "import secrets"),
    ("uuid", "from uuid import UUID, uuid4"),
    ("uuid", "import uuid\nname = uuid.uuid1()"),
    ("uuid", "import uuid_utils\nname = uuid_utils.uuid7()"),
    ("uuid", "from uuid_utils.compat import uuid7"),
    ("os", "from os import urandom"),
    ("os", "import os.path"),
    ("threading", "from threading import Lock"),
    ("concurrent", "from concurrent.futures import ThreadPoolExecutor"),
    ("queue", "import queue"),
    ("asyncio.to_thread", "import asyncio\nasync def f(): await asyncio.to_thread(g)"),
    ("asyncio.to_thread", "from asyncio import to_thread as aside"),
    ("asyncio.run_coroutine_threadsafe", "import asyncio\nask = asyncio.run_coroutine_threadsafe"),
    ("asyncio.TaskGroup", "import asyncio\nasync def f():\n    async with asyncio.TaskGroup(): ..."),
    ("asyncio.as_completed", "import asyncio\nfor each in asyncio.as_completed(tasks): ..."),
    ("run_in_executor", "loop.run_in_executor(None, work)"),
    ("call_soon_threadsafe", "done = self._loop.call_soon_threadsafe"),
    ("socket", "import socket"),
    ("asyncio.open_connection", "import asyncio\nasyncio.open_connection()"),
    ("create_server", "loop.create_server(protocol)"),
    ("subprocess", "import subprocess"),
    ("asyncio.create_subprocess_exec", "from asyncio import create_subprocess_exec"),
    ("open", "text = open('f').read()"),
    ("open", "texts = map(open, paths)"),
    ("pathlib.Path", "from pathlib import Path"),
    ("pathlib.Path", "import pathlib\nhere = pathlib.Path.cwd()"),
    ("read_text", "text = place.read_text()"),
    ("io", "import io"),
    ("sqlite3", "import sqlite3"),
    ("eval", "eval('1')"),
    ("importlib", "import importlib"),
    ("id", "steps.sort(key=id)"),
    ("hash", "shard = hash(name) % 4"),
    (TASK, "import asyncio\nasyncio.create_task(work())"),
    (TASK, "from asyncio import ensure_future as begin\nbegin(work())"),
    (TASK, "loop.create_task(work())"),
    (TASK, "import asyncio\nasyncio.Task(work())"),
    (TASK, "import asyncio\ntask = asyncio.create_task(work())"),
    (TASK, "import asyncio\ntask: object = asyncio.create_task(work())"),
    (TASK, "import asyncio\nif (task := asyncio.create_task(work())): ..."),
    (TASK, "import asyncio\n_ = asyncio.create_task(work())"),
    (TASK, "import asyncio\ntask = asyncio.create_task(work())\ntask.add_done_callback(tell)"),
    (TASK, "import asyncio\ntask = asyncio.create_task(work())\ntask"),
    (TASK, "import asyncio\ndef f(): task = asyncio.create_task(work())\ndef g(task): task.cancel()"),
    (TASK, "import asyncio\nasyncio.create_task(work()).add_done_callback(tell)"),
    (TASK, "import asyncio\n[asyncio.create_task(each()) for each in works]"),
    (TASK, "import asyncio\nasync def f(): await asyncio.shield(asyncio.create_task(work()))"),
    (TASK, "import asyncio\nloop.call_soon(lambda: asyncio.create_task(work()))"),
    (TASK, "import asyncio\ntasks = [*map(asyncio.create_task, works)]"),
    (TASK, "spawn = loop.create_task"),
    (DURATION, "due_at = loop.time() + 5"),
    (DURATION, "import asyncio\nnow = asyncio.get_running_loop().time()\nif now > due_at: ..."),
    (DURATION, "began_at = loop.time()\nended_at = began_at + 5"),
    (DURATION, "began_at = loop.time()\nleft_s = began_at - now"),
    (DURATION, "self.began_at = loop.time()"),
    (DURATION, "import asyncio\nclock = asyncio.get_running_loop().time"),
]


@pytest.mark.parametrize(("rule", "source"), UNSEEN, ids=[source for _, source in UNSEEN])
def test_what_a_simulation_would_not_see_is_found(rule: str, source: str) -> None:
    assert {each.rule for each in unseen_names(Module.of("module", source))} == {rule}


HARMLESS: Final = [
    "at = self._clock.now()",
    "from datetime import UTC, datetime\ntext = datetime.fromtimestamp(at, UTC)",
    "import random",
    "from uuid import UUID",
    "import uuid\nname = uuid.uuid5(space, 'saga')",
    "import asyncio\nasync def f(): await asyncio.sleep(1)",
    "from pathlib import PurePosixPath",
    "def open(saga): ...\nopen(saga)",
    "from coordinator.engine.doors import open\nopen(saga)",
    "def f(input, id): return input[id]",
    "saga.open()",
    "class Name:\n    def __hash__(self): return hash(self.text)",
    "import asyncio\nself.task = asyncio.create_task(work())",
    "import asyncio\nself.tasks[key] = asyncio.create_task(work())",
    "import asyncio\nself.task: object = asyncio.ensure_future(work())",
    "import asyncio\ntasks.append(asyncio.create_task(work()))",
    "import asyncio\ndef f(): return asyncio.create_task(work())",
    "import asyncio\nasync def f(): await asyncio.create_task(work())",
    "import asyncio\ntask = asyncio.create_task(work())\ntry: ...\nfinally: task.cancel()",
    "import asyncio\nif (task := asyncio.create_task(work())): kept.append(task)",
    "import asyncio\nkept = [asyncio.create_task(each()) for each in works]\nkept.pop()",
    "import asyncio\ndef f():\n    task = asyncio.create_task(work())\n    def g(): task.cancel()",
    "import asyncio\ndef f(task: asyncio.Task[None]) -> None: ...",
    "began_at = loop.time()\ntold(loop.time() - began_at)",
    "import asyncio\nclock = asyncio.get_running_loop()\nlasted_s = clock.time() - began_at",
    "at = event.time",
]


@pytest.mark.parametrize("source", HARMLESS)
def test_what_can_be_simulated_is_left_alone(source: str) -> None:
    assert unseen_names(Module.of("module", source)) == []


IN_THE_ORDER_OF_A_SET: Final = [
    "for each in {1, 2}: ...",
    "for each in {n for n in names}: ...",
    "for each in set(names): ...",
    "for each in set[str](names): ...",
    "async def f():\n    async for each in frozenset(): ...",
    "names = [each for each in {1, 2}]",
    "names = {each: 1 for each in {1, 2}}",
    "names = [each for one in names for each in {one}]",
    "text = ', '.join(str(each) for each in {1, 2})",
    "text = ', '.join({'a', 'b'})",
    "text = f'{ {1, 2} }'",
    "text = 'one of %s' % {1, 2}",
    "log('%s', {1, 2})",
    "names = list({1, 2})",
    "names = tuple(frozenset(names))",
    "names = dict.fromkeys({1, 2})",
    "names.extend({1, 2})",
    "names += {1, 2}",
    "names = [*{1, 2}]",
    "call(*{1, 2})",
    "call(first, names={1, 2})",
    "one, two = {1, 2}",
    "one, *others = {1, 2}",
    "any_of_them = {1, 2}.pop()",
    "one = next(iter({1, 2}))",
    "for place, each in enumerate({1, 2}): ...",
    "for one, two in zip(names, {1, 2}): ...",
    "names = map(str, {1, 2})",
    "names = [*map(str, {1, 2})]",
    "names = sorted({1, 2}, key=len)",
    "largest = max({1, 2}, key=len)",
    "from functools import reduce\nall_of_it = reduce(add, {1, 2})",
    "from functools import partial\nlater = partial(print, {1, 2})",
    "def f(): yield from {1, 2}",
    "seen = set()\nfor each in seen: ...",
    "seen: set[str] = given\nfor each in seen: ...",
    "seen: 'set[str]' = given\nfor each in seen: ...",
    "from typing import Final\nseen: Final = frozenset(given)\nfor each in seen: ...",
    "from collections.abc import Set as AbstractSet\ndef f(seen: AbstractSet[str]): return [*seen]",
    "def f(seen: set[str] | None): return list(seen or ())",
    "from typing import Union\ndef f(seen: Union[None, set[str]]): return list(seen)",
    "from typing import Optional\ndef f(seen: Optional[set]): return list(seen)",
    "from collections.abc import Collection\nnames: Collection[str] = {1, 2}\nfor each in names: ...",
    "import collections.abc\ndef f(seen: collections.abc.Set[str]): return [*seen]",
    "Names = set[str] | None\ndef f(names: Names): return list(names or ())",
    "Names = frozenset[str]\ndef f(names: Names): return list(names)",
    "def f():\n    seen = {1}\n    def g(): return list(seen)",
    "def f(seen: set[str]):\n    for each in (seen if is_new else ()): ...",
    "for each in first & {1}: ...",
    "for each in {1} - first: ...",
    "for each in known.union(others): ...",
    "for each in known.difference(others).copy(): ...",
    "known: dict[str, int] = {}\nfor each in known.keys() & others: ...",
    "known: dict[str, int] = {}\nfor each in known.items() - others: ...",
    "seen = {1}\nseen |= others\nfor each in seen: ...",
    "found = others\nfound |= {1}\nfor each in found: ...",
    "if (seen := {1}): list(seen)",
    "import asyncio\nasync def f():\n    done, _ = await asyncio.wait(tasks)\n    for each in done: ...",
    "import asyncio\nasync def f():\n    for each in (await asyncio.wait(tasks))[0]: ...",
    "import asyncio\nasync def f(): return [*(await asyncio.wait(tasks))[1]]",
    "import asyncio\nasync def f():\n    done, _ = await asyncio.wait(tasks)\n    done.pop().result()",
    "import asyncio\nfor task in asyncio.all_tasks(): task.cancel()",
    "import asyncio\nasync def f(tasks: set[object]): await asyncio.gather(*tasks)",
    "from weakref import WeakSet\nkept = WeakSet()\nfor each in kept: ...",
    "of: dict[str, set[str]] = {}\nfor each in of['a']: ...",
    "of: dict[str, set[str]] = {}\nfor each in of.get('a', ()): ...",
    "of: dict[str, set[str]] = {}\nfor each in of.setdefault('a', set()): ...",
    "of: dict[str, set[str]] = {}\nfor held in of.values():\n    for each in held: ...",
    "of: dict[str, set[str]] = {}\nfor _, held in of.items():\n    for each in held: ...",
    "of = {}\nof['a'] = {1}\nfor each in of['a']: ...",
    "from collections import defaultdict\nof = defaultdict(set)\nfor each in of['a']: ...",
    "of: list[frozenset[str]] = []\nfor held in of:\n    for each in held: ...",
    "of: tuple[int, set[str]] = given\n_, held = of\nfor each in held: ...",
    "of: list[set[str]] = []\nfor place, held in enumerate(of):\n    for each in held: ...",
    "of: list[set[str]] = []\nfor each in of.pop(): ...",
    "of: list[set[str]] = []\nfor each in of[1:][0]: ...",
    "of: list[set[str]] = []\nnames = [each for held in of for each in held]",
    "of: tuple[set[int], ...] = given\nnames = [*of[1]]",
    "of: tuple[int, set[int]] = given\nfor held in of: list(held)",
    "of = [1]\nof = {'a': {1}}\nnames = [*of['a']]",
    "of = [{1}]\nfor held in of:\n    for each in held: ...",
    "of = [{each} for each in names]\nfor held in of: [*held]",
    "of = {each: {each} for each in names}\nnames = [*of['a']]",
    "of = (1, {2})\nnames = [*of[1]]",
    "of: list[set[int]] = []\nfirst, *others = of\nfor held in others: [*held]",
    "of: list[set[int]] = []\nnames = [*next(iter(of))]",
    "of: list[set[int]] = []\nfor _, held in zip(names, of): [*held]",
    "from typing import cast\nnames = [*cast('set[str]', given)]",
    "import asyncio\ndef f() -> set[str]: ...\nasync def g(): return [*(await asyncio.shield(f()))]",
    "import asyncio\nasync def f(task: asyncio.Task[set[str]]): return [*(await task)]",
    "async def f() -> set[str]: ...\nasync def g():\n    names = await f()\n    return [*names]",
    "async def f() -> AsyncIterator[set]: yield {1}\nasync def g():\n    async for each in f(): [*each]",
    "def f(of):\n    of['a'] = {1}\n    return [*of['a']]",
    "of: list[set[int]] = []\nof[0] = {1}\nnames = [*of[0]]",
    "def f(*of: set[str]): return [*of[0]]",
    "def f(**of: set[str]): return [*of['a']]",
    "def f(of): return [*of['a']]\nf({'a': {1}})",
    "def f() -> set[str]: ...\nfor each in f(): ...",
    "async def f() -> frozenset[str]: ...\nasync def g():\n    for each in await f(): ...",
    "from collections.abc import Iterable\ndef f() -> Iterable[str]: return {1}\nfor each in f(): ...",
    "def f(): return {1}\nfor each in f(): ...",
    "from collections.abc import Iterable\ndef f(of: Iterable[int]): return [*of]\nf({1})",
    "def f(first, of): return [*of]\nf(1, {1})",
    "def f(*, of): return [*of]\nf(of={1})",
    "from functools import partial\ndef f(of): return [*of]\ng = partial(f, {1})",
    "class A:\n    def f(self, of): return [*of]\nA().f({1})",
    "class A:\n    def __init__(self, of): self.of = [*of]\nA({1})",
    "class A:\n    seen: set[str]\n    def f(self): return [*self.seen]",
    "class A:\n    def __init__(self): self._seen = set()\n    def f(self): return [*self._seen]",
    "class A:\n    def f(self) -> set[str]: ...\n    def g(self): return [*self.f()]",
    "class A:\n    @property\n    def seen(self) -> set[str]: ...\ndef f(a: A): return [*a.seen]",
    "class A:\n    seen: set[str]\nclass B(A): ...\ndef f(b: B): return [*b.seen]",
    "class A:\n    seen: set[str]\ndef f(a): return [*a.seen]",
    "class A:\n    seen: set[str]\ndef f(): return [*A().seen]",
    "class A:\n    n: list[int]\nclass C:\n    n: set\ndef f(x): return [*x.n]\nf(A())",
    "class A:\n    n: list[int]\nclass B:\n    a: A\nclass C:\n    n: set\ndef f(x): return [*x.a.n]",
    "class A:\n    n: list[int]\nclass B:\n    def a(self) -> A: ...\nclass C:\n    n: set\n[*b.a().n]",
    "from typing import Any\nclass A:\n    seen: Any\na = A({1})\nnames = [*a.seen]",
    "class A:\n    seen: set[str]\nmatch a:\n    case A(seen=names): list(names)",
    "class A:\n    of: dict[str, set[str]]\n    def f(self):\n        for each in self.of['a']: ...",
    "from dataclasses import field\nclass A:\n    seen: object = field(default_factory=set)\nlist(A().seen)",
    "def f(x: object):\n    if isinstance(x, set | frozenset):\n        return list(x)",
    "def f(x: object):\n    match x:\n        case frozenset(): return list(x)",
]


@pytest.mark.parametrize("source", IN_THE_ORDER_OF_A_SET)
def test_an_order_that_a_set_gives_is_found(source: str) -> None:
    module = Module.of("module", source)
    assert [each.rule for each in ordered_sets(module, learned([module]))] == [ORDER]


OF_NO_ORDER: Final = [
    "is_known = name in {1, 2}",
    "if {1, 2} == others: ...",
    "if {1, 2} <= others: ...",
    "count = len({1, 2})",
    "names = sorted({1, 2})",
    "for each in sorted({1, 2}, reverse=True): ...",
    "largest = max({1, 2}, default=0)",
    "total = sum({1, 2})",
    "names = frozenset({1, 2})",
    "names = {each + 1 for each in {1, 2}}",
    "names = {*{1, 2}, 3}",
    "names = {1, 2} | others",
    "is_any = any(each > 1 for each in {1, 2})",
    "names = sorted([each for each in {1, 2}])",
    "names = sorted(map(str, {1, 2}))",
    "names = set(filter(None, {1, 2}))",
    "largest = max(*{1, 2})",
    "(only,) = {1}",
    "seen = set()\nseen.add(1)\nseen.update({1, 2})\nseen.discard(1)",
    "if seen.isdisjoint({1, 2}): ...",
    "kept = []\nkept.append({1, 2})",
    "of = {}\nof.setdefault('a', set()).add(1)",
    "import asyncio\nasync def f(tasks: set[object]): await asyncio.wait(tasks)",
    "import asyncio\nasync def f():\n    done, _ = await asyncio.wait(tasks)\n    if first in done: ...",
    "known: dict[str, int] = {}\nfor each in known: ...",
    "known: dict[str, int] = {}\nfor each in known.keys(): ...",
    "known: dict[str, None] = dict.fromkeys(names)\nfor each in known: ...",
    "names = first | second\nfor each in names: ...",
    "rest = total - taken\nprint(rest)",
    "names: list[str] = []\nfor each in names: ...",
    "of: dict[str, set[str]] = {}\nfor each in of: [*each]",
    "def f(names: Names): return [*names]",
    "of: tuple[list[int], set[int]] = given\nnames = [*of[0]]",
    "names = sorted({1}.union(*map(len, {2, 3})))",
    "from collections import defaultdict\nof = defaultdict()\nof['a'] = [*given]",
    "def f(of): return 1 in of\nf({1})",
    "from functools import partial\ndef f(of): return 1 in of\ng = partial(f, {1})",
    "class A:\n    seen: set[str]\nclass B:\n    seen: list[str]\nnames = [*B.seen]",
    "class A:\n    seen: set[str]\nclass B:\n    seen: list[str]\ndef f(b: B[int]): return [*b.seen]",
    "class A:\n    seen: set[str]\nclass B:\n    seen: list[str]\nmatch b:\n    case B(seen=names): [*names]",
    "class A:\n    def f(self): self.n = {1}\nclass B:\n    def f(b): b.n = [1]\n    def g(b): return [*b.n]",
    "of: tuple[list[int], set[int]] = given\nnames, _ = of\nfor each in names: ...",
    "import asyncio\nasync def f() -> set[str]: ...\nasyncio.wait_for(f(), 1)",
    "class A:\n    seen: set[str]\ndef f(a) -> list[str]: return a.seen\nnames = [*f(a)]",
    "def f(of: list[int]): return [*of]\nclass A:\n    def f(self, of: set[int]): ...\nA().f({1})",
    "class A:\n    seen: set[str]\nclass B:\n    seen: list[str]\ndef f(b: B): return [*b.seen]",
    "class A:\n    def f(self) -> list[str]: ...\nclass B:\n    def f(self) -> set[str]: ...\nlist(A().f())",
    "from collections.abc import Collection\ndef f(of: Collection[str]): return [*of]\nf(['a'])",
    "def f():\n    names = {1}\ndef g(names: list[int]): return [*names]",
    "Json = dict[str, 'Json'] | list['Json'] | None\ndef f(of: Json): return [*of]",
    "class set: ...\nfor each in given: ...",
]


@pytest.mark.parametrize("source", OF_NO_ORDER)
def test_a_set_that_gives_no_order_is_left_alone(source: str) -> None:
    module = Module.of("module", source)
    assert ordered_sets(module, learned([module])) == []


ELSEWHERE: Final = """
from dataclasses import dataclass
from collections.abc import Iterable

KNOWN = frozenset({"a"})
Names = set[str]

@dataclass
class Saga:
    begun: set[str]
    def undone(self) -> frozenset[str]: ...

def begun(saga: Saga) -> Names: ...

def listed(names: Iterable[str]) -> str:
    return ", ".join(names)
"""


@pytest.mark.parametrize(
    "source",
    [
        "from far.away import KNOWN\nfor each in KNOWN: ...",
        "import far.away\nfor each in far.away.KNOWN: ...",
        "from far.away import Names\ndef f(names: Names): return [*names]",
        "from far.away import Saga\ndef f(saga: Saga): return [*saga.begun]",
        "from far.away import Saga as S\ndef f(saga: S): return [*saga.undone()]",
        "def f(saga): return [*saga.begun]",
        "def f(saga): return [*saga.undone()]",
        "from far.away import begun\nnames = [*begun(saga)]",
        "import far.away as elsewhere\nnames = [*elsewhere.begun(saga)]",
    ],
)
def test_sets_are_known_across_modules(source: str) -> None:
    here, elsewhere = Module.of("here", source), Module.of("far.away", ELSEWHERE)
    facts = learned([here, elsewhere])
    assert [each.rule for each in ordered_sets(here, facts)] == [ORDER]
    assert ordered_sets(elsewhere, facts) == []


def test_a_set_is_followed_into_the_function_that_it_is_given_to() -> None:
    here = Module.of("here", "from far.away import listed\ntext = listed({1, 2})")
    elsewhere = Module.of("far.away", ELSEWHERE)
    facts = learned([here, elsewhere])
    assert ordered_sets(here, facts) == []
    (found,) = ordered_sets(elsewhere, facts)
    assert found.sentence == "the order of the set names decides: it is given to ', '.join"
