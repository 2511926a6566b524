"""Traces are there where the environment asks for them; where it does not, nothing is loaded or paid."""

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordinator.client import BlockingClient
from saga.orders.v1 import orders_pb2_grpc
from scripts.cluster import ROOT, Cluster
from tests.tracing.collector import Collector
from tests.tracing.conftest import ORDER, Shop
from tests.tracing.test_secrets import an_order

SECRET = "canary-of-the-environment"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
LOADED = """
import atexit, json, os, sys
atexit.register(lambda: open(os.environ["LOADED"], "w").write(json.dumps(sorted(sys.modules))))
"""


def start(environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a coordinator that is not expected to start."""
    return subprocess.run(
        [sys.executable, "-m", "coordinator"],
        cwd=ROOT,
        env={
            **os.environ,
            "SAGA_LISTEN": "127.0.0.1:0",
            "SAGA_JOURNAL": str(folder / "journal"),
            "SAGA_DEFINITIONS": str(ROOT / "definitions"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("disabled", [{}, {ENDPOINT: "http://127.0.0.1:4317", "OTEL_SDK_DISABLED": "true"}])
def test_where_nobody_asks_nothing_of_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disabled: dict[str, str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOADED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    # The coordinator's settings win over what all processes get.
    with Cluster(
        tmp_path / "shop",
        listen="127.0.0.1:0",
        settings={"LOADED": str(tmp_path / "coordinator")},
        environment={**disabled, "LOADED": str(tmp_path / "participants")},
    ) as cluster:
        cluster.start()
        with BlockingClient(cluster.address) as client:
            order = client.place_order(order_id="o-1", user_id="u-1", **ORDER)
            assert client.get(order.saga_id).trace_id == ""
    for process in ("coordinator", "participants"):
        loaded = json.loads((tmp_path / process).read_text())
        assert "grpc.aio" in loaded
        assert not [module for module in loaded if module.split(".")[0] in ("opentelemetry", "uvicorn")]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER: expected otlp, console or none"),
        (
            {ENDPOINT: f"http://{SECRET}:bad/", "OTEL_TRACES_EXPORTER": "otlp"},
            f'{ENDPOINT}: expected a URL such as "http://127.0.0.1:4317"',
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": SECRET},
            "OTEL_TRACES_SAMPLER: expected always_on, always_off",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SPAN_EVENT_COUNT_LIMIT": "many"},
            "OTEL_SPAN_EVENT_COUNT_LIMIT: expected a whole number",
        ),
    ],
)
def test_a_wrong_variable_stops_the_start_with_its_name(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    ran = start(environment, tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith(f"The coordinator did not start: {sentence}")
    assert "Traceback" not in ran.stderr
    assert SECRET not in ran.stderr


def test_an_exporter_that_is_not_installed_is_named_with_what_brings_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.modules['opentelemetry.exporter.otlp'] = None"
    )
    ran = start({ENDPOINT: "http://127.0.0.1:4317", "PYTHONPATH": str(tmp_path)}, tmp_path)
    assert ran.returncode == 2
    assert "pip install 'saga-coordinator[otlp]'" in ran.stderr.splitlines()[-1]


def test_credentials_of_a_collector_are_sent_and_not_shown(tmp_path: Path) -> None:
    with Collector() as collector:
        environment = {
            **collector.environment,
            # Empty is as good as unset, where the library would stumble on it.
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_PROPAGATORS": "b3,baggage",
            "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET},odd={SECRET}é",
        }
        settings = {"SAGA_LOG_LEVEL": "DEBUG"}
        with Cluster(tmp_path, listen="127.0.0.1:0", settings=settings, environment=environment) as cluster:
            cluster.start()
            with BlockingClient(cluster.address) as client:
                client.place_order(order_id="o-1", user_id="u-1", **ORDER)
            collector.await_spans(lambda spans: len(spans) >= 11, "the spans of an order")
    assert {headers.get("api-key") for headers in collector.received.headers} == {SECRET}
    for log in tmp_path.glob("*.log"):
        assert SECRET not in log.read_text(), log.name


def test_what_the_coordinator_does_not_record_nobody_does_and_of_the_rest_nothing_is_lost(
    tmp_path: Path,
) -> None:
    followed = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"
    with Collector() as collector:
        with Cluster(
            tmp_path,
            listen="127.0.0.1:0",
            settings={"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
            environment=collector.environment,
        ) as cluster:
            cluster.start()
            with grpc.insecure_channel(cluster.address) as channel:
                place = orders_pb2_grpc.OrderPlacementServiceStub(channel).PlaceOrder
                for number in range(3):
                    placed = place(an_order(f"o-{number}", "u-1", "no-secret"), timeout=20)
                    assert placed.error_message == ""
                metadata = (("traceparent", followed),)
                place(an_order("o-followed", "u-1", "no-secret"), timeout=20, metadata=metadata)
        # What was noted a moment ago, too, has been sent by now.
        spans = collector.received.spans
    assert {span.trace_id for span in spans} == {followed[3:35]}
    assert len([span for span in spans if span.service == "saga-participants"]) == 4
    assert "saga PlaceOrder ended" in {span.name for span in spans}


def test_headers_that_break_the_rules_are_counted_and_cost_no_order(shop: Shop) -> None:
    def counted() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{shop.cluster.http_address}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
        return {s.labels["header"]: s.value for s in samples if s.name == "saga_trace_headers_ignored_total"}

    hostile = [
        (("traceparent", "00-" + "z" * 52),),
        (("traceparent", "x" * 3000), ("baggage", ",".join(["a=b"] * 900))),
        (("baggage", "=,;=" * 100),),
        (
            ("traceparent", f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"),
            ("baggage", "a=b"),
            ("tracestate", "?"),
        ),
    ]
    before = counted()
    with grpc.insecure_channel(shop.cluster.address) as channel:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        for number, metadata in enumerate(hostile):
            order = an_order(f"hostile-{number}-{time.monotonic_ns()}", "u-1", "no-secret")
            assert orders.PlaceOrder(order, timeout=20, metadata=metadata).error_message == ""
    after = counted()
    assert after["traceparent"] - before["traceparent"] == 2
    assert after["baggage"] - before["baggage"] == 2
