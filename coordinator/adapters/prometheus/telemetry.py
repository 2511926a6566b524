"""Counts what the engine tells (the port `Telemetry`), in plain numbers of the event loop.

A name is a label only if it is configured, or among the first that are registered, or among the first that
come; all others are "other". A series is there from the moment its names are, so that their number does not
grow with what happens.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

from coordinator.adapters.prometheus.metrics import (
    ATTEMPT_DURATION,
    ATTEMPTS,
    BACKOFF,
    CALLS_IN_FLIGHT,
    CALLS_QUEUED,
    COMMIT_DURATION,
    GROUP_ENTRIES,
    LOOP_LAG,
    OPERATOR_ACTIONS,
    SAGA_DURATION,
    SAGAS_RESTED,
    SAGAS_STARTED,
    STARTS_REFUSED,
    TRACE_HEADERS_IGNORED,
    Distribution,
    Example,
    Labels,
    Metric,
    Reading,
)
from coordinator.domain.events import Cause, Verb
from coordinator.domain.language.relations import NAME
from coordinator.domain.outcomes import (
    Answer,
    Direction,
    Faulted,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
)
from coordinator.domain.saga import Status
from coordinator.domain.trace import RECORDED, trace_ids
from coordinator.engine.dispatcher import Load
from coordinator.ports.clock import Clock

OTHER: Final = "other"
NAMES_REGISTERED_MAX: Final = 200
"""Of definitions, which callers register: they must not fill the memory of whoever stores the metrics."""
NAMES_SEEN_MAX: Final = 100
"""Of each sort: names that are not configured still come, from sagas that began under older settings."""

_OUTCOMES: Final[Mapping[type[Answer] | Unproved, str]] = {
    Succeeded: "SUCCEEDED",
    Refused: "REFUSED",
    Pending: "PENDING",
    Faulted: Cause.FAULTED.value,
    Unproved.TRANSIENT: Cause.UNKNOWN.value,
    Unproved.PERMANENT: Cause.PERMANENT.value,
    Unproved.BROKEN_CONTRACT: Cause.BROKEN_CONTRACT.value,
    Unproved.KEY_REUSED: Cause.KEY_REUSED.value,
    Unproved.BARRED: Cause.BARRED.value,
    Unproved.STALE_TOKEN: "STALE_TOKEN",
}
_FIXED: Final[Mapping[str, Sequence[str]]] = {
    "status": [status.value for status in Status if not status.is_open],
    "direction": [direction.name for direction in Direction],
    "outcome": list(_OUTCOMES.values()),
    "verb": [verb.value for verb in Verb],
    "reason": ["OVERLOADED", "DRAINING"],
    "header": ["traceparent", "baggage"],
}
_NAME: Final = re.compile(NAME)


class PrometheusTelemetry:
    """Keeps the port `Telemetry`, and is told of commits by the journal."""

    def __init__(self, *, services: Iterable[str], clock: Clock) -> None:
        self._names = {
            "definition": _Names((OTHER,)),
            "service": _Names((*services, OTHER)),
        }
        self._started = _Counter(SAGAS_STARTED)
        self._refused = _Counter(STARTS_REFUSED)
        self._rested = _Counter(SAGAS_RESTED)
        self._duration = _Histogram(SAGA_DURATION, clock)
        self._attempts = _Counter(ATTEMPTS)
        self._attempt_duration = _Histogram(ATTEMPT_DURATION, clock)
        self._backoff = _Histogram(BACKOFF, clock)
        self._commit_duration = _Histogram(COMMIT_DURATION, clock)
        self._group_entries = _Histogram(GROUP_ENTRIES, clock)
        self._loop_lag = _Histogram(LOOP_LAG, clock)
        self._actions = _Counter(OPERATOR_ACTIONS)
        self._headers_ignored = _Counter(TRACE_HEADERS_IGNORED)
        self._tallies: tuple[_Counter | _Histogram, ...] = (
            self._started,
            self._refused,
            self._rested,
            self._duration,
            self._attempts,
            self._attempt_duration,
            self._backoff,
            self._commit_duration,
            self._group_entries,
            self._loop_lag,
            self._actions,
            self._headers_ignored,
        )
        # Zeros from the first scrape on: rate() needs a value before the first thing that happens.
        for tally in self._tallies:
            tally.begin(self._series(tally.metric.labels))

    def definition_registered(self, saga_name: str) -> None:
        if self._names["definition"].register(saga_name):
            self._begin("definition", saga_name)

    def saga_started(self, saga_name: str) -> None:
        self._started.add((self.label("definition", saga_name),))

    def start_refused(self, reason: str) -> None:
        self._refused.add((reason,))

    def saga_rested(self, saga_name: str, status: Status, duration_s: float, trace: str) -> None:
        labels = self.label("definition", saga_name), status.value
        self._rested.add(labels)
        self._duration.observe(duration_s, labels, trace)

    def attempt_ended(
        self, service: str, direction: Direction, answer: Answer, duration_s: float, trace: str
    ) -> None:
        # An enum works out its `name` whenever it is asked for it, and keeps it as this.
        labels = name, way = self.label("service", service), direction._name_
        outcome = _OUTCOMES[answer.kind if isinstance(answer, NoProof) else type(answer)]
        self._attempts.add((name, way, outcome))
        self._attempt_duration.observe(duration_s, labels, trace)

    def backed_off(self, service: str, direction: Direction, wait_s: float) -> None:
        self._backoff.observe(wait_s, (self.label("service", service), direction.name))

    def operator_acted(self, verb: Verb) -> None:
        self._actions.add((verb.value,))

    def committed(self, entries: int, duration_s: float) -> None:
        """The journal has made *entries* durable at once, in *duration_s*."""
        self._commit_duration.observe(duration_s)
        self._group_entries.observe(entries)

    def loop_lagged(self, lag_s: float) -> None:
        """The event loop came to a timer *lag_s* late."""
        self._loop_lag.observe(lag_s)

    def trace_header_ignored(self, header: str) -> None:
        """A caller sent a *header* (`traceparent`, `baggage`) that breaks its rules."""
        self._headers_ignored.add((header,))

    def read(self, loads: Mapping[str, Load]) -> list[Reading]:
        """All that was told, and what the dispatcher has under way, as it stands at this moment."""
        load_of = [(self.label("service", service), load) for service, load in loads.items()]
        in_flight = dict.fromkeys(self._names["service"].known, 0)
        queued = dict(in_flight)
        for service, load in load_of:
            in_flight[service] += load.in_flight
            queued[service] += load.queued
        return [
            *(tally.read() for tally in self._tallies),
            Reading(CALLS_IN_FLIGHT, {(service,): number for service, number in in_flight.items()}),
            Reading(CALLS_QUEUED, {(service,): number for service, number in queued.items()}),
        ]

    def label(self, label: str, name: str) -> str:
        """The value of *label* ("definition", "service") that stands for *name*: itself, or "other"."""
        names = self._names[label]
        if name in names.known:
            return name
        if not names.admit(name):
            return OTHER
        self._begin(label, name)
        return name

    def _begin(self, label: str, name: str) -> None:
        for tally in self._tallies:
            if label in tally.metric.labels:
                tally.begin(self._series(tally.metric.labels, {label: [name]}))

    def _series(self, labels: Labels, only: Mapping[str, Sequence[str]] | None = None) -> Iterable[Labels]:
        names = {label: list(names.known) for label, names in self._names.items()}
        values: Mapping[str, Sequence[str]] = {**_FIXED, **names, **(only or {})}
        return product(*(values[label] for label in labels))


class _Names:
    """The names that are labels of their own."""

    def __init__(self, configured: Iterable[str]) -> None:
        self.known = dict.fromkeys(configured)
        self._room_to_register = NAMES_REGISTERED_MAX
        self._room = NAMES_SEEN_MAX

    def register(self, name: str) -> bool:
        """Make *name* known if it is not, and there is room for it."""
        if name in self.known or self._room_to_register == 0:
            return False
        self._room_to_register -= 1
        self.known[name] = None
        return True

    def admit(self, name: str) -> bool:
        """Make *name* known if there is room for it, and if it can be a name at all."""
        if self._room == 0 or not _NAME.fullmatch(name):
            return False
        self._room -= 1
        self.known[name] = None
        return True


class _Counter:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._values: dict[Labels, int] = {}

    def begin(self, series: Iterable[Labels]) -> None:
        for labels in series:
            self._values[labels] = 0

    def add(self, labels: Labels) -> None:
        self._values[labels] = self._values.get(labels, 0) + 1

    def read(self) -> Reading:
        return Reading(self.metric, dict(self._values))


_Noted: TypeAlias = tuple[str, float, float]
"""An example: its trace, its value, and when it was. What shows it is made where somebody looks."""


@dataclass(slots=True)
class _Observed:
    """What was observed in one series: how often in each bucket, the sum, an example of each bucket."""

    counts: list[int]
    sum: float
    examples: list[_Noted | None]


class _Histogram:
    def __init__(self, metric: Metric, clock: Clock) -> None:
        self.metric = metric
        self._clock = clock
        self._observed: dict[Labels, _Observed] = {}

    def begin(self, series: Iterable[Labels]) -> None:
        buckets = len(self.metric.buckets) + 1
        for labels in series:
            self._observed[labels] = _Observed([0] * buckets, 0.0, [None] * buckets)

    def observe(self, value: float, labels: Labels = (), trace: str = "") -> None:
        """*trace* is that of what was observed: an example, if it is recorded, or nobody would find it."""
        if (observed := self._observed.get(labels)) is None:
            self.begin([labels])
            observed = self._observed[labels]
        bucket = bisect_left(self.metric.buckets, value)
        observed.counts[bucket] += 1
        if trace and trace.endswith(RECORDED):
            observed.examples[bucket] = (trace, value, self._clock.now())
        # A sum that falls would look like a restart: durations across one may come out negative.
        if value > 0:
            observed.sum += value

    def read(self) -> Reading:
        values = {
            labels: Distribution(
                list(observed.counts), observed.sum, [_example(noted) for noted in observed.examples]
            )
            for labels, observed in self._observed.items()
        }
        return Reading(self.metric, values)


def _example(noted: _Noted | None) -> Example | None:
    if noted is None or (ids := trace_ids(noted[0])) is None:
        return None
    return Example(*ids, *noted[1:])
