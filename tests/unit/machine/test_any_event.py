"""The machine is total: any event at any time is folded in or refused as illegal, and nothing else."""

from typing import get_args

import hypothesis.strategies as st
from hypothesis import example, given, settings

from coordinator.domain.commands import Command, Compensate, Invoke
from coordinator.domain.definition import SagaDefinition, StepKind
from coordinator.domain.errors import IllegalTransition
from coordinator.domain.events import (
    CancelRequested,
    Cause,
    DeadlinePassed,
    Event,
    ExpressionFailed,
    OperatorActed,
    OutputShaped,
    PivotBegun,
    SagaResumed,
    SagaStarted,
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepOmitted,
    StepPending,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoPending,
    UndoRefused,
    Verb,
)
from coordinator.domain.ids import ActionId, StepName
from coordinator.domain.machine import decide, resume, start
from coordinator.domain.outcomes import Answer, Faulted, NoProof, Pending, Refused, Succeeded, Unproved
from coordinator.domain.saga import Status
from coordinator.domain.summary import summarize
from coordinator.domain.verdicts import verdict
from tests.unit.machine.tale import BORN_AT, born, define, step

DEFINITIONS = st.sampled_from(
    [
        define("a"),
        define("a", "b", ttl_s=10.0),
        define("a", step("b", undo=None, on_failure="continue"), "c", ttl_s=5.0),
        SagaDefinition(
            name="Order",
            ttl_s=10.0,
            max_parallel=2,
            output={"of": "input.n"},
            steps=(
                step("a", depends_on=[], when="input.n > 0"),
                step("b", depends_on=[]),
                step("c", depends_on=["a", "b"], kind=StepKind.PIVOT),
                step("d", undo=None, depends_on=["c"], kind=StepKind.RETRIABLE),
                step("e", undo=None, depends_on=["c"], kind=StepKind.RETRIABLE),
            ),
        ),
    ]
)
AT = st.sampled_from([BORN_AT - 1, BORN_AT, BORN_AT + 5, BORN_AT + 10, BORN_AT + 11])
STEP = st.sampled_from([StepName(name) for name in ("a", "b", "c", "d", "e", "nowhere", "")])
NUMBER = st.integers(-1, 4)
TEXT = st.sampled_from(["", "X", "{}"])
MAYBE_AT = st.none() | AT
EVENTS: list[st.SearchStrategy[Event]] = [
    st.just(born(define("a"))),
    st.builds(SagaResumed, AT),
    st.builds(CancelRequested, AT, TEXT),
    st.builds(DeadlinePassed, AT),
    st.builds(StepBegun, AT, STEP),
    st.builds(PivotBegun, AT, STEP),
    st.builds(StepOmitted, AT, STEP),
    st.builds(ExpressionFailed, AT, st.none() | STEP, TEXT, TEXT),
    st.builds(OutputShaped, AT, TEXT),
    st.builds(StepSucceeded, AT, STEP, NUMBER, TEXT),
    st.builds(StepRefused, AT, STEP, NUMBER, TEXT, TEXT),
    st.builds(StepPending, AT, STEP, NUMBER, AT),
    st.builds(StepFaulted, AT, STEP, NUMBER, st.sampled_from(Cause), TEXT, TEXT, MAYBE_AT),
    st.builds(UndoBegun, AT, STEP, st.none() | TEXT),
    st.builds(StepCompensated, AT, STEP, NUMBER),
    st.builds(UndoRefused, AT, STEP, NUMBER, TEXT, TEXT),
    st.builds(UndoPending, AT, STEP, NUMBER, AT),
    st.builds(UndoFaulted, AT, STEP, NUMBER, st.sampled_from(Cause), TEXT, TEXT, MAYBE_AT),
    st.builds(
        OperatorActed,
        AT,
        st.sampled_from(Verb),
        st.just(ActionId("act-1")),
        TEXT,
        TEXT,
        st.none() | STEP,
        st.none() | TEXT,
    ),
]
ANSWERS: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Succeeded, TEXT),
    st.builds(Refused, TEXT, TEXT),
    st.builds(Pending, st.none() | st.floats()),
    st.builds(Faulted, TEXT, TEXT, st.none() | st.floats()),
    st.builds(NoProof, st.sampled_from(Unproved), TEXT, TEXT),
)


def test_no_kind_of_event_is_left_out_here() -> None:
    assert len(EVENTS) == len(get_args(Event))
    assert SagaStarted in get_args(Event)


@settings(max_examples=400, deadline=None)
@given(DEFINITIONS, st.lists(st.one_of(EVENTS), max_size=30))
def test_any_event_is_folded_in_or_refused_as_illegal(
    definition: SagaDefinition, events: list[Event]
) -> None:
    decision = start(definition, born(definition))
    history: list[Event] = [born(definition)]
    for event in events:
        status = decision.saga.status
        try:
            decision = decide(decision.saga, event)
        except IllegalTransition:
            continue
        history.append(event)
        by_hand = isinstance(event, OperatorActed) and status is Status.DEAD_LETTERED
        assert status.is_open or by_hand or decision.saga.status is status
        assert decision.saga.status.is_open == bool(decision.commands or decision.saga.awaits_output)
        assert (decision.saga.status is Status.DEAD_LETTERED) <= decision.saga.needs_person
        summarize(decision, len(history))
        assert resume(definition, history) == decision


@settings(deadline=None)
@given(ANSWERS, st.booleans(), st.floats(0.0, 1.0, exclude_max=True))
@example(Pending(float("nan")), False, 0.5)
@example(Faulted("", "", float("nan")), True, 0.5)
def test_any_answer_to_a_call_that_was_sent_amounts_to_a_legal_event(
    answer: Answer, undoing: bool, draw: float
) -> None:
    definition = define("a", "b")
    decision = start(definition, born(definition))
    happened: list[Event] = [StepBegun(BORN_AT, StepName("a"))]
    if undoing:
        happened += [CancelRequested(BORN_AT, ""), UndoBegun(BORN_AT, StepName("a"), None)]
    for event in happened:
        decision = decide(decision.saga, event)
    (command,) = decision.commands
    assert isinstance(command, get_args(Command))
    assert isinstance(command, Compensate if undoing else Invoke)
    outcome = verdict(decision.saga, command, answer, at=BORN_AT, draw=draw)
    if outcome is None:
        assert isinstance(answer, NoProof)
        return
    after = decide(decision.saga, outcome)
    for following in after.commands:
        # Not "due_at > now is false", which is how a moment that is no number would slip through.
        assert following.due_at is None or following.due_at >= BORN_AT
