"""Definitions as people write them: in JSON or in YAML, by the end of a file's name or as a caller says."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from coordinator.adapters.yaml_text import read_yaml
from coordinator.domain.definition import VIOLATIONS_MAX, SagaDefinition, check_definition, read_document
from coordinator.domain.errors import InvalidDefinition, Violation
from coordinator.domain.jsontext import path_of
from coordinator.domain.language.documents import Document, Format, Places, read_json
from coordinator.domain.language.expression_rules import ExpressionFault, expression_faults
from coordinator.domain.language.expressions import Check
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
    text: str | bytes, written: Format, *, source: str, services: Collection[str] | None, check: Check
) -> SagaDefinition:
    """Read one definition, as `read_with_places` does.

    Raises:
        InvalidDefinition: with every fault that was found, and where.
    """
    return read_with_places(text, written, source=source, services=services, check=check).definition


def read_with_places(
    text: str | bytes,
    written: Format,
    *,
    source: str,
    services: Collection[str] | None,
    check: Check,
) -> Read:
    """Keeps the port `DefinitionReader` (ports/definitions.py) for these *services*.

    A definition that reaches a coordinator comes through here, whoever brings it. Its expressions are checked
    only where the rest is right: what they may name depends on it.
    """
    return checked(
        definition_document(text, written, source=source), source=source, services=services, check=check
    )


def checked(document: Document, *, source: str, services: Collection[str] | None, check: Check) -> Read:
    """The definition that *document* is, as `read_with_places` reads one.

    Raises:
        InvalidDefinition: with every fault that was found, and where.
    """
    definition = check_definition(document, source=source, services=services)
    faults = list(islice(expression_faults(definition, check), VIOLATIONS_MAX + 1))
    if faults:
        raise InvalidDefinition(source, _violations(faults, document.places))
    return Read(definition, document.places)


def _violations(faults: Sequence[ExpressionFault], places: Places) -> Sequence[Violation]:
    shown = [
        Violation(path_of(fault.loc), fault.told, fault.rule, *places.position(fault.loc))
        for fault in faults[:VIOLATIONS_MAX]
    ]
    if len(faults) > VIOLATIONS_MAX:
        shown.append(Violation("$", "has more faults, which are not listed"))
    return shown


_READ: Final[Mapping[Format, Callable[[str | bytes], Document]]] = MappingProxyType(
    {Format.JSON: read_json, Format.YAML: read_yaml}
)
