"""Counts what the engine tells, and shows it to Prometheus."""

from coordinator.adapters.prometheus.metrics import METRICS
from coordinator.adapters.prometheus.page import MetricsPage
from coordinator.adapters.prometheus.telemetry import (
    NAMES_REGISTERED_MAX,
    NAMES_SEEN_MAX,
    PrometheusTelemetry,
)

__all__ = ["METRICS", "NAMES_REGISTERED_MAX", "NAMES_SEEN_MAX", "MetricsPage", "PrometheusTelemetry"]
