"""Sends the spans of `python -m participants` where its environment asks for that, in OpenTelemetry's words.

Nothing of OpenTelemetry is loaded where it does not.  Of a wrong variable its name is told and never its
value, which may be a secret.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import urlsplit

from participants.errors import CannotStart

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

Environment: TypeAlias = Mapping[str, str]

SERVICE_NAME: Final = "saga-participants"
STOP_S: Final = 2.0
EXPORTERS: Final = ("otlp", "console", "none")
PROTOCOLS: Final = ("grpc", "http/protobuf")
COMPRESSIONS: Final = ("none", "gzip")
SAMPLERS: Final = tuple(
    f"{parent}{name}"
    for parent in ("parentbased_", "")
    for name in ("always_on", "always_off", "traceidratio")
)
QUEUE: Final = ("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
BATCH: Final = ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
LIMITS: Final = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)
HOST_PORT: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
log = logging.getLogger("participants")


class WrongVariable(CannotStart):
    """A variable of the environment says what it cannot; the sentence names it."""


@contextmanager
def exporting() -> Iterator[None]:
    """Send spans until the block is left, if the environment asks for it; then for no longer than STOP_S.

    Raises:
        WrongVariable: a variable is none that can be followed.
        CannotStart: what sends spans is not installed.
    """
    if not is_asked_for(os.environ):
        yield
        return
    for name in [
        name for name, value in os.environ.items() if name.startswith("OTEL_") and not value.strip()
    ]:
        # Empty is as good as unset, says the specification; the SDK stumbles on some of them.
        del os.environ[name]
    check(os.environ)
    outage = Outage()
    try:
        stop = _start(os.environ, outage)
    except ModuleNotFoundError as error:
        raise CannotStart(
            f"the environment asks for traces, and {error.name} is not installed: "
            "pip install 'saga-coordinator[otlp]' brings what sends them"
        ) from None
    try:
        yield
    finally:
        # A call to a collector that hangs cannot be broken off: it is left behind.
        stopping = threading.Thread(target=stop, name="stop-exporting", daemon=True)
        stopping.start()
        stopping.join(STOP_S)
        if stopping.is_alive():
            outage.report(0, taken=False)


def is_asked_for(given: Environment) -> bool:
    """Whether there is anybody to send spans to."""
    if given.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    wanted = _exporter_name(given)
    return wanted != "none" if wanted else any(given.get(name, "").strip() for name in _both("ENDPOINT"))


def check(given: Environment) -> None:
    """Look at what the SDK would pass over in silence, or stumble on.

    Raises:
        WrongVariable: for the first that is wrong.
    """
    _one_of("OTEL_TRACES_EXPORTER", _exporter_name(given) or EXPORTERS[0], EXPORTERS)
    for name in _both("PROTOCOL"):
        _one_of(name, given.get(name, PROTOCOLS[0]).lower(), PROTOCOLS)
    for name in _both("ENDPOINT"):
        if name in given and not _is_endpoint(given[name], _protocol(given)):
            raise WrongVariable(f"{name}: expected a URL, such as http://127.0.0.1:4317")
    for name in _both("COMPRESSION"):
        _one_of(name, given.get(name, COMPRESSIONS[0]).lower(), COMPRESSIONS)
    for name in (*_both("HEADERS"), "OTEL_RESOURCE_ATTRIBUTES"):
        if not all("=" in pair for pair in given.get(name, "").split(",") if pair.strip()):
            raise WrongVariable(f"{name}: expected name=value, with commas between")
    for kind in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
        for name in _both(kind):
            if name in given and not (os.path.isfile(given[name]) and os.access(given[name], os.R_OK)):
                raise WrongVariable(f"{name}: expected a file that can be read")
    for name in _both("TIMEOUT"):
        _number(given, name, lambda timeout: 0 < timeout < math.inf, "a number above 0")
    _one_of("OTEL_TRACES_SAMPLER", given.get("OTEL_TRACES_SAMPLER", SAMPLERS[0]).lower(), SAMPLERS)
    _number(given, "OTEL_TRACES_SAMPLER_ARG", lambda ratio: 0 <= ratio <= 1, "a number from 0 to 1")
    _number(given, "OTEL_BSP_SCHEDULE_DELAY", lambda ms: 0 < ms < math.inf, "milliseconds above 0")
    for name in (QUEUE[0], BATCH[0]):
        _number(given, name, lambda count: count >= 1, "a whole number above 0", int)
    for name in LIMITS:
        _number(given, name, lambda count: count >= 0, "a whole number", int)


def _start(given: Environment, outage: Outage) -> Callable[[], None]:
    """Set the process's tracer provider up; returns what ends it."""
    for name in ("opentelemetry", "urllib3"):
        # They tell the same at every batch, at length, and quote what they were given: from the first on.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = _exporter(_exporter_name(given) or "otlp", given)
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    queue_max, batch_max = int(given.get(*QUEUE)), int(given.get(*BATCH))
    # The SDK refuses a batch that is larger than the queue, also where only one of them was set.
    processor = BatchSpanProcessor(
        cast("SpanExporter", Watched(exporter, outage)),
        queue_max,
        max_export_batch_size=min(batch_max, queue_max),
    )
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider.shutdown


