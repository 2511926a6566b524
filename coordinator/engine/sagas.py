"""The use cases: what the API may ask of the coordinator."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from coordinator.domain.actions import (
    END_OF_UNREADABLE,
    Action,
    Effect,
    action_event,
    effect_of,
    end_unreadable,
    possible_actions,
)
from coordinator.domain.definition import SagaDefinition
from coordinator.domain.errors import (
    DefinitionMoved,
    Draining,
    IllegalTransition,
    InvalidRequest,
    JournalCorrupt,
    JournalDamaged,
    JournalUnavailable,
    Overloaded,
    RequestIdTaken,
    SagaEnded,
    SagaError,
    SagaNotFound,
    Unavailable,
    Violation,
    WaitTimedOut,
)
from coordinator.domain.events import OperatorActed, SagaStarted, Verb
from coordinator.domain.ids import ActionId, Digest, RequestId, SagaId
from coordinator.domain.inputs import check_input
from coordinator.domain.jsontext import JsonValue, canonical, digest, size_bytes
from coordinator.domain.machine import Decision, decide
from coordinator.domain.saga import SAGA_INPUT_BYTES_MAX, Saga, Status
from coordinator.domain.shown.exported import exported
from coordinator.domain.shown.shown_plan import ShownPlan, shown_plan
from coordinator.domain.summary import SagaSummary, summarize
from coordinator.domain.values import frozen
from coordinator.engine.driver import Tools
from coordinator.engine.pool import Pool
from coordinator.ports.catalog import Catalog
from coordinator.ports.journal import Cursor, Record, Request, SagaFilter, SagaIndex

LARGE_STEPS_MIN: Final = 100
REFUSED_LOOKUPS_MAX: Final = 64
"""So many refused starts are looked up at once: what others read would have to wait behind a flood."""
_Told = TypeVar("_Told")


@frozen
class Wanted:
    """A request for a saga. `names_definition`: the caller chose it, so it is part of the content."""

    front_door: str
    request_id: RequestId | None
    saga_name: str
    version: str | None
    input: JsonValue
    names_definition: bool


@frozen
class Accepted:
    """A saga that is durable, and whether this request joined one that was there."""

    summary: SagaSummary
    joined: bool


@frozen
class SagaView:
    """A saga with all that is known of it. `saga` is None where its records cannot be read."""

    summary: SagaSummary
    saga: Saga | None
    records: Sequence[Record]

    @property
    def set_aside(self) -> bool:
        """Whether it is in quarantine: its row then says more than its records do."""
        return self.saga is None or self.summary.status is not self.saga.status


@frozen
class Acted:
    """An operator's action: the saga after it, and what it leads to; None where it was done before."""

    view: SagaView
    effect: Effect | None


@frozen
class Exported:
    """A saga as it may leave in a file."""

    definition: SagaDefinition
    records: Sequence[Record]


