"""The HTTP port: metrics and probes, for machines. It reads, runs no saga, and owns no number it shows.

Whoever connects is a stranger: connections are few and short, requests small, and the connection that was
silent longest makes room for a new one. None of it takes files or time from the gRPC port.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from coordinator.domain.errors import StartupFailed

CONNECTIONS_MAX: Final = 64
ANSWER_S: Final = 10.0
"""What a connection has from its opening, or its last answer, to its next answer; then it is cut."""
IDLE_S: Final = 5
REQUEST_BYTES_MAX: Final = 8 << 10
"""Of the request line and the headers. A body is not read."""
SETTLE_S: Final = 1.0
"""What an answer under way has when the port stops."""

_log = logging.getLogger(__name__)


class HttpPort:
    """Bind, start, say that we serve, say that we drain, stop: in this order, each once."""

    def __init__(
        self, page: Callable[[str], Awaitable[tuple[bytes, str]]], *, has_failed: Callable[[], bool]
    ) -> None:
        """*page* makes the metrics and their content type, for what a request accepts."""
        self._page = page
        self._has_failed = has_failed
        self._standing: Literal["recovering", "ready", "draining"] = "recovering"
        self._sockets: list[socket.socket] = []
        self._task: asyncio.Task[None] | None = None
        app = Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
            ]
        )
        # It would lead a caller to wherever the header Host says.
        app.router.redirect_slashes = False
        self._server = _Server(
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

    async def bind(self, listen: str) -> str:
        """Take the address *listen* ("host:port", port 0 for any); return what was taken. Empty: none.

        Raises:
            StartupFailed: it cannot be had; the sentence says why.
        """
        if not listen:
            return ""
        host, _, port = listen.rpartition(":")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (OSError, ValueError) as error:  # a host that no name can be is a UnicodeError
            raise _refused(listen, getattr(error, "strerror", None) or "it is no host and port") from None
        refused: list[OSError] = []
        taken = int(port)
        for family, kind, protocol, _, address in found:
            one = socket.socket(family, kind, protocol)
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # All families of a host share the port, also where any free one was asked for.
                one.bind((address[0], taken, *address[2:]))
                one.listen(CONNECTIONS_MAX)
            except OSError as error:
                one.close()
                refused.append(error)
            else:
                self._sockets.append(one)
                taken = one.getsockname()[1]
        if any(error.errno == errno.EADDRINUSE for error in refused):
            self._let_go()
            raise _refused(listen, "the port is in use; stop what uses it or choose another")
        if not self._sockets:
            raise _refused(listen, refused[0].strerror or "the address cannot be had")
        return f"{host}:{taken}"

    def start(self) -> None:
        """Answer probes: alive, and not ready. Without an address nobody asks."""
        if not self._sockets:
            return
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets), name="http port")
        self._task.add_done_callback(_tell_why)

    def serving(self) -> None:
        """Recovery is done: say so."""
        self._standing = "ready"

    def draining(self) -> None:
        """Say that we are going. Metrics are shown until the end."""
        self._standing = "draining"

    async def stop(self, grace_s: float) -> None:
        """Take no new connections, let answers under way end for at most *grace_s*, then cut them."""
        if self._task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait([self._task], timeout=min(grace_s, SETTLE_S))
        if not done:
            self._server.force_exit = True
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await asyncio.wait([self._task])

    async def _metrics(self, request: Request) -> Response:
        page, content_type = await self._page(", ".join(request.headers.getlist("accept")))
        # Not as `media_type`: that would add a charset of its own.
        return Response(page, headers={"content-type": content_type})

    async def _healthz(self, request: Request) -> Response:
        """That this is answered shows that the event loop runs."""
        return _word("failed", 503) if self._has_failed() else _word("ok")

    async def _readyz(self, request: Request) -> Response:
        if self._has_failed():
            return _word("failed", 503)
        return _word(self._standing, 200 if self._standing == "ready" else 503)

    def _let_go(self) -> None:
        for one in self._sockets:
            one.close()
        self._sockets.clear()


class _Server(uvicorn.Server):
    """The process's signals are not its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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


def _refused(listen: str, why: str) -> StartupFailed:
    return StartupFailed(f"cannot serve metrics and probes at {listen!r} (SAGA_HTTP_LISTEN): {why}")


def _tell_why(task: asyncio.Task[None]) -> None:
    """A port for machines that watch us is no reason to stop what they watch."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the HTTP port stopped", exc_info=error)
