"""The kill drill: the coordinator is killed with -9 under load, again and again, then judged from outside.

The participants stay up, and lie, stall and lose answers by a seeded plan. Kills come at seeded counts
of client operations. What is left is read through the ledgers, the clients' notes and the API alone.
"""

import asyncio
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from coordinator.adapters.event_codec import decode
from coordinator.domain.definition import parse_definition
from coordinator.domain.machine import resume
from participants import audit
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from saga.v1 import coordinator_pb2, coordinator_pb2_grpc, ledger_pb2, ledger_pb2_grpc
from scripts.cluster import Cluster
from tests.checker.check import check
from tests.checker.evidence import Books, Definition, Evidence, LedgerRow, SagaRead
from tests.checker.gather import definition_of, ledger_rows, saga_read
from tests.checker.verdict import Report
from tests.e2e.load import CHANNEL_OPTIONS, Clients, Habits

CALL_TIMEOUT_S: Final = 20.0
SETTLE_TIMEOUT_S: Final = 120.0
READ_AT_ONCE: Final = 16
SAMPLE: Final = 25


def fault_plan(seed: int) -> dict[str, object]:
    """What goes wrong at the participants, besides the kills."""

    def rule(fault: str, probability: float, **more: object) -> dict[str, object]:
        return {"transaction": "*", "fault": fault, "probability": probability, **more}

    def undo(fault: str, probability: float, **more: object) -> dict[str, object]:
        return {"compensation": "*", "fault": fault, "probability": probability, **more}

    return {
        "seed": seed,
        "rules": [
            rule("latency", 1, compensation="*", distribution="exponential", mean_ms=50, max_ms=500),
            rule("refused", 0.02, code="NOT_TODAY"),
            rule("faulted", 0.04, retry_after_ms=20),
            rule("pending", 0.04, ask_again_after_ms=50),
            rule("status", 0.03, status="UNAVAILABLE"),
            rule("status", 0.01, status="INTERNAL"),
            rule("reply_lost", 0.03, status="UNAVAILABLE"),
            rule("reply_lost", 0.01, times=3),
            rule("redeliver", 0.05, after_ms=300),
            rule("wrong_key", 0.003),
            undo("faulted", 0.05),
            undo("pending", 0.03, ask_again_after_ms=50),
            undo("status", 0.03, status="PERMISSION_DENIED"),
            undo("reply_lost", 0.03, status="UNAVAILABLE"),
            {"compensation": "releaseInventory", "fault": "refused", "code": "LOCKED", "times": 4},
        ],
    }


@dataclass(frozen=True, slots=True)
class Drill:
    """What to do. `faults` overrides the plan; `commands` starts other processes than the real ones."""

    seed: int
    kills: int
    crowd: int = 48
    operations_between: tuple[int, int] = (15, 45)
    habits: Habits = field(default_factory=Habits)
    faults: Mapping[str, object] | None = None
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    drill: Drill
    hits: tuple[int, ...]
    """By kill: how many steps were begun and unsettled in the journal that it left."""
    orders: int
    ledger_rows: int
    faults: Mapping[str, int]
    undecided: int
    took_s: float
    report: Report

    def __str__(self) -> str:
        hit = sum(steps >= 8 for steps in self.hits)
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return "\n".join(
            [
                f"seed {self.drill.seed}: {len(self.hits)} kills in {self.took_s:.0f} s",
                f"  of which {hit} hit at least 8 begun and unsettled steps",
                f"  fewest {min(self.hits)}, median {sorted(self.hits)[len(self.hits) // 2]} of them",
                f"  orders: {self.orders}",
                f"  ledger rows: {self.ledger_rows}",
                f"  faults injected, as the ledgers count them: {faults}",
                f"  undecided at the end: {self.undecided}",
                f"  violations: {len(self.report.violations)}",
                str(self.report),
            ]
        )


