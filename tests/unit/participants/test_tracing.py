"""What a participant shows of the calls it serves, and which trace its business code runs in."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import Mock

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from participants import tracing
from participants.base import Output, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall
from participants.hosting import open_hosted
from participants.register import register
from saga.v1 import participant_pb2
from tests.recorded_spans import Recorded, attributes, header, parent, recording
from tests.unit.participants.kit import SERVICE, Client, Failure, TillService, a_client, a_till, until

EXECUTE = "saga.v1.ParticipantService/Execute"
COMPENSATE = "saga.v1.ParticipantService/Compensate"
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
OF_THE_CALL = {
    "rpc.system.name": "grpc",
    "rpc.method": EXECUTE,
    "saga.id": "saga-1",
    "saga.name": "TestSaga",
    "saga.step": "pay",
    "saga.service": SERVICE,
    "saga.attempt": 3,
    "rpc.response.status_code": "OK",
}
CANARY = "tok-canary"
of_the_loop = contextvars.ContextVar("of_the_loop", default="not set")


class TracedTill(TillService):
    """A till that makes spans of its own, and knows where it was."""

    name = SERVICE

    def __init__(self) -> None:
        super().__init__()
        self.was_in: list[tuple[str, str, str]] = []

    @transaction("put")
    def put(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        self._work()
        return super().put(db, call)

    @compensation("take")
    def take(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        self._work()
        return super().take(db, call)

    def _work(self) -> None:
        current = trace.get_current_span().get_span_context()
        name = threading.current_thread().name
        self.was_in.append((name, f"{current.trace_id:032x}", of_the_loop.get()))
        with trace.get_tracer("till").start_as_current_span("count"):
            pass


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as found:
        yield found


@asynccontextmanager
async def tracing_till(directory: Path) -> AsyncIterator[tuple[Client, TracedTill]]:
    till = TracedTill()
    async with a_till(directory, till) as client:
        yield client, till


async def test_a_call_is_a_span_of_its_callers_trace(tmp_path: Path, recorded: Recorded) -> None:
    async with a_till(tmp_path) as client:
        await client.execute(trace=TRACE, attempt=3)
        await client.compensate(trace=TRACE, attempt=3)
    execute, undo = recorded.one(EXECUTE), recorded.one(COMPENSATE)
    assert attributes(execute) == {**OF_THE_CALL, "saga.outcome": "SUCCEEDED"}
    assert attributes(undo) == {**OF_THE_CALL, "rpc.method": COMPENSATE, "saga.outcome": "SUCCEEDED"}
    for span in (execute, undo):
        assert (span.kind, parent(span)) == (SpanKind.SERVER, TRACE)
        assert span.status.status_code is StatusCode.UNSET
    assert CANARY not in recorded.text()


@pytest.mark.parametrize(
    ("mood", "outcome", "code"),
    [
        ("refuse", "REFUSED", {"saga.code": "TILL_LOCKED"}),
        ("pend", "PENDING", {}),
        ("fault", "FAULTED", {"saga.code": "TILL_BUSY"}),
    ],
)
async def test_a_no_is_shown_by_its_code_and_is_no_error(
    mood: str, outcome: str, code: dict[str, str], tmp_path: Path, recorded: Recorded
) -> None:
    till = TillService()
    till.mood = mood
    async with a_till(tmp_path, till) as client:
        await client.execute(trace=TRACE, attempt=3)
    span = recorded.one(EXECUTE)
    assert attributes(span) == {**OF_THE_CALL, "saga.outcome": outcome, **code}
    assert span.status.status_code is StatusCode.UNSET
    assert "The till" not in recorded.text()


async def test_a_failure_of_the_business_code_is_an_error_without_a_text(
    tmp_path: Path, recorded: Recorded
) -> None:
    till = TillService()
    till.mood = "explode"
    async with a_till(tmp_path, till) as client:
        await client.execute(trace=TRACE)
    span = recorded.one(EXECUTE)
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    shown = attributes(span)
    assert (shown["rpc.response.status_code"], shown["error.type"]) == ("INTERNAL", "INTERNAL")
    assert shown["saga.code"] == "BUSINESS_ERROR"
    assert "saga.outcome" not in shown
    for secret in (CANARY, "RuntimeError", "The service failed"):
        assert secret not in recorded.text()


async def test_misuse_is_shown_by_its_reason_and_is_its_callers_error(
    tmp_path: Path, recorded: Recorded
) -> None:
    async with a_till(tmp_path) as client:
        await client.execute()
        await client.execute(trace=TRACE, input_json=json.dumps({"amount": 6, "token": CANARY}))
    span = recorded.spans[-1]
    assert attributes(span)["rpc.response.status_code"] == "ALREADY_EXISTS"
    assert attributes(span)["saga.code"] == "KEY_REUSED"
    assert "error.type" not in attributes(span)
    assert span.status.status_code is StatusCode.UNSET
    assert CANARY not in recorded.text()


async def test_a_service_that_is_not_here_is_an_error_and_named_in_bounds(
    tmp_path: Path, recorded: Recorded
) -> None:
    async with a_till(tmp_path) as client:
        await client.execute(service="x" * 100_000)
    shown = attributes(recorded.one(EXECUTE))
    assert (shown["error.type"], shown["saga.code"]) == ("UNIMPLEMENTED", "UNKNOWN_SERVICE")
    assert shown["saga.service"] == "x" * 255


async def test_nothing_of_a_call_that_cannot_be_understood_enters(tmp_path: Path, recorded: Recorded) -> None:
    async with a_till(tmp_path) as client:
        await client.execute(saga=CANARY * 100, transaction=CANARY, input_json=CANARY)
    assert attributes(recorded.one(EXECUTE)) == {
        "rpc.system.name": "grpc",
        "rpc.method": EXECUTE,
        "rpc.response.status_code": "INVALID_ARGUMENT",
        "saga.code": "INVALID_REQUEST",
    }


@pytest.mark.parametrize(
    "malformed",
    [
        "hello",
        TRACE[:-1],
        TRACE.upper(),
        f"{TRACE}-more",
        TRACE.replace("a", "0"),
        "ff" + TRACE[2:],
        "0" * 600,
    ],
    ids=["word", "short", "upper", "long", "zero", "version", "huge"],
)
async def test_a_trace_that_is_none_is_ignored(malformed: str, tmp_path: Path, recorded: Recorded) -> None:
    async with a_till(tmp_path) as client:
        answer = await client.execute(trace=malformed)
    assert isinstance(answer, participant_pb2.ExecuteResponse)
    assert recorded.one(EXECUTE).parent is None


async def test_business_code_runs_on_its_thread_within_the_calls_trace(
    tmp_path: Path, recorded: Recorded
) -> None:
    async with tracing_till(tmp_path) as (client, till):
        await client.execute(trace=TRACE)
        await client.compensate(trace=TRACE)
    thread = f"write-{SERVICE}"
    assert till.was_in == [(thread, "a" * 32, "not set")] * 2
    made = [span for span in recorded.spans if span.name == "count"]
    assert [parent(span) for span in made] == [
        header(recorded.one(EXECUTE)),
        header(recorded.one(COMPENSATE)),
    ]


async def test_business_code_sees_what_its_server_was_started_with(
    tmp_path: Path, recorded: Recorded
) -> None:
    of_the_loop.set("set")
    async with tracing_till(tmp_path) as (client, till):
        await client.execute(trace=TRACE)
    assert till.was_in == [(f"write-{SERVICE}", "a" * 32, "set")]


async def test_a_trace_that_is_not_sampled_is_carried_on_without_spans(
    tmp_path: Path, recorded: Recorded
) -> None:
    async with tracing_till(tmp_path) as (client, till):
        await client.execute(trace=f"{TRACE[:-1]}0")
    assert [found for _, found, _ in till.was_in] == ["a" * 32]
    assert recorded.spans == ()


async def test_a_tracer_is_made_once(
    tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Mock(wraps=recorded.provider.get_tracer)
    monkeypatch.setattr(recorded.provider, "get_tracer", made)
    async with a_till(tmp_path) as client:
        await client.execute("saga-1", trace=TRACE)
        await client.execute("saga-2", trace=TRACE)
    assert len(recorded.spans) == 2
    made.assert_called_once()


async def test_with_the_api_alone_the_callers_context_reaches_the_business_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    async with tracing_till(tmp_path) as (client, till):
        await client.execute("saga-1", trace=TRACE)
        await client.execute("saga-2")
    assert [found for _, found, _ in till.was_in] == ["a" * 32, "0" * 32]


async def test_a_call_whose_time_is_over_ends_its_span(tmp_path: Path, recorded: Recorded) -> None:
    async with a_till(tmp_path) as client:
        await client.set_faults({"service": SERVICE, "transaction": "*", "fault": "hang"})
        answer = await client.execute(trace=TRACE, timeout_s=0.3)
        await until(lambda: _is_ended(recorded))
    assert isinstance(answer, Failure)
    span = recorded.one(EXECUTE)
    assert attributes(span)["error.type"] == "DEADLINE_EXCEEDED"
    assert span.status.status_code is StatusCode.ERROR


async def test_a_call_whose_caller_leaves_ends_its_span(tmp_path: Path, recorded: Recorded) -> None:
    async with a_till(tmp_path) as client:
        await client.set_faults({"service": SERVICE, "transaction": "*", "fault": "hang"})
        asking = asyncio.create_task(client.execute(trace=TRACE))
        await until(lambda: _has_hung(client))
        asking.cancel()
        await until(lambda: _is_ended(recorded))
    span = recorded.one(EXECUTE)
    assert attributes(span)["rpc.response.status_code"] == "CANCELLED"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_late_redelivery_belongs_to_the_trace_and_breaks_nothing(
    tmp_path: Path, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    async with tracing_till(tmp_path) as (client, till):
        await client.set_faults(
            {"service": SERVICE, "transaction": "*", "fault": "redeliver", "after_ms": 50, "times": 1},
            {"service": SERVICE, "transaction": "*", "fault": "barrier_off"},
        )
        await client.execute(trace=TRACE)
        assert [span.name for span in recorded.spans] == ["count", EXECUTE]
        await until(lambda: _has_rows(client, 2))
        assert await client.ledger() == [("put", "APPLIED")] * 2
    assert [found for _, found, _ in till.was_in] == ["a" * 32] * 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@asynccontextmanager
async def instrumented_till(directory: Path, recorded: Recorded) -> AsyncIterator[tuple[Client, TracedTill]]:
    """A till on a server of its author's, which has an instrumentation."""
    till = TracedTill()
    hosted = open_hosted(till, directory)
    interceptor = aio_server_interceptor(tracer_provider=recorded.provider)  # type: ignore[no-untyped-call]
    server = grpc.aio.server(interceptors=[interceptor], options=[("grpc.so_reuseport", 0)])
    register(server, [hosted])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with a_client(f"127.0.0.1:{port}") as client:
            yield client, till
    finally:
        await server.stop(None)
        await hosted.close()


