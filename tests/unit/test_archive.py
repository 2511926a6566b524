"""Replaying sagas: of the definitions that they are pinned to, the newest are kept."""

import asyncio

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import SagaError
from coordinator.domain.ids import Digest
from coordinator.engine import archive
from coordinator.engine.archive import Archive
from tests.contract.sagas import Told, a_definition, a_saga, reserved


class Counted(MemoryJournal):
    """Tells which definitions were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Digest] = []

    async def definition(self, digest: Digest) -> str | None:
        self.asked.append(digest)
        await asyncio.sleep(0)
        return await super().definition(digest)


async def begun(journal: MemoryJournal, definition: SagaDefinition) -> Told:
    saga = a_saga(definition.name, definition=definition)
    await saga.start(journal)
    return saga


async def test_of_many_definitions_the_oldest_is_let_go_and_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive, "DEFINITIONS_KEPT", 2)
    journal = Counted()
    sagas = [await begun(journal, a_definition(name)) for name in ("A", "B", "C")]
    kept = Archive(journal)
    for place in (0, 1, 1, 0, 2, 1, 0):
        replayed = await kept.replayed(await journal.history(sagas[place].id))
        assert replayed.saga.id == sagas[place].id
    names = {saga.definition.digest: saga.definition.name for saga in sagas}
    assert [names[digest] for digest in journal.asked] == ["A", "B", "C", "A"]


async def test_a_definition_is_one_object_for_all_sagas_that_are_pinned_to_it() -> None:
    kept = Archive(MemoryJournal())
    assert kept.keep(a_definition("A")) is kept.keep(a_definition("A"))


async def test_sagas_that_are_replayed_at_once_share_it_too() -> None:
    journal, definition = Counted(), a_definition("A")
    sagas = [await begun(journal, definition) for _ in range(3)]
    histories = [await journal.history(saga.id) for saga in sagas]
    kept = Archive(journal)
    replayed = await asyncio.gather(*(kept.replayed(records) for records in histories))
    assert len({id(decision.saga.definition) for decision in replayed}) == 1


async def test_a_history_without_its_beginning_is_told_from_a_bug_of_ours() -> None:
    journal = MemoryJournal()
    saga = await begun(journal, a_definition("A"))
    await saga.goes_on(journal, *reserved())
    records = await journal.history(saga.id)
    with pytest.raises(SagaError, match=r"^a history begins with SagaStarted, not with StepBegun$"):
        await Archive(journal).replayed(records[1:])
