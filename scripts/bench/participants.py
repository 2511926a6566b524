"""`python -m scripts.bench.participants`: performs every step by doing nothing, as fast as grpc.aio allows.

What it costs is no part of what is measured, so it is as little as it can be: no tasks, no names checked.
"""

import argparse
import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

import grpc

from saga.v1 import participant_pb2 as pb
from scripts.bench.serving import serve_until_stopped

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["ParticipantService"].full_name
_DONE: Final = pb.Succeeded(output_json='{"reference":"r-1"}')
_NO: Final = pb.Refused(code="NOT_TODAY", message="The benchmark asks for a refusal.")


class NoOp:
    """Says yes to all but one transaction."""

    def __init__(self, refuses: str) -> None:
        """*refuses* is the transaction that is answered no; empty: none is."""
        self._refuses = refuses

    async def execute(self, request: pb.ExecuteRequest, context: object) -> pb.ExecuteResponse:
        return self._executed(request)

    async def compensate(self, request: pb.CompensateRequest, context: object) -> pb.CompensateResponse:
        return _compensated(request)

    async def perform(
        self, batches: AsyncIterable[pb.PerformRequest], context: object
    ) -> AsyncIterator[pb.PerformResponse]:
        async for batch in batches:
            response = pb.PerformResponse()
            add = response.answers.add
            for call in batch.calls:
                if call.HasField("execute"):
                    add(number=call.number, execute=self._executed(call.execute))
                else:
                    add(number=call.number, compensate=_compensated(call.compensate))
            if response.answers or not batch.cancelled:
                yield response

    def _executed(self, request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        if request.transaction == self._refuses:
            return pb.ExecuteResponse(idempotency_key=request.idempotency_key, refused=_NO)
        return pb.ExecuteResponse(idempotency_key=request.idempotency_key, succeeded=_DONE)


def _compensated(request: pb.CompensateRequest) -> pb.CompensateResponse:
    return pb.CompensateResponse(idempotency_key=request.idempotency_key, succeeded=_DONE)


def handlers(no_op: NoOp, *, is_batched: bool) -> grpc.GenericRpcHandler:
    """Without the stream gRPC itself answers it UNIMPLEMENTED, as a server of older protos does."""
    offered: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Execute": grpc.unary_unary_rpc_method_handler(
            no_op.execute, pb.ExecuteRequest.FromString, pb.ExecuteResponse.SerializeToString
        ),
        "Compensate": grpc.unary_unary_rpc_method_handler(
            no_op.compensate, pb.CompensateRequest.FromString, pb.CompensateResponse.SerializeToString
        ),
    }
    if is_batched:
        offered["Perform"] = grpc.stream_stream_rpc_method_handler(
            no_op.perform, pb.PerformRequest.FromString, pb.PerformResponse.SerializeToString
        )
    return grpc.method_handlers_generic_handler(_SERVICE, offered)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="*", help="all are served, whatever they are called")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", help="not used: nothing is kept")
    parser.add_argument("--unary", action="store_true", help="do not offer the stream")
    parser.add_argument("--refuses", default="", help="the transaction that is refused")
    given = parser.parse_args()
    offered = handlers(NoOp(given.refuses), is_batched=not given.unary)
    asyncio.run(serve_until_stopped("participants", given.port, offered))


if __name__ == "__main__":
    main()
