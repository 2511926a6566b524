"""Where definitions come from."""

from collections.abc import Sequence
from typing import Protocol

from coordinator.domain.definition import SagaDefinition


class Catalog(Protocol):
    """The definitions that new sagas can be started with. A running saga never asks it."""

    def get(self, name: str, version: str | None) -> SagaDefinition:
        """The definition of that name; with *version*, in exactly that version.

        Raises:
            DefinitionNotFound: there is none; the text lists those there are.
        """
        ...

    def all(self) -> Sequence[SagaDefinition]:
        """Every definition, by name."""
        ...
