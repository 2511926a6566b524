"""A slice of what `make sim` does at length, and what that relies on: runs that are the same again, plans
that can be kept, failures that are made small, and a law that is broken on purpose and seen to be.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from participants import rules
from participants.calls import Call
from participants.rules import Ruling, Stored
from tests.simulation.drawing import draw_plan
from tests.simulation.hunting import hunt, play_plan
from tests.simulation.plan import WHAT_MAY_HAPPEN, Freeze, FullDisk, Kill, Look, Order, Plan, Trick, read_plan
from tests.simulation.rare import NAMES
from tests.simulation.shrinking import law_of, shrink
from tests.unit.machine.definitions import INPUT
from tests.unit.machine.tale import define

ROOT: Final = Path(__file__).parents[2]
REGRESSIONS: Final = sorted((Path(__file__).parent / "regressions").glob("*.json"))
SEEDS: Final = range(1, 61)
SEEDS_PER_TEST: Final = 15
REPEATED: Final = range(20, 26)


@pytest.mark.parametrize("first", SEEDS[::SEEDS_PER_TEST])
def test_no_world_shows_anything_wrong(first: int) -> None:
    tally = hunt(range(first, first + SEEDS_PER_TEST))
    assert tally.failed == {}
    assert tally.sagas > SEEDS_PER_TEST


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_was_wrong_once_is_right(path: Path) -> None:
    assert list(play_plan(read_plan(path.read_text())).wrong) == []


def test_a_seed_goes_the_same_way_again_whatever_the_order_of_hashes() -> None:
    mine = hunt(REPEATED).fingerprints
    code = (
        "from tests.simulation.hunting import hunt;"
        f"print(hunt(range({REPEATED.start}, {REPEATED.stop})).fingerprints)"
    )
    for hash_seed in ("0", "1"):
        again = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert again.stdout.strip() == str(mine)


@pytest.mark.parametrize("seed", SEEDS[:30])
def test_a_plan_is_the_same_when_it_is_read_back(seed: int) -> None:
    plan = draw_plan(seed)
    assert read_plan(plan.written()) == plan


def test_a_plan_that_was_kept_goes_as_its_seed_does() -> None:
    plan = draw_plan(REPEATED.start)
    assert play_plan(read_plan(plan.written())).happened.fingerprint == (play_plan(plan).happened.fingerprint)


def test_every_trick_is_drawn_by_some_seed() -> None:
    drawn = {
        fault.what for seed in range(200) for fault in draw_plan(seed).faults if isinstance(fault, Trick)
    }
    assert drawn == set(WHAT_MAY_HAPPEN)


def test_each_seed_has_its_own_kinds_of_faults() -> None:
    with_kills = [any(isinstance(fault, Kill) for fault in draw_plan(seed).faults) for seed in range(60)]
    assert 10 < sum(with_kills) < 50


def test_there_are_at_least_fifty_rare_states_and_no_two_of_one_name() -> None:
    assert len(NAMES) >= 50
    assert len(set(NAMES)) == len(NAMES)


def test_what_breaks_a_law_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier that forgets that the undo came first: a late Execute has its effect all the same."""
    rule_execute = rules._rule_execute

    def rule_late_one(call: Call, own: Stored | None, effect: Stored | None, *_: Stored | None) -> Ruling:
        return rule_execute(call, own, effect, None, None)

    monkeypatch.setattr(rules, "_rule_execute", rule_late_one)
    plan = _with_late_calls_among_others()
    wrong = play_plan(plan).wrong
    assert law_of(wrong) == "I8"
    small = shrink(plan, wrong)
    assert law_of(play_plan(small).wrong) == "I8"
    assert [order.number for order in small.orders] == [3]
    assert {fault.what for fault in small.faults if isinstance(fault, Trick)} == {"late"}
    assert len(json.loads(small.definitions[0])["steps"]) == 1
    assert len(small.faults) == 3
    monkeypatch.undo()
    assert list(play_plan(read_plan(small.written())).wrong) == []


def _with_late_calls_among_others() -> Plan:
    """Four sagas, and calls of the third that all arrive when it has turned back."""
    orders = tuple(Order(number, number / 10, 0, INPUT, 30.0) for number in range(1, 5))
    late = [Trick(3, "b", "do", call, "late", s=200.0) for call in range(3)]
    others = [Trick(number, "a", "do", 0, "lose the reply") for number in (1, 2, 3)]
    return Plan(
        salt="late calls",
        definitions=(define("a", "b").text,),
        orders=orders,
        faults=(*others, Look(5.0, 2), Freeze(1.0, 0.5), *late, FullDisk(20.0, 5.0)),
        safe_until_s=300.0,
    )
