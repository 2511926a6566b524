"""Spans of ours, noted while sagas run and made by the library in the thread that sends.

To make one takes the library some 30 microseconds, and more than twice that where it is seldom done between
much else, as where one saga of a hundred is recorded. A batch is made at one go, and no saga pays for it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from coordinator.adapters.opentelemetry.ids import ChosenIds

SCOPE: Final = "saga.coordinator"
"""Of spans and metrics alike: who made them."""
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

Attributes = dict[str, AttributeValue]


class _Event(NamedTuple):
    name: str
    attributes: Attributes | None
    at_ns: int


class Draft:
    """What is said of a span. Times are nanoseconds since the epoch."""

    __slots__ = (
        "_keep",
        "attributes",
        "context",
        "ended_ns",
        "events",
        "has_failed",
        "kind",
        "links",
        "name",
        "parent",
        "started_ns",
    )

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Attributes,
        keep: Callable[["Draft"], None],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        started_ns: int | None = None,
    ) -> None:
        """*keep* gets it when it has ended. It begins now, if nothing else is said."""
        self.name: Final = name
        self.context: Final = context
        self.parent: Final = parent
        self.attributes: Final = attributes
        self.kind: Final = kind
        self.links: Final = links
        self.events: Final[list[_Event]] = []
        self.has_failed = False
        self.started_ns: Final = time.time_ns() if started_ns is None else started_ns
        self.ended_ns: int | None = None
        self._keep = keep

    def add_event(self, name: str, attributes: Attributes | None = None, at_ns: int | None = None) -> None:
        """That something happened within it, now if nothing else is said."""
        self.events.append(_Event(name, attributes, time.time_ns() if at_ns is None else at_ns))

    def fail(self) -> None:
        """What it stands for is an error."""
        self.has_failed = True

    def end(self, at_ns: int | None = None) -> None:
        """It is over, now if nothing else is said: nothing more is said of it."""
        ended_ns = time.time_ns() if at_ns is None else at_ns
        # The machine's clock may have been set back meanwhile.
        self.ended_ns = max(ended_ns, self.started_ns)
        self._keep(self)


class Maker:
    """Lets the library make spans, with the limits that the environment sets."""

    def __init__(self, resource: Resource) -> None:
        self._ids = ChosenIds()
        # What is not to be recorded was never noted.
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)

    def made(self, draft: Draft) -> ReadableSpan:
        """The span of *draft*, which has ended."""
        self._ids.trace_id, self._ids.span_id = draft.context.trace_id, draft.context.span_id
        parent = Context()
        if draft.parent is not None:
            parent = set_span_in_context(NonRecordingSpan(draft.parent), parent)
        span = self._tracer.start_span(
            draft.name,
            parent,
            draft.kind,
            attributes=draft.attributes,
            links=draft.links,
            start_time=draft.started_ns,
        )
        for event in draft.events:
            span.add_event(event.name, event.attributes, event.at_ns)
        if draft.has_failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(draft.ended_ns)
        assert isinstance(span, ReadableSpan)
        return span
