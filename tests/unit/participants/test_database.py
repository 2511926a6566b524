"""Opening a file: ours alone, durable, and one sentence for whatever is wrong with it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from participants.database import open_database
from participants.errors import CannotStart
from tests.unit.participants.kit import SERVICE, open_till

CREATE = "CREATE TABLE things (name TEXT);"
ADD = "ALTER TABLE things ADD COLUMN size INTEGER;"


def test_a_file_is_opened_with_the_pragmas_that_durability_rests_on(tmp_path: Path) -> None:
    database = open_till(tmp_path)
    db = database.connection
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    database.close()


def test_each_script_runs_once_and_new_ones_follow(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    open_database(path, "A", {"service": (CREATE,)}).close()
    database = open_database(path, "A", {"service": (CREATE, ADD)})
    database.connection.execute("INSERT INTO things (name, size) VALUES ('x', 1)")
    database.close()
    database = open_database(path, "A", {"service": (CREATE, ADD)})
    assert database.connection.execute("SELECT size FROM things").fetchall() == [(1,)]
    database.close()


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    database = open_till(tmp_path)
    with pytest.raises(CannotStart, match="in use by another process"):
        open_till(tmp_path)
    database.close()
    open_till(tmp_path).close()


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / f"{SERVICE}.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious (a)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(CannotStart, match="database of something else"):
        open_till(tmp_path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{SERVICE}.sqlite3").write_bytes(b"not a database " * 100)
    with pytest.raises(CannotStart, match="file is not a database"):
        open_till(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    database = open_till(tmp_path)
    database.connection.executemany("INSERT INTO till VALUES ('s', 'p', ?)", [(n,) for n in range(2000)])
    database.close()
    path = tmp_path / f"{SERVICE}.sqlite3"
    content = bytearray(path.read_bytes())
    content[-8000:-4000] = b"\xff" * 4000
    path.write_bytes(content)
    with pytest.raises(CannotStart, match=r"damaged|malformed"):
        open_till(tmp_path)


def test_another_services_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    open_database(path, "A", {}).close()
    with pytest.raises(CannotStart, match="belongs to A, not to B"):
        open_database(path, "B", {})


def test_a_newer_releases_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    open_database(path, "A", {"service": (CREATE, ADD)}).close()
    with pytest.raises(CannotStart, match="newer release"):
        open_database(path, "A", {"service": (CREATE,)})


def test_a_wrong_script_is_told_and_leaves_the_file_free(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    with pytest.raises(CannotStart, match="syntax error"):
        open_database(path, "A", {"service": ("CREATE NONSENSE;",)})
    open_database(path, "A", {"service": (CREATE,)}).close()


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(CannotStart, match=r"data directory .* cannot be used"):
        open_database(tmp_path / "data" / "a.sqlite3", "A", {})


def test_a_directory_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite3").mkdir()
    with pytest.raises(CannotStart, match="cannot be used"):
        open_database(tmp_path / "a.sqlite3", "A", {})
