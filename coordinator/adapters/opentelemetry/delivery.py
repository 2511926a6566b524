"""Whether a collector takes what it is sent. Nothing of OpenTelemetry is loaded here."""

import logging
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coordinator.adapters.opentelemetry.environment import Push, Signal, Wanted

_log = logging.getLogger(__name__)


class Outage:
    """What a collector at one place does not take: told in one line when that begins, and in one when it is
    over, however many signals go there. Called from the threads that send."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._unwell: set[Signal] = set()
        self._lost = 0

    def report(self, signal: Signal, *, taken: bool, lost: int) -> None:
        """*signal* was sent, and *taken* or not; *lost* items of it were dropped since the last report."""
        is_well = taken and not lost
        with self._lock:
            before = bool(self._unwell)
            (self._unwell.discard if is_well else self._unwell.add)(signal)
            self._lost += lost
            is_over, total = before and not self._unwell, self._lost
            if not self._unwell:
                self._lost = 0
        if not is_well and not before:
            _log.warning(
                "the OpenTelemetry collector at %s does not take %s%s: they are dropped and counted, sagas "
                "are not held up; look whether it runs, and at OTEL_EXPORTER_OTLP_ENDPOINT and _PROTOCOL",
                self._place,
                signal.lower(),
                " fast enough" if taken else "",
                extra={"is_news": True},
            )
        elif is_over:
            _log.warning(
                "the OpenTelemetry collector at %s takes what it is sent again; lost meanwhile: %d items",
                self._place,
                total,
                extra={"is_news": True},
            )


class Delivery:
    """One signal on its way to a collector: how much of it arrived."""

    def __init__(self, signal: Signal, push: Push, outage: Outage) -> None:
        self.push: Final = push
        self._signal = signal
        self._outage = outage
        self._lock = threading.Lock()
        self._lost_since = 0
        self.sent = 0
        self.lost = 0

    def report(self, items: int, *, taken: bool) -> None:
        """*items* were sent; or not *taken*, and are lost."""
        with self._lock:
            if taken:
                self.sent += items
            else:
                self.lost += items
                self._lost_since += items
            lost, self._lost_since = self._lost_since, 0
        self._outage.report(self._signal, taken=taken, lost=lost)

    def spoilt(self, error: Exception) -> None:
        """A span is lost by a fault of ours, which says nothing of the collector."""
        with self._lock:
            self.lost += 1
        # Its text may quote what nobody should read.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{frame.name} ({Path(frame.filename).name}:{frame.lineno})"
        _log.error("a span is lost by a fault of ours: %s", type(error).__name__, extra={"at": [at]})

    def dropped(self, items: int) -> None:
        """*items* were dropped unsent: the queue for the collector is full, or its time is over."""
        with self._lock:
            self.lost += items
            self._lost_since += items


class Deliveries:
    """One for each signal that is to be sent."""

    def __init__(self, asked: Wanted) -> None:
        outages = {
            push.place: Outage(push.place) for push in (asked.traces, asked.metrics) if push is not None
        }
        self.traces = _delivery("TRACES", asked.traces, outages)
        self.metrics = _delivery("METRICS", asked.metrics, outages)

    def counts(self) -> Mapping[tuple[str, ...], int]:
        """What became of all items so far, by signal and outcome."""
        counts: dict[tuple[str, ...], int] = {}
        for signal, delivery in (("TRACES", self.traces), ("METRICS", self.metrics)):
            if delivery is not None:
                counts |= {(signal, "SENT"): delivery.sent, (signal, "LOST"): delivery.lost}
        return counts


def _delivery(signal: Signal, push: Push | None, outages: Mapping[str, Outage]) -> Delivery | None:
    return None if push is None else Delivery(signal, push, outages[push.place])
