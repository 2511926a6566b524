"""A collector that is down, stalls or refuses costs spans, which are counted, and no saga anything."""

import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordinator.client import BlockingClient, OrderStatus
from scripts.cluster import Cluster
from tests.tracing.collector import PATIENCE_S, Behaviour, Collector
from tests.tracing.conftest import ORDER

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TAKES_NOT = "does not take "
TAKES_AGAIN = "takes what it is sent again"
QUEUE_MAX = 32
STOPS_IN_S = 8.0


@contextmanager
def coordinator(folder: Path, environment: dict[str, str]) -> Iterator[Cluster]:
    """A shop whose coordinator alone has spans to send."""
    with Cluster(folder, listen="127.0.0.1:0", http_listen="127.0.0.1:0", settings=environment) as cluster:
        cluster.start()
        yield cluster


def lines(cluster: Cluster, words: str) -> list[str]:
    log = (cluster.journal.parent / "coordinator.log").read_text()
    return [line for line in log.splitlines() if words in line]


def await_line(cluster: Cluster, words: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not lines(cluster, words):
        assert time.monotonic() < until, f"nothing in the log says {words!r}"
        time.sleep(0.05)


def items(cluster: Cluster, outcome: Literal["SENT", "LOST"], signal: str = "TRACES") -> float:
    with urllib.request.urlopen(f"http://{cluster.http_address}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    wanted = {"signal": signal, "outcome": outcome}
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return next(s.value for s in samples if s.name == "saga_telemetry_items_total" and s.labels == wanted)


def await_losses(cluster: Cluster) -> None:
    until = time.monotonic() + PATIENCE_S
    while not (items(cluster, "LOST") and items(cluster, "LOST", "METRICS")):
        assert time.monotonic() < until
        time.sleep(0.05)


def place(client: BlockingClient, name: str, orders: int) -> list[float]:
    """Place *orders* one after the other; how long each took, in seconds."""
    took_s = []
    for number in range(orders):
        began_s = time.perf_counter()
        order = client.place_order(order_id=f"{name}-{number}", user_id="u-1", **ORDER)
        took_s.append(time.perf_counter() - began_s)
        assert order.status is OrderStatus.SUCCESS
    return took_s


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_one_line_says_that_it_is_down_and_one_when_it_is_back(
    tmp_path: Path, protocol: Literal["grpc", "http/protobuf"]
) -> None:
    with Collector(protocol) as collector:
        # Both signals go there, and that is one outage.
        environment = {
            **collector.environment,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }
        collector.stop()
        with coordinator(tmp_path, environment) as cluster, BlockingClient(cluster.address) as client:
            for again in range(2):
                place(client, f"down-{again}", 3)
                await_line(cluster, TAKES_NOT)
            await_losses(cluster)
            lost = items(cluster, "LOST")
            assert not collector.spans
            collector.start()
            until = time.monotonic() + PATIENCE_S
            while not lines(cluster, TAKES_AGAIN):
                assert time.monotonic() < until
                place(client, f"up-{time.monotonic_ns()}", 1)
            assert collector.spans
            assert len(lines(cluster, TAKES_NOT)) == len(lines(cluster, TAKES_AGAIN)) == 1
            assert items(cluster, "LOST") >= lost
            # Nothing of what the library or the peer has to say about it.
            assert not lines(cluster, "opentelemetry.exporter")
            assert not lines(cluster, "Transient error")


def test_one_that_refuses_is_told_of_once(tmp_path: Path) -> None:
    with Collector() as collector:
        collector.behaviour = "refuses"
        with coordinator(tmp_path, collector.environment) as cluster:
            with BlockingClient(cluster.address) as client:
                place(client, "refused", 3)
                await_line(cluster, TAKES_NOT)
                place(client, "refused-again", 3)
                assert cluster.coordinator is not None
                assert cluster.coordinator.stop() == 0
            assert len(lines(cluster, TAKES_NOT)) == 1
            assert not lines(cluster, "this collector takes nothing")


def test_one_that_stalls_fills_a_queue_and_no_more(tmp_path: Path) -> None:
    with Collector() as collector:
        collector.behaviour = "stalls"
        environment = {
            **collector.environment,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
            "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE_MAX),
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
        }
        with coordinator(tmp_path, environment) as cluster, BlockingClient(cluster.address) as client:
            orders = 20
            place(client, "stalled", orders)
            # Seven spans an order; one batch is on its way, one queue waits, and the rest is dropped: as soon
            # as the last order has ended its spans, which is after its answer.
            until = time.monotonic() + PATIENCE_S
            while items(cluster, "LOST") < 7 * orders - QUEUE_MAX - 8:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert items(cluster, "LOST") <= 7 * orders - QUEUE_MAX
            assert items(cluster, "SENT") == 0


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_one_that_stalls_cannot_hold_a_stop(
    tmp_path: Path, protocol: Literal["grpc", "http/protobuf"]
) -> None:
    with Collector(protocol) as collector:
        collector.behaviour = "stalls"
        environment = {
            **collector.environment,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }
        with coordinator(tmp_path, environment) as cluster:
            with BlockingClient(cluster.address) as client:
                place(client, "stalled", 3)
            time.sleep(0.3)  # both signals are under way
            assert cluster.coordinator is not None
            began_s = time.monotonic()
            assert cluster.coordinator.stop() == 0
            assert time.monotonic() - began_s < STOPS_IN_S
            # Either the call under way was cut off, or it was left behind.
            assert lines(cluster, "did not take in time") or lines(cluster, TAKES_NOT)


def test_sagas_take_as_long_whatever_the_collector_does(tmp_path: Path) -> None:
    """Interleaved, and within a factor that only a wait would exceed: the machine may be busy."""
    behaviours: tuple[Behaviour, ...] = ("takes", "stalls", "refuses")
    took_s: dict[Behaviour, list[float]] = {behaviour: [] for behaviour in behaviours}
    with (
        Collector() as collector,
        coordinator(tmp_path, {**collector.environment, "OTEL_BSP_MAX_QUEUE_SIZE": "64"}) as cluster,
        BlockingClient(cluster.address) as client,
    ):
        place(client, "warm", 5)
        for turn in range(4):
            for behaviour in behaviours:
                collector.behaviour = behaviour
                took_s[behaviour] += place(client, f"{behaviour}-{turn}", 10)
    medians = {behaviour: statistics.median(times) for behaviour, times in took_s.items()}
    assert max(medians.values()) < 3 * medians["takes"], medians


def test_whatever_goes_wrong_below_each_line_is_one_of_ours(tmp_path: Path) -> None:
    """gRPC's core would tell of each handshake that fails, in lines that are no JSON."""
    with Collector() as collector:
        environment = {**collector.environment, ENDPOINT: f"https://127.0.0.1:{collector.port}"}
        with coordinator(tmp_path, environment) as cluster, BlockingClient(cluster.address) as client:
            place(client, "handshake", 2)
            await_line(cluster, TAKES_NOT)
    for line in (tmp_path / "coordinator.log").read_text().splitlines():
        assert json.loads(line)["message"], line
