"""The coordinator dies at every write and at every call, and the next one finishes what it began.

Not sampled: every write of every shape of saga is taken, once before and once after it was durable; and
every call, once before and once after it had its effect.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from coordinator.adapters.clock import SystemClock
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.ids import SagaId
from coordinator.domain.outcomes import Answer
from coordinator.domain.saga import Status
from coordinator.domain.summary import SagaSummary
from coordinator.ports.journal import Journal
from coordinator.ports.participants import Call
from coordinator.simulation.world import SUCCEEDS, Reaction, Reply
from tests.scenarios.house import House, JournalAround, Services, define, settled, soon, step, until, way_of
from tests.unit.machine.world import judge

BOUNDARIES_MAX: Final = 60
TTL_S: Final = 600.0
"""So long that no slow machine comes to the deadline before it is meant to."""


class Dies(JournalAround):
    """Stops for good at one of its writes, just before or just after that is durable."""

    def __init__(self, inner: Journal, *, at: int, durable: bool) -> None:
        super().__init__(inner)
        self._at = at
        self._durable = durable
        self._writes = 0
        self.dead = asyncio.Event()

    async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        await self._before()
        holder = await self.inner.start(*args, **kwargs)
        await self._after()
        return holder

    async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        await self._before()
        seq = await self.inner.append(*args, **kwargs)
        await self._after()
        return seq

    async def _before(self) -> None:
        self._writes += 1
        if self._writes == self._at and not self._durable:
            self.dead.set()
        await self._stop_if_dead()

    async def _after(self) -> None:
        if self._writes == self._at:
            self.dead.set()
        await self._stop_if_dead()

    async def _stop_if_dead(self) -> None:
        if self.dead.is_set():
            await asyncio.Event().wait()


class DiesAtCall(Services):
    """Services whose coordinator dies at one of its calls, just before or just after the effect."""

    def __init__(self, *, at: int, effect: bool) -> None:
        super().__init__()
        self._at = at
        self._effect = effect
        self.dead = asyncio.Event()

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        if len(self.calls) + 1 == self._at:
            self.calls.append(call)
            if self._effect:
                self.world.deliver(call, Reply(self.otherwise(call)))
            self.cut_off.append(call)
            self.dead.set()
            await asyncio.Event().wait()
        return await super().perform(call, timeout_s=timeout_s)


class LeapingClock(SystemClock):
    """Goes on as time does, and leaps to where a test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


@dataclass(frozen=True)
class Shape:
    """A kind of saga: what its services do each time they are asked, and how it may end."""

    definition: SagaDefinition
    reactions: dict[str, list[Reaction]]
    """For "do a": the reaction to its first delivery, its second, …; the last one stays."""
    ends: set[Status]
    cancelled_at: str = ""
    late_at: str = ""
    """When this is asked for the second time, the deadline comes as if the ttl were 50 ms."""

    def reacts(self, services: Services, clock: LeapingClock) -> Callable[[Call], Reaction]:
        def reaction(call: Call) -> Reaction:
            name = f"{way_of(call)} {call.step}"
            if name == self.late_at and services.sent().count(name) > 1:
                clock.ahead_s = TTL_S - 0.05
            planned = self.reactions.get(name, [Reaction.SUCCEED])
            return planned[min(services.sent().count(name), len(planned)) - 1]

        return reaction


R = Reaction
SHAPES = {
    "completed": Shape(define("a", "b", "c"), {}, {Status.COMPLETED}),
    "refused": Shape(define("a", "b", "c", "d"), {"do d": [R.REFUSE]}, {Status.COMPENSATED}),
    "retried and given up": Shape(
        define("a", "b", step("c", attempts_max=2)),
        {
            "do a": [R.FAULT, R.LOSE_THE_REPLY, R.SUCCEED],
            "do b": [R.LOSE_THE_REQUEST, R.SUCCEED],
            "do c": [R.LOSE_THE_REPLY],
            "undo b": [R.DENY, R.LOSE_THE_REQUEST, R.SUCCEED],
        },
        {Status.COMPENSATED},
    ),
    "nothing to undo": Shape(
        define("a", step("b", undo=None), step("c", undo=None, attempts_max=1)),
        {"do c": [R.LOSE_THE_REQUEST]},
        # A restart may cost one more attempt, and that may well succeed.
        {Status.COMPENSATED, Status.COMPLETED},
    ),
    "dead letter": Shape(
        define("a", step("b", on_failure="continue"), "c", "d"),
        {"do d": [R.REFUSE], "undo b": [R.REFUSE], "undo a": [R.FAULT, R.SUCCEED]},
        {Status.DEAD_LETTERED},
    ),
    "halted": Shape(
        define("a", "b", "c"), {"do c": [R.BABBLE], "undo b": [R.REFUSE]}, {Status.DEAD_LETTERED}
    ),
    "pending": Shape(
        define("a", step("b", attempts_max=1), "c"),
        {"do b": [R.PEND, R.PEND, R.SUCCEED], "do c": [R.REFUSE], "undo b": [R.PEND, R.SUCCEED]},
        {Status.COMPENSATED},
    ),
    "cancelled": Shape(
        define("a", "b", "c"), {}, {Status.COMPENSATED, Status.COMPLETED}, cancelled_at="do b"
    ),
    "out of time": Shape(
        define("a", "b", ttl_s=TTL_S), {"do b": [R.PEND]}, {Status.COMPENSATED}, late_at="do b"
    ),
}


