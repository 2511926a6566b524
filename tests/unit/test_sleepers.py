"""Who sleeps until when, by time that is each saga's own."""

import asyncio

from coordinator.domain.ids import SagaId
from coordinator.engine.sleepers import Sleepers
from coordinator.ports.journal import OpenSaga

START = 1_000.0


class Clock:
    """It goes on by itself, whatever the machine has to do meanwhile."""

    def __init__(self) -> None:
        self._time = START

    def now(self) -> float:
        self._time += 0.005
        return self._time


async def test_each_is_woken_in_its_turn_also_one_whose_time_is_ahead_of_the_clock() -> None:
    woken: list[SagaId] = []
    sleepers = Sleepers(Clock(), lambda saga: woken.append(saga.saga_id))
    late = OpenSaga(SagaId("late"), START + 0.08, START)
    ahead = OpenSaga(SagaId("ahead"), START + 3_600.03, START + 3_600.0)
    taken = OpenSaga(SagaId("taken"), START + 0.05, START)
    assert all(sleepers.add(saga) for saga in (late, taken, ahead))
    waking = asyncio.ensure_future(sleepers.wake_when_due())
    await asyncio.sleep(0)
    assert sleepers.take(taken.saga_id) == taken
    await waking
    assert woken == ["ahead", "late"]
    assert len(sleepers) == 0


async def test_what_is_due_does_not_sleep_and_who_is_roused_is_woken_once() -> None:
    woken: list[OpenSaga] = []
    sleepers = Sleepers(Clock(), woken.append)
    assert not sleepers.add(OpenSaga(SagaId("now"), None, START))
    assert not sleepers.add(OpenSaga(SagaId("due"), START, START))
    later = OpenSaga(SagaId("later"), START + 0.05, START)
    assert sleepers.add(later)
    assert (list(sleepers), later.saga_id in sleepers) == ([(later.saga_id, START + 0.05)], True)
    sleepers.rouse(later.saga_id)
    sleepers.rouse(later.saga_id)
    await sleepers.wake_when_due()
    assert woken == [later]
