"""Runs made by hand: sagas told event by event, as coordinator, participants and people would write them.

`clean_run` keeps every invariant; the functions below it change one thing in a run.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.checker.evidence import (
    ActionRead,
    Books,
    ClientCall,
    Definition,
    Evidence,
    LedgerRow,
    OperatorCall,
    SagaRead,
    StepRead,
    StepRule,
    TimelineRead,
)

SECOND_NS = 1_000_000_000
EPOCH_NS = 1_700_000_000 * SECOND_NS
TTL_NS = 30 * SECOND_NS

RESERVE = StepRule(
    name="reserve", service="Stock", transaction="reserve", compensation="release", attempts_max=3
)
CHARGE = StepRule(name="charge", service="Pay", transaction="charge", compensation="refund", attempts_max=3)
NOTIFY = StepRule(name="notify", service="Mail", transaction="notify", compensation=None, attempts_max=3)
SHIP = StepRule(name="ship", service="Ship", transaction="ship", compensation="recall", attempts_max=3)
ORDER = Definition(name="Order", digest="d1", ttl_ns=TTL_NS, steps=(RESERVE, CHARGE, NOTIFY, SHIP))
LENIENT = replace(
    ORDER, digest="d2", steps=(RESERVE, replace(CHARGE, continues_on_failure=True), NOTIFY, SHIP)
)


class Run:
    """What is gathered of a run while it is told."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.token = 1
        self.ledger: list[LedgerRow] = []
        self.calls: list[ClientCall] = []
        self.actions: list[OperatorCall] = []
        self.reads: list[SagaRead] = []
        self.sagas: list[Told] = []

    def tick(self, length_ns: int = 1_000_000) -> int:
        self.now_ns += length_ns
        return self.now_ns

    def call(self, request_id: str, code: str, payload: str = "", **more: Any) -> None:
        """A client's attempt; without a saga id it was told none."""
        at_ns = self.tick()
        replied_ns = None if code == "NONE" else at_ns + 1000
        self.calls.append(
            ClientCall(
                door="orders",
                request_id=request_id,
                payload_hash=payload or f"payload of {request_id}",
                invoked_ns=at_ns,
                replied_ns=replied_ns,
                code=code,
                **more,
            )
        )


