"""The evidence, sorted once for looking things up: by saga, by step, by request. It judges nothing."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from tests.checker.deeds import deeds
from tests.checker.dependence import Dependence
from tests.checker.evidence import (
    ClientCall,
    Definition,
    Evidence,
    LedgerRow,
    OperatorCall,
    SagaRead,
    TimelineRead,
)

OPEN = frozenset({"RUNNING", "COMPENSATING"})
ENDED = frozenset({"COMPLETED", "COMPENSATED", "DEAD_LETTERED", "TERMINATED"})
DEFINITE_NO = frozenset(
    {
        "INVALID_ARGUMENT",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "NOT_FOUND",
        "ALREADY_EXISTS",
    }
)
"""A start that got one of these left nothing behind; whatever else is not OK may have."""


@dataclass(slots=True)
class StepRows:
    """The rows of one step of one saga, in the order of each ledger."""

    executes: list[LedgerRow] = field(default_factory=list)
    compensates: list[LedgerRow] = field(default_factory=list)

    @property
    def applied(self) -> list[LedgerRow]:
        return [row for row in self.executes if row.outcome == "applied"]

    @property
    def undone(self) -> list[LedgerRow]:
        return [row for row in self.compensates if row.outcome == "applied"]

    @property
    def settled(self) -> list[LedgerRow]:
        """The Compensates after which nothing of the step can stand or come."""
        return [row for row in self.compensates if row.outcome in ("applied", "null")]


_NO_ROWS: Final = StepRows()


class Timeline:
    """One saga's records, by type and step."""

    def __init__(self, entries: tuple[TimelineRead, ...], pivot: str | None = None) -> None:
        self.entries = entries
        self._by: dict[tuple[str, str], list[TimelineRead]] = defaultdict(list)
        for entry in entries:
            self._by[entry.type, entry.step].append(entry)
        self.deeds = deeds(entries, pivot)
        """What was decided, by what happened and by people."""
        self.abort = self.deeds.abort
        self._omitted = frozenset(entry.step for entry in entries if entry.type == "STEP_OMITTED")

    def all(self, kind: str, step: str = "") -> list[TimelineRead]:
        return self._by.get((kind, step), [])

    def first(self, kind: str, step: str = "") -> TimelineRead | None:
        found = self._by.get((kind, step))
        return found[0] if found else None

    def begun(self, step: str) -> TimelineRead | None:
        """The record that a step began, as the pivot or as any other."""
        return self.first("STEP_BEGUN", step) or self.first("PIVOT_BEGUN", step)

    def omitted(self) -> frozenset[str]:
        """The steps whose condition was false."""
        return self._omitted

    def acts(self) -> list[TimelineRead]:
        """The records of operators."""
        return [entry for entry in self.entries if entry.type == "OPERATOR_ACTED"]

    def forward(self) -> Iterator[TimelineRead]:
        """The records before the one that turned the saga back, and that one."""
        for entry in self.entries:
            yield entry
            if entry is self.abort:
                return


class Index:
    """Every invariant reads the evidence through this."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.by_step: dict[str, dict[str, StepRows]] = defaultdict(lambda: defaultdict(StepRows))
        self.by_ledger: dict[tuple[str, str], list[LedgerRow]] = defaultdict(list)
        for row in sorted(evidence.ledger, key=attrgetter("service", "local_seq")):
            rows = self.by_step[row.saga_id][row.step]
            (rows.executes if row.operation == "E" else rows.compensates).append(row)
            self.by_ledger[row.saga_id, row.service].append(row)
        self.history: dict[str, list[SagaRead]] = defaultdict(list)
        for read in sorted(evidence.reads, key=attrgetter("read_at")):
            self.history[read.saga_id].append(read)
        self._definitions = {
            saga_id: evidence.definitions.get(reads[-1].definition_digest)
            for saga_id, reads in self.history.items()
        }
        newest = max((read.read_at for read in evidence.reads), default=0)
        self.last = {
            saga_id: reads[-1] for saga_id, reads in self.history.items() if reads[-1].read_at == newest
        }
        self.timelines = {
            saga_id: Timeline(read.timeline, self.pivot(saga_id)) for saga_id, read in self.last.items()
        }
        self._dependence: dict[str, Dependence] = {}
        self.calls: dict[tuple[str, str], list[ClientCall]] = defaultdict(list)
        for call in sorted(evidence.calls, key=lambda call: call.invoked_ns):
            self.calls[call.door, call.request_id].append(call)
        self.doors = sorted({call.door for call in evidence.calls})
        self.actions: dict[tuple[str, str], list[OperatorCall]] = defaultdict(list)
        for action in sorted(evidence.actions or (), key=lambda action: action.invoked_ns):
            self.actions[action.saga_id, action.action_id].append(action)
        self.requested: dict[str, set[str]] = defaultdict(set)
        for read in evidence.reads:
            self.requested[read.request_id].add(read.saga_id)

    def definition(self, saga_id: str) -> Definition | None:
        """The definition that a saga is pinned to, if both are known."""
        return self._definitions.get(saga_id)

    def pivot(self, saga_id: str) -> str | None:
        """The pivot that a saga's definition declares, if both are known."""
        definition = self.definition(saga_id)
        return definition.pivot if definition is not None else None

    def dependence(self, definition: Definition) -> Dependence:
        """Which of its steps depends on which."""
        if definition.digest not in self._dependence:
            self._dependence[definition.digest] = Dependence(definition.steps)
        return self._dependence[definition.digest]

    def rows(self, saga_id: str, step: str) -> StepRows:
        """The rows of a step; empty where it has none."""
        of_saga = self.by_step.get(saga_id)
        rows = None if of_saga is None else of_saga.get(step)
        return _NO_ROWS if rows is None else rows

    def asked_ns(self, saga_id: str, act: TimelineRead) -> int | None:
        """When the operator behind a record first asked for it, if that was written down."""
        calls = self.actions.get((saga_id, act.action.action_id)) if act.action is not None else None
        return calls[0].invoked_ns if calls else None

    def pinned(self) -> Iterator[tuple[SagaRead, Definition, Timeline]]:
        """The last read of each saga whose definition is known."""
        for saga_id, read in self.last.items():
            if (definition := self.definition(saga_id)) is not None:
                yield read, definition, self.timelines[saga_id]
