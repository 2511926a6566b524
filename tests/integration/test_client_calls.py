"""Both clients against the real server, call by call. What one can do, the other can."""

import asyncio
import gc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from coordinator.client import (
    BlockingClient,
    Client,
    ClientError,
    Closed,
    Conflict,
    DefinitionState,
    EventType,
    InvalidRequest,
    Order,
    OrderStatus,
    RegisteredDefinition,
    RegistrationOutcome,
    Saga,
    SagaStatus,
    StepStatus,
    Unavailable,
    Undecided,
    channel,
)
from coordinator.domain.actions import Action
from coordinator.domain.events import Verb
from coordinator.domain.ids import ActionId, SagaId, StepName
from coordinator.domain.outcomes import Succeeded
from coordinator.engine.sagas import SagaView
from saga.v1 import coordinator_pb2 as pb
from tests.integration.api_harness import REFUSED, TOKEN, coordinator
from tests.integration.client_harness import (
    AN_ORDER,
    ITEMS,
    PAYMENT,
    Handle,
    answering,
    both,
    calling,
    collected,
    place,
)
from tests.integration.names import naming
from tests.integration.proxy import proxied


@both
async def test_an_order_is_placed_and_answered_again(kind: Any) -> None:
    async with calling(kind) as (client, c):
        first, second = await place(client), await place(client)
        charged = [call for name, call in c.participants.calls if name == "charge"]
    assert first == second
    assert (first.order_id, first.status, first.error_message) == ("o-1", OrderStatus.SUCCESS, "")
    assert first.saga_status is SagaStatus.COMPLETED
    assert len(charged) == 1
    assert '"units":42' in charged[0].input
    assert TOKEN in charged[0].input


