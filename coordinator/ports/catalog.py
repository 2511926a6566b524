"""Where definitions come from."""

from collections.abc import Sequence
from typing import Protocol

from coordinator.domain.definition import SagaDefinition


class Catalog(Protocol):
    """The definitions that new sagas can be started with. A running saga never asks it."""

    async def get(self, name: str, version: str | None) -> SagaDefinition:
        """The definition of that name in that version; without *version*, in the one registered last.

        What is being registered or retired at this moment is waited for.

        Raises:
            DefinitionNotFound: there is none; the text lists those there are.
        """
        ...

    def all(self) -> Sequence[SagaDefinition]:
        """Every definition in every version, by name; of one name, those registered first in front."""
        ...
