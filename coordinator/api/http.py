"""The HTTP port: metrics and probes, for machines. It reads, runs no saga, and owns no number it shows.

Whoever connects is a stranger. None of it takes files or time from the gRPC port.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Literal

from coordinator.domain.errors import StartupFailed

if TYPE_CHECKING:
    from coordinator.api.http_server import HttpServer

CONNECTIONS_MAX: Final = 64
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
        self._server: HttpServer | None = None

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
        # Loaded here, because it takes its time, and nobody pays for a port that is off.
        from coordinator.api.http_server import HttpServer

        self._server = HttpServer(self._page, alive=self._alive, ready=self._ready)
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
        if self._task is None or self._server is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait([self._task], timeout=min(grace_s, SETTLE_S))
        if not done:
            self._server.cut()
            await asyncio.wait([self._task])

    def _alive(self) -> tuple[str, int]:
        """That this is answered shows that the event loop runs."""
        return ("failed", 503) if self._has_failed() else ("ok", 200)

    def _ready(self) -> tuple[str, int]:
        if self._has_failed():
            return "failed", 503
        return self._standing, 200 if self._standing == "ready" else 503

    def _let_go(self) -> None:
        for one in self._sockets:
            one.close()
        self._sockets.clear()


def _refused(listen: str, why: str) -> StartupFailed:
    return StartupFailed(f"cannot serve metrics and probes at {listen!r} (SAGA_HTTP_LISTEN): {why}")


def _tell_why(task: asyncio.Task[None]) -> None:
    """A port for machines that watch us is no reason to stop what they watch."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the HTTP port stopped", exc_info=error)
