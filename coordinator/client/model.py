"""What a client sends and sees, as plain values: the protos' fields under the protos' names.

Enums are words, times are aware datetimes in UTC, and nothing here knows gRPC. A value that a newer
coordinator sends and this client does not know becomes UNSPECIFIED.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple


class SagaStatus(StrEnum):
    """Where a saga stands."""

    UNSPECIFIED = "UNSPECIFIED"
    RUNNING = "RUNNING"
    """Going forward: some step has not yet succeeded."""
    COMPENSATING = "COMPENSATING"
    """Turned back: the effects of begun steps are being undone."""
    COMPLETED = "COMPLETED"
    """Ended: every step succeeded."""
    COMPENSATED = "COMPENSATED"
    """Ended: every effect was undone."""
    DEAD_LETTERED = "DEAD_LETTERED"
    """No automatic work is left, and a person has to look at it."""
    TERMINATED = "TERMINATED"
    """Ended: an operator stopped it without undo."""

    @property
    def rests(self) -> bool:
        """Whether no automatic work is left."""
        return self in (
            SagaStatus.COMPLETED,
            SagaStatus.COMPENSATED,
            SagaStatus.DEAD_LETTERED,
            SagaStatus.TERMINATED,
        )


class StepStatus(StrEnum):
    """Where one step of a saga stands."""

    UNSPECIFIED = "UNSPECIFIED"
    NOT_BEGUN = "NOT_BEGUN"
    """Nothing has been sent: there is nothing to undo."""
    BEGUN = "BEGUN"
    """Its Execute was sent, and no final answer is known: the effect may exist."""
    SUCCEEDED = "SUCCEEDED"
    """Its effect stands."""
    REFUSED = "REFUSED"
    """The participant said no, and nothing was applied."""
    GIVEN_UP = "GIVEN_UP"
    """Given up without proof: the effect may exist and is to be undone."""
    UNDOING = "UNDOING"
    """Its Compensate was sent and is not settled."""
    COMPENSATED = "COMPENSATED"
    """Its effect was undone (or never was, and can no longer come)."""
    UNDO_FAILED = "UNDO_FAILED"
    """Its compensation failed for good: a person has to look at it."""
    SKIPPED = "SKIPPED"
    """An operator let the saga go on without it: its effect may exist."""
    UNDO_SKIPPED = "UNDO_SKIPPED"
    """An operator left its effect in place: it is not undone."""
    OMITTED = "OMITTED"
    """Its condition was false: nothing was sent, and what depends on it went on."""
    FAILED = "FAILED"
    """Past the pivot, where nothing is undone, it failed for good: a person has to look at it."""


class StepKind(StrEnum):
    """What a step is to the saga's decision."""

    UNSPECIFIED = "UNSPECIFIED"
    COMPENSATABLE = "COMPENSATABLE"
    """It comes before the decision and can be undone."""
    PIVOT = "PIVOT"
    """It is the decision: once it is begun, only its refusal turns the saga back."""
    RETRIABLE = "RETRIABLE"
    """It comes after the decision and is repeated until it succeeds."""


class StandingReason(StrEnum):
    """Why an effect stays when all that can be undone is undone."""

    UNSPECIFIED = "UNSPECIFIED"
    NO_COMPENSATION = "NO_COMPENSATION"
    """The definition names nothing that undoes it."""
    PAST_PIVOT = "PAST_PIVOT"
    """The saga is past its pivot, or has completed: nothing is undone any more."""
    UNDO_FAILED = "UNDO_FAILED"
    """Its undo failed for good: a person has to look at it."""
    BLOCKED = "BLOCKED"
    """Its undo waits behind one that failed for good."""
    BY_HAND = "BY_HAND"
    """An operator left it in place, or ended the saga."""
    EXPRESSION = "EXPRESSION"
    """The input of its undo cannot be made: an expression fails."""


