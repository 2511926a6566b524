"""A journal that an older release wrote opens, and reads as if this one had written it."""

import json
import logging
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, fields
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from coordinator.adapters.event_codec import EVENT_TYPES
from coordinator.adapters.sqlite import SqliteJournal
from coordinator.adapters.sqlite.files import APPLICATION_ID
from coordinator.adapters.sqlite.migrations import migrate, packaged
from coordinator.adapters.sqlite.rows import CHAIN_START, OLD_DIGEST_BYTES, Line, chained
from coordinator.domain.errors import JournalCorrupt, JournalDamaged, StartupFailed, VersionTaken
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
from coordinator.domain.ids import FencingToken, RequestId, SagaId, StepName
from coordinator.domain.language.registration import Registered, Registration
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, SagaSummary
from coordinator.engine.upkeep import verify
from coordinator.ports.journal import Quarantine, SagaFilter
from tests.contract.sagas import (
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
from tests.contract.test_definition_store_contract import content
from tests.integration.test_sqlite_damage import change_on
from tests.unit.machine.tale import DONE, FAULT, REFUSAL, Tale, define, step

TOKEN = FencingToken(7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def written_by_release(number: int, path: Path, sagas: Sequence[Told]) -> None:
    """The file as the schema and the code of that release left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA journal_mode = wal")
        db.execute("BEGIN")
        migrate(db, packaged()[:number], "journal")
        db.execute("INSERT INTO journal VALUES (1, ?, ?)", (min(number, 4), TOKEN))
        for definition in {saga.definition.digest: saga.definition for saga in sagas}.values():
            db.execute(
                "INSERT INTO definitions VALUES (?, ?, ?)",
                (definition.digest, definition.name, definition.text),
            )
        for saga in sagas:
            if number < NUMBERED:
                put(db, saga, number)
            else:
                put_numbered(db, saga)
        db.execute("COMMIT")


NUMBERED = 7
"""The first schema that gave sagas numbers; the eighth let several events stand in one row."""


def put_numbered(db: sqlite3.Connection, saga: Told) -> None:
    row, request = saga.summary, saga.request
    fixed = (row.saga_name, row.definition_version, row.definition_digest, row.front_door, row.request_id)
    standing = (
        row.turned_back_at,
        int(row.needs_person),
        row.error_message,
        row.deadline_at,
        "[]",
        row.forced,
    )
    signature = row.signature and f"{row.signature.step} {row.signature.cause}"
    rowed = (row.id, *fixed, row.started_at, row.trace, row.status.value, *standing, signature)
    number = db.execute(f"INSERT INTO sagas VALUES (NULL{', ?' * len(rowed)})", rowed).lastrowid
    types = dict(db.execute("SELECT name, number FROM event_types"))
    digest, seq = CHAIN_START, 0
    for at, same in groupby(saga.events, lambda event: event.at):
        kept = [as_list(event) for event in same]
        seq += len(kept)
        several = [[types[kind], *values] for kind, values in kept]
        kind, values = kept[0] if len(kept) == 1 else ("Several", several)
        line = at, kind, json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        digest = chained(digest, saga.id, seq, TOKEN, line, OLD_DIGEST_BYTES)
        record = (number, seq, TOKEN, at, types[kind], line[2], digest)
        db.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", record)
    head = (number, row.updated_at, row.due_at, seq, digest)
    db.execute("INSERT INTO heads VALUES (?, ?, ?, ?, ?)", head)
    taken = (request.request_id, request.front_door, request.content, saga.id)
    db.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", taken)


def as_list(event: Event) -> tuple[str, list[object]]:
    """The type and the values that releases before the ninth wrote of *event*."""
    values = [getattr(event, field.name) for field in fields(event)[1:]]
    for field in reversed(fields(event)):
        if not values or values[-1] != field.default:
            break
        values.pop()
    return type(event).__name__, values


def put(db: sqlite3.Connection, saga: Told, release: int) -> None:
    digest, records = CHAIN_START, []
    for seq, event in enumerate(saga.events, start=1):
        line = as_object(event, release)
        digest = chained(digest, saga.id, seq, TOKEN, line, OLD_DIGEST_BYTES)
        records.append((saga.id, seq, TOKEN, *line, digest))
    row, request = saga.summary, saga.request
    held = {
        "id": row.id,
        "saga_name": row.saga_name,
        "definition_version": row.definition_version,
        "definition_digest": row.definition_digest,
        "front_door": row.front_door,
        "request_id": row.request_id,
        "status": row.status.value,
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
    if release == 1:
        # Its rows said only whether a saga had turned back.
        held["turned_back"] = int(row.turned_back_at is not None)
    else:
        held |= {"turned_back_at": row.turned_back_at, "forced": int(row.forced)}
    if release > 2:
        signature = row.signature
        held["signature"] = None if signature is None else f"{signature.step} {signature.cause}"
    if release > 3:
        held["trace"] = row.trace
    marks = ", ".join("?" for _ in held)
    db.execute(f"INSERT INTO sagas ({', '.join(held)}) VALUES ({marks})", tuple(held.values()))
    db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", records)
    db.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?)",
        (request.front_door, request.request_id, request.content, saga.id),
    )


def as_object(event: Event, release: int) -> Line:
    """The record as releases before the seventh had it."""
    values = asdict(event)
    if release > 4:
        defaults = {field.name: field.default for field in fields(event)}
        values = {name: value for name, value in values.items() if value != defaults[name]}
    return event.at, type(event).__name__, json.dumps(values, ensure_ascii=False, separators=(",", ":"))


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
    if name == "completed":
        saga = Told(SagaId("01a22b03-13f5-75d6-92a0-eb82074bcbfc"), RequestId("c" * 64))
    saga.happens(*history)
    return saga


@pytest.fixture(params=[1, 6, 8])
def release(request: pytest.FixtureRequest) -> int:
    """The oldest one, the last one before sagas had numbers, and the last one before words had them."""
    number: int = request.param
    return number


@pytest.fixture
def sagas(path: Path, release: int) -> list[Told]:
    made = [told(name, history) for name, history in HISTORIES.items()]
    written_by_release(release, path, made)
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


async def test_each_request_id_is_still_taken(path: Path, sagas: list[Told]) -> None:
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas:
            assert await journal.requested(saga.front_door, saga.request_id) == saga.request
            assert await saga.start(journal) == saga.request
        assert [step async for step in verify(journal, journal, journal)][-1].faults == ()


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


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("requests", b"request-dead"),
        ("sqlite_autoindex_requests_1", b"request-dead"),
        ("sagas", b"saga-dead"),
    ],
)
@pytest.mark.parametrize("release", [8], indirect=True)
async def test_one_that_is_damaged_is_not_brought_up_to_date_and_forgets_nothing(
    path: Path, sagas: list[Told], place: str, what: bytes
) -> None:
    """Rows would be copied, and what their indexes know besides would be lost."""
    assert sagas
    change_on(path, place, what, what.replace(b"dead", b"deed"))
    with pytest.raises(StartupFailed, match=r"is damaged and is not brought up to date .*the release that"):
        await SqliteJournal.open(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT max(number) FROM migrations").fetchone() == (8,)


@pytest.mark.parametrize("release", [8], indirect=True)
async def test_a_content_that_is_no_text_costs_its_own_request(path: Path, sagas: list[Told]) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        bad = "CAST(x'ff' || CAST(substr(content, 2) AS BLOB) AS TEXT)"
        db.execute(f"UPDATE requests SET content = {bad} WHERE request_id = 'request-dead'")
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas:
            if saga.request_id == "request-dead":
                with pytest.raises(JournalDamaged, match="an id or a digest in it is none"):
                    await saga.start(journal)
            else:
                assert await saga.start(journal) == saga.request


@pytest.mark.parametrize("release", [8], indirect=True)
async def test_of_a_saga_that_has_lost_its_newest_records_that_is_still_noticed(
    path: Path, sagas: list[Told]
) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM records WHERE seq > 1")
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas:
            assert await journal.find(saga.id) == saga.summary
            if len(saga.events) > 1:
                with pytest.raises(JournalCorrupt, match="not the newest of the 1 records that are there"):
                    await journal.history(saga.id)


@pytest.mark.parametrize("release", [1, 6], indirect=True)
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
        assert db.execute("SELECT format FROM journal").fetchone() == (7,)


async def test_its_lists_stay_in_their_order(path: Path) -> None:
    # As they were written, which was not as they began.
    made = [a_saga(name, at=at) for name, at in [("d", 3.0), ("b", 2.0), ("c", 2.0), ("a", 1.0)]]
    written_by_release(6, path, made)
    async with await SqliteJournal.open(path) as journal:
        rows = await journal.page(SagaFilter(), after=None, limit=10)
        assert [row.id for row in rows] == ["saga-d", "saga-c", "saga-b", "saga-a"]
        for saga in made:
            assert await journal.requested(saga.front_door, saga.request_id) == saga.request
            (row,) = await journal.page(SagaFilter(request_id=saga.request_id), after=None, limit=10)
            assert row == saga.summary


async def test_every_type_of_record_is_read(path: Path) -> None:
    """Whether a history makes sense is not asked where it is read."""
    saga = a_saga()
    texts = {"input": "{}", "output": "{}", "receipt": None}
    makers: Sequence[Callable[..., Event]] = list(EVENT_TYPES.values())[1:]
    for make in makers:
        hints = get_type_hints(make)
        saga.events.append(make(**{name: texts.get(name, value_of(hint)) for name, hint in hints.items()}))
    written_by_release(6, path, [saga])
    async with await SqliteJournal.open(path) as journal:
        records = await journal.history(saga.id)
        assert [record.event for record in records] == saga.events
        assert {record.token for record in records} == {TOKEN}


def value_of(hint: object) -> object:
    """Some value of a field."""
    if get_args(hint):
        return value_of(get_args(hint)[0])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return next(iter(hint))
    return 1 if hint is int else 1_001.5 if hint is float else "text"


async def test_one_that_is_set_aside_stays_so(path: Path) -> None:
    saga, sound = a_saga("1"), a_saga("2")
    written_by_release(6, path, [saga, sound])
    quarantine = in_quarantine(path, saga)
    async with await SqliteJournal.open(path) as journal:
        row = await journal.find(saga.id)
        assert row is not None
        assert (row.status, row.error_message) == (Status.DEAD_LETTERED, quarantine.reason)
        assert [found.saga_id for found in await journal.open_sagas()] == [sound.id]
        # What is still written of it does not end that; a person does.
        await saga.goes_on(journal, StepBegun(9_001.0, RESERVE))
        row = await journal.find(saga.id)
        assert row is not None
        assert (row.status, row.error_message, row.seq) == (Status.DEAD_LETTERED, quarantine.reason, 2)
        await saga.goes_on(journal, acted(Verb.RETRY))
        assert await journal.find(saga.id) == saga.summary


async def test_records_that_belong_to_no_saga_stop_the_start_rather_than_being_forgotten(path: Path) -> None:
    saga, lost = a_saga("1"), a_saga("2")
    written_by_release(6, path, [saga, lost])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM sagas WHERE id = ?", (lost.id,))
    with pytest.raises(StartupFailed, match=r"NOT NULL .*records\.saga.*: it is damaged; put back a copy"):
        await SqliteJournal.open(path)
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("SELECT count(*) FROM records").fetchone() == (2,)
        db.execute("DELETE FROM records WHERE saga_id = ?", (lost.id,))
    async with await SqliteJournal.open(path) as journal:
        assert await journal.find(saga.id) == saga.summary


async def test_how_long_it_took_is_told_but_not_of_a_new_journal(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="coordinator.adapters.sqlite")
    async with await SqliteJournal.open(path.with_name("new.db")):
        pass
    assert not [line for line in caplog.messages if "schema" in line]
    written_by_release(6, path, [a_saga()])
    for _ in range(2):
        async with await SqliteJournal.open(path):
            pass
    before, after = [line for line in caplog.messages if "schema" in line]
    newest = len(packaged())
    assert before == f"the journal {path} goes from schema 6 to {newest} before it is served"
    assert re.fullmatch(rf"the journal .*journal\.db is of schema {newest} after \d+\.\d s", after)


@pytest.mark.parametrize("release", [1], indirect=True)
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


A, B, C = (StepName(name) for name in "abc")
# As a team may write it: no step is called as its transaction is, and no failed undo holds up the next one.
LENIENT = define(*(step(name, on_failure="continue") for name in "abc"), "d")


def turned_back() -> Tale:
    return Tale(LENIENT).does("1", "2", "3").fails(REFUSAL)


def spent(tale: Tale) -> Tale:
    return tale.begins().waits(200).is_answered(FAULT)


def both_failed() -> Tale:
    """The undo of c is refused first, and that of b has spent its budget later."""
    return spent(turned_back().fails(REFUSAL))


PEOPLE: dict[str, tuple[Tale, str | None]] = {
    "runs": (Tale(LENIENT).does("1"), None),
    "undoes": (turned_back().begins(), None),
    "waits to undo": (turned_back().fails(FAULT), None),
    "undone": (turned_back().fails(DONE).fails(DONE).fails(DONE), None),
    "refused": (turned_back().fails(REFUSAL), "c REFUSED"),
    "spent": (spent(turned_back()), "c BUDGET_SPENT"),
    "spent after a refusal of another": (spent(turned_back().fails(DONE)).fails(REFUSAL), "b BUDGET_SPENT"),
    "two": (both_failed(), "c REFUSED"),
    "dead": (both_failed().fails(DONE), "c REFUSED"),
    "all": (both_failed().fails(REFUSAL), "c REFUSED"),
    "retried": (turned_back().fails(REFUSAL).happens(acted(Verb.RETRY, C)), None),
    "one of two retried": (both_failed().happens(acted(Verb.RETRY, C)), "b BUDGET_SPENT"),
    "one of two waits again": (
        both_failed().waits(420).happens(acted(Verb.RETRY, C)).is_answered(FAULT),
        "b BUDGET_SPENT",
    ),
    "retried in vain": (
        both_failed().happens(acted(Verb.RETRY, C)).waits(2_000).is_answered(FAULT),
        "c BUDGET_SPENT",
    ),
    "the second retried in vain": (
        both_failed().happens(acted(Verb.RETRY, B)).is_answered(REFUSAL),
        "c REFUSED",
    ),
    "one skipped": (both_failed().happens(acted(Verb.SKIP, C)), "b BUDGET_SPENT"),
    "one completed": (both_failed().happens(acted(Verb.COMPLETE, C)), "b BUDGET_SPENT"),
    "failed by hand": (turned_back().begins().happens(acted(Verb.FAIL, C)), "c BUDGET_SPENT"),
    "failed by hand before it began": (
        Tale(LENIENT).does("1", "2").happens(acted(Verb.FAIL, C)).fails(REFUSAL),
        "b REFUSED",
    ),
    "failed by hand and undone": (
        Tale(LENIENT).does("1", "2").begins().happens(acted(Verb.FAIL, C)).fails(DONE).fails(REFUSAL),
        "b REFUSED",
    ),
    "of the whole": (
        both_failed().happens(acted(Verb.CANCEL)),
        "c REFUSED",
    ),
    "terminated": (both_failed().happens(acted(Verb.TERMINATE)), None),
}


def in_quarantine(path: Path, saga: Told) -> Quarantine:
    """*saga* is set aside, as the second release did it."""
    quarantine = Quarantine(saga.id, "driving it failed", 9_000.0)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO quarantines VALUES (?, ?, ?)", (saga.id, quarantine.reason, quarantine.at))
        db.execute(
            "UPDATE sagas SET status = 'DEAD_LETTERED', needs_person = 1, error_message = ?, updated_at = ?,"
            " due_at = NULL WHERE id = ?",
            (quarantine.reason, quarantine.at, saga.id),
        )
    return quarantine


@pytest.fixture
def people(path: Path) -> dict[str, Told]:
    """By what happened to them, the sagas of a journal of the second release."""
    made = {}
    for name, (tale, _) in PEOPLE.items():
        made[name] = a_saga(name.replace(" ", "-"), definition=tale.definition)
        made[name].happens(*tale.history[1:])
    written_by_release(2, path, list(made.values()))
    return made


async def faults_of(journal: SqliteJournal) -> Sequence[object]:
    return [fault async for progress in verify(journal, journal, journal) for fault in progress.faults]


async def test_each_row_tells_what_its_saga_needs_a_person_for(path: Path, people: dict[str, Told]) -> None:
    set_aside = [people["runs"], people["dead"]]
    for saga in set_aside:
        in_quarantine(path, saga)
    async with await SqliteJournal.open(path) as journal:
        for name, saga in people.items():
            row = await journal.find(saga.id)
            assert row is not None
            if saga in set_aside:
                assert row.signature == SET_ASIDE
                continue
            assert row == saga.summary
            signature = row.signature and f"{row.signature.step} {row.signature.cause}"
            assert (name, signature) == (name, PEOPLE[name][1])
        assert await faults_of(journal) == []
        census = await journal.census(2_000.0)
        assert sum(alike.sagas for alike in census.signatures) == census.dead_letters
        await people["runs"].goes_on(journal, acted(Verb.RETRY))
        assert await journal.find(people["runs"].id) == people["runs"].summary


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE records SET payload = 'no JSON' WHERE type IN ('UndoRefused', 'UndoFaulted')",
        "UPDATE records SET payload = '[7]' WHERE type IN ('UndoRefused', 'UndoFaulted')",
        "DELETE FROM records",
        "UPDATE definitions SET text = 'no JSON'",
        'UPDATE definitions SET text = \'{"steps":["a",7]}\'',
    ],
)
async def test_a_saga_whose_records_do_not_tell_stops_no_start_and_counts_as_set_aside(
    path: Path, people: dict[str, Told], damage: str
) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(damage)
    async with await SqliteJournal.open(path) as journal:
        row = await journal.find(people["dead"].id)
        assert row is not None
        assert (row.status, row.signature) == (Status.DEAD_LETTERED, SET_ASIDE)
        row = await journal.find(people["undone"].id)
        assert row is not None
        assert row.signature is None


async def test_the_versions_that_its_sagas_began_with_are_in_use(path: Path) -> None:
    edited, first, second = content("b"), content("a"), content("a", "2")
    made = [
        a_saga("1", at=1_000.0, definition=first),
        a_saga("2", at=1_001.0, definition=second),
        # Its file was edited, which no release before forbade.
        a_saga("3", at=1_002.0, definition=edited),
        a_saga("4", at=1_003.0, definition=content("a", None)),
    ]
    written_by_release(2, path, made)
    async with await SqliteJournal.open(path) as journal:
        store = journal.definitions
        assert await store.registrations() == [
            Registration("Trip", "1", edited.digest, 1, 1_000.0, used_at=1_000.0),
            Registration("Trip", "2", second.digest, 2, 1_001.0, used_at=1_001.0),
            Registration("Trip", None, content("a", None).digest, 3, 1_003.0, used_at=1_003.0),
        ]
        assert await store.text("Trip", "2") == second.text
        same, other, draft = await store.take_up_files(
            [edited, content("c", "2"), content("b", None)], at=2_000.0
        )
        assert isinstance(same, Registered)
        assert same.registration.is_offered
        assert isinstance(other, VersionTaken)
        assert isinstance(draft, Registered)
        assert draft.registration.number == 4
        assert await faults_of(journal) == []
