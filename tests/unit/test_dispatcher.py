"""Calls as they are sent, and the slots they are sent in."""

import asyncio
from collections.abc import Awaitable

import pytest

from coordinator.adapters.no_telemetry import NoTelemetry
from coordinator.domain.events import StepSucceeded
from coordinator.domain.ids import FencingToken, StepName
from coordinator.domain.outcomes import Answer, Direction, Succeeded
from coordinator.engine.dispatcher import Dispatcher, Load, call_for
from coordinator.ports.participants import (
    Call,
    CompensateCall,
    Description,
    ExecuteCall,
    Probe,
    Reach,
    Told,
)
from tests.unit.machine.tale import FAULT, Tale, define, step

TOKEN = FencingToken(7)


class Recorder:
    """Participants that answer once they are let."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, float]] = []
        self.go = asyncio.Event()

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        self.calls.append((call, timeout_s))
        await self.go.wait()
        return Succeeded("null")

    async def probe(self, service: str) -> Probe:
        return Probe("", Reach.SERVING)

    async def describe(self, service: str) -> Description:
        return Description(Told.UNIMPLEMENTED)


class Counts(NoTelemetry):
    """Notes what is told of attempts."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Direction, Answer, float]] = []

    def attempt_ended(
        self, service: str, direction: Direction, answer: Answer, duration_s: float, trace: str
    ) -> None:
        self.told.append((service, direction, answer, duration_s))


