"""Puts the coordinator together and runs it: the one place that knows every concrete class.

Exit codes: 0 stopped when asked to; 2 could not start; 3 stopped by itself because the journal failed; 4
because its port could not be had again after gRPC had closed it.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO

# gRPC's core would print lines of its own between ours; it reads this when it is loaded, which is here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from grpc import aio

from coordinator.adapters.aside import InThreads
from coordinator.adapters.cel import CelExpressions
from coordinator.adapters.clock import SystemChance, SystemClock
from coordinator.adapters.definition_files import DefinitionFiles
from coordinator.adapters.definition_text import read_with_places
from coordinator.adapters.grpc_participants import GrpcParticipants
from coordinator.adapters.logs import configure_logs
from coordinator.adapters.loop_lag import watch_lag
from coordinator.adapters.no_tracing import NoTracing
from coordinator.adapters.opentelemetry.delivery import Deliveries, Delivery
from coordinator.adapters.opentelemetry.environment import NOTHING_ASKED, Wanted, prepare, wanted
from coordinator.adapters.prometheus import MetricsPage, PrometheusTelemetry
from coordinator.adapters.sqlite import SqliteJournal
from coordinator.api.http import HttpPort
from coordinator.api.interceptor import Ended
from coordinator.api.orders import orders_door
from coordinator.api.server import UNARY_METHODS, ApiServer
from coordinator.domain.errors import SagaError, StartupFailed
from coordinator.engine.definitions import Definitions
from coordinator.engine.dispatcher import Dispatcher
from coordinator.engine.driver import Tools
from coordinator.engine.feed import Feed
from coordinator.engine.operations import Operations
from coordinator.engine.pool import Pool
from coordinator.engine.sagas import Sagas
from coordinator.ports.tracing import Tracing
from coordinator.settings import Settings

PACKAGE: Final = "saga-coordinator"
EXIT_STOPPED: Final = 0
EXIT_NOT_STARTED: Final = 2
EXIT_JOURNAL_FAILED: Final = 3
EXIT_UNREACHABLE: Final = 4
COLLECTED_AFTER: Final = (50_000, 20, 20)
"""How much more has to be made than is given back before cycles are looked for among the newest objects, and
how often that has to be done before the older ones are gone through too."""

_log = logging.getLogger("coordinator")


def main(flags: Mapping[str, object] = MappingProxyType({})) -> int:
    """Run a coordinator with the settings of *flags* and the environment until it is told to stop."""
    if sys.stderr is None:
        # The shell has closed it before it started us: what is logged goes to nowhere.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    # A crash below Python, in gRPC or SQLite, leaves at least its stack on stderr.
    faulthandler.enable()
    try:
        settings = Settings.load(os.environ, flags)
        asked = wanted(os.environ)
        if asked != NOTHING_ASKED:
            prepare(os.environ)
        configure_logs(settings.log_level, format=settings.log_format, current_trace=_current_trace(asked))
        _collect_less_often()
        return asyncio.run(serve(settings, asked))
    except StartupFailed as error:
        with suppress(OSError, ValueError):
            print(f"The coordinator did not start: {error}", file=sys.stderr)
        return EXIT_NOT_STARTED
    finally:
        # A disk that is full takes no log either, and that changes no exit code.
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            _throw_away(sys.stderr)


def _collect_less_often() -> None:
    """What is loaded by now stays for good: no collection looks at it again. And what sagas leave behind is
    given back without one, but for a few cycles: by Python's own thresholds a tenth of the time goes into
    looking for those."""
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


async def serve(settings: Settings, asked: Wanted = NOTHING_ASKED) -> int:
    """Serve until a signal or a failing journal. *asked* is what goes to an OpenTelemetry collector.

    Raises:
        StartupFailed: with one sentence for the person who starts it.
    """
    stop = _stop_signal()
    expressions = CelExpressions()
    files = _files(settings, expressions)
    clock, aside = SystemClock(), InThreads()
    telemetry = PrometheusTelemetry(services=settings.services, clock=clock)
    deliveries = Deliveries(asked)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        followed = await enter(_followed(deliveries.traces, settings, telemetry))
        journal = await enter(_journal(settings, telemetry.committed))
        definitions = await _definitions(settings, files, journal, expressions, clock, telemetry, aside)
        participants = await enter(_participants(settings, decides_sampling=deliveries.traces is not None))
        feed = Feed()
        dispatcher = Dispatcher(participants, telemetry, calls_per_service_max=settings.calls_per_service_max)
        tools = Tools(
            journal,
            dispatcher,
            feed,
            clock,
            SystemChance(),
            telemetry,
            followed.tracing,
            expressions,
            aside,
        )
        pool = Pool(tools, journal, sagas_open_max=settings.sagas_open_max)
        api = ApiServer(
            Sagas(pool, tools, journal, definitions),
            definitions,
            Operations(journal, journal, journal, participants, definitions),
            place_order_saga=settings.place_order_saga,
            wait_max_s=settings.wait_max_s,
            message_bytes_max=settings.message_bytes_max,
            around=followed.around,
            follower=followed.follower,
            start_had_no_room=partial(telemetry.start_refused, "OVERLOADED"),
        )
        page = MetricsPage(
            telemetry,
            journal,
            clock,
            dispatcher.loads,
            version=metadata.version(PACKAGE),
            open_max=settings.sagas_open_max,
            pushed=deliveries.counts,
        )
        stack.push_async_callback(page.close)
        await enter(_pushing(deliveries.metrics, page, clock, asked.metrics_interval_s))
        lag = asyncio.create_task(watch_lag(telemetry.loop_lagged), name="event loop lag")
        stack.callback(lag.cancel)
        http = HttpPort(page.text, has_failed=lambda: pool.failed.done() or journal.failed.done())
        failure = await _live(settings, pool, journal, api, http, feed, stop)
    if failure is None and journal.failed.done():  # in its last moments: it was not checked in
        failure = journal.failed.result()
    if failure is not None:
        _log.critical("stopped because the journal failed: %s", failure)
        return EXIT_JOURNAL_FAILED
    if api.failed.done():
        _log.critical("stopped because nobody could call it any more: %s", api.failed.result())
        return EXIT_UNREACHABLE
    _log.info("stopped")
    return EXIT_STOPPED


async def _live(
    settings: Settings,
    pool: Pool,
    journal: SqliteJournal,
    api: ApiServer,
    http: HttpPort,
    feed: Feed,
    stop: asyncio.Future[None],
) -> str | None:
    """Open the ports, recover, serve, drain: until *stop*, until no call can be taken any more, or until the
    journal or memory fails. Then the sentence that says so."""
    address = await api.bind(settings.listen)
    http_address = await http.bind(settings.http_listen)
    await api.start()
    http.start()
    endings = (stop, pool.failed, journal.failed, api.failed)
    recovery = asyncio.create_task(_recover(pool, settings))
    try:
        await asyncio.wait((recovery, *endings), return_when=asyncio.FIRST_COMPLETED)
        if not any(ending.done() for ending in endings):
            sagas = recovery.result()
            await api.serving()
            http.serving()
            also = f", metrics and probes at {http_address}" if http_address else ""
            _log.info("serving at %s%s", address, also, extra={"sagas": sagas})
            _say_ready(address, http_address)
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        recovery.cancel()
        failure = next((f.result() for f in (pool.failed, journal.failed) if f.done()), None)
        http.draining()
        await api.draining()
        await pool.park(grace_s=0.0 if failure else settings.drain_grace_s)
    finally:
        feed.close()
        await asyncio.gather(api.stop(settings.drain_grace_s), http.stop(settings.drain_grace_s))
    return failure


def _say_ready(address: str, http_address: str) -> None:
    """Tell whoever started us. A stdout that takes nothing is no reason to stop: no saga needs it."""
    why: object = "it is closed"
    if sys.stdout is not None:
        try:
            print(f"coordinator ready {address}", flush=True)
            if http_address:
                print(f"http ready {http_address}", flush=True)
            return
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            _throw_away(sys.stdout)
    _log.warning(
        "the line that says that the coordinator is ready could not be written to stdout (%s); it serves all "
        "the same, and this log says where",
        why,
    )


def _throw_away(stream: TextIO) -> None:
    """What is left in its buffer would fail once more at exit, with a traceback and another exit code."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _files(settings: Settings, expressions: CelExpressions) -> DefinitionFiles:
    files = DefinitionFiles.load(settings.definitions_dir, settings.services, expressions.check)
    _log.info("settings: %s", settings.describe())
    for refused in files.refused:
        _log.error("%s", refused)
    return files


