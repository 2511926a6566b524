"""The operator's client: against a service that answers as scripted, what is sent and what is shown; against
the real one, a dead letter from its finding to its end."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from coordinator.client import (
    ActionResult,
    Broken,
    Client,
    ClientError,
    Conflict,
    ExportedRecord,
    ExportedSaga,
    InvalidRequest,
    NotFound,
    Operator,
    OperatorVerb,
    ParticipantState,
    Refused,
    SagaStatus,
    Unavailable,
)
from coordinator.domain.outcomes import Succeeded
from saga.v1 import operator_pb2 as pb
from saga.v1 import operator_pb2_grpc, types_pb2
from tests.integration.api_harness import REFUSED, coordinator

ACTOR: dict[str, Any] = {"actor": "jo", "reason": "the bank is back", "expected_seq": 9}
STEP_ACTIONS = {"retry": "RetryStep", "skip": "SkipStep", "complete": "CompleteStep", "fail": "FailStep"}
SAGA_ACTIONS = {"cancel": "CancelSaga", "terminate": "TerminateSaga"}


def a_saga(saga_id: str = "s-1", **changed: Any) -> types_pb2.Saga:
    return types_pb2.Saga(saga_id=saga_id, status=types_pb2.SAGA_STATUS_DEAD_LETTERED, seq=9, **changed)


EFFECT = pb.ActionEffect(
    sentence="refund is asked for again",
    status_after=types_pb2.SAGA_STATUS_COMPENSATING,
    status_in_the_end=types_pb2.SAGA_STATUS_COMPENSATED,
    planned_calls=[pb.PlannedCall(step="charge", service="Payments", transaction="refund", undo=True)],
)


class Scripted:
    """An OperatorService that keeps what it is asked, and answers what a test says."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answers: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Callable[[Message, grpc.ServicerContext], Any]:
        def handle(request: Message, context: grpc.ServicerContext) -> Any:
            self.asked.append(request)
            answer = self.answers[name]
            return answer(request, context) if callable(answer) else answer

        return handle


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def operator(scripted: Scripted) -> Iterator[Operator]:
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    operator_pb2_grpc.add_OperatorServiceServicer_to_server(cast(Any, scripted), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Operator(f"127.0.0.1:{port}") as client:
        yield client
    server.stop(None).wait()


def refusing(
    code: grpc.StatusCode, reason: str, sentence: str, *, times: int = 1, then: Any = None
) -> Callable[[Message, grpc.ServicerContext], Any]:
    left = [times]

    def handle(request: Message, context: grpc.ServicerContext) -> Any:
        if then is not None and not left[0]:
            return then
        left[0] -= 1
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="saga.v1"))
        status = status_pb2.Status(code=code.value[0], message=sentence, details=[packed])
        context.abort_with_status(rpc_status.to_status(status))

    return handle


@pytest.mark.parametrize("verb", STEP_ACTIONS)
def test_an_action_on_a_step_says_who_why_and_on_what(
    verb: str, operator: Operator, scripted: Scripted
) -> None:
    kind = getattr(pb, f"{STEP_ACTIONS[verb]}Response")
    scripted.answers[STEP_ACTIONS[verb]] = kind(result=pb.ActionResult(saga=a_saga(), effect=EFFECT))
    more = {"output_json": '{"ref":7}'} if verb == "complete" else {}
    result: ActionResult = getattr(operator, verb)(
        "s-1", "charge", **ACTOR, **more, action_id="a-1", validate_only=True
    )
    (asked,) = scripted.asked
    assert asked == getattr(pb, f"{STEP_ACTIONS[verb]}Request")(
        saga_id="s-1",
        step="charge",
        action=pb.Action(action_id="a-1", **ACTOR),
        validate_only=True,
        **more,
    )
    assert (result.saga.status, result.saga.seq) == (SagaStatus.DEAD_LETTERED, 9)
    assert result.effect is not None
    assert result.effect.sentence == "refund is asked for again"
    assert result.effect.status_in_the_end is SagaStatus.COMPENSATED
    assert [(call.transaction, call.undo) for call in result.effect.planned_calls] == [("refund", True)]


@pytest.mark.parametrize("verb", SAGA_ACTIONS)
def test_an_action_on_a_saga_says_who_why_and_on_what(
    verb: str, operator: Operator, scripted: Scripted
) -> None:
    prefix = "OperatorService" if verb == "cancel" else ""
    answer = getattr(pb, f"{prefix}{SAGA_ACTIONS[verb]}Response")
    scripted.answers[SAGA_ACTIONS[verb]] = answer(result=pb.ActionResult(saga=a_saga(), repeated=True))
    result: ActionResult = getattr(operator, verb)("s-1", **ACTOR, action_id="a-1")
    (asked,) = scripted.asked
    assert asked == getattr(pb, f"{prefix}{SAGA_ACTIONS[verb]}Request")(
        saga_id="s-1", action=pb.Action(action_id="a-1", **ACTOR)
    )
    assert (result.effect, result.repeated) == (None, True)


