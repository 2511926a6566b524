"""What answers on the HTTP port, and what one connection may take of it.

They are few and short, requests are small, and the connection that was silent longest makes room for a new
one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from coordinator.api.http import CONNECTIONS_MAX

ANSWER_S: Final = 10.0
"""What a connection has from its opening, or its last answer, to its next answer; then it is cut."""
IDLE_S: Final = 5
REQUEST_BYTES_MAX: Final = 8 << 10
"""Of the request line and the headers. A body is not read."""


class HttpServer(uvicorn.Server):
    """The process's signals are not its own."""

    def __init__(
        self,
        page: Callable[[str], Awaitable[tuple[bytes, str]]],
        alive: Callable[[], tuple[str, int]],
        ready: Callable[[], tuple[str, int]],
    ) -> None:
        """*page* makes the metrics and their content type, for what a request accepts; the others tell the
        word and the status that a probe is answered."""

        async def metrics(request: Request) -> Response:
            text, content_type = await page(", ".join(request.headers.getlist("accept")))
            # Not as `media_type`: that would add a charset of its own.
            return Response(text, headers={"content-type": content_type})

        async def healthz(request: Request) -> Response:
            return _word(*alive())

        async def readyz(request: Request) -> Response:
            return _word(*ready())

        app = Starlette(
            routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]
        )
        # It would lead a caller to wherever the header Host says.
        app.router.redirect_slashes = False
        super().__init__(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=CONNECTIONS_MAX,
                timeout_keep_alive=IDLE_S,
                h11_max_incomplete_event_size=REQUEST_BYTES_MAX,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def cut(self) -> None:
        """End at once, whatever is under way."""
        self.force_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class _Connection(H11Protocol):
    """One connection. The library times only the pause after an answer: not a request that never comes or
    never ends, and not an answer that is never read."""

    since = 0.0
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_limit()
        if len(self.connections) > CONNECTIONS_MAX:
            oldest: Any = min(self.connections, key=lambda connection: getattr(connection, "since", 0.0))
            # At once, and not when the loop gets to it: the next one may be here before that.
            self.connections.discard(oldest)
            oldest.transport.abort()

    def on_response_complete(self) -> None:
        self._begin_limit()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def _begin_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self.since = self.loop.time()
        self._limit = self.loop.call_later(ANSWER_S, self.transport.abort)


def _word(word: str, status: int = 200) -> Response:
    return PlainTextResponse(f"{word}\n", status)
