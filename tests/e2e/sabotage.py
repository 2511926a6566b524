"""Runs the product with one promise broken on purpose, to show that the kill drill sees it.

    python -m tests.e2e.sabotage undo-order-swapped coordinator …
    python -m tests.e2e.sabotage early-acknowledgement coordinator …

Nothing of this stands in the product. (The barrier is switched off by the example participants' own faults.)
"""

import asyncio
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from coordinator.adapters.sqlite.group import Entry, Start
from coordinator.adapters.sqlite.writer import Writer
from coordinator.domain import by_hand, machine
from coordinator.domain.actions import Action, action_event
from coordinator.domain.errors import SagaNotFound
from coordinator.domain.events import OperatorActed
from coordinator.domain.ids import SagaId
from coordinator.domain.saga import Saga, StepState, Undo
from coordinator.engine import driver as driving
from coordinator.engine import sagas as use_cases
from coordinator.engine.driver import Driver
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


def acknowledge_actions_early() -> None:
    """Tell an operator that it is done when the saga knows of it, not when it is synced; on a slow disk."""
    answer_request, act_first = Driver._answer_request, Driver.act_first

    def tell(driver: Driver) -> None:
        for done, outcome in driver._asked:
            if isinstance(outcome, bool) and not done.done():
                done.set_result(outcome)

    def answer_at_once(driver: Driver, *request: Any) -> None:
        answer_request(driver, *request)
        tell(driver)

    def act_at_once(driver: Driver, action: Action, *, set_aside: bool) -> asyncio.Future[bool] | None:
        done = act_first(driver, action, set_aside=set_aside)
        tell(driver)
        return done

    Driver._answer_request = answer_at_once  # type: ignore[method-assign, assignment]
    Driver.act_first = act_at_once  # type: ignore[method-assign, assignment]
    _slow_the_disk()


def forget_actions() -> None:
    """Keep no action's id."""
    acted = by_hand.acted

    def act_and_forget(saga: Saga, event: OperatorActed) -> Saga:
        return replace(acted(saga, event), actions=())

    machine.acted = act_and_forget  # type: ignore[attr-defined]


def act_blindly() -> None:
    """Do what an operator wants whatever they have seen."""

    def event_unseen(saga: Saga, action: Action, *, seq: int, **more: Any) -> OperatorActed | None:
        return action_event(saga, replace(action, seq_seen=seq), seq=seq, **more)

    for module in (driving, use_cases):
        module.action_event = event_unseen  # type: ignore[attr-defined]


def begin_rounds_for_anything() -> None:
    """Ask under another key again also where no refusal is stored, and the effect may exist."""
    begun_again = by_hand._begun_again

    def begun_anew(undo: Undo, at: float) -> Undo:
        return begun_again(replace(undo, refused=True), at)

    by_hand._begun_again = begun_anew


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
    "early-action": acknowledge_actions_early,
    "forgotten-action": forget_actions,
    "blind-action": act_blindly,
    "rounds-for-anything": begin_rounds_for_anything,
}

if __name__ == "__main__":
    SABOTAGES[sys.argv[1]]()
    module, sys.argv = sys.argv[2], sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
