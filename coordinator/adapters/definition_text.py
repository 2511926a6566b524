"""Definitions as people write them: in JSON or in YAML, by the end of a file's name or as a caller says."""

from collections.abc import Callable, Collection, Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from coordinator.adapters.yaml_text import read_yaml
from coordinator.domain.definition import SagaDefinition, check_definition, read_document
from coordinator.domain.documents import Document, Format, read_json
from coordinator.ports.definitions import Read

FORMAT_OF: Final[Mapping[str, Format]] = MappingProxyType(
    {".json": Format.JSON, ".yaml": Format.YAML, ".yml": Format.YAML}
)
"""How a file is written, by the end of its name."""


def format_of(path: PurePath) -> Format:
    """How a file is written that someone says is a definition."""
    return FORMAT_OF.get(path.suffix, Format.JSON)


def definition_document(text: str | bytes, written: Format, *, source: str) -> Document:
    """What *text* says, right or wrong; *source* names it in the error.

    Raises:
        InvalidDefinition: it is not what it is said to be written in.
    """
    return read_document(text, source=source, read=_READ[written])


def read_definition(
    text: str | bytes, written: Format, *, source: str, services: Collection[str] | None = None
) -> SagaDefinition:
    """Read one definition, as `check_definition` checks it.

    Raises:
        InvalidDefinition: with every fault that was found, and where.
    """
    return read_with_places(text, written, source=source, services=services).definition


def read_with_places(
    text: str | bytes, written: Format, *, source: str, services: Collection[str] | None
) -> Read:
    """Keeps the port `DefinitionReader` (ports/definitions.py) for these *services*."""
    document = definition_document(text, written, source=source)
    return Read(check_definition(document, source=source, services=services), document.places)


_READ: Final[Mapping[Format, Callable[[str | bytes], Document]]] = MappingProxyType(
    {Format.JSON: read_json, Format.YAML: read_yaml}
)
