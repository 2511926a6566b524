"""What an operator asks about the house as a whole: its participants, and the state of its journal."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from coordinator.domain.values import frozen
from coordinator.engine.upkeep import Verified, verify
from coordinator.ports.catalog import Catalog
from coordinator.ports.journal import Journal, Piece, SagaIndex, Upkeep
from coordinator.ports.participants import Description, Participants, Probe


@frozen
class Surveyed:
    """A service that loaded definitions call. `steps` are written "sagaName/step"."""

    service: str
    probe: Probe
    description: Description
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
        """Every service that a loaded definition names, by name; all are asked side by side."""
        steps: dict[str, list[str]] = {}
        for definition in self._catalog.all():
            for step in definition.steps:
                steps.setdefault(step.service, []).append(f"{definition.name}/{step.name}")
        services = sorted(steps)
        asked = self._participants
        probes, descriptions = await asyncio.gather(
            asyncio.gather(*map(asked.probe, services)), asyncio.gather(*map(asked.describe, services))
        )
        return [
            # A step that several versions have is named once.
            Surveyed(service, probe, description, tuple(dict.fromkeys(steps[service])))
            for service, probe, description in zip(services, probes, descriptions, strict=True)
        ]

    def backup(self) -> AsyncGenerator[Piece, None]:
        """As `Upkeep.backup`."""
        return self._upkeep.backup()

    def verify(self) -> AsyncGenerator[Verified, None]:
        """As `engine.upkeep.verify`."""
        return verify(self._index, self._journal, self._upkeep)
