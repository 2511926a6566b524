"""What the checker reads, and nothing else: values gathered from outside the coordinator.

Times ending in `_ns` are nanoseconds. Those of ledger rows and client calls are of the machine's
monotonic clock (one machine, so they order everything); those of saga reads are the coordinator's UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

_Kind = TypeVar("_Kind")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(kind: type[_Kind]) -> type[_Kind]:
    """A dataclass that nobody changes: the type checker sees to that. If Python did, it would take several
    times as long to make one, and a simulation makes thousands a second."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(kind)


@frozen
class LedgerRow:
    """One call, as the participant wrote it down in the transaction of its effect."""

    service: str
    local_seq: int
    saga_id: str
    step: str
    operation: str
    """"E" (Execute) or "C" (Compensate)."""
    transaction: str
    key: str
    outcome: str
    """"applied", "duplicate", "null", "refused" or "barred"."""
    request_hash: str
    result_hash: str
    token: int
    arrived_ns: int
    committed_ns: int


@frozen
class ClientCall:
    """One attempt of a client to start a saga, with what it got."""

    door: str
    """"orders" (PlaceOrder) or "sagas" (StartSaga): a request id is unique within a door."""
    request_id: str
    payload_hash: str
    invoked_ns: int
    replied_ns: int | None
    code: str
    """"OK", the name of a gRPC status, or "NONE" where no reply came."""
    saga_id: str | None = None
    ended: str | None = None
    """"SUCCESS" or "FAILED" where PlaceOrder said so."""


@frozen
class OperatorCall:
    """One attempt of an operator to act on a saga, with what it got."""

    saga_id: str
    action_id: str
    verb: str
    """"RETRY", "SKIP", "COMPLETE", "FAIL", "CANCEL" or "TERMINATE"."""
    step: str
    """Empty for what concerns the whole saga."""
    actor: str
    reason: str
    seq_expected: int
    output: str = ""
    """As JSON text, of a COMPLETE."""
    only_asked: bool = False
    """Whether it asked only what the action would lead to."""
    invoked_ns: int
    replied_ns: int | None
    code: str
    repeated: bool = False
    seq: int | None = None
    """The saga's newest record in the reply; None where it was not OK."""


@frozen
class ActionRead:
    """What an operator did, as a journal record shows it."""

    verb: str
    action_id: str
    actor: str
    reason: str


@frozen
class StepRead:
    """A step as GetSaga shows it; names as in the proto, without their prefixes."""

    name: str
    service: str
    transaction: str
    compensation: str | None
    status: str
    attempts: int
    undo_attempts: int
    by_hand: bool = False


@frozen
class TimelineRead:
    """A journal record as GetSaga shows it; `type` as in the proto, without EVENT_TYPE_."""

    seq: int
    time_ns: int
    type: str
    step: str
    attempt: int
    code: str
    retry_ns: int | None
    token: int
    action: ActionRead | None = None
    """Of an OPERATOR_ACTED."""


@frozen
class SagaRead:
    """One answer of GetSaga."""

    read_at: int
    """Counts the rounds of reading: a later round has a larger number."""
    saga_id: str
    saga_name: str
    definition_digest: str
    request_id: str
    status: str
    error_message: str
    created_ns: int
    expires_ns: int | None
    seq: int
    steps: tuple[StepRead, ...]
    timeline: tuple[TimelineRead, ...]
    flags: tuple[str, ...] = ()
    needs_person: bool = False
    forced: bool = False
    overdue: bool = False
    output: str = ""
    """As JSON text; empty where it has none."""


@frozen
class StepRule:
    """What a definition says of a step, as far as it is judged."""

    name: str
    service: str
    transaction: str
    compensation: str | None
    attempts_max: int | None
    """None: as many as its budget has room for."""
    kind: str = "compensatable"
    depends_on: tuple[str, ...] | None = None
    """None: on the step before it."""
    when: str | None = None
    continues_on_failure: bool = False
    inputs: frozenset[str] | None = None
    """Which parts of the saga's input and of earlier outputs it gets; None: all."""
    shape: Mapping[str, Any] | None = None
    """The mapping that makes its input, in place of `inputs`."""
    undo_shape: Mapping[str, Any] | None = None
    """The mapping that makes the input of its compensation; None: what its transaction was given."""
    default_output: str | None = None
    """As JSON text; None where it has none."""
    wait_ns_max: int | None = None
    """The longest wait between two attempts; None: not judged, as `budget_ns` and those of the undo."""
    budget_ns: int | None = None
    undo_wait_ns_max: int | None = None
    undo_budget_ns: int | None = None

    @property
    def lasts(self) -> bool:
        """Whether it is repeated until it succeeds, in place of being given up and undone."""
        return self.kind in ("pivot", "retriable")


@frozen
class Definition:
    """A definition as GetDefinition answers it for a digest."""

    name: str
    digest: str
    ttl_ns: int | None
    steps: tuple[StepRule, ...]
    parallel_max: int = 10
    """So many steps may be begun and unsettled at the same time."""
    output: Mapping[str, Any] | None = None
    """The mapping that makes the saga's output when all its steps are passed, if it has one."""

    @property
    def pivot(self) -> str | None:
        """The name of its pivot, if it has one."""
        return next((rule.name for rule in self.steps if rule.kind == "pivot"), None)


@frozen
class Books:
    """The business's own sums, by request id of the order: what stands at the end."""

    charged_nanos: Mapping[str, int]
    """Taken less returned, by order."""
    reserved_pieces: Mapping[str, int]
    ordered_nanos: Mapping[str, int]
    """What each order was to cost, as its client sent it."""
    ordered_pieces: Mapping[str, int]
    stock_adds_up: bool
    money_adds_up: bool


@frozen
class Evidence:
    """All that is known of one run, gathered after faults stopped and everything came to rest."""

    ledger: tuple[LedgerRow, ...]
    calls: tuple[ClientCall, ...]
    reads: tuple[SagaRead, ...]
    """Every GetSaga answer kept, of any round; the last round reads every saga."""
    definitions: Mapping[str, Definition]
    """By digest."""
    restarts: int
    """How often the coordinator was started again."""
    actions: tuple[OperatorCall, ...] | None = None
    """What operators asked for; None: nobody wrote it down."""
    dead_letters: frozenset[str] | None = None
    """The sagas that the list of those that need a person named at rest; None: nobody read it."""
    books: Books | None = None
    logs: Mapping[str, str] | None = None
    """Everything logged, by name of the log."""
    canaries: frozenset[str] = frozenset()
    """Secrets that were planted in payloads."""
    inputs: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What each saga was given, as JSON text, by saga; those of which it is known."""
    outputs: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)
    """What participants hold as their answers, as JSON text, by saga and step."""
    downtimes_ns: tuple[tuple[int, int], ...] | None = None
    """When no coordinator was up, in UTC; None: nobody wrote it down."""
    redeliveries: Mapping[str, int] | None = None
    """How many calls were delivered again by a fault, by service; None: nobody counted."""
    at_rest: bool = True
    """Whether the run waited for the end of all automatic work before the last round."""
