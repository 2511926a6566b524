"""Which traces are recorded, known without asking the library's sampler at each call.

Each sampler that can be chosen takes the trace ids whose low half is below a bound. Which bound depends on
whether there is a caller and whether that one's trace is recorded, and on nothing else. So each of the three
is asked for once.
"""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from coordinator.domain.trace import TraceContext

_LOW_HALVES: Final = 1 << 64


class Bounds:
    """Those of one sampler."""

    def __init__(self, sampler: Sampler) -> None:
        self._alone = _bound(sampler, Context())
        self._under_recorded = _bound(sampler, under_caller(TraceContext("1" * 32, "1" * 16, True)))
        self._under_unrecorded = _bound(sampler, under_caller(TraceContext("1" * 32, "1" * 16, False)))

    def take(self, trace_id: int, caller: TraceContext | None) -> bool:
        """Whether a call is recorded that *caller* made; None: somebody whom nobody follows."""
        if caller is None:
            bound = self._alone
        else:
            bound = self._under_recorded if caller.sampled else self._under_unrecorded
        return trace_id % _LOW_HALVES < bound


def place_of(caller: TraceContext) -> SpanContext:
    """Where *caller* is, who is another process."""
    flags = TraceFlags(TraceFlags.SAMPLED if caller.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(caller.trace_id, 16), int(caller.span_id, 16), True, flags)


def under_caller(caller: TraceContext, context: Context | None = None) -> Context:
    """*context*, with *caller* as the parent of what is begun next."""
    parent = NonRecordingSpan(place_of(caller))
    return set_span_in_context(parent, Context() if context is None else context)


def _bound(sampler: Sampler, parent: Context) -> int:
    """The first low half that *sampler* leaves out."""
    low, high = 0, _LOW_HALVES
    while low < high:
        middle = (low + high) // 2
        # Above the low half it may be anything but nothing: an id of zeros only is none.
        decision = sampler.should_sample(parent, _LOW_HALVES | middle, "call").decision
        low, high = (low, middle) if decision is Decision.DROP else (middle + 1, high)
    return low
