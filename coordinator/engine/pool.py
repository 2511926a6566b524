"""Every open saga has an owner here: a driver, or a timer that will make one. Nothing is forgotten.

The pool also counts them (admission), takes them up again after a restart, and parks them before a stop.
"""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from coordinator.domain.actions import Action, end_unreadable
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import (
    Draining,
    JournalCorrupt,
    JournalUnavailable,
    Overloaded,
    SagaError,
    SagaNotFound,
    Unavailable,
)
from coordinator.domain.events import SagaStarted
from coordinator.domain.ids import RequestId, SagaId
from coordinator.domain.machine import Decision, start
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.engine.archive import Archive
from coordinator.engine.driver import Driver, Superseded, Tools
from coordinator.engine.sleepers import Sleepers
from coordinator.engine.timers import SagaClock
from coordinator.ports.clock import Clock
from coordinator.ports.journal import OpenSaga, Quarantine, Request, SagaIndex

_TAKEN_UP_AT_ONCE: Final = 100

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_Launched = tuple[Request, SagaSummary | None]


class Pool:
    """The open sagas of this coordinator."""

    def __init__(self, tools: Tools, index: SagaIndex, *, sagas_open_max: int) -> None:
        self._tools = tools
        self._index = index
        self._sagas_open_max = sagas_open_max
        self._open = 0
        self._drivers: dict[SagaId, Driver] = {}
        self._none_driven = asyncio.Event()
        self._none_driven.set()
        self._launching: dict[SagaId, asyncio.Event] = {}
        self._requested: dict[tuple[str, RequestId], asyncio.Event] = {}
        self._sleepers = Sleepers(tools.clock, self._wake_up)
        self._alarm: asyncio.Task[None] | None = None
        self._taking_up: dict[SagaId, asyncio.Task[None]] = {}
        self._waking: dict[SagaId, asyncio.Task[bool]] = {}
        self._setting_aside: dict[SagaId, asyncio.Task[None]] = {}
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._draining = False
        self.archive = Archive(index)
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Ends with a sentence when the journal, or memory, can no longer be had: the process must stop."""

    def driving(self, saga_id: SagaId) -> Driver | None:
        """Who drives a saga at this moment, if anybody does."""
        # One that is being born has nothing durable yet.
        return None if saga_id in self._launching else self._drivers.get(saga_id)

    def live(self, saga_id: SagaId) -> SagaSummary | None:
        """The newest durable summary of a saga that is driven at this moment."""
        driver = self.driving(saga_id)
        return driver.summary if driver is not None else None

    def clock_of(self, saga_id: SagaId, updated_at: float) -> Clock:
        """A saga's own time, whose newest record is of *updated_at*."""
        driver = self._drivers.get(saga_id)
        if driver is not None:
            return driver.clock
        if saga_id in self._sleepers or saga_id in self._taking_up:
            return self._sleepers.clock_of(updated_at)
        return SagaClock(self._tools.clock, updated_at)

    async def launch(
        self, definition: SagaDefinition, born: SagaStarted, request: Request
    ) -> tuple[Request, SagaSummary | None]:
        """Make a new saga durable and drive it; the work goes on if the caller leaves.

        Returns who holds the request id, and the new saga's summary; None where the id was taken by a
        saga with the same content.

        Raises:
            Draining, Overloaded: nothing was written.
            RequestIdTaken, DefinitionMoved, JournalUnavailable: as `Journal.start`.
        """
        name = (request.front_door, request.request_id)
        while (first := self._requested.get(name)) is not None:
            # The same id is on its way to the journal: joining it needs no room of its own.
            await first.wait()
            holder = await self._index.requested(*name)
            if holder is not None:
                return holder, None
        if self._draining:
            raise Draining("the coordinator is shutting down and takes no new sagas; nothing was written")
        if self._open >= self._sagas_open_max:
            raise Overloaded(
                f"{self._sagas_open_max} sagas are open, which is this coordinator's limit "
                "(SAGA_SAGAS_OPEN_MAX); nothing was written, try again later"
            )
        self._open += 1
        self._launching[born.saga_id] = self._requested[name] = asyncio.Event()
        launched: asyncio.Future[_Launched] = asyncio.get_running_loop().create_future()
        known = partial(self._known, request, launched)
        try:
            driver = Driver(start(self.archive.keep(definition), born), None, self._tools, since=born.at)
        except Exception as error:
            known(error)
        else:
            self._take_over(driver, born.saga_id)
            driver.be_born(born, request, known, partial(self._driven, driver, born.saga_id))
        return await launched

    async def recover(self) -> int:
        """Take up every open saga of the journal: those due at once, the others when they are due.

        Returns how many. What cannot be read becomes a dead letter with the reason.
        """
        sagas = await self._index.open_sagas()
        self._open += len(sagas)
        due = [saga for saga in sagas if not self._sleepers.add(saga)]
        self._alarm = self._spawn(self._sleepers.wake_when_due())
        self._alarm.set_name("wake sleepers")
        # Each waits for its turn on a loop that those before it keep busy: one by one, that would take long.
        for first in range(0, len(due), _TAKEN_UP_AT_ONCE):
            await asyncio.gather(*map(self._take_up, due[first : first + _TAKEN_UP_AT_ONCE]))
        looking = self._spawn(self._look_at_sleepers())
        looking.set_name("look at sleepers")
        return len(sagas)

    def rouse(self, saga_id: SagaId) -> None:
        """Take up a saga that sleeps, before it is due: what is wrong with it is to be known now."""
        if not self._draining:
            self._sleepers.rouse(saga_id)

    async def _look_at_sleepers(self) -> None:
        """Read each once, after the start and one at a time: a damaged one needs its person long before it
        would be due, and one whose row names another moment than its records do is not to wait for that."""
        for saga_id, due_at in list(self._sleepers):
            if self._draining:
                return
            try:
                summary = summarize(*await self._read_back(saga_id))
            except Exception:  # told when it is taken up, which is now
                self.rouse(saga_id)
                continue
            # One that has gone on meanwhile is due at another moment, and sleeps no more.
            if summary.due_at != due_at and saga_id in self._sleepers:
                _log.warning(
                    "a saga's row has another moment for what is due than its records do: it is taken up "
                    "now; check the disk, and the journal by `saga journal verify`",
                    extra={"saga_id": saga_id, "trace": summary.trace},
                )
                self.rouse(saga_id)

    async def cancel(self, saga_id: SagaId, reason: str) -> bool:
        """Turn an open saga back, durably. False: it is not open here.

        Raises:
            SagaEnded: it ended first.
            Draining: it was parked first.
        """
        driver = await self._driver(saga_id)
        if driver is None:
            return False
        await driver.cancel(reason)
        return True

    async def act(self, saga_id: SagaId, action: Action) -> bool:
        """Do what an operator wants to a saga, open or not, durably. False: it was done before.

        Raises:
            SagaNotFound: no saga has this id.
            SagaMoved, ActionIdTaken, InvalidRequest, SagaEnded, IllegalTransition: nothing was written.
            Draining: this coordinator stops; the same action, asked again, is done once at most.
            JournalUnavailable: the action may or may not be durable; the same holds.
        """
        # An operator who leaves does not leave it uncounted.
        return await asyncio.shield(self._spawn(self._act(saga_id, action)))

    def refuse_new(self) -> None:
        """From here on, `launch` answers Draining."""
        self._draining = True

    async def park(self, *, grace_s: float) -> None:
        """Begin nothing more; let calls in flight answer for at most *grace_s*, then abandon them.

        Every saga that is still open is taken up again at the next start.
        """
        self.refuse_new()
        if self._alarm is not None:
            self._alarm.cancel()
        for taking_up in self._taking_up.values():
            taking_up.cancel()
        for driver in self._drivers.values():
            driver.park()
        try:
            async with asyncio.timeout(grace_s):
                while self._tasks or self._drivers:
                    if self._tasks:
                        await asyncio.wait(self._tasks)
                    await self._none_driven.wait()
        except TimeoutError:
            _log.warning("calls still in flight are abandoned", extra={"sagas": len(self._drivers)})
        await self.abandon()

    async def abandon(self) -> None:
        """Leave everything that is under way at once, as a crash would."""
        for driver in list(self._drivers.values()):
            driver.abandon()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _driver(self, saga_id: SagaId) -> Driver | None:
        """Who drives the saga, once it is launched or awake; None where nobody does."""
        while True:
            if saga_id in self._launching:  # as good as durable, or nobody could name it
                await self._launching[saga_id].wait()
            elif saga_id in self._sleepers and not self._draining:
                self.rouse(saga_id)
            elif saga_id in self._taking_up and not self._draining:
                await asyncio.wait([self._taking_up[saga_id]])
            elif saga_id in self._waking:
                await asyncio.wait([self._waking[saga_id]])
            elif saga_id in self._setting_aside:
                # Whoever took it up before its quarantine is durable would drive it on behind that.
                await asyncio.wait([self._setting_aside[saga_id]])
            else:
                return self._drivers.get(saga_id)

    async def _act(self, saga_id: SagaId, action: Action) -> bool:
        asleep = None if self._draining else self._sleepers.take(saga_id)
        driver = None if asleep is not None else await self._driver(saga_id)
        if self._draining:
            raise Draining("the coordinator is shutting down; nothing was written, ask again")
        if driver is not None:
            done = await driver.act(action)
        elif asleep is not None:
            done = await self._wake(saga_id, self._act_on_sleeping(asleep, action))
        else:
            done = await self._wake(saga_id, self._act_on_resting(saga_id, action))
        if done:
            self._tools.telemetry.operator_acted(action.verb)
            _log.info(
                "operator acted",
                extra={
                    "saga_id": saga_id,
                    "step": action.step,
                    "verb": str(action.verb),
                    "actor": action.actor,
                },
            )
        return done

    def _wake_up(self, saga: OpenSaga) -> None:
        """Take up one that slept."""
        taking_up = self._taking_up[saga.saga_id] = self._spawn(self._take_up(saga))
        taking_up.add_done_callback(lambda _: self._taking_up.pop(saga.saga_id))

    def _wake(self, saga_id: SagaId, work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        """Take up a saga for the sake of an action; one at a time, so that it has one owner."""
        waking = self._waking[saga_id] = self._spawn(work)
        waking.add_done_callback(lambda _: self._waking.pop(saga_id))
        return waking

    async def _act_on_sleeping(self, saga: OpenSaga, action: Action) -> bool:
        driver = await self._taken_up(saga)
        if driver is None:
            return await self._act_on_resting(saga.saga_id, action)
        try:
            # Judged by what slept: that it was taken up is no news to whoever wants something of it.
            done = driver.act_first(action, set_aside=False)
        finally:
            self._own(driver, saga.saga_id)
        return done is not None and await done

    async def _act_on_resting(self, saga_id: SagaId, action: Action) -> bool:
        row = await self._index.find(saga_id)
        if row is None:
            raise SagaNotFound(saga_id)
        try:
            decision, seq = await self._read_back(saga_id)
        except (JournalUnavailable, MemoryError) as error:
            self._fail(error)
            raise
        except Unavailable:
            raise
        except Exception:  # it is in quarantine for this
            await self._end_unreadable(row, action)
            return True
        driver = Driver(decision, summarize(decision, seq), self._tools)
        done = driver.act_first(action, set_aside=row.status is not decision.saga.status)
        if done is None:
            return False
        self._open += 1
        self._own(driver, saga_id)
        return await done

    async def _end_unreadable(self, row: SagaSummary, action: Action) -> None:
        clock = SagaClock(self._tools.clock, row.updated_at)
        event, summary = end_unreadable(row, action, at=clock.now())
        try:
            await self._tools.journal.append(row.id, [event], summary=summary, seq_expected=row.seq)
        except JournalUnavailable as error:
            self._fail(error)
            raise
        except JournalCorrupt as error:
            # Its row is damaged, too. In quarantine that is mended, and it can be ended when asked again.
            await self._quarantine(row.id, f"It cannot be read back: {error}.", clock)
            raise
        self._tools.feed.publish(summary)
        self._rested(summary)

    def _spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Every task has an owner, so that none is lost and each can be awaited at the end."""
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if task.cancelled():
            return
        # Whoever waited may have left. What was refused was for them alone, a fault of ours is for all.
        error = task.exception()
        if error is not None and not isinstance(error, SagaError):
            _log.error("work of the engine failed: %s", task.get_name(), exc_info=error)

    def _known(
        self,
        request: Request,
        launched: asyncio.Future[_Launched],
        outcome: Request | BaseException | None,
    ) -> None:
        """What became of a start, as `Driver.be_born` tells it. Whoever asked for that may have left."""
        del self._launching[request.saga_id]
        self._requested.pop((request.front_door, request.request_id)).set()
        summary = self._drivers[request.saga_id].summary if outcome is request else None
        if summary is None:
            self._let_go(request.saga_id)
        if isinstance(outcome, JournalUnavailable):
            self._fail(outcome)
        elif isinstance(outcome, Exception) and not isinstance(outcome, SagaError):
            extra = {"saga_id": request.saga_id}
            _log.error("a saga could not be started", exc_info=outcome, extra=extra)
        if not launched.done():
            if isinstance(outcome, Request):
                launched.set_result((outcome, summary))
            elif isinstance(outcome, Exception):
                launched.set_exception(outcome)
            else:
                launched.cancel()
        # Last: a fault in this is the saga's, and its caller is answered.
        if summary is not None:
            self._tell_start(summary)

    def _tell_start(self, summary: SagaSummary) -> None:
        _log.info(
            "saga started",
            extra={
                "saga_id": summary.id,
                "saga_name": summary.saga_name,
                "trace": summary.trace,
                "is_news": True,
            },
        )
        self._tools.telemetry.saga_started(summary.saga_name)

    async def _take_up(self, saga: OpenSaga) -> None:
        """Rebuild a saga from its journal and drive it on."""
        driver = await self._taken_up(saga)
        if driver is not None:
            self._own(driver, saga.saga_id)

    async def _taken_up(self, saga: OpenSaga) -> Driver | None:
        """A driver for an open saga; None for one that had to be set aside instead."""
        saga_id = saga.saga_id
        try:
            decision, seq = await self._read_back(saga_id)
        except (JournalUnavailable, MemoryError) as error:
            self._fail(error)
        except Exception as error:  # also a bug of ours: this saga costs no other one its recovery
            _log.exception("a saga cannot be read back", extra={"saga_id": saga_id})
            self._open -= 1
            clock = self._sleepers.clock_of(saga.updated_at)
            await self._quarantine(saga_id, f"It cannot be read back: {_told(error)}.", clock)
        else:
            return Driver.resumed(decision, seq, self._tools, since=self._sleepers.found_at)
        return None

    async def _read_back(self, saga_id: SagaId) -> tuple[Decision, int]:
        """The saga as its records tell it, and the number of the newest one."""
        records = await self._tools.journal.history(saga_id)
        return await self.archive.replayed(records), records[-1].seq

    def _own(self, driver: Driver, saga_id: SagaId) -> None:
        self._take_over(driver, saga_id)
        self._drive(driver, saga_id)

    def _take_over(self, driver: Driver, saga_id: SagaId) -> None:
        self._drivers[saga_id] = driver
        self._none_driven.clear()
        if self._draining:
            driver.park()

    def _let_go(self, saga_id: SagaId) -> None:
        self._open -= 1
        self._drivers.pop(saga_id, None)
        if not self._drivers:
            self._none_driven.set()

    def _drive(self, driver: Driver, saga_id: SagaId) -> None:
        driver.drive(partial(self._driven, driver, saga_id))

    def _driven(self, driver: Driver, saga_id: SagaId, error: BaseException | None) -> None:
        """Nobody drives it any more. A fault of ours costs this saga its automation, never its visibility."""
        self._let_go(saga_id)
        if isinstance(error, JournalUnavailable | MemoryError):
            self._fail(error)
        elif error is not None:
            _log.error(
                "a saga cannot be driven on",
                exc_info=error,
                extra={"saga_id": saga_id, "trace": driver.summary.trace},
            )
            reason = f"The coordinator could not drive it on: {_told(error)}."
            _ = self._quarantine(saga_id, reason, driver.clock)
        elif driver.has_come_to_rest:
            self._rested(driver.summary)

    def _quarantine(self, saga_id: SagaId, reason: str, clock: Clock) -> asyncio.Task[None]:
        """Nothing is half done in silence: a saga that cannot be driven is put before a person."""
        text = f"{reason} Its effects stand as they are: a person has to look at it."
        setting_aside = self._spawn(self._set_aside(saga_id, text, clock))
        setting_aside.set_name(f"set aside {saga_id}")
        # Nobody is to take it up from this moment on until it is over, however it ends.
        self._setting_aside[saga_id] = setting_aside
        setting_aside.add_done_callback(lambda _: self._setting_aside.pop(saga_id))
        return setting_aside

    async def _set_aside(self, saga_id: SagaId, text: str, clock: Clock) -> None:
        summary = None
        try:
            await self._tools.journal.quarantine(Quarantine(saga_id, text, clock.now()))
            summary = await self._index.find(saga_id)
        except JournalUnavailable as error:
            self._fail(error)
        except SagaError as error:
            # Its row is lost or damaged, too. That costs no other saga its recovery.
            _log.error("a saga cannot be set aside: %s", error, extra={"saga_id": saga_id})
        finally:
            trace = "" if summary is None else summary.trace
            _log.error("saga needs a person: %s", text, extra={"saga_id": saga_id, "trace": trace})
        if summary is not None:
            self._tools.feed.publish(summary)
            self._rested(summary)

    def _rested(self, summary: SagaSummary) -> None:
        lasted_s = summary.updated_at - summary.started_at
        self._tools.telemetry.saga_rested(summary.saga_name, summary.status, lasted_s, summary.trace)
        if summary.trace:
            self._tools.tracing.rested(summary)
        if not summary.needs_person:
            # As with its start: no saga says it twice, so nobody has to look whether it did.
            _log.info("saga ended", extra={**_described(summary), "is_news": True})
        else:
            _log.warning("saga needs a person", extra=_described(summary))

    def _fail(self, error: JournalUnavailable | MemoryError) -> None:
        if not self.failed.done():
            self.failed.set_result(str(error) or "there is no memory left: start it again")


def _told(error: BaseException) -> str:
    """What may be said of *error*: the text of one that nobody raised on purpose may quote a payload."""
    return str(error) if isinstance(error, SagaError | Superseded) else type(error).__name__


def _described(summary: SagaSummary) -> dict[str, str]:
    return {
        "saga_id": summary.id,
        "saga_name": summary.saga_name,
        "status": str(summary.status),
        "trace": summary.trace,
    }
