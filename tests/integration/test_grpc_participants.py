"""The participants adapter over real sockets: whatever comes back, or does not, becomes an answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from coordinator.adapters.grpc_participants import GrpcParticipants
from coordinator.domain.ids import FencingToken, IdempotencyKey, SagaId, StepName
from coordinator.domain.outcomes import (
    Answer,
    Faulted,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
)
from coordinator.ports.participants import CompensateCall, ExecuteCall, Probe, Reach
from saga.v1 import participant_pb2 as pb
from tests.integration.listening import listens
from tests.integration.names import naming
from tests.integration.proxy import proxied

KEY = "s-1/charge/execute"
EXECUTE = ExecuteCall(
    key=IdempotencyKey(KEY),
    saga_id=SagaId("s-1"),
    saga_name="Order",
    service="Payments",
    step=StepName("charge"),
    transaction="chargeCard",
    attempt=2,
    token=FencingToken(7),
    input='{"amount":12345678901234567890}',
)
COMPENSATE = CompensateCall(
    key=IdempotencyKey("s-1/charge/compensate"),
    saga_id=SagaId("s-1"),
    saga_name="Order",
    service="Payments",
    step=StepName("charge"),
    compensation=None,
    attempt=1,
    token=FencingToken(7),
    input="{}",
    receipt=None,
)

Reply = Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]


class _Anything(grpc.GenericRpcHandler):
    """Answers every method with the bytes that a test makes up."""

    def __init__(self, reply: Reply) -> None:
        self._handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(reply)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Each call by itself: streams have tests of their own."""
        return None if handler_call_details.method.endswith("/Perform") else self._handler


@asynccontextmanager
async def listening(handler: grpc.GenericRpcHandler, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The address of a server, while there is one."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(address)
    await server.start()
    await listens(port, address.rpartition(":")[0])
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def calling(address: str, *, decides_sampling: bool = False) -> AsyncIterator[GrpcParticipants]:
    adapter = GrpcParticipants(
        {"Payments": address}, message_bytes_max=100_000, decides_sampling=decides_sampling
    )
    try:
        yield adapter
    finally:
        await adapter.close()


@asynccontextmanager
async def served(handler: grpc.GenericRpcHandler) -> AsyncIterator[GrpcParticipants]:
    async with listening(handler) as address, calling(address) as adapter:
        yield adapter


async def answer_to(reply: Reply | bytes, *, timeout_s: float = 5.0) -> Answer:
    if isinstance(reply, bytes):
        fixed = reply

        async def reply_with(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return fixed

        reply = reply_with
    async with served(_Anything(reply)) as adapter:
        return await adapter.perform(EXECUTE, timeout_s=timeout_s)


def executed(**outcome: object) -> bytes:
    return pb.ExecuteResponse(idempotency_key=KEY, **outcome).SerializeToString()  # type: ignore[arg-type]


async def test_a_success_carries_its_output_with_every_digit() -> None:
    output = '{"b": 12345678901234567890, "a": null}'
    answer = await answer_to(executed(succeeded=pb.Succeeded(output_json=output)))
    assert answer == Succeeded('{"a":null,"b":12345678901234567890}')


@pytest.mark.parametrize("decides", [False, True])
async def test_a_call_that_is_in_no_trace_has_a_place_where_nothing_else_would_keep_it_unrecorded(
    decides: bool,
) -> None:
    heard: list[str] = []

    async def reply(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        headers = dict(context.invocation_metadata() or ())
        heard.append(str(headers.get("traceparent")))
        return executed(succeeded=pb.Succeeded(output_json="{}"))

    async with (
        listening(_Anything(reply)) as address,
        calling(address, decides_sampling=decides) as adapter,
    ):
        saga_id = SagaId("01a22c09-cdc1-77ae-be74-ed919dfe833f")
        for trace in ("", f"00-{'a' * 32}-{'b' * 16}-01"):
            call = replace(EXECUTE, saga_id=saga_id, trace=trace)
            assert await adapter.perform(call, timeout_s=5.0) == Succeeded("{}")
    own = "00-01a22c09cdc177aebe74ed919dfe833f-be74ed919dfe833f-00"
    assert heard == [own if decides else "None", f"00-{'a' * 32}-{'b' * 16}-01"]


async def test_a_participant_on_this_machine_is_called_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    answer = await answer_to(executed(succeeded=pb.Succeeded(output_json="{}")))
    assert answer == Succeeded("{}")


@pytest.mark.parametrize(
    "output", ['{"tok-canary-1": NaN}', '{"tok-canary-1": {"a": 1, "a": 2}}', '{"tok-canary-1": [1e999]}']
)
async def test_what_is_told_of_a_broken_output_quotes_none_of_its_keys(output: str) -> None:
    answer = await answer_to(executed(succeeded=pb.Succeeded(output_json=output)))
    assert isinstance(answer, NoProof)
    assert answer.kind is Unproved.BROKEN_CONTRACT
    assert "is not the JSON that is taken here" in answer.message
    assert "canary" not in answer.message


async def test_a_success_without_output_is_null() -> None:
    assert await answer_to(executed(succeeded=pb.Succeeded())) == Succeeded("null")


async def test_the_other_outcomes_are_told_apart() -> None:
    refused = executed(refused=pb.Refused(code="NO_FUNDS", message="sorry\x00 \nno"))
    assert await answer_to(refused) == Refused("NO_FUNDS", "sorry   no")
    pending = executed(pending=pb.Pending(ask_again_after=Duration(seconds=1, nanos=500_000_000)))
    assert await answer_to(pending) == Pending(1.5)
    assert await answer_to(executed(pending=pb.Pending())) == Pending(None)
    faulted = executed(faulted=pb.Faulted(code="not a code", message="m", retry_after=Duration(seconds=3)))
    assert await answer_to(faulted) == Faulted("UNSPECIFIED", "m", 3.0)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff",
        b"",
        pb.ExecuteResponse(idempotency_key="other", succeeded=pb.Succeeded()).SerializeToString(),
        executed(),
        executed() + b"\x7a\x00",  # an outcome with a field number that is not known here
        executed(succeeded=pb.Succeeded(output_json="{")),
        executed(succeeded=pb.Succeeded(output_json='{"a":1,"a":2}')),
        executed(succeeded=pb.Succeeded(output_json="NaN")),
        executed(succeeded=pb.Succeeded(output_json='"\\ud800"')),
        executed(succeeded=pb.Succeeded(output_json="[" * 10_000)),
        executed(succeeded=pb.Succeeded(output_json="[" * 63 + "]" * 63)),
        executed(succeeded=pb.Succeeded(output_json='"' + "x" * 200_000 + '"')),
        executed().replace(KEY.encode(), b"\xff" * len(KEY)),
    ],
)
async def test_an_answer_that_breaks_the_contract_proves_nothing(raw: bytes) -> None:
    answer = await answer_to(raw)
    assert isinstance(answer, NoProof)
    assert answer.kind is Unproved.BROKEN_CONTRACT
    assert answer.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unproved.TRANSIENT),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Unproved.TRANSIENT),
        (grpc.StatusCode.ABORTED, Unproved.TRANSIENT),
        (grpc.StatusCode.INTERNAL, Unproved.TRANSIENT),
        (grpc.StatusCode.INVALID_ARGUMENT, Unproved.PERMANENT),
        (grpc.StatusCode.UNIMPLEMENTED, Unproved.PERMANENT),
        (grpc.StatusCode.PERMISSION_DENIED, Unproved.PERMANENT),
    ],
)
async def test_a_status_proves_nothing_but_says_whether_to_ask_again(
    status: grpc.StatusCode, kind: Unproved
) -> None:
    async def fail(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(status, "because")

    # Its words are not kept: nobody knows what they quote.
    assert await answer_to(fail) == NoProof(kind, status.name, "")


@pytest.mark.parametrize("kind", [Unproved.KEY_REUSED, Unproved.BARRED, Unproved.STALE_TOKEN])
async def test_misuse_of_the_protocol_is_known_by_its_reason(kind: Unproved) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(domain="saga.v1", reason=kind.name))
    status = status_pb2.Status(code=9, message="m", details=[detail]).SerializeToString()

    async def fail(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", status),))
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "m")

    assert await answer_to(fail) == NoProof(kind, kind.name, "m")


