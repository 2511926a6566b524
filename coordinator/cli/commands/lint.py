"""The linter, over files as a coordinator would load them; and with what participants say that they offer."""

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.definition_files import DefinitionFileReader, files_at
from coordinator.adapters.grpc_participants import GrpcParticipants
from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.output import Form, print_many, put
from coordinator.cli.text import one_line
from coordinator.domain.errors import InvalidDefinition, StartupFailed
from coordinator.domain.language.expressions import Evaluate
from coordinator.domain.language.lint import lint
from coordinator.domain.language.rules import RULES
from coordinator.domain.language.sentences import INVALID
from coordinator.engine.offers import offer_findings, offers
from coordinator.ports.definitions import Read
from coordinator.ports.participants import Description
from coordinator.settings import Settings


@dataclass(frozen=True, slots=True)
class _Found:
    """What is found at one place. `line` and `column` are 0 where the text could not be read that far."""

    file: str
    line: int
    column: int
    rule: str
    path: str
    sentence: str
    cure: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = (place, self.rule, self.path, f"{self.sentence}.", f"Cure: {self.cure}")
        return "  ".join(map(one_line, parts))


def run(paths: Sequence[Path], form: Form, *, participants: bool) -> int:
    """Print what is found in the files of *paths*, or of the settings' folder; silent where nothing is."""
    try:
        settings = Settings.load(os.environ) if participants or not paths else Settings()
        files = files_at(paths or [_folder(settings)])
    except StartupFailed as error:
        raise CommandFailed(Exit.USAGE, str(error)) from None
    expressions = CelExpressions()
    one_by_one = DefinitionFileReader(None, expressions.check)
    read = [_read(file, one_by_one) for file in files]
    told = None
    if participants:
        steps = [step for each in read if isinstance(each, Read) for step in each.definition.steps]
        told = asyncio.run(_told(settings, {step.service for step in steps}))
    found: list[_Found] = []
    for file, each in zip(files, read, strict=True):
        if isinstance(each, InvalidDefinition):
            found += refusals(file, each)
        else:
            found += _linted(file, each, expressions.evaluate, told)
    if form is not Form.TABLE:
        print_many(found, (), form)
    elif found:
        put("\n".join(map(str, found)))
    return Exit.ERROR if found else Exit.OK


def rules(form: Form) -> int:
    """Print every rule."""
    if form is not Form.TABLE:
        print_many([{"rule": name, **asdict(rule)} for name, rule in RULES.items()], (), form)
        return Exit.OK
    width = max(map(len, RULES))
    for name, rule in RULES.items():
        put(f"{name:{width}}  {rule.sentence}\n{'':{width}}  Cure: {rule.cure}")
    return Exit.OK


def refusals(file: Path, refused: InvalidDefinition) -> Iterator[_Found]:
    """Why *file* is not loaded, a fault each."""
    for wrong in refused.violations:
        rule = wrong.rule or INVALID
        cure = RULES[rule].cure
        yield _Found(str(file), wrong.line, wrong.column, rule, wrong.path, wrong.sentence, cure)


def _folder(settings: Settings) -> Path:
    folder = Path(settings.definitions_dir)
    if not folder.is_dir():
        sentence = f"there is no definitions folder {str(folder)!r}; name files, or set SAGA_DEFINITIONS"
        raise CommandFailed(Exit.ERROR, sentence)
    return folder


def _read(file: Path, one_by_one: DefinitionFileReader) -> Read | InvalidDefinition:
    try:
        return one_by_one.read(file, str(file))
    except InvalidDefinition as refused:
        return refused


async def _told(settings: Settings, services: Collection[str]) -> Mapping[str, Description]:
    participants = GrpcParticipants(settings.services, message_bytes_max=settings.message_bytes_max)
    try:
        return await offers(participants, services)
    finally:
        await participants.close()


def _linted(
    file: Path, read: Read, evaluate: Evaluate, told: Mapping[str, Description] | None
) -> list[_Found]:
    definition = read.definition
    offered = None if told is None else list(offer_findings(definition, told))
    found = []
    for finding in lint(definition, evaluate, offered):
        line, column = read.places.position(finding.loc)
        found.append(
            _Found(str(file), line, column, finding.rule, finding.path, finding.sentence, finding.cure)
        )
    return sorted(found, key=lambda one: (one.line, one.column))
