"""A saga told event by event, for tests of the pure machine.

After every event the replayed history must say what the decisions said: no test here can forget it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NoReturn

from coordinator.domain.commands import Command, Compensate
from coordinator.domain.definition import (
    CompensationRetryPolicy,
    OnCompensationFailure,
    RetryPolicy,
    SagaDefinition,
    StepDefinition,
    StepKind,
)
from coordinator.domain.errors import NotEvaluated
from coordinator.domain.events import CancelRequested, DeadlinePassed, Event, SagaResumed, SagaStarted
from coordinator.domain.ids import RequestId, SagaId, StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Effort
from coordinator.domain.machine import Decision, decide, resume, start
from coordinator.domain.outcomes import Answer, Faulted, NoProof, Pending, Refused, Succeeded, Unproved
from coordinator.domain.saga import Saga, Status, StepState, Undo
from coordinator.domain.shaping import first_call, omitted, shaped_output
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.domain.verdicts import verdict

BORN_AT: Final = 1_000.0
INPUT: Final = '{"n":1}'

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
    """A step whose waits are 1, 2, 4, … 8 s in both directions; `undo` is `undo_<name>` unless given. A pivot
    or a retriable one is tried for *budget_s*, without a limit of attempts."""
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


def pivot(name: str, **others: Any) -> StepDefinition:
    return step(name, kind=StepKind.PIVOT, **others)


def retriable(name: str, **others: Any) -> StepDefinition:
    """One with nothing to undo, since it never is."""
    return step(name, kind=StepKind.RETRIABLE, **{"undo": None, **others})


def define(*steps: str | StepDefinition, ttl_s: float | None = None, **others: Any) -> SagaDefinition:
    """A saga of these steps; a name alone stands for `step(name)`."""
    return SagaDefinition(
        name="Order", ttl_s=ttl_s, steps=tuple(step(s) if isinstance(s, str) else s for s in steps), **others
    )


def only_paths(source: str, variables: Mapping[str, JsonValue], effort: Effort) -> NoReturn:
    """Stands for CEL where expressions are plain paths, which are walked without it."""
    raise NotEvaluated("this needs CEL")


def follows(saga: Saga, at: float) -> Event | None:
    """What happens next without anybody being asked: a step is omitted, the output is made, or an expression
    for that fails."""
    if saga.awaits_output:
        return shaped_output(saga, only_paths, at)
    if saga.status is not Status.RUNNING:
        return None
    conditions = (omitted(saga, step, only_paths, at) for step in saga.at_work if not step.begun)
    return next((event for event in conditions if event is not None), None)


def born(definition: SagaDefinition, saga_id: str = "saga-1", *, saga_input: str = INPUT) -> SagaStarted:
    return SagaStarted(
        at=BORN_AT,
        saga_id=SagaId(saga_id),
        saga_name=definition.name,
        definition_digest=definition.digest,
        input=saga_input,
        front_door="test",
        request_id=RequestId(f"request of {saga_id}"),
        deadline_at=None if definition.ttl_s is None else BORN_AT + definition.ttl_s,
    )


class Tale:
    """What happens to one saga. Each verb returns the tale, so that a sentence can go on."""

    def __init__(self, definition: SagaDefinition, saga_input: str = INPUT) -> None:
        self.definition = definition
        self.now = BORN_AT
        started = born(definition, saga_input=saga_input)
        self.decision: Decision = start(definition, started)
        self.history: list[Event] = [started]

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
    def at_hand(self) -> list[str]:
        """The steps about which something is to be done, now or when it is due."""
        return [command.step for command in self.decision.commands]

    def call(self, name: str | None = None) -> Command:
        """What is to be done about the step called *name*, or the only thing that is."""
        found = [command for command in self.decision.commands if name in (None, command.step)]
        assert len(found) == 1, f"to be done about {name}: {found}"
        return found[0]

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
        resumed = resume(self.definition, self.history)
        assert (resumed, resumed.commands) == (self.decision, self.decision.commands)
        return self

    def waits(self, seconds: float) -> "Tale":
        self.now += seconds
        return self

    def begins(self, *names: str) -> "Tale":
        """What is next, or each of these in turn, is about to be sent for the first time."""
        for name in names or (None,):
            event = first_call(self.saga, self.call(name), only_paths, self.now)
            assert event is not None, f"{name or 'what is next'} was begun before"
            self.happens(event)
        return self

    def settles(self) -> "Tale":
        """All that follows without anybody being asked happens."""
        while (event := follows(self.saga, self.now)) is not None:
            self.happens(event)
        return self

    def is_answered(
        self, answer: Answer, *, of: str | None = None, draw: float = 0.5, call: Command | None = None
    ) -> "Tale":
        """The participant answers *call*, by default what is to be done about the step *of*, or next."""
        event = verdict(self.saga, call or self.call(of), answer, at=self.now, draw=draw)
        assert event is not None
        return self.happens(event)

    def passes(self, *names: str) -> "Tale":
        """Each of these begins, unless it has, and succeeds, or is undone; its output is its name."""
        for name in names:
            if first_call(self.saga, self.call(name), only_paths, self.now) is not None:
                self.begins(name)
            self.is_answered(Succeeded(f'"{name}"'), of=name)
        return self

    def does(self, *outputs: str) -> "Tale":
        """As many steps begin and succeed, with these outputs."""
        for output in outputs:
            self.begins().is_answered(Succeeded(output))
        return self

    def fails(self, answer: Answer = REFUSAL, *, of: str | None = None) -> "Tale":
        """The next thing, or what is to be done about the step *of*, begins and is answered *answer*."""
        return self.begins(*[of] if of else []).is_answered(answer, of=of)

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