async def run_drill(drill: Drill, folder: Path) -> Result:
    """Run *drill* over files in *folder*."""
    started_s = time.monotonic()
    plan = drill.faults if drill.faults is not None else fault_plan(drill.seed)
    settings = {"SAGA_DRAIN_GRACE": "2s", "SAGA_LOG_LEVEL": "DEBUG"}
    with Cluster(
        folder, listen="127.0.0.1:0", faults=plan, settings=settings, commands=drill.commands
    ) as cluster:
        await asyncio.to_thread(cluster.start)
        clients = Clients(cluster.address, seed=drill.seed, habits=drill.habits, crowd=drill.crowd)
        ordering = asyncio.create_task(clients.run())
        reader = Reader(cluster)
        try:
            hits = [hit async for hit in _kills(drill, cluster, clients, reader)]
            clients.stop()
            reader.stop_faults()
            await asyncio.wait_for(ordering, SETTLE_TIMEOUT_S)
            undecided = await reader.settle()
            return await _judged(drill, cluster, clients, reader, hits, undecided, started_s)
        finally:
            ordering.cancel()


async def _kills(drill: Drill, cluster: Cluster, clients: Clients, reader: "Reader") -> AsyncIterator[int]:
    """Kill, count what was hit, start again; yields the number of begun and unsettled steps of each."""
    chance = random.Random(f"kills {drill.seed}")
    for _ in range(drill.kills):
        due = clients.history.operations + chance.randint(*drill.operations_between)
        while clients.history.operations < due:
            await asyncio.sleep(0.005)
        assert cluster.coordinator is not None
        cluster.coordinator.kill()
        yield begun_and_unsettled(cluster.journal)
        await asyncio.to_thread(cluster.start_coordinator)
        known = sorted(clients.history.saga_ids)
        await reader.read(chance.sample(known, min(SAMPLE, len(known))))


async def _judged(
    drill: Drill,
    cluster: Cluster,
    clients: Clients,
    reader: "Reader",
    hits: list[int],
    undecided: int,
    started_s: float,
) -> Result:
    history = clients.history
    await reader.read(await reader.all_saga_ids())
    rows, faults = await reader.ledgers()
    definitions = await reader.definitions()
    books = _books(cluster.participants_folder, clients)
    cluster.stop()
    evidence = Evidence(
        ledger=rows,
        calls=tuple(history.calls),
        reads=tuple(reader.reads),
        definitions=definitions,
        restarts=drill.kills,
        books=books,
        logs={log.name: log.read_text(errors="replace") for log in cluster.journal.parent.glob("*.log")},
        canaries=frozenset(history.canaries),
        at_rest=undecided == 0,
    )
    return Result(
        drill=drill,
        hits=tuple(hits),
        orders=len({(call.door, call.request_id) for call in history.calls if call.code == "OK"}),
        ledger_rows=len(rows),
        faults=faults,
        undecided=undecided,
        took_s=time.monotonic() - started_s,
        report=check(evidence),
    )


