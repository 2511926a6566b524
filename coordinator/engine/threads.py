"""What a thread asks of the event loop, while it does there what would take the loop too long."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def on_loop(ask: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """*ask* for a thread of this loop's: what it does is quick, and not made for several threads at once."""
    loop = asyncio.get_running_loop()

    def asked(*args: _Given.args, **named: _Given.kwargs) -> _Result:
        async def answered() -> _Result:
            return ask(*args, **named)

        return asyncio.run_coroutine_threadsafe(answered(), loop).result()

    return asked
