"""What reads and judges stories: a text that is none is refused, and whatever a story gets wrong shows."""

from pathlib import Path
from typing import Final

import pytest

from tests.scenarios.telling.reader import NoStory, read_story, story_in
from tests.scenarios.telling.timeline import Line, SideBySide, Timeline, first_difference
from tests.scenarios.test_stories import check

STORIES: Final = Path(__file__).parent / "stories"

A_STORY: Final = """
A trip whose payment is refused.

saga: ttl 1h
  flight, after nothing
  hotel, after nothing
  pay, after flight and hotel
    input: {"to": "input.account"}
yields: {"flight": "outputs.flight"}
input: {"account": 7}

given:
  flight: faulted BUSY
  hotel: pending, ask again in 5s
  pay: refused CARD_DECLINED, takes 1s
  undo hotel: silent after the effect

meanwhile:
  pay begun with {"to":7} -> operator SKIP hotel, in vain: saga saga-1 is RUNNING and step 'hotel' is passed

timeline:
  saga started
  side by side:
    flight begun; flight faulted BUSY, again in 100ms; +100ms flight succeeded at attempt 2
    hotel begun; hotel pending, asked again in 5s; hotel succeeded
  +5s pay begun with {"to":7}
  pay refused CARD_DECLINED
  side by side:
    undo hotel begun; undo hotel faulted UNKNOWN DEADLINE_EXCEEDED, again in 500ms; hotel undone at attempt 2
    undo flight begun; flight undone

ends: COMPENSATED
error: pay at PayService was refused: CARD_DECLINED: the business says no. What was begun has been undone.
stands: nothing
sent: {do flight, do hotel}, do flight, do hotel, do pay, {undo hotel, undo flight}, undo hotel
asked:
  do pay with {"to":7}

after a crash at pay begun with {"to":7}:
  pay refused CARD_DECLINED
  undo pay begun, no receipt
  pay undone
  side by side:
    undo hotel begun; undo hotel faulted UNKNOWN DEADLINE_EXCEEDED, again in 500ms; hotel undone at attempt 2
    undo flight begun; flight undone
"""


def test_the_story_that_is_spoilt_below_is_right() -> None:
    check(story_in(A_STORY, "trip"))


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("  pay refused CARD_DECLINED\n  side", "  pay refused NO\n  side", "line 9 is '+6s pay refused"),
        ("  saga started\n", "", "line 1 is '+0s saga started'"),
        ("hotel begun; hotel pending, asked again in 5s;", "hotel begun;", "'+0s hotel pending, asked again"),
        ("; +100ms flight", "; +200ms flight", "'+100ms flight succeeded at attempt 2', and not '+200ms"),
        ("flight undone\n\nends", "flight undone; +9s flight begun\n\nends", "not with '+9s flight begun'"),
        ("ends: COMPENSATED", "ends: COMPENSATED, forced", "COMPENSATED, forced"),
        ("refused: CARD_DECLINED: the", "refused: NO: the", "What was begun has been undone"),
        ("stands: nothing", "stands: hotel", "hotel"),
        ("stands: nothing", "stands: nothing\noutput: {}", "{}"),
        ("stands: nothing", "stands: nothing\nflags: pay: BARRED", "pay: BARRED"),
        ("do pay, {undo", "do pay, do pay, {undo", "sent: do flight"),
        ("hotel, undo flight}, undo hotel", "hotel, undo flight}", "sent at the end: undo hotel"),
        ('  do pay with {"to":7}', '  do pay with {"to":8}', "do pay carries"),
        ("  flight: faulted BUSY", "  flight: faulted BUSY, 4 times", "line 6 is '+100ms flight faulted"),
        ("  hotel: pend", "  undo flight: succeeded, 2 times\n  hotel: pend", "undo flight: succeeded"),
        ("hotel, in vain: saga", "hotel, in vain: the saga", "SKIP was refused: saga saga-1 is RUNNING"),
        ("operator SKIP hotel, in vain: saga saga-1 is RUNNING and step 'hotel' is passed",
         "operator RETRY hotel", "RETRY was refused: saga saga-1 is RUNNING"),
        ('pay begun with {"to":7} -> oper', "pay begun -> oper", "never came to pass: SKIP"),
        ('  pay refused CARD_DECLINED\n  undo pay begun', "  undo pay begun", "killed after write 4"),
        ("after a crash at pay begun", "after a crash at hotel begun", "ends 0 writes"),
    ],
)  # fmt: skip
def test_whatever_a_story_has_wrong_turns_it_red(right: str, wrong: str, complaint: str) -> None:
    assert A_STORY.count(right) == 1
    with pytest.raises(AssertionError) as caught:
        check(story_in(A_STORY.replace(right, wrong), "trip"))
    assert complaint in str(caught.value)


