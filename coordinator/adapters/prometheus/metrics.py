"""The table of all metrics, and how plain numbers become the library's families of one.

The library only writes them down. Its own counters take a lock for each step, and a variable of the
environment would move them into files that processes share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table of metrics. The unit is in the name; `buckets` are upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    help: str
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One observation of many, and the trace that it is a part of. `at` is seconds since the epoch, UTC."""

    trace_id: str
    span_id: str
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often each bucket of a histogram was hit, the last for what lies beyond all bounds, with an example
    of each where there is one; and the sum of what was observed."""

    counts: Sequence[int]
    sum: float
    examples: Sequence[Example | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of one metric as they stood at one moment: copied, for any thread."""

    metric: Metric
    values: Mapping[Labels, float | Distribution]


# From a few calls that answer at once to an undo whose default budget is a day.
_SAGA_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)
# From the shortest usual pause after a failure to what a long undo waits between attempts.
_BACKOFF_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)
# From a call within one machine to the default timeout of 10 s, and beyond it for longer ones.
_ATTEMPT_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# A local disk syncs within milliseconds and one over the network within tens; seconds are an alarm.
_COMMIT_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# From a loop with nothing else to do to one that stands still: every saga stands with it.
_LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# A group doubles when the load does; one of a thousand is followed by a checkpoint.
_GROUP_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

SAGAS_STARTED: Final = Metric(
    "saga_started_total", "counter", ("definition",), "sagas made durable; one that is joined counts once"
)
STARTS_REFUSED: Final = Metric(
    "saga_starts_refused_total",
    "counter",
    ("reason",),
    "starts that were not taken: OVERLOADED by a limit, DRAINING by a stop",
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
BACKOFF: Final = Metric(
    "saga_step_backoff_seconds",
    "histogram",
    ("service", "direction"),
    "from a failed attempt to the next one",
    _BACKOFF_BUCKETS,
)
CALLS_IN_FLIGHT: Final = Metric(
    "saga_calls_in_flight", "gauge", ("service",), "slots in use of SAGA_CALLS_PER_SERVICE_MAX"
)
CALLS_QUEUED: Final = Metric("saga_calls_queued", "gauge", ("service",), "calls that wait for a slot")
OPEN: Final = Metric("saga_open", "gauge", ("status",), "sagas with automatic work left")
OPEN_LIMIT: Final = Metric(
    "saga_open_limit", "gauge", (), "SAGA_SAGAS_OPEN_MAX: so many may be open, further starts are refused"
)
WAITING: Final = Metric("saga_waiting", "gauge", (), "open sagas whose next work is due later")
DEAD_LETTERS: Final = Metric(
    "saga_dead_letters", "gauge", (), "sagas that need a person, those that still undo something among them"
)
DEAD_LETTERS_BY_SIGNATURE: Final = Metric(
    "saga_dead_letters_by_signature",
    "gauge",
    ("definition", "step", "cause"),
    "sagas that need a person by the step that failed for good, or whose undo did, and why, the 100 "
    "commonest; SET_ASIDE, of no step: it cannot be driven",
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
LOOP_LAG: Final = Metric(
    "saga_event_loop_lag_seconds",
    "histogram",
    (),
    "how much later than due the event loop came to a timer",
    _LAG_BUCKETS,
)
TRACE_HEADERS_IGNORED: Final = Metric(
    "saga_trace_headers_ignored_total",
    "counter",
    ("header",),
    "trace headers of callers that break the rules of W3C; counted where traces are switched on",
)
TELEMETRY_ITEMS: Final = Metric(
    "saga_telemetry_items_total",
    "counter",
    ("signal", "outcome"),
    "spans and metric points for the OpenTelemetry collector: SENT, or LOST since it did not take them",
)
OPERATOR_ACTIONS: Final = Metric(
    "saga_operator_actions_total", "counter", ("verb",), "operators' actions made durable"
)
BUILD_INFO: Final = Metric("saga_build_info", "gauge", ("version",), "always 1")

METRICS: Final = (
    SAGAS_STARTED,
    STARTS_REFUSED,
    SAGAS_RESTED,
    SAGA_DURATION,
    ATTEMPTS,
    ATTEMPT_DURATION,
    BACKOFF,
    CALLS_IN_FLIGHT,
    CALLS_QUEUED,
    OPEN,
    OPEN_LIMIT,
    WAITING,
    DEAD_LETTERS,
    DEAD_LETTERS_BY_SIGNATURE,
    OLDEST_OPEN_AGE,
    OLDEST_UNDO_AGE,
    CENSUS_UP,
    COMMIT_DURATION,
    GROUP_ENTRIES,
    LOOP_LAG,
    OPERATOR_ACTIONS,
    TRACE_HEADERS_IGNORED,
    TELEMETRY_ITEMS,
    BUILD_INFO,
)
"""All there are, as the README lists them."""


def family(reading: Reading) -> Family:
    """*reading* as the library writes it down; in any thread."""
    metric = reading.metric
    if metric.kind == "histogram":
        return _histogram(reading)
    made: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        made = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        made = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels, unit=_unit(metric))
    for labels, value in reading.values.items():
        if not isinstance(value, Distribution):
            made.add_metric(labels, value)
    return made


def _histogram(reading: Reading) -> Family:
    metric = reading.metric
    made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit=_unit(metric))
    bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
    for labels, value in reading.values.items():
        if isinstance(value, Distribution):
            shown = map(_exemplar, value.examples)
            buckets = [
                (bound, count) if exemplar is None else (bound, count, exemplar)
                for bound, count, exemplar in zip(bounds, accumulate(value.counts), shown, strict=True)
            ]
            made.add_metric(labels, buckets, value.sum)
    return made


def _exemplar(example: Example | None) -> Exemplar | None:
    """Only OpenMetrics has them; the older text leaves them out."""
    if example is None:
        return None
    return Exemplar({"trace_id": example.trace_id, "span_id": example.span_id}, example.value, example.at)


def _unit(metric: Metric) -> str:
    return "seconds" if metric.name.endswith("_seconds") else ""
