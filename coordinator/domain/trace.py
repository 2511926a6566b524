"""A place in a trace, as text: the `traceparent` of W3C Trace Context (Recommendation, level 1)."""

import re
from typing import Final

from coordinator.domain.values import frozen

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_OF_THIS_VERSION: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_SAMPLED: Final = 1
UNRECORDED: Final = "-00"
"""What the text of a place ends with whose trace is not recorded, and which was written here."""
RECORDED: Final = "-01"
"""The same, if it is recorded."""
_ID_DIGITS: Final = 32
"""Of a trace and of a UUID alike."""


@frozen
class TraceContext:
    """Ids in lower-case hexadecimal, 32 and 16 digits. `sampled`: whether the trace is recorded."""

    trace_id: str
    span_id: str
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"


def parse_trace(text: str) -> TraceContext | None:
    """What *text* names; None where it is empty, or breaks a rule of the recommendation (3.2.2)."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    # A later version may have more behind it, this one may not.
    if version == "ff" or (version == "00" and more is not None):
        return None
    if trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def recorded_trace(text: str) -> TraceContext | None:
    """The place that *text* names, which was written here, if its trace is recorded."""
    # Most are not, and end so: that is seen at a glance.
    if not text or text.endswith(UNRECORDED):
        return None
    context = parse_trace(text)
    return context if context is not None and context.sampled else None


def unsampled(text: str) -> str:
    """The place that *text* names, which was written here, for those who are not to record it either."""
    return text[: -len(UNRECORDED)] + UNRECORDED


def own_trace(saga_id: str) -> str:
    """A place for a saga that nobody has given one, and nobody records: its ids follow from the saga's, so
    that nobody has to keep them. Empty where that is no UUID."""
    digits = saga_id.replace("-", "")
    return f"00-{digits}-{digits[_ID_DIGITS // 2 :]}{UNRECORDED}" if len(digits) == _ID_DIGITS else ""


def trace_ids(text: str) -> tuple[str, str] | None:
    """The trace id and the span id of *text*, for those who ask once; None where it was not written here."""
    match = _OF_THIS_VERSION.fullmatch(text)
    return None if match is None else (match[1], match[2])
