"""The port, and that it stays open.

Where gRPC (1.85) takes calls it reads the names of their methods, and one that is no UTF-8 ends that: the
port is closed for good, while the process seems well; or the process dies, since what asks gRPC's core for
the next calls is freed while the core still writes there. One packet of anybody who reaches the port is
enough. So what asks is kept until it has its answer, and the port is opened again.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from grpc import aio
from grpc._cython import cygrpc

LOOK_S: Final = 0.1
"""How often it is looked whether calls are still taken."""
REOPEN_S: Final = 5.0
"""How long the address of a server that has ended may be taken until it can be had again."""

_log = logging.getLogger(__name__)


class _KeptServer(cygrpc.AioServer):  # type: ignore[misc]  # it has no types
    """Keeps what asks the core for calls, also where all that takes them has ended."""

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Future[Any]":
        asked: asyncio.Task[Any] = super()._make_request_call_future(method)
        _ASKED.add(asked)
        asked.add_done_callback(_answered)
        return asyncio.shield(asked)


def _answered(asked: "asyncio.Task[Any]") -> None:
    _ASKED.discard(asked)
    if not asked.cancelled():
        asked.exception()  # when a server ends all of them have one, and nobody else would look at it


_ASKED: Final[set["asyncio.Task[Any]"]] = set()
cygrpc.AioServer = _KeptServer


class Listener:
    """A server, and the next one where it has ended by itself: what is under way there runs on."""

    def __init__(self, make: Callable[[], aio.Server]) -> None:
        """*make* gives a server of all that is served, which has no address yet."""
        self._make = make
        self._server = make()
        self._address = ""
        self._guard: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self.failed: Final[asyncio.Future[str]] = asyncio.get_running_loop().create_future()
        """Has a sentence once no calls can be taken any more."""

    def open(self, address: str) -> str:
        """Take *address*, and say which it is where any port will do.

        Raises:
            RuntimeError: it cannot be had.
        """
        port = self._server.add_insecure_port(address)
        host, _, _ = address.rpartition(":")
        self._address = address if address.startswith("unix:") else f"{host}:{port}"
        return self._address

    async def start(self) -> None:
        """Take calls, until `stop`."""
        await self._server.start()
        self._guard = asyncio.create_task(self._keep_open(), name="keep the port open")

    async def stop(self, grace_s: float | None) -> None:
        """Take no more calls, and abort those that are not over after *grace_s*."""
        for task in (self._guard, *self._leaving):
            if task is not None:
                task.cancel()
        await self._server.stop(grace_s)

    async def _keep_open(self) -> None:
        while True:
            try:
                # Without a time it would wait for the calls that are under way first.
                while await self._server.wait_for_termination(timeout=LOOK_S):
                    pass
                return  # it was told to stop
            except Exception as error:
                # What the caller sent is not repeated.
                what = type(error).__name__
                _log.error("gRPC takes no calls any more (%s): its port is opened again", what)
            leaving = asyncio.create_task(_let_end(self._server))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            try:
                async with asyncio.timeout(REOPEN_S):
                    await self._open_again()
            except TimeoutError:
                self.failed.set_result(f"the address {self._address} could not be had again")
                return

    async def _open_again(self) -> None:
        self._server = self._make()
        while True:
            try:
                self._server.add_insecure_port(self._address)
            except RuntimeError:
                await asyncio.sleep(LOOK_S)  # it is being closed
            else:
                await self._server.start()
                return


async def _let_end(server: aio.Server) -> None:
    """Give back what belongs to a *server* that takes no calls, once those that it has are over."""
    with suppress(Exception):  # it says once more what has ended it
        await server.wait_for_termination()
    with suppress(Exception):
        await server.stop(None)
