"""CoordinatorService: translate, delegate, translate back.

Errors travel on; the interceptor names their status. A handler owns no work: it waits on what the engine
runs, so a caller that leaves stops nothing.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, Final

from grpc import aio

from coordinator.api import requests
from coordinator.api.convert import (
    as_many_as_fit,
    saga_status,
    to_entry,
    to_saga,
    to_saga_with_steps,
    to_saga_with_timeline,
    to_undo_plan,
)
from coordinator.api.definitions import (
    at_field,
    to_answer,
    to_definition,
    wanted_definition,
    wanted_page,
    wanted_text,
)
from coordinator.api.definitions import (
    cut_page as cut_definitions,
)
from coordinator.api.filters import next_page_token, parse_filter, parse_page_token
from coordinator.api.streams import Kind, Streams
from coordinator.api.waiting import patience_s
from coordinator.domain.errors import Draining, InvalidDefinition, InvalidRequest, Violation, WaitTimedOut
from coordinator.domain.ids import SagaId
from coordinator.engine.definitions import Definitions
from coordinator.engine.sagas import Accepted, Sagas, Wanted
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import coordinator_pb2_grpc as rpc

STARTS: Final = Kind(
    method="/saga.v1.CoordinatorService/StartSaga",
    entries="starts",
    request="start",
    answers=pb.StartSagasResponse,
    answers_field="sagas",
    answer="saga",
)

_Context = aio.ServicerContext[Any, Any]


class CoordinatorServicer(rpc.CoordinatorServiceServicer):
    """Sagas of any definition, and the definitions."""

    def __init__(
        self, sagas: Sagas, definitions: Definitions, streams: Streams, *, wait_max_s: float
    ) -> None:
        self._sagas = sagas
        self._definitions = definitions
        self._streams = streams
        self._wait_max_s = wait_max_s

    async def StartSaga(self, request: pb.StartSagaRequest, context: _Context) -> pb.StartSagaResponse:
        wanted = requests.wanted_saga(request)
        wait_s = requests.seconds("wait", request.wait)
        accepted = await self._start(wanted, request.WhichOneof("input_form") or "input_json")
        if wait_s > 0:
            await self._wait(accepted.summary.id, patience_s(context, min(wait_s, self._wait_max_s)))
        view = await self._sagas.get(accepted.summary.id)
        return pb.StartSagaResponse(saga=to_saga_with_steps(view), joined=accepted.joined)

    def StartSagas(
        self, request_iterator: AsyncIterator[pb.StartSagasRequest], context: _Context
    ) -> AsyncIterator[pb.StartSagasResponse]:
        return self._streams.answers(STARTS, self.StartSaga, request_iterator, context)

    async def GetSaga(self, request: pb.GetSagaRequest, context: _Context) -> pb.GetSagaResponse:
        view = await self._sagas.get(requests.saga_id(request.saga_id))
        saga = to_saga_with_timeline(view)
        plan = await self._sagas.undo_plan(view, with_inputs=request.undo_inputs)
        if plan is not None:
            saga.undo_plan.CopyFrom(to_undo_plan(plan))
        return pb.GetSagaResponse(saga=saga)

    async def ListSagas(self, request: pb.ListSagasRequest, context: _Context) -> pb.ListSagasResponse:
        condition = parse_filter(request.filter)
        after = parse_page_token(request.page_token, condition)
        limit = requests.page_size(request.page_size)
        rows = await self._sagas.page(condition, after=after, limit=limit + 1)
        shown = as_many_as_fit(map(to_saga, rows[:limit]))
        token = next_page_token(rows, len(shown), condition)
        return pb.ListSagasResponse(sagas=shown, next_page_token=token)

    async def WatchSaga(
        self, request: pb.WatchSagaRequest, context: _Context
    ) -> AsyncIterator[pb.WatchSagaResponse]:
        saga_id = requests.saga_id(request.saga_id)
        after_seq = requests.after_seq(request.after_seq)
        watched = self._sagas.watch(saga_id, after_seq)
        # Closed here and now when the client leaves, not whenever the garbage collector comes by.
        async with aclosing(watched):
            async for record, status in watched:
                entry = None if record is None else to_entry(record)
                yield pb.WatchSagaResponse(entry=entry, status=saga_status(status))

    async def CancelSaga(self, request: pb.CancelSagaRequest, context: _Context) -> pb.CancelSagaResponse:
        saga_id = requests.saga_id(request.saga_id)
        view = await self._sagas.cancel(saga_id, requests.cancel_reason(request.reason))
        return pb.CancelSagaResponse(saga=to_saga_with_steps(view))

    async def ListDefinitions(
        self, request: pb.ListDefinitionsRequest, context: _Context
    ) -> pb.ListDefinitionsResponse:
        wanted = wanted_page(request)
        rows = await self._definitions.shown.page(
            saga_name=wanted.saga_name,
            all_states=wanted.all_states,
            after=wanted.after,
            limit=wanted.limit + 1,
        )
        return cut_definitions(rows, wanted.limit, request)

    async def GetDefinition(
        self, request: pb.GetDefinitionRequest, context: _Context
    ) -> pb.GetDefinitionResponse:
        name, version = wanted_definition("name", request.name, request.definition_version)
        shown = await self._definitions.shown.show(name, version)
        return pb.GetDefinitionResponse(definition=to_definition(shown, with_text=True))

    async def RegisterDefinition(
        self, request: pb.RegisterDefinitionRequest, context: _Context
    ) -> pb.RegisterDefinitionResponse:
        text, written, field = wanted_text(request)
        try:
            answer = await self._definitions.register(
                text, written, source=field, validate_only=request.validate_only
            )
        except InvalidDefinition as error:
            violations = [at_field(violation, field) for violation in error.violations]
            raise InvalidDefinition(field, violations) from None
        return to_answer(answer)

    async def RetireDefinition(
        self, request: pb.RetireDefinitionRequest, context: _Context
    ) -> pb.RetireDefinitionResponse:
        name, version = wanted_definition("saga_name", request.saga_name, request.definition_version)
        shown = await self._definitions.retire(name, version, if_no_open_sagas=request.if_no_open_sagas)
        return pb.RetireDefinitionResponse(definition=to_definition(shown, with_text=False))

    async def _start(self, wanted: Wanted, field: str) -> Accepted:
        try:
            return await self._sagas.start(wanted)
        except InvalidRequest as error:
            # The engine speaks of the input alone, as "$"; the caller knows it as a field of the request.
            raise InvalidRequest(
                [Violation(field + v.path.removeprefix("$"), v.sentence) for v in error.violations]
            ) from None

    async def _wait(self, saga_id: SagaId, timeout_s: float) -> None:
        """Wait for the end, if it comes in time: the saga is accepted either way, and is answered as it
        stands."""
        with suppress(WaitTimedOut, Draining):
            await self._sagas.wait(saga_id, timeout_s=timeout_s)
