"""Breaks the domain in some thousand small ways, and sees that a test notices each: `make mutate`.

A mutant that no test notices breaks a rule that no test states, or nothing. Those that are let live are in
tests/mutation/explained.txt, with the reason; any other fails the run.
"""

import argparse
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from scripts.mutants import Module, Mutant, enum_members
from scripts.trials import Broken, Outcome, survey, trials

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "coordinator.domain"
EXPLAINED: Final = ROOT / "tests" / "mutation" / "explained.txt"
SCRATCH: Final = ROOT / ".cache" / "mutation"
TESTS: Final = (
    "tests/unit/machine",
    "tests/unit/definitions",
    "tests/unit/expressions",
    "tests/unit/lint",
    "tests/contract/test_definition_store_contract.py",
    *(
        f"tests/unit/test_{subject}.py"
        for subject in (
            "actions",
            "definitions",
            "descriptions",
            "error_statuses",
            "errors",
            "event_codec",
            "exported",
            "front_door",
            "graph",
            "inputs",
            "jsontext",
            "masking",
            "outcomes",
            "registration",
            "retry",
            "shaping",
            "summary",
            "trace",
            "values",
        )
    ),
)
"""The quick tests of the domain."""


def main(arguments: Sequence[str]) -> int:
    """Try the mutants, tell the score, and write down the survivors that nothing explains."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("modules", nargs="*", help="the modules to break; all if none is named")
    options.add_argument("--tests", nargs="+", default=TESTS, help="the tests that are to notice")
    options.add_argument("--sample", type=int, help="try only so many mutants, drawn by chance")
    options.add_argument("--seed", type=int, default=0, help="what the draw depends on")
    options.add_argument("--jobs", type=int, default=1, help="how many to try side by side")
    options.add_argument("--scratch", type=Path, default=SCRATCH, help="where to write what is found")
    chosen = options.parse_args(arguments)
    modules = read_modules()
    unknown = set(chosen.modules).difference(modules)
    if unknown:
        options.error(f"the domain has no {', '.join(sorted(unknown))}")
    began = time.monotonic()
    mutants = [mutant for name in chosen.modules or modules for mutant in modules[name].mutants()]
    explained = read_explained(EXPLAINED.read_text())
    stale = explains_nothing(explained, mutants, without=set(modules).difference(chosen.modules or modules))
    if chosen.sample is not None:
        mutants = random.Random(chosen.seed).sample(mutants, min(chosen.sample, len(mutants)))
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    log, survivors = chosen.scratch / "log.txt", chosen.scratch / "survivors.txt"
    log.unlink(missing_ok=True)
    try:
        found = survey(chosen.tests, modules, PACKAGE, log)
        print(f"{len(mutants)} mutants, {len(found.seconds)} tests", flush=True)
        for test in found.failed:
            print(f"fails though nothing is wrong, and is left out: {test}", flush=True)
        tried = trials(
            mutants,
            modules,
            PACKAGE,
            found,
            explained=explained,
            tests=chosen.tests,
            jobs=chosen.jobs,
            log=log,
        )
        outcomes = follow(tried, mutants, explained, survivors)
    except Broken as wrong:
        print(f"mutate: {wrong}", file=sys.stderr)
        return 1
    tell(mutants, outcomes, explained)
    print(f"{time.monotonic() - began:.0f} s")
    for key in stale:
        print(f"explained, though there is no such mutant any more: {key}")
    if not judge(mutants, outcomes, explained):
        print(f"what survived, and nothing explains, is in {survivors}")
        return 1
    return 1 if stale else 0


def read_modules() -> dict[str, Module]:
    """The modules of the domain, by what they are called in it: "saga", "language.graph"."""
    top = ROOT / PACKAGE.replace(".", "/")
    files = {".".join(file.relative_to(top).with_suffix("").parts): file for file in top.rglob("[!_]*.py")}
    sources = {name: file.read_text() for name, file in sorted(files.items())}
    members = {name: them for source in sources.values() for name, them in enum_members(source).items()}
    return {name: Module(name, source, str(files[name]), members) for name, source in sources.items()}


def read_explained(text: str) -> dict[str, str]:
    """Why each survivor that is known makes no difference: lines of survivors, then an indented sentence."""
    explained = dict[str, str]()
    keys, sentence = list[str](), ""
    for line in [*text.splitlines(), "end"]:
        if line.startswith(" "):
            sentence = f"{sentence} {line.strip()}".strip()
            explained.update(dict.fromkeys(keys, sentence))
        elif line.strip() and not line.startswith("#"):
            if sentence:
                keys, sentence = [], ""
            keys.append(line)
    return explained


def explains_nothing(
    explained: Iterable[str], mutants: Iterable[Mutant], *, without: Collection[str]
) -> list[str]:
    """Those *explained* that none of the *mutants* is, in modules other than those *without*: their code has
    changed since."""
    known = {mutant.key for mutant in mutants}
    elsewhere = re.compile("|".join(rf"{re.escape(module)}[.:]" for module in without) or "(?!)")
    return [key for key in explained if key not in known and not elsewhere.match(key)]


def follow(
    tried: Iterable[tuple[int, Outcome]],
    mutants: Sequence[Mutant],
    explained: Collection[str],
    survivors: Path,
) -> list[Outcome]:
    """Every mutant's outcome. Survivors that nothing explains are written down as they become known."""
    outcomes = dict[int, Outcome]()
    with survivors.open("w") as file:
        for place, outcome in tried:
            outcomes[place] = outcome
            if outcome is Outcome.SURVIVED and mutants[place].key not in explained:
                print(mutants[place].key, file=file, flush=True)
            if sys.stderr.isatty():
                print(f"\r{len(outcomes)} tried", end="\r", file=sys.stderr, flush=True)
    return [outcomes[place] for place in range(len(mutants))]


def tell(mutants: Sequence[Mutant], outcomes: Sequence[Outcome], explained: Collection[str]) -> None:
    """Print the score of each module, and of all."""
    titles = (*Outcome, "explained", "score")
    print(f"{'module':28}{'mutants':>10}" + "".join(f"{title:>11}" for title in titles))
    for name in (*dict.fromkeys(mutant.module for mutant in mutants), "all"):
        mine = [place for place, mutant in enumerate(mutants) if name in (mutant.module, "all")]
        counts = Counter(outcomes[place] for place in mine)
        known = sum(outcomes[place] is Outcome.SURVIVED and mutants[place].key in explained for place in mine)
        score = 1 - counts[Outcome.SURVIVED] / len(mine)
        numbers = "".join(f"{number:11}" for number in (*(counts[outcome] for outcome in Outcome), known))
        print(f"{name:28}{len(mine):10}{numbers}{score:11.1%}")


def judge(mutants: Sequence[Mutant], outcomes: Sequence[Outcome], explained: Collection[str]) -> bool:
    """Whether every survivor is explained. What is explained and does not survive is told."""
    is_right = True
    for mutant, outcome in zip(mutants, outcomes, strict=True):
        if outcome is Outcome.SURVIVED:
            is_right &= mutant.key in explained
        elif mutant.key in explained:
            print(f"explained, and noticed by a test all the same: {mutant.key}")
    return is_right


if __name__ == "__main__":
    # Sets of texts are walked in another order in each process, unless their hashes are fixed.
    if os.environ.get("PYTHONHASHSEED") != "0":
        command = [sys.executable, "-m", "scripts.mutate", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main(sys.argv[1:]))
