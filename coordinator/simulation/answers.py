"""The ways in which a service, or the network before it, answers the calls for one transaction.

Each begins when the transaction is first called. Waits are at their longest where a participant has a say.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from coordinator.domain.definition import CompensationRetryPolicy, RetryPolicy, StepDefinition
from coordinator.domain.language.worst_case import one_round
from coordinator.domain.outcomes import Direction
from coordinator.domain.retry import PENDING_MAX_S
from coordinator.simulation.world import Reaction, Reply

ANSWER_S: Final = 0.05
"""How long an ordinary answer takes."""
SLOW: Final = 0.999
"""How much of its timeout the slowest answer takes that still comes in time."""
WRITE_S: Final = 0.05
"""More than it takes to make an answer durable."""
PENDINGS_MAX: Final = 100
"""A participant that is asked again more often than that is not waited for here until a deadline."""


@dataclass(frozen=True, slots=True)
class Way:
    """What is said: each of *replies* once, and *then* for ever."""

    words: str
    """Behind the name of a step, or of its undo."""
    replies: tuple[Reply, ...]
    then: Reply
    is_lasting: bool = False
    """Whether it goes on until no attempt is left, or no time."""
    is_plain: bool = False
    """Whether it is what everybody thinks of first."""

    def reply(self, number: int) -> Reply:
        """That to call *number*, from 0 on."""
        return self.replies[number] if number < len(self.replies) else self.then


def well(step: StepDefinition) -> Reply:
    """It succeeds."""
    return Reply(Reaction.SUCCEED, takes_s=min(ANSWER_S, step.timeout_s / 10))


def forward_ways(step: StepDefinition) -> Iterator[Way]:
    """All that may come of a transaction but that it succeeds at once."""
    lost, refused = Reply(Reaction.LOSE_THE_REQUEST), _quick(step, Reaction.REFUSE)
    yield from _passing_ways(step)
    yield Way("is refused", (refused,), well(step), is_plain=True)
    yield Way("is refused when it is asked again", (lost, refused), well(step))
    yield from _lasting_ways(step, Direction.FORWARD)


def undo_ways(step: StepDefinition) -> Iterator[Way]:
    """All that may come of a compensation but that it succeeds at once."""
    yield from _passing_ways(step)
    yield Way("is refused", (_quick(step, Reaction.REFUSE),), well(step), is_plain=True)
    yield from _lasting_ways(step, Direction.UNDO)


def slowest(step: StepDefinition, direction: Direction, last: Reaction) -> Way:
    """It fails as often as it may, and then does *last*; each time as slowly as it may."""
    then = Reply(last, takes_s=SLOW * step.timeout_s)
    failures = failures_max(step, direction)
    return Way("is slow until its last attempt", (_slow_fault(step, direction),) * failures, then)


def failures_max(step: StepDefinition, direction: Direction) -> int:
    """How often it may fail, as slowly as it may each time, and be asked again all the same."""
    policy = policy_of(step, direction)
    by_attempts = by_budget = math.inf
    if isinstance(policy, RetryPolicy) and policy.max_attempts is not None:
        by_attempts = policy.max_attempts - 1
    if policy.budget_s is not None:
        by_budget = policy.budget_s // (SLOW * step.timeout_s + policy.max_backoff_s + WRITE_S)
    return int(min(by_attempts, by_budget))


def slow_way(step: StepDefinition, direction: Direction) -> Way:
    """It fails as slowly as it may, and for ever."""
    words, fault = f"faults slowly {_to_the_end(direction)}", _slow_fault(step, direction)
    return Way(words, (), fault, is_lasting=True, is_plain=True)


def pending_until(step: StepDefinition, ttl_s: float) -> Way | None:
    """It is not done before the saga's time is over. None: it would have to be asked too often."""
    wait_s = min(ttl_s, PENDING_MAX_S)
    count = math.ceil(ttl_s / wait_s)
    if count > PENDINGS_MAX:
        return None
    pending = Reply(Reaction.PEND, wait_s=wait_s)
    return Way("is pending until the deadline has passed", (pending,) * count, well(step))


def calls_max(step: StepDefinition, direction: Direction) -> float:
    """How often a call that always fails is made, at most, where each wait is as long as it may be."""
    policy = policy_of(step, direction)
    by_attempts = by_budget = math.inf
    if isinstance(policy, RetryPolicy) and policy.max_attempts is not None:
        by_attempts = policy.max_attempts
    if policy.budget_s is not None:
        longest_s = policy.initial_backoff_s if policy.multiplier == 1 else policy.max_backoff_s
        by_budget = one_round(0.0, policy).attempts + policy.budget_s / longest_s + 2
    return min(by_attempts, by_budget)


def policy_of(step: StepDefinition, direction: Direction) -> RetryPolicy | CompensationRetryPolicy:
    """How often, or how long, a call of *step* in *direction* is tried."""
    return step.retry if direction is Direction.FORWARD else step.compensation_retry


def _passing_ways(step: StepDefinition) -> Iterator[Way]:
    """Those that something else follows if the transaction is asked for again."""
    for words, reaction in (
        ("loses its request once", Reaction.LOSE_THE_REQUEST),
        ("loses its answer once", Reaction.LOSE_THE_REPLY),
        ("faults once", Reaction.FAULT),
        ("is pending once", Reaction.PEND),
        ("ends with a status that does not pass", Reaction.DENY),
        ("is answered by what is no answer", Reaction.BABBLE),
    ):
        yield Way(words, (_quick(step, reaction),), well(step))
    yield Way("answers too late once", (Reply(Reaction.SUCCEED, takes_s=step.timeout_s),), well(step))


def _lasting_ways(step: StepDefinition, direction: Direction) -> Iterator[Way]:
    end = _to_the_end(direction)
    yield slow_way(step, direction)
    yield Way(f"can not be reached {end}", (), _quick(step, Reaction.LOSE_THE_REQUEST), is_lasting=True)
    yield Way(
        f"answers too late {end}",
        (),
        Reply(Reaction.SUCCEED, takes_s=step.timeout_s),
        is_lasting=True,
    )


def _to_the_end(direction: Direction) -> str:
    return "until it is given up" if direction is Direction.FORWARD else "until its budget is spent"


def _quick(step: StepDefinition, reaction: Reaction) -> Reply:
    return Reply(reaction, takes_s=well(step).takes_s)


def _slow_fault(step: StepDefinition, direction: Direction) -> Reply:
    wait_s = policy_of(step, direction).max_backoff_s
    return Reply(Reaction.FAULT, wait_s=wait_s, takes_s=SLOW * step.timeout_s)
