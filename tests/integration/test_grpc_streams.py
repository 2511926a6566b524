"""Calls on streams over real sockets: each fares as it would alone, whatever its service does to the stream.

The services are written by hand, since what they do wrong is what is tried here.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from types import CodeType
from typing import Any, Final
from uuid import UUID

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from coordinator.adapters.grpc_participants import GrpcParticipants, connections, streams
from coordinator.domain.ids import FencingToken, IdempotencyKey, SagaId, StepName
from coordinator.domain.outcomes import Answer, NoProof, Succeeded, Unproved
from coordinator.domain.saga import Status
from coordinator.ports.deferred import Cancellable, when_over
from coordinator.ports.participants import Call, CompensateCall, ExecuteCall
from saga.v1 import participant_pb2 as pb
from tests.integration.listening import listens
from tests.integration.proxy import Proxy, proxied
from tests.scenarios.house import House, Services, define, step

PATIENCE_S: Final = 5.0
"""How long anything may take that will happen: far more than it needs."""
SHORT_S: Final = 0.2
"""For what is not answered."""
MESSAGE_BYTES_MAX: Final = 1 << 20
TRACE: Final = f"00-{'a' * 32}-{'b' * 16}-01"
CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[bytes, bytes]
Request = pb.ExecuteRequest | pb.CompensateRequest


class Left(Exception):
    """The coordinator has ended the stream."""


class Stream:
    """A stream as the service has it."""

    def __init__(self, context: Context, seen: "Service") -> None:
        self.context = context
        self.messages = list[pb.PerformRequest]()
        self.cancelled = list[int]()
        self._seen = seen
        self._unread = list[pb.NumberedCall]()

    async def greet(self) -> None:
        """Hear the greeting, and answer it."""
        message = await self._read()
        assert message == pb.PerformRequest()
        await self.say()

    async def hear(self) -> pb.NumberedCall:
        """The next call."""
        while not self._unread:
            await self._read()
        return self._unread.pop(0)

    async def hear_all(self, number: int) -> list[pb.NumberedCall]:
        return [await self.hear() for _ in range(number)]

    async def hear_cancelled(self, number: int) -> list[int]:
        """The numbers that nobody waits for any more, once there are so many."""
        while len(self.cancelled) < number:
            await self._read()
        return self.cancelled

    async def say(self, *answers: pb.NumberedAnswer) -> None:
        await self.say_bytes(pb.PerformResponse(answers=answers).SerializeToString())

    async def say_bytes(self, raw: bytes) -> None:
        await self.context.write(raw)

    async def answer_all(self) -> None:
        """Answer each call as it comes, for as long as any come."""
        while True:
            await self.say(succeeded(await self.hear()))

    async def _read(self) -> pb.PerformRequest:
        raw = await self.context.read()
        if not isinstance(raw, bytes):
            raise Left
        message = pb.PerformRequest.FromString(raw)
        self.messages.append(message)
        self.cancelled += message.cancelled
        self._unread += message.calls
        for numbered in message.calls:
            self._seen.deliver(asked(numbered), alone=False)
        return message


Talk = Callable[[Stream], Awaitable[object]]


async def well(stream: Stream) -> None:
    """As it should be."""
    await stream.greet()
    await stream.answer_all()


async def mute(stream: Stream) -> None:
    """Hears everything, and answers nothing but the greeting."""
    await stream.greet()
    while True:
        await stream.hear()


async def unimplemented(stream: Stream) -> None:
    """As gRPC answers by itself where there is no such method."""
    await stream.context.read()
    await stream.context.abort(grpc.StatusCode.UNIMPLEMENTED)


class Service(grpc.GenericRpcHandler):
    """A service that treats its streams as a test says, one after the other, and as the last of these for
    good. Whatever comes alone it performs."""

    def __init__(self, *talks: Talk) -> None:
        self.talks = list(talks)
        self.opened = 0
        """Streams, with those that came to nothing."""
        self.delivered = Counter[tuple[str, int]]()
        """By key and attempt, however they came."""
        self.alone = list[str]()
        """The keys of what came by itself."""
        self.left = asyncio.Event()
        """Whether the coordinator has ended a stream."""
        self.reply: Callable[[Request, Context], Coroutine[Any, Any, bytes]] = perform_alone

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if handler_call_details.method.endswith("/Perform"):
            return grpc.stream_stream_rpc_method_handler(self._perform)
        is_execute = handler_call_details.method.endswith("/Execute")
        kind: type[Request] = pb.ExecuteRequest if is_execute else pb.CompensateRequest

        async def answer(raw: bytes, context: Context) -> bytes:
            request = kind.FromString(raw)
            self.deliver(request, alone=True)
            return await self.reply(request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def deliver(self, request: Request, *, alone: bool) -> None:
        self.delivered[request.idempotency_key, request.attempt] += 1
        if alone:
            self.alone.append(request.idempotency_key)

    async def _perform(self, requests: AsyncIterator[bytes], context: Context) -> None:
        self.opened += 1
        talk = self.talks.pop(0) if len(self.talks) > 1 else self.talks[0]
        try:
            await talk(Stream(context, self))
        except (Left, asyncio.CancelledError):
            self.left.set()
            raise asyncio.CancelledError from None


async def perform_alone(request: Request, context: Context) -> bytes:
    kind = pb.ExecuteResponse if isinstance(request, pb.ExecuteRequest) else pb.CompensateResponse
    done = pb.Succeeded(output_json=f'"{request.idempotency_key}"')
    return kind(idempotency_key=request.idempotency_key, succeeded=done).SerializeToString()


async def started(service: Service, address: str = "127.0.0.1:0") -> tuple[grpc.aio.Server, str]:
    """*service* behind a server of its own, and its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port(address)
    await server.start()
    await listens(port)
    return server, f"127.0.0.1:{port}"


@asynccontextmanager
async def hosted(service: Service) -> AsyncIterator[str]:
    server, address = await started(service)
    try:
        yield address
    finally:
        await server.stop(None)


