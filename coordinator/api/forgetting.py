"""Lets go of what a call was asked, once it is over.

gRPC keeps the error that ends a call in a circle with that call, and an error leads to every frame that it
came through, so to the request. Circles stay until garbage is looked for, which is seldom done here, and a
message may take 35 times the memory that it took on the wire: a dozen that are refused come to a gigabyte.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

import grpc
from grpc import HandlerCallDetails, aio

_Context = aio.ServicerContext[Any, Any]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Behaviour: TypeAlias = Callable[[Any, _Context], Awaitable[Any]]


class ForgetsRequests(aio.ServerInterceptor):
    """Stands around all others."""

    async def intercept_service(
        self,
        continuation: Callable[[HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: HandlerCallDetails,
    ) -> _Handler:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        behaviour, make = handler.unary_unary, grpc.unary_unary_rpc_method_handler
        if behaviour is None:
            if handler.stream_stream is not None:
                behaviour, make = handler.stream_stream, grpc.stream_stream_rpc_method_handler
            else:
                behaviour, make = handler.unary_stream, grpc.unary_stream_rpc_method_handler
            if not inspect.iscoroutinefunction(behaviour):
                return cast(_Handler, handler)  # it yields its answers: health and reflection do, ours do not
        return make(_forgetting(behaviour), handler.request_deserializer, handler.response_serializer)


def _forgetting(behaviour: _Behaviour) -> _Behaviour:
    async def answer(request: Any, context: _Context) -> Any:
        try:
            return await behaviour(request, context)
        except BaseException as error:
            error.__traceback__ = None
            raise

    return answer
