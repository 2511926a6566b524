"""An event loop with virtual time, for processes that can be stopped and killed: a run twice is the same.

Where all wait, it is at once as late as the first of them waits for. There are no threads and no sockets
here: whoever asks for one gets an error. A process that is killed is never stepped again: nothing of it is
cancelled, no `finally` of it runs. One that is stopped takes nothing up until it goes on.
"""

import asyncio
import heapq
import logging
import random
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, Final, NoReturn, TypeVar

_T = TypeVar("_T")


class NotSimulated(Exception):
    """What is simulated asked for something of the real world."""


class GoesInCircles(Exception):
    """The steps that were allowed are spent, and it is no later than before."""


class Process:
    """Whatever lives and dies as one: the tasks that were begun in it, and what they have begun."""

    def __init__(self, name: str, context: Context) -> None:
        """*context* is what each of its steps begins with, once it names the process."""
        self.name: Final = name
        self._context = context
        context.run(_PROCESS.set, self)
        self.is_dead = False
        self.is_stopped = False
        self._on_death: list[Callable[[], None]] = []
        self._kept: list[_Step] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return f"Process({self.name!r})"

    def on_death(self, tell: Callable[[], None]) -> None:
        """Call *tell* at the moment it is killed."""
        self._on_death.append(tell)

    def kill(self) -> None:
        """kill -9: no step of it is taken any more."""
        if not self.is_dead:
            self.is_dead = True
            self._kept.clear()
            for tell in self._on_death:
                tell()

    def stop(self) -> None:
        """SIGSTOP: whatever comes to it waits."""
        self.is_stopped = True

    def close(self) -> None:
        """Let go of what it was at when it died, once its world is over."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # nobody forgot it
                coroutine = task.get_coro()
                try:
                    if coroutine is not None:
                        coroutine.close()
                except RuntimeError:
                    pass  # its `finally` would wait: it has nothing to wait for
        self._tasks.clear()
        self._on_death.clear()
        del self._context


_PROCESS: Final[ContextVar[Process | None]] = ContextVar("process", default=None)


def current_process() -> Process | None:
    """The process that takes a step now; None between them."""
    return _PROCESS.get()


class _Timer:
    """A callback that will be called at its time, as `asyncio.TimerHandle`."""

    __slots__ = ("_when", "args", "callback", "context", "is_cancelled")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context, when: float
    ) -> None:
        self.callback, self.args, self.context = callback, args, context
        self._when = when
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.args = ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self._when


_Step = tuple[Callable[..., object], tuple[Any, ...], Context, _Timer | None]
"""A callback, its arguments, the context that it is called in, and the timer that it comes from, if any."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """First come, first served; with *shuffle*, what is ready at the same time is taken in any order."""

    def __init__(self, *, shuffle: random.Random | None = None) -> None:
        # Near zero, where a moment can be told from the next one: of a large one, a wait may be too small
        # a part to be added to it.
        self._now_s = 0.0
        self._shuffle = shuffle
        self._ready: list[_Step] = []
        self._timers: list[tuple[float, int, _Timer | asyncio.Future[None]]] = []
        self._numbers = count()
        self._processes: list[Process] = []
        self._outside = copy_context()
        self._outside.run(_PROCESS.set, None)
        self._is_closed = False
        self.steps = 0
        """How many were taken."""
        self.faults: list[BaseException] = []
        """What was raised and reached nobody."""
        self.hear: Callable[[BaseException], object] = self.faults.append
        """Told of each of them."""

    def process(self, name: str) -> Process:
        """A new process, which has nothing to do yet."""
        process = Process(name, self._outside.copy())
        self._processes.append(process)
        return process

    def begin(self, process: Process, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begin *work* in *process*."""
        return self.create_task(work, context=self._inside(process))

    def own(self, process: Process, work: Coroutine[Any, Any, object]) -> None:
        """Begin *work* in *process*, which keeps it: nobody waits for it, so what it raises is a fault."""
        self.begin(process, work).add_done_callback(self._hear)

    def tell(self, process: Process | None, callback: Callable[..., object], *args: object) -> None:
        """Call *callback* soon, as a step of *process*."""
        self.call_soon(callback, *args, context=self._inside(process))

    def tell_later(
        self, process: Process | None, delay_s: float, callback: Callable[..., object], *args: object
    ) -> None:
        """Call *callback* after *delay_s*, as a step of *process*; None: of the world around them."""
        self.call_at(self._now_s + delay_s, callback, *args, context=self._inside(process))

    def resume(self, process: Process) -> None:
        """SIGCONT: what came to it meanwhile is taken up, oldest first."""
        process.is_stopped = False
        self._ready.extend(process._kept)
        process._kept.clear()

    def run(
        self, *, until: Callable[[], object] | None = None, until_s: float | None = None, steps_max: int
    ) -> bool:
        """Take steps until *until* holds, it is later than *until_s*, or nothing is left to be done.

        Returns whether *until* holds.

        Raises:
            GoesInCircles: more than *steps_max* were needed.
        """
        asyncio.events._set_running_loop(self)
        last = self.steps + steps_max
        try:
            while until is None or not until():
                if not self._ready and not self._wait(until_s):
                    return False
                # What these steps make ready comes after them.
                ready, self._ready = self._ready, []
                if len(ready) > 1 and self._shuffle is not None:
                    self._shuffle.shuffle(ready)
                for step in ready:
                    callback, args, context, timer = step
                    if timer is not None and timer.is_cancelled:
                        continue
                    process = context.get(_PROCESS)
                    if process is not None:
                        if process.is_dead:
                            continue
                        if process.is_stopped:
                            process._kept.append(step)
                            continue
                    self.steps += 1
                    try:
                        context.run(callback, *args)
                    except Exception as error:
                        self.hear(error)
                if self.steps > last:
                    raise GoesInCircles(f"{steps_max} steps did not get it there, at {self._now_s} s")
        finally:
            asyncio.events._set_running_loop(None)
        return True

    def close(self) -> None:
        """End it; nothing that was left undone is done any more."""
        self._is_closed = True
        # What was broken off is told that it ends here, and its `finally` tells of it: it ended long ago.
        told = logging.root.manager.disable
        logging.disable()
        try:
            for process in self._processes:
                process.close()
        finally:
            logging.disable(told)
        self._ready.clear()
        self._timers.clear()

    def time(self) -> float:
        return self._now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Timer | None:
        """Tasks and futures bring their context, and take back nothing: they need no timer."""
        if context is not None:
            self._ready.append((callback, args, context, None))
            return None
        context = copy_context()
        timer = _Timer(callback, args, context, self._now_s)
        self._ready.append((callback, args, context, timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Timer:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Timer:
        timer = _Timer(callback, args, context or copy_context(), when)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_T]:
        context = context or copy_context()
        # A name of asyncio's own would count up from run to run.
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        if (process := context.get(_PROCESS)) is not None:
            process._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_closed:
            self.hear(context.get("exception") or NotSimulated(context["message"]))

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    # Each future asks for it: of all that answers False, this does so quickest.
    get_debug = staticmethod(bool)

    def is_running(self) -> bool:
        return not self._is_closed

    def is_closed(self) -> bool:
        return self._is_closed

    async def shutdown_asyncgens(self) -> None:
        """There is nothing to be done about them."""

    def _hear(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.hear(error)

    def _inside(self, process: Process | None) -> Context:
        return self._outside if process is None else process._context.copy()

    def _wait(self, until_s: float | None) -> bool:
        """Let time pass until something is to be done; False if nothing is, or not before *until_s*."""
        timers = self._timers
        while timers:
            at_s, _, first = timers[0]
            if first.is_cancelled if isinstance(first, _Timer) else first.done():
                heapq.heappop(timers)
                continue
            if until_s is not None and at_s > until_s:
                break
            self._now_s = now_s = max(self._now_s, at_s)
            while timers and timers[0][0] <= now_s:
                due = heapq.heappop(timers)[2]
                if isinstance(due, _Timer):
                    self._ready.append((due.callback, due.args, due.context, due))
                elif not due.done():
                    due.set_result(None)
            return True
        if until_s is not None:
            self._now_s = max(self._now_s, until_s)
        return False


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refused(loop: SimulatedLoop, *args: object, **named: object) -> NoReturn:
        raise NotSimulated(f"{name}: there are no threads, sockets and files on a simulated loop")

    return refused


for _name in (
    "add_reader",
    "add_writer",
    "add_signal_handler",
    "call_soon_threadsafe",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "run_in_executor",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_sendall",
    "subprocess_exec",
    "subprocess_shell",
):
    setattr(SimulatedLoop, _name, _refuse(_name))


def pause(delay_s: float) -> asyncio.Future[None]:
    """What to wait for to go on so much later: as `asyncio.sleep`, and a step less for a simulated loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    awaited: asyncio.Future[None] = asyncio.Future(loop=loop)
    heapq.heappush(loop._timers, (loop._now_s + delay_s, next(loop._numbers), awaited))
    return awaited


def for_ever() -> asyncio.Future[None]:
    """What never comes: nobody goes on behind it."""
    return asyncio.Future()


def simulated_loop(*, shuffle: random.Random | None = None) -> SimulatedLoop:
    """A loop that nothing has been begun on."""
    return SimulatedLoop(shuffle=shuffle)  # type: ignore[abstract]  # what it lacks, it refuses
