"""The definitions in a folder, one a file, read once at the start.

A wrong file is refused whole and the others keep working: one team's mistake stops nobody else.
"""

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from coordinator.adapters.definition_text import FORMAT_OF, format_of, read_definition
from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import (
    DefinitionNotFound,
    InvalidDefinition,
    StartupFailed,
    Violation,
)

SCHEMA_FILE: Final = "schema.json"
"""Beside the definitions, for the editors of those who write them; it is none itself."""


@dataclass(frozen=True, slots=True)
class DefinitionFiles:
    """A catalog (ports/catalog.py) of what a folder holds, and of what was refused there."""

    by_name: Mapping[str, SagaDefinition]
    refused: tuple[InvalidDefinition, ...]

    @classmethod
    def load(cls, folder: Path | str, services: Collection[str] | None) -> Self:
        """Read every `*.json`, `*.yaml` and `*.yml` in *folder* that is not hidden, by file name.

        A step of a service that is not in *services* is a fault; None allows any.

        Raises:
            StartupFailed: the folder can not be read.
        """
        return cls.read(files_in(Path(folder)), services)

    @classmethod
    def read(cls, paths: Sequence[Path], services: Collection[str] | None) -> Self:
        """Read *paths*, as `load` reads a folder's."""
        loaded: dict[str, SagaDefinition] = {}
        file_of: dict[str, str] = {}
        refused = []
        for path in paths:
            source = path.name if path.name.isprintable() else repr(path.name)
            try:
                text = _read(path, source)
                definition = read_definition(text, format_of(path), source=source, services=services)
                # The first file of a name stays: which one that is depends on file names only.
                if definition.name in loaded:
                    raise _same_name(source, definition.name, file_of[definition.name])
            except InvalidDefinition as error:
                refused.append(error)
            else:
                loaded[definition.name] = definition
                file_of[definition.name] = source
        return cls(dict(sorted(loaded.items())), tuple(refused))

    def get(self, name: str, version: str | None) -> SagaDefinition:
        definition = self.by_name.get(name)
        if definition is None or version not in (None, definition.version):
            raise DefinitionNotFound(name, version, [_label(known) for known in self.all()])
        return definition

    def all(self) -> Sequence[SagaDefinition]:
        return tuple(self.by_name.values())


def files_in(folder: Path) -> list[Path]:
    """The files of *folder* that are read as definitions.

    Raises:
        StartupFailed: the folder can not be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        raise StartupFailed(
            f"the definitions folder {str(folder)!r} does not exist; SAGA_DEFINITIONS names it"
        ) from None
    except OSError as error:
        raise StartupFailed(
            f"the definitions folder {str(folder)!r} can not be read: {error.strerror}"
        ) from None
    return [
        folder / name
        for name in names
        if name.endswith(tuple(FORMAT_OF)) and name[0] != "." and name != SCHEMA_FILE
    ]


def _read(path: Path, source: str) -> bytes:
    """The file's bytes, and not many more than are allowed, whatever the path leads to."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refusal(source, "$", "expected a file, found a folder or a device")
            return file.read(jsontext.BYTES_MAX + 1)
    except OSError as error:
        raise _refusal(source, "$", f"can not be read: {error.strerror}") from None


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a named pipe would wait for its other end; what was opened is looked at afterwards.
    # A link to a file is followed: that is how container platforms mount configuration.
    return os.open(path, flags | os.O_NONBLOCK)


def _same_name(source: str, name: str, first: str) -> InvalidDefinition:
    return _refusal(source, "$.sagaName", f"expected a saga name of its own, found {name!r} as in {first}")


def _refusal(source: str, path: str, sentence: str) -> InvalidDefinition:
    return InvalidDefinition(source, [Violation(path, sentence)])


def _label(definition: SagaDefinition) -> str:
    if definition.version is None:
        return definition.name
    return f"{definition.name} (version {definition.version})"