class Told:
    """One saga, told event by event."""

    def __init__(self, run: Run, name: str, definition: Definition = ORDER) -> None:
        self.saga_id, self.request_id = f"saga-{name}", f"order-{name}"
        self._run, self._definition = run, definition
        self._timeline: list[TimelineRead] = []
        self._rules = {rule.name: rule for rule in definition.steps}
        self._statuses = {rule.name: "NOT_BEGUN" for rule in definition.steps}
        self._by_hand: set[str] = set()
        self._forced = False
        self._overdue = False
        self._output = ""
        self._rounds: dict[tuple[str, str], int] = {}
        self._created_ns = EPOCH_NS + run.tick()
        self.event("SAGA_STARTED")
        run.sagas.append(self)

    def event(self, kind: str, step: str = "", status: str = "", **more: Any) -> None:
        """A journal record, one millisecond after what was before."""
        entry = TimelineRead(
            seq=len(self._timeline) + 1,
            time_ns=EPOCH_NS + self._run.tick(),
            type=kind,
            step=step,
            attempt=more.get("attempt", 0),
            code=more.get("code", ""),
            retry_ns=more.get("retry_ns"),
            token=self._run.token,
            action=more.get("action"),
        )
        self._timeline.append(entry)
        if status:
            self._statuses[step] = status

    def is_late(self) -> None:
        """Its time ends past its pivot."""
        self._overdue = True
        self.event("DEADLINE_PASSED")

    def says(self, output: str) -> None:
        """Its output is shaped."""
        self._output = output
        self.event("OUTPUT_SHAPED")

    def asks(self, verb: str, step: str, code: str, **more: Any) -> None:
        """An operator asks, having seen the newest record."""
        asked = OperatorCall(
            saga_id=self.saga_id,
            action_id=f"{verb} {step}",
            verb=verb,
            step=step,
            actor="Ada",
            reason="the bank called",
            seq_expected=len(self._timeline),
            invoked_ns=self._run.tick(),
            replied_ns=None if code == "NONE" else self._run.now_ns + 5_000_000,
            code=code,
        )
        self._run.actions.append(replace(asked, **more))

    def acts(self, verb: str, step: str = "", status: str = "", *, output: str = "", unseen: int = 0) -> None:
        """An operator asks, and it is done; where it has a status, it decides that of the step."""
        newest = len(self._timeline)
        self.asks(verb, step, "OK", seq=newest + 1, seq_expected=newest - unseen, output=output)
        action = ActionRead(verb=verb, action_id=f"{verb} {step}", actor="Ada", reason="the bank called")
        failure = next((entry.type for entry in reversed(self._timeline) if entry.step == step), "")
        self.event("OPERATOR_ACTED", step, status, action=action)
        if verb in ("COMPLETE", "SKIP", "TERMINATE"):
            self._forced = True
            self._by_hand.add(step)
        if verb == "RETRY" and failure in ("UNDO_REFUSED", "STEP_REFUSED"):
            way = (step, "C" if failure == "UNDO_REFUSED" else "E")
            self._rounds[way] = self._rounds.get(way, 1) + 1

    def row(self, step: str, operation: str, outcome: str) -> None:
        """A call arrives at its participant, and is committed there a little later."""
        rule = self._rules[step]
        forward = operation == "E"
        arrived_ns = self._run.tick()
        again = f"/{self._rounds[step, operation]}" if (step, operation) in self._rounds else ""
        self._run.ledger.append(
            LedgerRow(
                service=rule.service,
                local_seq=sum(row.service == rule.service for row in self._run.ledger) + 1,
                saga_id=self.saga_id,
                step=step,
                operation=operation,
                transaction=rule.transaction if forward else rule.compensation or "",
                key=f"{self.saga_id}/{step}/{'execute' if forward else 'compensate'}{again}",
                outcome=outcome,
                request_hash=f"{self.saga_id} {step} {operation}",
                result_hash="",
                token=self._run.token,
                arrived_ns=arrived_ns,
                committed_ns=self._run.tick(),
            )
        )

    def does(self, *steps: str) -> None:
        for step in steps:
            self.begins(step)
            self.is_done(step)

    def begins(self, *steps: str) -> None:
        for step in steps:
            self.event("PIVOT_BEGUN" if self._rules[step].kind == "pivot" else "STEP_BEGUN", step, "BEGUN")

    def fails(
        self,
        step: str,
        status: str = "",
        *,
        attempt: int = 1,
        code: str = "UNAVAILABLE",
        wait_ns: int | None = None,
    ) -> None:
        """An attempt fails; without a wait, none follows."""
        retry_ns = None if wait_ns is None else EPOCH_NS + self._run.now_ns + wait_ns
        self.event("STEP_FAULTED", step, status, attempt=attempt, code=code, retry_ns=retry_ns)

    def is_done(self, *steps: str, attempt: int = 1) -> None:
        """What was begun is applied, and answered."""
        for step in steps:
            self.row(step, "E", "applied")
            self.event("STEP_SUCCEEDED", step, "SUCCEEDED", attempt=attempt)

    def undoes(self, *steps: str, outcome: str = "applied") -> None:
        for step in steps:
            self.event("UNDO_BEGUN", step, "UNDOING")
            self.row(step, "C", outcome)
            self.event("STEP_COMPENSATED", step, "COMPENSATED", attempt=1)

    def seen(self, status: str, read_at: int) -> None:
        """It is read, and so shown."""
        steps = tuple(
            shown(rule, self._statuses[rule.name], by_hand=rule.name in self._by_hand)
            for rule in self._definition.steps
        )
        self._run.reads.append(
            SagaRead(
                read_at=read_at,
                saga_id=self.saga_id,
                saga_name=self._definition.name,
                definition_digest=self._definition.digest,
                request_id=self.request_id,
                status=status,
                error_message="Its undo needs a person." if status == "DEAD_LETTERED" else "",
                created_ns=self._created_ns,
                expires_ns=self._created_ns + TTL_NS,
                seq=len(self._timeline),
                steps=steps,
                timeline=tuple(self._timeline),
                needs_person=status == "DEAD_LETTERED",
                forced=self._forced,
                overdue=self._overdue,
                output=self._output,
            )
        )

    def ends(self, status: str) -> None:
        """It comes to rest, and is read in the last round; who started it is told."""
        self.seen(status, 3)
        ended = "SUCCESS" if status == "COMPLETED" else "FAILED"
        self._run.call(self.request_id, "OK", saga_id=self.saga_id, ended=ended)


