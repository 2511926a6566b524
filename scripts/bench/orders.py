"""The orders that are placed, and the definition that they run."""

import json
from pathlib import Path
from typing import Final

from google.type import money_pb2

from coordinator.client.model import Item, Money, Payment
from saga.orders.v1 import orders_pb2
from scripts.bench.cells import STEPS
from scripts.cluster import ROOT

SERVICES: Final = ("OrderService", "InventoryService", "PaymentService", "ShippingService")
SHIPPED: Final = ROOT / "definitions" / "place_order.json"
USER: Final = "u-1"
PAYMENT: Final = Payment("card", "tok-1", Money("EUR", 42))
_ITEM_BYTES: Final = 112
"""What an item of a large order takes in JSON."""


def definition(steps: int) -> dict[str, object]:
    """The one that ships where it has as many steps; else steps in a row, which only take the order's id."""
    if steps == STEPS:
        shipped: dict[str, object] = json.loads(SHIPPED.read_text())
        return shipped
    entries = [
        {
            "service": SERVICES[place % len(SERVICES)],
            "name": f"step{place + 1}",
            "transaction": last_transaction(steps) if place == steps - 1 else "perform",
            "compensation": "undo",
            "input": ["order_id"],
        }
        for place in range(steps)
    ]
    return {"sagaName": "PlaceOrder", "version": f"{steps}", "steps": entries}


def last_transaction(steps: int) -> str:
    """The transaction that refuses where orders are to be undone."""
    return "scheduleShipment" if steps == STEPS else "performLast"


def write_definition(folder: Path, steps: int) -> Path:
    """Let *folder* hold the definition and nothing else."""
    folder.mkdir()
    (folder / "place_order.json").write_text(json.dumps(definition(steps)))
    return folder


def items(payload_bytes: int) -> list[Item]:
    """A piece of one item; for a large order, items with long names."""
    count = payload_bytes // _ITEM_BYTES
    return [Item(f"sku-{place:0{_ITEM_BYTES - 32}d}", 1) for place in range(count)] or [Item("sku-1", 1)]


def request(order_id: str, payload_bytes: int) -> orders_pb2.PlaceOrderRequest:
    """The same order for a stub."""
    amount = money_pb2.Money(currency_code=PAYMENT.amount.currency_code, units=PAYMENT.amount.units)
    return orders_pb2.PlaceOrderRequest(
        order_id=order_id,
        user_id=USER,
        items=[
            orders_pb2.OrderItem(item_id=item.item_id, quantity=item.quantity)
            for item in items(payload_bytes)
        ],
        payment_info=orders_pb2.PaymentInfo(method=PAYMENT.method, token=PAYMENT.token, amount=amount),
    )
