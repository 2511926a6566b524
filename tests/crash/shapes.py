"""The shapes of sagas: what is defined, what the services answer, what people do, and how it ends.

What a service answers is told call by call, and the last answer stays. A crash asks for one call more, so a
shape whose end hangs on their number says how else it may end then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from coordinator.domain.definition import SagaDefinition
from coordinator.domain.events import Verb
from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.domain.saga import Status
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.simulation.rehearsal import Act, Rehearsal
from coordinator.simulation.world import SUCCEEDS, Reaction, Reply
from tests.unit.machine.tale import define, pivot, retriable, step

LONG_S: Final = 60.0
STEPS_MAX: Final = 5_000
"""Of the loop: twenty times what the longest of these runs takes."""
INPUT: Final[JsonValue] = {"n": 1}

REFUSES: Final = Reply(Reaction.REFUSE)
FAULTS: Final = Reply(Reaction.FAULT)
PENDS: Final = Reply(Reaction.PEND, wait_s=5.0)
PENDS_LONG: Final = Reply(Reaction.PEND, wait_s=LONG_S)
LOST: Final = Reply(Reaction.LOSE_THE_REQUEST)
UNHEARD: Final = Reply(Reaction.LOSE_THE_REPLY)
DENIES: Final = Reply(Reaction.DENY)
BABBLES: Final = Reply(Reaction.BABBLE)
SLOW: Final = Reply(Reaction.SUCCEED, takes_s=5.0)
TOO_SLOW: Final = Reply(Reaction.SUCCEED, takes_s=LONG_S)


@dataclass(frozen=True)
class Shape:
    """One kind of saga that is killed wherever it can be."""

    name: str
    definition: SagaDefinition
    ends: Status
    """How it ends without a crash, and with every crash that `crash_may` does not allow for."""
    answers: Mapping[str, Sequence[Reply]] = field(default_factory=dict)
    """For "do a" and "undo a": the first answer, the second, …; the last one stays. Else it succeeds."""
    says: str = ""
    """What the saga says of itself at its end."""
    stands: str = ""
    """The steps whose effects are there at its end."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """What its steps answer, as canonical JSON text: `"a done"` unless said."""
    gets: Mapping[str, str] = field(default_factory=dict)
    """What some of its calls are given, by "do a" and "undo a"."""
    yields: str | None = None
    """The saga's output."""
    acts: Sequence[Act] = ()
    away_s: float = 0.0
    crash_may: frozenset[Status] = frozenset()
    """How it may end, too, once it was killed: then the laws alone judge it."""

    def script(self, call: Call, number: int) -> Reply:
        """What becomes of a call: see `Rehearsal`."""
        answers = self.answers.get(asked(call), (SUCCEEDS,))
        return answers[min(number, len(answers) - 1)]

    def rehearsal(self) -> Rehearsal:
        """This saga, without a crash."""
        return Rehearsal(
            self.definition,
            INPUT,
            self.script,
            outputs=self.outputs,
            away_s=self.away_s,
            acts=self.acts,
            # A draw more, after a crash, must not change the waits behind it.
            draw=0.5,
            keep_boundaries=True,
            steps_max=STEPS_MAX,
        )


def asked(call: Call) -> str:
    """What a call is for: "do a" or "undo a"."""
    return f"{'do' if isinstance(call, ExecuteCall) else 'undo'} {call.step}"


def by_hand(verb: Verb, name: str | None = None, *, after_s: float = 0.0, output: str | None = None) -> Act:
    """What an operator does: after some time, or else when the saga rests."""
    return Act(
        after_seq=1,
        verb=verb,
        step=None if name is None else StepName(name),
        output=output,
        actor="ann",
        reason="she knows",
        after_s=after_s,
        at_rest=not after_s,
    )


def cancelled(*, after_s: float = 0.0) -> Act:
    """What a client does: after some time, or else when the saga rests."""
    return Act(
        after_seq=1,
        verb=Verb.CANCEL,
        reason="not wanted any more",
        after_s=after_s,
        at_rest=not after_s,
    )


