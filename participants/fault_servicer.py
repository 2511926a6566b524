"""The gRPC edge of fault plans.  For drills, demos and tests, never for production."""

from __future__ import annotations

from collections.abc import Mapping

from grpc.aio import ServicerContext as Context

from participants.fault_parser import parse_plan
from participants.fault_plan import FaultPlan
from participants.faults import Faulty
from participants.status import answered
from saga.testing.v1 import faults_pb2 as pb
from saga.testing.v1 import faults_pb2_grpc as rpc


class FaultServicer(rpc.FaultServiceServicer):
    """Sets one plan for all services of the server."""

    def __init__(self, services: Mapping[str, Faulty], plan: FaultPlan) -> None:
        self._services = services
        self._plan = plan

    async def SetFaults(
        self, request: pb.SetFaultsRequest, context: Context[pb.SetFaultsRequest, pb.SetFaultsResponse]
    ) -> pb.SetFaultsResponse:
        return await answered(context, self._set(request.faults_json))

    async def GetFaults(
        self, request: pb.GetFaultsRequest, context: Context[pb.GetFaultsRequest, pb.GetFaultsResponse]
    ) -> pb.GetFaultsResponse:
        return pb.GetFaultsResponse(faults_json=self._plan.text)

    async def _set(self, text: str) -> pb.SetFaultsResponse:
        # Understood as a whole before anything changes: of a wrong plan, the old one stays.
        plan = parse_plan(text, self._plan.known)
        for service in self._services.values():
            await service.set_plan(plan)
        self._plan = plan
        return pb.SetFaultsResponse()
