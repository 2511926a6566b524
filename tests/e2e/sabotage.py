"""Runs the product with one promise broken on purpose, to show that the kill drill sees it.

    python -m tests.e2e.sabotage undo-order-swapped coordinator …
    python -m tests.e2e.sabotage early-acknowledgement coordinator …

Nothing of this stands in the product. (The barrier is switched off by the example participants' own faults.)
"""

import asyncio
import runpy
import sys
from collections.abc import Callable
from typing import Any, Final

from coordinator.adapters.sqlite.group import Entry, Start
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain.errors import SagaNotFound
from coordinator.domain.ids import SagaId
from coordinator.domain.saga import Saga, StepState
from coordinator.engine.sagas import Sagas, SagaView
from coordinator.ports.journal import Request

SLOW_DISK_S: Final = 0.03


def swap_undo_order() -> None:
    """Undo the first step first."""

    def oldest_first(saga: Saga) -> tuple[StepState, ...]:
        waiting = (step for step in saga.steps if step.needs_undo and step.undo_outcome is None)
        return tuple(waiting)[:1]

    def is_oldest(saga: Saga, step: StepState) -> bool:
        return step in oldest_first(saga)

    Saga.undoable = property(oldest_first)  # type: ignore[method-assign, assignment]
    Saga.may_undo = is_oldest  # type: ignore[method-assign, assignment]


def acknowledge_early() -> None:
    """Answer a start when it is queued for the journal, not when it is synced; on a disk that is slow."""
    write, get = Writer.write, Sagas.get

    async def write_later(writer: Writer, entry: Entry) -> Any:
        if not isinstance(entry, Start):
            return await write(writer, entry)
        writing = asyncio.create_task(write(writer, entry))
        _UNDER_WAY.add(writing)
        writing.add_done_callback(_UNDER_WAY.discard)
        await asyncio.sleep(0)  # it is in the queue now, ahead of whatever the saga writes next
        return None

    async def get_undurable(sagas: Sagas, saga_id: SagaId) -> SagaView:
        try:
            return await get(sagas, saga_id)
        except SagaNotFound:
            if (summary := sagas._pool.live(saga_id)) is None:
                raise
            return SagaView(summary, None, ())

    Writer.write = write_later  # type: ignore[method-assign, assignment]
    Sagas.get = get_undurable  # type: ignore[method-assign, assignment]
    _slow_the_disk()


def _slow_the_disk() -> None:
    gather = Writer._gather

    async def gather_slowly(writer: Writer) -> Any:
        await asyncio.sleep(SLOW_DISK_S)
        return await gather(writer)

    Writer._gather = gather_slowly  # type: ignore[method-assign, assignment]


_UNDER_WAY: Final[set[asyncio.Task[Request | None]]] = set()

SABOTAGES: Final[dict[str, Callable[[], None]]] = {
    "undo-order-swapped": swap_undo_order,
    "early-acknowledgement": acknowledge_early,
}

if __name__ == "__main__":
    SABOTAGES[sys.argv[1]]()
    module, sys.argv = sys.argv[2], sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