async def _definitions(
    settings: Settings,
    files: DefinitionFiles,
    journal: SqliteJournal,
    expressions: CelExpressions,
    clock: SystemClock,
    telemetry: PrometheusTelemetry,
    aside: InThreads,
) -> Definitions:
    read = partial(read_with_places, services=settings.services)
    door = orders_door(settings.place_order_saga)
    definitions = Definitions(journal.definitions, journal, read, expressions, clock, telemetry, aside, door)
    try:
        await definitions.take_up(files.loaded)
    except SagaError as error:
        raise StartupFailed(
            f"the definitions in the journal {settings.journal_path} cannot be read ({error}): "
            "put back a copy of it"
        ) from None
    return definitions


async def _recover(pool: Pool, settings: Settings) -> int:
    try:
        return await pool.recover()
    except SagaError as error:
        raise StartupFailed(
            f"the open sagas of the journal {settings.journal_path} cannot be read ({error}): "
            "put back a copy of it"
        ) from None


@asynccontextmanager
async def _journal(
    settings: Settings, on_commit: Callable[[int, float], None]
) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(
        Path(settings.journal_path),
        disk_free_min_bytes=settings.disk_free_min_bytes,
        on_commit=on_commit,
    )
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def _participants(settings: Settings, *, decides_sampling: bool) -> AsyncIterator[GrpcParticipants]:
    participants = GrpcParticipants(
        settings.services, message_bytes_max=settings.message_bytes_max, decides_sampling=decides_sampling
    )
    try:
        yield participants
    finally:
        await participants.close()


