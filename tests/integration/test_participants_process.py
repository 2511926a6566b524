"""Participants as processes: their command line, their crashes, their end."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from participants import audit
from saga.v1 import participant_pb2 as pb
from tests.integration.raw_call import called_by_a_name_that_is_no_text
from tests.unit.participants.kit import Client, Failure, a_client, a_process

CRASHED = 70
ORDER = json.dumps(
    {
        "order_id": "o-1",
        "user_id": "u-1",
        "items": [{"item_id": "sku-1", "quantity": 2}],
        "payment_info": {
            "method": "card",
            "token": "tok-canary",
            "amount": {"currency_code": "EUR", "units": "42"},
        },
    }
)


async def pay(client: Client, saga: str = "s-1", *, order: str = ORDER) -> pb.ExecuteResponse | Failure:
    return await client.execute(
        saga, service="PaymentService", transaction="processPayment", input_json=order
    )


def run(*arguments: str | Path) -> tuple[int, list[str]]:
    """Start and expect it to end by itself: its exit code, and the lines that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "participants", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("kind", ["crash_before_effect", "crash_after_effect"])
async def test_a_crash_around_the_effect_is_healed_by_asking_again(tmp_path: Path, kind: str) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"rules": [{"transaction": "processPayment", "fault": kind, "times": 1}]}))
    command = ("PaymentService", "--data", tmp_path, "--faults", faults)
    with a_process(*command) as (process, address):
        async with a_client(address) as client:
            answer = await pay(client)
            assert isinstance(answer, Failure)
            assert answer.status == "UNAVAILABLE"
        assert process.wait(timeout=10) == CRASHED
    assert audit.money(tmp_path).by_order == (
        {("o-1", "EUR"): 42 * 10**9} if kind == "crash_after_effect" else {}
    )
    # The same plan again: what it has spent, it has spent, or it would crash for ever.
    with a_process(*command) as (_, address):
        async with a_client(address) as client:
            paid = await pay(client)
            assert isinstance(paid, pb.ExecuteResponse)
            assert paid.WhichOneof("outcome") == "succeeded"
            assert await client.injected() == {kind: 1}
    money = audit.money(tmp_path)
    assert money.by_order == {("o-1", "EUR"): 42 * 10**9}
    assert money.adds_up


async def test_a_kill_under_load_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: set[str] = set()

    async def ask(client: Client, number: int) -> None:
        order = ORDER.replace("o-1", f"o-{number}")
        reply = await pay(client, f"s-{number}", order=order)
        if isinstance(reply, pb.ExecuteResponse) and reply.HasField("succeeded"):
            answered.add(f"o-{number}")

    with a_process("PaymentService", "--data", tmp_path) as (process, address):
        async with a_client(address) as client, asyncio.TaskGroup() as group:
            for number in range(400):
                group.create_task(ask(client, number))
            while len(answered) < 100:
                await asyncio.sleep(0)
            process.kill()
    with a_process("PaymentService", "--data", tmp_path) as (_, address):
        async with a_client(address) as client, asyncio.TaskGroup() as group:
            kept = {order for order, _ in audit.money(tmp_path).by_order}
            assert len(answered) >= 100
            assert answered <= kept
            for number in range(400):
                group.create_task(ask(client, number))
    money = audit.money(tmp_path)
    assert money.by_currency == {"EUR": 400 * 42 * 10**9}
    assert len(money.payments) == 400
    assert money.adds_up


async def test_a_disk_that_fails_stops_the_process_and_nothing_answered_is_lost(tmp_path: Path) -> None:
    with a_process("PaymentService", "--data", tmp_path) as (process, address):
        async with a_client(address) as client:
            await pay(client)
            # From now on every write to a file fails, as on a broken disk.
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
            failure = await pay(client, "s-2", order=ORDER.replace("o-1", "o-2"))
            assert isinstance(failure, Failure)
            assert (failure.status, failure.reason) == ("UNAVAILABLE", "UNAVAILABLE")
        assert await asyncio.to_thread(process.wait, 10) == 1
        assert process.stderr is not None
        said = process.stderr.read()
    assert f"participants: {tmp_path}/PaymentService.sqlite3: disk I/O error" in said
    assert "Traceback" not in said
    with a_process("PaymentService", "--data", tmp_path):
        assert audit.money(tmp_path).by_order == {("o-1", "EUR"): 42 * 10**9}


