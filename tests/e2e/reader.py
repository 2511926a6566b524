"""Reads what can be read of a run from outside, round by round: sagas over the API, rows of the ledgers."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import grpc
import grpc.aio

from saga.testing.v1 import faults_pb2, faults_pb2_grpc
from saga.v1 import (
    coordinator_pb2,
    coordinator_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    operator_pb2,
    operator_pb2_grpc,
)
from scripts.cluster import Cluster
from tests.checker.evidence import Definition, LedgerRow, SagaRead
from tests.checker.gather import definition_of, ledger_rows, saga_read
from tests.checker.laws.ending import GIVEN_TO_A_PERSON
from tests.e2e.load import CHANNEL_OPTIONS

CALL_TIMEOUT_S: Final = 20.0
SETTLE_TIMEOUT_S: Final = 120.0
READ_AT_ONCE: Final = 16
_LARGE: Final = (("grpc.max_receive_message_length", -1),)


class Reader:
    """Reads what can be read from outside, round by round."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._round = 0
        self.reads: list[SagaRead] = []
        self.shown: list[str] = []
        """All that was read, as text."""

    async def read(self, saga_ids: Sequence[str]) -> None:
        """One round of GetSaga over *saga_ids*."""
        self._round += 1
        gate = asyncio.Semaphore(READ_AT_ONCE)
        async with self._channel() as channel:
            stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)

            async def get(saga_id: str) -> None:
                request = coordinator_pb2.GetSagaRequest(saga_id=saga_id)
                async with gate:
                    try:
                        answer = await stub.GetSaga(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)
                    except grpc.aio.AioRpcError as error:
                        # A saga that was acknowledged and is not there shows as one without a read.
                        if error.code() is not grpc.StatusCode.NOT_FOUND:
                            raise
                        return
                self.reads.append(saga_read(answer.saga, read_at=self._round))
                self.shown.append(str(answer.saga))

            await asyncio.gather(*map(get, saga_ids))

    async def all_saga_ids(self) -> list[str]:
        return await self._listed("")

    async def dead_letters(self) -> frozenset[str]:
        """The sagas in the list of those that need a person."""
        found: set[str] = set()
        async with self._channel() as channel:
            stub = operator_pb2_grpc.OperatorServiceStub(channel)
            request = operator_pb2.ListDeadLettersRequest(page_size=100)
            while True:
                page = await stub.ListDeadLetters(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)
                found |= {saga.saga_id for saga in page.dead_letters}
                if not page.next_page_token:
                    return frozenset(found)
                request.page_token = page.next_page_token

    async def settle(self) -> int:
        """Wait for the end of all automatic work; returns how many sagas are still undecided."""
        until_s = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            undecided = [
                saga_id
                for status in ("RUNNING", "COMPENSATING")
                for saga_id in await self._listed(f"status = {status}")
            ]
            if not undecided or time.monotonic() > until_s:
                return len(undecided)
            await asyncio.sleep(0.5)

    def set_aside(self) -> int:
        """How many sagas were ever shown as ones that the coordinator gave up itself."""
        return len(
            {
                read.saga_id
                for read in self.reads
                if any(words in read.error_message for words in GIVEN_TO_A_PERSON)
            }
        )

    async def definitions(self) -> dict[str, Definition]:
        """The definition behind every digest that was read."""
        found = {}
        async with self._channel() as channel:
            stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            for digest in {read.definition_digest for read in self.reads}:
                request = coordinator_pb2.GetDefinitionRequest(name=digest)
                found[digest] = definition_of((await stub.GetDefinition(request)).definition)
        return found

    async def ledgers(self) -> tuple[tuple[LedgerRow, ...], list[ledger_pb2.InjectedFaults]]:
        """Every row of every ledger, and how often each kind of fault was injected."""
        messages: list[ledger_pb2.LedgerEntry] = []
        faults: list[ledger_pb2.InjectedFaults] = []
        async with grpc.aio.insecure_channel(self._cluster.participants_address, options=_LARGE) as channel:
            stub = ledger_pb2_grpc.LedgerServiceStub(channel)
            request = ledger_pb2.ListLedgerEntriesRequest(page_size=5000)
            while True:
                page = await stub.ListLedgerEntries(request, timeout=CALL_TIMEOUT_S)
                messages += page.entries
                faults += page.injected_faults
                if not page.next_page_token:
                    return ledger_rows(messages), faults
                request.page_token = page.next_page_token

    def stop_faults(self) -> None:
        """From here on participants behave."""
        with grpc.insecure_channel(self._cluster.participants_address) as channel:
            faults_pb2_grpc.FaultServiceStub(channel).SetFaults(
                faults_pb2.SetFaultsRequest(faults_json="{}"), timeout=CALL_TIMEOUT_S
            )

    async def _listed(self, condition: str) -> list[str]:
        found: list[str] = []
        async with self._channel() as channel:
            stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
            request = coordinator_pb2.ListSagasRequest(page_size=1000, filter=condition)
            while True:
                page = await stub.ListSagas(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)
                found += [saga.saga_id for saga in page.sagas]
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token

    def _channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self._cluster.address, options=CHANNEL_OPTIONS)
