"""Starting with a request id, waiting for an end, watching a history."""

import asyncio

import pytest

from coordinator.adapters.memory import MemoryJournal
from coordinator.domain.errors import (
    InvalidRequest,
    JournalUnavailable,
    Overloaded,
    RequestIdTaken,
    SagaNotFound,
    WaitTimedOut,
)
from coordinator.domain.events import Event
from coordinator.domain.ids import Digest, RequestId, SagaId
from coordinator.domain.jsontext import JsonValue, canonical, digest
from coordinator.domain.machine import Decision, decide
from coordinator.domain.saga import Saga, Status
from coordinator.engine.sagas import Accepted
from coordinator.simulation.world import Reaction
from tests.scenarios.house import House, JournalAround, define, settled, soon


async def test_the_same_request_started_many_times_at_once_is_one_saga() -> None:
    class Slow(JournalAround):
        async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.005)
            return await self.inner.start(*args, **kwargs)

    plain = House(define("a", "b"))
    async with House(define("a", "b"), store=plain.store, journal=Slow(plain.store)) as house:
        accepted = await asyncio.gather(*(house.accept(request_id="r") for _ in range(20)))
        assert len({a.summary.id for a in accepted}) == 1
        assert sum(not a.joined for a in accepted) == 1
        await house.end(accepted[0].summary.id)
        assert house.services.sent() == ["do a", "do b"]
        assert house.pool._open == 0


@pytest.mark.parametrize("value", [1, 0.1, 1e300, "null", ['"', {"b": None, "a": "ä"}], 1 << 70])
async def test_what_was_asked_for_is_told_apart_as_in_every_release(value: JsonValue) -> None:
    async with House(define("a")) as house:
        wanted = house.wanted(request_id="r", value=value)
        await house.accept(request_id="r", value=value)
        request = await house.store.requested(wanted.front_door, RequestId("r"))
        assert request is not None
        named: JsonValue = {"name": wanted.saga_name, "version": None} if wanted.names_definition else None
        assert request.content == digest(canonical({"definition": named, "input": wanted.input}))


async def test_a_second_caller_joins_a_saga_that_is_being_written_though_no_room_is_left() -> None:
    class Slow(JournalAround):
        async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.005)
            return await self.inner.start(*args, **kwargs)

    plain = House(define("a"))
    async with House(define("a"), store=plain.store, journal=Slow(plain.store), sagas_max=1) as house:
        accepted = await asyncio.gather(*(house.accept(request_id="r") for _ in range(20)))
        assert len({a.summary.id for a in accepted}) == 1
        await house.end(accepted[0].summary.id)


async def test_whoever_waits_for_a_start_with_its_request_id_that_is_refused_is_started_itself() -> None:
    class FullForTheFirst(JournalAround):
        starts = 0

        async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            self.starts += 1
            if self.starts == 1:
                await asyncio.sleep(0.005)
                raise Overloaded("no room on the disk")
            return await self.inner.start(*args, **kwargs)

    store = MemoryJournal()
    async with House(define("a"), store=store, journal=FullForTheFirst(store)) as house:
        starts = (house.accept(request_id="r") for _ in range(3))
        refused, *accepted = await asyncio.gather(*starts, return_exceptions=True)
        assert isinstance(refused, Overloaded)
        started, joined = accepted
        assert isinstance(started, Accepted)
        assert isinstance(joined, Accepted)
        assert (started.joined, joined.joined) == (False, True)
        await house.end(started.summary.id)
        assert house.pool._open == 0


async def test_a_request_id_joins_its_saga_whatever_has_become_of_it() -> None:
    async with House(define("a")) as house:
        first = await house.accept(request_id="r")
        await house.end(first.summary.id)
        again = await house.accept(request_id="r")
        assert again.joined
        assert (again.summary.id, again.summary.status) == (first.summary.id, Status.COMPLETED)
        assert house.services.sent() == ["do a"]


async def test_a_request_id_joins_even_when_its_definition_is_gone() -> None:
    async with House(define("a")) as house:
        first = await house.accept(request_id="r")
        await house.end(first.summary.id)
        async with House(define("b", name="Other"), store=house.store) as other:
            again = await other.sagas.start(other.wanted(request_id="r", name="Order"))
            assert again.summary.id == first.summary.id


async def test_a_request_id_with_other_content_is_refused_and_changes_nothing() -> None:
    async with House(define("a")) as house:
        saga_id = await house.start(request_id="r", value=1)
        await house.end(saga_id)
        before = await house.history(saga_id)
        with pytest.raises(RequestIdTaken):
            await house.start(request_id="r", value=2)
        assert await house.history(saga_id) == before
        assert house.services.sent() == ["do a"]


async def test_the_definition_is_part_of_the_content_only_if_the_caller_chose_it() -> None:
    async with House(define("a"), define("b", name="Other")) as house:
        first = await house.sagas.start(house.wanted(request_id="r", names_definition=False))
        second = await house.sagas.start(house.wanted(request_id="r", name="Other", names_definition=False))
        assert second.summary.id == first.summary.id
        with pytest.raises(RequestIdTaken):
            await house.sagas.start(house.wanted(request_id="r"))
        await house.end(first.summary.id)


