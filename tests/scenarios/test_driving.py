"""What can be seen of a saga while it is driven, by those who look closely."""

import asyncio
import logging

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.domain.outcomes import Direction
from coordinator.domain.saga import Status, StepOutcome
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, JournalAround, define, settled, soon


async def test_at_debug_each_durable_event_is_a_line_that_names_it_and_quotes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="coordinator.engine.driver")
    async with House(define("a")) as house:
        house.services.world.outputs["a"] = '"tok-canary"'
        saga_id = await house.start(value="tok-canary")
        await house.end(saga_id)
    told = [record for record in caplog.records if record.name == "coordinator.engine.driver"]
    assert [(record.message, vars(record)["step"], vars(record)["attempt"]) for record in told] == [
        ("SagaStarted", None, None),
        ("StepBegun", "a", None),
        ("StepSucceeded", "a", 1),
    ]
    assert {vars(record)["saga_id"] for record in told} == {saga_id}
    assert not any("tok-canary" in str(vars(record)) for record in told)


async def test_what_a_driver_holds_may_be_ahead_of_what_is_durable_and_only_that_is_shown() -> None:
    class Slow(JournalAround):
        async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            writing.set()
            await written.wait()
            return await self.inner.append(*args, **kwargs)

    writing, written, store = asyncio.Event(), asyncio.Event(), MemoryJournal()
    async with House(define("a", "b"), store=store, journal=Slow(store)) as house:
        saga_id = await house.start()
        await soon(writing)
        driver = house.pool.driving(saga_id)
        assert driver is not None
        assert driver.saga.steps[0].outcome is StepOutcome.SUCCEEDED
        assert (await house.saga(saga_id)).steps[0].outcome is None
        written.set()
        await house.end(saga_id)
        await settled()
        assert house.pool.driving(saga_id) is None


async def test_each_wait_before_another_attempt_is_counted_and_the_last_attempts_is_none() -> None:
    class Waits(NoTelemetry):
        def backed_off(self, service: str, direction: Direction, wait_s: float) -> None:
            assert wait_s >= 0
            waits.append((service, direction))

    waits: list[tuple[str, Direction]] = []
    async with House(define("a", "b"), telemetry=Waits()) as house:
        house.services.plan("a", "undo", *[Reaction.FAULT] * 2)
        house.services.plan("b", "do", *[Reaction.FAULT] * 3)
        assert (await house.run()).status is Status.COMPENSATED
    assert waits == [("b_service", Direction.FORWARD)] * 2 + [("a_service", Direction.UNDO)] * 2
