"""What people see of definitions: also of those that no saga can be started with any more.

Nothing is checked again to be shown, and no text is read on the loop: a page of large ones takes a while.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.ids import Digest
from coordinator.domain.language.registration import Key, Registration, newest
from coordinator.domain.language.relations import sketch
from coordinator.domain.values import frozen
from coordinator.engine.offered_definitions import OfferedDefinitions, place
from coordinator.ports.aside import Aside
from coordinator.ports.definitions import DefinitionStore
from coordinator.ports.journal import SagaIndex


class DefinitionState(StrEnum):
    """What new sagas can do with a definition."""

    STARTABLE = "STARTABLE"
    RETIRED = "RETIRED"
    UNAVAILABLE = "UNAVAILABLE"
    """Its file is gone, or it is not right for this coordinator any more; or only sagas are pinned to it."""


@frozen
class ShownDefinition:
    """What is known of a definition."""

    digest: Digest
    name: str
    version: str | None
    text: str | None
    """None where it cannot be read any more."""
    steps: Sequence[str]
    """Their names."""
    registration: Registration | None
    """None where only sagas are pinned to it: its name and version have other content by now."""
    is_startable: bool
    is_newest: bool
    open_sagas: int
    """On its name and version."""

    @property
    def state(self) -> DefinitionState:
        if self.is_startable:
            return DefinitionState.STARTABLE
        is_retired = self.registration is not None and self.registration.retired_at is not None
        return DefinitionState.RETIRED if is_retired else DefinitionState.UNAVAILABLE


@frozen
class DefinitionCursor:
    """Where a page ends."""

    name: str
    number: int


class ShownDefinitions:
    """Looks at what is registered, at what can be started, and at what sagas are pinned to."""

    def __init__(
        self, store: DefinitionStore, index: SagaIndex, offered: OfferedDefinitions, aside: Aside
    ) -> None:
        self._store = store
        self._index = index
        self._offered = offered
        self._aside = aside

    async def page(
        self, *, saga_name: str | None, all_states: bool, after: DefinitionCursor | None, limit: int
    ) -> Sequence[ShownDefinition]:
        """At most *limit* definitions behind *after*, by name; of one name, those registered first in front.

        Raises:
            Overloaded: it took too long to count their sagas.
        """
        wanted = [
            registration
            for registration in await self._store.registrations()
            if saga_name in (None, registration.name)
            and (all_states or registration.key in self._offered)
            and (after is None or place(registration) > (after.name, after.number))
        ]
        open_sagas = await self._store.open_sagas()
        return [
            await self.one(registration, open_sagas) for registration in sorted(wanted, key=place)[:limit]
        ]

    async def show(self, name: str, version: str | None) -> ShownDefinition:
        """A definition by its name and version; without *version*, the one that a start of that name gets, or
        where it gets none, the one registered last; or by its digest, as it is registered or as some saga is
        pinned to it.

        Raises:
            DefinitionNotFound: there is none.
        """
        registration = self._meant(await self._store.registrations(), name, version)
        if registration is not None:
            return await self.one(registration, await self._store.open_sagas())
        text = None if version is not None else await self._index.definition(Digest(name))
        if text is None:
            raise self._offered.not_found(name, version)
        source = f"the journal's definition {name}"
        pinned = await self._aside.run(parse_definition, text, source=source)
        open_sagas = await self._store.open_sagas()
        return ShownDefinition(
            pinned.digest,
            pinned.name,
            pinned.version,
            *_content_of(pinned),
            registration=None,
            is_startable=False,
            is_newest=False,
            open_sagas=open_sagas.get((pinned.name, pinned.version), 0),
        )

    async def one(self, registration: Registration, open_sagas: Mapping[Key, int]) -> ShownDefinition:
        """What is registered, as it stands."""
        definition = self._offered.content(registration)
        if definition is not None:
            started = self._offered.get(registration.name, None)
            is_newest = started is not None and started.version == registration.version
            return _shown(
                registration, _content_of(definition), open_sagas, is_startable=True, is_newest=is_newest
            )
        text = await self._store.text(*registration.key)
        content = await self._aside.run(_content_as_it_was, text, registration.digest)
        return _shown(registration, content, open_sagas, is_startable=False, is_newest=False)

    def foreseen(
        self, registration: Registration, definition: SagaDefinition, open_sagas: Mapping[Key, int]
    ) -> ShownDefinition:
        """What would be registered, as it would be shown."""
        return _shown(
            registration,
            _content_of(definition),
            open_sagas,
            is_startable=True,
            is_newest=self._offered.would_be_newest(registration),
        )

    def _meant(self, held: Sequence[Registration], name: str, version: str | None) -> Registration | None:
        if version is not None:
            return next((one for one in held if one.key == (name, version)), None)
        of_name = [one for one in held if one.name == name]
        startable = self._offered.get(name, None)
        if startable is not None:
            return next((one for one in of_name if one.version == startable.version), None)
        return newest(of_name) or next((one for one in held if one.digest == name), None)


class _Content(NamedTuple):
    text: str | None
    steps: Sequence[str]


def _shown(
    registration: Registration,
    content: _Content,
    open_sagas: Mapping[Key, int],
    *,
    is_startable: bool,
    is_newest: bool,
) -> ShownDefinition:
    return ShownDefinition(
        registration.digest,
        registration.name,
        registration.version,
        *content,
        registration=registration,
        is_startable=is_startable,
        is_newest=is_newest,
        open_sagas=open_sagas.get(registration.key, 0),
    )


def _content_of(definition: SagaDefinition) -> _Content:
    return _Content(definition.text, [step.name for step in definition.steps])


def _content_as_it_was(text: str | None, digest: Digest) -> _Content:
    """Of one that cannot be started: whether it would be right today is not asked."""
    if text is None or jsontext.digest(text) != digest:
        return _Content(None, ())
    match jsontext.reload(text):
        case {"steps": list(steps)}:
            return _Content(text, [sketch(step).name or "" for step in steps])
        case _:
            return _Content(text, ())
