"""What SQLite would drop of a log without a word, and what it may: the transaction that was being written."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from coordinator.adapters.sqlite.wal import look_through

PAGE_BYTES: Final = 1024
HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24 + PAGE_BYTES
PAGE_SIZE_AT, SALT_AT, SUM_AT = 10, 16, 24
TRANSACTIONS: Final = 20


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A log of so many transactions of a few pages each, whose database is in use; this is a copy of it."""
    with closing(begun(tmp_path)) as db:
        grow(db)
        yield copied(tmp_path)


def begun(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / "a.db", isolation_level=None)
    for statement in (
        f"PRAGMA page_size = {PAGE_BYTES}",
        "PRAGMA journal_mode = wal",
        "PRAGMA wal_autocheckpoint = 0",
        "CREATE TABLE things (text)",
    ):
        db.execute(statement).close()
    return db


def grow(db: sqlite3.Connection, transactions: int = TRANSACTIONS) -> None:
    for number in range(transactions):
        db.execute("INSERT INTO things VALUES (?)", (f"{number:03}" * 700,))


def copied(folder: Path) -> Path:
    return Path(shutil.copy(folder / "a.db-wal", folder / "copy"))


def ends(log: Path) -> list[int]:
    """Where the frames begin that end a transaction."""
    content = log.read_bytes()
    frames = range(HEADER_BYTES, len(content), FRAME_BYTES)
    return [at for at in frames if int.from_bytes(content[at + 4 : at + 8])]


def flip(log: Path, at: int) -> None:
    content = bytearray(log.read_bytes())
    content[at] ^= 1
    log.write_bytes(content)


def damaged_at(log: Path) -> int | None:
    return look_through(log).damaged_at


def test_a_sound_one_is_not_damaged(log: Path) -> None:
    assert len(ends(log)) == TRANSACTIONS + 1
    assert damaged_at(log) is None


@pytest.mark.parametrize("within", [0, 5, 8, 12, 16, 20, 24, FRAME_BYTES - 1])
@pytest.mark.parametrize("transaction", [0, TRANSACTIONS // 2, TRANSACTIONS - 2])
def test_a_flipped_bit_in_one_that_has_others_behind_it_is_found(
    log: Path, transaction: int, within: int
) -> None:
    last = ends(log)[transaction]
    flip(log, last + within)
    assert damaged_at(log) == last
    flip(log, HEADER_BYTES + within)
    assert damaged_at(log) == HEADER_BYTES


@pytest.mark.parametrize("at", [0, 3, 4, PAGE_SIZE_AT, SALT_AT, SALT_AT + 4, SUM_AT, SUM_AT + 7])
def test_so_is_one_in_the_header(log: Path, at: int) -> None:
    flip(log, at)
    assert damaged_at(log) == 0


def test_a_transaction_that_was_being_written_is_none(log: Path) -> None:
    whole, (*_, before, _) = log.read_bytes(), ends(log)
    before += FRAME_BYTES
    for size in range(before, len(whole), 97):
        log.write_bytes(whole[:size])
        assert look_through(log) == (None, before)
    # Its frames may reach the disk in any order.
    log.write_bytes(whole)
    assert look_through(log) == (None, len(whole))
    flip(log, before + 30)
    assert look_through(log) == (None, before)


def test_what_is_left_of_a_log_that_was_begun_anew_is_none(tmp_path: Path) -> None:
    with closing(begun(tmp_path)) as db:
        grow(db)
        db.execute("PRAGMA wal_checkpoint(RESTART)").close()
        grow(db, 3)
        log = copied(tmp_path)
        assert damaged_at(log) is None
        # It is no longer than it was, and the new part is looked at all the same.
        flip(log, HEADER_BYTES + 100)
        assert damaged_at(log) == HEADER_BYTES


@pytest.mark.parametrize("content", [b"", b"\0" * 31, b"\0" * 5_000])
def test_one_that_was_never_written_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "copy").write_bytes(content)
    assert look_through(tmp_path / "copy") == (None, 0)
