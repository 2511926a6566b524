"""One simulated world, from a plan: coordinators on one disk, services, clients, operators, and troubles.

First anything may fail; then nothing does any more, and everything has to come to rest.
"""

import random
from collections.abc import Callable
from typing import Any, Final

from coordinator.api.convert import to_saga_with_timeline
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.jsontext import digest
from coordinator.engine.archive import pinned_definition
from coordinator.engine.sagas import SagaView
from coordinator.ports.journal import SagaFilter
from coordinator.simulation.boundaries import Kill as BoundaryKill
from coordinator.simulation.boundaries import Unsynced
from coordinator.simulation.coordinator import Shelf, SimulatedCoordinator
from coordinator.simulation.loop import simulated_loop
from saga.v1 import coordinator_pb2
from tests.checker.evidence import Definition
from tests.checker.gather import definition_of, saga_read
from tests.simulation.hosts import Hosts
from tests.simulation.notes import Happened, Notes
from tests.simulation.people import People
from tests.simulation.plan import (
    BadWrite,
    ClockJump,
    Echo,
    Edit,
    Fault,
    Freeze,
    FullDisk,
    Hand,
    Kill,
    Look,
    Outage,
    Plan,
    Rot,
    SlowDisk,
    Stop,
    Takeover,
    Trick,
)
from tests.simulation.services import Row, Services

REST_S: Final = 1_800.0
"""So long after everything works again, at most, everything has come to rest (I19): of a saga of six steps
the budgets and waits that are left then add up to about half of it."""
LATE_S: Final = 120.0
"""So long after that, whatever is still on its way has arrived."""
_OF_CALLS_AND_WRITES: Final = (Trick, Echo, BadWrite)
"""They come at no moment, but with what they befall."""
STEPS_MAX: Final = 200_000
"""In one phase of a run: more than twenty times what the largest world takes."""