async def begin(house: House, shape: Shape) -> SagaSummary:
    """What the client does: start, and wait for the end."""

    def cancel_in_time(call: Call) -> None:
        if shape.cancelled_at == f"{way_of(call)} {call.step}":
            cancels.append(asyncio.ensure_future(house.sagas.cancel(call.saga_id, "")))

    cancels: list[asyncio.Future[object]] = []
    house.services.before_each = cancel_in_time
    accepted = await house.accept(request_id="r")
    summary = await house.sagas.wait(accepted.summary.id, timeout_s=20)
    await asyncio.gather(*cancels, return_exceptions=True)
    return summary


async def dead_or_done(beginning: Awaitable[SagaSummary], dead: asyncio.Event) -> bool:
    """Whether the coordinator died before the saga ended."""
    begun = asyncio.ensure_future(beginning)
    await until(lambda: begun.done() or dead.is_set())
    if not dead.is_set():
        await begun
        return False
    begun.cancel()
    await asyncio.gather(begun, return_exceptions=True)
    return True


async def finish(house: House, shape: Shape) -> SagaId:
    """The next coordinator recovers, the client asks again: the laws hold, also after every late call."""
    async with house:
        house.services.before_each = None
        await house.pool.recover()
        accepted = await house.accept(request_id="r")
        saga_id = accepted.summary.id
        row = await house.end(saga_id)
        assert row.status in shape.ends
        assert row.needs_person == (row.status is Status.DEAD_LETTERED)
        assert not await house.store.open_sagas(), "nothing is forgotten"
        assert {call.saga_id for call in house.services.calls} <= {saga_id}
        for late in house.services.cut_off:
            house.services.world.deliver(late, SUCCEEDS)
        saga = await house.saga(saga_id)
        judge(saga.definition, saga, house.services.world)
        assert [record.seq for record in await house.store.history(saga_id)] == list(range(1, row.seq + 1))
        return saga_id


async def dies_at_write(shape: Shape, at: int, *, durable: bool) -> House | None:
    """A coordinator that died at that write; None if the saga ended before there was one."""
    services, clock = Services(), LeapingClock()
    services.otherwise = shape.reacts(services, clock)
    plain = House(shape.definition)
    journal = Dies(plain.store, at=at, durable=durable)
    house = House(shape.definition, store=plain.store, journal=journal, services=services, clock=clock)
    died = await dead_or_done(begin(house, shape), journal.dead)
    await house.dies()
    return house if died else None


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("durable", [False, True], ids=["before", "after"])
async def test_a_coordinator_that_dies_at_any_write_is_followed_by_one_that_finishes(
    shape: Shape, durable: bool
) -> None:
    died = 0
    for at in range(1, BOUNDARIES_MAX):
        house = await dies_at_write(shape, at, durable=durable)
        if house is None:
            break
        died += 1
        await finish(house.successor(), shape)
    assert 4 <= died < BOUNDARIES_MAX - 1, "every write was taken"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("effect", [False, True], ids=["before", "after"])
async def test_a_coordinator_that_dies_at_any_call_is_followed_by_one_that_finishes(
    shape: Shape, effect: bool
) -> None:
    died = 0
    for at in range(1, BOUNDARIES_MAX):
        services, clock = DiesAtCall(at=at, effect=effect), LeapingClock()
        services.otherwise = shape.reacts(services, clock)
        house = House(shape.definition, services=services, clock=clock)
        if not await dead_or_done(begin(house, shape), services.dead):
            await house.dies()
            break
        await house.dies()
        died += 1
        await finish(house.successor(), shape)
    assert 3 <= died < BOUNDARIES_MAX - 1, "every call was taken"


@pytest.mark.parametrize("name", ["refused", "retried and given up"])
async def test_a_coordinator_that_dies_at_any_write_of_its_recovery_changes_nothing(name: str) -> None:
    shape = SHAPES[name]
    died = 0
    for at in range(1, BOUNDARIES_MAX):
        for again_at in range(1, BOUNDARIES_MAX):
            first = await dies_at_write(shape, at, durable=True)
            if first is None:
                break
            store = first.store.reopened()
            journal = Dies(store, at=again_at, durable=again_at % 2 == 1)
            second = first.successor(store=store, journal=journal)

            async def recover(house: House = second) -> SagaSummary:
                await house.pool.recover()
                return await begin(house, shape)

            died_again = await dead_or_done(recover(), journal.dead)
            await second.dies()
            died += died_again
            await finish(second.successor(), shape)
            if not died_again:
                break
    assert died > 30


async def test_a_coordinator_that_dies_again_and_again_tries_one_attempt_more_each_time() -> None:
    services = Services()
    house = House(define(step("a", attempts_max=1)), services=services)
    held = [services.hold("a") for _ in range(6)]
    saga_id = await house.start()
    for call in held[:-1]:
        await soon(call.arrived)
        await house.dies()
        house = house.successor()
        await house.pool.recover()
    async with house:
        held[-1].answer()
        assert (await house.end(saga_id)).status is Status.COMPLETED
        assert [call.attempt for call in services.calls] == [1, 2, 3, 4, 5, 6]
        assert [call.token for call in services.calls] == [1, 2, 3, 4, 5, 6]
        assert len({call.key for call in services.calls}) == 1


async def test_an_old_coordinator_that_does_not_know_it_is_dead_writes_nothing_more() -> None:
    house = House(define("a", "b"))
    held = house.services.hold("a")
    saga_id = await house.start()
    await soon(held.arrived)
    async with house.successor() as next_house:
        await next_house.pool.recover()
        await next_house.end(saga_id)
        before = await next_house.history(saga_id)
        held.answer()
        await settled()
        assert house.pool.failed.done()
        assert await next_house.history(saga_id) == before
