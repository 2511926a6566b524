"""The largest graphs that a definition may have: a thousand steps side by side, and a thousand in a row."""

from typing import Final

import pytest

from coordinator.domain.definition import STEPS_MAX, SagaDefinition
from coordinator.domain.saga import Status
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, step

PATIENCE_S: Final = 60.0


def graph(*, in_a_row: bool, parallel_max: int) -> SagaDefinition:
    """All steps by one service, each with an input of its own so that none carries a thousand outputs."""
    steps = (
        step(f"s{place}", service="shop").model_copy(
            update={"depends_on": (f"s{place - 1}",) if in_a_row and place else (), "input": ("value",)}
        )
        for place in range(STEPS_MAX)
    )
    return SagaDefinition(name="Large", max_parallel=parallel_max, steps=tuple(steps))


@pytest.mark.parametrize(("in_a_row", "parallel_max"), [(False, STEPS_MAX), (True, 1)])
async def test_a_thousand_steps_are_done_and_all_undone_when_the_last_is_refused(
    in_a_row: bool, parallel_max: int
) -> None:
    async with House(graph(in_a_row=in_a_row, parallel_max=parallel_max), calls_max=STEPS_MAX) as house:
        last = f"s{STEPS_MAX - 1}"
        house.services.plan(last, "do", Reaction.REFUSE)
        saga_id = await house.start()
        # Not `house.end`: its laws look at each row for each step. What they say of order is said here.
        assert (await house.sagas.wait(saga_id, timeout_s=PATIENCE_S)).status is Status.COMPENSATED
        others = [f"s{place}" for place in range(STEPS_MAX - 1)]
        undone = [sent.removeprefix("undo ") for sent in house.services.sent() if sent.startswith("undo ")]
        assert sorted(undone) == sorted(others)
        assert undone == others[::-1] or not in_a_row
        busiest = house.services.busiest["shop"]
        assert busiest == 1 if in_a_row else 10 < busiest <= STEPS_MAX
