"""What coordinators run on, one after the other: their processes, their one disk and its machine's clock."""

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.sqlite.words import text_of
from coordinator.domain.ids import SagaId
from coordinator.simulation.boundaries import Boundaries, Unsynced
from coordinator.simulation.boundaries import Kill as BoundaryKill
from coordinator.simulation.chance import BORN_AT_S, LoopClock, SeededChance
from coordinator.simulation.coordinator import Shelf, SimulatedCoordinator
from coordinator.simulation.disk import SimulatedDisk
from coordinator.simulation.loop import Process, SimulatedLoop
from tests.simulation.notes import Notes, ns
from tests.simulation.plan import BadWrite, Kill, Plan, Takeover
from tests.simulation.services import Services, Wire

DISK_S: Final = 0.003
GRACE_S: Final = 2.0

_OPEN: Final = "SELECT id FROM sagas WHERE status IN ('RUNNING', 'COMPENSATING')"
_REQUESTED: Final = "SELECT saga_id FROM requests WHERE request_id = ?"
_DAMAGE: Final = (
    "UPDATE records SET payload = ' ' || payload"
    " WHERE rowid = (SELECT min(records.rowid) FROM records JOIN sagas ON sagas.number = saga WHERE id = ?)"
)
_EXPRESSIONS: Final = CelExpressions()
ORDER: Final[ContextVar[int]] = ContextVar("order", default=0)
"""The number of the order that is being served: the ids that are made begin with it."""


class Away(Exception):
    """No answer: nobody is there, or it took too long."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Chance(SeededChance):
    """Chance whose saga ids begin with the number of the order that is being served."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed, "")
        self._drawn = 0

    def saga_id(self) -> SagaId:
        self._drawn += 1
        return SagaId(f"{ORDER.get()}.{self._drawn}")