class Outage:
    """Whether the collector takes the spans: one line when it does not, and one when it does again."""

    def __init__(self) -> None:
        self._is_taken = True
        self._lost = 0

    def report(self, spans: int, *, taken: bool) -> None:
        """*spans* were sent, and *taken* or lost."""
        before, self._is_taken = self._is_taken, taken
        if not taken:
            self._lost += spans
            if before:
                log.warning("the collector does not take the spans; they are dropped until it does")
        elif not before:
            log.warning("the collector takes the spans again; lost meanwhile: %d", self._lost)
            self._lost = 0


class Watched:
    """A span exporter of the SDK's kind, which reports what becomes of the spans.  Not derived from it, for
    it is loaded only where somebody asks for spans."""

    def __init__(self, exporter: SpanExporter, outage: Outage) -> None:
        self._exporter = exporter
        self._outage = outage
        self.shutdown = exporter.shutdown
        self.force_flush = exporter.force_flush

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self._outage.report(len(spans), taken=result.name == "SUCCESS")
        return result


def _resource() -> Resource:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    # What is given here wins over the environment: so a name of the environment's is given, too.
    return Resource.create({"service.name": SERVICE_NAME, **OTELResourceDetector().detect().attributes})


def _exporter(word: str, given: Environment) -> SpanExporter:
    if word == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if _protocol(given) == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        specific, general = _both("COMPRESSION")
        # This exporter does not know the specification's "none".
        is_gzip = given.get(specific, given.get(general, "")).lower() == "gzip"
        return OTLPSpanExporter(
            compression=grpc.Compression.Gzip if is_gzip else grpc.Compression.NoCompression
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter

    return HttpSpanExporter()


def _exporter_name(given: Environment) -> str:
    return given.get("OTEL_TRACES_EXPORTER", "").strip().lower()


def _both(kind: str) -> tuple[str, str]:
    """The variable for traces, and that for all signals."""
    return f"OTEL_EXPORTER_OTLP_TRACES_{kind}", f"OTEL_EXPORTER_OTLP_{kind}"


def _protocol(given: Environment) -> str:
    specific, general = _both("PROTOCOL")
    return given.get(specific, given.get(general, PROTOCOLS[0])).lower()


def _is_endpoint(text: str, protocol: str) -> bool:
    if protocol == "grpc" and HOST_PORT.fullmatch(text):
        return True
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _one_of(name: str, word: str, words: Sequence[str]) -> None:
    if word not in words:
        expected = f"{', '.join(words[:-1])} or {words[-1]}"
        raise WrongVariable(f"{name}: expected {expected}")


def _number(
    given: Environment,
    name: str,
    is_right: Callable[[float], bool],
    expected: str,
    kind: Callable[[str], float] = float,
) -> None:
    if name not in given:
        return
    try:
        found = kind(given[name])
    except ValueError:
        found = math.nan
    if not is_right(found):
        raise WrongVariable(f"{name}: expected {expected}")
