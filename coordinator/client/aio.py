"""The asyncio client. A call lives as long as its caller waits for it; the only tasks of its own are those
that write and read the streams which orders and starts share.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import status_pb2

from coordinator.client import checks, tracing, wire
from coordinator.client.channel import channel_options, checked_target
from coordinator.client.errors import ClientError, Unavailable, Undecided
from coordinator.client.failures import Asked, answered, closed, elsewhere, refused, to_error
from coordinator.client.model import (
    Definition,
    Item,
    Order,
    Payment,
    RegisteredDefinition,
    Saga,
    SagaStatus,
    Started,
    Watched,
)
from coordinator.client.patience import (
    ASK_AGAIN_PAUSE_S,
    CALL_TIMEOUT_S,
    ORDER_TIMEOUT_S,
    PAUSE_S,
    WAIT_TIMEOUT_S,
    Progress,
    is_worth_asking_again,
)
from coordinator.client.stream import ORDERS, STARTS, Stream
from saga.orders.v1 import orders_pb2_grpc
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import coordinator_pb2_grpc

if TYPE_CHECKING:
    from saga.orders.v1.orders_pb2_grpc import OrderPlacementServiceAsyncStub
    from saga.v1.coordinator_pb2_grpc import CoordinatorServiceAsyncStub

_Request = TypeVar("_Request", bound=Message)
_Answer = TypeVar("_Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What belongs to one event loop."""

    loop: asyncio.AbstractEventLoop
    channel: grpc.aio.Channel
    sagas: "CoordinatorServiceAsyncStub"
    orders: "OrderPlacementServiceAsyncStub"
    shared_starts: Stream
    shared_orders: Stream


