"""Lists of sagas over a real socket: whole pages, honest filters, tokens that are not mixed up."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from grpc import StatusCode

from saga.v1 import coordinator_pb2 as pb
from saga.v1.types_pb2 import Saga
from tests.integration.api_harness import REFUSED, Coordinator, coordinator, order, refusal


async def listed(c: Coordinator, filter_text: str = "", *, page_size: int = 1000) -> list[Saga]:
    """All sagas that a filter finds, page by page."""
    found: list[Saga] = []
    token = ""
    while True:
        request = pb.ListSagasRequest(page_size=page_size, page_token=token, filter=filter_text)
        page = await c.api.ListSagas(request)
        assert len(page.sagas) <= page_size
        found += page.sagas
        token = page.next_page_token
        if not token:
            return found
        assert len(page.sagas) == page_size


async def first_token(c: Coordinator, filter_text: str = "") -> str:
    page = await c.api.ListSagas(pb.ListSagasRequest(page_size=1, filter=filter_text))
    assert page.next_page_token
    return page.next_page_token


async def some_sagas(c: Coordinator) -> dict[str, str]:
    """One saga in each of a few states: name to id."""
    good = await c.orders.PlaceOrder(order("good"))
    c.participants.answer("charge", REFUSED)
    bad = await c.orders.PlaceOrder(order("bad"))
    c.participants.answer("cancelOrder", REFUSED)
    worse = await c.orders.PlaceOrder(order("worse"))
    c.participants.hold("bookRoom")
    running = await c.start(request_id='a "b" \\c')
    return {"good": good.saga_id, "bad": bad.saga_id, "worse": worse.saga_id, "running": running}


async def test_no_sagas_are_an_empty_list() -> None:
    async with coordinator() as c:
        answer = await c.api.ListSagas(pb.ListSagasRequest())
    assert (list(answer.sagas), answer.next_page_token) == ([], "")


async def test_sagas_are_listed_newest_first_without_steps_and_timeline() -> None:
    async with coordinator() as c:
        ids = await some_sagas(c)
        rows = await listed(c)
    assert [row.saga_id for row in rows] == [ids[name] for name in ("running", "worse", "bad", "good")]
    assert not any(row.steps or row.timeline for row in rows)
    assert [row.request_id for row in rows] == ['a "b" \\c', "worse", "bad", "good"]
    assert "DECLINED" in rows[2].error_message


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 20, 21, 1000])
async def test_pages_of_any_size_give_every_saga_once(page_size: int) -> None:
    async with coordinator() as c:
        ids = [await c.start() for _ in range(20)]
        rows = await listed(c, page_size=page_size)
    assert [row.saga_id for row in rows] == ids[::-1]


async def test_a_page_size_of_zero_means_fifty_and_a_large_one_a_thousand() -> None:
    async with coordinator(sagas_open_max=5000) as c:
        await asyncio.gather(*(c.start() for _ in range(1003)))
        assert len((await c.api.ListSagas(pb.ListSagasRequest())).sagas) == 50
        page = await c.api.ListSagas(pb.ListSagasRequest(page_size=2**31 - 1))
        assert len(page.sagas) == 1000
        assert page.next_page_token


async def test_sagas_added_meanwhile_make_neither_gaps_nor_duplicates() -> None:
    async with coordinator() as c:
        before = [await c.start() for _ in range(30)]
        adding = True

        async def add() -> None:
            while adding:
                await c.start()

        adders = [asyncio.ensure_future(add()) for _ in range(3)]
        token, seen = "", []
        while True:
            page = await c.api.ListSagas(pb.ListSagasRequest(page_size=4, page_token=token))
            seen += [row.saga_id for row in page.sagas]
            token = page.next_page_token
            if not token:
                break
            await asyncio.sleep(0.005)
        adding = False
        await asyncio.gather(*adders)
        assert await c.saga_count() > 40
    assert len(seen) == len(set(seen))
    assert seen[-30:] == before[::-1]


@pytest.mark.parametrize(
    ("filter_text", "names"),
    [
        ("status = RUNNING", ["running"]),
        ("status=RUNNING", ["running"]),
        ('  status = "RUNNING"  ', ["running"]),
        ("status = SAGA_STATUS_COMPLETED", ["good"]),
        ("status = COMPENSATED", ["bad"]),
        ("status = DEAD_LETTERED", ["worse"]),
        ("status = COMPENSATING", []),
        ("needs_person = true", ["worse"]),
        ("needs_person = false AND status = COMPLETED", ["good"]),
        ('saga_name = "PlaceOrder"', ["worse", "bad", "good"]),
        ("saga_name = Trip", ["running"]),
        ("saga_name = Nobody", []),
        ('request_id = "good"', ["good"]),
        ('request_id = "a \\"b\\" \\\\c"', ["running"]),
        ("request_id = 'good' AND status = 'COMPLETED'", ["good"]),
        ("request_id = 'a \"b\" \\\\c'", ["running"]),
        ("request_id = good'", []),
        ('saga_name = "PlaceOrder" AND status = COMPLETED', ["good"]),
        ('request_id = "bad" AND status = COMPLETED', []),
        ('create_time >= "2020-01-01T00:00:00Z"', ["running", "worse", "bad", "good"]),
        ('create_time < "2020-01-01T00:00:00Z"', []),
        (
            (
                'create_time > "2020-01-01T00:00:00+02:00" AND create_time <= "2999-01-01T00:00:00.5Z" '
                "AND status = RUNNING"
            ),
            ["running"],
        ),
    ],
)
async def test_a_filter_finds_what_it_says(filter_text: str, names: list[str]) -> None:
    async with coordinator() as c:
        ids = await some_sagas(c)
        rows = await listed(c, filter_text)
        one_by_one = await listed(c, filter_text, page_size=1)
    assert [row.saga_id for row in rows] == [ids[name] for name in names]
    assert one_by_one == rows


async def test_the_time_that_a_list_shows_finds_the_saga_that_showed_it() -> None:
    async with coordinator() as c:
        ids = [await c.start() for _ in range(20)]
        shown = {row.saga_id: row.create_time.ToJsonString() for row in await listed(c)}
        for position, saga_id in enumerate(ids):
            time = shown[saga_id]
            for operator, expected in (
                (">=", ids[position:]),
                (">", ids[position + 1 :]),
                ("<=", ids[: position + 1]),
                ("<", ids[:position]),
            ):
                rows = await listed(c, f'create_time {operator} "{time}"')
                assert [row.saga_id for row in rows] == expected[::-1], operator


@pytest.mark.parametrize(
    ("filter_text", "sentence"),
    [
        ("nonsense", "expected a comparison at character 1"),
        ("status", "expected a comparison at character 1"),
        ("status =", "expected a comparison at character 1"),
        ("= RUNNING", "expected a comparison at character 1"),
        ("status RUNNING", "expected a comparison at character 1"),
        ("status = RUNNING OR status = COMPLETED", "expected AND at character 18"),
        ("status = RUNNING and saga_name = Trip", "expected AND at character 18"),
        ("status = RUNNING saga_name = Trip", "expected AND at character 18"),
        ("status = RUNNING AND", "expected a comparison at character 21"),
        ("status = RUNNING AND ", "expected a comparison at character"),
        ("status = RUNNING ANDsaga_name = Trip", "expected AND at character 18"),
        ("(status = RUNNING)", "expected a comparison at character 1"),
        ("NOT status = RUNNING", "expected a comparison at character 1"),
        ('request_id = "open', "expected a comparison at character 1"),
        ("request_id = 'open", "expected a comparison at character 1"),
        ("request_id = 'open\"", "expected a comparison at character 1"),
        ("status = SLEEPING", "status is expected to be one of RUNNING, COMPENSATING, COMPLETED"),
        ("status = running", "status is expected to be one of"),
        ("status != RUNNING", "status is compared with '=' only"),
        ("status : RUNNING", "status is compared with '=' only"),
        ("saga_name > A", "saga_name is compared with '=' only"),
        ("needs_person = perhaps", "needs_person is true or false"),
        ("colour = red", "'colour' is no field of a filter"),
        ("input = x", "'input' is no field of a filter"),
        ("status = RUNNING AND status = RUNNING", "status stands twice"),
        ('request_id = ""', "request_id is expected to have 1 to 128 characters"),
        (f"saga_name = {'s' * 129}", "saga_name is expected to have 1 to 128 characters"),
        ('create_time = "2026-11-22T10:00:00Z"', "create_time is compared with <, <=, > or >= only"),
        ('create_time >= "yesterday"', "create_time is expected to be RFC 3339"),
        ('create_time >= "2026-11-22"', "create_time is expected to be RFC 3339"),
        ('create_time >= "2026-13-22T10:00:00Z"', "create_time is expected to be RFC 3339"),
        ("create_time >= 1763800000", "create_time is expected to be RFC 3339"),
        (
            'create_time >= "2026-11-22T10:00:00Z" AND create_time > "2026-11-22T10:00:00Z"',
            "create_time has two lower bounds",
        ),
        (
            'create_time < "2026-11-22T10:00:00Z" AND create_time <= "2026-11-22T10:00:00Z"',
            "create_time has two upper bounds",
        ),
        ("request_id = a\0b", "holds a NUL character"),
        ("x" * 2001, "expected at most 2000 characters, found 2001"),
    ],
)
async def test_a_wrong_filter_is_refused_and_says_what_is_allowed(filter_text: str, sentence: str) -> None:
    async with coordinator() as c:
        refused = await refusal(c.api.ListSagas(pb.ListSagasRequest(filter=filter_text)))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.fields.keys() == {"filter"}
    assert sentence in refused.fields["filter"]
    if "expected a comparison" in sentence or "no field" in sentence:
        assert "status = RUNNING" in refused.fields["filter"]


async def test_a_filter_made_to_be_slow_is_refused_at_once() -> None:
    hostile = 'request_id = "' + "\\" * 1900
    async with coordinator() as c:
        refused = await refusal(c.api.ListSagas(pb.ListSagasRequest(filter=hostile), timeout=2))
    assert refused.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        (("", ""), True),
        (("saga_name = Trip", ' saga_name  =  "Trip" '), True),
        (("", "saga_name = Trip"), False),
        (("saga_name = Trip", ""), False),
        (("saga_name = Trip", "status = RUNNING"), False),
        (("needs_person = false", "needs_person = true"), False),
        (('create_time > "2020-01-01T00:00:00Z"', 'create_time >= "2020-01-01T00:00:00Z"'), False),
    ],
)
async def test_a_page_token_belongs_to_its_filter(filters: tuple[str, str], fits: bool) -> None:
    async with coordinator() as c:
        c.participants.hold("bookRoom")
        for _ in range(3):
            await c.start()
        token = await first_token(c, filters[0])
        request = pb.ListSagasRequest(page_token=token, filter=filters[1], page_size=7)
        if fits:
            assert len((await c.api.ListSagas(request)).sagas) == 2
        else:
            refused = await refusal(c.api.ListSagas(request))
            assert refused.code is StatusCode.INVALID_ARGUMENT
            assert "another filter" in refused.fields["page_token"]


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "*not base64*",
        "ünïcode",
        "a" * 501,
        forged("[]"),
        forged("{}"),
        forged('[1,"digest",NaN,"id"]'),
        forged('[1,"digest","1","id"]'),
        forged('[1,"digest",1.0,7]'),
        forged('[2,"digest",1.0,"id"]'),
        forged(f'[1,"digest",{"9" * 320},"id"]'),
        forged(f'[1,"digest",1e{"9" * 5},"id"]'),
        forged(f'[1,"digest",1.0,"{"i" * 129}"]'),
        forged("[" * 100),
    ],
)
async def test_a_page_token_that_is_none_of_ours_is_refused(token: str) -> None:
    async with coordinator() as c:
        refused = await refusal(c.api.ListSagas(pb.ListSagasRequest(page_token=token)))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.fields.keys() == {"page_token"}


@pytest.mark.parametrize("page_size", [-1, -(2**31)])
async def test_a_negative_page_size_is_refused(page_size: int) -> None:
    async with coordinator() as c:
        refused = await refusal(c.api.ListSagas(pb.ListSagasRequest(page_size=page_size)))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.fields == {"page_size": f"expected 0 or more, found {page_size}"}


async def test_create_time_is_now_in_utc() -> None:
    async with coordinator() as c:
        answer: Any = await c.get(await c.start())
    age = datetime.now(UTC) - answer.create_time.ToDatetime(tzinfo=UTC)
    assert -1 < age.total_seconds() < 30


async def test_a_last_page_that_is_just_full_says_that_it_is_the_last() -> None:
    async with coordinator() as c:
        for _ in range(4):
            await c.start()
        page = await c.api.ListSagas(pb.ListSagasRequest(page_size=2))
        assert page.next_page_token
        last = await c.api.ListSagas(pb.ListSagasRequest(page_size=2, page_token=page.next_page_token))
        assert (len(last.sagas), last.next_page_token) == (2, "")
