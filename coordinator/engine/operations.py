"""What an operator asks about the house as a whole: its participants, and the state of its journal."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from coordinator.engine.upkeep import Verified, verify
from coordinator.ports.catalog import Catalog
from coordinator.ports.journal import Journal, Piece, SagaIndex, Upkeep
from coordinator.ports.participants import Participants, Probe


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A service that loaded definitions call. `steps` are written "sagaName/step"."""

    service: str
    probe: Probe
    steps: tuple[str, ...]


class Operations:
    """Survey, copy, verify: none of it touches a saga."""

    def __init__(
        self,
        journal: Journal,
        index: SagaIndex,
        upkeep: Upkeep,
        participants: Participants,
        catalog: Catalog,
    ) -> None:
        self._journal = journal
        self._index = index
        self._upkeep = upkeep
        self._participants = participants
        self._catalog = catalog

    async def participants(self) -> Sequence[Surveyed]:
        """Every service that a loaded definition names, asked side by side whether it serves; by name."""
        steps: dict[str, list[str]] = {}
        for definition in self._catalog.all():
            for step in definition.steps:
                steps.setdefault(step.service, []).append(f"{definition.name}/{step.name}")
        services = sorted(steps)
        probes = await asyncio.gather(*(self._participants.probe(service) for service in services))
        return [
            Surveyed(service, probe, tuple(steps[service]))
            for service, probe in zip(services, probes, strict=True)
        ]

    def backup(self) -> AsyncGenerator[Piece, None]:
        """As `Upkeep.backup`."""
        return self._upkeep.backup()

    def verify(self) -> AsyncGenerator[Verified, None]:
        """As `engine.upkeep.verify`."""
        return verify(self._index, self._journal, self._upkeep)