class EventType(StrEnum):
    """What happened, in the journal's vocabulary."""

    UNSPECIFIED = "UNSPECIFIED"
    SAGA_STARTED = "SAGA_STARTED"
    SAGA_RESUMED = "SAGA_RESUMED"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    STEP_BEGUN = "STEP_BEGUN"
    STEP_SUCCEEDED = "STEP_SUCCEEDED"
    STEP_REFUSED = "STEP_REFUSED"
    STEP_PENDING = "STEP_PENDING"
    STEP_FAULTED = "STEP_FAULTED"
    UNDO_BEGUN = "UNDO_BEGUN"
    STEP_COMPENSATED = "STEP_COMPENSATED"
    UNDO_REFUSED = "UNDO_REFUSED"
    UNDO_PENDING = "UNDO_PENDING"
    UNDO_FAULTED = "UNDO_FAULTED"
    OPERATOR_ACTED = "OPERATOR_ACTED"
    PIVOT_BEGUN = "PIVOT_BEGUN"
    STEP_OMITTED = "STEP_OMITTED"
    EXPRESSION_FAILED = "EXPRESSION_FAILED"
    OUTPUT_SHAPED = "OUTPUT_SHAPED"


class OperatorVerb(StrEnum):
    """What an operator may do."""

    UNSPECIFIED = "UNSPECIFIED"
    RETRY = "RETRY"
    """Ask the participant again."""
    SKIP = "SKIP"
    """Go on without the step."""
    COMPLETE = "COMPLETE"
    """Vouch for the step."""
    FAIL = "FAIL"
    """Give the step up."""
    CANCEL = "CANCEL"
    """Turn the saga back."""
    TERMINATE = "TERMINATE"
    """Stop the saga without undo."""


class OrderStatus(StrEnum):
    """What became of an order."""

    UNSPECIFIED = "UNSPECIFIED"
    SUCCESS = "SUCCESS"
    """The order stands, everywhere."""
    FAILED = "FAILED"
    """The order does not stand: it is undone, or `saga_status` DEAD_LETTERED says that a person finishes
    that. The order_id is used up."""


class DefinitionSource(StrEnum):
    """Where a definition comes from."""

    UNSPECIFIED = "UNSPECIFIED"
    FILE = "FILE"
    """From a file alone: without that it cannot be started at the coordinator's next start."""
    API = "API"
    """A caller registered it, whatever stands in files."""


class DefinitionState(StrEnum):
    """Whether new sagas can be started with a definition."""

    UNSPECIFIED = "UNSPECIFIED"
    STARTABLE = "STARTABLE"
    RETIRED = "RETIRED"
    UNAVAILABLE = "UNAVAILABLE"
    """Its file is gone, or it is not right for this coordinator any more; or only sagas are pinned to it."""


class RegistrationOutcome(StrEnum):
    """What registering a definition came to."""

    UNSPECIFIED = "UNSPECIFIED"
    CREATED = "CREATED"
    REPLACED = "REPLACED"
    """It took the place of a draft, or of a version that no saga was started with."""
    RESTORED = "RESTORED"
    """It could not be started any more, and can be now."""
    UNCHANGED = "UNCHANGED"