@asynccontextmanager
async def calling(*, decides_sampling: bool = False, **targets: str) -> AsyncIterator[GrpcParticipants]:
    adapter = GrpcParticipants(
        targets, message_bytes_max=MESSAGE_BYTES_MAX, decides_sampling=decides_sampling
    )
    try:
        async with asyncio.timeout(4 * PATIENCE_S):
            yield adapter
    finally:
        await adapter.close()


@asynccontextmanager
async def served(*talks: Talk) -> AsyncIterator[tuple[GrpcParticipants, Service]]:
    """A service that treats its streams so, and who calls it."""
    service = Service(*talks)
    async with hosted(service) as address, calling(Payments=address) as adapter:
        yield adapter, service


def a_call(number: int, *, attempt: int = 1, service: str = "Payments", **more: Any) -> ExecuteCall:
    call = ExecuteCall(
        key=IdempotencyKey(f"s-{number}/charge/execute"),
        saga_id=SagaId(f"s-{number}"),
        saga_name="Order",
        service=service,
        step=StepName("charge"),
        transaction="chargeCard",
        attempt=attempt,
        token=FencingToken(7),
        input='{"amount":12345678901234567890}',
    )
    return replace(call, **more)


def an_undo(number: int) -> CompensateCall:
    return CompensateCall(
        key=IdempotencyKey(f"s-{number}/charge/compensate"),
        saga_id=SagaId(f"s-{number}"),
        saga_name="Order",
        service="Payments",
        step=StepName("charge"),
        compensation="refund",
        attempt=1,
        token=FencingToken(7),
        input="{}",
        receipt='{"id":1}',
    )


def asked(numbered: pb.NumberedCall) -> Request:
    return numbered.execute if numbered.HasField("execute") else numbered.compensate


def succeeded(numbered: pb.NumberedCall, output: str = "") -> pb.NumberedAnswer:
    """The answer to that call: its key, if nothing else."""
    key = asked(numbered).idempotency_key
    done = pb.Succeeded(output_json=output or f'"{key}"')
    if numbered.HasField("execute"):
        response = pb.ExecuteResponse(idempotency_key=key, succeeded=done)
        return pb.NumberedAnswer(number=numbered.number, execute=response)
    undone = pb.CompensateResponse(idempotency_key=key, succeeded=done)
    return pb.NumberedAnswer(number=numbered.number, compensate=undone)


def success_of(call: Call) -> Succeeded:
    """What a call is answered that was given its own answer."""
    return Succeeded(f'"{call.key}"')


def kind_of(answer: Answer) -> Unproved | None:
    return answer.kind if isinstance(answer, NoProof) else None


def code_of(answer: Answer) -> str:
    assert isinstance(answer, NoProof), answer
    return answer.code


class UnderWay(asyncio.Future[Answer]):
    """An answer to come, that a test can look at; to cancel it cancels the call, at once."""

    waiting: Cancellable

    def told(self, outcome: Answer | BaseException) -> None:
        if self.done():
            return
        if isinstance(outcome, BaseException):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)

    def cancel(self, msg: object = None) -> bool:
        is_cancelled = super().cancel(msg)
        self.waiting.cancel()
        return is_cancelled


def under_way(adapter: GrpcParticipants, call: Call, *, timeout_s: float = PATIENCE_S) -> UnderWay:
    answer = UnderWay()
    answer.waiting = when_over(adapter.perform(call, timeout_s=timeout_s), answer.told)
    return answer


async def all_of(
    adapter: GrpcParticipants, calls: Sequence[Call], *, timeout_s: float = PATIENCE_S
) -> list[Answer]:
    return await asyncio.gather(*(adapter.perform(call, timeout_s=timeout_s) for call in calls))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_one_that_is_answered_late_holds_up_no_other() -> None:
    others_are_answered = asyncio.Event()

    async def late(stream: Stream) -> None:
        await stream.greet()
        first, *others = await stream.hear_all(5)
        await stream.say(*map(succeeded, others))
        await others_are_answered.wait()
        await stream.say(succeeded(first))

    calls = [a_call(number) for number in range(5)]
    async with served(late) as (adapter, service):
        first, *others = (under_way(adapter, call) for call in calls)
        assert await asyncio.gather(*others) == [success_of(call) for call in calls[1:]]
        assert not first.done()
        others_are_answered.set()
        assert await first == success_of(calls[0])
    assert (service.opened, service.alone) == (1, [])


async def test_answers_come_in_any_order_and_many_at_a_time() -> None:
    async def in_any_order(stream: Stream) -> None:
        await stream.greet()
        heard = await stream.hear_all(100)
        random.Random(7).shuffle(heard)
        while heard:
            await stream.say(*(succeeded(heard.pop()) for _ in range(min(7, len(heard)))))

    calls: list[Call] = [an_undo(number) if number % 3 == 0 else a_call(number) for number in range(100)]
    async with served(in_any_order) as (adapter, service):
        assert await all_of(adapter, calls) == [success_of(call) for call in calls]
    assert service.delivered == Counter((call.key, call.attempt) for call in calls)


async def test_what_is_asked_for_while_one_write_is_under_way_is_the_next_write() -> None:
    heard = list[Stream]()

    async def listening(stream: Stream) -> None:
        heard.append(stream)
        await well(stream)

    async with served(listening) as (adapter, _):
        await all_of(adapter, [a_call(number) for number in range(50)])
    greeting, *messages = heard[0].messages
    assert greeting == pb.PerformRequest()
    assert [[call.number for call in message.calls] for message in messages] == [list(range(1, 51))]


