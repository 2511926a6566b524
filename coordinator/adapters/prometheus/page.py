"""The page that a scraper gets, as Prometheus text or as OpenMetrics.

Whatever the journal or the crowd of scrapers does, there is a page, and no queue for it.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from coordinator.adapters.prometheus.metrics import (
    BUILD_INFO,
    CENSUS_UP,
    DEAD_LETTERS,
    DEAD_LETTERS_BY_SIGNATURE,
    OLDEST_OPEN_AGE,
    OLDEST_UNDO_AGE,
    OPEN,
    OPEN_LIMIT,
    TELEMETRY_ITEMS,
    WAITING,
    Labels,
    Reading,
    family,
)
from coordinator.adapters.prometheus.telemetry import OTHER, PrometheusTelemetry
from coordinator.domain.ids import StepName
from coordinator.domain.language.relations import NAME
from coordinator.domain.saga import Status
from coordinator.engine.dispatcher import Load
from coordinator.ports.clock import Clock
from coordinator.ports.journal import Census, SagaIndex

CENSUS_INTERVAL_S: Final = 1.0
CENSUS_PATIENCE_S: Final = 0.5
"""A scraper gives up after some seconds, and then has nothing; without the census it has the rest."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Format:
    write: Callable[[Collector], bytes]
    content_type: str


_PLAIN: Final = _Format(generate_latest, CONTENT_TYPE_PLAIN_0_0_4)
_OPENMETRICS: Final = _Format(openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST)


class MetricsPage:
    """What a scraper gets: the counts, and a census of the journal that is a second old at most."""

    def __init__(
        self,
        telemetry: PrometheusTelemetry,
        index: SagaIndex,
        clock: Clock,
        loads: Callable[[], Mapping[str, Load]],
        *,
        version: str,
        open_max: int,
        pushed: Callable[[], Mapping[Labels, int]] = dict,
    ) -> None:
        """*open_max* is how many sagas may be open; *pushed* tells what went to a collector, by the labels of
        its metric."""
        self._telemetry = telemetry
        self._index = index
        self._clock = clock
        self._loads = loads
        self._version = version
        self._open_max = open_max
        self._pushed = pushed
        self._census: asyncio.Task[Census | None] | None = None
        self._census_asked_at = 0.0
        self._next: dict[_Format, asyncio.Task[bytes]] = {}
        self._writing: set[asyncio.Task[bytes]] = set()
        self._turn = asyncio.Lock()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, in the format that the header *accept* prefers.

        It is as new as the request: a page that is being written is not handed out, but everybody who asks
        meanwhile gets the next one, so that no crowd makes a queue.
        """
        wanted = _OPENMETRICS if _prefers_openmetrics(accept) else _PLAIN
        task = self._next.get(wanted)
        if task is None:
            task = self._next[wanted] = asyncio.create_task(self._write(wanted))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task), wanted.content_type

    async def read(self) -> Sequence[Reading]:
        """All numbers as they stand."""
        census = await self._counted()
        return [*self._telemetry.read(self._loads()), *self._gauges(census)]

    async def close(self) -> None:
        """Ask nothing more of the journal, and write no page any more."""
        tasks = [*self._writing, *([self._census] if self._census is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, wanted: _Format) -> bytes:
        async with self._turn:
            del self._next[wanted]
            snapshot = _Snapshot(await self.read())
            # In a thread, but for copying the numbers: with a hundred services it is a tenth of a second of
            # work, and the event loop drives the sagas.
            return await asyncio.to_thread(wanted.write, snapshot)

    async def _counted(self) -> Census | None:
        now = asyncio.get_running_loop().time()
        task = self._census
        if task is None or (task.done() and now - self._census_asked_at >= CENSUS_INTERVAL_S):
            self._census_asked_at = now
            task = self._census = asyncio.create_task(self._ask())
        await asyncio.wait([task], timeout=CENSUS_PATIENCE_S)
        return task.result() if task.done() and not task.cancelled() else None

    async def _ask(self) -> Census | None:
        try:
            return await self._index.census(self._clock.now())
        except Exception as error:  # whatever the journal has: the page is there without it
            _log.warning(
                "the sagas cannot be counted for the metrics", extra={"reason": type(error).__name__}
            )
            return None

    def _gauges(self, census: Census | None) -> Iterable[Reading]:
        yield Reading(BUILD_INFO, {(self._version,): 1})
        yield Reading(OPEN_LIMIT, {(): self._open_max})
        yield Reading(TELEMETRY_ITEMS, {**_NOTHING_PUSHED, **self._pushed()})
        yield Reading(CENSUS_UP, {(): 0 if census is None else 1})
        if census is None:
            return
        yield Reading(
            OPEN,
            {
                (Status.RUNNING.value,): census.running,
                (Status.COMPENSATING.value,): census.compensating,
            },
        )
        yield Reading(WAITING, {(): census.waiting})
        yield Reading(DEAD_LETTERS, {(): census.dead_letters})
        yield Reading(DEAD_LETTERS_BY_SIGNATURE, self._by_signature(census))
        yield Reading(OLDEST_OPEN_AGE, {(): self._age_s(census.oldest_open_at)})
        yield Reading(OLDEST_UNDO_AGE, {(): self._age_s(census.oldest_undo_at)})

    def _by_signature(self, census: Census) -> Mapping[Labels, int]:
        sagas: Counter[Labels] = Counter()
        for alike in census.signatures:
            definition = self._telemetry.label("definition", alike.saga_name)
            sagas[definition, _step(alike.signature.step), alike.signature.cause.value] += alike.sagas
        return sagas

    def _age_s(self, since: float | None) -> float:
        # The clock may have been set back since the saga's start, by a restart.
        return 0.0 if since is None else max(0.0, self._clock.now() - since)


def _step(name: StepName | None) -> str:
    if name is None:
        return ""
    return name if _NAME.fullmatch(name) else OTHER


class _Snapshot(Collector):
    """What is written down, while the event loop goes on counting."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Family]:
        return map(family, self._readings)


def _prefers_openmetrics(accept: str) -> bool:
    """Whether the header wants OpenMetrics at least as much as plain text."""
    wanted = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for offer in accept.split(","):
        media, *parameters = (part.strip().lower() for part in offer.split(";"))
        if media in wanted:
            quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
            if _QUALITY.fullmatch(quality):
                wanted[media] = max(wanted[media], float(quality))
    openmetrics_quality, text_quality = wanted.values()
    return openmetrics_quality > 0 and openmetrics_quality >= text_quality


_NAME: Final = re.compile(NAME)
_NOTHING_PUSHED: Final[Mapping[Labels, int]] = dict.fromkeys(
    product(("TRACES", "METRICS"), ("SENT", "LOST")), 0
)
_QUALITY: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")
