"""Whatever a definition says and participants answer, whenever time passes, the coordinator dies or a person
acts: the laws hold.

The driver here is as small as it can be: fold in the deadline first, then what follows without asking
anybody; begin what is due, send, fold the answers in, in whatever order they come. The world answers by the
barrier's rules, and a request that nobody waits for any more may still arrive later.
"""

import random
from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.domain.actions import Action, Effect, action_event, effect_of, possible_actions
from coordinator.domain.by_hand import FAILED_BY_HAND
from coordinator.domain.commands import Command, Invoke
from coordinator.domain.definition import OnCompensationFailure, SagaDefinition, StepKind
from coordinator.domain.errors import IllegalTransition
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    SagaResumed,
    StepBegun,
    StepFaulted,
    StepOmitted,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    Verb,
)
from coordinator.domain.ids import ActionId, FencingToken, StepName
from coordinator.domain.machine import Decision, decide, resume, start
from coordinator.domain.saga import Heading, Saga, Status, StepOutcome, StepState, UndoOutcome
from coordinator.domain.shaping import first_call
from coordinator.domain.summary import summarize
from coordinator.domain.verdicts import verdict
from coordinator.engine.dispatcher import call_for
from coordinator.ports.participants import Call
from coordinator.simulation.world import SUCCEEDS, Reaction, Reply, World
from tests.unit.machine.definitions import INPUT, OUTPUT, definitions
from tests.unit.machine.planned import check_plan
from tests.unit.machine.tale import BORN_AT, born, follows, only_paths
from tests.unit.machine.world import ancestors, judge


