"""The definitions in a folder, one a file, read once at the start.

A wrong file is refused whole and the others keep working: one team's mistake stops nobody else.
"""

import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from coordinator.adapters.definition_text import FORMAT_OF, checked, definition_document, format_of
from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import InvalidDefinition, StartupFailed, Violation
from coordinator.domain.language.documents import Document
from coordinator.domain.language.expressions import Check
from coordinator.domain.language.registration import Key, natural
from coordinator.ports.definitions import Read

SCHEMA_FILE: Final = "schema.json"
"""Beside the definitions, for the editors of those who write them; it is none itself."""


@dataclass(frozen=True, slots=True)
class DefinitionFiles:
    """What a folder holds, and what was refused there."""

    loaded: tuple[tuple[str, SagaDefinition], ...]
    """With the names of their files; each is of a saga name and version of its own."""
    refused: tuple[InvalidDefinition, ...]

    @classmethod
    def load(cls, folder: Path | str, services: Collection[str] | None, check: Check) -> Self:
        """Read every `*.json`, `*.yaml` and `*.yml` in *folder* that is not hidden, by file name.

        A step of a service that is not in *services* is a fault; None allows any. *check* says what is wrong
        with an expression.

        Raises:
            StartupFailed: the folder can not be read.
        """
        return cls.read(files_in(Path(folder)), services, check)

    @classmethod
    def read(cls, paths: Sequence[Path], services: Collection[str] | None, check: Check) -> Self:
        """Read *paths*, as `load` reads a folder's."""
        loaded: list[tuple[str, SagaDefinition]] = []
        one_by_one = DefinitionFileReader(services, check)
        refused = []
        for path in paths:
            source = path.name if path.name.isprintable() else repr(path.name)
            try:
                loaded.append((source, one_by_one.read(path, source).definition))
            except InvalidDefinition as error:
                refused.append(error)
        return cls(tuple(loaded), tuple(refused))

    def all(self) -> Sequence[SagaDefinition]:
        """What is loaded, by name and version."""
        definitions = (definition for _, definition in self.loaded)
        return tuple(sorted(definitions, key=lambda one: (one.name, natural(one.version))))


class DefinitionFileReader:
    """Reads files one after the other. Of those of one saga name and version the first is the only one: which
    one that is depends on nothing but their order."""

    def __init__(self, services: Collection[str] | None, check: Check) -> None:
        self._services = services
        self._check = check
        self._file_of: dict[Key, str] = {}

    def read(self, path: Path, source: str) -> Read:
        """The definition in the file at *path*; *source* names it in the error.

        Raises:
            InvalidDefinition: with every fault that was found, and where.
        """
        document = _document_in(path, source)
        read = checked(document, source=source, services=self._services, check=self._check)
        key = read.definition.name, read.definition.version
        if key in self._file_of:
            raise _same_version(source, read, self._file_of[key])
        self._file_of[key] = source
        return read


def files_at(paths: Sequence[Path]) -> list[Path]:
    """The files that *paths* are, or hold; each once, also where it is named beside its folder.

    Raises:
        StartupFailed: there are none, one is not there, or a folder can not be read.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise StartupFailed(f"there is no {str(path)!r}: name a definition file, or a folder of them")
    files = [file for path in paths for file in (files_in(path) if path.is_dir() else [path])]
    if not files:
        folders = ", ".join(map(str, paths))
        raise StartupFailed(f"there is no definition (*.json, *.yaml, *.yml) in {folders}")
    return list({file.absolute(): file for file in files}.values())


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


def read_file(path: Path, source: str) -> bytes:
    """The file's bytes, and not many more than are allowed, whatever the path leads to.

    Raises:
        InvalidDefinition: it can not be read. *source* names it in the error.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refusal(source, "$", "expected a file, found a folder or a device")
            return file.read(jsontext.BYTES_MAX + 1)
    except OSError as error:
        raise _refusal(source, "$", f"can not be read: {error.strerror}") from None


def _document_in(path: Path, source: str) -> Document:
    text = read_file(path, source)
    try:
        return definition_document(text, format_of(path), source=source)
    except InvalidDefinition as refused:
        if path.suffix in FORMAT_OF:
            raise
        read_as = "by its name it is read as JSON, and as YAML only if that ends in .yaml or .yml"
        wrong = [replace(each, sentence=f"{each.sentence}; {read_as}") for each in refused.violations]
        raise InvalidDefinition(source, wrong) from None


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a named pipe would wait for its other end; what was opened is looked at afterwards.
    # A link to a file is followed: that is how container platforms mount configuration.
    return os.open(path, flags | os.O_NONBLOCK)


def _same_version(source: str, read: Read, first: str) -> InvalidDefinition:
    name, version = read.definition.name, read.definition.version
    if version is None:
        key, sentence = (
            "sagaName",
            f"expected a saga name of its own, or a version, found {name!r} as in {first}",
        )
    else:
        key, sentence = (
            "version",
            f"expected a version of its own, found {version!r} of {name!r} as in {first}",
        )
    line, column = read.places.position((key,))
    return InvalidDefinition(source, [Violation(f"$.{key}", sentence, line=line, column=column)])


def _refusal(source: str, path: str, sentence: str) -> InvalidDefinition:
    return InvalidDefinition(source, [Violation(path, sentence)])
