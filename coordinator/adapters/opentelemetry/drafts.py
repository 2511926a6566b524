"""Spans of ours, until they are made in the thread that sends.

To make one takes the library some 30 microseconds, and more than twice that where it is seldom done between
much else. A batch is made at one go, and no saga pays for it; nor does it for what the library looks at in
spans of strangers.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

SCOPE: Final = "saga.coordinator"
"""Of spans and metrics alike: who made them."""
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

Attributes = dict[str, AttributeValue]
_T = TypeVar("_T")
_UNSET: Final = Status()
_FAILED: Final = Status(StatusCode.ERROR)


class _Event(NamedTuple):
    name: str
    attributes: Attributes | None
    at_ns: int


class Draft:
    """What is said of a span. Times are nanoseconds since the epoch."""

    __slots__ = (
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
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        started_ns: int | None = None,
    ) -> None:
        """It begins now, if nothing else is said."""
        self.name: Final = name
        self.context: Final = context
        self.parent: Final = parent
        self.attributes: Final = attributes
        self.kind: Final = kind
        self.links = links
        self.events: Final[list[_Event]] = []
        self.has_failed = False
        self.started_ns: Final = time.time_ns() if started_ns is None else started_ns
        self.ended_ns: int | None = None

    def add_event(self, name: str, attributes: Attributes | None = None, at_ns: int | None = None) -> None:
        """That something happened within it, now if nothing else is said."""
        self.events.append(_Event(name, attributes, time.time_ns() if at_ns is None else at_ns))

    def set_attribute(self, name: str, value: AttributeValue) -> None:
        """What is said of it under that name, unless it has ended: a saga may become durable after its caller
        has left, and the thread that sends may be reading."""
        if self.ended_ns is None:
            self.attributes[name] = value

    def add_link(self, context: SpanContext) -> None:
        """That it has to do with the span there, unless it has ended."""
        if self.ended_ns is None:
            self.links = (*self.links, Link(context))

    def get_span_context(self) -> SpanContext:
        """Where it is in its trace."""
        return self.context

    def is_recording(self) -> bool:
        """Whether something more may be said of it."""
        return self.ended_ns is None

    def fail(self) -> None:
        """What it stands for is an error."""
        self.has_failed = True

    def end(self, at_ns: int | None = None) -> None:
        """It is over, now if nothing else is said: nothing more is said of it."""
        ended_ns = time.time_ns() if at_ns is None else at_ns
        # The machine's clock may have been set back meanwhile.
        self.ended_ns = max(ended_ns, self.started_ns)


class Maker:
    """Makes spans as the library would, with the limits that the environment sets."""

    def __init__(self, resource: Resource) -> None:
        """Raises ValueError where a limit is none."""
        self._resource = resource
        self._scope = InstrumentationScope(SCOPE, schema_url=SCHEMA_URL)
        self._limits = SpanLimits()

    def made(self, draft: Draft) -> ReadableSpan:
        """The span of *draft*, which has ended."""
        limits = self._limits
        return ReadableSpan(
            draft.name,
            draft.context,
            draft.parent,
            self._resource,
            _bounded(draft.attributes, limits.max_span_attributes, limits.max_span_attribute_length),
            [self._event(event) for event in _last(draft.events, limits.max_events)],
            [self._link(link) for link in _last(draft.links, limits.max_links)],
            draft.kind,
            status=_FAILED if draft.has_failed else _UNSET,
            start_time=draft.started_ns,
            end_time=draft.ended_ns,
            instrumentation_scope=self._scope,
        )

    def _event(self, event: _Event) -> Event:
        limits = self._limits
        attributes = event.attributes or {}
        kept = _bounded(attributes, limits.max_event_attributes, limits.max_attribute_length)
        return Event(event.name, kept, event.at_ns)

    def _link(self, link: Link) -> Link:
        limits = self._limits
        attributes = link.attributes or {}
        kept = _bounded(attributes, limits.max_link_attributes, limits.max_attribute_length)
        return Link(link.context, kept)


def _bounded(
    attributes: Mapping[str, AttributeValue], most: int | None, longest: int | None
) -> Mapping[str, AttributeValue]:
    # Ours are few, and the library would take most of its time to look at them all the same.
    if longest is None and (most is None or len(attributes) <= most):
        return attributes
    return BoundedAttributes(most, attributes, max_value_len=longest)


def _last(things: Sequence[_T], most: int | None) -> Sequence[_T]:
    return things if most is None else things[max(len(things) - most, 0) :]
