"""The limit of calls in flight per service: it holds, it is fair, and no way through it keeps a slot."""

import asyncio

import pytest

from coordinator.domain.errors import Overloaded, RequestIdTaken
from coordinator.domain.outcomes import Pending
from coordinator.domain.saga import Status
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, JournalAround, define, settled, soon, step, until

SHARED = define(step("a", service="slow"), step("b", service="quick"))


async def test_a_service_never_has_more_calls_in_flight_than_its_limit_and_others_are_not_delayed() -> None:
    fast = define("x", "y", name="Fast")
    async with House(SHARED, fast, calls_max=2) as house:
        held = [house.services.hold("a") for _ in range(10)]
        slow = [await house.start() for _ in range(10)]
        await until(lambda: house.services.busy["slow"] == 2)
        done = await asyncio.gather(*(house.run(name="Fast") for _ in range(10)))
        assert {row.status for row in done} == {Status.COMPLETED}
        assert house.services.busy["slow"] == 2
        assert house.services.sent().count("do a") == 2
        for call in held:
            await soon(call.arrived)
            call.answer()
        assert {(await house.end(saga_id)).status for saga_id in slow} == {Status.COMPLETED}
        assert house.services.busiest["slow"] == 2
        house.check_that_all_slots_are_free()


async def test_who_waits_for_a_slot_gets_it_in_turn() -> None:
    async with House(SHARED, calls_max=1) as house:
        sagas = [await house.start() for _ in range(10)]
        for saga_id in sagas:
            await house.end(saga_id)
        assert [call.saga_id for call in house.services.calls if call.step == "a"] == sagas


async def test_a_step_that_waits_for_a_slot_has_not_begun() -> None:
    async with House(SHARED, calls_max=1) as house:
        held = house.services.hold("a")
        first = await house.start()
        await soon(held.arrived)
        second = await house.start()
        await settled()
        assert await house.told(second) == ["SagaStarted"]
        held.answer()
        await house.end(first)
        await house.end(second)
        assert (await house.told(second))[:2] == ["SagaStarted", "StepBegun a"]


async def test_a_saga_that_is_cancelled_while_it_waits_for_its_first_slot_takes_none() -> None:
    async with House(SHARED, calls_max=1) as house:
        held = house.services.hold("a")
        first = await house.start()
        await soon(held.arrived)
        waiting = [await house.start() for _ in range(5)]
        for saga_id in waiting[:4]:
            await house.sagas.cancel(saga_id, "")
            assert (await house.end(saga_id)).status is Status.COMPENSATED
        held.answer()
        await house.end(first)
        assert (await house.end(waiting[4])).status is Status.COMPLETED
        assert house.services.sent().count("do a") == 2
        house.check_that_all_slots_are_free()


async def test_a_step_that_waits_for_a_slot_in_vain_holds_no_undo_up() -> None:
    alone = define(step("b", service="quick"), step("a", service="slow"), name="Alone")
    alone = alone.model_copy(update={"max_parallel": 1})
    async with House(SHARED, alone, calls_max=1) as house:
        held = house.services.hold("a")
        first = await house.start()
        await soon(held.arrived)
        waiting = await house.start(name="Alone")
        await until(lambda: "do b" in house.services.sent())
        await settled()
        await house.sagas.cancel(waiting, "")
        assert (await house.end(waiting)).status is Status.COMPENSATED
        assert not held.cut.is_set()
        held.answer()
        await house.end(first)
        house.check_that_all_slots_are_free()


async def test_very_many_that_leave_the_queue_leave_it_in_order() -> None:
    async with House(SHARED, calls_max=1) as house:
        held = house.services.hold("a")
        first = await house.start()
        await soon(held.arrived)
        waiting = [await house.start() for _ in range(1_500)]
        await asyncio.gather(*(house.sagas.cancel(saga_id, "") for saga_id in waiting))
        held.answer()
        assert (await house.end(first)).status is Status.COMPLETED
        house.check_that_all_slots_are_free()


