"""The same numbers as the page for Prometheus, pushed to a collector by OTLP: one table, two ways out.

The library's own instruments would count everything a second time, so only its data model and its exporters
are used. A name is the table's, less what OTLP says in fields of its own: `saga_duration_seconds` is
`saga.duration` with the unit `s`, and back in Prometheus it has its old name.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeVar

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from coordinator.adapters.opentelemetry.delivery import Delivery
from coordinator.adapters.opentelemetry.drafts import SCOPE
from coordinator.adapters.opentelemetry.environment import Push
from coordinator.adapters.opentelemetry.library import (
    CLOSE_S,
    grpc_compression,
    refused,
    resource,
)
from coordinator.adapters.prometheus.metrics import Distribution, Example, Labels, Reading
from coordinator.ports.clock import Clock

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)

_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_NANOSECONDS: Final = 1_000_000_000
_EXPORT_MS: Final = 10_000


class MetricsPush:
    """Pushes all metrics every *interval_s*, until it is closed."""

    def __init__(
        self,
        delivery: Delivery,
        read: Callable[[], Awaitable[Sequence[Reading]]],
        clock: Clock,
        *,
        interval_s: float,
    ) -> None:
        """*read* tells all numbers as they stand.

        Raises:
            StartupFailed: the exporter is not installed, or refuses its settings.
        """
        self._read = read
        self._clock = clock
        self._interval_s = interval_s
        self._delivery = delivery
        self._exporter = _exporter(delivery.push)
        self._resource = resource()
        self._since_ns = _moment(clock.now())
        self._task = asyncio.create_task(self._run(), name="push metrics")

    async def close(self) -> None:
        """Push once more, for at most `CLOSE_S`. What is under way then is left behind."""
        self._task.cancel()
        last = asyncio.create_task(self._push())
        await asyncio.wait([last], timeout=CLOSE_S)
        last.cancel()
        threading.Thread(target=self._exporter.shutdown, name="close metrics", daemon=True).start()
        await asyncio.gather(self._task, last, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self._push()

    async def _push(self) -> None:
        try:
            readings = await self._read()
            points, result = await _in_a_thread(partial(self._send, readings))
        except Exception:  # also a bug of ours: the next turn may go better
            _log.exception("the metrics cannot be pushed")
            points, result = 0, MetricExportResult.FAILURE
        self._delivery.report(points, taken=result is MetricExportResult.SUCCESS)

    def _send(self, readings: Sequence[Reading]) -> tuple[int, MetricExportResult]:
        """In a thread: it writes thousands of points, and waits for the collector."""
        at_ns = _moment(self._clock.now())
        metrics = [_metric(reading, self._since_ns, at_ns) for reading in readings if reading.values]
        points = sum(len(metric.data.data_points) for metric in metrics)
        scope = ScopeMetrics(InstrumentationScope(SCOPE), metrics, "")
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        try:
            return points, self._exporter.export(data, timeout_millis=_EXPORT_MS)
        except Exception:  # whatever the library has with its settings or its peer: these points are lost
            return points, MetricExportResult.FAILURE


def _in_a_thread(work: Callable[[], _Result]) -> asyncio.Future[_Result]:
    """Run *work* in a thread that nobody waits for at the end: a collector may hold it for ever."""
    done: Future[_Result] = Future()
    # From here on, whoever leaves cancels only the wait.
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=run, name="push metrics", daemon=True).start()
    return asyncio.wrap_future(done)


def _metric(reading: Reading, since_ns: int, at_ns: int) -> Metric:
    table = reading.metric
    name = table.name.removesuffix("_total").removesuffix("_seconds").replace("saga_", "saga.", 1)
    unit = "s" if table.name.endswith("_seconds") else ""
    if table.kind == "histogram":
        points = list(_distributions(reading, since_ns, at_ns))
        return Metric(name, table.help, unit, Histogram(points, _CUMULATIVE))
    numbers = list(_numbers(reading, since_ns, at_ns))
    if table.kind == "counter":
        return Metric(name, table.help, unit, Sum(numbers, _CUMULATIVE, is_monotonic=True))
    return Metric(name, table.help, unit, Gauge(numbers))


def _numbers(reading: Reading, since_ns: int, at_ns: int) -> Iterator[NumberDataPoint]:
    for labels, value in reading.values.items():
        if not isinstance(value, Distribution):
            yield NumberDataPoint(_attributes(reading, labels), since_ns, at_ns, value)


def _distributions(reading: Reading, since_ns: int, at_ns: int) -> Iterator[HistogramDataPoint]:
    for labels, value in reading.values.items():
        if isinstance(value, Distribution):
            yield HistogramDataPoint(
                attributes=_attributes(reading, labels),
                start_time_unix_nano=since_ns,
                time_unix_nano=at_ns,
                count=sum(value.counts),
                sum=value.sum,
                bucket_counts=value.counts,
                explicit_bounds=reading.metric.buckets,
                # Not known; None leaves them out.
                min=None,  # type: ignore[arg-type]
                max=None,  # type: ignore[arg-type]
                exemplars=[_exemplar(example) for example in value.examples if example is not None],
            )


def _attributes(reading: Reading, labels: Labels) -> dict[str, str]:
    return dict(zip(reading.metric.labels, labels, strict=True))


def _exemplar(example: Example) -> Exemplar:
    return Exemplar(
        {}, example.value, _moment(example.at), int(example.span_id, 16), int(example.trace_id, 16)
    )


def _moment(at: float) -> int:
    return int(at * _NANOSECONDS)


def _exporter(push: Push) -> MetricExporter:
    if push.exporter == "console":
        return ConsoleMetricExporter(out=sys.stderr)
    try:
        if push.protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

            return OTLPMetricExporter(compression=grpc_compression(push))
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHttp

        from coordinator.adapters.opentelemetry.bounded_http import BoundedSession

        return OverHttp(session=BoundedSession())
    except Exception as error:
        raise refused("METRICS", error) from None
