"""The journal and the reads over it. What is not in the journal did not happen."""

from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Final, Protocol

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.events import Event
from coordinator.domain.ids import Digest, FencingToken, RequestId, SagaId
from coordinator.domain.saga import Status
from coordinator.domain.summary import SagaSummary, Signature
from coordinator.domain.values import frozen

SIGNATURES_MAX: Final = 100
"""In a census. Whoever has more things broken at once starts with the largest of them."""


@frozen
class Record:
    """One journal record: its number in the saga (from 1), who wrote it, what happened."""

    seq: int
    token: FencingToken
    event: Event


@frozen
class Request:
    """A request id taken through one front door. `content` is a digest of what was asked."""

    front_door: str
    request_id: RequestId
    content: Digest
    saga_id: SagaId


@frozen
class Quarantine:
    """A saga that cannot be driven: its record is damaged, or driving it failed by a bug of ours."""

    saga_id: SagaId
    reason: str
    at: float


@frozen
class OpenSaga:
    """A saga with automatic work left, when that is due (None: now), and the time of its newest record."""

    saga_id: SagaId
    due_at: float | None
    updated_at: float


@frozen
class Alike:
    """How many sagas of one definition need a person for the same thing."""

    saga_name: str
    signature: Signature
    sagas: int


@frozen
class Census:
    """How many sagas there are of each sort. Moments are seconds since the epoch, UTC."""

    running: int
    compensating: int
    waiting: int
    """Of those two: their next work is due later."""
    dead_letters: int
    """All that need a person, those that still undo something among them."""
    oldest_open_at: float | None
    """When the oldest open saga was started; None where none is open."""
    oldest_undo_at: float | None
    """When the COMPENSATING saga turned back that did so first; None where none undoes."""
    signatures: tuple[Alike, ...]
    """Those that need a person by what they need one for: the SIGNATURES_MAX that are most, these first;
    as many of one as of another: by the saga's name, then by the step."""


@frozen
class Piece:
    """Some bytes of a copy of the journal, and how many there are in all."""

    data: bytes
    total_bytes: int


@frozen
class SagaFilter:
    """Which sagas a list shows: all conditions that are not None hold."""

    status: Status | None = None
    saga_name: str | None = None
    request_id: RequestId | None = None
    needs_person: bool | None = None
    started_from: float | None = None
    """Inclusive, seconds since the epoch."""
    started_before: float | None = None
    """Exclusive."""


@frozen
class Cursor:
    """Where a page ends. Lists are ordered by `started_at`, newest first; of one moment, who was written last
    comes first."""

    started_at: float
    saga_id: SagaId


class Journal(Protocol):
    """The append-only history of every saga. Only the process that holds it writes it."""

    @property
    def token(self) -> FencingToken:
        """Larger than every token under which anything was written to this journal before it was opened."""
        ...

    def start(
        self,
        request: Request,
        definition: SagaDefinition,
        events: Sequence[Event],
        summary: SagaSummary,
    ) -> Awaitable[Request]:
        """Make a saga durable: its request id, its definition, its first *events*, its row; all or none.

        Returns *request*, or the one that took the request id first with the same content: then nothing
        was written, and the caller joins that saga.

        Raises:
            RequestIdTaken: the request id was taken with other content; nothing was written.
            DefinitionMoved: the definition was retired, or its version has other content by now; nothing was
                written.
            Overloaded: the disk is nearly full; nothing was written.
            JournalUnavailable: the store failed; the saga may or may not be durable.
        """
        ...

    def append(
        self, saga_id: SagaId, events: Sequence[Event], *, summary: SagaSummary, seq_expected: int
    ) -> Awaitable[int]:
        """Make *events* and the row *summary* durable, all or none, before any command they imply is run.

        An `OperatorActed` among them lifts the saga's quarantine, in the same write.

        Returns the number of the last event; numbers start at 1. *summary*.seq is that number.

        Raises:
            JournalConflict: the saga's newest record is not number *seq_expected*.
            JournalCorrupt: the store has records of this saga behind that number; nothing was written.
            ValueError: *events* cannot be kept, or their numbers do not end at *summary*.seq.
            JournalUnavailable: the store failed; the events may or may not be durable.
        """
        ...

    async def history(self, saga_id: SagaId) -> Sequence[Record]:
        """All durable records of a saga, oldest first, their chain of digests verified.

        Raises:
            SagaNotFound: no saga has this id.
            JournalCorrupt: a record is damaged, missing, or not of this saga.
            JournalUnavailable: the store failed.
        """
        ...

    async def quarantine(self, quarantine: Quarantine) -> None:
        """Show the saga as DEAD_LETTERED with this reason, and leave its records as they are.

        The first reason stays, since what came after it came of it.

        Raises:
            SagaNotFound: no saga has this id.
            JournalUnavailable: the store failed; the reason may or may not be durable.
        """
        ...


class SagaIndex(Protocol):
    """Reads of durable rows. Short, indexed, and never in the writer's way.

    Each raises `JournalDamaged` where a part of the store that it needs cannot be read, and
    `JournalUnavailable` where the store failed.
    """

    async def find(self, saga_id: SagaId) -> SagaSummary | None:
        """The saga's row; a quarantined saga's has status DEAD_LETTERED and the reason as error_message.

        Raises:
            JournalCorrupt: the row is damaged, or that of another saga.
        """
        ...

    async def page(self, condition: SagaFilter, *, after: Cursor | None, limit: int) -> Sequence[SagaSummary]:
        """At most *limit* rows, newest first, that come behind *after*.

        One that cannot be read is there as that of a saga that was set aside, with what can be read of it.

        Raises:
            Overloaded: the list took too long and was stopped; ask for less of it.
        """
        ...

    async def open_sagas(self) -> Sequence[OpenSaga]:
        """Every saga with automatic work left, earliest due first (None before all)."""
        ...

    async def requested(self, front_door: str, request_id: RequestId) -> Request | None:
        """Who took this request id, if anybody did."""
        ...

    async def definition(self, digest: Digest) -> str | None:
        """The text of a definition that some saga is pinned to.

        Raises:
            JournalCorrupt: it is damaged.
        """
        ...

    async def census(self, now: float) -> Census:
        """How many sagas there are of each sort at the moment *now*.

        Raises:
            Overloaded: it took too long and was stopped.
        """
        ...


class Upkeep(Protocol):
    """Care for the store as a whole, while it is in use."""

    def backup(self) -> AsyncGenerator[Piece, None]:
        """A consistent copy of the journal, in pieces of at most 1 MiB, while writing goes on.

        Closing the generator early leaves nothing behind. There is one copy at a time, until it is read.

        Raises:
            Overloaded: another copy is being made or read; nothing waits for it.
            JournalNotWhole: the copy could not be made; the message says why.
        """
        ...

    async def faults(self) -> Sequence[str]:
        """What the store itself finds wrong with its files, in sentences; the records are not judged."""
        ...
