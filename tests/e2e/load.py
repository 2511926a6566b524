"""Clients that place orders, come back, change their minds and make mistakes, and note all that they saw.

What they do is drawn from a seed; what they see depends on what is done to the coordinator meanwhile.
"""

import asyncio
import hashlib
import itertools
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message
from google.type import money_pb2

from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc
from tests.checker.evidence import ClientCall

CALL_TIMEOUT_S: Final = 20.0
COME_BACK_S: Final = 0.2
CANARY: Final = "tok-canary-"
"""What every payment token begins with, and nothing else."""
FLIGHT_CENTS: Final = 12_990
NIGHT_CENTS: Final = 8_950
DAY_CENTS: Final = 3_995
"""What the example services ask."""
CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 0),
)
INDETERMINATE: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"}
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How often clients do what."""

    by_name: float = 0.15
    """Start the other definition by its name, and leave without waiting."""
    travels: float = 0.2
    """Book a trip by its name: a graph with a pivot."""
    cancel: float = 0.05
    twice: float = 0.05
    """Send the same order twice at once."""
    changed: float = 0.03
    """Come back with the same id and other content."""
    mistaken: float = 0.02


@dataclass
class History:
    """What the clients saw, and what they had ordered."""

    calls: list[ClientCall] = field(default_factory=list)
    ordered_nanos: dict[str, int] = field(default_factory=dict)
    ordered_pieces: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    """The saga input, as JSON text, that each request id stands for."""
    told: list[str] = field(default_factory=list)
    """Every error text that a client got to read."""
    saga_ids: set[str] = field(default_factory=set)
    unanswered: int = 0

    @property
    def operations(self) -> int:
        """How many calls were answered by a coordinator: what kills are timed by."""
        return len(self.calls) - self.unanswered


class Clients:
    """A crowd of clients of one coordinator."""

    def __init__(self, address: str, *, seed: int, habits: Habits, crowd: int) -> None:
        self.history = History()
        self._address = address
        self._chance = random.Random(seed)
        self._habits = habits
        self._crowd = crowd
        self._numbers: Iterator[int] = itertools.count(1)
        self._name = f"k{seed}"
        self._closing = asyncio.Event()

    async def run(self) -> None:
        """Order until told to stop; every client ends its last order before it leaves."""
        async with grpc.aio.insecure_channel(self._address, options=CHANNEL_OPTIONS) as channel:
            self._orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
            self._sagas = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            async with asyncio.TaskGroup() as crowd:
                for _ in range(self._crowd):
                    crowd.create_task(self._keep_ordering())

    def stop(self) -> None:
        """Take no new orders."""
        self._closing.set()

    async def _keep_ordering(self) -> None:
        while not self._closing.is_set():
            order = self._draw_order()
            habit, habits = self._chance.random(), self._habits
            if habit < habits.mistaken:
                order.items[0].quantity = 0
                await self._call("orders", order)
            elif habit < habits.mistaken + habits.by_name:
                await self._start_by_name(order)
            elif habit < habits.mistaken + habits.by_name + habits.travels:
                await self._travel()
            elif habit < habits.mistaken + habits.by_name + habits.travels + habits.twice:
                await asyncio.gather(self._place(order), self._place(order))
            else:
                await self._place(order)
                if self._chance.random() < habits.changed:
                    order.items[0].quantity += 1
                    await self._call("orders", order)

    async def _place(self, order: orders_pb2.PlaceOrderRequest) -> None:
        """Ask with the same call until there is an answer."""
        self.history.inputs[order.order_id] = json.dumps(_input(order))
        while (await self._call("orders", order)) in INDETERMINATE:
            await asyncio.sleep(COME_BACK_S)

    async def _start_by_name(self, order: orders_pb2.PlaceOrderRequest) -> None:
        content = json_format.MessageToDict(order, preserving_proto_field_name=True)
        content["payment_info"]["amount"]["units"] = order.payment_info.amount.units
        await self._start("OrderPlacementSaga", order.order_id, json.dumps(content))

    async def _travel(self) -> None:
        trip = self._draw_trip()
        await self._start("BookTrip", str(trip["trip_id"]), json.dumps(trip))

    async def _start(self, saga_name: str, request_id: str, text: str) -> None:
        """Start a saga by its definition's name, leave without waiting, and cancel it now and then."""
        self.history.inputs[request_id] = text
        request = coordinator_pb2.StartSagaRequest(
            saga_name=saga_name, request_id=request_id, input_json=text
        )
        while (await self._call("sagas", request)) in INDETERMINATE:
            await asyncio.sleep(COME_BACK_S)
        if self._chance.random() < self._habits.cancel / self._habits.by_name:
            await self._cancel(self.history.calls[-1].saga_id or "")

    async def _cancel(self, saga_id: str) -> None:
        cancel = coordinator_pb2.CancelSagaRequest(saga_id=saga_id, reason="changed my mind")
        try:
            await self._sagas.CancelSaga(cancel, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return  # ended already, past its pivot, or the coordinator is gone: all of that is fair

    async def _call(self, door: str, request: Message) -> str:
        """Send *request* once and note what came of it; returns the code."""
        invoked_ns = time.monotonic_ns()
        saga_id, ended, code = None, None, "OK"
        try:
            if isinstance(request, orders_pb2.PlaceOrderRequest):
                placed = await self._orders.PlaceOrder(request, timeout=CALL_TIMEOUT_S)
                saga_id, ended = placed.saga_id, orders_pb2.OrderStatus.Name(placed.status)
            elif isinstance(request, coordinator_pb2.StartSagaRequest):
                saga_id = (await self._sagas.StartSaga(request, timeout=CALL_TIMEOUT_S)).saga.saga_id
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            self.history.told.append(f"{error.details()} {error.trailing_metadata()}")
        if saga_id is not None:
            self.history.saga_ids.add(saga_id)
        self.history.unanswered += code == "UNAVAILABLE"
        request_id: str = getattr(request, "order_id", "") or getattr(request, "request_id", "")
        payload = request.SerializeToString(deterministic=True)
        self.history.calls.append(
            ClientCall(
                door=door,
                request_id=request_id,
                payload_hash=hashlib.sha256(payload).hexdigest(),
                invoked_ns=invoked_ns,
                replied_ns=time.monotonic_ns(),
                code=code,
                saga_id=saga_id,
                ended=ended,
            )
        )
        return code

    def _draw_order(self) -> orders_pb2.PlaceOrderRequest:
        chance = self._chance
        order_id = f"{self._name}-{next(self._numbers)}"
        token = f"{CANARY}{order_id}-{chance.getrandbits(32):08x}"
        user = "u-broke" if chance.random() < 0.05 else f"u-{chance.randint(1, 20)}"
        item = chance.choices([f"sku-{chance.randint(1, 20)}", "sku-short", "sku-unknown"], [94, 3, 3])[0]
        quantity, units = chance.randint(1, 3), chance.randint(1, 500)
        self.history.ordered_nanos[order_id] = units * 1_000_000_000
        self.history.ordered_pieces[order_id] = quantity
        return orders_pb2.PlaceOrderRequest(
            order_id=order_id,
            user_id=user,
            items=[orders_pb2.OrderItem(item_id=item, quantity=quantity)],
            payment_info=orders_pb2.PaymentInfo(
                method="card", token=token, amount=money_pb2.Money(currency_code="EUR", units=units)
            ),
        )

    def _draw_trip(self) -> dict[str, object]:
        chance = self._chance
        trip_id = f"{self._name}-{next(self._numbers)}"
        nights, days = chance.randint(1, 3), chance.choice([0, 1, 2])
        user = "u-broke" if chance.random() < 0.05 else f"u-{chance.randint(1, 20)}"
        hotel = "hotel-last" if chance.random() < 0.05 else f"hotel-{chance.randint(1, 20)}"
        cents = FLIGHT_CENTS + nights * NIGHT_CENTS + days * DAY_CENTS
        self.history.ordered_nanos[trip_id] = cents * 10_000_000
        self.history.ordered_pieces[trip_id] = 2 + (days > 0)
        trip: dict[str, object] = {
            "trip_id": trip_id,
            "traveller_id": user,
            "flight_id": f"flight-{chance.randint(1, 20)}",
            "hotel_id": hotel,
            "nights": nights,
            "payment_info": {
                "method": "card",
                "token": f"{CANARY}{trip_id}-{chance.getrandbits(32):08x}",
            },
        }
        return {**trip, "car": {"car_id": f"car-{chance.randint(1, 20)}", "days": days}} if days else trip


def _input(order: orders_pb2.PlaceOrderRequest) -> dict[str, object]:
    """The input of the saga that places *order*: its fields, numbers as numbers."""
    amount = order.payment_info.amount
    return {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "items": [{"item_id": item.item_id, "quantity": item.quantity} for item in order.items],
        "payment_info": {
            "method": order.payment_info.method,
            "token": order.payment_info.token,
            "amount": {"currency_code": amount.currency_code, "units": amount.units, "nanos": amount.nanos},
        },
    }
