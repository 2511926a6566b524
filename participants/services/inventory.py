"""Stock per item: what is free, and what is reserved for whom."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall, Refused
from participants.services.fields import read_items, read_text

SCHEMA = """
CREATE TABLE stock (
    item_id  TEXT    PRIMARY KEY,
    received INTEGER NOT NULL,
    free     INTEGER NOT NULL CHECK (free >= 0)
) WITHOUT ROWID;
CREATE TABLE reservations (
    number   INTEGER PRIMARY KEY,
    saga_id  TEXT    NOT NULL,
    step     TEXT    NOT NULL,
    order_id TEXT    NOT NULL,
    item_id  TEXT    NOT NULL REFERENCES stock,
    quantity INTEGER NOT NULL,
    released INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX reservations_by_step ON reservations (saga_id, step);
"""
# Twenty items with plenty, and one of which there is a single piece.
SEED = """
WITH RECURSIVE numbered (number) AS (
    SELECT 1 UNION ALL SELECT number + 1 FROM numbered WHERE number < 20
)
INSERT INTO stock SELECT 'sku-' || number, 1000000, 1000000 FROM numbered;
INSERT INTO stock VALUES ('sku-short', 1, 1);
"""


class InventoryService(Participant):
    schema = (SCHEMA, SEED)

    @transaction("reserveInventory")
    def reserve(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        order_id = read_text(call.input, "order_id")
        items = read_items(call.input)
        for item_id, quantity in items.items():
            taken = db.execute(
                "UPDATE stock SET free = free - ? WHERE item_id = ? AND free >= ?",
                (quantity, item_id, quantity),
            )
            if taken.rowcount == 0:
                raise Refused("OUT_OF_STOCK", f"There is not enough of {item_id} in stock.")
            db.execute(
                "INSERT INTO reservations (saga_id, step, order_id, item_id, quantity)"
                " VALUES (?, ?, ?, ?, ?)",
                (call.saga_id, call.step, order_id, item_id, quantity),
            )
        return {"reservation_id": f"{order_id}/{call.step}", "items": len(items)}

    @compensation("releaseInventory")
    def release(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        held = db.execute(
            "SELECT item_id, quantity FROM reservations WHERE saga_id = ? AND step = ? AND NOT released",
            (call.saga_id, call.step),
        ).fetchall()
        db.executemany(
            "UPDATE stock SET free = free + ? WHERE item_id = ?",
            [(quantity, item_id) for item_id, quantity in held],
        )
        db.execute(
            "UPDATE reservations SET released = 1 WHERE saga_id = ? AND step = ?",
            (call.saga_id, call.step),
        )
        return None