class Reader:
    """Reads what can be read from outside, round by round."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._round = 0
        self.reads: list[SagaRead] = []

    async def read(self, saga_ids: Sequence[str]) -> None:
        """One round of GetSaga over *saga_ids*."""
        self._round += 1
        gate = asyncio.Semaphore(READ_AT_ONCE)
        async with self._channel() as channel:
            stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)

            async def get(saga_id: str) -> None:
                request = coordinator_pb2.GetSagaRequest(saga_id=saga_id)
                async with gate:
                    try:
                        answer = await stub.GetSaga(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)
                    except grpc.aio.AioRpcError as error:
                        # A saga that was acknowledged and is not there shows as one without a read.
                        if error.code() is not grpc.StatusCode.NOT_FOUND:
                            raise
                        return
                self.reads.append(saga_read(answer.saga, read_at=self._round))

            await asyncio.gather(*map(get, saga_ids))

    async def all_saga_ids(self) -> list[str]:
        return await self._listed("")

    async def settle(self) -> int:
        """Wait for the end of all automatic work; returns how many sagas are still undecided."""
        until_s = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            undecided = [
                saga_id
                for status in ("RUNNING", "COMPENSATING")
                for saga_id in await self._listed(f"status = {status}")
            ]
            if not undecided or time.monotonic() > until_s:
                return len(undecided)
            await asyncio.sleep(0.5)

    async def definitions(self) -> dict[str, Definition]:
        """The definition behind every digest that was read."""
        found = {}
        async with self._channel() as channel:
            stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            for digest in {read.definition_digest for read in self.reads}:
                request = coordinator_pb2.GetDefinitionRequest(name=digest)
                found[digest] = definition_of((await stub.GetDefinition(request)).definition)
        return found

    async def ledgers(self) -> tuple[tuple[LedgerRow, ...], dict[str, int]]:
        """Every row of every ledger, and how often each kind of fault was injected."""
        messages: list[ledger_pb2.LedgerEntry] = []
        faults: Counter[str] = Counter()
        async with grpc.aio.insecure_channel(self._cluster.participants_address, options=_LARGE) as channel:
            stub = ledger_pb2_grpc.LedgerServiceStub(channel)
            request = ledger_pb2.ListLedgerEntriesRequest(page_size=5000)
            while True:
                page = await stub.ListLedgerEntries(request, timeout=CALL_TIMEOUT_S)
                messages += page.entries
                for fault in page.injected_faults:
                    faults[fault.kind] += fault.count
                if not page.next_page_token:
                    return ledger_rows(messages), dict(faults)
                request.page_token = page.next_page_token

    def stop_faults(self) -> None:
        """From here on participants behave."""
        with grpc.insecure_channel(self._cluster.participants_address) as channel:
            faults_pb2_grpc.FaultServiceStub(channel).SetFaults(
                faults_pb2.SetFaultsRequest(faults_json="{}"), timeout=CALL_TIMEOUT_S
            )

    async def _listed(self, condition: str) -> list[str]:
        found: list[str] = []
        async with self._channel() as channel:
            stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            request = coordinator_pb2.ListSagasRequest(page_size=1000, filter=condition)
            while True:
                page = await stub.ListSagas(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)
                found += [saga.saga_id for saga in page.sagas]
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token

    def _channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self._cluster.address, options=CHANNEL_OPTIONS)


def begun_and_unsettled(journal: Path) -> int:
    """How many steps the journal knows as begun and not as settled, read from a copy of its files."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / journal.name
        for suffix in ("", "-wal"):
            source = journal.with_name(journal.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        with closing(sqlite3.connect(copy)) as db:
            texts = dict(db.execute("SELECT digest, text FROM definitions").fetchall())
            definitions = {digest: parse_definition(text, source=digest) for digest, text in texts.items()}
            open_sagas = db.execute(
                "SELECT id, definition_digest FROM sagas WHERE status IN ('RUNNING', 'COMPENSATING')"
            ).fetchall()
            records = "SELECT type, payload FROM records WHERE saga_id = ? ORDER BY seq"
            sagas = [
                resume(definitions[digest], [decode(*row) for row in db.execute(records, (saga_id,))]).saga
                for saga_id, digest in open_sagas
            ]
    return sum(
        (step.begun and step.outcome is None) or (step.undo is not None and step.undo.outcome is None)
        for saga in sagas
        for step in saga.steps
    )


def _books(folder: Path, clients: Clients) -> Books:
    money, stock = audit.money(folder), audit.stock(folder)
    return Books(
        charged_nanos={order_id: nanos for (order_id, _), nanos in money.by_order.items()},
        reserved_pieces=audit.reserved(folder),
        ordered_nanos=clients.history.ordered_nanos,
        ordered_pieces=clients.history.ordered_pieces,
        stock_adds_up=all(item.adds_up for item in stock.values()),
        money_adds_up=money.adds_up,
    )


_LARGE: Final = (("grpc.max_receive_message_length", -1),)
