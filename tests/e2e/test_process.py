"""The coordinator as a process: how it starts, refuses to start, and stops. Real files, sockets, signals."""

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from google.type import money_pb2
from grpc_health.v1 import health_pb2

from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc, types_pb2
from scripts.cluster import ROOT, SERVICES, Cluster

TOKEN = "tok-canary-5f2c"
SLOW_CHARGE = {
    "rules": [
        {"transaction": "processPayment", "fault": "latency", "distribution": "fixed", "ms": 700, "times": 20}
    ]
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0", settings={"SAGA_LOG_LEVEL": "DEBUG"}) as running:
        running.start()
        yield running


def an_order(order_id: str, user_id: str = "u-1") -> orders_pb2.PlaceOrderRequest:
    return orders_pb2.PlaceOrderRequest(
        order_id=order_id,
        user_id=user_id,
        items=[orders_pb2.OrderItem(item_id="sku-1", quantity=1)],
        payment_info=orders_pb2.PaymentInfo(
            method="card", token=TOKEN, amount=money_pb2.Money(currency_code="EUR", units=42)
        ),
    )


def set_faults(cluster: Cluster, plan: object) -> None:
    with grpc.insecure_channel(cluster.participants_address) as channel:
        request = faults_pb2.SetFaultsRequest(faults_json=json.dumps(plan))
        faults_pb2_grpc.FaultServiceStub(channel).SetFaults(request, timeout=5)


def health_of(channel: grpc.Channel) -> int:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return check(health_pb2.HealthCheckRequest(), timeout=5).status


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    return {
        **os.environ,
        "SAGA_LISTEN": "127.0.0.1:0",
        "SAGA_JOURNAL": str(tmp_path / "journal.sqlite3"),
        "SAGA_DEFINITIONS": str(ROOT / "definitions"),
        "SAGA_SERVICES": json.dumps(dict.fromkeys(SERVICES, "127.0.0.1:1")),
        **settings,
    }


def failed_start(
    tmp_path: Path, limit: Callable[[], None] | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Start a coordinator that must refuse to start, and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "coordinator"],
        env=environment(tmp_path, **settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=limit,
        check=False,
    )


def test_flags_that_would_not_be_read_are_refused() -> None:
    command = [sys.executable, "-m", "coordinator", "--listen", "127.0.0.1:0"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert said.returncode == 2
    assert "python -m coordinator takes no arguments" in said.stderr


def test_sigterm_parks_what_is_in_flight_and_the_next_start_finishes_it(cluster: Cluster) -> None:
    set_faults(cluster, SLOW_CHARGE)
    with grpc.insecure_channel(cluster.address) as channel:
        calls = [
            orders_pb2_grpc.OrderPlacementServiceStub(channel).PlaceOrder.future(
                an_order(f"o-{n}"), timeout=30
            )
            for n in range(10)
        ]
        stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
        while len(stub.ListSagas(coordinator_pb2.ListSagasRequest(), timeout=5).sagas) < len(calls):
            time.sleep(0.02)
        assert cluster.coordinator is not None
        assert cluster.coordinator.stop() == 0
        errors = [call.exception() for call in calls]
        codes = {error.code() for error in errors if isinstance(error, grpc.RpcError)}
        assert codes <= {grpc.StatusCode.UNAVAILABLE}
    cluster.start_coordinator()
    with grpc.insecure_channel(cluster.address) as channel:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        answers = [orders.PlaceOrder(an_order(f"o-{n}"), timeout=30) for n in range(10)]
    assert {answer.status for answer in answers} == {orders_pb2.SUCCESS}


def test_draining_says_not_serving_and_refuses_new_orders(cluster: Cluster) -> None:
    set_faults(cluster, SLOW_CHARGE)
    with grpc.insecure_channel(cluster.address) as channel:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        assert health_of(channel) == health_pb2.HealthCheckResponse.SERVING
        first = orders.PlaceOrder.future(an_order("o-1"), timeout=30)
        time.sleep(0.2)
        assert cluster.coordinator is not None
        os.kill(cluster.coordinator.pid, signal.SIGTERM)
        time.sleep(0.2)
        assert health_of(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as refused:
            orders.PlaceOrder(an_order("o-2"), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        first.cancel()
    assert cluster.coordinator.stop() == 0


def test_no_payment_token_reaches_a_log_at_debug_level(cluster: Cluster, tmp_path: Path) -> None:
    with grpc.insecure_channel(cluster.address) as channel:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        orders.PlaceOrder(an_order("o-1"), timeout=30)
        orders.PlaceOrder(an_order("o-2", user_id="u-broke"), timeout=30)
        with pytest.raises(grpc.RpcError):
            orders.PlaceOrder(an_order("o-1", user_id="u-other"), timeout=30)
    cluster.stop()
    logs = {log.name: log.read_text() for log in (tmp_path / "cluster").glob("*.log")}
    assert "StepSucceeded" in logs["coordinator.log"]
    assert [name for name, text in logs.items() if TOKEN in text] == []


def test_the_timeline_of_a_refused_card_lists_the_undo_in_reverse_order(cluster: Cluster) -> None:
    with grpc.insecure_channel(cluster.address) as channel:
        answer = orders_pb2_grpc.OrderPlacementServiceStub(channel).PlaceOrder(
            an_order("o-1", user_id="u-broke"), timeout=30
        )
        request = coordinator_pb2.GetSagaRequest(saga_id=answer.saga_id)
        saga = coordinator_pb2_grpc.CoordinatorServiceStub(channel).GetSaga(request, timeout=5).saga
    undone = [e.step for e in saga.timeline if e.type == types_pb2.EVENT_TYPE_STEP_COMPENSATED]
    assert answer.status == orders_pb2.FAILED
    assert "INSUFFICIENT_FUNDS" in answer.error_message
    assert undone == ["reserveInventory", "createOrder"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("port in use", "the port is in use"),
        ("foreign database", "journal.sqlite3"),
        ("not a database", "journal.sqlite3"),
        ("a folder as journal", "journal.sqlite3"),
        ("no such folder for the journal", "nowhere"),
        ("no definitions folder", "no-such-folder"),
        ("bad setting", "SAGA_WAIT_MAX"),
        ("unknown setting", "SAGA_JOURNEL"),
        ("disk full", "journal.sqlite3"),
    ],
)
def test_what_cannot_start_says_why_in_one_sentence(tmp_path: Path, case: str, expected: str) -> None:
    journal = tmp_path / "journal.sqlite3"
    settings: dict[str, str] = {}
    limit = None
    busy = socket.socket()
    match case:
        case "port in use":
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            settings["SAGA_LISTEN"] = f"127.0.0.1:{busy.getsockname()[1]}"
        case "foreign database":
            with sqlite3.connect(journal) as foreign:
                foreign.execute("CREATE TABLE theirs (a)")
            foreign.close()
        case "not a database":
            journal.write_bytes(b"not a database at all " * 100)
        case "a folder as journal":
            journal.mkdir()
        case "no such folder for the journal":
            settings["SAGA_JOURNAL"] = str(tmp_path / "nowhere" / "journal.sqlite3")
        case "no definitions folder":
            settings["SAGA_DEFINITIONS"] = str(tmp_path / "no-such-folder")
        case "bad setting":
            settings["SAGA_WAIT_MAX"] = "soon"
        case "unknown setting":
            settings["SAGA_JOURNEL"] = "x"
        case "disk full":
            limit = _no_room_for_files
    said = failed_start(tmp_path, limit, **settings)
    busy.close()
    assert said.returncode not in (0, -signal.SIGKILL)
    sentences = [line for line in said.stderr.splitlines() if not line.startswith("{")]
    assert len(sentences) == 1, said.stderr
    assert expected in sentences[0]
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


def test_a_journal_whose_open_sagas_cannot_be_read_stops_the_start_in_one_sentence(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.stop()
    with closing(sqlite3.connect(cluster.journal)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sagas_open'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with cluster.journal.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    said = failed_start(tmp_path, SAGA_JOURNAL=str(cluster.journal))
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    (sentence,) = [line for line in said.stderr.splitlines() if not line.startswith("{")]
    assert "cannot be read" in sentence


def test_a_second_process_on_the_same_journal_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.coordinator is not None
    said = failed_start(tmp_path, SAGA_JOURNAL=str(cluster.journal))
    assert said.returncode == 2
    assert str(cluster.coordinator.pid) in said.stderr
    assert "Traceback" not in said.stderr


def test_a_wrong_definition_is_refused_and_the_others_keep_working(tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "wrong.json").write_text('{"sagaName": "Wrong", "steps": []}')
    (definitions / "place_order.json").write_text((ROOT / "definitions" / "place_order.json").read_text())
    settings = {"SAGA_DEFINITIONS": str(definitions)}
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0", settings=settings) as cluster:
        cluster.start()
        with grpc.insecure_channel(cluster.address) as channel:
            answer = orders_pb2_grpc.OrderPlacementServiceStub(channel).PlaceOrder(
                an_order("o-1"), timeout=30
            )
        assert answer.status == orders_pb2.SUCCESS
    assert "$.steps" in (tmp_path / "cluster" / "coordinator.log").read_text()


def test_a_journal_that_fails_stops_the_process_and_the_restart_goes_on(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", listen="127.0.0.1:0") as cluster:
        cluster.start()
        assert cluster.coordinator is not None
        _let_no_file_grow(cluster.coordinator.pid)
        codes = []
        with grpc.insecure_channel(cluster.address) as channel:
            orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
            for number in range(500):
                try:
                    orders.PlaceOrder(an_order(f"o-{number}"), timeout=10)
                except grpc.RpcError as error:
                    codes.append(error.code())
                    break
        assert codes == [grpc.StatusCode.UNAVAILABLE]
        assert cluster.coordinator.wait(20) == 3
        cluster.start_coordinator()
        with grpc.insecure_channel(cluster.address) as channel:
            orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
            for again in range(number + 1):
                answer = orders.PlaceOrder(an_order(f"o-{again}"), timeout=30)
                assert answer.status == orders_pb2.SUCCESS


@pytest.mark.parametrize("command", [["python", "-m", "coordinator"], ["saga", "serve"]])
@pytest.mark.parametrize("stdout", ["full", "closed", "nobody reads it"])
def test_a_ready_line_that_cannot_be_written_is_a_warning_and_the_coordinator_serves(
    tmp_path: Path, command: list[str], stdout: str
) -> None:
    with silenced(tmp_path, command, stdout) as process:
        assert process.stderr is not None
        told: list[dict[str, str]] = []
        while not told or not told[-1]["message"].startswith("serving at "):
            told.append(json.loads(process.stderr.readline()))
        with grpc.insecure_channel(told[-1]["message"].removeprefix("serving at ")) as channel:
            assert health_of(channel) == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        told += [json.loads(line) for line in process.stderr]
        assert process.wait(20) == 0
    warnings = [line["message"] for line in told if line["level"] != "INFO"]
    if (command[0], stdout) == ("saga", "closed"):
        assert warnings == []  # it was given another one before it came to this
    else:
        why = {"full": "No space left on device", "closed": "it is closed", "nobody reads it": "Broken pipe"}
        (warning,) = warnings
        assert warning == (
            "the line that says that the coordinator is ready could not be written to stdout "
            f"({why[stdout]}); it serves all the same, and this log says where"
        )


@pytest.mark.parametrize("command", [["python", "-m", "coordinator"], ["saga", "serve"]])
@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_a_coordinator_without_a_stderr_serves_stops_and_keeps_its_exit_codes(
    tmp_path: Path, command: list[str], redirected: str
) -> None:
    program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    shell = ["sh", "-c", f'exec "$@" {redirected}', "sh", *program]
    # As by itself, Python keeps what it could not write: it would fail again at exit.
    settings = environment(tmp_path, PYTHONUNBUFFERED="")
    with subprocess.Popen(shell, env=settings, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said, _, address = process.stdout.readline().strip().rpartition(" ")
            assert said == "coordinator ready"
            with grpc.insecure_channel(address) as channel:
                assert health_of(channel) == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
    refused = subprocess.run(
        shell,
        env={**settings, "SAGA_DEFINITIONS": str(tmp_path / "none")},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (2, b"")


@pytest.mark.parametrize("around", [[], ["nohup"]])
def test_a_terminal_that_is_closed_stops_it_unless_it_was_started_to_outlive_that(
    tmp_path: Path, around: list[str]
) -> None:
    with started(tmp_path, *around) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGHUP)
        if around:
            time.sleep(0.3)
            with grpc.insecure_channel(address) as channel:
                assert health_of(channel) == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0
    assert json.loads(log.splitlines()[-1])["message"] == "stopped"


def test_ctrl_c_while_it_is_loaded_is_no_fault_of_ours(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        loaded = Path(f"/proc/{process.pid}/maps")
        while "cygrpc" not in loaded.read_text():
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)
        assert process.returncode in (-signal.SIGINT, 0)
    assert "Traceback" not in "".join(said)


@contextmanager
def started(tmp_path: Path, *around: str) -> Iterator["subprocess.Popen[str]"]:
    """A coordinator, by the command *around* if there is one."""
    with subprocess.Popen(
        [*around, sys.executable, "-m", "coordinator"],
        env=environment(tmp_path),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def silenced(tmp_path: Path, command: list[str], stdout: str) -> Iterator["subprocess.Popen[str]"]:
    """A coordinator whose stdout takes nothing."""
    if stdout == "nobody reads it":
        reader, out = os.pipe()
        os.close(reader)
    else:
        out = os.open("/dev/full" if stdout == "full" else os.devnull, os.O_WRONLY)
    program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    shell = ["sh", "-c", f'exec "$@"{" >&-" if stdout == "closed" else ""}', "sh"]
    process = subprocess.Popen(
        shell + program,
        # Python is to keep what it could not write, as it does by itself: it would fail again at exit.
        env=environment(tmp_path, PYTHONUNBUFFERED=""),
        cwd=ROOT,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(out)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _no_room_for_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _let_no_file_grow(pid: int) -> None:
    """From here on, a write past 300 KB fails as on a full disk (Python ignores SIGXFSZ by default)."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (300_000, 300_000))
