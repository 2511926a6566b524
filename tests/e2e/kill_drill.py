"""The kill drill: the coordinator is killed with -9 under load, again and again, then judged from outside.

The participants stay up, and lie, stall and lose answers by a seeded plan, while operators see to what needs
a person. Kills come at seeded counts of client operations, some while it is starting. What is left is read
through the ledgers, the clients' and the operators' notes and the API, and judged by these alone.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.cluster import Cluster
from tests.checker.check import check
from tests.checker.verdict import Report
from tests.e2e.aftermath import Downtimes, Gathered, begun_and_unsettled, lasting_port
from tests.e2e.fault_plan import fault_plan
from tests.e2e.load import Clients, Habits
from tests.e2e.operators import Duties, Operators
from tests.e2e.reader import SETTLE_TIMEOUT_S, Reader

SAMPLE: Final = 25
STARTING_S: Final = (0.1, 1.5)


@dataclass(frozen=True, slots=True)
class Drill:
    """What to do. `faults` overrides the plan."""

    seed: int
    kills: int
    crowd: int = 48
    operations_between: tuple[int, int] = (15, 45)
    while_starting: float = 0.15
    """The share of kills that come while it is starting."""
    habits: Habits = field(default_factory=Habits)
    duties: Duties = field(default_factory=Duties)
    faults: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    drill: Drill
    hits: tuple[int, ...]
    """By kill: how many steps were begun and unsettled in the journal that it left."""
    while_starting: int
    orders: int
    ledger_rows: int
    faults: Mapping[str, int]
    operators: str
    """Their actions by verb and by result."""
    undecided: int
    set_aside: int
    """Sagas that the coordinator says it could not read or drive: here that can only be a fault of ours."""
    took_s: float
    report: Report

    def __str__(self) -> str:
        hit = sum(steps >= 8 for steps in self.hits)
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return "\n".join(
            [
                f"seed {self.drill.seed}: {len(self.hits)} kills in {self.took_s:.0f} s",
                f"  of which {hit} hit at least 8 begun and unsettled steps",
                f"  {self.while_starting} came while it was starting, the others under load",
                f"  fewest {min(self.hits)}, median {sorted(self.hits)[len(self.hits) // 2]} of them",
                f"  orders: {self.orders}",
                f"  ledger rows: {self.ledger_rows}",
                f"  faults injected, as the ledgers count them: {faults}",
                f"  operators: {self.operators}",
                f"  undecided at the end: {self.undecided}, set aside: {self.set_aside}",
                f"  violations: {len(self.report.violations)}",
                str(self.report),
            ]
        )


async def run_drill(drill: Drill, folder: Path) -> Result:
    """Run *drill* over files in *folder*."""
    started_s = time.monotonic()
    plan = drill.faults if drill.faults is not None else fault_plan(drill.seed)
    with Cluster(
        folder,
        listen=f"127.0.0.1:{lasting_port(random.Random())}",
        faults=plan,
        settings={"SAGA_DRAIN_GRACE": "2s", "SAGA_LOG_LEVEL": "DEBUG"},
    ) as cluster:
        await asyncio.to_thread(cluster.start)
        clients = Clients(cluster.address, seed=drill.seed, habits=drill.habits, crowd=drill.crowd)
        operators = Operators(cluster.address, seed=drill.seed, duties=drill.duties)
        ordering, operating = asyncio.create_task(clients.run()), asyncio.create_task(operators.run())
        reader = Reader(cluster)
        killer = Killer(drill, cluster, clients, reader)
        try:
            hits = [await killer.kill(number) for number in range(drill.kills)]
            await killer.start()
            clients.stop()
            operators.stop()
            reader.stop_faults()
            await asyncio.wait_for(asyncio.gather(ordering, operating), SETTLE_TIMEOUT_S)
            undecided = await reader.settle()
            await reader.read(await reader.all_saga_ids())
            # Once more with everything at rest: what has ended is as it was after a start.
            killer.end()
            await killer.start()
            await reader.read(await reader.all_saga_ids())
            gathered = Gathered(cluster, reader, clients.history, operators.watch, killer.downtimes)
            evidence, faults = await gathered.evidence(restarts=killer.starts, at_rest=undecided == 0)
        finally:
            ordering.cancel()
            operating.cancel()
    return Result(
        drill=drill,
        hits=tuple(hits),
        while_starting=killer.while_starting,
        orders=len({(call.door, call.request_id) for call in evidence.calls if call.code == "OK"}),
        ledger_rows=len(evidence.ledger),
        faults=faults,
        operators=str(operators.watch),
        undecided=undecided,
        set_aside=reader.set_aside(),
        took_s=time.monotonic() - started_s,
        report=check(evidence),
    )


class Killer:
    """Ends the coordinator as a crash would, and starts it again."""

    def __init__(self, drill: Drill, cluster: Cluster, clients: Clients, reader: Reader) -> None:
        self.cluster, self.clients, self.reader = cluster, clients, reader
        self.downtimes = Downtimes()
        self.starts = 0
        self.while_starting = 0
        self._drill = drill
        self._chance = random.Random(f"kills {drill.seed}")
        self._is_up = True

    async def kill(self, number: int) -> int:
        """Kill it once more; how many steps were begun and unsettled in the journal that it left.

        Most kills come after a number of operations, some while it is starting: a crash in recovery.
        """
        starting = number > 0 and self._chance.random() < self._drill.while_starting
        if starting:
            self._launch()
            await asyncio.sleep(self._chance.uniform(*STARTING_S))
            self.while_starting += 1
        else:
            await self.start()
            known = sorted(self.clients.history.saga_ids)
            await self.reader.read(self._chance.sample(known, min(SAMPLE, len(known))))
            due = self.clients.history.operations + self._chance.randint(*self._drill.operations_between)
            while self.clients.history.operations < due:
                await asyncio.sleep(0.005)
        self.end()
        return begun_and_unsettled(self.cluster.journal)

    async def start(self) -> None:
        """Have it up and serving."""
        if not self._is_up:
            self._launch()
            await asyncio.to_thread(self.cluster.await_coordinator)
            self.downtimes.up()

    def end(self) -> None:
        """kill -9."""
        assert self.cluster.coordinator is not None
        self.downtimes.down()
        self.cluster.coordinator.kill()
        self._is_up = False

    def _launch(self) -> None:
        self.cluster.launch_coordinator()
        self._is_up = True
        self.starts += 1