class Sagas:
    """Start, join, wait, read, watch, cancel, and what operators do."""

    def __init__(self, pool: Pool, tools: Tools, index: SagaIndex, catalog: Catalog) -> None:
        self._pool = pool
        self._tools = tools
        self._index = index
        self._catalog = catalog
        self._playing = asyncio.Semaphore()
        self._refusing = asyncio.Semaphore(REFUSED_LOOKUPS_MAX)

    async def start(self, wanted: Wanted) -> Accepted:
        """Accept a saga durably, or join the one that the same request id started.

        A repeated request is answered whatever has become of the definition, the limits or the input's rules
        since: before one is refused, its request id is looked up.

        Raises:
            RequestIdTaken, DefinitionNotFound, InvalidRequest, Overloaded, Draining: nothing was written.
            JournalDamaged: the saga that has the request id cannot be found; nothing was written.
            JournalUnavailable: the saga may or may not be durable; the same request joins it if it is.
        """
        text = canonical(wanted.input)
        content = _content(wanted, text)
        saga_id = self._tools.chance.saga_id()
        request_id = wanted.request_id or RequestId(self._tools.chance.saga_id())
        request = Request(wanted.front_door, request_id, content, saga_id)
        try:
            holder, summary = await self._launched(wanted, text, request)
        except (RequestIdTaken, JournalUnavailable):
            raise
        except SagaError as refused:
            async with self._refusing:
                known = await self._index.requested(wanted.front_door, request_id)
            if known is None:
                if isinstance(refused, Draining | Overloaded):
                    self._tools.telemetry.start_refused(_refusal(refused))
                raise
            holder, summary = known, None
        if summary is None:
            return await self._join(holder, content)
        return Accepted(summary, joined=False)

    async def wait(self, saga_id: SagaId, *, timeout_s: float) -> SagaSummary:
        """The saga's summary once no automatic work is left.

        Raises:
            WaitTimedOut: it is still undecided after *timeout_s*, and goes on.
            Draining: this coordinator stops first; the saga goes on after its restart.
            SagaNotFound: no saga has this id.
        """
        with self._tools.feed.listen(saga_id, at_rest=True) as news:
            summary = await self._summary(saga_id)
            if not summary.status.is_open:
                return summary
            try:
                return await news.next(timeout_s=timeout_s)
            except TimeoutError:
                raise WaitTimedOut(saga_id, (await self._summary(saga_id)).status) from None

    async def get(self, saga_id: SagaId) -> SagaView:
        """The saga as its journal tells it; where that cannot be read, as its row does.

        Raises:
            SagaNotFound: no saga has this id.
            JournalCorrupt, JournalDamaged: its row cannot be read either.
            JournalUnavailable: the journal failed.
        """
        row = await self._index.find(saga_id)
        if row is None:
            raise SagaNotFound(saga_id)
        try:
            records = await self._tools.journal.history(saga_id)
        except JournalCorrupt:
            self._pool.rouse(saga_id)
            return SagaView(row, None, ())
        try:
            decision = await self._pool.archive.replayed(records)
        except Unavailable:
            raise
        except SagaError:  # its definition is lost, or its records contradict our rules
            return SagaView(row, None, records)
        newest = records[-1].seq
        # A quarantined saga's row says more than its records do, unless they were written after it was read.
        summary = summarize(decision, newest) if row.status.is_open or row.seq < newest else row
        return SagaView(summary, decision.saga, records)

    async def export(self, saga_id: SagaId) -> Exported:
        """A saga that rests, with what its definition calls sensitive left out: for a file that people keep.

        Raises:
            SagaNotFound: no saga has this id.
            IllegalTransition: automatic work is left, or it was set aside.
        """
        view = await self.get(saga_id)
        if view.saga is None or view.set_aside:
            raise IllegalTransition(
                f"saga {saga_id} was set aside, and its records do not tell how that came"
            )
        if view.saga.status.is_open:
            raise IllegalTransition(f"saga {saga_id} is {view.saga.status}: it can be exported once it rests")
        events = [record.event for record in view.records]
        shown = await self._tools.aside.run(exported, view.saga, events)
        records = (replace(record, event=event) for record, event in zip(view.records, shown, strict=True))
        return Exported(view.saga.definition, tuple(records))

    async def page(self, condition: SagaFilter, *, after: Cursor | None, limit: int) -> Sequence[SagaSummary]:
        """At most *limit* sagas, newest first, behind *after*."""
        return await self._index.page(condition, after=after, limit=limit)

    async def watch(
        self, saga_id: SagaId, after_seq: int
    ) -> AsyncGenerator[tuple[Record | None, Status], None]:
        """Each durable record after number *after_seq*, as it comes, until the saga rests.

        A saga that is set aside ends with one more status and no record.

        Raises:
            SagaNotFound: no saga has this id.
            Draining: this coordinator stops; watch again from the last record received.
        """
        with self._tools.feed.listen(saga_id) as news:
            summary = await self._summary(saga_id)
            decision: Decision | None = None
            folded = 0
            while True:
                try:
                    records = await self._tools.journal.history(saga_id)
                    for record in records[folded:]:
                        if decision is None:
                            decision = await self._pool.archive.born(record)
                        else:
                            decision = decide(decision.saga, record.event)
                        folded = record.seq
                        if record.seq > after_seq:
                            yield record, decision.saga.status
                except Unavailable:
                    raise
                except SagaError:  # its records cannot be read, or not be understood: its row tells the rest
                    self._pool.rouse(saga_id)
                if decision is not None and not decision.saga.status.is_open:
                    return
                if not summary.status.is_open:
                    yield None, summary.status
                    return
                summary = await news.next()

    async def cancel(self, saga_id: SagaId, reason: str) -> SagaView:
        """Turn a saga back, durably; one that is turning back already is left to it.

        So is one that a cancel has brought to its end: who got no answer to that may ask again.

        Raises:
            SagaNotFound: no saga has this id.
            SagaEnded: it has ended in another way.
        """
        is_driven = await self._pool.cancel(saga_id, reason)
        view = await self.get(saga_id)
        self._tools.tracing.concerns(view.summary.trace)
        if is_driven or (view.saga is not None and view.saga.is_cancelled):
            return view
        if view.summary.status.is_open:
            raise Draining(f"saga {saga_id} is not driven here any more; ask again after the restart")
        raise SagaEnded(f"saga {saga_id} is {view.summary.status} and cannot be cancelled any more")

    async def act(self, saga_id: SagaId, action: Action) -> Acted:
        """Do what an operator wants, durably, and drive on what it leads to.

        Raises:
            SagaNotFound, SagaMoved, ActionIdTaken, InvalidRequest, SagaEnded, IllegalTransition: nothing
                was written.
            Draining, JournalUnavailable: as `Pool.act`.
        """
        # Against what the operator has seen: if it moves before the action, that is refused.
        before = await self.preview(saga_id, action)
        self._tools.tracing.concerns(before.view.summary.trace)
        effect = before.effect
        if effect is not None and not await self._pool.act(saga_id, action):
            effect = None
        return Acted(await self.get(saga_id), effect)

    async def preview(self, saga_id: SagaId, action: Action) -> Acted:
        """What *action* would lead to; nothing is written.

        Raises:
            SagaNotFound, SagaMoved, ActionIdTaken, InvalidRequest, SagaEnded, IllegalTransition.
        """
        view = await self.get(saga_id)
        at, seq = self._now(view), view.summary.seq
        if view.saga is None:
            end_unreadable(view.summary, action, at=at)
            return Acted(view, END_OF_UNREADABLE)
        event = action_event(view.saga, action, seq=seq, at=at, set_aside=view.set_aside)
        if event is None:
            return Acted(view, None)
        return Acted(view, await self._effect(view.saga, event))

    async def possible_actions(
        self, saga_id: SagaId
    ) -> tuple[SagaView, Sequence[tuple[OperatorActed, Effect]]]:
        """All that an operator could do to the saga as it stands, and what each would lead to.

        Raises:
            SagaNotFound: no saga has this id.
        """
        view = await self.get(saga_id)
        at = self._now(view)
        if view.saga is None:
            if view.summary.status.is_final:
                return view, []
            return view, [(OperatorActed(at, Verb.TERMINATE, ActionId(""), "", ""), END_OF_UNREADABLE)]
        events = possible_actions(view.saga, at=at, set_aside=view.set_aside)
        return view, [(event, await self._effect(view.saga, event)) for event in events]

    async def undo_plan(self, view: SagaView, *, with_inputs: bool) -> ShownPlan | None:
        """What would be undone if the saga turned back now; None where its records cannot be read.

        With *with_inputs* also what each undo would be given, as far as people may see it.
        """
        if view.saga is None:
            return None
        return await self._played(view.saga, partial(shown_plan, view.saga, with_inputs=with_inputs))

    def _now(self, view: SagaView) -> float:
        """By the saga's own time, as far as that is known."""
        newest = view.summary if view.saga is None else view.saga
        return self._pool.clock_of(view.summary.id, newest.updated_at).now()

    async def _effect(self, saga: Saga, event: OperatorActed) -> Effect:
        return await self._played(saga, partial(effect_of, saga, event))

    async def _played(self, saga: Saga, told: Callable[..., _Told]) -> _Told:
        """What *told* says of *saga*, done aside, for it plays that to its end: one of a thousand steps would
        hold everybody up. Large ones take turns, so that those that nobody waits for any more are not even
        begun; small ones wait for none of them."""
        aside = self._tools.aside
        async with self._playing if len(saga.steps) >= LARGE_STEPS_MIN else nullcontext():
            evaluate = aside.on_loop(self._tools.expressions.evaluate)
            return await aside.run(told, evaluate=evaluate)

    async def _launched(
        self, wanted: Wanted, text: str, request: Request
    ) -> tuple[Request, SagaSummary | None]:
        """Who holds the request id, and the new saga's summary; None where it is not new."""
        trace = self._tools.tracing.begin()
        while True:
            definition = await self._catalog.get(wanted.saga_name, wanted.version)
            born = self._born(definition, wanted.input, text, request, trace)
            try:
                return await self._pool.launch(definition, born, request)
            except DefinitionMoved:
                continue  # it was retired or replaced on the way: what there is by now is chosen

    def _born(
        self, definition: SagaDefinition, given: JsonValue, text: str, request: Request, trace: str
    ) -> SagaStarted:
        """The first event of a saga that may be started; *text* is *given* in canonical form.

        Raises:
            InvalidRequest: the input is not what the definition asks for.
        """
        violations = check_input(definition, given)
        if size_bytes(text) > SAGA_INPUT_BYTES_MAX:
            violations.append(
                Violation("$", f"expected at most {SAGA_INPUT_BYTES_MAX} bytes in canonical form")
            )
        if violations:
            raise InvalidRequest(violations)
        at = self._tools.clock.now()
        return SagaStarted(
            at=at,
            saga_id=request.saga_id,
            saga_name=definition.name,
            definition_digest=definition.digest,
            input=text,
            front_door=request.front_door,
            request_id=request.request_id,
            deadline_at=None if definition.ttl_s is None else at + definition.ttl_s,
            trace=trace,
        )

    async def _join(self, holder: Request, content: Digest) -> Accepted:
        if holder.content != content:
            raise RequestIdTaken(holder.request_id)
        try:
            summary = await self._summary(holder.saga_id)
        except SagaNotFound:
            # Both were written at once. To start it again could do everything twice.
            raise JournalDamaged(
                f"request id {holder.request_id!r} belongs to saga {holder.saga_id!r}, and there is none"
            ) from None
        self._tools.tracing.concerns(summary.trace)
        return Accepted(summary, joined=True)

    async def _summary(self, saga_id: SagaId) -> SagaSummary:
        summary = self._pool.live(saga_id) or await self._index.find(saga_id)
        if summary is None:
            raise SagaNotFound(saga_id)
        return summary


def _refusal(refused: Draining | Overloaded) -> str:
    return "DRAINING" if isinstance(refused, Draining) else "OVERLOADED"


def _content(wanted: Wanted, text: str) -> Digest:
    """What must be equal for two requests with one id to be the same request; *text* is the input of this one
    in canonical form."""
    named = (wanted.saga_name, wanted.version) if wanted.names_definition else None
    return _content_of(named, text)


def is_content(content: Digest, saga: Saga) -> bool:
    """Whether *content* may be that of the request which started *saga*. How it named the definition is not
    kept, so each way does."""
    name, version = saga.definition.name, saga.definition.version
    return any(content == _content_of(named, saga.input) for named in (None, (name, None), (name, version)))


def _content_of(named: tuple[str, str | None] | None, text: str) -> Digest:
    definition = "null"
    if named is not None:
        name, version = named
        definition = canonical({"name": name, "version": version})
    return digest(f'{{"definition":{definition},"input":{text}}}')
