"""`python -m scripts.bench.echo`: answers every order at once and does nothing else, a floor for callers."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio

from saga.orders.v1 import orders_pb2 as pb
from saga.v1 import types_pb2
from scripts.bench.serving import serve_until_stopped

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["OrderPlacementService"].full_name
_SAGA_ID: Final = "01970000-0000-7000-8000-000000000001"


async def place_order(request: pb.PlaceOrderRequest, context: object) -> pb.PlaceOrderResponse:
    return _answer(request)


async def place_orders(
    batches: AsyncIterable[pb.PlaceOrdersRequest], context: object
) -> AsyncIterator[pb.PlaceOrdersResponse]:
    async for batch in batches:
        response = pb.PlaceOrdersResponse()
        for one in batch.orders:
            response.orders.add(number=one.number, order=_answer(one.order))
        yield response


def _answer(request: pb.PlaceOrderRequest) -> pb.PlaceOrderResponse:
    return pb.PlaceOrderResponse(
        order_id=request.order_id,
        status=pb.SUCCESS,
        saga_id=_SAGA_ID,
        saga_status=types_pb2.SAGA_STATUS_COMPLETED,
    )


def main() -> None:
    offered: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "PlaceOrder": grpc.unary_unary_rpc_method_handler(
            place_order, pb.PlaceOrderRequest.FromString, pb.PlaceOrderResponse.SerializeToString
        ),
        "PlaceOrders": grpc.stream_stream_rpc_method_handler(
            place_orders, pb.PlaceOrdersRequest.FromString, pb.PlaceOrdersResponse.SerializeToString
        ),
    }
    asyncio.run(serve_until_stopped("echo", 0, grpc.method_handlers_generic_handler(_SERVICE, offered)))


if __name__ == "__main__":
    main()
