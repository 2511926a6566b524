"""The machine's clock is set back an hour between two coordinators, and no saga notices.

Each lives by its own time, which goes on from its newest record.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Final

import pytest

from coordinator.adapters.aside import OnTheSpot
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.events import DeadlinePassed, Event, OperatorActed, SagaResumed, Verb
from coordinator.domain.ids import SagaId
from coordinator.domain.outcomes import Pending
from coordinator.domain.saga import Status
from coordinator.ports.journal import Journal
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, Services, define, settled, soon
from tests.scenarios.telling.quick_time import run
from tests.scenarios.test_operators import Damaged, act

BEFORE_S: Final = 1_700_000_000.0
HOUR_S: Final = 3_600.0
LATE_S: Final = 0.1
"""Far less than anything here waits for, and more than what is done meanwhile takes."""


class MachineClock:
    """Keeps the port `Clock`: the time of the loop and what the machine makes of it."""

    def __init__(self, off_by_s: float = BEFORE_S) -> None:
        self._off_by_s = off_by_s

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self._off_by_s


def in_quick_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Nobody waits for what a test here waits for."""

    @wraps(test)
    def hurried(*args: Any, **named: Any) -> None:
        run(test(*args, **named))

    return hurried


def a_house(*definitions: SagaDefinition, clock: MachineClock | None = None) -> House:
    return House(*definitions, services=Services(), clock=clock or MachineClock(), aside=OnTheSpot())


async def an_hour_earlier(house: House, *, journal: Journal | None = None) -> House:
    """The next coordinator, after a kill: the machine came back with its clock an hour back."""
    await house.dies()
    house.clock = MachineClock(BEFORE_S - HOUR_S)
    after = house.successor(store=house.store, journal=journal)
    assert await after.pool.recover() == 1
    return after


async def killed(house: House, at: str) -> SagaId:
    """A saga whose coordinator is about to die while this step is asked for."""
    held = house.services.hold(at)
    saga_id = await house.start()
    await soon(held.arrived)
    return saga_id


async def waiting(house: House, *, for_s: float) -> SagaId:
    """A saga whose step b is to be asked again after so long."""
    house.services.plan("b", "do", Pending(for_s))
    saga_id = await house.start()
    while "StepPending b" not in await house.told(saga_id):
        await asyncio.sleep(0.001)
    return saga_id


async def times(house: House, saga_id: SagaId) -> Sequence[float]:
    return [event.at for event in await house.history(saga_id)]


async def newest(house: House, saga_id: SagaId) -> float:
    return (await times(house, saga_id))[-1]


async def only(kind: type[Event], house: House, saga_id: SagaId) -> Event:
    (event,) = [event for event in await house.history(saga_id) if isinstance(event, kind)]
    return event


@in_quick_time
async def test_the_times_of_a_timeline_never_go_back() -> None:
    house = a_house(define("a", "b", "c"))
    saga_id = await killed(house, "b")
    before = await newest(house, saga_id)
    house.services.plan("c", "do", Reaction.FAULT, Reaction.REFUSE)
    async with await an_hour_earlier(house) as after:
        assert (await after.end(saga_id)).status is Status.COMPENSATED
        told = await times(after, saga_id)
        assert told == sorted(told)
        assert told[-1] < before + LATE_S
        assert (await only(SagaResumed, after, saga_id)).at == before


@in_quick_time
async def test_nor_do_they_over_a_second_restart_into_the_right_time() -> None:
    house = a_house(define("a", "b", "c"))
    saga_id = await killed(house, "b")
    held = house.services.hold("b")
    second = await an_hour_earlier(house)
    await soon(held.arrived)
    await asyncio.sleep(15.0)
    await second.dies()
    second.clock = MachineClock()
    async with second.successor() as third:
        await third.pool.recover()
        assert (await third.end(saga_id)).status is Status.COMPLETED
        told = await times(third, saga_id)
        assert told == sorted(told)
        assert told[0] + 15.0 <= told[-1] < told[0] + 15.0 + LATE_S


@pytest.mark.parametrize("is_asleep", [False, True], ids=["under way", "asleep"])
@in_quick_time
async def test_a_deadline_is_as_far_away_as_it_was(is_asleep: bool) -> None:
    house = a_house(define("a", "b", ttl_s=10.0))
    saga_id = await waiting(house, for_s=3_000.0) if is_asleep else await killed(house, "b")
    house.services.hold("b")
    deadline_at = (await house.saga(saga_id)).deadline_at
    assert deadline_at is not None
    async with await an_hour_earlier(house) as after:
        assert (saga_id in after.pool._sleepers) is is_asleep
        since_s = asyncio.get_running_loop().time()
        assert (await after.end(saga_id)).status is Status.COMPENSATED
        assert 10.0 - LATE_S < asyncio.get_running_loop().time() - since_s < 10.0 + LATE_S
        assert deadline_at <= (await only(DeadlinePassed, after, saga_id)).at < deadline_at + LATE_S
        if not is_asleep:
            calls = dict(zip(after.services.sent(), after.services.timeouts_s, strict=True))
            assert 10.0 - LATE_S < calls["do b"] <= 10.0


