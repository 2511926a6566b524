"""Every error of the clients, reached for real: its class, what it carries, the sentence a person reads."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from coordinator.client import (
    Broken,
    Client,
    ClientError,
    Conflict,
    InvalidRequest,
    Money,
    NotFound,
    Operator,
    Overloaded,
    Payment,
    Refused,
    SagaStatus,
    TimedOut,
    Unavailable,
    Undecided,
)
from saga.v1 import coordinator_pb2 as pb
from tests.integration.api_harness import TOKEN
from tests.integration.client_harness import Handle, InThread, answering, both, calling, collected, place


async def error_of(call: Awaitable[object]) -> ClientError:
    """The error of a call, which has to be one sentence on one line, and nothing of gRPC's behind it."""
    with pytest.raises(ClientError) as told:
        await call
    error = told.value
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert str(error)
    assert "\n" not in str(error)
    assert TOKEN not in f"{error} {vars(error)}"
    return error


@both
async def test_what_the_coordinator_refuses_arrives_with_its_reason(kind: Any) -> None:
    async with calling(kind, sagas_open_max=1) as (client, c):
        ended = (await client.start("Trip", {}, request_id="r-1", wait_s=10)).saga.saga_id
        nobody = await error_of(client.get("s-nobody"))
        unwatched = await error_of(collected(client.watch("s-nobody")))
        nothing = await error_of(client.start("Nothing", {}))
        taken = await error_of(client.start("Trip", {"other": 1}, request_id="r-1"))
        over = await error_of(client.cancel(ended, "too late"))
        wrong = await error_of(place(client, items=[], payment=Payment("card", TOKEN, Money("euro", 42))))
        filtered = await error_of(collected(client.list(filter="colour = 1")))
        c.participants.hold("bookRoom")
        await client.start("Trip", {})
        full = await error_of(client.start("Trip", {}))
        c.participants.release("bookRoom")
    for unknown in (nobody, unwatched):
        assert isinstance(unknown, NotFound)
        assert (unknown.code, unknown.reason, unknown.saga_id) == ("NOT_FOUND", "SAGA_NOT_FOUND", "s-nobody")
        assert str(unknown) == ("there is no saga 's-nobody'; check the id, or look for the saga in a list")
    assert isinstance(nothing, NotFound)
    assert str(nothing).startswith(
        "there is no definition 'Nothing'; loaded are: NeedsColour, PlaceOrder (version 3), Trip"
    )
    assert isinstance(taken, Conflict)
    assert (taken.code, taken.reason) == ("ALREADY_EXISTS", "REQUEST_ID_TAKEN")
    assert taken.metadata == {"request_id": "r-1"}
    assert isinstance(over, Refused)
    assert (over.code, over.reason, over.saga_id) == ("FAILED_PRECONDITION", "SAGA_ENDED", ended)
    assert str(over) == f"saga {ended} is COMPLETED and cannot be cancelled any more"
    assert isinstance(wrong, InvalidRequest)
    assert [v.field for v in wrong.violations] == ["items", "payment_info.amount.currency_code"]
    assert str(wrong).startswith("items: expected 1 to 1000 items, found none; ")
    assert str(wrong).endswith("; nothing was written, send it corrected")
    assert isinstance(filtered, InvalidRequest)
    assert [v.field for v in filtered.violations] == ["filter"]
    assert str(filtered).endswith("; send it corrected")
    assert "written" not in str(filtered), "a list writes nothing, right or wrong"
    assert isinstance(full, Overloaded)
    assert (full.code, full.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert "try again later" in str(full)


@both
async def test_a_coordinator_that_still_starts_is_asked_again_and_then_told_of(kind: Any) -> None:
    async with calling(kind, serving=False) as (client, c):
        waiting = asyncio.ensure_future(client.definitions())
        refused = await error_of(client.get("s-1"))
        with pytest.raises(Unavailable):
            await waiting
        waiting = asyncio.ensure_future(client.definitions())
        await asyncio.sleep(0.5)
        await c.server.serving()
        assert len(await waiting) == 3
    assert isinstance(refused, Unavailable)
    assert (refused.code, refused.reason, refused.saga_id) == ("UNAVAILABLE", "NOT_READY", "s-1")
    assert "the coordinator is starting" in str(refused)


@both
async def test_orders_that_no_saga_takes_are_told_of_and_not_asked_for_again(kind: Any) -> None:
    async with calling(kind, place_order_saga="Nothing") as (client, _):
        await client.definitions()
        closed = await error_of(place(client))
    assert isinstance(closed, Unavailable)
    assert (closed.code, closed.reason) == ("UNAVAILABLE", "FRONT_DOOR_CLOSED")
    assert "cannot be served (SAGA_PLACE_ORDER_SAGA): there is no definition 'Nothing'" in str(closed)


async def ask(
    kind: Any, address: str, call: Callable[[Any], Awaitable[object]], **options: Any
) -> ClientError:
    client = kind(address, **options)
    try:
        return await error_of(call(client))
    finally:
        await client.close()


def get(client: Any) -> Awaitable[object]:
    call: Awaitable[object] = client.get("s-1")
    return call


def aborting(code: grpc.StatusCode, details: str, *infos: Any) -> Handle:
    async def handle(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        packed = []
        for info in infos:
            packed.append(any_pb2.Any())
            packed[-1].Pack(info)
        status = status_pb2.Status(code=code.value[0], message=details, details=packed)
        await context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError

    return handle


@both
@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (grpc.StatusCode.INTERNAL, Broken, r"GetSaga at \S+ failed with INTERNAL: what a proxy says"),
        (grpc.StatusCode.UNKNOWN, Broken, r"GetSaga at \S+ failed with UNKNOWN: what a proxy says"),
        (grpc.StatusCode.DATA_LOSS, Broken, "failed with DATA_LOSS"),
        (
            grpc.StatusCode.UNIMPLEMENTED,
            Broken,
            "is no coordinator, or an older one: it does not know GetSaga",
        ),
        (grpc.StatusCode.PERMISSION_DENIED, Refused, "failed with PERMISSION_DENIED: what a proxy says"),
        (grpc.StatusCode.UNAUTHENTICATED, Refused, "failed with UNAUTHENTICATED"),
        (grpc.StatusCode.OUT_OF_RANGE, InvalidRequest, "failed with OUT_OF_RANGE"),
        (grpc.StatusCode.ABORTED, Conflict, "failed with ABORTED"),
        (grpc.StatusCode.CANCELLED, Unavailable, "was broken off on the way: ask again"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TimedOut, "no answer to GetSaga came from"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded, "has too many calls open: slow down"),
    ],
)
async def test_a_status_that_no_coordinator_sent_is_put_into_words(
    kind: Any, code: grpc.StatusCode, error: type[ClientError], says: str
) -> None:
    async with answering(aborting(code, "what a proxy\nsays \x1b[31m")) as address:
        told = await ask(kind, address, get)
    assert type(told) is error
    assert (told.code, told.reason, told.saga_id) == (code.name, "", "s-1")
    assert told.status is None
    with pytest.raises(error, match=says):
        raise told


