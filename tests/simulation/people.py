"""Clients and operators of a simulated world: what they ask of a coordinator, as gRPC would carry it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from coordinator.adapters.sqlite.words import packed, text_of
from coordinator.api.errors import row_of
from coordinator.domain.actions import Action
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import SagaError
from coordinator.domain.events import Verb
from coordinator.domain.ids import ActionId, RequestId, SagaId, StepName
from coordinator.domain.jsontext import digest, loads
from coordinator.domain.summary import SagaSummary
from coordinator.engine.sagas import SagaView, Wanted
from coordinator.simulation.coordinator import SimulatedCoordinator
from coordinator.simulation.loop import SimulatedLoop, pause
from tests.checker.evidence import ClientCall, OperatorCall
from tests.simulation.hosts import ORDER, Away, Hosts
from tests.simulation.notes import Notes, ns
from tests.simulation.plan import Hand, Look, Order
from tests.simulation.services import Services

DOOR: Final = "sagas"
PATIENCE_AT_REST_S: Final = 60.0

_T = TypeVar("_T")


class People:
    """All of them live in one process, which nobody kills."""

    def __init__(
        self,
        loop: SimulatedLoop,
        hosts: Hosts,
        services: Services,
        definitions: list[SagaDefinition],
        notes: Notes,
        read: Callable[[SagaView], None],
    ) -> None:
        """*read* is told of each saga that a client reads."""
        self._loop, self._hosts, self._services, self._notes = loop, hosts, services, notes
        self.definitions = definitions
        self._read = read
        self._askings = 0
        self.process = loop.process("clients")

    def order(self, order: Order) -> None:
        """Ask for a saga, as often as the plan says."""
        asks = [(0.0, order.patience_s, False)]
        asks += [(more.after_s, more.patience_s, more.other) for more in order.again]
        for number, (after_s, patience_s, other) in enumerate(asks):
            self._loop.own(self.process, self._ask_for(order, number, after_s, patience_s, other=other))

    async def _ask_for(
        self, order: Order, number: int, after_s: float, patience_s: float, *, other: bool
    ) -> None:
        await asyncio.sleep(after_s)
        text = '{"other": true}' if other else order.input
        wanted = Wanted(
            DOOR,
            RequestId(f"order-{order.number}"),
            self.definitions[order.definition].name,
            None,
            loads(text),
            names_definition=True,
        )
        named: list[str] = []

        async def served(coordinator: SimulatedCoordinator) -> str:
            ORDER.set(order.number)
            accepted = await coordinator.sagas.start(wanted)
            named.append(accepted.summary.id)
            self._look_at_disk(accepted.summary)
            ended = await coordinator.sagas.wait(accepted.summary.id, timeout_s=patience_s)
            self._look_at_disk(ended)
            return accepted.summary.id

        invoked_ns = ns(self._loop.time())
        code, saga_id = await self._asked_of(served, patience_s + 1.0, order.number, number)
        self._notes.happened.calls.append(
            ClientCall(
                door=DOOR,
                request_id=wanted.request_id or "",
                payload_hash=digest(text),
                invoked_ns=invoked_ns,
                replied_ns=ns(self._loop.time()),
                code=code,
                saga_id=saga_id,
            )
        )
        for name in filter(None, (saga_id, *named)):
            self._notes.happened.inputs.setdefault(name, text)
        self._notes.line(f"order {order.number} is answered {code} {saga_id or ''}")

    def hand(self, number: int, hand: Hand) -> None:
        """Act on a saga."""
        self._loop.own(self.process, self._hand(number, hand))

    def look(self, look: Look) -> None:
        """Read a saga."""
        self._loop.own(self.process, self._look(look))

    async def _hand(self, number: int, hand: Hand) -> None:
        saga_id = self._saga_of(hand.order)
        if saga_id is None:
            return
        if hand.verb == "cancel":

            async def cancelled(coordinator: SimulatedCoordinator) -> None:
                await coordinator.sagas.cancel(saga_id, "the client says so")

            code, _ = await self._asked_of(cancelled, PATIENCE_AT_REST_S, number)
            self._notes.line(f"cancel of {saga_id} is answered {code}")
            return
        seen = await self._seen(saga_id)
        if seen is None:
            return
        step = self._step_of(seen, hand.step)
        stopping = hand.verb in ("CANCEL", "TERMINATE")
        whole = stopping or (hand.verb == "RETRY" and seen.set_aside)
        if not whole and step is None:
            return
        action = Action(
            ActionId(f"action-{number}"),
            "ada",
            "she knows",
            max(1, seen.summary.seq - hand.stale),
            Verb(hand.verb),
            None if whole else step,
            '{"no":false,"ref":"by hand","yes":true}'
            if hand.verb == "COMPLETE" and self._takes_output(seen, step)
            else None,
        )
        await self._act(saga_id, action)
        if hand.twice:
            await asyncio.sleep(0.05)
            await self._act(saga_id, action)

    async def _act(self, saga_id: SagaId, action: Action) -> None:
        result: list[tuple[bool, int]] = []

        async def acted(coordinator: SimulatedCoordinator) -> None:
            done = await coordinator.sagas.act(saga_id, action)
            result.append((done.effect is None, done.view.summary.seq))

        invoked_ns = ns(self._loop.time())
        code, _ = await self._asked_of(acted, PATIENCE_AT_REST_S, action.id)
        repeated, seq = result[0] if code == "OK" else (False, None)
        self._notes.happened.actions.append(
            OperatorCall(
                saga_id=saga_id,
                action_id=action.id,
                verb=action.verb,
                step=action.step or "",
                actor=action.actor,
                reason=action.reason,
                seq_expected=action.seq_seen,
                output=action.output or "",
                invoked_ns=invoked_ns,
                replied_ns=ns(self._loop.time()),
                code=code,
                repeated=repeated,
                seq=seq,
            )
        )
        self._notes.line(f"{action.verb} {action.step or ''} of {saga_id} is answered {code}")

    def _look_at_disk(self, told: SagaSummary) -> None:
        """I1: nobody is told of what is not durable. A damaged row may lag behind."""
        found = self._hosts.disk.database.execute(
            "SELECT seq FROM sagas JOIN heads ON saga = number WHERE id = ?", (packed(told.id),)
        ).fetchone()
        if found is None or found[0] < told.seq:
            self._notes.wrong(
                f"saga {told.id}: I1: somebody is told of record {told.seq}, and it is not durable"
            )

    async def _seen(self, saga_id: SagaId) -> SagaView | None:
        async def read(coordinator: SimulatedCoordinator) -> SagaView:
            return await coordinator.sagas.get(saga_id)

        try:
            return await self._ask(read, PATIENCE_AT_REST_S, saga_id)
        except (SagaError, Away):
            return None

    async def _look(self, look: Look) -> None:
        saga_id = self._saga_of(look.order)
        if saga_id is not None and (view := await self._seen(saga_id)) is not None:
            self._read(view)

    def _step_of(self, view: SagaView, step: str) -> StepName | None:
        if step != "?":
            return StepName(step)
        signature = view.summary.signature
        return None if signature is None else signature.step

    @staticmethod
    def _takes_output(view: SagaView, step: StepName | None) -> bool:
        return view.saga is not None and view.saga.abort is None and step is not None

    def _saga_of(self, number: int) -> SagaId | None:
        found = self._hosts.disk.database.execute(
            "SELECT saga_id FROM requests WHERE request_id = ?", (f"order-{number}",)
        ).fetchone()
        return None if found is None else SagaId(text_of(found[0]))

    async def _asked_of(
        self, serve: Callable[[SimulatedCoordinator], Awaitable[_T]], patience_s: float, *about: object
    ) -> tuple[str, _T | None]:
        """The code of the answer, and what it says if it is OK."""
        try:
            return "OK", await self._ask(serve, patience_s, *about)
        except Away as away:
            return away.code, None
        except SagaError as error:
            row = row_of(error)
            self._notes.happened.answers[row.reason] += 1
            if self._hosts.disk.shortage is not None and row.reason == "OVERLOADED":
                self._notes.happened.marks["start refused for want of disk"] += 1
            if row.code.name == "INTERNAL":
                self._notes.wrong(f"a call is answered INTERNAL: {type(error).__name__}: {error}")
            return row.code.name, None

    async def _ask(
        self, serve: Callable[[SimulatedCoordinator], Awaitable[_T]], patience_s: float, *about: object
    ) -> _T:
        """Have the coordinator *serve*, as a gRPC call does: whoever leaves ends it there."""
        self._askings += 1
        number = self._askings
        await pause(self._services.spread(0.002, "ask", number, about))
        coordinator = self._hosts.current
        if coordinator is None or not coordinator.serving.is_set():
            raise Away("UNAVAILABLE")
        process = coordinator.process
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._hosts.asked[process][number] = answer

        async def serving(answer: asyncio.Future[_T]) -> None:
            try:
                result = await serve(coordinator)
            except SagaError as error:
                # gRPC carries no traceback; and this one's frames would be kept by it in a circle.
                self._loop.tell(None, _fail_once, answer, error.with_traceback(None))
            except Exception as error:  # a bug: nobody else would hear of it
                self._notes.wrong(f"a call fails: {type(error).__name__}: {error}")
            else:
                self._loop.tell(None, _answer_once, answer, result)

        task = self._loop.begin(process, serving(answer))
        leaves = self._loop.call_later(patience_s, _fail_once, answer, TimeoutError())
        try:
            return await answer
        except TimeoutError:
            self._loop.tell(process, task.cancel)
            raise Away("DEADLINE_EXCEEDED") from None
        finally:
            leaves.cancel()
            self._hosts.asked.get(process, {}).pop(number, None)
            # What it raises tells of this frame, and would be kept by it in a circle.
            del answer


def _answer_once(answer: asyncio.Future[_T], result: _T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail_once(answer: asyncio.Future[Any], error: SagaError | TimeoutError) -> None:
    if not answer.done():
        answer.set_exception(error)
