"""The real engine over a journal in memory and services that do what a test tells them.

Leaving a `House` stops it and checks that every slot is free again, whatever happened inside.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from types import TracebackType
from typing import Final, Literal, Self

from coordinator.adapters.aside import InThreads
from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.clock import SystemClock
from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.adapters.no_tracing import NoTracing
from coordinator.domain.definition import (
    CompensationRetryPolicy,
    OnCompensationFailure,
    RetryPolicy,
    SagaDefinition,
    StepDefinition,
)
from coordinator.domain.errors import DefinitionNotFound
from coordinator.domain.events import Event
from coordinator.domain.ids import FencingToken, RequestId, SagaId, StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.outcomes import Answer, NoProof, Unproved
from coordinator.domain.saga import Saga
from coordinator.domain.summary import SagaSummary
from coordinator.engine.dispatcher import Dispatcher
from coordinator.engine.driver import Tools
from coordinator.engine.feed import Feed
from coordinator.engine.pool import Pool
from coordinator.engine.sagas import Accepted, Sagas, Wanted
from coordinator.ports.aside import Aside
from coordinator.ports.clock import Clock
from coordinator.ports.journal import Journal, Quarantine, Record, Request, SagaIndex
from coordinator.ports.participants import Call, Description, ExecuteCall, Probe, Reach, Told
from coordinator.ports.telemetry import Telemetry
from coordinator.ports.tracing import Tracing
from coordinator.simulation.world import Reaction, Reply, World
from tests.unit.machine.world import judge

PATIENCE_S: Final = 20.0
"""How long anything may take that will happen: far more than it needs."""

Way = Literal["do", "undo"]


def step(
    name: str,
    *,
    undo: str | None = "",
    service: str | None = None,
    attempts_max: int = 3,
    on_failure: Literal["halt", "continue"] = "halt",
    budget_s: float = 60.0,
    timeout_s: float = PATIENCE_S,
    wait_s: float = 0.002,
) -> StepDefinition:
    """A step that is tried again after a few milliseconds."""
    return StepDefinition(
        service=service or f"{name}_service",
        transaction=f"do_{name}",
        compensation=f"undo_{name}" if undo == "" else undo,
        name=StepName(name),
        timeout_s=timeout_s,
        retry=RetryPolicy(max_attempts=attempts_max, initial_backoff_s=wait_s, max_backoff_s=2 * wait_s),
        compensation_retry=CompensationRetryPolicy(
            initial_backoff_s=wait_s, max_backoff_s=2 * wait_s, budget_s=budget_s
        ),
        on_compensation_failure=OnCompensationFailure(on_failure),
    )


def define(*steps: str | StepDefinition, name: str = "Order", ttl_s: float | None = None) -> SagaDefinition:
    return SagaDefinition(
        name=name, ttl_s=ttl_s, steps=tuple(step(s) if isinstance(s, str) else s for s in steps)
    )


class Held:
    """A call that a test holds back until it lets it be answered."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.cut = asyncio.Event()
        self._released: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

    def answer(self, answer: Answer | None = None) -> None:
        """Let it be answered with *answer*, by default with what the world makes of it."""
        self._released.set_result(answer)

    async def wait(self, timeout_s: float) -> Answer | None:
        self.arrived.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._released)
        except TimeoutError:
            return NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")
        except asyncio.CancelledError:
            self.cut.set()
            raise


Plan = Answer | Reaction | Held | BaseException


