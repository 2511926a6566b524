"""What the participants' tests share: a service with visible effects, calls, a client, a process."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from participants.base import Output, Participant, compensation, transaction
from participants.calls import CompensateCall, ExecuteCall, Faulted, Pending, Refused, request_hash
from participants.database import Database
from participants.fault_plan import FaultPlan
from participants.hosting import open_file
from participants.server import serving
from participants.status import DETAILS_KEY
from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from saga.v1 import ledger_pb2, ledger_pb2_grpc, participant_pb2, participant_pb2_grpc

SERVICE = "TillService"
READY_WITHIN_S = 20


class TillService(Participant):
    """Puts amounts into a till and takes them out; its mood decides what it answers.

    It changes something before it says no, so that a missing rollback shows.
    """

    schema = ("CREATE TABLE till (saga_id TEXT, step TEXT, amount INTEGER);",)

    def __init__(self) -> None:
        self.mood = "succeed"
        self.undone_with: list[object] = []

    @transaction("put")
    def put(self, db: sqlite3.Connection, call: ExecuteCall) -> Output:
        amount = call.input.get("amount", 1)
        db.execute("INSERT INTO till VALUES (?, ?, ?)", (call.saga_id, call.step, amount))
        self._say_no(db)
        return {"put": amount}

    @compensation("take")
    def take(self, db: sqlite3.Connection, call: CompensateCall) -> Output:
        db.execute("DELETE FROM till WHERE saga_id = ? AND step = ?", (call.saga_id, call.step))
        self._say_no(db)
        self.undone_with.append(call.execute_output)
        return {"taken": True}

    def _say_no(self, db: sqlite3.Connection) -> None:
        match self.mood:
            case "refuse":
                raise Refused("TILL_LOCKED", "The till is locked.")
            case "pend":
                raise Pending(1.5)
            case "fault":
                raise Faulted("TILL_BUSY", "The till is busy.", 0.25)
            case "explode":
                raise RuntimeError("tok-canary")
            case "commit":
                db.commit()
            case "end the transaction":
                db.execute("CREATE TABLE once (one INTEGER PRIMARY KEY)")
                db.execute("INSERT OR ROLLBACK INTO once VALUES (1), (1)")


def open_till(directory: Path) -> Database:
    return open_file(TillService, directory)


def an_execute(
    saga: str = "saga-1", step: str = "pay", *, key: str = "", name: str = "put", **more: Any
) -> ExecuteCall:
    return ExecuteCall(**_fields(saga, step, key or f"{saga}/{step}/E", name, **more))


def a_compensate(
    saga: str = "saga-1", step: str = "pay", *, key: str = "", name: str = "take", **more: Any
) -> CompensateCall:
    return CompensateCall(**_fields(saga, step, key or f"{saga}/{step}/C", name, **more))


def _fields(
    saga: str,
    step: str,
    key: str,
    name: str,
    *,
    service: str = SERVICE,
    token: int = 1,
    given: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    content = given or {"amount": 5}
    return {
        "idempotency_key": key,
        "saga_id": saga,
        "saga_name": "TestSaga",
        "service": service,
        "step": step,
        "name": name,
        "attempt": 1,
        "fencing_token": token,
        "input": content,
        "request_hash": request_hash(service, step, name, json.dumps(content)),
        "arrived_ns": 1,
    }


@dataclass(frozen=True, slots=True)
class Failure:
    """A gRPC error as a caller reads it."""

    status: str
    sentence: str
    reason: str
    violations: Mapping[str, str]


def read_failure(error: grpc.aio.AioRpcError) -> Failure:
    reason, violations = "", {}
    for key, value in error.trailing_metadata() or ():
        if key != DETAILS_KEY:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                assert info.domain == "saga.v1"
                reason = info.reason
            elif detail.Unpack(bad):
                violations = {v.field: v.description for v in bad.field_violations}
    return Failure(error.code().name, error.details() or "", reason, violations)


class Client:
    """Calls a participant as a coordinator would, with everything defaulted."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.calls = participant_pb2_grpc.ParticipantServiceStub(channel)
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        self._faults = faults_pb2_grpc.FaultServiceStub(channel)

    async def execute(
        self,
        saga: str = "saga-1",
        step: str = "pay",
        *,
        timeout_s: float = 10,
        trace: str = "",
        **more: Any,
    ) -> participant_pb2.ExecuteResponse | Failure:
        given = {
            "idempotency_key": f"{saga}/{step}/E",
            "service": SERVICE,
            "transaction": "put",
            "input_json": '{"amount": 5}',
            **more,
        }
        request = participant_pb2.ExecuteRequest(saga_id=saga, step=step, saga_name="TestSaga", **given)
        try:
            return await self.calls.Execute(request, timeout=timeout_s, metadata=_metadata(trace))
        except grpc.aio.AioRpcError as error:
            return read_failure(error)

    async def compensate(
        self,
        saga: str = "saga-1",
        step: str = "pay",
        *,
        timeout_s: float = 10,
        trace: str = "",
        **more: Any,
    ) -> participant_pb2.CompensateResponse | Failure:
        given = {
            "idempotency_key": f"{saga}/{step}/C",
            "service": SERVICE,
            "compensation": "take",
            "input_json": '{"amount": 5}',
            **more,
        }
        request = participant_pb2.CompensateRequest(saga_id=saga, step=step, saga_name="TestSaga", **given)
        try:
            return await self.calls.Compensate(request, timeout=timeout_s, metadata=_metadata(trace))
        except grpc.aio.AioRpcError as error:
            return read_failure(error)

    async def describe(self, service: str = "") -> participant_pb2.DescribeResponse | Failure:
        try:
            return await self.calls.Describe(participant_pb2.DescribeRequest(service=service))
        except grpc.aio.AioRpcError as error:
            return read_failure(error)

    async def page(self, **more: Any) -> ledger_pb2.ListLedgerEntriesResponse | Failure:
        try:
            return await self._ledger.ListLedgerEntries(ledger_pb2.ListLedgerEntriesRequest(**more))
        except grpc.aio.AioRpcError as error:
            return read_failure(error)

    async def ledger(self, **more: Any) -> list[tuple[str, str]]:
        """Every row, as what was called and what it changed."""
        page = await self.page(**more)
        assert not isinstance(page, Failure)
        return [
            (entry.transaction, ledger_pb2.LedgerOutcome.Name(entry.outcome).removeprefix("LEDGER_OUTCOME_"))
            for entry in page.entries
        ]

    async def injected(self) -> dict[str, int]:
        page = await self.page()
        assert not isinstance(page, Failure)
        return {fault.kind: fault.count for fault in page.injected_faults}

    async def set_faults(self, *rules: Mapping[str, object], **more: object) -> Failure | None:
        text = json.dumps({"rules": rules, **more})
        try:
            await self._faults.SetFaults(faults_pb2.SetFaultsRequest(faults_json=text))
        except grpc.aio.AioRpcError as error:
            return read_failure(error)
        return None

    async def get_faults(self) -> str:
        return (await self._faults.GetFaults(faults_pb2.GetFaultsRequest())).faults_json


