"""OrderPlacementService: the typed front door of one saga, which a setting names.

An order is answered when it is decided: SUCCESS if and only if its saga COMPLETED, FAILED once no
automatic work is left. Until then the caller waits, and can always come back with the same call.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

from grpc import aio

from coordinator.api.convert import saga_status
from coordinator.api.errors import FrontDoorClosed
from coordinator.api.requests import ORDER_FIELDS, order_input
from coordinator.api.streams import Kind, Streams
from coordinator.api.waiting import patience_s
from coordinator.domain.errors import DefinitionNotFound, InvalidRequest, Undecided
from coordinator.domain.ids import RequestId
from coordinator.domain.language.front_door import FrontDoor
from coordinator.domain.saga import Status
from coordinator.engine.definitions import Definitions
from coordinator.engine.sagas import Sagas, Wanted
from saga.orders.v1 import orders_pb2 as pb
from saga.orders.v1 import orders_pb2_grpc as rpc

ORDERS_DOOR: Final = "orders"
ORDERS: Final = Kind(
    method="/saga.orders.v1.OrderPlacementService/PlaceOrder",
    entries="orders",
    request="order",
    answers=pb.PlaceOrdersResponse,
    answers_field="orders",
    answer="order",
)

_Context = aio.ServicerContext[Any, Any]


def orders_door(saga_name: str) -> FrontDoor:
    """The door that leads to the saga *saga_name*."""
    return FrontDoor("PlaceOrder", "SAGA_PLACE_ORDER_SAGA", saga_name, ORDER_FIELDS)


class OrderPlacementServicer(rpc.OrderPlacementServiceServicer):
    """Places orders."""

    def __init__(
        self, sagas: Sagas, definitions: Definitions, door: FrontDoor, streams: Streams, *, wait_max_s: float
    ) -> None:
        self._sagas = sagas
        self._definitions = definitions
        self._door = door
        self._streams = streams
        self._wait_max_s = wait_max_s

    def PlaceOrders(
        self, request_iterator: AsyncIterator[pb.PlaceOrdersRequest], context: _Context
    ) -> AsyncIterator[pb.PlaceOrdersResponse]:
        return self._streams.answers(ORDERS, self.PlaceOrder, request_iterator, context)

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: _Context) -> pb.PlaceOrderResponse:
        order_id = request.order_id
        wanted = Wanted(
            front_door=ORDERS_DOOR,
            request_id=RequestId(order_id),
            saga_name=self._door.saga_name,
            version=None,
            input=order_input(request),
            # The caller chose no definition, so pointing this door elsewhere breaks no repeated call.
            names_definition=False,
        )
        try:
            accepted = await self._sagas.start(wanted)
        except (DefinitionNotFound, InvalidRequest) as error:
            # Both are faults of the operator, who can mend them while the caller tries again. The door may
            # have been opened again by now: then what was wrong with this call is all there is to say.
            fault = self._definitions.fault_of(self._door) or str(error)
            raise FrontDoorClosed(f"{self._door.shut(fault)}; nothing was written") from None
        timeout_s = patience_s(context, self._wait_max_s)
        ended = await self._sagas.wait(accepted.summary.id, timeout_s=timeout_s)
        if ended.status is Status.DEAD_LETTERED and ended.turned_back_at is None:
            # Neither undone nor being undone: FAILED would tell the caller what nobody knows yet.
            raise Undecided(ended.id, ended.status, ended.error_message)
        return pb.PlaceOrderResponse(
            order_id=order_id,
            status=pb.SUCCESS if ended.status is Status.COMPLETED else pb.FAILED,
            error_message=ended.error_message,
            saga_id=ended.id,
            saga_status=saga_status(ended.status),
        )