def shown(rule: StepRule, status: str = "NOT_BEGUN", *, by_hand: bool = False) -> StepRead:
    """A step as GetSaga shows it."""
    return StepRead(
        name=rule.name,
        service=rule.service,
        transaction=rule.transaction,
        compensation=rule.compensation,
        status=status,
        attempts=0,
        undo_attempts=0,
        by_hand=by_hand,
    )


def clean_run() -> Evidence:
    """One saga of every sort, and every sort of answer to a client and to an operator."""
    run = Run()
    _completed(Told(run, "done"))
    _refused(run, Told(run, "refused"))
    _cancelled(Told(run, "cancelled"))
    _dead(Told(run, "dead"))
    _dead(Told(run, "lenient", LENIENT), lenient=True)
    _late(run, Told(run, "late"))
    _resumed(run, Told(run, "resumed"))
    _retried(run, Told(run, "retried"))
    _given_up(run, Told(run, "given-up"))
    _vouched(run, Told(run, "vouched"))
    _left_out(run, Told(run, "left-out"))
    _stopped(Told(run, "stopped"))
    _skipped(Told(run, "skipped"))
    run.call("order-done", "ALREADY_EXISTS", "other content")
    run.call("order-malformed", "INVALID_ARGUMENT")
    run.call("order-unheard", "NONE")
    done = {"order-done": 100, "order-resumed": 100}
    at_rest = [read for read in run.reads if read.read_at == 3]
    return Evidence(
        ledger=tuple(run.ledger),
        calls=tuple(run.calls),
        reads=tuple(run.reads),
        definitions={ORDER.digest: ORDER, LENIENT.digest: LENIENT},
        restarts=1,
        actions=tuple(run.actions),
        dead_letters=frozenset(read.saga_id for read in at_rest if read.status == "DEAD_LETTERED"),
        books=Books(
            charged_nanos=done,
            reserved_pieces=done,
            ordered_nanos={saga.request_id: 100 for saga in run.sagas},
            ordered_pieces={saga.request_id: 100 for saga in run.sagas},
            stock_adds_up=True,
            money_adds_up=True,
        ),
        logs={"coordinator": "a saga has ended"},
        canaries=frozenset({"4111-secret"}),
    )


def _completed(saga: Told) -> None:
    saga.does("reserve", "charge", "notify", "ship")
    saga.seen("COMPLETED", 1)
    saga.ends("COMPLETED")


def _refused(run: Run, saga: Told) -> None:
    """Tried again once, then refused by the business; the attempt before may have had its effect."""
    saga.does("reserve")
    saga.begins("charge")
    retry_ns = EPOCH_NS + run.now_ns + SECOND_NS
    saga.event("STEP_FAULTED", "charge", attempt=1, code="UNAVAILABLE", retry_ns=retry_ns)
    run.tick(2 * SECOND_NS)
    saga.row("charge", "E", "refused")
    saga.event("STEP_REFUSED", "charge", "REFUSED", attempt=2, code="CARD_DECLINED")
    saga.seen("COMPENSATING", 1)
    saga.undoes("charge", outcome="null")
    saga.undoes("reserve")
    saga.ends("COMPENSATED")


