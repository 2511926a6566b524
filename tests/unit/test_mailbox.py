"""A mailbox loses no message, and wakes its reader for each message and at the earliest moment asked for."""

import asyncio
from typing import Final

from coordinator.engine.mailbox import Mailbox

LONG_S: Final = 3_600.0
PATIENCE_S: Final = 5.0
"""So long a test waits for what comes at once."""


async def settled() -> None:
    """All that can happen now has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_that_comes_before_the_reader_wakes_is_read_in_order() -> None:
    mailbox = Mailbox[int]()
    waiting = asyncio.ensure_future(mailbox.wait(for_s=None))
    await asyncio.sleep(0)
    for message in (1, 2, 3):
        mailbox.put(message)
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert [mailbox.take() for _ in range(3)] == [1, 2, 3]
    assert not mailbox


async def test_what_came_before_is_not_waited_for() -> None:
    mailbox = Mailbox[int]()
    mailbox.put(1)
    await asyncio.wait_for(mailbox.wait(for_s=None), PATIENCE_S)
    assert mailbox.take() == 1


async def test_without_a_message_it_waits() -> None:
    mailbox = Mailbox[int]()
    waiting = asyncio.ensure_future(mailbox.wait(for_s=LONG_S))
    await settled()
    assert not waiting.done()
    mailbox.put(1)
    await asyncio.wait_for(waiting, PATIENCE_S)
    mailbox.close()


async def test_each_moment_wakes_the_reader() -> None:
    mailbox = Mailbox[int]()
    for _ in range(3):
        await asyncio.wait_for(mailbox.wait(for_s=0.0), PATIENCE_S)
    assert not mailbox


async def test_an_earlier_moment_takes_the_place_of_a_later_one() -> None:
    mailbox = Mailbox[int]()
    later = asyncio.ensure_future(mailbox.wait(for_s=LONG_S))
    await asyncio.sleep(0)
    mailbox.put(1)
    await later
    mailbox.take()
    await asyncio.wait_for(mailbox.wait(for_s=0.0), PATIENCE_S)
    assert not mailbox


async def test_once_closed_it_has_no_alarm_set() -> None:
    mailbox = Mailbox[int]()
    waiting = asyncio.ensure_future(mailbox.wait(for_s=0.0))
    await asyncio.sleep(0)
    mailbox.close()
    await settled()
    assert not waiting.done()
    waiting.cancel()
