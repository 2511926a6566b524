"""Log lines: what may stand in them, how they look, and that each is written or counted exactly once."""

import asyncio
import gc
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.adapters.logs import LineHandler, outlet
from coordinator.adapters.logs.forms import Render, as_json, as_text
from coordinator.adapters.logs.handler import WAITING_MAX
from coordinator.adapters.logs.line import Line, Value, line_of
from coordinator.adapters.logs.record import Record
from coordinator.adapters.logs.repeats import Repeats
from scripts.cluster import ROOT

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACE = f"00-{TRACE_ID}-{SPAN_ID}-01"
OTHER_TRACE = f"00-{'ab' * 16}-{'cd' * 8}-00"
SECRET = "canary-token"
WINDOW_S = 10.0
# Quarters of a second: sums of them are exact.
PAUSES_S = st.integers(0, 60).map(lambda quarters: quarters / 4)


class Log:
    """A logger of its own, over a handler that writes to memory."""

    def __init__(
        self,
        *,
        current_trace: Callable[[], str] | None = None,
        window_s: float = WINDOW_S,
        windows_max: int = 1_000,
        stream: io.StringIO | None = None,
        render: Render = as_json,
    ) -> None:
        self.stream = stream or io.StringIO()
        self.handler = LineHandler(
            self.stream, render, current_trace=current_trace, window_s=window_s, windows_max=windows_max
        )
        # By itself: pytest's handlers, too, would see records of one that is registered, and keep them.
        self.logger = logging.Logger("coordinator.test", logging.DEBUG)  # noqa: LOG001
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def counted(self) -> Counter[str]:
        """How many records the lines stand for, by message."""
        return counted(self.lines)


def counted(lines: list[dict[str, object]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for line in lines:
        repeated = line.get("repeated", 1)
        assert isinstance(repeated, int)
        total[str(line["message"])] += repeated
    return total


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.handler.close()


def a_line(message: str = "m", **fields: str | int) -> Line:
    return Line(1_700_000_000.25, "WARNING", "coordinator", message, fields)


# What may stand in a line.


def test_only_allowed_fields_are_written(log: Log) -> None:
    log.logger.info("saga started", extra={"saga_id": "s-1", "token": "tok-canary", "step": None})
    (line,) = log.lines
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "coordinator.test",
        "message": "saga started",
        "saga_id": "s-1",
    }


def test_a_trace_becomes_two_fields(log: Log) -> None:
    log.logger.info("saga started", extra={"trace": TRACE})
    (line,) = log.lines
    assert (line["trace_id"], line["span_id"]) == (TRACE_ID, SPAN_ID)
    assert "trace" not in line


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "x",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"{TRACE}\n",
        f"{TRACE}-x",
        7,
        b"00",
    ],
)
def test_what_is_no_traceparent_becomes_nothing(trace: object) -> None:
    log = Log(current_trace=lambda: OTHER_TRACE)
    log.logger.info("saga started", extra={"trace": trace})
    (line,) = log.lines
    assert not {"trace", "trace_id", "span_id"} & line.keys()


def test_a_record_without_a_trace_gets_that_of_the_call_at_that_moment() -> None:
    now = [TRACE]
    log = Log(current_trace=lambda: now[0])
    log.logger.info("one")
    now[0] = OTHER_TRACE
    log.logger.info("two")
    log.logger.info("three", extra={"trace": TRACE})
    now[0] = ""
    log.logger.info("four")
    assert [line.get("trace_id") for line in log.lines] == [TRACE_ID, "ab" * 16, TRACE_ID, None]


def test_an_exceptions_text_is_never_written(log: Log) -> None:
    try:
        raise ValueError("tok-canary")
    except ValueError:
        log.logger.exception("a saga cannot be driven on")
    (line,) = log.lines
    traceback = line["traceback"]
    assert isinstance(traceback, list)
    assert traceback[0].startswith("test_an_exceptions_text_is_never_written (test_logs.py:")
    assert traceback[1:] == ["ValueError"]
    assert "tok-canary" not in log.stream.getvalue()