def _cancelled(saga: Told) -> None:
    """Cancelled while a step that has no compensation is under way: it is barred, not undone."""
    saga.does("reserve", "charge")
    saga.begins("notify")
    saga.event("CANCEL_REQUESTED")
    saga.row("notify", "E", "applied")
    saga.undoes("notify", outcome="null")
    saga.row("notify", "E", "barred")
    saga.undoes("charge", "reserve")
    saga.row("reserve", "C", "duplicate")
    saga.ends("COMPENSATED")


def _dead(saga: Told, *, lenient: bool = False) -> None:
    """The last attempt of a step failed, and the undo of an earlier one is refused."""
    saga.does("reserve", "charge", "notify")
    saga.begins("ship")
    saga.event("STEP_FAULTED", "ship", "GIVEN_UP", attempt=1, code="UNIMPLEMENTED")
    saga.undoes("ship", outcome="null")
    saga.event("UNDO_BEGUN", "charge", "UNDOING")
    saga.row("charge", "C", "refused")
    saga.event("UNDO_REFUSED", "charge", "UNDO_FAILED", attempt=1)
    if lenient:
        saga.undoes("reserve")
    saga.ends("DEAD_LETTERED")


def _late(run: Run, saga: Told) -> None:
    saga.does("reserve")
    saga.begins("charge")
    run.tick(TTL_NS)
    saga.event("DEADLINE_PASSED")
    saga.undoes("charge", outcome="null")
    saga.undoes("reserve")
    saga.ends("COMPENSATED")


def _resumed(run: Run, saga: Told) -> None:
    """Killed between the effect of a step and its answer."""
    saga.does("reserve")
    saga.begins("charge")
    saga.row("charge", "E", "applied")
    saga.seen("RUNNING", 1)
    run.token += 1
    saga.event("SAGA_RESUMED")
    saga.row("charge", "E", "duplicate")
    saga.event("STEP_SUCCEEDED", "charge", "SUCCEEDED", attempt=2)
    saga.seen("RUNNING", 2)
    saga.does("notify", "ship")
    saga.ends("COMPLETED")


def _retried(run: Run, saga: Told) -> None:
    """The undo of a step is refused; an operator looks at it, asks in vain, and has it tried anew."""
    saga.does("reserve", "charge")
    saga.event("CANCEL_REQUESTED")
    saga.event("UNDO_BEGUN", "charge", "UNDOING")
    saga.row("charge", "C", "refused")
    saga.event("UNDO_REFUSED", "charge", "UNDO_FAILED", attempt=1)
    saga.seen("DEAD_LETTERED", 1)
    run.call(saga.request_id, "OK", saga_id=saga.saga_id, ended="FAILED")
    saga.asks("CANCEL", "", "FAILED_PRECONDITION")
    saga.asks("SKIP", "charge", "OK", only_asked=True, seq=len(run.reads[-1].timeline))
    saga.asks("FAIL", "charge", "UNAVAILABLE")
    saga.acts("RETRY", "charge", "UNDOING")
    saga.asks("RETRY", "charge", "OK", repeated=True, seq=len(run.reads[-1].timeline) + 1)
    saga.asks("RETRY", "charge", "ALREADY_EXISTS", reason="for another reason")
    saga.asks("COMPLETE", "charge", "ABORTED", seq_expected=1)
    saga.row("charge", "C", "applied")
    saga.event("STEP_COMPENSATED", "charge", "COMPENSATED", attempt=2)
    saga.seen("COMPENSATING", 2)
    saga.undoes("reserve")
    saga.seen("COMPENSATED", 3)


def _given_up(run: Run, saga: Told) -> None:
    """An undo that waits is given up by hand, and tried again under the same key."""
    saga.does("reserve")
    saga.acts("CANCEL")
    saga.event("UNDO_BEGUN", "reserve", "UNDOING")
    retry_ns = EPOCH_NS + run.now_ns + SECOND_NS // 2
    saga.event("UNDO_FAULTED", "reserve", attempt=1, code="UNAVAILABLE", retry_ns=retry_ns)
    saga.acts("FAIL", "reserve", "UNDO_FAILED")
    saga.seen("DEAD_LETTERED", 1)
    saga.acts("RETRY", "reserve", "UNDOING")
    saga.row("reserve", "C", "applied")
    saga.event("STEP_COMPENSATED", "reserve", "COMPENSATED", attempt=3)
    saga.ends("COMPENSATED")


