"""Many sagas at once, random answers from a printed seed, with and without crashes on the way."""

import asyncio
import random
from contextlib import suppress

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import SagaEnded
from coordinator.domain.ids import SagaId
from coordinator.domain.saga import Status
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.simulation.world import SUCCEEDS, Reaction
from tests.contract.sagas import ORDER, a_saga
from tests.scenarios.house import House, Services, define, settled, step
from tests.unit.machine.world import judge

FORWARD = {
    Reaction.SUCCEED: 70,
    Reaction.REFUSE: 3,
    Reaction.PEND: 3,
    Reaction.FAULT: 8,
    Reaction.LOSE_THE_REQUEST: 6,
    Reaction.LOSE_THE_REPLY: 6,
    Reaction.DENY: 2,
    Reaction.BABBLE: 2,
}
BACKWARD = {**FORWARD, Reaction.REFUSE: 1}


def an_order() -> SagaDefinition:
    return define(
        step("a", service="orders", attempts_max=5),
        step("b", service="stock", undo=None, attempts_max=4),
        step("c", service="funds", attempts_max=4, on_failure="continue"),
        step("d", service="orders", attempts_max=4),
        ttl_s=30.0,
    )


def random_services(seed: int) -> Services:
    dice = random.Random(seed)
    services = Services()

    def reaction(call: Call) -> Reaction:
        odds = FORWARD if isinstance(call, ExecuteCall) else BACKWARD
        return dice.choices(list(odds), weights=list(odds.values()))[0]

    async def dawdle(_: Call) -> None:
        await asyncio.sleep(dice.random() * 0.004)

    services.otherwise = reaction
    services.before_each = dawdle
    return services


async def judge_all(house: House, sagas: list[SagaId]) -> dict[Status, int]:
    ends: dict[Status, int] = {}
    for saga_id in sagas:
        row = await house.end(saga_id)
        ends[row.status] = ends.get(row.status, 0) + 1
    for late in house.services.cut_off:
        house.services.world.deliver(late, SUCCEEDS)
    for saga_id in sagas:
        saga = await house.saga(saga_id)
        judge(saga.definition, saga, house.services.world)
    assert not await house.store.open_sagas()
    return ends


async def test_of_very_many_that_are_due_at_a_start_all_are_taken_up() -> None:
    store = MemoryJournal()
    sagas = [a_saga(str(number)) for number in range(250)]
    for saga in sagas:
        await saga.start(store)
    async with House(ORDER, store=store.reopened()) as house:
        assert await house.pool.recover() == len(sagas)
        assert await judge_all(house, [saga.id for saga in sagas]) == {Status.COMPLETED: len(sagas)}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_two_hundred_sagas_at_once_keep_the_laws(seed: int) -> None:
    async with House(an_order(), services=random_services(seed), calls_max=20) as house:
        sagas = list(await asyncio.gather(*(house.start() for _ in range(200))))
        ends = await judge_all(house, sagas)
        assert ends[Status.COMPLETED] > 20
        assert ends[Status.COMPENSATED] > 20
        assert max(house.services.busiest.values()) <= 20
        assert house.pool._open == 0
        assert house.feed._listeners == {}


@pytest.mark.parametrize("seed", [4, 5, 6])
async def test_two_hundred_sagas_keep_the_laws_while_coordinators_die_and_customers_cancel(seed: int) -> None:
    dice = random.Random(seed)
    house = House(an_order(), services=random_services(seed), calls_max=20)
    sagas: list[SagaId] = []
    for _ in range(8):
        sagas += await asyncio.gather(*(house.start() for _ in range(25)))
        for saga_id in dice.sample(sagas, 3):
            with suppress(SagaEnded):
                await house.sagas.cancel(saga_id, "changed my mind")
        await asyncio.sleep(dice.random() * 0.03)
        if dice.random() < 0.5:
            await house.dies()
        else:
            await house.pool.park(grace_s=dice.random() * 0.01)
        await settled()
        house.check_that_all_slots_are_free()
        house = house.successor(calls_max=20)
        await house.pool.recover()
    async with house:
        ends = await judge_all(house, sagas)
        assert sum(ends.values()) == 200
        assert len(ends) >= 2