@pytest.mark.parametrize("verb", SAGA_ACTIONS)
def test_a_saga_is_stopped_as_it_stands_unless_something_is_expected(
    verb: str, operator: Operator, scripted: Scripted
) -> None:
    prefix = "OperatorService" if verb == "cancel" else ""
    answer = getattr(pb, f"{prefix}{SAGA_ACTIONS[verb]}Response")
    scripted.answers[SAGA_ACTIONS[verb]] = answer(result=pb.ActionResult(saga=a_saga()))
    getattr(operator, verb)("s-1", actor="jo", reason="why")
    (asked,) = scripted.asked
    assert asked.action.expected_seq == 0


def test_an_action_without_an_id_is_repeated_under_one_made_up(
    operator: Operator, scripted: Scripted
) -> None:
    done = pb.RetryStepResponse(result=pb.ActionResult(saga=a_saga(), repeated=True))
    away = refusing(
        grpc.StatusCode.UNAVAILABLE, "NOT_READY", "the coordinator is starting", times=2, then=done
    )
    scripted.answers["RetryStep"] = away
    result = operator.retry("s-1", **ACTOR)
    operator.retry("s-1", **ACTOR)
    *first, second = [request.action.action_id for request in scripted.asked]
    assert len(first) == 3
    assert len({*first, second}) == 2
    assert all([*first, second])
    assert not result.repeated, "nobody but this call did it"
    assert not scripted.asked[0].step


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (grpc.StatusCode.ABORTED, "SAGA_MOVED", Conflict),
        (grpc.StatusCode.ALREADY_EXISTS, "ACTION_ID_TAKEN", Conflict),
        (grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_POSSIBLE", Refused),
        (grpc.StatusCode.NOT_FOUND, "SAGA_NOT_FOUND", NotFound),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", InvalidRequest),
        (grpc.StatusCode.INTERNAL, "JOURNAL_CORRUPT", Broken),
    ],
)
def test_a_refused_action_is_told_in_the_coordinators_words(
    code: grpc.StatusCode, reason: str, error: type[ClientError], operator: Operator, scripted: Scripted
) -> None:
    scripted.answers["SkipStep"] = refusing(code, reason, "the saga has moved to record 11, look again")
    with pytest.raises(error, match="the saga has moved to record 11, look again") as told:
        operator.skip("s-1", "charge", **ACTOR)
    assert (told.value.code, told.value.reason, told.value.saga_id) == (code.name, reason, "s-1")


def test_an_expected_seq_that_is_no_number_is_refused_here(operator: Operator, scripted: Scripted) -> None:
    with pytest.raises(InvalidRequest):
        operator.fail("s-1", "charge", actor="jo", reason="why", expected_seq=2**70)
    assert scripted.asked == []


def test_dead_letters_run_over_all_pages(operator: Operator, scripted: Scripted) -> None:
    def page(request: pb.ListDeadLettersRequest, context: object) -> pb.ListDeadLettersResponse:
        first = int(request.page_token or 0)
        rows = [a_saga(f"s-{n}") for n in range(first, min(first + min(request.page_size, 2), 5))]
        last = first + len(rows)
        return pb.ListDeadLettersResponse(dead_letters=rows, next_page_token=str(last) if last < 5 else "")

    scripted.answers["ListDeadLetters"] = page
    assert [saga.saga_id for saga in operator.dead_letters()] == ["s-0", "s-1", "s-2", "s-3", "s-4"]
    assert [saga.saga_id for saga in operator.dead_letters(limit=3)] == ["s-0", "s-1", "s-2"]
    assert list(operator.dead_letters(limit=0)) == []


def test_what_can_be_done_is_shown_with_what_it_leads_to(operator: Operator, scripted: Scripted) -> None:
    action = pb.PossibleAction(verb=types_pb2.OPERATOR_VERB_RETRY, step="charge", effect=EFFECT)
    scripted.answers["ListPossibleActions"] = pb.ListPossibleActionsResponse(
        saga=a_saga(timeline=[types_pb2.TimelineEntry(seq=1)]), possible_actions=[action]
    )
    saga, (possible,) = operator.possible_actions("s-1")
    assert (saga.saga_id, len(saga.timeline)) == ("s-1", 1)
    assert (possible.verb, possible.step) == (OperatorVerb.RETRY, "charge")
    assert possible.effect.status_after is SagaStatus.COMPENSATING


def test_participants_are_listed(operator: Operator, scripted: Scripted) -> None:
    one = pb.Participant(service="Bank", state=pb.PARTICIPANT_STATE_UNKNOWN_ADDRESS, steps=["Order/charge"])
    scripted.answers["ListParticipants"] = pb.ListParticipantsResponse(participants=[one])
    (shown,) = operator.participants()
    assert (shown.service, shown.state, shown.steps) == (
        "Bank",
        ParticipantState.UNKNOWN_ADDRESS,
        ("Order/charge",),
    )
    assert (shown.transactions, shown.compensations, shown.barrier) == (None, None, None)
    one.offer.CopyFrom(pb.ParticipantOffer(transactions=3, compensations=2))
    scripted.answers["ListParticipants"] = pb.ListParticipantsResponse(participants=[one])
    (shown,) = operator.participants()
    assert (shown.transactions, shown.compensations, shown.barrier) == (3, 2, False)


