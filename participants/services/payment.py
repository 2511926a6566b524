"""Funds per user and currency: charged or reserved, and given back.

Every movement is a row, the opening balance too, so that an audit can add them up.  No token is kept.
"""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall, Refused
from participants.services.fields import NANOS, read_payment, read_text, show_money

# What a user's account opens with, in each currency, on first use.
OPENING_NANOS = 10_000_000 * NANOS
SCHEMA = """
CREATE TABLE openings (
    user_id      TEXT    PRIMARY KEY,
    amount_nanos INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE accounts (
    user_id       TEXT    NOT NULL,
    currency_code TEXT    NOT NULL,
    balance_nanos INTEGER NOT NULL CHECK (balance_nanos >= 0),
    PRIMARY KEY (user_id, currency_code)
) WITHOUT ROWID;
CREATE TABLE payments (
    number        INTEGER PRIMARY KEY,
    saga_id       TEXT    NOT NULL,
    step          TEXT    NOT NULL,
    order_id      TEXT    NOT NULL,
    user_id       TEXT    NOT NULL,
    method        TEXT    NOT NULL,
    currency_code TEXT    NOT NULL,
    amount_nanos  INTEGER NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('CHARGED', 'RESERVED', 'RETURNED'))
);
CREATE INDEX payments_by_step ON payments (saga_id, step);
CREATE TABLE movements (
    number        INTEGER PRIMARY KEY,
    user_id       TEXT    NOT NULL,
    currency_code TEXT    NOT NULL,
    amount_nanos  INTEGER NOT NULL,
    reason        TEXT    NOT NULL CHECK (reason IN ('OPENED', 'TAKEN', 'RETURNED')),
    payment       INTEGER REFERENCES payments
);
"""
# The one whose card is refused for real: the account has nothing.
SEED = "INSERT INTO openings VALUES ('u-broke', 0);"


class PaymentService(Participant):
    schema = (SCHEMA, SEED)

    @transaction("processPayment")
    def process_payment(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        return self._take(db, call, "CHARGED")

    @compensation("refundPayment")
    def refund_payment(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        return self._give_back(db, call)

    @transaction("reserveFunds")
    def reserve_funds(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        return self._take(db, call, "RESERVED")

    @compensation("releaseFunds")
    def release_funds(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        return self._give_back(db, call)

    def _take(self, db: sqlite3.Connection, call: ExecuteCall, status: str) -> Output:
        order_id = read_text(call.input, "order_id")
        user_id = read_text(call.input, "user_id")
        paid = read_payment(call.input)
        # Compared here, where integers have no largest: SQLite's would overflow.
        if paid.amount_nanos > _balance(db, user_id, paid.currency_code):
            raise Refused("INSUFFICIENT_FUNDS", "The account does not cover the amount.")
        number = db.execute(
            "INSERT INTO payments (saga_id, step, order_id, user_id, method, currency_code,"
            " amount_nanos, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(call.saga_id, call.step, order_id, user_id),
                *(paid.method, paid.currency_code, paid.amount_nanos, status),
            ),
        ).lastrowid
        _move(db, user_id, paid.currency_code, -paid.amount_nanos, "TAKEN", number)
        return {"payment_id": f"pay-{number}", "status": status, **show_money(paid.amount_nanos)}

    def _give_back(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        standing = db.execute(
            "SELECT number, user_id, currency_code, amount_nanos FROM payments"
            " WHERE saga_id = ? AND step = ? AND status <> 'RETURNED'",
            (call.saga_id, call.step),
        ).fetchall()
        for number, user_id, currency_code, amount_nanos in standing:
            _move(db, user_id, currency_code, amount_nanos, "RETURNED", number)
            db.execute("UPDATE payments SET status = 'RETURNED' WHERE number = ?", (number,))
        return None


def _balance(db: sqlite3.Connection, user_id: str, currency_code: str) -> int:
    """The account's balance; the account is opened on first use."""
    account = (user_id, currency_code)
    query = "SELECT balance_nanos FROM accounts WHERE user_id = ? AND currency_code = ?"
    found = db.execute(query, account).fetchone()
    if found is None:
        opening = db.execute("SELECT amount_nanos FROM openings WHERE user_id = ?", (user_id,)).fetchone()
        amount_nanos = OPENING_NANOS if opening is None else opening[0]
        db.execute("INSERT INTO accounts VALUES (?, ?, 0)", account)
        _move(db, user_id, currency_code, amount_nanos, "OPENED", None)
        found = (amount_nanos,)
    return int(found[0])


def _move(
    db: sqlite3.Connection,
    user_id: str,
    currency_code: str,
    amount_nanos: int,
    reason: str,
    payment: int | None,
) -> None:
    db.execute(
        "UPDATE accounts SET balance_nanos = balance_nanos + ? WHERE user_id = ? AND currency_code = ?",
        (amount_nanos, user_id, currency_code),
    )
    db.execute(
        "INSERT INTO movements (user_id, currency_code, amount_nanos, reason, payment)"
        " VALUES (?, ?, ?, ?, ?)",
        (user_id, currency_code, amount_nanos, reason, payment),
    )
