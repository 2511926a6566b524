"""What becomes of one saga, from its start to its end, as its services answer."""

import asyncio
from itertools import pairwise

import pytest

from coordinator.domain.errors import DefinitionNotFound, InvalidRequest, SagaNotFound
from coordinator.domain.events import StepFaulted, StepPending, UndoBegun, UndoFaulted
from coordinator.domain.ids import SagaId
from coordinator.domain.outcomes import Faulted, NoProof, Pending, Refused, Unproved
from coordinator.domain.saga import Status
from coordinator.ports.participants import CompensateCall, ExecuteCall
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, define, soon, step

BUSY = Faulted("BUSY", "", None)
NO = Refused("NO", "the business says no")
SILENCE = NoProof(Unproved.TRANSIENT, "UNAVAILABLE", "")
DENIED = NoProof(Unproved.PERMANENT, "PERMISSION_DENIED", "")


async def test_an_order_runs_its_steps_in_order_and_is_completed() -> None:
    async with House(define("a", "b", "c")) as house:
        row = await house.run()
        assert row.status is Status.COMPLETED
        assert row.error_message == ""
        assert house.services.sent() == ["do a", "do b", "do c"]


async def test_a_step_begins_in_the_same_write_as_what_made_it_due() -> None:
    async with House(define("a", "b")) as house:
        saga_id = (await house.run()).id
        assert await house.told(saga_id) == [
            "SagaStarted",
            "StepBegun a",
            "StepSucceeded a",
            "StepBegun b",
            "StepSucceeded b",
        ]


async def test_a_refused_order_is_undone_in_reverse() -> None:
    async with House(define("a", "b", "c")) as house:
        house.services.plan("c", "do", Reaction.REFUSE)
        row = await house.run()
        assert row.status is Status.COMPENSATED
        assert house.services.sent() == ["do a", "do b", "do c", "undo b", "undo a"]
        assert row.error_message == (
            "c at c_service was refused: NO: the business says no. What was begun has been undone."
        )


async def test_a_step_is_sent_with_the_input_and_the_outputs_before_it_and_its_undo_with_its_receipt() -> (
    None
):
    async with House(define("a", "b")) as house:
        house.services.world.outputs["a"] = '{"room":7}'
        house.services.plan("b", "do", NO)
        await house.run()
        do_a, do_b, undo_a = house.services.calls
        assert isinstance(do_a, ExecuteCall)
        assert isinstance(undo_a, CompensateCall)
        assert do_a.input == '{"outputs":{},"value":1}'
        assert do_b.input == '{"outputs":{"a":{"room":7}},"value":1}'
        assert (undo_a.input, undo_a.receipt) == (do_a.input, '{"room":7}')
        assert (do_a.transaction, undo_a.compensation) == ("do_a", "undo_a")
        assert do_a.token == house.journal.token


async def test_a_faulted_step_is_tried_again_when_its_journal_says_so() -> None:
    async with House(define(step("a", wait_s=0.01))) as house:
        house.services.plan("a", "do", BUSY, Reaction.LOSE_THE_REPLY)
        sent_at: list[float] = []
        house.services.before_each = lambda call: sent_at.append(house.clock.now())
        saga_id = (await house.run()).id
        assert [call.attempt for call in house.services.calls] == [1, 2, 3]
        assert len({call.key for call in house.services.calls}) == 1
        planned = [e.retry_at for e in await house.history(saga_id) if isinstance(e, StepFaulted)]
        assert len(planned) == 2
        for retry_at, sent in zip(planned, sent_at[1:], strict=True):
            assert retry_at is not None
            assert sent >= retry_at
        assert house.services.world.count(saga_id, house.services.calls[0].step, "E", "duplicate") == 1


async def test_a_step_that_exhausts_its_attempts_is_given_up_and_undone() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", BUSY, SILENCE, BUSY)
        row = await house.run()
        assert house.services.sent() == ["do a", "do b", "do b", "do b", "undo b", "undo a"]
        assert row.status is Status.COMPENSATED


async def test_a_permanent_status_ends_the_step_without_another_attempt() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", Reaction.DENY)
        assert (await house.run()).status is Status.COMPENSATED
        assert house.services.sent() == ["do a", "do b", "undo b", "undo a"]


async def test_a_step_without_an_answer_in_time_is_tried_again() -> None:
    async with House(define(step("a", timeout_s=0.02))) as house:
        house.services.hold("a")
        assert (await house.run()).status is Status.COMPLETED
        assert house.services.timeouts_s == [0.02, 0.02]


async def test_a_pending_step_is_polled_with_the_same_key_and_attempt() -> None:
    async with House(define(step("a", attempts_max=1))) as house:
        house.services.plan("a", "do", *[Pending(0.02)] * 4)
        saga_id = (await house.run()).id
        assert [(call.key, call.attempt) for call in house.services.calls] == [
            (f"{saga_id}/a/execute", 1)
        ] * 5
        events = await house.history(saga_id)
        assert sum(isinstance(event, StepPending) for event in events) == 4


async def test_a_pending_undo_is_polled_until_it_is_done() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", NO)
        house.services.plan("a", "undo", Pending(0.02), Pending(0.02))
        assert (await house.run()).status is Status.COMPENSATED
        assert house.services.sent() == ["do a", "do b", "undo a", "undo a", "undo a"]


