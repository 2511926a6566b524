"""What the standard `OTEL_*` variables ask for. Nothing of OpenTelemetry is loaded to find out.

The library reads the variables itself, and falls back to a default where one makes no sense. Here that stops
the start with the variable's name; a value is never quoted, for credentials may stand in one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from coordinator.domain.errors import StartupFailed

Exporter = Literal["otlp", "console"]
Protocol = Literal["grpc", "http/protobuf"]
Signal = Literal["TRACES", "METRICS"]


@dataclass(frozen=True, slots=True)
class Push:
    """How one signal leaves. `place` is where to, without credentials, for people."""

    exporter: Exporter
    protocol: Protocol
    place: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be sent; None: nothing."""

    traces: Push | None = None
    metrics: Push | None = None
    metrics_interval_s: float = 60.0


NOTHING_ASKED: Final = Wanted()


def wanted(environ: Mapping[str, str]) -> Wanted:
    """What *environ* asks for.

    Raises:
        StartupFailed: a variable has a value that it cannot have.
    """
    ours = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_")}
    given = {name: value for name, value in ours.items() if value}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NOTHING_ASKED
    for name, (fits, expected) in _EXPECTED.items():
        if name in given and not fits(given[name]):
            raise StartupFailed(f"{name}: expected {expected}")
    return Wanted(
        traces=_push(given, "TRACES"),
        metrics=_push(given, "METRICS"),
        metrics_interval_s=float(given.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")) / 1000,
    )


def _push(given: Mapping[str, str], signal: Signal) -> Push | None:
    endpoint = given.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or given.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = given.get(f"OTEL_{signal}_EXPORTER", "otlp" if endpoint else "none").lower()
    if exporter == "console":
        return Push("console", "grpc", "stderr")
    if exporter != "otlp":
        return None
    protocol = given.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or given.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol == "http/protobuf":
        return Push("otlp", "http/protobuf", _shown(endpoint or "http://localhost:4318"))
    return Push("otlp", "grpc", _shown(endpoint or "http://localhost:4317"))


def _shown(endpoint: str) -> str:
    """Host and port of *endpoint*: what stands before or behind them may be a secret."""
    place = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    return place.netloc.rpartition("@")[2]


def _is_endpoint(value: str) -> bool:
    try:
        place = urlsplit(value if "://" in value else f"//{value}")
        return place.scheme in ("", "http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:
        return False


def _is_share(value: str) -> bool:
    return bool(_NUMBER.fullmatch(value)) and float(value) <= 1


def _is_count(value: str) -> bool:
    return bool(_WHOLE.fullmatch(value)) and int(value) > 0


def _is_time(value: str) -> bool:
    return bool(_NUMBER.fullmatch(value)) and float(value) > 0


def _one_of(*values: str) -> tuple[Callable[[str], bool], str]:
    return lambda value: value.lower() in values, f"{', '.join(values[:-1])} or {values[-1]}"


_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_ENDPOINT: Final = (_is_endpoint, 'a URL such as "http://127.0.0.1:4317"')
_PROTOCOL: Final = _one_of("grpc", "http/protobuf")
_COMPRESSION: Final = _one_of("none", "gzip")
_COUNT: Final = (_is_count, "a whole number, 1 or more")
_MILLISECONDS: Final = (_is_count, "a whole number of milliseconds, 1 or more")
_SECONDS: Final = (_is_time, "a number of seconds above 0")
_EXPECTED: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "OTEL_TRACES_EXPORTER": _one_of("otlp", "console", "none"),
    "OTEL_METRICS_EXPORTER": _one_of("otlp", "console", "prometheus", "none"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": _ENDPOINT,
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": _ENDPOINT,
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": _ENDPOINT,
    "OTEL_EXPORTER_OTLP_PROTOCOL": _PROTOCOL,
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": _PROTOCOL,
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": _PROTOCOL,
    "OTEL_EXPORTER_OTLP_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": _SECONDS,
    "OTEL_TRACES_SAMPLER": _one_of(
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ),
    "OTEL_TRACES_SAMPLER_ARG": (_is_share, "a share from 0 to 1, such as 0.01"),
    "OTEL_BSP_MAX_QUEUE_SIZE": _COUNT,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _COUNT,
    "OTEL_BSP_SCHEDULE_DELAY": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
}
