"""Whole sagas as the engine writes them, made by the real machine: for the journal alone, and to fill one.

One is made of each kind; the others are copies of it under ids of their own, which cost next to nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from coordinator.domain import jsontext, machine
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.events import Event, SagaStarted, StepBegun, StepPending, StepSucceeded
from coordinator.domain.ids import RequestId, SagaId
from coordinator.domain.machine import Decision
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.ports.journal import Request
from scripts.bench.orders import SHIPPED

DOOR: Final = "orders"
BEGAN_AT: Final = 1_750_000_000.0
"""Before anything that a coordinator starts now, as in a journal that has grown."""
ASK_AT: Final = 32_503_680_000.0
"""In the year 3000: those that wait have nothing to do."""
_ANSWERED_IN_S: Final = 0.01
_INPUT: Final = (
    '{"items":[{"item_id":"sku-1","quantity":1}],"order_id":"o-1","payment_info":{"amount":'
    '{"currency_code":"EUR","nanos":0,"units":42},"method":"card","token":"tok-1"},"user_id":"u-1"}'
)
_OUTPUT: Final = '{"reference":"r-1"}'
_DIGEST: Final = jsontext.digest(_INPUT)


@dataclass(frozen=True, slots=True)
class Written:
    """What is appended at once, and the row after it."""

    events: Sequence[Event]
    summary: SagaSummary


@dataclass(slots=True)
class History:
    """One saga, as so many writes."""

    definition: SagaDefinition
    writes: list[Written] = field(default_factory=list)
    decision: Decision | None = None

    def write(self, *events: Event) -> None:
        """Let *events* happen, and be written together."""
        for event in events:
            if isinstance(event, SagaStarted):
                self.decision = machine.start(self.definition, event)
            else:
                assert self.decision is not None
                self.decision = machine.decide(self.decision.saga, event)
        assert self.decision is not None
        before = self.writes[-1].summary.seq if self.writes else 0
        self.writes.append(Written(events, summarize(self.decision, before + len(events))))

    def at_once(self) -> Written:
        """All of it, as if it had been one write."""
        return Written([e for written in self.writes for e in written.events], self.writes[-1].summary)


def completed(definition: SagaDefinition) -> History:
    """An order that went well: each answer is written with the beginning of the next step."""
    history, at = _begun(definition), BEGAN_AT
    for step, following in zip(definition.steps, [*definition.steps[1:], None], strict=True):
        at += _ANSWERED_IN_S
        answer = StepSucceeded(at, step.name, 1, _OUTPUT)
        history.write(answer, *([StepBegun(at, following.name)] if following is not None else []))
    return history


def waiting(definition: SagaDefinition) -> History:
    """An order whose first step is pending, for long."""
    history = _begun(definition)
    history.write(StepPending(BEGAN_AT + _ANSWERED_IN_S, definition.steps[0].name, 1, ASK_AT))
    return history


def shipped() -> SagaDefinition:
    return parse_definition(SHIPPED.read_text(), source=SHIPPED.name)


def request(number: int) -> Request:
    """Ids that no other number has."""
    saga_id = SagaId(f"01970000-0000-7000-8000-{number:012x}")
    return Request(DOOR, RequestId(f"f-{number}"), _DIGEST, saga_id)


def renamed(written: Written, request: Request) -> Written:
    """*written* of the saga that *request* names."""
    saga_id, request_id = request.saga_id, request.request_id
    return Written(
        [
            replace(event, saga_id=saga_id, request_id=request_id)
            if isinstance(event, SagaStarted)
            else event
            for event in written.events
        ],
        replace(written.summary, id=saga_id, request_id=request_id),
    )


def _begun(definition: SagaDefinition) -> History:
    history, nobody = History(definition), request(0)
    started = SagaStarted(
        at=BEGAN_AT,
        saga_id=nobody.saga_id,
        saga_name=definition.name,
        definition_digest=definition.digest,
        input=_INPUT,
        front_door=DOOR,
        request_id=nobody.request_id,
    )
    history.write(started, StepBegun(BEGAN_AT, definition.steps[0].name))
    return history
