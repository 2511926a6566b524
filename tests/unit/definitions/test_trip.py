"""The trip that we ship: its expressions, evaluated over what the example services really answer."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.definition import parse_definition
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.language.expressions import Scope, holds, shape
from participants import audit
from tests.unit.participants.shop import Shop

TRIP: Final = parse_definition(
    (Path(__file__).parents[3] / "definitions" / "trip.json").read_bytes(), source="trip.json"
)
INPUT: Final[Mapping[str, JsonValue]] = {
    "trip_id": "t-1",
    "traveller_id": "u-1",
    "flight_id": "flight-1",
    "hotel_id": "hotel-1",
    "nights": 3,
    "payment_info": {"method": "card", "token": "tok-canary"},
}
CAR: Final[JsonValue] = {"car_id": "car-1", "days": 2}


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Shop]:
    steps = {step.transaction: (step.service, step.compensation or "") for step in TRIP.steps}
    opened = Shop(tmp_path, steps, None)
    yield opened
    opened.close()


def travel(agency: Shop, given: Mapping[str, JsonValue]) -> object:
    """The result of the trip of *given*, each step of which succeeds."""
    evaluate = CelExpressions().evaluate
    outputs: dict[str, Any] = {}
    scope = Scope(given, outputs)
    for step in TRIP.steps:
        if step.when is not None and not holds(step.when, scope, evaluate, place="when"):
            outputs[step.name] = step.default_output
            continue
        sent = (
            {name: given[name] for name in step.input or ()}
            if step.input_shape is None
            else json.loads(shape(step.input_shape, scope, evaluate, place="input"))
        )
        outputs[step.name] = agency.execute(step.transaction, sent)
    return json.loads(shape(TRIP.output, scope, evaluate, place="output"))


def test_a_trip_costs_what_flight_hotel_and_car_cost(agency: Shop) -> None:
    assert travel(agency, {**INPUT, "car": CAR}) == {
        "flight": "flight-1/1",
        "hotel": "hotel-1/1",
        "car": "car-1/1",
        "tickets": ["ticket-1", "ticket-2", "ticket-3"],
        "total": {"currency_code": "EUR", "units": "478", "nanos": 300_000_000},
    }
    booked = [
        booking.price_cents
        for service in ("FlightService", "HotelService", "CarService")
        for booking in audit.bookings(agency.directory, service)
    ]
    assert booked == [129_90, 3 * 89_50, 2 * 39_95]
    assert audit.money(agency.directory).by_order == {("t-1", "EUR"): sum(booked) * 10_000_000}


def test_a_trip_without_a_car_pays_for_none_and_has_no_ticket_for_it(agency: Shop) -> None:
    assert travel(agency, INPUT) == {
        "flight": "flight-1/1",
        "hotel": "hotel-1/1",
        "car": None,
        "tickets": ["ticket-1", "ticket-2"],
        "total": {"currency_code": "EUR", "units": "398", "nanos": 400_000_000},
    }
    assert audit.bookings(agency.directory, "CarService") == []
    assert audit.tickets(agency.directory) == {"t-1": ["flight-1/1", "hotel-1/1"]}
