"""What an operator asks about the house as a whole, passed on to those who know it."""

from collections.abc import AsyncGenerator, Sequence

from coordinator.adapters.memory import MemoryJournal
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.outcomes import Answer
from coordinator.engine.operations import Operations, Surveyed
from coordinator.engine.upkeep import Fault, Verified
from coordinator.ports.journal import Piece
from coordinator.ports.participants import Call, Description, Probe, Reach, Told
from tests.unit.machine.tale import define, step

DESCRIPTION = Description(Told.UNIMPLEMENTED)


class Participants:
    """Each is at an address of its own name."""

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        raise AssertionError("no saga is touched")

    async def probe(self, service: str) -> Probe:
        return Probe(f"dns:///{service}", Reach.SERVING)

    async def describe(self, service: str) -> Description:
        return DESCRIPTION


class Loaded:
    def __init__(self, *definitions: SagaDefinition) -> None:
        self._definitions = definitions

    async def get(self, name: str, version: str | None) -> SagaDefinition:
        raise AssertionError("nothing is started")

    def all(self) -> Sequence[SagaDefinition]:
        return self._definitions


class Store:
    async def backup(self) -> AsyncGenerator[Piece, None]:
        yield Piece(b"whole", 5)

    async def faults(self) -> Sequence[str]:
        return ["page 7 is torn"]


def operations(*definitions: SagaDefinition) -> Operations:
    journal = MemoryJournal()
    return Operations(journal, journal, Store(), Participants(), Loaded(*definitions))


async def test_every_service_that_is_called_is_shown_once_with_the_steps_that_call_it() -> None:
    old = define(step("pay"), step("ship"), version="1")
    new = define(step("pay"), step("book"), version="2")
    other = SagaDefinition(name="Refund", steps=(step("pay"),))
    assert await operations(old, new, other).participants() == [
        Surveyed(service, Probe(f"dns:///{service}", Reach.SERVING), DESCRIPTION, steps)
        for service, steps in (
            ("book_service", ("Order/book",)),
            ("pay_service", ("Order/pay", "Refund/pay")),
            ("ship_service", ("Order/ship",)),
        )
    ]


async def test_where_nothing_is_loaded_nobody_is_asked() -> None:
    assert await operations().participants() == []


async def test_the_journal_is_copied_and_checked_as_its_store_does_it() -> None:
    asked = operations()
    assert [piece async for piece in asked.backup()] == [Piece(b"whole", 5)]
    (verified,) = [progress async for progress in asked.verify()]
    assert verified == Verified(0, 0, (Fault(None, "page 7 is torn"),), done=True)