class Services:
    """Every participant: answers by plan, or else as the world would."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.calls: list[Call] = []
        self.timeouts_s: list[float] = []
        self.busy: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()
        self.cut_off: list[Call] = []
        """Requests whose caller went away: they may still arrive."""
        self.before_each: Callable[[Call], Awaitable[None] | None] | None = None
        self.otherwise: Callable[[Call], Reaction] = lambda call: Reaction.SUCCEED
        self._plans: dict[tuple[str, Way], deque[Plan]] = {}

    def plan(self, name: str, way: Way, *plans: Plan) -> None:
        """What becomes of the next calls to do or undo the step *name*; after these, `otherwise`."""
        self._plans.setdefault((name, way), deque()).extend(plans)

    def hold(self, name: str, way: Way = "do") -> Held:
        held = Held()
        self.plan(name, way, held)
        return held

    def sent(self) -> Sequence[str]:
        """What was sent, in order: "do a", "undo a"."""
        return [f"{way_of(call)} {call.step}" for call in self.calls]

    async def probe(self, service: str) -> Probe:
        return Probe("", Reach.SERVING)

    async def describe(self, service: str) -> Description:
        return Description(Told.UNIMPLEMENTED)

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        self.calls.append(call)
        self.timeouts_s.append(timeout_s)
        if self.before_each is not None:
            waiting = self.before_each(call)
            if waiting is not None:
                await waiting
        self.busy[call.service] += 1
        self.busiest[call.service] = max(self.busiest[call.service], self.busy[call.service])
        try:
            return await self._answer(call, timeout_s)
        except asyncio.CancelledError:
            self.cut_off.append(call)
            raise
        finally:
            self.busy[call.service] -= 1

    async def _answer(self, call: Call, timeout_s: float) -> Answer:
        await asyncio.sleep(0)
        plans = self._plans.get((call.step, way_of(call)))
        plan: Plan | None = plans.popleft() if plans else None
        if isinstance(plan, Held):
            plan = await plan.wait(timeout_s)
        if isinstance(plan, BaseException):
            raise plan
        if plan is None:
            plan = self.otherwise(call)
        answer = self.world.deliver(call, Reply(plan)) if isinstance(plan, Reaction) else plan
        await asyncio.sleep(0)
        return answer


def way_of(call: Call) -> Way:
    return "do" if isinstance(call, ExecuteCall) else "undo"


class Dice:
    """Chance that is the same in every run."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def draw(self) -> float:
        return 0.5

    def saga_id(self) -> SagaId:
        return SagaId(f"saga-{next(self._numbers)}")


class Shelf:
    """A catalog of what the test defined."""

    def __init__(self, definitions: Sequence[SagaDefinition]) -> None:
        self.definitions = {definition.name: definition for definition in definitions}

    async def get(self, name: str, version: str | None) -> SagaDefinition:
        if name not in self.definitions:
            raise DefinitionNotFound(name, version, ", ".join(sorted(self.definitions)))
        return self.definitions[name]

    def all(self) -> Sequence[SagaDefinition]:
        return list(self.definitions.values())


class JournalAround:
    """A journal that passes everything on; what a test changes about it is in a subclass."""

    def __init__(self, inner: Journal) -> None:
        self.inner = inner

    @property
    def token(self) -> FencingToken:
        return self.inner.token

    async def start(
        self, request: Request, definition: SagaDefinition, events: Sequence[Event], summary: SagaSummary
    ) -> Request:
        return await self.inner.start(request, definition, events, summary)

    async def append(
        self, saga_id: SagaId, events: Sequence[Event], *, summary: SagaSummary, seq_expected: int
    ) -> int:
        return await self.inner.append(saga_id, events, summary=summary, seq_expected=seq_expected)

    async def history(self, saga_id: SagaId) -> Sequence[Record]:
        return await self.inner.history(saga_id)

    async def quarantine(self, quarantine: Quarantine) -> None:
        await self.inner.quarantine(quarantine)


