"""The participants of a story: they answer as it says, over the barrier's rules."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from coordinator.domain.ids import IdempotencyKey, SagaId
from coordinator.domain.outcomes import Answer, Faulted, NoProof, Pending, Refused, Unproved, status_kind
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.simulation.world import Reaction, Reply
from tests.scenarios.house import Services, way_of
from tests.scenarios.telling.story import Planned, Story
from tests.scenarios.telling.timeline import Way

SAGA_ID: Final = SagaId("saga-1")
"""Of the one saga that a story tells of."""


class Players(Services):
    """Every participant. What it answers next hangs on what is journaled of its answers, so that one that
    nobody has heard is given again."""

    def __init__(
        self, story: Story, *, answers: Callable[[Way, str], int], dies: Callable[[float], None]
    ) -> None:
        """*answers*: how many to such calls are journaled. *dies*: the coordinator does, for so long."""
        super().__init__()
        self._story = story
        self._answers = answers
        self._dies = dies
        self._spent: Counter[tuple[Way, str]] = Counter()
        """Of what is planned, what leaves no answer in the journal and is over."""
        self._reached: Counter[tuple[Way, str]] = Counter()
        """How far into its plans each participant has come."""
        self._first_at: dict[tuple[IdempotencyKey, int], float] = {}
        """When each call came for the first time, by its key and the number of the plan."""
        self._deliveries: set[asyncio.Task[Answer]] = set()

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        self.calls.append(call)
        planned, number = self._plan_of(call)
        clock = asyncio.get_running_loop()
        first_at = self._first_at.setdefault((call.key, number), clock.time())
        # What is asked for twice is worked on once, but it is the barrier that sees to that.
        delivery = asyncio.create_task(self._delivered(call, planned, first_at + planned.takes_s))
        self._deliveries.add(delivery)
        self.busy["saga"] += 1
        self.busiest["saga"] = max(self.busiest["saga"], self.busy["saga"])
        try:
            async with asyncio.timeout(timeout_s):
                answer = await asyncio.shield(delivery)
                if planned.dies_for_s is not None:
                    self._spent[_call_of(call)] += 1
                    self._dies(planned.dies_for_s)
                if planned.what == "silent" or planned.dies_for_s is not None:
                    await asyncio.Event().wait()
        except TimeoutError:
            return NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer in time")
        finally:
            self.busy["saga"] -= 1
        if planned.what == "stale token":
            self._spent[_call_of(call)] += 1
        return answer

    async def all_delivered(self) -> None:
        """Return once everything has reached its participant that ever will."""
        await asyncio.gather(*self._deliveries)

    def check_attempts(self) -> None:
        """No two coordinators make an attempt of one number: the one that died may have made it."""
        newest: dict[tuple[Way, str], Call] = {}
        for call in self.calls:
            before = newest.get(_call_of(call), call)
            is_new = before.token == call.token or before.attempt < call.attempt
            assert is_new, f"attempt {call.attempt} of {' '.join(_call_of(call))} is made twice"
            newest[_call_of(call)] = call

    def asked(self) -> dict[str, set[str]]:
        """What was sent with each call."""
        contents: dict[str, set[str]] = {}
        for call in self.calls:
            content = f"with {call.input}"
            if not isinstance(call, ExecuteCall):
                content += ", no receipt" if call.receipt is None else f", receipt {call.receipt}"
            contents.setdefault(f"{way_of(call)} {call.step}", set()).add(content)
        return contents

    def stands(self) -> frozenset[str]:
        """The steps whose effect is there."""
        return frozenset(self.world.applied(SAGA_ID, "E") - self.world.applied(SAGA_ID, "C"))

    def unasked(self) -> list[str]:
        """What was planned and never came to pass."""
        return [
            f"{way} {step}: {plan.what}"
            for (way, step), plans in self._story.given.items()
            for plan in plans[self._reached[way, step] :]
        ]

    def _plan_of(self, call: Call) -> tuple[Planned, int]:
        """What becomes of *call*, and which of the plans that is."""
        plans = self._story.given.get(_call_of(call), ())
        number = self._answers(*_call_of(call)) + self._spent[_call_of(call)]
        self._reached[_call_of(call)] = max(self._reached[_call_of(call)], number + 1)
        if number < len(plans):
            return plans[number], number
        return (plans[-1] if plans and plans[-1].ever_after else Planned("succeeded")), number

    async def _delivered(self, call: Call, planned: Planned, at: float) -> Answer:
        await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
        if planned.output is not None:
            self.world.outputs[call.step] = planned.output
        answer = self.world.deliver(call, Reply(_REACTIONS.get(planned.what) or _unproved(planned)))
        match answer, planned:
            case Refused(message=message), Planned("refused", code):
                return Refused(code, message)
            case Faulted(), Planned("faulted", code, hint_s=hint_s):
                return Faulted(code, "", hint_s)
            case Pending(), Planned("pending", hint_s=hint_s):
                return Pending(hint_s)
            case _, Planned("succeeded" | "refused" | "faulted" | "pending"):
                return answer
            case _:
                return _no_proof(planned)


def _call_of(call: Call) -> tuple[Way, str]:
    return way_of(call), call.step


def _unproved(planned: Planned) -> Reaction:
    """What one who proves nothing does."""
    return Reaction.SUCCEED if planned.effect else Reaction.LOSE_THE_REQUEST


def _no_proof(planned: Planned) -> Answer:
    match planned.what:
        case "status":
            return NoProof(status_kind(planned.code, None), planned.code, "a status")
        case "babbles":
            return NoProof(Unproved.BROKEN_CONTRACT, "BROKEN_CONTRACT", "the answer cannot be read")
        case "key reused":
            return NoProof(Unproved.KEY_REUSED, "KEY_REUSED", "the key came with other content")
        case "barred":
            return NoProof(Unproved.BARRED, "BARRED", "it was compensated already")
        case "stale token":
            return NoProof(Unproved.STALE_TOKEN, "STALE_TOKEN", "a newer coordinator was here")
        case _:  # silence, which nobody hears
            return NoProof(Unproved.TRANSIENT, "DEADLINE_EXCEEDED", "no answer")


_REACTIONS: Final = {
    "succeeded": Reaction.SUCCEED,
    "refused": Reaction.REFUSE,
    "faulted": Reaction.FAULT,
    "pending": Reaction.PEND,
}
