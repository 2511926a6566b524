"""Faults on demand around a hosted participant.  For drills, demos and tests, never for production.

Chance is seeded per rule: the n-th call that a rule matches always fares alike, however calls
interleave.  Delays are slept outside the write transaction; what is counted is committed before it
can do harm.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from dataclasses import dataclass, field, replace
from functools import partial

from participants import barrier, fault_counts, ledger
from participants.barrier import Verdict
from participants.base import Business, Offer, Output
from participants.calls import Call, Faulted, Pending, Refused, Reply, Succeeded, sha256
from participants.errors import ParticipantError, Rejected, StatusInjected, StreamBroken
from participants.fault_counts import Adopted
from participants.fault_plan import ANY, FaultPlan, Rule, Stage
from participants.hosting import Hosted
from participants.ledger import Outcome

CRASH_EXIT = 70


@dataclass(frozen=True, slots=True)
class Strike:
    """A rule that fires at one call, and the name under which it counts."""

    name: str
    rule: Rule
    delay_s: float = 0.0


@dataclass(slots=True)
class Fate:
    """All that goes wrong with one call."""

    delays: list[Strike] = field(default_factory=list)
    around: list[Strike] = field(default_factory=list)
    instead: Strike | None = None
    after: Strike | None = None

    def add(self, strike: Strike) -> None:
        match strike.rule.stage:
            case Stage.DELAY:
                self.delays.append(strike)
            case Stage.AROUND:
                self.around.append(strike)
            case Stage.INSTEAD:
                self.instead = strike
            case Stage.AFTER:
                self.after = strike

    def has_room_for(self, stage: Stage) -> bool:
        taken = {Stage.INSTEAD: self.instead, Stage.AFTER: self.after}
        return taken.get(stage) is None


class Faulty:
    """A hosted participant that misbehaves as its plan says."""

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted
        self._plan = FaultPlan()
        self._adopted = Adopted(0, 0)
        self._seen: list[int] = []
        self._fired: list[int] = []
        self._redeliveries: set[asyncio.Task[None]] = set()

    async def set_plan(self, plan: FaultPlan, *, restarted: bool = False) -> None:
        """Put *plan* in force; *restarted* keeps the counts if it is the plan of the last run."""

        def adopt(db: sqlite3.Connection) -> tuple[Adopted, list[int]]:
            adopted = fault_counts.adopt(db, sha256(plan.text), restarted=restarted)
            names = [f"{adopted.epoch}/{number}" for number in range(len(plan.rules))]
            return adopted, [fault_counts.of_rule(db, name) for name in names]

        self._adopted, self._fired = await self._hosted.store.submit(adopt)
        self._seen = [0] * len(plan.rules)
        self._plan = plan

    def offer(self) -> Offer:
        """As the service's own, without the barrier while the plan puts that aside for any of its calls."""
        offer = self._hosted.offer()
        unguarded = any(
            rule.kind == "barrier_off" and rule.service in (ANY, offer.service) for rule in self._plan.rules
        )
        return replace(offer, barrier=False) if unguarded else offer

    async def perform(self, call: Call) -> Reply:
        if not self._plan.rules:
            return await self._hosted.perform(call)
        fate = self._draw(call)
        self._redeliver(call, fate)
        if fate.delays or fate.around:
            counted = self._hosted.store.submit(partial(_count, [*fate.delays, *fate.around]))
            await asyncio.gather(counted, asyncio.sleep(sum(s.delay_s for s in fate.delays)))
        await self._strike_before(fate.instead)
        answer: Reply | Rejected
        try:
            answer = await self._judge(call, fate)
        except Rejected as rejected:
            answer = rejected
        await _strike_after(fate.after)
        if isinstance(answer, Rejected):
            raise answer
        return _mangled(answer, fate.after)

    async def close(self) -> None:
        """Give up the redeliveries that have not come yet."""
        for task in self._redeliveries:
            task.cancel()
        await asyncio.gather(*self._redeliveries, return_exceptions=True)

    def _draw(self, call: Call) -> Fate:
        fate = Fate()
        for number, rule in enumerate(self._plan.rules):
            spent = rule.times is not None and self._fired[number] >= rule.times
            if spent or not rule.concerns(call) or not fate.has_room_for(rule.stage):
                continue
            self._seen[number] += 1
            # The run is part of the seed: a call that crashed the process must not crash every run.
            place = (self._plan.seed, self._adopted.run, number, self._seen[number])
            chance = random.Random("/".join(map(str, place)))
            if chance.random() < rule.probability:
                self._fired[number] += 1
                delay_s = rule.delay.draw(chance) if rule.delay is not None else 0.0
                fate.add(Strike(f"{self._adopted.epoch}/{number}", rule, delay_s))
        return fate

    async def _strike_before(self, strike: Strike | None) -> None:
        """A fault that keeps the call from ever reaching the barrier."""
        if strike is None or strike.rule.kind not in ("hang", "status", "crash_before_effect"):
            return
        await self._hosted.store.submit(partial(_count, [strike]))
        match strike.rule.kind:
            case "hang":
                await _never()
            case "status":
                raise StatusInjected(strike.rule.status or "UNKNOWN")
            case _:
                os._exit(CRASH_EXIT)

    async def _judge(self, call: Call, fate: Fate) -> Reply:
        """The barrier, with the plan's answer in place of the business code's if there is one.

        A key that is known is answered from what was stored all the same, and then no such fault
        was injected.
        """
        injected = [fate.after] if fate.after is not None else []
        business = self._hosted.participant.business(call)
        if (strike := fate.instead) is not None:

            def business(db: sqlite3.Connection, call: Call) -> Output:
                injected.append(strike)
                raise _as_answer(strike.rule)

        unguarded = any(strike.rule.kind == "barrier_off" for strike in fate.around)
        return await self._hosted.judge(
            call,
            business,
            by=_perform_unguarded if unguarded else barrier.perform,
            also=partial(_count, injected),
        )

    def _redeliver(self, call: Call, fate: Fate) -> None:
        for strike in fate.around:
            if strike.rule.kind == "redeliver":
                task = asyncio.create_task(self._deliver_again(call, strike.rule.after_s or 0.0))
                self._redeliveries.add(task)
                task.add_done_callback(self._redeliveries.discard)

    async def _deliver_again(self, call: Call, after_s: float) -> None:
        """As the network would: late, and with nobody left to hear the answer."""
        await asyncio.sleep(after_s)
        try:
            await self._hosted.perform(replace(call, arrived_ns=time.monotonic_ns()))
        except ParticipantError:
            return


