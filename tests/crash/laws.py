"""What must hold of every run, wherever it was killed: the laws, and the end that it has without a crash.

A crash may swallow an answer, and the same question asked once more may be answered at another moment. So two
ends are the same if the saga says the same of itself, and the same is there and undone.
"""

from collections import Counter
from dataclasses import dataclass, replace

from coordinator.domain.events import StepBegun, UndoBegun
from coordinator.domain.ids import FencingToken, IdempotencyKey, StepName
from coordinator.domain.machine import resume
from coordinator.domain.saga import Status, StepOutcome, StepState, UndoOutcome
from coordinator.domain.summary import summarize
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.simulation.rehearsal import Rehearsed
from coordinator.simulation.world import SUCCEEDS
from tests.crash.shapes import Shape
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
    _hold_attempts_in_bounds(straight.run, run)
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
    replayed = resume(run.saga.definition, [record.event for record in run.records])
    assert replayed.saga == run.saga, "I30: the journal, replayed, tells another saga"
    row = summarize(replayed, len(numbers))
    assert row == run.summary, f"I28: the row says {run.summary}, and the journal {row}"


def _hold_of_the_calls(run: Rehearsed) -> None:
    begun: dict[tuple[StepName, bool], tuple[int, FencingToken]] = {}
    for record in run.records:
        if isinstance(record.event, StepBegun | UndoBegun):
            name = record.event.step, isinstance(record.event, StepBegun)
            begun.setdefault(name, (record.seq, record.token))
    contents: dict[IdempotencyKey, Call] = {}
    askers: dict[tuple[IdempotencyKey, int], FencingToken] = {}
    for call, durable in zip(run.calls, run.durable, strict=True):
        seq, token = begun.get(_name(call), (0, 0))
        assert 0 < seq <= durable, f"I12: {told(call)} was sent before it was durable that it begins"
        assert token <= call.token, f"I12: {told(call)} was sent, and begun under token {token}"
        content = replace(call, attempt=0, token=FencingToken(0))
        first = contents.setdefault(call.key, content)
        assert content == first, f"I15: {told(call)} came as {content} after {first}"
        asker = askers.setdefault((call.key, call.attempt), call.token)
        assert asker == call.token, f"I24: {told(call)} was made under token {asker} before"


def _hold_attempts_in_bounds(straight: Rehearsed, run: Rehearsed) -> None:
    """A restart may cost one more attempt of what was under way, and no more."""
    expected = Counter(map(_name, straight.calls))
    for name, calls in Counter(map(_name, run.calls)).items():
        most = expected[name] + run.killed
        assert calls <= most, f"I24: {calls} calls of {name[0]}, where {run.killed} restarts allow for {most}"
    for call in run.calls:
        policy = run.saga.step(call.step).definition.retry.max_attempts
        if isinstance(call, ExecuteCall) and policy is not None:
            most = policy + run.killed
            assert call.attempt <= most, f"I24: {told(call)}, where {run.killed} restarts allow for {most}"


def told(call: Call) -> str:
    """A call in a few words."""
    way = "do" if isinstance(call, ExecuteCall) else "undo"
    return f"{way} {call.step}, attempt {call.attempt} under token {call.token}"


def _name(call: Call) -> tuple[StepName, bool]:
    """What it asks for: a step, or its undo."""
    return call.step, isinstance(call, ExecuteCall)
