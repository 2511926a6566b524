"""The barrier's rules: what a call may do, given what is stored for its key and its step.

Pure: no SQL, no clock, no business code.  barrier.py reads the rows, asks here, and carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from participants.calls import Answer, Call, Operation, Refused, Succeeded
from participants.errors import Barred, KeyReused
from participants.ledger import Outcome


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that one key has had: of Execute a success or a refusal, of Compensate a success."""

    idempotency_key: str
    saga_id: str
    step: str
    operation: Operation
    request_hash: str
    # APPLIED or REFUSED for an Execute, APPLIED or NULL for a Compensate.
    outcome: Outcome
    output_json: str = field(default="", repr=False)
    code: str = ""
    message: str = ""

    @property
    def answer(self) -> Answer:
        if self.outcome is Outcome.REFUSED:
            return Refused(self.code, self.message)
        return Succeeded(self.output_json)

    def is_same_request(self, call: Call) -> bool:
        mine = (self.saga_id, self.operation, self.request_hash)
        return mine == (call.saga_id, call.operation, call.request_hash)


@dataclass(frozen=True, slots=True)
class Perform:
    """Run the business code.  `effect` is the Execute that a Compensate undoes."""

    effect: Stored | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Answer what was stored."""

    stored: Stored


@dataclass(frozen=True, slots=True)
class NothingToUndo:
    """Answer succeeded, change nothing, and bar the Execute from now on."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The call contradicts what is stored."""

    why: KeyReused | Barred


Ruling: TypeAlias = Perform | Replay | NothingToUndo | Reject


def rule(call: Call, stored: Sequence[Stored]) -> Ruling:
    """Judge *call* by what is stored under its key and for its step."""
    own = next((row for row in stored if row.idempotency_key == call.idempotency_key), None)
    if own is not None and not own.is_same_request(call):
        return Reject(KeyReused("This key was used before for another request."))
    of_step = [row for row in stored if (row.saga_id, row.step) == (call.saga_id, call.step)]
    effect = _first(of_step, Operation.EXECUTE, Outcome.APPLIED)
    undone = _first(of_step, Operation.COMPENSATE, Outcome.APPLIED)
    unneeded = _first(of_step, Operation.COMPENSATE, Outcome.NULL)
    if call.operation is Operation.EXECUTE:
        return _rule_execute(call, own, effect, undone, unneeded)
    return _rule_compensate(call, own or undone or unneeded, effect)


def _rule_execute(
    call: Call,
    own: Stored | None,
    effect: Stored | None,
    undone: Stored | None,
    unneeded: Stored | None,
) -> Ruling:
    # A stored answer is given for as long as it is true: a refusal always is, a success is until
    # its effect has been undone.
    if own is not None and own.outcome is Outcome.REFUSED:
        return Replay(own)
    if undone is not None:
        return Reject(Barred("This step has been compensated; it is never performed again."))
    if effect is not None:
        return _replay(call, effect)
    if unneeded is not None:
        return Reject(Barred("The compensation of this step came first; it is never performed."))
    # What may be left is a refusal under another key: an operator's new round supersedes it.
    return Perform()


def _rule_compensate(call: Call, settled: Stored | None, effect: Stored | None) -> Ruling:
    if settled is not None:
        return _replay(call, settled)
    if effect is None or not call.name:
        return NothingToUndo()
    return Perform(effect)


def _replay(call: Call, stored: Stored) -> Ruling:
    # Under another key the step may come again, but nothing is applied twice: only for the very
    # same request is the stored answer an answer.
    if not stored.is_same_request(call):
        return Reject(KeyReused("This step was settled before, by another request."))
    return Replay(stored)


def _first(rows: Sequence[Stored], operation: Operation, outcome: Outcome) -> Stored | None:
    for row in rows:
        if row.operation is operation and row.outcome is outcome:
            return row
    return None
