"""Real processes whose spans go to a real collector in this one."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import grpc
import pytest

from coordinator.client import BlockingClient, Item, Money, Payment
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from scripts.cluster import ROOT, Cluster
from tests.tracing.collector import Collector

ORDER: dict[str, Any] = {
    "items": [Item("sku-1", 1)],
    "payment": Payment("card", "tok-1", Money("EUR", 42)),
}


class Shop:
    """A coordinator with all participants, and whoever looks at their spans."""

    def __init__(self, cluster: Cluster, collector: Collector) -> None:
        self.cluster = cluster
        self.collector = collector

    def client(self) -> BlockingClient:
        return BlockingClient(self.cluster.address)

    def set_faults(self, *rules: dict[str, object]) -> None:
        """From here on calls go wrong as *rules* say."""
        with grpc.insecure_channel(self.cluster.participants_address) as channel:
            request = faults_pb2.SetFaultsRequest(faults_json=json.dumps({"rules": list(rules)}))
            faults_pb2_grpc.FaultServiceStub(channel).SetFaults(request, timeout=5)


@pytest.fixture(scope="session")
def impatient_definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PlaceOrder with little patience for its shipping, so that a timeout is quick."""
    folder = tmp_path_factory.mktemp("definitions")
    definition = json.loads((ROOT / "definitions" / "place_order.json").read_text())
    shipping = definition["steps"][-1]
    shipping["timeout"] = "300ms"
    shipping["retry"] = {"maxAttempts": 2, "initialBackoff": "50ms", "maxBackoff": "100ms"}
    (folder / "place_order.json").write_text(json.dumps(definition))
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, impatient_definitions: Path) -> Iterator[Shop]:
    """One for all tests of a worker: what it takes is its start."""
    with a_shop("grpc", tmp_path_factory.mktemp("shop"), impatient_definitions) as shop:
        yield shop


@contextmanager
def a_shop(
    protocol: Literal["grpc", "http/protobuf"], folder: Path, definitions: Path
) -> Generator[Shop, None, None]:
    """Spans go out by *protocol*."""
    with (
        Collector(protocol) as collector,
        Cluster(
            folder,
            listen="127.0.0.1:0",
            http_listen="127.0.0.1:0",
            faults={},
            settings={"SAGA_DEFINITIONS": str(definitions), "SAGA_LOG_LEVEL": "DEBUG"},
            environment=collector.environment,
        ) as cluster,
    ):
        cluster.start()
        yield Shop(cluster, collector)
