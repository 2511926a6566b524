"""What happened to a saga, in the past tense: the journal's vocabulary.

An event holds what cannot be derived: time, chance and answers arrive inside it. Times (`at`,
`…_at`) are seconds since the epoch, UTC. Outputs are canonical JSON text.
"""

from enum import StrEnum

from coordinator.domain.ids import ActionId, Digest, RequestId, SagaId, StepName
from coordinator.domain.values import frozen


class Cause(StrEnum):
    """Why an attempt failed."""

    FAULTED = "FAULTED"
    """The participant says: could not now."""
    UNKNOWN = "UNKNOWN"
    """No answer, or a status that may pass: the effect may exist."""
    PERMANENT = "PERMANENT"
    """A status that will not pass by itself: the effect may exist."""
    BROKEN_CONTRACT = "BROKEN_CONTRACT"
    """A malformed, mismatched or oversized answer: the effect may exist."""
    KEY_REUSED = "KEY_REUSED"
    """The participant knows the key with other content."""
    BARRED = "BARRED"
    """The participant says that this step was compensated already."""


class Verb(StrEnum):
    """What an operator may do to a saga."""

    RETRY = "RETRY"
    """Ask the participant again. Without a step: drive on a saga that was set aside."""
    SKIP = "SKIP"
    """Go on without the step."""
    COMPLETE = "COMPLETE"
    """Vouch for the step: going forward its effect stands, undoing it is undone."""
    FAIL = "FAIL"
    """Give the step up now."""
    CANCEL = "CANCEL"
    """Turn the saga back."""
    TERMINATE = "TERMINATE"
    """Stop the saga for good, without undo."""


@frozen
class SagaStarted:
    """The saga was accepted, pinned to the definition with this digest."""

    at: float
    saga_id: SagaId
    saga_name: str
    definition_digest: Digest
    input: str
    front_door: str
    request_id: RequestId
    deadline_at: float | None = None
    trace: str = ""
    """Where the saga is followed from outside, across restarts: a `traceparent` (W3C Trace Context). Empty:
    nowhere."""


@frozen
class SagaResumed:
    """A coordinator took the saga up again: calls under way at that time may have had their effect."""

    at: float


@frozen
class CancelRequested:
    """Somebody turned the saga back."""

    at: float
    reason: str


@frozen
class DeadlinePassed:
    """The saga's ttl ran out while it was going forward. Past the pivot that only makes it overdue."""

    at: float


@frozen
class StepBegun:
    """The step's first Execute is about to be sent; from here on its effect may exist.

    `input` is what the step's mapping yielded, for good; None where it has none, and what it gets follows
    from the records.
    """

    at: float
    step: StepName
    input: str | None = None


@frozen
class PivotBegun(StepBegun):
    """The pivot's first Execute is about to be sent: the decision. From here on only its refusal, or a
    person, turns the saga back."""


@frozen
class StepOmitted:
    """The step's condition was false: nothing is sent, and what depends on it goes on."""

    at: float
    step: StepName


@frozen
class ExpressionFailed:
    """An expression of the definition yielded nothing that can be used. `step` is None for the output.

    `place` is where it stands in the step (or in the definition), as in `input.items[0].sku`; `message` is
    ours and quotes no data.
    """

    at: float
    step: StepName | None
    place: str
    message: str


@frozen
class OutputShaped:
    """Every step is passed, and this is the saga's result."""

    at: float
    output: str


@frozen
class StepSucceeded:
    """The step's effect stands."""

    at: float
    step: StepName
    attempt: int
    output: str


@frozen
class StepRefused:
    """The business says no; nothing was applied by this attempt. Past the pivot a person is needed."""

    at: float
    step: StepName
    attempt: int
    code: str
    message: str


@frozen
class StepPending:
    """Taken on, not done; to be asked again with the same key. Uses up no attempt."""

    at: float
    step: StepName
    attempt: int
    ask_at: float


@frozen
class StepFaulted:
    """The attempt failed. `retry_at` is None where no attempt follows: the step is given up, or past the
    pivot a person is needed."""

    at: float
    step: StepName
    attempt: int
    cause: Cause
    code: str
    message: str
    retry_at: float | None


@frozen
class UndoBegun:
    """The step's first Compensate is about to be sent, with this receipt and input for good.

    `receipt` is the output of the Execute that is undone; None where no answer is known. `input` is what the
    step's mapping for it yielded; None where it has none.
    """

    at: float
    step: StepName
    receipt: str | None
    input: str | None = None


@frozen
class StepCompensated:
    """The step's effect is undone, or never was and can no longer come."""

    at: float
    step: StepName
    attempt: int


@frozen
class UndoRefused:
    """The participant refuses to undo: final, a person is needed."""

    at: float
    step: StepName
    attempt: int
    code: str
    message: str


@frozen
class UndoPending:
    """The undo is taken on, not done; to be asked again with the same key."""

    at: float
    step: StepName
    attempt: int
    ask_at: float


@frozen
class UndoFaulted:
    """The undo attempt failed. `retry_at` is None where the budget is spent: a person is needed."""

    at: float
    step: StepName
    attempt: int
    cause: Cause
    code: str
    message: str
    retry_at: float | None


@frozen
class OperatorActed:
    """A person decided. `step` is None for what concerns the whole saga, `output` for all but a COMPLETE."""

    at: float
    verb: Verb
    action_id: ActionId
    actor: str
    reason: str
    step: StepName | None = None
    output: str | None = None


Event = (
    SagaStarted
    | SagaResumed
    | CancelRequested
    | DeadlinePassed
    | StepBegun
    | PivotBegun
    | StepOmitted
    | ExpressionFailed
    | OutputShaped
    | StepSucceeded
    | StepRefused
    | StepPending
    | StepFaulted
    | UndoBegun
    | StepCompensated
    | UndoRefused
    | UndoPending
    | UndoFaulted
    | OperatorActed
)
