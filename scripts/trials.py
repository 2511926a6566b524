"""Runs tests against mutants, each in a process of its own that is forked where everything is loaded already.

First every test runs once, which tells which lines it reaches and how long it takes. Then each mutant meets
the tests that reach its lines, quickest first, until one fails. Those that failed for others of its function
go before: they know what to look for. What no test noticed is loaded anew and tried once more, since test
modules may have called it while they were loaded; so is what runs only then.
"""

import ast
import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import accumulate, zip_longest
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import coverage
import hypothesis
import pytest

from scripts.mutants import Module, Mutant

EXPLAINED_S = 1.0
"""A mutant of which it is explained that no test notices it meets no more tests than computed for so long
when nothing was wrong. If these met all, most of the time would go to them."""
SLOWDOWN = 4.0
PATIENCE_S = 1.0
"""So much more than it computed when nothing was wrong, slowed down, a test computes only without an end."""
LOADING_S = 15.0
"""What it may compute before its first test."""
WAITING = 30
"""So many times as long as it may compute, a test may take."""
MEMORY_MAX = 3 << 30

# To tell a failure takes longer than most tests, and nobody reads it.
_OPTIONS = (
    *("-q", "--tb=native", "--assert=plain", "-p", "no:randomly", "-p", "no:cacheprovider"),
    *("-n", "0", "--timeout=0"),
)
_LIBRARIES = (
    *("pydantic.main", "yaml", "orjson", "cel_expr_python", "hypothesis.stateful", "grpc.aio", "aiosqlite"),
    *("pytest_asyncio.plugin", "anyio.pytest_plugin", "xdist.plugin", "_pytest.junitxml"),
)
"""Those that take longest to load: each is loaded once, and not for each mutant."""
BEFORE = ""
"""Who reaches what is reached before the first file of tests is loaded."""
_RECENT_MAX = 5
_FIRST = 200
_FAILED = 1

Tell = Callable[[object], None]


class Outcome(StrEnum):
    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"


class Broken(Exception):
    """The trials cannot go on."""


@dataclass(frozen=True)
class Survey:
    """What each test reaches, and for how long it computes: what else runs here makes no difference."""

    seconds: Mapping[str, float]
    reached: Mapping[str, Mapping[int, Sequence[str]]]
    """By module and line: the tests, and the files of tests that reach it when they are loaded; `BEFORE`, if
    it was reached before. By line 0: the files that name the module. It is loaded but once, for the first."""
    failed: Sequence[str]
    """The tests that fail though nothing is wrong: most of them look at how long something takes."""

    def tests(self, mutant: Mutant, modules: Mapping[str, Module], *, anew: bool) -> list[str]:
        """The tests that reach *mutant*, quickest first; if all is loaded *anew*, with the others of their
        files, for one may look at what was made when those were loaded. Before come those in files that are
        called after its module, and those that reach what reads the names that it gives another value."""
        found = self._names(mutant)
        if not anew:
            return self._quickest_first(found)
        if found == {BEFORE}:
            found = self._names_of_all(mutant)
        files = set(map(_file, found))
        reading = set[str]()
        for name, module in modules.items():
            by_line = self.reached.get(name, {})
            for line in module.lines_with(mutant.names):
                reading.update(by_line.get(line, ()))
        tests = {test for test in self.seconds if _file(test) in files}
        called_after = {test for test in tests if mutant.file.rstrip("s") in _file(test)}
        groups = (called_after, reading, tests)
        return [*dict.fromkeys(test for group in groups for test in self._quickest_first(group))]

    def _quickest_first(self, tests: Set[str]) -> list[str]:
        return sorted(tests & self.seconds.keys(), key=lambda test: (self.seconds[test], test))

    def runs_at_load(self, mutant: Mutant) -> bool:
        """Whether *mutant* is reached when tests are loaded."""
        return any("::" not in name for name in self._names(mutant))

    def _names(self, mutant: Mutant) -> set[str]:
        if mutant.is_loaded:
            return self._names_of_all(mutant)
        by_line = self.reached.get(mutant.module, {})
        return {name for line in mutant.lines for name in by_line.get(line, ())}

    def _names_of_all(self, mutant: Mutant) -> set[str]:
        """Who reaches anything in the module of *mutant*."""
        return {name for names in self.reached.get(mutant.module, {}).values() for name in names}


