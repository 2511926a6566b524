"""A participant at work: its business code, its file, and the one way in which a call reaches both."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from traceback import walk_tb
from typing import Protocol

from participants import barrier, fault_counts, ledger, tracing
from participants.barrier import Verdict
from participants.base import Business, Offer, Participant
from participants.calls import Call, Operation, Reply
from participants.database import Database, open_database
from participants.errors import BusinessError, Rejected, Unavailable
from participants.store import Store

Judge = Callable[[sqlite3.Connection, Call, Business | None], Verdict]


class Performer(Protocol):
    """Whatever answers for a service: a hosted participant, or one with faults around it."""

    def perform(self, call: Call) -> Awaitable[Reply]: ...

    def offer(self) -> Offer: ...


class Hosted:
    """One participant and its open file."""

    def __init__(self, participant: Participant, store: Store) -> None:
        self.participant = participant
        self.store = store

    @property
    def name(self) -> str:
        return self.participant.name

    def offer(self) -> Offer:
        """What it tells of itself, by what its author has marked."""
        names = self.participant.names
        return Offer(self.name, names(Operation.EXECUTE), names(Operation.COMPENSATE), barrier=True)

    async def perform(self, call: Call) -> Reply:
        """Put *call* through the barrier; the reply comes after its commit."""
        return await self.judge(call, self.participant.business(call))

    async def judge(
        self,
        call: Call,
        business: Business | None,
        *,
        by: Judge = barrier.perform,
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> Reply:
        """As `perform`, with the business code given; *also* is committed together with it."""
        if business is not None:
            business = tracing.within(business)

        def work(db: sqlite3.Connection) -> Verdict:
            verdict = by(db, call, business)
            if also is not None:
                also(db)
            return verdict

        try:
            verdict = await self.store.submit(work)
        except Unavailable:
            raise
        except Exception as error:
            raise BusinessError(_where(error)) from None
        if isinstance(verdict.answer, Rejected):
            raise verdict.answer
        return Reply(call.idempotency_key, verdict.answer)

    async def close(self) -> None:
        await self.store.close()


def open_hosted(participant: Participant, directory: Path) -> Hosted:
    """Open *participant*'s file in *directory*; raises CannotStart with one sentence."""
    return Hosted(participant, Store(open_file(type(participant), directory)))


def open_file(kind: type[Participant], directory: Path) -> Database:
    """The file of one kind of participant, with its own tables and the barrier's."""
    parts = {
        "barrier": (barrier.SCHEMA + ledger.SCHEMA + fault_counts.SCHEMA,),
        "service": kind.schema,
    }
    return open_database(directory / f"{kind.name}.sqlite3", kind.name, parts)


def _where(error: Exception) -> str:
    """Name the kind of *error* and its line; its text may quote a payload and is left out."""
    *_, (frame, line) = walk_tb(error.__traceback__)
    return f"{type(error).__name__} in {Path(frame.f_code.co_filename).name}:{line}"