@dataclass(frozen=True, slots=True)
class _Followed:
    """How sagas and calls are followed from outside; by nobody, unless the environment asks for traces."""

    tracing: Tracing
    around: Sequence[aio.ServerInterceptor] = ()
    follower: Callable[[], Ended | None] = lambda: None


@asynccontextmanager
async def _followed(
    delivery: Delivery | None, settings: Settings, telemetry: PrometheusTelemetry
) -> AsyncIterator[_Followed]:
    if delivery is None:
        yield _Followed(NoTracing())
        return
    # Loaded here, because it takes its time, and nobody pays for what is off.
    from coordinator.adapters.opentelemetry.library import Traces
    from coordinator.adapters.opentelemetry.server import call_follower

    traces = Traces(delivery, targets=settings.services, header_ignored=telemetry.trace_header_ignored)
    _log.info("traces go to %s (%s)", delivery.push.place, delivery.push.protocol)
    try:
        yield _Followed(traces.spans, [traces.interceptor(UNARY_METHODS)], call_follower)
    finally:
        # It blocks, in bounded time: nothing else is left to do by now.
        traces.close()


@asynccontextmanager
async def _pushing(
    delivery: Delivery | None, page: MetricsPage, clock: SystemClock, interval_s: float
) -> AsyncIterator[None]:
    if delivery is None:
        yield
        return
    from coordinator.adapters.opentelemetry.metrics import MetricsPush

    push = MetricsPush(delivery, page.read, clock, interval_s=interval_s)
    _log.info("metrics go to %s (%s) every %g s", delivery.push.place, delivery.push.protocol, interval_s)
    try:
        yield
    finally:
        await push.close()


def _current_trace(asked: Wanted) -> Callable[[], str] | None:
    if asked.traces is None:
        return None
    from coordinator.adapters.opentelemetry.server import current_trace

    return current_trace


def _stop_signal() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def ask() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    # Its terminal was closed. Whoever starts it by `nohup` wants it to go on.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, ask)
    return stop
