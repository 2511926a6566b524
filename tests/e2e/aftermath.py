"""What a drill leaves: files of participants and journal, downtimes, and all of it together as evidence."""

import random
import shutil
import socket
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordinator.adapters.event_codec import decode_all
from coordinator.adapters.sqlite.damage import read_words
from coordinator.adapters.sqlite.words import text_of
from coordinator.domain.events import (
    StepBegun,
    StepCompensated,
    StepFaulted,
    StepRefused,
    StepSucceeded,
    UndoBegun,
    UndoFaulted,
    UndoRefused,
)
from coordinator.domain.ids import SagaId
from participants import audit
from participants.database import open_readonly
from scripts.cluster import SERVICES, Cluster
from tests.checker.evidence import Books, Evidence
from tests.e2e.load import CANARY, History
from tests.e2e.operators import Watch
from tests.e2e.reader import Reader

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_FROM_DEFAULT: Final = 32768
_PORTS: Final = 10_000
_APPLIED_EXECUTES: Final = (
    "SELECT saga_id, step, output_json FROM saga_answers WHERE operation = 1 AND outcome = 1"
)
_RECORDS_OF_OPEN_SAGAS: Final = (
    "SELECT id, event_types.name, payload, at"
    " FROM records JOIN sagas ON sagas.number = saga JOIN event_types ON event_types.number = type"
    " WHERE status IN ('RUNNING', 'COMPENSATING') ORDER BY saga, seq"
)


class Downtimes:
    """When no coordinator was up, by the clock that coordinators write into timelines."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self._down_ns: int | None = None

    def down(self) -> None:
        """It is about to be killed; if it was down already, it stays so."""
        if self._down_ns is None:
            self._down_ns = time.time_ns()

    def up(self) -> None:
        """It said that it serves."""
        if self._down_ns is not None:
            self._spans.append((self._down_ns, time.time_ns()))
            self._down_ns = None

    @property
    def spans_ns(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._spans)


BOOKED: Final = ("FlightService", "HotelService", "CarService")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Where a drill's evidence is to be found."""

    cluster: Cluster
    reader: Reader
    history: History
    watch: Watch | None
    """What operators noted; None where there were none."""
    downtimes: Downtimes

    async def evidence(self, *, restarts: int, at_rest: bool) -> tuple[Evidence, dict[str, int]]:
        """All the evidence there is, and how often each kind of fault was injected; ends the processes."""
        cluster, reader, history = self.cluster, self.reader, self.history
        rows, faults = await reader.ledgers()
        definitions = await reader.definitions()
        dead_letters = await reader.dead_letters()
        cluster.stop()
        logs = {log.name: log.read_text(errors="replace") for log in cluster.journal.parent.glob("*.log")}
        by_kind: Counter[str] = Counter()
        for fault in faults:
            by_kind[fault.kind] += fault.count
        told = [*history.told, *(self.watch.told if self.watch is not None else ())]
        evidence = Evidence(
            ledger=rows,
            calls=tuple(history.calls),
            reads=tuple(reader.reads),
            definitions=definitions,
            restarts=restarts,
            actions=tuple(self.watch.calls) if self.watch is not None else None,
            dead_letters=dead_letters,
            books=books(cluster.participants_folder, history),
            logs={**logs, "errors told": "\n".join(told), "reads shown": "\n".join(reader.shown)},
            canaries=frozenset({CANARY}),
            inputs={
                read.saga_id: history.inputs[read.request_id]
                for read in reader.reads
                if read.request_id in history.inputs
            },
            outputs=answers(cluster.participants_folder, SERVICES),
            downtimes_ns=self.downtimes.spans_ns,
            redeliveries={fault.service: fault.count for fault in faults if fault.kind == "redeliver"},
            at_rest=at_rest,
        )
        return evidence, dict(by_kind)


def answers(folder: Path, services: Iterable[str]) -> dict[tuple[str, str], str]:
    """What the participants with files in *folder* hold as their answer, by saga and step."""
    found = {}
    for service in services:
        with closing(open_readonly(folder / f"{service}.sqlite3")) as db:
            for saga_id, step, output in _rows(db):
                found[saga_id, step] = output
    return found


def lasting_port(chance: random.Random) -> int:
    """A free port that nobody is given by chance while its owner is down for a moment.

    One from the ephemeral range may be: to any client that connects somewhere, even to the coordinator
    itself, which then cannot have it back.
    """
    try:
        first_ephemeral = int(_EPHEMERAL.read_text().split()[0])
    except OSError:
        first_ephemeral = _EPHEMERAL_FROM_DEFAULT
    while True:
        port = chance.randrange(max(first_ephemeral - _PORTS, 1024), first_ephemeral)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def books(folder: Path, history: History) -> Books:
    """The business's sums, against what was ordered."""
    money, stock = audit.money(folder), audit.stock(folder)
    return Books(
        charged_nanos={order_id: nanos for (order_id, _), nanos in money.by_order.items()},
        reserved_pieces={**audit.reserved(folder), **_booked(folder)},
        ordered_nanos=history.ordered_nanos,
        ordered_pieces=history.ordered_pieces,
        stock_adds_up=all(item.adds_up for item in stock.values())
        and all(place.adds_up for service in BOOKED for place in audit.capacity(folder, service).values()),
        money_adds_up=money.adds_up,
    )


def _booked(folder: Path) -> Counter[str]:
    """The places that are booked, by trip."""
    return Counter(
        booking.trip_id
        for service in BOOKED
        for booking in audit.bookings(folder, service)
        if not booking.cancelled
    )


def begun_and_unsettled(journal: Path) -> int:
    """How many steps the journal knows as begun and not as settled, read from a copy of its files.

    Told by the records' types alone: a coordinator that breaks the rules on purpose is counted as well.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / journal.name
        for suffix in ("", "-wal"):
            source = journal.with_name(journal.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        with closing(sqlite3.connect(copy)) as db:
            records = db.execute(_RECORDS_OF_OPEN_SAGAS).fetchall()
            words = read_words(db)
    unsettled: set[tuple[object, str]] = set()
    events = (
        (kept_id, event)
        for kept_id, kind, payload, at in records
        for event in decode_all(kind, payload, at, SagaId(text_of(kept_id)), words)
    )
    for saga, event in events:
        match event:
            case StepBegun(step=step) | UndoBegun(step=step):
                unsettled.add((saga, step))
            case StepSucceeded(step=step) | StepRefused(step=step):
                unsettled.discard((saga, step))
            case StepCompensated(step=step) | UndoRefused(step=step):
                unsettled.discard((saga, step))
            case StepFaulted(step=step, retry_at=None) | UndoFaulted(step=step, retry_at=None):
                unsettled.discard((saga, step))
    return len(unsettled)


def _rows(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return db.execute(_APPLIED_EXECUTES).fetchall()
