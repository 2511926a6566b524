"""A real OTLP collector, in the test's own process: it takes what it is sent over gRPC or HTTP, and keeps it.

It can be made to go away, to refuse and to stall, as a collector of the real world may.
"""

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Literal, Self

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE_S: Final = 20.0
Behaviour = Literal["takes", "refuses", "stalls"]


@dataclass(frozen=True)
class Span:
    """A span as the collector got it, with its ids in hexadecimal."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, object]
    events: tuple[tuple[str, dict[str, object]], ...]
    links: tuple[tuple[str, str], ...]
    """Trace id and span id of each."""
    is_error: bool
    message: str
    service: str
    """service.name of its resource."""

    @property
    def event_names(self) -> list[str]:
        return [name for name, _ in self.events]

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


@dataclass
class Received:
    """All that came, and how it came."""

    spans: list[Span] = field(default_factory=list)
    metrics: list[metrics_pb2.Metric] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


class Collector:
    """Serves OTLP over gRPC or HTTP on loopback until it is left."""

    def __init__(self, protocol: Literal["grpc", "http/protobuf"] = "grpc", port: int = 0) -> None:
        self.protocol = protocol
        self.behaviour: Behaviour = "takes"
        self.received = Received()
        self._lock = threading.Lock()
        self._stop: Callable[[], object] = lambda: None
        self._released = threading.Event()
        self.port = port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What sends to it soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_METRICS_EXPORTER": "none",
        }

    def start(self) -> None:
        """Serve, at the port that it had before, if any."""
        self._released.clear()
        if self.protocol == "grpc":
            self._serve_grpc()
        else:
            self._serve_http()

    def stop(self) -> None:
        """Be gone: connections are refused from here on."""
        self._released.set()
        self._stop()

    @property
    def spans(self) -> list[Span]:
        """Every span so far, by their starts."""
        with self._lock:
            return sorted(self.received.spans, key=lambda span: span.start_ns)

    def trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def of_saga(self, saga_id: str) -> list[Span]:
        """The spans that name the saga."""
        return [span for span in self.spans if span.attributes.get("saga.id") == saga_id]

    def await_spans(self, condition: Callable[[list[Span]], bool], what: str) -> list[Span]:
        """All spans, once *condition* holds of them."""
        until = time.monotonic() + PATIENCE_S
        while not condition(self.spans):
            if time.monotonic() > until:
                told = "\n".join(f"{s.service} {s.name} {s.trace_id}" for s in self.spans)
                raise AssertionError(f"waited {PATIENCE_S:g} s in vain for {what}; there are:\n{told}")
            time.sleep(0.02)
        return self.spans

    def _serve_grpc(self) -> None:
        server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), server)  # type: ignore[no-untyped-call]
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), server)  # type: ignore[no-untyped-call]
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        self._stop = lambda: server.stop(0).wait(5)

    def _serve_http(self) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join(5)

        self._stop = stop

    def take(self, path: str, data: bytes, headers: dict[str, str]) -> bool:
        """Whether it was taken."""
        if self.behaviour == "stalls":
            self._released.wait(PATIENCE_S)
        if self.behaviour != "takes":
            return False
        with self._lock:
            self.received.raw.append(data)
            self.received.headers.append(headers)
            if path.endswith("traces"):
                self.received.spans += _spans(trace_service_pb2.ExportTraceServiceRequest.FromString(data))
            else:
                request = metrics_service_pb2.ExportMetricsServiceRequest.FromString(data)
                scopes = (scope for resource in request.resource_metrics for scope in resource.scope_metrics)
                self.received.metrics += [metric for scope in scopes for metric in scope.metrics]
        return True


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        _take(self._collector, "traces", request, context)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        _take(self._collector, "metrics", request, context)
        return metrics_service_pb2.ExportMetricsServiceResponse()


def _take(collector: Collector, path: str, request: Any, context: grpc.ServicerContext) -> None:
    headers = {key: str(value) for key, value in context.invocation_metadata()}
    if not collector.take(path, request.SerializeToString(), headers):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "this collector takes nothing")


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                data = gzip.decompress(data)
            taken = collector.take(self.path, data, dict(self.headers.items()))
            self.send_response(200 if taken else 403)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """The tests say what there is to say."""

    return Handler


def _spans(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterable[Span]:
    for resource in request.resource_spans:
        service = str(_attributes(resource.resource.attributes).get("service.name", ""))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    attributes=_attributes(span.attributes),
                    events=tuple((event.name, _attributes(event.attributes)) for event in span.events),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    is_error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    message=span.status.message,
                    service=service,
                )


def _attributes(values: Sequence[common_pb2.KeyValue]) -> dict[str, object]:
    return {one.key: _value(one.value) for one in values}


def _value(value: common_pb2.AnyValue) -> object:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind is not None else None
