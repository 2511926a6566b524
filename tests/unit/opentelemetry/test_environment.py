"""What the standard variables ask for, and that a wrong one is named and never quoted."""

import pytest

from coordinator.adapters.opentelemetry.environment import Push, Wanted, wanted
from coordinator.domain.errors import StartupFailed

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "shop"},
        {ENDPOINT: ""},
        {ENDPOINT: "http://collector:4317", "OTEL_SDK_DISABLED": "TRUE"},
        {ENDPOINT: "nonsense://", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "http://c:1", "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
        # For others, who may know what they mean.
        {
            "OTEL_TRACES_SAMPLER": "jaeger_remote",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such/file",
            "OTEL_RESOURCE_ATTRIBUTES": "shop",
        },
    ],
)
def test_nothing_is_asked_for(environ: dict[str, str]) -> None:
    asked = wanted(environ)
    assert (asked.traces, asked.metrics) == (None, None)


GRPC = Push("otlp", "grpc", "collector:4317")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({ENDPOINT: "http://collector:4317"}, Wanted(GRPC, GRPC)),
        ({ENDPOINT: "collector:4317"}, Wanted(GRPC, GRPC)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "[::1]:9"}, Wanted(Push("otlp", "grpc", "[::1]:9"))),
        ({ENDPOINT: "http://collector:4317", "OTEL_METRICS_EXPORTER": "none"}, Wanted(GRPC, None)),
        ({ENDPOINT: "http://collector:4317", "OTEL_METRICS_EXPORTER": "prometheus"}, Wanted(GRPC, None)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, Wanted(GRPC, None)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4317"}, Wanted(None, GRPC)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Wanted(Push("otlp", "grpc", "localhost:4317"), None)),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_RESOURCE_ATTRIBUTES": "team=shop,"},
            Wanted(Push("otlp", "grpc", "localhost:4317"), None),
        ),
        (
            {"OTEL_TRACES_EXPORTER": " OTLP ", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            Wanted(Push("otlp", "http/protobuf", "localhost:4318"), None),
        ),
        (
            {ENDPOINT: "collector:4317", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip"},
            Wanted(Push("otlp", "grpc", "collector:4317", gzip=True), GRPC),
        ),
        ({"OTEL_TRACES_EXPORTER": "console"}, Wanted(Push("console", "grpc", "stderr"), None)),
        (
            {
                ENDPOINT: "https://me:password@collector:4318/secret/path",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_METRIC_EXPORT_INTERVAL": "1500",
            },
            Wanted(
                Push("otlp", "http/protobuf", "collector:4318"), Push("otlp", "grpc", "collector:4318"), 1.5
            ),
        ),
    ],
)
def test_what_is_asked_for(environ: dict[str, str], expected: Wanted) -> None:
    assert wanted(environ) == expected


def test_without_a_scheme_there_is_no_http() -> None:
    with pytest.raises(StartupFailed, match=r"expected a URL such as .* for http/protobuf"):
        wanted({ENDPOINT: "collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})


@pytest.mark.parametrize("share", ["0", "1", "1e-3", ".5", "0.0000000001"])
def test_a_share_is_any_number_up_to_one(share: str) -> None:
    assert wanted({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER_ARG": share}).traces


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger"),
        ("OTEL_METRICS_EXPORTER", "statsd"),
        (ENDPOINT, "ftp://collector:4317"),
        (ENDPOINT, "http://:4317"),
        (ENDPOINT, "http://collector:99999"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0.0"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-5"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1e3"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api key=1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=x%0d%0ab"),
        (ENDPOINT, "http://exa mple:9"),
        (ENDPOINT, "some host"),
        (ENDPOINT, "unix:/tmp/x.sock"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "abc"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b,c"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
        ("OTEL_RESOURCE_ATTRIBUTES", "shop"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many"),
    ],
)
def test_a_wrong_one_stops_the_start_by_its_name(name: str, value: str) -> None:
    asked = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"}
    with pytest.raises(StartupFailed) as failed:
        wanted({**asked, name: value})
    assert str(failed.value).startswith(f"{name}: expected ")
    assert value not in str(failed.value).removeprefix(f"{name}: expected ")
