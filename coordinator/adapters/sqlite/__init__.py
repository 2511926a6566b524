"""The journal in one SQLite file, held by one process."""

from coordinator.adapters.sqlite.journal import SqliteJournal

__all__ = ["SqliteJournal"]
