"""How late the event loop comes to what is due: while it is late, every saga waits."""

import asyncio
from collections.abc import Callable
from typing import Final

LOOK_EVERY_S: Final = 0.25


async def watch_lag(lagged: Callable[[float], None]) -> None:
    """Tell *lagged* again and again by how many seconds a timer came late. Never ends; cancel it."""
    loop = asyncio.get_running_loop()
    while True:
        due_at = loop.time() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        lagged(max(loop.time() - due_at, 0.0))