UNDONE: Final = "What was begun has been undone."
FIRST_REFUSED: Final = "a at a_service was refused: NO: the business says no."
SECOND_REFUSED: Final = "b at b_service was refused: NO: the business says no."
LAST_REFUSED: Final = "c at c_service was refused: NO: the business says no."
NEEDS_A_PERSON: Final = "Its undo needs a person: undo_a at a_service failed for good."
CANCELLED: Final = f"Cancelled (not wanted any more). {UNDONE}"
OUT_OF_TIME: Final = "The time allowed for it ran out."
IN_DOUBT: Final = (
    "do_p at p_service is the pivot, and is in doubt: nobody knows whether it has happened. "
    "It needs a person."
)
PAST_THE_PIVOT: Final = "and past the pivot nothing is undone."
NO_ID: Final = 'outputs.%s has no field "id"'

_COMPLETED, _COMPENSATED, _DEAD = Status.COMPLETED, Status.COMPENSATED, Status.DEAD_LETTERED

_GOING_FORWARD = (
    Shape("one step", define("a"), _COMPLETED, stands="a"),
    Shape("two steps", define("a", "b"), _COMPLETED, stands="a b"),
    Shape("three steps", define("a", "b", "c"), _COMPLETED, stands="a b c"),
    Shape(
        "retried, then it succeeds",
        define("a"),
        _COMPLETED,
        {"do a": [FAULTS, FAULTS, SUCCEEDS]},
        stands="a",
    ),
    Shape(
        "retried when the service asks for it",
        define("a"),
        _COMPLETED,
        {"do a": [Reply(Reaction.FAULT, wait_s=6.0), SUCCEEDS]},
        stands="a",
    ),
    Shape("a request is lost", define("a", "b"), _COMPLETED, {"do a": [LOST, SUCCEEDS]}, stands="a b"),
    Shape("a reply is lost", define("a", "b"), _COMPLETED, {"do a": [UNHEARD, SUCCEEDS]}, stands="a b"),
    Shape("pending", define("a", "b"), _COMPLETED, {"do a": [PENDS, PENDS, SUCCEEDS]}, stands="a b"),
    Shape("slower than its timeout", define("a"), _COMPLETED, {"do a": [TOO_SLOW, SUCCEEDS]}, stands="a"),
)

_TURNING_BACK = (
    Shape(
        "the first is refused",
        define("a", "b"),
        _COMPENSATED,
        {"do a": [REFUSES]},
        says=f"{FIRST_REFUSED} Nothing had to be undone.",
    ),
    Shape(
        "the second of three is refused",
        define("a", "b", "c"),
        _COMPENSATED,
        {"do b": [REFUSES]},
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "the last is refused",
        define("a", "b", "c"),
        _COMPENSATED,
        {"do c": [REFUSES]},
        says=f"{LAST_REFUSED} {UNDONE}",
    ),
    Shape(
        "refused after a request was lost",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [LOST, REFUSES]},
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "pending, then refused",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [PENDS, REFUSES]},
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "out of attempts",
        define("a", step("b", attempts_max=2)),
        _COMPENSATED,
        {"do b": [FAULTS]},
        says=f"b at b_service was given up: BUSY. {UNDONE}",
    ),
    Shape(
        "out of attempts, where one more would have done",
        define("a", step("b", attempts_max=2)),
        _COMPENSATED,
        {"do b": [FAULTS, FAULTS, SUCCEEDS]},
        says=f"b at b_service was given up: BUSY. {UNDONE}",
        crash_may=frozenset({_COMPLETED}),
    ),
    Shape(
        "every request is lost",
        define("a", step("b", attempts_max=2)),
        _COMPENSATED,
        {"do b": [LOST]},
        says=f"b at b_service was given up: UNAVAILABLE: the request was lost. {UNDONE}",
    ),
    Shape(
        "every reply is lost",
        define("a", step("b", attempts_max=2)),
        _COMPENSATED,
        {"do b": [UNHEARD]},
        says=f"b at b_service was given up: DEADLINE_EXCEEDED: the reply was lost. {UNDONE}",
    ),
    Shape(
        "a status that does not pass",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [DENIES]},
        says=f"b at b_service was given up: PERMISSION_DENIED: not you. {UNDONE}",
    ),
    Shape(
        "a broken answer",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [BABBLES]},
        says=f"b at b_service was given up: BROKEN_CONTRACT: what?. {UNDONE}",
    ),
    Shape(
        "nothing undoes the first",
        define(step("a", undo=None), "b"),
        _COMPENSATED,
        {"do b": [REFUSES]},
        says=f"{SECOND_REFUSED} Nothing had to be undone. Nothing undoes a.",
        stands="a",
    ),
    Shape(
        "nothing undoes one whose outcome is unknown",
        define("a", step("b", undo=None, attempts_max=1)),
        _COMPENSATED,
        {"do b": [LOST]},
        says=f"b at b_service was given up: UNAVAILABLE: the request was lost. {UNDONE} Nothing undoes b.",
    ),
)

