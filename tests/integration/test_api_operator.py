"""What operators do over a real socket: what is told beforehand, what comes of it, and who is refused how."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

import grpc.aio
import pytest
from grpc import StatusCode

from coordinator.adapters.event_codec import decode
from coordinator.domain.events import Event, StepSucceeded
from coordinator.domain.ids import SagaId
from coordinator.domain.outcomes import Answer, Pending, Succeeded
from coordinator.ports.journal import Piece
from coordinator.ports.participants import CompensateCall, Description, Probe, Reach, Told
from saga.orders.v1 import orders_pb2
from saga.v1 import coordinator_pb2, operator_pb2_grpc
from saga.v1 import operator_pb2 as pb
from saga.v1.types_pb2 import EventType, OperatorVerb, Saga, SagaStatus, StepStatus
from tests.integration.api_harness import (
    REFUSED,
    TOKEN,
    UNREACHABLE,
    Coordinator,
    coordinator,
    order,
    refusal,
)

if TYPE_CHECKING:
    from saga.v1.operator_pb2_grpc import OperatorServiceAsyncStub

NONSENSE: Final = cast(Answer, object())
"""An answer that no adapter gives: the driver breaks on it, and its saga is set aside."""

SUCCEEDS: Final[Sequence[Answer]] = ()
"""No script: what a participant answers then."""

REQUESTS: Final[dict[str, Any]] = {
    "RetryStep": pb.RetryStepRequest,
    "SkipStep": pb.SkipStepRequest,
    "CompleteStep": pb.CompleteStepRequest,
    "FailStep": pb.FailStepRequest,
    "CancelSaga": pb.OperatorServiceCancelSagaRequest,
    "TerminateSaga": pb.TerminateSagaRequest,
}
_numbers = count(1)


def operator(c: Coordinator) -> "OperatorServiceAsyncStub":
    return operator_pb2_grpc.OperatorServiceStub(c.channel)


def an_action(seq: int, **changed: Any) -> pb.Action:
    fields = {
        "action_id": f"act-{next(_numbers)}",
        "actor": "ada",
        "reason": "she knows",
        "expected_seq": seq,
    }
    return pb.Action(**{**fields, **changed})


async def call(c: Coordinator, rpc: str, **fields: Any) -> pb.ActionResult:
    answer = await getattr(operator(c), rpc)(REQUESTS[rpc](**fields))
    result: pb.ActionResult = answer.result
    return result


async def act(c: Coordinator, rpc: str, saga_id: str, step: str = "", **fields: Any) -> pb.ActionResult:
    """Do it as somebody who has just looked."""
    seq = (await c.get(saga_id)).seq
    if step:
        fields["step"] = step
    return await call(c, rpc, saga_id=saga_id, **{"action": an_action(seq), **fields})


async def dead_letter(c: Coordinator, order_id: str = "o-1") -> orders_pb2.PlaceOrderResponse:
    """An order whose card was refused, and then the release of its stock."""
    c.participants.answer("charge", REFUSED)
    c.participants.answer("releaseStock", REFUSED)
    answer = await c.orders.PlaceOrder(order(order_id))
    assert status(answer.saga_status) == "DEAD_LETTERED"
    return answer


async def being_asked(c: Coordinator, name: str = "bookSeat") -> str:
    """A trip whose second step is being asked."""
    c.participants.hold(name)
    saga_id = await c.start()
    await c.participants.called(name)
    return saga_id


async def set_aside(c: Coordinator) -> str:
    c.participants.answer("bookSeat", NONSENSE)
    saga_id = await c.start()
    saga = await c.ended(saga_id)
    assert (status(saga.status), saga.needs_person) == ("DEAD_LETTERED", True)
    return saga_id


def status(value: SagaStatus.ValueType) -> str:
    return SagaStatus.Name(value).removeprefix("SAGA_STATUS_")


def steps(saga: Saga) -> dict[str, str]:
    return {s.name: StepStatus.Name(s.status).removeprefix("STEP_STATUS_") for s in saga.steps}


# Each verb


async def test_a_retried_dead_letter_is_undone_and_everybody_is_told() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        before = len(c.participants.calls)
        c.participants.answer("releaseStock", *SUCCEEDS)
        result = await act(c, "RetryStep", answer.saga_id, "reserveStock")
        assert (result.repeated, result.effect.forced) == (False, False)
        saga = await c.ended(answer.saga_id)
        assert (status(saga.status), saga.needs_person, saga.forced) == ("COMPENSATED", False, False)
        keys = [made.key for _, made in c.participants.calls[before:]]
        assert [planned.idempotency_key for planned in result.effect.planned_calls] == keys
        assert keys[0].endswith("/reserveStock/compensate/2")
        again = await c.orders.PlaceOrder(order())
    assert (again.status, status(again.saga_status)) == (orders_pb2.FAILED, "COMPENSATED")
    assert again.error_message.endswith("What was begun has been undone.")


@pytest.mark.parametrize(
    ("rpc", "ends", "forced", "after"),
    [
        ("SkipStep", "COMPLETED", True, {"bookRoom": "SUCCEEDED", "bookSeat": "SKIPPED"}),
        ("CompleteStep", "COMPLETED", True, {"bookRoom": "SUCCEEDED", "bookSeat": "SUCCEEDED"}),
        ("FailStep", "COMPENSATED", False, {"bookRoom": "COMPENSATED", "bookSeat": "COMPENSATED"}),
        ("TerminateSaga", "TERMINATED", True, {"bookRoom": "SUCCEEDED", "bookSeat": "BEGUN"}),
    ],
)
async def test_each_verb_on_a_step_that_is_being_asked(
    rpc: str, ends: str, forced: bool, after: dict[str, str]
) -> None:
    async with coordinator() as c:
        saga_id = await being_asked(c)
        result = await act(c, rpc, saga_id, "" if rpc == "TerminateSaga" else "bookSeat")
        assert result.HasField("effect")
        assert result.saga.seq > 0
        saga = await c.ended(saga_id)
        assert (status(saga.status), saga.forced, steps(saga)) == (ends, forced, after)
        assert status(result.effect.status_in_the_end) == ends
        (entry,) = [entry for entry in saga.timeline if entry.HasField("operator_action")]
        done = entry.operator_action
        assert (done.actor, done.reason, done.action_id[:4]) == ("ada", "she knows", "act-")
        assert (
            OperatorVerb.Name(done.verb)
            == f"OPERATOR_VERB_{rpc.removesuffix('Step').removesuffix('Saga').upper()}"
        )
        assert EventType.Name(entry.type) == "EVENT_TYPE_OPERATOR_ACTED"
        assert entry.step == ("" if rpc == "TerminateSaga" else "bookSeat")
        by_hand = {step.name for step in saga.steps if step.by_hand}
        assert by_hand == ({"bookSeat"} if rpc in ("SkipStep", "CompleteStep") else set())
        (row,) = (await c.api.ListSagas(coordinator_pb2.ListSagasRequest())).sagas
        assert row.forced == forced


async def test_a_cancelled_saga_turns_back() -> None:
    async with coordinator() as c:
        saga_id = await being_asked(c)
        result = await act(c, "CancelSaga", saga_id)
        assert status(result.saga.status) == "COMPENSATING"
        again = await act(c, "CancelSaga", saga_id)
        assert again.effect.sentence == "Nothing changes: the saga is turning back already."
        c.participants.release("bookSeat")
        saga = await c.ended(saga_id)
    assert (status(saga.status), saga.error_message) == (
        "COMPENSATED",
        "Cancelled (she knows). What was begun has been undone. Nothing undoes bookSeat.",
    )


async def test_a_step_that_waits_is_asked_at_once() -> None:
    async with coordinator() as c:
        c.participants.answer("bookSeat", Pending(500.0))
        saga_id = await c.start()
        await c.participants.called("bookSeat")
        await until_status_of(c, saga_id, "bookSeat", waiting=True)
        c.participants.answer("bookSeat", *SUCCEEDS)
        await act(c, "RetryStep", saga_id, "bookSeat")
        assert status((await c.ended(saga_id)).status) == "COMPLETED"


async def until_status_of(c: Coordinator, saga_id: str, step: str, *, waiting: bool) -> None:
    async with asyncio.timeout(10):
        while True:
            timeline = (await c.get(saga_id)).timeline
            if (timeline[-1].step == step and timeline[-1].HasField("retry_time")) == waiting:
                return
            await asyncio.sleep(0.005)


async def test_a_step_that_was_skipped_before_it_was_begun_is_shown_as_skipped() -> None:
    async with coordinator(calls_per_service_max=1) as c:
        first = await being_asked(c, "bookRoom")
        second = await c.start()
        result = await act(c, "SkipStep", second, "bookRoom")
        assert steps(result.saga)["bookRoom"] == "SKIPPED"
        assert status((await c.ended(second)).status) == "COMPLETED"
        c.participants.release("bookRoom")
        assert status((await c.ended(first)).status) == "COMPLETED"


async def test_the_output_that_an_operator_gives_goes_to_the_compensation_exactly() -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        saga_id = await c.start()
        await c.participants.called("bookRoom")
        c.participants.answer("bookSeat", REFUSED)
        await act(c, "CompleteStep", saga_id, "bookRoom", output_json='{ "n": 12345678901234567890 }')
        assert status((await c.ended(saga_id)).status) == "COMPENSATED"
        (undo,) = [made for name, made in c.participants.calls if name == "cancelRoom"]
    assert isinstance(undo, CompensateCall)
    assert undo.receipt == '{"n":12345678901234567890}'


async def test_a_saga_that_was_set_aside_is_driven_on() -> None:
    async with coordinator() as c:
        saga_id = await set_aside(c)
        possible = await operator(c).ListPossibleActions(pb.ListPossibleActionsRequest(saga_id=saga_id))
        assert [(OperatorVerb.Name(p.verb)[14:], p.step) for p in possible.possible_actions] == [
            ("RETRY", ""),
            ("TERMINATE", ""),
        ]
        refused = await refusal(act(c, "SkipStep", saga_id, "bookSeat"))
        assert refused.reason == "ACTION_NOT_POSSIBLE"
        assert "was set aside" in refused.message
        c.participants.answer("bookSeat", *SUCCEEDS)
        result = await act(c, "RetryStep", saga_id)
        assert result.effect.sentence == "The saga is driven on from where its journal ends."
        saga = await c.ended(saga_id)
    assert (status(saga.status), saga.needs_person, saga.error_message) == ("COMPLETED", False, "")


# Beforehand


@pytest.mark.parametrize("rpc", ["RetryStep", "SkipStep", "CompleteStep", "TerminateSaga"])
async def test_a_dry_run_writes_nothing_and_tells_exactly_what_then_happens(rpc: str) -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        c.participants.answer("releaseStock", *SUCCEEDS)
        before = await c.get(answer.saga_id)
        made = len(c.participants.calls)
        fields: dict[str, Any] = {} if rpc == "TerminateSaga" else {"step": "reserveStock"}
        action = an_action(before.seq)
        told = await call(c, rpc, saga_id=answer.saga_id, action=action, validate_only=True, **fields)
        assert await c.get(answer.saga_id) == before
        assert len(c.participants.calls) == made
        assert told.saga == (await call_get_with_steps(c, answer.saga_id))
        done = await call(c, rpc, saga_id=answer.saga_id, action=action, **fields)
        assert (done.effect, told.repeated, done.repeated) == (told.effect, False, False)
        saga = await c.ended(answer.saga_id)
        assert saga.status == told.effect.status_in_the_end
        assert saga.forced == told.effect.forced
        calls = [(name, made.key, made.service) for name, made in c.participants.calls[made:]]
        planned = [(p.transaction, p.idempotency_key, p.service) for p in told.effect.planned_calls]
        assert calls == planned
        assert all(p.undo for p in told.effect.planned_calls)
        again = await call(c, rpc, saga_id=answer.saga_id, action=action, validate_only=True, **fields)
        assert (again.repeated, again.HasField("effect")) == (True, False)


async def call_get_with_steps(c: Coordinator, saga_id: str) -> Saga:
    saga: Saga = await c.get(saga_id)
    saga.ClearField("timeline")
    saga.ClearField("undo_plan")
    return saga


async def test_what_can_be_done_is_listed_with_what_each_would_lead_to() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        listed = await operator(c).ListPossibleActions(pb.ListPossibleActionsRequest(saga_id=answer.saga_id))
        saga = await c.get(answer.saga_id)
        saga.ClearField("undo_plan")
        assert listed.saga == saga
        for each in listed.possible_actions:
            rpc = {"RETRY": "RetryStep", "SKIP": "SkipStep", "COMPLETE": "CompleteStep"}.get(
                OperatorVerb.Name(each.verb)[14:], "TerminateSaga"
            )
            told = await act(c, rpc, answer.saga_id, each.step, validate_only=True)
            assert told.effect == each.effect
        assert [each.step for each in listed.possible_actions] == [*["reserveStock"] * 3, ""]
        c.participants.answer("charge", *SUCCEEDS)
        good = await c.orders.PlaceOrder(order("good"))
        listed = await operator(c).ListPossibleActions(pb.ListPossibleActionsRequest(saga_id=good.saga_id))
        assert (list(listed.possible_actions), listed.saga.saga_id) == ([], good.saga_id)
        refused = await refusal(operator(c).ListPossibleActions(pb.ListPossibleActionsRequest(saga_id="x")))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SAGA_NOT_FOUND")


# Refused


async def test_an_action_on_a_saga_that_moved_is_told_where_it_is_now_and_changes_nothing() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        before = await c.get(answer.saga_id)
        for seq in (before.seq - 1, before.seq + 1):
            for validate_only in (True, False):
                refused = await refusal(
                    act(
                        c,
                        "SkipStep",
                        answer.saga_id,
                        "reserveStock",
                        action=an_action(seq),
                        validate_only=validate_only,
                    )
                )
                assert (refused.code, refused.reason) == (StatusCode.ABORTED, "SAGA_MOVED")
                assert refused.metadata == {
                    "saga_id": answer.saga_id,
                    "status": "DEAD_LETTERED",
                    "seq": str(before.seq),
                }
                assert "Look at it again" in refused.message
        assert await c.get(answer.saga_id) == before


async def test_an_action_id_acts_once_and_the_same_again_gets_the_saga_as_it_stands() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        seq = (await c.get(answer.saga_id)).seq
        action = an_action(seq, action_id="the-one")
        fields = {"saga_id": answer.saga_id, "step": "reserveStock", "action": action}
        at_once = await asyncio.gather(*(call(c, "SkipStep", **fields) for _ in range(5)))
        assert [result.repeated for result in at_once].count(False) == 1
        saga = await c.ended(answer.saga_id)
        later = await call(c, "SkipStep", **fields)
        assert (later.repeated, later.HasField("effect")) == (True, False)
        assert (later.saga.seq, status(later.saga.status)) == (saga.seq, "COMPENSATED")
        for rpc, changed in (("CompleteStep", {}), ("SkipStep", {"reason": "another"})):
            other = pb.Action(
                **{"action_id": "the-one", "actor": "ada", "reason": "she knows", **changed}, expected_seq=seq
            )
            refused = await refusal(call(c, rpc, **{**fields, "action": other}))
            assert (refused.code, refused.reason) == (StatusCode.ALREADY_EXISTS, "ACTION_ID_TAKEN")
            assert refused.metadata == {"saga_id": answer.saga_id}
    acted = [entry for entry in saga.timeline if entry.HasField("operator_action")]
    assert len(acted) == 1


async def test_of_many_operators_at_once_one_wins() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        c.participants.answer("releaseStock", *SUCCEEDS)
        seq = (await c.get(answer.saga_id)).seq
        fields = {"saga_id": answer.saga_id, "step": "reserveStock"}
        rpcs = ["RetryStep", "SkipStep", "CompleteStep"] * 4
        done = await asyncio.gather(
            *(call(c, rpc, action=an_action(seq), **fields) for rpc in rpcs), return_exceptions=True
        )
        won = [each for each in done if isinstance(each, pb.ActionResult)]
        lost = [each.code() for each in done if isinstance(each, grpc.aio.AioRpcError)]
        assert len(won) == 1
        assert set(lost) <= {StatusCode.ABORTED}
        saga = await c.ended(answer.saga_id)
    assert len([entry for entry in saga.timeline if entry.HasField("operator_action")]) == 1


async def test_what_cannot_be_done_is_refused_with_the_reason() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        before = await c.get(answer.saga_id)
        impossible = [
            ("RetryStep", "createOrder", "waits for that of a later step"),
            ("FailStep", "reserveStock", "has failed already"),
            ("SkipStep", "charge", "needs no undo"),
            ("SkipStep", "nowhere", "no step 'nowhere'; its steps are: createOrder, reserveStock, charge"),
            ("RetryStep", "", "was not set aside: say which step to retry"),
            ("CancelSaga", "", "there is nothing left to cancel"),
        ]
        for rpc, step, sentence in impossible:
            refused = await refusal(act(c, rpc, answer.saga_id, step))
            assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ACTION_NOT_POSSIBLE")
            assert sentence in refused.message
            assert answer.saga_id in refused.message
        assert await c.get(answer.saga_id) == before


@pytest.mark.parametrize(("rpc", "after"), [("CancelSaga", "COMPENSATING"), ("TerminateSaga", "TERMINATED")])
async def test_a_saga_is_stopped_as_it_stands_by_whoever_has_not_looked(rpc: str, after: str) -> None:
    async with coordinator() as c:
        saga_id = await being_asked(c)
        foreseen = await call(c, rpc, saga_id=saga_id, action=an_action(0), validate_only=True)
        assert status(foreseen.effect.status_after) == after
        assert status((await c.get(saga_id)).status) == "RUNNING"
        stop = an_action(0)
        assert not (await call(c, rpc, saga_id=saga_id, action=stop)).repeated
        assert (await call(c, rpc, saga_id=saga_id, action=stop)).repeated


@pytest.mark.parametrize("rpc", ["RetryStep", "SkipStep", "CompleteStep", "FailStep"])
async def test_an_action_on_a_step_is_refused_without_what_was_looked_at(rpc: str) -> None:
    async with coordinator() as c:
        saga_id = await being_asked(c)
        refused = await refusal(call(c, rpc, saga_id=saga_id, step="bookSeat", action=an_action(0)))
        assert (refused.code, set(refused.fields)) == (StatusCode.INVALID_ARGUMENT, {"action.expected_seq"})


@pytest.mark.parametrize("rpc", list(REQUESTS))
async def test_a_saga_that_has_ended_or_never_was_is_refused(rpc: str) -> None:
    async with coordinator() as c:
        good = await c.orders.PlaceOrder(order())
        step = {} if rpc in ("CancelSaga", "TerminateSaga") else {"step": "charge"}
        refused = await refusal(act(c, rpc, good.saga_id, **step))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "SAGA_ENDED")
        assert "COMPLETED" in refused.message
        refused = await refusal(call(c, rpc, saga_id="nowhere", action=an_action(1), **step))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SAGA_NOT_FOUND")
        assert refused.metadata == {"saga_id": "nowhere"}


@pytest.mark.parametrize("rpc", list(REQUESTS))
async def test_a_wrong_request_names_every_wrong_field_before_anything_is_read(rpc: str) -> None:
    async with coordinator() as c:
        refused = await refusal(call(c, rpc))
        wanted = {"saga_id", "action"} | (
            {"step"} if rpc in ("SkipStep", "CompleteStep", "FailStep") else set()
        )
        assert (refused.code, set(refused.fields)) == (StatusCode.INVALID_ARGUMENT, wanted)
        wrong = pb.Action(action_id="x" * 129, actor="\0", reason="r" * 501, expected_seq=-1)
        more: dict[str, Any] = {} if rpc in ("CancelSaga", "TerminateSaga") else {"step": "s" * 129}
        refused = await refusal(call(c, rpc, saga_id="s" * 129, action=wrong, **more))
        assert refused.reason == "INVALID_REQUEST"
        assert set(refused.fields) == {
            *("saga_id", "action.action_id", "action.actor", "action.reason", "action.expected_seq"),
            *more,
        }


WRONG_OUTPUTS: Final = {
    "NaN": "NaN",
    "a duplicate key": '{"a":1,"a":2}',
    "too deep": "[" * 70 + "]" * 70,
    "no JSON": "{oops",
    "a lone surrogate": '"\\ud800"',
    "a NUL": '"\\u0000"',
    "two values": "1 2",
}


@pytest.mark.parametrize("text", WRONG_OUTPUTS.values(), ids=WRONG_OUTPUTS.keys())
async def test_an_output_is_held_to_strict_json(text: str) -> None:
    async with coordinator() as c:
        saga_id = await being_asked(c)
        before = await c.get(saga_id)
        refused = await refusal(act(c, "CompleteStep", saga_id, "bookSeat", output_json=text))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert [field.startswith("output_json") for field in refused.fields] == [True]
        assert await c.get(saga_id) == before


async def test_an_output_that_a_saga_cannot_hold_or_that_is_not_wanted_is_refused() -> None:
    async with coordinator() as c:
        c.participants.hold("bookSeat")
        saga_id = await c.start(pad="x" * 900_000)
        await c.participants.called("bookSeat")
        for size, sentence in (
            (1 << 20, "is larger than 1048576 bytes"),
            (900_000, "more than 1572864 bytes"),
        ):
            text = f'"{"y" * size}"'
            refused = await refusal(act(c, "CompleteStep", saga_id, "bookSeat", output_json=text))
            assert list(refused.fields) == ["output_json"]
            assert sentence in refused.fields["output_json"]
        answer = await dead_letter(c)
        refused = await refusal(act(c, "CompleteStep", answer.saga_id, "reserveStock", output_json="1"))
        assert refused.fields["output_json"].startswith("expected none: the saga has turned back")


async def test_nothing_that_an_operator_writes_steers_whoever_reads_it() -> None:
    async with coordinator() as c:
        saga_id = await being_asked(c)
        seq = (await c.get(saga_id)).seq
        evil = an_action(seq, actor="a\x1b[31mda", reason="line\nbreak\u202e")
        await call(c, "TerminateSaga", saga_id=saga_id, action=evil)
        saga = await c.get(saga_id)
        assert saga.timeline[-1].operator_action.actor == "a [31mda"
        assert saga.timeline[-1].message == "line break "
        assert saga.error_message.startswith("Terminated by a [31mda (line break ).")
        for field, wrong in (("action_id", "a\x1b[31m"), ("actor", " \n"), ("reason", "\t\u202e")):
            refused = await refusal(
                call(c, "TerminateSaga", saga_id=saga_id, action=an_action(1, **{field: wrong}))
            )
            assert list(refused.fields) == [f"action.{field}"]


# Lists and streams


async def test_dead_letters_are_listed_in_pages_newest_first_until_somebody_has_decided() -> None:
    async with coordinator() as c:
        ids = [(await dead_letter(c, f"o-{number}")).saga_id for number in range(5)]
        c.participants.answer("charge", *SUCCEEDS)
        await c.orders.PlaceOrder(order("good"))
        aside = await set_aside(c)

        async def listed() -> list[Saga]:
            found: list[Saga] = []
            token = ""
            while True:
                page = await operator(c).ListDeadLetters(
                    pb.ListDeadLettersRequest(page_size=2, page_token=token)
                )
                assert len(page.dead_letters) <= 2
                found += page.dead_letters
                token = page.next_page_token
                if not token:
                    return found

        rows = await listed()
        assert [row.saga_id for row in rows] == [aside, *reversed(ids)]
        assert all(row.needs_person and row.error_message and not row.steps for row in rows)
        await act(c, "SkipStep", ids[1], "reserveStock")
        await act(c, "TerminateSaga", aside)
        await c.ended(ids[1])
        assert [row.saga_id for row in await listed()] == [ids[4], ids[3], ids[2], ids[0]]
        for wrong in ({"page_size": -1}, {"page_token": "nonsense"}):
            refused = await refusal(operator(c).ListDeadLetters(pb.ListDeadLettersRequest(**wrong)))
            assert (refused.code, list(refused.fields)) == (StatusCode.INVALID_ARGUMENT, [*wrong])
        other = await c.api.ListSagas(coordinator_pb2.ListSagasRequest(page_size=1))
        refused = await refusal(
            operator(c).ListDeadLetters(pb.ListDeadLettersRequest(page_token=other.next_page_token))
        )
        assert list(refused.fields) == ["page_token"], "a token of another list"


async def test_participants_are_listed_with_the_steps_that_need_them() -> None:
    async with coordinator() as c:
        answer = await operator(c).ListParticipants(pb.ListParticipantsRequest())
        assert [p.service for p in answer.participants] == [
            *("Hotel", "Orders", "Paint", "Payments", "Rail", "Stock")
        ]
        hotel = answer.participants[0]
        assert (hotel.target, list(hotel.steps)) == ("dns:///hotel:50061", ["Trip/bookRoom"])
        assert hotel.state == pb.PARTICIPANT_STATE_SERVING

        async def probe(service: str) -> Probe:
            return Probe("", Reach.UNREACHABLE, "nobody there")

        c.participants.probe = probe  # type: ignore[method-assign]
        answer = await operator(c).ListParticipants(pb.ListParticipantsRequest())
        assert {(p.state, p.message) for p in answer.participants} == {
            (pb.PARTICIPANT_STATE_UNREACHABLE, "nobody there")
        }


async def test_a_participant_is_shown_with_what_it_says_that_it_offers() -> None:
    offer = Description(Told.OFFER, "", frozenset({"bookRoom", "bookTable"}), frozenset({"cancelRoom"}), True)

    async def describe(service: str) -> Description:
        return offer if service == "Hotel" else Description(Told.NO_ANSWER, "no answer in time")

    async with coordinator() as c:
        c.participants.describe = describe  # type: ignore[method-assign]
        answer = await operator(c).ListParticipants(pb.ListParticipantsRequest())
    told = {p.service: p.offer for p in answer.participants if p.HasField("offer")}
    assert told == {"Hotel": pb.ParticipantOffer(transactions=2, compensations=1, barrier=True)}


async def exported(c: Coordinator, saga_id: str) -> tuple[pb.ExportSagaResponse, list[Event]]:
    """What is exported of a saga, and the events that its records say."""
    answer = await operator(c).ExportSaga(pb.ExportSagaRequest(saga_id=saga_id))
    return answer, [decode(record.type, record.content_json) for record in answer.records]


async def test_a_saga_that_rests_is_exported_with_its_definition_and_its_records() -> None:
    async with coordinator() as c:
        c.participants.answer("bookSeat", UNREACHABLE, REFUSED)
        saga_id = await c.start("Trip", colour="red")
        await c.ended(saga_id)
        answer, events = await exported(c, saga_id)
        records = await c.journal.history(SagaId(saga_id))
        definition = c.definitions.all()
    assert answer.definition_json in [one.text for one in definition if one.name == "Trip"]
    assert events == [record.event for record in records]
    assert [(r.seq, r.fencing_token) for r in answer.records] == [(r.seq, r.token) for r in records]


async def test_what_a_definition_calls_sensitive_is_not_exported() -> None:
    async with coordinator() as c:
        steps = [
            {"service": "Hotel", "transaction": "bookRoom", "compensation": "cancelRoom"},
            {"service": "Rail", "transaction": "bookSeat", "compensation": None},
        ]
        payer = {"sagaName": "Payer", "sensitive": ["card"], "steps": steps}
        registration = coordinator_pb2.RegisterDefinitionRequest(definition_json=json.dumps(payer))
        await c.api.RegisterDefinition(registration)
        c.participants.answer("bookSeat", Succeeded(f'{{"seat":4,"said":"paid with {TOKEN}"}}'))
        saga_id = await c.start("Payer", card={"token": TOKEN}, n=1)
        await c.ended(saga_id)
        answer, events = await exported(c, saga_id)
    assert TOKEN not in str(answer)
    outputs = [event.output for event in events if isinstance(event, StepSucceeded)]
    assert outputs == ["{}", '{"said":"***","seat":4}']


async def test_a_saga_that_goes_on_was_set_aside_or_never_was_is_not_exported() -> None:
    async with coordinator() as c:
        refused = await refusal(exported(c, await being_asked(c)))
        assert (refused.code, "it can be exported once it rests" in refused.message) == (
            StatusCode.FAILED_PRECONDITION,
            True,
        )
        c.participants.release("bookSeat")
        refused = await refusal(exported(c, await set_aside(c)))
        assert (refused.code, "was set aside" in refused.message) == (StatusCode.FAILED_PRECONDITION, True)
        refused = await refusal(exported(c, "nowhere"))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SAGA_NOT_FOUND")
        refused = await refusal(exported(c, ""))
        assert (refused.code, list(refused.fields)) == (StatusCode.INVALID_ARGUMENT, ["saga_id"])


async def test_the_journal_is_copied_and_verified_in_streams() -> None:
    async with coordinator() as c:
        await dead_letter(c)
        pieces = [piece async for piece in operator(c).BackupJournal(pb.BackupJournalRequest())]
        assert b"".join(piece.data for piece in pieces) == b"journal of a test"
        assert {piece.total_bytes for piece in pieces} == {17}
        progress = [each async for each in operator(c).VerifyJournal(pb.VerifyJournalRequest())]
        assert (progress[-1].done, progress[-1].sagas, list(progress[-1].faults)) == (True, 1, [])
        assert [each.done for each in progress[:-1]] == [False] * (len(progress) - 1)


async def test_a_stream_that_its_reader_leaves_is_closed_at_once() -> None:
    class Endless:
        closed = asyncio.Event()

        async def backup(self) -> AsyncGenerator[Piece, None]:
            try:
                while True:
                    yield Piece(b"x", 1 << 40)
                    await asyncio.sleep(0.001)
            finally:
                self.closed.set()

        async def faults(self) -> Sequence[str]:
            return []

    async with coordinator() as c:
        store = Endless()
        c.operations._upkeep = store
        stream = operator(c).BackupJournal(pb.BackupJournalRequest())
        await anext(aiter(stream))
        stream.cancel()
        with suppress(asyncio.CancelledError):
            await stream.code()
        async with asyncio.timeout(10):
            await store.closed.wait()


async def test_who_wants_a_copy_is_told_that_it_is_being_made_before_there_is_a_piece_of_it() -> None:
    class Slow:
        made = asyncio.Event()

        async def backup(self) -> AsyncGenerator[Piece, None]:
            await self.made.wait()
            yield Piece(b"x", 1)

        async def faults(self) -> Sequence[str]:
            return []

    async with coordinator() as c:
        store = Slow()
        c.operations._upkeep = store
        stream = operator(c).BackupJournal(pb.BackupJournalRequest())
        async with asyncio.timeout(10):
            await stream.initial_metadata()
        store.made.set()
        assert [piece.data async for piece in stream] == [b"x"]


# What the callers of a saga see


async def test_an_order_that_an_operator_terminates_fails_and_says_what_stands() -> None:
    async with coordinator() as c:
        c.participants.hold("charge")
        waiting = asyncio.ensure_future(c.orders.PlaceOrder(order()))
        await c.participants.called("charge")
        (row,) = (await c.api.ListSagas(coordinator_pb2.ListSagasRequest())).sagas
        await act(c, "TerminateSaga", row.saga_id)
        answer = await waiting
        assert (answer.status, status(answer.saga_status)) == (orders_pb2.FAILED, "TERMINATED")
        assert answer.error_message == (
            "Terminated by ada (she knows). What was begun and is not undone stands as it is."
        )
        assert await c.orders.PlaceOrder(order()) == answer


async def test_an_order_that_an_operator_forced_through_is_a_success() -> None:
    async with coordinator() as c:
        c.participants.hold("charge")
        waiting = asyncio.ensure_future(c.orders.PlaceOrder(order()))
        await c.participants.called("charge")
        (row,) = (await c.api.ListSagas(coordinator_pb2.ListSagasRequest())).sagas
        await act(c, "CompleteStep", row.saga_id, "charge", output_json='{"paid":"in cash"}')
        answer = await waiting
        assert (answer.status, status(answer.saga_status)) == (orders_pb2.SUCCESS, "COMPLETED")
        assert answer.error_message == ""
        assert (await c.get(row.saga_id)).forced


async def test_an_order_whose_dead_letter_is_revived_keeps_its_callers_until_it_rests() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        c.participants.answer("releaseStock", *SUCCEEDS)
        c.participants.hold("releaseStock")
        await act(c, "RetryStep", answer.saga_id, "reserveStock")
        waiting = asyncio.ensure_future(c.orders.PlaceOrder(order()))
        await c.participants.called("releaseStock", 2)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        c.participants.release("releaseStock")
        again = await waiting
    assert (again.status, status(again.saga_status)) == (orders_pb2.FAILED, "COMPENSATED")


async def test_an_order_that_was_set_aside_is_undecided_until_a_person_has_looked() -> None:
    async with coordinator() as c:
        c.participants.answer("charge", NONSENSE)
        refused = await refusal(c.orders.PlaceOrder(order()))
        assert (refused.code, refused.reason) == (StatusCode.DEADLINE_EXCEEDED, "SAGA_UNDECIDED")
        c.participants.answer("charge", *SUCCEEDS)
        await act(c, "RetryStep", refused.metadata["saga_id"])
        answer = await c.orders.PlaceOrder(order())
    assert answer.status == orders_pb2.SUCCESS


async def test_a_watch_from_the_last_record_sees_all_that_an_operators_retry_led_to() -> None:
    async with coordinator() as c:
        answer = await dead_letter(c)
        before = await c.get(answer.saga_id)
        c.participants.answer("releaseStock", UNREACHABLE, *SUCCEEDS)
        c.participants.hold("releaseStock")
        await act(c, "RetryStep", answer.saga_id, "reserveStock")
        request = coordinator_pb2.WatchSagaRequest(saga_id=answer.saga_id, after_seq=before.seq)

        async def watched() -> list[coordinator_pb2.WatchSagaResponse]:
            return [message async for message in c.api.WatchSaga(request, timeout=20)]

        watching = asyncio.ensure_future(watched())
        await c.participants.called("releaseStock", 2)
        c.participants.answer("releaseStock", *SUCCEEDS)
        c.participants.release("releaseStock")
        messages = await watching
        saga = await c.get(answer.saga_id)
    assert [message.entry for message in messages] == list(saga.timeline)[before.seq :]
    assert EventType.Name(messages[0].entry.type) == "EVENT_TYPE_OPERATOR_ACTED"
    assert [status(m.status) for m in (messages[0], messages[-1])] == ["COMPENSATING", "COMPENSATED"]


async def test_nothing_that_a_step_was_given_by_hand_is_shown() -> None:
    canary = "tok-canary-by-hand"
    async with coordinator() as c:
        saga_id = await being_asked(c)
        result = await act(c, "CompleteStep", saga_id, "bookSeat", output_json=f'{{"t":"{canary}"}}')
        saga = await c.ended(saga_id)
        listed = await operator(c).ListPossibleActions(pb.ListPossibleActionsRequest(saga_id=saga_id))
        assert canary not in f"{result} {saga} {listed}"
        records = await c.journal.history(SagaId(saga_id))
    assert any(canary in str(record.event) for record in records)


def test_every_call_that_acts_is_tried_here() -> None:
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["OperatorService"].methods}
    others = {
        "ListDeadLetters",
        "ListPossibleActions",
        "ExportSaga",
        "ListParticipants",
        "BackupJournal",
        "VerifyJournal",
    }
    assert methods == set(REQUESTS) | others