def test_a_held_line_keeps_no_frame_alive(log: Log) -> None:
    class Payload:
        pass

    def fail() -> None:
        payload = Payload()
        raise ValueError(payload)

    for _ in range(3):
        try:
            fail()
        except ValueError:
            log.logger.exception("a call failed")
    gc.collect()
    assert [thing for thing in gc.get_objects() if type(thing) is Payload] == []


def test_a_value_that_json_does_not_have_is_written_as_text(log: Log) -> None:
    values = {
        "reason": Path("x"),
        "duration_ms": float("nan"),
        "at": [Path("a"), 1],
        "attempt": 2,
        "code": 1.5,
    }
    log.logger.info("%s", "m", extra=values)
    (line,) = log.lines
    assert {name: line[name] for name in values} == {
        "reason": "x",
        "duration_ms": "nan",
        "at": ["a", "1"],
        "attempt": 2,
        "code": 1.5,
    }


@pytest.mark.parametrize(
    ("msg", "args"),
    [
        ("m", ()),
        ("%s", ("a",)),
        ("%s and %d", ("a", 1)),
        ("%(sagas)d sagas", ({"sagas": 2},)),
        ("%s", ({},)),
        ("%s", ([1],)),
        ("%s of %s", ({"sagas": 2}, "a")),
    ],
)
def test_a_record_of_ours_says_what_the_librarys_own_does(msg: str, args: tuple[object, ...]) -> None:
    told = ("coordinator.test", logging.WARNING, "", 0, msg, args, (ValueError, ValueError(), None))
    began = time.time()
    ours, librarys = Record(*told), logging.LogRecord(*told)
    assert began <= ours.created <= time.time()
    ours.created = librarys.created
    assert line_of(ours, None) == line_of(librarys, None)
    assert ours.levelno == librarys.levelno
    assert [name for name in vars(librarys) if not hasattr(ours, name)] == []


# How a line is written.


def test_a_json_line_has_the_time_in_utc() -> None:
    assert as_json(a_line("ß\n", saga_id="s-1")) == (
        '{"time":"2023-11-14T22:13:20.250Z","level":"WARNING","logger":"coordinator",'
        '"message":"ß\\n","saga_id":"s-1"}'
    )


@given(st.integers(0, 4_000_000_000_000))
def test_a_json_line_has_the_millisecond_that_has_begun(at_ms: int) -> None:
    # A quarter of a millisecond on, so that no rounding of the sum leads back before it.
    line = Line(at_ms / 1000 + 0.00025, "INFO", "coordinator", "m", {})
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    expected = f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
    assert json.loads(as_json(line))["time"] == expected


