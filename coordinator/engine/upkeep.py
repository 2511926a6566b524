"""Reads the whole journal again and replays every saga, to tell what is not as it must be."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, fields

from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import SagaError, Unavailable
from coordinator.domain.events import SagaStarted
from coordinator.domain.ids import Digest, SagaId
from coordinator.domain.machine import Decision, resume
from coordinator.domain.saga import Status
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.ports.journal import Cursor, Journal, Record, SagaFilter, SagaIndex, Upkeep

SAGAS_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and with which saga; None where it is the store as a whole."""

    saga_id: SagaId | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How far it is: sagas and records read so far, faults found since the last one."""

    sagas: int
    records: int
    faults: tuple[Fault, ...]
    done: bool


async def verify(index: SagaIndex, journal: Journal, upkeep: Upkeep) -> AsyncGenerator[Verified, None]:
    """Read and replay every saga, newest first; sagas go on meanwhile. Ends with `done`.

    Raises:
        Unavailable: the journal cannot be read at all.
    """
    definitions = _Definitions(index)
    sagas = records = 0
    after: Cursor | None = None
    while page := await index.page(SagaFilter(), after=after, limit=SAGAS_PER_PAGE):
        faults: list[Fault] = []
        for row in page:
            count, wrong = await _judge(row, journal, definitions)
            sagas, records = sagas + 1, records + count
            faults += [Fault(row.id, sentence) for sentence in wrong]
        after = Cursor(page[-1].started_at, page[-1].id)
        yield Verified(sagas, records, tuple(faults), done=False)
    whole = tuple(Fault(None, sentence) for sentence in await upkeep.faults())
    yield Verified(sagas, records, whole, done=True)


class _Definitions:
    """Each definition that sagas are pinned to, read once."""

    def __init__(self, index: SagaIndex) -> None:
        self._index = index
        self._known: dict[Digest, SagaDefinition] = {}

    async def get(self, digest: Digest) -> SagaDefinition:
        if digest not in self._known:
            text = await self._index.definition(digest)
            if text is None:
                raise SagaError(f"the definition {digest} that it is pinned to is not in the journal")
            self._known[digest] = parse_definition(text, source=f"the journal's definition {digest}")
        return self._known[digest]


async def _judge(row: SagaSummary, journal: Journal, definitions: _Definitions) -> tuple[int, list[str]]:
    """How many records the saga has, and what is wrong with it."""
    try:
        records = await journal.history(row.id)
        decision = await _replayed(records, row, definitions)
    except Unavailable:
        raise
    except SagaError as error:
        return 0, [str(error)]
    return len(records), _differences(row, summarize(decision, min(row.seq, len(records))), decision)


async def _replayed(records: Sequence[Record], row: SagaSummary, definitions: _Definitions) -> Decision:
    born = records[0].event
    if not isinstance(born, SagaStarted):
        raise SagaError(f"a history begins with SagaStarted, not with {type(born).__name__}")
    definition = await definitions.get(born.definition_digest)
    # An open saga may have moved since its row was read: it is judged as of then.
    return resume(definition, (record.event for record in records[: row.seq]))


def _differences(row: SagaSummary, expected: SagaSummary, decision: Decision) -> list[str]:
    # A saga in quarantine shows its reason in place of what its records say.
    shown = {"status", "needs_person", "error_message", "updated_at", "due_at"}
    set_aside = row.status is Status.DEAD_LETTERED and decision.saga.status is not Status.DEAD_LETTERED
    return [
        f"the saga's row says {field.name} {getattr(row, field.name)!r}, its records say "
        f"{getattr(expected, field.name)!r}"
        for field in fields(SagaSummary)
        if getattr(row, field.name) != getattr(expected, field.name)
        and not (set_aside and field.name in shown)
    ]
