"""Each rule is told in the documents as it is here, with what mends a definition that breaks it."""

from pathlib import Path
from typing import Final

from coordinator.domain.language.rules import RULES, Stage

LANGUAGE: Final = Path(__file__).parents[3] / "docs" / "language.md"
HEADING: Final = "| rule | what holds, or is amiss | cure |\n|---|---|---|\n"


def test_the_documents_tell_each_rule_and_its_cure() -> None:
    table = LANGUAGE.read_text().partition(HEADING)[2].partition("<!-- rules: end -->")[0]
    rows = [f"| `{name}` | {rule.sentence} | {rule.cure} |" for name, rule in RULES.items()]
    assert table.splitlines() == rows


def test_each_rule_has_its_stage_under_the_name_that_programs_know() -> None:
    assert [stage.value for stage in Stage] == ["load", "lint", "participants"]
    rules = ("second-pivot", "missing-undo", "participant-silent")
    assert [RULES[rule].stage for rule in rules] == list(Stage)