async def test_who_decides_what_is_recorded_says_so_once_for_all_calls_of_a_stream() -> None:
    heard = list[Stream]()

    async def listening(stream: Stream) -> None:
        heard.append(stream)
        # Whoever does not know it yet sees a greeting all the same.
        await stream.say()
        await stream.answer_all()

    async with (
        hosted(Service(listening)) as address,
        calling(decides_sampling=True, Payments=address) as adapter,
    ):
        await all_of(adapter, [a_call(1, saga_id=SagaId(str(UUID(int=1)))), a_call(2, trace=TRACE)])
    greeting, message = heard[0].messages
    assert greeting == pb.PerformRequest(sampled_by_caller=True)
    assert [call.traceparent for call in message.calls] == ["", TRACE]
    assert not message.sampled_by_caller


async def test_a_later_call_has_a_number_of_its_own() -> None:
    numbers = list[int]()

    async def listening(stream: Stream) -> None:
        await stream.greet()
        heard = list[pb.NumberedCall]()
        for _ in range(3):
            heard.append(await stream.hear())
            numbers.append(heard[-1].number)
        await stream.say(*map(succeeded, heard))

    async with served(listening) as (adapter, _):
        under_way = list[Awaitable[Answer]]()
        for number in range(3):
            under_way.append(adapter.perform(a_call(number), timeout_s=PATIENCE_S))
            await until(lambda: len(numbers) == len(under_way))
        answers = [await answer for answer in under_way]
    assert answers == [success_of(a_call(number)) for number in range(3)]
    assert numbers == [1, 2, 3]


async def test_its_deadline_and_its_trace_reach_the_service() -> None:
    heard = list[pb.NumberedCall]()

    async def listening(stream: Stream) -> None:
        await stream.greet()
        heard.extend(await stream.hear_all(2))
        await stream.say(*map(succeeded, heard))

    async with served(listening) as (adapter, _):
        first = adapter.perform(a_call(1, trace=TRACE), timeout_s=4.25)
        second = adapter.perform(an_undo(2), timeout_s=PATIENCE_S)
        await asyncio.gather(first, second)
    assert [call.timeout.ToMilliseconds() for call in heard] == [4250, 1000 * PATIENCE_S]
    assert [call.traceparent for call in heard] == [TRACE, ""]
    assert heard[0].execute == pb.ExecuteRequest(
        idempotency_key="s-1/charge/execute",
        saga_id="s-1",
        saga_name="Order",
        service="Payments",
        step="charge",
        transaction="chargeCard",
        attempt=1,
        fencing_token=7,
        input_json='{"amount":12345678901234567890}',
    )
    assert heard[1].compensate.execute_output_json == '{"id":1}'


@pytest.mark.parametrize("code", [None, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED])
async def test_a_service_that_ends_its_stream_after_each_answer_does_all_in_the_end_and_nothing_twice(
    code: grpc.StatusCode | None,
) -> None:
    async def one_at_a_time(stream: Stream) -> None:
        await stream.greet()
        await stream.say(succeeded(await stream.hear()))
        if code is not None:
            await stream.context.abort(code)

    failed = Counter[str]()

    async def until_it_is_done(number: int) -> Answer:
        for attempt in count(1):
            answer = await adapter.perform(a_call(number, attempt=attempt), timeout_s=PATIENCE_S)
            if isinstance(answer, Succeeded):
                return answer
            assert kind_of(answer) is Unproved.TRANSIENT
            failed[code_of(answer)] += 1
        raise AssertionError("nobody counts so far")

    async with served(one_at_a_time) as (adapter, service):
        answers = await asyncio.gather(*map(until_it_is_done, range(12)))
    assert answers == [success_of(a_call(number)) for number in range(12)]
    assert service.opened >= 12
    assert set(service.delivered.values()) == {1}
    assert service.alone == []
    # All go in one message: those that are not answered first fail with its stream, and go on the next one.
    assert failed == {(code or grpc.StatusCode.UNAVAILABLE).name: sum(range(12))}


async def test_a_service_without_streams_gets_each_call_alone_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = [a_call(number) for number in range(20)]
    async with served(unimplemented, well) as (adapter, service):
        assert await all_of(adapter, calls) == [success_of(call) for call in calls]
        assert sorted(service.alone) == sorted(call.key for call in calls)
        # And is not asked for a stream again with each.
        await adapter.perform(a_call(20), timeout_s=PATIENCE_S)
        assert (service.opened, len(service.alone)) == (1, 21)
    assert set(service.delivered.values()) == {1}


async def test_streams_are_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ALONE_S", 0.05)
    async with served(unimplemented, well) as (adapter, service):
        await adapter.perform(a_call(1), timeout_s=PATIENCE_S)
        await asyncio.sleep(0.06)
        await adapter.perform(a_call(2), timeout_s=PATIENCE_S)
    assert service.alone == [a_call(1).key]
    assert service.opened == 2


async def test_one_that_swallows_the_greeting_costs_no_call_an_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "GREETING_S", 0.1)
    kept = list[Stream]()

    async def swallowing(stream: Stream) -> None:
        kept.append(stream)
        while True:
            await stream.hear()

    calls = [a_call(number) for number in range(10)]
    async with served(swallowing) as (adapter, service):
        assert await all_of(adapter, calls) == [success_of(call) for call in calls]
        await adapter.perform(a_call(10), timeout_s=PATIENCE_S)
        await asyncio.wait_for(service.left.wait(), PATIENCE_S)
    assert [stream.messages for stream in kept] == [[pb.PerformRequest()]]
    assert len(service.alone) == 11
    assert set(service.delivered.values()) == {1}


async def test_one_that_is_cancelled_while_it_goes_alone_for_want_of_a_stream_is_cancelled_there() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def hang(request: Request, context: Context) -> bytes:
        arrived.set()
        try:
            await asyncio.sleep(10 * PATIENCE_S)
        except asyncio.CancelledError:
            left.set()
            raise
        return b""

    async with served(unimplemented) as (adapter, service):
        service.reply = hang
        answer = under_way(adapter, a_call(1), timeout_s=10 * PATIENCE_S)
        await arrived.wait()
        answer.cancel()
        await asyncio.wait_for(left.wait(), PATIENCE_S)
        assert answer.cancelled()


