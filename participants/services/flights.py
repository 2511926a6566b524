"""Seats on flights: booked, and cancelled."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall
from participants.services.bookings import SCHEMA, book, cancel, seed
from participants.services.fields import read_text

SEAT_CENTS = 129_90


class FlightService(Participant):
    schema = (SCHEMA, seed("flight", SEAT_CENTS))

    @transaction("bookFlight")
    def book_flight(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        return book(db, call, read_text(call.input, "flight_id"))

    @compensation("cancelFlight")
    def cancel_flight(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        cancel(db, call)
        return None
