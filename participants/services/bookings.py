"""Seats on flights, rooms in hotels and cars for hire: so many places of each, every one free or booked.

Prices are whole cents: a definition adds them up, and no sum of integers is ever rounded.
"""

from __future__ import annotations

import sqlite3

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall, Refused
from participants.services.fields import read_number, read_text

UNITS_MAX = 90

SCHEMA = """
CREATE TABLE capacity (
    item_id     TEXT    PRIMARY KEY,
    places      INTEGER NOT NULL,
    free        INTEGER NOT NULL CHECK (free >= 0),
    price_cents INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE bookings (
    number      INTEGER PRIMARY KEY,
    saga_id     TEXT    NOT NULL,
    step        TEXT    NOT NULL,
    trip_id     TEXT    NOT NULL,
    item_id     TEXT    NOT NULL REFERENCES capacity,
    price_cents INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX bookings_by_step ON bookings (saga_id, step);
"""
# Twenty with plenty of places, and one that has a single place.
SEED = """
WITH RECURSIVE numbered (number) AS (
    SELECT 1 UNION ALL SELECT number + 1 FROM numbered WHERE number < 20
)
INSERT INTO capacity SELECT '{kind}-' || number, 1000000, 1000000, {price_cents} FROM numbered;
INSERT INTO capacity VALUES ('{kind}-last', 1, 1, {price_cents});
"""


def booking_service(noun: str, price_cents: int, unit: str | None = None) -> type[Participant]:
    """A service that books and cancels places of a *noun*. One costs its price for each *unit* that it is
    booked for, such as nights; without *unit*, once.
    """
    kind = noun.lower()

    class BookingService(Participant):
        name = f"{noun}Service"
        schema = (SCHEMA, SEED.format(kind=kind, price_cents=price_cents))

        @transaction(f"book{noun}")
        def book(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
            units = 1 if unit is None else read_number(call.input, unit, UNITS_MAX)
            item_id = read_text(call.input, f"{kind}_id")
            trip_id = read_text(call.input, "trip_id")
            taken = db.execute(
                "UPDATE capacity SET free = free - 1 WHERE item_id = ? AND free > 0 RETURNING price_cents",
                (item_id,),
            ).fetchone()
            if taken is None:
                raise Refused("SOLD_OUT", f"There is no free place of {item_id}.")
            price = taken[0] * units
            number = db.execute(
                "INSERT INTO bookings (saga_id, step, trip_id, item_id, price_cents) VALUES (?, ?, ?, ?, ?)",
                (call.saga_id, call.step, trip_id, item_id, price),
            ).lastrowid
            return {"booking_id": f"{item_id}/{number}", "price_cents": price}

        @compensation(f"cancel{noun}")
        def cancel(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
            booked = db.execute(
                "UPDATE bookings SET cancelled = 1 WHERE saga_id = ? AND step = ? RETURNING item_id",
                (call.saga_id, call.step),
            ).fetchall()
            db.executemany("UPDATE capacity SET free = free + 1 WHERE item_id = ?", booked)
            return None

    return BookingService


FlightService = booking_service("Flight", 129_90)
HotelService = booking_service("Hotel", 89_50, "nights")
CarService = booking_service("Car", 39_95, "days")
