"""A saga: the least there is to know. Status, error text and remaining work are derived from it."""

from dataclasses import field
from enum import Enum, StrEnum, auto
from typing import Final

from coordinator.domain.definition import OnCompensationFailure, SagaDefinition, StepDefinition
from coordinator.domain.events import OperatorActed
from coordinator.domain.ids import RequestId, SagaId, StepName
from coordinator.domain.jsontext import size_bytes
from coordinator.domain.language.graph import places
from coordinator.domain.values import frozen, hand_on, remembered, replace

SAGA_INPUT_BYTES_MAX: Final = 1 << 20
SAGA_DATA_BYTES_MAX: Final = 3 << 19
"""Of a saga's input and outputs together: every call carries at most all of them, so that no step can
succeed whose undo would be too large to send (participants take 2 MiB)."""
SHAPED_BYTES_MAX: Final = 1 << 20
"""Of what a mapping yields."""
CALL_BYTES_MAX: Final = 7 << 18
"""Of a shaped input and an output together, which a Compensate carries."""
SHAPED_INPUTS_BYTES_MAX: Final = 16 << 20
"""Of all that mappings make for a saga's steps, and as much again for their undos: each is journaled and kept
in memory, and a thousand steps could pass on a megabyte each."""


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
        return self in _OPEN

    @property
    def is_final(self) -> bool:
        """Whether nothing can be done to it any more, not even by a person."""
        return self in (Status.COMPLETED, Status.COMPENSATED, Status.TERMINATED)


# To name a member takes a tenth of a microsecond, and these are asked for at every event.
_OPEN: Final = (Status.RUNNING, Status.COMPENSATING)


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
    OMITTED = auto()
    """Its condition was false: nothing was sent."""
    FAILED = auto()
    """Past the pivot, where nothing is undone: it was refused, or its budget is spent. A person is needed."""


_PASSED: Final = (StepOutcome.SUCCEEDED, StepOutcome.SKIPPED, StepOutcome.OMITTED)


class UndoOutcome(Enum):
    """What became of a step's compensation."""

    COMPENSATED = auto()
    FAILED = auto()
    SKIPPED = auto()
    """A person left the effect in place."""


@frozen
class Undo:
    """The undoing of one step, from the moment that its first Compensate may be sent."""

    receipt: str | None
    budget_from: float
    input: str | None = None
    """As in `UndoBegun`."""
    failures: int = 0
    lost: int = 0
    pendings: int = 0
    outcome: UndoOutcome | None = None
    due_at: float | None = None
    refused: bool = False
    """Whether it failed by a refusal, which the participant may have stored under the key."""
    unsendable: str = ""
    """The place and the words of the expression by which it failed, before it could be sent."""
    round: int = 1
    """Of its key: only an operator's retry of a refusal begins another one."""
    attempts_before: int = 0
    """Those that had been made when an operator last asked for more."""
    by_hand: bool = False

    @property
    def attempt(self) -> int:
        """The number of the attempt that is under way or comes next."""
        return self.attempts_before + self.failures + self.lost + 1


@frozen
class StepState:
    """One step of one saga. `lost` counts attempts whose answer a restart may have swallowed, and those that
    a person broke off."""

    definition: StepDefinition
    name: StepName
    """That of its definition. This and its place are asked for at every event."""
    place: int
    """Among the steps of the definition."""
    begun: bool = False
    input: str | None = None
    """As in `StepBegun`."""
    budget_from: float = 0.0
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
    """Of those lost, how many were none: they fell into a wait, and no call was under way. No rule looks at
    it."""
    refused: bool = False
    """Whether it failed past the pivot by a refusal, which its participant has stored under the key."""
    unsendable: str = ""
    """As in `Undo`, past the pivot."""
    round: int = 1
    """Of its key, as in `Undo`."""
    attempts_before: int = 0
    """As in `Undo`."""

    @property
    def attempt(self) -> int:
        """The number of the attempt that is under way or comes next."""
        return self.attempts_before + self.failures + self.lost + 1

    @property
    def calls(self) -> int:
        """How many calls have been made, as far as it is known; the one under way is not among them."""
        return self.attempt - 1 - self.waits + self.pendings

    @remembered
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
        if self.refused:
            return self.attempt > 2  # past the pivot a refusal is counted as a failure
        return not (self.outcome is StepOutcome.SUCCEEDED and self.definition.compensation is None)

    @property
    def may_stand(self) -> bool:
        """Whether its effect may be there, for all that is known."""
        is_undone = self.undo_outcome is UndoOutcome.COMPENSATED and self.definition.compensation is not None
        return (self.needs_undo or self.outcome is StepOutcome.SUCCEEDED) and not is_undone

    @property
    def undo_outcome(self) -> UndoOutcome | None:
        return self.undo.outcome if self.undo is not None else None

    @property
    def is_passed(self) -> bool:
        """Whether a saga going forward goes on behind it."""
        return self.outcome in _PASSED

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
    EXPRESSION = auto()


