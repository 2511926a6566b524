"""Seeds become plans. Each seed switches on its own kinds of faults (swarm testing, Groce et al. 2012).

Each kind draws from a stream of its own, so that one more of them changes nothing of the others.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.simulation.plan import (
    Again,
    BadWrite,
    ClockJump,
    Echo,
    Edit,
    Fault,
    Freeze,
    FullDisk,
    Hand,
    Kill,
    Look,
    Order,
    Outage,
    Plan,
    Rot,
    SlowDisk,
    Stop,
    Takeover,
    Trick,
    Way,
)
from tests.unit.machine.definitions import INPUT, any_definition

TRANSIENT: Final = (
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "INTERNAL",
    "UNKNOWN",
)
PERMANENT: Final = ("INVALID_ARGUMENT", "UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED", "DATA_LOSS")
VERBS: Final = ("RETRY", "SKIP", "COMPLETE", "FAIL", "CANCEL", "TERMINATE")
_STUMBLES: Final = (
    "fault",
    "pend",
    "error",
    "lose the request",
    "lose the reply",
    "twice",
    "slow",
    "long",
    "no commit",
)
ORDERS_MAX: Final = 60


def draw_plan(seed: int) -> Plan:
    """The plan of *seed*."""
    return _Drawing(seed).plan()


class _Drawing:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        dice = self._dice("world")
        self._definitions = self._draw_definitions()
        self._documents = [json.loads(text) for text in self._definitions]
        # Most worlds are small, where each detail has its chance; a few are crowded.
        self._size = min(ORDERS_MAX, 1 + int(dice.expovariate(1 / 14)))
        self._span_s = dice.choice([0.5, 3.0, 20.0, 90.0])
        """In which orders come and most things happen."""
        self._quiet = dice.random() < 0.05
        self._calls_max = dice.choice([1, 2, 8, 64, 64])
        self._open_max = dice.choice([3, 1_000, 1_000, 1_000])
        self._shuffled = dice.random() < 0.35
        self._restarts = dice.random() < 0.3

    def plan(self) -> Plan:
        orders = tuple(self._orders())
        faults = () if self._quiet else tuple(self._faults(orders))
        last_s = max([order.at_s for order in orders] + [getattr(f, "at_s", None) or 0.0 for f in faults])
        return Plan(
            salt=str(self._seed),
            definitions=tuple(self._definitions),
            orders=orders,
            faults=faults,
            shuffled=self._shuffled,
            calls_per_service_max=self._calls_max,
            sagas_open_max=self._open_max,
            safe_until_s=last_s + self._dice("end").choice([1.0, 10.0, 120.0]),
            restarts_at_rest=self._restarts,
        )

    def _dice(self, stream: str) -> random.Random:
        return random.Random(f"{self._seed}/{stream}")

    def _draw_definitions(self) -> list[str]:
        dice = self._dice("definitions")
        return [_definition(f"Saga{number}", dice) for number in range(dice.choice([1, 1, 2, 3]))]

    def _orders(self) -> Iterator[Order]:
        dice = self._dice("orders")
        for number in range(1, self._size + 1):
            patience_s = dice.choice([0.02, 0.5, 5.0, 60.0])
            again = tuple(
                Again(dice.uniform(0.0, self._span_s), dice.choice([0.5, 30.0]), other=dice.random() < 0.2)
                for _ in range(dice.choice([0, 0, 0, 1, 1, 2]))
            )
            at_s = dice.uniform(0.0, self._span_s)
            yield Order(number, at_s, dice.randrange(len(self._definitions)), INPUT, patience_s, again)

    def _faults(self, orders: Sequence[Order]) -> Iterator[Fault]:
        """Of each kind a number of its own, which for most is none."""
        for name, (chance, draw) in _KINDS.items():
            dice = self._dice(name)
            if dice.random() < chance:
                yield from draw(self, dice, orders)

    # One method for each kind of fault

    def _tricks(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        """Of the kinds that this seed has, at a rate of its own; some steps fail again and again."""
        whats = dice.sample(sorted(_TRICKS), k=dice.randint(1, 5))
        rate = dice.choice([0.05, 0.2, 0.5])
        ways: Sequence[Way] = dice.choice([("do",), ("do", "undo"), ("undo",)])
        for order in orders:
            for step in self._steps(order):
                for way in ways:
                    if dice.random() < rate:
                        what = dice.choice(whats)
                        first, often = dice.choice([0, 0, 0, 1, 2]), dice.choice([1, 1, 1, 2, 3, 8])
                        for call in range(first, first + often):
                            yield _trick(dice, order, step, way, call, what)

    def _stumbles(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        """One thing after the other happens to a step, and none of it need be the end of its saga."""
        rate = dice.choice([0.1, 0.4])
        ways: Sequence[Way] = ("do", "undo")
        for order in orders:
            for step in self._steps(order):
                for way in ways:
                    for call in range(dice.randint(1, 4) if dice.random() < rate else 0):
                        yield _trick(dice, order, step, way, call, dice.choice(_STUMBLES))

    def _doomed(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        """A step is refused, and the undo of those before it is no easy one either."""
        rate = dice.choice([0.2, 0.7])
        for order in orders:
            if dice.random() >= rate:
                continue
            steps = self._steps(order)
            yield Trick(order.number, dice.choice(steps), "do", 0, "refuse", code="SOLD_OUT")
            for step in steps:
                what = dice.choice(["", "", "refuse", "fault", "lose the reply", "pend", "status after"])
                for call in range(dice.choice([1, 2, 30]) if what else 0):
                    yield _trick(dice, order, step, "undo", call, what)

    def _doubtful(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        """Whoever is asked for something decisive does not say, and then says no, or never does."""
        for order in orders:
            pivots = self._steps(order, kinds=("pivot", "retriable"))
            for step in pivots:
                silent = dice.choice([0, 1, 1, 2, 40])
                for call in range(silent):
                    what = dice.choice(["lose the request", "status before", "fault", "error"])
                    yield _trick(dice, order, step, "do", call, what)
                if dice.random() < 0.6:
                    yield Trick(order.number, step, "do", silent, "refuse", code="SOLD_OUT")

    def _echoes(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        rate = dice.choice([0.1, 0.4])
        ways: Sequence[Way] = ("do", "undo")
        for order in orders:
            for step in self._steps(order):
                for way in ways:
                    if dice.random() < rate:
                        call, after_s = dice.choice([0, 0, 0, 1, 2]), dice.choice([0.001, 0.05, 3.0, 45.0])
                        yield Echo(order.number, step, way, call, after_s)

    def _kills(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for _ in range(dice.choice([1, 1, 2, 4])):
            yield Kill(
                away_s=dice.choice([0.01, 0.5, 10.0]),
                at_s=dice.uniform(0.0, self._span_s * 1.2),
                unsynced=dice.choice(["lost", "kept", "torn"]),
                statements=dice.randint(1, 12),
            )

    def _boundary_kills(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        """Most early, where few sagas are; some shortly behind each other, which hits a recovery."""
        at = 0
        for _ in range(dice.choice([1, 2, 3, 6])):
            at += 1 + int(dice.expovariate(1 / dice.choice([3, 20, 20 * len(orders)])))
            yield Kill(
                away_s=dice.choice([0.01, 0.5]),
                boundary=at,
                unsynced=dice.choice(["lost", "kept", "torn"]),
                statements=dice.randint(1, 12),
            )

    def _stops(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for _ in range(dice.choice([1, 2])):
            yield Stop(dice.uniform(0.0, self._span_s * 1.2), dice.choice([0.1, 5.0]))

    def _freezes(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for _ in range(dice.choice([1, 2])):
            yield Freeze(dice.uniform(0.0, self._span_s), dice.choice([0.05, 2.0, 30.0]))

    def _takeovers(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for _ in range(dice.choice([1, 1, 2])):
            at_s = dice.uniform(0.0, self._span_s)
            yield Takeover(at_s, dice.choice([0.01, 0.1, 1.0, 20.0]), dice.choice(["lost", "kept"]))

    def _outages(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        steps = [step for document in self._documents for step in document["steps"]]
        for _ in range(dice.choice([1, 2, 3])):
            yield Outage(
                dice.uniform(0.0, self._span_s),
                dice.choice([0.1, 2.0, 15.0, 80.0]),
                dice.choice(steps)["service"],
                silent=dice.random() < 0.4,
            )

    def _bad_writes(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for _ in range(dice.choice([1, 2])):
            yield BadWrite(dice.randint(1, 10 * len(orders)), kept=dice.random() < 0.5)

    def _full_disks(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        yield FullDisk(dice.uniform(0.0, self._span_s), dice.choice([0.1, 5.0, 60.0]))

    def _slow_disks(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        # Not so slow that two writes, the one under way and one's own, take the second that a deadline may.
        yield SlowDisk(dice.uniform(0.0, self._span_s), dice.choice([0.5, 5.0]), dice.choice([0.05, 0.4]))

    def _rots(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for order in dice.sample(orders, k=min(len(orders), dice.choice([1, 1, 2]))):
            at_s = order.at_s + dice.choice([0.02, 1.0, self._span_s]) * dice.random()
            yield Rot(at_s, order.number)
            # What is driven is not read: most is noticed by the next coordinator.
            yield Kill(away_s=0.01, at_s=at_s + dice.choice([0.0, 1.0]) * dice.random())

    def _clock_jumps(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for _ in range(dice.choice([1, 2])):
            yield ClockJump(dice.uniform(0.0, self._span_s), dice.choice([-3600.0, -1.0, 1.0, 3600.0]))

    def _edits(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for _ in range(dice.choice([1, 2])):
            number = dice.randrange(len(self._definitions))
            text = _definition(f"Saga{number}", dice)
            yield Edit(dice.uniform(0.0, self._span_s), number, text)

    def _hands(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        """People who meddle with whatever there is."""
        verbs = dice.sample(VERBS, k=dice.randint(1, 4))
        for order in orders:
            for _ in range(dice.choice([0, 1, 1, 3])):
                verb = dice.choice(verbs)
                step = "" if verb in ("CANCEL", "TERMINATE") else dice.choice(["?", *self._steps(order)])
                yield Hand(
                    dice.choice([0.0, 0.0, 30.0, 90.0]) + order.at_s + dice.uniform(0.0, self._span_s),
                    order.number,
                    verb,
                    step,
                    stale=dice.random() < 0.1,
                    twice=dice.random() < 0.3,
                )

    def _carers(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        """People who see to what needs them, late enough for it to be there."""
        verbs = dice.choice([("RETRY",), ("RETRY", "SKIP", "COMPLETE"), VERBS])
        for order in orders:
            at_s = order.at_s + dice.choice([3.0, 30.0, 100.0])
            for _ in range(dice.choice([1, 2, 4])):
                at_s += dice.uniform(0.0, 5.0)
                yield Hand(at_s, order.number, dice.choice(verbs), "?", twice=dice.random() < 0.2)

    def _cancels(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        rate = dice.choice([0.1, 0.5])
        for order in orders:
            if dice.random() < rate:
                yield Hand(order.at_s + dice.choice([0.0, 0.05, 2.0]) * dice.random(), order.number, "cancel")

    def _looks(self, dice: random.Random, orders: Sequence[Order]) -> Iterator[Fault]:
        for order in orders:
            for _ in range(dice.choice([0, 1, 2])):
                yield Look(order.at_s + dice.uniform(0.0, self._span_s), order.number)

    def _steps(self, order: Order, kinds: Sequence[str] = ()) -> list[str]:
        return [
            step.get("name", step["transaction"])
            for step in self._documents[order.definition]["steps"]
            if not kinds or step.get("kind") in kinds
        ]


_Draw = Callable[[_Drawing, random.Random, Sequence[Order]], Iterator[Fault]]

_KINDS: Final[Mapping[str, tuple[float, _Draw]]] = {
    "tricks": (0.85, _Drawing._tricks),
    "more tricks": (0.5, _Drawing._tricks),
    "stumbles": (0.35, _Drawing._stumbles),
    "doomed": (0.25, _Drawing._doomed),
    "doubtful": (0.2, _Drawing._doubtful),
    "echoes": (0.2, _Drawing._echoes),
    "kills": (0.35, _Drawing._kills),
    "boundary kills": (0.4, _Drawing._boundary_kills),
    "stops": (0.15, _Drawing._stops),
    "freezes": (0.15, _Drawing._freezes),
    "takeovers": (0.2, _Drawing._takeovers),
    "outages": (0.25, _Drawing._outages),
    "bad writes": (0.1, _Drawing._bad_writes),
    "full disks": (0.1, _Drawing._full_disks),
    "slow disks": (0.1, _Drawing._slow_disks),
    "rots": (0.15, _Drawing._rots),
    "clock jumps": (0.1, _Drawing._clock_jumps),
    "edits": (0.15, _Drawing._edits),
    "hands": (0.35, _Drawing._hands),
    "carers": (0.3, _Drawing._carers),
    "cancels": (0.25, _Drawing._cancels),
    "looks": (0.4, _Drawing._looks),
}
"""How likely each kind is switched on, and how it is drawn."""

_TRICKS: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    "refuse": {"code": ["SOLD_OUT", "NO"]},
    "fault": {"s": [0.0, 0.5, 3.0, 30.0]},
    "pend": {"s": [0.0, 0.1, 2.0, 20.0, 45.0]},
    "error": {},
    "lose the request": {},
    "lose the reply": {},
    "late": {"s": [0.05, 3.0, 11.0, 45.0]},
    "twice": {"s": [0.001, 0.05, 3.0, 45.0]},
    "slow": {"s": [0.05, 3.0, 11.0]},
    "long": {"s": [0.3, 3.0, 15.0]},
    "status before": {"code": [*TRANSIENT, *PERMANENT]},
    "status after": {"code": [*TRANSIENT, *PERMANENT]},
    "other key": {},
    "no outcome": {},
    "garbage": {},
    "not JSON": {},
    "no commit": {},
}


def _trick(dice: random.Random, order: Order, step: str, way: Way, call: int, what: str) -> Trick:
    choices = _TRICKS[what]
    if not choices:
        return Trick(order.number, step, way, call, what)
    details = {name: dice.choice(values) for name, values in choices.items()}
    return Trick(order.number, step, way, call, what, **details)


def _definition(name: str, dice: random.Random) -> str:
    """The text of any definition that can be loaded."""
    return any_definition(dice.randint(1, 6), dice).model_copy(update={"name": name}).text
