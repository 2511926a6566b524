"""What a service did, in order: evidence for audits, written in the same transaction as the effect.

Rows are only ever added.  A call that proves nothing (pending, faulted, rejected) leaves none, except
that an Execute which its compensation has barred is shown as such.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import IntEnum

from participants.calls import Call, Operation, sha256

SCHEMA = """
CREATE TABLE saga_ledger (
    local_seq       INTEGER PRIMARY KEY,
    saga_id         TEXT    NOT NULL,
    step            TEXT    NOT NULL,
    operation       INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    outcome         INTEGER NOT NULL,
    request_hash    TEXT    NOT NULL,
    result_hash     TEXT    NOT NULL,
    fencing_token   INTEGER NOT NULL,
    arrived_ns      INTEGER NOT NULL,
    committed_ns    INTEGER NOT NULL
);
CREATE INDEX saga_ledger_by_saga ON saga_ledger (saga_id, local_seq);
"""

INSERT = """
INSERT INTO saga_ledger (saga_id, step, operation, name, idempotency_key, outcome, request_hash,
                         result_hash, fencing_token, arrived_ns, committed_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
"""

SELECT = """
SELECT local_seq, saga_id, step, operation, name, idempotency_key, outcome, request_hash,
       result_hash, fencing_token, arrived_ns, committed_ns
FROM saga_ledger
"""


class Outcome(IntEnum):
    """What a call changed; the numbers are those of ledger.proto."""

    APPLIED = 1
    DUPLICATE = 2
    NULL = 3
    REFUSED = 4
    BARRED = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One call, as the ledger shows it."""

    local_seq: int
    saga_id: str
    step: str
    operation: Operation
    name: str
    idempotency_key: str
    outcome: Outcome
    request_hash: str
    result_hash: str
    fencing_token: int
    arrived_ns: int
    committed_ns: int


def record(db: sqlite3.Connection, call: Call, outcome: Outcome, output_json: str | None) -> None:
    """Add the row of *call*; without an output there is no digest of one."""
    values = (
        call.saga_id,
        call.step,
        call.operation,
        call.name,
        call.idempotency_key,
        outcome,
        call.request_hash,
        "" if output_json is None else sha256(output_json),
        call.fencing_token,
        call.arrived_ns,
    )
    db.execute(INSERT, values)


def newest_seq(db: sqlite3.Connection) -> int:
    found: int = db.execute("SELECT coalesce(max(local_seq), 0) FROM saga_ledger").fetchone()[0]
    return found


def stamp(db: sqlite3.Connection, after_seq: int, committed_ns: int) -> None:
    """Give a group's rows the moment of their commit, taken just before it: no row can know it later."""
    db.execute("UPDATE saga_ledger SET committed_ns = ? WHERE local_seq > ?", (committed_ns, after_seq))


def read(db: sqlite3.Connection, saga_id: str, after_seq: int, limit: int) -> list[Row]:
    """The rows after *after_seq*, oldest first; of every saga where *saga_id* is empty."""
    if saga_id:
        found = db.execute(
            SELECT + "WHERE saga_id = ? AND local_seq > ? ORDER BY local_seq LIMIT ?",
            (saga_id, after_seq, limit),
        )
    else:
        found = db.execute(SELECT + "WHERE local_seq > ? ORDER BY local_seq LIMIT ?", (after_seq, limit))
    return [
        Row(local_seq, row_saga_id, step, Operation(operation), name, key, Outcome(outcome), *more)
        for local_seq, row_saga_id, step, operation, name, key, outcome, *more in found
    ]
