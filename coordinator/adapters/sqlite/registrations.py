"""Registrations of definitions within a group: each is read once, and written once when the group is.

What becomes of one is decided by the domain's rule, on what the transaction sees: entries that were taken
before count.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from coordinator.adapters.sqlite.rows import Parameters
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import DefinitionInUse, DefinitionMoved, VersionTaken
from coordinator.domain.language.registration import (
    Key,
    Registered,
    Registration,
    register,
    retire,
    start,
    take_up_files,
)

_FIELDS: Final = tuple(field.name for field in fields(Registration))
REGISTRATION_COLUMNS: Final = ", ".join(_FIELDS)
"""Columns of the table `registrations` have the names of the fields that they hold."""

_ONE: Final = f"SELECT {REGISTRATION_COLUMNS} FROM registrations WHERE name = ? AND version = ?"  # noqa: S608  # our own names
_ALL: Final = f"SELECT {REGISTRATION_COLUMNS} FROM registrations"  # noqa: S608  # as above
_NUMBER: Final = "SELECT coalesce(max(number), 0) FROM registrations"
_OPEN: Final = (
    "SELECT count(*) FROM sagas INDEXED BY sagas_open WHERE status IN ('RUNNING', 'COMPENSATING')"
    " AND saga_name = (SELECT number FROM words WHERE text = ?) AND coalesce(definition_version, '') = ?"
)
_PUT: Final = (
    f"INSERT INTO registrations ({REGISTRATION_COLUMNS}, text)"  # noqa: S608  # as above
    f" VALUES ({', '.join('?' for _ in _FIELDS)}, ?) ON CONFLICT (name, version) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*_FIELDS[2:], "text"))
)
_CHANGE: Final = (
    "UPDATE registrations SET "  # noqa: S608  # as above
    + ", ".join(f"{name} = ?" for name in _FIELDS[2:])
    + " WHERE name = ? AND version = ?"
)


@dataclass(frozen=True, slots=True)
class TakeUpFiles:
    """What stands in files now."""

    definitions: Sequence[SagaDefinition]
    at: float


@dataclass(frozen=True, slots=True)
class Register:
    """What a caller registers."""

    definition: SagaDefinition
    at: float


@dataclass(frozen=True, slots=True)
class Retire:
    """What no saga is to be started with any more."""

    key: Key
    at: float
    if_no_open_sagas: bool


class Registrations:
    """The registrations that a group meets, as they stand after the entries that were taken."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._met: dict[Key, Registration | None] = {}
        self._texts: dict[Key, str] = {}
        self._changed: dict[Key, None] = {}
        self._newest: int | None = None

    def start(self, definition: SagaDefinition, at: float) -> DefinitionMoved | None:
        """A saga is started with *definition*, or must not be."""
        held = self._get((definition.name, definition.version))
        after = start(held, definition, at=at, number=self._number())
        if after is None:
            return DefinitionMoved(definition.name, definition.version)
        self._put(held, after, definition)
        return None

    def register(self, entry: Register) -> Registered | VersionTaken:
        held = self._get((entry.definition.name, entry.definition.version))
        try:
            registered = register(held, entry.definition, at=entry.at, number=self._number())
        except VersionTaken as taken:
            return taken
        self._put(held, registered.registration, entry.definition)
        return registered

    def take_up_files(self, entry: TakeUpFiles) -> Sequence[Registered | VersionTaken]:
        for row in self._db.execute(_ALL).fetchall():
            registration = registration_of(row)
            self._met.setdefault(registration.key, registration)
        held = {key: registration for key, registration in self._met.items() if registration is not None}
        outcomes, changed = take_up_files(held, entry.definitions, at=entry.at, number=self._number())
        for outcome, definition in zip(outcomes, entry.definitions, strict=True):
            if isinstance(outcome, Registered):
                self._put(held.get(outcome.registration.key), outcome.registration, definition)
        for registration in changed:
            self._put(held[registration.key], registration)
        return outcomes

    def retire(self, entry: Retire) -> Registration | DefinitionInUse | None:
        """What is retired. The rows of sagas that the group holds must have been written before."""
        held = self._get(entry.key)
        if held is None:
            return None
        if entry.if_no_open_sagas:
            (sagas,) = self._db.execute(_OPEN, _columns(entry.key)).fetchone()
            if sagas:
                return DefinitionInUse(*entry.key, sagas)
        after = retire(held, at=entry.at)
        self._put(held, after)
        return after

    def write(self) -> None:
        """Write what was changed."""
        for key in self._changed:
            registration = self._met[key]
            assert registration is not None
            row = _row(registration)
            if key in self._texts:
                self._db.execute(_PUT, (*row, self._texts[key]))
            else:
                self._db.execute(_CHANGE, (*row[2:], *row[:2]))
        self._changed.clear()
        self._texts.clear()

    def _get(self, key: Key) -> Registration | None:
        if key not in self._met:
            row = self._db.execute(_ONE, _columns(key)).fetchone()
            self._met[key] = None if row is None else registration_of(row)
        return self._met[key]

    def _put(
        self, held: Registration | None, after: Registration, definition: SagaDefinition | None = None
    ) -> None:
        if after == held:
            return
        self._met[after.key] = after
        self._changed[after.key] = None
        if definition is not None and (held is None or held.digest != after.digest):
            self._texts[after.key] = definition.text
        if self._newest is not None:
            self._newest = max(self._newest, after.number)

    def _number(self) -> int:
        """That of the next content."""
        if self._newest is None:
            (self._newest,) = self._db.execute(_NUMBER).fetchone()
        return self._newest + 1


def registration_of(row: Sequence[Any]) -> Registration:
    """The registration whose REGISTRATION_COLUMNS are *row*."""
    given: dict[str, Any] = dict(zip(_FIELDS, row, strict=True))
    given["version"] = given["version"] or None
    given["through_api"] = bool(given["through_api"])
    return Registration(**given)


def _row(registration: Registration) -> Parameters:
    values = [getattr(registration, name) for name in _FIELDS]
    return (registration.name, registration.version or "", *values[2:])


def _columns(key: Key) -> tuple[str, str]:
    name, version = key
    return name, version or ""
