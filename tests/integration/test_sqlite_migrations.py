"""A journal that an older release wrote opens, and reads as if this one had written it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.adapters.sqlite import SqliteJournal
from coordinator.adapters.sqlite.files import APPLICATION_ID
from coordinator.adapters.sqlite.migrations import migrate, packaged
from coordinator.adapters.sqlite.rows import CHAIN_START, chained, lines
from coordinator.domain.errors import StartupFailed
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    DeadlinePassed,
    Event,
    StepBegun,
    StepFaulted,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    Verb,
)
from coordinator.domain.ids import FencingToken
from coordinator.domain.summary import SagaSummary
from tests.contract.sagas import (
    ORDER,
    PAY,
    RESERVE,
    Told,
    a_saga,
    acted,
    completed,
    dead_lettered,
    reserved,
    retried_at,
)

TOKEN = FencingToken(7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def written_by_the_first_release(path: Path, sagas: Sequence[Told]) -> None:
    """The file as its schema and its code left it: rows said only whether a saga had turned back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA journal_mode = wal")
        db.execute("BEGIN")
        migrate(db, packaged()[:1], "journal")
        db.execute("INSERT INTO journal VALUES (1, 1, ?)", (TOKEN,))
        db.execute("INSERT INTO definitions VALUES (?, ?, ?)", (ORDER.digest, ORDER.name, ORDER.text))
        for saga in sagas:
            put(db, saga)
        db.execute("COMMIT")


def put(db: sqlite3.Connection, saga: Told) -> None:
    digest, records = CHAIN_START, []
    for seq, line in enumerate(lines(saga.events), start=1):
        digest = chained(digest, saga.id, seq, TOKEN, line)
        records.append((saga.id, seq, TOKEN, line.at, line.type, line.payload, digest))
    row, request = saga.summary, saga.request
    held = {
        "id": row.id,
        "saga_name": row.saga_name,
        "definition_version": row.definition_version,
        "definition_digest": row.definition_digest,
        "front_door": row.front_door,
        "request_id": row.request_id,
        "status": row.status.value,
        "turned_back": int(row.turned_back_at is not None),
        "needs_person": int(row.needs_person),
        "error_message": row.error_message,
        "started_at": row.started_at,
        "updated_at": row.updated_at,
        "deadline_at": row.deadline_at,
        "due_at": row.due_at,
        "seq": row.seq,
        "flags": "[]",
        "digest": digest,
    }
    marks = ", ".join("?" for _ in held)
    db.execute(f"INSERT INTO sagas ({', '.join(held)}) VALUES ({marks})", tuple(held.values()))
    db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", records)
    db.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?)",
        (request.front_door, request.request_id, request.content, saga.id),
    )


def faulted(at: float, retry_at: float | None) -> Event:
    return StepFaulted(at, RESERVE, 1, Cause.FAULTED, "BUSY", 'it said "retry_at":null}', retry_at)


HISTORIES: dict[str, Sequence[Event]] = {
    "begun": (),
    "reserved": reserved(),
    "waiting": retried_at(1_010.0),
    "completed": completed(),
    "cancelled": (*reserved(), CancelRequested(1_005.0, "no longer wanted")),
    "too-late": (*reserved(), DeadlinePassed(1_060.0)),
    "refused": dead_lettered()[:-1],
    "dead": (*dead_lettered(),),
    "given-up": (
        StepBegun(1_001.0, RESERVE),
        faulted(1_002.0, 1_003.0),
        faulted(1_004.0, None),
        UndoBegun(1_005.0, RESERVE, None),
        UndoFaulted(1_006.0, RESERVE, 1, Cause.FAULTED, "BUSY", "", None),
    ),
    # An answer that comes after the abort turns nothing back.
    "late-answer": (
        StepBegun(1_001.0, RESERVE),
        CancelRequested(1_002.0, ""),
        faulted(1_003.0, None),
        StepSucceeded(1_004.0, RESERVE, 1, "{}"),
    ),
}


def told(name: str, history: Sequence[Event]) -> Told:
    saga = a_saga(name)
    if name == "too-late":
        saga = Told(saga.id, saga.request_id, deadline_at=1_060.0)
    saga.happens(*history)
    return saga


@pytest.fixture
def sagas(path: Path) -> list[Told]:
    made = [told(name, history) for name, history in HISTORIES.items()]
    written_by_the_first_release(path, made)
    return made


async def test_each_row_reads_as_this_release_would_have_written_it(path: Path, sagas: list[Told]) -> None:
    async with await SqliteJournal.open(path) as journal:
        assert journal.token > TOKEN
        for saga in sagas:
            row = await journal.find(saga.id)
            assert row == saga.summary
            records = await journal.history(saga.id)
            assert [record.event for record in records] == saga.events
    turned_back = {saga.id: saga.summary.turned_back_at for saga in sagas}
    assert sum(at is not None for at in turned_back.values()) == 6
    assert turned_back[told("given-up", ()).id] == 1_004.0


async def test_its_sagas_go_on(path: Path, sagas: list[Told]) -> None:
    by_name = dict(zip(HISTORIES, sagas, strict=True))
    async with await SqliteJournal.open(path) as journal:
        assert {saga.saga_id for saga in await journal.open_sagas()} == {
            saga.id for saga in sagas if saga.summary.status.is_open
        }
        await by_name["dead"].goes_on(journal, acted(Verb.SKIP, RESERVE))
        await by_name["reserved"].goes_on(journal, StepBegun(1_700.0, PAY))
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas:
            assert await journal.find(saga.id) == saga.summary
        assert by_name["dead"].summary.forced


async def test_a_saga_whose_records_are_gone_keeps_a_row(path: Path, sagas: list[Told]) -> None:
    cancelled = sagas[list(HISTORIES).index("cancelled")]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM records WHERE saga_id = ?", (cancelled.id,))
    async with await SqliteJournal.open(path) as journal:
        row = await journal.find(cancelled.id)
        assert isinstance(row, SagaSummary)
        assert row.turned_back_at == row.updated_at


async def test_once_open_it_is_of_this_releases_format(path: Path, sagas: list[Told]) -> None:
    async with await SqliteJournal.open(path):
        pass
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT format FROM journal").fetchone() == (2,)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, sagas: list[Told]) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        # The migration's own index finds its name taken.
        db.execute("CREATE TABLE sagas_undoing (x)")
    with pytest.raises(StartupFailed, match="sagas_undoing"):
        await SqliteJournal.open(path)
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("SELECT format, token FROM journal").fetchone() == (1, TOKEN)
        assert db.execute("SELECT sum(turned_back) FROM sagas").fetchone() == (6,)
        db.execute("DROP TABLE sagas_undoing")
    async with await SqliteJournal.open(path) as journal:
        assert await journal.find(sagas[0].id) == sagas[0].summary
