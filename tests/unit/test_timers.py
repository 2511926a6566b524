"""Waiting for a moment of a clock that is not the event loop's."""

import asyncio

from coordinator.engine.timers import RECHECK_S, sleep_until, slice_s


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time


def test_a_long_wait_is_cut_into_slices() -> None:
    clock = Clock()
    assert slice_s(clock, 1_000.5) == 0.5
    assert slice_s(clock, 1_000.0 + 86_400) == RECHECK_S


def test_a_moment_that_has_come_is_waited_for_no_longer() -> None:
    assert slice_s(Clock(), 1_000.0) == 0.0
    assert slice_s(Clock(), 1.0) == 0.0


async def test_a_sleeper_wakes_when_the_clock_says_so_even_if_it_jumps() -> None:
    clock = Clock()
    sleeping = asyncio.ensure_future(sleep_until(clock, 1_000.05))
    await asyncio.sleep(0.001)
    assert not sleeping.done()
    clock.time = 5_000.0
    await asyncio.wait_for(sleeping, 20)


async def test_a_sleeper_sleeps_on_while_the_clock_stands() -> None:
    clock = Clock()
    sleeping = asyncio.ensure_future(sleep_until(clock, 1_000.001))
    await asyncio.sleep(0.02)
    assert not sleeping.done()
    clock.time += 1
    await asyncio.wait_for(sleeping, 20)