async def test_requests_without_an_id_are_each_a_saga() -> None:
    async with House(define("a")) as house:
        sagas = {await house.start() for _ in range(3)}
        assert len(sagas) == 3
        for saga_id in sagas:
            await house.end(saga_id)


async def test_a_start_whose_client_leaves_is_durable_and_runs() -> None:
    class Slow(JournalAround):
        async def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            writing.set()
            await asyncio.sleep(0.01)
            return await self.inner.start(*args, **kwargs)

    writing = asyncio.Event()
    plain = House(define("a"))
    async with House(define("a"), store=plain.store, journal=Slow(plain.store)) as house:
        asking = asyncio.ensure_future(house.accept(request_id="r"))
        await soon(writing)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        joined = await house.accept(request_id="r")
        assert joined.joined
        assert (await house.end(joined.summary.id)).status is Status.COMPLETED


async def test_a_wait_ends_with_the_saga() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", Reaction.REFUSE)
        saga_id = await house.start()
        rows = await asyncio.gather(*(house.sagas.wait(saga_id, timeout_s=20) for _ in range(5)))
        assert {row.status for row in rows} == {Status.COMPENSATED}


async def test_a_wait_that_is_over_before_the_saga_says_where_it_stands() -> None:
    async with House(define("a")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        for timeout_s in (0.0, 0.02):
            with pytest.raises(WaitTimedOut, match="is still RUNNING and goes on"):
                await house.sagas.wait(saga_id, timeout_s=timeout_s)
        held.answer()
        assert (await house.sagas.wait(saga_id, timeout_s=20)).status is Status.COMPLETED
        assert (await house.sagas.wait(saga_id, timeout_s=0)).status is Status.COMPLETED
        assert house.feed._listeners == {}


async def watched(house: House, saga_id: SagaId, after_seq: int = 0) -> list[tuple[int, Status]]:
    return [(record.seq, status) async for record, status in house.sagas.watch(saga_id, after_seq) if record]


async def test_a_watch_tells_every_record_once_and_ends_with_the_saga() -> None:
    async with House(define("a", "b")) as house:
        house.services.plan("b", "do", Reaction.REFUSE)
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        early = asyncio.ensure_future(watched(house, saga_id))
        late = asyncio.ensure_future(watched(house, saga_id, 3))
        await settled()
        held.answer()
        await house.end(saga_id)
        told = await early
        assert [seq for seq, _ in told] == list(range(1, len(await house.history(saga_id)) + 1))
        assert [status for _, status in told] == [Status.RUNNING] * 4 + [
            Status.COMPENSATING,
            Status.COMPENSATING,
            Status.COMPENSATED,
        ]
        assert await late == told[3:]


async def test_a_watch_of_a_saga_that_has_ended_tells_its_history_and_ends() -> None:
    async with House(define("a")) as house:
        saga_id = (await house.run()).id
        assert [seq for seq, _ in await watched(house, saga_id)] == [1, 2, 3]
        assert [seq for seq, _ in await watched(house, saga_id, 2)] == [3]
        assert await watched(house, saga_id, 99) == []
        with pytest.raises(SagaNotFound):
            await watched(house, SagaId("nobody"))


async def test_a_watcher_that_leaves_is_forgotten() -> None:
    async with House(define("a")) as house:
        held = house.services.hold("a")
        saga_id = await house.start()
        await soon(held.arrived)
        watching = asyncio.ensure_future(watched(house, saga_id))
        await settled()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert house.feed._listeners == {}
        held.answer()
        await house.end(saga_id)


async def test_a_long_history_is_folded_once_by_whoever_watches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[Event] = []

    def counting(saga: Saga, event: Event) -> Decision:
        folded.append(event)
        return decide(saga, event)

    names = [f"s{number}" for number in range(40)]
    async with House(define(*names)) as house:
        held = house.services.hold("s0")
        saga_id = await house.start()
        await soon(held.arrived)
        monkeypatch.setattr("coordinator.engine.sagas.decide", counting)
        watching = asyncio.ensure_future(watched(house, saga_id))
        await settled()
        held.answer()
        told = await watching
        assert len(told) == 81
        assert len(folded) == 80


async def test_an_input_that_grows_beyond_the_limit_when_it_is_written_out_is_refused() -> None:
    async with House(define("a")) as house:
        with pytest.raises(InvalidRequest, match="at most 1048576 bytes"):
            await house.start(value=[1e15] * 70_000)
        assert house.pool._open == 0


async def test_a_definition_that_cannot_be_read_at_this_moment_is_not_taken_for_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def gone(digest: Digest) -> str | None:
        raise JournalUnavailable("the disk is gone")

    house = House(define("a"))
    saga_id = (await house.run()).id
    async with house.successor() as after:
        with monkeypatch.context() as patched:
            patched.setattr(after.store, "definition", gone)
            with pytest.raises(JournalUnavailable):
                await after.sagas.get(saga_id)
        assert (await after.saga(saga_id)).status is Status.COMPLETED
