"""Outcomes that are told at once, where a future's listeners wait for a turn of the event loop each."""

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

_Outcome = TypeVar("_Outcome")


class Cancellable(Protocol):
    """What somebody waits for, and may stop waiting for."""

    def cancel(self) -> object: ...


class Deferred(Generic[_Outcome]):
    """An outcome that is yet to come, and one who is told of it in that moment, as in Twisted.

    Many of them come together: those of a group commit, those of one message full of answers.
    """

    __slots__ = ("_listener", "_outcome")

    def __init__(self) -> None:
        self._listener: Callable[[_Outcome | BaseException], None] | None = None
        self._outcome: _Outcome | BaseException | _Pending = _PENDING

    def settle(self, outcome: _Outcome | BaseException) -> None:
        """It has come to this. Nothing happens where that is known: whoever waited may have left."""
        if self._outcome is not _PENDING:
            return
        self._outcome = outcome
        listener, self._listener = self._listener, None
        if listener is not None:
            try:
                listener(outcome)
            except Exception as error:  # it is not for whoever settles this
                report(error)

    def cancel(self) -> bool:
        """Settle it with CancelledError; False where it is settled."""
        is_pending = self._outcome is _PENDING
        self.settle(CancelledError())
        return is_pending

    def listen(self, listener: Callable[[_Outcome | BaseException], None]) -> None:
        """Tell *listener*, and nobody else."""
        if isinstance(self._outcome, _Pending):
            self._listener = listener
        else:
            # Not before its caller knows whom it listens to.
            asyncio.get_running_loop().call_soon(listener, self._outcome)

    def __await__(self) -> Generator[Any, None, _Outcome]:
        waiter: asyncio.Future[_Outcome | BaseException] = asyncio.get_running_loop().create_future()
        self.listen(lambda outcome: None if waiter.done() else waiter.set_result(outcome))
        try:
            outcome = yield from waiter
        except CancelledError:
            self.cancel()
            raise
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        finally:
            del outcome  # an error knows this frame by its traceback, and the frame would know the error


def report(error: Exception) -> None:
    """Let the event loop's handler have *error*, as that of any callback."""
    context = {"message": "exception in a callback of the engine", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


class _Pending:
    """It has not come yet."""


_PENDING = _Pending()


def when_over(
    outcome: Awaitable[_Outcome], listener: Callable[[_Outcome | BaseException], None]
) -> Cancellable:
    """Let *listener* be told of *outcome* when it has come; of CancelledError, if what is returned is
    cancelled first. Of a coroutine or a future it is told in a turn of the event loop of its own."""
    if isinstance(outcome, Deferred):
        outcome.listen(listener)
        return outcome

    def tell(future: asyncio.Future[_Outcome]) -> None:
        listener(CancelledError() if future.cancelled() else future.exception() or future.result())

    future = asyncio.ensure_future(outcome)
    future.add_done_callback(tell)
    return future
