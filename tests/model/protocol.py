"""One saga, the runs of coordinators that drive it, its participants and all that may befall them: which
states may follow a state.

Each move is one thing that happens by itself: a record becomes durable, a request leaves, a request comes in,
an answer is taken, a run dies. Anything else may come between two of them.
"""

from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from tests.model.facts import (
    ASKED_AGAIN,
    ASKED_ANEW,
    BEGUN,
    BY_HAND,
    FAILED,
    FINAL,
    GIVEN_UP,
    NEEDS_PERSON,
    REFUSED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    UNBEGUN,
    WORKING,
    Event,
    Facts,
    Reading,
    Shape,
    Step,
    fold,
    size,
)
from tests.model.participants import (
    BAR,
    BARRED,
    COMPENSATE,
    EXECUTE,
    NO,
    STALE,
    YES,
    Request,
    Site,
    on_its_way,
    performed,
)
from tests.model.rules import ALL_RULES, Rules


class Bounds(NamedTuple):
    """How much may go wrong. What is not named here has no bound: a request may come any number of times."""

    attempts: int = 2
    """Of an Execute, and as many of a Compensate; those that a crash cut off are not counted."""
    crashes: int = 0
    takeovers: int = 0
    """How often a new run begins while the old one is still at work, and does not know."""
    acts: int = 0
    """How often a person acts."""
    has_deadline: bool = False
    refuses_undo: bool = False
    """Whether participants may refuse a Compensate."""


class Call(NamedTuple):
    """A request that a run has sent and waits for; `answer` is empty until one is on its way back."""

    step: int
    request: Request
    answer: str = ""


class Run(NamedTuple):
    """A coordinator that drives the saga, as it believes that this stands. What it has decided and not made
    durable is no state of its own: if it dies then, nothing was decided."""

    token: int
    memory: Facts
    calls: tuple[Call, ...] = ()


class Ahead(NamedTuple):
    """What may still befall the saga."""

    crashes: int
    takeovers: int
    acts: int
    deadline: bool
    """Whether it has one that has not come yet."""
    is_late: bool = False
    """Whether it has come."""


class State(NamedTuple):
    """Everything there is: what the journal holds, who is at work, what the participants hold."""

    token: int
    """The newest that the journal has given out."""
    facts: Facts
    runs: tuple[Run, ...]
    """Oldest first; at most the last one is the journal's newest."""
    sites: tuple[Site, ...]
    ahead: Ahead


class What(StrEnum):
    """What can happen."""

    JOURNALS = "journals"
    NOTES = "keeps in memory alone"
    SENDS = "sends"
    PERFORMS = "a participant performs it and answers"
    LETS_GO = "lets go"
    STOPS = "stops"
    TRIES_ON = "tries on"
    STARTS = "starts"
    STRAYS = "a request comes in that nobody waits for"
    DIES = "dies"
    TAKES_OVER = "takes over"
    ACTS = "a person acts"
    DEADLINE_COMES = "the deadline comes"


class Move(NamedTuple):
    """What happened: `token` is the run's that did it, 0 where none did."""

    what: What
    token: int = 0
    event: Event | None = None
    step: int = -1
    request: Request | None = None
    answer: str = ""
    is_mishap: bool = False
    """Whether it need not happen. All else goes on by itself, and must come to an end by itself."""


Following = tuple[Move, State]