def test_a_crash_that_changes_something_has_to_be_told() -> None:
    silent = A_STORY[: A_STORY.index("after a crash")]
    with pytest.raises(AssertionError, match="killed after write 4, 'pay begun"):
        check(story_in(silent, "trip"))


def test_a_crash_that_changes_nothing_must_not_be_told_in_another_way() -> None:
    text = (STORIES / "all-succeed.story").read_text()
    told = f"{text}\nafter a crash at pay begun:\n  pay succeeded\n  ship begun\n"
    with pytest.raises(AssertionError, match="killed after write 2, 'pay begun'"):
        check(story_in(told, "told"))


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("\nA trip whose payment is refused.\n", "", "trip: expected a sentence that says what"),
        ("ends: COMPENSATED\n", "", "trip: expected a section 'ends:'"),
        ("saga: ttl 1h", "saga: for 1h", "line 4: expected 'ttl' or 'maxParallel', found 'for 1h'"),
        ("ttl 1h", "ttl an hour", "$.ttl"),
        ("flight, after nothing", "flight, sometime", "line 5: expected pivot, retriable, 'after <steps>'"),
        ("flight and hotel", "flight and car", "$.steps[2].dependsOn[1]"),
        ('"input.account"', '"input..account"', "$.steps[2].input.to: expected an expression in CEL"),
        ("    input: {", "    inputs: {", "line 8: expected when, input, undo input or default output"),
        ('{"account": 7}', "{account: 7}", "line 10: expected JSON, found '{account: 7}'"),
        ("  flight: faulted", "  train: faulted", "line 13: expected '<step>: …' or 'undo <step>: …'"),
        ("flight: faulted BUSY", "flight: faulted", "line 13: expected succeeded, 'refused <code>'"),
        ("pending, ask again in 5s", "pending, ask in 5s", "line 14: expected 'takes <duration>'"),
        ("takes 1s", "takes 1", "line 15: expected a duration from 1ms to 365d"),
        ("  flight: faulted BUSY", "  flight: faulted A, every time\n  flight: succeeded", "it answers as"),
        ("operator SKIP hotel", "operator HURRY hotel", "line 19: expected 'cancel: <reason>'"),
        (" -> operator", " then operator", "line 19: expected '<line of the timeline> -> <what happens>'"),
        ("  saga started\n", "  saga started\n    and more\n", "line 23: expected it below 'side by side:'"),
        ("stands: nothing", "stands: train", "expected steps, or 'nothing', found 'train'"),
        ("do pay, {undo", "pay, {undo", "expected 'do <step>' or 'undo <step>', found 'pay'"),
        ("  do pay with", "  pay with", "expected 'do <step> with <JSON>'"),
        ("ends: COMPENSATED", "ends: COMPENSATED\n  at last", "expected nothing below 'ends'"),
        ("ends: COMPENSATED", "ends: COMPENSATED\nends: COMPLETED", "expected 'ends' once, found it again"),
        ("ends: COMPENSATED", "end: COMPENSATED", "expected one of the sections saga, given"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_story_is_refused_with_the_place_and_a_sentence(
    right: str, wrong: str, complaint: str
) -> None:
    assert A_STORY.count(right) == 1
    with pytest.raises(NoStory) as caught:
        story_in(A_STORY.replace(right, wrong), "trip")
    assert complaint in str(caught.value)


def test_a_story_is_named_after_its_file() -> None:
    assert read_story(STORIES / "all-succeed.story").name == "all-succeed"


LANES: Final = SideBySide(((Line("a"), Line("b")), (Line("a"), Line("c"))))


@pytest.mark.parametrize("order", ["x a b a c y", "x a c a b y", "x a a b c y", "x a a c b y"])
def test_lanes_run_side_by_side_each_in_its_own_order(order: str) -> None:
    expected: Timeline = (Line("x"), LANES, Line("y"))
    assert first_difference(expected, [Line(text) for text in order.split()]) is None


@pytest.mark.parametrize(
    ("order", "difference"),
    [
        ("x b", "line 2 is 'b', and not 'a'"),
        ("x a b c", "line 4 is 'c', and not 'a'"),
        ("x a a b y", "line 5 is 'y', and not 'c'"),
        ("x a a b", "it ends after line 4, and not with 'c'"),
        ("x a a b c y z", "line 7 is 'z', and not the end"),
        ("x a d", "line 3 is 'd', and not 'a' or 'b' or 'c'"),
    ],
)
def test_lanes_keep_their_order_and_end_before_it_goes_on(order: str, difference: str) -> None:
    expected: Timeline = (Line("x"), LANES, Line("y"))
    assert first_difference(expected, [Line(text) for text in order.split()]) == difference