async def test_what_went_alone_for_want_of_a_stream_ends_at_its_own_deadline() -> None:
    async def hang(request: Request, context: Context) -> bytes:
        await asyncio.sleep(PATIENCE_S)
        return b""

    async with served(unimplemented) as (adapter, service):
        service.reply = hang
        [answer] = await all_of(adapter, [a_call(1)], timeout_s=SHORT_S)
    assert (kind_of(answer), code_of(answer)) == (Unproved.TRANSIENT, "DEADLINE_EXCEEDED")


async def test_a_server_that_is_about_to_be_there_is_asked_for_a_stream_with_the_next_call() -> None:
    async def not_yet(stream: Stream) -> None:
        await stream.context.abort(grpc.StatusCode.UNAVAILABLE)

    calls = [a_call(number) for number in range(3)]
    async with served(not_yet, well) as (adapter, service):
        assert await all_of(adapter, calls[:2]) == [success_of(call) for call in calls[:2]]
        assert await all_of(adapter, calls[2:]) == [success_of(calls[2])]
    assert sorted(service.alone) == [call.key for call in calls[:2]]


async def test_one_that_reads_nothing_holds_up_its_own_calls_alone_and_gets_another_stream() -> None:
    slow, quick = Service(deaf, well), Service(well)
    async with (
        hosted(slow) as slow_address,
        hosted(quick) as quick_address,
        calling(Slow=slow_address, Quick=quick_address) as adapter,
    ):
        large = [a_call(number, service="Slow", input=f'"{"x" * 200_000}"') for number in range(40)]
        unheard = [under_way(adapter, call) for call in large]
        calls = [a_call(number, service="Quick") for number in range(40)]
        assert await all_of(adapter, calls) == [success_of(call) for call in calls]
        assert not any(answer.done() for answer in unheard)
        for answer in unheard[1:]:
            answer.cancel()
        last = await adapter.perform(a_call(40, service="Slow"), timeout_s=SHORT_S)
        assert (kind_of(last), code_of(last)) == (Unproved.TRANSIENT, "DEADLINE_EXCEEDED")
        unheard[0].cancel()
        # Whoever is stuck is let go, with all that was kept for it.
        assert not adapter._streamed["Slow"]._all
        again = a_call(1, service="Slow", attempt=2)
        assert await adapter.perform(again, timeout_s=PATIENCE_S) == success_of(again)
    assert (slow.opened, slow.alone) == (2, [])


async def test_what_nobody_waits_for_is_kept_for_nobody() -> None:
    async def deaf_and_talkative(stream: Stream) -> None:
        await stream.greet()
        while True:
            await stream.say(pb.NumberedAnswer(number=99))
            await asyncio.sleep(0.01)

    async with served(deaf_and_talkative) as (adapter, service):
        # Long enough for a machine that stands still for a while to answer something all the same.
        await all_of(adapter, [a_call(n, input=f'"{"x" * 200_000}"') for n in range(40)], timeout_s=1.0)
        # It answers something, and so no other stream is tried; but what it does not take is not heaped up.
        [stream] = adapter._streamed["Payments"]._all
        assert not stream._outgoing
        assert not stream._waiting
    assert service.opened == 1


async def test_one_that_answers_nothing_is_told_what_nobody_waits_for_and_gets_another_stream() -> None:
    told = asyncio.get_running_loop().create_future()

    async def mute_to_three(stream: Stream) -> None:
        await stream.greet()
        await stream.hear_all(3)
        told.set_result(await stream.hear_cancelled(1))
        await stream.hear()

    async with served(mute_to_three, well) as (adapter, service):
        first = adapter.perform(a_call(1), timeout_s=SHORT_S)
        others = [under_way(adapter, a_call(number)) for number in (2, 3)]
        assert code_of(await first) == "DEADLINE_EXCEEDED"
        assert await told == [1]
        assert await adapter.perform(a_call(4), timeout_s=PATIENCE_S) == success_of(a_call(4))
        # Those that are left on the first stream may still be answered: it ends with the last of them.
        assert not service.left.is_set()
        for answer in others:
            answer.cancel()
        await asyncio.wait_for(service.left.wait(), PATIENCE_S)
    assert (service.opened, service.alone) == (2, [])


@asynccontextmanager
async def far_away(*talks: Talk) -> AsyncIterator[tuple[GrpcParticipants, Service, Proxy]]:
    """A service that treats its streams so, whoever is in between, and who calls it."""
    service = Service(*talks)
    async with (
        hosted(service) as address,
        proxied(address) as proxy,
        calling(Payments=proxy.address) as adapter,
    ):
        yield adapter, service, proxy


@pytest.mark.parametrize("talk", [well, unimplemented])
async def test_a_connection_on_which_nothing_is_heard_is_replaced_while_there_are_attempts_left(
    monkeypatch: pytest.MonkeyPatch, talk: Talk
) -> None:
    monkeypatch.setattr(connections, "TRUSTED_S", 0.0)
    monkeypatch.setattr(streams, "GREETING_S", SHORT_S / 2)
    async with far_away(talk) as (adapter, _, proxy):
        assert await adapter.perform(a_call(1), timeout_s=PATIENCE_S) == success_of(a_call(1))
        proxy.swallow()
        answers = [await adapter.perform(a_call(2, attempt=n), timeout_s=SHORT_S) for n in (1, 2, 3)]
    assert code_of(answers[0]) == "DEADLINE_EXCEEDED"
    assert answers[-1] == success_of(a_call(2))


async def test_what_was_asked_on_a_connection_that_is_replaced_may_still_be_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TRUSTED_S", 0.0)
    go_on = asyncio.Event()

    async def slow(stream: Stream) -> None:
        await stream.greet()
        first, _ = await stream.hear_all(2)
        await go_on.wait()
        await stream.say(succeeded(first))
        await stream.hear()

    async with far_away(slow, well) as (adapter, service, proxy):
        first = adapter.perform(a_call(1), timeout_s=PATIENCE_S)
        assert code_of(await adapter.perform(a_call(2), timeout_s=SHORT_S)) == "DEADLINE_EXCEEDED"
        await until(lambda: proxy.connections == 2)
        assert await adapter.perform(a_call(3), timeout_s=PATIENCE_S) == success_of(a_call(3))
        go_on.set()
        assert await first == success_of(a_call(1))
    assert (service.opened, service.alone) == (2, [])


