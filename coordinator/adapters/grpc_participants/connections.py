"""What leads to one service: a channel, and another one in its place once nothing is heard on it.

A connection can be dead without either end knowing: a firewall has forgotten it, or whoever is in between
takes what it is given and passes nothing on. TCP finds the one out after ten seconds, gRPC the other after
minutes; by then a step has no attempts left, though a new connection would have served the next one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
import grpc.aio

from coordinator.loopback import direct

CONNECT_TIMEOUT_S: Final = 5.0
"""Calls wait for it, each until its own deadline; when it is over they are told that nobody is there."""
TRUSTED_S: Final = 5.0
"""A channel that is younger is not replaced: who answers nobody in time is slow more often than cut off."""

_METHODS: Final = "/saga.v1.ParticipantService/"
_OWN_CONNECTION: Final = ("grpc.use_local_subchannel_pool", 1)
# Calls have deadlines of their own, and streams end with their last call: this one ends what has neither.
_OLD_CHANNEL_S: Final = 86_400.0

_Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
_Stream = grpc.aio.StreamStreamMultiCallable[bytes, bytes]

_log = logging.getLogger(__name__)


class Line:
    """One channel, with the methods that are called over it."""

    def __init__(self, target: str, options: Sequence[tuple[str, Any]]) -> None:
        self.channel: Final = grpc.aio.insecure_channel(target, options=[*options, *direct(target)])
        self.execute: Final[_Method] = self.channel.unary_unary(_METHODS + "Execute")
        self.compensate: Final[_Method] = self.channel.unary_unary(_METHODS + "Compensate")
        self.describe: Final[_Method] = self.channel.unary_unary(_METHODS + "Describe")
        self.perform: Final[_Stream] = self.channel.stream_stream(_METHODS + "Perform")
        self.opened_at: Final = _now()
        self.heard_at = self.opened_at
        """When a call over it that was no stream was last answered, by the clock of the event loop."""


class Connection:
    """The way to one service."""

    def __init__(self, service: str, target: str, options: Sequence[tuple[str, Any]]) -> None:
        self._service = service
        self.target: Final = target
        self._options = options
        self.line = Line(target, options)
        """What to call over. It changes."""
        self._lines = [self.line]
        self._is_replacing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.replaced: Callable[[], None] = lambda: None
        """Called when another line is used from then on: what was opened over the other stays with that."""

    def open_stream(self) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
        """A stream of calls."""
        return self.line.perform()

    def doubt(self) -> None:
        """Nothing at all was heard for as long as a call was waited for: see whether a new connection can be
        had, and if so, use that from then on. What is under way on the old one may still be answered."""
        if self._is_replacing or _now() < self.line.opened_at + TRUSTED_S:
            return
        self._is_replacing = True
        task = asyncio.get_running_loop().create_task(self._replace(), name="a new connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close every channel; calls still under way end as cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(line.channel.close() for line in self._lines))

    async def _replace(self) -> None:
        # Channels to one target share a connection, but for those that ask for one of their own.
        line = Line(self.target, [*self._options, _OWN_CONNECTION])
        self._lines.append(line)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await line.channel.channel_ready()
        except TimeoutError:
            # The old one is no worse, and may yet be answered.
            unused = line
        else:
            unused, self.line = self.line, line
            self.replaced()
            _log.warning("nothing was heard from %s: a new connection to it is used", self._service)
        finally:
            self._is_replacing = False
        await unused.channel.close(_OLD_CHANNEL_S)
        self._lines.remove(unused)


def _now() -> float:
    return asyncio.get_running_loop().time()
