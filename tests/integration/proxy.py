"""What stands between a client and a server, as a network does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Passes bytes on, until it cuts all connections or swallows what comes on them; it counts those that it
    had."""

    def __init__(self, address: str, delay_s: float) -> None:
        self._delay_s = delay_s
        self._host, _, self._port = address.rpartition(":")
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallowing: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.is_let_through = asyncio.Event()
        """Whether a connection that comes now leads anywhere."""
        self.is_let_through.set()
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        await asyncio.sleep(self._delay_s)
        await self.is_let_through.wait()
        there, back = await asyncio.open_connection(self._host, int(self._port))
        self._writers.add(back)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def swallow(self) -> None:
        """The connections that are there stay open, and nothing that comes on them gets any further."""
        self._swallowing |= self._writers

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                if sink not in self._swallowing:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxied(address: str, *, delay_s: float = 0.0) -> AsyncIterator[Proxy]:
    """A proxy of who listens at *address*; each connection is silent for *delay_s* first."""
    proxy = Proxy(address, delay_s)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