@pytest.mark.parametrize("given", [TRACE, ""], ids=["traced", "not traced"])
async def test_a_span_that_an_instrumentation_made_is_told_about_the_saga_and_stays_the_only_one(
    given: str, tmp_path: Path, recorded: Recorded
) -> None:
    async with instrumented_till(tmp_path, recorded) as (client, _):
        await client.execute(trace=given, attempt=3)
    (span,) = [span for span in recorded.spans if span.kind is SpanKind.SERVER]
    assert parent(span) == (given or None)
    shown = attributes(span)
    of_the_saga = {key: value for key, value in OF_THE_CALL.items() if key.startswith("saga.")}
    assert {**of_the_saga, "saga.outcome": "SUCCEEDED"}.items() <= shown.items()
    assert parent(recorded.one("count")) == header(span)


@pytest.mark.parametrize(
    ("given", "outside"),
    [
        (TRACE, SpanContext(1, 2, True, TraceFlags(1))),
        ("", SpanContext(1, 2, True, TraceFlags(1))),
        (TRACE, None),
    ],
    ids=["both called", "started by a call", "called alone"],
)
async def test_a_server_that_was_started_within_a_span_does_not_take_it_for_its_calls(
    given: str, outside: SpanContext | None, tmp_path: Path, recorded: Recorded
) -> None:
    caller = None if outside is None else trace.set_span_in_context(NonRecordingSpan(outside))
    tracer = trace.get_tracer("host")
    with tracer.start_as_current_span("starting", context=caller, kind=SpanKind.SERVER):
        async with a_till(tmp_path) as client:
            await client.execute(trace=given)
    assert parent(recorded.one(EXECUTE)) == (given or None)
    assert attributes(recorded.one("starting")) == {}


