"""The definitions that there are: taken up at the start, registered, retired, chosen for a new saga.

What is registered is decided and kept by the store; here it is read, and what can be started is at hand.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import InvalidDefinition, Overloaded, VersionTaken, Violation
from coordinator.domain.ids import Digest
from coordinator.domain.jsontext import digest
from coordinator.domain.language.documents import Format, Position
from coordinator.domain.language.expressions import Evaluate
from coordinator.domain.language.front_door import FrontDoor
from coordinator.domain.language.lint import Finding, lint
from coordinator.domain.language.registration import Registered, Registration, RegistrationOutcome, register
from coordinator.domain.values import frozen
from coordinator.engine.offered_definitions import OfferedDefinitions, label
from coordinator.engine.shown_definitions import ShownDefinition, ShownDefinitions
from coordinator.ports.aside import Aside
from coordinator.ports.clock import Clock
from coordinator.ports.definitions import DefinitionReader, DefinitionStore, Read
from coordinator.ports.expressions import Expressions
from coordinator.ports.journal import SagaIndex
from coordinator.ports.telemetry import Telemetry

OFFERED_MAX: Final = 1_000
"""So many can be started at a time, since each is kept in memory. Files count, and are taken all the same."""
FINDINGS_MAX: Final = 100
"""So many are told of a definition that is registered: a chain of a thousand steps may hold a thousand."""

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class LocatedFinding(NamedTuple):
    """What the linter found, and where that stands in the text."""

    finding: Finding
    position: Position


@frozen
class RegistrationAnswer:
    """What registering a definition came to, and what the linter found in it."""

    shown: ShownDefinition
    outcome: RegistrationOutcome
    findings: Sequence[LocatedFinding]
    """At most `FINDINGS_MAX`."""
    findings_left_out: int


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
        aside: Aside,
        door: FrontDoor | None = None,
    ) -> None:
        """*door* is the one that what is registered here must keep open."""
        self._store = store
        self._read = read
        self._expressions = expressions
        self._clock = clock
        self._telemetry = telemetry
        self._aside = aside
        self._door = door
        self._offered = OfferedDefinitions()
        self.shown = ShownDefinitions(store, index, self._offered, aside)
        # Held while something is written: whoever chooses a definition then gets what there is after it.
        self._turn = asyncio.Lock()
        self._tasks: dict[asyncio.Task[Any], None] = {}

    async def take_up(self, files: Sequence[tuple[str, SagaDefinition]]) -> None:
        """Begin with what stands in *files*, each with its name, and with what callers registered before.

        Raises:
            SagaError: what is registered cannot be read.
        """
        definitions = [definition for _, definition in files]
        before = {registration.key: registration for registration in await self._store.registrations()}
        outcomes = await self._store.take_up_files(definitions, at=self._clock.now())
        for (source, definition), outcome in zip(files, outcomes, strict=True):
            held = before.get((definition.name, definition.version))
            _tell_of_file(source, definition, outcome, held)
        in_files = {definition.digest: definition for definition in definitions}
        for registration in await self._store.registrations():
            if registration.is_offered:
                await self._take_up(registration, in_files)
            elif registration.retired_at is not None:
                self._offered.withdraw(registration)
        if self._door is not None:
            self._tell_if_shut(self._door.saga_name)

    async def get(self, name: str, version: str | None) -> SagaDefinition:
        # Mostly nothing is being written: then there is nothing to wait for.
        if self._turn.locked():
            async with self._turn:
                return self._startable(name, version)
        return self._startable(name, version)

    def _startable(self, name: str, version: str | None) -> SagaDefinition:
        found = self._offered.get(name, version)
        if found is None:
            raise self._offered.not_startable(name, version)
        return found

    def all(self) -> Sequence[SagaDefinition]:
        return self._offered.all()

    def fault_of(self, door: FrontDoor) -> str | None:
        """Why nothing can be started by *door* at this moment; None where it can."""
        newest = self._offered.get(door.saga_name, None)
        if newest is None:
            return str(self._offered.not_startable(door.saga_name, None))
        return door.fault(newest)

    async def register(
        self, text: str, written: Format, *, source: str, validate_only: bool
    ) -> RegistrationAnswer:
        """Register a definition, durably; with *validate_only*, say what that would come to.

        Raises:
            InvalidDefinition: it is not right; *source* names it.
            VersionTaken: its version is in use with other content.
            Overloaded: there are too many, or the disk is nearly full; nothing was written.
            JournalUnavailable: it may or may not be durable.
        """
        # A large one takes a while.
        check = self._aside.on_loop(self._expressions.check)
        evaluate = self._aside.on_loop(self._expressions.evaluate)
        read = await self._aside.run(self._read, text, written, source=source, check=check)
        findings, left_out = await self._aside.run(_linted, read, evaluate, self._door)
        # Counted before anything is written: it may be refused.
        open_sagas = await self._store.open_sagas()
        if validate_only:
            registered = await self._foreseen(read.definition)
            shown = self.shown.foreseen(registered.registration, read.definition, open_sagas)
        else:
            registered = await self._owned(self._register(read.definition))
            shown = await self.shown.one(registered.registration, open_sagas)
        return RegistrationAnswer(shown, registered.outcome, findings, left_out)

    async def retire(self, name: str, version: str | None, *, if_no_open_sagas: bool) -> ShownDefinition:
        """Start no more sagas with it, durably; those that run go on.

        Raises:
            DefinitionNotFound: nothing is registered there.
            DefinitionInUse: sagas are open on it, and *if_no_open_sagas*.
            Overloaded: it took too long to count its sagas; nothing was written.
            JournalUnavailable: it may or may not be durable.
        """
        open_sagas = await self._store.open_sagas()
        retired = await self._owned(self._retire(name, version, if_no_open_sagas=if_no_open_sagas))
        return await self.shown.one(retired, open_sagas)

    async def _register(self, definition: SagaDefinition) -> Registered:
        async with self._turn:
            self._check_room(definition)
            registered = await self._store.register(definition, at=self._clock.now())
            self._offer(registered.registration, definition)
        _log.info("definition %s registered: %s", label(registered.registration), registered.outcome)
        self._tell_if_shut(definition.name)
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
                raise self._offered.not_found(name, version)
            self._offered.withdraw(retired)
        _log.info("definition %s retired", label(retired))
        self._tell_if_shut(name)
        return retired

    async def _take_up(self, registration: Registration, in_files: Mapping[Digest, SagaDefinition]) -> None:
        definition = in_files.get(registration.digest)
        source = f"the definition {label(registration)} that was registered"
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
        self._offered.offer(registration, definition)
        self._telemetry.definition_registered(registration.name)

    def _tell_if_shut(self, name: str) -> None:
        """Say aloud that what is registered under *name* by now shuts the front door."""
        if self._door is None or self._door.saga_name != name:
            return
        fault = self.fault_of(self._door)
        if fault is not None:
            _log.error("%s", self._door.shut(fault))

    def _check_room(self, definition: SagaDefinition) -> None:
        if (definition.name, definition.version) not in self._offered and len(self._offered) >= OFFERED_MAX:
            raise Overloaded(
                f"{len(self._offered)} definitions can be started, which is the limit; nothing was written. "
                "Retire versions that are not needed any more"
            )

    async def _owned(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """What was begun is done to its end, whoever leaves: so what is at hand is what is durable."""
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if not task.cancelled():
            # Whoever waited for it may have left; asking here keeps asyncio from complaining later.
            task.exception()


def _linted(read: Read, evaluate: Evaluate, door: FrontDoor | None) -> tuple[Sequence[LocatedFinding], int]:
    """What is told of what the linter finds, and how much more there is."""
    findings = lint(read.definition, evaluate, door=door)
    told = findings[:FINDINGS_MAX]
    return [LocatedFinding(one, read.places.position(one.loc)) for one in told], len(findings) - len(told)


def _tell_of_file(
    source: str, definition: SagaDefinition, outcome: Registered | VersionTaken, before: Registration | None
) -> None:
    """*before*: what its name and version held until now."""
    if isinstance(outcome, VersionTaken):
        _log.error("%s is not loaded: %s", source, outcome)
    elif outcome.registration.retired_at is not None:
        _log.warning("%s is not loaded: it was retired, and registering it by a call brings it back", source)
    elif outcome.registration.digest != definition.digest:
        _log.warning("%s is not loaded: other content was registered by a call since", source)
    elif outcome.outcome is RegistrationOutcome.REPLACED and before is not None and before.through_api:
        _log.warning("%s takes the place of other content, which was registered by a call", source)
