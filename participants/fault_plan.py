"""A fault plan: which calls go wrong, and how.  Read from JSON, strictly, every fault of it named.

    {"seed": 7, "rules": [
      {"service": "PaymentService", "transaction": "processPayment", "probability": 0.1,
       "fault": "faulted", "code": "DATABASE_BUSY", "retry_after_ms": 50},
      {"transaction": "*", "compensation": "*",
       "fault": "latency", "distribution": "exponential", "mean_ms": 20, "max_ms": 500}]}

A rule concerns the Executes that `transaction` names and the Compensates that `compensation` names
("*": all; at least one of the two is said), of `service` ("*", the default: all).  `when` narrows it
to an input: {"field": "items.item_id", "equals": "sku-1"} (or "one_of": […]); a list on the way
matches where one of its elements does.  It fires with `probability` (1), at most `times` times
(counted per service and kept over restarts).  Of several rules that would each replace the answer,
the first that fires does; latencies add up.  `stream_broken` ends the stream on which a call came, with
its other calls unanswered; a call that came alone ends as one does whose connection is lost.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from participants.calls import Call, Operation

# What services there are and which transactions and compensations each has; None: not checked.
Known: TypeAlias = Mapping[str, Mapping[Operation, frozenset[str]]]
ANY = "*"
CODE_DEFAULT = "FAULT_INJECTED"
MESSAGE_DEFAULT = "A fault plan asked for this."


class Stage(Enum):
    """When a fault strikes; of INSTEAD and AFTER, at most one strikes a call."""

    DELAY = "before the effect, adding up"
    INSTEAD = "in place of the effect"
    AROUND = "besides the effect"
    AFTER = "once the effect is committed"


STAGES: Mapping[str, Stage] = {
    "latency": Stage.DELAY,
    "refused": Stage.INSTEAD,
    "faulted": Stage.INSTEAD,
    "pending": Stage.INSTEAD,
    "status": Stage.INSTEAD,
    "hang": Stage.INSTEAD,
    "crash_before_effect": Stage.INSTEAD,
    "redeliver": Stage.AROUND,
    "barrier_off": Stage.AROUND,
    "crash_after_effect": Stage.AFTER,
    "reply_lost": Stage.AFTER,
    "stream_broken": Stage.AFTER,
    "wrong_key": Stage.AFTER,
    "empty_outcome": Stage.AFTER,
    "malformed_output": Stage.AFTER,
    "oversized_answer": Stage.AFTER,
}


@dataclass(frozen=True, slots=True)
class Delay:
    """A distribution of delays, never longer than its cap."""

    distribution: str
    # The fixed delay, the shortest, the mean or the median, by distribution.
    typical_s: float
    max_s: float
    sigma: float = 0.0

    def draw(self, chance: random.Random) -> float:
        match self.distribution:
            case "uniform":
                drawn = chance.uniform(self.typical_s, self.max_s)
            case "exponential":
                drawn = chance.expovariate(1 / self.typical_s)
            case "lognormal":
                drawn = self.typical_s * chance.lognormvariate(0.0, self.sigma)
            case _:
                drawn = self.typical_s
        return min(drawn, self.max_s)


@dataclass(frozen=True, slots=True)
class Condition:
    """A field of the input, and the values with which a rule concerns it."""

    path: tuple[str, ...]
    values: tuple[object, ...]

    def holds(self, given: object) -> bool:
        return any(_same(found, value) for found in _find(given, self.path) for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that goes wrong.  Which of the last fields are set depends on the kind of fault."""

    kind: str
    service: str = ANY
    transaction: str | None = None
    compensation: str | None = None
    when: Condition | None = None
    probability: float = 1.0
    times: int | None = None
    delay: Delay | None = None
    code: str = CODE_DEFAULT
    message: str = MESSAGE_DEFAULT
    # When to ask again or retry, or how much later a redelivery comes.
    after_s: float | None = None
    status: str | None = None
    size_bytes: int = 0

    @property
    def stage(self) -> Stage:
        return STAGES[self.kind]

    def concerns(self, call: Call) -> bool:
        named = self.transaction if call.operation is Operation.EXECUTE else self.compensation
        return (
            self.service in (ANY, call.service)
            and named in (ANY, call.name)
            and (self.when is None or self.when.holds(call.input))
        )


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that goes wrong.  The empty plan is no fault at all."""

    text: str = "{}"
    seed: int = 0
    rules: tuple[Rule, ...] = ()
    known: Known | None = field(default=None, repr=False)


def _find(given: object, path: tuple[str, ...]) -> list[object]:
    """Every value at *path*, where a list stands for each of its elements."""
    if isinstance(given, list):
        return [found for item in given for found in _find(item, path)]
    if not path:
        return [given]
    if isinstance(given, dict) and path[0] in given:
        return _find(given[path[0]], path[1:])
    return []


def _same(found: object, value: object) -> bool:
    # JSON's true is not 1, though Python's is.
    return type(found) is type(value) and found == value
