"""News of sagas for those who wait in this process. Only what is durable is published here."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from coordinator.domain.errors import Draining
from coordinator.domain.ids import SagaId
from coordinator.domain.summary import SagaSummary


class News:
    """One waiter's view of one saga: the newest summary, older ones are skipped."""

    def __init__(self, *, at_rest: bool) -> None:
        self._at_rest = at_rest
        self._waiting: asyncio.Future[None] | None = None
        self._latest: SagaSummary | None = None
        self._closed = False

    async def next(self) -> SagaSummary:
        """Wait for a summary that is newer than the last one taken.

        Raises:
            Draining: this coordinator shuts down and will publish no more.
        """
        if self._latest is None and not self._closed:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._latest is None:
            raise Draining("the coordinator is shutting down; ask again, the saga goes on")
        latest, self._latest = self._latest, None
        return latest

    def _tell(self, summary: SagaSummary) -> None:
        if self._at_rest and summary.status.is_open:
            return
        self._latest = summary
        self._wake()

    def _close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Feed:
    """Who waits for which saga: those who came first are told first."""

    def __init__(self) -> None:
        self._listeners: dict[SagaId, dict[News, None]] = {}
        self._closed = False

    def publish(self, summary: SagaSummary) -> None:
        """Tell everybody who waits for this saga."""
        for news in self._listeners.get(summary.id, ()):
            news._tell(summary)

    @contextmanager
    def listen(self, saga_id: SagaId, *, at_rest: bool = False) -> Iterator[News]:
        """Hear of *saga_id* from here on, or only (*at_rest*) when no automatic work is left. Read the saga's
        state after entering, so that nothing is missed."""
        news = News(at_rest=at_rest)
        if self._closed:
            news._close()
        listeners = self._listeners.setdefault(saga_id, {})
        listeners[news] = None
        try:
            yield news
        finally:
            del listeners[news]
            if not listeners and self._listeners.get(saga_id) is listeners:
                del self._listeners[saga_id]

    def close(self) -> None:
        """Wake every waiter: there will be no more news."""
        self._closed = True
        for listeners in self._listeners.values():
            for news in listeners:
                news._close()
