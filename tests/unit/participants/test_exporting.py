"""When the spans of `python -m participants` are sent, and what is said of variables that are wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from participants import exporting
from participants.exporting import WrongVariable, check, is_asked_for

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}

TAKES_NOT = "the collector does not take the spans; they are dropped until it does"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", **ENDPOINT}, False),
        ({"OTEL_TRACES_EXPORTER": " ", **ENDPOINT}, True),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_SDK_DISABLED": "True", **ENDPOINT}, False),
        ({"OTEL_SDK_DISABLED": "false", **ENDPOINT}, True),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, False),
    ],
)
def test_spans_are_sent_where_the_environment_asks_for_it(given: dict[str, str], asked: bool) -> None:
    assert is_asked_for(given) is asked


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OTEL_TRACES_EXPORTER", "otlp,zipkin", "expected otlp, console or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "expected grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "expected none or gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "expected a number above 0"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "expected a number above 0"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "expected a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "expected a number from 0 to 1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "expected milliseconds above 0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "expected a whole number above 0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1.5", "expected a whole number above 0"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many", "expected a whole number"),
    ],
)
def test_a_wrong_variable_is_named_with_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(WrongVariable) as raised:
        check({name: value})
    assert str(raised.value) == f"{name}: {expected}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "tok-canary"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://tok-canary:21"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tok-canary:999999"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[tok-canary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,tok-canary"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "tok-canary"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,tok-canary"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/tok-canary"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/nowhere/tok-canary"),
    ],
)
def test_what_may_hold_a_secret_is_not_quoted(name: str, value: str) -> None:
    with pytest.raises(WrongVariable, match=f"^{name}: expected ") as raised:
        check({name: value})
    assert "tok-canary" not in str(raised.value)


def test_what_the_specification_allows_is_taken(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.touch()
    check({})
    check(
        {
            "OTEL_TRACES_EXPORTER": "Console",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "GRPC",
            "OTEL_RESOURCE_ATTRIBUTES": "team=shop,",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example:4318/v1/traces",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "[::1]:4317",
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x,b=",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificate),
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
            "OTEL_TRACES_SAMPLER": "ParentBased_TraceIdRatio",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
            "OTEL_BSP_MAX_QUEUE_SIZE": "256",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "256",
            "OTEL_SPAN_LINK_COUNT_LIMIT": "0",
        }
    )


def test_a_bare_address_is_for_grpc_only() -> None:
    with pytest.raises(WrongVariable):
        check(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        )


def test_one_line_says_that_an_outage_begins_and_one_that_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = exporting.Outage()
    outage.report(3, taken=True)
    for _ in range(3):
        outage.report(2, taken=False)
    for _ in range(3):
        outage.report(5, taken=True)
    assert [record.getMessage() for record in caplog.records] == [
        TAKES_NOT,
        "the collector takes the spans again; lost meanwhile: 6",
    ]


@pytest.mark.parametrize("name", ["opentelemetry.exporter", "opentelemetry.sdk"])
def test_whoever_has_not_installed_what_sends_spans_is_told_what_brings_it(name: str, tmp_path: Path) -> None:
    script = (
        f"import os, sys; sys.modules[{name!r}] = None\n"
        "os.environ['OTEL_TRACES_EXPORTER'] = 'otlp'\n"
        "from participants.__main__ import main\n"
        "sys.exit(main(['OrderService', '--data', sys.argv[1]]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    (sentence,) = run.stderr.splitlines()
    assert sentence.startswith("participants: the environment asks for traces, and opentelemetry.")
    assert "pip install 'saga-coordinator[otlp]'" in sentence


def test_an_end_that_does_not_come_is_waited_for_no_longer_than_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setattr(exporting, "STOP_S", 0.1)
    monkeypatch.setattr(exporting, "_start", lambda given, lost: lambda: time.sleep(5))
    with exporting.exporting():
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 2
    assert [record.getMessage() for record in caplog.records] == [TAKES_NOT]