async def test_an_undo_that_is_refused_is_a_dead_letter_at_once() -> None:
    async with House(define("a", "b", "c")) as house:
        house.services.plan("c", "do", Reaction.REFUSE)
        house.services.plan("b", "undo", Reaction.REFUSE)
        row = await house.run()
        assert (row.status, row.needs_person) == (Status.DEAD_LETTERED, True)
        assert "undo_b at b_service failed for good; behind it wait: a." in row.error_message
        assert house.services.sent()[-1] == "undo b"


async def test_an_undo_whose_budget_is_spent_is_a_dead_letter() -> None:
    async with House(define(step("a", budget_s=0.03), "b")) as house:
        house.services.plan("b", "do", Reaction.REFUSE)
        house.services.otherwise = lambda call: (
            Reaction.LOSE_THE_REQUEST if isinstance(call, CompensateCall) else Reaction.SUCCEED
        )
        row = await house.run()
        assert row.status is Status.DEAD_LETTERED
        history = await house.history(row.id)
        (begun,) = (e for e in history if isinstance(e, UndoBegun))
        faults = [e for e in history if isinstance(e, UndoFaulted)]
        assert faults[-1].retry_at is None
        assert all(e.retry_at is not None and e.retry_at <= begun.at + 0.03 for e in faults[:-1])


async def test_a_failed_undo_that_may_be_passed_over_is_shown_at_once_while_the_rest_goes_on() -> None:
    async with House(define("a", step("b", on_failure="continue"), "c")) as house:
        house.services.plan("c", "do", Reaction.REFUSE)
        house.services.plan("b", "undo", Reaction.REFUSE)
        held = house.services.hold("a", "undo")
        saga_id = await house.start()
        await soon(held.arrived)
        row = (await house.sagas.get(saga_id)).summary
        assert (row.status, row.needs_person) == (Status.COMPENSATING, True)
        held.answer()
        assert (await house.end(saga_id)).status is Status.DEAD_LETTERED


async def test_the_undo_is_tried_again_on_any_status() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", Reaction.REFUSE)
        house.services.plan("a", "undo", DENIED, BUSY, SILENCE, Reaction.BABBLE)
        row = await house.run()
        assert row.status is Status.COMPENSATED
        assert house.services.sent().count("undo a") == 5
        assert row.flags == ("a: BROKEN_CONTRACT",)


async def test_a_step_with_nothing_to_undo_whose_outcome_is_unknown_is_barred_with_an_empty_name() -> None:
    async with House(define("a", step("b", undo=None, attempts_max=1))) as house:
        house.services.plan("b", "do", Reaction.LOSE_THE_REQUEST)
        assert (await house.run()).status is Status.COMPENSATED
        assert house.services.sent() == ["do a", "do b", "undo b", "undo a"]
        bar = house.services.calls[2]
        assert isinstance(bar, CompensateCall)
        assert (bar.compensation, bar.receipt) == (None, None)


async def test_a_step_with_nothing_to_undo_that_succeeded_is_sent_nothing() -> None:
    async with House(define("a", step("b", undo=None), "c")) as house:
        house.services.plan("c", "do", Reaction.REFUSE)
        assert (await house.run()).status is Status.COMPENSATED
        assert "undo b" not in house.services.sent()


async def test_a_long_saga_runs_to_its_end() -> None:
    steps = [step(f"s{number}", service="all") for number in range(150)]
    async with House(define(*steps)) as house:
        assert (await house.run()).status is Status.COMPLETED
        assert len(house.services.calls) == 150


async def test_what_is_wrong_with_a_request_is_said_before_anything_is_written() -> None:
    definition = define("a").model_copy()
    async with House(definition) as house:
        with pytest.raises(DefinitionNotFound):
            await house.sagas.start(house.wanted(name="Nothing"))
        wanted = house.wanted(request_id="r")
        with pytest.raises(InvalidRequest):
            await house.sagas.start(
                type(wanted)("test", wanted.request_id, "Order", None, {"outputs": 1}, True)
            )
        assert await house.store.requested("test", "r") is None  # type: ignore[arg-type]
        with pytest.raises(SagaNotFound):
            await house.sagas.get(SagaId("nobody"))
        with pytest.raises(SagaNotFound):
            await house.sagas.cancel(SagaId("nobody"), "")
        with pytest.raises(SagaNotFound):
            await house.sagas.wait(SagaId("nobody"), timeout_s=1)


async def test_the_records_of_a_saga_are_numbered_without_a_gap() -> None:
    async with House(define("a", "b")) as house:
        saga_id = (await house.run()).id
        numbers = [record.seq for record in await house.store.history(saga_id)]
        assert all(after == before + 1 for before, after in pairwise(numbers))
        assert numbers[0] == 1


async def test_sagas_do_not_wait_for_each_other() -> None:
    async with House(define("a")) as house:
        held = house.services.hold("a")
        slow = await house.start()
        await soon(held.arrived)
        others = await asyncio.gather(*(house.run() for _ in range(20)))
        assert {row.status for row in others} == {Status.COMPLETED}
        assert (await house.sagas.get(slow)).summary.status is Status.RUNNING
        held.answer()
        assert (await house.end(slow)).status is Status.COMPLETED
