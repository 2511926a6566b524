"""Shipments: scheduled, and cancelled before they leave."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall
from participants.services.fields import read_items, read_text

SCHEMA = """
CREATE TABLE shipments (
    number   INTEGER PRIMARY KEY,
    saga_id  TEXT    NOT NULL,
    step     TEXT    NOT NULL,
    order_id TEXT    NOT NULL,
    user_id  TEXT    NOT NULL,
    pieces   INTEGER NOT NULL,
    status   TEXT    NOT NULL CHECK (status IN ('SCHEDULED', 'CANCELLED'))
);
CREATE INDEX shipments_by_step ON shipments (saga_id, step);
"""


class ShippingService(Participant):
    schema = (SCHEMA,)

    @transaction("scheduleShipment")
    def schedule(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        order_id = read_text(call.input, "order_id")
        user_id = read_text(call.input, "user_id")
        pieces = sum(read_items(call.input).values())
        number = db.execute(
            "INSERT INTO shipments (saga_id, step, order_id, user_id, pieces, status)"
            " VALUES (?, ?, ?, ?, ?, 'SCHEDULED')",
            (call.saga_id, call.step, order_id, user_id, pieces),
        ).lastrowid
        return {"shipment_id": f"ship-{number}", "status": "SCHEDULED"}

    @compensation("cancelShipment")
    def cancel(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        db.execute(
            "UPDATE shipments SET status = 'CANCELLED' WHERE saga_id = ? AND step = ?",
            (call.saga_id, call.step),
        )
        return None
