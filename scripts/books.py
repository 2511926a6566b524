"""The business's own books, read from the participants' files: what the demo holds against the sagas."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from participants import audit

_NANOS: Final = 1_000_000_000
_BOOKED: Final = ("FlightService", "HotelService", "CarService")


@dataclass(frozen=True, slots=True)
class Books:
    """Money in EUR, stock in pieces, places of flights, hotels and cars; tickets by trip."""

    charged_net: Fraction
    reserved: int
    free: int
    shipments: int
    booked: int
    tickets: Mapping[str, int]
    money_adds_up: bool
    stock_adds_up: bool
    places_add_up: bool


def read_books(folder: Path) -> Books:
    """The books as the participants' files in *folder* have them at this moment."""
    money, stock = audit.money(folder), audit.stock(folder).values()
    places = [held for service in _BOOKED for held in audit.capacity(folder, service).values()]
    return Books(
        charged_net=Fraction(money.by_currency.get("EUR", 0), _NANOS),
        reserved=sum(item.reserved for item in stock),
        free=sum(item.free for item in stock),
        shipments=sum(shipment.status == "SCHEDULED" for shipment in audit.shipments(folder)),
        booked=sum(held.booked for held in places),
        tickets={trip: len(issued) for trip, issued in audit.tickets(folder).items()},
        money_adds_up=money.adds_up,
        stock_adds_up=all(item.adds_up for item in stock),
        places_add_up=all(held.adds_up for held in places),
    )
