"""OpenTelemetry at work: loaded only where the environment asks for it, and closed in bounded time."""

import sys
import threading
from collections.abc import Callable, Collection, Mapping
from functools import cache, cached_property
from importlib import metadata
from typing import Final

import uuid_utils
from grpc import Compression, aio
from opentelemetry import propagate
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter

from coordinator.adapters.opentelemetry.delivery import Delivery
from coordinator.adapters.opentelemetry.drafts import Maker
from coordinator.adapters.opentelemetry.environment import Push, Signal
from coordinator.adapters.opentelemetry.exporting import AllowedSpans, CountingProcessor
from coordinator.adapters.opentelemetry.ids import ChosenIds
from coordinator.adapters.opentelemetry.notebook import Notebook
from coordinator.adapters.opentelemetry.server import CallerContext, SampledCalls
from coordinator.adapters.opentelemetry.spans import SagaSpans
from coordinator.domain.errors import StartupFailed

PACKAGE: Final = "saga-coordinator"
CLOSE_S: Final = 2.0
"""What the collector has at the end to take what is left; then it is dropped."""
ABORT_S: Final = 0.5


class Traces:
    """The spans of this process: who makes them, and how they leave."""

    def __init__(
        self, delivery: Delivery, *, targets: Mapping[str, str], header_ignored: Callable[[str], None]
    ) -> None:
        """*targets* says where each service is; *header_ignored* is told of headers that break rules.

        Raises:
            StartupFailed: the exporter is not installed, or refuses its settings.
        """
        self._ids = ids = ChosenIds()
        try:
            self._exporter = AllowedSpans(_span_exporter(delivery.push), delivery, Maker(resource()))
            self._processor = CountingProcessor(self._exporter, delivery)
            self._provider = TracerProvider(resource=resource(), id_generator=ids, shutdown_on_exit=False)
        except ValueError as error:
            raise StartupFailed(f"OTEL_*: {error}") from None
        self._provider.add_span_processor(self._processor)
        self._headers = CallerContext(header_ignored)
        propagate.set_global_textmap(self._headers)
        self._notebook = Notebook(self._processor.keep, delivery.spoilt, held_s=self._processor.delay_s)
        self.spans = SagaSpans(self._provider, ids, targets, self._notebook.note)

    def interceptor(self, methods: Collection[str]) -> aio.ServerInterceptor:
        """What makes a span of each call of *methods* that a server answers, if it is sampled."""
        return SampledCalls(self._provider, self._ids, methods, self._headers, self._notebook.note)

    def close(self) -> None:
        """Send what is left, for at most `CLOSE_S`. Blocks."""
        self._notebook.write_up()
        # A daemon: a collector that hangs must not keep the process.
        closing = threading.Thread(target=self._processor.shutdown, name="close traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            self._exporter.shutdown()  # which cuts off the call under way
            closing.join(ABORT_S)
        self._processor.tell_what_is_left()


class _HashedOnce(Resource):
    """The exporter asks for the hash of each span's, and the library would work it out each time, by writing
    all of it as JSON."""

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash


@cache
def resource() -> Resource:
    """Who we are, for the collector; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    ours = Resource(
        {
            SERVICE_NAME: PACKAGE,
            SERVICE_VERSION: metadata.version(PACKAGE),
            SERVICE_INSTANCE_ID: str(uuid_utils.uuid7()),
        }
    )
    given = Resource.create()
    is_named = not str(given.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    merged = ours.merge(given) if is_named else given.merge(ours)
    return _HashedOnce(merged.attributes, merged.schema_url)


def grpc_compression(push: Push) -> Compression:
    """The exporters over gRPC do not know the specification's "none"."""
    return Compression.Gzip if push.gzip else Compression.NoCompression


def _span_exporter(push: Push) -> SpanExporter:
    if push.exporter == "console":
        return ConsoleSpanExporter(out=sys.stderr)
    try:
        if push.protocol == "grpc":
            from coordinator.adapters.opentelemetry.otlp import SpansOverGrpc

            return SpansOverGrpc(compression=grpc_compression(push))
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

        from coordinator.adapters.opentelemetry.bounded_http import BoundedSession

        return OverHttp(session=BoundedSession())
    except Exception as error:
        raise refused("TRACES", error) from None


def refused(signal: Signal, error: Exception) -> StartupFailed:
    """What to say of an exporter that cannot be made. Its own words may quote a header."""
    if isinstance(error, ModuleNotFoundError):
        return StartupFailed(
            f"OTEL_{signal}_EXPORTER: what sends to a collector is not installed; run "
            f"pip install '{PACKAGE}[otlp]'"
        )
    return StartupFailed(
        f"OTEL_EXPORTER_OTLP_*: the exporter refuses one of its settings ({type(error).__name__})"
    )
