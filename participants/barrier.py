"""Same key, same effect, same answer: what makes calls that come at least once safe.

All of it happens inside the local transaction that its caller has opened: effect, key, token and
ledger row are committed together or not at all.  Rows here are never purged by age: a late Execute
that found its bar gone would be applied.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import assert_never

from participants import ledger
from participants.base import Business
from participants.calls import (
    Answer,
    Call,
    CompensateCall,
    Faulted,
    Operation,
    Pending,
    Refused,
    Succeeded,
)
from participants.errors import BusinessError, Rejected, StaleToken
from participants.ledger import Outcome
from participants.rules import NothingToUndo, Perform, Reject, Replay, Stored, rule
from participants.strict_json import encode, parse

SCHEMA = """
CREATE TABLE saga_answers (
    idempotency_key TEXT    PRIMARY KEY,
    saga_id         TEXT    NOT NULL,
    step            TEXT    NOT NULL,
    operation       INTEGER NOT NULL,
    request_hash    TEXT    NOT NULL,
    outcome         INTEGER NOT NULL,
    output_json     TEXT    NOT NULL,
    code            TEXT    NOT NULL,
    message         TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX saga_answers_by_step ON saga_answers (saga_id, step);
CREATE TABLE saga_tokens (
    saga_id       TEXT    PRIMARY KEY,
    fencing_token INTEGER NOT NULL
) WITHOUT ROWID;
"""

# Two short look-ups, which may both find a row: to join them by OR, SQLite would make a table each time.
READ_ANSWERS = """
SELECT idempotency_key, saga_id, step, operation, request_hash, outcome, output_json, code, message
FROM saga_answers WHERE idempotency_key = ?
UNION ALL
SELECT idempotency_key, saga_id, step, operation, request_hash, outcome, output_json, code, message
FROM saga_answers WHERE saga_id = ? AND step = ?
"""

OUTPUT_BYTES_MAX = 1024 * 1024
UNKNOWN = {
    Operation.EXECUTE: ("UNKNOWN_TRANSACTION", "The service knows no such transaction."),
    Operation.COMPENSATE: ("UNKNOWN_COMPENSATION", "The service knows no such compensation."),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to tell the caller once it is committed.

    A rejection is a value here: raised, it would roll back the ledger row that shows it.
    """

    answer: Answer | Rejected


def perform(db: sqlite3.Connection, call: Call, business: Business | None) -> Verdict:
    """Do what the rules allow for *call*, within the caller's transaction."""
    if not _keep_token(db, call):
        return Verdict(StaleToken("A newer coordinator run has taken this saga over."))
    ruling = rule(call, _read(db, call))
    match ruling:
        case Reject(why):
            if why.reason == "BARRED":
                ledger.record(db, call, Outcome.BARRED, None)
            return Verdict(why)
        case Replay(stored):
            return _replay(db, call, stored)
        case NothingToUndo():
            return _settle(db, call, Succeeded(""), Outcome.NULL)
        case Perform(effect):
            return Verdict(_apply(db, _with_own_output(call, effect), business))
        case _:
            assert_never(ruling)


def _keep_token(db: sqlite3.Connection, call: Call) -> bool:
    """Remember the newest token of the saga; False for an older one."""
    found = db.execute("SELECT fencing_token FROM saga_tokens WHERE saga_id = ?", (call.saga_id,)).fetchone()
    if found is not None and call.fencing_token < found[0]:
        return False
    if found is None or call.fencing_token > found[0]:
        db.execute(
            "INSERT OR REPLACE INTO saga_tokens (saga_id, fencing_token) VALUES (?, ?)",
            (call.saga_id, call.fencing_token),
        )
    return True


def _read(db: sqlite3.Connection, call: Call) -> list[Stored]:
    found = db.execute(READ_ANSWERS, (call.idempotency_key, call.saga_id, call.step))
    return [
        Stored(key, saga_id, step, Operation(operation), request_hash, Outcome(outcome), *answer)
        for key, saga_id, step, operation, request_hash, outcome, *answer in found
    ]


def _with_own_output(call: Call, effect: Stored | None) -> Call:
    """A compensation sees what this service stored: known even where the caller never got it."""
    if isinstance(call, CompensateCall) and effect is not None and effect.output_json:
        return replace(call, execute_output=parse(effect.output_json))
    return call


def _apply(db: sqlite3.Connection, call: Call, business: Business | None) -> Answer:
    answer = run_business(db, call, business)
    match answer:
        case Succeeded():
            _settle(db, call, answer, Outcome.APPLIED)
        case Refused() if call.operation is Operation.EXECUTE:
            _settle(db, call, answer, Outcome.REFUSED)
        case Refused():
            # Not stored: a person may clear what stands in the way and ask again under this key.
            ledger.record(db, call, Outcome.REFUSED, None)
        case Pending() | Faulted():
            pass
        case _:
            assert_never(answer)
    return answer


def run_business(db: sqlite3.Connection, call: Call, business: Business | None) -> Answer:
    """Run the business code; whatever it had changed before it said no is rolled back."""
    if business is None:
        return Refused(*UNKNOWN[call.operation])
    db.execute("SAVEPOINT effect")
    try:
        output = business(db, call)
    except (Refused, Pending, Faulted) as no:
        db.execute("ROLLBACK TO effect")
        db.execute("RELEASE effect")
        # A traceback would keep the business code's frames alive, payload and all.
        no.__cause__ = no.__context__ = None
        return no.with_traceback(None)
    output_json = "" if output is None else encode(output)
    if output_json:
        # What cannot be read back would be noticed only by the compensation, when it is too late.
        parse(output_json)
    if len(output_json.encode()) > OUTPUT_BYTES_MAX:
        raise BusinessError(f"the output is larger than {OUTPUT_BYTES_MAX} bytes")
    db.execute("RELEASE effect")
    return Succeeded(output_json)


def _replay(db: sqlite3.Connection, call: Call, stored: Stored) -> Verdict:
    if stored.idempotency_key != call.idempotency_key:
        _store(db, replace(stored, idempotency_key=call.idempotency_key))
    known = stored.output_json if isinstance(stored.answer, Succeeded) else None
    ledger.record(db, call, Outcome.DUPLICATE, known)
    return Verdict(stored.answer)


def _settle(db: sqlite3.Connection, call: Call, answer: Succeeded | Refused, outcome: Outcome) -> Verdict:
    """Store *answer* under the call's key, for good, and show it in the ledger."""
    settled = Stored(
        idempotency_key=call.idempotency_key,
        saga_id=call.saga_id,
        step=call.step,
        operation=call.operation,
        request_hash=call.request_hash,
        outcome=outcome,
        output_json=answer.output_json if isinstance(answer, Succeeded) else "",
        code=answer.code if isinstance(answer, Refused) else "",
        message=answer.message if isinstance(answer, Refused) else "",
    )
    _store(db, settled)
    ledger.record(db, call, outcome, None if isinstance(answer, Refused) else settled.output_json)
    return Verdict(answer)


def _store(db: sqlite3.Connection, stored: Stored) -> None:
    values = (
        stored.idempotency_key,
        stored.saga_id,
        stored.step,
        stored.operation,
        stored.request_hash,
        stored.outcome,
        stored.output_json,
        stored.code,
        stored.message,
    )
    db.execute("INSERT INTO saga_answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
