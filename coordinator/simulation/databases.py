"""Databases of worlds that are over, for worlds to come: emptied, and with their statements still compiled.

To compile them anew for each world takes longer than many a world does.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

_D = TypeVar("_D", bound=sqlite3.Connection)


class Databases(Generic[_D]):
    """Those of one layout."""

    def __init__(self, kind: type[_D], lay_out: Callable[[sqlite3.Connection], object]) -> None:
        """*lay_out* makes the tables, and whatever is in them from the beginning."""
        self._kind: Final = kind
        self._lay_out = lay_out
        self._idle: list[_D] = []
        self._content: Mapping[str, Sequence[Sequence[Any]]] = {}
        """What is in each table of a new one."""

    def take(self) -> _D:
        """One that holds what a new one does."""
        if self._idle:
            return self._idle.pop()
        # The next world may be another thread's.
        database = sqlite3.connect(
            ":memory:", isolation_level=None, factory=self._kind, check_same_thread=False
        )
        self._lay_out(database)
        tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        self._content = {
            table: database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  # our own names
            for (table,) in tables
        }
        return database

    def give_back(self, database: _D) -> None:
        """Its world is over."""
        if database.in_transaction:
            database.execute("ROLLBACK")
        for table, rows in self._content.items():
            database.execute(f"DELETE FROM {table}")  # noqa: S608  # our own names
            for row in rows:
                database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        database.execute("PRAGMA user_version = 0")
        self._idle.append(database)
