"""A trace viewer on this machine: Phoenix as a child process, and what it has to show.

It serves on a free port of 127.0.0.1, keeps everything in memory and in one folder that its caller removes,
and asks nobody on the internet for anything.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from scripts.cluster import ROOT, NotReady, Process

PYTHON: Final = ROOT / ".venv-viewer" / "bin" / "python"
# It imports for ten seconds on an idle machine, and for half a minute on a new or a busy one.
START_TIMEOUT_S: Final = 120.0
ANSWER_TIMEOUT_S: Final = 30.0
PAGE_SPANS: Final = 1000

_SERVES: Final = re.compile(r"Uvicorn running on (http://\S+)")


@dataclass(frozen=True, slots=True)
class Span:
    """What Phoenix keeps of a span. It drops kinds, links and the sender's resource, so they are not here."""

    name: str
    span_id: str
    parent_id: str
    """Empty: it has none."""
    status: str
    """UNSET, OK or ERROR."""
    status_message: str
    started_at: datetime
    duration_s: float
    attributes: Mapping[str, object]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """All spans of one trace that have arrived, in the order in which they began."""

    trace_id: str
    spans: tuple[Span, ...]

    def tree(self) -> Iterator[tuple[int, Span]]:
        """Each span with its depth, behind its parent. A span whose parent never arrived is a root."""
        known = {span.span_id for span in self.spans}
        below: dict[str, list[Span]] = {}
        for span in self.spans:
            below.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
        waiting = [(0, span) for span in reversed(below.get("", []))]
        while waiting:
            depth, span = waiting.pop()
            yield depth, span
            waiting += [(depth + 1, child) for child in reversed(below.get(span.span_id, []))]


class Traces:
    """What a running viewer has, asked over its REST API."""

    def __init__(self, address: str) -> None:
        self._address = address

    def find(self, name: str, attributes: Mapping[str, str]) -> set[str]:
        """The ids of the traces that have a span of that name with those attributes."""
        wanted = (f"{key}:{json.dumps(value)}" for key, value in attributes.items())
        query = [("name", name), *(("attribute", each) for each in wanted)]
        return {row["context"]["trace_id"] for row in self._rows(query)}

    def read(self, trace_id: str) -> Trace:
        """What has arrived of a trace; no spans where none has."""
        spans = (_to_span(row) for row in self._rows([("trace_id", trace_id)]))
        return Trace(trace_id, tuple(sorted(spans, key=lambda span: span.started_at)))

    def page(self, trace_id: str) -> str:
        """The address of the trace's page, for a browser."""
        return f"{self._address}/redirects/traces/{trace_id}"

    def _rows(self, query: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            page = [*query, ("limit", str(PAGE_SPANS)), *([("cursor", cursor)] if cursor else [])]
            answer = self._get(f"/v1/projects/default/spans?{urlencode(page)}")
            yield from answer["data"]
            cursor = answer["next_cursor"]

    def _get(self, path: str) -> Any:
        try:
            with urlopen(self._address + path, timeout=ANSWER_TIMEOUT_S) as answer:
                return json.load(answer)
        except (URLError, TimeoutError) as error:
            raise NotReady(f"the viewer at {self._address} does not answer: {error}") from error


class Viewer:
    """The process, and how others send their spans to it."""

    def __init__(self, folder: Path) -> None:
        """*folder* is where it keeps its log and whatever else it writes."""
        self._folder = folder
        self._process: Process | None = None
        self.address = ""
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; returns when it serves.

        Raises:
            NotReady: its environment is missing, or it did not start; leaving the `with` block ends it.
        """
        if not PYTHON.exists():
            raise NotReady("the viewer's environment is not here: make it with 'make viewer'")
        environment = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": "0",
            "PHOENIX_SQL_DATABASE_URL": "sqlite:///:memory:",
            "PHOENIX_WORKING_DIR": str(self._folder),
            "TMPDIR": str(self._folder),
            # No web fonts, no pixels that count visitors, no downloads.
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
            "PHOENIX_TELEMETRY_ENABLED": "false",
            # What else it can do takes time to start, and nobody looks at it here.
            "PHOENIX_ALLOWED_SANDBOX_PROVIDERS": "NONE",
            "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
            "PHOENIX_ENABLE_MCP_SERVER": "false",
        }
        self._process = Process(
            "the trace viewer",
            ["scripts.viewer_main", "serve"],
            environment=environment,
            log=self._folder / "viewer.log",
            python=PYTHON,
            is_quiet=True,
        )
        self.address = self._process.await_logged(_SERVES, START_TIMEOUT_S)

    def stop(self) -> None:
        """End it, and forget every trace."""
        if self._process is not None:
            self._process.stop()

    @property
    def traces(self) -> Traces:
        """What has arrived."""
        return Traces(self.address)

    @property
    def spans_endpoint(self) -> str:
        """Where it takes spans, OTLP in protobuf over HTTP."""
        return f"{self.address}/v1/traces"

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes a process send all its spans here, and nothing else anywhere."""
        return {
            "OTEL_SDK_DISABLED": "false",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": self.spans_endpoint,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            # At once: what a process that is killed had not sent yet is lost.
            "OTEL_BSP_SCHEDULE_DELAY": "10",
            "OTEL_METRICS_EXPORTER": "none",
        }


def _to_span(row: Mapping[str, Any]) -> Span:
    started_at, ended_at = (datetime.fromisoformat(row[key]) for key in ("start_time", "end_time"))
    return Span(
        name=row["name"],
        span_id=row["context"]["span_id"],
        parent_id=row["parent_id"] or "",
        status=row["status_code"],
        status_message=row["status_message"],
        started_at=started_at,
        duration_s=(ended_at - started_at).total_seconds(),
        attributes=row["attributes"],
        events=tuple(event["name"] for event in row["events"]),
    )
