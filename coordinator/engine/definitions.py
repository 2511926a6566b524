"""The definitions that there are: taken up at the start, registered, retired, chosen for a new saga, shown.

What is registered is decided and kept by the store; here it is read, and what can be started is at hand.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.documents import Format, Places
from coordinator.domain.errors import (
    DefinitionNotFound,
    InvalidDefinition,
    Overloaded,
    VersionTaken,
    Violation,
)
from coordinator.domain.ids import Digest
from coordinator.domain.jsontext import digest
from coordinator.domain.lint import Finding, lint
from coordinator.domain.registration import Key, Outcome, Registered, Registration, newest, register
from coordinator.engine.threads import on_loop
from coordinator.ports.clock import Clock
from coordinator.ports.definitions import DefinitionReader, DefinitionStore
from coordinator.ports.expressions import Expressions
from coordinator.ports.journal import SagaIndex
from coordinator.ports.telemetry import Telemetry

OFFERED_MAX: Final = 1_000
"""So many can be started at a time, since each is kept in memory. Files count, and are taken all the same."""

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class State(StrEnum):
    """What new sagas can do with a definition."""

    STARTABLE = "STARTABLE"
    RETIRED = "RETIRED"
    UNAVAILABLE = "UNAVAILABLE"
    """Its file is gone, or it is not right for this coordinator any more; or only sagas are pinned to it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of a definition."""

    digest: Digest
    name: str
    version: str | None
    definition: SagaDefinition | None
    """None where its text cannot be read any more."""
    registration: Registration | None
    """None where only sagas are pinned to it: its name and version have other content by now."""
    state: State
    is_newest: bool
    open_sagas: int
    """On its name and version."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What registering a definition came to, and what the linter found in it."""

    shown: Shown
    outcome: Outcome
    findings: Sequence[Finding]
    places: Places


@dataclass(frozen=True, slots=True)
class After:
    """Where a page ends."""

    name: str
    number: int


