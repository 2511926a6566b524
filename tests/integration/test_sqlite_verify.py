"""Real damage, done to a closed SQLite journal: the replay of the whole journal finds and names it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.adapters.sqlite import SqliteJournal
from coordinator.engine.upkeep import Fault, verify
from coordinator.ports.journal import Quarantine
from tests.contract.sagas import ORDER, a_saga, completed, dead_lettered, reserved

DAMAGED = a_saga("2").id
OF_THE_SAGA = f"saga = (SELECT number FROM sagas WHERE id = '{DAMAGED}')"
COUNT = 5


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal of five sagas, a second apart; all but the first and the fourth have ended."""
    path = tmp_path / "journal.db"
    async with await SqliteJournal.open(path) as journal:
        sagas = [a_saga(str(number), at=1_000.0 + number) for number in range(COUNT)]
        histories = (reserved(2_000.0), dead_lettered(2_000.0), completed(2_000.0), (), completed(2_000.0))
        for saga, events in zip(sagas, histories, strict=True):
            await saga.start(journal)
            # Two at a time, each of these in one row.
            for first in range(0, len(events), 2):
                await saga.goes_on(journal, *events[first : first + 2])
        await journal.quarantine(Quarantine(sagas[3].id, "driving it failed", 3_000.0))
    return path


async def found_in(path: Path) -> list[Fault]:
    async with await SqliteJournal.open(path) as journal:
        progress = [step async for step in verify(journal, journal, journal)]
        assert progress[-1].done
        assert not journal.failed.done()
    return [fault for step in progress for fault in step.faults]


def damage(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def tear(path: Path, table: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


async def test_a_sound_journal_has_no_faults(path: Path) -> None:
    assert await found_in(path) == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("status", "'RUNNING'", "status <Status.RUNNING: 'RUNNING'>, its records say <Status.COMPLETED"),
        ("status", "'DEAD_LETTERED'", "status <Status.DEAD_LETTERED: 'DEAD_LETTERED'>, its records say"),
        ("needs_person", "1", "needs_person True, its records say False"),
        ("signature", "'pay REFUSED'", "signature Signature(step='pay', cause=<DeadLetterCause.REFUSED"),
        ("turned_back_at", "2000.0", "turned_back_at 2000.0, its records say None"),
        ("forced", "1", "forced True, its records say False"),
        ("started_at", "1000.5", "started_at 1000.5, its records say 1002.0"),
        ("deadline_at", "2000.0", "deadline_at 2000.0, its records say None"),
        ("error_message", "'no'", "error_message 'no', its records say ''"),
        ("saga_name", "99", "saga_name 'Trip', its records say 'Order'"),
        ("due_at", "2000.0", "due_at 2000.0, its records say None"),
        ("updated_at", "2000.5", "updated_at 2000.5, its records say 2000.0"),
    ],
)
async def test_a_plausible_wrong_value_in_a_row_is_named(
    path: Path, column: str, value: str, said: str
) -> None:
    of_the_head = column in ("due_at", "updated_at")
    table, which = ("heads", OF_THE_SAGA) if of_the_head else ("sagas", f"id = '{DAMAGED}'")
    damage(
        path,
        "INSERT INTO words VALUES (99, 'Trip', 'Trip')",
        f"UPDATE {table} SET {column} = {value} WHERE {which}",
    )
    (fault,) = await found_in(path)
    assert fault.saga_id == DAMAGED
    assert fault.sentence.startswith(f"the saga's row says {said}")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            f"UPDATE records SET payload = replace(payload, '7', '8') WHERE {OF_THE_SAGA} AND seq = 3",
            "record 3",
        ),
        (
            f"DELETE FROM records WHERE {OF_THE_SAGA} AND seq = 3",
            "record 2 is damaged (it is missing, or record 5 was changed)",
        ),
        (f"DELETE FROM records WHERE {OF_THE_SAGA} AND seq = 5", "record 5 is damaged (it is not the newest"),
    ],
)
async def test_a_changed_or_missing_record_is_named(path: Path, statement: str, sentence: str) -> None:
    damage(path, statement)
    (fault,) = await found_in(path)
    assert fault.saga_id == DAMAGED
    assert sentence in fault.sentence


async def test_a_flipped_byte_in_a_record_is_named(path: Path) -> None:
    content = bytearray(path.read_bytes())
    where = content.index(b"[[5,")
    content[where + 4] ^= 1
    path.write_bytes(content)
    (fault,) = await found_in(path)
    assert fault.saga_id is not None
    assert "its digest does not match" in fault.sentence


async def test_a_registered_definition_with_another_text_is_named(path: Path) -> None:
    damage(path, "UPDATE registrations SET text = replace(text, 'release', 'keep')")
    (fault,) = await found_in(path)
    assert fault == Fault(None, "the definition 'Order' is damaged (its text has another digest)")


async def test_a_definition_that_is_lost_or_has_another_text_is_named_and_so_is_each_saga_that_it_stops(
    path: Path,
) -> None:
    damage(path, "UPDATE definitions SET text = replace(text, 'release', 'keep')")
    sentence = f"the journal's definition {ORDER.digest} is damaged (its text has another digest)"
    # Registered it is sound.
    assert await found_in(path) == [Fault(None, sentence)]
    damage(path, "DELETE FROM registrations")
    faults = await found_in(path)
    assert [fault.sentence for fault in faults] == [sentence] * (COUNT + 1)
    damage(path, "PRAGMA foreign_keys = off", "DELETE FROM definitions")
    faults = await found_in(path)
    assert sum("that it is pinned to is not in the journal" in fault.sentence for fault in faults) == COUNT


