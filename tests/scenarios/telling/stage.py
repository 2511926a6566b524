"""Plays a story: the real engine, a journal in memory, services that do as the story says, time that leaps.

A coordinator may die after any of its writes, which nobody has acted upon then, and wherever the story says
so; the next one takes over at once, or after as long as the story says.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from coordinator.adapters.aside import OnTheSpot
from coordinator.adapters.memory import MemoryJournal
from coordinator.domain.actions import Action
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import SagaError, SagaMoved
from coordinator.domain.events import (
    CancelRequested,
    Event,
    OperatorActed,
    Verb,
)
from coordinator.domain.ids import ActionId, RequestId, SagaId, StepName
from coordinator.domain.saga import Saga
from coordinator.domain.summary import SagaSummary
from coordinator.engine.sagas import Wanted
from coordinator.ports.journal import Journal, Quarantine, Request
from tests.scenarios.house import House, JournalAround, settled
from tests.scenarios.telling.players import SAGA_ID, Players
from tests.scenarios.telling.quick_time import ComesToNoEnd, LoopClock, run
from tests.scenarios.telling.story import AT_REST, CANCEL, DIES, Happening, Story
from tests.scenarios.telling.timeline import Answered, Line, Way, answers, told
from tests.unit.machine.world import judge


@dataclass(frozen=True, slots=True)
class Write:
    """How far the journal had come after one of the writes."""

    records: int
    line: str
    """The last one."""


@dataclass(frozen=True)
class Played:
    """What came of a story."""

    timeline: Sequence[Line]
    writes: Sequence[Write]
    saga: Saga
    row: SagaSummary
    sent: Sequence[str]
    asked: dict[str, set[str]]
    stands: frozenset[str]
    unasked: Sequence[str]
    """What the story says of participants that never came to pass."""
    killed: bool


def play(story: Story, *, kill_after: int | None = None) -> Played:
    """Play *story*; with *kill_after* its coordinator dies right after the write of that number, from 1 on.

    Raises:
        AssertionError: a law is broken, or the story comes to no end.
    """
    stage = _Stage(story, kill_after)
    try:
        return run(stage.play())
    except ComesToNoEnd:
        lines = "\n  ".join(map(str, stage.timeline))
        raise AssertionError(f"the story comes to no end, after:\n  {lines}") from None


class _Stage:
    """One telling of a story, with as many coordinators as it takes."""

    def __init__(self, story: Story, kill_after: int | None) -> None:
        self._story = story
        self._kill_after = kill_after
        self._killed = False
        self.is_dead = False
        self._away_s = 0.0
        self._done = 0
        """How many of the things that happen meanwhile have happened."""
        self._news = asyncio.Event()
        self._writes: list[Write] = []
        self._players = Players(story, answers=self._answers, dies=self.dies)
        self.events: Sequence[Event] = ()
        self.timeline: list[Line] = []

    async def play(self) -> Played:
        store = MemoryJournal()
        house = House(
            self._story.definition,
            store=store,
            journal=_Scribe(store, self),
            services=self._players,
            clock=LoopClock(),
            aside=OnTheSpot(),
        )
        taking_up: Awaitable[object] = house.sagas.start(self._wanted())
        is_recovery = False
        while await self._lives(house, taking_up, is_recovery=is_recovery):
            await asyncio.sleep(self._away_s)
            self.is_dead = False
            store = house.store.reopened()
            house = house.successor(store=store, journal=_Scribe(store, self))
            taking_up, is_recovery = house.pool.recover(), True
        row = await house.store.find(SAGA_ID)
        assert row is not None
        saga = await house.saga(SAGA_ID)
        judge(saga.definition, saga, self._players.world)
        await self._players.all_delivered()
        judge(saga.definition, saga, self._players.world)
        busiest = self._players.busiest["saga"]
        assert busiest <= saga.definition.parallel_max, f"{busiest} calls were under way at a time"
        self._players.check_attempts()
        undone = [happening.what for happening in self._story.meanwhile[self._done :]]
        assert not undone, f"never came to pass: {', '.join(undone)}"
        return Played(
            timeline=self.timeline,
            writes=self._writes,
            saga=saga,
            row=row,
            sent=self._players.sent(),
            asked=self._players.asked(),
            stands=self._players.stands(),
            unasked=self._players.unasked(),
            killed=self._killed,
        )

    def written(self, events: Sequence[Event]) -> None:
        """The journal holds *events* by now. The coordinator may die of it."""
        known = len(self.events)
        self.events = events
        self.timeline = told(self._story.definition, events)
        self._writes.append(Write(len(events), self.timeline[-1].text))
        self._news.set()
        if len(self._writes) == self._kill_after:
            self._killed = True
            self.dies()
        happening = self._next_happening()
        if happening is not None and self._is_journaled(happening):
            self._done += 1
            happening = self._next_happening()
        fresh = [line.text for line in self.timeline[known:]]
        if happening is not None and happening.what == DIES and happening.after in fresh:
            self._done += 1
            self.dies(happening.away_s)

    def dies(self, away_s: float = 0.0) -> None:
        """From here on the coordinator does nothing, and for so long there is no other."""
        self.is_dead = True
        self._away_s = away_s
        self._news.set()

    def has_news(self) -> None:
        """Something about the saga is durable."""
        self._news.set()

    def _answers(self, way: Way, step: str) -> int:
        """How many answers to such calls the journal holds."""
        return sum(isinstance(event, Answered) and answers(event) == (way, step) for event in self.events)

    async def _lives(self, house: House, taking_up: Awaitable[object], *, is_recovery: bool) -> bool:
        """Whether the coordinator died; otherwise the saga rests, and all that happens has happened.

        Nobody can ask a coordinator for anything before its recovery is done.
        """
        beginning = asyncio.ensure_future(taking_up)
        beginning.add_done_callback(lambda _: self._news.set())
        async with house:
            while not self.is_dead:
                self._news.clear()
                if beginning.done():
                    beginning.result()  # raises what kept it from being taken up
                is_serving = beginning.done() or not is_recovery
                if is_serving and await self._has_acted(house):
                    continue
                if await self._rests(house):
                    await settled()
                    if not self._news.is_set():
                        return False
                else:
                    await self._news.wait()
            beginning.cancel()
            await asyncio.gather(beginning, return_exceptions=True)
            await house.dies()
        return True

    async def _rests(self, house: House) -> bool:
        row = await house.store.find(SAGA_ID)
        return row is not None and not row.status.is_open

    def _next_happening(self) -> Happening | None:
        return next(iter(self._story.meanwhile[self._done :]), None)

    async def _has_acted(self, house: House) -> bool:
        """Let the next thing happen if it is time for it."""
        happening = self._next_happening()
        if happening is None or happening.what == DIES:
            return False
        if happening.after == AT_REST:
            is_time = await self._rests(house)
        else:
            is_time = happening.after in [line.text for line in self.timeline]
        if not is_time:
            return False
        number = self._done
        acting = asyncio.ensure_future(self._act(house, happening))
        while not acting.done() and not self.is_dead:
            self._news.clear()
            news = asyncio.ensure_future(self._news.wait())
            await asyncio.wait([acting, news], return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        if acting.done():
            acting.result()
            self._done = max(self._done, number + 1)
        else:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
        return True

    def _is_journaled(self, happening: Happening) -> bool:
        """Whether the next thing to happen has come about, though a coordinator that dies does not say so."""
        action_id = self._action_id()
        earlier = [before.what for before in self._story.meanwhile[: self._done]]
        is_first_cancel = happening.what == CANCEL and CANCEL not in earlier
        return any(
            (isinstance(event, CancelRequested) and is_first_cancel)
            or (isinstance(event, OperatorActed) and event.action_id == action_id)
            for event in self.events
        )

    def _action_id(self) -> ActionId:
        """Of the next thing to happen, if an operator does it."""
        return ActionId(f"action-{self._done}")

    async def _act(self, house: House, happening: Happening) -> None:
        """Ask for it once, or again where the saga has moved in between."""
        while True:
            try:
                if happening.what == CANCEL:
                    await house.sagas.cancel(SAGA_ID, happening.reason)
                else:
                    await house.sagas.act(SAGA_ID, self._action(happening))
            except SagaMoved:
                continue
            except SagaError as error:
                refused = str(error)
            else:
                refused = ""
            assert refused == happening.refused, f"{happening.what} was refused: {refused or 'not at all'}"
            return

    def _action(self, happening: Happening) -> Action:
        return Action(
            self._action_id(),
            "ada",
            "she knows",
            len(self.events),
            Verb(happening.what),
            None if happening.step is None else StepName(happening.step),
            happening.output,
        )

    def _wanted(self) -> Wanted:
        return Wanted(
            front_door="test",
            request_id=RequestId("r"),
            saga_name=self._story.definition.name,
            version=None,
            input=self._story.input,
            names_definition=False,
        )


class _Scribe(JournalAround):
    """Tells the stage of every write. Once its coordinator is dead, nothing comes back from it."""

    def __init__(self, inner: Journal, stage: _Stage) -> None:
        super().__init__(inner)
        self._stage = stage

    async def start(
        self, request: Request, definition: SagaDefinition, events: Sequence[Event], summary: SagaSummary
    ) -> Request:
        await self._stop_if_dead()
        holder = await self.inner.start(request, definition, events, summary)
        await self._tell()
        return holder

    async def append(
        self, saga_id: SagaId, events: Sequence[Event], *, summary: SagaSummary, seq_expected: int
    ) -> int:
        await self._stop_if_dead()
        seq = await self.inner.append(saga_id, events, summary=summary, seq_expected=seq_expected)
        await self._tell()
        return seq

    async def quarantine(self, quarantine: Quarantine) -> None:
        await self._stop_if_dead()
        await self.inner.quarantine(quarantine)
        self._stage.has_news()

    async def _tell(self) -> None:
        self._stage.written([record.event for record in await self.inner.history(SAGA_ID)])
        await self._stop_if_dead()

    async def _stop_if_dead(self) -> None:
        if self._stage.is_dead:
            await asyncio.Event().wait()
