"""What is counted, how it is shown, and that what happens does not make more of it."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from coordinator.adapters.memory import MemoryJournal
from coordinator.adapters.prometheus import (
    METRICS,
    NAMES_REGISTERED_MAX,
    NAMES_SEEN_MAX,
    MetricsPage,
    PrometheusTelemetry,
)
from coordinator.domain.errors import Overloaded
from coordinator.domain.events import Verb
from coordinator.domain.ids import StepName
from coordinator.domain.outcomes import (
    Answer,
    Direction,
    Faulted,
    NoProof,
    Pending,
    Refused,
    Succeeded,
    Unproved,
)
from coordinator.domain.saga import Status
from coordinator.domain.summary import SET_ASIDE, DeadLetterCause, Signature
from coordinator.engine.dispatcher import Load
from coordinator.ports.journal import SIGNATURES_MAX, Alike, Census

NOW = 1_000_000.0
ANSWERS: list[Answer] = [
    Succeeded("{}"),
    Refused("NO", "no"),
    Pending(None),
    Faulted("BUSY", "busy", None),
    *(NoProof(kind, "CODE", "why") for kind in Unproved),
]
RESTING = [status for status in Status if not status.is_open]

Series = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


class StoppedClock:
    def now(self) -> float:
        return NOW


class Counted(MemoryJournal):
    """A journal whose census a test dictates: an answer, an error, or none within reach."""

    def __init__(self, answer: Census | Exception | asyncio.Event) -> None:
        super().__init__()
        self.answer = answer
        self.asked = 0

    async def census(self, now: float) -> Census:
        self.asked += 1
        if isinstance(self.answer, asyncio.Event):
            await self.answer.wait()
            return SOME
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


SHIP = StepName("ship")
SOME = Census(
    running=7,
    compensating=2,
    waiting=3,
    dead_letters=904,
    oldest_open_at=NOW - 90.5,
    oldest_undo_at=NOW - 30,
    signatures=(
        Alike("Order", Signature(SHIP, DeadLetterCause.BUDGET_SPENT), 900),
        Alike("Order", Signature(SHIP, DeadLetterCause.REFUSED), 3),
        Alike("Trip", SET_ASIDE, 1),
    ),
)
NONE = Census(0, 0, 0, 0, None, None, ())


def telemetry() -> PrometheusTelemetry:
    told = PrometheusTelemetry(services=["Stock", "Funds"], clock=StoppedClock())
    for name in ("Order", "Trip"):
        told.definition_registered(name)
    return told


class Scraper:
    def __init__(
        self,
        told: PrometheusTelemetry,
        journal: Counted | None = None,
        loads: Mapping[str, Load] | None = None,
    ) -> None:
        self.journal = journal or Counted(SOME)
        self.page = MetricsPage(
            told, self.journal, StoppedClock(), lambda: loads or {}, version="1.2.3", open_max=500
        )

    async def scrape(self) -> Series:
        text, content_type = await self.page.text("*/*")
        assert content_type == "text/plain; version=0.0.4; charset=utf-8"
        samples = [sample for family in parse_text(text.decode()) for sample in family.samples]
        series = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
        assert len(series) == len(samples)
        return series


def parse_openmetrics(text: str) -> Iterable[Family]:
    families: Iterable[Family] = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return families


def at(series: Series, name: str, **labels: str) -> float:
    return series[name, tuple(sorted(labels.items()))]


async def test_what_is_configured_is_there_from_the_first_scrape_with_zeros() -> None:
    series = await Scraper(telemetry()).scrape()
    for definition in ("Order", "Trip", "other"):
        assert at(series, "saga_started_total", definition=definition) == 0
        for status in RESTING:
            assert at(series, "saga_rested_total", definition=definition, status=status) == 0
            assert at(series, "saga_duration_seconds_count", definition=definition, status=status) == 0
    for service in ("Stock", "Funds", "other"):
        assert at(series, "saga_calls_in_flight", service=service) == 0
        assert at(series, "saga_calls_queued", service=service) == 0
        attempts = [
            dict(labels)["outcome"]
            for name, labels in series
            if name == "saga_step_attempts_total" and ("service", service) in labels
        ]
        assert len(attempts) == 2 * len(ANSWERS)
    for verb in Verb:
        assert at(series, "saga_operator_actions_total", verb=verb) == 0
    assert at(series, "saga_build_info", version="1.2.3") == 1


async def test_what_is_told_is_counted_under_its_labels() -> None:
    told = telemetry()
    told.saga_started("Order")
    told.saga_started("Order")
    told.saga_rested("Order", Status.COMPLETED, 0.07, "")
    told.saga_rested("Trip", Status.DEAD_LETTERED, 4000.0, "")
    told.attempt_ended("Stock", Direction.FORWARD, NoProof(Unproved.TRANSIENT, "UNAVAILABLE", ""), 0.02, "")
    told.attempt_ended("Stock", Direction.UNDO, Succeeded("{}"), 0.3, "")
    told.operator_acted(Verb.SKIP)
    told.committed(3, 0.004)
    series = await Scraper(told, loads={"Funds": Load(5, 2)}).scrape()
    assert at(series, "saga_started_total", definition="Order") == 2
    assert at(series, "saga_started_total", definition="Trip") == 0
    assert at(series, "saga_rested_total", definition="Trip", status="DEAD_LETTERED") == 1
    ended = {"definition": "Order", "status": "COMPLETED"}
    assert at(series, "saga_duration_seconds_sum", **ended) == 0.07
    assert at(series, "saga_duration_seconds_bucket", **ended, le="0.05") == 0
    assert at(series, "saga_duration_seconds_bucket", **ended, le="0.1") == 1
    assert at(series, "saga_duration_seconds_bucket", **ended, le="+Inf") == 1
    attempts = {"service": "Stock", "direction": "FORWARD"}
    assert at(series, "saga_step_attempts_total", **attempts, outcome="UNKNOWN") == 1
    assert at(series, "saga_step_attempts_total", **attempts, outcome="SUCCEEDED") == 0
    assert at(series, "saga_step_attempt_duration_seconds_count", **attempts) == 1
    assert at(series, "saga_operator_actions_total", verb="SKIP") == 1
    assert at(series, "saga_journal_commit_duration_seconds_sum") == 0.004
    assert at(series, "saga_journal_group_entries_bucket", le="2.0") == 0
    assert at(series, "saga_journal_group_entries_bucket", le="4.0") == 1
    assert at(series, "saga_calls_in_flight", service="Funds") == 5
    assert at(series, "saga_calls_queued", service="Funds") == 2


async def test_every_answer_has_an_outcome_of_its_own() -> None:
    told = telemetry()
    for answer in ANSWERS:
        told.attempt_ended("Stock", Direction.FORWARD, answer, 0.1, "")
    series = await Scraper(told).scrape()
    ones = [
        dict(labels)["outcome"]
        for (name, labels), value in series.items()
        if name == "saga_step_attempts_total" and value == 1
    ]
    assert len(ones) == len(set(ones)) == len(ANSWERS)


async def test_a_value_on_a_bound_is_in_the_bucket_that_the_bound_names() -> None:
    told = telemetry()
    told.committed(4, 0.001)
    series = await Scraper(told).scrape()
    assert at(series, "saga_journal_group_entries_bucket", le="4.0") == 1
    assert at(series, "saga_journal_group_entries_bucket", le="2.0") == 0
    assert at(series, "saga_journal_commit_duration_seconds_bucket", le="0.001") == 1


async def test_a_duration_below_nothing_lets_no_sum_fall() -> None:
    told = telemetry()
    told.saga_rested("Order", Status.COMPLETED, 5.0, "")
    told.saga_rested("Order", Status.COMPLETED, -3.0, "")
    series = await Scraper(told).scrape()
    ended = {"definition": "Order", "status": "COMPLETED"}
    assert at(series, "saga_duration_seconds_sum", **ended) == 5.0
    assert at(series, "saga_duration_seconds_count", **ended) == 2


async def test_a_hundred_thousand_ids_and_names_make_no_more_series_than_a_hundred() -> None:
    dice = random.Random(7)
    told = telemetry()
    scraper = Scraper(told, loads={f"Service{number}": Load(1, 1) for number in range(500)})

    def run(name: str) -> None:
        trace = f"00-{dice.getrandbits(128) | 1:032x}-{dice.getrandbits(64) | 1:016x}-01"
        direction, service = dice.choice(list(Direction)), dice.choice(["Stock", name])
        told.saga_started(name)
        told.attempt_ended(service, direction, dice.choice(ANSWERS), dice.random(), trace)
        told.backed_off(service, direction, dice.random())
        told.saga_rested(name, dice.choice(RESTING), dice.random() * 1e6, trace)
        told.committed(dice.randrange(2000), dice.random())
        told.operator_acted(dice.choice(list(Verb)))
        told.trace_header_ignored(dice.choice(["traceparent", "baggage"]))
        told.start_refused(dice.choice(["OVERLOADED", "DRAINING"]))
        told.loop_lagged(dice.random())

    for number in range(NAMES_SEEN_MAX):
        run(f"Name{number}")
    before = (await scraper.scrape()).keys()
    for number in range(100_000):
        run(dice.choice([f"Later{number}", "Order", f'hostile"\n{number}', "x" * 101, "\udcff", ""]))
    series = await scraper.scrape()
    assert series.keys() == before
    assert at(series, "saga_started_total", definition="Name7") == 1
    started = [value for (name, _), value in series.items() if name == "saga_started_total"]
    assert sum(started) == 100_000 + NAMES_SEEN_MAX
    in_flight = [value for (name, _), value in series.items() if name == "saga_calls_in_flight"]
    assert sum(in_flight) == 500
    # With an example in each bucket, too, it is text that the parser of OpenMetrics takes.
    text, _ = await scraper.page.text("application/openmetrics-text")
    samples = [sample for family in parse_openmetrics(text.decode()) for sample in family.samples]
    examples = [sample.exemplar for sample in samples if sample.exemplar]
    assert len(examples) > 100
    assert all(set(example.labels) == {"trace_id", "span_id"} for example in examples)


async def test_an_example_leads_to_a_trace_that_is_recorded_or_there_is_none() -> None:
    told = telemetry()
    page = Scraper(told).page
    place = f"00-{'a' * 32}-{'b' * 16}"
    for trace in ("", f"{place}-00", "no-01"):
        told.saga_rested("Order", Status.COMPLETED, 1.0, trace)
        told.attempt_ended("Stock", Direction.FORWARD, ANSWERS[0], 1.0, trace)
        assert b"trace_id" not in (await page.text("application/openmetrics-text"))[0], trace
    told.attempt_ended("Stock", Direction.FORWARD, ANSWERS[0], 1.0, f"{place}-01")
    text, _ = await page.text("application/openmetrics-text")
    examples = [line.partition("# ")[2] for line in text.decode().splitlines() if "trace_id" in line]
    (example,) = examples
    assert example.startswith(f'{{span_id="{"b" * 16}",trace_id="{"a" * 32}"}} 1.0 ')


async def test_what_is_registered_is_there_at_once_and_of_thousands_only_the_first_have_names() -> None:
    told = telemetry()
    scraper = Scraper(told)
    told.definition_registered("Later")
    told.definition_registered("Later")
    assert at(await scraper.scrape(), "saga_started_total", definition="Later") == 0
    for number in range(5_000):
        told.definition_registered(f"Name{number}")
    series = await scraper.scrape()
    shown = {dict(labels)["definition"] for name, labels in series if name == "saga_started_total"}
    assert len(shown) == NAMES_REGISTERED_MAX + 1
    assert f"Name{NAMES_REGISTERED_MAX - 4}" in shown
    told.saga_started("Later")
    for number in range(5_000):
        told.saga_started(f"Name{number}")
    series = await scraper.scrape()
    assert at(series, "saga_started_total", definition="Later") == 1
    started = {
        dict(labels)["definition"]: value
        for (name, labels), value in series.items()
        if name == "saga_started_total"
    }
    assert len(started) == NAMES_REGISTERED_MAX + NAMES_SEEN_MAX + 1
    assert sum(started.values()) == 5_001


@pytest.mark.parametrize("name", ['a"} 1\nplanted 1', "tok-canary-1 2", "\udcff", "ü", "", "x" * 101])
async def test_what_cannot_be_a_name_is_other_and_is_not_shown(name: str) -> None:
    told = telemetry()
    told.saga_started(name)
    told.attempt_ended(name, Direction.UNDO, Refused(name, name), 1.0, "")
    scraper = Scraper(told, loads={name: Load(1, 0)})
    series = await scraper.scrape()
    assert at(series, "saga_started_total", definition="other") == 1
    assert at(series, "saga_calls_in_flight", service="other") == 1
    assert {dict(labels).get("definition") for _, labels in series} == {None, "Order", "Trip", "other"}
    assert {dict(labels).get("service") for _, labels in series} == {None, "Stock", "Funds", "other"}


async def test_the_census_is_shown_with_ages_in_seconds() -> None:
    series = await Scraper(telemetry()).scrape()
    assert at(series, "saga_census_up") == 1
    assert at(series, "saga_open", status="RUNNING") == 7
    assert at(series, "saga_open", status="COMPENSATING") == 2
    assert at(series, "saga_waiting") == 3
    assert at(series, "saga_dead_letters") == 904
    assert at(series, "saga_oldest_open_age_seconds") == 90.5
    assert at(series, "saga_oldest_undo_age_seconds") == 30


def by_signature(series: Series) -> dict[tuple[str, str, str], float]:
    return {
        (labels["definition"], labels["step"], labels["cause"]): value
        for name, pairs in series
        if name == "saga_dead_letters_by_signature"
        for labels, value in [(dict(pairs), series[name, pairs])]
    }


async def test_dead_letters_are_shown_by_what_failed_and_nothing_else_is() -> None:
    assert by_signature(await Scraper(telemetry()).scrape()) == {
        ("Order", "ship", "BUDGET_SPENT"): 900,
        ("Order", "ship", "REFUSED"): 3,
        ("Trip", "", "SET_ASIDE"): 1,
    }
    assert by_signature(await Scraper(telemetry(), Counted(NONE)).scrape()) == {}


async def test_dead_letters_of_what_can_be_no_label_are_others_and_none_is_lost() -> None:
    hostile = StepName('ship"} 1\nplanted 1')
    told = telemetry()
    for number in range(NAMES_SEEN_MAX):
        told.saga_started(f"Name{number}")
    alike = [
        *(Alike(f"Late{number}", Signature(SHIP, DeadLetterCause.REFUSED), 2) for number in range(50)),
        *(Alike("tok-canary-3 4", Signature(step, DeadLetterCause.REFUSED), 7) for step in (SHIP, hostile)),
        Alike("Name7", Signature(hostile, DeadLetterCause.BUDGET_SPENT), 11),
        Alike("Name7", Signature(StepName("ü"), DeadLetterCause.BUDGET_SPENT), 13),
    ]
    census = replace(NONE, dead_letters=138, signatures=tuple(alike))
    assert len(alike) <= SIGNATURES_MAX
    expected = {
        ("other", "ship", "REFUSED"): 107,
        ("other", "other", "REFUSED"): 7,
        ("Name7", "other", "BUDGET_SPENT"): 24,
    }
    scraper = Scraper(told, Counted(census))
    assert by_signature(await scraper.scrape()) == expected
    text, _ = await scraper.page.text("application/openmetrics-text")
    samples = [sample for family in parse_openmetrics(text.decode()) for sample in family.samples]
    opened = {(sample.name, tuple(sample.labels.items())): sample.value for sample in samples}
    assert by_signature(opened) == expected


async def test_where_no_saga_is_open_the_oldest_has_no_age() -> None:
    series = await Scraper(telemetry(), Counted(NONE)).scrape()
    assert at(series, "saga_oldest_open_age_seconds") == 0
    assert at(series, "saga_oldest_undo_age_seconds") == 0


async def test_the_journal_is_counted_once_a_second_however_often_one_scrapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    ahead_s = 0.0
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() * 1e-6 + ahead_s)
    scraper = Scraper(telemetry())
    await asyncio.gather(*(scraper.scrape() for _ in range(20)))
    assert scraper.journal.asked == 1
    ahead_s = 0.9
    await scraper.scrape()
    assert scraper.journal.asked == 1
    ahead_s = 1.1
    await asyncio.gather(*(scraper.scrape() for _ in range(20)))
    assert scraper.journal.asked == 2


@pytest.mark.parametrize("error", [Overloaded("it took too long"), RuntimeError("tok-canary-2")])
async def test_without_a_census_the_rest_is_shown(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    told = telemetry()
    told.saga_started("Order")
    series = await Scraper(told, Counted(error)).scrape()
    assert at(series, "saga_census_up") == 0
    assert at(series, "saga_started_total", definition="Order") == 1
    assert not {"saga_open", "saga_dead_letters", "saga_waiting"} & {name for name, _ in series}
    assert "tok-canary" not in caplog.text


async def test_a_census_that_takes_too_long_is_not_waited_for_and_not_asked_twice() -> None:
    slow = asyncio.Event()
    scraper = Scraper(telemetry(), Counted(slow))
    first = await asyncio.gather(*(scraper.scrape() for _ in range(3)))
    assert [at(series, "saga_census_up") for series in first] == [0, 0, 0]
    assert at(await scraper.scrape(), "saga_census_up") == 0
    assert scraper.journal.asked == 1
    slow.set()
    assert at(await scraper.scrape(), "saga_census_up") == 1


async def test_a_crowd_shares_pages_and_each_is_as_new_as_its_request() -> None:
    told = telemetry()
    scraper = Scraper(told)
    early = [asyncio.create_task(scraper.scrape()) for _ in range(100)]
    while not scraper.journal.asked:
        await asyncio.sleep(0)
    for _ in range(3):  # the page is being written now
        await asyncio.sleep(0)
    told.saga_started("Order")
    assert len(scraper.page._writing) == 1
    late = [asyncio.create_task(scraper.scrape()) for _ in range(100)]
    await asyncio.sleep(0)
    assert len(scraper.page._writing) == 2
    for series in await asyncio.gather(*late):
        assert at(series, "saga_started_total", definition="Order") == 1
    for series in await asyncio.gather(*early):
        assert at(series, "saga_started_total", definition="Order") == 0


async def test_closing_ends_a_census_under_way() -> None:
    scraper = Scraper(telemetry(), Counted(asyncio.Event()))
    await scraper.scrape()
    await scraper.page.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html, */*;q=0.1", False),
        ("application/openmetrics-text", True),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75",
            True,
        ),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", True),
        ("Application/OpenMetrics-Text; charset=utf-8", True),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.8", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nan, text/plain", False),
        ("application/openmetrics-text;version=" + "9" * 5000, True),
        (",;=,;q=;,", False),
    ],
)
async def test_the_format_is_the_one_that_is_accepted(accept: str, is_openmetrics: bool) -> None:
    text, content_type = await Scraper(telemetry()).page.text(accept)
    if is_openmetrics:
        assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert text.endswith(b"# EOF\n")
    else:
        assert content_type == "text/plain; version=0.0.4; charset=utf-8"
        assert b"# EOF" not in text


async def test_both_formats_show_the_table_and_nothing_else() -> None:
    told = telemetry()
    told.saga_rested("Order", Status.COMPLETED, 3.25, "")
    told.committed(1, 0.002)
    page = Scraper(told).page
    described = {metric.name: metric for metric in METRICS}
    text, _ = await page.text("text/plain")
    plain = {family.name: family for family in parse_text(text.decode())}
    text, _ = await page.text("application/openmetrics-text")
    opened = {family.name: family for family in parse_openmetrics(text.decode())}
    for found in (plain, opened):
        names = {name + ("_total" if family.type == "counter" else "") for name, family in found.items()}
        assert names == described.keys()
        for family in found.values():
            metric = described[family.name + ("_total" if family.type == "counter" else "")]
            assert (family.type, family.documentation) == (metric.kind, metric.help)
            for sample in family.samples:
                assert sorted(sample.labels.keys() - {"le"}) == sorted(metric.labels)
    assert {f.name for f in opened.values() if f.unit == "seconds"} == {
        name for name in described if name.endswith("_seconds")
    }
