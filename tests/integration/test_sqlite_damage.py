"""A journal whose bytes were changed behind its back never forgets quietly: JournalCorrupt says where."""

import asyncio
import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.adapters.event_codec import RECORD_TYPES, SEVERAL
from coordinator.adapters.sqlite import SqliteJournal, reader
from coordinator.adapters.sqlite.damage import mend_heads, mend_old_heads, read_words
from coordinator.adapters.sqlite.group import Heads, MendHeads, write_group
from coordinator.adapters.sqlite.reader import CENSUS, OPEN_COUNT, OPEN_SAGAS, SIGNATURES, page_query
from coordinator.adapters.sqlite.rows import MOMENT_MAX, MOMENT_MIN, chained
from coordinator.domain.actions import Action, end_unreadable
from coordinator.domain.errors import (
    JournalConflict,
    JournalCorrupt,
    JournalDamaged,
    JournalUnavailable,
    SagaError,
    StartupFailed,
)
from coordinator.domain.events import CancelRequested, SagaResumed, Verb
from coordinator.domain.ids import ActionId, FencingToken, RequestId, SagaId
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, SagaSummary
from coordinator.ports.journal import Cursor, Quarantine, SagaFilter
from tests.contract.sagas import ORDER, Told, a_definition, a_saga, completed, dead_lettered, reserved

TERMINATED = Action(ActionId("act-1"), "ada", "she knows", 4, Verb.TERMINATE)
DAMAGED, SOUND = SagaId("saga-1"), SagaId("saga-2")
REASON = "a reason that stands in the file"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal of two sagas with four records each, the second and the third in one row."""
    path = tmp_path / "journal.db"
    async with await SqliteJournal.open(path) as journal:
        for saga in (a_saga("1"), a_saga("2")):
            await saga.start(journal)
            await saga.goes_on(journal, *reserved())
            await saga.goes_on(journal, CancelRequested(1_002.0, f"{REASON} {saga.id}"))
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def flip_bit(path: Path, where: bytes, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    assert content.count(where) == 1
    content[content.index(where)] ^= bit
    path.write_bytes(content)


def root_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    return int(page)


def leaves(path: Path, table: str) -> list[int]:
    """The pages that hold the rows of *table*, below its root."""
    root, content = root_of(path, table), path.read_bytes()
    size = int.from_bytes(content[16:18])
    page = content[(root - 1) * size : root * size]
    assert page[0] in (2, 5)  # one that leads to others
    cells = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n]) for n in range(int.from_bytes(page[3:5]))]
    return [*(int.from_bytes(page[at : at + 4]) for at in cells), int.from_bytes(page[8:12])]


def destroy(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(18)[16:])
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def change_in(path: Path, name: str, old: bytes, new: bytes) -> None:
    """Change the one place of a table or an index where *old* stands."""
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18])
    changed = 0
    for page in leaves(path, name):
        start = (page - 1) * size
        if (at := content.find(old, start, start + size)) != -1:
            content[at : at + len(old)] = new
            changed += 1
    assert changed == 1
    path.write_bytes(content)


def change_on(path: Path, name: str, old: bytes, new: bytes, times: int = -1) -> None:
    """Change what stands on the only page of a table or an index."""
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18])
    here = slice((root_of(path, name) - 1) * size, root_of(path, name) * size)
    changed = content[here].replace(old, new, times)
    assert changed != content[here]
    content[here] = changed
    path.write_bytes(content)


def put_back(path: Path, before: bytes, page: int, source: int | None = None) -> None:
    """Let a page be as it was, or as another one was."""
    content, size = bytearray(path.read_bytes()), int.from_bytes(before[16:18])
    source = source or page
    content[(page - 1) * size : page * size] = before[(source - 1) * size : source * size]
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE records SET payload = replace(payload, '[5', '[6') WHERE seq = 3", "record 3"),
        ("UPDATE records SET payload = '[[5' WHERE seq = 3", "record 3 .* digest"),
        ("UPDATE records SET payload = '7' WHERE seq = 3", "record 3 .* digest"),
        ("UPDATE records SET payload = '{}' WHERE seq = 3", "record 3 .* digest"),
        (f"UPDATE records SET type = {RECORD_TYPES['DeadlinePassed']} WHERE seq = 4", "record 4"),
        (f"UPDATE records SET type = {RECORD_TYPES[SEVERAL]} WHERE seq = 4", "record 4"),
        ("UPDATE records SET token = 9 WHERE seq = 3", "record 3"),
        ("UPDATE records SET at = at + 1 WHERE seq = 3", "record 3"),
        ("UPDATE records SET digest = zeroblob(16) WHERE seq = 1", "record 1"),
        ("DELETE FROM records WHERE seq = 1", "record 1 .* missing"),
        ("DELETE FROM records WHERE seq = 3", "record 2 .* missing"),
        ("DELETE FROM records WHERE seq = 4", "record 4 .* not the newest of the 3"),
        ("DELETE FROM records WHERE seq > 1", "record 4 .* not the newest of the 1"),
        ("DELETE FROM records WHERE seq > 0", "record 4 .* not the newest of the 0"),
        ("UPDATE heads SET seq = 3", "record 3 .* not the newest"),
        ("UPDATE heads SET digest = zeroblob(16)", "record 4 .* not the newest"),
        ("DELETE FROM heads", "not the newest of the 4"),
    ],
)
async def test_a_changed_or_missing_record_is_noticed(path: Path, statement: str, sentence: str) -> None:
    both = statement if "WHERE" in statement else f"{statement} WHERE true"
    change(path, f"{both} AND saga = 1")
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=f"saga-1: journal {sentence}|{sentence}") as raised:
            await journal.history(DAMAGED)
        assert raised.value.saga_id == DAMAGED
        # It is this saga's alone.
        assert len(await journal.history(SOUND)) == 4
        assert not journal.failed.done()


NO_TEXT = "CAST(x'5bff5d' AS TEXT)"


async def test_a_text_that_is_none_is_damage_that_is_quoted_nowhere_and_stops_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(
        path,
        f"UPDATE records SET payload = {NO_TEXT} WHERE saga = 1 AND seq = 4",
        f"UPDATE requests SET content = {NO_TEXT} WHERE saga_id = 'saga-1'",
        f"UPDATE sagas SET error_message = {NO_TEXT} WHERE id = 'saga-1'",
    )
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=r"saga-1: .*a text in it is not UTF-8"):
            await journal.history(DAMAGED)
        with pytest.raises(JournalCorrupt, match=r"saga-1: .*the saga's row: a text in it is not UTF-8"):
            await journal.find(DAMAGED)
        with pytest.raises(JournalDamaged, match="a text in it is not UTF-8"):
            await a_saga("1").start(journal)
        await journal.quarantine(Quarantine(DAMAGED, "damaged", 2_000.0))
        row = await journal.find(DAMAGED)
        assert row is not None
        assert (row.status, row.error_message) == (Status.DEAD_LETTERED, "damaged")
        assert len(await journal.history(SOUND)) == 4
        assert not journal.failed.done()
    assert "\ufffd" not in caplog.text
    assert "[" not in caplog.text


async def test_records_of_another_saga_are_not_taken_for_its_own(path: Path) -> None:
    change(
        path,
        "UPDATE records SET saga = 7 WHERE saga = 1",
        "UPDATE records SET saga = 1 WHERE saga = 2",
        "UPDATE heads SET digest = (SELECT digest FROM heads WHERE saga = 2) WHERE saga = 1",
    )
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match="record 1 is damaged"):
            await journal.history(DAMAGED)


async def test_a_sound_record_from_another_copy_does_not_fit_into_the_chain(path: Path) -> None:
    other = path.with_name("other.db")
    async with await SqliteJournal.open(other) as journal:
        saga = a_saga("1")
        await saga.start(journal)
        await saga.goes_on(journal, *reserved(at=1_000.5))
    change(
        path,
        f"ATTACH '{other}' AS other",
        "DELETE FROM main.records WHERE saga = 1 AND seq = 3",
        "INSERT INTO main.records SELECT * FROM other.records WHERE seq = 3",
    )
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match="saga-1: journal record 4 is damaged"):
            await journal.history(DAMAGED)


async def test_one_flipped_bit_in_the_file_is_noticed(path: Path) -> None:
    flip_bit(path, b'["' + f"{REASON} {DAMAGED}".encode())
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match="saga-1: journal record 4 is damaged"):
            await journal.history(DAMAGED)
        assert len(await journal.history(SOUND)) == 4


async def test_a_page_that_makes_no_sense_is_the_sagas_fault_only(path: Path) -> None:
    destroy(path, root_of(path, "records"))
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=r"saga-1.*malformed"):
            await journal.history(DAMAGED)
        row = await journal.find(DAMAGED)
        assert row is not None
        await journal.quarantine(Quarantine(DAMAGED, "damaged", 2_000.0))
        assert not journal.failed.done()


MANY = 200
"""So many sagas that each table has several pages."""


async def many(path: Path, request_id: str = "") -> dict[SagaId, Told]:
    """As many sagas as there is room for on several pages, every other one of which is over; their journal is
    closed. Their request ids end with *request_id*."""
    path.unlink()
    sagas = [a_saga(f"{number:03}{request_id}") for number in range(MANY)]
    async with await SqliteJournal.open(path) as journal:
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
        await asyncio.gather(*(saga.goes_on(journal, *completed()) for saga in sagas[::2]))
        await asyncio.gather(*(saga.goes_on(journal, *reserved()) for saga in sagas[1::2]))
    return {saga.id: saga for saga in sagas}


def shorten(path: Path, page: int) -> None:
    """Let the page say that it has fewer entries than it has: nothing about it looks wrong to SQLite."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(18)[16:])
        file.seek((page - 1) * size + 3)
        entries = int.from_bytes(file.read(2))
        file.seek(-2, os.SEEK_CUR)
        file.write((entries - 3).to_bytes(2))