class AnySaga(RuleBasedStateMachine):
    """One saga, its world, and a driver that may die at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.now = BORN_AT
        self.in_flight: dict[StepName, tuple[Command, Call]] = {}
        self.hanging: list[Call] = []
        self.restarts = 0
        self.rows_at_end: int | None = None
        self.sent: list[Command] = []

    @initialize(definition=definitions(), peaceful_for=st.integers(0, 9))
    def a_saga_is_started(self, definition: SagaDefinition, peaceful_for: int) -> None:
        self.peaceful_for = peaceful_for
        self.definition = definition
        self.before = ancestors(definition)
        self.world.outputs = {step.name: OUTPUT for step in definition.steps}
        started = born(definition, saga_input=INPUT)
        self.history: list[Event] = [started]
        self.decision: Decision = start(definition, started)

    def fold(self, event: Event) -> None:
        before = self.decision.saga
        self.check_retry(before, event)
        self.check_beginning(before, event)
        self.decision = decide(before, event)
        self.history.append(event)
        after = self.decision.saga
        if before.heading is Heading.BACKWARD:
            assert after.heading is Heading.BACKWARD
            assert after.abort == before.abort
        if before.is_decided and after.abort is not None:
            pivot = next(step for step in after.steps if step.definition.kind is StepKind.PIVOT)
            said_no = pivot.outcome is StepOutcome.REFUSED or after.abort.code == FAILED_BY_HAND
            assert said_no, "I11: past its pivot nothing else turns it back"
        if before.status.is_final or not (before.status.is_open or isinstance(event, OperatorActed)):
            assert after.status is before.status, "I21: an end is final"
        for old, new in zip(before.steps, after.steps, strict=True):
            self.check_step(old, new)
            if new.outcome is StepOutcome.FAILED is not old.outcome:
                assert after.is_decided, "before the pivot nothing goes on behind a step that failed"
                self.check_failure(old, event)
        if isinstance(event, StepSucceeded):
            assert after.step(event.step).output == event.output, "an answer is folded in, however late"

    def check_step(self, old: StepState, new: StepState) -> None:
        assert new.attempt >= old.attempt, "attempts are counted on"
        assert not old.begun or (new.begun, new.input) == (True, old.input), "what is sent stays the same"
        refused = old.refused and new.outcome is None
        assert new.round == old.round + refused, "only a retried refusal begins a round"
        assert old.outcome in (None, StepOutcome.FAILED) or new.outcome is old.outcome
        if old.undo is not None and new.undo is not None:
            if not old.undo.unsendable:
                assert (new.undo.receipt, new.undo.input) == (old.undo.receipt, old.undo.input)
            assert new.undo.attempt >= old.undo.attempt, "attempts are counted on"
            refused = old.undo.refused and new.undo.outcome is None
            assert new.undo.round == old.undo.round + refused, "only a retried refusal begins a round"

    def check_failure(self, step: StepState, event: Event) -> None:
        """Past the pivot a step fails for good by a refusal, a spent budget, an expression or a person."""
        match event:
            case StepRefused():
                assert step.definition.kind is StepKind.RETRIABLE, "the pivot's no turns the saga back"
            case StepFaulted(at=at):
                budget_s = step.definition.retry.budget_s
                assert budget_s is not None
                assert at >= step.budget_from + budget_s, (
                    "every status is tried again until the budget is spent"
                )
            case _:
                assert isinstance(event, ExpressionFailed | OperatorActed)

    def check_retry(self, saga: Saga, event: Event) -> None:
        """A retry is planned inside the cap, and inside the budget if there is one (I24)."""
        match event:
            case StepFaulted(retry_at=retry_at) if retry_at is not None:
                state = saga.step(event.step)
                budget_s, cap_s = state.definition.retry.budget_s, state.definition.retry.max_backoff_s
                assert budget_s is None or retry_at <= state.budget_from + budget_s
            case UndoFaulted(retry_at=retry_at) if retry_at is not None:
                policy = saga.step(event.step).definition.compensation_retry
                undo = saga.step(event.step).undo
                assert undo is not None
                assert retry_at <= undo.budget_from + policy.budget_s
                cap_s = policy.max_backoff_s
            case _:
                return
        assert event.at <= retry_at <= event.at + cap_s

    def check_beginning(self, saga: Saga, event: Event) -> None:
        """A step begins when all it depends on is passed and there is room for it (I12)."""
        if isinstance(event, StepBegun | StepOmitted):
            assert saga.heading is Heading.FORWARD, "I11: no new Execute after the abort"
            assert all(saga.step(name).is_passed for name in self.before[event.step]), "I12"
            at_work = [
                step
                for step in saga.steps
                if step.begun and step.outcome is None and not (saga.is_decided and step.due_at)
            ]
            assert len(at_work) < saga.definition.parallel_max

    def has_come_far(self) -> bool:
        """Most sagas are left in peace at first, or there would be nothing to undo."""
        return len(self.history) > self.peaceful_for

    def may_be_acted_on(self) -> bool:
        status = self.decision.saga.status
        return not status.is_final and (self.has_come_far() or not status.is_open)

    def look_at_the_clock(self) -> None:
        saga = self.decision.saga
        is_late = saga.deadline_at is not None and self.now >= saga.deadline_at
        if is_late and saga.status is Status.RUNNING and not saga.is_overdue:
            self.fold(DeadlinePassed(self.now))

    def settle(self) -> None:
        self.look_at_the_clock()
        while (event := follows(self.decision.saga, self.now)) is not None:
            self.fold(event)

    def sendable(self) -> list[Command]:
        """What may be sent now: one call at a time for a step, and not more than its definition allows."""
        if len(self.in_flight) >= self.definition.parallel_max:
            return []
        return [
            command
            for command in self.decision.commands
            if command.step not in self.in_flight and (command.due_at is None or command.due_at <= self.now)
        ]

    @precondition(lambda self: self.decision.saga.status.is_open)
    @rule(place=st.integers(0, 6))
    def what_is_due_is_sent(self, place: int = 0) -> None:
        self.settle()
        ready = self.sendable()
        if not ready:
            return
        command = ready[place % len(ready)]
        event = first_call(self.decision.saga, command, only_paths, self.now)
        if event is not None:
            self.fold(event)
        if isinstance(event, ExpressionFailed):
            return
        assert command in self.decision.commands
        self.check_sending(command)
        self.sent.append(command)
        call = call_for(self.decision.saga, command, FencingToken(1 + self.restarts), "")
        if isinstance(event, StepBegun | UndoBegun) and event.input is not None:
            assert call.input == event.input, "I30: what is journaled is what is sent"
        self.in_flight[command.step] = (command, call)

    def check_sending(self, command: Command) -> None:
        saga = self.decision.saga
        state = saga.step(command.step)
        if isinstance(command, Invoke):
            assert saga.heading is Heading.FORWARD, "I11: no new Execute after the abort"
            assert saga.deadline_at is None or self.now < saga.deadline_at or saga.is_decided, "I23"
            assert state.begun
            # Being asked again while pending is no attempt, so it is the failures that are counted.
            attempts_max = state.definition.retry.max_attempts
            assert attempts_max is None or state.failures < attempts_max, "I24"
            assert state.lost <= self.restarts, "I24"
            return
        assert saga.heading is Heading.BACKWARD
        assert state.begun, "what was never begun is never compensated"
        assert state.undo is not None
        for later in saga.steps:
            if command.step in self.before[later.name]:
                settled = (
                    later.undo_outcome is not None
                    or not later.begun
                    or later.outcome is StepOutcome.REFUSED
                    or (later.outcome is StepOutcome.SUCCEEDED and later.definition.compensation is None)
                )
                assert settled, f"I13: {later.name} is not settled"
                passed_over = later.definition.on_compensation_failure is OnCompensationFailure.CONTINUE
                assert later.undo_outcome is not UndoOutcome.FAILED or passed_over, "a halt is a halt"

    @precondition(lambda self: self.in_flight)
    @rule(
        place=st.integers(0, 6),
        reaction=st.sampled_from([*[Reaction.SUCCEED] * 6, *Reaction]),
        jitter=st.floats(0.0, 0.99),
    )
    def a_participant_answers(self, place: int, reaction: Reaction, jitter: float) -> None:
        command, call = self.in_flight.pop(list(self.in_flight)[place % len(self.in_flight)])
        answer = self.world.deliver(call, Reply(reaction))
        if reaction is Reaction.LOSE_THE_REQUEST:
            self.hanging.append(call)
        self.look_at_the_clock()
        event = verdict(self.decision.saga, command, answer, at=self.now, draw=jitter)
        assert event is not None
        self.fold(event)

    @precondition(lambda self: self.decision.saga.status.is_open)
    @rule(times=st.integers(1, 4))
    def all_goes_well_for_a_while(self, times: int) -> None:
        for _ in range(times):
            if not self.in_flight:
                self.settle()
                if self.decision.commands:
                    self.now = max(self.now, self.decision.commands[0].due_at or 0.0)
                self.what_is_due_is_sent()
            if self.in_flight:
                self.a_participant_answers(0, Reaction.SUCCEED, 0.5)

    @precondition(lambda self: self.may_be_acted_on())
    @rule(verb=st.sampled_from(Verb), place=st.integers(0, 6), and_all_goes_well=st.booleans())
    def an_operator_acts(self, verb: Verb, place: int, and_all_goes_well: bool) -> None:
        """What is listed is what can be done, and what is told of it is what comes."""
        self.look_at_the_clock()
        saga = self.decision.saga
        self.what_can_be_done_is_what_is_listed(saga)
        names = [e.step for e in possible_actions(saga, at=self.now) if e.verb is verb]
        if not names:
            return
        number = len(saga.actions) + 1
        name = names[place % len(names)]
        action = Action(ActionId(f"act-{number}"), "ada", "why", len(self.history), verb, name)
        event = action_event(saga, action, seq=len(self.history), at=self.now)
        assert event is not None
        effect = effect_of(saga, event, only_paths)
        self.fold(event)
        self.rows_at_end = None
        self.cut_off_what_is_settled()
        assert action_event(self.decision.saga, action, seq=-1, at=self.now) is None, "I27: it acts once"
        assert effect.status_after is self.decision.saga.status
        assert effect.forced == self.decision.saga.forced
        if and_all_goes_well and not self.in_flight:
            self.what_was_told_comes_true(effect)

    def what_can_be_done_is_what_is_listed(self, saga: Saga) -> None:
        listed = [(e.verb, e.step) for e in possible_actions(saga, at=self.now)]
        steps: Sequence[StepName | None] = [None, *(step.name for step in saga.steps)]
        possible = [(verb, name) for verb in Verb for name in steps if self.is_accepted(saga, verb, name)]
        idle = [(Verb.CANCEL, None)] if saga.status is Status.COMPENSATING else []
        assert sorted(map(str, [*listed, *idle])) == sorted(map(str, possible))

    def is_accepted(self, saga: Saga, verb: Verb, name: StepName | None) -> bool:
        if (name is not None) == (verb in (Verb.CANCEL, Verb.TERMINATE)):
            return False  # nobody can ask for it: a message has a step, or has none
        action = Action(ActionId("try"), "ada", "why", 7, verb, name)
        try:
            event = action_event(saga, action, seq=7, at=self.now)
            assert event is not None
            decide(saga, event)
        except IllegalTransition:
            return False
        return True

    def cut_off_what_is_settled(self) -> None:
        saga = self.decision.saga
        for name in list(self.in_flight):
            step = saga.step(name)
            settled = (step.outcome if step.undo is None else step.undo.outcome) is not None
            if settled or saga.termination is not None:
                self.hanging.append(self.in_flight.pop(name)[1])

    def what_was_told_comes_true(self, effect: Effect) -> None:
        """As far as it can be told: not how long it takes, nor what expressions come to."""
        saga = self.decision.saga
        if saga.heading is Heading.FORWARD and saga.deadline_at is not None and not saga.is_decided:
            return
        sent_before, events_before = len(self.sent), len(self.history)
        while self.decision.saga.status.is_open:
            self.all_goes_well_for_a_while(1)
        if any(isinstance(e, StepOmitted | ExpressionFailed) for e in self.history[events_before:]):
            return
        # Steps that are independent of each other come in any order.
        assert sorted(c.key for c in self.sent[sent_before:]) == sorted(c.key for c in effect.planned)
        assert self.decision.saga.status is effect.status_in_the_end

    @precondition(lambda self: self.decision.saga.status.is_open and self.has_come_far())
    @rule()
    def it_is_set_aside_and_driven_on_by_hand(self) -> None:
        saga = self.decision.saga
        number = len(saga.actions) + 1
        action = Action(ActionId(f"act-{number}"), "ada", "mended", len(self.history), Verb.RETRY)
        event = action_event(saga, action, seq=len(self.history), at=self.now, set_aside=True)
        assert event is not None
        self.abandon_all()
        self.fold(event)

    def abandon_all(self) -> None:
        self.hanging += [call for _, call in self.in_flight.values()]
        self.in_flight.clear()
        self.restarts += 1

    @precondition(lambda self: self.hanging)
    @rule(place=st.integers(0, 9))
    def a_late_request_arrives(self, place: int) -> None:
        call = self.hanging.pop(place % len(self.hanging))
        self.world.deliver(call, SUCCEEDS)

    @precondition(lambda self: self.decision.saga.status.is_open)
    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: any(command.due_at for command in self.decision.commands))
    @rule()
    def it_is_time_to_ask_again(self) -> None:
        self.now = max(self.now, min(c.due_at for c in self.decision.commands if c.due_at is not None))

    @precondition(lambda self: self.definition.ttl_s is not None and self.has_come_far())
    @rule()
    def the_deadline_comes(self) -> None:
        self.now = max(self.now, self.decision.saga.deadline_at or 0.0)
        self.look_at_the_clock()

    @precondition(lambda self: self.decision.saga.status is Status.RUNNING and self.has_come_far())
    @rule()
    def somebody_cancels(self) -> None:
        self.look_at_the_clock()
        if self.decision.saga.status is not Status.RUNNING:
            return
        if self.decision.saga.is_decided:
            assert not self.is_accepted(self.decision.saga, Verb.CANCEL, None)
        else:
            self.fold(CancelRequested(self.now, "changed my mind"))

    @rule()
    def the_coordinator_dies_and_comes_back(self) -> None:
        self.decision = resume(self.definition, self.history)
        self.abandon_all()
        if self.decision.saga.status.is_open:
            self.fold(SagaResumed(self.now))

    @rule(seed=st.integers(0, 2**32), answers_come_late=st.booleans())
    def its_undo_is_planned(self, seed: int, answers_come_late: bool) -> None:
        saga = self.decision.saga
        under_way = [name for name, (command, _) in self.in_flight.items() if isinstance(command, Invoke)]
        late = under_way if answers_come_late and not saga.is_decided else []
        check_plan(saga, random.Random(seed), late=late)

    @invariant()
    def its_journal_tells_all(self) -> None:
        resumed = resume(self.definition, self.history)
        assert resumed == self.decision
        assert resumed.commands == self.decision.commands, "nothing is handed on that does not hold any more"

    @invariant()
    def nothing_is_forgotten(self) -> None:
        saga = self.decision.saga
        has_work = bool(self.decision.commands) or saga.awaits_output
        assert saga.status.is_open == has_work, "I20: an open saga has work, a closed one has none"
        keys = [command.key for command in self.decision.commands]
        assert len(set(keys)) == len(keys)

    @invariant()
    def its_row_agrees_with_it(self) -> None:
        saga = self.decision.saga
        row = summarize(self.decision, len(self.history))
        assert row.status is saga.status
        assert row.needs_person == (saga.status is Status.DEAD_LETTERED) or saga.status.is_open
        assert row.needs_person == (row.signature is not None)
        ended_by_hand = saga.status is Status.TERMINATED
        turned_back, stuck = saga.heading is Heading.BACKWARD, bool(saga.stuck)
        lacks_output = saga.status is Status.COMPLETED and saga.is_shaped and saga.output is None
        assert bool(row.error_message) == (turned_back or ended_by_hand or stuck or lacks_output)
        assert ended_by_hand == ("Terminated by ada (why)." in row.error_message)
        for name in (s.name for s in saga.steps if s.undo_outcome is UndoOutcome.SKIPPED):
            assert name in row.error_message.partition("Left in place by hand: ")[2]
        if saga.status is Status.DEAD_LETTERED:
            assert turned_back == ("Its undo needs a person:" in row.error_message)
        for step in saga.stuck:
            assert f"{step.definition.transaction} at" in row.error_message
        assert row.forced == saga.forced
        assert row.due_at is None or saga.status.is_open

    @invariant()
    def the_ledger_keeps_the_laws(self) -> None:
        saga = self.decision.saga
        judge(self.definition, saga, self.world)
        if not saga.status.is_open and not self.in_flight:
            standing = len([row for row in self.world.rows if row.outcome == "applied"])
            self.rows_at_end = standing if self.rows_at_end is None else self.rows_at_end
            may_come_late = saga.status is Status.DEAD_LETTERED or saga.forced
            assert standing == self.rows_at_end or may_come_late, "I21"

    def teardown(self) -> None:
        """Every late request arrives in the end, and then the laws hold all the same."""
        if not hasattr(self, "decision"):
            return
        for call in self.hanging:
            self.world.deliver(call, SUCCEEDS)
        self.the_ledger_keeps_the_laws()


TestAnySaga = AnySaga.TestCase
TestAnySaga.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(definitions(), st.integers(0, 2**32))
def test_any_saga_that_is_left_to_chance_comes_to_its_end_and_keeps_the_laws(
    definition: SagaDefinition, seed: int
) -> None:
    """The same walk, deeper: chance of the usual kind does not stop before there is something to undo."""
    dice = random.Random(seed)
    saga = AnySaga()
    saga.a_saga_is_started(definition, dice.randrange(dice.choice([6, 25])))
    actions_max, ease = dice.choice([0, 4, 12]), dice.choice([4, 20])

    def one_thing_happens() -> None:
        may_act = saga.may_be_acted_on() and len(saga.decision.saga.actions) < actions_max
        rests = not saga.decision.saga.status.is_open
        match dice.randrange(20):
            case which if may_act and (which in (4, 5, 6) or rests):
                # Seldom the end of it all, or little else would be seen.
                verb = dice.choices(list(Verb), weights=[8, 4, 4, 4, 1, 1])[0]
                saga.an_operator_acts(verb, dice.randrange(7), dice.random() < 0.2)
            case 7 if may_act and saga.decision.saga.status.is_open:
                saga.it_is_set_aside_and_driven_on_by_hand()
            case 0 if saga.has_come_far() and saga.decision.saga.status is Status.RUNNING:
                saga.somebody_cancels()
            case 1:
                saga.the_coordinator_dies_and_comes_back()
            case 2 if saga.hanging:
                saga.a_late_request_arrives(dice.randrange(10))
            case 3:
                saga.time_passes(dice.choice([0.1, 1.0, 5.0]))
            case 8:
                saga.its_undo_is_planned(dice.randrange(2**32), dice.random() < 0.5)
            case which if saga.in_flight and (which % 2 or not saga.sendable()):
                reaction = dice.choices(list(Reaction), weights=[ease, *[1] * (len(Reaction) - 1)])[0]
                saga.a_participant_answers(dice.randrange(7), reaction, dice.random())
            case _ if not rests:
                if saga.decision.commands and not saga.sendable():
                    saga.it_is_time_to_ask_again()
                saga.what_is_due_is_sent(dice.randrange(7))

    for _ in range(1_000):
        one_thing_happens()
        saga.its_journal_tells_all()
        saga.nothing_is_forgotten()
        saga.its_row_agrees_with_it()
        saga.the_ledger_keeps_the_laws()
        status = saga.decision.saga.status
        if status.is_final or (not status.is_open and len(saga.decision.saga.actions) >= actions_max):
            break
    assert not saga.decision.saga.status.is_open, "I19: it comes to an end"
    saga.teardown()
