"""An outbox of e-mails.  What was sent cannot be unsent: a cancellation e-mail compensates for it."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall
from participants.services.fields import read_text

SCHEMA = """
CREATE TABLE outbox (
    number   INTEGER PRIMARY KEY,
    saga_id  TEXT    NOT NULL,
    step     TEXT    NOT NULL,
    order_id TEXT    NOT NULL,
    user_id  TEXT    NOT NULL,
    kind     TEXT    NOT NULL CHECK (kind IN ('CONFIRMATION', 'CANCELLATION'))
);
CREATE INDEX outbox_by_step ON outbox (saga_id, step);
"""


class NotificationService(Participant):
    schema = (SCHEMA,)

    @transaction("sendConfirmationEmail")
    def send_confirmation(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        order_id = read_text(call.input, "order_id")
        user_id = read_text(call.input, "user_id")
        number = db.execute(
            "INSERT INTO outbox (saga_id, step, order_id, user_id, kind) VALUES (?, ?, ?, ?, 'CONFIRMATION')",
            (call.saga_id, call.step, order_id, user_id),
        ).lastrowid
        return {"email_id": f"mail-{number}"}

    @compensation("sendCancellationEmail")
    def send_cancellation(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        # To whom the confirmation went, as it stands here: the request's input is not asked again.
        db.execute(
            "INSERT INTO outbox (saga_id, step, order_id, user_id, kind)"
            " SELECT saga_id, step, order_id, user_id, 'CANCELLATION' FROM outbox"
            " WHERE saga_id = ? AND step = ? AND kind = 'CONFIRMATION'",
            (call.saga_id, call.step),
        )
        return None
