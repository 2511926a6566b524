"""Work beside the event loop, in threads; and where there is nothing beside it, on the spot."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class InThreads:
    """Keeps the port `Aside`: everybody else goes on meanwhile."""

    async def run(
        self, work: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        return await asyncio.to_thread(work, *args, **named)

    def on_loop(self, ask: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        loop = asyncio.get_running_loop()

        def asked(*args: _Given.args, **named: _Given.kwargs) -> _Result:
            async def answered() -> _Result:
                return ask(*args, **named)

            return asyncio.run_coroutine_threadsafe(answered(), loop).result()

        return asked


class OnTheSpot:
    """Keeps the port `Aside` for a loop that has no threads: everybody has a turn, then the work is done."""

    async def run(
        self, work: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        await asyncio.sleep(0)
        return work(*args, **named)

    def on_loop(self, ask: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        return ask