@both
async def test_a_saga_that_waits_for_a_person_is_not_asked_for_again(kind: Any) -> None:
    info = error_details_pb2.ErrorInfo(
        reason="SAGA_UNDECIDED", domain="saga.v1", metadata={"saga_id": "s-1", "status": "DEAD_LETTERED"}
    )
    sentence = "saga s-1 is undecided until a person has looked at it"
    async with answering(aborting(grpc.StatusCode.DEADLINE_EXCEEDED, sentence, info)) as address:
        told = await ask(kind, address, place)
    assert type(told) is Undecided
    assert str(told) == sentence
    assert (told.reason, told.saga_id, told.status) == ("SAGA_UNDECIDED", "s-1", SagaStatus.DEAD_LETTERED)


@both
async def test_details_that_cannot_be_read_are_left_out(kind: Any) -> None:
    async def handle(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        raise AssertionError

    async with answering(handle) as address:
        told = await ask(kind, address, get)
    assert type(told) is NotFound
    assert (told.reason, told.metadata, told.violations) == ("", {}, ())


@both
async def test_an_answer_that_is_no_message_is_told_as_a_broken_contract(kind: Any) -> None:
    async def garbage(request: bytes, context: object) -> bytes:
        return b"\xff\xff\xff"

    async def nothing(request: bytes, context: object) -> AsyncIterator[bytes]:
        return
        yield b""

    async with answering(garbage) as address:
        assert type(await ask(kind, address, get)) is Broken
        assert type(await ask(kind, address, lambda client: collected(client.watch("s-1")))) is Broken
    async with answering(nothing, stream=True) as address:
        assert type(await ask(kind, address, get)) is Broken


@both
async def test_a_request_or_an_answer_beyond_the_limits_is_named_so(kind: Any) -> None:
    async def huge(request: bytes, context: object) -> bytes:
        return pb.GetDefinitionResponse(
            definition=pb.Definition(definition_json="x" * (65 << 20))
        ).SerializeToString()

    async with calling(kind, message_bytes_max=1 << 16) as (client, _):
        large = await error_of(client.start("Trip", {"text": "x" * (1 << 17)}))
    assert isinstance(large, InvalidRequest)
    assert "larger than" in str(large)
    async with answering(huge) as address:
        told = await ask(kind, address, lambda client: client.definition("Trip"))
    assert type(told) is Broken


@asynccontextmanager
async def port_that(reply: bytes | None) -> AsyncIterator[str]:
    """A TCP port that sends *reply* and hangs up, or that says nothing for ever."""
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(100)
            if reply is None:
                await reader.read()
            else:
                writer.write(reply)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


HTTP1 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"


@both
async def test_what_cannot_be_reached_is_named_with_what_to_look_at(kind: Any, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    nowhere = f"unix:{tmp_path / 'nobody.sock'}"
    two = f"ipv4:{nobody},127.0.0.1:{free_port()}"
    async with port_that(HTTP1) as http1, port_that(TLS_ALERT) as tls, port_that(b"") as closing:
        sentences = {
            nobody: f"nobody answers at {nobody}: check the address, and that the coordinator runs there",
            two: f"nobody answers at {two}: check the address, and that the coordinator runs there",
            nowhere: f"there is no socket at {nowhere}: check the path, and that the coordinator runs there",
            "no..name:50051": "the address no..name:50051 cannot be resolved: check the name and the port",
            http1: f"what answers at {http1} does not speak gRPC: check the port, this is another service's",
            tls: f"the connection to {tls} was closed before an answer came: ask again, and check the port "
            "if it stays so",
            closing: f"the connection to {closing} was closed before an answer came: ask again, and check "
            "the port if it stays so",
        }
        told = await asyncio.gather(*(ask(kind, address, get, timeout_s=30) for address in sentences))
        watched = await ask(kind, nobody, lambda client: collected(client.watch("s-1")))
    assert [str(error) for error in told] == list(sentences.values())
    assert {type(error) for error in told} == {Unavailable}
    assert {error.code for error in told} == {"UNAVAILABLE"}
    assert type(watched) is Unavailable


@both
async def test_an_address_that_grpc_cannot_read_is_told_like_any_other_wrong_one(kind: Any) -> None:
    told = await ask(kind, "ipv4:10.0.0.0.1:50051", get)
    assert type(told) is InvalidRequest
    assert str(told).startswith("'ipv4:10.0.0.0.1:50051' is no address of a coordinator: expected host:port")


@pytest.mark.parametrize("kind", [Client, InThread])
def test_a_wrong_address_is_told_before_any_call(kind: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^'http://127.0.0.1:50051' is no address of a coordinator"):
        kind("http://127.0.0.1:50051")


@both
async def test_a_call_that_nobody_answers_ends_when_its_time_is_over(kind: Any) -> None:
    async with port_that(None) as address:
        client = kind(address, timeout_s=0.5)
        told = [
            await error_of(client.get("s-1")),
            await error_of(place(client, timeout_s=0.4)),
            await error_of(client.start("Trip", {}, wait_s=0.1)),
            await error_of(client.wait("s-1", timeout_s=0.3)),
        ]
        await client.close()
    assert {type(error) for error in told} == {TimedOut}
    assert {error.code for error in told} == {"DEADLINE_EXCEEDED"}
    assert str(told[0]) == f"no answer to GetSaga came from {address} within 0.5 s: ask again"
    for written in told[1:3]:
        assert " s, and whether it had an effect is not known: ask again" in str(written)
    assert str(told[3]).startswith("nothing was heard of saga s-1 within 0.3 s")


@both
@pytest.mark.parametrize("timeout_s", [float("nan"), float("inf"), 0, -1, "5"])
async def test_a_time_that_is_no_time_is_told_at_once_wherever_it_is_given(kind: Any, timeout_s: Any) -> None:
    async with port_that(None) as address:
        client = kind(address)
        told = [
            await error_of(place(client, timeout_s=timeout_s)),
            await error_of(client.start("Trip", {}, timeout_s=timeout_s)),
            await error_of(client.wait("s-1", timeout_s=timeout_s)),
            await error_of(collected(client.watch("s-1", timeout_s=timeout_s))),
        ]
        await client.close()
        with pytest.raises(InvalidRequest) as refused:
            kind(address, timeout_s=timeout_s)
        with Operator(address) as operator:
            for journal in (operator.backup, operator.verify):
                with pytest.raises(InvalidRequest):
                    list(journal(timeout_s=timeout_s))
    for error in (*told, refused.value):
        assert isinstance(error, InvalidRequest)
        assert [violation.field for violation in error.violations] == ["timeout_s"]


@both
async def test_a_start_whose_answer_was_lost_tells_the_id_that_makes_asking_again_safe(kind: Any) -> None:
    async with calling(kind) as (client, c), grpc.aio.insecure_channel(c.address) as channel:
        passed_on: list[asyncio.Task[Any]] = []

        async def lose_the_answer(request: bytes, _: object) -> bytes:
            start: Any = channel.unary_unary("/saga.v1.CoordinatorService/StartSaga")
            passed_on.append(asyncio.ensure_future(start(request)))
            await asyncio.sleep(60)
            return b""

        async with answering(lose_the_answer) as address:
            behind = kind(address, timeout_s=0.5)
            told = await error_of(behind.start("Trip", {}))
            await behind.close()
        await asyncio.gather(*passed_on)
        made_up = re.findall(r"under request_id '([0-9a-f-]{36})' it is done once", str(told))
        assert type(told) is TimedOut
        again = await client.start("Trip", {}, request_id=made_up[0])
        sagas = [saga.saga_id async for saga in client.list()]
    assert again.joined
    assert sagas == [again.saga.saga_id]


def test_an_action_whose_answer_was_lost_tells_its_id() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Operator(address, timeout_s=0.3) as operator, pytest.raises(ClientError) as told:
            operator.skip("s-1", "a", actor="ada", reason="why", expected_seq=1)
    assert re.search(r"under action_id '[0-9a-f-]{36}' it is done once", str(told.value))


def test_a_question_whose_answer_was_lost_is_asked_again_and_did_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Operator(address, timeout_s=0.3) as operator:
            foreseen: dict[str, Any] = {
                "actor": "ada",
                "reason": "why",
                "expected_seq": 1,
                "validate_only": True,
            }
            for call in (
                lambda: operator.skip("s-1", "a", **foreseen),
                lambda: operator.possible_actions("s-1"),
                lambda: list(operator.dead_letters()),
                operator.participants,
                lambda: list(operator.backup(timeout_s=0.3)),
                lambda: list(operator.verify(timeout_s=0.3)),
            ):
                with pytest.raises(TimedOut, match=r"within 0\.3 s: ask again$"):
                    call()