_UNDOING = (
    Shape(
        "an undo is retried",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [FAULTS, LOST, UNHEARD, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "an undo is pending",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [PENDS, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "an undo is pending for longer than its budget, and then tried",
        define(step("a", budget_s=3.0), "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [PENDS, FAULTS, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
        # Each call more that a crash asks for spends of it.
        crash_may=frozenset({_DEAD}),
    ),
    Shape(
        "an undo gets statuses and broken answers",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [DENIES, BABBLES, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "an undo is refused",
        define("a", "b"),
        _DEAD,
        {"do b": [REFUSES], "undo a": [REFUSES]},
        says=f"{SECOND_REFUSED} {NEEDS_A_PERSON}",
        stands="a",
    ),
    Shape(
        "an undo is tried in vain",
        define(step("a", budget_s=3.0), "b"),
        _DEAD,
        {"do b": [REFUSES], "undo a": [LOST]},
        says=f"{SECOND_REFUSED} {NEEDS_A_PERSON}",
        stands="a",
    ),
    Shape(
        "an undo is refused, and holds up the one before it",
        define("a", "b", "c"),
        _DEAD,
        {"do c": [REFUSES], "undo b": [REFUSES]},
        says=f"{LAST_REFUSED} Its undo needs a person: undo_b at b_service failed for good; "
        "behind it wait: a.",
        stands="a b",
    ),
    Shape(
        "an undo is refused, and the one before it goes on",
        define("a", step("b", on_failure="continue"), "c"),
        _DEAD,
        {"do c": [REFUSES], "undo b": [REFUSES]},
        says=f"{LAST_REFUSED} Its undo needs a person: undo_b at b_service failed for good.",
        stands="b",
    ),
)

_PEOPLE = (
    Shape(
        "cancelled while it waits",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [PENDS_LONG]},
        says=CANCELLED,
        acts=[cancelled(after_s=2.0)],
    ),
    Shape(
        "cancelled during a call",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [SLOW]},
        says=CANCELLED,
        acts=[cancelled(after_s=2.0)],
    ),
    Shape(
        "cancelled, and once more when that is done",
        define("a"),
        _COMPENSATED,
        {"do a": [PENDS_LONG]},
        says=CANCELLED,
        acts=[cancelled(after_s=2.0), cancelled()],
    ),
    Shape(
        "cancelled by an operator",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [PENDS_LONG]},
        says=f"Cancelled (she knows). {UNDONE}",
        acts=[by_hand(Verb.CANCEL, after_s=2.0)],
    ),
    Shape(
        "terminated while it waits",
        define("a", "b"),
        Status.TERMINATED,
        {"do b": [PENDS_LONG]},
        says="Terminated by ann (she knows). What was begun and is not undone stands as it is.",
        stands="a",
        acts=[by_hand(Verb.TERMINATE, after_s=2.0)],
    ),
    Shape(
        "terminated during a call",
        define("a", "b"),
        Status.TERMINATED,
        {"do b": [SLOW]},
        says="Terminated by ann (she knows). What was begun and is not undone stands as it is.",
        stands="a b",
        acts=[by_hand(Verb.TERMINATE, after_s=2.0)],
    ),
    Shape(
        "a wait is cut short by hand",
        define("a"),
        _COMPLETED,
        {"do a": [PENDS_LONG, PENDS_LONG, PENDS_LONG, SUCCEEDS]},
        stands="a",
        acts=[by_hand(Verb.RETRY, "a", after_s=2.0)],
    ),
    Shape(
        "a step is skipped by hand",
        define("a", "b", "c"),
        _COMPLETED,
        {"do b": [PENDS_LONG]},
        stands="a c",
        acts=[by_hand(Verb.SKIP, "b", after_s=2.0)],
    ),
    Shape(
        "a step is completed by hand",
        define("a", "b"),
        _COMPLETED,
        {"do a": [PENDS_LONG]},
        stands="b",
        gets={"do b": '{"n":1,"outputs":{"a":{"id":7}}}'},
        acts=[by_hand(Verb.COMPLETE, "a", after_s=2.0, output='{"id":7}')],
    ),
    Shape(
        "a step is completed by hand during its call, and undone later",
        define("a", "b"),
        _COMPENSATED,
        {"do a": [SLOW], "do b": [REFUSES]},
        acts=[by_hand(Verb.COMPLETE, "a", after_s=2.0)],
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "a step is given up by hand",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [PENDS_LONG]},
        says=f"b at b_service was given up: FAILED_BY_HAND: she knows. {UNDONE}",
        acts=[by_hand(Verb.FAIL, "b", after_s=2.0)],
    ),
    Shape(
        "an undo that was refused is asked again by hand",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [REFUSES, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
        acts=[by_hand(Verb.RETRY, "a")],
    ),
    Shape(
        "an undo that was refused is skipped by hand",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [REFUSES]},
        says=f"{SECOND_REFUSED} Nothing else had to be undone. Left in place by hand: a.",
        stands="a",
        acts=[by_hand(Verb.SKIP, "a")],
    ),
    Shape(
        "an undo that was refused is completed by hand",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [REFUSES]},
        says=f"{SECOND_REFUSED} {UNDONE}",
        stands="a",
        acts=[by_hand(Verb.COMPLETE, "a")],
    ),
    Shape(
        "an undo is given up by hand during its call, and then asked again",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [SLOW, SLOW, SLOW, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
        acts=[by_hand(Verb.FAIL, "a", after_s=2.0), by_hand(Verb.RETRY, "a")],
    ),
    Shape(
        "an undo is given up by hand while it is pending, and then asked again",
        define("a", "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [PENDS_LONG, PENDS_LONG, PENDS_LONG, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
        acts=[by_hand(Verb.FAIL, "a", after_s=2.0), by_hand(Verb.RETRY, "a")],
    ),
    Shape(
        "a step is completed by hand before its turn, and undone later",
        define(step("a", depends_on=[]), step("b", depends_on=[]), max_parallel=1),
        _COMPENSATED,
        {"do a": [Reply(Reaction.REFUSE, takes_s=5.0)]},
        says=f"{FIRST_REFUSED} {UNDONE}",
        acts=[by_hand(Verb.COMPLETE, "b", after_s=2.0)],
    ),
    Shape(
        "an undo is given up by hand",
        define("a", "b"),
        _DEAD,
        {"do b": [REFUSES], "undo a": [PENDS_LONG]},
        says=f"{SECOND_REFUSED} {NEEDS_A_PERSON}",
        stands="a",
        acts=[by_hand(Verb.FAIL, "a", after_s=2.0)],
    ),
    Shape(
        "an undo that was refused is terminated by hand",
        define("a", "b"),
        Status.TERMINATED,
        {"do b": [REFUSES], "undo a": [REFUSES]},
        says=f"{SECOND_REFUSED} Terminated by ann (she knows). "
        "What was begun and is not undone stands as it is.",
        stands="a",
        acts=[by_hand(Verb.TERMINATE)],
    ),
    Shape(
        "an undo tried in vain is asked again in vain, and then skipped",
        define(step("a", budget_s=1.0), "b"),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [LOST]},
        says=f"{SECOND_REFUSED} Nothing else had to be undone. Left in place by hand: a.",
        stands="a",
        acts=[by_hand(Verb.RETRY, "a"), by_hand(Verb.SKIP, "a")],
    ),
    Shape(
        "one undo is completed by hand, and the one before it is skipped",
        define("a", "b", "c"),
        _COMPENSATED,
        {"do c": [REFUSES], "undo b": [REFUSES], "undo a": [REFUSES]},
        says=f"{LAST_REFUSED} What else was begun has been undone. Left in place by hand: a.",
        stands="a b",
        acts=[by_hand(Verb.COMPLETE, "b"), by_hand(Verb.SKIP, "a")],
    ),
)