def _metadata(trace: str) -> list[tuple[str, str | bytes]]:
    """Beside the trace, what a caller in the middle may add: none of it is for a span."""
    added = [("tracestate", "vendor=tok-canary"), ("baggage", "user=tok-canary"), ("token", "tok-canary")]
    return [("traceparent", trace), *added] if trace else []


@asynccontextmanager
async def a_client(address: str, **options: int) -> AsyncIterator[Client]:
    given = [(f"grpc.{name}", value) for name, value in {"enable_retries": 0, **options}.items()]
    async with grpc.aio.insecure_channel(address, options=given) as channel:
        yield Client(channel)


@asynccontextmanager
async def a_till(directory: Path, till: Participant | None = None) -> AsyncIterator[Client]:
    """A till service on a real socket, faults on demand, and a client of it."""
    service = till or TillService()
    async with (
        serving([service], data=directory, faults=FaultPlan(), grace_s=1) as served,
        a_client(served.address) as client,
    ):
        yield client


@contextmanager
def a_process(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`python -m participants …` until the block is left, and the address it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "participants", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        assert ready[:2] == ["participants", "ready"], process.communicate(timeout=READY_WITHIN_S)
        yield process, ready[2]
    finally:
        process.kill()
        process.communicate(timeout=READY_WITHIN_S)


async def until(condition: Any, within_s: float = 5.0) -> None:
    """Wait until *condition()* (it may be awaitable) is true."""
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.01)
