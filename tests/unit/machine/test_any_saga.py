"""Whatever participants answer, whenever time passes, the coordinator dies or a person acts: the laws hold.

The driver here is as small as it can be: fold the deadline in first, begin what is due, send, fold the
answer in. The world answers by the barrier's rules, and a request that nobody waits for any more may
still arrive later.
"""

import random
from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.domain.actions import Action, Effect, action_event, effect_of, possible_actions
from coordinator.domain.commands import Command, Compensate, Invoke
from coordinator.domain.definition import OnCompensationFailure, SagaDefinition
from coordinator.domain.errors import IllegalTransition
from coordinator.domain.events import (
    CancelRequested,
    DeadlinePassed,
    Event,
    OperatorActed,
    SagaResumed,
    StepBegun,
    StepFaulted,
    UndoBegun,
    UndoFaulted,
    Verb,
)
from coordinator.domain.ids import ActionId, FencingToken, StepName
from coordinator.domain.machine import Decision, decide, resume, start
from coordinator.domain.saga import Heading, Saga, Status, StepOutcome, UndoOutcome
from coordinator.domain.summary import summarize
from coordinator.domain.verdicts import verdict
from coordinator.engine.dispatcher import call_for
from coordinator.ports.participants import Call
from tests.unit.machine.tale import BORN_AT, born, define, step
from tests.unit.machine.world import Reaction, World, judge

STEPS = st.builds(
    lambda undo, attempts_max, on_failure, budget_s: (undo, attempts_max, on_failure, budget_s),
    st.sampled_from(["", None]),
    st.integers(1, 3),
    st.sampled_from(["halt", "continue"]),
    st.sampled_from([0.001, 3.0, 60.0]),
)


@st.composite
def definitions(draw: st.DrawFn) -> SagaDefinition:
    shapes = draw(st.lists(STEPS, min_size=1, max_size=5))
    return define(
        *(
            step(name, undo=undo, attempts_max=attempts_max, on_failure=on_failure, budget_s=budget_s)
            for name, (undo, attempts_max, on_failure, budget_s) in zip("abcde", shapes, strict=False)
        ),
        ttl_s=draw(st.none() | st.sampled_from([4.0, 300.0])),
    )