def survey(tests: Sequence[str], modules: Mapping[str, Module], package: str, log: Path) -> Survey:
    """Run all the *tests* once. Of mutants one that fails already could tell nothing.

    Raises:
        Broken: they cannot be run.
    """

    def work(tell: Tell) -> None:
        plugin = _Surveying(modules, package)
        _install(modules, package)
        status = _run_pytest(tests, plugin)
        tell([int(status), plugin.seconds, plugin.failed, plugin.reached()])

    (found,) = _told_by(work, log=log)
    status, seconds, failed, reached = found
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise Broken(f"the tests cannot be run: see {log}")
    by_module = {
        module: {int(line): names for line, names in lines.items()} for module, lines in reached.items()
    }
    passed = {test: spent for test, spent in seconds.items() if test not in failed}
    return Survey(passed, by_module, sorted(failed))


def trials(
    mutants: Sequence[Mutant],
    modules: Mapping[str, Module],
    package: str,
    found: Survey,
    *,
    explained: Collection[str],
    tests: Sequence[str],
    jobs: int,
    log: Path,
) -> Iterator[tuple[int, Outcome]]:
    """What comes of each of the *mutants*, by its place among them, as it becomes known. Those that are
    *explained*, by their keys, meet few tests."""
    for library in _LIBRARIES:
        import_module(library)
    gc.freeze()  # whatever looks for garbage in the processes to come finds none here
    crew = _Crew(mutants, modules, package, found, explained, tests, log)
    shares = [range(first, len(mutants), jobs) for first in range(jobs)]
    for index, outcome in _told_by(*(partial(crew.try_all, share) for share in shares if share), log=log):
        yield index, Outcome(outcome)


@dataclass(frozen=True)
class _Crew:
    mutants: Sequence[Mutant]
    modules: Mapping[str, Module]
    package: str
    survey: Survey
    explained: Collection[str]
    tests: Sequence[str]
    log: Path

    def try_all(self, places: Sequence[int], tell: Tell) -> None:
        anew = [place for place in places if self.mutants[place].is_loaded]
        in_use = [place for place in places if not self.mutants[place].is_loaded]
        for place, outcome in _told_by(partial(self._try_in_use, in_use), log=self.log):
            if outcome == Outcome.SURVIVED and self.survey.runs_at_load(self.mutants[place]):
                anew.append(place)
            else:
                tell((place, outcome))
        recent = _Recent()
        for place in anew:
            tell((place, self._try_anew(self.mutants[place], recent)))

    def _try_anew(self, mutant: Mutant, recent: "_Recent") -> Outcome:
        chosen = self._chosen(mutant, recent, anew=True)
        outcome = Outcome.SURVIVED
        for tests in (_of_few_files(chosen), chosen):
            if outcome is Outcome.SURVIVED:
                outcome, failed = _tried(partial(self._load_and_run, mutant, tests))
                recent.failed(mutant, failed)
        return outcome

    def _try_in_use(self, places: Sequence[int], tell: Tell) -> None:
        _install(self.modules, self.package)
        _run_pytest(self.tests, _Loop(lambda items: self._loop(items, places, tell)))

    def _loop(self, items: Mapping[str, pytest.Item], places: Sequence[int], tell: Tell) -> None:
        filenames = {module.filename for module in self.modules.values()}
        functions = _functions(filenames)
        caches = _caches()
        gc.collect()
        gc.freeze()
        recent = _Recent()
        for place in places:
            mutant = self.mutants[place]
            chosen = self._chosen(mutant, recent, anew=False)

            def run(mutant: Mutant = mutant, chosen: Sequence[str] = chosen) -> None:
                _exchange(functions, self.modules[mutant.module].compiled(mutant))
                for clear in caches:
                    clear()
                self._run_items([items[test] for test in chosen])

            outcome, failed = _tried(run)
            recent.failed(mutant, failed)
            tell((place, outcome))

    def _load_and_run(self, mutant: Mutant, chosen: Sequence[str]) -> None:
        changed = {mutant.module: self.modules[mutant.module].compiled(mutant)}
        _install(self.modules, self.package, changed)
        files = dict.fromkeys(map(_file, chosen))

        def run(items: Mapping[str, pytest.Item]) -> None:
            self._run_items([items[test] for test in chosen])

        if files and _run_pytest(list(files), _Loop(run)) != pytest.ExitCode.OK:
            os._exit(_FAILED)

    def _run_items(self, items: Sequence[pytest.Item]) -> None:
        for item, following in zip_longest(items, items[1:]):
            _bound(PATIENCE_S + SLOWDOWN * self.survey.seconds[item.nodeid])
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _chosen(self, mutant: Mutant, recent: "_Recent", *, anew: bool) -> list[str]:
        tests = self.survey.tests(mutant, self.modules, anew=anew)
        first = recent.of(mutant, tests)
        ordered = [*first, *(test for test in tests if test not in first)]
        if mutant.key not in self.explained:
            return ordered
        spent = accumulate(self.survey.seconds[test] for test in ordered)
        within = sum(seconds <= EXPLAINED_S for seconds in spent)
        return ordered[: max(1, within)]