@frozen
class Abort:
    """Why and when a saga turned back, with the words of whoever caused it."""

    kind: AbortKind
    at: float
    step: StepName | None = None
    code: str = ""
    message: str = ""


@frozen
class Saga:
    """One run of a definition. What is derived is remembered: a saga never changes, it is replaced."""

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
    is_overdue: bool = False
    """Whether its deadline has passed where that turns nothing back: past the pivot."""
    is_shaped: bool = False
    """Whether its output is made, or cannot be made."""
    output: str | None = None
    """As in `OutputShaped`."""
    flags: tuple[str, ...] = field(default=())
    actions: tuple[OperatorActed, ...] = field(default=())
    """What operators did, oldest first: each action id acts once."""
    termination: OperatorActed | None = None
    trace: str = ""
    """As in `SagaStarted`. No rule looks at it."""

    @property
    def heading(self) -> Heading:
        return Heading.FORWARD if self.abort is None else Heading.BACKWARD

    @remembered
    def status(self) -> Status:
        if self.termination is not None:
            return Status.TERMINATED
        if self.abort is not None:
            if self.in_turn:
                return Status.COMPENSATING
            return Status.DEAD_LETTERED if self.needs_person else Status.COMPENSATED
        if self.in_turn or self.awaits_output:
            return Status.RUNNING
        return Status.DEAD_LETTERED if self.needs_person else Status.COMPLETED

    @property
    def is_decided(self) -> bool:
        """Whether it goes forward past its pivot: no deadline, cancel or failure turns it back any more."""
        pivot = self.definition.pivot
        if pivot is None or self.abort is not None:
            return False
        return self.steps[pivot].begun or self.steps[pivot].is_passed

    def is_late(self, at: float) -> bool:
        """Whether its deadline has come at the moment *at*."""
        return self.deadline_at is not None and at >= self.deadline_at

    @remembered
    def in_turn(self) -> tuple[int, ...]:
        """The places of the steps that may be worked on now: of those `reached` while the saga goes forward,
        of the `undoable` once it has turned back."""
        return self._places_reached() if self.abort is None else self._places_undoable()

    @property
    def reached(self) -> tuple[StepState, ...]:
        """The steps that are not settled and wait for no other step, going forward."""
        return tuple(map(self.steps.__getitem__, self.in_turn))

    def _places_reached(self) -> tuple[int, ...]:
        steps, graph = self.steps, self.definition.graph
        open_places, found = 0, []
        for place in graph.order:
            outcome = steps[place].outcome
            if outcome is None:
                if not graph.parents[place] & open_places:
                    found.append(place)
            elif outcome in _PASSED:
                continue
            open_places |= 1 << place
        found.sort()  # as in the definition
        return tuple(found)

    def has_reached(self, step: StepState) -> bool:
        """Whether *step* is one of the `reached` of a saga going forward, without looking at the others."""
        if self.abort is not None or self.termination is not None or step.outcome is not None:
            return False
        for place in places(self.definition.graph.parents[step.place]):
            parent = self.steps[place]
            if parent.outcome not in _PASSED:
                return False
        return True

    @property
    def at_work(self) -> tuple[StepState, ...]:
        """Those of the steps reached that are begun, or are to begin now: not more than may be at a time."""
        reached = self.reached
        if len(reached) <= 1:
            return reached
        # Past the pivot no step has to be undone for being begun, so one that waits takes no other's place.
        is_decided = self.is_decided
        begun = sum(step.begun and not (is_decided and step.due_at) for step in reached)
        room = self.definition.parallel_max - begun
        chosen = []
        for step in reached:
            if step.begun:
                chosen.append(step)
            elif room > 0:
                chosen.append(step)
                room -= 1
        return tuple(chosen)

    @property
    def awaits_output(self) -> bool:
        """Whether all is done but the shaping of its output."""
        has_ended_otherwise = self.abort is not None or self.termination is not None
        if self.definition.output is None or self.is_shaped or has_ended_otherwise:
            return False
        return all(step.is_passed for step in self.steps)

    def may_undo(self, step: StepState) -> bool:
        """Whether *step* is one of the `undoable`, without looking at all the others."""
        if self.abort is None or self.termination is not None:
            return False
        if not step.needs_undo or step.undo_outcome is not None:
            return False
        for place in places(self.definition.graph.descendants[step.place]):
            behind = self.steps[place]
            if _blocks(behind):
                return False
        return True

    @property
    def undoable(self) -> tuple[StepState, ...]:
        """The steps whose undo is not settled and may be asked for now, last ones first: no step that depends
        on them, directly or through others, is still to be undone, or failed to be in a way that halts."""
        return tuple(map(self.steps.__getitem__, self.in_turn))

    def _places_undoable(self) -> tuple[int, ...]:
        steps, graph = self.steps, self.definition.graph
        blocked, found = 0, []
        for place in reversed(graph.order):
            step = steps[place]
            if not _blocks(step):
                continue
            if not blocked >> place & 1 and (step.undo is None or step.undo.outcome is None):
                found.append(place)
            blocked |= graph.ancestors[place]
        return tuple(found)

    @remembered
    def needs_person(self) -> bool:
        """Whether something failed for good, and nobody has decided about it yet."""
        if self.termination is not None:
            return False
        if self.abort is None:
            return bool(self.stuck)
        failed = UndoOutcome.FAILED
        return any(step.undo is not None and step.undo.outcome is failed for step in self.steps)

    @property
    def stuck(self) -> tuple[StepState, ...]:
        """The steps past the pivot that failed for good."""
        if not self.is_decided:
            return ()
        return tuple(step for step in self.steps if step.outcome is StepOutcome.FAILED)

    @property
    def is_cancelled(self) -> bool:
        """Whether it turned back because somebody asked for it."""
        return self.abort is not None and self.abort.kind is AbortKind.CANCELLED

    @property
    def forced(self) -> bool:
        """Whether a person decided a part of its outcome."""
        # Without an action nobody has: of a thousand steps none is looked at for every record.
        return bool(self.actions) and (
            self.termination is not None or any(step.is_forced for step in self.steps)
        )

    @property
    def data_bytes(self) -> int:
        """How much its input and outputs take, as UTF-8."""
        return size_bytes(self.input) + sum([size_bytes(step.output) for step in self.steps if step.output])

    def output_fault(self, step: StepState, output: str) -> str | None:
        """Why *output* is too much for *step*, if it is: its undo or a later step could not be sent."""
        size = size_bytes(output)
        if self.data_bytes + size > SAGA_DATA_BYTES_MAX:
            return f"with this output the saga would hold more than {SAGA_DATA_BYTES_MAX} bytes of data"
        if size + size_bytes(step.input or "") > CALL_BYTES_MAX:
            return f"this output and the step's input take more than {CALL_BYTES_MAX} bytes together"
        return None

    @property
    def left_standing(self) -> tuple[StepState, ...]:
        """Of a saga that turned back, the steps whose undo failed, or is blocked by one that failed; latest
        first."""
        if self.heading is Heading.FORWARD:
            return ()
        last_first = (self.steps[place] for place in reversed(self.definition.graph.order))
        if self.status is not Status.DEAD_LETTERED:
            return tuple(step for step in last_first if step.undo_outcome is UndoOutcome.FAILED)
        settled = (UndoOutcome.COMPENSATED, UndoOutcome.SKIPPED)
        return tuple(step for step in last_first if step.needs_undo and step.undo_outcome not in settled)

    def step(self, name: StepName) -> StepState:
        """The step called *name*; KeyError where there is none."""
        return self.steps[self.definition.positions[name]]

    def with_step(self, changed: StepState, at: float) -> "Saga":
        """This saga with the step in that place replaced, at the moment *at*."""
        steps = list(self.steps)
        before, steps[changed.place] = steps[changed.place], changed
        after = replace(self, steps=tuple(steps), updated_at=at)
        if changed.outcome is before.outcome and changed.undo_outcome is before.undo_outcome:
            hand_on("in_turn", self, after)  # as long as nothing is settled it is the turn of the same steps
        return after


def _blocks(step: StepState) -> bool:
    """Whether what *step* depends on is not to be undone yet: it is to be undone itself, or could not be in a
    way that halts."""
    if step.undo is None:
        return step.needs_undo
    if step.undo.outcome is None:
        return True
    is_failed = step.undo.outcome is UndoOutcome.FAILED
    return is_failed and step.definition.on_compensation_failure is OnCompensationFailure.HALT
