"""A saga: the least there is to know. Status, error text and remaining work are derived from it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto
from typing import Final

from coordinator.domain.definition import OnCompensationFailure, SagaDefinition, StepDefinition
from coordinator.domain.events import OperatorActed
from coordinator.domain.ids import RequestId, SagaId, StepName

SAGA_INPUT_BYTES_MAX: Final = 1 << 20
SAGA_DATA_BYTES_MAX: Final = 3 << 19
"""Of a saga's input and outputs together: every call carries at most all of them, so that no step can
succeed whose undo would be too large to send (participants take 2 MiB)."""


class Status(StrEnum):
    """Where a saga stands."""

    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    COMPENSATED = "COMPENSATED"
    DEAD_LETTERED = "DEAD_LETTERED"
    TERMINATED = "TERMINATED"

    @property
    def is_open(self) -> bool:
        """Whether automatic work is left."""
        return self in (Status.RUNNING, Status.COMPENSATING)

    @property
    def is_final(self) -> bool:
        """Whether nothing can be done to it any more, not even by a person."""
        return self in (Status.COMPLETED, Status.COMPENSATED, Status.TERMINATED)


class Heading(Enum):
    """Which way a saga goes. Backward is for good."""

    FORWARD = auto()
    BACKWARD = auto()


class StepOutcome(Enum):
    """What became of a step's forward transaction."""

    SUCCEEDED = auto()
    REFUSED = auto()
    GIVEN_UP = auto()
    SKIPPED = auto()
    """A person let the saga go on without it: its effect may exist."""