@pytest.mark.parametrize("is_asleep", [False, True], ids=["under way", "asleep"])
@in_quick_time
async def test_what_is_due_in_a_second_is_done_in_a_second(is_asleep: bool) -> None:
    house = a_house(define("a", "b"))
    if is_asleep:
        saga_id = await waiting(house, for_s=1.0)
    else:
        saga_id = await killed(house, "b")
        house.services.plan("b", "do", Pending(1.0))
    async with await an_hour_earlier(house) as after:
        assert (saga_id in after.pool._sleepers) is is_asleep
        since_s = asyncio.get_running_loop().time()
        assert (await after.end(saga_id)).status is Status.COMPLETED
        assert 1.0 - LATE_S < asyncio.get_running_loop().time() - since_s < 1.0 + LATE_S


@in_quick_time
async def test_what_was_due_by_the_sagas_own_time_is_not_waited_for() -> None:
    house = a_house(define("a", "b"))
    saga_id = await waiting(house, for_s=1.0)
    held = [house.services.hold("b") for _ in range(2)]
    await soon(held[0].arrived)
    await house.dies()
    # That it is asked again has no record, but that it is taken up while it is asked has.
    second = house.successor()
    await second.pool.recover()
    await soon(held[1].arrived)
    async with await an_hour_earlier(second) as after:
        assert saga_id not in after.pool._sleepers
        since_s = asyncio.get_running_loop().time()
        assert (await after.end(saga_id)).status is Status.COMPLETED
        assert asyncio.get_running_loop().time() - since_s < LATE_S


@pytest.mark.parametrize("is_asleep", [False, True], ids=["under way", "asleep"])
@in_quick_time
async def test_a_person_is_shown_and_acts_at_the_sagas_own_time(is_asleep: bool) -> None:
    house = a_house(define("a", "b"))
    saga_id = await waiting(house, for_s=60.0) if is_asleep else await killed(house, "b")
    house.services.hold("b")
    async with await an_hour_earlier(house) as after:
        await settled()
        before = await newest(house, saga_id)
        await asyncio.sleep(20.0)
        _, possible = await after.sagas.possible_actions(saga_id)
        assert {before + 20.0 <= event.at < before + 20.0 + LATE_S for event, _ in possible} == {True}
        # Whether it waits is a question of time: a retry of what is being asked is refused.
        assert (Verb.RETRY in {event.verb for event, _ in possible}) is is_asleep
        await act(after, saga_id, Verb.SKIP, "b")
        acted = await only(OperatorActed, after, saga_id)
        assert before + 20.0 <= acted.at < before + 20.0 + LATE_S
        assert (await after.end(saga_id)).status is Status.COMPLETED


@in_quick_time
async def test_a_person_acts_on_a_dead_letter_after_what_it_came_to() -> None:
    house = a_house(define("a", "b"))
    house.services.plan("b", "do", Reaction.REFUSE)
    house.services.plan("a", "undo", Reaction.REFUSE)
    saga_id = (await house.run()).id
    await house.dies()
    house.clock = MachineClock(BEFORE_S - HOUR_S)
    async with house.successor() as after:
        before = await newest(after, saga_id)
        _, possible = await after.sagas.possible_actions(saga_id)
        assert {event.at for event, _ in possible} == {before}
        await act(after, saga_id, Verb.RETRY, "a")
        assert (await only(OperatorActed, after, saga_id)).at == before
        assert (await after.end(saga_id)).status is Status.COMPENSATED
        told = await times(after, saga_id)
        assert told == sorted(told)


@in_quick_time
async def test_a_saga_is_set_aside_after_what_it_came_to() -> None:
    house = a_house(define("a", "b"))
    saga_id = await killed(house, "b")
    house.services.plan("b", "do", ValueError("a bug of ours"))
    async with await an_hour_earlier(house) as after:
        row = await after.sagas.wait(saga_id, timeout_s=20)
        assert row.needs_person
        assert row.updated_at >= await newest(after, saga_id)


@in_quick_time
async def test_one_that_cannot_be_read_is_set_aside_and_ended_after_what_it_came_to() -> None:
    house = a_house(define("a", "b"))
    saga_id = await killed(house, "b")
    journal = Damaged(house.store)
    journal.damaged.add(saga_id)
    before = await newest(house, saga_id)
    async with await an_hour_earlier(house, journal=journal) as after:
        row = await after.sagas.wait(saga_id, timeout_s=20)
        assert row.updated_at == before
        _, possible = await after.sagas.possible_actions(saga_id)
        assert [event.at for event, _ in possible] == [before]
        await act(after, saga_id, Verb.TERMINATE)
        assert (await only(OperatorActed, after, saga_id)).at == before


@in_quick_time
async def test_a_saga_from_the_future_brings_no_deadline_of_others_on() -> None:
    house = a_house(define("a", ttl_s=10.0), clock=MachineClock(BEFORE_S + HOUR_S))
    ahead = await killed(house, "a")
    held = house.services.hold("a")
    async with await an_hour_earlier(house) as after:
        await soon(held.arrived)
        row = await after.end(await after.start())
        assert row.status is Status.COMPLETED
        assert row.started_at < BEFORE_S
        held.answer()
        assert (await after.end(ahead)).status is Status.COMPLETED