def test_a_saga_is_exported_record_by_record(operator: Operator, scripted: Scripted) -> None:
    record = pb.ExportedRecord(seq=1, fencing_token=3, type="SagaResumed", content_json='{"at":1.5}')
    scripted.answers["ExportSaga"] = pb.ExportSagaResponse(definition_json="{}", records=[record])
    assert operator.export("s-1") == ExportedSaga("{}", (ExportedRecord(1, 3, "SagaResumed", '{"at":1.5}'),))
    assert scripted.asked == [pb.ExportSagaRequest(saga_id="s-1")]


def test_a_backup_comes_in_pieces_and_one_that_breaks_off_is_told_of(
    operator: Operator, scripted: Scripted
) -> None:
    def pieces(request: object, context: grpc.ServicerContext) -> Iterator[pb.BackupJournalResponse]:
        yield pb.BackupJournalResponse(data=b"abc", total_bytes=6)
        yield pb.BackupJournalResponse(data=b"def", total_bytes=6)

    def broken(request: object, context: grpc.ServicerContext) -> Iterator[pb.BackupJournalResponse]:
        yield pb.BackupJournalResponse(data=b"abc", total_bytes=6)
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    scripted.answers["BackupJournal"] = pieces
    assert list(operator.backup()) == [(b"abc", 6), (b"def", 6)]
    scripted.answers["BackupJournal"] = broken
    copy = operator.backup()
    assert next(copy).data == b"abc"
    with pytest.raises(Unavailable):
        next(copy)


def test_a_backup_that_is_left_ends_its_call(operator: Operator, scripted: Scripted) -> None:
    ended = []

    def endless(request: object, context: grpc.ServicerContext) -> Iterator[pb.BackupJournalResponse]:
        context.add_callback(lambda: ended.append(True))
        while context.is_active():
            yield pb.BackupJournalResponse(data=b"abc", total_bytes=6)

    scripted.answers["BackupJournal"] = endless
    copy = operator.backup()
    next(copy)
    copy.close()
    operator.close()
    assert len(scripted.asked) == 1


def test_a_verification_tells_how_far_it_is(operator: Operator, scripted: Scripted) -> None:
    def read(request: object, context: object) -> Iterator[pb.VerifyJournalResponse]:
        fault = pb.JournalFault(saga_id="s-1", sentence="record 3 is damaged")
        yield pb.VerifyJournalResponse(sagas=1, records=3, faults=[fault])
        yield pb.VerifyJournalResponse(sagas=2, records=9, done=True)

    scripted.answers["VerifyJournal"] = read
    first, last = operator.verify()
    assert [(fault.saga_id, fault.sentence) for fault in first.faults] == [("s-1", "record 3 is damaged")]
    assert (last.sagas, last.records, last.faults, last.done) == (2, 9, (), True)


async def test_a_dead_letter_is_found_looked_at_and_retried_at_a_real_coordinator() -> None:
    async with coordinator() as c, Client(c.address) as client:
        c.participants.answer("bookSeat", REFUSED)
        c.participants.answer("cancelRoom", REFUSED, Succeeded("null"))
        saga_id = (await client.start("Trip", {})).saga.saga_id
        dead = await client.wait(saga_id)

        def operate() -> tuple[ActionResult, ActionResult]:
            with Operator(c.address) as operator:
                assert [saga.saga_id for saga in operator.dead_letters()] == [saga_id]
                saga, possible = operator.possible_actions(saga_id)
                assert saga == replace(dead, undo_plan=None)
                assert (OperatorVerb.RETRY, "bookRoom") in [(each.verb, each.step) for each in possible]
                who: dict[str, Any] = {"actor": "jo", "reason": "they are back", "expected_seq": saga.seq}
                told = operator.retry(saga_id, "bookRoom", **who, validate_only=True)
                done = operator.retry(saga_id, "bookRoom", **who, action_id="a-1")
                with pytest.raises(Conflict) as moved:
                    operator.skip(saga_id, "bookRoom", **who)
                assert (moved.value.reason, moved.value.saga_id) == ("SAGA_MOVED", saga_id)
                assert operator.retry(saga_id, "bookRoom", **who, action_id="a-1").repeated
                return told, done

        told, done = await asyncio.to_thread(operate)
        saga = await client.wait(saga_id)
    assert (dead.status, dead.needs_person) == (SagaStatus.DEAD_LETTERED, True)
    assert told.effect is not None
    assert told.effect == done.effect
    assert told.effect.status_in_the_end is SagaStatus.COMPENSATED
    assert told.saga.seq == dead.seq
    assert saga.status is SagaStatus.COMPENSATED
    (acted,) = [entry.operator_action for entry in saga.timeline if entry.operator_action]
    assert (acted.verb, acted.action_id, acted.actor, acted.reason) == (
        OperatorVerb.RETRY,
        "a-1",
        "jo",
        "they are back",
    )
