"""The writer wakes everybody who waits for it, once, whatever becomes of the group or of those who wait."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import pytest

from coordinator.adapters.sqlite import writer
from coordinator.adapters.sqlite.group import Outcome
from coordinator.adapters.sqlite.words import Words
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain.errors import JournalUnavailable, SagaNotFound
from coordinator.domain.ids import FencingToken, SagaId
from coordinator.ports.journal import Quarantine

_T = TypeVar("_T")
PATIENCE_S: Final = 5.0
LOST: Final = "lost"
"""A saga that is not in the journal."""


class Disk:
    """Takes whole groups, one at a time, and may fail."""

    def __init__(self) -> None:
        self.groups = list[list[SagaId]]()
        self.fails = False

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        await asyncio.sleep(0)
        if self.fails:
            raise sqlite3.OperationalError("disk I/O error")
        return work(None)  # type: ignore[arg-type]  # `write` stands in for all that would look at it

    async def close(self) -> None: ...

    def write(self, _db: object, entries: Sequence[Quarantine], *_: object) -> list[Outcome]:
        self.groups.append([entry.saga_id for entry in entries])
        return [SagaNotFound(entry.saga_id) if entry.saga_id == LOST else None for entry in entries]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(writer, "write_group", disk.write)
    return disk


def a_writer(disk: Disk) -> Writer:
    return Writer(
        disk, Path("journal.db"), FencingToken(1), Words({}, 0), shortage=lambda: None, log_bytes=lambda: 0
    )


def queue(of: Writer, *names: str) -> list[asyncio.Task[None]]:
    """One who waits for each, in this order."""

    async def wait(name: str) -> None:
        await of.write(Quarantine(SagaId(name), "damaged", 1.0))

    return [asyncio.create_task(wait(name)) for name in names]


async def ends(waiting: Sequence[asyncio.Task[None]]) -> list[type | None]:
    """What each of them was told: nothing is wrong, or that error."""
    async with asyncio.timeout(PATIENCE_S):
        told = await asyncio.gather(*waiting, return_exceptions=True)
    return [None if end is None else type(end) for end in told]


async def end(opened: Writer) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await opened.drain()


async def test_each_of_a_group_is_told_what_became_of_its_own_entry(disk: Disk) -> None:
    waiting = queue(opened := a_writer(disk), "a", LOST, "c")
    assert await ends(waiting) == [None, SagaNotFound, None]
    assert disk.groups == [["a", LOST, "c"]]
    await end(opened)


async def test_one_who_left_is_written_and_disturbs_nobody(disk: Disk) -> None:
    opened = a_writer(disk)
    left, stayed = queue(opened, "left", "stayed")
    await asyncio.sleep(0)
    left.cancel()
    assert await ends([left, stayed]) == [asyncio.CancelledError, None]
    assert await ends(queue(opened, "later")) == [None]
    assert disk.groups == [["left", "stayed"], ["later"]]
    await end(opened)


async def test_all_of_a_group_that_fails_are_told_and_those_who_come_later(disk: Disk) -> None:
    opened = a_writer(disk)
    disk.fails = True
    assert await ends(queue(opened, "a", "b")) == [JournalUnavailable] * 2
    assert await ends(queue(opened, "later")) == [JournalUnavailable]
    assert "disk I/O error" in opened.failed.result()


async def test_it_ends_behind_what_was_queued(disk: Disk) -> None:
    opened = a_writer(disk)
    waiting = queue(opened, "a", "b")
    await asyncio.sleep(0)
    await end(opened)
    assert await ends(waiting) == [None, None]
    assert await ends(queue(opened, "later")) == [JournalUnavailable]
