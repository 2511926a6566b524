"""The table of all metrics, and how plain numbers become the library's families of one.

The library only writes them down. Its own counters take a lock for each step, and a variable of the
environment would move them into files that processes share.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

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
DEAD_LETTERS_BY_SIGNATURE: Final = Metric(
    "saga_dead_letters_by_signature",
    "gauge",
    ("definition", "step", "cause"),
    "sagas that need a person by whose undo failed and why, the 100 commonest; SET_ASIDE, of no step: it "
    "cannot be driven",
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
    DEAD_LETTERS_BY_SIGNATURE,
    OLDEST_OPEN_AGE,
    OLDEST_UNDO_AGE,
    CENSUS_UP,
    COMMIT_DURATION,
    GROUP_ENTRIES,
    OPERATOR_ACTIONS,
    BUILD_INFO,
)
"""All there are, as the README lists them."""


def counter(metric: Metric, values: Mapping[Labels, int]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def histogram(metric: Metric, counts: Mapping[Labels, Sequence[int]], sums: Mapping[Labels, float]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit=_unit(metric))
    bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
    for labels, in_buckets in counts.items():
        family.add_metric(labels, list(zip(bounds, accumulate(in_buckets), strict=True)), sums[labels])
    return family


def gauge(metric: Metric, values: Mapping[Labels, float]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels, unit=_unit(metric))
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _unit(metric: Metric) -> str:
    return "seconds" if metric.name.endswith("_seconds") else ""
