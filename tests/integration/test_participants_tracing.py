"""`python -m participants` with a collector, with one that hangs, and with none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from saga.v1 import participant_pb2, participant_pb2_grpc
from tests.unit.participants.kit import a_process

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
Export = trace_service_pb2.ExportTraceServiceRequest
Exported = trace_service_pb2.ExportTraceServiceResponse


class Collected:
    """What a collector was sent."""

    def __init__(self) -> None:
        self.requests: list[Export] = []

    def spans(self) -> list[trace_pb2.Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def service(self) -> str:
        (name,) = {
            attribute.value.string_value
            for request in self.requests
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }
        return str(name)


class TraceService(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collected: Collected) -> None:
        self._collected = collected

    def Export(self, request: Export, context: object) -> Exported:
        self._collected.requests.append(request)
        return Exported()


@contextmanager
def grpc_collector() -> Iterator[tuple[str, Collected]]:
    collected = Collected()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(TraceService(collected), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", collected
    finally:
        server.stop(None).wait()


@contextmanager
def http_collector() -> Iterator[tuple[str, Collected]]:
    collected = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                collected.requests.append(Export.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", collected
        finally:
            server.shutdown()
            serving.join()


@contextmanager
def hanging_collector() -> Iterator[str]:
    """It takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def execute(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        request = participant_pb2.ExecuteRequest(
            idempotency_key="key-1",
            saga_id="saga-1",
            saga_name="Test",
            service="OrderService",
            step="step",
            transaction="nothing of that name",
            input_json='{"secret": "tok-canary"}',
        )
        called = participant_pb2_grpc.ParticipantServiceStub(channel)
        called.Execute(request, timeout=10, metadata=(("traceparent", TRACE), ("tracestate", "v=tok-canary")))


def ended(process: subprocess.Popen[str]) -> tuple[float, str, list[dict[str, str]]]:
    """Ask it to end: how long that took, what it had printed, and what it had logged."""
    asked = time.monotonic()
    process.terminate()
    out, logged = process.communicate(timeout=20)
    took_s = time.monotonic() - asked
    assert process.returncode == 0
    return took_s, out, [json.loads(line) for line in logged.splitlines()]


@pytest.mark.parametrize(
    ("collector", "protocol"),
    [(grpc_collector, ""), (grpc_collector, "grpc"), (http_collector, "http/protobuf")],
    ids=["default", "grpc", "http"],
)
@pytest.mark.parametrize("name", ["", "tills"])
def test_spans_reach_the_collector_at_the_latest_when_the_process_ends(
    collector: object, protocol: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(collector)
    with collector() as (endpoint, collected):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "")
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        with a_process("OrderService", "--data", tmp_path) as (process, address):
            execute(address)
            _, _, logged = ended(process)
    (span,) = collected.spans()
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == ("a" * 32, "b" * 16)
    assert span.name == "saga.v1.ParticipantService/Execute"
    assert collected.service() == (name or "saga-participants")
    assert "tok-canary" not in str(collected.requests)
    assert [line["message"] for line in logged] == ["participants started", "participants stopped"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_hangs_holds_the_end_for_two_seconds_and_is_told_of_once(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hanging_collector() as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        with a_process("OrderService", "--data", tmp_path) as (process, address):
            execute(address)
            took_s, _, logged = ended(process)
    # Two of its own, and what a busy machine takes to end any process.
    assert took_s < 4
    assert [line["level"] for line in logged].count("WARNING") == 1


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_is_not_there_is_told_of_in_one_line(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    with a_process("OrderService", "--data", tmp_path) as (process, address):
        for _ in range(3):
            execute(address)
            time.sleep(0.2)
        _, _, logged = ended(process)
    assert [line["message"] for line in logged if line["level"] != "INFO"] == [
        "the collector does not take the spans; they are dropped until it does"
    ]


def test_spans_can_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    with a_process("OrderService", "--data", tmp_path) as (process, address):
        execute(address)
        _, out, _ = ended(process)
    assert json.loads(out)["name"] == "saga.v1.ParticipantService/Execute"
    assert "tok-canary" not in out


def test_sampling_is_as_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with a_process("OrderService", "--data", tmp_path) as (process, address):
        execute(address)
        _, out, _ = ended(process)
    assert out == ""


def test_a_wrong_variable_ends_the_start_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    command = [sys.executable, "-m", "participants", "OrderService", "--data", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == ("participants: OTEL_TRACES_EXPORTER: expected otlp, console or none\n")


@pytest.mark.parametrize("given", ["", "none"])
def test_nothing_of_opentelemetry_is_loaded_where_nobody_asks_for_traces(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", given)
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with a_process("OrderService", "--data", tmp_path) as (process, address):
        execute(address)
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert "participants.tracing" in told
    assert "opentelemetry" not in told