async def settled() -> None:
    """All that can happen now has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


def sent(tale: Tale) -> Call:
    assert tale.next is not None
    return call_for(tale.saga, tale.next, TOKEN, "")


def test_an_execute_carries_what_the_contract_says() -> None:
    tale = Tale(define("a", "b")).does('{"room":7}').begins()
    assert sent(tale) == ExecuteCall(
        key=tale.decision.commands[0].key,
        saga_id=tale.saga.id,
        saga_name="Order",
        service="b_service",
        step=tale.saga.steps[1].name,
        transaction="do_b",
        attempt=1,
        token=TOKEN,
        input='{"n":1,"outputs":{"a":{"room":7}}}',
    )


def test_a_compensate_carries_the_input_of_its_execute_and_the_frozen_receipt() -> None:
    tale = Tale(define("a", "b")).begins()
    execute = sent(tale)
    tale.is_cancelled().begins()
    assert sent(tale) == CompensateCall(
        key=tale.decision.commands[0].key,
        saga_id=tale.saga.id,
        saga_name="Order",
        service="a_service",
        step=tale.saga.steps[0].name,
        compensation="undo_a",
        attempt=1,
        token=TOKEN,
        input=execute.input,
        receipt=None,
    )


def test_the_receipt_stays_what_was_frozen_when_a_late_answer_comes_after_it() -> None:
    tale = Tale(define("a", "b")).begins().is_cancelled().begins()
    first = sent(tale)
    tale.happens(StepSucceeded(tale.now, StepName("a"), 1, '"late"'))
    assert sent(tale) == first


def test_only_the_number_of_the_attempt_changes_from_one_attempt_to_the_next() -> None:
    tale = Tale(define("a", "b")).begins()
    first = sent(tale)
    second = sent(tale.is_answered(FAULT).is_resumed())
    assert isinstance(first, ExecuteCall)
    assert isinstance(second, ExecuteCall)
    assert (first.attempt, second.attempt) == (1, 3)
    assert {name for name in vars(first) if getattr(first, name) != getattr(second, name)} == {"attempt"}


def test_a_bar_carries_no_name() -> None:
    tale = Tale(define(step("a", undo=None))).begins().is_cancelled().begins()
    call = sent(tale)
    assert isinstance(call, CompensateCall)
    assert call.compensation is None


def test_an_undo_is_not_sent_before_it_is_begun() -> None:
    tale = Tale(define("a", "b")).does("1").is_cancelled()
    with pytest.raises(ValueError, match="before it is begun"):
        sent(tale)


class Broken(Recorder):
    """A bug of ours."""

    def perform(self, call: Call, *, timeout_s: float) -> Awaitable[Answer]:  # type: ignore[override]
        raise RuntimeError("a bug")


async def test_a_call_that_cannot_even_begin_keeps_no_slot() -> None:
    dispatcher = Dispatcher(Broken(), NoTelemetry(), calls_per_service_max=1)
    call = sent(Tale(define("a")).begins())
    assert dispatcher.try_slot(call.service)
    with pytest.raises(RuntimeError):
        _ = dispatcher.send(call, timeout_s=1.0, over=lambda _: None)
    assert dispatcher.loads() == {call.service: Load(in_flight=0, queued=0)}


def test_slots_are_counted_per_service_and_handed_on_in_turn() -> None:
    dispatcher = Dispatcher(Recorder(), NoTelemetry(), calls_per_service_max=2)
    assert dispatcher.try_slot("one")
    assert dispatcher.try_slot("one")
    assert not dispatcher.try_slot("one")
    assert dispatcher.try_slot("two")
    granted: list[str] = []
    for name in ("first", "second", "third"):
        dispatcher.await_slot("one", lambda name=name: granted.append(name))  # type: ignore[misc]
    dispatcher.free_slot("one")
    assert granted == ["first"]
    dispatcher.free_slot("one")
    assert not dispatcher.try_slot("one"), "somebody waits for it"
    dispatcher.free_slot("one")
    assert granted == ["first", "second", "third"]
    dispatcher.free_slot("one")
    dispatcher.free_slot("one")
    assert dispatcher.try_slot("one")


def test_whoever_leaves_the_queue_is_granted_nothing() -> None:
    dispatcher = Dispatcher(Recorder(), NoTelemetry(), calls_per_service_max=1)
    assert dispatcher.try_slot("one")
    granted: list[str] = []

    def first() -> None:
        granted.append("first")

    def second() -> None:
        granted.append("second")

    dispatcher.await_slot("one", first)
    dispatcher.await_slot("one", second)
    dispatcher.leave_queue("one", first)
    dispatcher.leave_queue("one", first)
    dispatcher.leave_queue("elsewhere", first)
    dispatcher.free_slot("one")
    assert granted == ["second"]


async def test_the_slot_of_a_call_is_free_when_it_is_over_however_it_ended() -> None:
    recorder = Recorder()
    dispatcher = Dispatcher(recorder, NoTelemetry(), calls_per_service_max=1)
    call = sent(Tale(define("a")).begins())
    over: list[Answer | BaseException] = []

    assert dispatcher.try_slot("a_service")
    never_ran = dispatcher.send(call, timeout_s=1, over=over.append)
    never_ran.cancel()
    await settled()
    assert dispatcher.try_slot("a_service")

    abandoned = dispatcher.send(call, timeout_s=1, over=over.append)
    await asyncio.sleep(0)
    abandoned.cancel()
    await settled()
    assert dispatcher.try_slot("a_service")

    recorder.go.set()
    dispatcher.send(call, timeout_s=2.5, over=over.append)
    await settled()
    assert recorder.calls[-1] == (call, 2.5)
    assert dispatcher.try_slot("a_service")
    assert over == [Succeeded("null")], "nobody is told of what was abandoned"


async def test_an_attempt_is_told_once_with_the_time_from_its_sending_to_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder, counts = Recorder(), Counts()
    dispatcher = Dispatcher(recorder, counts, calls_per_service_max=2)
    tale = Tale(define("a")).begins()
    execute, compensate = sent(tale), sent(tale.is_cancelled().begins())
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    for call in (execute, compensate):
        assert dispatcher.try_slot("a_service")
        recorder.go.clear()
        now += 40.0
        dispatcher.send(call, timeout_s=1, over=lambda _: None)
        await settled()
        now += 2.5
        recorder.go.set()
        await settled()
    assert counts.told == [
        ("a_service", Direction.FORWARD, Succeeded("null"), 2.5),
        ("a_service", Direction.UNDO, Succeeded("null"), 2.5),
    ]


async def test_a_call_that_is_abandoned_is_no_attempt_that_ended() -> None:
    recorder, counts = Recorder(), Counts()
    dispatcher = Dispatcher(recorder, counts, calls_per_service_max=1)
    assert dispatcher.try_slot("a_service")
    under_way = dispatcher.send(sent(Tale(define("a")).begins()), timeout_s=1, over=lambda _: None)
    await settled()
    under_way.cancel()
    await settled()
    assert len(recorder.calls) == 1
    assert counts.told == []


def test_the_load_of_a_service_is_its_slots_in_use_and_who_waits_for_one() -> None:
    dispatcher = Dispatcher(Recorder(), NoTelemetry(), calls_per_service_max=2)
    assert dispatcher.loads() == {}
    for _ in range(2):
        assert dispatcher.try_slot("one")
    assert dispatcher.try_slot("two")
    dispatcher.await_slot("one", lambda: None)
    assert dispatcher.loads() == {"one": Load(2, 1), "two": Load(1, 0)}
    for _ in range(3):
        dispatcher.free_slot("one")
    dispatcher.free_slot("two")
    assert dispatcher.loads() == {"one": Load(0, 0), "two": Load(0, 0)}
