"""The numbers of /metrics at a real OTLP collector: the same ones, with names and units as OTLP has them."""

import re
import time
import urllib.request
from pathlib import Path
from typing import Literal

import pytest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from prometheus_client.openmetrics import parser

from coordinator.adapters.prometheus import METRICS
from coordinator.client import BlockingClient
from scripts.cluster import Cluster
from tests.tracing.collector import PATIENCE_S, Collector
from tests.tracing.conftest import ORDER


def labels_of(point: metrics_pb2.NumberDataPoint | metrics_pb2.HistogramDataPoint) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_they_are_those_of_the_page(tmp_path: Path, protocol: Literal["grpc", "http/protobuf"]) -> None:
    with Collector(protocol) as collector:
        environment = {
            **collector.environment,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        with Cluster(
            tmp_path, listen="127.0.0.1:0", http_listen="127.0.0.1:0", environment=environment
        ) as cluster:
            cluster.start()
            with BlockingClient(cluster.address) as client:
                order = client.place_order(order_id="o-1", user_id="u-1", **ORDER)
                client.place_order(order_id="o-2", user_id="u-broke", **ORDER)
                trace_id = client.get(order.saga_id).trace_id
            page = urllib.request.Request(
                f"http://{cluster.http_address}/metrics", headers={"accept": "application/openmetrics-text"}
            )
            with urllib.request.urlopen(page, timeout=10) as answer:
                shown = answer.read().decode()
            assert cluster.coordinator is not None
            assert cluster.coordinator.stop() == 0
        pushed = {metric.name: metric for metric in collector.received.metrics}  # the last of each

    with_points = [metric for metric in METRICS if metric.name != "saga_dead_letters_by_signature"]
    assert set(pushed) == {_otlp_name(metric.name) for metric in with_points}
    for metric in with_points:
        one = pushed[_otlp_name(metric.name)]
        assert one.unit == ("s" if metric.name.endswith("_seconds") else "")
        assert one.description == metric.help
        assert one.WhichOneof("data") == {"counter": "sum"}.get(metric.kind, metric.kind)
    assert pushed["saga.rested"].sum.is_monotonic
    assert pushed["saga.rested"].sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE

    ended = {"definition": "PlaceOrder", "status": "COMPLETED"}
    (rested,) = [p for p in pushed["saga.rested"].sum.data_points if labels_of(p) == ended]
    assert (rested.as_double or rested.as_int) == 1
    (lasted,) = [p for p in pushed["saga.duration"].histogram.data_points if labels_of(p) == ended]
    assert lasted.count == sum(lasted.bucket_counts) == 1
    assert len(lasted.bucket_counts) == len(lasted.explicit_bounds) + 1
    assert not lasted.HasField("min")
    (example,) = lasted.exemplars
    assert example.trace_id.hex() == trace_id

    parsed = list(parser.text_string_to_metric_families(shown))  # type: ignore[no-untyped-call]
    durations = next(family for family in parsed if family.name == "saga_duration_seconds").samples
    (bucket,) = [s for s in durations if s.exemplar and s.labels["status"] == "COMPLETED"]
    assert bucket.exemplar.labels["trace_id"] == trace_id
    assert set(bucket.exemplar.labels) == {"trace_id", "span_id"}
    assert bucket.exemplar.value == example.as_double == lasted.sum
    assert abs(float(bucket.exemplar.timestamp) - time.time()) < PATIENCE_S


def test_without_traces_there_are_no_examples(tmp_path: Path) -> None:
    with Cluster(tmp_path, listen="127.0.0.1:0", http_listen="127.0.0.1:0") as cluster:
        cluster.start()
        with BlockingClient(cluster.address) as client:
            client.place_order(order_id="o-1", user_id="u-1", **ORDER)
        page = urllib.request.Request(
            f"http://{cluster.http_address}/metrics", headers={"accept": "application/openmetrics-text"}
        )
        with urllib.request.urlopen(page, timeout=10) as answer:
            shown = answer.read().decode()
    assert 'status="COMPLETED"} 1.0' in shown
    assert not re.search(r" # \{", shown)


def _otlp_name(name: str) -> str:
    return re.sub("_total$|_seconds$", "", name).replace("saga_", "saga.", 1)
