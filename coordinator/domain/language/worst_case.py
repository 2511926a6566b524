"""How long steps take where nothing goes well: every attempt lasts its whole timeout, and every wait its cap.

A participant that is "pending" is waited for without an end, so no bound here covers it.
"""

import math
from heapq import heappop, heappush
from typing import Final

from coordinator.domain.definition import (
    CompensationRetryPolicy,
    RetryPolicy,
    SagaDefinition,
    StepDefinition,
    StepKind,
)
from coordinator.domain.language.graph import places
from coordinator.domain.values import frozen


@frozen
class Stretch:
    """Steps that wait for each other, each with its seconds at worst."""

    steps: tuple[tuple[StepDefinition, float], ...]

    @property
    def length_s(self) -> float:
        return sum(seconds for _, seconds in self.steps)


def forward_s(step: StepDefinition) -> float:
    """From the first Execute to the end of the last one.

    Of a pivot only the first attempt counts: once it has begun, the deadline cuts nothing off.
    """
    if step.kind is StepKind.PIVOT:
        return step.timeout_s
    policy = step.retry
    by_attempts = by_budget = math.inf
    if policy.max_attempts is not None:
        # A participant's hint may ask for a wait as long as the cap, after the first failure already.
        waits = policy.max_attempts - 1
        by_attempts = policy.max_attempts * step.timeout_s + waits * policy.max_backoff_s
    if policy.budget_s is not None:
        by_budget = policy.budget_s + step.timeout_s  # the last attempt begins when the budget ends
    return min(by_attempts, by_budget)


def longest_stretch(definition: SagaDefinition) -> Stretch:
    """What the saga waits for longest before its deadline can cut nothing off any more: before its pivot has
    been asked once, or, without a pivot, before its end.

    Every step is taken to last as long as it may, and to begin as soon as what it depends on has ended and
    one of `maxParallel` is free.
    """
    drawn, pivot = definition.graph, definition.pivot
    within = range(len(definition.steps)) if pivot is None else [*places(drawn.ancestors[pivot]), pivot]
    waits_for = {place: drawn.parents[place].bit_count() for place in within}
    children: dict[int, list[int]] = {place: [] for place in within}
    for place in within:
        for parent in places(drawn.parents[place]):
            children[parent].append(place)
    ready = [place for place in within if waits_for[place] == 0]  # a heap, for it is sorted
    at_work: list[tuple[float, int]] = []
    made_room: dict[int, int | None] = {}
    now, ended = 0.0, None
    while ready or at_work:
        while ready and len(at_work) < definition.parallel_max:
            place = heappop(ready)
            made_room[place] = ended
            heappush(at_work, (now + forward_s(definition.steps[place]), place))
        now, ended = heappop(at_work)
        for child in children[ended]:
            waits_for[child] -= 1
            if waits_for[child] == 0:
                heappush(ready, child)
    backwards = []
    while ended is not None:
        step = definition.steps[ended]
        backwards.append((step, forward_s(step)))
        ended = made_room[ended]
    return Stretch(tuple(reversed(backwards)))


@frozen
class Round:
    """Attempts until the backoff has grown to its cap, the wait at the cap among them."""

    attempts: int
    length_s: float


def one_round(timeout_s: float, policy: RetryPolicy | CompensationRetryPolicy) -> Round:
    """One round of retries of a call that may take *timeout_s*."""
    initial_s, cap_s, multiplier = policy.initial_backoff_s, policy.max_backoff_s, policy.multiplier
    if multiplier == 1:  # it never grows: one attempt and one wait are like all others
        return Round(1, timeout_s + initial_s)
    below = math.ceil(math.log(cap_s / initial_s) / math.log(multiplier) - _ROUNDING)
    waits_s = initial_s * (multiplier**below - 1) / (multiplier - 1) + cap_s
    return Round(below + 1, (below + 1) * timeout_s + waits_s)


_ROUNDING: Final = 1e-9
"""1 × 2 × 2 is 4, whatever their logarithms say."""