@both
async def test_a_coordinator_on_this_machine_is_called_past_a_proxy(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with calling(kind) as (client, _):
        assert (await place(client)).status is OrderStatus.SUCCESS


@both
async def test_a_failed_order_is_an_answer(kind: Any) -> None:
    async with calling(kind) as (client, c):
        c.participants.answer("charge", REFUSED)
        order = await place(client)
    assert (order.status, order.saga_status) == (OrderStatus.FAILED, SagaStatus.COMPENSATED)
    assert "the bank says no" in order.error_message


@both
async def test_an_order_undecided_at_the_servers_limit_is_asked_for_again(kind: Any) -> None:
    async with calling(kind, wait_max_s=0.2) as (client, c):
        c.participants.hold("charge")
        placing = asyncio.ensure_future(place(client, timeout_s=30))
        await c.participants.called("charge")
        await asyncio.sleep(0.7)
        assert not placing.done()
        c.participants.release("charge")
        assert (await placing).status is OrderStatus.SUCCESS


@both
async def test_an_order_undecided_when_the_callers_time_is_over_goes_on(kind: Any) -> None:
    async with calling(kind, wait_max_s=0.2) as (client, c):
        c.participants.hold("charge")
        with pytest.raises(Undecided) as undecided:
            await place(client, timeout_s=1.0)
        assert undecided.value.status is SagaStatus.RUNNING
        assert undecided.value.reason == "SAGA_UNDECIDED"
        # It fits whoever asks: an order has no request id.
        assert str(undecided.value).endswith(" and goes on; ask again with the same call to join it")
        c.participants.release("charge")
        saga = await client.wait(undecided.value.saga_id)
    assert saga.status is SagaStatus.COMPLETED
    assert saga.request_id == "o-1"


@both
async def test_a_saga_is_started_and_waited_for(kind: Any) -> None:
    async with calling(kind) as (client, _):
        begun = datetime.now(UTC)
        started = await client.start("Trip", {"city": "Genève"}, wait_s=10)
        again = await client.start("Trip", {}, request_id="r-1")
        joined = await client.start("Trip", "{}", request_id="r-1")
        other = await client.start("Trip", {"city": "Genève"})
        saga = await client.get(started.saga.saga_id)
    assert (started.saga.status, started.joined) == (SagaStatus.COMPLETED, False)
    assert [step.status for step in started.saga.steps] == [StepStatus.SUCCEEDED] * 2
    assert (again.joined, joined.joined) == (False, True)
    assert again.saga.saga_id == joined.saga.saga_id
    assert other.saga.saga_id != started.saga.saga_id
    assert saga.expire_time is not None
    assert abs((saga.create_time - begun).total_seconds()) < 60
    assert [entry.seq for entry in saga.timeline] == list(range(1, saga.seq + 1))
    assert [step.compensation for step in saga.steps] == ["cancelRoom", None]


@both
async def test_a_watch_shows_every_record_until_the_saga_rests(kind: Any) -> None:
    async with calling(kind) as (client, c):
        c.participants.answer("bookSeat", REFUSED)
        c.participants.hold("bookRoom")
        saga_id = (await client.start("Trip", {})).saga.saga_id
        watching = asyncio.ensure_future(collected(client.watch(saga_id)))
        await asyncio.sleep(0.1)
        c.participants.release("bookRoom")
        watched = await watching
        saga = await client.get(saga_id)
        rest = await collected(client.watch(saga_id, after_seq=saga.seq - 1))
    assert tuple(entry for entry, _ in watched) == saga.timeline
    assert [entry.type for entry, _ in watched][-3:] == [
        EventType.STEP_REFUSED,
        EventType.UNDO_BEGUN,
        EventType.STEP_COMPENSATED,
    ]
    assert [status for _, status in watched][-3:] == ["COMPENSATING", "COMPENSATING", "COMPENSATED"]
    assert rest == watched[-1:]


@both
async def test_a_wait_that_is_over_tells_where_the_saga_stands(kind: Any) -> None:
    async with calling(kind) as (client, c):
        c.participants.hold("bookSeat")
        saga_id = (await client.start("Trip", {})).saga.saga_id
        with pytest.raises(Undecided) as undecided:
            await client.wait(saga_id, timeout_s=0.5)
        assert (undecided.value.saga_id, undecided.value.status) == (saga_id, SagaStatus.RUNNING)
        c.participants.release("bookSeat")
        assert (await client.wait(saga_id)).status is SagaStatus.COMPLETED


@both
@pytest.mark.parametrize("in_time", [True, False])
async def test_a_saga_that_is_revived_before_it_was_looked_at_is_waited_for_again(
    kind: Any, in_time: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(kind) as (client, c):
        c.participants.answer("bookSeat", REFUSED)
        c.participants.answer("cancelRoom", REFUSED, Succeeded("null"))
        saga_id = await c.start()
        seq = (await c.ended(saga_id)).seq
        look = c.sagas.get

        async def revived(asked: SagaId) -> SagaView:
            # The client's watch has shown the rest; an operator is faster than its look.
            monkeypatch.setattr(c.sagas, "get", look)
            c.participants.hold("cancelRoom")
            retry = Action(ActionId("a-1"), "jo", "they are back", seq, Verb.RETRY, StepName("bookRoom"))
            await c.sagas.act(asked, retry)
            return await look(asked)

        monkeypatch.setattr(c.sagas, "get", revived)
        waiting = asyncio.ensure_future(client.wait(saga_id, timeout_s=30.0 if in_time else 1.0))
        await c.participants.called("cancelRoom", times=2)
        if in_time:
            c.participants.release("cancelRoom")
            assert (await waiting).status is SagaStatus.COMPENSATED
        else:
            with pytest.raises(
                Undecided, match=f"saga {saga_id} is still COMPENSATING after 1 s and goes on"
            ):
                await waiting


@both
async def test_a_saga_is_cancelled(kind: Any) -> None:
    async with calling(kind) as (client, c):
        c.participants.hold("bookSeat")
        saga_id = (await client.start("Trip", {})).saga.saga_id
        await c.participants.called("bookSeat")
        cancelled = await client.cancel(saga_id, "changed my mind")
        c.participants.release("bookSeat")
        saga: Saga = await client.wait(saga_id)
    assert cancelled.status is SagaStatus.COMPENSATING
    assert saga.status is SagaStatus.COMPENSATED
    assert [e.message for e in saga.timeline if e.type is EventType.CANCEL_REQUESTED] == ["changed my mind"]


@both
async def test_lists_run_over_all_pages(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.client.wire.PAGE_SIZE", 3)
    async with calling(kind) as (client, c):
        started = [(await client.start("Trip", {}, request_id=f"r-{n}")).saga for n in range(8)]
        ids = [saga.saga_id for saga in started]
        for saga_id in ids:
            await c.ended(saga_id)
        order = await place(client)
        assert [saga.saga_id for saga in await collected(client.list(saga_name="Trip"))] == ids[::-1]
        assert [saga.saga_id for saga in await collected(client.list(limit=4))] == [
            order.saga_id,
            *ids[:4:-1],
        ]
        assert await collected(client.list(limit=0)) == []
        assert len(await collected(client.list(status=SagaStatus.COMPLETED, needs_person=False))) == 9
        assert await collected(client.list(status="RUNNING")) == []
        (found,) = await collected(client.list(filter='request_id = "r-3"', saga_name="Trip"))
        assert found.saga_id == ids[3]
        assert (found.steps, found.timeline) == ((), ())
        since = await collected(client.list(saga_name="Trip", created_from=found.create_time))
        until = await collected(client.list(saga_name="Trip", created_before=found.create_time))
    assert len(since) + len(until) == 8
    assert found in since


@both
async def test_definitions_are_listed_and_shown(kind: Any) -> None:
    async with calling(kind) as (client, _):
        await place(client)
        definitions = await client.definitions()
        shown = await client.definition("PlaceOrder")
        pinned = await client.definition(shown.digest)
    assert [d.saga_name for d in definitions] == ["NeedsColour", "PlaceOrder", "Trip"]
    assert (shown.version, shown.steps) == ("3", ("createOrder", "reserveStock", "charge"))
    assert '"createOrder"' in shown.definition_json
    assert definitions[1].definition_json == ""
    assert pinned == shown


@both
async def test_definitions_are_registered_listed_by_version_and_retired(kind: Any) -> None:
    step = "{service: Ship, transaction: bookCabin, compensation: undo_bookCabin}"
    async with calling(kind) as (client, _):

        async def register(version: int) -> RegisteredDefinition:
            text = f"{{sagaName: Cruise, version: '{version}', ttl: 1s, steps: [{step}]}}"
            registered: RegisteredDefinition = await client.register_definition(text, is_yaml=True)
            return registered

        *_, made = [await register(version) for version in range(1, 121)]
        assert (made.outcome, made.definition.version) == (RegistrationOutcome.CREATED, "120")
        assert "ttl-too-short" in [finding.rule for finding in made.findings]
        in_json = (await client.definition("Cruise", version="2")).definition_json
        again = await client.register_definition(in_json, validate_only=True)
        assert again.outcome is RegistrationOutcome.UNCHANGED
        # More than a page.
        assert len(await client.definitions(saga_name="Cruise")) == 120
        started = await client.start("Cruise", {}, version="7")
        assert started.saga.definition_version == "7"
        with pytest.raises(Conflict, match="in version '7' cannot get other content"):
            await client.register_definition(in_json.replace('"2"', '"7"').replace("1s", "2s"))
        with pytest.raises(InvalidRequest) as wrong:
            await client.register_definition('{"sagaName": "Cruise", "steps": []}')
        assert [violation.field for violation in wrong.value.violations] == ["definition_json.steps"]
        assert str(wrong.value).endswith("; nothing was written, send it corrected")
        retired = await client.retire_definition("Cruise", "120", if_no_open_sagas=True)
        assert (retired.state, retired.newest) == (DefinitionState.RETIRED, False)
        assert (await client.definition("Cruise")).version == "119"
        everything = await client.definitions(saga_name="Cruise", all_states=True)
        assert [one.version for one in everything if one.state is DefinitionState.RETIRED] == ["120"]


@both
async def test_a_closed_client_says_so(kind: Any) -> None:
    async with calling(kind) as (client, c):
        c.participants.hold("charge")
        placing = asyncio.ensure_future(place(client))
        await c.participants.called("charge")
        await client.close()
        for call in (placing, client.get("s-1"), collected(client.list()), collected(client.watch("s-1"))):
            with pytest.raises(Closed, match="is closed"):
                await call
        c.participants.release("charge")


@both
async def test_calls_go_round_all_addresses_and_past_those_where_nobody_is(kind: Any) -> None:
    asked: list[str] = []

    def counting(name: str) -> Handle:
        async def handle(request: bytes, context: object) -> bytes:
            asked.append(name)
            return pb.ListDefinitionsResponse().SerializeToString()

        return handle

    async with answering(counting("first")) as first, answering(counting("second")) as second:
        client = kind(f"ipv4:{first},{second},127.0.0.1:1")
        # Which is connected first is chance, and until the other one is, it gets all.
        async with asyncio.timeout(20):
            while set(asked) != {"first", "second"} or len(asked) < 20:
                assert await client.definitions() == ()
        await client.close()


@both
async def test_a_coordinator_whose_name_moves_to_another_address_is_followed_there_soon(kind: Any) -> None:
    async def handle(request: bytes, context: object) -> bytes:
        return pb.ListDefinitionsResponse().SerializeToString()

    async with naming("127.0.0.2") as names, AsyncExitStack() as first:
        address = await first.enter_async_context(answering(handle, address="127.0.0.2:0"))
        port = int(address.rpartition(":")[2])
        client = kind(names.target(port))
        assert await client.definitions() == ()
        await first.aclose()
        with pytest.raises(Unavailable):
            await client.definitions()
        names.host = "127.0.0.3"
        async with answering(handle, address=f"127.0.0.3:{port}"):
            assert await client.definitions() == ()
        await client.close()


@both
async def test_an_order_gets_through_though_the_connection_is_dead_and_does_not_look_so(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "KEEPALIVE_S", 2)
    monkeypatch.setattr(channel, "KEEPALIVE_TIMEOUT_S", 1)
    async with coordinator() as c, proxied(c.address) as proxy:
        client = kind(proxy.address)
        for number in range(20):
            await place(client, f"o-{number}")
        # Right after an answer, when gRPC itself may have asked something that is not answered any more.
        proxy.swallow()
        order = await place(client, "o-1", timeout_s=20.0)
        assert order.status is OrderStatus.SUCCESS
        await client.close()


async def test_eight_threads_share_one_blocking_client() -> None:
    async with coordinator() as c:
        with BlockingClient(c.address) as client, ThreadPoolExecutor(8) as threads:

            def order(number: int) -> Order:
                return client.place_order(
                    order_id=f"o-{number % 100}", user_id="u-1", items=ITEMS, payment=PAYMENT
                )

            loop = asyncio.get_running_loop()
            orders = await asyncio.gather(*(loop.run_in_executor(threads, order, n) for n in range(200)))
    assert {order.status for order in orders} == {OrderStatus.SUCCESS}
    assert set(Counter(order.saga_id for order in orders).values()) == {2}
    assert Counter(c.participants.names())["charge"] == 100


async def test_many_tasks_share_one_asyncio_client() -> None:
    async with coordinator() as c, Client(c.address) as client:
        orders = await asyncio.gather(*(place(client, f"o-{n % 32}") for n in range(64)))
    assert set(Counter(order.saga_id for order in orders).values()) == {2}


def tasks_of_a_client() -> list[object]:
    """What runs in this loop for a client; the server and its engine are here too."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    files = [getattr(getattr(coroutine, "cr_code", None), "co_filename", "") for coroutine in coroutines]
    return [
        coroutine
        for coroutine, file in zip(coroutines, files, strict=True)
        if "/client/" in file or "grpc/aio/_call" in file
    ]


async def test_a_cancelled_call_leaves_no_task_and_the_order_goes_on() -> None:
    async with coordinator() as c, Client(c.address) as client:
        await place(client, "o-0")
        # The stream that orders share stays, whoever waits on it.
        tasks_at_rest = len(tasks_of_a_client())
        c.participants.hold("charge")
        placing: asyncio.Task[Order] = asyncio.create_task(client.place_order(**AN_ORDER))
        await c.participants.called("charge")
        saga_id = (await anext(client.list())).saga_id
        waiting: asyncio.Task[Saga] = asyncio.create_task(client.wait(saga_id))
        assert len(tasks_of_a_client()) > tasks_at_rest
        async with aclosing(client.watch(saga_id)) as watched:
            await anext(watched)
        for task in (placing, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await place(client)
        del placing, waiting, task, watched
        async with asyncio.timeout(10):
            while len(tasks_of_a_client()) > tasks_at_rest:
                await asyncio.sleep(0.01)
        gc.collect()
        c.participants.release("charge")
        assert (await client.wait(saga_id)).status is SagaStatus.COMPLETED


async def test_a_client_may_be_made_before_its_loop_and_belongs_to_one() -> None:
    async with coordinator() as c:
        client = await asyncio.to_thread(Client, c.address)
        assert await client.definitions()

        def elsewhere() -> str:
            with pytest.raises(Closed) as told:
                asyncio.run(client.get("s-1"))
            return str(told.value)

        assert "belongs to another event loop" in await asyncio.to_thread(elsewhere)
        await client.close()


@both
async def test_a_watch_that_is_left_ends_its_call_while_the_client_stays(kind: Any) -> None:
    async with calling(kind) as (client, c):
        c.participants.hold("bookSeat")
        saga_id = await c.start()
        watch = client.watch(saga_id)
        assert (await anext(watch)).entry.seq == 1
        assert c.feed._listeners
        await watch.aclose()
        async with asyncio.timeout(10):
            while c.feed._listeners:
                await asyncio.sleep(0.01)
        c.participants.release("bookSeat")
        assert (await client.wait(saga_id)).status is SagaStatus.COMPLETED


@both
async def test_all_errors_of_a_client_are_of_one_family(kind: Any) -> None:
    async with calling(kind) as (client, _):
        for call in (client.get("nobody"), client.start("Nothing", {}), client.cancel("nobody", "")):
            with pytest.raises(ClientError):
                await call
