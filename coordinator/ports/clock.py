"""Time and chance, so that both can be simulated."""

from typing import Protocol

from coordinator.domain.ids import SagaId


class Clock(Protocol):
    """The one source of time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. Never less than it answered before in this process.

        An earlier process may have been told a later time: see `SagaClock` in engine/timers.py.
        """
        ...


class Chance(Protocol):
    """The one source of chance."""

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def saga_id(self) -> SagaId:
        """A new id, ordered by time (UUIDv7, RFC 9562)."""
        ...
