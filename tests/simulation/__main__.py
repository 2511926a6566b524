"""Simulates as many worlds as there is time for, and says what they came to.

    python -m tests.simulation --minutes 5 [--processes 2] [--from-seed N]
    python -m tests.simulation --seed N [--trace]
    python -m tests.simulation --replay FILE [--trace]

A seed that shows something wrong is made small, and kept as a file in tests/simulation/regressions.
"""

import argparse
import itertools
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.simulation.drawing import draw_plan
from tests.simulation.hunting import Tally, hunt, play_plan
from tests.simulation.plan import FAULTS, WHAT_MAY_HAPPEN, Plan, read_plan
from tests.simulation.rare import NAMES
from tests.simulation.shrinking import law_of, shrink

REGRESSIONS: Final = Path(__file__).parent / "regressions"
FAILURES_MAX: Final = 3
"""So many are made small; more of them would tell nobody more."""
RARE_FROM_SEEDS: Final = 5_000
"""So many seeds reach each of the rare states; fewer need not."""


def main() -> int:
    """Run what the command line asks for; 1 if something is wrong."""
    asked = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=(__doc__ or "").split("\n")[0]
    )
    asked.add_argument("--minutes", type=float, default=5.0)
    asked.add_argument("--processes", type=int, default=2)
    asked.add_argument(
        "--from-seed", type=int, default=0, help="the first seed; 0: one that changes by the hour"
    )
    asked.add_argument("--seed", type=int, help="play this one alone")
    asked.add_argument("--replay", type=Path, help="play the plan in this file")
    asked.add_argument("--trace", action="store_true", help="print what happened, in order")
    told = asked.parse_args()
    if told.seed is not None or told.replay is not None:
        plan = draw_plan(told.seed) if told.seed is not None else read_plan(told.replay.read_text())
        return _play_one(plan, trace=told.trace)
    first = told.from_seed or int(time.time()) // 3600 * 1_000_000
    return _play_many(first, minutes=told.minutes, processes=told.processes)


def _play_one(plan: Plan, *, trace: bool) -> int:
    played = play_plan(plan)
    if trace:
        print("\n".join(played.happened.trace))
    print(f"fingerprint {played.happened.fingerprint}")
    for sentence in played.wrong:
        print(sentence)
    print(f"{len(played.happened.views)} sagas, {len(played.wrong)} violations")
    return 1 if played.wrong else 0


def _play_many(first: int, *, minutes: float, processes: int) -> int:
    began_s = time.monotonic()
    until_s = began_s + minutes * 60
    print(f"seeds from {first} on, for {minutes:g} minutes, in {processes} processes", flush=True)
    tally = Tally()
    shares = [(first + number, processes, until_s) for number in range(processes)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for found in pool.imap_unordered(_hunt_share, shares):
            tally.merge(found)
    print(shown(tally, time.monotonic() - began_s))
    for seed in sorted(tally.failed)[:FAILURES_MAX]:
        keep_small(seed, tally.failed[seed])
    missing = [name for name in NAMES if not tally.rare[name]]
    if missing and tally.seeds >= RARE_FROM_SEEDS:
        print(f"rare states that were never reached: {', '.join(missing)}")
        return 1
    return 1 if tally.failed else 0


def _hunt_share(share: tuple[int, int, float]) -> Tally:
    """Every so manieth seed."""
    first, step, until_s = share
    return hunt(itertools.count(first, step), until_s=until_s)


def keep_small(seed: int, wrong: Sequence[str]) -> None:
    """Make the plan of *seed* small, print it, and keep it as a file that the tests play from now on."""
    print(f"\nseed {seed} at {_commit()}: {wrong[0]}", flush=True)
    small = shrink(draw_plan(seed), wrong)
    REGRESSIONS.mkdir(exist_ok=True)
    path = REGRESSIONS / f"{law_of(wrong).lower().replace(' ', '-')}-{seed}.json"
    path.write_text(small.written())
    print(f"made small: {len(small.orders)} sagas, {len(small.faults)} faults; kept as {path.name}")
    for fault in small.faults:
        print(f"  {fault}")
    print("\n".join(f"  {line}" for line in play_plan(small).happened.trace))


def shown(tally: Tally, took_s: float) -> str:
    """The tally in lines for people."""
    reached = sum(tally.rare[name] > 0 for name in NAMES)
    rarest = sorted((tally.rare[name], name) for name in NAMES)[:8]
    kinds = [*FAULTS, *WHAT_MAY_HAPPEN]
    return f"""\
{tally.seeds} seeds, {tally.sagas} sagas of {tally.orders} orders, in {took_s:.0f} s
  simulated: {tally.simulated_s / 3600:.0f} hours, {tally.steps} steps, {tally.boots} starts of a coordinator
  calls sent: {tally.calls}, ledger rows: {tally.rows}, boundaries passed: {tally.boundaries}
  ended: {_listed(tally.statuses)}
  faults by kind: {_listed(tally.faults, [kind for kind in kinds if tally.faults[kind]])}
  what came of them: {_listed(tally.faults, [kind for kind in tally.faults if kind not in kinds])}
  rare states reached: {reached} of {len(NAMES)}; rarest: {", ".join(f"{name} {n}" for n, name in rarest)}
  violations: {sum(map(len, tally.failed.values()))} in {len(tally.failed)} seeds"""


def _listed(counts: Mapping[str, int], names: Sequence[str] | None = None) -> str:
    chosen = sorted(counts, key=lambda name: -counts[name]) if names is None else names
    return ", ".join(f"{name} {counts[name]}" for name in chosen)


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "an unknown commit"


if __name__ == "__main__":
    sys.exit(main())