async def test_a_connection_is_kept_for_as_long_as_there_is_no_other_to_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TRUSTED_S", 0.0)
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", SHORT_S)
    async with far_away(mute, mute, well) as (adapter, service, proxy):
        proxy.is_let_through.clear()
        connecting = adapter.perform(a_call(1), timeout_s=SHORT_S)
        await until(lambda: proxy.connections == 1)
        proxy.is_let_through.set()
        assert code_of(await connecting) == "DEADLINE_EXCEEDED"
        proxy.is_let_through.clear()
        assert code_of(await adapter.perform(a_call(2), timeout_s=2 * SHORT_S)) == "DEADLINE_EXCEEDED"
        assert await adapter.perform(a_call(3), timeout_s=PATIENCE_S) == success_of(a_call(3))
    assert service.alone == []


async def test_a_stream_that_was_opened_on_a_connection_while_that_was_replaced_is_left_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TRUSTED_S", 0.0)
    async with far_away(mute, well, well) as (adapter, service, proxy):
        first = adapter.perform(a_call(1), timeout_s=SHORT_S)
        await until(lambda: service.opened == 1)
        proxy.is_let_through.clear()
        assert code_of(await first) == "DEADLINE_EXCEEDED"
        await until(lambda: proxy.connections == 2)
        old = adapter._connections["Payments"].line
        assert await adapter.perform(a_call(2), timeout_s=PATIENCE_S) == success_of(a_call(2))
        proxy.is_let_through.set()
        await until(lambda: adapter._connections["Payments"].line is not old)
        assert await adapter.perform(a_call(3), timeout_s=PATIENCE_S) == success_of(a_call(3))
        assert (service.opened, service.alone) == (3, [])
        await until(lambda: len(adapter._connections["Payments"]._lines) == 1)


async def test_a_stream_that_is_left_before_it_is_greeted_sends_nobody_alone() -> None:
    may_greet = asyncio.Event()

    async def slow_to_greet(stream: Stream) -> None:
        await may_greet.wait()

    async with served(slow_to_greet, well) as (adapter, service):
        waiting = under_way(adapter, a_call(1))
        await until(lambda: service.opened == 1)
        adapter._streamed["Payments"].renew()
        waiting.cancel()
        assert not adapter._streamed["Payments"]._all
        assert await adapter.perform(a_call(2), timeout_s=PATIENCE_S) == success_of(a_call(2))
        assert (service.opened, service.alone) == (2, [])
        may_greet.set()


async def test_a_connection_that_is_new_is_not_replaced() -> None:
    async with far_away(mute, well) as (adapter, _, proxy):
        assert code_of(await adapter.perform(a_call(1), timeout_s=SHORT_S)) == "DEADLINE_EXCEEDED"
        assert await adapter.perform(a_call(2), timeout_s=PATIENCE_S) == success_of(a_call(2))
    assert proxy.connections == 1


async def test_an_answer_that_comes_too_late_is_nobodys() -> None:
    async def too_late(stream: Stream) -> None:
        await stream.greet()
        first, second = await stream.hear_all(2)
        await stream.hear_cancelled(1)
        await stream.say(succeeded(first), succeeded(second))
        await stream.answer_all()

    async with served(too_late) as (adapter, _):
        first = adapter.perform(a_call(1), timeout_s=0.05)
        second = adapter.perform(a_call(2), timeout_s=PATIENCE_S)
        assert code_of(await first) == "DEADLINE_EXCEEDED"
        assert await second == success_of(a_call(2))


@pytest.mark.parametrize("first_s", [PATIENCE_S, 0.001])
async def test_each_call_has_a_deadline_of_its_own(first_s: float) -> None:
    async with served(mute) as (adapter, _):
        calls = [under_way(adapter, a_call(number), timeout_s=first_s) for number in range(2)]
        for soon_s in (0.1, 0.05, 0.2):
            calls.append(under_way(adapter, a_call(len(calls)), timeout_s=soon_s))
        async with asyncio.timeout(PATIENCE_S / 2):
            answers = await asyncio.gather(*(calls[2:] if first_s == PATIENCE_S else calls))
        assert {code_of(answer) for answer in answers} == {"DEADLINE_EXCEEDED"}
        for call in calls[:2]:
            assert call.done() == (first_s != PATIENCE_S)
            call.cancel()


@pytest.mark.parametrize("timeout_s", [1e-9, 1e-6, 0.001])
async def test_a_deadline_that_is_soon_costs_its_own_call_alone(timeout_s: float) -> None:
    async with served(well) as (adapter, service):
        hasty = [adapter.perform(a_call(number), timeout_s=timeout_s) for number in range(3)]
        patient = adapter.perform(a_call(3), timeout_s=PATIENCE_S)
        for number, answer in enumerate(await asyncio.gather(*hasty)):
            assert answer == success_of(a_call(number)) or code_of(answer) == "DEADLINE_EXCEEDED"
        assert await patient == success_of(a_call(3))
        assert await adapter.perform(a_call(4), timeout_s=PATIENCE_S) == success_of(a_call(4))
    assert service.alone == []


async def test_a_deadline_that_ends_before_the_greeting_is_answered_tells_nothing_about_the_stream() -> None:
    may_greet = asyncio.Event()

    async def slow_to_greet(stream: Stream) -> None:
        await may_greet.wait()
        await well(stream)

    async with served(slow_to_greet) as (adapter, service):
        [hasty] = await all_of(adapter, [a_call(1)], timeout_s=0.01)
        assert code_of(hasty) == "DEADLINE_EXCEEDED"
        answer = adapter.perform(a_call(2), timeout_s=PATIENCE_S)
        may_greet.set()
        assert await answer == success_of(a_call(2))
    assert (service.opened, service.alone) == (1, [])
    assert service.delivered == Counter({(a_call(2).key, 1): 1})


