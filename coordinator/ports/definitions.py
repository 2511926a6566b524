"""Where definitions are registered, for as long as the journal lives, and who reads them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import VersionTaken
from coordinator.domain.language.documents import Format, Places
from coordinator.domain.language.expressions import Check
from coordinator.domain.language.registration import Key, Registered, Registration
from coordinator.domain.values import frozen


@frozen
class Read:
    """A definition, and where in its text each part of it stands."""

    definition: SagaDefinition
    places: Places


class DefinitionReader(Protocol):
    """What decides whether a text is a definition that can be run here: the same for files and callers."""

    def __call__(self, text: str | bytes, written: Format, *, source: str, check: Check) -> Read:
        """Read one, in any thread; *check* is asked about each expression.

        Raises:
            InvalidDefinition: with every fault that was found, and where. *source* names it in the error.
        """
        ...


class DefinitionStore(Protocol):
    """What is registered under each name and version (domain/language/registration.py), kept in the journal.

    A registration and a start of a saga that race are written one after the other, and the second one sees
    the first: so no version gets other content while a saga begins with what it held.
    """

    async def take_up_files(
        self, definitions: Sequence[SagaDefinition], *, at: float
    ) -> Sequence[Registered | VersionTaken]:
        """Make durable that *definitions*, each of a name and version of its own, are what stands in files
        from now on; what became of each, in their order.

        Raises:
            JournalUnavailable: the store failed; the registrations may or may not be durable.
        """
        ...

    async def register(self, definition: SagaDefinition, *, at: float) -> Registered:
        """Make durable what a caller registers.

        Raises:
            VersionTaken: sagas were started with other content of this version; nothing was written.
            Overloaded: the disk is nearly full; nothing was written.
            JournalUnavailable: the store failed; the registration may or may not be durable.
        """
        ...

    async def retire(
        self, name: str, version: str | None, *, at: float, if_no_open_sagas: bool = False
    ) -> Registration | None:
        """Make durable that no saga is started with it any more; None where nothing is registered there.

        Raises:
            DefinitionInUse: sagas are open on it, and *if_no_open_sagas*; nothing was written.
            JournalUnavailable: the store failed; the retirement may or may not be durable.
        """
        ...

    async def registrations(self) -> Sequence[Registration]:
        """All there are, those registered first in front."""
        ...

    async def text(self, name: str, version: str | None) -> str | None:
        """The content that is registered there, damaged or not."""
        ...

    async def open_sagas(self) -> Mapping[Key, int]:
        """How many sagas are open on each, where there is one.

        Raises:
            Overloaded: it took too long and was stopped.
        """
        ...
