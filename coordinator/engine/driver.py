"""One saga's actor: answers, timers and requests reach it one at a time, so there is no lock to take.

Its turn is the whole durability argument: what has come is folded in (`_turn`), made durable (`_write`), and
only then shown and acted upon (`_go_on`). Until that write is over, nothing else is looked at.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import field
from functools import partial
from typing import Final, assert_never

from coordinator.domain.actions import Action, action_event
from coordinator.domain.commands import Command, Invoke
from coordinator.domain.errors import Draining, JournalUnavailable, SagaEnded, SagaError, Unavailable
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepFaulted,
    UndoBegun,
    UndoFaulted,
)
from coordinator.domain.ids import SagaId, StepName
from coordinator.domain.machine import Decision, decide
from coordinator.domain.outcomes import Direction
from coordinator.domain.saga import Saga, Status, StepState
from coordinator.domain.shaping import first_call, omitted, shaped_output
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.domain.values import frozen
from coordinator.domain.verdicts import verdict
from coordinator.engine.calls import Answered, Broken, Calls, Granted
from coordinator.engine.dispatcher import Dispatcher, call_for
from coordinator.engine.feed import Feed
from coordinator.engine.mailbox import Mailbox, Turns
from coordinator.engine.timers import SagaClock, slice_s
from coordinator.ports.aside import Aside
from coordinator.ports.clock import Chance, Clock
from coordinator.ports.deferred import Cancellable, report, when_over
from coordinator.ports.expressions import Expressions
from coordinator.ports.journal import Journal, Request
from coordinator.ports.telemetry import Telemetry
from coordinator.ports.tracing import Attempt, Tracing

_UNTOLD: Final = (SagaStarted, StepBegun, UndoBegun, OutputShaped)
"""What is no news to whoever follows a saga: the calls tell it, or what is done with it."""
_FAULTED: Final = (StepFaulted, UndoFaulted)

_log = logging.getLogger(__name__)


@frozen
class Tools:
    """What the engine works with."""

    journal: Journal
    dispatcher: Dispatcher
    feed: Feed
    clock: Clock
    chance: Chance
    telemetry: Telemetry
    tracing: Tracing
    expressions: Expressions
    aside: Aside
    turns: Turns = field(default_factory=Turns)


class Superseded(Exception):
    """A participant has seen a newer fencing token for this saga: another coordinator drives it."""


@frozen
class _Asked:
    """Somebody wants something of the saga. `event` says what, seeing the saga, the number of its newest
    record and the moment; None where it has happened already. `done` ends when it is durable, and tells
    whether it had to happen."""

    event: Callable[[Saga, int, float], Event | None]
    done: asyncio.Future[bool]


@frozen
class _Park:
    """Wakes a driver that has been parked."""


_Message = Answered | Broken | Granted | _Asked | _Park


class Driver:
    """Drives one saga from where *decision* left it until no automatic work is left, or it is parked."""

    def __init__(
        self, decision: Decision, summary: SagaSummary | None, tools: Tools, *, since: float | None = None
    ) -> None:
        """*summary* is what is durable of it: None before it is born."""
        definition = decision.saga.definition
        self._decision = decision
        self._tools = tools
        self.clock = SagaClock(tools.clock, decision.saga.updated_at, since=since)
        """The saga's own time."""
        self._unwritten: list[Event] = []
        self._mailbox = Mailbox[_Message](tools.turns, self._turn)
        self._calls = Calls(tools.dispatcher, tools.tracing, self._mailbox.put)
        trace = decision.saga.trace
        self._trace = tools.tracing.unrecorded(trace) if trace else ""
        """What calls go on with that nobody records."""
        self._answers: dict[int, Attempt | None] = {}
        """The calls whose answers are not written yet, by their place among the unwritten events; None where
        nobody follows one."""
        self._asked: list[tuple[asyncio.Future[bool], bool | SagaError]] = []
        self._holding: set[StepName] = set()
        """Steps not begun whose condition was found true: it stays so."""
        self._over: Callable[[BaseException | None], None] = _tell_nobody
        self._writing: Cancellable | None = None
        self._has_left = False
        self._parking = False
        self._is_broken = False
        self._has_expressions = definition.has_conditions or definition.output is not None
        self._was_resting = False
        self.summary: SagaSummary
        """The newest durable summary: the only state that may be shown. There is none before it is born."""
        if summary is not None:
            self._was_resting = not summary.status.is_open
            self.summary = summary

    @classmethod
    def resumed(cls, decision: Decision, seq: int, tools: Tools, *, since: float) -> "Driver":
        """A driver for a saga rebuilt from its journal, whose newest record is number *seq*; it was found
        there at the moment *since*."""
        driver = cls(decision, summarize(decision, seq), tools, since=since)
        saga = decision.saga
        calls_may_be_lost = saga.status.is_open and any(
            (step.begun and step.outcome is None) or (step.undo is not None and step.undo.outcome is None)
            for step in saga.steps
        )
        if calls_may_be_lost:
            driver._fold(SagaResumed(driver.clock.now()))
        return driver

    def be_born(
        self,
        born: Event,
        request: Request,
        known: Callable[[Request | BaseException | None], None],
        over: Callable[[BaseException | None], None],
    ) -> None:
        """Make the saga durable, with its first step begun in the same write, and drive it.

        *known* is called once: with whoever holds the request id, that is *request* if this saga was born;
        with what kept it from that; or with None if it was abandoned first. If it was born, *over* is called
        as by `drive`.
        """
        self._over = known
        try:
            self._unwritten.append(born)
            # At the moment of its birth: the journal has both under one. Unless its time is over already.
            self._moment()
            self._begin_what_is_due(born.at)
            events, self._unwritten = self._unwritten, []
            summary = summarize(self._decision, len(events))
            starting = self._tools.journal.start(request, self.saga.definition, events, summary)
        except Exception as error:
            self._end(error)
            return

        def told(holder: Request | BaseException) -> None:
            if self._has_left:
                return
            if holder != request:
                self._leave()
                known(holder)
                return
            self._over = over
            self.summary = summary
            try:
                known(request)
                if self.saga.trace:
                    self._tools.tracing.started(self.saga)
                self._written(events, summary, summary.seq)
            except Exception as error:  # it is durable, and would be driven by nobody
                self._break_down(error)

        # In the context of the call that asks for it, as tracing is promised: the journal has its own.
        context = copy_context()
        self._writing = when_over(starting, lambda holder: context.run(told, holder))

    def drive(self, over: Callable[[BaseException | None], None]) -> None:
        """Drive the saga. *over* is called once: when no automatic work is left or it is parked, or with what
        keeps it from being driven on: Superseded where another coordinator drives it, JournalUnavailable
        where the store failed, or a fault of ours."""
        self._over = over
        self._turn()

    def abandon(self) -> None:
        """Leave it at once, whatever is under way, as a crash would."""
        self._end(None)

    def cancel(self, reason: str) -> asyncio.Future[bool]:
        """Ask the saga to turn back; the future ends when that is durable, or with SagaEnded."""

        def event(saga: Saga, seq: int, at: float) -> Event | None:
            match saga.status:
                case Status.RUNNING:
                    return CancelRequested(at, reason)
                case Status.COMPENSATING:
                    return None  # it is what the caller wants already
                case _ if saga.is_cancelled:
                    return None  # it was cancelled before, perhaps by this caller who got no answer
                case _:
                    raise SagaEnded(f"saga {saga.id} is {saga.status} and cannot be cancelled any more")

        return self._ask(event)

    def act(self, action: Action) -> asyncio.Future[bool]:
        """Do what an operator wants. The future ends when that is durable, and tells whether it was done now;
        or with what `action_event` and `decide` refuse."""
        return self._ask(lambda saga, seq, at: action_event(saga, action, seq=seq, at=at))

    def act_first(self, action: Action, *, set_aside: bool) -> asyncio.Future[bool] | None:
        """Begin with an operator's action; `drive` then makes it durable. None: it was done before, so there
        is nothing to drive.

        Raises:
            SagaError: what `action_event` and `decide` refuse.
        """
        # The deadline may have come since it rests, which nobody can have seen: `drive` folds it in behind.
        now = self.clock.now()
        event = action_event(self._decision.saga, action, seq=self.summary.seq, at=now, set_aside=set_aside)
        if event is None:
            return None
        self._fold(event)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked.append((done, True))
        return done

    def _ask(self, event: Callable[[Saga, int, float], Event | None]) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._mailbox.put(_Asked(event, done))
        return done

    def park(self) -> None:
        """Begin nothing more, and end once the calls in flight are answered and their answers durable."""
        # At once, so that what is being written or granted at this moment is not sent either.
        self._parking = True
        self._mailbox.put(_Park())

    @property
    def saga(self) -> Saga:
        """The saga as it stands in memory: some of it may not be durable yet, and is not to be shown."""
        return self._decision.saga

    @property
    def has_come_to_rest(self) -> bool:
        """Whether no automatic work is left, and that is news: some was, or it rests in another way now."""
        return not self.summary.status.is_open and not self._was_resting

    @property
    def _saga_id(self) -> SagaId:
        return self._decision.saga.id

    @property
    def _has_room(self) -> bool:
        return self._calls.under_way < self._decision.saga.definition.parallel_max

    def _is_over(self) -> bool:
        return not self._decision.saga.status.is_open or (self._parking and not self._calls.in_flight)

    def _fold(self, event: Event) -> None:
        self._decision = decide(self._decision.saga, event)
        self._unwritten.append(event)

    def _turn(self) -> None:
        if self._has_left:
            return  # it was abandoned while it waited for its turn
        try:
            # All that has come is judged by one moment, and made durable in one write.
            now = self._moment()
            while (message := self._mailbox.take()) is not None:
                self._take(message, now)
            self._begin_what_is_due(now)
            if self._unwritten:
                self._write()
            else:
                self._go_on(now)
        except Exception as error:
            self._break_down(error)

    def _write(self) -> None:
        events, self._unwritten = self._unwritten, []
        seq = self.summary.seq
        summary = summarize(self._decision, seq + len(events))
        writing = self._tools.journal.append(self._saga_id, events, summary=summary, seq_expected=seq)
        self._writing = when_over(writing, partial(self._written, events, summary))

    def _written(self, events: Sequence[Event], summary: SagaSummary, outcome: int | BaseException) -> None:
        if self._has_left:
            return
        if isinstance(outcome, BaseException):
            self._end(outcome)
            return
        try:
            self._show(summary)
            self._tell(events)
            self._go_on(self.clock.now())
        except Exception as error:
            self._break_down(error)

    def _go_on(self, now: float) -> None:
        """All is durable: say so to those who asked, send what is to be sent, and wait for what comes."""
        for done, outcome in self._asked:
            if done.done():
                continue
            if isinstance(outcome, SagaError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
        self._asked.clear()
        if self._is_over() and not self._mailbox:
            self._end(None)
            return
        self._send(now)
        self._mailbox.wait(for_s=self._wait_s(now))

    def _break_down(self, error: Exception) -> None:
        if self._has_left:
            report(error)  # it is that of whoever was told that this is over
        else:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        # A journal that fails stops the whole process; anything else costs this saga alone.
        self._is_broken = error is not None and not isinstance(error, JournalUnavailable | MemoryError)
        # It mostly knows this driver: neither is to be held by the other.
        over, self._over = self._over, _tell_nobody
        try:
            self._leave()
        finally:
            over(error)

    def _show(self, summary: SagaSummary) -> None:
        """*summary* is durable: let it be seen."""
        self._was_resting = self._was_resting and summary.status is self.summary.status
        self.summary = summary
        self._tools.feed.publish(summary)

    def _tell(self, events: Sequence[Event]) -> None:
        """*events* are durable: let them be counted, followed and logged."""
        saga, answers, self._answers = self._decision.saga, self._answers, {}
        is_logged = _log.isEnabledFor(logging.DEBUG)
        for number, event in enumerate(events):
            if number in answers:
                if (attempt := answers[number]) is not None:
                    attempt.settled(event, saga)
                if isinstance(event, _FAULTED) and event.retry_at is not None:
                    direction = Direction.FORWARD if isinstance(event, StepFaulted) else Direction.UNDO
                    service = saga.step(event.step).definition.service
                    self._tools.telemetry.backed_off(service, direction, event.retry_at - event.at)
            elif saga.trace and not isinstance(event, _UNTOLD):
                self._tools.tracing.happened(saga, event)
            if is_logged:
                _log_event(saga, event, answers.get(number))

    def _moment(self) -> float:
        """Now, with the deadline folded in first if it has come: what happens after it is judged by it."""
        saga, now = self._decision.saga, self.clock.now()
        is_late = saga.deadline_at is not None and now >= saga.deadline_at
        if is_late and saga.status is Status.RUNNING and not saga.is_overdue:
            self._fold(DeadlinePassed(now))
        return now

    def _begin_what_is_due(self, now: float) -> None:
        """Take a slot for each command that is due, and note the first call of each step as begun."""
        while True:
            if self._has_expressions:
                self._settle_conditions(now)
            commands = () if self._parking else self._decision.commands
            if self._calls.has_slots:
                self._calls.give_back_slots(wanted={command.key for command in commands})
            for command in commands:
                if not self._begin(command, now):
                    break
            else:
                return

    def _begin(self, command: Command, now: float) -> bool:
        """Take a slot for *command* if it is due and there is room. False: it cannot be sent, for an
        expression failed, and what is to be done now is another question."""
        if self._calls.has_slot(command):
            return self._note_begun(command, now)  # it was granted after a wait
        is_due = command.due_at is None or command.due_at <= now
        if not (is_due and self._has_room and self._calls.is_startable(command)):
            return True
        return not self._calls.take_slot(command, self._service(command)) or self._note_begun(command, now)

    def _settle_conditions(self, now: float) -> None:
        """Fold in what follows without asking anybody: steps to be omitted, and the output at the end."""
        # Also while parking: a saga whose steps are all done must not run out of time meanwhile.
        while event := self._follows(self._decision.saga, now):
            self._fold(event)

    def _follows(self, saga: Saga, now: float) -> Event | None:
        if saga.awaits_output:
            return shaped_output(saga, self._tools.expressions.evaluate, now)
        if not saga.definition.has_conditions or saga.status is not Status.RUNNING:
            return None
        conditions = (self._condition(step, now) for step in saga.at_work)
        return next((event for event in conditions if event is not None), None)

    def _condition(self, step: StepState, now: float) -> Event | None:
        """What follows from the condition of a step that is about to begin, if it does not."""
        if step.begun or step.definition.when is None or step.name in self._holding:
            return None
        event = omitted(self._decision.saga, step, self._tools.expressions.evaluate, now)
        if event is None:
            self._holding.add(step.name)
        return event

    def _note_begun(self, command: Command, now: float) -> bool:
        """Note the first call of a step; False if its input cannot be made."""
        saga = self._decision.saga
        event = first_call(saga, command, self._tools.expressions.evaluate, now)
        if event is not None:
            self._fold(event)
        return not isinstance(event, ExpressionFailed)

    def _send(self, now: float) -> None:
        """Start the calls whose slot is taken and whose beginning is durable."""
        if self._parking:
            return
        saga = self._decision.saga
        for command in self._decision.commands if self._calls.has_slots else ():
            if not self._calls.has_slot(command):
                continue
            timeout_s = saga.steps[command.place].definition.timeout_s
            if isinstance(command, Invoke) and saga.deadline_at is not None and not saga.is_decided:
                timeout_s = min(timeout_s, saga.deadline_at - now)
                if timeout_s <= 0:
                    continue  # the deadline came while the record was written: the next turn sees it
            call = call_for(saga, command, self._tools.journal.token, self._trace)
            self._calls.send(saga, command, call, timeout_s=timeout_s)

    def _wait_s(self, now: float) -> float | None:
        """How long to wait for a message before looking at the clock again; None: until there is one."""
        wake_at = self._wake_at()
        return None if wake_at is None else slice_s(wake_at - now)

    def _wake_at(self) -> float | None:
        if self._parking:
            return None
        saga = self._decision.saga
        wake_at = saga.deadline_at if saga.abort is None and not saga.is_overdue else None
        # What is due and finds no room is begun when one of those that are under way is over.
        for command in self._decision.commands if self._has_room else ():
            due_at = command.due_at
            is_next = due_at is not None and (wake_at is None or due_at < wake_at)
            if is_next and self._calls.is_startable(command):
                wake_at = due_at
        return wake_at

    def _take(self, message: _Message, now: float) -> None:
        match message:
            case Answered():
                self._answered(message, now)
            case Granted():
                # Whether its command is still wanted is known when all that has come is taken.
                self._calls.hold(message)
            case _Asked(event, done):
                self._answer_request(event, done, now)
            case Broken(error):
                raise error
            case _Park():
                pass  # it has woken who is parked, which is all that it is for
            case _:
                assert_never(message)

    def _answered(self, answered: Answered, now: float) -> None:
        attempt = answered.sent.attempt
        if not self._calls.take(answered.sent):
            return  # an operator settled the step while this answer was on its way
        try:
            event = self._verdict(answered, now)
        except Exception:
            if attempt is not None:
                attempt.abandoned()
            raise
        self._answers[len(self._unwritten)] = attempt
        self._fold(event)

    def _verdict(self, answered: Answered, now: float) -> Event:
        command = answered.sent.command
        draw = self._tools.chance.draw()
        event = verdict(self._decision.saga, command, answered.answer, at=now, draw=draw)
        if event is None:
            raise Superseded(
                f"{self._service(command)} has seen a newer fencing token for saga {self._saga_id}: "
                "another coordinator drives it, or this journal was restored from an old copy"
            )
        return event

    def _answer_request(
        self, event_of: Callable[[Saga, int, float], Event | None], done: asyncio.Future[bool], now: float
    ) -> None:
        outcome: bool | SagaError
        try:
            event = event_of(self._decision.saga, self.summary.seq + len(self._unwritten), now)
            if event is not None:
                self._fold(event)
                if isinstance(event, OperatorActed):
                    self._abandon_settled()
            outcome = event is not None
        except SagaError as error:
            outcome = error
        # Whatever it was, the write comes first: a refusal, too, may tell of a deadline just folded in.
        self._asked.append((done, outcome))

    def _abandon_settled(self) -> None:
        """Cut off the calls whose steps a person has settled: their answers have no say any more.

        This comes before the write, which also notes what begins next. Nothing is lost if that never
        becomes durable: a call that was cut off may have had its effect, as after any crash, and is asked
        for again under its key.
        """
        for name in list(self._calls.in_flight):
            step = self._decision.saga.step(name)
            settled = step.outcome is not None if step.undo is None else step.undo.outcome is not None
            if settled or self._decision.saga.status is Status.TERMINATED:
                self._calls.cut_off(name)

    def _service(self, command: Command) -> str:
        return self._decision.saga.steps[command.place].definition.service

    def _leave(self) -> None:
        """Hand back what is held, and answer whoever still asks."""
        self._has_left = True
        if self._writing is not None:
            self._writing.cancel()
        self._calls.leave()
        for attempt in self._answers.values():
            if attempt is not None:
                attempt.abandoned()
        unanswered = [done for done, _ in self._asked]
        self._mailbox.close()
        while (message := self._mailbox.take()) is not None:
            match message:
                case Granted():
                    self._calls.hand_on(message)
                case _Asked(done=done):
                    unanswered.append(done)
        for done in unanswered:
            if not done.done():
                done.set_exception(self._not_any_more())

    def _not_any_more(self) -> SagaError:
        if not self._is_broken:
            return Draining(f"saga {self._saga_id} is not driven here any more; ask again after the restart")
        return Unavailable(
            f"saga {self._saga_id} could not be driven on while this was asked, and it may or may not have "
            "been done: look at the saga, then ask again"
        )


def _tell_nobody(_: BaseException | None) -> None:
    """Nobody waits for its end, before it is driven and when it is over."""


def _log_event(saga: Saga, event: Event, attempt: Attempt | None) -> None:
    _log.debug(
        "%s",
        type(event).__name__,
        extra={
            "saga_id": saga.id,
            "step": getattr(event, "step", None),
            "attempt": getattr(event, "attempt", None),
            "code": getattr(event, "code", None),
            "trace": saga.trace if attempt is None else attempt.trace,
        },
    )
