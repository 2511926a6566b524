"""Taking turns: who waits for whom."""

from __future__ import annotations

import asyncio

import pytest

from participants.turns import TurnNotReached, Turns


async def test_a_call_without_a_deadline_waits_until_the_one_before_it_is_done() -> None:
    turns, order = Turns(), list[str]()

    async def call(name: str) -> None:
        async with turns.take("saga-1", "pay", None):
            order.append(f"{name} began")
            await asyncio.sleep(0)
            order.append(f"{name} done")

    await asyncio.gather(call("first"), call("second"))
    assert order == ["first began", "first done", "second began", "second done"]


async def test_other_steps_and_other_sagas_wait_for_nobody() -> None:
    turns = Turns()
    async with (
        asyncio.timeout(1),
        turns.take("saga-1", "pay", None),
        turns.take("saga-1", "ship", None),
        turns.take("saga-2", "pay", None),
    ):
        pass


async def test_whoever_waits_in_vain_is_passed_over() -> None:
    turns = Turns()
    async with turns.take("saga-1", "pay", None):
        with pytest.raises(TurnNotReached):
            async with turns.take("saga-1", "pay", 0.01):
                raise AssertionError("the turn was held")
        leaving = asyncio.create_task(hold(turns))
        staying = asyncio.create_task(hold(turns))
        await asyncio.sleep(0)
        leaving.cancel()
    async with asyncio.timeout(1):
        await staying
    assert leaving.cancelled()


async def test_a_turn_that_is_reached_in_the_moment_of_leaving_is_passed_on() -> None:
    turns = Turns()
    async with turns.take("saga-1", "pay", None):
        leaving = asyncio.create_task(hold(turns))
        await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(1), turns.take("saga-1", "pay", None):
        assert leaving.cancelled()


async def test_a_step_whose_turn_nobody_holds_takes_no_room() -> None:
    turns = Turns()
    await asyncio.gather(hold(turns), hold(turns))
    assert turns._queues == {}


async def hold(turns: Turns) -> None:
    async with turns.take("saga-1", "pay", None):
        await asyncio.sleep(0)