async def test_another_domains_reason_is_no_reason_of_ours() -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(domain="example.com", reason="STALE_TOKEN"))
    status = status_pb2.Status(code=14, message="m", details=[detail]).SerializeToString()

    async def fail(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", status),))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "m")

    assert await answer_to(fail) == NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "")


async def test_no_answer_in_time_is_unknown() -> None:
    async def hang(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await asyncio.sleep(30)
        return b""

    answer = await answer_to(hang, timeout_s=0.2)
    assert isinstance(answer, NoProof)
    assert (answer.kind, answer.code) == (Unproved.TRANSIENT, "DEADLINE_EXCEEDED")


async def _succeed(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return executed(succeeded=pb.Succeeded())


async def test_nobody_listening_is_unknown_and_found_again_soon() -> None:
    async with listening(_Anything(_succeed)) as address:
        pass
    async with calling(address) as adapter:
        answer = await adapter.perform(EXECUTE, timeout_s=2.0)
        assert isinstance(answer, NoProof)
        assert (answer.kind, answer.code) == (Unproved.TRANSIENT, "UNAVAILABLE")
        async with listening(_Anything(_succeed), address), asyncio.timeout(10.0):
            while answer != Succeeded("null"):
                await asyncio.sleep(0.05)
                answer = await adapter.perform(EXECUTE, timeout_s=2.0)


async def test_who_takes_long_to_connect_to_is_waited_for() -> None:
    async with (
        listening(_Anything(_succeed)) as address,
        proxied(address, delay_s=0.5) as proxy,
        calling(proxy.address) as adapter,
    ):
        assert await adapter.perform(EXECUTE, timeout_s=20.0) == Succeeded("null")


async def test_a_name_that_moves_to_another_address_is_followed_there_soon() -> None:
    async with naming("127.0.0.2") as names, AsyncExitStack() as first:
        address = await first.enter_async_context(listening(_Anything(_succeed), "127.0.0.2:0"))
        port = int(address.rpartition(":")[2])
        async with calling(names.target(port)) as adapter:
            assert await adapter.perform(EXECUTE, timeout_s=5.0) == Succeeded("null")
            await first.aclose()
            answer = await adapter.perform(EXECUTE, timeout_s=5.0)
            assert isinstance(answer, NoProof)
            assert answer.code == "UNAVAILABLE"
            # Only after the loss was seen, and the name asked about once more.
            names.host = "127.0.0.3"
            async with listening(_Anything(_succeed), f"127.0.0.3:{port}"), asyncio.timeout(10.0):
                while answer != Succeeded("null"):
                    await asyncio.sleep(0.05)
                    answer = await adapter.perform(EXECUTE, timeout_s=5.0)


class _Silent(grpc.GenericRpcHandler):
    """Ends every call OK, without an answer."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(_say_nothing)
        return None if handler_call_details.method.endswith("/Perform") else handler


async def _say_nothing(
    request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
) -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for answer in nothing:
        yield answer


async def test_a_call_that_ends_ok_without_an_answer_proves_nothing() -> None:
    async with served(_Silent()) as adapter:
        answers = [await adapter.perform(call, timeout_s=5.0) for call in (EXECUTE, COMPENSATE)]
        probe = await adapter.probe("Payments")
    assert [a.kind for a in answers if isinstance(a, NoProof)] == [Unproved.BROKEN_CONTRACT] * 2
    assert probe.reach is Reach.UNREACHABLE


async def test_a_service_without_an_address_is_named() -> None:
    adapter = GrpcParticipants({}, message_bytes_max=1000)
    answer = await adapter.perform(EXECUTE, timeout_s=2.0)
    assert isinstance(answer, NoProof)
    assert "Payments" in answer.message


async def test_every_field_of_a_call_is_sent_once_and_never_repeated() -> None:
    received: list[bytes] = []

    async def fail(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        received.append(request)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "busy")

    await answer_to(fail)
    assert [pb.ExecuteRequest.FromString(raw) for raw in received] == [
        pb.ExecuteRequest(
            idempotency_key=KEY,
            saga_id="s-1",
            saga_name="Order",
            service="Payments",
            step="charge",
            transaction="chargeCard",
            attempt=2,
            fencing_token=7,
            input_json=EXECUTE.input,
        )
    ]


@pytest.mark.parametrize(("receipt", "present"), [(None, False), ("null", True), ('{"id":1}', True)])
async def test_a_compensation_says_whether_a_receipt_is_known(receipt: str | None, present: bool) -> None:
    received: list[pb.CompensateRequest] = []

    async def settle(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        received.append(pb.CompensateRequest.FromString(request))
        key = received[-1].idempotency_key
        return pb.CompensateResponse(idempotency_key=key, succeeded=pb.Succeeded()).SerializeToString()

    call = CompensateCall(
        key=COMPENSATE.key,
        saga_id=COMPENSATE.saga_id,
        saga_name=COMPENSATE.saga_name,
        service=COMPENSATE.service,
        step=COMPENSATE.step,
        compensation=None,
        attempt=1,
        token=COMPENSATE.token,
        input="{}",
        receipt=receipt,
    )
    async with served(_Anything(settle)) as adapter:
        assert await adapter.perform(call, timeout_s=5.0) == Succeeded("null")
    assert received[0].HasField("execute_output_json") is present
    assert received[0].execute_output_json == (receipt or "")
    assert received[0].compensation == ""


@pytest.mark.parametrize(
    ("status", "reach", "message"),
    [
        (health_pb2.HealthCheckResponse.SERVING, Reach.SERVING, ""),
        (
            health_pb2.HealthCheckResponse.NOT_SERVING,
            Reach.NOT_SERVING,
            "its health service says NOT_SERVING",
        ),
        (9, Reach.NOT_SERVING, "its health service says 9"),
    ],
)
async def test_a_participant_is_as_well_as_its_health_service_says(
    status: int, reach: Reach, message: str
) -> None:
    async def say(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return bytes((0x08, status))

    async with served(_Anything(say)) as adapter:
        probe = await adapter.probe("Payments")
    assert (probe.reach, probe.message) == (reach, message)


async def test_a_participant_without_a_health_service_serves_and_one_with_a_broken_one_is_not_reached() -> (
    None
):
    async def fail(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def garbage(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return b"\xff"

    async with served(_Anything(fail)) as adapter:
        assert (await adapter.probe("Payments")).reach is Reach.SERVING
        assert await adapter.probe("Nobody") == Probe(
            "", Reach.UNKNOWN_ADDRESS, "no address is set for it (SAGA_SERVICES)"
        )
    async with served(_Anything(garbage)) as adapter:
        assert (await adapter.probe("Payments")).reach is Reach.UNREACHABLE
