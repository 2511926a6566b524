"""Sagas that were found in the journal and wait for a moment that has not come.

One task wakes all of them: there may be a hundred thousand, and each costs no more than what is known of it.
"""

from collections.abc import Callable, Iterator

from coordinator.domain.ids import SagaId
from coordinator.engine.timers import SagaClock, sleep_until
from coordinator.ports.clock import Clock
from coordinator.ports.journal import OpenSaga


class Sleepers:
    """Those that sleep. Who is awake is somebody else's."""

    def __init__(self, clock: Clock, wake: Callable[[OpenSaga], None]) -> None:
        """They were found now; *wake* takes one up."""
        self._clock = clock
        self.found_at = clock.now()
        self._wake = wake
        self._sleeping: dict[SagaId, OpenSaga] = {}

    def __len__(self) -> int:
        return len(self._sleeping)

    def __iter__(self) -> Iterator[tuple[SagaId, float | None]]:
        """Each with the moment at which it is due."""
        return ((saga_id, saga.due_at) for saga_id, saga in self._sleeping.items())

    def __contains__(self, saga_id: SagaId) -> bool:
        return saga_id in self._sleeping

    def clock_of(self, updated_at: float) -> SagaClock:
        """The own time of a saga that was found with a newest record of *updated_at*: it goes on while it
        sleeps."""
        return SagaClock(self._clock, updated_at, since=self.found_at)

    def add(self, saga: OpenSaga) -> bool:
        """Let *saga* sleep until it is due; False where it is due now."""
        if saga.due_at is None or saga.due_at <= self.clock_of(saga.updated_at).now():
            return False
        self._sleeping[saga.saga_id] = saga
        return True

    def take(self, saga_id: SagaId) -> OpenSaga | None:
        """The saga, if it slept until now: its caller takes it up."""
        return self._sleeping.pop(saga_id, None)

    def rouse(self, saga_id: SagaId) -> None:
        """Wake the saga now, if it sleeps."""
        if (saga := self.take(saga_id)) is not None:
            self._wake(saga)

    async def wake_when_due(self) -> None:
        """Wake each of those that sleep by now when it is due."""
        by_due = sorted((self._due_at(saga), saga_id) for saga_id, saga in self._sleeping.items())
        for _, saga_id in by_due:
            if (saga := self._sleeping.get(saga_id)) is not None:
                await sleep_until(self.clock_of(saga.updated_at), saga.due_at or 0.0)
                self.rouse(saga_id)

    def _due_at(self, saga: OpenSaga) -> float:
        """By the clock of this coordinator, which some of them are ahead of."""
        return (saga.due_at or 0.0) - max(saga.updated_at - self.found_at, 0.0)
