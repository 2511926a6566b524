"""The gRPC edge of the barrier: translate, take the turn, delegate, translate back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NoReturn

from grpc.aio import ServicerContext as Context

from participants import tracing
from participants.base import Offer
from participants.calls import Call, Faulted, Operation, Reply
from participants.errors import Unavailable, UnknownService
from participants.hosting import Performer
from participants.requests import NAME_LENGTH_MAX, read_compensate, read_execute
from participants.responses import fill
from participants.status import about, answered
from participants.streams import Stream
from participants.tracing import Traced
from participants.turns import TurnNotReached, Turns
from saga.v1 import participant_pb2 as pb
from saga.v1 import participant_pb2_grpc as rpc


class ParticipantServicer(rpc.ParticipantServiceServicer):
    """Answers for every service that the server hosts."""

    def __init__(self, services: Mapping[str, Performer]) -> None:
        self._services = dict(sorted(services.items()))
        self._turns = {name: Turns() for name in services}
        self._streams: set[Stream] = set()
        self._ending = False

    async def Execute(
        self, request: pb.ExecuteRequest, context: Context[pb.ExecuteRequest, pb.ExecuteResponse]
    ) -> pb.ExecuteResponse:
        async def work() -> pb.ExecuteResponse:
            reply = await self._perform(read_execute(request), context.time_remaining(), traced)
            response = pb.ExecuteResponse()
            fill(response, reply)
            return response

        with tracing.served(context, Operation.EXECUTE) as traced:
            return await answered(context, traced.noting(work()), **about(request, traced.trace))

    async def Compensate(
        self, request: pb.CompensateRequest, context: Context[pb.CompensateRequest, pb.CompensateResponse]
    ) -> pb.CompensateResponse:
        async def work() -> pb.CompensateResponse:
            reply = await self._perform(read_compensate(request), context.time_remaining(), traced)
            response = pb.CompensateResponse()
            fill(response, reply)
            return response

        with tracing.served(context, Operation.COMPENSATE) as traced:
            return await answered(context, traced.noting(work()), **about(request, traced.trace))

    async def Describe(
        self, request: pb.DescribeRequest, context: Context[pb.DescribeRequest, pb.DescribeResponse]
    ) -> pb.DescribeResponse:
        async def work() -> pb.DescribeResponse:
            asked = [self._find(request.service)] if request.service else self._services.values()
            return pb.DescribeResponse(services=[_description(service.offer()) for service in asked])

        return await answered(context, work(), service=request.service[:NAME_LENGTH_MAX])

    async def Perform(
        self,
        request_iterator: AsyncIterator[pb.PerformRequest],
        context: Context[pb.PerformRequest, pb.PerformResponse],
    ) -> AsyncIterator[pb.PerformResponse]:
        if self._ending:
            await answered(context, _refuse())
        stream = Stream(request_iterator, self._perform)
        self._streams.add(stream)
        try:
            while (response := await answered(context, stream.next())) is not None:
                yield response
        finally:
            self._streams.discard(stream)
            await stream.close()

    def end_streams(self) -> None:
        """Take no more calls on streams; each ends once those under way are answered.

        It comes right before the server's `stop`, which would else wait until its grace is over: callers keep
        their streams open for as long as they can.
        """
        self._ending = True
        for stream in self._streams:
            stream.end()

    async def _perform(self, call: Call, time_left_s: float | None, traced: Traced) -> Reply:
        traced.concerns(call)
        service = self._find(call.service)
        try:
            async with self._turns[call.service].take(call.saga_id, call.step, time_left_s):
                reply = await service.perform(call)
        except TurnNotReached:
            busy = Faulted("STEP_BUSY", "An earlier call for this step is still being performed.")
            reply = Reply(call.idempotency_key, busy)
        traced.answered(reply.answer)
        return reply

    def _find(self, name: str) -> Performer:
        service = self._services.get(name)
        if service is None:
            raise UnknownService("This server hosts no service of that name.")
        return service


async def _refuse() -> NoReturn:
    raise Unavailable("The service is not taking calls.")


def _description(offer: Offer) -> pb.ServiceDescription:
    return pb.ServiceDescription(
        service=offer.service,
        transactions=sorted(offer.transactions),
        compensations=sorted(offer.compensations),
        barrier=offer.barrier,
    )
