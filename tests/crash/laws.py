"""What must hold of every run, wherever it was killed: the laws, and the end that it has without a crash.

A crash may swallow an answer, and the same question asked once more may be answered at another moment. So two
ends are the same if the saga says the same of itself, and the same is there and undone.
"""

from collections import Counter
from dataclasses import dataclass, replace

from coordinator.domain.events import (
    StepBegun,
    StepFaulted,
    StepPending,
    UndoBegun,
    UndoFaulted,
    UndoPending,
    Verb,
)
from coordinator.domain.ids import FencingToken, IdempotencyKey, StepName
from coordinator.domain.machine import resume
from coordinator.domain.saga import Status, StepOutcome, StepState, UndoOutcome
from coordinator.domain.summary import summarize
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.simulation.rehearsal import Rehearsed
from coordinator.simulation.world import SUCCEEDS
from tests.crash.shapes import Shape, asked
from tests.unit.machine.world import judge


@dataclass(frozen=True)
class End:
    """What is left at the end of a run, and what is said of it."""

    status: Status
    error_message: str
    needs_person: bool
    forced: bool
    output: str | None
    fates: tuple[tuple[StepName, str, str | None], ...]
    """Of each step what became of it, and what it answered if that stands."""
    stands: frozenset[StepName]
    """The steps whose effects are there, by the services' own ledger."""


@dataclass(frozen=True)
class Straight:
    """A run without a crash, and its end."""

    run: Rehearsed
    end: End


def end_of(run: Rehearsed) -> End:
    """What *run* came to."""
    saga, world = run.saga, run.world
    return End(
        status=run.summary.status,
        error_message=_without_null_undos(run.summary.error_message),
        needs_person=run.summary.needs_person,
        forced=run.summary.forced,
        output=saga.output,
        fates=tuple(map(_fate, saga.steps)),
        stands=frozenset(world.applied(saga.id, "E") - world.applied(saga.id, "C")),
    )


def hold(shape: Shape, straight: Straight, run: Rehearsed) -> None:
    """Raise AssertionError unless all that must hold holds of *run*. Its ledger is of no use after this."""
    _hold_of_what_was_told(run)
    _hold_of_the_journal(run)
    _hold_of_the_calls(run)
    _hold_of_the_data(shape, straight.run, run)
    _hold_attempts_in_bounds(straight.run, run)
    _hold_waits(run)
    _hold_undo_of_all_that_was_begun(run)
    judge(run.saga.definition, run.saga, run.world)
    end = end_of(run)
    if not run.killed or end.status not in shape.crash_may:
        assert end == straight.end, f"it ended as {end}, and without a crash as {straight.end}"
        # What was flagged may have been known to the dead alone.
        added = set(run.summary.flags) - set(straight.run.summary.flags)
        assert not added, f"it was flagged {added}, and without a crash it was not"
    # All that was ever sent comes once more, and late.
    for call in run.calls:
        run.world.deliver(call, SUCCEEDS)
    judge(run.saga.definition, run.saga, run.world)


def _without_null_undos(message: str) -> str:
    """A step that was refused may have been asked before by somebody who died: then it is barred, and
    that is an undo, too."""
    for nothing, something in (
        ("Nothing had to be undone.", "What was begun has been undone."),
        ("Nothing else had to be undone.", "What else was begun has been undone."),
    ):
        message = message.replace(nothing, something)
    return message


def _fate(step: StepState) -> tuple[StepName, str, str | None]:
    if step.undo_outcome is UndoOutcome.COMPENSATED or step.outcome is StepOutcome.REFUSED:
        return step.name, "leaves nothing", None
    if step.undo_outcome is not None:
        return step.name, f"undo {step.undo_outcome.name}", None
    return step.name, "untouched" if step.outcome is None else step.outcome.name, step.output


def _hold_of_what_was_told(run: Rehearsed) -> None:
    for told_of, durable in run.told:
        assert told_of <= durable, f"I1: record {told_of} was told of when {durable} was the newest on disk"


def _hold_of_the_journal(run: Rehearsed) -> None:
    numbers = [record.seq for record in run.records]
    assert numbers == list(range(1, len(numbers) + 1)), f"I25: the records are numbered {numbers}"
    tokens = [record.token for record in run.records]
    assert tokens == sorted(tokens), f"I26: an older coordinator wrote behind a newer one: {tokens}"
    assert list(run.tokens) == sorted(set(run.tokens)), f"I26: the coordinators had the tokens {run.tokens}"
    replayed = resume(run.saga.definition, [record.event for record in run.records])
    assert replayed.saga == run.saga, "I30: the journal, replayed, tells another saga"
    row = summarize(replayed, len(numbers))
    assert row == run.summary, f"I28: the row says {run.summary}, and the journal {row}"