async def test_one_that_is_cancelled_is_told_by_its_number_and_the_others_go_on() -> None:
    cancelled = list[int]()

    async def listening(stream: Stream) -> None:
        await stream.greet()
        first, _, third = await stream.hear_all(3)
        cancelled.extend(await stream.hear_cancelled(1))
        await stream.say(succeeded(first), succeeded(third))
        await stream.hear()

    async with served(listening) as (adapter, service):
        first, second, third = (under_way(adapter, a_call(n)) for n in range(3))
        await until(lambda: len(service.delivered) == 3)
        second.cancel()
        assert await first == success_of(a_call(0))
        assert await third == success_of(a_call(2))
        assert second.cancelled()
    assert cancelled == [2]


async def test_one_that_is_cancelled_before_it_is_sent_is_never_sent() -> None:
    may_greet = asyncio.Event()
    kept = list[Stream]()

    async def slow_to_greet(stream: Stream) -> None:
        kept.append(stream)
        await may_greet.wait()
        await well(stream)

    async with served(slow_to_greet) as (adapter, service):
        first, second, third = (under_way(adapter, a_call(n)) for n in range(3))
        await until(lambda: service.opened == 1)
        second.cancel()
        may_greet.set()
        assert await first == success_of(a_call(0))
        assert await third == success_of(a_call(2))
    assert sorted(key for key, _ in service.delivered) == [a_call(0).key, a_call(2).key]
    assert kept[0].cancelled == []


def status_with(code: int, *reasons: tuple[str, str], message: str = "m") -> status_pb2.Status:
    """A status with an ErrorInfo for each domain and reason."""
    status = status_pb2.Status(code=code, message=message)
    for domain, reason in reasons:
        status.details.add().Pack(error_details_pb2.ErrorInfo(domain=domain, reason=reason))
    return status


_REASONS: Final = ("KEY_REUSED", "BARRED", "STALE_TOKEN", "UNKNOWN_SERVICE", "not a reason")
_UNREADABLE: Final = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
STATUSES: Final = [
    status
    for code in CODES
    if code != grpc.StatusCode.OK.value[0]
    for status in (
        status_with(code),
        *(status_with(code, ("saga.v1", reason), message="mine\n") for reason in _REASONS),
        status_with(code, ("example.com", "STALE_TOKEN")),
        status_with(code, ("example.com", "STALE_TOKEN"), ("saga.v1", "BARRED")),
        status_pb2.Status(code=code, message="m", details=[_UNREADABLE]),
    )
]


async def test_a_status_is_the_same_verdict_on_a_stream_as_it_is_alone() -> None:
    def status_of(request: Request) -> status_pb2.Status:
        return STATUSES[int(request.saga_id.removeprefix("s-"))]

    async def failing(stream: Stream) -> None:
        await stream.greet()
        while True:
            numbered = await stream.hear()
            status = status_of(asked(numbered))
            await stream.say(pb.NumberedAnswer(number=numbered.number, status=status))

    async def fail(request: Request, context: Context) -> bytes:
        status = status_of(request)
        if status.details:
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(CODES[status.code], status.message)

    calls: list[Call] = [an_undo(number) if number % 2 else a_call(number) for number in range(len(STATUSES))]
    async with served(failing) as (adapter, on_stream):
        answers = await all_of(adapter, calls)
    async with served(unimplemented) as (adapter, alone):
        alone.reply = fail
        expected = await all_of(adapter, calls)
    assert (len(on_stream.alone), len(alone.alone)) == (0, len(calls))
    assert answers == expected
    assert {kind_of(answer) for answer in answers} == {*Unproved} - {Unproved.BROKEN_CONTRACT}


async def test_an_answer_under_another_number_or_another_key_costs_no_other_call() -> None:
    async def confused(stream: Stream) -> None:
        await stream.greet()
        first, second, third = await stream.hear_all(3)
        await stream.say(pb.NumberedAnswer(number=99, execute=succeeded(first).execute))
        await stream.say(pb.NumberedAnswer(number=0, execute=succeeded(first).execute))
        # The answer to the first under the number of the second.
        await stream.say(pb.NumberedAnswer(number=second.number, execute=succeeded(first).execute))
        # Twice: who comes first counts.
        await stream.say(succeeded(third), succeeded(third, '"again"'))
        await stream.say(succeeded(third, '"again"'), succeeded(first))
        await stream.answer_all()

    async with served(confused) as (adapter, service):
        first, second, third = await all_of(adapter, [a_call(number) for number in range(3)])
        assert first == success_of(a_call(0))
        assert kind_of(second) is Unproved.BROKEN_CONTRACT
        assert third == success_of(a_call(2))
        assert await adapter.perform(a_call(3), timeout_s=PATIENCE_S) == success_of(a_call(3))
    assert (service.opened, service.alone) == (1, [])


async def test_an_answer_that_was_there_before_its_call_was_sent_is_none() -> None:
    call = a_call(0)

    async def guesses(stream: Stream) -> None:
        guess = pb.ExecuteResponse(idempotency_key=call.key, succeeded=pb.Succeeded(output_json='"guessed"'))
        # With the answer to the greeting, before which nothing is sent.
        await stream.say(pb.NumberedAnswer(number=1, execute=guess))
        await stream.answer_all()

    async with served(guesses) as (adapter, service):
        assert await adapter.perform(call, timeout_s=PATIENCE_S) == success_of(call)
    assert service.delivered == {(call.key, call.attempt): 1}


_TOO_LARGE: Final = pb.PerformResponse(
    answers=[
        pb.NumberedAnswer(
            number=1,
            execute=pb.ExecuteResponse(succeeded=pb.Succeeded(output_json="x" * (MESSAGE_BYTES_MAX + 1))),
        )
    ]
).SerializeToString()


