"""Explores the protocol to the last state, then each twin until a law is broken. It fails if the protocol
breaks a law, or a twin none."""

import gc
import sys
from collections.abc import Mapping, Sequence

from tests.model.configurations import WHOLE, Configuration
from tests.model.explore import Explored, explore
from tests.model.laws import LAWS
from tests.model.telling import told
from tests.model.twins import TWINS, Twin


def main(whole: Sequence[Configuration] = WHOLE, twins: Mapping[str, Twin] = TWINS) -> int:
    """Print what was explored; 0 if all is as it must be."""
    print("The protocol, all that can happen. Of a call any number of copies may come, at any time or never.")
    explored = []
    for configuration in whole:
        explored.append(explore(configuration.protocol()))
        print(f"\n{configuration}\n  {_measured(explored[-1])}; {_judged(explored[-1])}")
        _print_run(explored[-1], configuration)
    print("\nIts twins, each without one rule:")
    refuted = 0
    for rule, twin in twins.items():
        found = explore(twin.protocol(rule))
        refuted += found.breach is not None
        name, where = rule.replace("_", " "), twin.configuration.name
        print(f"\nwithout “{name}” ({where}), within {found.states:,} states: {_judged(found)}")
        _print_run(found, twin.configuration)
    broken = sum(one.breach is not None for one in explored)
    states, seconds = sum(one.states for one in explored), sum(one.seconds for one in explored)
    print(f"\nstates explored: {states:,} in {seconds:.0f} s; {len(LAWS)} laws, broken: {broken}; ", end="")
    print(f"twins refuted: {refuted} of {len(twins)}")
    return int(broken > 0 or refuted < len(twins))


def _measured(explored: Explored) -> str:
    ends = ", ".join(f"{status} {count:,}" for status, count in sorted(explored.ends.items()))
    return (
        f"{explored.states:,} states, {explored.moves:,} moves, depth {explored.depth}, "
        f"{explored.seconds:.0f} s; ends: {ends}"
    )


def _judged(explored: Explored) -> str:
    if explored.breach is None:
        return "no law is broken"
    return f"{explored.breach.law} is broken: {explored.breach.sentence}"


def _print_run(explored: Explored, configuration: Configuration) -> None:
    for line in told(explored.run, configuration.shape):
        print(f"  {line}")
    sys.stdout.flush()


if __name__ == "__main__":
    gc.disable()  # nothing here goes in circles, and millions of states are kept
    sys.exit(main())
