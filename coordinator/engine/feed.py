"""News of sagas for those who wait in this process. Only what is durable is published here."""

import asyncio

from coordinator.domain.errors import Draining
from coordinator.domain.ids import SagaId
from coordinator.domain.summary import SagaSummary


class News:
    """One waiter's view of one saga: the newest summary, older ones are skipped."""

    def __init__(
        self, listeners: "dict[SagaId, dict[News, None]]", saga_id: SagaId, *, at_rest: bool
    ) -> None:
        """*listeners* are all that the feed tells: among them from entering this to leaving it."""
        self._listeners = listeners
        self._saga_id = saga_id
        self._at_rest = at_rest
        self._waiting: asyncio.Future[None] | None = None
        self._latest: SagaSummary | None = None
        self._closed = False

    def __enter__(self) -> "News":
        self._listeners.setdefault(self._saga_id, {})[self] = None
        return self

    def __exit__(self, *_: object) -> None:
        of_saga = self._listeners[self._saga_id]
        del of_saga[self]
        if not of_saga:
            del self._listeners[self._saga_id]

    async def next(self, *, timeout_s: float | None = None) -> SagaSummary:
        """Wait for a summary that is newer than the last one taken.

        Raises:
            TimeoutError: there was none for *timeout_s*.
            Draining: this coordinator shuts down and will publish no more.
        """
        if self._latest is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            # An alarm of our own: what asyncio has for it costs each saga twice as much.
            alarm = None if timeout_s is None else loop.call_later(timeout_s, self._wake)
            try:
                await self._waiting
            finally:
                if alarm is not None:
                    alarm.cancel()
        if self._latest is None:
            if not self._closed:
                raise TimeoutError
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

    def listen(self, saga_id: SagaId, *, at_rest: bool = False) -> News:
        """Hear of *saga_id* from entering on, or only (*at_rest*) when no automatic work is left. Read the
        saga's state after entering, so that nothing is missed."""
        news = News(self._listeners, saga_id, at_rest=at_rest)
        if self._closed:
            news._close()
        return news

    def close(self) -> None:
        """Wake every waiter: there will be no more news."""
        self._closed = True
        for listeners in self._listeners.values():
            for news in listeners:
                news._close()