class ParticipantState(StrEnum):
    """Whether a participant answers."""

    UNSPECIFIED = "UNSPECIFIED"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    """It answers, and says that it does not serve."""
    UNREACHABLE = "UNREACHABLE"
    """It did not answer."""
    UNKNOWN_ADDRESS = "UNKNOWN_ADDRESS"
    """No address is set for it."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: *units* whole ones of an ISO 4217 currency, and *nanos* billionths of one."""

    currency_code: str
    units: int
    nanos: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an order."""

    item_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Payment:
    """How an order is paid. The token is sent, and never shown."""

    method: str
    token: str = field(repr=False)
    amount: Money


@dataclass(frozen=True, slots=True)
class Order:
    """What became of an order."""

    order_id: str
    status: OrderStatus
    error_message: str
    """Why it failed, and whether its undo needs a person; empty on success."""
    saga_id: str
    saga_status: SagaStatus


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """One action of an operator, as the journal keeps it."""

    verb: OperatorVerb
    action_id: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One record of a saga's journal."""

    seq: int
    """Its number in the saga's journal: 1, 2, 3 …"""
    time: datetime
    type: EventType
    step: str = ""
    """Empty for what concerns the whole saga."""
    attempt: int = 0
    """The attempt that was answered; 0 where there is none."""
    code: str = ""
    """The participant's refusal code, the gRPC status or reason of a failed attempt, or the place of an
    expression that failed."""
    message: str = ""
    """What the participant, or whoever cancelled, said about it."""
    retry_time: datetime | None = None
    """When the next attempt is due; None where none follows."""
    fencing_token: int = 0
    operator_action: OperatorAction | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a saga."""

    name: str
    service: str
    transaction: str
    compensation: str | None
    """None where there is nothing to undo."""
    status: StepStatus
    attempts: int = 0
    undo_attempts: int = 0
    by_hand: bool = False
    """Whether a person, and no participant, decided where it stands."""
    depends_on: tuple[str, ...] = ()
    """The steps that it depends on directly."""
    kind: StepKind = StepKind.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class PlannedUndo:
    """One Compensate that would be sent, or be sent again."""

    step: str
    """What it undoes."""
    service: str
    compensation: str | None
    """None for a call that undoes nothing and only bars a late Execute."""
    after: tuple[str, ...]
    """The steps whose undo it waits for."""
    idempotency_key: str
    input_fields: tuple[str, ...]
    """The names of the fields that it is given."""
    input_json: str = field(repr=False)
    """What it is given, masked; empty unless asked for."""
    receipt_known: bool
    """Whether it carries what the Execute answered."""
    receipt_json: str = field(repr=False)
    """What the Execute answered, masked; empty unless asked for, and where none is known."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An effect that would stay."""

    step: str
    reason: StandingReason


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What would run if a saga turned back now and every call succeeded, and what could not be undone."""

    undos: tuple[PlannedUndo, ...]
    """In an order in which they may run; none where nothing turns the saga back any more."""
    stays: tuple[Standing, ...]
    shortened: bool
    """Whether some undos are shown without what they are given, because that is too much."""


@dataclass(frozen=True, slots=True)
class Saga:
    """One saga. Lists show it without its steps, output, timeline and undo plan, `start` and `cancel` without
    the last two. Only `get` shows the undo plan."""

    saga_id: str
    saga_name: str
    definition_version: str
    definition_digest: str
    request_id: str
    """The id under which it was requested (of an order: the order_id)."""
    status: SagaStatus
    error_message: str
    """Why it turned back or needs a person; empty otherwise."""
    create_time: datetime
    update_time: datetime
    expire_time: datetime | None
    """When its ttl runs out; None where the definition sets none."""
    seq: int
    """The number of its newest journal record."""
    steps: tuple[Step, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    """What happened, oldest first; of a history that is too long its beginning and its end: `watch` tells
    all."""
    flags: tuple[str, ...] = ()
    """Contradictions seen, for a person to look at."""
    needs_person: bool = False
    """Whether some undo, or some step past the pivot, failed for good, or it was set aside: true also while
    other work goes on."""
    forced: bool = False
    """Whether a person decided a part of the outcome."""
    trace_id: str = ""
    """The trace that it can be found in; empty where none is recorded."""
    overdue: bool = False
    """Whether its ttl ran out past the pivot, where that turns nothing back."""
    output_json: str = field(default="", repr=False)
    """The result that its definition shapes; empty until it is COMPLETED, and where none is shaped."""
    undo_plan: UndoPlan | None = None
    """None also where its records cannot be read."""
    timeline_left_out: int = 0
    """How many entries of its timeline are left out in the middle."""

    @property
    def output(self) -> Any:
        """Its result, read; None where there is none."""
        return json.loads(self.output_json) if self.output_json else None


@dataclass(frozen=True, slots=True)
class Started:
    """A saga that was started, or joined because its request_id was known."""

    saga: Saga
    joined: bool


class Watched(NamedTuple):
    """One record as it became durable, and the saga's status after it. A last one without an entry tells
    only that the saga was set aside for a person."""

    entry: TimelineEntry | None
    status: SagaStatus


@dataclass(frozen=True, slots=True)
class Definition:
    """A saga definition. Lists show it without its text."""

    saga_name: str
    version: str
    """Empty for a draft."""
    digest: str
    steps: tuple[str, ...]
    definition_json: str = ""
    source: DefinitionSource = DefinitionSource.UNSPECIFIED
    """UNSPECIFIED: only sagas know it by now."""
    state: DefinitionState = DefinitionState.UNSPECIFIED
    newest: bool = False
    """Whether a start that names no version gets it."""
    register_time: datetime | None = None
    """When this content was registered; None where other content has taken its place."""
    retire_time: datetime | None = None
    first_start_time: datetime | None = None
    """When the first saga was started with this content: a version keeps it from then on."""
    open_sagas: int = 0
    """Those of this name and version."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the linter found in a definition. `line` and `column` count from 1; 0: not known."""

    rule: str
    path: str
    line: int
    column: int
    sentence: str
    cure: str


