"""The business's own books, read from the participants' files: what the demo holds against the sagas."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from participants import audit

_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Books:
    """Money in EUR, stock in pieces."""

    charged_net: Fraction
    reserved: int
    free: int
    shipments: int
    money_adds_up: bool
    stock_adds_up: bool


def read_books(folder: Path) -> Books:
    """The books as the participants' files in *folder* have them at this moment."""
    money, stock = audit.money(folder), audit.stock(folder).values()
    return Books(
        charged_net=Fraction(money.by_currency.get("EUR", 0), _NANOS),
        reserved=sum(item.reserved for item in stock),
        free=sum(item.free for item in stock),
        shipments=sum(shipment.status == "SCHEDULED" for shipment in audit.shipments(folder)),
        money_adds_up=money.adds_up,
        stock_adds_up=all(item.adds_up for item in stock),
    )
