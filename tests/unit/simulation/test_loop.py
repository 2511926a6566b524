"""What a simulated loop lets be taken back, and whom it tells of what nobody has caught."""

import pytest

from coordinator.simulation.loop import Process, SimulatedLoop, simulated_loop

STEPS_MAX = 100


@pytest.fixture
def loop() -> SimulatedLoop:
    return simulated_loop()


@pytest.fixture
def process(loop: SimulatedLoop) -> Process:
    return loop.process("one")


def test_what_is_called_soon_can_be_taken_back(loop: SimulatedLoop) -> None:
    """`asyncio.timeout` does so where its time is over already."""
    called: list[str] = []
    soon = loop.call_soon(called.append, "all the same")
    assert soon is not None
    soon.cancel()
    loop.run(steps_max=STEPS_MAX)
    assert called == []


def test_a_timer_can_be_taken_back_by_what_is_due_at_the_same_moment(loop: SimulatedLoop) -> None:
    called: list[str] = []
    loop.call_later(1.0, lambda: later.cancel())
    later = loop.call_later(1.0, called.append, "all the same")
    loop.run(steps_max=STEPS_MAX)
    assert (called, loop.time()) == ([], 1.0)


def test_whoever_listens_is_told_at_once_of_what_nobody_caught(loop: SimulatedLoop, process: Process) -> None:
    heard: list[str] = []

    async def fails(why: str) -> None:
        raise ValueError(why)

    def fail() -> None:
        raise ValueError("a callback")

    loop.hear = lambda fault: heard.append(str(fault))
    loop.own(process, fails("a task"))
    loop.tell(process, fail)
    loop.run(until=lambda: heard, steps_max=STEPS_MAX)
    assert heard == ["a callback"]
    loop.run(until=lambda: len(heard) > 1, steps_max=STEPS_MAX)
    assert heard == ["a callback", "a task"]
