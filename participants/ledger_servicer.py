"""The gRPC edge of the ledger: pages of rows, service by service, oldest first."""

from __future__ import annotations

from collections.abc import Mapping

from grpc.aio import ServicerContext as Context

from participants import fault_counts, ledger
from participants.calls import Operation
from participants.errors import InvalidRequest, UnknownService, Violation
from participants.hosting import Hosted
from participants.ledger import Outcome
from participants.status import answered
from saga.v1 import ledger_pb2 as pb
from saga.v1 import ledger_pb2_grpc as rpc

PAGE_SIZE = 1000
PAGE_SIZE_MAX = 10_000
# Half of what a gRPC client takes by default, since ids may be long.
PAGE_BYTES_MAX = 2 * 1024 * 1024
OPERATIONS = {
    Operation.EXECUTE: pb.OPERATION_EXECUTE,
    Operation.COMPENSATE: pb.OPERATION_COMPENSATE,
}
OUTCOMES = {
    Outcome.APPLIED: pb.LEDGER_OUTCOME_APPLIED,
    Outcome.DUPLICATE: pb.LEDGER_OUTCOME_DUPLICATE,
    Outcome.NULL: pb.LEDGER_OUTCOME_NULL,
    Outcome.REFUSED: pb.LEDGER_OUTCOME_REFUSED,
    Outcome.BARRED: pb.LEDGER_OUTCOME_BARRED,
}


class LedgerServicer(rpc.LedgerServiceServicer):
    """Reads committed rows only, on a connection that delays no call."""

    def __init__(self, services: Mapping[str, Hosted]) -> None:
        self._services = dict(sorted(services.items()))

    async def ListLedgerEntries(
        self,
        request: pb.ListLedgerEntriesRequest,
        context: Context[pb.ListLedgerEntriesRequest, pb.ListLedgerEntriesResponse],
    ) -> pb.ListLedgerEntriesResponse:
        return await answered(context, self._list(request), service=request.service)

    async def _list(self, request: pb.ListLedgerEntriesRequest) -> pb.ListLedgerEntriesResponse:
        names = self._names(request.service)
        first, after_seq = _read_token(request.page_token, names)
        room = _read_page_size(request.page_size)
        response = pb.ListLedgerEntriesResponse()
        if not request.page_token:
            for name in names:
                response.injected_faults.extend(await self._faults(name))
        size = response.ByteSize()
        for name in names[names.index(first) :]:
            # One row more than there is room for tells whether another page follows.
            rows = await self._rows(name, request.saga_id, after_seq, room + 1)
            for row in rows:
                entry = _entry(name, row)
                size += entry.ByteSize()
                if room == 0 or (size > PAGE_BYTES_MAX and response.entries):
                    response.next_page_token = f"{name}:{after_seq}"
                    return response
                response.entries.append(entry)
                after_seq = row.local_seq
                room -= 1
            after_seq = 0
        return response

    def _names(self, service: str) -> list[str]:
        if not service:
            return list(self._services)
        if service not in self._services:
            raise UnknownService("This server hosts no service of that name.")
        return [service]

    async def _rows(self, name: str, saga_id: str, after_seq: int, limit: int) -> list[ledger.Row]:
        return await self._services[name].store.read(lambda db: ledger.read(db, saga_id, after_seq, limit))

    async def _faults(self, name: str) -> list[pb.InjectedFaults]:
        found = await self._services[name].store.read(fault_counts.totals)
        return [pb.InjectedFaults(service=name, kind=kind, count=count) for kind, count in found.items()]


def _read_page_size(page_size: int) -> int:
    if page_size < 0:
        raise InvalidRequest([Violation("page_size", "must not be negative")])
    return min(page_size or PAGE_SIZE, PAGE_SIZE_MAX)


def _read_token(token: str, names: list[str]) -> tuple[str, int]:
    """Where a page begins: in which service, and after which of its rows."""
    if not token:
        return names[0], 0
    name, _, seq = token.rpartition(":")
    if name not in names or not (seq.isascii() and seq.isdigit() and len(seq) < 19):
        sentence = "is not the next_page_token of an earlier answer to the same request"
        raise InvalidRequest([Violation("page_token", sentence)])
    return name, int(seq)


def _entry(service: str, row: ledger.Row) -> pb.LedgerEntry:
    return pb.LedgerEntry(
        local_seq=row.local_seq,
        service=service,
        saga_id=row.saga_id,
        step=row.step,
        operation=OPERATIONS[row.operation],
        transaction=row.name,
        idempotency_key=row.idempotency_key,
        outcome=OUTCOMES[row.outcome],
        request_hash=row.request_hash,
        result_hash=row.result_hash,
        fencing_token=row.fencing_token,
        arrived_ns=row.arrived_ns,
        committed_ns=row.committed_ns,
    )
