"""What surrounds a trace viewer: a child that is ready when its log says so, pages, and trees with gaps."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from scripts import viewer
from scripts.cluster import NotReady, Process
from scripts.viewer import Span, Trace, Traces, Viewer

BEGUN_AT = datetime(2026, 11, 22, 8, 39, tzinfo=UTC)
ASKED: list[dict[str, list[str]]] = []
READY = re.compile(r"Serving HTTP on 127\.0\.0\.1 port (\d+)")


def http_server(folder: Path, port: str) -> Process:
    return Process(
        "the server",
        ["http.server", "--bind", "127.0.0.1", port],
        environment={"PYTHONUNBUFFERED": "1"},
        log=folder / "server.log",
        is_quiet=True,
    )


def test_a_child_is_ready_when_its_log_says_so(tmp_path: Path) -> None:
    server = http_server(tmp_path, "0")
    assert int(server.await_logged(READY)) > 0
    server.stop()


@pytest.mark.timeout(20)
def test_a_child_that_ends_first_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"the server did not get ready \(exit code 2\)\. .*invalid int value"):
        http_server(tmp_path, "none").await_logged(READY)


def test_a_child_that_says_nothing_is_not_waited_for_any_longer(tmp_path: Path) -> None:
    server = http_server(tmp_path, "0")
    with pytest.raises(NotReady, match=r"exit code None"):
        server.await_logged(re.compile("(never)"), timeout_s=0.3)
    server.stop()


def test_a_viewer_that_is_not_installed_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "PYTHON", tmp_path / "python")
    with pytest.raises(NotReady, match="make viewer"):
        Viewer(tmp_path / "viewer").start()


def a_span(name: str, parent: str = "", *, after_s: float) -> Span:
    return Span(name, name, parent, "UNSET", "", BEGUN_AT + timedelta(seconds=after_s), 1.0, {}, ())


def test_a_tree_has_each_span_behind_its_parent_and_orphans_as_roots() -> None:
    spans = (
        a_span("order", after_s=0),
        a_span("first", "order", after_s=1),
        a_span("lost its parent", "never sent", after_s=2),
        a_span("below first", "first", after_s=3),
        a_span("second", "order", after_s=4),
    )
    assert [(depth, span.name) for depth, span in Trace("t-1", spans).tree()] == [
        (0, "order"),
        (1, "first"),
        (2, "below first"),
        (1, "second"),
        (0, "lost its parent"),
    ]


def a_row(name: str, after_s: float) -> dict[str, Any]:
    begun_at = BEGUN_AT + timedelta(seconds=after_s)
    return {
        "name": name,
        "context": {"trace_id": "t-1", "span_id": name},
        "parent_id": None,
        "status_code": "OK",
        "status_message": "",
        "start_time": begun_at.isoformat(),
        "end_time": (begun_at + timedelta(seconds=1.5)).isoformat(),
        "attributes": {"saga.id": "s-1"},
        "events": [{"name": "saga.retry"}],
    }


class TwoPages(BaseHTTPRequestHandler):
    """Answers as Phoenix does, the last span first, and notes what it was asked."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        ASKED.append(asked)
        is_last = "cursor" in asked
        page = {
            "data": [a_row("first", 0)] if is_last else [a_row("third", 2), a_row("second", 1)],
            "next_cursor": None if is_last else "p=2",
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def traces() -> Iterator[Traces]:
    ASKED.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), TwoPages) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Traces(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_a_trace_is_read_to_its_last_page_and_told_from_its_beginning(traces: Traces) -> None:
    spans = traces.read("t-1").spans
    assert [span.name for span in spans] == ["first", "second", "third"]
    assert [(span.parent_id, span.duration_s, span.events) for span in spans] == [
        ("", 1.5, ("saga.retry",))
    ] * 3
    assert [asked.get("cursor") for asked in ASKED] == [None, ["p=2"]]
    assert {tuple(asked["trace_id"]) for asked in ASKED} == {("t-1",)}


def test_a_trace_is_found_by_what_its_spans_say(traces: Traces) -> None:
    assert traces.find("saga PlaceOrder", {"saga.id": "12"}) == {"t-1"}
    # In quotes, for it is text, whatever it looks like.
    assert ASKED[0]["attribute"] == ['saga.id:"12"']
    assert ASKED[0]["name"] == ["saga PlaceOrder"]
