"""Faults on demand over a real socket: each does what it says, as often as it says, and is counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from saga.v1 import participant_pb2 as pb
from tests.unit.participants.kit import Client, Failure, a_till, until


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with a_till(tmp_path) as connected:
        yield connected


def told(answer: object) -> str:
    """The answer in a word: its outcome, or its status."""
    if isinstance(answer, Failure):
        return answer.status
    assert isinstance(answer, pb.ExecuteResponse | pb.CompensateResponse)
    return answer.WhichOneof("outcome") or "nothing"


def a_rule(fault: str, **more: object) -> dict[str, object]:
    return {"transaction": "put", "fault": fault, "times": 1, **more}


async def test_an_injected_refusal_is_stored_like_any_other(client: Client) -> None:
    await client.set_faults(a_rule("refused", code="TILL_GONE", message="No till."))
    for _ in range(2):
        answer = await client.execute()
        assert isinstance(answer, pb.ExecuteResponse)
        assert (answer.refused.code, answer.refused.message) == ("TILL_GONE", "No till.")
    assert await client.ledger() == [("put", "REFUSED"), ("put", "DUPLICATE")]
    assert await client.injected() == {"refused": 1}


async def test_an_injected_fault_or_pending_passes(client: Client) -> None:
    await client.set_faults(
        a_rule("faulted", code="BUSY", retry_after_ms=250), a_rule("pending", ask_again_after_ms=50)
    )
    assert [told(await client.execute()) for _ in range(3)] == ["faulted", "pending", "succeeded"]
    assert await client.injected() == {"faulted": 1, "pending": 1}


async def test_an_injected_status_leaves_no_trace_of_the_call(client: Client) -> None:
    await client.set_faults(a_rule("status", status="RESOURCE_EXHAUSTED"))
    assert told(await client.execute()) == "RESOURCE_EXHAUSTED"
    assert await client.ledger() == []
    assert told(await client.execute()) == "succeeded"


async def test_a_hang_lasts_to_the_callers_deadline_and_has_no_effect(client: Client) -> None:
    await client.set_faults(a_rule("hang"))
    assert told(await client.execute(timeout_s=0.2)) == "DEADLINE_EXCEEDED"
    assert await client.ledger() == []
    assert await client.injected() == {"hang": 1}


@pytest.mark.parametrize(
    ("more", "status"), [({"status": "UNAVAILABLE"}, "UNAVAILABLE"), ({}, "DEADLINE_EXCEEDED")]
)
async def test_a_lost_reply_leaves_the_effect(client: Client, more: dict[str, object], status: str) -> None:
    await client.set_faults(a_rule("reply_lost", **more))
    assert told(await client.execute(timeout_s=0.3)) == status
    assert told(await client.execute()) == "succeeded"
    assert await client.ledger() == [("put", "APPLIED"), ("put", "DUPLICATE")]
    assert await client.injected() == {"reply_lost": 1}


async def test_a_redelivery_comes_later_and_by_itself(client: Client) -> None:
    await client.set_faults(a_rule("redeliver", after_ms=50))
    assert told(await client.execute()) == "succeeded"
    await until(lambda: _has_rows(client, 2))
    assert await client.ledger() == [("put", "APPLIED"), ("put", "DUPLICATE")]


async def test_a_redelivery_after_the_undo_is_barred(client: Client) -> None:
    await client.set_faults(a_rule("redeliver", after_ms=200))
    await client.execute()
    await client.compensate()
    await until(lambda: _has_rows(client, 3))
    assert await client.ledger() == [("put", "APPLIED"), ("take", "APPLIED"), ("put", "BARRED")]


async def test_wrong_answers_leave_the_effect(client: Client) -> None:
    await client.set_faults(
        a_rule("wrong_key"), a_rule("empty_outcome"), a_rule("malformed_output"), a_rule("oversized_answer")
    )
    wrong = await client.execute()
    empty = await client.execute()
    malformed = await client.execute()
    assert isinstance(wrong, pb.ExecuteResponse)
    assert isinstance(malformed, pb.ExecuteResponse)
    assert wrong.idempotency_key == "not-saga-1/pay/E"
    assert told(empty) == "nothing"
    with pytest.raises(json.JSONDecodeError):
        json.loads(malformed.succeeded.output_json)
    # The caller's own limit of 4 MiB is what stops it.
    assert told(await client.execute()) == "RESOURCE_EXHAUSTED"
    assert told(await client.execute()) == "succeeded"
    assert Counter(await client.ledger()) == {("put", "APPLIED"): 1, ("put", "DUPLICATE"): 4}


async def test_latency_delays_the_call_outside_its_transaction(client: Client) -> None:
    slow = {"when": {"field": "amount", "equals": 9}, "distribution": "fixed", "ms": 400}
    await client.set_faults(a_rule("latency", **slow))
    began = time.monotonic()
    delayed = asyncio.create_task(client.execute("slow", input_json='{"amount": 9}'))
    await asyncio.sleep(0.05)
    assert told(await client.execute("quick")) == "succeeded"
    assert time.monotonic() - began < 0.35
    assert told(await delayed) == "succeeded"
    assert time.monotonic() - began >= 0.4


async def test_compensations_have_faults_of_their_own(client: Client) -> None:
    await client.set_faults(
        {"compensation": "take", "fault": "refused", "times": 1},
        {"compensation": "take", "fault": "reply_lost", "status": "UNAVAILABLE", "times": 1},
    )
    await client.execute()
    assert told(await client.compensate()) == "UNAVAILABLE"
    assert told(await client.compensate()) == "succeeded"
    assert await client.ledger() == [("put", "APPLIED"), ("take", "REFUSED"), ("take", "APPLIED")]


async def test_without_the_barrier_a_duplicate_does_harm(client: Client) -> None:
    await client.set_faults({"transaction": "*", "compensation": "*", "fault": "barrier_off"})
    await client.compensate()
    await client.execute()
    await client.execute()
    assert await client.ledger() == [("take", "APPLIED"), ("put", "APPLIED"), ("put", "APPLIED")]


@pytest.mark.parametrize(
    ("more", "barrier"),
    [
        ({}, False),
        ({"service": "TillService"}, False),
        ({"service": "OtherService"}, True),
        ({"fault": "pending"}, True),
    ],
)
async def test_a_service_says_that_its_barrier_is_put_aside(
    client: Client, more: dict[str, object], barrier: bool
) -> None:
    await client.set_faults({"transaction": "*", "fault": "barrier_off", **more})
    told = await client.describe()
    assert isinstance(told, pb.DescribeResponse)
    assert [service.barrier for service in told.services] == [barrier]


async def test_of_several_rules_the_first_that_fires_answers(client: Client) -> None:
    await client.set_faults(a_rule("faulted", probability=0), a_rule("pending"), a_rule("refused"))
    assert [told(await client.execute()) for _ in range(2)] == ["pending", "refused"]


async def outcomes(directory: Path, seed: int) -> list[str]:
    async with a_till(directory) as client:
        rule = {"transaction": "put", "fault": "status", "status": "UNAVAILABLE", "probability": 0.3}
        await client.set_faults(rule, seed=seed)
        return [told(await client.execute(f"saga-{number}")) for number in range(60)]


async def test_chance_follows_the_seed(tmp_path: Path) -> None:
    first, again, other = [await outcomes(tmp_path / str(n), seed) for n, seed in enumerate((7, 7, 8))]
    assert first == again != other
    assert 8 <= first.count("UNAVAILABLE") <= 28


async def test_a_wrong_plan_is_refused_by_path_and_the_old_one_stays(client: Client) -> None:
    await client.set_faults(a_rule("pending", times=100))
    before = await client.get_faults()
    failure = await client.set_faults({"transaction": "*", "fault": "hang", "probability": 2})
    assert failure is not None
    assert failure.status == "INVALID_ARGUMENT"
    assert failure.violations == {"$.rules[0].probability": "must be a number from 0 to 1"}
    assert await client.get_faults() == before
    assert told(await client.execute()) == "pending"


async def test_many_wrong_rules_still_fit_into_an_answer(client: Client) -> None:
    rules: list[dict[str, Any]] = [{"x" * 5000: 1}] * 500
    failure = await client.set_faults(*rules)
    assert failure is not None
    assert (failure.status, len(failure.violations)) == ("INVALID_ARGUMENT", 10)
    assert "more" in failure.sentence


async def test_counts_outlive_the_process_and_a_new_plan(tmp_path: Path) -> None:
    async with a_till(tmp_path) as client:
        await client.set_faults(a_rule("pending"))
        assert told(await client.execute()) == "pending"
    async with a_till(tmp_path) as client:
        assert await client.injected() == {"pending": 1}
        # The same plan, set anew, counts anew: `times` is of one plan, the totals are of the file.
        await client.set_faults(a_rule("pending"))
        assert told(await client.execute()) == "pending"
        assert await client.injected() == {"pending": 2}


async def test_the_empty_plan_switches_all_faults_off(client: Client) -> None:
    await client.set_faults({"transaction": "*", "fault": "hang"})
    await client.set_faults()
    assert told(await client.execute(timeout_s=2)) == "succeeded"


async def _has_rows(client: Client, count: int) -> bool:
    return len(await client.ledger()) == count


async def test_an_answer_of_any_size_can_be_sent(client: Client) -> None:
    await client.set_faults(a_rule("oversized_answer", bytes=100))
    answer = await client.execute()
    assert isinstance(answer, pb.ExecuteResponse)
    assert len(answer.succeeded.output_json) == 102
