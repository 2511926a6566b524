"""The gRPC edge of the barrier: translate, take the turn, delegate, translate back."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from grpc.aio import ServicerContext as Context

from participants import tracing
from participants.base import Offer
from participants.calls import Answer, Call, Faulted, Operation, Pending, Refused, Reply, Succeeded
from participants.errors import UnknownService
from participants.hosting import Performer
from participants.requests import NAME_LENGTH_MAX, read_compensate, read_execute
from participants.status import answered
from participants.tracing import Traced
from participants.turns import TurnNotReached, Turns
from saga.v1 import participant_pb2 as pb
from saga.v1 import participant_pb2_grpc as rpc


class ParticipantServicer(rpc.ParticipantServiceServicer):
    """Answers for every service that the server hosts."""

    def __init__(self, services: Mapping[str, Performer]) -> None:
        self._services = dict(sorted(services.items()))
        self._turns = {name: Turns() for name in services}

    async def Execute(
        self, request: pb.ExecuteRequest, context: Context[pb.ExecuteRequest, pb.ExecuteResponse]
    ) -> pb.ExecuteResponse:
        async def work() -> pb.ExecuteResponse:
            reply = await self._perform(read_execute(request), context.time_remaining(), traced)
            response = pb.ExecuteResponse(idempotency_key=reply.idempotency_key)
            _set_outcome(response, reply.answer)
            return response

        with tracing.served(context, Operation.EXECUTE) as traced:
            return await answered(context, traced.noting(work()), **_about(request, traced))

    async def Compensate(
        self, request: pb.CompensateRequest, context: Context[pb.CompensateRequest, pb.CompensateResponse]
    ) -> pb.CompensateResponse:
        async def work() -> pb.CompensateResponse:
            reply = await self._perform(read_compensate(request), context.time_remaining(), traced)
            response = pb.CompensateResponse(idempotency_key=reply.idempotency_key)
            _set_outcome(response, reply.answer)
            return response

        with tracing.served(context, Operation.COMPENSATE) as traced:
            return await answered(context, traced.noting(work()), **_about(request, traced))

    async def Describe(
        self, request: pb.DescribeRequest, context: Context[pb.DescribeRequest, pb.DescribeResponse]
    ) -> pb.DescribeResponse:
        async def work() -> pb.DescribeResponse:
            asked = [self._find(request.service)] if request.service else self._services.values()
            return pb.DescribeResponse(services=[_description(service.offer()) for service in asked])

        return await answered(context, work(), service=request.service[:NAME_LENGTH_MAX])

    async def _perform(self, call: Call, time_left_s: float | None, traced: Traced) -> Reply:
        traced.concerns(call)
        reply = await self._take_turn(call, time_left_s)
        traced.answered(reply.answer)
        return reply

    async def _take_turn(self, call: Call, time_left_s: float | None) -> Reply:
        service = self._find(call.service)
        try:
            async with self._turns[call.service].take(call.saga_id, call.step, time_left_s):
                return await service.perform(call)
        except TurnNotReached:
            busy = Faulted("STEP_BUSY", "An earlier call for this step is still being performed.")
            return Reply(call.idempotency_key, busy)

    def _find(self, name: str) -> Performer:
        service = self._services.get(name)
        if service is None:
            raise UnknownService("This server hosts no service of that name.")
        return service


def _about(request: pb.ExecuteRequest | pb.CompensateRequest, traced: Traced) -> dict[str, str]:
    given = {"service": request.service, "saga_id": request.saga_id, "step": request.step}
    # A stranger may send names of any length.
    about = {name: value[:NAME_LENGTH_MAX] for name, value in given.items()}
    return {**about, "trace": traced.trace} if traced.trace else about


def _description(offer: Offer) -> pb.ServiceDescription:
    return pb.ServiceDescription(
        service=offer.service,
        transactions=sorted(offer.transactions),
        compensations=sorted(offer.compensations),
        barrier=offer.barrier,
    )


def _set_outcome(response: pb.ExecuteResponse | pb.CompensateResponse, answer: Answer | None) -> None:
    match answer:
        case Succeeded(output_json):
            response.succeeded.output_json = output_json
            response.succeeded.SetInParent()
        case Refused():
            response.refused.CopyFrom(pb.Refused(code=answer.code, message=answer.message))
        case Pending():
            response.pending.CopyFrom(pb.Pending(ask_again_after=_duration(answer.ask_again_after_s)))
        case Faulted():
            response.faulted.CopyFrom(
                pb.Faulted(
                    code=answer.code,
                    message=answer.message,
                    retry_after=_duration(answer.retry_after_s),
                )
            )
        case None:
            # A broken contract on purpose: only a fault plan answers nothing.
            return


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    made = Duration()
    made.FromNanoseconds(round(seconds * 1_000_000_000))
    return made