def _vouched(run: Run, saga: Told) -> None:
    """A step that waits is asked at once, then passed by hand, and so is a later one."""
    saga.does("reserve")
    saga.begins("charge")
    retry_ns = EPOCH_NS + run.now_ns + SECOND_NS
    saga.event("STEP_FAULTED", "charge", attempt=1, code="UNAVAILABLE", retry_ns=retry_ns)
    saga.acts("RETRY", "charge")
    saga.event("STEP_FAULTED", "charge", attempt=2, code="UNAVAILABLE", retry_ns=retry_ns)
    saga.acts("COMPLETE", "charge", "SUCCEEDED", output='{"paid":true}')
    saga.begins("notify")
    saga.acts("SKIP", "notify", "SKIPPED")
    saga.does("ship")
    saga.ends("COMPLETED")


def _left_out(run: Run, saga: Told) -> None:
    """An undo that is refused is left out: the effect stands for good. Another is vouched for."""
    saga.does("reserve", "charge", "notify")
    saga.begins("ship")
    saga.acts("FAIL", "ship", "GIVEN_UP")
    saga.event("UNDO_BEGUN", "ship", "UNDOING")
    saga.acts("COMPLETE", "ship", "COMPENSATED")
    saga.event("UNDO_BEGUN", "charge", "UNDOING")
    saga.row("charge", "C", "refused")
    saga.event("UNDO_REFUSED", "charge", "UNDO_FAILED", attempt=1)
    saga.seen("DEAD_LETTERED", 2)
    saga.acts("SKIP", "charge", "UNDO_SKIPPED")
    saga.undoes("reserve")
    saga.ends("COMPENSATED")


def _skipped(saga: Told) -> None:
    """A saga that slept is taken up to skip a step; when it turns back, that is undone all the same."""
    saga.does("reserve")
    saga.begins("charge")
    saga.row("charge", "E", "applied")
    saga.event("SAGA_RESUMED")
    saga.acts("SKIP", "charge", "SKIPPED", unseen=1)
    saga.begins("notify")
    saga.acts("FAIL", "notify", "GIVEN_UP")
    saga.undoes("notify", outcome="null")
    saga.undoes("charge", "reserve")
    saga.ends("COMPENSATED")


def _stopped(saga: Told) -> None:
    """Terminated while a call is under way, whose effect comes after the client was told."""
    saga.does("reserve")
    saga.begins("charge")
    saga.acts("TERMINATE")
    saga.ends("TERMINATED")
    saga.row("charge", "E", "applied")


Change = Callable[[Evidence], Evidence]


def row(saga: str, step: str, operation: str, outcome: str, /, **changes: Any) -> Change:
    """The first such ledger row is another; without changes, it is gone."""

    def change(run: Evidence) -> Evidence:
        found = _row(run, saga, step, operation, outcome)
        others = (replace(found, **changes),) if changes else ()
        place = run.ledger.index(found)
        return replace(run, ledger=(*run.ledger[:place], *others, *run.ledger[place + 1 :]))

    return change


def row_again(saga: str, step: str, operation: str, outcome: str, /, **changes: Any) -> Change:
    """Such a row comes once more, last in its ledger and before its saga has ended, with changes."""

    def change(run: Evidence) -> Evidence:
        found = _row(run, saga, step, operation, outcome)
        newest = max(row.local_seq for row in run.ledger if row.service == found.service)
        at_ns = found.committed_ns
        late = replace(found, local_seq=newest + 1, arrived_ns=at_ns + 1, committed_ns=at_ns + 2)
        return replace(run, ledger=(*run.ledger, replace(late, **changes)))

    return change


def read(saga: str, read_at: int, /, **changes: Any) -> Change:
    """What a round of reads showed of a saga is another; without changes, it is gone."""

    def change(run: Evidence) -> Evidence:
        reads = []
        for one in run.reads:
            if (one.saga_id, one.read_at) != (f"saga-{saga}", read_at):
                reads.append(one)
            elif changes:
                reads.append(replace(one, **changes))
        return replace(run, reads=tuple(reads))

    return change