class Protocol:
    """The protocol over one shape within some bounds, or a twin of it that lacks a rule.

    The product begins no undo while the step's Execute has no answer yet. No law rests on that, so here the
    one need not wait for the other.
    """

    def __init__(self, shape: Shape, bounds: Bounds, rules: Rules = ALL_RULES) -> None:
        self.shape, self.bounds, self.rules = shape, bounds, rules
        self.reading = Reading(shape, rules)
        self._ways = cache(self._ways_of)
        self._next = cache(self._next_of)
        self._work_of = cache(self._work_left)

    def first(self) -> State:
        """The saga is accepted, and the first run is about to drive it."""
        facts = Facts(tuple(Step() for _ in self.shape))
        bounds = self.bounds
        ahead = Ahead(bounds.crashes, bounds.takeovers, bounds.acts, bounds.has_deadline)
        return State(1, facts, (Run(1, facts),), tuple(Site() for _ in self.shape), ahead)

    def following(self, state: State) -> Iterator[Following]:
        """All that may happen next."""
        for number, run in enumerate(state.runs):
            yield from self._works(state, number, run)
            yield from self._calls(state, number, run)
        for step, site in enumerate(state.sites):
            for request in site.requests:
                for after, answer in self._ways(site, request):
                    if after != site:
                        move = Move(What.STRAYS, 0, None, step, request, answer, is_mishap=True)
                        yield move, _with_site(state, step, after)
        yield from self._befalls(state)

    def _works(self, state: State, number: int, run: Run) -> Iterator[Following]:
        """What the saga, as *run* knows it, is in need of."""
        events, requests = self._next(run.memory, state.ahead.is_late)
        for event in events:
            yield self._writes(state, number, event)
        for step, request in requests:
            if not _is_under_way(run, step, request):
                request = request._replace(token=run.token)
                calls = tuple(sorted((*run.calls, Call(step, request))))
                after = _with_run(state, number, run._replace(calls=calls))
                site = on_its_way(state.sites[step], request, self.rules)
                yield Move(What.SENDS, run.token, None, step, request), _with_site(after, step, site)

    def _next_of(self, facts: Facts, is_late: bool) -> tuple[list[Event], list[tuple[int, Request]]]:
        """What is to be journaled next, and what is to be asked for, where *facts* are known."""
        return self._events(facts, is_late), self._requests(facts, is_late)

    def _must_turn_back(self, facts: Facts, is_late: bool) -> bool:
        if not is_late or facts.is_aborted or self.reading.status(facts) != RUNNING:
            return False
        return not (self.rules.pivot_ends_deadline and self.reading.is_decided(facts))

    def _events(self, facts: Facts, is_late: bool) -> list[Event]:
        if self.reading.status(facts) not in WORKING:
            return []
        must_turn_back = self._must_turn_back(facts, is_late)
        events = [Event("aborted", aborts=True)] if must_turn_back else []
        if not must_turn_back or not self.rules.deadline_stops_begins:
            begins = [step for step in self.reading.reached(facts) if not facts.steps[step].is_begun]
            events += [Event("begun", step) for step in begins]
        undos = [step for step in self.reading.undoable(facts) if facts.steps[step].undo == UNBEGUN]
        return events + [Event("undo begun", step) for step in undos]

    def _requests(self, facts: Facts, is_late: bool) -> list[tuple[int, Request]]:
        """Whoever sends one puts in its token."""
        requests = []
        if not facts.is_aborted and not self._must_turn_back(facts, is_late):
            for place in self.reading.reached(facts):
                step = facts.steps[place]
                if step.is_begun:
                    key = step.round if self.rules.one_key_per_step else 10 * step.round + step.failures
                    requests.append((place, Request(EXECUTE, 0, key)))
        for place in self.reading.undoable(facts):
            step = facts.steps[place]
            if step.undo == BEGUN:
                operation = COMPENSATE if self.shape[place].has_compensation else BAR
                requests.append((place, Request(operation, 0, step.undo_round, self._receipt(step))))
        return requests

    def _receipt(self, step: Step) -> str:
        if self.rules.receipt_is_frozen:
            return step.receipt
        return "known" if step.outcome in (SUCCEEDED, BY_HAND) else "unknown"

    def _calls(self, state: State, number: int, run: Run) -> Iterator[Following]:
        """What becomes of the calls that *run* waits for. The deadline comes first, if it has come."""
        is_free = not self._must_turn_back(run.memory, state.ahead.is_late)
        for call in run.calls:
            step, request = call.step, call.request
            if not call.answer:
                for site, answer in self._ways(state.sites[step], request):
                    answered = _with_run(state, number, _with_call(run, call, call._replace(answer=answer)))
                    move = Move(What.PERFORMS, run.token, None, step, request, answer)
                    yield move, _with_site(answered, step, site)
            if is_free:
                yield self._ends(state, number, call)

    def _ends(self, state: State, number: int, call: Call) -> Following:
        """A call is over, with an answer or without: what it amounts to is journaled."""
        run = state.runs[number]
        if call.answer == STALE:
            move = Move(What.STOPS, run.token, None, call.step, call.request, STALE)
            return move, _with_run(state, number)
        event = self._verdict(run.memory, call, state.ahead.is_late)
        if event is None:
            after = _with_run(state, number, _with_call(run, call, None))
            move = Move(What.LETS_GO, run.token, None, call.step, call.request, call.answer)
        else:
            move, after = self._writes(state, number, event, call)
            move = move._replace(step=call.step, request=call.request, answer=call.answer)
        return (move, after) if call.answer else (move._replace(is_mishap=True), after)

    def _verdict(self, facts: Facts, call: Call, is_late: bool) -> Event | None:
        """What an answer, or none, amounts to; None: nothing that need be known."""
        place, answer = call.step, call.answer
        step = facts.steps[place]
        if call.request.operation != EXECUTE:
            return self._undo_verdict(place, step, answer)
        is_decided = self.reading.is_decided(facts)
        if answer == NO and is_late and not is_decided and self.rules.late_refusal_proves_nothing:
            answer = ""
        if answer == YES:
            return Event(SUCCEEDED, place)
        if answer == NO:
            return Event(REFUSED, place, aborts=not is_decided or self.shape[place].is_pivot)
        if facts.is_aborted:
            return None
        if step.failures + 1 < self.bounds.attempts and (is_decided or answer != BARRED):
            return Event("faulted", place)
        if is_decided and self.rules.pivot_ends_giving_up:
            return Event(FAILED if self.rules.unfinished_needs_person else GIVEN_UP, place)
        return Event(GIVEN_UP, place, aborts=True)

    def _undo_verdict(self, place: int, step: Step, answer: str) -> Event:
        if answer == YES or not self.rules.failed_undo_needs_person:
            return Event("undone", place)
        if answer == NO:
            return Event("undo refused", place)
        is_last = step.undo_failures + 1 >= self.bounds.attempts
        return Event("undo failed" if is_last else "undo faulted", place)

    def _writes(self, state: State, number: int, event: Event, call: Call | None = None) -> Following:
        """A run makes *event* durable, and only then knows it; *call* is over with it."""
        run = state.runs[number]
        if run.token < state.token and self.rules.journal_fences:
            if not self.rules.turned_away_stops:
                return Move(What.TRIES_ON, run.token, event), state
            return Move(What.STOPS, run.token, event), _with_run(state, number)
        memory = fold(run.memory, event)
        run = _with_call(run, call, None) if call else run
        is_working = self.reading.status(memory) in WORKING
        run = run._replace(memory=memory, calls=run.calls if is_working else ())
        after = _with_run(state, number, run)
        if self._is_durable(event):
            return Move(What.JOURNALS, run.token, event), after._replace(facts=fold(state.facts, event))
        return Move(What.NOTES, run.token, event), after

    def _is_durable(self, event: Event) -> bool:
        if event.aborts:
            return self.rules.abort_before_undo
        if event.what == "begun":
            return self.rules.begun_before_sent
        return event.what != SUCCEEDED or self.rules.answer_before_next

    def _ways_of(self, site: Site, request: Request) -> list[tuple[Site, str]]:
        """All that may come of a request: what its participant holds then, and the answer."""
        never = "" if self.bounds.refuses_undo or request.operation == EXECUTE else NO
        return [way for way in performed(site, request, self.rules) if way[1] != never]

    def _befalls(self, state: State) -> Iterator[Following]:
        """What comes from outside."""
        ahead, status = state.ahead, self.reading.status(state.facts)
        if ahead.deadline and (status == RUNNING or _awaits_execute(state)):
            yield (
                Move(What.DEADLINE_COMES, is_mishap=True),
                state._replace(ahead=ahead._replace(deadline=False, is_late=True)),
            )
        if ahead.crashes:
            fewer = state._replace(ahead=ahead._replace(crashes=ahead.crashes - 1))
            for number, run in enumerate(state.runs):
                yield Move(What.DIES, run.token, is_mishap=True), _with_run(fewer, number)
        is_driven = any(run.token == state.token for run in state.runs)
        if not is_driven:
            if self.rules.restart_resumes and (status in WORKING or (ahead.acts and status not in FINAL)):
                yield self._taken_up(state, What.STARTS)
            return
        if ahead.takeovers and status in WORKING:
            move, after = self._taken_up(state, What.TAKES_OVER)
            yield (
                move._replace(is_mishap=True),
                after._replace(ahead=ahead._replace(takeovers=ahead.takeovers - 1)),
            )
        if ahead.acts:
            yield from self._acts(state._replace(ahead=ahead._replace(acts=ahead.acts - 1)))

    def _taken_up(self, state: State, what: What) -> Following:
        """A new run takes its token, reads the journal and notes that calls may be lost, before it sends."""
        token = state.token + self.rules.run_has_new_token
        facts = fold(state.facts, Event("resumed"))
        runs = (*state.runs, Run(token, facts))
        return Move(what, token), state._replace(token=token, facts=facts, runs=runs)

    def _acts(self, state: State) -> Iterator[Following]:
        """What a person may do, through the newest run."""
        number = len(state.runs) - 1
        for event in self._possible_acts(state.runs[number].memory, state.ahead.is_late):
            move, after = self._writes(state, number, event)
            if self.rules.person_outranks_answer:
                run = after.runs[number]
                calls = tuple(call for call in run.calls if call.step != event.step)
                after = _with_run(after, number, run._replace(calls=calls))
            yield move._replace(what=What.ACTS, is_mishap=True), after

    def _possible_acts(self, facts: Facts, is_late: bool) -> Iterator[Event]:
        if self._must_turn_back(facts, is_late):
            return
        is_bound = self.rules.pivot_ends_cancel and self.reading.is_decided(facts)
        if self.reading.status(facts) == RUNNING and not facts.is_aborted and not is_bound:
            yield Event("cancelled", aborts=True)
        for place, step in enumerate(facts.steps):
            what = step.undo if facts.is_aborted else step.outcome
            if what in NEEDS_PERSON or what == BEGUN:
                yield Event(SKIPPED, place)
                yield Event(BY_HAND, place)
            if what in NEEDS_PERSON:
                has_new_key = what == REFUSED or not self.rules.only_refusal_changes_key
                yield Event(ASKED_ANEW if has_new_key else ASKED_AGAIN, place)

    def status(self, state: State) -> str:
        """Where the saga stands: what its newest run says, or the journal where there is none."""
        return self.reading.status(_known(state)[-1])

    def is_nearer(self, after: State, before: State) -> bool:
        """Whether *after* is nearer to the end than *before*, as it must be by whatever goes on by itself:
        more is known, or fewer runs are left that know less, or less is left to send and to wait for."""
        grown = sum(map(size, _known(after))) - sum(map(size, _known(before)))
        return grown > 0 or (grown == 0 and self._left(after) < self._left(before))

    def _left(self, state: State) -> tuple[int, int]:
        is_driven = any(run.token == state.token for run in state.runs)
        outdated = sum(run.token < state.token for run in state.runs)
        is_late = state.ahead.is_late
        return outdated + 2 * (not is_driven), sum(self._work_of(run, is_late) for run in state.runs)

    def _work_left(self, run: Run, is_late: bool) -> int:
        _, requests = self._next(run.memory, is_late)
        unsent = sum(not _is_under_way(run, step, request) for step, request in requests)
        return 3 * unsent + sum(1 if call.answer else 2 for call in run.calls)


def _known(state: State) -> list[Facts]:
    """What is known to whoever drives the saga, or would be."""
    return [run.memory for run in state.runs if run.token == state.token] or [state.facts]


def _awaits_execute(state: State) -> bool:
    return any(call.request.operation == EXECUTE for run in state.runs for call in run.calls)


def _is_under_way(run: Run, step: int, request: Request) -> bool:
    return any(call.step == step and call.request.operation == request.operation for call in run.calls)


def _with_call(run: Run, call: Call, changed: Call | None) -> Run:
    calls = (*(other for other in run.calls if other != call), *([changed] if changed else []))
    return run._replace(calls=tuple(sorted(calls)))


def _with_run(state: State, number: int, *run: Run) -> State:
    """*state* with another run, or none, in the place of one."""
    runs = (*state.runs[:number], *run, *state.runs[number + 1 :])
    return State(state.token, state.facts, runs, state.sites, state.ahead)


def _with_site(state: State, step: int, site: Site) -> State:
    sites = (*state.sites[:step], site, *state.sites[step + 1 :])
    return State(state.token, state.facts, state.runs, sites, state.ahead)