class UndoOutcome(Enum):
    """What became of a step's compensation."""

    COMPENSATED = auto()
    FAILED = auto()
    SKIPPED = auto()
    """A person left the effect in place."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The undoing of one step, from the moment that its first Compensate may be sent."""

    receipt: str | None
    budget_from: float
    failures: int = 0
    lost: int = 0
    pendings: int = 0
    outcome: UndoOutcome | None = None
    due_at: float | None = None
    refused: bool = False
    """Whether it failed by a refusal, which the participant may have stored under the key."""
    round: int = 1
    """Of its key: only an operator's retry of a refusal begins another one."""
    attempts_before: int = 0
    """Those that had been made when an operator last asked for more."""
    by_hand: bool = False

    @property
    def attempt(self) -> int:
        """The number of the attempt that is under way or comes next."""
        return self.attempts_before + self.failures + self.lost + 1


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of one saga. `lost` counts attempts whose answer a restart may have swallowed."""

    definition: StepDefinition
    begun: bool = False
    failures: int = 0
    lost: int = 0
    pendings: int = 0
    outcome: StepOutcome | None = None
    output: str | None = None
    due_at: float | None = None
    undo: Undo | None = None
    by_hand: bool = False
    """Whether a person vouched for its success."""
    waits: int = 0
    """Of those lost, how many were none: a restart came upon a wait, and no call was under way. No rule
    looks at it."""

    @property
    def name(self) -> StepName:
        return self.definition.name

    @property
    def attempt(self) -> int:
        """The number of the attempt that is under way or comes next."""
        return self.failures + self.lost + 1

    @property
    def calls(self) -> int:
        """How many calls have been made, as far as it is known; the one under way is not among them."""
        return self.failures + self.lost - self.waits + self.pendings

    @property
    def needs_undo(self) -> bool:
        """Whether its effect may exist and something can be done about it.

        A refusal proves that nothing was applied only if no other attempt was ever begun. A step without
        a compensation whose outcome is unknown is still compensated, to bar the late Execute.
        """
        if self.undo is not None:
            return True
        if not self.begun:
            return False
        if self.outcome is StepOutcome.REFUSED:
            return self.attempt > 1
        return not (self.outcome is StepOutcome.SUCCEEDED and self.definition.compensation is None)

    @property
    def undo_outcome(self) -> UndoOutcome | None:
        return self.undo.outcome if self.undo is not None else None

    @property
    def is_passed(self) -> bool:
        """Whether a saga going forward goes on behind it."""
        return self.outcome in (StepOutcome.SUCCEEDED, StepOutcome.SKIPPED)

    @property
    def is_forced(self) -> bool:
        """Whether a person, and no participant, decided what became of it."""
        skipped = self.outcome is StepOutcome.SKIPPED or self.undo_outcome is UndoOutcome.SKIPPED
        return skipped or self.by_hand or (self.undo is not None and self.undo.by_hand)


class AbortKind(Enum):
    """Why a saga turned back."""

    REFUSED = auto()
    GIVEN_UP = auto()
    CANCELLED = auto()
    DEADLINE = auto()


@dataclass(frozen=True, slots=True)
class Abort:
    """Why and when a saga turned back, with the words of whoever caused it."""

    kind: AbortKind
    at: float
    step: StepName | None = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Saga:
    """One run of a definition."""

    id: SagaId
    definition: SagaDefinition
    input: str
    front_door: str
    request_id: RequestId
    started_at: float
    updated_at: float
    deadline_at: float | None
    steps: tuple[StepState, ...]
    abort: Abort | None = None
    flags: tuple[str, ...] = field(default=())
    actions: tuple[OperatorActed, ...] = field(default=())
    """What operators did, oldest first: each action id acts once."""
    termination: OperatorActed | None = None
    trace: str = ""
    """As in `SagaStarted`. No rule looks at it."""

    @property
    def heading(self) -> Heading:
        return Heading.FORWARD if self.abort is None else Heading.BACKWARD

    @property
    def status(self) -> Status:
        if self.termination is not None:
            return Status.TERMINATED
        if self.heading is Heading.FORWARD:
            return Status.COMPLETED if self.current is None else Status.RUNNING
        if self.undoing is not None:
            return Status.COMPENSATING
        return Status.DEAD_LETTERED if self.needs_person else Status.COMPENSATED

    @property
    def current(self) -> StepState | None:
        """The step to run next while going forward; None when all are passed."""
        return next((step for step in self.steps if not step.is_passed), None)

    @property
    def undoing(self) -> StepState | None:
        """The step to undo next: the last begun one that is unsettled and not blocked by a failed undo."""
        for step in self._to_undo():
            if step.undo_outcome is None:
                return step
            if step.undo_outcome is UndoOutcome.FAILED and _halts(step):
                return None
        return None

    @property
    def needs_person(self) -> bool:
        """Whether some compensation failed for good, and nobody has decided about it yet."""
        failed = any(step.undo_outcome is UndoOutcome.FAILED for step in self.steps)
        return failed and self.termination is None

    @property
    def is_cancelled(self) -> bool:
        """Whether it turned back because somebody asked for it."""
        return self.abort is not None and self.abort.kind is AbortKind.CANCELLED

    @property
    def forced(self) -> bool:
        """Whether a person decided a part of its outcome."""
        return self.termination is not None or any(step.is_forced for step in self.steps)

    @property
    def data_bytes(self) -> int:
        """How much its input and outputs take, as UTF-8."""
        return len(self.input.encode()) + sum(len(step.output.encode()) for step in self.steps if step.output)

    @property
    def left_standing(self) -> tuple[StepState, ...]:
        """Steps whose undo failed, or is blocked by one that failed; latest first."""
        if self.status is not Status.DEAD_LETTERED:
            return tuple(s for s in self._to_undo() if s.undo_outcome is UndoOutcome.FAILED)
        settled = (UndoOutcome.COMPENSATED, UndoOutcome.SKIPPED)
        return tuple(s for s in self._to_undo() if s.undo_outcome not in settled)

    def step(self, name: StepName) -> StepState:
        """The step called *name*; KeyError where there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def with_step(self, changed: StepState) -> "Saga":
        """This saga with the step of that name replaced."""
        steps = tuple(changed if step.name == changed.name else step for step in self.steps)
        return replace(self, steps=steps)

    def _to_undo(self) -> Iterator[StepState]:
        return (step for step in reversed(self.steps) if step.needs_undo)


def _halts(step: StepState) -> bool:
    return step.definition.on_compensation_failure is OnCompensationFailure.HALT
