"""One saga, played by the real engine and journal against services that follow a script, and killed at will.

What is rehearsed is said in full beforehand, so every rehearsal of it is the same.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from coordinator.adapters.cel import CelExpressions
from coordinator.domain.actions import Action
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import SagaError, SagaMoved, Unavailable
from coordinator.domain.events import Verb
from coordinator.domain.ids import ActionId, FencingToken, RequestId, SagaId, StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.outcomes import Answer, Direction, NoProof, Unproved
from coordinator.domain.saga import Saga
from coordinator.domain.summary import SagaSummary
from coordinator.engine.sagas import Wanted
from coordinator.ports.journal import Record
from coordinator.ports.participants import Call, Description, ExecuteCall, Probe, Reach, Told
from coordinator.simulation.boundaries import Boundaries, Boundary, Kill, Passed
from coordinator.simulation.chance import BORN_AT_S, LoopClock, SeededChance
from coordinator.simulation.coordinator import Shelf, SimulatedCoordinator
from coordinator.simulation.disk import SimulatedDisk
from coordinator.simulation.loop import Process, simulated_loop
from coordinator.simulation.world import SUCCEEDS, ContentChanged, Reply, World

FRONT_DOOR: Final = "rehearsal"
REQUEST_ID: Final = RequestId("rehearsed")
DISK_S: Final = 0.001
REST_S: Final = 3_600.0
"""How long it is watched once it rests."""
STEPS_MAX: Final = 2_000_000

_EXPRESSIONS: Final = CelExpressions()

Script = Callable[[Call, int], Reply]
"""What becomes of a call; the number counts those for its step and direction, from 0 on."""


class NeverRests(Exception):
    """The rehearsal came to no end."""


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does to the saga once it has so many records. A CANCEL without *actor* is a client's.

    Where crashes add records, a moment is better told by the time that has passed since the start, or by
    the saga's rest.
    """

    after_seq: int
    verb: Verb
    step: StepName | None = None
    output: str | None = None
    actor: str = ""
    reason: str = ""
    after_s: float = 0.0
    at_rest: bool = False
    """Whether it waits until no automatic work is left."""
    may_come_too_late: bool = False
    """Whether the saga may refuse it, as where a kill let it go on first; then nothing was done."""


@dataclass(frozen=True)
class Rehearsal:
    """What is to happen."""

    definition: SagaDefinition
    input: JsonValue
    script: Script = lambda call, number: SUCCEEDS
    outputs: Mapping[str, str] = field(default_factory=dict)
    """What each step answers where the script does not say, as canonical JSON text."""
    kills: Mapping[int, Kill] = field(default_factory=dict)
    """At which of the boundaries it is killed, by their number from 1 on."""
    away_s: float = 0.0
    """How long no coordinator is up after a kill."""
    acts: Sequence[Act] = ()
    """In their order."""
    draw: float | None = None
    """What chance yields each time; None: the same sequence in every rehearsal."""
    keep_boundaries: bool = False
    steps_max: int = STEPS_MAX
    """Of the loop: more than these, and it goes in circles."""


@dataclass(frozen=True)
class Rehearsed:
    """What came of it."""

    saga: Saga
    summary: SagaSummary
    records: Sequence[Record]
    calls: Sequence[Call]
    """All that were sent, in their order."""
    durable: Sequence[int]
    """For each call the number of the newest record that was durable when it was sent."""
    sent_at: Sequence[float]
    """When each call was sent, in seconds since the epoch."""
    told: Sequence[tuple[int, int]]
    """For each answer to a client or an operator the newest record that it speaks of, and the newest that
    was durable by then."""
    tokens: Sequence[FencingToken]
    """Under which each of its coordinators wrote, in their order."""
    world: World
    boundaries: int
    passed: Sequence[Passed]
    """The boundaries, if they were to be kept."""
    killed: int
    """How often it was killed."""
    lasted_s: float
    """Virtual time from the start to rest."""


def rehearse(rehearsal: Rehearsal) -> Rehearsed:
    """Play *rehearsal* until its saga rests. What is raised has a note that tells how far it came.

    Raises:
        NeverRests: it does not, in any time, or not for long.
        GoesInCircles: it took too many steps.
        ContentChanged: one idempotency key came with two contents.
    """
    return _Stage(rehearsal).play()


