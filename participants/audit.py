"""Reads what the example services hold, straight from their files: facts for drills, demos and tests.

Each function opens one file read-only, also while its service runs, and sees one committed moment.
Sums are made here, where integers have no largest.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from participants.database import open_readonly


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment: CHARGED or RESERVED stands, RETURNED was given back."""

    saga_id: str
    step: str
    order_id: str
    user_id: str
    currency_code: str
    amount_nanos: int
    status: str

    @property
    def stands(self) -> bool:
        return self.status != "RETURNED"


@dataclass(frozen=True, slots=True)
class Account:
    """One user's funds in one currency, and what moved them."""

    user_id: str
    currency_code: str
    balance_nanos: int
    opened_nanos: int
    taken_nanos: int
    returned_nanos: int

    @property
    def adds_up(self) -> bool:
        return self.balance_nanos == self.opened_nanos - self.taken_nanos + self.returned_nanos


@dataclass(frozen=True, slots=True)
class Money:
    """All payments and accounts."""

    payments: tuple[Payment, ...]
    accounts: tuple[Account, ...]

    @property
    def by_order(self) -> dict[tuple[str, str], int]:
        """What each order has cost, taken less returned, by (order_id, currency_code)."""
        sums: Counter[tuple[str, str]] = Counter()
        for payment in self.payments:
            place = (payment.order_id, payment.currency_code)
            sums[place] += payment.amount_nanos if payment.stands else 0
        return dict(sums)

    @property
    def by_currency(self) -> dict[str, int]:
        """What all orders together have cost."""
        sums: Counter[str] = Counter()
        for (_, currency_code), amount_nanos in self.by_order.items():
            sums[currency_code] += amount_nanos
        return dict(sums)

    @property
    def adds_up(self) -> bool:
        """Every balance is explained by its movements, and the movements by the payments."""
        moved: Counter[str] = Counter()
        for account in self.accounts:
            moved[account.currency_code] += account.taken_nanos - account.returned_nanos
        return all(account.adds_up for account in self.accounts) and moved == Counter(self.by_currency)


@dataclass(frozen=True, slots=True)
class Stock:
    """One item: received once, and since then free or reserved."""

    item_id: str
    received: int
    free: int
    reserved: int

    @property
    def adds_up(self) -> bool:
        return self.received == self.free + self.reserved


@dataclass(frozen=True, slots=True)
class Shipment:
    """One shipment: SCHEDULED or CANCELLED."""

    saga_id: str
    order_id: str
    pieces: int
    status: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """One flight, hotel or kind of car: so many places, each free or booked."""

    item_id: str
    places: int
    free: int
    booked: int

    @property
    def adds_up(self) -> bool:
        return self.places == self.free + self.booked


@dataclass(frozen=True, slots=True)
class Booking:
    """One place that a trip has taken; its id is what tickets are issued for."""

    booking_id: str
    trip_id: str
    price_cents: int
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Email:
    """One e-mail of the outbox: a CONFIRMATION or a CANCELLATION."""

    saga_id: str
    order_id: str
    kind: str


def orders(directory: Path) -> dict[str, str]:
    """The status of each order by its id: CREATED, CONFIRMED or CANCELLED."""
    with _reading(directory, "OrderService") as db:
        return dict(db.execute("SELECT order_id, status FROM orders").fetchall())


def stock(directory: Path) -> dict[str, Stock]:
    """Every item by its id."""
    held = """
    SELECT item_id, received, free, coalesce((
        SELECT sum(quantity) FROM reservations
        WHERE reservations.item_id = stock.item_id AND NOT released), 0)
    FROM stock
    """
    with _reading(directory, "InventoryService") as db:
        return {row[0]: Stock(*row) for row in db.execute(held)}


def reserved(directory: Path) -> dict[str, int]:
    """How many pieces stand reserved for each order."""
    with _reading(directory, "InventoryService") as db:
        return dict(
            db.execute(
                "SELECT order_id, sum(quantity) FROM reservations WHERE NOT released GROUP BY order_id"
            ).fetchall()
        )


def money(directory: Path) -> Money:
    """All payments, oldest first, and all accounts."""
    with _reading(directory, "PaymentService") as db:
        paid = db.execute(
            "SELECT saga_id, step, order_id, user_id, currency_code, amount_nanos, status"
            " FROM payments ORDER BY number"
        ).fetchall()
        moved: Counter[tuple[str, str, str]] = Counter()
        for user_id, currency_code, reason, amount_nanos in db.execute(
            "SELECT user_id, currency_code, reason, amount_nanos FROM movements"
        ):
            moved[user_id, currency_code, reason] += abs(amount_nanos)
        balances = db.execute("SELECT user_id, currency_code, balance_nanos FROM accounts")
        accounts = [
            Account(
                *(user_id, currency_code, balance_nanos),
                opened_nanos=moved[user_id, currency_code, "OPENED"],
                taken_nanos=moved[user_id, currency_code, "TAKEN"],
                returned_nanos=moved[user_id, currency_code, "RETURNED"],
            )
            for user_id, currency_code, balance_nanos in balances
        ]
    return Money(tuple(Payment(*row) for row in paid), tuple(accounts))


def shipments(directory: Path) -> list[Shipment]:
    """All shipments, oldest first."""
    with _reading(directory, "ShippingService") as db:
        found = db.execute("SELECT saga_id, order_id, pieces, status FROM shipments ORDER BY number")
        return [Shipment(*row) for row in found]


def capacity(directory: Path, service: str) -> dict[str, Capacity]:
    """Every flight of FlightService, hotel of HotelService or car of CarService, by its id."""
    held = """
    SELECT item_id, places, free, (
        SELECT count(*) FROM bookings WHERE bookings.item_id = capacity.item_id AND NOT cancelled)
    FROM capacity
    """
    with _reading(directory, service) as db:
        return {row[0]: Capacity(*row) for row in db.execute(held)}


def bookings(directory: Path, service: str) -> list[Booking]:
    """All bookings at FlightService, HotelService or CarService, oldest first."""
    with _reading(directory, service) as db:
        found = db.execute(
            "SELECT item_id || '/' || number, trip_id, price_cents, cancelled FROM bookings ORDER BY number"
        )
        return [
            Booking(booking_id, trip_id, price_cents, bool(cancelled))
            for booking_id, trip_id, price_cents, cancelled in found
        ]


def tickets(directory: Path) -> dict[str, list[str]]:
    """The bookings that each trip has a ticket for, in the order in which they were issued."""
    issued: defaultdict[str, list[str]] = defaultdict(list)
    with _reading(directory, "TicketService") as db:
        for trip_id, booking_id in db.execute("SELECT trip_id, booking_id FROM tickets ORDER BY number"):
            issued[trip_id].append(booking_id)
    return dict(issued)


def emails(directory: Path) -> list[Email]:
    """The outbox, oldest first."""
    with _reading(directory, "NotificationService") as db:
        found = db.execute("SELECT saga_id, order_id, kind FROM outbox ORDER BY number")
        return [Email(*row) for row in found]


@contextmanager
def _reading(directory: Path, service: str) -> Iterator[sqlite3.Connection]:
    path = directory / f"{service}.sqlite3"
    if not path.is_file():
        raise FileNotFoundError(f"{service} has no file in {directory}")
    with closing(open_readonly(path)) as db:
        # One transaction, so that all statements see the same moment.
        db.execute("BEGIN")
        yield db
