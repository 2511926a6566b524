"""Spans as an exporter gets them, for tests of who makes which."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from coordinator.adapters.opentelemetry.drafts import Maker
from coordinator.adapters.opentelemetry.ids import ChosenIds
from coordinator.adapters.opentelemetry.notebook import Notebook


def raised(error: Exception) -> NoReturn:
    """In place of losing a span: here it is a bug."""
    raise error


class Recorded:
    """A tracer provider, and what came out of it, oldest end first."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.ids = ChosenIds()
        self.provider = TracerProvider(sampler=sampler, id_generator=self.ids, shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        self._processor = SimpleSpanProcessor(self._exporter)
        self.provider.add_span_processor(self._processor)
        self._maker = Maker(self.provider.resource)
        self._notebook = Notebook(lambda draft: self._processor.on_end(self._maker.made(draft)), raised)
        self.note = self._notebook.note

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        self._notebook.write_up()
        return self._exporter.get_finished_spans()

    def one(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def text(self) -> str:
        """All that left, as a console exporter writes it."""
        return "\n".join(span.to_json() for span in self.spans)


@contextmanager
def recording(sampler: Sampler | None = None) -> Iterator[Recorded]:
    """The process has an SDK while this lasts; the API itself lets a provider be set only once."""
    recorded = Recorded(sampler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "get_tracer_provider", lambda: recorded.provider)
        yield recorded


def header(span: ReadableSpan) -> str:
    """The `traceparent` that makes a peer its child."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def parent(span: ReadableSpan) -> str | None:
    """The parent's `traceparent`."""
    if span.parent is None:
        return None
    return f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-{int(span.parent.trace_flags):02x}"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(span.to_json())["attributes"]
    return found
