"""Sagas to write into a journal: made by the real machine, so that nothing impossible is stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from coordinator.domain import jsontext, machine
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.events import (
    Cause,
    Event,
    OperatorActed,
    SagaStarted,
    StepBegun,
    StepFaulted,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoRefused,
    Verb,
)
from coordinator.domain.ids import ActionId, RequestId, SagaId, StepName
from coordinator.domain.machine import Decision
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.ports.definitions import DefinitionStore
from coordinator.ports.journal import Journal, Request, SagaIndex

RESERVE = StepName("reserve")
PAY = StepName("pay")
FRONT = "saga.v1.CoordinatorService/StartSaga"


class AnyJournal(Journal, SagaIndex, Protocol):
    """What every journal of ours is: its ports in one."""

    @property
    def definitions(self) -> DefinitionStore: ...


def a_definition(name: str = "Order") -> SagaDefinition:
    steps = [
        {"service": "Stock", "transaction": RESERVE, "compensation": "release"},
        {"service": "Funds", "transaction": PAY, "compensation": "refund"},
    ]
    text = jsontext.canonical({"sagaName": name, "steps": steps})  # type: ignore[dict-item]  # str is invariant there
    return parse_definition(text, source=name)


ORDER = a_definition()


@dataclass
class Told:
    """A saga as its engine tells it to a journal: what is begun here is only durable after `start`."""

    id: SagaId
    request_id: RequestId
    definition: SagaDefinition = ORDER
    at: float = 1_000.0
    content: str = '{"definition":null,"input":{"item":"sku-1"}}'
    front_door: str = FRONT
    deadline_at: float | None = None
    events: list[Event] = field(default_factory=list)
    decision: Decision = field(init=False)

    def __post_init__(self) -> None:
        started = SagaStarted(
            at=self.at,
            saga_id=self.id,
            saga_name=self.definition.name,
            definition_digest=self.definition.digest,
            input='{"item":"sku-1"}',
            front_door=self.front_door,
            request_id=self.request_id,
            deadline_at=self.deadline_at,
        )
        self.events = [started]
        self.decision = machine.start(self.definition, started)

    @property
    def request(self) -> Request:
        content = jsontext.digest(self.content)
        return Request(self.front_door, self.request_id, content, self.id)

    @property
    def seq(self) -> int:
        return len(self.events)

    @property
    def summary(self) -> SagaSummary:
        return summarize(self.decision, self.seq)

    def happens(self, *events: Event) -> Sequence[Event]:
        """Fold *events* into the saga, without telling a journal."""
        for event in events:
            self.decision = machine.decide(self.decision.saga, event)
            self.events.append(event)
        return events

    async def start(self, journal: AnyJournal) -> Request:
        return await journal.start(self.request, self.definition, self.events, self.summary)

    async def goes_on(self, journal: AnyJournal, *events: Event) -> int:
        before = self.seq
        self.happens(*events)
        return await journal.append(self.id, events, summary=self.summary, seq_expected=before)


def a_saga(name: str = "1", at: float = 1_000.0, definition: SagaDefinition = ORDER) -> Told:
    return Told(SagaId(f"saga-{name}"), RequestId(f"request-{name}"), definition, at)


def reserved(at: float = 1_001.0) -> Sequence[Event]:
    """The first step succeeds."""
    return StepBegun(at, RESERVE), StepSucceeded(at, RESERVE, 1, '{"place":7}')


def completed(at: float = 1_002.0) -> Sequence[Event]:
    """Everything succeeds."""
    return *reserved(at), StepBegun(at, PAY), StepSucceeded(at, PAY, 1, "{}")


def retried_at(retry_at: float, at: float = 1_001.0) -> Sequence[Event]:
    """The first step failed and is to be tried again at that moment."""
    return (
        StepBegun(at, RESERVE),
        StepFaulted(at, RESERVE, 1, Cause.FAULTED, "BUSY", "come again", retry_at),
    )


def dead_lettered(at: float = 1_002.0) -> Sequence[Event]:
    """Payment is refused, and the undo of the first step too."""
    return (
        *reserved(at),
        StepBegun(at, PAY),
        StepRefused(at, PAY, 1, "NO_FUNDS", "the card is empty"),
        UndoBegun(at, RESERVE, '{"place":7}'),
        UndoRefused(at, RESERVE, 1, "GONE", "there is no such place"),
    )


def acted(verb: Verb, step: StepName | None = None, at: float = 1_600.0) -> OperatorActed:
    """A person decides about the saga, or about one step of it."""
    output = "{}" if verb is Verb.COMPLETE else None
    return OperatorActed(at, verb, ActionId(f"{verb} at {at}"), "ada", "she looked at it", step, output)
