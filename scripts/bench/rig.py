"""The processes of one cell: the participants, the coordinator by its own command, and the callers."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from scripts.bench import load, orders
from scripts.bench.cells import Cell, Ending, Served, Telemetry
from scripts.bench.filled import put_journal
from scripts.cluster import Cluster, NotReady, Process

ANY_PORT: Final = "127.0.0.1:0"
PARTICIPANTS: Final = "participants"
COORDINATOR: Final = "coordinator"
READY_TIMEOUT_S: Final = 180.0
"""A hundred thousand open sagas are not taken up at once."""
_LEAVING_S: Final = 3 * load.ORDER_TIMEOUT_S + 15.0
_SHARES: Final = {Telemetry.SAMPLED: "0.01", Telemetry.ALWAYS: "1"}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a cell is driven."""

    warm_up_s: float = 1.0
    window_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Variant:
    """A coordinator that differs from the one that ships."""

    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ("coordinator",)


AS_SHIPPED: Final = Variant()


def measure(cell: Cell, timing: Timing, variant: Variant = AS_SHIPPED) -> dict[str, float]:
    """Run *cell* once, with processes and files of its own.

    Raises:
        NotReady: a process did not start, or an order was answered wrongly.
    """
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as name:
        folder = Path(name)
        with _traced(cell.telemetry, folder) as environment:
            traced = Variant({**environment, **variant.environment}, variant.command)
            with cluster_of(cell, folder, traced) as cluster:
                start_coordinator(cluster)
                return drive(cluster, cell, timing, folder)


@contextmanager
def cluster_of(cell: Cell, folder: Path, variant: Variant = AS_SHIPPED) -> Iterator[Cluster]:
    """The participants of *cell*, started, and its coordinator, not yet; all else is as it ships."""
    settings = {"SAGA_DEFINITIONS": str(orders.write_definition(folder / "definitions", cell.steps))}
    if cell.open_sagas:
        # Beside them there is to be as much room as there is without them.
        settings["SAGA_SAGAS_OPEN_MAX"] = str(cell.open_sagas + 10_000)
    with Cluster(
        folder,
        listen=ANY_PORT,
        settings={**settings, **variant.environment},
        commands={PARTICIPANTS: _participants(cell), COORDINATOR: variant.command},
    ) as cluster:
        if cell.open_sagas or cell.ended_sagas:
            put_journal(cluster.journal, open_sagas=cell.open_sagas, ended_sagas=cell.ended_sagas)
        cluster.start_participants()
        yield cluster


def start_coordinator(cluster: Cluster) -> Process:
    """Start it, at the address that it had before, if any; returns when it serves."""
    cluster.launch_coordinator()
    assert cluster.coordinator is not None
    (cluster.address,) = cluster.coordinator.await_ready("coordinator ready ", READY_TIMEOUT_S)
    return cluster.coordinator


def drive(cluster: Cluster, cell: Cell, timing: Timing, folder: Path) -> dict[str, float]:
    """Let callers place the orders of *cell*, and say what they found."""
    assert cluster.coordinator is not None
    assert cluster.participants is not None
    task = load.Task(
        address=cluster.address,
        caller=cell.caller,
        ending=cell.ending,
        concurrency=cell.concurrency,
        payload_bytes=cell.payload_bytes,
        warm_up_s=timing.warm_up_s,
        window_s=timing.window_s,
        pids={COORDINATOR: cluster.coordinator.pid, PARTICIPANTS: cluster.participants.pid},
    )
    callers = Process(
        "the load",
        ["scripts.bench.load", json.dumps(asdict(task))],
        environment={},
        log=folder / "load.log",
    )
    try:
        words = callers.await_ready(load.READY, timing.warm_up_s + timing.window_s + _LEAVING_S)
    finally:
        callers.stop()
    return _figures(load.Found(**json.loads(words[0])))


def _figures(found: load.Found) -> dict[str, float]:
    """CPU and bytes are a saga's."""
    cpu_ms = {name: 1000 * cpu_s / found.sagas for name, cpu_s in found.cpu_s.items()}
    return {
        "sagas_per_s": found.sagas / found.seconds,
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
        "cpu_ms": sum(cpu_ms.values()),
        **{f"cpu_{name}_ms": value for name, value in cpu_ms.items()},
        "memory_mib": found.peak_bytes[COORDINATOR] / (1 << 20),
        "written_kb": found.written_bytes[COORDINATOR] / 1000 / found.sagas,
        "sagas": found.sagas,
    }


def _participants(cell: Cell) -> tuple[str, ...]:
    arguments = ["scripts.bench.barrier" if cell.served is Served.BARRIER else "scripts.bench.participants"]
    if cell.served is Served.UNARY:
        arguments.append("--unary")
    if cell.ending is Ending.UNDONE:
        arguments += ["--refuses", orders.last_transaction(cell.steps)]
    return tuple(arguments)


@contextmanager
def _traced(telemetry: Telemetry, folder: Path) -> Iterator[Mapping[str, str]]:
    """A collector, if there is to be one, and what makes the coordinator export to it.

    Raises:
        NotReady: every saga was to be traced, and none was.
    """
    if telemetry is Telemetry.OFF:
        yield {}
        return
    counted = folder / "exports"
    collector = Process(
        "the collector",
        ["scripts.bench.collector", str(counted)],
        environment={},
        log=folder / "collector.log",
    )
    try:
        (address,) = collector.await_ready("collector ready ")
        yield {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": _SHARES[telemetry],
        }
    finally:
        collector.stop()
    if telemetry is Telemetry.ALWAYS and not int(counted.read_text()):
        raise NotReady("nothing was exported to the collector")
