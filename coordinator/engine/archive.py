"""Sagas as the journal tells them: their records, replayed under the definition that they are pinned to."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Final

from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import SagaError
from coordinator.domain.events import SagaStarted
from coordinator.domain.ids import Digest
from coordinator.domain.machine import Decision, evolve, start
from coordinator.ports.journal import Record, SagaIndex

DEFINITIONS_KEPT: Final = 256
REPLAYED_AT_ONCE: Final = 50
"""So many records are replayed before others get a turn: half a millisecond, as a saga needs many turns."""


@lru_cache(maxsize=DEFINITIONS_KEPT)
def pinned_definition(text: str, digest: Digest) -> SagaDefinition:
    """The definition that a journal keeps as *text*, which has that *digest*. It is read once in a process:
    many sagas are taken up at once after a crash, and simulated coordinators start by the thousand.

    Raises:
        SagaError: it is none.
    """
    return parse_definition(text, source=f"the journal's definition {digest}")


class Archive:
    """Replays, and keeps the definitions that it has met, the newest of them."""

    def __init__(self, index: SagaIndex) -> None:
        self._index = index
        self._definitions: dict[Digest, SagaDefinition] = {}

    async def replayed(self, records: Sequence[Record]) -> Decision:
        """The saga whose *records* these are.

        Raises:
            SagaError: they contradict our rules, or the definition is lost.
        """
        saga = (await self.born(records[0])).saga
        for place in range(1, len(records), REPLAYED_AT_ONCE):
            if place > 1:  # others get a turn
                await asyncio.sleep(0)
            events = (record.event for record in records[place : place + REPLAYED_AT_ONCE])
            saga = reduce(evolve, events, saga)
        return Decision(saga)

    async def born(self, first: Record) -> Decision:
        """What follows from the first record of a saga.

        Raises:
            SagaError: it is not the first record of any, or the definition is lost.
        """
        event = first.event
        if not isinstance(event, SagaStarted):
            raise SagaError(f"a history begins with SagaStarted, not with {type(event).__name__}")
        return start(await self._definition(event.definition_digest), event)

    def keep(self, definition: SagaDefinition) -> SagaDefinition:
        """The one object that stands for *definition*: many sagas share it."""
        if definition.digest not in self._definitions:
            self._remember(definition.digest, definition)
        return self._definitions[definition.digest]

    def _remember(self, digest: Digest, definition: SagaDefinition) -> None:
        if len(self._definitions) >= DEFINITIONS_KEPT:
            del self._definitions[next(iter(self._definitions))]
        self._definitions[digest] = definition

    async def _definition(self, digest: Digest) -> SagaDefinition:
        if digest not in self._definitions:
            text = await self._index.definition(digest)
            if text is None:
                raise SagaError(f"the definition {digest} that it is pinned to is not in the journal")
            self._remember(digest, pinned_definition(text, digest))
        return self._definitions[digest]
