"""`make trace-demo` as a person runs it: a real trace viewer, and in it each order as one trace."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from urllib.request import urlopen

import pytest

from scripts.cluster import ROOT, NotReady
from scripts.viewer import PYTHON, Span, Trace, Traces

pytestmark = [
    pytest.mark.viewer,
    pytest.mark.skipif(not PYTHON.exists(), reason="the viewer's environment is not here ('make viewer')"),
    pytest.mark.timeout(240),
]

SHIPPING_HANGS = dedent(
    """\
    place_order
      saga.orders.v1.OrderPlacementService/PlaceOrder
        saga.orders.v1.OrderPlacementService/PlaceOrder
          saga PlaceOrder
            Execute createOrder
              saga.v1.ParticipantService/Execute
            Execute reserveInventory
              saga.v1.ParticipantService/Execute
            Execute processPayment
              saga.v1.ParticipantService/Execute
            Execute scheduleShipment
              saga.v1.ParticipantService/Execute
            Execute scheduleShipment
              saga.v1.ParticipantService/Execute
            Execute scheduleShipment
              saga.v1.ParticipantService/Execute
            Compensate scheduleShipment
              saga.v1.ParticipantService/Compensate
            Compensate processPayment
              saga.v1.ParticipantService/Compensate
            Compensate reserveInventory
              saga.v1.ParticipantService/Compensate
            Compensate createOrder
              saga.v1.ParticipantService/Compensate
            saga PlaceOrder ended
    """
)
SHOWN = re.compile(
    r"^   (o-\d) .*\n   (http://127\.0\.0\.1:\d+)(/redirects/traces/([0-9a-f]{32}))$", re.MULTILINE
)


class Shown:
    """The demo, once it has told its stories and waits for Ctrl-C."""

    def __init__(self, folder: Path) -> None:
        # A terminal to read from is what makes it stay.
        terminal, its_end = os.openpty()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.trace_demo"],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(folder)},
                stdin=its_end,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        finally:
            os.close(its_end)
        self._terminal = terminal
        self.said = ""

    def await_traces(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if line.startswith("It stays up"):
                return
        pytest.fail(self.said)

    def trace_of(self, order_id: str) -> tuple[Traces, Trace, str]:
        """The viewer, the order's trace in it, and the address of its page, as printed."""
        places = {found[1]: (found[2], found[3], found[4]) for found in SHOWN.finditer(self.said)}
        address, path, trace_id = places[order_id]
        traces = Traces(address)
        return traces, traces.read(trace_id), address + path

    def end(self) -> int:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        os.close(self._terminal)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    running = Shown(tmp_path)
    try:
        running.await_traces()
        yield running
    finally:
        if running.process.poll() is None:
            running.end()


def named(trace: Trace, name: str) -> list[Span]:
    return [span for span in trace.spans if span.name == name]


def test_an_order_that_failed_is_one_trace_with_all_that_was_tried_and_undone(
    shown: Shown, tmp_path: Path
) -> None:
    traces, trace, page = shown.trace_of("o-4")

    assert "".join(f"{'  ' * depth}{span.name}\n" for depth, span in trace.tree()) == SHIPPING_HANGS
    root = trace.spans[0]
    assert root.attributes["saga.status"] == "COMPENSATED"
    saga_id = str(root.attributes["saga.id"])
    # Elsewhere in the viewer is nothing of this saga, and whoever is shown it is shown its trace.
    assert traces.find("Compensate createOrder", {"saga.id": saga_id}) == {trace.trace_id}
    assert f"   trace    {trace.trace_id}\n" in shown.said
    with urlopen(page, timeout=30) as answer:
        assert answer.status == 200

    # Three attempts, told apart from those that went well, and why it went no further.
    attempts = named(trace, "Execute scheduleShipment")
    assert [span.attributes["saga.attempt"] for span in attempts] == [1, 2, 3]
    assert {span.status for span in attempts} == {"ERROR"}
    assert {span.attributes["error.type"] for span in attempts} == {"DEADLINE_EXCEEDED"}
    assert all(1.9 < span.duration_s < 4 for span in attempts)
    assert [span.events for span in attempts] == [
        ("saga.backoff",),
        ("saga.retry", "saga.backoff"),
        ("saga.retry", "saga.abort"),
    ]
    # What a participant that hangs is told first, that its time is over or that its caller has left, is luck.
    hung = {span.span_id for span in attempts}
    others = [span for span in trace.spans if not {span.span_id, span.parent_id} & hung]
    assert [span.name for span in others if span.status == "ERROR"] == ["saga PlaceOrder ended"]

    # Both sides of one call say so.
    undo = named(trace, "Compensate processPayment")[0]
    served = next(span for span in trace.spans if span.parent_id == undo.span_id)
    for span in (undo, served):
        assert {
            key: span.attributes[key] for key in span.attributes if key.startswith(("rpc.", "saga."))
        } == {
            "rpc.system.name": "grpc",
            "rpc.method": "saga.v1.ParticipantService/Compensate",
            "rpc.response.status_code": "OK",
            "saga.id": saga_id,
            "saga.name": "PlaceOrder",
            "saga.step": "processPayment",
            "saga.service": "PaymentService",
            "saga.attempt": 1,
            "saga.outcome": "SUCCEEDED",
        }

    # Nothing of what was ordered, and nobody's words.
    told = json.dumps([dict(span.attributes) for span in trace.spans])
    assert [word for word in ("tok-1", "u-1", "sku-1", "EUR", "grpc-python") if word in told] == []
    assert {span.status_message for span in trace.spans} == {""}

    # A coordinator that was killed, and an operator who came later, go on with the order's trace.
    assert named(shown.trace_of("o-5")[1], "saga PlaceOrder resumed")
    again = [span.status for span in named(shown.trace_of("o-6")[1], "Compensate reserveInventory")]
    assert again == ["ERROR", "UNSET"]

    assert "WRONG" not in shown.said
    assert shown.end() == 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotReady):
        traces.read(trace.trace_id)
