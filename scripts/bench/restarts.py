"""How soon a coordinator serves, and how soon it has ended what a kill -9 left open."""

import json
import os
import signal
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from coordinator.client import BlockingClient, SagaStatus
from scripts.bench import crash_load, load
from scripts.bench.cells import Cell
from scripts.bench.readings import peak_memory_bytes
from scripts.bench.rig import cluster_of, start_coordinator
from scripts.cluster import Cluster, NotReady, Process

IN_FLIGHT: Final = 1_000
ENDED_BEFORE: Final = 16_000
_TIMEOUT_S: Final = 90.0
_ACCEPTING_PAUSE_S: Final = 0.5
_ENDING_PAUSE_S: Final = 0.05


def measure_start(open_sagas: int, ended_sagas: int) -> dict[str, float]:
    """From the start of the process until it says that it serves."""
    cell = Cell(open_sagas=open_sagas, ended_sagas=ended_sagas)
    with (
        tempfile.TemporaryDirectory(prefix="saga-bench-") as folder,
        cluster_of(cell, Path(folder)) as cluster,
    ):
        began = time.monotonic()
        coordinator = start_coordinator(cluster)
        return {
            "ready_s": time.monotonic() - began,
            "memory_mib": peak_memory_bytes(coordinator.pid) / (1 << 20),
        }


def measure_recovery(in_flight: int = IN_FLIGHT, ended_before: int = ENDED_BEFORE) -> dict[str, float]:
    """Kill a coordinator with so many orders under way, and start it again. All times are from that start."""
    cell = Cell(concurrency=in_flight, ended_sagas=ended_before)
    with (
        tempfile.TemporaryDirectory(prefix="saga-bench-") as name,
        cluster_of(cell, Path(name)) as cluster,
    ):
        assert cluster.participants is not None
        killed = start_coordinator(cluster)
        # All wait for the answer to their first call: at the kill none has ended, and none is yet to come.
        os.kill(cluster.participants.pid, signal.SIGSTOP)
        try:
            callers = _callers(cluster, cell, Path(name))
            _await_all_accepted(cluster.address, in_flight)
            killed.kill()
        finally:
            os.kill(cluster.participants.pid, signal.SIGCONT)
        try:
            began = time.monotonic()
            start_coordinator(cluster)
            ready_at = time.monotonic()
            ended_at = _all_ended_at(cluster.address)
            (answered_at,) = callers.await_ready(crash_load.ANSWERED, _TIMEOUT_S)
        finally:
            callers.stop()
    return {
        "ready_s": ready_at - began,
        "ended_s": ended_at - began,
        "answered_s": float(answered_at) - began,
    }


def _callers(cluster: Cluster, cell: Cell, folder: Path) -> Process:
    task = load.Task(
        address=cluster.address,
        caller=cell.caller,
        ending=cell.ending,
        concurrency=cell.concurrency,
        payload_bytes=cell.payload_bytes,
        warm_up_s=0.0,
        window_s=0.0,
        pids={},
    )
    arguments = ["scripts.bench.crash_load", json.dumps(asdict(task))]
    return Process("the callers", arguments, environment={}, log=folder / "callers.log")


def _await_all_accepted(address: str, sagas: int) -> None:
    """Return when so many sagas run."""
    until = time.monotonic() + _TIMEOUT_S
    with BlockingClient(address) as client:
        # A look at all of them costs the coordinator more than taking some of them in.
        while sum(1 for _ in client.list(status=SagaStatus.RUNNING, limit=sagas)) < sagas:
            if time.monotonic() > until:
                raise NotReady(f"after {_TIMEOUT_S:g} s fewer than {sagas} sagas run")
            time.sleep(_ACCEPTING_PAUSE_S)


def _all_ended_at(address: str) -> float:
    """The moment at which no saga runs any more."""
    until = time.monotonic() + _TIMEOUT_S
    with BlockingClient(address) as client:
        while any(True for _ in client.list(status=SagaStatus.RUNNING, limit=1)):
            if time.monotonic() > until:
                raise NotReady(f"{_TIMEOUT_S:g} s after the restart sagas still run")
            time.sleep(_ENDING_PAUSE_S)
    return time.monotonic()