@given(st.text(), st.text() | st.integers() | st.floats(allow_nan=False) | st.tuples(st.text(), st.text()))
def test_a_json_line_quotes_as_json_does(message: str, value: Value) -> None:
    line = Line(0.0, "INFO", message, message, {"at": value, "code": value})
    assert as_json(line) == json.dumps(
        {
            "time": "1970-01-01T00:00:00.000Z",
            "level": "INFO",
            "logger": message,
            "message": message,
            "at": value,
            "code": value,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def test_the_readable_form_is_one_line_with_the_fields_behind_the_message() -> None:
    line = a_line("call ended", code="UNAVAILABLE", reason="", actor="anna b", repeated=12)
    assert as_text(line, in_colour=False) == (
        '22:13:20.250Z WARNING  call ended code=UNAVAILABLE reason="" actor="anna b" repeated=12'
    )
    assert as_text(a_line("stopped"), in_colour=False) == "22:13:20.250Z WARNING  stopped"


def test_in_colour_levels_differ_and_the_fields_are_dim() -> None:
    assert as_text(a_line("call ended", code="X"), in_colour=True) == (
        "\x1b[2m22:13:20.250Z\x1b[0m \x1b[33mWARNING \x1b[0m call ended \x1b[2mcode=X\x1b[0m"
    )


def test_the_readable_form_shows_the_innermost_frame_first() -> None:
    line = Line(
        0.0, "ERROR", "coordinator", "failed", {"traceback": ("a (x.py:1)", "b (y.py:2)", "KeyError")}
    )
    assert as_text(line, in_colour=False).endswith('traceback="KeyError < b (y.py:2) < a (x.py:1)"')


@given(st.text(), st.text(), st.booleans())
def test_no_value_moves_the_cursor(message: str, value: str, in_colour: bool) -> None:
    line = Line(0.0, "INFO", "coordinator", message, {"actor": value, "at": (value, value)})
    text = as_text(line, in_colour=in_colour)
    for ours in ("\x1b[2m", "\x1b[32m", "\x1b[0m") if in_colour else ():
        text = text.replace(ours, "")
    assert text.isprintable()


# What repeats.


@given(
    st.lists(st.tuples(st.sampled_from(["take", "look"]), st.integers(0, 6), PAUSES_S), max_size=80),
    st.integers(1, 4),
)
def test_whatever_comes_is_written_or_counted_exactly_once(
    events: list[tuple[str, int, float]], windows_max: int
) -> None:
    repeats = Repeats(window_s=WINDOW_S, windows_max=windows_max)
    now, came, told = 0.0, Counter[str](), Counter[str]()

    def tell(lines: list[Line]) -> None:
        for line in lines:
            repeated = line.fields.get("repeated", 1)
            assert isinstance(repeated, int)
            assert repeated > 0
            told[line.message] += repeated
            assert told[line.message] <= came[line.message]

    for verb, number, pause_s in events:
        now += pause_s
        if verb == "take":
            came[str(number)] += 1
            tell(repeats.take(a_line(str(number)), now))
        else:
            tell(repeats.ended(now))
        held = sum((came - told).values())
        assert repeats.holds == (held > 0)
    tell(repeats.flush())
    assert told == came
    assert not repeats.holds


@given(st.lists(st.tuples(st.integers(0, 2), PAUSES_S), max_size=60))
def test_of_one_line_at_most_one_is_written_in_a_window(events: list[tuple[int, float]]) -> None:
    repeats = Repeats(window_s=WINDOW_S, windows_max=100)
    now, written_at = 0.0, dict[str, float]()
    for number, pause_s in events:
        now += pause_s
        for line in repeats.take(a_line(str(number)), now):
            assert now - written_at.get(line.message, -WINDOW_S) >= WINDOW_S
            written_at[line.message] = now


def test_a_line_that_repeats_is_told_with_its_count_when_its_window_ends() -> None:
    repeats = Repeats(window_s=WINDOW_S, windows_max=10)
    assert repeats.take(a_line(attempt=1), 0.0) == [a_line(attempt=1)]
    assert [repeats.take(a_line(attempt=1), at) for at in (1.0, 9.9)] == [[], []]
    assert repeats.ended(9.9) == []
    assert repeats.ended(10.0) == [a_line(attempt=1, repeated=2)]
    # The next window has begun: what comes in it is counted, too.
    assert repeats.take(a_line(attempt=1), 19.9) == []
    assert repeats.take(a_line("another"), 20.0) == [a_line(attempt=1, repeated=1), a_line("another")]
    # And one that ended without repeats is over.
    assert repeats.take(a_line(attempt=1), 30.0) == [a_line(attempt=1)]


def test_every_window_ends_in_its_own_time() -> None:
    repeats = Repeats(window_s=WINDOW_S, windows_max=10)
    for message, at in (("a", 0.0), ("b", 1.0), ("c", 2.0), ("c", 3.0), ("b", 4.0), ("a", 5.0)):
        repeats.take(a_line(message), at)
    told = {at: [line.message for line in repeats.ended(at)] for at in (9.0, 10.0, 11.0, 12.0, 13.0)}
    assert told == {9.0: [], 10.0: ["a"], 11.0: ["b"], 12.0: ["c"], 13.0: []}


@pytest.mark.parametrize(
    "other",
    [
        Line(0.0, "ERROR", "coordinator", "m", {"saga_id": "s-1"}),
        Line(0.0, "WARNING", "coordinator.engine", "m", {"saga_id": "s-1"}),
        Line(0.0, "WARNING", "coordinator", "n", {"saga_id": "s-1"}),
        Line(0.0, "WARNING", "coordinator", "m", {"saga_id": "s-2"}),
        Line(0.0, "WARNING", "coordinator", "m", {"step": "s-1"}),
        Line(0.0, "WARNING", "coordinator", "m", {}),
        Line(0.0, "WARNING", "coordinator", "m", {"saga_id": "s-1", "traceback": ("f (x.py:1)", "OSError")}),
    ],
)
def test_lines_that_say_different_things_are_no_repeats(other: Line) -> None:
    repeats = Repeats(window_s=WINDOW_S, windows_max=10)
    repeats.take(a_line(saga_id="s-1"), 0.0)
    assert repeats.take(other, 0.0) == [other]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
def test_what_differs_by_nature_makes_no_line_another(log: Log, level: int) -> None:
    for number, trace in enumerate((TRACE, OTHER_TRACE, TRACE)):
        log.logger.log(
            level, "call ended", extra={"duration_ms": number, "at": [str(number)], "trace": trace}
        )
    log.handler.close()
    first, last = log.lines
    assert "repeated" not in first
    assert (last["repeated"], last["duration_ms"], last["at"], last["trace_id"]) == (2, 2, ["2"], TRACE_ID)


def test_beyond_the_limit_the_oldest_line_that_did_not_repeat_gives_way() -> None:
    repeats = Repeats(window_s=WINDOW_S, windows_max=3)
    for message in ("a", "b", "c", "a"):
        repeats.take(a_line(message), 0.0)
    assert repeats.take(a_line("d"), 1.0) == [a_line("d")]  # b is forgotten
    assert repeats.take(a_line("a"), 1.0) == []
    assert repeats.take(a_line("b"), 1.0) == [a_line("b")]  # c is


def test_where_all_repeat_the_oldest_is_written_with_its_count() -> None:
    repeats = Repeats(window_s=WINDOW_S, windows_max=2)
    for message in ("a", "b", "a", "b", "b"):
        repeats.take(a_line(message), 0.0)
    assert repeats.take(a_line("c"), 1.0) == [a_line("a", repeated=1), a_line("c")]
    assert repeats.flush() == [a_line("b", repeated=2)]


def test_memory_is_bounded_whatever_comes() -> None:
    log = Log(windows_max=50)
    for number in range(2_000):
        for _ in range(2):
            log.logger.warning("m %d", number)
    windows = log.handler._repeats
    assert len(windows._once) + len(windows._again) == 50
    log.handler.close()
    assert log.counted == {f"m {number}": 2 for number in range(2_000)}


# The handler, its threads and its end.


def test_what_is_held_is_written_also_if_nothing_else_is_ever_logged() -> None:
    before = set(threading.enumerate())
    log = Log(window_s=0.2)
    for _ in range(5):
        log.logger.warning("the disk is slow")
    assert len(log.lines) == 1
    (watch,) = set(threading.enumerate()) - before
    until = time.monotonic() + 10
    while len(log.lines) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert [line.get("repeated") for line in log.lines] == [None, 4]
    # The thread does not outlive its need, and another one comes when it is needed.
    watch.join(10)
    assert not watch.is_alive()
    log.logger.warning("the disk is slow")
    while len(log.lines) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    assert log.counted == {"the disk is slow": 6}


def test_records_of_many_threads_are_each_written_or_counted_once() -> None:
    log = Log(window_s=0.05, windows_max=5)
    start = threading.Barrier(8)

    def talk() -> None:
        start.wait()
        for number in range(400):
            log.logger.warning("m %d", number % 7)
            if number % 100 == 0:
                time.sleep(0.03)

    threads = [threading.Thread(target=talk) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.handler.close()
    assert sum(log.counted.values()) == 3_200
    assert set(log.counted) == {f"m {number}" for number in range(7)}


def test_after_its_end_every_line_is_written_at_once(log: Log) -> None:
    log.logger.warning("m")
    log.logger.warning("m")
    log.handler.close()
    log.logger.warning("m")
    log.logger.warning("m")
    assert [line.get("repeated") for line in log.lines] == [None, 1, None, None]
    log.handler.close()
    assert len(log.lines) == 4


def test_a_log_call_that_is_wrong_says_where_it_stands_and_raises_nothing(log: Log) -> None:
    class Untellable:
        def __str__(self) -> str:
            raise ValueError("tok-canary")

    log.logger.warning("%d sagas", "tok-canary")
    log.logger.warning("m", extra={"reason": Untellable()})
    messages = [str(line["message"]) for line in log.lines]
    for message, error in zip(messages, ("TypeError", "ValueError"), strict=True):
        assert message.startswith("what was logged at test_logs.py:")
        assert message.endswith(f" makes no line: {error}")


def test_a_trace_that_cannot_be_told_costs_no_line() -> None:
    def broken() -> str:
        raise RuntimeError

    log = Log(current_trace=broken)
    log.logger.warning("m")
    assert [line["message"] for line in log.lines] == ["m"]


def test_what_logs_while_a_line_is_made_is_written_and_has_an_end() -> None:
    def talking() -> str:
        told.logger.warning("from within")
        return TRACE

    class Talks:
        def __str__(self) -> str:
            for _ in range(2):
                told.logger.warning("told", extra={"reason": self})
            return "x"

    told = Log(current_trace=talking)
    told.logger.warning("m", extra={"reason": Talks()})
    assert [line["message"] for line in told.lines] == ["told", "told", "from within", "m"]
    assert [line.get("trace_id") for line in told.lines] == [None, None, None, TRACE_ID]


def test_a_value_that_cannot_be_compared_raises_nothing(log: Log) -> None:
    class Untold(str):
        __hash__ = None  # type: ignore[assignment]

    log.logger.warning("m", extra={"reason": Untold("x")})
    log.logger.warning("n")
    assert log.lines[-1]["message"] == "n"


def test_a_stream_that_fails_raises_nothing() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = Log(stream=Full())
    for _ in range(3):
        log.logger.warning("m")
    log.handler.close()


class Pipe:
    """A log into a pipe that is read only when a test says so."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.reader = open(reading, encoding="utf-8")  # noqa: SIM115
        self.stream = open(writing, "w", encoding="utf-8")  # noqa: SIM115
        self.log = Log(stream=self.stream, window_s=0.1)  # type: ignore[arg-type]

    def say(self, messages: Sequence[str]) -> None:
        """Log them all; it must not take long, whoever reads."""

        def say() -> None:
            for message in messages:
                self.log.logger.warning(message)

        talk = threading.Thread(target=say, daemon=True)
        talk.start()
        talk.join(5.0)
        assert not talk.is_alive()

    def read(self, lines: int) -> list[str]:
        """The messages of so many lines."""
        return [json.loads(self.reader.readline())["message"] for _ in range(lines)]

    def close(self) -> None:
        # First, so that whoever is stuck in a write is told that nobody reads any more.
        self.reader.close()
        self.log.handler.close()
        with suppress(OSError):
            self.stream.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.mark.parametrize("text", ["x" * 200, "×" * 200, "x" * 10_000, "×" * 10_000])
def test_who_reads_nothing_stops_nobody_and_finds_it_all_when_he_does(pipe: Pipe, text: str) -> None:
    messages = [f"{number} {text}" for number in range(300_000 // len(text))]
    pipe.say(messages)
    # Nothing is logged any more.
    assert pipe.read(len(messages)) == messages


def test_what_is_too_much_to_keep_is_lost_and_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "KEPT_CHARS_MAX", 100_000)
    messages = [f"{number} {'x' * 900}" for number in range(300)]
    pipe.say(messages)
    kept = 0
    while (message := pipe.read(1)[0]) == messages[kept]:
        kept += 1
    assert 100 < kept < 200
    assert message == f"{len(messages) - kept} lines of this log were lost"
    pipe.say(["and on"])
    assert pipe.read(1) == ["and on"]


def test_what_found_no_room_at_the_end_of_a_turn_is_written_though_nothing_else_is_ever_logged(
    pipe: Pipe,
) -> None:
    messages = [f"{number} {'x' * 10_000}" for number in range(WAITING_MAX // 2)]

    async def talk() -> None:
        for message in messages:
            pipe.log.logger.info(message, extra={"is_news": True})

    asyncio.run(talk())
    assert pipe.read(len(messages)) == messages


def test_a_line_that_cannot_be_rendered_costs_none_of_the_others() -> None:
    def render(line: Line) -> str:
        if line.message == "a":
            raise ValueError
        return as_json(line)

    log = Log(render=render)
    for message in ("a", "b"):
        for _ in range(3):
            log.logger.warning(message)
    log.handler.close()
    assert log.counted == {"b": 3}


def test_line_of_never_raises() -> None:
    record = logging.LogRecord("coordinator", logging.INFO, "", 0, "%s %s", ("a",), None)
    message = line_of(record, None).message
    assert re.fullmatch(r"what was logged at test_logs\.py:\d+ makes no line: TypeError", message)


# Turns of an event loop.


class Writes(io.StringIO):
    """What was written at once, by message."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[str]] = []

    def write(self, text: str) -> int:
        self.told.append([json.loads(line)["message"] for line in text.splitlines()])
        return super().write(text)


def test_what_is_said_in_one_turn_is_written_at_once_by_its_end() -> None:
    log = Log(stream=(stream := Writes()))

    async def talk() -> None:
        for turn, messages in enumerate(turns):
            for message in messages:
                log.logger.info(message)
            assert stream.told == turns[:turn]
            await asyncio.sleep(0)

    turns = [["a", "b", "c"], ["d", "e", "f"]]
    asyncio.run(talk())
    assert stream.told == turns


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR, logging.CRITICAL])
def test_a_warning_waits_for_no_turn_and_comes_after_all_before_it(level: int) -> None:
    log = Log(stream=(stream := Writes()))

    async def talk() -> None:
        log.logger.info("a")
        log.logger.log(level, "b")
        assert stream.told == [["a", "b"]]
        log.logger.info("c")

    asyncio.run(talk())
    assert stream.told == [["a", "b"], ["c"]]


def test_a_turn_that_says_a_lot_is_written_before_it_ends() -> None:
    log = Log(stream=(stream := Writes()))

    async def talk() -> None:
        for number in range(2 * WAITING_MAX + 1):
            log.logger.info("m %d", number)
        assert [len(told) for told in stream.told] == [WAITING_MAX, WAITING_MAX]

    asyncio.run(talk())
    assert log.counted == {f"m {number}": 1 for number in range(2 * WAITING_MAX + 1)}


def test_a_thread_without_a_loop_waits_for_none_of_another() -> None:
    log = Log(stream=(stream := Writes()))

    async def talk() -> None:
        log.logger.info("of the loop")
        thread = threading.Thread(target=log.logger.info, args=("of the thread",))
        thread.start()
        thread.join()
        assert stream.told == [["of the loop", "of the thread"]]

    asyncio.run(talk())


def test_what_logs_while_a_turns_lines_are_written_is_written_too() -> None:
    class Talks(Writes):
        def write(self, text: str) -> int:
            written = super().write(text)
            if len(self.told) % 2:
                told.logger.warning("from within")
            return written

    told = Log(stream=(stream := Talks()))

    async def talk() -> None:
        for turn in range(2):
            told.logger.info("m %d", turn)
            await asyncio.sleep(0)

    asyncio.run(talk())
    assert stream.told == [["m 0"], ["from within"], ["m 1"], ["from within"]]


@pytest.mark.parametrize("then", ["another loop", "a flush", "the end"])
def test_a_loop_that_ends_within_its_turn_loses_nothing(then: str) -> None:
    log = Log(stream=(stream := Writes()))

    def turn(message: str) -> None:
        def say() -> None:
            loop.stop()
            log.logger.info(message)

        loop = asyncio.new_event_loop()
        loop.call_soon(say)
        loop.run_forever()
        loop.close()

    turn("a")
    assert stream.told == []
    match then:
        case "another loop":
            asyncio.run(say_and_sleep(log))
            assert stream.told == [["a", "m"]]
        case "a flush":
            log.handler.flush()
            assert stream.told == [["a"]]
        case _:
            log.handler.close()
            assert stream.told == [["a"]]


def test_after_its_end_no_line_waits_for_a_turn(log: Log) -> None:
    async def talk() -> None:
        log.handler.close()
        log.logger.info("m")
        assert [line["message"] for line in log.lines] == ["m"]

    asyncio.run(talk())


async def say_and_sleep(log: Log) -> None:
    log.logger.info("m")
    await asyncio.sleep(0)


# Real processes.


def run(program: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", f"import logging, sys, threading, time\n{program}"],
        env={**os.environ, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    "ending", ["sys.exit(3)", "raise SystemExit(3)", "1 / 0", "pass", "logging.shutdown()"]
)
def test_a_process_that_ends_writes_what_is_held_and_waits_for_nothing(ending: str) -> None:
    began = time.monotonic()
    done = run(
        "from coordinator.adapters.logs import configure_logs\n"
        "configure_logs('INFO')\n"
        "for _ in range(10_000): logging.getLogger('coordinator').warning('the disk is slow')\n" + ending
    )
    assert time.monotonic() - began < WINDOW_S
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [line.get("repeated") for line in lines] == [None, 9_999]


def test_a_process_ends_though_nobody_reads_what_it_wrote() -> None:
    program = (
        "import logging\n"
        "from coordinator.adapters.logs import configure_logs\n"
        "configure_logs('INFO')\n"
        "for number in range(3_000): logging.warning('%d', number)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(10.0) == 0
        finally:
            process.kill()


def test_a_new_set_up_writes_what_the_one_before_held() -> None:
    done = run(
        "from coordinator.adapters.logs import configure_logs\n"
        "for _ in range(2):\n"
        "    configure_logs('INFO', format='json')\n"
        "    for _ in range(3): logging.warning('m')\n"
    )
    assert [json.loads(line).get("repeated") for line in done.stderr.splitlines()] == [None, 2, None, 2]


def test_a_log_call_that_is_wrong_is_found_after_a_set_up_too() -> None:
    done = run(
        "from coordinator.adapters.logs import configure_logs\n"
        "configure_logs('INFO', format='json')\n"
        "\n"
        "logging.getLogger('coordinator').warning('%d sagas', 'a')\n"
    )
    told = json.loads(done.stderr)["message"]
    assert told == "what was logged at <string>:5 makes no line: TypeError"


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_a_caller_who_leaves_while_it_is_answered_is_no_error(level: str) -> None:
    done = run(
        "from coordinator.adapters.logs import configure_logs\n"
        "from grpc._cython.cygrpc import ExecuteBatchError\n"
        f"for _ in range(2): configure_logs({level!r}, format='json')\n"
        "def tell(logger, kind):\n"
        "    try: raise kind('Failed \"execute_batch\"')\n"
        "    except kind: logging.getLogger(logger).exception(f'{kind.__name__} in {logger}')\n"
        "tell('grpc._cython.cygrpc', ExecuteBatchError)\n"
        "tell('grpc._cython.cygrpc', ValueError)\n"
        "tell('coordinator', ExecuteBatchError)\n"
        "logging.getLogger('grpc._cython.cygrpc').error('no exception')\n"
    )
    told = [(line["level"], line["message"]) for line in map(json.loads, done.stderr.splitlines())]
    left = ("DEBUG", "ExecuteBatchError in grpc._cython.cygrpc")
    assert told == [
        *([left] if level == "DEBUG" else []),
        ("ERROR", "ValueError in grpc._cython.cygrpc"),
        ("ERROR", "ExecuteBatchError in coordinator"),
        ("ERROR", "no exception"),
    ]


@pytest.mark.parametrize(
    "set_up",
    [
        "from coordinator.adapters.logs import configure_logs\nconfigure_logs('INFO', format='json')\n",
        "from participants import logs\nlogs.set_up()\n",
    ],
    ids=["coordinator", "participants"],
)
def test_a_text_that_is_no_utf8_is_not_shown(set_up: str) -> None:
    """A server in Python that cuts its text within a letter sends one."""
    done = run(
        f"{set_up}"
        "import asyncio, grpc\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "class Refusing(grpc.GenericRpcHandler):\n"
        "    def service(self, details):\n"
        "        def refuse(request, context):\n"
        "            context.abort(grpc.StatusCode.FAILED_PRECONDITION, b'tok-canary M\\xc3')\n"
        "        return grpc.unary_unary_rpc_method_handler(refuse)\n"
        "async def ask():\n"
        "    async with grpc.aio.insecure_channel(f'127.0.0.1:{port}') as channel:\n"
        "        try: await channel.unary_unary('/a/b')(b'')\n"
        "        except grpc.aio.AioRpcError as error: error.details()\n"
        "server = grpc.server(ThreadPoolExecutor(1), handlers=[Refusing()])\n"
        "port = server.add_insecure_port('127.0.0.1:0')\n"
        "server.start()\n"
        "asyncio.run(ask())\n"
        "server.stop(None).wait()\n"
    )
    told = {line["message"] for line in map(json.loads, done.stderr.splitlines())}
    assert told == {"a text that came over gRPC is no UTF-8, and is not shown"}


def test_a_set_up_is_told_whom_to_ask_for_the_trace() -> None:
    done = run(
        "from coordinator.adapters.logs import configure_logs\n"
        f"configure_logs('INFO', current_trace=lambda: {TRACE!r})\n"
        "logging.info('m')\n"
    )
    assert json.loads(done.stderr)["trace_id"] == TRACE_ID


@pytest.mark.parametrize(
    ("asked", "on_terminal", "environ", "expected"),
    [
        ("auto", True, {}, "colour"),
        ("auto", False, {}, "json"),
        ("text", True, {}, "colour"),
        ("text", False, {}, "plain"),
        ("json", True, {}, "json"),
        ("json", False, {}, "json"),
        ("auto", True, {"NO_COLOR": "1"}, "plain"),
        ("auto", True, {"NO_COLOR": ""}, "colour"),
        ("auto", True, {"TERM": "dumb"}, "plain"),
    ],
)
def test_the_form_is_as_asked_or_as_stderr_is(
    asked: str, on_terminal: bool, environ: dict[str, str], expected: str
) -> None:
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    try:
        program = (
            "import logging; from coordinator.adapters.logs import configure_logs; "
            f"configure_logs('INFO', format={asked!r}); logging.warning('m')"
        )
        given = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        subprocess.run(
            [sys.executable, "-c", program],
            env={**given, "TERM": "xterm", **environ},
            cwd=ROOT,
            stderr=theirs,
            timeout=30,
            check=True,
        )
        said = os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    found = "json" if said.startswith("{") else "colour" if "\x1b[" in said else "plain"
    assert found == expected
    assert "m" in said


def test_what_asyncio_shows_of_a_fault_stays_out() -> None:
    log = Log()
    log.logger.name = "asyncio"
    loop = asyncio.new_event_loop()

    def tell(context: dict[str, object]) -> None:
        log.logger.error("%s\nexception=%r", context["message"], context.get("exception"))

    loop.set_exception_handler(lambda _, context: tell(context))

    def callback(token: str) -> None:
        raise ValueError(token)

    async def task() -> None:
        raise ValueError(SECRET)

    loop.call_soon(callback, SECRET)
    lost = loop.create_task(task())
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    del lost
    gc.collect()
    loop.close()
    log.handler.close()
    assert SECRET not in log.stream.getvalue()
    told = [str(line["message"]) for line in log.lines]
    assert [message.split(" test_", 1)[0] for message in told] == [
        "Exception in callback",
        "Task exception was never retrieved",
    ]


def test_news_is_written_in_its_order_however_often_it_comes() -> None:
    log = Log()
    for _ in range(3):
        for message in ("it is away", "it is back"):
            log.logger.warning(message, extra={"is_news": True})
    log.handler.close()
    assert [line["message"] for line in log.lines] == ["it is away", "it is back"] * 3
