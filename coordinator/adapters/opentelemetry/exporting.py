"""Between the library and the collector: what may leave, under which names, and what is said where it cannot.

A span that ends is only queued; what is done to it is done in the thread that sends, so that no saga pays.
There ours are made, too.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final, cast

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status
from opentelemetry.util.types import AttributeValue

from coordinator.adapters.opentelemetry.delivery import Delivery
from coordinator.adapters.opentelemetry.drafts import Draft, Maker

_log = logging.getLogger(__name__)


class AllowedSpans(SpanExporter):
    """Sends what is allowed of each span, and reports what became of it."""

    def __init__(self, exporter: SpanExporter, delivery: Delivery, maker: Maker) -> None:
        self._exporter = exporter
        self._delivery = delivery
        self._maker = maker
        self.handed_over = 0
        """Spans that have left the queue."""
        self.reported = 0
        """Those of them of which it is known what became of them."""

    def export(self, spans: Sequence[ReadableSpan | Draft]) -> SpanExportResult:
        self.handed_over += len(spans)
        made = self._made(spans)
        try:
            result = self._exporter.export(made)
        except Exception:  # whatever the library has with its settings or its peer: these spans are lost
            result = SpanExportResult.FAILURE
        self._delivery.report(len(made), taken=result is SpanExportResult.SUCCESS)
        self.reported += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def _made(self, spans: Sequence[ReadableSpan | Draft]) -> list[ReadableSpan]:
        made: list[ReadableSpan] = []
        for span in spans:
            try:
                made.append(self._maker.made(span) if isinstance(span, Draft) else allowed(span))
            except Exception as error:  # a bug of ours: it costs this span, and no other
                self._delivery.spoilt(error)
        return made


class CountingProcessor(BatchSpanProcessor):
    """The library's queue and thread. It drops the oldest span of a full queue, which is counted here."""

    def __init__(self, exporter: AllowedSpans, delivery: Delivery) -> None:
        queue_max: int = self._default_max_queue_size()  # type: ignore[no-untyped-call]
        batch_max: int = self._default_max_export_batch_size()  # type: ignore[no-untyped-call]
        delay_ms: float = self._default_schedule_delay_millis()  # type: ignore[no-untyped-call]
        self.delay_s: Final = delay_ms / 1000
        """How long a span that has ended waits for others at most."""
        # The library refuses a batch that is larger than the queue, also where only one of them was set.
        super().__init__(exporter, queue_max, max_export_batch_size=min(batch_max, queue_max))
        self._exporter = exporter
        self._delivery = delivery
        self._queue_max = queue_max
        self._kept = 0

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._hand_over(span)

    def keep(self, draft: Draft) -> None:
        """*draft* has ended. Of what it queues, the library looks at the place in the trace only."""
        self._hand_over(cast(ReadableSpan, draft))

    def _hand_over(self, span: ReadableSpan) -> None:
        if self._kept - self._exporter.handed_over >= self._queue_max:
            self._delivery.dropped(1)
        else:
            self._kept += 1
        super().on_end(span)

    def tell_what_is_left(self) -> None:
        """At the end: what has not been sent by now is lost, also what is in a call that is left behind."""
        unsent = self._kept - self._exporter.reported
        if unsent:
            self._delivery.dropped(unsent)
            _log.warning("spans that the OpenTelemetry collector did not take in time: %d", unsent)


def allowed(span: ReadableSpan) -> ReadableSpan:
    """*span*, one that the library made, with the attributes of the list below, by their current names, and
    without anybody's words.

    Its server spans have names of an older convention, the caller's user agent, and the texts of errors.
    """
    attributes = _current(span.attributes or {})
    name = str(attributes.get("rpc.method", span.name)) if span.kind is SpanKind.SERVER else span.name
    events = [_allowed_event(event) for event in span.events if event.name.startswith(OURS)]
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _current(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """RPC semantic conventions 1.38 and later: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/"""
    if _OLD_SERVICE in attributes:
        method = "/".join(str(attributes.get(name, "")) for name in (_OLD_SERVICE, "rpc.method"))
        attributes = {**attributes, "rpc.method": method}
    renamed = {_RENAMED.get(name, name): value for name, value in attributes.items()}
    port = renamed.get(_PEER_PORT)
    if isinstance(port, str) and port.isdigit():
        renamed[_PEER_PORT] = int(port)
    return {name: value for name, value in renamed.items() if name in _ALLOWED or name.startswith(OURS)}


def _allowed_event(event: Event) -> Event:
    given = event.attributes or {}
    kept = {name: value for name, value in given.items() if name.startswith(OURS)}
    return Event(event.name, kept, event.timestamp)


OURS: Final = "saga."
_OLD_SERVICE: Final = "rpc.service"
_PEER_PORT: Final = "network.peer.port"
_RENAMED: Final = {
    "rpc.system": "rpc.system.name",
    "net.peer.ip": "network.peer.address",
    "net.peer.port": _PEER_PORT,
}
_ALLOWED: Final = frozenset(
    {
        "rpc.system.name",
        "rpc.method",
        "rpc.response.status_code",
        "error.type",
        "server.address",
        "server.port",
        "network.peer.address",
        _PEER_PORT,
    }
)