class Definitions:
    """Keeps the port `Catalog`, over what is registered."""

    def __init__(
        self,
        store: DefinitionStore,
        index: SagaIndex,
        read: DefinitionReader,
        expressions: Expressions,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._index = index
        self._read = read
        self._expressions = expressions
        self._clock = clock
        self._telemetry = telemetry
        self._offered: dict[Key, tuple[Registration, SagaDefinition]] = {}
        self._newest: dict[str, SagaDefinition] = {}
        # Held while something is written: whoever chooses a definition then gets what there is after it.
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take_up(self, files: Sequence[tuple[str, SagaDefinition]]) -> None:
        """Begin with what stands in *files*, each with its name, and with what callers registered before.

        Raises:
            SagaError: what is registered cannot be read.
        """
        definitions = [definition for _, definition in files]
        outcomes = await self._store.take_up_files(definitions, at=self._clock.now())
        for (source, definition), outcome in zip(files, outcomes, strict=True):
            _tell_of_file(source, definition, outcome)
        in_files = {definition.digest: definition for definition in definitions}
        for registration in await self._store.registrations():
            if registration.is_offered:
                await self._take_up(registration, in_files)

    async def get(self, name: str, version: str | None) -> SagaDefinition:
        async with self._turn:
            if version is None:
                found = self._newest.get(name)
            else:
                found = self._offered[name, version][1] if (name, version) in self._offered else None
            if found is None:
                raise self._not_found(name, version)
            return found

    def all(self) -> Sequence[SagaDefinition]:
        return [
            definition for _, definition in sorted(self._offered.values(), key=lambda one: _place(one[0]))
        ]

    async def page(
        self, *, saga_name: str | None, all_states: bool, after: After | None, limit: int
    ) -> Sequence[Shown]:
        """At most *limit* definitions behind *after*, by name; of one name, those registered first in front.

        Raises:
            Overloaded: it took too long to count their sagas.
        """
        wanted = [
            registration
            for registration in await self._store.registrations()
            if saga_name in (None, registration.name)
            and (all_states or registration.key in self._offered)
            and (after is None or _place(registration) > (after.name, after.number))
        ]
        open_sagas = await self._store.open_sagas()
        return [
            await self._shown(registration, open_sagas) for registration in sorted(wanted, key=_place)[:limit]
        ]

    async def show(self, name: str, version: str | None) -> Shown:
        """A definition by its name and version; without *version*, the one that a start of that name gets, or
        by its digest, as it is registered or as some saga is pinned to it.

        Raises:
            DefinitionNotFound: there is none.
        """
        registration = self._meant(await self._store.registrations(), name, version)
        if registration is not None:
            return await self._shown(registration, await self._store.open_sagas())
        text = None if version is not None else await self._index.definition(Digest(name))
        if text is None:
            raise self._not_found(name, version)
        pinned = parse_definition(text, source=f"the journal's definition {name}")
        open_sagas = await self._store.open_sagas()
        return Shown(
            pinned.digest,
            pinned.name,
            pinned.version,
            pinned,
            None,
            State.UNAVAILABLE,
            is_newest=False,
            open_sagas=open_sagas.get((pinned.name, pinned.version), 0),
        )

    async def register(self, text: str, written: Format, *, source: str, validate_only: bool) -> Answer:
        """Register a definition, durably; with *validate_only*, say what that would come to.

        Raises:
            InvalidDefinition: it is not right; *source* names it.
            VersionTaken: its version is in use with other content.
            Overloaded: there are too many, or the disk is nearly full; nothing was written.
            JournalUnavailable: it may or may not be durable.
        """
        # In threads: a large one takes a while.
        check, evaluate = on_loop(self._expressions.check), on_loop(self._expressions.evaluate)
        read = await asyncio.to_thread(self._read, text, written, source=source, check=check)
        findings = await asyncio.to_thread(lint, read.definition, evaluate)
        # Counted before anything is written: it may be refused.
        open_sagas = await self._store.open_sagas()
        if not validate_only:
            registered = await self._owned(self._register(read.definition))
            shown = await self._shown(registered.registration, open_sagas)
        else:
            registered = await self._foreseen(read.definition)
            as_it_is = await self._shown(registered.registration, open_sagas, read.definition)
            shown = replace(
                as_it_is, state=State.STARTABLE, is_newest=self._would_be_newest(registered.registration)
            )
        return Answer(shown, registered.outcome, findings, read.places)

    async def retire(self, name: str, version: str | None, *, if_no_open_sagas: bool) -> Shown:
        """Start no more sagas with it, durably; those that run go on.

        Raises:
            DefinitionNotFound: nothing is registered there.
            DefinitionInUse: sagas are open on it, and *if_no_open_sagas*.
            Overloaded: it took too long to count its sagas; nothing was written.
            JournalUnavailable: it may or may not be durable.
        """
        open_sagas = await self._store.open_sagas()
        retired = await self._owned(self._retire(name, version, if_no_open_sagas=if_no_open_sagas))
        return await self._shown(retired, open_sagas)

    async def _register(self, definition: SagaDefinition) -> Registered:
        async with self._turn:
            self._check_room(definition)
            registered = await self._store.register(definition, at=self._clock.now())
            self._offer(registered.registration, definition)
        _log.info("definition %s registered: %s", _label(registered.registration), registered.outcome)
        return registered

    async def _foreseen(self, definition: SagaDefinition) -> Registered:
        self._check_room(definition)
        held = await self._store.registrations()
        at_its_place = next((one for one in held if one.key == (definition.name, definition.version)), None)
        number = 1 + max((one.number for one in held), default=0)
        return register(at_its_place, definition, at=self._clock.now(), number=number)

    async def _retire(self, name: str, version: str | None, *, if_no_open_sagas: bool) -> Registration:
        async with self._turn:
            at = self._clock.now()
            retired = await self._store.retire(name, version, at=at, if_no_open_sagas=if_no_open_sagas)
            if retired is None:
                raise self._not_found(name, version)
            self._offered.pop(retired.key, None)
            self._choose_newest(name)
        _log.info("definition %s retired", _label(retired))
        return retired

    async def _take_up(self, registration: Registration, in_files: Mapping[Digest, SagaDefinition]) -> None:
        definition = in_files.get(registration.digest)
        source = f"the definition {_label(registration)} that was registered"
        try:
            if definition is None:
                text = await self._text(registration, source)
                # Its expressions were checked when it was registered, and there may be thousands by now.
                read = self._read(text, Format.JSON, source=source, check=lambda *_: ())
                definition = read.definition
        except InvalidDefinition as error:
            _log.error("%s", error)
        else:
            self._offer(registration, definition)

    async def _text(self, registration: Registration, source: str) -> str:
        text = await self._store.text(*registration.key)
        if text is None or digest(text) != registration.digest:
            raise InvalidDefinition(source, [Violation("$", "is damaged: its text has another digest")])
        return text

    def _offer(self, registration: Registration, definition: SagaDefinition) -> None:
        self._offered[registration.key] = registration, definition
        self._choose_newest(registration.name)
        self._telemetry.definition_registered(registration.name)

    def _choose_newest(self, name: str) -> None:
        chosen = newest([one for one, _ in self._offered.values() if one.name == name])
        if chosen is None:
            self._newest.pop(name, None)
        else:
            self._newest[name] = self._offered[chosen.key][1]

    def _check_room(self, definition: SagaDefinition) -> None:
        if (definition.name, definition.version) not in self._offered and len(self._offered) >= OFFERED_MAX:
            raise Overloaded(
                f"{len(self._offered)} definitions can be started, which is the limit; nothing was written. "
                "Retire versions that are not needed any more"
            )

    def _meant(self, held: Sequence[Registration], name: str, version: str | None) -> Registration | None:
        if version is None and name in self._newest:
            version = self._newest[name].version
        elif version is None:
            return next((one for one in held if one.digest == name), None)
        return next((one for one in held if one.key == (name, version)), None)

    def _would_be_newest(self, registration: Registration) -> bool:
        others = (one for one, _ in self._offered.values() if one.name == registration.name)
        return all(one.number <= registration.number for one in others)

    async def _shown(
        self,
        registration: Registration,
        open_sagas: Mapping[Key, int],
        definition: SagaDefinition | None = None,
    ) -> Shown:
        offered = self._offered.get(registration.key)
        is_offered = offered is not None and offered[1].digest == registration.digest
        if definition is None and offered is not None and is_offered:
            definition = offered[1]
        newest = self._newest.get(registration.name)
        return Shown(
            registration.digest,
            registration.name,
            registration.version,
            definition or await self._as_it_was(registration),
            registration,
            State.STARTABLE
            if is_offered
            else State.UNAVAILABLE
            if registration.retired_at is None
            else State.RETIRED,
            is_newest=is_offered and newest is not None and newest.version == registration.version,
            open_sagas=open_sagas.get(registration.key, 0),
        )

    async def _as_it_was(self, registration: Registration) -> SagaDefinition | None:
        """One that cannot be started: whether it would be right today is not asked."""
        source = f"the definition {_label(registration)}"
        try:
            return parse_definition(await self._text(registration, source), source=source)
        except InvalidDefinition:
            return None

    def _not_found(self, name: str, version: str | None) -> DefinitionNotFound:
        known = [one for one, _ in self._offered.values()]
        return DefinitionNotFound(name, version, [_label(one) for one in known])

    async def _owned(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """What was begun is done to its end, whoever leaves: so what is at hand is what is durable."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Whoever waited for it may have left; asking here keeps asyncio from complaining later.
            task.exception()


def _place(registration: Registration) -> tuple[str, int]:
    """Where it stands in lists."""
    return registration.name, registration.number


def _label(registration: Registration) -> str:
    if registration.version is None:
        return registration.name
    return f"{registration.name} (version {registration.version})"


def _tell_of_file(source: str, definition: SagaDefinition, outcome: Registered | VersionTaken) -> None:
    if isinstance(outcome, VersionTaken):
        _log.error("%s is not loaded: %s", source, outcome)
    elif outcome.registration.retired_at is not None:
        _log.warning("%s is not loaded: it was retired, and registering it by a call brings it back", source)
    elif outcome.registration.digest != definition.digest:
        _log.warning("%s is not loaded: other content was registered by a call since", source)
