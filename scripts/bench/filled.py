"""Journals that hold many sagas before anything is measured. Each is made once, and kept for later runs.

They are written through the journal's own port: what its files look like is its own business.
"""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coordinator.adapters import event_codec
from coordinator.adapters.sqlite import SqliteJournal
from coordinator.domain.definition import SagaDefinition
from scripts.bench import histories
from scripts.bench.histories import History, Written
from scripts.bench.orders import SHIPPED
from scripts.cluster import ROOT

CACHE: Final = ROOT / ".cache" / "bench"
_AT_ONCE: Final = 2_000
_JOURNAL: Final = ROOT / "coordinator" / "adapters" / "sqlite"


def put_journal(path: Path, *, open_sagas: int, ended_sagas: int) -> None:
    """Let *path* be a journal with so many sagas that wait, and so many that went well."""
    kept = CACHE / f"{open_sagas}-open-{ended_sagas}-ended-{_format()}.sqlite3"
    if not kept.exists():
        print(f"making a journal of {open_sagas + ended_sagas:,} sagas", file=sys.stderr, flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        made = kept.with_name(f"{os.getpid()}-{kept.name}")
        try:
            asyncio.run(_make(made, open_sagas, ended_sagas))
            made.rename(kept)
        finally:
            for left in CACHE.glob(f"{made.name}*"):
                left.unlink()
    shutil.copyfile(kept, path)


async def _make(path: Path, open_sagas: int, ended_sagas: int) -> None:
    definition = histories.shipped()
    async with await SqliteJournal.open(path) as journal:
        # The oldest first, as they would have come.
        await _fill(journal, definition, histories.completed, range(ended_sagas))
        await _fill(journal, definition, histories.waiting, range(ended_sagas, ended_sagas + open_sagas))


async def _fill(
    journal: SqliteJournal,
    definition: SagaDefinition,
    kind: Callable[[SagaDefinition], History],
    numbers: range,
) -> None:
    template = kind(definition).at_once()
    for first in range(numbers.start, numbers.stop, _AT_ONCE):
        group = numbers[first - numbers.start :][:_AT_ONCE]
        await asyncio.gather(*(_start(journal, definition, template, number) for number in group))


async def _start(journal: SqliteJournal, definition: SagaDefinition, template: Written, number: int) -> None:
    request = histories.request(number)
    written = histories.renamed(template, request)
    await journal.start(request, definition, written.events, written.summary)


def _format() -> str:
    """Of the journal's code and of what is filled in: another one needs another file."""
    code = [*_JOURNAL.rglob("*.py"), *_JOURNAL.rglob("*.sql"), Path(event_codec.__file__)]
    files = sorted([*code, Path(histories.__file__), SHIPPED])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
