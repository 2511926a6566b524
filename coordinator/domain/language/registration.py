"""What is registered under a name and a version, and what becomes of that: the one rule, for files and for
callers, and for every store.

A version that a saga was started with keeps its content for good. A definition without a version is a draft:
new content takes its place. Nothing here touches a saga, which is pinned to the digest it began with.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import VersionTaken
from coordinator.domain.ids import Digest
from coordinator.domain.values import frozen

Key = tuple[str, str | None]
"""A name, and a version; None for a draft."""

_DIGITS: Final = re.compile(r"([0-9]+)")


class RegistrationOutcome(StrEnum):
    """What registering a definition came to."""

    CREATED = "CREATED"
    """Nothing was registered under its name and version."""
    REPLACED = "REPLACED"
    """Other content was, of a draft or of a version that no saga was started with."""
    RESTORED = "RESTORED"
    """This content was, and could not be started any more."""
    UNCHANGED = "UNCHANGED"
    """This content was."""


@frozen
class Registration:
    """What is known of one name and version. Moments are seconds since the epoch, UTC."""

    name: str
    version: str | None
    digest: Digest
    number: int
    """Of two, the one whose content was registered later has the larger."""
    registered_at: float
    used_at: float | None = None
    """When the first saga was started with this content."""
    file_digest: Digest | None = None
    """What stands in the file that has this name and version; None where there is no such file."""
    through_api: bool = False
    """Whether a caller registered this content: then it does not need a file."""
    retired_at: float | None = None

    @property
    def key(self) -> Key:
        return self.name, self.version

    @property
    def is_offered(self) -> bool:
        """Whether new sagas may be started with it."""
        return self.retired_at is None and (self.through_api or self.file_digest is not None)


@frozen
class Registered:
    """A registration as it stands, and what it came to."""

    registration: Registration
    outcome: RegistrationOutcome


def register(held: Registration | None, definition: SagaDefinition, *, at: float, number: int) -> Registered:
    """A caller registers *definition*, where *held* is what its name and version hold. It is offered from now
    on, also if it was retired. Content that is new gets *number*.

    Raises:
        VersionTaken: sagas were started with other content of this version.
    """
    made = _content(held, definition, at=at, number=number)
    offered = replace(made, through_api=True, retired_at=None)
    return Registered(offered, _outcome(held, offered))


def take_up_files(
    held: Mapping[Key, Registration], definitions: Sequence[SagaDefinition], *, at: float, number: int
) -> tuple[Sequence[Registered | VersionTaken], Sequence[Registration]]:
    """*definitions* are what stands in files now: what became of each, in their order; and what else changed
    of *held*, since its file is gone, or is back with other content than it keeps.

    New content is numbered from *number* on, in the natural order of versions. A file as it was at the last
    start changes nothing, so that what a caller registered since stays. No file brings back what was retired.
    """
    outcomes: dict[Key, Registered | VersionTaken] = {}
    changed = []
    for definition in sorted(definitions, key=lambda definition: natural(definition.version)):
        key = definition.name, definition.version
        before = held.get(key)
        try:
            made = _content(before, definition, at=at, number=number)
        except VersionTaken as taken:
            outcomes[key] = taken
            if before is not None and before.file_digest is None:
                # What the version keeps is offered all the same: without it, nothing could be started.
                changed.append(replace(before, file_digest=definition.digest))
            continue
        if before is not None and before.file_digest == definition.digest != before.digest:
            outcomes[key] = Registered(before, RegistrationOutcome.UNCHANGED)
            continue
        if made.number == number:
            number += 1
        after = replace(made, file_digest=definition.digest)
        outcomes[key] = Registered(after, _outcome(before, after))
    changed += [
        replace(registration, file_digest=None)
        for key, registration in held.items()
        if registration.file_digest is not None and key not in outcomes
    ]
    return [outcomes[definition.name, definition.version] for definition in definitions], changed


def retire(held: Registration, *, at: float) -> Registration:
    """No new sagas from now on; the first retirement stays the one that counts."""
    return held if held.retired_at is not None else replace(held, retired_at=at)


def start(
    held: Registration | None, definition: SagaDefinition, *, at: float, number: int
) -> Registration | None:
    """A saga is started with *definition*, where *held* is what its name and version hold by now: what they
    hold then. None: it must be chosen again, since it was retired, or its version has other content.

    Also what nobody registered is kept, so that its version cannot get other content later.
    """
    if held is None:
        return Registration(definition.name, definition.version, definition.digest, number, at, used_at=at)
    if held.digest == definition.digest:
        if held.retired_at is not None:
            return None
        return held if held.used_at is not None else replace(held, used_at=at)
    # A draft may have been replaced since this saga's content was chosen: no matter, it is pinned to that.
    return held if held.version is None and held.retired_at is None else None


def newest(registrations: Sequence[Registration]) -> Registration | None:
    """The one that a start gets which names no version."""
    return max(registrations, key=lambda registration: registration.number, default=None)


def natural(version: str | None) -> tuple[str | int, ...]:
    """What versions are ordered by as people count: "10" after "9", and a draft first."""
    parts = _DIGITS.split(version or "")
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))


def _content(
    held: Registration | None, definition: SagaDefinition, *, at: float, number: int
) -> Registration:
    """What the name and version of *definition* hold once that is registered."""
    if held is None:
        return Registration(definition.name, definition.version, definition.digest, number, at)
    if held.digest == definition.digest:
        return held
    if held.version is not None and held.used_at is not None:
        raise VersionTaken(held.name, held.version, held.digest, held.used_at)
    # That a caller registered what was there before says nothing of this content.
    return replace(
        held,
        digest=definition.digest,
        number=number,
        registered_at=at,
        used_at=None,
        through_api=False,
    )


def _outcome(before: Registration | None, after: Registration) -> RegistrationOutcome:
    if before is None:
        return RegistrationOutcome.CREATED
    if before.digest != after.digest:
        return RegistrationOutcome.REPLACED
    return (
        RegistrationOutcome.RESTORED
        if after.is_offered and not before.is_offered
        else RegistrationOutcome.UNCHANGED
    )
