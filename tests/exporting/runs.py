"""Random runs, each exported as a test, which is run: `python -m tests.exporting.runs` takes 200 of them.

A seed chooses a definition, what is answered and when, at which boundaries the coordinator is killed, and
what people do.
"""

import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.domain import jsontext
from coordinator.domain.definition import SagaDefinition, parse_definition
from coordinator.domain.events import Verb
from coordinator.domain.ids import StepName
from coordinator.domain.shown.exported import exported
from coordinator.ports.journal import Record
from coordinator.ports.participants import Call
from coordinator.simulation.boundaries import Kill, Unsynced
from coordinator.simulation.course import Acted, Answered, Cancelled, Happening, Started
from coordinator.simulation.exporting import Export, export
from coordinator.simulation.pytest_text import pytest_text
from coordinator.simulation.rehearsal import Act, Rehearsal, Rehearsed, rehearse
from coordinator.simulation.world import SUCCEEDS, Reaction, Reply
from tests.unit.machine.definitions import INPUT, OUTPUT, any_definition

RUNS: Final = 200
BOUNDARIES: Final = 60
"""A kill comes at one of the first so many."""
SENSITIVE: Final = "n"
"""Of the input: nothing that these definitions decide hangs on it."""


@dataclass(frozen=True)
class Run:
    """One saga, and the test that was made of it, which has passed."""

    rehearsed: Rehearsed
    export: Export
    text: str


def run(seed: int) -> Run:
    """The run of *seed*, exported and played again."""
    rehearsal = a_rehearsal(seed)
    rehearsed = rehearse(rehearsal)
    shown = exported(rehearsed.saga, [record.event for record in rehearsed.records])
    records = [Record(r.seq, r.token, event) for r, event in zip(rehearsed.records, shown, strict=True)]
    made = export(rehearsal.definition, records)
    text = pytest_text(made)
    the_test_in(text)()
    return Run(rehearsed, made, text)


def the_test_in(text: str) -> Callable[[], None]:
    """The one test of a file."""
    names: dict[str, Callable[[], None]] = {}
    exec(compile(text, "an export", "exec"), names)  # noqa: S102  # it is what people do with it
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    return test


def a_rehearsal(seed: int) -> Rehearsal:
    dice = random.Random(seed)
    definition = _with_sensitive(any_definition(dice.randint(1, 7), dice), dice)
    return Rehearsal(
        definition,
        jsontext.loads(INPUT),
        _script(seed, wrong=dice.choice([0.0, 0.1, 0.3, 0.5])),
        outputs={step.name: OUTPUT for step in definition.steps},
        kills=_kills(dice) if dice.random() < 0.5 else {},
        away_s=dice.choice([0.0, 0.1, 5.0, 100.0]),
        acts=_acts(definition, dice) if dice.random() < 0.5 else (),
    )


def _with_sensitive(definition: SagaDefinition, dice: random.Random) -> SagaDefinition:
    document = jsontext.reload(definition.text)
    assert isinstance(document, dict)
    if definition.output is not None or dice.random() < 0.5:
        return definition
    return parse_definition(jsontext.canonical({**document, "sensitive": [SENSITIVE]}), source="test")


def _script(seed: int, *, wrong: float) -> Callable[[Call, int], Reply]:
    """Whoever asks the same gets the same, in whatever order they ask."""

    def script(call: Call, number: int) -> Reply:
        dice = random.Random(f"{seed} {type(call).__name__} {call.step} {number}")
        return Reply(
            dice.choice(list(Reaction)) if dice.random() < wrong else SUCCEEDS.reaction,
            takes_s=dice.choice([0.0, 0.0, 0.0, 0.000_3, 0.01, 0.5, 2.0, 11.0]),
            wait_s=dice.choice([None, None, 0.1, 3.0]),
        )

    return script


def _kills(dice: random.Random) -> dict[int, Kill]:
    return {
        dice.randint(1, BOUNDARIES): Kill(dice.choice(list(Unsynced)), dice.randint(0, 4))
        for _ in range(dice.randint(1, 3))
    }


def _acts(definition: SagaDefinition, dice: random.Random) -> Sequence[Act]:
    return [_act(definition, dice) for _ in range(dice.randint(1, 3))]


def _act(definition: SagaDefinition, dice: random.Random) -> Act:
    verb = dice.choice(list(Verb))
    step: StepName | None = None
    if verb not in (Verb.CANCEL, Verb.TERMINATE):
        step = dice.choice(definition.steps).name
    return Act(
        after_seq=2,
        verb=verb,
        step=step,
        output=dice.choice([None, OUTPUT]) if verb is Verb.COMPLETE else None,
        actor=dice.choice(["", "ada"]) if verb is Verb.CANCEL else "ada",
        reason="she knows",
        after_s=dice.choice([0.0, 0.001, 0.002, 0.01, 1.0, 12.0]),
        at_rest=dice.random() < 0.4,
        may_come_too_late=True,
    )


def main() -> int:
    """Do so with all of them, and tell what there was."""
    logging.disable()
    begun = time.monotonic()
    ends, seen = Counter[str](), Counter[str]()
    for seed in range(RUNS):
        made = run(seed).export
        ends[made.end.status] += 1
        seen["restarts"] += _count(made.course, Started)
        seen["acts of people"] += _count(made.course, Acted) + _count(made.course, Cancelled)
        seen["answers"] += _count(made.course, Answered)
    lasted_s = time.monotonic() - begun
    told = ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
    print(f"{RUNS} random runs, exported and played again to equal ends in {lasted_s:.0f} s: {told}")
    print(f"in them {', '.join(f'{count} {what}' for what, count in seen.items())}")
    return 0


def _count(course: Sequence[Happening], kind: type[Happening]) -> int:
    return sum(isinstance(one, kind) for one in course)


if __name__ == "__main__":
    sys.exit(main())
