"""Damage in the file of a journal, as those who call see it: it costs what stands there, and that is said."""

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson
from grpc import StatusCode

from coordinator.adapters.sqlite import SqliteJournal
from coordinator.adapters.sqlite.words import packed
from coordinator.client import Client, SagaStatus
from saga.v1 import coordinator_pb2 as pb
from saga.v1 import operator_pb2, operator_pb2_grpc, types_pb2
from tests.integration.api_harness import REFUSED, Coordinator, coordinator, order, refusal


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Coordinator]:
    async with await SqliteJournal.open(path) as journal, coordinator(journal=journal) as c:
        yield c


async def dead_letters(path: Path, count: int) -> list[str]:
    """A closed journal of so many; their ids, newest first."""
    async with served(path) as c:
        c.participants.answer("bookSeat", REFUSED)
        c.participants.answer("cancelRoom", REFUSED)
        started = [await c.start(request_id=f"trip-{number}") for number in range(count)]
        for saga_id in started:
            await c.ended(saga_id)
    return started[::-1]


def change(path: Path, statement: str, *values: str | bytes) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement, values)


@pytest.mark.parametrize(
    ("change_to", "shown_as"),
    [("status = 'DEID_LETTERED'", None), ("id = CAST(x'ff' AS TEXT)", "?2"), ("started_at = -9e300", None)],
)
async def test_a_row_that_cannot_be_read_takes_no_list_away(
    tmp_path: Path, change_to: str, shown_as: str | None
) -> None:
    path = tmp_path / "journal.db"
    ids = await dead_letters(path, 4)
    change(path, f"UPDATE sagas SET {change_to} WHERE id = ?", packed(ids[2]))
    expected = [*ids[:2], shown_as or ids[2], ids[3]]
    if "started_at" in change_to:
        expected = [*ids[:2], ids[3], ids[2]]
    async with served(path) as c:
        operator = operator_pb2_grpc.OperatorServiceStub(c.channel)
        dead: list[types_pb2.Saga] = []
        sagas: list[types_pb2.Saga] = []
        token = ""
        while token or not dead:
            page = await operator.ListDeadLetters(
                operator_pb2.ListDeadLettersRequest(page_size=1, page_token=token)
            )
            dead += page.dead_letters
            token = page.next_page_token
        while token or not sagas:
            listed = await c.api.ListSagas(pb.ListSagasRequest(page_size=1, page_token=token))
            sagas += listed.sagas
            token = listed.next_page_token
        client = Client(c.address)
        try:
            seen = [saga async for saga in client.list()]
        finally:
            await client.close()
    assert [saga.saga_id for saga in dead] == expected
    assert sagas == dead
    assert [saga.saga_id for saga in seen] == expected
    (damaged,) = [saga for saga in seen if "Row 2 of the journal's table sagas" in saga.error_message]
    assert damaged.saga_id == expected[3 if "started_at" in change_to else 2]
    assert (damaged.status, damaged.needs_person) == (SagaStatus.DEAD_LETTERED, True)
    assert damaged.saga_name == "Trip"


async def test_a_row_that_cannot_be_read_is_no_fault_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    (saga_id,) = await dead_letters(path, 1)
    change(path, "UPDATE sagas SET status = 'DEID_LETTERED'")
    caplog.set_level(logging.ERROR)
    async with served(path) as c:
        refused = await refusal(c.api.GetSaga(pb.GetSagaRequest(saga_id=saga_id)))
    assert (refused.code, refused.reason) == (StatusCode.INTERNAL, "JOURNAL_CORRUPT")
    assert refused.metadata == {"saga_id": saga_id}
    assert "the saga's row" in refused.message
    (told,) = [line for line in caplog.messages if line.startswith("a call ")]
    assert told.startswith(f"a call met damage: saga {saga_id}")
    assert told.endswith("put back a copy of the journal")


async def test_a_request_id_that_leads_to_no_saga_is_refused_as_damage_and_starts_no_second_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    async with served(path) as c:
        placed = await c.orders.PlaceOrder(order())
        trip = await c.ended(await c.start(request_id="trip-1"))
    change(path, "UPDATE requests SET saga_id = 'no-' || lower(hex(saga_id))")
    async with served(path) as c:
        refused = [
            await refusal(c.start(request_id="trip-1")),
            await refusal(c.orders.PlaceOrder(order())),
        ]
        assert c.participants.names() == []
        assert await c.saga_count() == 2
    assert [(one.code, one.reason) for one in refused] == [(StatusCode.INTERNAL, "JOURNAL_DAMAGED")] * 2
    assert "until a copy of it is put back" in refused[0].message
    said = [line for line in caplog.messages if line.startswith("a call ")]
    for line, request_id, saga_id in zip(
        said, ("trip-1", "o-1"), (trip.saga_id, placed.saga_id), strict=True
    ):
        other = f"no-{saga_id.replace('-', '')}"
        damaged = f"request id '{request_id}' belongs to saga '{other}', and there is none"
        assert line.startswith(f"a call met damage: the journal is damaged: {damaged}")


async def test_content_that_was_changed_is_named_however_the_request_named_its_definition(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    content = MessageToJson(order(), preserving_proto_field_name=True)
    async with served(path) as c:
        for version in ("", "3"):
            await c.api.StartSaga(
                pb.StartSagaRequest(
                    saga_name="PlaceOrder",
                    definition_version=version,
                    request_id=f"request-{version}",
                    input_json=content,
                )
            )
        await c.start(request_id="trip-1")
        await c.orders.PlaceOrder(order())
        assert await faults(c) == []
        started = {
            saga.request_id: saga.saga_id for saga in (await c.api.ListSagas(pb.ListSagasRequest())).sagas
        }
    change(path, "UPDATE requests SET content = zeroblob(length(content))")
    async with served(path) as c:
        found = await faults(c)
    assert len(started) == 4
    assert {fault.saga_id: fault.sentence for fault in found} == {
        saga_id: f"its request id {request_id!r} has other content than its records: a repetition fails"
        for request_id, saga_id in started.items()
    }


async def faults(c: Coordinator) -> list[operator_pb2.JournalFault]:
    operator = operator_pb2_grpc.OperatorServiceStub(c.channel)
    verified = operator.VerifyJournal(operator_pb2.VerifyJournalRequest())
    return [fault async for progress in verified for fault in progress.faults]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE records SET payload = '{}' WHERE seq = 2",
        "DELETE FROM records WHERE seq = 2",
        "DELETE FROM heads",
    ],
)
async def test_a_saga_that_was_set_aside_can_be_watched_to_its_end(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.db"
    async with served(path) as c:
        c.participants.hold("bookSeat")
        saga_id = await c.start(request_id="trip-1")
        await c.participants.called("bookSeat", times=1)
    change(path, damage)
    async with served(path) as c:
        await c.pool.recover()
        watch = c.api.WatchSaga(pb.WatchSagaRequest(saga_id=saga_id), timeout=5)
        seen = [message async for message in watch]
        saga = await c.get(saga_id)
    assert seen[-1].status == saga.status == types_pb2.SAGA_STATUS_DEAD_LETTERED
    assert not seen[-1].HasField("entry")
