"""The HTTP port as machines and strangers meet it: real sockets, real processes, real signals."""

import asyncio
import contextlib
import http.client
import logging
import os
import random
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.type import money_pb2
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from coordinator import bootstrap
from coordinator.adapters.clock import SystemClock
from coordinator.adapters.prometheus import MetricsPage, PrometheusTelemetry
from coordinator.api import http_server
from coordinator.api.http import CONNECTIONS_MAX, HttpPort
from coordinator.api.server import ApiServer
from coordinator.domain.errors import StartupFailed
from coordinator.domain.outcomes import Answer, Faulted, Refused, Succeeded
from coordinator.engine.pool import Pool
from coordinator.ports.participants import Call, ExecuteCall
from coordinator.settings import Settings
from saga.orders.v1 import orders_pb2, orders_pb2_grpc
from scripts.cluster import Cluster, NotReady
from tests.scenarios.house import House, Services, define, step

TOKEN = "tok-canary-5f2c"
PATIENCE_S = 20.0
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Served:
    """A port on a real socket, with a page that a test can hold back."""

    def __init__(self) -> None:
        self.failed = False
        self.accepted: list[str] = []
        self.page = b"saga_open 1\n"
        self.error: Exception | None = None
        self.let = asyncio.Event()
        self.let.set()
        self.port = HttpPort(self._text, has_failed=lambda: self.failed)
        self.address = ""

    @property
    def connections(self) -> int:
        """How many are open."""
        assert self.port._server is not None
        return len(self.port._server.server_state.connections)

    async def _text(self, accept: str) -> tuple[bytes, str]:
        self.accepted.append(accept)
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return self.page, "text/plain; version=0.0.4; charset=utf-8"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def ask(self, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """What one request on a connection of its own is answered."""
        lines = [f"{method} {path} HTTP/1.1", "host: test", "connection: close", *headers, "", ""]
        reader, writer = await self.connect()
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        return read_answer(answer)


def read_answer(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    # Else what is kept open by mistake would be cut all the same before a test is out of patience.
    monkeypatch.setattr(http_server, "ANSWER_S", 1000.0)
    it = Served()
    it.address = await it.port.bind("127.0.0.1:0")
    it.port.start()
    yield it
    it.let.set()
    await it.port.stop(PATIENCE_S)


async def cut(reader: asyncio.StreamReader) -> bytes:
    """What was received until the other side ended the connection."""
    received = bytearray()
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionResetError):
            while chunk := await reader.read(1 << 16):
                received += chunk
    return bytes(received)


async def test_readiness_follows_the_coordinator_and_liveness_does_not(served: Served) -> None:
    said = []
    for change in (None, served.port.serving, served.port.draining):
        if change is not None:
            change()
        status, _, word = await served.ask("/readyz")
        said.append((status, word))
        assert (await served.ask("/healthz"))[0::2] == (200, b"ok\n")
    assert said == [(503, b"recovering\n"), (200, b"ready\n"), (503, b"draining\n")]


async def test_a_failed_journal_is_neither_alive_nor_ready(served: Served) -> None:
    served.port.serving()
    served.failed = True
    assert (await served.ask("/healthz"))[0::2] == (503, b"failed\n")
    assert (await served.ask("/readyz"))[0::2] == (503, b"failed\n")
    assert (await served.ask("/metrics"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/x", "/readyz%2f", "//metrics", "/docs", "*"])
async def test_what_is_not_served_is_not_found_and_leads_nowhere(served: Served, path: str) -> None:
    status, headers, _ = await served.ask(path)
    assert status == 404
    assert "location" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_only_reading_is_allowed(served: Served, method: str, path: str) -> None:
    status, headers, _ = await served.ask(path, method=method)
    assert status == 405
    assert sorted(headers["allow"].split(", ")) == ["GET", "HEAD"]
    assert served.accepted == []


async def test_head_has_the_headers_of_get_and_no_body(served: Served) -> None:
    status, headers, body = await served.ask("/metrics", method="HEAD")
    assert (status, body) == (200, b"")
    assert headers["content-length"] == str(len(served.page))
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_no_answer_names_what_serves_it(served: Served) -> None:
    for path, method in (("/metrics", "GET"), ("/nope", "GET"), ("/metrics", "POST")):
        _, headers, body = await served.ask(path, method=method)
        assert "server" not in headers
        assert "uvicorn" not in body.decode().lower()


async def test_every_accept_header_counts(served: Served) -> None:
    await served.ask("/metrics", "accept: text/plain", "accept: application/openmetrics-text")
    await served.ask("/metrics")
    assert served.accepted == ["text/plain, application/openmetrics-text", ""]


async def test_a_page_that_cannot_be_made_says_nothing_of_why(served: Served) -> None:
    served.error = RuntimeError(TOKEN)
    status, _, body = await served.ask("/metrics")
    assert (status, body) == (500, b"Internal Server Error")
    assert (await served.ask("/healthz"))[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /metrics HTTP/1.1\r\nhost: test\r\nx: " + b"x" * 70_000,
        b"GET /" + b"x" * 70_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"\0" * 100_000,
    ],
)
async def test_a_request_that_is_too_large_or_makes_no_sense_ends_its_connection(
    served: Served, request_bytes: bytes
) -> None:
    reader, writer = await served.connect()
    with contextlib.suppress(ConnectionError):
        writer.write(request_bytes)
        await writer.drain()
    answer = await cut(reader)
    writer.close()
    assert answer == b"" or read_answer(answer)[0] == 400
    assert served.accepted == []
    assert (await served.ask("/healthz"))[0] == 200


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


Stranger = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


async def no_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await cut(reader)


async def half_a_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: te")
    await cut(reader)


async def a_request_letter_by_letter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    ended = asyncio.create_task(cut(reader))
    writer.write(b"GET /metrics HTTP/1.1\r\nx: ")
    while not ended.done():
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def a_body_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    ended = asyncio.create_task(cut(reader))
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000000\r\n\r\n")
    while not ended.done():
        writer.write(b"x" * 100)
        await asyncio.sleep(0.02)
    assert read_answer(ended.result())[0] == 200


@pytest.mark.parametrize(
    "stranger", [no_request, half_a_request, a_request_letter_by_letter, a_body_without_end]
)
async def test_a_connection_that_brings_no_request_to_its_end_is_cut(
    stranger: Stranger,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "ANSWER_S", 0.3)
    reader, writer = await served.connect()
    async with asyncio.timeout(PATIENCE_S):
        await stranger(reader, writer)
    writer.close()
    await until(lambda: served.connections == 0)


async def test_an_answer_that_nobody_reads_is_cut(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "ANSWER_S", 0.3)
    served.page = b"x" * (64 << 20)
    _, writer = await served.connect()
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n")
    await until(lambda: len(served.accepted) == 1)
    await until(lambda: served.connections == 0)
    writer.close()


async def test_a_connection_in_use_stays_open(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "ANSWER_S", 1.0)
    reader, writer = await served.connect()
    for _ in range(8):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.2)
    writer.close()


async def test_whoever_holds_many_connections_makes_room_for_the_next(served: Served) -> None:
    most = CONNECTIONS_MAX
    held = [await served.connect() for _ in range(3 * most)]
    assert (await served.ask("/healthz"))[0] == 200
    await until(lambda: served.connections <= most)
    ended = await asyncio.gather(*(is_cut(reader) for reader, _ in held))
    # The oldest were cut, in their order.
    assert ended == sorted(ended, reverse=True)
    assert sum(ended) >= 2 * most
    for _, writer in held:
        writer.close()


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.2):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def test_neither_signals_nor_logs_are_taken_over(served: Served) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    other = Served()
    other.address = await other.port.bind("127.0.0.1:0")
    other.port.start()
    assert (await other.ask("/healthz"))[0] == 200
    assert {number: signal.getsignal(number) for number in before} == before
    assert (root.handlers, root.level) == (handlers, level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        assert logging.getLogger(name).handlers == []
    await other.port.stop(PATIENCE_S)
    assert {number: signal.getsignal(number) for number in before} == before


async def test_a_stop_lets_an_answer_end_and_waits_for_no_stranger(served: Served) -> None:
    silent, stranger = await served.connect()
    served.let.clear()
    asked = asyncio.create_task(served.ask("/metrics"))
    await until(lambda: len(served.accepted) == 1)
    stopping = asyncio.create_task(served.port.stop(PATIENCE_S))
    await asyncio.sleep(0.05)
    served.let.set()
    await stopping
    assert (await asked)[0] == 200
    assert await cut(silent) == b""
    stranger.close()
    with pytest.raises(ConnectionRefusedError):
        await served.connect()


async def test_a_stop_cuts_an_answer_that_does_not_end(served: Served) -> None:
    served.let.clear()
    reader, writer = await served.connect()
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n")
    await until(lambda: len(served.accepted) == 1)
    async with asyncio.timeout(PATIENCE_S):
        await served.port.stop(0.05)
    assert await cut(reader) == b""
    writer.close()


async def test_without_an_address_nothing_is_served() -> None:
    served = Served()
    assert await served.port.bind("") == ""
    served.port.start()
    served.port.serving()
    await served.port.stop(1.0)
    assert served.port._task is None


async def test_an_address_in_use_is_refused_with_the_name_of_the_setting() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = f"127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(StartupFailed, match="in use; stop what uses it") as refused:
            await Served().port.bind(taken)
    assert taken in str(refused.value)
    assert "SAGA_HTTP_LISTEN" in str(refused.value)


@pytest.mark.parametrize(
    "listen",
    ["192.0.2.1:9464", "nowhere.invalid:9464", "a..b:9464", "[::1%nope]:9464", "nonsense", "x" * 300 + ":1"],
)
async def test_an_address_that_cannot_be_had_is_refused_with_the_name_of_the_setting(listen: str) -> None:
    with pytest.raises(StartupFailed, match="SAGA_HTTP_LISTEN"):
        await Served().port.bind(listen)


async def test_a_host_one_of_whose_addresses_is_in_use_is_refused_and_its_others_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def both(host: str, port: int, **_: object) -> list[object]:
        tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*tcp, (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with socket.socket() as busy, socket.socket() as free:
        busy.bind(("127.0.0.2", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(StartupFailed, match="in use; stop what uses it"):
            await Served().port.bind(f"both.invalid:{port}")
        free.bind(("127.0.0.1", port))


async def test_every_address_of_a_host_is_served_at_one_port() -> None:
    served = Served()
    for attempts_left in reversed(range(5)):
        try:
            served.address = await served.port.bind("localhost:0")
            break
        except StartupFailed:  # the port that was free at one address was taken at the other
            if not attempts_left:
                raise
    served.port.start()
    port = int(served.address.rpartition(":")[2])
    families = {one.family for one in served.port._sockets}
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if family in families:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
            assert read_answer(await cut(reader))[0] == 200
            writer.close()
    await served.port.stop(PATIENCE_S)


def telemetry_of(house_services: Iterable[str]) -> PrometheusTelemetry:
    told = PrometheusTelemetry(services=house_services, clock=SystemClock())
    for name in ("Order", "Trip"):
        told.definition_registered(name)
    return told


async def scraped(page: MetricsPage) -> Series:
    text, _ = await page.text(OPENMETRICS)
    return series_of(parse_openmetrics(text.decode()))


def parse_openmetrics(text: str) -> Iterable[Family]:
    families: Iterable[Family] = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return families


def series_of(families: Iterable[Family]) -> Series:
    samples = [sample for family in families for sample in family.samples]
    series = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(series) == len(samples)
    return series


def total(series: Series, name: str, **labels: str) -> float:
    """The sum of all series with that name and these labels."""
    return sum(
        value
        for (one, its_labels), value in series.items()
        if one == name and labels.items() <= dict(its_labels).items()
    )


def any_answer(dice: random.Random) -> Callable[[Call], Answer]:
    def answer(call: Call) -> Answer:
        draw = dice.random()
        if draw < 0.02:
            return Refused("NO", TOKEN) if isinstance(call, ExecuteCall) else Faulted("BUSY", TOKEN, None)
        return Faulted("BUSY", TOKEN, None) if draw < 0.03 else Succeeded("{}")

    return answer


class AtOnce(Services):
    """Participants that answer without a pause."""

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        super().__init__()
        self._choose = answer

    async def perform(self, call: Call, *, timeout_s: float) -> Answer:
        return self._choose(call)


@pytest.mark.slow
async def test_ten_thousand_sagas_have_as_many_series_as_a_hundred_and_each_is_counted_once() -> None:
    answers = AtOnce(any_answer(random.Random(11)))
    # So many attempts that a saga is undone for a refusal alone: of three, one in a million runs out.
    order = define(step("a", service="Stock", attempts_max=20), step("b", service="Funds", attempts_max=20))
    told = telemetry_of(["Stock", "Funds"])
    async with House(order, services=answers, telemetry=told, sagas_max=20_000) as house:
        page = MetricsPage(told, house.store, house.clock, house.dispatcher.loads, version="1", open_max=10)
        ends: Counter[str] = Counter()

        async def run(numbers: Iterator[int]) -> None:
            for number in numbers:
                saga_id = await house.start(request_id=f"{TOKEN}-{number}", value=TOKEN)
                ends[(await house.sagas.wait(saga_id, timeout_s=PATIENCE_S)).status] += 1

        await run(iter(range(100)))
        before = await scraped(page)
        numbers = iter(range(100, 10_000))
        await asyncio.gather(*(run(numbers) for _ in range(50)))
        after = await scraped(page)
        text, _ = await page.text("text/plain")
        await page.close()
    assert after.keys() == before.keys()
    assert total(after, "saga_started_total", definition="Order") == 10_000
    assert total(after, "saga_rested_total") == sum(ends.values()) == 10_000
    for status, number in ends.items():
        assert total(after, "saga_rested_total", definition="Order", status=status) == number
        assert total(after, "saga_duration_seconds_count", definition="Order", status=status) == number
    assert len(ends) >= 2
    assert total(after, "saga_step_attempts_total", outcome="REFUSED") == ends["COMPENSATED"] > 0
    attempts = total(after, "saga_step_attempts_total")
    assert total(after, "saga_step_attempt_duration_seconds_count") == attempts > 19_000
    assert total(after, "saga_calls_in_flight") == 0
    assert TOKEN not in text.decode()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, listen="127.0.0.1:0", http_listen="127.0.0.1:0") as running:
        running.start()
        yield running


def get(address: str, path: str, accept: str = "") -> tuple[int, str, str]:
    """Status, content type and text."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read().decode()
    finally:
        connection.close()


def an_order(order_id: str, user_id: str = "u-1") -> orders_pb2.PlaceOrderRequest:
    return orders_pb2.PlaceOrderRequest(
        order_id=order_id,
        user_id=user_id,
        items=[orders_pb2.OrderItem(item_id="sku-1", quantity=1)],
        payment_info=orders_pb2.PaymentInfo(
            method="card", token=TOKEN, amount=money_pb2.Money(currency_code="EUR", units=42)
        ),
    )


@pytest.mark.slow
def test_a_real_process_shows_every_order_once_in_both_formats_and_none_by_its_name(cluster: Cluster) -> None:
    def place(number: int) -> int:
        user = "u-broke" if number % 10 == 0 else f"u-{TOKEN}"
        return orders.PlaceOrder(an_order(f"{TOKEN}-{number}", user), timeout=30).status

    with grpc.insecure_channel(cluster.address) as channel, ThreadPoolExecutor(16) as threads:
        orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        list(threads.map(place, range(100)))
        _, _, early = get(cluster.http_address, "/metrics", OPENMETRICS)
        answers = list(threads.map(place, range(400)))  # the first hundred join what there is
    assert answers.count(orders_pb2.SUCCESS) == 360
    status, content_type, late = get(cluster.http_address, "/metrics", OPENMETRICS)
    assert (status, content_type) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    status, content_type, plain = get(cluster.http_address, "/metrics", "text/plain")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    before, after = series_of(parse_openmetrics(early)), series_of(parse_openmetrics(late))
    assert after.keys() == before.keys()
    assert series_of(parse_text(plain)).keys() == after.keys()
    assert TOKEN not in early + late + plain
    assert total(after, "saga_started_total", definition="PlaceOrder") == 400
    assert total(after, "saga_rested_total", definition="PlaceOrder", status="COMPLETED") == 360
    assert total(after, "saga_rested_total", status="COMPENSATED") == 40
    assert total(after, "saga_rested_total") == 400
    payment = {"service": "PaymentService", "direction": "FORWARD"}
    assert total(after, "saga_step_attempts_total", **payment, outcome="SUCCEEDED") == 360
    assert total(after, "saga_step_attempts_total", **payment, outcome="REFUSED") == 40
    assert total(after, "saga_step_attempts_total", direction="UNDO", outcome="SUCCEEDED") == 80
    commits = total(after, "saga_journal_commit_duration_seconds_count")
    assert commits == total(after, "saga_journal_group_entries_count") > 0
    assert total(after, "saga_journal_group_entries_sum") >= 400 * 5 > commits
    assert total(after, "saga_census_up") == 1
    assert total(after, "saga_open") == total(after, "saga_dead_letters") == 0


def test_connections_to_the_http_port_take_no_files_from_the_grpc_port(cluster: Cluster) -> None:
    assert cluster.coordinator is not None
    resource.prlimit(cluster.coordinator.pid, resource.RLIMIT_NOFILE, (256, 256))
    host, _, port = cluster.http_address.rpartition(":")
    with contextlib.ExitStack() as held:
        for _ in range(500):
            held.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
        with grpc.insecure_channel(cluster.address) as channel:
            orders = orders_pb2_grpc.OrderPlacementServiceStub(channel)
            for number in range(10):
                assert orders.PlaceOrder(an_order(f"o-{number}"), timeout=30).status == orders_pb2.SUCCESS
        assert len(os.listdir(f"/proc/{cluster.coordinator.pid}/fd")) < 200
        assert get(cluster.http_address, "/readyz")[0::2] == (200, "ready\n")


def test_a_coordinator_that_drains_says_so_until_it_is_gone(tmp_path: Path) -> None:
    slow = {"transaction": "processPayment", "fault": "latency", "distribution": "fixed", "ms": 1500}
    faults = {"rules": [{**slow, "times": 1}]}
    with Cluster(tmp_path, listen="127.0.0.1:0", http_listen="127.0.0.1:0", faults=faults) as cluster:
        cluster.start()
        assert cluster.coordinator is not None
        with grpc.insecure_channel(cluster.address) as channel:
            call = orders_pb2_grpc.OrderPlacementServiceStub(channel).PlaceOrder.future(
                an_order("o-1"), timeout=30
            )
            while (
                'saga_calls_in_flight{service="PaymentService"} 1.0'
                not in (get(cluster.http_address, "/metrics")[2])
            ):
                time.sleep(0.02)
            os.kill(cluster.coordinator.pid, signal.SIGTERM)
            while (said := get(cluster.http_address, "/readyz"))[0] == 200:
                time.sleep(0.02)
            assert said[0::2] == (503, "draining\n")
            assert get(cluster.http_address, "/healthz")[0] == 200
            assert get(cluster.http_address, "/metrics")[0] == 200
            call.cancel()
        assert cluster.coordinator.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        get(cluster.http_address, "/healthz")


def test_a_restart_serves_at_the_same_addresses(cluster: Cluster) -> None:
    addresses = cluster.address, cluster.http_address
    assert cluster.coordinator is not None
    get(cluster.http_address, "/metrics")
    cluster.coordinator.kill()
    cluster.start_coordinator()
    assert (cluster.address, cluster.http_address) == addresses
    assert get(cluster.http_address, "/readyz")[0] == 200


@pytest.mark.parametrize("case", ["in use", "the gRPC port", "no address of ours"])
def test_a_coordinator_that_cannot_have_its_http_port_does_not_start(tmp_path: Path, case: str) -> None:
    with socket.socket() as busy, contextlib.ExitStack() as ends:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        wanted = f"127.0.0.1:{busy.getsockname()[1]}"
        listen = "127.0.0.1:0"
        if case == "the gRPC port":
            busy.close()
            listen = wanted
        elif case == "no address of ours":
            wanted = "192.0.2.1:9464"
        cluster = ends.enter_context(Cluster(tmp_path, listen=listen, http_listen=wanted))
        with pytest.raises(NotReady) as said:
            cluster.start()
        assert cluster.coordinator is not None
        assert cluster.coordinator.exit_code == 2
    assert "The coordinator did not start: " in str(said.value)
    assert f"'{wanted}' (SAGA_HTTP_LISTEN)" in str(said.value)
    assert "Traceback" not in (tmp_path / "coordinator.log").read_text()


async def test_the_port_is_there_before_recovery_and_ready_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recovered = asyncio.Event()
    recover = Pool.recover

    async def slowly(pool: Pool) -> int:
        await recovered.wait()
        return await recover(pool)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(Pool, "recover", slowly)
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen=address,
        journal_path=str(tmp_path / "j"),
        definitions_dir=str(tmp_path),
    )
    serving = asyncio.create_task(bootstrap.serve(settings))
    said: list[tuple[int, str]] = []

    async def says(path: str, *expected: object) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    said[:] = [(await asyncio.to_thread(get, address, path))[0::2]]
                if said == [expected]:
                    return
                await asyncio.sleep(0.02)

    await says("/readyz", 503, "recovering\n")
    await says("/healthz", 200, "ok\n")
    assert capsys.readouterr().out == ""
    recovered.set()
    await says("/readyz", 200, "ready\n")
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        assert await serving == 0
    ready, http_ready = capsys.readouterr().out.splitlines()
    assert ready.startswith("coordinator ready 127.0.0.1:")
    assert http_ready == f"http ready {address}"


async def test_starts_for_which_there_is_no_room_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "ApiServer", partial(ApiServer, calls_open_max=1))
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        journal_path=str(tmp_path / "j"),
        definitions_dir=str(tmp_path),
    )
    serving = asyncio.create_task(bootstrap.serve(settings))
    said = ""
    async with asyncio.timeout(PATIENCE_S):
        while "http ready" not in said:
            await asyncio.sleep(0.02)
            said += capsys.readouterr().out
    address, http_address = (line.split()[-1] for line in said.splitlines())
    async with grpc.aio.insecure_channel(address) as channel:
        orders: Any = orders_pb2_grpc.OrderPlacementServiceStub(channel)
        stream = orders.PlaceOrders()
        await stream.write(orders_pb2.PlaceOrdersRequest())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await orders.PlaceOrder(orders_pb2.PlaceOrderRequest(), timeout=PATIENCE_S)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        _, _, page = await asyncio.to_thread(get, http_address, "/metrics")
        stream.cancel()
    assert 'saga_starts_refused_total{reason="OVERLOADED"} 1.0' in page
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        assert await serving == 0
