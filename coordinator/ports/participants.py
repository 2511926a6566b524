"""The services that perform steps, as the engine sees them: one call in, one answer out."""

from collections.abc import Awaitable
from enum import StrEnum
from typing import Protocol

from coordinator.domain.ids import FencingToken, IdempotencyKey, SagaId, StepName
from coordinator.domain.outcomes import Answer
from coordinator.domain.values import frozen


@frozen
class ExecuteCall:
    """One attempt at a step's forward transaction. `input` is JSON text, the same in every attempt."""

    key: IdempotencyKey
    saga_id: SagaId
    saga_name: str
    service: str
    step: StepName
    transaction: str
    attempt: int
    token: FencingToken
    input: str
    trace: str = ""
    """What the participant goes on with where the saga is followed: a `traceparent` (W3C Trace Context)."""


@frozen
class CompensateCall:
    """One attempt at undoing a step. `compensation` is None where only the late Execute is barred.

    `receipt` is what the Execute answered, as the journal froze it; None where no answer is known.
    """

    key: IdempotencyKey
    saga_id: SagaId
    saga_name: str
    service: str
    step: StepName
    compensation: str | None
    attempt: int
    token: FencingToken
    input: str
    receipt: str | None
    trace: str = ""


Call = ExecuteCall | CompensateCall


class Reach(StrEnum):
    """Whether a participant answers."""

    SERVING = "SERVING"
    """Its health service says so, or it answers and has no health service."""
    NOT_SERVING = "NOT_SERVING"
    UNREACHABLE = "UNREACHABLE"
    UNKNOWN_ADDRESS = "UNKNOWN_ADDRESS"
    """The settings name no address for it."""


@frozen
class Probe:
    """What was found when a participant was asked whether it serves. `message` says why it does not."""

    target: str
    reach: Reach
    message: str = ""


class Told(StrEnum):
    """What came of asking a participant what it offers."""

    OFFER = "OFFER"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    """It answers, and does not describe itself: that is its right, and proves nothing against it."""
    UNKNOWN_SERVICE = "UNKNOWN_SERVICE"
    """At its address no service of that name is hosted: its calls would fail."""
    NO_ANSWER = "NO_ANSWER"
    """Silence, or a status that says nothing of what it offers."""
    BROKEN_CONTRACT = "BROKEN_CONTRACT"
    UNKNOWN_ADDRESS = "UNKNOWN_ADDRESS"
    """The settings name no address for it."""


@frozen
class Description:
    """What a participant says that it offers; names that no definition can hold are not among them.

    Where `told` is not OFFER, nothing is known, and `message` says why.
    """

    told: Told
    message: str = ""
    transactions: frozenset[str] = frozenset()
    compensations: frozenset[str] = frozenset()
    barrier: bool = False
    """Whether a call that comes twice has its effect once, as participant.proto rules."""


class Participants(Protocol):
    """Every service that the settings name."""

    def perform(self, call: Call, *, timeout_s: float) -> Awaitable[Answer]:
        """Send *call* once and wait at most *timeout_s* for its answer: a coroutine, or a `Deferred`.

        Never raises for what a participant or the network does: that is an answer too. A call is never
        repeated below this port, so that attempts can be counted. Cancelling it abandons the call.
        """
        ...

    async def probe(self, service: str) -> Probe:
        """Ask *service* whether it serves, for at most two seconds. Never raises for what it answers."""
        ...

    async def describe(self, service: str) -> Description:
        """Ask *service* what it offers, for at most two seconds. Never raises for what it answers."""
        ...
