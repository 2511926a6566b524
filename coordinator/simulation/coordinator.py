"""One coordinator of a simulated world: the real engine over the real journal."""

import asyncio
from collections.abc import Mapping, Sequence

from coordinator.adapters.aside import OnTheSpot
from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.adapters.no_tracing import NoTracing
from coordinator.adapters.sqlite import SqliteJournal
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import DefinitionNotFound
from coordinator.engine.dispatcher import Dispatcher, Load
from coordinator.engine.driver import Tools
from coordinator.engine.feed import Feed
from coordinator.engine.pool import Pool
from coordinator.engine.sagas import Sagas
from coordinator.ports.clock import Chance, Clock
from coordinator.ports.expressions import Expressions
from coordinator.ports.participants import Participants
from coordinator.simulation.loop import Process


class Shelf:
    """Keeps the port `Catalog` with definitions that somebody puts there."""

    def __init__(self, definitions: Sequence[SagaDefinition]) -> None:
        self._by_name = {definition.name: definition for definition in definitions}

    def put(self, definition: SagaDefinition) -> None:
        """From now on new sagas of its name begin with it."""
        self._by_name[definition.name] = definition

    async def get(self, name: str, version: str | None) -> SagaDefinition:
        found = self._by_name.get(name)
        if found is None or version not in (None, found.version):
            raise DefinitionNotFound(name, version, ", ".join(sorted(self._by_name)))
        return found

    def all(self) -> Sequence[SagaDefinition]:
        return list(self._by_name.values())


class SimulatedCoordinator:
    """A coordinator from its start to its end, of whatever kind. Make it as a step of its process."""

    def __init__(
        self,
        process: Process,
        journal: SqliteJournal,
        participants: Participants,
        shelf: Shelf,
        clock: Clock,
        chance: Chance,
        expressions: Expressions,
        *,
        calls_per_service_max: int = 64,
        sagas_open_max: int = 10_000,
    ) -> None:
        self.process = process
        self.journal = journal
        self.feed = Feed()
        telemetry = NoTelemetry()
        self._dispatcher = Dispatcher(participants, telemetry, calls_per_service_max=calls_per_service_max)
        tools = Tools(
            journal=journal,
            dispatcher=self._dispatcher,
            feed=self.feed,
            clock=clock,
            chance=chance,
            telemetry=telemetry,
            tracing=NoTracing(),
            expressions=expressions,
            aside=OnTheSpot(),
        )
        self.pool = Pool(tools, journal, sagas_open_max=sagas_open_max)
        self.sagas = Sagas(self.pool, tools, journal, shelf)
        self.serving = asyncio.Event()
        """Set while it takes requests."""

    def loads(self) -> Mapping[str, Load]:
        """The slots in use, by service."""
        return self._dispatcher.loads()

    async def live(self, stop: asyncio.Future[None], *, grace_s: float) -> str | None:
        """Recover, serve, and park, as `bootstrap` does; the sentence that says why it failed, if it did."""
        endings = (stop, self.pool.failed, self.journal.failed)
        recovery = asyncio.ensure_future(self.pool.recover())
        await asyncio.wait((recovery, *endings), return_when=asyncio.FIRST_COMPLETED)
        if not any(ending.done() for ending in endings):
            recovery.result()
            self.serving.set()
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        recovery.cancel()
        self.serving.clear()
        failure = next((f.result() for f in (self.pool.failed, self.journal.failed) if f.done()), None)
        await self.pool.park(grace_s=0.0 if failure else grace_s)
        self.feed.close()
        await self.journal.close()
        return failure