_OUT_OF_TIME = (
    Shape(
        "out of time while it is written that a step begins",
        define("a", "b", ttl_s=5.0015),
        _COMPENSATED,
        {"do a": [SLOW]},
        says=f"{OUT_OF_TIME} {UNDONE}",
        # It begins a little later where it was killed before: then only if there is still time.
        crash_may=frozenset({_COMPENSATED}),
    ),
    Shape(
        "out of time while it waits",
        define("a", "b", ttl_s=10.0),
        _COMPENSATED,
        {"do b": [PENDS_LONG]},
        says=f"{OUT_OF_TIME} {UNDONE}",
    ),
    Shape(
        "out of time during a call",
        define("a", "b", ttl_s=3.0),
        _COMPENSATED,
        {"do b": [TOO_SLOW]},
        says=f"{OUT_OF_TIME} {UNDONE}",
    ),
    Shape(
        "out of time while it undoes",
        define("a", "b", ttl_s=2.0),
        _COMPENSATED,
        {"do b": [REFUSES], "undo a": [FAULTS, FAULTS, FAULTS, FAULTS, SUCCEEDS]},
        says=f"{SECOND_REFUSED} {UNDONE}",
    ),
    Shape(
        "out of time while nobody is up",
        define("a", "b", ttl_s=10.0),
        _COMPLETED,
        stands="a b",
        away_s=LONG_S,
        crash_may=frozenset({_COMPENSATED}),
    ),
    Shape(
        "retried after a long absence",
        define("a", "b"),
        _COMPLETED,
        {"do b": [FAULTS, SUCCEEDS]},
        stands="a b",
        away_s=3_600.0,
    ),
)

