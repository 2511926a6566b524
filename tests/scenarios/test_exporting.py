"""What may be exported of a saga, and when."""

from typing import Final

import pytest

from coordinator.domain.errors import IllegalTransition, SagaNotFound
from coordinator.domain.events import SagaStarted
from coordinator.domain.ids import SagaId
from coordinator.domain.saga import Status
from tests.scenarios.house import House, define, soon

ORDER: Final = define("a", "b")


async def test_a_saga_that_rests_is_exported_whole_but_for_what_is_sensitive() -> None:
    secretive = ORDER.model_copy(update={"sensitive": ("value",)})
    async with House(secretive) as house:
        saga_id = await house.start(value="canary")
        await house.end(saga_id)
        whole = await house.store.history(saga_id)
        exported = await house.sagas.export(saga_id)
        assert exported.definition == secretive
        assert [(record.seq, type(record.event)) for record in exported.records] == [
            (record.seq, type(record.event)) for record in whole
        ]
        first = exported.records[0].event
        assert isinstance(first, SagaStarted)
        assert first.input == '{"value":"***"}'
        assert not any("canary" in str(record.event) for record in exported.records)


async def test_a_saga_that_goes_on_is_not_exported() -> None:
    async with House(ORDER) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        with pytest.raises(IllegalTransition, match="is RUNNING: it can be exported once it rests"):
            await house.sagas.export(saga_id)
        held.answer()
        await house.end(saga_id)


async def test_a_saga_that_was_set_aside_is_not_exported_for_its_records_do_not_tell_how_that_came() -> None:
    async with House(ORDER) as house:
        house.services.plan("a", "do", RuntimeError("a fault of ours"))
        saga_id = await house.start()
        assert (await house.sagas.wait(saga_id, timeout_s=20)).status is Status.DEAD_LETTERED
        with pytest.raises(IllegalTransition, match="was set aside"):
            await house.sagas.export(saga_id)


async def test_a_saga_that_there_is_not_is_not_exported() -> None:
    async with House(ORDER) as house:
        with pytest.raises(SagaNotFound):
            await house.sagas.export(SagaId("nowhere"))
