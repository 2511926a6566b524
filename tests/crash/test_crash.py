"""A slice of the enumeration (`make crash` does all of it), and each of its laws broken once."""

import sqlite3
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import count
from typing import Any, Final

import pytest

from coordinator.adapters.sqlite.group import Append
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain.events import Event, SagaResumed
from coordinator.domain.ids import FencingToken, IdempotencyKey
from coordinator.domain.saga import Status
from coordinator.engine.driver import Driver
from coordinator.ports.deferred import Deferred
from coordinator.ports.participants import Call
from coordinator.simulation import disk
from coordinator.simulation.boundaries import Kill
from coordinator.simulation.databases import Databases
from coordinator.simulation.rehearsal import Rehearsed, rehearse
from coordinator.simulation.world import SUCCEEDS, Reply, Row
from tests.crash.laws import End, Straight, end_of, hold
from tests.crash.rows import Violation, crash, play, played
from tests.crash.shapes import PENDS_LONG, SHAPES, Shape

BY_NAME: Final = {shape.name: shape for shape in SHAPES}
SLICE: Final = (
    "three steps",
    "out of attempts, where one more would have done",
    "an undo is retried",
    "cancelled during a call",
    "an undo that was refused is asked again by hand",
    "out of time while nobody is up",
    "two undone side by side, one of them in vain",
    "the pivot is in doubt",
    "past the pivot a refusal is skipped by hand",
    "mappings for an undo",
)
"""Something of everything that a saga can go through."""


def test_every_shape_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(SHAPES) >= 40


@pytest.mark.parametrize("shape", SHAPES, ids=BY_NAME)
def test_a_saga_that_is_not_killed_ends_as_its_shape_says(shape: Shape) -> None:
    play(shape)


@pytest.mark.parametrize("name", SLICE)
def test_a_saga_that_is_killed_anywhere_ends_all_the_same(name: str) -> None:
    row = crash(BY_NAME[name], pairs=False)
    # Each write is killed in at least six ways, and each call in two.
    assert row.kills > 2 * row.boundaries


def test_a_saga_that_is_killed_twice_ends_all_the_same() -> None:
    row = crash(BY_NAME["one step"])
    assert row.pairs > row.kills**2 / 10


# The laws can be broken, and that is seen.


def test_an_end_that_the_shape_does_not_tell_of_is_seen() -> None:
    shape = BY_NAME["an undo is refused"]
    for wrong in (
        replace(shape, ends=Status.COMPENSATED),
        replace(shape, says="It went well."),
        replace(shape, stands=""),
        replace(shape, yields="null"),
        replace(shape, gets={"undo a": "null"}),
    ):
        with pytest.raises(Violation):
            play(wrong)


def test_a_saga_that_is_another_one_the_second_time_is_seen() -> None:
    numbers = count()

    class Moody(Shape):
        def script(self, call: Call, number: int) -> Reply:
            return replace(SUCCEEDS, takes_s=float(next(numbers)))

    shape = BY_NAME["one step"]
    with pytest.raises(Violation, match="another run"):
        play(Moody(shape.name, shape.definition, shape.ends, stands=shape.stands))


def test_a_kill_that_does_not_come_is_seen() -> None:
    shape = BY_NAME["one step"]
    with pytest.raises(Violation, match="1 kills were meant, and 0 came"):
        played(shape, play(shape), {1_000: Kill()}, before=[])


def test_a_run_that_is_another_one_before_it_is_killed_is_seen() -> None:
    shape, other = BY_NAME["one step"], play(BY_NAME["two side by side"])
    with pytest.raises(Violation, match="another run already"):
        played(shape, play(shape), {6: Kill()}, before=other.run.passed)


def test_a_run_that_comes_to_no_end_tells_how_far_it_came() -> None:
    shape = replace(BY_NAME["one step"], answers={"do a": [PENDS_LONG]})
    with pytest.raises(Violation, match=r"5000 steps did not get it there(.|\n)*record 2 (.|\n)*do_a"):
        play(shape)


def _again(run: Rehearsed, **changed: Any) -> Rehearsed:
    """*run*, in which the first call was made once more, and differed in this."""
    return replace(
        run,
        calls=[*run.calls, replace(run.calls[0], **changed)],
        durable=[*run.durable, run.durable[-1]],
        sent_at=[*run.sent_at, run.sent_at[-1]],
    )


def _without_its_last_call(run: Rehearsed) -> Rehearsed:
    return replace(run, calls=run.calls[:-1], durable=run.durable[:-1], sent_at=run.sent_at[:-1])


def _undone_first(run: Rehearsed) -> Rehearsed:
    first = run.world.rows[0]
    run.world.rows.insert(0, Row(first.saga, first.step, "C", "applied"))
    return run


