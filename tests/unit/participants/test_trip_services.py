"""The services of a trip: what they keep, what they refuse, and that their books add up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from participants import audit
from tests.unit.participants.shop import Shop

TRIP = {
    "trip_id": "t-1",
    "traveller_id": "u-1",
    "flight_id": "flight-1",
    "hotel_id": "hotel-1",
    "nights": 3,
    "car_id": "car-1",
    "days": "2",
    "bookings": ["flight-1/1", "hotel-1/1"],
}
STEPS = {
    "bookFlight": ("FlightService", "cancelFlight"),
    "bookHotel": ("HotelService", "cancelHotel"),
    "bookCar": ("CarService", "cancelCar"),
    "issueTickets": ("TicketService", ""),
}
# What each books, and what that costs.
BOOKED = {
    "bookFlight": ("flight", 129_90),
    "bookHotel": ("hotel", 3 * 89_50),
    "bookCar": ("car", 2 * 39_95),
}


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path, STEPS, TRIP)
    yield opened
    opened.close()


@pytest.mark.parametrize("step", BOOKED)
def test_what_is_booked_has_a_price_and_takes_one_place(agency: Shop, step: str) -> None:
    service, (kind, price_cents) = STEPS[step][0], BOOKED[step]
    booked = {"booking_id": f"{kind}-1/1", "price_cents": price_cents}
    assert agency.execute(step) == booked
    assert audit.capacity(agency.directory, service)[f"{kind}-1"] == audit.Capacity(
        f"{kind}-1", places=1_000_000, free=999_999, booked=1
    )
    assert audit.bookings(agency.directory, service) == [
        audit.Booking(f"{kind}-1/1", "t-1", price_cents, cancelled=False)
    ]


@pytest.mark.parametrize("step", BOOKED)
def test_what_is_cancelled_frees_its_place_for_another_trip(agency: Shop, step: str) -> None:
    service, (kind, _) = STEPS[step][0], BOOKED[step]
    last = {**TRIP, f"{kind}_id": f"{kind}-last"}
    sold_out = ("SOLD_OUT", f"There is no free place of {kind}-last.")
    assert isinstance(agency.execute(step, last), dict)
    assert agency.execute(step, last, "s-2") == sold_out
    assert agency.undo(step, last) is None
    assert isinstance(agency.execute(step, last, "s-3"), dict)
    assert [booking.cancelled for booking in audit.bookings(agency.directory, service)] == [True, False]
    held = audit.capacity(agency.directory, service)
    assert (held[f"{kind}-last"].free, held[f"{kind}-last"].booked) == (0, 1)
    assert all(item.adds_up for item in held.values())


@pytest.mark.parametrize("step", BOOKED)
def test_only_its_own_saga_cancels_a_booking(agency: Shop, step: str) -> None:
    agency.execute(step)
    agency.execute(step, saga="s-2")
    agency.undo(step)
    booked = audit.bookings(agency.directory, STEPS[step][0])
    held = audit.capacity(agency.directory, STEPS[step][0])
    assert [booking.cancelled for booking in booked] == [True, False]
    assert all(item.adds_up for item in held.values())


@pytest.mark.parametrize("step", BOOKED)
def test_what_nobody_offers_is_sold_out(agency: Shop, step: str) -> None:
    kind = BOOKED[step][0]
    refused = agency.execute(step, {**TRIP, f"{kind}_id": "nowhere"})
    assert refused == ("SOLD_OUT", "There is no free place of nowhere.")
    assert audit.bookings(agency.directory, STEPS[step][0]) == []


def test_a_place_that_no_booking_explains_does_not_add_up(agency: Shop) -> None:
    agency.execute("bookFlight")
    agency.files["FlightService"].connection.execute("UPDATE bookings SET cancelled = 1")
    assert not audit.capacity(agency.directory, "FlightService")["flight-1"].adds_up


def test_each_booking_has_one_ticket(agency: Shop) -> None:
    assert agency.execute("issueTickets") == {"tickets": ["ticket-1", "ticket-2"]}
    again = {**TRIP, "trip_id": "t-2", "bookings": ["car-1/1", "hotel-1/1"]}
    refused = ("TICKET_EXISTS", "There is a ticket for hotel-1/1 already.")
    assert agency.execute("issueTickets", again, "s-2") == refused
    # What was refused has issued nothing, not even the first one.
    assert audit.tickets(agency.directory) == {"t-1": ["flight-1/1", "hotel-1/1"]}


@pytest.mark.parametrize(
    ("step", "field", "value", "sentence"),
    [
        ("bookFlight", "trip_id", "", "trip_id must be a text that is not empty."),
        ("bookFlight", "flight_id", 7, "flight_id must be a text that is not empty."),
        ("bookHotel", "hotel_id", None, "hotel_id must be a text that is not empty."),
        ("bookHotel", "nights", 0, "nights must be a whole number from 1 to 90."),
        ("bookHotel", "nights", 1.5, "nights must be a whole number from 1 to 90."),
        ("bookCar", "car_id", [], "car_id must be a text that is not empty."),
        ("bookCar", "days", 91, "days must be a whole number from 1 to 90."),
        ("bookCar", "days", None, "days must be a whole number from 1 to 90."),
        ("issueTickets", "trip_id", None, "trip_id must be a text that is not empty."),
        ("issueTickets", "traveller_id", "", "traveller_id must be a text that is not empty."),
        ("issueTickets", "bookings", [], "bookings must be a list that is not empty."),
        ("issueTickets", "bookings", "flight-1/1", "bookings must be a list that is not empty."),
        ("issueTickets", "bookings", ["flight-1/1", None], "bookings[1] must be a text that is not empty."),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_refused_by_name(
    agency: Shop, step: str, field: str, value: object, sentence: str
) -> None:
    assert agency.execute(step, {**TRIP, field: value}) == ("INVALID_INPUT", sentence)
