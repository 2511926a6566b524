"""A journal in memory: the same promises as the real ones, for as long as the process lives.

Nothing here awaits, so every call is one indivisible turn of the event loop and needs no lock.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from operator import itemgetter

from coordinator.adapters.event_codec import encode
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import (
    DefinitionInUse,
    DefinitionMoved,
    JournalConflict,
    JournalUnavailable,
    RequestIdTaken,
    SagaNotFound,
    VersionTaken,
)
from coordinator.domain.events import Event, OperatorActed
from coordinator.domain.ids import Digest, FencingToken, RequestId, SagaId
from coordinator.domain.language.registration import (
    Key,
    Registered,
    Registration,
    register,
    retire,
    start,
    take_up_files,
)
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, SagaSummary
from coordinator.ports.journal import (
    SIGNATURES_MAX,
    Alike,
    Census,
    Cursor,
    OpenSaga,
    Quarantine,
    Record,
    Request,
    SagaFilter,
)


@dataclass(slots=True)
class _Store:
    """What outlives one opening of the journal."""

    holder: FencingToken
    records: dict[SagaId, list[Record]] = field(default_factory=dict)
    rows: dict[SagaId, SagaSummary] = field(default_factory=dict)
    requests: dict[tuple[str, RequestId], Request] = field(default_factory=dict)
    definitions: dict[Digest, str] = field(default_factory=dict)
    quarantines: dict[SagaId, Quarantine] = field(default_factory=dict)
    registrations: dict[Key, Registration] = field(default_factory=dict)
    texts: dict[Key, str] = field(default_factory=dict)

    def next_number(self) -> int:
        """That of the next content that is registered."""
        return 1 + max((registration.number for registration in self.registrations.values()), default=0)

    def put(self, registration: Registration, definition: SagaDefinition | None = None) -> None:
        """Keep what is registered now, and its content if that is new."""
        self.registrations[registration.key] = registration
        if definition is not None and definition.digest == registration.digest:
            self.texts[registration.key] = definition.text


class _NoNumbers:
    """Words that need none here."""

    def number(self, text: str) -> int:
        text.encode()  # what cannot be kept elsewhere is not kept here
        return 0

    def text(self, number: object) -> None:
        """There is none."""


class MemoryJournal:
    """Keeps the ports `Journal` and `SagaIndex`; `definitions` keeps the port `DefinitionStore`."""

    def __init__(self) -> None:
        self._kept = _Store(holder=FencingToken(1))
        self._token = FencingToken(1)
        self.definitions = MemoryDefinitions(self._store)

    def reopened(self) -> "MemoryJournal":
        """What a restart finds: the same records under a larger token. This journal is shut out."""
        self._kept.holder = FencingToken(self._kept.holder + 1)
        successor = MemoryJournal()
        successor._kept = self._kept
        successor._token = self._kept.holder
        return successor

    @property
    def token(self) -> FencingToken:
        return self._token

    async def start(
        self,
        request: Request,
        definition: SagaDefinition,
        events: Sequence[Event],
        summary: SagaSummary,
    ) -> Request:
        store = self._store()
        first = store.requests.get((request.front_door, request.request_id))
        if first is not None:
            if first.content != request.content:
                raise RequestIdTaken(request.request_id)
            return first
        if request.saga_id in store.records:
            raise JournalConflict(request.saga_id, 0)
        _check(events, summary, seq_expected=0)
        held = store.registrations.get((definition.name, definition.version))
        after = start(held, definition, at=events[0].at, number=store.next_number())
        if after is None:
            raise DefinitionMoved(definition.name, definition.version)
        store.put(after, definition)
        store.requests[request.front_door, request.request_id] = request
        store.definitions[definition.digest] = definition.text
        store.records[request.saga_id] = []
        self._write(store, events, summary)
        return request

    async def append(
        self, saga_id: SagaId, events: Sequence[Event], *, summary: SagaSummary, seq_expected: int
    ) -> int:
        store = self._store()
        _check(events, summary, seq_expected)
        if seq_expected != len(store.records.get(saga_id, ())) or saga_id not in store.records:
            raise JournalConflict(saga_id, seq_expected)
        if any(isinstance(event, OperatorActed) for event in events):
            store.quarantines.pop(saga_id, None)
        self._write(store, events, summary)
        return summary.seq

    async def history(self, saga_id: SagaId) -> Sequence[Record]:
        records = self._store().records.get(saga_id)
        if records is None:
            raise SagaNotFound(saga_id)
        return list(records)

    async def quarantine(self, quarantine: Quarantine) -> None:
        store = self._store()
        if quarantine.saga_id not in store.rows:
            raise SagaNotFound(quarantine.saga_id)
        # The first reason stays: what came after it came of it.
        store.quarantines.setdefault(quarantine.saga_id, quarantine)

    async def find(self, saga_id: SagaId) -> SagaSummary | None:
        store = self._store()
        row = store.rows.get(saga_id)
        return None if row is None else _shown(store, row)

    async def page(self, condition: SagaFilter, *, after: Cursor | None, limit: int) -> Sequence[SagaSummary]:
        store = self._store()
        # A saga keeps its place among the rows.
        placed = [((row.started_at, number), row) for number, row in enumerate(store.rows.values())]
        if after is not None:
            place = after.started_at, list(store.rows).index(after.saga_id)
            placed = [(its, row) for its, row in placed if its < place]
        shown = ((its, _shown(store, row)) for its, row in placed)
        chosen = nlargest(limit, (pair for pair in shown if _meets(pair[1], condition)), key=itemgetter(0))
        return [row for _, row in chosen]

    async def open_sagas(self) -> Sequence[OpenSaga]:
        store = self._store()
        shown = (_shown(store, row) for row in store.rows.values())
        still_open = (OpenSaga(row.id, row.due_at, row.updated_at) for row in shown if row.status.is_open)
        return sorted(
            still_open, key=lambda saga: (saga.due_at is not None, saga.due_at or 0.0, saga.saga_id)
        )

    async def requested(self, front_door: str, request_id: RequestId) -> Request | None:
        return self._store().requests.get((front_door, request_id))

    async def definition(self, digest: Digest) -> str | None:
        return self._store().definitions.get(digest)

    async def census(self, now: float) -> Census:
        store = self._store()
        rows = [_shown(store, row) for row in store.rows.values()]
        still_open = [row for row in rows if row.status.is_open]
        undoing = [row for row in still_open if row.status is Status.COMPENSATING]
        return Census(
            running=len(still_open) - len(undoing),
            compensating=len(undoing),
            waiting=sum(row.due_at is not None and row.due_at > now for row in still_open),
            dead_letters=sum(row.needs_person for row in rows),
            oldest_open_at=min((row.started_at for row in still_open), default=None),
            oldest_undo_at=min(
                (row.turned_back_at for row in undoing if row.turned_back_at is not None), default=None
            ),
            signatures=_alike(rows),
        )

    def _store(self) -> _Store:
        if self._kept.holder != self._token:
            raise JournalUnavailable("the journal was opened again by somebody else")
        return self._kept

    def _write(self, store: _Store, events: Sequence[Event], summary: SagaSummary) -> None:
        records = store.records[summary.id]
        for seq, event in enumerate(events, start=len(records) + 1):
            records.append(Record(seq, self._token, event))
        store.rows[summary.id] = summary


class MemoryDefinitions:
    """The definitions in a journal in memory."""

    def __init__(self, store: Callable[[], _Store]) -> None:
        self._store = store

    async def take_up_files(
        self, definitions: Sequence[SagaDefinition], *, at: float
    ) -> Sequence[Registered | VersionTaken]:
        store = self._store()
        outcomes, changed = take_up_files(store.registrations, definitions, at=at, number=store.next_number())
        for outcome, definition in zip(outcomes, definitions, strict=True):
            if isinstance(outcome, Registered):
                store.put(outcome.registration, definition)
        for registration in changed:
            store.put(registration)
        return outcomes

    async def register(self, definition: SagaDefinition, *, at: float) -> Registered:
        store = self._store()
        held = store.registrations.get((definition.name, definition.version))
        registered = register(held, definition, at=at, number=store.next_number())
        store.put(registered.registration, definition)
        return registered

    async def retire(
        self, name: str, version: str | None, *, at: float, if_no_open_sagas: bool = False
    ) -> Registration | None:
        store = self._store()
        held = store.registrations.get((name, version))
        if held is None:
            return None
        sagas = (await self.open_sagas()).get(held.key, 0)
        if sagas and if_no_open_sagas:
            raise DefinitionInUse(name, version, sagas)
        store.put(after := retire(held, at=at))
        return after

    async def registrations(self) -> Sequence[Registration]:
        return sorted(self._store().registrations.values(), key=lambda registration: registration.number)

    async def text(self, name: str, version: str | None) -> str | None:
        return self._store().texts.get((name, version))

    async def open_sagas(self) -> Mapping[Key, int]:
        store = self._store()
        rows = (_shown(store, row) for row in store.rows.values())
        return Counter((row.saga_name, row.definition_version) for row in rows if row.status.is_open)


def _check(events: Sequence[Event], summary: SagaSummary, seq_expected: int) -> None:
    if not events or summary.seq != seq_expected + len(events):
        raise ValueError(
            f"saga {summary.id}: {len(events)} events behind {seq_expected} do not end at {summary.seq}"
        )
    # For its refusals: what the real journals cannot keep is not kept here either.
    for event in events:
        encode(event, _NoNumbers())


def _shown(store: _Store, row: SagaSummary) -> SagaSummary:
    quarantine = store.quarantines.get(row.id)
    if quarantine is None:
        return row
    return replace(
        row,
        status=Status.DEAD_LETTERED,
        needs_person=True,
        signature=SET_ASIDE,
        error_message=quarantine.reason,
        updated_at=quarantine.at,
        due_at=None,
    )


def _alike(rows: Iterable[SagaSummary]) -> tuple[Alike, ...]:
    counts = Counter((row.saga_name, row.signature) for row in rows if row.signature is not None)
    alike = [Alike(saga_name, signature, sagas) for (saga_name, signature), sagas in counts.items()]
    alike.sort(key=lambda a: (-a.sagas, a.saga_name, a.signature.step or "", a.signature.cause))
    return tuple(alike[:SIGNATURES_MAX])


def _meets(row: SagaSummary, condition: SagaFilter) -> bool:
    return (
        condition.status in (None, row.status)
        and condition.saga_name in (None, row.saga_name)
        and condition.request_id in (None, row.request_id)
        and condition.needs_person in (None, row.needs_person)
        and (condition.started_from is None or row.started_at >= condition.started_from)
        and (condition.started_before is None or row.started_at < condition.started_before)
    )
