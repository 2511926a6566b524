"""News reaches those who listen, the newest only, and nobody waits for news that will not come."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from coordinator.domain.errors import Draining
from coordinator.domain.ids import SagaId
from coordinator.domain.summary import SagaSummary
from coordinator.engine.feed import Feed, News
from tests.unit.machine.tale import Tale, define

SAGA = SagaId("saga-1")


def news_number(seq: int) -> SagaSummary:
    tale = Tale(define("a"))
    for _ in range(seq - 1):
        tale.is_resumed()
    return tale.summary


async def test_a_listener_hears_what_is_published_after_it_began_to_listen() -> None:
    feed = Feed()
    feed.publish(news_number(1))
    with feed.listen(SAGA) as news:
        feed.publish(news_number(2))
        assert (await news.next()).seq == 2


async def test_a_listener_that_was_busy_hears_the_newest_only() -> None:
    feed = Feed()
    with feed.listen(SAGA) as news:
        for seq in (1, 2, 3):
            feed.publish(news_number(seq))
        assert (await news.next()).seq == 3
        feed.publish(news_number(4))
        assert (await news.next()).seq == 4


async def test_every_listener_of_a_saga_hears_its_news_and_no_other() -> None:
    feed = Feed()
    with feed.listen(SAGA) as one, feed.listen(SAGA) as two, feed.listen(SagaId("saga-2")) as other:
        feed.publish(news_number(1))
        assert (await one.next()).seq == (await two.next()).seq == 1
        waiting = asyncio.ensure_future(other.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


@pytest.mark.parametrize("is_closed", [False, True])
async def test_those_who_came_first_are_told_first(is_closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    class Placed(News):
        """In a set, the one that came last would stand in front."""

        came = 0

        def __init__(self, *place: Any, at_rest: bool) -> None:
            super().__init__(*place, at_rest=at_rest)
            Placed.came += 1
            self.place = Placed.came

        def __hash__(self) -> int:
            return 10 - self.place

        def _tell(self, summary: SagaSummary) -> None:
            told.append(self.place)

        def _close(self) -> None:
            told.append(self.place)

    monkeypatch.setattr("coordinator.engine.feed.News", Placed)
    feed = Feed()
    with ExitStack() as listening:
        for _ in range(5):
            listening.enter_context(feed.listen(SAGA))
        if is_closed:
            feed.close()
        else:
            feed.publish(news_number(1))
    assert told == [1, 2, 3, 4, 5]


async def test_closing_wakes_those_who_wait() -> None:
    feed = Feed()
    with feed.listen(SAGA) as news:
        waiting = asyncio.ensure_future(news.next())
        await asyncio.sleep(0)
        feed.close()
        with pytest.raises(Draining):
            await waiting


async def test_what_was_published_before_the_closing_is_still_heard() -> None:
    feed = Feed()
    with feed.listen(SAGA) as news:
        feed.publish(news_number(1))
        feed.close()
        assert (await news.next()).seq == 1
        with pytest.raises(Draining):
            await news.next()


async def test_whoever_comes_after_the_closing_is_told_at_once() -> None:
    feed = Feed()
    feed.close()
    with feed.listen(SAGA) as news, pytest.raises(Draining):
        await news.next()


async def test_a_listener_that_leaves_is_forgotten() -> None:
    feed = Feed()
    with feed.listen(SAGA), feed.listen(SAGA):
        pass
    assert feed._listeners == {}


async def test_who_waits_for_the_end_alone_is_not_woken_before() -> None:
    feed = Feed()
    tale = Tale(define("a")).begins()
    with feed.listen(SAGA, at_rest=True) as news:
        feed.publish(tale.summary)
        with pytest.raises(TimeoutError):
            await news.next(timeout_s=0.01)
        feed.publish(ended := tale.passes("a").summary)
        assert await news.next() == ended


async def test_what_comes_with_the_end_of_the_wait_is_heard() -> None:
    feed = Feed()
    with feed.listen(SAGA) as news:
        waiting = asyncio.ensure_future(news.next(timeout_s=0.0))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.0, feed.publish, published := news_number(1))
        assert await waiting == published


async def test_an_end_of_a_wait_that_is_over_ends_no_other() -> None:
    feed = Feed()
    with feed.listen(SAGA) as news:
        feed.publish(news_number(1))
        await news.next(timeout_s=0.01)
        first = asyncio.ensure_future(news.next(timeout_s=0.01))
        await asyncio.sleep(0)
        feed.publish(news_number(2))
        await first
        second = asyncio.ensure_future(news.next(timeout_s=60.0))
        await asyncio.sleep(0.02)
        assert not second.done()
        second.cancel()