async def test_a_saga_whose_deadline_comes_while_it_waits_for_a_slot_takes_none() -> None:
    hasty = define(step("a", service="slow"), name="Hasty", ttl_s=0.03)
    async with House(SHARED, hasty, calls_max=1) as house:
        held = house.services.hold("a")
        first = await house.start()
        await soon(held.arrived)
        late = [await house.start(name="Hasty") for _ in range(3)]
        for saga_id in late:
            assert (await house.end(saga_id)).status is Status.COMPENSATED
        held.answer()
        await house.end(first)
        assert house.services.sent().count("do a") == 1
        house.check_that_all_slots_are_free()


async def test_a_saga_that_waits_to_try_again_holds_no_slot() -> None:
    async with House(SHARED, calls_max=1) as house:
        house.services.plan("a", "do", Pending(3_000.0))
        sleeping = await house.start()
        assert (await house.run()).status is Status.COMPLETED
        await house.sagas.cancel(sleeping, "")
        await house.end(sleeping)


async def test_a_saga_cancelled_while_its_retry_waits_for_a_slot_goes_back_without_it() -> None:
    async with House(SHARED, calls_max=1) as house:
        house.services.plan("a", "do", Reaction.FAULT)
        held = house.services.hold("a")
        first = await house.start()
        second = await house.start()  # its call is the held one
        await soon(held.arrived)
        await asyncio.sleep(0.02)  # the retry of the first is due, and queues
        await house.sagas.cancel(first, "")
        held.answer()
        assert (await house.end(first)).status is Status.COMPENSATED
        assert (await house.end(second)).status is Status.COMPLETED
        house.check_that_all_slots_are_free()


async def test_a_start_that_joins_another_gives_its_slot_back() -> None:
    for calls_max in (1, 3):
        async with House(SHARED, calls_max=calls_max) as house:
            held = house.services.hold("a")
            accepted = await asyncio.gather(*(house.accept(request_id="r") for _ in range(20)))
            assert len({a.summary.id for a in accepted}) == 1
            await soon(held.arrived)
            held.answer()
            await house.end(accepted[0].summary.id)
            house.check_that_all_slots_are_free()


async def test_a_start_whose_request_id_is_taken_gives_its_slot_back() -> None:
    class Looks(JournalAround):
        async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.005)
            return await self.inner.start(*args, **kwargs)

    plain = House(SHARED)
    async with House(SHARED, store=plain.store, journal=Looks(plain.store), calls_max=1) as house:
        outcomes = await asyncio.gather(
            *(house.accept(request_id="r", value=n) for n in range(10)), return_exceptions=True
        )
        assert sum(isinstance(outcome, RequestIdTaken) for outcome in outcomes) == 9
        (accepted,) = (outcome for outcome in outcomes if not isinstance(outcome, BaseException))
        await house.end(accepted.summary.id)
        house.check_that_all_slots_are_free()


async def test_a_saga_that_breaks_down_gives_its_slot_back() -> None:
    async with House(SHARED, calls_max=1) as house:
        house.services.plan("a", "do", RuntimeError("a bug"))
        assert (await house.run()).status is Status.DEAD_LETTERED
        assert (await house.run()).status is Status.COMPLETED


async def test_what_is_parked_while_it_waits_for_a_slot_takes_none() -> None:
    async with House(SHARED, calls_max=1) as house:
        held = house.services.hold("a")
        sagas = [await house.start() for _ in range(5)]
        await soon(held.arrived)
        parking = asyncio.ensure_future(house.pool.park(grace_s=20))
        await settled()
        held.answer()
        await parking
        assert house.services.sent() == ["do a"]
        house.check_that_all_slots_are_free()
        assert len(await house.store.open_sagas()) == len(sagas)


async def test_beyond_the_limit_of_open_sagas_a_start_is_refused_at_once_and_a_join_is_not() -> None:
    async with House(SHARED, sagas_max=2) as house:
        held = [house.services.hold("a") for _ in range(2)]
        first = await house.start(request_id="first")
        second = await house.start()
        with pytest.raises(Overloaded, match="nothing was written"):
            await house.start()
        assert await house.start(request_id="first") == first
        for call in held:
            await soon(call.arrived)
            call.answer()
        await house.end(first)
        await house.end(second)
        assert (await house.run()).status is Status.COMPLETED