@dataclass(frozen=True, slots=True)
class RegisteredDefinition:
    """A definition that was registered, what that came to, and what the linter found in it: at most 100
    findings, and how many more there are."""

    definition: Definition
    outcome: RegistrationOutcome
    findings: tuple[Finding, ...]
    findings_left_out: int


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that has not been made yet."""

    step: str
    service: str
    transaction: str
    """The transaction or compensation; empty for a call that only bars a late Execute."""
    undo: bool
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class ActionEffect:
    """What an action leads to, by the rules that run the saga."""

    sentence: str
    status_after: SagaStatus
    status_in_the_end: SagaStatus
    """Where the saga ends if every call succeeds from there on."""
    forced: bool
    planned_calls: tuple[PlannedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class PossibleAction:
    """One thing that can be done to a saga as it stands."""

    verb: OperatorVerb
    step: str
    """Empty for the whole saga."""
    effect: ActionEffect


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What came of an action, or would come of it."""

    saga: Saga
    """As it stands, with its steps; with `validate_only`, untouched."""
    effect: ActionEffect | None
    """None where the action was done before."""
    repeated: bool


@dataclass(frozen=True, slots=True)
class Participant:
    """One service that sagas call."""

    service: str
    target: str
    """Its gRPC target from the settings; empty where none is set."""
    state: ParticipantState
    message: str
    """Why it does not answer, where it does not."""
    steps: tuple[str, ...]
    """The steps that need it, as "sagaName/step"."""
    transactions: int | None = None
    """How many transactions it offers; None where it does not say."""
    compensations: int | None = None
    barrier: bool | None = None
    """Whether a call that comes twice has its effect once, by its own word; None where it does not say."""


@dataclass(frozen=True, slots=True)
class ExportedRecord:
    """One record of a saga's journal, with its data."""

    seq: int
    fencing_token: int
    type: str
    """What happened, as the journal calls it."""
    content_json: str
    """Its fields, as the journal calls them; another value of its kind in the place of each sensitive one."""


@dataclass(frozen=True, slots=True)
class ExportedSaga:
    """A saga from its start to its rest, so that it can be played again."""

    definition_json: str
    records: tuple[ExportedRecord, ...]


class BackupPiece(NamedTuple):
    """One piece of a copy of the journal, in order, and how many bytes there are in all."""

    data: bytes
    total_bytes: int


@dataclass(frozen=True, slots=True)
class JournalFault:
    """Something in the journal that is not what it must be."""

    saga_id: str
    """Empty where it is the file as a whole."""
    sentence: str


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a reading of the whole journal is, and what it found since the one before."""

    sagas: int
    records: int
    faults: tuple[JournalFault, ...]
    done: bool
