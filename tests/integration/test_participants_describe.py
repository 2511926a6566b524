"""A participant is asked what it offers, over real sockets: ours, foreign ones, silent and hostile ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
import pytest

from coordinator.adapters.grpc_participants import GrpcParticipants
from coordinator.adapters.grpc_participants import participants as adapter_module
from coordinator.ports.participants import Description, Told
from participants.server import serving
from saga.v1 import participant_pb2 as pb
from tests.unit.participants.kit import TillService

Method = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
TILL = Description(
    Told.OFFER, transactions=frozenset({"put"}), compensations=frozenset({"take"}), barrier=True
)


@asynccontextmanager
async def asking(target: str, *, message_bytes_max: int = 1 << 20) -> AsyncIterator[GrpcParticipants]:
    services = {"TillService": target, "Elsewhere": target}
    adapter = GrpcParticipants(services, message_bytes_max=message_bytes_max)
    try:
        yield adapter
    finally:
        await adapter.close()


async def told_by(handlers: Mapping[str, Handler], *, message_bytes_max: int = 1 << 20) -> Description:
    """What is made of a foreign participant that has only these methods."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("saga.v1.ParticipantService", dict(handlers)),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asking(f"127.0.0.1:{port}", message_bytes_max=message_bytes_max) as adapter:
            return await adapter.describe("TillService")
    finally:
        await server.stop(None)


def by(method: Method) -> Handler:
    handler: Handler = grpc.unary_unary_rpc_method_handler(method)
    return handler


def saying(raw: bytes) -> Handler:
    async def say(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return raw

    return by(say)


async def test_a_participant_of_ours_says_what_it_offers_and_what_it_does_not_host(tmp_path: Path) -> None:
    async with (
        serving([TillService()], data=tmp_path, grace_s=1) as served,
        asking(served.address) as adapter,
    ):
        assert await adapter.describe("TillService") == TILL
        assert (await adapter.describe("Elsewhere")).told is Told.UNKNOWN_SERVICE
        assert (await adapter.describe("Nobody")).told is Told.UNKNOWN_ADDRESS


async def test_a_foreign_participant_is_asked_for_the_service_that_is_meant() -> None:
    asked: list[pb.DescribeRequest] = []

    async def describe(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        asked.append(pb.DescribeRequest.FromString(request))
        only = pb.ServiceDescription(service="TillService", transactions=["put"])
        return pb.DescribeResponse(services=[only]).SerializeToString()

    assert await told_by({"Describe": by(describe)}) == Description(
        Told.OFFER, transactions=frozenset({"put"})
    )
    assert asked == [pb.DescribeRequest(service="TillService")]


async def test_a_participant_that_does_not_describe_itself_is_not_silent() -> None:
    description = await told_by({"Execute": saying(b""), "Compensate": saying(b"")})
    assert description.told is Told.UNIMPLEMENTED


async def test_nobody_there_is_silence() -> None:
    async with asking("127.0.0.1:1") as adapter:
        assert (await adapter.describe("TillService")).told is Told.NO_ANSWER


async def test_silence_is_waited_for_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert adapter_module.PROBE_TIMEOUT_S == 2.0
    monkeypatch.setattr(adapter_module, "PROBE_TIMEOUT_S", 0.3)
    allowed_s: list[float | None] = []

    async def hang(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        allowed_s.append(context.time_remaining())
        await asyncio.sleep(30)
        return b""

    async with asyncio.timeout(5):
        description = await told_by({"Describe": by(hang)})
    assert description.told is Told.NO_ANSWER
    # The participant knows, too, when nobody waits for it any more.
    assert [left_s is not None and left_s < 1 for left_s in allowed_s] == [True]


async def test_another_status_says_nothing_and_is_not_quoted() -> None:
    async def fail(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        await context.abort(grpc.StatusCode.INTERNAL, "tok-canary")

    assert await told_by({"Describe": by(fail)}) == Description(
        Told.NO_ANSWER, "it was asked in vain: INTERNAL"
    )


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"x" * 20_000])
async def test_garbage_breaks_the_contract(raw: bytes) -> None:
    description = await told_by({"Describe": saying(raw)}, message_bytes_max=10_000)
    assert description.told is Told.BROKEN_CONTRACT
    assert description.message


async def test_an_end_without_a_description_breaks_the_contract() -> None:
    async def say_nothing(
        request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for answer in nothing:
            yield answer

    handler: Handler = grpc.unary_stream_rpc_method_handler(say_nothing)
    assert (await told_by({"Describe": handler})).told is Told.BROKEN_CONTRACT
