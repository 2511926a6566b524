"""Each rule is told in the documents as it is here, with what mends a definition that breaks it."""

from pathlib import Path
from typing import Final

from coordinator.domain.rules import RULES, Stage

LANGUAGE: Final = Path(__file__).parents[3] / "docs" / "language.md"


def test_the_documents_tell_each_rule_and_its_cure() -> None:
    told = [line for line in LANGUAGE.read_text().splitlines() if line.startswith("| `")]
    rows = [f"| `{name}` | {rule.sentence} | {rule.cure} |" for name, rule in RULES.items()]
    assert [line for line in told if line.split("`")[1] in RULES] == rows


def test_a_stage_is_called_as_programs_that_read_rules_know_it() -> None:
    assert list(Stage) == ["load", "lint", "participants"]
    stages = [rule.stage for rule in RULES.values()]
    assert stages == sorted(stages, key=list(Stage).index)
