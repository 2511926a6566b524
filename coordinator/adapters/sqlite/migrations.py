"""The schema, as numbered SQL files that are each applied once, in order, all in one transaction.

What was applied is kept in the journal with a checksum: an edited file, or one that only a newer
release has, stops the start.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from coordinator.adapters.clock import stopwatch_s
from coordinator.adapters.sqlite.words import packed
from coordinator.domain.errors import StartupFailed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def packaged() -> Sequence[Migration]:
    """The migrations of this release, in order."""
    folder = files("coordinator.adapters.sqlite") / "migrations"
    scripts = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted(
        (Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8")) for entry in scripts),
        key=lambda migration: migration.number,
    )


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration], journal: str) -> None:
    """Bring the schema to the newest migration, inside the transaction that the caller holds.

    *journal* names the file in what is told: errors, and that a journal is upgraded, which may take long.

    Raises:
        StartupFailed: the journal was written by a newer release, or a migration was edited since, or it is
            damaged and would have to be changed.
    """
    db.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT"
    )
    applied = dict(db.execute("SELECT number, checksum FROM migrations"))
    newest = max((migration.number for migration in migrations), default=0)
    if (beyond := max(applied, default=0)) > newest:
        raise StartupFailed(
            f"the journal {journal} was written by a newer release (its schema is number {beyond}, this "
            f"release knows {newest}): start that release, or give this one a journal of its own"
        )
    begun_s = stopwatch_s()
    if upgrades := 0 < beyond < newest:
        _log.info("the journal %s goes from schema %d to %d before it is served", journal, beyond, newest)
        _check_whole(db, journal)
    db.create_function("packed", 1, _packed, deterministic=True)
    # Else, in some builds of SQLite, all pages of what is dropped are overwritten: twice as much to write.
    db.execute("PRAGMA secure_delete = fast").close()
    for migration in migrations:
        if migration.number not in applied:
            for statement in _statements(migration.sql):
                db.execute(statement)
            db.execute(
                "INSERT INTO migrations VALUES (?, ?, ?)",
                (migration.number, migration.name, migration.checksum),
            )
        elif applied[migration.number] != migration.checksum:
            raise StartupFailed(
                f"the migration {migration.name} was edited after it was applied to the journal "
                f"{journal}: put the released file back"
            )
    if upgrades:
        _log.info("the journal %s is of schema %d after %.1f s", journal, newest, stopwatch_s() - begun_s)


def _check_whole(db: sqlite3.Connection, journal: str) -> None:
    """What indexes know and rows have lost would be lost for good: tables are copied row by row."""
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StartupFailed(
            f"the journal {journal} is damaged and is not brought up to date ({' '.join(found.split())}): "
            "put back a copy of it, or start the release that wrote it, which goes on with what is whole"
        )


def _packed(text: bytes) -> str | bytes:
    """As it is to stand in the journal. What is no text stays as it is, and is found to be damaged."""
    try:
        return packed(text.decode())
    except UnicodeDecodeError:
        return text


def _statements(script: str) -> Iterator[str]:
    """The statements of *script* one by one; `executescript` would commit the caller's transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