class House:
    """One coordinator, from its start to its stop or its death."""

    def __init__(
        self,
        *definitions: SagaDefinition,
        store: MemoryJournal | None = None,
        journal: Journal | None = None,
        index: SagaIndex | None = None,
        services: Services | None = None,
        calls_max: int = 100,
        sagas_max: int = 10_000,
        dice: Dice | None = None,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
        tracing: Tracing | None = None,
        aside: Aside | None = None,
    ) -> None:
        self.definitions = definitions
        self.store = store or MemoryJournal()
        self.journal: Journal = journal or self.store
        self.services = services or Services()
        self.dice = dice or Dice()
        self.clock = clock or SystemClock()
        self.tracing = tracing or NoTracing()
        self.aside = aside or InThreads()
        self.feed = Feed()
        telemetry = telemetry or NoTelemetry()
        self.dispatcher = Dispatcher(self.services, telemetry, calls_per_service_max=calls_max)
        tools = Tools(
            self.journal,
            self.dispatcher,
            self.feed,
            self.clock,
            self.dice,
            telemetry,
            self.tracing,
            CelExpressions(),
            self.aside,
        )
        index = index or self.store
        self.pool = Pool(tools, index, sagas_open_max=sagas_max)
        self.sagas = Sagas(self.pool, tools, index, Shelf(definitions))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.pool.park(grace_s=0 if kind else 0.01)
        self.feed.close()
        await settled()
        if kind is None:
            self.check_that_all_slots_are_free()
            assert self.is_idle

    @property
    def is_idle(self) -> bool:
        """Whether no saga is driven and nothing is being done for one."""
        return not (self.pool._tasks or self.pool._drivers or self.pool._launching)

    def check_that_all_slots_are_free(self) -> None:
        assert not any(self.dispatcher._in_use.values()), f"slots leak: {self.dispatcher._in_use}"
        assert not any(self.dispatcher._waiting.values()), "somebody who left still waits for a slot"

    def wanted(
        self,
        *,
        request_id: str | None = None,
        name: str = "",
        value: JsonValue = 1,
        names_definition: bool = True,
    ) -> Wanted:
        return Wanted(
            front_door="test",
            request_id=None if request_id is None else RequestId(request_id),
            saga_name=name or self.definitions[0].name,
            version=None,
            input={"value": value},
            names_definition=names_definition,
        )

    async def start(self, *, request_id: str | None = None, name: str = "", value: JsonValue = 1) -> SagaId:
        return (await self.accept(request_id=request_id, name=name, value=value)).summary.id

    async def accept(
        self, *, request_id: str | None = None, name: str = "", value: JsonValue = 1
    ) -> Accepted:
        return await self.sagas.start(self.wanted(request_id=request_id, name=name, value=value))

    async def end(self, saga_id: SagaId) -> SagaSummary:
        """Wait for the end of a saga, and judge its ledger."""
        summary = await self.sagas.wait(saga_id, timeout_s=PATIENCE_S)
        saga = await self.saga(saga_id)
        judge(saga.definition, saga, self.services.world)
        return summary

    async def run(self, *, name: str = "") -> SagaSummary:
        return await self.end(await self.start(name=name))

    async def saga(self, saga_id: SagaId) -> Saga:
        saga = (await self.sagas.get(saga_id)).saga
        assert saga is not None
        return saga

    async def history(self, saga_id: SagaId) -> Sequence[Event]:
        return [record.event for record in await self.store.history(saga_id)]

    async def told(self, saga_id: SagaId) -> Sequence[str]:
        """The history in short: "StepBegun a"."""
        return [
            " ".join(filter(None, (type(event).__name__, getattr(event, "step", None))))
            for event in await self.history(saga_id)
        ]

    async def dies(self) -> None:
        """Abandon everything at once, as kill -9 would."""
        await self.pool.abandon()
        await settled()

    def successor(
        self,
        *,
        journal: Journal | None = None,
        store: MemoryJournal | None = None,
        calls_max: int = 100,
        tracing: Tracing | None = None,
    ) -> "House":
        """The next coordinator over the same journal and the same world."""
        return House(
            *self.definitions,
            store=store or self.store.reopened(),
            journal=journal,
            services=self.services,
            dice=self.dice,
            clock=self.clock,
            calls_max=calls_max,
            tracing=tracing or self.tracing,
            aside=self.aside,
        )


async def settled() -> None:
    """Let everything that is ready to run, run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Return once *condition* holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def soon(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await event.wait()
