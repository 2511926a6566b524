"""The services of an order: what they keep, what they refuse, and that their books add up."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from participants import audit
from participants.services.fields import NANOS
from participants.services.payment import OPENING_NANOS
from tests.unit.participants.shop import Shop

ORDER = {
    "order_id": "o-1",
    "user_id": "u-1",
    "items": [{"item_id": "sku-1", "quantity": 2}, {"item_id": "sku-2", "quantity": 1}],
    "payment_info": {
        "method": "card",
        "token": "tok-canary",
        "amount": {"currency_code": "EUR", "units": "42", "nanos": 500_000_000},
    },
}
# Which step runs where, and what undoes it.
STEPS = {
    "createOrder": ("OrderService", "cancelOrder"),
    "confirmOrder": ("OrderService", ""),
    "reserveInventory": ("InventoryService", "releaseInventory"),
    "processPayment": ("PaymentService", "refundPayment"),
    "reserveFunds": ("PaymentService", "releaseFunds"),
    "scheduleShipment": ("ShippingService", "cancelShipment"),
    "sendConfirmationEmail": ("NotificationService", "sendCancellationEmail"),
}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path, STEPS, ORDER)
    yield opened
    opened.close()


def changed(path: str, value: object) -> dict[str, object]:
    """The order with one field replaced, or removed where *value* is None."""
    given: Any = copy.deepcopy(ORDER)
    *ways, last = path.split(".")
    place = given
    for way in ways:
        place = place[int(way) if way.isdigit() else way]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return dict(given)


def test_an_order_that_is_placed_stands_everywhere(shop: Shop) -> None:
    for name in ("createOrder", "reserveInventory", "processPayment", "scheduleShipment"):
        assert isinstance(shop.execute(name), dict)
    shop.execute("sendConfirmationEmail")
    assert shop.execute("confirmOrder", {"order_id": "o-1"}) == {"order_id": "o-1", "status": "CONFIRMED"}
    assert audit.orders(shop.directory) == {"o-1": "CONFIRMED"}
    assert audit.reserved(shop.directory) == {"o-1": 3}
    assert audit.stock(shop.directory)["sku-1"] == audit.Stock("sku-1", 1_000_000, 999_998, 2)
    assert audit.money(shop.directory).by_order == {("o-1", "EUR"): 42_500_000_000}
    assert audit.shipments(shop.directory) == [audit.Shipment("s-1", "o-1", 3, "SCHEDULED")]
    assert audit.emails(shop.directory) == [audit.Email("s-1", "o-1", "CONFIRMATION")]


def test_an_order_that_is_undone_stands_nowhere(shop: Shop) -> None:
    for name in STEPS:
        shop.execute(name)
    for name in STEPS:
        assert shop.undo(name) is None
    money = audit.money(shop.directory)
    (account,) = money.accounts
    assert audit.orders(shop.directory) == {"o-1": "CANCELLED"}
    assert audit.reserved(shop.directory) == {}
    assert all(item.free == item.received for item in audit.stock(shop.directory).values())
    assert money.by_currency == {"EUR": 0}
    assert account.balance_nanos == account.opened_nanos == OPENING_NANOS
    assert account.taken_nanos == account.returned_nanos == 2 * 42_500_000_000
    assert [shipment.status for shipment in audit.shipments(shop.directory)] == ["CANCELLED"]
    assert [mail.kind for mail in audit.emails(shop.directory)] == ["CONFIRMATION", "CANCELLATION"]


def test_the_books_add_up_and_tell_when_they_do_not(shop: Shop) -> None:
    shop.execute("processPayment")
    shop.execute("reserveInventory")
    assert audit.money(shop.directory).adds_up
    assert all(item.adds_up for item in audit.stock(shop.directory).values())
    shop.files["PaymentService"].connection.execute("UPDATE accounts SET balance_nanos = 7")
    shop.files["InventoryService"].connection.execute("UPDATE stock SET free = 7")
    assert not audit.money(shop.directory).adds_up
    assert not audit.stock(shop.directory)["sku-1"].adds_up


def test_a_balance_that_no_payment_explains_does_not_add_up(shop: Shop) -> None:
    shop.execute("processPayment")
    shop.files["PaymentService"].connection.execute("UPDATE payments SET status = 'RETURNED'")
    assert not audit.money(shop.directory).adds_up


def test_who_is_broke_has_insufficient_funds(shop: Shop) -> None:
    refused = ("INSUFFICIENT_FUNDS", "The account does not cover the amount.")
    assert shop.execute("processPayment", changed("user_id", "u-broke")) == refused
    assert shop.execute("reserveFunds", changed("user_id", "u-broke")) == refused
    assert audit.money(shop.directory).payments == ()


def test_an_amount_beyond_every_balance_is_refused_exactly(shop: Shop) -> None:
    units = "payment_info.amount.units"
    most = changed(units, str(OPENING_NANOS // NANOS - 43))
    assert isinstance(shop.execute("processPayment", most), dict)
    left = changed("payment_info.amount", {"currency_code": "EUR", "units": 42, "nanos": 500_000_001})
    assert shop.execute("processPayment", left, "s-2") == (
        "INSUFFICIENT_FUNDS",
        "The account does not cover the amount.",
    )
    exact = changed("payment_info.amount", {"currency_code": "EUR", "units": 42, "nanos": 500_000_000})
    assert isinstance(shop.execute("processPayment", exact, "s-3"), dict)
    huge = changed(units, "9" * 19)
    assert shop.execute("processPayment", huge, "s-4") == (
        "INSUFFICIENT_FUNDS",
        "The account does not cover the amount.",
    )


@pytest.mark.parametrize(("item", "quantity"), [("sku-none", 1), ("sku-short", 2), ("sku-1", 1_000_000_000)])
def test_an_unknown_or_short_item_is_out_of_stock_and_nothing_is_reserved(
    shop: Shop, item: str, quantity: int
) -> None:
    given = changed("items", [{"item_id": "sku-2", "quantity": 1}, {"item_id": item, "quantity": quantity}])
    code = ("OUT_OF_STOCK", f"There is not enough of {item} in stock.")
    assert shop.execute("reserveInventory", given) == code
    assert audit.reserved(shop.directory) == {}
    assert all(entry.adds_up for entry in audit.stock(shop.directory).values())


def test_an_item_that_is_listed_twice_is_added_up(shop: Shop) -> None:
    twice = changed("items", [{"item_id": "sku-short", "quantity": 1}] * 2)
    assert shop.execute("reserveInventory", twice) == (
        "OUT_OF_STOCK",
        "There is not enough of sku-short in stock.",
    )


def test_an_order_id_is_used_up_even_by_a_cancelled_order(shop: Shop) -> None:
    shop.execute("createOrder")
    shop.undo("createOrder")
    refused = ("ORDER_EXISTS", "An order of this id exists already.")
    assert shop.execute("createOrder", saga="s-2") == refused


def test_only_its_own_saga_confirms_or_cancels_an_order(shop: Shop) -> None:
    shop.execute("createOrder")
    refused = ("ORDER_NOT_OPEN", "There is no open order of this id.")
    assert shop.execute("confirmOrder", saga="s-2") == refused
    shop.undo("createOrder", saga="s-2")
    assert audit.orders(shop.directory) == {"o-1": "CREATED"}


def test_no_file_holds_a_payment_token(shop: Shop) -> None:
    for name in STEPS:
        shop.execute(name)
    assert any(b"o-1" in path.read_bytes() for path in shop.directory.iterdir())
    for path in shop.directory.iterdir():
        assert b"tok-canary" not in path.read_bytes()


def test_an_audit_of_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="PaymentService has no file"):
        audit.money(tmp_path)


def test_an_audit_cannot_write(shop: Shop) -> None:
    with (
        audit._reading(shop.directory, "OrderService") as db,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        db.execute("DELETE FROM orders")


INVALID = [
    ("createOrder", "order_id", None, "order_id must be a text"),
    ("createOrder", "user_id", "", "user_id must be a text"),
    ("createOrder", "items", [], "items must be a list that is not empty"),
    ("createOrder", "items", {"item_id": "sku-1"}, "items must be a list"),
    ("reserveInventory", "items", None, "items must be a list"),
    ("reserveInventory", "items", ["sku-1"], "items[0] must be an object"),
    ("reserveInventory", "items.0.item_id", None, "items[0].item_id must be a text"),
    ("reserveInventory", "items.1.quantity", 0, "items[1].quantity must be a whole number"),
    ("reserveInventory", "items.1.quantity", 1.5, "items[1].quantity must be a whole number"),
    ("reserveInventory", "items.1.quantity", True, "items[1].quantity must be a whole number"),
    ("reserveInventory", "items.1.quantity", 10**10, "items[1].quantity must be a whole number"),
    ("scheduleShipment", "order_id", 7, "order_id must be a text"),
    ("sendConfirmationEmail", "user_id", None, "user_id must be a text"),
    ("confirmOrder", "order_id", None, "order_id must be a text"),
    ("processPayment", "payment_info", None, "payment_info must be an object"),
    ("processPayment", "payment_info.token", None, "payment_info.token must be a text"),
    ("processPayment", "payment_info.method", "", "payment_info.method must be a text"),
    ("processPayment", "payment_info.amount", 42, "payment_info.amount must be an object"),
    ("reserveFunds", "payment_info.amount.currency_code", "eur", "must be three capital letters"),
    ("reserveFunds", "payment_info.amount.units", "4.2", "payment_info.amount must be above zero"),
    ("reserveFunds", "payment_info.amount.units", -1, "payment_info.amount must be above zero"),
    ("reserveFunds", "payment_info.amount.nanos", 10**9, "payment_info.amount must be above zero"),
    ("reserveFunds", "payment_info.amount", {"currency_code": "EUR"}, "must be above zero"),
]


@pytest.mark.parametrize(("name", "path", "value", "sentence"), INVALID)
def test_a_field_that_is_missing_or_wrong_is_refused_by_name(
    shop: Shop, name: str, path: str, value: object, sentence: str
) -> None:
    refused = shop.execute(name, changed(path, value))
    assert isinstance(refused, tuple)
    assert refused[0] == "INVALID_INPUT"
    assert sentence in refused[1]
    assert "tok-canary" not in refused[1]
