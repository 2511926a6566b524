"""Definitions, checked offline by the code that the coordinator loads them with."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_files import DefinitionFiles, files_at
from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.output import Form, print_one, put, tell
from coordinator.cli.text import counted
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import InvalidDefinition, StartupFailed


def run(paths: Sequence[Path], services: Sequence[str] | None, form: Form) -> int:
    """Print every fault of every file."""
    try:
        files = files_at(paths)
    except StartupFailed as error:
        raise CommandFailed(Exit.USAGE, str(error)) from None
    checked = DefinitionFiles.read(files, services or None, CelExpressions().check)
    if form is Form.TABLE:
        for definition in checked.all():
            version = f" (version {definition.version})" if definition.version else ""
            put(f"{definition.name}{version}: {len(definition.steps)} steps")
        for refused in checked.refused:
            put(str(refused))
    else:
        print_one(
            {
                "definitions": [_definition(definition) for definition in checked.all()],
                "refused": [_refused(refused) for refused in checked.refused],
            },
            form,
        )
    tell(
        f"{counted(len(checked.loaded), 'definition')} would be loaded, "
        f"{counted(len(checked.refused), 'file')} refused"
    )
    return Exit.ERROR if checked.refused else Exit.OK


def _definition(definition: SagaDefinition) -> dict[str, object]:
    return {
        "saga_name": definition.name,
        "version": definition.version or "",
        "digest": definition.digest,
        "steps": [step.name for step in definition.steps],
    }


def _refused(refused: InvalidDefinition) -> dict[str, object]:
    return {
        "file": refused.source,
        "violations": [asdict(fault) for fault in refused.violations],
    }
