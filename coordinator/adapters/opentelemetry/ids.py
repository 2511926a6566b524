"""Places in a trace: how they are written, and which ids our own spans have."""

import hashlib
import random
from contextvars import ContextVar
from typing import Final

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags

from coordinator.domain.ids import IdempotencyKey
from coordinator.domain.trace import TraceContext


class Unrecorded:
    """A call that nobody records: the library knows nothing of it. Most have no caller who says where they
    are in a trace, and are nowhere before somebody asks."""

    __slots__ = ("_place", "_trace_id")

    def __init__(self, trace_id: int, place: str = "") -> None:
        """*place* is a `traceparent`; "": anywhere in the trace with that id, or in another one that nobody
        records."""
        self._trace_id = trace_id
        self._place = place

    def place(self, own: str = "") -> str:
        """Where it is, as a `traceparent`: at *own*, if it has been nowhere else and that is given."""
        if not self._place:
            self._place = own or unrecorded_place(self._trace_id, random.getrandbits(64) or 1)
        return self._place


unrecorded: Final[ContextVar[Unrecorded | None]] = ContextVar("unrecorded", default=None)
"""The call that is being handled, if nobody records it."""


class ChosenIds(RandomIdGenerator):
    """Ids by chance, but for those of a span that is about to be started: they were known before it."""

    def __init__(self) -> None:
        self.trace_id: int | None = None
        """Of the next trace that is begun, and no other."""
        self.span_id: int | None = None
        """Of the next span that is begun, and no other."""

    def generate_trace_id(self) -> int:
        chosen, self.trace_id = self.trace_id, None
        return super().generate_trace_id() if chosen is None else chosen

    def generate_span_id(self) -> int:
        chosen, self.span_id = self.span_id, None
        return super().generate_span_id() if chosen is None else chosen


def written(context: SpanContext) -> str:
    """As a `traceparent`."""
    return str(
        TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled)
    )


def unrecorded_place(trace_id: int, span_id: int) -> str:
    """A place in a trace that nobody records, as a `traceparent`."""
    return f"00-{trace_id:032x}-{span_id:016x}-00"


def span_context(trace_id: str, span_id: int) -> SpanContext:
    """A place in a trace that is recorded, as the library has it."""
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), span_id, is_remote=False, trace_flags=sampled)


def execute_span_id(context: TraceContext, key: IdempotencyKey, number: int) -> int:
    """The id of the span of a step's Execute number *number*: what undoes it can link to it, also after a
    restart, while the journal keeps nothing of it."""
    text = f"{context.trace_id}/{context.span_id}/{key}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1