class _Stage:
    """The world of one rehearsal, with as many coordinators as it takes."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._loop = simulated_loop()
        self._boundaries = Boundaries(rehearsal.kills, self._kill, keep=rehearsal.keep_boundaries)
        self._disk = SimulatedDisk(self._boundaries, lambda: DISK_S)
        self._disk.committed = self._look
        self._services = _Services(rehearsal, self._boundaries, lambda: self._seq)
        draw = rehearsal.draw
        self._chance = SeededChance("draws", "saga-") if draw is None else _Fixed(draw)
        self._process: Process | None = None
        self._coordinator: SimulatedCoordinator | None = None
        self._seq = 0
        self._is_resting = False
        self._acted = 0
        self._is_acting = False
        self._killed = 0
        self._told: list[tuple[int, int]] = []
        self._tokens: list[FencingToken] = []
        self._is_accepted = False
        """Whether the coordinator that is up has answered whoever started the saga."""

    def play(self) -> Rehearsed:
        steps_max = self._rehearsal.steps_max
        for act in self._rehearsal.acts:
            # Time leaps from timer to timer: without one of its own it would come late.
            self._loop.tell_later(None, act.after_s, lambda: None)
        try:
            while True:
                self._boot()
                if self._loop.run(until=self._is_over, steps_max=steps_max) and self._is_alive:
                    return self._ended()
                if self._is_alive:
                    raise NeverRests("all wait, and none of them for a moment")
                if self._loop.faults:
                    raise self._loop.faults[0]
                self._loop.run(until_s=self._loop.time() + self._rehearsal.away_s, steps_max=steps_max)
        except Exception as error:
            error.add_note("\n".join(self._came_so_far()))
            raise
        finally:
            self._loop.close()
            self._disk.close()

    def _came_so_far(self) -> Iterator[str]:
        """What is known of a rehearsal that comes to no end, for whoever asks why."""
        yield from (f"{number} {passed}" for number, passed in enumerate(self._boundaries.passed, 1))
        yield from (
            f"record {record.seq} under token {record.token}: {record.event}"
            for record in self._disk.records()
        )
        for call, seq, at in zip(
            self._services.calls, self._services.durable, self._services.sent_at, strict=True
        ):
            yield f"at {at:.3f} s, behind record {seq}: {call}"

    @property
    def _is_alive(self) -> bool:
        return self._process is not None and not self._process.is_dead

    def _is_over(self) -> bool:
        if self._loop.faults:
            raise self._loop.faults[0]
        if self._services.changed is not None:
            raise self._services.changed
        if not self._is_alive:
            return True
        self._act_if_it_is_time()
        is_done = self._is_accepted and self._is_resting and not self._is_acting
        return is_done and self._acted == len(self._rehearsal.acts)

    def _boot(self) -> None:
        self._process = self._loop.process("coordinator")
        self._process.on_death(self._forget)
        self._services.process = self._process
        self._loop.own(self._process, self._live(self._process))

    async def _live(self, process: Process) -> None:
        rehearsal = self._rehearsal
        journal = self._disk.open(process)
        self._tokens.append(journal.token)
        self._coordinator = SimulatedCoordinator(
            process,
            journal,
            self._services,
            Shelf([rehearsal.definition]),
            LoopClock(),
            self._chance,
            _EXPRESSIONS,
        )
        living = asyncio.ensure_future(
            self._coordinator.live(asyncio.get_running_loop().create_future(), grace_s=0.0)
        )
        serving = asyncio.ensure_future(self._coordinator.serving.wait())
        await asyncio.wait((serving, living), return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            raise NeverRests(living.result() or "the coordinator stopped by itself")
        # A client who got no answer asks again, and joins what is there.
        accepted = await self._coordinator.sagas.start(
            Wanted(FRONT_DOOR, REQUEST_ID, rehearsal.definition.name, None, rehearsal.input, False)
        )
        self._told.append((accepted.summary.seq, self._seq))
        self._is_accepted = True
        raise NeverRests(await living or "the coordinator stopped by itself")

    def _forget(self) -> None:
        self._coordinator = None
        self._is_acting = self._is_accepted = False

    def _kill(self, process: Process, kill: Kill) -> None:
        self._killed += 1
        process.kill()
        self._disk.cut(kill)

    def _look(self) -> None:
        """Something is durable: how far has the saga come?"""
        row = self._disk.database.execute(
            "SELECT seq, status FROM sagas JOIN heads ON saga = number"
        ).fetchone()
        if row is not None:
            self._seq, status = row
            self._is_resting = status not in ("RUNNING", "COMPENSATING")

    def _act_if_it_is_time(self) -> None:
        if self._acted == len(self._rehearsal.acts) or self._is_acting or not self._is_accepted:
            return
        act = self._rehearsal.acts[self._acted]
        if self._seq < act.after_seq or self._loop.time() < act.after_s:
            return
        if (act.at_rest and not self._is_resting) or self._coordinator is None or self._process is None:
            return
        self._is_acting = True
        self._loop.own(self._process, self._act(self._coordinator, act, self._acted))

    async def _act(self, coordinator: SimulatedCoordinator, act: Act, number: int) -> None:
        saga_id = SagaId(self._disk.database.execute("SELECT id FROM sagas").fetchone()[0])
        action = Action(
            ActionId(f"act-{number}"), act.actor, act.reason, self._seq, act.verb, act.step, act.output
        )
        try:
            if act.verb is Verb.CANCEL and not act.actor:
                view = await coordinator.sagas.cancel(saga_id, act.reason)
            else:
                view = (await coordinator.sagas.act(saga_id, action)).view
        except (Unavailable, SagaMoved):
            pass  # asked again, after another look
        except SagaError as error:
            if not act.may_come_too_late:
                raise NeverRests(f"{act.verb} was refused: {error}") from error
            self._acted += 1
        else:
            self._told.append((view.summary.seq, self._seq))
            self._acted += 1
        self._is_acting = False

    def _ended(self) -> Rehearsed:
        coordinator, process = self._coordinator, self._process
        assert coordinator is not None
        assert process is not None
        boundaries = self._boundaries.count
        self._loop.run(until_s=self._loop.time() + REST_S, steps_max=self._rehearsal.steps_max)
        if self._boundaries.count > boundaries:
            raise NeverRests("it rested, and then it wrote or called something all the same")
        reading = self._loop.begin(process, self._read(coordinator))
        self._loop.run(until=reading.done, steps_max=self._rehearsal.steps_max)
        summary, saga, records = reading.result()
        return Rehearsed(
            saga=saga,
            summary=summary,
            records=records,
            calls=self._services.calls,
            durable=self._services.durable,
            sent_at=self._services.sent_at,
            told=self._told,
            tokens=self._tokens,
            world=self._services.world,
            boundaries=self._boundaries.count,
            passed=self._boundaries.passed,
            killed=self._killed,
            lasted_s=summary.updated_at - BORN_AT_S,
        )

    async def _read(self, coordinator: SimulatedCoordinator) -> tuple[SagaSummary, Saga, Sequence[Record]]:
        (row,) = self._disk.database.execute("SELECT id FROM sagas").fetchall()
        view = await coordinator.sagas.get(SagaId(row[0]))
        if view.saga is None:
            raise NeverRests(f"the saga cannot be read back: {view.summary.error_message}")
        return view.summary, view.saga, view.records


class _Services:
    """Keeps the port `Participants`: what a script says, over the barrier's rules."""

    def __init__(self, rehearsal: Rehearsal, boundaries: Boundaries, seq: Callable[[], int]) -> None:
        """*seq* tells the number of the newest durable record."""
        self._rehearsal = rehearsal
        self._boundaries = boundaries
        self._seq = seq
        self._counts: Counter[tuple[StepName, Direction]] = Counter()
        self.world = World(outputs=dict(rehearsal.outputs))
        self.calls: list[Call] = []
        self.durable: list[int] = []
        self.sent_at: list[float] = []
        self._clock = LoopClock()
        self.changed: ContentChanged | None = None
        """Raised in a call, where the engine takes it for a bug that costs one saga."""
        self.process: Process | None = None

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        direction = Direction.FORWARD if isinstance(call, ExecuteCall) else Direction.UNDO
        await self._reach(Boundary.UNSENT, call)
        number = self._counts[call.step, direction]
        self._counts[call.step, direction] += 1
        reply = self._rehearsal.script(call, number)
        self.calls.append(call)
        self.durable.append(self._seq())
        self.sent_at.append(self._clock.now())
        try:
            answer = self.world.deliver(call, reply)
        except ContentChanged as changed:
            self.changed = changed
            raise
        if reply.takes_s >= timeout_s:
            await asyncio.sleep(timeout_s)
            answer = NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")
        elif reply.takes_s:
            await asyncio.sleep(reply.takes_s)
        await self._reach(Boundary.UNTAKEN, call)
        return answer

    async def probe(self, service: str) -> Probe:
        return Probe("", Reach.SERVING)

    async def describe(self, service: str) -> Description:
        return Description(Told.UNIMPLEMENTED)

    async def _reach(self, boundary: Boundary, call: Call) -> None:
        process = self.process
        assert process is not None
        way = "do" if isinstance(call, ExecuteCall) else "undo"
        self._boundaries.reach(process, boundary, lambda: f"{way} {call.step}, attempt {call.attempt}")
        if process.is_dead:
            await asyncio.get_running_loop().create_future()  # for ever


class _Fixed(SeededChance):
    """Chance that yields the same each time."""

    def __init__(self, draw: float) -> None:
        super().__init__("", "saga-")
        self._draw = draw

    def draw(self) -> float:
        return self._draw