class _Recent:
    """The tests that failed of late, by function."""

    def __init__(self) -> None:
        self._tests = defaultdict[tuple[str, str], list[str]](list)

    def failed(self, mutant: Mutant, test: str) -> None:
        if test:
            tests = self._tests[mutant.module, mutant.function]
            tests[:] = [test, *(other for other in tests if other != test)][:_RECENT_MAX]

    def of(self, mutant: Mutant, reaching: Sequence[str]) -> dict[str, None]:
        known = self._tests[mutant.module, mutant.function]
        return dict.fromkeys(test for test in known if test in reaching)


class _Surveying:
    """Learns what each test reaches."""

    def __init__(self, modules: Mapping[str, Module], package: str) -> None:
        self.seconds = dict[str, float]()
        self.failed = dict[str, None]()
        self._modules = modules
        self._package = package
        self._naming = defaultdict[str, list[str]](list)
        files = [module.filename for module in modules.values()]
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=files)
        self._coverage.start()

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        if isinstance(collector, pytest.Module):
            self._coverage.switch_context(collector.nodeid)
            for name in _imported(ast.parse(collector.path.read_text()), self._package):
                self._naming[name].append(collector.nodeid)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._coverage.switch_context(nodeid)
        self.seconds[nodeid] = -time.process_time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] += time.process_time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = None

    def reached(self) -> dict[str, dict[int, list[str]]]:
        self._coverage.stop()
        data = self._coverage.get_data()
        return {
            name: {**data.contexts_by_lineno(module.filename), 0: self._naming[name]}
            for name, module in self._modules.items()
        }


class _Loop:
    """Stands for pytest's own loop over the tests."""

    def __init__(self, run: Callable[[Mapping[str, pytest.Item]], None]) -> None:
        self._run = run

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("some tests cannot be loaded")
        self._run({item.nodeid: item for item in session.items})
        return True


class _Watching:
    """Ends the process at the first failure, and tells which test it was."""

    def __init__(self) -> None:
        self.tells = -1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self.tells, report.nodeid.encode())
            os._exit(_FAILED)


