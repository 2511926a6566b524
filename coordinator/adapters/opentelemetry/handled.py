"""The call that is being handled, as those see it who follow it: its place in a trace, and its span if it is
recorded.
"""

from contextvars import ContextVar
from typing import Final

from opentelemetry.trace import INVALID_SPAN, Span, get_current_span

from coordinator.adapters.opentelemetry.drafts import Draft

handled: Final[ContextVar[str | Draft | None]] = ContextVar("handled", default=None)
"""The call that is being handled. A text: nobody records it, and it is there in its caller's trace, or in
none (""). A span of ours: it is an entry of a stream. None: the library's current span is that of the call,
if it is one."""


def handled_span() -> Span | Draft:
    """That of the call that is being handled, if it is recorded; else one that says so."""
    call = handled.get()
    if call is None:
        return get_current_span()
    # The server may have been started within a span, which is no call's.
    return INVALID_SPAN if isinstance(call, str) else call
