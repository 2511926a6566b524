"""A saga that ran, played again: what came to it comes again, at the same times, and the rest follows.

What comes from outside is the answers of its participants, what people did, and when its coordinator was not
there. What the real engine and journal make of it must be what it was. `saga export` writes tests of it.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from coordinator.adapters.cel import CelExpressions
from coordinator.domain import jsontext
from coordinator.domain.actions import AS_IT_STANDS, STOPPING, Action
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.errors import SagaError
from coordinator.domain.events import Cause, Verb
from coordinator.domain.ids import ActionId, RequestId, SagaId, StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.outcomes import (
    Answer,
    Faulted,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
    cause,
)
from coordinator.domain.retry import backoff_s
from coordinator.domain.saga import Saga
from coordinator.engine.sagas import Wanted
from coordinator.ports.journal import Record
from coordinator.ports.participants import Call, Description, ExecuteCall, Probe, Reach, Told
from coordinator.simulation.boundaries import Boundaries, Kill
from coordinator.simulation.chance import LoopClock, SeededChance
from coordinator.simulation.coordinator import Shelf, SimulatedCoordinator
from coordinator.simulation.course import (
    Acted,
    Answered,
    Cancelled,
    End,
    Happening,
    Started,
    Stopped,
    Way,
    end_of,
)
from coordinator.simulation.disk import SimulatedDisk
from coordinator.simulation.loop import Process, simulated_loop

FRONT_DOOR: Final = "replay"
REQUEST_ID: Final = RequestId("replayed")
TICK_S: Final = 0.000_001
"""Between what comes at one time and what comes at the next one, at least."""
PATIENCE_S: Final = 1.0
"""How long an answer waits for its call: it would have come at the same time."""
GRACE_S: Final = 1e9
"""A coordinator that stops waits for the calls under way for as long as there are answers to come."""
STEPS_MAX: Final = 20_000_000
"""Of the loop: a replay that takes more goes in circles."""

_EXPRESSIONS: Final = CelExpressions()

_UNPROVED: Final = {
    cause(NoProof(kind, "", "")): kind for kind in Unproved if kind is not Unproved.STALE_TOKEN
}


class Strayed(Exception):
    """The saga took another way than the one that it is led."""


def replay(definition: str, input: str, course: Sequence[Happening]) -> End:
    """Start a saga of *definition* with *input*, both JSON, let *course* come to it, and see where that ends.

    Raises:
        Strayed: an answer has no call, an act is refused, or it goes on behind all that is to come.
    """
    read = parse_definition(jsontext.canonical(jsontext.reload(definition)), source="the definition")
    saga, records = play(read, jsontext.reload(input), course)
    return end_of(saga, [record.event for record in records])


def play(
    definition: SagaDefinition, input: JsonValue, course: Sequence[Happening]
) -> tuple[Saga, Sequence[Record]]:
    """As `replay`: the saga, and its records."""
    return _Stage(definition, input, course).play()


class _Stage:
    """The world of one replay. It keeps the port `Participants`: who asks waits until the course answers."""

    def __init__(self, definition: SagaDefinition, input: JsonValue, course: Sequence[Happening]) -> None:
        self._definition = definition
        self._input = input
        self._loop = simulated_loop()
        self._disk = SimulatedDisk(Boundaries({}, lambda process, kill: None), lambda: 0.0)
        self._disk.committed = self._look
        self._coming = deque(tuple(group) for _, group in itertools.groupby(course, lambda one: one.at_s))
        self._is_time = False
        """Whether the next ones come as soon as all their calls are under way."""
        self._calls: dict[tuple[str, Way], asyncio.Future[Answer]] = {}
        """Those under way."""
        self._drawn: deque[Answered] = deque()
        """The answers that the engine has not judged yet."""
        self._chance = _Drawn(self._draw)
        self._acts = 0
        self._acting = 0
        self._saga_id: SagaId | None = None
        self._seq = 0
        self._is_resting = False
        self._process = self._loop.process("none yet")
        self._coordinator: SimulatedCoordinator | None = None
        self._stop: asyncio.Future[None] | None = None

    def play(self) -> tuple[Saga, Sequence[Record]]:
        try:
            self._boot()
            self._expect()
            if not self._loop.run(until=self._is_over, steps_max=STEPS_MAX):
                raise Strayed(f"all has come to it, and it goes on: {self._status()}")
            return self._ended()
        finally:
            self._loop.close()
            self._disk.close()

    def perform(self, call: Call, *, timeout_s: float) -> asyncio.Future[Answer]:
        # The time that it may take is over when the course says that nobody answered.
        key: tuple[str, Way] = (call.step, "do" if isinstance(call, ExecuteCall) else "undo")
        answered: asyncio.Future[Answer] = self._loop.create_future()
        self._calls[key] = answered
        answered.add_done_callback(partial(self._over, key))
        if self._is_time:
            self._let_come()
        return answered

    def _over(self, key: tuple[str, Way], answered: asyncio.Future[Answer]) -> None:
        if self._calls.get(key) is answered:
            del self._calls[key]

    async def probe(self, service: str) -> Probe:
        return Probe("", Reach.SERVING)

    async def describe(self, service: str) -> Description:
        return Description(Told.UNIMPLEMENTED)

    def _boot(self) -> None:
        self._process = self._loop.process("coordinator")
        self._loop.own(self._process, self._live(self._process))

    async def _live(self, process: Process) -> None:
        self._stop = stop = self._loop.create_future()
        coordinator = SimulatedCoordinator(
            process,
            self._disk.open(process),
            self,
            Shelf([self._definition]),
            LoopClock(),
            self._chance,
            _EXPRESSIONS,
        )
        living = asyncio.ensure_future(coordinator.live(stop, grace_s=GRACE_S))
        await coordinator.serving.wait()
        self._coordinator = coordinator
        if self._saga_id is None:
            wanted = Wanted(FRONT_DOOR, REQUEST_ID, self._definition.name, None, self._input, False)
            self._saga_id = (await coordinator.sagas.start(wanted)).summary.id
        if failure := await living:
            raise Strayed(failure)

    def _look(self) -> None:
        """Something is durable: how far has the saga come?"""
        row = self._disk.database.execute(
            "SELECT seq, status FROM sagas JOIN heads ON saga = number"
        ).fetchone()
        if row is not None:
            self._seq, status = row
            self._is_resting = status not in ("RUNNING", "COMPENSATING")

    def _is_over(self) -> bool:
        if self._loop.faults:
            raise self._loop.faults[0]
        is_started = self._saga_id is not None
        return is_started and self._is_resting and not self._coming and not self._acting

    def _expect(self) -> None:
        """Let the next ones come when it is time, and not before all is quiet behind those before."""
        if self._coming:
            wait_s = max(self._coming[0][0].at_s - self._loop.time(), TICK_S)
            self._loop.tell_later(None, wait_s, self._call)

    def _call(self) -> None:
        self._is_time = True
        self._loop.tell_later(None, PATIENCE_S, self._miss, self._coming[0])
        self._let_come()

    def _let_come(self) -> None:
        if self._missing():
            return
        self._is_time = False
        for one in self._coming.popleft():
            self._come(one)
        self._expect()

    def _missing(self) -> Sequence[Answered]:
        """The answers, of those that come next, that nobody waits for."""
        answers = [one for one in self._coming[0] if isinstance(one, Answered)]
        return [one for one in answers if (one.step, one.way) not in self._calls]

    def _miss(self, group: Sequence[Happening]) -> None:
        if self._is_time and self._coming[0] is group:
            one = self._missing()[0]
            raise Strayed(f"nobody asks to {one.way} {one.step}, which is to be answered at {one.at_s} s")

    def _come(self, one: Happening) -> None:
        match one:
            case Answered():
                self._drawn.append(one)
                self._calls.pop((one.step, one.way)).set_result(_answer(one))
            case Stopped():
                assert self._stop is not None
                self._stop.set_result(None)
            case Started():
                self._process.kill()
                self._disk.cut(Kill())
                self._calls.clear()
                self._coordinator = None
                self._boot()
            case _:
                # As late as the engine hears of an answer, so that what comes at once comes in its order.
                self._acting += 1
                self._loop.tell(self._process, self._act, one)

    def _act(self, one: Happening) -> None:
        assert self._coordinator is not None
        assert self._saga_id is not None
        driver = self._coordinator.pool.driving(self._saga_id)
        if driver is None:
            self._loop.own(self._process, self._act_on_resting(self._coordinator, self._saga_id, one))
            return
        asked = driver.cancel(one.reason) if isinstance(one, Cancelled) else driver.act(self._action(one))
        asked.add_done_callback(lambda asked: self._done(one, asked.exception()))

    async def _act_on_resting(
        self, coordinator: SimulatedCoordinator, saga_id: SagaId, one: Happening
    ) -> None:
        try:
            if isinstance(one, Cancelled):
                await coordinator.sagas.cancel(saga_id, one.reason)
            else:
                await coordinator.sagas.act(saga_id, self._action(one))
        except SagaError as refused:
            self._done(one, refused)
        else:
            self._done(one, None)

    def _done(self, one: Happening, refused: BaseException | None) -> None:
        if refused is not None:
            raise Strayed(f"what was done to it at {one.at_s} s is refused: {refused}") from refused
        self._acting -= 1

    def _action(self, one: Happening) -> Action:
        assert isinstance(one, Acted)
        self._acts += 1
        verb = Verb(one.verb)
        return Action(
            ActionId(f"act-{self._acts}"),
            one.actor,
            one.reason,
            AS_IT_STANDS if verb in STOPPING else self._seq,
            verb,
            None if one.step is None else StepName(one.step),
            one.output,
        )

    def _draw(self) -> float:
        """What chance has to yield for the wait to be as long as it was."""
        one = self._drawn.popleft()
        if one.again_s is None or one.said == "PENDING":
            return 0.0
        assert self._coordinator is not None
        assert self._saga_id is not None
        driver = self._coordinator.pool.driving(self._saga_id)
        assert driver is not None
        step = driver.saga.step(StepName(one.step))
        state = step.undo if one.way == "undo" else step
        assert state is not None
        policy = step.definition.compensation_retry if one.way == "undo" else step.definition.retry
        longest_s = backoff_s(
            initial_s=policy.initial_backoff_s,
            multiplier=policy.multiplier,
            max_s=policy.max_backoff_s,
            failures=state.failures + 1,
            draw=1.0,
        )
        return one.again_s / longest_s if longest_s else 0.0

    def _status(self) -> str:
        row = self._disk.database.execute("SELECT status FROM sagas").fetchone()
        return "it is not even started" if row is None else f"it is {row[0]}"

    def _ended(self) -> tuple[Saga, Sequence[Record]]:
        assert self._coordinator is not None
        assert self._saga_id is not None
        reading = self._loop.begin(self._process, self._coordinator.sagas.get(self._saga_id))
        self._loop.run(until=reading.done, steps_max=STEPS_MAX)
        view = reading.result()
        if view.saga is None or view.set_aside:
            raise Strayed(f"the coordinator could not drive it: {view.summary.error_message}")
        return view.saga, view.records


class _Drawn(SeededChance):
    """Chance that yields what the course needs."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__("", "saga-")
        self._draw = draw

    def draw(self) -> float:
        return self._draw()


def _answer(one: Answered) -> Answer:
    match one.said:
        case "SUCCEEDED":
            return Succeeded(one.output)
        case "REFUSED":
            return Refused(one.code, one.message)
        case "PENDING":
            return Pending(one.again_s)
        case "FAULTED":
            return Faulted(one.code, one.message, None)
        case said:
            return NoProof(_UNPROVED[Cause(said)], one.code, one.message)
