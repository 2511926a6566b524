"""Each of the stories is played: as it is told, and with a coordinator that dies after each of its writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from coordinator.domain.saga import Status
from tests.scenarios.telling.reader import read_story
from tests.scenarios.telling.stage import Played, play
from tests.scenarios.telling.story import AfterCrash, Story
from tests.scenarios.telling.timeline import RESUMED, Line, first_difference, without

STORIES: Final = sorted((Path(__file__).parent / "stories").glob("*.story"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_goes_as_it_is_told_and_a_crash_changes_nothing_but_what_it_says(path: Path) -> None:
    check(read_story(path))


def check(story: Story) -> None:
    """Play *story* straight and with each crash, and compare."""
    straight = play(story)
    differs = first_difference(story.timeline, straight.timeline)
    assert differs is None, _shown(differs, straight.timeline)
    _check_end(story, straight, story.error)
    _check_calls(story, straight)
    crashes = {crash.at: crash for crash in story.after_crash}
    for line in crashes:
        found = [write.line for write in straight.writes].count(line)
        assert found == 1, f"{line!r} ends {found} writes, and not one"
    for number, write in enumerate(straight.writes, start=1):
        cut = play(story, kill_after=number)
        assert cut.killed
        assert list(cut.writes[:number]) == list(straight.writes[:number]), "two runs of one story differ"
        where = f"killed after write {number}, {write.line!r}"
        _check_cut(story, cut, write.records, crashes.get(write.line), where=where)


def _check_cut(story: Story, cut: Played, records: int, crash: AfterCrash | None, *, where: str) -> None:
    """What comes of a story whose coordinator died when there were so many records."""
    before = [line for line in cut.timeline[:records] if line.text != RESUMED]
    after = [line for line in cut.timeline[records:] if line.text != RESUMED]
    usual = without(story.timeline, RESUMED)
    if crash is None:
        differs = first_difference(usual, [*before, *after])
    else:
        differs = first_difference(usual, before, whole=False)
        differs = differs or first_difference(without(crash.rest, RESUMED), after)
    assert differs is None, f"{where}: {_shown(differs, cut.timeline)}"
    try:
        _check_end(story, cut, story.error if crash is None or crash.error is None else crash.error)
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from None


def _check_end(story: Story, played: Played, error: str) -> None:
    row, saga = played.row, played.saga
    assert _end_of(played) == story.ends
    assert row.error_message == error
    assert row.needs_person == (row.status is Status.DEAD_LETTERED)
    assert saga.output == story.output
    assert list(row.flags) == list(story.flags)
    assert played.stands == story.stands


def _check_calls(story: Story, played: Played) -> None:
    assert not played.unasked, f"the story tells what never came to pass: {', '.join(played.unasked)}"
    for call, content in story.asked.items():
        assert played.asked.get(call) == {content}, f"{call} carries {played.asked.get(call)}"
    if story.sent is not None:
        sent = list(played.sent)
        for calls in story.sent:
            assert sorted(sent[: len(calls)]) == sorted(calls), f"sent: {', '.join(played.sent)}"
            del sent[: len(calls)]
        assert not sent, f"sent at the end: {', '.join(sent)}"


def _end_of(played: Played) -> str:
    """The end, in the words of a story."""
    row, words = played.row, [str(played.row.status)]
    if row.status is not played.saga.status:
        words.append("set aside")
    elif row.signature is not None:
        words.append(f"{row.signature.step} {row.signature.cause}")
    words += ["forced"] * row.forced + ["overdue"] * played.saga.is_overdue
    return ", ".join(words)


def _shown(differs: str, timeline: Sequence[Line]) -> str:
    return "\n  ".join([differs, *map(str, timeline)])