@pytest.mark.parametrize(
    "change",
    [
        "status = 'ASLEEP'",
        "signature = 'pay'",
        "flags = 'no list'",
        "flags = '7'",
        "error_message = CAST(x'ff' AS TEXT)",
    ],
)
async def test_a_row_that_makes_no_sense_hides_none_of_the_others(path: Path, change: str) -> None:
    damage(
        path,
        f"UPDATE sagas SET {change} WHERE id IN ('{DAMAGED}', 'saga-3')",
        "UPDATE sagas SET forced = 1 WHERE id IN ('saga-0', 'saga-4')",
    )
    faults = await found_in(path)
    assert [fault.saga_id for fault in faults] == ["saga-4", "saga-3", "saga-2", "saga-0"]
    assert "the saga's row: " in faults[1].sentence


async def test_a_saga_in_quarantine_whose_signature_is_another_is_named(path: Path) -> None:
    damage(path, "UPDATE sagas SET signature = 'pay REFUSED' WHERE id = 'saga-3'")
    faults = await found_in(path)
    assert {fault.saga_id for fault in faults} == {"saga-3"}
    assert any("the saga's row says signature" in fault.sentence for fault in faults)


async def test_a_row_that_makes_no_sense_is_named_and_so_is_what_else_is_wrong_with_its_saga(
    path: Path,
) -> None:
    damage(
        path,
        f"UPDATE sagas SET status = 'ASLEEP' WHERE id = '{DAMAGED}'",
        f"DELETE FROM records WHERE {OF_THE_SAGA} AND seq = 1",
        "UPDATE sagas SET flags = '7' WHERE id = 'saga-4'",
        "DELETE FROM requests WHERE request_id = 'request-4'",
    )
    faults = await found_in(path)
    assert [fault.saga_id for fault in faults] == ["saga-4", "saga-4", DAMAGED, DAMAGED]
    row, request, other_row, record = [fault.sentence for fault in faults]
    assert row == "saga saga-4: journal record 0 is damaged (the saga's row: its flags are no list)"
    assert "its request id 'request-4' is not in the journal" in request
    assert "the saga's row: 'ASLEEP'" in other_row
    assert "journal record 1 is damaged (it is missing" in record


async def test_where_not_even_the_id_of_a_row_is_one_that_is_said_too(path: Path) -> None:
    damage(
        path,
        f"UPDATE sagas SET id = CAST(x'ff' AS TEXT) WHERE id = '{DAMAGED}'",
        "UPDATE sagas SET forced = 1 WHERE id = 'saga-0'",
    )
    *of_the_row, last = await found_in(path)
    assert {fault.saga_id for fault in of_the_row} == {"?3"}
    assert of_the_row[0].sentence.startswith(
        "Row 3 of the journal's table sagas is damaged (a text in it is not UTF-8)"
    )
    assert last.saga_id == "saga-0"


async def test_a_saga_whose_row_is_gone_is_found_by_its_records(path: Path) -> None:
    damage(path, "PRAGMA foreign_keys = off", f"DELETE FROM sagas WHERE id = '{DAMAGED}'")
    faults = await found_in(path)
    assert {fault.saga_id for fault in faults} == {None}
    for table, rows in (("records", 3), ("heads", 1)):
        of_the_table = [fault for fault in faults if f"the table {table} has row" in fault.sentence]
        assert len(of_the_table) == rows
        assert all("the row of sagas that it belongs to" in fault.sentence for fault in of_the_table)


async def test_a_saga_of_which_nothing_tells_the_newest_record_is_named(path: Path) -> None:
    of_the_open_one = OF_THE_SAGA.replace(DAMAGED, "saga-0")
    damage(path, f"DELETE FROM heads WHERE {OF_THE_SAGA} OR {of_the_open_one}")
    faults = await found_in(path)
    # Of the one that is over the records tell it, and its head is put anew.
    assert {fault.saga_id for fault in faults} == {"saga-0"}
    assert "the saga's row: what tells its newest record is missing" in faults[0].sentence


async def test_a_request_id_that_was_removed_or_moved_is_named(path: Path) -> None:
    damage(path, "DELETE FROM requests WHERE request_id = 'request-2'")
    damage(path, "UPDATE requests SET saga_id = 'saga-0' WHERE request_id = 'request-4'")
    faults = await found_in(path)
    assert [(fault.saga_id, fault.sentence) for fault in faults] == [
        ("saga-4", "its request id 'request-4' belongs to saga saga-0"),
        ("saga-2", "its request id 'request-2' is not in the journal: a repetition starts another saga"),
    ]


async def test_a_request_id_with_other_content_than_its_saga_was_started_with_is_named(path: Path) -> None:
    damage(path, "UPDATE requests SET content = zeroblob(32) WHERE request_id = 'request-2'")
    assert await found_in(path) == [
        Fault(
            DAMAGED,
            "its request id 'request-2' has other content than its records: a repetition fails",
        )
    ]


async def test_of_a_request_id_whose_saga_is_gone_nothing_can_be_said(path: Path) -> None:
    damage(path, "INSERT INTO requests VALUES ('request-of-old', 1, 'content', 'saga-of-old')")
    assert await found_in(path) == []


@pytest.mark.parametrize("table", ["sagas", "records", "requests", "definitions", "sagas_by_start"])
async def test_a_torn_page_ends_in_faults_and_not_in_an_error(path: Path, table: str) -> None:
    tear(path, table)
    faults = await found_in(path)
    assert faults
    assert any(fault.saga_id is None for fault in faults)


async def test_the_journal_serves_on_while_it_is_verified(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        async for progress in verify(journal, journal, journal):
            assert progress.faults == ()
            saga = a_saga(f"new-{progress.sagas}-{progress.done}", at=5_000.0)
            await saga.start(journal)
            await saga.goes_on(journal, *completed(6_000.0))
