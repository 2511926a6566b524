"""The sagas that are explored, and how much may go wrong with each."""

from typing import NamedTuple

from tests.model.facts import Shape, StepShape
from tests.model.protocol import Bounds, Protocol
from tests.model.rules import ALL_RULES, Rules


class Configuration(NamedTuple):
    """One saga, and what may befall it."""

    name: str
    shape: Shape
    bounds: Bounds

    def protocol(self, rules: Rules = ALL_RULES) -> Protocol:
        return Protocol(self.shape, self.bounds, rules)

    def __str__(self) -> str:
        bounds = self.bounds
        limits = [
            _counted(len(self.shape), "step"),
            _counted(bounds.attempts, "attempt"),
            _counted(bounds.crashes, "crash", "crashes"),
            _counted(bounds.takeovers, "takeover"),
            _counted(bounds.acts, "act of a person", "acts of a person"),
        ]
        limits += ["a deadline"] * bounds.has_deadline + ["undos that are refused"] * bounds.refuses_undo
        return f"{self.name}: {', '.join(limit for limit in limits if limit)}"


def _counted(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}" if number else ""


CHAIN: Shape = (StepShape("reserve"), StepShape("charge", (0,)), StepShape("ship", (1,)))
NOTED: Shape = (
    StepShape("reserve"),
    StepShape("note", (0,), has_compensation=False),
    StepShape("ship", (1,)),
)
DECIDED: Shape = (
    StepShape("reserve"),
    StepShape("charge", (0,), is_pivot=True),
    StepShape("ship", (1,), has_compensation=False),
)
FORKED: Shape = (StepShape("flight"), StepShape("hotel"), StepShape("pay", (0, 1)))

ORDER = Configuration(
    "one after another", CHAIN, Bounds(crashes=2, acts=1, has_deadline=True, refuses_undo=True)
)
NOTE = ORDER._replace(name="one that cannot be undone", shape=NOTED)
PIVOT = ORDER._replace(name="a pivot", shape=DECIDED, bounds=ORDER.bounds._replace(acts=2))
OWNERS = Configuration("two owners", CHAIN, Bounds(crashes=1, takeovers=1, has_deadline=True))
PIVOT_OWNERS = OWNERS._replace(
    name="a pivot, two owners", shape=DECIDED, bounds=OWNERS.bounds._replace(acts=1)
)
TRIP = Configuration("side by side", FORKED, Bounds(attempts=1, crashes=1, has_deadline=True))

WHOLE = (ORDER, NOTE, PIVOT, OWNERS, PIVOT_OWNERS, TRIP)
"""What is explored to the last state. The first holds most at once."""

TWO = {
    "two after another": ORDER._replace(shape=CHAIN[:2], bounds=Bounds(crashes=1, acts=1, has_deadline=True)),
    "two, a pivot": PIVOT._replace(shape=DECIDED[:2], bounds=PIVOT.bounds._replace(crashes=1, acts=1)),
    "two, two owners": OWNERS._replace(shape=CHAIN[:2], bounds=Bounds(attempts=1, crashes=1, takeovers=1)),
    "two side by side": TRIP._replace(shape=FORKED[:2], bounds=Bounds(attempts=1)),
}
"""What takes a second each: two steps, and less goes wrong with them."""
