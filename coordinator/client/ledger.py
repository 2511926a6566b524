"""What a participant says that it did: its ledger, row by row, from the participant itself."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum

from coordinator.client import wire
from coordinator.client.blocking import BlockingConnection
from coordinator.client.patience import CALL_TIMEOUT_S
from saga.v1 import ledger_pb2 as pb
from saga.v1 import ledger_pb2_grpc


class Operation(StrEnum):
    """Which way a call goes."""

    UNSPECIFIED = "UNSPECIFIED"
    EXECUTE = "EXECUTE"
    COMPENSATE = "COMPENSATE"


class LedgerOutcome(StrEnum):
    """What a call changed."""

    UNSPECIFIED = "UNSPECIFIED"
    APPLIED = "APPLIED"
    DUPLICATE = "DUPLICATE"
    """The key was known: answered from what was stored."""
    NULL = "NULL"
    """A Compensate that had nothing to undo."""
    REFUSED = "REFUSED"
    BARRED = "BARRED"
    """An Execute that came after its compensation, and changed nothing."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One call, written in the same local transaction as its effect."""

    local_seq: int
    service: str
    saga_id: str
    step: str
    operation: Operation
    transaction: str
    idempotency_key: str
    outcome: LedgerOutcome
    request_hash: str
    result_hash: str
    fencing_token: int


class Ledger(BlockingConnection):
    """The ledgers of the services at *target*. Errors are those of `BlockingClient`."""

    def __init__(self, target: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        super().__init__(target, timeout_s=timeout_s)
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(self._channel)

    def entries(self, service: str, *, saga_id: str = "") -> Generator[LedgerEntry, None, None]:
        """What *service* did, oldest first, page after page; only for one saga, if one is named."""
        token = ""
        while True:
            request = wire.request_of(
                pb.ListLedgerEntriesRequest, service=service, saga_id=saga_id, page_token=token
            )
            page = self._ask("ListLedgerEntries", self._ledger.ListLedgerEntries, request)
            yield from map(_to_entry, page.entries)
            token = page.next_page_token
            if not token:
                return


def _to_entry(entry: pb.LedgerEntry) -> LedgerEntry:
    return LedgerEntry(
        local_seq=entry.local_seq,
        service=entry.service,
        saga_id=entry.saga_id,
        step=entry.step,
        operation=wire.word(Operation, pb.Operation, "OPERATION_", entry.operation),
        transaction=entry.transaction,
        idempotency_key=entry.idempotency_key,
        outcome=wire.word(LedgerOutcome, pb.LedgerOutcome, "LEDGER_OUTCOME_", entry.outcome),
        request_hash=entry.request_hash,
        result_hash=entry.result_hash,
        fencing_token=entry.fencing_token,
    )
