"""Keeps the port `DefinitionStore` in the file of the journal, through the journal's one writer."""

from collections.abc import Mapping, Sequence

from coordinator.adapters.sqlite.reader import Reader
from coordinator.adapters.sqlite.registrations import Register, Retire, TakeUpFiles
from coordinator.adapters.sqlite.rows import check_text
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import VersionTaken
from coordinator.domain.language.registration import Key, Registered, Registration


class SqliteDefinitions:
    """The definitions in a journal that is open."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def take_up_files(
        self, definitions: Sequence[SagaDefinition], *, at: float
    ) -> Sequence[Registered | VersionTaken]:
        return await self._writer.write(TakeUpFiles(definitions, at))

    async def register(self, definition: SagaDefinition, *, at: float) -> Registered:
        return await self._writer.write(Register(definition, at))

    async def retire(
        self, name: str, version: str | None, *, at: float, if_no_open_sagas: bool = False
    ) -> Registration | None:
        check_text(name, version or "")
        return await self._writer.write(Retire((name, version), at, if_no_open_sagas))

    async def registrations(self) -> Sequence[Registration]:
        self._writer.check()
        return await self._reader.registrations()

    async def text(self, name: str, version: str | None) -> str | None:
        self._writer.check()
        return await self._reader.registered_text(name, version)

    async def open_sagas(self) -> Mapping[Key, int]:
        self._writer.check()
        return await self._reader.open_on_definitions()
