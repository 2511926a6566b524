"""docs/rules.md names a story for every rule in every direction, and leaves out none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordinator.domain.definition import StepKind
from tests.scenarios.telling.reader import read_story
from tests.scenarios.telling.story import DIES, Story
from tests.scenarios.telling.timeline import lines_of

ROOT: Final = Path(__file__).parents[2]
STORIES: Final = {path.stem: path for path in (ROOT / "tests/scenarios/stories").glob("*.story")}
TEXT: Final = (ROOT / "docs/rules.md").read_text()
STORIES_MIN: Final = 60
DIRECTIONS: Final = ("before the pivot", "past the pivot", "undo")
CANNOT_BE: Final = "cannot be: "


@dataclass(frozen=True, slots=True)
class Cell:
    """A rule in one direction: what is said of it as it goes, and where a coordinator dies."""

    rule: str
    direction: str
    straight: str
    crash: str

    def __str__(self) -> str:
        return f"{self.rule}, {self.direction}"


def cells() -> Iterator[Cell]:
    header, _, *rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert split(header) == ["rule", *(column for name in DIRECTIONS for column in (name, "crash"))]
    for row in rows:
        rule, *said = split(row)
        assert len(said) == 2 * len(DIRECTIONS), f"{rule}: {len(said)} cells"
        for place, direction in enumerate(DIRECTIONS):
            yield Cell(rule, direction, said[2 * place], said[2 * place + 1])


def split(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def names(text: str) -> list[str]:
    return re.findall(r"\[([^\]]+)\]", text)


CELLS: Final = list(cells())
TOLD: Final = {name: read_story(path) for name, path in STORIES.items()}


def test_each_cell_names_stories_or_says_why_there_can_be_none() -> None:
    for cell in CELLS:
        for said in (cell.straight, cell.crash):
            if said.startswith(CANNOT_BE):
                assert len(said) > len(CANNOT_BE) + 10, f"{cell}: it does not say why"
                assert cell.straight == cell.crash, f"{cell}: it cannot be, and yet it can"
            else:
                assert names(said), f"{cell}: nothing stands there"
                assert said == ", ".join(f"[{name}]" for name in names(said)), f"{cell}: {said}"


def test_the_stories_of_a_cell_go_in_its_direction() -> None:
    for cell in CELLS:
        for name in [*names(cell.straight), *names(cell.crash)]:
            assert goes(TOLD[name], cell.direction), f"{cell}: {name} does not go there"


def test_a_story_that_stands_only_under_crash_tells_of_one() -> None:
    for cell in CELLS:
        for name in set(names(cell.crash)) - set(names(cell.straight)):
            assert tells_of_a_crash(TOLD[name]), f"{cell}: {name} tells of no crash"


def goes(story: Story, direction: str) -> bool:
    texts = [line.text for line in lines_of(story.timeline)]
    match direction:
        case "before the pivot":
            return any(step.kind is StepKind.COMPENSATABLE for step in story.definition.steps)
        case "past the pivot":
            return any(" begun as the pivot" in text for text in texts)
        case _:
            return any(text.startswith("undo ") for text in texts)


def tells_of_a_crash(story: Story) -> bool:
    dies = any(happening.what == DIES for happening in story.meanwhile)
    dies = dies or any(plan.dies_for_s is not None for plans in story.given.values() for plan in plans)
    return dies or bool(story.after_crash)


def test_every_story_stands_in_the_table_and_every_name_leads_to_its_file() -> None:
    named = {name for cell in CELLS for name in [*names(cell.straight), *names(cell.crash)]}
    assert named == set(STORIES)
    assert len(STORIES) >= STORIES_MIN
    leads_to = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", TEXT, re.MULTILINE))
    assert leads_to == {name: f"../tests/scenarios/stories/{name}.story" for name in STORIES}
