"""Cars for hire: booked for some days, and cancelled."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall
from participants.services.bookings import SCHEMA, book, cancel, seed
from participants.services.fields import read_number, read_text

DAY_CENTS = 39_95
DAYS_MAX = 90


class CarService(Participant):
    schema = (SCHEMA, seed("car", DAY_CENTS))

    @transaction("bookCar")
    def book_car(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        days = read_number(call.input, "days", DAYS_MAX)
        return book(db, call, read_text(call.input, "car_id"), times=days)

    @compensation("cancelCar")
    def cancel_car(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        cancel(db, call)
        return None
