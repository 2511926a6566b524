"""Orders and where they stand."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall, Refused
from participants.services.fields import read_items, read_text

SCHEMA = """
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    saga_id  TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    status   TEXT NOT NULL CHECK (status IN ('CREATED', 'CONFIRMED', 'CANCELLED'))
) WITHOUT ROWID;
CREATE INDEX orders_by_saga ON orders (saga_id);
CREATE TABLE order_items (
    order_id TEXT    NOT NULL REFERENCES orders,
    item_id  TEXT    NOT NULL,
    quantity INTEGER NOT NULL,
    PRIMARY KEY (order_id, item_id)
) WITHOUT ROWID;
"""


class OrderService(Participant):
    schema = (SCHEMA,)

    @transaction("createOrder")
    def create_order(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        order_id = read_text(call.input, "order_id")
        user_id = read_text(call.input, "user_id")
        items = read_items(call.input)
        created = db.execute(
            "INSERT OR IGNORE INTO orders VALUES (?, ?, ?, 'CREATED')",
            (order_id, call.saga_id, user_id),
        )
        if created.rowcount == 0:
            raise Refused("ORDER_EXISTS", "An order of this id exists already.")
        db.executemany(
            "INSERT INTO order_items VALUES (?, ?, ?)",
            [(order_id, item_id, quantity) for item_id, quantity in items.items()],
        )
        return {"order_id": order_id, "status": "CREATED"}

    @transaction("confirmOrder")
    def confirm_order(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        order_id = read_text(call.input, "order_id")
        confirmed = db.execute(
            "UPDATE orders SET status = 'CONFIRMED'"
            " WHERE order_id = ? AND saga_id = ? AND status = 'CREATED'",
            (order_id, call.saga_id),
        )
        if confirmed.rowcount == 0:
            raise Refused("ORDER_NOT_OPEN", "There is no open order of this id.")
        return {"order_id": order_id, "status": "CONFIRMED"}

    @compensation("cancelOrder")
    def cancel_order(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        # Confirmed or not: an undo comes also after a confirmation whose answer was lost.
        db.execute("UPDATE orders SET status = 'CANCELLED' WHERE saga_id = ?", (call.saga_id,))
        return None