def _count(strikes: list[Strike], db: sqlite3.Connection) -> None:
    for strike in strikes:
        fault_counts.add(db, strike.name, strike.rule.kind)


def _perform_unguarded(db: sqlite3.Connection, call: Call, business: Business | None) -> Verdict:
    """What a service without a barrier does: apply whatever comes, as often as it comes."""
    answer = barrier.run_business(db, call, business)
    if isinstance(answer, Succeeded):
        ledger.record(db, call, Outcome.APPLIED, answer.output_json)
    elif isinstance(answer, Refused):
        ledger.record(db, call, Outcome.REFUSED, None)
    return Verdict(answer)


async def _strike_after(strike: Strike | None) -> None:
    """A fault that comes once the effect is committed, in place of any answer."""
    match strike:
        case Strike(rule=Rule(kind="crash_after_effect")):
            os._exit(CRASH_EXIT)
        case Strike(rule=Rule(kind="stream_broken")):
            raise StreamBroken("UNAVAILABLE")
        case Strike(rule=Rule(kind="reply_lost", status=None)):
            await _never()
        case Strike(rule=Rule(kind="reply_lost", status=str(status))):
            raise StatusInjected(status)


def _mangled(reply: Reply, strike: Strike | None) -> Reply:
    """The answer, or what a broken participant makes of it."""
    if strike is None:
        return reply
    match strike.rule.kind:
        case "wrong_key":
            return replace(reply, idempotency_key=f"not-{reply.idempotency_key}")
        case "empty_outcome":
            return replace(reply, answer=None)
        case "malformed_output":
            return replace(reply, answer=Succeeded('{"broken":'))
        case "oversized_answer":
            return replace(reply, answer=Succeeded(f'"{"x" * strike.rule.size_bytes}"'))
    return reply


def _as_answer(rule: Rule) -> Refused | Pending | Faulted:
    match rule.kind:
        case "refused":
            return Refused(rule.code, rule.message)
        case "pending":
            return Pending(rule.after_s)
        case _:
            return Faulted(rule.code, rule.message, rule.after_s)


async def _never() -> None:
    """Wait until the caller gives up and the handler is cancelled."""
    await asyncio.Event().wait()
