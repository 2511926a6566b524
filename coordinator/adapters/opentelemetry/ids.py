"""Places in a trace: how they are written, and which ids our own spans have."""

import hashlib
from typing import Final

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags

from coordinator.domain.ids import IdempotencyKey
from coordinator.domain.trace import TraceContext

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class ChosenIds(RandomIdGenerator):
    """Ids by chance, but for that of a trace that is about to be begun: it was known before it."""

    def __init__(self) -> None:
        self.trace_id: int | None = None
        """Of the next trace that is begun, and no other."""

    def generate_trace_id(self) -> int:
        chosen, self.trace_id = self.trace_id, None
        return super().generate_trace_id() if chosen is None else chosen


def written(context: SpanContext) -> str:
    """As a `traceparent`."""
    return str(
        TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled)
    )


def unrecorded_place(trace_id: int, span_id: int) -> str:
    """A place in a trace that nobody records, as a `traceparent`."""
    return f"00-{trace_id:032x}-{span_id:016x}-00"


def span_context(trace_id: int, span_id: int) -> SpanContext:
    """A place in a trace that is recorded, as the library has it."""
    return SpanContext(trace_id, span_id, False, _SAMPLED)


def execute_span_id(trace: str, key: IdempotencyKey, number: int) -> int:
    """The id of the span of a step's Execute number *number*, in the saga's *trace*: what undoes it can link
    to it, also after a restart, while the journal keeps nothing of it."""
    text = f"{trace[3:35]}/{trace[36:52]}/{key}/{number}"
    # As the journal does for each record: what is seldom run takes several times as long.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1
