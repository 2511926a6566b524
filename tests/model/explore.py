"""Goes through every state that can be reached, nearest first: a broken law is shown by a shortest run."""

import time
from collections import Counter
from dataclasses import dataclass

from tests.model.laws import Breach, Judge
from tests.model.protocol import Move, Protocol, State


@dataclass(frozen=True, slots=True)
class Explored:
    """What was seen: everything, or all up to the breach."""

    states: int
    moves: int
    depth: int
    seconds: float
    """Of the processor."""
    ends: Counter[str]
    """The states in which nothing goes on by itself, by where the saga stands there."""
    breach: Breach | None = None
    run: tuple[Move, ...] = ()
    """What leads to the breach."""


def explore(protocol: Protocol) -> Explored:
    """Go through all that *protocol* can come to, or up to the first law that is broken."""
    began = time.process_time()
    judge, first = Judge(protocol), protocol.first()
    before: dict[State, State | None] = {first: None}
    ends: Counter[str] = Counter()
    moves = depth = 0

    def explored(breach: Breach | None = None, run: list[Move] | None = None) -> Explored:
        seconds = time.process_time() - began
        return Explored(len(before), moves, depth, seconds, ends, breach, tuple(run or ()))

    layer = [first]
    while layer:
        further = []
        for state in layer:
            goes_on = False
            for move, after in protocol.following(state):
                moves += 1
                goes_on = goes_on or not move.is_mishap
                breach = judge.move(state, move, after)
                if after not in before:
                    before[after] = state
                    further.append(after)
                    breach = breach or judge.state(after)
                if breach is not None:
                    return explored(breach, [*_run_to(state, before, protocol), move])
            if goes_on:
                continue
            ends[protocol.status(state)] += 1
            if (breach := judge.rest(state)) is not None:
                return explored(breach, _run_to(state, before, protocol))
        depth += bool(further)
        layer = further
    return explored()


def _run_to(state: State, before: dict[State, State | None], protocol: Protocol) -> list[Move]:
    """The moves by which *state* was reached first."""
    run: list[Move] = []
    while (earlier := before[state]) is not None:
        run.append(next(move for move, after in protocol.following(earlier) if after == state))
        state = earlier
    return run[::-1]
