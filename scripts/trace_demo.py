"""`make trace-demo`: the demo with tracing on, and what became of its orders as traces in a viewer.

The traces of the orders that went badly are read back from the viewer and held against what happened. The
exit code is 0 only if all of it is there, and every story ended as it must. On a terminal the viewer then
stays up until Ctrl-C.
"""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

from coordinator.client import BlockingClient
from scripts.cluster import Cluster
from scripts.demo import Demo, ending_cleanly, lines_to_try, linger
from scripts.viewer import Trace, Traces, Viewer

ARRIVAL_TIMEOUT_S: Final = 20.0
ORDER: Final = "place_order"
PLACE_ORDER: Final = "saga.orders.v1.OrderPlacementService/PlaceOrder"
SAGA: Final = "saga PlaceOrder"


@dataclass(frozen=True, slots=True)
class Story:
    """An order that went badly, and the spans that tell how."""

    order_id: str
    told: str
    spans: Sequence[str]
    may_be_torn: bool = False
    """What a process that is killed had not sent yet is lost, and what was below it has no parent."""

    def missing(self, trace: Trace) -> list[str]:
        """What *trace* lacks; empty: it tells the story."""
        names = Counter(span.name for span in trace.spans)
        missing = sorted((Counter(self.spans) - names).elements())
        roots = sum(depth == 0 for depth, _ in trace.tree())
        return [*missing, *(["one root"] if roots != 1 and not self.may_be_torn else [])]


STORIES: Final = (
    Story(
        "o-4",
        "shipping hangs",
        (
            *(ORDER, PLACE_ORDER, PLACE_ORDER, SAGA),
            *("Execute createOrder", "Execute reserveInventory", "Execute processPayment"),
            *(["Execute scheduleShipment"] * 3),
            *("Compensate scheduleShipment", "Compensate processPayment"),
            *("Compensate reserveInventory", "Compensate createOrder"),
            *(["saga.v1.ParticipantService/Execute"] * 6),
            *(["saga.v1.ParticipantService/Compensate"] * 4),
            f"{SAGA} ended",
        ),
    ),
    Story(
        "o-5",
        "coordinator killed",
        (ORDER, f"{SAGA} resumed", "Execute processPayment", "Execute scheduleShipment", f"{SAGA} ended"),
        may_be_torn=True,
    ),
    Story(
        "o-6",
        "undo fails",
        (
            *(ORDER, SAGA, "Execute processPayment"),
            *("Compensate reserveInventory", f"{SAGA} ended"),
            *(f"{SAGA} operator RETRY", "Compensate reserveInventory", "Compensate createOrder"),
            f"{SAGA} ended",
        ),
    ),
)


def main() -> int:
    """Play the demo, show the traces; on a terminal, serve them until Ctrl-C."""
    return ending_cleanly("trace-demo", _run)


def lines(trace: Trace) -> Iterator[str]:
    """The trace as a tree, a span a line: when it began, how long it took, what it is and how it ended."""
    for depth, span in trace.tree():
        offset_s = (span.started_at - trace.spans[0].started_at).total_seconds()
        ended = [span.attributes.get(key, "") for key in ("error.type", "saga.status")]
        words = [span.name, *([span.status] if span.status == "ERROR" else []), *filter(None, ended)]
        yield f"{offset_s:+8.3f}s {span.duration_s:7.3f}s  {'  ' * depth}{'  '.join(map(str, words))}"


def _run() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="saga-trace-demo-") as folder,
        Viewer(Path(folder) / "viewer") as viewer,
    ):
        print("Starting the trace viewer, which takes up to half a minute.", flush=True)
        viewer.start()
        print(f"It serves at {viewer.address}.")
        with Cluster(
            Path(folder) / "cluster", listen="127.0.0.1:0", environment=viewer.environment
        ) as cluster:
            cluster.start()
            with _orders_followed(viewer.spans_endpoint), BlockingClient(cluster.address) as client:
                demo = Demo(cluster, client)
                ended_well = demo.play()
                sagas = [client.get(demo.saga_id(story.order_id)) for story in STORIES]
            print("\n11. traces\n   One order is one trace: its caller, every attempt, and who served it.")
            shown = [
                _show(story, saga.trace_id, viewer.traces) for story, saga in zip(STORIES, sagas, strict=True)
            ]
            if sys.stdin.isatty():
                print(f"\nIt stays up until Ctrl-C. Try in another terminal:{lines_to_try(cluster.address)}")
                linger()
    return 0 if ended_well and all(shown) else 1


def _show(story: Story, trace_id: str, traces: Traces) -> bool:
    """Print the story's trace once it is there; whether it tells all of it."""
    trace = _arrived(story, trace_id, traces)
    print(f"\n   {story.order_id} {story.told}\n   {traces.page(trace_id)}")
    print("".join(f"   {line}\n" for line in lines(trace)), end="")
    missing = story.missing(trace)
    for what in missing:
        print(f"   WRONG: the trace lacks {what}")
    return not missing


def _arrived(story: Story, trace_id: str, traces: Traces) -> Trace:
    """The trace as soon as it tells the story, or as it is after a while."""
    until = time.monotonic() + ARRIVAL_TIMEOUT_S
    while True:
        trace = traces.read(trace_id)
        if not story.missing(trace) or time.monotonic() > until:
            return trace
        time.sleep(0.2)


@contextmanager
def _orders_followed(endpoint: str) -> Iterator[None]:
    """Make this process one that follows its orders, as a service that places them would."""
    provider = TracerProvider(
        sampler=ParentBased(_OrdersOnly()), resource=Resource.create({"service.name": "demo"})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    otel.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


class _OrdersOnly(Sampler):
    """The demo looks at its orders many times a second, too, and nobody wants to see that."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        sampler = ALWAYS_ON if name == ORDER else ALWAYS_OFF
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return "OrdersOnly"


if __name__ == "__main__":
    sys.exit(main())
