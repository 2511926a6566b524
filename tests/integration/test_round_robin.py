"""One service behind one target of several addresses: its calls go round, and one address may die."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import grpc
import grpc.aio
import pytest

from coordinator.client import Client
from coordinator.client.model import SagaStatus, StepStatus
from saga.v1 import participant_pb2 as pb
from saga.v1 import participant_pb2_grpc as rpc
from scripts.cluster import Cluster

SAGAS = 40
TRIP = {
    "sagaName": "Trip",
    "steps": [
        {"service": "Hotel", "transaction": "bookRoom", "compensation": "cancelRoom"},
        {"service": "Hotel", "transaction": "bookTable", "compensation": None},
    ],
}


class Store:
    """What both servers of the service stand on: a key has its effect once, whoever is asked."""

    def __init__(self) -> None:
        self.effects: set[str] = set()


class Hotel(rpc.ParticipantServiceServicer):
    """One of the service's servers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls = 0
        self.served = asyncio.Event()

    async def Execute(
        self,
        request: pb.ExecuteRequest,
        context: "grpc.aio.ServicerContext[pb.ExecuteRequest, pb.ExecuteResponse]",
    ) -> pb.ExecuteResponse:
        self.calls += 1
        self._store.effects.add(request.idempotency_key)
        if self.calls >= SAGAS // 4:
            self.served.set()
        # Some calls are under way when the server dies: their effect stands, and their answer is lost.
        await asyncio.sleep(0.03)
        return pb.ExecuteResponse(idempotency_key=request.idempotency_key, succeeded=pb.Succeeded())

    async def Compensate(
        self,
        request: pb.CompensateRequest,
        context: "grpc.aio.ServicerContext[pb.CompensateRequest, pb.CompensateResponse]",
    ) -> pb.CompensateResponse:
        raise AssertionError("nothing fails here")

    async def Describe(
        self,
        request: pb.DescribeRequest,
        context: "grpc.aio.ServicerContext[pb.DescribeRequest, pb.DescribeResponse]",
    ) -> pb.DescribeResponse:
        raise AssertionError("nobody asks here")

    async def Perform(
        self,
        request_iterator: AsyncIterator[pb.PerformRequest],
        context: "grpc.aio.ServicerContext[pb.PerformRequest, pb.PerformResponse]",
    ) -> AsyncIterator[pb.PerformResponse]:
        """Each call comes by itself here: those go round."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        yield pb.PerformResponse()


@asynccontextmanager
async def serving(hotel: Hotel) -> AsyncIterator[tuple[grpc.aio.Server, int]]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_ParticipantServiceServicer_to_server(hotel, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(None)


@pytest.mark.timeout(120)
async def test_two_servers_behind_one_target_share_the_calls_and_one_that_dies_fails_no_saga(
    tmp_path: Path,
) -> None:
    store = Store()
    first, second = Hotel(store), Hotel(store)
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "trip.json").write_text(json.dumps(TRIP))
    async with serving(first) as (server, port), serving(second) as (_, other_port):
        target = f"ipv4:127.0.0.1:{port},127.0.0.1:{other_port}"
        settings = {
            "SAGA_SERVICES": json.dumps({"Hotel": target}),
            "SAGA_DEFINITIONS": str(tmp_path / "definitions"),
        }
        with Cluster(tmp_path / "cluster", listen="127.0.0.1:0", settings=settings) as cluster:
            await asyncio.to_thread(cluster.start_coordinator)
            async with Client(cluster.address) as client:

                async def run(number: int) -> str:
                    started = await client.start("Trip", {}, request_id=f"r-{number}")
                    saga = await client.wait(started.saga.saga_id)
                    assert [step.status for step in saga.steps] == [StepStatus.SUCCEEDED] * 2
                    return saga.status

                # Until both are connected, calls go to the one that is.
                numbers = count(3 * SAGAS)
                while not (first.calls and second.calls):
                    await run(next(numbers))
                first.calls = second.calls = 0
                shared = await asyncio.gather(*map(run, range(SAGAS)))
                assert shared == [SagaStatus.COMPLETED] * SAGAS
                # Both steps of every saga, by turns.
                assert first.calls + second.calls == 2 * SAGAS
                assert abs(first.calls - second.calls) <= 2 * SAGAS // 4

                first.served.clear()
                first.calls = second.calls = 0
                rest = asyncio.gather(*map(run, range(SAGAS, 3 * SAGAS)))
                await first.served.wait()
                await server.stop(None)
                assert await rest == [SagaStatus.COMPLETED] * 2 * SAGAS
                assert first.calls < 4 * SAGAS < first.calls + second.calls
    assert len(store.effects) == next(numbers) * 2
