"""Failures are made small: a plan that shows something wrong loses whatever it does not need for that.

Faults first, then sagas, then steps, then what is left of each; by halves, as in delta debugging (Zeller and
Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from coordinator.domain.definition import parse_definition
from coordinator.domain.errors import InvalidDefinition
from tests.simulation.hunting import play_plan
from tests.simulation.plan import Echo, Edit, Hand, Kill, Order, Plan, Trick

PLAYS_MAX: Final = 1_500

_T = TypeVar("_T")


def law_of(wrong: Sequence[str]) -> str:
    """Which law the first of these sentences is about ("I6"), or how it begins."""
    words = wrong[0].split(": ")
    return next((word for word in words if word[:1] == "I" and word[1:].isdigit()), words[0])


def shrink(plan: Plan, wrong: Sequence[str], *, plays_max: int = PLAYS_MAX) -> Plan:
    """The smallest plan found that breaks the same law; it takes at most *plays_max* plays."""
    shrinking = _Shrinking(plan, law_of(wrong), plays_max)
    shrinking.kill_by_time()
    shrinking.look_at_one(wrong[0])
    return shrinking.smallest()


class _Shrinking:
    def __init__(self, plan: Plan, law: str, plays_max: int) -> None:
        self._plan = plan
        self._law = law
        self._plays_left = plays_max

    def kill_by_time(self) -> None:
        """Say of each kill when it comes, not at which boundary: that is another one with fewer sagas."""
        at_s = play_plan(self._plan).happened.killed_at_s
        faults = [
            replace(fault, boundary=None, at_s=at_s[fault.boundary])
            if isinstance(fault, Kill) and fault.boundary in at_s
            else fault
            for fault in self._plan.faults
        ]
        self._try(replace(self._plan, faults=tuple(faults)))

    def look_at_one(self, sentence: str) -> None:
        """Leave out at once whatever is not about the saga that *sentence* names, if it does not matter."""
        if (named := re.search(r"saga (\d+)\.", sentence)) is not None:
            mine = [order for order in self._plan.orders if order.number == int(named[1])]
            self._try(_with_orders(self._plan, mine))

    def smallest(self) -> Plan:
        before = None
        while before != self._plan and self._plays_left > 0:
            before = self._plan
            self._fewer(lambda plan: plan.faults, lambda plan, faults: replace(plan, faults=tuple(faults)))
            self._fewer(lambda plan: plan.orders, _with_orders)
            self._fewer_steps()
            for simpler in self._simpler():
                self._try(simpler)
        return self._plan

    def _try(self, plan: Plan) -> bool:
        """Keep *plan* if it still breaks the law."""
        if self._plays_left <= 0 or plan == self._plan:
            return False
        self._plays_left -= 1
        wrong = play_plan(plan).wrong
        if not wrong or law_of(wrong) != self._law:
            return False
        self._plan = replace(plan, note=wrong[0])
        return True

    def _fewer(
        self, parts: Callable[[Plan], Sequence[_T]], without: Callable[[Plan, Sequence[_T]], Plan]
    ) -> None:
        """Leave out stretches of *parts*: first halves, at last single ones."""
        size = len(parts(self._plan))
        while size > 0:
            place = 0
            while place < len(parts(self._plan)):
                mine = parts(self._plan)
                if not self._try(without(self._plan, [*mine[:place], *mine[place + size :]])):
                    place += size
            size //= 2

    def _fewer_steps(self) -> None:
        for number in range(len(self._plan.definitions)):
            place = 0
            while place < len(json.loads(self._plan.definitions[number])["steps"]):
                smaller = _without_step(self._plan, number, place)
                if smaller is None or not self._try(smaller):
                    place += 1

    def _simpler(self) -> Iterator[Plan]:
        plan = self._plan
        yield replace(plan, shuffled=False)
        yield replace(plan, restarts_at_rest=False)
        yield replace(plan, calls_per_service_max=64)
        yield replace(plan, sagas_open_max=1_000)
        for order in plan.orders:
            yield _with_orders(
                self._plan,
                [replace(o, again=()) if o.number == order.number else o for o in self._plan.orders],
            )


def _with_orders(plan: Plan, orders: Sequence[Order]) -> Plan:
    """With these orders alone, and nothing that is about others."""
    numbers = {order.number for order in orders}
    faults = tuple(f for f in plan.faults if not isinstance(f, Trick | Echo | Hand) or f.order in numbers)
    return replace(plan, orders=tuple(orders), faults=faults)


def _without_step(plan: Plan, number: int, place: int) -> Plan | None:
    """Without a step of one definition, if what is left can be loaded."""
    document = json.loads(plan.definitions[number])
    steps = document["steps"]
    gone = steps[place].get("name", steps[place]["transaction"])
    del steps[place]
    for step in steps:
        if gone in step.get("dependsOn", ()):
            step["dependsOn"].remove(gone)
    try:
        text = parse_definition(json.dumps(document), source="a smaller plan").text
    except InvalidDefinition:
        return None
    definitions = (*plan.definitions[:number], text, *plan.definitions[number + 1 :])
    mine = {order.number for order in plan.orders if order.definition == number}
    faults = tuple(
        fault
        for fault in plan.faults
        if not (isinstance(fault, Trick | Echo | Hand) and fault.order in mine and fault.step == gone)
        and not (isinstance(fault, Edit) and fault.definition == number)
    )
    return replace(plan, definitions=definitions, faults=faults)