@pytest.mark.parametrize("raw", [b"\xff" * 7 + b"tok-canary-1", _TOO_LARGE], ids=["malformed", "too large"])
async def test_who_breaks_a_stream_by_what_it_says_is_found_out_alone(
    raw: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "ALONE_S", 0.3)
    culprit = a_call(1)

    async def poisoned(stream: Stream) -> None:
        await stream.greet()
        await stream.hear_all(3)
        await stream.say_bytes(raw)
        await stream.hear()

    async def reply(request: Request, context: Context) -> bytes:
        return raw if request.idempotency_key == culprit.key else await perform_alone(request, context)

    async with served(poisoned, well) as (adapter, service):
        service.reply = reply
        with caplog.at_level(logging.INFO, logger="coordinator"):
            answers = await all_of(adapter, [a_call(number) for number in range(3)])
        # Of none is anything known yet.
        assert [kind_of(answer) for answer in answers] == [Unproved.TRANSIENT] * 3
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert "Payments" in record.getMessage()
        assert "canary" not in caplog.text
        first, second, third = await all_of(adapter, [a_call(number, attempt=2) for number in range(3)])
        assert kind_of(second) is Unproved.BROKEN_CONTRACT
        assert [first, third] == [success_of(a_call(0)), success_of(a_call(2))]
        assert service.opened == 1
        await asyncio.sleep(0.31)
        assert await adapter.perform(a_call(4), timeout_s=PATIENCE_S) == success_of(a_call(4))
    assert (service.opened, len(service.alone)) == (2, 3)


@pytest.mark.parametrize(
    ("answers", "ends"), [(streams.ANSWERS_AT_ONCE, False), (streams.ANSWERS_AT_ONCE + 1, True)]
)
async def test_who_answers_more_calls_than_there_were_ends_the_stream(answers: int, ends: bool) -> None:
    async def floods(stream: Stream) -> None:
        await stream.greet()
        call = await stream.hear()
        await stream.say(*[pb.NumberedAnswer()] * answers)
        await stream.say(succeeded(call))
        await stream.hear()

    async with served(floods, well) as (adapter, _):
        answer = await adapter.perform(a_call(1), timeout_s=PATIENCE_S)
        if not ends:
            assert answer == success_of(a_call(1))
            return
        assert isinstance(answer, NoProof)
        assert (answer.kind, answer.code) == (Unproved.TRANSIENT, "INTERNAL")


async def test_many_answers_of_one_message_leave_turns_to_others() -> None:
    count = 2 * streams.ANSWERS_AT_ONCE + 1
    turns: list[int] = []
    answered = 0

    async def together(stream: Stream) -> None:
        await stream.greet()
        await stream.say(*[succeeded(call) for call in await stream.hear_all(count)])
        await stream.hear()

    async def watch() -> None:
        while answered < count:
            turns.append(answered)
            await asyncio.sleep(0)

    def note(_: object) -> None:
        nonlocal answered
        answered += 1

    async with served(together) as (adapter, _):
        calls = [
            asyncio.ensure_future(adapter.perform(a_call(n), timeout_s=PATIENCE_S)) for n in range(count)
        ]
        for call in calls:
            call.add_done_callback(note)
        await watch()
        assert all(call.result() == success_of(a_call(n)) for n, call in enumerate(calls))
    assert any(0 < seen < count for seen in turns)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL])
async def test_a_call_by_which_the_handler_of_a_stream_breaks_down_costs_the_others_one_attempt(
    code: grpc.StatusCode,
) -> None:
    culprit = a_call(1)

    async def breaks_down(stream: Stream) -> None:
        await stream.greet()
        await stream.hear_all(3)
        await stream.context.abort(code)

    async def reply(request: Request, context: Context) -> bytes:
        if request.idempotency_key == culprit.key:
            await context.abort(code)
        return await perform_alone(request, context)

    async with served(breaks_down) as (adapter, service):
        service.reply = reply
        answers = await all_of(adapter, [a_call(number) for number in range(3)])
        assert [(kind_of(a), code_of(a)) for a in answers] == [(Unproved.TRANSIENT, code.name)] * 3
        first, second, third = await all_of(adapter, [a_call(number, attempt=2) for number in range(3)])
    assert [first, third] == [success_of(a_call(0)), success_of(a_call(2))]
    assert (kind_of(second), code_of(second)) == (Unproved.TRANSIENT, code.name)
    assert (service.opened, len(service.alone)) == (1, 3)


async def test_a_stream_that_breaks_while_nobody_waits_sends_nobody_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def once(stream: Stream) -> None:
        await stream.greet()
        await stream.say(succeeded(await stream.hear()))
        await stream.context.abort(grpc.StatusCode.INTERNAL)

    async with served(once, well) as (adapter, service):
        assert await adapter.perform(a_call(1), timeout_s=PATIENCE_S) == success_of(a_call(1))
        while adapter._streamed["Payments"]._all:
            await asyncio.sleep(0.01)
        assert await adapter.perform(a_call(2), timeout_s=PATIENCE_S) == success_of(a_call(2))
    assert (service.opened, service.alone, caplog.records) == (2, [], [])


async def test_a_stream_that_is_refused_for_good_is_refused_to_each_call_alone() -> None:
    async def refused(stream: Stream) -> None:
        await stream.greet()
        await stream.hear()
        await stream.context.abort(grpc.StatusCode.PERMISSION_DENIED)

    async def refuse(request: Request, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED)

    async with served(refused) as (adapter, service):
        service.reply = refuse
        first = await adapter.perform(a_call(1), timeout_s=PATIENCE_S)
        again = await adapter.perform(a_call(1, attempt=2), timeout_s=PATIENCE_S)
    assert (kind_of(first), code_of(first)) == (Unproved.TRANSIENT, "PERMISSION_DENIED")
    assert (kind_of(again), code_of(again)) == (Unproved.PERMANENT, "PERMISSION_DENIED")
    assert service.alone == [a_call(1).key]


