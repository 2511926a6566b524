"""A saga that was asked for again and again for days can be shown and helped, and holds up nobody."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from coordinator.adapters.sqlite import SqliteJournal
from coordinator.api import convert
from coordinator.cli.timeline import draw
from coordinator.client import Broken, Client, Operator, Saga, SagaStatus
from coordinator.domain.events import Cause, Event, UndoFaulted
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import operator_pb2, operator_pb2_grpc, types_pb2
from tests.contract.sagas import RESERVE, Told, a_saga, dead_lettered
from tests.integration.api_harness import Coordinator, coordinator

WORDS = "混雑しています" * 20
"""What the participant says each time."""
TRIES = 8
MESSAGE_BYTES_MAX = 2 << 20
"""The smallest that can be set."""


def undone_in_vain(times: int) -> Sequence[Event]:
    """An undo that never comes about."""
    *before, _ = dead_lettered()
    faults = [
        UndoFaulted(
            2_000.0 + n, RESERVE, n, Cause.FAULTED, "BUSY", WORDS, None if n == times else 2_001.0 + n
        )
        for n in range(1, times + 1)
    ]
    return [*before, *faults]


@asynccontextmanager
async def served(path: Path, told: Told) -> AsyncIterator[Coordinator]:
    async with await SqliteJournal.open(path) as journal:
        await told.start(journal)
        async with coordinator(journal=journal, message_bytes_max=MESSAGE_BYTES_MAX) as c:
            yield c


def check_timeline(saga: Saga, records: int) -> None:
    """Its beginning and its end are there, and it says how much lies between."""
    seqs = [entry.seq for entry in saga.timeline]
    assert (seqs[0], seqs[-1], saga.seq) == (1, records, records)
    gaps = [(before, after) for before, after in pairwise(seqs) if after != before + 1]
    ((before, after),) = gaps
    assert saga.timeline_left_out == after - before - 1 == records - len(seqs)


async def test_a_saga_with_a_long_history_is_shown_and_helped(tmp_path: Path) -> None:
    told = a_saga()
    told.happens(*undone_in_vain(8_000))
    async with served(tmp_path / "journal.db", told) as c, Client(c.address) as client:
        saga = await client.get(told.id)
        check_timeline(saga, told.seq)
        assert (saga.status, saga.needs_person) == (SagaStatus.DEAD_LETTERED, True)
        (gap,) = [line for line in draw(saga, width=100) if "left out" in line]
        assert f"{saga.timeline_left_out} records are left out here" in gap
        assert (await client.wait(told.id)).status is SagaStatus.DEAD_LETTERED
        seen = [entry.seq async for entry, _ in client.watch(told.id) if entry is not None]
        assert seen == list(range(1, told.seq + 1))

        def help_it() -> Saga:
            with Operator(c.address) as operator:
                shown, possible = operator.possible_actions(told.id)
                check_timeline(shown, told.seq)
                assert "RETRY" in {action.verb for action in possible}
                return operator.retry(
                    told.id, RESERVE, actor="ada", reason="she asked", expected_seq=shown.seq
                ).saga

        # What comes of it may have come by then.
        assert (await asyncio.to_thread(help_it)).status is not SagaStatus.DEAD_LETTERED
        assert (await c.ended(told.id)).seq > told.seq


class Others:
    """What else runs on the event loop, and how long it had to wait for its turns."""

    def __init__(self) -> None:
        self._waits: list[float] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self._waits.append(now - before)
            before = now

    def longest_share(self) -> float:
        """The longest wait, as a part of all the time since the last look."""
        waits, self._waits = self._waits, []
        return max(waits) / sum(waits)

    def leave(self) -> None:
        self._task.cancel()


async def test_while_a_long_history_is_read_others_go_on(tmp_path: Path) -> None:
    told = a_saga()
    told.happens(*undone_in_vain(20_000))
    async with await SqliteJournal.open(tmp_path / "journal.db") as journal:
        await told.start(journal)
        async with coordinator(journal=journal) as c:
            await c.pool.archive.replayed(await journal.history(told.id))  # which reads the definition
            others = Others()
            await asyncio.sleep(0)
            read, replayed = list[float](), list[float]()
            for _ in range(TRIES):
                records = await journal.history(told.id)
                read.append(others.longest_share())
                decision = await c.pool.archive.replayed(records)
                replayed.append(others.longest_share())
                assert decision.saga == told.decision.saga
            others.leave()
    # The machine may do something else meanwhile, but not each time.
    assert min(read) < 0.3
    assert min(replayed) < 0.3


async def test_a_page_holds_no_more_than_a_message_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "PAGE_BYTES_MAX", 2_000)
    async with await SqliteJournal.open(tmp_path / "journal.db") as journal:
        sagas = [a_saga(f"{number}", at=1_000.0 + number) for number in range(9)]
        for told in sagas:
            told.happens(*undone_in_vain(1))
            await told.start(journal)
        newest_first = [told.id for told in reversed(sagas)]
        async with coordinator(journal=journal) as c, Client(c.address) as client:
            first = await c.api.ListSagas(pb.ListSagasRequest(page_size=9))
            assert 1 < len(first.sagas) < 9
            assert first.ByteSize() < 2_500
            assert [saga.saga_id async for saga in client.list()] == newest_first
            operator = operator_pb2_grpc.OperatorServiceStub(c.channel)
            dead = await operator.ListDeadLetters(operator_pb2.ListDeadLettersRequest(page_size=9))
            assert len(dead.dead_letters) == len(first.sagas)
            assert dead.next_page_token
            monkeypatch.setattr(convert, "PAGE_BYTES_MAX", 1)
            alone = await c.api.ListSagas(pb.ListSagasRequest(page_size=9))
            assert [saga.saga_id for saga in alone.sagas] == newest_first[:1]
            assert [saga.saga_id async for saga in client.list()] == newest_first
            definitions = await c.api.ListDefinitions(pb.ListDefinitionsRequest())
            assert (len(definitions.definitions), bool(definitions.next_page_token)) == (1, True)


async def test_an_answer_that_is_too_long_to_be_sent_is_not_called_a_request() -> None:
    too_long = pb.GetSagaResponse(saga=types_pb2.Saga(error_message="x" * (MESSAGE_BYTES_MAX + 1)))

    async def answer(request: bytes, context: object) -> pb.GetSagaResponse:
        return too_long

    server = grpc.aio.server(options=[("grpc.max_send_message_length", MESSAGE_BYTES_MAX)])
    handler: Any = grpc.unary_unary_rpc_method_handler(answer, None, pb.GetSagaResponse.SerializeToString)
    handlers = grpc.method_handlers_generic_handler("saga.v1.CoordinatorService", {"GetSaga": handler})
    server.add_generic_rpc_handlers((handlers,))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with Client(target) as client:
            with pytest.raises(Broken) as caught:
                await client.get("01a227c7-e15e-767b-9ec3-5e7a0c8c4a08")
    finally:
        await server.stop(None)
    sentence = f"the answer to GetSaga is longer than {target} may send: raise its SAGA_MESSAGE_BYTES_MAX"
    assert str(caught.value).startswith(sentence)
