"""Tickets, one for each booking.  A ticket is never taken back: it is issued once the trip is paid."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, transaction
from participants.calls import ExecuteCall, Refused
from participants.services.fields import read_text, read_texts

SCHEMA = """
CREATE TABLE tickets (
    number       INTEGER PRIMARY KEY,
    saga_id      TEXT    NOT NULL,
    trip_id      TEXT    NOT NULL,
    traveller_id TEXT    NOT NULL,
    booking_id   TEXT    NOT NULL UNIQUE
);
"""


class TicketService(Participant):
    schema = (SCHEMA,)

    @transaction("issueTickets")
    def issue(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        trip_id = read_text(call.input, "trip_id")
        traveller_id = read_text(call.input, "traveller_id")
        tickets = []
        for booking_id in read_texts(call.input, "bookings"):
            issued = db.execute(
                "INSERT OR IGNORE INTO tickets (saga_id, trip_id, traveller_id, booking_id)"
                " VALUES (?, ?, ?, ?)",
                (call.saga_id, trip_id, traveller_id, booking_id),
            )
            if issued.rowcount == 0:
                raise Refused("TICKET_EXISTS", f"There is a ticket for {booking_id} already.")
            tickets.append(f"ticket-{issued.lastrowid}")
        return {"tickets": tickets}
