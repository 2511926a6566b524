"""A stop that loses nothing: what is under way may answer, the rest is taken up by the next coordinator."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from coordinator.domain.errors import Draining, JournalCorrupt
from coordinator.domain.ids import SagaId
from coordinator.domain.outcomes import Pending
from coordinator.domain.saga import Status
from coordinator.domain.values import replace
from coordinator.ports.journal import OpenSaga, Record
from tests.scenarios.house import House, JournalAround, Services, define, settled, soon, step, until


async def test_a_call_that_answers_within_the_grace_is_durable_and_nothing_more_is_begun() -> None:
    house = House(define("a", "b"))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    parking = asyncio.ensure_future(house.pool.park(grace_s=20))
    await settled()
    assert not parking.done()
    held.answer()
    await parking
    await settled()
    house.check_that_all_slots_are_free()
    assert await house.told(saga_id) == ["SagaStarted", "StepBegun a", "StepSucceeded a"]
    assert house.services.sent() == ["do a"]
    async with house.successor() as next_house:
        assert await next_house.pool.recover() == 1
        assert (await next_house.end(saga_id)).status is Status.COMPLETED
        assert "SagaResumed" not in await next_house.told(saga_id), "no call of it can have been lost"


async def test_a_saga_whose_last_answer_comes_in_the_grace_is_complete_with_its_output() -> None:
    """Else its time could run out while nobody is there, and all that was done would be undone."""
    house = House(define("a", ttl_s=60.0).model_copy(update={"output": {"said": "outputs.a"}}))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    parking = asyncio.ensure_future(house.pool.park(grace_s=20))
    await settled()
    held.answer()
    await parking
    saga = await house.saga(saga_id)
    assert (saga.status, saga.output) == (Status.COMPLETED, '{"said":"a done"}')


async def test_a_call_that_is_still_out_after_the_grace_is_abandoned_and_asked_again() -> None:
    house = House(define("a", "b"))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    await house.pool.park(grace_s=0.02)
    await settled()
    assert held.cut.is_set()
    house.check_that_all_slots_are_free()
    async with house.successor() as next_house:
        assert await next_house.pool.recover() == 1
        assert (await next_house.end(saga_id)).status is Status.COMPLETED
        assert [call.attempt for call in house.services.calls] == [1, 2, 1]
        assert [call.token for call in house.services.calls] == [1, 2, 2]


async def test_sagas_in_every_state_are_parked_and_finished_by_the_next_coordinator() -> None:
    house = House(define("a", "b"), calls_max=3)
    services = house.services
    held = [services.hold("a") for _ in range(3)]
    sagas = [await house.start() for _ in range(3)]
    for call in held:
        await soon(call.arrived)
    sagas += [await house.start() for _ in range(5)]  # these wait for a slot
    parking = asyncio.ensure_future(house.pool.park(grace_s=0.05))
    await settled()
    held[0].answer(Pending(0.02))
    held[1].answer()
    await parking
    await settled()
    house.check_that_all_slots_are_free()
    assert house.is_idle
    async with house.successor() as next_house:
        assert await next_house.pool.recover() == len(sagas)
        assert {(await next_house.end(saga_id)).status for saga_id in sagas} == {Status.COMPLETED}


async def test_a_parked_coordinator_takes_nothing_new_and_cancels_nothing() -> None:
    house = House(define("a"))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    await house.pool.park(grace_s=0)
    with pytest.raises(Draining, match="nothing was written"):
        await house.start()
    with pytest.raises(Draining):
        await house.sagas.cancel(saga_id, "")
    assert len(await house.store.open_sagas()) == 1


async def test_a_start_that_is_being_written_while_the_coordinator_parks_is_durable_and_sends_nothing() -> (
    None
):
    class Slow(JournalAround):
        async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.02)
            return await self.inner.start(*args, **kwargs)

    plain = House(define("a"))
    house = House(define("a"), store=plain.store, journal=Slow(plain.store))
    starting = asyncio.ensure_future(house.accept())
    await settled()
    await house.pool.park(grace_s=20)
    saga_id = (await starting).summary.id
    assert house.services.sent() == []
    house.check_that_all_slots_are_free()
    async with house.successor() as next_house:
        assert await next_house.pool.recover() == 1
        assert (await next_house.end(saga_id)).status is Status.COMPLETED


async def test_an_answer_that_is_being_written_while_the_coordinator_parks_leads_to_no_new_call() -> None:
    class Slow(JournalAround):
        async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            appending.set()
            await asyncio.sleep(0.02)
            return await self.inner.append(*args, **kwargs)

    appending = asyncio.Event()
    plain = House(define("a", "b"))
    house = House(define("a", "b"), store=plain.store, journal=Slow(plain.store))
    saga_id = await house.start()
    await soon(appending)
    await house.pool.park(grace_s=20)
    assert house.services.sent() == ["do a"]
    assert await house.told(saga_id) == ["SagaStarted", "StepBegun a", "StepSucceeded a", "StepBegun b"]
    house.check_that_all_slots_are_free()


async def test_who_waits_for_a_saga_is_told_when_the_coordinator_stops() -> None:
    house = House(define("a"))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    waiting = asyncio.ensure_future(house.sagas.wait(saga_id, timeout_s=20))
    await settled()
    await house.pool.park(grace_s=0)
    house.feed.close()
    with pytest.raises(Draining):
        await waiting


async def asleep(*, for_s: float, services: Services | None = None) -> tuple[House, SagaId]:
    """A coordinator whose one saga waits for its second step to be asked again."""
    house = House(define("a", step("b")), services=services)
    house.services.plan("b", "do", Pending(for_s))
    saga_id = await house.start()
    await until(lambda: house.services.sent() == ["do a", "do b"])
    await settled()
    await house.pool.park(grace_s=0)
    return house, saga_id


async def test_a_saga_that_is_due_later_sleeps_until_then() -> None:
    house, saga_id = await asleep(for_s=0.1)
    async with house.successor() as next_house:
        assert await next_house.pool.recover() == 1
        assert await next_house.told(saga_id) == await house_told(next_house, saga_id)
        assert next_house.pool.live(saga_id) is None
        assert len(next_house.services.calls) == 2
        assert (await next_house.end(saga_id)).status is Status.COMPLETED
        assert not next_house.pool._sleepers


async def house_told(house: House, saga_id: SagaId) -> list[str]:
    return [name for name in await house.told(saga_id) if name != "SagaResumed"]


async def test_a_sleeping_saga_is_woken_by_its_cancel() -> None:
    house, saga_id = await asleep(for_s=3_000)
    async with house.successor() as next_house:
        await next_house.pool.recover()
        view = await next_house.sagas.cancel(saga_id, "no longer wanted")
        assert view.summary.status is Status.COMPENSATING
        assert (await next_house.end(saga_id)).status is Status.COMPENSATED
        assert not next_house.pool._sleepers


async def test_two_cancels_of_a_sleeping_saga_wake_it_once() -> None:
    house, saga_id = await asleep(for_s=3_000)
    async with house.successor() as next_house:
        await next_house.pool.recover()
        await asyncio.gather(*(next_house.sagas.cancel(saga_id, "") for _ in range(3)))
        assert (await next_house.end(saga_id)).status is Status.COMPENSATED
        told = await next_house.told(saga_id)
        assert (told.count("SagaResumed"), told.count("CancelRequested")) == (1, 1)


async def test_a_saga_sleeps_no_longer_than_to_its_deadline() -> None:
    definition = define("a", "b", ttl_s=0.3)
    house = House(definition)
    house.services.plan("b", "do", Pending(3_000.0))
    saga_id = await house.start()
    await until(lambda: house.services.sent() == ["do a", "do b"])
    await settled()
    await house.pool.park(grace_s=0)
    async with house.successor() as next_house:
        await next_house.pool.recover()
        assert (await next_house.end(saga_id)).status is Status.COMPENSATED


async def test_a_sleeping_saga_is_parked_again_and_counts_as_open() -> None:
    house, saga_id = await asleep(for_s=3_000)
    async with house.successor() as second:
        await second.pool.recover()
        assert second.pool._open == 1
        await second.pool.park(grace_s=20)
        with pytest.raises(Draining):
            await second.sagas.cancel(saga_id, "")
    async with house.successor() as third:
        assert await third.pool.recover() == 1
        await third.sagas.cancel(saga_id, "")
        assert (await third.end(saga_id)).status is Status.COMPENSATED


async def test_a_damaged_saga_that_sleeps_is_put_before_a_person_at_the_start_and_not_when_due() -> None:
    class Damaged(JournalAround):
        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            raise JournalCorrupt(saga_id, 2, "its digest does not match")

    house, saga_id = await asleep(for_s=3_000)
    store = house.store.reopened()
    async with house.successor(store=store, journal=Damaged(store)) as next_house:
        assert await next_house.pool.recover() == 1
        row = await next_house.sagas.wait(saga_id, timeout_s=20)
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        assert "journal record 2 is damaged" in row.error_message


async def test_a_saga_whose_row_names_another_moment_than_its_records_is_not_left_to_sleep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house, saga_id = await asleep(for_s=3)
    store = house.store.reopened()
    found = [replace(saga, due_at=6e47) for saga in await store.open_sagas()]
    monkeypatch.setattr(store, "open_sagas", partial(asyncio.sleep, 0, found))
    async with house.successor(store=store) as next_house:
        assert await next_house.pool.recover() == 1
        assert (await next_house.end(saga_id)).status is Status.COMPLETED
    assert "a saga's row has another moment for what is due than its records do" in caplog.text


async def test_a_saga_that_goes_on_while_it_is_looked_at_is_not_taken_for_damaged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Slow(JournalAround):
        is_read = False

        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            if not self.is_read:
                self.is_read = True
                await next_house.sagas.cancel(saga_id, "")
                await next_house.end(saga_id)
            return await super().history(saga_id)

    house, _ = await asleep(for_s=3_000)
    store = house.store.reopened()
    journal = Slow(store)
    async with house.successor(store=store, journal=journal) as next_house:
        await next_house.pool.recover()
        await until(lambda: journal.is_read and not next_house.pool._open)
        await settled()
    assert "another moment for what is due" not in caplog.text


async def test_a_saga_that_cannot_be_set_aside_costs_no_other_one_its_recovery(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house, saga_id = await asleep(for_s=0)
    store = house.store.reopened()
    found = [OpenSaga(SagaId("no-such"), None, 0.0), *await store.open_sagas()]
    monkeypatch.setattr(store, "open_sagas", partial(asyncio.sleep, 0, found))
    async with house.successor(store=store) as next_house:
        await next_house.pool.recover()
        assert (await next_house.end(saga_id)).status is Status.COMPLETED
    assert "a saga cannot be set aside: there is no saga 'no-such'" in caplog.text


@pytest.mark.parametrize("is_watched", [False, True])
async def test_a_saga_that_was_damaged_while_it_slept_is_put_before_a_person_when_it_is_looked_at(
    is_watched: bool,
) -> None:
    class DamagedLater(JournalAround):
        damaged = False

        async def history(self, saga_id: SagaId) -> Sequence[Record]:
            if self.damaged:
                raise JournalCorrupt(saga_id, 2, "its digest does not match")
            return await super().history(saga_id)

    house, saga_id = await asleep(for_s=3_000)
    store = house.store.reopened()
    journal = DamagedLater(store)
    async with house.successor(store=store, journal=journal) as next_house:
        await next_house.pool.recover()
        await settled()
        assert (await next_house.sagas.get(saga_id)).summary.status is Status.RUNNING
        journal.damaged = True
        if is_watched:
            seen = [told async for told in next_house.sagas.watch(saga_id, 0)]
            assert seen == [(None, Status.DEAD_LETTERED)]
        else:
            assert (await next_house.sagas.get(saga_id)).saga is None
        row = await next_house.sagas.wait(saga_id, timeout_s=20)
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)


async def test_waiting_for_a_sleeping_saga_is_waiting_for_its_end() -> None:
    house, saga_id = await asleep(for_s=0.1)
    async with house.successor() as next_house:
        await next_house.pool.recover()
        row = await next_house.sagas.wait(saga_id, timeout_s=20)
        assert row.status is Status.COMPLETED