def record(saga: str, kind: str, step: str = "", /, **changes: Any) -> Change:
    """Such a journal record is another, in every read."""

    def changed(entry: TimelineRead) -> TimelineRead:
        return replace(entry, **changes) if (entry.type, entry.step) == (kind, step) else entry

    return _timeline(saga, lambda entries: tuple(map(changed, entries)))


def record_order(saga: str, *moves: tuple[str, str, str, str]) -> Change:
    """Two records change their places, in every read: (type, step) with (type, step)."""

    def swapped(entries: tuple[TimelineRead, ...]) -> tuple[TimelineRead, ...]:
        listed = list(entries)
        for kind, step, other_kind, other_step in moves:
            names = [(entry.type, entry.step) for entry in listed]
            one, other = names.index((kind, step)), names.index((other_kind, other_step))
            first, second = listed[one], listed[other]
            listed[one] = replace(second, seq=first.seq, time_ns=first.time_ns)
            listed[other] = replace(first, seq=second.seq, time_ns=second.time_ns)
        return tuple(listed)

    return _timeline(saga, swapped)


def call(request_id: str, code: str, /, **changes: Any) -> Change:
    """The first such attempt of a client went otherwise."""

    def change(run: Evidence) -> Evidence:
        found = next(made for made in run.calls if (made.request_id, made.code) == (request_id, code))
        calls = (replace(made, **changes) if made is found else made for made in run.calls)
        return replace(run, calls=tuple(calls))

    return change


def asked(saga: str, action_id: str, code: str, /, **changes: Any) -> Change:
    """The first such attempt of an operator went otherwise."""

    def change(run: Evidence) -> Evidence:
        wanted = (f"saga-{saga}", action_id, code)
        actions = run.actions or ()
        found = next(made for made in actions if (made.saga_id, made.action_id, made.code) == wanted)
        changed = (replace(made, **changes) if made is found else made for made in actions)
        return replace(run, actions=tuple(changed))

    return change


def asked_again(saga: str, action_id: str, code: str, /, **changes: Any) -> Change:
    """The first such attempt of an operator was made twice, the second time with changes."""

    def change(run: Evidence) -> Evidence:
        changed = asked(saga, action_id, code, **changes)(run)
        return replace(run, actions=(*(run.actions or ()), *(changed.actions or ())))

    return change


def act(saga: str, verb: str, /, **changes: Any) -> Change:
    """What the record of an operator's action says of it is another, in every read; `step` too."""
    of_record = {key: changes.pop(key) for key in ("step", "time_ns") if key in changes}

    def changed(entry: TimelineRead) -> TimelineRead:
        if entry.action is None or entry.action.verb != verb:
            return entry
        return replace(entry, action=replace(entry.action, **changes), **of_record)

    return _timeline(saga, lambda entries: tuple(map(changed, entries)))


def books(**changes: Any) -> Change:
    def change(run: Evidence) -> Evidence:
        assert run.books is not None
        return replace(run, books=replace(run.books, **changes))

    return change


def run_with(**changes: Any) -> Change:
    return lambda run: replace(run, **changes)


def both(*changes: Change) -> Change:
    def change(run: Evidence) -> Evidence:
        for one in changes:
            run = one(run)
        return run

    return change


def _row(run: Evidence, saga: str, step: str, operation: str, outcome: str) -> LedgerRow:
    wanted = (f"saga-{saga}", step, operation, outcome)
    return next(row for row in run.ledger if (row.saga_id, row.step, row.operation, row.outcome) == wanted)


def _timeline(saga: str, fold: Callable[[tuple[TimelineRead, ...]], tuple[TimelineRead, ...]]) -> Change:
    def change(run: Evidence) -> Evidence:
        reads = (
            replace(one, timeline=fold(one.timeline)) if one.saga_id == f"saga-{saga}" else one
            for one in run.reads
        )
        return replace(run, reads=tuple(reads))

    return change