def _hold_of_the_calls(run: Rehearsed) -> None:
    begun: dict[str, tuple[int, FencingToken]] = {}
    for record in run.records:
        if isinstance(record.event, StepBegun | UndoBegun):
            way = "do" if isinstance(record.event, StepBegun) else "undo"
            begun.setdefault(f"{way} {record.event.step}", (record.seq, record.token))
    keys: dict[str, set[IdempotencyKey]] = {}
    contents: dict[IdempotencyKey, Call] = {}
    askers: dict[tuple[IdempotencyKey, int], FencingToken] = {}
    for call, durable in zip(run.calls, run.durable, strict=True):
        seq, token = begun.get(asked(call), (0, 0))
        assert 0 < seq <= durable, f"I12: {told(call)} was sent before it was durable that it begins"
        assert token <= call.token, f"I12: {told(call)} was sent, and begun under token {token}"
        known = keys.setdefault(asked(call), set())
        known.add(call.key)
        assert len(known) <= 1 + _retries(run, call.step), f"I14: {told(call)} came under one of {known}"
        content = replace(call, attempt=0, token=FencingToken(0))
        first = contents.setdefault(call.key, content)
        assert content == first, f"I15: {told(call)} came as {content} after {first}"
        asker = askers.setdefault((call.key, call.attempt), call.token)
        assert asker == call.token, f"I24: {told(call)} was made under token {asker} before"


def _hold_of_the_data(shape: Shape, straight: Rehearsed, run: Rehearsed) -> None:
    """A call carries what it does in a run without a crash, and what its shape says."""
    expected = {**{asked(call): call.input for call in straight.calls}, **shape.gets}
    for call in run.calls:
        given = expected.get(asked(call), call.input)
        assert call.input == given, f"I16: {told(call)} was given {call.input}, where {given} was to be given"


def _hold_attempts_in_bounds(straight: Rehearsed, run: Rehearsed) -> None:
    """A restart may cost one more attempt of what was under way, and no more."""
    expected = Counter(map(asked, straight.calls))
    for name, calls in Counter(map(asked, run.calls)).items():
        most = expected[name] + run.killed
        assert calls <= most, f"I24: {calls} calls to {name}, where {run.killed} restarts allow for {most}"
    for call in run.calls:
        policy = run.saga.step(call.step).definition.retry.max_attempts
        if isinstance(call, ExecuteCall) and policy is not None:
            most = policy + run.killed
            assert call.attempt <= most, f"I24: {told(call)}, where {run.killed} restarts allow for {most}"


def _hold_waits(run: Rehearsed) -> None:
    """Nobody is asked again sooner than the journal says, but for a person's retry; and nothing goes forward
    after the deadline, but past the pivot."""
    for record in run.records:
        event = record.event
        match event:
            case StepFaulted(retry_at=float(due_at)) | StepPending(ask_at=due_at):
                name = f"do {event.step}"
            case UndoFaulted(retry_at=float(due_at)) | UndoPending(ask_at=due_at):
                name = f"undo {event.step}"
            case _:
                continue
        for call, durable, sent_at in zip(run.calls, run.durable, run.sent_at, strict=True):
            if asked(call) == name and durable >= record.seq and not _retries(run, event.step):
                assert sent_at >= due_at, (
                    f"I24: {told(call)} was made at {sent_at} s, and was due at {due_at} s"
                )
    if run.saga.deadline_at is not None and run.saga.definition.pivot is None:
        for call, sent_at in zip(run.calls, run.sent_at, strict=True):
            is_late = isinstance(call, ExecuteCall) and sent_at >= run.saga.deadline_at
            assert not is_late, f"I23: {told(call)} was made at {sent_at} s, after the deadline"


def _hold_undo_of_all_that_was_begun(run: Rehearsed) -> None:
    """What a saga has begun is undone when it turns back, but for what was refused at the only attempt that
    was ever begun: an earlier one may still come."""
    if run.saga.status is not Status.COMPENSATED:
        return
    undone = {call.step for call in run.calls if not isinstance(call, ExecuteCall)}
    for step in run.saga.steps:
        attempts = [call.attempt for call in run.calls if asked(call) == f"do {step.name}"]
        stands = step.outcome is StepOutcome.SUCCEEDED and step.definition.compensation is None
        is_refused_once = step.outcome is StepOutcome.REFUSED and set(attempts) == {1}
        if attempts and not (stands or is_refused_once or step.is_forced):
            assert step.name in undone, f"I10: {step.name} was begun, and nobody was asked to undo it"


def _retries(run: Rehearsed, name: StepName) -> int:
    """How often a person had the step, or its undo, asked again."""
    return sum(action.verb is Verb.RETRY and action.step == name for action in run.saga.actions)


def told(call: Call) -> str:
    """A call in a few words."""
    return f"{asked(call)}, attempt {call.attempt} under token {call.token}"
