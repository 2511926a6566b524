"""Every kind of journal, behind one fixture. A new kind joins by one more home."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.sqlite import SqliteJournal
from tests.contract.sagas import AnyJournal


class Home(Protocol):
    """Where one journal lives, from one opening to the next."""

    async def open(self) -> AnyJournal:
        """The journal, opened (again); the one opened before is closed."""
        ...

    async def close(self) -> None: ...


class MemoryHome:
    def __init__(self) -> None:
        self._journal: MemoryJournal | None = None

    async def open(self) -> AnyJournal:
        self._journal = MemoryJournal() if self._journal is None else self._journal.reopened()
        return self._journal

    async def close(self) -> None:
        self._journal = None


class SqliteHome:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._journal: SqliteJournal | None = None

    async def open(self) -> AnyJournal:
        await self.close()
        self._journal = await SqliteJournal.open(self._path)
        return self._journal

    async def close(self) -> None:
        if self._journal is not None:
            await self._journal.close()


@pytest.fixture(params=["memory", "sqlite"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    place: Home = MemoryHome() if request.param == "memory" else SqliteHome(tmp_path / "journal.db")
    yield place
    await place.close()


@pytest.fixture
async def journal(home: Home) -> AnyJournal:
    return await home.open()
