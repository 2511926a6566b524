"""What takes a while is done aside, and what it asks of the loop is done on the loop."""

import asyncio
import threading

import pytest

from coordinator.adapters.aside import InThreads, OnTheSpot
from coordinator.ports.aside import Aside


class NotToBeDone(Exception):
    """What the work ends with."""


@pytest.fixture(params=[InThreads, OnTheSpot])
def aside(request: pytest.FixtureRequest) -> Aside:
    made: Aside = request.param()
    return made


async def test_it_returns_what_the_work_returns(aside: Aside) -> None:
    assert await aside.run(divmod, 7, 2) == (3, 1)
    assert await aside.run(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


async def test_it_raises_what_the_work_raises(aside: Aside) -> None:
    def fails() -> None:
        raise NotToBeDone

    with pytest.raises(NotToBeDone):
        await aside.run(fails)


async def test_others_have_a_turn_before_the_work_is_over(aside: Aside) -> None:
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another")
    await aside.run(lambda: None)
    assert turns == ["another"]


async def test_what_the_work_asks_is_done_on_the_thread_of_the_loop(aside: Aside) -> None:
    ask = aside.on_loop(lambda number: (number, threading.get_ident(), asyncio.get_running_loop()))
    expected = (7, threading.get_ident(), asyncio.get_running_loop())
    assert await aside.run(lambda: ask(7)) == expected


async def test_what_the_work_asks_may_fail(aside: Aside) -> None:
    def fails() -> None:
        raise NotToBeDone

    with pytest.raises(NotToBeDone):
        await aside.run(aside.on_loop(fails))


async def test_the_loop_goes_on_while_work_is_done_in_a_thread() -> None:
    may_end = threading.Event()
    asyncio.get_running_loop().call_later(0.01, may_end.set)
    assert await InThreads().run(may_end.wait, 20)


async def test_on_the_spot_there_are_no_threads() -> None:
    assert await OnTheSpot().run(threading.get_ident) == threading.get_ident()
