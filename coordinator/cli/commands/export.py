"""A saga that ran, as a test that plays it again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coordinator.adapters.event_codec import UnreadableEvent, decode
from coordinator.cli.exits import CommandFailed, Exit
from coordinator.cli.options import seconds
from coordinator.cli.output import put, tell
from coordinator.client import ExportedSaga, Operator
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import SagaError
from coordinator.domain.ids import FencingToken
from coordinator.ports.journal import Record
from coordinator.simulation.exporting import NotExported, export
from coordinator.simulation.pytest_text import pytest_text


def run(address: str, timeout: str, saga_id: str, *, as_pytest: bool, out: Path | None, force: bool) -> int:
    """Print a test of the saga, or write it to *out*."""
    if not as_pytest:
        sentence = "say as what it is to be exported: --pytest, as a test that plays it again"
        raise CommandFailed(Exit.USAGE, sentence)
    if out is not None:
        _check_place(out, force=force)
    with Operator(address, timeout_s=seconds(timeout)) as operator:
        text = _tried_out(saga_id, operator.export(saga_id))
    if out is None:
        put(text.removesuffix("\n"))
    else:
        with open(out, "w" if force else "x", encoding="utf-8") as file:
            file.write(text)
        tell(f"wrote {out}")
    return Exit.OK


def _check_place(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise CommandFailed(Exit.USAGE, f"{path} is a folder: name a file in it")
    if path.exists() and not force:
        raise CommandFailed(Exit.USAGE, f"{path} is there already: name another file, or give --force")


def _tried_out(saga_id: str, exported: ExportedSaga) -> str:
    """The text of the test, which passes."""
    try:
        definition = parse_definition(exported.definition_json, source="the saga's definition")
        records = [
            Record(record.seq, FencingToken(record.fencing_token), decode(record.type, record.content_json))
            for record in exported.records
        ]
    except (SagaError, UnreadableEvent) as error:
        sentence = f"saga {saga_id} can not be read by this release: {error}"
        raise CommandFailed(Exit.ERROR, sentence) from None
    try:
        with _quiet():
            return pytest_text(export(definition, records))
    except NotExported as error:
        why = f"saga {saga_id} is not exported, for the test would fail: {error}{_hint(definition)}"
        raise CommandFailed(Exit.ERROR, why) from None


def _hint(definition: SagaDefinition) -> str:
    if not definition.sensitive:
        return ""
    names = ", ".join(definition.sensitive)
    return f"; what its definition calls sensitive ({names}) is left out, and this may hang on it"


@contextmanager
def _quiet() -> Iterator[None]:
    """What the engine logs of a saga that is played again is no news."""
    logger = logging.getLogger("coordinator")
    silence, goes_on = logging.NullHandler(), logger.propagate
    logger.addHandler(silence)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = goes_on
        logger.removeHandler(silence)