async def test_all_services_are_hosted_with_health_and_reflection(tmp_path: Path) -> None:
    with a_process("all", "--data", tmp_path) as (_, address):
        async with grpc.aio.insecure_channel(address) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                health_pb2.HealthCheckRequest.SerializeToString,
                health_pb2.HealthCheckResponse.FromString,
            )
            for name in ("", "saga.v1.ParticipantService", "saga.v1.LedgerService", "ShippingService"):
                answer = await check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            reflect = channel.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                reflection_pb2.ServerReflectionRequest.SerializeToString,
                reflection_pb2.ServerReflectionResponse.FromString,
            )
            listed = reflect(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            names = {
                service.name async for reply in listed for service in reply.list_services_response.service
            }
        assert {"saga.v1.ParticipantService", "saga.v1.LedgerService"} <= names


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_lets_calls_under_way_finish_and_ends_with_zero(
    tmp_path: Path, number: signal.Signals
) -> None:
    rule = {"transaction": "processPayment", "fault": "latency", "distribution": "fixed", "ms": 700}
    with a_process("PaymentService", "--data", tmp_path) as (process, address):
        async with a_client(address) as client:
            await client.set_faults(rule)
            under_way = asyncio.create_task(pay(client))
            await asyncio.sleep(0.3)
            process.send_signal(number)
            assert isinstance(await under_way, pb.ExecuteResponse)
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert process.stderr is not None
        logged = [json.loads(line) for line in process.stderr]
    assert [line["message"] for line in logged] == ["participants started", "participants stopped"]
    assert "tok-canary" not in json.dumps(logged)
    # Closed in order: nothing is left of the write-ahead log.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("PaymentService.sqlite3", "PaymentService.sqlite3.lock")
    ]


async def test_a_process_that_takes_no_calls_any_more_ends_and_says_so(tmp_path: Path) -> None:
    with a_process("PaymentService", "--data", tmp_path) as (process, address):
        await called_by_a_name_that_is_no_text(address)
        _, logged = await asyncio.to_thread(process.communicate, None, 10)
    # gRPC may end it at once, too: what asks its core for calls is freed too early.
    assert process.returncode in (1, -signal.SIGSEGV)
    if process.returncode == 1:
        assert "participants: gRPC takes no calls any more (UnicodeDecodeError); start" in logged


async def test_nothing_secret_is_logged_of_calls_that_go_wrong(tmp_path: Path) -> None:
    with a_process("PaymentService", "--data", tmp_path) as (process, address):
        async with a_client(address) as client:
            await pay(client)
            await pay(client, order=ORDER.replace("42", "43"))
            await client.execute(service="PaymentService", idempotency_key="", input_json='"tok-canary')
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.to_thread(process.communicate, None, 10)
    assert '"reason": "KEY_REUSED"' in logged
    assert "tok-canary" not in logged


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, lines = run("all", "--data", tmp_path, "--port", str(port))
    assert code == 1
    assert lines == [f"participants: The address 127.0.0.1:{port} is taken or cannot be used."]


def test_a_host_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    code, lines = run("all", "--data", tmp_path, "--host", "no such host")
    assert code == 1
    assert lines == ["participants: The address no such host:0 is taken or cannot be used."]


def test_a_file_in_use_is_one_sentence(tmp_path: Path) -> None:
    with a_process("OrderService", "--data", tmp_path):
        code, lines = run("OrderService", "--data", tmp_path)
    assert code == 1
    assert lines == [f"participants: {tmp_path}/OrderService.sqlite3 is in use by another process."]


def test_a_foreign_file_is_one_sentence(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "OrderService.sqlite3") as db:
        db.execute("CREATE TABLE precious (a)")
    db.close()
    code, lines = run("OrderService", "--data", tmp_path)
    assert code == 1
    assert len(lines) == 1
    assert "is a database of something else" in lines[0]


def test_a_data_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    code, lines = run("all", "--data", tmp_path / "data")
    assert code == 1
    assert len(lines) == 1
    assert "The data directory" in lines[0]


USAGE: list[tuple[Sequence[str], str]] = [
    (["--data", "d"], "the following arguments are required: SERVICE"),
    (["all"], "the following arguments are required: --data"),
    (["Orders", "--data", "d"], "no service is called 'Orders'; there are OrderService, InventoryService"),
    (["OrderService", "OrderService", "--data", "d"], "a service is named twice"),
    (["all", "--data", "d", "--port", "70000"], "--port 70000 is not from 0 to 65535"),
    (["all", "--data", "d", "--port", "x"], "argument --port: invalid int value: 'x'"),
    (["all", "--data", "d", "--nonsense"], "unrecognized arguments: --nonsense"),
    (["all", "--data", "d", "--faults", "/nowhere.json"], "/nowhere.json cannot be read: No such file"),
]


@pytest.mark.parametrize(("arguments", "sentence"), USAGE)
def test_a_wrong_command_line_is_one_sentence(arguments: Sequence[str], sentence: str) -> None:
    code, lines = run(*arguments)
    assert code == 2
    assert len(lines) == 1
    assert sentence in lines[0]


def test_a_wrong_fault_plan_is_one_sentence_for_each_fault(tmp_path: Path) -> None:
    plan = tmp_path / "faults.json"
    plan.write_text('{"rules": [{"transaction": "procesPayment", "fault": "hang"}, {"fault": "bang"}]}')
    code, lines = run("all", "--data", tmp_path / "data", "--faults", plan)
    assert code == 2
    assert [line.split(": ")[2] for line in lines] == [
        "$.rules[0].transaction",
        "$.rules[1].transaction",
        "$.rules[1].fault",
    ]
    assert not (tmp_path / "data").exists()


def test_a_fault_plan_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    plan = tmp_path / "faults.json"
    plan.write_bytes(b"\xff\xfe")
    code, lines = run("all", "--data", tmp_path, "--faults", plan)
    assert (code, len(lines)) == (2, 1)
    assert "is not UTF-8 text" in lines[0]
