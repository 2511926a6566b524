"""A saga's own time, and waiting for a moment of a clock that is not the event loop's."""

import asyncio

from coordinator.engine.timers import RECHECK_S, SagaClock, sleep_until, slice_s


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time


def test_a_long_wait_is_cut_into_slices() -> None:
    assert slice_s(0.5) == 0.5
    assert slice_s(86_400.0) == RECHECK_S


def test_a_moment_that_has_come_is_waited_for_no_longer() -> None:
    assert slice_s(0.0) == 0.0
    assert slice_s(-999.0) == 0.0


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


def test_a_saga_that_is_behind_the_clock_lives_by_the_clock() -> None:
    clock = Clock()
    of_saga = SagaClock(clock, 900.0)
    assert of_saga.now() == 1_000.0
    clock.time = 1_500.0
    assert of_saga.now() == 1_500.0


def test_a_saga_that_is_ahead_of_the_clock_goes_on_from_there_at_the_usual_pace() -> None:
    clock = Clock()
    of_saga = SagaClock(clock, 4_600.0)
    assert of_saga.now() == 4_600.0
    clock.time = 1_010.0
    assert of_saga.now() == 4_610.0
    clock.time = 9_000.0
    assert of_saga.now() == 12_600.0


def test_a_saga_lives_from_the_moment_on_at_which_it_was_taken_up() -> None:
    clock = Clock()
    assert SagaClock(clock, 4_600.0, since=990.0).now() == 4_610.0
    assert SagaClock(clock, 995.0, since=990.0).now() == 1_005.0
    assert SagaClock(clock, 900.0, since=990.0).now() == 1_000.0


def test_no_rounding_puts_a_saga_before_its_newest_record() -> None:
    clock = Clock()
    clock.time, updated_at = 6.4, 28.8
    assert clock.time + (updated_at - clock.time) < updated_at
    assert SagaClock(clock, updated_at).now() == updated_at


async def test_a_sleeper_wakes_by_its_own_time() -> None:
    clock = Clock()
    sleeping = asyncio.ensure_future(sleep_until(SagaClock(clock, 4_600.0), 4_600.001))
    await asyncio.sleep(0.02)
    assert not sleeping.done()
    clock.time += 0.002
    await asyncio.wait_for(sleeping, 20)
