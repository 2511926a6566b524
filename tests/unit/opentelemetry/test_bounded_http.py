"""What a collector may answer over HTTP: real sockets, and answers that no collector should give."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from coordinator.adapters.opentelemetry import bounded_http
from coordinator.adapters.opentelemetry.bounded_http import BoundedSession
from coordinator.adapters.opentelemetry.environment import Push
from coordinator.adapters.opentelemetry.ids import span_context
from coordinator.adapters.opentelemetry.library import _span_exporter
from coordinator.adapters.opentelemetry.metrics import _exporter

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def answering(head: bytes, piece: bytes = b"", pieces: int = 0, pause_s: float = 0.0) -> Iterator[str]:
    """The address of a server that answers once: *head*, and then a *piece* so many times."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            try:
                connection.sendall(head)
                for _ in range(pieces):
                    connection.sendall(piece)
                    time.sleep(pause_s)
            except OSError:
                return  # whoever asked has heard enough

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1/traces"
        thread.join(5)


def test_an_answer_is_read_as_it_came() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"ab", 3) as url:
        answer = BoundedSession().request("POST", url, timeout=5)
    assert (answer.status_code, answer.content) == (200, b"ababab")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_an_answer_that_leads_elsewhere_is_no_success(status: int) -> None:
    head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: https://example.org/\r\nContent-Length: 0\r\n\r\n"
    with answering(head.encode()) as url, pytest.raises(requests.RequestException, match="wanted elsewhere"):
        BoundedSession().request("POST", url, timeout=5, allow_redirects=False)


def test_an_answer_that_trickles_is_waited_for_no_longer_than_a_call_may_take() -> None:
    began_at = time.monotonic()
    with (
        answering(HEAD, b"a", 100, 0.05) as url,
        pytest.raises(requests.RequestException, match="does not end in time"),
    ):
        BoundedSession().request("POST", url, timeout=0.3)
    assert time.monotonic() - began_at < 3


def test_an_answer_without_end_is_read_no_further_than_an_answer_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_http, "ANSWER_BYTES_MAX", 1000)
    with (
        answering(HEAD, b"a" * 100, 100) as url,
        pytest.raises(requests.RequestException, match="larger than 1000 bytes"),
    ):
        BoundedSession().request("POST", url, timeout=5)


@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_what_is_wanted_elsewhere_is_not_told_as_sent(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 307 Elsewhere\r\nLocation: https://example.org/\r\nContent-Length: 0\r\n\r\n"
    push = Push("otlp", "http/protobuf", "a collector")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with answering(head) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url.removesuffix("/v1/traces"))
        if signal == "traces":
            spans = _span_exporter(push)
            told = spans.export([ReadableSpan("a span", span_context(1, 1), resource=Resource({}))]).name
            spans.shutdown()
        else:
            metrics = _exporter(push)
            told = metrics.export(MetricsData([ResourceMetrics(Resource({}), [], "")])).name
            metrics.shutdown()
    assert told == "FAILURE"
