"""Counts what the engine tells (the port `Telemetry`) and shows it as Prometheus text or as OpenMetrics.

The numbers are plain ones of the event loop; the library only writes them down. Its own counters take a
lock for each step, and a variable of the environment would move them into files that processes share.
A name is a label only if it is configured or among the first that come; all others are "other". A series
is there from the moment its names are, so that their number does not grow with what happens.
"""

import asyncio
import logging
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, product
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from coordinator.domain.events import Cause, Verb
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
from coordinator.domain.relations import NAME
from coordinator.domain.saga import Status
from coordinator.engine.dispatcher import Load
from coordinator.ports.clock import Clock
from coordinator.ports.journal import Census, SagaIndex

OTHER: Final = "other"
NAMES_SEEN_MAX: Final = 100
"""Of each sort: names that are not configured still come, from sagas that began under older settings."""
CENSUS_INTERVAL_S: Final = 1.0
CENSUS_PATIENCE_S: Final = 0.5
"""A scraper gives up after some seconds, and then has nothing; without the census it has the rest."""

_log = logging.getLogger(__name__)

Labels = tuple[str, ...]
Writing = Callable[[], Family]
"""Makes a family of copied numbers; in any thread."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table of metrics. The unit is in the name; `buckets` are upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    help: str
    buckets: tuple[float, ...] = ()


# From a few calls that answer at once to an undo whose default budget is a day.
_SAGA_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)
# From a call within one machine to the default timeout of 10 s, and beyond it for longer ones.
_ATTEMPT_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# A local disk syncs within milliseconds and one over the network within tens; seconds are an alarm.
_COMMIT_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# A group doubles when the load does; one of a thousand is followed by a checkpoint.
_GROUP_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

SAGAS_STARTED: Final = Metric(
    "saga_started_total", "counter", ("definition",), "sagas made durable; one that is joined counts once"
)
SAGAS_RESTED: Final = Metric(
    "saga_rested_total",
    "counter",
    ("definition", "status"),
    "sagas with no automatic work left; a dead letter that was revived rests once more",
)
SAGA_DURATION: Final = Metric(
    "saga_duration_seconds",
    "histogram",
    ("definition", "status"),
    "from a saga's start to its rest",
    _SAGA_BUCKETS,
)
ATTEMPTS: Final = Metric(
    "saga_step_attempts_total",
    "counter",
    ("service", "direction", "outcome"),
    "calls to participants by what they answered; UNKNOWN: no answer, or a status that may pass",
)
ATTEMPT_DURATION: Final = Metric(
    "saga_step_attempt_duration_seconds",
    "histogram",
    ("service", "direction"),
    "from sending a call to its answer, or to its timeout",
    _ATTEMPT_BUCKETS,
)
CALLS_IN_FLIGHT: Final = Metric(
    "saga_calls_in_flight", "gauge", ("service",), "slots in use of SAGA_CALLS_PER_SERVICE_MAX"
)
CALLS_QUEUED: Final = Metric("saga_calls_queued", "gauge", ("service",), "calls that wait for a slot")
OPEN: Final = Metric("saga_open", "gauge", ("status",), "sagas with automatic work left")
WAITING: Final = Metric("saga_waiting", "gauge", (), "open sagas whose next work is due later")
DEAD_LETTERS: Final = Metric(
    "saga_dead_letters", "gauge", (), "sagas that need a person, those that still undo something among them"
)
OLDEST_OPEN_AGE: Final = Metric(
    "saga_oldest_open_age_seconds", "gauge", (), "since the start of the oldest open saga; 0: none is open"
)
OLDEST_UNDO_AGE: Final = Metric(
    "saga_oldest_undo_age_seconds",
    "gauge",
    (),
    "since the COMPENSATING saga turned back that did so first; 0: none undoes",
)
CENSUS_UP: Final = Metric(
    "saga_census_up",
    "gauge",
    (),
    "1: the journal was counted; 0: it was not, and what is counted there is left out",
)
COMMIT_DURATION: Final = Metric(
    "saga_journal_commit_duration_seconds", "histogram", (), "one synced commit", _COMMIT_BUCKETS
)
GROUP_ENTRIES: Final = Metric(
    "saga_journal_group_entries", "histogram", (), "writes that shared one commit", _GROUP_BUCKETS
)
OPERATOR_ACTIONS: Final = Metric(
    "saga_operator_actions_total", "counter", ("verb",), "operators' actions made durable"
)
BUILD_INFO: Final = Metric("saga_build_info", "gauge", ("version",), "always 1")

METRICS: Final = (
    SAGAS_STARTED,
    SAGAS_RESTED,
    SAGA_DURATION,
    ATTEMPTS,
    ATTEMPT_DURATION,
    CALLS_IN_FLIGHT,
    CALLS_QUEUED,
    OPEN,
    WAITING,
    DEAD_LETTERS,
    OLDEST_OPEN_AGE,
    OLDEST_UNDO_AGE,
    CENSUS_UP,
    COMMIT_DURATION,
    GROUP_ENTRIES,
    OPERATOR_ACTIONS,
    BUILD_INFO,
)
"""All there are, as the README lists them."""

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
}
_NAME: Final = re.compile(NAME)


class PrometheusTelemetry:
    """Keeps the port `Telemetry`, and is told of commits by the journal."""

    def __init__(self, *, definitions: Iterable[str], services: Iterable[str]) -> None:
        self._names = {
            "definition": _Names((*definitions, OTHER)),
            "service": _Names((*services, OTHER)),
        }
        self._started = _Counter(SAGAS_STARTED)
        self._rested = _Counter(SAGAS_RESTED)
        self._duration = _Histogram(SAGA_DURATION)
        self._attempts = _Counter(ATTEMPTS)
        self._attempt_duration = _Histogram(ATTEMPT_DURATION)
        self._commit_duration = _Histogram(COMMIT_DURATION)
        self._group_entries = _Histogram(GROUP_ENTRIES)
        self._actions = _Counter(OPERATOR_ACTIONS)
        self._tallies: tuple[_Counter | _Histogram, ...] = (
            self._started,
            self._rested,
            self._duration,
            self._attempts,
            self._attempt_duration,
            self._commit_duration,
            self._group_entries,
            self._actions,
        )
        # Zeros from the first scrape on: rate() needs a value before the first thing that happens.
        for tally in self._tallies:
            tally.begin(self._series(tally.metric.labels))

    def saga_started(self, saga_name: str) -> None:
        self._started.add(self._name("definition", saga_name))

    def saga_rested(self, saga_name: str, status: Status, duration_s: float) -> None:
        definition = self._name("definition", saga_name)
        self._rested.add(definition, status.value)
        self._duration.observe(duration_s, definition, status.value)

    def attempt_ended(self, service: str, direction: Direction, answer: Answer, duration_s: float) -> None:
        name = self._name("service", service)
        outcome = _OUTCOMES[answer.kind if isinstance(answer, NoProof) else type(answer)]
        self._attempts.add(name, direction.name, outcome)
        self._attempt_duration.observe(duration_s, name, direction.name)

    def operator_acted(self, verb: Verb) -> None:
        self._actions.add(verb.value)

    def committed(self, entries: int, duration_s: float) -> None:
        """The journal has made *entries* durable at once, in *duration_s*."""
        self._commit_duration.observe(duration_s)
        self._group_entries.observe(entries)

    def snapshot(self, loads: Mapping[str, Load]) -> list[Writing]:
        """All that was told, and what the dispatcher has under way, as it stands at this moment."""
        load_of = [(self._name("service", service), load) for service, load in loads.items()]
        in_flight = dict.fromkeys(self._names["service"].known, 0)
        queued = dict(in_flight)
        for service, load in load_of:
            in_flight[service] += load.in_flight
            queued[service] += load.queued
        return [
            *(tally.snapshot() for tally in self._tallies),
            partial(_gauge, CALLS_IN_FLIGHT, {(service,): number for service, number in in_flight.items()}),
            partial(_gauge, CALLS_QUEUED, {(service,): number for service, number in queued.items()}),
        ]

    def _name(self, label: str, name: str) -> str:
        names = self._names[label]
        if name in names.known:
            return name
        if not names.admit(name):
            return OTHER
        for tally in self._tallies:
            if label in tally.metric.labels:
                tally.begin(self._series(tally.metric.labels, {label: [name]}))
        return name

    def _series(self, labels: Labels, only: Mapping[str, Sequence[str]] | None = None) -> Iterable[Labels]:
        names = {label: list(names.known) for label, names in self._names.items()}
        values: Mapping[str, Sequence[str]] = {**_FIXED, **names, **(only or {})}
        return product(*(values[label] for label in labels))


@dataclass(frozen=True, slots=True)
class _Format:
    write: Callable[[Collector], bytes]
    content_type: str


_PLAIN: Final = _Format(generate_latest, CONTENT_TYPE_PLAIN_0_0_4)
_OPENMETRICS: Final = _Format(openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST)


class MetricsPage:
    """What a scraper gets: the counts, and a census of the journal that is a second old at most."""

    def __init__(
        self,
        telemetry: PrometheusTelemetry,
        index: SagaIndex,
        clock: Clock,
        loads: Callable[[], Mapping[str, Load]],
        *,
        version: str,
    ) -> None:
        self._telemetry = telemetry
        self._index = index
        self._clock = clock
        self._loads = loads
        self._version = version
        self._census: asyncio.Task[Census | None] | None = None
        self._census_asked_at = 0.0
        self._next: dict[_Format, asyncio.Task[bytes]] = {}
        self._writing: set[asyncio.Task[bytes]] = set()
        self._turn = asyncio.Lock()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, in the format that the header *accept* prefers.

        It is as new as the request: a page that is being written is not handed out, but everybody who asks
        meanwhile gets the next one, so that no crowd makes a queue.
        """
        wanted = _OPENMETRICS if _prefers_openmetrics(accept) else _PLAIN
        task = self._next.get(wanted)
        if task is None:
            task = self._next[wanted] = asyncio.create_task(self._write(wanted))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task), wanted.content_type

    async def close(self) -> None:
        """Ask nothing more of the journal, and write no page any more."""
        tasks = [*self._writing, *([self._census] if self._census is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, wanted: _Format) -> bytes:
        async with self._turn:
            del self._next[wanted]
            census = await self._counted()
            snapshot = _Snapshot([*self._telemetry.snapshot(self._loads()), *self._gauges(census)])
            # In a thread, but for copying the numbers: with a hundred services it is a tenth of a second of
            # work, and the event loop drives the sagas.
            return await asyncio.to_thread(wanted.write, snapshot)

    async def _counted(self) -> Census | None:
        now = asyncio.get_running_loop().time()
        task = self._census
        if task is None or (task.done() and now - self._census_asked_at >= CENSUS_INTERVAL_S):
            self._census_asked_at = now
            task = self._census = asyncio.create_task(self._ask())
        await asyncio.wait([task], timeout=CENSUS_PATIENCE_S)
        return task.result() if task.done() and not task.cancelled() else None

    async def _ask(self) -> Census | None:
        try:
            return await self._index.census(self._clock.now())
        except Exception as error:  # whatever the journal has: the page is there without it
            _log.warning(
                "the sagas cannot be counted for the metrics", extra={"reason": type(error).__name__}
            )
            return None

    def _gauges(self, census: Census | None) -> Iterable[Writing]:
        yield partial(_gauge, BUILD_INFO, {(self._version,): 1})
        yield partial(_gauge, CENSUS_UP, {(): 0 if census is None else 1})
        if census is None:
            return
        yield partial(
            _gauge,
            OPEN,
            {
                (Status.RUNNING.value,): census.running,
                (Status.COMPENSATING.value,): census.compensating,
            },
        )
        yield partial(_gauge, WAITING, {(): census.waiting})
        yield partial(_gauge, DEAD_LETTERS, {(): census.dead_letters})
        yield partial(_gauge, OLDEST_OPEN_AGE, {(): self._age_s(census.oldest_open_at)})
        yield partial(_gauge, OLDEST_UNDO_AGE, {(): self._age_s(census.oldest_undo_at)})

    def _age_s(self, since: float | None) -> float:
        # The clock may have been set back since the saga's start, by a restart.
        return 0.0 if since is None else max(0.0, self._clock.now() - since)


class _Names:
    """The names that are labels of their own."""

    def __init__(self, configured: Iterable[str]) -> None:
        self.known = dict.fromkeys(configured)
        self._room = NAMES_SEEN_MAX

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

    def add(self, *labels: str) -> None:
        self._values[labels] = self._values.get(labels, 0) + 1

    def snapshot(self) -> Writing:
        return partial(_counter, self.metric, dict(self._values))


class _Histogram:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def begin(self, series: Iterable[Labels]) -> None:
        for labels in series:
            self._counts[labels] = [0] * (len(self.metric.buckets) + 1)
            self._sums[labels] = 0.0

    def observe(self, value: float, *labels: str) -> None:
        if labels not in self._counts:
            self.begin([labels])
        self._counts[labels][bisect_left(self.metric.buckets, value)] += 1
        # A sum that falls would look like a restart: durations across one may come out negative.
        self._sums[labels] += max(0.0, value)

    def snapshot(self) -> Writing:
        counts = {labels: list(counts) for labels, counts in self._counts.items()}
        return partial(_histogram, self.metric, counts, dict(self._sums))


class _Snapshot(Collector):
    """What is written down, while the event loop goes on counting."""

    def __init__(self, writings: Sequence[Writing]) -> None:
        self._writings = writings

    def collect(self) -> Iterable[Family]:
        return (writing() for writing in self._writings)


def _counter(metric: Metric, values: Mapping[Labels, int]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(
    metric: Metric, counts: Mapping[Labels, Sequence[int]], sums: Mapping[Labels, float]
) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit=_unit(metric))
    bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
    for labels, in_buckets in counts.items():
        family.add_metric(labels, list(zip(bounds, accumulate(in_buckets), strict=True)), sums[labels])
    return family


def _gauge(metric: Metric, values: Mapping[Labels, float]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels, unit=_unit(metric))
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _unit(metric: Metric) -> str:
    return "seconds" if metric.name.endswith("_seconds") else ""


def _prefers_openmetrics(accept: str) -> bool:
    """Whether the header wants OpenMetrics at least as much as plain text."""
    wanted = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for offer in accept.split(","):
        media, *parameters = (part.strip().lower() for part in offer.split(";"))
        if media in wanted:
            quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
            if _QUALITY.fullmatch(quality):
                wanted[media] = max(wanted[media], float(quality))
    openmetrics_quality, text_quality = wanted.values()
    return openmetrics_quality > 0 and openmetrics_quality >= text_quality


_QUALITY: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")