@pytest.mark.parametrize("index", ["sagas_open", "sagas_by_status"])
async def test_an_open_saga_that_an_index_has_lost_is_not_forgotten(
    path: Path, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    await many(path)
    shorten(path, leaves(path, index)[-1])
    async with await SqliteJournal.open(path) as journal:
        assert len(await journal.open_sagas()) == MANY // 2
        assert not await journal.faults()
    assert f"its index {index} lacked entries (3), and was made anew" in caplog.text


@pytest.mark.parametrize("index", ["sqlite_autoindex_sagas_1", "sagas_by_start"])
async def test_a_saga_that_an_index_has_lost_is_found_and_listed(path: Path, index: str) -> None:
    sagas = await many(path)
    shorten(path, leaves(path, index)[1])
    async with await SqliteJournal.open(path) as journal:
        assert all([await journal.find(saga_id) for saga_id in sagas])
        assert len(await journal.page(SagaFilter(), after=None, limit=1_000)) == MANY
        assert not await journal.faults()


async def test_an_open_saga_that_is_lost_in_a_running_coordinator_is_missed(path: Path) -> None:
    await many(path)
    page = leaves(path, "sagas_open")[0]
    async with await SqliteJournal.open(path) as journal:
        shorten(path, page)
        with pytest.raises(JournalDamaged, match="one index has 97 open sagas, another one 100"):
            await journal.open_sagas()


async def test_an_id_that_is_damaged_in_the_index_of_open_sagas_is_damage(path: Path) -> None:
    await many(path)
    page = leaves(path, "sagas_open")[0]
    async with await SqliteJournal.open(path) as journal:
        content = bytearray(path.read_bytes())
        size = int.from_bytes(content[16:18])
        at = content.index(b"saga-001RUNNING", (page - 1) * size)
        # Of the lengths in front of it: a text of eight bytes becomes as many bytes that are no text.
        assert content[at - 3] == 13 + 2 * 8
        content[at - 3] -= 1
        path.write_bytes(content)
        with pytest.raises(JournalDamaged, match="an id or a digest in it is none"):
            await journal.open_sagas()
        assert not journal.failed.done()


@pytest.mark.parametrize("index", ["sqlite_autoindex_requests_1", "sqlite_autoindex_sagas_1", "sagas_open"])
async def test_a_page_of_an_index_that_was_lost_on_its_way_to_the_disk_is_made_good(
    path: Path, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It has entries that by now are on others: as many as there are rows, and not the same."""
    path.unlink()
    sagas = [a_saga(f"{number * 7919 % MANY:03}") for number in range(MANY)]
    async with await SqliteJournal.open(path) as journal:
        await asyncio.gather(*(saga.start(journal) for saga in sagas[: MANY // 2]))
    before, pages = path.read_bytes(), leaves(path, index)
    async with await SqliteJournal.open(path) as journal:
        await asyncio.gather(*(saga.start(journal) for saga in sagas[MANY // 2 :]))
    put_back(path, before, pages[0])
    async with await SqliteJournal.open(path) as journal:
        assert [await saga.start(journal) for saga in sagas] == [saga.request for saga in sagas]
        assert all([await journal.find(saga.id) for saga in sagas])
        assert len(await journal.open_sagas()) == MANY
    assert f"its index {index} lacked entries" in caplog.text


# A page has more records than requests, if these are long.
@pytest.mark.parametrize(("table", "request_id"), [("heads", ""), ("records", "-" + "long" * 20)])
async def test_a_page_of_another_table_makes_no_rows_of_requests(
    path: Path, table: str, request_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    sagas = await many(path, request_id)
    put_back(path, path.read_bytes(), leaves(path, "requests")[0], leaves(path, table)[-1])
    async with await SqliteJournal.open(path) as journal:
        ends = await asyncio.gather(*(s.start(journal) for s in sagas.values()), return_exceptions=True)
        for saga, end in zip(sagas.values(), ends, strict=True):
            assert end == saga.request or isinstance(end, SagaError)
        assert len(await journal.open_sagas()) == MANY // 2
    assert "made anew" not in caplog.text


async def test_an_id_that_was_changed_in_its_index_is_found_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sagas = await many(path)
    change_in(path, "sqlite_autoindex_sagas_1", b"saga-031", b"saga-0q1")
    async with await SqliteJournal.open(path) as journal:
        assert all([await journal.find(saga_id) for saga_id in sagas])
        assert not await journal.faults()
    assert "its index sqlite_autoindex_sagas_1 lacked entries (1), and was made anew" in caplog.text


async def test_an_open_saga_whose_id_was_changed_in_its_index_is_taken_up_under_its_own(path: Path) -> None:
    sagas = await many(path)
    change_in(path, "sagas_open", b"saga-031", b"saga-0q1")
    async with await SqliteJournal.open(path) as journal:
        found = {saga.saga_id for saga in await journal.open_sagas()}
        assert found == {saga_id for saga_id, saga in sagas.items() if saga.summary.status.is_open}
        assert not await journal.faults()


async def test_of_a_saga_whose_row_has_another_id_nothing_is_forgotten(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The indexes and its request have the right one: made anew, they would have what nobody asks for."""
    sagas = await many(path)
    change_in(path, "sagas", b"saga-031", b"saga-0q1")
    async with await SqliteJournal.open(path) as journal:
        found = {saga.saga_id for saga in await journal.open_sagas()}
        assert found == {saga_id for saga_id, saga in sagas.items() if saga.summary.status.is_open}
        named = SagaId("saga-031")
        assert len(await journal.history(named)) == len(sagas[named].events)
        with pytest.raises(JournalCorrupt, match=r"saga-031: .*it is that of saga-0q1"):
            await journal.find(named)
    assert "made anew" not in caplog.text


@pytest.mark.parametrize("index", ["sagas_for_people", "sagas_by_signature"])
async def test_a_dead_letter_that_an_index_has_lost_is_listed_and_counted(path: Path, index: str) -> None:
    path.unlink()
    async with await SqliteJournal.open(path) as journal:
        for number in range(MANY):
            saga = a_saga(f"{number:03}")
            await saga.start(journal)
            await saga.goes_on(journal, *dead_lettered())
    shorten(path, leaves(path, index)[0])
    async with await SqliteJournal.open(path) as journal:
        listed = await journal.page(SagaFilter(needs_person=True), after=None, limit=1_000)
        census = await journal.census(0.0)
        assert len(listed) == census.dead_letters == sum(alike.sagas for alike in census.signatures) == MANY
        assert not await journal.faults()


async def test_heads_that_are_lost_without_a_word_are_made_good_when_that_is_noticed(path: Path) -> None:
    sagas = await many(path)
    shorten(path, leaves(path, "heads")[0])
    lost = []
    async with await SqliteJournal.open(path) as journal:
        for found in await journal.open_sagas():
            try:
                await journal.history(found.saga_id)
            except JournalCorrupt:
                lost.append(found.saga_id)
        # What is written there meets the damage.
        await asyncio.gather(*(journal.quarantine(Quarantine(name, "damaged", 2_000.0)) for name in lost))
        assert 0 < len(lost) < 4
        assert not journal.failed.done()
        for saga_id, saga in sagas.items():
            row = await journal.find(saga_id)
            assert row is not None
            assert row == saga.summary or saga_id in lost


@pytest.mark.parametrize("place", [0, -1], ids=["oldest", "newest"])
async def test_a_damaged_page_of_heads_costs_the_open_sagas_on_it_and_nobody_else(
    path: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    sagas = await many(path)
    destroy(path, leaves(path, "heads")[place])
    async with await SqliteJournal.open(path) as journal:
        still_open = {saga.saga_id for saga in await journal.open_sagas()}
        assert still_open == {saga_id for saga_id, saga in sagas.items() if saga.summary.status.is_open}
        lost = []
        for saga_id, saga in sagas.items():
            if saga_id not in still_open:
                assert await journal.find(saga_id) == saga.summary
                assert len(await journal.history(saga_id)) == len(saga.events)
                continue
            try:
                await journal.history(saga_id)
            except JournalCorrupt:
                lost.append(saga_id)
                await journal.quarantine(Quarantine(saga_id, "damaged", 2_000.0))
            else:
                await saga.goes_on(journal, SagaResumed(1_003.0))
        assert 0 < len(lost) < len(still_open) / 2
        assert len(await journal.page(SagaFilter(needs_person=True), after=None, limit=MANY)) == len(lost)
        assert len(await journal.page(SagaFilter(), after=None, limit=2 * MANY)) == MANY
        await a_saga("new").start(journal)
    (told,) = [line for line in caplog.messages if "which record is the newest" in line]
    assert f" {2 * len(lost)} sagas " in told or f" {2 * len(lost) - 1} sagas " in told
    # Once is enough.
    caplog.clear()
    async with await SqliteJournal.open(path) as journal:
        assert len(await journal.open_sagas()) == len(still_open) - len(lost) + 1
    assert not caplog.messages


async def test_a_page_of_heads_that_was_lost_on_its_way_to_the_disk_is_noticed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing about it looks wrong: it is as it was before the last that happened."""
    sagas = await many(path)
    page, before = leaves(path, "heads")[1], path.read_bytes()
    size = int.from_bytes(before[16:18])
    here = slice((page - 1) * size, page * size)
    async with await SqliteJournal.open(path) as journal:
        went_on = [saga for saga in sagas.values() if saga.summary.status.is_open]
        await asyncio.gather(*(saga.goes_on(journal, SagaResumed(1_003.0)) for saga in went_on))
    caplog.clear()
    async with await SqliteJournal.open(path) as journal:
        assert not caplog.messages
    content = bytearray(path.read_bytes())
    assert content[here] != before[here]
    content[here] = before[here]
    path.write_bytes(content)
    async with await SqliteJournal.open(path) as journal:
        damaged = []
        for saga in sagas.values():
            try:
                assert len(await journal.history(saga.id)) == saga.seq
            except JournalCorrupt as error:
                damaged.append((saga, str(error)))
        for saga, sentence in damaged:
            assert f"it is not the newest of the {saga.seq} records" in sentence
            with pytest.raises(JournalCorrupt, match=f"says that record {saga.seq - 1} is the newest"):
                await journal.append(
                    saga.id, [SagaResumed(1_004.0)], summary=saga.summary, seq_expected=saga.seq - 1
                )
    assert 0 < len(damaged) < len(went_on)
    (told,) = [line for line in caplog.messages if "is not as it was written last" in line]
    assert f" {len(damaged)} sagas have newer ones, or may have, and are set aside" in told
    caplog.clear()
    async with await SqliteJournal.open(path) as journal:
        assert not caplog.messages


@pytest.mark.parametrize("also", ["sagas", "sagas_by_status"])
async def test_lost_heads_and_another_damaged_page_cost_what_is_on_both(path: Path, also: str) -> None:
    sagas = await many(path)
    shorten(path, leaves(path, "heads")[0])
    destroy(path, leaves(path, also)[0])
    async with await SqliteJournal.open(path) as journal:
        found = await asyncio.gather(*map(journal.find, sagas), return_exceptions=True)
        of_the_page = {JournalDamaged} if also == "sagas" else set()
        assert {type(one) for one in found} == {SagaSummary, JournalCorrupt, *of_the_page}
        assert sum(isinstance(one, JournalCorrupt) for one in found) <= 3
        await a_saga("new").start(journal)
        assert not journal.failed.done()


async def test_what_heads_have_lost_is_not_made_of_records_that_cannot_all_be_read(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest one that can be read may not be the newest. Nor are heads believed that may be older."""
    sagas = await many(path)
    shorten(path, leaves(path, "heads")[0])
    destroy(path, leaves(path, "records")[-1])
    still_open = [saga for saga in sagas.values() if saga.summary.status.is_open]
    lost: list[Told] = []
    caplog.clear()
    for _ in range(2):
        async with await SqliteJournal.open(path) as journal:
            found = await asyncio.gather(*map(journal.find, sagas), return_exceptions=True)
            lost = [saga for saga, row in zip(sagas.values(), found, strict=True) if row != saga.summary]
            assert len(lost) == 3
            ends = await asyncio.gather(*(journal.history(s.id) for s in still_open), return_exceptions=True)
            assert {type(end) for end in ends} == {JournalCorrupt}
            assert not journal.failed.done()
    (told,) = [line for line in caplog.messages if "is not as it was written last" in line]
    distrusted = len(still_open) - sum(saga in still_open for saga in lost)
    assert f" {distrusted} sagas have newer ones, or may have" in told


async def test_an_old_page_of_heads_beside_one_that_cannot_be_read_is_noticed_too(path: Path) -> None:
    sagas = await many(path)
    before, (unread, old, *_) = path.read_bytes(), leaves(path, "heads")
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas.values():
            if saga.summary.status.is_open:
                await saga.goes_on(journal, SagaResumed(1_003.0))
    put_back(path, before, old)
    destroy(path, unread)
    damaged = 0
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas.values():
            try:
                assert len(await journal.history(saga.id)) == saga.seq
            except JournalCorrupt:
                damaged += 1
    assert damaged > 20


async def test_an_ended_saga_whose_records_are_lost_with_its_head_is_not_shown_shorter(path: Path) -> None:
    """Two pages have changed places: nothing about the records that are left looks wrong."""
    sagas = await many(path)
    content, size = bytearray(path.read_bytes()), int.from_bytes(path.read_bytes()[16:18])
    with closing(sqlite3.connect(path)) as db:
        (newest,) = db.execute("SELECT digest FROM heads WHERE saga = 1").fetchone()
    pages = {page: slice((page - 1) * size, page * size) for page in leaves(path, "records")}
    here = slice((leaves(path, "heads")[0] - 1) * size, leaves(path, "heads")[0] * size)
    (there,) = [place for place in pages.values() if newest in content[place]]
    content[here], content[there] = content[there], content[here]
    path.write_bytes(content)
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas.values():
            try:
                row = await journal.find(saga.id)
                assert row is not None
                assert (row.seq, len(await journal.history(saga.id))) == (saga.seq, saga.seq)
            except JournalCorrupt:
                pass


async def test_new_records_have_numbers_behind_those_that_heads_lead_to(path: Path) -> None:
    """The number of the last row itself may be the one that is damaged."""
    sagas = await many(path)
    change(path, "PRAGMA foreign_keys = off", "DELETE FROM records WHERE number BETWEEN 9 AND 20")
    change(path, "UPDATE records SET number = 9 WHERE number = (SELECT max(number) FROM records)")
    change(path, "DELETE FROM records WHERE number > 9")
    async with await SqliteJournal.open(path) as journal:
        new = a_saga("new")
        await new.start(journal)
        await new.goes_on(journal, *reserved())
        assert len(await journal.history(new.id)) == new.seq
    with closing(sqlite3.connect(path)) as db:
        (newest,) = db.execute("SELECT max(newest) FROM heads").fetchone()
        assert newest > 2 * len(sagas)
        assert db.execute("SELECT max(number) FROM records").fetchone() == (newest,)


async def test_a_sum_is_exact_however_many_records_there_were(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(
        path,
        f"UPDATE records SET number = number + {1 << 55}",
        f"UPDATE heads SET newest = newest + {1 << 55}",
        f"PRAGMA user_version = {(sum(((1 << 55) + number) for number in (3, 6))) % ((1 << 31) - 1) + 1}",
    )
    for times in range(3):
        async with await SqliteJournal.open(path) as journal:
            assert len(await journal.history(SOUND)) == 4 + times
            saga = a_saga("2")
            saga.happens(*reserved(), CancelRequested(1_002.0, f"{REASON} {saga.id}"))
            saga.happens(*[SagaResumed(1_003.0)] * times)
            await saga.goes_on(journal, SagaResumed(1_003.0))
    assert not caplog.messages


async def test_a_record_that_does_not_lead_to_the_one_before_it_is_found_all_the_same(path: Path) -> None:
    change(path, "UPDATE records SET back = 1 WHERE saga = 1 AND seq = 4")
    async with await SqliteJournal.open(path) as journal:
        assert [record.seq for record in await journal.history(DAMAGED)] == [1, 2, 3, 4]


@pytest.fixture
def nothing_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search is over before it finds anything, as in a large journal."""
    monkeypatch.setattr(reader, "SEARCH_LIMIT_S", -1.0)
    monkeypatch.setattr(reader, "_STEPS_BETWEEN_LOOKS", 1)


async def test_where_very_many_are_damaged_not_each_is_searched_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SEARCHES_LIMIT_S", 0.0)
    change(path, "UPDATE records SET back = 0 WHERE seq = 4")
    async with await SqliteJournal.open(path) as journal:
        assert len(await journal.history(DAMAGED)) == 4
        with pytest.raises(JournalCorrupt, match="record 1 is damaged"):
            await journal.history(SOUND)


@pytest.mark.usefixtures("nothing_is_searched")
async def test_rows_that_are_written_together_lead_back_one_by_one(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        saga = a_saga("3")
        await saga.start(journal)
        for at in (1_001.0, 2_001.0):
            await saga.goes_on(journal, *(SagaResumed(at + number) for number in range(3)))
        assert [record.seq for record in await journal.history(saga.id)] == [*range(1, 8)]


@pytest.mark.usefixtures("nothing_is_searched")
@pytest.mark.parametrize("back", [0, -1, 99, 1 << 62, "'abc'", "x'61'", "1e-300", "0.5", "NULL"])
async def test_no_way_back_is_without_an_end(path: Path, back: object) -> None:
    # Else SQLite would not put it there.
    change(
        path,
        "PRAGMA writable_schema = on",
        "UPDATE sqlite_schema SET sql = replace(replace(sql, ') STRICT', ')'), 'back    INTEGER NOT NULL',"
        " 'back') WHERE name = 'records'",
    )
    change(path, f"UPDATE records SET back = {back} WHERE saga = 1 AND seq = 3")
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match="record 1 is damaged"):
            await journal.history(DAMAGED)
        assert len(await journal.history(SOUND)) == 4
        assert not journal.failed.done()


async def test_heads_that_are_damaged_while_it_is_open_are_mended_by_whoever_meets_them(path: Path) -> None:
    sagas = await many(path)
    page = leaves(path, "heads")[0]
    async with await SqliteJournal.open(path) as journal:
        # It would not read the page again.
        await journal._writer._db.run(lambda db: db.execute("PRAGMA shrink_memory").close())
        destroy(path, page)
        rows = await journal.page(SagaFilter(), after=None, limit=2 * MANY)
        assert len(rows) == MANY
        sound = [row for row in rows if row == sagas[row.id].summary]
        assert MANY / 2 < len(sound) < MANY
        assert not journal.failed.done()


async def test_a_request_that_has_lost_its_row_does_not_join_a_new_saga(path: Path) -> None:
    sagas = await many(path)
    shorten(path, leaves(path, "requests")[-1])
    async with await SqliteJournal.open(path) as journal:
        new = [a_saga(f"new-{number}") for number in range(5)]
        await asyncio.gather(*(saga.start(journal) for saga in new))
        ends = await asyncio.gather(*(s.start(journal) for s in sagas.values()), return_exceptions=True)
        for saga, end in zip(sagas.values(), ends, strict=True):
            assert end == saga.request or isinstance(end, JournalDamaged)
        assert sum(isinstance(end, JournalDamaged) for end in ends) == 3


async def test_an_old_page_of_open_sagas_has_those_that_were_open_then_and_is_made_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    sagas = [a_saga(f"{number:03}") for number in range(MANY)]
    async with await SqliteJournal.open(path) as journal:
        await asyncio.gather(*(saga.start(journal) for saga in sagas[:40]))
    before, page = path.read_bytes(), root_of(path, "sagas_open")
    async with await SqliteJournal.open(path) as journal:
        # As many as are new are over.
        await asyncio.gather(*(saga.goes_on(journal, *completed()) for saga in sagas[36:40]))
        await asyncio.gather(*(saga.start(journal) for saga in sagas[40:44]))
    still_open = {saga.id for saga in (*sagas[:36], *sagas[40:44])}
    put_back(path, before, page)
    async with await SqliteJournal.open(path) as journal:
        assert {saga.saga_id for saga in await journal.open_sagas()} == still_open
    assert "its index sagas_open lacked entries (4), and was made anew" in caplog.text


async def test_an_old_page_of_rows_is_told_at_the_start_and_named_by_a_check(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    sagas = [a_saga(f"{number:03}") for number in range(MANY)]
    async with await SqliteJournal.open(path) as journal:
        await asyncio.gather(*(saga.start(journal) for saga in sagas))
    before, page = path.read_bytes(), leaves(path, "sagas")[0]
    async with await SqliteJournal.open(path) as journal:
        await asyncio.gather(*(saga.goes_on(journal, *completed()) for saga in sagas))
    caplog.clear()
    async with await SqliteJournal.open(path) as journal:
        assert await journal.faults() == []
    assert not caplog.messages
    put_back(path, before, page)
    async with await SqliteJournal.open(path) as journal:
        assert any("missing from index sagas_by_status" in fault for fault in await journal.faults())
        # No saga that is over goes on.
        assert await journal.open_sagas() == []
    assert "rows of its table sagas are not as its index of their states says" in caplog.text


async def test_where_only_ended_sagas_are_on_it_new_ones_are_written_all_the_same(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        for saga in (a_saga("3"), a_saga("4")):
            await saga.start(journal)
            await saga.goes_on(journal, *completed())
    change(path, "UPDATE sagas SET status = 'COMPLETED'")
    destroy(path, root_of(path, "heads"))
    async with await SqliteJournal.open(path) as journal:
        new = a_saga("5"), a_saga("6")
        await asyncio.gather(*(saga.start(journal) for saga in new))
        assert {found.saga_id for found in await journal.open_sagas()} == {saga.id for saga in new}
        row = await journal.find(saga.id)
        assert row == saga.summary


async def test_request_ids_that_their_index_has_lost_are_still_taken(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sagas = await many(path)
    shorten(path, leaves(path, "sqlite_autoindex_requests_1")[0])
    async with await SqliteJournal.open(path) as journal:
        assert [await saga.start(journal) for saga in sagas.values()] == [
            saga.request for saga in sagas.values()
        ]
    assert "its index sqlite_autoindex_requests_1 lacked entries (3), and was made anew" in caplog.text


@pytest.mark.parametrize("place", ["sqlite_autoindex_requests_1", "requests"])
async def test_a_request_id_that_was_changed_in_one_place_starts_no_second_saga(
    path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do those beside it, which its index would be searched for in the wrong order."""
    sagas = await many(path)
    change_in(path, place, b"request-031", b"request-0q1")
    async with await SqliteJournal.open(path) as journal:
        one_by_one = [await saga.start(journal) for saga in sagas.values()]
        together = await asyncio.gather(*(saga.start(journal) for saga in sagas.values()))
        assert one_by_one == together == [saga.request for saga in sagas.values()]
    is_the_index = place != "requests"
    assert ("its index sqlite_autoindex_requests_1 lacked entries (1)" in caplog.text) is is_the_index


async def test_an_index_is_all_that_is_left_of_rows_whose_place_others_have_taken(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Made anew from those, it would have forgotten every request id."""
    sagas = await many(path)
    content, size = bytearray(path.read_bytes()), int.from_bytes(path.read_bytes()[16:18])
    for_requests, for_records = root_of(path, "requests"), leaves(path, "records")[0]
    here, there = (slice((page - 1) * size, page * size) for page in (for_requests, for_records))
    content[here], content[there] = content[there], content[here]
    path.write_bytes(content)
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(SagaError):
            await next(iter(sagas.values())).start(journal)
    assert "made anew" not in caplog.text


async def test_a_request_whose_row_is_lost_without_a_word_is_refused_and_starts_no_second_saga(
    path: Path,
) -> None:
    sagas = await many(path)
    shorten(path, leaves(path, "requests")[0])
    async with await SqliteJournal.open(path) as journal:
        answers = await asyncio.gather(
            *(saga.start(journal) for saga in sagas.values()), return_exceptions=True
        )
        assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [JournalDamaged] * 3
        assert len(await journal.open_sagas()) == MANY // 2


async def test_a_request_id_that_two_sagas_have_already_stops_the_start(path: Path) -> None:
    await many(path)
    shorten(path, leaves(path, "sqlite_autoindex_requests_1")[0])
    again = "SELECT request_id, front_door, content, 'saga-other' FROM requests NOT INDEXED"
    change(path, f"INSERT OR IGNORE INTO requests {again}")
    with pytest.raises(StartupFailed, match=r"UNIQUE constraint failed.*put back a copy"):
        async with await SqliteJournal.open(path):
            pass


async def test_a_request_that_meets_a_damaged_page_is_refused_and_stops_nothing(path: Path) -> None:
    sagas = await many(path)
    destroy(path, leaves(path, "sqlite_autoindex_requests_1")[0])
    async with await SqliteJournal.open(path) as journal:
        first, last = next(iter(sagas.values())), list(sagas.values())[-1]
        joins = first.start(journal), last.start(journal), last.goes_on(journal, SagaResumed(1_003.0))
        refused, joined, seq = await asyncio.gather(*joins, return_exceptions=True)
        assert isinstance(refused, JournalDamaged)
        assert joined == last.request
        assert seq == last.summary.seq
        assert not journal.failed.done()
        with pytest.raises(JournalDamaged):
            await journal.requested(first.front_door, first.request_id)
        # It was seen that heads are sound: nobody looks at all of them again.
        with pytest.raises(JournalDamaged):
            await list(sagas.values())[1].start(journal)
        await last.goes_on(journal, SagaResumed(1_004.0))


async def test_a_record_that_meets_a_damaged_page_stops_the_journal_and_a_restart_is_no_advice(
    path: Path,
) -> None:
    sagas = await many(path)
    destroy(path, leaves(path, "records")[-1])
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalUnavailable, match=r"put back a copy, for it is damaged$"):
            await sagas[SagaId("saga-001")].goes_on(journal, SagaResumed(1_003.0))
        assert journal.failed.done()


async def test_what_is_no_damage_is_not_taken_for_it() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE sagas (number, status)")
        with pytest.raises(sqlite3.OperationalError, match="no such table: heads"):
            mend_heads(db)
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            write_group(db, [Quarantine(DAMAGED, "", 1.0)], FencingToken(1), lambda: None, Heads())
        db.execute("ROLLBACK")
        with pytest.raises(sqlite3.OperationalError, match="no such table: words"):
            read_words(db)
        db.execute("CREATE TABLE heads (saga, updated_at, due_at, seq, digest, newest)")
        db.execute("INSERT INTO sagas VALUES (1, 'RUNNING')")
        with pytest.raises(sqlite3.OperationalError, match="no such table: records"):
            mend_heads(db)
        db.execute("INSERT INTO heads VALUES (1, 1.0, NULL, 1, x'00', 1)")
        with pytest.raises(sqlite3.OperationalError, match="no such table: records"):
            mend_old_heads(db)


async def test_an_id_that_is_taken_stops_nothing_where_each_is_taken_alone(
    path: Path,
) -> None:
    async with await SqliteJournal.open(path) as journal:

        async def ask() -> bool:
            return await journal._writer.write(MendHeads())

        taken, new = Told(DAMAGED, RequestId("r")), a_saga("3")
        ends = await asyncio.gather(ask(), taken.start(journal), new.start(journal), return_exceptions=True)
        assert isinstance(ends[1], JournalConflict)
        assert ends[2] == new.request
        assert not journal.failed.done()


async def test_a_disk_that_is_full_is_no_damage_either(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        await journal._writer._db.run(lambda db: db.execute("PRAGMA max_page_count = 1").close())
        # Each of a group with one who asks for this is taken by itself.

        async def ask() -> bool:
            return await journal._writer.write(MendHeads())

        many = [a_saga(f"{number:03}").start(journal) for number in range(MANY)]
        ends = await asyncio.gather(ask(), *many, return_exceptions=True)
        assert {type(end) for end in ends} == {JournalUnavailable}
        assert "database or disk is full" in await journal.failed


async def test_of_very_many_open_sagas_the_heads_of_those_that_rest_longest_are_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Heads, "KEPT_MAX", 2)
    sagas = [a_saga(f"{number}") for number in range(3, 8)]
    async with await SqliteJournal.open(path) as journal:
        for saga in sagas:
            await saga.start(journal)
        for saga in sagas:
            assert await saga.goes_on(journal, *reserved()) == saga.seq
        assert len(journal._writer._heads._kept) == 2


async def test_a_damaged_page_of_definitions_loses_none_that_is_registered(path: Path) -> None:
    destroy(path, root_of(path, "definitions"))
    async with await SqliteJournal.open(path) as journal:
        assert await journal.definition(ORDER.digest) == ORDER.text
        assert not journal.failed.done()
    destroy(path, root_of(path, "registrations"))
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=f"definition {ORDER.digest} is damaged"):
            await journal.definition(ORDER.digest)
        assert not journal.failed.done()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: destroy(path, root_of(path, "words")),
        lambda path: destroy(path, root_of(path, "sqlite_autoindex_words_1")),
        lambda path: put_back(path, path.read_bytes(), root_of(path, "words"), root_of(path, "records")),
        lambda path: change_on(path, "words", b"reserve", b"rezerve", times=1),
        lambda path: change_on(path, "words", b"reservereserve", b"reserverezerve"),
        lambda path: change_on(path, "sqlite_autoindex_words_1", b"reserve", b"rezerve"),
    ],
    ids=["rows", "index", "records", "word", "again", "in the index"],
)
async def test_damaged_words_are_read_where_they_stand_once_more(
    path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with await SqliteJournal.open(path) as journal:
        row, records = await journal.find(SOUND), await journal.history(SOUND)
    damage(path)
    for times in range(2):
        async with await SqliteJournal.open(path) as journal:
            assert await journal.find(SOUND) == row
            assert await journal.history(SOUND) == records
            other = a_saga(f"other-{times}", definition=a_definition(f"Other-{times}"))
            await other.start(journal)
            await other.goes_on(journal, *reserved())
            assert await journal.find(other.id) == other.summary
    (told,) = [line for line in caplog.messages if "its words could not be read in both" in line]
    assert "those that were found (4) were put anew" in told


async def test_a_word_that_is_lost_everywhere_costs_those_that_say_it(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        other = a_saga("other", definition=a_definition("Other"))
        await other.start(journal)
    change(path, "DELETE FROM words WHERE text = 'Other'")
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match="the saga's row: it has another value where a text belongs"):
            await journal.find(other.id)
        with pytest.raises(JournalCorrupt, match=r"record 1 .*a number in saga_name that stands for no word"):
            await journal.history(other.id)
        shown, *sound = await listed(journal, SagaFilter())
        assert (shown.id, shown.saga_name, shown.signature) == (other.id, "", SET_ASIDE)
        assert [row.id for row in sound] == [SOUND, DAMAGED]
        assert not journal.failed.done()


async def test_what_said_a_word_that_is_lost_does_not_say_the_next_new_one(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = [a_saga(name.lower(), definition=a_definition(name)) for name in ("Lost", "New")]
    async with await SqliteJournal.open(path) as journal:
        await newer[0].start(journal)
    # Its name and its digest, the last ones that got numbers.
    change(path, "DELETE FROM words WHERE number > 4")
    for _ in range(2):
        async with await SqliteJournal.open(path) as journal:
            await newer[1].start(journal)
            with pytest.raises(JournalCorrupt, match="the saga's row"):
                await journal.find(newer[0].id)
            with pytest.raises(JournalCorrupt, match=r"record 1 .*stands for no word"):
                await journal.history(newer[0].id)
            assert await journal.find(newer[1].id) == newer[1].summary
    told = [line for line in caplog.messages if "of its words 2 are lost" in line]
    assert len(told) == 2


async def test_words_whose_number_is_an_old_one_are_none_that_are_lost(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = path.read_bytes()
    other = a_saga("other", definition=a_definition("Other"))
    async with await SqliteJournal.open(path) as journal:
        await other.start(journal)
    put_back(path, before, root_of(path, "journal"))
    async with await SqliteJournal.open(path) as journal:
        assert await journal.find(other.id) == other.summary
        another = a_saga("another", definition=a_definition("Another"))
        await another.start(journal)
        assert await journal.find(another.id) == another.summary
    assert not [line for line in caplog.messages if "of its words" in line]


async def test_a_damaged_saga_can_be_shown_to_people(path: Path) -> None:
    change(path, "DELETE FROM records WHERE seq = 4 AND saga = 1")
    async with await SqliteJournal.open(path) as journal:
        await journal.quarantine(Quarantine(DAMAGED, "damaged", 2_000.0))
        rows = await journal.page(SagaFilter(needs_person=True), after=None, limit=10)
        assert [row.id for row in rows] == [DAMAGED]


AS_IT_WAS_AT_FIRST = (
    "UPDATE heads SET (updated_at, seq, digest, newest) ="
    " (SELECT at, seq, digest, number FROM records WHERE records.saga = heads.saga AND seq = 1)"
    " WHERE saga = 1"
)
LESS_THAN_THE_RECORDS = "UPDATE heads SET seq = seq - 1 WHERE saga = 1"


async def test_a_row_that_knows_less_than_the_records_costs_its_own_saga_alone(path: Path) -> None:
    change(path, LESS_THAN_THE_RECORDS)
    async with await SqliteJournal.open(path) as journal:
        damaged, sound, new = a_saga("1"), a_saga("2"), a_saga("3")
        damaged.happens(*reserved())
        sound.happens(*reserved(), CancelRequested(1_002.0, f"{REASON} {sound.id}"))
        # One group: all of them are queued before the writer takes any.
        outcomes = await asyncio.gather(
            sound.goes_on(journal, SagaResumed(1_003.0)),
            damaged.goes_on(journal, SagaResumed(1_003.0)),
            new.start(journal),
            damaged.goes_on(journal, SagaResumed(1_003.0)),
            return_exceptions=True,
        )
        assert outcomes[0] == 5
        assert isinstance(outcomes[1], JournalCorrupt)
        assert re.search(r"saga-1: journal record 4 is damaged .*record 3 is the newest", str(outcomes[1]))
        assert outcomes[2] == new.request
        assert isinstance(outcomes[3], JournalConflict)
        assert not journal.failed.done()
        assert len(await journal.history(SOUND)) == 5
        assert await journal.find(new.id) == new.summary
        with pytest.raises(JournalCorrupt, match="not the newest of the 4"):
            await journal.history(DAMAGED)


async def test_a_head_that_is_behind_is_noticed_also_where_no_number_is_taken_twice(path: Path) -> None:
    # Of the second and the third record, in one row, none has the number that the next one would have.
    change(path, "DELETE FROM records WHERE saga = 1 AND seq = 4", AS_IT_WAS_AT_FIRST)
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=r"record 3 is damaged .*says that record 1 is the newest"):
            await a_saga("1").goes_on(journal, SagaResumed(1_003.0))
        assert not journal.failed.done()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT seq FROM records WHERE saga = 1").fetchall() == [(1,), (3,)]


@pytest.mark.parametrize(
    "value", ["seq = 'x'", "seq = x'00'", "token = x'00'", "at = x'00'", "at = 'x'", "payload = x'00'"]
)
async def test_a_value_of_a_kind_that_is_never_written_is_damage(path: Path, value: str) -> None:
    # Else SQLite would not put it there.
    change(
        path,
        "PRAGMA writable_schema = on",
        "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'records'",
    )
    change(path, f"UPDATE records SET {value} WHERE saga = 1 AND seq = 4")
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=r"record 4 is damaged .*of a kind that is never written"):
            await journal.history(DAMAGED)
        assert not journal.failed.done()


@pytest.mark.parametrize("is_taken", [False, True])
async def test_those_who_share_a_group_with_one_that_is_refused_go_on_from_what_is_durable(
    path: Path, is_taken: bool
) -> None:
    change(path, LESS_THAN_THE_RECORDS)
    async with await SqliteJournal.open(path) as journal:
        damaged, sound = a_saga("1"), a_saga("2")
        damaged.happens(*reserved())
        sound.happens(*reserved(), CancelRequested(1_002.0, f"{REASON} {sound.id}"))
        await sound.goes_on(journal, SagaResumed(1_003.0))
        # An id that is taken is known when the rows are there: then the group is taken once more.
        refused = Told(DAMAGED, RequestId("r")).start(journal) if is_taken else None
        told, failed = await asyncio.gather(
            sound.goes_on(journal, SagaResumed(1_004.0)),
            refused or damaged.goes_on(journal, SagaResumed(1_004.0)),
            return_exceptions=True,
        )
        assert told == 6
        assert isinstance(failed, JournalConflict if is_taken else JournalCorrupt)
        assert await sound.goes_on(journal, SagaResumed(1_005.0)) == 7
        assert [record.seq for record in await journal.history(SOUND)] == list(range(1, 8))


async def test_what_has_lost_its_row_does_not_become_that_of_a_new_saga(path: Path) -> None:
    async with await SqliteJournal.open(path) as journal:
        await journal.quarantine(Quarantine(SOUND, "damaged", 2_000.0))
    change(path, "DELETE FROM sagas WHERE id = 'saga-2'", "DELETE FROM requests WHERE saga_id = 'saga-2'")
    async with await SqliteJournal.open(path) as journal:
        new = a_saga("2"), a_saga("3")
        await asyncio.gather(*(saga.start(journal) for saga in new))
        for saga in new:
            # Nothing of what is left in the file became theirs.
            assert await journal.find(saga.id) == saga.summary
            assert len(await journal.history(saga.id)) == 1
    async with await SqliteJournal.open(path) as journal:
        for saga in new:
            await saga.goes_on(journal, *reserved())
            assert await journal.find(saga.id) == saga.summary


async def test_in_quarantine_a_saga_has_a_number_behind_all_its_records(path: Path) -> None:
    change(path, LESS_THAN_THE_RECORDS, "DELETE FROM records WHERE seq = 3 AND saga = 1")
    async with await SqliteJournal.open(path) as journal:
        for saga_id in (DAMAGED, SOUND):
            await journal.quarantine(Quarantine(saga_id, "damaged", 2_000.0))
            row = await journal.find(saga_id)
            assert row is not None
            assert row.seq == 4
            event, after = end_unreadable(row, TERMINATED, at=2_001.0)
            assert await journal.append(saga_id, [event], summary=after, seq_expected=4) == 5
            assert await journal.find(saga_id) == after


async def test_a_request_that_has_lost_its_saga_is_in_no_new_ones_way(path: Path) -> None:
    change(path, "DELETE FROM sagas WHERE id = 'saga-2'", "DELETE FROM heads WHERE saga = 2")
    async with await SqliteJournal.open(path) as journal:
        new = a_saga("3")
        assert await new.start(journal) == new.request
        # Whose saga is gone does not begin once more.
        assert await a_saga("2").start(journal) == a_saga("2").request


async def test_an_event_of_an_unknown_type_is_named(path: Path) -> None:
    change(path, "UPDATE records SET type = 99 WHERE saga = 1 AND seq = 1")
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=r"record 1 is damaged .its type 99 is unknown"):
            await journal.history(DAMAGED)


async def test_a_record_that_is_as_it_was_written_and_that_nobody_understands_is_named(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        (before,) = db.execute("SELECT digest FROM records WHERE saga = 1 AND seq = 3").fetchone()
        token, at = db.execute("SELECT token, at FROM records WHERE saga = 1 AND seq = 4").fetchone()
        digest = chained(before, DAMAGED, 4, token, (at, "CancelRequested", "[1]"))
        db.execute("UPDATE records SET payload = '[1]', digest = ? WHERE saga = 1 AND seq = 4", (digest,))
        db.commit()
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(
            JournalCorrupt, match=r"record 4 .*CancelRequested has .* the wrong kind in reason"
        ):
            await journal.history(DAMAGED)


async def test_the_file_says_what_its_types_are(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert dict(db.execute("SELECT name, number FROM event_types")) == RECORD_TYPES


async def test_a_definition_with_another_text_is_noticed_and_one_of_two_is_enough(path: Path) -> None:
    for table in ("definitions", "registrations"):
        change(path, f"UPDATE {table} SET text = replace(text, 'release', 'keep')")
        async with await SqliteJournal.open(path) as journal:
            if table == "definitions":
                assert await journal.definition(ORDER.digest) == ORDER.text
                continue
            with pytest.raises(JournalCorrupt, match=f"definition {ORDER.digest} is damaged"):
                await journal.definition(ORDER.digest)


@pytest.mark.parametrize("change_to", ["status = 'ASLEEP'", "flags = 'no list'"])
async def test_a_row_that_makes_no_sense_is_named(path: Path, change_to: str) -> None:
    change(path, f"UPDATE sagas SET {change_to} WHERE id = 'saga-1'")
    async with await SqliteJournal.open(path) as journal:
        with pytest.raises(JournalCorrupt, match=r"saga-1: .*the saga's row"):
            await journal.find(DAMAGED)


# Else SQLite would not put it there.
LOOSE = "replace(replace(replace(sql, ') STRICT', ')'), ' TEXT', ''), ' ANY', '')"
ANY_KIND = (
    "PRAGMA writable_schema = on",
    f"UPDATE sqlite_schema SET sql = {LOOSE} WHERE name IN ('sagas', 'heads')",
)


async def listed(journal: SqliteJournal, condition: SagaFilter) -> list[SagaSummary]:
    """The whole list, in pages of one."""
    rows: list[SagaSummary] = []
    after = None
    while page := await journal.page(condition, after=after, limit=1):
        rows += page
        after = Cursor(page[0].started_at, page[0].id)
    return rows


@pytest.mark.parametrize(
    ("change_to", "what", "changed"),
    [
        ("status = 'DEID_LETTERED'", "not a valid Status", {}),
        ("status = 7", "where a text belongs", {}),
        (f"error_message = {NO_TEXT}", "a text in it is not UTF-8", {}),
        ("saga_name = 7", "where a text belongs", {"saga_name": ""}),
        (f"definition_version = {NO_TEXT}", "not UTF-8", {"definition_version": None}),
        ("definition_digest = x'00'", "where a text belongs", {"definition_digest": ""}),
        ("front_door = x'00'", "where a text belongs", {"front_door": ""}),
        (f"request_id = {NO_TEXT}", "not UTF-8", {"request_id": ""}),
        ("trace = 7", "where a text belongs", {"trace": ""}),
        ("turned_back_at = 'x'", "where a time belongs", {"turned_back_at": None}),
        ("needs_person = 3", "where yes or no belongs", {}),
        ("deadline_at = 1e300", "where a time belongs", {"deadline_at": None}),
        ("flags = '7'", "its flags are no list", {}),
        ("flags = '[7]'", "where a text belongs", {}),
        ("flags = '{'", "unexpected", {}),
        ("forced = -1", "where a number belongs", {}),
        ("forced = x'00'", "where a number belongs", {}),
        ("signature = 'pay'", "not a valid DeadLetterCause", {}),
        ("started_at = 'x'", "where a time belongs", {"started_at": MOMENT_MAX}),
        ("started_at = 1e300", "where a time belongs", {"started_at": MOMENT_MAX}),
        ("started_at = -1e300", "where a time belongs", {"started_at": MOMENT_MIN}),
        ("id = 7", "where a text belongs", {"id": "?3"}),
        (f"id = {NO_TEXT}", "not UTF-8", {"id": "?3"}),
        ("id = ''", "its id is none", {"id": "?3"}),
        ("id = printf('%129d', 7)", "its id is none", {"id": "?3"}),
    ],
)
async def test_a_row_that_cannot_be_read_is_listed_as_one_that_is_set_aside_and_hides_no_other(
    path: Path, change_to: str, what: str, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with await SqliteJournal.open(path) as journal:
        dead, last = a_saga("3"), a_saga("4")
        for saga in (dead, last):
            await saga.start(journal)
            await saga.goes_on(journal, *dead_lettered())
    change(path, *ANY_KIND)
    change(path, f"UPDATE sagas SET {change_to} WHERE id = 'saga-3'")
    async with await SqliteJournal.open(path) as journal:
        everything = await listed(journal, SagaFilter())
    shown = next(row for row in everything if row.error_message.startswith("Row 3 of "))
    assert what in shown.error_message
    assert "Put back a copy of the journal" in shown.error_message
    assert "\udcff" not in repr(shown)
    assert f"a list met damage: {shown.error_message}" in caplog.messages
    expected = replace(
        dead.summary,
        status=Status.DEAD_LETTERED,
        needs_person=True,
        signature=SET_ASIDE,
        due_at=None,
        error_message=shown.error_message,
    )
    assert shown == replace(expected, **changed)
    assert [row.id for row in everything if row != shown] == ["saga-4", "saga-2", "saga-1"]


@pytest.mark.parametrize(
    ("condition", "is_listed"),
    [
        (SagaFilter(needs_person=True), True),
        (SagaFilter(needs_person=False), False),
        (SagaFilter(saga_name="Order"), True),
        (SagaFilter(saga_name="Trip"), False),
        (SagaFilter(request_id=RequestId("request-1")), True),
        (SagaFilter(started_from=1_000.0), True),
        (SagaFilter(status=Status.DEAD_LETTERED), False),
    ],
    ids=str,
)
async def test_a_filter_finds_a_row_that_cannot_be_read_by_what_stands_in_it(
    path: Path, condition: SagaFilter, is_listed: bool
) -> None:
    change(path, "UPDATE sagas SET status = 'DEID_LETTERED', needs_person = 1 WHERE id = 'saga-1'")
    async with await SqliteJournal.open(path) as journal:
        rows = await listed(journal, condition)
    assert ("saga-1" in [row.id for row in rows]) == is_listed


@pytest.mark.parametrize(
    ("change_to", "what", "changed"),
    [
        ("seq = 'x'", "where a number belongs", {"seq": 0}),
        ("updated_at = 'x'", "where a time belongs", {"updated_at": 1_000.0}),
        ("due_at = 'x'", "where a time belongs", {}),
        ("saga = 7", "what tells its newest record is missing", {"seq": 0, "updated_at": 1_000.0}),
    ],
)
async def test_a_head_that_cannot_be_read_hides_no_row(
    path: Path, change_to: str, what: str, changed: dict[str, Any]
) -> None:
    change(path, *ANY_KIND)
    change(path, f"UPDATE heads SET {change_to} WHERE saga = 1")
    async with await SqliteJournal.open(path) as journal:
        sound, shown = await listed(journal, SagaFilter())
        assert sound == await journal.find(SOUND)
        with pytest.raises(JournalCorrupt, match="the saga's row"):
            await journal.find(DAMAGED)
    assert what in shown.error_message
    assert (shown.id, shown.status, shown.signature) == (DAMAGED, Status.DEAD_LETTERED, SET_ASIDE)
    assert shown == replace(shown, **changed)


async def test_a_time_of_a_start_that_is_lost_is_at_the_end_of_the_list(path: Path) -> None:
    change(
        path, *ANY_KIND, "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'sagas'"
    )
    change(path, "UPDATE sagas SET started_at = NULL WHERE id = 'saga-2'")
    async with await SqliteJournal.open(path) as journal:
        rows = await journal.page(SagaFilter(), after=None, limit=10)
    assert [(row.id, row.started_at) for row in rows] == [(DAMAGED, 1_000.0), (SOUND, MOMENT_MIN)]


NO_NUMBERS = (
    # Else SQLite would not put them there.
    "CREATE TABLE loose (one INTEGER PRIMARY KEY, format, token, words)",
    "INSERT INTO loose VALUES (1, 'Order', '', NULL)",
    "PRAGMA writable_schema = on",
    (
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'loose')"
        " WHERE name = 'journal'"
    ),
)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5_000]), "damaged|malformed"),
        (lambda path: flip_bit(path, b"CREATE TABLE journal"), "malformed"),
        (lambda path: change(path, *NO_NUMBERS), "its format, its token or the number of its words is none"),
        (
            lambda path: flip_bit(path, b"INDEX sagas_undoing", 1 << 7),
            "not UTF-8",
        ),
    ],
    ids=["truncated", "schema", "another table's page", "name"],
)
async def test_a_database_that_cannot_be_read_at_all_stops_the_start(
    path: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(path)
    with pytest.raises(StartupFailed, match=f"journal.db cannot be used .*({sentence}).*put back a copy"):
        await SqliteJournal.open(path)


@pytest.mark.parametrize(
    "condition",
    [
        SagaFilter(),
        SagaFilter(status=Status.RUNNING),
        SagaFilter(saga_name="Order"),
        SagaFilter(needs_person=True),
        SagaFilter(needs_person=False),
        SagaFilter(saga_name="Order", needs_person=True),
        SagaFilter(started_from=1.0, started_before=2_000.0),
        SagaFilter(status=Status.COMPLETED, started_before=2_000.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("after", [None, Cursor(1_000.0, SOUND)], ids=["first page", "next page"])
async def test_a_page_is_a_stretch_of_an_index_and_is_never_sorted(
    path: Path, condition: SagaFilter, after: Cursor | None
) -> None:
    sql, values = page_query(condition, after, 10, lambda _: 1)
    with closing(sqlite3.connect(path)) as db:
        plan = plan_of(db, sql, values)
    assert not any(step.startswith("USE TEMP B-TREE") for step in plan)
    assert "INDEX sagas_" in plan[0]
    assert all(step.startswith(("SEARCH", "SCALAR SUBQUERY")) for step in plan[1:])
    # What narrows the list narrows the search: only the whole list, and its complement, scan.
    if condition not in (SagaFilter(), SagaFilter(needs_person=False)):
        assert plan[0].startswith("SEARCH")


@pytest.mark.parametrize("status", [None, Status.COMPLETED])
async def test_the_sagas_of_a_request_id_are_found_by_it(path: Path, status: Status | None) -> None:
    sql, values = page_query(SagaFilter(status, request_id=RequestId("request-1")), None, 10, lambda _: 1)
    with closing(sqlite3.connect(path)) as db:
        plan = plan_of(db, sql, values)
    assert plan[:2] == [
        "SEARCH requests USING INDEX sqlite_autoindex_requests_1 (request_id=?)",
        "SEARCH sagas USING INDEX sqlite_autoindex_sagas_1 (id=?)",
    ]


def plan_of(db: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[str]:
    return [row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


async def test_recovery_reads_no_row_and_nothing_of_what_has_ended(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert plan_of(db, OPEN_SAGAS, ()) == [
            "SCAN sagas USING COVERING INDEX sagas_open",
            "SEARCH heads USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
            "USE TEMP B-TREE FOR ORDER BY",
        ]


async def test_open_sagas_are_counted_from_an_index_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert plan_of(db, OPEN_COUNT, ()) == ["SEARCH sagas USING COVERING INDEX sagas_by_status (status=?)"]


async def test_a_census_reads_nothing_of_what_has_ended(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        plan = plan_of(db, CENSUS, (1_000.0,))
    steps = [step for step in plan if "sagas" in step]
    assert len(steps) == 5
    # Partial indexes of what is open or needs a person, and the first entry of a stretch of another.
    assert sorted(steps) == [
        "SCAN sagas USING COVERING INDEX sagas_open",
        "SEARCH sagas USING COVERING INDEX sagas_by_status (status=?)",
        "SEARCH sagas USING COVERING INDEX sagas_by_status (status=?)",
        "SEARCH sagas USING COVERING INDEX sagas_for_people (needs_person=?)",
        "SEARCH sagas USING COVERING INDEX sagas_undoing",
    ]


async def test_dead_letters_are_counted_by_signature_from_an_index_alone_and_nothing_is_sorted(
    path: Path,
) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert plan_of(db, SIGNATURES, ()) == ["SCAN sagas USING COVERING INDEX sagas_by_signature"]


@pytest.mark.parametrize("value", ["NULL", "''", "'pay'", "'pay ASLEEP'", "7", "x'00'"])
async def test_a_signature_that_makes_no_sense_is_not_counted_and_hides_no_other(
    path: Path, value: str
) -> None:
    async with await SqliteJournal.open(path) as journal:
        for saga in (a_saga("3"), a_saga("4")):
            await saga.start(journal)
            await saga.goes_on(journal, *dead_lettered())
    change(path, *ANY_KIND)
    change(path, f"UPDATE sagas SET signature = {value} WHERE id = 'saga-3'")
    async with await SqliteJournal.open(path) as journal:
        census = await journal.census(2_000.0)
    assert census.dead_letters == 2
    assert [alike.sagas for alike in census.signatures] == [1]