_WATCHING = _Watching()


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """The modules of *package* that *tree* names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for name in (f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)):
                if name.startswith(f"{package}."):
                    yield name.removeprefix(f"{package}.")


def _run_pytest(tests: Sequence[str], plugin: object) -> int:
    hypothesis.settings.register_profile(
        "mutants",
        database=None,
        deadline=None,
        derandomize=True,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    return pytest.main(
        [*_OPTIONS, *tests], plugins=[plugin, _WATCHING] if isinstance(plugin, _Loop) else [plugin]
    )


class _Sources(MetaPathFinder):
    """Finds modules in memory: nobody who edits one meanwhile changes what is tried."""

    def __init__(self, codes: Mapping[str, tuple[str, CodeType]]) -> None:
        self._codes = codes

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self._codes:
            return None
        filename, code = self._codes[fullname]
        return spec_from_file_location(fullname, filename, loader=_Loader(fullname, filename, code))


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: CodeType) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


def _install(
    modules: Mapping[str, Module], package: str, changed: Mapping[str, CodeType] | None = None
) -> None:
    """Let imports find *modules*, some of them changed."""
    codes = {
        f"{package}.{name}": (module.filename, (changed or {}).get(name) or module.compiled())
        for name, module in modules.items()
    }
    sys.meta_path.insert(0, _Sources(codes))


def _functions(filenames: set[str]) -> Mapping[tuple[str, str, int], Sequence[FunctionType]]:
    """The functions that there are, by their files, names and lines."""
    functions = defaultdict[tuple[str, str, int], list[FunctionType]](list)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename in filenames:
            functions[_place(thing.__code__)].append(thing)
    return functions


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _exchange(functions: Mapping[tuple[str, str, int], Sequence[FunctionType]], code: CodeType) -> None:
    """Give every function in *code* that one."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            for function in functions.get(_place(inner), ()):
                if function.__code__.co_freevars == inner.co_freevars:
                    function.__code__ = inner
            _exchange(functions, inner)


def _caches() -> list[Callable[[], None]]:
    return [thing.cache_clear for thing in gc.get_objects() if type(thing).__name__ == "_lru_cache_wrapper"]


def _of_few_files(tests: Sequence[str]) -> list[str]:
    """Those of *tests* that are in the file of the first, or where most of the first are: files take long to
    load."""
    common = Counter(map(_file, tests[:_FIRST])).most_common(2)
    files = [*map(_file, tests[:1]), *(file for file, _ in common)]
    return [test for test in tests if _file(test) in files]


def _file(test: str) -> str:
    return test.partition("::")[0]


def _tried(run: Callable[[], None], *, again: bool = False) -> tuple[Outcome, str]:
    """What comes of *run*, and which test failed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _WATCHING.tells = writing
        status = _FAILED
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX, MEMORY_MAX))
            _bound(LOADING_S)
            run()
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # whatever a test had started
    failed = os.read(reading, 4096).decode()
    os.close(reading)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if ended_by == signal.SIGALRM and not again:
        return _tried(run, again=True)  # the machine, or all of this, may have been held up
    if ended_by in (signal.SIGALRM, signal.SIGPROF):
        return Outcome.TIMED_OUT, failed
    return (Outcome.SURVIVED if status == 0 else Outcome.KILLED), failed


def _bound(seconds: float) -> None:
    """End this process once it has computed for so long, or waited for much longer."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WAITING * seconds)


def _told_by(*works: Callable[[Tell], None], log: Path) -> Iterator[Any]:
    """What each of the *works*, side by side in processes of their own, tells. What they print is logged."""
    reading, writing = os.pipe()
    children = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            status = _FAILED
            try:
                with log.open("a") as file:
                    os.dup2(file.fileno(), 1)
                    os.dup2(file.fileno(), 2)
                work(lambda thing: _write(writing, thing))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(pid)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            yield json.loads(line)
    for pid in children:
        if os.waitpid(pid, 0)[1]:
            raise Broken(f"a process of the trials ended early: see {log}")


def _write(file: int, thing: object) -> None:
    text = json.dumps(thing).encode() + b"\n"
    while text:
        text = text[os.write(file, text) :]