class Client:
    """A coordinator, for asyncio. Make one, and share it between tasks::

        async with Client("127.0.0.1:50051") as client:
            order = await client.place_order(...)

    *target* is any gRPC target; calls go round all its addresses. Where the coordinator offers it, orders
    share a stream and so do starts: while that lasts, all of them go to one address. A call that finds no
    coordinator is repeated for about four seconds, which bridges a restart. *timeout_s* bounds each call that
    does not take a time of its own. All errors are `ClientError`.
    """

    def __init__(self, target: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.target = checked_target(target)
        self._timeout_s = checks.timeout_s(timeout_s)
        self._opened: _Opened | None = None
        self._is_closed = False
        self._was_reached = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the calls that are under way, and take no more."""
        self._is_closed = True
        if self._opened is not None:
            await asyncio.gather(self._opened.shared_orders.close(), self._opened.shared_starts.close())
            await self._opened.channel.close()

    async def place_order(
        self,
        *,
        order_id: str,
        user_id: str,
        items: Iterable[Item],
        payment: Payment,
        timeout_s: float = ORDER_TIMEOUT_S,
    ) -> Order:
        """Place an order and wait for its end. One that failed is an answer and no error.

        The order_id names at most one order: the same call again, from wherever, gets the same answer and
        moves nothing twice. So this one asks again, too, as long as *timeout_s* lasts, where the order is
        undecided, or the coordinator was reached before and is away.

        Raises:
            Undecided: no end came in *timeout_s*, or the saga waits for a person; the order goes on.
            Conflict: the order_id belongs to another order.
        """
        request = wire.order_request(order_id, user_id, items, payment)
        ends_at = time.monotonic() + checks.timeout_s(timeout_s)
        with tracing.order() as traced:
            while True:
                try:
                    left_s = max(ends_at - time.monotonic(), 0.0)
                    opened = self._open()
                    answer = await self._ask(
                        "PlaceOrder",
                        opened.orders.PlaceOrder,
                        request,
                        timeout_s=left_s,
                        shared=opened.shared_orders,
                    )
                    traced.ended(order := wire.to_order(answer))
                    return order
                except (Undecided, Unavailable) as error:
                    left_s = ends_at - time.monotonic()
                    if not is_worth_asking_again(error, was_reached=self._was_reached, left_s=left_s):
                        raise
                await asyncio.sleep(ASK_AGAIN_PAUSE_S)

    async def start(
        self,
        saga_name: str,
        input: Mapping[str, object] | str,
        *,
        request_id: str | None = None,
        version: str | None = None,
        wait_s: float = 0.0,
        timeout_s: float | None = None,
    ) -> Started:
        """Start a saga, or join the one that the same *request_id* started. *input* is a JSON object, as a
        mapping or as text, which is sent as it is.

        Without a *request_id* each call starts a saga of its own, and exactly one. With *wait_s* the answer
        comes when the saga rests or that time is over, but no later than SAGA_WAIT_MAX: then the saga is
        shown as it stands.

        Raises:
            Conflict: the request id belongs to a saga with other content.
        """
        request = wire.start_request(saga_name, input, request_id=request_id, version=version, wait_s=wait_s)
        timeout_s = wait_s + self._timeout_s if timeout_s is None else checks.timeout_s(timeout_s)
        opened = self._open()
        answer = await self._ask(
            "StartSaga", opened.sagas.StartSaga, request, timeout_s=timeout_s, shared=opened.shared_starts
        )
        return wire.to_started(answer, has_own_id=request_id is not None)

    async def get(self, saga_id: str, *, undo_inputs: bool = False) -> Saga:
        """The saga with its steps, its timeline, and what would be undone if it turned back now.

        With *undo_inputs* also what each undo would be given, but for what the definition calls sensitive.
        """
        request = wire.request_of(pb.GetSagaRequest, saga_id=saga_id, undo_inputs=undo_inputs)
        answer = await self._ask("GetSaga", self._sagas.GetSaga, request, saga_id=saga_id)
        return wire.to_saga(answer.saga)

    async def wait(self, saga_id: str, *, timeout_s: float = WAIT_TIMEOUT_S) -> Saga:
        """The saga, once no automatic work is left.

        Raises:
            Undecided: it does not rest after *timeout_s*, and goes on.
        """
        progress = Progress(saga_id, 0, timeout_s=timeout_s, now=time.monotonic())
        while True:
            async with aclosing(self._watched(progress)) as watched:
                async for _ in watched:
                    pass
            saga = await self.get(saga_id)
            if not progress.goes_on(saga.status):
                return saga
            await asyncio.sleep(PAUSE_S)

    async def watch(
        self, saga_id: str, after_seq: int = 0, *, timeout_s: float | None = None
    ) -> AsyncGenerator[Watched, None]:
        """Each record of the saga's journal after number *after_seq* as it becomes durable, with the status
        it led to, until no automatic work is left. A broken stream is taken up where it broke.

        Raises:
            Undecided: the saga does not rest after *timeout_s*, and goes on.
            Unavailable: the coordinator went away for more than a minute.
        """
        progress = Progress(saga_id, after_seq, timeout_s=timeout_s, now=time.monotonic())
        async with aclosing(self._watched(progress)) as watched:
            async for one in watched:
                yield one

    async def list(
        self,
        *,
        filter: str = "",
        status: SagaStatus | str | None = None,
        saga_name: str | None = None,
        request_id: str | None = None,
        needs_person: bool | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Saga, None]:
        """Sagas that meet all conditions, newest first, page after page; *filter* takes AIP-160's form."""
        condition = wire.filter_text(
            filter,
            status=status,
            saga_name=saga_name,
            request_id=request_id,
            needs_person=needs_person,
            created_from=created_from,
            created_before=created_before,
        )
        token = ""
        while (size := wire.page_size(limit)) > 0:
            request = wire.request_of(pb.ListSagasRequest, page_size=size, page_token=token, filter=condition)
            page = await self._ask("ListSagas", self._sagas.ListSagas, request)
            for saga in page.sagas:
                yield wire.to_saga(saga)
            token = page.next_page_token
            if not token:
                return
            limit = None if limit is None else limit - len(page.sagas)

    async def cancel(self, saga_id: str, reason: str) -> Saga:
        """Turn a running saga back; what was begun is undone.

        Raises:
            Refused: it has ended.
        """
        request = wire.request_of(pb.CancelSagaRequest, saga_id=saga_id, reason=reason)
        answer = await self._ask("CancelSaga", self._sagas.CancelSaga, request, saga_id=saga_id)
        return wire.to_saga(answer.saga)

    async def definitions(
        self, *, saga_name: str | None = None, all_states: bool = False
    ) -> tuple[Definition, ...]:
        """What new sagas can be started with, in every version and without the texts, by name; of one name,
        those that were registered first in front. With *all_states* also what cannot be started any more.
        """
        found: list[Definition] = []
        token = ""
        while True:
            request = wire.definitions_request(saga_name, token, all_states=all_states)
            page = await self._ask("ListDefinitions", self._sagas.ListDefinitions, request)
            found += map(wire.to_definition, page.definitions)
            token = page.next_page_token
            if not token:
                return tuple(found)

    async def definition(self, name: str, *, version: str | None = None) -> Definition:
        """A definition with its text, by its name and version. Without *version*: the one that a start gets,
        or by the digest that a saga is pinned to."""
        request = wire.request_of(pb.GetDefinitionRequest, name=name, definition_version=version or "")
        answer = await self._ask("GetDefinition", self._sagas.GetDefinition, request)
        return wire.to_definition(answer.definition)

    async def register_definition(
        self, text: str, *, is_yaml: bool = False, validate_only: bool = False
    ) -> RegisteredDefinition:
        """Let new sagas be started with the definition that *text* holds, in JSON or in YAML. With
        *validate_only* nothing is written, and the answer says what it would come to.

        Raises:
            InvalidRequest: it is not right; `violations` names every fault.
            Conflict: sagas were started with other content of this version: give it a new one.
        """
        request = wire.register_request(text, is_yaml=is_yaml, validate_only=validate_only)
        answer = await self._ask("RegisterDefinition", self._sagas.RegisterDefinition, request)
        return wire.to_registered(answer)

    async def retire_definition(
        self, name: str, version: str = "", *, if_no_open_sagas: bool = False
    ) -> Definition:
        """Start no more sagas with that version, or with the draft; sagas that run go on.

        Raises:
            Refused: sagas are open on it, and *if_no_open_sagas*.
        """
        request = wire.retire_request(name, version, if_no_open_sagas=if_no_open_sagas)
        answer = await self._ask("RetireDefinition", self._sagas.RetireDefinition, request)
        return wire.to_definition(answer.definition)

    async def _watched(self, progress: Progress) -> AsyncGenerator[Watched, None]:
        saga_id = progress.saga_id
        while True:
            stream_s = progress.stream_timeout_s(time.monotonic())
            request = wire.request_of(pb.WatchSagaRequest, saga_id=saga_id, after_seq=progress.after_seq)
            asked = Asked(self.target, "WatchSaga", stream_s, request, saga_id)
            with tracing.stream() as traced:
                call = self._sagas.WatchSaga(request, timeout=stream_s, metadata=traced.metadata)
            try:
                with self._in_our_words(asked):
                    async for message in call:
                        watched = wire.to_watched(answered(message, asked))
                        if progress.is_news(watched):
                            yield watched
                return
            except ClientError as error:
                pause_s = progress.pause_s(error, time.monotonic())
            finally:
                call.cancel()
            await asyncio.sleep(pause_s)

    @property
    def _sagas(self) -> "CoordinatorServiceAsyncStub":
        return self._open().sagas

    def _open(self) -> _Opened:
        """The channel, made when it is first needed: a client may be made before its loop runs."""
        if self._is_closed:
            raise closed(self.target)
        loop = asyncio.get_running_loop()
        if self._opened is None:
            channel = grpc.aio.insecure_channel(self.target, channel_options(self.target))
            sagas = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
            self._opened = _Opened(
                loop,
                channel,
                sagas,
                orders,
                Stream(STARTS, sagas.StartSagas),
                Stream(ORDERS, orders.PlaceOrders),
            )
        elif self._opened.loop is not loop:
            raise elsewhere(self.target)
        return self._opened

    async def _ask(
        self,
        name: str,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Answer],
        request: _Request,
        *,
        timeout_s: float | None = None,
        saga_id: str = "",
        shared: Stream | None = None,
    ) -> _Answer:
        """What *method* answers, or *shared* in its place, if it can."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        asked = Asked(self.target, name, timeout_s, request, saga_id)
        with tracing.call(name, request, self.target) as traced:
            got: object = None
            with self._in_our_words(asked):
                if shared is not None:
                    ends_at = time.monotonic() + timeout_s
                    got = await shared.answer(request, timeout_s=timeout_s, traceparent=traced.traceparent)
                    timeout_s = max(ends_at - time.monotonic(), 0.0)
                if got is None and self._is_closed:
                    raise closed(self.target)
                if got is None:
                    got = await method(request, timeout=timeout_s, metadata=traced.metadata)
                if isinstance(got, status_pb2.Status):
                    raise self._told(refused(got, asked))
            self._was_reached = True
            answer: _Answer = answered(got, asked)
            traced.answered(answer)
            return answer

    def _told(self, error: ClientError) -> ClientError:
        """*error*, whose reason only a coordinator can have given."""
        self._was_reached = self._was_reached or bool(error.reason)
        return error

    @contextmanager
    def _in_our_words(self, asked: Asked) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise self._told(to_error(error, asked)) from None
        except grpc.aio.UsageError:
            raise closed(self.target) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._is_closed and (task is None or not task.cancelling()):
                # Not its task was cancelled: the channel was closed under the call.
                raise closed(self.target) from None
            raise
