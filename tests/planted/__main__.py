"""Plants each bug of the catalogue, one at a time, and tells by what it was found, and how soon.

    python -m tests.planted [--only NAME ...] [--processes 2] [--seconds 40]

The seconds are of CPU time: so long a bug is looked for. One that is not found is red.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Final

from tests.planted.catalogue import BUGS, LISTED
from tests.planted.looking import shown_without
from tests.planted.planting import Looked, plant_and_look

SENTENCE_CHARS_MAX: Final = 160
SLOWEST: Final = 5
"""So many of them are named at the end."""


def main() -> int:
    """Run what the command line asks for; 1 if a bug was not found."""
    asked = argparse.ArgumentParser(
        prog="python -m tests.planted", description=(__doc__ or "").split("\n")[0]
    )
    asked.add_argument("--only", nargs="+", choices=BUGS, metavar="NAME", help="these alone")
    asked.add_argument("--processes", type=int, default=2)
    asked.add_argument("--seconds", type=float, default=40.0)
    told = asked.parse_args()
    bugs = [BUGS[name] for name in told.only] if told.only else LISTED
    begun_s = time.monotonic()
    looked = []
    # Threads that wait for processes.
    with ThreadPoolExecutor(told.processes) as pool:
        for done in as_completed([pool.submit(plant_and_look, bug, told.seconds) for bug in bugs]):
            looked.append(held_against_the_product(done.result()))
            print(_line(looked[-1]), flush=True)
    print(_summary(looked, time.monotonic() - begun_s))
    return 0 if all(one.is_found for one in looked) else 1


def held_against_the_product(one: Looked) -> Looked:
    """Not found, if what was found is there without the bug."""
    if one.found is None or not one.is_found:
        return one
    if not shown_without(one.found.where):
        return one
    return replace(
        one, found=None, fault=f"at {one.found.where} the product shows something wrong without it"
    )


def _line(one: Looked) -> str:
    found = one.found
    if found is None:
        return f"{one.bug.name}: NOT FOUND: {one.fault}"
    looked_at = f"{found.looked_at} {one.bug.looked_among}"
    if not one.is_found:
        return f"{one.bug.name}: NOT FOUND in {looked_at}, {found.cpu_s:.1f} s: {one.bug.breaks}"
    sentence = found.sentence.split("\n")[0][:SENTENCE_CHARS_MAX]
    return f"{one.bug.name}: found in {found.cpu_s:.1f} s, {looked_at}, at {found.where}: {sentence}"


def _summary(looked: Sequence[Looked], took_s: float) -> str:
    times = sorted(((one.found.cpu_s, one.bug.name) for one in looked if one.found is not None), reverse=True)
    missed = sorted(one.bug.name for one in looked if not one.is_found)
    middle_s = times[len(times) // 2][0] if times else 0.0
    cpu_s = sum(seconds for seconds, _ in times)
    lines = [
        f"{len(looked) - len(missed)} of {len(looked)} bugs found, in {took_s:.0f} s",
        f"CPU time: {cpu_s:.0f} s in all, {middle_s:.1f} s for the one in the middle",
        f"slowest: {', '.join(f'{name} {seconds:.0f} s' for seconds, name in times[:SLOWEST])}",
    ]
    return "\n".join([*lines, f"NOT FOUND: {', '.join(missed)}"] if missed else lines)


if __name__ == "__main__":
    sys.exit(main())
