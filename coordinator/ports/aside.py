"""Where work is done that would hold the event loop up, so that this, too, can be simulated."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Aside(Protocol):
    """Does work that takes a while: pure work, since others go on meanwhile."""

    async def run(
        self, work: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """What *work* returns or raises. If the caller leaves, nobody hears of it."""
        ...

    def on_loop(self, ask: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        """*ask*, as what is run here may call it: what it does is quick, and not made for several threads, so
        it is done on the loop's."""
        ...
