"""Whether a collector takes what it is sent. Nothing of OpenTelemetry is loaded here."""

import logging
import threading
from collections.abc import Mapping
from typing import Final

from coordinator.adapters.opentelemetry.environment import Push, Signal, Wanted

_log = logging.getLogger(__name__)


class Delivery:
    """Whether the collector takes one signal: counted, and told when that changes, in one line each."""

    def __init__(self, signal: Signal, push: Push) -> None:
        self.push: Final = push
        self._signal = signal
        self._lock = threading.Lock()
        self._is_taken = True
        self._lost_in_a_row = 0
        self.sent = 0
        self.lost = 0

    def report(self, items: int, *, taken: bool) -> None:
        """*items* were sent; or not *taken*, and are lost."""
        with self._lock:
            before, self._is_taken = self._is_taken, taken
            lost_in_a_row = self._lost_in_a_row
            if taken:
                self.sent += items
                self._lost_in_a_row = 0
            else:
                self.lost += items
                self._lost_in_a_row += items
        if before and not taken:
            _log.warning(
                "the OpenTelemetry collector at %s does not take %s: they are dropped and counted, and sagas "
                "are not held up; look whether it runs, and at OTEL_EXPORTER_OTLP_ENDPOINT and _PROTOCOL",
                self.push.place,
                self._signal.lower(),
            )
        elif taken and not before:
            _log.warning(
                "the OpenTelemetry collector at %s takes %s again; lost meanwhile: %d",
                self.push.place,
                self._signal.lower(),
                lost_in_a_row,
            )

    def dropped(self) -> None:
        """One item was dropped unsent: the queue for the collector is full."""
        with self._lock:
            self.lost += 1
            self._lost_in_a_row += 1


class Deliveries:
    """One for each signal that is to be sent."""

    def __init__(self, asked: Wanted) -> None:
        self.traces = None if asked.traces is None else Delivery("TRACES", asked.traces)
        self.metrics = None if asked.metrics is None else Delivery("METRICS", asked.metrics)

    def counts(self) -> Mapping[tuple[str, ...], int]:
        """What became of all items so far, by signal and outcome."""
        counts: dict[tuple[str, ...], int] = {}
        for signal, delivery in (("TRACES", self.traces), ("METRICS", self.metrics)):
            if delivery is not None:
                counts |= {(signal, "SENT"): delivery.sent, (signal, "LOST"): delivery.lost}
        return counts
