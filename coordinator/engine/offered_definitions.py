"""The definitions that new sagas can be started with, each at hand. Nothing here is written or awaited.

Of those that are retired it is known that they are, for whoever asks for one.
"""

from collections.abc import Sequence

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import DefinitionNotFound
from coordinator.domain.language.registration import Key, Registration, newest
from coordinator.domain.language.sentences import listed


class OfferedDefinitions:
    """Each by its name and version, and of each name the one that a start gets which names no version."""

    def __init__(self) -> None:
        self._held: dict[Key, tuple[Registration, SagaDefinition]] = {}
        self._newest: dict[str, SagaDefinition] = {}
        self._retired: dict[Key, Registration] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def all(self) -> Sequence[SagaDefinition]:
        """In the order of lists."""
        return [definition for _, definition in sorted(self._held.values(), key=lambda one: place(one[0]))]

    def get(self, name: str, version: str | None) -> SagaDefinition | None:
        """What a start gets; without *version*, the newest."""
        if version is None:
            return self._newest.get(name)
        return self._held[name, version][1] if (name, version) in self._held else None

    def content(self, registration: Registration) -> SagaDefinition | None:
        """What it holds, if that can be started."""
        held = self._held.get(registration.key)
        return held[1] if held is not None and held[1].digest == registration.digest else None

    def offer(self, registration: Registration, definition: SagaDefinition) -> None:
        """Let sagas be started with it, in place of what had its name and version."""
        self._held[registration.key] = registration, definition
        self._retired.pop(registration.key, None)
        self._choose_newest(registration.name)

    def withdraw(self, retired: Registration) -> None:
        """Let no saga be started with it."""
        self._held.pop(retired.key, None)
        self._retired[retired.key] = retired
        self._choose_newest(retired.name)

    def would_be_newest(self, registration: Registration) -> bool:
        """Whether a start that names no version would get it, if it was offered."""
        return all(one.number <= registration.number for one in self._of(registration.name))

    def not_startable(self, name: str, version: str | None) -> DefinitionNotFound:
        """For whoever would start what `get` does not have: of what was retired, since when."""
        if version is None:
            retired = newest([one for one in self._retired.values() if one.name == name])
        else:
            retired = self._retired.get((name, version))
        if retired is None:
            return self.not_found(name, version)
        return DefinitionNotFound(name, retired.version, self._known(), retired_at=retired.retired_at)

    def not_found(self, name: str, version: str | None) -> DefinitionNotFound:
        """For whoever asks for what is not there."""
        return DefinitionNotFound(name, version, self._known())

    def _known(self) -> str:
        return listed(sorted(label(one) for one, _ in self._held.values()))

    def _choose_newest(self, name: str) -> None:
        chosen = newest(self._of(name))
        if chosen is None:
            self._newest.pop(name, None)
        else:
            self._newest[name] = self._held[chosen.key][1]

    def _of(self, name: str) -> Sequence[Registration]:
        return [one for one, _ in self._held.values() if one.name == name]


def place(registration: Registration) -> tuple[str, int]:
    """Where it stands in lists."""
    return registration.name, registration.number


def label(registration: Registration) -> str:
    """Its name and version, as they stand in sentences."""
    if registration.version is None:
        return registration.name
    return f"{registration.name} (version {registration.version})"
