"""What the engine tells whoever follows single sagas from outside, in a trace viewer.

A trace is named by text, a `traceparent` of W3C Trace Context; "" where nobody follows: of a saga without
one nothing is told. Only what is durable is told as having happened. Called on the event loop: each verb
returns at once and never raises.
"""

from typing import Protocol

from coordinator.domain.events import Event
from coordinator.domain.outcomes import Answer
from coordinator.domain.saga import Saga
from coordinator.domain.summary import SagaSummary
from coordinator.ports.participants import Call


class Attempt(Protocol):
    """One call to a participant. It ends in exactly one of two ways: `settled` or `abandoned`."""

    @property
    def trace(self) -> str:
        """The trace that the participant goes on with."""
        ...

    def answered(self, answer: Answer) -> None:
        """The call is over at this moment."""
        ...

    def settled(self, event: Event, saga: Saga) -> None:
        """What the answer amounted to is durable; *saga* is how it stands after that."""
        ...

    def abandoned(self) -> None:
        """Its answer has no say, or never came. Nothing happens if it is settled."""
        ...


class Tracing(Protocol):
    """One saga is one trace, from its caller through every attempt, whoever drives it."""

    def begin(self) -> str:
        """The trace of a saga that is about to be made durable, within that of the call being handled; ""
        where nobody records it, and its caller is in none."""
        ...

    def unrecorded(self, trace: str) -> str:
        """The place in *trace*, which is a saga's, for calls that nobody records; "" where nothing is
        followed here."""
        ...

    def started(self, saga: Saga) -> None:
        """The saga whose trace `begin` made is durable. Told in the context of the call that asked for it."""
        ...

    def concerns(self, trace: str) -> None:
        """The call being handled concerns the saga with this trace, which another call began."""
        ...

    def attempt(self, saga: Saga, call: Call) -> Attempt | None:
        """*call* is about to be sent; None where nobody records it."""
        ...

    def happened(self, saga: Saga, event: Event) -> None:
        """*event*, which no call brought about, is durable; *saga* is how it stands after that."""
        ...

    def rested(self, summary: SagaSummary) -> None:
        """No automatic work is left."""
        ...
