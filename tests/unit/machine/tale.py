"""A saga told event by event, for tests of the pure machine.

After every event the replayed history must say what the decisions said: no test here can forget it.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from coordinator.domain.commands import Command, Compensate, Invoke
from coordinator.domain.definition import (
    CompensationRetryPolicy,
    OnCompensationFailure,
    RetryPolicy,
    SagaDefinition,
    StepDefinition,
    StepKind,
)
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    SagaResumed,
    SagaStarted,
    StepBegun,
    UndoBegun,
)
from coordinator.domain.ids import RequestId, SagaId, StepName
from coordinator.domain.machine import Decision, decide, resume, start
from coordinator.domain.outcomes import Answer, Faulted, NoProof, Pending, Refused, Succeeded, Unproved
from coordinator.domain.saga import Saga, Status, StepState, Undo
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.domain.verdicts import verdict

BORN_AT: Final = 1_000.0

DONE: Final = Succeeded("{}")
REFUSAL: Final = Refused("OUT_OF_STOCK", "sku-1 is sold out")
FAULT: Final = Faulted("BUSY", "come back later", None)
PENDING: Final = Pending(5.0)
SILENCE: Final = NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")
PERMANENT: Final = NoProof(Unproved.PERMANENT, "UNAUTHENTICATED", "who are you?")


def step(
    name: str,
    *,
    undo: str | None = "",
    attempts_max: int = 3,
    on_failure: Literal["halt", "continue"] = "halt",
    budget_s: float = 100.0,
    timeout_s: float = 10.0,
    depends_on: Sequence[str] | None = None,
    kind: StepKind = StepKind.COMPENSATABLE,
    **others: Any,
) -> StepDefinition:
    """A step whose waits are 1, 2, 4, … 8 s in both directions; `undo` is `undo_<name>` unless given. A pivot or
    a retriable one is tried for *budget_s*, without a limit of attempts."""
    is_lasting = kind is not StepKind.COMPENSATABLE
    return StepDefinition(
        service=f"{name}_service",
        transaction=f"do_{name}",
        compensation=f"undo_{name}" if undo == "" else undo,
        name=StepName(name),
        timeout_s=timeout_s,
        depends_on=None if depends_on is None else tuple(map(StepName, depends_on)),
        kind=kind,
        retry=RetryPolicy(
            max_attempts=None if is_lasting else attempts_max,
            initial_backoff_s=1.0,
            max_backoff_s=8.0,
            budget_s=budget_s if is_lasting else None,
        ),
        compensation_retry=CompensationRetryPolicy(
            initial_backoff_s=1.0, max_backoff_s=8.0, budget_s=budget_s
        ),
        on_compensation_failure=OnCompensationFailure(on_failure),
        **others,
    )


def define(*steps: str | StepDefinition, ttl_s: float | None = None) -> SagaDefinition:
    """A saga of these steps; a name alone stands for `step(name)`."""
    return SagaDefinition(
        name="Order", ttl_s=ttl_s, steps=tuple(step(s) if isinstance(s, str) else s for s in steps)
    )


def born(definition: SagaDefinition, saga_id: str = "saga-1") -> SagaStarted:
    return SagaStarted(
        at=BORN_AT,
        saga_id=SagaId(saga_id),
        saga_name=definition.name,
        definition_digest=definition.digest,
        input='{"n":1}',
        front_door="test",
        request_id=RequestId(f"request of {saga_id}"),
        deadline_at=None if definition.ttl_s is None else BORN_AT + definition.ttl_s,
    )


class Tale:
    """What happens to one saga. Each verb returns the tale, so that a sentence can go on."""

    def __init__(self, definition: SagaDefinition) -> None:
        self.definition = definition
        self.now = BORN_AT
        self.decision: Decision = start(definition, born(definition))
        self.history: list[Event] = [born(definition)]

    @property
    def saga(self) -> Saga:
        return self.decision.saga

    @property
    def status(self) -> Status:
        return self.saga.status

    @property
    def summary(self) -> SagaSummary:
        return summarize(self.decision, len(self.history))

    @property
    def next(self) -> Command | None:
        """What is to be done next, if anything is."""
        commands = self.decision.commands
        assert len(commands) <= 1
        return commands[0] if commands else None

    @property
    def due_in_s(self) -> float | None:
        assert self.next is not None
        return None if self.next.due_at is None else self.next.due_at - self.now

    def step(self, name: str) -> StepState:
        return self.saga.step(StepName(name))

    def undo(self, name: str) -> Undo:
        undo = self.step(name).undo
        assert undo is not None
        return undo

    def happens(self, event: Event) -> "Tale":
        self.decision = decide(self.saga, event)
        self.history.append(event)
        assert resume(self.definition, self.history) == self.decision
        return self

    def waits(self, seconds: float) -> "Tale":
        self.now += seconds
        return self

    def begins(self) -> "Tale":
        """What is next is about to be sent for the first time."""
        match self.next:
            case Invoke(step=name):
                return self.happens(StepBegun(self.now, name))
            case Compensate(step=name):
                return self.happens(UndoBegun(self.now, name, self.step(name).output))
        raise AssertionError("nothing is left to begin")

    def is_answered(self, answer: Answer, *, draw: float = 0.5, call: Command | None = None) -> "Tale":
        """The participant answers *call*, by default the one that is next."""
        command = call or self.next
        assert command is not None
        event = verdict(self.saga, command, answer, at=self.now, draw=draw)
        assert event is not None
        return self.happens(event)

    def does(self, *outputs: str) -> "Tale":
        """As many steps begin and succeed, with these outputs."""
        for output in outputs:
            self.begins().is_answered(Succeeded(output))
        return self

    def fails(self, answer: Answer = REFUSAL) -> "Tale":
        """The next thing begins and is answered *answer*."""
        return self.begins().is_answered(answer)

    def is_cancelled(self, reason: str = "") -> "Tale":
        return self.happens(CancelRequested(self.now, reason))

    def runs_out_of_time(self) -> "Tale":
        assert self.saga.deadline_at is not None
        self.now = max(self.now, self.saga.deadline_at)
        return self.happens(DeadlinePassed(self.now))

    def is_resumed(self) -> "Tale":
        return self.happens(SagaResumed(self.now))

    def undoes_what_is_left(self) -> Sequence[str]:
        """Every undo that comes next succeeds; their order."""
        order = []
        while isinstance(self.next, Compensate):
            order.append(self.next.step)
            if self.step(self.next.step).undo is None:
                self.begins()
            self.is_answered(DONE)
        return order