DOCTORED: Final[dict[str, tuple[str, Callable[[Rehearsed], Rehearsed]]]] = {
    "I1": ("one step", lambda run: replace(run, told=[(9, 3)])),
    "I8": ("one step", _undone_first),
    "I10: a was begun": ("the last is refused", _without_its_last_call),
    "I12: do a, attempt 1 under token 1 was sent before": (
        "one step",
        lambda run: replace(run, durable=[1]),
    ),
    "I12: do a, attempt 1 under token 0 was sent, and": (
        "one step",
        lambda run: _again(run, token=FencingToken(0)),
    ),
    "I14": ("one step", lambda run: _again(run, key=IdempotencyKey("k"))),
    "I15": ("one step", lambda run: _again(run, input="{}")),
    "I16: do a": (
        "one step",
        lambda run: replace(run, calls=[replace(run.calls[0], input="{}")]),
    ),
    "I23": ("out of time while it waits", lambda run: replace(run, sent_at=[2 * run.sent_at[0]] * 4)),
    "I24: do a, attempt 9": (
        "one step",
        lambda run: replace(run, calls=[replace(run.calls[0], attempt=9)]),
    ),
    "I24: 2 calls to do a": ("one step", lambda run: _again(run)),
    "I24: do a, attempt 1 under token 2 was made": (
        "one step",
        lambda run: _again(run, token=FencingToken(2)),
    ),
    "I24: do a, attempt 2 under token 1 was made": (
        "retried, then it succeeds",
        lambda run: replace(run, sent_at=[run.sent_at[0]] * 3),
    ),
    "I25": ("one step", lambda run: replace(run, records=run.records[1:])),
    "I26: the coordinators": (
        "one step",
        lambda run: replace(run, tokens=[FencingToken(1), FencingToken(1)]),
    ),
    "I26: an older": (
        "one step",
        lambda run: replace(run, records=[replace(run.records[0], token=FencingToken(9)), *run.records[1:]]),
    ),
    "I28": ("one step", lambda run: replace(run, summary=replace(run.summary, needs_person=True))),
    "I30": ("one step", lambda run: replace(run, saga=replace(run.saga, flags=("a: BARRED",)))),
}


@pytest.mark.parametrize("law", DOCTORED)
def test_a_run_that_breaks_a_law_is_seen(law: str) -> None:
    name, doctor = DOCTORED[law]
    run = rehearse(BY_NAME[name].rehearsal())
    straight = Straight(run, end_of(run))
    with pytest.raises(AssertionError, match=law):
        hold(BY_NAME[name], straight, doctor(run))


@pytest.mark.parametrize("part", [part.name for part in fields(End)])
def test_an_end_that_is_not_that_of_a_run_without_a_crash_is_seen(part: str) -> None:
    shape = BY_NAME["an undo is refused"]
    run = rehearse(shape.rehearsal())
    other: dict[str, Any] = {part: "something else"}
    with pytest.raises(AssertionError, match="and without a crash as"):
        hold(shape, Straight(run, replace(end_of(run), **other)), run)


def test_a_flag_that_a_run_without_a_crash_does_not_have_is_seen() -> None:
    shape = BY_NAME["a broken answer"]
    run = rehearse(shape.rehearsal())
    without = replace(run, summary=replace(run.summary, flags=()))
    with pytest.raises(AssertionError, match="it was flagged"):
        hold(shape, Straight(without, end_of(run)), run)


# A coordinator that is broken is found out.


def _is_found_out(name: str, law: str) -> None:
    with pytest.raises(Violation, match=law):
        crash(BY_NAME[name], pairs=False)


def test_a_recovery_that_forgets_what_was_under_way_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = Driver._fold

    def forget(driver: Driver, event: Event) -> None:
        if not isinstance(event, SagaResumed):
            fold(driver, event)

    monkeypatch.setattr(Driver, "_fold", forget)
    _is_found_out("two steps", "I24")


def test_a_call_that_is_sent_before_it_is_durable_that_it_begins_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Driver._write

    def send_first(driver: Driver) -> None:
        driver._send(driver.clock.now())
        write(driver)

    monkeypatch.setattr(Driver, "_write", send_first)
    _is_found_out("two steps", "I12")


def test_an_answer_that_is_given_before_it_is_durable_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(writer: Writer, entry: Any) -> Deferred[Any]:
        writer._queue.append((entry, Deferred()))
        writer._news.set()
        at_once = Deferred[Any]()
        at_once.settle(entry.row.seq if isinstance(entry, Append) else None)
        return at_once

    monkeypatch.setattr(Writer, "write", write)
    _is_found_out("one step", "I1: ")


def test_a_group_that_can_be_torn_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Database(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            cursor = super().execute(sql, parameters)
            if sql.startswith(("INSERT", "UPDATE")) and self.in_transaction:
                super().execute("COMMIT")
                super().execute("BEGIN")
            return cursor

    monkeypatch.setattr(disk, "_DATABASES", Databases(Database, disk._lay_out))
    _is_found_out("one step", "torn after")