_SIDE_BY_SIDE = (
    Shape(
        "two side by side",
        define(step("a", depends_on=[]), step("b", depends_on=[])),
        _COMPLETED,
        stands="a b",
    ),
    Shape(
        "two side by side, one at a time",
        define(step("a", depends_on=[]), step("b", depends_on=[]), max_parallel=1),
        _COMPLETED,
        {"do a": [FAULTS, SUCCEEDS]},
        stands="a b",
    ),
    Shape(
        "a refusal beside a call in flight",
        define(step("a", depends_on=[]), step("b", depends_on=[])),
        _COMPENSATED,
        {"do a": [REFUSES], "do b": [SLOW]},
        says=f"{FIRST_REFUSED} {UNDONE}",
    ),
    Shape(
        "a refusal before the one beside it could begin",
        define(step("a", depends_on=[]), step("b", depends_on=[]), max_parallel=1),
        _COMPENSATED,
        {"do a": [REFUSES]},
        says=f"{FIRST_REFUSED} Nothing had to be undone.",
    ),
    Shape(
        "four in a diamond",
        define(
            "a", step("b", depends_on=["a"]), step("c", depends_on=["a"]), step("d", depends_on=["b", "c"])
        ),
        _COMPLETED,
        stands="a b c d",
    ),
    Shape(
        "a diamond is refused at its end",
        define(
            "a", step("b", depends_on=["a"]), step("c", depends_on=["a"]), step("d", depends_on=["b", "c"])
        ),
        _COMPENSATED,
        {"do d": [REFUSES]},
        says=f"d at d_service was refused: NO: the business says no. {UNDONE}",
    ),
    Shape(
        "two undone side by side, one of them in vain",
        define(
            "a", step("b", depends_on=["a"]), step("c", depends_on=["a"]), step("d", depends_on=["b", "c"])
        ),
        _DEAD,
        {"do d": [REFUSES], "undo b": [REFUSES]},
        says="d at d_service was refused: NO: the business says no. Its undo needs a person: "
        "undo_b at b_service failed for good; behind it wait: a.",
        stands="a b",
    ),
)