async def test_more_than_a_server_takes_in_one_message_goes_in_several() -> None:
    kept = list[Stream]()

    async def listening(stream: Stream) -> None:
        kept.append(stream)
        await well(stream)

    # Together more than the 4 MiB that a server takes by default.
    sizes = [400_000] * 9 + [2_000_000] + [100] * 3
    calls = [a_call(number, input=f'"{"x" * size}"') for number, size in enumerate(sizes)]
    async with served(listening) as (adapter, service):
        assert await all_of(adapter, calls) == [success_of(call) for call in calls]
    assert [[call.number for call in message.calls] for message in kept[0].messages[1:]] == [
        [1, 2],
        [3, 4],
        [5, 6],
        [7, 8],
        [9],
        [10],
        [11, 12, 13],
    ]
    assert (service.opened, service.alone) == (1, [])


async def test_a_service_that_restarts_gets_its_calls_on_a_stream_again() -> None:
    before, after = Service(mute), Service(well)
    server, address = await started(before)
    async with calling(Payments=address) as adapter:
        under_way = adapter.perform(a_call(1), timeout_s=PATIENCE_S)
        await until(lambda: bool(before.delivered))
        await server.stop(None)
        assert kind_of(await under_way) is Unproved.TRANSIENT
        nobody_there = await adapter.perform(a_call(1, attempt=2), timeout_s=PATIENCE_S)
        assert (kind_of(nobody_there), code_of(nobody_there)) == (Unproved.TRANSIENT, "UNAVAILABLE")
        server, _ = await started(after, address)
        for attempt in count(3):
            answer = await adapter.perform(a_call(1, attempt=attempt), timeout_s=PATIENCE_S)
            if answer == success_of(a_call(1)):
                break
            assert kind_of(answer) is Unproved.TRANSIENT
            await asyncio.sleep(0.02)
        assert await adapter.perform(a_call(2), timeout_s=PATIENCE_S) == success_of(a_call(2))
    await server.stop(None)
    assert set(after.delivered.values()) == {1}
    assert after.opened == 1
    assert a_call(2).key not in after.alone


async def ungreeted(stream: Stream) -> None:
    while True:
        await stream.hear()


async def deaf(stream: Stream) -> None:
    """Answers the greeting, and reads nothing more."""
    await stream.greet()
    await asyncio.sleep(PATIENCE_S)


@pytest.mark.parametrize("talk", [mute, ungreeted, unimplemented, deaf])
async def test_nothing_is_left_behind_by_who_closes_with_calls_under_way(talk: Talk) -> None:
    async def hang(request: Request, context: Context) -> bytes:
        await asyncio.sleep(PATIENCE_S)
        return b""

    service = Service(talk)
    service.reply = hang
    async with hosted(service) as address:
        before = asyncio.all_tasks()
        adapter = GrpcParticipants({"Payments": address}, message_bytes_max=MESSAGE_BYTES_MAX)
        calls = [a_call(number, input=f'"{"x" * 200_000}"') for number in range(10)]
        under_way = [adapter.perform(call, timeout_s=PATIENCE_S) for call in calls]
        await until(lambda: service.opened == 1 and (talk is not unimplemented or len(service.alone) == 10))
        await adapter.close()
        # At the latest with the next turn of the loop.
        ended = await asyncio.wait_for(asyncio.gather(*under_way, return_exceptions=True), SHORT_S)
        for answer in ended:
            assert isinstance(answer, asyncio.CancelledError) or code_of(answer) == "CANCELLED"  # type: ignore[arg-type]
        assert not [task for task in asyncio.all_tasks() - before if is_ours(task)]


def is_ours(task: "asyncio.Task[Any]") -> bool:
    """Whether the adapter has begun it, and not a server."""
    code: CodeType = getattr(task.get_coro(), "cr_code")  # noqa: B009 (its type knows no code)
    return "adapters/grpc_participants" in code.co_filename


async def test_a_server_that_comes_up_later_gets_calls_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAM_S", 0.05)
    one, other = Service(well), Service(well)
    server, later = await started(other)
    await server.stop(None)
    async with hosted(one) as first, calling(Payments=f"ipv4:{first},{later}") as adapter:
        assert kind_of(await adapter.perform(a_call(0), timeout_s=PATIENCE_S)) is None
        server, _ = await started(other, later)
        for number in count(1, 10):
            calls = [a_call(number + more) for more in range(10)]
            assert await all_of(adapter, calls) == [success_of(call) for call in calls]
            if other.delivered:
                break
            await asyncio.sleep(0.02)
        # The streams that were left have ended: nobody waited on them any more.
        assert len(adapter._streamed["Payments"]._all) <= 2
    await server.stop(None)
    assert one.alone == other.alone == []
    assert set((one.delivered + other.delivered).values()) == {1}


class Real(Services):
    """The services of a house, behind their real adapter."""

    def __init__(self, adapter: GrpcParticipants) -> None:
        super().__init__()
        self._adapter = adapter

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        return await self._adapter.perform(call, timeout_s=timeout_s)


async def test_sagas_complete_though_their_service_ends_its_stream_after_each_answer() -> None:
    async def one_at_a_time(stream: Stream) -> None:
        await stream.greet()
        await stream.say(succeeded(await stream.hear()))

    trip = define(*(step(name, service="Payments", attempts_max=100) for name in "abc"))
    async with served(one_at_a_time) as (adapter, service), House(trip, services=Real(adapter)) as house:
        sagas = [await house.start() for _ in range(5)]
        ended = [await house.sagas.wait(saga, timeout_s=PATIENCE_S) for saga in sagas]
    assert [summary.status for summary in ended] == [Status.COMPLETED] * 5
    assert len({key for key, _ in service.delivered}) == 15
    assert set(service.delivered.values()) == {1}
    assert service.alone == []
