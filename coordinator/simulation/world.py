"""The services of a simulated world: the barrier's rules (design.md, section 7) over one ledger.

A reaction is what a service and the network between do with one delivery. The barrier stands before it: same
key, same effect, same answer; a Compensate bars its Execute for good.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from coordinator.domain.ids import IdempotencyKey, SagaId, StepName
from coordinator.domain.outcomes import (
    Answer,
    Faulted,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
    status_kind,
)
from coordinator.ports.participants import Call, ExecuteCall


class Reaction(Enum):
    """What becomes of one delivery."""

    SUCCEED = auto()
    REFUSE = auto()
    PEND = auto()
    FAULT = auto()
    LOSE_THE_REQUEST = auto()
    LOSE_THE_REPLY = auto()
    DENY = auto()
    """A status that will not pass, after the effect."""
    BABBLE = auto()
    """A broken answer, after the effect."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reaction, and what is said with it. Empty: what such a service says where nothing is known of it."""

    reaction: Reaction
    output: str = ""
    """Canonical JSON text, of a success."""
    code: str = ""
    """Of a refusal or a fault; of what proves nothing, the gRPC status."""
    message: str = ""
    wait_s: float | None = None
    """When to ask again, of PEND and FAULT."""
    takes_s: float = 0.0
    """How long the caller waits for it."""


SUCCEEDS = Reply(Reaction.SUCCEED)

Op = Literal["E", "C"]
Outcome = Literal["applied", "duplicate", "null", "refused", "barred"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the ledger, in the order in which things happened everywhere."""

    saga: SagaId
    step: StepName
    op: Op
    outcome: Outcome


class ContentChanged(Exception):
    """One key came with two contents (I15)."""


@dataclass(slots=True)
class World:
    """Every service, and what was done to it."""

    rows: list[Row] = field(default_factory=list)
    contents: dict[IdempotencyKey, tuple[str, ...]] = field(default_factory=dict)
    """What each idempotency key was first sent with."""
    outputs: dict[str, str] = field(default_factory=dict)
    """What each step answers where its reply does not say; `"<step> done"` where nothing is set."""
    _effects: dict[tuple[SagaId, StepName, Op], Outcome] = field(default_factory=dict)
    _answers: dict[tuple[SagaId, StepName], str] = field(default_factory=dict)
    _refused: dict[IdempotencyKey, Refused] = field(default_factory=dict)
    """The keys whose refusal is stored: it is repeated for ever."""

    def deliver(self, call: Call, reply: Reply) -> Answer:
        """One request reaches its service, or does not; what the caller learns of it.

        Raises:
            ContentChanged: its key came with other content before.
        """
        self._check_content(call)
        if reply.reaction is Reaction.LOSE_THE_REQUEST:
            return _no_proof(reply, "UNAVAILABLE", "the request was lost")
        answer = self._execute(call, reply) if isinstance(call, ExecuteCall) else self._undo(call, reply)
        match reply.reaction:
            case Reaction.LOSE_THE_REPLY:
                return _no_proof(reply, "DEADLINE_EXCEEDED", "the reply was lost")
            case Reaction.DENY:
                return _no_proof(reply, "PERMISSION_DENIED", "not you")
            case Reaction.BABBLE:
                return NoProof(Unproved.BROKEN_CONTRACT, "BROKEN_CONTRACT", reply.message or "what?")
        return answer

    def applied(self, saga: SagaId, op: Op) -> set[StepName]:
        return {row.step for row in self.rows if (row.saga, row.op, row.outcome) == (saga, op, "applied")}

    def count(self, saga: SagaId, step: StepName, op: Op, outcome: Outcome) -> int:
        return self.rows.count(Row(saga, step, op, outcome))

    def _execute(self, call: Call, reply: Reply) -> Answer:
        if self._effects.get((call.saga_id, call.step, "E")) == "applied":
            self._note(call, "E", "duplicate")
            return Succeeded(self._output(call))
        if call.key in self._refused:
            self._note(call, "E", "refused")
            return self._refused[call.key]
        if (call.saga_id, call.step, "C") in self._effects:
            self._note(call, "E", "barred")
            return NoProof(Unproved.BARRED, "BARRED", "compensated already")
        match reply.reaction:
            case Reaction.REFUSE:
                self._note(call, "E", "refused")
                return self._refuse(call, reply, "NO", "the business says no")
            case Reaction.PEND | Reaction.FAULT:
                return _later(reply)
        self._note(call, "E", "applied", keep=True)
        self._answers[call.saga_id, call.step] = reply.output
        return Succeeded(self._output(call))

    def _undo(self, call: Call, reply: Reply) -> Answer:
        if (call.saga_id, call.step, "C") in self._effects:
            self._note(call, "C", "duplicate")
            return Succeeded("null")
        match reply.reaction:
            case _ if call.key in self._refused:
                return self._refused[call.key]
            case Reaction.REFUSE:
                return self._refuse(call, reply, "TOO_LATE", "it can not be undone any more")
            case Reaction.PEND | Reaction.FAULT:
                return _later(reply)
        effect = self._effects.get((call.saga_id, call.step, "E")) == "applied"
        named = isinstance(call, ExecuteCall) or call.compensation is not None
        self._note(call, "C", "applied" if effect and named else "null", keep=True)
        return Succeeded("null")

    def _output(self, call: Call) -> str:
        said = self._answers[call.saga_id, call.step] or self.outputs.get(call.step)
        return f'"{call.step} done"' if said is None else said

    def _refuse(self, call: Call, reply: Reply, code: str, message: str) -> Refused:
        self._refused[call.key] = Refused(reply.code or code, reply.message or message)
        return self._refused[call.key]

    def _note(self, call: Call, op: Op, outcome: Outcome, *, keep: bool = False) -> None:
        self.rows.append(Row(call.saga_id, call.step, op, outcome))
        if keep:
            self._effects[call.saga_id, call.step, op] = outcome

    def _check_content(self, call: Call) -> None:
        """All calls with one key carry the same, but for attempt and token."""
        if isinstance(call, ExecuteCall):
            content: tuple[str, ...] = (call.service, call.step, call.transaction, call.input)
        else:
            content = (call.service, call.step, call.compensation or "", call.input, call.receipt or "")
        if self.contents.setdefault(call.key, content) != content:
            raise ContentChanged(f"key {call.key} came with {content} after {self.contents[call.key]}")


def _later(reply: Reply) -> Pending | Faulted:
    if reply.reaction is Reaction.PEND:
        return Pending(0.02 if reply.wait_s is None else reply.wait_s)
    return Faulted(reply.code or "BUSY", reply.message, reply.wait_s)


def _no_proof(reply: Reply, status: str, message: str) -> NoProof:
    status = reply.code or status
    return NoProof(status_kind(status, None), status, reply.message or message)
