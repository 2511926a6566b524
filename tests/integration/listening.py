"""Waiting for a server of gRPC, which says that it has started some moments before it listens."""

import asyncio


async def listens(port: int, host: str = "127.0.0.1") -> None:
    """Return when somebody listens there."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.001)
        else:
            writer.close()
            return
