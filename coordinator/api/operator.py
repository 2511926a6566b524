"""OperatorService: translate, delegate, translate back, as CoordinatorService does."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio

from coordinator.api import requests
from coordinator.api.convert import (
    as_many_as_fit,
    operator_verb,
    saga_status,
    to_exported_record,
    to_saga,
    to_saga_with_steps,
    to_saga_with_timeline,
)
from coordinator.api.filters import next_page_token, parse_page_token
from coordinator.domain.actions import Effect
from coordinator.domain.commands import Command, Compensate
from coordinator.domain.saga import Saga
from coordinator.engine.operations import Operations, Surveyed
from coordinator.engine.sagas import Sagas
from coordinator.engine.upkeep import Verified
from coordinator.ports.journal import SagaFilter
from coordinator.ports.participants import Description, Told
from saga.v1 import operator_pb2 as pb
from saga.v1 import operator_pb2_grpc as rpc

_Context = aio.ServicerContext[Any, Any]
_DEAD_LETTERS = SagaFilter(needs_person=True)


class OperatorServicer(rpc.OperatorServiceServicer):
    """For the people who operate sagas."""

    def __init__(self, sagas: Sagas, operations: Operations) -> None:
        self._sagas = sagas
        self._operations = operations

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: _Context
    ) -> pb.ListDeadLettersResponse:
        after = parse_page_token(request.page_token, _DEAD_LETTERS)
        limit = requests.page_size(request.page_size)
        rows = await self._sagas.page(_DEAD_LETTERS, after=after, limit=limit + 1)
        shown = as_many_as_fit(map(to_saga, rows[:limit]))
        token = next_page_token(rows, len(shown), _DEAD_LETTERS)
        return pb.ListDeadLettersResponse(dead_letters=shown, next_page_token=token)

    async def ListPossibleActions(
        self, request: pb.ListPossibleActionsRequest, context: _Context
    ) -> pb.ListPossibleActionsResponse:
        view, possible = await self._sagas.possible_actions(requests.saga_id(request.saga_id))
        return pb.ListPossibleActionsResponse(
            saga=to_saga_with_timeline(view),
            possible_actions=[
                pb.PossibleAction(
                    verb=operator_verb(event.verb),
                    step=event.step or "",
                    effect=_to_effect(effect, view.saga),
                )
                for event, effect in possible
            ],
        )

    async def RetryStep(self, request: pb.RetryStepRequest, context: _Context) -> pb.RetryStepResponse:
        return pb.RetryStepResponse(result=await self._act(request))

    async def SkipStep(self, request: pb.SkipStepRequest, context: _Context) -> pb.SkipStepResponse:
        return pb.SkipStepResponse(result=await self._act(request))

    async def CompleteStep(
        self, request: pb.CompleteStepRequest, context: _Context
    ) -> pb.CompleteStepResponse:
        return pb.CompleteStepResponse(result=await self._act(request))

    async def FailStep(self, request: pb.FailStepRequest, context: _Context) -> pb.FailStepResponse:
        return pb.FailStepResponse(result=await self._act(request))

    async def CancelSaga(
        self, request: pb.OperatorServiceCancelSagaRequest, context: _Context
    ) -> pb.OperatorServiceCancelSagaResponse:
        return pb.OperatorServiceCancelSagaResponse(result=await self._act(request))

    async def TerminateSaga(
        self, request: pb.TerminateSagaRequest, context: _Context
    ) -> pb.TerminateSagaResponse:
        return pb.TerminateSagaResponse(result=await self._act(request))

    async def ExportSaga(self, request: pb.ExportSagaRequest, context: _Context) -> pb.ExportSagaResponse:
        exported = await self._sagas.export(requests.saga_id(request.saga_id))
        return pb.ExportSagaResponse(
            definition_json=exported.definition.text,
            records=map(to_exported_record, exported.records),
        )

    async def ListParticipants(
        self, request: pb.ListParticipantsRequest, context: _Context
    ) -> pb.ListParticipantsResponse:
        surveyed = await self._operations.participants()
        return pb.ListParticipantsResponse(participants=map(_to_participant, surveyed))

    async def BackupJournal(
        self, request: pb.BackupJournalRequest, context: _Context
    ) -> AsyncIterator[pb.BackupJournalResponse]:
        # The whole copy is made before its first piece is sent. Without a word until then, a client whose
        # coordinator goes away would ask again, and be told that nobody ever answered.
        await context.send_initial_metadata(())
        # Closed here and now when the operator leaves, so that the copy is gone at once.
        async with aclosing(self._operations.backup()) as pieces:
            async for piece in pieces:
                yield pb.BackupJournalResponse(data=piece.data, total_bytes=piece.total_bytes)

    async def VerifyJournal(
        self, request: pb.VerifyJournalRequest, context: _Context
    ) -> AsyncIterator[pb.VerifyJournalResponse]:
        async with aclosing(self._operations.verify()) as progress:
            async for verified in progress:
                yield _to_verified(verified)

    async def _act(self, request: requests.StepRequest | requests.SagaRequest) -> pb.ActionResult:
        saga_id, action = requests.wanted_action(request)
        do = self._sagas.preview if request.validate_only else self._sagas.act
        acted = await do(saga_id, action)
        return pb.ActionResult(
            saga=to_saga_with_steps(acted.view),
            effect=None if acted.effect is None else _to_effect(acted.effect, acted.view.saga),
            repeated=acted.effect is None,
        )


def _to_effect(effect: Effect, saga: Saga | None) -> pb.ActionEffect:
    return pb.ActionEffect(
        sentence=effect.sentence,
        status_after=saga_status(effect.status_after),
        status_in_the_end=saga_status(effect.status_in_the_end),
        forced=effect.forced,
        planned_calls=[] if saga is None else [_to_call(command, saga) for command in effect.planned],
    )


def _to_call(command: Command, saga: Saga) -> pb.PlannedCall:
    step = saga.step(command.step).definition
    undo = isinstance(command, Compensate)
    return pb.PlannedCall(
        step=command.step,
        service=step.service,
        transaction=(step.compensation or "") if undo else step.transaction,
        undo=undo,
        idempotency_key=command.key,
    )


def _to_participant(surveyed: Surveyed) -> pb.Participant:
    return pb.Participant(
        service=surveyed.service,
        target=surveyed.probe.target,
        state=pb.ParticipantState.Value(f"PARTICIPANT_STATE_{surveyed.probe.reach}"),
        message=surveyed.probe.message,
        steps=surveyed.steps,
        offer=_to_offer(surveyed.description),
    )


def _to_offer(description: Description) -> pb.ParticipantOffer | None:
    if description.told is not Told.OFFER:
        return None
    return pb.ParticipantOffer(
        transactions=len(description.transactions),
        compensations=len(description.compensations),
        barrier=description.barrier,
    )


def _to_verified(verified: Verified) -> pb.VerifyJournalResponse:
    return pb.VerifyJournalResponse(
        sagas=verified.sagas,
        records=verified.records,
        faults=[pb.JournalFault(saga_id=f.saga_id or "", sentence=f.sentence) for f in verified.faults],
        done=verified.done,
    )
