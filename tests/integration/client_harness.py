"""Both clients behind one face, so that each test of a call is one of both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from coordinator.client import BlockingClient, Client, Item, Money, Order, Payment
from tests.integration.api_harness import TOKEN, Coordinator, coordinator

ITEMS = [Item("sku-1", 2)]
PAYMENT = Payment("card", TOKEN, Money("EUR", 42, 500_000_000))

AN_ORDER: dict[str, Any] = {"order_id": "o-1", "user_id": "u-1", "items": ITEMS, "payment": PAYMENT}

Handle = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Any]
"""A method of a server that is none of ours: bytes in, bytes out."""


class InThread:
    """The blocking client, awaited from a thread: what the asyncio client has, in the same words."""

    def __init__(self, target: str, **options: Any) -> None:
        self._client = BlockingClient(target, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name in ("list", "watch"):
            return lambda *args, **named: self._each(method(*args, **named))
        return lambda *args, **named: asyncio.to_thread(method, *args, **named)

    async def close(self) -> None:
        self._client.close()

    async def _each(self, values: Any) -> AsyncIterator[Any]:
        end = object()
        try:
            while (value := await asyncio.to_thread(next, values, end)) is not end:
                yield value
        finally:
            values.close()


both = pytest.mark.parametrize("kind", [Client, InThread], ids=["asyncio", "blocking"])
"""A test for either client."""


@asynccontextmanager
async def calling(kind: Callable[[str], Any], **settings: Any) -> AsyncIterator[tuple[Any, Coordinator]]:
    async with coordinator(**settings) as c:
        client = kind(c.address)
        try:
            yield client, c
        finally:
            await client.close()


def place(client: Any, order_id: str = "o-1", **changed: Any) -> Awaitable[Order]:
    answer: Awaitable[Order] = client.place_order(**{**AN_ORDER, "order_id": order_id, **changed})
    return answer


async def collected(values: Any) -> list[Any]:
    return [value async for value in values]


def is_shared(details: grpc.HandlerCallDetails) -> bool:
    """Whether a call is a stream that carries others, which an older coordinator does not have."""
    return details.method.endswith(("/PlaceOrders", "/StartSagas"))


@asynccontextmanager
async def answering(
    handle: Handle, *, stream: bool = False, address: str = "127.0.0.1:0"
) -> AsyncIterator[str]:
    """A gRPC server that answers every method of an older coordinator, with bytes, as *handle* does."""

    class Every(grpc.GenericRpcHandler):
        def service(
            self, handler_call_details: grpc.HandlerCallDetails
        ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
            if is_shared(handler_call_details):
                return None
            make = grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
            handler: grpc.RpcMethodHandler[bytes, bytes] = make(handle)
            return handler

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Every(),))
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"{address.rpartition(':')[0]}:{port}"
    finally:
        await server.stop(None)
