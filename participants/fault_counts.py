"""How often each fault was injected: kept in the service's file, so that audits can add it up.

A rule's count also limits it (`times`), and a crash that it caused must not make it forget that.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

SCHEMA = """
CREATE TABLE saga_faults (
    rule  TEXT    NOT NULL,
    kind  TEXT    NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (rule, kind)
) WITHOUT ROWID;
CREATE TABLE saga_fault_plans (
    epoch  INTEGER PRIMARY KEY,
    digest TEXT    NOT NULL,
    runs   INTEGER NOT NULL
);
"""

ADD = """
INSERT INTO saga_faults (rule, kind, count) VALUES (?, ?, 1)
ON CONFLICT (rule, kind) DO UPDATE SET count = count + 1
"""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A plan in force: the number under which its rules count, and how often it was taken up."""

    epoch: int
    run: int


def adopt(db: sqlite3.Connection, digest: str, *, restarted: bool) -> Adopted:
    """Take a plan up.  After a restart with the same plan its counts go on; else they begin anew."""
    newest = db.execute(
        "SELECT epoch, digest, runs FROM saga_fault_plans ORDER BY epoch DESC LIMIT 1"
    ).fetchone()
    if newest is not None and restarted and newest[1] == digest:
        db.execute("UPDATE saga_fault_plans SET runs = runs + 1 WHERE epoch = ?", (newest[0],))
        return Adopted(newest[0], newest[2] + 1)
    epoch = 1 if newest is None else newest[0] + 1
    db.execute("INSERT INTO saga_fault_plans VALUES (?, ?, 1)", (epoch, digest))
    return Adopted(epoch, 1)


def add(db: sqlite3.Connection, rule: str, kind: str) -> None:
    db.execute(ADD, (rule, kind))


def of_rule(db: sqlite3.Connection, rule: str) -> int:
    found = db.execute("SELECT coalesce(sum(count), 0) FROM saga_faults WHERE rule = ?", (rule,)).fetchone()
    return int(found[0])


def totals(db: sqlite3.Connection) -> dict[str, int]:
    """By kind, since the ledger was created."""
    found = db.execute("SELECT kind, sum(count) FROM saga_faults GROUP BY kind ORDER BY kind")
    return dict(found.fetchall())