_PIVOT = (
    Shape("past the pivot to the end", define("a", pivot("p"), retriable("r")), _COMPLETED, stands="a p r"),
    Shape(
        "the pivot is refused",
        define("a", pivot("p"), retriable("r")),
        _COMPENSATED,
        {"do p": [REFUSES]},
        says=f"p at p_service was refused: NO: the business says no. {UNDONE}",
    ),
    Shape(
        "the pivot is refused after a request was lost",
        define("a", pivot("p")),
        _COMPENSATED,
        {"do p": [LOST, REFUSES]},
        says=f"p at p_service was refused: NO: the business says no. {UNDONE}",
    ),
    Shape(
        "the pivot is in doubt",
        define("a", pivot("p", budget_s=2.0), retriable("r")),
        _DEAD,
        {"do p": [UNHEARD]},
        says=IN_DOUBT,
        stands="a p",
    ),
    Shape(
        "the pivot is denied, and asked again all the same",
        define(pivot("p"), retriable("r")),
        _COMPLETED,
        {"do p": [DENIES, BABBLES, SUCCEEDS]},
        stands="p r",
    ),
    Shape(
        "the pivot in doubt is given up by hand",
        define("a", pivot("p", budget_s=1.0)),
        _COMPENSATED,
        {"do p": [LOST]},
        says=f"p at p_service was given up: FAILED_BY_HAND: she knows. {UNDONE}",
        acts=[by_hand(Verb.FAIL, "p")],
    ),
    Shape(
        "the pivot in doubt is completed by hand",
        define(pivot("p", budget_s=1.0), retriable("r")),
        _COMPLETED,
        {"do p": [UNHEARD]},
        stands="p r",
        acts=[by_hand(Verb.COMPLETE, "p")],
    ),
    Shape(
        "past the pivot it is refused",
        define(pivot("p"), retriable("r")),
        _DEAD,
        {"do r": [REFUSES]},
        says=f"do_r at r_service needs a person: it was refused, {PAST_THE_PIVOT}",
        stands="p",
    ),
    Shape(
        "past the pivot it is tried in vain",
        define(pivot("p"), retriable("r", budget_s=2.0)),
        _DEAD,
        {"do r": [FAULTS]},
        says=f"do_r at r_service needs a person: it was tried in vain until its budget was spent, "
        f"{PAST_THE_PIVOT}",
        stands="p",
    ),
    Shape(
        "past the pivot a refusal is asked again by hand",
        define(pivot("p"), retriable("r")),
        _COMPLETED,
        {"do r": [REFUSES, SUCCEEDS]},
        stands="p r",
        acts=[by_hand(Verb.RETRY, "r")],
    ),
    Shape(
        "past the pivot a step is given up by hand during its call, and then asked again",
        define(pivot("p"), retriable("r")),
        _COMPLETED,
        {"do r": [SLOW, SLOW, SLOW, SUCCEEDS]},
        stands="p r",
        acts=[by_hand(Verb.FAIL, "r", after_s=2.0), by_hand(Verb.RETRY, "r")],
    ),
    Shape(
        "past the pivot a step is given up by hand while it is pending, and then asked again",
        define(pivot("p"), retriable("r")),
        _COMPLETED,
        {"do r": [PENDS_LONG, PENDS_LONG, PENDS_LONG, SUCCEEDS]},
        stands="p r",
        acts=[by_hand(Verb.FAIL, "r", after_s=2.0), by_hand(Verb.RETRY, "r")],
    ),
    Shape(
        "past the pivot a refusal is skipped by hand",
        define(pivot("p"), retriable("r")),
        _COMPLETED,
        {"do r": [REFUSES]},
        stands="p",
        acts=[by_hand(Verb.SKIP, "r")],
    ),
    Shape(
        "overdue",
        define(pivot("p"), retriable("r"), ttl_s=2.0),
        _COMPLETED,
        {"do r": [FAULTS, FAULTS, FAULTS, SUCCEEDS]},
        stands="p r",
    ),
    Shape(
        "two side by side past the pivot, one of them refused",
        define(pivot("p"), retriable("r", depends_on=["p"]), retriable("s", depends_on=["p"])),
        _DEAD,
        {"do r": [REFUSES]},
        says=f"do_r at r_service needs a person: it was refused, {PAST_THE_PIVOT}",
        stands="p s",
    ),
)