def test_business_code_of_a_call_without_a_trace_is_called_as_it_is(recorded: Recorded) -> None:
    put = TillService().put
    assert tracing.within(put) == put
    with trace.get_tracer("caller").start_as_current_span("calling"):
        assert tracing.within(put) != put


async def test_what_is_logged_about_a_call_names_its_span(
    tmp_path: Path, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "participants")
    async with a_till(tmp_path) as client:
        await client.execute(trace=TRACE, service="NobodyService")
    (record,) = [record for record in caplog.records if record.message == "a call was rejected"]
    assert record.__dict__["trace"] == header(recorded.one(EXECUTE))


def test_a_participant_that_serves_loads_nothing_to_be_followed_with(tmp_path: Path) -> None:
    script = (
        "import asyncio, json, pathlib, sys\n"
        "from tests.unit.participants.kit import a_till\n"
        "async def main():\n"
        "    async with a_till(pathlib.Path(sys.argv[1])) as client:\n"
        f"        print((await client.execute(trace={TRACE!r})).WhichOneof('outcome'))\n"
        "asyncio.run(main())\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    outcome, modules = run.stdout.splitlines()
    loaded = json.loads(modules)
    assert outcome == "succeeded"
    assert "participants.tracing" in loaded
    assert not any(name.split(".")[0] == "opentelemetry" for name in loaded)


async def _is_ended(recorded: Recorded) -> bool:
    return any(span.name == EXECUTE for span in recorded.spans)


async def _has_hung(client: Client) -> bool:
    return bool((await client.injected()).get("hang"))


async def _has_rows(client: Client, count: int) -> bool:
    return len(await client.ledger()) >= count
