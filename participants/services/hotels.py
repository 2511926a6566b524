"""Rooms in hotels: booked for some nights, and cancelled."""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall
from participants.services.bookings import SCHEMA, book, cancel, seed
from participants.services.fields import read_number, read_text

NIGHT_CENTS = 89_50
NIGHTS_MAX = 90


class HotelService(Participant):
    schema = (SCHEMA, seed("hotel", NIGHT_CENTS))

    @transaction("bookHotel")
    def book_hotel(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        nights = read_number(call.input, "nights", NIGHTS_MAX)
        return book(db, call, read_text(call.input, "hotel_id"), times=nights)

    @compensation("cancelHotel")
    def cancel_hotel(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        cancel(db, call)
        return None
