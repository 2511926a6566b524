"""Many seeds, one after the other: what they came to, and the first that shows something wrong."""

import asyncio
import gc
import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from coordinator.simulation.loop import GoesInCircles
from tests.simulation.drawing import draw_plan
from tests.simulation.judging import Watch, play
from tests.simulation.notes import Happened
from tests.simulation.plan import Plan
from tests.simulation.rare import reached
from tests.simulation.world import World

WORLDS_BETWEEN_COLLECTIONS: Final = 5
"""Few, so that their memory is still near when it is used again."""
COLLECTIONS_BETWEEN_WHOLE_ONES: Final = 50
"""What is older than those worlds is kept for those to come, and hardly ever dies."""


@dataclass(frozen=True)
class Played:
    """What came of one plan."""

    plan: Plan
    happened: Happened
    wrong: Sequence[str]
    rare: frozenset[str]
    tricks: Counter[str]


@dataclass
class Tally:
    """What came of many."""

    seeds: int = 0
    sagas: int = 0
    orders: int = 0
    simulated_s: float = 0.0
    steps: int = 0
    calls: int = 0
    rows: int = 0
    boots: int = 0
    boundaries: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rare: Counter[str] = field(default_factory=Counter)
    failed: dict[int, Sequence[str]] = field(default_factory=dict)
    """What was wrong, by seed."""
    fingerprints: dict[int, str] = field(default_factory=dict)

    def add(self, seed: int, played: Played) -> None:
        happened = played.happened
        self.seeds += 1
        self.sagas += len(happened.views)
        self.orders += len(played.plan.orders)
        self.simulated_s += happened.simulated_s
        self.steps += happened.steps
        self.calls += len(happened.sends)
        self.rows += len(happened.rows)
        self.boots += len(happened.boots)
        self.boundaries += happened.boundaries
        self.statuses.update(str(view.summary.status) for view in happened.views.values())
        self.faults.update(happened.marks)
        self.faults.update(played.tricks)
        self.rare.update(played.rare)
        self.fingerprints[seed] = happened.fingerprint
        if played.wrong:
            self.failed[seed] = played.wrong

    def merge(self, other: "Tally") -> None:
        for name in (
            "seeds",
            "sagas",
            "orders",
            "simulated_s",
            "steps",
            "calls",
            "rows",
            "boots",
            "boundaries",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, more in (
            (self.statuses, other.statuses),
            (self.faults, other.faults),
            (self.rare, other.rare),
        ):
            mine.update(more)
        self.failed.update(other.failed)
        self.fingerprints.update(other.fingerprints)


def play_plan(plan: Plan) -> Played:
    """Play *plan* and judge what came of it. Nothing is logged meanwhile: many sagas need a person."""
    told = logging.root.manager.disable
    logging.disable()
    world = World(plan, Watch())
    try:
        happened, wrong = play(world)
    except GoesInCircles as error:
        happened, wrong = world.happened, [f"I19: it goes in circles: {error}"]
    finally:
        logging.disable(told)
    played = Played(plan, happened, wrong, frozenset(reached(world)), world.services.met)
    world.take_apart()
    return played


def hunt(seeds: Iterable[int], *, until_s: float = math.inf, first_only: bool = False) -> Tally:
    """Play *seeds* in turn until it is later than *until_s* (of `time.monotonic`), or with *first_only* until
    one shows something wrong."""
    tally = Tally()
    # Worlds have circles in them, and are dead at once: to look for these all the time takes a tenth of it,
    # and so does looking for them among all that is loaded for good.
    gc.collect()
    gc.freeze()
    gc.disable()
    # asyncio lists all tasks for whoever asks for them, which nobody does here: that takes a fiftieth.
    tasks = asyncio.tasks._all_tasks  # type: ignore[attr-defined]
    tasks.add = _leave_out
    try:
        for number, seed in enumerate(seeds):
            if time.monotonic() >= until_s or (first_only and tally.failed):
                break
            tally.add(seed, play_plan(draw_plan(seed)))
            if number % WORLDS_BETWEEN_COLLECTIONS == 0:
                is_whole = number % (WORLDS_BETWEEN_COLLECTIONS * COLLECTIONS_BETWEEN_WHOLE_ONES) == 0
                gc.collect(2 if is_whole else 0)
    finally:
        del tasks.add
        gc.enable()
        gc.unfreeze()
    return tally


def _leave_out(_: asyncio.Task[Any]) -> None:
    """It goes into no list."""
