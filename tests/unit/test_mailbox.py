"""A mailbox loses no message, and wakes its reader for each message and at the earliest moment asked for."""

import asyncio
from contextvars import ContextVar
from typing import Final

from coordinator.engine.mailbox import Mailbox, Turns

LONG_S: Final = 3_600.0
PATIENCE_S: Final = 5.0
"""So long a test waits for what comes at once."""
CALLER: Final = ContextVar("CALLER", default="nobody")


class Reader:
    """Notes its turns, and what there was to read in each."""

    def __init__(self, turns: Turns | None = None) -> None:
        self.mailbox = Mailbox[int](turns or Turns(), self._turn)
        self.read: list[list[int]] = []
        self._woken = asyncio.Event()

    def _turn(self) -> None:
        messages = []
        while (message := self.mailbox.take()) is not None:
            messages.append(message)
        self.read.append(messages)
        self._woken.set()

    async def woken(self, *, for_s: float | None) -> list[int]:
        """What is read when it has waited."""
        self._woken.clear()
        self.mailbox.wait(for_s=for_s)
        await asyncio.wait_for(self._woken.wait(), PATIENCE_S)
        return self.read[-1]


async def settled() -> None:
    """All that can happen now has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_that_comes_before_the_reader_wakes_is_read_in_order_in_one_turn() -> None:
    reader = Reader()
    reader.mailbox.wait(for_s=None)
    for message in (1, 2, 3):
        reader.mailbox.put(message)
    assert reader.read == [], "it takes its turn when whoever has news for it is done"
    await settled()
    assert reader.read == [[1, 2, 3]]
    assert not reader.mailbox


async def test_what_came_before_is_not_waited_for() -> None:
    reader = Reader()
    reader.mailbox.put(1)
    assert await reader.woken(for_s=None) == [1]


async def test_who_does_not_wait_is_not_woken() -> None:
    reader = Reader()
    reader.mailbox.put(1)
    await settled()
    assert reader.read == []
    assert await reader.woken(for_s=None) == [1]
    reader.mailbox.put(2)
    await settled()
    assert reader.read == [[1]]
    assert reader.mailbox


async def test_without_a_message_it_waits() -> None:
    reader = Reader()
    reader.mailbox.wait(for_s=LONG_S)
    await settled()
    assert reader.read == []
    reader.mailbox.put(1)
    await settled()
    assert reader.read == [[1]]
    reader.mailbox.close()


async def test_each_moment_wakes_the_reader() -> None:
    reader = Reader()
    for _ in range(3):
        assert await reader.woken(for_s=0.0) == []


async def test_an_earlier_moment_takes_the_place_of_a_later_one() -> None:
    reader = Reader()
    reader.mailbox.wait(for_s=LONG_S)
    reader.mailbox.put(1)
    await settled()
    assert await reader.woken(for_s=0.0) == []
    assert reader.read == [[1], []]


async def test_a_later_moment_leaves_an_earlier_one_as_it_is() -> None:
    reader = Reader()
    reader.mailbox.wait(for_s=0.05)
    reader.mailbox.put(1)
    await settled()
    assert await reader.woken(for_s=LONG_S) == []


async def test_once_closed_it_wakes_nobody_and_has_no_alarm_set() -> None:
    reader = Reader()
    reader.mailbox.wait(for_s=0.0)
    reader.mailbox.close()
    reader.mailbox.put(1)
    await settled()
    assert reader.read == []


async def test_all_who_have_news_take_their_turns_in_its_order_in_the_context_of_none_of_them() -> None:
    turns, took = Turns(), list[tuple[str, str]]()
    for name in ("a", "b", "c"):
        mailbox = Mailbox[int](turns, lambda name=name: took.append((name, CALLER.get())))  # type: ignore[misc]
        mailbox.wait(for_s=None)
        CALLER.set(name)
        mailbox.put(1)
    assert took == []
    await settled()
    assert took == [("a", "nobody"), ("b", "nobody"), ("c", "nobody")]


async def test_one_whose_turn_fails_costs_no_other_its_turn() -> None:
    turns, took, handled = Turns(), list[str](), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: handled.append(context))
    wrong = ValueError("wrong")

    def fail() -> None:
        raise wrong

    turns.add(fail)
    turns.add(lambda: took.append("second"))
    await settled()
    assert took == ["second"]
    assert [context["exception"] for context in handled] == [wrong]


async def test_who_has_news_in_a_turn_has_another_one() -> None:
    turns, took = Turns(), list[str]()

    def first() -> None:
        took.append("first")
        turns.add(lambda: took.append("second"))

    turns.add(first)
    await settled()
    assert took == ["first", "second"]