_DATA = (
    Shape(
        "conditions",
        define(step("a", when="input.n > 5"), step("b", when="input.n > 0"), step("c", depends_on=["a"])),
        _COMPLETED,
        stands="b c",
    ),
    Shape(
        "mappings and an output",
        define(
            "a",
            step("b", input={"id": "outputs.a.id", "twice": "input.n * 2"}),
            output={"ids": ["outputs.a.id", "outputs.b.id"]},
        ),
        _COMPLETED,
        stands="a b",
        outputs={"a": '{"id":7}', "b": '{"id":8}'},
        gets={"do a": '{"n":1,"outputs":{}}', "do b": '{"id":7,"twice":2}'},
        yields='{"ids":[7,8]}',
    ),
    Shape(
        "mappings for an undo",
        define(
            step(
                "a",
                input={"n": "input.n"},
                compensation_input={"id": "outputs.a.id"},
                default_output={"id": 0},
            ),
            step("b", input={"id": "outputs.a.id"}),
            "c",
        ),
        _COMPENSATED,
        {"do c": [REFUSES]},
        says=f"{LAST_REFUSED} {UNDONE}",
        outputs={"a": '{"id":7}'},
        gets={"do a": '{"n":1}', "do b": '{"id":7}', "undo b": '{"id":7}', "undo a": '{"id":7}'},
    ),
    Shape(
        "an undo by the default output",
        define(
            step("a", attempts_max=1, compensation_input={"id": "outputs.a.id"}, default_output={"id": 0})
        ),
        _COMPENSATED,
        {"do a": [UNHEARD]},
        says=f"a at a_service was given up: DEADLINE_EXCEEDED: the reply was lost. {UNDONE}",
        gets={"undo a": '{"id":0}'},
    ),
    Shape(
        "a default output",
        define(
            step("a", when="input.n > 5", default_output={"id": 0}), step("b", input={"id": "outputs.a.id"})
        ),
        _COMPLETED,
        stands="b",
        gets={"do b": '{"id":0}'},
    ),
    Shape(
        "an expression fails",
        define("a", step("b", input={"id": "outputs.a.id"})),
        _COMPENSATED,
        outputs={"a": "{}"},
        says=f"An expression of step b failed, at input.id: {NO_ID % 'a'}. {UNDONE}",
    ),
    Shape(
        "a condition fails",
        define("a", step("b", when="outputs.a.id > 5")),
        _COMPENSATED,
        outputs={"a": "{}"},
        says=f"An expression of step b failed, at when: a field that it reads is missing: id. {UNDONE}",
    ),
    Shape(
        "the output cannot be made",
        define("a", output={"id": "outputs.a.id"}),
        _COMPENSATED,
        outputs={"a": "{}"},
        says=f"An expression of the saga failed, at output.id: {NO_ID % 'a'}. {UNDONE}",
    ),
    Shape(
        "an expression of an undo fails",
        define("a", step("b", compensation_input={"id": "outputs.a.id"}), "c"),
        _DEAD,
        {"do c": [REFUSES]},
        outputs={"a": "{}"},
        says=f"{LAST_REFUSED} Its undo needs a person: undo_b at b_service failed for good; "
        "behind it wait: a.",
        stands="a b",
    ),
    Shape(
        "past the pivot an expression fails",
        define(pivot("p"), retriable("r", input={"id": "outputs.p.id"})),
        _DEAD,
        outputs={"p": "{}"},
        says=f"do_r at r_service needs a person: its expression failed at input.id: {NO_ID % 'p'}, "
        f"{PAST_THE_PIVOT}",
        stands="p",
    ),
    Shape(
        "past the pivot the output cannot be made",
        define(pivot("p"), output={"id": "outputs.p.id"}),
        _COMPLETED,
        outputs={"p": "{}"},
        says=f"Every step is done, but the saga's output could not be made: output.id: {NO_ID % 'p'}.",
        stands="p",
    ),
)

SHAPES: Final = (
    *_GOING_FORWARD,
    *_TURNING_BACK,
    *_UNDOING,
    *_PEOPLE,
    *_OUT_OF_TIME,
    *_SIDE_BY_SIDE,
    *_PIVOT,
    *_DATA,
)
"""All of them, by what they are about."""
