"""What the standard `OTEL_*` variables ask for. Nothing of OpenTelemetry is loaded to find out.

The library reads the variables itself, and falls back to a default where one makes no sense. Here that stops
the start with the variable's name; a value is never quoted, for credentials may stand in one.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

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
    gzip: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be sent; None: nothing."""

    traces: Push | None = None
    metrics: Push | None = None
    metrics_interval_s: float = 60.0


NOTHING_ASKED: Final = Wanted()
SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
"""Those that can be chosen; see `sampling` for what is taken for granted of each."""


def wanted(environ: Mapping[str, str]) -> Wanted:
    """What *environ* asks for.

    Raises:
        StartupFailed: a variable has a value that it cannot have.
    """
    ours = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_")}
    given = {name: value for name, value in ours.items() if value}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NOTHING_ASKED
    # What nobody asks for may be set all the same, for others.
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        _check(given, name)
    asked = Wanted(_push(given, "TRACES"), _push(given, "METRICS"))
    if asked == NOTHING_ASKED:
        return NOTHING_ASKED
    for name in _EXPECTED:
        _check(given, name)
    for signal, push in (("TRACES", asked.traces), ("METRICS", asked.metrics)):
        own = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
        name = own if own in given else "OTEL_EXPORTER_OTLP_ENDPOINT"
        if push is not None and push.protocol == "http/protobuf" and "://" not in given.get(name, "://"):
            raise StartupFailed(f"{name}: expected {_URL} for http/protobuf")
    interval_s = float(given.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")) / 1000
    return replace(asked, metrics_interval_s=interval_s)


def prepare(environ: MutableMapping[str, str]) -> None:
    """Before anything of the library is loaded.

    It stumbles on variables that are empty, which are as good as unset, and on propagators that are not
    installed, though ours takes their place. And it tells of each try that fails, with what the peer said,
    and quotes headers that it cannot read: what there is to say is said by `Outage`.
    """
    environ.pop("OTEL_PROPAGATORS", None)
    for name, value in list(environ.items()):
        if name.startswith("OTEL_") and not value.strip():
            del environ[name]
    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _check(given: Mapping[str, str], name: str) -> None:
    fits, expected = _EXPECTED[name]
    if name in given and not fits(given[name]):
        raise StartupFailed(f"{name}: expected {expected}")


def _push(given: Mapping[str, str], signal: Signal) -> Push | None:
    endpoint = _said(given, signal, "ENDPOINT")
    exporter = given.get(f"OTEL_{signal}_EXPORTER", "otlp" if endpoint else "none").lower()
    if exporter == "console":
        return Push("console", "grpc", "stderr")
    if exporter != "otlp":
        return None
    gzip = _said(given, signal, "COMPRESSION") == "gzip"
    if _said(given, signal, "PROTOCOL") == "http/protobuf":
        return Push("otlp", "http/protobuf", _shown(endpoint or "http://localhost:4318"), gzip)
    return Push("otlp", "grpc", _shown(endpoint or "http://localhost:4317"), gzip)


def _said(given: Mapping[str, str], signal: str, kind: str) -> str:
    """What is said for *signal*, or else for all of them."""
    said = given.get(f"OTEL_EXPORTER_OTLP_{signal}_{kind}") or given.get(f"OTEL_EXPORTER_OTLP_{kind}")
    return (said or "").lower()


def _shown(endpoint: str) -> str:
    """Host and port of *endpoint*: what stands before or behind them may be a secret."""
    try:
        return urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").netloc.rpartition("@")[2]
    except ValueError:  # it is refused in the end
        return ""


def _is_endpoint(value: str) -> bool:
    if _HOST_AND_PORT.fullmatch(value):
        return True  # gRPC can do without a scheme
    try:
        place = urlsplit(value)
        has_place = bool(place.hostname) and not re.search(r"[\s\x00-\x1f]", value) and place.port != 0
    except ValueError:
        return False
    return place.scheme in ("http", "https") and has_place


def _is_share(value: str) -> bool:
    try:
        return 0 <= float(value) <= 1
    except ValueError:
        return False


def _is_count(value: str) -> bool:
    return bool(_WHOLE.fullmatch(value)) and int(value) > 0


def _is_limit(value: str) -> bool:
    return bool(_WHOLE.fullmatch(value))


def _is_file(value: str) -> bool:
    return os.path.isfile(value) and os.access(value, os.R_OK)


def _is_pairs(value: str) -> bool:
    return all(_PAIR.fullmatch(pair) for pair in value.split(",") if pair.strip())


def _is_headers(value: str) -> bool:
    """What HTTP can carry: no blank in a name, and nothing in a value that ends a line."""
    names = (pair.partition("=")[0].strip() for pair in value.split(",") if pair.strip())
    return _is_pairs(value) and all(map(_TOKEN.fullmatch, names)) and unquote(value).isprintable()


def _is_time(value: str) -> bool:
    return bool(_NUMBER.fullmatch(value)) and float(value) > 0


def _one_of(*values: str) -> tuple[Callable[[str], bool], str]:
    return lambda value: value.lower() in values, f"{', '.join(values[:-1])} or {values[-1]}"


_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_HOST_AND_PORT: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_PAIR: Final = re.compile(r"[^=]+=.*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL: Final = 'a URL such as "http://127.0.0.1:4317"'
_COUNT: Final = (_is_count, "a whole number, 1 or more")
_LIMIT: Final = (_is_limit, "a whole number, 0 or more")
_MILLISECONDS: Final = (_is_count, "a whole number of milliseconds, 1 or more")
_FILE: Final = (_is_file, "the path of a file that can be read")
_PAIRS: Final = (_is_pairs, "name=value, with commas between")
_OF_A_SIGNAL: Final = {
    "ENDPOINT": (_is_endpoint, _URL),
    "PROTOCOL": _one_of("grpc", "http/protobuf"),
    "COMPRESSION": _one_of("none", "gzip"),
    "HEADERS": (_is_headers, "name=value, with commas between, as HTTP's headers can be"),
    "TIMEOUT": (_is_time, "a number of seconds above 0"),
    "CERTIFICATE": _FILE,
    "CLIENT_KEY": _FILE,
    "CLIENT_CERTIFICATE": _FILE,
}
_EXPECTED: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "OTEL_TRACES_EXPORTER": _one_of("otlp", "console", "none"),
    "OTEL_METRICS_EXPORTER": _one_of("otlp", "console", "prometheus", "none"),
    **{
        f"OTEL_EXPORTER_OTLP_{signal}{kind}": expected
        for signal in ("", "TRACES_", "METRICS_")
        for kind, expected in _OF_A_SIGNAL.items()
    },
    "OTEL_RESOURCE_ATTRIBUTES": _PAIRS,
    "OTEL_TRACES_SAMPLER": _one_of(*SAMPLERS),
    "OTEL_TRACES_SAMPLER_ARG": (_is_share, "a share from 0 to 1, such as 0.01"),
    "OTEL_BSP_MAX_QUEUE_SIZE": _COUNT,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _COUNT,
    "OTEL_BSP_SCHEDULE_DELAY": _MILLISECONDS,
    "OTEL_BSP_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
    "OTEL_ATTRIBUTE_COUNT_LIMIT": _LIMIT,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": _LIMIT,
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": _LIMIT,
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": _LIMIT,
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": _LIMIT,
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": _LIMIT,
    "OTEL_SPAN_EVENT_COUNT_LIMIT": _LIMIT,
    "OTEL_SPAN_LINK_COUNT_LIMIT": _LIMIT,
}
