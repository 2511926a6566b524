"""One simulated world, from a plan: coordinators on one disk, services, clients, operators, and troubles.

First anything may fail; then nothing does any more, and everything has to come to rest.
"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from coordinator.adapters.cel import CelExpressions
from coordinator.api.convert import to_saga_with_timeline
from coordinator.api.errors import row_of
from coordinator.domain.actions import Action
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import SagaError
from coordinator.domain.events import Verb
from coordinator.domain.ids import ActionId, RequestId, SagaId, StepName
from coordinator.domain.jsontext import digest, loads
from coordinator.engine.sagas import SagaView, Wanted
from coordinator.ports.journal import SagaFilter
from coordinator.simulation.boundaries import Boundaries, Unsynced
from coordinator.simulation.boundaries import Kill as BoundaryKill
from coordinator.simulation.chance import BORN_AT_S, LoopClock, SeededChance
from coordinator.simulation.coordinator import Shelf, SimulatedCoordinator
from coordinator.simulation.disk import SimulatedDisk
from coordinator.simulation.loop import Process, simulated_loop
from saga.v1 import coordinator_pb2
from tests.checker.evidence import ClientCall, Definition, OperatorCall, SagaRead
from tests.checker.gather import definition_of, saga_read
from tests.simulation.plan import (
    BadWrite,
    ClockJump,
    Edit,
    Fault,
    Freeze,
    FullDisk,
    Hand,
    Kill,
    Look,
    Order,
    Outage,
    Plan,
    SlowDisk,
    Stop,
    Takeover,
    Trick,
)
from tests.simulation.services import Row, Send, Services, Wire

DOOR: Final = "sagas"
DISK_S: Final = 0.003
REST_S: Final = 4 * 3_600.0
"""So long after everything works again, at most, everything has come to rest (I19): far more than the waits
and budgets of the plans add up to."""
STEPS_MAX: Final = 200_000
"""In one phase of a run: more than twenty times what the largest world takes."""
GRACE_S: Final = 2.0
PATIENCE_AT_REST_S: Final = 60.0

_T = TypeVar("_T")
_EXPRESSIONS: Final = CelExpressions()
_ORDER: Final[ContextVar[int]] = ContextVar("order", default=0)
"""The number of the order that is being served: the ids that are made begin with it."""


class Away(Exception):
    """No answer: nobody is there, or it took too long."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Happened:
    """What is noted of a run while it goes."""

    rows: list[Row] = field(default_factory=list)
    calls: list[ClientCall] = field(default_factory=list)
    actions: list[OperatorCall] = field(default_factory=list)
    reads: list[SagaRead] = field(default_factory=list)
    views: dict[str, SagaView] = field(default_factory=dict)
    """The last one of each saga."""
    sends: list[Send] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    downtimes_ns: list[tuple[int, int]] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    """What was done to the world, by kind."""
    answers: Counter[str] = field(default_factory=Counter)
    """What clients and operators were refused with, by reason."""
    dead_letters: frozenset[str] | None = None
    wrong: list[str] = field(default_factory=list)
    """What must not be, as it was seen."""
    trace: list[str] = field(default_factory=list)
    ends: list[tuple[float, str, str]] = field(default_factory=list)
    """When which coordinator ended, and how."""
    boots: list[tuple[float, str]] = field(default_factory=list)
    killed_at_s: dict[int, float] = field(default_factory=dict)
    """When it was killed at which boundary."""
    at_rest: bool = False
    simulated_s: float = 0.0
    steps: int = 0
    boundaries: int = 0

    @property
    def fingerprint(self) -> str:
        """The same for runs that went alike."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


class _Chance(SeededChance):
    """Chance whose saga ids begin with the number of the order that is being served."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed, "")
        self._drawn = 0

    def saga_id(self) -> SagaId:
        self._drawn += 1
        return SagaId(f"{_ORDER.get()}.{self._drawn}")


