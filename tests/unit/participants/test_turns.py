"""Taking turns: who waits for whom."""

from __future__ import annotations

import asyncio

from participants.turns import Turns


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