class World:
    """Plays one plan; `happened` holds what came of it."""

    def __init__(self, plan: Plan, watch: Callable[["World", Row], None]) -> None:
        """*watch* is told of each row of the ledger at the moment it is written."""
        self.plan = plan
        self.loop = simulated_loop(shuffle=random.Random(f"shuffle {plan.salt}") if plan.shuffled else None)
        self.notes = Notes(self.loop)
        self._watch = watch
        self.definitions = [pinned_definition(text, digest(text)) for text in plan.definitions]
        self._shelf = Shelf(self.definitions)
        tricks = {(f.order, f.step, f.way, f.call): f for f in plan.faults if type(f) is Trick}
        echoes = {(f.order, f.step, f.way, f.call): f for f in plan.faults if type(f) is Echo}
        self.services = Services(self.loop, plan.salt, tricks, echoes, self._row)
        self.hosts = Hosts(self.loop, plan, self.services, self._shelf, self.notes)
        self._people = People(
            self.loop, self.hosts, self.services, self.definitions, self.notes, self._note_one_read
        )
        self._healed = False
        self._reads = 0
        self._looked_at = -1
        """The journal's changes when its open sagas were looked for."""
        self._has_open = True

    @property
    def happened(self) -> Happened:
        return self.notes.happened

    @property
    def journal(self) -> Any:
        """The journal's database, as it is on the disk."""
        return self.hosts.disk.database

    def play(self) -> Happened:
        """Play the plan to its end."""
        happened = self.happened
        try:
            self.hosts.boot()
            for order in self.plan.orders:
                self.loop.tell_later(self._people.process, order.at_s, self._people.order, order)
            for number, fault in enumerate(self.plan.faults):
                self._arrange(number, fault)
            self._run_until(self.plan.safe_until_s)
            if not happened.wrong:
                self._heal()
            self._gather()
        finally:
            happened.simulated_s = self.loop.time()
            happened.steps = self.loop.steps
            happened.boundaries = self.hosts.boundaries
            self.loop.close()
        return happened

    def close(self) -> None:
        """Let go of the databases."""
        self.hosts.disk.close()
        self.services.close()

    def take_apart(self) -> None:
        """Call it last. Its parts all know each other: once they do not, all that they hold is free at once,
        and nobody has to look for it."""
        for part in (self.hosts.disk, self.hosts, self._people, self.services, self.notes, self):
            vars(part).clear()

    def definitions_read(self) -> dict[str, Definition]:
        """Every definition that a saga can be pinned to, by digest, as the checker reads them."""
        return {
            known.digest: definition_of(
                coordinator_pb2.Definition(definition_json=known.text, digest=known.digest)
            )
            for known in self.definitions
        }

    def _arrange(self, number: int, fault: Fault) -> None:
        if not isinstance(fault, _OF_CALLS_AND_WRITES) and fault.at_s is not None:
            self.loop.tell_later(None, fault.at_s, self._befall, number, fault)

    def _befall(self, number: int, fault: Fault) -> None:
        if self._healed:
            return
        self.happened.marks[type(fault).__name__] += 1
        match fault:
            case Hand():
                self._people.hand(number, fault)
            case Look():
                self._people.look(fault)
            case _:
                self._befall_world(fault)
                self.notes.line(f"{fault}")

    def _befall_world(self, fault: Fault) -> None:
        hosts, services = self.hosts, self.services
        match fault:
            case Edit():
                self._edit(pinned_definition(fault.text, digest(fault.text)))
            case Outage(silent=True):
                services.silent.add(fault.service)
                self.loop.tell_later(None, fault.for_s, services.silent.discard, fault.service)
            case Outage():
                services.kill(fault.service)
                self.loop.tell_later(None, fault.for_s, services.down.discard, fault.service)
            case FullDisk():
                hosts.fill_disk(fault.for_s)
            case SlowDisk():
                hosts.slow_disk(fault.for_s, fault.by_s)
            case ClockJump():
                hosts.set_clock(fault.by_s)
            case Rot():
                hosts.damage(fault.order)
            case _ if hosts.current is not None:
                self._befall_coordinator(fault, hosts.current)

    def _befall_coordinator(self, fault: Fault, coordinator: SimulatedCoordinator) -> None:
        hosts, process = self.hosts, coordinator.process
        match fault:
            case Kill():
                hosts.kill(process, BoundaryKill(Unsynced(fault.unsynced), fault.statements))
                hosts.come_back(fault.away_s)
            case Stop():
                hosts.stop(process, fault.away_s)
            case Freeze() if not process.is_stopped:
                hosts.freeze(process, fault.for_s)
            case Takeover() if not process.is_stopped:
                hosts.take_over(process, fault)

    def _edit(self, definition: SagaDefinition) -> None:
        self._shelf.put(definition)
        if definition.digest not in {known.digest for known in self.definitions}:
            self.definitions.append(definition)

    def _heal(self) -> None:
        """From here on nothing fails: everything that was accepted has to come to rest."""
        self._healed = self.services.healed = True
        self.notes.line("from here on nothing fails")
        self.services.down.clear()
        self.services.silent.clear()
        self.hosts.heal()
        self.happened.at_rest = self._comes_to_rest()
        self._run_until(self.loop.time() + LATE_S)
        if self.plan.restarts_at_rest and not self.happened.wrong:
            self._look_at_all()
            if self.hosts.current is not None:
                self.hosts.kill(self.hosts.current.process, BoundaryKill())
                self.hosts.come_back(0.1)
            self.happened.at_rest &= self._comes_to_rest()

    def _run_until(self, until_s: float) -> None:
        """Go on until then, or until something is wrong: that is asked between all steps."""
        self.loop.run(until=self.happened.wrong.__len__, until_s=until_s, steps_max=STEPS_MAX)

    def _comes_to_rest(self) -> bool:
        wrong = self.happened.wrong
        self.loop.run(
            until=lambda: wrong or self._is_at_rest(),
            until_s=self.loop.time() + REST_S,
            steps_max=STEPS_MAX,
        )
        return not self.happened.wrong and self._is_at_rest()

    def _is_at_rest(self) -> bool:
        # This is asked between all steps, and few of them write.
        changes = self.journal.total_changes
        if changes != self._looked_at:
            self._looked_at = changes
            (self._has_open,) = self.journal.execute(
                "SELECT EXISTS (SELECT 1 FROM sagas WHERE status IN ('RUNNING', 'COMPENSATING')"
                " AND number NOT IN (SELECT saga FROM quarantines))"
            ).fetchone()
        return not self._has_open and self.hosts.is_up

    def _row(self, row: Row) -> None:
        self.happened.rows.append(row)
        self.notes.line(
            f"{row.service}: {row.op} {row.step} of {row.saga_id} {row.outcome} under {row.token}"
        )
        self._watch(self, row)

    def _note_one_read(self, view: SagaView) -> None:
        self._reads += 1
        self._note_read(view, self._reads)

    def _note_read(self, view: SagaView, number: int) -> None:
        self.happened.views[view.summary.id] = view
        self.happened.reads.append(saga_read(to_saga_with_timeline(view), number))

    def _look_at_all(self) -> None:
        """A round of reading: every saga that any journal holds."""
        coordinator = self.hosts.current
        if coordinator is None or self.happened.wrong:
            return
        self._reads += 1
        number = self._reads
        reading = self.loop.begin(coordinator.process, self._read_all(coordinator, number))
        self.loop.run(until=reading.done, steps_max=STEPS_MAX)
        reading.result()

    async def _read_all(self, coordinator: SimulatedCoordinator, number: int) -> None:
        rows = await coordinator.sagas.page(SagaFilter(), after=None, limit=100_000)
        for row in reversed(rows):
            self._note_read(await coordinator.sagas.get(row.id), number)
        people = await coordinator.sagas.page(SagaFilter(needs_person=True), after=None, limit=100_000)
        self.happened.dead_letters = frozenset(row.id for row in people)

    def _gather(self) -> None:
        if self.happened.wrong or self.hosts.current is None:
            return
        self._look_at_all()
        if self.happened.at_rest and (left := self.hosts.current.pool._open):
            self.notes.wrong(f"I31: {left} sagas take room, and all of them rest")