class Hosts:
    """Whatever coordinators there are, and what is done to them."""

    def __init__(
        self, loop: SimulatedLoop, plan: Plan, services: Services, shelf: Shelf, notes: Notes
    ) -> None:
        self._loop, self._plan, self._services, self._shelf, self._notes = loop, plan, services, shelf, notes
        kills = {
            f.boundary: BoundaryKill(Unsynced(f.unsynced), f.statements)
            for f in plan.faults
            if isinstance(f, Kill) and f.boundary is not None
        }
        self._away_s = {f.boundary: f.away_s for f in plan.faults if isinstance(f, Kill)}
        self._boundaries = Boundaries(kills, self._killed_at_boundary)
        self._paces = self._written = 0
        self._pace_s = services.spreading(DISK_S, "disk")
        self._bad_writes = {f.write: f.kept for f in plan.faults if isinstance(f, BadWrite)}
        self._disk_slower_s = 0.0
        self.disk = SimulatedDisk(self._boundaries, self._pace)
        self.disk.fails = self._write_fails
        self._chance = _Chance(f"chance {plan.salt}")
        self._clock_off_s = 0.0
        self._clocks: dict[str, LoopClock] = {}
        self._coordinators = 0
        self.current: SimulatedCoordinator | None = None
        """The one that clients are led to."""
        self._stops: dict[Process, asyncio.Future[None]] = {}
        self._away_after: dict[Process, float] = {}
        self.asked: dict[Process, dict[int, asyncio.Future[Any]]] = {}
        """Who waits for an answer of each."""
        self._frozen: dict[Process, float] = {}
        """Since when."""
        self._down_since_s: float | None = 0.0

    @property
    def is_up(self) -> bool:
        return self.current is not None and self.current.serving.is_set()

    @property
    def boundaries(self) -> int:
        """How many were passed."""
        return self._boundaries.count

    def boot(self) -> None:
        """Start a coordinator on the disk."""
        self._coordinators += 1
        process = self._loop.process(f"coordinator {self._coordinators}")
        self.asked[process] = {}
        process.on_death(partial(self._died, process))
        self._notes.line(f"{process.name} starts")
        self._notes.happened.boots.append((self._loop.time(), process.name))
        still_open = {text_of(kept_id) for (kept_id,) in self.disk.database.execute(_OPEN)}
        damaged = self._notes.happened.damaged
        damaged.update((saga_id, True) for saga_id in damaged if saga_id in still_open)
        self._loop.own(process, self._live(process))

    async def _live(self, process: Process) -> None:
        clock = self._clocks[process.name] = LoopClock()
        clock.off_by_s = self._clock_off_s
        coordinator = SimulatedCoordinator(
            process,
            self.disk.open(process),
            Wire(process, self._services, self._boundaries, self._notes.happened.sends.append),
            self._shelf,
            clock,
            self._chance,
            _EXPRESSIONS,
            calls_per_service_max=self._plan.calls_per_service_max,
            sagas_open_max=self._plan.sagas_open_max,
        )
        self.current = coordinator
        stop = self._stops[process] = asyncio.get_running_loop().create_future()
        upcoming = asyncio.ensure_future(self._serving(coordinator))
        failure = await coordinator.live(stop, grace_s=GRACE_S)
        upcoming.cancel()
        self._check_slots(coordinator)
        self._ended(process, "failed" if failure else "stopped")

    async def _serving(self, coordinator: SimulatedCoordinator) -> None:
        await coordinator.serving.wait()
        if self._down_since_s is not None:
            self._was_down(self._down_since_s)
            self._down_since_s = None

    def _was_down(self, since_s: float) -> None:
        """Nobody drove anything until now. By the clock that timelines are told by."""
        span_ns = (ns(BORN_AT_S + since_s), ns(BORN_AT_S + self._loop.time()))
        self._notes.happened.downtimes_ns.append(span_ns)

    def _check_slots(self, coordinator: SimulatedCoordinator) -> None:
        """Whoever parks in order has given back every slot (I31)."""
        if kept := {
            name: load for name, load in coordinator.loads().items() if load.in_flight or load.queued
        }:
            self._notes.wrong(f"{coordinator.process.name} parked and keeps slots: {kept}")

    def _ended(self, process: Process, how: str) -> None:
        """A coordinator has ended by itself."""
        is_current = self.current is not None and self.current.process is process
        self._notes.line(f"{process.name} {how}")
        self._notes.happened.ends.append((self._loop.time(), process.name, how))
        process.kill()
        if is_current:
            self.come_back(self._away_after.get(process, 1.0))

    def _died(self, process: Process) -> None:
        for waiting in self.asked.pop(process, {}).values():
            if not waiting.done():
                waiting.set_exception(Away("UNAVAILABLE"))
        frozen_since_s = self._frozen.pop(process, None)
        if self.current is not None and self.current.process is process:
            self.current = None
            if self._down_since_s is None:
                self._down_since_s = self._loop.time() if frozen_since_s is None else frozen_since_s

    def kill(self, process: Process, kill: BoundaryKill) -> None:
        """kill -9."""
        self._notes.happened.marks["kill"] += 1
        self._notes.line(f"{process.name} is killed, and what it had not synced is {kill.unsynced}")
        self._notes.happened.ends.append((self._loop.time(), process.name, "killed"))
        is_holder = self.disk.holder is process
        process.kill()
        if is_holder:
            if self.disk.is_unsynced:
                self._notes.happened.marks[f"write {kill.unsynced}"] += 1
            self.disk.cut(kill)

    def _killed_at_boundary(self, process: Process, kill: BoundaryKill) -> None:
        if process.is_dead:
            return
        self._notes.happened.killed_at_s[self._boundaries.count] = self._loop.time()
        was_current = self.current is None or self.current.process is process
        self.kill(process, kill)
        if was_current:
            self.come_back(self._away_s.get(self._boundaries.count, 0.1))

    def come_back(self, away_s: float) -> None:
        """So much later there is another one."""
        self._loop.tell_later(None, away_s, self._boot_if_none)

    def _boot_if_none(self) -> None:
        if self.current is None and (self.disk.holder is None or self.disk.holder.is_dead):
            self.boot()

    def stop(self, process: Process, away_s: float) -> None:
        """SIGTERM."""
        self._away_after[process] = away_s
        self._notes.happened.stopped_at_s.setdefault(process.name, self._loop.time())
        # From here on it begins nothing more; nor did it while it stood still.
        if self._down_since_s is None:
            self._down_since_s = self._frozen.get(process, self._loop.time())
        if (stop := self._stops.get(process)) is not None and not stop.done():
            self._loop.tell(process, _end, stop)

    def freeze(self, process: Process, for_s: float) -> None:
        """SIGSTOP, and SIGCONT so much later."""
        process.stop()
        self._frozen[process] = self._loop.time()
        self._loop.tell_later(None, for_s, self._go_on, process, self._loop.time())

    def _go_on(self, process: Process, since_s: float) -> None:
        if process in self._frozen:
            del self._frozen[process]
            self._loop.resume(process)
            is_current = self.current is not None and self.current.process is process
            # Otherwise that is a part of a longer span, which ends when somebody serves again.
            if is_current and self._down_since_s is None:
                self._was_down(since_s)

    def take_over(self, process: Process, fault: Takeover) -> None:
        """Its disk is given to another one while it stands still; then it goes on, and knows nothing."""
        self.freeze(process, fault.back_s)
        for waiting in self.asked[process].values():
            if not waiting.done():
                waiting.set_exception(Away("UNAVAILABLE"))
        self.asked[process] = {}
        self.disk.cut(BoundaryKill(Unsynced(fault.unsynced)))
        self.current = None
        self._down_since_s = self._loop.time()
        self.boot()

    def fill_disk(self, for_s: float) -> None:
        """No saga may be started for so long."""
        self.disk.shortage = "the journal's disk is nearly full"
        self._loop.tell_later(None, for_s, self._disk_has_room)

    def slow_disk(self, for_s: float, by_s: float) -> None:
        """Each write and read takes so much longer for so long."""
        self._disk_slower_s = by_s
        self._loop.tell_later(None, for_s, self._disk_is_quick)

    def damage(self, order: int) -> None:
        """The first record of the saga of *order* changes on the disk."""
        name = f"order-{order}"
        for (kept_id,) in self.disk.database.execute(_REQUESTED, (name,)).fetchall():
            self.disk.database.execute(_DAMAGE, (kept_id,))
            self._notes.happened.damaged.setdefault(SagaId(text_of(kept_id)), False)

    def set_clock(self, by_s: float) -> None:
        """The machine's clock is off by so much more."""
        self._clock_off_s += by_s
        for clock in self._clocks.values():
            clock.off_by_s = self._clock_off_s

    def heal(self) -> None:
        """From here on nothing fails, and whoever stands still goes on."""
        self._bad_writes.clear()
        self._boundaries.spare()
        self._disk_has_room()
        self._disk_is_quick()
        for process, since_s in list(self._frozen.items()):
            self._go_on(process, since_s)

    def _disk_has_room(self) -> None:
        self.disk.shortage = None

    def _disk_is_quick(self) -> None:
        self._disk_slower_s = 0.0

    def _pace(self) -> float:
        self._paces += 1
        return self._pace_s(self._paces) + self._disk_slower_s

    def _write_fails(self) -> bool | None:
        self._written += 1
        kept = self._bad_writes.pop(self._written, None)
        if kept is not None:
            self._notes.happened.marks["bad write, kept" if kept else "bad write, lost"] += 1
        return kept


def _end(stop: asyncio.Future[None]) -> None:
    if not stop.done():
        stop.set_result(None)