class AnySaga(RuleBasedStateMachine):
    """One saga, its world, and a driver that may die at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.now = BORN_AT
        self.in_flight: tuple[Command, Call] | None = None
        self.hanging: list[Call] = []
        self.restarts = 0
        self.rows_at_end: int | None = None
        self.sent: list[Command] = []

    @initialize(definition=definitions(), peaceful_for=st.integers(0, 9))
    def a_saga_is_started(self, definition: SagaDefinition, peaceful_for: int) -> None:
        self.peaceful_for = peaceful_for
        self.definition = definition
        self.history: list[Event] = [born(definition)]
        self.decision: Decision = start(definition, born(definition))

    def fold(self, event: Event) -> None:
        before = self.decision.saga
        self.check_retry(before, event)
        self.decision = decide(before, event)
        self.history.append(event)
        after = self.decision.saga
        if before.heading is Heading.BACKWARD:
            assert after.heading is Heading.BACKWARD
            assert after.abort == before.abort
        if before.status.is_final or not (before.status.is_open or isinstance(event, OperatorActed)):
            assert after.status is before.status, "I21: an end is final"
        for old, new in zip(before.steps, after.steps, strict=True):
            if old.undo is not None and new.undo is not None:
                assert new.undo.receipt == old.undo.receipt, "a receipt stays frozen"
                assert new.undo.attempt >= old.undo.attempt, "attempts are counted on"
                refused = old.undo.refused and new.undo.outcome is None
                assert new.undo.round == old.undo.round + refused, "only a retried refusal begins a round"

    def check_retry(self, saga: Saga, event: Event) -> None:
        """A retry is planned inside the cap, and that of an undo inside its budget (I24)."""
        match event:
            case StepFaulted(retry_at=retry_at) if retry_at is not None:
                cap_s = saga.step(event.step).definition.retry.max_backoff_s
            case UndoFaulted(retry_at=retry_at) if retry_at is not None:
                policy = saga.step(event.step).definition.compensation_retry
                undo = saga.step(event.step).undo
                assert undo is not None
                assert retry_at <= undo.budget_from + policy.budget_s
                cap_s = policy.max_backoff_s
            case _:
                return
        assert event.at <= retry_at <= event.at + cap_s

    def has_come_far(self) -> bool:
        """Most sagas are left in peace at first, or there would be nothing to undo."""
        return len(self.history) > self.peaceful_for

    def may_be_acted_on(self) -> bool:
        status = self.decision.saga.status
        return not status.is_final and (self.has_come_far() or not status.is_open)

    def look_at_the_clock(self) -> None:
        saga = self.decision.saga
        if saga.status is Status.RUNNING and saga.deadline_at is not None and self.now >= saga.deadline_at:
            self.fold(DeadlinePassed(self.now))

    def sendable(self) -> bool:
        command = next(iter(self.decision.commands), None)
        return (
            self.in_flight is None
            and command is not None
            and (command.due_at is None or command.due_at <= self.now)
        )

    @precondition(lambda self: self.in_flight is None and self.decision.commands)
    @rule()
    def what_is_due_is_sent(self) -> None:
        self.look_at_the_clock()
        if not self.sendable():
            return
        command = self.decision.commands[0]
        state = self.decision.saga.step(command.step)
        if isinstance(command, Invoke) and not state.begun:
            self.fold(StepBegun(self.now, command.step))
        if isinstance(command, Compensate) and state.undo is None:
            self.fold(UndoBegun(self.now, command.step, state.output))
        assert command in self.decision.commands
        self.check_sending(command)
        self.sent.append(command)
        call = call_for(self.decision.saga, command, FencingToken(1 + self.restarts))
        self.in_flight = (command, call)

    def check_sending(self, command: Command) -> None:
        saga, order = self.decision.saga, [s.name for s in self.definition.steps]
        place = order.index(command.step)
        state = saga.steps[place]
        if isinstance(command, Invoke):
            assert saga.heading is Heading.FORWARD, "I11: no new Execute after the abort"
            assert saga.deadline_at is None or self.now < saga.deadline_at, "I23"
            assert state.begun
            assert all(s.is_passed for s in saga.steps[:place]), "I12"
            # Being asked again while pending is no attempt, so it is the failures that are counted.
            assert state.failures < state.definition.retry.max_attempts, "I24"
            assert state.lost <= self.restarts, "I24"
        else:
            assert saga.heading is Heading.BACKWARD
            assert state.begun, "what was never begun is never compensated"
            assert state.undo is not None
            for later in saga.steps[place + 1 :]:
                settled = (
                    later.undo_outcome is not None
                    or not later.begun
                    or later.outcome is StepOutcome.REFUSED
                    or (later.outcome is StepOutcome.SUCCEEDED and later.definition.compensation is None)
                )
                assert settled, f"I13: {later.name} is not settled"
                passed_over = later.definition.on_compensation_failure is OnCompensationFailure.CONTINUE
                assert later.undo_outcome is not UndoOutcome.FAILED or passed_over, "a halt is a halt"

    @precondition(lambda self: self.in_flight is not None)
    @rule(reaction=st.sampled_from([*[Reaction.SUCCEED] * 6, *Reaction]), jitter=st.floats(0.0, 0.99))
    def the_participant_answers(self, reaction: Reaction, jitter: float) -> None:
        assert self.in_flight is not None
        command, call = self.in_flight
        self.in_flight = None
        answer = self.world.deliver(call, reaction)
        if reaction is Reaction.LOSE_THE_REQUEST:
            self.hanging.append(call)
        self.look_at_the_clock()
        event = verdict(self.decision.saga, command, answer, at=self.now, draw=jitter)
        assert event is not None
        self.fold(event)

    @precondition(lambda self: self.in_flight is None and self.decision.commands)
    @rule(times=st.integers(1, 4))
    def all_goes_well_for_a_while(self, times: int) -> None:
        for _ in range(times):
            if self.decision.commands:
                self.now = max(self.now, self.decision.commands[0].due_at or 0.0)
            self.what_is_due_is_sent()
            if self.in_flight is None:
                return
            self.the_participant_answers(Reaction.SUCCEED, 0.5)

    @precondition(lambda self: self.may_be_acted_on())
    @rule(verb=st.sampled_from(Verb), place=st.integers(0, 4), and_all_goes_well=st.booleans())
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
        effect = effect_of(saga, event)
        self.fold(event)
        self.rows_at_end = None
        self.cut_off_what_is_settled()
        assert action_event(self.decision.saga, action, seq=-1, at=self.now) is None, "I27: it acts once"
        assert effect.status_after is self.decision.saga.status
        assert effect.forced == self.decision.saga.forced
        if and_all_goes_well and self.in_flight is None:
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
        if self.in_flight is None:
            return
        command, call = self.in_flight
        step, terminated = self.decision.saga.step(command.step), self.decision.saga.termination is not None
        if terminated or (step.outcome if step.undo is None else step.undo.outcome) is not None:
            self.hanging.append(call)
            self.in_flight = None

    def what_was_told_comes_true(self, effect: Effect) -> None:
        saga = self.decision.saga
        if saga.heading is Heading.FORWARD and saga.deadline_at is not None:
            return  # no plan tells how long it takes
        sent_before = len(self.sent)
        while self.decision.commands:
            self.all_goes_well_for_a_while(1)
        assert [c.key for c in self.sent[sent_before:]] == [c.key for c in effect.planned]
        assert self.decision.saga.status is effect.status_in_the_end

    @precondition(lambda self: self.decision.saga.status.is_open and self.has_come_far())
    @rule()
    def it_is_set_aside_and_driven_on_by_hand(self) -> None:
        saga = self.decision.saga
        number = len(saga.actions) + 1
        action = Action(ActionId(f"act-{number}"), "ada", "mended", len(self.history), Verb.RETRY)
        event = action_event(saga, action, seq=len(self.history), at=self.now, set_aside=True)
        assert event is not None
        if self.in_flight is not None:
            self.hanging.append(self.in_flight[1])
            self.in_flight = None
        self.restarts += 1
        self.fold(event)

    @precondition(lambda self: self.hanging)
    @rule(place=st.integers(0, 9))
    def a_late_request_arrives(self, place: int) -> None:
        call = self.hanging.pop(place % len(self.hanging))
        self.world.deliver(call, Reaction.SUCCEED)

    @precondition(lambda self: self.decision.saga.status.is_open)
    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.decision.commands and self.decision.commands[0].due_at)
    @rule()
    def it_is_time_to_ask_again(self) -> None:
        self.now = max(self.now, self.decision.commands[0].due_at or 0.0)

    @precondition(lambda self: self.definition.ttl_s is not None and self.has_come_far())
    @rule()
    def the_deadline_comes(self) -> None:
        self.now = max(self.now, self.decision.saga.deadline_at or 0.0)
        self.look_at_the_clock()

    @precondition(lambda self: self.decision.saga.status is Status.RUNNING and self.has_come_far())
    @rule()
    def somebody_cancels(self) -> None:
        self.look_at_the_clock()
        if self.decision.saga.status is Status.RUNNING:
            self.fold(CancelRequested(self.now, "changed my mind"))

    @rule()
    def the_coordinator_dies_and_comes_back(self) -> None:
        self.decision = resume(self.definition, self.history)
        self.restarts += 1
        if self.in_flight is not None:
            self.hanging.append(self.in_flight[1])
            self.in_flight = None
        saga = self.decision.saga
        if saga.status.is_open:
            self.fold(SagaResumed(self.now))

    @invariant()
    def its_journal_tells_all(self) -> None:
        assert resume(self.definition, self.history) == self.decision

    @invariant()
    def nothing_is_forgotten(self) -> None:
        is_open = self.decision.saga.status.is_open
        assert is_open == bool(self.decision.commands), "I20: an open saga has work, a closed one has none"
        keys = [command.key for command in self.decision.commands]
        assert len(set(keys)) == len(keys)

    @invariant()
    def its_row_agrees_with_it(self) -> None:
        saga = self.decision.saga
        row = summarize(self.decision, len(self.history))
        assert row.status is saga.status
        assert row.needs_person == (saga.status is Status.DEAD_LETTERED) or saga.status is Status.COMPENSATING
        ended_by_hand = saga.status is Status.TERMINATED
        assert bool(row.error_message) == (saga.heading is Heading.BACKWARD or ended_by_hand)
        assert ended_by_hand == ("Terminated by ada (why)." in row.error_message)
        for name in (s.name for s in saga.steps if s.undo_outcome is UndoOutcome.SKIPPED):
            assert name in row.error_message.partition("Left in place by hand: ")[2]
        assert (saga.status is Status.DEAD_LETTERED) <= ("Its undo needs a person:" in row.error_message)
        assert row.forced == saga.forced
        assert row.due_at is None or saga.status.is_open

    @invariant()
    def the_ledger_keeps_the_laws(self) -> None:
        saga = self.decision.saga
        judge(self.definition, saga, self.world)
        if not saga.status.is_open and self.in_flight is None:
            standing = len([row for row in self.world.rows if row.outcome == "applied"])
            self.rows_at_end = standing if self.rows_at_end is None else self.rows_at_end
            may_come_late = saga.status is Status.DEAD_LETTERED or saga.forced
            assert standing == self.rows_at_end or may_come_late, "I21"

    def teardown(self) -> None:
        """Every late request arrives in the end, and then the laws hold all the same."""
        if not hasattr(self, "decision"):
            return
        for call in self.hanging:
            self.world.deliver(call, Reaction.SUCCEED)
        self.the_ledger_keeps_the_laws()


TestAnySaga = AnySaga.TestCase
TestAnySaga.settings = settings(
    max_examples=100,
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
                saga.an_operator_acts(verb, dice.randrange(5), dice.random() < 0.2)
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
            case _ if saga.in_flight is not None:
                reaction = dice.choices(list(Reaction), weights=[ease, *[1] * (len(Reaction) - 1)])[0]
                saga.the_participant_answers(reaction, dice.random())
            case _ if saga.decision.commands:
                saga.now = max(saga.now, saga.decision.commands[0].due_at or 0.0)
                saga.what_is_due_is_sent()

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