class World:
    """Plays one plan; `happened` holds what came of it."""

    def __init__(self, plan: Plan, watch: Callable[["World", Row], None]) -> None:
        """*watch* is told of each row of the ledger at the moment it is written."""
        self.plan = plan
        self.happened = Happened()
        self.loop = simulated_loop(shuffle=random.Random(f"shuffle {plan.salt}") if plan.shuffled else None)
        self._watch = watch
        self.definitions = [parse_definition(text, source="the plan") for text in plan.definitions]
        self._shelf = Shelf(self.definitions)
        kills = {
            f.boundary: BoundaryKill(Unsynced(f.unsynced), f.statements)
            for f in plan.faults
            if isinstance(f, Kill) and f.boundary is not None
        }
        self._away_s = {f.boundary: f.away_s for f in plan.faults if isinstance(f, Kill)}
        self._boundaries = Boundaries(kills, self._killed_at_boundary)
        tricks = {(f.order, f.step, f.way, f.call): f for f in plan.faults if isinstance(f, Trick)}
        self.services = Services(self.loop, plan.salt, tricks, self._row)
        self._paces = self._written = 0
        self._bad_writes = {f.write: f.kept for f in plan.faults if isinstance(f, BadWrite)}
        self._disk_slower_s = 0.0
        self._disk = SimulatedDisk(self._boundaries, self._pace)
        self._disk.fails = self._write_fails
        self._chance = _Chance(f"chance {plan.salt}")
        self._clock_off_s = 0.0
        self._clocks: dict[str, LoopClock] = {}
        self._coordinators = 0
        self.current: SimulatedCoordinator | None = None
        """The one that clients are led to."""
        self._stops: dict[Process, asyncio.Future[None]] = {}
        self._asked: dict[Process, dict[int, asyncio.Future[Any]]] = {}
        self._askings = 0
        self._frozen: dict[Process, float] = {}
        """Since when."""
        self._healed = False
        self._clients = self.loop.process("clients")
        self._down_since_s: float | None = 0.0
        self._reads = 0

    # What happens, from the first moment to the last

    def play(self) -> Happened:
        """Play the plan to its end."""
        try:
            self._boot()
            for order in self.plan.orders:
                self.loop.tell_later(self._clients, order.at_s, self._order, order)
            for number, fault in enumerate(self.plan.faults):
                self._arrange(number, fault)
            self.loop.run(until=self._is_broken, until_s=self.plan.safe_until_s, steps_max=STEPS_MAX)
            if not self.happened.wrong:
                self._heal()
            self._gather()
        finally:
            self.happened.simulated_s = self.loop.time()
            self.happened.steps = self.loop.steps
            self.happened.boundaries = self._boundaries.count
            self.loop.close()
        return self.happened

    def close(self) -> None:
        """Let go of the databases."""
        self._disk.close()
        self.services.close()

    @property
    def journal(self) -> Any:
        """The journal's database, as it is on the disk."""
        return self._disk.database

    def note(self, line: str) -> None:
        """One more line of the trace."""
        self.happened.trace.append(f"{self.loop.time():.6f} {line}")

    def _is_broken(self) -> bool:
        for fault in self.loop.faults:
            self.wrong(f"unhandled: {type(fault).__name__}: {fault}")
        self.loop.faults.clear()
        return bool(self.happened.wrong)

    def wrong(self, sentence: str) -> None:
        """Something that must not be has been seen."""
        self.note(f"WRONG {sentence}")
        self.happened.wrong.append(sentence)

    def _heal(self) -> None:
        """From here on nothing fails: everything that was accepted has to come to rest."""
        self._healed = self.services.healed = True
        self.note("from here on nothing fails")
        self.services.down.clear()
        self.services.silent.clear()
        self._bad_writes.clear()
        self._boundaries.spare()
        self._disk.shortage = None
        self._disk_slower_s = 0.0
        for process, since_s in list(self._frozen.items()):
            self._go_on(process, since_s)
        until_s = self.loop.time() + REST_S
        self._until(self._is_up, until_s)
        self.happened.at_rest = self._until(self._is_at_rest, until_s)
        # What is on its way still arrives: late calls, and the last answers.
        self.loop.run(until=self._is_broken, until_s=self.loop.time() + 120.0, steps_max=STEPS_MAX)
        if self.plan.restarts_at_rest and not self.happened.wrong:
            self._look_at_all()
            if self.current is not None:
                self._kill(self.current.process, BoundaryKill())
                self._come_back(0.1)
            self.happened.at_rest &= self._until(self._is_at_rest, self.loop.time() + REST_S)

    def _until(self, condition: Callable[[], bool], until_s: float) -> bool:
        self.loop.run(until=lambda: self._is_broken() or condition(), until_s=until_s, steps_max=STEPS_MAX)
        return not self.happened.wrong and condition()

    def _is_up(self) -> bool:
        return self.current is not None and self.current.serving.is_set()

    def _is_at_rest(self) -> bool:
        if not self._is_up():
            return False
        (still_open,) = self._disk.database.execute(
            "SELECT count(*) FROM sagas WHERE status IN ('RUNNING', 'COMPENSATING')"
            " AND id NOT IN (SELECT saga_id FROM quarantines)"
        ).fetchone()
        return bool(still_open == 0)

    # Coordinators

    def _boot(self) -> None:
        self._coordinators += 1
        process = self.loop.process(f"coordinator {self._coordinators}")
        self._asked[process] = {}
        process.on_death(partial(self._died, process))
        self.note(f"{process.name} starts")
        self.happened.boots.append((self.loop.time(), process.name))
        self.loop.own(process, self._live(process))

    async def _live(self, process: Process) -> None:
        clock = self._clocks[process.name] = LoopClock()
        clock.off_by_s = self._clock_off_s
        coordinator = SimulatedCoordinator(
            process,
            self._disk.open(process),
            Wire(process, self.services, self._boundaries, self.happened.sends.append),
            self._shelf,
            clock,
            self._chance,
            _EXPRESSIONS,
            calls_per_service_max=self.plan.calls_per_service_max,
            sagas_open_max=self.plan.sagas_open_max,
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
        span_ns = (_ns(BORN_AT_S + since_s), _ns(BORN_AT_S + self.loop.time()))
        self.happened.downtimes_ns.append(span_ns)

    def _check_slots(self, coordinator: SimulatedCoordinator) -> None:
        """Whoever parks in order has given back every slot (I31)."""
        if kept := {
            name: load for name, load in coordinator.loads().items() if load.in_flight or load.queued
        }:
            self.wrong(f"{coordinator.process.name} parked and keeps slots: {kept}")

    def _ended(self, process: Process, how: str) -> None:
        """A coordinator has ended by itself."""
        is_current = self.current is not None and self.current.process is process
        self.note(f"{process.name} {how}")
        self.happened.ends.append((self.loop.time(), process.name, how))
        process.kill()
        if is_current:
            self._come_back(1.0)

    def _died(self, process: Process) -> None:
        for waiting in self._asked.pop(process, {}).values():
            if not waiting.done():
                waiting.set_exception(Away("UNAVAILABLE"))
        if self.current is not None and self.current.process is process:
            self.current = None
            if self._down_since_s is None:
                self._down_since_s = self.loop.time()

    def _kill(self, process: Process, kill: BoundaryKill) -> None:
        self.happened.marks["kill"] += 1
        self.note(f"{process.name} is killed, and what it had not synced is {kill.unsynced}")
        self.happened.ends.append((self.loop.time(), process.name, "killed"))
        is_holder = self._disk.holder is process
        process.kill()
        if is_holder:
            if self._disk.is_unsynced:
                self.happened.marks[f"write {kill.unsynced}"] += 1
            self._disk.cut(kill)

    def _killed_at_boundary(self, process: Process, kill: BoundaryKill) -> None:
        if process.is_dead:
            return
        self.happened.killed_at_s[self._boundaries.count] = self.loop.time()
        was_current = self.current is None or self.current.process is process
        self._kill(process, kill)
        if was_current:
            self._come_back(self._away_s.get(self._boundaries.count, 0.1))

    def _come_back(self, away_s: float) -> None:
        self.loop.tell_later(None, away_s, self._boot_if_none)

    def _boot_if_none(self) -> None:
        if self.current is None and (self._disk.holder is None or self._disk.holder.is_dead):
            self._boot()

    # Faults

    def _arrange(self, number: int, fault: Fault) -> None:
        if not isinstance(fault, Trick | BadWrite) and fault.at_s is not None:
            self.loop.tell_later(None, fault.at_s, self._befall, number, fault)

    def _befall(self, number: int, fault: Fault) -> None:
        if self._healed:
            return
        self.happened.marks[type(fault).__name__] += 1
        process = None if self.current is None else self.current.process
        match fault:
            case Hand():
                self.loop.own(self._clients, self._hand(number, fault))
                return
            case Look():
                self.loop.own(self._clients, self._look(fault))
                return
            case Edit():
                self._shelf.put(parse_definition(fault.text, source="the plan"))
                self._remember(parse_definition(fault.text, source="the plan"))
            case Outage(silent=True):
                self.services.silent.add(fault.service)
                self.loop.tell_later(None, fault.for_s, self.services.silent.discard, fault.service)
            case Outage():
                self.services.kill(fault.service)
                self.loop.tell_later(None, fault.for_s, self.services.down.discard, fault.service)
            case FullDisk():
                self._disk.shortage = "the journal's disk is nearly full"
                self.loop.tell_later(None, fault.for_s, self._disk_has_room)
            case SlowDisk():
                self._disk_slower_s = fault.by_s
                self.loop.tell_later(None, fault.for_s, self._disk_is_quick)
            case ClockJump():
                self._clock_off_s += fault.by_s
                for clock in self._clocks.values():
                    clock.off_by_s = self._clock_off_s
            case _ if process is None:
                return
            case Kill():
                self._kill(process, BoundaryKill(Unsynced(fault.unsynced), fault.statements))
                self._come_back(fault.away_s)
            case Stop():
                self._stop(process, fault.away_s)
            case Freeze() if not process.is_stopped:
                self._freeze(process, fault.for_s)
            case Takeover() if not process.is_stopped:
                self._take_over(process, fault)
        self.note(f"{fault}")

    def _stop(self, process: Process, away_s: float) -> None:
        if (stop := self._stops.get(process)) is not None and not stop.done():
            self.loop.tell(process, _end, stop)

    def _freeze(self, process: Process, for_s: float) -> None:
        process.stop()
        self._frozen[process] = self.loop.time()
        self.loop.tell_later(None, for_s, self._go_on, process, self.loop.time())

    def _go_on(self, process: Process, since_s: float) -> None:
        if process in self._frozen:
            del self._frozen[process]
            self.loop.resume(process)
            if self.current is not None and self.current.process is process:
                self._was_down(since_s)

    def _take_over(self, process: Process, fault: Takeover) -> None:
        """Its disk is given to another one while it stands still; then it goes on, and knows nothing."""
        self._freeze(process, fault.back_s)
        for waiting in self._asked[process].values():
            if not waiting.done():
                waiting.set_exception(Away("UNAVAILABLE"))
        self._asked[process] = {}
        self._disk.cut(BoundaryKill(Unsynced(fault.unsynced)))
        self.current = None
        self._down_since_s = self.loop.time()
        self._boot()

    def _disk_has_room(self) -> None:
        self._disk.shortage = None

    def _disk_is_quick(self) -> None:
        self._disk_slower_s = 0.0

    def _pace(self) -> float:
        self._paces += 1
        return self.services.spread(DISK_S, "disk", self._paces) + self._disk_slower_s

    def _write_fails(self) -> bool | None:
        self._written += 1
        kept = self._bad_writes.pop(self._written, None)
        if kept is not None:
            self.happened.marks["bad write, kept" if kept else "bad write, lost"] += 1
        return kept

    # Clients and operators

    def _order(self, order: Order) -> None:
        asks = [(0.0, order.patience_s, False)]
        asks += [(more.after_s, more.patience_s, more.other) for more in order.again]
        for number, (after_s, patience_s, other) in enumerate(asks):
            self.loop.own(self._clients, self._ask_for(order, number, after_s, patience_s, other=other))

    async def _ask_for(
        self, order: Order, number: int, after_s: float, patience_s: float, *, other: bool
    ) -> None:
        await asyncio.sleep(after_s)
        text = '{"other": true}' if other else order.input
        wanted = Wanted(
            DOOR,
            RequestId(f"order-{order.number}"),
            self.definitions[order.definition].name,
            None,
            loads(text),
            names_definition=True,
        )
        named: list[str] = []

        async def served(coordinator: SimulatedCoordinator) -> str:
            _ORDER.set(order.number)
            accepted = await coordinator.sagas.start(wanted)
            named.append(accepted.summary.id)
            await coordinator.sagas.wait(accepted.summary.id, timeout_s=patience_s)
            return accepted.summary.id

        invoked_ns = _ns(self.loop.time())
        code, saga_id = await self._asked_of(served, patience_s + 1.0, order.number, number)
        self.happened.calls.append(
            ClientCall(
                door=DOOR,
                request_id=wanted.request_id or "",
                payload_hash=digest(text),
                invoked_ns=invoked_ns,
                replied_ns=_ns(self.loop.time()),
                code=code,
                saga_id=saga_id,
            )
        )
        for name in filter(None, (saga_id, *named)):
            self.happened.inputs.setdefault(name, text)
        self.note(f"order {order.number} is answered {code} {saga_id or ''}")

    async def _hand(self, number: int, hand: Hand) -> None:
        saga_id = self._saga_of(hand.order)
        if saga_id is None:
            return
        if hand.verb == "cancel":

            async def cancelled(coordinator: SimulatedCoordinator) -> None:
                await coordinator.sagas.cancel(saga_id, "the client says so")

            code, _ = await self._asked_of(cancelled, PATIENCE_AT_REST_S, number)
            self.note(f"cancel of {saga_id} is answered {code}")
            return
        seen = await self._seen(saga_id)
        if seen is None:
            return
        step = self._step_of(seen, hand.step)
        stopping = hand.verb in ("CANCEL", "TERMINATE")
        whole = stopping or (hand.verb == "RETRY" and seen.set_aside)
        if not whole and step is None:
            return
        action = Action(
            ActionId(f"action-{number}"),
            "ada",
            "she knows",
            max(1, seen.summary.seq - hand.stale),
            Verb(hand.verb),
            None if whole else step,
            '{"ref":"by hand","yes":true,"no":false}'
            if hand.verb == "COMPLETE" and self._takes_output(seen, step)
            else None,
        )
        await self._act(saga_id, action)
        if hand.twice:
            await asyncio.sleep(0.05)
            await self._act(saga_id, action)

    async def _act(self, saga_id: SagaId, action: Action) -> None:
        result: list[tuple[bool, int]] = []

        async def acted(coordinator: SimulatedCoordinator) -> None:
            done = await coordinator.sagas.act(saga_id, action)
            result.append((done.effect is None, done.view.summary.seq))

        invoked_ns = _ns(self.loop.time())
        code, _ = await self._asked_of(acted, PATIENCE_AT_REST_S, action.id)
        repeated, seq = result[0] if code == "OK" else (False, None)
        self.happened.actions.append(
            OperatorCall(
                saga_id=saga_id,
                action_id=action.id,
                verb=action.verb,
                step=action.step or "",
                actor=action.actor,
                reason=action.reason,
                seq_expected=action.seq_seen,
                output=action.output or "",
                invoked_ns=invoked_ns,
                replied_ns=_ns(self.loop.time()),
                code=code,
                repeated=repeated,
                seq=seq,
            )
        )
        self.note(f"{action.verb} {action.step or ''} of {saga_id} is answered {code}")

    async def _seen(self, saga_id: SagaId) -> SagaView | None:
        async def read(coordinator: SimulatedCoordinator) -> SagaView:
            return await coordinator.sagas.get(saga_id)

        try:
            return await self._ask(read, PATIENCE_AT_REST_S, saga_id)
        except (SagaError, Away):
            return None

    async def _look(self, look: Look) -> None:
        saga_id = self._saga_of(look.order)
        if saga_id is not None and (view := await self._seen(saga_id)) is not None:
            self._read(view)

    def _step_of(self, view: SagaView, step: str) -> StepName | None:
        if step != "?":
            return StepName(step)
        signature = view.summary.signature
        return None if signature is None else signature.step

    @staticmethod
    def _takes_output(view: SagaView, step: StepName | None) -> bool:
        return view.saga is not None and view.saga.abort is None and step is not None

    def _saga_of(self, number: int) -> SagaId | None:
        found = self._disk.database.execute(
            "SELECT saga_id FROM requests WHERE request_id = ?", (f"order-{number}",)
        ).fetchone()
        return None if found is None else SagaId(found[0])

    async def _asked_of(
        self, serve: Callable[[SimulatedCoordinator], Awaitable[_T]], patience_s: float, *about: object
    ) -> tuple[str, _T | None]:
        """The code of the answer, and what it says if it is OK."""
        try:
            return "OK", await self._ask(serve, patience_s, *about)
        except Away as away:
            return away.code, None
        except SagaError as error:
            row = row_of(error)
            self.happened.answers[row.reason] += 1
            if self._disk.shortage is not None and row.reason == "OVERLOADED":
                self.happened.marks["start refused for want of disk"] += 1
            if row.code.name == "INTERNAL":
                self.wrong(f"a call is answered INTERNAL: {type(error).__name__}: {error}")
            return row.code.name, None

    async def _ask(
        self, serve: Callable[[SimulatedCoordinator], Awaitable[_T]], patience_s: float, *about: object
    ) -> _T:
        """Have the coordinator *serve*, as a gRPC call does: whoever leaves ends it there."""
        self._askings += 1
        number = self._askings
        await asyncio.sleep(self.services.spread(0.002, "ask", number, about))
        coordinator = self.current
        if coordinator is None or not coordinator.serving.is_set():
            raise Away("UNAVAILABLE")
        process = coordinator.process
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._asked[process][number] = answer

        async def serving() -> None:
            try:
                result = await serve(coordinator)
            except SagaError as error:
                self.loop.tell(None, _fail_once, answer, error)
            else:
                self.loop.tell(None, _answer_once, answer, result)

        task = self.loop.begin(process, serving())
        try:
            async with asyncio.timeout(patience_s):
                return await answer
        except TimeoutError:
            self.loop.tell(process, task.cancel)
            raise Away("DEADLINE_EXCEEDED") from None
        finally:
            self._asked.get(process, {}).pop(number, None)

    # What is seen

    def _row(self, row: Row) -> None:
        self.happened.rows.append(row)
        self.note(f"{row.service}: {row.op} {row.step} of {row.saga_id} {row.outcome} under {row.token}")
        self._watch(self, row)

    def _read(self, view: SagaView) -> None:
        self._reads += 1
        self._note_read(view, self._reads)

    def _note_read(self, view: SagaView, number: int) -> None:
        self.happened.views[view.summary.id] = view
        self.happened.reads.append(saga_read(to_saga_with_timeline(view), number))

    def _look_at_all(self) -> None:
        """A round of reading: every saga that any journal holds."""
        coordinator = self.current
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
        self._is_broken()
        if not self.happened.wrong and self.current is not None:
            self._look_at_all()
            self._is_broken()

    def _remember(self, definition: SagaDefinition) -> None:
        if definition.digest not in {known.digest for known in self.definitions}:
            self.definitions.append(definition)

    def definitions_read(self) -> dict[str, Definition]:
        """Every definition that a saga can be pinned to, by digest, as the checker reads them."""
        return {
            known.digest: definition_of(
                coordinator_pb2.Definition(definition_json=known.text, digest=known.digest)
            )
            for known in self.definitions
        }


def _end(stop: asyncio.Future[None]) -> None:
    if not stop.done():
        stop.set_result(None)


def _answer_once(answer: asyncio.Future[_T], result: _T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail_once(answer: asyncio.Future[Any], error: SagaError) -> None:
    if not answer.done():
        answer.set_exception(error)


def _ns(moment_s: float) -> int:
    return round(moment_s * 1e9)
