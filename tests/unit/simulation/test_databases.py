"""A world that is given a used database must not be able to tell."""

import sqlite3
from contextlib import closing
from threading import Thread

from coordinator.simulation.databases import Databases

SCHEMA = """
CREATE TABLE kept (number INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE rows (number INTEGER PRIMARY KEY, name TEXT);
INSERT INTO kept VALUES (1, 'one'), (2, NULL);
"""


def _lay_out(database: sqlite3.Connection) -> None:
    database.executescript(SCHEMA)


def _dump(database: sqlite3.Connection) -> list[str]:
    return list(database.iterdump())


def test_what_is_given_back_is_as_new_when_it_is_taken_again() -> None:
    databases = Databases(sqlite3.Connection, _lay_out)
    with closing(databases.take()) as first:
        new = _dump(first)
        first.execute("UPDATE kept SET name = 'other'")
        first.execute("INSERT INTO kept VALUES (9, 'more')")
        first.execute("INSERT INTO rows VALUES (7, 'seven')")
        databases.give_back(first)
        again = databases.take()
        assert again is first
        assert _dump(again) == new
        again.execute("INSERT INTO rows (name) VALUES ('the first of this world')")
        assert again.execute("SELECT number FROM rows").fetchall() == [(1,)]


def test_what_was_left_in_the_midst_of_a_transaction_is_as_new_too() -> None:
    databases = Databases(sqlite3.Connection, _lay_out)
    with closing(databases.take()) as first:
        new = _dump(first)
        first.execute("BEGIN")
        first.execute("DELETE FROM kept")
        databases.give_back(first)
        assert not first.in_transaction
        assert _dump(databases.take()) == new


def test_two_worlds_at_a_time_have_two_databases() -> None:
    databases = Databases(sqlite3.Connection, _lay_out)
    databases.give_back(databases.take())
    with closing(databases.take()) as one, closing(databases.take()) as other:
        one.execute("DELETE FROM kept")
        assert other.execute("SELECT count(*) FROM kept").fetchone() == (2,)


def test_a_world_of_another_thread_can_use_one_too() -> None:
    databases = Databases(sqlite3.Connection, _lay_out)
    counted = list[int]()

    def count() -> None:
        counted.extend(databases.take().execute("SELECT count(*) FROM kept").fetchone())

    with closing(databases.take()) as mine:
        databases.give_back(mine)
        thread = Thread(target=count)
        thread.start()
        thread.join()
    assert counted == [2]
