"""A slice of `make model`: two steps are explored whole, and every rule is needed."""

import pytest

from tests.model.__main__ import main
from tests.model.configurations import CHAIN, ORDER, TWO, Configuration
from tests.model.explore import explore
from tests.model.facts import COMPENSATED, COMPLETED, DEAD_LETTERED, Event, Facts, Reading, Step, fold
from tests.model.laws import LAWS
from tests.model.protocol import Bounds, Protocol
from tests.model.rules import ALL_RULES, Rules
from tests.model.telling import told
from tests.model.twins import TWINS, Twin

ONE = Configuration("one", CHAIN[:1], Bounds())


@pytest.mark.parametrize("name", TWO)
def test_whatever_happens_no_law_is_broken(name: str) -> None:
    explored = explore(TWO[name].protocol())
    assert explored.breach is None, told(explored.run, TWO[name].shape)
    assert set(explored.ends) == {COMPLETED, COMPENSATED, DEAD_LETTERED}


@pytest.mark.parametrize("rule", Rules._fields)
def test_without_any_one_rule_a_law_is_broken(rule: str) -> None:
    found = explore(TWINS[rule].protocol(rule))
    assert found.breach is not None
    assert found.breach.law == TWINS[rule].law


def test_each_law_is_broken_by_a_twin() -> None:
    assert {twin.law for twin in TWINS.values()} == set(LAWS)


def test_what_breaks_a_law_is_told_as_a_run() -> None:
    rule = "begun_before_sent"
    run = explore(TWINS[rule].protocol(rule)).run
    assert told(run, ORDER.shape) == [
        " 1. run 1 keeps in memory alone: reserve begun",
        " 2. run 1 sends Execute of reserve (run 1)",
        " 3. Execute of reserve (run 1) comes in; the answer is on its way: succeeded",
        " 4. a person acts: cancelled",
        " 5. run 1 dies",
    ]


def test_a_saga_with_which_nothing_goes_on_is_found_though_more_may_befall_it() -> None:
    run = explore(TWINS["restart_resumes"].protocol("restart_resumes")).run
    assert told(run, ORDER.shape) == [" 1. run 1 dies"]


@pytest.mark.parametrize(("between", "needs_undo"), [([], False), (["resumed"], True), (["faulted"], True)])
def test_a_refusal_spares_the_undo_only_of_what_was_asked_once(between: list[str], needs_undo: bool) -> None:
    facts = Facts((Step(),))
    for what in ("begun", *between, "refused"):
        facts = fold(facts, Event(what, -1 if what == "resumed" else 0))
    assert Reading(CHAIN[:1], ALL_RULES).needs_undo(0, facts.steps[0]) is needs_undo


def test_a_twin_that_breaks_no_law_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    needed, unneeded = {"success_is_stored": Twin(ONE, "I6")}, {"pivot_ends_cancel": Twin(ONE, "I11")}
    assert main([ONE], needed) == 0
    assert "laws, broken: 0; twins refuted: 1 of 1" in capsys.readouterr().out
    assert main([ONE], needed | unneeded) == 1
    assert "twins refuted: 1 of 2" in capsys.readouterr().out


class Careless(Configuration):
    """Explores a twin where the protocol should be."""

    def protocol(self, rules: Rules = ALL_RULES) -> Protocol:
        return super().protocol(rules._replace(success_is_stored=False))


def test_a_protocol_that_breaks_a_law_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([Careless(*ONE)], {}) == 1
    printed = capsys.readouterr().out
    assert "I6 is broken: reserve is applied 2 times and undone 0 times" in printed
    assert " 4. Execute of reserve (run 1) comes in" in printed
